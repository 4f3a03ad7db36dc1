import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { makeCredential } from '../support/bi.ts'
import { secretOf } from '../isolation/world.ts'
import {
  type Database,
  mailedToken,
  register,
  signIn,
  startServer,
  type TestServer,
  until,
} from '../support/helper.ts'
import { parse, secretIn, startSmtp } from '../support/smtp.ts'

/** Every row of every table and materialized view, and what ANALYZE has sampled of them, as text. */
async function everyRow({ admin }: Database) {
  await admin`analyze`
  const tables = await admin<{ name: string }[]>`
    select c.oid::regclass::text as name from pg_class c
    where c.relkind in ('r', 'm') and c.relispopulated
      and (c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)' or c.oid in ('pg_statistic'::regclass, 'pg_statistic_ext_data'::regclass))`
  const rows: { table: string; row: string }[] = []
  for (const { name } of tables)
    for (const { row } of await admin.unsafe<{ row: string }[]>(`select x::text as row from ${name} x`))
      rows.push({ table: name, row })
  return rows
}

/** The tables in which a secret can be read: as text, within JSON, or as bytes. */
const holders = (rows: Awaited<ReturnType<typeof everyRow>>, secrets: string[]) =>
  rows
    .filter(({ row }) =>
      secrets.some(secret => row.includes(secret) || row.includes(Buffer.from(secret).toString('hex'))),
    )
    .map(({ table }) => table)

function work(t: Test, { app, config, db }: TestServer, url: string) {
  const overrides = { ...config, SMTP_URL: url }
  const worker = startWorker(
    overrides,
    db.url('callboard_worker'),
    () => 'https://callboard.example',
    app.log,
    [],
  )
  t.teardown(() => worker.stop())
  return worker
}

async function hasten({ admin }: Database) {
  await admin`update graphile_worker._private_jobs set run_at = now() where run_at > now()`
  await admin`select pg_notify('jobs:insert', '{"count": 4}')`
}

const isSettled = async ({ admin }: Database) =>
  (await admin`select from app_private.mails where sent_at is null and failed_at is null`).length === 0

t.test(
  'the secret of a mailed link is nowhere in the database, before, while or after it is sent',
  async t => {
    const server = await startServer(t)
    const { call, db } = server
    const ana = await register(server, 'Ana')
    await call('POST /api/auth/password/forgot', { body: { email: ana.email } })
    await call('POST /api/invitations', {
      token: ana.token,
      body: { email: 'ben@example.com', role: 'viewer' },
    })
    const cleo = { email: 'cleo@example.com', display_name: 'Cleo', role: 'viewer' }
    await call('POST /api/users', { token: ana.token, body: cleo })
    const before = await everyRow(db)
    t.ok(holders(before, ['ben@example.com']).includes('app_private.mails'), 'this finds what is stored')

    const smtp = await startSmtp(t)
    smtp.refuses = true
    const worker = work(t, server, smtp.url)
    await until(
      async () => (await db.admin`select from app_private.mails where last_error is not null`).length === 5,
    )
    const meanwhile = await everyRow(db)
    const said = await db.admin<{ said: string }[]>`select last_error as said from app_private.mails`
    smtp.refuses = false
    await hasten(db)
    await until(() => isSettled(db))
    await worker.stop()
    const after = await everyRow(db)

    const texts = [...smtp.refused, ...smtp.received].map(mail => parse(mail).text)
    const secrets = texts.filter(text => text.includes('token=')).map(secretIn)
    t.equal(new Set(secrets).size, 8, 'four kinds of mail with a link, each refused once')
    t.strictSame(holders(before, secrets), [])
    t.strictSame(holders(meanwhile, secrets), [])
    t.strictSame(holders(after, secrets), [])
    t.match(said, Array(5).fill({ said: /the mailbox is full/ }), 'what the server said is kept')
    t.equal(said.filter(row => row.said.includes('token=…')).length, 4, 'without the secret')
  },
)

t.test('the links of all attempts to send a mail work, and only once', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const smtp = await startSmtp(t)
  // The server has the mail, but its worker learns of a failure: the next attempt is a second copy.
  smtp.refuses = true
  const workers = [work(t, server, smtp.url), work(t, server, smtp.url)]
  for (const times of [1, 2]) {
    await until(() => smtp.refused.length >= times)
    await until(
      async () =>
        (await db.admin`select from graphile_worker.jobs where attempts >= ${times} and locked_at is null`)
          .length === 1,
    )
    smtp.refuses = times === 1
    await hasten(db)
  }
  await until(() => smtp.received.length === 1)
  await until(() => isSettled(db))
  await Promise.all(workers.map(worker => worker.stop()))
  const [first = '', second = '', third = ''] = [...smtp.refused, ...smtp.received].map(mail =>
    secretIn(parse(mail).text),
  )
  t.equal(new Set([first, second, third]).size, 3)
  const verify = async (token: string) =>
    (await call('POST /api/auth/email/verify', { body: { token } })).status
  t.equal(await verify(first), 204, 'the first one works')
  t.strictSame(
    [await verify(first), await verify(second), await verify(third)],
    [400, 400, 400],
    'and ends all',
  )

  await call('POST /api/auth/password/forgot', { body: { email: ana.email } })
  const [taken] = await db.admin<
    { id: string }[]
  >`select id from app_private.mails where kind = 'reset_password'`
  const take = async () => {
    const [mail] = await db.as('callboard_worker')<{ token: string }[]>`
      select data ->> 'token' as token from app.take_mail(${taken?.id ?? ''})`
    return mail?.token ?? ''
  }
  const [lost, newest] = [await take(), await take()]
  await call('POST /api/auth/password/forgot', { body: { email: ana.email } })
  await mailedToken(server, 'reset_password', ana.email)
  for (const token of [lost, newest])
    t.equal(
      (await call('POST /api/auth/password/reset', { body: { token, password: 'another long password' } }))
        .status,
      400,
      'a newer mail ends all links of an older one',
    )
})

t.test('what a response has shown once is stored nowhere, not even with an Idempotency-Key', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const signed = await signIn(server, ana.email)
  const headers = { 'idempotency-key': 'once' }
  const feed = await call<{ path: string }>('POST /api/calendar-feeds', {
    token: ana.token,
    headers,
    body: { name: 'Phone' },
  })
  const credential = await makeCredential(server, ana)
  const made = await call<{ id: string }>('POST /api/analytics/export', {
    token: ana.token,
    headers: { 'idempotency-key': 'export' },
    body: { resource: 'shows', format: 'csv' },
  })
  const smtp = await startSmtp(t)
  const worker = work(t, server, smtp.url)
  let link = ''
  await until(async () => {
    const { body } = await call<{ link: string | null }>(`GET /api/analytics/export/${made.body.id}`, {
      token: ana.token,
    })
    return (link = body.link ?? '') !== ''
  })
  await worker.stop()
  const shown = {
    feed: feed.body.path.split('=')[1] ?? '',
    password: credential.password,
    link: link.split('=')[1] ?? '',
    token: signed.token,
    refresh: signed.refreshToken,
    session: secretOf(signed),
  }
  const rows = await everyRow(db)
  for (const [what, secret] of Object.entries(shown)) {
    t.ok(secret.length >= 20, `${what} is a secret`)
    t.strictSame(holders(rows, [secret, ...secret.split('.').filter(part => part.length >= 40)]), [], what)
  }
  t.equal((await db.admin`select from app.idempotency_keys`).length, 2, 'two responses are stored')
})
