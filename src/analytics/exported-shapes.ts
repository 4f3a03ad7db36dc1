// Figures as rows, for exports: those of each answer under /api/analytics, flat, with the moment they represent.
import { type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox'
import type { Fragment } from 'postgres'
import type { Client } from '../database/pool.ts'
import { Id, Nullable, Strict } from '../http/schemas.ts'
import type { Filters, Rows, RowSettings } from '../tenant/list.ts'
import { Action } from '../audit/shapes.ts'
import { Activity, range } from './activity-shapes.ts'
import { Dashboard } from './dashboard-shapes.ts'
import { Use } from './integration-shapes.ts'
import {
  CategoryFigures,
  currencyQuery,
  FinanceFigures,
  fresh,
  monthsQuery,
  periodsQuery,
  ShowFigures,
  ShowProfits,
} from './shapes.ts'

/** A field of a row: where it is in the answer, and its schema. */
type Leaf = [path: string[], schema: TSchema]

const isObject = (schema: TSchema): schema is TObject => schema['properties'] !== undefined
const withoutNull = (schema: TSchema): TSchema[] =>
  (schema['anyOf'] as TSchema[] | undefined)?.filter(({ type }) => type !== 'null') ?? [schema]

/** The fields of an object and of the objects in it, but not of its arrays, which are series of their own. */
function leavesOf({ properties }: TObject, isNullable: boolean): Leaf[] {
  return Object.entries(properties).flatMap(([name, schema]): Leaf[] => {
    const [only = schema] = withoutNull(schema)
    if (schema.type === 'array') return []
    if (isObject(only))
      return leavesOf(only, isNullable || only !== schema).map(([path, leaf]) => [[name, ...path], leaf])
    return [[[name], isNullable && only === schema ? Nullable(schema) : schema]]
  })
}

/** The object at a path of an answer, or an item of the array there. */
const at = (answer: TObject, path: string) =>
  path
    .split('.')
    .filter(Boolean)
    .reduce<TSchema>((found, name) => (found as TObject).properties[name] as TSchema, answer)
const itemAt = (answer: TObject, path: string): TObject => {
  const found = at(answer, path)
  return (found.type === 'array' ? found['items'] : found) as TObject
}

/** How a value of the JSON is cast. Instants then get the spelling of their format. */
function typeOf(schema: TSchema): string {
  const [{ type, format } = schema] = withoutNull(schema)
  if (type === 'integer' || type === 'number') return 'numeric'
  if (type === 'boolean') return 'boolean'
  return format === 'date-time' ? 'timestamptz' : 'text'
}

/** The rows of an answer: the items of its only array, or of several, which `series` tells apart. */
function figures({
  path,
  title,
  answer,
  series = ['items'],
  needs = [],
  filters,
  call,
}: {
  path: string
  title: string
  answer: TObject
  /** Paths of arrays, or of objects that are a row; empty for the answer itself. */
  series?: string[]
  /** Permissions besides analytics.read. */
  needs?: string[]
  filters: TProperties
  call: (sql: Client, filters: Filters, settings: RowSettings) => Fragment
}): Rows {
  const isMixed = series.length > 1
  const leaves = new Map<string, Leaf>()
  for (const [path, schema] of series.flatMap(name => leavesOf(itemAt(answer, name), isMixed))) {
    const name = path.join('_')
    if (!(name in fresh) && !leaves.has(name)) leaves.set(name, [path, schema])
  }
  const Series = Type.String({
    enum: series,
    description: 'The part of the answer',
    examples: series.slice(0, 1),
  })
  const item = Strict(
    {
      ...(isMixed && { series: Series }),
      ...fresh,
      ...Object.fromEntries([...leaves].map(([name, [, schema]]) => [name, schema])),
    },
    { title },
  )
  const columns = [
    ...(isMixed ? ['f.series_name as series'] : []),
    ...Object.keys(fresh).map(name => `a.${name}`),
    ...[...leaves].map(
      ([name, [path, schema]]) => `(f.item #>> '{${path.join()}}')::${typeOf(schema)} as ${name}`,
    ),
  ].join(', ')
  return {
    about: `What \`GET ${path}\` answers, as flat rows${isMixed ? ', of which `series` says where they are in it' : ''}`,
    item,
    permissions: ['analytics.read', ...needs],
    problems: path.endsWith('/dashboard') ? [] : ['analytics_range'],
    filters: { ...filters, ...(isMixed && { series: Type.Optional(Series) }) },
    fields: () => Object.keys(item.properties),
    select: (sql, { series: only, ...given }, settings) => {
      const quoted = (only === undefined ? series : [only]).map(name => `"${name}"`).join()
      return sql`
        with a as materialized (
          select body, (body ->> 'as_of')::timestamptz as as_of, (body ->> 'is_current')::boolean as is_current
          from ${call(sql, given, settings)}
        )
        select ${sql.unsafe(columns)} from a, app.figure_items(a.body, ${`{${quoted}}`}) f order by f.n`
    },
  }
}

export const financeFigures = figures({
  path: '/api/analytics/finance',
  title: 'FinanceFigure',
  answer: FinanceFigures,
  needs: ['finance.read'],
  filters: { ...periodsQuery, ...currencyQuery },
  call: (sql, { period = 'month', from = null, to = null, currency = null }) =>
    sql`app.finance_figures(${period}, ${from}::text::date, ${to}::text::date, ${currency})`,
})
export const categoryFigures = figures({
  path: '/api/analytics/finance/categories',
  title: 'CategoryFigure',
  answer: CategoryFigures,
  needs: ['finance.read'],
  filters: { ...monthsQuery, ...currencyQuery },
  call: (sql, { from = null, to = null, currency = null }) =>
    sql`app.category_figures(${from}::text::date, ${to}::text::date, ${currency})`,
})
export const showProfits = figures({
  path: '/api/analytics/finance/shows',
  title: 'ShowProfit',
  answer: ShowProfits,
  needs: ['finance.read', 'shows.read'],
  filters: { ...monthsQuery, ...currencyQuery },
  // Of all shows.
  call: (sql, { from = null, to = null, currency = null }) =>
    sql`app.show_profits(${from}::text::date, ${to}::text::date, ${currency}, null)`,
})
export const showFigures = figures({
  path: '/api/analytics/shows',
  title: 'ShowFigure',
  answer: ShowFigures,
  filters: periodsQuery,
  call: (sql, { period = 'month', from = null, to = null }) =>
    sql`app.show_figures(${period}, ${from}::text::date, ${to}::text::date)`,
})
export const activityFigures = figures({
  path: '/api/analytics/activity',
  title: 'ActivityFigure',
  answer: Activity,
  series: [
    'totals',
    'by_day',
    'by_week',
    'by_action',
    'by_day_and_action',
    'by_user',
    'client_events.by_day',
    'client_events.by_name',
  ],
  filters: { ...range, user_id: Type.Optional(Id), action: Type.Optional(Action) },
  call: (sql, { from = null, to = null, user_id = null, action = null }) =>
    sql`app.activity_figures(${from}::text::date, ${to}::text::date, ${user_id}, ${action})`,
})
export const integrationFigures = figures({
  path: '/api/analytics/integrations',
  title: 'IntegrationFigure',
  answer: Use,
  series: ['integrations', 'integrations_by_day', 'api.totals', 'api.by_day', 'api.by_operation'],
  filters: range,
  call: (sql, { from = null, to = null }, { delay }) =>
    sql`app.use_figures(${from}::text::date, ${to}::text::date, ${String(delay)})`,
})
export const dashboardFigures = figures({
  path: '/api/analytics/dashboard',
  title: 'DashboardFigure',
  answer: Dashboard,
  series: [''],
  filters: {},
  call: sql => sql`app.read_dashboard()`,
})
