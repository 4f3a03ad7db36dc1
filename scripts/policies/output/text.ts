// The summary for people at a terminal.
import { classes, type Finding, valuesOf } from '../../../src/policies/finding.ts'
import type { Compared } from '../audit-policies.ts'

const indent = (lines: string[], by: string) => lines.map(line => by + line).join('\n')

/** A finding in a few lines: its class, what it lets whom see, and why. */
function paragraph(finding: Finding): string {
  const { id, class: kind, says, why = [] } = finding
  const details = [
    ...valuesOf(finding).map(([label, value]) => `${label} ${short(value)}`),
    ...why.slice(0, 6).map((line, n) => `${n === 0 ? 'because: ' : '         '} ${line}`),
    ...(why.length > 6 ? [`          and ${why.length - 6} more (--json has all)`] : []),
  ]
  return [`${kind.toUpperCase()}  ${id}`, indent([says, ...details], '  ')].join('\n')
}

const short = (value: string) => (value.length > 300 ? `${value.slice(0, 300)}…` : value)

/** The figures of a report, in sentences. */
export function sentences(report: Compared): string[] {
  const { proof, facts, findings, excepted, carrier } = report
  const lines = [
    `${report.database} on PostgreSQL ${report.server}: ${facts} facts, contexts are ${carrier}, looked at ${report.at}.`,
  ]
  if (proof) {
    const seen = new Set(
      proof.cells.filter(cell => cell.own !== undefined && cell.own > 0).map(cell => cell.table),
    )
    const refused = proof.cells.filter(cell => cell.refused !== undefined).length
    lines.push(
      `Proved by ${proof.cells.length} attempts in the contexts of A = ${proof.a}, beside B = ${proof.b}: ${refused} were refused, rows of A were seen in ${seen.size} tables and views.${report.isReadOnly ? ' Changes were only planned.' : ''}`,
      `Proved on nothing, because A or the others have no rows: ${proof.empty.length} tables and views.`,
    )
  }
  const counts = classes.map(kind => `${findings.filter(finding => finding.class === kind).length} ${kind}`)
  lines.push(`Found: ${counts.join(', ')}; ${excepted.length} excepted with a reason.`)
  if (report.outside.length > 0)
    lines.push(`Above all policies, and not of Callboard: ${report.outside.join(', ')}.`)
  return lines
}

/** The whole summary. */
export function text(report: Compared): string {
  const { findings, blind, unused, comparison } = report
  const blocks = findings.map(paragraph)
  if (comparison) {
    blocks.push(
      ...comparison.gone.map(({ id }) => `GONE  ${id}`),
      ...comparison.changes.map(
        ({ role, command, table, context, before, now }) =>
          `CHANGED  ${role} ${command} ${table} (${context}): ${before} before, ${now} now`,
      ),
      `Only what has changed since ${comparison.since}.`,
    )
  }
  blocks.push(...blind.map(reason => `NOT LOOKED AT  ${reason}`))
  blocks.push(...unused.map(({ finding }) => `EXCEPTION OF NOTHING  ${finding}`))
  return [...blocks, sentences(report).join('\n')].join('\n\n')
}
