import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { withUrl } from '../../src/database/provision.ts'
import {
  checkDatabase,
  checkWorkerDatabase,
  UnsafeDatabase,
  versionProblem,
} from '../../src/database/safety.ts'
import { refresh, work } from '../support/figures.ts'
import { startDatabase } from '../support/helper.ts'
import { startServerProcess } from '../support/server-process.ts'

t.test('server versions whose row-level security can be bypassed are known', async t => {
  for (const [version, problem] of [
    [140025, /PostgreSQL 14 is not supported: use 15 to 18/],
    [90624, /PostgreSQL 9 is not supported/],
    [150019, /15\.19 .*CVE-2026-120154.* update it to 15\.20 or later/],
    [150020, undefined],
    [160015, /update it to 16\.16/],
    [160016, undefined],
    [170011, /update it to 17\.12/],
    [170012, undefined],
    [180004, /PostgreSQL 18\.4 .* update it to 18\.7/],
    [180007, undefined],
    [180010, undefined],
    [190000, undefined],
  ] as const) {
    if (problem) t.match(versionProblem(version), problem)
    else t.equal(versionProblem(version), undefined)
  }
})

t.test('the API’s login', async t => {
  const db = await startDatabase(t)
  const [{ version, superuser }] = await db.admin<
    [{ version: number; superuser: string }]
  >`select current_setting('server_version_num')::integer as version, quote_ident(current_user) as superuser`
  const problem = versionProblem(version)
  const suffix = db.name.slice(-8)
  /** A database of somebody else's on the same server. */
  const shared = `callboard_shared_${suffix}`
  /** Other tests create databases meanwhile, which are open for a moment. */
  const withoutTheirs = (warnings: string[]) =>
    warnings.filter(line => line.includes(shared) || !line.includes('to the database callboard_'))
  const warningsOf = async (url: string, production = false) =>
    withoutTheirs(await checkDatabase(url, production))
  const made: string[] = []
  t.teardown(async () => {
    for (const role of made) await db.admin.unsafe(`drop owned by ${role}; drop role ${role}`)
  })
  /** This test's own login; roles belong to the whole cluster. */
  const login = async (name: string, options: string, then = '') => {
    const role = `safety_${name}_${suffix}`
    await db.admin.unsafe(`create role ${role} login password 'x' ${options}`)
    made.push(role)
    await db.admin.unsafe(
      `grant connect on database ${db.name} to ${role}; ${then.replace('SUPERUSER', superuser).replaceAll('ROLE', role)}`,
    )
    return withUrl(db.url('callboard_api'), { user: role, password: 'x' })
  }

  await t.test('callboard_api is accepted, with a warning where the server is vulnerable', async t => {
    t.same(await warningsOf(db.url('callboard_api')), problem === undefined ? [] : [problem])
  })

  await t.test('none of its statements is compiled, which would take seconds', async t => {
    for (const role of ['callboard_api', 'callboard_support']) {
      const [{ jit }] = await db.as(role)<[{ jit: string }]>`show jit`
      t.equal(jit, 'off', role)
    }
    // The settings of a BI login are its own.
    const compiled = await db.admin`
      select p.oid::regprocedure from pg_proc p
      where 'enable_seqscan=off' = any (p.proconfig) and not 'jit=off' = any (p.proconfig)
        and has_function_privilege('callboard_bi', p.oid, 'execute')`
    t.same([...compiled], [])
  })

  await t.test(
    'figures that a restore has left empty cause a warning, and a worker computes them',
    async t => {
      const warnings = () => warningsOf(db.url('callboard_api'))
      const known = (await warnings()).length
      for (const name of ['dashboard', 'shows_by_month'])
        await db.admin.unsafe(`refresh materialized view analytics_private.${name} with no data`)
      t.match(
        (await warnings())[known],
        /^These figures are empty, .*: dashboard, shows_by_month\. .* worker/,
      )
      await t.rejects(db.admin`select from analytics_private.dashboard`, { code: '55000' })
      await refresh(db)
      t.equal((await warnings()).length, known)
      await db.admin`select from analytics_private.dashboard`
    },
  )

  await t.test('a figure that cannot be computed after a restore does not keep the worker busy', async t => {
    await db.admin`refresh materialized view analytics_private.dashboard with no data`
    await db.admin`alter view analytics_private.dashboard_definition owner to callboard_api`
    const attempts = async () =>
      (await work(db, 'small'))
        .filter(({ refreshed }) => refreshed !== undefined)
        .map(({ refreshed, failed }) => [refreshed, failed])
    t.same(await attempts(), [['dashboard', 1]])
    t.same(await attempts(), [], 'it is tried again after a minute')
    await db.admin`alter view analytics_private.dashboard_definition owner to callboard_rollup`
    await db.admin`update analytics_private.rollups set failed_at = now() - interval '2 minutes'`
    t.same(await attempts(), [['dashboard', 0]])
  })

  await t.test('an ICU library other than the one that sorted the indexes causes a warning', async t => {
    const sorted = (version: string) =>
      db.admin`update pg_collation set collversion = ${version} where oid = 'app.people'::regcollation`
    await sorted('1.2')
    t.match(
      (await warningsOf(db.url('callboard_api'))).at(-1),
      /ICU library \(1\.2, now \d+\.\d+\).* reindex/,
    )
    await db.admin`alter collation app.people refresh version`
    t.same(await warningsOf(db.url('callboard_api')), problem === undefined ? [] : [problem])
  })

  await t.test(
    'another database that logins may connect to causes a warning that says how to close it',
    async t => {
      const open = () => warningsOf(db.url('callboard_api'), problem === undefined)
      const ofWorker = async () => withoutTheirs(await checkWorkerDatabase(db.url('callboard_worker')))
      const before = await open()
      await db.admin.unsafe(`create database ${shared}`)
      t.teardown(() => db.admin.unsafe(`drop database ${shared} with (force)`))
      for (const [grantees, grant] of [
        ['PUBLIC', ''],
        ['callboard_api, callboard_bi', `grant connect on database ${shared} to callboard_api, callboard_bi`],
      ] as const) {
        if (grant !== '') await db.admin.unsafe(grant)
        const [warning = '', ...more] = await ofWorker()
        t.same(more, [])
        t.same(await open(), [...before, warning], 'also in production')
        // Otherwise the programs would be waited for in vain.
        if (!t.match(warning, `may connect to the database ${shared} of this server through ${grantees};`))
          return
        for (const [program, settings] of [
          ['src/worker.ts', { WORKER_DATABASE_URL: db.url('callboard_worker') }],
          [
            'src/server.ts',
            {
              DATABASE_URL: db.url('callboard_api'),
              JWT_SECRET: 'a key of thirty-two characters or more',
              PORT: '0',
            },
          ],
        ] as const) {
          const started = startServerProcess(t, settings, program)
          const [line] = await started.says(new RegExp(`^.*database ${shared}.*$`))
          t.match(JSON.parse(line), { level: 40, msg: warning }, program)
          started.child.kill('SIGKILL')
          await started.ended
        }
        await db.admin.unsafe(/Close it with: (revoke [^;]+;)/.exec(warning)?.[1] ?? '')
        t.same(await ofWorker(), [], 'closed')
      }
      const inside = postgres(withUrl(db.url('callboard_api'), { database: shared }), { max: 1 })
      t.teardown(() => inside.end())
      await t.rejects(inside`select`, { code: '42501' }, 'and nobody gets in')
      await db.admin.unsafe(
        `alter database ${shared} owner to callboard_owner; grant connect on database ${shared} to callboard_api`,
      )
      t.same(await open(), before, 'as it is another Callboard')
    },
  )

  await t.test('a vulnerable server is refused in production', async t => {
    const start = warningsOf(db.url('callboard_api'), true)
    if (problem === undefined) t.same(await start, [])
    else await t.rejects(start, { name: 'UnsafeDatabase', message: problem })
  })

  for (const [what, name, options, then, refusal] of [
    ['a superuser', 'super', 'superuser', '', /which is a superuser, or may become one, and so sees every/],
    ['a member of a superuser', 'sudo', '', 'grant SUPERUSER to ROLE', /superuser/],
    ['a login with BYPASSRLS', 'bypass', 'bypassrls', '', /which has BYPASSRLS/],
    [
      'a superuser in disguise',
      'disguised',
      'superuser',
      'alter role ROLE set role to callboard_api',
      /superuser/,
    ],
    [
      'the owner of a table',
      'owner',
      '',
      'create table app.own (); alter table app.own owner to ROLE',
      /owns tables/,
    ],
    ['a member of the owner', 'heir', '', 'grant callboard_owner to ROLE', /may become their owner/],
    [
      'a member of the owner who must switch to the role first',
      'latent',
      'noinherit',
      'grant callboard_owner to ROLE',
      /may become their owner/,
    ],
    ['a member of the definer', 'definer', '', 'grant callboard_definer to ROLE', /may become their owner/],
    [
      'a reader of files',
      'files',
      '',
      'grant pg_read_server_files to ROLE',
      /may read and write the server's files/,
    ],
    ['an unknown login', 'stranger', '', '', /which may not call app\.enter and so sees nothing/],
  ] as const)
    await t.test(`${what} is refused`, async t => {
      await t.rejects(checkDatabase(await login(name, options, then), false), {
        name: 'UnsafeDatabase',
        message: refusal,
      })
    })

  await t.test('callboard_migrator is refused', async t => {
    await t.rejects(checkDatabase(db.url('callboard_migrator'), false), {
      message: /^DATABASE_URL logs in as callboard_migrator, which owns tables.*: use callboard_api/,
    })
  })

  await t.test('a database without the schema is refused, with what to do', async t => {
    await t.rejects(
      checkDatabase(
        withUrl(await login('empty', '', 'grant connect on database postgres to ROLE'), {
          database: 'postgres',
        }),
        false,
      ),
      new UnsafeDatabase('The database has no Callboard schema: run npm run migrate first.'),
    )
  })

  await t.test('a missing database leads to no verdict', async t => {
    await t.rejects(checkDatabase(withUrl(db.url('callboard_api'), { password: 'wrong' }), false), {
      reason: 'lost',
      cause: { message: /password authentication failed/ },
    })
  })
})
