import { randomBytes, randomUUID } from 'node:crypto'
import type { TransactionSql } from 'postgres'
import { t } from '../support/tap.ts'
import {
  mailedToken,
  password,
  register,
  signIn,
  startDatabase,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'
import { undone } from '../support/undone.ts'

const another = 'seven black umbrellas'
const attempt = ({ call }: TestServer, email: string, tried: string) =>
  call('POST /api/auth/sign-in', { body: { email, password: tried } }).then(outcome)
const mailsTo = async ({ db }: TestServer, email: string) => {
  const rows = await db.admin<{ kind: string }[]>`
    select kind from app_private.mails where to_address = ${email} order by kind`
  return rows.map(({ kind }) => kind)
}

t.test('a password costs at least what OWASP requires of argon2id', async t => {
  const db = await startDatabase(t, { passwords: 'select' })
  const server = await startServer(t, {}, db)
  const ana = await register(server, 'Ana')
  t.equal(await attempt(server, ana.email, password), '200')
  const [stored] = await db.admin<{ recipe: string }[]>`select recipe from app_private.credentials`
  t.match(stored?.recipe, /^argon2id\$m=19456,t=2,p=1\$/)
})

t.test('passwords', async t => {
  const server = await startServer(t)
  const { call } = server

  await t.test('are changed by whoever knows the old one; the other sessions end', async t => {
    const ana = await register(server, 'Ana')
    const elsewhere = await signIn(server, ana.email)
    const change = (current_password: string, new_password: string) =>
      call('POST /api/auth/password/change', { token: ana.token, body: { current_password, new_password } })
    t.equal(outcome(await change(another, another)), '403 wrong_password')
    t.equal(outcome(await change(password, 'too short')), '400 validation')
    t.equal(outcome(await call('GET /api/me', { token: elsewhere.token })), '200', 'a refusal ends nothing')

    t.equal(outcome(await change(password, another)), '204')
    t.equal(outcome(await call('GET /api/me', { token: ana.token })), '200')
    t.equal(outcome(await call('GET /api/me', { token: elsewhere.token })), '401 session_revoked')
    const refresh = (refresh_token: string) => call('POST /api/auth/refresh', { body: { refresh_token } })
    t.equal(outcome(await refresh(elsewhere.refreshToken)), '401 session_revoked')
    t.equal(outcome(await refresh(ana.refreshToken)), '200')
    t.equal(await attempt(server, ana.email, password), '401 invalid_credentials')
    t.equal(await attempt(server, ana.email, another), '200')
  })

  await t.test('are the same on keyboards that compose letters differently', async t => {
    const [composed, decomposed] = ['Caf\u00e9 Gar\u00e7on 12', 'Cafe\u0301 Garc\u0327on 12']
    for (const [chosen, typed] of [
      [composed, decomposed],
      [decomposed, composed],
    ] as const) {
      const email = `${randomUUID()}@example.com`
      const body = { email, password: chosen, display_name: 'Zoé', organization_name: 'Keys' }
      t.equal(outcome(await call('POST /api/auth/register', { body })), '201')
      t.equal(await attempt(server, email, typed), '200')
      t.equal(await attempt(server, email, 'Cafe Garcon 12'), '401 invalid_credentials')
    }
  })

  await t.test('differ by case, by whitespace and in their last characters', async t => {
    const email = `${randomUUID()}@example.com`
    const long = 'ü'.repeat(200)
    const body = { email, password: long, display_name: 'Long', organization_name: 'Long' }
    t.equal(outcome(await call('POST /api/auth/register', { body })), '201')
    t.equal(await attempt(server, email, long), '200')
    for (const wrong of [long.toUpperCase(), long.slice(1), ` ${long.slice(1)}`, `${long.slice(1)} `]) {
      t.equal(await attempt(server, email, wrong), '401 invalid_credentials')
    }
    t.equal(await attempt(server, email, `${long}ü`), '400 validation')
  })
})

t.test('a forgotten password', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const forget = (email: string) => call('POST /api/auth/password/forgot', { body: { email } })
  const reset = (token: string, chosen = another) =>
    call('POST /api/auth/password/reset', { body: { token, password: chosen } }).then(outcome)
  const link = async (email: string) => {
    t.equal(outcome(await forget(email)), '202')
    return mailedToken(server, 'reset_password', email)
  }

  await t.test('is requested with the same response, whether or not the address is known', async t => {
    const ana = await register(server, 'Ana')
    const stranger = `${randomUUID()}@example.com`
    const [known, unknown] = [await forget(ana.email.toUpperCase()), await forget(stranger)]
    t.equal(known.status, 202)
    t.strictSame([unknown.status, unknown.text], [known.status, known.text])
    t.strictSame(Object.keys(unknown.headers).sort(), Object.keys(known.headers).sort())
    t.strictSame(await mailsTo(server, ana.email), ['reset_password', 'verify_email'])
    await t.rejects(mailedToken(server, 'reset_password', stranger), { message: /there is no/ })
    t.strictSame(await mailsTo(server, stranger), [], 'nobody’s mail is dropped when the worker takes it')
  })

  await t.test('and signing in do the same for every address, so that the time does not tell', async t => {
    const ana = await register(server, 'Ana')
    const proof = Buffer.alloc(32)
    const steps: Record<string, (sql: TransactionSql, email: string) => PromiseLike<unknown>> = {
      'forgotten password': (sql, email) => sql`select app.forget_password(${email})`,
      'recipe for the proof': (sql, email) => sql`select app.password_recipe(${email})`,
      'wrong password': (sql, email) =>
        sql`select app.sign_in(${email}, ${proof}, ${randomBytes(32)}, ${randomBytes(32)}, '{}')`,
    }
    /** Which tables a step reads how often, and how many rows it writes. */
    const traces = (step: (sql: TransactionSql, email: string) => PromiseLike<unknown>, email: string) =>
      // What this connection counted before must not be among it.
      undone(db.admin, 'commit; select pg_stat_force_next_flush(); begin', async sql => {
        await step(sql, email)
        return [
          ...(await sql`
            select relname, seq_scan, idx_scan, n_tup_ins, n_tup_upd, n_tup_del
            from pg_stat_xact_all_tables where schemaname !~ '^pg_' and seq_scan + idx_scan + n_tup_ins > 0 order by relname`),
        ]
      })
    for (const [what, step] of Object.entries(steps)) {
      // The first in a connection reads more.
      await traces(step, ana.email)
      t.strictSame(await traces(step, 'nobody@example.com'), await traces(step, ana.email), what)
    }
  })

  await t.test('that was chosen anew before the mail went out makes it void', async t => {
    const ana = await register(server, 'Ana')
    t.equal(outcome(await forget(ana.email)), '202')
    const change = { current_password: password, new_password: another }
    const changed = await call('POST /api/auth/password/change', { token: ana.token, body: change })
    t.equal(outcome(changed), '204')
    await t.rejects(mailedToken(server, 'reset_password', ana.email), { message: /there is no/ })
  })

  await t.test(
    'is replaced through the link, once; all sessions end, and the address is verified',
    async t => {
      const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
      const elsewhere = await signIn(server, ana.email)
      const token = await link(ana.email)
      t.equal(outcome(await call('GET /api/me', { token: ana.token })), '200', 'requesting changes nothing')
      t.equal(await reset(token, 'too short'), '400 validation')
      t.equal(await reset(token), '204')
      for (const ended of [ana, elsewhere]) {
        t.equal(outcome(await call('GET /api/me', { token: ended.token })), '401 session_revoked')
        const body = { refresh_token: ended.refreshToken }
        t.equal(outcome(await call('POST /api/auth/refresh', { body })), '401 session_revoked')
      }
      t.equal(await attempt(server, ana.email, password), '401 invalid_credentials')
      const again = await call<{ access_token: string }>('POST /api/auth/sign-in', {
        body: { email: ana.email, password: another },
      })
      const me = await call('GET /api/me', { token: again.body.access_token })
      t.type(me.body['email_verified_at'], 'string')
      t.equal(await reset(token), '400 invalid_token')
      t.equal(outcome(await call('GET /api/me', { token: ben.token })), '200', 'nobody else is touched')
      t.equal(await attempt(server, ben.email, password), '200')
    },
  )

  await t.test('the newest link works, and none after a password change', async t => {
    const ana = await register(server, 'Ana')
    const [first, second] = [await link(ana.email), await link(ana.email)]
    t.equal(await reset(first), '400 invalid_token')
    t.equal(await reset(second), '204')
    const third = await link(ana.email)
    const { body } = await call<{ access_token: string }>('POST /api/auth/sign-in', {
      body: { email: ana.email, password: another },
    })
    const change = { current_password: another, new_password: password }
    t.equal(
      outcome(await call('POST /api/auth/password/change', { token: body.access_token, body: change })),
      '204',
    )
    t.equal(await reset(third), '400 invalid_token')
  })

  await t.test('a link expires, and works only for its own purpose', async t => {
    const ana = await register(server, 'Ana')
    const verification = await mailedToken(server, 'verify_email', ana.email)
    t.equal(await reset(verification), '400 invalid_token')
    const token = await link(ana.email)
    t.equal(outcome(await call('POST /api/auth/email/verify', { body: { token } })), '400 invalid_token')
    await db.admin`update app_private.email_tokens set expires_at = now() - interval '1 second' where user_id = ${ana.id}`
    t.equal(await reset(token), '400 invalid_token')
    t.equal(await reset('a'.repeat(64)), '400 invalid_token')
    t.equal(await attempt(server, ana.email, password), '200')
  })

  await t.test('of ten parallel uses of a link, one succeeds', async t => {
    const ana = await register(server, 'Ana')
    const token = await link(ana.email)
    const all = await Promise.all(Array.from({ length: 10 }, (_, n) => reset(token, `${another} ${n}`)))
    t.strictSame(all.toSorted(), ['204', ...Array<string>(9).fill('400 invalid_token')])
    t.equal(await attempt(server, ana.email, `${another} ${all.indexOf('204')}`), '200')
  })

  await t.test('how long the links live', async t => {
    const ana = await register(server, 'Ana')
    await link(ana.email)
    const lives = await db.admin`
      select purpose, round(extract(epoch from expires_at - now()) / 3600)::int as hours
      from app_private.email_tokens where user_id = ${ana.id} order by 1`
    t.match(
      [...lives],
      [
        { purpose: 'reset_password', hours: 1 },
        { purpose: 'verify_email', hours: 72 },
      ],
    )
  })
})

t.test('verifying the address', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const verify = (token: string) => call('POST /api/auth/email/verify', { body: { token } }).then(outcome)
  const ask = (token: string) => call('POST /api/auth/email/request-verification', { token }).then(outcome)

  await t.test('works with the newest link, once', async t => {
    const ana = await register(server, 'Ana')
    const verifiedAt = async () => (await call('GET /api/me', { token: ana.token })).body['email_verified_at']
    const first = await mailedToken(server, 'verify_email', ana.email)
    t.equal(await ask(ana.token), '202')
    const second = await mailedToken(server, 'verify_email', ana.email)
    t.equal(await verify(first), '400 invalid_token')
    t.equal(await verifiedAt(), null)
    t.equal(await verify(second), '204')
    const when = await verifiedAt()
    t.type(when, 'string')
    t.equal(await verify(second), '400 invalid_token')
    t.equal(await ask(ana.token), '202', 'requesting it again sends no mail')
    t.strictSame(await mailsTo(server, ana.email), ['verify_email', 'verify_email'])
    t.equal(await verifiedAt(), when)
  })

  await t.test('does not work when the link has expired', async t => {
    const ana = await register(server, 'Ana')
    await db.admin`update app_private.email_tokens set expires_at = now() - interval '1 second' where user_id = ${ana.id}`
    t.equal(await verify(await mailedToken(server, 'verify_email', ana.email)), '400 invalid_token')
  })
})
