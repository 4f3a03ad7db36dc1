// The clients that people use, as packaged by Debian: each as the logins of two organizations at once.
import { spawn, spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { t } from '../support/tap.ts'
import { type Credential, makeCredential, makeProbe } from '../support/bi.ts'
import { startServer } from '../support/helper.ts'
import { makeWorld, type Tenant } from '../isolation/world.ts'

const clients = fileURLToPath(new URL('clients/', import.meta.url))
const jar = '/usr/share/java/postgresql.jar'

/** What each client tries, and the code of the refusal. Where possible, it first asks for a read-write transaction. */
const refused: [statement: string, code: string][] = [
  ['set role callboard_api', '42501'],
  ['set role callboard_owner', '42501'],
  ['set session authorization postgres', '42501'],
  ['select * from app.shows', '42501'],
  ['select * from app.users', '42501'],
  ['select * from app_private.bi_logins', '42501'],
  ['select * from analytics_private.probe', '42501'],
  ['select * from graphile_worker.jobs', '42501'],
  ['create table public.loot (x int)', '42501'],
  ['create temporary table loot (x int)', '42501'],
  ['create view analytics.loot as select 1', '42501'],
  ["insert into analytics.probe values ('x', 1)", '55000'],
  ['delete from analytics.probe', '55000'],
  ['select lo_create(0)', '42501'],
  ["select lo_import('/etc/passwd')", '42501'],
  ['select app.visible_org()', '42501'],
  ["select app.org_if('finance.read')", '42501'],
  ['select app_private.let_bi_role(gen_random_uuid(), true)', '42501'],
  ["select pg_read_file('PG_VERSION')", '42501'],
  ["copy (select 1) to '/tmp/loot'", '42501'],
  ["copy (select 1) to program 'id'", '42501'],
  ['create extension dblink', '42501'],
  ["select dblink('dbname=postgres', 'select 1')", '42883'],
  ['select pg_advisory_lock(1)', '42501'],
  ['select pg_terminate_backend(1)', '42501'],
  ['select * from pg_stat_activity', '42501'],
  ['set temp_file_limit = -1', '42501'],
]
// What anybody can set, without effect.
const forged = (organization: string) =>
  ['app.current_org', 'app.signature', 'app.permissions', 'app.role']
    .map(name => `set ${name} = '${name === 'app.current_org' ? organization : 'finance.read'}'`)
    .join('; ')

interface Seen {
  views: Map<string, string>
  columns: string[][]
  rows: string
  refused: string[]
  connections?: string[]
}

function run(command: string, args: string[], input: string): Promise<string> {
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], HOME: tmpdir(), LC_ALL: 'C.UTF-8' },
  })
  let said = ''
  child.stdout.on('data', (text: Buffer) => (said += text.toString()))
  child.stderr.on('data', (text: Buffer) => (said += text.toString()))
  // A client that ends early says why.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return new Promise(resolve => {
    child.on('close', () => {
      resolve(said)
    })
  })
}

/** The output of a client that prints a line of fields per item. */
function parse(said: string): Seen {
  const lines = said.split('\n').map(line => line.split('\t'))
  const of = (kind: string) => lines.filter(([first]) => first === kind).map(([, ...rest]) => rest)
  const connections = of('connections')[0]
  return {
    views: new Map(of('view').map(([name = '', comment = '']) => [name, comment])),
    columns: of('column'),
    rows: of('row').join('\n'),
    refused: lines
      .filter(([kind]) => kind === 'refused' || kind === 'done')
      .map(([kind = '', code = '']) => (kind === 'done' ? 'done' : code)),
    ...(connections && { connections }),
  }
}
const statements = (other: Tenant) =>
  [...refused.map(([sql]) => sql), forged(other.organization)].map(sql => `${sql}\n`).join('')
const listViews = `select c.relname, obj_description(c.oid) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'analytics' and c.relkind = 'v'`

interface Client {
  name: string
  package: string
  probe: [string, ...string[]]
  look: (credential: Credential, other: Tenant, views: string[]) => Promise<Seen>
}
const list: Client[] = [
  {
    name: 'psql',
    package: 'postgresql-client',
    probe: ['psql', '--version'],
    look: async ({ connect }, other, views) => {
      const psql = (input: string) =>
        run('psql', ['-X', '-A', '-t', '-F', '\t', connect.uri], `\\set VERBOSITY sqlstate\n${input}`)
      const described = await psql('\\dv+ analytics.*\n')
      const found = await psql(`${listViews};\n`)
      const rows = await psql(
        `${forged(other.organization)};\n${views.map(view => `select * from analytics.${view};\n`).join('')}`,
      )
      const tried = await psql(
        `set default_transaction_read_only = off;\n${refused.map(([sql]) => `${sql};\n`).join('')}`,
      )
      const seen = parse(
        described
          .split('\n')
          .map(line => line.split('\t'))
          .filter(([schema]) => schema === 'analytics')
          .map(fields => `view\t${fields[1] ?? ''}\t${fields.at(-1) ?? ''}`)
          .join('\n'),
      )
      // \d+ of a view shows the comments of its columns.
      const columns = await psql(views.map(view => `\\d+ analytics.${view}\n`).join(''))
      return {
        ...seen,
        columns: columns.split('\n').map(line => ['', ...line.split('\t')]),
        rows: rows + found,
        refused: [...tried.matchAll(/ERROR: {2}(\w{5})/g)].map(([, code = '']) => code),
      }
    },
  },
  {
    name: 'pandas with SQLAlchemy',
    package: 'python3-pandas python3-sqlalchemy python3-psycopg2',
    probe: ['/usr/bin/python3', '-c', 'import pandas, sqlalchemy, psycopg2'],
    look: async ({ connect }, other) =>
      parse(
        await run(
          '/usr/bin/python3',
          ['-W', 'ignore', `${clients}bi.py`, connect.sqlalchemy],
          statements(other),
        ),
      ),
  },
  {
    name: 'JDBC',
    package: 'libpostgresql-jdbc-java default-jdk-headless',
    probe: ['sh', '-c', `test -f ${jar} && java -version && javac -version`],
    look: async ({ connect }, other) =>
      parse(await run('java', ['-cp', jar, `${clients}Bi.java`, connect.jdbc], statements(other))),
  },
  {
    name: 'ODBC (isql)',
    package: 'unixodbc odbc-postgresql',
    probe: ['sh', '-c', `isql --version && odbcinst -q -d | grep -q 'PostgreSQL Unicode'`],
    look: async ({ connect }, other, views) => {
      const isql = (...lines: string[]) =>
        run('isql', ['-k', connect.odbc, '-b', '-v', '-x0x09'], lines.map(line => `${line}\n`).join(''))
      const found = await isql(listViews)
      const rows = await isql(
        ...forged(other.organization).split('; '),
        ...views.map(view => `select * from analytics.${view}`),
      )
      const tried = await isql('set default_transaction_read_only = off', ...refused.map(([sql]) => sql))
      // Batch mode has no help.
      const listed = await run('isql', ['-k', connect.odbc, '-v'], 'help\n')
      return {
        views: new Map(
          found
            .split('\n')
            .map(line => line.split('\t') as [string, string])
            .filter(([name]) => name !== '' && listed.includes(name)),
        ),
        columns: [],
        rows,
        refused: [...tried.matchAll(/\[(\w{5})\]ERROR/g)].map(([, code = '']) => code),
      }
    },
  },
]

t.test('BI clients', async t => {
  const server = await startServer(t)
  const { db } = server
  const { attacker, victim } = await makeWorld(server)
  await makeProbe(server, {
    [attacker.organization]: `Title ${attacker.marker}`,
    [victim.organization]: `Title ${victim.marker}`,
  })
  const comments = new Map(
    (
      await db.admin<{ name: string; comment: string }[]>`
        select c.relname as name, obj_description(c.oid, 'pg_class') as comment from pg_class c
        where c.relnamespace = 'analytics'::regnamespace and c.relkind = 'v' order by 1`
    ).map(({ name, comment }) => [name, comment]),
  )
  const views = [...comments.keys()]

  for (const client of list) {
    const [command, ...args] = client.probe
    const isThere = spawnSync(command, args).status === 0
    const reason = `${client.name} is not installed (Debian: apt-get install ${client.package})`
    if (!isThere && process.env['BI_TESTS'] === 'required') throw new Error(reason)
    await t.test(client.name, { skip: isThere ? false : reason }, async t => {
      const limit = 3
      const logins = await Promise.all(
        [attacker, victim].map(({ owner }) => makeCredential(server, owner, { connection_limit: limit })),
      )
      const [one, other] = logins as [Credential, Credential]
      const both = await Promise.all([client.look(one, victim, views), client.look(other, attacker, views)])
      for (const [n, seen] of both.entries()) {
        const [own, foreign] = n === 0 ? [attacker, victim] : [victim, attacker]
        t.strictSame(new Map([...seen.views].sort()), comments, 'it lists the views, with their comments')
        const text = seen.rows
        t.match(text, own.marker, 'it reads its own rows')
        t.match(text, String(own.fee + 1), 'money, too')
        for (const secret of [
          foreign.marker,
          String(foreign.fee),
          String(foreign.fee + 1),
          foreign.organization,
        ])
          t.notMatch(text, secret, 'and none of the other organization')
        t.strictSame(
          seen.refused.filter(code => code !== 'done'),
          refused.map(([, code]) => code),
          'everything else is refused',
        )
        if (seen.connections)
          t.strictSame([seen.connections[0], seen.connections[1]?.toLowerCase()], [String(limit), 'true'])
        if (client.name !== 'ODBC (isql)')
          t.ok(
            seen.columns.some(fields => fields.join().includes('The first day of the month.')),
            'columns have comments',
          )
      }
      for (const [n, { id }] of logins.entries())
        await server.call(`DELETE /api/bi-credentials/${id}`, { token: [attacker, victim][n]?.owner.token })
    })
  }
})
