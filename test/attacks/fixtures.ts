import type postgres from 'postgres'
import type { Test } from 'tap'
import { startServer, type TestServer } from '../support/helper.ts'
import { endedContext, readSettings } from '../isolation/contexts.ts'
import { changed, findTables, makeWorld, openLogin, secretOf, snapshot } from '../isolation/world.ts'
import type { Attack, Knowledge } from './attack.ts'
import { carryOut, comeBack, spellings, transcript, unexpected } from './run.ts'

/** What an attack runs against, and what can be asked about it. */
export interface Fixtures {
  server: TestServer
  knowledge: (sql: postgres.Sql) => Promise<Knowledge>
  /** A connection of the API's login, exclusive to the attacker, whose notices are recorded. */
  direct: postgres.Sql
  /** Carries out an attack and returns everything that is wrong: an unexpected outcome, anything shown or changed. */
  assess: (attack: Attack, sql: postgres.Sql) => Promise<string[]>
  /** The same without looking for changes: `changes` finds those of several attacks at once. */
  listen: (attack: Attack, sql: postgres.Sql) => Promise<string[]>
  /** What of the victim's has changed since this was last called, or an attack last assessed. */
  changes: (mayChange?: string[]) => Promise<string[]>
  /** What the attacker finds on a connection that others have used in the meantime. */
  loot: (attack: Attack, sql: postgres.Sql) => Promise<string[]>
  /** The responses to the next requests, of the victim and of the attacker's own colleagues. */
  answers: () => Promise<unknown[]>
}

/**
 * A server with one connection for everybody, an attacker who may send it any SQL, and a victim who is working
 * meanwhile, in their own transaction, unless that would interfere.
 */
export async function makeFixtures(t: Test, isAtWork = true): Promise<Fixtures> {
  const server = await startServer(t, { POOL_SIZE: '1' })
  const { call, db } = server
  const { attacker: a, victim: b } = await makeWorld(server)

  const notices: unknown[] = []
  const direct = openLogin(t, db.url('callboard_api'), notice => notices.push(notice))
  const elsewhere = openLogin(t, db.url('callboard_api'))
  const enter = () => elsewhere`select app.enter(${secretOf(b.owner)}, ${b.organization})`
  await elsewhere`begin`
  await enter()
  // So many that they dominate the planner's statistics of the table.
  await elsewhere`
    with made as (
      insert into app.shows (title, artist, show_on, notes)
      select title, artist, show_on + i, notes from app.shows, generate_series(1, 300) i returning id)
    insert into app.show_fees (show_id, fee_minor, currency)
    select m.id, f.fee_minor, f.currency from made m, app.show_fees f where f.show_id = ${b.show}`
  await elsewhere`commit`
  await db.admin`analyze`
  await elsewhere`begin`
  await enter()
  await elsewhere`select title from app.shows where title = ${`Title ${b.marker}`} for update`
  const [known] = await elsewhere<{ guarded: string; session: string; slug: string; pid: number }[]>`
    select current_setting('backtrace_functions') as guarded, (select id from app.sessions where organization_id = ${b.organization} limit 1) as session,
      (select slug from app.organizations) as slug, pg_backend_pid() as pid`
  if (!known) throw new Error('the victim sees nothing')
  const live = await readSettings(elsewhere)
  if (!isAtWork) await elsewhere`commit`
  const tables = await findTables(db)

  /** Everything that only the victim or the database may know, in every form in which it could be printed. */
  async function secrets(): Promise<string[]> {
    const [row] = await db.admin<{ bytes: Uint8Array[] }[]>`
      select array(select inner_key from app_private.context_keys union select outer_key from app_private.context_keys
        union select verifier from app_private.credentials union select token_hash from app_private.refresh_tokens
        union select secret_hash from app.sessions union select secret_hash from app_private.mailed_secrets
        union select secret_hash from app.calendar_feeds) as bytes`
    const { bytes = [] } = row ?? {}
    const texts = [b.marker, String(b.fee), secretOf(b.owner), live['app.signature'] ?? '']
    return [...texts, ...bytes].filter(secret => secret.length > 0).flatMap(spellings)
  }
  const shown = async (heard: string) => (await secrets()).filter(secret => heard.includes(secret))

  const knowledge = async (sql: postgres.Sql): Promise<Knowledge> => ({
    ...known,
    a,
    b,
    secret: secretOf(a.owner),
    earlier: await endedContext(sql, b),
    elsewhere: live,
  })

  async function listen(attack: Attack, sql: postgres.Sql): Promise<string[]> {
    const wrong: string[] = []
    const k = await knowledge(sql)
    const { expects } = attack
    const guesses = typeof expects === 'object' && 'guess' in expects ? Object.values(expects.guess(k)) : ['']
    const heard = new Set<string>()
    for (const guess of guesses) {
      notices.length = 0
      const replies = await carryOut(sql, attack, k, guess)
      wrong.push(...unexpected(attack, replies, k))
      // What the attacker has sent reveals nothing.
      let news = transcript([replies.map(({ rows, count, error }) => ({ rows, count, error })), notices])
      if (guess !== '') for (const own of spellings(guess)) news = news.replaceAll(own, '…')
      heard.add(news)
      wrong.push(...(await shown(news)).map(secret => `it shows ${secret}`))
    }
    if (heard.size > 1) wrong.push(`it distinguishes the guesses: ${[...heard].join('\n')}`)
    return wrong
  }

  // What happens between two attacks, such as the usual requests, changes nothing of the victim's either: so one
  // snapshot ends an attack and begins the next.
  let latest = await snapshot(db, tables, b)
  async function changes(mayChange: string[] = []): Promise<string[]> {
    const before = latest
    latest = await snapshot(db, tables, b)
    return changed(before, latest)
      .filter(table => !mayChange.some(name => table === name || table.startsWith(`${name}_2`)))
      .map(table => `it changes ${table}`)
  }

  return {
    server,
    knowledge,
    direct,
    assess: async (attack, sql) => [...(await listen(attack, sql)), ...(await changes(attack.mayChange))],
    listen,
    changes,
    loot: async (attack, sql) => shown(transcript(await comeBack(sql, attack))),
    answers: async () => {
      const list = await call('GET /api/shows', { token: b.owner.token })
      const edit = await call(`PATCH /api/venues/${a.venue}`, {
        token: a.owner.token,
        body: { capacity: 900 },
      })
      return [list.status, list.text, edit.status]
    },
  }
}
