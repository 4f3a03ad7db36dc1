// Migrations run beside traffic: nobody waits for them, and they wait for everybody.
import { fileURLToPath } from 'node:url'
import { setTimeout } from 'node:timers/promises'
import postgres from 'postgres'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { startDatabase, until } from '../support/helper.ts'
import { committed, later, withLater } from '../support/later.ts'
import { dropInvalidIndexes, isConcurrent, runConcurrently } from '../../src/database/beside-traffic.ts'
import { migrate } from '../../src/database/migrate.ts'
import { readSchema } from '../../scripts/db/db-check.ts'
import { statementsOf } from '../../scripts/db/statements.ts'

const schema = readSchema(fileURLToPath(new URL('../../db/schema.sql', import.meta.url)))

t.test('calls of functions in schema files lock nothing if nothing differs', async t => {
  const { admin, url } = await startDatabase(t)
  const owner = postgres(url('callboard_migrator'), { max: 1, onnotice: () => {} })
  t.teardown(() => owner.end())
  const calls = (await statementsOf(schema)).filter(({ objects }) => objects.length === 0)
  t.ok(calls.length > 100)
  await admin.begin(async busy => {
    // Others read and write everything.
    const relations = await busy<{ name: string; kind: string }[]>`
      select c.oid::regclass::text as name, c.relkind as kind from pg_class c
      where c.relnamespace = any (array['app', 'app_private', 'analytics', 'analytics_private']::regnamespace[]) and c.relkind in ('r', 'p', 'v', 'm')`
    for (const { name, kind } of relations)
      await busy.unsafe(
        'vm'.includes(kind) ? `select from ${name} limit 0` : `lock table only ${name} in row exclusive mode`,
      )
    for (const { bare, file = '' } of calls) {
      const failure = await owner
        .begin(async sql => {
          await sql`set local lock_timeout = '1ms'`
          await sql.unsafe(bare)
        })
        .then(
          () => undefined,
          (error: unknown) => String(error),
        )
      t.equal(failure, undefined, `${file}: ${bare.slice(0, 100)}`)
    }
  })
})

/** Migrations of which one is pending, which nobody may be reading beside. */
const onePending = (t: Test) =>
  withLater(t, { [later(1, 'exclusive')]: 'alter table app.shows alter column notes drop default;\n' })

t.test('an index made concurrently waits for what is in progress, instead of beginning again', async t => {
  const { admin, url } = await startDatabase(t)
  const text =
    '--! Message: by capacity\n--! no-transaction\ncreate index concurrently if not exists shows_by_capacity on app.shows (organization_id, capacity);\n'
  t.ok(isConcurrent(text))
  t.notOk(isConcurrent(text.replace(' if not exists', '')), 'one that fails the second time')
  t.notOk(isConcurrent(text.replace('--! no-transaction\n', '')))
  t.notOk(isConcurrent('--! no-transaction\n-- not concurrently if not exists\nvacuum app.shows;\n'))
  const isMade = async () =>
    (await admin`select from pg_index where indexrelid = to_regclass('app.shows_by_capacity') and indisvalid`)
      .length === 1
  await admin.begin('isolation level repeatable read', async sql => {
    await sql`select count(*) from app.venues`
    await t.rejects(
      runConcurrently(url('callboard_migrator'), text, 1),
      { code: '55P03' },
      'for as long as it is told',
    )
    await admin`drop index app.shows_by_capacity`
    const made = runConcurrently(url('callboard_migrator'), text, 60)
    await setTimeout(1500)
    t.notOk(await isMade())
    void made.then(async () => {
      t.ok(await isMade())
    })
  })
  await until(isMade)
  await runConcurrently(url('callboard_migrator'), text, 1)
})

t.test('a migration gives up a lock that others hold, lets them through, and tries again', async t => {
  const database = await startDatabase(t)
  const { admin, url } = database
  const folder = onePending(t)
  const reader = await admin.reserve()
  await reader`begin`
  await reader`select from app.show_rows limit 1`
  const said: string[] = []
  const migrated = migrate(url('callboard_migrator'), line => said.push(line), { wait: 60, folder })
  await until(() => said.filter(line => line.includes('Others hold a lock')).length >= 2, 60)
  // Everybody else gets in between.
  let longest = 0
  for (let n = 0; n < 20; n += 1) {
    const began = performance.now()
    await admin`select from app.show_rows limit 1`
    longest = Math.max(longest, performance.now() - began)
    await setTimeout(50)
  }
  t.ok(longest < 2000, `the longest waited ${longest} ms`)
  const [state] = await database.as('callboard_worker')`select app.refresh_figures('large') as state`
  t.ok(state, 'the worker is answered')
  await reader`commit`
  reader.release()
  t.equal(await migrated, 'guarded')
  t.equal((await admin`select from graphile_migrate.migrations`).length, committed.length + 1)
})

t.test('it ends when it has waited long enough, and has changed nothing', async t => {
  const database = await startDatabase(t)
  const { admin, url } = database
  const folder = onePending(t)
  await admin.begin(async reader => {
    await reader`select from app.show_rows limit 1`
    await t.rejects(migrate(url('callboard_migrator'), undefined, { wait: 0, folder }), { code: '55P03' })
  })
  t.equal((await admin`select from graphile_migrate.migrations`).length, committed.length)
})

t.test('workers compute no figures meanwhile, and go on afterwards', async t => {
  const database = await startDatabase(t)
  const { admin, url } = database
  const folder = onePending(t)
  const worker = database.as('callboard_worker')
  const isBusy = async () => {
    const [row] = await worker<{ state: { busy?: boolean } }[]>`select app.refresh_figures('large') as state`
    return row?.state.busy === true
  }
  t.notOk(await isBusy())
  const reader = await admin.reserve()
  await reader`begin`
  await reader`select from app.show_rows limit 1`
  const migrated = migrate(url('callboard_migrator'), undefined, { wait: 60, folder })
  await until(isBusy, 30)
  await reader`commit`
  reader.release()
  await migrated
  t.notOk(await isBusy())
})

t.test('an index that an interrupted migration has left half made is dropped', async t => {
  const database = await startDatabase(t)
  const { admin, url } = database
  const folder = onePending(t)
  await admin`create index left_over on app.shows (organization_id, title, id)`
  await admin`update pg_index set indisvalid = false where indexrelid = 'app.left_over'::regclass`
  // Dropping it waits for the transactions that are open, as making it does, instead of beginning again.
  const reader = await admin.reserve()
  await reader`begin`
  await reader`select from app.shows limit 1`
  const dropped = dropInvalidIndexes(url('callboard_migrator'), 60)
  await setTimeout(1000)
  await reader`commit`
  reader.release()
  await dropped
  t.same(await admin`select to_regclass('app.left_over') as left`, [{ left: null }])
  await migrate(url('callboard_migrator'), undefined, { folder })
})
