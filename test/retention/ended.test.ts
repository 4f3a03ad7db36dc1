// What has ended since a copy was made ends in the copy, by the file that workers append to (ENDED_FILE); what had not
// ended still works.
import { readFile } from 'node:fs/promises'
import { join as path } from 'node:path'
import { restored, verified } from '../support/backup.ts'
import { copyOf, recorder } from '../support/copy.ts'
import { changed, makeEndings } from '../support/endings.ts'
import {
  type Database,
  password,
  type Person,
  register,
  startServer,
  type TestServer,
  until,
} from '../support/helper.ts'
import { t } from '../support/tap.ts'
import { sealEvents } from '../support/sealing.ts'

/** Who holds what of a member in an organization. */
const held = async ({ admin }: Database, { organization }: Person, member: Person) =>
  (await admin<[{ held: string[] }]>`select app.permissions_of(${organization}, ${member.id}) as held`)[0]
    .held
const signInStatus = async ({ call }: TestServer, { email }: Person, as = password) =>
  (await call('POST /api/auth/sign-in', { body: { email, password: as } })).status
const shows = async ({ call }: TestServer, { token }: { token: string }) =>
  (await call('GET /api/shows', { token })).status

t.test('what has ended since a copy was made ends in it, and nothing else', async t => {
  const here = await startServer(t)
  const { db } = here
  const record = recorder(t, db)
  const file = path(t.testdir(), 'ended.jsonl')
  const ana = await register(here, 'Ana')
  const things = await makeEndings(t, here, ana)
  const { access, stays, other, erased, jon, hal } = things
  await record(file)

  const copy = await copyOf(t, db)
  // Its connections have been ended.
  await until(async () => (await shows(here, ana)) === 200)

  await things.end()
  await record(file)

  await t.test('the file has no content and no secret', async t => {
    const text = await readFile(file, 'utf8')
    t.notMatch(text, /@|Winter|Gaslights|Ana|battery|hash|email|name"/)
    const kinds = new Set([...text.matchAll(/"what":"(\w+)"/g)].map(([, kind]) => kind))
    t.same(
      [...kinds].sort(),
      'bi_login,bi_password,calendar_feed,erasure,invitation,member,organization,password,purge,refresh,role,session,support_grant'.split(
        ',',
      ),
    )
  })

  const there = await startServer(t, {}, copy)
  const erasable = () => copy.admin`
    select from app.event_log where (actor_id = ${erased.id} or resource_id = ${erased.id}) and erased_at is null and action <> 'audit.erase'`
  await t.test('an interrupted run has changed nothing', async t => {
    const lock = await copy.admin.reserve()
    await lock`begin`
    await lock`select from app_private.origin for update`
    const run = restored(copy, '--ended', file)
    await until(async () => {
      const { count } = await copy.admin`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and usename = 'callboard_migrator' and wait_event_type = 'Lock'`
      return count > 0
    })
    t.match(await run, { code: 1 })
    await lock`rollback`
    lock.release()
    t.equal(await shows(there, ana), 200)
    t.equal(await signInStatus(there, other), 200)
    t.not((await erasable()).count, 0)
  })

  const { code, output } = await restored(copy, '--ended', file)
  t.equal(code, 0, output)
  t.match(output, /may start\.\n/)
  t.match(output, new RegExp(`Organization ${jon.organization} keeps ${jon.id} as its owner`))
  t.notMatch(output, /Not purged/)

  await t.test('what ended does not work', async t => {
    // A removed member's session goes on, without that organization.
    const { 'the invitation': invitation } = await access.triedOnce(there)
    const ended = { ...(await access.tried(there)), 'the invitation': invitation ?? 0 }
    for (const [what, status] of Object.entries(ended)) t.ok(status >= 400, `${what} has ended: ${status}`)
    t.equal(await signInStatus(there, other), 401, 'the old password')
    t.equal(await signInStatus(there, other, changed), 401, 'the new one, which the copy does not know')
    t.equal(
      (await there.call('POST /api/auth/password/forgot', { body: { email: other.email } })).status,
      202,
    )
    const [{ mails }] = await copy.admin<[{ mails: number }]>`
      select count(*)::int as mails from app_private.mails where kind = 'reset_password' and to_address = ${other.email} and failed_at is null`
    t.equal(mails, 1, 'a link for a new one is mailed')
    for (const [member, lost, keeps] of [
      [things.lowered, 'shows.write', 'shows.read'],
      [things.granted, 'shows.write', 'shows.read'],
      [things.denied, 'shows.write', 'shows.read'],
      [things.custom, 'shows.write', 'shows.read'],
    ] as const) {
      const has = await held(copy, ana, member)
      t.notOk(has.includes(lost), `${member.email} has lost ${lost}`)
      t.ok(has.includes(keeps), `${member.email} keeps ${keeps}`)
    }
    t.same(await held(copy, ana, things.unassigned), [])
    const { body: logins } = await there.call<{ items: { id: string; status: string }[] }>(
      'GET /api/bi-credentials',
      stays,
    )
    t.same(Object.fromEntries(logins.items.map(({ id, status }) => [id, status])), {
      [things.keptLogin.id]: 'active',
      [things.rotated.id]: 'expired',
      [access.credential.id]: 'revoked',
    })
    t.match(await there.call('GET /api/shows', { token: things.sue.token }), { status: 403 }, 'the grant')
    t.match(await there.call('GET /api/shows', { token: hal.token }), { status: 403 }, 'the former owner')
    t.ok((await held(copy, hal, things.ida)).includes('organization.delete'), 'the present owner')
    t.match(
      await there.call('GET /api/shows', { token: things.lou.token }),
      { status: 403 },
      'the organization',
    )
    t.match(
      await there.call('POST /api/auth/refresh', { body: { refresh_token: things.refreshed.refreshToken } }),
      { status: 401 },
      'a spent refresh token',
    )
  })

  await t.test('what was purged and erased is gone', async t => {
    t.equal((await copy.admin`select from app.shows where id = ${things.purged.id}`).count, 0)
    t.equal((await erasable()).count, 0)
    await sealEvents(copy.as('callboard_worker'), '0 seconds')
    t.match(await verified(copy, ana), { ok: true })
  })

  await t.test('what had not ended still works', async t => {
    t.equal(await shows(there, stays), 200, 'a session')
    t.equal(await shows(there, other), 200, 'the session that changed the password')
    t.equal(await shows(there, things.back), 200, 'a member who came back')
    t.equal((await there.call(`GET ${things.feed.path}`)).status, 200, 'a feed')
    t.equal((await there.call(`GET /api/shows/${things.kept.id}`, stays)).status, 200, 'a show')
    t.equal(await signInStatus(there, things.lowered), 200, 'a password')
    t.match(await there.call('POST /api/auth/refresh', { body: { refresh_token: stays.refreshToken } }), {
      status: 200,
    })
  })

  await t.test('the gap is noted, and a second run does nothing', async t => {
    const { body } = await there.call<{ items: object[] }>(
      'GET /api/audit/events?action=database.restore',
      stays,
    )
    t.match(body.items, [{ changes: { new: { restored_until: /^20/ } } }])
    t.match(await restored(copy, '--ended', file), { code: 0, output: /has not been restored/ })
    t.match(await restored(copy, '--anyway', '--ended', file), {
      code: 1,
      output: /It is of another database/,
    })
  })
})
