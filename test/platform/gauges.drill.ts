// What /metrics says about a standby, on two real servers.
import { t } from '../support/tap.ts'
import { connectGauges } from '../../src/monitoring/gauges.ts'
import { withoutClusters } from '../support/clusters.ts'
import { startServer, until } from '../support/helper.ts'
import { startStandby } from '../support/standby.ts'

t.test('how far a standby is behind', withoutClusters(), async t => {
  const standby = await startStandby(t)
  const { config, db } = await startServer(t, {}, standby.db)
  const gauges = connectGauges(config, db.url('callboard_worker'))
  t.teardown(() => gauges.close())
  const read = async () => Object.fromEntries((await gauges.read()).map(({ name, value }) => [name, value]))
  const write = () =>
    db.admin`create table public.filler as select repeat('x', 100) from generate_series(1, 10000)`

  await standby.catchUp()
  await until(async () => (await read())['replication_lag_bytes'] === 0)
  t.equal((await read())['standbys'], 1)
  t.ok(((await read())['replication_lag_seconds'] ?? -1) >= 0)

  await standby.pause()
  await write()
  await until(async () => ((await read())['replication_lag_bytes'] ?? 0) > 1_000_000)
  t.ok(((await read())['replication_lag_bytes'] ?? 0) > 1_000_000, 'paused')

  await standby.resume()
  await standby.catchUp()
  await until(async () => (await read())['replication_lag_bytes'] === 0)

  await standby.stop()
  await until(async () => (await read())['standbys'] === 0)
  t.notOk('replication_lag_bytes' in (await read()), 'and without it there is no lag')
})
