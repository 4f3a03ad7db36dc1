// A show that is cancelled is settled, too: what the deal says for that is due, tickets are given back, and so are deposits.
import { t } from '../support/tap.ts'
import { join, register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

interface Settled {
  bookings: { kind: string; line: string; amount_minor: number; status: string }[]
}
const versus = {
  kind: 'versus',
  currency: 'EUR',
  guarantee_minor: 500_000,
  percentage: 85,
  base: 'net_after_promoter_profit',
  tax_percentage: 8,
  promoter_profit_percentage: 15,
}
const paid = { paid_on: '2027-01-10', amount_minor: 250_000 }

t.test('a cancelled show', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  await call(`PATCH /api/organizations/${ana.organization}`, { token, body: { currency: 'EUR' } })
  const { make, show500, draft, record, finalize, reopen, statusOf, linesOf } = settling(server, token)
  const booked = async (show: string) =>
    (await call<{ items: Settled[] }>(`GET /api/shows/${show}/settlements`, { token })).body.items
      .flatMap(({ bookings }) => bookings)
      .filter(({ status }) => status === 'actual')
      .map(({ kind, line, amount_minor }) => `${kind} ${line.split(' ')[0] ?? ''} ${amount_minor}`)
      .sort()
  const contradictions = async () =>
    (
      await db.as('callboard_worker')<
        { part: { failed: number } }[]
      >`select app.find_contradictions() as part`
    )[0]?.part.failed
  const dealOf = async (show: string) =>
    (await call<{ items: { id: string }[] }>(`GET /api/shows/${show}/deals`, { token })).body.items[0]?.id ??
    ''

  await t.test('of which the deal says nothing is not guessed at', async t => {
    const show = await show500(versus, 400_000, 'cancelled')
    const refused = '409 settlement_needs_cancellation'
    t.equal(outcome(await draft(show)), refused)
    t.equal(outcome(await record(show)), refused)
    t.equal(
      (await call(`GET /api/shows/${show}/offer`, { token })).status,
      200,
      'the offer is what was planned',
    )
    const body = { cancellation_minor: 0 }
    t.equal((await call(`PATCH /api/deals/${await dealOf(show)}`, { token, body })).status, 200)
    t.match((await draft(show)).body.result, { due_minor: 0, walk_out_minor: 0, books_minor: -400_000 })
    t.equal(
      (await call(`PATCH /api/deals/${await dealOf(show)}`, { token, body: { cancellation_minor: -1 } }))
        .status,
      400,
    )
  })

  await t.test('is settled with a part of the fee, and the rest of the deposit comes back', async t => {
    // Production has cost 4,000.00 all the same; nothing was sold, so ticketing has cost nothing. 2,000.00 are due, 10 % of
    // which are withheld, and 2,500.00 were paid: 2,000.00 - 200.00 - 2,500.00 = -700.00.
    const deal = { ...versus, cancellation_minor: 200_000, withholding_percentage: 10 }
    const show = await show500(deal, 400_000, 'cancelled')
    await make(`shows/${show}/deposits`, paid)
    await make(`shows/${show}/bonuses`, { kind: 'tickets', amount_minor: 100_000, threshold: 0 })
    const { body } = await draft(show)
    t.match(body.inputs, { is_cancelled: true })
    t.match(body.result, {
      tickets_sold: 0,
      gross_minor: 0,
      net_receipts_minor: 0,
      costs_minor: 400_000,
      promoter_profit_minor: 0,
      share_minor: 0,
      due_minor: 200_000,
      bonuses_minor: 0,
      withholding_minor: 20_000,
      walk_out_minor: -70_000,
      books_minor: -600_000,
      promoter_minor: -600_000,
    })
    t.strictSame(
      (await linesOf(show))
        .filter(({ section }) => section === 'split')
        .map(({ name, formula }) => [name, formula]),
      [['Due to the artist', 'agreed for a cancelled show']],
    )
    const first = (await record(show)).body
    const sheet = await call(`GET /api/settlements/${first.id}/sheet`, { token })
    t.match(sheet.body['settlement'], { is_cancelled: true })
    const page = await call(`GET /api/settlements/${first.id}/sheet`, {
      token,
      headers: { accept: 'text/html' },
    })
    t.match(page.text, '<strong>Cancelled</strong>')
    t.equal((await finalize(first.id)).status, 200)
    t.equal(await statusOf(show), 'cancelled')
    const all = [
      'expense cost 400000',
      'expense deposit 250000',
      'expense withholding 20000',
      'income repayment 70000',
    ]
    t.strictSame(await booked(show), all)
    t.equal(await contradictions(), 0)

    const frozen = '409 settlement_final'
    t.equal(outcome(await record(show, 'Again')), frozen)
    t.equal(outcome(await finalize(first.id)), frozen)
    const other = { name: 'Crew', kind: 'fixed', amount_minor: 1 }
    t.equal(outcome(await call(`POST /api/shows/${show}/costs`, { token, body: other })), frozen)
    const change = { cancellation_minor: 1 }
    t.equal(outcome(await call(`PATCH /api/deals/${await dealOf(show)}`, { token, body: change })), frozen)
    const moved = '409 show_status_transition'
    t.equal(outcome(await call(`PATCH /api/shows/${show}`, { token, body: { status: 'inquiry' } })), moved)
    const correct = { status: 'confirmed', reason: 'A mistake' }
    t.equal(outcome(await call(`POST /api/shows/${show}/status`, { token, body: correct })), moved)

    t.equal((await reopen(show, 'More was agreed')).status, 200)
    t.equal(await statusOf(show), 'cancelled')
    t.strictSame(await booked(show), [])
    await call(`PATCH /api/deals/${await dealOf(show)}`, { token, body: { cancellation_minor: 500_000 } })
    // The whole fee: 5,000.00 - 500.00 - 2,500.00.
    const second = (await record(show, 'The whole fee')).body
    t.equal(second.result['walk_out_minor'], 200_000)
    t.equal((await finalize(second.id)).status, 200)
    t.strictSame(
      await booked(show),
      [...all.slice(0, 2), 'expense balance 200000', 'expense withholding 50000'].sort(),
    )
    t.equal(await contradictions(), 0)
  })

  await t.test('is agreed about by an act without changing what was settled as played', async t => {
    const show = await show500(versus)
    const act = { kind: 'flat', currency: 'EUR', guarantee_minor: 50_000, act: 'Paper Lanterns' }
    const support = await make(`shows/${show}/deals`, act)
    t.equal((await finalize((await record(show)).body.id)).status, 200)
    const body = { cancellation_minor: 1 }
    t.equal((await call(`PATCH /api/deals/${support}`, { token, body })).status, 200)
  })

  await t.test('is another than what was recorded before it was', async t => {
    const show = await show500({ ...versus, cancellation_minor: 0 })
    const { id } = (await record(show)).body
    const body = { status: 'cancelled', reason: 'It never took place' }
    t.equal((await call(`POST /api/shows/${show}/status`, { token, body })).status, 200)
    t.equal(outcome(await finalize(id)), '409 settlement_outdated')
    t.equal((await finalize((await record(show)).body.id)).status, 200)
    t.equal(await statusOf(show), 'cancelled')
  })

  await t.test('with other acts says for each what is due', async t => {
    const show = await show500({ ...versus, cancellation_minor: 100_000 }, 400_000, 'cancelled')
    const act = { kind: 'flat', currency: 'EUR', guarantee_minor: 50_000, act: 'Paper Lanterns' }
    const support = await make(`shows/${show}/deals`, act)
    const refused = await draft(show)
    t.equal(outcome(refused), '409 settlement_needs_cancellation')
    t.match(refused.text, 'Paper Lanterns')
    await call(`PATCH /api/deals/${support}`, { token, body: { cancellation_minor: 25_000 } })
    const { result } = (await draft(show)).body
    t.match(result, {
      acts_minor: 25_000,
      costs_minor: 425_000,
      due_minor: 100_000,
      promoter_minor: -525_000,
    })
    for (const deal of [undefined, support]) {
      const { id } = (await record(show, null, deal)).body
      t.equal((await finalize(id)).status, 200)
    }
    t.strictSame(await booked(show), [
      'expense balance 100000',
      'expense balance 25000',
      'expense cost 400000',
    ])
    t.equal(await contradictions(), 0)
    const of = async (deal: string) =>
      (
        await call<{ items: { deal_id: string }[] }>(`GET /api/shows/${show}/settlements?deal_id=${deal}`, {
          token,
        })
      ).body.items
    t.strictSame(
      (await of(support)).map(({ deal_id }) => deal_id),
      [support],
      'the list of one deal',
    )
    t.equal((await of(show)).length, 0)
  })

  await t.test('of which tickets were entered in the books asks what becomes of them', async t => {
    const show = await show500({ ...versus, cancellation_minor: 0 }, 400_000, 'cancelled')
    const categories = await call<{ items: { id: string; name: string }[] }>(
      'GET /api/finance-categories?limit=100',
      { token },
    )
    const category_id = categories.body.items.find(({ name }) => name === 'Ticket sales')?.id
    await make('finance-records', {
      kind: 'income',
      category_id,
      show_id: show,
      booked_on: '2027-02-03',
      amount_minor: 1_500_000,
      currency: 'EUR',
      status: 'actual',
    })
    const { body } = await finalize((await record(show)).body.id)
    t.match(body, { status: 'final', not_booked_because: 'booked_by_hand' })
    const path = `/api/settlements/${body.id}/book`
    t.equal((await call(`POST ${path}?existing=void`, { token })).status, 200)
    t.strictSame(await booked(show), ['expense cost 400000'])
    const { items } = (
      await call<{ items: { status: string }[] }>(`GET /api/finance-records?show_id=${show}`, { token })
    ).body
    t.strictSame(items.map(({ status }) => status).sort(), ['actual', 'void'])
  })

  await t.test('is settled by who may settle one that was played, and by nobody else', async t => {
    const show = await show500({ ...versus, cancellation_minor: 0 }, 400_000, 'cancelled')
    const { id } = (await record(show)).body
    const vera = await join(server, ana, 'viewer')
    const { status } = await call(`POST /api/settlements/${id}/finalize`, { token: vera.token })
    t.equal(status, 403)
  })
})
