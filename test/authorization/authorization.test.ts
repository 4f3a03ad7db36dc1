import { t } from '../support/tap.ts'
import { join, startServer } from '../support/helper.ts'
import { operationsOf } from '../support/operations.ts'
import { actors, customPermissions, newWorld, roles, table, type Target, type World } from './matrix.ts'
import { outcome } from '../support/tokens.ts'

/**
 * For each table of an organization except its log, how many rows it has and which transaction wrote last:
 * any change moves one of the two.
 */
async function fingerprint({ server: { db }, owner: { organization } }: World): Promise<string> {
  tables ??= await db.admin<Column[]>`
    select c.oid::regclass::text as name, a.attname as column from pg_class c
    join pg_attribute a on a.attrelid = c.oid
      and a.attname = case when c.oid = 'app.organizations'::regclass then 'id' else 'organization_id' end
    where c.relnamespace = 'app'::regnamespace and c.relkind = 'r' and not c.relispartition
      and c.oid not in ('app.event_seals'::regclass, 'app.sessions'::regclass, 'app.idempotency_keys'::regclass)
    order by 1`
  const prints = tables.map(
    ({ name, column }) =>
      `select '${name} ' || count(*) || ' ' || coalesce(max(x.xmin::text::bigint), 0) as print from ${name} x where x.${column} = $1`,
  )
  const rows = await db.admin.unsafe<{ print: string }[]>(prints.join(' union all '), [organization], {
    prepare: true,
  })
  return rows.map(({ print }) => print).join('\n')
}
interface Column {
  name: string
  column: string
}
let tables: readonly Column[] | undefined

t.test('authorization', async t => {
  const server = await startServer(t)
  const { call, db, app } = server
  const operations = operationsOf(app)

  await t.test('every operation has its line, and every line an operation', async t => {
    t.strictSame(operations.map(({ id }) => id).sort(), Object.keys(table).sort())
  })

  await t.test('the document states for every operation who may call it', async t => {
    const held = await db.admin<{ role: string; permission: string }[]>`
      select role, permission from app.role_permissions`
    for (const { id, isOpen, permission, tags } of operations) {
      const [statuses = []] = table[id] ?? []
      t.equal((statuses[0] ?? 0) < 300, isOpen, `${id} without a token`)
      // A grant is not something that a member has.
      if (tags.includes('support')) continue
      const may = roles.filter(
        role => permission === undefined || held.some(h => h.role === role && h.permission === permission),
      )
      t.strictSame(
        roles.filter(role => (statuses[actors.indexOf(role)] ?? 0) < 300),
        may,
        `${id}: ${permission ?? 'no permission'}`,
      )
      if (permission !== undefined && !customPermissions.includes(permission))
        // A row that they may not read does not exist for them.
        t.ok(
          [403, 404].includes(statuses[actors.indexOf('custom')] ?? 0),
          `${id} needs ${permission}, which custom lacks`,
        )
    }
  })

  const shared = await newWorld(server)
  for (const { id, path: pattern, method } of operations) {
    const [expected = [], arrange, needs] = table[id] ?? []
    await t.test(`${id} answers each actor as it should`, async t => {
      const world = needs === undefined ? shared : await newWorld(server)
      // Those who may come last, because afterwards it may be gone.
      const order = [...actors].sort(
        (a, b) => (expected[actors.indexOf(b)] ?? 0) - (expected[actors.indexOf(a)] ?? 0),
      )
      // What is not about the actor serves all of them until somebody changes it.
      let unchanged: Target | undefined
      for (const actor of order) {
        const person = actor === 'anonymous' ? undefined : world[actor]
        const target = unchanged ?? (await arrange?.(world, person ?? world.owner)) ?? {}
        const isKept = method === 'GET' || (expected[actors.indexOf(actor)] ?? 0) >= 400
        unchanged = arrange?.length !== 2 && isKept ? target : undefined
        const { path = pattern, body, headers } = target
        const before = await fingerprint(world)
        const answer = await call(`${method} ${path}`, {
          token: person?.token,
          ...(body && { body }),
          ...(headers && { headers }),
        })
        t.equal(answer.status, expected[actors.indexOf(actor)], `${actor}: ${outcome(answer)}`)
        if (answer.status >= 400) t.equal(await fingerprint(world), before, 'and nothing has changed')
        if (answer.status === 403)
          t.match(outcome(answer), /^403 (permission_(denied|not_held)|support_grant_needed)$/)
        if (actor === 'stranger') {
          const theirs = [world.owner, world.viewer, world.manager, world.admin, world.custom].flatMap(p => [
            p.organization,
            p.email,
          ])
          const isAboutOwner = id === 'signIn' || id === 'refresh'
          t.notOk(!isAboutOwner && theirs.some(text => answer.text.includes(text)), 'and learns nothing')
        }
      }
    })
  }

  await t.test('leaving needs no permission', async t => {
    for (const role of ['viewer', 'manager', 'admin']) {
      const member = await join(server, shared.owner, role)
      t.equal((await call(`DELETE /api/users/${member.id}`, { token: member.token })).status, 204, role)
    }
  })
})
