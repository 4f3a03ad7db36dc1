import type { Document, Operation, Reference, Response, Schema } from './types.ts'

const refer = (kind: string, name: string): Reference => ({ $ref: `#/components/${kind}/${name}` })
export const referAll = (kind: string, names: Iterable<string>) =>
  Object.fromEntries(Array.from(names, name => [name, refer(kind, name)]))

/**
 * A schema with a title is written once, under that name, which is also its name in generated clients. The
 * schema of problems is the same object in all operations, and visited once.
 */
export function shareSchemas(
  node: unknown,
  schemas: Record<string, Schema>,
  shared = new Map<object, Reference>(),
): unknown {
  if (Array.isArray(node)) return node.map(item => shareSchemas(item, schemas, shared))
  if (typeof node !== 'object' || node === null) return node
  const reference = shared.get(node)
  if (reference) return reference
  const schema = {} as Schema & Record<string, unknown>
  for (const [key, value] of Object.entries(node) as [string, unknown][])
    schema[key] = key === 'example' || key === 'examples' ? value : shareSchemas(value, schemas, shared)
  const name = schema.title
  if (typeof name !== 'string') return schema
  const known = (schemas[name] ??= schema)
  if (JSON.stringify(known) !== JSON.stringify(schema)) throw new Error(`Two schemas have the title ${name}`)
  shared.set(node, refer('schemas', name))
  return refer('schemas', name)
}

/** Most operations fail alike: an error that three of them share is written once, as Error404, or Error404_2. */
export function shareErrors(paths: Document['paths']): Record<string, Response> {
  const alike = new Map<string, Operation['responses'][]>()
  for (const { responses } of Object.values(paths).flatMap(Object.values<Operation>)) {
    for (const [status, response] of Object.entries(responses)) {
      const text = `${status} ${JSON.stringify(response)}`
      if (status >= '400') alike.set(text, [...(alike.get(text) ?? []), responses])
    }
  }
  const errors: Record<string, Response> = {}
  for (const [text, uses] of alike) {
    if (uses.length < 3) continue
    const status = text.slice(0, 3)
    const variants = Object.keys(errors).filter(name => name.startsWith(`Error${status}`)).length
    const name = `Error${status}${variants === 0 ? '' : `_${variants + 1}`}`
    errors[name] = JSON.parse(text.slice(4)) as Response
    for (const responses of uses) responses[status] = refer('responses', name)
  }
  return errors
}
