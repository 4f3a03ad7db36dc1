import { Html, html, type Value } from '../../http/html.ts'

export interface Fresh {
  as_of: string | null
  is_current: boolean
}
const grouped = (digits: string) => digits.replace(/\B(?=(\d{3})+$)/g, '\u202f')
export const count = (number: number | undefined) => grouped(String(number ?? 0))
/** An amount as ISO 80000-1 writes numbers: spaces between thousands, a point before the decimals. */
export function amount(minor: string, decimals: number): string {
  const digits = minor.replace('-', '').padStart(decimals + 1, '0')
  const whole = grouped(digits.slice(0, digits.length - decimals))
  return `${minor.startsWith('-') ? '−' : ''}${whole}${decimals === 0 ? '' : `.${digits.slice(-decimals)}`}`
}
export const drawn = (svg: string, caption: Value) =>
  html`<figure>
    ${new Html(svg)}
    <figcaption>${caption}</figcaption>
  </figure>`
const moment = (text: string) => `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`
export const freshness = ({ as_of, is_current }: Fresh) =>
  as_of === null
    ? html`<p class="fresh stale">The figures have not been computed yet.</p>`
    : html`<p class="fresh">
        As of ${moment(as_of)}.
        ${
          is_current
            ? 'Nothing relevant has changed since.'
            : html`<strong class="stale"
                >Changes may have been made since: these figures do not show them.</strong
              >`
        }
      </p>`
export const table = (caption: string, heads: string[], rows: Value[][], hasTotal = false) =>
  html`<div class="wide">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${heads.map(head => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([first, ...cells], n) =>
            html`<tr ${new Html(hasTotal && n === rows.length - 1 ? 'class="total"' : '')}>
              <th scope="row">${first}</th>
              ${cells.map(cell => html`<td>${cell}</td>`)}
            </tr> `,
        )}
      </tbody>
    </table>
  </div>`
