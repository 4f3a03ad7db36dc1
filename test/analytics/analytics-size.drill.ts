// The cost of figures does not grow with the organization, and computing them keeps nobody waiting.
// FIGURES_RECORDS=3000000 FIGURES_ORGANIZATIONS=1000 is the size that counts.
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { type Person, register, signIn, startServer } from '../support/helper.ts'

const records = Number(process.env['FIGURES_RECORDS'] ?? 30_000)
const organizations = Number(process.env['FIGURES_ORGANIZATIONS'] ?? 20)
const isFull = records >= 3_000_000

/** Fills the database: one organization has a tenth of everything, the others share the rest. */
async function fill(admin: postgres.Sql, big: Person, small: Person) {
  await admin.begin(async sql => {
    await sql`set local session_replication_role = replica`
    await sql`
      insert into app.organizations (name, slug) select 'Company ' || n, 'company-' || n from generate_series(3, ${organizations}) n`
    await sql`create temporary table owners on commit drop as
      select id, row_number() over (order by id <> ${big.organization}) as n from app.organizations`
    await sql`
      insert into app.finance_categories (organization_id, kind, name)
      select o.id, k, 'Kind ' || g from owners o, generate_series(1, 6) g, unnest(array['income', 'expense']) k`
    // The first is the large one; row i belongs to it if i is a multiple of ten.
    const owner = (i: string) =>
      `case when ${i} % 10 = 0 then 1 else 2 + (${i}::bigint * 7919) % ${Math.max(1, organizations - 1)} end`
    await sql.unsafe(`create temporary table new_shows on commit drop as
      select o.id as organization_id, app.uuid_v7() as id, i, date '2024-01-01' + (i * 31 % 1460) as show_on
      from generate_series(1, ${Math.ceil(records / 3)}) i join owners o on o.n = ${owner('i')}`)
    await sql`
      insert into app.shows (organization_id, id, title, artist, show_on, status, capacity, tickets_sold)
      select organization_id, id, 'Title ' || i, 'Artist ' || i % 500, show_on,
        (array['inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed'])[1 + i % 8], 500, i % 500
      from new_shows`
    await sql`create temporary table kinds on commit drop as
      select organization_id, id, kind, row_number() over (partition by organization_id order by id) as n
      from app.finance_categories where name like 'Kind %'`
    await sql`
      insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, currency, exchange_rate, base_currency, status, payment_status)
      select s.organization_id, c.kind, c.id, s.id, s.show_on + r % 60, s.show_on + 30, 100 + r * 7919::bigint % 1000000,
        case r % 4 when 0 then 'EUR' else 'USD' end, case r % 4 when 0 then 1.1 else 1 end, 'USD',
        (array['planned', 'committed', 'actual', 'actual'])[1 + r % 4], (array['unpaid', 'paid'])[1 + r / 2 % 2]
      from (select s.*, s.i * 3 + g as r from new_shows s, generate_series(0, 2) g) s
      join kinds c on c.organization_id = s.organization_id and c.n = 1 + (s.i + s.r) % 12`
    await sql.unsafe(`
      insert into app.event_log (organization_id, id, occurred_at, resource_id, actor_kind, action, resource_type, changes)
      select s.organization_id, gen_random_uuid(), now() - (n * 20 + s.i % 20) * interval '1 day', s.id, 'user', 'show.update',
        case n when 0 then 'finance_record' when 1 then 'member' else 'show' end,
        case n when 4 then '{"new": {"status": "hold"}}' when 3 then '{"new": {"status": "confirmed"}}' else '{"new": {"notes": "Changed"}}' end::jsonb
      from new_shows s, generate_series(0, 4) n`)
  })
  await admin.unsafe('vacuum analyze')
  return { big, small }
}

const quantile = (all: number[], q: number) =>
  Math.round((all.toSorted((a, b) => a - b)[Math.floor((all.length - 1) * q)] ?? 0) * 100) / 100
const summary = (all: number[]) =>
  `${all.length} requests, median ${quantile(all, 0.5)} ms, p99 ${quantile(all, 0.99)} ms, longest ${quantile(all, 1)} ms`

t.test(`figures of ${records} records in ${organizations} organizations`, async t => {
  t.setTimeout(0)
  const server = await startServer(t, { DATABASE_DEADLINE: '60' })
  const { call, db } = server
  const people = await fill(db.admin, await register(server, 'Ana'), await register(server, 'Ben'))
  // A token does not live as long as this may take.
  const again = ({ email }: Person) => signIn(server, email)
  let [big, small] = [await again(people.big), await again(people.small)]
  const { body } = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
    token: small.token,
  })
  const record = {
    kind: 'income',
    category_id: body.items[0]?.id,
    booked_on: '2026-03-14',
    amount_minor: 100,
  }
  const timed = async (request: `${string} ${string}`, person: Person, body?: object) => {
    const began = performance.now()
    const answer = await call(request, { token: person.token, ...(body && { body }) })
    if (answer.status >= 300) throw new Error(answer.text)
    return performance.now() - began
  }
  /** Computes everything; returns the milliseconds of each. */
  async function compute(ask: (next: string | null) => Promise<postgres.Row[]>) {
    const took: Record<string, number> = {}
    let next: string | null = null
    do {
      const rows = await ask(next)
      const part = rows[0]?.['part'] as { refreshed?: string; ms?: number; failed: number; next: unknown }
      t.equal(part.failed, 0)
      if (part.refreshed !== undefined) took[part.refreshed] = part.ms ?? 0
      next = part.next === null ? null : JSON.stringify(part.next)
    } while (next !== null)
    return took
  }
  const worker = db.as('callboard_worker')
  const refresh = () =>
    compute(next => worker`select app.refresh_figures('small', ${next}::text::jsonb) as part`)
  const check = () => compute(next => worker`select app.check_figures(${next}::text::jsonb) as part`)
  /** How long alternating reads and writes take until something has finished. */
  async function latencies(over: () => boolean) {
    const [reads, writes]: [number[], number[]] = [[], []]
    for (let n = 0; !over() || n < 20; n += 1) {
      reads.push(await timed('GET /api/analytics/finance?from=2026-01-01', n % 2 ? big : small))
      reads.push(await timed('GET /api/analytics/dashboard', n % 2 ? big : small))
      writes.push(await timed('POST /api/finance-records', small, record))
      await sleep(20)
    }
    return { reads, writes }
  }

  const first = await refresh()
  t.comment(`computed for the first time: ${JSON.stringify(first)}`)
  ;[big, small] = [await again(big), await again(small)]

  await t.test('cost the same in a large organization as in a small one', async t => {
    for (const path of ['finance?from=2026-01-01', 'dashboard', 'shows?from=2026-01-01'] as const) {
      const of: Record<'big' | 'small', number[]> = { big: [], small: [] }
      for (let n = 0; n < 300; n += 1)
        for (const [size, person] of Object.entries({ big, small }) as ['big' | 'small', Person][]) {
          const took = await timed(`GET /api/analytics/${path}`, person)
          if (n >= 50) of[size].push(took)
        }
      const [large, little] = [quantile(of.big, 0.5), quantile(of.small, 0.5)]
      t.comment(`/${path}: medians ${large} and ${little} ms, ratio ${(large / little).toFixed(2)}`)
      t.ok(large / little < 1.5, path)
    }
  })

  await t.test('are recomputed without keeping anybody waiting', async t => {
    const until = Date.now() + (isFull ? 10_000 : 1000)
    const before = await latencies(() => Date.now() > until)
    await timed('POST /api/shows', small, { title: 'A', artist: 'B', show_on: '2026-05-01' })
    let done = false
    const began = performance.now()
    const computing = check().finally(() => (done = true))
    const during = await latencies(() => done)
    const took = await computing
    const seconds = (performance.now() - began) / 1000
    t.comment(`computed again in ${seconds.toFixed(1)} s: ${JSON.stringify(took)}`)
    t.equal(Object.keys(took).length, Object.keys(first).length, 'all of them')
    for (const what of ['reads', 'writes'] as const) {
      t.comment(`${what} before: ${summary(before[what])}`)
      t.comment(`${what} during: ${summary(during[what])}`)
      t.ok(quantile(during[what], 1) < 1000, `no ${what} wait for it`)
    }
    t.ok(seconds < 60, `${seconds} s`)
  })
})
