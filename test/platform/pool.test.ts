import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { Unavailable } from '../../src/database/errors.ts'
import { createPool, type Pool, type PoolOptions } from '../../src/database/pool.ts'
import { Problem, toProblem } from '../../src/http/problem.ts'
import { type Database, startDatabase, until } from '../support/helper.ts'
import { startProxy } from '../support/proxy.ts'

t.test('the pool', async t => {
  const db = await startDatabase(t)
  const open = (t: Test, options: Partial<PoolOptions> = {}) => openPool(t, db, options)
  const kill = (pid: number) => db.admin`select pg_terminate_backend(${pid}, 5000)`

  await t.test('a connection is used by one caller at a time, and kept for the next', async t => {
    const pool = open(t)
    let working = 0
    const pids = await Promise.all(
      Array.from({ length: 20 }, () =>
        pool.use(async sql => {
          working += 1
          t.ok(working <= 2)
          await sql`select pg_sleep(0.005)`
          const pid = await backendOf(sql)
          working -= 1
          return pid
        }),
      ),
    )
    t.equal(new Set(pids).size, 2)
    t.same(pool.stats(), { size: 2, open: 2, busy: 0, waiting: 0 })
  })

  await t.test('an error of a statement, or a refusal, keeps the connection', async t => {
    const pool = open(t, { size: 1 })
    const before = await pidOf(pool)
    await t.rejects(
      pool.use(sql => sql`select 1 / 0`),
      { code: '22012' },
    )
    await t.rejects(
      pool.use(() => Promise.reject(new Problem(404, 'not_found', 'no such row'))),
      { message: 'no such row' },
    )
    t.equal(await pidOf(pool), before)
    t.same(pool.stats(), { size: 1, open: 1, busy: 0, waiting: 0 })
  })

  await t.test('any other error costs the connection, which may be out of step', async t => {
    const pool = open(t, { size: 1 })
    for (const work of [
      () => {
        throw new TypeError('a bug')
      },
      // The driver rejects whatever is running at that moment, and sends something anyway.
      (sql: Sql) => Promise.all([sql`begin`, sql`select ${undefined as never}::text`, sql`commit`]),
    ]) {
      const before = await pidOf(pool)
      await t.rejects(pool.use<unknown>(work))
      t.not(await pidOf(pool), before)
      t.same(pool.stats(), { size: 1, open: 1, busy: 0, waiting: 0 })
    }
  })

  await t.test('an idle connection that was killed is never handed out', async t => {
    const pool = open(t, { size: 1 })
    const before = await pidOf(pool)
    await kill(before)
    await until(() => pool.stats().open === 0)
    t.not(await pidOf(pool), before)
  })

  await t.test('the rest of a transaction whose connection was killed is not sent on another', async t => {
    const pool = open(t, { size: 1, autocommit: true })
    await db.admin`create table public.marks (n integer)`
    await db.admin`grant usage on schema public to callboard_api`
    await db.admin`grant all on public.marks to callboard_api`
    const insert = (sql: Sql, n: number) => sql`insert into public.marks values (${n})`
    await refusal(
      t,
      pool.use(async sql => {
        await sql`begin`
        await insert(sql, 1)
        const pid = await backendOf(sql)
        // The first statement of a new form is described before it is run, and the others queue after it.
        const queued = [sql`select pg_sleep(60)`, sql`select ${1}::integer`, insert(sql, 2), sql`commit`]
        const settled = Promise.allSettled(queued)
        await until(async () => (await backends(db)).some(b => b.pid === pid && b.query.includes('sleep')))
        await kill(pid)
        t.ok((await settled).every(query => query.status === 'rejected'))
        await insert(sql, 3)
      }),
      /cannot be reached/,
    )
    t.same(await db.admin`select n from public.marks`, [])
    t.type(await pidOf(pool), 'number')
  })

  await t.test('a statement outside a transaction cannot write', async t => {
    await t.rejects(
      open(t).use(sql => sql`insert into public.marks values (4)`),
      { code: '25006' },
    )
    await open(t, { autocommit: true }).use(sql => sql`insert into public.marks values (5)`)
    t.same(await db.admin`select n from public.marks`, [{ n: 5 }])
  })

  await t.test('a slow statement times out, and costs no connection', async t => {
    const pool = open(t, { size: 1, deadline: 2000 })
    const before = await pidOf(pool)
    const began = Date.now()
    await t.rejects(
      pool.use(sql => sql`select pg_sleep(60)`),
      { code: '57014' },
    )
    t.ok(Date.now() - began < 20_000)
    t.equal(await pidOf(pool), before)
  })

  await t.test('work that does not end times out, and its connection is replaced', async t => {
    const pool = open(t, { size: 1, deadline: 300 })
    const before = await pidOf(pool)
    const began = Date.now()
    await refusal(
      t,
      pool.use(async sql => {
        await sql`begin`
        await new Promise(() => {})
      }),
      /did not answer in time/,
    )
    t.ok(Date.now() - began < 20_000)
    t.not(await pidOf(pool), before)
    await until(async () => (await backends(db)).every(({ pid }) => pid !== before))
  })

  await t.test('work that continues after its timeout reaches no connection', async t => {
    const pool = open(t, { size: 1, deadline: 200, autocommit: true })
    let later: Promise<unknown> = Promise.resolve()
    await refusal(
      t,
      pool.use(async sql => {
        later = sleep(300).then(() => sql`insert into public.marks values (6)`)
        await later
      }),
      /did not answer in time/,
    )
    await t.rejects(later, { code: 'CONNECTION_ENDED' })
    t.same(await db.admin`select n from public.marks where n = 6`, [])
  })

  await t.test('with all connections busy a caller waits, but not forever', async t => {
    const pool = open(t, { size: 1, deadline: 800 })
    const { held, free } = hold()
    const holder = pool.use(() => held)
    const began = Date.now()
    const waiters = Array.from({ length: 50 }, () => pool.use(sql => sql`select 1`))
    t.same(pool.stats(), { size: 1, open: 1, busy: 1, waiting: 50 })
    await Promise.all(waiters.map(waiter => refusal(t, waiter, /are busy/)))
    t.ok(Date.now() - began < 20_000)
    t.same(pool.stats(), { size: 1, open: 1, busy: 1, waiting: 0 })

    const waiting = Array.from({ length: 50 }, () => pool.use(sql => sql`select 1 as n`))
    free()
    await holder
    for (const rows of await Promise.all(waiting)) t.same(rows, [{ n: 1 }])
  })

  await t.test('one causer holds no more than its share, and waits behind those who hold less', async t => {
    const pool = open(t, { size: 4, share: 2 })
    const holds: ReturnType<typeof hold>[] = []
    const order: string[] = []
    const take = (causer?: string) => {
      const { held, free } = hold()
      holds.push({ held, free })
      return pool.use(
        async () => {
          order.push(causer ?? 'nobody')
          await held
        },
        { causer },
      )
    }
    const work = [take('loud'), take('loud'), take('loud'), take('loud')]
    t.same(pool.stats(), { size: 4, open: 2, busy: 2, waiting: 2 }, 'the others are free')
    work.push(take('quiet'), take())
    t.same(pool.stats(), { size: 4, open: 4, busy: 4, waiting: 2 })
    work.push(take('quiet'), take('third'))
    holds[0]?.free()
    await work[0]
    holds[1]?.free()
    await work[1]
    await until(() => order.length === 6)
    t.strictSame(order.slice(4), ['third', 'loud'], 'the fewest first, then those who came first')
    for (const { free } of holds) free()
    await Promise.all(work)
    t.match(pool.stats(), { busy: 0, waiting: 0 })
  })

  await t.test('who fails, or waits in vain, gives the share back', async t => {
    const pool = open(t, { size: 4, share: 1, deadline: 800 })
    const { held, free } = hold()
    const first = pool.use(() => held, { causer: 'loud' })
    await refusal(
      t,
      pool.use(sql => sql`select 1`, { causer: 'loud' }),
      /are busy/,
    )
    free()
    await first
    await t.rejects(pool.use(sql => sql`select 1 / 0`, { causer: 'loud' }))
    await t.rejects(
      pool.use(async sql => kill(await backendOf(sql)).then(() => sql`select 1`), { causer: 'loud' }),
    )
    t.same(await pool.use(sql => sql`select 1 as n`, { causer: 'loud' }), [{ n: 1 }])
  })

  await t.test('closing leaves no connection behind, not even busy ones', async t => {
    const pool = open(t, { size: 2, applicationName: 'closing' })
    await Promise.all([pidOf(pool), pidOf(pool)])
    const { held, free } = hold()
    const holder = pool.use(async sql => {
      await sql`select 1`
      await held
    })
    await pool.close()
    await refusal(
      t,
      pool.use(sql => sql`select 1`),
      /stopping/,
    )
    free()
    await holder
    await until(async () => (await backends(db)).every(b => b.application_name !== 'closing'))
    t.equal(pool.stats().open, 0)
  })

  await t.test('killed, late and failing work in any order leaves a pool that works', async t => {
    const pool = open(t, { size: 3, deadline: 1000, applicationName: 'storm' })
    const kinds = [
      (sql: Sql) => sql`select 1`,
      (sql: Sql) => sql`select 1 / 0`,
      (sql: Sql) => sql`select pg_sleep(0.01)`,
      async (sql: Sql) => {
        await kill(await backendOf(sql))
        return sql`select 1`
      },
      // The kill arrives while the connection is idle, or used by another caller.
      async (sql: Sql) => {
        void kill(await backendOf(sql))
        return []
      },
    ]
    const outcomes = await Promise.allSettled(
      Array.from({ length: 400 }, (_, i) =>
        pool.use<unknown>(sql => (kinds[(i * 7) % 5] ?? kinds[0])?.(sql) ?? Promise.resolve()),
      ),
    )
    const codes = new Set(
      outcomes.map(o =>
        o.status === 'fulfilled'
          ? 'ok'
          : String((o.reason as { code?: string }).code ?? toProblem(o.reason).status),
      ),
    )
    t.same([...codes].sort(), ['22012', '503', 'ok'])
    await until(() => pool.stats().busy === 0)
    await until(
      async () =>
        (await backends(db)).filter(b => b.application_name === 'storm').length === pool.stats().open,
    )
    for (let i = 0; i < 10; i += 1) t.type(await pidOf(pool), 'number')
  })
})

t.test('an unreachable database is an immediate 503, with the reason in the log', async t => {
  const db = await startDatabase(t)
  const api = db.url('callboard_api')
  const other = (change: (url: URL) => void) => {
    const url = new URL(api)
    change(url)
    return url.href
  }
  const proxy = await startProxy(t, api)
  await proxy.stop()
  for (const [what, url, reason] of [
    ['nothing listens', proxy.through(api), /ECONNREFUSED/],
    ['no such host', other(u => (u.hostname = 'nowhere.invalid')), /ENOTFOUND|EAI_AGAIN/],
    ['another password', other(u => (u.password = 'wrong')), /password authentication failed/],
    ['no such database', other(u => (u.pathname = '/nowhere')), /does not exist|permission denied/],
    ['TLS that the server does not have', other(u => (u.search = '?sslmode=require')), /./],
  ] as const)
    await t.test(what, async t => {
      const pool = openPool(t, db, { url, deadline: 60_000 })
      const began = Date.now()
      const problems = await Promise.all(
        Array.from({ length: 5 }, () => refusal(t, pool.use(transaction), /cannot be reached/)),
      )
      t.ok(Date.now() - began < 30_000, 'long before the deadline')
      for (const { cause } of problems) t.match((cause as Error).message, reason)
      t.same(pool.stats(), { size: 2, open: 0, busy: 0, waiting: 0 })
    })

  await t.test('a server that hangs up during the handshake is not called again and again', async t => {
    let calls = 0
    const server = createServer(socket => {
      calls += 1
      socket.on('error', () => {}).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const pool = openPool(t, db, {
      url: other(u => (u.port = String((server.address() as AddressInfo).port))),
    })
    await refusal(t, pool.use(transaction), /cannot be reached/)
    t.equal(calls, 1)
  })

  await t.test('a server that hangs times out, and no socket waits for it', async t => {
    const proxy = await startProxy(t, api)
    const pool = openPool(t, db, { url: proxy.through(api), deadline: 400 })
    await Promise.all([pidOf(pool), pidOf(pool)])
    proxy.freeze()
    const began = Date.now()
    await Promise.all(Array.from({ length: 10 }, () => refusal(t, pool.use(transaction), /in time|are busy/)))
    await refusal(t, pool.use(transaction), /in time/)
    t.ok(Date.now() - began < 20_000)
    t.same(pool.stats(), { size: 2, open: 0, busy: 0, waiting: 0 })
    await until(() => proxy.connections() === 0)
    proxy.thaw()
    t.type(await pidOf(pool), 'number')
  })
})

type Sql = Parameters<Parameters<Pool['use']>[0]>[0]

/** Several statements at once, as a request sends them. */
async function transaction(sql: Sql) {
  return Promise.all([sql`begin read only`, sql`select 1`, sql`select ${'x'}::text`, sql`commit`])
}

function openPool(t: Test, db: Database, options: Partial<PoolOptions>): Pool {
  const pool = createPool({
    url: db.url('callboard_api'),
    size: 2,
    deadline: 2000,
    prepare: true,
    applicationName: 'callboard test',
    ...options,
  })
  t.teardown(() => pool.close())
  return pool
}

const pidOf = (pool: Pool) => pool.use(backendOf)

async function backendOf(sql: Sql): Promise<number> {
  const [row] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`
  return row.pid
}

/** What a promise must reject with; a client sees it as a 503. */
async function refusal(t: Test, promise: Promise<unknown>, detail: RegExp): Promise<Unavailable> {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  )
  t.type(error, Unavailable)
  t.match(toProblem(error), { status: 503, problem: 'database_unavailable', message: detail })
  return error as Unavailable
}

/** Work that lasts until it is released. */
function hold() {
  let free = () => {}
  const held = new Promise<void>(resolve => {
    free = resolve
  })
  return {
    held,
    free: () => {
      free()
    },
  }
}

const backends = ({ admin, name }: Database) =>
  admin<{ pid: number; application_name: string; query: string }[]>`
    select pid, application_name, query from pg_stat_activity where usename = 'callboard_api' and datname = ${name}`
