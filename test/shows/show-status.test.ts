import { t } from '../support/tap.ts'
import { aShow, join, register, startServer } from '../support/helper.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

/** Which status may follow which, independently of the database. */
const follows: Record<string, string[]> = {
  inquiry: ['hold', 'offer', 'cancelled'],
  hold: ['inquiry', 'offer', 'confirmed', 'cancelled'],
  offer: ['hold', 'confirmed', 'cancelled'],
  confirmed: ['played', 'cancelled', 'postponed'],
  postponed: ['hold', 'confirmed', 'cancelled'],
  cancelled: ['inquiry'],
  played: ['settled'],
  settled: [],
}
const statuses = Object.keys(follows)

t.test('the status of a show', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const token = ana.token
  const create = async (status: string) => {
    const { body } = await call<{ id: string }>('POST /api/shows', { token, body: { ...aShow, status } })
    return body.id
  }
  const statusOf = async (id: string) => (await call(`GET /api/shows/${id}`, { token })).body['status']

  for (const method of ['PATCH', 'PUT']) {
    await t.test(`${method} goes from each status only to those that may follow`, async t => {
      for (const from of statuses) {
        for (const to of statuses) {
          const id = await create(from)
          const body = method === 'PUT' ? { ...aShow, status: to } : { status: to }
          const allowed = from === to || follows[from]?.includes(to) === true
          const answer = await call(`${method} /api/shows/${id}`, { token, body })
          t.equal(outcome(answer), allowed ? '200' : '409 show_status_transition', `${from} to ${to}`)
          t.equal(await statusOf(id), allowed ? to : from)
        }
      }
    })
  }

  await t.test('a refused transition takes the other changes with it', async t => {
    const id = await create('inquiry')
    const refused = await call(`PATCH /api/shows/${id}`, { token, body: { status: 'played', title: 'No' } })
    t.equal(outcome(refused), '409 show_status_transition')
    t.match(refused.body, { detail: 'A show cannot go from inquiry to played.' })
    const read = await call(`GET /api/shows/${id}`, { token })
    t.match(read.body, { ...aShow, status: 'inquiry' })
    t.equal(read.headers['etag'], '"1"')
  })

  await t.test('a manual UPDATE obeys the same table', async t => {
    const id = await create('settled')
    const update = db
      .as('callboard_api')
      .begin(sql => [
        sql`select app.enter(${String(claimsOf(token)['sid'])}, ${ana.organization})`,
        sql`update app.shows set status = 'inquiry' where id = ${id}`,
      ])
    await t.rejects(update, { code: 'PT409', message: 'show_status_transition' })
  })

  await t.test('is corrected to any but settled, by who may, and the log has the reason', async t => {
    const correct = (id: string, status: string, who = token, reason = 'A wrong click') =>
      call(`POST /api/shows/${id}/status`, { token: who, body: { status, reason } })
    for (const from of statuses)
      for (const to of statuses) {
        const id = await create(from)
        const answer = await correct(id, to)
        const allowed = from !== 'settled' && to !== 'settled'
        t.equal(outcome(answer), allowed ? '200' : '409 show_status_transition', `${from} to ${to}`)
        t.equal(await statusOf(id), allowed ? to : from)
      }
    const id = await create('played')
    for (const reason of ['', ' ', '\u200b'])
      t.equal(outcome(await correct(id, 'confirmed', token, reason)), '400 validation')
    // A tag, of which patterns know nothing.
    t.equal(outcome(await correct(id, 'confirmed', token, '\u{e0041}')), '422 show_status_reason_visible')
    const manager = await join(server, ana, 'manager')
    t.equal(outcome(await correct(id, 'confirmed', manager.token)), '403 permission_denied')
    t.equal(outcome(await correct(id, 'confirmed')), '200')
    const { body } = await call<{ items: object[] }>(
      `GET /api/audit/events?resource_id=${id}&action=show.correct_status`,
      { token },
    )
    t.match(body.items, [
      { changes: { old: { status: 'played' }, new: { status: 'confirmed', reason: 'A wrong click' } } },
    ])
    t.equal((await call(`PATCH /api/shows/${id}`, { token, body: { status: 'played' } })).status, 200)
  })

  await t.test('parallel transitions follow one another or are refused', async t => {
    const id = await create('confirmed')
    const answers = await Promise.all(
      ['played', 'cancelled', 'postponed'].map(status =>
        call(`PATCH /api/shows/${id}`, { token, body: { status } }),
      ),
    )
    // Whichever comes first: postponed may still be cancelled, nothing else has a successor here.
    const done = answers.filter(({ status }) => status === 200).length
    t.ok(done === 1 || (done === 2 && (await statusOf(id)) === 'cancelled'), answers.map(outcome).join(', '))
  })
})
