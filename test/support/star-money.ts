// The part of star-answers.ts that is about money.
import type { Item } from './pages.ts'
import type { Api } from './star.ts'
import { type Cell, group, of, quarter, signed, text, total, where } from './star-sums.ts'

export function moneyAnswers(api: Api) {
  const inUnits = (amount: number, currency: Cell) => amount / 10 ** (api.digits.get(String(currency)) ?? NaN)
  const byId = (items: Item[], id: Cell) => items.find(item => item.id === id)
  const live = api.records.filter(r => r['status'] !== 'void')
  const actual = where(api.records, { status: 'actual' })
  const artistOf = (r: Item) => text(byId(api.shows, text(r, 'show_id')), 'artist')
  const base = (these: Item[], fields: object) => {
    const some = where(these, fields as Record<string, unknown>)
    return some.length === 0 ? null : inUnits(total(some, 'base_amount_minor'), 'EUR')
  }

  return {
    'Are we within what was planned?': group(live, r => [
      text(r, 'kind'),
      text(r, 'category_name'),
      text(r, 'base_currency'),
    ]).map(([[kind, category, base_currency], r]) => ({
      kind,
      category,
      base_currency,
      planned: base(r, { status: 'planned' }),
      committed: base(r, { status: 'committed' }),
      actual: base(r, { status: 'actual' }),
    })),
    'Which artists make money?': group(
      actual.filter(r => artistOf(r) !== null),
      r => [artistOf(r), text(r, 'base_currency')],
    ).map(([[artist, base_currency], r]) => ({
      artist,
      base_currency,
      shows: new Set(r.map(one => one['show_id'])).size,
      income: base(r, { kind: 'income' }),
      expense: base(r, { kind: 'expense' }),
      profit: inUnits(signed(r, 'base_amount_minor'), 'EUR'),
    })),
    'What did each settled show leave us?': api.settlements.map(x => {
      const { currency, enters_show } = x['inputs'] as { currency: string; enters_show: boolean }
      const show = byId(api.shows, text(x, 'show_id'))
      const result = x['result'] as Item
      // Tickets and costs are those of one settlement of each show.
      const shared = (name: string) => (enters_show ? inUnits(of(result, `${name}_minor`), currency) : null)
      return {
        artist: text(show, 'artist'),
        act: x['act'],
        venue: text(show, 'venue_name'),
        currency,
        tickets_sold: enters_show ? of(result, 'tickets_sold') : null,
        gross: shared('gross'),
        costs: shared('costs'),
        due: inUnits(of(result, 'due_minor'), currency),
        balance: inUnits(of(result, 'balance_minor'), currency),
        promoter: inUnits(of(result, 'books_minor'), currency),
      }
    }),
    'What is outstanding?': group(
      live.filter(
        r => r['status'] !== 'planned' && ['unpaid', 'partly_paid'].includes(String(r['payment_status'])),
      ),
      r => [text(r, 'kind'), text(r, 'currency')],
    ).map(([[kind, currency], r]) => ({
      kind,
      currency,
      records: r.length,
      amount: inUnits(total(r, 'amount_minor'), currency),
      overdue: inUnits(
        total(
          r.filter(one => (text(one, 'due_on') ?? '9') < new Date().toISOString().slice(0, 10)),
          'amount_minor',
        ),
        currency,
      ),
    })),
    'How much cash came in by fiscal quarter?': group(where(actual, { payment_status: 'paid' }), r => [
      ...quarter(text(r, 'booked_on'), 4),
      text(r, 'base_currency'),
    ]).map(([[fiscal_year, fiscal_quarter, base_currency], r]) => ({
      fiscal_year,
      fiscal_quarter,
      base_currency,
      cash: inUnits(signed(r, 'base_amount_minor'), base_currency ?? ''),
    })),
    'How much tax is in it, by quarter?': group(actual, r => [
      ...quarter(text(r, 'booked_on'), 1),
      text(r, 'kind'),
      text(r, 'currency'),
    ]).map(([[year, its, kind, currency], r]) => ({
      year,
      quarter: its,
      kind,
      currency,
      tax: inUnits(total(r, 'tax_minor'), currency ?? ''),
    })),
    'What is booked in which currency?': group(live, r => [text(r, 'currency')]).map(([[currency], r]) => ({
      currency,
      name: { EUR: 'Euro', JPY: 'Yen', KWD: 'Kuwaiti dinar' }[String(currency)] ?? '',
      minor_digits: api.digits.get(String(currency)) ?? null,
      records: r.length,
      amount_minor: total(r, 'amount_minor'),
      amount: inUnits(total(r, 'amount_minor'), currency ?? ''),
    })),
  }
}
