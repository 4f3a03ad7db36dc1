import { Ajv, type Options, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifyInstance } from 'fastify'
import type { FastifyRouteSchemaDef, FastifyValidationResult } from 'fastify/types/schema.js'
import fp from 'fastify-plugin'
import { Strict } from './schemas.ts'

/** What Fastify passes, beyond what its types say. */
type Compiled = FastifyRouteSchemaDef<unknown> & { contentType?: string }

// Collecting all errors is only safe because every pattern in schemas.ts runs in linear time.
const options: Options = { allErrors: true, strict: true, strictTypes: false, allowUnionTypes: true }
const exact = new Ajv(options)
const converting = new Ajv({ ...options, coerceTypes: true })
for (const ajv of [exact, converting]) addFormats.default(ajv)

/** What is uploaded as a file. */
const files = ['text/csv', 'application/pdf', 'image/jpeg', 'image/png']

/**
 * Checks requests against the routes' schemas. Query strings and paths are text, so "5" is a number
 * there; JSON has types of its own, so nothing in a body is converted or dropped.
 */
export const validation = fp(
  async (app: FastifyInstance) => {
    app.setValidatorCompiler(({ schema, httpPart, contentType }: Compiled) =>
      // The file has already been stored as received.
      contentType !== undefined && files.includes(contentType)
        ? () => true
        : lazily(() => (httpPart === 'body' ? exact : converting).compile(schema as object)),
    )
    // Almost all JSON is PostgreSQL's own text, and a serializer per answer would take a third of the startup time.
    app.setSerializerCompiler(() => JSON.stringify)
    // A parameter that is misspelt, or another operation's, is refused and not silently ignored.
    app.addHook('onRoute', route => {
      if (route.url.startsWith('/api/') && route.schema && !route.schema.hide)
        route.schema = { querystring: Strict({}), ...route.schema }
    })
  },
  { name: 'validation' },
)

/**
 * A schema's validator, compiled when the first request needs it: a process starts in half the time, and
 * hardly any process needs the schemas of all operations.
 */
function lazily(compile: () => ValidateFunction): FastifyValidationResult {
  let compiled: ValidateFunction | undefined
  const validate: FastifyValidationResult = data => {
    compiled ??= compile()
    const isValid = compiled(data)
    validate.errors = compiled.errors ?? null
    return isValid
  }
  return validate
}
