import { t } from '../support/tap.ts'
import {
  aShow,
  join,
  mailedToken,
  password,
  type Person,
  register,
  signIn,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

interface Scene {
  server: TestServer
  owner: Person
  /** Whose access token the test keeps using. */
  member: Person
}
interface Case {
  role?: string
  /** What happens, from the view of the person affected. */
  event: (scene: Scene) => Promise<unknown>
  /** The responses to the next requests with the same token. */
  then: Partial<Record<keyof typeof requests, string>>
}

const requests = {
  read: ({ server: { call }, member: { token } }: Scene) => call('GET /api/shows', { token }),
  write: ({ server: { call }, member: { token } }: Scene) => call('POST /api/shows', { token, body: aShow }),
  manage: ({ server: { call }, member: { token } }: Scene) =>
    call('POST /api/invitations', {
      token,
      body: { email: `x${Math.random()}@example.com`, role: 'viewer' },
    }),
  own: ({ server: { call }, member: { token } }: Scene) => call('GET /api/me', { token }),
}
const works = { read: '200', write: '201', own: '200' }
const outside = { read: '403 membership_revoked', write: '403 membership_revoked', own: '200' }
const ended = { read: '401 session_revoked', write: '401 session_revoked', own: '401 session_revoked' }

const expectDone = async (answer: Promise<{ status: number; text: string }>) => {
  const { status, text } = await answer
  if (status >= 300) throw new Error(`the event did not happen: ${text}`)
}
const setRole = ({ server: { call }, owner, member }: Scene, role: string) =>
  expectDone(call(`PATCH /api/users/${member.id}`, { token: owner.token, body: { role } }))

const cases: Record<string, Case> = {
  'removed from the organization': {
    event: ({ server: { call }, owner, member }) =>
      expectDone(call(`DELETE /api/users/${member.id}`, { token: owner.token })),
    then: outside,
  },
  'has left': {
    event: ({ server: { call }, member }) =>
      expectDone(call(`DELETE /api/users/${member.id}`, { token: member.token })),
    then: outside,
  },
  'demoted to viewer': {
    event: scene => setRole(scene, 'viewer'),
    then: { read: '200', write: '403 permission_denied', own: '200' },
  },
  'demoted from owner to admin': {
    role: 'owner',
    event: scene => setRole(scene, 'admin'),
    then: { ...works, manage: '403 permission_denied' },
  },
  'has transferred the ownership': {
    role: 'owner',
    event: ({ server: { call }, owner, member }) =>
      expectDone(
        call(`POST /api/organizations/${owner.organization}/transfer`, {
          token: member.token,
          body: { user_id: owner.id },
        }),
      ),
    then: { ...works, manage: '403 permission_denied' },
  },
  'promoted from viewer to manager': {
    role: 'viewer',
    event: scene => setRole(scene, 'manager'),
    then: works,
  },
  'the organization is deleted': {
    event: ({ server: { call }, owner }) =>
      expectDone(call(`DELETE /api/organizations/${owner.organization}`, { token: owner.token })),
    then: { read: '403 organization_deleted', write: '403 organization_deleted', own: '200' },
  },
  'removed, and the organization deleted later': {
    event: async ({ server: { call }, owner, member }) => {
      await expectDone(call(`DELETE /api/users/${member.id}`, { token: owner.token }))
      await expectDone(call(`DELETE /api/organizations/${owner.organization}`, { token: owner.token }))
    },
    then: { read: '403 membership_revoked', write: '403 membership_revoked', own: '200' },
  },
  'the session is revoked from another device': {
    event: async ({ server, member }) => {
      const other = await signIn(server, member.email)
      const { body } = await server.call<{ items: { id: string; is_current: boolean }[] }>(
        'GET /api/sessions',
        {
          token: other.token,
        },
      )
      for (const { id, is_current } of body.items) {
        if (!is_current) await expectDone(server.call(`DELETE /api/sessions/${id}`, { token: other.token }))
      }
    },
    then: ended,
  },
  'signed out': {
    event: ({ server: { call }, member }) =>
      expectDone(call('POST /api/auth/sign-out', { token: member.token })),
    then: ended,
  },
  'the password was changed from another device': {
    event: async ({ server, member }) => {
      const other = await signIn(server, member.email)
      const body = { current_password: password, new_password: 'seven black umbrellas' }
      await expectDone(server.call('POST /api/auth/password/change', { token: other.token, body }))
    },
    then: ended,
  },
  'the password was reset': {
    event: async ({ server, member }) => {
      await expectDone(server.call('POST /api/auth/password/forgot', { body: { email: member.email } }))
      const token = await mailedToken(server, 'reset_password', member.email)
      await expectDone(server.call('POST /api/auth/password/reset', { body: { token, password } }))
    },
    then: ended,
  },
  'a spent refresh token was reused': {
    event: async ({ server: { call, db }, member }) => {
      const body = { refresh_token: member.refreshToken }
      const next = await call<{ refresh_token: string }>('POST /api/auth/refresh', { body })
      const { refresh_token } = next.body
      await expectDone(call('POST /api/auth/refresh', { body: { refresh_token } }))
      await db.admin`update app_private.refresh_tokens set used_at = used_at - interval '11 seconds' where used_at is not null`
      await call('POST /api/auth/refresh', { body })
    },
    then: ended,
  },
  'the session was unused for too long': {
    event: ({ server: { db }, member }) =>
      db.admin`update app.sessions set expires_at = now() where user_id = ${member.id}`,
    then: { read: '401 session_expired', write: '401 session_expired', own: '401 session_expired' },
  },
}

t.test('the next request with the same access token obeys', async t => {
  const server = await startServer(t)
  for (const [name, { role = 'manager', event, then }] of Object.entries(cases)) {
    await t.test(name, async t => {
      const owner = await register(server, 'Ana')
      const scene = { server, owner, member: await join(server, owner, role) }
      const before = { ...works, ...(role === 'viewer' && { write: '403 permission_denied' }) }
      for (const [request, expected] of Object.entries(before)) {
        t.equal(
          outcome(await requests[request as keyof typeof requests](scene)),
          expected,
          `${request} before`,
        )
      }
      if (then.manage !== undefined) t.equal(outcome(await requests.manage(scene)), '201', 'manage before')
      await event(scene)
      for (const [request, expected] of Object.entries(then)) {
        t.equal(outcome(await requests[request as keyof typeof requests](scene)), expected, request)
      }
    })
  }
})

t.test('every request after the response to the removal is refused, on every connection', async t => {
  const server = await startServer(t, { POOL_SIZE: '8' })
  const owner = await register(server, 'Ana')
  const member = await join(server, owner, 'manager')
  const scene = { server, owner, member }
  // The pool is warm and busy with this member while it happens.
  const during = Array.from({ length: 40 }, () => requests.read(scene).then(outcome))
  const removal = await server.call(`DELETE /api/users/${member.id}`, { token: owner.token })
  t.equal(outcome(removal), '204')
  const after = Array.from({ length: 40 }, (_, n) =>
    (n % 2 ? requests.read : requests.write)(scene).then(outcome),
  )
  t.strictSame(new Set(await Promise.all(after)), new Set(['403 membership_revoked']))
  for (const result of await Promise.all(during)) t.match(result, /^(200|403 membership_revoked)$/)
})
