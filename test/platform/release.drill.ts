// A release is migrated first, beside traffic, and then its programs replace those of the release before one by one.
// Those run on its schema all the while, and can stay.
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { demoEmail, demoPassword } from '../../src/demo/demo.ts'
import { t } from '../support/tap.ts'
import { copyCheckout } from '../support/checkout.ts'
import { startDemo } from '../support/demo.ts'
import { later } from '../support/later.ts'
import { type ServerProcess, startNode, startServerProcess } from '../support/server-process.ts'

t.setTimeout(600_000)

interface Answer {
  what: string
  status: number
  ms: number
}

/** People who work without a pause, each on one of the servers; what they were answered, until they are told to stop. */
function work(servers: () => string[], token: string, people: number) {
  const answers: Answer[] = []
  let isOver = false
  const person = async (n: number) => {
    let show: { id: string; etag: string } | undefined
    for (let turn = n; !isOver; turn += 1) {
      const urls = servers()
      const ask = async (what: string, headers: Record<string, string> = {}, body?: object) => {
        const [method, path] = what.split(' ')
        const began = performance.now()
        const answer = await fetch(`${urls[n % urls.length] ?? ''}${path ?? ''}`, {
          method: method ?? '',
          headers: {
            authorization: `Bearer ${token}`,
            ...headers,
            ...(body && { 'content-type': 'application/json' }),
          },
          ...(body && { body: JSON.stringify(body) }),
        }).catch(() => undefined)
        const found = (await answer?.json().catch(() => undefined)) as { id: string } | undefined
        const name = what.replace(/[0-9a-f-]{36}/, ':id')
        answers.push({ what: name, status: answer?.status ?? 0, ms: performance.now() - began })
        return { found, etag: answer?.headers.get('etag') ?? '' }
      }
      if (turn % 5 === 0) {
        const { found, etag } = await ask(
          'POST /api/shows',
          {},
          { title: 'Tour', artist: 'The Gaslights', show_on: '2030-02-03' },
        )
        if (found) show = { id: found.id, etag }
      } else if (turn % 5 === 1 && show) {
        await ask(`PATCH /api/shows/${show.id}`, { 'if-match': show.etag }, { capacity: turn })
        show = undefined
      } else if (turn % 5 === 2) await ask('GET /api/analytics/finance')
      else if (turn % 5 === 3) await ask('GET /api/venues')
      else await ask('GET /api/shows?limit=20')
    }
  }
  const all = Promise.all(Array.from({ length: people }, (_, n) => person(n)))
  return {
    answers,
    stop: async () => {
      isOver = true
      await all
    },
  }
}

/** A column, a constraint, an index and a policy on the table with most requests. */
const column = 'tour text collate app.people constraint shows_tour_length check (app.is_line(tour, 200))'
const index = 'shows_organization_id_capacity_idx on app.shows (organization_id, capacity)'
const policy = `select app_private.set_policy('app.shows', 'select_tours', 'callboard_api', $$organization_id = (select app.org_if('shows.read')) and tour is not null$$);`

t.test('a release is migrated beside traffic, whatever happens to the migrator', async t => {
  const { folder, run, edit, write } = copyCheckout(t)
  const commit = async (text: string, name: string) => {
    write(text)
    const { code, output } = await run('commit-migration', [name])
    t.equal(code, 0, `${name}: ${output}`)
  }
  edit('schema/shows/shows.sql', '  as_json text not null', `  ${column},\n  as_json text not null`)
  edit(
    'schema/shows/shows.sql',
    'create index if not exists shows_organization_id_title_idx',
    `create index if not exists ${index};\ncreate index if not exists shows_organization_id_title_idx`,
  )
  edit('schema/shows/show_commands.sql', 's.external_ref,\n', 's.external_ref, s.tour,\n')
  edit(
    'schema/shows/shows.sql',
    'create index if not exists shows_organization_id_show_on_idx',
    `${policy}\ncreate index if not exists shows_organization_id_show_on_idx`,
  )
  await commit(
    `--! no-transaction\ncreate index concurrently if not exists ${index};\n`,
    'find shows by capacity',
  )
  await commit(
    `alter table app.shows add column if not exists ${column};\ndrop view if exists app.show_rows;\n`,
    'shows belong to tours',
  )

  const { db, url } = await startDemo(t)
  const settings = {
    PORT: '0',
    JWT_SECRET: 'a key of thirty-two characters or more',
    DATABASE_URL: db.url('callboard_api'),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    EXPORT_DIR: t.testdir(),
    RATE_LIMIT: '10000000',
  }
  const addressOf = async (server: ServerProcess) =>
    (await server.says(/Server listening at (http:[^"]+)/))[1] ?? ''
  const before = await addressOf(startServerProcess(t, settings))
  const signedIn = await fetch(`${before}/api/auth/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: demoEmail, password: demoPassword }),
  })
  const { access_token: token } = (await signedIn.json()) as { access_token: string }
  let servers = [before]
  const { answers, stop } = work(() => servers, token, 20)
  const good = ({ status }: Answer) => status >= 200 && status < 300
  const slowest = (from = 0) => Math.round(Math.max(...answers.slice(from).map(({ ms }) => ms)))
  const about = (part: Answer[]) => {
    const failed = part.filter(answer => !good(answer))
    return failed.slice(0, 5).map(({ what, status, ms }) => `${what}: ${status} after ${Math.round(ms)} ms`)
  }
  await sleep(3000)
  t.comment(`${answers.length} requests before, the slowest ${slowest()} ms`)
  const begun = answers.length
  const env = { MIGRATOR_DATABASE_URL: db.url('callboard_migrator') }
  const reader = postgres(url, { max: 1 })

  await t.test('killed at any moment, it leaves what the next run finishes', async t => {
    await reader.unsafe('begin isolation level repeatable read; select count(*) from app.shows, app.venues')
    for (const after of [1500, 2000, 2500, 3000, 4000, 5000]) await run('migrate', [], env, after)
    const [{ ended }] = await db.admin<[{ ended: boolean }]>`
      select count(*) < ${Number.parseInt(later(2, ''))} as ended from graphile_migrate.migrations`
    t.ok(ended, 'a reader of all this time kept the second one from its lock')
    const last = run('migrate', [], env)
    await sleep(4000)
    const [held] = await reader<[{ seconds: number }]>`
      select extract(epoch from clock_timestamp() - xact_start)::float8 as seconds from pg_stat_activity where pid = pg_backend_pid()`
    t.ok(held.seconds > 10, `it has been reading for ${Math.round(held.seconds)} s`)
    await reader`commit`
    await reader.end()
    const { code, output } = await last
    t.equal(code, 0, output)
    t.notMatch(
      output,
      new RegExp(`trying again.*${later(1, '').slice(0, 6)}`, 's'),
      'the index is not begun again and again',
    )
    t.match(await run('migrate', ['--plan'], env), { code: 0, output: 'No migration is pending.\n' })
    const invalid = await db.admin`select indexrelid::regclass from pg_index where not indisvalid`
    t.strictSame([...invalid], [])
    t.comment(`${answers.length - begun} requests beside it, the slowest ${slowest(begun)} ms`)
    t.strictSame(about(answers), [], 'nobody was refused')
  })

  await t.test('both programs serve, and the one before can stay and start', async t => {
    const after = startNode(t, ['--import', 'tsx', 'src/server.ts'], settings, folder)
    const from = answers.length
    servers = [before, await addressOf(after)]
    await sleep(4000)
    // As a proxy does that takes a server out before it is stopped.
    servers = [before]
    await sleep(1000)
    after.child.kill('SIGTERM')
    t.equal((await after.ended).code, 0)
    servers = [before, await addressOf(startServerProcess(t, settings))]
    await sleep(3000)
    t.ok(answers.length > from + 100, `${answers.length - from} requests`)
    t.strictSame(about(answers.slice(from)), [])
  })
  await stop()
  t.ok(slowest(begun) < 5000, `the slowest request since took ${slowest(begun)} ms`)
})
