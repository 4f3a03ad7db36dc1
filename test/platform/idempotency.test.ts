import { t } from '../support/tap.ts'
import { type Answer, aShow, confirmed, join, register, startServer } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

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

  await t.test('every POST within an organization accepts a key', async t => {
    const { paths = {} } = app.swagger() as { paths?: Record<string, Record<string, Operation>> }
    const without = Object.entries(paths).filter(
      ([path, { post: operation }]) =>
        operation?.['x-permission'] !== undefined &&
        // It cannot be entered: it is deleted.
        path !== '/api/organizations/{id}/restore' &&
        !operation.parameters?.some(({ name }) => name === 'idempotency-key'),
    )
    t.strictSame(
      without.map(([path]) => path),
      [],
    )
  })
})
