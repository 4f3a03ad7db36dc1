import { t } from '../support/tap.ts'
import { confirmed, join, joinAs, type Person, register, startServer, until } from '../support/helper.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface RoleDetails {
  id: string
  name: string
  is_built_in: boolean
  permissions: string[]
}
interface MemberPermissions {
  items: {
    permission: string
    is_held: boolean
    sources: {
      source: string
      role_name: string | null
      expires_at: string | null
      granted_by: string | null
    }[]
  }[]
}

/** What a viewer holds, plus and minus something. */
const asViewer = (more: string[] = [], less?: string) =>
  [
    'analytics.read',
    'finance.read',
    'itineraries.read',
    'members.read',
    'organization.read',
    'shows.read',
    ...more,
  ]
    .filter(name => name !== less)
    .sort()

t.test('roles', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const newRole = async (name: string, permissions: string[]) =>
    (await call<RoleDetails>('POST /api/roles', { token, body: { name, permissions } })).body
  const assign = (member: Person, role_id: string) =>
    call(`POST /api/users/${member.id}/roles`, { token, body: { role_id } })
  const except = (member: Person, permission: string, body: object) =>
    call(`PUT /api/users/${member.id}/permissions/${permission}`, { token, body })
  const heldBy = async (member: Person) => {
    const { body } = await call<MemberPermissions>(`GET /api/users/${member.id}/permissions`, { token })
    return body.items.filter(({ is_held }) => is_held).map(({ permission }) => permission)
  }
  const enters = (member: Person) => call('GET /api/shows', { token: member.token }).then(outcome)

  await t.test('are the four built-in ones, as in the database, and the organization’s own', async t => {
    const { id } = await newRole('Box office', ['shows.write', 'shows.read'])
    const { body } = await call<{ items: RoleDetails[] }>('GET /api/roles', { token })
    t.strictSame(
      body.items.map(({ name, is_built_in }) => [name, is_built_in]),
      [
        ['admin', true],
        ['manager', true],
        ['owner', true],
        ['viewer', true],
        ['Box office', false],
      ],
    )
    for (const { name, permissions } of body.items.filter(({ is_built_in }) => is_built_in)) {
      const held = await db.admin<{ permission: string }[]>`
        select permission from app.role_permissions where role = ${name} order by 1`
      t.strictSame(
        permissions,
        held.map(({ permission }) => permission),
        name,
      )
      t.match((await call(`GET /api/roles/${name}`, { token })).body, { id: name, is_built_in: true })
    }
    t.match((await call(`GET /api/roles/${id}`, { token })).body, {
      name: 'Box office',
      permissions: ['shows.read', 'shows.write'],
    })
    const { body: registry } = await call<{ items: { name: string }[] }>('GET /api/permissions', { token })
    const known = await db.admin<{ name: string }[]>`select name from app.permissions order by 1`
    t.strictSame(
      registry.items.map(({ name }) => name),
      known.map(({ name }) => name),
    )
  })

  await t.test('of another organization do not exist', async t => {
    const stranger = await register(server, 'Stan')
    const { id } = await newRole('Ours', ['shows.read'])
    const theirs = (request: `${string} ${string}`, body?: object) =>
      call(request, { token: stranger.token, ...(body && { body }) }).then(outcome)
    t.equal(await theirs(`GET /api/roles/${id}`), '404 not_found')
    t.equal(await theirs(`PATCH /api/roles/${id}`, { name: 'Theirs' }), '404 not_found')
    t.equal(await theirs(`DELETE /api/roles/${id}`), '404 not_found')
    t.equal(await theirs(`POST /api/users/${stranger.id}/roles`, { role_id: id }), '422 role_unknown')
    await call(`DELETE /api/roles/${id}`, { token })
    t.equal(await theirs(`POST /api/roles/${id}/restore`), '404 not_found')
    const { body } = await call<{ items: RoleDetails[] }>('GET /api/roles', { token: stranger.token })
    t.equal(body.items.length, 4)
  })

  await t.test('need a unique name and existing permissions', async t => {
    const refused = (body: object) => call('POST /api/roles', { token, body }).then(outcome)
    await newRole('Promoter', [])
    t.equal(await refused({ name: 'PROMOTER', permissions: [] }), '409 custom_role_name_taken')
    t.equal(await refused({ name: 'Owner', permissions: [] }), '422 custom_roles_name_is_free')
    t.equal(await refused({ name: ' ', permissions: [] }), '400 validation')
    t.equal(await refused({ name: 'Fly', permissions: ['planes.fly'] }), '422 permission_unknown')
    t.equal(await refused({ name: 'No list' }), '400 validation')
  })

  await t.test('that are built in cannot be changed', async t => {
    for (const name of ['owner', 'viewer']) {
      t.equal(
        outcome(await call(`PATCH /api/roles/${name}`, { token, body: { permissions: [] } })),
        '409 role_built_in',
      )
      t.equal(outcome(await call(`DELETE /api/roles/${name}`, { token })), '409 role_built_in')
    }
  })

  await t.test('change at the version that was read', async t => {
    const { id } = await newRole('Versioned', [])
    const { headers } = await call(`GET /api/roles/${id}`, { token })
    const match = { 'if-match': String(headers['etag']) }
    const rename = (name: string) => call(`PATCH /api/roles/${id}`, { token, headers: match, body: { name } })
    const first = await rename('Once')
    t.match(first.body, { name: 'Once', permissions: [] })
    t.equal(outcome(await rename('Twice')), '412 version_mismatch')
    t.equal(outcome(await call(`DELETE /api/roles/${id}`, { token, headers: match })), '412 version_mismatch')
    const now = { 'if-match': String(first.headers['etag']) }
    t.equal(outcome(await call(`DELETE /api/roles/${id}`, { token, headers: now })), '204')
  })

  await t.test('take effect, and end, with the next request', async t => {
    const member = await join(server, ana, 'viewer')
    await call(`DELETE /api/users/${member.id}/roles/viewer`, { token })
    t.equal(
      await enters(member),
      '403 permission_denied',
      'without a role a member belongs but may do nothing',
    )
    t.match((await call('GET /api/me', { token: member.token })).status, 200)
    const { id } = await newRole('Readers', ['shows.read'])
    t.match((await assign(member, id)).body, { role: null, custom_roles: [{ id, name: 'Readers' }] })
    t.equal(await enters(member), '200')
    await call(`PATCH /api/roles/${id}`, { token, body: { permissions: [] } })
    t.equal(await enters(member), '403 permission_denied', 'the role was emptied')
    await call(`PATCH /api/roles/${id}`, { token, body: { permissions: ['shows.read'] } })
    await call(`DELETE /api/roles/${id}`, { token })
    t.equal(await enters(member), '403 permission_denied', 'the role was deleted')
    t.equal(outcome(await assign(member, id)), '422 role_unknown', 'and cannot be assigned')
    await call(`POST /api/roles/${id}/restore`, { token })
    t.equal(await enters(member), '200', 'the role is back')
    t.equal(outcome(await call(`DELETE /api/users/${member.id}/roles/${id}`, { token })), '204')
    t.equal(await enters(member), '403 permission_denied', 'the role was revoked')
    t.equal(outcome(await call(`DELETE /api/users/${member.id}/roles/${id}`, { token })), '404 not_found')
    t.match((await assign(member, 'manager')).body, { role: 'manager' }, 'a built-in one by its name')
    t.equal(await enters(member), '200')
    t.match((await assign(member, 'viewer')).body, { role: 'viewer' }, 'replaces another')
  })

  await t.test('cannot be revoked from the last owner', async t => {
    t.equal(outcome(await call(`DELETE /api/users/${ana.id}/roles/owner`, { token })), '409 last_owner')
    t.equal(outcome(await assign(ana, 'viewer')), '409 last_owner')
  })

  await t.test('add up, plus grants and minus denials', async t => {
    const member = await join(server, ana, 'viewer')
    await assign(member, (await newRole('Writers', ['shows.write'])).id)
    t.strictSame(await heldBy(member), asViewer(['shows.write']))
    await except(member, 'shows.delete', { effect: 'grant' })
    await except(member, 'shows.write', { effect: 'deny' })
    await except(member, 'members.read', { effect: 'deny' })
    t.strictSame(await heldBy(member), asViewer(['shows.delete'], 'members.read'))
    const { body } = await call<MemberPermissions>(`GET /api/users/${member.id}/permissions`, { token })
    const sourcesOf = (name: string) => body.items.find(({ permission }) => permission === name)?.sources
    t.match(sourcesOf('shows.write'), [
      { source: 'deny', role_name: null, granted_by: ana.id },
      { source: 'role', role_name: 'Writers', granted_by: ana.id },
    ])
    t.match(sourcesOf('shows.delete'), [{ source: 'grant', expires_at: null }])
    t.strictSame(sourcesOf('organization.delete'), [])
    await call(`DELETE /api/users/${member.id}/permissions/shows.write`, { token })
    t.ok((await heldBy(member)).includes('shows.write'))
    t.equal(
      outcome(await call(`DELETE /api/users/${member.id}/permissions/shows.write`, { token })),
      '404 not_found',
    )
    t.equal(outcome(await except(member, 'planes.fly', { effect: 'grant' })), '404 not_found')
    const { token: own } = member
    const { body: grant } = await call<{ access_token: string; permissions: string[] }>(
      'POST /api/auth/switch',
      { token: own, body: { organization_id: ana.organization } },
    )
    t.strictSame(grant.permissions, asViewer(['shows.delete', 'shows.write'], 'members.read'))
    t.match(claimsOf(grant.access_token), { permissions: grant.permissions })
  })

  await t.test('expire by themselves if an expiry was set', async t => {
    const member = await join(server, ana, 'viewer')
    const soon = () => new Date(Date.now() + 1500).toISOString()
    await except(member, 'shows.write', { effect: 'grant', expires_at: soon() })
    await except(member, 'shows.read', { effect: 'deny', expires_at: soon() })
    t.strictSame(await heldBy(member), asViewer(['shows.write'], 'shows.read'))
    await until(async () => (await heldBy(member)).join() === asViewer().join())
    t.equal(await enters(member), '200')
    t.equal(
      outcome(await except(member, 'shows.write', { effect: 'grant', expires_at: '2020-01-01T00:00:00Z' })),
      '422 member_permissions_expires_later',
    )
  })

  await t.test('leave an owner all permissions', async t => {
    const member = await join(server, ana, 'admin')
    await except(member, 'shows.read', { effect: 'deny' })
    await call(`PATCH /api/users/${member.id}`, { token, body: { role: 'owner' } })
    t.ok((await heldBy(member)).includes('shows.read'), 'becoming owner lifts all denials')
    t.equal(outcome(await except(member, 'shows.read', { effect: 'deny' })), '409 owner_keeps_permissions')
  })

  await t.test('and exceptions change the version of the member', async t => {
    const member = await join(server, ana, 'viewer')
    const path = `/api/users/${member.id}`
    const { headers } = await call(`GET ${path}`, { token })
    const match = { 'if-match': String(headers['etag']) }
    t.equal((await except(member, 'shows.write', { effect: 'grant' })).status, 200)
    for (const request of [
      `PUT ${path}/permissions/shows.write`,
      `DELETE ${path}/permissions/shows.write`,
      `DELETE ${path}/roles/viewer`,
    ] as const)
      t.equal(
        outcome(
          await call(request, {
            token,
            headers: match,
            ...(request.startsWith('PUT') && { body: { effect: 'deny' } }),
          }),
        ),
        '412 version_mismatch',
        request,
      )
  })

  await t.test('are not kept for somebody who is removed and comes back', async t => {
    const member = await confirmed(server, await joinAs(server, ana, ['shows.read']))
    await except(member, 'shows.write', { effect: 'grant' })
    await call(`DELETE /api/users/${member.id}`, { token })
    const back = { email: member.email, display_name: 'Back', role: 'viewer' }
    t.match((await call('POST /api/users', { token, body: back })).body, { role: 'viewer', custom_roles: [] })
    t.strictSame(await heldBy(member), asViewer())
  })

  await t.test('come back with a deleted organization', async t => {
    const olga = await register(server, 'Olga')
    const member = await joinAs(server, olga, ['shows.read'])
    await call(`PUT /api/users/${member.id}/permissions/members.read`, {
      token: olga.token,
      body: { effect: 'grant' },
    })
    const path = `/api/organizations/${olga.organization}`
    await call(`DELETE ${path}`, { token: olga.token })
    t.equal(await enters(member), '403 organization_deleted')
    await call(`POST ${path}/restore`, { token: olga.token })
    t.equal(await enters(member), '200')
    t.equal((await call('GET /api/users', { token: member.token })).status, 200)
  })
})
