import { setTimeout as sleep } from 'node:timers/promises'
import { t } from '../support/tap.ts'
import { aShow, type Database, register, startServer } from '../support/helper.ts'

t.test('while the schema is changed, no response is wrong or empty', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const { token } = await register(server, 'Ana')
  const { body: show } = await call<{ id: string }>('POST /api/shows', { token, body: aShow })
  const { body: venue } = await call<{ id: string }>('POST /api/venues', {
    token,
    body: { name: 'Kanalhalle', city: 'Berlin', country: 'DE', time_zone: 'Europe/Berlin', capacity: 1500 },
  })

  const again = async (name: string) => {
    const [row] = await db.admin<
      [{ text: string }]
    >`select pg_get_functiondef(${name}::text::regproc) as text`
    return row.text
  }
  const [view] = await db.admin<[{ text: string }]>`
    select 'create or replace view app.show_rows with (security_invoker = true) as ' || pg_get_viewdef('app.show_rows') as text`
  const changes = [
    'alter table app.shows add column rider text',
    'alter table app.shows drop column rider',
    'alter table app.shows add constraint shows_tried check (capacity < 1000000) not valid',
    'alter table app.shows drop constraint shows_tried',
    await again('app.read_show'),
    await again('app.write_show'),
    await again('app.enter'),
    await again('app.org_if'),
    view.text,
    `drop policy select_member on app.shows;
     create policy select_member on app.shows for select to callboard_api
       using (organization_id = (select app.org_if('shows.read')))`,
    'reindex table app.shows',
    'create index shows_rider_idx on app.shows (organization_id, artist)',
    'drop index app.shows_rider_idx',
    'analyze app.shows',
  ]

  const asked = [
    ['GET /api/shows?limit=5', 200, undefined],
    [`GET /api/shows/${show.id}`, 200, undefined],
    ['POST /api/shows', 201, aShow],
    [`PATCH /api/shows/${show.id}`, 200, { notes: 'changed' }],
    [`GET /api/venues/${venue.id}`, 200, undefined],
    ['GET /api/me', 200, undefined],
  ] as const
  const counts = new Map<number, number>()
  let isOver = false
  const clients = asked.map(async ([request, expected, body]) => {
    while (!isOver) {
      const answer = await call<{ items?: unknown[]; title?: string }>(request, { token, body })
      counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1)
      if (answer.status !== expected && answer.status !== 503)
        t.fail(`${request} answered ${answer.status}`, { text: answer.text })
      if (answer.body.items?.length === 0) t.fail(`${request} is empty`)
    }
  })
  try {
    for (let round = 0; round < 4; round += 1) {
      for (const change of changes) {
        await apply(db, change)
        await sleep(10)
      }
    }
  } finally {
    isOver = true
    await Promise.all(clients)
  }
  t.comment(Object.fromEntries(counts))
  const all = [...counts.values()].reduce((sum, n) => sum + n, 0)
  t.ok(all > 100)
  t.ok((counts.get(503) ?? 0) < all / 20, 'and few have to be repeated')
})

/** Retries a change until it gets its locks: in a deadlock with a request, either may be the victim. */
async function apply({ admin }: Database, change: string): Promise<void> {
  for (;;) {
    try {
      await admin.unsafe(change)
      return
    } catch (error) {
      if ((error as { code?: string }).code !== '40P01') throw error
    }
  }
}
