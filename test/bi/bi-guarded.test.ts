// Whoever has the password of a BI login can lock its role, and change its password and settings themselves: that keeps
// nobody from shutting them out.
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { beginToSignIn } from '../support/scram.ts'
import { t } from '../support/tap.ts'
import { connectBi, type Credential, makeCredential, makeProbe } from '../support/bi.ts'
import { register, startServer, until } from '../support/helper.ts'
import { openLogin } from '../isolation/world.ts'

/** What a thief sends on each of their connections; `begin` stays open. */
const resistance: Record<string, (login: string) => string> = {
  'keeps its role locked': login => `begin; alter role ${login} password 'stolen'; select pg_sleep(60)`,
  'keeps its settings locked': login =>
    `begin; alter role ${login} set work_mem = '1MB'; select pg_sleep(60)`,
  'changes its password all the time': login =>
    `do $$ begin loop alter role ${login} password 'stolen'; commit; end loop; end $$`,
  'changes a setting all the time': login =>
    `do $$ begin loop alter role ${login} set work_mem = '1MB'; commit; alter role ${login} in database postgres reset all; commit; end loop; end $$`,
}

t.test('a BI login that resists', async t => {
  const server = await startServer(t, { BI_DATABASE_URL: '' })
  const { call, db } = server
  const ana = await register(server, 'Ana', 'Northlight')
  await makeProbe(server, { [ana.organization]: 'of Ana' })
  const { token } = ana
  const seen = (sql: postgres.Sql) => sql<{ title: string }[]>`select distinct title from analytics.probe`

  /** Connections of a thief who comes back whenever they are ended, with the password of the owner and with their own. */
  async function thief(made: Credential, sql: string, connections = 3) {
    const ended = new AbortController()
    const isStopped = () => ended.signal.aborted
    async function resist(password: string) {
      while (!isStopped()) {
        const url = new URL(made.connect.uri.replace('sslmode=prefer', 'sslmode=disable'))
        url.password = password
        const client = postgres(url.href, {
          max: 1,
          fetch_types: false,
          connect_timeout: 2,
          onnotice: () => {},
        })
        await client
          .unsafe(
            'set default_transaction_read_only = off; set statement_timeout = 0; set idle_in_transaction_session_timeout = 0',
          )
          .then(() => client.unsafe(sql))
          .catch(() => {})
        await client.end({ timeout: 0 })
      }
    }
    const all = Array.from({ length: connections }, (_, n) => resist(n % 2 === 0 ? made.password : 'stolen'))
    await until(
      async () =>
        (await db.admin`select from pg_stat_activity where usename = ${made.login} and state = 'active'`)
          .count > 0,
    )
    return async () => {
      ended.abort()
      // As the worker does: one that was signing in while the role was changed is ended then.
      const worker = openLogin(t, db.url('callboard_worker'))
      let isOver = false
      const over = Promise.all(all).then(() => (isOver = true))
      while (!isOver) {
        await worker`select app.reconcile_bi_logins()`
        await Promise.race([over, sleep(500)])
      }
      // What the last one changed.
      for (let step = 0; step < 5; step += 1) await worker`select app.reconcile_bi_logins()`
    }
  }

  for (const [how, statement] of Object.entries(resistance)) {
    await t.test(`${how}, and is revoked all the same`, async t => {
      const made = await makeCredential(server, ana)
      const reader = connectBi(t, made)
      t.same(await seen(reader), [{ title: 'of Ana' }])
      const stop = await thief(made, statement(made.login))
      const began = Date.now()
      const revoking = call(`DELETE /api/bi-credentials/${made.id}`, { token })
      await until(
        async () =>
          (await db.admin`select from app.bi_credentials where id = ${made.id} and revoked_at is not null`)
            .count === 1,
      )
      // Its connection may have been ended, too.
      t.same(await seen(reader).catch(() => []), [], 'it sees nothing from the next statement on')
      const { status } = await revoking
      const took = Date.now() - began
      t.equal(status, 204)
      t.ok(took < 2000, `revoked within ${took} ms`)
      const worker = openLogin(t, db.url('callboard_worker'))
      // But for one that was signing in meanwhile, which the worker ends.
      await until(async () => {
        await worker`select app.reconcile_bi_logins()`
        return (await db.admin`select from pg_stat_activity where usename = ${made.login}`).count === 0
      }, 5)
      await stop()
      t.equal(
        (await db.admin`select from pg_roles where rolname = ${made.login}`).count,
        0,
        'its role is dropped',
      )
    })

    await t.test(`${how}, and is rotated all the same`, async t => {
      const made = await makeCredential(server, ana)
      const stop = await thief(made, statement(made.login))
      const began = Date.now()
      const { status, body } = await call<Credential>(`POST /api/bi-credentials/${made.id}/rotate`, {
        token,
        body: {},
      })
      const took = Date.now() - began
      t.equal(status, 200)
      t.ok(took < 3000, `rotated within ${took} ms`)
      // But for what one changed that was signing in meanwhile, which the worker undoes.
      const worker = openLogin(t, db.url('callboard_worker'))
      await until(async () => {
        await worker`select app.reconcile_bi_logins()`
        const rows = await seen(connectBi(t, body)).catch(() => [])
        return rows[0]?.title === 'of Ana'
      }, 5)
      await stop()
      t.same(
        await seen(connectBi(t, body)),
        [{ title: 'of Ana' }],
        'the new password is the one that was shown',
      )
      for (const password of [made.password, 'stolen']) {
        const uri = body.connect.uri.replace(body.password, password)
        await t.rejects(seen(connectBi(t, { connect: { ...body.connect, uri } })), { code: '28P01' })
      }
      await call(`DELETE /api/bi-credentials/${made.id}`, { token })
    })
  }

  await t.test('that was signing in with the old password meanwhile is ended within seconds', async t => {
    const made = await makeCredential(server, ana)
    const slow = await beginToSignIn(t, new URL(made.connect.uri), made.login, made.password)
    const { status } = await call(`POST /api/bi-credentials/${made.id}/rotate`, { token, body: {} })
    t.equal(status, 200)
    t.equal(await slow.finish(), 'R', 'PostgreSQL compares it with the verifier that it has read before')
    const connected = async () =>
      (await db.admin`select from pg_stat_activity where usename = ${made.login}`).count
    await until(async () => (await connected()) === 1)
    await db.as('callboard_worker')`select app.reconcile_bi_logins()`
    await until(async () => (await connected()) === 0)
    await call(`DELETE /api/bi-credentials/${made.id}`, { token })
  })

  await t.test('keeps nobody else’s login from being settled', async t => {
    const [held, other] = [await makeCredential(server, ana), await makeCredential(server, ana)]
    const stop = await thief(held, resistance['keeps its role locked']?.(held.login) ?? '')
    for (const { id } of [held, other])
      await db.admin`update app.bi_credentials set revoked_at = now() where id = ${id}`
    const worker = openLogin(t, db.url('callboard_worker'))
    await until(async () => {
      await worker`select app.reconcile_bi_logins()`
      return (
        (await db.admin`select from pg_roles where rolname in (${held.login}, ${other.login})`).count === 0
      )
    })
    await stop()
  })

  await t.test('what it changes of itself is undone, and an event', async t => {
    const made = await makeCredential(server, ana)
    const worker = openLogin(t, db.url('callboard_worker'))
    const keep = async () => {
      for (let step = 0; step < 5; step += 1) await worker`select app.reconcile_bi_logins()`
    }
    const settings = async () =>
      (await db.admin`select app_private.bi_settings(${made.login}) as settings`)[0]?.['settings'] as string[]
    const usual = await settings()
    const resets = async () =>
      (await db.admin`select from app.event_log where action = 'bi.reset' and resource_id = ${made.id}`).count
    await keep()
    t.equal(await resets(), 0, 'nothing happens to one that is as it was made')
    for (const change of [
      `password 'stolen'`,
      'password null',
      'set statement_timeout = 0',
      'in database postgres set statement_timeout = 0',
      'reset all',
    ]) {
      const before = await resets()
      const sql = connectBi(t, made)
      await sql`set default_transaction_read_only = off`
      await sql.unsafe(`alter role ${made.login} ${change}`)
      // The server's own worker may be at it, and then these calls do nothing.
      await until(async () => {
        await keep()
        return (await resets()) > before && String(await settings()) === String(usual)
      }, 5)
      t.equal(await resets(), before + 1, change)
      t.same(await seen(connectBi(t, made)), [{ title: 'of Ana' }], 'with the password that its owner knows')
    }
    // At the moment when it has just got its password again.
    await db.admin.begin(async sql => {
      await sql.unsafe(`alter role ${made.login} set statement_timeout = 0`)
      await sql`update app_private.bi_logins set must_end = true where login = ${made.login}`
    })
    await until(async () => {
      await keep()
      return String(await settings()) === String(usual)
    }, 5)
    await call(`DELETE /api/bi-credentials/${made.id}`, { token })
  })
})
