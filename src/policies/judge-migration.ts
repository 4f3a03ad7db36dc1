// What a migration changes in who may see and do what. It is judged like drift, but who writes a migration may mean it: a
// grant that policies limit, or a function for logins, is to be reviewed instead of dangerous, and what nobody outside
// the database notices is safe.
import { asFindings, differences } from './drift.ts'
import type { Class, Finding } from './finding.ts'
import { judge } from './judge.ts'
import type { Difference, Judgement } from './judgement.ts'
import { hasContext, LiveFacts } from './live.ts'
import { normalise } from './normal.ts'
import { isOuter, limitOf } from './words.ts'

const wording = { added: 'is new', differs: 'is changed', gone: 'is gone' }

/** The differences between the facts of a database before a migration and after it. */
export function migrationFindings(before: string[], after: string[]): Finding[] {
  const facts = new LiveFacts(after, wording)
  return asFindings(differences(normal(before), normal(after)), 'migration', d => judgeMigration(d, facts))
}

// A row of a table of reference may have the text of another fact.
const normal = (facts: string[]) => facts.map(normalise).filter(fact => fact !== undefined)

/** Whether a role can do this to a table only as far as the context of a request allows. */
function isLimited(facts: LiveFacts, table: string, role: string, privilege: string): boolean {
  if (!/^(?:select|insert|update|delete)$/.test(privilege) || role === 'public') return false
  if (facts.unprotected.has(table) || facts.rolesOf(role).some(name => facts.bypassing.has(name)))
    return false
  const policies = facts.policiesFor(table, role, privilege).filter(policy => policy.permissive)
  return policies.every(({ using, check }) => [using, check].every(c => c === undefined || hasContext(c)))
}

/** What roles outside the database are granted on a table or view. */
const outerGrants = (facts: LiveFacts, table: string) =>
  (facts.grants.get(table) ?? [])
    .filter(({ grantee }) => isOuter(grantee))
    .flatMap(({ grantee, privileges, column }) =>
      privileges.map(privilege => ({ role: grantee, privilege, column })),
    )

const added = (expected = '', found = '') =>
  found.split(', ').filter(name => name !== '' && !expected.split(', ').includes(name))

interface Meant {
  subject: RegExp
  /** undefined: it is judged like drift. */
  class: (groups: Record<string, string>, difference: Difference, facts: LiveFacts) => Class | undefined
}

/** What may be meant, and how it is then classed. What is taken away is judged like drift. */
const meant: Meant[] = [
  {
    subject: /^table (?<table>\S+) owner$/,
    class: ({ table = '' }, { expected }, facts) => {
      if (expected !== undefined) return undefined
      const grants = outerGrants(facts, table)
      if (!grants.every(({ role, privilege }) => isLimited(facts, table, role, privilege))) return 'dangerous'
      return grants.length > 0 ? 'to be reviewed' : 'safe'
    },
  },
  {
    subject: /^(?:function|procedure) (?<signature>.+) (?<aspect>owner|definition)$/,
    class: ({ signature = '', aspect = '' }, { expected }, facts) => {
      const routine = facts.routines.get(signature)
      const callers = (routine?.grantees ?? []).filter(isOuter)
      if (callers.includes('public')) return 'dangerous'
      if (expected === undefined) return routine?.isDefiner && callers.length > 0 ? 'to be reviewed' : 'safe'
      const name = signature.slice(0, signature.indexOf('('))
      const decides = [...facts.policies.values()]
        .flat()
        .some(({ using = '', check = '' }) => `${using} ${check}`.includes(`${name}(`))
      return aspect === 'definition' && !decides ? 'to be reviewed' : undefined
    },
  },
  {
    subject: /^(?:function|procedure) .+ grants to (?<role>\S+)$/,
    class: ({ role }) => (role === 'public' ? undefined : 'to be reviewed'),
  },
  {
    subject: /^(?:table|column|view|materialized view) (?<object>\S+) grants to (?<role>\S+)$/,
    class: ({ object = '', role = '' }, { subject, expected, found }, facts) => {
      if (!isOuter(role)) return undefined
      const table = subject.startsWith('column ') ? object.slice(0, object.lastIndexOf('.')) : object
      const isView = !facts.tables.has(table)
      const isMeant = added(expected, found).every(privilege =>
        isView ? privilege === 'select' && role !== 'public' : isLimited(facts, table, role, privilege),
      )
      return isMeant ? 'to be reviewed' : undefined
    },
  },
  {
    subject: /^(?:view|materialized view) (?<view>\S+) (?<aspect>owner|definition)$/,
    class: ({ view = '', aspect }, { expected }, facts) => {
      const grants = outerGrants(facts, view)
      if (grants.some(({ role, privilege }) => role === 'public' || privilege !== 'select')) return undefined
      if (expected === undefined) return grants.length > 0 ? 'to be reviewed' : 'safe'
      return aspect === 'definition' ? 'to be reviewed' : undefined
    },
  },
  {
    subject: /^column (?<table>\S+)\.[^. ]+$/,
    class: ({ table = '' }, { expected }, facts) => {
      if (expected !== undefined) return undefined
      const whole = outerGrants(facts, table).filter(({ column }) => column === undefined)
      return whole.every(({ role, privilege }) => isLimited(facts, table, role, privilege))
        ? 'safe'
        : 'to be reviewed'
    },
  },
  { subject: /^row of \S+$/, class: () => 'to be reviewed' },
  {
    subject: /^(?:constraint|index|type|domain|sequence|statistics|collation) /,
    class: (_, { subject, expected }) =>
      expected === undefined && !subject.includes(' grants to ') ? 'safe' : undefined,
  },
]

function judgeMigration(difference: Difference, facts: LiveFacts): Judgement {
  const judgement = judge(difference, facts)
  const ofIndex = difference.subject.startsWith('index ') && judgement.class === 'safe'
  const says = ofIndex
    ? `The ${difference.subject} ${difference.expected === undefined ? wording.added : wording.differs}; the rules say whether it reveals anything.`
    : judgement.says
  // What is gone is meant or breaking, but never less than drift.
  const rule =
    difference.found === undefined ? undefined : meant.find(({ subject }) => subject.test(difference.subject))
  const kind =
    rule?.class({ ...rule.subject.exec(difference.subject)?.groups }, difference, facts) ?? judgement.class
  return { ...judgement, ...grantsOf(difference, facts), says, class: kind }
}

/** Of a new table or view, whom it is open to: every grant, with what limits it. */
function grantsOf({ subject, expected }: Difference, facts: LiveFacts): { why?: string[] } {
  const [, table = ''] = /^(?:table|view|materialized view) (\S+) owner$/.exec(subject) ?? []
  if (table === '' || expected !== undefined) return {}
  const why = outerGrants(facts, table).map(
    ({ role, privilege, column }) =>
      `${role}: ${privilege}${column === undefined ? '' : ` of ${column}`} ${limitOf(facts, table, role, privilege)}`,
  )
  return why.length > 0 ? { why } : {}
}
