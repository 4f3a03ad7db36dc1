// Merchandise on a sheet: the hall keeps its share, whoever has sold it.
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

interface Entry {
  kind: string
  category_name: string
  amount_minor: number
  tax_minor: number
  status: string
  note: string
}
const flat = { kind: 'flat', currency: 'EUR', guarantee_minor: 500_000 }
const shirts = {
  name: 'Shirts',
  kind: 'merchandise',
  amount_minor: 500_000,
  stage: 'after_split',
  percentage: 20,
  tax_percentage: 10,
  sold_by: 'artist',
}
const records = {
  ...shirts,
  name: 'Records',
  amount_minor: 300_000,
  percentage: 25,
  tax_percentage: 8,
  sold_by: 'hall',
}

t.test('merchandise', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  await call(`PATCH /api/organizations/${ana.organization}`, { token, body: { currency: 'EUR' } })
  const { make, show500, draft, record, finalize, linesOf } = settling(server, token)

  await t.test('is shared with the hall to the cent, and in the books', async t => {
    // The artist has sold for 5,000.00 with 10 % tax: 5,000.00 / 1.1 = 4,545.45, of which 20 % are 909.09.
    // The hall has sold for 3,000.00 with 8 % tax, 222.22: 25 % of 2,777.78 are 694.445, so 694.45, and the artist gets 2,083.33.
    const show = await show500(flat)
    const without = (await draft(show)).body.result
    await make(`shows/${show}/adjustments`, shirts)
    await make(`shows/${show}/adjustments`, records)
    const { result } = (await draft(show)).body
    t.match(result, {
      merchandise_minor: 454_545 + 277_778,
      hall_share_minor: 90_909 + 69_445,
      adjustments_minor: 208_333 - 90_909,
      due_minor: 500_000,
      walk_out_minor: 500_000 + 208_333 - 90_909,
    })
    t.equal(result['promoter_minor'], (without['promoter_minor'] ?? NaN) + 90_909 + 69_445)
    t.strictSame(
      (await linesOf(show))
        .filter(({ key }) => key.startsWith('adjustment'))
        .map(({ name, formula, amount_minor }) => [name, formula, amount_minor]),
      [
        ['Records', '3,000.00 less 8 % tax in it, sold by the hall, which keeps 25 %', 208_333],
        ['Shirts', '5,000.00 less 10 % tax in it, sold by the artist: 20 % for the hall', -90_909],
      ],
    )
    const { id } = (await record(show)).body
    t.equal((await finalize(id)).status, 200)
    const { body } = await call<{ items: Entry[] }>(`GET /api/finance-records?show_id=${show}&limit=100`, {
      token,
    })
    const entries = body.items.filter(({ status }) => status === 'actual')
    t.strictSame(
      entries
        .filter(({ note }) => /merchandise/i.test(note))
        .map(e => `${e.kind} ${e.category_name} ${e.amount_minor} ${e.tax_minor}`)
        .sort(),
      [
        'expense Other expenses 208333 0',
        'expense Taxes and licences 22222 0',
        'income Merchandise 300000 22222',
        'income Merchandise 90909 0',
      ],
    )
    const left = entries.reduce((sum, e) => sum + (e.kind === 'income' ? e.amount_minor : -e.amount_minor), 0)
    t.equal(left, result['promoter_minor'])
    const [{ part }] = await db.as('callboard_worker')<
      [{ part: { failed: number } }]
    >`select app.find_contradictions() as part`
    t.equal(part.failed, 0)
  })

  await t.test('of the hall counts in the offer of a show with several acts', async t => {
    // Each ticket leaves 30.00 - 2.00 - 0.80 = 27.20. Of 4,000.00 costs, 5,000.00 and 500.00 for the acts, 5,000.00 of
    // merchandise pay a part: 4,500.00 / 27.20 = 165.4.
    const show = await show500(flat)
    await make(`shows/${show}/deals`, { ...flat, guarantee_minor: 50_000, act: 'Paper Lanterns' })
    const sold = { ...records, amount_minor: 500_000, percentage: 100, tax_percentage: null }
    await make(`shows/${show}/adjustments`, sold)
    const { body } = await call(`GET /api/shows/${show}/offer`, { token })
    t.match(body, { break_even_tickets: 166, is_break_even_known: true })
  })

  await t.test('says what it needs', async t => {
    const show = await show500(flat)
    const refused = async (body: object) =>
      outcome(await call(`POST /api/shows/${show}/adjustments`, { token, body }))
    t.equal(
      await refused({ ...shirts, stage: 'before_split' }),
      '422 deal_adjustments_merchandise_after_split',
    )
    t.equal(await refused({ ...shirts, percentage: null }), '422 deal_adjustments_percentage_by_kind')
    t.equal(await refused({ ...shirts, sold_by: null }), '422 deal_adjustments_percentage_by_kind')
    t.equal(await refused({ ...shirts, kind: 'deduction' }), '422 deal_adjustments_percentage_by_kind')
    const tax = { ...shirts, kind: 'credit', percentage: null, sold_by: null }
    t.equal(await refused(tax), '422 deal_adjustments_percentage_by_kind')
    t.equal(await refused({ ...shirts, percentage: 20.1234567 }), '422 deal_adjustments_valid_percentages')
    t.equal(
      (
        await call(`POST /api/shows/${show}/adjustments`, {
          token,
          body: { ...shirts, tax_percentage: null },
        })
      ).status,
      201,
    )
    t.match((await draft(show)).body.result, { hall_share_minor: 100_000, walk_out_minor: 400_000 })
  })
})
