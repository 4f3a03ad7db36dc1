// Who attempts: two organizations, and the contexts in which statements run.
import type { TransactionSql } from 'postgres'
import type { Organizations } from './attempts.ts'

export interface Context {
  name: string
  /** Statements that enter it, as a superuser. */
  enter: string
}

export interface Stage extends Organizations {
  /** Their slugs. */
  a: string
  b: string
  owner: Member
  /** Who may do the least in A. */
  least: Member
  /** The login of a BI tool of A. */
  login: string | undefined
  /** Tables and views with an organization_id. */
  hasOrganization: Set<string>
}
interface Member {
  user_id: string
  role: string
  permissions: string
}

/** There are not two organizations to tell apart. */
export class NothingToProve extends Error {
  override name = 'NothingToProve'
}

/** Two organizations with somebody in them: the given ones, or those with the most members. */
export async function findOrganizations(
  sql: TransactionSql,
  { a, b }: { a?: string; b?: string },
): Promise<Stage> {
  const named = [a, b].filter(slug => slug !== undefined)
  const organizations = await sql<{ id: string; slug: string }[]>`
    select o.id, o.slug from app.organizations o
    where o.deleted_at is null and (o.slug = any(${named}) or cardinality(${named}::text[]) < 2)
    order by array_position(${named}::text[], o.slug),
      (select count(*) from (select 1 from app.memberships m where m.organization_id = o.id and m.deleted_at is null limit 100) m) desc, o.created_at
    limit 2`
  for (const slug of named)
    if (!organizations.some(one => one.slug === slug))
      throw new NothingToProve(`there is no organization ${slug}`)
  const [first, second] = organizations
  if (first === undefined || second === undefined)
    throw new NothingToProve('there are not two organizations: what one sees of another cannot be proved')
  // Of several the one who belongs to no other organization, and so sees nothing of another by right.
  const members = await sql<Member[]>`
    select m.user_id, m.role, array_to_string(app.permissions_of(m.organization_id, m.user_id), ' ') as permissions
    from app.memberships m where m.organization_id = ${first.id} and m.deleted_at is null
    order by (select count(*) from app.memberships o where o.user_id = m.user_id), m.created_at`
  const owner = members.find(({ role }) => role === 'owner')
  if (owner === undefined) throw new NothingToProve(`${first.slug} has no owner`)
  const least = members.reduce((one, other) =>
    other.permissions.length < one.permissions.length ? other : one,
  )
  const [login] = await sql<{ login: string }[]>`
    select l.login from app_private.bi_logins l join pg_roles r on r.rolname = l.login
    where l.organization_id = ${first.id} and r.rolcanlogin limit 1`
  const tables = await sql<{ name: string }[]>`
    select attrelid::regclass::text as name from pg_attribute where attname = 'organization_id' and not attisdropped and attnum > 0`
  const { people } = (
    await sql<[{ people: string[] }]>`
      select array_agg(m.user_id) as people from app.memberships m where m.organization_id = ${first.id} and m.deleted_at is null`
  )[0]
  return {
    own: first.id,
    other: second.id,
    a: first.slug,
    b: second.slug,
    people,
    owner,
    least,
    login: login?.login,
    hasOrganization: new Set(tables.map(({ name }) => name)),
  }
}

const text = (value: string) => `'${value.replaceAll("'", "''")}'`

/** The contexts of a role, each as statements; a name says who it is, or claims to be. */
export function contextsOf(role: string, { own, owner, least, login }: Stage): Context[] {
  const become = `set local role ${role}`
  const enter = ({ user_id, role: as, permissions }: Member) =>
    `do $enter$ begin perform app_private.set_context(${text(user_id)}, gen_random_uuid(), ${text(own)}, ${text(as)}, ${text(permissions)}); end $enter$; ${become}`
  // Names and values that anybody can set.
  const forged = [
    ['current_org', own],
    ['user_id', owner.user_id],
    ['role', 'owner'],
    ['permissions', owner.permissions],
    ['signature', 'ab'.repeat(32)],
  ].map(([name = '', value = '']) => `set local app.${name} = ${text(value)}`)
  const contexts = [
    { name: 'no context', enter: become },
    { name: 'settings of A, made up', enter: [become, ...forged].join('; ') },
  ]
  if (role === 'callboard_bi') {
    const asLogin = { name: 'BI login of A', enter: `set local session authorization ${login ?? ''}` }
    return login === undefined ? contexts : [...contexts, asLogin]
  }
  if (role === 'callboard_worker' || role === 'callboard_auditor') return contexts
  return [
    ...contexts,
    { name: 'owner of A', enter: enter(owner) },
    { name: `member of A with the fewest permissions`, enter: enter(least) },
  ]
}
