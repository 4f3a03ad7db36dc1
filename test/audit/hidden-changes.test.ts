// Who may read the event log sees of each event what they may see of the rows that it is about.
import { t } from '../support/tap.ts'
import { makeTenant } from '../isolation/world.ts'
import { joinAs, startServer } from '../support/helper.ts'

interface Event {
  id: string
  resource_type: string
  changes: object | null
  changes_hidden: boolean
}

const server = await startServer(t)
const { call } = server
const { owner } = await makeTenant(server, 'mine')

async function eventsOf(token: string): Promise<Event[]> {
  const events: Event[] = []
  for (let path = '/api/audit/events?limit=200'; path !== '';) {
    const { body } = await call<{ items: Event[]; next_cursor: string | null }>(`GET ${path}`, { token })
    events.push(...body.items)
    path = body.next_cursor === null ? '' : `/api/audit/events?limit=200&cursor=${body.next_cursor}`
  }
  return events
}
const shownTo = async (token: string) =>
  [...new Set((await eventsOf(token)).filter(e => e.changes !== null).map(e => e.resource_type))].sort()

t.test('an owner sees all changes', async t => {
  const events = await eventsOf(owner.token)
  t.ok(events.length >= 50)
  t.same(
    events.filter(event => event.changes_hidden),
    [],
  )
})

/** About the log itself, how long things are kept, and who from outside may look. */
const ofTheLog = ['audit', 'event', 'legal_hold', 'retention', 'support_grant']

t.test('audit.read alone shows the changes of nothing but the log itself', async t => {
  const { token } = await joinAs(server, owner, ['audit.read'])
  t.same(
    (await shownTo(token)).filter(type => !ofTheLog.includes(type)),
    [],
  )
  for (const { id } of (await eventsOf(token)).filter(event => event.changes_hidden).slice(0, 20))
    t.match((await call(`GET /api/audit/events/${id}`, { token })).body, {
      changes: null,
      changes_hidden: true,
    })
})

t.test('with members.read it shows people, too, and with shows.read shows', async t => {
  const { token } = await joinAs(server, owner, ['audit.read', 'members.read', 'shows.read'])
  const shown = await shownTo(token)
  t.ok(['show', 'user', 'venue'].every(type => shown.includes(type)))
  t.notOk(
    ['finance_record', 'show_fee', 'settlement', 'calendar_feed', 'rate_limit'].some(type =>
      shown.includes(type),
    ),
  )
})

t.test('the digest of a file is in no event, and is shown to nobody but who uploaded it', async t => {
  const made = await call<{ id: string; sha256: string }>('POST /api/imports?resource=shows', {
    token: owner.token,
    body: 'title,artist,show_on,fee,currency\nA,B,2027-01-01,71234,SEK\n',
    headers: { 'content-type': 'text/csv' },
  })
  t.equal(made.status, 201, made.text)
  t.match(made.body.sha256, /^[0-9a-f]{64}$/)
  const other = await joinAs(server, owner, ['imports.run', 'shows.read', 'audit.read'])
  const seen = await call<{ sha256: null }>(`GET /api/imports/${made.body.id}`, { token: other.token })
  t.equal(seen.body.sha256, null)
  t.notMatch((await call('GET /api/imports', { token: other.token })).text, made.body.sha256)
  t.notMatch(JSON.stringify(await eventsOf(owner.token)), 'sha256')
})
