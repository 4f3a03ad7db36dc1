// `npm run audit:policies -- --migration`: what a migration changes in who may see and do what, before it is released.
// The programs run in a copy of the checkout with migrations of its own, each on a server that it starts.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t } from '../support/tap.ts'
import { asCommitted } from '../../src/database/committed.ts'
import type { Report } from '../../src/policies/audit.ts'
import { describe } from '../../src/policies/facts.ts'
import type { Class } from '../../src/policies/finding.ts'
import { migrationFindings } from '../../src/policies/judge-migration.ts'
import { copyCheckout } from '../support/checkout.ts'
import { startDatabase } from '../support/helper.ts'
import { latestHash, later } from '../support/later.ts'
import { undone } from '../support/undone.ts'

const { folder, run, write } = copyCheckout(t)
const program = '../policies/audit-policies'
// It never looks at this one.
const nowhere = { ADMIN_DATABASE_URL: 'postgres://postgres@127.0.0.1:1/callboard' }
const json = join(folder, 'report.json')
const audit = async (which: string, ...more: string[]) => {
  const { code, output } = await run(program, ['--migration', which, '--json', json, ...more], nowhere)
  return {
    code,
    output,
    findings: code === 2 ? [] : (JSON.parse(readFileSync(json, 'utf8')) as Report).findings,
  }
}

const widens = later(1, 'everybody-sees-shows')
const opens = later(2, 'everybody-seals')
const adds = later(3, 'venues-have-a-nickname')
const migrations = {
  [widens]: `alter policy select_member on app.shows using (true);\n`,
  [opens]: `grant execute on function app.seal_events(interval) to public;\n`,
  [adds]: `alter table app.venues add column nickname text constraint venues_nickname_length check (app.is_line(nickname, 200));
alter table app.venues alter column nickname set statistics 0;
create index venues_organization_id_nickname_idx on app.venues (organization_id, nickname);
comment on column app.venues.nickname is 'What crews call it.';\n`,
}
let previous = latestHash
for (const [file, text] of Object.entries(migrations)) {
  const committed = asCommitted(text, previous)
  previous = /^--! Hash: (.*)$/m.exec(committed)?.[1]
  writeFileSync(join(folder, 'db/migrations/committed', file), committed)
}

t.test('a migration that widens a policy is dangerous, and says who then sees what', async t => {
  const page = join(folder, 'report.html')
  const sarif = join(folder, 'report.sarif')
  const { code, output, findings } = await audit(widens, '--html', page, '--sarif', sarif, '--markdown', '-')
  t.equal(code, 1, output)
  t.match(findings, [
    {
      id: 'migration:policy select_member on app.shows',
      class: 'dangerous',
      says: /^It lets callboard_api .* see all rows of all organizations of app\.shows/,
      expected: /org_if/,
      found: /using \(true\)/,
    },
    { id: 'rules:policy-for-everybody: select_member on app.shows' },
  ])
  t.match(output, `The migration ${widens} on PostgreSQL`)
  t.match(readFileSync(page, 'utf8'), /after: +<code>permissive, for select.*true/)
  t.match(JSON.parse(readFileSync(sarif, 'utf8')), {
    runs: [{ results: [{ level: 'error', ruleId: 'migration' }] }],
  })
})

t.test(
  'a migration that opens a definer function to PUBLIC is dangerous, and says what is reached',
  async t => {
    const { code, output, findings } = await audit(opens)
    t.equal(code, 1, output)
    t.match(findings, [
      {
        id: 'migration:function app.seal_events(interval) grants to public',
        class: 'dangerous',
        says: /^public \(every login of the server, .* may call app\.seal_events\(interval\), which runs with the rights of callboard_definer/,
      },
    ])
    t.ok(findings.some(({ id }) => id === 'rules:public-executes: app.seal_events(interval)'))
    t.ok(findings[0]?.why?.some(line => line.endsWith('→ callboard_definer → app.event_seals: insert')))
  },
)

t.test('a migration by which nobody sees or may do more is safe', async t => {
  const { code, output, findings } = await audit('latest')
  t.equal(code, 0, output)
  t.strictSame(
    findings.map(({ id, class: kind }) => [id, kind]),
    [
      ['migration:column app.venues.nickname', 'safe'],
      ['migration:constraint venues_nickname_length on app.venues', 'safe'],
      ['migration:index app.venues_organization_id_nickname_idx', 'safe'],
    ],
  )
})

t.test('the next migration is what would be committed now', async t => {
  write(`create table app.loot (organization_id uuid primary key, note text);
grant select on app.loot to callboard_api;\n`)
  const { code, output, findings } = await audit('next')
  t.equal(code, 1, output)
  t.match(
    findings.find(({ id }) => id === 'migration:table app.loot owner'),
    {
      class: 'dangerous',
      says: /^The table app\.loot is new, and has no row-level security: it is open to callboard_api/,
      why: ['callboard_api: select all rows of all organizations: row-level security is off'],
    },
  )
  t.ok(findings.some(({ id }) => id === 'rules:rls-forced: app.loot'))
})

t.test('it says how it is called', async t => {
  t.match(await audit('000009-nothing.sql'), {
    code: 2,
    output: /^--migration: there is no migration "000009-nothing\.sql"; say next, latest, or .*Usage: /s,
  })
  t.match(await audit('latest', '--read-only'), {
    code: 2,
    output: /^--read-only is of the audit of a database/,
  })
})

const { admin } = await startDatabase(t, { passwords: 'select' })
const before = await admin.begin('read only', describe)

/** What a migration changes that is rolled back. */
const changed = (migration: string) =>
  undone(admin, `set local role callboard_owner; ${migration}; reset role`, async sql =>
    migrationFindings(before, await describe(sql)),
  )

const own = `(organization_id = (select app.org_if('shows.read')))`
const table = `create table app.riders (organization_id uuid primary key, note text);
  alter table app.riders enable row level security, force row level security`
const definer = (
  name: string,
) => `create function app.${name}() returns bigint language sql stable security definer
  set search_path = '' begin atomic select count(*) from app.shows; end; alter function app.${name}() owner to callboard_definer`
const changes: [what: string, migration: string, kind: Class, id: string, says: RegExp][] = [
  ['a table that nobody reads yet', table, 'safe', 'table app.riders owner', /is new: it is open to nobody/],
  [
    'a table whose policies ask for the context',
    `${table}; create policy select_member on app.riders for select to callboard_api using ${own}; grant select on app.riders to callboard_api`,
    'to be reviewed',
    'table app.riders owner',
    /is new: it is open to callboard_api/,
  ],
  [
    'a table with a policy for all rows',
    `${table}; create policy select_member on app.riders for select to callboard_api using (true); grant select on app.riders to callboard_api`,
    'dangerous',
    'table app.riders owner',
    /is new: it is open to callboard_api/,
  ],
  [
    'another policy',
    `create policy select_more on app.shows for select to callboard_api using ${own}`,
    'dangerous',
    'policy select_more on app.shows',
    /besides what other policies allow/,
  ],
  [
    'a policy with one more condition',
    `alter policy delete_member on app.venues using (organization_id = (select app.org_if('shows.delete')) and version > 0)`,
    'breaking',
    'policy delete_member on app.venues',
    /fewer rows/,
  ],
  [
    'a policy that is gone',
    `drop policy select_member on app.shows`,
    'breaking',
    'policy select_member on app.shows',
    /may no longer see/,
  ],
  [
    'a grant that policies limit',
    `grant delete on app.venues to callboard_api`,
    'to be reviewed',
    'table app.venues grants to callboard_api',
    /may delete app\.venues: the rows that these policies allow: delete_member/,
  ],
  [
    'a grant that no policy limits',
    `grant truncate on app.venues to callboard_api`,
    'dangerous',
    'table app.venues grants to callboard_api',
    /no policy limits TRUNCATE/,
  ],
  [
    'a grant on a column for everybody',
    `grant select (name) on app.venues to public`,
    'dangerous',
    'column app.venues.name grants to public',
    /every login of the server/,
  ],
  [
    'a function of a definer for the API',
    `${definer('count_all')}; grant execute on function app.count_all() to callboard_api`,
    'to be reviewed',
    'function app.count_all() owner',
    /is new: it runs with the rights of callboard_definer, for callboard_api/,
  ],
  [
    'a function of a definer for everybody',
    `${definer('count_all')}; grant execute on function app.count_all() to public`,
    'dangerous',
    'function app.count_all() owner',
    /for public \(every login/,
  ],
  ['a function for nobody', definer('count_all'), 'safe', 'function app.count_all() owner', /is new/],
  [
    'a function of a definer that is another',
    `alter function app.search_shows(text) set work_mem = '1GB'`,
    'to be reviewed',
    'function app.search_shows(text) definition',
    /is changed: it runs with the rights of callboard_definer, for callboard_api/,
  ],
  [
    'a function that policies call',
    `create or replace function app.current_user_id() returns uuid language sql stable parallel safe return (select id from app.users limit 1)`,
    'dangerous',
    'function app.current_user_id() definition',
    /and it is changed/,
  ],
  [
    'a view',
    `create view app.riders with (security_invoker = true) as select id from app.shows; grant select on app.riders to callboard_api`,
    'to be reviewed',
    'view app.riders owner',
    /The view app\.riders is new/,
  ],
  [
    'a view that no longer asks who reads',
    `alter view app.show_rows set (security_invoker = false)`,
    'dangerous',
    'view app.show_rows option',
    /rights of its owner/,
  ],
  [
    'a table without its row-level security',
    `alter table app.shows no force row level security`,
    'dangerous',
    'table app.shows row security',
    /applies to its owner/,
  ],
  [
    'a trigger that is gone',
    `drop trigger _900_events on app.shows`,
    'dangerous',
    'trigger _900_events on app.shows',
    /no longer runs/,
  ],
  [
    'a permission for a role of members',
    `insert into app.role_permissions (role, permission) values ('viewer', 'shows.write')`,
    'to be reviewed',
    'row of app.role_permissions',
    /gives that permission to every member/,
  ],
  [
    'a column that is gone',
    `alter table app.shows drop column notes cascade`,
    'breaking',
    'column app.shows.notes',
    /is gone/,
  ],
]
for (const [what, migration, kind, subject, says] of changes)
  t.test(`${what} is ${kind}`, async t => {
    const found = await changed(migration)
    const match = found.find(finding => finding.subject === subject)
    t.match(match, { class: kind, says }, JSON.stringify(found.slice(0, 3)))
  })

t.test('a migration that changes nothing has no findings', async t => {
  t.strictSame(await changed('select 1'), [])
})
