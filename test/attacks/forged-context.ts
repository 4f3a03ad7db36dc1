import { carrier } from '../support/helper.ts'
import { type Attack, each, q, set } from './attack.ts'

const shows = 'select title, notes from app.shows'
const carried = 'current_org,user_id,session_id,role,permissions,signature'

/** Impersonating somebody else: settings, signatures, roles and the entry function itself. */
export const forgedContext: Attack[] = [
  // Their own session does not bear their marker.
  ...each(carrier === 'guarded' ? 'anything' : 'nothing', [
    [
      "the victim's session under one’s own signature",
      k => set({ 'app.session_id': k.session }),
      'select body from app.session_list',
    ],
  ]),
  ...each('undisturbed', [
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
    ['permissions widened under one’s own signature', set({ 'app.permissions': ' shows.read * ' }), shows],
    ['another role under one’s own signature', set({ 'app.role': 'superuser' }), shows],
    [
      "the victim's user under one’s own signature",
      k => set({ 'app.user_id': k.b.owner.id }),
      'select email from app.users',
    ],
    ['RESET of the signature', 'reset app.signature', shows],
  ]),
  ...each('nothing', [
    [
      'a copied signature, set for the session and used in the next transaction',
      k => set(k.earlier, false),
      'commit; begin',
      shows,
    ],
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
  // Both transactions of one message begin in the same microsecond, so a signature is valid in both. For oneself, and
  // for no more than one could do in the first.
  ...[
    {
      name: 'one’s own context carried over a COMMIT in one message',
      first: 'begin read write',
      then: shows,
    },
    {
      name: 'a context that only reads, carried into a transaction that may write',
      first: 'begin read only',
      then: "update app.shows set notes = 'carried' returning title",
    },
  ].map(({ name, first, then }): Attack => ({
    name,
    steps: ({ secret, a }) => [
      `rollback; ${first}; select app.enter(${q(secret)}, ${q(a.organization)});
        select set_config('loot.' || s, current_setting('app.' || s, true), false) from unnest('{${carried}}'::text[]) s;
        commit; begin read write; select set_config('app.' || s, current_setting('loot.' || s), true) from unnest('{${carried}}'::text[]) s`,
      then,
    ],
    expects: carrier === 'signed' && first === 'begin read write' ? 'own' : 'nothing',
  })),
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
        `select app_private.set_context(${q(k.b.owner.id)}, ${q(k.session)}, ${q(k.b.organization)}, 'owner', 'shows.read')`,
    ],
    ['the signature itself', 'select app_private.context_signature()'],
    ['the keyed hash itself', `select app_private.keyed_hash('x')`],
    ['the keys', 'select * from app_private.context_keys'],
    // The setting that holds a guarded context: everybody may read it.
    ['the context by set_config', k => set({ backtrace_functions: k.guarded })],
    ['the context by SET', k => `set backtrace_functions = ${q(k.guarded)}`],
    ['the context by SET LOCAL', k => `set local backtrace_functions = ${q(k.guarded)}`],
    ['the context by RESET', 'reset backtrace_functions'],
    [
      'the context by pg_settings',
      k => `update pg_settings set setting = ${q(k.guarded)} where name = 'backtrace_functions'`,
    ],
    [
      'the context by a DO block',
      k => `do $$ begin perform set_config('backtrace_functions', ${q(k.guarded)}, true); end $$`,
    ],
    [
      'the context as a setting of one’s own role',
      k => `alter role callboard_api set backtrace_functions = ${q(k.guarded)}`,
    ],
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
