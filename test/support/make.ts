// Creates the resources that tests need from the document's example bodies, parents first. A new
// resource needs no line here.
import { randomUUID } from 'node:crypto'
import type { App } from '../../src/http/fastify.ts'
import type { Person, TestServer } from './helper.ts'
import { type Operation, operationsOf, type Schema } from './operations.ts'

/** What a POST creates: `/api/shows/{id}/deals` creates deals, which are read at `/api/deals/{id}`. */
export interface Kind {
  kind: string
  /** The kind whose id is in the path. */
  parent: string | undefined
  create: Operation
  isRestorable: boolean
}

const known = new WeakMap<App, Map<string, Operation>>()
function operationsByName(app: App): Map<string, Operation> {
  const found = known.get(app) ?? new Map(operationsOf(app).map(o => [`${o.method} ${o.path}`, o]))
  known.set(app, found)
  return found
}

// Created by people rather than for them: they register, or have their own address.
const people = new Set(['organizations', 'users', 'events'])
/** Every kind of thing that the document shows how to create, and where one is read. */
export function kindsOf(app: App): Map<string, Kind> {
  const operations = operationsByName(app)
  const kinds = [...operations.values()].flatMap((create): [string, Kind][] => {
    const [, parent, kind = ''] = /^\/api\/(?:([\w-]+)\/\{id\}\/)?([\w-]+)$/.exec(create.path) ?? []
    const item = `/api/${kind}/{id}`
    const isThing = operations.has(`GET ${item}`) || operations.has(`DELETE ${item}`)
    if (create.method !== 'POST' || !create.body || !isThing || people.has(parent ?? kind)) return []
    return [[kind, { kind, parent, create, isRestorable: operations.has(`POST ${item}/restore`) }]]
  })
  return new Map(kinds)
}

/** The example body for a POST to a path, whose ids may be filled in. */
export function exampleOf(app: App, path: string): Record<string, unknown> {
  const operation = operationsByName(app).get(`POST ${path.replaceAll(/\/[\da-f-]{36}(?=\/)/g, '/{id}')}`)
  if (!operation?.body) throw new Error(`the document has no body for POST ${path}`)
  return operation.body.example
}

/** How to deviate from the example. */
export interface Wishes {
  /** Occurs in every free text. */
  mark?: string
  /** Fields that override the example, by kind; undefined omits one. */
  values?: Record<string, object>
  /** What exists already, by kind; parents that have to be created are added. */
  among?: Record<string, string>
}

/** Creates one of a kind as a person, with its parents if they do not exist; returns its id. */
export async function make(
  server: TestServer,
  person: Person,
  kind: string,
  { mark = '', values = {}, among = {} }: Wishes = {},
): Promise<string> {
  const kinds = kindsOf(server.app)
  const { parent, create } = kinds.get(kind) ?? {}
  if (!create?.body) throw new Error(`the document does not show how to create one of ${kind}`)
  const { schema, example } = create.body
  const idOf = async (of: string) => (among[of] ??= await make(server, person, of, { mark, values, among }))
  const body: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(example)) {
    const field = schema.properties?.[name] ?? {}
    if (isReference(field)) {
      const stem = name.replace(/_ids?$/, '').replace(/y$/, 'ie')
      const of = [...kinds.keys()].find(k => k === `${stem}s` || k.endsWith(`-${stem}s`))
      // An optional one would only be one more thing to create.
      if (of !== undefined && schema.required?.includes(name))
        // The category of the example is one of income.
        body[name] = ['expenses', 'per-diems'].includes(kind)
          ? await make(server, person, of, { mark, values: { [of]: { kind: 'expense' } } })
          : await idOf(of)
    } else body[name] = distinct(field, value, mark)
  }
  Object.assign(body, values[kind])
  const path = create.path.replace('{id}', parent === undefined ? '' : await idOf(parent))
  const answer = await server.call<{ id: string }>(`POST ${path}`, { token: person.token, body })
  if (answer.status !== 201) throw new Error(`cannot make one of ${kind} (POST ${path}): ${answer.text}`)
  return (among[kind] ??= answer.body.id)
}

/** Creates one of every kind that does not exist yet; returns their ids by kind. */
export async function makeAll(server: TestServer, person: Person, wishes: Wishes = {}) {
  const among = wishes.among ?? {}
  for (const kind of kindsOf(server.app).keys())
    if (!(kind in among)) await make(server, person, kind, { ...wishes, among })
  return among
}

const variants = (schema: Schema) => [
  schema,
  ...(schema.anyOf ?? []),
  ...(schema.items ? [schema.items] : []),
]
const isReference = (schema: Schema) => variants(schema).some(({ format }) => format === 'uuid')

/** The example of a field, with the mark if it is free text, and never twice where it must be unique. */
function distinct(schema: Schema, value: unknown, mark: string): unknown {
  if (typeof value !== 'string') return value
  const text = variants(schema).find(({ type }) => type === 'string')
  if (text?.format === 'email') return `${randomUUID()}${mark}@example.com`
  if (!text || text.format !== undefined || text.enum || text.const !== undefined) return value
  const distinct = `${value} ${mark === '' ? '' : `${mark} `}${randomUUID().slice(0, 8)}`
  const fits =
    distinct.length <= (text.maxLength ?? Infinity) &&
    (text.pattern === undefined || new RegExp(text.pattern, 'u').test(distinct))
  return fits ? distinct : value
}
