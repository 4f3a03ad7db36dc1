// What expires is purged in parts, so that nobody waits long for a transaction, and what cannot be purged stops nothing else.
import { t } from '../support/tap.ts'
import { type Database, register, startServer } from '../support/helper.ts'

interface Part {
  [kind: string]: unknown
  busy: number
  failed: number
  because: { kind?: string; failed_with: string }[]
  next: object | null
}

/** Calls it as the worker does, until nothing is left, and returns all parts. */
async function inParts({ as }: Database, call: 'purge_expired' | 'expire_exports', atMost: number) {
  const parts: Part[] = []
  let next: object | null = null
  do {
    const [row]: [{ done: Part }] = await as('callboard_worker')<[{ done: Part }]>`
      select ${as('callboard_worker').unsafe(`app.${call}`)}(${next === null ? null : JSON.stringify(next)}::text::jsonb, ${atMost}) as done`
    parts.push(row.done)
    next = row.done.next
  } while (next !== null && parts.length < 100)
  return parts
}
const total = (parts: Part[], what: string) => parts.reduce((sum, part) => sum + Number(part[what]), 0)

t.test('what has expired', async t => {
  const server = await startServer(t)
  const { db } = server
  await register(server, 'Ana')
  const addMails = (count: number, days: number) => db.admin`
    insert into app_private.mails (kind, to_address, data, sent_at)
    select 'added', n || '@example.com', '{}', now() - ${days} * interval '1 day' from generate_series(1, ${count}) n`
  const addLinks = (count: number, days: number) => db.admin`
    insert into app_private.email_tokens (mail_id, user_id, purpose, expires_at)
    select lpad(${days}::text || n, 32, '0')::uuid, u.id, 'reset_password', now() - ${days} * interval '1 day'
    from (select id from app.users limit 1) u, generate_series(1, ${count}) n`
  const count = async (table: string) =>
    (await db.admin<[{ n: number }]>`select count(*)::int as n from ${db.admin(`app_private.${table}`)}`)[0].n

  await t.test('is purged in parts, all of it, and nothing else', async t => {
    const before = [await count('mails'), await count('email_tokens')]
    await addMails(7, 91)
    await addMails(2, 89)
    await addLinks(5, 91)
    const parts = await inParts(db, 'purge_expired', 3)
    t.ok(parts.length > 4, `${parts.length} parts`)
    for (const part of parts) t.ok(Number(part['mails']) + Number(part['email_tokens']) <= 3)
    t.strictSame([total(parts, 'mails'), total(parts, 'email_tokens'), total(parts, 'failed')], [7, 5, 0])
    t.strictSame([await count('mails'), await count('email_tokens')], [(before[0] ?? 0) + 2, before[1]])
    t.equal((await inParts(db, 'purge_expired', 3)).length, 1, 'then there is nothing to do')
  })

  await t.test('is purged although one of it cannot be, which is reported', async t => {
    await addLinks(8, 92)
    await addMails(4, 92)
    await db.admin.unsafe(`
      create function app_private.stubborn() returns trigger language plpgsql as
        $$ begin if old.mail_id = lpad('923', 32, '0')::uuid then raise exception 'cannot go'; end if; return old; end $$;
      create trigger stubborn before delete on app_private.email_tokens for each row execute function app_private.stubborn()`)
    const left = async () =>
      (await db.admin`select from app_private.email_tokens where expires_at < now() - interval '91 days'`)
        .count
    for (const atMost of [3, 5000]) {
      const parts = await inParts(db, 'purge_expired', atMost)
      t.equal(total(parts, 'failed'), 1)
      t.strictSame(
        parts.flatMap(({ because }) => because),
        [{ kind: 'email_tokens', failed_with: 'cannot go' }],
      )
      t.equal(await left(), 1, 'the others are gone')
      t.equal(total(parts, 'mails'), 4, 'and what comes after them')
      await addLinks(2, 93)
      await addMails(4, 93)
    }
    await db.admin.unsafe(
      'drop trigger stubborn on app_private.email_tokens; drop function app_private.stubborn()',
    )
    t.equal(total(await inParts(db, 'purge_expired', 5000), 'email_tokens'), 3, 'and it, when it can be')
  })

  await t.test('is left for the next time if somebody holds it, and the rest is purged', async t => {
    await addLinks(4, 94)
    const holder = await db.admin.reserve()
    await holder`begin`
    await holder`select from app_private.email_tokens where mail_id = lpad('942', 32, '0')::uuid for update`
    const parts = await inParts(db, 'purge_expired', 5000)
    await holder`rollback`
    holder.release()
    t.strictSame([total(parts, 'email_tokens'), total(parts, 'busy'), total(parts, 'failed')], [3, 1, 0])
    t.equal(total(await inParts(db, 'purge_expired', 5000), 'email_tokens'), 1)
  })
})

t.test('exports that have lost their job end in parts, although one of them cannot', async t => {
  const server = await startServer(t, { EXPORT_DIR: t.testdir({}) })
  const { db, call } = server
  const { token } = await register(server, 'Ana')
  const ids: string[] = []
  for (let n = 0; n < 5; n += 1) {
    const { body } = await call<{ id: string }>('POST /api/analytics/export', {
      token,
      body: { resource: 'venues', format: 'csv' },
    })
    ids.push(body.id)
  }
  await db.admin`delete from graphile_worker._private_jobs`
  const [stubborn = ''] = ids.slice(1)
  await db.admin.unsafe(`
    create function app.stubborn() returns trigger language plpgsql as
      $$ begin if old.id = '${stubborn}' then raise exception 'cannot end'; end if; return new; end $$;
    create trigger stubborn before update on app.exports for each row execute function app.stubborn()`)
  const sweeps = async () =>
    (await db.admin`select from graphile_worker.jobs where task_identifier = 'sweep_exports'`).count
  const parts = await inParts(db, 'expire_exports', 2)
  t.strictSame(
    parts.map(({ ended }) => ended),
    [1, 2, 1],
  )
  t.strictSame(
    parts.flatMap(({ because }) => because).map(({ failed_with }) => failed_with),
    ['cannot end'],
  )
  t.equal(await sweeps(), 1, 'the files are swept once, at the end')
  const states = await Promise.all(
    ids.map(
      async id => (await call<{ status: string }>(`GET /api/analytics/export/${id}`, { token })).body.status,
    ),
  )
  t.strictSame(states, ['failed', 'queued', 'failed', 'failed', 'failed'])
  await db.admin`drop trigger stubborn on app.exports`
  t.match(await inParts(db, 'expire_exports', 2), [{ ended: 1, failed: 0, next: null }])
  t.match(await inParts(db, 'expire_exports', 2), [{ ended: 0, is_idle: true }])
})
