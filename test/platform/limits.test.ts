import { t } from '../support/tap.ts'
import { aShow, join, type Person, register, startServer } from '../support/helper.ts'
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
  const server = await startServer(t, { SIGN_IN_LIMIT: '3', TRUST_PROXY: '127.0.0.1' })
  const { call } = server
  const guess = async (email: string, remoteAddress: string) =>
    limitOf(
      await call('POST /api/auth/sign-in', {
        body: { email, password: 'guessed' },
        headers: { 'x-forwarded-for': remoteAddress },
      }),
    )

  await t.test('is per account, regardless of case', async t => {
    t.match(await guess('ana@northlight.example', '192.0.2.1'), { status: 401, limit: 3, remaining: 2 })
    t.match(await guess('Ana@northlight.example', '192.0.2.2'), { status: 401, remaining: 1 })
    t.match(await guess('ANA@northlight.example', '192.0.2.3'), { status: 401, remaining: 0 })
    const refused = await guess('ana@northlight.example', '192.0.2.4')
    t.match(refused, { status: 429, limit: 3, remaining: 0 })
    t.ok(refused.retryAfter !== undefined && refused.retryAfter > 0 && refused.retryAfter <= 60)
  })

  await t.test('cannot be evaded by spelling the account differently', async t => {
    for (const [n, status] of [401, 401, 401, 429].entries()) {
      const email = `iris.${'MORE'.slice(0, n)}${'more'.slice(n)}@Northlight.example`
      t.match(await guess(email, `192.0.2.${n + 20}`), { status })
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
      t.match(await guess(email, '192.0.2.30'), { status: 400 }, JSON.stringify(email))
  })

  await t.test('is per address too, and the response reports the one that is reached first', async t => {
    t.match(await guess('ben@northlight.example', '192.0.2.9'), { status: 401, remaining: 2 })
    t.match(await guess('chiara@northlight.example', '192.0.2.9'), { status: 401, remaining: 1 })
    t.match(await guess('dov@northlight.example', '192.0.2.9'), { status: 401, remaining: 0 })
    t.match(await guess('erin@northlight.example', '192.0.2.9'), { status: 429, limit: 3, remaining: 0 })
    t.match(await guess('erin@northlight.example', '192.0.2.10'), { status: 401, remaining: 2 })
  })

  await t.test('treats an IPv6 network as one address', async t => {
    for (const [n, remaining] of [2, 1, 0].entries())
      t.match(await guess(`gro${n}@harbourstage.example`, `2001:db8:0:1::${n}`), { status: 401, remaining })
    t.match(await guess('gro3@harbourstage.example', '2001:db8:0:1:ffff::1'), { status: 429 })
    t.match(await guess('gro3@harbourstage.example', '2001:db8:0:2::1'), { status: 401, remaining: 2 })
  })

  await t.test('is per member, when a password is changed', async t => {
    const owner = await register(server, 'Ana')
    const member = await join(server, owner, 'viewer')
    const change = async ({ token }: Person, from: string) =>
      limitOf(
        await call('POST /api/auth/password/change', {
          token,
          body: { current_password: 'guessed', new_password: 'long enough to be one' },
          headers: { 'x-forwarded-for': from },
        }),
      )
    for (const n of [1, 2, 3]) t.match(await change(owner, `198.51.100.${n}`), { status: 403 })
    t.match(await change(owner, '198.51.100.4'), { status: 429 })
    t.match(await change(member, '198.51.100.5'), { status: 403 })
  })
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
    const { call } = await startServer(t, { SIGN_IN_LIMIT: '3', TRUST_PROXY: proxies })
    for (const [n, status] of [401, 401, 401, 429].entries()) {
      const answer = await call('POST /api/auth/sign-in', {
        body: { email: `hana${n}@harbourstage.example`, password: 'guessed' },
        headers: { 'x-forwarded-for': forwarded(n) },
      })
      t.equal(answer.status, status, `TRUST_PROXY=${proxies}`)
    }
  }
})
