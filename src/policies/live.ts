// The facts of a live database as objects: who is granted what, under which policies, and through which functions.
import { subjectOf, valueOf } from './committed.ts'
import { withoutParentheses } from './normal.ts'

export interface Policy {
  name: string
  permissive: boolean
  command: string
  roles: string[]
  using: string | undefined
  check: string | undefined
}
export interface Grant {
  grantee: string
  privileges: string[]
  /** Only on this column. */
  column?: string
}
export interface Routine {
  name: string
  owner: string
  /** Runs with the rights of its owner. */
  isDefiner: boolean
  text: string
  grantees: string[]
}

const policyText =
  /^(permissive|restrictive), for (\w+), to (.*?)(?:, using \((.*?)\))?(?:, with check \((.*)\))?$/

/** Reads the value of a policy's fact. */
export function policyOf(name: string, value: string): Policy {
  const [, kind, command = 'all', roles = '', using, check] = policyText.exec(value) ?? []
  return { name, permissive: kind !== 'restrictive', command, roles: roles.split(', '), using, check }
}

/** Whether a condition compares with the context of the request, which nobody can choose. */
export const hasContext = (condition: string) =>
  /app\.(?:org_if|org_if_reading|current_org|current_user_id|current_session_id|visible_org)\(/.test(
    condition,
  )

/** What is said of a thing that only one side has, or that is another: of a live database, or of a migration. */
export interface Wording {
  added: string
  differs: string
  gone: string
}
const ofDatabase: Wording = {
  added: 'is not of Callboard',
  differs: 'differs from its source in db/schema',
  gone: 'is missing',
}

export class LiveFacts {
  readonly policies = new Map<string, Policy[]>()
  readonly grants = new Map<string, Grant[]>()
  readonly routines = new Map<string, Routine>()
  readonly unprotected = new Set<string>()
  readonly tables = new Set<string>()
  /** Roles that no policy applies to. */
  readonly bypassing = new Set<string>()
  /** What a role has the privileges of, or may become. */
  readonly memberships = new Map<string, string[]>()
  /** Who has set up the server, if that was no superuser: then what only a superuser can do is missing. */
  setUpBy: string | undefined

  readonly words: Wording

  constructor(facts: string[], words: Wording = ofDatabase) {
    this.words = words
    for (const fact of facts) this.#read(subjectOf(fact), valueOf(fact))
  }

  #read(subject: string, value: string): void {
    if (subject === 'function app_private.set_up_by() definition')
      this.setUpBy = /select '(.+)'::name/.exec(value)?.[1]
    const [, policy = '', on = ''] = /^policy (.+) on (\S+)$/.exec(subject) ?? []
    if (on !== '') {
      append(this.policies, on, policyOf(policy, withoutParentheses(value)))
      return
    }
    const [, kind, object = '', grantee = ''] =
      /^(table|view|materialized view|sequence|schema|column|function|procedure) (.+) grants to (.+)$/.exec(
        subject,
      ) ?? []
    if (kind === 'column') {
      const at = object.lastIndexOf('.')
      const column = object.slice(at + 1)
      append(this.grants, object.slice(0, at), { grantee, privileges: value.split(', '), column })
      return
    }
    if (kind === 'function' || kind === 'procedure') {
      this.#routine(object).grantees.push(grantee)
      return
    }
    if (kind !== undefined) {
      append(this.grants, object, { grantee, privileges: value.split(', ') })
      return
    }
    const [, routine = '', aspect] = /^(?:function|procedure) (.+) (owner|definition)$/.exec(subject) ?? []
    if (aspect === 'owner') this.#routine(routine).owner = value
    if (aspect === 'definition')
      Object.assign(this.#routine(routine), { text: value, isDefiner: / SECURITY DEFINER\b/.test(value) })
    const [, table = '', state] = /^table (\S+) (row security|persistence)$/.exec(subject) ?? []
    if (state === 'persistence') this.tables.add(table)
    if (state === 'row security' && value.startsWith('not enabled')) this.unprotected.add(table)
    const [, above = ''] = /^role (\S+) attribute (?:bypassrls|superuser)$/.exec(subject) ?? []
    if (above !== '') this.bypassing.add(above)
    const [, member = '', role = ''] = /^role (\S+) member of (\S+)$/.exec(subject) ?? []
    if (role !== '') append(this.memberships, member, role)
  }

  #routine(signature: string): Routine {
    let routine = this.routines.get(signature)
    if (routine === undefined) {
      routine = { name: signature, owner: '', isDefiner: false, text: '', grantees: [] }
      this.routines.set(signature, routine)
    }
    return routine
  }

  /** A role, those whose privileges it has or may take on, and PUBLIC. */
  rolesOf(role: string): string[] {
    const found = new Set([role, 'public'])
    for (const one of found) for (const other of this.memberships.get(one) ?? []) found.add(other)
    return [...found]
  }

  /** The policies for a command that apply to a role. */
  policiesFor(table: string, role: string, command: string): Policy[] {
    const roles = this.rolesOf(role)
    return (this.policies.get(table) ?? []).filter(
      policy => [command, 'all'].includes(policy.command) && policy.roles.some(name => roles.includes(name)),
    )
  }

  /** What grants a role a command on a table: `select`, or `select of id, title`. */
  grantsFor(table: string, role: string, command: string): string[] {
    const roles = this.rolesOf(role)
    const found = (this.grants.get(table) ?? []).filter(
      grant =>
        roles.includes(grant.grantee) && grant.privileges.some(p => p.replace(/ with.*/, '') === command),
    )
    return [...new Set(found.map(grant => grant.grantee))].map(grantee => {
      const columns = found.filter(grant => grant.grantee === grantee).map(grant => grant.column)
      const all = columns.includes(undefined)
      return `granted to ${grantee}: ${command}${all ? '' : ` of ${columns.join(', ')}`}`
    })
  }

  /** The roles that a table is read by, or one of its columns. */
  readersOf(table: string): string[] {
    const grants = (this.grants.get(table) ?? []).filter(grant => grant.privileges.includes('select'))
    return [...new Set(grants.map(grant => grant.grantee))].filter(name => name !== 'its owner').sort()
  }
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const found = map.get(key)
  if (found) found.push(value)
  else map.set(key, [value])
}
