// A door asks before it opens: what a login may call sets no context unless there is something to do in it, and then
// one with only what that needs.
import { t } from '../support/tap.ts'
import { aShow, join, register, startServer, superadmin } from '../support/helper.ts'
import { openLogin, secretOf } from './world.ts'

t.test('what the worker may call opens nothing that is not to be done', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana', 'Ana Live')
  const upload = (as = ana) =>
    call<{ id: string }>('POST /api/imports?resource=shows', {
      token: as.token,
      body: 'title,artist,show_on\nOne,Two,2027-01-01\n',
      headers: { 'content-type': 'text/csv' },
    }).then(({ body }) => body.id)
  await call('POST /api/shows', { token: ana.token, body: aShow })
  const over = await upload()
  await call(`POST /api/imports/${over}/cancel`, { token: ana.token })
  const exported = await call<{ id: string }>('POST /api/analytics/export', {
    token: ana.token,
    body: { resource: 'shows', format: 'csv' },
  })
  const ids = [over, exported.body.id, ana.organization]
  const sql = openLogin(t, db.url('callboard_worker'))
  const names = (await db.admin<{ name: string }[]>`select name from app.permissions`).map(({ name }) => name)
  /** The permissions that the transaction holds, as the role sees them in which the worker reads. */
  async function held() {
    await sql`set local role callboard_exporter`
    const found = await sql<
      { name: string }[]
    >`select name from string_to_table(${names.join(' ')}, ' ') name where app.org_if_reading(name) is not null`
    await sql`reset role`
    return found.map(({ name }) => name)
  }

  await t.test('whatever it is called with', async t => {
    const functions = await db.admin<{ name: string; types: string[] }[]>`
      select p.oid::regproc::text as name, array(select format_type(x, null) from unnest(p.proargtypes) x) as types
      from pg_proc p
      where p.pronamespace = 'app'::regnamespace and has_function_privilege('callboard_worker', p.oid, 'execute') and 'uuid'::regtype = any (p.proargtypes)`
    t.ok(functions.length > 10, 'there are many')
    const values: Record<string, string> = {
      text: `'check'`,
      'text[]': `'{}'`,
      jsonb: `'[]'`,
      boolean: 'false',
      integer: '1',
      bigint: '1',
    }
    for (const { name, types } of functions)
      for (const id of ids) {
        await sql`begin`
        const given = types.map((type, n) =>
          type === 'uuid' ? `'${n === 0 ? id : exported.body.id}'` : (values[type] ?? 'null'),
        )
        await sql
          .unsafe(`savepoint before; select ${name}(${given.join(', ')})`)
          .catch(() => sql`rollback to before`)
        t.same(await held(), [], `${name} of ${id}`)
        await sql`rollback`
      }
  })

  await t.test('and for an import that is to be run, it is closed again', async t => {
    const due = await upload()
    await sql`begin`
    const [row] = await sql`select app.begin_import(${due}, 'check') is not null as begun`
    t.ok(row?.['begun'])
    t.same(await held(), [])
    await sql`rollback`
  })

  await t.test('within which it holds what entering lines needs', async t => {
    const due = await upload(await join(server, ana, 'manager'))
    const [row] = await db.admin.begin(async admin => {
      await admin`set local role callboard_definer`
      await admin`select app_private.enter_import(${due}, '{uploaded}')`
      return admin`select (app_private.context()).permissions as permissions`
    })
    t.equal(row?.['permissions'], 'finance.write imports.run shows.write')
  })
})

t.test('the door of superadmins opens only after a use that has been committed', async t => {
  const server = await startServer(t)
  const { db } = server
  const [ana, eve] = [await register(server, 'Ana', 'Ana Live'), await register(server, 'Eve', 'Eve Live')]
  const sam = await superadmin(server, await register(server, 'Sam'), null)
  const secret = secretOf(sam)
  const sql = openLogin(t, db.url('callboard_support'))
  const use = (organization = ana.organization) =>
    sql`select app.use_support(${secret}, ${organization}, 'a test', null, null)`
  const enter = (organization = ana.organization) =>
    sql`select app.enter_support(${secret}, ${organization}, null, null)`.then(
      () => 'opened',
      (error: unknown) => (error as { message: string }).message,
    )
  const refused = 'support_grant_needed'

  t.equal(await enter(), refused, 'without one')
  await use(eve.organization)
  t.equal(await enter(), refused, 'nor after one elsewhere')
  await sql`begin`
  await use()
  t.equal(await enter(), refused, 'nor in the same transaction, which may be rolled back')
  await sql`rollback`
  await sql`begin`
  await sql`savepoint a`
  await use()
  await sql`release a`
  t.equal(await enter(), refused, 'also from a savepoint')
  await sql`rollback`
  t.equal(await enter(), refused, 'and it has been')
  await use()
  t.equal(await enter(), 'opened')
  t.equal(await enter(eve.organization), 'opened', 'in each where one was')
  await db.admin.begin(async admin => {
    await admin`set local session_replication_role = replica`
    await admin`update app.event_log set occurred_at = occurred_at - interval '16 seconds' where action = 'auth.superadmin.used'`
  })
  t.equal(await enter(), refused, 'not some time later')
})
