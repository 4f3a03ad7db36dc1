import { t } from '../support/tap.ts'
import { join, type Person, register, startServer, type TestServer } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

const leave = ({ call }: TestServer, { id, token }: Person) =>
  call(`DELETE /api/users/${id}`, { token }).then(outcome)
const setRole = ({ call }: TestServer, by: Person, id: string, role: string) =>
  call(`PATCH /api/users/${id}`, { token: by.token, body: { role } }).then(outcome)
const ownersOf = async ({ db }: TestServer, organization: string) => {
  const rows = await db.admin<{ user_id: string }[]>`
    select user_id from app.memberships where organization_id = ${organization} and role = 'owner' and deleted_at is null`
  return rows.map(({ user_id }) => user_id)
}

t.test('the last owner', async t => {
  const server = await startServer(t)

  await t.test('can neither leave nor be demoted until there is another', async t => {
    const ana = await register(server, 'Ana')
    const ben = await join(server, ana, 'admin')
    t.equal(await leave(server, ana), '409 last_owner')
    for (const role of ['admin', 'manager', 'viewer']) {
      t.equal(await setRole(server, ana, ana.id, role), '409 last_owner', role)
    }
    t.equal(await setRole(server, ana, ana.id, 'owner'), '200', 'staying owner is no change')
    t.equal(await setRole(server, ana, ben.id, 'owner'), '200')
    t.equal(await leave(server, ana), '204')
    t.equal(await leave(server, ben), '409 last_owner')
    t.strictSame(await ownersOf(server, ana.organization), [ben.id])
  })

  await t.test(
    'is counted among current owners: former ones and other organizations’ do not count',
    async t => {
      const ana = await register(server, 'Ana')
      const [former] = [await join(server, ana, 'owner'), await register(server, 'Elsewhere')]
      t.equal(await leave(server, former), '204')
      t.equal(await leave(server, ana), '409 last_owner')
    },
  )
})

t.test('in parallel', async t => {
  const server = await startServer(t, { POOL_SIZE: '20' })
  const ana = await register(server, 'Ana')
  const others = await Promise.all(
    Array.from({ length: 9 }, (_, n) => join(server, ana, 'owner', `Owner ${n}`)),
  )
  const owners = [ana, ...others]
  /** Makes all of them owners again; their tokens stay the same. */
  const reset = () => server.db.admin`
    update app.memberships set role = 'owner', deleted_at = null, deleted_by = null, deletion_id = null
    where organization_id = ${ana.organization}`
  const next = (n: number) => owners[(n + 1) % owners.length] ?? ana

  const rounds: Record<string, () => Promise<string>[]> = {
    'all owners leave, twice each': () => [...owners, ...owners].map(owner => leave(server, owner)),
    'all owners demote themselves, twice each': () =>
      [...owners, ...owners].map(owner => setRole(server, owner, owner.id, 'viewer')),
    'all owners leave or demote themselves': () =>
      owners.flatMap(owner => [leave(server, owner), setRole(server, owner, owner.id, 'admin')]),
  }
  for (const [name, round] of Object.entries(rounds)) {
    await t.test(`${name}: exactly one owner remains, and is told why`, async t => {
      for (let n = 0; n < 5; n++) {
        await reset()
        const results = await Promise.all(round())
        const [left, ...more] = await ownersOf(server, ana.organization)
        t.ok(left, 'one remains')
        t.strictSame(more, [], 'and only one')
        t.ok(results.includes('409 last_owner'))
        for (const result of results) {
          t.match(
            result,
            /^(200|204|404 not_found|409 last_owner|403 (permission_denied|membership_revoked))$/,
          )
        }
      }
    })
  }

  const feuds: Record<string, () => Promise<string>[]> = {
    'each owner removes the next': () =>
      owners.flatMap((owner, n) => [
        server.call(`DELETE /api/users/${next(n).id}`, { token: owner.token }).then(outcome),
        setRole(server, owner, next(n).id, 'viewer'),
      ]),
    'each owner hands over to the next and leaves': () =>
      owners.flatMap((owner, n) => [
        server
          .call(`POST /api/organizations/${ana.organization}/transfer`, {
            token: owner.token,
            body: { user_id: next(n).id },
          })
          .then(outcome),
        leave(server, owner),
      ]),
  }
  for (const [name, round] of Object.entries(feuds)) {
    await t.test(`${name}: there is always an owner, and no request fails`, async t => {
      for (let n = 0; n < 5; n++) {
        await reset()
        const results = await Promise.all(round())
        t.ok((await ownersOf(server, ana.organization)).length >= 1)
        for (const result of results) {
          t.match(
            result,
            /^(200|204|404 not_found|409 last_owner|403 (permission_denied|membership_revoked))$/,
          )
        }
      }
    })
  }
})
