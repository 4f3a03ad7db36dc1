import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import type postgres from 'postgres'
import type { Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import type { App } from '../../src/http/fastify.ts'
import { type Config, readConfig } from '../../src/config.ts'
import type { Carrier } from '../../src/database/context.ts'
import { createPool, type Pool, shareOf } from '../../src/database/pool.ts'
import { openReplica } from '../../src/database/replica.ts'
import { createDatabase, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { openClient } from './client.ts'
import { checkAnswer } from './contract.ts'

const {
  ADMIN_DATABASE_URL: adminUrl = '',
  TEST_SET_UP_URL: setUpUrl = adminUrl,
  TEST_TEMPLATE: template = '',
  TEST_PASSWORD: rolePassword = '',
} = process.env

/** How the database carries contexts: see db/schema/foundation/context. */
export const carrier = process.env['TEST_CONTEXT'] as Carrier
/** How it was set up. */
export const setUp = { carrier, isHosted: setUpUrl !== adminUrl }

export interface Database {
  name: string
  /** Superuser: sees everything; for setup and for checking what the API does not show. */
  admin: postgres.Sql
  /** The URL of a role's own login in this database. */
  url: (role: string) => string
  /** A connection as the role, closed after the test. */
  as: (role: string) => postgres.Sql
}

/** Deriving a test's password costs next to nothing: the suite makes thousands. */
const cheapPasswords = `create or replace function app_private.password_cost() returns text
  language sql immutable parallel safe set search_path = '' return 'argon2id$m=8,t=1,p=1$'`

/** This test file's own database, cloned from the template and dropped afterwards. */
export async function startDatabase(t: Test, { passwords = cheapPasswords } = {}): Promise<Database> {
  if (template === '')
    throw new Error(
      'Run tests with npm test, which creates the database: npm test -- test/shows/shows.test.ts',
    )
  const name = `callboard_test_${randomUUID().replaceAll('-', '')}`
  await createDatabase(adminUrl, name, template, setUpUrl)
  const open: postgres.Sql[] = []
  const connect = (url: string) => {
    const sql = openClient(url)
    open.push(sql)
    return sql
  }
  const admin = connect(withUrl(adminUrl, { database: name }))
  // A clone, which the server would not serve.
  await admin.unsafe(`${passwords}; select app_private.accept_origin()`)
  t.teardown(async () => {
    // Roles belong to the whole server.
    await admin`select app_private.drop_bi_role(credential_id) from app_private.bi_logins`.catch(() => {})
    await Promise.all(open.map(sql => sql.end({ timeout: 1 })))
    await dropDatabase(adminUrl, name)
  })
  const url = (role: string) => withUrl(adminUrl, { database: name, user: role, password: rolePassword })
  return { name, admin, url, as: role => connect(url(role)) }
}

export interface Call {
  token?: string | undefined
  body?: unknown
  headers?: Record<string, string>
}
export interface Answer<T = Record<string, unknown>> {
  status: number
  body: T
  headers: LightMyRequestResponse['headers']
  text: string
}
export interface TestServer {
  app: App
  pool: Pool
  exportPool: Pool
  config: Config
  db: Database
  /** One request, without a network; its response is checked against the OpenAPI document. */
  call: <T = Record<string, unknown>>(request: `${string} ${string}`, call?: Call) => Promise<Answer<T>>
}

/** The server on its own database, or on the given one, without limits unless the test sets them. */
export async function startServer(
  t: Test,
  overrides: Record<string, string> | ((db: Database) => Promise<Record<string, string>>) = {},
  given?: Database,
): Promise<TestServer> {
  const db = given ?? (await startDatabase(t))
  const config = readConfig({
    NODE_ENV: 'test',
    LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'fatal',
    DATABASE_URL: db.url('callboard_api'),
    JWT_SECRET: 'a secret that only the tests know, and of 32 letters',
    RATE_LIMIT: '1000000',
    RATE_LIMIT_PERSON: '100',
    SIGN_IN_LIMIT: '1000000',
    SIGN_IN_LIMIT_ADDRESS: '1000000',
    SIGN_IN_LIMIT_ACCOUNT: '1000000',
    MAIL_LIMIT: '1000000',
    MAIL_LIMIT_ADDRESS: '1000000',
    // Tests decide when to flush.
    USE_FLUSH_INTERVAL: '86400',
    POOL_SIZE: '4',
    EXPORT_DIR: joinPath(tmpdir(), db.name),
    ...(typeof overrides === 'function' ? await overrides(db) : overrides),
  })
  const pool = createPool({
    url: config.DATABASE_URL ?? '',
    size: config.POOL_SIZE,
    share: shareOf(config.POOL_SIZE),
    deadline: config.DATABASE_DEADLINE * 1000,
    prepare: config.PREPARE_STATEMENTS,
    applicationName: 'callboard test',
  })
  const exportPool = createPool({
    url: config.DATABASE_URL ?? '',
    size: config.EXPORT_STREAMS,
    deadline: config.EXPORT_DEADLINE * 1000,
    statementTimeout: config.EXPORT_DEADLINE * 1000,
    prepare: config.PREPARE_STATEMENTS,
    applicationName: 'callboard test export',
  })
  const supportPool = createPool({
    url: db.url('callboard_support'),
    size: 2,
    deadline: config.DATABASE_DEADLINE * 1000,
    prepare: config.PREPARE_STATEMENTS,
    applicationName: 'callboard test support',
  })
  const { DATABASE_REPLICA_URL: replicaUrl } = config
  const replica = replicaUrl === undefined ? undefined : openReplica(config, replicaUrl)
  // As src/server.ts does: a standby that is unavailable is checked again later.
  await replica?.check().catch(() => {})
  const app = await buildApp({
    config,
    pool,
    supportPool,
    exportPool,
    replica,
    jwtSecret: config.JWT_SECRET ?? '',
  })
  await app.ready()
  t.teardown(async () => {
    await app.close()
    if (config.EXPORT_DIR !== undefined) await rm(config.EXPORT_DIR, { recursive: true, force: true })
    await Promise.all([pool.close(), supportPool.close(), exportPool.close(), replica?.close()])
  })
  const call: TestServer['call'] = async (request, { token, body, headers = {} } = {}) => {
    const [method = '', url = ''] = request.split(' ')
    const response = await app.inject({
      method: method as 'GET',
      url,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && {
        payload: typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body),
      }),
    })
    checkAnswer(contract(), method, url, response)
    return {
      status: response.statusCode,
      body: (response.body !== '' && /[/+]json/.test(String(response.headers['content-type']))
        ? response.json()
        : {}) as never,
      headers: response.headers,
      text: response.body,
    }
  }
  return { app, pool, exportPool, config, db, call }
}

/** The OpenAPI document, made once by test/run.ts: it takes half a second, and every file needs it. */
const contract = () =>
  (document ??= JSON.parse(readFileSync(process.env['TEST_CONTRACT'] ?? '', 'utf8')) as object)
let document: object | undefined

export const password = 'correct horse battery staple'

export interface Person {
  id: string
  email: string
  organization: string
  token: string
  refreshToken: string
}
interface Grant {
  access_token: string
  refresh_token: string
  user_id: string
  organization_id: string
}

/** Registers somebody with their own organization, and signs in. */
export async function register(
  { call }: Pick<TestServer, 'call'>,
  name: string,
  organization = `${name}'s company`,
): Promise<Person> {
  const email = `${name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')}.${randomUUID().slice(0, 8)}@example.com`
  const { status, body } = await call<Grant>('POST /api/auth/register', {
    body: { email, password, display_name: name, organization_name: organization },
  })
  if (status !== 201) throw new Error(`cannot register: ${JSON.stringify(body)}`)
  return {
    id: body.user_id,
    email,
    organization: body.organization_id,
    token: body.access_token,
    refreshToken: body.refresh_token,
  }
}

/** Signs in, for an organization if given. */
export async function signIn({ call }: TestServer, email: string, organization?: string): Promise<Person> {
  const { status, body } = await call<Grant>('POST /api/auth/sign-in', {
    body: { email, password, ...(organization !== undefined && { organization_id: organization }) },
  })
  if (status !== 200) throw new Error(`cannot sign in: ${JSON.stringify(body)}`)
  return {
    id: body.user_id,
    email,
    organization: body.organization_id,
    token: body.access_token,
    refreshToken: body.refresh_token,
  }
}

/** The same person with a verified address: only then can they be added without an invitation. */
export async function confirmed({ db }: TestServer, person: Person): Promise<Person> {
  await db.admin`update app.users set email_verified_at = now() where id = ${person.id} and email_verified_at is null`
  return person
}

/** A member of an owner's organization in a role, with a token for that organization. */
export async function join(
  server: TestServer,
  owner: Person,
  role: string,
  name = `${role} of ${owner.organization.slice(-4)}`,
): Promise<Person> {
  const person = await confirmed(server, await register(server, name))
  const { status, body } = await server.call('POST /api/users', {
    token: owner.token,
    body: { email: person.email, display_name: name, role },
  })
  if (status !== 201) throw new Error(`cannot add ${role}: ${JSON.stringify(body)}`)
  return signIn(server, person.email, owner.organization)
}

/** A member whose only role is a custom one, made for them. */
export async function joinAs(server: TestServer, owner: Person, permissions: string[]): Promise<Person> {
  const member = await join(server, owner, 'viewer')
  const { token } = owner
  const made = await server.call<{ id: string }>('POST /api/roles', {
    token,
    body: { name: `Role ${randomUUID()}`, permissions },
  })
  for (const done of [
    made,
    await server.call(`POST /api/users/${member.id}/roles`, { token, body: { role_id: made.body.id } }),
    await server.call(`DELETE /api/users/${member.id}/roles/viewer`, { token }),
  ])
    if (done.status >= 400) throw new Error(`cannot assign a role: ${done.text}`)
  return member
}

/** Makes a person a superadmin, as a DBA would; the token is for that organization, or for none. */
export async function superadmin(
  { call, db }: TestServer,
  person: Person,
  organization: string | null,
  { mayWrite = false, reason = 'A customer asked for help' } = {},
): Promise<Person & { grant: string }> {
  const [row] = await db.admin<[{ id: string }]>`
    select app_private.grant_support(${person.email}, ${reason}, now() + interval '1 hour',
      (select slug from app.organizations where id = ${organization}), ${mayWrite}) as id`
  const { status, body } = await call<Grant>('POST /api/support/token', {
    token: person.token,
    body: { organization_id: organization },
  })
  if (status !== 200) throw new Error(`no token for a superadmin: ${JSON.stringify(body)}`)
  return { ...person, token: body.access_token, grant: row.id }
}

/** The secret in the newest waiting mail of a kind to an address: each taking of it makes one, and all of them work. */
export async function mailedToken({ db }: TestServer, kind: string, email: string): Promise<string> {
  const [mail] = await db.admin<{ token: string }[]>`
    select data ->> 'token' as token from app.take_mail((
      select id from app_private.mails where kind = ${kind} and to_address = ${email} order by id desc limit 1))`
  if (!mail) throw new Error(`there is no ${kind} mail to ${email}`)
  return mail.token
}

export const aShow = { title: 'Winter Tour', artist: 'The Gaslights', show_on: '2027-02-03' }

/**
 * Waits for a condition to become true, for half a minute unless told otherwise. Machines may be busy, so that it is the
 * rounds that are counted; but not if they take more than four times as long.
 */
export async function until(condition: () => boolean | Promise<boolean>, seconds = 30): Promise<void> {
  const began = performance.now()
  for (let round = 0; round < seconds * 50 && performance.now() - began < seconds * 4000; round += 1) {
    if (await condition()) return
    await sleep(20)
  }
  throw new Error(`it did not happen: ${condition.toString()}`)
}
