// Figures and itineraries can be exported like lists, streamed and as files, and are what their own endpoints say.
import { t } from '../support/tap.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { refresh } from '../support/figures.ts'
import { anItinerary } from '../support/itineraries.ts'
import { aShow, join, joinAs, register, startServer, until } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

type Row = Record<string, unknown>
/** Each resource, the endpoint with the same figures, and where in its answer they are. */
const figures = {
  finance_figures: ['finance', ['items']],
  category_figures: ['finance/categories', ['items']],
  show_profits: ['finance/shows', ['items']],
  show_figures: ['shows', ['items']],
  activity: [
    'activity',
    [
      'totals',
      'by_day',
      'by_week',
      'by_action',
      'by_day_and_action',
      'by_user',
      'client_events.by_day',
      'client_events.by_name',
    ],
  ],
  integrations: [
    'integrations',
    ['integrations', 'integrations_by_day', 'api.totals', 'api.by_day', 'api.by_operation'],
  ],
  dashboard: ['dashboard', ['']],
} as const
const pathOf = (resource: string) => `/api/exports/${resource.replaceAll('_', '-')}`

/** The fields of an object, with those of its objects. */
function flat(value: Row, prefix = ''): Row {
  return Object.assign(
    {},
    ...Object.entries(value).map(([name, field]) =>
      field !== null && typeof field === 'object'
        ? flat(field as Row, `${prefix}${name}_`)
        : { [prefix + name]: field },
    ),
  ) as Row
}
/** The rows that an answer has, as they are expected in an export. */
const rowsOf = (answer: Row, series: readonly string[]) =>
  series.flatMap(path => {
    const found = path
      .split('.')
      .filter(Boolean)
      .reduce<unknown>((at, name) => (at as Row)[name], answer)
    const { as_of, is_current } = answer
    return [found].flat().map(item => ({
      ...(series.length > 1 && { series: path }),
      as_of,
      is_current,
      ...flat(item as Row),
    }))
  })
/** Without the fields that only other series have. */
const filled = (row: Row) => Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null))
/** Without what the dashboard says about use, to which each export adds. */
const withoutUse = (row: Row) =>
  Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith('use_')))
/** A line of CSV without quotes. */
const cellsOf = (line: string) => line.split(',')

t.test('figures', async t => {
  const server = await startServer(t)
  const { call, db, config, app } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const { token } = ana
  const { body: categories } = await call<{ items: { id: string }[] }>(
    'GET /api/finance-categories?kind=income',
    { token },
  )
  const { body: show } = await call<{ id: string }>('POST /api/shows', { token, body: aShow })
  for (const [booked_on, currency] of [
    ['2027-03-14', 'USD'],
    ['2027-08-01', 'EUR'],
  ] as const)
    await call('POST /api/finance-records', {
      token,
      body: {
        kind: 'income',
        category_id: categories.items[0]?.id,
        show_id: show.id,
        booked_on,
        amount_minor: 125_000,
        status: 'actual',
        currency,
        ...(currency === 'EUR' && { exchange_rate: 1.0865 }),
      },
    })
  await call('POST /api/events', {
    token,
    body: { events: [{ id: crypto.randomUUID(), kind: 'page_view', name: 'shows/detail' }] },
  })
  await call('POST /api/shows', { token: ben.token, body: { ...aShow, title: 'Not Ana’s' } })
  await call('GET /api/exports/shows', { token })
  await refresh(db)
  const range = '?from=2027-01-01&to=2027-12-31'
  const queries = {
    ...Object.fromEntries(
      Object.keys(figures).map(name => [name, /figures|profits/.test(name) ? range : '']),
    ),
  } as Record<string, string>

  await t.test('are exported as their endpoints answer them, in each format', async t => {
    for (const [resource, [path, series]] of Object.entries(figures)) {
      // Each export is an event, and after many the figures count as not current until the next look.
      await refresh(db)
      const query = queries[resource] ?? ''
      const read = async (accept: string) =>
        await call<{ items: Row[] }>(`GET ${pathOf(resource)}${query}`, { token, headers: { accept } })
      const answer = async () => (await call<Row>(`GET /api/analytics/${path}${query}`, { token })).body
      const before = rowsOf(await answer(), series)
      const { body } = await read('application/json')
      if (resource === 'integrations') {
        // Read just now, and the export is itself a use.
        const timeless = (row: Row) => ({ ...filled(row), as_of: null })
        t.strictSame(body.items.map(timeless), before.map(timeless), resource)
        continue
      }
      t.ok(before.length > 0, resource)
      // An export is itself an event, which the figures of activity do not have yet.
      const isOfEvents = resource === 'activity' || resource === 'dashboard'
      const same = (row: Row) => withoutUse({ ...filled(row), ...(isOfEvents && { is_current: null }) })
      t.strictSame(body.items.map(same), before.map(same), resource)
      const lines = (await read('application/x-ndjson')).text.split('\n').slice(0, -1)
      t.strictSame(
        lines.map(line => withoutUse(JSON.parse(line) as Row)),
        body.items.map(withoutUse),
        `${resource} as lines`,
      )
      const [header = '', ...cells] = (await read('text/csv')).text.split('\r\n').slice(0, -1)
      t.strictSame(cellsOf(header), Object.keys(body.items[0] ?? {}), `${resource} as CSV`)
      const isUse = cellsOf(header).map(name => name.startsWith('use_'))
      t.strictSame(
        cells.map(line =>
          cellsOf(line)
            .filter((_, n) => !isUse[n])
            .map(cell => (cell === '' || Number.isNaN(Number(cell)) ? cell : Number(cell))),
        ),
        body.items.map(item =>
          Object.values(withoutUse(item)).map(value =>
            typeof value === 'number' ? value : value === null ? '' : String(value as string | boolean),
          ),
        ),
      )
    }
  })

  await t.test('can be filtered as their endpoints can, and by series', async t => {
    const one = await call<{ items: Row[] }>(
      'GET /api/exports/activity?series=by_action&action=show.create',
      { token },
    )
    t.match(one.body.items, [{ series: 'by_action', action: 'show.create', events: 1 }])
    const euros = await call<{ items: Row[] }>(
      `GET /api/exports/finance-figures${range}&period=year&currency=EUR`,
      {
        token,
      },
    )
    t.match(euros.body.items, [{ period_on: '2027-01-01', currency: 'EUR', actual_income_minor: 125_000 }])
    t.equal(
      outcome(await call('GET /api/exports/finance-figures?from=2027-01-01&to=2040-01-01', { token })),
      '422 analytics_range',
      'refused before anything is sent',
    )
    t.equal(outcome(await call('GET /api/exports/activity?series=by_hour', { token })), '400 validation')
    t.equal(
      outcome(await call('GET /api/exports/dashboard', { token, headers: { accept: 'text/html' } })),
      '406 not_acceptable',
    )
  })

  await t.test('require the permissions of their endpoints', async t => {
    const clerk = await joinAs(server, ana, ['exports.run', 'analytics.read'])
    const none = await joinAs(server, ana, ['exports.run', 'finance.read', 'shows.read'])
    for (const resource of Object.keys(figures)) {
      const status = /^finance|^category|profits/.test(resource) ? 403 : 200
      t.equal((await call(`GET ${pathOf(resource)}`, { token: clerk.token })).status, status, resource)
      t.equal((await call(`GET ${pathOf(resource)}`, { token: none.token })).status, 403, resource)
    }
    t.equal(
      outcome(
        await call('POST /api/analytics/export', {
          token: clerk.token,
          body: { resource: 'show_profits', format: 'csv' },
        }),
      ),
      '403 permission_denied',
    )
    const { body } = await call<{ items: Row[] }>('GET /api/exports/dashboard', { token: clerk.token })
    t.match(body.items, [{ shows_coming: Number, money_currency: null }], 'no money without finance.read')
  })

  await t.test('are the same in a file that the worker makes', async t => {
    const worker = startWorker(config, db.url('callboard_worker'), () => '', app.log, [])
    t.teardown(() => worker.stop())
    for (const resource of Object.keys(figures).filter(name => name !== 'integrations')) {
      const filters = queries[resource] ? { from: '2027-01-01', to: '2027-12-31' } : {}
      const { body } = await call<{ id: string }>('POST /api/analytics/export', {
        token,
        body: { resource, format: 'ndjson', filters },
      })
      let done: Row = {}
      await until(async () => {
        done = (await call<Row>(`GET /api/analytics/export/${body.id}`, { token })).body
        return !['queued', 'running'].includes(String(done['status']))
      }, 60)
      t.match(done, { status: 'ready', failure: null }, resource)
      // Without is_current: each export is itself an activity.
      const { text } = await call(`GET ${String(done['link'])}`)
      const streamed = await call(`GET ${pathOf(resource)}${queries[resource] ?? ''}`, {
        token,
        headers: { accept: 'application/x-ndjson' },
      })
      const rows = (lines: string) =>
        lines.split('\n').map(line => line && withoutUse(JSON.parse(line) as Row))
      t.strictSame(rows(text), rows(streamed.text), resource)
    }
    await worker.stop()
  })
})

t.test('itineraries', async t => {
  const server = await startServer(t)
  const { call, db, config, app } = server
  const ana = await register(server, 'Ana')
  const planner = await join(server, ana, 'manager')
  const reader = await joinAs(server, ana, ['exports.run', 'itineraries.read'])
  const { token } = planner
  const { body: tour } = await call<{ id: string }>('POST /api/itineraries', { token, body: anItinerary })
  await call(`POST /api/itineraries/${tour.id}/publish`, { token, body: { note: null } })
  await call(`PATCH /api/itineraries/${tour.id}`, { token, body: { name: '=Summer' } })
  await call('POST /api/itineraries', { token, body: { ...anItinerary, name: 'A draft' } })
  const worker = startWorker(config, db.url('callboard_worker'), () => '', app.log, [])
  t.teardown(() => worker.stop())
  for (const [who, names] of [
    [planner, ['=Summer', 'A draft']],
    [reader, ['Winter Tour']],
  ] as const) {
    const list = await call<{ items: Row[] }>('GET /api/itineraries?sort=name', { token: who.token })
    const exported = await call<{ items: Row[] }>('GET /api/exports/itineraries?sort=name', {
      token: who.token,
    })
    t.strictSame(exported.body.items, list.body.items)
    t.strictSame(
      exported.body.items.map(({ name }) => name),
      names,
    )
    const { body } = await call<{ id: string }>('POST /api/analytics/export', {
      token: who.token,
      body: { resource: 'itineraries', format: 'json', filters: { sort: 'name' } },
    })
    let link: unknown
    await until(async () => {
      link = (await call<Row>(`GET /api/analytics/export/${body.id}`, { token: who.token })).body['link']
      return link !== null
    }, 60)
    t.equal((await call(`GET ${String(link)}`)).text, exported.text, 'and so has the file')
  }
  const { text } = await call('GET /api/exports/itineraries?sort=name', {
    token,
    headers: { accept: 'text/csv' },
  })
  t.match(text, /,'=Summer,/)
  t.equal(
    outcome(await call('GET /api/exports/itineraries?deleted=only', { token })),
    '403 permission_denied',
    'the bin is for those who may delete',
  )
  await call(`DELETE /api/itineraries/${tour.id}`, { token: ana.token })
  const bin = await call<{ items: Row[] }>('GET /api/exports/itineraries?deleted=only', { token: ana.token })
  t.match(bin.body.items, [{ id: tour.id, deleted_by: ana.id }])
  await worker.stop()
})
