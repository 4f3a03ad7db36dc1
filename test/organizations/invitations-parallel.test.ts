import { t } from '../support/tap.ts'
import { password, register, startServer } from '../support/helper.ts'
import { accept, invite, linkOf, newAddress } from '../support/invite.ts'
import { queue } from '../support/queue.ts'
import { outcome } from '../support/tokens.ts'

t.test('simultaneous invitations', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call } = server
  const ana = await register(server, 'Ana')

  await t.test('ten acceptances create one membership', async t => {
    const ben = await register(server, 'Ben')
    await invite(server, ana, ben.email)
    const link = await linkOf(server, ben.email)
    const all = await Promise.all(Array.from({ length: 10 }, () => accept(server, ben, link)))
    t.strictSame(all.map(outcome).sort(), ['200', ...Array<string>(9).fill('400 invalid_token')])
  })

  await t.test('ten registrations with one invitation create one account', async t => {
    const email = newAddress()
    await invite(server, ana, email)
    const body = { email, password, display_name: 'Cleo', invitation_token: await linkOf(server, email) }
    const all = await Promise.all(Array.from({ length: 10 }, () => call('POST /api/auth/register', { body })))
    t.strictSame(all.map(outcome).sort(), ['201', ...Array<string>(9).fill('409 email_taken')])
  })

  await t.test('of an acceptance and whatever ends the invitation, only the first succeeds', async t => {
    for (const [method, path, done] of [
      ['DELETE', '', '204'],
      ['POST', '/resend', '200'],
    ] as const) {
      const scene = async (inTurn: ('end' | 'use')[]) => {
        const ben = await register(server, 'Ben')
        const { body } = await invite(server, ana, ben.email)
        const link = await linkOf(server, ben.email)
        const sends = {
          end: () => call(`${method} /api/invitations/${body.id}${path}`, { token: ana.token }).then(outcome),
          use: () => accept(server, ben, link).then(outcome),
        }
        return queue(
          server.db,
          sql => sql`select from app.invitations where id = ${body.id} for update`,
          ...inTurn.map(name => sends[name]),
        )
      }
      t.strictSame(await scene(['end', 'use']), [done, '400 invalid_token'], method)
      t.strictSame(await scene(['use', 'end']), ['200', '404 not_found'], method)
    }
  })
})
