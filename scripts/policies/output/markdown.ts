// The report as Markdown, for a comment on a change or a ticket.
import { classes } from '../../../src/policies/finding.ts'
import type { Compared } from '../audit-policies.ts'
import { sentences } from './text.ts'

// What a database says is not markup.
export const plain = (value: string) => value.replace(/[\\`*_{}[\]<>|#]/g, '\\$&').replaceAll('\n', ' ')

/** One section per class, with what each finding lets whom see. */
export function markdown(report: Compared): string {
  const { findings, excepted, blind, comparison } = report
  const sections = classes.flatMap(kind => {
    const all = findings.filter(finding => finding.class === kind)
    if (all.length === 0) return []
    const items = all.flatMap(({ subject, says, why = [] }) => [
      `- **${plain(subject)}**: ${plain(says)}`,
      ...why.slice(0, 10).map(line => `  - ${plain(line)}`),
    ])
    return [`## ${kind[0]?.toUpperCase() ?? ''}${kind.slice(1)}`, items.join('\n')]
  })
  const list = (title: string, lines: string[]) =>
    lines.length === 0 ? [] : [`## ${title}`, lines.map(line => `- ${plain(line)}`).join('\n')]
  return `${[
    '# Audit of policies',
    sentences(report).map(plain).join('\n\n'),
    ...sections,
    ...list('Not looked at', blind),
    ...list('Gone', comparison?.gone.map(({ id }) => id) ?? []),
    ...list(
      'Who may do what they could not, or no longer may',
      comparison?.changes.map(
        c => `${c.role} ${c.command} ${c.table} (${c.context}): ${c.before}, now ${c.now}`,
      ) ?? [],
    ),
    ...list(
      'Excepted',
      excepted.map(({ id, reason }) => `${id}: ${reason}`),
    ),
  ].join('\n\n')}\n`
}
