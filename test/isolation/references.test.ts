// A row cannot refer to a row of another organization, no matter who writes it: the foreign key ensures that,
// before any policy or trigger.
import { t } from '../support/tap.ts'
import { makeTenant } from './world.ts'
import { startServer } from '../support/helper.ts'

interface Reference {
  name: string
  child: string
  parent: string
  /** Columns of the key besides the organization, and what they refer to. */
  columns: string[]
  referred: string[]
}

t.test('every foreign key between tables of an organization refuses a row of another one', async t => {
  const server = await startServer(t)
  const { admin } = server.db
  const mine = await makeTenant(server, 'mine')
  const theirs = await makeTenant(server, 'theirs')
  const references = await admin<Reference[]>`
    select c.conname as name, c.conrelid::regclass::text as child, c.confrelid::regclass::text as parent,
      array_agg(quote_ident(a.attname) order by k.n) filter (where a.attname <> 'organization_id') as columns,
      array_agg(quote_ident(b.attname) order by k.n) filter (where a.attname <> 'organization_id') as referred
    from pg_constraint c, unnest(c.conkey, c.confkey) with ordinality as k (child_column, parent_column, n),
      pg_attribute a, pg_attribute b
    where c.contype = 'f' and c.conparentid = 0
      and a.attrelid = c.conrelid and a.attnum = k.child_column and b.attrelid = c.confrelid and b.attnum = k.parent_column
      -- From one table with an organization to another.
      and exists (select from pg_attribute x where x.attrelid = c.conrelid and x.attname = 'organization_id')
      and exists (select from pg_attribute x where x.attrelid = c.confrelid and x.attname = 'organization_id')
    group by c.oid having bool_or(a.attname = 'organization_id') order by 2, 1`
  t.ok(references.length >= 5)
  for (const { name, child, parent, columns, referred } of references) {
    await t.test(`${name} of ${child} leads only to ${parent} of the same organization`, async t => {
      const rollback = new Error('rollback')
      let refused = 'nothing'
      await admin
        .begin(async sql => {
          // The key alone must refuse, not what comes before it.
          await sql.unsafe(`alter table ${child} disable trigger user; set constraints all immediate`)
          // Nor what refers to the row itself and would break.
          const others = await sql<{ name: string; of: string }[]>`
            select quote_ident(conname) as name, conrelid::regclass::text as of from pg_constraint
            where contype = 'f' and confrelid = ${child}::regclass and conname <> ${name} and conparentid = 0`
          for (const other of others)
            await sql.unsafe(`alter table ${other.of} drop constraint ${other.name}`)
          const row = await sql.unsafe(
            `select ctid::text as at from ${child} where organization_id = $1 limit 1`,
            [mine.organization],
          )
          if (row.length === 0) throw new Error(`there is no row of ${child} to try ${name} with`)
          // Everything but the organization is taken from the other organization's row.
          const assign = columns.map((column, n) => `${column} = p.${referred[n] ?? ''}`).join(', ')
          const done = await sql
            .unsafe(
              `update ${child} c set ${assign} from (select * from ${parent} p
                where p.organization_id = $1 and not exists (select from ${parent} o
                  where o.organization_id = $2 and ${referred.map(column => `o.${column} = p.${column}`).join(' and ')}) limit 1) p
                where c.ctid = $3::text::tid`,
              [theirs.organization, mine.organization, String(row[0]?.['at'])],
            )
            .catch((error: unknown) => {
              const { code, constraint_name } = error as { code: string; constraint_name: string }
              refused = `${code} ${constraint_name}`
              throw rollback
            })
          refused = `${done.count} changed`
          throw rollback
        })
        .catch((error: unknown) => {
          if (error !== rollback) throw error
        })
      t.equal(refused, `23503 ${name}`)
    })
  }
})
