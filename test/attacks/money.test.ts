import { t } from '../support/tap.ts'
import { joinAs, startServer } from '../support/helper.ts'
import { makeTenant, openLogin, secretOf } from '../isolation/world.ts'
import { q } from './attack.ts'
import { send, transcript } from './run.ts'

/** Everything that leads to money, but no permission to read any. */
const permissions = [
  'audit.read',
  'exports.run',
  'imports.run',
  'members.read',
  'organization.read',
  'shows.delete',
  'shows.read',
  'shows.write',
]

interface Known {
  show: string
  organization: string
}
type Statements = (k: Known) => string[]
const tables = [
  'show_fees',
  'finance_records',
  'deals',
  'ticket_tiers',
  'show_costs',
  'deal_bonuses',
  'deal_adjustments',
  'settlements',
]

/** What a member without finance.read sends as SQL, injected into their own request, to see a fee. */
const attacks: Record<string, Statements> = {
  'the table': () => ['select * from app.show_fees'],
  'all that finance has': () => tables.map(name => `select * from app.${name}`),
  'its view': () => ['select * from app.show_rows'],
  'the functions that read a show': k => [
    `select app.read_show(${q(k.show)})`,
    `select app.read_row('shows', ${q(k.show)})`,
  ],
  'what a function of the definer returns': k => [
    `select app.delete_row('shows', ${q(k.show)})`,
    `select app.restore_row('shows', ${q(k.show)})`,
  ],
  'the view, by an error': () => [
    'select count(*) from app.show_rows where app.refuse(400, fee_minor::text) is null',
  ],
  'the table, by an error': () => [
    'select count(*) from app.show_fees where int8range(fee_minor, 0) is not null',
  ],
  'the table, by notices': () => [
    `do $$ declare r record; begin for r in select * from app.show_fees loop raise notice '%', r; end loop; end $$`,
  ],
  'a plan': () => ['explain (analyze, verbose) select * from app.show_rows where fee_minor > 0'],
  'an UPDATE that returns': () => ['update app.show_fees set fee_minor = fee_minor returning *'],
  'an INSERT in its place': k => [
    `insert into app.show_fees (show_id, fee_minor, currency) values (${q(k.show)}, 1, 'EUR')
     on conflict (organization_id, show_id) do update set currency = excluded.currency returning *`,
  ],
  'a write of the currency alone': k => [`select app.write_show(${q(k.show)}, '{"currency": "EUR"}', false)`],
  'the changes of events': () => ['select changes from app.event_log', 'select * from app.event_log'],
  'the changes of events in the view': () => [
    'select * from app.readable_events',
    'select * from app.event_rows',
    `select count(*) from app.readable_events where app.refuse(400, changes::text) is null and changes is not null
       and resource_type = 'show_fee'`,
  ],
  'the lines of an import': () => ['select * from app.import_lines', 'select record from app.import_lines'],
  'the responses that are kept': () => ['select * from app.idempotency_keys'],
  'more permissions': () => [
    `select set_config('app.permissions', current_setting('app.permissions', true) || ' finance.read ', true)`,
    'select * from app.show_fees',
  ],
  'the role of exports': () => ['set local role callboard_exporter', 'select * from app.show_fees'],
}

t.test('a member without finance.read, with any SQL', async t => {
  const server = await startServer(t)
  const tenant = await makeTenant(server, 'money')
  const mia = await joinAs(server, tenant.owner, permissions)
  const { show, organization, fee } = tenant
  await server.db.admin`
    update app.import_lines set record = record || ${server.db.admin.json({ fee_minor: fee })} where record is not null`
  const notices: unknown[] = []
  const sql = openLogin(t, server.db.url('callboard_api'), notice => notices.push(notice))

  /** Each statement in a transaction of its own, unless they build on each other: what any of them says. */
  async function heard(statements: string[], as: string): Promise<string> {
    notices.length = 0
    const replies: unknown[] = []
    await sql.unsafe('begin')
    await sql.unsafe(`select app.enter('${as}', '${organization}')`)
    for (const text of statements) {
      await sql.unsafe('savepoint s')
      const { rows, error } = await send(sql, text)
      if (error) await sql.unsafe('rollback to s')
      replies.push({ rows, error })
    }
    await sql.unsafe('rollback')
    return transcript([replies, notices])
  }
  const secrets = [fee, fee + 1].map(String)
  const shows = async (name: string, as = mia) => {
    const text = await heard(attacks[name]?.({ show, organization }) ?? [], secretOf(as))
    return secrets.some(secret => text.includes(secret))
  }

  for (const name of Object.keys(attacks))
    await t.test(`sees no amount through ${name}`, async t => {
      t.equal(await shows(name), false)
    })

  await t.test('does not learn it by guessing', async t => {
    const ask = (guess: number) =>
      heard(
        [
          `explain (analyze, timing off, summary off, buffers off) select from app.show_fees where fee_minor = any (array[${guess}])`,
          `select count(*) from app.show_rows where fee_minor = ${guess}`,
        ],
        secretOf(mia),
      ).then(text => text.replaceAll(String(guess), '…'))
    t.equal(await ask(fee), await ask(fee - 1))
  })

  await t.test('as the owner does', async t => {
    for (const name of ['the table', 'its view', 'a plan', 'the changes of events in the view'])
      t.equal(await shows(name, tenant.owner), name !== 'a plan', name)
  })

  const guards: [without: string, again: string, through: string[]][] = [
    [
      `alter policy select_member on app.show_fees using (organization_id = (select app.org_if('shows.read')))`,
      `alter policy select_member on app.show_fees using (organization_id = (select app.org_if('finance.read')))`,
      ['the table', 'its view', 'the functions that read a show', 'what a function of the definer returns'],
    ],
    [
      'grant select (changes) on app.event_log to callboard_api',
      'revoke select (changes) on app.event_log from callboard_api',
      ['the changes of events'],
    ],
    [
      `create or replace view app_private.hidden_nouns as select n.noun from app_private.event_nouns n where false`,
      '',
      ['the changes of events in the view'],
    ],
    [
      'grant select (record) on app.import_lines to callboard_api',
      'revoke select (record) on app.import_lines from callboard_api',
      ['the lines of an import'],
    ],
  ]
  for (const [without, again, through] of guards)
    await t.test(`would see one after: ${without}`, async t => {
      await server.db.admin.unsafe(without)
      for (const name of through) t.equal(await shows(name), true, name)
      if (again !== '') await server.db.admin.unsafe(again)
    })
})
