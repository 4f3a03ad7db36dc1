import { randomUUID } from 'node:crypto'
import type { TransactionSql } from 'postgres'
import { t } from '../support/tap.ts'
import { join, register, startServer } from '../support/helper.ts'
import { queue } from '../support/queue.ts'
import { outcome } from '../support/tokens.ts'

interface Member {
  id: string
  display_name: string
}
interface List {
  items: Member[]
  next_cursor: string | null
}
const newAddress = () => `${randomUUID()}@example.com`

t.test('members', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const lockOf = (id: string) => (sql: TransactionSql) =>
    sql`select from app.memberships where user_id = ${id} and organization_id = ${ana.organization} for update`
  const setRole = (id: string, role: string, headers: Record<string, string> = {}, token = ana.token) =>
    call(`PATCH /api/users/${id}`, { token, body: { role }, headers })
  const remove = (id: string, token = ana.token, headers: Record<string, string> = {}) =>
    call(`DELETE /api/users/${id}`, { token, headers }).then(outcome)

  await t.test('are listed by name, by role and in pages', async t => {
    const owner = await register(server, 'Mia')
    const names = ['Abe', 'Bea', 'Cid', 'Dot', 'Eve']
    for (const [n, display_name] of names.entries()) {
      const role = n % 2 ? 'admin' : 'viewer'
      await call('POST /api/users', { token: owner.token, body: { email: newAddress(), display_name, role } })
    }
    const list = async (query: string) =>
      (await call<List>(`GET /api/users?${query}`, { token: owner.token })).body
    const all = await list('')
    t.strictSame(
      all.items.map(({ display_name }) => display_name),
      [...names, 'Mia'],
    )
    const admins = await list('role=admin&sort=-display_name')
    t.strictSame(
      admins.items.map(({ display_name }) => display_name),
      ['Dot', 'Bea'],
    )
    for (const sort of ['display_name', '-display_name', 'joined_at', '-joined_at']) {
      const paged: Member[] = []
      let cursor: string | null = null
      do {
        const page: List = await list(`limit=2&sort=${sort}${cursor === null ? '' : `&cursor=${cursor}`}`)
        t.ok(page.items.length <= 2)
        paged.push(...page.items)
        cursor = page.next_cursor
      } while (cursor !== null)
      t.strictSame(paged, (await list(`sort=${sort}`)).items, sort)
      t.equal(paged.length, 6)
    }
  })

  await t.test('get another role at the version that was read', async t => {
    const ben = await join(server, ana, 'viewer')
    const before = await call(`GET /api/users/${ben.id}`, { token: ben.token })
    const etag = String(before.headers['etag'])
    const first = await setRole(ben.id, 'manager', { 'if-match': etag })
    t.match(first.body, { id: ben.id, role: 'manager' })
    t.not(first.headers['etag'], etag)
    t.equal(outcome(await setRole(ben.id, 'admin', { 'if-match': etag })), '412 version_mismatch')
    const now = { 'if-match': String(first.headers['etag']) }
    const raise = () => setRole(ben.id, 'admin', now).then(outcome)
    t.strictSame(await queue(db, lockOf(ben.id), raise, raise), ['200', '412 version_mismatch'])
    t.equal(outcome(await setRole(ben.id, 'superuser')), '400 validation')
  })

  await t.test('are removed once, at the version that was read if so requested', async t => {
    const [ben, cleo] = [await join(server, ana, 'viewer'), await join(server, ana, 'viewer')]
    t.equal(await remove(ben.id, ana.token, { 'if-match': '"99"' }), '412 version_mismatch')
    const { headers } = await call(`GET /api/users/${ben.id}`, { token: ana.token })
    t.equal(await remove(ben.id, ana.token, { 'if-match': String(headers['etag']) }), '204')
    t.equal(await remove(ben.id), '404 not_found')
    t.equal(outcome(await setRole(ben.id, 'admin')), '404 not_found')
    t.equal(outcome(await call(`GET /api/users/${ben.id}`, { token: ana.token })), '404 not_found')
    const go = () => remove(cleo.id)
    const raise = () => setRole(cleo.id, 'admin').then(outcome)
    t.strictSame(await queue(db, lockOf(cleo.id), go, go, raise), ['204', '404 not_found', '404 not_found'])
    const { body } = await call<List>('GET /api/users', { token: ana.token })
    t.notOk(body.items.some(({ id }) => id === ben.id || id === cleo.id))
  })

  await t.test('of every role may leave, and only an owner may do more', async t => {
    const other = await join(server, ana, 'viewer')
    const invite = { email: newAddress(), role: 'owner' }
    const { body: open } = await call<{ id: string }>('POST /api/invitations', {
      token: ana.token,
      body: invite,
    })
    for (const role of ['viewer', 'manager', 'admin']) {
      const { id, token } = await join(server, ana, role)
      t.equal(outcome(await call(`GET /api/users/${other.id}`, { token })), '200', `${role} sees colleagues`)
      const refused = {
        add: call('POST /api/users', {
          token,
          body: { email: newAddress(), display_name: 'X', role: 'owner' },
        }),
        'promote oneself': setRole(id, 'owner', {}, token),
        'demote the owner': setRole(ana.id, 'viewer', {}, token),
        invite: call('POST /api/invitations', { token, body: invite }),
        'see invitations': call('GET /api/invitations', { token }),
        'see an invitation': call(`GET /api/invitations/${open.id}`, { token }),
        'send one again': call(`POST /api/invitations/${open.id}/resend`, { token }),
        'revoke one': call(`DELETE /api/invitations/${open.id}`, { token }),
        'remove a colleague': call(`DELETE /api/users/${other.id}`, { token }),
        'remove the owner': call(`DELETE /api/users/${ana.id}`, { token }),
      }
      for (const [what, answer] of Object.entries(refused)) {
        t.equal(outcome(await answer), '403 permission_denied', `${role}: ${what}`)
      }
      t.match((await call(`GET /api/users/${id}`, { token })).body, { role })
      t.equal(await remove(id, token), '204', `${role} leaves`)
    }
    t.match((await call(`GET /api/users/${ana.id}`, { token: ana.token })).body, { role: 'owner' })
    t.match((await call(`GET /api/invitations/${open.id}`, { token: ana.token })).body, { status: 'pending' })
  })

  await t.test('of another organization do not exist', async t => {
    const stranger = await register(server, 'Stan')
    const shared = await join(server, ana, 'viewer')
    await call('POST /api/users', {
      token: stranger.token,
      body: { email: shared.email, display_name: 'X', role: 'admin' },
    })
    const unknown = '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111'
    for (const id of [ana.id, unknown]) {
      t.equal(outcome(await call(`GET /api/users/${id}`, { token: stranger.token })), '404 not_found')
      t.equal(outcome(await setRole(id, 'viewer', {}, stranger.token)), '404 not_found')
      t.equal(await remove(id, stranger.token), '404 not_found')
    }
    t.equal(await remove(shared.id, stranger.token), '204')
    t.match(
      (await call(`GET /api/users/${shared.id}`, { token: ana.token })).body,
      { role: 'viewer' },
      'each has its own',
    )
  })
})
