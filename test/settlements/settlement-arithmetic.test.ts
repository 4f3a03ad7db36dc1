// Settlement arithmetic holds for any input: app.settle, as called by the API's login.
import fc from 'fast-check'
import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { startDatabase } from '../support/helper.ts'

interface Tier {
  price_minor: number
  facility_fee_minor: number
  sold: number
  comps: number
}
interface Cost {
  kind: 'fixed' | 'per_ticket'
  amount_minor: number
}
interface Deal {
  kind: 'flat' | 'door' | 'plus' | 'versus'
  guarantee_minor: number | null
  percentage_bp: number | null
  base: 'gross' | 'net' | 'net_after_promoter_profit' | null
  tax_bp: number
  promoter_profit_bp: number
  guarantee_is_cost: boolean
}
interface Inputs {
  deal: Deal
  ticket_tiers: Tier[]
  costs: Cost[]
  deposits: { amount_minor: number }[]
}
type Result = Record<string, number | null>

const largest = Number.MAX_SAFE_INTEGER
/** Realistic amounts, and small ones, where rounding shows. */
const amounts = (max: number) =>
  fc.oneof(fc.integer({ min: 0, max: Math.min(max, 20) }), fc.integer({ min: 0, max }))
const rates = fc.oneof(
  fc.constantFrom(0, 1, 800, 1500, 1900, 8500, 9999, 10_000),
  fc.integer({ min: 0, max: 10_000 }),
)
const tiers = fc.array(
  fc
    .record({ price_minor: amounts(50_000), fee: rates, sold: amounts(3000), comps: amounts(50) })
    .map(({ fee, ...tier }) => ({
      ...tier,
      facility_fee_minor: Math.floor((tier.price_minor * fee) / 10_000),
    })),
  { maxLength: 4 },
)
const costs = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('fixed' as const), amount_minor: amounts(2_000_000) }),
    fc.record({ kind: fc.constant('per_ticket' as const), amount_minor: amounts(500) }),
  ),
  { maxLength: 4 },
)
const deals = fc
  .record({
    kind: fc.constantFrom('flat' as const, 'door' as const, 'plus' as const, 'versus' as const),
    guarantee_minor: amounts(3_000_000),
    percentage_bp: rates,
    base: fc.constantFrom('gross' as const, 'net' as const, 'net_after_promoter_profit' as const),
    tax_bp: rates,
    promoter_profit_bp: rates,
    guarantee_is_cost: fc.boolean(),
  })
  .map(asItMustBe)
const inputs = fc.record({
  deal: deals,
  ticket_tiers: tiers,
  costs,
  deposits: fc.array(fc.record({ amount_minor: amounts(900_000) }), { maxLength: 3 }),
})

/** A deal without what its kind does not have: the table accepts no other. */
function asItMustBe(deal: Deal): Deal {
  return {
    ...deal,
    guarantee_minor: deal.kind === 'door' ? null : deal.guarantee_minor,
    percentage_bp: deal.kind === 'flat' ? null : deal.percentage_bp,
    base: deal.kind === 'flat' ? null : deal.base,
    promoter_profit_bp:
      deal.kind !== 'flat' && deal.base === 'net_after_promoter_profit' ? deal.promoter_profit_bp : 0,
    guarantee_is_cost: deal.kind === 'plus' && deal.guarantee_is_cost,
  }
}

/** The same in another way: with fractions of whole numbers, as on paper. */
function onPaper({ deal, ticket_tiers, costs, deposits }: Inputs) {
  const big = BigInt
  const sum = (values: bigint[]) => values.reduce((all, value) => all + value, 0n)
  const round = (numerator: bigint, denominator: bigint) => {
    const rest = numerator % denominator
    return numerator / denominator + (2n * rest >= denominator ? 1n : 0n)
  }
  const sold = sum(ticket_tiers.map(tier => big(tier.sold)))
  const gross = sum(ticket_tiers.map(tier => big(tier.price_minor) * big(tier.sold)))
  const fees = sum(ticket_tiers.map(tier => big(tier.facility_fee_minor) * big(tier.sold)))
  const receipts = gross - fees - round((gross - fees) * big(deal.tax_bp), 10_000n + big(deal.tax_bp))
  const guarantee = big(deal.guarantee_minor ?? 0)
  const paid = sum(costs.map(c => big(c.amount_minor) * (c.kind === 'fixed' ? 1n : sold)))
  const all = paid + (deal.guarantee_is_cost ? guarantee : 0n)
  const profit = round(all * big(deal.promoter_profit_bp), 10_000n)
  const bases = { gross, net: receipts - all, net_after_promoter_profit: receipts - all - profit }
  const base = deal.base === null ? 0n : bases[deal.base]
  const share = base > 0n ? round(base * big(deal.percentage_bp ?? 0), 10_000n) : 0n
  const due = {
    flat: guarantee,
    door: share,
    plus: guarantee + share,
    versus: share > guarantee ? share : guarantee,
  }[deal.kind]
  return { due, share, profit, receipts, balance: due - sum(deposits.map(d => big(d.amount_minor))) }
}

t.test('whatever is settled,', async t => {
  const db = await startDatabase(t)
  const api = db.as('callboard_api')
  const settle = async (given: Inputs): Promise<Result> => {
    const [row] = await api<[{ result: Result }]>`select app.settle(${api.json(given as never)}) as result`
    return row.result
  }
  const line = (result: Result, name: string) => result[`${name}_minor`] ?? NaN
  const always = <T>(values: fc.Arbitrary<T>, holds: (value: T) => Promise<boolean>, numRuns = 300) =>
    fc.assert(fc.asyncProperty(values, holds), { numRuns })

  await t.test('the parts add up to the gross, to the last unit', async () => {
    await always(inputs, async given => {
      const result = await settle(given)
      const parts = ['facility_fees', 'tax', 'fixed_costs', 'per_ticket_costs', 'due', 'promoter']
      const sum = parts.reduce((all, name) => all + line(result, name), 0)
      return (
        sum === line(result, 'gross') &&
        Object.entries(result).every(
          ([name, value]) => name === 'lines' || value === null || Number.isSafeInteger(value),
        )
      )
    })
  })

  await t.test('the result is the same as on paper', async () => {
    await always(
      inputs,
      async given => {
        const result = await settle(given)
        const paper = onPaper(given)
        return (
          line(result, 'due') === Number(paper.due) &&
          line(result, 'share') === Number(paper.share) &&
          line(result, 'promoter_profit') === Number(paper.profit) &&
          line(result, 'net_receipts') === Number(paper.receipts) &&
          line(result, 'balance') === Number(paper.balance)
        )
      },
      600,
    )
  })

  await t.test('what was recorded can be recomputed', async () => {
    await always(inputs, async given => {
      const [one, other] = [await settle(given), await settle(JSON.parse(JSON.stringify(given)) as Inputs)]
      return JSON.stringify(one) === JSON.stringify(other)
    })
  })

  await t.test(
    'versus pays what flat or door would, whichever is more, so never less than the guarantee',
    async () => {
      await always(inputs, async given => {
        const as = (kind: Deal['kind']) => {
          const { guarantee_minor, percentage_bp, base } = given.deal
          const whole = {
            guarantee_minor: guarantee_minor ?? 0,
            percentage_bp: percentage_bp ?? 0,
            base: base ?? ('gross' as const),
          }
          return settle({
            ...given,
            deal: asItMustBe({ ...given.deal, ...whole, kind, guarantee_is_cost: false }),
          })
        }
        const [versus, flat, door] = [await as('versus'), await as('flat'), await as('door')]
        return (
          line(versus, 'due') === Math.max(line(flat, 'due'), line(door, 'due')) &&
          line(versus, 'due') >= line(versus, 'guarantee')
        )
      })
    },
  )

  await t.test('one more ticket that earns more than it costs never pays the artist less', async () => {
    const more = fc.integer({ min: 1, max: 400 })
    await always(fc.tuple(inputs, more), async ([given, n]) => {
      const [tier = { price_minor: 5000, facility_fee_minor: 100, sold: 0, comps: 0 }, ...others] =
        given.ticket_tiers
      // The share is of gross, or nothing is deducted per ticket.
      const free = given.deal.base === 'gross' ? given.costs : given.costs.filter(c => c.kind === 'fixed')
      const after = (sold: number) =>
        settle({ ...given, costs: free, ticket_tiers: [{ ...tier, sold }, ...others] })
      const [before, then] = [await after(tier.sold), await after(tier.sold + n)]
      return line(then, 'due') >= line(before, 'due') && line(then, 'gross') >= line(before, 'gross')
    })
    // With a cost per ticket, as long as the rest of the price covers it and the profit on it.
    await always(
      fc.tuple(inputs, more, fc.integer({ min: 0, max: 400 })),
      async ([given, n, amount_minor]) => {
        const { tax_bp, promoter_profit_bp } = given.deal
        // Plus two units, because tax and profit are rounded.
        const price_minor =
          Math.ceil((amount_minor * (10_000 + promoter_profit_bp) * (10_000 + tax_bp)) / 100_000_000) + 2 * 3
        const after = (sold: number) =>
          settle({
            ...given,
            costs: [{ kind: 'per_ticket', amount_minor }],
            ticket_tiers: [{ price_minor, facility_fee_minor: 0, sold, comps: 0 }],
          })
        return line(await after(100 + n), 'due') >= line(await after(100), 'due')
      },
    )
  })

  await t.test('with no tickets sold the costs remain, and the percentage is of nothing', async () => {
    await always(inputs, async given => {
      const ticket_tiers = given.ticket_tiers.map(tier => ({ ...tier, sold: 0 }))
      const result = await settle({ ...given, ticket_tiers })
      return (
        ['gross', 'facility_fees', 'tax', 'net_receipts', 'per_ticket_costs', 'share'].every(
          name => line(result, name) === 0,
        ) &&
        line(result, 'due') === (given.deal.guarantee_minor ?? 0) &&
        line(result, 'promoter') === -line(result, 'fixed_costs') - line(result, 'due')
      )
    })
  })

  await t.test('half a unit is rounded away from zero, once', async t => {
    const rounded = async (amount: string, part: string, whole: string) => {
      const [row] = await api<[{ is: string }]>`
        select app.apportion(${amount}::text::numeric, ${part}::text::numeric, ${whole}::text::numeric)::text as is`
      return row.is
    }
    for (const [amount, part, whole, is] of [
      ['1', '5000', '10000', '1'],
      ['-1', '5000', '10000', '-1'],
      ['3', '5000', '10000', '2'],
      ['1', '4999', '10000', '0'],
      ['-1', '4999', '10000', '0'],
      ['0', '10000', '10000', '0'],
      ['790296', '8500', '10000', '671752'],
      ['215296', '8500', '10000', '183002'],
      ['9007199254740991', '1', '2', '4503599627370496'],
      // So close to one half that a quotient of 16 digits equals it.
      ['49999999999999999', '1', '100000000000000000', '0'],
      ['50000000000000000', '1', '100000000000000000', '1'],
    ] as const)
      t.equal(await rounded(amount, part, whole), is, `${amount} x ${part} / ${whole}`)
  })

  await t.test('an amount larger than JSON can represent is refused', async t => {
    const flat: Deal = {
      kind: 'flat',
      guarantee_minor: 0,
      percentage_bp: null,
      base: null,
      tax_bp: 0,
      promoter_profit_bp: 0,
      guarantee_is_cost: false,
    }
    const none: Inputs = { deal: flat, ticket_tiers: [], costs: [], deposits: [] }
    const tier = (price_minor: number, sold: number): Tier => ({
      price_minor,
      facility_fee_minor: 0,
      sold,
      comps: 0,
    })
    t.equal(line(await settle({ ...none, ticket_tiers: [tier(largest, 1)] }), 'promoter'), largest)
    t.equal(
      line(await settle({ ...none, costs: [{ kind: 'fixed', amount_minor: largest }] }), 'net'),
      -largest,
    )
    t.equal(line(await settle({ ...none, deal: { ...flat, guarantee_minor: largest } }), 'due'), largest)
    const much: Partial<Inputs>[] = [
      { ticket_tiers: [tier(largest, 2)] },
      { ticket_tiers: [tier(largest, 1), tier(1, 1)] },
      { ticket_tiers: [tier(largest, 2_147_483_647)] },
      {
        costs: [
          { kind: 'fixed', amount_minor: largest },
          { kind: 'fixed', amount_minor: 1 },
        ],
      },
      { ticket_tiers: [tier(0, 2)], costs: [{ kind: 'per_ticket', amount_minor: largest }] },
      { deposits: [{ amount_minor: largest }, { amount_minor: 1 }] },
      { deal: { ...flat, guarantee_minor: largest }, costs: [{ kind: 'fixed', amount_minor: 1 }] },
      {
        deal: { ...flat, kind: 'plus', guarantee_minor: largest, percentage_bp: 10_000, base: 'gross' },
        ticket_tiers: [tier(1, 1)],
      },
    ]
    for (const given of much)
      await t.rejects(
        settle({ ...none, ...given }),
        { code: 'PT422', message: 'settlement_out_of_range' },
        JSON.stringify(given),
      )
    await always(
      fc.record({
        price: fc.integer({ min: 1, max: largest }),
        sold: fc.integer({ min: 0, max: 2_147_483_647 }),
        deal: deals,
      }),
      async ({ price, sold, deal }) => {
        const given = { ...none, deal, ticket_tiers: [tier(price, sold)] }
        const fits = BigInt(price) * BigInt(sold) <= BigInt(largest)
        const outcome = await settle(given).then(
          result => result,
          (error: unknown) => error as postgres.PostgresError,
        )
        // A plus deal may still be too large.
        if (outcome instanceof Error)
          return outcome.message === 'settlement_out_of_range' && (!fits || deal.kind === 'plus')
        return fits && line(outcome, 'due') === Number(onPaper(given).due)
      },
    )
  })
})
