// Whatever differs, of whatever kind: a sentence says what it lets whom see, and a class what to do about it.
import { t } from '../support/tap.ts'
import { subjectOf, valueOf } from '../../src/policies/committed.ts'
import { describe, describeCluster } from '../../src/policies/facts.ts'
import { judge } from '../../src/policies/judge.ts'
import type { Difference } from '../../src/policies/judgement.ts'
import { LiveFacts } from '../../src/policies/live.ts'
import { startDatabase } from '../support/helper.ts'

const { admin } = await startDatabase(t, { passwords: 'select' })
const live = await admin.begin(async sql => [...(await describe(sql)), ...(await describeCluster(sql))])
const facts = new LiveFacts(live)
const classes = ['safe', 'to be reviewed', 'breaking', 'dangerous']

/** Facts of what a database of Callboard does not have. */
const foreign = [
  'extension dblink: 1.2',
  'extension tablefunc: 1.0',
  'publication everything: for all tables',
  'event trigger watch: on ddl_command_end calls public.watch()',
  'rule hide on app.shows: on select do instead nothing',
  'default privileges of callboard_owner on functions grants to public: execute',
  'default privileges of callboard_owner on functions: revoked from public',
  'default privileges of stranger on tables in app grants to its owner: select',
  'setting of this database: row_security=off',
  'setting of this database for callboard_api: work_mem=8MB',
  'role callboard_api connection limit: 5',
  'role callboard_api valid until: 2030-01-01',
  'view app.show_rows option: security_invoker=true',
  'view app.show_rows option: security_invoker=false',
  'view analytics.dashboard option: security_barrier=off',
  'view analytics.dashboard option: check_option=local',
  'view app.copies owner: callboard_owner',
  'materialized view analytics_private.copies owner: callboard_owner',
  'function app.current_org() definition: return null',
  'function app.copy(text) owner: callboard_owner',
  'function app.copy(text) grants to public: execute',
  'function app.enter(text) owner: stranger',
  'table app.copies owner: callboard_owner',
  'table app.shows owner: stranger',
  'table app.shows row security: not enabled, not forced',
  'table app.shows row security: enabled, not forced',
  'table app.copies grants to callboard_bi: select, truncate, update with grant option',
  'trigger _900_event on app.shows: after update disabled',
  'trigger spy on app.shows: after update calls public.spy()',
  'schema app grants to public: create, usage',
  'hardening large objects closed to public: lost',
  'this database owner: stranger',
  'row of app.role_permissions: {"role": "viewer", "permission": "finance.read"}',
  'row of app.currencies: {"code": "XXX"}',
  'weather of the server: fine',
]

/** A fact that is missing, that should not be there, that is another, and that is about somebody else. */
function variants(fact: string): Difference[] {
  const [subject, value] = [subjectOf(fact), valueOf(fact)]
  const others = ['public', 'callboard_bi', 'callboard_api', 'stranger'].map(role =>
    subject.replace(/(?<= grants to )\S+$|(?<=^role )\S+|(?<=member of )\S+$/, role),
  )
  return [
    { subject, expected: value },
    { subject, found: value },
    { subject, expected: value, found: `${value} changed` },
    { subject, expected: value, found: value.split(', ')[0] ?? '' },
    { subject, expected: value.split(', ')[0] ?? '', found: value },
    ...others
      .filter(other => other !== subject)
      .flatMap(other => [
        { subject: other, found: value },
        { subject: other, expected: value },
      ]),
  ]
}

t.test('of every fact, missing, added or changed', t => {
  const wrong: unknown[] = []
  let count = 0
  const differences = [...live, ...foreign]
    .flatMap(variants)
    .filter(({ expected, found }) => expected !== found)
  for (const difference of differences) {
    const { class: found, says } = judge(difference, facts)
    count += 1
    if (
      !classes.includes(found) ||
      !/^[A-ZÄÖÜa-z"'].{10,}\.$/s.test(says) ||
      /undefined|\[object|(?:may|longer|to|of|by) {2}/.test(says)
    )
      wrong.push({ ...difference, found, says })
  }
  t.same(wrong.slice(0, 5), [])
  t.ok(count > 30_000, `${count} differences`)
  t.end()
})

t.test('what can be seen is dangerous, what fails is breaking', t => {
  const of = (difference: Difference) => judge(difference, facts)
  for (const [difference, expected, words] of [
    [
      { subject: 'role callboard_api attribute bypassrls', found: 'true' },
      'dangerous',
      /rows of all organizations/,
    ],
    [
      { subject: 'role callboard_api attribute superuser', found: 'true' },
      'dangerous',
      /nothing applies to it/,
    ],
    [{ subject: 'role callboard_api attribute login', expected: 'true' }, 'breaking', /has lost LOGIN/],
    [
      { subject: 'role callboard_api member of callboard_definer', found: 'inherit' },
      'dangerous',
      /has the rights of/,
    ],
    [
      { subject: 'role callboard_api member of callboard_owner', found: 'admin' },
      'dangerous',
      /may give itself/,
    ],
    [
      { subject: 'role callboard_api setting role', found: 'callboard_owner' },
      'dangerous',
      /every connection/,
    ],
    [{ subject: 'role callboard_api setting work_mem', found: '8MB' }, 'to be reviewed', /work_mem = 8MB/],
    [
      { subject: 'parameter backtrace_functions grants to callboard_api', found: 'set' },
      'dangerous',
      /as anybody/,
    ],
    [
      { subject: 'this database grants to public', expected: '', found: 'connect' },
      'dangerous',
      /may connect/,
    ],
    [
      { subject: 'hardening advisory locks closed to public', expected: 'kept', found: 'lost' },
      'dangerous',
      /advisory locks/,
    ],
    [{ subject: 'extension dblink', found: '1.2' }, 'dangerous', /outside row-level security/],
    [{ subject: 'extension pg_trgm', expected: '1.6' }, 'breaking', /missing/],
    [{ subject: 'publication everything', found: 'for all tables' }, 'dangerous', /does not apply there/],
  ] as const) {
    const { class: found, says } = of(difference)
    t.equal(found, expected, difference.subject)
    t.match(says, words, difference.subject)
  }
  t.end()
})
