import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startMailWorker } from '../src/mail.ts'
import { register, startServer, until } from './helper.ts'
import { startProxy } from './proxy.ts'

t.test('the sender of mail, when what it needs is away', async t => {
  const server = await startServer(t, { DATABASE_DEADLINE: '1' })
  const { db, app, config } = server
  const proxy = await startProxy(t, db.url('callboard_worker'))
  const folder = mkdtempSync(join(tmpdir(), 'callboard-mail-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const mails = () => (readdirSync(folder).includes('mail') ? readdirSync(join(folder, 'mail')).length : 0)
  const start = (t: Test, settings: object = {}) => {
    const worker = startMailWorker(
      { ...config, DATA_DIR: folder, ...settings },
      proxy.through(db.url('callboard_worker')),
      () => 'https://callboard.example',
      app.log,
    )
    t.teardown(() => worker.stop())
    return worker
  }

  await t.test('goes on by itself when the database is back', async t => {
    await proxy.stop()
    const worker = start(t)
    await register(server, 'Ana')
    await proxy.start()
    await until(() => mails() === 1)
    // And again, now that it has listened once.
    await proxy.stop()
    await register(server, 'Ben')
    await proxy.start()
    await until(() => mails() === 2)
    await worker.stop()
  })

  await t.test('stops in time while the database hangs', async t => {
    const worker = start(t)
    await until(() => proxy.connections() >= 2)
    proxy.freeze()
    await register(server, 'Chiara')
    const began = Date.now()
    await worker.stop()
    t.ok(Date.now() - began < 8000, `in ${Date.now() - began} ms`)
    proxy.thaw()
  })

  await t.test('stops in time while the SMTP server says nothing, and the mail is not lost', async t => {
    await db.admin`update app_private.mails set sent_at = now() where sent_at is null`
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    t.teardown(() => silent.close())
    const worker = start(t, { SMTP_URL: `smtp://127.0.0.1:${(silent.address() as AddressInfo).port}` })
    const dov = await register(server, 'Dov')
    await until(async () => {
      const [mail] = await db.admin`
        select from app_private.mails where to_address = ${dov.email} and attempts = 1`
      return mail !== undefined
    })
    const began = Date.now()
    await worker.stop()
    t.ok(Date.now() - began < 8000, `in ${Date.now() - began} ms`)

    const take = () => db.as('callboard_worker')`select to_address, attempts from app.take_mail()`
    t.same(await take(), [], 'it is still that worker’s')
    await db.admin`
      update app_private.mails set next_attempt_at = next_attempt_at - interval '3 minutes'
      where to_address = ${dov.email}`
    t.match(await take(), [{ to_address: dov.email, attempts: 2 }])
  })
})
