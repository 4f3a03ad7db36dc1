// Who sees what of the star: the organization of the login, as far as the member who answers for it may see it.
import { t } from '../support/tap.ts'
import { connectBi, makeCredential } from '../support/bi.ts'
import { joinAs, startServer } from '../support/helper.ts'
import { makeWorld } from '../isolation/world.ts'

t.test('the star of a BI login', async t => {
  const server = await startServer(t)
  const { admin } = server.db
  const { attacker, victim } = await makeWorld(server)
  const views = (
    await admin<{ name: string; columns: string[] }[]>`
      select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
      where c.relnamespace = 'analytics'::regnamespace and c.relkind = 'v' group by 1 order by 1`
  ).filter(({ name }) => name !== 'freshness')
  const star = views.filter(({ name }) => /^(fact|dim)_/.test(name))
  const rowsOf = async (sql: ReturnType<typeof connectBi>, name: string) =>
    (await sql.unsafe<{ row: string }[]>(`select to_jsonb(v)::text as row from ${name} v`)).map(
      ({ row }) => row,
    )

  await t.test('shows every view of its own organization, and nothing of another', async t => {
    for (const [own, other] of [
      [attacker, victim],
      [victim, attacker],
    ] as const) {
      const sql = connectBi(t, await makeCredential(server, own.owner))
      for (const { name } of star) {
        const rows = await rowsOf(sql, name)
        t.not(rows.length, 0, name)
        for (const secret of [other.marker, other.organization, String(other.fee)])
          t.notOk(rows.join().includes(secret), `${name} does not show ${secret}`)
      }
      t.ok((await rowsOf(sql, 'fact_shows')).join().includes(own.marker))
    }
  })

  await t.test('has no names of guests and no notes', async t => {
    const sql = connectBi(t, await makeCredential(server, victim.owner))
    const [guest] = await admin<{ name: string; note: string; invited_by: string }[]>`
      select name, coalesce(note, name) as note, coalesce(invited_by, name) as invited_by from app.guests where organization_id = ${victim.organization}`
    for (const { name } of star)
      for (const text of [
        guest?.name,
        guest?.note,
        guest?.invited_by,
        `Notes ${victim.marker}`,
        victim.owner.email,
      ])
        t.notOk((await rowsOf(sql, name)).join().includes(String(text)), `${name}: ${text}`)
  })

  /** What needs a permission: views without rows, and columns that are null. */
  const needs: Record<string, string[]> = {
    'finance.read': [
      'dim_finance_categories',
      'fact_finance_records',
      'fact_pipeline',
      'fact_settlement_lines',
      'fact_settlements',
      'fact_ticket_tiers',
      'finance_by_category',
      'finance_by_month',
      'finance_by_show',
    ],
    'shows.read': [
      'dim_artists',
      'dim_venues',
      'fact_guests',
      'fact_pipeline',
      'fact_settlement_lines',
      'fact_settlements',
      'fact_shows',
      'fact_ticket_tiers',
      'finance_by_show',
    ],
    'members.read': ['dim_members'],
    'analytics.read': views.map(({ name }) => name),
    'itineraries.write': ['dim_itineraries', 'dim_party'],
  }
  const { body } = await server.call<{ items: { name: string }[] }>('GET /api/permissions', {
    token: victim.owner.token,
  })
  const all = body.items.map(({ name }) => name)
  for (const [permission, hidden] of Object.entries(needs))
    await t.test(`made by a member without ${permission} shows nothing that needs it`, async t => {
      // What writes needs what reads.
      const [subject = ''] = permission.split('.')
      const held = all.filter(name =>
        permission.endsWith('.read') ? !name.startsWith(`${subject}.`) : name !== permission,
      )
      const member = await joinAs(server, victim.owner, held)
      const credential = await makeCredential(server, member)
      const sql = connectBi(t, credential)
      for (const { name } of views) {
        const rows = await rowsOf(sql, name)
        if (hidden.includes(name)) t.equal(rows.length, 0, name)
        else if (star.some(view => view.name === name)) t.not(rows.length, 0, name)
        if (permission !== 'finance.read') continue
        for (const secret of [victim.fee, victim.fee + 1]) t.notOk(rows.join().includes(String(secret)), name)
        if (name === 'fact_shows') t.notMatch(rows.join(), /"(fee_minor|fee|currency)": [^n]/)
      }
      // And at once what the member may see later.
      const grant = `PUT /api/users/${member.id}/permissions/${permission}` as const
      const { status } = await server.call(grant, { token: victim.owner.token, body: { effect: 'grant' } })
      t.equal(status, 200)
      for (const name of hidden) t.not((await rowsOf(sql, name)).length, 0, `${name}, with ${permission}`)
    })

  await t.test('tells by no plan what another organization has', async t => {
    await admin`analyze`
    const own = connectBi(t, await makeCredential(server, attacker.owner))
    const theirs = connectBi(t, await makeCredential(server, victim.owner))
    const plan = async (options: string, name: string, column: string, value: string) =>
      JSON.stringify(
        await own.unsafe(
          `explain (analyze, timing off, summary off, buffers off, ${options}) select * from ${name} where ${column} = '${value}'`,
        ),
      ).replaceAll(value, '…')
    let tried = 0
    for (const settings of [
      'reset all',
      'set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off',
      'reset all; set enable_seqscan = off; set enable_bitmapscan = off; set cpu_operator_cost = 0',
    ]) {
      await own.unsafe(settings)
      for (const { name, columns } of star)
        for (const column of columns) {
          const cells = (sql: ReturnType<typeof connectBi>) =>
            sql.unsafe<{ cell: string; type: string }[]>(
              `select distinct ${column}::text as cell, pg_typeof(${column})::text as type from ${name} where ${column} is not null`,
            )
          const mine = (await cells(own)).map(({ cell }) => cell)
          const known = (await cells(theirs)).find(({ cell }) => !mine.includes(cell) && cell.length > 6)
          if (!known || ['boolean', 'date', 'timestamp with time zone'].includes(known.type)) continue
          // As long, and as like as can be.
          const guess = known.cell.replace(/[\da-f](?=[^\da-f]*$)/, last => (last === '7' ? '6' : '7'))
          // Estimates know which ids and codes there are, as known limits say, but no text and no amount.
          for (const options of known.type === 'uuid' ? ['costs off'] : ['costs off', 'costs on']) {
            tried += 1
            t.equal(
              await plan(options, name, column, known.cell),
              await plan(options, name, column, guess),
              `${name}.${column}, ${options}`,
            )
          }
        }
    }
    t.ok(tried > 100, `${tried} tried`)
    // If comparing organizations were not the cheapest condition, others would be tried on all rows before it.
    await own.unsafe(
      'reset all; set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off',
    )
    await admin`alter function pg_catalog.uuid_eq(uuid, uuid) cost 10`
    const artist = `Artist ${victim.marker}`
    const [known, guess] = await Promise.all(
      [artist, artist.replace(/.$/, '_')].map(value => plan('costs off', 'dim_artists', 'artist', value)),
    )
    t.not(known, guess, 'which is noticed')
    await admin`alter function pg_catalog.uuid_eq(uuid, uuid) cost 0.0001`
  })

  await t.test('made by a DBA shows everything', async t => {
    const login = await makeCredential(server, victim.owner)
    await admin`update app.bi_credentials set held_by = null, held_by_operator = true where id = ${login.id}`
    const sql = connectBi(t, login)
    for (const { name } of star) t.not((await rowsOf(sql, name)).length, 0, name)
  })

  await t.test('says in a comment of each column what it is', async t => {
    const comments = await admin<{ name: string; comment: string | null }[]>`
      select c.relname || '.' || a.attname as name, col_description(c.oid, a.attnum) as comment
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
      where c.relnamespace = 'analytics'::regnamespace and c.relname ~ '^(fact|dim)_'`
    t.ok(comments.length > 150)
    for (const { name, comment } of comments) t.ok((comment ?? '').length > 5, name)
  })
})
