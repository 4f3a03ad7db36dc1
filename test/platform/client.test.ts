import { t } from '../support/tap.ts'
import { writeProgram } from '../support/generated-client.ts'
import { password, register, startServer } from '../support/helper.ts'

/** A program whose lines that must not compile say so. */
const program = `
import createClient from 'openapi-fetch'
import type { components, paths } from './api.ts'

type Show = components['schemas']['Show']

const [baseUrl = '', email = '', password = ''] = process.argv.slice(2)
const client = createClient<paths>({ baseUrl })

const refused = await client.POST('/api/auth/sign-in', { body: { email, password: 'guessed' } })
if (refused.error === undefined) throw new Error('a guessed password is accepted')
const problem: components['schemas']['Problem'] = refused.error

const signedIn = await client.POST('/api/auth/sign-in', { body: { email, password } })
if (signedIn.error) throw new Error(signedIn.error.detail)
const headers = { authorization: \`Bearer \${signedIn.data.access_token}\` }

const created = await client.POST('/api/shows', {
  headers,
  body: { title: 'Spring Tour', artist: 'The Gaslights', show_on: '2027-03-14', status: 'hold', capacity: null },
})
if (created.error) throw new Error(created.error.detail)
const show: Show = created.data

const changed = await client.PATCH('/api/shows/{id}', {
  params: { path: { id: show.id }, header: { 'if-match': created.response.headers.get('etag') ?? '' } },
  headers,
  body: { tickets_sold: 820 },
})
if (changed.error) throw new Error(changed.error.detail)

const listed = await client.GET('/api/shows', {
  params: { query: { status: 'hold', sort: '-show_on', limit: 10 } },
  headers,
})
if (listed.error) throw new Error(listed.error.detail)
const shows: Show[] = listed.data.items
const sold: number[] = shows.map(item => item.tickets_sold)

console.log(JSON.stringify({ problem, show, shows, sold }))

async function neverCalled() {
  // @ts-expect-error a show has a title
  await client.POST('/api/shows', { body: { artist: 'The Gaslights', show_on: '2027-03-14' } })
  // @ts-expect-error there is no such status
  await client.POST('/api/shows', { body: { title: '', artist: '', show_on: '', status: 'sold' } })
  // @ts-expect-error a show has no colour
  console.log(show.colour)
  // @ts-expect-error a fee may be null
  console.log(show.fee_minor + 1)
  // @ts-expect-error the id is in the path
  await client.GET('/api/shows/{id}', {})
  // @ts-expect-error there is no such path
  await client.GET('/api/concerts', {})
}
void neverCalled
`

t.test('a client that is generated from the served document works', async t => {
  const server = await startServer(t)
  const url = await server.app.listen({ host: '127.0.0.1', port: 0 })
  const ana = await register(server, 'Ana')

  const { generate, compile, run } = await writeProgram(t, url, program)

  await t.test('it is generated', async t => {
    t.match(await generate(), { code: 0 })
  })
  await t.test('a program using it compiles, and what the document forbids does not', async t => {
    t.same(await compile(), { code: 0, output: '' })
  })
  await t.test('the program signs in, creates a show and finds it in the list', async t => {
    const { code, output } = await run(ana.email, password)
    t.equal(code, 0, output)
    t.match(JSON.parse(output), {
      problem: { type: '/problems/invalid_credentials', status: 401 },
      show: { title: 'Spring Tour', status: 'hold', tickets_sold: 0 },
      shows: [{ title: 'Spring Tour', status: 'hold', tickets_sold: 820 }],
      sold: [820],
    })
  })
})
