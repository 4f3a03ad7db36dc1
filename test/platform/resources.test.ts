import { t } from '../support/tap.ts'
import { startServer } from '../support/helper.ts'

const { app, db } = await startServer(t)
const listed = await db.admin<{ name: string; path: string; fields: string[] }[]>`
  select r.name, r.path, array(
    select a.attname::text from pg_attribute a
    where a.attrelid = ('app.' || r.fields)::regclass and not a.attisdropped
      and a.attnum >= (select i.attnum from pg_attribute i where i.attrelid = a.attrelid and i.attname = 'id')
    order by a.attnum) as fields
  from app_private.resources r order by r.name`

t.test('the row commands accept exactly the resources with routes', async t => {
  t.strictSame(
    listed.map(({ name, path }) => [name, path]),
    app.resources.map(({ table, path }) => [table, path]).sort(([a = ''], [b = '']) => (a < b ? -1 : 1)),
  )
})

t.test('a row has the same fields in its view, in the document, in a list and on its own', async t => {
  for (const { table, item, list } of app.resources) {
    const fields = Object.keys(item.properties).filter(name => !['deleted_at', 'deleted_by'].includes(name))
    t.strictSame([...(listed.find(({ name }) => name === table)?.fields ?? [])].sort(), fields.sort(), table)
    t.equal(list?.rows.item, item, `${table} in a list`)
  }
})

t.test('the routes of a resource name the permissions that its policies require', async t => {
  for (const { table, permissions } of app.resources) {
    const policies = await db.admin<{ command: string; permission: string }[]>`
      select p.command, p.permission from app_private.table_permissions p where p.on_table = ${`app.${table}`}::regclass`
    const asked = Object.fromEntries(policies.map(({ command, permission }) => [command, permission]))
    t.strictSame(
      [asked['insert'], asked['update'], asked['delete']],
      [permissions.write, permissions.write, permissions.delete],
      table,
    )
    // Those who do not plan read the published version of an itinerary, which is in another table.
    if (table !== 'itineraries') t.equal(asked['select'], permissions.read, `reading ${table}`)
  }
})
