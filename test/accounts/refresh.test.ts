import { createHash } from 'node:crypto'
import { t } from '../support/tap.ts'
import { join, mailedToken, password, register, signIn, startServer } from '../support/helper.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Grant {
  access_token: string
  refresh_token: string
  organization_id: string | null
  role: string | null
  permissions: string[]
}

t.test('refreshing', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call, db } = server
  const refresh = (refresh_token: string, organization_id?: string) =>
    call<Grant>('POST /api/auth/refresh', {
      body: { refresh_token, ...(organization_id !== undefined && { organization_id }) },
    })
  const me = (token: string) => call('GET /api/me', { token }).then(outcome)
  /** Moves a session's spent tokens out of the grace period. */
  const forget = (token: string) => db.admin`
    update app_private.refresh_tokens set used_at = used_at - interval '11 seconds'
    where session_id = (select id from app.sessions where secret_hash = sha256(${String(claimsOf(token)['sid'])}::text::bytea))`

  await t.test('spends the token and gives the next one, in the same session', async t => {
    const ana = await register(server, 'Ana')
    let { refreshToken } = ana
    for (let round = 0; round < 3; round++) {
      const { status, body, headers } = await refresh(refreshToken)
      t.equal(status, 200)
      t.equal(headers['cache-control'], 'no-store')
      t.not(body.refresh_token, refreshToken)
      t.equal(claimsOf(body.access_token)['sid'], claimsOf(ana.token)['sid'])
      t.not(claimsOf(body.access_token)['jti'], claimsOf(ana.token)['jti'])
      t.equal(await me(body.access_token), '200')
      refreshToken = body.refresh_token
    }
    const sessions = await call<{ items: unknown[] }>('GET /api/sessions', { token: ana.token })
    t.equal(sessions.body.items.length, 1)
  })

  await t.test('extends the session, and one that was unused for too long has expired', async t => {
    const ana = await register(server, 'Ana')
    const move = (by: string) => db.admin`
      update app.sessions set expires_at = expires_at + ${by}::text::interval where user_id = ${ana.id}`
    await move('-29 days')
    const renewed = await refresh(ana.refreshToken)
    await move('-29 days')
    t.equal(await me(ana.token), '200')
    await move('-1 day')
    t.equal(await me(ana.token), '401 session_expired')
    t.equal(outcome(await refresh(renewed.body.refresh_token)), '401 session_expired')
  })

  await t.test('with a token that was already spent ends the whole session', async t => {
    const ana = await register(server, 'Ana')
    const elsewhere = await signIn(server, ana.email)
    const second = await refresh(ana.refreshToken)
    const third = await refresh(second.body.refresh_token)
    await forget(ana.token)
    const stolen = await refresh(ana.refreshToken)
    t.equal(outcome(stolen), '401 refresh_token_reused')
    for (const token of [ana.token, second.body.access_token, third.body.access_token]) {
      t.equal(await me(token), '401 session_revoked')
    }
    for (const token of [ana.refreshToken, second.body.refresh_token, third.body.refresh_token]) {
      t.equal(outcome(await refresh(token)), '401 session_revoked')
    }
    t.equal(await me(elsewhere.token), '200', 'other sessions go on')
    const [row] =
      await db.admin`select revoked_because from app.sessions where user_id = ${ana.id} order by id limit 1`
    t.equal(row?.['revoked_because'], 'refresh_token_reused')
  })

  await t.test('in parallel tabs with one token gives all the same next one', async t => {
    const ana = await register(server, 'Ana')
    const tabs = await Promise.all(Array.from({ length: 10 }, () => refresh(ana.refreshToken)))
    t.strictSame(tabs.map(outcome), Array<string>(10).fill('200'))
    t.equal(new Set(tabs.map(({ body }) => body.refresh_token)).size, 1)
    for (const { body } of tabs) {
      t.equal(await me(body.access_token), '200')
      t.equal(outcome(await refresh(body.refresh_token)), '200')
    }
    t.equal(outcome(await refresh(ana.refreshToken)), '200', 'requests may have been under way together')
    await forget(ana.token)
    t.equal(outcome(await refresh(ana.refreshToken)), '401 refresh_token_reused', 'but not for long')
  })

  await t.test('again, however late, if the answer was lost', async t => {
    const ana = await register(server, 'Ana')
    const lost = await refresh(ana.refreshToken)
    await forget(ana.token)
    const again = await refresh(ana.refreshToken)
    t.equal(outcome(again), '200')
    t.equal(again.body.refresh_token, lost.body.refresh_token)
    const next = await refresh(again.body.refresh_token)
    await forget(ana.token)
    t.equal(outcome(await refresh(again.body.refresh_token)), '200', 'the same for the next one')
    await refresh(next.body.refresh_token)
    await forget(ana.token)
    t.equal(
      outcome(await refresh(again.body.refresh_token)),
      '401 refresh_token_reused',
      'until its own is used',
    )
  })

  await t.test('a thief who goes on with a token, and its owner, cannot both', async t => {
    const ana = await register(server, 'Ana')
    await refresh(ana.refreshToken) // The thief, whose answer is the same as Ana's.
    const { body } = await refresh(ana.refreshToken)
    const { body: further } = await refresh(body.refresh_token)
    await refresh(further.refresh_token)
    await forget(ana.token)
    t.equal(outcome(await refresh(body.refresh_token)), '401 refresh_token_reused')
    t.equal(await me(further.access_token), '401 session_revoked')
  })

  await t.test('a clock that was ahead makes no spent token good', async t => {
    const ana = await register(server, 'Ana')
    const { body } = await refresh(ana.refreshToken)
    await refresh(body.refresh_token)
    await db.admin`update app_private.refresh_tokens set used_at = used_at + interval '40 days'`
    t.equal(outcome(await refresh(ana.refreshToken)), '401 refresh_token_reused')
  })

  await t.test('programs of the release before bring the hash of the next token', async t => {
    const ana = await register(server, 'Ana')
    const [session = '', secret = ''] = ana.refreshToken.split('.')
    const api = db.as('callboard_api')
    const next = 'made-by-the-program'
    const [renewed] = await api<[{ status: number; body: object }]>`
      select status, body from app.refresh_session(${session}, ${secret}, ${createHash('sha256').update(next).digest()})`
    t.equal(renewed.status, 200)
    t.notMatch(renewed.body, { refresh_secret: /./ })
    t.equal(outcome(await refresh(ana.refreshToken)), '200')
    t.equal(outcome(await refresh(`${session}.${next}`)), '200')
  })

  await t.test('the grace period starts with the first use and is not extended by the next', async t => {
    const ana = await register(server, 'Ana')
    const spent = async () => {
      const [row] = await db.admin<[{ used_at: Date }]>`
        select used_at from app_private.refresh_tokens
        where used_at is not null and session_id = (select id from app.sessions where user_id = ${ana.id})`
      return row.used_at
    }
    await refresh(ana.refreshToken)
    const first = await spent()
    await refresh(ana.refreshToken)
    t.strictSame(await spent(), first)
  })

  await t.test('accepts only a token of this session', async t => {
    const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
    const [sessionOfAna = '', renewalOfAna = ''] = ana.refreshToken.split('.')
    const [, renewalOfBen = ''] = ben.refreshToken.split('.')
    for (const token of [
      `${sessionOfAna}.${renewalOfBen}`,
      `${sessionOfAna}.`,
      `${sessionOfAna}.${sessionOfAna}`,
      `.${renewalOfAna}`,
      sessionOfAna,
      renewalOfAna,
      'nonsense',
    ]) {
      t.equal(outcome(await refresh(token)), '401 invalid_refresh_token', token)
    }
    t.equal(outcome(await refresh(ana.refreshToken)), '200', 'none of this spent it')
  })

  await t.test('a token carries the current role', async t => {
    const owner = await register(server, 'Ana')
    const member = await join(server, owner, 'manager')
    await call(`PATCH /api/users/${member.id}`, { token: owner.token, body: { role: 'viewer' } })
    const { body } = await refresh(member.refreshToken)
    t.match(claimsOf(body.access_token), { role: 'viewer', org: owner.organization })
    t.notOk(body.permissions.includes('shows.write'))
  })
})

t.test('the organization of the next token', async t => {
  const server = await startServer(t)
  const { call } = server
  const refresh = (refresh_token: string, organization_id?: string) =>
    call<Grant>('POST /api/auth/refresh', {
      body: { refresh_token, ...(organization_id !== undefined && { organization_id }) },
    })
  const owner = await register(server, 'Olga')

  await t.test('is the requested one, if the user belongs to it', async t => {
    const member = await join(server, owner, 'viewer')
    const [own] = (
      await call<{ items: { id: string; role: string }[] }>('GET /api/organizations', { token: member.token })
    ).body.items.filter(({ role }) => role === 'owner')
    const there = await refresh(member.refreshToken, own?.id)
    t.match(there.body, { organization_id: own?.id, role: 'owner' })
    const stranger = await register(server, 'Stan')
    const refused = await refresh(there.body.refresh_token, stranger.organization)
    t.equal(outcome(refused), '403 membership_revoked')
    const again = await refresh(there.body.refresh_token)
    t.match(again.body, { organization_id: own?.id }, 'a refusal spends nothing')
  })

  await t.test('is another one when the last one is gone, and none when none is left', async t => {
    const { body: first } = await call<{ id: string }>('POST /api/users', {
      token: owner.token,
      body: { email: 'ben@example.com', display_name: 'Ben', role: 'admin' },
    })
    const other = await register(server, 'Otto')
    await call('POST /api/users', {
      token: other.token,
      body: { email: 'ben@example.com', display_name: 'Ben', role: 'viewer' },
    })
    const link = await mailedToken(server, 'reset_password', 'ben@example.com')
    await call('POST /api/auth/password/reset', { body: { token: link, password } })
    const ben = await signIn(server, 'ben@example.com', owner.organization)
    t.equal(ben.id, first.id)

    await call(`DELETE /api/users/${ben.id}`, { token: owner.token })
    const second = await refresh(ben.refreshToken)
    t.match(second.body, { organization_id: other.organization, role: 'viewer' })
    t.equal((await call('GET /api/shows', { token: second.body.access_token })).status, 200)

    await call(`DELETE /api/organizations/${other.organization}`, { token: other.token })
    const third = await refresh(second.body.refresh_token)
    t.match(third.body, { organization_id: null, role: null, permissions: [] })
    t.match(claimsOf(third.body.access_token), { org: null, role: null, permissions: [] })
    t.equal(outcome(await call('GET /api/shows', { token: third.body.access_token })), '403 no_organization')

    await call('POST /api/users', {
      token: owner.token,
      body: { email: 'ben@example.com', display_name: 'Ben', role: 'manager' },
    })
    const fourth = await refresh(third.body.refresh_token)
    t.match(fourth.body, { organization_id: owner.organization, role: 'manager' })
  })
})
