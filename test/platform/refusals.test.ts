import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { t } from '../support/tap.ts'
import { register, signIn, startServer } from '../support/helper.ts'
import { operationsOf, pathOf } from '../support/operations.ts'
import { kindOf, thingsOf } from '../support/things.ts'
import { claimsOf, forge, outcome, signToken } from '../support/tokens.ts'

t.test('refusals', async t => {
  const server = await startServer(t)
  const { app, call, config, db } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const mine = await thingsOf(server, ana)
  const operations = operationsOf(app)
  const closed = operations.filter(({ isOpen }) => !isOpen)

  await t.test('the document has operations, and there is a thing for each that takes an id', async t => {
    t.ok(closed.length > 30)
    for (const operation of closed)
      if (operation.path.includes('{id}'))
        t.ok(mine[kindOf(operation)], `${operation.id} takes a ${kindOf(operation)}`)
  })

  const secret = config.JWT_SECRET ?? ''
  const claims = claimsOf(ana.token)
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const ofRsa = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`
  const [header = '', payload = '', signature = ''] = ana.token.split('.')
  const now = Math.floor(Date.now() / 1000)
  const expired = await signIn(server, ana.email)
  const revoked = await signIn(server, ana.email)
  await call('POST /api/auth/sign-out', { token: revoked.token })
  const stale = await signIn(server, ana.email)
  await db.admin`
    update app.sessions set expires_at = now() where secret_hash = sha256(${String(claimsOf(stale.token)['sid'])}::text::bytea)`

  const authorizations: Record<string, string | undefined> = {
    'no header': undefined,
    'an empty header': '',
    'a scheme without a token': 'Bearer',
    'a scheme with a blank': 'Bearer ',
    'a token without a scheme': ana.token,
    'another scheme': `Basic ${Buffer.from(`${ana.email}:x`).toString('base64')}`,
    'the right token under another scheme': `Token ${ana.token}`,
    'not a JWT': 'Bearer x',
    'three words': 'Bearer a.b.c',
    'two parts': `Bearer ${header}.${payload}`,
    'four parts': `Bearer ${ana.token}.x`,
    'two tokens': `Bearer ${ana.token} ${ana.token}`,
    'a very long token': `Bearer ${'x'.repeat(8000)}`,
    'a truncated signature': `Bearer ${ana.token.slice(0, -4)}`,
    'another signature': `Bearer ${header}.${payload}.${ben.token.split('.')[2] ?? ''}`,
    'claims of one token and signature of another': `Bearer ${header}.${ben.token.split('.')[1] ?? ''}.${signature}`,
    'another key': `Bearer ${signToken(claims, `${secret}!`)}`,
    'an empty key': `Bearer ${signToken(claims, '')}`,
    'alg none': `Bearer ${signToken(claims, secret, 'none')}`,
    'alg None': `Bearer ${signToken(claims, secret, 'None')}`,
    'alg none with a signature': `Bearer ${encode({ alg: 'none', typ: 'JWT' })}.${payload}.${signature}`,
    'no alg': `Bearer ${encode({ typ: 'JWT' })}.${payload}.${signature}`,
    HS384: `Bearer ${signToken(claims, secret, 'HS384')}`,
    HS512: `Bearer ${signToken(claims, secret, 'HS512')}`,
    RS256: `Bearer ${ofRsa}.${sign('sha256', Buffer.from(ofRsa), privateKey).toString('base64url')}`,
    'a public key as the secret': `Bearer ${signToken(claims, publicKey.export({ type: 'spki', format: 'pem' }).toString())}`,
    expired: `Bearer ${forge(server, expired.token, { exp: now - 1 })}`,
    'not valid yet': `Bearer ${forge(server, ana.token, { nbf: now + 600 })}`,
    'an expiry that is text': `Bearer ${forge(server, ana.token, { exp: String(now + 600) })}`,
    'another issuer': `Bearer ${forge(server, ana.token, { iss: 'somebody' })}`,
    'another audience': `Bearer ${forge(server, ana.token, { aud: 'somebody' })}`,
    'a user that is a number': `Bearer ${forge(server, ana.token, { sub: 1 })}`,
    'a session that is a number': `Bearer ${forge(server, ana.token, { sid: 1 })}`,
    'a session that is null': `Bearer ${forge(server, ana.token, { sid: null })}`,
    'an organization that is a list': `Bearer ${forge(server, ana.token, { org: [ana.organization] })}`,
    'a refresh token': `Bearer ${ana.refreshToken}`,
    'a refresh token in a JWT': `Bearer ${signToken({ refresh_token: ana.refreshToken }, secret)}`,
    ...Object.fromEntries(
      ['exp', 'iat', 'iss', 'aud', 'sub', 'org', 'sid'].map(claim => [
        `no ${claim}`,
        `Bearer ${forge(server, ana.token, { [claim]: undefined })}`,
      ]),
    ),
  }
  const sessions: [why: string, token: string, expected: string][] = [
    ['unknown', forge(server, ana.token, { sid: 'made-up' }), '401 session_unknown'],
    ['empty', forge(server, ana.token, { sid: '' }), '401 session_unknown'],
    ['signed out', revoked.token, '401 session_revoked'],
    ['too old', stale.token, '401 session_expired'],
  ]
  /** Every operation that needs a token, requested correctly for the caller's own things. */
  const askAll = async (authorization: string | undefined, expected: string) => {
    const others: string[] = []
    for (const operation of closed) {
      const path = pathOf(operation, () => mine[kindOf(operation)] ?? '')
      const answer = await call(`${operation.method} ${path}`, {
        ...(operation.body && { body: operation.body.example }),
        ...(authorization !== undefined && { headers: { authorization } }),
      })
      if (outcome(answer) !== expected || answer.headers['www-authenticate'] !== 'Bearer')
        others.push(`${operation.id}: ${outcome(answer)}`)
    }
    return others
  }

  for (const [why, authorization] of Object.entries(authorizations)) {
    await t.test(`no operation accepts an invalid token: ${why}`, async t => {
      t.strictSame(await askAll(authorization, '401 unauthorized'), [])
    })
  }
  for (const [why, token, expected] of sessions) {
    await t.test(`no operation accepts a session that is ${why}`, async t => {
      t.strictSame(await askAll(`Bearer ${token}`, expected), [])
    })
  }

  await t.test('a method that a path does not support is 405, with those that it supports', async t => {
    const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
    for (const path of new Set(operations.map(operation => operation.path))) {
      const has = operations.filter(operation => operation.path === path).map(({ method }) => method)
      // A whole file would be produced only to be discarded.
      const isFile = path.startsWith('/api/exports/') || path.endsWith('/file')
      if (has.includes('GET') && !isFile) has.push('HEAD')
      const url = path.replace(/\{\w+\}/g, randomUUID())
      for (const method of methods.filter(name => !has.includes(name))) {
        for (const authorization of [undefined, `Bearer ${ana.token}`]) {
          const answer = await app.inject({
            method,
            url,
            headers: { ...(authorization !== undefined && { authorization }), 'content-type': 'text/plain' },
            ...(method !== 'GET' && method !== 'HEAD' && { payload: '{' }),
          })
          t.equal(answer.statusCode, 405, `${method} ${path}`)
          t.equal(answer.headers['allow'], [...has].sort().join(', '))
          if (method !== 'HEAD') t.match(answer.json(), { type: '/problems/method_not_allowed', status: 405 })
        }
      }
    }
  })

  await t.test('an unknown path is 404, with and without a token', async t => {
    for (const path of [
      '/',
      '/api',
      '/api/',
      '/api/nothing',
      '/api//shows',
      '/API/shows',
      '/api/shows/../venues/x/y',
      `/api/shows/${mine['shows'] ?? ''}/nothing`,
      `/api/shows/${mine['shows'] ?? ''}/restore/again`,
      '/api/shows/%2e%2e/x',
      '/.env',
      `/${'x'.repeat(5000)}`,
    ]) {
      for (const token of [undefined, ana.token])
        t.equal(outcome(await call(`GET ${path}`, { token })), '404 not_found', path)
    }
  })
})
