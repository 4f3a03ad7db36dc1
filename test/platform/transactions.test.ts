import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { buildApp } from '../../src/app.ts'
import type { App } from '../../src/http/fastify.ts'
import { createPool, type Pool } from '../../src/database/pool.ts'
import { Problem } from '../../src/http/problem.ts'
import type { Answer } from '../../src/tenant/answer.ts'
import { register, startServer, type TestServer } from '../support/helper.ts'

interface Reply {
  status: number
  body: { detail?: string; n?: number }
}

t.test('transactions under difficulties', async t => {
  const server = await startServer(t)
  const { admin } = server.db
  const ana = await register(server, 'Ana')
  // Everybody may write here, so that a statement outside its transaction could.
  await admin`create table app.notices (id integer primary key, n integer not null default 0)`
  await admin`insert into app.notices values (1), (2)`
  await admin`grant select, insert, update on app.notices to callboard_api`

  /** The server with this test's routes, and how to call them as Ana. */
  const withRoutes = async (t: Test, size: number, add: (app: App) => void, deadline = 1200) => {
    const pool = poolFor(server, size, deadline)
    const app = await buildApp({ ...server, pool, jwtSecret: server.config.JWT_SECRET ?? '' })
    add(app)
    t.teardown(async () => {
      await app.close()
      await pool.close()
    })
    const call = async (method: 'GET' | 'POST', url: string): Promise<Reply> => {
      const { statusCode, body } = await app.inject({
        method,
        url,
        headers: { authorization: `Bearer ${ana.token}` },
      })
      return { status: statusCode, body: JSON.parse(body) as Reply['body'] }
    }
    return { pool, call }
  }
  const hidden = (app: App) => ({ schema: { hide: true }, onRequest: app.authenticate })

  await t.test('a statement whose plan has become stale is answered within its transaction', async t => {
    const { call } = await withRoutes(t, 1, app => {
      app.get('/stale', hidden(app), (request, reply) =>
        request
          .tenant(
            sql => sql<Answer[]>`
              select json_build_object('n', n.n)::text as body, n.n from app.notices n
              where n.id = 1 and app.current_org() = ${ana.organization}`,
          )
          .then(reply.json),
      )
    })
    for (const type of ['integer', 'bigint', 'integer', 'numeric', 'integer']) {
      await admin.unsafe(`alter table app.notices alter column n type ${type}`)
      // A retry outside the transaction would find no organization, and so no row.
      for (let round = 0; round < 3; round += 1)
        t.same(await call('GET', '/stale'), { status: 200, body: { n: 0 } })
    }
  })

  await t.test('a stale app.enter is retried', async t => {
    const { call } = await withRoutes(t, 1, () => {})
    t.equal((await call('GET', '/api/shows')).status, 200)
    await admin.unsafe(`
      alter function app.enter(text, uuid, text, inet) rename to enter_before;
      create function app.enter(text, uuid default null, text default null, inet default null) returns integer language plpgsql security definer as
        'begin perform app.enter_before($1, $2, $3, $4); return 1; end';
      alter function app.enter(text, uuid, text, inet) owner to callboard_definer`)
    t.equal((await call('GET', '/api/shows')).status, 200)
    await admin.unsafe(`
      drop function app.enter(text, uuid, text, inet);
      alter function app.enter_before(text, uuid, text, inet) rename to enter`)
    t.equal((await call('GET', '/api/shows')).status, 200)
  })

  await t.test('a stale statement that writes does so once', async t => {
    const { call } = await withRoutes(t, 1, app => {
      app.post('/count', { schema: { hide: true } }, (request, reply) =>
        request
          .anonymous(
            sql => sql<Answer[]>`
              update app.notices set n = n + 1 where id = 2 returning json_build_object('n', n)::text as body, n`,
          )
          .then(reply.json),
      )
    })
    let n = 0
    for (const type of ['integer', 'bigint', 'integer', 'bigint', 'integer']) {
      await admin.unsafe(`alter table app.notices alter column n type ${type}`)
      for (let round = 0; round < 3; round += 1)
        t.same(await call('POST', '/count'), { status: 200, body: { n: (n += 1) } })
    }
    t.same(await admin`select n from app.notices where id = 2`, [{ n }])
  })

  await t.test('a stale statement among several is answered correctly, too', async t => {
    const { call } = await withRoutes(t, 1, app => {
      app.post('/several', { schema: { hide: true } }, (request, reply) =>
        request
          .anonymous(async sql => {
            await sql`update app.notices set n = n + 1 where id = 2`
            const [row] = await sql<{ n: unknown }[]>`select n from app.notices where id = 2`
            return [{ body: JSON.stringify({ n: Number(row?.n) }) }]
          })
          .then(reply.json),
      )
    })
    let n = 15
    for (const type of ['integer', 'bigint', 'integer']) {
      await admin.unsafe(`alter table app.notices alter column n type ${type}`)
      for (let round = 0; round < 2; round += 1)
        t.same(await call('POST', '/several'), { status: 200, body: { n: (n += 1) } })
    }
  })

  await t.test('two requests that deadlock both succeed', async t => {
    await admin`update app.notices set n = 0`
    let arrived = 0
    // PostgreSQL checks for a deadlock after a second.
    const { call } = await withRoutes(
      t,
      2,
      app => {
        app.post('/both/:first/:second', { schema: { hide: true } }, (request, reply) => {
          const { first, second } = request.params as { first: string; second: string }
          return request
            .anonymous(async sql => {
              await sql`update app.notices set n = n + 1 where id = ${first}`
              arrived += 1
              while (arrived < 2) await sleep(5)
              await sql`update app.notices set n = n + 1 where id = ${second}`
              return [{ body: '{}' }]
            })
            .then(reply.json)
        })
      },
      10_000,
    )
    const answers = await Promise.all([call('POST', '/both/1/2'), call('POST', '/both/2/1')])
    t.same(
      answers.map(({ status }) => status),
      [200, 200],
    )
    t.ok(arrived > 2, 'one of them was retried')
    t.same(await admin`select n from app.notices order by id`, [{ n: 2 }, { n: 2 }])
  })

  await t.test('whatever a handler does wrong, the next request has a clean connection', async t => {
    const { call, pool } = await withRoutes(t, 1, app => {
      const add = (url: string, work: (sql: Sql) => PromiseLike<Answer[]>) =>
        app.post(url, hidden(app), (request, reply) => request.tenant(work).then(reply.json))
      add('/throws-before', () => {
        throw new Problem(409, 'conflict', 'before')
      })
      add('/throws-after', async sql => {
        await sql`update app.notices set n = 100`
        throw new Problem(409, 'conflict', 'after')
      })
      add('/bug', async sql => {
        await sql`update app.notices set n = 100`
        return (undefined as unknown as Answer[]).slice()
      })
      add('/ignores', async sql => {
        await sql`update app.notices set n = 100`
        await sql`select 1 / 0`.catch(() => {})
        return [{ body: '{}' }]
      })
      add('/slow', sql => sql<Answer[]>`select pg_sleep(60)::text as body`)
      add('/hangs', async sql => {
        await sql`update app.notices set n = 100`
        return new Promise(() => {})
      })
      add(
        '/context',
        sql =>
          sql<
            Answer[]
          >`select json_build_object('n', 1)::text as body where app.current_org() = ${ana.organization}`,
      )
      app.post('/nobody', { schema: { hide: true } }, (request, reply) =>
        request
          .anonymous(
            sql => sql<Answer[]>`
            select json_build_object('n', (app.current_user_id() is not null)::integer)::text as body`,
          )
          .then(reply.json),
      )
    })
    for (const [url, status, detail] of [
      ['/throws-before', 409, 'before'],
      ['/throws-after', 409, 'after'],
      ['/bug', 500, /has been logged/],
      ['/ignores', 503, /being changed/],
      ['/slow', 503, /did not answer in time/],
      ['/hangs', 503, /did not answer in time/],
    ] as const) {
      const began = Date.now()
      const answer = await call('POST', url)
      t.equal(answer.status, status, url)
      t.match(answer.body.detail, detail)
      t.ok(Date.now() - began < 20_000, `in ${Date.now() - began} ms`)
      t.same(pool.stats().busy, 0)
      t.same(await call('POST', '/nobody'), { status: 200, body: { n: 0 } }, 'no context is left')
      t.same(await call('POST', '/context'), { status: 200, body: { n: 1 } })
      t.same(await admin`select from app.notices where n = 100`, [], 'and nothing was written')
    }
  })
})

type Sql = Parameters<Parameters<Pool['use']>[0]>[0]

function poolFor({ db }: TestServer, size: number, deadline: number): Pool {
  return createPool({
    url: db.url('callboard_api'),
    size,
    deadline,
    prepare: true,
    applicationName: 'callboard test',
  })
}
