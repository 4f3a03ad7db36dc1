// What the programs see of a live database by themselves: the start refuses what is dangerous, the worker reports it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import { t } from '../support/tap.ts'
import { releaseMark } from '../../src/database/release.ts'
import { UnsafeDatabase } from '../../src/database/safety.ts'
import { type ShowDrift, watchPolicies } from '../../src/monitoring/policies.ts'
import { createWorkerMetrics } from '../../src/monitoring/worker.ts'
import { liveDrift, refuseDangerousDrift } from '../../src/policies/live-drift.ts'
import { startDatabase, until } from '../support/helper.ts'
import { sum } from '../support/series.ts'
import { startServerProcess } from '../support/server-process.ts'

const db = await startDatabase(t, { passwords: 'select' })
const exceptions = join(t.testdir({}), 'exceptions.json')
writeFileSync(
  exceptions,
  JSON.stringify([
    { finding: 'drift:other database callboard_*', reason: 'of other tests on this server' },
    { finding: 'drift:role safety_*', reason: 'of test/platform/safety.test.ts' },
  ]),
)
const optionsOf = (role: string) => ({ url: db.url(role), exceptions, applicationName: 'callboard test' })

async function during<T>(change: string, undo: string, work: () => Promise<T>): Promise<T> {
  await db.admin.unsafe(change)
  try {
    return await work()
  } finally {
    await db.admin.unsafe(undo)
  }
}
const widened = <T>(work: () => Promise<T>) =>
  during(
    `alter policy select_member on app.shows using (true)`,
    `alter policy select_member on app.shows using (organization_id = (select app.org_if('shows.read')))`,
    work,
  )
const note = `comment on schema graphile_migrate is`
const migratedByAnother = <T>(work: () => Promise<T>) =>
  during(`${note} 'Migrated by another'`, `${note} '${releaseMark()}'`, work)

for (const role of ['callboard_api', 'callboard_worker']) {
  t.test(`${role} sees no difference in a database as it was migrated`, async t => {
    t.strictSame(await liveDrift(optionsOf(role)), [])
    await refuseDangerousDrift(optionsOf(role))
  })

  t.test(`${role} refuses what is dangerous, and says who sees what`, async t => {
    const refused = await widened(() =>
      refuseDangerousDrift(optionsOf(role)).then(
        () => undefined,
        (error: unknown) => error,
      ),
    )
    t.type(refused, UnsafeDatabase)
    t.match(refused, {
      message:
        /docs\/operate\/audit\.md\.\n- drift:policy select_member on app\.shows: It lets callboard_api .* see all rows of all organizations/,
    })
  })

  t.test(`${role} starts where something is only missing, added, or of another release`, async t => {
    const start = () => refuseDangerousDrift(optionsOf(role))
    await during(
      `drop policy purge_definer on app.shows`,
      `create policy purge_definer on app.shows for delete to callboard_definer using (organization_id = (select app.current_org()) and deleted_at < now() - interval '1 day')`,
      start,
    )
    await during(`create index mine on app.shows (organization_id, artist)`, `drop index app.mine`, start)
    await migratedByAnother(() => widened(start))
    t.strictSame(await liveDrift(optionsOf(role)), [], 'and all of it was put back')
  })
}

t.test('the worker logs each difference as an error, and counts them by class', async t => {
  const metrics = createWorkerMetrics(async () => [])
  const lines: [level: string, fields: object, text: string][] = []
  const level = (name: string) => (fields: object | string, text?: string) => {
    if (typeof fields === 'string') lines.push([name, {}, fields])
    else lines.push([name, fields, text ?? ''])
  }
  const log = {
    error: level('error'),
    warn: level('warn'),
    info: level('info'),
  } as unknown as FastifyBaseLogger
  const watching = async (isSo: () => boolean | Promise<boolean>) => {
    const stop = watchPolicies(optionsOf('callboard_worker'), log, metrics.drift, { first: 0, every: 100 })
    t.teardown(stop)
    await until(async () => isSo(), 20)
    await stop()
  }
  const drift = async (kind: string) => sum(await metrics.text(), 'callboard_policy_drift', { class: kind })

  await widened(() => watching(() => lines.length >= 2))
  t.match(lines[0], [
    'error',
    { finding: 'drift:policy select_member on app.shows', class: 'dangerous' },
    /all rows of all organizations/,
  ])
  t.match(lines[1], lines[0], 'each time')
  t.equal(await drift('dangerous'), 1)
  lines.length = 0
  await watching(async () => (await drift('dangerous')) === 0)
  t.strictSame(
    lines.filter(([name]) => name !== 'info'),
    [],
  )
  await migratedByAnother(() => watching(() => lines.length > 0))
  t.match(lines[0], ['info', {}, /another release/])
  t.notMatch(await metrics.text(), /^callboard_policy_drift\{/m)
})

t.test('what differs, and no longer does, is an event once, and sealed', async t => {
  const warnings: unknown[] = []
  const log = {
    error: () => {},
    info: () => {},
    warn: (...line: unknown[]) => warnings.push(line),
  } as unknown as FastifyBaseLogger
  /** Two looks, and then what is in the log. */
  const look = async (role = 'callboard_worker') => {
    let looks = 0
    const show: ShowDrift = findings => {
      looks += findings === undefined ? 0 : 1
    }
    const stop = watchPolicies(optionsOf(role), log, show, { first: 0, every: 50 })
    t.teardown(stop)
    await until(async () => looks >= 2, 20)
    await stop()
    return [
      ...(await db.admin`
        select actor_kind, action, resource_type, changes from app.event_log
        where organization_id = app_private.nobody() and action like 'drift.%' order by occurred_at, id`),
    ]
  }
  await db.admin`delete from app_private.noted_drift`
  const known = await look()
  const more = async (role?: string) => (await look(role)).slice(known.length)
  const about = { facts: ['policy select_member on app.shows'], count: 1 }
  const event = { actor_kind: 'system', resource_type: 'database' }
  const found = { ...event, action: 'drift.found', changes: { new: about } }
  const gone = { ...event, action: 'drift.gone', changes: { old: about } }

  await widened(async () => {
    t.strictSame(await more(), [found])
    t.strictSame(await more(), [found], 'not at the next look, either')
    await db.admin.unsafe(`alter policy select_member on app.shows using (status = 'a secret of somebody')`)
    const later = await more()
    t.strictSame(later, [found, found], 'but it is another if it differs in another way')
    t.notMatch(JSON.stringify(later), /secret/)
  })
  t.strictSame(await more(), [found, found, gone])
  t.strictSame(await more(), [found, found, gone])
  await during(
    `create index mine on app.shows (organization_id, artist)`,
    `drop index app.mine`,
    async () => {
      t.strictSame(await more(), [found, found, gone], 'and what is safe is none')
    },
  )

  t.same(warnings, [])
  const logged = await during(
    `revoke execute on function app.note_drift(jsonb) from callboard_worker`,
    `grant execute on function app.note_drift(jsonb) to callboard_worker`,
    () => more(),
  )
  t.strictSame(logged, [found, found, gone])
  t.match(warnings[0], [
    { err: { message: /permission denied for function note_drift/ } },
    /the event log does not have/,
  ])

  const verify = async () => {
    await db.admin`select app.seal_events()`
    const [{ verified }] = await db.admin<[{ verified: { ok: boolean; checked: number; unsealed: number } }]>`
      select app.verify_events(app_private.nobody(), null, null) as verified`
    return verified
  }
  await until(async () => (await verify()).unsealed === 0, 20)
  const { ok, checked } = await verify()
  t.ok(ok && checked >= 3, `${checked} events match their seals`)
})

t.test('a worker in production does not start on such a database', async t => {
  const settings = {
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    PUBLIC_URL: 'https://callboard.example',
  }
  const start = (more: Record<string, string>) =>
    startServerProcess(t, { ...settings, POLICY_EXCEPTIONS: exceptions, ...more }, 'src/worker.ts')
  await widened(async () => {
    const refused = start({ NODE_ENV: 'production' })
    t.match(await refused.ended, { code: 1 })
    t.match(
      refused.complaint() + refused.said.join(),
      /The database was changed .*policy select_member on app\.shows/s,
    )
    await start({}).says(/working/)
  })
  await start({ NODE_ENV: 'production' }).says(/working/)
})
