import { type AddressInfo } from 'node:net'
import { buildApp } from './app.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { EmbeddedError } from './database/embedded.ts'
import { type LocalDatabase, startLocalDatabase } from './database/local.ts'
import { createPool } from './database/pool.ts'
import { checkDatabase, UnsafeDatabase } from './database/safety.ts'
import { demoEmail, demoPassword } from './demo.ts'
import type { App } from './fastify.ts'
import { type MailWorker, startMailWorker } from './mail.ts'

const say = (line: string) => process.stdout.write(`${line}\n`)

interface Running {
  app: App
  stop: () => Promise<void>
}

/** Starts everything that the configuration asks for, and undoes it if a part fails. */
async function start(config: Config): Promise<Running> {
  const undo: (() => Promise<unknown>)[] = []
  const stop = async () => {
    // The last that was started goes first: the database outlives the requests that use it.
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    let local: LocalDatabase | undefined
    if (config.DATABASE_URL === undefined) {
      local = await startLocalDatabase(config, say)
      undo.push(() => local?.embedded.stop() ?? Promise.resolve())
    }
    const url = local?.apiUrl ?? config.DATABASE_URL ?? ''
    const warnings = await checkDatabase(url, config.NODE_ENV === 'production')
    const pool = createPool({
      url,
      size: config.POOL_SIZE,
      deadline: config.DATABASE_DEADLINE * 1000,
      prepare: config.PREPARE_STATEMENTS,
      applicationName: 'callboard api',
    })
    undo.push(() => pool.close())
    const app = await buildApp({ config, pool, jwtSecret: local?.jwtSecret ?? config.JWT_SECRET ?? '' })
    for (const warning of warnings) app.log.warn(warning)
    const workerUrl = local?.workerUrl ?? config.WORKER_DATABASE_URL
    const address = () =>
      config.PUBLIC_URL ?? `http://${config.HOST}:${(app.server.address() as AddressInfo).port}`
    let mail: MailWorker | undefined
    if (workerUrl === undefined) app.log.warn('WORKER_DATABASE_URL is not set: this process sends no mail')
    else mail = startMailWorker(config, workerUrl, address, app.log)
    undo.push(() => mail?.stop() ?? Promise.resolve())
    undo.push(() => app.close())
    await app.listen({ host: config.HOST, port: config.PORT })
    if (local) greet(address())
    return { app, stop }
  } catch (error) {
    await stop()
    throw error
  }
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
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE')
    return `Port ${config?.PORT ?? ''} is taken by another program: stop it, or set PORT.`
  if (code === 'EACCES')
    return `Not allowed to listen on port ${config?.PORT ?? ''}: set PORT to 1024 or higher.`
  if (code === 'EADDRNOTAVAIL')
    return `This machine does not have the address ${config?.HOST ?? ''}: set HOST.`
  if (/^(ECONN|ENOTFOUND|EAI_AGAIN|CONNECT_TIMEOUT|28|3D000|42501|57P)/.test(code ?? ''))
    return `DATABASE_URL: cannot connect: ${message}`
  return undefined
}

async function main() {
  let config: Config | undefined
  let running: Running | undefined
  let stopping = false
  const shutDown = (signal: string) => {
    if (stopping) return
    stopping = true
    if (!running) return // main() stops it when it has started
    const { app, stop } = running
    app.log.info({ signal }, 'stopping')
    const limit = setTimeout(
      () => {
        app.log.error('requests did not finish in time: stopping without them')
        process.exit(1)
      },
      ((config?.SHUTDOWN_TIMEOUT ?? 10) + 5) * 1000,
    )
    limit.unref()
    // Idle keep-alive connections are closed by close(); busy ones may finish, but not for ever.
    setTimeout(
      () => {
        app.server.closeAllConnections()
      },
      (config?.SHUTDOWN_TIMEOUT ?? 10) * 1000,
    ).unref()
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        app.log.fatal({ err: error }, 'the stop failed')
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      shutDown(signal)
    })
  try {
    config = readConfig(process.env)
    running = await start(config)
    if (stopping) {
      await running.stop()
      process.exit(0)
    }
  } catch (error) {
    process.stderr.write(
      `${advice(error, config) ?? (error instanceof Error ? error.stack : String(error)) ?? ''}\n`,
    )
    process.exit(1)
  }
}

await main()
