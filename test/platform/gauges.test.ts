// What /metrics says about the server of the database: each gauge follows what it is about.
import { setTimeout as sleep } from 'node:timers/promises'
import { t } from '../support/tap.ts'
import { connectGauges } from '../../src/monitoring/gauges.ts'
import { makeCredential } from '../support/bi.ts'
import { register, startServer } from '../support/helper.ts'

const server = await startServer(t)
const { db, config } = server
const gauges = connectGauges(config, db.url('callboard_worker'))
t.teardown(() => gauges.close())
const read = async () => Object.fromEntries((await gauges.read()).map(({ name, value }) => [name, value]))

t.test('the oldest transaction is seen from its beginning to its end, whoever has it open', async t => {
  for (const login of [db.admin, db.as('callboard_api')]) {
    await login.begin(async sql => {
      await sql`select`
      await sleep(500)
      t.ok(((await read())['oldest_transaction_seconds'] ?? 0) >= 0.5)
    })
    t.ok(((await read())['oldest_transaction_seconds'] ?? 1) < 0.5)
  }
})

t.test('the partitions that the event log has for the next months are counted', async t => {
  // The database may have been made in the month before.
  await db.as('callboard_worker')`select app.maintain_event_partitions()`
  t.equal((await read())['event_partitions_ahead'], 3)
  const [last] = await db.admin<[{ name: string }]>`
    select max(c.relname) as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'app.event_log'::regclass and c.relname ~ '^event_log_\\d'`
  await db.admin`drop table app.${db.admin(last.name)}`
  t.equal((await read())['event_partitions_ahead'], 2)
  await db.as('callboard_worker')`select app.maintain_event_partitions()`
  t.equal((await read())['event_partitions_ahead'], 3)
})

t.test('the next end of a BI login is that of one that can log in', async t => {
  t.notOk('bi_next_end_days' in (await read()), 'there is none')
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  await makeCredential(server, ana, { expires_in_days: 30 })
  await makeCredential(server, ben, { expires_in_days: 10 })
  const days = async () => Math.round((await read())['bi_next_end_days'] ?? Number.NaN)
  t.equal(await days(), 10, 'of all organizations')
  await server.call(`DELETE /api/organizations/${ben.organization}`, { token: ben.token })
  t.equal(await days(), 30)
  await db.admin`
    update app.bi_credentials set created_at = now() - interval '2 days', expires_at = now() - interval '1 day'`
  t.notOk('bi_next_end_days' in (await read()), 'it has ended')
})

t.test('the size of the database is what PostgreSQL says', async t => {
  const [{ size }] = await db.admin<
    [{ size: number }]
  >`select pg_database_size(current_database())::float8 as size`
  const told = (await read())['size_bytes'] ?? 0
  t.ok(Math.abs(told - size) < size / 10, `${told} of ${size}`)
})

t.test('a replication slot that nobody reads shows as log that is kept', async t => {
  const before = (await read())['slots_kept_bytes'] ?? 0
  await db.admin`select pg_create_physical_replication_slot('unread', true)`
  t.teardown(() => db.admin`select pg_drop_replication_slot('unread')`)
  await db.admin`create table public.filler as select repeat('x', 100) from generate_series(1, 10000)`
  t.ok(((await read())['slots_kept_bytes'] ?? 0) > before + 1_000_000)
})

t.test('without a standby there is no lag, and no standby', async t => {
  const told = await read()
  t.equal(told['standbys'], 0)
  t.notOk('replication_lag_bytes' in told || 'replication_lag_seconds' in told)
})
