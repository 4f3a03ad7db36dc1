// Runs compiled test files in a few processes, each taking the next file when it is done with one, and
// prints the results as TAP. tap's own runner starts a process for each file, and instruments it with module
// hooks: two and 1.3 seconds of CPU per file on Node 20, for a coverage report that c8 makes here.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import t from 'tap'

type Message = { tap: string } | { done: true } | { ready: true }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string' },
    timeout: { type: 'string' },
    // A process of its own for each file.
    fresh: { type: 'boolean', default: false },
  },
})
t.jobs = Number(values.jobs)
t.setTimeout(0)
const queue = positionals.values()
await Promise.all(Array.from({ length: t.jobs }, work))
t.end()

async function work(): Promise<void> {
  let worker: ChildProcess | undefined
  for (const name of queue) {
    worker ??= await start()
    const isAlive = await runFile(worker, name)
    if (isAlive && !values.fresh) continue
    await end(worker, name)
    worker = undefined
  }
  if (worker) await end(worker, 'the tests')
}

/** Lets a process end by itself, which it does not as long as a test has left something open. */
async function end(worker: ChildProcess, ran: string): Promise<void> {
  if (!worker.connected) return
  const ended = once(worker, 'exit')
  worker.disconnect()
  const late = new AbortController()
  const isLate = sleep(10_000, true, { signal: late.signal }).catch(() => false)
  const first = await Promise.race([ended, isLate])
  late.abort()
  if (first !== true) return
  t.fail(`something that ${ran} opened keeps the process from ending`)
  worker.kill('SIGKILL')
}

async function start(): Promise<ChildProcess> {
  const worker = fork(fileURLToPath(new URL('worker.js', import.meta.url)), {
    execArgv: ['--enable-source-maps'],
    // tap puts its hooks there.
    env: { ...process.env, NODE_OPTIONS: undefined },
  })
  await once(worker, 'message')
  return worker
}

/** What the server is doing, as comments in TAP: why a file takes too long. */
async function activity(): Promise<string> {
  const sql = postgres(process.env['ADMIN_DATABASE_URL'] ?? '', { max: 1, connect_timeout: 5 })
  try {
    const found = await sql<{ line: string }[]>`
      select concat_ws(' ', datname, usename, application_name, state, wait_event_type, wait_event, 'for',
        round(extract(epoch from clock_timestamp() - state_change)), 's, blocked by', pg_blocking_pids(pid)::text || ':',
        left(regexp_replace(query, '\\s+', ' ', 'g'), 200)) as line
      from pg_stat_activity where pid <> pg_backend_pid() and datname like 'callboard_test_%' order by datname, pid`
    return found.map(({ line }) => `\n# ${line}`).join('')
  } catch (error) {
    return `\n# The server does not say what it is doing: ${String(error)}`
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** Prints the results of a file, and returns whether its process can take another. */
async function runFile(worker: ChildProcess, name: string): Promise<boolean> {
  const results = new PassThrough()
  void t.stdin(name, { tapStream: results, buffered: t.jobs > 1, at: null, stack: '' })
  return new Promise(resolve => {
    let isLate = false
    const finish = (problem?: string) => {
      clearTimeout(deadline)
      worker.off('message', read)
      worker.off('exit', onExit)
      results.end(problem === undefined ? '' : `\nnot ok - ${problem}\n`)
      resolve(problem === undefined)
    }
    const read = (message: Message) => {
      if ('tap' in message) results.write(message.tap)
      // One that is late is killed all the same: its process is not to get another file.
      if ('done' in message && !isLate) finish()
    }
    const onExit = (code: number | null, signal: string | null) => {
      if (!isLate) finish(`its process ended: ${signal ?? `exit code ${code}`}`)
    }
    const late = async () => {
      isLate = true
      results.write(`\n# It takes longer than ${values.timeout} s.${await activity()}\n`)
      if (worker.connected) worker.send({ late: true })
      await sleep(2000)
      worker.kill('SIGKILL')
      finish(`it took longer than ${values.timeout} s`)
    }
    const deadline = setTimeout(() => void late(), Number(values.timeout) * 1000)
    worker.on('message', read)
    worker.on('exit', onExit)
    worker.send(name)
  })
}
