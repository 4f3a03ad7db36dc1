import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { prove } from '../../../src/accounts/password.ts'
import { schedule } from '../../../src/jobs/schedule.ts'
import { refresh, refreshing } from './figures.ts'
import type { Size } from './sizes.ts'

/** The password of every user in the benchmark. */
export const password = 'seven black umbrellas'

/** Fills an empty database of the superuser's URL: see the files in `fill/`. `say` reports every step. */
export async function fill(url: string, size: Size, day: string, say: (line: string) => void): Promise<void> {
  const connection = { session_replication_role: 'replica', TimeZone: 'UTC', synchronous_commit: 'off' }
  const [sql, second] = [0, 1].map(() => postgres(url, { max: 1, onnotice: () => {}, connection })) as [
    postgres.Sql,
    postgres.Sql,
  ]
  const run = async (name: string, values: Record<string, string | number> = {}, on = sql) => {
    const text = await readFile(new URL(`fill/${name}.sql`, import.meta.url), 'utf8')
    await on.unsafe(text.replaceAll(/(?<!:):([a-z]+)\b/g, (word, key: string) => String(values[key] ?? word)))
  }
  try {
    await makeMonths(sql, day)
    await run('dice', { organizations: size.organizations, shows: size.shows, day })
    await run('events')
    await askTheApplication(sql)
    say(`${size.organizations} organizations and their people`)
    await run('people')
    await forgetIndexes(sql)
    say(`${size.shows} shows`)
    await run('shows')
    const finance = 3 * size.shows
    say(`${finance} finance records`)
    await Promise.all([
      run('finance', { from: 1, to: Math.floor(finance / 2) }, sql),
      run('finance', { from: Math.floor(finance / 2) + 1, to: finance }, second),
    ])
    say(`${5 * size.shows} events`)
    await logAll(sql, second)
    say('indexes')
    await Promise.all([
      sql`reindex table app.event_log`.simple(),
      second`reindex table app.finance_records`.simple().then(() => second`reindex table app.shows`.simple()),
    ])
    say('statistics')
    await sql`drop schema bench_fill cascade`
    await refresh(url, refreshing(schedule))
    await sql`vacuum (analyze)`
    await sql`checkpoint`
  } finally {
    await Promise.all([sql.end(), second.end()])
  }
}

/** Has the application create the event log's partitions for the past year, as it does for existing events. */
async function makeMonths(sql: postgres.Sql, day: string): Promise<void> {
  await sql`insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at)
    select app_private.nobody(), 'system', 'bench', 'bench', ${day}::date - n * interval '1 month' from generate_series(0, 14) n`
  await sql`select app.maintain_event_partitions()`
  await sql`truncate app.event_log`
}

/** What the generator copies from the application: a password's parameters and a new organization's defaults. */
async function askTheApplication(sql: postgres.Sql): Promise<void> {
  await sql`set session_replication_role = origin`
  const [{ recipe }] = await sql<[{ recipe: string }]>`select app.password_recipe() as recipe`
  await sql`create table bench_fill.given as select ${recipe}::text as recipe, ${await prove(password, recipe)}::bytea as proof`
  await sql`create table bench_fill.categories (kind text, k bigint, name text)`
  await sql`begin`
  await sql`insert into app.users (email, display_name) values ('founder@company.example', 'Founder')`
  await sql`select app_private.found_organization(id, '{"name": "Model"}') from app.users`
  const categories = await sql<{ kind: string; name: string; k: number }[]>`
    select kind, name, row_number() over (partition by kind order by id) - 1 as k from app.finance_categories`
  await sql`rollback`
  await sql`insert into bench_fill.categories ${sql(categories)}`
  const count = (kind: string) => categories.filter(c => c.kind === kind).length
  await sql.unsafe(`create function bench_fill.categories_of(kind text) returns integer language sql immutable parallel safe
    return case kind when 'income' then ${count('income')} else ${count('expense')} end`)
  await sql`set session_replication_role = replica`
}

/**
 * Disables the indexes of the large tables; REINDEX rebuilds and enables them. Dropping them would lose their other
 * settings.
 */
async function forgetIndexes(sql: postgres.Sql): Promise<void> {
  await sql`update pg_index set indisready = false, indisvalid = false
    where indrelid in (select 'app.shows'::regclass union select 'app.finance_records'::regclass
      union select inhrelid from pg_inherits where inhparent = 'app.event_log'::regclass)`
}

/** Inserts the events for a table's rows, either all of them or those of some of its pages. */
function log(
  sql: postgres.Sql,
  resource: string,
  table: string,
  more: { id?: string; hidden?: string; actor?: string; part?: string } = {},
) {
  const { id = 'id', hidden = '{}', actor = 'r.created_by', part = 'true' } = more
  return sql`select bench_fill.log_made(${resource}, ${table}, ${id}, ${hidden}, ${actor}, ${part})`
}

/** The events, in two halves of about the same size. */
async function logAll(first: postgres.Sql, second: postgres.Sql): Promise<void> {
  const owner = (of: string) =>
    `(select m.user_id from app.memberships m where m.organization_id = r.${of} and m.role = 'owner')`
  const [{ middle }] = await first<[{ middle: string }]>`
    select '(' || pg_relation_size('app.finance_records') / current_setting('block_size')::integer / 2 || ',0)' as middle`
  const others = async () => {
    await log(first, 'organization', 'app.organizations', { actor: owner('id') })
    await log(first, 'member', 'app.memberships', {
      id: 'user_id',
      hidden: '{user_id}',
      actor: owner('organization_id'),
    })
    await log(first, 'finance_category', 'app.finance_categories', { actor: owner('organization_id') })
    await log(first, 'venue', 'app.venues', { actor: owner('organization_id') })
    await log(first, 'show', 'app.shows')
    await log(first, 'finance_record', 'app.finance_records', { part: `ctid < '${middle}'` })
  }
  const more = async () => {
    await second`select bench_fill.log_changed()`
    await log(second, 'finance_record', 'app.finance_records', { part: `ctid >= '${middle}'` })
  }
  await Promise.all([others(), more()])
}
