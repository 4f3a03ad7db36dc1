import postgres from 'postgres'
import type { Statement } from './capture.ts'
import type { Person } from '../data/people.ts'
import type { Request } from '../run/tasks.ts'

/** The statements of a transaction; `:k` in them counts from 1 to `variants`. */
export interface Script {
  statements: string[]
  variants: number
  organization: string
}

// Statements that Callboard sends beyond the work itself are its own overhead: the limit leaves them out.
const isExtra = (sql: string) => /^\s*(reset all|select app\.confirm_organization\b)/i.test(sql)
// pgbench cannot COPY: it selects the same rows.
const withoutCopy = (sql: string) => sql.replace(/^\s*copy \((.*)\) to stdout \([^()]*\)\s*$/is, '$1')
const isEntrance = (sql: string) => /\bapp\.enter\(/i.test(sql)

/** Records what a server sends to PostgreSQL for each person's requests, one script per person; `take` returns it. */
export async function record(
  url: string,
  adminUrl: string,
  people: Person[],
  {
    request,
    status,
    variants,
  }: { request: (person: Person, n: number) => Request; status: number; variants: number },
  take: () => Statement[],
): Promise<Script[]> {
  const sql = postgres(adminUrl, { max: 1 })
  const types = new Map<string, Promise<string[]>>()
  // PostgreSQL infers the types of parameters; the literals that replace them need a cast.
  const typesOf = async (text: string) => {
    const { types: oids } = await sql.unsafe(text).describe()
    return Promise.all(
      oids.map(
        async oid => (await sql<[{ type: string }]>`select format_type(${oid}, null) as type`)[0].type,
      ),
    )
  }
  try {
    const scripts: Script[] = []
    for (const person of people) {
      const seen: Statement[][] = []
      // The first request of an organization also looks up its limits.
      for (let n = -1; n < variants; n += 1) {
        take()
        const { method, path, headers, body } = request(person, Math.max(n, 0))
        const answer = await fetch(url + path, { method, headers, ...(body !== undefined && { body }) })
        await answer.arrayBuffer()
        if (answer.status !== status) throw new Error(`${method} ${path} was answered ${answer.status}`)
        const sent = take().filter(({ sql: text }) => !isExtra(text))
        if (n < 0) continue
        if (seen[0]?.some(({ sql: text }, i) => text !== sent[i]?.sql))
          throw new Error(`${method} ${path} sends different statements each time`)
        seen.push(sent)
      }
      const statements: string[] = []
      for (const [i, { sql: text, values }] of (seen[0] ?? []).entries()) {
        if (values.length === 0) {
          statements.push(withoutCopy(text))
          continue
        }
        const known = types.get(text) ?? typesOf(text)
        types.set(text, known)
        const kinds = await known
        const texts = values.map((value, p) => {
          const all = isEntrance(text) ? [value] : seen.map(statement => statement[i]?.values[p] ?? null)
          return new Set(all).size === 1
            ? `${literal(value)}::${kinds[p]}`
            : `(array[${all.map(literal).join(',')}]::text[])[:k]::${kinds[p]}`
        })
        statements.push(text.replaceAll(/\$(\d+)/g, (_, n) => texts[Number(n) - 1] ?? 'null'))
      }
      scripts.push({ statements, variants, organization: person.organization })
    }
    return scripts
  } finally {
    await sql.end()
  }
}

// pgbench would interpret a colon as a variable.
function literal(value: string | null): string {
  if (value === null) return 'null'
  return `E'${value.replaceAll(/['\\:]/g, character => `\\x${character.charCodeAt(0).toString(16)}`)}'`
}

/** The same script with the organization as a literal instead of the function call that returns it. */
export const withExplicitWhere = (scripts: Script[]): Script[] =>
  scripts.map(script => ({
    ...script,
    statements: script.statements.map(text =>
      text.replaceAll('(select organization_id from asked)', `'${script.organization}'::uuid`),
    ),
  }))
