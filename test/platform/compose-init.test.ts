// The scripts that docker-compose.yml has PostgreSQL's image run on an empty volume, run on this test's
// own server: roles and their passwords belong to the whole server.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { startEmbedded } from '../../src/database/embedded.ts'
import { migrate } from '../../src/database/migrate.ts'
import { setDatabasePrivileges, withUrl } from '../../src/database/provision.ts'
import { checkDatabase } from '../../src/database/safety.ts'
import { root, services } from '../support/compose.ts'

/** The files that PostgreSQL's image runs on an empty volume, in its order. */
const scripts = (services.postgres.volumes ?? [])
  .map(volume => volume.split(':'))
  .filter(([, target = '']) => dirname(target) === '/docker-entrypoint-initdb.d')
  .sort(([, a = ''], [, b = '']) => (basename(a) < basename(b) ? -1 : 1))
  .map(([source = '']) => join(root, source))

type Run = (url: string, file: string, env: Record<string, string | undefined>) => Promise<void>

// As the image's entrypoint does.
const byPsql: Run = async (url, file, env) => {
  const args = ['-v', 'ON_ERROR_STOP=1', '--no-psqlrc', '--quiet', '--dbname', url, '-f', file]
  const { status, stderr } = spawnSync('psql', args, { env: { PATH: process.env['PATH'], ...env } })
  if (status !== 0) throw new Error(stderr.toString())
}

// The two psql features that the scripts use, for machines without it.
const byDriver: Run = async (url, file, env) => {
  const variables: Record<string, string> = {}
  const statements = readFileSync(file, 'utf8')
    .replace(/^\\.*$/gm, line => {
      const [, name, variable] = /^\\getenv (\w+) (\w+)$/.exec(line) ?? []
      if (name === undefined || variable === undefined) throw new Error(`not supported here: ${line}`)
      if (env[variable] !== undefined) variables[name] = env[variable]
      return ''
    })
    .replace(/:'(\w+)'/g, (reference, name: string) =>
      name in variables ? `'${(variables[name] ?? '').replaceAll("'", "''")}'` : reference,
    )
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  await sql.unsafe(statements).finally(() => sql.end())
}

const psql = spawnSync('psql', ['--version'])
const waysToRun: [string, Run, string | false][] = [
  ['the driver', byDriver, false],
  ['psql', byPsql, psql.status === 0 ? false : 'there is no psql on this machine'],
]

t.test('the first start of the database', async t => {
  t.same(
    scripts.map(script => basename(script)),
    ['roles.sql', 'database.sql', 'passwords.sql'],
  )

  const folder = mkdtempSync(join(tmpdir(), 'callboard-compose-'))
  chmodSync(folder, 0o755)
  const embedded = await startEmbedded({ root: folder, port: 0, settings: { fsync: 'off' } })
  t.teardown(async () => {
    await embedded.stop()
    for (const path of [dirname(embedded.dataDir), folder]) rmSync(path, { recursive: true, force: true })
  })

  for (const [way, run, skip] of waysToRun) {
    await t.test(`run by ${way}, creates a database that the API can run on`, { skip }, async t => {
      const database = `callboard_by_${way.replace(' ', '_')}`
      const admin = postgres(embedded.adminUrl, { max: 1 })
      await admin`create database ${admin(database)} template template0`
      await admin.end()
      const url = withUrl(embedded.adminUrl, { database })
      const env = {
        CALLBOARD_API_PASSWORD: `api's by ${way}`,
        CALLBOARD_MIGRATOR_PASSWORD: `migrator's by ${way}`,
        CALLBOARD_WORKER_PASSWORD: `worker's by ${way}`,
        CALLBOARD_SUPPORT_PASSWORD: `support's by ${way}`,
      }
      for (const script of scripts) await run(url, script, env)
      const as = (user: string, password = env[`${user.toUpperCase()}_PASSWORD` as keyof typeof env]) =>
        withUrl(url, { user, password })

      await migrate(as('callboard_migrator'))
      await checkDatabase(as('callboard_api'), false)
      const worker = postgres(as('callboard_worker'), { max: 1 })
      t.same([...(await worker`select app.keep_jobs('{}') as released`)], [{ released: 0 }])
      await worker.end()

      for (const [user, password] of [
        ['callboard_api', 'another'],
        ['callboard_support', ''],
        ['callboard_auditor', 'anything'],
      ] as const)
        await t.rejects(
          checkDatabase(as(user, password), false),
          { cause: { code: '28P01' } },
          `${user} cannot connect`,
        )

      const incomplete = { ...env, CALLBOARD_API_PASSWORD: undefined }
      await t.rejects(run(url, scripts.at(-1) ?? '', incomplete), /syntax error/, 'a password is missing')
      // Running everything again, as after a restore, changes nothing.
      for (const script of scripts) await run(url, script, env)
      await setDatabasePrivileges(url)
      await checkDatabase(as('callboard_api'), false)
    })
  }
})
