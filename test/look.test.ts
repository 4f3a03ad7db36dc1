import { mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { refresh } from './figures.ts'
import { register, startServer } from './helper.ts'
t.test('look', async t => {
  mkdirSync('/tmp/report', { recursive: true })
  const server = await startServer(t)
  const { call, db } = server
  const dump = async (name: string, token: string, query = '') => {
    const began = performance.now()
    const { status, text, headers } = await call(`GET /api/analytics/report${query}`, { token })
    console.error(name, status, text.length, headers['data-age'], Math.round(performance.now() - began))
    writeFileSync(`/tmp/report/${name}.html`, text)
  }
  const ana = await register(server, 'Ana', `<script>alert('x')</script> & "Sons" </style></title><svg onload=alert(1)>`)
  const { token } = ana
  await refresh(db)
  await dump('empty', token, '?from=2020-01-01')
  const cats: Record<string, string> = {}
  for (const kind of ['income', 'expense'])
    cats[kind] = (await call<{ items: { id: string }[] }>(`GET /api/finance-categories?kind=${kind}`, { token })).body.items[0]?.id ?? ''
  const seed = (x: number) => (Math.sin(x * 12.9898) * 43758.5453) % 1
  for (let m = 0; m < 120; m += 1) {
    const on = `${2017 + Math.floor(m / 12)}-${String((m % 12) + 1).padStart(2, '0')}-14`
    for (const kind of ['income', 'expense'])
      await call('POST /api/finance-records', { token, body: { kind, category_id: cats[kind], booked_on: on, amount_minor: Math.round((3_000_000 + m * 40000) * (0.6 + Math.abs(seed(m + (kind === 'income' ? 0 : 7))))), status: m > 110 ? 'planned' : 'actual' } })
    const status = ['played', 'cancelled', 'confirmed', 'hold', 'inquiry', 'played', 'played'][m % 7]
    for (let k = 0; k < 1 + m % 3; k += 1)
      await call('POST /api/shows', { token, body: { title: `Show ${m}`, artist: 'The Gaslights', show_on: on, status } })
  }
  await db.admin`insert into app.event_log (organization_id, id, occurred_at, actor_id, actor_kind, action, resource_type)
    select ${ana.organization}, app.uuid_v7(), now() - make_interval(days => d), ${ana.id}, 'user', 'show.update', 'show'
    from generate_series(0, 300) d, generate_series(1, 5 + (abs(sin(d)) * 40)::int) n where extract(isodow from now() - make_interval(days => d)) < 7`.catch(e => console.error(e))
  await refresh(db)
  await dump('ten', token, '?from=2017-01-01&to=2026-12-31')
  await dump('year', token, '?from=2026-01-01&to=2026-12-31')
  await dump('year2', token, '?from=2025-01-01&to=2026-12-31')
  await dump('month', token, '?from=2026-03-01&to=2026-03-31')
})
