// The sheet of a settlement as a printable page.
import type { Static } from '@sinclair/typebox'
import { type Html, html, pageOf, policyOf } from '../http/html.ts'
import type { SettlementSheet } from './sheet-shapes.ts'

type Sheet = Static<typeof SettlementSheet>

const style = `
:root { color-scheme: light; font: 10pt/1.35 system-ui, sans-serif }
body { max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }
h1 { font-size: 1.5rem; margin: 0 }
p { margin: .2rem 0 }
.status { float: right; border: 2px solid #111; padding: .2rem .6rem; font-weight: bold }
table { width: 100%; border-collapse: collapse; margin-top: 1rem }
caption { text-align: left; font-size: 1.1rem; font-weight: bold; border-bottom: 2px solid #111 }
th { font-weight: normal; color: #444; text-align: left }
td, th { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #bbb; vertical-align: top; overflow-wrap: anywhere }
.amount { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; padding-right: 0; padding-left: .8rem }
.name { width: 32% }
.total td { font-weight: bold; border-bottom: 2px solid #111 }
.formula, .total .formula { color: #444; font-weight: normal }
.signatures { display: flex; gap: 3rem; margin-top: 3.5rem; break-inside: avoid }
.signatures div { flex: 1; border-top: 1px solid #111; padding-top: .3rem }
@page { margin: 15mm }
@media print { body { margin: 0; max-width: none } tr, caption { break-inside: avoid } caption { break-after: avoid } }
`
/** The content security policy of the page. */
export const settlementSheetPolicy = policyOf(style)

const titles = {
  receipts: 'Receipts',
  costs: 'Costs',
  split: 'The deal',
  payment: 'Payment',
  open: 'Deposits that are due and not counted',
} as const
type Section = keyof typeof titles

const statusOf = ({ status, number, reopened_at, is_outdated }: Sheet['settlement']) => {
  if (reopened_at !== null) return `Reopened, no longer valid · revision ${number}`
  const draft = is_outdated ? 'Draft, out of date' : 'Draft, not final'
  return `${status === 'final' ? 'Final' : draft} · revision ${number}`
}

function table(section: Section, lines: Sheet['lines']): Html | false {
  const rows = lines.filter(line => line.section === section)
  if (rows.length === 0) return false
  const hasBudget = rows.some(({ budget }) => budget !== null)
  return html`<table>
    <caption>
      ${titles[section]}
    </caption>
    ${
      hasBudget &&
      html`<tr>
        <th colspan="2"></th>
        <th class="amount">Budget</th>
        <th class="amount">Over budget</th>
        <th class="amount">Actual</th>
      </tr>`
    }
    ${rows.map(
      ({ name, formula, amount, budget, over_budget, is_total }) =>
        html`<tr class="${is_total ? 'total' : 'line'}">
          <td class="name">${name}</td>
          <td class="formula">${formula}</td>
          ${
            hasBudget &&
            html`<td class="amount">${budget}</td>
              <td class="amount">${over_budget}</td>`
          }
          <td class="amount">${amount}</td>
        </tr>`,
    )}
  </table>`
}

/** The sheet, with room for two signatures. */
export function renderSettlementSheet(sheet: Sheet): string {
  const { organization, show, settlement, currency, lines } = sheet
  const about = [show?.show_on, show?.venue_name, show?.venue_city].filter(Boolean).join(' · ')
  const tickets = `${sheet.tickets_sold} sold, ${sheet.tickets_comped} complimentary, of ${sheet.tickets_allotted} tickets`
  // Another act than the artist of the show.
  const { act } = settlement
  const artist = act ?? show?.artist
  return pageOf(
    `Settlement: ${artist ?? ''}, ${show?.show_on ?? ''}`,
    style,
    html`
      <p class="status">${statusOf(settlement)}</p>
      <h1>${artist ?? 'Settlement'}</h1>
      ${act !== null && show !== null && html`<p>With ${show.artist}</p>`}
      <p>${show?.title}</p>
      ${settlement.is_cancelled && html`<p><strong>Cancelled</strong></p>`}
      <p>${about}</p>
      <p>${organization} · amounts in ${currency}</p>
      <p>${tickets}</p>
      ${settlement.reason !== null && html`<p>${settlement.reason}</p>`}
      ${(Object.keys(titles) as Section[]).map(section => table(section, lines)).filter(part => part !== false)}
      <section class="signatures">
        <div>For the artist: name, date, signature</div>
        <div>For the promoter: name, date, signature</div>
      </section>
    `,
  )
}
