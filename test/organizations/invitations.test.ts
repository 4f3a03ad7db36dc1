import { t } from '../support/tap.ts'
import { confirmed, join, password, register, signIn, startServer } from '../support/helper.ts'
import { accept, type Invitation, invite, linkOf, newAddress } from '../support/invite.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface List {
  items: Invitation[]
}

t.test('an invitation', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call } = server
  const ana = await register(server, 'Ana', 'Northlight')
  /** The status of an invitation, or 404. */
  const statusOf = async (id: string) => {
    const { status, body } = await call(`GET /api/invitations/${id}`, { token: ana.token })
    return status === 200 ? body['status'] : status
  }

  await t.test('is mailed, read and listed; its secret is only in the mail', async t => {
    const email = newAddress()
    const created = await invite(server, ana, email.toUpperCase(), 'viewer')
    t.equal(created.status, 201)
    t.match(created.body, { email, role: 'viewer', status: 'pending', invited_by: ana.id, accepted_at: null })
    const days = (Date.parse(created.body.expires_at) - Date.now()) / 86_400_000
    t.ok(days > 6.99 && days < 7.01)
    const path = String(created.headers['location'])
    const read = await call(`GET ${path}`, { token: ana.token })
    t.strictSame([read.body, read.headers['etag']], [created.body, created.headers['etag']])
    const listed = await call<List>('GET /api/invitations', { token: ana.token })
    t.strictSame(listed.body.items[0], created.body)
    const link = await linkOf(server, email)
    t.notMatch(created.text + read.text + listed.text, link)
    const [mail] = await server.db.admin`select data from app_private.mails where to_address = ${email}`
    t.match(mail?.['data'], { organization: 'Northlight', role: 'viewer', invited_by: 'Ana' })
  })

  await t.test('can be accepted by somebody with an account', async t => {
    const ben = await register(server, 'Ben')
    const { body: sent } = await invite(server, ana, ben.email)
    const joined = await accept(server, ben, await linkOf(server, ben.email))
    t.match(joined.body, { id: ana.organization, name: 'Northlight', role: 'manager' })
    t.equal(await statusOf(sent.id), 'accepted')
    const there = await signIn(server, ben.email, ana.organization)
    t.match(claimsOf(there.token), { org: ana.organization, role: 'manager' })
    t.equal(outcome(await call('GET /api/shows', { token: there.token })), '200')
    const me = await call('GET /api/me', { token: ben.token })
    t.type(me.body['email_verified_at'], 'string', 'the link verifies the address too')
    t.equal(outcome(await accept(server, ben, await linkOf(server, ben.email))), '400 invalid_token', 'once')
  })

  await t.test('can be accepted by registering with it', async t => {
    const email = newAddress()
    await invite(server, ana, email, 'admin')
    const form = { password, display_name: 'Cleo', invitation_token: await linkOf(server, email) }
    const other = { ...form, email: newAddress() }
    t.equal(
      outcome(await call('POST /api/auth/register', { body: other })),
      '403 invitation_for_another_address',
    )
    t.equal(
      outcome(await call('POST /api/auth/sign-in', { body: { email: other.email, password } })),
      '401 invalid_credentials',
      'and nobody is registered',
    )
    const body = { ...form, email: email.toUpperCase() }
    const registered = await call<{ access_token: string }>('POST /api/auth/register', { body })
    t.equal(registered.status, 201)
    t.match(registered.body, { organization_id: ana.organization, role: 'admin' })
    const token = registered.body.access_token
    t.type((await call('GET /api/me', { token })).body['email_verified_at'], 'string')
    const mine = await call<List>('GET /api/organizations', { token })
    t.equal(mine.body.items.length, 1, 'no organization of their own is created')
    t.equal(outcome(await call('POST /api/auth/register', { body })), '409 email_taken')
    const again = { ...form, email: newAddress() }
    t.equal(outcome(await call('POST /api/auth/register', { body: again })), '400 invalid_token')
  })

  await t.test('is for one address: nobody else can use the link', async t => {
    const [ben, thief] = [await register(server, 'Ben'), await register(server, 'Tom')]
    await invite(server, ana, ben.email)
    const link = await linkOf(server, ben.email)
    t.equal(outcome(await accept(server, thief, link)), '403 invitation_for_another_address')
    t.equal(outcome(await accept(server, ben, link)), '200', 'and the attempt did not spend it')
    t.equal(outcome(await accept(server, thief, 'a'.repeat(64))), '400 invalid_token')
  })

  await t.test('expires; it can be sent again or replaced by a new one', async t => {
    const ben = await register(server, 'Ben')
    const expire = () => server.db.admin`
      update app.invitations set expires_at = now() - interval '1 second' where email = ${ben.email}`
    const { body: first } = await invite(server, ana, ben.email)
    await expire()
    t.equal(outcome(await accept(server, ben, await linkOf(server, ben.email))), '400 invalid_token')
    t.equal(await statusOf(first.id), 'expired')
    const resent = await call<Invitation>(`POST /api/invitations/${first.id}/resend`, { token: ana.token })
    t.match(resent.body, { id: first.id, status: 'pending' })
    await expire()
    const renewed = await invite(server, ana, ben.email, 'viewer')
    t.equal(renewed.status, 201)
    t.equal(await statusOf(first.id), 404, 'the expired one is replaced')
    t.match((await accept(server, ben, await linkOf(server, ben.email))).body, { role: 'viewer' })
  })

  await t.test('can be revoked while it is open', async t => {
    const ben = await register(server, 'Ben')
    const { body, headers } = await invite(server, ana, ben.email)
    const revoke = (match?: string) =>
      call(`DELETE /api/invitations/${body.id}`, {
        token: ana.token,
        headers: match === undefined ? {} : { 'if-match': match },
      }).then(outcome)
    t.equal(await revoke('"99"'), '412 version_mismatch')
    t.equal(await revoke(String(headers['etag'])), '204')
    t.equal(outcome(await accept(server, ben, await linkOf(server, ben.email))), '400 invalid_token')
    t.equal(await revoke(), '404 not_found')
    t.equal(
      outcome(await call(`POST /api/invitations/${body.id}/resend`, { token: ana.token })),
      '404 not_found',
    )
    t.equal(await statusOf(body.id), 404)
    const listed = await call<List>('GET /api/invitations?limit=200', { token: ana.token })
    t.notOk(listed.body.items.some(({ id }) => id === body.id))
    t.equal(outcome(await invite(server, ana, ben.email)), '201', 'and they can be invited again')
  })

  await t.test(
    'that was sent again works only with the new link; an accepted one does not change',
    async t => {
      const ben = await register(server, 'Ben')
      const { body } = await invite(server, ana, ben.email)
      const first = await linkOf(server, ben.email)
      const resend = () => call<Invitation>(`POST /api/invitations/${body.id}/resend`, { token: ana.token })
      t.equal(outcome(await resend()), '200')
      const second = await linkOf(server, ben.email)
      t.not(second, first)
      t.equal(outcome(await accept(server, ben, first)), '400 invalid_token')
      t.equal(outcome(await accept(server, ben, second)), '200')
      t.equal(outcome(await resend()), '404 not_found')
      t.equal(
        outcome(await call(`DELETE /api/invitations/${body.id}`, { token: ana.token })),
        '404 not_found',
      )
      t.equal(await statusOf(body.id), 'accepted')
    },
  )

  await t.test('cannot be created for a member, nor twice', async t => {
    const member = await join(server, ana, 'viewer')
    t.equal(outcome(await invite(server, ana, member.email.toUpperCase(), 'owner')), '409 already_member')
    const email = newAddress()
    t.equal(outcome(await invite(server, ana, email)), '201')
    t.equal(outcome(await invite(server, ana, email.toUpperCase(), 'owner')), '409 invitation_pending')
    const parallel = newAddress()
    const all = await Promise.all(Array.from({ length: 10 }, () => invite(server, ana, parallel)))
    t.strictSame(all.map(outcome).sort(), ['201', ...Array<string>(9).fill('409 invitation_pending')])
    const other = await register(server, 'Otto')
    t.equal(
      outcome(await invite(server, other, email)),
      '201',
      'another organization may invite them as well',
    )
  })

  await t.test('lets a removed member back', async t => {
    const member = await join(server, ana, 'admin')
    await call(`DELETE /api/users/${member.id}`, { token: ana.token })
    t.equal(outcome(await invite(server, ana, member.email, 'viewer')), '201')
    t.match((await accept(server, member, await linkOf(server, member.email))).body, { role: 'viewer' })
    t.equal(outcome(await call('GET /api/shows', { token: member.token })), '200')
  })

  await t.test('ends when the person is added, so that it is no way back after a removal', async t => {
    const ben = await confirmed(server, await register(server, 'Ben'))
    const { body } = await invite(server, ana, ben.email, 'owner')
    const added = await call('POST /api/users', {
      token: ana.token,
      body: { email: ben.email, display_name: 'Ben', role: 'viewer' },
    })
    t.equal(added.status, 201)
    t.equal(await statusOf(body.id), 404)
    t.equal(outcome(await call(`DELETE /api/users/${ben.id}`, { token: ana.token })), '204')
    t.equal(outcome(await accept(server, ben, await linkOf(server, ben.email))), '400 invalid_token')
  })

  await t.test('to an organization that is deleted is worthless until it is restored', async t => {
    const [owner, ben] = [await register(server, 'Olga'), await register(server, 'Ben')]
    await invite(server, owner, ben.email)
    const link = await linkOf(server, ben.email)
    await call(`DELETE /api/organizations/${owner.organization}`, { token: owner.token })
    t.equal(outcome(await accept(server, ben, link)), '400 invalid_token')
    await call(`POST /api/organizations/${owner.organization}/restore`, { token: owner.token })
    t.equal(outcome(await accept(server, ben, link)), '200')
  })

  await t.test('of another organization does not exist', async t => {
    const stranger = await register(server, 'Stan')
    const { body } = await invite(server, ana, newAddress())
    for (const id of [body.id, '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111']) {
      for (const request of [
        `GET /api/invitations/${id}`,
        `DELETE /api/invitations/${id}`,
        `POST /api/invitations/${id}/resend`,
      ] as const) {
        t.equal(outcome(await call(request, { token: stranger.token })), '404 not_found', request)
      }
    }
    t.strictSame((await call<List>('GET /api/invitations', { token: stranger.token })).body.items, [])
    t.equal(await statusOf(body.id), 'pending')
  })
})
