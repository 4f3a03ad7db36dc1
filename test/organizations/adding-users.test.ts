import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { confirmed, join, mailedToken, password, register, signIn, startServer } from '../support/helper.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Member {
  id: string
  email: string
  role: string
  joined_at: string
}
const newAddress = () => `${randomUUID()}@example.com`

t.test('adding members', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const add = (email: string, role = 'manager', headers: Record<string, string> = {}) =>
    call<Member & Record<string, unknown>>('POST /api/users', {
      token: ana.token,
      body: { email, display_name: 'Somebody', role },
      headers,
    })
  const mails = async (email: string) =>
    (
      await db.admin<
        { kind: string }[]
      >`select kind from app_private.mails where to_address = ${email} order by kind`
    ).map(({ kind }) => kind)

  await t.test('with an account makes them members at once, and notifies them', async t => {
    const ben = await confirmed(server, await register(server, 'Ben'))
    const { status, body, headers } = await add(ben.email.toUpperCase())
    t.equal(status, 201)
    t.match(body, { id: ben.id, email: ben.email, display_name: 'Ben', role: 'manager' }, 'their name stays')
    t.equal(headers['location'], `/api/users/${ben.id}`)
    const read = await call(`GET /api/users/${ben.id}`, { token: ana.token })
    t.strictSame([read.body, read.headers['etag']], [body, headers['etag']])
    t.strictSame(await mails(ben.email), ['added', 'verify_email'])
    const there = await signIn(server, ben.email, ana.organization)
    t.match(claimsOf(there.token), { org: ana.organization, role: 'manager' })
    t.equal(outcome(await call('GET /api/users', { token: there.token })), '200')
    t.equal(outcome(await add(ben.email, 'viewer')), '409 already_member')
    t.match((await call(`GET /api/users/${ben.id}`, { token: ana.token })).body, { role: 'manager' })
  })

  await t.test('is refused while the address is unverified: anybody can sign up with it', async t => {
    const mallory = await register(server, 'Mallory')
    t.equal(outcome(await add(mallory.email)), '409 address_unverified')
    const organization_id = ana.organization
    t.equal(
      outcome(await call('POST /api/auth/switch', { token: mallory.token, body: { organization_id } })),
      '404 not_found',
    )
    const token = await mailedToken(server, 'verify_email', mallory.email)
    t.equal(outcome(await call('POST /api/auth/email/verify', { body: { token } })), '204')
    t.equal(outcome(await add(mallory.email)), '201', 'whoever reads the mail owns the address')
  })

  await t.test('without an account creates one, and sends a mail to choose a password', async t => {
    const email = newAddress()
    const { status, body } = await add(email)
    t.equal(status, 201)
    t.match(body, { email, display_name: 'Somebody', role: 'manager' })
    t.strictSame(await mails(email), ['added', 'reset_password'])
    t.equal(
      outcome(await call('POST /api/auth/sign-in', { body: { email, password } })),
      '401 invalid_credentials',
    )
    const token = await mailedToken(server, 'reset_password', email)
    t.equal(outcome(await call('POST /api/auth/password/reset', { body: { token, password } })), '204')
    const somebody = await signIn(server, email)
    t.match(claimsOf(somebody.token), { sub: body.id, org: ana.organization, role: 'manager' })
    const me = await call('GET /api/me', { token: somebody.token })
    t.type(me.body['email_verified_at'], 'string', 'whoever reads the mail owns the address')
  })

  await t.test('ten times at once creates one account and one membership', async t => {
    const email = newAddress()
    const all = await Promise.all(Array.from({ length: 10 }, () => add(email)))
    t.strictSame(all.map(outcome).sort(), ['201', ...Array<string>(9).fill('409 already_member')])
    t.strictSame(await mails(email), ['added', 'reset_password'])
  })

  await t.test('again with the same Idempotency-Key repeats the first response', async t => {
    const [email, key] = [newAddress(), randomUUID()]
    const [first, second] = [
      await add(email, 'viewer', { 'idempotency-key': key }),
      await add(email, 'viewer', { 'idempotency-key': key }),
    ]
    t.strictSame(
      [second.status, second.body, second.headers['location']],
      [201, first.body, first.headers['location']],
    )
    t.strictSame(await mails(email), ['added', 'reset_password'])
    t.equal(outcome(await add(email, 'admin', { 'idempotency-key': key })), '409 idempotency_key_reused')
  })

  await t.test('who were members before lets them back, in the new role', async t => {
    const ben = await join(server, ana, 'admin')
    const joined = (await call(`GET /api/users/${ben.id}`, { token: ana.token })).body['joined_at']
    t.equal(outcome(await call(`DELETE /api/users/${ben.id}`, { token: ana.token })), '204')
    t.equal(outcome(await call('GET /api/users', { token: ben.token })), '403 membership_revoked')
    const again = await add(ben.email, 'viewer')
    t.match(again.body, { id: ben.id, role: 'viewer' })
    t.ok(String(joined) < again.body.joined_at, 'they have joined again')
    t.equal(outcome(await call('GET /api/users', { token: ben.token })), '200')
    t.equal(
      outcome(
        await call('POST /api/venues', {
          token: ben.token,
          body: { name: 'Hall', city: 'Ghent', country: 'BE', time_zone: 'Europe/Brussels' },
        }),
      ),
      '403 permission_denied',
      'the old token has the new role',
    )
  })

  await t.test('accepts no unknown role, no blank name and no unknown field', async t => {
    const body = { email: newAddress(), display_name: 'Somebody', role: 'viewer' }
    for (const change of [
      { role: 'superuser' },
      { role: null },
      { display_name: ' ' },
      { email: 'somebody' },
      { id: ana.id },
      { organization_id: ana.organization },
    ]) {
      const answer = await call('POST /api/users', { token: ana.token, body: { ...body, ...change } })
      t.equal(outcome(answer), '400 validation', JSON.stringify(change))
    }
  })
})
