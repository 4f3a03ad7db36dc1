import type { FastifyBaseLogger } from 'fastify'
import { readArguments } from './arguments.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { EmbeddedError } from './database/embedded.ts'
import { Unavailable } from './database/errors.ts'
import { UnsafeDatabase } from './database/safety.ts'
import { type LogOutput, openLog, reasonOf } from './http/logging.ts'

/** A running program. */
export interface Running {
  log: FastifyBaseLogger
  /** Finishes pending work, then stops everything. */
  stop: () => Promise<void>
  /** Aborts what `stop` is waiting for. */
  hurry: () => void
}

/** What to print for an error that the operator can fix; undefined for a bug of ours. */
export function advice(error: unknown, url: keyof Config): string | undefined {
  if (error instanceof ConfigError || error instanceof EmbeddedError || error instanceof UnsafeDatabase)
    return error.message
  if (!(error instanceof Unavailable)) return undefined
  return `${url}: cannot connect: ${reasonOf((error.cause ?? error) as Error)}`
}

/** The host name in local URLs for an address that a program listens on. */
export const nameOf = (host: string) =>
  ['0.0.0.0', '::'].includes(host) ? 'localhost' : host.includes(':') ? `[${host}]` : host

const usages = {
  api: 'Usage: npm start\nStarts the API. All settings are environment variables: see docs/reference/configuration.md.',
  worker:
    'Usage: npm run worker\nRuns the jobs of the database at WORKER_DATABASE_URL. All settings are environment variables: see docs/reference/configuration.md.',
}

/** The life cycle of a process: reads the configuration, starts, and stops on request. */
export async function runProgram(
  part: 'api' | 'worker',
  start: (config: Config, output: LogOutput) => Promise<Running>,
  advise: (error: unknown, config: Config) => string | undefined,
): Promise<void> {
  readArguments(usages[part], {})
  let config: Config
  try {
    config = readConfig(process.env, part)
  } catch (error) {
    end((error as Error).message)
  }
  const output = openLog()
  let running: Running | undefined
  let isStopping = false
  let exitCode = 0

  async function stop() {
    if (!running) return // it is stopped once it has started
    // Every part has a timeout of its own; this covers the unforeseen.
    setTimeout(() => process.exit(1), (config.SHUTDOWN_DELAY + config.SHUTDOWN_TIMEOUT + 30) * 1000).unref()
    try {
      await running.stop()
    } catch (error) {
      running.log.fatal({ err: error }, 'shutdown failed')
      exitCode = 1
    }
    process.exit(exitCode)
  }
  function shutDown(reason: string) {
    if (isStopping) {
      // A second request means: do not wait for others.
      running?.hurry()
      return
    }
    isStopping = true
    running?.log.info({ reason }, 'stopping')
    output.flush()
    void stop()
  }

  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      shutDown(signal)
    })
  process.on('uncaughtException', error => {
    exitCode = 1
    // What the operator can mend is no bug, wherever it is thrown.
    const known = advise(error, config)
    running?.log.fatal(known === undefined ? { err: error } : {}, known ?? 'a bug')
    if (running) shutDown('uncaughtException')
    else fail(error)
  })
  try {
    running = await start(config, output)
    output.flush()
    if (isStopping) await stop()
  } catch (error) {
    fail(error)
  }

  function fail(error: unknown): never {
    end(advise(error, config) ?? String(error instanceof Error ? error.stack : error))
  }
}

function end(text: string): never {
  process.stderr.write(`${text}\n`)
  process.exit(1)
}
