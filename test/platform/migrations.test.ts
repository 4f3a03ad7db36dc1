import { createHash, randomUUID } from 'node:crypto'
import { readFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { asCommitted, committedMigrations } from '../../src/database/committed.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createDatabase, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { startDatabase } from '../support/helper.ts'
import { later, latestHash } from '../support/later.ts'
import { root } from '../support/program.ts'
import { startServerProcess } from '../support/server-process.ts'
import { version } from '../../src/version.ts'

t.test('a database that has run a migration unknown to this version is refused untouched', async t => {
  const { admin, url } = await startDatabase(t)
  await t.resolves(migrate(url('callboard_migrator')), 'one of this version is up to date')
  await admin`update graphile_migrate.migrations set hash = ${`sha1:${randomUUID()}`}, filename = '000027-expressions.sql' where hash = ${latestHash ?? ''}`
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

const migrateEvents = async (admin: postgres.Sql) => [
  ...(await admin`
    select organization_id, actor_kind, resource_type, changes from app.event_log where action = 'database.migrate' order by occurred_at, id`),
]
const eventOf = (...migrations: string[]) => ({
  organization_id: '00000000-0000-0000-0000-000000000000',
  actor_kind: 'system',
  resource_type: 'database',
  changes: { new: { release: version, migrations } },
})

t.test('npm run migrate logs which migrations it has run, if it has run any', async t => {
  const { url, name } = await startDatabase(t)
  const adminUrl = process.env['ADMIN_DATABASE_URL'] ?? ''
  const database = `callboard_empty_${name.slice(-12)}`
  await createDatabase(adminUrl, database)
  t.teardown(() => dropDatabase(adminUrl, database))
  const admin = postgres(withUrl(adminUrl, { database }), { max: 1, onnotice: () => {} })
  t.teardown(() => admin.end())
  const settings = { MIGRATOR_DATABASE_URL: withUrl(url('callboard_migrator'), { database }) }
  for (const time of ['the first', 'and the second']) {
    const program = startServerProcess(t, settings, 'scripts/db/migrate.ts')
    t.match(await program.ended, { code: 0 }, program.complaint())
    const files = (await committedMigrations()).map(({ file }) => file)
    t.strictSame(await migrateEvents(admin), [eventOf(...files)], time)
  }
})

t.test('what ran before a migration that fails is logged, and that it cannot be is no failure', async t => {
  const { admin, url } = await startDatabase(t)
  const before = await migrateEvents(admin)
  const folder = t.testdir()
  mkdirSync(join(folder, 'committed'))
  cpSync(join(root, 'db/migrations/committed'), join(folder, 'committed'), {
    recursive: true,
    dereference: true,
  })
  const add = (file: string, text: string, previous = '') => {
    const committed = asCommitted(text, previous)
    writeFileSync(join(folder, 'committed', file), committed)
    return /^--! Hash: (.*)$/m.exec(committed)?.[1]
  }
  const lines: string[] = []
  const run = () =>
    migrate(url('callboard_migrator'), line => lines.push(line), { folder: pathToFileURL(`${folder}/`) })
  const [one, wrong] = [later(1, 'one'), later(2, 'wrong')]
  const second = add(one, 'select 1;\n', latestHash)
  add(wrong, 'select 1 / 0;\n', second)
  await t.rejects(run(), { message: /division by zero/ })
  const logged = [...before, eventOf(one)]
  t.strictSame(await migrateEvents(admin), logged)

  add(
    wrong,
    'revoke execute on function app_private.log_event(uuid, text, text, uuid, jsonb, uuid) from callboard_definer;\n',
    second,
  )
  await t.resolves(run())
  t.match(
    lines.at(-1),
    /^The event log does not have which migrations were run: permission denied for function log_event/,
  )
  t.strictSame(await migrateEvents(admin), logged)
})

t.test('migrations of a release are as they were released', async t => {
  const folder = new URL('../../db/migrations/', import.meta.url)
  const lines = readFileSync(new URL('released.txt', folder), 'utf8').trim().split('\n')
  t.match(lines[0], / {2}committed\/000001-callboard\.sql$/)
  for (const line of lines) {
    const [digest, file = ''] = line.split('  ')
    const text = readFileSync(new URL(file, folder))
    t.equal(createHash('sha256').update(text).digest('hex'), digest, `${file} is frozen`)
  }
})
