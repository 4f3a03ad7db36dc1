// A change of the schema from a developer's edit to a database in use, as CONTRIBUTING.md describes it.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { t } from '../support/tap.ts'
import { copyCheckout } from '../support/checkout.ts'
import { startDatabase } from '../support/helper.ts'
import { later } from '../support/later.ts'

t.test('a change is committed as what it changes, says its locks, and is run', async t => {
  const { folder, run, edit, write } = copyCheckout(t)

  const nothing = await run('commit-migration', ['nothing'])
  t.match(nothing, { code: 2, output: /There is nothing to commit/ })

  const column = 'tour text collate app.people constraint shows_tour_length check (app.is_line(tour, 200))'
  edit('schema/shows/shows.sql', '  as_json text not null', `  ${column},\n  as_json text not null`)
  edit('schema/shows/show_commands.sql', 's.external_ref,\n', 's.external_ref, s.tour,\n')
  write(`alter table app.shows add column if not exists ${column};\n`)
  const refused = await run('commit-migration', ['shows belong to tours'])
  t.match(
    refused,
    { code: 1, output: /show_commands\.sql: cannot change name of view column/ },
    refused.output,
  )
  t.match(
    readFileSync(join(folder, 'db/migrations/current.sql'), 'utf8'),
    /^alter table/,
    'what was written is still there',
  )

  const byHand = `alter table app.shows add column if not exists ${column};\ndrop view if exists app.show_rows;\n`
  write(`${byHand}create index show_tours on app.shows (organization_id, tour);\n`)
  const slow = await run('commit-migration', ['slow'])
  t.match(slow, { code: 1, output: /require-concurrent-index-creation/ }, slow.output)

  write(byHand)
  const committed = await run('commit-migration', ['shows belong to tours'])
  t.equal(committed.code, 0, committed.output)
  const name = later(1, 'shows-belong-to-tours')
  const text = readFileSync(join(folder, 'db/migrations/committed', name), 'utf8')
  t.ok(text.split('\n').length < 200, `${text.split('\n').length} lines`)
  t.match(text, /^-- Lock: access exclusive on app\.shows: alter table app\.shows add column/m)
  t.notMatch(text, /create or replace view app\.venue_rows/)
  const agree = await run('db-check')
  t.match(agree, { code: 0, output: /agree/ }, agree.output)

  const { admin, url } = await startDatabase(t)
  const env = { MIGRATOR_DATABASE_URL: url('callboard_migrator') }
  const plan = await run('migrate', ['--plan'], env)
  t.match(plan, { code: 0, output: new RegExp(`^${name}\n  access exclusive on app\\.shows: alter table`) })
  const [before] = await admin`select count(*)::integer as count from graphile_migrate.migrations`
  t.same(before, { count: Number.parseInt(name) - 1 }, 'a plan runs nothing')
  const migrated = await run('migrate', [], env)
  t.equal(migrated.code, 0, migrated.output)
  t.match(await run('migrate', ['--plan'], env), { code: 0, output: 'No migration is pending.\n' })

  edit(`migrations/committed/${name}`, 'drop view if exists app.show_rows;', '')
  t.match(await run('migrate', [], env), { code: 1, output: /is not what was committed: it was edited/ })
})
