// A server on which nobody is a superuser, as most hosted ones: the set-up by a role with CREATEROLE and CREATEDB.
// `npm test -- --hosted test/isolation` shows that the database isolates all the same.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { readConfig } from '../../src/config.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, setDatabasePrivileges, withUrl } from '../../src/database/provision.ts'
import { checkDatabase } from '../../src/database/safety.ts'
import { connectGauges } from '../../src/monitoring/gauges.ts'
import { audit, parts } from '../../src/policies/audit.ts'
import { ownExceptions } from '../../src/policies/exceptions.ts'
import { lost } from '../../src/policies/judge-cluster.ts'
import { liveDrift, refuseDangerousDrift } from '../../src/policies/live-drift.ts'
import { restored } from '../support/backup.ts'
import { read } from '../support/documents.ts'
import { folder, query, start } from '../support/embedded.ts'

t.test('a role with CREATEROLE and CREATEDB sets everything up', async t => {
  const { adminUrl } = await start(t, join(folder(t), '.data'))
  const password = randomBytes(16).toString('hex')
  await query(adminUrl, `create role hoster login createrole createdb password '${password}'`)
  const hoster = withUrl(adminUrl, { user: 'hoster', password })
  const database = withUrl(adminUrl, { database: 'callboard' })
  const as = (user: string) => withUrl(database, { user, password })
  const logins = { callboard_migrator: password, callboard_api: password, callboard_worker: password }
  const missing = [...(await createRoles(hoster, logins)), ...(await createDatabase(hoster, 'callboard'))]
  const names = missing.map(line => /^Not applied: (.+?)\. (.+)$/.exec(line)?.slice(1) ?? [line, ''])
  const found = async () =>
    (await liveDrift({ url: as('callboard_api'), exceptions: undefined, applicationName: 'test' })) ?? []
  const begin = () =>
    refuseDangerousDrift({ url: as('callboard_api'), exceptions: undefined, applicationName: 'test' })

  await t.test('what only a superuser may do is named, with what it costs', t => {
    const documented = [...read('docs/operate/hosted.md').matchAll(/^\| (.+?) \| (.+?) \|$/gm)]
      .map(([, name = '', cost = '']) => [name.replaceAll('`', '').toUpperCase(), cost] as const)
      .filter(([name]) => !/^(NOT APPLIED|---)/.test(name))
    t.ok(documented.length > 10)
    for (const [name = '', cost = ''] of names) {
      const [, said] =
        documented.find(
          ([one]) =>
            one ===
            name.replace(/database (postgres|template1)/, 'databases postgres and template1').toUpperCase(),
        ) ?? []
      t.ok(said, `${name} is documented`)
      const inAudit = lost[name]
      if (inAudit === undefined) continue
      t.equal(cost, `${inAudit.slice(0, 1).toUpperCase()}${inAudit.slice(1)}.`, 'as in the audit')
      t.equal(said?.replaceAll('`', ''), cost, 'and in the document')
    }
    t.equal(names.length, documented.length + 1, 'nothing else; two databases share a line')
    t.end()
  })

  await t.test('contexts are signed, and the programs start', async t => {
    t.equal(await migrate(as('callboard_migrator')), 'signed')
    await checkDatabase(as('callboard_api'), false)
    await begin()
  })

  await t.test('metrics omit what it does not let them see', async t => {
    const gauges = connectGauges(readConfig({}), as('callboard_worker'))
    const seen = (await gauges.read()).map(({ name }) => name)
    await gauges.close()
    t.ok(seen.includes('event_partitions_ahead'))
    for (const name of ['oldest_transaction_seconds', 'size_bytes', 'standbys'])
      t.notOk(seen.includes(name), name)
  })

  await t.test('what is missing does not keep a restored database from being treated', async t => {
    await query(database, `update app_private.origin set facts = facts || '{"timeline": "7"}'`)
    await t.rejects(checkDatabase(as('callboard_api'), false), /copy of the past/)
    t.match(await restored({ url: as }), { code: 0, output: /may start/ })
    await checkDatabase(as('callboard_api'), false)
  })

  await t.test('once more is harmless', async t => {
    const before = await found()
    t.strictSame(
      [
        ...(await createRoles(hoster)),
        ...(await setDatabasePrivileges(withUrl(hoster, { database: 'callboard' }))),
      ],
      missing,
    )
    t.equal(await migrate(as('callboard_migrator')), 'signed')
    t.strictSame(await found(), before)
  })

  await t.test('the set-up leaves it no right that it did not need to have', async t => {
    const memberships = await query(
      adminUrl,
      `select roleid::regrole::text as role from pg_auth_members where member = 'hoster'::regrole and (inherit_option or set_option)`,
    )
    t.strictSame(
      memberships,
      [],
      'it administers the roles, as who has created them does since PostgreSQL 16',
    )
  })

  await t.test('the audit lists it, to be reviewed', async t => {
    const findings = await found()
    t.strictSame(
      findings.filter(finding => finding.class !== 'to be reviewed').map(finding => finding.id),
      [],
    )
    for (const [name = ''] of names.filter(([name = '']) => lost[name] !== undefined))
      t.ok(
        findings.some(({ id, says }) => id === `drift:hardening ${name}` && says.includes('hoster')),
        name,
      )
  })

  await t.test('and as this login it says what it could not look at', async t => {
    const admin = postgres(withUrl(hoster, { database: 'callboard' }), { max: 1, onnotice: () => {} })
    const report = await audit(admin, { parts, exceptions: ownExceptions() }).finally(() => admin.end())
    t.strictSame(
      report.findings.filter(finding => finding.class !== 'to be reviewed'),
      [],
    )
    t.ok(report.blind.some(reason => reason.includes('only a superuser can see that')))
    t.ok(report.blind.some(reason => reason.startsWith('proof: ')))
    t.comment(report.blind.join('\n'))
  })

  await t.test('what is dangerous otherwise is refused as on any server', async t => {
    await query(adminUrl, 'alter role callboard_api createdb')
    await t.rejects(begin(), /callboard_api.*CREATEDB/s)
    await query(
      adminUrl,
      'alter role callboard_api nocreatedb; create role other; grant callboard_owner to other with admin true, inherit false, set false',
    )
    await t.rejects(begin(), /other.*callboard_owner/s)
    await query(adminUrl, 'drop role other')
    await query(database, 'grant usage on schema public to public')
    await t.rejects(begin(), /schema public/)
    await query(database, 'revoke usage on schema public from public')
    await begin()
  })

  await t.test('a superuser who takes over applies the rest', async t => {
    t.strictSame([...(await createRoles(adminUrl)), ...(await setDatabasePrivileges(database))], [])
    await t.rejects(begin(), /hoster/, 'and learns who else administers the roles')
    await query(database, 'drop owned by hoster; drop role hoster')
    t.equal(await migrate(as('callboard_migrator')), 'guarded')
    t.strictSame(await found(), [])
    await begin()
  })
})
