// The report as one page without scripts: findings, and a matrix of roles and tables. A cell leads to what was tried
// there, in each context, and why the database answers so. On paper everything is shown.
import { type Html, html, pageOf } from '../../../src/http/html.ts'
import { commands } from '../../../src/policies/attempts.ts'
import { type Outcome, outcomeOf } from '../../../src/policies/baseline.ts'
import { type Finding, valuesOf } from '../../../src/policies/finding.ts'
import type { Cell, Proof } from '../../../src/policies/proof.ts'
import { wrongOf } from '../../../src/policies/proved.ts'
import type { Compared } from '../audit-policies.ts'
import { style } from './style.ts'
import { sentences } from './text.ts'

const classOf = (name: string) => name.replaceAll(' ', '-')
const anchorOf = (table: string) => `t-${table.replaceAll(/[^\w]/g, '-')}`
const lines = (texts: string[]) => texts.map(text => html`<li><code>${text}</code></li>`)

const findingOf = (finding: Finding) =>
  html`<div class="finding ${classOf(finding.class)}">
    <p><span class="kind">${finding.class}</span> <code>${finding.id}</code></p>
    <p>${finding.says}</p>
    <ul>
      ${valuesOf(finding).map(([label, value]) => html`<li>${label} <code>${value}</code></li>`)}
      ${lines(finding.why ?? [])}
    </ul>
  </div> `

/** What a role can do to a table at most, over all contexts. */
const strength: Outcome[] = ['rows of others', 'own rows', 'planned', 'nothing', 'refused']
const letters = { select: 'S', insert: 'I', update: 'U', delete: 'D' }

function summary(cells: Cell[]): { kind: string; text: string } {
  if (cells.some(cell => wrongOf(cell) !== undefined)) {
    const wrong = commands.filter(command =>
      cells.some(cell => cell.command === command && wrongOf(cell) !== undefined),
    )
    return { kind: 'wrong', text: `${wrong.map(command => letters[command]).join('')} of others` }
  }
  const may = commands.filter(command =>
    cells.some(cell => cell.command === command && cell.refused === undefined),
  )
  if (may.length === 0) return { kind: 'refused', text: '–' }
  const best = strength.find(outcome => cells.some(cell => outcomeOf(cell) === outcome))
  return {
    kind: best === 'own rows' || best === 'rows of others' ? 'own' : 'nothing',
    text: may.map(command => letters[command]).join(''),
  }
}

function said(cell: Cell): string {
  if (cell.refused !== undefined) return `refused with ${cell.refused}: ${cell.message ?? ''}`
  if (cell.isPlanned) return 'planned, not run: grants allow it, policies decide'
  const { own, others = 0, isCertain, onNothing } = cell
  const seen = [
    ...(own !== undefined ? [`${own} rows of A, or of nobody`] : []),
    `${others} rows${isCertain ? ' of others' : ''}`,
  ]
  return `${seen.join(', ')}${onNothing ? ' (proved on nothing: others have none)' : ''}`
}

/** What was tried on a table: without what was refused to everybody in the same way. */
function details(table: string, cells: Cell[], why: Compared['why']): Html {
  const rows = cells
    .filter(cell => cell.refused !== '42501' || cell.message?.includes('row-level security'))
    .map(
      cell =>
        html`<tr>
          <td>${cell.role}</td>
          <td>${cell.command}</td>
          <td>${cell.context}</td>
          <td>${wrongOf(cell) !== undefined && html`<strong>WRONG: </strong>`}${said(cell)}</td>
          <td>
            <ul>
              ${lines((why[`${cell.role} ${cell.command} ${table}`] ?? []).slice(0, 12))}
            </ul>
          </td>
        </tr> `,
    )
  return html`<section class="table" id="${anchorOf(table)}">
    <h3>${table}</h3>
    <p>
      ${cells.filter(cell => cell.refused === '42501').length} of ${cells.length} attempts were refused for
      lack of a privilege.
    </p>
    <table>
      <thead>
        <tr>
          <th>Role</th>
          <th>Command</th>
          <th>Context</th>
          <th>What came of it</th>
          <th>Why</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </section> `
}

function matrix(proof: Proof, why: Compared['why']): Html {
  const roles = [...new Set(proof.cells.map(({ role }) => role))]
  const byTable = new Map<string, Cell[]>()
  for (const cell of proof.cells) {
    const cells = byTable.get(cell.table)
    if (cells) cells.push(cell)
    else byTable.set(cell.table, [cell])
  }
  const row = (table: string, cells: Cell[]) =>
    html`<tr>
      <th scope="row"><a href="#${anchorOf(table)}">${table}</a>${proof.empty.includes(table) && ' ∅'}</th>
      ${roles.map(role => {
        const { kind, text } = summary(cells.filter(cell => cell.role === role))
        return html`<td class="cell ${kind}"><a href="#${anchorOf(table)}">${text}</a></td>`
      })}
    </tr> `
  return html`<h2>Who may do what</h2>
    <p>
      S, I, U, D: SELECT, INSERT, UPDATE, DELETE were not refused in some context. Green: rows of A =
      ${proof.a} were seen; yellow: nothing was; red: what is not theirs. ∅: proved on nothing, since A or the
      others have no rows there.
    </p>
    <div class="wide">
      <table>
        <thead>
          <tr>
            <th>Table or view</th>
            ${roles.map(role => html`<th scope="col">${role.replace('callboard_', '')}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${[...byTable].map(([table, cells]) => row(table, cells))}
        </tbody>
      </table>
    </div>
    ${[...byTable].map(([table, cells]) => details(table, cells, why))}`
}

/** The whole page. */
export function page(report: Compared): string {
  const { findings, blind, excepted, comparison, proof } = report
  const list = (title: string, items: string[]) =>
    items.length > 0 &&
    html`<h2>${title}</h2>
      <ul>
        ${lines(items)}
      </ul>`
  return pageOf(
    `Audit of policies: ${report.database}`,
    style,
    html`<h1>Audit of policies: ${report.database}</h1>
      ${sentences(report).map(sentence => html`<p>${sentence}</p>`)}
      <h2>Findings</h2>
      ${findings.length > 0 ? findings.map(findingOf) : html`<p>None.</p>`} ${list('Not looked at', blind)}
      ${list('Gone', comparison?.gone.map(({ id }) => id) ?? [])}
      ${list('Who may do what they could not, or no longer may', comparison?.changes.map(c => `${c.role} ${c.command} ${c.table} (${c.context}): ${c.before}, now ${c.now}`) ?? [])}
      ${list(
        'Excepted',
        excepted.map(({ id, reason }) => `${id}: ${reason}`),
      )}
      ${proof && matrix(proof, report.why)}`,
  )
}
