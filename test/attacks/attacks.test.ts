import { t } from '../support/tap.ts'
import type { Attack } from './attack.ts'
import { commands } from './commands.ts'
import { escalation } from './escalation.ts'
import { events } from './events.ts'
import { forgedContext } from './forged-context.ts'
import { oracles } from './oracles.ts'
import { reading } from './reading.ts'
import { makeFixtures } from './fixtures.ts'
import { openLogin } from '../isolation/world.ts'
import { sessions } from './sessions.ts'
import { writing } from './writing.ts'
import { carrier, startDatabase } from '../support/helper.ts'

const attacks = {
  'impersonating somebody else': forgedContext,
  'what outlives a transaction': sessions,
  'reading rows, files and the system': reading,
  'writing rows': writing,
  'calling functions': commands,
  'inferring without seeing': oracles,
  'what the log says': events,
  'escalating privileges': escalation,
}
const all = Object.values(attacks).flat()

t.test('any SQL as the API’s login', async t => {
  const { server, direct, assess, loot, answers } = await makeFixtures(t)
  const { pool } = server
  const usual = await answers()

  t.equal(new Set(all.map(({ name }) => name)).size, all.length, 'no two attacks have the same name')
  for (const [kind, list] of Object.entries(attacks))
    await t.test(kind, async t => {
      for (const attack of list)
        await t.test(attack.name, async t => {
          t.strictSame(await assess(attack, direct), [], 'gets nowhere')
          await direct.unsafe('discard all')
          t.strictSame(await pool.use(sql => assess(attack, sql)), [], 'nor on the shared connection')
          t.strictSame(await answers(), usual, 'whose next requests get the usual responses')
          t.strictSame(await pool.use(sql => loot(attack, sql)), [], 'and leave nothing behind there')
        })
    })
})

t.test('every function with the ids of another organization', async t => {
  const { server, direct, listen, changes, knowledge, answers } = await makeFixtures(t)
  const usual = await answers()
  const { b, session } = await knowledge(direct)
  const functions = await server.db.admin<{ name: string; types: string[] }[]>`
    select p.oid::regproc::text as name, array(select format_type(x, null) from unnest(p.proargtypes) x) as types
    from pg_proc p where has_function_privilege('callboard_api', p.oid, 'execute') and p.pronamespace = 'app'::regnamespace`
  const values: Record<string, string> = {
    text: `'viewer'`,
    jsonb: `'{"title": "x", "name": "x", "artist": "x", "show_on": "2027-01-01"}'`,
    json: `'{}'`,
    bytea: `sha256('x')`,
    integer: '400',
    bigint: '0',
    numeric: '1',
    inet: `'192.0.2.7'`,
    boolean: 'true',
    date: 'current_date',
    'timestamp with time zone': 'now()',
    interval: `'1 day'`,
    'double precision': '1',
    regclass: `'app.deals'`,
    // Untyped, because an element of a VARIADIC is written in the same way.
    'text[]': `'{finance_by_month}'`,
  }
  const foreign = { organization_id: b.organization, show_id: b.show, deal_id: b.show, id: b.show }
  const rowTypes = await server.db.admin<{ type: string }[]>`
    select format_type(reltype, null) as type from pg_class
    where relnamespace = 'app'::regnamespace and relkind in ('r', 'p', 'v')`
  for (const { type } of rowTypes)
    values[type] = `jsonb_populate_record(null::${type}, '${JSON.stringify(foreign)}')`
  // A type that no function took before has a value by its kind.
  const byKind: Record<string, string> = {
    D: 'now()',
    N: '1',
    S: `'viewer'`,
    B: 'true',
    T: `'1 day'`,
    I: `'192.0.2.7'`,
  }
  const others = await server.db.admin<{ type: string; kind: string }[]>`
    select format_type(oid, null) as type, typcategory as kind from pg_type
    where typnamespace = 'pg_catalog'::regnamespace and typcategory in ${server.db.admin(Object.keys(byKind))}`
  for (const { type, kind } of others) values[type] ??= `${byKind[kind] ?? 'null'}::${type}`
  t.ok(functions.length > 40, 'there are many')
  const ids = [
    ...[b.organization, b.show, b.venue, b.record, b.import, b.tour.itineraries, b.tour['schedule-items']],
    ...[b.invitation, b.owner.id, b.viewer.id, session],
  ]
  for (const { name, types } of functions) {
    const unknown = types.filter(type => type !== 'uuid' && !(type in values))
    t.strictSame(unknown, [], `${name} takes only types that this test has a value for`)
    for (const id of ids) {
      const arguments_ = types.map(type => (type === 'uuid' ? `'${id}'` : values[type])).join(', ')
      const attack: Attack = {
        name,
        steps: () => [`select * from ${name}(${arguments_})`],
        expects: 'anything',
      }
      t.strictSame(await listen(attack, direct), [], `${name} shows nothing for ${id}`)
      if (!types.includes('uuid')) break
    }
    t.strictSame(await changes(), [], `${name} changes nothing, whatever the id`)
  }
  t.strictSame(await answers(), usual)
})

t.test('the recipe of a password', async t => {
  const { as } = await startDatabase(t)
  const sql = as('callboard_api')
  const salts = async (address: string) => {
    const recipes = await sql.unsafe<{ recipe: string }[]>(
      `select app.password_recipe(${address}) as recipe from generate_series(1, 64) as i`,
    )
    return recipes.map(({ recipe }) => Buffer.from(recipe.split('$').at(-1) ?? '', 'base64').toString('hex'))
  }
  const cases = {
    'of an account': 'null',
    'made up for an unknown address': `'nobody' || i || '@example.com'`,
  }
  for (const [whose, address] of Object.entries(cases))
    await t.test(`${whose} has no fixed bit that would identify it`, async t => {
      const bits = (await salts(address)).map(salt => BigInt(`0x${salt}`))
      const [some, every] = [bits.reduce((x, y) => x | y), bits.reduce((x, y) => x & y)]
      t.strictSame([some, every], [2n ** 128n - 1n, 0n], 'each bit is set in some and unset in others')
    })
  await t.test('for an unknown address is always the same, regardless of case', async t => {
    const found = [...(await salts(`'nobody@example.com'`)), ...(await salts(`'Nobody@Example.com'`))]
    t.equal(new Set(found).size, 1)
  })
})

interface Guard {
  /** It is one only where contexts are carried in this way. */
  ifContextIs?: typeof carrier
  /** A login of its own, a member of callboard_api, that attacks instead. */
  login?: string
  /** How a superuser removes it … */
  without: string
  /** … and restores it. */
  again: string
  /** Attacks that get through meanwhile. */
  through: string[]
}
const database = (privilege: string) =>
  `do $$ begin execute format('${privilege}', current_database()); end $$`
const guards: Guard[] = [
  {
    without: `create or replace function app_private.is_trusted() returns boolean language sql stable set search_path = '' return true`,
    again: `create or replace function app_private.is_trusted() returns boolean language sql stable set search_path = ''
      return session_user = 'callboard_worker' or pg_has_role(session_user, 'callboard_owner', 'member')`,
    through: ['a change that becomes nobody before it is logged'],
  },
  {
    without: 'alter function pg_catalog.uuid_eq(uuid, uuid) cost 1',
    again: 'alter function pg_catalog.uuid_eq(uuid, uuid) cost 0.0001',
    through: [
      'what is executed for a title',
      'what is executed for a fee',
      'what is executed for the notes of one row',
      'what is executed for an address',
    ],
  },
  {
    without: 'alter table app.shows disable row level security',
    again: 'alter table app.shows enable row level security',
    through: [
      'all but one’s own',
      'COPY of a query',
      'an UPDATE that returns',
      'a cast to a number, in the condition',
      'a query after COMMIT',
    ],
  },
  {
    // It is a member of the definer, whose policies show all organizations.
    without: 'alter view app.readable_events owner to callboard_owner',
    again: 'alter view app.readable_events owner to callboard_reader',
    through: ["another's event in the list", 'all events'],
  },
  {
    // An ordinary one is not used while any transaction on the server is older, even one of another test.
    without: 'create index concurrently loot on app.users (email)',
    again: 'drop index app.loot',
    through: ['what an index finds for an address', 'what counters say of an address'],
  },
  {
    without:
      'alter table app.shows alter title set statistics 100, alter notes set statistics 100; analyze app.shows',
    again: 'alter table app.shows alter title set statistics 0, alter notes set statistics 0',
    through: ['the estimate for a title', 'the estimate for notes'],
  },
  {
    without: 'alter function app.forget_password(text) reset client_min_messages',
    again: `alter function app.forget_password(text) set client_min_messages = 'error'`,
    through: ['the plans of functions that know an address, and mail a secret to it'],
  },
  {
    without: database('grant temporary on database %I to public'),
    again: database('revoke temporary on database %I from public'),
    through: ['a temporary table', 'a temporary type that shadows text'],
  },
  {
    without:
      'grant select on pg_prepared_statements to public; grant execute on function pg_prepared_statement() to public',
    again:
      'revoke select on pg_prepared_statements from public; revoke execute on function pg_prepared_statement() from public',
    through: ['the names of prepared statements'],
  },
  {
    ifContextIs: 'guarded',
    // Rights to parameters are the server's, and other tests use it: so a login of this test alone gets them.
    login: 'callboard_test_of_attacks',
    without: 'grant set on parameter backtrace_functions to callboard_test_of_attacks',
    again: 'drop owned by callboard_test_of_attacks; drop role callboard_test_of_attacks',
    through: ['the context by set_config', 'the context by SET', 'the context by a DO block'],
  },
  {
    ifContextIs: 'signed',
    without: `create or replace function app_private.context_signature() returns text language sql set search_path = ''
      return coalesce(current_setting('app.signature', true), '')`,
    again: '',
    through: [
      'set_config of the organization alone',
      'all settings of the victim without the signature',
      'a signature copied from an earlier transaction of the same backend',
      'permissions widened under one’s own signature',
    ],
  },
]

t.test('without a guard', async t => {
  const { server, direct: usual, assess } = await makeFixtures(t, false)
  const { admin, url } = server.db
  for (const { login, without, again, through } of guards.filter(
    ({ ifContextIs = carrier }) => ifContextIs === carrier,
  ))
    await t.test(without, async t => {
      if (login !== undefined)
        await admin.unsafe(
          `create role ${login} login in role callboard_api password '${new URL(url('callboard_api')).password}'`,
        )
      const direct = login === undefined ? usual : openLogin(t, url(login))
      await admin.unsafe(without)
      for (const name of through) {
        const attack = all.find(a => a.name === name)
        if (!attack) throw new Error(`no such attack: ${name}`)
        t.not((await assess(attack, direct)).length, 0, `${name} gets through, and is noticed`)
        await direct.unsafe('discard all')
      }
      await admin.unsafe(again)
    })
})
