import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { password, register, signIn, startDatabase, startServer } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

interface Grant {
  access_token: string
  refresh_token: string
  expires_in: number
  user_id: string
  organization_id: string | null
  role: string | null
  permissions: string[]
}
const newAddress = () => `${randomUUID()}@example.com`

t.test('registering', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call, db } = server
  const form = { password, display_name: 'Ana Lima', organization_name: 'Northlight Touring' }

  await t.test('creates the user and a first organization that they own, and signs in', async t => {
    const email = newAddress()
    const { status, body, headers } = await call<Grant>('POST /api/auth/register', {
      body: { ...form, email },
    })
    t.equal(status, 201)
    t.equal(headers['cache-control'], 'no-store')
    t.match(body, { token_type: 'Bearer', role: 'owner', expires_in: 900 })
    const token = body.access_token
    t.match((await call('GET /api/me', { token })).body, {
      id: body.user_id,
      email,
      display_name: 'Ana Lima',
      email_verified_at: null,
    })
    t.match((await call('GET /api/organizations', { token })).body, {
      items: [{ id: body.organization_id, name: 'Northlight Touring', role: 'owner' }],
    })
  })

  await t.test('keeps the books of the organization in the currency that is asked for', async t => {
    const settings = { currency: 'EUR', time_zone: 'Europe/Berlin' }
    const registered = (more: object) =>
      call<Grant>('POST /api/auth/register', { body: { ...form, email: newAddress(), ...more } })
    const { body } = await registered(settings)
    t.match(
      (await call(`GET /api/organizations/${String(body.organization_id)}`, { token: body.access_token }))
        .body,
      settings,
    )
    for (const [more, expected] of [
      [{ currency: 'XXQ' }, '422 organizations_currency_exists'],
      [{ time_zone: 'Nowhere/City' }, '422 organizations_time_zone_exists'],
      [{ organization_name: undefined, invitation_token: 'abc', currency: 'EUR' }, '400 validation'],
    ] as const)
      t.equal(outcome(await registered(more)), expected, JSON.stringify(more))
  })

  await t.test('an address has one account, in whatever case it is written', async t => {
    const email = newAddress()
    const written = email.replace('@example.com', '@EXAMPLE.com')
    const first = await call<Grant>('POST /api/auth/register', {
      body: { ...form, email: written.toUpperCase() },
    })
    t.equal(first.status, 201)
    t.equal((await call('GET /api/me', { token: first.body.access_token })).body['email'], email)
    for (const other of [email, email.toUpperCase(), written]) {
      t.equal(
        outcome(await call('POST /api/auth/register', { body: { ...form, email: other } })),
        '409 email_taken',
      )
      t.equal(outcome(await call('POST /api/auth/sign-in', { body: { email: other, password } })), '200')
    }
  })

  await t.test('of ten parallel registrations of one address one succeeds', async t => {
    const body = { ...form, email: newAddress() }
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => call('POST /api/auth/register', { body })),
    )
    t.strictSame(answers.map(outcome).sort(), ['201', ...Array<string>(9).fill('409 email_taken')])
  })

  await t.test('a refused registration leaves nothing behind', async t => {
    const email = newAddress()
    const [before] = await db.admin`select count(*) from app.organizations`
    for (const [change, expected] of [
      [{ organization_name: 'Admin' }, '409 slug_reserved'],
      [{ invitation_token: 'a'.repeat(64), organization_name: undefined }, '400 invalid_token'],
      [{ invitation_token: 'a'.repeat(64) }, '400 validation'],
      [{ organization_name: undefined }, '400 validation'],
      [{ password: 'too short' }, '400 validation'],
      [{ display_name: '   ' }, '400 validation'],
      [{ email: 'nobody@' }, '400 validation'],
      [{ email: 'nobody@localhost' }, '400 validation'],
    ] as const) {
      const answer = await call('POST /api/auth/register', { body: { ...form, email, ...change } })
      t.equal(outcome(answer), expected, JSON.stringify(change))
    }
    t.equal(
      outcome(await call('POST /api/auth/sign-in', { body: { email, password } })),
      '401 invalid_credentials',
    )
    t.strictSame((await db.admin`select count(*) from app.organizations`)[0], before)
  })
})

t.test('signing in', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const attempt = (email: string, tried: string) =>
    call('POST /api/auth/sign-in', { body: { email, password: tried } })

  await t.test('an unknown address and a wrong password get the same answer', async t => {
    const [wrong, unknown] = [
      await attempt(ana.email, 'not my password'),
      await attempt(newAddress(), password),
    ]
    t.equal(outcome(wrong), '401 invalid_credentials')
    t.strictSame({ ...unknown.body, instance: '' }, { ...wrong.body, instance: '' })
    const names = [unknown, wrong].map(({ headers }) => Object.keys(headers).sort())
    t.strictSame(names[0], names[1])
  })

  await t.test('is for the organization that is asked for, if one belongs to it', async t => {
    const second = await call<{ id: string }>('POST /api/organizations', {
      token: ana.token,
      body: { name: 'Second' },
    })
    const there = await signIn(server, ana.email, second.body.id)
    t.equal(there.organization, second.body.id)
    t.equal(
      (await signIn(server, ana.email)).organization,
      second.body.id,
      'and the next time where one was last',
    )
    const at = (email: string, tried: string) =>
      call('POST /api/auth/sign-in', { body: { email, password: tried, organization_id: ana.organization } })
    t.equal(outcome(await at(ana.email, password)), '200')
    t.equal(outcome(await at(ben.email, password)), '403 membership_revoked')
    t.equal(outcome(await at(ben.email, 'not my password')), '401 invalid_credentials')
  })
})

t.test('an unknown address is refused after the same time as a wrong password', async t => {
  // Passwords that cost what they cost: without the hashing an unknown address takes a tenth.
  const server = await startServer(t, {}, await startDatabase(t, { passwords: 'select' }))
  const ana = await register(server, 'Ana')
  // Interleaved, so that whatever else the machine does hits both alike.
  const took: Record<'wrong' | 'unknown', number[]> = { wrong: [], unknown: [] }
  for (let round = 0; round < 15; round++) {
    for (const kind of ['wrong', 'unknown'] as const) {
      const start = performance.now()
      const email = kind === 'wrong' ? ana.email : newAddress()
      await server.call('POST /api/auth/sign-in', { body: { email, password: 'not my password' } })
      took[kind].push(performance.now() - start)
    }
  }
  const median = (list: number[]) => list.toSorted((a, b) => a - b)[7] ?? 0
  const [wrong, unknown] = [median(took.wrong), median(took.unknown)]
  t.ok(unknown > wrong * 0.5 && unknown < wrong * 2, `wrong ${wrong} ms, unknown ${unknown} ms`)
})
