// The statements of db/README.md, run in order on the demo: each must give the answer below it.
import postgres from 'postgres'
import t from 'tap'
import { seedDemo } from '../../src/demo/demo.ts'
import { fences, general, read } from '../support/documents.ts'
import { startDatabase } from '../support/helper.ts'
import { rulesOfRoles } from '../isolation/rules-of-roles.ts'
import { definitions, rules } from '../isolation/rules.ts'
import { answerOf, cellsOf, connectAsPsql } from '../support/sql-answers.ts'

const blocks = fences(read('db/README.md'))

t.test('every statement of db/README.md has the answer that is shown', async t => {
  const db = await startDatabase(t)
  await seedDemo({ migratorUrl: db.url('callboard_migrator'), apiUrl: db.url('callboard_api') })
  const adminUrl = new URL(process.env['ADMIN_DATABASE_URL'] ?? '')
  adminUrl.pathname = `/${db.name}`
  const sql = connectAsPsql(adminUrl.href)
  t.teardown(() => sql.end())

  for (const [index, { language, text }] of blocks.entries()) {
    if (language !== 'sql') continue
    const next = blocks[index + 1]
    const shown = next?.language === 'text' ? next.text : undefined
    if (shown?.startsWith('ERROR:')) {
      await t.rejects(sql.unsafe(text), { message: shown.replace('ERROR:', '').trim() }, text)
      continue
    }
    const answer = await answerOf(sql, text)
    const plain = (rows: string[][]) => rows.map(row => row.map(general))
    if (shown !== undefined) t.same(plain(answer), plain(cellsOf(shown)), text)
  }
  t.ok(blocks.filter(({ language }) => language === 'text').length >= 10)
})

t.test('the table of the example', async t => {
  const db = await startDatabase(t)
  await seedDemo({ migratorUrl: db.url('callboard_migrator'), apiUrl: db.url('callboard_api') })
  const file = blocks.find(({ text }) => text.includes('create table if not exists app.riders'))?.text ?? ''
  const owner = db.as('callboard_migrator')
  await owner.unsafe(file)
  await owner.unsafe(file)

  for (const rule of [...rules, ...rulesOfRoles])
    await t.test(`keeps the rule: ${rule.rule}`, async t => {
      t.same(
        [...(await db.admin.unsafe(`${definitions} select distinct name from (${rule.offenders}) o`))],
        [],
      )
    })

  /** Works as the owner of one of the demo's organizations, with the rights of the API's login. */
  const as = <T>(email: string, work: (tx: postgres.TransactionSql) => Promise<T>) =>
    db.admin.begin(async tx => {
      await tx`
        select app_private.set_context(m.user_id, gen_random_uuid(), m.organization_id, m.role, app.permissions_of(m.organization_id, m.user_id))
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
    t.equal(await riders(ana), 0, 'it went with its show')
    await as(ana, tx => tx`select app.restore_row('shows', ${show.id})`)
    t.equal(await riders(ana), 1, 'and came back with it')
    await as(ana, tx => tx`select app.delete_row('riders', id) from app.rider_rows`)
    t.equal(await riders(ana), 0)
  })
})
