import { t } from '../support/tap.ts'
import {
  aShow,
  join,
  joinAs,
  type Person,
  register,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { makeTour } from '../support/itineraries.ts'
import { kindsOf, make } from '../support/make.ts'
import { walk } from '../support/pages.ts'
import { outcome } from '../support/tokens.ts'

interface Row {
  id: string
  deleted_at?: string
  deleted_by?: string
}
interface List {
  items: Row[]
}

/** Every top-level list with a bin, and who may see the list but not what was deleted. */
const lists: [kind: string, reader: string][] = [
  ['shows', 'manager'],
  ['venues', 'manager'],
  ['finance-categories', 'manager'],
  ['itineraries', 'manager'],
  ['roles', 'admin'],
]

async function idsOf({ call }: TestServer, { token }: Person, path: string, query = '') {
  const { body } = await call<List>(`GET ${path}${query}`, { token })
  return body.items.map(({ id }) => id)
}

t.test('the bin', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const { token } = ana

  for (const [kind, reader] of lists) {
    const path = `/api/${kind}`
    await t.test(`of ${path} has what was deleted, until it is restored`, async t => {
      const id = await make(server, ana, kind)
      t.strictSame(await idsOf(server, ana, path, '?deleted=only'), [], 'it is empty')
      t.ok((await idsOf(server, ana, path)).includes(id))
      await call(`DELETE ${path}/${id}`, { token })

      const bin = await call<List>(`GET ${path}?deleted=only`, { token })
      t.match(bin.body.items, [{ id, deleted_by: ana.id, deleted_at: /^\d{4}-/ }])
      t.equal(bin.body.items.length, 1)
      t.notOk((await idsOf(server, ana, path)).includes(id), 'and the list does not')
      t.equal(outcome(await call(`GET ${path}/${id}`, { token })), '404 not_found')
      t.strictSame(
        await idsOf(server, ben, path, '?deleted=only'),
        [],
        'nor does that of another organization',
      )

      const restored = await call<Row>(`POST ${path}/${id}/restore`, { token })
      t.notOk('deleted_at' in restored.body, 'a live row says nothing about a bin')
      t.strictSame(await idsOf(server, ana, path, '?deleted=only'), [])
      t.ok((await idsOf(server, ana, path)).includes(id))
    })

    await t.test(`of ${path} is for those who may delete`, async t => {
      const member = await join(server, ana, reader)
      t.equal(outcome(await call(`GET ${path}`, { token: member.token })), '200')
      t.equal(
        outcome(await call(`GET ${path}?deleted=only`, { token: member.token })),
        '403 permission_denied',
      )
    })
  }

  await t.test('shows nothing to somebody who may delete but not read', async t => {
    const member = await joinAs(server, ana, ['shows.delete'])
    t.equal(
      outcome(await call('GET /api/shows?deleted=only', { token: member.token })),
      '403 permission_denied',
    )
  })

  await t.test('has the parts of a show, for those who may delete', async t => {
    const show = await make(server, ana, 'shows')
    const manager = await join(server, ana, 'manager')
    const kinds = [...kindsOf(server.app).values()].filter(
      ({ parent, isRestorable }) => parent === 'shows' && isRestorable,
    )
    t.ok(kinds.length >= 4)
    for (const { kind } of kinds) {
      const list = `/api/shows/${show}/${kind}`
      const id = await make(server, ana, kind, { among: { shows: show } })
      t.strictSame(await idsOf(server, ana, list, '?deleted=only'), [], kind)
      await call(`DELETE /api/${kind}/${id}`, { token })
      t.strictSame(await idsOf(server, ana, list, '?deleted=only'), [id], kind)
      t.strictSame(await idsOf(server, ana, list), [], kind)
      t.equal(outcome(await call(`GET /api/${kind}/${id}`, { token })), '404 not_found', kind)
      t.equal(
        outcome(await call(`GET ${list}?deleted=only`, { token: manager.token })),
        '403 permission_denied',
        kind,
      )
      t.equal(outcome(await call(`POST /api/${kind}/${id}/restore`, { token })), '200', kind)
      t.strictSame(await idsOf(server, ana, list), [id], kind)
    }
  })

  await t.test('has the parts of an itinerary, deleted alone or with their parent', async t => {
    const tour = await makeTour(server, ana)
    for (const [kind, id] of Object.entries(tour).filter(([kind]) => kind !== 'itineraries')) {
      const query = `?deleted=only&itinerary_id=${tour.itineraries}`
      await call(`DELETE /api/${kind}/${id}`, { token })
      t.strictSame(await idsOf(server, ana, `/api/${kind}`, query), [id], kind)
      t.equal(outcome(await call(`POST /api/${kind}/${id}/restore`, { token })), '200', kind)
      t.strictSame(await idsOf(server, ana, `/api/${kind}`, query), [], kind)
    }
    await call(`DELETE /api/itinerary-days/${tour['itinerary-days']}`, { token })
    t.strictSame(
      await idsOf(server, ana, '/api/schedule-items', `?deleted=only&day_id=${tour['itinerary-days']}`),
      [tour['schedule-items']],
      'with its day',
    )
  })

  await t.test('comes in pages, with filters and in order', async t => {
    const ids: string[] = []
    for (let day = 1; day <= 7; day += 1) {
      const show = { ...aShow, show_on: `2028-01-0${day}` }
      const { id } = (await call<Row>('POST /api/shows', { token, body: show })).body
      if (day !== 4) await call(`DELETE /api/shows/${id}`, { token })
      if (day !== 4 && day < 7) ids.push(id)
    }
    const pages = await walk(
      server,
      token,
      '/api/shows?deleted=only&to=2028-01-06&sort=-show_on&limit=2',
      'cursor',
    )
    t.strictSame(
      pages.flat().map(({ id }) => id),
      ids.reverse(),
    )
    t.equal(pages.length, 3)
  })

  await t.test('accepts only the value "only"', async t => {
    for (const value of ['yes', '', 'ONLY', 'only&deleted=only'])
      t.equal(outcome(await call(`GET /api/shows?deleted=${value}`, { token })), '400 validation', value)
  })
})
