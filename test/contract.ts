import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { LightMyRequestResponse } from 'fastify'

interface Operation {
  responses: Record<string, { content?: Record<string, { schema: object }> } | undefined>
}
interface Document {
  paths?: Record<string, Record<string, Operation> | undefined>
}

const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv)
const validators = new WeakMap<object, ValidateFunction>()

/** The operation of a path in the document, with {parameters} taken for one segment each; the fewest parameters win. */
export function findOperation(document: Document, method: string, url: string): Operation | undefined {
  const path = url.split('?', 1)[0] ?? ''
  const candidates = Object.entries(document.paths ?? {})
    .filter(
      ([pattern, operations]) =>
        operations?.[method.toLowerCase()] &&
        new RegExp(`^${pattern.replace(/\{\w+\}/g, '[^/]+')}$`).test(path),
    )
    .sort(([a], [b]) => a.split('{').length - b.split('{').length)
  return candidates[0]?.[1]?.[method.toLowerCase()]
}

/**
 * PostgreSQL makes most of the JSON, so no serializer drops what the document does not know.
 * Instead every answer in every test comes through here: an undeclared status, content type or
 * field throws.
 */
export function checkAnswer(
  document: object,
  method: string,
  url: string,
  response: LightMyRequestResponse,
): void {
  const where = `${method} ${url.split('?', 1)[0] ?? ''} answered ${response.statusCode}`
  const operation = findOperation(document, method, url)
  if (!operation) {
    if ([400, 404, 405].includes(response.statusCode)) return
    throw new Error(`${where}, and the OpenAPI document does not have this operation`)
  }
  const declared = operation.responses[String(response.statusCode)]
  if (!declared)
    throw new Error(`${where}, a status that the OpenAPI document does not have: ${response.body}`)
  const type = String(response.headers['content-type'] ?? '').split(';', 1)[0] ?? ''
  if (!declared.content) {
    if (response.body !== '') throw new Error(`${where} with a body, and the OpenAPI document has none`)
    return
  }
  const schema = declared.content[type]?.schema
  if (!schema)
    throw new Error(
      `${where} as ${type}, and the OpenAPI document has ${Object.keys(declared.content).join(', ')}`,
    )
  const validate = validators.get(schema) ?? ajv.compile(schema)
  validators.set(schema, validate)
  if (!validate(response.json()))
    throw new Error(
      `${where}, and the OpenAPI document has another form: ${ajv.errorsText(validate.errors)}\n${response.body}`,
    )
}
