// One spelling for facts that mean the same. PostgreSQL prints an expression as it was parsed, and a dump that is
// restored was parsed again; releases print aliases and names differently; partitions come with the months.
import { newline } from './facts.ts'

type Part = string | Part[]

/** Parses parentheses; what is quoted stays text. */
function parse(text: string): Part[] {
  const stack: Part[][] = [[]]
  const top = () => stack.at(-1) as Part[]
  for (const [token] of text.matchAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"|\(|\)|[^'"()]+|['"]/g)) {
    if (token === '(') stack.push([])
    else if (token === ')' && stack.length > 1) {
      const group = stack.pop() as Part[]
      top().push(group)
    } else {
      const last = top().at(-1)
      if (typeof last === 'string') top()[top().length - 1] = last + token
      else top().push(token)
    }
  }
  // An unclosed parenthesis is not an expression of PostgreSQL's.
  while (stack.length > 1) {
    const group = stack.pop() as Part[]
    top().push('(', ...group)
  }
  return stack[0] ?? []
}

/** What joins the operands of a group if that is one and the same operator. */
function joint(parts: Part[]): string | undefined {
  const between = parts.filter(part => typeof part === 'string')
  return [' AND ', ' OR '].find(word => between.length > 0 && between.every(part => part === word))
}

/** `((a AND b) AND c)` is `(a AND b AND c)`, and `((a))` is `(a)`. */
function flat(parts: Part[]): Part[] {
  const inner = parts.map(part => (typeof part === 'string' ? part : flat(part)))
  if (inner.length === 1 && typeof inner[0] !== 'string') return inner[0] ?? []
  const word = joint(inner)
  if (word === undefined) return inner
  return inner.flatMap(part => (typeof part !== 'string' && joint(part) === word ? part : [part]))
}

const print = (parts: Part[]): string =>
  parts.map(part => (typeof part === 'string' ? part : `(${print(part)})`)).join('')

/** An expression, a definition or a constraint, without the parentheses that mean nothing. */
export const withoutParentheses = (text: string) =>
  print(parse(text).map(p => (typeof p === 'string' ? p : flat(p))))

const schemas = [
  'app',
  'app_private',
  'analytics',
  'analytics_private',
  'graphile_worker',
  'pg_catalog',
  'public',
]
const qualifier = new RegExp(`\\b(?!(?:${schemas.join('|')})\\.)[a-z_]\\w*\\.(?=[a-z_"])`, 'g')

/** A view, or a function with a body of SQL: the releases differ in aliases, qualified names and casts of literals. */
function definition(text: string): string {
  return withoutParentheses(text)
    .replace(/('(?:[^']|'')*')::(?:text|"char"|character varying)\b/g, '$1')
    .replace(/ AS (?:"[^"]+"|\w+)(?=,| ⏎|\)|$)/g, '')
    .replace(/\b(UPDATE|INTO|DELETE FROM) ([\w.]+) AS (\w+)/g, '$1 $2 $3')
    .replaceAll(qualifier, '')
    .replaceAll(newline, ' ')
    .replace(/\s+/g, ' ')
}

/** What an owner may do by default, on 17 and later with MAINTAIN. */
const owners = [
  'delete, insert, references, select, trigger, truncate, update',
  'execute',
  'create, usage',
  'usage',
  'select, update, usage',
]

/** Facts of no consequence for who sees what, or that another fact or rule says better. */
const omitted = [
  / comment$/,
  // By name instead of signature: see `hardenings` in db/policies/cluster.sql.
  /^(?:function|relation) pg_/,
  /^function (?:lo_|lowrite|loread)/,
  // A choice that npm run migrate makes for each server; what depends on it is marked in the committed facts.
  /^context$/,
]

/** A fact in its one spelling, or undefined if it is not to be compared. */
export function normalise(fact: string): string | undefined {
  const at = fact.indexOf(': ')
  const subject = fact.slice(0, at)
  let value = fact.slice(at + 2)
  if (omitted.some(pattern => pattern.test(subject))) return undefined
  if (subject.endsWith(' grants to its owner')) {
    value = value.replace(', maintain', '')
    if (owners.includes(value)) return undefined
  } else if (subject.startsWith('extension ')) value = value.replace(/, version .*/, '')
  else if (subject.startsWith('collation '))
    value = value.replace(/^\{(.*)\}$/, (_, fields: string) => sorted(fields))
  else if (isOfSql(subject, value)) value = definition(value)
  else if (/^(?:policy|constraint|index|trigger|column) /.test(subject)) value = withoutParentheses(value)
  else if (/^table app\.event_log_\d{4}_\d\d partition$/.test(subject)) value = bounds(subject, value)
  return `${subject}: ${value}`
}

const sorted = (fields: string) => fields.replace('iculocale', 'locale').split(', ').sort().join(', ')

const isOfSql = (subject: string, value: string) =>
  /^(?:view|materialized view) .* definition$/.test(subject) ||
  (/^function .* definition$/.test(subject) &&
    /^CREATE .* ⏎ +LANGUAGE sql ⏎.* ⏎ ?(?:BEGIN ATOMIC|RETURN\b)/.test(value))

/** A partition has the month of its name. */
function bounds(subject: string, value: string): string {
  const [, year = '', month = ''] = /_(\d{4})_(\d\d) partition$/.exec(subject) ?? []
  const first = (months: number) =>
    new Date(Date.UTC(Number(year), Number(month) - 1 + months)).toISOString().slice(0, 10)
  const own = `FOR VALUES FROM ('${first(0)} 00:00:00+00') TO ('${first(1)} 00:00:00+00')`
  return value === own ? 'the month of its name' : value
}
