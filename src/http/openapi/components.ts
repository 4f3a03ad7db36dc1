import type { Document, Operation, Reference, Response, Schema } from './types.ts'

const refer = (kind: string, name: string): Reference => ({ $ref: `#/components/${kind}/${name}` })
export const referAll = (kind: string, names: Iterable<string>) =>
  Object.fromEntries(Array.from(names, name => [name, refer(kind, name)]))

/** A schema with a title is written once, under that name, which is also its name in a generated client. */
export function shareSchemas(node: unknown, schemas: Record<string, Schema>): unknown {
  if (Array.isArray(node)) return node.map(item => shareSchemas(item, schemas))
  if (typeof node !== 'object' || node === null) return node
  const shared = Object.fromEntries(
    Object.entries(node).map(([key, value]) => [
      key,
      key === 'example' || key === 'examples' ? (value as unknown) : shareSchemas(value, schemas),
    ]),
  ) as Schema
  const name = shared.title
  if (typeof name !== 'string') return shared
  const known = (schemas[name] ??= shared)
  if (JSON.stringify(known) !== JSON.stringify(shared)) throw new Error(`Two schemas have the title ${name}`)
  return refer('schemas', name)
}

/** Most operations fail alike: what three of them have is written once, as Error404, or Error404_2 where it differs. */
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
