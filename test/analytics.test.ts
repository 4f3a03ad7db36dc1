import t from 'tap'
import { refresh } from './figures.ts'
import { join, register, startServer } from './helper.ts'

interface Figures {
  as_of: string | null
  is_current: boolean
  items: { period_on: string; currency: string; actual: { income_minor: number; records: number } }[]
}

t.test('money by month', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const viewer = await join(server, ana, 'viewer')
  const { body } = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
    token: ana.token,
  })
  const figures = async () =>
    (await call<Figures>('GET /api/analytics/finance?from=2027-01-01', { token: viewer.token })).body
  const record = {
    kind: 'income',
    category_id: body.items[0]?.id,
    booked_on: '2027-03-14',
    amount_minor: 1250,
    status: 'actual',
  }

  await t.test('has no moment before it was computed', async t => {
    t.match(await figures(), { as_of: null, is_current: false, items: [] })
  })
  await t.test('is that of the records once it was', async t => {
    await call('POST /api/finance-records', { token: ana.token, body: record })
    t.strictSame(await refresh(db), ['finance_by_month'])
    t.match(await figures(), {
      is_current: true,
      items: [{ period_on: '2027-03-01', currency: 'USD', actual: { income_minor: 1250, records: 1 } }],
    })
  })
  await t.test('says that it is not current after a change, until it is computed anew', async t => {
    await call('POST /api/finance-records', { token: ana.token, body: record })
    t.match(await figures(), { is_current: false, items: [{ actual: { income_minor: 1250 } }] })
    t.strictSame(await refresh(db), ['finance_by_month'])
    t.match(await figures(), { is_current: true, items: [{ actual: { income_minor: 2500 } }] })
  })
  await t.test('is not computed if nothing has changed, and its moment moves on all the same', async t => {
    await refresh(db)
    const { as_of } = await figures()
    t.strictSame(await refresh(db), [])
    const later = await figures()
    t.match(later, { is_current: true })
    t.ok((later.as_of ?? '') > (as_of ?? ''))
  })
})
