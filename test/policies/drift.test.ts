// How a live database differs from the committed facts: nothing on a clean one, and each change by name, with what it
// lets whom see. Each is made in a transaction that is rolled back.
import { readFileSync } from 'node:fs'
import { t } from '../support/tap.ts'
import { committedText } from '../../src/policies/committed.ts'
import { drift } from '../../src/policies/drift.ts'
import { describe, describeCatalogue, describeCluster } from '../../src/policies/facts.ts'
import type { Class } from '../../src/policies/finding.ts'
import { judge } from '../../src/policies/judge.ts'
import { LiveFacts } from '../../src/policies/live.ts'
import { carrier, startDatabase } from '../support/helper.ts'
import { root } from '../support/documents.ts'
import { undone } from '../support/undone.ts'
import type { TransactionSql } from 'postgres'

const look = async (sql: TransactionSql) => {
  const facts = [...(await describe(sql)), ...(await describeCluster(sql))]
  // Other tests create databases and roles meanwhile.
  return drift(
    facts.filter(fact => !/^(?:other database callboard_|role safety_)/.test(fact)),
    carrier,
  )
}

const db = await startDatabase(t, { passwords: 'select' })
const { admin } = db

/** The differences after a change that is rolled back. */
const after = (change: string) => undone(admin, change, look)

t.test('a database that was just migrated does not differ from the committed facts', async t => {
  t.strictSame(await admin.begin(look), [])
})

t.test(
  'the committed facts are those of the migrations, for both ways to carry contexts',
  { skip: carrier === 'signed' && 'db/roles.sql could not grant the setting' },
  async t => {
    const committed = readFileSync(`${root}/db/policies/committed.txt`, 'utf8')
    t.ok((await committedText(admin)) === committed, 'db/policies/committed.txt is stale: run npm run docs')
  },
)

t.test('without rows, as any login can look, nothing differs either', async t => {
  const facts = await admin.begin('read only', async sql => {
    await sql`set local role callboard_worker`
    return [...(await describeCatalogue(sql)), ...(await describeCluster(sql))]
  })
  const found = drift(facts, carrier, { rows: false })
  t.strictSame(
    found.filter(({ subject }) => !/^(?:other database callboard_|role safety_)/.test(subject)),
    [],
  )
})

t.test('months of the event log that come and go are no difference', async t => {
  const found = await after(`do $$ begin execute (
    select format('drop table %s', max(inhrelid::regclass::text)) from pg_inherits
    where inhparent = 'app.event_log'::regclass and inhrelid::regclass::text ~ '_\\d{4}_\\d\\d$'); end $$`)
  t.strictSame(found, [])
})

const name = db.name
const changes: [what: string, change: string, kind: Class, subject: string, says: RegExp][] = [
  [
    'a policy that is widened',
    `alter policy select_member on app.shows using (true)`,
    'dangerous',
    'policy select_member on app.shows',
    /lets callboard_api \(every request of the API\), callboard_exporter \(exports\) see all rows of all organizations of app\.shows/,
  ],
  [
    'a policy for the rows of every organization',
    `alter policy update_member on app.venues using (city = 'Ghent')`,
    'dangerous',
    'policy update_member on app.venues',
    /lets callboard_api .* change rows of every organization \(.*city = 'Ghent'/,
  ],
  [
    'a policy that is narrowed',
    `alter policy select_member on app.shows using (organization_id = (select app.org_if('shows.read')) and status = 'hold')`,
    'breaking',
    'policy select_member on app.shows',
    /may see fewer rows of app\.shows/,
  ],
  [
    'a policy that is dropped',
    `drop policy select_member on app.shows`,
    'breaking',
    'policy select_member on app.shows',
    /callboard_api .* may no longer see rows of app\.shows/,
  ],
  [
    'a policy more',
    `create policy more on app.shows for delete to public using (true)`,
    'dangerous',
    'policy more on app.shows',
    /lets public \(every login of the server, .*\) delete all rows of all organizations/,
  ],
  [
    'row-level security that is off',
    `alter table app.shows disable row level security`,
    'dangerous',
    'table app.shows row security',
    /all rows of all organizations are open to callboard_api/,
  ],
  [
    'row-level security that is not forced',
    `alter table app.shows no force row level security`,
    'dangerous',
    'table app.shows row security',
    /open to callboard_owner/,
  ],
  [
    'row-level security that is off in one month',
    `do $$ begin execute (select format('alter table %s disable row level security', max(inhrelid::regclass::text)) from pg_inherits where inhparent = 'app.event_log'::regclass and inhrelid::regclass::text ~ '_\\d{4}_\\d\\d$'); end $$`,
    'dangerous',
    '',
    /No policy of app\.event_log_\d{4}_\d\d applies/,
  ],
  [
    'a grant on a table',
    `grant delete on app.shows to callboard_api`,
    'dangerous',
    'table app.shows grants to callboard_api',
    /may delete app\.shows: the rows that these policies allow: delete_member/,
  ],
  [
    'a grant that no policy limits',
    `grant truncate on app.shows to callboard_worker`,
    'dangerous',
    'table app.shows grants to callboard_worker',
    /no policy limits TRUNCATE/,
  ],
  [
    'a grant on a column',
    `grant select (mail_id) on app.invitations to callboard_bi`,
    'dangerous',
    'column app.invitations.mail_id grants to callboard_bi',
    /callboard_bi \(every BI login\) may select mail_id of app\.invitations: no rows/,
  ],
  [
    'a grant that is revoked',
    `revoke select on app.shows from callboard_api`,
    'breaking',
    'table app.shows grants to callboard_api',
    /may no longer select app\.shows/,
  ],
  [
    'a function of a definer that everybody may call',
    `grant execute on function app.seal_events(interval) to public`,
    'dangerous',
    'function app.seal_events(interval) grants to public',
    /every login of the server, .* may call app\.seal_events\(interval\), which runs with the rights of callboard_definer/,
  ],
  [
    'a function that policies call',
    `create or replace function app.current_user_id() returns uuid language sql stable parallel safe return (select id from app.users limit 1)`,
    'dangerous',
    'function app.current_user_id() definition',
    /decides in \d+ policies which rows are seen/,
  ],
  [
    'a function of a definer that is another',
    `alter function app.search_shows(text) set work_mem = '1GB'`,
    'dangerous',
    'function app.search_shows(text) definition',
    /runs with the rights of callboard_definer, for callboard_api/,
  ],
  [
    'a view that no longer asks who reads',
    `alter view app.show_rows set (security_invoker = false)`,
    'dangerous',
    'view app.show_rows option',
    /reads with the rights of its owner/,
  ],
  [
    'a view that is no barrier',
    `alter view analytics.finance_by_month set (security_barrier = false)`,
    'dangerous',
    'view analytics.finance_by_month option',
    /no security barrier/,
  ],
  [
    'a trigger that is disabled',
    `alter table app.shows disable trigger _900_events`,
    'dangerous',
    'trigger _900_events on app.shows',
    /no longer runs/,
  ],
  [
    'a table of somebody’s',
    `create table app.loot as select * from app.shows; grant select on app.loot to callboard_bi`,
    'dangerous',
    'table app.loot owner',
    /no row-level security: it is open to callboard_bi/,
  ],
  [
    'a permission for a role of members',
    `insert into app.role_permissions (role, permission) values ('viewer', 'shows.write')`,
    'dangerous',
    'row of app.role_permissions',
    /gives that permission to every member/,
  ],
  [
    'an extension that leaves the database',
    `create extension dblink schema app`,
    'dangerous',
    'extension dblink',
    /connects elsewhere/,
  ],
  [
    'an extension',
    `create extension hstore schema app_private`,
    'to be reviewed',
    'extension hstore',
    /not of Callboard/,
  ],
  [
    'a publication',
    `create publication everything for table app.shows`,
    'dangerous',
    'publication everything',
    /Row-level security does not apply/,
  ],
  [
    'privileges of what is yet to be created',
    `alter default privileges for role callboard_definer grant execute on functions to public`,
    'dangerous',
    'default privileges of callboard_definer on functions',
    /can be called by every login/,
  ],
  [
    'an index of a DBA',
    `create index on app.shows (organization_id, artist)`,
    'safe',
    'index app.shows_organization_id_artist_idx',
    /an index of yours/,
  ],
  [
    'an attribute of a role',
    `alter role callboard_auditor bypassrls`,
    'dangerous',
    'role callboard_auditor attribute bypassrls',
    /sees and changes the rows of all organizations/,
  ],
  [
    'a membership',
    `grant callboard_definer to callboard_auditor`,
    'dangerous',
    'role callboard_auditor member of callboard_definer',
    /has the rights of callboard_definer/,
  ],
  [
    'a setting of a role',
    `alter role callboard_auditor set search_path = 'evil'`,
    'dangerous',
    'role callboard_auditor setting search_path',
    /starts every connection with search_path = evil/,
  ],
  [
    'a setting of every role',
    `alter role all set work_mem = '1GB'`,
    'to be reviewed',
    'role of every role setting work_mem',
    /Every login starts/,
  ],
  [
    'a setting of the database',
    `alter database ${name} set row_security = off`,
    'dangerous',
    'setting of this database',
    /Every login starts here with row_security=off/,
  ],
  [
    'a privilege on the database',
    `grant create on database ${name} to callboard_auditor`,
    'dangerous',
    'this database grants to callboard_auditor',
    /may create schemas and publications in this database/,
  ],
  [
    'a privilege on another database',
    `grant connect on database postgres to callboard_auditor`,
    'to be reviewed',
    'other database postgres grants to callboard_auditor',
    /may connect in the database postgres.* revoke connect on database postgres from callboard_auditor\.$/,
  ],
  [
    'a parameter',
    `grant set on parameter backtrace_functions to callboard_auditor`,
    'dangerous',
    'parameter backtrace_functions grants to callboard_auditor',
    /act as anybody of any organization/,
  ],
  [
    'a lost hardening',
    `grant execute on function lo_creat(integer) to public`,
    'dangerous',
    'hardening large objects closed to public',
    /every login may keep and read large objects/,
  ],
]
for (const [what, change, kind, subject, says] of changes)
  t.test(`it names ${what}`, async t => {
    const found = await after(change)
    const match = found.find(
      finding => (subject === '' || finding.subject === subject) && says.test(finding.says),
    )
    t.equal(match?.class, kind, JSON.stringify(found.slice(0, 3)))
    t.ok(found.length <= 3, 'and nothing that does not come of it')
    t.equal(new Set(found.map(({ id }) => id)).size, found.length, 'each by an id of its own')
  })

t.test('a restrictive policy that is made permissive, or dropped, is dangerous', async t => {
  const subject = 'policy withhold on app.shows'
  const expected = `restrictive, for select, to callboard_api, using (status <> 'hold'::text)`
  const facts = new LiveFacts([])
  t.match(judge({ subject, expected, found: expected.replace('restrictive', 'permissive') }, facts), {
    class: 'dangerous',
    says: /see rows of every organization .* where it used to withhold rows/,
  })
  t.match(judge({ subject, expected }, facts), {
    class: 'dangerous',
    says: /withheld rows .* who may now see them/,
  })
  t.match(judge({ subject, found: expected }, facts), { class: 'breaking', says: /withholds rows/ })
})

t.test('what is reached through a function is said: function, owner, table, command', async t => {
  const [finding] = await after(
    `grant execute on function app_private.grant_support(text, text, timestamptz, text, boolean) to callboard_bi`,
  )
  t.ok(
    finding?.why?.some(line => / → callboard_definer → app_private\.support_grants: insert$/.test(line)),
    JSON.stringify(finding),
  )
})
