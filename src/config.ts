import { isIP } from 'node:net'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const seconds = (value: number, description: string) =>
  Type.Number({
    default: value,
    exclusiveMinimum: 0,
    maximum: 86_400,
    description: `${description} (seconds)`,
  })
// Redis counts whole seconds.
const wholeSeconds = (value: number, minimum: number, description: string) =>
  Type.Integer({ default: value, minimum, maximum: 86_400, description: `${description} (seconds)` })
const port = (value: number, description: string) =>
  Type.Integer({ default: value, minimum: 0, maximum: 65_535, description })
const text = (description: string) => Type.Optional(Type.String({ description }))

/** Every setting. The names are environment variables; docs/reference/configuration.md is generated from here. */
export const Config = Type.Object({
  NODE_ENV: Type.Union([Type.Literal('development'), Type.Literal('production'), Type.Literal('test')], {
    default: 'development',
    description: 'production refuses what development only warns about',
  }),
  HOST: Type.String({ default: '127.0.0.1', description: 'address to listen on' }),
  PORT: port(3000, 'port to listen on'),
  PUBLIC_URL: text(
    'where users reach the API; links in mails start with it (default: the listening address)',
  ),
  LOG_LEVEL: Type.String({
    default: 'info',
    pattern: '^(fatal|error|warn|info|debug|trace|silent)$',
    description: 'fatal, error, warn, info, debug, trace or silent',
  }),
  DATABASE_URL: text('connection of callboard_api; without it an embedded PostgreSQL is started'),
  MIGRATOR_DATABASE_URL: text('connection of callboard_migrator, for npm run migrate'),
  WORKER_DATABASE_URL: text(
    'connection of callboard_worker, for npm run worker; with it npm start runs the jobs itself',
  ),
  SUPPORT_DATABASE_URL: text('connection of callboard_support; without it there are no superadmins'),
  BI_DATABASE_URL: text(
    'where BI tools reach the database, without a user; shown with each new BI login (default: as in DATABASE_URL)',
  ),
  DATABASE_REPLICA_URL: text(
    'connection of callboard_api to a standby, which then serves analytics and streamed exports',
  ),
  DATABASE_REPLICA_MAX_LAG: seconds(
    10,
    'how far behind the standby may be; beyond that DATABASE_URL takes over',
  ),
  EMBEDDED_PORT: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 65_535,
      description:
        'port of the embedded PostgreSQL (default: 15432, or a free one, kept in DATA_DIR/port, if that is taken)',
    }),
  ),
  DATA_DIR: Type.String({
    default: '.data',
    minLength: 1,
    description: 'folder of the embedded PostgreSQL and of mails without SMTP_URL',
  }),
  POOL_SIZE: Type.Integer({
    default: 10,
    minimum: 1,
    maximum: 500,
    description: 'connections of callboard_api, at most half of them for the requests of one organization',
  }),
  PREPARE_STATEMENTS: Type.Boolean({ default: true, description: 'false behind PgBouncer older than 1.21' }),
  DATABASE_DEADLINE: seconds(5, 'how long a request waits for the database'),
  SLOW_TRANSACTION: seconds(
    1,
    'transactions of requests that take longer are logged, to be found in the log of PostgreSQL',
  ),
  REQUEST_TIMEOUT: seconds(
    30,
    'how long a client may take to send a request, or be silent while it sends a file',
  ),
  SHUTDOWN_DELAY: wholeSeconds(
    0,
    0,
    'how long GET /readyz is 503 before a shutdown begins, for a proxy to notice',
  ),
  SHUTDOWN_TIMEOUT: seconds(10, 'how long a shutdown waits for running requests and jobs'),
  BODY_LIMIT: Type.Integer({
    default: 262_144,
    minimum: 1024,
    maximum: 104_857_600,
    description: 'largest request body (bytes)',
  }),
  IMPORT_LIMIT: Type.Integer({
    default: 52_428_800,
    minimum: 1024,
    maximum: 1_073_741_824,
    description: 'largest file to import (bytes)',
  }),
  EXPORT_STREAMS: Type.Integer({
    default: 20,
    minimum: 1,
    maximum: 500,
    description:
      'exports streamed at a time, each with a connection of callboard_api in addition to POOL_SIZE',
  }),
  EXPORT_DEADLINE: seconds(600, 'how long streaming an export may take'),
  POLICY_EXCEPTIONS: text(
    'file of differences of the live database that are meant: neither reported nor refused at the start',
  ),
  ENDED_FILE: text(
    'file that the worker appends to each minute what has ended, for a restore; on another disk than the database',
  ),
  EXPORT_DIR: text(
    'folder for export files, the same for the API and the worker (default: DATA_DIR/exports)',
  ),
  EXPORT_S3_BUCKET: text('bucket for export files, instead of EXPORT_DIR'),
  EXPORT_S3_ENDPOINT: text('URL of an S3-compatible server, if it is not Amazon’s'),
  EXPORT_S3_REGION: Type.String({
    default: 'us-east-1',
    minLength: 1,
    description: 'region of EXPORT_S3_BUCKET',
  }),
  EXPORT_S3_ACCESS_KEY_ID: text('key for EXPORT_S3_BUCKET; without it the AWS SDK uses its environment'),
  EXPORT_S3_SECRET_ACCESS_KEY: text('the secret of that key'),
  JWT_SECRET: Type.Optional(
    Type.String({
      minLength: 32,
      description: 'key of the access tokens, 32 characters or more; generated with the embedded PostgreSQL',
    }),
  ),
  JWT_SECRET_PREVIOUS: Type.Optional(
    Type.String({
      minLength: 32,
      description:
        'another key that access tokens are accepted with but never signed with, while JWT_SECRET is replaced',
    }),
  ),
  JWT_ISSUER: Type.String({ default: 'callboard', minLength: 1, description: 'iss of the access tokens' }),
  JWT_AUDIENCE: Type.String({
    default: 'callboard-api',
    minLength: 1,
    description: 'aud of the access tokens',
  }),
  // Whole seconds, as in the token itself.
  ACCESS_TOKEN_LIFETIME: Type.Integer({
    default: 900,
    minimum: 1,
    maximum: 86_400,
    description: 'lifetime of an access token (seconds)',
  }),
  CORS_ORIGINS: Type.String({
    default: '',
    description: 'origins that browsers may call from, separated by commas',
  }),
  TRUST_PROXY: Type.String({
    default: '',
    description: 'addresses of proxies whose X-Forwarded-For is trusted, separated by commas',
  }),
  // For organizations without values of their own in app.rate_limits.
  RATE_LIMIT: Type.Integer({
    default: 100,
    minimum: 1,
    description: 'requests per organization in RATE_LIMIT_WINDOW',
  }),
  RATE_LIMIT_PERSON: Type.Integer({
    default: 60,
    minimum: 1,
    maximum: 100,
    description: 'how much of that one person may use, in all their organizations together (percent)',
  }),
  RATE_LIMIT_WINDOW: wholeSeconds(60, 1, 'time over which requests are counted'),
  RATE_LIMIT_BLOCK: wholeSeconds(
    300,
    0,
    'how long an organization or a person that exceeds the limit is blocked; 0 is until the window ends',
  ),
  RATE_LIMIT_REFRESH: seconds(10, "how long an organization's own limit is cached"),
  REDIS_URL: text('Redis that shares the counts of all processes; without it each counts on its own'),
  USE_FLUSH_INTERVAL: seconds(5, 'how often API usage counts are written to the database'),
  SIGN_IN_LIMIT: Type.Integer({
    default: 10,
    minimum: 1,
    description: 'failed sign-ins per account and IP address, in 60 seconds',
  }),
  SIGN_IN_LIMIT_ADDRESS: Type.Integer({
    default: 30,
    minimum: 1,
    description: 'failed sign-ins per IP address, to all accounts together, in 60 seconds',
  }),
  SIGN_IN_LIMIT_ACCOUNT: Type.Integer({
    default: 100,
    minimum: 1,
    description: 'failed sign-ins per account, from all IP addresses together, in 60 seconds',
  }),
  MAIL_LIMIT: Type.Integer({
    default: 5,
    minimum: 1,
    description: 'mails of one kind that can be requested for somebody in 15 minutes',
  }),
  MAIL_LIMIT_ADDRESS: Type.Integer({
    default: 20,
    minimum: 1,
    description: 'mails that can be requested from an IP address without signing in, in 15 minutes',
  }),
  METRICS_PORT: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 65_535,
      description:
        'port for /metrics only, of the API or the worker; without it and METRICS_TOKEN nobody can read them',
    }),
  ),
  METRICS_HOST: Type.String({ default: '127.0.0.1', description: 'address to listen on for METRICS_PORT' }),
  METRICS_TOKEN: Type.Optional(
    Type.String({
      minLength: 16,
      description: 'bearer token that /metrics requires, on METRICS_PORT or, without it, on PORT',
    }),
  ),
  SMTP_URL: text('server for outgoing mail; without it mails become files in DATA_DIR/mail'),
  MAIL_FROM: Type.String({
    default: 'Callboard <callboard@localhost>',
    minLength: 3,
    description: 'sender of mails',
  }),
})
export type Config = Static<typeof Config>

/** A missing or invalid setting; the message is for the operator. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

const isUrl =
  (...protocols: string[]) =>
  (value: string) =>
    URL.canParse(value) &&
    protocols.includes(new URL(value).protocol) &&
    !new URL(value).hostname.includes(',')
const every = (test: (item: string) => boolean) => (value: string) => list(value).every(test)
const isOrigin = (item: string) => URL.canParse(item) && new URL(item).origin === item
const isNetwork = (item: string) => {
  const [address = '', bits] = item.split('/')
  const size = { 4: 32, 6: 128 }[isIP(address)]
  if (size === undefined) return ['loopback', 'linklocal', 'uniquelocal'].includes(item)
  return bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= size)
}
const databaseUrl = [
  isUrl('postgres:', 'postgresql:'),
  'must be the URL of one server: postgres://user:password@host:5432/database',
] as const

/** What the types above cannot express. */
const forms: [keyof Config, test: (value: string) => boolean, what: string][] = [
  ['DATABASE_URL', ...databaseUrl],
  ['MIGRATOR_DATABASE_URL', ...databaseUrl],
  ['WORKER_DATABASE_URL', ...databaseUrl],
  ['SUPPORT_DATABASE_URL', ...databaseUrl],
  [
    'BI_DATABASE_URL',
    value => databaseUrl[0](value) && new URL(value).username === '',
    'must be the URL of one server, without a user: postgres://host:5432/database?sslmode=require',
  ],
  ['DATABASE_REPLICA_URL', ...databaseUrl],
  ['SMTP_URL', isUrl('smtp:', 'smtps:'), 'must be a URL: smtp://user:password@host:587'],
  ['REDIS_URL', isUrl('redis:', 'rediss:'), 'must be a URL: redis://user:password@host:6379'],
  ['EXPORT_S3_ENDPOINT', isUrl('http:', 'https:'), 'must be a URL: https://s3.example.com'],
  ['PUBLIC_URL', isUrl('http:', 'https:'), 'must be a URL: https://callboard.example'],
  ['CORS_ORIGINS', every(isOrigin), 'must be origins, without a path: https://app.example,https://b.example'],
  ['TRUST_PROXY', every(isNetwork), 'must be addresses or networks: 10.0.0.7,192.168.0.0/16,loopback'],
]

/** What must be set in production. */
const required = {
  api: ['DATABASE_URL', 'JWT_SECRET', 'PUBLIC_URL'],
  worker: ['PUBLIC_URL'],
} as const

/** Reads the settings of a program from the environment. Throws a ConfigError that names every invalid one. */
export function readConfig(env: NodeJS.ProcessEnv, part: keyof typeof required = 'api'): Config {
  const given: Record<string, string> = {}
  for (const name of Object.keys(Config.properties)) {
    // A compose file passes an empty variable for one that is not set.
    const text = env[name]
    if (text !== undefined && text !== '') given[name] = text
  }
  const value = Value.Convert(Config, Value.Default(Config, given))
  const problems = [...Value.Errors(Config, value)].map(
    e => `${e.path.slice(1)}: ${e.message} (${e.schema.description})`,
  )
  const config = value as Config
  for (const [name, setting] of Object.entries(config)) {
    const text = env[name]
    // The conversion ignores what it does not understand: it reads 1e9 as 1.
    if (typeof setting === 'number' && text && Number(text) !== setting)
      problems.push(`${name}: must be a whole number`)
  }
  for (const [name, test, what] of forms) {
    const setting = config[name]
    if (typeof setting === 'string' && !test(setting)) problems.push(`${name}: ${what}`)
  }
  if (problems.length === 0 && config.NODE_ENV === 'production') {
    for (const name of required[part]) {
      if (config[name] === undefined) problems.push(`${name}: must be set in production`)
    }
  }
  if (part === 'api') {
    if (problems.length === 0 && config.DATABASE_URL !== undefined && config.JWT_SECRET === undefined)
      problems.push('JWT_SECRET: must be set together with DATABASE_URL (32 characters or more)')
    if (config.DATABASE_REPLICA_URL !== undefined && config.DATABASE_URL === undefined)
      problems.push('DATABASE_REPLICA_URL: must be a standby of DATABASE_URL, which is not set')
  } else if (config.WORKER_DATABASE_URL === undefined)
    problems.push('WORKER_DATABASE_URL: must be set (npm start runs the jobs of the embedded database)')
  // A value never appears in the message: it may be a secret.
  if (problems.length > 0)
    throw new ConfigError(`Invalid configuration.\n  ${[...new Set(problems)].join('\n  ')}`)
  return config
}

/** A setting that holds a list. */
export function list(value: string): string[] {
  return value
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}
