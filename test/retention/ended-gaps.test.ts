// A file of what has ended (ENDED_FILE) is refused unless it tells of every moment since the copy was made.
import { appendFile, readFile } from 'node:fs/promises'
import { join as path } from 'node:path'
import { endedSince, type Line } from '../../src/jobs/ended-reading.ts'
import { restored } from '../support/backup.ts'
import { copyOf, recorder } from '../support/copy.ts'
import { register, signIn, startServer, type TestServer, until } from '../support/helper.ts'
import { t } from '../support/tap.ts'

const shows = async ({ call }: TestServer, { token }: { token: string }) =>
  (await call('GET /api/shows', { token })).status
const origin = { server: '7', since: '2026-01-01T00:00:00+00:00' }
const at = (minute: string) => `2026-03-01T10:${minute}:00.5+00:00`
const line = (from: string, to: string, ended: Line['ended'] = [], of = origin) =>
  JSON.stringify({ origin: of, from: at(from), until: at(to), ended })
const session = (id: string, minute: string) => ({ what: 'session', id, at: at(minute) })

t.test('files tell what ended if they leave out no moment', async t => {
  const copy = { origin, until: at('10') }
  const read = (text: string[], served = at('31')) =>
    endedSince(text, copy, new Date(served)).ended.map(({ id, at }) => `${id} ${at.slice(14, 16)}`)
  const first = line('09', '20', [session('a', '15')])
  const second = line('20', '30', [session('a', '25'), session('b', '25')])
  t.same(read([`${first}\n${second}\n`]), ['a 25', 'b 25'], 'the newest of each')
  t.same(read([second, first]), ['a 25', 'b 25'], 'in several files, in any order')
  t.same(read([`${first}\n${second.slice(0, 50)}\n${second}\n`]), ['a 25', 'b 25'], 'with a torn line')
  t.same(
    read([`${line('00', '05', [session('c', '04')])}\n${first}\n${second}`]),
    ['a 25', 'b 25'],
    'not from before',
  )
  for (const [texts, why] of [
    [[''], 'It has no line'],
    [
      [line('09', '20', [], { ...origin, server: '8' }), line('20', '30', [], { ...origin, server: '8' })],
      'another database',
    ],
    [[line('00', '05')], 'before the copy was made'],
    [[line('11', '30')], 'between 2026-03-01T10:10.* and 2026-03-01T10:11'],
    [[first, line('21', '30')], 'between 2026-03-01T10:20.* and 2026-03-01T10:21'],
    [[`${first}\n${second.slice(0, 50)}`], 'ends at 2026-03-01T10:20'],
  ] as const)
    t.throws(() => read([...texts]), { name: 'Incomplete', message: new RegExp(why) }, why)
  t.throws(() => read([first, second], at('36')), { message: /may have been served until 2026-03-01T10:36/ })
  t.same(read([first, second], at('35')).length, 2, 'as much as a worker takes')
  const young = { ...origin, since: at('09') }
  t.same(
    endedSince([line('09', '20', [], young)], { origin: young, until: '-infinity' }, new Date(at('20')))
      .ended,
    [],
    'a new database had nothing before',
  )
})

t.test('a file that leaves something out is refused', async t => {
  const here = await startServer(t)
  const ana = await register(here, 'Ana')
  const record = recorder(t, here.db)
  const folder = t.testdir()
  const [whole, early, late] = [path(folder, 'whole'), path(folder, 'early'), path(folder, 'late')]
  await record(whole)
  await record(early)
  const copy = await copyOf(t, here.db)
  await until(async () => (await shows(here, ana)) === 200)
  const ben = await signIn(here, ana.email)
  await here.call('POST /api/auth/sign-out', { token: ana.token })
  await record(whole)
  await record(whole)
  await appendFile(late, (await readFile(whole, 'utf8')).split('\n').at(-2) ?? '')
  const there = await startServer(t, {}, copy)
  const soon = new Date(Date.now() + 3_600_000).toISOString()
  for (const [files, args, why] of [
    [[early], ['--until', soon], /It ends at 20.*before the copy|It ends at 20.*may have been served until/],
    [[early, late], [], /does not say what ended between 20.* and 20/],
    [[late], [], /does not say what ended between 20.* and 20/],
    [[whole], ['--until', soon], /It ends at 20.*may have been served until/],
  ] as const) {
    const { code, output } = await restored(copy, ...files.flatMap(file => ['--ended', file]), ...args)
    t.equal(code, 1, output)
    t.match(output, why)
    t.match(output, /Nothing has been changed/)
  }
  t.match(await restored(copy, '--ended', path(folder, 'none')), { code: 1, output: /ENOENT/ })
  t.equal(await shows(there, ana), 200, 'nothing has been changed')

  await t.test('then everything ends', async t => {
    const { code, output } = await restored(copy)
    t.equal(code, 0, output)
    t.equal(await shows(there, ana), 401)
    t.equal((await there.call('GET /api/me', { token: ben.token })).status, 401)
  })
})
