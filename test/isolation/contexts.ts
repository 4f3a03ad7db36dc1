import type postgres from 'postgres'
import { secretOf, type Tenant, type World } from './world.ts'
import { carrier, type Person } from '../support/helper.ts'

/** Who a statement of the API's login runs as, or claims to. */
export interface Context {
  name: string
  /** Where contexts are guarded, it is nothing but the attacker's own context. */
  isOwnIfGuarded?: true
  /** Whose rows must stay out of reach. */
  target: 'victim' | 'deleted'
  /** Called in its own transaction, on the connection of the statement to come. */
  open: (sql: postgres.Sql, world: World, elsewhere: postgres.Sql) => Promise<unknown>
}

export type Settings = Record<string, string>

// Not prepared: a test may have made the server discard prepared statements.
const enter = (sql: postgres.Sql, person: Person, { organization }: Tenant) =>
  sql.unsafe(`select app.enter('${secretOf(person)}', '${organization}')`)

/** The transaction's settings that begin with app., as anybody can read them. */
export async function readSettings(sql: postgres.Sql): Promise<Settings> {
  const names = [
    'current_org',
    'user_id',
    'session_id',
    'role',
    'permissions',
    'request_id',
    'ip',
    'signature',
  ]
  const [row] = (await sql.unsafe(
    `select ${names.map(name => `current_setting('app.${name}', true) as ${name}`).join(', ')}`,
  )) as unknown as [Settings]
  return Object.fromEntries(names.map(name => [`app.${name}`, row[name] ?? '']))
}

/** Sets settings as anybody can. */
export async function forge(sql: postgres.Sql, settings: Settings, isLocal = true) {
  const calls = Object.keys(settings).map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, ${isLocal})`)
  await sql.unsafe(`select ${calls.join(', ')}`, Object.entries(settings).flat())
}

/** The settings, signature and all, of a genuine transaction of the organization's owner that has ended. */
export async function endedContext(sql: postgres.Sql, tenant: Tenant): Promise<Settings> {
  await sql.unsafe('begin')
  await enter(sql, tenant.owner, tenant)
  const settings = await readSettings(sql)
  await sql.unsafe('commit')
  return settings
}

/** Tries to enter where that is refused, and continues in the same transaction anyway. */
async function refused(sql: postgres.Sql, problem: string, person: Person, tenant: Tenant) {
  await sql`savepoint before`
  const error: unknown = await enter(sql, person, tenant).then(
    () => new Error('the entry was allowed'),
    (e: unknown) => e,
  )
  if ((error as Error).message !== problem) throw error
  await sql`rollback to savepoint before`
}

/** Like `endedContext`, within a transaction that continues. */
async function stolen(sql: postgres.Sql, tenant: Tenant): Promise<Settings> {
  await sql`commit`
  const settings = await endedContext(sql, tenant)
  await sql`begin`
  return settings
}

const everyContext: Context[] = [
  { name: 'no context', target: 'victim', open: async () => {} },
  {
    name: "another organization's owner",
    target: 'victim',
    open: (sql, { attacker }) => enter(sql, attacker.owner, attacker),
  },
  {
    name: 'settings of the victim without a signature',
    target: 'victim',
    open: async (sql, { victim }) => forge(sql, { ...(await stolen(sql, victim)), 'app.signature': '' }),
  },
  {
    name: 'settings of the victim with an invented signature',
    target: 'victim',
    open: async (sql, { victim }) =>
      forge(sql, { ...(await stolen(sql, victim)), 'app.signature': 'ab'.repeat(32) }),
  },
  {
    name: "settings of the victim with the signature of one's own context",
    isOwnIfGuarded: true,
    target: 'victim',
    open: async (sql, { attacker, victim }) => {
      const theirs = await stolen(sql, victim)
      await enter(sql, attacker.owner, attacker)
      const { 'app.signature': own = '' } = await readSettings(sql)
      await forge(sql, { ...theirs, 'app.signature': own })
    },
  },
  {
    name: "settings and signature of the victim's last transaction on the same backend",
    target: 'victim',
    open: async (sql, { victim }) => forge(sql, await stolen(sql, victim)),
  },
  {
    name: 'settings and signature of the victim’s transaction in progress on another backend',
    target: 'victim',
    open: async (sql, { victim }, elsewhere) => {
      await elsewhere`rollback`
      await elsewhere`begin`
      await enter(elsewhere, victim.owner, victim)
      await forge(sql, await readSettings(elsewhere))
    },
  },
  {
    name: 'settings and signature of the victim that were set for the whole session',
    target: 'victim',
    open: async (sql, { victim }) => {
      await forge(sql, await stolen(sql, victim), false)
      await sql`commit`
      await sql`begin`
    },
  },
  {
    name: "the victim's own context, after its COMMIT",
    target: 'victim',
    open: async (sql, { victim }) => {
      await enter(sql, victim.owner, victim)
      await sql`commit`
      await sql`begin`
    },
  },
  {
    name: 'a session that was revoked',
    target: 'victim',
    open: (sql, { victim, revoked }) => refused(sql, 'session_revoked', revoked, victim),
  },
  {
    name: 'a member who was removed',
    target: 'victim',
    open: (sql, { victim, removed }) => refused(sql, 'membership_revoked', removed, victim),
  },
  {
    name: 'a member who was removed, signed in to no organization',
    target: 'victim',
    open: (sql, { removed }) => sql`select app.enter(${secretOf(removed)})`,
  },
  {
    name: 'the owner of an organization that was deleted',
    target: 'deleted',
    open: (sql, { deleted }) => refused(sql, 'organization_deleted', deleted.owner, deleted),
  },
]

export const contexts = everyContext.filter(
  ({ isOwnIfGuarded }) => !(isOwnIfGuarded && carrier === 'guarded'),
)
