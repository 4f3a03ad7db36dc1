import type { Schema } from './types.ts'

/** A value of the schema, assembled from the examples of its parts. Throws if a part has none. */
export function exampleOf(schema: Schema, where: string): unknown {
  const { anyOf, examples = schema.enum, items, properties, type } = schema
  if (examples) return examples[0]
  if ('const' in schema) return schema.const
  if (anyOf) return exampleOf({ ...anyOf[0] }, where)
  if (type === 'null') return null
  if (type === 'boolean') return true
  if (items) return [exampleOf(items, `${where}[]`)]
  if (properties) {
    const fields = Object.entries(properties)
    return Object.fromEntries(fields.map(([name, field]) => [name, exampleOf(field, `${where}.${name}`)]))
  }
  throw new Error(`${where} has no example`)
}
