import { type TProperties, Type } from '@sinclair/typebox'
import {
  Count,
  Currency,
  DateOnly,
  FinanceKind,
  Id,
  Line,
  Nullable,
  Strict,
  Sum,
  Timestamp,
} from '../http/schemas.ts'

/** The first fields of every answer with figures. */
export const fresh = {
  as_of: Nullable(
    Type.String({
      ...Timestamp,
      description: 'The figures are complete up to this moment; null: there are none yet',
    }),
  ),
  is_current: Type.Boolean({
    description: 'Whether the organization has changed nothing since that would affect them',
    examples: [true],
  }),
}
const Period = Type.String({
  enum: ['month', 'quarter', 'year'],
  description: 'What is aggregated; month by default',
  examples: ['month'],
})
/** The months that figures are requested for. */
export const monthsQuery = {
  from: Type.Optional(
    Type.String({
      ...DateOnly,
      description: 'A day in the first month; by default January of the year of `to`, or of this year',
      examples: ['2027-01-01'],
    }),
  ),
  to: Type.Optional(
    Type.String({
      ...DateOnly,
      description: 'A day in the last month; by default December of the year of `from`',
      examples: ['2027-12-31'],
    }),
  ),
}
export const periodsQuery = { period: Type.Optional(Period), ...monthsQuery }
export const currencyQuery = {
  currency: Type.Optional(
    Type.String({ ...Currency, description: 'Only amounts entered in it, unconverted' }),
  ),
}

const months = {
  from: Type.String({ ...DateOnly, description: 'First day of the first month', examples: ['2027-01-01'] }),
  to: Type.String({ ...DateOnly, description: 'Last day of the last month', examples: ['2027-12-31'] }),
}
const period_on = Type.String({
  ...DateOnly,
  description: 'First day of the period; empty periods are omitted',
  examples: ['2027-03-01'],
})
const income_minor = Sum('Income including tax, in the smallest unit of the currency', 4_200_000)
const expense_minor = Sum('Expenses including tax, in the smallest unit of the currency', 3_100_000)
const profit_minor = Sum('Income less expenses', 1_100_000)
export const Profit = Strict({ income_minor, expense_minor, profit_minor }, { title: 'Profit' })
const ProfitAndLoss = Strict(
  { income_minor, expense_minor, profit_minor, records: Count(0, 12) },
  { title: 'ProfitAndLoss' },
)
const byStatus = { planned: ProfitAndLoss, committed: ProfitAndLoss, actual: ProfitAndLoss }
export const currency = Type.String(Currency)

const figures = (item: TProperties, title: string, more: TProperties = {}) =>
  Strict({ ...fresh, ...more, ...months, items: Type.Array(Strict(item), { maxItems: 100_000 }) }, { title })

export const FinanceFigures = figures({ period_on, currency, ...byStatus }, 'FinanceFigures', {
  period: Period,
})
export const CategoryFigures = figures(
  {
    category_id: Id,
    category: Line('Ticket sales'),
    kind: FinanceKind,
    currency,
    planned_minor: Sum('Planned, including tax', 500_000),
    committed_minor: Sum('Committed, including tax', 0),
    actual_minor: Sum('Actually received or paid, including tax', 4_200_000),
    records: Count(1, 12),
  },
  'CategoryFigures',
)
export const ShowProfits = figures(
  {
    show_id: Id,
    show_on: DateOnly,
    title: Line('Winter Tour'),
    artist: Line('The Gaslights'),
    status: Type.String({
      maxLength: 20,
      pattern: '^[a-z]+$',
      description: 'Status of the show',
      examples: ['settled'],
    }),
    currency,
    ...byStatus,
  },
  'ShowProfits',
)

const statuses = ['inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed']
const Rate = (description: string, example: number) =>
  Nullable(Type.Number({ minimum: 0, maximum: 1, description, examples: [example] }))
/** What became of shows. */
export const outcome = {
  shows: Count(0, 14),
  by_status: Strict(
    Object.fromEntries(statuses.map(status => [status, Count(0, status === 'settled' ? 8 : 1)])),
  ),
  completed: Count(0, 9),
  completion_rate: Rate('Share of played or settled shows among those and the cancelled', 0.9),
}
export const ShowFigures = figures(
  {
    period_on,
    created: Type.Integer({
      ...Count(0, 9),
      description:
        'Shows entered in this period, whatever their date; all else is about the shows of this period',
    }),
    ...outcome,
    held: Type.Integer({
      ...Count(0, 6),
      description: 'Shows that are or were on hold, as far back as events are kept',
    }),
    confirmed_from_hold: Count(0, 3),
    hold_conversion_rate: Rate('Share of the shows on hold that were confirmed afterwards', 0.5),
    capacity: Sum('Of confirmed, played and settled shows with a known capacity', 12_000),
    tickets_sold: Sum('Of the same shows', 9_000),
    sell_through: Rate('Tickets sold as a share of capacity', 0.75),
  },
  'ShowFigures',
  { period: Period },
)

export const Freshness = Strict(
  { name: Type.String({ pattern: '^[a-z_]+$', maxLength: 63, examples: ['finance_by_month'] }), ...fresh },
  { title: 'Freshness' },
)
