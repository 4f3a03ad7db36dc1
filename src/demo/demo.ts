import postgres from 'postgres'
import { seedBooks } from './books.ts'
import { seedSettlement } from './settlements.ts'
import { prove } from '../accounts/password.ts'
import { newSecret } from '../http/tokens.ts'

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

type Company = keyof typeof season

/** A season around today: past shows have been played, the others are in preparation. */
function shows(company: Company, venues: { id: string; capacity: number }[]) {
  const { artists, currency, fee } = season[company]
  return Array.from({ length: 28 }, (_, i) => {
    const days = (i - 10) * 9
    const artist = inTurn(artists, i)
    const { id: venue_id, capacity } = inTurn(venues, i)
    const status =
      days < -30
        ? 'settled'
        : days < 0
          ? 'played'
          : (['confirmed', 'confirmed', 'offer', 'hold', 'inquiry'] as const)[i % 5]
    const sold = days < 0 ? 0.7 + (i % 4) / 14 : status === 'confirmed' ? 0.2 + (i % 5) / 10 : 0
    return {
      title: `${artist} — ${days < 0 ? 'Autumn' : 'Winter'} Tour`,
      artist,
      venue_id,
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

const inTurn = <T>(list: readonly T[], i: number) => list[i % list.length] as T

/**
 * Fills an empty database with two companies, or completes what a killed process has begun. Returns false,
 * without doing anything, if the demo is complete.
 */
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
    // The people and each season have a transaction of their own, because different logins create them.
    // Confirming her address is the last step, and marks the demo as complete.
    const [found] = await owner<
      { complete: boolean }[]
    >`select email_verified_at is not null as complete from app.users where email = ${demoEmail}`
    if (found?.complete === true) return false
    if (!found) await owner.begin(seedPeople)
    for (const [email, , company, role] of people)
      if (role === 'owner') await api.begin(sql => seedSeason(sql, company, email))
    await owner`update app.users set email_verified_at = now() where email = ${demoEmail}`
    return true
  } finally {
    await Promise.all([owner.end({ timeout: 5 }), api.end({ timeout: 5 })])
  }
}

async function seedPeople(sql: postgres.TransactionSql): Promise<void> {
  const organizations = new Map<string, string>()
  for (const [email, name, company, role] of people) {
    let [user] = await sql<{ id: string }[]>`select id from app.users where email = ${email}`
    if (!user) {
      const [made] = await sql<[{ recipe: string; id: string }]>`
        insert into app.users (email, display_name, email_verified_at)
        values (${email}, ${name}, case when ${email !== demoEmail} then now() end)
        returning id, app.password_recipe() as recipe`
      await sql`select app_private.set_password(${made.id}, ${made.recipe}, ${await prove(demoPassword, made.recipe)})`
      user = made
    }
    const known = organizations.get(company)
    if (known === undefined) {
      const body = {
        name: company,
        currency: season[company].currency,
        time_zone: season[company].venues[0][3],
      }
      const [made] = await sql<
        [{ id: string }]
      >`select app_private.found_organization(${user.id}, ${sql.json(body)}) as id`
      organizations.set(company, made.id)
    } else {
      await sql`select app_private.set_context(${user.id}, ${user.id}, ${known})`
      await sql`select app_private.join_organization(${user.id}, ${known}, ${role})`
    }
  }
}

/** The next shows of the first artist are a tour, with a crew that includes the viewer. */
async function seedTour(sql: postgres.TransactionSql, company: Company): Promise<void> {
  const [artist] = season[company].artists
  const shows = await sql<{ id: string; show_on: string; city: string; time_zone: string }[]>`
    select s.id, s.show_on::text, v.city, v.time_zone from app.shows s
    join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
    where s.artist = ${artist} and s.show_on > current_date order by s.show_on limit 3`
  const [first, second] = shows
  const last = shows.at(-1)
  if (!first || !second || !last) return
  const create = async (part: string, body: object) => {
    const [made] = await sql<[{ id: string }]>`
      select body ->> 'id' as id from app.create_row(${part}, ${sql.json(body as postgres.JSONValue)})`
    return made.id
  }
  const tour = { name: 'Winter Tour', artist, starts_on: first.show_on, ends_on: last.show_on }
  const itinerary_id = await create('itineraries', tour)
  const crew = await create('party_groups', { itinerary_id, name: 'Crew' })
  const viewer = people.find(([, , of, role]) => of === company && role === 'viewer')
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
  const [travel] = await sql<[{ id: string }]>`
    select id from app.finance_categories where name = 'Travel' and kind = 'expense'`
  const days = { itinerary_id, category_id: travel.id, starts_on: first.show_on, ends_on: last.show_on }
  await create('per_diems', { ...days, person: member.name, party_member_id: passenger, daily_minor: 4500 })
  await create('per_diems', { ...days, person: artist, daily_minor: 18_000, note: 'Four people, 45 each.' })
  await sql`select app.publish_itinerary(${itinerary_id}, 'First version')`
}

/** Enters shows as their owner would, through the API's own login. An existing season is left alone. */
async function seedSeason(sql: postgres.TransactionSql, company: Company, email: string): Promise<void> {
  const [recipe] = await sql<[{ recipe: string }]>`select app.password_recipe(${email}) as recipe`
  const proof = await prove(demoPassword, recipe.recipe)
  const session = newSecret()
  const [signedIn] = await sql<[{ organization: string }]>`
    select body ->> 'organization_id' as organization from app.sign_in(${email}, ${proof}, ${session.hash}, ${newSecret().hash}, '{}')`
  await sql`select app.enter(${session.secret}, ${signedIn.organization})`
  const [played] = await sql`select from app.shows limit 1`
  if (!played) {
    const venues: { id: string; capacity: number }[] = []
    for (const [name, city, country, time_zone, capacity] of season[company].venues) {
      const [made] = await sql<[{ id: string }]>`
        select body ->> 'id' as id from app.create_row('venues', ${sql.json({ name, city, country, time_zone, capacity })})`
      venues.push({ id: made.id, capacity })
    }
    let settled = 0
    for (const show of shows(company, venues)) {
      const [{ id }] = await sql<[{ id: string }]>`
        select body ->> 'id' as id from app.create_show(${sql.json(show)})`
      await seedBooks(sql, { ...show, id })
      if (show.status === 'played') await seedSettlement(sql, { ...show, id }, settled++)
    }
    await seedTour(sql, company)
  }
  await sql`select app.end_session(app.current_session_id(), 'signed_out')`
}
