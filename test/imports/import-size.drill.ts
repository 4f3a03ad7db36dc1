// An import of many lines takes no more memory than one of few, and at most three times as long as the
// fastest way to insert the same rows in SQL, which checks none of them. IMPORT_LINES=100000 is the size that counts.
import { readFileSync } from 'node:fs'
import { t } from '../support/tap.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import { register, startServer, until } from '../support/helper.ts'
import { startServerProcess } from '../support/server-process.ts'

const lines = Number(process.env['IMPORT_LINES'] ?? 20_000)
const dayOf = (n: number) => new Date(Date.UTC(2027, 0, 1 + (n % 365))).toISOString().slice(0, 10)
const amountOf = (n: number) => 100 + ((n * 7919) % 1_000_000)

t.test(`${lines} finance records`, async t => {
  const server = await startServer(t)
  const { db, call, config } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const settings = {
    NODE_ENV: 'test',
    LOG_LEVEL: 'info',
    JWT_SECRET: config.JWT_SECRET ?? '',
    RATE_LIMIT: '1000000',
  }
  const api = startServerProcess(t, { ...settings, PORT: '0', DATABASE_URL: db.url('callboard_api') })
  const worker = startServerProcess(
    t,
    { ...settings, WORKER_DATABASE_URL: db.url('callboard_worker') },
    'src/worker.ts',
  )
  const [, url = ''] = await api.says(/Server listening at (http:\/\/127\.0\.0\.1:\d+)/)
  await worker.says(/"working"/)
  /** The peak memory of the two so far, in MB. */
  const peaks = () =>
    [api, worker].map(({ child }) =>
      Math.round(
        Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024,
      ),
    )

  // The rows as SQL would insert them, in one statement, by the same login and under the same policies.
  const [category] = (
    await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', { token: ben.token })
  ).body.items
  const sql = openLogin(t, db.url('callboard_api'))
  const numbers = Array.from({ length: lines }, (_, n) => n)
  const listed = (make: (n: number) => unknown) => numbers.map(make).join()
  let began = performance.now()
  await sql.begin('read write', async tx => {
    await tx`select app.enter(${secretOf(ben)}, ${ben.organization})`
    await tx`set local statement_timeout = 0`
    await tx`
      insert into app.finance_records (kind, category_id, booked_on, amount_minor, currency, exchange_rate, status, counterparty, source, external_ref)
      select 'income', ${category?.id ?? ''}, d::date, a::bigint, 'USD', 1, 'actual', 'Counterparty ' || n, 'import', n
      from unnest(string_to_array(${listed(dayOf)}, ','), string_to_array(${listed(amountOf)}, ','), string_to_array(${listed(String)}, ',')) as x (d, a, n)`
  })
  const plain = (lines / (performance.now() - began)) * 1000

  const head = 'booked_on,category,amount,counterparty,external_ref\n'
  const file =
    head +
    numbers
      .map(n => `${dayOf(n)},Guarantee,${(amountOf(n) / 100).toFixed(2)},Counterparty ${n},${n}\n`)
      .join('')
  const ask = async (path: string, init: RequestInit = {}, type = 'text/csv') => {
    const answer = await fetch(`${url}/api/imports${path}`, {
      ...init,
      headers: { authorization: `Bearer ${ana.token}`, ...(init.body && { 'content-type': type }) },
    })
    return (await answer.json()) as {
      id: string
      status: string
      created: number
      bad_lines: number
      failure: string | null
    }
  }
  const before = peaks()
  began = performance.now()
  const { id } = await ask('?resource=finance_records', {
    method: 'POST',
    body: file,
  })
  let seen = await ask(`/${id}`)
  const becomes = (status: string) =>
    until(async () => ((seen = await ask(`/${id}`)), [status, 'failed'].includes(seen.status)), 300)
  await becomes('checked')
  const checked = performance.now()
  t.match(seen, { status: 'checked', bad_lines: 0 })
  await ask(`/${id}/run`, { method: 'POST', body: '{"on_error":"abort"}' }, 'application/json')
  await becomes('done')
  const done = performance.now()
  t.match(seen, { status: 'done', created: lines, failure: null })
  const rate = (lines / (done - began)) * 1000
  const after = peaks()
  t.comment(
    `${Math.round(rate)} rows/s (checked in ${Math.round(checked - began)} ms, entered in ${Math.round(done - checked)} ms), ` +
      `in SQL ${Math.round(plain)} rows/s; API and worker at most ${after.join(' and ')} MB, ${before.join(' and ')} before`,
  )
  const [receiving = 0, importing = 0] = after
  t.ok(importing < 200, `${importing} MB`)
  t.ok(receiving - (before[0] ?? 0) < 50, `${receiving} MB`)
  t.ok(rate > plain / 3, `${Math.round(rate)} rows/s of ${Math.round(plain)}`)
})
