// What was expected, written down once a day: app.take_pipeline_snapshots.
import { t } from '../support/tap.ts'
import { connectBi, makeCredential } from '../support/bi.ts'
import { aShow, type Database, type Person, register, startServer } from '../support/helper.ts'
import { schedule } from '../../src/jobs/schedule.ts'
import { dayFrom } from '../support/star.ts'

interface Part {
  taken: number
  rows: number
  failed: number
  because: { organization_id: string; failed_with: string }[]
  next: { organization: string } | null
}

/** As the worker does. */
async function take(db: Database, behind: object | null = null): Promise<Part[]> {
  const { sql } = schedule.find(({ task }) => task === 'take_pipeline_snapshots') ?? { sql: '' }
  const parts: Part[] = []
  let next = behind
  do {
    const [found] = await db
      .as('callboard_worker')
      .unsafe<{ part: Part }[]>(sql.replace('$1)', '$1::text::jsonb) as part'), [
        next === null ? null : JSON.stringify(next),
      ])
    if (!found) throw new Error('nothing was returned')
    parts.push(found.part)
    next = found.part.next
  } while (next !== null)
  return parts
}
const sum = (parts: Part[], field: 'taken' | 'rows' | 'failed') =>
  parts.reduce((n, part) => n + part[field], 0)

t.test('snapshots of the pipeline', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const people: Person[] = []
  const show = async ({ token }: Person, more: object = {}) => {
    const { status, text, body } = await call('POST /api/shows', {
      token,
      body: { ...aShow, show_on: dayFrom(40), status: 'hold', capacity: 100, ...more },
    })
    if (status !== 201) throw new Error(text)
    return String(body['id'])
  }
  for (const name of ['Ana', 'Ben', 'Cleo']) people.push(await register(server, name))
  const [ana, ben, cleo] = people as [Person, Person, Person]
  for (const person of people) await show(person, { fee_minor: 5000, currency: 'USD' })
  const tool = connectBi(t, await makeCredential(server, ana))
  const pipeline = () =>
    tool`select month::text, status, currency, shows, capacity, tickets_sold, fee_minor, fee, taken_on::text from fact_pipeline`

  await t.test('are taken of each organization, once a day', async t => {
    t.strictSame(sum(await take(db), 'taken'), 3)
    const first = await pipeline()
    t.match(first, [
      { status: 'hold', currency: 'USD', shows: '1', capacity: '100', fee_minor: '5000', fee: '50.00' },
    ])
    await show(ana)
    t.strictSame([sum(await take(db), 'taken'), sum(await take(db), 'rows')], [0, 0])
    t.strictSame(await pipeline(), first, 'a later one of the same day changes nothing')
  })

  await t.test('are of the day in the time zone of the organization', async t => {
    await db.admin`delete from app.pipeline_snapshots`
    const zones = ['Pacific/Kiritimati', 'UTC', 'Pacific/Pago_Pago']
    for (const [n, { organization, token }] of people.entries()) {
      const body = { time_zone: zones[n] }
      t.equal((await call(`PATCH /api/organizations/${organization}`, { token, body })).status, 200)
    }
    await take(db)
    const days = await db.admin<{ organization: string; day: string }[]>`
      select distinct organization_id as organization, taken_on::text as day from app.pipeline_snapshots`
    const inZone = (timeZone = '') => new Intl.DateTimeFormat('en-CA', { timeZone }).format(new Date())
    for (const [n, { organization }] of people.entries())
      t.equal(days.find(row => row.organization === organization)?.day, inZone(zones[n]))
    t.not(inZone(zones[0]), inZone(zones[2]))
  })

  await t.test(
    'count shows and money of coming months, and of two before, by status and currency',
    async t => {
      await db.admin`delete from app.pipeline_snapshots`
      const { token } = cleo
      const categories = await call<{ items: { id: string; kind: string }[] }>(
        'GET /api/finance-categories',
        { token },
      )
      const record = async (kind: string, more: object) => {
        const category_id = categories.body.items.find(c => c.kind === kind)?.id
        const body = { kind, category_id, booked_on: dayFrom(40), amount_minor: 700, ...more }
        const { status, text, body: made } = await call('POST /api/finance-records', { token, body })
        if (status !== 201) throw new Error(text)
        return String(made['id'])
      }
      await show(cleo, { show_on: dayFrom(-100) })
      const deleted = await show(cleo, { status: 'confirmed' })
      const its = await show(cleo, { status: 'confirmed', tickets_sold: 7, fee_minor: 300, currency: 'EUR' })
      await record('income', { show_id: its, status: 'committed', currency: 'EUR', exchange_rate: 1 })
      await record('expense', {
        show_id: its,
        status: 'planned',
        currency: 'EUR',
        exchange_rate: 1,
        booked_on: dayFrom(5),
      })
      await record('expense', { show_id: its, status: 'actual', currency: 'GBP', exchange_rate: 1 })
      await record('income', { show_id: deleted, status: 'actual' })
      await record('expense', { status: 'void' })
      await record('income', { status: 'actual', booked_on: dayFrom(-100) })
      await call(`DELETE /api/shows/${deleted}`, { token })
      await take(db)
      const its_tool = connectBi(t, await makeCredential(server, cleo))
      const rows = await its_tool`
      select status, currency, shows::int, capacity::int, tickets_sold::int, fee_minor::int, expected_income_minor::int as income, expected_expense_minor::int as expense,
        actual_income_minor::int as had, actual_expense_minor::int as spent from fact_pipeline order by status, currency`
      const none = {
        shows: 0,
        capacity: 0,
        tickets_sold: 0,
        fee_minor: 0,
        income: 0,
        expense: 0,
        had: 0,
        spent: 0,
      }
      t.strictSame(
        [...rows],
        [
          {
            status: 'confirmed',
            currency: 'EUR',
            ...none,
            shows: 1,
            capacity: 100,
            tickets_sold: 7,
            fee_minor: 300,
            income: 700,
            expense: 700,
          },
          { status: 'confirmed', currency: 'GBP', ...none, spent: 700 },
          { status: 'hold', currency: 'USD', ...none, shows: 1, capacity: 100, fee_minor: 5000 },
          { status: 'none', currency: 'USD', ...none, had: 700 },
        ],
      )
    },
  )

  await t.test('are continued behind the organization at which a part ended', async t => {
    await db.admin`delete from app.pipeline_snapshots`
    const order = people.map(({ organization }) => organization).sort()
    t.equal(sum(await take(db, { organization: order[0] }), 'taken'), 2, 'of those behind it')
    t.equal(sum(await take(db), 'taken'), 1, 'and the next run takes the other')
  })

  await t.test('of one organization that cannot be taken stop no other', async t => {
    await db.admin`delete from app.pipeline_snapshots`
    await db.admin.unsafe(`
      alter table app.pipeline_snapshots add constraint broken check (organization_id <> '${ben.organization}')`)
    const parts = await take(db)
    t.strictSame([sum(parts, 'taken'), sum(parts, 'failed')], [2, 1])
    t.match(
      parts.flatMap(part => part.because),
      [{ organization_id: ben.organization, failed_with: /broken/ }],
    )
    await db.admin`alter table app.pipeline_snapshots drop constraint broken`
    t.equal(sum(await take(db), 'taken'), 1, 'it is taken as soon as that is possible')
  })

  await t.test('are kept for 800 days, and the first of each month for longer', async t => {
    await db.admin`
      insert into app.pipeline_snapshots
      select ${ana.organization}, current_date - n, '2020-01-01', 'hold', 'EUR', 1, 1, 1, 0, 0, 0, 0, 0 from generate_series(1, 900) n`
    await db.as('callboard_worker')`select app.purge_expired()`
    const [kept] = await db.admin`
      select count(*) filter (where taken_on >= current_date - 800)::int as days,
        count(*) filter (where taken_on < current_date - 801 and extract(day from taken_on) <> 1)::int as others,
        count(*) filter (where taken_on < current_date - 801)::int as months
      from app.pipeline_snapshots where month = '2020-01-01'`
    t.match(kept, { days: 800, others: 0 })
    t.ok([3, 4].includes(Number(kept?.['months'])))
  })

  await t.test('end with a deleted organization', async t => {
    await db.admin`delete from app.pipeline_snapshots`
    await call(`DELETE /api/organizations/${ben.organization}`, { token: ben.token })
    t.equal(sum(await take(db), 'taken'), 2)
  })
})
