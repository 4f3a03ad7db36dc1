import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { TLSSocket } from 'node:tls'
import { createPool, type Pool } from '../../src/database/pool.ts'
import { startDatabase } from '../support/helper.ts'

// A self-signed certificate for localhost; it protects nothing but this test.
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgIK9UEpG3Sxy+H63u
Zy1rcZyO7ieBQe6X2VRRBqrMnBmhRANCAAQJ1shfxPM+PXGWqDJrZU9YTh1kjgak
FsYLwNNNOhvJGZzsCGouPYNIMmKgkXHgyPHbnZo9BGjH0A4HIRPG1mAZ
-----END PRIVATE KEY-----`
const cert = `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUafIBGxzePo7hPrx+z17Z8jpunmUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzIyMTMxNFoYDzIxMjYxMDMw
MjIxMzE0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQJ1shfxPM+PXGWqDJrZU9YTh1kjgakFsYLwNNNOhvJGZzsCGouPYNI
MmKgkXHgyPHbnZo9BGjH0A4HIRPG1mAZo1MwUTAdBgNVHQ4EFgQUPVeBxX+jbrSJ
RV87JuMGwbkXUmowHwYDVR0jBBgwFoAUPVeBxX+jbrSJRV87JuMGwbkXUmowDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAWaASgIK818FjSgkEd01f2
TG5AEXjp2HK0leok5jJFtQIgANRDdphZfBUeoHLxWH1RJO+8q7Z7ckf2klxnx6qE
rBo=
-----END CERTIFICATE-----`

t.test('encrypted connections to PostgreSQL', async t => {
  const db = await startDatabase(t)
  const plain = db.url('callboard_api')
  const secured = await startTlsProxy(t, plain)

  for (const [what, url, encrypted] of [
    ['disable asks for nothing', `${plain}?sslmode=disable`, 0],
    ['prefer accepts what there is', `${plain}?sslmode=prefer`, 0],
    ['prefer uses encryption where available', `${secured.url}?sslmode=prefer`, 1],
    ['require accepts any certificate', `${secured.url}?sslmode=require`, 1],
  ] as const)
    await t.test(what, async t => {
      const before = secured.encrypted()
      const pool = open(t, url)
      for (let round = 0; round < 3; round += 1)
        t.same(await pool.use(sql => sql`select ${'x'}::text as x`), [{ x: 'x' }])
      t.equal(secured.encrypted() - before, encrypted)
    })

  for (const [what, url, reason] of [
    ['require refuses a server without encryption', `${plain}?sslmode=require`, /does not offer TLS/],
    ['verify-full refuses an unknown certificate', `${secured.url}?sslmode=verify-full`, /certificate/],
    ['an answer followed by unencrypted data', await startSmuggler(t), /does not offer TLS/],
  ] as const)
    await t.test(what, async t => {
      const pool = open(t, url)
      await t.rejects(
        pool.use(sql => Promise.all([sql`begin`, sql`select ${'x'}::text`, sql`commit`])),
        { reason: 'lost', cause: { message: reason } },
      )
      t.equal(pool.stats().open, 0)
    })

  await t.test('late work, a killed backend and closing are survived', async t => {
    for (let round = 0; round < 3; round += 1) {
      const pool = open(t, `${secured.url}?sslmode=require`)
      await t.rejects(
        pool.use(sql => Promise.all([sql`select 1`, new Promise(() => {})])),
        { message: /in time/ },
      )
      await t.rejects(
        pool.use(async sql => {
          await sql`select 1`
          await db.admin`
            select pg_terminate_backend(pid, 5000) from pg_stat_activity
            where usename = 'callboard_api' and datname = ${db.name}`
          return sql`select 1`
        }),
        { message: /cannot be reached/ },
      )
      t.same(await pool.use(sql => sql`select 1 as n`), [{ n: 1 }])
      await Promise.all([pool.use(sql => sql`select 1`), pool.close()])
    }
  })
})

function open(t: Test, url: string): Pool {
  const pool = createPool({ url, size: 2, deadline: 1000, prepare: true, applicationName: 'callboard test' })
  t.teardown(() => pool.close())
  return pool
}

/** PostgreSQL behind a TLS proxy, as many hosts offer it. */
async function startTlsProxy(t: Test, url: string) {
  const { port, hostname } = new URL(url)
  let encrypted = 0
  const proxy = await listen(t, socket => {
    socket.once('data', () => {
      socket.write('S')
      const inner = new TLSSocket(socket, { isServer: true, key, cert })
      inner.once('secure', () => (encrypted += 1))
      const upstream = connect(Number(port), hostname)
      for (const [a, b] of [
        [inner, upstream],
        [upstream, inner],
      ] as const) {
        a.on('error', () => b.destroy()).on('close', () => b.destroy())
        a.pipe(b)
      }
    })
  })
  return { url: Object.assign(new URL(url), { port: String(proxy) }).href, encrypted: () => encrypted }
}

/** Accepts encryption, and sends something more that is not encrypted. */
async function startSmuggler(t: Test): Promise<string> {
  const port = await listen(t, socket => {
    socket.once('data', () => socket.write('SE'))
  })
  return `postgres://somebody:x@127.0.0.1:${port}/x?sslmode=require`
}

async function listen(t: Test, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}
