// What /metrics reports about jobs, of a separate worker and of one within the API.
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { type Database, startDatabase, until } from '../support/helper.ts'
import { sum } from '../support/series.ts'
import { startServerProcess } from '../support/server-process.ts'

/** Reads the metrics until they report what they should. */
async function reading(url: string, isSo: (text: string) => boolean, headers = {}): Promise<string> {
  let text = ''
  await until(async () => {
    text = await (await fetch(url, { headers })).text()
    return isSo(text)
  }, 20)
  return text
}
const attempts = (text: string, task: string, outcome: string) =>
  sum(text, 'callboard_job_duration_seconds_count', { task, outcome })

/** Jobs with each outcome. */
async function queue({ admin }: Database) {
  await admin`select app_private.add_job('seal_events', '{}')`
  await admin`select app_private.add_job('seal_events', '{}', 'another')`
  await admin`select app_private.add_job('send_mail', '{"mail": "no id"}', 'twice', 2)`
  await admin`select app_private.add_job('send_mail', '{"mail": "no id"}', 'once', 1)`
}
function isTold(t: Test, text: string) {
  t.equal(attempts(text, 'seal_events', 'failed'), 0)
  t.equal(attempts(text, 'send_mail', 'done'), 0)
  t.equal(attempts(text, 'send_mail', 'failed'), 1)
  t.equal(attempts(text, 'send_mail', 'given_up'), 2)
  t.ok(sum(text, 'callboard_job_duration_seconds_sum', { task: 'seal_events' }) > 0)
  t.match(text, /^process_cpu_seconds_total \d/m)
  t.equal(sum(text, 'callboard_database_gauges_up'), 1)
  t.match(text, /^callboard_database_jobs_failed \d/m)
  const [, lag] = /^callboard_database_sealer_lag_seconds (\S+)$/m.exec(text) ?? []
  t.ok(Number(lag) < 5, `sealed up to ${lag} s ago`)
}
const isOver = (text: string) =>
  attempts(text, 'send_mail', 'given_up') === 2 &&
  attempts(text, 'seal_events', 'done') >= 2 &&
  attempts(text, 'seal_new_events', 'done') >= 1

t.test('a separate worker', async t => {
  const db = await startDatabase(t)
  const start = (t: Test, settings: Record<string, string> = {}) =>
    startServerProcess(
      t,
      {
        WORKER_DATABASE_URL: db.url('callboard_worker'),
        PUBLIC_URL: 'https://callboard.example',
        ...settings,
      },
      'src/worker.ts',
    )

  await t.test('reports on its own port what it has done', async t => {
    const token = 'a token only for Prometheus'
    const worker = start(t, { METRICS_PORT: '0', METRICS_TOKEN: token })
    const [, url = ''] = await worker.says(/Metrics at (http:\S+metrics)/)
    t.equal((await fetch(url)).status, 401)
    await queue(db)
    const text = await reading(url, isOver, { authorization: `Bearer ${token}` })
    isTold(t, text)
    t.notMatch(text, /callboard_http_|callboard_pool_/, 'and nothing of an API')

    const second = start(t, { METRICS_PORT: new URL(url).port })
    t.same(await second.ended, { code: 1, signal: null })
    t.match(second.complaint(), /^METRICS_PORT: cannot listen there: /)
    worker.child.kill('SIGTERM')
    t.same(await worker.ended, { code: 0, signal: null })
  })

  await t.test('does not listen unless told to', async t => {
    const worker = start(t, { METRICS_TOKEN: 'a token only for Prometheus' })
    await worker.says(/"working"/)
    t.notMatch(worker.said.join('\n'), /Metrics at/)
    worker.child.kill('SIGTERM')
    t.same(await worker.ended, { code: 0, signal: null })
  })
})

t.test('a worker within the API reports it there', async t => {
  const db = await startDatabase(t)
  const server = startServerProcess(t, {
    NODE_ENV: 'test',
    PORT: '0',
    METRICS_PORT: '0',
    DATABASE_URL: db.url('callboard_api'),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    JWT_SECRET: 'a secret that only the tests know, and of 32 letters',
    PUBLIC_URL: 'http://callboard.example',
  })
  const [, url = ''] = await server.says(/Metrics at (http:\S+metrics)/)
  await queue(db)
  const text = await reading(url, isOver)
  isTold(t, text)
  t.match(text, /^callboard_pool_connections/m)
})
