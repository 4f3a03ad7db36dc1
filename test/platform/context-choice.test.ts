// Which way to carry contexts a database gets. On a server of its own, because the right to the setting belongs to
// the whole server.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { t } from '../support/tap.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, withUrl } from '../../src/database/provision.ts'
import { checkDatabase } from '../../src/database/safety.ts'
import { folder, query, start } from '../support/embedded.ts'

t.test('a database carries contexts in the way that its server allows', async t => {
  const { adminUrl } = await start(t, join(folder(t), '.data'))
  const password = randomBytes(16).toString('hex')
  await createRoles(adminUrl, { callboard_migrator: password, callboard_api: password })
  await createDatabase(adminUrl, 'callboard')
  const as = (user: string) => withUrl(adminUrl, { database: 'callboard', user, password })
  const database = withUrl(adminUrl, { database: 'callboard' })
  const ask = async (text: string) => (await query(database, text))[0]
  const may = (what: 'grant' | 'revoke', role = 'callboard_definer') =>
    query(
      adminUrl,
      `${what} set on parameter backtrace_functions ${what === 'grant' ? 'to' : 'from'} ${role}`,
    )
  const current = `select app.context_carrier() as carrier, xmin::text as written from pg_proc
    where oid = 'app.current_org()'::regprocedure`

  t.equal(await migrate(as('callboard_migrator')), 'guarded', 'db/roles.sql grants the setting')
  t.match(await ask(current), { carrier: 'guarded' })
  t.strictSame(
    await checkDatabase(as('callboard_api'), false).then(notes => notes.filter(n => /context/.test(n))),
    [],
  )

  const before = await ask(current)
  t.equal(await migrate(as('callboard_migrator')), 'guarded')
  t.strictSame(await ask(current), before, 'another run touches nothing')

  await t.test('a server that would refuse every request does not start', async t => {
    await may('revoke')
    await t.rejects(
      checkDatabase(as('callboard_api'), false),
      /callboard_definer may not set it on this server/,
    )
  })

  await t.test('without the right, contexts are signed', async t => {
    t.equal(await migrate(as('callboard_migrator')), 'signed')
    t.match(await ask(current), { carrier: 'signed' })
    await checkDatabase(as('callboard_api'), false)
  })

  await t.test('and guarded again once there is one', async t => {
    await createRoles(adminUrl)
    t.equal(await migrate(as('callboard_migrator')), 'guarded')
    t.match(await ask(current), { carrier: 'guarded' })
  })

  await t.test('a login that may set the context itself is refused', async t => {
    for (const role of ['callboard_api', 'public']) {
      await may('grant', role)
      await t.rejects(checkDatabase(as('callboard_api'), false), /may set backtrace_functions/, role)
      await may('revoke', role)
    }
    await checkDatabase(as('callboard_api'), false)
  })
})
