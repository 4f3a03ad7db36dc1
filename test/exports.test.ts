import { parse } from 'node:path'
import t from 'tap'
import { register, startServer } from './helper.ts'
t.test('smoke', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  for (let n = 0; n < 3; n++) await call('POST /api/venues', { token, body: { name: '=cmd' + n, city: 'A, "b"', country: 'NL', time_zone: 'Europe/Amsterdam', capacity: 10 } })
  for (const accept of ['text/csv', 'application/x-ndjson', 'application/json', 'text/html'])
    for (const path of ['venues', 'shows?deleted=only&bom=true', 'events', 'finance-records']) {
      const a = await call(`GET /api/exports/${path}`, { token, headers: { accept } })
      console.log(accept, path, a.status, a.text.slice(0, 400))
    }
})
