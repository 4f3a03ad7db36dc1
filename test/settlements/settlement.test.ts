import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { aShow, join, register, startServer, until } from '../support/helper.ts'
import type { PageBody } from '../support/pages.ts'
import { type Amounts, type Recorded, settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

const versus = {
  kind: 'versus',
  currency: 'EUR',
  guarantee_minor: 500_000,
  percentage_bp: 8500,
  base: 'net_after_promoter_profit',
  tax_bp: 800,
  promoter_profit_bp: 1500,
}

t.test('the settlement of a show', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { make, show500, draft, record, finalize, reopen, statusOf } = settling(server, token)

  await t.test('is exact to the cent for 5,000 against 85 % of net', async t => {
    const show = await show500(versus)
    t.match((await draft(show)).body, {
      show_id: show,
      inputs: { currency: 'EUR', deal: { kind: 'versus' }, ticket_tiers: [{ sold: 500 }], deposits: [] },
      result: {
        tickets_sold: 500,
        gross_minor: 1_500_000,
        facility_fees_minor: 100_000,
        tax_minor: 103_704,
        net_receipts_minor: 1_296_296,
        fixed_costs_minor: 400_000,
        per_ticket_costs_minor: 40_000,
        guarantee_cost_minor: 0,
        costs_minor: 440_000,
        net_minor: 856_296,
        promoter_profit_minor: 66_000,
        split_point_minor: 506_000,
        share_base_minor: 790_296,
        share_minor: 671_752,
        guarantee_minor: 500_000,
        due_minor: 671_752,
        deposits_minor: 0,
        balance_minor: 671_752,
        promoter_minor: 184_544,
      },
    })
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 250_000 })
    t.match((await draft(show)).body, {
      result: { due_minor: 671_752, deposits_minor: 250_000, balance_minor: 421_752 },
    })
  })

  await t.test('is exact to the cent for 5,000, as a cost, plus 85 % of net', async t => {
    const expected = {
      guarantee_cost_minor: 500_000,
      costs_minor: 940_000,
      promoter_profit_minor: 141_000,
      split_point_minor: 1_081_000,
      share_base_minor: 215_296,
      share_minor: 183_002,
      due_minor: 683_002,
    }
    // A plus deal has its guarantee as a cost, unless it says otherwise.
    const show = await show500({ ...versus, kind: 'plus' })
    t.match((await draft(show)).body, { result: expected })
    // The same, with the guarantee entered among the costs by hand.
    const entered = await show500({ ...versus, kind: 'plus', guarantee_is_cost: false }, 900_000)
    t.match((await draft(entered)).body, { result: { ...expected, guarantee_cost_minor: 0 } })
    // Not a cost at all: the percentage starts earlier.
    const earlier = await show500({ ...versus, kind: 'plus', guarantee_is_cost: false })
    t.match((await draft(earlier)).body, { result: { costs_minor: 440_000, due_minor: 500_000 + 671_752 } })
  })

  const cases: [what: string, deal: Record<string, unknown>, result: Amounts][] = [
    [
      'flat',
      { kind: 'flat', guarantee_minor: 500_000, tax_bp: 800 },
      { due: 500_000, share: 0, promoter: 356_296 },
    ],
    [
      'a door deal of gross',
      { kind: 'door', percentage_bp: 1000, base: 'gross', tax_bp: 800 },
      { split_point: 0, due: 150_000 },
    ],
    [
      'a door deal of net',
      { kind: 'door', percentage_bp: 5000, base: 'net', tax_bp: 800 },
      { split_point: 440_000, due: 428_148 },
    ],
    [
      'no tax',
      { kind: 'door', percentage_bp: 5000, base: 'net' },
      { tax: 0, net_receipts: 1_400_000, due: 480_000 },
    ],
    [
      'a guarantee that is more than the percentage',
      { ...versus, guarantee_minor: 671_753 },
      { share: 671_752, due: 671_753 },
    ],
  ]
  for (const [what, deal, result] of cases)
    await t.test(`is computed for ${what}`, async t => {
      const { body } = await draft(await show500({ currency: 'EUR', ...deal }))
      t.match(
        body.result,
        Object.fromEntries(Object.entries(result).map(([line, value]) => [`${line}_minor`, value])),
      )
    })

  await t.test('without any tickets sold is what the deal gives without tickets', async t => {
    const show = await make('shows', { ...aShow, status: 'played' })
    await make(`shows/${show}/deals`, versus)
    t.match((await draft(show)).body.result, {
      gross_minor: 0,
      tax_minor: 0,
      due_minor: 500_000,
      promoter_minor: -500_000,
    })
    await make(`shows/${show}/ticket-tiers`, { name: 'Stalls', price_minor: 3000, allotment: 10, comps: 3 })
    await make(`shows/${show}/costs`, { name: 'PA', kind: 'fixed', amount_minor: 100_000 })
    await make(`shows/${show}/costs`, { name: 'Fee', kind: 'per_ticket', amount_minor: 80 })
    const { result } = (await draft(show)).body
    t.match(result, { tickets_sold: 0, tickets_comped: 3, per_ticket_costs_minor: 0, costs_minor: 100_000 })
    t.match(result, { net_minor: -100_000, share_base_minor: 0, share_minor: 0, due_minor: 500_000 })
  })

  await t.test('counts what exists, and not what was deleted', async t => {
    const show = await show500(versus)
    const parts = ['ticket-tiers', 'costs', 'deposits', 'bonuses', 'adjustments'] as const
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 250_000 })
    await make(`shows/${show}/bonuses`, { kind: 'tickets', amount_minor: 5000, threshold: 1 })
    await make(`shows/${show}/adjustments`, {
      name: 'Dinner',
      kind: 'buyout',
      amount_minor: 600,
      stage: 'after_split',
    })
    const before = (await draft(show)).body.result
    for (const path of parts) {
      const { items } = (await call<PageBody>(`GET /api/shows/${show}/${path}`, { token })).body
      for (const { id } of items) t.equal((await call(`DELETE /api/${path}/${id}`, { token })).status, 204)
      t.strictSame((await call<PageBody>(`GET /api/shows/${show}/${path}`, { token })).body.items, [])
      t.notSame((await draft(show)).body.result, before, path)
      for (const { id } of items)
        t.equal((await call(`POST /api/${path}/${id}/restore`, { token })).status, 200)
      t.strictSame((await draft(show)).body.result, before, `${path} are back`)
    }
  })

  await t.test('needs a deal', async t => {
    const show = await make('shows', { ...aShow, status: 'played' })
    t.equal(outcome(await draft(show)), '409 settlement_needs_deal')
    t.equal(outcome(await record(show)), '409 settlement_needs_deal')
  })

  await t.test('is refused, when an amount is too large for JSON', async t => {
    const show = await show500(versus)
    await make(`shows/${show}/ticket-tiers`, {
      name: 'Boxes',
      price_minor: Number.MAX_SAFE_INTEGER,
      allotment: 2,
      sold: 2,
    })
    t.equal(outcome(await draft(show)), '422 settlement_out_of_range')
    t.equal(outcome(await record(show)), '422 settlement_out_of_range')
  })

  await t.test('is recorded as is, in revisions that never change', async t => {
    const show = await show500(versus)
    const first = await record(show)
    t.equal(first.status, 201)
    t.equal(first.headers['location'], `/api/settlements/${first.body.id}`)
    const { inputs, result } = (await draft(show)).body
    t.match(first.body, { number: 1, status: 'draft', reason: null, inputs, result, created_by: ana.id })
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 250_000, note: 'Half' })
    const second = await record(show, 'The deposit was found.')
    t.match(second.body, { number: 2, reason: 'The deposit was found.', result: { balance_minor: 421_752 } })
    t.strictSame((await call(`GET /api/settlements/${first.body.id}`, { token })).body, first.body)
    const list = await call<{ items: Recorded[] }>(`GET /api/shows/${show}/settlements`, { token })
    t.strictSame(list.body.items, [first.body, second.body])
    const newest = await call<{ items: Recorded[] }>(`GET /api/shows/${show}/settlements?sort=-created_at`, {
      token,
    })
    t.strictSame(newest.body.items, [second.body, first.body])

    for (const change of [
      `number = 7`,
      `inputs = '{}'`,
      `result = result || '{"due_minor": 1}'`,
      `reason = 'Another one'`,
      `created_at = now()`,
    ])
      await t.rejects(
        db.admin.unsafe(`update app.settlements set ${change} where id = '${second.body.id}'`),
        { code: 'PT409', message: 'settlement_final' },
        `not even by a superuser: ${change}`,
      )
  })

  await t.test('accepts no figures from the caller', async t => {
    const show = await show500(versus)
    for (const body of [
      { reason: null, result: {} },
      { reason: null, inputs: {} },
      { reason: null, status: 'final' },
      {},
    ])
      t.equal(outcome(await call(`POST /api/shows/${show}/settlements`, { token, body })), '400 validation')
  })

  await t.test(
    'can be finalized for a show that was played, and for no other but a cancelled one',
    async t => {
      for (const status of ['inquiry', 'hold', 'offer', 'confirmed', 'postponed']) {
        const show = await show500(versus, 400_000, status)
        const { id } = (await record(show)).body
        const refused = await finalize(id)
        t.equal(outcome(refused), '409 settlement_show_not_played', status)
        t.match(refused.body, { detail: `The show is ${status}.` })
        t.equal(await statusOf(show), status)
      }
      const show = await show500(versus)
      const { id, ...draftOne } = (await record(show)).body
      const done = await finalize(id)
      t.match(done.body, {
        ...draftOne,
        // The organization keeps its books in another currency: see books.test.ts.
        not_booked_because: 'exchange_rate_needed',
        status: 'final',
        finalized_by: ana.id,
        updated_at: /./,
        finalized_at: /./,
      })
      t.equal(done.headers['etag'], '"2"')
      t.equal(await statusOf(show), 'settled')
      t.equal(outcome(await finalize(id)), '409 settlement_final')
      t.equal(outcome(await record(show, 'Once more')), '409 settlement_final')
      const { body } = await call<{ items: { action: string }[] }>(
        `GET /api/audit/events?resource_id=${id}`,
        {
          token,
        },
      )
      t.strictSame(
        body.items.map(({ action }) => action),
        ['settlement.finalize', 'settlement.create'],
      )
    },
  )

  await t.test('can be finalized only with current figures, and without an estimate', async t => {
    const show = await show500(versus)
    const cost = await make(`shows/${show}/costs`, {
      name: 'Catering',
      kind: 'fixed',
      amount_minor: 1,
      is_estimate: true,
    })
    const estimated = (await record(show)).body.id
    t.equal(outcome(await finalize(estimated)), '409 settlement_estimated')
    t.equal((await call(`PATCH /api/costs/${cost}`, { token, body: { is_estimate: false } })).status, 200)
    t.equal(outcome(await finalize(estimated)), '409 settlement_outdated')
    const right = (await record(show)).body.id
    await call(`PATCH /api/costs/${cost}`, { token, body: { amount_minor: 2 } })
    t.equal(outcome(await finalize(right)), '409 settlement_outdated')
    await call(`PATCH /api/costs/${cost}`, { token, body: { amount_minor: 1 } })
    t.equal(outcome(await finalize(right)), '200', 'restored figures count as unchanged')
  })

  await t.test('with a deal cannot be settled by setting the status', async t => {
    const show = await show500(versus)
    const settle = () => call(`PATCH /api/shows/${show}`, { token, body: { status: 'settled' } })
    t.equal(outcome(await settle()), '409 settlement_not_final')
    await record(show)
    t.equal(outcome(await settle()), '409 settlement_not_final')
    const { items } = (await call<PageBody>(`GET /api/shows/${show}/deals`, { token })).body
    await call(`DELETE /api/deals/${items[0]?.id ?? ''}`, { token })
    t.equal(outcome(await settle()), '200', 'but without one it is')
  })

  await t.test('locks everything that it was computed from, once it is final', async t => {
    const { show, writes } = await withWrites()
    const { id } = (await record(show)).body
    t.equal(outcome(await finalize(id)), '200')
    const before = (await draft(show)).body
    for (const { request, body } of writes)
      t.equal(outcome(await call(request, { token, ...(body && { body }) })), '409 settlement_final', request)
    t.strictSame((await draft(show)).body, before, 'and nothing has changed')

    t.equal(outcome(await reopen(show, 'Twelve more tickets')), '200')
    for (const { request, body, status } of writes)
      t.equal(
        (await call(request, { token, ...(body && { body }) })).status,
        status,
        `${request} after reopening`,
      )
  })

  /** A show, and every way to change its settlement's inputs. */
  async function withWrites() {
    const show = await show500(versus)
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 250_000 })
    await make(`shows/${show}/bonuses`, { kind: 'tickets', amount_minor: 5000, threshold: 1 })
    await make(`shows/${show}/adjustments`, {
      name: 'Dinner',
      kind: 'buyout',
      amount_minor: 600,
      stage: 'after_split',
    })
    const bodies: Record<string, [path: string, change: object, whole: object]> = {
      'ticket-tiers': ['ticket-tiers', { sold: 512 }, { name: 'X', price_minor: 1, allotment: 600 }],
      costs: ['costs', { amount_minor: 5 }, { name: 'X', kind: 'fixed', amount_minor: 1 }],
      deposits: ['deposits', { amount_minor: 5 }, { paid_on: '2027-01-11', amount_minor: 1 }],
      bonuses: ['bonuses', { amount_minor: 5 }, { kind: 'sell_out', amount_minor: 1 }],
      adjustments: [
        'adjustments',
        { stage: 'before_split' },
        { name: 'X', kind: 'deduction', amount_minor: 1, stage: 'after_split' },
      ],
      deals: ['deals', { percentage_bp: 9000 }, { kind: 'flat', currency: 'EUR', guarantee_minor: 1 }],
    }
    const writes: { request: `${string} ${string}`; body?: object; status: number }[] = []
    for (const [path, change, whole] of Object.values(bodies)) {
      // One that stays, and one that is already deleted, of which there may be two.
      const { items } = (await call<PageBody>(`GET /api/shows/${show}/${path}`, { token })).body
      const kept = items[0]?.id ?? ''
      if (path !== 'deals') {
        const gone = await make(`shows/${show}/${path}`, whole)
        await call(`DELETE /api/${path}/${gone}`, { token })
        writes.push({ request: `POST /api/${path}/${gone}/restore`, status: 200 })
        writes.push({ request: `POST /api/shows/${show}/${path}`, body: whole, status: 201 })
      }
      writes.push({ request: `PATCH /api/${path}/${kept}`, body: change, status: 200 })
      writes.push({ request: `PUT /api/${path}/${kept}`, body: whole, status: 200 })
      writes.push({ request: `DELETE /api/${path}/${kept}`, status: 204 })
    }
    return { show, writes }
  }

  await t.test('is reopened for a reason, which allows another revision', async t => {
    const show = await show500(versus)
    const first = (await record(show)).body
    await finalize(first.id)
    t.equal(
      outcome(await call(`POST /api/shows/${show}/settlement/reopen`, { token, body: { reason: ' ' } })),
      '400 validation',
    )
    // A tag, of which patterns know nothing.
    t.equal(outcome(await reopen(show, '\u{e0041}')), '422 settlements_reopen_reason_length')
    const reopened = await reopen(show, 'Twelve more tickets')
    t.match(reopened.body, { id: show, status: 'played' })
    const kept = (await call<Recorded>(`GET /api/settlements/${first.id}`, { token })).body
    t.match(kept, {
      ...first,
      not_booked_because: 'exchange_rate_needed',
      status: 'final',
      reopened_by: ana.id,
      reopen_reason: 'Twelve more tickets',
      updated_at: /./,
      finalized_at: /./,
      finalized_by: ana.id,
      reopened_at: /./,
    })
    t.equal(outcome(await reopen(show, 'Again')), '409 show_not_settled')
    t.equal(outcome(await finalize(first.id)), '409 settlement_final', 'it was final once')
    t.equal(
      outcome(await call(`PATCH /api/shows/${show}`, { token, body: { status: 'settled' } })),
      '409 settlement_not_final',
    )

    t.equal(outcome(await record(show)), '422 settlement_reason_needed')
    t.equal(outcome(await record(show, '  ')), '422 settlement_reason_needed')
    const second = (await record(show, 'Twelve more tickets')).body
    t.match(second, { number: 2, status: 'draft', reason: 'Twelve more tickets' })
    t.equal(outcome(await finalize(second.id)), '200')
    t.equal(await statusOf(show), 'settled')
    const still = (await call<Recorded>(`GET /api/settlements/${first.id}`, { token })).body
    t.strictSame(still, kept, 'the first one stays')
    for (const change of [
      'reopened_at = now()',
      `reopen_reason = 'x'`,
      `status = 'draft', finalized_at = null`,
    ])
      await t.rejects(db.admin.unsafe(`update app.settlements set ${change} where id = '${first.id}'`), {
        code: 'PT409',
        message: 'settlement_final',
      })
  })

  await t.test(
    'of a show that was set to settled without a deal can be reopened, too, and the log has the reason',
    async t => {
      const show = await make('shows', { ...aShow, status: 'settled' })
      t.equal(
        outcome(await call(`POST /api/shows/${show}/deals`, { token, body: versus })),
        '409 settlement_final',
      )
      t.equal(outcome(await reopen(show, 'It had a deal')), '200')
      t.equal(outcome(await call(`POST /api/shows/${show}/deals`, { token, body: versus })), '201')
      const { body } = await call<{ items: { action: string; changes: object }[] }>(
        `GET /api/audit/events?resource_id=${show}&action=show.reopen`,
        { token },
      )
      t.match(body.items, [{ changes: { new: { reason: 'It had a deal' } } }])
      for (const status of ['inquiry', 'confirmed', 'played', 'cancelled'])
        t.equal(
          outcome(await reopen(await make('shows', { ...aShow, status }), 'Why')),
          '409 show_not_settled',
          status,
        )
    },
  )

  await t.test('is the only way out of settled', async t => {
    const show = await make('shows', { ...aShow, status: 'settled' })
    t.equal(
      outcome(await call(`PATCH /api/shows/${show}`, { token, body: { status: 'played' } })),
      '409 show_status_transition',
    )
    const manager = await join(server, ana, 'manager')
    const body = { reason: 'Why' }
    t.equal(
      outcome(await call(`POST /api/shows/${show}/settlement/reopen`, { token: manager.token, body })),
      '403 permission_denied',
    )
  })

  await t.test('is deleted with its show and restored with it, even when it is final', async t => {
    const show = await show500(versus)
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 250_000 })
    await make(`shows/${show}/bonuses`, { kind: 'tickets', amount_minor: 5000, threshold: 1 })
    await make(`shows/${show}/adjustments`, {
      name: 'Dinner',
      kind: 'buyout',
      amount_minor: 600,
      stage: 'after_split',
    })
    const { id } = (await record(show)).body
    await finalize(id)
    const { body } = await draft(show)
    const parts = [
      `deals/${body.inputs.deal.id}`,
      ...body.inputs.ticket_tiers.map(tier => `ticket-tiers/${tier.id}`),
      ...body.inputs.costs.map(cost => `costs/${cost.id}`),
      ...body.inputs.deposits.map(deposit => `deposits/${deposit.id}`),
      ...body.inputs.bonuses.map(bonus => `bonuses/${bonus.id}`),
      ...body.inputs.adjustments.map(adjustment => `adjustments/${adjustment.id}`),
      `settlements/${id}`,
    ]
    t.equal(parts.length, 8)
    t.equal((await call(`DELETE /api/shows/${show}`, { token })).status, 204)
    for (const part of parts) {
      t.equal(outcome(await call(`GET /api/${part}`, { token })), '404 not_found', part)
      // Permission to restore a deposit does not extend to its show.
      if (!part.startsWith('settlements'))
        t.equal(outcome(await call(`POST /api/${part}/restore`, { token })), '409 parent_deleted', part)
    }
    t.equal(outcome(await draft(show)), '404 not_found')
    t.equal((await call(`POST /api/shows/${show}/restore`, { token })).status, 200)
    for (const part of parts) t.equal((await call(`GET /api/${part}`, { token })).status, 200, part)
    t.strictSame((await draft(show)).body, body)
    t.equal(await statusOf(show), 'settled')
  })

  await t.test('and is restored with the organization', async t => {
    const bob = await register(server, 'Bob')
    const bobs = settling(server, bob.token)
    const show = await bobs.show500(versus)
    const { id } = (await bobs.record(show)).body
    await bobs.finalize(id)
    const { body } = await bobs.draft(show)
    t.equal((await call(`DELETE /api/organizations/${bob.organization}`, { token: bob.token })).status, 204)
    t.equal(
      (await call(`POST /api/organizations/${bob.organization}/restore`, { token: bob.token })).status,
      200,
    )
    t.strictSame((await bobs.draft(show)).body, body)
    t.match((await call(`GET /api/settlements/${id}`, { token: bob.token })).body, { status: 'final' })
  })

  await t.test('cannot be finalized past a simultaneous change', async t => {
    await raceOf(t, (show, tier) => call(`PATCH /api/ticket-tiers/${tier}`, { token, body: { sold: 501 } }))
    await raceOf(t, show =>
      call(`POST /api/shows/${show}/deposits`, { token, body: { paid_on: '2027-01-10', amount_minor: 1 } }),
    )
    await raceOf(t, (show, tier) => call(`DELETE /api/ticket-tiers/${tier}`, { token }))
  })

  /** Finalizing pauses before its COMMIT until the change waits for it. */
  async function raceOf(t: Test, change: (show: string, tier: string) => ReturnType<typeof call>) {
    const show = await show500(versus)
    const { id, inputs } = (await record(show)).body
    await db.admin.unsafe(`
      create function app_private.tg_gate() returns trigger language plpgsql security definer as
        $$ begin perform pg_advisory_xact_lock(1); return null; end $$;
      create constraint trigger gate after update on app.settlements deferrable initially deferred
        for each row execute function app_private.tg_gate()`)
    const waiting = async (backends: number) => {
      const found = await db.admin`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      return found.length >= backends
    }
    const gate = await db.admin.reserve()
    await gate`select pg_advisory_lock(1)`
    const finalized = finalize(id)
    await until(() => waiting(1))
    const changed = change(show, inputs.ticket_tiers[0]?.id ?? '')
    await until(() => waiting(2))
    await gate`select pg_advisory_unlock(1)`
    gate.release()
    t.strictSame([await finalized, await changed].map(outcome), ['200', '409 settlement_final'])
    t.strictSame((await draft(show)).body.inputs, inputs)
    await db.admin`drop function app_private.tg_gate cascade`
  }

  await t.test('gets each number once, however many are recorded at the same moment', async t => {
    const show = await show500(versus)
    const recorded = await Promise.all(Array.from({ length: 8 }, () => record(show)))
    t.strictSame(
      recorded.map(({ body }) => body.number).sort((a, b) => a - b),
      [1, 2, 3, 4, 5, 6, 7, 8],
    )
    const finals = await Promise.all(recorded.map(({ body }) => finalize(body.id)))
    t.equal(finals.filter(({ status }) => status === 200).length, 1, 'and one of eight is final')
  })

  await t.test('is recorded once with an Idempotency-Key', async t => {
    const show = await show500(versus)
    const ask = () =>
      call<Recorded>(`POST /api/shows/${show}/settlements`, {
        token,
        body: { reason: null },
        headers: { 'idempotency-key': 'once' },
      })
    t.equal((await ask()).text, (await ask()).text)
    t.match((await record(show)).body, { number: 2 })
  })

  await t.test('is in the smallest unit of any currency', async t => {
    for (const currency of ['JPY', 'KWD']) {
      const show = await show500({ ...versus, currency })
      t.match((await draft(show)).body, { inputs: { currency }, result: { due_minor: 671_752 } })
    }
  })
})
