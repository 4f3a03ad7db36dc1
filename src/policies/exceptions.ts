// Findings that somebody has looked at, each with the reason why it may stay.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { root } from '../root.ts'
import type { Finding } from './finding.ts'

export interface Exception {
  /** The id of a finding; `*` stands for anything. */
  finding: string
  reason: string
}

/** The exceptions that come with Callboard. */
export const ownExceptions = (): Exception[] =>
  readExceptions(fileURLToPath(new URL('db/policies/exceptions.json', root)))

/** Reads a file of exceptions. Throws if one has no reason. */
export function readExceptions(file: string): Exception[] {
  const read = JSON.parse(readFileSync(file, 'utf8')) as unknown
  if (!Array.isArray(read)) throw new Error(`${file}: a list of exceptions was expected`)
  return read.map((entry: unknown) => {
    const { finding, reason } = (entry ?? {}) as Partial<Exception>
    if (typeof finding !== 'string' || typeof reason !== 'string' || reason.trim().length < 10)
      throw new Error(
        `${file}: each exception has a "finding" and a "reason" of ten letters or more: ${JSON.stringify(entry)}`,
      )
    // That would be no exception, but the end of the audit.
    if (/^[*:\s]*$/.test(finding)) throw new Error(`${file}: "${finding}" would except everything`)
    return { finding, reason }
  })
}

const matches = ({ finding }: Exception, id: string) =>
  new RegExp(
    `^${finding
      .split('*')
      .map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
    's',
  ).test(id)

/** Findings without those that are excepted, those, and the exceptions that match nothing any more. */
export function except(findings: Finding[], exceptions: Exception[]) {
  const excepted: (Finding & { reason: string })[] = []
  const used = new Set<Exception>()
  const rest = findings.filter(finding => {
    const exception = exceptions.find(one => matches(one, finding.id))
    if (exception === undefined) return true
    used.add(exception)
    excepted.push({ ...finding, reason: exception.reason })
    return false
  })
  return { findings: rest, excepted, unused: exceptions.filter(exception => !used.has(exception)) }
}
