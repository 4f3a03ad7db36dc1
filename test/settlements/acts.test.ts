// A show with several acts: each has its deal and its settlement, and tickets and costs are counted once.
import { t } from '../support/tap.ts'
import { join, register, startServer } from '../support/helper.ts'
import { type Recorded, settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

interface Entry {
  kind: string
  category_name: string
  amount_minor: number
  status: string
  note: string
  settlement_line: string | null
}
interface Deal {
  id: string
  act: string | null
}

/** 5,000 or 85 % of net, whichever is more; and what others get. */
const headliner = {
  kind: 'versus',
  currency: 'EUR',
  guarantee_minor: 500_000,
  percentage: 85,
  base: 'net',
  tax_percentage: 8,
}
const support = { kind: 'flat', currency: 'EUR', guarantee_minor: 50_000, act: 'Paper Lanterns' }
const half = { kind: 'door', currency: 'EUR', percentage: 50, base: 'net', tax_percentage: 8 }

t.test('the acts of a show', async t => {
  const server = await startServer(t, { POOL_SIZE: '20' })
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  await call(`PATCH /api/organizations/${ana.organization}`, { token, body: { currency: 'EUR' } })
  const { make, show500, draft, record, finalize, reopen, statusOf, linesOf } = settling(server, token)

  const entries = async (show: string) =>
    (
      await call<{ items: Entry[] }>(`GET /api/finance-records?show_id=${show}&limit=100`, { token })
    ).body.items.filter(({ status }) => status === 'actual')
  const profit = async (show: string) =>
    (await entries(show)).reduce(
      (sum, e) => sum + (e.kind === 'income' ? e.amount_minor : -e.amount_minor),
      0,
    )
  const mainOf = async (show: string) =>
    (await call<{ items: Deal[] }>(`GET /api/shows/${show}/deals`, { token })).body.items.find(
      ({ act }) => act === null,
    )?.id ?? ''
  /** Records and finalizes the settlement of a deal, and returns it. */
  const settle = async (show: string, deal?: string, reason: string | null = null) => {
    const recorded = await record(show, reason, deal)
    if (recorded.status !== 201) throw new Error(recorded.text)
    const answer = await finalize(recorded.body.id)
    if (answer.status !== 200) throw new Error(answer.text)
    return answer.body
  }
  const contradictions = async () => {
    const [{ part }] = await db.as('callboard_worker')<
      [{ part: { contradictions: unknown[] } }]
    >`select app.find_contradictions() as part`
    return part.contradictions
  }
  const patch = (path: string, body: object) => call(`PATCH /api/${path}`, { token, body })

  // 15,000 gross, 1,000 fees, 1,037.04 tax: 12,962.96 net receipts. Costs of 4,000 + 500 x 0.80 and 500 for the support:
  // 4,900; net 8,062.96, of which 85 % are 6,853.516: due. Left: 12,962.96 - 4,900 - 6,853.52 = 1,209.44.
  await t.test('are paid by their own deals, and the support is a cost of the headliner', async t => {
    const show = await show500(headliner)
    const deal = await make(`shows/${show}/deals`, support)
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 20_000, deal_id: deal })
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-11', amount_minor: 300_000 })

    const main = (await draft(show)).body
    t.match(main, {
      deal_id: await mainOf(show),
      act: null,
      result: {
        net_receipts_minor: 1_296_296,
        acts_minor: 50_000,
        costs_minor: 490_000,
        share_base_minor: 806_296,
        due_minor: 685_352,
        deposits_minor: 300_000,
        promoter_minor: 120_944,
        books_minor: 170_944,
      },
    })
    const ofActs = (await linesOf(show)).filter(({ key }) => key.startsWith('act '))
    t.match(ofActs, [
      {
        key: `act ${deal}`,
        section: 'costs',
        name: 'Paper Lanterns',
        formula: 'guarantee of 500.00',
        amount_minor: 50_000,
      },
    ])
    t.match((await draft(show, deal)).body, {
      deal_id: deal,
      act: 'Paper Lanterns',
      inputs: { acts: [], enters_show: false, deposits: [{ amount_minor: 20_000 }] },
      result: { due_minor: 50_000, deposits_minor: 20_000, walk_out_minor: 30_000, books_minor: -50_000 },
    })

    const first = await settle(show)
    t.match(first, { number: 1, act: null })
    t.equal(await statusOf(show), 'played', 'until the last is settled')
    t.equal(await profit(show), 170_944)
    const second = await settle(show, deal)
    t.match(second, { number: 1, act: 'Paper Lanterns', deal_id: deal })
    t.equal(await statusOf(show), 'settled')
    t.equal(await profit(show), 120_944)
    const all = await entries(show)
    t.same(
      all
        .filter(e => e.note.includes('Paper Lanterns'))
        .map(e => [e.category_name, e.amount_minor, e.note])
        .sort(),
      [
        ['Artist fees', 20_000, 'Deposit (Paper Lanterns)'],
        ['Artist fees', 30_000, 'Balance of the settlement (Paper Lanterns)'],
      ],
    )
    t.equal(all.filter(({ kind }) => kind === 'income').length, 1, 'tickets are sold once')
    t.strictSame(await contradictions(), [])

    const sheet = (await call(`GET /api/settlements/${second.id}/sheet`, { token })).body
    t.match(sheet, { settlement: { act: 'Paper Lanterns' }, show: { artist: 'The Gaslights' } })
    const page = await call(`GET /api/settlements/${second.id}/sheet`, {
      token,
      headers: { accept: 'text/html' },
    })
    t.match(page.text, /<h1>Paper Lanterns<\/h1>\s*<p>With The Gaslights<\/p>/)
  })

  // Net 12,962.96 - 4,400 = 8,562.96: half of it is 4,281.48 for each, and nothing is left.
  await t.test('share equally as co-headliners, none a cost of the other', async t => {
    const show = await show500(half)
    const other = await make(`shows/${show}/deals`, {
      ...half,
      act: 'Paper Lanterns',
      is_cost_of_main: false,
    })
    t.match((await draft(show)).body, { inputs: { acts: [] }, result: { due_minor: 428_148, acts_minor: 0 } })
    t.match((await draft(show, other)).body, { result: { due_minor: 428_148 } })
    await settle(show, other)
    await settle(show)
    t.equal(await profit(show), 0)
    t.equal(await statusOf(show), 'settled')
    t.strictSame(await contradictions(), [])
  })

  await t.test('are a cost by the same arithmetic, also where they share', async t => {
    // 10 % of net receipts of 12,962.96 are 1,296.296; and 0.50 for each of 500 - 400 tickets.
    const show = await show500(headliner)
    const sharing = { kind: 'door', currency: 'EUR', percentage: 10, base: 'net_receipts', tax_percentage: 8 }
    const deal = await make(`shows/${show}/deals`, { ...sharing, act: 'Paper Lanterns' })
    const bonus = { kind: 'per_ticket', threshold: 400, amount_minor: 50, deal_id: deal }
    await make(`shows/${show}/bonuses`, bonus)
    await make(`shows/${show}/adjustments`, {
      name: 'Dinner',
      kind: 'buyout',
      amount_minor: 700,
      stage: 'after_split',
      deal_id: deal,
    })
    const own = (await draft(show, deal)).body.result
    t.match(own, { due_minor: 129_630, bonuses_minor: 5000, adjustments_minor: 700, books_minor: -135_330 })
    t.match((await draft(show)).body.result, { acts_minor: 134_630, bonuses_minor: 0, adjustments_minor: 0 })
    const [line] = (await linesOf(show)).filter(({ key }) => key.startsWith('act '))
    t.equal(line?.formula, '10 % of 12,962.96 + bonuses of 50.00')
    const third = await make(`shows/${show}/deals`, {
      ...headliner,
      act: 'Third',
      kind: 'plus',
      base: 'gross',
      percentage: 1,
    })
    t.match((await draft(show, deal)).body.result, own, 'no other act sees it')
    t.match((await draft(show)).body.result, { acts_minor: 134_630 + 515_000 })
    await patch(`deals/${third}`, { is_cost_of_main: false })
    t.match((await draft(show)).body.result, { acts_minor: 134_630 })
  })

  await t.test('have one deal each, in one currency', async t => {
    const show = await show500(headliner)
    const enter = (body: object) => call<Deal>(`POST /api/shows/${show}/deals`, { token, body })
    t.equal(outcome(await enter(headliner)), '409 deals_one_per_show')
    const first = await enter(support)
    t.match(first, { status: 201, body: { act: 'Paper Lanterns', is_cost_of_main: true } })
    t.equal(outcome(await enter({ ...support, act: 'PAPER lanterns' })), '409 deals_one_per_act')
    t.equal(outcome(await enter({ ...support, act: 'Other', currency: 'USD' })), '409 deals_same_currency')
    t.equal(outcome(await patch(`deals/${first.body.id}`, { currency: 'USD' })), '409 deals_same_currency')
    t.equal(outcome(await patch(`deals/${first.body.id}`, { act: null })), '409 deals_one_per_act')
    t.equal(outcome(await enter({ ...support, act: ' ' })).slice(0, 3), '400')
    const other = await enter({ ...support, act: 'Other' })
    t.equal(other.status, 201)

    await t.test('also after one is restored', async t => {
      const gone = await show500(headliner)
      const deal = await make(`shows/${gone}/deals`, support)
      await call(`DELETE /api/deals/${deal}`, { token })
      await make(`shows/${gone}/deals`, { ...support, act: 'paper lanterns' })
      t.equal(outcome(await call(`POST /api/deals/${deal}/restore`, { token })), '409 deals_one_per_act')
      const bare = await make('shows', { title: 'X', artist: 'Y', show_on: '2027-02-03' })
      const euros = await make(`shows/${bare}/deals`, support)
      await call(`DELETE /api/deals/${euros}`, { token })
      await make(`shows/${bare}/deals`, { ...headliner, currency: 'USD' })
      t.equal(outcome(await call(`POST /api/deals/${euros}/restore`, { token })), '409 deals_same_currency')
    })

    await t.test('when they are entered at the same moment', async t => {
      const bare = await make('shows', { title: 'X', artist: 'Y', show_on: '2027-02-03' })
      const bodies = ['USD', 'EUR', 'GBP'].map((currency, n) => ({ ...support, act: `Act ${n}`, currency }))
      const answers = await Promise.all(
        bodies.map(body => call(`POST /api/shows/${bare}/deals`, { token, body })),
      )
      t.strictSame(answers.map(outcome).sort(), ['201', '409 deals_same_currency', '409 deals_same_currency'])
    })
  })

  await t.test('guarantee the fee of the show together', async t => {
    const fee = async (show: string) => (await call(`GET /api/shows/${show}`, { token })).body['fee_minor']
    const show = await show500(headliner)
    const deal = await make(`shows/${show}/deals`, support)
    t.equal(await fee(show), 550_000)
    await patch(`deals/${deal}`, { guarantee_minor: 60_000 })
    t.equal(await fee(show), 560_000)
    t.equal(outcome(await patch(`shows/${show}`, { fee_minor: 1 })), '409 show_fee_by_deal')
    await patch(`deals/${deal}`, { kind: 'door', guarantee_minor: null, percentage: 1, base: 'gross' })
    t.equal(await fee(show), 500_000)
    await patch(`deals/${await mainOf(show)}`, { kind: 'door', guarantee_minor: null })
    t.equal(await fee(show), null, 'none if none guarantees anything')
    await patch(`deals/${deal}`, { kind: 'flat', guarantee_minor: 7, percentage: null, base: null })
    t.equal(await fee(show), 7)
    await call(`DELETE /api/deals/${deal}`, { token })
    t.equal(await fee(show), null)
    await call(`POST /api/deals/${deal}/restore`, { token })
    t.equal(await fee(show), 7)
    const most = { ...support, guarantee_minor: Number.MAX_SAFE_INTEGER, act: 'The most expensive' }
    t.equal(
      outcome(await call(`POST /api/shows/${show}/deals`, { token, body: most })),
      '422 shows_fee_range',
      'which is no more than any amount',
    )
  })

  await t.test('are named by what belongs to them, as long as they play that show', async t => {
    const show = await show500(headliner)
    const deal = await make(`shows/${show}/deals`, support)
    const elsewhere = await make(`shows/${await show500(headliner)}/deals`, support)
    const bert = await register(server, 'Bert')
    const strange = await settling(server, bert.token).show500(headliner)
    const [foreign] = (
      await call<{ items: Deal[] }>(`GET /api/shows/${strange}/deals`, { token: bert.token })
    ).body.items
    const gone = await make(`shows/${show}/deals`, { ...support, act: 'Gone' })
    await call(`DELETE /api/deals/${gone}`, { token })
    const bodies = {
      deposits: { paid_on: '2027-01-10', amount_minor: 1 },
      bonuses: { kind: 'sell_out', amount_minor: 1 },
      adjustments: { name: 'X', kind: 'credit', amount_minor: 1, stage: 'after_split' },
    }
    for (const [path, body] of Object.entries(bodies)) {
      const enter = (deal_id: string | null) =>
        call<{ id: string; deal_id: string | null }>(`POST /api/shows/${show}/${path}`, {
          token,
          body: { ...body, deal_id },
        })
      for (const wrong of [elsewhere, foreign?.id ?? '', show]) {
        t.equal(outcome(await enter(wrong)), '409 deal_of_other_show', path)
      }
      t.equal(outcome(await enter(gone)), '409 parent_deleted', path)
      const entered = (await enter(deal)).body
      t.equal(entered.deal_id, deal)
      t.equal(outcome(await patch(`${path}/${entered.id}`, { deal_id: elsewhere })), '409 deal_of_other_show')
      t.match((await patch(`${path}/${entered.id}`, { deal_id: null })).body, { deal_id: null })
    }
    for (const wrong of [elsewhere, foreign?.id ?? '', show, gone]) {
      t.equal(outcome(await draft(show, wrong)), '404 not_found')
      t.equal(outcome(await record(show, null, wrong)), '404 not_found')
      t.equal(
        outcome(await call(`GET /api/shows/${show}/offer?deal_id=${wrong}`, { token })),
        '404 not_found',
      )
      t.equal(outcome(await reopen(show, 'X', wrong)), '409 show_not_settled')
    }
    const main = await mainOf(show)
    t.equal((await draft(show, main)).body.deal_id, main, 'the main deal can be named, too')
    const { id } = (await record(show, null, main)).body
    t.match((await record(show)).body, { number: 2 }, 'as the same')
    t.not(id, '')
  })

  await t.test('keep what names no deal, whichever deal becomes or ceases to be the main one', async t => {
    const parts = async (show: string) => {
      await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 40_000 })
      await make(`shows/${show}/bonuses`, { kind: 'tickets', amount_minor: 5000, threshold: 0 })
    }
    const counted = { deposits_minor: 40_000, bonuses_minor: 5000 }
    const none = { deposits_minor: 0, bonuses_minor: 0 }
    const show = await show500(headliner)
    await parts(show)
    const main = await mainOf(show)
    t.match((await draft(show)).body.result, counted)
    await patch(`deals/${main}`, { act: 'The Gaslights' })
    t.match((await draft(show)).body.result, counted, 'alone, by its name')
    const other = await make(`shows/${show}/deals`, support)
    t.match((await draft(show, main)).body.result, counted, 'beside another')
    await patch(`deals/${main}`, { act: null })
    t.match((await draft(show, main)).body.result, counted, 'as the main deal again')
    await patch(`deals/${main}`, { act: 'The Gaslights' })
    await patch(`deals/${other}`, { act: null })
    t.match((await draft(show, main)).body.result, counted, 'and not with the next main deal')
    t.match((await draft(show, other)).body.result, none)

    const only = await show500({ ...headliner, act: 'The Gaslights' })
    await parts(only)
    t.match((await draft(only)).body.result, counted, 'of the only deal, though it is no main deal')

    const two = await show500(headliner)
    await parts(two)
    const rest = await make(`shows/${two}/deals`, support)
    const deal = await mainOf(two)
    t.equal((await call(`DELETE /api/deals/${deal}`, { token })).status, 204)
    t.match((await draft(two, rest)).body.result, none, 'deleted with their deal')
    t.equal((await call(`POST /api/deals/${deal}/restore`, { token })).status, 200)
    t.match((await draft(two, deal)).body.result, counted)
    await record(two, null, deal)
    t.equal(outcome(await patch(`deals/${deal}`, { act: 'The Gaslights' })), '409 deals_act_settled')
    t.strictSame(await contradictions(), [])
  })

  await t.test('take money to be deleted, because the fee of the show is another without them', async t => {
    const show = await show500(headliner)
    const deal = await make(`shows/${show}/deals`, support)
    const dov = await join(server, ana, 'admin')
    await call(`PUT /api/users/${dov.id}/permissions/finance.write`, { token, body: { effect: 'deny' } })
    t.equal(outcome(await call(`DELETE /api/deals/${deal}`, { token: dov.token })), '403 permission_denied')
    t.equal((await call(`DELETE /api/shows/${show}`, { token: dov.token })).status, 204, 'with its show')
    t.strictSame(await contradictions(), [])
  })

  await t.test('are deleted with what belongs to them, and restored', async t => {
    const show = await show500(headliner)
    const before = (await draft(show)).body
    const deal = await make(`shows/${show}/deals`, support)
    const deposit = await make(`shows/${show}/deposits`, {
      paid_on: '2027-01-10',
      amount_minor: 5,
      deal_id: deal,
    })
    const { id } = (await record(show, null, deal)).body
    t.equal((await draft(show)).body.result['acts_minor'], 50_000)
    t.equal((await call(`DELETE /api/deals/${deal}`, { token })).status, 204)
    t.strictSame((await draft(show)).body, before)
    for (const path of [`deposits/${deposit}`, `settlements/${id}`])
      t.equal(outcome(await call(`GET /api/${path}`, { token })), '404 not_found', path)
    t.equal(outcome(await finalize(id)), '404 not_found')
    t.equal((await call(`POST /api/deals/${deal}/restore`, { token })).status, 200)
    t.match((await draft(show, deal)).body.result, { deposits_minor: 5, due_minor: 50_000 })
    t.equal((await finalize(id)).status, 200)
    t.equal(outcome(await call(`DELETE /api/deals/${deal}`, { token })), '409 settlement_final')
    t.equal((await call(`GET /api/settlements/${id}`, { token })).status, 200)
    await reopen(show, 'Again', deal)
    t.equal((await call(`DELETE /api/deals/${deal}`, { token })).status, 204)
    t.equal(await profit(show), 0)
    t.strictSame(await contradictions(), [])
  })

  await t.test(
    'do not wait for each other: what none that is settled was computed from may change',
    async t => {
      const show = await show500(half)
      const deal = await make(`shows/${show}/deals`, support)
      const co = await make(`shows/${show}/deals`, { ...support, act: 'Co', is_cost_of_main: false })
      const { items } = (await call<{ items: Deal[] }>(`GET /api/shows/${show}/ticket-tiers`, { token })).body
      const tier = items[0]?.id ?? ''
      const enter = (path: string, body: object) =>
        call<Deal>(`POST /api/shows/${show}/${path}`, { token, body })
      const deposit = (deal_id: string | null) =>
        enter('deposits', { paid_on: '2027-01-10', amount_minor: 1, deal_id })
      const cost = { name: 'Taxi', kind: 'fixed', amount_minor: 2500 }

      await settle(show, deal)
      const frozen = '409 settlement_final'
      t.equal(outcome(await patch(`ticket-tiers/${tier}`, { sold: 501 })), frozen, 'tickets are everybody’s')
      t.equal(outcome(await enter('costs', cost)), frozen, 'costs, too')
      t.equal(outcome(await deposit(deal)), frozen)
      t.equal(outcome(await patch(`deals/${deal}`, { act: 'Other' })), frozen)
      t.equal(outcome(await record(show, 'Again', deal)), frozen)
      const own = await deposit(null)
      t.equal(own.status, 201, 'the main deal is not settled')
      t.equal(outcome(await patch(`deposits/${own.body.id}`, { deal_id: deal })), frozen)
      t.equal((await call(`DELETE /api/deposits/${own.body.id}`, { token })).status, 204)
      t.equal((await patch(`deals/${await mainOf(show)}`, { percentage: 51 })).status, 200)
      t.equal((await patch(`deals/${await mainOf(show)}`, { percentage: 50 })).status, 200)
      t.equal(outcome(await patch(`shows/${show}`, { status: 'settled' })), '409 settlement_not_final')
      const correction = { status: 'confirmed', reason: 'By mistake' }
      t.equal(
        outcome(await call(`POST /api/shows/${show}/status`, { token, body: correction })),
        '409 show_status_transition',
      )
      const late = await enter('deals', { ...support, act: 'Late', is_cost_of_main: false })
      t.equal(late.status, 201, 'another act may come')

      await settle(show)
      t.equal(outcome(await call(`POST /api/deposits/${own.body.id}/restore`, { token })), frozen)
      t.equal(
        outcome(await enter('deals', { ...support, act: 'Later' })),
        frozen,
        'not if it is a cost of it',
      )
      t.equal(
        (await patch(`deals/${co}`, { guarantee_minor: 1 })).status,
        200,
        'none that is settled counts it',
      )
      t.equal(outcome(await patch(`deals/${co}`, { is_cost_of_main: true })), frozen)
      t.equal((await enter('bonuses', { kind: 'sell_out', amount_minor: 1, deal_id: co })).status, 201)
      t.equal(await statusOf(show), 'played')
      t.equal((await call(`DELETE /api/deals/${late.body.id}`, { token })).status, 204)
      t.equal(await statusOf(show), 'played')
      await settle(show, co)
      t.equal(await statusOf(show), 'settled')
      t.equal(outcome(await call(`POST /api/deals/${late.body.id}/restore`, { token })), frozen)
      t.strictSame(await contradictions(), [])

      t.equal((await reopen(show, 'Again', deal)).status, 200)
      t.equal(await statusOf(show), 'played')
      t.equal(outcome(await deposit(deal)), '201')
      t.equal(
        outcome(await patch(`deals/${deal}`, { guarantee_minor: 1 })),
        frozen,
        'it is on the main sheet',
      )
      t.equal(outcome(await enter('costs', cost)), frozen)
      t.strictSame(await contradictions(), [])
    },
  )

  await t.test('are all settled once the only one that was not has been deleted', async t => {
    const show = await show500(half)
    const co = await make(`shows/${show}/deals`, { ...support, is_cost_of_main: false })
    await settle(show)
    t.equal((await call(`DELETE /api/deals/${co}`, { token })).status, 204)
    t.equal(await statusOf(show), 'settled')
    t.strictSame(await contradictions(), [])
  })

  await t.test('without a main deal have the first one enter tickets and costs', async t => {
    const show = await show500({ ...half, act: 'One' })
    const one =
      (await call<{ items: Deal[] }>(`GET /api/shows/${show}/deals`, { token })).body.items[0]?.id ?? ''
    t.equal((await draft(show)).body.deal_id, one, 'the only one need not be named')
    const two = await make(`shows/${show}/deals`, { ...half, act: 'Two' })
    for (const answer of [await draft(show), await record(show)])
      t.equal(outcome(answer), '409 settlement_of_which_deal')
    t.match((await draft(show, two)).body, { inputs: { enters_show: false, acts: [] } })
    await settle(show, two)
    t.equal(await profit(show), -428_148)
    t.equal(
      outcome(await call(`POST /api/shows/${show}/deals`, { token, body: headliner })),
      '201',
      'a main deal may still come, for it is not the second that enters',
    )
    await call(`DELETE /api/deals/${await mainOf(show)}`, { token })
    await settle(show, one)
    t.equal(await profit(show), 0)
    t.equal(outcome(await reopen(show, 'X')), '409 settlement_of_which_deal')
    t.equal((await reopen(show, 'X', two)).status, 200)
    t.equal(
      outcome(await call(`POST /api/shows/${show}/deals`, { token, body: headliner })),
      '409 settlement_final',
      'now it would enter what the first has entered',
    )
    t.equal((await reopen(show, 'X')).status, 200, 'the only one in force')
    t.equal(await profit(show), 0)
    t.strictSame(await contradictions(), [])
  })

  await t.test(
    'that are finalized at the same moment are all in the books once, and settle the show',
    async t => {
      const show = await show500(headliner)
      const deal = await make(`shows/${show}/deals`, support)
      const drafts: Recorded[] = []
      for (const of of [undefined, deal]) {
        drafts.push((await record(show, null, of)).body)
        drafts.push((await record(show, null, of)).body)
      }
      const answers = await Promise.all(drafts.map(({ id }) => finalize(id)))
      t.strictSame(answers.map(({ status }) => status).sort(), [200, 200, 409, 409])
      t.equal(await statusOf(show), 'settled')
      t.equal(await profit(show), 120_944)
      t.strictSame(await contradictions(), [])
    },
  )

  await t.test('are found to contradict each other after rows were changed without Callboard', async t => {
    const show = await show500(headliner)
    const deal = await make(`shows/${show}/deals`, support)
    await settle(show)
    await settle(show, deal)
    const seen = new Error('seen') as Error & { found: string[][] }
    const after = (statement: string) =>
      db.admin
        .begin(async sql => {
          await sql`set local session_replication_role = replica`
          await sql.unsafe(statement)
          const [{ part }] = await sql<
            [{ part: { contradictions: { what: string; said: string; otherwise: string }[] } }]
          >`select app.find_contradictions() as part`
          seen.found = part.contradictions.map(({ what, said, otherwise }) => [what, said, otherwise])
          throw seen
        })
        .catch((error: unknown) => {
          if (error !== seen) throw error
          return seen.found
        })
    const ofAct = `show_id = '${show}' and deal_id = '${deal}'`
    t.strictSame(await after(`update app.show_fees set fee_minor = 500000 where show_id = '${show}'`), [
      ['fee', '500000 EUR', '550000 EUR'],
    ])
    t.strictSame(await after(`update app.settlements set reopened_at = now() where ${ofAct}`), [
      ['status', 'settled', 'settlement in force: 1 of 2'],
      ['books', '-50000', '0'],
    ])
    t.strictSame(
      (
        await after(`update app.settlements set inputs = inputs || '{"enters_show": true}' where ${ofAct}`)
      ).slice(0, 1),
      [['entered', 'tickets and costs: 2', 'once']],
    )
    t.strictSame(
      (
        await after(`update app.settlements set inputs = jsonb_set(inputs, '{acts,0,guarantee_minor}', '40000')
          where show_id = '${show}' and deal_id is null`)
      ).slice(0, 1),
      [['act', 'Paper Lanterns 40000', 'Paper Lanterns 50000']],
    )
  })
})

t.test('an organization with shows of several acts is deleted and restored as it is', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { make, show500, record, finalize } = settling(server, token)
  for (const isSettled of [false, true]) {
    const show = await show500({ ...headliner, currency: 'USD' })
    const deal = await make(`shows/${show}/deals`, { ...support, currency: 'USD' })
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-01', amount_minor: 100 })
    if (isSettled) for (const of of [undefined, deal]) await finalize((await record(show, null, of)).body.id)
  }
  const all = () =>
    db.admin<{ kind: string; id: string; deal_id: string | null; is_deleted: boolean }[]>`
      select 'deal' as kind, id, null::uuid as deal_id, deleted_at is not null as is_deleted from app.deals where organization_id = ${ana.organization}
      union all select 'deposit', id, deal_id, deleted_at is not null from app.deposits where organization_id = ${ana.organization} order by 1, 2`
  const before = await all()
  t.equal((await call(`DELETE /api/organizations/${ana.organization}`, { token })).status, 204)
  t.ok((await all()).every(({ is_deleted }) => is_deleted))
  t.equal((await call(`POST /api/organizations/${ana.organization}/restore`, { token })).status, 200)
  t.strictSame(await all(), before, 'what names no deal still names none')
})
