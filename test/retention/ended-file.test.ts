// The file that workers append to what has ended (ENDED_FILE): nothing is missing, whatever happens to the file or to
// whoever writes it.
import { appendFile, mkdir, readFile, rename, stat } from 'node:fs/promises'
import { join as path } from 'node:path'
import { appendEnded, startRecording } from '../../src/jobs/ended.ts'
import { lineOf } from '../../src/jobs/ended-reading.ts'
import { RetryingPool } from '../../src/jobs/pool.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { register, signIn, startServer, until } from '../support/helper.ts'
import { t } from '../support/tap.ts'

const linesOf = async (file: string) =>
  (await readFile(file, 'utf8'))
    .split('\n')
    .map(lineOf)
    .filter(line => line !== undefined)
t.test('a line follows the one before, whatever has happened to it', async t => {
  const server = await startServer(t)
  const { db } = server
  const pool = new RetryingPool(db.url('callboard_worker'), { size: 2, applicationName: 'test' })
  t.teardown(() => pool.close())
  const ask = (sql: string, values?: unknown[]) => pool.ask(sql, values)
  const file = path(t.testdir(), 'ended.jsonl')
  const seal = () => ask(`select app.seal_events('0 seconds')`)
  const ana = await register(server, 'Ana')
  t.equal(await appendEnded(file, ask), undefined, 'nothing, before the sealer has run')
  t.same(await linesOf(file), [])
  await until(async () => {
    await seal()
    return (await appendEnded(file, ask)) !== undefined
  })
  t.equal((await stat(file)).mode & 0o777, 0o600)
  await t.test('one that was torn is written again', async t => {
    await appendFile(file, '{"origin":{"server":"')
    await seal()
    await appendEnded(file, ask)
    const [first, second, ...more] = await linesOf(file)
    t.equal(second?.from, first?.until)
    t.same(more, [])
  })

  await t.test('what commits late is in it', async t => {
    const late = await db.admin.reserve()
    await late`begin`
    await late`select pg_current_xact_id()`
    const before = await linesOf(file)
    for (const round of [1, 2]) {
      await seal()
      await appendEnded(file, ask)
      const [last] = (await linesOf(file)).slice(-1)
      t.equal(
        last?.until,
        before.at(-1)?.until,
        `nothing is said about a time in which something may still end, ${round}`,
      )
    }
    await late`update app.sessions set revoked_at = now(), revoked_because = 'revoked' where user_id = ${ana.id}`
    await late`commit`
    late.release()
    await until(async () => {
      await seal()
      await appendEnded(file, ask)
      const [last] = (await linesOf(file)).slice(-1)
      return last?.until !== before.at(-1)?.until
    })
    const [last] = (await linesOf(file)).slice(-1)
    t.equal(last?.from, before.at(-1)?.until)
    t.equal(last?.ended.filter(({ what }) => what === 'session').length, 1)
  })

  await t.test('of another file, too, after it has been put away', async t => {
    const behind = await appendEnded(file, ask)
    await rename(file, `${file}.1`)
    await signIn(server, ana.email)
    await seal()
    await appendEnded(file, ask, behind)
    t.equal((await linesOf(file))[0]?.from, behind?.until)
  })

  await t.test('of another worker does no harm', async t => {
    await Promise.all([appendEnded(file, ask), appendEnded(file, ask), appendEnded(file, ask)])
    const text = await readFile(file, 'utf8')
    t.equal((await linesOf(file)).length, text.trimEnd().split('\n').length, 'each line is whole')
  })
})

t.test('a file that cannot be written is an error each time, and nothing else', async t => {
  const folder = path(t.testdir(), 'gone')
  const errors: unknown[] = []
  const log = { error: (about: unknown) => errors.push(about) } as never
  const outcomes: string[] = []
  const stop = startRecording(
    path(folder, 'ended.jsonl'),
    async () => null,
    log,
    (task, outcome) => outcomes.push(`${task} ${outcome}`),
  )
  t.teardown(stop)
  await until(() => outcomes.length > 0)
  t.same(outcomes, ['record_ended failed'])
  t.match(errors, [{ task: 'record_ended', err: { code: 'ENOENT' } }])
})

t.test('a worker with ENDED_FILE writes it, and does its other work if it cannot', async t => {
  const folder = t.testdir()
  for (const [name, isThere] of [
    ['there', true],
    ['gone', false],
  ] as const) {
    if (isThere) await mkdir(path(folder, name))
    const file = path(folder, name, 'ended.jsonl')
    const server = await startServer(t, { ENDED_FILE: file })
    await register(server, 'Ana')
    const sealer = server.db.as('callboard_worker')
    await until(async () => {
      await sealer`select app.seal_events('0 seconds')`
      const [{ line }] = await sealer<[{ line: unknown }]>`select app.read_ended() as line`
      return line !== null
    })
    const outcomes: string[] = []
    const worker = startWorker(
      server.config,
      server.db.url('callboard_worker'),
      () => '',
      server.app.log,
      [{ task: 'other', seconds: 1, sql: 'select 1' }],
      (task, outcome) => outcomes.push(`${task} ${outcome}`),
    )
    t.teardown(() => worker.stop())
    await until(
      () => outcomes.includes('other done') && outcomes.some(outcome => outcome.startsWith('record_ended')),
    )
    t.ok(outcomes.includes(`record_ended ${isThere ? 'done' : 'failed'}`), name)
    if (isThere) t.equal((await linesOf(file)).length, 1)
  }
})
