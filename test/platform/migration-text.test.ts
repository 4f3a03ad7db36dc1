// A migration holds what has changed: see scripts/db/unchanged.ts.
import { fileURLToPath } from 'node:url'
import { t } from '../support/tap.ts'
import { committedMigrations } from '../../src/database/committed.ts'
import { readSchema } from '../../scripts/db/db-check.ts'
import { statementsOf } from '../../scripts/db/statements.ts'
import { withoutUnchanged } from '../../scripts/db/unchanged.ts'

const db = new URL('../../db/', import.meta.url)
const schema = readSchema(fileURLToPath(new URL('schema.sql', db)))
const committed = (await committedMigrations()).map(({ text }) => text)

/** What a schema file is like: two tables, each with what belongs to it. */
const file = (name: string, text: string) => `--! Included ${name}\n${text}\n--! EndIncluded ${name}\n`
const helpers = `
create or replace function app.keep(name text) returns void language sql return null;
create or replace function app.tenant(name text) returns void language plpgsql as $$ begin perform app.keep(name); end $$;`
const shows = `
-- Shows.
create table if not exists app.shows (id uuid);
create index if not exists shows_id on app.shows (id);
comment on table app.shows is 'Shows; not "shows".';
create or replace trigger _1 before update on app.shows for each row execute function app.tg();
select app.tenant('shows');
create or replace view app.show_rows as select 1;
grant select on app.show_rows to public;
create or replace function app.read_show(id uuid) returns int language sql begin atomic select 1; select 2; end;
comment on function app.read_show(uuid) is 'A show.';`
const venues = `
create table if not exists app.venues (id uuid);
select app.tenant('venues');`
const files = (parts: { helpers?: string; shows?: string; venues?: string } = {}) =>
  file('helpers.sql', parts.helpers ?? helpers) +
  file('shows.sql', parts.shows ?? shows) +
  file('venues.sql', parts.venues ?? venues)
const first = files()

/** The first words of the statements that are left. */
const left = async (migration: string, ...before: string[]) =>
  (await statementsOf(await withoutUnchanged(migration, before))).map(({ bare }) =>
    bare
      .replace(/\s+/g, ' ')
      .replace(/^create (or replace )?|if not exists /g, '')
      .slice(0, 28)
      .trim(),
  )

t.test('the schema files have nothing that the migrations have not run', async t => {
  t.equal((await withoutUnchanged(schema, committed)).trim(), '')
})

t.test('what has not changed is left out, and what has is there with all that belongs to it', async t => {
  t.same(await left(first, first), [])
  t.same(await left(files({ shows: shows.replace('-- Shows.', '-- Other words.') }), first), [])
  // With a statement of a file, its calls of functions; with a comment, the table it is about.
  t.same(await left(files({ shows: shows.replace('Shows;', 'All shows;') }), first), [
    'table app.shows (id uuid)',
    'comment on table app.shows i',
    "select app.tenant('shows')",
  ])
  t.same(await left(files({ shows: shows.replace('select 2', 'select 3') }), first), [
    "select app.tenant('shows')",
    'function app.read_show(id uu',
    'comment on function app.read',
  ])
  t.same(await left(files({ shows: shows.replace('grant select', 'grant insert') }), first), [
    "select app.tenant('shows')",
    'view app.show_rows as select',
    'grant insert on app.show_row',
  ])
  t.same(await left(first + file('tours.sql', 'create table app.tours (id uuid);'), first), [
    'table app.tours (id uuid)',
  ])
})

t.test('a function that has changed is called again, also by way of others', async t => {
  const changed = files({ helpers: helpers.replace('return null', 'return null::void') })
  t.same(await left(changed, first), [
    'function app.keep(name text)',
    "select app.tenant('shows')",
    "select app.tenant('venues')",
  ])
})

t.test('what was changed by hand is run again', async t => {
  const alter = 'alter table app.shows add column tour text;\n'
  const again = [
    'table app.shows (id uuid)',
    'comment on table app.shows i',
    'trigger _1 before update on',
    "select app.tenant('shows')",
  ]
  t.same(await left(alter + first, first), ['alter table app.shows add co', ...again])
  t.same(await left(first, first, alter), again, 'also in a migration before')
  t.same(await left(first, first, alter + first), [], 'unless that has run it again')
  t.same(await left('drop function app.read_show(uuid);\n' + first, first), [
    'drop function app.read_show(',
    "select app.tenant('shows')",
    'function app.read_show(id uu',
    'comment on function app.read',
  ])
  const all = await statementsOf(first)
  t.equal(
    (await left('drop view app.show_rows cascade;\n' + first, first)).length,
    all.length + 1,
    'all, after a cascade',
  )
})

t.test('a later form of a statement hides the earlier one', async t => {
  const second = files({ shows: shows.replace('select 2', 'select 3') })
  t.same(await left(second, first, second), [])
  t.match((await left(first, first, second)).join(), 'function app.read_show')
})

t.test('an index that a migration has made concurrently is that of the schema file', async t => {
  const index = 'create index if not exists shows_tour_idx on app.shows (organization_id,\n  tour);'
  const made =
    'create index concurrently if not exists shows_tour_idx on app.shows (organization_id, tour);\n'
  const wanted = files({ shows: `${shows}\n${index}` })
  const ofIndex = async (...before: string[]) =>
    (await left(wanted, ...before)).filter(text => text.startsWith('index'))
  t.same(await left(wanted, first, made), [])
  t.same(await ofIndex(first), ['index shows_tour_idx on app.'], 'without it, it is made')
  t.same(
    await ofIndex(first, made.replace('tour)', 'id)')),
    ['index shows_tour_idx on app.'],
    'nor is another one',
  )
  t.same(
    await ofIndex(first, made, 'drop index app.shows_tour_idx;\n'),
    ['index shows_tour_idx on app.'],
    'nor one that was dropped again',
  )
})

t.test('nothing is cut in the middle: the schema, statement by statement, is the schema', async t => {
  const statements = await statementsOf(schema)
  t.ok(statements.length > 2000)
  const squeezed = (text: string) => text.replace(/^\s*--.*$/gm, '').replace(/\s+/g, '')
  t.equal(squeezed(statements.map(({ text }) => text).join('\n')), squeezed(schema))
  t.same(
    statements
      .filter(({ objects }) => objects.some(object => /undefined|\.$|^OBJECT_(?!SCHEMA)| $/.test(object)))
      .map(({ bare }) => bare),
    [],
    'each statement names what it is about',
  )
})
