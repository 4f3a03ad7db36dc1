import { q } from './attack.ts'

/** What somebody with a BI tool's login knows, including more than they should about another organization. */
export interface BiKnowledge {
  /** Their own login. */
  login: string
  /** The login, the organization and the people of the victim … */
  theirs: string
  organization: string
  user: string
  /** … a title and an amount in its figures … */
  title: string
  amount: number
  /** … the settings, signature included, of its owner's transaction in progress … */
  settings: Record<string, string>
  /** … and its backend, and one of the victim's own BI tool. */
  pids: number[]
}

/** The outcome; whatever it is, nothing of the victim shows. */
export type BiExpected =
  { error: string } | 'nothing' | 'own' | 'anything' | { guess: (k: BiKnowledge) => string[] }
export interface BiAttack {
  name: string
  steps: (k: BiKnowledge, guess: string) => string[]
  expects: BiExpected
}

type Step = string | ((k: BiKnowledge) => string)
const each = (expects: BiExpected, attacks: [name: string, ...steps: Step[]][]): BiAttack[] =>
  attacks.map(([name, ...steps]) => ({
    name,
    steps: k => steps.map(step => (typeof step === 'string' ? step : step(k))),
    expects,
  }))
const denied = { error: '42501' }
const writing = 'set default_transaction_read_only = off'
const explain = 'explain (analyze, timing off, summary off, buffers off)'

const roles = [
  ...[
    'postgres',
    'callboard_owner',
    'callboard_definer',
    'callboard_rollup',
    'callboard_reader',
    'callboard_bi_admin',
  ],
  ...['callboard_migrator', 'callboard_api', 'callboard_worker', 'callboard_support', 'callboard_auditor'],
  ...[
    'pg_read_all_data',
    'pg_read_server_files',
    'pg_execute_server_program',
    'pg_signal_backend',
    'pg_monitor',
  ],
]

/** Impersonating somebody else. */
const pretending = [
  ...each(
    denied,
    roles.map(role => [`SET ROLE ${role}`, `set role ${role}`]),
  ),
  ...each(
    denied,
    roles.map(role => [`the session of ${role}`, `set session authorization ${role}`]),
  ),
  ...each(denied, [
    ['the role of the victim', k => `set role ${k.theirs}`],
    ['the session of the victim', k => `set session authorization ${k.theirs}`],
    ['a role of its own', writing, 'create role loot'],
    ['membership', writing, k => `grant callboard_api to ${k.login}`],
    ['membership in the victim', writing, k => `grant ${k.theirs} to ${k.login}`],
    ['a superuser', writing, k => `alter role ${k.login} superuser`],
    ['BYPASSRLS', writing, k => `alter role ${k.login} bypassrls`],
    ['making roles', writing, k => `alter role ${k.login} createrole`],
    ['more connections', writing, k => `alter role ${k.login} connection limit -1`],
    ['a later expiry', writing, k => `alter role ${k.login} valid until 'infinity'`],
    ["the victim's password", writing, k => `alter role ${k.theirs} password 'x'`],
    ["the API's password", writing, `alter role callboard_api password 'x'`],
    ["the victim's settings", writing, k => `alter role ${k.theirs} set search_path = public`],
    ['dropping the victim', writing, k => `drop role ${k.theirs}`],
  ]),
  ...each('own', [
    [
      'forged settings of the victim, signature and all',
      k =>
        `select ${Object.entries(k.settings)
          .map(([name, value]) => `set_config(${q(name)}, ${q(value)}, false) is null`)
          .join(', ')}`,
      'select * from analytics.probe',
    ],
    [
      'somebody else’s settings',
      `select set_config('app.role', 'owner', false), set_config('session_authorization', session_user, false)`,
      'select * from analytics.probe',
    ],
    ['the group that it belongs to anyway', 'reset role', 'select * from analytics.probe'],
    [
      'another search_path',
      'set search_path = analytics_private, app, public',
      'select * from analytics.probe',
    ],
    ['a table by its short name', 'select * from probe'],
    ['COPY of a query', 'copy (select * from analytics.probe) to stdout'],
    ['a view as XML', `select table_to_xml('analytics.probe', true, false, '')`],
  ]),
]

const more = [
  ...each(denied, [
    // Instead of nothing, it gets the error that PostgreSQL gives where a policy would hide rows.
    ['row-level security off', 'set row_security = off', 'select * from analytics.probe'],
  ]),
  ...each({ error: '0A000' }, [['a new name', writing, k => `alter role ${k.login} rename to loot`]]),
]

/** Reading what is not in `analytics`. */
const reading = [
  ...each(denied, [
    ['a base table', 'select * from app.shows'],
    ['people', 'select * from app.users'],
    ['the materialized view behind a view', 'select * from analytics_private.probe'],
    ['whose logins there are', 'select * from app_private.bi_logins'],
    ['credentials', 'select * from app.bi_credentials'],
    ['the key of the signature', 'select * from app_private.context_keys'],
    ['jobs', 'select * from graphile_worker.jobs'],
    ['migrations', 'select * from graphile_migrate.migrations'],
    ['COPY of a base table', 'copy app.shows to stdout'],
    ['whose rows are shown', 'select app.visible_org()'],
    ['the API’s entry function', k => `select app.enter('x', ${q(k.organization)})`],
    ['the context', 'select app.current_org()'],
    ['a function by its number', `select app.org_if('finance.read')`],
    ['a definer function', k => `select app.remove_member(${q(k.user)})`],
    ['a credential function', 'select app.end_bi_connections()'],
    ['a function that creates roles', `select app_private.let_bi_role(gen_random_uuid(), true)`],
    ['passwords', 'select rolpassword from pg_authid'],
    ['passwords by another name', 'select passwd from pg_shadow'],
    ['statistics of columns', 'select * from pg_statistic'],
    ['who else is connected', 'select * from pg_stat_activity'],
    ['who else is connected, by the function', 'select * from pg_stat_get_activity(null)'],
    ['who else has TLS', 'select * from pg_stat_ssl'],
    ['prepared statements', 'select * from pg_prepared_statements'],
    ['large objects', 'select * from pg_largeobject'],
    ['a file', `select pg_read_file('PG_VERSION')`],
    ['a file of bytes', `select pg_read_binary_file('PG_VERSION')`],
    ['a folder', `select pg_ls_dir('.')`],
    ['the log', 'select pg_current_logfile(), pg_ls_logdir()'],
    ['a file’s metadata', `select pg_stat_file('PG_VERSION')`],
    ['the rules of access', 'select * from pg_hba_file_rules'],
    ['settings in files', 'select * from pg_file_settings'],
    ['COPY to a file', `copy (select 1) to '/tmp/loot'`],
    ['COPY to a program', `copy (select 1) to program 'id'`],
  ]),
  ...each('nothing', [
    ['rows by the title', k => `select * from analytics.probe where title = ${q(k.title)}`],
    [
      'statistics of the views',
      `select * from pg_stats where schemaname in ('analytics_private', 'app', 'app_private')`,
    ],
    ['row locks that it does not hold', `select * from pg_locks where locktype = 'advisory'`],
    ...[
      'title::int > 0',
      '1 / (length(title) - length(title)) > 0',
      `'x' ~ ('(' || title)`,
      `set_config('loot.title', title, false) is not null`,
      `pg_notify('loot', title) is not null`,
      'amount_minor * amount_minor * amount_minor * amount_minor > 0',
      'title::regclass is not null',
    ].map((leak): [string, Step] => [
      `a condition that fails: ${leak}`,
      k =>
        `select count(*) from analytics.probe where title like ${q(`${k.title.slice(0, 9)}%`)} and ${leak} having count(*) > 0`,
    ]),
  ]),
  ...each('anything', [
    ['EXPLAIN of everything', 'explain (analyze, verbose, settings) select * from analytics.probe'],
    ['all roles', 'select * from pg_roles, pg_db_role_setting'],
    ['all comments', 'select * from pg_description, pg_shdescription'],
    [
      'the sources of all functions',
      `select prosrc from pg_proc where pronamespace::regnamespace::text ~ '^a'`,
    ],
    ['all counters', 'select * from pg_stat_all_tables, pg_stat_database'],
    ['the sizes of everything', 'select relname, reltuples, pg_total_relation_size(oid) from pg_class'],
    [
      'a DO block that prints all it sees',
      `do $$ declare r record; begin for r in select * from analytics.probe loop raise notice '%', r; end loop; end $$`,
    ],
    [
      'the plans of the function behind the views',
      'set client_min_messages = log; set debug_print_plan = on; set plan_cache_mode = force_custom_plan',
      'select count(*) from analytics.probe',
    ],
    ['what others notify', 'listen loot', `listen "jobs:insert"`, 'select pg_sleep(0.1)'],
  ]),
]

/** Changing anything, or leaving anything behind. */
const changing = [
  ...each({ error: '25006' }, [
    ['a table in read-only mode', 'create table loot ()'],
    ['a role in read-only mode', 'create role loot'],
  ]),
  // There is no table behind what is read.
  ...each({ error: '55000' }, [
    ['INSERT', writing, `insert into analytics.probe values ('x', 1)`],
    ['UPDATE', writing, `update analytics.probe set title = 'x'`],
    ['DELETE', writing, 'delete from analytics.probe'],
  ]),
  ...each({ error: '42809' }, [['TRUNCATE', writing, 'truncate analytics.probe']]),
  ...each(denied, [
    ['INSERT into a base table', writing, `insert into app.shows (title) values ('x')`],
    ['row locks', writing, 'select * from analytics.probe for update'],
    ['a lock', writing, 'begin; lock table analytics.probe in access exclusive mode'],
    ['a refresh', writing, 'refresh materialized view analytics_private.probe'],
    ['a temporary table', writing, 'create temporary table loot ()'],
    ['a temporary view', writing, 'create temporary view loot as select 1'],
    ['SELECT INTO', writing, 'select 1 into temporary loot'],
    ['a table', writing, 'create table public.loot ()'],
    ['a table in analytics', writing, 'create table analytics.loot ()'],
    ['a view in analytics', writing, 'create or replace view analytics.probe as select 1'],
    [
      'a function',
      writing,
      'create function public.loot(text) returns boolean language sql cost 0.0001 return true',
    ],
    [
      'a function in analytics',
      writing,
      'create function analytics.loot() returns int language sql return 1',
    ],
    ['a schema', writing, 'create schema loot'],
    ['a type', writing, 'create type analytics.loot as (x text)'],
    [
      'an operator',
      writing,
      'create operator analytics.=== (leftarg = text, rightarg = text, function = texteq)',
    ],
    ['an extension', writing, 'create extension dblink schema analytics'],
    ['a trusted extension', writing, 'create extension hstore schema analytics'],
    ['a foreign server', writing, 'create foreign data wrapper loot'],
    ['a publication', writing, 'create publication loot'],
    ['a policy', writing, 'create policy loot on app.shows using (true)'],
    ['a comment', writing, `comment on view analytics.probe is 'x'`],
    ['a grant', writing, 'grant select on app.shows to callboard_bi'],
    [
      'settings of the database',
      writing,
      `do $$ begin execute format('alter database %I set row_security = off', current_database()); end $$`,
    ],
    ['settings of the server', writing, 'alter system set row_security = off'],
    ['a large object', writing, 'select lo_create(0)'],
    ['a large object of bytes', writing, `select lo_from_bytea(0, 'x')`],
    ['a large object of a file', writing, `select lo_import('/etc/passwd')`],
    ['a message in the write-ahead log', writing, `select pg_logical_emit_message(false, 'x', 'x')`],
    ['a replication slot', writing, `select pg_create_physical_replication_slot('loot')`],
    ['COPY from a file', writing, `copy analytics.probe from '/etc/passwd'`],
    ['COPY from a program', writing, `copy analytics.probe from program 'id'`],
    ['an advisory lock', 'select pg_advisory_lock(1)'],
    ['an advisory lock of the transaction', 'select pg_try_advisory_xact_lock_shared(1)'],
    [
      "the end of the API's connection",
      k => `select ${k.pids.map(pid => `pg_terminate_backend(${pid})`).join(', ')}`,
    ],
    [
      "the end of others' queries",
      k => `select ${k.pids.map(pid => `pg_cancel_backend(${pid})`).join(', ')}`,
    ],
    ['more disk space', 'set temp_file_limit = -1'],
    ['triggers off', 'set session_replication_role = replica'],
    ['a library', `load 'auto_explain'`],
    ['counters reset', 'select pg_stat_reset()'],
    ['the configuration files reloaded', 'select pg_reload_conf()'],
  ]),
  // There is no such function, because only a superuser could create it.
  ...each({ error: '42883' }, [['dblink', k => `select dblink('dbname=x user=${k.theirs}', 'select 1')`]]),
]

const guesses = (k: BiKnowledge) => [q(k.title), q(k.title.replace('zqv', 'zqw'))]
const amounts = (k: BiKnowledge) => [String(k.amount), String(k.amount + 5)]
const ask = (
  name: string,
  guess: (k: BiKnowledge) => string[],
  ...steps: ((guess: string) => string)[]
): BiAttack => ({
  name,
  steps: (_, g) => steps.map(step => step(g)),
  expects: { guess },
})
const onlyScans = () =>
  'set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off'
const onlyIndexes = () => 'set enable_seqscan = off; set enable_bitmapscan = off'

/** Questions answered without a row. */
const oracles = [
  ask('the estimate for a title', guesses, g => `explain select from analytics.probe where title = ${g}`),
  ask(
    'the estimate for an amount',
    amounts,
    g => `explain select from analytics.probe where amount_minor = ${g}`,
  ),
  ask(
    'what is executed for a title',
    guesses,
    onlyScans,
    g => `${explain} select from analytics.probe where title = any (array[${g}])`,
  ),
  ask(
    'what is executed for an amount',
    amounts,
    onlyScans,
    g => `${explain} select from analytics.probe where amount_minor = ${g}`,
  ),
  ask(
    'what is executed for a title, if operators cost nothing',
    guesses,
    () => 'set cpu_operator_cost = 0',
    onlyScans,
    g => `${explain} select from analytics.probe where title = ${g}`,
  ),
  ask(
    'what an index finds for a title',
    guesses,
    onlyIndexes,
    g => `${explain} select from analytics.probe where title = ${g}`,
  ),
  ask(
    'what is executed for a joined title',
    guesses,
    onlyScans,
    g => `${explain} select from (values (${g})) v(t), analytics.probe p where p.title = v.t`,
  ),
]

export const biAttacks = {
  'impersonating somebody else': [...pretending, ...more],
  'reading more than one’s own figures': reading,
  'changing something': changing,
  'inferring without seeing': oracles,
}
