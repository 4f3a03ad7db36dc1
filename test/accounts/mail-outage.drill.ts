import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { register, startServer, until } from '../support/helper.ts'
import { startProxy } from '../support/proxy.ts'
import { startSilent } from '../support/silent.ts'
import { listenForMail } from '../support/smtp.ts'

t.test('the mail sender, when what it needs is unavailable', async t => {
  const server = await startServer(t, { SHUTDOWN_TIMEOUT: '2' })
  const { db, app, config } = server
  const proxy = await startProxy(t, db.url('callboard_worker'))
  const folder = mkdtempSync(join(tmpdir(), 'callboard-mail-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const mails = () => (readdirSync(folder).includes('mail') ? readdirSync(join(folder, 'mail')).length : 0)
  const start = (t: Test, settings: object = {}) => {
    const worker = startWorker(
      { ...config, DATA_DIR: folder, ...settings },
      proxy.through(db.url('callboard_worker')),
      () => 'https://callboard.example',
      app.log,
    )
    t.teardown(() => worker.stop())
    return worker
  }

  await t.test('resumes by itself when the database is back', async t => {
    await proxy.stop()
    const worker = start(t)
    await register(server, 'Ana')
    await proxy.start()
    await until(() => mails() === 1)
    // And again, now that it has been listening.
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
    t.ok(Date.now() - began < 5000, `in ${Date.now() - began} ms`)
    proxy.thaw()
  })

  await t.test('stops in time while the SMTP server is silent, and the mail is not lost', async t => {
    await db.admin`update app_private.mails set sent_at = now() where sent_at is null`
    const silent = await startSilent(t)
    const worker = start(t, { SMTP_URL: `smtp://${silent.address}` })
    const dov = await register(server, 'Dov')
    const jobs = () => db.admin`
      select attempts, locked_by is not null as is_taken from graphile_worker.jobs
      where key = (select 'send_mail:' || id from app_private.mails where to_address = ${dov.email})`
    await until(async () => (await jobs())[0]?.['is_taken'] === true)
    const began = Date.now()
    await worker.stop()
    t.ok(Date.now() - began < 5000, `in ${Date.now() - began} ms`)
    t.match(await jobs(), [{ attempts: 1, is_taken: false }], 'it is free for the next worker')

    const [before, next] = [mails(), start(t)]
    await until(() => mails() === before + 1)
    await next.stop()
  })

  await t.test(
    'sends a mail once, even if the database is unavailable for half a minute meanwhile',
    async t => {
      await db.admin`update app_private.mails set sent_at = now() where sent_at is null`
      let received = 0
      let begun = 0
      const SMTP_URL = await listenForMail(t, {
        onMailFrom: (_address, _session, done) => {
          begun += 1
          setTimeout(done, 15_000)
        },
        onData(stream, _session, done) {
          stream.resume()
          stream.on('end', () => {
            received += 1
            setTimeout(done, 15_000)
          })
        },
      })
      const workers = [start(t, { SMTP_URL }), start(t, { SMTP_URL })]
      const erin = await register(server, 'Erin')
      await until(() => begun === 1)
      await proxy.stop()
      await sleep(25_000)
      await proxy.start()
      const isSent = async () => {
        const [mail] = await db.admin`select sent_at from app_private.mails where to_address = ${erin.email}`
        return mail?.['sent_at'] !== null
      }
      await until(isSent, 30)
      t.same([begun, received], [1, 1])
      await Promise.all(workers.map(worker => worker.stop()))
    },
  )
})
