import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { startEmbedded } from '../../src/database/embedded.ts'
import { withUrl } from '../../src/database/provision.ts'
import { run } from '../support/program.ts'

/** What was measured of a request, or of 1,000 imported rows, or of one refresh of figures. */
interface Measure {
  rate: number
  p50?: number
  p99?: number
  cpu: Partial<Record<'server' | 'worker' | 'postgres' | 'client', number>>
  grown?: number
  done: number
  failed: number
}
interface Share {
  median: number
  lowest: number
  highest: number
}
interface Report {
  size: { organizations: number; shows: number }
  works: { name: string }[]
  contenders: { name: string }[]
  megabytes: Record<string, number>
  secondsToFirstAnswer: number
  summaries: { work: string; contender: string; cpu: number; rate: number; spread: number; failed: number }[]
  results: { work: string; contender: string; rounds: Measure[] }[]
  pairs: { name: string; pair: { work: string; cpu: Share; time: Share } }[]
  protections: { work: string; rls: { cpu: Share }; whole: number; signature?: number }[]
}

// Most of it is starting servers, which is slow on a busy machine.
t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), 'callboard-bench-test-'))
await chmod(folder, 0o755)
t.teardown(() => rm(folder, { recursive: true, force: true }))
process.env['DATA_DIR'] = folder
const bench = (...args: string[]) => run('npm', 'run', '--silent', 'bench', '--', ...args)
const json = join(folder, 'bench.json')
const brief = [
  '--small',
  '--seconds',
  '1',
  '--warm-up',
  '0.3',
  '--people',
  '5',
  '--lines',
  '300',
  '--json',
  json,
]
const report = async () => JSON.parse(await readFile(json, 'utf8')) as Report

t.test('the benchmark fills a database and measures Callboard and the limit', async t => {
  const works = ['list', 'create', 'behind', 'sign-in']
  const { code, output } = await bench(
    ...brief,
    '--rounds',
    '2',
    '--only',
    [...works, 'limit', 'callboard'].join(),
  )
  t.equal(code, 0, output)
  t.match(output, /^\| work +\| by +\| CPU µs \| spread \|/m, 'the CPU comes first')
  t.match(output, /^\| list of 50 shows +\| Callboard +\|/m)
  t.match(output, /^In memory at the end: Callboard \d+ MB\.$/m)
  t.match(output, /^Round 2 of 2, 100 %: /m)
  const { summaries, results, ...made } = await report()
  t.same(made.size, { organizations: 50, shows: 10_000 })
  t.same(
    made.works.map(work => work.name),
    works,
  )
  t.ok(made.secondsToFirstAnswer > 0)
  t.ok((made.megabytes['callboard'] ?? 0) > 20)
  const measured = results.map(({ work, contender }) => `${work} ${contender}`)
  // A sign-in's statements cannot be replayed.
  t.same(
    measured,
    works.flatMap(work =>
      work === 'sign-in' ? [`${work} callboard`] : [`${work} limit`, `${work} callboard`],
    ),
  )
  for (const { work, contender, rounds } of results) {
    t.equal(rounds.length, 2, work)
    for (const { rate, cpu, done, failed, p50 = 1, p99 = 1 } of rounds) {
      t.equal(failed, 0, `${work}: ${contender} returns only expected responses`)
      t.ok(rate > 0 && done > 0 && p50 > 0 && p99 >= p50, `${work}, ${contender}`)
      // A round of one second, as exactly as a busy machine can measure.
      t.ok(Math.abs(done / rate - 1) < 0.5, `${done} in a second is ${rate}`)
      t.ok((cpu.postgres ?? 0) > 0 && (cpu.client ?? 0) > 0)
      if (contender === 'callboard') t.ok((cpu.server ?? 0) > 0)
    }
    const [a = 0, b = 0] = rounds.map(({ rate }) => rate)
    const summary = summaries.find(other => other.work === work && other.contender === contender)
    t.ok(Math.abs((summary?.rate ?? 0) - (a + b) / 2) < 1e-6)
    t.ok(Math.abs((summary?.spread ?? 0) - Math.abs(a - b) / ((a + b) / 2)) < 1e-6)
  }
})

t.test('it finds the database again, and says what row-level security costs', async t => {
  const only = ['one', 'finance', 'limit', 'no-rls', 'callboard']
  const { code, output } = await bench(...brief, '--rounds', '2', '--only', only.join(), '--loop')
  t.equal(code, 0, output)
  t.match(output, /^Found callboard_bench_50_10000/m)
  const { results, protections } = await report()
  t.equal(results.length, 6)
  for (const { rounds } of results) for (const { done, failed } of rounds) t.ok(done > 0 && failed === 0)
  t.same(
    protections.map(({ work }) => work),
    ['one', 'finance'],
  )
  for (const { work, rls, whole } of protections) {
    const [withRls, without] = ['limit', 'no-rls'].map(
      name => results.find(({ work: w, contender }) => w === work && contender === name)?.rounds ?? [],
    )
    const shares = (withRls ?? []).map(
      ({ cpu }, n) => (cpu.postgres ?? 0) / (without?.[n]?.cpu.postgres ?? 0),
    )
    t.ok(Math.abs(rls.cpu.median - ((shares[0] ?? 0) + (shares[1] ?? 0)) / 2) < 1e-6, work)
    t.same([rls.cpu.lowest, rls.cpu.highest], [Math.min(...shares), Math.max(...shares)])
    t.ok(whole > 0)
  }
})

t.test('it imports a file, and refreshes figures, from beginning to end', async t => {
  const works = ['import', 'refresh', 'refresh-largest']
  const { code, output } = await bench(...brief, '--rounds', '1', '--only', [...works, 'callboard'].join())
  t.equal(code, 0, output)
  t.match(output, /^\| import of 1,000 finance records +\| Callboard +\|/m)
  const { results, summaries } = await report()
  t.same(
    results.map(({ work, contender }) => `${work} ${contender}`),
    works.map(work => `${work} callboard`),
  )
  for (const { work, rounds } of results) {
    const [{ cpu, rate, done, failed, grown = -1 }] = rounds as [Measure]
    const { server = 0, worker = 0, postgres = 0 } = cpu
    t.equal(failed, 0)
    t.ok(rate > 0 && worker > 0 && postgres > 0, work)
    t.equal(summaries.find(summary => summary.work === work)?.cpu, server + worker + postgres)
    if (work !== 'import') {
      t.ok(done >= 2 && done % 2 === 0, 'each second change undoes the one before')
      continue
    }
    t.equal(done, 0.3, 'thousands of lines')
    t.ok(server > 0 && grown >= 0)
  }
})

t.test('it compares itself with itself in turns, which is the noise', async t => {
  const works = ['one', 'refresh']
  const only = works.join()
  const { code, output } = await bench(...brief, '--rounds', '2', '--beside', '.', '--only', only)
  t.equal(code, 0, output)
  t.match(output, /^Filling callboard_bench_50_10000: /m, 'the other one has its own database')
  t.match(output, /^\| one show +\| itself +\|/m)
  const order = [...output.matchAll(/^Round (\d) of 2, \d+ %: one show, (.*)$/gm)].map(
    ([, ...found]) => found,
  )
  const turns = ['1 itself', '1 Callboard', '2 Callboard', '2 itself']
  t.same(
    order.map(found => found.join(' ')),
    turns,
    'in turns, each of them first',
  )
  const { results, pairs } = await report()
  t.same(
    pairs.map(({ name, pair }) => `${pair.work} ${name}`),
    works.map(work => `${work} beside-1`),
  )
  for (const { pair } of pairs) {
    const { work } = pair
    const [mine = [], others = []] = ['callboard', 'beside-1'].map(
      name => results.find(({ work: w, contender }) => w === work && contender === name)?.rounds,
    )
    t.ok([...mine, ...others].every(({ failed }) => failed === 0))
    const sum = ({ server = 0, worker = 0, postgres = 0 }: Measure['cpu']) => server + worker + postgres
    const shares = mine.map(({ cpu }, n) => sum(cpu) / sum((others[n] as Measure).cpu))
    t.equal(shares.length, 2)
    t.same([pair.cpu.lowest, pair.cpu.highest], [Math.min(...shares), Math.max(...shares)], work)
    t.ok(Math.abs(pair.cpu.median - (pair.cpu.lowest + pair.cpu.highest) / 2) < 1e-6)
    const times = mine.map(({ rate }, n) => 1 / rate / (1 / (others[n] as Measure).rate))
    t.same([pair.time.lowest, pair.time.highest], [Math.min(...times), Math.max(...times)])
  }
})

t.test('it rejects unknown options', async t => {
  for (const wrong of [
    ['--only', 'lists'],
    ['--rounds', 'many'],
    ['--beside', 'nowhere'],
    ['--beside', '.', '--organizations', '10,100'],
  ]) {
    const { code, output } = await bench(...wrong)
    t.equal(code, 2, wrong.join(' '))
    t.match(output, /npm run bench -- \[--small\]/)
  }
})

t.test('the rows are like those of the application', async t => {
  const embedded = await startEmbedded({ root: join(folder, 'bench'), port: 0 })
  const sql = postgres(withUrl(embedded.adminUrl, { database: 'callboard_bench_50_10000' }), {
    max: 1,
    onnotice: () => {},
  })
  t.teardown(async () => {
    await sql.end()
    await embedded.stop()
    if (!embedded.dataDir.startsWith(folder))
      await rm(dirname(embedded.dataDir), { recursive: true, force: true })
  })
  await t.test('every constraint holds, although no trigger checked', async t => {
    const constraints = await sql<{ name: string; statement: string }[]>`
      select conrelid::regclass || '.' || conname as name,
        format('alter table %s drop constraint %I, add constraint %2$I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as statement
      from pg_constraint where contype in ('f', 'c') and conparentid = 0 and conislocal
        and connamespace in ('app'::regnamespace, 'app_private'::regnamespace) order by 1`
    t.ok(constraints.length > 100)
    for (const { name, statement } of constraints)
      await sql
        .begin(async tx => {
          await tx.unsafe(statement)
          throw new Error('undo')
        })
        .catch((error: unknown) => t.equal((error as Error).message, 'undo', name))
    t.same(await sql`select indexrelid::regclass from pg_index where not indisvalid or not indisready`, [])
  })

  await t.test('the database has the promised rows, and nothing is left of the measurements', async t => {
    const [counts] = await sql`
      select (select count(*)::integer from app.shows) as shows, (select count(*)::integer from app.finance_records) as finance_records,
        (select count(*)::integer from app.event_log) as events, (select count(*)::integer from app.event_log_default) as without_a_month,
        (select max(n)::integer from (select count(*) as n from app.shows group by organization_id) s) as most,
        (select count(*)::integer from app.event_seals) as seals, (select count(*)::integer from app.imports) as imports,
        (select count(*)::integer from app.import_lines) as import_lines`
    t.match(counts, {
      imports: 0,
      import_lines: 0,
      seals: 0,
      shows: 10_000,
      finance_records: 30_000,
      without_a_month: 0,
      most: 1000,
    })
    // Five per show, give or take the people who work for two organizations.
    t.ok(Math.abs(Number(counts?.['events']) - 50_000) < 200)
  })

  await t.test('an event says what the trigger would have said', async t => {
    // Reapplies the change to a changed show as it was created.
    const [changed] = await sql<[{ changes: { old: object; new: object } }]>`
      select changes from app.event_log where action = 'show.update' and changes -> 'new' ? 'tickets_sold' limit 1`
    t.match(changed.changes, { old: { status: 'inquiry', tickets_sold: 0 }, new: { tickets_sold: Number } })
    await sql
      .begin(async tx => {
        const [show] = await tx<[{ id: string; changes: object }]>`
          select e.resource_id as id, e.changes, app_private.set_context(s.created_by, s.created_by, s.organization_id)
          from app.event_log e join app.shows s on s.organization_id = e.organization_id and s.id = e.resource_id
          where e.action = 'show.create' and s.version = 1 limit 1`
        await tx`create temp table kept as select * from app.shows where id = ${show.id}`
        await tx`set local session_replication_role = replica`
        await tx`delete from app.shows where id = ${show.id}`
        await tx`set local session_replication_role = origin`
        await tx`insert into app.shows select * from kept`
        const [logged] = await tx<[{ changes: object }]>`
          select changes from app.event_log where action = 'show.create' and resource_id = ${show.id} order by occurred_at desc limit 1`
        t.same(show.changes, logged.changes)
        throw new Error('undo')
      })
      .catch((error: unknown) => t.equal((error as Error).message, 'undo'))
  })
})
