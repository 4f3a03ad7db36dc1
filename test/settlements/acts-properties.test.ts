// Whatever the acts of a show are paid: the books have what the sheets say, with each ticket and each cost once, in whatever
// order the deals are settled.
import fc from 'fast-check'
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { adjusting } from '../support/on-paper.ts'
import { type Recorded, settling } from '../support/settling.ts'
import { adjustment, bonus, cost, deal, deposit, listOf, tier } from '../support/sheet-parts.ts'

interface Entry {
  kind: string
  amount_minor: number
  status: string
  booked_on: string
  category_name: string
  note: string
  settlement_line: string
}
type Final = Recorded & { result: Record<string, number>; bookings: { line: string; amount_minor: number }[] }

/** A deal with its parts. */
const bill = fc.tuple(
  deal,
  listOf('bonuses', bonus, 2),
  listOf('adjustments', adjustment, 2),
  listOf('deposits', deposit, 2),
)
const evening = fc
  .record({
    shared: fc.tuple(listOf('ticket-tiers', tier, 3), listOf('costs', cost)),
    main: fc.option(bill, { nil: null, freq: 4 }),
    others: fc.array(fc.tuple(bill, fc.boolean()), { minLength: 1, maxLength: 3 }),
  })
  .chain(night => {
    const count = night.others.length + (night.main === null ? 0 : 1)
    const order = Array.from({ length: count }, (_, n) => n)
    const anyOrder = fc.shuffledSubarray(order, { minLength: count })
    return fc.record({ night: fc.constant(night), orders: fc.tuple(anyOrder, anyOrder) })
  })
const evenings = fc.sample(evening, { numRuns: 25, seed: 20_270_203 })

t.test('whatever acts are paid,', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  await call(`PATCH /api/organizations/${ana.organization}`, { token, body: { currency: 'EUR' } })
  const { make, showWith, record, finalize, reopen, statusOf } = settling(server, token)
  const entriesOf = async (show: string) =>
    (
      await call<{ items: Entry[] }>(`GET /api/finance-records?show_id=${show}&limit=200`, { token })
    ).body.items.filter(({ status }) => status === 'actual')
  const leftIn = (entries: Entry[]) =>
    entries.reduce((sum, { kind, amount_minor }) => sum + (kind === 'income' ? 1 : -1) * amount_minor, 0)
  const plain = (all: Entry[]) =>
    all.map(e => `${e.kind} ${e.category_name} ${e.amount_minor} ${e.booked_on} ${e.note}`).sort()
  const settle = async (show: string, deal: string, reason: string | null = null) => {
    const { id } = (await record(show, reason, deal)).body
    const answer = await finalize(id)
    if (answer.status !== 200) throw new Error(answer.text)
    return answer.body as Final
  }

  for (const [n, { night, orders }] of evenings.entries())
    await t.test(`the books have what the sheets say, in any order: ${n + 1}`, async t => {
      const { shared, main, others } = night
      /** The show with its deals, the main one first. */
      const enter = async () => {
        const show = await showWith(shared.flat())
        const deals: string[] = []
        const bills = [
          ...(main === null ? [] : [{ bill: main, more: {} }]),
          ...others.map(([bill, is_cost_of_main], i) => ({
            bill,
            more: { act: `Act ${i}`, is_cost_of_main },
          })),
        ]
        for (const { bill, more } of bills) {
          const [terms, ...parts] = bill
          const deal_id = await make(`shows/${show}/deals`, { ...terms, ...more })
          for (const [path, body] of parts.flat()) await make(`shows/${show}/${path}`, { ...body, deal_id })
          deals.push(deal_id)
        }
        return { show, deals }
      }
      const settleAll = async ({ show, deals }: { show: string; deals: string[] }, order: number[]) => {
        const finals: Final[] = []
        for (const at of order) {
          t.equal(await statusOf(show), 'played')
          finals[at] = await settle(show, deals[at] ?? '')
        }
        t.equal(await statusOf(show), 'settled')
        return finals
      }
      const first = await enter()
      const finals = await settleAll(first, orders[0])
      const books = await entriesOf(first.show)

      // The sheet that enters the show has all tickets and costs; every act is paid by its own.
      const of = (name: string) => finals.map(({ result }) => result[name] ?? NaN)
      const sum = (values: number[]) => values.reduce((all, value) => all + value, 0)
      const [whole] = finals.map(({ result }) => result)
      const costs = ['fixed', 'per_ticket', 'per_head', 'percent_of_gross', 'percent_of_net_receipts'].map(
        kind => whole?.[`${kind}_costs_minor`] ?? NaN,
      )
      const merchandise = [...(main === null ? [] : [main]), ...others.map(([bill]) => bill)]
        .flatMap(([, , adjustments]) => adjustments)
        .map(([, body]) => body as Record<string, unknown>)
      const expected =
        (whole?.['net_receipts_minor'] ?? NaN) +
        (whole?.['excluded_minor'] ?? NaN) -
        sum(costs) -
        (whole?.['internal_costs_minor'] ?? NaN) +
        sum(merchandise.map(body => Number(adjusting(body).earned))) -
        sum(['due_minor', 'bonuses_minor', 'adjustments_minor', 'adjustment_costs_minor'].flatMap(of))
      t.equal(leftIn(books), expected)
      t.equal(sum(of('books_minor')), expected)
      // What the sheet of the main deal counts for others is what theirs say that they are due.
      const counted = others.flatMap(([, isCost], i) => (isCost && main !== null ? [i + 1] : []))
      t.equal(
        whole?.['acts_minor'],
        sum(counted.map(i => (of('due_minor')[i] ?? NaN) + (of('bonuses_minor')[i] ?? NaN))),
      )
      const lines = finals.flatMap(({ bookings }) => bookings.map(({ line }) => line))
      const ofShow = lines.filter(line => /^(tier|cost) |^(facility_fees|tax)$/.test(line))
      t.equal(new Set(ofShow).size, ofShow.length, 'each tier and each cost once')

      const second = await enter()
      await settleAll(second, orders[1])
      t.strictSame(plain(await entriesOf(second.show)), plain(books), 'the order is nowhere')

      const again = orders[1][0] ?? 0
      t.equal((await reopen(first.show, 'Once more', first.deals[again])).status, 200)
      t.equal(await statusOf(first.show), 'played')
      t.same((await settle(first.show, first.deals[again] ?? '', 'The same')).result, finals[again]?.result)
      t.equal(await statusOf(first.show), 'settled')
      t.strictSame(plain(await entriesOf(first.show)), plain(books), 'and the same again after a reopening')
    })

  await t.test('nothing contradicts itself', async t => {
    const [{ part }] = await db.as('callboard_worker')<
      [{ part: { contradictions: unknown[] } }]
    >`select app.find_contradictions() as part`
    t.strictSame(part.contradictions, [])
  })
})
