// One entity-relationship diagram for each subject, in Mermaid.
import type { Constraint, Table } from './catalogue.ts'

/** Omits the schema where it is `app`, as almost everywhere. */
export const short = (name: string) => name.replace(/^app\./, '')

// Every row says whose it is and who wrote it: drawn for every table, these would hide everything else.
const isEverywhere = ({ columns, target }: Constraint) =>
  (target === 'app.organizations' && columns.join() === 'organization_id') ||
  (target === 'app.users' && columns.every(name => name.endsWith('_by')))

/** The tables with their key columns, and every table that they refer to or that refers to them. */
export function diagram(tables: Table[], isOwn: (name: string) => boolean): string[] {
  const own = tables.filter(({ name }) => isOwn(name))
  const relations = tables.flatMap(table =>
    table.constraints
      .filter(key => key.type === 'f' && key.target !== null)
      .filter(key => isOwn(table.name) || isOwn(key.target ?? ''))
      .filter(key => !isEverywhere(key) || (isOwn(table.name) && isOwn(key.target ?? '')))
      .map(key => relation(table, key)),
  )
  return ['```mermaid', 'erDiagram', ...own.flatMap(entity), ...[...new Set(relations)].sort(), '```', '']
}

function entity({ name, columns, constraints }: Table): string[] {
  const keysOf = (column: string) => [
    ...new Set(
      constraints
        .filter(key => key.columns.includes(column))
        .map(({ type }) => ({ p: 'PK', f: 'FK', u: 'UK', x: '', c: '' })[type])
        .filter(key => key !== ''),
    ),
  ]
  const keys = columns.filter(column => keysOf(column.name).length > 0 && !column.name.endsWith('_by'))
  const attributes = keys.map(
    ({ name, type }) => `    ${type.replace(/[^\w()[\]]+/g, '_')} ${name} ${keysOf(name).join(', ')}`,
  )
  return [
    `  ${quoted(name)}${attributes.length > 0 ? ' {' : ''}`,
    ...attributes,
    ...(attributes.length > 0 ? ['  }'] : []),
  ]
}

function relation(table: Table, key: Constraint): string {
  const isOptional = key.columns.some(name => table.columns.find(column => column.name === name)?.isNullable)
  const isOne = table.constraints.some(
    ({ type, columns }) =>
      (type === 'p' || type === 'u') && columns.every(name => key.columns.includes(name)),
  )
  const label = key.columns.filter(name => name !== 'organization_id' || key.columns.length === 1).join(', ')
  return `  ${quoted(key.target ?? '')} ${isOptional ? '|o' : '||'}--${isOne ? 'o|' : 'o{'} ${quoted(table.name)} : "${label}"`
}

const quoted = (name: string) => (short(name).includes('.') ? `"${name}"` : short(name))
