import { spawn } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance, RouteOptions } from 'fastify'
import t from 'tap'
import { problems } from '../src/problems.ts'
import { checkValue } from './contract.ts'
import { register, signIn, startServer } from './helper.ts'

interface Media {
  schema: object
  example?: unknown
  examples?: Record<string, { $ref: string }>
}
interface Response {
  $ref?: string
  description?: string
  content?: Record<string, Media>
}
interface Parameter {
  in: 'path' | 'query' | 'header'
  name: string
  schema: object
  example: string | number
}
interface Operation {
  operationId: string
  summary: string
  description: string
  tags: string[]
  security?: object[]
  'x-permission'?: string
  parameters?: Parameter[]
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, Response>
}
interface Document {
  openapi: string
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, { summary: string; value: unknown }>>
}

/** Routes that the document leaves out on purpose, besides HEAD, which is GET without the body. */
const undocumented = /^(GET \/openapi\.json|GET \/docs(\/.*)?|OPTIONS \*)$/

// Fastify keeps no list of its routes, but says when an instance is made, and that tells of each route.
const routes: RouteOptions[] = []
subscribe('fastify.initialization', message => {
  ;(message as { fastify: FastifyInstance }).fastify.addHook('onRoute', route => {
    routes.push(route)
  })
})

t.test('the OpenAPI document', async t => {
  const server = await startServer(t)
  const { app, call, db } = server
  const served = await app.inject('/openapi.json')
  const document = served.json<Document>()
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  )
  const responsesOf = ({ responses }: Operation) =>
    Object.entries(responses).map(([status, response]): [number, Response] => {
      const shared = response.$ref?.replace('#/components/responses/', '')
      return [
        Number(status),
        shared === undefined ? response : (document.components.responses?.[shared] as Response),
      ]
    })

  /** Sends what the document gives as an example. */
  const callExample = (name: string, { parameters = [], requestBody }: Operation, token?: string) => {
    let url = name
    const query = new URLSearchParams()
    const headers: Record<string, string> = {}
    for (const { in: place, name: key, example } of parameters) {
      if (place === 'path') url = url.replace(`{${key}}`, String(example))
      else if (place === 'header') headers[key] = String(example)
      // A cursor belongs to one list in one order; its form is all that an example can show.
      else if (key !== 'cursor') query.set(key, String(example))
    }
    const body = requestBody?.content['application/json']?.example
    return call<{ type?: string }>(`${url}?${query.toString()}` as `${string} ${string}`, {
      token,
      headers,
      body,
    })
  }

  await t.test('has every route, and nothing else has a route', async t => {
    const registered = new Set(routes.flatMap(({ method, url }) => [method].flat().map(m => `${m} ${url}`)))
    const documented = operations.map(({ name }) => name.replace(/\{(\w+)\}/g, ':$1'))
    for (const name of documented) t.ok(registered.has(name), `${name} has a route`)
    for (const name of registered) {
      if (documented.includes(name) || undocumented.test(name)) continue
      const twin = name.replace(/^HEAD /, 'GET ')
      if (twin !== name && (documented.includes(twin) || undocumented.test(twin))) continue
      // What is left must be the refusal of a method that a path does not have.
      const { status } = await call(name.replaceAll(/:\w+/g, 'x') as `${string} ${string}`)
      t.equal(status, 405, `${name} is not in the document`)
    }
    t.ok(documented.length > 40, 'the routes were seen')
  })

  await t.test('says of every operation what it is', async t => {
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

  await t.test('says of every operation in an organization which permission it needs', async t => {
    const rows = await db.admin<{ name: string }[]>`select name from app.permissions`
    const ana = await register(server, 'Ana')
    for (const { operation, name } of operations) {
      const permission = operation['x-permission']
      if (permission !== undefined)
        t.ok(
          rows.some(row => row.name === permission),
          `${permission} is a permission`,
        )
      if (operation.security?.length === 0) continue
      // A new session each time, since some of the operations end it.
      const { token } = await signIn(server, ana.email)
      const nowhere = app.jwt.sign({ ...app.jwt.decode<object>(token), org: null } as never)
      const { body } = await callExample(name, operation, nowhere)
      // It has been deleted, so nobody can be in it.
      const needsOrganization = permission !== undefined && operation.operationId !== 'restoreOrganization'
      t.equal(
        body.type === '/problems/no_organization',
        needsOrganization,
        `${name} runs in an organization, or not`,
      )
    }
  })

  await t.test('has examples that the server takes', async t => {
    const ben = await register(server, 'Ben')
    for (const { operation, name } of operations) {
      const { token } = await signIn(server, ben.email, ben.organization)
      const { status, text } = await callExample(name, operation, operation.security ? undefined : token)
      // The example of a mailed link's token has been mailed to nobody.
      t.notOk(
        [400, 422].includes(status) && !/invalid_token/.test(text),
        `${name} takes its example: ${text}`,
      )
      t.ok(status < 500, `${name} answers ${status}`)
    }
  })

  await t.test('has examples that agree with their schemas', async t => {
    for (const { operation, name } of operations) {
      for (const parameter of operation.parameters ?? []) {
        t.doesNotThrow(() => {
          checkValue(document, parameter.schema, parameter.example, `${name} ${parameter.name}`)
        })
      }
      const bodies = [operation.requestBody, ...responsesOf(operation).map(([, response]) => response)]
      for (const media of bodies.flatMap(body => Object.values(body?.content ?? {}))) {
        const shared = Object.values(media.examples ?? {}).map(
          ({ $ref }) => document.components.examples?.[$ref.replace('#/components/examples/', '')]?.value,
        )
        const examples = 'example' in media ? [media.example] : shared
        t.ok(examples.length > 0, `${name} has an example of everything`)
        for (const example of examples)
          t.doesNotThrow(() => {
            checkValue(document, media.schema, example, name)
          })
      }
    }
  })

  await t.test('has every problem that an operation can answer with', async t => {
    for (const { operation, name } of operations) {
      const statuses = responsesOf(operation).map(([status]) => status)
      t.equal(statuses.filter(status => status < 400).length, 1, `${name} succeeds in one way`)
      for (const [status, { content }] of responsesOf(operation)) {
        // Of /readyz, which says in JSON what is not ready.
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
    // 405 is no operation's; the other two are what a constraint that has no name here gets.
    const unused = Object.keys(problems).filter(name => !(name in (document.components.examples ?? {})))
    t.same(unused.sort(), ['conflict', 'method_not_allowed', 'unprocessable'])
  })

  await t.test('passes the linter, which finds what is wrong', async t => {
    t.equal(document.openapi, '3.1.0')
    t.match(await lint(served.body), { code: 0 })
    const { get, post } = document.paths['/api/shows'] ?? {}
    const worse = {
      ...document,
      paths: { '/api/shows': { get: { ...get, description: '' }, post: { ...post, security: [] } } },
    }
    const { code, output } = await lint(JSON.stringify(worse))
    t.equal(code, 1)
    t.match(output, /error\s+owasp:api2:2023-write-restricted/)
    t.match(output, /warning\s+operation-description/)
  })
})

const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs the linter as `npm run openapi:lint` does. */
async function lint(text: string): Promise<{ code: number | null; output: string }> {
  await mkdir(join(root, '.data'), { recursive: true })
  const folder = await mkdtemp(join(root, '.data/lint-'))
  try {
    const file = join(folder, 'openapi.json')
    await writeFile(file, text)
    const spectral = join(root, 'node_modules/.bin/spectral')
    // The linter is not what is tested: its coverage would be a lot of work for nothing.
    const env = { ...process.env, NODE_OPTIONS: '' }
    const child = spawn(spectral, ['lint', file, '--fail-severity=warn'], { cwd: root, env })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const code = await new Promise<number | null>(resolve => child.on('close', resolve))
    return { code, output }
  } finally {
    await rm(folder, { recursive: true })
  }
}
