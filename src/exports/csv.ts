import type { TSchema } from '@sinclair/typebox'

const kindsOf = (schema: TSchema): TSchema[] =>
  (schema['anyOf'] as TSchema[] | undefined)?.flatMap(kindsOf) ?? [schema]

/** Whether PostgreSQL writes values as they are in JSON, and nothing that a spreadsheet would evaluate. */
const isPlain = ({ type, format, enum: values }: TSchema) =>
  type === 'integer' || type === 'number' || format === 'uuid' || format === 'date' || values !== undefined

/** The cell of a field, in SQL. Numbers stay numbers, even negative ones: the type decides what is escaped. */
export function cellOf(name: string, schema: TSchema): string {
  const kinds = kindsOf(schema).filter(({ type }) => type !== 'null')
  if (kinds.every(isPlain)) return `"${name}"`
  const isInstant = kinds.some(({ format }) => format === 'date-time')
  return `${isInstant ? `app.csv_instant("${name}")` : `app.csv_text("${name}"::text)`} as "${name}"`
}
