// What is valid without a password, of a company: for tests of what becomes of it in a copy of its database.
import type { Test } from 'tap'
import { startWorker } from '../../src/jobs/worker.ts'
import { connectBi, type Credential, makeCredential } from './bi.ts'
import { join, type Person, register, signIn, type TestServer, until } from './helper.ts'
import { linkOf } from './invite.ts'

export interface Access {
  /** What each of them is answered by a server, by name; a BI login that cannot see anything is 401. */
  tried: (at: TestServer) => Promise<Record<string, number>>
  /** The same for what works once: it is used up. */
  triedOnce: (at: TestServer) => Promise<Record<string, number>>
  /** Ends each of them, as its owner would. */
  end: () => Promise<void>
  /** The BI login, to be connected elsewhere. */
  credential: Credential
}

/** One of each: a member's and an owner's token, a calendar feed, a link to a file, an invitation, a BI login. */
export async function makeAccess(t: Test, server: TestServer, owner: Person): Promise<Access> {
  const { call, config, app, db } = server
  const { token } = owner
  const post = async <T>(path: string, body: object, as = token) => {
    const answer = await call<T>(`POST ${path}`, { token: as, body })
    if (answer.status >= 300) throw new Error(`${path}: ${answer.text}`)
    return answer.body
  }
  const member = await join(server, owner, 'manager')
  const feed = await post<{ id: string; path: string }>('/api/calendar-feeds', { name: 'Phone' })
  const credential = await makeCredential(server, owner)
  const asked = await post<{ id: string }>('/api/analytics/export', { resource: 'shows', format: 'csv' })
  const worker = startWorker(config, db.url('callboard_worker'), () => '', app.log, [])
  let link: string | null = null
  await until(async () => {
    const { body } = await call<{ link: string | null }>(`GET /api/analytics/export/${asked.id}`, { token })
    return (link = body.link) !== null
  })
  await worker.stop()
  const guest = await register(server, 'Guest')
  const invited = await post<{ id: string }>('/api/invitations', { email: guest.email, role: 'viewer' })
  const invitation = await linkOf(server, guest.email)

  return {
    credential,
    tried: async at => {
      const login = connectBi(t, {
        connect: {
          ...credential.connect,
          uri: at.db.url(credential.login).replace(/:[^:@/]*@/, `:${credential.password}@`),
        },
      })
      const seen = await login<{ n: number }[]>`select count(*)::integer as n from analytics.freshness`.then(
        ([row]) => (row?.n === 0 ? 401 : 200),
        () => 401,
      )
      const statuses = {
        'the token of the owner': at.call('GET /api/shows', { token }),
        'the token of a member': at.call('GET /api/shows', { token: member.token }),
        'the calendar feed': at.call(`GET ${feed.path}`),
        'the link to a file': at.call(`GET ${link ?? ''}`),
      }
      const answers: [string, number][] = []
      for (const [name, answer] of Object.entries(statuses)) answers.push([name, (await answer).status])
      return { ...Object.fromEntries(answers), 'the BI login': seen }
    },
    triedOnce: async at => {
      const refreshed = await at.call('POST /api/auth/refresh', {
        body: { refresh_token: member.refreshToken },
      })
      const accepted = await at.call('POST /api/invitations/accept', {
        token: (await signIn(at, guest.email)).token,
        body: { token: invitation },
      })
      return { 'the refresh token': refreshed.status, 'the invitation': accepted.status }
    },
    end: async () => {
      for (const path of [
        `calendar-feeds/${feed.id}`,
        `bi-credentials/${credential.id}`,
        `users/${member.id}`,
        `invitations/${invited.id}`,
      ]) {
        const { status, text } = await call(`DELETE /api/${path}`, { token })
        if (status !== 204) throw new Error(`${path}: ${text}`)
      }
      await call('POST /api/auth/sign-out', { token })
    },
  }
}
