import type postgres from 'postgres'
import t from 'tap'
import type { Attack, Knowledge } from './attacks/attack.ts'
import { commands } from './attacks/commands.ts'
import { escalation } from './attacks/escalation.ts'
import { forgedContext } from './attacks/forged-context.ts'
import { oracles } from './attacks/oracles.ts'
import { reading } from './attacks/reading.ts'
import { carryOut, comeBack, spellings, transcript, unexpected } from './attacks/run.ts'
import { sessions } from './attacks/sessions.ts'
import { writing } from './attacks/writing.ts'
import { startServer } from './helper.ts'
import { endedContext, readSettings } from './isolation/contexts.ts'
import { changed, findTables, makeWorld, openLogin, secretOf, snapshot } from './isolation/world.ts'

const attacks = { forgedContext, sessions, reading, writing, commands, oracles, escalation }

t.test('with any SQL as the API’s login', async t => {
  // One connection for everybody: what an attack leaves on it, the victim's next request finds.
  const server = await startServer(t, { POOL_SIZE: '1' })
  const { call, db, pool } = server
  const world = await makeWorld(server)
  const { attacker: a, victim: b } = world
  await db.admin`analyze`

  const notices: unknown[] = []
  const direct = openLogin(t, db.url('callboard_api'), notice => notices.push(notice))
  // The victim is at work meanwhile, on a connection of their own.
  const elsewhere = openLogin(t, db.url('callboard_api'))
  await elsewhere`begin`
  await elsewhere`select app.enter(${secretOf(b.owner)}, ${b.organization})`
  await elsewhere`select title from app.shows where title = ${`Title ${b.marker}`} for update`
  const [known] = await elsewhere<{ session: string; slug: string; pid: number }[]>`
    select (select id from app.sessions where organization_id = ${b.organization} limit 1) as session,
      (select slug from app.organizations) as slug, pg_backend_pid() as pid`
  if (!known) throw new Error('the victim sees nothing')
  const knowledge = async (sql: postgres.Sql): Promise<Knowledge> => ({
    ...known,
    a,
    b,
    secret: secretOf(a.owner),
    earlier: await endedContext(sql, b),
    elsewhere: await readSettings(elsewhere),
  })

  const tables = await findTables(db)
  const look = () => snapshot(db, tables, b)
  const secrets = async () => {
    const [row] = await db.admin<{ bytes: Uint8Array[]; tokens: string[] }[]>`
      select array(select inner_key from app_private.context_keys union select outer_key from app_private.context_keys
        union select verifier from app_private.credentials union select token_hash from app_private.refresh_tokens
        union select secret_hash from app.sessions union select token_hash from app.invitations) as bytes,
        array(select data ->> 'token' from app_private.mails where data ? 'token') as tokens`
    const mine = (await elsewhere<{ s: string }[]>`select current_setting('app.signature') as s`).map(
      x => x.s,
    )
    return [
      b.marker,
      String(b.fee),
      secretOf(b.owner),
      ...mine,
      ...(row?.tokens ?? []),
      ...(row?.bytes ?? []),
    ].flatMap(spellings)
  }
  const answers = async () => {
    const list = await call('GET /api/shows', { token: b.owner.token })
    const edit = await call(`PATCH /api/venues/${world.attacker.venue}`, {
      token: a.owner.token,
      body: { capacity: 900 },
    })
    return [list.status, list.text, edit.status]
  }
  const usual = await answers()
  /** Carries the attack out and says all that is wrong with it. */
  async function assess(attack: Attack, sql: postgres.Sql): Promise<string[]> {
    const wrong: string[] = []
    const k = await knowledge(sql)
    const guesses =
      typeof attack.expects === 'object' && 'guess' in attack.expects
        ? Object.values(attack.expects.guess(k))
        : ['']
    const transcripts: string[] = []
    for (const guess of guesses) {
      const before = await look()
      notices.length = 0
      const replies = await carryOut(sql, attack, k, guess)
      const surprise = unexpected(attack, replies, k)
      if (surprise !== undefined) wrong.push(surprise)
      // What the attacker sent is no news.
      const heard = transcript([replies.map(({ sql: _, ...reply }) => reply), notices])
      const news =
        guess === '' ? heard : spellings(guess).reduce((said, own) => said.replaceAll(own, '…'), heard)
      wrong.push(
        ...(await secrets()).filter(secret => news.includes(secret)).map(secret => `it shows ${secret}`),
      )
      for (const table of changed(before, await look()))
        if (!attack.mayChange?.includes(table)) wrong.push(`it changes ${table}`)
      transcripts.push(news.replaceAll(/0x[0-9a-f]+|"line":"\d+"/g, ''))
    }
    if (new Set(transcripts).size > 1) wrong.push(`it tells the guesses apart: ${transcripts.join('\n')}`)
    return wrong
  }

  for (const [kind, list] of Object.entries(attacks))
    await t.test(kind, async t => {
      for (const attack of list)
        await t.test(attack.name, async t => {
          t.strictSame(await assess(attack, direct), [], 'on a connection of its own')
          await comeBack(direct, attack)
          await direct.unsafe('discard all')
          t.strictSame(await pool.use(sql => assess(attack, sql)), [], 'on the connection of everybody')
          t.strictSame(await answers(), usual, 'the next requests get what they always get')
          const loot = transcript(await pool.use(sql => comeBack(sql, attack)))
          t.strictSame(
            (await secrets()).filter(secret => loot.includes(secret)),
            [],
            'and leave nothing there',
          )
        })
    })

  t.test('there are enough of them', async t => {
    t.ok(Object.values(attacks).flat().length >= 60)
  })
})
