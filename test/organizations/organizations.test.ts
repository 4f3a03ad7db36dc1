import { t } from '../support/tap.ts'
import { join, register, startServer, until } from '../support/helper.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Organization {
  id: string
  name: string
  slug: string
  currency: string
  time_zone: string
}

t.test('organizations', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana', 'Northlight Touring')
  const own = `/api/organizations/${ana.organization}` as const
  const read = () => call<Organization>(`GET ${own}`, { token: ana.token })
  const put = (body: object, headers: Record<string, string> = {}) =>
    call<Organization>(`PUT ${own}`, {
      token: ana.token,
      body: { currency: 'EUR', time_zone: 'UTC', ...body },
      headers,
    })

  await t.test('can be created by anybody who is signed in, who then owns them', async t => {
    const body = { name: 'Southlight', currency: 'EUR', time_zone: 'Europe/Berlin' }
    const created = await call<Organization>('POST /api/organizations', { token: ana.token, body })
    t.equal(created.status, 201)
    t.match(created.body, { ...body, slug: 'southlight' })
    t.equal(created.headers['location'], `/api/organizations/${created.body.id}`)
    t.equal(created.headers['etag'], '"1"')
    const mine = await call('GET /api/organizations', { token: ana.token })
    t.match(mine.body, {
      items: [
        { id: ana.organization, role: 'owner', deleted_at: null },
        { id: created.body.id, name: 'Southlight', role: 'owner', deleted_at: null },
      ],
    })
    const { body: there } = await call<{ access_token: string }>('POST /api/auth/switch', {
      token: ana.token,
      body: { organization_id: created.body.id },
    })
    const seen = await call(`GET /api/organizations/${created.body.id}`, { token: there.access_token })
    t.strictSame([seen.body, seen.headers['etag']], [created.body, '"1"'])
  })

  await t.test('are five a day for one person, also when all are founded at once', async t => {
    const eve = await register(server, 'Eve')
    const found = (name: string) => call('POST /api/organizations', { token: eve.token, body: { name } })
    const all = await Promise.all(Array.from({ length: 9 }, (_, n) => found(`Shell ${n}`)))
    t.strictSame(all.map(outcome).sort(), [
      ...Array<string>(4).fill('201'),
      ...Array<string>(5).fill('409 too_many_foundings'),
    ])
    t.equal(
      outcome(await call('POST /api/organizations', { token: ana.token, body: { name: 'Own' } })),
      '201',
    )
    await server.db.admin`update app_private.foundings set founded_at = now() - interval '25 hours'`
    t.equal(outcome(await found('Tomorrow')), '201')
    const [kept] = await server.db.admin`
      select count(*)::integer as n from app_private.foundings where user_id = ${eve.id}`
    t.equal(kept?.['n'], 1, 'older ones go with the next')
  })

  await t.test('have defaults for omitted fields', async t => {
    const { body } = await call<Organization>('POST /api/organizations', {
      token: ana.token,
      body: { name: 'Plain' },
    })
    t.match(body, { currency: 'USD', time_zone: 'UTC' })
  })

  await t.test('are replaced as a whole, at the version that was read', async t => {
    const before = await read()
    const first = await put(
      { name: 'Northlight', currency: 'GBP', time_zone: 'Europe/London' },
      { 'if-match': String(before.headers['etag']) },
    )
    t.match(first.body, {
      id: ana.organization,
      name: 'Northlight',
      currency: 'GBP',
      time_zone: 'Europe/London',
    })
    t.not(first.headers['etag'], before.headers['etag'])
    t.equal(
      outcome(await put({ name: 'Late' }, { 'if-match': String(before.headers['etag']) })),
      '412 version_mismatch',
    )
    t.strictSame((await read()).body, first.body)
    for (const body of [{ name: 'Northlight' }, { name: 'Northlight', currency: 'EUR' }])
      t.equal(outcome(await call(`PUT ${own}`, { token: ana.token, body })), '400 validation', 'not in part')
    t.strictSame((await read()).body, first.body)
    const { headers } = await read()
    t.equal(
      outcome(await put({ name: 'Northlight' }, { 'if-match': `"0", ${String(headers['etag'])}` })),
      '200',
    )
    t.equal(outcome(await put({ name: 'Northlight' }, { 'if-match': '*' })), '200')
    for (const match of ['"0"', 'W/"1"']) {
      t.equal(outcome(await put({ name: 'Late' }, { 'if-match': match })), '412 version_mismatch', match)
    }
  })

  await t.test('are renamed, and keep their currency and time zone', async t => {
    await put({ name: 'Northlight', currency: 'EUR', time_zone: 'Europe/Berlin' })
    const patch = (body: object) => call<Organization>(`PATCH ${own}`, { token: ana.token, body })
    t.match((await patch({ name: 'Southlight' })).body, {
      name: 'Southlight',
      currency: 'EUR',
      time_zone: 'Europe/Berlin',
    })
    t.match((await patch({ time_zone: 'Europe/Vienna' })).body, { name: 'Southlight', currency: 'EUR' })
    for (const body of [{}, { currency: null }, { slug: 'mine' }])
      t.equal(outcome(await patch(body)), '400 validation', JSON.stringify(body))
    t.equal(outcome(await patch({ currency: 'XXQ' })), '422 organizations_currency_exists')
  })

  await t.test('keep the currency of their books, also against a record that is being entered', async t => {
    const { body: category } = await call<{ id: string }>('POST /api/finance-categories', {
      token: ana.token,
      body: { name: 'Sundries', kind: 'expense' },
    })
    const before = await read()
    const held = await server.db.as('callboard_api').reserve()
    await held`begin`
    await held`select app.enter(${String(claimsOf(ana.token)['sid'])}, ${ana.organization})`
    await held`
      insert into app.finance_records (kind, category_id, booked_on, amount_minor, currency, exchange_rate)
      values ('expense', ${category.id}, '2030-02-03', 100, 'EUR', 1)`
    const changing = call(`PATCH ${own}`, { token: ana.token, body: { currency: 'GBP' } })
    await until(
      async () =>
        (
          await server.db
            .admin`select from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%replace_organization%'`
        ).count === 1,
    )
    await held`commit`
    held.release()
    t.equal(outcome(await changing), '409 organization_has_books')
    t.strictSame((await read()).body, before.body)
    t.equal(
      outcome(await call(`PATCH ${own}`, { token: ana.token, body: { currency: 'EUR', name: 'Renamed' } })),
      '200',
      'the same is no change',
    )
  })

  await t.test('of ten parallel replacements of one version, one succeeds', async t => {
    const { headers } = await read()
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        put({ name: `Name ${n}` }, { 'if-match': String(headers['etag']) }),
      ),
    )
    t.strictSame(all.map(outcome).sort(), ['200', ...Array<string>(9).fill('412 version_mismatch')])
    const [winner] = all.filter(({ status }) => status === 200)
    t.strictSame((await read()).body, winner?.body)
  })

  await t.test('refuse an invalid name, currency or time zone', async t => {
    const before = await read()
    for (const [body, expected] of [
      [{}, '400 validation'],
      [{ name: '' }, '400 validation'],
      [{ name: ' \u00a0 ' }, '400 validation'],
      [{ name: 'a\u0000b' }, '400 validation'],
      [{ name: 'x'.repeat(201) }, '400 validation'],
      [{ name: 'X', slug: 'mine' }, '400 validation'],
      [{ name: 'X', id: ana.organization }, '400 validation'],
      [{ name: 'X', currency: 'eur' }, '400 validation'],
      [{ name: 'X', currency: 'EURO' }, '400 validation'],
      [{ name: 'X', time_zone: 'Mars/Olympus' }, '422 organizations_time_zone_exists'],
      [{ name: 'X', time_zone: 'XYZ+3' }, '422 organizations_time_zone_exists'],
      [{ name: 'Settings' }, '409 slug_reserved'],
    ] as const) {
      t.equal(outcome(await put(body)), expected, JSON.stringify(body))
      const created = await call('POST /api/organizations', { token: ana.token, body })
      t.equal(outcome(created), expected, JSON.stringify(body))
    }
    t.strictSame((await read()).body, before.body)
  })

  await t.test('allow each role only what it may do with the organization', async t => {
    const may = {
      owner: '200',
      admin: '200',
      manager: '403 permission_denied',
      viewer: '403 permission_denied',
    }
    for (const [role, expected] of Object.entries(may)) {
      const { token } = await join(server, ana, role)
      t.equal(outcome(await call(`GET ${own}`, { token })), '200', role)
      t.equal(outcome(await call(`PATCH ${own}`, { token, body: { name: 'Northlight' } })), expected, role)
      if (role === 'owner') continue
      t.equal(outcome(await call(`DELETE ${own}`, { token })), '403 permission_denied', role)
      const transfer = await call(`POST ${own}/transfer`, { token, body: { user_id: ana.id } })
      t.equal(outcome(transfer), '403 permission_denied', role)
    }
  })

  await t.test('another’s organization does not exist', async t => {
    const ben = await register(server, 'Ben', 'Bens Booking')
    const requests = [
      ['GET', ''],
      ['PUT', '', { name: 'Taken over', currency: 'EUR', time_zone: 'UTC' }],
      ['PATCH', '', { name: 'Taken over' }],
      ['DELETE', ''],
      ['POST', '/restore'],
      ['POST', '/transfer', { user_id: ana.id }],
    ] as const
    for (const [method, path, body] of requests) {
      const at = (id: string) => call(`${method} /api/organizations/${id}${path}`, { token: ana.token, body })
      const theirs = await at(ben.organization)
      const unknown = await at('01980c5e-8c5e-7b4a-9d59-3f1de6a3c111')
      t.equal(outcome(theirs), '404 not_found', `${method} ${path}`)
      t.strictSame({ ...unknown.body, instance: '' }, { ...theirs.body, instance: '' })
    }
    t.equal(outcome(await call('GET /api/organizations/bens-booking', { token: ana.token })), '404 not_found')
    t.match((await call(`GET /api/organizations/${ben.organization}`, { token: ben.token })).body, {
      name: 'Bens Booking',
    })
  })
})

t.test('the ownership', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const transfer = (token: string, user_id: string, organization = ana.organization) =>
    call(`POST /api/organizations/${organization}/transfer`, { token, body: { user_id } })

  await t.test('can be handed to another member; the former owner becomes admin', async t => {
    const ben = await join(server, ana, 'viewer')
    const handed = await transfer(ana.token, ben.id)
    t.match(handed.body, { id: ben.id, role: 'owner' })
    t.match((await call(`GET /api/users/${ana.id}`, { token: ben.token })).body, { role: 'admin' })
    t.equal(outcome(await transfer(ana.token, ana.id)), '403 permission_denied')
    t.equal(outcome(await transfer(ben.token, ana.id)), '200')
  })

  await t.test('cannot go to outsiders or to oneself', async t => {
    const [stranger, former] = [await register(server, 'Stan'), await join(server, ana, 'admin')]
    await call(`DELETE /api/users/${former.id}`, { token: ana.token })
    for (const id of [stranger.id, former.id, '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111']) {
      t.equal(outcome(await transfer(ana.token, id)), '404 not_found')
    }
    t.equal(outcome(await transfer(ana.token, ana.id)), '409 already_owner')
    t.match((await call(`GET /api/users/${ana.id}`, { token: ana.token })).body, { role: 'owner' })
  })

  await t.test('may be shared: each of several owners hands over only their own', async t => {
    const [second, third] = [await join(server, ana, 'owner'), await join(server, ana, 'viewer')]
    t.equal(outcome(await transfer(second.token, third.id)), '200')
    const owners = await call<{ items: { id: string }[] }>('GET /api/users?role=owner', { token: ana.token })
    t.strictSame(owners.body.items.map(({ id }) => id).sort(), [ana.id, third.id].sort())
  })
})
