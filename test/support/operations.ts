import type { App } from '../../src/http/fastify.ts'

/** As much of a JSON Schema as the document uses. */
export interface Schema {
  type?: string
  enum?: unknown[]
  examples?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  minProperties?: number
  items?: Schema
  format?: string
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
}
export interface Parameter {
  in: 'path' | 'query' | 'header'
  name: string
  required?: boolean
  schema: Schema
  example?: unknown
}
/** An operation of the OpenAPI document, with its references resolved. */
export interface Operation {
  id: string
  method: string
  /** With {parameters}. */
  path: string
  permission: string | undefined
  tags: string[]
  /** Works without a token. */
  isOpen: boolean
  parameters: Parameter[]
  body: { schema: Schema; example: Record<string, unknown> } | undefined
  /** Takes a file instead of JSON. */
  takesFile: boolean
}
type Raw = Record<string, unknown>

/** Every operation that the server declares. */
export function operationsOf(app: App): Operation[] {
  const document = app.swagger() as unknown as Raw
  const resolve = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(resolve)
    if (typeof node !== 'object' || node === null) return node
    if ('$ref' in node) {
      const steps = String(node.$ref).split('/').slice(1)
      return resolve(steps.reduce<unknown>((at, step) => (at as Raw)[step], document))
    }
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, resolve(value)]))
  }
  return Object.entries(document['paths'] as Record<string, Raw>).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, raw]) => {
      const operation = resolve(raw) as {
        operationId: string
        security?: object[]
        'x-permission'?: string
        tags: string[]
        parameters?: Parameter[]
        requestBody?: { content: { 'application/json': Operation['body'] } }
      }
      return {
        id: operation.operationId,
        method: method.toUpperCase(),
        path,
        permission: operation['x-permission'],
        tags: operation.tags,
        isOpen: operation.security?.length === 0,
        parameters: operation.parameters ?? [],
        body: operation.requestBody?.content['application/json'],
        takesFile:
          operation.requestBody !== undefined && !('application/json' in operation.requestBody.content),
      }
    }),
  )
}

/** The operation's path with values for its parameters. */
export function pathOf({ path, parameters }: Operation, value: (name: string) => string): string {
  const needed = parameters.filter(parameter => parameter.in === 'query' && parameter.required === true)
  const query = new URLSearchParams(
    needed.map(({ name, example }): [string, string] => [name, String(example)]),
  ).toString()
  const filled = parameters
    .filter(parameter => parameter.in === 'path')
    .reduce(
      // What follows an id is a name: of a permission, or of an existing role.
      (filled, { name, example }, n) => filled.replace(`{${name}}`, n === 0 ? value(name) : String(example)),
      path,
    )
  return query === '' ? filled : `${filled}?${query}`
}

/** Every field of a body, however deep, with its path. */
export function fieldsOf(schema: Schema, at: string[] = []): [at: string[], schema: Schema][] {
  const { properties = {}, items, anyOf = [] } = schema
  return [
    ...Object.entries(properties).flatMap(([name, field]): [string[], Schema][] => [
      [[...at, name], field],
      ...fieldsOf(field, [...at, name]),
    ]),
    ...(items ? fieldsOf(items, [...at, '0']) : []),
    ...anyOf.flatMap(one => fieldsOf(one, at)),
  ]
}

/** The example of a field: the body's, or its own if the body's has none. */
export function exampleAt(body: unknown, at: string[], schema: Schema): unknown {
  const found = at.reduce<unknown>((value, name) => (value as Raw | undefined)?.[name], body)
  return found ?? [schema, ...(schema.anyOf ?? [])].find(({ examples }) => examples)?.examples?.[0]
}

/** The body with one field changed; undefined removes it. */
export function withField(body: unknown, [name = '', ...rest]: string[], value: unknown): unknown {
  const changed = rest.length === 0 ? value : withField((body as Raw | undefined)?.[name], rest, value)
  return Array.isArray(body) ? [changed] : { ...(body as Raw), [name]: changed }
}

const typeOf = (value: unknown) =>
  value === null
    ? 'null'
    : Array.isArray(value)
      ? 'array'
      : Number.isInteger(value)
        ? 'integer'
        : typeof value

/** Values of every JSON type that a field does not accept. */
export function wrongTypes(schema: Schema, example: unknown): unknown[] {
  const types = [schema, ...(schema.anyOf ?? [])].map(
    ({ type, const: only }) => type ?? (only === undefined ? undefined : typeof only),
  )
  const text = typeof example === 'string' ? 7 : String(example)
  return [text, '', '5', 5, 0, 1.5, true, false, null, [], [example], {}, { value: example }].filter(
    value => !types.includes(typeOf(value)) && !(types.includes('number') && typeof value === 'number'),
  )
}

const formats: Record<string, string[]> = {
  date: ['2027-02-30', '2027-02-29', '2027-13-01', '2027-00-10', '27-01-01', '2027-01-01T00:00:00Z', 'today'],
  uuid: ['1', 'x'.repeat(36), '01980c5e8c5e7b4a9d593f1de6a3c111', '{01980c5e-8c5e-7b4a-9d59-3f1de6a3c111}'],
  email: ['nobody', 'no body@example.com', '@example.com', 'a@b@example.com', 'a@', 'a@example..com'],
}

/** Values of the right type that a field does not accept, and why. */
export function wrongValues(schema: Schema, example: unknown): [why: string, value: unknown][] {
  const [one = schema] = (schema.anyOf ?? [schema]).filter(({ type }) => type !== 'null')
  const { minimum, maximum, minLength = 0, maxLength, format = '', pattern } = one
  const wrong: [string, unknown][] = []
  if (minimum !== undefined) wrong.push(['too small', minimum - 1])
  if (maximum !== undefined) wrong.push(['too large', maximum + 1], ['far too large', 1e300])
  if (one.enum) {
    const [choice = ''] = one.enum.map(String).filter(value => value !== value.toUpperCase())
    wrong.push(['not a choice', 'x'], ['a choice in capitals', choice.toUpperCase()])
  }
  if (one.const !== undefined) wrong.push(['not the constant', `${JSON.stringify(one.const)}x`])
  if (minLength > 0) wrong.push(['too short', 'x'.repeat(minLength - 1)])
  if (maxLength !== undefined) wrong.push(['too long', 'x'.repeat(maxLength + 1)])
  for (const value of formats[format] ?? []) wrong.push([`no ${format}`, value])
  const middle = String(example).length >> 1
  const around = (character: string) =>
    `${String(example).slice(0, middle)}${character}${String(example).slice(middle)}`
  if (one.type === 'string' && format !== 'password') {
    // Free text may have lines; no text has a NUL.
    const mayHaveLines = pattern !== undefined && new RegExp(pattern).test('\n')
    for (const character of mayHaveLines ? ['\0'] : ['\0', '\u0001', '\t', '\n', '\u001b', '\u007f'])
      wrong.push(['a control character', around(character)])
  }
  return wrong
}
