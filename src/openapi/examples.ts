/** As much of a JSON Schema as the routes use. */
export interface Schema {
  title?: string
  type?: string
  const?: unknown
  enum?: unknown[]
  examples?: unknown[]
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  items?: Schema
}

/** A value of the schema, put together from the examples of its parts. Throws where a part has none. */
export function exampleOf(schema: Schema, where: string): unknown {
  if (schema.examples) return schema.examples[0]
  if ('const' in schema) return schema.const
  if (schema.enum) return schema.enum[0]
  if (schema.anyOf?.[0]) return exampleOf(schema.anyOf[0], where)
  if (schema.type === 'null') return null
  if (schema.type === 'boolean') return true
  if (schema.type === 'array') return [exampleOf(schema.items ?? {}, `${where}[]`)]
  if (schema.type === 'object') {
    const fields = Object.entries(schema.properties ?? {})
    return Object.fromEntries(fields.map(([name, field]) => [name, exampleOf(field, `${where}.${name}`)]))
  }
  throw new Error(`${where} has no example`)
}
