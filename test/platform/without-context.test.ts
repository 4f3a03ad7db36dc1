// What a DBA's SQL enters, without the context of any member.
import { t } from '../support/tap.ts'
import { aShow, register, startServer } from '../support/helper.ts'

t.test('a DBA enters rows as members do, and not with what was deleted', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const { token, organization } = await register(server, 'Ana')
  const make = async (path: string, body: object) =>
    (await call<{ id: string }>(`POST ${path}`, { token, body })).body.id
  const venues = await Promise.all(
    ['Open', 'Gone'].map(name =>
      make('/api/venues', { name, city: 'Ghent', country: 'BE', time_zone: 'Europe/Brussels' }),
    ),
  )
  const [open = '', gone = ''] = venues
  const shows = [await make('/api/shows', aShow), await make('/api/shows', aShow)]
  const categories = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
    token,
  })
  const [category, other] = categories.body.items.map(({ id }) => id)
  for (const path of [`venues/${gone}`, `shows/${shows[1] ?? ''}`, `finance-categories/${other ?? ''}`])
    t.equal((await call(`DELETE /api/${path}`, { token })).status, 204, path)

  const show = (venue: string) => db.admin`
    insert into app.shows (organization_id, title, artist, show_on, venue_id)
    values (${organization}, 'By a DBA', 'x', '2027-01-01', ${venue})`
  const record = (ofCategory = '', ofShow = '') => db.admin`
    insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, currency, exchange_rate, base_currency, status)
    values (${organization}, 'income', ${ofCategory}, ${ofShow}, '2027-01-01', 100, 'EUR', 1, 'EUR', 'actual')`
  const guest = (ofShow = '') =>
    db.admin`insert into app.guests (organization_id, show_id, name) values (${organization}, ${ofShow}, 'By a DBA')`
  await show(open)
  await record(category, shows[0])
  await guest(shows[0])
  const allotment = await make(`/api/shows/${shows[0] ?? ''}/guest-allotments`, { name: 'Band', tickets: 4 })
  await db.admin`update app.guests set allotment_id = ${allotment}, tickets = 4`
  await t.rejects(db.admin`update app.guests set tickets = 5`, { message: 'guest_allotment_exceeded' })
  t.equal(
    (
      await db.admin`select from app.event_log where actor_kind = 'system' and action in ('show.create', 'finance_record.create')`
    ).count,
    2,
  )

  await t.rejects(show(gone), { code: '23503', constraint_name: 'shows_venue_exists' })
  await t.rejects(record(other, shows[0]), { code: 'PT409', message: 'finance_records_category_exists' })
  await t.rejects(record(category, shows[1]), { code: 'PT409', message: 'finance_records_show_exists' })
  await t.rejects(guest(shows[1]), { code: 'PT409', message: 'guests_show_exists' })
})
