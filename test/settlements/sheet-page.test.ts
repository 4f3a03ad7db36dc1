// The sheet of a settlement: what both sides see of it, as JSON and as a page.
import { t } from '../support/tap.ts'
import { aShow, join, register, startServer } from '../support/helper.ts'
import { newYork } from '../support/new-york.ts'
import { settling, type SheetLine } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

interface Sheet {
  settlement: { status: string; reopened_at: string | null; is_outdated: boolean }
  show: { title: string; show_on: string; artist: string; venue_name: string | null } | null
  lines: (SheetLine & { amount: string; budget: string | null; over_budget: string | null })[]
}

t.test('the sheet of a settlement', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { make, showWith, record, finalize, reopen } = settling(server, token)
  const show = await showWith([
    ...newYork,
    [
      'costs',
      { name: 'Our office', kind: 'fixed', amount_minor: 12_345, is_internal: true, budget_minor: 777 },
    ],
    ['costs', { name: '<b>Fog</b>', kind: 'fixed', amount_minor: 0, budget_minor: 5000 }],
    ['deposits', { due_on: '2027-01-20', amount_minor: 9900 }],
  ])
  const { id, result } = (await record(show)).body
  const sheet = (as = token) => call<Sheet>(`GET /api/settlements/${id}/sheet`, { token: as })
  const page = async () =>
    await call(`GET /api/settlements/${id}/sheet`, { token, headers: { accept: 'text/html' } })

  await t.test('has every line with its amount as people read it', async t => {
    const { lines } = (await sheet()).body
    const recorded = (result['lines'] as unknown as SheetLine[]).filter(
      ({ section }) => section !== 'promoter',
    )
    t.same(
      lines.map(({ key, amount_minor }) => [key, amount_minor]),
      recorded.map(({ key, amount_minor }) => [key, amount_minor]),
    )
    t.match(
      lines.find(({ key }) => key === 'walk_out'),
      { amount: '5,930.10', budget: null },
    )
    t.match(
      lines.find(({ name }) => name === '<b>Fog</b>'),
      { amount: '0.00', budget: '50.00', over_budget: '-50.00' },
    )
  })

  await t.test('is a page to be printed, with two signatures and nothing of the promoter’s own', async t => {
    const answer = await page()
    t.match(answer.headers['content-type'], /^text\/html/)
    t.match(answer.headers['content-security-policy'], /default-src 'none'; style-src 'sha256-/)
    const text = answer.text
    for (const shown of [
      'Draft, not final · revision 1',
      '5,930.10',
      '8.875 % in the rest of 28,740.00',
      '&lt;b&gt;Fog&lt;/b&gt;',
      'For the artist: name, date, signature',
      'For the promoter: name, date, signature',
      'Deposits that are due and not counted',
      'due on 2027-01-20, not paid',
      'amounts in USD',
      '1070 sold, 42 complimentary, of 1200 tickets',
    ])
      t.ok(text.includes(shown), shown)
    for (const hidden of ['Our office', '123.45', '7.77', 'Left for the promoter', '<b>'])
      t.notOk(text.includes(hidden), hidden)
    t.notOk(JSON.stringify((await sheet()).body).includes('Our office'))
  })

  await t.test('is JSON for those who refuse the page', async t => {
    const { headers } = await call(`GET /api/settlements/${id}/sheet`, {
      token,
      headers: { accept: 'text/html;q=0' },
    })
    t.match(headers, { 'content-type': /^application\/json/, vary: /Accept/ })
  })

  await t.test('says whether it is final, or no longer valid', async t => {
    t.equal((await finalize(id)).status, 200)
    t.ok((await page()).text.includes('Final · revision 1'))
    await reopen(show, 'The taxi')
    t.ok((await page()).text.includes('Reopened, no longer valid · revision 1'))
    t.match((await sheet()).body, { settlement: { status: 'final', reopened_at: /./ } })
    await make(`shows/${show}/costs`, { name: 'Taxi', kind: 'fixed', amount_minor: 2500 })
    t.notOk((await page()).text.includes('Taxi'), 'it stays as it was recorded')
  })

  await t.test('keeps the show as it was, and a draft says that it would be another now', async t => {
    const change = (of: string, body: object) => call(`PATCH /api/shows/${of}`, { token, body })
    const venue = await make('venues', {
      name: 'Paradiso',
      city: 'Amsterdam',
      country: 'NL',
      time_zone: 'Europe/Amsterdam',
    })
    const other = await showWith([
      ['deals', { kind: 'flat', currency: 'USD', guarantee_minor: 500, cancellation_minor: 100 }],
    ])
    t.equal((await change(other, { venue_id: venue })).status, 200)
    const at = async (settlement: string) =>
      (await call<Sheet>(`GET /api/settlements/${settlement}/sheet`, { token })).body
    const first = (await record(other)).body.id
    const before = (await at(first)).show
    t.match(before, { artist: aShow.artist, show_on: aShow.show_on, venue_name: 'Paradiso' })
    t.equal((await at(first)).settlement.is_outdated, false)
    for (const [body, back] of [
      [{ title: 'Another title' }, { title: aShow.title }],
      [{ artist: 'Somebody else' }, { artist: aShow.artist }],
      [{ show_on: '2027-09-09' }, { show_on: aShow.show_on }],
      [{ venue_id: null }, { venue_id: venue }],
    ]) {
      t.equal((await change(other, body ?? {})).status, 200)
      t.match((await at(first)).settlement, { is_outdated: true }, JSON.stringify(body))
      t.same((await at(first)).show, before)
      t.equal(outcome(await finalize(first)), '409 settlement_outdated')
      t.equal((await change(other, back ?? {})).status, 200)
      t.match((await at(first)).settlement, { is_outdated: false })
    }
    t.equal((await call(`PATCH /api/venues/${venue}`, { token, body: { name: 'Melkweg' } })).status, 200)
    t.match((await at(first)).settlement, { is_outdated: true })
    const second = (await record(other)).body.id
    t.equal((await finalize(second)).status, 200)
    t.equal((await change(other, { title: 'Renamed', show_on: '2027-09-09' })).status, 200)
    t.match(await at(second), {
      settlement: { status: 'final', is_outdated: false },
      show: { ...before, venue_name: 'Melkweg' },
    })

    const cancelled = await showWith(
      [['deals', { kind: 'flat', currency: 'USD', guarantee_minor: 500, cancellation_minor: 100 }]],
      'confirmed',
    )
    const draft = (await record(cancelled)).body.id
    t.equal((await change(cancelled, { status: 'cancelled' })).status, 200)
    t.match((await at(draft)).settlement, { is_outdated: true, is_cancelled: false })
    const { text } = await call(`GET /api/settlements/${draft}/sheet`, {
      token,
      headers: { accept: 'text/html' },
    })
    t.ok(text.includes('Draft, out of date · revision 1'))
  })

  await t.test('of a settlement from before has the show of today', async t => {
    const old = await showWith([['deals', { kind: 'flat', currency: 'USD', guarantee_minor: 500 }]])
    const recorded = (await record(old)).body.id
    await db.admin`alter table app.settlements disable trigger _200_unchanged`
    await db.admin`update app.settlements set show_as_recorded = null where id = ${recorded}`
    await db.admin`alter table app.settlements enable trigger _200_unchanged`
    t.equal((await call(`PATCH /api/shows/${old}`, { token, body: { title: 'Another title' } })).status, 200)
    const answer = await call<Sheet>(`GET /api/settlements/${recorded}/sheet`, { token })
    t.match(answer.body, { show: { title: 'Another title' }, settlement: { is_outdated: false } })
    t.equal((await finalize(recorded)).status, 200)
  })

  await t.test('is for those who read money, of this organization', async t => {
    t.equal(outcome(await sheet((await join(server, ana, 'viewer')).token)), '200')
    t.equal(outcome(await sheet((await register(server, 'Ben')).token)), '404 not_found')
  })
})
