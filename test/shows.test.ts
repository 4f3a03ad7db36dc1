import t from 'tap'
import { aShow, join, register, startServer } from './helper.ts'

t.test('shows', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')

  await t.test('a show that was created can be read, with its version as ETag', async t => {
    const created = await call<{ id: string }>('POST /api/shows', { token: ana.token, body: aShow })
    t.equal(created.status, 201)
    t.equal(created.headers['etag'], '"1"')
    t.equal(created.headers['location'], `/api/shows/${created.body.id}`)
    const read = await call(`GET /api/shows/${created.body.id}`, { token: ana.token })
    t.match(read.body, { ...aShow, status: 'inquiry', tickets_sold: 0 })
  })

  await t.test('a viewer reads and does not write', async t => {
    const viewer = await join(server, ana, 'viewer')
    t.equal((await call('GET /api/shows', { token: viewer.token })).status, 200)
    t.equal((await call('POST /api/shows', { token: viewer.token, body: aShow })).status, 403)
  })
})
