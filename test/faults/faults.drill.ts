// What was answered 201 is there, and nothing is there twice, whatever fails meanwhile: people write without a pause, each
// request with a key and again until it is answered 201, while faults come one after the other. Prints for how long each
// fault kept everybody from writing. The outage, redis-outage, mail-outage and wrong-clock tests have what each fault is
// answered with.
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { freePort } from '../../src/database/embedded/port.ts'
import { demoEmail, demoPassword, seedDemo } from '../../src/demo/demo.ts'
import { t } from '../support/tap.ts'
import { startDemo } from '../support/demo.ts'
import { folder, onlyLinux } from '../support/embedded.ts'
import { ownClock, startFaulty, withoutFaults } from '../support/faulty-cluster.ts'
import { until } from '../support/helper.ts'
import { startRedis, withoutRedis } from '../support/redis.ts'
import { startSilent } from '../support/silent.ts'
import { startSmtp } from '../support/smtp.ts'
import { startProxy } from '../support/proxy.ts'
import { type ServerProcess, startServerProcess } from '../support/server-process.ts'

t.setTimeout(600_000)

const settings = { RATE_LIMIT: '1000000', NODE_ENV: 'development' }

/** People who write to a server without a pause, until they are told to stop. */
async function work(base: string, people = 4) {
  const written = new Map<string, string>()
  const good: number[] = []
  const statuses = new Set<number>()
  let isOver = false
  const ask = async (path: string, init: RequestInit = {}, headers: Record<string, string> = {}) => {
    const body = init.body === undefined ? {} : { 'content-type': 'application/json' }
    return fetch(`${base}${path}`, {
      ...init,
      headers: { ...body, ...headers },
      signal: AbortSignal.timeout(10_000),
    })
  }
  const signedIn = await ask('/api/auth/sign-in', {
    method: 'POST',
    body: JSON.stringify({ email: demoEmail, password: demoPassword }),
  })
  let { access_token: token, refresh_token } = (await signedIn.json()) as Record<string, string>
  let authorization = `Bearer ${token}`
  let renewals = 0
  /** As clients do whose token is refused: once for all that is under way. */
  const renew = async (refused: string) => {
    if (authorization !== refused) return
    const reply = await ask('/api/auth/refresh', { method: 'POST', body: JSON.stringify({ refresh_token }) })
    if (!reply.ok || authorization !== refused) return
    ;({ access_token: token, refresh_token } = (await reply.json()) as Record<string, string>)
    authorization = `Bearer ${token}`
    renewals += 1
  }
  const write = async (title: string) => {
    const used = authorization
    try {
      const reply = await ask(
        '/api/shows',
        {
          method: 'POST',
          body: JSON.stringify({ title, artist: 'The Gaslights', show_on: '2030-02-03' }),
        },
        { authorization: used, 'idempotency-key': title },
      )
      if (reply.status === 401) await renew(used)
      else statuses.add(reply.status)
      const { id } = (await reply.json()) as { id?: string }
      if (reply.status !== 201 || id === undefined) return false
      written.set(title, id)
      good.push(performance.now())
      return true
    } catch {
      return false
    }
  }
  const person = async () => {
    while (!isOver) {
      const title = randomUUID()
      while (!(await write(title)) && !isOver) await sleep(50)
      await sleep(20)
    }
  }
  const all = Promise.all(Array.from({ length: people }, person))
  return {
    read: async () => (await ask('/api/shows?limit=5', {}, { authorization })).status,
    /** Creates something; the text of a file, or JSON. */
    made: async (path: string, body: object | string) => {
      const isFile = typeof body === 'string'
      const reply = await ask(
        path,
        { method: 'POST', body: isFile ? body : JSON.stringify(body) },
        { authorization, ...(isFile && { 'content-type': 'text/csv' }) },
      )
      if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`)
      return (await reply.json()) as { id: string }
    },
    ask: (path: string, body: object) =>
      ask(path, { method: 'POST', body: JSON.stringify(body) }, { authorization }),
    statuses,
    renewals: () => renewals,
    /** Breaks something and mends it; returns for how long nobody could write, in milliseconds. */
    async during(fault: () => Promise<unknown>): Promise<number> {
      await until(() => good.length > 0)
      const began = good.length - 1
      await fault()
      const mended = performance.now()
      await until(() => (good.at(-1) ?? 0) > mended + 2000, 60)
      const times = good.slice(began)
      return Math.round(Math.max(...times.slice(1).map((at, n) => at - (times[n] ?? at))))
    },
    /** Stops, and checks that each show that was answered 201 is there once, with its id. */
    async expectAll(t: Test) {
      isOver = true
      await all
      const lines = (
        await (await ask('/api/exports/shows', {}, { authorization, accept: 'application/x-ndjson' })).text()
      ).trim()
      const there = lines.split('\n').map(line => JSON.parse(line) as { id: string; title: string })
      const found = there.filter(({ title }) => written.has(title))
      t.ok(written.size > 50, `${written.size} shows were answered 201`)
      t.strictSame(
        [...written.keys()].filter(title => !found.some(show => show.title === title)),
        [],
        'nothing is missing',
      )
      t.equal(found.length, new Set(found.map(show => show.title)).size, 'nothing is there twice')
      t.strictSame(
        found.filter(({ id, title }) => written.get(title) !== id),
        [],
      )
      t.strictSame(
        [...statuses].filter(status => ![201, 503].includes(status)),
        [],
        'all others were told to come back',
      )
    },
  }
}

t.test('on one machine, with the embedded PostgreSQL', onlyLinux, async t => {
  const data = join(folder(t), 'data')
  const port = String(await freePort(0))
  const base = `http://127.0.0.1:${port}`
  const embeddedPort = String(await freePort(0))
  let node!: ServerProcess
  const start = async () => {
    node = startServerProcess(t, {
      ...settings,
      PORT: port,
      HOST: '127.0.0.1',
      DATA_DIR: data,
      EMBEDDED_PORT: embeddedPort,
    })
    await node.says(/Callboard is running|Server listening/)
  }
  t.teardown(async () => {
    node.child.kill('SIGTERM')
    await node.ended
  })
  await start()
  const people = await work(base)
  const postmaster = () => {
    const file = readdirSync(data, { recursive: true, encoding: 'utf8' }).find(name =>
      name.endsWith('postmaster.pid'),
    )
    return Number.parseInt(readFileSync(join(data, file ?? ''), 'utf8'), 10)
  }
  const backends = () =>
    spawnSync('pgrep', ['-P', String(postmaster()), '-f', 'callboard_api'], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n')
      .map(Number)
  const faults: Record<string, () => Promise<unknown>> = {
    'a backend of PostgreSQL is killed': async () => process.kill(backends()[0] ?? 0, 'SIGKILL'),
    'the postmaster is killed': async () => process.kill(postmaster(), 'SIGKILL'),
    'Callboard is killed and started again': async () => {
      node.child.kill('SIGKILL')
      await node.ended
      await start()
    },
    'PostgreSQL stands still for five seconds': async () => {
      const all = [postmaster(), ...backends()]
      for (const pid of all) process.kill(pid, 'SIGSTOP')
      await sleep(5000)
      for (const pid of all) process.kill(pid, 'SIGCONT')
    },
  }
  for (const [what, fault] of Object.entries(faults))
    await t.test(what, async t => {
      const ms = await people.during(fault)
      t.comment(`${what}: nobody could write for ${ms} ms`)
      t.ok(ms < 30_000, `${ms} ms`)
    })
  await people.expectAll(t)
})

t.test('with a network between Callboard and PostgreSQL', async t => {
  const { db } = await startDemo(t)
  const proxy = await startProxy(t, db.url('callboard_api'))
  const port = String(await freePort(0))
  const server = startServerProcess(t, {
    ...settings,
    PORT: port,
    HOST: '127.0.0.1',
    DATABASE_DEADLINE: '2',
    DATABASE_URL: proxy.through(db.url('callboard_api')),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    JWT_SECRET: 'a secret that only this drill knows, and is long',
  })
  await server.says(/Server listening/)
  await until(
    async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.status === 200,
  )
  const people = await work(`http://127.0.0.1:${port}`)
  const faults: Record<string, () => Promise<unknown>> = {
    'all connections are cut, and refused for three seconds': async () => {
      await proxy.stop()
      await sleep(3000)
      await proxy.start()
    },
    'nothing gets through for five seconds': async () => {
      proxy.freeze()
      await sleep(5000)
      proxy.thaw()
    },
    'what was on its way is lost with its connection': async () => {
      proxy.freeze()
      await sleep(500)
      await proxy.stop()
      await proxy.start()
    },
    'answers take 300 ms longer': async () => {
      proxy.delay(300)
      await sleep(3000)
      proxy.delay(0)
    },
    'PostgreSQL ends all connections': () =>
      db.admin`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = 'callboard_api'`,
  }
  for (const [what, fault] of Object.entries(faults))
    await t.test(what, async t => {
      const ms = await people.during(fault)
      t.comment(`${what}: nobody could write for ${ms} ms`)
      t.ok(ms < 10_000, `${ms} ms`)
    })
  await people.expectAll(t)
  const [{ twice }] = await db.admin<[{ twice: number }]>`
    select count(*)::integer as twice from (
      select resource_id from app.event_log where action = 'show.create' group by resource_id having count(*) > 1) x`
  t.equal(twice, 0, 'no show has two events of its creation')
})

t.test('with a bucket and a mail server that accept connections and say nothing', async t => {
  const { db } = await startDemo(t)
  const silent = await startSilent(t)
  const port = String(await freePort(0))
  const server = startServerProcess(t, {
    ...settings,
    PORT: port,
    HOST: '127.0.0.1',
    DATABASE_URL: db.url('callboard_api'),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    JWT_SECRET: 'a secret that only this drill knows, and is long',
    EXPORT_S3_BUCKET: 'exports',
    EXPORT_S3_ENDPOINT: `http://${silent.address}`,
    EXPORT_S3_ACCESS_KEY_ID: 'nobody',
    EXPORT_S3_SECRET_ACCESS_KEY: 'knows it',
    SMTP_URL: `smtp://${silent.address}`,
  })
  await server.says(/Server listening/)
  const people = await work(`http://127.0.0.1:${port}`, 1)
  const ordered = await people.ask('/api/analytics/export', { resource: 'shows', format: 'csv' })
  t.equal(ordered.status, 202)
  const invited = await people.ask('/api/invitations', { email: 'silence@example.com', role: 'viewer' })
  t.equal(invited.status, 201)
  await until(() => silent.accepted() > 1)
  const began = performance.now()
  // The worker counts an attempt as failed, and tries again.
  for (const [what, kind] of [
    ['mail server', 'mail'],
    ['bucket', 'export'],
  ] as const) {
    await until(async () => {
      const [row] =
        await db.admin`select from graphile_worker._private_jobs where last_error is not null and flags ? ${kind}`
      return row !== undefined
    }, 60)
    const ms = Math.round(performance.now() - began)
    t.comment(`a silent ${what}: an attempt ends after ${ms} ms`)
    t.ok(ms < 45_000, `${ms} ms`)
  }
  await people.expectAll(t)
})

t.test('with a disk that is full and a clock that is wrong', withoutFaults(), async t => {
  const { db, fill, makeRoom, fillWal, makeWalRoom, setClock } = await startFaulty(t)
  await seedDemo({ migratorUrl: db.url('callboard_migrator'), apiUrl: db.url('callboard_api') })
  const redis = withoutRedis().skip === undefined ? await startRedis(t) : undefined
  const clock = join(folder(t), 'clock')
  writeFileSync(clock, '+0\n')
  const port = String(await freePort(0))
  const server = startServerProcess(t, {
    ...settings,
    PORT: port,
    HOST: '127.0.0.1',
    DATABASE_URL: db.url('callboard_api'),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    JWT_SECRET: 'a secret that only this drill knows, and is long',
    ...(redis && { REDIS_URL: redis.url }),
    ...ownClock(clock),
  })
  await server.says(/Server listening/)
  const people = await work(`http://127.0.0.1:${port}`)
  const setOwnClock = async (offset: string) => {
    const renewed = people.renewals()
    writeFileSync(clock, `${offset}\n`)
    await until(() => people.renewals() === renewed + 1)
    await sleep(5000)
    writeFileSync(clock, '+0\n')
    await until(() => people.renewals() === renewed + 2)
  }
  const faults: Record<string, (t: Test) => Promise<unknown>> = {
    'the disk of the tables is full for five seconds': async t => {
      await fill()
      await until(() => people.statuses.has(503))
      t.equal(await people.read(), 200, 'reading goes on')
      await sleep(5000)
      await makeRoom()
    },
    'the disk of the log of changes (WAL) is full, and PostgreSQL is started again after five seconds':
      async () => {
        await fillWal()
        await sleep(5000)
        await makeWalRoom()
      },
    'the clock of PostgreSQL is 20 days ahead for five seconds, and set right': async () => {
      const ahead = async (isAhead: boolean) =>
        until(async () => {
          const [row] = await db.admin<[{ ahead: boolean }]>`
            select clock_timestamp() > ${new Date(Date.now() + 86_400_000)} as ahead`
          return row.ahead === isAhead
        })
      await setClock('+20d')
      await ahead(true)
      await sleep(5000)
      await setClock('+0')
      await ahead(false)
    },
    // Neither takes the tokens of the other, so everybody gets a new one twice.
    'the clock of Callboard is 40 days ahead for five seconds, and set right': () => setOwnClock('+40d'),
    'the clock of Callboard is 40 days behind for five seconds, and set right': () => setOwnClock('-40d'),
    ...(redis && {
      'Redis is silent for five seconds': async () => {
        redis.freeze()
        await sleep(5000)
        redis.thaw()
      },
    }),
  }
  for (const [what, fault] of Object.entries(faults))
    await t.test(what, async t => {
      const ms = await people.during(() => fault(t))
      t.comment(`${what}: nobody could write for ${ms} ms`)
      t.ok(ms < 15_000, `${ms} ms`)
    })
  await people.expectAll(t)
  // What was logged while the clock was ahead, and since, is sealed.
  await until(async () => {
    const [{ unsealed }] = await db.admin<[{ unsealed: number }]>`
      select count(*)::integer as unsealed from app.event_log l
      where l.action = 'show.create' and not exists (
        select from app.event_seals s where s.organization_id = l.organization_id and s.event_id = l.id)`
    return unsealed === 0
  }, 60)
})

t.test('with a worker that is killed in the middle of imports, exports and mails', async t => {
  const { db } = await startDemo(t)
  const smtp = await startSmtp(t)
  const port = String(await freePort(0))
  const shared = { ...settings, EXPORT_DIR: t.testdir({}) }
  const server = startServerProcess(t, {
    ...shared,
    PORT: port,
    HOST: '127.0.0.1',
    DATABASE_URL: db.url('callboard_api'),
    JWT_SECRET: 'a secret that only this drill knows, and is long',
  })
  await server.says(/Server listening/)
  const people = await work(`http://127.0.0.1:${port}`, 1)
  const orders = 8
  const lines = Array.from({ length: 5000 }, (_, n) => `Of a file ${n},The Gaslights,2031-02-03`)
  const { id: file } = await people.made(
    '/api/imports?resource=shows',
    `title,artist,show_on\n${lines.join('\n')}\n`,
  )
  const startWorking = () =>
    startServerProcess(
      t,
      {
        ...shared,
        WORKER_DATABASE_URL: db.url('callboard_worker'),
        PUBLIC_URL: 'https://callboard.example',
        SMTP_URL: smtp.url,
      },
      'src/worker.ts',
    )
  const first = startWorking()
  const imported = async () => {
    const [row] = await db.admin<[{ status: string }]>`select status from app.imports where id = ${file}`
    return row.status
  }
  await until(async () => (await imported()) === 'checked', 60)
  await people.made(`/api/imports/${file}/run`, { on_error: 'abort' })
  for (let n = 0; n < 5; n++) await people.made('/api/analytics/export', { resource: 'shows', format: 'csv' })
  for (let n = 0; n < orders; n++)
    await people.made('/api/invitations', { email: `guest${n}@example.com`, role: 'viewer' })
  const running = () =>
    db.admin`select from graphile_worker._private_jobs where locked_at is not null and flags ? 'import'`
  await until(async () => (await running()).count > 0)
  first.child.kill('SIGKILL')
  await first.ended
  t.equal((await running()).count, 1, 'the import was under way')
  const began = performance.now()
  startWorking()
  await until(
    async () =>
      (
        await db.admin`select from graphile_worker._private_jobs where flags ?| array['import', 'export', 'mail']`
      ).count === 0,
    90,
  )
  const ms = Math.round(performance.now() - began)
  t.comment(`a killed worker: the next one has done all jobs after ${ms} ms`)
  t.ok(ms < 60_000, `${ms} ms`)
  t.equal(await imported(), 'done')
  const [{ entered }] = await db.admin<[{ entered: number }]>`
    select count(*)::integer as entered from app.shows where title like 'Of a file %'`
  t.equal(entered, lines.length, 'each line is entered once')
  t.strictSame(
    [...(await db.admin`select status, count(*)::integer as exports from app.exports group by status`)],
    [{ status: 'ready', exports: 5 }],
  )
  const mails = Array.from(
    { length: orders },
    (_, n) => smtp.received.filter(mail => mail.includes(`To: guest${n}@example.com`)).length,
  )
  // One that was handed over just before the worker died is handed over again: only one is on its way at a time.
  t.ok(
    mails.every(count => count >= 1) && mails.reduce((sum, count) => sum + count) <= orders + 1,
    `mails: ${mails.join(', ')}`,
  )
  await people.expectAll(t)
})
