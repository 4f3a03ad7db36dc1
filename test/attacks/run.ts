import type postgres from 'postgres'
import type { Attack, Knowledge } from './attack.ts'

/** What came back over the connection for one step. */
export interface Reply {
  sql: string
  rows?: unknown[]
  count?: number
  error?: { code: string; text: string }
}

// What PostgreSQL says of an error in all its fields, without what the driver adds.
const fields = ['message', 'detail', 'hint', 'where', 'constraint_name', 'table_name', 'column_name']

async function send(sql: postgres.Sql, text: string): Promise<Reply> {
  try {
    if (/^copy .* to stdout$/.test(text)) {
      const chunks: Buffer[] = []
      for await (const chunk of await sql.unsafe(text).readable()) chunks.push(chunk as Buffer)
      const rows = Buffer.concat(chunks).toString().split('\n').filter(Boolean)
      return { sql: text, rows, count: rows.length }
    }
    const results = (await sql.unsafe(text)) as unknown as postgres.RowList<postgres.Row[]>
    const last = (Array.isArray(results[0]) ? results.at(-1) : results) as postgres.RowList<postgres.Row[]>
    const rows = [...results].flat()
    return { sql: text, rows: Array.isArray(results[0]) ? rows : [...results], count: last.count ?? 0 }
  } catch (error) {
    const { code = '', ...said } = error as Record<string, string> & Error
    return {
      sql: text,
      error: {
        code: String(code),
        text: fields
          .map(field =>
            String(
              (said as Record<string, unknown>)[field] ?? (error as Record<string, unknown>)[field] ?? '',
            ),
          )
          .join('\n'),
      },
    }
  }
}

/** Carries an attack out on a connection: in the attacker's own context, and with an end to the transaction, as the server does. */
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
      throw new Error(`${text} was to fail with ${fails}, and did ${JSON.stringify(reply)}`)
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
export function unexpected({ expects }: Attack, replies: Reply[], { a }: Knowledge): string | undefined {
  if (expects === 'anything' || (typeof expects === 'object' && 'guess' in expects)) return undefined
  const outcome = replies.find(({ error }) => error) ?? replies.at(-1)
  if (!outcome) return 'it has no steps'
  const { error, rows = [], count = 0, sql } = outcome
  const what = `${sql} came to ${JSON.stringify({ error, rows: rows.slice(0, 3), count })}`
  if (typeof expects === 'object' && 'error' in expects)
    return error?.code === expects.error ? undefined : what
  if (error) return what
  if (expects === 'nothing') return rows.length === 0 && count === 0 ? undefined : what
  if (expects === 'own') return JSON.stringify(rows).toLowerCase().includes(a.marker) ? undefined : what
  const values = rows.flatMap(row => Object.values(row as object))
  return values.length === 1 && values[0] === expects.value ? undefined : what
}

/** The replies as one text, in which a secret is found however it was printed: PostgreSQL breaks lines anywhere. */
export const transcript = (said: unknown) =>
  JSON.stringify(said, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  )
    .toLowerCase()
    .replaceAll(/\\n|\s/g, '')

/** The ways in which a secret may be printed: as it is, in hexadecimal, and as bytes with a sign, in a plan. */
export function spellings(secret: string | Uint8Array): string[] {
  const bytes = Buffer.from(secret)
  return [
    ...(typeof secret === 'string' ? [secret] : [bytes.toString('base64')]),
    bytes.toString('hex'),
    [...bytes].map(byte => (byte > 127 ? byte - 256 : byte)).join(''),
  ].map(text => text.toLowerCase().replaceAll(/\s/g, ''))
}
