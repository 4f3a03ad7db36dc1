// What is described of the server that a database is on: each change of it is noticed, and nothing else.
import { t } from '../support/tap.ts'
import { describeCluster } from '../../src/policies/facts.ts'
import { startDatabase } from '../support/helper.ts'
import { undone } from '../support/undone.ts'

/** Other tests create and drop databases meanwhile. */
const own = (facts: string[]) => facts.filter(fact => !fact.startsWith('other database callboard_'))

t.test('the facts of a server', async t => {
  const { admin, name } = await startDatabase(t)
  const before = own(await admin.begin('read only', describeCluster))

  /** What is only there before, and only after a change, which is rolled back. */
  const change = async (statements: string) => {
    const after = own(await undone(admin, statements, describeCluster))
    return {
      lost: before.filter(fact => !after.includes(fact)),
      gained: after.filter(fact => !before.includes(fact)),
    }
  }

  for (const [what, statements, gained, lost] of [
    [
      'a role’s attribute',
      'alter role callboard_auditor bypassrls',
      'role callboard_auditor attribute bypassrls: on',
      '',
    ],
    [
      'a login of what logged nobody in',
      'alter role callboard_exporter login',
      'role callboard_exporter attribute login: on',
      '',
    ],
    [
      'a limit of connections',
      'alter role callboard_auditor connection limit 3',
      'role callboard_auditor connection limit: 3',
      '',
    ],
    [
      'a membership',
      'grant callboard_definer to callboard_auditor',
      'role callboard_auditor member of callboard_definer: inherit, set',
      '',
    ],
    [
      'a membership in a role of the system',
      'grant pg_read_all_data to callboard_auditor',
      'role callboard_auditor member of pg_read_all_data: inherit, set',
      '',
    ],
    [
      'a membership that is revoked',
      'revoke callboard_exporter from callboard_worker',
      '',
      'role callboard_worker member of callboard_exporter: set',
    ],
    [
      'a role’s setting',
      `alter role callboard_auditor set row_security = off`,
      'role callboard_auditor setting row_security: off',
      '',
    ],
    [
      'a parameter that a role may set',
      'grant set on parameter log_statement to callboard_auditor',
      'parameter log_statement grants to callboard_auditor: set',
      '',
    ],
    [
      'a privilege on this database',
      `grant create on database ${name} to callboard_auditor`,
      'this database grants to callboard_auditor: connect, create',
      'this database grants to callboard_auditor: connect',
    ],
    [
      'a privilege on another database',
      'grant create on database postgres to callboard_auditor',
      'other database postgres grants to callboard_auditor: create',
      '',
    ],
    [
      'a lost hardening of functions',
      'grant execute on function lo_creat(integer) to public',
      'hardening large objects closed to public: lost',
      'hardening large objects closed to public: present',
    ],
    [
      'a lost hardening of a view',
      'grant select on pg_stat_activity to public',
      'hardening pg_stat_activity closed to public: lost',
      'hardening pg_stat_activity closed to public: present',
    ],
    [
      'a lost hardening of a comparison',
      'alter function pg_catalog.uuid_eq(uuid, uuid) cost 1',
      'hardening uuids compared before other conditions: lost',
      'hardening uuids compared before other conditions: present',
    ],
  ] as const)
    await t.test(`show ${what}`, async t => {
      t.strictSame(await change(statements), { gained: gained ? [gained] : [], lost: lost ? [lost] : [] })
    })

  await t.test('do not show the logins of BI tools, nor roles that are not ours', async t => {
    t.strictSame(
      await change(`create role bi_0123456789abcdef01234567 login; grant callboard_bi to bi_0123456789abcdef01234567;
        create role somebody_else superuser login`),
      { gained: [], lost: [] },
    )
  })

  await t.test('are read by any login', async t => {
    const seen = await admin.begin('read only', async sql => {
      await sql`set local role callboard_worker`
      return describeCluster(sql)
    })
    t.strictSame(own(seen), before)
  })

  await t.test('let no login of ours connect to another database', async t => {
    t.strictSame(
      before.filter(fact => fact.startsWith('other database')),
      [],
    )
  })
})
