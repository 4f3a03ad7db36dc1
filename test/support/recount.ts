// The figures, recounted from the raw tables, as a member sees them, and without SQL's help.
import type postgres from 'postgres'
import { secretOf } from '../isolation/world.ts'
import type { Person } from './helper.ts'

interface RawRecord {
  kind: 'income' | 'expense'
  category_id: string
  category: string
  show_id: string | null
  booked_on: string
  due_on: string | null
  amount_minor: string
  currency: string
  base_amount_minor: string
  base_currency: string
  status: 'planned' | 'committed' | 'actual' | 'void'
  payment_status: string
}
interface RawShow {
  id: string
  title: string
  artist: string
  show_on: string
  status: string
  capacity: number | null
  tickets_sold: number
  created_in: string
}
export interface Raw {
  records: RawRecord[]
  shows: RawShow[]
  /** Statuses that shows were given, in chronological order. */
  steps: { show: string; status: string }[]
  today: string
  currency: string
}

/** What the member sees that is not deleted. */
export async function rawOf(sql: postgres.Sql, person: Person): Promise<Raw> {
  return sql.begin('read only', async tx => {
    await tx`select app.enter(${secretOf(person)}, ${person.organization})`
    const records = await tx<RawRecord[]>`
      select r.kind, r.category_id, c.name as category, r.show_id, r.booked_on::text, r.due_on::text, r.amount_minor::text, r.currency,
        r.base_amount_minor::text, r.base_currency, r.status, r.payment_status
      from app.finance_records r left join app.finance_categories c on c.id = r.category_id where r.deleted_at is null`
    const shows = await tx<RawShow[]>`
      select s.id, s.title, s.artist, s.show_on::text, s.status, s.capacity, s.tickets_sold,
        to_char(s.created_at at time zone o.time_zone, 'YYYY-MM-01') as created_in
      from app.shows s, app.organizations o where s.deleted_at is null`
    const steps = await tx<Raw['steps']>`
      select e.resource_id as show, e.changes #>> '{new,status}' as status from app.readable_events e
      where e.resource_type = 'show' and e.changes #>> '{new,status}' is not null order by e.occurred_at, e.id`
    const [own] = await tx<[{ today: string; currency: string }]>`
      select (now() at time zone o.time_zone)::date::text as today, o.currency from app.organizations o`
    return { records: [...records], shows: [...shows], steps: [...steps], ...own }
  })
}

export interface Asked {
  period: 'month' | 'quarter' | 'year'
  from: string
  to: string
  currency?: string | undefined
}
const startOf = (period: Asked['period'], day: string) => {
  const [year = '', month = ''] = day.split('-')
  const first =
    period === 'year' ? 1 : period === 'month' ? Number(month) : Math.floor((Number(month) - 1) / 3) * 3 + 1
  return `${year}-${String(first).padStart(2, '0')}-01`
}
const within = ({ from, to }: Asked, day: string) =>
  day.slice(0, 7) >= from.slice(0, 7) && day.slice(0, 7) <= to.slice(0, 7)
const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
function groups<T>(all: T[], key: (one: T) => string): [string, T[]][] {
  const found = new Map<string, T[]>()
  for (const one of all) found.set(key(one), [...(found.get(key(one)) ?? []), one])
  return [...found].sort(([a], [b]) => order(a, b))
}
const counting = ({ records }: Raw, { currency }: Pick<Asked, 'currency'>) =>
  records
    .filter(r => r.status !== 'void' && (currency === undefined || r.currency === currency))
    .map(r => ({
      ...r,
      in: currency ?? r.base_currency,
      minor: Number(currency === undefined ? r.base_amount_minor : r.amount_minor),
    }))
type Counted = ReturnType<typeof counting>[number]
const total = (of: Counted[]) => of.reduce((sum, { minor }) => sum + minor, 0)
const profitOf = (of: Counted[]) => {
  const income_minor = total(of.filter(r => r.kind === 'income'))
  const expense_minor = total(of.filter(r => r.kind === 'expense'))
  return { income_minor, expense_minor, profit_minor: income_minor - expense_minor }
}
const byStatus = (of: Counted[]) =>
  Object.fromEntries(
    ['planned', 'committed', 'actual'].map(status => {
      const these = of.filter(r => r.status === status)
      return [status, { ...profitOf(these), records: these.length }]
    }),
  )

export const financeItems = (raw: Raw, asked: Asked) =>
  groups(
    counting(raw, asked).filter(r => within(asked, r.booked_on)),
    r => `${startOf(asked.period, r.booked_on)} ${r.in}`,
  ).map(([key, of]) => ({ period_on: key.slice(0, 10), currency: key.slice(11), ...byStatus(of) }))

export const categoryItems = (raw: Raw, asked: Asked) =>
  groups(
    counting(raw, asked).filter(r => within(asked, r.booked_on)),
    r => `${r.category_id} ${r.in}`,
  ).map(([, of]) => {
    const [{ category_id, category, kind, in: currency }] = of as [Counted]
    const sum = (status: string) => total(of.filter(r => r.status === status))
    return {
      category_id,
      category,
      kind,
      currency,
      planned_minor: sum('planned'),
      committed_minor: sum('committed'),
      actual_minor: sum('actual'),
      records: of.length,
    }
  })

export const showProfitItems = (raw: Raw, asked: Asked) =>
  raw.shows
    .filter(s => within(asked, s.show_on))
    .flatMap(s =>
      groups(
        counting(raw, asked).filter(r => r.show_id === s.id),
        r => r.in,
      ).map(([currency, of]) => ({
        show_id: s.id,
        show_on: s.show_on,
        title: s.title,
        artist: s.artist,
        status: s.status,
        currency,
        ...byStatus(of),
      })),
    )
    .sort(
      (a, b) => order(b.show_on, a.show_on) || order(a.show_id, b.show_id) || order(a.currency, b.currency),
    )

const share = (part: number, all: number) => (all === 0 ? null : Math.round((part / all) * 10_000) / 10_000)

const statuses = ['inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed']
export const emptyMonth = {
  created: 0,
  shows: 0,
  by_status: Object.fromEntries(statuses.map(status => [status, 0])),
  completed: 0,
  completion_rate: null,
}
export function showItems({ shows, steps }: Raw, asked: Asked) {
  const wasHeld = ({ id, status }: RawShow) =>
    status === 'hold' || steps.some(step => step.show === id && step.status === 'hold')
  const wasConverted = ({ id }: RawShow) => {
    const own = steps.filter(step => step.show === id).map(({ status }) => status)
    return own.includes('hold') && own.slice(own.indexOf('hold')).includes('confirmed')
  }
  const periods = new Set<string>()
  for (const s of shows)
    for (const day of [s.show_on, s.created_in])
      if (within(asked, day)) periods.add(startOf(asked.period, day))
  return [...periods].sort(order).map(period_on => {
    const isIn = (day: string) => within(asked, day) && startOf(asked.period, day) === period_on
    const these = shows.filter(s => isIn(s.show_on))
    const count = (...of: string[]) => these.filter(s => of.includes(s.status)).length
    const sold = these.filter(
      s => s.capacity !== null && ['confirmed', 'played', 'settled'].includes(s.status),
    )
    const capacity = sold.reduce((sum, s) => sum + (s.capacity ?? 0), 0)
    const tickets_sold = sold.reduce((sum, s) => sum + s.tickets_sold, 0)
    const completed = count('played', 'settled')
    const held = these.filter(wasHeld).length
    const confirmed_from_hold = these.filter(wasConverted).length
    return {
      period_on,
      created: shows.filter(s => isIn(s.created_in)).length,
      shows: these.length,
      by_status: Object.fromEntries(statuses.map(status => [status, count(status)])),
      completed,
      completion_rate: share(completed, completed + count('cancelled')),
      held,
      confirmed_from_hold,
      hold_conversion_rate: share(confirmed_from_hold, held),
      capacity,
      tickets_sold,
      sell_through: share(tickets_sold, capacity),
    }
  })
}

/** The shows of the current month. */
function monthOf(raw: Raw) {
  const [found = emptyMonth] = showItems(raw, { period: 'month', from: raw.today, to: raw.today })
  const { created, shows, by_status, completed, completion_rate } = found
  return { created, shows, by_status, completed, completion_rate }
}
export function dashboard(raw: Raw) {
  const { shows, today, currency } = raw
  const all = counting(raw, {})
  const own = all.filter(r => r.in === currency)
  const [month, year] = [today.slice(0, 7), today.slice(0, 4)]
  const open = (kind: string) =>
    own.filter(
      r => r.kind === kind && r.status !== 'planned' && ['unpaid', 'partly_paid'].includes(r.payment_status),
    )
  const overdue = (kind: string) => open(kind).filter(r => r.due_on !== null && r.due_on < today)
  const coming = shows.filter(s => s.show_on >= today)
  const live = coming.filter(s => !['cancelled', 'postponed'].includes(s.status))
  const soon = new Date(`${today}T00:00:00Z`).getTime() + 30 * 86_400_000
  const played = shows.filter(s => ['played', 'settled'].includes(s.status))
  return {
    today,
    shows: {
      coming: live.length,
      coming_confirmed: coming.filter(s => s.status === 'confirmed').length,
      coming_held: coming.filter(s => s.status === 'hold').length,
      in_30_days: live.filter(s => new Date(`${s.show_on}T00:00:00Z`).getTime() < soon).length,
      next_on:
        coming
          .filter(s => s.status === 'confirmed')
          .map(s => s.show_on)
          .sort(order)[0] ?? null,
      to_settle: shows.filter(s => s.status === 'played').length,
      played_this_month: played.filter(s => s.show_on.startsWith(month)).length,
      played_this_year: played.filter(s => s.show_on.startsWith(year)).length,
      this_month: monthOf(raw),
    },
    money: {
      currency,
      this_month: profitOf(own.filter(r => r.status === 'actual' && r.booked_on.startsWith(month))),
      this_year: profitOf(own.filter(r => r.status === 'actual' && r.booked_on.startsWith(year))),
      open_this_year: profitOf(own.filter(r => r.status !== 'actual' && r.booked_on.startsWith(year))),
      receivable_minor: total(open('income')),
      receivable_overdue_minor: total(overdue('income')),
      payable_minor: total(open('expense')),
      payable_overdue_minor: total(overdue('expense')),
      records_in_other_base_currencies: all.length - own.length,
    },
  }
}
