import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { type Answer, join, register, startServer } from '../support/helper.ts'
import { kindsOf, make } from '../support/make.ts'
import { fieldsOf, operationsOf, pathOf, withField } from '../support/operations.ts'
import { kindOf, sessionOf, thingsOf } from '../support/things.ts'
import { outcome } from '../support/tokens.ts'

/** A response without what must differ: the id of the request. */
const comparable = ({ status, body, headers }: Answer) =>
  JSON.stringify([status, { ...body, instance: '' }, headers['content-type'], headers['etag']])

t.test('a hidden row is indistinguishable from a missing one', async t => {
  const server = await startServer(t)
  const { app, call, db } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const mine = await thingsOf(server, ana)
  // A month belongs to everybody.
  const theirs = Object.fromEntries(
    Object.entries(await thingsOf(server, ben)).filter(([kind]) => kind !== 'finance-periods'),
  )
  const operations = operationsOf(app)
  const closed = operations.filter(({ isOpen }) => !isOpen)
  const colleague = await join(server, ana, 'viewer')
  const hidden: Record<string, Record<string, string>> = {
    sessions: { "a colleague's": await sessionOf(server, colleague) },
    users: { 'somebody who left': await leaver() },
    invitations: { revoked: await deletedOf('invitations') },
  }
  for (const { kind, parent, isRestorable } of kindsOf(app).values())
    if (isRestorable && (parent === 'shows' || ['roles', 'shows', 'venues'].includes(kind)))
      hidden[kind] = { deleted: await deletedOf(kind) }
  async function leaver() {
    const { id } = await join(server, ana, 'viewer', 'Leaver')
    await call(`DELETE /api/users/${id}`, { token: ana.token })
    return id
  }
  async function deletedOf(kind: string) {
    const id = await make(server, ana, kind)
    const answer = await call(`DELETE /api/${kind}/${id}`, { token: ana.token })
    if (answer.status !== 204) throw new Error(answer.text)
    return id
  }

  // To anybody but a superadmin all organizations are alike: 403, whether or not one exists.
  for (const operation of closed.filter(o => o.path.includes('{id}') && !o.tags.includes('support'))) {
    const { id, method, body, parameters } = operation
    await t.test(`${id} returns the same for what is hidden and for what does not exist`, async t => {
      const kind = kindOf(operation)
      const others = {
        nothing: randomUUID(),
        "another organization's": theirs[kind] ?? '',
        ...(!id.startsWith('restore') && hidden[kind]),
      }
      const preconditions = parameters.some(({ name }) => name === 'if-match')
        ? [{}, { 'if-match': '*' }]
        : [{}]
      const answers: string[] = []
      for (const headers of preconditions) {
        for (const [what, other] of Object.entries(others)) {
          const answer = await call(`${method} ${pathOf(operation, () => other)}`, {
            token: ana.token,
            headers,
            ...(body && { body: body.example }),
          })
          t.equal(outcome(answer), '404 not_found', what)
          answers.push(comparable(answer))
        }
      }
      t.equal(new Set(answers).size, 1, 'to the letter')
    })
  }

  await t.test("another organization's name in the path is as unknown as any", async t => {
    const [{ slug } = { slug: '' }] = await db.admin<{ slug: string }[]>`
      select slug from app.organizations where id = ${ben.organization}`
    const answers = []
    for (const name of [slug, 'no-such-company', ben.organization, randomUUID()])
      answers.push(await call(`GET /api/organizations/${name}`, { token: ana.token }))
    t.strictSame(answers.map(outcome), Array(4).fill('404 not_found'))
    t.equal(new Set(answers.map(comparable)).size, 1)
  })

  await t.test(
    "a field that refers to another organization's row is like one that refers to nothing",
    async t => {
      // Whatever a field may refer to: each kind of thing is tried in each field.
      let fields = 0
      for (const operation of operations) {
        const { id, method, body } = operation
        for (const [at, schema] of body ? fieldsOf(body.schema) : []) {
          if (schema.format !== 'uuid' && !schema.anyOf?.some(({ format }) => format === 'uuid')) continue
          fields++
          const ask = async (value: string) => {
            const example = withField(body?.example, ['invitation_token'], undefined)
            const request = withField(example, at, value) as object
            const path = pathOf(operation, () => mine[kindOf(operation)] ?? '')
            return call(`${method} ${path}`, {
              token: operation.isOpen ? undefined : ana.token,
              body: request,
            })
          }
          const unknown = await ask(randomUUID())
          // explain answers that there is no such row; and a client event's id refers to nothing.
          t.ok(
            unknown.status >= 400 || ['explainAccess', 'recordClientEvents'].includes(id),
            `${id} ${at.join('.')}: ${outcome(unknown)}`,
          )
          for (const [kind, other] of Object.entries(theirs))
            t.equal(comparable(await ask(other)), comparable(unknown), `${id} ${at.join('.')}: ${kind}`)
        }
      }
      t.ok(fields > 3)
    },
  )

  await t.test("a filter by another organization's row finds nothing", async t => {
    for (const operation of closed) {
      for (const { name, schema } of operation.parameters.filter(p => p.in === 'query')) {
        if (schema.format !== 'uuid') continue
        const ask = async (id: string) => {
          const path = pathOf(operation, () => mine[kindOf(operation)] ?? mine['shows'] ?? '')
          const { body } = await call(`GET ${path}?${name}=${id}`, { token: ana.token })
          // A problem names its request.
          return { ...body, ...(body['instance'] !== undefined && { instance: '' }) }
        }
        const none = await ask(randomUUID())
        // What is not a list has empty sums.
        // And what is computed for one deal takes that of the show.
        if (['draftSettlement', 'readOffer'].includes(operation.id)) t.match(none, { status: 404 })
        else if (operation.id === 'readActivity') t.match(none, { totals: { events: 0 }, by_user: [] })
        else if (operation.id === 'exportActivity')
          t.match(none, { items: { 0: { series: 'totals', events: 0 }, length: 1 } })
        else t.strictSame(none, { items: [], next_cursor: null }, `${operation.id} ${name}`)
        for (const other of Object.values(theirs))
          t.strictSame(await ask(other), none, `${operation.id} ${name}`)
      }
    }
  })
})
