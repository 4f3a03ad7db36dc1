// The audit of a live database as a whole: what it finds, where it cannot look, and what it prints.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { page } from '../../scripts/policies/output/page.ts'
import { sarif } from '../../scripts/policies/output/sarif.ts'
import { markdown } from '../../scripts/policies/output/markdown.ts'
import { text } from '../../scripts/policies/output/text.ts'
import { withUrl } from '../../src/database/provision.ts'
import { releaseMark } from '../../src/database/release.ts'
import { audit, parts, type Report } from '../../src/policies/audit.ts'
import { type HbaLine, noteOf, refusesBi, type Seen } from '../../src/policies/bi-memory.ts'
import { since } from '../../src/policies/baseline.ts'
import { type Exception, except, ownExceptions, readExceptions } from '../../src/policies/exceptions.ts'
import { fences, read } from '../support/documents.ts'
import { programArgs, run } from '../support/program.ts'
import { startDemo } from '../support/demo.ts'
import { startDatabase } from '../support/helper.ts'

/** Other tests create databases and logins on the same server meanwhile, and tests have cheaper passwords. */
const ofTests: Exception[] = [
  { finding: 'drift:other database callboard_*', reason: 'of other tests on this server' },
  { finding: 'drift:role safety_*', reason: 'of test/platform/safety.test.ts' },
  { finding: 'drift:function app_private.password_cost() definition', reason: 'see test/support/helper.ts' },
]
const options = { parts, exceptions: [...ownExceptions(), ...ofTests] }

const { db, url } = await startDemo(t)
const { admin } = db
const open = postgres(url, { max: 1, onnotice: () => {} })
t.teardown(() => open.end())
const look = (more = {}) => audit(open, { ...options, ...more })

/** What the audit finds while a change is there. */
async function during<T>(change: string, undo: string, work: () => Promise<T>): Promise<T> {
  await admin.unsafe(change)
  try {
    return await work()
  } finally {
    await admin.unsafe(undo)
  }
}
const widen = `alter policy select_member on app.shows using (true)`
const narrow = `alter policy select_member on app.shows using (organization_id = (select app.org_if('shows.read')))`

const count =
  () => admin`select (select count(*) from app.shows)::integer as shows, (select count(*) from app.event_log)::integer as events,
  (select max(version) from app.venues)::integer as version`
const before = [...(await count())]
const clean = await look()
// What is found then is looked at by several tests: an audit takes seconds.
const widened = await during(widen, narrow, look)

t.test('a clean database', async t => {
  await t.test('has no findings, and everything could be looked at', async t => {
    t.strictSame([clean.findings, clean.blind], [[], []])
  })
  await t.test('is proved by thousands of attempts, of which those that must be are refused', async t => {
    const cells = clean.proof?.cells ?? []
    t.ok(cells.length >= 6000, `${cells.length} cells`)
    const of = (role: string, command: string, table: string, context: string) =>
      cells.find(
        c => c.role === role && c.command === command && c.table === table && c.context.startsWith(context),
      )
    t.match(of('callboard_api', 'select', 'app.shows', 'no context'), { own: 0, others: 0 })
    t.match(of('callboard_api', 'select', 'app.shows', 'settings of A'), { own: 0, others: 0 })
    t.ok((of('callboard_api', 'select', 'app.shows', 'owner of A')?.own ?? 0) > 0)
    t.match(of('callboard_api', 'delete', 'app.shows', 'owner of A'), { refused: '42501' })
    t.match(of('callboard_worker', 'select', 'app.shows', 'no context'), { refused: '42501' })
    t.match(of('callboard_bi', 'select', 'app.shows', 'no context'), { refused: '42501' })
  })
  await t.test('says where it proved nothing', async t => {
    t.ok(clean.proof?.empty.includes('app.legal_holds'))
    t.notOk(clean.proof?.empty.includes('app.shows'))
    t.ok(clean.proof?.cells.some(cell => cell.onNothing))
    t.match(text(clean), /Proved on nothing.*: \d+ tables/)
  })
  await t.test('is left as it was', async t => {
    t.strictSame([...(await count())], before)
  })
  await t.test('says why each role may do what it may', async t => {
    t.match(clean.why['callboard_api select app.shows'], [
      'granted to callboard_api: select',
      /policies allow: select_member \(organization_id = /,
      /^callboard_api → app\..* → callboard_definer → app\.shows: select$/,
    ])
  })
})

t.test('a policy that is widened is found three times, with why', async t => {
  const { findings } = widened
  t.match(
    findings.filter(({ id }) =>
      /(?:policy select_member|callboard_api: select app\.shows|policy-for-everybody)/.test(id),
    ),
    [
      { id: 'drift:policy select_member on app.shows', class: 'dangerous' },
      {
        id: 'proof:callboard_api: select app.shows',
        class: 'dangerous',
        says: /callboard_api \(every request of the API\) sees in app\.shows: \d+ rows of other organizations \(no context, settings of A, made up, owner of A/,
        why: ['granted to callboard_api: select', /select_member \(true\)/],
      },
      { id: 'rules:policy-for-everybody: select_member on app.shows' },
    ],
  )
  t.ok(
    findings.some(({ id }) => id === 'proof:callboard_exporter: select app.show_rows'),
    'views, too',
  )
})

t.test('what changes rows of others is found by trying, and rolled back', async t => {
  const opened = `grant delete on app.venues to callboard_api; alter policy delete_member on app.venues using (true); create policy open on app.venues for update to callboard_api using (true);
    create policy seen on app.venues for select to callboard_api using (true)`
  const closed = `revoke delete on app.venues from callboard_api; alter policy delete_member on app.venues using (organization_id = (select app.org_if('shows.delete'))); drop policy open on app.venues; drop policy seen on app.venues`
  const before = await admin`select count(*) from app.venues`
  const [tried, planned] = await during(opened, closed, async () => [
    await look({ parts: ['proof'] }),
    await look({ parts: ['proof'], isReadOnly: true }),
  ])
  t.match(
    tried.findings
      .filter(({ id }) => /callboard_api: .* app\.venues$/.test(id))
      .map(({ id, says }) => [id, says]),
    [
      ['proof:callboard_api: select app.venues', /sees in app\.venues/],
      ['proof:callboard_api: update app.venues', /changes in app\.venues: \d+ rows of other organizations/],
    ],
  )
  // Shows refer to venues, so that they cannot be deleted: that is no protection of another organization's.
  t.match(
    tried.proof?.cells.find(
      c => c.role === 'callboard_api' && c.command === 'delete' && c.table === 'app.venues',
    ),
    { refused: /^(23503|PT4)/ },
  )
  t.ok(
    planned.proof?.cells.find(
      c => c.role === 'callboard_api' && c.command === 'delete' && c.table === 'app.venues',
    )?.isPlanned,
  )
  t.ok(planned.findings.some(({ id }) => id === 'proof:callboard_api: select app.venues'))
  t.strictSame([...(await admin`select count(*) from app.venues`)], [...before])
})

t.test('a read-only audit runs no INSERT, UPDATE or DELETE, and finds nothing either', async t => {
  const report = await look({ isReadOnly: true })
  t.strictSame([report.findings, report.blind], [[], []])
  const writes = report.proof?.cells.filter(({ command }) => command !== 'select') ?? []
  t.ok(writes.every(cell => cell.isPlanned || cell.refused !== undefined))
  t.ok(writes.some(cell => cell.isPlanned) && writes.some(cell => cell.refused === '42501'))
})

t.test('two audits are compared: what is new, gone, and who may do what they could not', async t => {
  const worse = since(widened, clean)
  t.ok(
    worse.comparison.changes.some(
      c => c.table === 'app.shows' && c.before === 'nothing' && c.now === 'rows of others',
    ),
  )
  t.strictSame(since(widened, widened).findings, [], 'what was there before is not new')
  t.ok(
    since(clean, widened).comparison.gone.some(({ id }) => id === 'drift:policy select_member on app.shows'),
  )
})

t.test('organizations can be named, and those that do not exist are no proof', async t => {
  const report = await look({ parts: ['proof'], a: 'northlight-touring', b: 'harbour-stage' })
  t.match(report.proof, { a: 'northlight-touring', b: 'harbour-stage' })
  t.match(await look({ parts: ['proof'], a: 'nobody' }), {
    blind: ['proof: there is no organization nobody'],
  })
})

t.test('what cannot be looked at is said, and is never green', async t => {
  const empty = await startDatabase(t)
  t.match(await audit(empty.admin, options), { blind: [/^proof: there are not two organizations/] })
  const auditor = postgres(db.url('callboard_auditor'), { max: 1, onnotice: () => {} })
  t.teardown(() => auditor.end())
  const { blind } = await audit(auditor, options)
  t.ok(blind.some(line => /rows of tables of reference/.test(line)))
  t.ok(blind.some(line => /a password is kept as SCRAM-SHA-256: only a superuser/.test(line)))
  t.ok(blind.some(line => /^proof: /.test(line)))
})

t.test('a database that another release migrated is not compared in silence', async t => {
  const note = `comment on schema graphile_migrate is`
  const found = await during(`${note} 'Migrated by another'`, `${note} '${releaseMark()}'`, () =>
    look({ parts: ['drift'] }),
  )
  t.match(found.blind, [/last migrated by another release/])
})

t.test('an exception names a finding and has a reason', async t => {
  const file = join(t.testdir({}), 'exceptions.json')
  const written = (entries: unknown) => {
    writeFileSync(file, JSON.stringify(entries))
    return () => readExceptions(file)
  }
  t.throws(written([{ finding: 'rules:x: y' }]), /has a "finding" and a "reason"/)
  t.throws(written([{ finding: 'rules:x: y', reason: 'ok' }]), /reason/)
  t.throws(written([{ finding: '*:*', reason: 'all of it is fine' }]), /would except everything/)
  t.throws(written({}), /a list of exceptions/)
  const { findings } = widened
  const [one] = written([{ finding: 'proof:*', reason: 'somebody is looking into it' }])()
  const left = except(findings, [one as Exception, { finding: 'rules:none: *', reason: 'left over' }])
  t.ok(left.findings.length > 0 && left.findings.every(({ part }) => part !== 'proof'))
  t.match(left, {
    unused: [{ finding: 'rules:none: *' }],
    excepted: [{ reason: 'somebody is looking into it' }],
  })
})

t.test('the formats hold the same findings', async t => {
  const report = widened
  const all = [...report.findings, ...report.excepted]
  const log = sarif(report)
  t.equal(log.version, '2.1.0')
  t.strictSame(
    log.runs[0]?.results.map(({ partialFingerprints }) => partialFingerprints['callboardFinding/v1']),
    all.map(({ id }) => id),
  )
  t.ok(
    log.runs[0]?.results.every(({ ruleId }) =>
      log.runs[0]?.tool.driver.rules.some(({ id }) => id === ruleId),
    ),
  )
  t.match(log.runs[0]?.results.at(-1), { suppressions: [{ kind: 'external' }] })
  const [md, html, plain] = [markdown(report), page(report), text(report)]
  for (const { id, says, subject } of report.findings) {
    t.ok(plain.includes(id) && plain.includes(says), id)
    t.ok(html.includes(`<code>${id}</code>`), id)
    t.ok(md.replaceAll('\\', '').includes(subject), id)
  }
  t.match(md, /^# Audit of policies\n/)
})

t.test('the page has a matrix whose cells lead to what was tried, and runs no script', async t => {
  const html = page(widened)
  t.match(html, /<th scope="row"><a href="#t-app-shows">app\.shows<\/a>/)
  t.match(html, /<td class="cell wrong"><a href="#t-app-shows">S of others<\/a>/)
  t.match(html, /<section class="table" id="t-app-shows">/)
  for (const [, id = ''] of html.matchAll(/href="#([^"]+)"/g)) if (!html.includes(`id="${id}"`)) t.fail(id)
  t.notMatch(html, /<script|javascript:|https?:\/\//)
  t.ok(page(clean).includes('<p>None.</p>'))
})

t.test('npm run audit:policies', async t => {
  const folder = t.testdir({})
  const args = programArgs('scripts/policies/audit-policies.ts')
  const call = async (adminUrl: string | undefined, ...more: string[]) => {
    const before = process.env['ADMIN_DATABASE_URL']
    if (adminUrl === undefined) delete process.env['ADMIN_DATABASE_URL']
    else process.env['ADMIN_DATABASE_URL'] = adminUrl
    try {
      return await run(process.execPath, ...args, ...more)
    } finally {
      process.env['ADMIN_DATABASE_URL'] = before
    }
  }
  const exceptions = join(folder, 'exceptions.json')
  writeFileSync(exceptions, JSON.stringify(ofTests))
  await t.test('says how it is called', async t => {
    t.match(await call(undefined, '--help'), {
      code: 0,
      output: /^Usage: npm run audit:policies.*Exit status: 0/s,
    })
    t.match(await call(url, '--no-such-option'), {
      code: 2,
      output: /^Unknown option '--no-such-option'.*Usage: /s,
    })
    t.match(await call(url, '--parts', 'drift,spelling'), { code: 2, output: /there is no part "spelling"/ })
    t.match(await call(undefined), { code: 2, output: /^Set ADMIN_DATABASE_URL/ })
  })
  await t.test('exits with 2 where it cannot look', async t => {
    t.match(await call(withUrl(url, { password: 'wrong' })), {
      code: 2,
      output: /^could not look: password authentication failed/,
    })
    t.match(await call(withUrl(url, { database: 'postgres' })), {
      code: 2,
      output: /has no Callboard schema/,
    })
  })
  await t.test('exits with 0 if it finds nothing, and keeps what it saw', async t => {
    const json = join(folder, 'before.json')
    const { code, output } = await call(url, '--exceptions', exceptions, '--json', json)
    t.equal(code, 0, output)
    t.match(output, /Found: 0 dangerous, 0 to be reviewed, 0 breaking, 0 safe/)
    t.equal((JSON.parse(readFileSync(json, 'utf8')) as Report).database, db.name)
  })
  await t.test('exits with 1 if it finds something, says what, and writes each format', async t => {
    const files = ['sarif', 'markdown', 'html'].flatMap(format => [
      `--${format}`,
      join(folder, `report.${format}`),
    ])
    const { code, output } = await during(widen, narrow, () =>
      call(
        url,
        '--exceptions',
        exceptions,
        '--baseline',
        join(folder, 'before.json'),
        '--read-only',
        ...files,
      ),
    )
    t.equal(code, 1, output)
    t.match(output, /DANGEROUS {2}drift:policy select_member on app\.shows\n {2}It lets callboard_api/)
    t.match(
      output,
      /CHANGED {2}callboard_api select app\.shows \(no context\): nothing before, rows of others now/,
    )
    for (const format of ['sarif', 'markdown', 'html'])
      t.ok(
        readFileSync(join(folder, `report.${format}`), 'utf8').includes('select\\_member') ||
          format !== 'markdown',
      )
  })
  await t.test('does what docs/operate/audit.md shows', async t => {
    const blocks = fences(read('docs/operate/audit.md'))
    const lines = blocks
      .filter(({ language }) => language === 'sh')
      .flatMap(({ text }) => text.split('\n'))
      .flatMap(line => /^npm run audit:policies -- (.*)/.exec(line)?.[1] ?? [])
    t.ok(lines.length >= 5)
    for (const line of lines) {
      const files = line.replaceAll(/\w+\.(?:json|html|md|sarif)\b/g, name => join(folder, name))
      t.match(await call(url, ...files.split(' '), '--exceptions', exceptions), { code: 0 }, line)
    }
    const shown = blocks.find(({ text }) => text.startsWith('DANGEROUS'))?.text ?? ''
    const { output } = await during(widen, narrow, () =>
      call(url, '--parts', 'drift', '--exceptions', exceptions),
    )
    t.ok(shown !== '' && output.includes(shown), output)
  })
  await t.test('prints one format instead of the summary', async t => {
    const { output } = await call(url, '--parts', 'drift', '--exceptions', exceptions, '--json', '-')
    t.strictSame((JSON.parse(output) as Report).findings, [])
  })
})

t.test('the memory of BI logins, which PostgreSQL does not bound', async t => {
  const rules = async () => (await look({ parts: ['rules'] })).findings
  await t.test('is a note, and safe, as long as a BI login may log in', async t => {
    t.strictSame(await rules(), [], 'without one there is nothing to say')
    const [{ id }] = await admin<[{ id: string }]>`
      select app_private.create_bi_credential('northlight-touring', '{"name": "Metabase"}',
        'SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$3vjHmAzgEFOvWpJ5ZZfMgEcYTDyJeO0gZqXZLMf0vQw=:dMtZyOJDuvP4ANqwF2TPlrPvzLWYm5LMFKLJJ8ME6lI=') as id`
    const says =
      /^BI logins \(1\) may connect to this server, a primary\. PostgreSQL does not bound the memory of a statement: (?:a cgroup leaves|vm\.overcommit|nothing here does)/
    t.match(await rules(), [{ id: 'rules:bi-memory', class: 'safe', says }])
    await admin`select app_private.revoke_bi_credential(${id})`
    for (let step = 0; step < 5; step += 1) await admin`select app.reconcile_bi_logins()`
    t.strictSame(await rules(), [])
  })

  const line = (more: Partial<HbaLine> = {}): HbaLine => ({
    type: 'host',
    database: ['all'],
    user_name: ['all'],
    address: 'all',
    auth_method: 'scram-sha-256',
    ...more,
  })
  const reject = line({ user_name: ['+callboard_bi'], auth_method: 'reject' })
  const hba: [what: string, lines: HbaLine[], isRefused: boolean][] = [
    ['as documented', [line({ type: 'local' }), reject, line()], true],
    ['below a line that lets everybody in', [line(), reject], false],
    [
      'below one for them',
      [line({ user_name: ['+callboard_bi'], address: '10.0.0.0' }), reject, line()],
      false,
    ],
    ['of one network only', [{ ...reject, address: '10.0.0.0' }, line()], false],
    ['without TLS only', [{ ...reject, type: 'hostnossl' }, line()], false],
    ['of one login only', [{ ...reject, user_name: ['bi_0123'] }, line()], false],
    ['of another database', [{ ...reject, database: ['metabase'] }, line()], false],
    [
      'because no line is about them',
      [line({ user_name: ['callboard_api'] }), line({ database: ['replication'] })],
      true,
    ],
  ]
  for (const [what, lines, isRefused] of hba)
    t.equal(refusesBi(lines, 'callboard'), isRefused, `pg_hba.conf refuses them ${what}: ${isRefused}`)

  const seen: Seen = { logins: 2, isStandby: false, isRefused: false, cgroup: 0, isStrict: false }
  const notes: [Partial<Seen>, RegExp][] = [
    [{}, /may connect to this server, a primary\. .*nothing here does/],
    [{ isStandby: true, cgroup: 8 * 2 ** 30 }, /a standby\. .*a cgroup leaves PostgreSQL 8 GiB together/],
    [{ isRefused: true }, /are refused on this server, a primary/],
    [{ isStrict: true }, /vm\.overcommit_memory=2 lets the statement fail/],
    [
      { isRefused: null, cgroup: null, isStrict: null },
      /unless its pg_hba\.conf.*what does cannot be seen from here/,
    ],
  ]
  for (const [more, says] of notes) t.match(noteOf({ ...seen, ...more })?.says, says)
})
