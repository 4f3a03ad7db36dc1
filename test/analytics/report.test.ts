// The report: the endpoints' figures as a printable page, in which no data becomes markup.
import { createHash } from 'node:crypto'
import { parseHTML } from 'linkedom'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { amount } from '../../src/analytics/report/parts.ts'
import { plots } from '../../src/analytics/report/plots.ts'
import { refresh } from '../support/figures.ts'
import { joinAs, type Person, register, startServer, type TestServer } from '../support/helper.ts'

interface Element {
  textContent: string
  getAttribute: (name: string) => string | null
  querySelectorAll: (selector: string) => Element[]
}
const all = (on: Element, selector: string) => [...on.querySelectorAll(selector)]
const texts = (on: Element, selector: string) =>
  all(on, selector).map(({ textContent }) => textContent.replace(/\s+/g, ' ').trim())
/** The rows of the table with this text in its caption. */
function rowsOf(page: Element, caption: string): string[][] {
  const table = all(page, 'table').find(one => texts(one, 'caption').some(text => text.startsWith(caption)))
  return table ? all(table, 'tbody tr').map(row => texts(row, 'th, td')) : []
}

const hostile = `<script>alert("x")</script> & 'Sons' </style></title><svg onload=alert(1)>`

async function arrange(t: Test, name = 'Ana and company') {
  const server = await startServer(t)
  const ana = await register(server, 'Ana', name)
  const categories: Record<string, string> = {}
  for (const kind of ['income', 'expense']) {
    const path = `GET /api/finance-categories?kind=${kind}` as const
    const { body } = await server.call<{ items: { id: string }[] }>(path, { token: ana.token })
    categories[kind] = body.items[0]?.id ?? ''
  }
  const book = async (
    kind: 'income' | 'expense',
    booked_on: string,
    amount_minor: number,
    status = 'actual',
  ) => {
    const body = { kind, category_id: categories[kind], booked_on, amount_minor, status }
    const { status: answer } = await server.call('POST /api/finance-records', { token: ana.token, body })
    if (answer !== 201) throw new Error('cannot book')
  }
  const read = async ({ token }: Person, query = '?from=2027-01-01') => {
    const answer = await server.call(`GET /api/analytics/report${query}`, { token })
    const { document } = parseHTML(answer.text) as unknown as { document: Element }
    return { ...answer, page: document }
  }
  return { server, ana, book, read }
}
const entered = ({ call }: TestServer, { token }: Person, status: string) =>
  call('POST /api/shows', {
    token,
    body: { title: 'Winter Tour', artist: 'The Gaslights', show_on: '2027-03-14', status },
  })

t.test('the report', async t => {
  const { server, ana, book, read } = await arrange(t, hostile)
  const { call, db } = server
  const { token } = ana

  await t.test(
    'says that there are no figures before any were computed, and is a page nonetheless',
    async t => {
      const { status, page } = await read(ana)
      t.equal(status, 200)
      t.equal(texts(page, '.stale').filter(text => /have not been computed/.test(text)).length, 3)
      t.same(all(page, 'svg'), [])
    },
  )

  await t.test('has a sentence for each part that is empty', async t => {
    await refresh(db)
    const { page } = await read(ana, '?from=2019-01-01&to=2019-12-31')
    t.match(texts(page, 'section p:last-child').join(), /Nothing is booked.*no shows.*No activity/)
    t.same(all(page, 'svg'), [])
  })

  await book('income', '2027-01-10', 123_456_789)
  await book('expense', '2027-01-11', 123_456_794)
  await book('income', '2027-03-14', 5)
  await book('income', '2027-04-01', 70_000, 'planned')
  for (const status of ['played', 'played', 'confirmed']) await entered(server, ana, status)
  await refresh(db)

  await t.test('shows what the endpoints return, in the currency of the books', async t => {
    const { page, headers } = await read(ana)
    t.equal(headers['data-age'], '0')
    t.strictSame(rowsOf(page, 'By month'), [
      ['2027-01', '1 234 567.89', '1 234 567.94', '−0.05', '0.00', '0.00'],
      ['2027-03', '0.05', '0.00', '0.05', '0.00', '0.00'],
      ['2027-04', '0.00', '0.00', '0.00', '0.00', '700.00'],
    ])
    t.strictSame(rowsOf(page, 'By year'), [
      ['2027', '1 234 567.94', '1 234 567.94', '0.00', '0.00', '700.00'],
    ])
    const finance = await call<{
      as_of: string
      items: { period_on: string; actual: { profit_minor: number } }[]
    }>('GET /api/analytics/finance?from=2027-01-01', { token })
    t.strictSame(
      rowsOf(page, 'By month').map(([month, , , profit = '']) => [`${month}-01`, profit]),
      finance.body.items.map(i => [i.period_on, amount(String(i.actual.profit_minor), 2)]),
    )
    const shown = await call<{ items: { by_status: Record<string, number> }[] }>(
      'GET /api/analytics/shows?period=year&from=2027-01-01',
      { token },
    )
    const counts = rowsOf(page, 'In all of these months')
    t.strictSame(
      Object.fromEntries(counts.slice(0, -1).map(([status, n]) => [status, Number(n)])),
      shown.body.items[0]?.by_status,
    )
    t.strictSame(counts.at(-1), ['All', '3'])
    t.match(
      texts(page, '.fresh')[0],
      new RegExp(`^As of ${finance.body.as_of.slice(0, 10)} .* UTC\\. Nothing relevant has changed`),
    )
  })

  await t.test('has the activity that its endpoint returns', async t => {
    const [{ today }] = await db.admin<
      [{ today: string }]
    >`select (now() at time zone 'UTC')::date::text as today`
    const { page } = await read(ana, `?from=${today}`)
    const { body } = await call<{ totals: { events: number; sign_ins: number; active_users: number } }>(
      `GET /api/analytics/activity?from=${today.slice(0, 8)}01&to=${today}`,
      { token },
    )
    const { events, sign_ins, active_users } = body.totals
    t.ok(events > 0)
    t.strictSame(
      rowsOf(page, 'In these days').map(([, n]) => Number(n)),
      [events, sign_ins, active_users, 1],
    )
  })

  await t.test('says so when something has changed since', async t => {
    await book('income', '2027-05-01', 1)
    const { page } = await read(ana)
    t.match(texts(page, 'section .stale')[0], /Changes may have been made since/)
    t.equal(rowsOf(page, 'By month').length, 3)
    await refresh(db)
    t.equal(rowsOf((await read(ana)).page, 'By month').length, 4)
  })

  await t.test('is a page without scripts, in which names are plain text', async t => {
    const { text, page, headers } = await read(ana)
    t.match(headers['content-type'], 'text/html; charset=utf-8')
    t.same(texts(page, 'h1'), [hostile])
    t.same(
      all(page, 'script, img, link, iframe, object, base, form, a, [style], [onload], foreignObject'),
      [],
    )
    t.equal(all(page, 'svg').length, 2)
    t.notMatch(text, /<script|onload=a.*>.*<\/h1>/)
    const [style, ...others] = all(page, 'style')
    t.same(others, [])
    const hash = createHash('sha256')
      .update(/<style>([^]*)<\/style>/.exec(text)?.[1] ?? '')
      .digest('base64')
    t.equal(
      headers['content-security-policy'],
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    )
    t.match(style?.textContent, /@page { size: A4/)
    // Nothing external, either: the only addresses are XML namespaces.
    t.same(
      [...text.matchAll(/https?:\/\/[^"\s]+/g)].filter(([url]) => !url.startsWith('http://www.w3.org/')),
      [],
    )
  })

  await t.test('can be understood without seeing its plots', async t => {
    const { page } = await read(ana)
    for (const svg of all(page, 'svg')) {
      t.equal(svg.getAttribute('role'), 'img')
      t.match(svg.getAttribute('aria-label'), /the table has the (figures|totals)/)
    }
    for (const table of all(page, 'table')) {
      t.equal(all(table, 'caption').length, 1)
      t.ok(all(table, 'th').every(cell => ['col', 'row'].includes(cell.getAttribute('scope') ?? '')))
    }
  })

  await t.test('omits money for those who may not see it', async t => {
    const member = await joinAs(server, ana, ['analytics.read', 'organization.read'])
    const { status, page } = await read(member)
    t.equal(status, 200)
    t.strictSame(texts(page, 'h2'), ['Shows by status', 'Activity by day'])
    t.same(rowsOf(page, 'By month'), [])
    const none = await joinAs(server, ana, ['finance.read'])
    t.match(await read(none), { status: 403, body: { type: '/problems/permission_denied' } })
  })

  await t.test('covers ten years, and no more', async t => {
    const { status, page } = await read(ana, '?from=2020-01-01&to=2029-12-31')
    t.equal(status, 200)
    t.equal(rowsOf(page, 'By month').length, 4)
    t.match(texts(page, 'header p')[0], 'Report for 2020-01-01 to 2029-12-31')
    for (const query of ['?from=2020-01-01&to=2030-01-01', '?from=2027-02-01&to=2027-01-01'])
      t.match(await read(ana, query), { status: 422, body: { type: '/problems/analytics_range' } })
  })
})

t.test('amounts have the decimals of their currency', async t => {
  for (const [minor, decimals, text] of [
    ['0', 2, '0.00'],
    ['-5', 2, '−0.05'],
    ['123456', 0, '123 456'],
    ['-1234567', 3, '−1 234.567'],
    ['9007199254740993000', 2, '90 071 992 547 409 930.00'],
  ] as const)
    t.equal(amount(minor, decimals).replaceAll('\u202f', ' '), text)
  const { server, ana, book, read } = await arrange(t)
  await server.db.admin`update app.organizations set currency = 'JPY' where id = ${ana.organization}`
  await book('income', '2027-03-14', 1_234_567)
  await refresh(server.db)
  const { page } = await read(ana)
  t.strictSame(rowsOf(page, 'By month, in JPY')[0]?.slice(0, 2), ['2027-03', '1 234 567'])
})

t.test('text in a plot stays text', async t => {
  const { bars } = await plots()
  const svg = bars([{ name: hostile, count: 1 }], hostile)
  const { document } = parseHTML(svg) as unknown as { document: Element }
  t.same(all(document, 'script, style, [onload]'), [])
  t.ok(texts(document, 'text').includes(hostile))
  t.equal(document.querySelectorAll('svg').length, 1)
})
