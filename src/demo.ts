import postgres from 'postgres'
import { prove } from './password.ts'
import { newSecret } from './tokens.ts'

/** Everybody in the demo signs in with this; it is printed, so it protects nothing. */
export const demoPassword = 'seven black umbrellas'
export const demoEmail = 'ana@northlight.example'

const people = [
  ['ana@northlight.example', 'Ana Lima', 'Northlight Touring', 'owner'],
  ['ben@northlight.example', 'Ben Okafor', 'Northlight Touring', 'admin'],
  ['chiara@northlight.example', 'Chiara Conti', 'Northlight Touring', 'manager'],
  ['dov@northlight.example', 'Dov Levi', 'Northlight Touring', 'viewer'],
  ['erin@harbourstage.example', 'Erin Walsh', 'Harbour Stage', 'owner'],
  ['femi@harbourstage.example', 'Femi Adeyemi', 'Harbour Stage', 'admin'],
  ['gro@harbourstage.example', 'Gro Haugen', 'Harbour Stage', 'manager'],
  ['hana@harbourstage.example', 'Hana Sato', 'Harbour Stage', 'viewer'],
  // Works for both, as many do.
  ['chiara@northlight.example', 'Chiara Conti', 'Harbour Stage', 'viewer'],
] as const

const season = {
  'Northlight Touring': {
    currency: 'EUR',
    venues: [
      ['Kanalhalle', 'Berlin', 'DE', 'Europe/Berlin', 1500],
      ['Salle des Forges', 'Lyon', 'FR', 'Europe/Paris', 900],
      ['The Old Tannery', 'Leeds', 'GB', 'Europe/London', 650],
      ['Teatro Miramar', 'Lisbon', 'PT', 'Europe/Lisbon', 1100],
    ],
    artists: ['The Gaslights', 'Marta Veld Quartet', 'Paper Lanterns'],
    fee: 450_000,
  },
  'Harbour Stage': {
    currency: 'USD',
    venues: [
      ['Pier Nine', 'Portland', 'US', 'America/New_York', 2200],
      ['Foundry Hall', 'Chicago', 'US', 'America/Chicago', 1300],
      ['Canyon Bowl', 'Denver', 'US', 'America/Denver', 4800],
    ],
    artists: ['Silver Union', 'Low Tide Choir'],
    fee: 1_200_000,
  },
} as const

/** A season around today: what lies behind has been played, the rest is on its way. */
function shows(name: keyof typeof season, venueIds: string[]) {
  const { venues, artists, currency, fee } = season[name]
  return Array.from({ length: 28 }, (_, i) => {
    const days = (i - 10) * 9
    const capacity = venues[i % venues.length]?.[4] ?? 500
    const status =
      days < -30
        ? 'settled'
        : days < 0
          ? 'played'
          : (['confirmed', 'confirmed', 'offer', 'hold', 'inquiry'] as const)[i % 5]
    const sold = days < 0 ? 0.7 + (i % 4) / 14 : status === 'confirmed' ? 0.2 + (i % 5) / 10 : 0
    return {
      title: `${artists[i % artists.length] ?? ''} — ${days < 0 ? 'Autumn' : 'Winter'} Tour`,
      artist: artists[i % artists.length] ?? '',
      venue_id: venueIds[i % venueIds.length] ?? null,
      show_on: new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10),
      doors_time: '19:00',
      start_time: i % 3 === 0 ? '20:30' : '20:00',
      curfew_time: i % 4 === 0 ? '00:30' : '23:00',
      status,
      capacity,
      tickets_sold: Math.floor(capacity * sold),
      ...(status !== 'inquiry' && { fee_minor: fee + i * 2500, currency }),
      notes: i % 6 === 0 ? 'Load-in from 14:00 at the rear gate.' : null,
    }
  })
}

/** Fills an empty database with two companies. Returns false, having done nothing, if the demo is there. */
export async function seedDemo({
  migratorUrl,
  apiUrl,
}: {
  migratorUrl: string
  apiUrl: string
}): Promise<boolean> {
  const owner = postgres(migratorUrl, { max: 1, onnotice: () => {} })
  const api = postgres(apiUrl, { max: 1, onnotice: () => {} })
  try {
    if (!(await seedPeople(owner))) return false
    for (const name of Object.keys(season) as (keyof typeof season)[]) await seedSeason(api, name)
    return true
  } finally {
    await Promise.all([owner.end({ timeout: 5 }), api.end({ timeout: 5 })])
  }
}

async function seedPeople(owner: postgres.Sql): Promise<boolean> {
  const [found] = await owner`select from app.users where email = ${demoEmail}`
  if (found) return false
  await owner.begin(async sql => {
    const organizations = new Map<string, string>()
    for (const [email, name, organization, role] of people) {
      let [user] = await sql<{ id: string }[]>`select id from app.users where email = ${email}`
      if (!user) {
        const [made] = await sql<[{ recipe: string; id: string }]>`
          insert into app.users (email, display_name, email_verified_at) values (${email}, ${name}, now())
          returning id, app.password_recipe() as recipe`
        await sql`select app_private.set_password(${made.id}, ${made.recipe}, ${await prove(demoPassword, made.recipe)})`
        user = made
      }
      const known = organizations.get(organization)
      if (known === undefined) {
        const body = {
          name: organization,
          currency: season[organization].currency,
          time_zone: season[organization].venues[0][3],
        }
        const [made] = await sql<
          [{ id: string }]
        >`select app_private.found_organization(${user.id}, ${sql.json(body)}) as id`
        organizations.set(organization, made.id)
      } else {
        await sql`select app_private.set_context(${user.id}, ${user.id}, ${known})`
        await sql`select app_private.join_organization(${user.id}, ${known}, ${role})`
      }
    }
  })
  return true
}

/** The next shows of the first artist are a tour, with a crew that the viewer is in. */
async function seedTour(sql: postgres.TransactionSql, name: keyof typeof season): Promise<void> {
  const [artist] = season[name].artists
  const shows = await sql<{ id: string; show_on: string; city: string; time_zone: string }[]>`
    select s.id, s.show_on::text, v.city, v.time_zone from app.shows s
    join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
    where s.artist = ${artist} and s.show_on > current_date order by s.show_on limit 3`
  const [first, second] = shows
  const last = shows.at(-1)
  if (!first || !second || !last) return
  const create = async (part: string, body: object) => {
    const [made] = await sql<[{ id: string }]>`
      select body ->> 'id' as id from app.create_itinerary_part(${part}, ${sql.json(body as postgres.JSONValue)})`
    return made.id
  }
  const tour = { name: 'Winter Tour', artist, starts_on: first.show_on, ends_on: last.show_on }
  const itinerary_id = await create('itineraries', tour)
  const crew = await create('party_groups', { itinerary_id, name: 'Crew' })
  const viewer = people.find(([, , organization, role]) => organization === name && role === 'viewer')
  const [account] = await sql<{ id: string }[]>`select id from app.users where email = ${viewer?.[0] ?? ''}`
  const member = { itinerary_id, name: viewer?.[1], role: 'Monitor engineer', user_id: account?.id ?? null }
  const passenger = await create('party_members', { ...member, group_ids: [crew] })
  for (const { id: show_id, show_on: day_on, city, time_zone } of shows) {
    const day_id = await create('itinerary_days', { itinerary_id, day_on, show_id, city, time_zone })
    for (const [kind, title, start_time, more] of [
      ['load_in', 'Load-in', '14:00', { group_ids: [crew] }],
      ['soundcheck', 'Soundcheck', '16:30', { end_time: '17:30', certainty: 'approximate' }],
      ['performance', artist, '20:30', { end_time: '22:00', show_id, is_confirmed: true }],
      ['load_out', 'Load-out', '00:30', { starts_next_day: true, group_ids: [crew] }],
    ] as const)
      await create('schedule_items', { day_id, kind, title, start_time, ...more })
  }
  await create('travel_segments', {
    itinerary_id,
    mode: 'ground',
    from_place: first.city,
    departs_on: second.show_on,
    departs_time: '08:00',
    from_time_zone: first.time_zone,
    to_place: second.city,
    arrives_on: second.show_on,
    arrives_time: '12:30',
    to_time_zone: second.time_zone,
    passenger_ids: [passenger],
  })
  await sql`select app.publish_itinerary(${itinerary_id}, 'First version')`
}

/** Shows are entered as their owner would, through the API's own login. */
async function seedSeason(api: postgres.Sql, name: keyof typeof season): Promise<void> {
  const email =
    people.find(([, , organization, role]) => organization === name && role === 'owner')?.[0] ?? ''
  const [recipe] = await api<[{ recipe: string }]>`select app.password_recipe(${email}) as recipe`
  const proof = await prove(demoPassword, recipe.recipe)
  const session = newSecret()
  await api.begin(async sql => {
    const [signedIn] = await sql<[{ organization: string }]>`
      select body ->> 'organization_id' as organization from app.sign_in(${email}, ${proof}, ${session.hash}, ${newSecret().hash}, '{}')`
    await sql`select app.enter(${session.secret}, ${signedIn.organization})`
    const venueIds: string[] = []
    for (const [venue, city, country, time_zone, capacity] of season[name].venues) {
      const [made] = await sql<[{ id: string }]>`
        select body ->> 'id' as id from app.create_venue(${sql.json({ name: venue, city, country, time_zone, capacity })})`
      venueIds.push(made.id)
    }
    for (const show of shows(name, venueIds)) await sql`select from app.create_show(${sql.json(show)})`
    await seedTour(sql, name)
    await sql`select app.end_session(app.current_session_id(), 'signed_out')`
  })
}
