import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { readConfig } from '../../src/config.ts'
import { loggerOptions } from '../../src/http/logging.ts'
import { type Database, password, startDatabase } from '../support/helper.ts'
import { programArgs, root } from '../support/program.ts'

type Line = Record<string, unknown> & { text: string }

/** The server as its own process, whose standard output is its log. */
async function spawnServer(t: Test, db: Database, settings: Record<string, string>) {
  const child: ChildProcess = spawn(process.execPath, programArgs('src/server.ts'), {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      NODE_ENV: 'development',
      DATABASE_URL: db.url('callboard_api'),
      PORT: '0',
      LOG_LEVEL: 'trace',
      ...settings,
    },
  })
  t.teardown(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const lines: Line[] = []
  const url = new Promise<string>((resolve, reject) => {
    child.once('exit', () => {
      reject(new Error('the server has stopped'))
    })
    createInterface({ input: child.stdout ?? process.stdin }).on('line', text => {
      const line = { ...(JSON.parse(text) as object), text } as Line
      lines.push(line)
      const [, address] = /^Server listening at (.*)$/.exec(String(line['msg'])) ?? []
      if (address !== undefined) resolve(address)
    })
  })
  const stop = async () => {
    child.kill('SIGTERM')
    const [code] = (await once(child, 'exit')) as [number]
    return code
  }
  return { url: await url, lines, stop }
}

t.test('the log of a server under use', async t => {
  const db = await startDatabase(t)
  const jwtSecret = 'MARKED-key-of-the-tokens-of-this-very-test'
  const server = await spawnServer(t, db, {
    JWT_SECRET: jwtSecret,
    SIGN_IN_LIMIT: '1000',
    RATE_LIMIT: '1000',
  })
  const passwords = ['MARKED-second-password', 'MARKED-third-password', 'MARKED-wrong-password'] as const
  const [second, third, wrong] = passwords
  // Typed into the wrong field.
  const misplaced = 'marked-misplaced-password@example.com'
  const secrets = new Set([jwtSecret, password, ...passwords, misplaced, 'MARKED-query-value'])
  const ask = async (
    method: string,
    path: string,
    { token, body }: { token?: string; body?: object } = {},
  ) => {
    const response = await fetch(server.url + path, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const answer = (text === '' ? {} : JSON.parse(text)) as Record<string, string>
    for (const name of ['access_token', 'refresh_token']) {
      const secret = answer[name]
      if (secret === undefined) continue
      secrets.add(secret)
      // Its signature, and the session's secret within it.
      for (const part of secret.split('.')) secrets.add(part)
      if (name === 'access_token') {
        const { sid } = JSON.parse(Buffer.from(secret.split('.')[1] ?? '', 'base64url').toString()) as {
          sid: string
        }
        secrets.add(sid)
        secrets.add(createHash('sha256').update(sid).digest('hex'))
      }
    }
    return { status: response.status, answer, requestId: response.headers.get('x-request-id') ?? '' }
  }

  const email = 'ana@example.com'
  const registered = await ask('POST', '/api/auth/register', {
    body: { email, password, display_name: 'Ana', organization_name: 'Northlight' },
  })
  const { access_token: token = '', refresh_token = '', organization_id: organization } = registered.answer
  await ask('POST', '/api/auth/sign-in', { body: { email, password } })
  await ask('POST', '/api/auth/sign-in', { body: { email, password: wrong } })
  await ask('POST', '/api/auth/sign-in', { body: { email: misplaced, password: wrong } })
  await ask('POST', '/api/auth/refresh', { body: { refresh_token } })
  await ask('POST', '/api/auth/refresh', { body: { refresh_token: 'MARKED.refresh' } })
  secrets.add('MARKED.refresh')
  await ask('POST', '/api/auth/password/forgot', { body: { email } })
  const invited = await ask('POST', '/api/invitations', {
    token,
    body: { email: 'ben@example.com', role: 'viewer' },
  })
  await ask('POST', `/api/invitations/${invited.answer['id'] ?? ''}/resend`, { token })
  await ask('POST', '/api/users', {
    token,
    body: { email: 'cleo@example.com', display_name: 'Cleo', role: 'admin' },
  })
  for (const { token: mailed, kind } of await db.admin<
    { token: string; kind: string }[]
  >`select t.data ->> 'token' as token, t.kind from app_private.mails m, app.take_mail(m.id) t where m.has_link order by m.id`) {
    secrets.add(mailed)
    await ask('POST', '/api/auth/email/verify', { body: { token: mailed } })
    if (kind === 'reset_password')
      await ask('POST', '/api/auth/password/reset', { body: { token: mailed, password: second } })
    const joins = { email: 'ben@example.com', password, display_name: 'Ben', invitation_token: mailed }
    if (kind === 'invitation') await ask('POST', '/api/auth/register', { body: joins })
  }
  const again = await ask('POST', '/api/auth/sign-in', { body: { email, password: second } })
  const { access_token: newToken = '' } = again.answer
  await ask('POST', '/api/auth/password/change', {
    token: newToken,
    body: { current_password: second, new_password: third },
  })
  await ask('POST', '/api/auth/switch', { token: newToken, body: { organization_id: organization } })
  const show = { title: 'Tour', artist: 'The Gaslights', show_on: '2027-02-03' }
  const made = await ask('POST', '/api/shows', { token: newToken, body: show })
  await ask('DELETE', `/api/shows/${made.answer['id'] ?? ''}`, { token: newToken })
  const feed = await ask('POST', '/api/calendar-feeds', { token: newToken, body: { name: 'Phone' } })
  secrets.add(feed.answer['path']?.split('=')[1] ?? '')
  await fetch(`${server.url}${feed.answer['path'] ?? ''}`)
  await fetch(`${server.url}${feed.answer['path'] ?? ''}x`)
  const stolen = again.answer['refresh_token'] ?? ''
  const next = await ask('POST', '/api/auth/refresh', { body: { refresh_token: stolen } })
  await ask('POST', '/api/auth/refresh', { body: { refresh_token: next.answer['refresh_token'] } })
  await db.admin`update app_private.refresh_tokens set used_at = used_at - interval '1 minute'`
  await ask('POST', '/api/auth/refresh', { body: { refresh_token: stolen } })
  const renewed = await ask('POST', '/api/auth/sign-in', { body: { email, password: third } })
  const live = renewed.answer['access_token'] ?? ''
  const hashes = await db.admin<{ hash: Buffer }[]>`
    select verifier as hash from app_private.credentials union all select token_hash from app_private.refresh_tokens
    union all select secret_hash from app.sessions union all select secret_hash from app_private.mailed_secrets
    union all select secret_hash from app.calendar_feeds`
  for (const form of ['hex', 'base64', 'base64url'] as const)
    for (const { hash } of hashes) secrets.add(hash.toString(form))
  for (const { recipe } of await db.admin<{ recipe: string }[]>`select recipe from app_private.credentials`)
    secrets.add(recipe)
  const listed = await ask('GET', '/api/shows?q=MARKED-query-value', { token: live })
  await ask('GET', '/api/shows', { token: `${live}x` })
  const refused = await ask('POST', '/api/shows', {
    token: live,
    body: { title: 'T', unknown: 'MARKED-query-value' },
  })
  // A server error, with the session's secret among the parameters of the statement.
  await db.admin`alter function app.read_me() rename to read_me_elsewhere`
  const failed = await ask('GET', '/api/me', { token: live })
  await db.admin`alter function app.enter(text, uuid, text, inet) rename to enter_elsewhere`
  await ask('GET', '/api/shows', { token: live })
  t.equal(await server.stop(), 0)

  t.test('contains none of the secrets that were sent, generated or stored', async t => {
    t.ok(secrets.size > 20, `${secrets.size} secrets are searched for`)
    t.equal(server.lines.length > 15, true, 'there is a log to search')
    for (const secret of secrets) {
      const line = server.lines.find(({ text }) => text.includes(secret))
      if (line) t.fail(`a secret is in the log: ${line.text}`)
    }
  })

  t.test('and neither does the event log, which records all of it', async t => {
    const events = await db.admin<{ text: string; action: string }[]>`
      select l::text as text, action from app.event_log l`
    for (const secret of secrets) {
      const event = events.find(({ text }) => text.includes(secret))
      if (event) t.fail(`a secret is in an event: ${event.text}`)
    }
    t.strictSame([...new Set(events.map(({ action }) => action))].sort(), [
      'auth.email_verified',
      'auth.password_changed',
      'auth.password_reset',
      'auth.refresh_token_reused',
      'auth.register',
      'auth.session_revoked',
      'auth.sign_in',
      'auth.sign_in_failed',
      'calendar_feed.create',
      // When the template was migrated.
      'database.migrate',
      'finance_category.create',
      'invitation.accept',
      'invitation.create',
      'invitation.resend',
      'member.add',
      'organization.create',
      'show.create',
      'show.delete',
      'user.create',
    ])
  })

  t.test('names request, organization and user of every response', async t => {
    const line = server.lines.find(({ reqId, msg }) => reqId === listed.requestId && msg === 'answered')
    t.match(line, {
      method: 'GET',
      route: '/api/shows',
      status: 200,
      ms: Number,
      organization_id: organization,
      user_id: registered.answer['user_id'],
    })
    for (const { text, msg, reqId } of server.lines.filter(l => l['msg'] === 'answered'))
      t.ok(reqId, `${String(msg)} has its request: ${text}`)
  })

  t.test('names them even when a request is refused or fails', async t => {
    const whose = { organization_id: organization, user_id: registered.answer['user_id'] }
    for (const [id, msg] of [
      [refused.requestId, 'request refused'],
      [failed.requestId, 'request failed'],
    ])
      t.match(
        server.lines.find(line => line['reqId'] === id && line['msg'] === msg),
        whose,
      )
  })

  t.test('records a failure under the id that the client received', async t => {
    t.equal(failed.status, 500)
    const line = server.lines.find(({ reqId, level }) => reqId === failed.requestId && level === 50)
    t.match(line, { problem: 'internal', err: { code: '42883', message: /read_me/ } })
    t.equal(failed.answer['instance'], failed.requestId)
  })
})

t.test('an error is logged with its cause, and without what the driver attaches', async t => {
  const { serializers } = loggerOptions(readConfig({})) as { serializers: { err: (error: Error) => object } }
  const cause = Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' })
  const error = new Error('away', { cause })
  Object.assign(error, { query: 'select MARKED', parameters: ['MARKED'], detail: 'Key (email)=(MARKED)' })
  const logged = serializers.err(error)
  t.match(logged, { type: 'Error', message: 'away', cause: 'ECONNREFUSED' })
  t.notMatch(JSON.stringify(logged), 'MARKED')
})
