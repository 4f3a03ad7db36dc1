import { type Attack, each, q } from './attack.ts'

/** Every table of app_private, and those of app that hold secrets. */
const secrets = [
  'app_private.mails',
  'app_private.credentials',
  'app_private.email_tokens',
  'app_private.mailed_secrets',
  'app_private.refresh_tokens',
  'app_private.slugs',
  'app_private.foundings',
  'app.idempotency_keys',
]

/** Expressions that fail with the given value, or leave it behind somewhere. */
const leaks = {
  'a cast to a number': 'title::int > 0',
  'a cast to a date': 'notes::date is not null',
  'a cast to jsonb': 'notes::jsonb is not null',
  'a cast to a table': 'title::regclass is not null',
  'a division by zero': '1 / (length(title) - length(title)) > 0',
  'a regular expression': `'x' ~ ('(' || title)`,
  'a text search': `to_tsquery(title) is not null`,
  'a range that ends before it begins': `int8range(fee_minor, 0) is not null`,
  'an overflow': 'fee_minor * fee_minor * fee_minor > 0',
  'an array from text': `title::text[] is not null`,
  'a setting': `set_config('loot.title', title, false) is not null`,
  'a notification': `pg_notify('loot', title) is not null`,
  'a JSON path': `jsonb_path_exists(to_jsonb(title), ('strict $.' || title)::jsonpath)`,
  'a function of ours that raises': 'app.refuse(400, title, notes) is null',
}

/** Reading somebody else's data: queries, errors, files, and what the system reveals. */
export const reading: Attack[] = [
  ...each('nothing', [
    ['a show by its id', k => `select * from app.shows where id = ${q(k.b.show)}`],
    [
      'the shows of an organization',
      k => `select * from app.shows where organization_id = ${q(k.b.organization)}`,
    ],
    ['all but one’s own', k => `select * from app.shows where organization_id <> ${q(k.a.organization)}`],
    ['a view', k => `select * from app.show_rows where organization_id <> ${q(k.a.organization)}`],
    ['the members', k => `select * from app.member_list where organization_id <> ${q(k.a.organization)}`],
    [
      'the invitations',
      k => `select * from app.invitation_list where organization_id <> ${q(k.a.organization)}`,
    ],
    ['the venues', k => `select * from app.venue_rows where organization_id <> ${q(k.a.organization)}`],
    ['the organization', k => `select * from app.organizations where id = ${q(k.b.organization)}`],
    ['the people', k => `select * from app.users where id = ${q(k.b.owner.id)}`],
    ['the sessions', k => `select id, ip from app.sessions where user_id <> ${q(k.a.owner.id)}`],
    [
      'a LATERAL join that carries the id in',
      k =>
        `select s.* from (values (${q(k.b.show)}::uuid)) v(id), lateral (select * from app.show_rows where id = v.id) s`,
    ],
    [
      'an outer join',
      k =>
        `select s.* from (values (${q(k.b.show)}::uuid)) v(id) left join app.shows s using (id) where s.id is not null`,
    ],
    [
      'a recursive query',
      k => `with recursive r as (select * from app.shows union all select s.* from app.shows s join r on s.venue_id = r.venue_id where s.organization_id <> r.organization_id)
      select * from r where organization_id = ${q(k.b.organization)}`,
    ],
    [
      'a materialized CTE',
      k =>
        `with everything as materialized (select * from app.shows) select * from everything where organization_id <> ${q(k.a.organization)}`,
    ],
    [
      'a sample',
      k => `select * from app.shows tablesample system (100) where organization_id <> ${q(k.a.organization)}`,
    ],
    ['ONLY the table', k => `select * from only app.venues where organization_id <> ${q(k.a.organization)}`],
    [
      'rows by their ctid',
      k =>
        `select * from app.shows where ctid = any (select format('(0,%s)', i)::tid from generate_series(1, 99) i) and organization_id <> ${q(k.a.organization)}`,
    ],
    [
      'COPY of a query',
      k => `copy (select title from app.shows where organization_id <> ${q(k.a.organization)}) to stdout`,
    ],
    ['row locks', k => `select id from app.shows where id = ${q(k.b.show)} for update`],
    [
      'shared row locks',
      k => `select id from app.venues where organization_id <> ${q(k.a.organization)} for share skip locked`,
    ],
    [
      'a query in a string',
      k =>
        `select * from ts_stat(${q(`select to_tsvector(title) from app.shows where organization_id <> ${q(k.a.organization)}`)})`,
    ],
    [
      'the search function',
      k => `select app.search_shows(left(${q(k.b.marker)}, 4)) except select id from app.shows`,
    ],
    ...Object.entries(leaks).map(
      ([name, expression]): [string, (k: { a: { organization: string } }) => string] => [
        `${name}, in the condition`,
        k =>
          `select count(*) from ${expression.includes('fee_minor') ? 'app.show_fees' : 'app.shows'}
          where organization_id <> ${q(k.a.organization)} and ${expression} having count(*) > 0`,
      ],
    ),
  ]),
  ...each('own', [
    ['everything', 'select * from app.shows'],
    [
      'everything, by organization',
      'select organization_id, count(*), string_agg(title, $$,$$) from app.shows group by organization_id',
    ],
    [
      'all views at once',
      'select * from app.show_rows, app.venue_rows, app.member_list, app.invitation_list, app.organization_list',
    ],
    ['COPY of a table', 'copy app.shows to stdout'],
    ['a table as XML', `select table_to_xml('app.venues', true, false, '')`],
    ['the whole list of my organizations', 'select body from app.list_my_organizations()'],
  ]),
  ...each({ value: null }, [
    [
      'a setting that a condition has set',
      k =>
        `select count(*) from app.shows where set_config('loot.title2', title, false) is not null and organization_id <> ${q(k.a.organization)}`,
      `select current_setting('loot.title2', true)`,
    ],
  ]),
  // Without a condition one's own rows come first and fail, with one's own text.
  ...each({ error: '22P02' }, [
    ['a cast of every title', 'select title::int from app.shows'],
    [
      'a cast in an aggregate',
      'select sum(x.notes::numeric) from app.show_rows s join app.shows x using (id)',
    ],
  ]),
  ...each('anything', [
    [
      'a DO block that prints all it sees',
      `do $$ declare r record; begin for r in select * from app.show_rows loop raise notice '%', r; end loop; end $$`,
    ],
    ['EXPLAIN with all its options', 'explain (analyze, verbose, settings) select * from app.show_rows'],
    [
      'the sources of all functions',
      'select prosrc from pg_proc where pronamespace::regnamespace::text ~ $$^app$$',
    ],
    [
      'the plans of a function that mails a secret',
      'set client_min_messages = log; set debug_print_plan = on; set debug_print_parse = on; set debug_print_rewritten = on; set plan_cache_mode = force_custom_plan',
      `select app.create_invitation('somebody@example.org', 'viewer')`,
      `select app.add_member('somebody.else@example.org', 'Somebody', 'viewer')`,
      `select app.request_verification()`,
      k =>
        `select app.register('new' || ${q(k.a.marker)} || gen_random_uuid() || '@example.org', 'New', 'argon2id$m=1,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA==', sha256('x'), 'New')`,
    ],
  ]),
  ...each({ error: '42501' }, [
    ...secrets.map((table): [string, string] => [`the table ${table}`, `select * from ${table}`]),
    ['the hash of a session', 'select secret_hash from app.sessions'],
    ['a whole row with the hash of a session', 'select to_jsonb(s) from app.sessions s'],
    ['the hash of a calendar feed', 'select secret_hash from app.calendar_feeds'],
    ['the mail of an invitation', 'select mail_id from app.invitations'],
    ['a whole row with the mail of an invitation', 'select i from app.invitations i'],
    ['the order of a hash', 'select id from app.calendar_feeds order by secret_hash'],
    ['COPY with the hash of a session', 'copy app.sessions to stdout'],
    ["the worker's mails", 'select * from app.take_mail(gen_random_uuid())'],
    ["the worker's jobs", 'select * from graphile_worker.jobs'],
    ['how many jobs there are', 'select * from app.job_health()'],
    ['how the server is, and when logins of others end', 'select * from app.server_health()'],
    ['a view of the private schema', 'select * from app_private.deletion_edges'],
    ['the passwords of the roles', 'select * from pg_authid'],
    ['the same by another name', 'select * from pg_shadow'],
    ['a file', `select pg_read_file('PG_VERSION')`],
    ['a binary file', `select pg_read_binary_file('global/pg_control')`],
    ['a folder', `select pg_ls_dir('.')`],
    ['the folder of the log', 'select pg_ls_logdir()'],
    ['COPY to a program', `copy app.shows to program 'cat > /dev/null'`],
    ['COPY to a file', `copy app.shows to '/tmp/loot'`],
    ['COPY from a program', `copy app.venues (name) from program 'id'`],
    ['a large object', `select lo_from_bytea(0, 'x')`],
    ['the large objects of others', 'select * from pg_largeobject'],
    ['a file as a large object', `select lo_import('/etc/passwd')`],
    ['a replication slot', `select pg_create_logical_replication_slot('loot', 'test_decoding')`],
  ]),
]
