import { t } from '../support/tap.ts'
import { aShow, register, startServer } from '../support/helper.ts'

// The clocks change on 28 March and 31 October 2027 in Europe, on 14 March in the United States
// and on 4 April, by half an hour, on Lord Howe Island.
const instants: [zone: string, show_on: string, start_time: string, starts_at: string, why: string][] = [
  ['UTC', '2027-07-01', '20:00', '2027-07-01T20:00Z', 'no zone to speak of'],
  ['Europe/Berlin', '2027-03-27', '20:00', '2027-03-27T19:00Z', 'the evening before the change'],
  ['Europe/Berlin', '2027-03-28', '20:00', '2027-03-28T18:00Z', 'the evening after'],
  ['Europe/Berlin', '2027-03-28', '01:59', '2027-03-28T00:59Z', 'the minute before'],
  ['Europe/Berlin', '2027-03-28', '03:00', '2027-03-28T01:00Z', 'the minute after'],
  ['Europe/Berlin', '2027-03-28', '02:30', '2027-03-28T01:30Z', 'a time that is skipped'],
  ['Europe/Berlin', '2027-10-31', '02:30', '2027-10-31T00:30Z', 'a time that occurs twice: the first'],
  ['America/New_York', '2027-03-13', '23:30', '2027-03-14T04:30Z', 'the next day in UTC'],
  ['America/New_York', '2027-03-14', '23:30', '2027-03-15T03:30Z', 'and an hour earlier in summer'],
  ['Asia/Tokyo', '2027-01-01', '00:30', '2026-12-31T15:30Z', 'past midnight: the year before in UTC'],
  ['Europe/Lisbon', '2027-07-01', '00:15', '2027-06-30T23:15Z', 'past midnight: the month before in UTC'],
  ['Pacific/Kiritimati', '2027-03-01', '09:00', '2027-02-28T19:00Z', 'fourteen hours ahead'],
  ['Asia/Kathmandu', '2027-03-01', '18:00', '2027-03-01T12:15Z', 'three quarters of an hour'],
  ['Australia/Lord_Howe', '2027-04-03', '20:00', '2027-04-03T09:00Z', 'before a change of half an hour'],
  ['Australia/Lord_Howe', '2027-04-04', '20:00', '2027-04-04T09:30Z', 'after it'],
]

t.test('local times', async t => {
  const server = await startServer(t)
  const { call } = server
  const { token } = await register(server, 'Ana')
  const venueIn = async (time_zone: string) =>
    (
      await call<{ id: string }>('POST /api/venues', {
        token,
        body: { name: 'Hall', city: 'Town', country: 'DE', time_zone },
      })
    ).body.id
  const create = async (body: object) =>
    (
      await call<{ id: string; starts_at: string | null }>('POST /api/shows', {
        token,
        body: { ...aShow, ...body },
      })
    ).body
  const instant = (text: string | null) => text && new Date(text).toISOString()

  await t.test("date and start are one instant in the venue's zone", async t => {
    for (const [zone, show_on, start_time, starts_at, why] of instants) {
      const show = await create({ venue_id: await venueIn(zone), show_on, start_time })
      t.equal(instant(show.starts_at), instant(starts_at), `${zone} ${show_on} ${start_time}: ${why}`)
      t.match(show, { show_on, start_time }, 'and stay what was entered')
    }
  })

  await t.test('without a venue or a start there is no instant', async t => {
    t.equal((await create({ start_time: '20:00' })).starts_at, null)
    t.equal((await create({ venue_id: await venueIn('Europe/Berlin') })).starts_at, null)
  })

  await t.test('the instant follows the venue, and the local time does not', async t => {
    const venue_id = await venueIn('Europe/Berlin')
    const { id, starts_at } = await create({ venue_id, start_time: '20:00' })
    t.equal(instant(starts_at), '2027-02-03T19:00:00.000Z')
    await call(`PATCH /api/venues/${venue_id}`, { token, body: { time_zone: 'Europe/London' } })
    const moved = await call(`GET /api/shows/${id}`, { token })
    t.match(moved.body, { start_time: '20:00', time_zone: 'Europe/London' })
    t.equal(instant(String(moved.body['starts_at'])), '2027-02-03T20:00:00.000Z')
  })
})
