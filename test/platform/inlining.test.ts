import { t } from '../support/tap.ts'
import { startServer } from '../support/helper.ts'

/** Functions that are not inlined, and why. */
const called: Record<string, string> = {
  'app.json_string(text)':
    'It is IMMUTABLE, for generated columns, which to_json is not; and only changes of venues call it.',
  'app.minor_digits(text)':
    'It is STRICT, which a CASE is not; and only the report of a year calls it, for each amount.',
}

t.test('a function that is one expression is inlined', async t => {
  const { db } = await startServer(t)
  // Calling an SQL function costs several microseconds, for each row and again for each transaction.
  // PostgreSQL does not inline a call if, for example, the function is declared IMMUTABLE and what it
  // calls is STABLE, as is everything that makes JSON.
  const functions = await db.admin<{ name: string; call: string }[]>`
    select p.oid::regprocedure::text as name,
      format('select %I.%I(%s) from (select %s offset 0) x', n.nspname, p.proname,
        (select string_agg(format('x.a%s', i), ', ' order by i) from generate_series(1, p.pronargs) i),
        (select string_agg(format('null::%s as a%s', format_type(p.proargtypes[i - 1], null), i), ', ' order by i)
          from generate_series(1, p.pronargs) i)) as call
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    join pg_language l on l.oid = p.prolang
    where n.nspname in ('app', 'app_private', 'analytics', 'analytics_private') and l.lanname = 'sql'
      and p.prokind = 'f' and p.pronargs > 0 and p.provariadic = 0
      and not p.prosecdef and p.proconfig is null and not p.proretset
    order by 1`
  t.ok(functions.length > 20, `${functions.length} functions`)
  for (const { name, call } of functions) {
    const plan = await db.admin.unsafe<{ 'QUERY PLAN': string }[]>(`explain (verbose, costs off) ${call}`)
    const output = plan.map(row => row['QUERY PLAN']).find(line => line.includes('Output: '))
    const isCalled = output?.includes(`${name.split('(')[0]}(`)
    t.equal(isCalled, name in called, `${name}: ${output}`)
  }
})
