// What `npm run build` makes, run in a folder that has what the image has: package.json, db/, the build, and
// of all packages only those that package.json lists as dependencies.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createRequire, isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { build, programs } from '../../scripts/build.ts'
import { createDatabase, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { commands, root } from '../support/compose.ts'
import { password, startDatabase, until } from '../support/helper.ts'
import { startNode } from '../support/server-process.ts'
import { t } from '../support/tap.ts'

const { version, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string
  dependencies: Record<string, string>
}

t.test('the build', async t => {
  // Not below a node_modules folder.
  const image = realpathSync(mkdtempSync(join(tmpdir(), 'callboard-image-')))
  t.teardown(() => {
    rmSync(image, { recursive: true, force: true })
  })
  for (const name of [
    'package.json',
    'db',
    ...Object.keys(dependencies).map(name => `node_modules/${name}`),
  ]) {
    mkdirSync(dirname(join(image, name)), { recursive: true })
    symlinkSync(join(root, name), join(image, name))
  }
  const imported = await build(join(image, 'dist'))
  const packages = imported.filter(name => !isBuiltin(name))
  t.ok(packages.length > 20)
  for (const path of packages) {
    const name = path.split('/', path.startsWith('@') ? 2 : 1).join('/')
    t.ok(name in dependencies, `${path} is a dependency`)
  }
  t.throws(() => createRequire(join(image, 'dist/server.js')).resolve('tsx'), { code: 'MODULE_NOT_FOUND' })

  const db = await startDatabase(t)
  const start = (t: Test, [node, ...args]: string[], settings: Record<string, string>) => {
    t.equal(node, 'node')
    return startNode(t, args, { NODE_V8_COVERAGE: '', ...settings }, image)
  }
  const data = join(image, 'data')
  const api = { DATABASE_URL: db.url('callboard_api'), JWT_SECRET: 'a key of thirty-two characters or more' }

  await t.test('serves, from the command of the image', async t => {
    const server = start(t, commands.api, { ...api, NODE_ENV: 'development', PORT: '0' })
    const [, url = ''] = await server.says(/Server listening at (http:[^"]+)/)
    const ask = async (path: string, token = '', body?: object) => {
      const response = await fetch(url + path, {
        headers: {
          ...(token !== '' && { authorization: `Bearer ${token}` }),
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { method: 'POST', body: JSON.stringify(body) }),
      })
      return { status: response.status, text: await response.text() }
    }
    const email = 'ana@example.com'
    const registered = await ask('/api/auth/register', '', {
      email,
      password,
      display_name: 'Ana',
      organization_name: 'Northlight',
    })
    t.equal(registered.status, 201)
    const signedIn = await ask('/api/auth/sign-in', '', { email, password })
    t.equal(signedIn.status, 200)
    const { access_token: token } = JSON.parse(signedIn.text) as { access_token: string }
    t.same(JSON.parse((await ask('/api/shows', token)).text), { items: [], next_cursor: null })
    t.match(await ask('/api/analytics/report', token), { status: 200, text: /<!doctype html>/ })
    const document = JSON.parse((await ask('/openapi.json')).text) as { info: { version: string } }
    t.equal(document.info.version, version)
    t.equal((await ask('/docs/static/swagger-ui.css')).status, 200, 'with the files of the page')
    t.equal((await ask('/api/auth/password/forgot', '', { email })).status, 202, 'with a mail for the worker')

    await t.test('with stacks that name the files of src/', async t => {
      await db.admin`alter function app.read_me() rename to read_me_elsewhere`
      t.equal((await ask('/api/me', token)).status, 500)
      const { err } = JSON.parse((await server.says(/request failed/)).input) as { err: { stack: string } }
      t.match(err.stack, /src\/\w+\/[\w-]+\.ts:\d+/)
      t.notMatch(err.stack, 'dist/')
    })
    server.child.kill('SIGTERM')
    t.same(await server.ended, { code: 0, signal: null })
    t.equal(server.complaint(), '')
  })

  await t.test('works', async t => {
    const worker = start(t, commands.worker, {
      WORKER_DATABASE_URL: db.url('callboard_worker'),
      DATA_DIR: data,
    })
    await worker.says(/"working"/)
    await until(() => existsSync(join(data, 'mail')) && readdirSync(join(data, 'mail')).length >= 2)
    worker.child.kill('SIGTERM')
    t.same(await worker.ended, { code: 0, signal: null })
    t.equal(worker.complaint(), '')
  })

  await t.test('migrates', async t => {
    const adminUrl = process.env['ADMIN_DATABASE_URL'] ?? ''
    const empty = `callboard_built_${db.name.slice(-12)}`
    await createDatabase(adminUrl, empty)
    t.teardown(() => dropDatabase(adminUrl, empty))
    const settings = { MIGRATOR_DATABASE_URL: withUrl(db.url('callboard_migrator'), { database: empty }) }
    for (const expected of [/000001-callboard\.sql/, /up to date/i]) {
      const migration = start(t, commands.migrate, settings)
      t.same(await migration.ended, { code: 0, signal: null }, migration.complaint())
      t.match(migration.said.join('\n'), expected)
    }
  })

  // What they do is tested in test/bi, test/audit and test/organizations.
  const urls = {
    MIGRATOR_DATABASE_URL: db.url('callboard_migrator'),
    AUDITOR_DATABASE_URL: db.url('callboard_auditor'),
  }
  for (const [name, args, code, output] of [
    ['bi', ['list'], 0, /index/],
    ['audit-policies', ['--migration', 'latest'], 2, /needs a checkout of the repository/],
    ['audit-verify', ['--all'], 0, /events match their seals/],
    ['support-grant', ['--list'], 0, /index/],
    ['support', [], 2, /^Usage: npm run support/],
  ] as const)
    await t.test(`has ${name}`, async t => {
      const program = start(t, ['node', `dist/${name}.js`, ...args], urls)
      t.same(await program.ended, { code, signal: null }, program.complaint())
      t.match([...program.said, program.complaint()].join('\n').trim(), output)
    })
  t.same(
    readdirSync(join(image, 'dist'))
      .filter(name => name.endsWith('.js') && !name.startsWith('chunk-'))
      .sort(),
    Object.keys(programs)
      .map(name => `${name}.js`)
      .sort(),
  )
})
