import { t } from '../support/tap.ts'
import {
  aShow,
  join,
  password,
  type Person,
  register,
  signIn,
  startServer,
  superadmin,
} from '../support/helper.ts'
import { limitOf } from '../support/limit.ts'

t.test('the limit of an organization', async t => {
  const server = await startServer(t, { RATE_LIMIT: '6' })
  const { call } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const ask = async ({ token }: { token: string }, body: unknown = aShow) =>
    limitOf(await call('POST /api/shows', { token, body }))

  await t.test(
    'counts every request, even a refused one, and the response says how many are left',
    async t => {
      t.match(await ask(ana), { status: 201, limit: 6, remaining: 5 })
      t.match(await ask(ana, '{'), { status: 400, limit: 6, remaining: 4 })
      t.match(await ask(ana, { title: 7 }), { status: 400, remaining: 3 })
      t.match(limitOf(await call('GET /api/me', { token: ana.token })), { status: 200, remaining: 2 })
      await ask(ana)
      t.match(await ask(ana), { status: 201, remaining: 0 })
    },
  )

  await t.test('returns 429 with the time to retry', async t => {
    const refused = await ask(ana)
    t.match(refused, { status: 429, limit: 6, remaining: 0 })
    t.ok(refused.retryAfter !== undefined && refused.retryAfter > 295 && refused.retryAfter <= 300)
    t.equal(refused.reset, refused.retryAfter)
  })

  await t.test('applies to one organization only, not to its address', async t => {
    t.match(await ask(ben), { status: 201, remaining: 5 })
  })

  await t.test('does not apply to health checks', async t => {
    for (let n = 0; n < 8; n++) {
      const answer = limitOf(await call('GET /livez'))
      t.match(answer, { status: 200, limit: undefined, remaining: undefined, retryAfter: undefined })
    }
  })
})

t.test('the limit of signing in', async t => {
  const server = await startServer(t, {
    SIGN_IN_LIMIT: '3',
    SIGN_IN_LIMIT_ADDRESS: '6',
    SIGN_IN_LIMIT_ACCOUNT: '5',
    TRUST_PROXY: '127.0.0.1',
  })
  const { call } = server
  const signInFrom = async (email: string, remoteAddress: string, password = 'guessed') =>
    limitOf(
      await call('POST /api/auth/sign-in', {
        body: { email, password },
        headers: { 'x-forwarded-for': remoteAddress },
      }),
    )

  await t.test('is per account and address, regardless of case', async t => {
    const from = '192.0.2.1'
    t.match(await signInFrom('ana@northlight.example', from), { status: 401, limit: 3, remaining: 2 })
    t.match(await signInFrom('Ana@northlight.example', from), { status: 401, remaining: 1 })
    t.match(await signInFrom('ANA@northlight.example', from), { status: 401, remaining: 0 })
    const refused = await signInFrom('ana@northlight.example', from)
    t.match(refused, { status: 429, limit: 3, remaining: 0 })
    t.ok(refused.retryAfter !== undefined && refused.retryAfter > 0 && refused.retryAfter <= 60)
  })

  await t.test('counts failures only, and lets the owner in while somebody else guesses', async t => {
    const { email } = await register(server, 'Gro')
    for (const status of [401, 401, 401, 429, 429, 429])
      t.match(await signInFrom(email, '192.0.2.7'), { status })
    t.match(await signInFrom(email, '192.0.2.7', password), { status: 429 }, 'who guesses is refused')
    for (let n = 0; n < 8; n++) t.match(await signInFrom(email, '192.0.2.8', password), { status: 200 })
    const wrong = { token: 'x'.repeat(43), password: 'long enough to be one' }
    for (const status of [400, 400, 400, 429])
      t.equal((await call('POST /api/auth/password/reset', { body: wrong })).status, status)
  })

  await t.test('admits no more guesses because they come at the same moment', async t => {
    const all = Array.from({ length: 20 }, () => signInFrom('kim@northlight.example', '192.0.2.40'))
    t.equal((await Promise.all(all)).filter(({ status }) => status === 401).length, 3)
  })

  await t.test('is per account, far higher, from all addresses together', async t => {
    for (const [n, status] of [401, 401, 401, 401, 401, 429].entries())
      t.match(await signInFrom('ben@northlight.example', `192.0.2.${n + 50}`), { status })
  })

  await t.test('cannot be evaded by spelling the account differently', async t => {
    for (const [n, status] of [401, 401, 401, 429].entries()) {
      const email = `iris.${'MORE'.slice(0, n)}${'more'.slice(n)}@Northlight.example`
      t.match(await signInFrom(email, '192.0.2.20'), { status })
    }
    for (const email of [
      ' iris.more@northlight.example',
      'iris.more@northlight.example ',
      'iris.more @northlight.example',
      'iris.more@northlight.example\t',
      '\u0131ris.more@northlight.example',
      'iris.more@northl\u0130ght.example',
      'iris.more@northlight.example.',
      '"iris.more"@northlight.example',
    ])
      t.match(await signInFrom(email, '192.0.2.30'), { status: 400 }, JSON.stringify(email))
  })

  await t.test('is per address too, and the response reports the one that is reached first', async t => {
    for (const [n, remaining] of [2, 2, 2, 2, 1, 0].entries())
      t.match(await signInFrom(`c${n}@northlight.example`, '192.0.2.9'), { status: 401, remaining })
    const refused = await signInFrom('erin@northlight.example', '192.0.2.9')
    t.match(refused, { status: 429, limit: 6, remaining: 0 })
    t.match(refused.policy, /"address";q=\d+;w=60, "sign_in";q=3;w=60, "sign_in_address";q=6;w=60$/)
    t.match(refused.left, /"sign_in_address";r=0;t=\d+$/)
    t.match(await signInFrom('erin@northlight.example', '192.0.2.10'), { status: 401, remaining: 2 })
  })

  await t.test('treats an IPv6 network as one address', async t => {
    for (const remaining of [2, 1, 0])
      t.match(await signInFrom('gro@harbourstage.example', `2001:db8:0:1::${remaining}`), {
        status: 401,
        remaining,
      })
    t.match(await signInFrom('gro@harbourstage.example', '2001:db8:0:1:ffff::1'), { status: 429 })
    t.match(await signInFrom('gro@harbourstage.example', '2001:db8:0:2::1'), { status: 401, remaining: 1 })
  })

  await t.test('is per member, when a password is changed', async t => {
    const owner = await register(server, 'Ana')
    const member = await join(server, owner, 'viewer')
    const change = async ({ token }: Person) =>
      limitOf(
        await call('POST /api/auth/password/change', {
          token,
          body: { current_password: 'guessed', new_password: 'long enough to be one' },
          headers: { 'x-forwarded-for': '198.51.100.1' },
        }),
      )
    for (const n of [1, 2, 3]) t.match(await change(owner), { status: 403 }, String(n))
    t.match(await change(owner), { status: 429 })
    t.match(await change(member), { status: 403 })
  })
})

t.test('the limit of mails', async t => {
  const server = await startServer(t, {
    MAIL_LIMIT: '2',
    MAIL_LIMIT_ADDRESS: '4',
    SIGN_IN_LIMIT: '1',
    TRUST_PROXY: '127.0.0.1',
  })
  const { call } = server
  const owner = await register(server, 'Ana')
  const other = await register(server, 'Ben')
  const forget = (email: string, from: string) =>
    call('POST /api/auth/password/forgot', { body: { email }, headers: { 'x-forwarded-for': from } })
  const statuses = async (n: number, ask: (n: number) => Promise<{ status: number }>) => {
    const all: number[] = []
    for (let i = 0; i < n; i++) all.push((await ask(i)).status)
    return all
  }

  await t.test('is per recipient, known or not, and apart from guessing', async t => {
    const guess = { email: owner.email, password: 'guessed' }
    t.same(await statuses(2, () => call('POST /api/auth/sign-in', { body: guess })), [401, 429])
    for (const email of [owner.email, 'nobody@northlight.example'])
      t.same(
        await statuses(3, n => forget(n === 1 ? email.toUpperCase() : email, `192.0.2.${n}`)),
        [202, 202, 429],
      )
    const refused = limitOf(await forget(owner.email, '192.0.2.9'))
    t.match(refused, { status: 429, limit: 2, policy: /"mail";q=2;w=900$/ })
  })

  await t.test('is per address that asks, whoever the mails are for', async t => {
    const ask = (n: number) => forget(`p${n}@northlight.example`, '192.0.2.66')
    t.same(await statuses(5, ask), [202, 202, 202, 202, 429])
  })

  await t.test('is per organization and recipient for what members send', async t => {
    const email = 'kim@harbourstage.example'
    const body = { email, role: 'viewer' }
    const invite = ({ token }: Person) => call('POST /api/invitations', { token, body })
    t.same(await statuses(3, () => invite(owner)), [201, 409, 429])
    t.equal((await invite(other)).status, 201, 'which keeps no mail of another organization away')
    const { token } = other
    const { body: list } = await call<{ items: { id: string }[] }>('GET /api/invitations', { token })
    const id = list.items[0]?.id ?? ''
    t.same(await statuses(3, () => call(`POST /api/invitations/${id}/resend`, { token })), [200, 200, 429])
    const again = () => call('POST /api/auth/email/request-verification', { token })
    t.same(await statuses(3, again), [202, 202, 429])
  })
})

t.test('refused tokens', async t => {
  const server = await startServer(t, { RATE_LIMIT: '3', TRUST_PROXY: '127.0.0.1' })
  const { call } = server
  const ana = await register(server, 'Ana')
  const from = (token: string | undefined, address: string) =>
    call('GET /api/me', { ...(token && { token }), headers: { 'x-forwarded-for': address } })

  await t.test('are counted by address, whatever is wrong with them', async t => {
    const forged = `${ana.token.slice(0, -4)}AAAA`
    for (const [token, status] of [
      ['garbage', 401],
      [forged, 401],
      [undefined, 401],
      ['garbage', 429],
    ] as const)
      t.equal((await from(token, '192.0.2.1')).status, status)
    const refused = limitOf(await from(forged, '192.0.2.1'))
    t.match(refused, { status: 429, policy: '"refused_token";q=3;w=60', retryAfter: /\d/ })
  })

  await t.test('do not keep a valid one from the same address out', async t => {
    t.equal((await from(ana.token, '192.0.2.1')).status, 200)
    t.equal((await from('garbage', '192.0.2.2')).status, 401)
  })
})

t.test('a person', async t => {
  const server = await startServer(t, { RATE_LIMIT: '10', RATE_LIMIT_PERSON: '60' })
  const { call, db, app } = server
  const ask = async ({ token }: { token: string }) => limitOf(await call('GET /api/shows', { token }))

  await t.test('is blocked alone, before they can use up the organization', async t => {
    const owner = await register(server, 'Ana')
    const member = await join(server, owner, 'viewer')
    for (const remaining of [5, 4, 3, 2, 1, 0])
      t.match(await ask(member), { status: 200, limit: 6, remaining })
    for (let n = 0; n < 8; n++)
      t.match(await ask(member), { status: 429, limit: 6, retryAfter: /^(300|299)$/ })
    const fine = await ask(owner)
    t.match(fine, {
      status: 200,
      limit: 10,
      remaining: 2,
      policy: '"person";q=6;w=60, "organization";q=10;w=60',
      left: /^"person";r=4;t=\d+, "organization";r=2;t=\d+$/,
    })
    for (let n = 0; n < 2; n++) t.equal((await ask(owner)).status, 200)
    const both = await ask(owner)
    t.match(
      both,
      { status: 429, limit: 10, left: /"organization";r=0;t=(300|299)$/ },
      'together they are many',
    )
    const text = await app.metrics.text()
    t.match(text, /limited_total\{limit="person",organization="[0-9a-f-]{36}"\} 8$/m)
    t.match(text, /limited_total\{limit="organization",organization="[0-9a-f-]{36}"\} 1$/m)
  })

  await t.test('is not blocked for what the organization refused', async t => {
    const owner = await register(server, 'Ben')
    const member = await join(server, owner, 'viewer')
    for (let n = 0; n < 6; n++) await ask(owner)
    for (const status of [200, 200, 200, 200, 429, 429, 429, 429, 429, 429, 429])
      t.equal((await ask(member)).status, status)
    await db.admin`insert into app.rate_limits (organization_id, block_seconds) values (${owner.organization}, 1)`
    t.match((await ask(member)).left, /"organization"/)
  })

  await t.test('has one count for all organizations, however many they found and switch to', async t => {
    const ana = await register(server, 'Chiara')
    const { body } = await call<{ id: string }>('POST /api/organizations', {
      token: ana.token,
      body: { name: 'Second' },
    })
    const switched = await call<{ access_token: string }>('POST /api/auth/switch', {
      token: ana.token,
      body: { organization_id: body.id },
    })
    const second = { token: switched.body.access_token }
    for (const [who, status] of [
      [ana, 200],
      [second, 200],
      [ana, 200],
      [second, 200],
      [ana, 429],
      [second, 429],
    ] as const)
      t.equal((await ask(who)).status, status)
  })

  await t.test('gets the share of a limit that was agreed', async t => {
    const dov = await register(server, 'Dov')
    await db.admin`insert into app.rate_limits (organization_id, requests) values (${dov.organization}, 500)`
    t.match(await ask(dov), {
      status: 200,
      limit: 300,
      policy: /^"person";q=300;w=60, "organization";q=500;/,
    })
  })

  await t.test('is not blocked by a token whose session has ended', async t => {
    const { email, token } = await register(server, 'Erin')
    await call('POST /api/auth/sign-out', { token })
    for (let n = 0; n < 20; n++) await ask({ token })
    t.match(
      await ask(await signIn(server, email)),
      { status: 200, remaining: 4 },
      'only signing out has counted',
    )
  })
})

t.test('an answer without a body because nothing has changed counts a tenth', async t => {
  const server = await startServer(t, { RATE_LIMIT: '2', TRUST_PROXY: '127.0.0.1' })
  const { token } = await register(server, 'Ana')
  const made = await server.call<{ path: string }>('POST /api/calendar-feeds', {
    token,
    body: { name: 'Phone' },
  })
  const poll = (etag?: string) =>
    server.call(`GET ${made.body.path}`, {
      headers: { 'x-forwarded-for': '192.0.2.1', ...(etag !== undefined && { 'if-none-match': etag }) },
    })
  const first = await poll()
  t.match(limitOf(first), { status: 200, remaining: 1 })
  const statuses: number[] = []
  for (let n = 0; n < 11; n++) statuses.push((await poll(String(first.headers['etag']))).status)
  t.same(statuses, [...Array<number>(10).fill(304), 429])
})

t.test('a superadmin is not shut out by the limit of their own organization', async t => {
  const server = await startServer(t, { RATE_LIMIT: '4' })
  const { call } = server
  const owner = await register(server, 'Olga')
  const sam = await register(server, 'Sam')
  await superadmin(server, sam, owner.organization)
  for (let n = 0; n < 6; n++) await call('GET /api/me', { token: sam.token })
  t.equal((await call('GET /api/me', { token: sam.token })).status, 429)
  const token = await call('POST /api/support/token', {
    token: sam.token,
    body: { organization_id: owner.organization },
  })
  t.match(limitOf(token), { status: 200, policy: '"support";q=4;w=60' })
})

t.test('untrusted clients cannot choose their address', async t => {
  for (const [proxies, forwarded] of [
    ['', (n: number) => `192.0.2.${n}`],
    // As if from somebody else's proxy.
    ['198.51.100.0/24', (n: number) => `192.0.2.${n}`],
    // Behind a trusted proxy, which appends the address it saw: the client can invent the rest.
    ['127.0.0.1', (n: number) => `192.0.2.${n}, 203.0.113.7`],
    ['loopback', (n: number) => `127.0.0.1, 10.0.0.${n}, 203.0.113.7`],
  ] as const) {
    const { call } = await startServer(t, { SIGN_IN_LIMIT_ADDRESS: '3', TRUST_PROXY: proxies })
    for (const [n, status] of [401, 401, 401, 429].entries()) {
      const answer = await call('POST /api/auth/sign-in', {
        body: { email: `hana${n}@harbourstage.example`, password: 'guessed' },
        headers: { 'x-forwarded-for': forwarded(n) },
      })
      t.equal(answer.status, status, `TRUST_PROXY=${proxies}`)
    }
  }
})
