// What the queries of docs/how-to/ask-bi.md must return, computed from what the API says and without SQL.
import type { Item } from './pages.ts'
import type { Api } from './star.ts'
import { moneyAnswers } from './star-money.ts'
import { type Cell, group, month, of, percent, type Row, text, total, where } from './star-sums.ts'

/** What is in fact_pipeline for shows and money: whose month, status and currency. */
function pipeline({ shows, records }: Api, since: string) {
  const entries = [
    ...shows.map(s => ({
      ...s,
      month: month(text(s, 'show_on')),
      currency: text(s, 'currency') ?? 'EUR',
      is: 'show',
    })),
    ...records
      .filter(r => r['status'] !== 'void')
      .map(r => {
        const show = shows.find(s => s.id === r['show_id'])
        const day = show === undefined ? text(r, 'booked_on') : text(show, 'show_on')
        return {
          ...r,
          month: month(day),
          status: show === undefined ? 'none' : text(show, 'status'),
          was: r['status'],
          is: 'record',
        }
      }),
  ] as Item[]
  return entries.filter(entry => String(entry['month']) >= since)
}

/** The first month of a snapshot: two before its own. */
export function sinceOf(day: string): string {
  const [year = 0, its = 0] = day.split('-').map(Number)
  return new Date(Date.UTC(year, its - 3, 1)).toISOString().slice(0, 10)
}

export function answers(api: Api, before: Api, taken: { then: string; now: string; month: string }) {
  const inUnits = (amount: number, currency: Cell) => amount / 10 ** (api.digits.get(String(currency)) ?? NaN)
  const byId = (items: Item[], id: Cell | undefined) => items.find(item => item.id === id)
  const isOver = (s: Item) => ['played', 'settled'].includes(String(s['status']))
  const dealOf = (tier: Item) => text(where(api.deals, { show_id: tier['show_id'] })[0], 'currency')
  const sold = (was: Api, since: string) =>
    group(
      pipeline(was, since).filter(e => e['status'] !== 'cancelled'),
      e => [text(e, 'month')],
    )

  return {
    'How did each venue sell?': group(
      api.shows.filter(s => isOver(s) && s['venue_id'] !== null),
      s => [text(s, 'venue_name'), text(s, 'venue_city')],
    ).map(([[venue, city], s]) => ({
      venue,
      city,
      shows: s.length,
      sold: total(s, 'tickets_sold'),
      capacity: total(s, 'capacity'),
      percent: percent(total(s, 'tickets_sold'), total(s, 'capacity')),
    })),
    'How did the Kanalhalle sell, show by show?': where(api.shows, { venue_name: 'Kanalhalle' })
      .filter(s => !['inquiry', 'cancelled'].includes(String(s['status'])))
      .map(s => ({
        show_on: text(s, 'show_on'),
        artist: text(s, 'artist'),
        tickets_sold: of(s, 'tickets_sold'),
        capacity: of(s, 'capacity'),
        status: text(s, 'status'),
      })),
    'Which tiers sell?': group(api.tiers, x => [text(x, 'name'), dealOf(x)]).map(([[tier, currency], x]) => ({
      tier,
      currency,
      shows: new Set(x.map(one => one['show_id'])).size,
      sold: total(x, 'sold'),
      comps: total(x, 'comps'),
      allotment: total(x, 'allotment'),
      percent: percent(total(x, 'sold'), total(x, 'allotment')),
      gross: inUnits(
        x.reduce((sum, one) => sum + of(one, 'sold') * of(one, 'price_minor'), 0),
        currency,
      ),
    })),
    'On which weekdays do people come?': group(api.shows.filter(isOver), s => [
      new Date(String(s['show_on'])).toLocaleDateString('en', { weekday: 'long', timeZone: 'UTC' }),
    ]).map(([[weekday_name], s]) => ({ weekday_name, shows: s.length, sold: total(s, 'tickets_sold') })),
    'Who plays most often?': group(api.shows, s => [text(s, 'artist')]).map(([[artist], s]) => ({
      artist,
      shows: s.length,
    })),
    'How many are on the guest lists, and how many came?': group(api.guests, g => [text(g, 'show_id')]).map(
      ([[id], g]) => ({
        show_on: text(byId(api.shows, id), 'show_on'),
        title: text(byId(api.shows, id), 'title'),
        invited: total(where(g, { status: 'confirmed' }), 'tickets'),
        asked: total(where(g, { status: 'requested' }), 'tickets'),
        came: total(g, 'checked_in'),
      }),
    ),
    'What did we expect of May on 1 March?': group(
      pipeline(before, sinceOf(taken.now)).filter(e => e['month'] === taken.month),
      e => [text(e, 'status'), text(e, 'currency')],
    ).map(([[status, currency], e]) => {
      const shows = where(e, { is: 'show' })
      const expected = (kind: string) =>
        inUnits(
          total(
            e.filter(r => r['kind'] === kind && r['was'] !== 'actual'),
            'amount_minor',
          ),
          currency,
        )
      return {
        status,
        currency,
        shows: shows.length,
        tickets_sold: total(shows, 'tickets_sold'),
        capacity: total(shows, 'capacity'),
        fee: inUnits(total(shows, 'fee_minor'), currency),
        expected_income: expected('income'),
        expected_expense: expected('expense'),
      }
    }),
    'Are advance sales ahead of last year?': sold(api, sinceOf(taken.now)).map(([[its], e]) => ({
      month: its,
      sold: total(e, 'tickets_sold'),
      // The snapshot of then is of the same months, a year earlier.
      a_year_ago: (found => (found === undefined ? null : total(found[1], 'tickets_sold')))(
        sold(before, sinceOf(taken.now)).find(([[other]]) => other === its),
      ),
    })),
    ...moneyAnswers(api),
    'Do rows and sums agree?': [],
    'Whose figures are these?': [{ name: 'Northlight Touring', currency: 'EUR', time_zone: 'Europe/Berlin' }],
  } as Record<string, Row[]>
}
