// Functions of the definer, to whom policies show all, act on what their caller sees, also when SQL calls them directly.
import { t } from '../support/tap.ts'
import { joinAs, type Person, startServer } from '../support/helper.ts'
import { anItinerary } from '../support/itineraries.ts'
import { makeWorld, secretOf } from './world.ts'

const server = await startServer(t)
const { call, db } = server
const { attacker } = await makeWorld(server)
const { organization, owner } = attacker
const api = db.as('callboard_api')
await db.admin`
  create function public.refusal(statement text) returns text language plpgsql as $$
  declare
    code text := 'done';
  begin
    execute statement;
    raise exception using errcode = 'YY000';
  exception when sqlstate 'YY000' then
    return 'done';
  when others then
    get stacked diagnostics code = returned_sqlstate;
    return code;
  end
  $$`
await db.admin`grant usage on schema public to callboard_api`

const make = async (path: string, body: object) =>
  (await call<{ id: string }>(`POST /api/${path}`, { token: owner.token, body })).body.id
const { body: categories } = await call<{ items: { id: string }[] }>(
  'GET /api/finance-categories?kind=expense',
  {
    token: owner.token,
  },
)
const category_id = categories.items[0]?.id ?? ''
/** A draft with money, of which one line of each kind is in the bin. */
const draft = await make('itineraries', anItinerary)
const aLine = () => make(`itineraries/${draft}/budget-lines`, { category_id, amount_minor: 4_711 })
const aPerDiem = (person: string) =>
  make(`itineraries/${draft}/per-diems`, {
    category_id,
    person,
    starts_on: '2027-03-14',
    ends_on: '2027-03-14',
    daily_minor: 4_712,
  })
const hidden = { 'budget-lines': await aLine(), 'per-diems': await aPerDiem('Jo') }
const binned = { 'budget-lines': await aLine(), 'per-diems': await aPerDiem('Kim') }
for (const [kind, id] of Object.entries(binned))
  await call(`DELETE /api/${kind}/${id}`, { token: owner.token })

const all = (await db.admin<{ name: string }[]>`select name from app.permissions`).map(({ name }) => name)
const without = (...lacking: string[]) =>
  joinAs(
    server,
    owner,
    all.filter(name => !lacking.includes(name)),
  )

/** What a query returns in the member's own transaction. */
const asked = <Row extends object>(person: Person, query: string, values: string[] = []) =>
  api.begin(async sql => {
    await sql`select app.enter(${secretOf(person)}, ${organization})`
    return sql.unsafe<Row[]>(query, values)
  })

t.test('a row is not deleted or restored by somebody who does not see it', async t => {
  const resources = await db.admin<
    { name: string }[]
  >`select r.name from app_private.resources r order by r.name`
  const members = {
    'holds all': await without(),
    'does not plan tours': await without('itineraries.write'),
    'sees no tours': await without('itineraries.write', 'itineraries.read'),
    'sees no money': await without('finance.read'),
    'sees no shows': await without('shows.read'),
  }
  let unseen = 0
  for (const [who, person] of Object.entries(members))
    for (const { name } of resources) {
      const rows = await db.admin<{ id: string; is_deleted: boolean }[]>`
        select id, deleted_at is not null as is_deleted from app.${db.admin(name)} where organization_id = ${organization}`
      const seen = (await asked<{ id: string }>(person, `select id from app.${name}`)).map(({ id }) => id)
      for (const { id, is_deleted } of rows) {
        const command = is_deleted ? `unmark_row('${name}', '${id}')` : `mark_row('${name}', '${id}', '"0"')`
        const [answer] = await asked<{ code: string }>(person, 'select public.refusal($1) as code', [
          `select app.${command}`,
        ])
        t.equal(answer?.code === 'PT404', !seen.includes(id), `${command} by who ${who}: ${answer?.code}`)
        if (!seen.includes(id)) unseen += 1
      }
    }
  t.ok(unseen > 20, `${unseen} were hidden`)
})

t.test('the money of a tour is told to nobody who does not see the tour', async t => {
  const { tour } = attacker
  const statuses = async (person: Person) =>
    Promise.all(
      [draft, tour.itineraries].map(
        async id =>
          (
            await asked<{ code: string }>(person, 'select public.refusal($1) as code', [
              `select app.tour_money('${id}')`,
            ])
          )[0]?.code,
      ),
    )
  t.strictSame(await statuses(owner), ['done', 'done'])
  t.strictSame(await statuses(await without('itineraries.write')), ['PT404', 'done'], 'one is published')
  t.strictSame(await statuses(await without('itineraries.write', 'itineraries.read')), ['PT404', 'PT404'])
  t.strictSame(await statuses(await without('finance.read')), ['PT403', 'PT403'])
})

t.test(
  'why somebody may or may not see a row is explained with what decides besides permissions',
  async t => {
    const ben = await without('itineraries.write')
    const explained = async (by: Person, table: string, id: string, who = by, command = 'select') =>
      (
        await call<{ is_allowed: boolean; reason: string }>('POST /api/access/explain', {
          token: by.token,
          body: { table, id, command, user_id: who.id },
        })
      ).body
    const none = { is_allowed: false, reason: 'There is no such row.' }
    for (const id of Object.values(hidden)) {
      const table = id === hidden['per-diems'] ? 'per_diems' : 'budget_lines'
      for (const command of ['select', 'update', 'delete']) {
        t.strictSame(
          (await explained(ben, table, id, ben, command)).reason,
          none.reason,
          `${command} of ${table}`,
        )
        t.match(await explained(owner, table, id, ben, command), {
          is_allowed: false,
          reason: 'They do not see its tour: it is a draft, or they do not hold itineraries.read.',
        })
        t.match(await explained(owner, table, id, owner, command), { is_allowed: true })
      }
    }
    const { body: file } = await call<{ id: string }>('POST /api/analytics/export', {
      token: owner.token,
      body: { resource: 'venues', format: 'csv' },
    })
    t.match(await explained(owner, 'exports', file.id), { is_allowed: true })
    t.match(await explained(owner, 'exports', file.id, ben), {
      is_allowed: false,
      reason: "It is somebody else's: members see their own.",
    })
    t.match(await explained(ben, 'exports', file.id), none)

    const kim = await joinAs(server, owner, ['itineraries.read', 'organization.read'])
    const own = await call<{ id: string }>('POST /api/expenses', {
      token: kim.token,
      body: { category_id, spent_on: '2027-03-14', amount_minor: 1, purpose: 'Taxi' },
    })
    const of = await make('expenses', {
      category_id,
      spent_on: '2027-03-14',
      amount_minor: 1,
      purpose: 'Bus',
    })
    t.match(await explained(kim, 'expenses', own.body.id), { is_allowed: true })
    t.match(await explained(owner, 'expenses', own.body.id, kim), { is_allowed: true })
    t.match(await explained(kim, 'expenses', of), { is_allowed: false })
    t.match(await explained(owner, 'expenses', of, kim), { is_allowed: false })
  },
)
