// All rules, and how they are checked. The tests check them on a database that was just migrated, the audit on a live one.
import type { TransactionSql } from 'postgres'
import type { Carrier } from '../../database/context.ts'
import type { Finding } from '../finding.ts'
import { rulesOfFunctions } from './functions.ts'
import { rulesOfKeys } from './keys.ts'
import { rulesOfPolicies } from './policies.ts'
import { rulesOfPrivileges } from './privileges.ts'
import { rulesOfRoles } from './roles.ts'
import { definitions, type Rule } from './rule.ts'
import { rulesOfServers } from './server.ts'
import { rulesOfViews } from './views.ts'

const all = [
  ...rulesOfPolicies,
  ...rulesOfKeys,
  ...rulesOfFunctions,
  ...rulesOfPrivileges,
  ...rulesOfRoles,
  ...rulesOfViews,
  ...rulesOfServers,
]

/** How a database was set up. */
export interface SetUp {
  carrier: Carrier
  /** Whether by somebody who is no superuser. */
  isHosted: boolean
}

/** The rules for a database that was set up like this. */
export const rulesFor = ({ carrier, isHosted }: SetUp): Rule[] =>
  all.filter(
    ({ ifContextIs = carrier, ifSuperuserSetUp }) =>
      ifContextIs === carrier && !(isHosted && ifSuperuserSetUp === true),
  )

/** What breaks a rule, by name. */
export async function offendersOf(sql: TransactionSql, { offenders }: Rule): Promise<string[]> {
  const found = await sql.unsafe<{ name: string }[]>(
    `${definitions} select distinct name from (${offenders}) as o order by 1`,
  )
  return found.map(({ name }) => name)
}

/** Checks all rules, and returns what breaks them, and the rules that this login cannot check, with the reason. */
export async function checkRules(sql: TransactionSql, setUp: SetUp) {
  const findings: Finding[] = []
  const unchecked: string[] = []
  const [who] = await sql<[{ isSuper: boolean }]>`
    select rolsuper as "isSuper" from pg_roles where rolname = current_user`
  await sql`select set_config('search_path', '', true)`
  for (const rule of rulesFor(setUp)) {
    if (rule.needs === 'superuser' && !who.isSuper) {
      unchecked.push(`${rule.rule}: only a superuser can see that`)
      continue
    }
    try {
      const names = await sql.savepoint(tx => offendersOf(tx, rule))
      findings.push(...names.map(name => findingOf(rule, name)))
    } catch (error) {
      unchecked.push(`${rule.rule}: ${(error as Error).message}`)
    }
  }
  return { findings, unchecked }
}

const findingOf = ({ id, rule, class: kind, lets }: Rule, name: string): Finding => ({
  id: `rules:${id}: ${name}`,
  part: 'rules',
  class: kind,
  subject: name,
  says: `${lets} The rule: ${rule}.`,
})
