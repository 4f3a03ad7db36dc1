import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { secretOf } from '../isolation/world.ts'
import { join, joinAs, type Person, register, startServer, type TestServer } from '../support/helper.ts'
import { invite } from '../support/invite.ts'
import { queue } from '../support/queue.ts'
import { customPermissions } from '../authorization/matrix.ts'
import { outcome } from '../support/tokens.ts'

interface Scene {
  server: TestServer
  owner: Person
  /** Manages people, and may do little else: only through one of the organization's own roles. */
  hr: Person
  viewer: Person
  /** A role with more than hr holds. */
  strong: string
  /** A role with less. */
  weak: string
}

async function newScene(server: TestServer): Promise<Scene> {
  const owner = await register(server, 'Olga')
  const role = async (permissions: string[]) =>
    (
      await server.call<{ id: string }>('POST /api/roles', {
        token: owner.token,
        body: { name: randomUUID(), permissions },
      })
    ).body.id
  return {
    server,
    owner,
    hr: await joinAs(server, owner, customPermissions),
    viewer: await join(server, owner, 'viewer'),
    strong: await role(['shows.read', 'shows.delete']),
    weak: await role(['shows.read']),
  }
}
const permissionsOf = async ({ server, owner }: Scene, { id }: Person) => {
  const [row] = await server.db.admin<[{ held: string[] }]>`
    select app.permissions_of(${owner.organization}, ${id}) as held`
  return row.held
}

const role = (role_id: string) => ({ role_id })
/** What hr tries in order to gain more, or to give an accomplice more. */
const attempts: Record<string, (s: Scene) => [request: `${string} ${string}`, body?: object]> = {
  'promote oneself to a built-in role': s => [`PATCH /api/users/${s.hr.id}`, { role: 'manager' }],
  'promote oneself to owner': s => [`PATCH /api/users/${s.hr.id}`, { role: 'owner' }],
  'assign oneself a built-in role': s => [`POST /api/users/${s.hr.id}/roles`, role('admin')],
  'assign oneself one of the organization’s roles': s => [`POST /api/users/${s.hr.id}/roles`, role(s.strong)],
  'grant oneself a permission': s => [
    `PUT /api/users/${s.hr.id}/permissions/shows.delete`,
    { effect: 'grant' },
  ],
  'grant oneself a permission for a while': s => [
    `PUT /api/users/${s.hr.id}/permissions/shows.delete`,
    { effect: 'grant', expires_at: '2999-01-01T00:00:00Z' },
  ],
  'promote an accomplice': s => [`PATCH /api/users/${s.viewer.id}`, { role: 'owner' }],
  'assign an accomplice a role': s => [`POST /api/users/${s.viewer.id}/roles`, role(s.strong)],
  'grant an accomplice a permission': s => [
    `PUT /api/users/${s.viewer.id}/permissions/organization.delete`,
    { effect: 'grant' },
  ],
  'create a role with more than one holds': () => [
    'POST /api/roles',
    { name: 'Everything', permissions: ['members.manage', 'organization.delete'] },
  ],
  'add to a role': s => [`PATCH /api/roles/${s.weak}`, { permissions: ['shows.read', 'shows.delete'] }],
  'remove from a role what one lacks': s => [`PATCH /api/roles/${s.strong}`, { permissions: ['shows.read'] }],
  'delete a role with more than one holds': s => [`DELETE /api/roles/${s.strong}`],
  'invite an accomplice as owner': () => [
    'POST /api/invitations',
    { email: `${randomUUID()}@example.com`, role: 'owner' },
  ],
  'add an accomplice as manager': () => [
    'POST /api/users',
    { email: `${randomUUID()}@example.com`, display_name: 'Acc', role: 'manager' },
  ],
  'demote the owner': s => [`PATCH /api/users/${s.owner.id}`, { role: 'viewer' }],
  'revoke the owner’s role': s => [`DELETE /api/users/${s.owner.id}/roles/owner`],
  'remove the owner': s => [`DELETE /api/users/${s.owner.id}`],
  'deny the owner something': s => [
    `PUT /api/users/${s.owner.id}/permissions/organization.delete`,
    { effect: 'deny' },
  ],
}

t.test('nobody can grant or revoke what they do not hold', async t => {
  const server = await startServer(t)
  const scene = await newScene(server)
  const { owner, hr, viewer } = scene

  for (const [what, attempt] of Object.entries(attempts)) {
    await t.test(`so one cannot ${what}`, async t => {
      const before = await Promise.all([hr, viewer, owner].map(person => permissionsOf(scene, person)))
      const [request, body] = attempt(scene)
      const answer = await server.call(request, { token: hr.token, ...(body && { body }) })
      t.equal(outcome(answer), '403 permission_not_held')
      t.strictSame(await Promise.all([hr, viewer, owner].map(person => permissionsOf(scene, person))), before)
    })
  }

  await t.test('but may grant and revoke what they hold', async t => {
    const { token } = hr
    const steps: [`${string} ${string}`, object?][] = [
      [`POST /api/users/${viewer.id}/roles`, role(scene.weak)],
      [`DELETE /api/users/${viewer.id}/roles/${scene.weak}`],
      [`PUT /api/users/${viewer.id}/permissions/shows.read`, { effect: 'deny' }],
      [`DELETE /api/users/${viewer.id}/permissions/shows.read`],
      [`DELETE /api/users/${viewer.id}/roles/viewer`],
      [`PATCH /api/users/${viewer.id}`, { role: 'viewer' }],
    ]
    for (const [request, body] of steps)
      t.ok((await server.call(request, { token, ...(body && { body }) })).status < 300, request)
    t.equal((await invite(server, hr, `${randomUUID()}@example.com`, 'viewer')).status, 201)
  })

  await t.test('so a denial cannot be lifted by those it applies to', async t => {
    const other = await joinAs(server, owner, ['members.manage', 'members.read', 'shows.read'])
    const path = `/api/users/${other.id}/permissions/shows.read`
    await server.call(`PUT ${path}`, { token: owner.token, body: { effect: 'deny' } })
    t.equal(outcome(await server.call(`DELETE ${path}`, { token: other.token })), '403 permission_not_held')
    const ending = { effect: 'deny', expires_at: new Date(Date.now() + 1000).toISOString() }
    t.equal(
      outcome(await server.call(`PUT ${path}`, { token: other.token, body: ending })),
      '403 permission_not_held',
    )
    t.equal((await server.call(`DELETE ${path}`, { token: owner.token })).status, 204)
  })

  await t.test('and custom roles cannot be extended, or restored, by those who have them', async t => {
    const other = await joinAs(server, owner, ['members.manage', 'members.read'])
    const { body: extra } = await server.call<{ id: string }>('POST /api/roles', {
      token: owner.token,
      body: { name: 'Extra', permissions: ['shows.read'] },
    })
    await server.call(`POST /api/users/${other.id}/roles`, { token: owner.token, body: role(extra.id) })
    const before = await permissionsOf(scene, other)
    const stronger = { permissions: ['shows.read', 'shows.delete'] }
    const { body: mine } = await server.call<{ custom_roles: { id: string }[] }>(
      `GET /api/users/${other.id}`,
      {
        token: other.token,
      },
    )
    t.equal(mine.custom_roles.length, 2)
    for (const { id } of mine.custom_roles)
      t.equal(
        outcome(await server.call(`PATCH /api/roles/${id}`, { token: other.token, body: stronger })),
        '403 permission_not_held',
      )
    t.strictSame(await permissionsOf(scene, other), before)
    t.equal((await server.call(`DELETE /api/roles/${extra.id}`, { token: owner.token })).status, 204)
    t.strictSame(await permissionsOf(scene, other), ['members.manage', 'members.read'])
    const restore = (by: Person) => server.call(`POST /api/roles/${extra.id}/restore`, { token: by.token })
    t.equal(outcome(await restore(other)), '403 permission_not_held')
    t.strictSame(await permissionsOf(scene, other), ['members.manage', 'members.read'])
    t.equal(outcome(await restore(owner)), '200')
    t.strictSame(await permissionsOf(scene, other), before)
  })

  await t.test('and what is held temporarily cannot be granted for longer', async t => {
    const other = await joinAs(server, owner, ['members.manage', 'members.read', 'shows.read'])
    const expires_at = new Date(Date.now() + 3_600_000).toISOString()
    await server.call(`PUT /api/users/${other.id}/permissions/shows.delete`, {
      token: owner.token,
      body: { effect: 'grant', expires_at },
    })
    t.ok((await permissionsOf(scene, other)).includes('shows.delete'))
    for (const who of [other, viewer])
      t.equal(
        outcome(
          await server.call(`PUT /api/users/${who.id}/permissions/shows.delete`, {
            token: other.token,
            body: { effect: 'grant' },
          }),
        ),
        '403 permission_not_held',
      )
    const made = await server.call('POST /api/roles', {
      token: other.token,
      body: { name: 'Longer', permissions: ['shows.delete'] },
    })
    t.equal(outcome(made), '403 permission_not_held')
  })

  await t.test('and only owners can transfer ownership', async t => {
    const closer = await joinAs(server, owner, ['organization.read', 'organization.delete'])
    const answer = await server.call(`POST /api/organizations/${owner.organization}/transfer`, {
      token: closer.token,
      body: { user_id: viewer.id },
    })
    t.equal(outcome(answer), '403 permission_denied')
  })

  await t.test('not even with arbitrary SQL', async t => {
    const sql = server.db.as('callboard_api')
    const statements = [
      `update app.memberships set role = 'owner' where user_id = '${hr.id}'`,
      `insert into app.member_permissions (user_id, permission, effect) values ('${hr.id}', 'shows.delete', 'grant')`,
      `insert into app.member_roles (user_id, role_id) values ('${hr.id}', '${scene.strong}')`,
      `update app.custom_roles set permissions = '{organization.delete}'`,
      `insert into app.role_permissions (role, permission) values ('viewer', 'organization.delete')`,
      `select app_private.set_role('${hr.id}', 'owner')`,
      `select app.permissions_of('${owner.organization}', '${owner.id}')`,
    ]
    for (const statement of statements) {
      await t.rejects(
        sql.begin(async tx => {
          await tx`select app.enter(${secretOf(hr)}, ${owner.organization})`
          await tx.unsafe(statement)
        }),
        { code: '42501' },
        statement,
      )
    }
  })
})

t.test('in parallel', async t => {
  const server = await startServer(t, { POOL_SIZE: '20' })

  await t.test('somebody demoted meanwhile grants nothing', async t => {
    const scene = await newScene(server)
    const { owner, viewer } = scene
    const second = await join(server, owner, 'owner')
    const lower = () =>
      server
        .call(`PATCH /api/users/${second.id}`, { token: owner.token, body: { role: 'viewer' } })
        .then(outcome)
    const attempts: (() => Promise<string>)[] = [
      [`PUT /api/users/${viewer.id}/permissions/shows.delete`, { effect: 'grant' }] as const,
      [`POST /api/users/${viewer.id}/roles`, role(scene.strong)] as const,
      [`PATCH /api/users/${second.id}`, { role: 'owner' }] as const,
      ['POST /api/invitations', { email: `${randomUUID()}@example.com`, role: 'owner' }] as const,
    ].map(
      ([request, body]) =>
        () =>
          server.call(request, { token: second.token, body }).then(outcome),
    )
    // All of them have entered as an owner before the first is carried out.
    const results = await queue(
      server.db,
      sql => sql`select from app.organizations where id = ${owner.organization} for update`,
      lower,
      ...attempts,
    )
    t.strictSame(results, ['200', ...attempts.map(() => '403 permission_denied')])
    t.strictSame(await permissionsOf(scene, viewer), await permissionsOf(scene, second))
  })

  await t.test('two who demote each other do not both succeed', async t => {
    for (let round = 0; round < 10; round += 1) {
      const owner = await register(server, 'Olga')
      const [a, b] = [await join(server, owner, 'owner'), await join(server, owner, 'owner')]
      const lower = (by: Person, whom: Person) =>
        server
          .call(`PATCH /api/users/${whom.id}`, { token: by.token, body: { role: 'viewer' } })
          .then(outcome)
      t.strictSame((await Promise.all([lower(a, b), lower(b, a)])).sort(), ['200', '403 permission_denied'])
    }
  })
})
