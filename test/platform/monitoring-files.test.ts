// The rules, the dashboard and the configuration in docs/operate/monitoring/ name only what the programs print.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { t } from '../support/tap.ts'
import { createWorkerMetrics } from '../../src/monitoring/worker.ts'
import { makeCredential } from '../support/bi.ts'
import { prose, read, root } from '../support/documents.ts'
import { join as joinAs, password, type Person, register, startServer, until } from '../support/helper.ts'
import { namesIn, seriesOf } from '../support/promql.ts'
import { startServerProcess } from '../support/server-process.ts'
import { anchor } from '../../scripts/docs/markdown.ts'

const folder = 'docs/operate/monitoring'
interface Rule {
  alert: string
  expr: string
  labels: { severity: string }
  annotations: { summary: string; runbook: string }
}
interface Panel {
  title: string
  datasource?: { uid: string }
  targets?: { expr: string; legendFormat: string; datasource: { uid: string } }[]
}
const rules = (parse(read(`${folder}/alerts.yml`)) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  group => group.rules,
)
const { panels } = JSON.parse(read(`${folder}/dashboard.json`)) as { panels: Panel[] }
const scraped = parse(read(`${folder}/prometheus.yml`)) as {
  rule_files: string[]
  scrape_configs: { job_name: string }[]
}
const expressions = [
  ...rules.map(({ alert, expr }) => ({ of: alert, expr })),
  ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ of: title, expr }))),
]

/** Only with a standby: gauges.drill.ts has one, and reads both. */
const ofStandby = ['callboard_database_replication_lag_bytes', 'callboard_database_replication_lag_seconds']
/** The functions of Prometheus that they use; promtool, where there is one, reads the whole expression. */
const promql = new Set(
  'sum max min topk rate increase histogram_quantile min_over_time max_over_time'.split(' '),
)
/** What Prometheus adds to every series, or makes itself. */
const ofPrometheus = { metrics: ['up'], labels: ['job', 'instance'] }

t.test('the rules and the dashboard name metrics and labels that the programs print', async t => {
  // A member, a wrong token, a limit that is reached and a file that cannot be written, so that each counter has its
  // labels.
  const server = await startServer(t)
  const { db } = server
  const ana = await register(server, 'Ana')
  const member = await joinAs(server, ana, 'viewer')
  await makeCredential(server, ana)
  const settings = {
    NODE_ENV: 'test',
    METRICS_PORT: '0',
    METRICS_TOKEN: 'a token only for Prometheus',
    PUBLIC_URL: 'http://callboard.example',
  }
  const api = startServerProcess(t, {
    ...settings,
    PORT: '0',
    RATE_LIMIT: '6',
    DATABASE_URL: db.url('callboard_api'),
    JWT_SECRET: 'a secret that only the tests know, and of 32 letters',
  })
  const worker = startServerProcess(
    t,
    {
      ...settings,
      WORKER_DATABASE_URL: db.url('callboard_worker'),
      ENDED_FILE: join(t.testdir(), 'gone', 'ended.jsonl'),
    },
    'src/worker.ts',
  )
  const [, url = ''] = await api.says(/Server listening at (http:\/\/127\.0\.0\.1:\d+)/)
  const own = [
    await api.says(/Metrics at (http:\S+metrics)/),
    await worker.says(/Metrics at (http:\S+metrics)/),
  ]
  const signIn = async ({ email }: Person) => {
    const signedIn = await fetch(`${url}/api/auth/sign-in`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password }),
    })
    return ((await signedIn.json()) as { access_token: string }).access_token
  }
  // Neither of whom may use up the company's limit alone.
  const [token, colleague] = [await signIn(ana), await signIn(member)]
  const ask = (authorization: string) => fetch(`${url}/api/shows`, { headers: { authorization } })
  t.equal((await ask(`Bearer ${token.slice(0, -4)}AAAA`)).status, 401)
  await fetch(`${url}/api/auth/refresh`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"refresh_token": "no.such"}',
  })
  for (let n = 0; n < 8; n++) await ask(`Bearer ${n % 2 ? token : colleague}`)
  const headers = { authorization: `Bearer ${settings.METRICS_TOKEN}` }
  const texts = () => Promise.all(own.map(async ([, from = '']) => (await fetch(from, { headers })).text()))
  await until(async () => {
    const all = (await texts()).join('\n')
    // What is absent until the worker has sealed, looked for changes, and failed for the first time.
    const late = [
      /database_sealer_lag_seconds/,
      /database_figures_lag_seconds/,
      /duration_seconds_count\{[^}]*failed/,
    ]
    return late.every(pattern => pattern.test(all))
  }, 20)
  // The first look at the policies comes after a minute: the same gauge, asked at once.
  const looked = createWorkerMetrics(async () => [])
  looked.drift([])
  const series = seriesOf([...(await texts()), await looked.text()].join('\n'))

  for (const name of ofStandby) t.notOk(series.has(name), `${name}: not an exception any more`)
  for (const { of, expr } of expressions) {
    const { selectors, grouped, functions } = namesIn(expr)
    for (const name of functions) t.ok(promql.has(name), `${of}: ${name}()`)
    t.ok(selectors.length > 0, `${of}: names a metric`)
    const known = new Set(ofPrometheus.labels)
    for (const { metric, matchers } of selectors) {
      if (ofPrometheus.metrics.includes(metric) || ofStandby.includes(metric)) {
        for (const { label } of matchers) t.ok(ofPrometheus.labels.includes(label), `${of}: ${label}`)
        continue
      }
      t.ok(series.has(metric), `${of}: ${metric}`)
      const labels = new Set([...ofPrometheus.labels, ...(series.get(metric) ?? []).flatMap(Object.keys)])
      for (const label of labels) known.add(label)
      for (const { label, operator, value } of matchers) {
        t.ok(labels.has(label), `${of}: ${metric} has ${label}`)
        // A value that is spelled out exists, or has not happened here.
        if (operator === '=' && !rare.has(value))
          t.ok(
            series.get(metric)?.some(one => one[label] === value),
            `${of}: ${metric}{${label}="${value}"}`,
          )
      }
    }
    for (const label of grouped) t.ok(known.has(label), `${of}: by ${label}`)
  }
  for (const { title, targets = [] } of panels)
    for (const { expr, legendFormat } of targets) {
      const { grouped } = namesIn(expr)
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        t.ok([...grouped, ...ofPrometheus.labels].includes(label), `${title}: legend ${label}`)
    }
})

/** What this test does not provoke: metrics.test.ts has the classes of status, accounts' tests the reuse of a refresh token. */
const rare = new Set(['5xx', 'refresh_token_reused'])

t.test('every rule says what it means, how urgent it is, and where it says what to do', async t => {
  t.ok(rules.length >= 15)
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length, 'each name is used once')
  for (const { alert, labels, annotations } of rules) {
    t.ok(['page', 'ticket'].includes(labels.severity), alert)
    t.match(annotations.summary, /^[A-Z{].+[.?]$/, alert)
    const [file = '', section = ''] = annotations.runbook.split('#')
    t.ok(existsSync(join(root, file)), `${alert}: ${file}`)
    const headings = [...prose(read(file)).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading))
    t.ok(headings.includes(section), `${alert}: ${annotations.runbook}`)
  }
})

t.test('the files refer to each other', async t => {
  t.same(scraped.rule_files, ['alerts.yml'])
  const jobs = scraped.scrape_configs.map(one => one.job_name)
  for (const { expr, of } of expressions)
    for (const { matchers } of namesIn(expr).selectors)
      for (const { label, operator, value } of matchers)
        if (label === 'job')
          t.ok(
            jobs.every(job => (operator === '=~' ? new RegExp(`^(?:${value})$`).test(job) : job === value)),
            of,
          )
  const [source] = (parse(read(`${folder}/datasource.yml`)) as { datasources: { uid: string }[] }).datasources
  for (const { title, datasource, targets = [] } of panels.filter(one => one.datasource))
    for (const { uid } of [datasource ?? { uid: '' }, ...targets.map(target => target.datasource)])
      t.equal(uid, source?.uid, title)
})

const hasPromtool = spawnSync('promtool', ['--version']).status === 0
t.test('promtool accepts them', { skip: hasPromtool ? false : 'promtool is not installed' }, async t => {
  const copy = t.testdir({ token: 'a token only for Prometheus' })
  for (const file of readdirSync(join(root, folder))) cpSync(join(root, folder, file), join(copy, file))
  const config = read(`${folder}/prometheus.yml`).replaceAll(/(credentials_file: ).*/g, `$1${copy}/token`)
  writeFileSync(join(copy, 'prometheus.yml'), config)
  const { status, stdout, stderr } = spawnSync(
    'promtool',
    ['check', 'config', join(copy, 'prometheus.yml')],
    {
      encoding: 'utf8',
    },
  )
  t.equal(status, 0, stdout + stderr)
})
