import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { readConfig } from '../../src/config.ts'
import {
  aShow,
  join,
  register,
  signIn,
  startDatabase,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { claimsOf, forge, outcome, signToken } from '../support/tokens.ts'

const newAddress = () => `${randomUUID()}@example.com`

t.test('the key of the access tokens is replaced without refusing one', async t => {
  const old = 'the key that was used until today, 32 letters'
  const next = 'the key that is used from today on, 32 letters'
  const db = await startDatabase(t)
  const start = (JWT_SECRET: string, previous?: string) =>
    startServer(t, { JWT_SECRET, ...(previous !== undefined && { JWT_SECRET_PREVIOUS: previous }) }, db)
  const before = await start(old)
  const announced = await start(old, next)
  const changed = await start(next, old)
  const after = await start(next)
  const ana = await register(before, 'Ana')
  const ask = async ({ call }: TestServer, token: string) => (await call('GET /api/shows', { token })).status
  const tokens = {
    before: ana.token,
    announced: (await signIn(announced, ana.email)).token,
    changed: (await signIn(changed, ana.email)).token,
    after: (await signIn(after, ana.email)).token,
  }
  for (const [server, accepted] of [
    [before, ['before', 'announced']],
    [announced, ['before', 'announced', 'changed', 'after']],
    [changed, ['before', 'announced', 'changed', 'after']],
    [after, ['changed', 'after']],
  ] as const)
    for (const [name, token] of Object.entries(tokens))
      t.equal(
        await ask(server, token),
        (accepted as readonly string[]).includes(name) ? 200 : 401,
        `${name} at ${accepted.join()}`,
      )

  // The other key opens no other way in.
  const claims = claimsOf(ana.token)
  for (const [what, token] of [
    ['issuer', signToken({ ...claims, iss: 'someone' }, old)],
    ['algorithm', signToken(claims, old, 'HS512')],
    ['expiry', signToken({ ...claims, exp: Number(claims['iat']) - 1 }, old)],
    ['session', signToken({ ...claims, sid: 'unknown' }, old)],
    ['key', signToken(claims, `${old}?`)],
  ] as const)
    t.equal(await ask(changed, token), 401, what)
})

t.test('access tokens', async t => {
  const server = await startServer(t)
  const { call, config, db } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')

  await t.test('carry exactly the promised claims, for the promised time', async t => {
    const claims = claimsOf(ana.token)
    t.strictSame(Object.keys(claims).sort(), [
      'aud',
      'exp',
      'iat',
      'iss',
      'jti',
      'org',
      'permissions',
      'role',
      'sid',
      'sub',
    ])
    t.match(claims, {
      sub: ana.id,
      org: ana.organization,
      role: 'owner',
      iss: 'callboard',
      aud: 'callboard-api',
    })
    t.equal(claims['exp'], Number(claims['iat']) + 900)
    t.ok(Math.abs(Number(claims['iat']) * 1000 - Date.now()) < 60_000)
    const again = claimsOf((await signIn(server, ana.email)).token)
    t.not(again['jti'], claims['jti'])
    t.not(again['sid'], claims['sid'])
  })

  await t.test('name the permissions of the role, as the database has them', async t => {
    for (const role of ['owner', 'admin', 'manager', 'viewer']) {
      const [held] = await db.admin<[{ names: string[] }]>`
        select array_agg(permission order by permission) as names from app.role_permissions where role = ${role}`
      const { token } = await join(server, ana, role)
      t.match(claimsOf(token), { role, permissions: held.names }, role)
    }
  })

  await t.test('cannot claim more than the database grants', async t => {
    const viewer = await join(server, ana, 'viewer')
    const everything = claimsOf(ana.token)['permissions']
    const inflated = forge(server, viewer.token, { role: 'owner', permissions: everything })
    t.equal((await call('GET /api/shows', { token: inflated })).status, 200, 'the signature is right')
    for (const request of [
      'POST /api/shows',
      'POST /api/invitations',
      `DELETE /api/users/${ana.id}`,
    ] as const) {
      const body = {
        'POST /api/shows': aShow,
        'POST /api/invitations': { email: newAddress(), role: 'owner' },
      }
      const answer = await call(request, { token: inflated, body: body[request as keyof typeof body] })
      t.equal(outcome(answer), '403 permission_denied', request)
    }
    const posing = forge(server, viewer.token, { sub: ana.id })
    t.equal(
      (await call('GET /api/me', { token: posing })).body['id'],
      viewer.id,
      'the session decides who the caller is',
    )
    for (const [changed, expected] of [
      [{ org: ben.organization }, '403 membership_revoked'],
      [{ org: randomUUID() }, '403 membership_revoked'],
      [{ org: null }, '403 no_organization'],
      [{ sid: 'made-up' }, '401 session_unknown'],
      [{ sid: '' }, '401 session_unknown'],
    ] as const) {
      const token = forge(server, viewer.token, changed)
      t.equal(outcome(await call('GET /api/shows', { token })), expected, JSON.stringify(changed))
    }
  })

  await t.test('are refused unless this server signed them as they are', async t => {
    const genuine = claimsOf(ana.token)
    const key = config.JWT_SECRET ?? ''
    const [head = '', , signature = ''] = ana.token.split('.')
    const cases: Record<string, string> = {
      'another key': signToken(genuine, 'somebody else’s key that is long enough'),
      'no algorithm': signToken(genuine, key, 'none'),
      'another algorithm': signToken(genuine, key, 'HS512'),
      expired: forge(server, ana.token, { exp: Math.floor(Date.now() / 1000) - 1 }),
      'no expiry': signToken({ ...genuine, exp: undefined }, key),
      'another issuer': forge(server, ana.token, { iss: 'somebody' }),
      'another audience': forge(server, ana.token, { aud: 'something' }),
      'no organization claim': forge(server, ana.token, { org: undefined }),
      'a session that is not a string': forge(server, ana.token, { sid: 7 }),
      'an organization that is not a string': forge(server, ana.token, { org: { id: ana.organization } }),
      'changed claims': [
        head,
        forge(server, ana.token, { org: ben.organization }).split('.')[1],
        signature,
      ].join('.'),
      'a refresh token': ana.refreshToken,
    }
    for (const [what, token] of Object.entries(cases)) {
      t.equal(outcome(await call('GET /api/me', { token })), '401 unauthorized', what)
    }
  })

  await t.test('live as long as ACCESS_TOKEN_LIFETIME says', async t => {
    const brief = await startServer(t, { ACCESS_TOKEN_LIFETIME: '1' })
    const { token } = await register(brief, 'Cleo')
    const { iat, exp } = claimsOf(token) as { iat: number; exp: number }
    t.equal(exp - iat, 1)
    const until = Date.now() + 10_000
    let answer = await brief.call('GET /api/me', { token })
    while (answer.status === 200 && Date.now() < until) answer = await brief.call('GET /api/me', { token })
    t.equal(outcome(answer), '401 unauthorized')
    t.ok(Date.now() >= exp * 1000)
    // Tokens have whole seconds only.
    t.throws(() => readConfig({ ACCESS_TOKEN_LIFETIME: '0.5' }), /ACCESS_TOKEN_LIFETIME/)
  })
})
