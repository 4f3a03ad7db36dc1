import { Patch } from '../http/schemas.ts'
import { of, resource } from '../tenant/resource.ts'
import { FinanceRecord, financeRecords, NewRecord, WholeRecord } from './shapes.ts'

const entered = ['finance_record_external_ref_taken', 'period_closed']
/** For records that something else has entered, and that change only with it. */
const owned = ['finance_record_of_settlement', 'finance_record_of_expense', 'finance_record_of_per_diem']
const changed = [...entered, 'finance_record_status_transition', ...owned]

/** Income and expenses, planned and actual. */
export const financeRecordRoutes = resource({
  table: 'finance_records',
  noun: 'finance_record',
  title: 'FinanceRecord',
  words: 'finance record',
  tag: 'finance',
  path: '/api/finance-records',
  permissions: of('finance'),
  item: FinanceRecord,
  list: {
    rows: financeRecords,
    answers: 'Finance records',
    summary: 'List finance records',
    description:
      'By booking date. Multiple filters must all match. `source` with `external_ref` finds a record by its reference in another system.',
  },
  create: {
    summary: 'Enter income or an expense',
    description:
      'The amount in the organization’s currency is fixed now, by `exchange_rate`. A closed month accepts none.',
    problems: entered,
    body: NewRecord,
  },
  read: { summary: 'Read a finance record', description: 'With the names of its category and show.' },
  replace: {
    summary: 'Replace a finance record',
    description: 'Omitted fields become empty; the base currency stays that of the first booking.',
    problems: changed,
    body: WholeRecord,
  },
  update: {
    summary: 'Change some fields of a finance record',
    description:
      'Omitted fields stay as they are. Another currency needs its exchange rate. Of a record that a settlement or an expense has entered, only category, itinerary, payment, due day, counterparty and notes can be changed.',
    problems: changed,
    body: Patch(WholeRecord, 'FinanceRecordChange'),
  },
  delete: {
    summary: 'Delete a finance record',
    description: 'Only in an open month; it can be restored. To keep it visible, make it void instead.',
    problems: ['period_closed', ...owned],
  },
  restore: {
    summary: 'Restore a deleted finance record',
    description:
      'As it was. If its category, or the show or itinerary it is planned for, is deleted, restore that first.',
    problems: ['parent_deleted', 'period_closed', 'finance_record_external_ref_taken', ...owned],
  },
})
