// Who has access, for a review: everything that opens the organization and still works, and nothing else.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join as path } from 'node:path'
import { t } from '../support/tap.ts'
import { makeCredential } from '../support/bi.ts'
import {
  confirmed,
  join,
  joinAs,
  type Person,
  register,
  startServer,
  superadmin,
  until,
} from '../support/helper.ts'
import { programArgs } from '../support/program.ts'
import { sealEvents } from '../support/sealing.ts'

interface Review {
  organization: { id: string; name: string }
  members: {
    email: string
    role: string | null
    custom_roles: string[]
    permissions: string[]
    grants: object[]
  }[]
  doors: Record<string, Record<string, unknown>[]>
  custom_roles: { name: string; permissions: string[] }[]
  head: { seq: number; hash: string } | null
}

const server = await startServer(t)
const { call, db } = server
const folder = t.testdir()
/** Runs the program as an auditor. */
const review = (...args: string[]) =>
  new Promise<{ code: unknown; stdout: string; stderr: string }>(resolve => {
    const env = {
      PATH: process.env['PATH'],
      AUDITOR_DATABASE_URL: db.url('callboard_auditor'),
      TZ: 'Asia/Tokyo',
    }
    const given = [...programArgs('scripts/policies/review-access.ts'), ...args]
    execFile(process.execPath, given, { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr })
    })
  })
const reviewed = async ({ organization }: Person) =>
  JSON.parse((await review('--org', organization, '--json', '-')).stdout) as Review
const must = async (request: `${string} ${string}`, token: string, body?: object) => {
  const answer = await call<{ id: string }>(request, { token, ...(body && { body }) })
  if (answer.status >= 400) throw new Error(`${request}: ${answer.text}`)
  return answer.body
}

const ana = await register(server, 'Ana', 'North | light <b>')
const erin = await register(server, 'Erin', 'Harbour')
const { token } = ana

t.test('members are there with their roles, what they hold, and from whom', async t => {
  const viewer = await join(server, ana, 'viewer', 'Vic')
  const custom = await joinAs(server, ana, ['finance.read'])
  await must(`PUT /api/users/${viewer.id}/permissions/finance.read`, token, { effect: 'grant' })
  await must(`PUT /api/users/${viewer.id}/permissions/shows.read`, token, { effect: 'deny' })
  const removed = await join(server, ana, 'manager', 'Rem')
  await must(`DELETE /api/users/${removed.id}`, token)

  const { members, custom_roles, organization } = await reviewed(ana)
  t.match(organization, { id: ana.organization, name: 'North | light <b>' })
  t.same(members.map(({ email }) => email).sort(), [ana.email, custom.email, viewer.email].sort())
  const of = ({ email }: Person) => members.find(member => member.email === email)
  t.match(of(ana), { role: 'owner', custom_roles: [], grants: [] })
  t.match(of(viewer), {
    role: 'viewer',
    grants: [
      { permission: 'finance.read', effect: 'grant', granted_by: ana.email, expires_at: null },
      { permission: 'shows.read', effect: 'deny', granted_by: ana.email },
    ],
  })
  t.ok(of(viewer)?.permissions.includes('finance.read'))
  t.notOk(of(viewer)?.permissions.includes('shows.read'), 'a denial counts')
  t.same(of(custom)?.permissions, ['finance.read'])
  t.same(
    of(custom)?.custom_roles,
    custom_roles.map(({ name }) => name),
  )

  await db.admin`update app.member_permissions set expires_at = now() + interval '100 milliseconds'
    where user_id = ${viewer.id} and effect = 'grant'`
  await until(
    async () =>
      (await reviewed(ana)).members.find(({ email }) => email === viewer.email)?.grants.length === 1,
  )
})

t.test('every other door is there while it works, and not afterwards', async t => {
  const guest = await register(server, 'Guest')
  const invitation = await must('POST /api/invitations', token, { email: guest.email, role: 'viewer' })
  const feed = await must('POST /api/calendar-feeds', token, { name: 'Phone' })
  const login = await makeCredential(server, ana, { name: 'Metabase' })
  const helper = await superadmin(
    server,
    await confirmed(server, await register(server, 'Sue')),
    ana.organization,
    {
      reason: 'Ticket 17',
    },
  )
  const everywhere = await superadmin(server, await register(server, 'Eve'), null, { reason: 'On call' })
  const { doors } = await reviewed(ana)
  t.match(doors, {
    invitations: [{ email: guest.email, role: 'viewer', invited_by: ana.email }],
    bi_logins: [{ name: 'Metabase', login: login.login, created_by: ana.email, last_seen_at: null }],
    calendar_feeds: [{ name: 'Phone', of: ana.email }],
    superadmins: [
      { email: helper.email, everywhere: false, may_write: false, reason: 'Ticket 17' },
      { email: everywhere.email, everywhere: true, reason: 'On call' },
    ],
  })
  t.match((await reviewed(erin)).doors, {
    invitations: [],
    bi_logins: [],
    calendar_feeds: [],
    superadmins: [{ email: everywhere.email }],
  })

  await must(`DELETE /api/invitations/${invitation.id}`, token)
  await must(`DELETE /api/calendar-feeds/${feed.id}`, token)
  await must(`DELETE /api/bi-credentials/${login.id}`, token)
  await db.admin`select app_private.revoke_support(${helper.grant}), app_private.revoke_support(${everywhere.grant})`
  const none = { invitations: [], bi_logins: [], calendar_feeds: [], superadmins: [] }
  t.same((await reviewed(ana)).doors, none)
})

t.test('it is sealed by the head of the event log, which the auditor can check later', async t => {
  t.equal((await reviewed(erin)).head, null, 'nothing is sealed yet')
  await sealEvents(db.as('callboard_worker'), '10 years')
  const { head } = await reviewed(ana)
  const [{ found }] = await db.as('callboard_auditor')<[{ found: { ok: boolean; head: { seq: number } } }]>`
    select app.verify_events(${ana.organization}, ${head?.seq ?? null}, ${head?.hash ?? null}) as found`
  t.match(found, { ok: true, head: { seq: head?.seq } })
})

t.test('it is a document, in which what people write is text', async t => {
  const [markdown, page] = [path(folder, 'review.md'), path(folder, 'review.html')]
  const { code, stdout } = await review('--org', ana.organization, '--markdown', markdown, '--html', page)
  t.same([code, stdout], [0, ''])
  t.match(readFileSync(markdown, 'utf8'), /^# Who has access\n\nOrganization North \\\| light \\<b\\>/)
  const html = readFileSync(page, 'utf8')
  t.match(html, 'North | light &lt;b&gt;')
  t.notMatch(html, '<b>')
  const [{ at }] = await db.admin<[{ at: string }]>`
    select to_char(created_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as at from app.memberships
    where user_id = ${ana.id} and organization_id = ${ana.organization}`
  t.match(html, at, 'instants are in UTC, wherever it runs')
  const [{ slug }] = await db.admin<
    [{ slug: string }]
  >`select slug from app.organizations where id = ${erin.organization}`
  t.match(await review('--org', slug), { code: 0, stdout: /^# Who has access\n\nOrganization Harbour/ })
})

t.test('it is for auditors, and of an organization that exists', async t => {
  for (const role of ['callboard_api', 'callboard_worker', 'callboard_support'])
    await t.rejects(db.as(role)`select app.review_access(${ana.organization})`, { code: '42501' }, role)
  t.match(await review('--org', 'nowhere'), { code: 2, stderr: /There is no organization nowhere/ })
  t.match(await review(), { code: 2, stderr: /Say which organization/ })
})
