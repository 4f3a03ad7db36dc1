import { t } from '../support/tap.ts'
import { confirmed, join, mailedToken, password, register, signIn, startServer } from '../support/helper.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Session {
  id: string
  is_current: boolean
  ip: string | null
  user_agent: string | null
}
interface List<T> {
  items: T[]
}

t.test('the profile', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const patch = (body: object, headers: Record<string, string> = {}) =>
    call('PATCH /api/me', { token: ana.token, body, headers })

  await t.test('can be read and changed by its user', async t => {
    const read = await call('GET /api/me', { token: ana.token })
    t.match(read.body, { id: ana.id, email: ana.email, display_name: 'Ana' })
    const changed = await patch({ display_name: 'Ana Lima' }, { 'if-match': String(read.headers['etag']) })
    t.match(changed.body, { id: ana.id, display_name: 'Ana Lima' })
    t.not(changed.headers['etag'], read.headers['etag'])
    const after = await call('GET /api/me', { token: ana.token })
    t.strictSame([after.body, after.headers['etag']], [changed.body, changed.headers['etag']])
    t.equal(
      outcome(await patch({ display_name: 'Old' }, { 'if-match': String(read.headers['etag']) })),
      '412 version_mismatch',
    )
  })

  await t.test('does not let users change what is not theirs to change', async t => {
    for (const body of [
      { email: 'other@example.com' },
      { display_name: 'Ana', email_verified_at: '2026-01-01T00:00:00Z' },
      { display_name: 'Ana', id: ana.id },
      { display_name: '' },
      { display_name: 7 },
      { display_name: 'a\nb' },
      {},
    ]) {
      t.equal(outcome(await patch(body)), '400 validation', JSON.stringify(body))
    }
  })

  await t.test('a new name is what colleagues see', async t => {
    const colleague = await join(server, ana, 'viewer')
    await patch({ display_name: 'Ana the Second' })
    const seen = await call(`GET /api/users/${ana.id}`, { token: colleague.token })
    t.match(seen.body, { display_name: 'Ana the Second' })
  })
})

t.test('sessions', async t => {
  const server = await startServer(t)
  const { call } = server
  const list = async (token: string) => (await call<List<Session>>('GET /api/sessions', { token })).body.items

  await t.test('are listed with their origin; the current one is marked', async t => {
    const ana = await register(server, 'Ana')
    const { body } = await call<{ access_token: string }>('POST /api/auth/sign-in', {
      body: { email: ana.email, password },
      headers: { 'user-agent': `Browser ${'x'.repeat(500)}` },
    })
    const seen = await list(body.access_token)
    t.equal(seen.length, 2)
    t.match(seen[0], { is_current: true, ip: '127.0.0.1', user_agent: /^Browser x{392}$/ })
    t.match(seen[1], { is_current: false })
    t.notMatch(JSON.stringify(seen), claimsOf(ana.token)['sid'], 'and nothing that opens one')
    t.strictSame(
      (await list(ana.token)).map(({ id, is_current }) => [id, is_current]),
      seen.map(({ id, is_current }) => [id, !is_current]),
    )
  })

  await t.test('can be ended one by one, by their user and nobody else', async t => {
    const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
    const elsewhere = await signIn(server, ana.email)
    const [theirs] = (await list(ana.token)).filter(({ is_current }) => !is_current)
    const end = (token: string) => call(`DELETE /api/sessions/${theirs?.id ?? ''}`, { token }).then(outcome)
    t.equal(await end(ben.token), '404 not_found')
    t.equal(outcome(await call('GET /api/me', { token: elsewhere.token })), '200')
    t.equal(await end(ana.token), '204')
    t.equal(outcome(await call('GET /api/me', { token: elsewhere.token })), '401 session_revoked')
    t.equal((await list(ana.token)).length, 1)
    t.equal(await end(ana.token), '404 not_found', 'once')
    const own = (await list(ana.token))[0]?.id ?? ''
    t.equal(
      outcome(await call(`DELETE /api/sessions/${own}`, { token: ana.token })),
      '204',
      'including the current one',
    )
    t.equal(outcome(await call('GET /api/me', { token: ana.token })), '401 session_revoked')
  })

  await t.test('end by signing out, this one only', async t => {
    const ana = await register(server, 'Ana')
    const elsewhere = await signIn(server, ana.email)
    t.equal(outcome(await call('POST /api/auth/sign-out', { token: ana.token })), '204')
    t.equal(outcome(await call('GET /api/me', { token: ana.token })), '401 session_revoked')
    t.equal(outcome(await call('POST /api/auth/sign-out', { token: ana.token })), '401 session_revoked')
    const body = { refresh_token: ana.refreshToken }
    t.equal(outcome(await call('POST /api/auth/refresh', { body })), '401 session_revoked')
    t.equal((await list(elsewhere.token)).length, 1)
  })
})

t.test('organizations of one user', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  interface Grant {
    access_token: string
    organization_id: string
    role: string
    refresh_token?: string
  }
  const change = (token: string, organization_id: string) =>
    call<Grant>('POST /api/auth/switch', { token, body: { organization_id } })

  await t.test('are switched without signing in again; both tokens work side by side', async t => {
    const owner = await register(server, 'Olga')
    await confirmed(server, ana)
    await call('POST /api/users', {
      token: owner.token,
      body: { email: ana.email, display_name: 'Ana', role: 'viewer' },
    })
    const { status, body, headers } = await change(ana.token, owner.organization)
    t.equal(status, 200)
    t.equal(headers['cache-control'], 'no-store')
    t.match(body, { organization_id: owner.organization, role: 'viewer', refresh_token: undefined })
    t.equal(claimsOf(body.access_token)['sid'], claimsOf(ana.token)['sid'], 'it is the same session')
    const people = async (token: string) =>
      (await call<List<{ id: string }>>('GET /api/users', { token })).body.items.map(({ id }) => id).sort()
    t.strictSame(await people(body.access_token), [ana.id, owner.id].sort())
    t.strictSame(await people(ana.token), [ana.id])

    const renewed = await call<Grant>('POST /api/auth/refresh', { body: { refresh_token: ana.refreshToken } })
    t.equal(renewed.body.organization_id, owner.organization, 'the next token is for there too')
    const back = await change(body.access_token, ana.organization)
    t.match(back.body, { organization_id: ana.organization, role: 'owner' })
  })

  await t.test('cannot be switched to one that is somebody else’s, deleted, left or unknown', async t => {
    const [stranger, owner] = [await register(server, 'Stan'), await register(server, 'Olga')]
    const member = await join(server, owner, 'viewer')
    await call(`DELETE /api/users/${member.id}`, { token: owner.token })
    t.equal(outcome(await change(member.token, owner.organization)), '404 not_found')
    await call(`DELETE /api/organizations/${owner.organization}`, { token: owner.token })
    t.equal(outcome(await change(owner.token, owner.organization)), '404 not_found')
    for (const id of [stranger.organization, '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111']) {
      t.equal(outcome(await change(ana.token, id)), '404 not_found')
    }
  })

  await t.test('may be none: the user can still create one, and then work in it', async t => {
    const owner = await register(server, 'Olga')
    const email = `nomad.${owner.organization.slice(-12)}@example.com`
    const { body: nomad } = await call<{ id: string }>('POST /api/users', {
      token: owner.token,
      body: { email, display_name: 'Nora', role: 'viewer' },
    })
    await call('POST /api/auth/password/reset', {
      body: { token: await mailedToken(server, 'reset_password', email), password },
    })
    await call(`DELETE /api/users/${nomad.id}`, { token: owner.token })

    const { token, refreshToken, organization } = await signIn(server, email)
    t.equal(organization, null)
    t.match(claimsOf(token), { org: null, role: null, permissions: [] })
    t.equal(outcome(await call('GET /api/me', { token })), '200')
    t.equal(outcome(await call('GET /api/sessions', { token })), '200')
    t.strictSame((await call<List<unknown>>('GET /api/organizations', { token })).body.items, [])
    for (const path of ['shows', 'users', 'invitations', 'venues', `organizations/${owner.organization}`]) {
      t.equal(outcome(await call(`GET /api/${path}`, { token })), '403 no_organization', path)
    }
    const founded = await call<{ id: string }>('POST /api/organizations', { token, body: { name: 'Nomads' } })
    t.equal(founded.status, 201)
    const renewed = await call<Grant>('POST /api/auth/refresh', { body: { refresh_token: refreshToken } })
    t.match(renewed.body, { organization_id: founded.body.id, role: 'owner' })
    t.equal(outcome(await call('GET /api/shows', { token: renewed.body.access_token })), '200')
  })
})
