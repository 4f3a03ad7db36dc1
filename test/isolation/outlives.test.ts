// What outlives a request is worth what its maker could still do: a scenario for each row of the table in
// docs/explain/isolation.md.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Test } from 'tap'
import { root } from '../../src/root.ts'
import { t } from '../support/tap.ts'
import { connectBi, makeCredential, makeProbe } from '../support/bi.ts'
import {
  aShow,
  join,
  mailedToken,
  password,
  type Person,
  register,
  signIn,
  startServer,
  superadmin,
} from '../support/helper.ts'
import { accept, type Invitation, invite, linkOf, newAddress } from '../support/invite.ts'
import { outcome } from '../support/tokens.ts'
import { openLogin, secretOf } from './world.ts'

t.test('what outlives a request', async t => {
  const text = await readFile(new URL('docs/explain/isolation.md', root), 'utf8')
  const section = text.split(/^## /m).find(one => one.startsWith('What outlives a request')) ?? ''
  const rows = [...section.matchAll(/^\| (?!What|---)([^|]+?) \|/gm)].map(([, what = '']) => what)
  const server = await startServer(t)
  const { call, db } = server
  const worker = openLogin(t, db.url('callboard_worker'))
  const ana = await register(server, 'Ana', 'Northlight')
  await makeProbe(server, { [ana.organization]: 'of Ana' })
  const { token } = ana

  const setRole = ({ id }: Person, role: string) => call(`PATCH /api/users/${id}`, { token, body: { role } })
  const remove = ({ id }: Person, query = '') => call(`DELETE /api/users/${id}${query}`, { token })
  /** Removed and added again, with a new token. */
  async function returned(person: Person, role: string): Promise<Person> {
    await remove(person)
    const body = { email: person.email, display_name: 'Back', role }
    const { status } = await call('POST /api/users', { token, body })
    t.equal(status, 201)
    return signIn(server, person.email, ana.organization)
  }
  const read = (as: Person) => call('GET /api/shows', { token: as.token }).then(outcome)
  const events = async (action: string, id: string) =>
    (
      await db.admin<{ changes: { new: Record<string, unknown> } }[]>`
        select changes from app.event_log where action = ${action} and resource_id = ${id} order by id`
    ).map(({ changes }) => changes.new)

  const scenarios: Record<string, (t: Test) => Promise<void>> = {
    'access token': async t => {
      const ben = await join(server, ana, 'manager')
      const write = () => call('POST /api/shows', { token: ben.token, body: aShow }).then(outcome)
      t.equal(await write(), '201')
      await setRole(ben, 'viewer')
      t.equal(await write(), '403 permission_denied')
      await remove(ben)
      t.equal(await read(ben), '403 membership_revoked')
    },
    'session and refresh token': async t => {
      const ben = await join(server, ana, 'manager')
      await remove(ben)
      const renewed = (more: object) =>
        call('POST /api/auth/refresh', { body: { refresh_token: ben.refreshToken, ...more } })
      t.equal(outcome(await renewed({ organization_id: ana.organization })), '403 membership_revoked')
      t.not((await renewed({})).body['organization_id'], ana.organization)
    },
    'link to an account': async t => {
      const body = { email: newAddress(), display_name: 'Ida', role: 'viewer' }
      const added = await call<{ id: string }>('POST /api/users', { token, body })
      const link = await mailedToken(server, 'reset_password', body.email)
      t.ok((await call(`DELETE /api/users/${added.body.id}`, { token })).status < 300)
      t.equal((await call('POST /api/auth/password/reset', { body: { token: link, password } })).status, 204)
      const ida = await signIn(server, body.email)
      t.equal(ida.organization, null, 'it opens their account, and no organization')
    },
    invitation: async t => {
      const statusOf = async (id: string) =>
        (await call<Invitation & { void_because: string | null }>(`GET /api/invitations/${id}`, { token }))
          .body
      const ends: [string, string, (ben: Person) => Promise<unknown>][] = [
        ['removed', 'inviter_removed', remove],
        ['removed and added again', 'inviter_removed', ben => returned(ben, 'owner')],
        ['lowered', 'inviter_lost_permission', ben => setRole(ben, 'admin')],
        [
          'denied a permission of the role',
          'inviter_lost_permission',
          async ben => {
            await setRole(ben, 'admin')
            for (const permission of ['members.manage', 'bi.manage'])
              await call(`PUT /api/users/${ben.id}/permissions/${permission}`, {
                token,
                body: { effect: 'grant' },
              })
          },
        ],
      ]
      for (const [how, because, end] of ends) {
        const ben = await join(server, ana, 'owner')
        const [friend, stranger] = [await register(server, 'Friend'), newAddress()]
        const made = [
          await invite(server, ben, friend.email, 'owner'),
          await invite(server, ben, stranger, 'owner'),
        ]
        const ids = made.map(({ body }) => body.id)
        t.match(await statusOf(ids[0] ?? ''), { status: 'pending', void_because: null })
        await end(ben)
        for (const id of ids)
          t.match(await statusOf(id), { status: 'void', void_because: because }, `${how}: its status says so`)
        t.equal(
          outcome(await accept(server, friend, await linkOf(server, friend.email))),
          '403 invitation_void',
          how,
        )
        const signUp = {
          email: stranger,
          password,
          display_name: 'New',
          invitation_token: await linkOf(server, stranger),
        }
        t.equal(
          outcome(await call('POST /api/auth/register', { body: signUp })),
          '403 invitation_void',
          `${how}, by signing up`,
        )
        t.equal(
          (await db.admin`select from app.users where email = ${stranger}`).count,
          0,
          'which makes no account',
        )
        t.same(await events('invitation.void', ids[1] ?? ''), [{ void_because: because }])
        // Refused once, it stays refused, whatever its sender becomes.
        if (because === 'inviter_lost_permission') {
          await setRole(ben, 'owner')
          t.equal(
            outcome(await accept(server, friend, await linkOf(server, friend.email))),
            '403 invitation_void',
          )
          t.equal((await call(`POST /api/invitations/${ids[0] ?? ''}/resend`, { token })).status, 200)
          t.match(
            await statusOf(ids[0] ?? ''),
            { status: 'pending', invited_by: ana.id },
            'until another owner sends it',
          )
          t.equal(outcome(await accept(server, friend, await linkOf(server, friend.email))), '200')
        }
        t.equal((await invite(server, ana, stranger)).status, 201, 'and is in nobody’s way')
      }
    },
    'role or permission of a member': async t => {
      const ben = await join(server, ana, 'owner')
      const eve = await join(server, ben, 'viewer')
      const body = { effect: 'grant', expires_at: new Date(Date.now() + 3_600_000).toISOString() }
      t.equal(
        (await call(`PUT /api/users/${eve.id}/permissions/shows.write`, { token: ben.token, body })).status,
        200,
      )
      await remove(ben)
      const write = () => call('POST /api/shows', { token: eve.token, body: aShow }).then(outcome)
      t.equal(await write(), '201', 'it does not depend on who gave it')
      await db.admin.begin(async sql => {
        await sql`set local session_replication_role = replica`
        await sql`update app.member_permissions set updated_at = now() - interval '2 hours', expires_at = now() where user_id = ${eve.id}`
      })
      t.equal(await write(), '403 permission_denied')
      const back = await returned(eve, 'viewer')
      t.equal((await db.admin`select from app.member_permissions where user_id = ${back.id}`).count, 0)
    },
    'calendar feed': async t => {
      const ben = await join(server, ana, 'viewer')
      const made = await call<{ id: string; path: string }>('POST /api/calendar-feeds', {
        token: ben.token,
        body: { name: 'Phone' },
      })
      const fetched = () => call(`GET ${made.body.path}`).then(outcome)
      t.equal(await fetched(), '200')
      const back = await returned(ben, 'viewer')
      t.equal(await fetched(), '404 not_found')
      t.same((await call<{ items: [] }>('GET /api/calendar-feeds', { token: back.token })).body.items, [])
      // Whoever revives it by hand has not the membership that it was made in.
      await db.admin`update app.calendar_feeds set revoked_at = null where id = ${made.body.id}`
      t.equal(await fetched(), '404 not_found')
    },
    'export file and its link': async t => {
      const ben = await join(server, ana, 'manager')
      const ask = { resource: 'shows', format: 'csv' }
      const { body } = await call<{ id: string }>('POST /api/analytics/export', {
        token: ben.token,
        body: ask,
      })
      const [begun] =
        await worker`select app.begin_export(${ana.organization}, ${body.id}) ->> 'attempt' as attempt`
      await worker`select app.finish_export(${ana.organization}, ${body.id}, ${begun?.['attempt'] as string}, 0, 0, ${'0'.repeat(64)})`
      const { link } = (
        await call<{ link: string }>(`GET /api/analytics/export/${body.id}`, { token: ben.token })
      ).body
      const open = () => call(`GET ${link}`).then(outcome)
      // There is no file: the worker only said so.
      t.notMatch(await open(), /^403/)
      const back = await returned(ben, 'manager')
      t.equal(await open(), '403 permission_denied', 'in a session that goes on')
      t.match((await call(`GET /api/analytics/export/${body.id}`, { token: back.token })).body, {
        status: 'expired',
        link: null,
      })
      await db.admin`update app.exports set status = 'ready' where id = ${body.id}`
      t.equal(await open(), '403 permission_denied', 'nor by hand')
    },
    'import in progress': async t => {
      const ben = await join(server, ana, 'manager')
      const made = await call<{ id: string }>('POST /api/imports?resource=shows', {
        token: ben.token,
        body: 'title,artist,show_on\nOne,Two,2027-01-01\n',
        headers: { 'content-type': 'text/csv' },
      })
      t.equal(made.status, 201, made.text)
      await setRole(ben, 'viewer')
      const [row] = await worker`select app.begin_import(${made.body.id}, 'check') as begun`
      t.equal(row?.['begun'], null)
      t.match((await call(`GET /api/imports/${made.body.id}`, { token })).body, { status: 'failed' })
    },
    'BI login': async t => {
      const seen = (sql: ReturnType<typeof connectBi>) =>
        sql`select distinct title from analytics.probe`.then(found => found.count)
      const ben = await join(server, ana, 'owner')
      const made = await makeCredential(server, ben)
      const invited = await invite(server, ben, newAddress(), 'viewer')
      const sql = connectBi(t, made)
      t.equal(await seen(sql), 1)
      const left = {
        bi_credentials: [{ id: made.id, name: 'Metabase', login: made.login, status: 'suspended' }],
        invitations: [{ id: invited.body.id, role: 'viewer' }],
      }
      t.match(
        (await setRole(ben, 'admin')).body,
        { role: 'admin', left_behind: left },
        'lowering names what it ends',
      )
      t.equal(await seen(sql), 0)
      t.match((await setRole(ben, 'owner')).body, { left_behind: null })
      t.equal(await seen(sql), 1)
      const removed = await remove(ben)
      t.equal(removed.status, 200)
      t.match(removed.body, left, 'so does removing')
      t.match(await events('member.leave_behind', ben.id), [left, left], 'and the log')
      t.equal(await seen(sql), 0)

      const cleo = await join(server, ana, 'owner')
      const [hers, other] = [await makeCredential(server, cleo), await makeCredential(server, cleo)]
      const open = connectBi(t, hers)
      t.equal(await seen(open), 1)
      t.equal((await call(`DELETE /api/bi-credentials/${other.id}`, { token: cleo.token })).status, 204)
      const left2 = await call(`DELETE /api/users/${cleo.id}?bi_credentials=revoke`, { token: cleo.token })
      t.same(
        left2.body['bi_credentials'],
        [{ id: hers.id, name: 'Metabase', login: hers.login, status: 'revoked' }],
        'one call revokes',
      )
      await t.rejects(seen(open))

      const dan = await join(server, ana, 'viewer')
      t.equal((await remove(dan)).status, 204, 'who leaves nothing behind')
      const eve = await register(server, 'Eve', 'Handed over')
      await makeCredential(server, eve)
      const heir = await join(server, eve, 'manager')
      const { status } = await call(`POST /api/organizations/${eve.organization}/transfer`, {
        token: eve.token,
        body: { user_id: heir.id },
      })
      t.equal(status, 200)
      const owner = await signIn(server, heir.email, eve.organization)
      const listed = await call<{ items: object[] }>('GET /api/bi-credentials', { token: owner.token })
      t.match(
        listed.body.items,
        [{ status: 'active', held_by: heir.id }],
        'and the heir answers for what was handed over',
      )
    },
    "superadmin's grant": async t => {
      const sam = await superadmin(server, await register(server, 'Sam'), ana.organization)
      t.equal(await read(sam), '200')
      await db.admin`select app_private.revoke_support(${sam.grant})`
      t.equal(await read(sam), '403 support_grant_needed')
    },
    'stored response of an `Idempotency-Key`': async t => {
      const ben = await join(server, ana, 'manager')
      const headers = { 'idempotency-key': randomUUID() }
      const post = () => call('POST /api/shows', { token: ben.token, body: aShow, headers }).then(outcome)
      t.equal(await post(), '201')
      t.equal(await post(), '201')
      await call(`PUT /api/users/${ben.id}/permissions/finance.read`, { token, body: { effect: 'deny' } })
      t.equal(await post(), '403 permission_denied')
      await remove(ben)
      t.equal(await post(), '403 membership_revoked')
    },
    'pass of a standby': async t => {
      const api = openLogin(t, db.url('callboard_api'))
      const [issued] = await api.begin(async sql => {
        await sql`select app.enter(${secretOf(ana)}, ${ana.organization})`
        return sql<[{ pass: string }]>`select app.issue_pass() as pass`
      })
      const refusal = () =>
        api`select app.enter_by_pass(${issued.pass}, '1 minute')`.catch(
          (error: unknown) => (error as { detail: string }).detail,
        )
      t.equal(await refusal(), 'not_a_standby', 'on the primary it would outlive the membership')
      await db.admin`update app_private.context_keys set inner_key = outer_key`
      t.equal(await refusal(), 'pass_unknown')
    },
  }
  t.same(
    Object.keys(scenarios).sort(),
    [...rows].sort(),
    'every row of the table has a scenario, and the other way round',
  )
  for (const what of rows) await t.test(what, async t => scenarios[what]?.(t))
})
