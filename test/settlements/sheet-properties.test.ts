// Whatever is on a sheet: it is the same as on paper, its lines add up, it does not depend on the order of entry, and it is in the books once.
import fc from 'fast-check'
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { onPaper } from '../support/on-paper.ts'
import { type Recorded, settling, type SheetLine } from '../support/settling.ts'
import { adjustment, bonus, cost, deal, deposit, listOf, tier } from '../support/sheet-parts.ts'

type Parts = [path: string, body: object][]
interface Entry {
  kind: string
  amount_minor: number
  status: string
  booked_on: string
  category_name: string
}

const night = fc
  .tuple(
    deal,
    listOf('ticket-tiers', tier, 3),
    listOf('costs', cost),
    listOf('bonuses', bonus, 3),
    listOf('adjustments', adjustment),
    listOf('deposits', deposit, 3),
  )
  .map(([deal, ...others]): Parts => [['deals', deal], ...others.flat()])
/** A night, and the same entered in another order. */
const nights = fc.sample(
  night.chain(parts => fc.tuple(fc.constant(parts), fc.shuffledSubarray(parts, { minLength: parts.length }))),
  { numRuns: 40, seed: 20_270_203 },
)

t.test('whatever is on a sheet,', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  await call(`PATCH /api/organizations/${ana.organization}`, { token, body: { currency: 'EUR' } })
  const { showWith, linesOf, record, finalize, reopen } = settling(server, token)
  const entriesOf = async (show: string) =>
    (
      await call<{ items: Entry[] }>(`GET /api/finance-records?show_id=${show}&limit=200`, { token })
    ).body.items.filter(({ status }) => status === 'actual')
  const leftIn = (entries: Entry[]) =>
    entries.reduce((sum, { kind, amount_minor }) => sum + (kind === 'income' ? 1 : -1) * amount_minor, 0)
  const sum = (lines: SheetLine[], section: string, until?: string) => {
    const end = lines.findIndex(({ key }) => key === until)
    return lines
      .slice(0, end < 0 ? undefined : end)
      .filter(line => line.section === section && !line.is_total)
      .reduce((all, { amount_minor }) => all + amount_minor, 0)
  }

  for (const [n, [parts, shuffled]] of nights.entries())
    await t.test(`it adds up, in any order, and is in the books once: ${n + 1}`, async t => {
      const isCancelled = n % 4 === 3
      const status = isCancelled ? 'cancelled' : 'played'
      const show = await showWith(parts, status)
      const lines = await linesOf(show)
      const totalOf = (name: string) => lines.find(({ key }) => key === name)?.amount_minor ?? NaN
      t.equal(sum(lines, 'receipts', 'gross'), totalOf('gross'))
      t.equal(sum(lines, 'receipts'), totalOf('net_receipts'))
      t.equal(sum(lines, 'costs'), totalOf('costs'))
      t.equal(totalOf('due') + sum(lines, 'payment'), totalOf('walk_out'))
      t.equal(new Set(lines.map(({ key }) => key)).size, lines.length, 'each line has a key of its own')

      const said = (all: SheetLine[]) =>
        all.map(({ key, ...line }) => ({ ...line, key: key.replace(/ .*/, '') }))
      const other = await showWith(shuffled, status)
      t.same(said(await linesOf(other)), said(lines), 'the order of entry is nowhere')

      const first = (await record(show)).body
      t.match(first.result, onPaper(parts, isCancelled), 'the same as on paper')
      t.equal((await finalize(first.id)).status, 200)
      const entries = await entriesOf(show)
      t.equal(leftIn(entries), first.result['promoter_minor'], 'the books have what is left')
      const plain = (all: Entry[]) =>
        all.map(e => `${e.kind} ${e.category_name} ${e.amount_minor} ${e.booked_on}`).sort()
      t.equal((await reopen(show, 'Once more')).status, 200)
      t.equal((await entriesOf(show)).length, 0)
      const second = (await record(show, 'The same')).body
      t.same(second.result, first.result)
      const final = (await finalize(second.id)).body as Recorded & {
        bookings: { line: string; status: string }[]
      }
      t.same(plain(await entriesOf(show)), plain(entries), 'and the same again after a reopening')
      const booked = new Set(final.bookings.map(({ line }) => line))
      t.equal(booked.size, final.bookings.length, 'each line once')
    })
})
