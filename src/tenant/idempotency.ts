import { createHash } from 'node:crypto'
import type { FastifyRequest, preValidationHookHandler, RouteOptions } from 'fastify'
import { Problem } from '../http/problem.ts'
import type { Answer } from './answer.ts'
import type { Work } from './transaction.ts'

/** Refuses a key where repeating a request would not be prevented: better than to let the client believe it. */
export function refuseKeys(route: RouteOptions): void {
  const headers = (route.schema as { headers?: { properties?: object } } | undefined)?.headers
  if (![route.method].flat().includes('POST') || 'idempotency-key' in (headers?.properties ?? {})) return
  const refuse: preValidationHookHandler = (request, _reply, done) => {
    if (request.headers['idempotency-key'] === undefined) done()
    else done(new Problem(400, 'idempotency_key_refused'))
  }
  route.preValidation = [refuse, ...[route.preValidation ?? []].flat()]
}

/** JSON that is the same for the same values, in whichever order their fields were written. */
const canonical = (value: unknown) =>
  JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
/** A URL with its parameters in alphabetical order. */
function sortedUrl(url: string): string {
  const [path = '', query = ''] = url.split('?', 2)
  const parameters = new URLSearchParams(query)
  parameters.sort()
  return `${path}?${parameters.toString()}`
}
const digest = (text: string) => createHash('sha256').update(text).digest()

/**
 * Work that is done once per Idempotency-Key: same key, same request repeats the stored answer; a new key stores the
 * answer in the same transaction. Without a key, the work itself.
 */
export function once<T>(request: FastifyRequest, work: Work<T>): Work<T> {
  const key = request.headers['idempotency-key']
  if (request.method !== 'POST' || typeof key !== 'string') return work
  const { method, url, body = null } = request
  const hash = digest(JSON.stringify([method, url, body]))
  const sorted = digest(canonical([method, sortedUrl(url), body]))
  const done: Work<readonly Answer[]> = async sql => {
    const kept = await sql<Answer[]>`
      select status, body, etag, location from app.claim_key(${key}, ${hash}, ${sorted})`
    if (kept.length > 0) return kept
    const rows = (await work(sql)) as Answer[]
    const [a] = rows
    if (!a) throw new Error('The statement returned no row')
    await sql`select app.keep_answer(${key}, ${a.status ?? 200}, ${a.body}::text::json, ${a.etag ?? null}, ${a.location ?? null})`
    return rows
  }
  return done as unknown as Work<T>
}
