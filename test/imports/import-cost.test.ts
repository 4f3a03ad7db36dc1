// What a line costs does not grow with the number of lines, nor with what the organization has. Rows are counted, not
// time: auto_explain reports how many passed through each step of each statement, however deep in functions.
import { t } from '../support/tap.ts'
import { withUrl } from '../../src/database/provision.ts'
import { openLogin } from '../isolation/world.ts'
import { joinAs, register, startServer } from '../support/helper.ts'

interface Step {
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Join Filter'?: number
  Plans?: Step[]
}
const rowsOf = ({ Plans = [], ...step }: Step): number =>
  step['Actual Loops'] *
    (step['Actual Rows'] +
      (step['Rows Removed by Filter'] ?? 0) +
      (step['Rows Removed by Join Filter'] ?? 0)) +
  Plans.reduce((sum, below) => sum + rowsOf(below), 0)

/** Every fourth line has the reference of the one before. */
const refOf = (file: string, n: number) => `${file} ${n % 4 === 3 ? n - 1 : n}`

type Resource = 'finance_records' | 'shows'
const cells: Record<Resource, (n: number, file: string) => Record<string, string>> = {
  finance_records: (n, file) => ({
    booked_on: '2027-03-14',
    category: 'Guarantee',
    amount: '1',
    external_ref: refOf(file, n),
  }),
  shows: (n, file) => ({
    title: 'Spring',
    artist: 'x',
    show_on: '2027-05-01',
    venue: `Venue ${n % 40}`,
    city: 'Zwolle',
    external_ref: refOf(file, n),
  }),
}

t.test('importing', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { organization } = ana
  let rows = 0
  // auto_explain needs a superuser; inside of the functions the rows are the definer's, as for the worker.
  const url = withUrl(process.env['ADMIN_DATABASE_URL'] ?? '', { database: db.name })
  const sql = openLogin(t, url, ({ message = '' }) => {
    const [, plan] = /^duration: .*? plan:\n(.*)$/s.exec(message) ?? []
    if (plan !== undefined) rows += rowsOf((JSON.parse(plan) as { Plan: Step }).Plan)
  })
  // They hide notices from the worker.
  for (const name of ['stage_import', 'finish_check', 'enter_lines'])
    await db.admin.unsafe(`alter function app.${name} reset client_min_messages`)
  await sql.unsafe(`load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on; set auto_explain.log_timing = off; set auto_explain.log_format = json; set auto_explain.log_level = notice`)

  let files = 0
  /** How many rows each step of an import of so many lines reads, as the worker calls them. */
  async function costs(resource: Resource, lines: number, { token } = ana) {
    const file = `F${++files}`
    const { body } = await call<{ id: string }>(`POST /api/imports?resource=${resource}`, {
      token,
      body: 'x',
      headers: { 'content-type': 'text/csv' },
    })
    const counted = async (work: () => Promise<unknown>) => {
      rows = 0
      await work()
      return rows
    }
    await sql`select app.begin_import(${body.id}, 'check')`
    const staged = await counted(async () => {
      for (let first = 0; first < lines; first += 100) {
        const some = Array.from({ length: 100 }, (_, n) => [first + n + 2, cells[resource](first + n, file)])
        await sql`select app.stage_import(${body.id}, '{"decimal": "point"}', ${JSON.stringify(some)}::text::jsonb)`
      }
    })
    const finished = await counted(() => sql`select app.finish_check(${body.id}, '{}')`)
    const [found] =
      await db.admin`select status, lines, bad_lines, existing from app.imports where id = ${body.id}`
    t.strictSame(
      { ...found },
      { status: 'checked', lines, bad_lines: lines / 4, existing: 0 },
      `${lines} lines`,
    )
    await db.admin`update app.imports set status = 'running' where id = ${body.id}`
    const entered = await counted(async () => {
      let after: number | null = 0
      while (after !== null) {
        const [batch]: { last_line: number | null }[] =
          await sql`select * from app.enter_lines(${body.id}, ${after}, 100)`
        after = batch?.last_line ?? null
      }
    })
    return { staged, finished, entered }
  }

  await t.test('finance records costs the same however many shows there are', async t => {
    const few = await costs('finance_records', 500)
    await db.admin`insert into app.shows (organization_id, title, artist, show_on)
      select ${organization}, 'Night ' || n, 'x', '2027-05-01' from generate_series(1, 3000) as n`
    const many = await costs('finance_records', 500)
    for (const step of ['staged', 'finished', 'entered'] as const)
      t.ok(many[step] < 2 * few[step], `${step}: ${few[step]} rows with no shows, ${many[step]} with many`)
  })

  for (const resource of ['finance_records', 'shows'] as const)
    for (const statistics of ['without statistics', 'with statistics of another import'])
      await t.test(`${resource} ${statistics} costs each line the same`, async t => {
        if (resource === 'shows' && statistics === 'without statistics')
          await db.admin`insert into app.venues (organization_id, name, city, country, time_zone)
            select ${organization}, 'Venue ' || n, 'Zwolle', 'NL', 'Europe/Amsterdam' from generate_series(0, 39) as n`
        if (statistics !== 'without statistics') await db.admin`analyze`
        // The first one makes the plans that the connection keeps.
        await costs(resource, 100)
        const [few, many] = [await costs(resource, 500), await costs(resource, 2000)]
        for (const step of ['staged', 'finished', 'entered'] as const)
          t.ok(many[step] < 6 * few[step], `${step}: ${few[step]} rows for 500 lines, ${many[step]} for 2000`)
      })

  await t.test('shows without writing fees costs each line the same', async t => {
    const booker = await joinAs(server, ana, ['imports.run', 'shows.read', 'shows.write'])
    await costs('shows', 100, booker)
    const [few, many] = [await costs('shows', 500, booker), await costs('shows', 2000, booker)]
    t.ok(many.entered < 6 * few.entered, `${few.entered} rows for 500 lines, ${many.entered} for 2000`)
  })

  await t.test('shows costs the same however many venues there are', async t => {
    const few = await costs('shows', 500)
    await db.admin`insert into app.venues (organization_id, name, city, country, time_zone)
      select ${organization}, 'Hall ' || n, 'Zwolle', 'NL', 'Europe/Amsterdam' from generate_series(1, 2000) as n`
    await db.admin`analyze app.venues`
    const many = await costs('shows', 500)
    for (const step of ['staged', 'finished', 'entered'] as const)
      t.ok(many[step] < 2 * few[step], `${step}: ${few[step]} rows with few venues, ${many[step]} with many`)
  })
})
