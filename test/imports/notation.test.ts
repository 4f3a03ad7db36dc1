// Files as they are: nothing ambiguous is guessed, and what the trade writes is understood.
import fastCheck from 'fast-check'
import { t } from '../support/tap.ts'
import { type Import, office } from '../support/importing.ts'
import { decimalOf, orderOf } from '../../src/imports/notation.ts'

t.test('a file whose numbers or dates could mean two things', async t => {
  const { check, problemsOf, enter, records } = await office(t)
  const german = (...amounts: string[]) =>
    `booked_on;category;amount\n${amounts.map((amount, n) => `${n + 1}.4.2027;Guarantee;${amount}\n`).join('')}`

  await t.test('is refused until its user says what they mean', async t => {
    const text = german('1.250', '3.000', '-12.500')
    t.match(await check(text), {
      status: 'failed',
      decimal: null,
      failure:
        '“1.250” (line 2, amount) may be 1250 or have decimals, and no other number says which: upload the file again with decimal=comma or decimal=point.',
    })
    t.match(await check(text, 'resource=finance_records&decimal=comma'), { status: 'checked', bad_lines: 1 })
    const points = await check(text, 'resource=finance_records&decimal=point')
    t.match(points, { status: 'checked', bad_lines: 3 })
    t.match(
      (await problemsOf(points.id))[1],
      {
        line: 3,
        problems: [{ column: 'amount', reason: 'EUR has 2 decimal places.' }],
      },
      'zeros, too',
    )
  })

  const asks: [why: string, text: string, failure: RegExp][] = [
    ['also with commas', german('"1,250"'), /“1,250” \(line 2, amount\)/],
    [
      'also after many numbers that say nothing',
      german('7', '1.250', ...Array<string>(3000).fill('12')),
      /“1\.250”/,
    ],
    [
      'also in an exchange rate',
      'booked_on,category,amount,currency,exchange_rate\n2027-01-02,Guarantee,5,USD,1.085\n',
      /“1\.085”/,
    ],
    [
      'also of another currency with three decimals',
      'booked_on,category,amount,currency,exchange_rate\n2027-01-02,Guarantee,1.250,KWD,3\n',
      /“1\.250”/,
    ],
    ['with a currency beside it', german('€ 1.250'), /“€ 1\.250”/],
    ['in brackets', german('(1.250)'), /“\(1\.250\)”/],
    [
      'with both signs as decimals',
      german('1,5', '2.5'),
      /“1,5” \(line 2, amount\) has a decimal comma, and “2\.5” \(line 3, amount\) a decimal point/,
    ],
    ['of shows', 'title;artist;show_on;fee\nA;B;2027-01-02;2.500\n', /“2\.500” \(line 2, fee\)/],
  ]
  for (const [why, text, failure] of asks)
    await t.test(`asks, ${why}`, async t => {
      const query = text.startsWith('title') ? 'resource=shows' : undefined
      t.match(await check(text, query), { status: 'failed', failure })
    })

  await t.test('takes what another number says', async t => {
    for (const [text, decimal, amounts] of [
      [german('1.250', '12,5'), 'comma', [125000, 1250]],
      [german('"1,250"', '12.5'), 'point', [125000, 1250]],
      [german('1.250', '1.250.000'), 'comma', [125000, 125000000]],
      [german('1.250', ...Array<string>(2000).fill('7'), '0,5'), 'comma', [125000]],
      [german('7', '8'), 'point', [700, 800]],
    ] as const) {
      const found = await check(text)
      t.match(found, { status: 'checked', decimal }, text.slice(0, 60))
      if (amounts.length > 1) t.equal(found['bad_lines'], 0)
    }
    await enter(german('1.250', '12,5'))
    t.same((await records()).map(record => record['amount_minor']).sort(), [1250, 125000])
  })

  await t.test('has bad lines where day and month could be either', async t => {
    const dates = (...days: string[]) =>
      `booked_on,category,amount\n${days.map(day => `${day},Guarantee,1\n`).join('')}`
    const unsure = await check(dates('05/06/2027', '2027-06-05'))
    t.match(unsure, { bad_lines: 1, dates: null })
    t.match(await problemsOf(unsure.id), [
      {
        line: 2,
        problems: [
          {
            column: 'booked_on',
            reason:
              'Which is the day, and which the month? Upload the file again with dates=dmy or dates=mdy.',
          },
        ],
      },
    ])
    t.match(await check(dates('05/06/2027', '31/12/2026')), { bad_lines: 0, dates: 'dmy' })
    t.match(await check(dates('05/06/2027', '12/31/2026')), { bad_lines: 0, dates: 'mdy' })
    t.match(await check(dates('05-06-2027', ...Array<string>(2000).fill('2027-01-01'), '17-05-2027')), {
      bad_lines: 0,
      dates: 'dmy',
    })
    t.match(
      await check(dates('31/12/2026', '12/31/2026', '05/06/2027')),
      { bad_lines: 3, dates: null },
      'they contradict each other',
    )
    t.match(
      await check(dates('31/12/2026'), 'resource=finance_records&dates=mdy'),
      { bad_lines: 1, dates: 'mdy' },
      'what the user says holds',
    )
  })
})

t.test('nothing that may be meant otherwise is taken in silence', async t => {
  const { check, problemsOf } = await office(t)
  const badOf = async (text: string, query?: string) => {
    const found = await check(text, query)
    const bad = await problemsOf(found.id)
    return [found.failure, ...bad.flatMap(({ line, problems }) => problems.map(p => `${line} ${p.column}`))]
  }
  const header = 'booked_on;category;amount'
  const cases: [why: string, text: string, bad: (string | null)[], query?: string][] = [
    [
      'a rate with a decimal point beside amounts with a comma',
      `${header};currency;exchange_rate\n1.4.2027;Guarantee;1.234,5;USD;1.085\n1.4.2027;Guarantee;1;USD;1,085\n1.4.2027;Guarantee;1;USD;1085\n`,
      [null, '2 exchange_rate'],
    ],
    [
      'a rate with a decimal comma beside amounts with a point',
      `${header};currency;exchange_rate\n1.4.2027;Guarantee;1,234.5;USD;1,085\n`,
      [null, '2 exchange_rate'],
    ],
    [
      'an amount that is no number beside one in cents',
      `${header};amount_minor\n1.4.2027;Guarantee;abc;500\n1.4.2027;Guarantee;7;500\n1.4.2027;Guarantee;7;700\n1.4.2027;Guarantee;7;x\n`,
      [null, '2 amount', '3 amount', '5 amount'],
    ],
    [
      'a tax of the other sign, or in two ways',
      `${header};kind;tax;tax_minor\n1.4.2027;Guarantee;100;income;-19;\n1.4.2027;Guarantee;100;income;x;1\n1.4.2027;Guarantee;100;income;19;1\n1.4.2027;Guarantee;100;income;19;1900\n`,
      [null, '2 tax', '3 tax', '4 tax'],
    ],
    [
      'a fee in two ways',
      'title;artist;show_on;fee;fee_minor\nA;B;2027-01-02;x;5\nA;B;2027-01-02;7;5\nA;B;2027-01-02;7;700\n',
      [null, '2 fee', '3 fee'],
      'resource=shows',
    ],
    [
      'a month that begins like an English one',
      `${header}\n14 marraskuu 2027;Guarantee;1\n14 Sept 2027;Guarantee;1\n14 June 2027;Guarantee;1\n`,
      [null, '2 booked_on'],
    ],
    [
      'dots where months come first',
      `${header}\n05.06.2027;Guarantee;1\n05/14/2027;Guarantee;1\n14.05.2027;Guarantee;1\n`,
      [null, '2 booked_on'],
    ],
    [
      'a date in the column of amounts, which says nothing of numbers',
      `${header}\n2027-01-02;Guarantee;31.05.2027\n2027-01-02;Guarantee;1.250\n`,
      [
        '“1.250” (line 3, amount) may be 1250 or have decimals, and no other number says which: upload the file again with decimal=comma or decimal=point.',
      ],
    ],
    [
      'lines above the header, as in a sorted sheet',
      `1.6.2027;Guarantee;1.250,00\n${header}\n2.6.2027;Guarantee;5,00\n`,
      ['Line 1 has data, but is above the header, which is in line 2.'],
    ],
    [
      'a column with the currency under another name',
      `${header};Währung\n1.4.2027;Guarantee;1;USD\n`,
      ['The column Währung may have the currency: name it currency, or leave it out.'],
    ],
  ]
  for (const [why, text, bad, query] of cases)
    await t.test(why, async t => {
      t.same(await badOf(text, query), bad)
    })
})

t.test('numbers and dates as the trade writes them', async t => {
  const { check, problemsOf, records, run, settled, call, token } = await office(t)
  await call('POST /api/finance-categories', { token, body: { kind: 'expense', name: 'Guarantee' } })
  let month = 0
  /** What the amounts, with a decimal sign, are in the smallest unit; null for a bad one. */
  const read = async (decimal: string, amounts: string[], currency = '') => {
    month += 1
    const day = `2030-${String(month).padStart(2, '0')}-01`
    const { id } = await check(
      `booked_on\tcategory\tamount\tcurrency\texchange_rate\texternal_ref\n${amounts
        .map((amount, n) => `${day}\tGuarantee\t${amount}\t${currency}\t${currency && '2'}\t${day} ${n}\n`)
        .join('')}`,
      `resource=finance_records&decimal=${decimal}`,
    )
    const bad = await problemsOf(id)
    await run(id, 'skip')
    await settled(id, 'done', 'failed')
    const entered = await records()
    return amounts.map((_amount, n) => {
      if (bad.some(({ line }) => line === n + 2)) return null
      const found = entered.find(record => record['external_ref'] === `${day} ${n}`)
      return Number(found?.['amount_minor']) * (found?.['kind'] === 'expense' ? -1 : 1)
    })
  }

  await t.test('are understood', async t => {
    const point: [string, number | null][] = [
      ['(900.23)', -90023],
      ['€1,500.00', 150000],
      ['€ 1,500.00', 150000],
      ['-€5.00', -500],
      ['€-5.00', -500],
      ['EUR 12.00', 1200],
      ['12.00 EUR', 1200],
      ['12.00-', -1200],
      ['−12.00', -1200],
      ["1'234.50", 123450],
      ['1’234.50', 123450],
      ['1 234.5', 123450],
      ['+7', 700],
      ['(€ 7.00)', -700],
      // Neither a number nor money of this line.
      ['(-7)', null],
      ['(7', null],
      ['7)', null],
      ['--7', null],
      ['-7-', null],
      ['1 5', null],
      ['1 2345', null],
      ['12 3456.00', null],
      ['$1,500.00', null],
      ['USD 12.00', null],
      ['£1', null],
      ['seven', null],
      ['1e5', null],
      ['NaN', null],
    ]
    t.same(
      await read(
        'point',
        point.map(([text]) => text),
      ),
      point.map(([, minor]) => minor),
    )
    const comma: [string, number | null][] = [
      ['1 234,56', 123456],
      ['1\u00A0234,56', 123456],
      ['1\u202F234,56 €', 123456],
      ['1\u2009234\u2009567,8', 123456780],
      ['1.234,56-', -123456],
      ['(1.234,56)', -123456],
      ['EUR 1.234', 123400],
    ]
    t.same(
      await read(
        'comma',
        comma.map(([text]) => text),
      ),
      comma.map(([, minor]) => minor),
    )
    const dollars = ['$1,500.00', 'US$ 1.00', 'USD 1', 'C$1', '€1', 'AUD 1']
    t.same(await read('point', dollars, 'USD'), [150000, 100, 100, null, null, null])
    t.same(await read('point', ['£2.50', '¥2', '2.500'], 'GBP'), [250, null, null])
    t.same(await read('comma', ['kr. 1.250,50', '99 kr', '€1'], 'DKK'), [125050, 9900, null])
  })

  await t.test('and dates, also with a time', async t => {
    const days: [string, string | null][] = [
      ['2031-03-14', '2031-03-14'],
      ['2031-3-4', '2031-03-04'],
      ['2031/03/14', '2031-03-14'],
      ['20310314', '2031-03-14'],
      ['14.3.2031', '2031-03-14'],
      ['14. 3. 2031', '2031-03-14'],
      ['14/03/2031', '2031-03-14'],
      ['14-03-2031', '2031-03-14'],
      ['2031-03-14 00:00:00', '2031-03-14'],
      ['2031-03-14T00:00:00Z', '2031-03-14'],
      ['2031-03-14T23:30:00', '2031-03-14'],
      ['2031-03-14T23:00:00Z', null],
      ['2031-03-14T23:00:00.000+02:00', null],
      ['14/03/2031 18:45', '2031-03-14'],
      ['14/03/2031 6:45:00 PM', '2031-03-14'],
      ['14 March 2031', '2031-03-14'],
      ['14-Mar-2031', '2031-03-14'],
      ['Mar 14, 2031', '2031-03-14'],
      ['March 4th 2031', '2031-03-04'],
      ['14.03.31', null],
      ['31.2.2031', null],
      ['14/03-2031', null],
      ['14 Foo 2031', null],
      ['2031-13-01', null],
      ['20311301', null],
      ['tomorrow', null],
      ['00:00', null],
    ]
    const { id } = await check(
      `booked_on\tcategory\tamount\texternal_ref\n${days.map(([day], n) => `${day}\tGuarantee\t1\tday ${n}\n`).join('')}`,
    )
    const bad = new Set((await problemsOf(id)).map(({ line }) => line))
    await run(id, 'skip')
    await settled(id, 'done', 'failed')
    const entered = await records()
    for (const [n, [text, day]] of days.entries()) {
      const found = entered.find(record => record['external_ref'] === `day ${n}`)
      t.equal(bad.has(n + 2) ? null : found?.['booked_on'], day, text)
    }
  })
})

t.test('headers and bytes as programs write them', async t => {
  const { check, enter, records, list, call, token } = await office(t)
  const lines = '2027-01-02;Guarantee;1,50\n'
  const good = { status: 'checked', lines: 1, bad_lines: 0 }

  const files: [why: string, text: string | Buffer, found: Partial<Import>][] = [
    ['with sep= in its first line', `sep=;\nbooked_on;category;amount\n${lines}`, { delimiter: ';' }],
    [
      'with sep= and a byte-order mark',
      `\uFEFFsep=|\r\nbooked_on|category|amount\r\n2027-01-02|Guarantee|1\r\n`,
      { delimiter: '|' },
    ],
    [
      'with more semicolons in a note than commas in the header',
      `booked_on,category,amount,note\n2027-01-02,Guarantee,1.50,a;b;c;d;e;f;g\n`,
      { delimiter: ',' },
    ],
    [
      'with names in quotes below a title with more signs of another kind',
      `Northlight, Ana, Berlin, Leipzig, Kiel\n"booked_on";"category";"amount"\n${lines}`,
      { delimiter: ';' },
    ],
    [
      'with a Swiss franc before numbers',
      `booked_on;category;amount;currency;exchange_rate\n2027-01-02;Guarantee;Fr. 12.50;CHF;1.5\n`,
      { decimal: 'point' },
    ],
    [
      'with columns that are not known',
      `booked_on;colour;category;amount;Size\n2027-01-02;red;Guarantee;1;XL\n`,
      { ignored_columns: ['colour', 'Size'] },
    ],
    [
      'with a title, a date and blank lines above its header',
      `Report of the bank;;\nprinted on;3.4.2027;\n\nbooked_on;category;amount\n${lines}`,
      { ignored_columns: [] },
    ],
    [
      'with separators at the ends of its lines',
      `booked_on;category;amount;;\n2027-01-02;Guarantee;1;;\n`,
      { ignored_columns: [] },
    ],
    [
      'in UTF-16 without a byte-order mark',
      Buffer.from(`booked_on;category;amount;note\n2027-01-02;Guarantee;1;Große Künstler Ā\n`, 'utf16le'),
      { encoding: 'utf-16le' },
    ],
    [
      'in UTF-16 the other way round',
      Buffer.from(`booked_on;category;amount\n${lines}`, 'utf16le').swap16(),
      { encoding: 'utf-16be' },
    ],
  ]
  for (const [why, text, found] of files)
    await t.test(`${why} are read`, async t => {
      t.match(await check(text), { ...good, ...found })
    })

  const refused: [why: string, text: string | Buffer, failure: RegExp][] = [
    [
      'a spreadsheet',
      Buffer.concat([Buffer.from('PK\u0003\u0004'), Buffer.alloc(4000)]),
      /not text: it has bytes that are zero. A spreadsheet must be saved as CSV/,
    ],
    [
      'zeros in the middle',
      Buffer.concat([
        Buffer.from(`booked_on;category;amount\n${lines.repeat(20_000)}`),
        Buffer.alloc(3),
        Buffer.from(lines.repeat(20_000)),
      ]),
      /not text/,
    ],
    [
      'a single zero',
      Buffer.from(`booked_on;category;amount;note\n2027-01-02;Guarantee;1;a\0b\n`),
      /not text: it has bytes that are zero/,
    ],
    ['no header in twenty lines', 'a,b\n'.repeat(30), /booked_on is missing/],
    ['a header like one', `Title\nbooked_on;category;total\n${lines}`, /amount or amount_minor is missing/],
    ['a column twice', `Title\nbooked_on;amount;category;Amount\n${lines}`, /amount occurs twice/],
  ]
  for (const [why, text, failure] of refused)
    await t.test(`with ${why} are refused at once, in words`, async t => {
      const began = Date.now()
      t.match(await check(text), { status: 'failed', failure })
      t.ok(Date.now() - began < 20_000, 'it is not tried again')
    })

  await t.test('what an export of records has is imported again', async t => {
    await enter(
      'booked_on,category,amount,counterparty,note,external_ref\n2027-05-06,Guarantee,1250.50,"Café, Größe","two ""lines""",E1\n',
    )
    const { text } = await call('GET /api/exports/finance-records?from=2027-05-06&to=2027-05-06', {
      token,
      headers: { accept: 'text/csv' },
    })
    const before = (await records()).filter(record => record['external_ref'] === 'E1')
    t.equal(before.length, 1)
    await call(`DELETE /api/finance-records/${String(before[0]?.['id'])}`, { token })
    const done = await enter(text)
    t.match(done, { status: 'done' }, text.slice(0, 300))
    const after = (await records()).filter(record => record['external_ref'] === 'E1')
    for (const column of [
      'booked_on',
      'category_name',
      'amount_minor',
      'counterparty',
      'note',
      'currency',
      'status',
    ])
      t.equal(after[0]?.[column], before[0]?.[column], column)
  })

  await t.test('also text that a spreadsheet would evaluate, and the references are the same', async t => {
    const line = '2027-05-08;Guarantee;5;-x;=1+1;@1\n'
    t.match(await enter(`booked_on;category;amount;counterparty;note;external_ref\n${line}`), { created: 1 })
    const path = '/api/exports/finance-records?from=2027-05-08&to=2027-05-08'
    const { text } = await call(`GET ${path}`, { token, headers: { accept: 'text/csv' } })
    t.match(text, /,'-x,'=1\+1,import,'@1,/)
    t.match(await check(text), { lines: 1, bad_lines: 0, existing: 1 })
    const changed = text.replace(/'@1/, "'@2")
    t.match(await enter(changed), { created: 1 })
    const [found] = (await records()).filter(record => record['external_ref'] === '@2')
    t.match(found, { counterparty: '-x', note: '=1+1' })
  })

  await t.test('and what one of shows has, with its venue and its fee', async t => {
    const venue = { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'Europe/Amsterdam' }
    const { body } = await call<{ id: string }>('POST /api/venues', { token, body: venue })
    const show = {
      ...{ title: 'Spring, and more', artist: 'The Gaslights', show_on: '2027-05-07', venue_id: body.id },
      ...{ doors_time: '19:00', start_time: '20:30', capacity: 500, tickets_sold: 12, status: 'confirmed' },
      ...{ fee_minor: 250_000, currency: 'EUR', notes: 'Load-in at 2', source: 'agency', external_ref: 'S1' },
    }
    const made = await call<{ id: string }>('POST /api/shows', { token, body: show })
    const { text } = await call('GET /api/exports/shows?from=2027-05-07&to=2027-05-07', {
      token,
      headers: { accept: 'text/csv' },
    })
    t.equal((await call(`DELETE /api/shows/${made.body.id}`, { token })).status, 204)
    t.match(await enter(text, 'abort', 'resource=shows'), { status: 'done', created: 1 })
    t.match(await list('/api/shows'), [show])
  })
})

t.test('what a number says of its decimal sign never contradicts how it is written', t => {
  const number = fastCheck.record({
    whole: fastCheck.nat(999_999_999),
    decimals: fastCheck.stringMatching(/^\d{1,2}$/),
    comma: fastCheck.boolean(),
  })
  fastCheck.assert(
    fastCheck.property(number, ({ whole, decimals, comma }) => {
      const [group, sign] = comma ? ['.', ','] : [',', '.']
      const grouped = String(whole).replace(/\B(?=(\d{3})+$)/g, group)
      const meant = comma ? 'comma' : 'point'
      for (const written of [
        `${grouped}${sign}${decimals}`,
        `${whole}${sign}${decimals}`,
        `(€ ${grouped}${sign}${decimals})`,
      ])
        t.equal(decimalOf(written), meant, written)
      // Without decimals it says nothing, the same, or that it could be both.
      t.ok([undefined, 'either', meant].includes(decimalOf(grouped)), grouped)
      t.ok([undefined, meant].includes(decimalOf(grouped, true)), `${grouped}, whole`)
    }),
    { numRuns: 300, seed: 11 },
  )
  t.equal(orderOf('13/12/2027'), 'dmy')
  t.equal(orderOf('12/13/2027'), 'mdy')
  t.equal(orderOf('12-12-2027'), 'either')
  t.equal(orderOf('12.13.2027'), undefined)
  t.end()
})
