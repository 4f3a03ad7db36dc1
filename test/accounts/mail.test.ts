import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SMTPServer } from 'smtp-server'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { startWorker as start, type Worker } from '../../src/jobs/worker.ts'
import { type Database, mailedToken, register, startServer, type TestServer } from '../support/helper.ts'

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

/** An SMTP server that refuses on demand, and keeps what it accepts. */
async function startSmtp(t: Test) {
  const received: string[] = []
  const smtp = { url: '', received, refuses: false, refusals: 0 }
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, _session, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        if (smtp.refuses) {
          smtp.refusals += 1
          done(new Error('the mailbox is full'))
          return
        }
        received.push(Buffer.concat(chunks).toString())
        done()
      })
    },
  })
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  smtp.url = `smtp://127.0.0.1:${(server.server.address() as AddressInfo).port}`
  t.teardown(
    () =>
      new Promise<void>(resolve => {
        server.close(resolve)
      }),
  )
  return smtp
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

/** A mail's headers and its text, with quoted-printable undone. */
function parse(message: string) {
  const [head = '', ...body] = message.split('\r\n\r\n')
  const headers = Object.fromEntries(
    head
      .replaceAll(/\r\n[ \t]+/g, ' ')
      .split('\r\n')
      .map(line => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      }),
  )
  const text = body.join('\r\n\r\n')
  const plain =
    headers['content-transfer-encoding'] === 'quoted-printable'
      ? text
          .replaceAll('=\r\n', '')
          .replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
      : text
  return { headers, text: plain }
}

t.test('mail', async t => {
  const server = await startServer(t)
  const { db } = server

  await t.test(
    'without SMTP_URL a mail becomes a file with the link, and its secret leaves the database',
    async t => {
      const folder = await mkdtemp(join(tmpdir(), 'callboard-mail-'))
      t.teardown(() => rm(folder, { recursive: true }))
      const ana = await register(server, 'Ana')
      const token = await mailedToken(server, 'verify_email', ana.email)
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
      t.ok(text.includes(`${publicUrl}/#verify-email?token=${token}`), 'the link is in the text')
      await until(
        'the mail is settled',
        async () =>
          (await db.admin`select from app_private.mails where sent_at is not null and not data ? 'token'`)
            .length > 0,
      )
      await worker.stop()
      t.equal((await server.call('POST /api/auth/email/verify', { body: { token } })).status, 204)
    },
  )

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

  await t.test('a mail that fails twelve times is given up, visibly and without its secret', async t => {
    const smtp = await startSmtp(t)
    smtp.refuses = true
    const chiara = await register(server, 'Chiara')
    const worker = startWorker(t, server, { SMTP_URL: smtp.url })
    const mail = await until('it is given up', async () => {
      await hasten(db)
      const [row] = await db.admin<{ data: object; last_error: string }[]>`
        select data, last_error from app_private.mails where to_address = ${chiara.email} and failed_at is not null`
      return row
    })
    t.equal(smtp.refusals, 12)
    t.notOk('token' in mail.data)
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
    await db.admin`truncate app_private.mails`
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
    await db.admin`truncate app_private.mails`
    const kinds = [
      ['verify_email', /confirm your email address/, 'Hello Eve,', '/#verify-email?token=s3cret'],
      ['reset_password', /Choose a password/, 'Hello Eve,', '/#reset-password?token=s3cret'],
      ['invitation', /Ana invites you to Northlight/, 'as viewer:', '/#accept-invitation?token=s3cret'],
      ['added', /added to Northlight/, 'as viewer.', 'You can leave it at any time'],
    ] as const
    const data = {
      token: 's3cret',
      display_name: 'Eve',
      organization: 'Northlight',
      role: 'viewer',
      invited_by: 'Ana',
    }
    for (const [kind] of kinds)
      await db.admin`select app_private.queue_mail(${kind}, ${`${kind}@example.com`}, ${db.admin.json(data)})`
    const worker = startWorker(t, server, { SMTP_URL: smtp.url })
    await until('all have arrived', async () => smtp.received.length === kinds.length)
    await worker.stop()
    const mails = smtp.received.map(parse)
    for (const [kind, subject, ...texts] of kinds) {
      const mail = mails.find(({ headers }) => headers['to'] === `${kind}@example.com`)
      t.match(mail?.headers['subject'], subject)
      for (const text of texts) t.ok(mail?.text.includes(text), `${kind}: ${text}`)
      t.equal(mail?.text.includes(publicUrl), kind !== 'added')
    }
  })

  await t.test('a job that is done twice sends its mail once', async t => {
    const smtp = await startSmtp(t)
    await db.admin`truncate app_private.mails`
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
    await db.admin`truncate app_private.mails`
    // Past the checks of the API and the tables, as if both had a hole.
    await db.admin`
      select app_private.queue_mail('invitation', 'eve@example.com',
        jsonb_build_object('token', 'x', 'organization', E'Fun\r\nBcc: victim@example.com', 'role', 'viewer', 'invited_by', E'Eve\nX-Evil: 1'))`
    const worker = startWorker(t, server, { SMTP_URL: smtp.url })
    await until('the mail has arrived', async () => smtp.received.length === 1)
    await worker.stop()
    const { headers } = parse(smtp.received[0] ?? '')
    t.notOk('bcc' in headers)
    t.notOk('x-evil' in headers)
  })

  await t.test('a mail of an unknown kind is an error in its row', async t => {
    await db.admin`truncate app_private.mails`
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
    await db.admin`truncate app_private.mails`
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
