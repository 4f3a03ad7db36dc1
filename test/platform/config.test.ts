import { t } from '../support/tap.ts'
import { ConfigError, list, readConfig } from '../../src/config.ts'

const secret = 'planted-Secret-that-nobody-may-print'
const jwt = { JWT_SECRET: 'x'.repeat(32) }
const url = 'postgres://callboard_api:pw@localhost:5432/callboard'

t.test('without any variables everything has a default', async t => {
  t.match(readConfig({}), {
    NODE_ENV: 'development',
    HOST: '127.0.0.1',
    PORT: 3000,
    POOL_SIZE: 10,
    DATABASE_DEADLINE: 5,
  })
  t.equal(readConfig({}).DATABASE_URL, undefined)
})

t.test('values have the type of their setting', async t => {
  t.match(readConfig({ PORT: '8080', PREPARE_STATEMENTS: 'false', DATABASE_DEADLINE: '2.5' }), {
    PORT: 8080,
    PREPARE_STATEMENTS: false,
    DATABASE_DEADLINE: 2.5,
  })
})

t.test('an empty variable counts as unset, and unrelated variables are ignored', async t => {
  t.same(readConfig({ PORT: '', DATABASE_URL: '', HOME: '/root' }), readConfig({}))
})

t.test('valid settings are accepted', async t => {
  for (const env of [
    { DATABASE_URL: url, ...jwt },
    { DATABASE_URL: 'postgresql://[::1]/callboard?sslmode=require', ...jwt },
    { MIGRATOR_DATABASE_URL: url },
    { WORKER_DATABASE_URL: url },
    { SMTP_URL: 'smtps://user:pw@mail.example:465' },
    { PUBLIC_URL: 'https://callboard.example' },
    { REDIS_URL: 'rediss://user:pw@redis.example:6380/2' },
    { CORS_ORIGINS: 'https://app.example, http://localhost:5173' },
    { TRUST_PROXY: '10.0.0.1,192.168.0.0/16,::1,fd00::/8,loopback' },
    { NODE_ENV: 'production', DATABASE_URL: url, PUBLIC_URL: 'https://callboard.example', ...jwt },
  ])
    t.match(readConfig(env), { ...env })
})

t.test('an invalid setting is refused by name, without repeating its value', async t => {
  for (const [name, env] of [
    ['NODE_ENV', { NODE_ENV: secret }],
    ['PORT', { PORT: secret }],
    ['PORT', { PORT: '65536' }],
    ['PORT', { PORT: '-1' }],
    ['EMBEDDED_PORT', { EMBEDDED_PORT: secret }],
    ['LOG_LEVEL', { LOG_LEVEL: secret }],
    ['POOL_SIZE', { POOL_SIZE: '0' }],
    ['PREPARE_STATEMENTS', { PREPARE_STATEMENTS: secret }],
    ['DATABASE_DEADLINE', { DATABASE_DEADLINE: '0' }],
    ['DATABASE_DEADLINE', { DATABASE_DEADLINE: '5s' }],
    ['REQUEST_TIMEOUT', { REQUEST_TIMEOUT: '-5' }],
    ['SHUTDOWN_TIMEOUT', { SHUTDOWN_TIMEOUT: 'Infinity' }],
    ['BODY_LIMIT', { BODY_LIMIT: '10' }],
    ['ACCESS_TOKEN_LIFETIME', { ACCESS_TOKEN_LIFETIME: '1e9' }],
    ['RATE_LIMIT', { RATE_LIMIT: secret }],
    ['RATE_LIMIT_WINDOW', { RATE_LIMIT_WINDOW: '0' }],
    ['RATE_LIMIT_BLOCK', { RATE_LIMIT_BLOCK: '-1' }],
    ['RATE_LIMIT_REFRESH', { RATE_LIMIT_REFRESH: '0' }],
    ['REDIS_URL', { REDIS_URL: `https://u:${secret}@host` }],
    ['USE_FLUSH_INTERVAL', { USE_FLUSH_INTERVAL: '0' }],
    ['SIGN_IN_LIMIT', { SIGN_IN_LIMIT: '0' }],
    ['JWT_SECRET', { JWT_SECRET: secret.slice(0, 31) }],
    ['JWT_SECRET', { DATABASE_URL: url }],
    ['MAIL_FROM', { MAIL_FROM: 'x' }],
    ['DATABASE_URL', { DATABASE_URL: secret, ...jwt }],
    ['DATABASE_URL', { DATABASE_URL: `postgres://u:${secret}@host:port/db`, ...jwt }],
    ['DATABASE_URL', { DATABASE_URL: `postgres://u:${secret}@a,b/db`, ...jwt }],
    ['DATABASE_URL', { DATABASE_URL: `mysql://u:${secret}@host/db`, ...jwt }],
    ['MIGRATOR_DATABASE_URL', { MIGRATOR_DATABASE_URL: `//u:${secret}@host/db` }],
    ['WORKER_DATABASE_URL', { WORKER_DATABASE_URL: `http://u:${secret}@host/db` }],
    ['BI_DATABASE_URL', { BI_DATABASE_URL: `postgres://u:${secret}@host/db` }],
    ['SMTP_URL', { SMTP_URL: `https://u:${secret}@host` }],
    ['PUBLIC_URL', { PUBLIC_URL: secret }],
    ['CORS_ORIGINS', { CORS_ORIGINS: `https://app.example,${secret}` }],
    ['CORS_ORIGINS', { CORS_ORIGINS: '*' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'https://app.example/' }],
    ['TRUST_PROXY', { TRUST_PROXY: secret }],
    ['TRUST_PROXY', { TRUST_PROXY: '10.0.0.0/33' }],
    ['TRUST_PROXY', { TRUST_PROXY: 'true' }],
    ['DATABASE_URL', { NODE_ENV: 'production', PUBLIC_URL: 'https://a.example', ...jwt }],
    ['PUBLIC_URL', { NODE_ENV: 'production', DATABASE_URL: url, ...jwt }],
    ['JWT_SECRET', { NODE_ENV: 'production', DATABASE_URL: url, PUBLIC_URL: 'https://a.example' }],
  ] as const) {
    try {
      readConfig(env)
      t.fail(`accepted: ${JSON.stringify(env)}`)
    } catch (error) {
      t.type(error, ConfigError, JSON.stringify(env))
      const { message } = error as ConfigError
      t.match(
        message,
        new RegExp(`^Invalid configuration\\.\\n  ${name}: .{10,}$`),
        'one line, with the name',
      )
      for (const value of [secret, secret.slice(0, 31)]) t.notMatch(message, value)
    }
  }
})

t.test('everything that is wrong is reported at once', async t => {
  t.throws(() => readConfig({ PORT: 'x', POOL_SIZE: '0', SMTP_URL: 'y' }), {
    message: /PORT: .*\n.*POOL_SIZE: .*\n.*SMTP_URL: /,
  })
})

t.test('a list is split at commas', async t => {
  t.same(list(' a, b ,,c '), ['a', 'b', 'c'])
  t.same(list(''), [])
})
