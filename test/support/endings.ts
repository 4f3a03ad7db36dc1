// Everything that can end, and the same that has not: for tests of what becomes of it in a copy.
import type { Test } from 'tap'
import { makeAccess } from './access.ts'
import { makeCredential } from './bi.ts'
import {
  aShow,
  join,
  joinAs,
  password,
  type Person,
  register,
  signIn,
  superadmin,
  type TestServer,
} from './helper.ts'

/** The password that one of them chooses when it ends. */
export const changed = 'another correct battery staple'

/** Members, logins, feeds and shows of an organization and of three others, and what ends some of them. */
export async function makeEndings(t: Test, here: TestServer, ana: Person) {
  const { db } = here
  const { token } = ana
  const ask = async <T = { id: string }>(request: `${string} ${string}`, body?: object, by = token) => {
    const answer = await here.call<T>(request, { token: by, ...(body && { body }) })
    if (answer.status >= 300) throw new Error(`${request}: ${answer.text}`)
    return answer.body
  }

  const access = await makeAccess(t, here, ana)
  const [stays, feed] = [
    await signIn(here, ana.email),
    await ask<{ path: string }>('POST /api/calendar-feeds', { name: 'Wall' }),
  ]
  const keptLogin = await makeCredential(here, ana, { name: 'Kept' })
  const rotated = await makeCredential(here, ana, { name: 'Rotated' })
  const lowered = await join(here, ana, 'manager', 'Lowered')
  const granted = await join(here, ana, 'viewer', 'Granted')
  await ask(`PUT /api/users/${granted.id}/permissions/shows.write`, { effect: 'grant' })
  const denied = await join(here, ana, 'manager', 'Denied')
  const custom = await joinAs(here, ana, ['shows.read', 'shows.write'])
  const unassigned = await joinAs(here, ana, ['shows.read', 'finance.read'])
  const back = await join(here, ana, 'manager', 'Back')
  const other = await join(here, ana, 'manager', 'Other')
  const refreshed = await join(here, ana, 'viewer', 'Refreshed')
  const erased = await join(here, ana, 'manager', 'Erased')
  const sue = await superadmin(here, await register(here, 'Sue'), ana.organization)
  const [hal, lou, jon] = [
    await register(here, 'Hal'),
    await register(here, 'Lou'),
    await register(here, 'Jon'),
  ]
  const ida = await join(here, hal, 'admin', 'Ida')
  const kept = await ask('POST /api/shows', aShow)
  const purged = await ask('POST /api/shows', aShow, erased.token)
  await ask(`POST /api/shows/${purged.id}/guests`, { name: 'Marta Veld' })

  async function end() {
    await access.end()
    await ask(
      'POST /api/auth/password/change',
      { current_password: password, new_password: changed },
      other.token,
    )
    await ask(`PATCH /api/users/${lowered.id}`, { role: 'viewer' }, stays.token)
    await ask(`DELETE /api/users/${granted.id}/permissions/shows.write`, undefined, stays.token)
    await ask(`PUT /api/users/${denied.id}/permissions/shows.write`, { effect: 'deny' }, stays.token)
    const roleOf = async (member: Person) =>
      (await ask<{ custom_roles: [{ id: string }] }>(`GET /api/users/${member.id}`, undefined, stays.token))
        .custom_roles[0].id
    await ask(`PATCH /api/roles/${await roleOf(custom)}`, { permissions: ['shows.read'] }, stays.token)
    await ask(`DELETE /api/users/${unassigned.id}/roles/${await roleOf(unassigned)}`, undefined, stays.token)
    await ask(`DELETE /api/users/${back.id}`, undefined, stays.token)
    await ask('POST /api/users', { email: back.email, display_name: 'Back', role: 'manager' }, stays.token)
    await ask(`POST /api/bi-credentials/${rotated.id}/rotate`, {}, stays.token)
    await here.call('POST /api/auth/refresh', { body: { refresh_token: refreshed.refreshToken } })
    await db.admin`select app_private.revoke_support(${sue.grant})`
    await ask(`POST /api/organizations/${hal.organization}/transfer`, { user_id: ida.id }, hal.token)
    await ask(`DELETE /api/users/${hal.id}`, undefined, ida.token)
    const newcomer = await join(here, jon, 'admin', 'Newcomer')
    await ask(`POST /api/organizations/${jon.organization}/transfer`, { user_id: newcomer.id }, jon.token)
    await ask(`DELETE /api/users/${jon.id}`, undefined, newcomer.token)
    await ask(`DELETE /api/organizations/${lou.organization}`, undefined, lou.token)
    await ask(`DELETE /api/shows/${purged.id}`, undefined, stays.token)
    for (const table of ['shows', 'guests'])
      await db.admin`
        update ${db.admin(`app.${table}`)} set deleted_at = now() - interval '31 days' where deleted_at is not null`
    await db.as('callboard_worker')`select app.purge_deleted()`
    await db.admin`select app_private.erase_events(${erased.id})`
  }
  return {
    end,
    access,
    stays,
    feed,
    keptLogin,
    rotated,
    lowered,
    granted,
    denied,
    custom,
    unassigned,
    back,
    other,
    refreshed,
    erased,
    sue,
    hal,
    lou,
    jon,
    ida,
    kept,
    purged,
  }
}
