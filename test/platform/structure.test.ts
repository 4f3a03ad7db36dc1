// What .dependency-cruiser.mjs forbids, as npm run lint checks: a small src/ that breaks each of its rules once. And that
// the packages can be installed as they are pinned.
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { promisify } from 'node:util'
import { t } from '../support/tap.ts'
import { root } from '../support/documents.ts'

/** An import that a rule forbids. */
const broken: Record<string, [file: string, imported: string]> = {
  'no-circles': ['http/html.ts', './methods.ts'],
  'config-imports-nothing': ['config.ts', './database/pool.ts'],
  'database-knows-no-http': ['database/pool.ts', '../http/problem.ts'],
  'policies-know-the-database': ['policies/facts.ts', '../http/html.ts'],
  'http-knows-no-sql': ['http/limits.ts', '../database/pool.ts'],
  'problem-knows-database-errors': ['http/problem.ts', '../database/socket.ts'],
  'tenant-joins-http-and-database': ['tenant/list.ts', '../shows/shapes.ts'],
  'subjects-share-only-shapes': ['finance/records.ts', '../shows/shows.ts'],
  'subjects-reach-the-database-through-tenant': ['calendar/calendar.ts', '../database/pool.ts'],
  'jobs-know-subjects': ['jobs/worker.ts', '../app.ts'],
  'monitoring-stands-beside-jobs': ['monitoring/metrics.ts', '../jobs/schedule.ts'],
  'app-knows-routes': ['app.ts', './shows/shows.ts'],
  'demo-stands-beside-the-programs': ['worker.ts', './demo/demo.ts'],
}
/** Imports that are fine. */
const allowed: [file: string, imported: string][] = [
  ['http/methods.ts', './html.ts'],
  ['http/problem.ts', '../database/errors.ts'],
  ['finance/records.ts', '../shows/shapes.ts'],
  ['calendar/calendar.ts', '../tenant/list.ts'],
  ['jobs/worker.ts', '../exports/task.ts'],
  ['exports/task.ts', '../database/pool.ts'],
  ['app.ts', './shows/routes.ts'],
  ['server.ts', './demo/demo.ts'],
]

t.test('each structural rule refuses what it is for, and nothing else', async t => {
  const project = t.testdir({ 'tsconfig.json': await readFile(join(root, 'tsconfig.json'), 'utf8') })
  const files = new Map<string, string[]>()
  for (const [file, imported] of [...Object.values(broken), ...allowed]) {
    const target = join(dirname(file), imported)
    if (!files.has(target)) files.set(target, [])
    files.set(file, [...(files.get(file) ?? []), `import '${imported}'`])
  }
  for (const [file, lines] of files) {
    await mkdir(join(project, 'src', dirname(file)), { recursive: true })
    await writeFile(join(project, 'src', file), `${lines.join('\n')}\nexport {}\n`)
  }
  const depcruise = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
  const config = join(root, '.dependency-cruiser.mjs')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [depcruise, 'src', '--config', config, '--output-type', 'json'],
    { cwd: project },
  ).catch((error: unknown) => error as { stdout: string })
  const { summary } = JSON.parse(stdout) as {
    summary: { violations: { from: string; to: string; rule: { name: string } }[] }
  }
  const found = summary.violations.map(({ from, to, rule }) => `${rule.name}: ${from} -> ${to}`)
  const expected = Object.entries(broken).map(
    ([rule, [file, imported]]) => `${rule}: src/${file} -> src/${join(dirname(file), imported)}`,
  )
  t.same(found.sort(), expected.sort())
  const { default: rules } = (await import(config)) as { default: { forbidden: { name: string }[] } }
  t.same(rules.forbidden.map(({ name }) => name).sort(), Object.keys(broken).sort(), 'no rule is omitted')
})

// npm leaves out what a registry did not have for another platform, and `npm ci` refuses such a lockfile.
t.test('the lockfile has every package that another one names', async t => {
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Record<string, Record<string, string> | undefined>>
  }
  const missing: string[] = []
  for (const [path, { dependencies, devDependencies, optionalDependencies }] of Object.entries(packages)) {
    for (const name of Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      let place: string | undefined = path
      while (place !== undefined && !packages[posix.join(place, 'node_modules', name)]) {
        place = place === '' ? undefined : place.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')
      }
      if (place === undefined) missing.push(`${path || 'package.json'}: ${name}`)
    }
  }
  t.same(missing, [])
})
