import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { asker, places } from '../support/ask.ts'
import { register, signIn, startServer } from '../support/helper.ts'
import { operationsOf, wrongValues } from '../support/operations.ts'
import { outcome } from '../support/tokens.ts'

t.test('unreadable bodies, and invalid paths, queries and headers', async t => {
  const server = await startServer(t, { BODY_LIMIT: '20000' })
  const ana = await register(server, 'Ana')
  const operations = operationsOf(server.app)
  const nothing = randomUUID()
  const ask = asker(server, ana)

  const reading = operations.filter(({ method, takesFile }) => method !== 'GET' && !takesFile)

  for (const operation of reading) {
    // If it acts after all, it must not sign out everybody else.
    const token = operation.isOpen ? ana.token : (await signIn(server, ana.email)).token

    await t.test(`${operation.id} accepts no body that is not JSON`, async t => {
      const text = JSON.stringify(operation.body?.example ?? {})
      const broken = [
        '{',
        '}',
        '{"a":}',
        "{'a':1}",
        '{"a":1,}',
        '{"a" 1}',
        'undefined',
        'NaN',
        'True',
        `${text}x`,
        '\0',
        '"\ud800',
      ]
      for (const body of [...broken, text.slice(0, -1)])
        t.equal(outcome(await ask(operation, { body, token })), '400 bad_request', body.slice(0, 40))
      if (operation.body) t.equal(outcome(await ask(operation, { token })), '400 validation', 'nothing')
      // Many clients send the header whether there is a body or not.
      const called = outcome(await ask(operation, { token, headers: { 'content-type': 'application/json' } }))
      if (operation.body) t.equal(called, '400 validation', 'nothing, called JSON')
      else t.not(called, '400 bad_request', 'nothing, called JSON')
    })

    await t.test(`${operation.id} accepts no body of another type, and none that is too large`, async t => {
      const body = JSON.stringify(operation.body?.example ?? {})
      for (const type of [
        'text/plain',
        'text/json',
        'application/xml',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'application/octet-stream',
        'application/jsonp',
        'application/vnd.api+json',
        'json',
        'x'.repeat(2000),
      ])
        t.equal(
          outcome(await ask(operation, { body, token, headers: { 'content-type': type } })),
          '415 unsupported_media_type',
          type.slice(0, 40),
        )
      for (const large of [JSON.stringify({ a: 'x'.repeat(20_000) }), ' '.repeat(20_001), '['.repeat(20_001)])
        t.equal(
          outcome(await ask(operation, { body: large, token })),
          '413 payload_too_large',
          large.slice(0, 20),
        )
      t.equal(
        outcome(
          await ask(operation, {
            body: ' '.repeat(20_001),
            token,
            headers: { 'content-type': 'text/plain' },
          }),
        ).slice(0, 3),
        '415',
      )
    })
  }

  for (const operation of operations.filter(({ path }) => path.startsWith('/api/'))) {
    await t.test(`${operation.id} accepts no unknown or invalid query parameter`, async t => {
      const query = operation.parameters.filter(parameter => parameter.in === 'query')
      const body = operation.body && { body: operation.body.example }
      for (const unknown of [
        'surprise=1',
        'organization_id=1',
        'limit[]=1',
        '__proto__=1',
        'constructor=1',
        '=1',
        '%00=1',
        'a'.repeat(3000),
      ]) {
        const answer = await ask(operation, { ...body, query: `?${unknown}` })
        t.equal(outcome(answer), '400 validation', unknown.slice(0, 40))
        t.match(answer.body.errors?.[0]?.path, /^\/querystring/)
      }
      for (const { name, schema, example } of query) {
        // Numbers are part of the path.
        const types = schema.type === 'integer' ? ['x', '1.5', '', 'true', 'null', '1,2', '1 2'] : []
        const right = JSON.stringify(example ?? schema.enum?.[0] ?? 'abc').replaceAll('"', '')
        for (const value of [...types, ...wrongValues(schema, right).map(([, wrong]) => String(wrong))]) {
          const answer = await ask(operation, { query: `?${name}=${encodeURIComponent(value)}` })
          t.equal(outcome(answer), '400 validation', `${name}=${value.slice(0, 40)}`)
          t.strictSame(places(answer), [`/querystring/${name}`])
        }
        const twice = `${name}=${encodeURIComponent(right)}`
        t.equal(
          outcome(await ask(operation, { query: `?${twice}&${twice}` })),
          '400 validation',
          `${name} twice`,
        )
        for (const odd of [`${name}=Infinity`, `${name}=%zz`, `${name}=%ff%fe`, name, `${name}[$gt]=1`])
          await ask(operation, { query: `?${odd}` })
      }
    })
  }

  for (const operation of operations) {
    const headers = operation.parameters.filter(parameter => parameter.in === 'header')
    if (headers.length > 0)
      await t.test(`${operation.id} accepts no invalid header`, async t => {
        for (const { name, schema } of headers) {
          for (const value of ['x'.repeat((schema.maxLength ?? 0) + 1), 'naïve', 'a\tb'])
            t.equal(
              outcome(
                await ask(operation, {
                  ...(operation.body && { body: operation.body.example }),
                  headers: { [name]: value },
                }),
              ),
              '400 validation',
              `${name}: ${value.slice(0, 20)}`,
            )
        }
      })

    const ids = operation.parameters.filter(parameter => parameter.in === 'path')
    if (ids.length > 0)
      await t.test(`${operation.id} accepts no invalid id`, async t => {
        const body = operation.body && { body: operation.body.example }
        const isUuid = ids.every(({ schema }) => schema.format === 'uuid')
        for (const id of [
          '1',
          'null',
          '*',
          nothing.slice(1),
          `${nothing}0`,
          nothing.replaceAll('-', ''),
          `{${nothing}}`,
          `${nothing.slice(0, -1)}g`,
          `${nothing}%00`,
          `${nothing}%0a`,
          '%00',
          '..%2f..%2fme',
          "'%20or%20true%20--",
          '%F0%9F%8E%AA',
          '٣'.repeat(36),
        ]) {
          const answer = await ask(operation, { ...body, id: encodeURI(decodeURI(id)).replace(/%25/g, '%') })
          t.match(outcome(answer), isUuid ? /^400 validation$/ : /^(400 validation|404 not_found)$/, id)
        }
        for (const id of ['%zz', '%', '%ff', '%c0%80'])
          t.equal(outcome(await ask(operation, { ...body, id })), '400 bad_request', id)
        t.match(outcome(await ask(operation, { ...body, id: 'x'.repeat(3000) })), /^400 bad_request$/)
      })
  }
})
