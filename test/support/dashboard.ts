// What the dashboard must say, put together from the endpoints that say it in full.
import type { Person, TestServer } from './helper.ts'
import { emptyMonth } from './recount.ts'

interface Amounts {
  income_minor: number
  expense_minor: number
  profit_minor: number
}
interface Money {
  items: { currency: string; actual: Amounts; planned: Amounts; committed: Amounts }[]
}
interface Shows {
  items: Record<string, unknown>[]
}
interface Activity {
  from: string
  to: string
  totals: object
}
interface Use {
  from: string
  to: string
  integrations: { kind: string; calls: number; errors: number; rows: number; bytes: number }[]
  api: { totals: { calls: number; errors: number; server_errors: number } }
}
export interface Dashboard {
  as_of: string
  is_current: boolean
  today: string
  shows: { this_month: object; played_this_month: number } & Record<string, unknown>
  money:
    ({ currency: string; this_month: Amounts; this_year: Amounts; open_this_year: Amounts } & object) | null
  activity: object
  use: object
}

const none = { income_minor: 0, expense_minor: 0, profit_minor: 0 }
const profit = ({ income_minor, expense_minor, profit_minor }: Amounts) => ({
  income_minor,
  expense_minor,
  profit_minor,
})
const sum = (a: Amounts, b: Amounts) => ({
  income_minor: a.income_minor + b.income_minor,
  expense_minor: a.expense_minor + b.expense_minor,
  profit_minor: a.profit_minor + b.profit_minor,
})

/** The parts of the dashboard that other endpoints say, too, and what they say. */
export async function dashboardAndSummary({ call }: TestServer, { token }: Person) {
  const read = async <T extends object>(path: string) =>
    (await call<T>(`GET /api/analytics/${path}`, { token })).body
  const useOf = async () => {
    const { from, to, integrations, api } = await read<Use>('integrations')
    const of = (wanted: string) => {
      const total = { calls: 0, errors: 0, rows: 0, bytes: 0 }
      for (const use of integrations.filter(({ kind }) => kind === wanted))
        for (const name of ['calls', 'errors', 'rows', 'bytes'] as const) total[name] += use[name]
      return total
    }
    const { calls, errors, server_errors } = api.totals
    return { from, to, api: { calls, errors, server_errors }, imports: of('import'), exports: of('export') }
  }
  // Calls are counted all the time: until none was in between.
  let [use, dashboard] = [await useOf(), await read<Dashboard>('dashboard')]
  for (let after = await useOf(); JSON.stringify(after) !== JSON.stringify(use); after = await useOf())
    [use, dashboard] = [after, await read<Dashboard>('dashboard')]

  const { today } = dashboard
  const [month] = (await read<Shows>(`shows?from=${today}&to=${today}`)).items
  const { from, to, totals } = await read<Activity>('activity')
  const money = async (query: string) => {
    const { items } = await read<Money>(`finance?${query}`)
    const own = items.find(({ currency }) => currency === dashboard.money?.currency)
    return own
      ? { actual: profit(own.actual), open: sum(own.planned, own.committed) }
      : { actual: none, open: none }
  }
  const year = dashboard.money && (await money(`period=year&from=${today.slice(0, 4)}-01-01`))
  const summary = {
    shows: month ? Object.fromEntries(Object.keys(emptyMonth).map(name => [name, month[name]])) : emptyMonth,
    money: year && {
      this_month: (await money(`from=${today}&to=${today}`)).actual,
      this_year: year.actual,
      open_this_year: year.open,
    },
    activity: { from, to, ...totals },
    use,
  }
  const seen = {
    shows: dashboard.shows.this_month,
    money: dashboard.money && {
      this_month: dashboard.money.this_month,
      this_year: dashboard.money.this_year,
      open_this_year: dashboard.money.open_this_year,
    },
    activity: dashboard.activity,
    use: dashboard.use,
  }
  return { dashboard, seen, summary }
}
