// What a difference of a policy or of a grant on a table means.
import type { Judge, Judgement } from './judgement.ts'
import { hasContext, type LiveFacts, type Policy, policyOf } from './live.ts'
import { isOuter, limitOf, whom, whomAll } from './words.ts'

const verbs: Record<string, string> = {
  select: 'see',
  insert: 'enter',
  update: 'change',
  delete: 'delete',
  all: 'see, enter, change and delete',
}

/** Whose rows a policy lets through. */
function rowsOf({ using, check }: Policy): string {
  const conditions = [using, check].filter(condition => condition !== undefined)
  if (conditions.includes('true')) return 'all rows of all organizations'
  if (!conditions.every(hasContext)) return `rows of every organization (${conditions.join('; ')})`
  return `the rows with ${conditions.join('; ')}`
}

/** Whether a condition is another one with something more to fulfil. */
function isNarrower(now: Policy, before: Policy): boolean {
  const within = (condition = '', old = '') =>
    condition === old || old === 'true' || condition.startsWith(`(${old}) AND `)
  return within(now.using, before.using) && within(now.check, before.check)
}

function judgePolicy(
  name: string,
  table: string,
  expected: string | undefined,
  found: string | undefined,
): Judgement {
  const before = expected === undefined ? undefined : policyOf(name, expected)
  const now = found === undefined ? undefined : policyOf(name, found)
  if (now === undefined) {
    const { command = 'all', roles = [], permissive = true } = before ?? {}
    const verb = verbs[command] ?? command
    if (!permissive)
      return {
        class: 'dangerous',
        says: `It withheld rows of ${table} from ${whomAll(roles)}, who may now ${verb} them.`,
      }
    return { class: 'breaking', says: `${whomAll(roles)} may no longer ${verb} rows of ${table}.` }
  }
  const verb = verbs[now.command] ?? now.command
  if (!now.permissive)
    return {
      class: 'breaking',
      says: `It withholds rows of ${table} from ${whomAll(now.roles)}, who may ${verb} only ${rowsOf(now)}.`,
    }
  if (before === undefined)
    return {
      class: 'dangerous',
      says: `It lets ${whomAll(now.roles)} ${verb} ${rowsOf(now)} of ${table}, besides what other policies allow.`,
    }
  const added = now.roles.filter(role => !before.roles.includes(role))
  if (before.permissive && before.command === now.command && added.length === 0 && isNarrower(now, before))
    return {
      class: 'breaking',
      says: `${whomAll(now.roles)} may ${verb} fewer rows of ${table}: ${rowsOf(now)}.`,
    }
  return {
    class: 'dangerous',
    says: `It lets ${whomAll(now.roles)} ${verb} ${rowsOf(now)} of ${table}${before.permissive ? '' : ', where it used to withhold rows'}.`,
  }
}

/** The privileges of one list that another does not have. */
const beyond = (one = '', other = '') =>
  one.split(', ').filter(name => name !== '' && !other.split(', ').includes(name))

function judgeGrant(
  object: string,
  table: string,
  role: string,
  expected: string | undefined,
  found: string | undefined,
  facts: LiveFacts,
): Judgement {
  const more = beyond(found, expected)
  if (more.length === 0) {
    const less = beyond(expected, found)
    return { class: 'breaking', says: `${whom(role)} may no longer ${less.join(', ')} ${object}.` }
  }
  const limits = more.map(
    privilege => `${privilege} ${object}: ${limitOf(facts, table, role, privilege.replace(/ with.*/, ''))}`,
  )
  return {
    class: isOuter(role) ? 'dangerous' : 'to be reviewed',
    says: `${whom(role)} may ${limits.join('; ')}.`,
  }
}

export const judgePolicies: Judge[] = [
  {
    subject: /^policy (?<name>.+) on (?<table>\S+)$/,
    judge: ({ name = '', table = '' }, { expected, found }, facts) => {
      const judgement = judgePolicy(name, table, expected, found)
      const roles = (found === undefined ? [] : policyOf(name, found).roles).filter(isOuter)
      const { command } = policyOf(name, found ?? expected ?? '')
      const grants = roles.flatMap(role => facts.grantsFor(table, role, command))
      return { ...judgement, ...(grants.length > 0 && { why: grants }) }
    },
  },
  {
    subject: /^(?:table|view|materialized view) (?<table>\S+) grants to (?<role>\S+)$/,
    judge: ({ table = '', role = '' }, { expected, found }, facts) =>
      judgeGrant(table, table, role, expected, found, facts),
  },
  {
    subject: /^column (?<table>\S+)\.(?<column>[^. ]+) grants to (?<role>\S+)$/,
    judge: ({ table = '', column = '', role = '' }, { expected, found }, facts) =>
      judgeGrant(`${column} of ${table}`, table, role, expected, found, facts),
  },
]
