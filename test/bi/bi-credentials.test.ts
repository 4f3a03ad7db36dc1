import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { connectionsOf, verifierOf } from '../../src/bi/connections.ts'
import { connectBi, type Credential, makeCredential, makeProbe } from '../support/bi.ts'
import { join, type Person, register, startServer, superadmin, until } from '../support/helper.ts'
import { programArgs, root } from '../support/program.ts'
import { outcome } from '../support/tokens.ts'

t.test('BI credentials', async t => {
  const server = await startServer(t, { BI_DATABASE_URL: '' })
  const { call, db } = server
  const ana = await register(server, 'Ana', 'Northlight')
  const erin = await register(server, 'Erin', 'Harbour')
  await makeProbe(server, { [ana.organization]: 'of Ana', [erin.organization]: 'of Erin' })
  const { token } = ana
  const titles = async (sql: ReturnType<typeof connectBi>) =>
    (await sql<{ title: string }[]>`select distinct title from analytics.probe`).map(({ title }) => title)
  const read = async ({ id }: Pick<Credential, 'id'>) =>
    (await call(`GET /api/bi-credentials/${id}`, { token })).body
  /** What the worker does every few seconds. */
  const keep = () => db.as('callboard_worker')`select app.reconcile_bi_logins()`
  const revoke = ({ id }: { id: string }, person: Person = ana) =>
    call(`DELETE /api/bi-credentials/${id}`, { token: person.token })
  const roleOf = async (login: string) =>
    (
      await db.admin`
        select rolcanlogin, rolconnlimit, rolvaliduntil, rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication as is_more
        from pg_roles where rolname = ${login}`
    )[0]

  await t.test('one is a login that reads its organization’s figures, and nothing else', async t => {
    const made = await call<Credential>('POST /api/bi-credentials', { token, body: { name: 'Metabase' } })
    t.equal(made.status, 201)
    t.equal(made.headers['cache-control'], 'no-store')
    t.match(made.body, {
      name: 'Metabase',
      login: /^bi_[0-9a-f]{24}$/,
      password: /^[\w-]{43}$/,
      status: 'active',
      connection_limit: 5,
      statement_timeout_seconds: 300,
      created_by: ana.id,
      last_seen_at: null,
    })
    const days = (Date.parse(made.body.expires_at) - Date.now()) / 86_400_000
    t.ok(days > 89 && days <= 90, made.body.expires_at)
    t.equal(made.headers['location'], `/api/bi-credentials/${made.body.id}`)

    t.same(await titles(connectBi(t, made.body)), ['of Ana'])
    t.same(await titles(connectBi(t, await makeCredential(server, erin))), ['of Erin'])
    t.match(await roleOf(made.body.login), { rolcanlogin: true, rolconnlimit: 5, is_more: false })
    await keep()
    t.ok((await read(made.body))['last_seen_at'], 'and its connection is recorded')
    t.equal((await revoke(made.body)).status, 204)
  })

  await t.test('its password is nowhere but in the response', async t => {
    const { id, login, password } = await makeCredential(server, ana)
    t.notMatch((await call(`GET /api/bi-credentials/${id}`, { token })).text, password)
    t.notMatch((await call('GET /api/bi-credentials', { token })).text, password)
    const [kept] = await db.admin<{ stored: string; rows: string }[]>`
      select (select rolpassword from pg_authid where rolname = ${login}) as stored,
        concat((select json_agg(c) from app.bi_credentials c), (select json_agg(l) from app_private.bi_logins l),
          (select json_agg(e) from app.event_log e)) as rows`
    t.notMatch(kept?.rows, password)
    const [, salt = ''] = /^SCRAM-SHA-256\$4096:([^$]+)\$/.exec(kept?.stored ?? '') ?? []
    t.equal(
      kept?.stored,
      await verifierOf(password, Buffer.from(salt, 'base64')),
      'PostgreSQL has its verifier',
    )
    await revoke({ id })
  })

  await t.test(
    'anything but a verifier is refused, because PostgreSQL would take it for a password',
    async t => {
      for (const verifier of [
        'a password',
        'md5d41d8cd98f00b204e9800998ecf8427e',
        `x${await verifierOf('x', Buffer.alloc(16))}`,
      ])
        await t.rejects(
          db.admin`select app_private.make_bi_role(${randomUUID()}, ${verifier}, 1, 1, now())`,
          /not a SCRAM-SHA-256 verifier/,
        )
    },
  )

  await t.test('a repeated request creates no second one, and does not show the password again', async t => {
    const headers = { 'idempotency-key': randomUUID() }
    const ask = (path: string, body: object) =>
      call<Credential>(`POST /api/bi-credentials${path}`, { token, body, headers })
    const [first, second] = [await ask('', { name: 'Once' }), await ask('', { name: 'Once' })]
    t.match([first.status, second.status], [201, 201])
    t.equal(second.body.id, first.body.id)
    t.match(second.body, { password: null, connect: null })

    headers['idempotency-key'] = randomUUID()
    const path = `/${first.body.id}/rotate`
    const [rotated, again] = [await ask(path, {}), await ask(path, {})]
    t.ok(rotated.body.password)
    t.match(again.body, { password: null, connect: null })
    t.same(await titles(connectBi(t, rotated.body)), ['of Ana'], 'the password that was shown is valid')
    await revoke(first.body)
  })

  await t.test('revoking ends open connections, at once and for good', async t => {
    const made = await makeCredential(server, ana)
    const sql = connectBi(t, made)
    t.same(await titles(sql), ['of Ana'])
    const running = sql`select pg_sleep(30)`.then(
      () => 'it continued',
      (error: unknown) => (error as { code: string }).code,
    )
    await until(
      async () =>
        (
          await db.admin`select from pg_stat_activity where usename = ${made.login} and wait_event = 'PgSleep'`
        ).count === 1,
    )
    t.equal((await revoke(made)).status, 204)
    t.match(await running, /^(57P01|CONNECTION_CLOSED)$/)
    await t.rejects(titles(connectBi(t, made)), { code: '28000' }, 'nothing can connect any more')
    t.match(await read(made), { status: 'revoked', revoked_by: ana.id })
    await keep()
    t.equal(await roleOf(made.login), undefined, 'its role is dropped')
    t.equal(outcome(await revoke(made)), '409 bi_credential_revoked')
    t.equal(
      outcome(await call(`POST /api/bi-credentials/${made.id}/rotate`, { token, body: {} })),
      '409 bi_credential_revoked',
    )
  })

  await t.test('a connection that outlives its credential sees nothing, even if nobody ends it', async t => {
    const made = await makeCredential(server, ana)
    const sql = connectBi(t, made)
    t.same(await titles(sql), ['of Ana'])
    await db.admin`update app.bi_credentials set revoked_at = now() where id = ${made.id}`
    t.same(await titles(sql), [])
    await db.admin`update app.bi_credentials set revoked_at = null where id = ${made.id}`
    t.same(await titles(sql), ['of Ana'])
    await revoke(made)
  })

  await t.test('rotating gives a new password and ends connections opened with the old one', async t => {
    const made = await makeCredential(server, ana, { expires_in_days: 3 })
    const sql = connectBi(t, made)
    t.same(await titles(sql), ['of Ana'])
    const { body: rotated } = await call<Credential>(`POST /api/bi-credentials/${made.id}/rotate`, {
      token,
      body: { expires_in_days: 30 },
    })
    await t.rejects(titles(sql))
    await t.rejects(titles(connectBi(t, made)), { code: '28P01' })
    t.equal(rotated.login, made.login)
    t.ok(Date.parse(rotated.expires_at) > Date.parse(made.expires_at))
    t.same(await titles(connectBi(t, rotated)), ['of Ana'])
    await keep()
    t.same(await titles(connectBi(t, rotated)), ['of Ana'], 'and those opened with the new one stay')
    await revoke(made)
  })

  await t.test('rotating keeps the end, unless asked otherwise', async t => {
    const made = await makeCredential(server, ana, { expires_in_days: 30 })
    const rotate = async (body: object) =>
      (await call<Credential>(`POST /api/bi-credentials/${made.id}/rotate`, { token, body })).body
    const untilOf = async () => {
      const [role] = await db.admin<
        [{ until: Date }]
      >`select rolvaliduntil as until from pg_roles where rolname = ${made.login}`
      return role.until.getTime()
    }
    const end = await untilOf()
    t.equal((await rotate({})).expires_at, made.expires_at)
    t.equal(await untilOf(), end, 'so does PostgreSQL')
    const { expires_at } = await rotate({ expires_in_days: 7 })
    const days = (Date.parse(expires_at) - Date.now()) / 86_400_000
    t.ok(days > 6.9 && days <= 7, expires_at)
    await revoke(made)
  })

  await t.test('one expires, even for open connections, and can be rotated', async t => {
    const made = await makeCredential(server, ana)
    const sql = connectBi(t, made)
    t.same(await titles(sql), ['of Ana'])
    await db.admin`
      update app.bi_credentials set expires_at = now() - interval '1 second', created_at = now() - interval '1 day' where id = ${made.id}`
    t.same(await titles(sql), [])
    await keep()
    await t.rejects(titles(sql))
    await t.rejects(titles(connectBi(t, made)), { code: '28000' })
    t.equal((await read(made))['status'], 'expired')
    const { body: rotated } = await call<Credential>(`POST /api/bi-credentials/${made.id}/rotate`, {
      token,
      body: {},
    })
    t.same(await titles(connectBi(t, rotated)), ['of Ana'])
    t.ok(Date.parse(rotated.expires_at) > Date.now() + 89 * 86_400_000, 'for 90 days')

    // PostgreSQL itself also checks the expiry, where no worker runs.
    await db.admin.unsafe(`alter role ${made.login} valid until '2020-01-01'`)
    await t.rejects(titles(connectBi(t, rotated)), { code: '28P01' })
    await revoke(made)
  })

  await t.test(
    'a deleted organization has none, and a restored one has those that were not revoked',
    async t => {
      const made = await makeCredential(server, erin)
      const revoked = await makeCredential(server, erin)
      await revoke(revoked, erin)
      const sql = connectBi(t, made)
      t.same(await titles(sql), ['of Erin'])
      const path = `/api/organizations/${erin.organization}`
      t.equal((await call(`DELETE ${path}`, { token: erin.token })).status, 204)
      t.same(await titles(sql), [], 'from the next statement on')
      await keep()
      await t.rejects(titles(sql))
      await t.rejects(titles(connectBi(t, made)), { code: '28000' })

      t.equal((await call(`POST ${path}/restore`, { token: erin.token })).status, 200)
      await keep()
      t.same(await titles(connectBi(t, made)), ['of Erin'])
      await t.rejects(titles(connectBi(t, revoked)))
      await revoke(made, erin)
    },
  )

  await t.test('the roles of a purged organization are dropped', async t => {
    const zoe = await register(server, 'Zoe', 'Short-lived')
    const made = await makeCredential(server, zoe)
    await call(`DELETE /api/organizations/${zoe.organization}`, { token: zoe.token })
    // A month ago.
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      for (const { name, column } of await sql<{ name: string; column: string }[]>`
        select marked::text as name, organization_column as column from app_private.deletion_tables`)
        await sql.unsafe(
          `update ${name} set deleted_at = now() - interval '31 days' where ${column} = $1 and deleted_at is not null`,
          [zoe.organization],
        )
    })
    await db.as('callboard_worker')`select app.purge_deleted()`
    t.equal((await db.admin`select from app.organizations where id = ${zoe.organization}`).count, 0)
    await keep()
    t.equal(await roleOf(made.login), undefined)
    t.equal((await db.admin`select from app_private.bi_logins where login = ${made.login}`).count, 0)
  })

  await t.test('one is worth what who answers for it could still do', async t => {
    const ben = await join(server, ana, 'owner')
    const made = await makeCredential(server, ben)
    const sql = connectBi(t, made)
    t.same(await titles(sql), ['of Ana'])
    const setRole = (role: string) => call(`PATCH /api/users/${ben.id}`, { token, body: { role } })
    t.equal((await setRole('admin')).status, 200)
    t.same(
      await titles(sql),
      [],
      'who may not manage BI logins any more has none, from the next statement on',
    )
    t.match(await read(made), { status: 'suspended', held_by: ben.id })
    await keep()
    await keep()
    await t.rejects(titles(connectBi(t, made)), { code: '28000' }, 'and it cannot connect')
    t.equal((await setRole('owner')).status, 200)
    await keep()
    t.same(await titles(connectBi(t, made)), ['of Ana'])

    t.ok((await call(`DELETE /api/users/${ben.id}`, { token })).status < 300)
    t.match(await read(made), { status: 'suspended' })
    const { email } = ben
    const added = await call('POST /api/users', {
      token,
      body: { email, display_name: 'Ben', role: 'owner' },
    })
    t.equal(added.status, 201)
    t.match(await read(made), { status: 'suspended' }, 'also when they come back')

    const { body: rotated } = await call<Credential>(`POST /api/bi-credentials/${made.id}/rotate`, {
      token,
      body: {},
    })
    t.match(rotated, { status: 'active', held_by: ana.id, created_by: ben.id })
    t.same(await titles(connectBi(t, rotated)), ['of Ana'], 'another owner takes it over by rotating it')
    await t.rejects(titles(connectBi(t, made)), { code: '28P01' })
    t.same(
      [...(await db.admin`select action from app.event_log where resource_id = ${made.id} order by id`)].map(
        ({ action }) => action as string,
      ),
      ['bi.create', 'bi.suspend', 'bi.rotate'],
    )
    await revoke(made)
  })

  await t.test('a transaction that lasts too long is ended, whatever timeouts the login has set', async t => {
    const made = await makeCredential(server, ana, { statement_timeout_seconds: 1 })
    const sql = connectBi(t, made)
    await t.rejects(sql`select pg_sleep(5)`, { code: '57014' }, 'by default a statement ends itself')
    await sql`set statement_timeout = 0`
    await sql`set idle_in_transaction_session_timeout = 0`
    const endless = sql`select pg_sleep(30)`.then(
      () => 'it continued',
      (error: unknown) => (error as { code: string }).code,
    )
    await until(async () => {
      await keep()
      return (await db.admin`select from pg_stat_activity where usename = ${made.login}`).count === 0
    })
    t.match(await endless, /^(57P01|CONNECTION_CLOSED)$/)
    await revoke(made)
  })

  await t.test('an open transaction of a BI tool does not keep events from being sealed', async t => {
    const made = await makeCredential(server, ana)
    const sql = connectBi(t, made)
    await sql`begin`
    await titles(sql)
    await call('POST /api/venues', {
      token,
      body: { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'UTC' },
    })
    await until(async () => {
      await db.as('callboard_worker')`select app.seal_events()`
      const { body } = await call<{ unsealed: number }>('GET /api/audit/verify', { token })
      // Verifying is an event, too.
      return body.unsealed <= 2
    })
    await sql`rollback`
    await revoke(made)
  })

  await t.test('an organization may have ten at a time', async t => {
    const many: Credential[] = []
    for (let n = 0; n < 10; n += 1) many.push(await makeCredential(server, ana, { name: `Tool ${n}` }))
    const more = () => call('POST /api/bi-credentials', { token, body: { name: 'One more' } })
    t.equal(outcome(await more()), '409 bi_credential_limit')
    const [first] = many
    await db.admin`
      update app.bi_credentials set expires_at = now() - interval '1 second', created_at = now() - interval '1 day' where id = ${first?.id ?? ''}`
    t.equal((await more()).status, 201, 'expired ones do not count')
    t.equal(
      outcome(await call(`POST /api/bi-credentials/${first?.id ?? ''}/rotate`, { token, body: {} })),
      '409 bi_credential_limit',
      'unless they are rotated',
    )
    const { body } = await call<{ items: Credential[] }>('GET /api/bi-credentials?limit=200', { token })
    for (const { id } of body.items) await revoke({ id })
  })

  await t.test('settings out of bounds are refused, even to those who may manage them', async t => {
    for (const wrong of [
      { name: '' },
      { expires_in_days: 0 },
      { expires_in_days: 731 },
      { connection_limit: 0 },
      { connection_limit: 11 },
      { statement_timeout_seconds: 0 },
      { statement_timeout_seconds: 3601 },
      { login: 'callboard_owner' },
      { password: 'secret' },
    ])
      t.equal(
        outcome(await call('POST /api/bi-credentials', { token, body: { name: 'x', ...wrong } })),
        '400 validation',
        JSON.stringify(wrong),
      )
  })

  await t.test('whatever happens to one is in the log', async t => {
    const made = await makeCredential(server, ana)
    await call(`POST /api/bi-credentials/${made.id}/rotate`, { token, body: {} })
    await db.admin`
      update app.bi_credentials set expires_at = now() - interval '1 second', created_at = now() - interval '1 day', rotated_at = null where id = ${made.id}`
    await keep()
    await revoke(made)
    const { body } = await call<{ items: { action: string; actor_id: string | null }[] }>(
      `GET /api/audit/events?resource_id=${made.id}`,
      { token },
    )
    t.same(
      body.items.map(({ action, actor_id }) => [action, actor_id === ana.id]),
      [
        ['bi.revoke', true],
        ['bi.expire', false],
        ['bi.rotate', false], // the superuser above
        ['bi.rotate', true],
        ['bi.create', true],
      ],
    )
  })

  await t.test('a DBA creates, lists, rotates and revokes them with a script', async t => {
    const [{ slug } = { slug: '' }] = await db.admin<{ slug: string }[]>`
      select slug from app.organizations where id = ${ana.organization}`
    const bi = (...args: string[]) =>
      spawnSync(process.execPath, [...programArgs('scripts/bi.ts'), ...args], {
        cwd: root,
        env: { PATH: process.env['PATH'], MIGRATOR_DATABASE_URL: db.url('callboard_migrator') },
        encoding: 'utf8',
      })
    const shownBy = ({ stdout, stderr }: ReturnType<typeof bi>) => {
      t.equal(stderr, '')
      return { connect: JSON.parse(stdout.slice(stdout.indexOf('{'))) as Credential['connect'] }
    }
    const made = bi('create', '--org', slug, '--name', 'Power BI', '--days', '7', '--connections', '2')
    const first = shownBy(made)
    const id = /^[0-9a-f-]{36}/.exec(made.stdout)?.[0] ?? ''
    const sql = connectBi(t, first)
    t.same(await titles(sql), ['of Ana'])
    t.match(await read({ id }), { name: 'Power BI', connection_limit: 2, created_by: null })
    t.match(bi('list', '--org', slug).stdout, new RegExp(`${id}.*Power BI.*active`))

    const end = /until (\S+ \S+)/
    const [, until] = end.exec(bi('rotate', id, '--days', '30').stdout) ?? []
    const again = bi('rotate', id)
    t.equal(end.exec(again.stdout)?.[1], until, 'a login of 30 days stays one')
    const second = shownBy(again)
    await t.rejects(titles(sql))
    t.same(await titles(connectBi(t, second)), ['of Ana'])

    t.match(bi('revoke', id).stdout, /^Revoked; its connections have ended/)
    await t.rejects(titles(connectBi(t, second)))
    t.match(bi('list').stdout, new RegExp(`${id}.*revoked`))

    t.match(bi('create', '--org', 'nobody', '--name', 'x'), { status: 1, stderr: /no organization nobody/ })
    t.match(bi('create', '--org', slug, '--name', ' '), { status: 1, stderr: /bi_credentials_name_length/ })
    t.match(bi('revoke', randomUUID()), { status: 1, stderr: 'not_found' })
    for (const wrong of [[], ['create'], ['rotate'], ['list', '--days', 'x'], ['list', 'all']])
      t.match(bi(...wrong), { status: 2, stderr: /^Usage: / })
    const { body } = await call<{ items: { action: string; actor_kind: string }[] }>(
      `GET /api/audit/events?resource_id=${id}`,
      { token },
    )
    t.same(
      body.items.map(({ action, actor_kind }) => [action, actor_kind]),
      ['bi.revoke', 'bi.rotate', 'bi.rotate', 'bi.create'].map(action => [action, 'system']),
    )
  })

  await t.test('those of another organization do not exist', async t => {
    const made = await makeCredential(server, ana)
    for (const request of [
      `GET /api/bi-credentials/${made.id}`,
      `DELETE /api/bi-credentials/${made.id}`,
    ] as const)
      t.equal(outcome(await call(request, { token: erin.token })), '404 not_found')
    t.same(await titles(connectBi(t, made)), ['of Ana'])
    await revoke(made)
  })

  await t.test(
    'a superadmin sees them but cannot create any, because it would outlive their grant',
    async t => {
      const sam = await superadmin(server, erin, ana.organization)
      t.equal((await call('GET /api/bi-credentials', { token: sam.token })).status, 200)
      const writing = await superadmin(server, erin, ana.organization, { mayWrite: true })
      for (const { token } of [sam, writing])
        t.equal(
          outcome(await call('POST /api/bi-credentials', { token, body: { name: 'x' } })),
          '403 permission_denied',
        )
    },
  )
})

t.test('how to connect', async t => {
  const shown = connectionsOf(
    'postgres://db.example.com:6432/callboard?sslmode=verify-full',
    'bi_1',
    'secret',
  )
  t.strictSame(shown, {
    uri: 'postgresql://bi_1:secret@db.example.com:6432/callboard?sslmode=verify-full',
    psql: "psql 'postgresql://bi_1:secret@db.example.com:6432/callboard?sslmode=verify-full'",
    sqlalchemy: 'postgresql+psycopg2://bi_1:secret@db.example.com:6432/callboard?sslmode=verify-full',
    jdbc: 'jdbc:postgresql://db.example.com:6432/callboard?user=bi_1&password=secret&sslmode=verify-full',
    odbc: 'Driver={PostgreSQL Unicode};Server=db.example.com;Port=6432;Database=callboard;Uid=bi_1;Pwd=secret;SSLmode=verify-full;',
    metabase: {
      host: 'db.example.com',
      port: 6432,
      database_name: 'callboard',
      username: 'bi_1',
      password: 'secret',
      ssl: true,
      schemas: 'analytics',
    },
    power_bi: 'PostgreSQL.Database("db.example.com:6432", "callboard")',
  })
  const { uri, odbc } = connectionsOf('postgres://callboard_api:theirs@[::1]/my%20shows', 'bi_1', 'secret')
  t.equal(
    uri,
    'postgresql://bi_1:secret@[::1]:5432/my%20shows?sslmode=prefer',
    'nothing of the API’s own login',
  )
  t.match(odbc, 'Server=::1;Port=5432;Database=my shows;')

  const server = await startServer(t, { BI_DATABASE_URL: 'postgres://bi.example.com/shows?sslmode=require' })
  const { connect } = await makeCredential(server, await register(server, 'Ana'))
  t.match(connect.jdbc, /^jdbc:postgresql:\/\/bi\.example\.com:5432\/shows\?.*&sslmode=require$/)
})
