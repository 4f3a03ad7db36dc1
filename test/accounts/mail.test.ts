import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { startWorker as start, type Worker } from '../../src/jobs/worker.ts'
import { type Database, register, startServer, type TestServer } from '../support/helper.ts'
import { parse, secretIn, startSmtp } from '../support/smtp.ts'

const publicUrl = 'https://callboard.example'

/** Waits until something is true, and fails after ten seconds. */
async function until<T>(what: string, look: () => Promise<T | false | undefined>): Promise<T> {
  for (const end = Date.now() + 10_000; Date.now() < end;) {
    const found = await look()
    if (found) return found
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error(`it did not happen: ${what}`)
}

function startWorker(t: Test, { app, config, db }: TestServer, overrides: object): Worker {
  const worker = start({ ...config, ...overrides }, db.url('callboard_worker'), () => publicUrl, app.log)
  t.teardown(() => worker.stop())
  return worker
}

/** Makes all jobs due. */
async function hasten({ admin }: Database) {
  await admin`update graphile_worker._private_jobs set run_at = now() where run_at > now()`
  await admin`select pg_notify('jobs:insert', '{"count": 4}')`
}

t.test('mail', async t => {
  const server = await startServer(t)
  const { db } = server

  await t.test('without SMTP_URL a mail becomes a file with a link that works', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'callboard-mail-'))
    t.teardown(() => rm(folder, { recursive: true }))
    const ana = await register(server, 'Ana')
    const worker = startWorker(t, server, { DATA_DIR: folder })
    const file = await until('a mail is written', async () =>
      (await readdir(join(folder, 'mail')).catch(() => [])).find(name => name.endsWith('.eml')),
    )
    const { headers, text } = parse(await readFile(join(folder, 'mail', file), 'utf8'))
    t.match(headers, {
      to: ana.email,
      from: /callboard@localhost/,
      subject: /address/,
      'mime-version': '1.0',
      'message-id': /^<.+@.+>$/,
    })
    t.match(headers['date'], /\d{4} \d\d:\d\d:\d\d/)
    const token = secretIn(text)
    t.ok(text.includes(`${publicUrl}/#verify-email?token=${token}`), 'the link is in the text')
    await until(
      'the mail is settled',
      async () => (await db.admin`select from app_private.mails where sent_at is not null`).length > 0,
    )
    await worker.stop()
    t.equal((await server.call('POST /api/auth/email/verify', { body: { token } })).status, 204)
  })

  await t.test('a mail that the SMTP server refuses is retried until it is accepted', async t => {
    const smtp = await startSmtp(t)
    smtp.refuses = true
    await register(server, 'Ben')
    const worker = startWorker(t, server, { SMTP_URL: smtp.url })
    const failed = await until('the first attempt has failed', async () => {
      const [job] = await db.admin<{ attempts: number; last_error: string; pause: number }[]>`
        select attempts, last_error, extract(epoch from run_at - now())::float8 as pause
        from graphile_worker.jobs where last_error is not null`
      return job
    })
    t.match(failed, { attempts: 1, last_error: /mailbox is full/ })
    t.ok(failed.pause > 0 && failed.pause <= 2.72, `the next attempt is in ${failed.pause} seconds`)
    smtp.refuses = false
    await until('the mail has arrived', async () => smtp.received.length === 1)
    t.ok(parse(smtp.received[0] ?? '').text.includes('/#verify-email?token='))
    await worker.stop()
  })

  await t.test('a mail that fails twelve times is given up, visibly', async t => {
    const smtp = await startSmtp(t)
    smtp.refuses = true
    const chiara = await register(server, 'Chiara')
    const worker = startWorker(t, server, { SMTP_URL: smtp.url })
    const mail = await until('it is given up', async () => {
      await hasten(db)
      const [row] = await db.admin<{ last_error: string }[]>`
        select last_error from app_private.mails where to_address = ${chiara.email} and failed_at is not null`
      return row
    })
    t.equal(smtp.refused.length, 12)
    t.match(mail.last_error, /mailbox is full/)
    await worker.stop()
    t.match(await db.as('callboard_worker')`select waiting::int, failed::int from app.job_health()`, [
      { waiting: 0, failed: 1 },
    ])
    t.match(
      await db.admin`select attempts, last_error from graphile_worker.jobs where attempts = max_attempts`,
      [{ attempts: 12, last_error: /mailbox is full/ }],
    )
  })

  await t.test('two workers send every mail once', async t => {
    const smtp = await startSmtp(t)
    await db.admin`truncate app_private.mails cascade`
    const people = []
    for (let i = 0; i < 20; i += 1) people.push(await register(server, `Person ${i}`))
    const workers = [
      startWorker(t, server, { SMTP_URL: smtp.url }),
      startWorker(t, server, { SMTP_URL: smtp.url }),
    ]
    await until('all mails have arrived', async () => smtp.received.length >= people.length)
    await Promise.all(workers.map(worker => worker.stop()))
    t.same(
      smtp.received.map(message => parse(message).headers['to']).sort(),
      people.map(({ email }) => email).sort(),
    )
  })

  await t.test('each kind of mail says what has happened and what to do', async t => {
    const smtp = await startSmtp(t)
    await db.admin`truncate app_private.mails cascade`
    const kinds = [
      ['verify_email', /confirm your email address/, 'Hello Eve,', '/#verify-email?token=<secret>'],
      ['reset_password', /Choose a password/, 'Hello Eve,', '/#reset-password?token=<secret>'],
      ['invitation', /Ana invites you to Northlight/, 'as viewer:', '/#accept-invitation?token=<secret>'],
      ['added', /added to Northlight/, 'as viewer.', 'You can leave it at any time'],
    ] as const
    const data = {
      display_name: 'Eve',
      organization: 'Northlight',
      role: 'viewer',
      invited_by: 'Ana',
    }
    for (const [kind] of kinds)
      await db.admin`
        select app_private.queue_mail(${kind}, ${`${kind}@example.com`}, ${db.admin.json(data)}, ${kind === 'added' ? null : randomUUID()})`
    // One without is looked up by its address.
    await db.admin`
      insert into app_private.email_tokens (mail_id, user_id, purpose, expires_at)
      select m.id, (select id from app.users limit 1), m.kind, now() + interval '1 hour'
      from app_private.mails m where m.kind = 'reset_password'`
    const worker = startWorker(t, server, { SMTP_URL: smtp.url })
    await until('all have arrived', async () => smtp.received.length === kinds.length)
    await worker.stop()
    const mails = smtp.received.map(parse)
    for (const [kind, subject, ...texts] of kinds) {
      const mail = mails.find(({ headers }) => headers['to'] === `${kind}@example.com`)
      t.match(mail?.headers['subject'], subject)
      const said = mail?.text.replace(/[0-9a-f]{64}/, '<secret>')
      for (const text of texts) t.ok(said?.includes(text), `${kind}: ${text}`)
      t.equal(mail?.text.includes(publicUrl), kind !== 'added')
    }
  })

  await t.test('a job that is done twice sends its mail once', async t => {
    const smtp = await startSmtp(t)
    await db.admin`truncate app_private.mails cascade`
    await register(server, 'Fay')
    const worker = startWorker(t, server, { SMTP_URL: smtp.url })
    const isDone = async () =>
      (await db.admin`select from app_private.mails where sent_at is null`).length === 0 &&
      (await db.admin`select from graphile_worker.jobs where attempts < max_attempts`).length === 0
    await until('it is sent', isDone)
    await db.admin`
      select app_private.add_job('send_mail', jsonb_build_object('mail', id)) from app_private.mails`
    await until('the second job is done', isDone)
    await worker.stop()
    t.equal(smtp.received.length, 1)
  })

  await t.test('a name cannot add a header', async t => {
    const smtp = await startSmtp(t)
    await db.admin`truncate app_private.mails cascade`
    // Past the checks of the API and the tables, as if both had a hole.
    await db.admin`
      select app_private.queue_mail('invitation', 'eve@example.com',
        jsonb_build_object('organization', E'Fun\r\nBcc: victim@example.com', 'role', 'viewer', 'invited_by', E'Eve\nX-Evil: 1'))`
    const worker = startWorker(t, server, { SMTP_URL: smtp.url })
    await until('the mail has arrived', async () => smtp.received.length === 1)
    await worker.stop()
    const { headers } = parse(smtp.received[0] ?? '')
    t.notOk('bcc' in headers)
    t.notOk('x-evil' in headers)
  })

  await t.test('a mail of an unknown kind is an error in its row', async t => {
    await db.admin`truncate app_private.mails cascade`
    await db.admin`select app_private.queue_mail('greeting', 'eve@example.com', '{}')`
    const worker = startWorker(t, server, {})
    const [mail] = await until('it is tried', async () => {
      const rows = await db.admin<
        { last_error: string }[]
      >`select last_error from app_private.mails where last_error is not null`
      return rows.length > 0 ? rows : undefined
    })
    t.match(mail?.last_error, /unknown kind of mail: greeting/)
    await worker.stop()
  })

  await t.test('the job contains nothing of the mail but its id', async t => {
    await db.admin`truncate app_private.mails cascade`
    await register(server, 'Dov')
    const [job] = await db.admin`
      select payload::jsonb = jsonb_build_object('mail', m.id) as is_id
      from graphile_worker._private_jobs j join app_private.mails m on j.key = 'send_mail:' || m.id`
    t.same(job, { is_id: true })
  })

  await t.test(
    'the API sees neither the outbox nor the queue, and the worker sees a mail only by its id',
    async t => {
      const id = randomUUID()
      const [api, worker] = [db.as('callboard_api'), db.as('callboard_worker')]
      for (const attempt of [
        api`select * from app_private.mails`,
        api`select * from graphile_worker.jobs`,
        api`select * from app.take_mail(${id})`,
        api`select app.settle_mail(${id})`,
        api`select app_private.add_job('send_mail', '{}')`,
        worker`select app_private.add_job('send_mail', '{}')`,
        worker`select * from app_private.mails`,
        worker`select * from app.users`,
      ])
        await t.rejects(attempt, { code: '42501' })
    },
  )
})
