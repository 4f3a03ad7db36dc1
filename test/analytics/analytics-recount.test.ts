// Every figure of every endpoint equals a recount from the raw tables as the same member, whatever was
// entered, changed, deleted, restored and purged before, and whether or not computing failed in between; and the API,
// CSV and a BI tool's login say the same.
import fc from 'fast-check'
import { t } from '../support/tap.ts'
import { connectBi, makeCredential } from '../support/bi.ts'
import { dashboardAndSummary } from '../support/dashboard.ts'
import { check, refresh, wake, work as workIn } from '../support/figures.ts'
import { openLogin } from '../isolation/world.ts'
import { type Person, register, startServer, type TestServer } from '../support/helper.ts'
import {
  type Asked,
  categoryItems,
  dashboard,
  financeItems,
  type Raw,
  rawOf,
  showItems,
  showProfitItems,
} from '../support/recount.ts'

const rounds = Number(process.env['RECOUNT_ROUNDS'] ?? 4)
const currencies = ['USD', 'EUR', 'JPY', 'KWD']
const day = fc
  .integer({ min: -500, max: 500 })
  .map(n => new Date(Date.now() + n * 86_400_000).toISOString().slice(0, 10))
const pick = fc.nat({ max: 1000 })
const recordFields = {
  booked_on: day,
  due_on: fc.option(day),
  amount_minor: fc.oneof(fc.nat({ max: 1_000_000 }), fc.constant(2 ** 40)),
  currency: fc.constantFrom(...currencies),
  rate: fc.integer({ min: 1, max: 3_000_000 }),
  status: fc.constantFrom('planned', 'committed', 'actual', 'void'),
  payment_status: fc.constantFrom('unpaid', 'partly_paid', 'paid', 'refunded'),
}
const steps = {
  record: fc.record({ ...recordFields, category: pick, show: fc.option(pick) }),
  change: fc.record({ record: pick, ...recordFields }),
  remove: fc.record({ record: pick }),
  restore: fc.record({ record: pick }),
  category: fc.record({ kind: fc.constantFrom('income', 'expense') }),
  rename: fc.record({ category: pick }),
  show: fc.record({
    show_on: day,
    status: fc.constantFrom('inquiry', 'hold', 'offer', 'confirmed', 'played', 'cancelled', 'postponed'),
    capacity: fc.option(fc.integer({ min: 100, max: 5000 })),
    tickets_sold: fc.nat({ max: 100 }),
  }),
  move: fc.record({
    show: pick,
    status: fc.constantFrom('hold', 'offer', 'confirmed', 'played', 'cancelled', 'postponed'),
  }),
  removeShow: fc.record({ show: pick }),
  restoreShow: fc.record({ show: pick }),
  organization: fc.record({
    currency: fc.constantFrom('USD', 'USD', 'EUR'),
    time_zone: fc.constantFrom('UTC', 'Pacific/Auckland', 'America/Los_Angeles'),
  }),
  purge: fc.record({}),
}
type Step = {
  [K in keyof typeof steps]: { do: K; with: (typeof steps)[K] extends fc.Arbitrary<infer V> ? V : never }
}[keyof typeof steps]
const weights: Partial<Record<keyof typeof steps, number>> = { record: 24, change: 10, show: 6, move: 6 }
const step = fc.oneof(
  ...Object.entries(steps).map(([name, arbitrary]) => ({
    weight: weights[name as keyof typeof steps] ?? 1,
    arbitrary: (arbitrary as fc.Arbitrary<unknown>).map(value => ({ do: name, with: value }) as Step),
  })),
)

/** An organization and what it has created so far. */
class Company {
  records: string[] = []
  shows: string[] = []
  categories: { id: string; kind: string; name: string }[] = []
  readonly server: TestServer
  readonly owner: Person
  constructor(server: TestServer, owner: Person) {
    this.server = server
    this.owner = owner
  }

  /** The API may refuse: only what it has done counts. */
  async ask(request: `${string} ${string}`, body?: object): Promise<string | undefined> {
    const answer = await this.server.call<{ id: string }>(request, {
      token: this.owner.token,
      ...(body && { body }),
    })
    if (answer.status >= 500) throw new Error(answer.text)
    return answer.status === 201 ? answer.body.id : undefined
  }
  private at = <T>(all: T[], n: number) => all[n % Math.max(1, all.length)]
  private money({ currency, rate, ...rest }: { currency: string; rate: number }) {
    return { ...rest, currency, ...(currency !== 'USD' && { exchange_rate: rate / 100_000 }) }
  }

  async does(step: Step): Promise<void> {
    const path = (what: string, all: string[], n: number) => `/api/${what}/${this.at(all, n) ?? 'none'}`
    switch (step.do) {
      case 'record': {
        const { category, show, ...rest } = step.with
        const of = this.at(this.categories, category)
        const id = await this.ask('POST /api/finance-records', {
          ...this.money(rest),
          kind: of?.kind,
          category_id: of?.id,
          show_id: show === null ? null : (this.at(this.shows, show) ?? null),
        })
        if (id !== undefined) this.records.push(id)
        return
      }
      case 'change': {
        const { record, ...rest } = step.with
        await this.ask(`PATCH ${path('finance-records', this.records, record)}`, this.money(rest))
        return
      }
      case 'remove':
        await this.ask(`DELETE ${path('finance-records', this.records, step.with.record)}`)
        return
      case 'restore':
        await this.ask(`POST ${path('finance-records', this.records, step.with.record)}/restore`)
        return
      case 'category': {
        const name = `Category ${this.categories.length}`
        const id = await this.ask('POST /api/finance-categories', { ...step.with, name })
        if (id !== undefined) this.categories.push({ id, kind: step.with.kind, name })
        return
      }
      case 'rename': {
        const of = this.at(this.categories, step.with.category)
        if (of) await this.ask(`PATCH /api/finance-categories/${of.id}`, { name: `${of.name}’` })
        return
      }
      case 'show': {
        const id = await this.ask('POST /api/shows', {
          title: `Show ${this.shows.length}`,
          artist: 'The Gaslights',
          ...step.with,
        })
        if (id !== undefined) this.shows.push(id)
        return
      }
      case 'move':
        await this.ask(`PATCH ${path('shows', this.shows, step.with.show)}`, { status: step.with.status })
        return
      case 'removeShow':
        await this.ask(`DELETE ${path('shows', this.shows, step.with.show)}`)
        return
      case 'restoreShow':
        await this.ask(`POST ${path('shows', this.shows, step.with.show)}/restore`)
        return
      case 'organization':
        await this.ask(`PATCH /api/organizations/${this.owner.organization}`, step.with)
        return
      case 'purge':
        return this.purge()
    }
  }

  /** Backdates deletions, so that the deleted rows are purged. */
  private async purge() {
    const { db } = this.server
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      for (const table of ['app.shows', 'app.finance_records'])
        await sql`
          update ${sql(table)} set deleted_at = now() - interval '60 days'
          where organization_id = ${this.owner.organization} and deleted_at is not null`
    })
    await db.as('callboard_worker')`select app.purge_deleted()`
  }
}

t.test('every figure equals a recount', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const sql = openLogin(t, db.url('callboard_api'))
  const companies = [
    new Company(server, await register(server, 'Ana')),
    new Company(server, await register(server, 'Ben')),
  ]
  for (const { owner, categories } of companies) {
    const { body } = await call<{ items: Company['categories'] }>('GET /api/finance-categories', {
      token: owner.token,
    })
    categories.push(...body.items.slice(0, 6), ...body.items.slice(-6))
  }
  const items = async ({ owner }: Company, path: string, asked: Asked, more = '') => {
    const query = Object.entries(asked).flatMap(([name, value]) =>
      value === undefined || (name === 'period' && /categories|finance.shows/.test(path))
        ? []
        : [`${name}=${String(value)}`],
    )
    const { status, body } = await call<{ is_current: boolean; items: object[] }>(
      `GET /api/analytics/${path}?${query.join('&')}${more}`,
      { token: owner.token },
    )
    t.equal(status, 200)
    t.equal(body.is_current, true, `${path} is current`)
    return body.items
  }
  const byId = (all: object[]) => {
    const key = (one: object) =>
      Object.entries(one as Record<string, string>)
        .find(([name]) => name === 'category_id')
        ?.join() ?? ''
    const currency = (one: object) => (one as { currency: string }).currency
    return [...all].sort((a, b) => (key(a) + currency(a) < key(b) + currency(b) ? -1 : 1))
  }
  async function compare(company: Company, raw: Raw, asked: Asked) {
    const says = `${company.owner.email} ${JSON.stringify(asked)}`
    t.strictSame(await items(company, 'finance', asked), financeItems(raw, asked), `finance of ${says}`)
    t.strictSame(
      byId(await items(company, 'finance/categories', asked)),
      byId(categoryItems(raw, asked)),
      `categories of ${says}`,
    )
    t.strictSame(
      await items(company, 'finance/shows', asked, '&limit=200'),
      showProfitItems(raw, asked).slice(0, 200),
      `shows of ${says}`,
    )
    if (asked.currency === undefined)
      t.strictSame(
        await items(company, 'shows', { ...asked }),
        showItems(raw, asked),
        `what becomes of shows of ${says}`,
      )
  }

  /** Computing fails for all that needs shows, and is noticed. */
  async function fail() {
    await wake(db)
    await db.admin`revoke select on app.shows from callboard_rollup`
    const parts = [...(await workIn(db, 'small')), ...(await workIn(db, 'large'))]
    await db.admin`grant select on app.shows to callboard_rollup`
    await db.admin`update analytics_private.rollup_states set failed_at = failed_at - interval '1 minute'`
    return parts.reduce((sum, { failed }) => sum + failed, 0)
  }
  const bi = new Map<Company, ReturnType<typeof connectBi>>()
  for (const company of companies) bi.set(company, connectBi(t, await makeCredential(server, company.owner)))
  /** Money by month and status in the base currency, as a BI tool and as a CSV of the records have it. */
  async function compareOthers(company: Company, raw: Raw) {
    const sums = new Map<string, bigint>()
    const add = (month: string, status: string, amount: bigint) => {
      if (status !== 'void') sums.set(`${month} ${status}`, (sums.get(`${month} ${status}`) ?? 0n) + amount)
    }
    const taken = () => {
      const all = [...sums].filter(([, sum]) => sum !== 0n).sort()
      sums.clear()
      return all
    }
    for (const r of raw.records) add(r.booked_on.slice(0, 7), r.status, BigInt(r.base_amount_minor))
    const counted = taken()
    const connection = bi.get(company)
    if (!connection) throw new Error('no BI login')
    const rows = await connection<{ month: string; status: string; amount: string }[]>`
      select to_char(month, 'YYYY-MM') as month, status, base_income_minor + base_expense_minor as amount from analytics.finance_by_month`
    for (const { month, status, amount } of rows) add(month, status, BigInt(amount))
    t.strictSame(taken(), counted, 'the BI login’s sums')
    const { text } = await call('GET /api/exports/finance-records', {
      token: company.owner.token,
      headers: { accept: 'application/x-ndjson' },
    })
    for (const line of text.trim().split('\n').filter(Boolean)) {
      const r = JSON.parse(line) as { booked_on: string; status: string; base_amount_minor: number }
      add(r.booked_on.slice(0, 7), r.status, BigInt(r.base_amount_minor))
    }
    t.strictSame(taken(), counted, 'the export’s sums')
    const report = await call(`GET /api/analytics/report?from=2024-01-01&to=2029-12-31`, {
      token: company.owner.token,
      headers: { accept: 'text/html' },
    })
    t.equal(report.status, 200)
  }

  const asked = fc.record({
    period: fc.constantFrom('month' as const, 'quarter' as const, 'year' as const),
    days: fc.tuple(day, day).map(([a, b]): [string, string] => (a < b ? [a, b] : [b, a])),
    currency: fc.option(fc.constantFrom(...currencies), { nil: undefined }),
  })
  const work = fc.array(fc.tuple(fc.nat({ max: 1 }), step), { minLength: 60, maxLength: 120, size: 'max' })
  const samples = fc.sample(fc.tuple(work, fc.array(asked, { minLength: 6, maxLength: 6 })), {
    numRuns: rounds,
    seed: Number(process.env['RECOUNT_SEED'] ?? 20261125),
  })
  for (const [round, [done, questions]] of samples.entries()) {
    for (const [n, [who, step]] of done.entries()) {
      await companies[who]?.does(step)
      if (n % 20 === 9) await refresh(db)
      if (n === 35) t.ok((await fail()) > 0, 'some fail')
      if (n === 50 && round % 2 === 1) await check(db)
    }
    await refresh(db)
    t.strictSame(await check(db), { differing: [], failed: [] })
    await refresh(db)
    for (const company of companies) {
      const raw = await rawOf(sql, company.owner)
      for (const { period, days, currency } of questions)
        await compare(company, raw, { period, from: days[0], to: days[1], currency })
      await compare(company, raw, { period: 'year', from: '2024-01-01', to: '2029-12-31' })
      const { dashboard: shown, seen, summary } = await dashboardAndSummary(server, company.owner)
      const { as_of, is_current, today, shows, money } = shown
      t.match({ as_of, is_current }, { as_of: String, is_current: true })
      t.strictSame({ today, shows, money }, dashboard(raw), `the dashboard of ${company.owner.email}`)
      t.strictSame(seen, summary, `the endpoints say the same to ${company.owner.email}`)
      await compareOthers(company, raw)
      t.comment(
        `round ${round + 1}: ${raw.records.length} records and ${raw.shows.length} shows of ${company.owner.email}`,
      )
    }
  }
})
