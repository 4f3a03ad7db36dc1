// fact_settlement_lines is a figure: what happens to a settlement and to its show reaches it.
import { t } from '../support/tap.ts'
import { connectBi, makeCredential } from '../support/bi.ts'
import { check, refresh } from '../support/figures.ts'
import { register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'

t.test('the lines of settlements', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { show500, record, finalize, reopen } = settling(server, token)
  const sql = connectBi(t, await makeCredential(server, ana))
  const lines = async (show: string) => {
    await refresh(db)
    const rows = await sql<{ amount_minor: string; kind: string; day: string }[]>`
      select amount_minor, kind, for_on::text as day from fact_settlement_lines where show_id = ${show}`
    return rows.map(row => ({ ...row, amount: (row.kind === 'income' ? 1 : -1) * Number(row.amount_minor) }))
  }
  const deal = { kind: 'flat', currency: 'USD', guarantee_minor: 100_000 }
  const show = await show500(deal)
  await show500(deal)
  const final = async (reason: string | null = null) => {
    const { body } = await record(show, reason)
    const { status, body: done } = await finalize(body.id)
    t.equal(status, 200)
    return done.result['promoter_minor']
  }
  const sum = (rows: { amount: number }[]) => rows.reduce((all, { amount }) => all + amount, 0)

  t.strictSame(await lines(show), [], 'there are none without a settlement in force')
  await record(show)
  t.strictSame(await lines(show), [], 'nor with a draft')
  const promoter = await final()
  const first = await lines(show)
  t.ok(first.length >= 4)
  t.equal(sum(first), promoter, 'income less expenses is what the promoter is left with')

  await call(`PATCH /api/shows/${show}`, { token, body: { show_on: '2027-02-05' } })
  t.strictSame(
    new Set((await lines(show)).map(({ day }) => day)),
    new Set(['2027-02-03']),
    'they are for the day that the show had when its settlement was recorded, on which they are booked',
  )

  await reopen(show, 'More came in')
  t.strictSame(await lines(show), [], 'a reopened one is not in force')
  t.equal(await final('More came in'), promoter)
  t.equal((await lines(show)).length, first.length)

  await t.test('go with the show, and come back with it', async t => {
    t.equal((await call(`DELETE /api/shows/${show}`, { token })).status, 204)
    t.strictSame(await lines(show), [])
    t.strictSame(await check(db), { differing: [], failed: [] })
    t.equal((await call(`POST /api/shows/${show}/restore`, { token })).status, 200)
    t.equal((await lines(show)).length, first.length)
    await call(`DELETE /api/shows/${show}`, { token })
    await refresh(db)
    for (const table of ['shows', 'settlements', 'deals', 'ticket_tiers', 'show_costs', 'finance_records'])
      await db.admin.unsafe(
        `update app.${table} set deleted_at = now() - interval '900 days' where deleted_at is not null`,
      )
    await db.as('callboard_worker')`select app.purge_deleted()`
    t.equal((await db.admin`select from app.settlements where show_id = ${show}`).count, 0, 'it is purged')
    t.strictSame(await lines(show), [])
    t.strictSame(await check(db), { differing: [], failed: [] }, 'and the figures know')
  })
})
