import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { t } from '../support/tap.ts'
import { committedMigrations } from '../../src/database/committed.ts'
import { migrate } from '../../src/database/migrate.ts'
import { startDatabase } from '../support/helper.ts'

t.test('a database that has run a migration unknown to this version is refused untouched', async t => {
  const { admin, url } = await startDatabase(t)
  await t.resolves(migrate(url('callboard_migrator')), 'one of this version is up to date')
  await admin`update graphile_migrate.migrations set hash = ${`sha1:${randomUUID()}`}, filename = '000027-expressions.sql'`
  await admin`drop function app.current_org() cascade`
  for (const attempt of [1, 2])
    await t.rejects(
      migrate(url('callboard_migrator')),
      { name: 'ForeignMigrations', message: /000027-expressions\.sql.*as CSV.*delete the folder \.data/ },
      `attempt ${attempt} says which, and what to do`,
    )
  const [{ there }] = await admin<[{ there: boolean }]>`
    select to_regprocedure('app.current_org()') is not null as there`
  t.notOk(there, 'nothing was run')
})

t.test('no connection is left whose loss would end the process', async t => {
  const { admin, url } = await startDatabase(t)
  await migrate(url('callboard_migrator'))
  // It says good-bye by itself.
  await setTimeout(50)
  const left = await admin`
    select application_name from pg_stat_activity where datname = current_database() and usename = 'callboard_migrator'`
  t.strictSame([...left], [])
})

t.test('a committed migration that was edited, or whose predecessor is missing, is refused', async t => {
  const [first] = await committedMigrations()
  const folder = pathToFileURL(`${t.testdir()}/`)
  const write = (file: string, text: string) => {
    writeFileSync(new URL(file, folder), text)
  }
  write('000001-callboard.sql', first?.text ?? '')
  t.same(await committedMigrations(folder), [first])
  write('000001-callboard.sql', `${first?.text ?? ''}select 1;\n`)
  await t.rejects(committedMigrations(folder), {
    name: 'EditedMigration',
    message: /^000001-callboard\.sql is not what was committed: it was edited/,
  })
  write('000001-callboard.sql', first?.text ?? '')
  write('000003-later.sql', '--! Previous: sha1:0\n--! Hash: sha1:1\n\nselect 1;\n')
  await t.rejects(committedMigrations(folder), { message: /^000003-later\.sql is not what was committed/ })
  write('000003-later.sql', 'select 1;\n')
  await t.rejects(committedMigrations(folder), { name: 'EditedMigration' })
})
