// What an audit reports.

/**
 * dangerous: somebody sees or changes what is not theirs, or what keeps them from it is gone. to be reviewed: a person
 * must look at what it is for. breaking: somebody may no longer do what Callboard does. safe: none of these.
 */
export type Class = 'dangerous' | 'to be reviewed' | 'breaking' | 'safe'

export const classes: readonly Class[] = ['dangerous', 'to be reviewed', 'breaking', 'safe']

export interface Finding {
  /** The same in every run, for exceptions and for comparing two runs. */
  id: string
  part: 'drift' | 'rules' | 'proof' | 'migration'
  class: Class
  subject: string
  /** What it lets whom see or do, or keeps whom from. */
  says: string
  /** What it should be, and is. */
  expected?: string
  found?: string
  /** How it comes to that: grants, policies, functions. */
  why?: string[]
}

/** What the two values of a finding are called. */
export const valuesOf = ({ part, expected, found }: Finding): [label: string, value: string][] => {
  const [one, other] = part === 'migration' ? ['before:  ', 'after:   '] : ['expected:', 'found:   ']
  return [
    ...(expected === undefined ? [] : [[one, expected] as [string, string]]),
    ...(found === undefined ? [] : [[other, found] as [string, string]]),
  ]
}

/** The worst first. */
export const inOrder = (findings: Finding[]): Finding[] =>
  [...findings].sort(
    (a, b) => classes.indexOf(a.class) - classes.indexOf(b.class) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  )
