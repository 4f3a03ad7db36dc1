import { Type } from '@sinclair/typebox'
import {
  Currency,
  FinanceKind,
  Id,
  Line,
  MinorUnits,
  Nullable,
  omittable,
  Patch,
  rowOf,
  Strict,
  Text,
} from '../http/schemas.ts'
import { instant, list } from '../tenant/list.ts'
import { of, resource } from '../tenant/resource.ts'
import { ExchangeRate } from './shapes.ts'

const changeable = { category_id: Id, amount_minor: MinorUnits }
const optional = { exchange_rate: ExchangeRate, note: Nullable(Text(1000, 'Two vans, sixteen days.')) }
const currency = Type.String({ ...Currency, description: 'ISO 4217; the organization’s own by default' })
const BudgetLine = rowOf('BudgetLine', {
  itinerary_id: Id,
  ...changeable,
  currency,
  ...optional,
  kind: FinanceKind,
  category_name: Line('Travel'),
  base_amount_minor: Type.Integer({
    ...MinorUnits,
    description: 'The amount in the base currency, in its smallest unit',
    examples: [1358125],
  }),
  base_currency: Currency,
})
const permissions = of('finance')

/** What a tour is planned to bring and to cost. */
export const budgetLineRoutes = resource({
  table: 'budget_lines',
  title: 'BudgetLine',
  words: 'budget line',
  tag: 'finance',
  path: '/api/budget-lines',
  under: '/api/itineraries/:id/budget-lines',
  parent: 'itinerary_id',
  permissions,
  item: BudgetLine,
  list: {
    rows: list({
      from: 'budget_line_rows',
      permission: permissions.read,
      bin: permissions.delete,
      item: BudgetLine,
      sorts: { created_at: instant },
      filters: { category_id: Id, kind: FinanceKind },
    }),
    answers: 'Budget lines',
    summary: 'List the budget of a tour',
    description: 'In the order in which they were entered.',
  },
  create: {
    summary: 'Enter a budget line',
    description:
      'Whether it is income or an expense follows from the category. Several lines of a category add up; each has one currency, which stays.',
    body: Strict({ ...changeable, ...omittable({ currency, ...optional }) }, { title: 'NewBudgetLine' }),
  },
  read: { summary: 'Read a budget line', description: 'With the name of its category.' },
  update: {
    summary: 'Change some fields of a budget line',
    description: 'Omitted fields stay as they are. For another currency, enter another line.',
    body: Patch(Type.Object({ ...changeable, ...optional }), 'BudgetLineChange'),
  },
  delete: { summary: 'Delete a budget line', description: 'It can be restored.' },
  restore: {
    summary: 'Restore a deleted budget line',
    description: 'If its itinerary or its category is deleted, restore that first.',
    problems: ['parent_deleted'],
  },
})
