import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import type { Person } from '../data/people.ts'
import type { Measure } from '../measure/load.ts'
import { each, memory, usage } from '../measure/usage.ts'
import type { Fixtures } from './contenders.ts'
import { type Program, startWorker } from './programs.ts'
import type { Procedure } from './tasks.ts'

interface Import {
  id: string
  status: string
  created: number
  failure: string | null
}

/** A file with so many lines, each with a reference of its own. */
const fileOf = (lines: number) =>
  [
    'booked_on,category,amount,counterparty,external_ref\n',
    ...Array.from({ length: lines }, (_, n) => {
      const day = new Date(Date.UTC(2090, 0, 1 + (n % 365))).toISOString().slice(0, 10)
      return `${day},Guarantee,${1 + ((n * 7919) % 10_000)}.25,Counterparty ${n},bench ${lines} ${n}\n`
    }),
  ].join('')

/** Uploads a file, and has it entered once it has been checked. Asks how far it is ten times a second. */
async function importFile(url: string, { token }: Person, lines: number): Promise<Import> {
  const ask = async (path: string, type?: string, body?: string) => {
    const answer = await fetch(`${url}/api/imports${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}`, ...(type !== undefined && { 'content-type': type }) },
      ...(body !== undefined && { body }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`The import was answered ${answer.status}: ${text}`)
    return JSON.parse(text) as Import
  }
  const until = async (id: string, status: string) => {
    for (;;) {
      const seen = await ask(`/${id}`)
      if (seen.status === status) return seen
      if (['failed', 'cancelled'].includes(seen.status))
        throw new Error(`The import is ${seen.status}: ${seen.failure}`)
      await sleep(100)
    }
  }
  const { id } = await ask('?resource=finance_records', 'text/csv', fileOf(lines))
  await until(id, 'checked')
  await ask(`/${id}/run`, 'application/json', '{"on_error":"abort"}')
  return until(id, 'done')
}

/**
 * Keeps a worker from all but jobs while `work` runs: it may not refresh figures nor seal events, which would disturb
 * the measurement at random, and does not catch up on what it has missed.
 */
async function undisturbed<T>(adminUrl: string, work: () => Promise<T>): Promise<T> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} })
  try {
    await sql`delete from graphile_worker._private_known_crontabs`
    return (await sql.begin(async locks => {
      await locks`select from analytics_private.refreshing for update`
      await locks`select from app_private.sealing for update`
      try {
        return await work()
      } finally {
        // The worker has ended, but not a statement of it that has waited for these locks all along.
        await locks`
          select pg_terminate_backend(pid, 10000) from pg_stat_activity
          where datname = current_database() and usename = 'callboard_worker'`
      }
    })) as T
  } finally {
    await sql.end()
  }
}

/** A file from its upload to its last row, by an API and a worker process. */
export const importing: Procedure = {
  name: 'import',
  title: 'import of 1,000 finance records',
  rows: 1000,
  enters: true,
  run: (fixtures: Fixtures, callboard: Program) =>
    undisturbed(fixtures.filled.adminUrl, async (): Promise<Measure> => {
      const { checkout, filled, people, postmaster, lines } = fixtures
      const person = people.find(({ isLarge }) => !isLarge) as Person
      const worker = startWorker(checkout, filled)
      try {
        // Not counted: this waits for the worker, and warms it up.
        await importFile(callboard.url, person, 100)
        const processes = {
          server: callboard.pid,
          worker: worker.pid,
          postgres: postmaster,
          client: process.pid,
        }
        const small = memory(callboard.pid)
        let most = small
        const watching = setInterval(() => (most = Math.max(most ?? 0, memory(callboard.pid) ?? 0)), 20)
        const [before, begun] = [usage(processes), performance.now()]
        const { created } = await importFile(callboard.url, person, lines).finally(() => {
          clearInterval(watching)
        })
        const seconds = (performance.now() - begun) / 1000
        const done = lines / 1000
        return {
          rate: done / seconds,
          cpu: each(before, usage(processes), done),
          ...(small !== undefined && most !== undefined && { grown: most - small }),
          done,
          failed: lines - created,
        }
      } finally {
        await worker.stop()
      }
    }),
}
