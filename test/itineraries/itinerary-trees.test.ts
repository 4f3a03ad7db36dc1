import fc from 'fast-check'
import { t } from '../support/tap.ts'
import { aShow, register, startServer } from '../support/helper.ts'
import { aDay, aLodging, anItem, anItinerary, aSegment } from '../support/itineraries.ts'

/** The body of a part of an itinerary, and its parent. */
const kinds: Record<string, { below: string; field: string; body: (n: number) => object }> = {
  'itinerary-days': {
    below: 'itineraries',
    field: 'itinerary_id',
    body: n => ({ ...aDay, day_on: new Date(Date.UTC(2027, 0, 1 + n)).toISOString().slice(0, 10) }),
  },
  'schedule-items': { below: 'itinerary-days', field: 'day_id', body: () => anItem },
  'travel-segments': { below: 'itineraries', field: 'itinerary_id', body: () => aSegment },
  lodgings: { below: 'itineraries', field: 'itinerary_id', body: () => aLodging },
  'lodging-rooms': { below: 'lodgings', field: 'lodging_id', body: n => ({ name: `Room ${n}` }) },
  'party-members': { below: 'itineraries', field: 'itinerary_id', body: n => ({ name: `Member ${n}` }) },
  'party-groups': { below: 'itineraries', field: 'itinerary_id', body: n => ({ name: `Group ${n}` }) },
}
const tables = [
  'itineraries',
  ...Object.keys(kinds).map(kind => kind.replaceAll('-', '_')),
  'itinerary_versions',
  'shows',
]

/** A step in the life of a tree: something is entered, deleted, restored or published; `pick` selects among what exists. */
const step = fc.record({
  what: fc.constantFrom('enter', 'enter', 'enter', 'enter', 'delete', 'restore', 'publish', 'delete show'),
  kind: fc.constantFrom(...Object.keys(kinds)),
  pick: fc.nat(1000),
})

t.test('whatever happened to a tree, deleting and then restoring a part of it changes nothing', async t => {
  const server = await startServer(t)
  const { call, db } = server

  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), fc.nat(1000), async (steps, chosen) => {
      const { token, organization } = await register(server, 'Ana')
      const ids: Record<string, string[]> = {}
      const paths: string[] = []
      const enter = async (kind: string, body: object) => {
        const answer = await call<{ id: string }>(`POST /api/${kind}`, { token, body })
        if (answer.status !== 201) return
        ;(ids[kind] ??= []).push(answer.body.id)
        paths.push(`/api/${kind}/${answer.body.id}`)
      }
      const pickOf = <T>(all: T[] = [], n: number) => all[n % Math.max(all.length, 1)]
      /** Every row with its deletion marks, but without what every change updates. */
      const contents = async () => {
        const rows: unknown[] = []
        for (const table of tables)
          rows.push(
            await db.admin.unsafe(
              `select to_jsonb(x) - '{version,updated_at,as_json}'::text[] as row from app.${table} x where organization_id = $1 order by to_jsonb(x)::text`,
              [organization],
            ),
          )
        return JSON.stringify(rows)
      }

      await enter('shows', aShow)
      await enter('itineraries', anItinerary)
      for (const [n, { what, kind, pick }] of steps.entries()) {
        const path = pickOf(paths, pick) ?? ''
        if (what === 'enter') {
          const { below, field, body } = kinds[kind] ?? { below: '', field: '', body: () => ({}) }
          const parent = pickOf(ids[below], pick)
          const show = kind === 'itinerary-days' && pick % 2 === 0 ? { show_id: ids['shows']?.[0] } : {}
          const group = pickOf(ids['party-groups'], pick)
          const groups = kind === 'party-members' && group !== undefined ? { group_ids: [group] } : {}
          if (parent !== undefined) await enter(kind, { ...body(n), ...show, ...groups, [field]: parent })
        } else if (what === 'publish')
          await call(`POST /api/itineraries/${ids['itineraries']?.[0] ?? ''}/publish`, {
            token,
            body: { note: null },
          })
        else if (what === 'delete show') await call(`DELETE ${paths[0] ?? ''}`, { token })
        else if (what === 'delete') await call(`DELETE ${path}`, { token })
        else await call(`POST ${path}/restore`, { token })
      }

      // Starting from the current state, which may be empty.
      const before = await contents()
      let tried = 0
      const order = [...paths.slice(chosen % paths.length), ...paths]
      for (const path of order) {
        if ((await call(`DELETE ${path}`, { token })).status !== 204) continue
        const between = await contents()
        if (between === before) throw new Error(`deleting ${path} did nothing`)
        const restored = await call(`POST ${path}/restore`, { token })
        if (restored.status !== 200) throw new Error(`${path} is not restored: ${restored.text}`)
        if ((await contents()) !== before) throw new Error(`${path} is restored differently`)
        if ((tried += 1) === 4) return
      }
    }),
    { numRuns: 30, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: false },
  )
  t.pass('in every tree that was tried')
})
