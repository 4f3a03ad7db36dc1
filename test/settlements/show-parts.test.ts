// Deals, ticket tiers, costs and deposits: what they have in common, and the rules of each.
import { randomUUID } from 'node:crypto'
import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { problems } from '../../src/http/problems.ts'
import { aShow, register, startServer } from '../support/helper.ts'
import { walk } from '../support/pages.ts'
import { settling } from '../support/settling.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Part extends Record<string, unknown> {
  id: string
}
interface Kind {
  /** Its name in SQL functions. */
  sqlName: string
  table: string
  /** The required fields of a body. */
  whole: Record<string, unknown>
  /** The defaults of omitted fields. */
  defaults: Record<string, unknown>
  /** A change, and its effect on the whole. */
  change: Record<string, unknown>
  refusals: [expected: string, body: object][]
  /** What the request schema already refuses, by the constraint behind it. */
  behind: [constraint: string, body: object][]
  sorts: string[]
}
const tooMuch = Number.MAX_SAFE_INTEGER + 1

const merchandise = { kind: 'merchandise', percentage: 20, sold_by: 'artist' }

const kinds: Record<string, Kind> = {
  deals: {
    sqlName: 'deal',
    table: 'deals',
    whole: { kind: 'flat', currency: 'EUR', guarantee_minor: 500_000 },
    defaults: {
      percentage: null,
      percentage_bp: null,
      base: null,
      tax_percentage: 0,
      tax_bp: 0,
      promoter_profit_percentage: 0,
      promoter_profit_bp: 0,
      guarantee_is_cost: false,
      withholding_percentage: null,
      withholding_threshold_minor: null,
      withholding_due_on: null,
      act: null,
      is_cost_of_main: true,
      cancellation_minor: null,
    },
    change: { guarantee_minor: 550_000 },
    sorts: ['created_at'],
    refusals: [
      ['422 deals_currency_exists', { currency: 'ABC' }],
      ['422 deals_guarantee_by_kind', { guarantee_minor: null }],
      ['422 deals_guarantee_by_kind', { kind: 'door', percentage_bp: 8500, base: 'net' }],
      ['422 deals_percentage_by_kind', { percentage_bp: 8500 }],
      ['422 deals_percentage_by_kind', { base: 'gross' }],
      ['422 deals_percentage_by_kind', { kind: 'versus', base: 'gross' }],
      ['422 deals_percentage_by_kind', { kind: 'plus', percentage_bp: 8500, guarantee_is_cost: true }],
      ['422 deals_promoter_profit_by_base', { promoter_profit_bp: 1500 }],
      [
        '422 deals_promoter_profit_by_base',
        { kind: 'versus', percentage_bp: 8500, base: 'net', promoter_profit_bp: 1500 },
      ],
      ['422 deals_valid_rates', { tax_percentage: 8.8750001 }],
      ['422 deals_rates_agree', { tax_percentage: 8.875, tax_bp: 887 }],
      ['422 deals_guarantee_is_cost_of_plus', { guarantee_is_cost: true }],
      [
        '422 deals_guarantee_is_cost_of_plus',
        { kind: 'versus', percentage_bp: 8500, base: 'net', guarantee_is_cost: true },
      ],
      ['422 deals_withholding_has_rate', { withholding_threshold_minor: 1 }],
      ['422 deals_withholding_has_rate', { withholding_due_on: '2027-05-10' }],
      ['422 deals_act_length', { act: 'next line: \u0085' }],
      ['422 deals_withholding_valid', { withholding_percentage: 1.2345678 }],
      [
        '422 deals_withholding_due_on_range',
        { withholding_percentage: 10, withholding_due_on: '2200-01-01' },
      ],
      ['400 validation', { withholding_percentage: 101 }],
      ['400 validation', { kind: 'guess' }],
      ['400 validation', { tax_bp: 10_001 }],
      ['400 validation', { guarantee_minor: tooMuch }],
    ],
    behind: [
      ['deals_kind_known', { kind: 'guess' }],
      ['deals_currency_exists', { currency: 'eur' }],
      ['deals_withholding_threshold_range', { withholding_percentage: 10, withholding_threshold_minor: -1 }],
      ['deals_cancellation_range', { cancellation_minor: -1 }],
      ['deals_guarantee_range', { guarantee_minor: -1 }],
      ['deals_guarantee_range', { guarantee_minor: '9007199254740992' }],
      ['deals_percentage_range', { kind: 'versus', percentage_bp: 10_001, base: 'net' }],
      ['deals_base_known', { kind: 'versus', percentage_bp: 8500, base: 'guess' }],
      ['deals_tax_range', { tax_bp: -1 }],
      ['deals_valid_rates', { tax_percentage: 1.2345678 }],
      [
        'deals_promoter_profit_range',
        { kind: 'versus', percentage_bp: 1, base: 'net_after_promoter_profit', promoter_profit_bp: 10_001 },
      ],
    ],
  },
  'ticket-tiers': {
    sqlName: 'ticket_tier',
    table: 'ticket_tiers',
    whole: { name: 'Stalls', price_minor: 3000, allotment: 600 },
    defaults: { facility_fee_minor: 0, excluded_minor: 0, sold: 0, comps: 0 },
    change: { sold: 480, comps: 20 },
    sorts: ['created_at', 'name'],
    refusals: [
      ['422 ticket_tiers_name_length', { name: 'next line: \u0085' }],
      ['422 ticket_tiers_fee_within_price', { facility_fee_minor: 3001 }],
      ['422 ticket_tiers_fee_within_price', { facility_fee_minor: 1, excluded_minor: 3000 }],
      ['422 ticket_tiers_within_allotment', { sold: 601 }],
      ['422 ticket_tiers_within_allotment', { sold: 598, comps: 3 }],
      ['422 ticket_tiers_within_allotment', { sold: 2_147_483_647, comps: 2_147_483_647 }],
      ['400 validation', { price_minor: -1 }],
      ['400 validation', { price_minor: tooMuch }],
      ['400 validation', { allotment: 0 }],
    ],
    behind: [
      ['ticket_tiers_name_length', { name: ' ' }],
      ['ticket_tiers_price_range', { price_minor: '9007199254740992' }],
      ['ticket_tiers_facility_fee_range', { facility_fee_minor: -1 }],
      ['ticket_tiers_excluded_range', { excluded_minor: -1 }],
      ['ticket_tiers_allotment_positive', { allotment: 0 }],
      ['ticket_tiers_sold_positive', { sold: -1 }],
      ['ticket_tiers_comps_positive', { comps: -1 }],
    ],
  },
  costs: {
    sqlName: 'show_cost',
    table: 'show_costs',
    whole: { name: 'PA', kind: 'fixed', amount_minor: 400_000 },
    defaults: {
      is_estimate: false,
      percentage: null,
      cap_minor: null,
      budget_minor: null,
      is_internal: false,
    },
    change: { amount_minor: 420_000, is_estimate: true },
    sorts: ['created_at', 'name'],
    refusals: [
      ['422 show_costs_name_length', { name: 'next line: \u0085' }],
      ['422 show_costs_percentage_by_kind', { percentage: 10 }],
      ['422 show_costs_percentage_by_kind', { kind: 'percent_of_gross' }],
      ['422 show_costs_valid_percentage', { kind: 'percent_of_gross', percentage: 1.2345678 }],
      [
        '422 show_costs_cap_above_least',
        { kind: 'percent_of_net_receipts', percentage: 10, amount_minor: 5, cap_minor: 4 },
      ],
      ['400 validation', { kind: 'sometimes' }],
      ['400 validation', { amount_minor: -1 }],
    ],
    behind: [
      ['show_costs_name_length', { name: '' }],
      ['show_costs_kind_known', { kind: 'sometimes' }],
      ['show_costs_amount_range', { amount_minor: -1 }],
      ['show_costs_cap_range', { cap_minor: -1 }],
      ['show_costs_budget_range', { budget_minor: -1 }],
      ['show_costs_amount_range', { amount_minor: '9007199254740992' }],
    ],
  },
  deposits: {
    sqlName: 'deposit',
    table: 'deposits',
    whole: { paid_on: '2027-01-10', amount_minor: 250_000 },
    defaults: { due_on: null, note: null, deal_id: null },
    change: { note: 'By transfer' },
    sorts: ['paid_on', 'created_at'],
    refusals: [
      ['422 deposits_paid_on_range', { paid_on: '1899-12-31' }],
      ['422 deposits_paid_on_range', { paid_on: '2200-01-01' }],
      ['422 deposits_due_on_range', { due_on: '2200-01-01' }],
      ['422 deposits_paid_or_due', { paid_on: null }],
      ['400 validation', { amount_minor: 0 }],
      ['400 validation', { note: 'x'.repeat(1001) }],
    ],
    behind: [
      ['deposits_amount_range', { amount_minor: 0 }],
      ['deposits_note_length', { note: 'x'.repeat(1001) }],
    ],
  },
  bonuses: {
    sqlName: 'deal_bonus',
    table: 'deal_bonuses',
    whole: { kind: 'sell_out', amount_minor: 50_000 },
    defaults: { threshold: null, deal_id: null },
    change: { kind: 'tickets', threshold: 500 },
    sorts: ['created_at'],
    refusals: [
      ['422 deal_bonuses_threshold_by_kind', { threshold: 1 }],
      ['422 deal_bonuses_threshold_by_kind', { kind: 'tickets' }],
      ['422 deal_bonuses_threshold_by_kind', { kind: 'per_ticket' }],
      ['400 validation', { kind: 'guess' }],
      ['400 validation', { threshold: -1 }],
    ],
    behind: [
      ['deal_bonuses_kind_known', { kind: 'guess' }],
      ['deal_bonuses_amount_range', { amount_minor: -1 }],
      ['deal_bonuses_threshold_positive', { kind: 'tickets', threshold: -1 }],
    ],
  },
  adjustments: {
    sqlName: 'deal_adjustment',
    table: 'deal_adjustments',
    whole: { name: 'Catering', kind: 'buyout', amount_minor: 60_000, stage: 'after_split' },
    defaults: { deal_id: null, percentage: null, tax_percentage: null, sold_by: null },
    change: { kind: 'deduction', stage: 'before_split' },
    sorts: ['created_at', 'name'],
    refusals: [
      ['422 deal_adjustments_name_length', { name: 'next line: \u0085' }],
      ['422 deal_adjustments_percentage_by_kind', { percentage: 20 }],
      ['422 deal_adjustments_valid_percentages', { ...merchandise, percentage: 1.2345678 }],
      ['422 deal_adjustments_merchandise_after_split', { ...merchandise, stage: 'before_split' }],
      ['400 validation', { kind: 'guess' }],
      ['400 validation', { stage: 'never' }],
      ['400 validation', { amount_minor: -1 }],
    ],
    behind: [
      ['deal_adjustments_name_length', { name: '' }],
      ['deal_adjustments_kind_known', { kind: 'guess' }],
      ['deal_adjustments_stage_known', { stage: 'never' }],
      ['deal_adjustments_amount_range', { amount_minor: -1 }],
      ['deal_adjustments_sold_by_known', { ...merchandise, sold_by: 'nobody' }],
    ],
  },
}

t.test('what counts in a settlement', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const { token } = ana
  const { make } = settling(server, token)
  const aNewShow = () => make('shows', { ...aShow, status: 'played' })

  for (const [path, { sqlName, table, whole, defaults, change, refusals, behind, sorts }] of Object.entries(
    kinds,
  )) {
    const create = async (body: object = whole) => {
      const show = await aNewShow()
      const answer = await call<Part>(`POST /api/shows/${show}/${path}`, { token, body })
      if (answer.status !== 201) throw new Error(answer.text)
      return { show, answer, id: answer.body.id, one: `/api/${path}/${answer.body.id}` }
    }

    await t.test(`${path} are entered, read, replaced, changed, deleted and restored`, async t => {
      const { show, answer, id, one } = await create()
      t.equal(answer.headers['location'], one)
      t.equal(answer.headers['etag'], '"1"')
      const { created_at, updated_at, ...rest } = answer.body
      t.strictSame(rest, { id, show_id: show, ...whole, ...defaults, created_by: ana.id })
      t.equal((await call(`GET ${one}`, { token })).text, answer.text)

      const patched = await call<Part>(`PATCH ${one}`, { token, body: change })
      t.equal(patched.headers['etag'], '"2"')
      t.strictSame(patched.body, {
        ...answer.body,
        ...change,
        updated_at: patched.body['updated_at'],
      })
      const put = await call<Part>(`PUT ${one}`, { token, body: whole })
      t.strictSame(
        put.body,
        { ...answer.body, updated_at: put.body['updated_at'] },
        'the rest is reset to defaults',
      )
      t.ok(String(put.body['updated_at']) > String(updated_at) && put.body['created_at'] === created_at)

      t.equal((await call(`DELETE ${one}`, { token })).status, 204)
      for (const [method, body] of [['GET'], ['DELETE'], ['PUT', whole], ['PATCH', change]] as const)
        t.equal(
          outcome(await call(`${method} ${one}`, { token, ...(body && { body }) })),
          '404 not_found',
          method,
        )
      const restored = await call<Part>(`POST ${one}/restore`, { token })
      t.strictSame(restored.body, { ...put.body, updated_at: restored.body['updated_at'] })
      t.equal(outcome(await call(`POST ${one}/restore`, { token })), '404 not_found')
      const optional = ['guarantee_minor', 'paid_on']
      for (const missing of Object.keys(whole).filter(name => !optional.includes(name))) {
        const body = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== missing))
        t.equal(outcome(await call(`PUT ${one}`, { token, body })), '400 validation', missing)
      }
      const { body } = await call<{ items: { action: string }[] }>(
        `GET /api/audit/events?resource_id=${id}&sort=occurred_at`,
        { token },
      )
      t.strictSame(
        body.items.map(({ action }) => action),
        ['create', 'update', 'update', 'delete', 'restore'].map(verb => `${sqlName}.${verb}`),
      )
    })

    await t.test(`If-Match guards every write of ${path}`, async t => {
      const { one } = await create()
      for (const [method, body] of [['PATCH', change], ['PUT', whole], ['DELETE']] as const) {
        const stale = { token, ...(body && { body }), headers: { 'if-match': '"0"' } }
        t.equal(outcome(await call(`${method} ${one}`, stale)), '412 version_mismatch', method)
      }
      const answers = await Promise.all(
        Array.from({ length: 5 }, () =>
          call(`PATCH ${one}`, { token, body: change, headers: { 'if-match': '"1"' } }),
        ),
      )
      t.equal(answers.filter(({ status }) => status === 200).length, 1, 'one of five changes wins')
    })

    await t.test(`${path} are entered once with an Idempotency-Key`, async t => {
      const show = await aNewShow()
      const enter = () =>
        call<Part>(`POST /api/shows/${show}/${path}`, {
          token,
          body: whole,
          headers: { 'idempotency-key': `once-${show}` },
        })
      t.equal((await enter()).text, (await enter()).text)
      t.equal((await walk(server, token, `/api/shows/${show}/${path}?limit=200`)).flat().length, 1)
    })

    await t.test(`each rule of ${path} refuses a creation, a replacement and a change`, async t => {
      const { one } = await create()
      const show = await aNewShow()
      for (const [expected, body] of refusals) {
        const what = `${expected} ${JSON.stringify(body)}`
        const all = { token, body: { ...whole, ...body } }
        t.equal(outcome(await call(`POST /api/shows/${show}/${path}`, all)), expected, what)
        t.equal(outcome(await call(`PUT ${one}`, all)), expected, what)
        t.equal(outcome(await call(`PATCH ${one}`, { token, body })), expected, what)
      }
      t.equal((await call(`GET ${one}`, { token })).headers['etag'], '"1"')
    })

    await t.test(`what the request schema of ${path} refuses, the table refuses too`, async t => {
      const show = await aNewShow()
      for (const [constraint, body] of behind) {
        const refused = await db
          .as('callboard_api')
          .begin(sql => [
            sql`select app.enter(${String(claimsOf(token)['sid'])}, ${ana.organization})`,
            sql`select app.create_row(${table}, ${JSON.stringify({ ...whole, ...body })}::text::jsonb, 'show_id', ${show})`,
          ])
          .then(
            () => undefined,
            (error: unknown) => error as postgres.PostgresError,
          )
        t.equal(refused?.constraint_name, constraint, JSON.stringify(body))
      }
      const tried = [...refusals.map(([expected]) => expected.slice(4)), ...behind.map(([name]) => name)]
      t.strictSame(
        Object.entries(problems).filter(
          ([name, { status }]) => status === 422 && name.startsWith(`${table}_`) && !tried.includes(name),
        ),
        [],
        'and with these every rule of the table was tried',
      )
    })

    await t.test(`${path} of another organization, or of a missing show, do not exist`, async t => {
      const { show, one, answer } = await create()
      for (const [request, body] of [
        [`GET ${one}`],
        [`PUT ${one}`, whole],
        [`PATCH ${one}`, change],
        [`DELETE ${one}`],
        [`POST ${one}/restore`],
        [`GET /api/shows/${show}/${path}`],
        [`POST /api/shows/${show}/${path}`, whole],
      ] as const)
        t.equal(
          outcome(await call(request, { token: ben.token, ...(body && { body }) })),
          '404 not_found',
          request,
        )
      t.equal((await call(`GET ${one}`, { token })).text, answer.text)
      const nothing = randomUUID()
      t.equal(outcome(await call(`GET /api/shows/${nothing}/${path}`, { token })), '404 not_found')
      const entered = await call(`POST /api/shows/${nothing}/${path}`, { token, body: whole })
      t.equal(outcome(entered), '404 not_found')
    })

    await t.test(`${path} cannot be created for a show that is deleted at the same moment`, async t => {
      for (let round = 0; round < 5; round += 1) {
        const show = await aNewShow()
        const [entered, deleted] = await Promise.all([
          call<Part>(`POST /api/shows/${show}/${path}`, { token, body: whole }),
          call(`DELETE /api/shows/${show}`, { token }),
        ])
        t.equal(deleted.status, 204)
        t.match(outcome(entered), /^(201|404 not_found|409 parent_deleted)$/)
        const living = await db.admin.unsafe(
          `select from app.${table} where show_id = '${show}' and deleted_at is null`,
        )
        t.equal(living.length, 0, outcome(entered))
      }
    })

    if (path !== 'deals')
      await t.test(`the ${path} of a show come in pages, in each order`, async t => {
        const [show, other] = [await aNewShow(), await aNewShow()]
        await make(`shows/${other}/${path}`, whole)
        const made: Part[] = []
        for (let n = 0; n < 7; n += 1) {
          const body = {
            ...whole,
            ...(path === 'deposits' && { paid_on: null }),
            ...(path === 'deposits'
              ? { [n % 2 === 0 ? 'paid_on' : 'due_on']: `2027-01-0${9 - (n % 3)}` }
              : path !== 'bonuses' && { name: `Name ${9 - (n % 3)}` }),
          }
          made.push((await call<Part>(`POST /api/shows/${show}/${path}`, { token, body })).body)
        }
        for (const sort of sorts.flatMap(name => [name, `-${name}`])) {
          const column = sort.replace('-', '')
          // An open deposit is sorted by the day on which it is due.
          const keyOf = (part: Part) => `${String(part[column] ?? part['due_on'])} ${part.id}`
          const ascending = [...made].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)).map(({ id }) => id)
          const pages = await walk(server, token, `/api/shows/${show}/${path}?sort=${sort}&limit=3`)
          t.strictSame(
            pages.flat().map(({ id }) => id),
            sort.startsWith('-') ? ascending.reverse() : ascending,
            sort,
          )
          t.equal(pages.length, 3)
        }
        const unsorted = await walk(server, token, `/api/shows/${show}/${path}?limit=200`)
        const sorted = await walk(
          server,
          token,
          `/api/shows/${show}/${path}?sort=${sorts[0] ?? ''}&limit=200`,
        )
        t.strictSame(unsorted, sorted, `and by ${sorts[0] ?? ''}, if nothing is said`)
      })
  }

  await t.test('a show has one deal, which must be deleted before another', async t => {
    const show = await aNewShow()
    const deal = kinds['deals']?.whole ?? {}
    const first = await make(`shows/${show}/deals`, deal)
    const enter = () => call<Part>(`POST /api/shows/${show}/deals`, { token, body: deal })
    t.equal(outcome(await enter()), '409 deals_one_per_show')
    await call(`DELETE /api/deals/${first}`, { token })
    const answers = await Promise.all([enter(), enter(), enter()])
    t.strictSame(answers.map(outcome).sort(), ['201', '409 deals_one_per_show', '409 deals_one_per_show'])
    t.equal(outcome(await call(`POST /api/deals/${first}/restore`, { token })), '409 deals_one_per_show')
  })

  await t.test('a deal can change its kind if it is complete afterwards', async t => {
    const show = await aNewShow()
    const id = await make(`shows/${show}/deals`, kinds['deals']?.whole ?? {})
    const change = (body: object) => call(`PATCH /api/deals/${id}`, { token, body })
    t.equal(outcome(await change({ kind: 'versus' })), '422 deals_percentage_by_kind')
    t.match((await change({ kind: 'versus', percentage_bp: 8500, base: 'net' })).body, { kind: 'versus' })
    t.match((await change({ kind: 'plus', guarantee_is_cost: true })).body, { guarantee_is_cost: true })
    t.equal(outcome(await change({ kind: 'versus' })), '422 deals_guarantee_is_cost_of_plus')
    t.equal(outcome(await change({ kind: 'door', guarantee_minor: null, guarantee_is_cost: false })), '200')
  })

  await t.test('restoring a deposit does not restore its show', async t => {
    const show = await aNewShow()
    const id = await make(`shows/${show}/deposits`, kinds['deposits']?.whole ?? {})
    await call(`DELETE /api/shows/${show}`, { token })
    t.equal(outcome(await call(`POST /api/deposits/${id}/restore`, { token })), '409 parent_deleted')
    t.equal(outcome(await call(`GET /api/shows/${show}`, { token })), '404 not_found')
  })
})
