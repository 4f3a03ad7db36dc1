import { FinanceKind, Id, inBin, Line, Strict, Timestamp } from '../http/schemas.ts'
import { list, text } from '../tenant/list.ts'
import { of, resource } from '../tenant/resource.ts'

const fields = { kind: FinanceKind, name: Line('Lighting') }
const NewCategory = Strict(fields, { title: 'NewFinanceCategory' })
const Category = Strict(
  { id: Id, ...fields, created_at: Timestamp, updated_at: Timestamp, ...inBin },
  { title: 'FinanceCategory' },
)
const categories = list({
  from: 'finance_category_rows',
  permission: 'finance.read',
  bin: 'finance.delete',
  item: Category,
  sorts: { name: text },
  filters: { kind: FinanceKind },
})

/** What income and expenses are for. */
export const financeCategoryRoutes = resource({
  table: 'finance_categories',
  title: 'FinanceCategory',
  words: 'category',
  tag: 'finance',
  path: '/api/finance-categories',
  permissions: of('finance'),
  item: Category,
  list: {
    rows: categories,
    answers: 'Categories',
    summary: 'List categories',
    description: 'By name. A new organization has the usual ones.',
  },
  create: {
    summary: 'Add a category',
    description: 'Names are unique within each kind.',
    problems: ['finance_category_name_taken'],
    body: NewCategory,
  },
  read: { summary: 'Read a category', description: 'With its version as ETag.' },
  update: {
    operationId: 'renameFinanceCategory',
    summary: 'Rename a category',
    description: 'In all records that use it.',
    problems: ['finance_category_name_taken'],
    body: Strict({ name: fields.name }, { title: 'FinanceCategoryName' }),
  },
  delete: {
    summary: 'Delete a category that no record uses',
    description: 'It can be restored.',
    problems: [
      'finance_records_category_exists',
      'budget_lines_category_exists',
      'expenses_category_exists',
      'per_diems_category_exists',
    ],
  },
  restore: {
    summary: 'Restore a deleted category',
    description: 'Unless another one has taken its name.',
    problems: ['finance_category_name_taken'],
  },
})
