import type { Person, TestServer } from './helper.ts'

/** The year of the tour: its March is within what calendar feeds show, from 100 days ago to 400 days from now. */
const year = new Date(Date.now() + 200 * 86_400_000).getUTCFullYear()
/** The first day of the tour, a 14 March: winter time in Europe, summer time in America. */
export const dayOne = `${year}-03-14`
export const dayTwo = `${year}-03-15`
export const dayThree = `${year}-03-16`

export const anItinerary = {
  name: 'Winter Tour',
  artist: 'The Gaslights',
  starts_on: dayOne,
  ends_on: `${year}-04-02`,
}
export const aDay = { day_on: dayOne, time_zone: 'Europe/Lisbon', city: 'Lisbon' }
export const anItem = { title: 'Soundcheck', kind: 'soundcheck', start_time: '16:30', end_time: '17:30' }
export const aSegment = {
  mode: 'air',
  from_place: 'Berlin BER',
  departs_on: dayOne,
  departs_time: '09:15',
  from_time_zone: 'Europe/Berlin',
  to_place: 'Lisbon LIS',
  arrives_on: dayOne,
  arrives_time: '12:05',
  to_time_zone: 'Europe/Lisbon',
}
export const aLodging = { name: 'Hotel Miramar', check_in_on: dayOne, check_out_on: dayThree }

/** The ids of an itinerary and of one of each of its parts, by the first part of their paths. */
export interface Tour extends Record<string, string> {
  itineraries: string
  'itinerary-days': string
  'schedule-items': string
  'travel-segments': string
  lodgings: string
  'lodging-rooms': string
  'party-members': string
  'party-groups': string
}

/** Creates one as its people would. `change` is merged into the body of each part. */
export async function makeTour(
  { call }: TestServer,
  { token }: Person,
  change: Record<string, object> = {},
): Promise<Tour> {
  const make = async (path: string, body: object) => {
    const answer = await call<{ id: string }>(`POST /api/${path}`, {
      token,
      body: { ...body, ...change[path] },
    })
    if (answer.status !== 201) throw new Error(`cannot make one of ${path}: ${answer.text}`)
    return answer.body.id
  }
  const itineraries = await make('itineraries', anItinerary)
  const of = { itinerary_id: itineraries }
  const day = await make('itinerary-days', { ...of, ...aDay })
  const group = await make('party-groups', { ...of, name: 'Crew' })
  const member = await make('party-members', { ...of, name: 'Noa Berg', group_ids: [group] })
  const lodging = await make('lodgings', { ...of, ...aLodging })
  return {
    itineraries,
    'itinerary-days': day,
    'party-groups': group,
    'party-members': member,
    'schedule-items': await make('schedule-items', { day_id: day, ...anItem }),
    'travel-segments': await make('travel-segments', { ...of, ...aSegment, passenger_ids: [member] }),
    lodgings: lodging,
    'lodging-rooms': await make('lodging-rooms', {
      lodging_id: lodging,
      name: 'Double 412',
      occupant_ids: [member],
    }),
  }
}
