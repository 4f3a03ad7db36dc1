import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

interface Organization {
  id: string
  name: string
  slug: string
}

t.test('slugs', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call, db } = server
  const ana = await register(server, 'Ana', 'Home')
  const create = async (name: string) => {
    // This is not about how many somebody may found.
    await db.admin`delete from app_private.foundings`
    return (await call<Organization>('POST /api/organizations', { token: ana.token, body: { name } })).body
  }
  /** A token for an organization, which can be read only with one. */
  const at = async (organization_id: string) => {
    const { body } = await call<{ access_token: string }>('POST /api/auth/switch', {
      token: ana.token,
      body: { organization_id },
    })
    return body.access_token
  }
  const rename = async ({ id }: Organization, name: string) =>
    (await call<Organization>(`PATCH /api/organizations/${id}`, { token: await at(id), body: { name } })).body
  const resolve = async ({ id }: Organization, slug: string) =>
    (await call<Organization>(`GET /api/organizations/${slug}`, { token: await at(id) })).body.id

  await t.test('are derived from the name', async t => {
    for (const [name, slug] of Object.entries({
      'Broadway Co.': 'broadway-co',
      '  --Spaces   and_signs!! ': 'spaces-and-signs',
      "Ana's Company": 'anas-company',
      'Ana’s Other Company': 'anas-other-company',
      'Café Zürich Ñandú': 'cafe-zurich-nandu',
      'CAFÉ ÉCLAIR': 'cafe-eclair',
      'Große Bühne Straße': 'grosse-buhne-strasse',
      'GROẞE BÜHNE': 'grosse-buhne',
      'Ørsted & Łódź Æther Œuvre Þór Đuro': 'orsted-lodz-aether-oeuvre-thor-duro',
      'ﬁne ½ Ⅷ': 'fine-1-2-viii',
      'Ｆｕｌｌ Ｗｉｄｔｈ': 'full-width',
      '24/7 Events': '24-7-events',
      'Мюзик Холл 東京': 'organization',
      '🎭🎭': 'organization-2',
      '---': 'organization-3',
      ['long name '.repeat(20)]: 'long-name-long-name-long-name-long-name-long-name-long-name',
      ['x'.repeat(200)]: 'x'.repeat(60),
    })) {
      t.equal((await create(name)).slug, slug, name)
    }
  })

  await t.test('get a number if they are taken, even the longest', async t => {
    for (const expected of ['taken', 'taken-2', 'taken-3']) t.equal((await create('Taken')).slug, expected)
    t.equal((await create('taken!')).slug, 'taken-4')
    t.equal((await create('Taken 2')).slug, 'taken-2-2')
    t.equal((await create('x'.repeat(200))).slug, `${'x'.repeat(60)}-2`)
  })

  await t.test('get the next number in few steps, however many have the name', async t => {
    await db.admin`insert into app_private.slugs (slug, organization_id)
      select 'crowd' || coalesce('-' || nullif(n, 1), ''), gen_random_uuid() from generate_series(1, 100000) n`
    const began = performance.now()
    t.equal((await create('Crowd')).slug, 'crowd-100001')
    t.ok(performance.now() - began < 2000, 'trying each number takes longer')
    t.equal((await create('Crowd')).slug, 'crowd-100002')
  })

  await t.test('differ when ten organizations of one name are created at once', async t => {
    const founders = await Promise.all(
      Array.from({ length: 10 }, (_, n) => register(server, `R${n}`, 'Rush')),
    )
    const made = await db.admin<{ slug: string }[]>`
      select slug from app.organizations where id = any (${founders.map(({ organization }) => organization)})`
    const slugs = made.map(({ slug }) => slug)
    t.strictSame(slugs.sort(), ['rush', ...Array.from({ length: 9 }, (_, n) => `rush-${n + 2}`)].sort())
  })

  await t.test('follow the name; the old ones still lead there', async t => {
    const it = await create('First Name')
    t.equal((await rename(it, 'Second Name')).slug, 'second-name')
    t.equal((await rename(it, 'Third Name')).slug, 'third-name')
    for (const slug of ['first-name', 'second-name', 'third-name', it.id])
      t.equal(await resolve(it, slug), it.id, slug)
    t.equal((await create('First Name')).slug, 'first-name-2', 'nobody else gets it')
    const other = await create('Other')
    t.equal((await rename(other, 'Second Name')).slug, 'second-name-2')
    t.equal(await resolve(it, 'second-name'), it.id)
    t.equal(await resolve(other, 'second-name'), undefined)
  })

  await t.test('come back with the old name', async t => {
    const it = await create('Round')
    t.equal((await rename(it, 'Trip')).slug, 'trip')
    t.equal((await rename(it, 'Round')).slug, 'round')
    t.equal((await rename(it, 'ROUND.')).slug, 'round', 'another name may give the same')
    const second = await create('Round')
    t.equal(second.slug, 'round-2')
    t.equal((await rename(second, 'Elsewhere')).slug, 'elsewhere')
    t.equal((await rename(second, 'Round')).slug, 'round-2')
  })

  await t.test('do not change with anything but the name', async t => {
    const it = await create('Still')
    const body = { name: 'Still', currency: 'EUR', time_zone: 'Europe/Paris' }
    const answer = await call<Organization>(`PUT /api/organizations/${it.id}`, {
      token: await at(it.id),
      body,
    })
    t.match(answer.body, { slug: 'still', currency: 'EUR' })
  })

  await t.test('do not change hands when two organizations swap names at once', async t => {
    for (let round = 0; round < 5; round++) {
      const [a, b] = [await create(`A ${round}`), await create(`B ${round}`)]
      const [c, d] = await Promise.all([rename(a, b.name), rename(b, a.name)])
      t.strictSame([c.slug, d.slug], [`${b.slug}-2`, `${a.slug}-2`])
      t.strictSame([await resolve(a, a.slug), await resolve(b, b.slug)], [a.id, b.id])
    }
  })

  await t.test('reserved words are refused, in every spelling', async t => {
    const it = await create('Decent')
    for (const name of ['admin', 'API', ' Help! ', 'Sign In', 'wWw', 'Ápp', 'Me']) {
      const refusals = [
        await call('POST /api/organizations', { token: ana.token, body: { name } }),
        await call(`PATCH /api/organizations/${it.id}`, { token: await at(it.id), body: { name } }),
      ]
      t.strictSame(refusals.map(outcome), ['409 slug_reserved', '409 slug_reserved'], name)
    }
    t.equal((await create('Admin Team')).slug, 'admin-team', 'a reserved word may be part of a name')
  })

  await t.test('a slug that looks like another’s id leads to one’s own', async t => {
    const other = await register(server, 'Ben')
    const it = await create(other.organization)
    t.equal(it.slug, other.organization)
    t.equal(await resolve(it, other.organization), it.id)
    const read = await call(`GET /api/organizations/${other.organization}`, { token: other.token })
    t.equal(read.body['id'], other.organization)
  })

  await t.test('no slug leads an outsider anywhere', async t => {
    const stranger = await register(server, 'Stan')
    for (const slug of ['home', 'first-name', 'taken', randomUUID()]) {
      t.equal(
        outcome(await call(`GET /api/organizations/${slug}`, { token: stranger.token })),
        '404 not_found',
        slug,
      )
    }
  })

  await t.test('a deleted organization keeps its slugs', async t => {
    const it = await rename(await create('Gone Before'), 'Gone')
    await call(`DELETE /api/organizations/${it.id}`, { token: await at(it.id) })
    t.equal((await create('Gone')).slug, 'gone-2')
    t.equal((await create('Gone Before')).slug, 'gone-before-2')
    const back = await call<Organization>(`POST /api/organizations/${it.id}/restore`, { token: ana.token })
    t.match(back.body, { id: it.id, slug: 'gone' })
  })
})
