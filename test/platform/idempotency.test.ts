import { createHash, randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { type Answer, aShow, confirmed, join, mailedToken, register, startServer } from '../support/helper.ts'
import { make } from '../support/make.ts'
import { settling } from '../support/settling.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

/** What enters the books, now or later; with what it belongs to. */
const booked = [
  ...['deposits', 'ticket-tiers', 'settlement-templates'],
  ...['finance-records', 'budget-lines', 'per-diems', 'expenses'],
]

interface Row extends Record<string, unknown> {
  id: string
}
interface List {
  items: Row[]
}
interface Operation {
  parameters?: { name: string }[]
  'x-permission'?: string
}

t.test('Idempotency-Key', async t => {
  const server = await startServer(t)
  const { app, call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const aVenue = { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'Europe/Amsterdam' }
  const post = (path: string, key: string, body?: unknown, as = token) =>
    call<Row>(`POST ${path}`, {
      token: as,
      headers: { 'idempotency-key': key },
      ...(body !== undefined && { body }),
    })
  const count = async (title: string, as = token) =>
    (await call<List>(`GET /api/shows?limit=200&q=${title}`, { token: as })).body.items.length
  const shape = ({ status, text, headers }: Answer<Row>) => ({
    status,
    text,
    etag: headers['etag'],
    location: headers['location'],
    type: headers['content-type'],
  })

  await t.test('a repeated request gets the first response again and does nothing', async t => {
    const member = await confirmed(server, await register(server, 'Mia'))
    const creations: [path: string, body: object][] = [
      ['/api/shows', { ...aShow, title: 'Replayed', fee_minor: Number.MAX_SAFE_INTEGER, currency: 'EUR' }],
      ['/api/venues', aVenue],
      ['/api/invitations', { email: 'new@example.com', role: 'viewer' }],
      ['/api/users', { email: member.email, display_name: 'Mia', role: 'viewer' }],
    ]
    for (const [path, body] of creations) {
      const first = await post(path, `key~of-${path}!`, body)
      t.equal(first.status, 201, path)
      for (let again = 0; again < 3; again++) {
        const replayed = await post(path, `key~of-${path}!`, body)
        t.strictSame(shape(replayed), shape(first), path)
      }
    }
    t.equal(await count('Replayed'), 1)
    const mails = await db.admin`select from app_private.mails where to_address = 'new@example.com'`
    t.equal(mails.length, 1, 'no second mail')
  })

  await t.test('the first response stays, whatever became of the row', async t => {
    const first = await post('/api/shows', 'stays', aShow)
    await call(`PATCH /api/shows/${first.body.id}`, { token, body: { title: 'Changed' } })
    t.strictSame(shape(await post('/api/shows', 'stays', aShow)), shape(first))
    await call(`DELETE /api/shows/${first.body.id}`, { token })
    t.strictSame(shape(await post('/api/shows', 'stays', aShow)), shape(first))
  })

  await t.test('commands on a row are replayed too', async t => {
    const { id } = (await call<Row>('POST /api/shows', { token, body: aShow })).body
    await call(`DELETE /api/shows/${id}`, { token })
    const first = await post(`/api/shows/${id}/restore`, 'restore')
    t.equal(first.status, 200)
    t.strictSame(shape(await post(`/api/shows/${id}/restore`, 'restore')), shape(first))
    t.equal(outcome(await post(`/api/shows/${id}/restore`, 'restore-2')), '404 not_found')

    // It could not be done a second time, yet the first response is returned.
    const heir = await join(server, ana, 'admin')
    const path = `/api/organizations/${ana.organization}/transfer`
    const handed = await post(path, 'transfer', { user_id: heir.id })
    t.equal(handed.status, 200)
    t.strictSame(shape(await post(path, 'transfer', { user_id: heir.id })), shape(handed))
    t.equal(
      outcome(await post(path, 'transfer-2', { user_id: heir.id })),
      '403 permission_denied',
      'a new key is a new request',
    )
    await call(`POST ${path}`, { token: heir.token, body: { user_id: ana.id } })
  })

  await t.test('the same key for a different request is refused', async t => {
    await post('/api/shows', 'once', aShow)
    const others: [path: string, body: object][] = [
      ['/api/shows', { ...aShow, title: 'Another' }],
      ['/api/shows', { ...aShow, notes: null }],
      ['/api/venues', aVenue],
    ]
    for (const [path, body] of others)
      t.equal(outcome(await post(path, 'once', body)), '409 idempotency_key_reused', JSON.stringify(body))
    t.equal(await count('Another'), 0)
    t.equal((await post('/api/shows', 'once', aShow)).status, 201, 'and still belongs to the first')
  })

  await t.test('a key belongs to a user in one organization', async t => {
    const colleague = await join(server, ana, 'manager')
    const ben = await register(server, 'Ben')
    const answers = [
      await post('/api/shows', 'shared', { ...aShow, title: 'Shared1' }),
      await post('/api/shows', 'shared', { ...aShow, title: 'Shared2' }, colleague.token),
      await post('/api/shows', 'shared', { ...aShow, title: 'Shared3' }, ben.token),
    ]
    t.strictSame(answers.map(outcome), ['201', '201', '201'])
    t.equal(new Set(answers.map(({ body }) => body.id)).size, 3)
    const second = await call<{ id: string }>('POST /api/organizations', { token, body: { name: 'Second' } })
    const switched = await call<{ access_token: string }>('POST /api/auth/switch', {
      token,
      body: { organization_id: second.body.id },
    })
    const there = await post(
      '/api/shows',
      'shared',
      { ...aShow, title: 'Shared4' },
      switched.body.access_token,
    )
    t.equal(outcome(there), '201', 'the same user elsewhere')
    t.equal(await count('Shared'), 2)
    t.equal(await count('Shared', switched.body.access_token), 1)
  })

  await t.test('of twenty requests at once, one is carried out, and all get its response', async t => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post('/api/shows', 'parallel', { ...aShow, title: 'Parallel' })),
    )
    t.equal(answers[0]?.status, 201)
    for (const answer of answers) t.strictSame(shape(answer), answers[0] && shape(answers[0]))
    t.equal(await count('Parallel'), 1)
  })

  await t.test('of eight requests at once to create or book anything, one is carried out', async t => {
    const ben = await register(server, 'Ben')
    const dov = await join(server, ben, 'manager')
    const sent = new Map<string, Answer<Row>[]>()
    const eightfold: typeof call = async (request, given) => {
      if (!request.startsWith('POST ')) return call(request, given)
      const headers = { 'idempotency-key': randomUUID() }
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => call<Row>(request, { ...given, headers })),
      )
      sent.set(request, answers)
      return answers[0] as never
    }
    const crowd = { ...server, call: eightfold }
    const among: Record<string, string> = {}
    for (const kind of booked) await make(crowd, dov, kind, { among })
    const { show500, record, finalize } = settling(crowd, ben.token)
    const show = await show500({ kind: 'flat', guarantee_minor: 250_000, currency: 'USD' })
    t.equal((await finalize((await record(show)).body.id)).status, 200)
    await eightfold(`POST /api/per-diems/${among['per-diems']}/approve`, { token: ben.token, body: {} })
    await eightfold(`POST /api/expenses/${among['expenses']}/submit`, { token: dov.token })
    await eightfold(`POST /api/expenses/${among['expenses']}/approve`, {
      token: ben.token,
      body: { exchange_rate: 1.1 },
    })
    for (const [request, answers] of sent) {
      t.ok((answers[0]?.status ?? 500) < 300, `${request} ${answers[0]?.text}`)
      t.equal(new Set(answers.map(answer => JSON.stringify(shape(answer)))).size, 1, request)
    }
    const events = await server.db.admin`
      select action, resource_id, count(*)::integer as events from app.event_log
      where organization_id = ${ben.organization} and action ~ '[.](create|record|finalize|approve)$' and actor_id in (${ben.id}, ${dov.id})
      group by 1, 2 having count(*) > 1`
    t.strictSame([...events], [], 'no event is there twice')
  })

  await t.test('of twenty different requests at once with one key, one is carried out', async t => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => post('/api/shows', 'race', { ...aShow, title: `Race${n}` })),
    )
    t.strictSame(answers.map(outcome).sort(), [
      '201',
      ...Array<string>(19).fill('409 idempotency_key_reused'),
    ])
    t.equal(await count('Race'), 1)
  })

  await t.test('a failed request leaves its key free', async t => {
    const viewer = await join(server, ana, 'viewer')
    const failures: [expected: string, body: object, as: string][] = [
      ['400 validation', { ...aShow, title: 5 }, token],
      ['400 invalid_value', { ...aShow, show_on: '0000-01-01' }, token],
      ['409 shows_venue_exists', { ...aShow, venue_id: '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111' }, token],
      ['422 shows_fee_with_currency', { ...aShow, fee_minor: 1 }, token],
      ['403 permission_denied', aShow, viewer.token],
    ]
    for (const [expected, body, as] of failures)
      t.equal(outcome(await post('/api/shows', 'failed', body, as)), expected)
    t.equal((await post('/api/shows', 'failed', { ...aShow, title: 'Mended' })).status, 201)
    await call(`PATCH /api/users/${viewer.id}`, { token, body: { role: 'manager' } })
    t.equal((await post('/api/shows', 'failed', aShow, viewer.token)).status, 201)
  })

  await t.test('twenty failing requests at once do not block each other', async t => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        post('/api/shows', 'mixed', n % 4 ? { ...aShow, fee_minor: 1 } : { ...aShow, title: 'Mixed' }),
      ),
    )
    const outcomes = answers.map(outcome)
    t.strictSame(
      outcomes.filter((_, n) => n % 4 === 0),
      Array<string>(5).fill('201'),
    )
    t.ok(
      outcomes.every(
        (o, n) => n % 4 === 0 || ['422 shows_fee_with_currency', '409 idempotency_key_reused'].includes(o),
      ),
    )
    t.equal(await count('Mixed'), 1)
  })

  await t.test('after a day the key is free again', async t => {
    const first = await post('/api/shows', 'old', aShow)
    const age = (interval: string) => db.admin`
      update app.idempotency_keys set created_at = now() - ${interval}::text::interval where key = 'old'`
    await age('23 hours 59 minutes')
    t.equal((await post('/api/shows', 'old', aShow)).body.id, first.body.id)
    await age('24 hours 1 second')
    const other = await post('/api/shows', 'old', { ...aShow, title: 'Next day' })
    t.equal(other.status, 201)
    t.not(other.body.id, first.body.id)
    const replayed = await post('/api/shows', 'old', { ...aShow, title: 'Next day' })
    t.strictSame(shape(replayed), shape(other), 'and belongs to the new request')
    t.equal(outcome(await post('/api/shows', 'old', aShow)), '409 idempotency_key_reused')
  })

  await t.test('an invalid key is refused', async t => {
    for (const key of ['x'.repeat(201), 'two words', 'naïve', ''])
      t.equal(outcome(await post('/api/shows', key, aShow)), '400 validation', key)
    t.equal((await post('/api/shows', 'x'.repeat(200), aShow)).status, 201)
  })

  await t.test('a request without a key is carried out each time', async t => {
    for (let n = 0; n < 2; n++) await call('POST /api/shows', { token, body: { ...aShow, title: 'Keyless' } })
    t.equal(await count('Keyless'), 2)
  })

  await t.test('the same fields in another order are the same request', async t => {
    const [name, ...rest] = Object.entries({ ...aShow, title: 'Turned' })
    const turned = Object.fromEntries([...rest, name ?? ['', '']])
    const first = await post('/api/shows', 'turned', { ...aShow, title: 'Turned' })
    t.strictSame(shape(await post('/api/shows', 'turned', turned)), shape(first))
    t.equal(await count('Turned'), 1)

    const file = 'title,artist,show_on\nImported,The Gaslights,2030-02-03\n'
    const upload = (query: string) =>
      call<Row>(`POST /api/imports?${query}`, {
        token,
        body: file,
        headers: { 'content-type': 'text/csv', 'idempotency-key': 'upload' },
      })
    const [one, other] = [
      await upload('resource=shows&decimal=comma'),
      await upload('decimal=comma&resource=shows'),
    ]
    t.equal(one.status, 201, one.text)
    t.equal(other.body.id, one.body.id)
  })

  await t.test('twenty requests at once to create an organization create one', async t => {
    const { token } = await register(server, 'Cleo')
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        post('/api/organizations', 'founded', { name: 'Founded Once' }, token),
      ),
    )
    t.equal(answers[0]?.status, 201)
    for (const answer of answers) t.strictSame(shape(answer), answers[0] && shape(answers[0]))
    const [{ n }] = await db.admin<[{ n: number }]>`
      select count(*)::integer as n from app.organizations where name = 'Founded Once'`
    t.equal(n, 1)
    t.equal(
      outcome(await post('/api/organizations', 'founded', { name: 'Another' }, token)),
      '409 idempotency_key_reused',
    )
    t.equal(
      outcome(await post('/api/shows', 'founded', aShow, token)),
      '201',
      'keys of an organization are others',
    )
  })

  await t.test('joining, restoring and asking for a mail outside organizations are replayed', async t => {
    const guest = await confirmed(server, await register(server, 'Gus'))
    await call('POST /api/invitations', { token, body: { email: guest.email, role: 'viewer' } })
    const secret = await mailedToken(server, 'invitation', guest.email)
    const joined = await post('/api/invitations/accept', 'join', { token: secret }, guest.token)
    t.equal(joined.status, 200, joined.text)
    t.strictSame(
      shape(await post('/api/invitations/accept', 'join', { token: secret }, guest.token)),
      shape(joined),
    )

    const dora = await register(server, 'Dora')
    await call(`DELETE /api/organizations/${dora.organization}`, { token: dora.token })
    const restore = `/api/organizations/${dora.organization}/restore`
    const restored = await post(restore, 'restore', undefined, dora.token)
    t.equal(restored.status, 200, restored.text)
    t.strictSame(shape(await post(restore, 'restore', undefined, dora.token)), shape(restored))

    const mails = () => db.admin`select from app_private.mails where to_address = ${dora.email}`
    const before = (await mails()).length
    for (let n = 0; n < 3; n++)
      await post('/api/auth/email/request-verification', 'verify', undefined, dora.token)
    t.equal((await mails()).length, before + 1)

    await call(`DELETE /api/users/${guest.id}`, { token })
    t.equal(
      outcome(await post('/api/invitations/accept', 'join', { token: secret }, guest.token)),
      '403 membership_revoked',
      'what it said is not true any more',
    )
  })

  await t.test('a response is repeated to those who still hold what they held', async t => {
    const member = await join(server, ana, 'manager')
    const role = (name: string) => call(`PATCH /api/users/${member.id}`, { token, body: { role: name } })
    const first = await post('/api/shows', 'held', aShow, member.token)
    t.equal(first.status, 201)
    await role('viewer')
    const refused = await post('/api/shows', 'held', aShow, member.token)
    t.equal(outcome(refused), '403 permission_denied')
    t.match(refused.body, { detail: /^It has been done\./ })
    await role('admin')
    t.strictSame(shape(await post('/api/shows', 'held', aShow, member.token)), shape(first), 'or more')
  })

  await t.test(
    'programs of the release before, beside this one, recognize requests that came alike',
    async t => {
      const hash = createHash('sha256')
        .update(JSON.stringify(['POST', '/api/shows', { ...aShow, title: 'Before' }]))
        .digest()
      const session = claimsOf(token)['sid'] as string
      const before = (key: string) =>
        db.as('callboard_api').begin(async sql => {
          await sql`select app.enter(${session}, ${ana.organization})`
          return [...(await sql`select status from app.claim_key(${key}, ${hash})`)]
        })
      await post('/api/shows', 'beside', { ...aShow, title: 'Before' })
      t.same(await before('beside'), [{ status: 201 }])
      t.same(await before('new'), [])
    },
  )

  await t.test('every POST accepts a key or refuses it', async t => {
    const { paths = {} } = app.swagger() as { paths?: Record<string, Record<string, Operation>> }
    const refusing = Object.entries(paths).filter(
      ([, { post: operation }]) =>
        operation && !operation.parameters?.some(({ name }) => name === 'idempotency-key'),
    )
    for (const [path, { post: operation }] of refusing) {
      t.equal(operation?.['x-permission'], undefined, `${path} is not in an organization`)
      const answer = await post(path.replace(/\{\w+\}/g, randomUUID()), 'refused', {})
      t.equal(outcome(answer), '400 idempotency_key_refused', path)
    }
    t.strictSame(refusing.map(([path]) => path).sort(), [
      '/api/auth/email/verify',
      '/api/auth/password/change',
      '/api/auth/password/forgot',
      '/api/auth/password/reset',
      '/api/auth/refresh',
      '/api/auth/register',
      '/api/auth/sign-in',
      '/api/auth/sign-out',
      '/api/auth/switch',
      '/api/support/token',
    ])
    const nowhere = await post('/api/nowhere', 'key', {})
    t.equal(nowhere.status, 404)
  })
})
