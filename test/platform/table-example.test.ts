// The table in docs/how-to/add-a-table.md obeys every rule, and isolates.
import { setTimeout } from 'node:timers/promises'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { fences, read } from '../support/documents.ts'
import { startDemo } from '../support/demo.ts'
import { except, ownExceptions } from '../../src/policies/exceptions.ts'
import { checkRules } from '../../src/policies/rules/rules.ts'
import { setUp } from '../support/helper.ts'

const blocks = fences(read('docs/how-to/add-a-table.md'))

t.test('the table of the example', async t => {
  const { db } = await startDemo(t)
  const file = blocks.find(({ text }) => text.includes('create table if not exists app.riders'))?.text ?? ''
  const owner = db.as('callboard_migrator')
  await owner.unsafe(file)
  await owner.unsafe(file)

  await t.test('obeys all rules', async t => {
    const { findings, unchecked } = await db.admin.begin(sql => checkRules(sql, setUp))
    t.strictSame([except(findings, ownExceptions()).findings, unchecked], [[], []])
  })

  /** Works as the owner of one of the demo's organizations, with the privileges of the API's login. */
  const as = <T>(email: string, work: (tx: postgres.TransactionSql) => Promise<T>) =>
    db.admin.begin(async tx => {
      await tx`
        select app_private.set_context(m.user_id, gen_random_uuid(), m.organization_id, m.role, array_to_string(app.permissions_of(m.organization_id, m.user_id), ' '))
        from app.memberships m join app.users u on u.id = m.user_id where u.email = ${email} and m.role = 'owner'`
      await tx`set local role callboard_api`
      return work(tx)
    })
  const ana = 'ana@northlight.example'
  const erin = 'erin@harbourstage.example'
  const riders = async (email: string) =>
    (await as(email, tx => tx`select id from app.rider_rows where deleted_at is null`)).length

  await t.test('isolates', async t => {
    const [show] = await as(ana, tx => tx<[{ id: string }]>`select id from app.shows limit 1`)
    const create = (tx: postgres.TransactionSql) =>
      tx`select status from app.create_row('riders', ${tx.json({ show_id: show.id, item: 'Twelve white towels' })})`
    t.match(await as(ana, create), [{ status: 201 }])
    t.same([await riders(ana), await riders(erin)], [1, 0])
    await t.rejects(as(erin, create), /riders_show_exists/)

    await as(ana, tx => tx`select app.delete_row('shows', ${show.id})`)
    t.equal(await riders(ana), 0, 'it was deleted with its show')
    await as(ana, tx => tx`select app.restore_row('shows', ${show.id})`)
    t.equal(await riders(ana), 1, 'and restored with it')
    await as(ana, tx => tx`select app.delete_row('riders', id) from app.rider_rows`)
    t.equal(await riders(ana), 0)

    // Somebody enters a rider while somebody else deletes its show: the deletion waits, and takes it along.
    let deleting: Promise<unknown> = Promise.resolve()
    await as(ana, async tx => {
      await create(tx)
      deleting = as(ana, other => other`select app.delete_row('shows', ${show.id})`)
      await Promise.race([deleting, setTimeout(500)])
    })
    await deleting
    t.equal(await riders(ana), 0, 'no rider survives its show')
    await t.rejects(as(ana, create), /riders_show_exists/, 'nor is one entered later')
  })
})
