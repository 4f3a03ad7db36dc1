import { subscribe } from 'node:diagnostics_channel'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { t } from '../support/tap.ts'
import { problems } from '../../src/http/problems.ts'
import { startServer } from '../support/helper.ts'
import { readDocument } from '../support/openapi.ts'
import { root, run } from '../support/program.ts'

/** Routes that the document omits on purpose, besides HEAD, which is GET without the body. */
const undocumented = /^(GET \/openapi\.json|GET \/docs(\/.*)?|OPTIONS \*)$/

// Fastify keeps no list of its routes, but publishes each new instance, which reports each route.
const routes: RouteOptions[] = []
subscribe('fastify.initialization', message => {
  ;(message as { fastify: FastifyInstance }).fastify.addHook('onRoute', route => {
    routes.push(route)
  })
})

t.test('the OpenAPI document', async t => {
  const server = await startServer(t)
  const { call } = server
  const { document, operations, responsesOf } = await readDocument(server)

  await t.test('has every route, and nothing else has a route', async t => {
    const registered = new Set(routes.flatMap(({ method, url }) => [method].flat().map(m => `${m} ${url}`)))
    const documented = operations.map(({ name }) => name.replace(/\{(\w+)\}/g, ':$1'))
    for (const name of documented) t.ok(registered.has(name), `${name} has a route`)
    for (const name of registered) {
      if (documented.includes(name) || undocumented.test(name)) continue
      const twin = name.replace(/^HEAD /, 'GET ')
      if (twin !== name && (documented.includes(twin) || undocumented.test(twin))) continue
      // What is left must be the refusal of a method that a path does not support.
      const { status } = await call(name.replaceAll(/:\w+/g, 'x') as `${string} ${string}`)
      t.equal(status, 405, `${name} is not in the document`)
    }
    t.ok(documented.length > 40, 'the routes were seen')
  })

  await t.test('describes every operation', async t => {
    const ids = operations.map(({ operation }) => operation.operationId)
    t.equal(new Set(ids).size, ids.length, 'no operationId occurs twice')
    for (const { operation, name } of operations) {
      t.match(operation.operationId, /^[a-z]+([A-Z][a-z]+)*$/, `${name} has an operationId in camelCase`)
      t.match(operation, { summary: /^[A-Z].*[^.]$/, description: /^[A-Z].*\.$/ }, `${name} is explained`)
      t.equal(operation.tags.length, 1)
      t.ok(
        document.tags.some(tag => tag.name === operation.tags[0]),
        `the tag of ${name} is explained`,
      )
    }
  })

  await t.test('has every problem that an operation can return', async t => {
    // 204 as before, and 200 if somebody who is removed leaves something behind.
    const inTwoWays = ['DELETE /api/users/{id}']
    for (const { operation, name } of operations) {
      const statuses = responsesOf(operation).map(([status]) => status)
      t.equal(
        statuses.filter(status => status < 300 && status !== 206).length,
        inTwoWays.includes(name) ? 2 : 1,
        `${name} succeeds in one way`,
      )
      for (const [status, { content }] of responsesOf(operation)) {
        // For /readyz, which says in JSON what is not ready.
        if (status < 400 || content?.['application/json']) continue
        const named = Object.keys(content?.['application/problem+json']?.examples ?? {})
        t.ok(named.length > 0, `${name} says why it is ${status}`)
        for (const problem of named) t.equal(problems[problem]?.status, status, `${problem} is ${status}`)
      }
      const isPublic = operation.security !== undefined
      t.ok(statuses.includes(400) && statuses.includes(500))
      t.ok(isPublic || statuses.includes(401), `${name} refuses a bad token`)
      t.ok(operation.tags[0] === 'health' || statuses.includes(429), `${name} has a limit`)
    }
    // 405 and 431 belong to no operation, nor do problems of a DBA's functions; the other two are for constraints without their own problem.
    const unused = Object.keys(problems).filter(name => !(name in (document.components.examples ?? {})))
    t.same(unused.sort(), [
      'conflict',
      'explain_command_unknown',
      'explain_row_needed',
      'headers_too_large',
      'legal_hold',
      'method_not_allowed',
      'unprocessable',
    ])
  })

  await t.test('says of answers with a deprecated field that they have one', async t => {
    const shared = document.components.schemas as Record<string, object>
    const isDeprecated = (schema: unknown): boolean => {
      if (typeof schema !== 'object' || schema === null) return false
      const { deprecated, $ref: ref } = schema as { deprecated?: unknown; $ref?: string }
      if (ref !== undefined) return isDeprecated(shared[ref.replace('#/components/schemas/', '')])
      return deprecated === true || Object.values(schema).some(isDeprecated)
    }
    let count = 0
    for (const { operation, name } of operations)
      for (const [status, { content, headers = {} }] of responsesOf(operation)) {
        const says = 'Deprecation' in headers
        t.equal(says, isDeprecated(content?.['application/json']?.schema), `${name} ${status}`)
        if (says) count += 1
      }
    t.ok(count > 5, 'rates in basis points, of deals and settlements')
  })

  // `npm run openapi:lint` checks the whole document, which takes half a minute and is run for every change.
  await t.test('passes the linter, which finds planted errors', async t => {
    t.equal(document.openapi, '3.1.0')
    const { get, post } = document.paths['/api/shows'] ?? {}
    const part = (paths: object) => JSON.stringify({ ...document, paths: { '/api/shows': paths } })
    const fine = await lint(part({ get, post }))
    const rules = [...fine.output.matchAll(/ (?:error|warning) +(\S+)/g)].map(([, rule]) => rule)
    t.strictSame(
      [...new Set(rules)],
      ['oas3-unused-component'],
      'nothing is wrong, except components that only other paths use',
    )
    const worse = part({ get: { ...get, description: '' }, post: { ...post, security: [] } })
    const { code, output } = await lint(worse)
    t.equal(code, 1)
    t.match(output, /error\s+owasp:api2:2023-write-restricted/)
    t.match(output, /warning\s+operation-description/)
  })
})

/** Runs the linter as `npm run openapi:lint` does. */
async function lint(text: string) {
  await mkdir(join(root, '.data'), { recursive: true })
  const folder = await mkdtemp(join(root, '.data/lint-'))
  try {
    const file = join(folder, 'openapi.json')
    await writeFile(file, text)
    return await run('node_modules/.bin/spectral', 'lint', file, '--fail-severity=warn')
  } finally {
    await rm(folder, { recursive: true })
  }
}
