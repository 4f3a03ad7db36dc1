import { type Html, html, pageOf, policyOf } from '../../http/html.ts'
import { amount, count, drawn, type Fresh, freshness, table } from './parts.ts'
import { plots, type Range } from './plots.ts'
import { style } from './style.ts'

/** Amounts as strings, since they may have more digits than a number can hold. */
export interface Amounts {
  period_on: string
  currency: string
  minor_digits: number
  income_minor: string
  expense_minor: string
  profit_minor: string
  committed_profit_minor: string
  planned_profit_minor: string
}
/** What app.report returns. */
export interface Report {
  from: string
  to: string
  data_age: number
  organization: string
  money: (Fresh & { by_month: Amounts[]; by_year: Amounts[] }) | null
  shows: Fresh & {
    by_status: Partial<Record<string, number>>
    by_year: { period_on: string; shows: number; by_status: Partial<Record<string, number>> }[]
  }
  activity: Fresh & {
    from: string
    to: string
    totals: { events: number; sign_ins: number; active_users: number }
    by_day: { day: string; events: number; sign_ins: number; active_users: number }[]
  }
}

/** The content security policy of the report. */
export const reportPolicy = policyOf(style)

const rangeOf = (from: string, to: string): Range => ({
  from: new Date(from),
  to: new Date(Date.parse(to) + 86_400_000),
})
const unique = (values: string[]) => [...new Set(values)]

async function moneyIn(currency: string, range: Range, months: Amounts[], years: Amounts[]): Promise<Html> {
  const decimals = months[0]?.minor_digits ?? 2
  const whole = (minor: string) => Number(minor) / 10 ** decimals
  const points = months.map(m => ({
    on: new Date(m.period_on),
    income: whole(m.income_minor),
    expense: whole(m.expense_minor),
    profit: whole(m.profit_minor),
  }))
  const { money } = await plots()
  const row = (name: string, a: Amounts) => [
    name,
    ...[
      a.income_minor,
      a.expense_minor,
      a.profit_minor,
      a.committed_profit_minor,
      a.planned_profit_minor,
    ].map(minor => amount(minor, decimals)),
  ]
  const heads = ['Income', 'Expenses', 'Profit', 'Committed', 'Planned']
  return html`
    ${drawn(
      money(
        points,
        range,
        currency,
        `Income, expenses and profit by month in ${currency}; the table has the figures.`,
      ),
      `Each month in ${currency}: income above the line, expenses below it, and the resulting profit as the black line. Committed and planned amounts are only in the table.`,
    )}
    ${table(
      `By month, in ${currency}. Months without any are omitted.`,
      ['Month', ...heads],
      months.map(m => row(m.period_on.slice(0, 7), m)),
    )}
    ${table(
      `By year, for the months above, in ${currency}.`,
      ['Year', ...heads],
      years.map(y => row(y.period_on.slice(0, 4), y)),
    )}
  `
}

async function money(
  range: Range,
  { by_month, by_year, ...fresh }: NonNullable<Report['money']>,
): Promise<Html> {
  const parts: Html[] = []
  for (const currency of unique(by_month.map(m => m.currency))) {
    const of = (all: Amounts[]) => all.filter(one => one.currency === currency)
    parts.push(await moneyIn(currency, range, of(by_month), of(by_year)))
  }
  return html`
    <section>
      <h2>Money by month</h2>
      ${freshness(fresh)} ${parts.length > 0 ? parts : html`<p>Nothing is booked in these months.</p>`}
    </section>
  `
}

async function shows({ by_status, by_year, ...fresh }: Report['shows']): Promise<Html> {
  const statuses = ['inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed']
  const bars = statuses.map(name => ({ name, count: by_status[name] ?? 0 }))
  const all = bars.reduce((sum, bar) => sum + bar.count, 0)
  const drawing = await plots()
  const yearly = html`${table(
    'By year of the show.',
    ['Year', ...statuses],
    by_year.map(year => [year.period_on.slice(0, 4), ...statuses.map(name => count(year.by_status[name]))]),
  )}`
  return html`
    <section class="whole">
      <h2>Shows by status</h2>
      ${freshness(fresh)}
      ${
        all === 0
          ? html`<p>There are no shows in these months.</p>`
          : html`<div class="beside">
                ${drawn(drawing.bars(bars, 'Number of shows by status; the table has the figures.'), 'Number of shows by status.')}
                ${table('In all of these months.', ['Status', 'Shows'], [...bars.map(bar => [bar.name, count(bar.count)]), ['All', count(all)]], true)}
              </div>
              ${by_year.length > 1 && yearly}`
      }
    </section>
  `
}

async function activity({ from, to, totals, by_day, ...fresh }: Report['activity']): Promise<Html> {
  const days = by_day.map(({ day, events }) => ({ on: new Date(day), events }))
  const label = `Activity on each day from ${from} to ${to}; the table has the totals.`
  return html`
    <section class="whole">
      <h2>Activity by day</h2>
      ${freshness(fresh)}
      ${
        days.length === 0
          ? html`<p>No activity from ${from} to ${to}.</p>`
          : html`<div class="beside">
              ${drawn((await plots()).days(days, rangeOf(from, to), label), `Events per day from ${from} to ${to}, from the event log.`)}
              ${table(
                'In these days.',
                ['', 'Number'],
                [
                  ['Events', count(totals.events)],
                  ['Sign-ins', count(totals.sign_ins)],
                  ['Active members', count(totals.active_users)],
                  ['Days with events', count(days.length)],
                ],
              )}
            </div>`
      }
    </section>
  `
}

/** The report as a page that prints on A4. */
export async function renderReport(report: Report): Promise<string> {
  const { organization, from, to, data_age } = report
  return pageOf(
    `${organization}, ${from} to ${to}`,
    style,
    html`
      <header>
        <h1>${organization}</h1>
        <p>Report for ${from} to ${to}</p>
        ${data_age > 0 && html`<p class="fresh stale">Read from a replica that was up to ${data_age} seconds behind.</p>`}
      </header>
      ${report.money && (await money(rangeOf(from, to), report.money))} ${await shows(report.shows)}
      ${await activity(report.activity)}
    `,
  )
}
