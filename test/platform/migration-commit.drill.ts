// A change of the schema from a developer's edit to a database in use, as CONTRIBUTING.md describes it.
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { t } from '../support/tap.ts'
import { startDatabase } from '../support/helper.ts'
import { root } from '../support/program.ts'

t.test('a change is committed as what it changes, says its locks, and is run', async t => {
  const checkout = mkdtempSync(join(tmpdir(), 'callboard-commit-'))
  t.teardown(() => {
    rmSync(checkout, { recursive: true })
  })
  for (const part of ['db', 'src', 'scripts', 'package.json', 'tsconfig.json', '.gmrc', '.squawk.toml'])
    cpSync(realpathSync(join(root, part)), join(checkout, part), { recursive: true, verbatimSymlinks: true })
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'))
  const run = (script: string, args: string[] = [], env: NodeJS.ProcessEnv = {}) =>
    new Promise<{ code: number | null; output: string }>(resolve => {
      const child = spawn(process.execPath, ['--import', 'tsx', `scripts/db/${script}.ts`, ...args], {
        cwd: checkout,
        env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '', ...env },
      })
      let output = ''
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
      child.on('close', code => {
        resolve({ code, output })
      })
    })
  const edit = (file: string, from: string, to: string) => {
    const path = join(checkout, 'db', file)
    const text = readFileSync(path, 'utf8')
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`)
    writeFileSync(path, text.replace(from, to))
  }
  const current = join(checkout, 'db/migrations/current.sql')

  const nothing = await run('commit-migration', ['nothing'])
  t.match(nothing, { code: 2, output: /There is nothing to commit/ })

  const column = 'tour text collate app.people constraint shows_tour_length check (app.is_line(tour, 200))'
  edit('schema/shows/shows.sql', '  as_json text not null', `  ${column},\n  as_json text not null`)
  edit('schema/shows/show_commands.sql', 's.external_ref,\n', 's.external_ref, s.tour,\n')
  writeFileSync(current, `alter table app.shows add column if not exists ${column};\n`)
  const refused = await run('commit-migration', ['shows belong to tours'])
  t.match(
    refused,
    { code: 1, output: /show_commands\.sql: cannot change name of view column/ },
    refused.output,
  )
  t.match(readFileSync(current, 'utf8'), /^alter table/, 'what was written is still there')

  const byHand = `alter table app.shows add column if not exists ${column};\ndrop view if exists app.show_rows;\n`
  writeFileSync(current, `${byHand}create index show_tours on app.shows (organization_id, tour);\n`)
  const slow = await run('commit-migration', ['slow'])
  t.match(slow, { code: 1, output: /require-concurrent-index-creation/ }, slow.output)

  writeFileSync(current, byHand)
  const committed = await run('commit-migration', ['shows belong to tours'])
  t.equal(committed.code, 0, committed.output)
  const name = '000002-shows-belong-to-tours.sql'
  const text = readFileSync(join(checkout, 'db/migrations/committed', name), 'utf8')
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
  t.same(before, { count: 1 }, 'a plan runs nothing')
  const migrated = await run('migrate', [], env)
  t.equal(migrated.code, 0, migrated.output)
  t.match(await run('migrate', ['--plan'], env), { code: 0, output: 'No migration is pending.\n' })

  edit(`migrations/committed/${name}`, 'drop view if exists app.show_rows;', '')
  t.match(await run('migrate', [], env), { code: 1, output: /is not what was committed: it was edited/ })
})
