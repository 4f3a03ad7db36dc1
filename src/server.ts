import { type AddressInfo } from 'node:net'
import { buildApp } from './app.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { EmbeddedError } from './database/embedded.ts'
import { type LocalDatabase, startLocalDatabase } from './database/local.ts'
import { createPool } from './database/pool.ts'
import { checkDatabase, UnsafeDatabase } from './database/safety.ts'
import { demoEmail, demoPassword } from './demo.ts'
import type { App } from './fastify.ts'
import { startMailWorker } from './mail.ts'
import { Problem } from './problem.ts'

const say = (line: string) => process.stdout.write(`${line}\n`)

interface Running {
  app: App
  /** Finishes the requests that run, then stops everything. */
  stop: () => Promise<void>
}

/** Starts everything that the configuration asks for, and undoes it if a part fails. */
async function start(config: Config): Promise<Running> {
  const undo: (() => Promise<unknown>)[] = []
  const stop = async () => {
    let failure: unknown
    // The last that was started goes first: the database outlives the requests that use it. A part
    // that fails to stop must not keep the others running.
    for (const step of undo.splice(0).reverse()) await step().catch((error: unknown) => (failure ??= error))
    if (failure !== undefined) throw failure as Error
  }
  try {
    let local: LocalDatabase | undefined
    if (config.DATABASE_URL === undefined) {
      local = await startLocalDatabase(config, say)
      undo.push(() => local?.embedded.stop() ?? Promise.resolve())
    }
    const url = local?.apiUrl ?? config.DATABASE_URL ?? ''
    const warnings = await checkDatabase(url, config.NODE_ENV === 'production')
    const options = { deadline: config.DATABASE_DEADLINE * 1000, prepare: config.PREPARE_STATEMENTS }
    const pool = createPool({
      ...options,
      url,
      size: config.POOL_SIZE,
      applicationName: 'callboard api',
    })
    undo.push(() => pool.close())
    const supportUrl = local?.supportUrl ?? config.SUPPORT_DATABASE_URL
    if (supportUrl !== undefined) await checkDatabase(supportUrl, config.NODE_ENV === 'production')
    const supportPool =
      supportUrl === undefined
        ? undefined
        : createPool({ ...options, url: supportUrl, size: 2, applicationName: 'callboard support' })
    if (supportPool) undo.push(() => supportPool.close())
    const app = await buildApp({
      config,
      pool,
      supportPool,
      jwtSecret: local?.jwtSecret ?? config.JWT_SECRET ?? '',
    })
    for (const warning of warnings) app.log.warn(warning)
    const address = () => config.PUBLIC_URL?.replace(/\/+$/, '') ?? addressOf(app, config.HOST)
    const workerUrl = local?.workerUrl ?? config.WORKER_DATABASE_URL
    if (workerUrl === undefined) app.log.warn('WORKER_DATABASE_URL is not set: this process sends no mail')
    else {
      const mail = startMailWorker(config, workerUrl, address, app.log)
      undo.push(() => mail.stop())
    }
    undo.push(() => close(app, config.SHUTDOWN_TIMEOUT))
    await app.listen({ host: config.HOST, port: config.PORT })
    if (local) greet(address())
    return { app, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Lets the requests that run finish, but not for ever. */
async function close(app: App, seconds: number) {
  const timer = setTimeout(() => {
    app.log.warn('requests did not finish in time: cutting them off')
    app.server.closeAllConnections()
  }, seconds * 1000)
  await app.close().finally(() => {
    clearTimeout(timer)
  })
}

/** Where a browser on this machine reaches the server. */
function addressOf(app: App, host: string): string {
  const { port } = app.server.address() as AddressInfo
  const name = ['0.0.0.0', '::'].includes(host) ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return `http://${name}:${port}`
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

/** What to print for an error that whoever starts the server can mend; undefined for one of ours. */
function advice(error: unknown, config?: Config): string | undefined {
  if (error instanceof ConfigError || error instanceof EmbeddedError || error instanceof UnsafeDatabase)
    return error.message
  if (error instanceof Problem) {
    const { code, message } = (error.cause ?? error) as NodeJS.ErrnoException
    // Of a name with several addresses Node has only the code to tell.
    return `DATABASE_URL: cannot connect: ${message || (code ?? '')}`
  }
  const { code, syscall } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE')
    return `Port ${config?.PORT ?? ''} is taken by another program: stop it, or set PORT.`
  if (code === 'EACCES' && syscall === 'listen')
    return `Not allowed to listen on port ${config?.PORT ?? ''}: set PORT to 1024 or higher.`
  if (code === 'EADDRNOTAVAIL' || syscall === 'getaddrinfo')
    return `This machine does not have the address ${config?.HOST ?? ''}: set HOST.`
  return undefined
}

async function main() {
  let config: Config | undefined
  let running: Running | undefined
  let isStopping = false
  let exitCode = 0

  async function stop() {
    if (!running || !config) return // it is stopped when it has started
    // Every part has a limit of its own; this is for what nobody thought of.
    setTimeout(() => process.exit(1), (config.SHUTDOWN_TIMEOUT + 30) * 1000).unref()
    try {
      await running.stop()
    } catch (error) {
      running.app.log.fatal({ err: error }, 'the stop failed')
      exitCode = 1
    }
    process.exit(exitCode)
  }
  function shutDown(reason: string) {
    if (isStopping) {
      // Whoever asks twice does not want to wait for others.
      running?.app.server.closeAllConnections()
      return
    }
    isStopping = true
    running?.app.log.info({ reason }, 'stopping')
    void stop()
  }

  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      shutDown(signal)
    })
  process.on('uncaughtException', error => {
    exitCode = 1
    running?.app.log.fatal({ err: error }, 'a bug')
    if (running) shutDown('uncaughtException')
    else fail(error)
  })
  try {
    config = readConfig(process.env)
    running = await start(config)
    if (isStopping) await stop()
  } catch (error) {
    fail(error)
  }

  function fail(error: unknown) {
    const text = advice(error, config) ?? (error instanceof Error ? error.stack : String(error))
    process.stderr.write(`${text ?? ''}\n`)
    process.exit(1)
  }
}

await main()
