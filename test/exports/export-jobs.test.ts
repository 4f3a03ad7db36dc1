import { createHash, randomUUID } from 'node:crypto'
import { mkdtemp, readdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import type { Config } from '../../src/config.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { aShow, join, type Person, register, startServer, until } from '../support/helper.ts'
import { startServerProcess } from '../support/server-process.ts'
import { outcome } from '../support/tokens.ts'

interface Export extends Record<string, unknown> {
  id: string
  status: string
  failure: string | null
  link: string | null
  sha256: string
  bytes: number
  rows_done: number
}

/** A company with records, and shorthands to export them to files. */
async function office(t: Test, settings: Record<string, string> = {}) {
  const server = await startServer(t, { POOL_SIZE: '20', ...settings })
  const { call, db, config, app } = server
  const owner = await register(server, 'Ana')
  const fill = async ({ organization, token }: Person, rows: number) => {
    const { body } = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
      token,
    })
    await db.admin`
      insert into app.finance_records (organization_id, kind, category_id, booked_on, amount_minor, currency, exchange_rate, base_currency, status, note)
      select ${organization}, 'income', ${body.items[0]?.id ?? ''}, date '2027-01-01' + n % 300, n, 'USD', 1, 'USD', 'actual', repeat('note ', 20)
      from generate_series(1, ${rows}::integer) n`
  }
  const start = (more: Partial<Config> = {}) => {
    const worker = startWorker({ ...config, ...more }, db.url('callboard_worker'), () => '', app.log, [])
    t.teardown(() => worker.stop())
    return worker
  }
  const ask = (more: object = {}, { token } = owner) =>
    call<Export>('POST /api/analytics/export', {
      token,
      body: { resource: 'finance_records', format: 'csv', ...more },
    })
  const read = async (id: string, { token } = owner) =>
    (await call<Export>(`GET /api/analytics/export/${id}`, { token })).body
  const settled = async (id: string, as = owner) => {
    let found = await read(id, as)
    await until(async () => !['queued', 'running'].includes((found = await read(id, as)).status), 60)
    return found
  }
  const fetchFile = (link: string | null, headers = {}) => call(`GET ${link ?? ''}`, { headers })
  const files = async () =>
    (await readdir(config.EXPORT_DIR ?? '', { recursive: true }).catch(() => [])).filter(name =>
      /\/.*\//.test(name),
    )
  return { server, call, db, config, owner, fill, start, ask, read, settled, fetchFile, files }
}

t.test('a file', async t => {
  const { server, call, db, owner, fill, start, ask, read, settled, fetchFile, files, config } =
    await office(t)
  const ben = await register(server, 'Ben')
  await fill(owner, 1234)
  await fill(ben, 7)
  const { token } = owner
  await call('POST /api/shows', { token, body: aShow })
  const worker = start()

  await t.test('equals the stream, with its size and digest, in each format', async t => {
    for (const [resource, path, format, accept] of [
      ['finance_records', 'finance-records', 'csv', 'text/csv'],
      ['finance_records', 'finance-records', 'ndjson', 'application/x-ndjson'],
      ['shows', 'shows', 'json', 'application/json'],
      ['venues', 'venues', 'csv', 'text/csv'],
    ] as const) {
      const asked = await ask({ resource, format, bom: format === 'csv' })
      t.equal(asked.status, 202)
      t.match(asked.body, { status: 'queued', rows_done: 0, link: null })
      t.equal(asked.headers['location'], `/api/analytics/export/${asked.body.id}`)
      const done = await settled(asked.body.id)
      t.match(done, { status: 'ready', failure: null })
      const { text, headers } = await fetchFile(done.link)
      t.equal(
        text,
        (await call(`GET /api/exports/${path}?bom=${format === 'csv'}`, { token, headers: { accept } })).text,
      )
      const digest = createHash('sha256').update(text).digest()
      t.match(done, { bytes: Buffer.byteLength(text), sha256: digest.toString('hex') })
      t.match(headers, {
        'content-length': String(Buffer.byteLength(text)),
        'repr-digest': `sha-256=:${digest.toString('base64')}:`,
        'content-disposition': /^attachment; filename="[a-z-]+\d{4}-\d\d-\d\d\.[a-z]+"$/,
        'x-content-type-options': 'nosniff',
        'cache-control': 'private, no-store',
      })
    }
  })

  await t.test('has what matches the filters, and nothing of another organization', async t => {
    const { body } = await ask({ filters: { from: '2027-02-01', to: '2027-02-02', sort: '-booked_on' } })
    const done = await settled(body.id)
    const { text } = await fetchFile(done.link)
    const days = text
      .split('\r\n')
      .slice(1, -1)
      .map(line => /2027-\d\d-\d\d/.exec(line)?.[0])
    t.strictSame([...new Set(days)], ['2027-02-02', '2027-02-01'])
    t.equal(done.rows_done, days.length)
    const bens = await ask({}, ben)
    const his = await settled(bens.body.id, ben)
    t.equal((await fetchFile(his.link)).text.split('\r\n').length, 1 + 7 + 1)
    t.equal(outcome(await call(`GET /api/analytics/export/${his.id}`, { token })), '404 not_found')
    t.equal(outcome(await call(`POST /api/analytics/export/${his.id}/cancel`, { token })), '404 not_found')
    t.equal(outcome(await ask({ filters: { colour: 'red' } })), '400 validation')
    t.equal(outcome(await ask({ filters: { status: 'unheard' } })), '400 validation')
    const { body: list } = await call<{ items: Export[] }>(
      'GET /api/analytics/export?resource=finance_records',
      { token },
    )
    t.ok(list.items.length >= 3 && list.items.every(item => item['created_by'] === owner.id))
  })

  await t.test('can be fetched in parts, with a link that works for nothing else', async t => {
    const { body } = await ask({ resource: 'shows' })
    const { link, bytes } = await settled(body.id)
    const whole = (await fetchFile(link)).text
    const part = await fetchFile(link, { range: 'bytes=3-9' })
    t.match(part, {
      status: 206,
      text: whole.slice(3, 10),
      headers: { 'content-range': `bytes 3-9/${bytes}` },
    })
    t.equal((await fetchFile(link, { range: 'bytes=-4' })).text, whole.slice(-4))
    t.equal(outcome(await fetchFile(link, { range: `bytes=${bytes}-` })), '416 range_not_satisfiable')
    t.not((await read(body.id)).link?.slice(-64), null)
    const forged = link?.replace(/.$/, last => (last === '0' ? '1' : '0')) ?? ''
    t.equal(outcome(await fetchFile(forged)), '400 invalid_token')
    t.equal(outcome(await fetchFile(link?.replace(body.id, randomUUID()) ?? '')), '400 invalid_token')
    t.equal(
      outcome(
        await fetchFile(link?.replace(/\.(\d+)\./, (_, until: string) => `.${Number(until) + 1}.`) ?? ''),
      ),
      '400 invalid_token',
    )
    const [event] = await db.admin<
      { actor_id: string }[]
    >`select actor_id from app.event_log where action = 'export.download' and resource_id = ${body.id} limit 1`
    t.equal(event?.actor_id, owner.id)
  })

  await t.test('is only for the member who requested it, while they may see its contents', async t => {
    const manager = await join(server, owner, 'manager')
    const { body } = await ask({}, manager)
    const { link } = await settled(body.id, manager)
    t.equal((await fetchFile(link)).status, 200)
    await call(`PUT /api/users/${manager.id}/permissions/finance.read`, { token, body: { effect: 'deny' } })
    t.equal(outcome(await fetchFile(link)), '403 permission_denied')
    await call(`DELETE /api/users/${manager.id}/permissions/finance.read`, { token })
    t.equal((await fetchFile(link)).status, 200)
    await call('POST /api/auth/sign-out', { token: manager.token })
    t.equal(
      outcome(await fetchFile(link)),
      '403 permission_denied',
      'the session that created the link has ended',
    )
    const admin = await join(server, owner, 'admin')
    const bin = await settled(
      (await ask({ resource: 'shows', filters: { deleted: 'only' } }, admin)).body.id,
      admin,
    )
    t.equal((await fetchFile(bin.link)).status, 200)
    await call(`PATCH /api/users/${admin.id}`, { token, body: { role: 'manager' } })
    t.equal(
      outcome(await fetchFile(bin.link)),
      '403 permission_denied',
      'the bin is for those who may delete',
    )
    const other = await join(server, owner, 'manager')
    const theirs = await settled((await ask({}, other)).body.id, other)
    await call(`DELETE /api/users/${other.id}`, { token })
    t.equal(outcome(await fetchFile(theirs.link)), '403 permission_denied')
  })

  await t.test('is removed when it expires, along with orphaned files', async t => {
    const { body } = await ask({ resource: 'shows' })
    const { link } = await settled(body.id)
    await db.admin`update app.exports set expires_at = now() where id = ${body.id}`
    const before = (await files()).length
    const orphan = joinPath(config.EXPORT_DIR ?? '', owner.organization, body.id, `${randomUUID()}.part`)
    await writeFile(orphan, 'half a file')
    await db.as('callboard_worker')`select app.expire_exports()`
    t.match(await read(body.id), { status: 'expired', link: null })
    t.equal(outcome(await fetchFile(link)), '404 not_found')
    await until(async () => (await files()).length < before, 30)
    t.notOk((await files()).some(name => name.includes(body.id)))
    await db.admin`delete from app.organizations where id = ${ben.organization}`
    await db.as('callboard_worker')`select app.expire_exports()`
    await until(async () => !(await files()).some(name => name.includes(ben.organization)), 30)
  })
  await worker.stop()
})

t.test('an export that waits', async t => {
  const { server, call, db, owner, fill, start, ask, settled } = await office(t)
  const { token } = owner
  await fill(owner, 5)

  await t.test('can be cancelled, once, and five may wait', async t => {
    const asked = []
    for (let n = 0; n < 5; n += 1) asked.push((await ask()).body.id)
    t.equal(outcome(await ask()), '409 too_many_exports')
    t.match((await call(`POST /api/analytics/export/${asked[0]}/cancel`, { token })).body, {
      status: 'cancelled',
    })
    t.equal(
      outcome(await call(`POST /api/analytics/export/${asked[0]}/cancel`, { token })),
      '409 export_ended',
    )
    t.equal((await ask()).status, 202)
    await db.admin`update app.exports set status = 'cancelled'`
  })

  await t.test('is one of twenty of its organization, whose files are not of any size', async t => {
    const other = await join(server, owner, 'admin')
    const { body } = await ask()
    await db.admin`insert into app.exports (organization_id, resource, format, session_id, created_by)
      select organization_id, resource, format, session_id, created_by from app.exports, generate_series(1, 19) where id = ${body.id}`
    t.equal(outcome(await ask({}, other)), '409 too_many_exports_of_all')
    await db.admin`update app.exports set status = 'cancelled'`
    await db.admin`update app.exports set status = 'ready', attempt = gen_random_uuid(), bytes = 21474836481, sha256 = repeat('0', 64), expires_at = now() + interval '1 day'
      where id = ${body.id}`
    t.equal(outcome(await ask({}, other)), '409 export_storage_full')
    await db.admin`update app.exports set status = 'expired'`
    t.equal((await ask({}, other)).status, 202)
    await db.admin`update app.exports set status = 'cancelled'`
    const atOnce = await Promise.all(Array.from({ length: 12 }, async () => (await ask({}, other)).status))
    t.equal(atOnce.filter(status => status === 202).length, 5, 'also if they are asked for at once')
    await db.admin`update app.exports set status = 'cancelled'`
  })

  await t.test(
    'fails with the true reason when its member loses the permission or the organization, and ends with the membership',
    async t => {
      const [first, second] = [await join(server, owner, 'manager'), await join(server, owner, 'manager')]
      const ids = [(await ask({}, first)).body.id, (await ask({}, second)).body.id]
      await call(`PATCH /api/users/${first.id}`, { token, body: { role: 'viewer' } })
      await call(`DELETE /api/users/${second.id}`, { token })
      const ben = await register(server, 'Ben')
      ids.push((await ask({}, ben)).body.id)
      await call(`DELETE /api/organizations/${ben.organization}`, { token: ben.token })
      const worker = start()
      const failed = { status: 'failed', failure: 'The member who requested it no longer has permission.' }
      for (const [n, id] of ids.entries()) {
        const found = async () =>
          (
            await db.admin<
              { status: string; failure: string }[]
            >`select status, failure from app.exports where id = ${id}`
          )[0]
        await until(async () => (await found())?.status !== 'queued', 60)
        t.match(await found(), n === 1 ? { status: 'cancelled', failure: null } : failed)
      }
      await worker.stop()
    },
  )

  await t.test('says so when its last attempt fails for technical reasons', async t => {
    const { body } = await ask()
    await db.admin`update graphile_worker._private_jobs set max_attempts = 1`
    await db.admin.unsafe('alter function app.begin_export rename to gone')
    const worker = start()
    t.match(await settled(body.id), { status: 'failed', failure: /for technical reasons/ })
    await worker.stop()
    await db.admin.unsafe('alter function app.gone rename to begin_export')
  })

  await t.test('fails with the reason where files cannot be written', async t => {
    const used = async () => {
      const { body } = await call<{
        integrations: { kind: string; calls: number; errors: number; rows: number }[]
      }>('GET /api/analytics/integrations', { token })
      return body.integrations.find(({ kind }) => kind === 'export') ?? { calls: 0, errors: 0, rows: 0 }
    }
    const { calls, errors, rows } = await used()
    const { body } = await ask()
    const folder = joinPath(await mkdtemp(joinPath(tmpdir(), 'callboard-')), 'file')
    await writeFile(folder, 'no folder')
    const worker = start({ EXPORT_DIR: joinPath(folder, 'exports') })
    t.match(await settled(body.id), {
      status: 'failed',
      failure: 'The path of the folder for files is not a folder.',
      link: null,
    })
    t.match(await used(), { calls: calls + 1, errors: errors + 1, rows }, 'and counts as failed use')
    await worker.stop()
  })
})

t.test('the worker’s own role sees nothing of what it exports', async t => {
  const { db, owner, ask, fill } = await office(t)
  await fill(owner, 3)
  const { body } = await ask()
  const sql = db.as('callboard_worker')
  await t.rejects(sql`select from app.finance_records`, { code: '42501' })
  await sql.begin('read only', async tx => {
    await tx`set local role callboard_exporter`
    t.equal((await tx`select from app.finance_records`).count, 0, 'without a context there are no rows')
    await t.rejects(
      tx.savepoint(s => s`select app.enter_export(${owner.organization}, ${body.id}, ${randomUUID()})`),
    )
  })
  const begun = await sql<
    [{ begun: { attempt: string } }]
  >`select app.begin_export(${owner.organization}, ${body.id}) as begun`
  const { attempt } = begun[0].begun
  await t.rejects(
    sql`select app.enter_export(${owner.organization}, ${body.id}, ${attempt})`,
    /read-only transaction/,
  )
  await sql.begin('read only', async tx => {
    await tx`select app.enter_export(${owner.organization}, ${body.id}, ${attempt})`
    await tx`set local role callboard_exporter`
    t.equal((await tx`select from app.finance_records`).count, 3)
    t.equal((await tx`select from app.event_log`).count, 0, 'nor what the export is not about')
    const [row] = await tx<
      [{ may: boolean }]
    >`select has_any_column_privilege('app.finance_records', 'insert, update') as may`
    t.notOk(row.may, 'it can only read')
  })
})

t.test(
  'a worker that is killed halfway leaves no file marked ready, and the next one completes it',
  async t => {
    const { call, db, config, owner, fill, start, ask, read, settled, fetchFile, files } = await office(t)
    await fill(owner, Number(process.env['EXPORT_KILL_ROWS'] ?? 20_000))
    const killed = startServerProcess(
      t,
      {
        NODE_ENV: 'test',
        WORKER_DATABASE_URL: db.url('callboard_worker'),
        EXPORT_DIR: config.EXPORT_DIR ?? '',
      },
      'src/worker.ts',
    )
    await killed.says(/"working"/)
    const { id } = (await ask()).body
    await until(async () => (await files()).some(name => name.endsWith('.part')), 60)
    killed.child.kill('SIGKILL')
    await killed.ended
    t.match(await read(id), { status: 'running', link: null, bytes: null })
    // What a live worker does once this one has been silent for long enough.
    await db.admin`update graphile_worker._private_jobs set locked_at = null, locked_by = null`
    await db.admin`update graphile_worker._private_job_queues set locked_at = null, locked_by = null`
    const worker = start()
    const done = await settled(id)
    t.match(done, { status: 'ready', failure: null })
    const { text } = await fetchFile(done.link)
    t.equal(createHash('sha256').update(text).digest('hex'), done.sha256)
    t.equal(
      text,
      (
        await call('GET /api/exports/finance-records', {
          token: owner.token,
          headers: { accept: 'text/csv' },
        })
      ).text,
    )
    await db.as('callboard_worker')`select app.expire_exports()`
    await until(async () => (await files()).length === 1, 30)
    t.notOk((await files())[0]?.endsWith('.part'), 'the partial file is removed, the complete one stays')
    // An export whose worker dies each time is given up.
    const [lost] = await db.admin<{ id: string }[]>`
    insert into app.exports (organization_id, resource, format, session_id, created_by) values (${owner.organization}, 'shows', 'csv', ${randomUUID()}, ${owner.id}) returning id`
    await db.as('callboard_worker')`select app.expire_exports()`
    t.match(await read(lost?.id ?? ''), { status: 'failed', failure: /died each time/ })
    await worker.stop()
  },
)

t.test('progress while an export is made', async t => {
  const { call, owner, fill, start, ask, read, settled, files } = await office(t)
  await fill(owner, 60_000)
  const worker = start()
  const { id } = (await ask({ format: 'json' })).body
  await until(async () => (await read(id)).rows_done > 0, 60)
  t.match((await call(`POST /api/analytics/export/${id}/cancel`, { token: owner.token })).body, {
    status: 'cancelled',
  })
  await until(async () => (await files()).length === 0, 30)
  t.match(await read(id), { status: 'cancelled', link: null })
  const next = (await ask()).body.id
  await until(async () => (await read(next)).status === 'running', 60)
  t.match(await settled(next), { status: 'ready', rows_done: 60_000 })
  await worker.stop()
})

t.test('files can be kept in a bucket', async t => {
  const require = createRequire(import.meta.url)
  const S3rver = require('s3rver') as new (options: object) => {
    run: () => Promise<{ port: number }>
    close: () => Promise<void>
  }
  const s3 = new S3rver({
    port: 0,
    silent: true,
    directory: await mkdtemp(joinPath(tmpdir(), 'callboard-s3-')),
    configureBuckets: [{ name: 'callboard' }],
  })
  const { port } = await s3.run()
  t.teardown(() => s3.close())
  const settings = {
    EXPORT_S3_BUCKET: 'callboard',
    EXPORT_S3_ENDPOINT: `http://127.0.0.1:${port}`,
    EXPORT_S3_ACCESS_KEY_ID: 'S3RVER',
    EXPORT_S3_SECRET_ACCESS_KEY: 'S3RVER',
  }
  const { call, db, owner, fill, start, ask, settled, fetchFile } = await office(t, settings)
  // More than one part.
  await fill(owner, 30_000)
  const worker = start()
  const done = await settled((await ask()).body.id)
  t.match(done, { status: 'ready', failure: null })
  t.ok(done.bytes > 8 * 1024 * 1024, `${done.bytes} bytes`)
  const { text } = await fetchFile(done.link)
  t.equal(
    text,
    (await call('GET /api/exports/finance-records', { token: owner.token, headers: { accept: 'text/csv' } }))
      .text,
  )
  t.match(await fetchFile(done.link, { range: 'bytes=3-9' }), { status: 206, text: text.slice(3, 10) })
  await db.admin`update app.exports set expires_at = now()`
  await db.as('callboard_worker')`select app.expire_exports()`
  const left = async () =>
    (await fetch(`http://127.0.0.1:${port}/callboard/${owner.organization}/${done.id}`)).status
  await until(
    async () =>
      (await db.admin`select from graphile_worker._private_jobs where key = 'sweep_exports'`).count === 0,
    30,
  )
  t.equal(await left(), 404)
  await worker.stop()
  const nowhere = start({ EXPORT_S3_BUCKET: 'no-such-bucket' })
  t.match(await settled((await ask()).body.id), { status: 'failed', failure: /NoSuchBucket/ })
  await nowhere.stop()
})
