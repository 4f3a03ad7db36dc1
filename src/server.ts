import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildApp } from './app.ts'
import type { Config } from './config.ts'
import { Unavailable } from './database/errors.ts'
import { startLocalDatabase } from './database/local.ts'
import { refuseCopy } from './database/origin.ts'
import { createPool, shareOf } from './database/pool.ts'
import { openReplica } from './database/replica.ts'
import { checkDatabase } from './database/safety.ts'
import { demoEmail, demoPassword, seedDemo } from './demo/demo.ts'
import type { App } from './http/fastify.ts'
import type { LogOutput } from './http/logging.ts'
import { connectGauges } from './monitoring/gauges.ts'
import { listenForMetrics } from './monitoring/listener.ts'
import { watchPolicies } from './monitoring/policies.ts'
import { refuseDangerousDrift } from './policies/live-drift.ts'
import { startWorker, type Worker } from './jobs/worker.ts'
import { advice, nameOf, runProgram, type Running } from './program.ts'

const say = (line: string) => process.stdout.write(`${line}\n`)

/** Starts everything the configuration calls for, and undoes it if a part fails. */
async function start(config: Config, output: LogOutput): Promise<Running> {
  const undo: (() => Promise<unknown>)[] = []
  const stop = async () => {
    let failure: unknown
    // In reverse order: the database outlives the requests that use it. A part that fails to stop must
    // not keep the others running.
    for (const step of undo.splice(0).reverse()) await step().catch((error: unknown) => (failure ??= error))
    if (failure !== undefined) throw failure as Error
  }
  try {
    const local =
      config.DATABASE_URL === undefined
        ? await startLocalDatabase(config, say, () => listenOnce(config))
        : undefined
    if (local) undo.push(() => local.embedded.stop())
    if (local && (await seedDemo(local))) say('Loaded the demo: two companies and their season.')
    const { apiUrl, supportUrl, workerUrl, jwtSecret } = local ?? givenIn(config)
    const warnings = await checkDatabase(apiUrl, config.NODE_ENV === 'production')
    const isProduction = config.NODE_ENV === 'production'
    const policies = { exceptions: config.POLICY_EXCEPTIONS, applicationName: 'callboard policies' }
    if (isProduction) await refuseDangerousDrift({ ...policies, url: apiUrl })
    const options = {
      deadline: config.DATABASE_DEADLINE * 1000,
      prepare: config.PREPARE_STATEMENTS,
      admit: refuseCopy('primary'),
    }
    const pool = createPool({
      ...options,
      url: apiUrl,
      size: config.POOL_SIZE,
      share: shareOf(config.POOL_SIZE),
      applicationName: 'callboard api',
    })
    undo.push(() => pool.close())
    const exportPool = createPool({
      ...options,
      url: apiUrl,
      size: config.EXPORT_STREAMS,
      deadline: config.EXPORT_DEADLINE * 1000,
      // An export is one statement.
      statementTimeout: config.EXPORT_DEADLINE * 1000,
      applicationName: 'callboard export',
    })
    undo.push(() => exportPool.close())
    if (supportUrl !== undefined) await checkDatabase(supportUrl, config.NODE_ENV === 'production')
    const supportPool =
      supportUrl === undefined
        ? undefined
        : createPool({ ...options, url: supportUrl, size: 2, applicationName: 'callboard support' })
    if (supportPool) undo.push(() => supportPool.close())
    const replica =
      config.DATABASE_REPLICA_URL === undefined ? undefined : openReplica(config, config.DATABASE_REPLICA_URL)
    if (replica) undo.push(() => replica.close())
    // If it is down, the server starts anyway: the primary does its work until it is back.
    await replica?.check().catch((error: unknown) => {
      if (!(error instanceof Unavailable)) throw error
      warnings.push(`${advice(error, 'DATABASE_REPLICA_URL')}: DATABASE_URL takes over`)
    })
    const gauges = workerUrl === undefined ? undefined : connectGauges(config, workerUrl)
    if (gauges) undo.push(() => gauges.close())
    const app = await buildApp({
      config,
      pool,
      supportPool,
      replica,
      exportPool,
      gauges: gauges?.read,
      jwtSecret,
      databaseUrl: apiUrl,
      output,
    })
    for (const warning of warnings) app.log.warn(warning)
    local?.embedded.keepRunning(
      () => {
        app.log.error('the embedded PostgreSQL has died: it is started again')
      },
      // Nothing can be served without it, so the process ends.
      error => {
        throw error
      },
    )
    const address = () => config.PUBLIC_URL?.replace(/\/+$/, '') ?? addressOf(app, config.HOST)
    let worker: Worker | undefined
    if (workerUrl === undefined) app.log.info('WORKER_DATABASE_URL is not set: jobs wait for npm run worker')
    else {
      worker = startWorker(config, workerUrl, address, app.log, undefined, app.metrics.job)
      const unwatch = watchPolicies({ ...policies, url: workerUrl }, app.log, app.metrics.drift)
      undo.push(async () => {
        void unwatch()
      })
    }
    if (config.METRICS_PORT !== undefined) {
      const metrics = await listenForMetrics(config, app.metrics)
      undo.push(() => metrics.close())
      app.log.info(`Metrics at http://${nameOf(config.METRICS_HOST)}:${metrics.port}/metrics`)
    }
    // In parallel, so that together they take no longer than SHUTDOWN_TIMEOUT.
    undo.push(() => Promise.all([close(app, config.SHUTDOWN_TIMEOUT), worker?.stop()]))
    await app.listen({ host: config.HOST, port: config.PORT })
    const hurrying = new AbortController()
    undo.push(async () => {
      app.stopping.hasBegun = true
      await sleep(config.SHUTDOWN_DELAY * 1000, undefined, { signal: hurrying.signal }).catch(() => {})
    })
    // The greeting does not wait in the log's batch, and comes after it.
    output.flush()
    if (local) greet(address())
    return {
      log: app.log,
      stop,
      hurry: () => {
        hurrying.abort()
        app.server.closeAllConnections()
        worker?.hurry()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** What `startLocalDatabase` would return; readConfig has made sure that the first two are set. */
function givenIn(config: Config) {
  const { DATABASE_URL, JWT_SECRET } = config as Config & { DATABASE_URL: string; JWT_SECRET: string }
  return {
    apiUrl: DATABASE_URL,
    jwtSecret: JWT_SECRET,
    supportUrl: config.SUPPORT_DATABASE_URL,
    workerUrl: config.WORKER_DATABASE_URL,
  }
}

/** Rejects if the port cannot be listened on. */
async function listenOnce({ HOST, PORT }: Config) {
  const server = createServer().listen({ host: HOST, port: PORT })
  await once(server, 'listening')
  server.close()
}

/** Lets running requests finish, but not forever. */
async function close(app: App, seconds: number) {
  // What had begun before, such as a stream, could not say that its connection ends with it.
  const idle = setInterval(() => {
    app.server.closeIdleConnections()
  }, 50)
  const timer = setTimeout(() => {
    app.log.warn('requests did not finish in time: closing their connections')
    app.server.closeAllConnections()
  }, seconds * 1000)
  await app.close().finally(() => {
    clearInterval(idle)
    clearTimeout(timer)
  })
}

/** Where a browser on this machine reaches the server. */
function addressOf(app: App, host: string): string {
  const { port } = app.server.address() as AddressInfo
  return `http://${nameOf(host)}:${port}`
}

function greet(url: string) {
  say(`
Callboard is running.
  API    ${url}
  Docs   ${url}/docs
  Sign in:
    curl -s ${url}/api/auth/sign-in -H 'content-type: application/json' \\
      -d '{"email":"${demoEmail}","password":"${demoPassword}"}'
`)
}

function adviceFor(error: unknown, { HOST, PORT }: Config): string | undefined {
  const { code, syscall } = error as NodeJS.ErrnoException
  const noAddress = `This machine does not have the address ${HOST}: set HOST.`
  const listening: Record<string, string> = {
    'listen EADDRINUSE': `Port ${PORT} is used by another program: stop it, or set PORT.`,
    'listen EACCES': `Not allowed to listen on port ${PORT}: set PORT to 1024 or higher.`,
    'listen EADDRNOTAVAIL': noAddress,
    'listen EAFNOSUPPORT': noAddress,
    'getaddrinfo EAI_AGAIN': noAddress,
    'getaddrinfo ENOTFOUND': noAddress,
  }
  return listening[`${syscall} ${code}`] ?? advice(error, 'DATABASE_URL')
}

await runProgram('api', start, adviceFor)
