// docs/how-to/ask-bi.md: each query, as a BI login sends it, against what the API says.
import { t } from '../support/tap.ts'
import { read } from '../support/documents.ts'
import { refresh } from '../support/figures.ts'
import type { Item } from '../support/pages.ts'
import { startStar } from '../support/star.ts'
import { answers } from '../support/star-answers.ts'
import { laterBy, month, of, type Row, text, total } from '../support/star-sums.ts'

const questions = new Map(
  [...read('docs/how-to/ask-bi.md').matchAll(/^([^\n]+\?)\n\n```sql\n(.*?)^```/gms)].map(
    ([, question = '', query = '']) => [question, query] as const,
  ),
)
/** Rows in one order, with numbers as numbers. */
const comparable = (rows: Record<string, unknown>[]) =>
  rows
    .map(row =>
      Object.fromEntries(
        Object.entries(row).map(([name, cell]) => [
          name,
          /^-?\d+(\.\d+)?$/.test(String(cell)) ? Number(Number(cell).toFixed(6)) : cell,
        ]),
      ),
    )
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))

t.test('what promoters ask, answered by a BI login', async t => {
  const star = await startStar(t)
  const { ana, ask, make, server } = star
  const before = await star.api()
  await star.passYear()
  // A year later, more is sold, planned and booked.
  const upcoming = before.shows.filter(s => s['status'] === 'confirmed')
  for (const s of upcoming.slice(0, 3)) {
    const body = { tickets_sold: of(s, 'tickets_sold') + 11 }
    const { status } = await server.call(`PATCH /api/shows/${s.id}`, { token: ana.token, body })
    t.equal(status, 200)
  }
  const show_on = text(upcoming[0], 'show_on') ?? ''
  await make('shows', { title: 'Late', artist: 'New Name', show_on, status: 'hold', capacity: 90 })
  await server.db.as('callboard_worker')`select app.take_pipeline_snapshots()`
  await refresh(server.db)
  const api = await star.api()
  const [days] = await ask(
    'select min(taken_on)::text as then, max(taken_on)::text as now from fact_pipeline',
  )
  const taken = { then: days?.['then'] ?? '', now: days?.['now'] ?? '', month: month(show_on) }
  const expected = answers(api, before, taken)
  const dated = (query: string) =>
    query.replace('2027-05-01', laterBy(-1, taken.month)).replace('2027-03-01', taken.then)

  /** Those whose answers are looked at in another way. */
  const others: Record<string, (rows: Row[]) => unknown> = {
    'What are settlements made of?': rows => {
      const inputsOf = (x: Item) => x['inputs'] as { currency: string; enters_show: boolean }
      const currencies = new Set(api.settlements.map(x => inputsOf(x).currency))
      for (const currency of currencies) {
        const settled = api.settlements.filter(x => inputsOf(x).currency === currency)
        const all = (name: string, which = settled) =>
          which.reduce((sum, x) => sum + of(x['result'] as Item, name), 0)
        const units = 10 ** (api.digits.get(currency) ?? NaN)
        const these = rows.filter(row => row['currency'] === currency) as Item[]
        const sum = (kind: string) =>
          total(
            these.filter(row => row['kind'] === kind),
            'amount',
          )
        const named = (category: string) =>
          total(
            these.filter(row => row['category'] === category),
            'amount',
          )
        t.equal((sum('income') - sum('expense')).toFixed(4), (all('books_minor') / units).toFixed(4))
        const shows = settled.filter(x => inputsOf(x).enters_show)
        t.equal(named('Ticket sales').toFixed(4), (all('gross_minor', shows) / units).toFixed(4))
        t.equal(
          named('Artist fees').toFixed(4),
          ((all('due_minor') + all('bonuses_minor') - all('withholding_minor')) / units).toFixed(4),
        )
        const ids = settled.map(({ id }) => id)
        const booked = api.records.filter(
          r => ids.includes(String(r['settlement_id'])) && r['status'] === 'actual',
        )
        if (settled.every(x => x['booked_at'] === null)) t.equal(booked.length, 0)
        else {
          t.equal(total(these, 'lines'), booked.length)
          for (const kind of ['income', 'expense'])
            t.equal(
              sum(kind).toFixed(4),
              (
                total(
                  booked.filter(r => r['kind'] === kind),
                  'amount_minor',
                ) / units
              ).toFixed(4),
              kind,
            )
        }
      }
      t.same(new Set(rows.map(row => row['currency'])), currencies)
    },
    'What did each tour bring and cost, as far as records name it?': async rows => {
      const { body } = await server.call<{ items: Item[] }>('GET /api/itineraries', { token: ana.token })
      const named = api.records.filter(r => r['itinerary_id'] !== null && r['status'] === 'actual')
      const sum = (kind: string) =>
        total(
          named.filter(r => r['kind'] === kind),
          'base_amount_minor',
        ) / 100
      t.match(rows, [{ itinerary: body.items[0]?.['name'], base_currency: 'EUR' }])
      t.equal(of(rows[0] as unknown as Item, 'income'), sum('income'))
      t.equal(of(rows[0] as unknown as Item, 'expense'), sum('expense'))
    },
    'Who travels?': rows =>
      t.match(rows, [{ artist: 'The Gaslights', name: 'Dov Levi', role: 'Monitor engineer' }]),
    'Who entered most?': async rows => {
      const { body } = await server.call<{
        totals: unknown
        by_action: { action: string; events: number }[]
      }>('GET /api/analytics/activity', { token: ana.token })
      const entered = body.by_action.filter(a => /^(show|venue|finance_record)\.create$/.test(a.action))
      t.match(rows, [{ display_name: 'Ana Lima' }])
      t.equal(
        of(rows[0] as unknown as Item, 'events'),
        entered.reduce((sum, a) => sum + a.events, 0),
      )
    },
  }

  t.strictSame(
    [...questions.keys()].sort(),
    [...Object.keys(expected), ...Object.keys(others)].sort(),
    'each is looked at',
  )
  for (const [question, query] of questions)
    await t.test(question, async t => {
      const rows = await ask(dated(query))
      if (others[question]) {
        t.not(rows.length, 0)
        await others[question](rows)
      } else {
        if (question !== 'Do rows and sums agree?') t.not(rows.length, 0, 'there are some')
        t.strictSame(comparable(rows), comparable(expected[question] ?? []))
      }
    })

  await t.test('a difference is noticed', async t => {
    const query = questions.get('Do rows and sums agree?') ?? ''
    await server.db
      .admin`update app.finance_records set amount_minor = amount_minor + 1 where kind = 'income' and settlement_id is null`
    t.not((await ask(query)).length, 0)
    await server.db
      .admin`update app.finance_records set amount_minor = amount_minor - 1 where kind = 'income' and settlement_id is null`
  })
})
