// Migrations run beside traffic: what is as it should be is not run again, and what is called again locks nothing.
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { startDatabase } from '../support/helper.ts'
import { readSchema } from '../../scripts/db/db-check.ts'
import { statementsOf } from '../../scripts/db/statements.ts'
import { withoutUnchanged } from '../../scripts/db/unchanged.ts'

const db = new URL('../../db/', import.meta.url)
const schema = readSchema(fileURLToPath(new URL('schema.sql', db)))

t.test('calls of functions in schema files lock nothing if nothing differs', async t => {
  const { admin, url } = await startDatabase(t)
  const owner = postgres(url('callboard_migrator'), { max: 1, onnotice: () => {} })
  t.teardown(() => owner.end())
  const calls = (await statementsOf(schema)).filter(({ objects }) => objects.length === 0)
  t.ok(calls.length > 100)
  await admin.begin(async busy => {
    // Others read and write everything.
    const relations = await busy<{ name: string; kind: string }[]>`
      select c.oid::regclass::text as name, c.relkind as kind from pg_class c
      where c.relnamespace = any (array['app', 'app_private', 'analytics', 'analytics_private']::regnamespace[]) and c.relkind in ('r', 'p', 'v', 'm')`
    for (const { name, kind } of relations)
      await busy.unsafe(
        kind === 'm' || kind === 'v' ? `select from ${name} limit 0` : `lock table only ${name} in row exclusive mode`,
      )
    for (const { bare, file = '' } of calls)
      await owner
        .begin(async sql => {
          await sql`set local lock_timeout = '1ms'`
          await sql.unsafe(bare)
        })
        .then(
          () => t.pass(`${file}: ${bare.slice(0, 100)}`),
          (error: unknown) =>
            t.fail(
              `${file}: ${bare.slice(0, 200)}: ${String(error)} ${String((error as { where?: string }).where)}`,
            ),
        )
  })
})
