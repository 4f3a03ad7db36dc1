// Where a show has ticket tiers, they are its tickets.
import { t } from '../support/tap.ts'
import { aShow, join, register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

t.test('the tickets of a show with tiers', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { make } = settling(server, token)
  const tickets = async (show: string) => {
    const { body } = await call(`GET /api/shows/${show}`, { token })
    return [body['tickets_sold'], body['capacity']]
  }
  const tier = (show: string, sold: number, allotment: number) =>
    make(`shows/${show}/ticket-tiers`, { name: 'Standing', price_minor: 3000, allotment, sold })

  await t.test('are those of the tiers, through every change of them', async t => {
    const show = await make('shows', { ...aShow, capacity: 600, tickets_sold: 17 })
    t.same(await tickets(show), [17, 600])
    const one = await tier(show, 400, 450)
    t.same(await tickets(show), [400, 450])
    const two = await tier(show, 100, 150)
    t.same(await tickets(show), [500, 600])
    const change = (id: string, body: object) => call(`PATCH /api/ticket-tiers/${id}`, { token, body })
    await change(two, { sold: 110 })
    t.same(await tickets(show), [510, 600])
    await change(two, { name: 'Balcony', price_minor: 4000 })
    t.same(await tickets(show), [510, 600])
    await call(`DELETE /api/ticket-tiers/${one}`, { token })
    t.same(await tickets(show), [110, 150])
    await call(`POST /api/ticket-tiers/${one}/restore`, { token })
    t.same(await tickets(show), [510, 600])
    await call(`DELETE /api/shows/${show}`, { token })
    await call(`POST /api/shows/${show}/restore`, { token })
    t.same(await tickets(show), [510, 600])
    for (const id of [one, two]) await call(`DELETE /api/ticket-tiers/${id}`, { token })
    const free = await call(`PATCH /api/shows/${show}`, { token, body: { tickets_sold: 5, capacity: 50 } })
    t.match(free.body, { tickets_sold: 5, capacity: 50 }, 'without tiers they are entered again')
  })

  await t.test('cannot be entered beside the tiers, not even by who sees no money', async t => {
    const show = await make('shows', { ...aShow, capacity: 600 })
    await tier(show, 400, 450)
    const writer = await join(server, ana, 'manager')
    t.equal(
      (
        await call(`PUT /api/users/${writer.id}/permissions/finance.read`, {
          token,
          body: { effect: 'deny' },
        })
      ).status,
      200,
    )
    for (const who of [token, writer.token])
      for (const body of [{ tickets_sold: 1 }, { capacity: 500 }, { capacity: null }])
        t.equal(
          outcome(await call(`PATCH /api/shows/${show}`, { token: who, body })),
          '409 show_tickets_by_tier',
        )
    for (const body of [{ title: 'Other' }, { tickets_sold: 400, capacity: 450 }])
      t.equal((await call(`PATCH /api/shows/${show}`, { token: writer.token, body })).status, 200)
    const whole = { ...aShow, status: 'inquiry' }
    t.equal((await call(`PUT /api/shows/${show}`, { token: writer.token, body: whole })).status, 200)
    t.same(await tickets(show), [400, 450], 'whoever replaces the show need not name them')
    const put = await call(`PUT /api/shows/${show}`, { token, body: { ...whole, tickets_sold: 0 } })
    t.equal(outcome(put), '409 show_tickets_by_tier')
  })

  await t.test('count every tier when they are entered at the same moment', async t => {
    const show = await make('shows', aShow)
    await Promise.all(Array.from({ length: 8 }, (_, n) => tier(show, n + 1, 100)))
    t.same(await tickets(show), [36, 800])
  })

  await t.test('are the same in a list', async t => {
    const show = await make('shows', { ...aShow, title: 'Counted once', status: 'played' })
    await tier(show, 500, 600)
    const list = await call<{ items: object[] }>('GET /api/shows?q=Counted', { token })
    t.match(list.body.items, [{ tickets_sold: 500, capacity: 600 }])
  })
})
