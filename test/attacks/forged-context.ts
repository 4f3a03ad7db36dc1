import { type Attack, each, q, set } from './attack.ts'

const shows = 'select title, notes from app.shows'

/** Impersonating somebody else: settings, signatures, roles and the entry function itself. */
export const forgedContext: Attack[] = [
  ...each('nothing', [
    ['set_config of the organization alone', k => set({ 'app.current_org': k.b.organization }), shows],
    ['SET of the organization', k => `set app.current_org = ${q(k.b.organization)}`, shows],
    ['SET LOCAL of the organization', k => `set local app.current_org = ${q(k.b.organization)}`, shows],
    [
      'all settings of the victim without the signature',
      k => set({ ...k.earlier, 'app.signature': '' }),
      shows,
    ],
    [
      'all settings of the victim with an invented signature',
      k => set({ ...k.earlier, 'app.signature': '0'.repeat(64) }),
      shows,
    ],
    ['a signature copied from an earlier transaction of the same backend', k => set(k.earlier), shows],
    ['a signature copied from a transaction in progress on another backend', k => set(k.elsewhere), shows],
    [
      'a copied signature, set for the session and used in the next transaction',
      k => set(k.earlier, false),
      'commit; begin',
      shows,
    ],
    ['permissions widened under one’s own signature', set({ 'app.permissions': ' shows.read * ' }), shows],
    ['another role under one’s own signature', set({ 'app.role': 'superuser' }), shows],
    [
      "the victim's user under one’s own signature",
      k => set({ 'app.user_id': k.b.owner.id }),
      'select email from app.users',
    ],
    [
      "the victim's session under one’s own signature",
      k => set({ 'app.session_id': k.session }),
      'select body from app.session_list',
    ],
    ['RESET of the signature', 'reset app.signature', shows],
    ['RESET ALL', 'reset all', shows],
    ['a query after COMMIT', 'commit', shows],
    ['a query after ROLLBACK AND CHAIN', 'rollback and chain', shows],
    [
      'a ROLLBACK TO before entering',
      'rollback; begin; savepoint outside',
      k => `select app.enter(${q(k.secret)}, ${q(k.a.organization)})`,
      'rollback to outside',
      shows,
    ],
    [
      'a DO block that catches the refusal and continues',
      k => `do $$ begin
        begin perform app.enter(${q(k.secret)}, ${q(k.b.organization)}); exception when others then null; end;
        if exists (select from app.shows where organization_id = ${q(k.b.organization)}) then raise exception 'seen'; end if;
      end $$`,
    ],
  ]),
  ...each('own', [
    // Both transactions of one message begin in the same microsecond, so the signature is valid: for oneself.
    [
      'one’s own context carried over a COMMIT in one message',
      `select set_config('loot.' || s, current_setting('app.' || s), false)
        from unnest('{current_org,user_id,session_id,role,permissions,signature}'::text[]) s; commit; begin;
        select set_config('app.' || s, current_setting('loot.' || s), true)
        from unnest('{current_org,user_id,session_id,role,permissions,signature}'::text[]) s`,
      k => `rollback; begin; select app.enter(${q(k.secret)}, ${q(k.a.organization)})`,
      shows,
    ],
    [
      'settings that change how SQL is read and written',
      `set quote_all_identifiers = on; set transform_null_equals = on; set bytea_output = escape; set datestyle = 'German';
       set array_nulls = off; set extra_float_digits = -15; set intervalstyle = iso_8601; set plan_cache_mode = force_generic_plan`,
      shows,
    ],
    [
      'a search_path that puts our schemas first',
      'set search_path = app_private, app, pg_catalog',
      'select title from shows',
    ],
  ]),
  {
    name: 'entering another organization, caught by a savepoint',
    steps: ({ secret, b }) => [
      'savepoint before',
      { sql: `select app.enter(${q(secret)}, ${q(b.organization)})`, fails: 'PT403' },
      'rollback to before',
      shows,
    ],
    expects: 'own',
  },
  ...each({ error: 'PT403' }, [
    ['entering another organization', k => `select app.enter(${q(k.secret)}, ${q(k.b.organization)})`],
  ]),
  ...each({ error: 'PT401' }, [
    ['entering with an invented secret', k => `select app.enter('let me in', ${q(k.b.organization)})`],
    [
      "entering with the id of the victim's session",
      k => `select app.enter(${q(k.session)}, ${q(k.b.organization)})`,
    ],
    ['entering without a secret', k => `select app.enter(null, ${q(k.b.organization)})`],
  ]),
  ...each({ error: '42501' }, [
    [
      'set_context itself',
      k =>
        `select app_private.set_context(${q(k.b.owner.id)}, ${q(k.session)}, ${q(k.b.organization)}, 'owner', '{shows.read}')`,
    ],
    ['the signature itself', 'select app_private.context_signature()'],
    ['the keyed hash itself', `select app_private.keyed_hash('x')`],
    ['the keys', 'select * from app_private.context_keys'],
    ['SET ROLE to the owner', 'set role callboard_owner'],
    ['SET ROLE to the definer', 'set local role callboard_definer'],
    ['the role as a setting', `select set_config('role', 'callboard_definer', true)`],
    ['SET ROLE to a superuser', 'set role postgres'],
    ['SET SESSION AUTHORIZATION', 'set session authorization callboard_migrator'],
    ['row_security = off', 'set row_security = off', shows],
    ['session_replication_role', 'set session_replication_role = replica'],
    ['a setting of the server', 'set log_statement = none'],
  ]),
  ...each({ error: '42P01' }, [
    ['a search_path into the private schema', 'set search_path = app_private', 'select * from mails'],
  ]),
]
