import { type TObject, type TProperties, Type } from '@sinclair/typebox'
import type { Fragment } from 'postgres'
import type { Client } from '../database/pool.ts'
import { Problem } from '../http/problem.ts'
import { Deleted, sortBy } from '../http/schemas.ts'
import type { Answer } from './answer.ts'

/** The type of a column that a list can be sorted by, as its values are written in a cursor. */
export type SortType = 'date' | 'text' | 'timestamptz'
export const text = 'text'
export const day = 'date'
export const instant = 'timestamptz'

interface Source {
  /** A view in `app` with `organization_id`, `id`, `body` (an item's JSON) and the sort columns. */
  from: string
  /** Without it the list is refused; an empty list would be misleading. */
  permission: string
  /** Another permission that is enough. */
  or?: string
  /** Columns that `?sort=` can sort by; a minus before the name reverses the order. */
  sorts: Record<string, SortType>
  /** The column of the view that a sort goes by, if it is another one: values in it are never null. */
  by?: Record<string, string>
}
/** The rows to select. */
interface Selection extends Source {
  sort: string
  /**
   * For a view with `deleted_at` and `deleted_by`, which includes the rows in the bin: whether to
   * select these instead of the others (`deleted=only`), and the permission required to see them.
   */
  bin?: { deleted: 'only' | undefined; permission: string }
  /** Conditions; undefined ones are omitted. */
  where: (Fragment | undefined)[]
}
export interface PageOptions extends Selection {
  limit: number | undefined
  cursor: string | undefined
  /** A call that refuses if the parent of the list does not exist; otherwise the list would just be empty. */
  of?: Fragment
}

/** Filters of a list, as in its query string. */
export type Filters = Partial<Record<string, string>>
/** The condition of a filter that is more than "the column of this name has this value". */
type Condition = (sql: Client, value: string) => Fragment

/** A list with its filters, declared once for its route and for its export. Its view has the fields of an item. */
export interface List extends Source {
  /** The order without `?sort=`. */
  sort: string
  /** The permission to see the bin, if there is one. */
  bin?: string
  /** The parameters of its query string besides `limit` and `cursor`. */
  filters: TProperties
  conditions: Record<string, Condition>
  item: TObject
}

/** Declares a list. Without `sort` it is sorted by the first sortable column. */
export function list({
  filters = {},
  where = {},
  sort,
  ...source
}: Omit<List, 'filters' | 'conditions' | 'sort'> & {
  sort?: string
  filters?: TProperties
  where?: Record<string, Condition>
}): List {
  return {
    ...source,
    sort: sort ?? Object.keys(source.sorts)[0] ?? '',
    filters: {
      ...Type.Partial(Type.Object(filters)).properties,
      sort: Type.Optional(sortBy(source.sorts)),
      ...(source.bin !== undefined && { deleted: Deleted }),
    },
    conditions: where,
  }
}

/** The fields of an item, in order; deleted_at and deleted_by only in the bin. */
const fieldsOf = ({ item }: List, isBin: boolean): string[] =>
  Object.keys(item.properties).filter(name => isBin || !['deleted_at', 'deleted_by'].includes(name))

/** The rows of a list that a query string selects. */
function selected(sql: Client, list: List, { sort = list.sort, deleted, ...given }: Filters): Selection {
  const { from, permission, or, sorts, by = {}, bin, filters, conditions } = list
  // In the order of the declaration, not of the query string: each order is a statement to be prepared.
  const where = Object.keys(filters).map(name => {
    const value = given[name]
    if (value === undefined) return undefined
    return conditions[name]?.(sql, value) ?? sql`${sql(name)} = ${value}`
  })
  const selection = { from, permission, ...(or !== undefined && { or }), sorts, by, sort, where }
  return bin === undefined
    ? selection
    : { ...selection, bin: { permission: bin, deleted: deleted as 'only' | undefined } }
}

/** The parent of a list: the column, its value, and a call that refuses if it does not exist. */
export interface Parent {
  column: string
  id: string
  of: Fragment
}

/** One page of a list, by its query string; for a list under a parent, only what belongs to that. */
export function listed(
  sql: Client,
  list: List,
  { limit, cursor, ...filters }: { limit?: number | undefined; cursor?: string | undefined },
  parent?: Parent,
) {
  const rows = { ...selected(sql, list, filters), limit, cursor }
  if (parent === undefined) return page(sql, rows)
  const where = [sql`${sql(parent.column)} = ${parent.id}`, ...rows.where]
  return page(sql, { ...rows, where, of: parent.of })
}

/** Rows that can be exported: all of a list, or anything else that a statement selects. */
export interface Rows {
  /** What they are, in a sentence without its full stop. */
  about: string
  item: TObject
  /** The permissions to read them. */
  permissions: string[]
  /** The problems that reading them may have. */
  problems: string[]
  /** The parameters of the query string. */
  filters: TProperties
  /** The fields of an item with these filters, in order. */
  fields: (filters: Filters) => string[]
  /** Selects them, in order, with the fields as columns. */
  select: (sql: Client, filters: Filters, settings: RowSettings) => Fragment
}
/** Settings of the server that rows depend on. */
export interface RowSettings {
  /** How late use is counted, in seconds. */
  delay: number
}

/** All rows of a list that match the filters. */
export function rowsOf(list: List): Rows {
  const fields = ({ deleted }: Filters) => fieldsOf(list, deleted === 'only')
  return {
    about: 'All rows of the list with these filters',
    item: list.item,
    permissions: [list.permission],
    problems: [],
    filters: list.filters,
    fields,
    select: (sql, filters) => {
      const { asked, isAsked, key, direction, conditions } = partsOf(sql, selected(sql, list, filters))
      return sql`
        ${asked}
        select ${columns(sql, fields(filters))}
        from app.${sql(list.from)} r
        where organization_id = (select organization_id from asked) ${conditions} and ${isAsked}
        order by r.${key} ${direction}, r.id ${direction}`
    },
  }
}

/** As one text: a fragment per column would cost a promise per column. */
const columns = (sql: Client, names: string[]) => sql.unsafe(names.map(name => `"${name}"`).join(', '))

const comma = (sql: Client, parts: Fragment[]) => parts.reduce((all, one) => sql`${all}, ${one}`)

/** The content of app.cursor: the list and sort it was made for, and the last row's value and id. */
function decode(cursor: string, list: string): [string, string] {
  try {
    const [madeFor, value, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown[]
    if (madeFor === list && typeof value === 'string' && typeof id === 'string' && /^[0-9a-f-]{36}$/.test(id))
      return [value, id]
  } catch {
    // Falls through to the refusal.
  }
  throw new Problem(
    400,
    'invalid_cursor',
    'Use next_cursor of the previous page as the cursor, with the same sort.',
  )
}

/** The parts of a statement that selects rows in order, after a value and id if these are given. */
function partsOf(sql: Client, options: Selection, [value, id]: string[] = []) {
  const descending = options.sort.startsWith('-')
  // The schema of the request lets no other names through: see sortBy.
  const column = options.sort.replace(/^-/, '')
  const key = sql(options.by?.[column] ?? column)
  const conditions: Fragment[] = options.where.filter(condition => condition !== undefined)
  const isBin = options.bin?.deleted === 'only'
  const needed = new Set([options.permission, ...(isBin ? [options.bin?.permission ?? ''] : [])])
  if (options.bin) conditions.push(isBin ? sql`deleted_at is not null` : sql`deleted_at is null`)
  if (value !== undefined && id !== undefined) {
    const compared = descending ? sql`<` : sql`>`
    const typed = {
      date: sql`${value}::text::date`,
      text: sql`${value}::text`,
      timestamptz: sql`${value}::text::timestamptz`,
    }[options.sorts[column] as SortType]
    conditions.push(sql`(${key}, id) ${compared} (${typed}, ${id}::text::uuid)`)
  }
  return {
    key,
    isBin,
    direction: descending ? sql`desc` : sql`asc`,
    conditions: conditions.reduce((all, condition) => sql`${all} and ${condition}`, sql``),
    // Evaluated once, and also checked on its own, because a scan that finds no row never evaluates it.
    asked: sql`with asked (organization_id) as materialized (select ${comma(
      sql,
      [...needed].map(permission =>
        options.or !== undefined && permission === options.permission
          ? sql`coalesce(app.org_if_reading(${options.or}), app.require_reading(${permission}))`
          : sql`app.require_reading(${permission})`,
      ),
    )})`,
    isAsked: sql`(select organization_id from asked) is not null`,
  }
}

/** One page of a list, by keyset pagination: its cost does not grow with the distance from the first. */
export function page(sql: Client, options: PageOptions) {
  const limit = options.limit ?? 50
  const list = `${options.from} ${options.sort}`
  const beyond = options.cursor === undefined ? [] : decode(options.cursor, list)
  const { asked, isAsked, key, isBin, direction, conditions } = partsOf(sql, options, beyond)
  const body = isBin ? sql`app.in_bin(body::text, deleted_at, deleted_by)` : sql`body::text`
  // Put together as text, because PostgreSQL would parse each item of JSON again; and in few pieces, each of which is copied.
  return sql<Answer[]>`
    ${asked}
    , page as (
      select ${body} as body, id, ${key} as key
      from app.${sql(options.from)}
      where organization_id = (select organization_id from asked) ${conditions}
      order by ${key} ${direction}, id ${direction}
      limit ${limit + 1}
    )
    -- Numbered as they come, which costs a third less than sorting the whole JSON again.
    , cut as (
      select string_agg(case n when 1 then '{"items":[' else ',' end || body, '') filter (where n <= ${limit}) as items,
        case when count(*) > ${limit} then
          app.cursor(${list}, max(key::text) filter (where n = ${limit}), max(id::text) filter (where n = ${limit})) end as next_cursor
      from (select body, key, id, row_number() over () as n from page) numbered
    )
    select coalesce(items, '{"items":[') || ('],"next_cursor":' || coalesce(to_json(next_cursor)::text, 'null') || '}') as body, next_cursor from cut
    where ${isAsked} ${options.of ? sql`and ${options.of} is not null` : sql``}`.raw()
}
