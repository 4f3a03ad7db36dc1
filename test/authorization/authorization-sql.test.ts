import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { findTables, makeTenant, openLogin, secretOf, type Tenant } from '../isolation/world.ts'
import { aShow, join, joinAs, type Person, startServer, type TestServer } from '../support/helper.ts'
import { exampleOf } from '../support/make.ts'
import { settling } from '../support/settling.ts'
import { actors as columns, customPermissions, table as operations } from './matrix.ts'

const actors = ['viewer', 'manager', 'admin', 'owner', 'custom'] as const
type Actor = (typeof actors)[number]
const commands = ['select', 'insert', 'update', 'delete'] as const
type Command = (typeof commands)[number]
/** Who may, and how; without how, the plain statement on the table, which nobody may run. */
type Cell = [who: readonly Actor[], how?: (ids: Ids) => string]

interface Ids extends Tenant {
  /** Somebody to manage. */
  member: string
  role: string
  hold: string
  bi: string
  /** A show without a deal. */
  bare: string
  /** Of a show that was played. */
  settlement: string
  actor: string
}
const all = actors
const managers = ['manager', 'admin', 'owner'] as const
const admins = ['admin', 'owner'] as const
const people = ['owner', 'custom'] as const
const nobody: Cell = [[]]
const read = (what: string): Cell => [all, () => `select from ${what}`]
const none: Cell[] = [nobody, nobody, nobody, nobody]
const reference = (name: string): Cell[] => [read(name), nobody, nobody, nobody]

/** Every table, by command: select, insert, update, delete; except resources that need no line of their own. */
const special: Record<string, Cell[]> = {
  'app.permissions': reference('app.permissions'),
  'app.roles': reference('app.roles'),
  'app.role_permissions': reference('app.role_permissions'),
  'app.show_status_transitions': reference('app.show_status_transitions'),
  'app.organizations': [
    read('app.organizations'),
    nobody,
    [admins, () => `update app.organizations set time_zone = 'Europe/Stockholm'`],
    [['owner'], k => `select app.delete_organization('${k.organization}')`],
  ],
  'app.users': [
    read('app.users'),
    nobody,
    [all, () => `update app.users set display_name = 'Renamed'`],
    nobody,
  ],
  'app.sessions': [
    read('app.sessions'),
    nobody,
    [all, () => `select app.end_session(app.current_session_id())`],
    nobody,
  ],
  'app.memberships': [
    read('app.memberships'),
    [people, () => `select app.add_member('new@example.com', 'New', 'viewer')`],
    [people, k => `select app.change_member_role('${k.member}', 'viewer')`],
    [people, k => `select app.remove_member('${k.member}')`],
  ],
  'app.custom_roles': [
    read('app.custom_roles'),
    [people, () => `select app.create_role('{"name": "New", "permissions": ["shows.read"]}')`],
    [people, k => `select app.update_role('${k.role}', '{"name": "Renamed"}')`],
    [people, k => `select app.delete_role('${k.role}')`],
  ],
  'app.member_roles': [
    read('app.member_roles'),
    [people, k => `select app.assign_role('${k.member}', '${k.role}')`],
    nobody,
    [people, k => `select app.unassign_role('${k.member}', 'viewer')`],
  ],
  'app.member_permissions': [
    read('app.member_permissions'),
    [people, k => `select app.set_member_permission('${k.member}', 'shows.read', '{"effect": "grant"}')`],
    [people, k => `select app.set_member_permission('${k.member}', 'members.read', '{"effect": "grant"}')`],
    [people, k => `select app.clear_member_permission('${k.member}', 'members.read')`],
  ],
  'app.invitations': [
    [people, () => 'select from app.invitations'],
    [people, () => `select app.create_invitation('new@example.com', 'viewer')`],
    // It becomes the sender's own, so nobody sends what they could not grant.
    [['owner'], k => `select app.resend_invitation('${k.invitation}')`],
    [people, k => `select app.revoke_invitation('${k.invitation}')`],
  ],
  'app.venues': [
    read('app.venues'),
    [
      managers,
      () =>
        `insert into app.venues (name, city, country, time_zone) values ('New', 'Bergen', 'NO', 'Europe/Oslo')`,
    ],
    [managers, () => `update app.venues set name = 'Renamed'`],
    // The one that no show has.
    [admins, () => `select app.delete_row('venues', v.id) from app.venues v where v.name = 'Empty'`],
  ],
  'app.shows': [
    read('app.shows'),
    [managers, () => `insert into app.shows (title, artist, show_on) values ('New', 'Band', '2027-05-01')`],
    [managers, () => `update app.shows set title = 'Renamed'`],
    [admins, k => `select app.delete_row('shows', '${k.show}')`],
  ],
  'app.show_fees': [
    read('app.show_fees'),
    [
      managers,
      k => `insert into app.show_fees (show_id, fee_minor, currency) values ('${k.bare}', 1, 'EUR')`,
    ],
    // Those of shows with a deal cannot be changed, but an UPDATE may find them.
    [managers, () => 'update app.show_fees set fee_minor = fee_minor'],
    nobody,
  ],
  'app.guest_lists': [
    read('app.guest_lists'),
    [admins, k => `select app.write_guest_list('${k.bare}', '{"is_locked": true}')`],
    [admins, k => `select app.write_guest_list('${k.show}', '{"is_locked": true}')`],
    nobody,
  ],
  'app.deals': [
    read('app.deals'),
    [
      managers,
      k =>
        `insert into app.deals (show_id, kind, currency, guarantee_minor, guarantee_is_cost) values ('${k.bare}', 'flat', 'EUR', 1, false)`,
    ],
    [managers, () => 'update app.deals set guarantee_minor = 2'],
    [admins, () => `select app.delete_row('deals', id) from app.deals limit 1`],
  ],
  'app.ticket_tiers': [
    read('app.ticket_tiers'),
    [
      managers,
      k =>
        `insert into app.ticket_tiers (show_id, name, price_minor, allotment) values ('${k.show}', 'New', 1, 1)`,
    ],
    [managers, () => `update app.ticket_tiers set name = 'Renamed'`],
    [admins, () => `select app.delete_row('ticket_tiers', id) from app.ticket_tiers`],
  ],
  'app.show_costs': [
    read('app.show_costs'),
    [
      managers,
      k =>
        `insert into app.show_costs (show_id, name, kind, amount_minor) values ('${k.show}', 'New', 'fixed', 1)`,
    ],
    [managers, () => `update app.show_costs set name = 'Renamed'`],
    [admins, () => `select app.delete_row('show_costs', id) from app.show_costs`],
  ],
  'app.deposits': [
    read('app.deposits'),
    [
      managers,
      k => `insert into app.deposits (show_id, paid_on, amount_minor) values ('${k.show}', '2027-01-10', 1)`,
    ],
    [managers, () => `update app.deposits set note = 'Changed'`],
    [admins, () => `select app.delete_row('deposits', id) from app.deposits`],
  ],
  'app.deal_bonuses': [
    read('app.deal_bonuses'),
    [
      managers,
      k => `insert into app.deal_bonuses (show_id, kind, amount_minor) values ('${k.show}', 'sell_out', 1)`,
    ],
    [managers, () => `update app.deal_bonuses set amount_minor = 2`],
    [admins, () => `select app.delete_row('deal_bonuses', id) from app.deal_bonuses`],
  ],
  'app.deal_adjustments': [
    read('app.deal_adjustments'),
    [
      managers,
      k =>
        `insert into app.deal_adjustments (show_id, name, kind, amount_minor, stage) values ('${k.show}', 'New', 'credit', 1, 'after_split')`,
    ],
    [managers, () => `update app.deal_adjustments set name = 'Renamed'`],
    [admins, () => `select app.delete_row('deal_adjustments', id) from app.deal_adjustments`],
  ],
  'app.settlements': [
    read('app.settlements'),
    [managers, k => `select app.record_settlement('${k.show}', '{"reason": null}')`],
    [admins, k => `select app.finalize_settlement('${k.settlement}')`],
    nobody,
  ],
  'app.currencies': reference('app.currencies'),
  'app.countries': reference('app.countries'),
  'app.finance_record_status_transitions': reference('app.finance_record_status_transitions'),
  'app.finance_categories': [
    read('app.finance_categories'),
    [managers, () => `insert into app.finance_categories (kind, name) values ('income', 'New')`],
    [managers, () => `update app.finance_categories set name = 'Renamed ' || id`],
    [
      admins,
      () =>
        `select app.delete_row('finance_categories', c.id) from app.finance_categories c where c.name like 'Insurance%'`,
    ],
  ],
  'app.finance_records': [
    read('app.finance_records'),
    [
      managers,
      () => `insert into app.finance_records (kind, category_id, booked_on, amount_minor, currency, exchange_rate)
        select c.kind, c.id, '2027-05-01', 100, app.base_currency(), 1 from app.finance_categories c limit 1`,
    ],
    [managers, () => `update app.finance_records set note = 'New'`],
    [admins, k => `select app.delete_row('finance_records', '${k.record}')`],
  ],
  'app.finance_periods': [
    read('app.finance_periods'),
    [admins, () => `select app.close_period('2027-06-01')`],
    nobody,
    [admins, () => `select app.reopen_period('2027-01-01')`],
  ],
  'app.imports': [
    [managers, () => 'select from app.imports'],
    [managers, () => `select app.create_import('shows', 'new.csv', 1, repeat('0', 64), '{}')`],
    [managers, k => `select app.cancel_import('${k.import}')`],
    nobody,
  ],
  'app.import_progress': [[managers, () => 'select from app.import_progress'], nobody, nobody, nobody],
  'app.import_lines': [[managers, () => 'select from app.import_lines'], nobody, nobody, nobody],
  'app.import_chunks': none,
  'app.exports': [
    [managers, () => 'select id from app.exports'],
    [managers, () => `select app.create_export('shows', 'csv', false, '{}')`],
    [managers, () => 'select app.cancel_export(e.id) from app.exports e'],
    nobody,
  ],
  'app.export_progress': [[managers, () => 'select from app.export_progress'], nobody, nobody, nobody],
  'app.itineraries': [
    [managers, () => 'select from app.itineraries'],
    [
      managers,
      () =>
        `insert into app.itineraries (name, artist, starts_on, ends_on) values ('New', 'Band', '2027-05-01', '2027-05-02')`,
    ],
    [managers, () => `update app.itineraries set name = 'Renamed'`],
    [admins, k => `select app.delete_row('itineraries', '${k.tour.itineraries}')`],
  ],
  'app.budget_lines': [
    read('app.budget_lines'),
    [
      managers,
      k => `insert into app.budget_lines (itinerary_id, category_id, amount_minor)
        select '${k.tour.itineraries}', c.id, 1 from app.finance_categories c limit 1`,
    ],
    [managers, () => `update app.budget_lines set amount_minor = 2`],
    [admins, () => `select app.delete_row('budget_lines', id) from app.budget_lines`],
  ],
  'app.per_diems': [
    read('app.per_diems'),
    [
      managers,
      k => `insert into app.per_diems (itinerary_id, person, category_id, starts_on, ends_on, daily_minor)
        select '${k.tour.itineraries}', 'New', c.id, '2027-05-01', '2027-05-02', 1 from app.finance_categories c where c.kind = 'expense' limit 1`,
    ],
    [managers, () => `update app.per_diems set daily_minor = 2`],
    [admins, () => `select app.delete_row('per_diems', id) from app.per_diems`],
  ],
  // Those of the owner, which others see because they see the books. Commands change one's own: see the matrix.
  'app.expenses': [
    read('app.expenses'),
    [
      all,
      () => `select app.create_expense(jsonb_build_object('category_id', c.id, 'spent_on', '2027-05-01', 'amount_minor', 1, 'purpose', 'Taxi'))
        from app.finance_categories c where c.kind = 'expense' limit 1`,
    ],
    nobody,
    nobody,
  ],
  'app.expense_receipts': [read('app.expense_receipts'), nobody, nobody, nobody],
  'app.itinerary_days': [
    [managers, () => 'select from app.itinerary_days'],
    [
      managers,
      k =>
        `insert into app.itinerary_days (itinerary_id, day_on, time_zone) values ('${k.tour.itineraries}', '2027-05-01', 'UTC')`,
    ],
    [managers, () => `update app.itinerary_days set notes = 'New'`],
    [admins, k => `select app.delete_row('itinerary_days', '${k.tour['itinerary-days']}')`],
  ],
  'app.party_groups': [
    [managers, () => 'select from app.party_groups'],
    [
      managers,
      k => `insert into app.party_groups (itinerary_id, name) values ('${k.tour.itineraries}', 'Band')`,
    ],
    [managers, () => `update app.party_groups set name = 'Band'`],
    [admins, k => `select app.delete_row('party_groups', '${k.tour['party-groups']}')`],
  ],
  'app.party_members': [
    [managers, () => 'select from app.party_members'],
    [
      managers,
      k => `insert into app.party_members (itinerary_id, name) values ('${k.tour.itineraries}', 'Ola')`,
    ],
    [managers, () => `update app.party_members set name = 'Ola'`],
    [admins, k => `select app.delete_row('party_members', '${k.tour['party-members']}')`],
  ],
  'app.schedule_items': [
    [managers, () => 'select from app.schedule_items'],
    [
      managers,
      k =>
        `insert into app.schedule_items (day_id, title, start_time) values ('${k.tour['itinerary-days']}', 'New', '10:00')`,
    ],
    [managers, () => `update app.schedule_items set title = 'New'`],
    [admins, k => `select app.delete_row('schedule_items', '${k.tour['schedule-items']}')`],
  ],
  'app.travel_segments': [
    [managers, () => 'select from app.travel_segments'],
    [
      managers,
      k => `insert into app.travel_segments (itinerary_id, mode, from_place, departs_on, departs_time, from_time_zone, to_place, arrives_on, arrives_time, to_time_zone)
        values ('${k.tour.itineraries}', 'sea', 'Oslo', '2027-05-01', '10:00', 'UTC', 'Kiel', '2027-05-02', '10:00', 'UTC')`,
    ],
    [managers, () => `update app.travel_segments set notes = 'New'`],
    [admins, k => `select app.delete_row('travel_segments', '${k.tour['travel-segments']}')`],
  ],
  'app.lodgings': [
    [managers, () => 'select from app.lodgings'],
    [
      managers,
      k =>
        `insert into app.lodgings (itinerary_id, name, check_in_on, check_out_on) values ('${k.tour.itineraries}', 'Inn', '2027-05-01', '2027-05-02')`,
    ],
    [managers, () => `update app.lodgings set name = 'Inn'`],
    [admins, k => `select app.delete_row('lodgings', '${k.tour.lodgings}')`],
  ],
  'app.lodging_rooms': [
    [managers, () => 'select from app.lodging_rooms'],
    [
      managers,
      k => `insert into app.lodging_rooms (lodging_id, name) values ('${k.tour.lodgings}', 'Single')`,
    ],
    [managers, () => `update app.lodging_rooms set name = 'Single'`],
    [admins, k => `select app.delete_row('lodging_rooms', '${k.tour['lodging-rooms']}')`],
  ],
  'app.calendar_feeds': [
    read('app.calendar_feeds'),
    [all, () => `select app.create_calendar_feed('New', sha256('new'))`],
    nobody,
    [all, () => 'select app.revoke_calendar_feed(f.id) from app.calendar_feeds f'],
  ],
  'app.bi_credentials': [
    [['owner'], () => 'select from app.bi_credentials'],
    [
      ['owner'],
      () =>
        `select app.create_bi_credential('{"name": "New"}', 'SCRAM-SHA-256$4096:' || repeat('A', 22) || '==$' || repeat('A', 43) || '=:' || repeat('A', 43) || '=')`,
    ],
    [['owner'], k => `select app.revoke_bi_credential('${k.bi}')`],
    nobody,
  ],
  'app.client_events': [
    nobody,
    [
      all,
      () =>
        `select app.record_client_events('[{"id": "01980c5e-8c5e-7b4a-9d59-3f1de6a3c111", "kind": "action", "name": "new"}]')`,
    ],
    nobody,
    nobody,
  ],
  // Only through app.add_use, which reveals nothing.
  'app.api_use': none,
  'app.integration_use': none,
  // Only through views of analytics.
  'app.pipeline_snapshots': none,
  // Published by app.publish_itinerary, and never changed.
  'app.itinerary_versions': [
    read('app.itinerary_versions'),
    [managers, k => `select app.publish_itinerary('${k.tour.itineraries}')`],
    nobody,
    nobody,
  ],
  'app.itinerary_entries': [
    read('app.itinerary_entries'),
    [managers, k => `select app.publish_itinerary('${k.tour.itineraries}')`],
    nobody,
    nobody,
  ],
  // Only through app.claim_key and app.keep_answer, which see only one's own.
  'app.idempotency_keys': none,
  'app.event_log': [[admins, () => 'select from app.event_log'], nobody, nobody, nobody],
  'app.event_seals': none,
  // Superadmins set them.
  'app.rate_limits': [read('app.rate_limits'), nobody, nobody, nobody],
  'app.event_retentions': [
    [admins, () => 'select from app.event_retentions'],
    [['owner'], () => 'select app.set_event_retention(100)'],
    [['owner'], () => 'select app.set_event_retention(200)'],
    nobody,
  ],
  'app.deletion_retentions': [
    [admins, () => 'select from app.deletion_retentions'],
    [['owner'], () => 'select app.set_retention(20)'],
    [['owner'], () => 'select app.set_retention(40)'],
    nobody,
  ],
  'app.legal_holds': [
    [admins, () => 'select from app.legal_holds'],
    [['owner'], () => `select app.place_legal_hold('A lawsuit')`],
    [['owner'], k => `select app.release_legal_hold('${k.hold}')`],
    nobody,
  ],
}

async function scene(server: TestServer): Promise<{ ids: Ids; who: Record<Actor, Person> }> {
  const tenant = await makeTenant(server, 'sqlmatrix')
  const { owner } = tenant
  const { token } = owner
  const member = await join(server, owner, 'viewer')
  const { body: role } = await server.call<{ id: string }>('POST /api/roles', {
    token,
    body: { name: 'Reader', permissions: ['shows.read'] },
  })
  await server.call(`PUT /api/users/${member.id}/permissions/members.read`, {
    token,
    body: { effect: 'grant' },
  })
  const { body: hold } = await server.call<{ id: string }>('POST /api/legal-holds', {
    token,
    body: { reason: 'A lawsuit' },
  })
  const { body: bi } = await server.call<{ id: string }>('POST /api/bi-credentials', {
    token,
    body: { name: 'Metabase' },
  })
  await server.call('POST /api/venues', {
    token,
    body: { name: 'Empty', city: 'Oslo', country: 'NO', time_zone: 'Europe/Oslo' },
  })
  const { make, show500, record } = settling(server, token)
  const bare = await make('shows', aShow)
  const deal = { kind: 'flat', currency: 'EUR', guarantee_minor: 500_000 }
  const settlement = (await record(await show500(deal))).body.id
  const ids = {
    ...tenant,
    member: member.id,
    role: role.id,
    hold: hold.id,
    bi: bi.id,
    bare,
    settlement,
    actor: '',
  }
  const who = {
    owner,
    viewer: await join(server, owner, 'viewer'),
    manager: await join(server, owner, 'manager'),
    admin: await join(server, owner, 'admin'),
    custom: await joinAs(server, owner, customPermissions),
  }
  for (const person of Object.values(who))
    await server.call('POST /api/calendar-feeds', { token: person.token, body: { name: 'Phone' } })
  for (const person of [who.manager, who.admin])
    await server.call('POST /api/analytics/export', {
      token: person.token,
      body: { resource: 'shows', format: 'csv' },
    })
  return { ids, who }
}

/**
 * The lines of resources that have none above: who may comes from the API's matrix for their operations, and
 * how are the row commands.
 */
function linesOfResources({ app }: TestServer): Record<string, Cell[]> {
  const who = (operation: string) =>
    actors.filter(actor => (operations[operation]?.[0][columns.indexOf(actor)] ?? 500) < 300)
  const lines = app.resources.flatMap(({ table: name, title, path, under = path, parent, noun }) => {
    const table = `app.${name}`
    if (noun !== undefined || table in special) return []
    const body = JSON.stringify(exampleOf(app, under.replace(':id', '{id}'))).replaceAll("'", "''")
    const cells: Cell[] = [
      [who(`list${title}s`), () => `select from ${table}`],
      [
        who(`create${title}`),
        k =>
          `select app.create_row('${name}', '${body}'${parent === undefined ? '' : `, '${parent}', '${k.show}'`})`,
      ],
      [
        who(`update${title}`),
        () => `select app.write_row('${name}', id, '${body}', true) from ${table} limit 1`,
      ],
      [who(`delete${title}`), () => `select app.delete_row('${name}', id) from ${table} limit 1`],
    ]
    return [[table, cells] as const]
  })
  return Object.fromEntries(lines)
}

/** Whether the statement does anything, in a transaction of the person's that is then rolled back. */
async function works(sql: postgres.Sql, { organization }: Ids, person: Person, statement: string) {
  const undo = new Error('undo') as Error & { rows: number }
  return sql
    .begin(async tx => {
      await tx`select app.enter(${secretOf(person)}, ${organization})`
      undo.rows = (await tx.unsafe(statement)).count
      throw undo
    })
    .catch((error: unknown) => {
      if (error === undo) return undo.rows > 0
      const { code = '' } = error as { code?: string }
      if (code === '42501' || /^PT40[34]$/.test(code)) return false
      throw new Error(`${statement}: ${(error as Error).message}`, { cause: error })
    })
}

t.test('in SQL', async t => {
  const server = await startServer(t)
  const { db } = server
  const { ids, who } = await scene(server)
  const table = { ...linesOfResources(server), ...special }
  const sql = openLogin(t, db.url('callboard_api'))
  const names = (await findTables(db))
    .filter(({ name, isPartition }) => name.startsWith('app.') && !isPartition)
    .map(({ name }) => name)

  await t.test('every table has its line, and every line a table', async t => {
    t.strictSame(Object.keys(table).sort(), names.sort())
  })

  for (const [name, cells] of Object.entries(table)) {
    await t.test(`${name} does for each role what it should`, async t => {
      const columns = await db.admin<{ column: string }[]>`
        select quote_ident(attname) as column from pg_attribute
        where attrelid = ${name}::regclass and attnum > 0 and not attisdropped order by attnum limit 1`
      const column = columns[0]?.column ?? ''
      const plain: Record<Command, string> = {
        select: `select from ${name}`,
        insert: `insert into ${name} select * from ${name}`,
        update: `update ${name} set ${column} = ${column}`,
        delete: `delete from ${name}`,
      }
      for (const [n, command] of commands.entries()) {
        const [expected, how] = cells[n] ?? nobody
        for (const actor of actors) {
          const person = who[actor]
          const statement = how?.({ ...ids, actor: person.id }) ?? plain[command]
          t.equal(await works(sql, ids, person, statement), expected.includes(actor), `${actor}: ${command}`)
          if (command === 'delete')
            t.notOk(await works(sql, ids, person, plain.delete), `${actor} really deletes nothing`)
        }
      }
    })

    await t.test(`${name} has policies that say the same`, async t => {
      for (const [n, command] of commands.entries()) {
        const [row] = await db.admin<[{ permission: string | null }]>`
          select app_private.policy_permission(${name}::regclass, ${command}) as permission`
        const [expected] = cells[n] ?? nobody
        // For reference tables, and for one's own data, the policies require no permission.
        if (row.permission === null) {
          t.ok(
            expected.length === 0 || expected.length === all.length,
            `${command} needs a policy named ${command}_member`,
          )
          continue
        }
        for (const actor of actors) {
          const [held] = await db.admin<[{ may: boolean }]>`
            select ${row.permission} = any (app.permissions_of(${ids.organization}, ${who[actor].id})) as may`
          // The command asks for more than the policy.
          if (`${name} ${command} ${actor}` === 'app.invitations update custom') continue
          t.equal(held.may, expected.includes(actor), `${actor}: ${command} by ${row.permission}`)
        }
      }
    })
  }
})
