import { type Attack, each, q } from './attack.ts'

const shows = 'select title, notes from app.shows'

/** What outlives a transaction or is visible from other connections. */
export const sessions: Attack[] = [
  ...each('nothing', [
    [
      'a statement prepared in one context and executed in none',
      `prepare loot2 as ${shows}`,
      'execute loot2',
      'commit',
      'execute loot2',
    ],
    [
      'a prepared statement whose plan was made for one’s own organization',
      'set plan_cache_mode = force_generic_plan',
      `prepare loot3(uuid) as ${shows} where organization_id = $1`,
      k => `execute loot3(${q(k.a.organization)})`,
      k => `execute loot3(${q(k.b.organization)})`,
    ],
    [
      'a cursor over a COMMIT with the context gone',
      'commit; begin',
      `declare loot5 cursor with hold for ${shows}`,
      'commit',
      'fetch all from loot5',
    ],
    [
      'a table in a new transaction of a DO block',
      'commit',
      `do $$ begin commit; if exists (select from app.shows) then raise 'seen'; end if; end $$`,
    ],
    ["the planner's statistics", `select * from pg_stats where schemaname ~ '^app'`],
    ['extended statistics', `select * from pg_stats_ext`],
  ]),
  ...each('undisturbed', [
    [
      'a cursor that is opened before the settings change and read after',
      `declare loot4 cursor for ${shows}`,
      k => `select set_config('app.current_org', ${q(k.b.organization)}, true)`,
      'fetch all from loot4',
    ],
  ]),
  ...each('own', [
    [
      'a cursor WITH HOLD from one’s own context, read in none',
      `declare loot9 cursor with hold for ${shows}`,
      'commit',
      'fetch all from loot9',
    ],
    [
      'a cursor half read before the settings change',
      `declare loot10 cursor for ${shows}`,
      'fetch 0 from loot10',
      'fetch 1 from loot10',
    ],
  ]),
  {
    name: "a cursor WITH HOLD left for the victim's request",
    steps: () => ['commit; begin', `declare loot11 cursor with hold for ${shows}`, 'commit'],
    expects: 'nothing',
    afterwards: ['fetch all from loot11', 'close loot11'],
  },
  {
    name: "a prepared statement left for the victim's request",
    steps: () => [`prepare loot12 as ${shows}`],
    expects: 'nothing',
    afterwards: ['execute loot12', 'deallocate loot12'],
  },
  {
    name: 'a channel on which the database notifies the worker of jobs',
    steps: () => ['listen "jobs:insert"'],
    expects: 'nothing',
    afterwards: ['select * from pg_listening_channels(), pg_notification_queue_usage()', 'unlisten *'],
  },
  // What is left behind on the connection does not affect its next user.
  ...[
    `set search_path = pg_temp, app_private, app`,
    `set default_transaction_read_only = on`,
    `set default_transaction_isolation = serializable`,
    `set row_security = off`,
    `set time zone 'Asia/Tokyo'`,
    `set client_encoding = 'LATIN1'`,
    `set statement_timeout = '1ms'`,
    `set datestyle = 'German'`,
    `set client_min_messages = debug5; set debug_print_plan = on`,
    `set session characteristics as transaction read only, deferrable`,
    `deallocate all`,
    `select set_config('app.current_org', gen_random_uuid()::text, false), set_config('app.signature', 'x', false)`,
  ].map((sql): Attack => ({
    name: `left behind: ${sql}`,
    steps: () => [`commit; ${sql}`],
    expects: 'anything',
  })),
  ...each({ error: '42501' }, [
    ['the names of prepared statements', 'select * from pg_prepared_statements'],
    ['the function behind them', 'select * from pg_prepared_statement()'],
    ['open cursors', 'select * from pg_cursors'],
    ['memory contexts', 'select * from pg_backend_memory_contexts'],
    ['the raw statistics', 'select * from pg_statistic'],
    ['an advisory lock', 'select pg_advisory_lock(1)'],
    ['a transaction advisory lock', 'select pg_try_advisory_xact_lock(1)'],
    ["ending the victim's connection", k => `select pg_terminate_backend(${k.pid})`],
    ["cancelling the victim's query", k => `select pg_cancel_backend(${k.pid})`],
    ['a temporary table', 'create temp table loot23 (title text)'],
    ['a temporary table from a query', 'select * into temp loot24 from app.shows'],
    ['a temporary view', 'create temp view loot25 as select * from app.shows'],
    ['a temporary type that shadows text', 'create type pg_temp.text as (t pg_catalog.text)'],
    ['a temporary domain that shadows uuid', 'create domain pg_temp.uuid as pg_catalog.text'],
    ['a temporary function', 'create function pg_temp.f() returns int language sql return 1'],
    ['a lock that stops everybody', 'lock table app.shows in access exclusive mode'],
    ['a lock that stops all writing', 'lock table app.users in share mode'],
  ]),
  ...each({ error: '55000' }, [
    ['a transaction prepared to outlive the session', `prepare transaction 'loot31'`],
  ]),
  ...each('anything', [
    ["other connections' queries", 'select * from pg_stat_activity'],
    ["other connections' locks", 'select * from pg_locks'],
    ['counters of tables', 'select * from pg_stat_user_tables join pg_statio_user_tables using (relid)'],
    ['settings of roles and databases', 'select * from pg_db_role_setting, pg_settings'],
    ['a snapshot for others to use', 'select pg_export_snapshot()'],
    [
      'settings of one’s own role, for future connections',
      k =>
        `do $$ begin execute format('alter role callboard_api in database %I set app.current_org = %L', current_database(), ${q(k.b.organization)}); end $$`,
      `do $$ begin execute format('alter role callboard_api in database %I reset all', current_database()); end $$`,
    ],
  ]),
  ...each({ error: '42P01' }, [['statements of everybody', 'select * from pg_stat_statements']]),
]
