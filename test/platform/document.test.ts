import { t } from '../support/tap.ts'
import { complete } from '../../src/http/openapi/document.ts'
import type { Document, Operation } from '../../src/http/openapi/types.ts'

/** A document of operations that return 200 with a schema, as @fastify/swagger makes it from routes. */
function documentOf(schemas: Record<string, object>, operation: Partial<Operation> = {}): Document {
  const paths = Object.entries(schemas).map(([path, schema]) => {
    const responses = { 200: { description: 'It', content: { 'application/json': { schema } } } }
    return [path, { get: { operationId: path.slice(1), security: [], responses, ...operation } }]
  })
  return { paths: Object.fromEntries(paths) as Document['paths'], components: {} }
}
const answerOf = (document: Document, path: string) => {
  const response = document.paths[path]?.['get']?.responses['200']
  if (!response || '$ref' in response) throw new Error('there is no such response')
  return response.content?.['application/json']
}
const title = { type: 'string', examples: ['Winter Tour'] }

t.test('an example is composed from the examples of its parts', async t => {
  const cases: [object, unknown][] = [
    [title, 'Winter Tour'],
    [{ type: 'string', const: 'Bearer' }, 'Bearer'],
    [{ type: 'string', enum: ['hold', 'offer'] }, 'hold'],
    [{ type: 'string', enum: ['hold', 'offer'], examples: ['offer'] }, 'offer'],
    [{ type: 'boolean' }, true],
    [{ type: 'null' }, null],
    [{ anyOf: [title, { type: 'null' }] }, 'Winter Tour'],
    [{ type: 'array', items: title }, ['Winter Tour']],
    [
      { type: 'object', properties: { title, shows: { type: 'array', items: title } } },
      { title: 'Winter Tour', shows: ['Winter Tour'] },
    ],
    [
      { type: 'object', properties: { title }, examples: [{ title: 'Spring Tour' }] },
      { title: 'Spring Tour' },
    ],
  ]
  for (const [schema, expected] of cases)
    t.same(
      answerOf(complete(documentOf({ '/it': schema })), '/it')?.example,
      expected,
      JSON.stringify(schema),
    )
})

t.test('a part without an example is named', async t => {
  const show = { type: 'object', properties: { title, dates: { type: 'array', items: { type: 'string' } } } }
  t.throws(() => complete(documentOf({ '/readShow': show })), { message: 'readShow.dates[] has no example' })
  const parameters = [{ in: 'query', name: 'q', schema: { type: 'string' } }]
  t.throws(() => complete(documentOf({ '/listShows': title }, { parameters })), {
    message: 'listShows q has no example',
  })
})

t.test('a schema with a title is written once, and two with the same title are refused', async t => {
  const show = { title: 'Show', type: 'object', properties: { title } }
  const page = { title: 'ShowPage', type: 'object', properties: { items: { type: 'array', items: show } } }
  const document = complete(documentOf({ '/readShow': show, '/listShows': page }))
  t.same(answerOf(document, '/listShows')?.schema, { $ref: '#/components/schemas/ShowPage' })
  t.match(document.components['schemas'], {
    Show: { properties: { title } },
    ShowPage: { properties: { items: { items: { $ref: '#/components/schemas/Show' } } } },
  })
  const other = { ...show, properties: { title, notes: title } }
  t.throws(() => complete(documentOf({ '/readShow': show, '/writeShow': other })), {
    message: 'Two schemas have the title Show',
  })
})

t.test('an unknown problem is refused', async t => {
  t.throws(() => complete(documentOf({ '/readShow': title }, { 'x-problems': ['too_loud'] })), {
    message: 'There is no problem too_loud',
  })
})
