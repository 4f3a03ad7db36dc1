import { spawnSync } from 'node:child_process'
import { t } from '../support/tap.ts'
import { secretOf } from '../isolation/world.ts'
import { aShow, password, register, signIn, startServer, superadmin } from '../support/helper.ts'
import { programArgs, root } from '../support/program.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Events {
  items: { action: string; actor_kind: string; actor_id: string; changes: { new: Record<string, unknown> } }[]
}

t.test('superadmins', async t => {
  const server = await startServer(t)
  const { call, db, app, config } = server
  const ana = await register(server, 'Ana', 'Northlight')
  const eve = await register(server, 'Eve', 'Elsewhere')
  const { body: show } = await call<{ id: string }>('POST /api/shows', { token: ana.token, body: aShow })
  const usesIn = async (organization: string) =>
    db.admin<{ request: string; reason: string; actor_id: string; actor_kind: string }[]>`
      select changes -> 'new' ->> 'request' as request, changes -> 'new' ->> 'reason' as reason, actor_id, actor_kind
      from app.event_log where organization_id = ${organization} and action = 'auth.superadmin.used' order by id`

  await t.test(
    'can read an organization they have a grant for, which sees that they did, and why',
    async t => {
      const sam = await superadmin(server, await register(server, 'Sam'), ana.organization, {
        reason: 'Ticket 4711',
      })
      t.match(claimsOf(sam.token), { scope: 'superadmin', role: 'superadmin', org: ana.organization })
      t.match((await call(`GET /api/shows/${show.id}`, { token: sam.token })).body, { title: aShow.title })
      t.equal((await call('GET /api/invitations', { token: sam.token })).status, 200)
      t.equal((await call('GET /api/audit/events', { token: sam.token })).status, 200)
      t.match(await usesIn(ana.organization), [
        {
          request: `GET /api/shows/${show.id}`,
          reason: 'Ticket 4711',
          actor_id: sam.id,
          actor_kind: 'support',
        },
        { request: 'GET /api/invitations' },
        { request: 'GET /api/audit/events' },
      ])
      const { body } = await call<Events>('GET /api/audit/events?action=auth.superadmin.used', {
        token: ana.token,
      })
      t.equal(body.items.length, 3, 'the organization sees it in its own log')
      const granted = await call<Events>('GET /api/audit/events?action=auth.superadmin.granted', {
        token: ana.token,
      })
      t.match(granted.body.items, [{ actor_kind: 'system', changes: { new: { reason: 'Ticket 4711' } } }])
    },
  )

  await t.test('can write only if the grant says so', async t => {
    const reader = await superadmin(server, await register(server, 'Sam'), ana.organization)
    const change = (token: string) =>
      call(`PATCH /api/shows/${show.id}`, { token, body: { title: 'Changed' } }).then(outcome)
    t.equal(await change(reader.token), '403 permission_denied')
    const writer = await superadmin(server, await register(server, 'Sue'), ana.organization, {
      mayWrite: true,
    })
    t.equal(await change(writer.token), '200')
    const { body } = await call<Events>('GET /api/audit/events?action=show.update', { token: ana.token })
    t.match(body.items, [{ actor_kind: 'support', actor_id: writer.id }])
  })

  await t.test('get nowhere with a grant for another organization, or with none', async t => {
    const sam = await register(server, 'Sam')
    const token = (organization_id: string | null) =>
      call('POST /api/support/token', { token: sam.token, body: { organization_id } }).then(outcome)
    for (const organization of [ana.organization, null, '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111'])
      t.equal(await token(organization), '403 support_grant_needed')
    const { token: granted } = await superadmin(server, sam, ana.organization)
    t.equal(await token(eve.organization), '403 support_grant_needed')
    t.equal(await token(null), '403 support_grant_needed')
    t.equal(
      outcome(await call('GET /api/support/organizations', { token: granted })),
      '403 support_grant_needed',
    )
    const elsewhere = app.jwt.sign({ ...app.jwt.decode<object>(granted), org: eve.organization } as never)
    t.equal(outcome(await call('GET /api/shows', { token: elsewhere })), '403 support_grant_needed')
    t.equal((await usesIn(eve.organization)).length, 0, 'and no use is recorded')
  })

  await t.test('are locked out with the next request once the grant, or the session, has ended', async t => {
    const read = (token: string) => call(`GET /api/shows/${show.id}`, { token }).then(outcome)
    const revoked = await superadmin(server, await register(server, 'Sam'), ana.organization)
    t.equal(await read(revoked.token), '200')
    await db.admin`select app_private.revoke_support(${revoked.grant})`
    t.equal(await read(revoked.token), '403 support_grant_needed')
    const expired = await superadmin(server, await register(server, 'Sam'), ana.organization)
    await db.admin`update app_private.support_grants set created_at = now() - interval '2 hours', expires_at = now() where id = ${expired.grant}`
    t.equal(await read(expired.token), '403 support_grant_needed')
    const gone = await superadmin(server, await register(server, 'Sam'), ana.organization)
    await call('POST /api/auth/sign-out', { token: gone.token })
    t.equal(await read(gone.token), '401 session_revoked')
  })

  await t.test('can list all organizations, in pages, including deleted ones', async t => {
    const dan = await register(server, 'Dan', 'Doomed')
    await call(`DELETE /api/organizations/${dan.organization}`, { token: dan.token })
    const sam = await superadmin(server, await register(server, 'Sam'), null)
    const names: string[] = []
    let cursor = ''
    do {
      const { body } = await call<{
        items: { name: string; deleted_at: string | null }[]
        next_cursor: string | null
      }>(`GET /api/support/organizations?limit=2${cursor}`, { token: sam.token })
      names.push(...body.items.map(({ name }) => name))
      cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`
    } while (cursor !== '')
    const all = await db.admin<{ name: string }[]>`select name from app.organizations order by name, id`
    t.strictSame(
      names,
      all.map(({ name }) => name),
    )
    const found = await call<{ items: object[] }>('GET /api/support/organizations?q=doom', {
      token: sam.token,
    })
    t.match(found.body.items, [{ name: 'Doomed', deleted_at: String, members: 0 }])
    t.equal(
      outcome(await call('GET /api/support/organizations?cursor=WzFd', { token: sam.token })),
      '400 invalid_cursor',
    )
    t.equal((await usesIn('00000000-0000-0000-0000-000000000000')).length > 0, true)
  })

  await t.test('are told to name an organization where one is needed', async t => {
    const sam = await superadmin(server, await register(server, 'Sam'), null)
    t.match(claimsOf(sam.token), { role: 'superadmin', org: null })
    const { status, body } = await call('GET /api/shows', { token: sam.token })
    t.match(
      { status, ...body },
      { status: 403, type: '/problems/no_organization', detail: /organization_id/ },
    )
  })

  await t.test('can set an organization’s limit, which its log records', async t => {
    const path = `/api/support/organizations/${ana.organization}/rate-limit` as const
    const set = (token: string, body: object) =>
      call(`PUT ${path}`, {
        token,
        body: { requests: null, window_seconds: null, block_seconds: null, ...body },
      })
    const reader = await superadmin(server, await register(server, 'Sam'), ana.organization)
    t.equal(outcome(await set(reader.token, { requests: 7 })), '403 permission_denied')
    const writer = await superadmin(server, await register(server, 'Sue'), ana.organization, {
      mayWrite: true,
    })
    t.match((await set(writer.token, { requests: 7, block_seconds: 3 })).body, {
      requests: 7,
      window_seconds: null,
      block_seconds: 3,
    })
    t.match((await set(writer.token, { requests: 9 })).body, { requests: 9, block_seconds: null })
    const { body } = await call<Events>('GET /api/audit/events?resource_type=rate_limit', {
      token: ana.token,
    })
    t.match(
      body.items.map(({ action, actor_kind }) => [action, actor_kind]),
      [
        ['rate_limit.update', 'support'],
        ['rate_limit.create', 'support'],
      ],
    )
    for (const sql of [db.as('callboard_api'), db.as('callboard_support')])
      await t.rejects(
        sql.begin(async tx => {
          await tx`select app.enter(${secretOf(ana)}, ${ana.organization})`
          await tx`select app.set_rate_limit('{"requests": 1000000}')`
        }),
        { message: /permission denied for function|permission_denied/ },
        'which an owner cannot',
      )
    await db.admin`delete from app.rate_limits`
  })

  await t.test('are limited as persons, not by the organization they enter', async t => {
    const small = await startServer(t, { RATE_LIMIT: '3' })
    const owner = await register(small, 'Olga')
    const sam = await superadmin(small, await register(small, 'Sam'), owner.organization)
    const ask = (token: string) => small.call('GET /api/shows', { token }).then(outcome)
    for (let n = 0; n < 3; n += 1) t.equal(await ask(owner.token), '200')
    t.equal(await ask(owner.token), '429 rate_limited')
    for (let n = 0; n < 2; n += 1) t.equal(await ask(sam.token), '200')
    t.equal(await ask(sam.token), '429 rate_limited', 'the first was the request for the token')
  })

  await t.test('are not made by a token that claims so', async t => {
    const sam = await register(server, 'Sam')
    for (const scope of ['superadmin', 'support', '', null, 7]) {
      const token = app.jwt.sign({
        ...app.jwt.decode<object>(sam.token),
        org: ana.organization,
        scope,
      } as never)
      t.match(
        outcome(await call('GET /api/shows', { token })),
        /^(403 support_grant_needed|401 unauthorized)$/,
        String(scope),
      )
    }
    const { token } = await superadmin(server, sam, ana.organization)
    const stripped = app.jwt.sign({ ...app.jwt.decode<object>(token), scope: undefined } as never)
    t.equal(outcome(await call('GET /api/shows', { token: stripped })), '403 membership_revoked')
  })

  await t.test('enter through a function that the API’s login may not call', async t => {
    const sam = await superadmin(server, await register(server, 'Sam'), ana.organization)
    const api = db.as('callboard_api')
    for (const statement of [
      api`select app.enter_support(${secretOf(sam)}, ${ana.organization}, null, null)`,
      api`select app.use_support(${secretOf(sam)}, ${ana.organization}, 'x', null, null)`,
      api`select app.support_token(${secretOf(sam)}, ${ana.organization})`,
      api`select app.list_all_organizations(null, null, 10)`,
      api`select app_private.grant_support('x', 'x', now())`,
      api`set role callboard_support`,
    ])
      await t.rejects(statement, { code: '42501' })
  })

  await t.test('see nothing with their login alone', async t => {
    const sql = db.as('callboard_support')
    for (const table of ['app.shows', 'app.organizations', 'app.memberships', 'app.event_log'])
      t.equal((await sql.unsafe(`select from ${table}`)).count, 0, table)
    await t.rejects(sql`select app.list_all_organizations(null, null, 10)`, {
      message: 'support_grant_needed',
    })
    await t.rejects(sql`select from app_private.support_grants`, { code: '42501' })
  })

  const run = (script: string, args: string[], env: Record<string, string>, input = '') => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...programArgs(`scripts/support/${script}.ts`), ...args],
      {
        cwd: root,
        env: { PATH: process.env['PATH'] ?? '', ...env },
        input,
        encoding: 'utf8',
      },
    )
    return { status, stdout, stderr }
  }

  await t.test('are granted, listed and revoked by a DBA’s script', async t => {
    const sam = await register(server, 'Sam')
    const env = { MIGRATOR_DATABASE_URL: db.url('callboard_migrator') }
    const grant = (...args: string[]) => run('support-grant', args, env)
    const [{ slug } = { slug: '' }] = await db.admin<{ slug: string }[]>`
      select slug from app.organizations where id = ${ana.organization}`
    const made = grant('--user', sam.email, '--reason', 'Ticket 12', '--hours', '2', '--org', slug)
    t.equal(made.status, 0, made.stderr)
    const id = /[0-9a-f-]{36}/.exec(made.stdout)?.[0] ?? ''
    t.match(grant('--list').stdout, new RegExp(`${id}.*Ticket 12.*read.*live`))

    const look = (more: string[] = [], secret = password) =>
      run(
        'support',
        ['--user', sam.email, '--org', slug, ...more],
        { SUPPORT_DATABASE_URL: db.url('callboard_support') },
        `${secret}\n`,
      )
    const seen = look()
    t.equal(seen.status, 0, seen.stderr)
    const byId = run(
      'support',
      ['--user', sam.email, '--org-id', ana.organization],
      { SUPPORT_DATABASE_URL: db.url('callboard_support') },
      `${password}\n`,
    )
    t.match(byId, { status: 0, stdout: /Northlight/ }, 'by its id as by its slug')
    const change = [
      '--write',
      '--sql',
      `update app.shows set title = 'Changed' where id = '${show.id}' returning title`,
    ]
    t.match(look(change), { status: 1, stderr: /for reading only/ })
    t.match(look(change.slice(0, 1)), { status: 2 }, 'an overview writes nothing')
    t.equal(
      grant(
        '--user',
        sam.email,
        '--reason',
        'Ticket 13',
        '--hours',
        '2',
        '--org-id',
        ana.organization,
        '--write',
      ).status,
      0,
    )
    t.match(look(change), { status: 0, stdout: /Changed/ })
    await db.admin`update app_private.support_grants set revoked_at = now() where user_id = ${sam.id} and may_write`
    t.match(JSON.parse(seen.stdout), { name: 'Northlight', shows: { inquiry: 1 } })
    t.match((await usesIn(ana.organization)).at(-1), { request: 'npm run support', reason: 'Ticket 13' })
    t.match(look(['--sql', 'select count(*)::int as n from app.shows']).stdout, '"n": 1')
    t.match(look(['--sql', `update app.shows set title = 'x'`]).stderr, 'read-only transaction')
    t.match(look([], 'a wrong password').stderr, 'The email address or the password is wrong.')

    t.equal(grant('--revoke', id).status, 0)
    t.match(grant('--list').stdout, new RegExp(`${id}.*revoked`))
    t.match(look(), { status: 1, stderr: /^(Password: )?This needs an active grant/ })
    for (const [args, complaint] of [
      [[], 'Usage'],
      [['--user', 'nobody@example.com', '--reason', 'x', '--hours', '1'], 'There is no account'],
      [
        ['--user', sam.email, '--reason', 'x', '--hours', '1', '--org', 'no-such'],
        'There is no organization',
      ],
      [['--user', sam.email, '--reason', 'x', '--hours', '0'], 'Usage'],
      [['--revoke', id], 'There is no such grant'],
    ] as const)
      t.match(
        grant(...args),
        { status: complaint === 'Usage' ? 2 : 1, stderr: new RegExp(complaint) },
        args.join(' '),
      )
    for (const reason of [' ', '\u200b', '\u{e0041}'])
      await t.rejects(
        db.admin`select app_private.grant_support(${sam.email}, ${reason}, now() + interval '1 hour')`,
        /support_grants_reason_given/,
        'a reason that shows nothing',
      )
  })

  await t.test('cannot enter where the server has no connection for them', async t => {
    const { buildApp } = await import('../../src/app.ts')
    const alone = await buildApp({
      config,
      pool: server.pool,
      exportPool: server.exportPool,
      jwtSecret: config.JWT_SECRET ?? '',
    })
    t.teardown(() => alone.close())
    const { token } = await signIn(server, ana.email)
    const answer = await alone.inject({
      method: 'POST',
      url: '/api/support/token',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      payload: { organization_id: null },
    })
    t.match(answer.json(), { status: 403, detail: 'This server does not admit superadmins.' })
  })
})
