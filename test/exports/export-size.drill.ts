// A streamed export of many rows is at least half as fast as COPY by psql for the same member and takes no more
// memory than one of few; ten at once finish, and concurrent requests hardly wait longer.
// EXPORT_ROWS=100000 is the size that counts.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { t } from '../support/tap.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import { register, startServer } from '../support/helper.ts'
import { startServerProcess } from '../support/server-process.ts'

const rows = Number(process.env['EXPORT_ROWS'] ?? 10_000)
const run = promisify(execFile)

t.test(`${rows} finance records`, async t => {
  const server = await startServer(t)
  const { db, call, config } = server
  const ana = await register(server, 'Ana')
  const [category] = (
    await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', { token: ana.token })
  ).body.items
  const api = startServerProcess(t, {
    NODE_ENV: 'test',
    LOG_LEVEL: 'info',
    JWT_SECRET: config.JWT_SECRET ?? '',
    RATE_LIMIT: '1000000',
    PORT: '0',
    DATABASE_URL: db.url('callboard_api'),
  })
  const [, url = ''] = await api.says(/Server listening at (http:\/\/127\.0\.0\.1:\d+)/)
  const memory = (what: string) =>
    Math.round(
      Number(
        new RegExp(`${what}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${api.child.pid}/status`, 'utf8'))?.[1],
      ) / 1024,
    )
  const sql = openLogin(t, db.url('callboard_api'))
  await sql.begin('read write', async tx => {
    await tx`select app.enter(${secretOf(ana)}, ${ana.organization})`
    await tx`set local statement_timeout = 0`
    await tx`
      insert into app.finance_records (kind, category_id, booked_on, amount_minor, currency, exchange_rate, status, counterparty, note, source, external_ref)
      select 'income', ${category?.id ?? ''}, date '2027-01-01' + n % 365, 100 + n * 7919 % 1000000, 'USD', 1, 'actual', 'Counterparty ' || n,
        'Paid in "full", as agreed', 'import', n
      from generate_series(1, ${rows}::integer) n`
  })
  await db.admin`vacuum analyze app.finance_records`
  const headers = { authorization: `Bearer ${ana.token}` }
  const fetchExport = async (accept = 'text/csv') => {
    const began = performance.now()
    const args = ['-sSf', '-H', `authorization: Bearer ${ana.token}`, '-H', `accept: ${accept}`]
    const { stdout } = await run('curl', [...args, `${url}/api/exports/finance-records`], { maxBuffer: 1e9 })
    const rate = (rows / (performance.now() - began)) * 1000
    return { bytes: stdout.length, lines: stdout.split('\n').length - 1, rate }
  }
  const copy = `copy (
    select r.id, r.kind, r.category_id, r.booked_on, r.amount_minor, r.status, r.show_id, r.due_on, r.tax_minor, r.currency, trim_scale(r.exchange_rate),
      r.payment_status, r.counterparty, r.note, r.source, r.external_ref, c.name as category_name, s.title as show_title, r.base_amount_minor,
      r.base_currency, r.created_by, r.created_at, r.updated_at
    from app.finance_records r
    left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
    left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
    where r.deleted_at is null order by r.booked_on, r.id) to stdout csv header`
  const psql = async () => {
    const began = performance.now()
    const enter = `select app.enter('${secretOf(ana)}', '${ana.organization}')`
    const commands = ['begin read only', enter, copy, 'commit'].flatMap(command => ['-c', command])
    const { stdout } = await run('psql', [db.url('callboard_api'), '-q', ...commands], { maxBuffer: 1e9 })
    t.ok(stdout.split('\n').length > rows)
    return (rows / (performance.now() - began)) * 1000
  }
  const others = async (during: Promise<unknown>) => {
    const times: number[] = []
    let isOver = false
    void during.finally(() => (isOver = true))
    do {
      const began = performance.now()
      await (await fetch(`${url}/api/venues`, { headers })).text()
      times.push(performance.now() - began)
      await sleep(5)
    } while (!isOver)
    times.sort((a, b) => a - b)
    return {
      p50: times[Math.floor(times.length / 2)] ?? 0,
      p99: times[Math.floor(times.length * 0.99)] ?? 0,
      n: times.length,
    }
  }
  await others(sleep(1000))
  await fetchExport()
  const quiet = await others(sleep(3000))
  const before = [memory('VmRSS'), memory('VmHWM')]
  const one = await fetchExport()
  const again = await fetchExport()
  const afterCsv = memory('VmHWM')
  const plain = Math.max(await psql(), await psql())
  const ndjson = await fetchExport('application/x-ndjson')
  const json = await fetchExport('application/json')
  const withOne = await others(fetchExport())
  const afterOne = memory('VmHWM')
  const tenBegan = performance.now()
  const ten = Promise.all(Array.from({ length: 10 }, () => fetchExport()))
  const withTen = await others(ten)
  const tenTook = performance.now() - tenBegan
  t.ok((await ten).every(({ lines }) => lines === rows + 1))
  const afterTen = memory('VmHWM')
  const say = (value: object) =>
    JSON.stringify(value, (_, v: unknown) => (typeof v === 'number' ? Math.round(v * 10) / 10 : v))
  t.comment(
    `CSV ${Math.round(one.rate)}, ${Math.round(again.rate)} rows/s (${one.bytes} bytes), psql ${Math.round(plain)}, NDJSON ${Math.round(ndjson.rate)}, JSON ${Math.round(json.rate)}; ` +
      `ten at once ${Math.round(((10 * rows) / tenTook) * 1000)} rows/s in ${Math.round(tenTook)} ms; ` +
      `memory ${before.join('/')} before, ${afterCsv} after two, ${afterOne} after four, ${afterTen} MB after ten; others ${say({ quiet, withOne, withTen })}`,
  )
  t.equal(one.lines, rows + 1)
  t.ok(afterOne - (before[1] ?? 0) < 50, `${afterOne} MB`)
  t.ok(afterTen - (before[1] ?? 0) < 100, `${afterTen} MB`)
  // With fewer rows the startup is most of what is measured.
  if (rows < 100_000) return
  t.ok(again.rate > plain / 2, `${Math.round(again.rate)} rows/s of ${Math.round(plain)}`)
  t.ok(withOne.p99 < 3 * quiet.p99, `${withOne.p99} ms`)
})
