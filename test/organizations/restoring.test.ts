import { t } from '../support/tap.ts'
import {
  aShow,
  join,
  mailedToken,
  type Person,
  register,
  signIn,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

interface Row {
  id: string
}
interface List {
  items: Record<string, unknown>[]
}
const create = async ({ call }: TestServer, token: string, path: string, body: object) =>
  (await call<Row>(`POST /api/${path}`, { token, body })).body.id
/** Everything the owner sees, except the times of change, which restoring updates. */
const contents = async ({ call }: TestServer, token: string) => {
  const lists = ['shows', 'venues', 'users', 'invitations'].map(path =>
    call<List>(`GET /api/${path}`, { token }),
  )
  return (await Promise.all(lists)).map(({ body }) =>
    body.items.map(item => ({ ...item, updated_at: undefined })),
  )
}
const remove = ({ call }: TestServer, by: Person, headers: Record<string, string> = {}) =>
  call(`DELETE /api/organizations/${by.organization}`, { token: by.token, headers }).then(outcome)
const restore = ({ call }: TestServer, by: Person, organization = by.organization) =>
  call(`POST /api/organizations/${organization}/restore`, { token: by.token }).then(outcome)
const bin = async ({ call }: TestServer, token: string) =>
  (await call<List>('GET /api/organizations?deleted=only', { token })).body.items.map(({ id }) => id)

t.test('a deleted organization', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call, db } = server

  await t.test('comes back with exactly what was deleted with it', async t => {
    const ana = await register(server, 'Ana')
    const { token } = ana
    const [kept, gone] = [await join(server, ana, 'viewer'), await join(server, ana, 'admin')]
    const venue = { name: 'Hall', city: 'Ghent', country: 'BE', time_zone: 'Europe/Brussels' }
    const [hall, shed] = [
      await create(server, token, 'venues', venue),
      await create(server, token, 'venues', venue),
    ]
    const shows = await Promise.all(
      [1, 2, 3].map(() => create(server, token, 'shows', { ...aShow, venue_id: hall })),
    )
    const invite = (email: string) => create(server, token, 'invitations', { email, role: 'viewer' })
    const open = await register(server, 'Open')
    const [, revoked] = [await invite(open.email), await invite('revoked@example.com')]
    // Deleted before, each on its own:
    for (const path of [
      `users/${gone.id}`,
      `venues/${shed}`,
      `shows/${shows[2] ?? ''}`,
      `invitations/${revoked}`,
    ]) {
      t.equal(outcome(await call(`DELETE /api/${path}`, { token })), '204', path)
    }
    const before = await contents(server, token)
    t.strictSame(
      before.map(list => list.length),
      [2, 1, 2, 1],
    )

    t.equal(await remove(server, ana), '204')
    const left = await db.admin`
      select 'shows' from app.shows where organization_id = ${ana.organization} and deleted_at is null
      union all select 'venues' from app.venues where organization_id = ${ana.organization} and deleted_at is null
      union all select 'members' from app.memberships where organization_id = ${ana.organization} and deleted_at is null
      union all select 'invitations' from app.invitations where organization_id = ${ana.organization} and deleted_at is null`
    t.strictSame([...left], [], 'all of it is marked')

    t.equal(await restore(server, ana), '200')
    t.strictSame(await contents(server, token), before)
    t.equal(outcome(await call('GET /api/shows', { token: kept.token })), '200')
    t.equal(outcome(await call('GET /api/shows', { token: gone.token })), '403 membership_revoked')
    t.equal(
      outcome(await call(`POST /api/shows/${shows[2] ?? ''}/restore`, { token })),
      '200',
      'the bin is as it was',
    )
    for (const [email, expected] of [
      ['revoked@example.com', '400 invalid_token'],
      [open.email, '200'],
    ] as const) {
      const body = { token: await mailedToken(server, 'invitation', email) }
      t.equal(outcome(await call('POST /api/invitations/accept', { token: open.token, body })), expected)
    }
  })

  await t.test('can be deleted again; what was removed in between stays removed', async t => {
    const ana = await register(server, 'Ana')
    const member = await join(server, ana, 'viewer')
    await remove(server, ana)
    await restore(server, ana)
    t.equal(outcome(await call(`DELETE /api/users/${member.id}`, { token: ana.token })), '204')
    await remove(server, ana)
    await restore(server, ana)
    t.equal(outcome(await call('GET /api/shows', { token: member.token })), '403 membership_revoked')
    const people = await call<List>('GET /api/users', { token: ana.token })
    t.strictSame(
      people.body.items.map(({ id }) => id),
      [ana.id],
    )
  })

  await t.test('can be restored by those who could have deleted it, and by nobody else', async t => {
    const ana = await register(server, 'Ana')
    const [second, former] = [await join(server, ana, 'owner'), await join(server, ana, 'owner')]
    await call(`DELETE /api/users/${former.id}`, { token: ana.token })
    const stranger = await register(server, 'Stan')
    const others: [string, Person, string][] = [
      ['a former owner', former, '404 not_found'],
      ['a stranger', stranger, '404 not_found'],
    ]
    for (const role of ['admin', 'manager', 'viewer']) {
      others.push([role, await join(server, ana, role), '403 permission_denied'])
    }
    t.equal(await restore(server, ana), '404 not_found', 'it is not deleted')
    t.equal(await remove(server, ana), '204')
    for (const [who, person, expected] of others) {
      t.equal(await restore(server, person, ana.organization), expected, who)
      t.notOk((await bin(server, person.token)).includes(ana.organization), `${who} does not see it`)
    }
    t.equal(outcome(await call('GET /api/shows', { token: ana.token })), '403 organization_deleted')
    t.strictSame(await bin(server, second.token), [ana.organization])
    t.equal(await restore(server, second), '200', 'another owner can, too')
    t.strictSame(await bin(server, second.token), [])
    t.equal(await restore(server, ana), '404 not_found', 'once')
  })

  await t.test('lets its members work for their other organizations', async t => {
    const ana = await register(server, 'Ana')
    const member = await join(server, ana, 'viewer')
    const own = await signIn(server, member.email)
    await remove(server, ana)
    t.equal(outcome(await call('GET /api/shows', { token: member.token })), '403 organization_deleted')
    t.equal(outcome(await call('GET /api/me', { token: member.token })), '200', 'the session lives')
    // Somebody who is added during the deletion may escape its mark.
    await db.admin`
      update app.memberships set deleted_at = null, deleted_by = null, deletion_id = null
      where organization_id = ${ana.organization} and user_id = ${member.id}`
    t.equal(outcome(await call('GET /api/shows', { token: member.token })), '403 organization_deleted')
    const refreshed = await call<{ organization_id: string; access_token: string }>(
      'POST /api/auth/refresh',
      {
        body: { refresh_token: member.refreshToken },
      },
    )
    t.not(refreshed.body.organization_id, ana.organization)
    t.equal(outcome(await call('GET /api/shows', { token: refreshed.body.access_token })), '200')
    t.not(own.organization, null)
    const mine = await call<List>('GET /api/organizations', { token: member.token })
    t.strictSame(
      mine.body.items.map(({ id }) => id),
      [refreshed.body.organization_id],
    )
    const body = {
      email: member.email,
      password: 'correct horse battery staple',
      organization_id: ana.organization,
    }
    t.equal(outcome(await call('POST /api/auth/sign-in', { body })), '403 membership_revoked')
  })

  await t.test('can be deleted once, at the version that was read', async t => {
    const ana = await register(server, 'Ana')
    const admin = await join(server, ana, 'admin')
    t.equal(await remove(server, ana, { 'if-match': '"7"' }), '412 version_mismatch')
    t.equal(await remove(server, admin, { 'if-match': '"1"' }), '403 permission_denied')
    const all = await Promise.all(
      Array.from({ length: 10 }, () => remove(server, ana, { 'if-match': '"1"' })),
    )
    t.equal(all.filter(result => result === '204').length, 1)
    const late = new Set(all.filter(result => result !== '204'))
    for (const result of late)
      t.match(result, /^(404 not_found|403 organization_deleted|412 version_mismatch)$/)
    const back = await Promise.all(Array.from({ length: 10 }, () => restore(server, ana)))
    t.strictSame(back.sort(), ['200', ...Array<string>(9).fill('404 not_found')])
  })

  await t.test('loses nothing that was written while it was being deleted', async t => {
    const ana = await register(server, 'Ana')
    const writing = Array.from({ length: 30 }, (_, n) =>
      n === 10
        ? remove(server, ana)
        : call('POST /api/shows', { token: ana.token, body: aShow }).then(outcome),
    )
    const results = await Promise.all(writing)
    t.equal(results[10], '204')
    for (const result of results) t.match(result, /^(201|204|403 organization_deleted)$/)
    await restore(server, ana)
    const { body } = await call<List>('GET /api/shows', { token: ana.token })
    t.equal(body.items.length, results.filter(result => result === '201').length)
  })
})
