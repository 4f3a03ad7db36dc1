import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

interface Media {
  schema: object
  examples?: Record<string, unknown>
}
interface Response {
  headers?: Record<string, { $ref: string }>
  content?: Record<string, Media>
}
interface Operation {
  responses: Record<string, Response | { $ref: string } | undefined>
}
/** An OpenAPI document, as far as responses are checked against it. */
interface Contract {
  paths?: Record<string, Record<string, Operation> | undefined>
  components?: { headers?: Record<string, { required?: boolean }>; responses?: Record<string, Response> }
}
/** A response, as returned by `app.inject`. */
interface Answered {
  statusCode: number
  headers: Record<string, string | number | string[] | undefined>
  body: string
}

// Not in every response: the first two depend on the case, and a failure before the request is read has no id.
const sometimes = ['Link', 'Access-Control-Allow-Origin', 'X-Request-Id']

/** A schema of the document, compiled once, wherever the document repeats it; its references are the document's. */
interface Compiled {
  ajv: Ajv2020
  validators: Map<object, ValidateFunction>
  byText: Map<string, ValidateFunction>
}
const compiled = new WeakMap<object, Compiled>()
function validator(document: object, schema: object): ValidateFunction {
  let known = compiled.get(document)
  if (!known) {
    const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false })
    addFormats.default(ajv)
    ajv.addSchema({ ...document, $id: 'https://callboard.example/openapi.json' })
    compiled.set(document, (known = { ajv, validators: new Map(), byText: new Map() }))
  }
  const { ajv, validators, byText } = known
  let validate = validators.get(schema)
  if (!validate) {
    const absolute = JSON.stringify(schema).replaceAll('"#/', '"https://callboard.example/openapi.json#/')
    validate = byText.get(absolute) ?? ajv.compile(JSON.parse(absolute) as object)
    validators.set(schema, validate)
    byText.set(absolute, validate)
  }
  return validate
}

/** Throws unless the value conforms to the schema, which is part of the document. */
export function checkValue(document: object, schema: object, value: unknown, where: string): void {
  const validate = validator(document, schema)
  if (validate(value)) return
  const errors = validate.errors?.map(e => `${e.instancePath} ${e.message ?? ''} ${JSON.stringify(e.params)}`)
  throw new Error(
    `${where}, and the OpenAPI document has another form: ${errors?.join('; ') ?? ''}\n${JSON.stringify(value)}`,
  )
}

/** The document's operation for a path, with {parameters} matching one segment each; the path with the fewest wins. */
export function findOperation(document: object, method: string, url: string): Operation | undefined {
  const { paths = {} } = document as Contract
  const path = url.split('?', 1)[0] ?? ''
  let known = patterns.get(paths)
  if (!known)
    patterns.set(
      paths,
      (known = Object.entries(paths)
        .sort(([a], [b]) => a.split('{').length - b.split('{').length)
        .map(([pattern, operations = {}]) => ({
          pattern: new RegExp(`^${pattern.replace(/\{\w+\}/g, '[^/]+')}$`),
          operations,
        }))),
    )
  return known.find(({ pattern }) => pattern.test(path))?.operations[method.toLowerCase()]
}
/** The paths of a document, those with the fewest parameters first. */
const patterns = new WeakMap<object, { pattern: RegExp; operations: Record<string, Operation> }[]>()

/** What the operation declares for a status. */
export function findResponse(document: object, operation: Operation, status: number): Response | undefined {
  const found = operation.responses[String(status)]
  if (!found || !('$ref' in found)) return found
  return (document as Contract).components?.responses?.[found.$ref.replace('#/components/responses/', '')]
}

/**
 * PostgreSQL builds most of the JSON, so no serializer drops what the document does not declare.
 * Instead every response in every test is checked here: an undeclared status, content type,
 * field, header or problem throws.
 */
export function checkAnswer(document: object, method: string, url: string, response: Answered): void {
  const where = `${method} ${url.split('?', 1)[0] ?? ''} answered ${response.statusCode}`
  // HEAD is GET without the body.
  const operation = findOperation(document, method === 'HEAD' ? 'GET' : method, url)
  if (!operation) {
    if ([400, 404, 405].includes(response.statusCode)) return
    throw new Error(`${where}, and the OpenAPI document does not have this operation`)
  }
  const declared = findResponse(document, operation, response.statusCode)
  if (!declared)
    throw new Error(`${where}, a status that the OpenAPI document does not have: ${response.body}`)
  checkHeaders(document, declared, response, where)
  if (method === 'HEAD' && response.body === '') return
  const { 'content-type': contentType } = response.headers
  const type = String(contentType ?? '').split(';', 1)[0] || 'nothing'
  if (!declared.content) {
    if (response.body !== '') throw new Error(`${where} with a body, and the OpenAPI document has none`)
    return
  }
  const media = declared.content[type]
  if (!media)
    throw new Error(
      `${where} as ${type}, and the OpenAPI document has ${Object.keys(declared.content).join(', ')}`,
    )
  // A page is text, and so is a calendar.
  const body = (/[/+]json$/.test(type) ? JSON.parse(response.body) : response.body) as { type?: string }
  checkValue(document, media.schema, body, where)
  // The problems that an operation can return are the examples of its errors.
  const problem = body.type?.replace('/problems/', '') ?? ''
  if (type === 'application/problem+json' && !(problem in (media.examples ?? {})))
    throw new Error(`${where} with the problem ${problem}, and the OpenAPI document does not have it`)
}

function checkHeaders(document: object, declared: Response, response: Answered, where: string) {
  const { components = {} } = document as Contract
  for (const [name, { required }] of Object.entries(components.headers ?? {})) {
    const isSent = response.headers[name.toLowerCase()] !== undefined
    const isDeclared = name in (declared.headers ?? {})
    if (isSent && !isDeclared)
      throw new Error(`${where} with the header ${name}, and the OpenAPI document does not have it`)
    const isExpected = required === true || (response.statusCode < 400 && !sometimes.includes(name))
    if (isDeclared && !isSent && isExpected)
      throw new Error(`${where} without the header ${name}, which the OpenAPI document promises`)
  }
}
