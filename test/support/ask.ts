import { randomUUID } from 'node:crypto'
import type { Answer, Person, TestServer } from './helper.ts'
import { type Operation, pathOf } from './operations.ts'

/** Traces of what runs behind the API: none may be in a response. */
const insides =
  /FST_|ERR_|node_modules|\.[jt]s:\d|\n +at |postgres|pg_|sqlstate|syntax error|app_private|undefined/i

export interface Validation {
  errors?: { path: string; message: string }[]
}

export interface Request {
  body?: unknown
  query?: string
  headers?: Record<string, string>
  /** In the path; without it, an id of nothing that exists. */
  id?: string
  /** Instead of the person's own. */
  token?: string
}

/** Sends a request, as a person if the operation needs one. Throws on a server error or a leak of internals. */
export function asker({ call }: TestServer, { token: own }: Person) {
  const nothing = randomUUID()
  return async (
    operation: Operation,
    { query = '', id, token = own, ...request }: Request = {},
  ): Promise<Answer<Validation>> => {
    const [path = '', needed = ''] = pathOf(
      operation,
      name => id ?? (name === 'month' ? '1999-12' : nothing),
    ).split('?')
    // Required parameters are added, unless the test is about them.
    const others = needed
      .split('&')
      .filter(part => part !== '' && !query.includes(part.split('=')[0] ?? part))
    const asked = [query.slice(1), ...others].filter(part => part !== '').join('&')
    const answer = await call<Validation>(`${operation.method} ${path}${asked === '' ? '' : '?'}${asked}`, {
      token: operation.isOpen ? undefined : token,
      ...request,
    })
    // Its response names PostgreSQL clients.
    const mayName = operation.id === 'createBiCredential' && answer.status === 201
    // A random token may contain any of these words.
    const shown = answer.text.replace(/("(?:access|refresh)_token":")[^"]*/g, '$1')
    if (answer.status >= 500 || (insides.test(shown) && !mayName))
      throw new Error(
        `${operation.id} ${path.slice(0, 100)}${query.slice(0, 100)}: ${answer.status} ${answer.text}`,
      )
    return answer
  }
}

/** What is wrong where, according to the response. */
export const places = ({ body }: Answer<Validation>) => [...new Set(body.errors?.map(({ path }) => path))]
