import type { Fragment, Sql } from 'postgres'

/** A statement, or a part of one, whose values are in its text. */
class Inlined {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** A value as PostgreSQL reads it, whatever `standard_conforming_strings` is: as libpq's PQescapeLiteral. */
export function literal(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value !== 'string' || value.includes('\0')) throw new Error('not a value for a statement')
  const quoted = `'${value.replaceAll("'", "''")}'`
  return value.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}
const identifier = (name: string) => `"${name.replaceAll('"', '""')}"`

function tag(parts: TemplateStringsArray | string, ...values: unknown[]): Inlined {
  if (typeof parts === 'string') return new Inlined(identifier(parts))
  const texts = values.map(value => (value instanceof Inlined ? value.text : literal(value)))
  return new Inlined(String.raw({ raw: parts }, ...texts))
}

/**
 * Writes with `write` a statement that takes no parameters, such as COPY. What it is given instead of a client is as
 * safe to use, sql`… ${value}`, but puts the values into the text, as literals, instead of sending them apart.
 */
export function inlined(write: (sql: Sql) => Fragment): string {
  const sql = Object.assign(tag, { unsafe: (text: string) => new Inlined(text) })
  return (write(sql as unknown as Sql) as unknown as Inlined).text
}
