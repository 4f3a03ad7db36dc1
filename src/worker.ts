// `npm run worker` runs the jobs of the database at WORKER_DATABASE_URL, in a process of its own.
import { fastify } from 'fastify'
import type { Config } from './config.ts'
import { checkWorkerDatabase } from './database/safety.ts'
import { startWorker } from './jobs/worker.ts'
import { loggerOptions, type LogOutput } from './http/logging.ts'
import { connectGauges } from './monitoring/gauges.ts'
import { listenForMetrics } from './monitoring/listener.ts'
import { watchPolicies } from './monitoring/policies.ts'
import { createWorkerMetrics } from './monitoring/worker.ts'
import { refuseDangerousDrift } from './policies/live-drift.ts'
import { advice, nameOf, runProgram, type Running } from './program.ts'

async function start(config: Config, output: LogOutput): Promise<Running> {
  const url = config.WORKER_DATABASE_URL ?? ''
  const warnings = await checkWorkerDatabase(url)
  const policies = { url, exceptions: config.POLICY_EXCEPTIONS, applicationName: 'callboard policies' }
  if (config.NODE_ENV === 'production') await refuseDangerousDrift(policies)
  // Only its logger is used.
  const { log } = fastify({ logger: loggerOptions(config, output) })
  for (const warning of warnings) log.warn(warning)
  const publicUrl = (config.PUBLIC_URL ?? `http://${config.HOST}:${config.PORT}`).replace(/\/+$/, '')
  const gauges = connectGauges(config, url)
  const metrics = createWorkerMetrics(gauges.read)
  const listener = config.METRICS_PORT === undefined ? undefined : await listenForMetrics(config, metrics)
  if (listener) log.info(`Metrics at http://${nameOf(config.METRICS_HOST)}:${listener.port}/metrics`)
  const worker = startWorker(config, url, () => publicUrl, log, undefined, metrics.job)
  const unwatch = watchPolicies(policies, log, metrics.drift)
  log.info('working')
  const stop = async () => {
    void unwatch()
    await worker.stop()
    await Promise.all([listener?.close(), gauges.close()])
  }
  return { log, stop, hurry: worker.hurry }
}

await runProgram('worker', start, error => advice(error, 'WORKER_DATABASE_URL'))
