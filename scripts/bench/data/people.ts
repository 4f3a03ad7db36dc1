import postgres from 'postgres'
import type { Filled } from './database.ts'
import { password } from './fill.ts'
import type { Program } from '../run/programs.ts'

/** A user who sends requests, and the data that they may request. */
export interface Person {
  email: string
  password: string
  organization: string
  token: string
  /** Whether they belong to the largest organization, which has a tenth of all data. */
  isLarge: boolean
  shows: string[]
  venues: string[]
}

/**
 * Signs in users of many organizations, one in ten of them from the largest. PostgreSQL alone and the peers are
 * measured with the same tokens.
 */
export async function signIn(filled: Filled, { url }: Program, count: number): Promise<Person[]> {
  const large = Math.max(1, Math.floor(count / 10))
  const others = Math.max(1, count - large)
  const sql = postgres(filled.adminUrl, { max: 1 })
  try {
    const people = await sql<Omit<Person, 'token'>[]>`
      with ranked as (select id, row_number() over (order by id) as n, count(*) over () as of from app.organizations),
      chosen as (
        select n, id, 1 + (n / 7)::integer % 4 as k from ranked
        where n > 1 and (n - 1) % greatest(1, (of - 1) / ${others}::integer) = 0
        limit ${others}::integer),
      all_chosen as (
        select * from chosen union all
        select 1, id, 1 + g % 4 from ranked, generate_series(1, ${large}::integer) g where n = 1)
      select format('user%s@company%s.example', c.k, c.n) as email, ${password} as password, c.id as organization, c.n = 1 as "isLarge",
        array(select s.id::text from app.shows s where s.organization_id = c.id and s.deleted_at is null order by md5(s.id::text) limit 16) as shows,
        array(select v.id::text from app.venues v where v.organization_id = c.id order by v.id limit 8) as venues
      from all_chosen c order by md5(c.id::text || c.k)`
    const signedIn: Person[] = []
    for (const person of people) {
      const answer = await fetch(`${url}/api/auth/sign-in`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email: person.email, password, organization_id: person.organization }),
      })
      const body = (await answer.json()) as { access_token?: string }
      if (body.access_token === undefined)
        throw new Error(`${person.email} cannot sign in: ${JSON.stringify(body)}`)
      signedIn.push({ ...person, token: body.access_token })
    }
    return signedIn
  } finally {
    await sql.end()
  }
}
