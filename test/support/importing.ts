// What tests of imports do.
import type { Test } from 'tap'
import { startWorker } from '../../src/jobs/worker.ts'
import { type Person, register, startServer, until } from './helper.ts'

export interface Import extends Record<string, unknown> {
  id: string
  status: string
  failure: string | null
}
export interface BadLine {
  line: number
  problems: { column: string; reason: string }[]
}

/** A company whose books are in euros, a worker, and shorthands to import. */
export async function office(t: Test) {
  const server = await startServer(t, { POOL_SIZE: '20' })
  const { call, db, config, app } = server
  const owner = await register(server, 'Ana')
  const { token } = owner
  await call(`PUT /api/organizations/${owner.organization}`, {
    token,
    body: { name: 'Northlight', currency: 'EUR', time_zone: 'Europe/Berlin' },
  })
  const start = () => startWorker(config, db.url('callboard_worker'), () => 'http://localhost', app.log, [])
  let worker = start()
  t.teardown(() => worker.stop())
  const upload = (text: string | Buffer, query = 'resource=finance_records', as: Person = owner) =>
    call<Import>(`POST /api/imports?${query}`, {
      token: as.token,
      body: text,
      headers: { 'content-type': 'text/csv' },
    })
  const read = async (id: string) => (await call<Import>(`GET /api/imports/${id}`, { token })).body
  const settled = async (id: string, ...statuses: string[]) => {
    let found = await read(id)
    await until(async () => statuses.includes((found = await read(id)).status), 30)
    return found
  }
  const check = async (text: string | Buffer, query?: string) => {
    const { status, body, text: why } = await upload(text, query)
    if (status !== 201) throw new Error(why)
    return settled(body.id, 'checked', 'failed')
  }
  const problemsOf = async (id: string) =>
    (await call<{ items: BadLine[] }>(`GET /api/imports/${id}/problems?limit=200`, { token })).body.items
  const run = (id: string, on_error = 'abort', as: Person = owner) =>
    call<Import>(`POST /api/imports/${id}/run`, { token: as.token, body: { on_error } })
  const enter = async (text: string | Buffer, on_error = 'abort', query?: string) => {
    const { id } = await check(text, query)
    const answer = await run(id, on_error)
    if (answer.status !== 200) throw new Error(answer.text)
    return settled(id, 'done', 'failed')
  }
  const list = async (path: string) =>
    (await call<{ items: Record<string, unknown>[] }>(`GET ${path}?limit=200`, { token })).body.items
  const records = () => list('/api/finance-records')
  return {
    ...{ server, owner, token, call, upload, read, settled, check, problemsOf, run, enter, records, list },
    stop: () => worker.stop(),
    start: () => (worker = start()),
  }
}
