// The logins of the programs may change their own password. The database cannot forbid it, so the worker notices. A server
// of its own: the logins of the usual one belong to all tests.
import { join } from 'node:path'
import { t } from '../support/tap.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, withUrl } from '../../src/database/provision.ts'
import { folder, query, start } from '../support/embedded.ts'
import { startServerProcess } from '../support/server-process.ts'

const logins = [
  'callboard_api',
  'callboard_auditor',
  'callboard_migrator',
  'callboard_support',
  'callboard_worker',
]

t.test('a password that a login has given itself', async t => {
  const { adminUrl } = await start(t, join(folder(t), '.data'))
  const passwords = Object.fromEntries(logins.map(login => [login, `first of ${login}`]))
  await createRoles(adminUrl, passwords)
  await createDatabase(adminUrl, 'callboard')
  const database = withUrl(adminUrl, { database: 'callboard' })
  const as = (user: string, password = passwords[user] ?? '') => withUrl(database, { user, password })
  await migrate(as('callboard_migrator'))
  const look = async () => {
    const [row] = await query(as('callboard_worker'), 'select app.check_passwords() as done')
    return row?.['done'] as { failed: number; logins: string[] }
  }
  const events = () =>
    query(
      database,
      `select actor_kind, action, changes #> '{new,logins}' as logins from app.event_log where action like 'login.%' order by occurred_at, id`,
    )
  const change = async (login: string, password: string) => {
    await query(as(login), `set role none; alter role ${login} password '${password}'`)
    passwords[login] = password
  }

  await t.test('is none as long as all have what they were given', async t => {
    const none = { failed: 0, logins: [], next: null }
    t.strictSame([await look(), await look()], [none, none])
    const rows = await query(database, 'select login from app_private.login_passwords order by login')
    t.strictSame(
      rows.map(row => row['login']),
      logins,
    )
  })

  for (const login of logins)
    await t.test(`is noticed of ${login}, once, and is an event`, async t => {
      const before = (await events()).length
      await change(login, `stolen from ${login}`)
      t.strictSame(await look(), { failed: 1, logins: [login], next: null })
      t.strictSame(await look(), { failed: 0, logins: [], next: null })
      t.strictSame((await events()).slice(before), [
        { actor_kind: 'system', action: 'login.change', logins: [login] },
      ])
      await change(login, `stolen from ${login} again`)
      t.match(await look(), { failed: 1, logins: [login] }, 'another one is another')
      await query(
        database,
        `update app_private.login_passwords set told_at = told_at - interval '61 minutes' where login = '${login}'`,
      )
      t.match(await look(), { failed: 1, logins: [login] }, 'and is said each hour')
      t.equal((await events()).length, before + 2)
    })

  await t.test('is accepted by a DBA, later or with the change itself, and then is none', async t => {
    const before = (await events()).length
    const accept = 'select app_private.accept_passwords() as logins'
    t.strictSame(await query(as('callboard_migrator'), accept), [{ logins }])
    t.match(await look(), { failed: 0 })
    await query(database, `begin; alter role callboard_api password 'rotated'; ${accept}; commit`)
    passwords['callboard_api'] = 'rotated'
    t.match(await look(), { failed: 0 })
    t.strictSame((await events()).slice(before), [
      { actor_kind: 'system', action: 'login.accept', logins },
      { actor_kind: 'system', action: 'login.accept', logins: ['callboard_api'] },
    ])
    t.strictSame(await query(database, accept), [{ logins: [] }])
    t.equal((await events()).length, before + 2, 'accepting nothing is no event')
  })

  await t.test(
    'of a second login is looked at from its first look on, and no longer when it is gone',
    async t => {
      await query(database, `create role callboard_api_2 login in role callboard_api`)
      t.match(await look(), { failed: 0 })
      await query(database, `alter role callboard_api_2 password 'unknown'`)
      t.match(await look(), { failed: 1, logins: ['callboard_api_2'] })
      await query(database, `drop role callboard_api_2`)
      t.match(await look(), { failed: 0 })
      t.equal(
        (await query(database, `select from app_private.login_passwords where login = 'callboard_api_2'`))
          .length,
        0,
      )
    },
  )

  await t.test('leaves no verifier where it is remembered, and nobody but the definer may look', async t => {
    const [row] = await query(
      database,
      `select count(*)::int as equal from app_private.login_passwords p join pg_authid r on r.rolname = p.login
       where p.digest in (convert_to(r.rolpassword, 'UTF8'), sha256(convert_to(r.rolpassword, 'UTF8')))`,
    )
    t.strictSame(row, { equal: 0 })
    for (const login of logins.filter(name => name !== 'callboard_migrator'))
      for (const statement of [
        'select * from app_private.login_passwords',
        `select app_private.login_verifiers('')`,
        'select app_private.accept_passwords()',
      ])
        await t.rejects(query(as(login), statement), { code: '42501' }, `${login}: ${statement}`)
  })

  await t.test('is an error in the log of the worker within a minute', async t => {
    const worker = startServerProcess(
      t,
      { WORKER_DATABASE_URL: as('callboard_worker'), PUBLIC_URL: 'https://callboard.example' },
      'src/worker.ts',
    )
    await worker.says(/working/)
    await change('callboard_support', 'stolen')
    const changed = Date.now()
    const [line] = await worker.says(/.*nobody has accepted.*/)
    const took = Date.now() - changed
    t.ok(took < 60_000, `${took} ms`)
    t.match(JSON.parse(line), { level: 50, task: 'check_passwords', done: { logins: ['callboard_support'] } })
    await query(database, 'select app_private.accept_passwords()')
    worker.child.kill('SIGTERM')
    await worker.ended
  })
})
