import t from 'tap'
import { asker, places } from '../support/ask.ts'
import { register, startServer } from '../support/helper.ts'
import {
  exampleAt,
  fieldsOf,
  operationsOf,
  withField,
  wrongTypes,
  wrongValues,
} from '../support/operations.ts'
import { outcome } from '../support/tokens.ts'

t.test('bodies that do not have their form', async t => {
  const server = await startServer(t, { BODY_LIMIT: '20000' })
  const { app } = server
  const ana = await register(server, 'Ana')
  const operations = operationsOf(app)
  const withBody = operations.filter(({ body }) => body)
  const ask = asker(server, ana)

  await t.test('the document gives a body an example, and a text an end', async t => {
    t.ok(withBody.length > 15)
    for (const { id, body } of withBody) {
      for (const [at, schema] of fieldsOf(body?.schema ?? {})) {
        const texts = (schema.anyOf ?? [schema]).filter(({ type }) => type === 'string')
        t.ok(
          texts.every(text => text.maxLength !== undefined || text.enum),
          `${id} ${at.join('.')}`,
        )
        const example = exampleAt(body?.example, at, schema)
        t.not(example, undefined, `${id} ${at.join('.')}`)
      }
    }
  })

  for (const operation of withBody) {
    const { schema, example } = operation.body ?? { schema: {}, example: {} }
    const fields = fieldsOf(schema).map(([at, field]) => ({
      at,
      field,
      is: exampleAt(example, at, field),
      where: `/body/${at.join('/')}`,
    }))

    await t.test(`${operation.id} converts no value of another type`, async t => {
      for (const { at, field, is, where } of fields) {
        for (const value of wrongTypes(field, is)) {
          const answer = await ask(operation, { body: withField(example, at, value) })
          const what = `${at.join('.')} = ${JSON.stringify(value)}`
          t.equal(outcome(answer), '400 validation', what)
          t.strictSame(places(answer), [where], what)
        }
      }
    })

    await t.test(
      `${operation.id} takes no value that is too long, too large or none of its kind`,
      async t => {
        for (const { at, field, is, where } of fields) {
          for (const [why, value] of wrongValues(field, is)) {
            const answer = await ask(operation, { body: withField(example, at, value) })
            const what = `${at.join('.')}: ${why}`
            t.equal(outcome(answer), '400 validation', what)
            t.strictSame(places(answer), [where], what)
            if (why === 'too long')
              t.ok(
                answer.body.errors?.some(({ message }) => message.includes('NOT have more than')),
                what,
              )
          }
          // Free text may have any character that can be stored, and the rest is refused in order.
          if (typeof is === 'string')
            for (const character of ['\0', '\ud800', '\udfff', '\u0085', '\u202e', '\ufeff', '\uffff'])
              await ask(operation, { body: withField(example, at, `${is}${character}`) })
        }
      },
    )

    await t.test(`${operation.id} takes no field that it does not know`, async t => {
      const unknown = [
        'surprise',
        'id',
        'organization_id',
        'created_by',
        'created_at',
        'version',
        'deleted_at',
        '',
        'a/b~c',
      ]
      for (const name of unknown.filter(field => !(field in (schema.properties ?? {})))) {
        const answer = await ask(operation, { body: { ...example, [name]: 'x' } })
        t.equal(outcome(answer), '400 validation', name)
        t.match(answer.body.errors, [{ message: `must NOT have additional properties: ${name}` }])
      }
      const many = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`f${n}`, n]))
      t.equal(
        outcome(await ask(operation, { body: { ...example, ...many } })),
        '400 validation',
        'a thousand',
      )
      for (const name of ['x'.repeat(10_000), 'a\nb\0c\u007f', '\ud800', 'constructor', 'toString', '🎪'])
        t.equal(
          outcome(await ask(operation, { body: { ...example, [name]: 1 } })),
          '400 validation',
          name.slice(0, 20),
        )
    })

    await t.test(`${operation.id} misses every field that it needs`, async t => {
      for (const name of schema.required ?? []) {
        const answer = await ask(operation, { body: withField(example, [name], undefined) })
        t.equal(outcome(answer), '400 validation', name)
        t.match(answer.body.errors, [{ message: `must have required property '${name}'` }])
      }
      const isEnough = schema.required === undefined && schema.minProperties === undefined
      for (const body of [null, [], [example], 'text', 5, true, ...(isEnough ? [] : [{}])])
        t.equal(
          outcome(await ask(operation, { body: JSON.stringify(body) })),
          '400 validation',
          JSON.stringify(body),
        )
    })

    await t.test(`${operation.id} refuses prototypes and depth`, async t => {
      const text = JSON.stringify(example)
      const [first = ''] = Object.keys(schema.properties ?? {})
      for (const body of [
        `{"__proto__":{"isAdmin":true},${text.slice(1)}`,
        `{"${first}":{"__proto__":{"x":1}}}`,
        `{"constructor":{"prototype":{"x":1}},${text.slice(1)}`,
        `{"\\u005f_proto__":null,${text.slice(1)}`,
        '['.repeat(9000) + ']'.repeat(9000),
        `${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`,
        `{"${first}":${'['.repeat(9000)}${']'.repeat(9000)}}`,
      ])
        t.match(outcome(await ask(operation, { body })), /^400 (validation|bad_request)$/, body.slice(0, 60))
      t.notOk('isAdmin' in {} || 'x' in {})
    })
  }
})
