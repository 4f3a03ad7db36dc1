// `npm run worker` does the jobs of the database of WORKER_DATABASE_URL, in a process of its own.
import { fastify } from 'fastify'
import type { Config } from './config.ts'
import { checkWorkerDatabase } from './database/safety.ts'
import { startWorker } from './jobs/worker.ts'
import { loggerOptions } from './logging.ts'
import { advice, runProgram, type Running } from './program.ts'

async function start(config: Config): Promise<Running> {
  const url = config.WORKER_DATABASE_URL ?? ''
  await checkWorkerDatabase(url)
  // Its logger is all that is used of it.
  const { log } = fastify({ logger: loggerOptions(config) })
  const publicUrl = (config.PUBLIC_URL ?? `http://${config.HOST}:${config.PORT}`).replace(/\/+$/, '')
  const worker = startWorker(config, url, () => publicUrl, log)
  log.info('working')
  return { log, ...worker }
}

await runProgram('worker', start, error => advice(error, 'WORKER_DATABASE_URL'))
