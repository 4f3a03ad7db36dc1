// The container setup, as far as it can be tested without containers: its files agree with each
// other and with the program. compose-init.test.ts runs what the first start of the database runs.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { t } from '../support/tap.ts'
import { Config, readConfig } from '../../src/config.ts'
import { versionProblem } from '../../src/database/safety.ts'
import { programs } from '../../scripts/build.ts'
import {
  commands,
  files,
  networks,
  read,
  root,
  type Service,
  services,
  stages,
  text,
  volumes,
} from '../support/compose.ts'

const [building = () => [], instructions = () => []] = stages

const secrets = {
  POSTGRES_PASSWORD: 'of-the-superuser',
  CALLBOARD_API_PASSWORD: 'of-the-api',
  CALLBOARD_MIGRATOR_PASSWORD: 'of-the-migrator',
  CALLBOARD_WORKER_PASSWORD: 'of-the-worker',
  CALLBOARD_SUPPORT_PASSWORD: 'of-support',
  JWT_SECRET: 'a key of thirty-two characters or more',
  METRICS_TOKEN: 'a token only for Prometheus',
  GRAFANA_PASSWORD: 'of-grafana',
  PUBLIC_URL: 'https://callboard.example.com',
}

/** What docker compose makes of ${NAME:?reason} and ${NAME:-default}; an empty variable counts as unset. */
function interpolate(value: string, env: Record<string, string>): string {
  return value.replace(/\$\{(\w+):([?-])([^}]*)\}/g, (_, name: string, operator: string, rest: string) => {
    const given = env[name] ?? ''
    if (given === '' && operator === '?') throw new Error(`${name}: ${rest}`)
    return given === '' ? rest : given
  })
}
const environment = (service: Service, env: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(service.environment ?? {}).map(([name, value]) => [name, interpolate(String(value), env)]),
  )

t.test('PostgreSQL has a version that a production server accepts', async t => {
  const [name, tag = ''] = services.postgres.image.split(':')
  const [major = 0, minor = 0] = tag.split('.').map(Number)
  t.equal(name, 'postgres')
  t.match(tag, /^18\.\d+$/)
  t.equal(versionProblem(major * 10_000 + minor), undefined)
})

t.test('every secret is required, none has a default', async t => {
  const named = [...text.matchAll(/\$\{(\w+)(:.)?/g)]
  // There is a second key only while the first is replaced.
  const isSecret = (name: string) => /PASSWORD|SECRET|TOKEN/.test(name) && name !== 'JWT_SECRET_PREVIOUS'
  t.ok(named.length > 0)
  for (const [, name = '', operator] of named) {
    if (isSecret(name)) t.equal(operator, ':?', name)
  }
  for (const service of Object.values(services))
    for (const [name, given] of Object.entries(service.environment ?? {})) {
      const value = String(given)
      if (isSecret(name)) t.match(value, /^\$\{\w+:\?[^}]+\}$/, name)
      if (name.endsWith('DATABASE_URL') && name !== 'BI_DATABASE_URL')
        t.match(value, /^postgres:\/\/\w+:\$\{\w+:\?[^}]+\}@/, name)
    }
  for (const name of Object.keys(secrets)) {
    const rest = { ...secrets, [name]: '' }
    t.throws(
      () => Object.values(services).map(service => environment(service, rest)),
      { message: new RegExp(`^${name}: .`) },
      `${name} is needed`,
    )
  }
})

t.test('the settings exist in the program, and suffice for production', async t => {
  for (const service of [services.api, services.worker, services.migrate])
    for (const name of Object.keys(service.environment ?? {})) t.ok(name in Config.properties, name)
  const config = readConfig(environment(services.api, secrets))
  t.equal(config.NODE_ENV, 'production')
  t.equal(config.JWT_SECRET, secrets.JWT_SECRET)
  t.equal(readConfig(environment(services.worker, secrets), 'worker').SMTP_URL, undefined)
  const image = readConfig(
    Object.fromEntries(
      instructions('ENV')
        .flatMap(line => line.split(' '))
        .map(pair => pair.split('=') as [string, string])
        .filter(([name]) => name !== 'NODE_ENV'),
    ),
  )
  t.equal(image.HOST, '0.0.0.0')
  t.same(services.api.ports, [`127.0.0.1:\${PORT:-${image.PORT}}:${image.PORT}`])
  t.ok(services.worker.volumes?.includes(`mail:${image.DATA_DIR}`))
})

t.test('each login gets the password that was set for it in the database', async t => {
  const given = environment(services.postgres, secrets)
  const used = {
    ...environment(services.api, secrets),
    ...environment(services.worker, secrets),
    ...environment(services.migrate, secrets),
  }
  for (const name of ['DATABASE_URL', 'WORKER_DATABASE_URL', 'MIGRATOR_DATABASE_URL']) {
    const url = new URL(used[name] ?? '')
    t.equal(url.password, given[`${url.username.toUpperCase()}_PASSWORD`], url.username)
    t.equal(url.pathname.slice(1), given['POSTGRES_DB'])
    t.equal(url.hostname, 'postgres')
  }
})

t.test('everything waits for what it needs, and reports its health', async t => {
  t.match(services.postgres.healthcheck?.test, ['CMD', 'pg_isready', /^--host=127\.0\.0\.1$/])
  t.same(services.migrate.depends_on, { postgres: { condition: 'service_healthy' } })
  for (const service of [services.api, services.worker])
    t.same(service.depends_on, {
      migrate: { condition: 'service_completed_successfully' },
      postgres: { condition: 'service_healthy' },
    })
  t.match(instructions('HEALTHCHECK').join(), '/readyz')
  t.equal(services.api.healthcheck, undefined)
  t.same(services.worker.healthcheck, { disable: true }, 'it answers no requests')
})

t.test('the program runs without privileges that it does not need', async t => {
  t.same(instructions('USER'), ['node'])
  for (const service of [services.api, services.worker, services.migrate]) {
    t.equal(service.read_only, true)
    t.same(service.tmpfs, ['/tmp'])
    t.same(service.cap_drop, ['ALL'])
  }
  for (const service of Object.values(services)) t.same(service.security_opt, ['no-new-privileges:true'])
  t.equal(networks['database']?.internal, true)
  t.same(services.postgres.networks, ['database'])
  t.equal(services.postgres.ports, undefined)
})

t.test('the image runs what npm does, built and without packages for development', async t => {
  const { scripts, engines } = JSON.parse(read('package.json')) as {
    scripts: Record<string, string>
    engines: { node: string }
  }
  const [from = ''] = instructions('FROM')
  t.match(from, /^node:\d+-slim$/)
  t.same(building('FROM'), [`${from} AS build`], 'it is built by the Node that runs it')
  t.equal(stages.length, 2)
  const node = Number(/\d+/.exec(from)?.[0])
  t.ok(node >= Number(/\d+/.exec(engines.node)?.[0]), engines.node)
  t.equal(building('RUN').at(-1), 'npm run build')
  t.match(instructions('RUN')[0], /^npm ci --omit=dev /)

  const built = (script = '') => {
    const [name] = Object.entries(programs).find(([, source]) => script.endsWith(` ${source}`)) ?? []
    return script.replace(/--import tsx \S+$/, `--enable-source-maps dist/${name}.js`)
  }
  t.equal(commands.api.join(' '), built(scripts['start']))
  t.equal(commands.worker.join(' '), built(scripts['worker']))
  t.equal(commands.migrate.join(' '), built(scripts['migrate']))
  for (const source of Object.values(programs)) {
    t.ok(existsSync(join(root, source)), source)
    t.ok(
      Object.values(scripts).some(script => script.endsWith(`--import tsx ${source}`)),
      `npm runs ${source}`,
    )
  }

  const copied = (stage: typeof instructions) =>
    stage('COPY').flatMap(line => (line.startsWith('--from') ? [] : line.split(' ').slice(0, -1)))
  t.same(copied(instructions), ['package.json', 'package-lock.json', 'db'])
  t.ok(instructions('COPY').includes('--from=build /app/dist ./dist'))
  const sources = [...new Set([...copied(building), ...copied(instructions)])]
  for (const source of sources) t.ok(existsSync(join(root, source)), source)
  const [first, ...kept] = read('.dockerignore')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
  t.equal(first, '*')
  t.same(
    kept.filter(line => line.startsWith('!')).sort(),
    sources.map(source => `!${source}`).sort(),
    'nothing else is sent to the builder',
  )
})

t.test(
  'Metabase is optional, pinned to one version, and reaches nothing but PostgreSQL and its users',
  async t => {
    const { metabase, prometheus, grafana, ...others } = services
    t.same(metabase.profiles, ['metabase'])
    for (const { profiles } of [prometheus, grafana]) t.same(profiles, ['monitoring'])
    for (const [name, { profiles }] of Object.entries(others)) t.equal(profiles, undefined, name)
    t.match(metabase.image, /^metabase\/metabase:v0\.\d+\.\d+\.\d+$/)
    t.same(metabase.ports, ['127.0.0.1:${METABASE_PORT:-3001}:3000'])
    t.same(metabase.networks, ['database', 'outside'])
    for (const mount of metabase.volumes ?? []) t.ok((mount.split(':')[0] ?? '') in volumes, mount)
    t.notMatch(
      Object.keys(metabase.environment ?? {}).join(),
      /PASS|SECRET|URL/,
      'it gets no login from here',
    )
  },
)

t.test(
  'Prometheus and Grafana are pinned, loopback only, and reach the metrics but not PostgreSQL',
  async t => {
    const { prometheus, grafana, api, worker } = services
    t.match(prometheus.image, /^prom\/prometheus:v\d+\.\d+\.\d+$/)
    t.match(grafana.image, /^grafana\/grafana:\d+\.\d+\.\d+$/)
    t.same(prometheus.ports, ['127.0.0.1:${PROMETHEUS_PORT:-9090}:9090'])
    t.same(grafana.ports, ['127.0.0.1:${GRAFANA_PORT:-3002}:3000'])
    for (const { networks, cap_drop } of [prometheus, grafana]) {
      t.same(networks, ['outside'])
      t.same(cap_drop, ['ALL'])
    }
    t.equal(environment(grafana, secrets)['GF_SECURITY_ADMIN_PASSWORD'], secrets.GRAFANA_PASSWORD)

    const { scrape_configs: scraped } = parse(read('docs/operate/monitoring/prometheus.yml')) as {
      scrape_configs: {
        authorization: { credentials_file: string }
        static_configs: { targets: string[] }[]
      }[]
    }
    const targets = scraped.flatMap(one => one.static_configs.flatMap(each => each.targets))
    const served = Object.entries({ api, worker }).map(([name, service]) => {
      const config = readConfig(environment(service, secrets), name === 'worker' ? 'worker' : undefined)
      t.equal(config.METRICS_HOST, '0.0.0.0', name)
      t.equal(config.METRICS_TOKEN, secrets.METRICS_TOKEN, name)
      t.ok(service.networks.includes('outside'), name)
      t.notMatch(service.ports?.join() ?? '', String(config.METRICS_PORT), `${name}: not on this machine`)
      return `${name}:${config.METRICS_PORT}`
    })
    t.same(targets, served, 'what is read is what is served')
    for (const { authorization } of scraped) {
      const [, folder, name = ''] = /^(\/run\/secrets)\/(\w+)$/.exec(authorization.credentials_file) ?? []
      t.equal(folder, '/run/secrets')
      t.ok(prometheus.secrets?.includes(name), name)
      t.equal(files[name]?.environment, 'METRICS_TOKEN')
    }
    const { providers } = parse(read('docs/operate/monitoring/dashboards.yml')) as {
      providers: { options: { path: string } }[]
    }
    for (const { options } of providers)
      t.ok(
        grafana.volumes?.some(mount => mount.includes(`dashboard.json:${options.path}/`)),
        options.path,
      )
  },
)

t.test('what is mounted exists', async t => {
  for (const mount of Object.values(services).flatMap(service => service.volumes ?? [])) {
    const [source = ''] = mount.split(':')
    if (source.startsWith('./')) t.ok(existsSync(join(root, source)), source)
    else t.ok(source in volumes, source)
  }
  t.ok(services.postgres.volumes?.includes('postgres:/var/lib/postgresql'))
})
