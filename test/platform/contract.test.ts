import { t } from '../support/tap.ts'
import { checkAnswer } from '../support/contract.ts'

// Every other test relies on contract.ts to throw; here it must.
const json = (schema: object) => ({ content: { 'application/json': { schema } } })
const document = {
  openapi: '3.1.0',
  paths: {
    '/shows': {
      get: {
        responses: {
          200: { ...json({ $ref: '#/components/schemas/Shows' }), headers: { Link: {}, ETag: {} } },
          404: { $ref: '#/components/responses/NotFound' },
        },
      },
    },
    '/shows/{id}': { delete: { responses: { 204: { description: 'Deleted' } } } },
    '/shows/mine': { get: { responses: { 200: json({ type: 'boolean' }) } } },
    '/shows/{id}/{part}': { get: { responses: { 200: json({ type: 'integer' }) } } },
  },
  components: {
    headers: { ETag: { required: true }, Link: {}, 'Retry-After': { required: true } },
    responses: {
      NotFound: {
        headers: { 'Retry-After': {} },
        content: {
          'application/problem+json': {
            schema: { type: 'object', properties: { type: { type: 'string' } } },
            examples: { not_found: { $ref: '#/components/examples/not_found' } },
          },
        },
      },
    },
    schemas: {
      Shows: { type: 'array', items: { $ref: '#/components/schemas/Show' } },
      Show: {
        type: 'object',
        additionalProperties: false,
        required: ['title', 'show_on'],
        properties: {
          title: { type: 'string' },
          show_on: { type: 'string', format: 'date' },
          notes: { anyOf: [{ type: 'string' }, { type: 'null' }] },
        },
      },
    },
  },
}
const show = { title: 'Winter Tour', show_on: '2027-02-03' }
const problem = (name: string) => ({ type: `/problems/${name}` })

/** A response that the document allows, except for what the case changes. */
interface Case {
  request?: string
  status?: number
  type?: string
  headers?: Record<string, string>
  body?: unknown
}
function check({ request = 'GET /shows', status = 200, type = 'application/json', headers, body }: Case) {
  const [method = '', url = ''] = request.split(' ')
  checkAnswer(document, method, url, {
    statusCode: status,
    headers: { 'content-type': type, ...(headers ?? { etag: '"1"' }) },
    body: body === undefined ? '' : JSON.stringify(body),
  })
}
const refusal = { status: 404, type: 'application/problem+json', headers: { 'retry-after': '1' } }

const allowed: Record<string, Case> = {
  'what is declared': { body: [show] },
  'what is declared, with a charset': { type: 'application/json; charset=utf-8', body: [show] },
  'a field that may be omitted': { body: [{ ...show, notes: null }] },
  'a header that may be omitted': { headers: { etag: '"1"', link: '</>; rel="next"' }, body: [] },
  'a query string': { request: 'GET /shows?status=hold', body: [] },
  'HEAD as GET without a body': { request: 'HEAD /shows' },
  'no body where none is declared': { request: 'DELETE /shows/7', status: 204, headers: {} },
  'the operation with the fewest parameters': { request: 'GET /shows/mine', headers: {}, body: true },
  'a problem of the operation': { ...refusal, body: problem('not_found') },
  '404 of a path that does not exist': { ...refusal, request: 'GET /nothing', headers: {}, body: {} },
  '405 of a method that does not exist': { request: 'PUT /shows', status: 405, headers: {}, body: {} },
}
const refused: Record<string, [RegExp, Case]> = {
  'an undeclared field': [/"colour"/, { body: [{ ...show, colour: 'red' }] }],
  'a missing field': [/required property 'show_on'/, { body: [{ title: 'Winter Tour' }] }],
  'a value of another type': [/must be string/, { body: [{ ...show, title: 7 }] }],
  'a value of another format': [/must match format "date"/, { body: [{ ...show, show_on: '2027-02-30' }] }],
  'an undeclared status': [/a status that/, { status: 201, body: [] }],
  'an undeclared content type': [/as text\/html/, { type: 'text/html', body: [] }],
  'no content type': [/as nothing/, { type: '', body: [] }],
  'a problem as plain JSON': [
    /as application\/json/,
    { ...refusal, type: 'application/json', body: problem('not_found') },
  ],
  'a body where none is declared': [
    /with a body/,
    { request: 'DELETE /shows/7', status: 204, headers: {}, body: {} },
  ],
  'an undeclared problem': [/the problem last_owner/, { ...refusal, body: problem('last_owner') }],
  'a problem without a name': [/the problem ,/, { ...refusal, body: {} }],
  'an undeclared header': [
    /with the header Retry-After/,
    { headers: { etag: '"1"', 'retry-after': '1' }, body: [] },
  ],
  'a missing header': [/without the header ETag/, { headers: {}, body: [] }],
  'a missing header of an error': [
    /without the header Retry-After/,
    { ...refusal, headers: {}, body: problem('not_found') },
  ],
  'an undeclared operation': [/this operation/, { request: 'GET /venues', headers: {}, body: [] }],
  'an undeclared method': [/this operation/, { request: 'PUT /shows', headers: {}, body: [] }],
}

t.test('a response of the declared form passes', async t => {
  for (const [what, given] of Object.entries(allowed))
    t.doesNotThrow(() => {
      check(given)
    }, what)
})

t.test('a response of any other form throws, and says what is wrong', async t => {
  for (const [what, [message, given]] of Object.entries(refused))
    t.throws(
      () => {
        check(given)
      },
      { message },
      what,
    )
})
