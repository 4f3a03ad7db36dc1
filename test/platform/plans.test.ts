import { readFile } from 'node:fs/promises'
import { t } from '../support/tap.ts'
import { aShow, type Database, register, startServer } from '../support/helper.ts'
import { nodesOf, type Plan, type PlanNode, wiretap } from './plans/wiretap.ts'

const day = '2026-06-01'

/** Either of the two that begin with the show. */
const deals = 'deals_(organization_id_show_id_idx|one_per_act)'
const partsOfShow = [
  deals,
  ...['ticket_tiers', 'show_costs', 'deposits', 'deal_bonuses', 'deal_adjustments'].map(
    table => `${table}_organization_id_show_id_idx`,
  ),
]

/**
 * The most frequent requests: the request, the indexes that its plans must use, and how many rows of large
 * tables they may read in total, by default 200: a page, and what is joined to it. The organization has 10,000 shows
 * and 500 venues.
 * `<show>` and so on stand for ids.
 */
const hot: [request: `${string} ${string}`, indexes: string[], most?: number, body?: unknown][] = [
  ['GET /api/shows', ['shows_organization_id_show_on_idx', 'show_fees_pkey', 'venues_pkey']],
  ['GET /api/shows?sort=-show_on', ['shows_organization_id_show_on_idx']],
  ['GET /api/shows?sort=created_at', ['shows_organization_id_created_at_idx']],
  ['GET /api/shows?sort=-created_at', ['shows_organization_id_created_at_idx']],
  ['GET /api/shows?sort=title', ['shows_organization_id_title_idx']],
  ['GET /api/shows?sort=-title', ['shows_organization_id_title_idx']],
  [`GET /api/shows?from=${day}`, ['shows_organization_id_show_on_idx']],
  [`GET /api/shows?from=${day}&to=2026-06-30`, ['shows_organization_id_show_on_idx']],
  // One in seven has the status.
  ['GET /api/shows?status=hold', ['shows_organization_id_show_on_idx'], 1000],
  ['GET /api/shows?cursor=<cursor>', ['shows_organization_id_show_on_idx']],
  ['GET /api/shows?venue_id=<venue>', ['shows_organization_id_venue_id_idx']],
  ['GET /api/shows?q=rarity', ['shows_search_idx']],
  ['GET /api/shows/<show>', ['shows_pkey', 'venues_pkey']],
  ['PATCH /api/shows/<show>', ['shows_pkey'], 10, { notes: 'x' }],
  ['POST /api/shows', ['shows_pkey'], 20, aShow],
  ['POST /api/shows with a key', ['idempotency_keys_one_answer'], 20, aShow],
  ['GET /api/venues', ['venues_organization_id_name_idx']],
  ['GET /api/venues/<venue>', ['venues_pkey']],
  ['GET /api/finance-records', ['finance_records_organization_id_booked_on_idx']],
  ['GET /api/finance-records?sort=-booked_on', ['finance_records_organization_id_booked_on_idx']],
  [
    `GET /api/finance-records?from=${day}&to=2026-06-30&limit=200`,
    ['finance_records_organization_id_booked_on_idx'],
    500,
  ],
  ['GET /api/finance-records?show_id=<show>', ['finance_records_organization_id_show_id_idx']],
  ['GET /api/finance-records?source=bank&external_ref=Show%209', ['finance_record_external_ref_taken']],
  ['GET /api/finance-records/<record>', ['finance_records_pkey']],
  ['GET /api/audit/events', ['event_log_.*_pkey']],
  [`GET /api/audit/events?from=2026-01-01T00:00:00Z`, ['event_log_.*_pkey']],
  // With all days of all itineraries: only the days have dates.
  [`GET /api/calendar?from=${day}&to=2026-06-30`, ['shows_organization_id_show_on_idx'], 5000],
  ['GET /api/itineraries', ['itineraries_.*']],
  // What a show is settled from: its own parts, however many there are.
  ['GET /api/shows/<night>/deals', [deals], 10],
  ['GET /api/shows/<night>/ticket-tiers', ['ticket_tiers_organization_id_show_id_idx'], 10],
  ['GET /api/shows/<night>/costs', ['show_costs_organization_id_show_id_idx'], 10],
  ['GET /api/shows/<night>/deposits', ['deposits_organization_id_show_id_idx'], 10],
  ['GET /api/shows/<night>/bonuses', ['deal_bonuses_organization_id_show_id_idx'], 10],
  ['GET /api/shows/<night>/adjustments', ['deal_adjustments_organization_id_show_id_idx'], 10],
  ['GET /api/shows/<night>/settlement', [...partsOfShow, 'shows_pkey'], 60],
  ['GET /api/shows/<night>/settlements', ['settlements_.*'], 10],
  ['PATCH /api/deals/<deal>', ['deals_pkey'], 60, { guarantee_minor: 60_000 }],
  ['POST /api/shows/<night>/costs', ['show_costs_pkey'], 60, { name: 'x', kind: 'fixed', amount_minor: 1 }],
  ['POST /api/shows/<night>/settlements', ['settlements_.*', ...partsOfShow], 100, { reason: 'Again' }],
  ['GET /api/settlement-templates', ['settlement_templates_organization_id_name_idx']],
  // All of the organization: that a member's own are shown by a policy of its own keeps PostgreSQL from the order of an index.
  ['GET /api/expenses', ['expenses_.*'], 2600],
  ['GET /api/itineraries/<tour>/budget-lines', ['budget_lines_organization_id_itinerary_id_idx'], 20],
  ['GET /api/itineraries/<tour>/money', ['finance_records_organization_id_itinerary_id_idx'], 100],
  ['GET /api/finance-records?itinerary_id=<tour>', ['finance_records_organization_id_itinerary_id_idx'], 20],
  ['GET /api/me', ['users_pkey']], // in no organization
]
/** What may be asked for each row: a single entry of an index, where a join would read everything the organization has. */
const eachByKey = ['show_fees_pkey']
/** The same in a function, for those who may not read the table itself: only for the rows of a page. */
const eachByFunction = ['app.expense_category_name(']
/** Each of these requests enters, most of them an organization. */
const door = ['sessions_secret_hash_unique', 'memberships_pkey', 'organizations_pkey']

t.test('the plans of the most frequent requests, as the API, in a large organization among many', async t => {
  let wire!: Awaited<ReturnType<typeof wiretap>>
  const server = await startServer(t, async db => {
    await listenToPlans(db)
    wire = await wiretap(t, db.url('callboard_api'))
    return { DATABASE_URL: wire.through(db.url('callboard_api')), POOL_SIZE: '1', RATE_LIMIT_REFRESH: '3600' }
  })
  const { call } = server
  const { admin } = server.db
  const { token, organization } = await register(server, 'Ana')
  const company = await readFile(new URL('plans/company.sql', import.meta.url), 'utf8')
  await admin.begin(async sql => {
    await sql`select set_config('plans.organization', ${organization}, true)`
    await sql.unsafe(company)
  })
  await admin`vacuum analyze`
  const large = new Set(
    (
      await admin<{ name: string }[]>`
        select relname as name from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'p') and reltuples > 2000`
    ).map(({ name }) => name),
  )
  t.ok(large.size >= 10, [...large].join(', '))
  const things = await thingsOf(admin, organization)
  const page = await call<{ next_cursor: string }>('GET /api/shows', { token })
  const ids: Record<string, string> = { ...things, cursor: page.body.next_cursor }
  let keys = 0

  const ask = async (line: string, body: unknown) => {
    const [request = '', withKey] = line
      .replace(/<(\w+)>/g, (_, name: string) => ids[name] ?? name)
      .split(' with ')
    const key = `key-${(keys += 1)}`
    const headers = withKey === undefined ? {} : { 'idempotency-key': key }
    const { status, text } = await call(request as `${string} ${string}`, { token, body, headers })
    if (status >= 300) throw new Error(`${request}: ${text}`)
  }
  const faults = async (request: string, indexes: string[], most: number, body: unknown) => {
    // Once before, so that only the recurring cost of the request is seen.
    await ask(request, body)
    const plans = await wire.during(() => ask(request, body))
    return faultsOf(plans, indexes, most, large)
  }

  for (const [request, indexes, most = 200, body] of hot)
    await t.test(request, async t => {
      t.same(
        await faults(
          request,
          [...indexes, ...(request.endsWith('/me') ? door.slice(0, 1) : door)],
          most,
          body,
        ),
        [],
      )
    })

  await t.test('and a missing index, or a function called for each row, is noticed', async t => {
    await admin`drop index app.shows_organization_id_show_on_idx`
    t.match(await faults('GET /api/shows', ['shows_organization_id_show_on_idx'], 200, undefined), [
      /uses no shows_organization_id_show_on_idx/,
    ])
    await admin`drop policy select_member on app.shows`
    await admin`create policy select_member on app.shows for select to callboard_api
      using (organization_id = app.current_org() and app.is_time_zone(status) is not null)`
    t.match(await faults('GET /api/shows?sort=title', ['shows_organization_id_title_idx'], 200, undefined), [
      /calls app.is_time_zone\( for each row/,
    ])
  })
})

/** What is wrong with the plans of a request. */
function faultsOf(plans: Plan[], indexes: string[], most: number, large: Set<string>): string[] {
  const nodes = plans.flatMap(plan => [...nodesOf(plan.Plan)])
  const used = nodes.map(node => node['Index Name'] ?? '')
  const faults = indexes
    .filter(index => !used.some(name => new RegExp(`^${index}$`).test(name)))
    .map(index => `uses no ${index}, but ${[...new Set(used)].join(' ')}`)
  let rows = 0
  for (const node of nodes) {
    const { 'Node Type': type, 'Relation Name': relation = '', 'Actual Loops': loops } = node
    const seen = loops * (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0))
    const conditions = [node.Filter, node['Join Filter'], ...(node.Output ?? [])]
    if (large.has(relation)) rows += seen
    if (large.has(relation) && type === 'Seq Scan') faults.push(`reads all of ${relation}`)
    if (node['Parent Relationship'] === 'SubPlan' && loops > 1 && !isOneEntry(node))
      faults.push(`asks ${relation} for each row`)
    // A function in FROM is called once.
    if (type === 'ProjectSet' || type === 'Function Scan') continue
    // A statement in a literal is run elsewhere, if at all.
    const called = conditions.join(' ').replaceAll(/'(?:[^']|'')*'/g, "''")
    for (const call of called.match(/\bapp(_private)?\.\w+\(/g) ?? [])
      if (seen > (eachByFunction.includes(call) ? 51 : 1)) faults.push(`calls ${call} for each row`)
  }
  if (rows > most) faults.push(`reads ${rows} rows`)
  return faults
}

/** Whether a node only reads one entry of an index in eachByKey at a time. */
function isOneEntry(node: PlanNode): boolean {
  return [...nodesOf(node)].every(
    ({ 'Node Type': type, 'Index Name': index = '', 'Actual Rows': rows }) =>
      type === 'Result' || (type === 'Index Only Scan' && rows <= 1 && eachByKey.includes(index)),
  )
}

/** Has PostgreSQL send the API the plans of everything that it runs, even in functions. */
async function listenToPlans({ admin, name }: Database) {
  for (const setting of [
    `session_preload_libraries = 'auto_explain'`,
    'auto_explain.log_min_duration = 0',
    'auto_explain.log_nested_statements = on',
    'auto_explain.log_analyze = on',
    'auto_explain.log_timing = off',
    'auto_explain.log_verbose = on',
    'auto_explain.log_format = json',
    'auto_explain.log_level = notice',
  ])
    await admin.unsafe(`alter role callboard_api in database ${name} set ${setting}`)
  // Some functions suppress these messages.
  await admin.unsafe(`
    do $$
    declare
      f record;
    begin
      for f in select oid::regprocedure as name from pg_proc
        where pronamespace in ('app'::regnamespace, 'app_private'::regnamespace) and 'client_min_messages=error' = any (proconfig) loop
        execute format('alter function %s reset client_min_messages', f.name);
      end loop;
    end
    $$`)
}

/** Ids to put into requests. */
async function thingsOf(admin: Database['admin'], organization: string): Promise<Record<string, string>> {
  const [row] = await admin<Record<string, string>[]>`
    select s.id as show, s.venue_id as venue, r.id as record,
      (select i.id from app.itineraries i where i.organization_id = s.organization_id order by i.id limit 1) as tour, d.show_id as night, d.id as deal
    from app.shows s join app.finance_records r on r.organization_id = s.organization_id and r.show_id = s.id
    join lateral (
      select d.id, d.show_id from app.deals d join app.shows n on n.organization_id = d.organization_id and n.id = d.show_id
      where d.organization_id = s.organization_id and d.act is null and n.status = 'played' order by d.id limit 1) d on true
    where s.organization_id = ${organization} and s.venue_id is not null order by s.id limit 1`
  return row ?? {}
}
