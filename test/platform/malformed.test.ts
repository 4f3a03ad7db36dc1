import type { Test } from 'tap'
import { t } from '../support/tap.ts'
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

    /** All of them at once are refused, each in its place. */
    const refused = async (t: Test, several: Wrong[]) => {
      const body = several.reduce<unknown>((changed, { at, value }) => withField(changed, at, value), example)
      const answer = await ask(operation, { body })
      const what = several.map(({ where, what }) => `${where}: ${what}`).join(', ')
      t.equal(outcome(answer), '400 validation', what)
      t.strictSame(places(answer).sort(), several.map(({ where }) => where).sort(), what)
      return answer
    }

    await t.test(`${operation.id} converts no value of another type`, async t => {
      const wrong = fields.flatMap(({ at, field, is, where }) =>
        wrongTypes(field, is).map(value => ({ at, where, value, what: JSON.stringify(value) })),
      )
      for (const several of together(wrong)) await refused(t, several)
    })

    await t.test(
      `${operation.id} takes no value that is too long, too large or none of its kind`,
      async t => {
        const wrong = fields.flatMap(({ at, field, is, where }) =>
          wrongValues(field, is).map(([what, value]) => ({ at, where, value, what })),
        )
        for (const several of together(wrong)) {
          const { body } = await refused(t, several)
          for (const { where, what } of several)
            if (what === 'too long')
              t.ok(
                body.errors?.some(
                  ({ path, message }) => path === where && message.includes('NOT have more than'),
                ),
                `${where}: ${what}`,
              )
        }
        for (const { at, is } of fields) {
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

/** A wrong value of a field, and what is wrong with it. */
interface Wrong {
  at: string[]
  where: string
  value: unknown
  what: string
}

/** As few lots as it takes: in each, no field is another's, or a part of it. */
function together(wrong: Wrong[]): Wrong[][] {
  const lots: Wrong[][] = []
  for (const one of wrong) {
    const meets = (other: Wrong) =>
      `${one.where}/`.startsWith(`${other.where}/`) || `${other.where}/`.startsWith(`${one.where}/`)
    const lot = lots.find(others => !others.some(meets))
    if (lot) lot.push(one)
    else lots.push([one])
  }
  return lots
}
