import type postgres from 'postgres'
import { carrier } from '../support/helper.ts'
import type { Attack, Knowledge } from './attack.ts'

/** What came back over the connection for one step. */
export interface Reply {
  sql: string
  rows?: unknown[]
  count?: number
  error?: { code: string; text: string }
}

// What PostgreSQL says about an error, without what the driver adds.
const fields = ['message', 'detail', 'hint', 'where', 'constraint_name', 'table_name', 'column_name'] as const

/** Sends one step, and says what came back. */
export async function send(sql: postgres.Sql, text: string): Promise<Reply> {
  try {
    // Not much: a socket that postgres.js has paused at the end of the data stays paused.
    if (/^copy .* to stdout$/s.test(text)) {
      const chunks: Buffer[] = []
      for await (const chunk of await sql.unsafe(text).readable()) chunks.push(chunk as Buffer)
      const rows = Buffer.concat(chunks).toString().split('\n').filter(Boolean)
      return { sql: text, rows, count: rows.length }
    }
    // One result, or one for each statement of the message.
    const results = (await sql.unsafe(text)) as unknown as postgres.RowList<postgres.Row[]>[]
    const all = [results].flat().every(Array.isArray) ? results : [results as unknown as (typeof results)[0]]
    return { sql: text, rows: all.flat(), count: all.at(-1)?.count ?? 0 }
  } catch (error) {
    const said = error as Record<string, unknown>
    return {
      sql: text,
      error: { code: String(said['code']), text: fields.map(name => said[name]).join('\n') },
    }
  }
}

/** Carries out an attack on a connection: in the attacker's own context, ending the transaction as the server does. */
export async function carryOut(
  sql: postgres.Sql,
  attack: Attack,
  k: Knowledge,
  guess = '',
): Promise<Reply[]> {
  const replies: Reply[] = []
  await sql.unsafe('begin isolation level read committed read write')
  await sql.unsafe(`select app.enter('${k.secret}', '${k.a.organization}')`)
  for (const step of attack.steps(k, guess)) {
    const { sql: text, fails } = typeof step === 'string' ? { sql: step, fails: undefined } : step
    const reply = await send(sql, text)
    if (fails !== undefined && reply.error?.code !== fails)
      throw new Error(`${text} should have failed with ${fails}, but returned ${JSON.stringify(reply)}`)
    if (fails !== undefined) delete reply.error
    replies.push(reply)
  }
  await sql.unsafe('commit')
  return replies
}

/** As `carryOut`, for what comes after the victim's next request: outside any transaction. */
export async function comeBack(sql: postgres.Sql, { afterwards = [] }: Attack): Promise<Reply[]> {
  const replies: Reply[] = []
  for (const text of afterwards) replies.push(await send(sql, text))
  return replies
}

/** What is wrong with the outcome of an attack, if anything. */
export function unexpected({ expects }: Attack, replies: Reply[], { a }: Knowledge): string[] {
  if (expects === 'anything' || (typeof expects === 'object' && 'guess' in expects)) return []
  const outcome = replies.find(({ error }) => error) ?? replies.at(-1)
  const wanted = expects === 'undisturbed' ? (carrier === 'guarded' ? 'own' : 'nothing') : expects
  const { error, rows = [], count = 0, sql } = outcome ?? { sql: 'nothing was tried, so nothing' }
  const values = rows.flatMap(row => Object.values(row as object) as unknown[])
  const isExpected =
    typeof wanted === 'object' && 'error' in wanted
      ? error?.code === wanted.error
      : error === undefined &&
        (wanted === 'nothing'
          ? rows.length === 0 && count === 0
          : wanted === 'own'
            ? JSON.stringify(rows).includes(a.marker)
            : values.length === 1 && values[0] === wanted.value)
  return isExpected ? [] : [`${sql} came to ${JSON.stringify({ error, rows: rows.slice(0, 3), count })}`]
}

/** The replies as one text, in which a secret is found however it was printed: PostgreSQL breaks lines anywhere. */
export const transcript = (said: unknown) =>
  JSON.stringify(said, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  )
    .toLowerCase()
    .replaceAll(/\\n|\s/g, '')

/** The ways in which a secret may be printed: as is, in hexadecimal, and as signed bytes in a plan. */
export function spellings(secret: string | Uint8Array): string[] {
  const bytes = Buffer.from(secret)
  return [
    ...(typeof secret === 'string' ? [secret] : [bytes.toString('base64')]),
    bytes.toString('hex'),
    [...bytes].map(byte => (byte > 127 ? byte - 256 : byte)).join(''),
  ].map(text => text.toLowerCase().replaceAll(/\s/g, ''))
}
