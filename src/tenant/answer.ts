import type { FastifyReply } from 'fastify'
import type { RawRowList } from 'postgres'
import { Problem } from '../http/problem.ts'

/** The answer of SQL to a request: see app.answer in db/schema/foundation/helpers.sql. `body` is JSON text. */
export interface Answer {
  status?: number | null
  body: string | null
  etag?: string | null
  location?: string | null
  /** For a list: where the next page begins. */
  next_cursor?: string | null
}
/** Answers as postgres.js returns them with `raw()`. */
export type Bytes = RawRowList<Answer[]>

/** The one row that every statement for a route returns. Throws if it is a refusal that had to be committed. */
export function only(rows: readonly Answer[]): Answer {
  const [answer] = rows
  if (!answer) throw new Error('The statement returned no row')
  if ((answer.status ?? 200) >= 400) {
    // See app.refusal.
    const { problem, detail } = JSON.parse(answer.body ?? '{}') as { problem: string; detail: string }
    throw new Problem(answer.status ?? 500, problem, detail)
  }
  return answer
}

/** With its body as received, so that a long one is not decoded to a string and encoded again. */
function unpacked(rows: Bytes): Omit<Answer, 'body'> & { body: Buffer } {
  const values = rows.columns.map(({ name }, i) => {
    const value = rows[0]?.[i] ?? null
    return [name, name === 'body' ? value : (value?.toString() ?? null)]
  })
  return Object.fromEntries(values) as ReturnType<typeof unpacked>
}

const isBytes = (rows: readonly Answer[] | Bytes): rows is Bytes => Array.isArray(rows[0])

/** Sends an answer as a printable page to a browser that follows a link, and as JSON to a program that accepts anything. */
export function printable(
  reply: FastifyReply,
  rows: readonly Answer[],
  policy: string,
  render: (answer: never) => string,
): FastifyReply {
  void reply.header('vary', 'Accept')
  if (reply.request.accepts().type(['application/json', 'text/html']) !== 'text/html')
    return json(reply, rows)
  const page = render(JSON.parse(only(rows).body ?? '{}') as never)
  return reply.header('content-security-policy', policy).type('text/html; charset=utf-8').send(page)
}

/** Sends the first row of a result as the answer. */
export function json(reply: FastifyReply, rows: readonly Answer[] | Bytes): FastifyReply {
  const answer = isBytes(rows) ? unpacked(rows) : only(rows)
  const status = answer.status ?? 200
  if (answer.etag != null) void reply.header('etag', answer.etag)
  if (answer.location != null && status === 201) void reply.header('location', answer.location)
  if (answer.next_cursor != null) {
    const url = new URL(reply.request.url, 'http://localhost')
    url.searchParams.set('cursor', answer.next_cursor)
    void reply.header('link', `<${url.pathname}${url.search}>; rel="next"`)
  }
  if (answer.body == null) return reply.code(status).send()
  return reply.code(status).type('application/json; charset=utf-8').send(answer.body)
}
