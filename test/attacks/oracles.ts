import { randomUUID } from 'node:crypto'
import { type Attack, type Knowledge, q } from './attack.ts'

const explain = 'explain (analyze, timing off, summary off, buffers off)'
const counters = `select relname, seq_tup_read, idx_scan, idx_tup_fetch, n_tup_ins, n_tup_upd from pg_stat_xact_all_tables
  where relname in ('shows', 'users', 'organizations', 'memberships') order by 1`

const title = (k: Knowledge) => ({
  right: `Title ${k.b.marker}`,
  wrong: `Title ${k.b.marker.replace('zqv', 'zqw')}`,
})
const email = (k: Knowledge) => ({ right: k.b.owner.email, wrong: k.b.owner.email.replace('vera', 'wera') })
const slug = (k: Knowledge) => ({ right: k.slug, wrong: k.slug.replace('company', 'kompany') })
const fee = (k: Knowledge) => ({ right: String(k.b.fee), wrong: String(k.b.fee - 1) })
const show = (k: Knowledge) => ({ right: k.b.show, wrong: randomUUID() })
const venue = (k: Knowledge) => ({ right: k.b.venue, wrong: randomUUID() })
const organization = (k: Knowledge) => ({ right: k.b.organization, wrong: randomUUID() })
const user = (k: Knowledge) => ({ right: k.b.owner.id, wrong: randomUUID() })
const scans = 'set enable_seqscan = off; set enable_bitmapscan = off'
const noIndex = 'set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off'

const ask = (
  name: string,
  guess: (k: Knowledge) => { right: string; wrong: string },
  ...steps: ((guess: string, k: Knowledge) => string)[]
): Attack => ({ name, steps: (k, g) => steps.map(step => step(g, k)), expects: { guess } })

/**
 * Questions that are answered without a row: by an estimate, a count, an error, a lock. Each is asked with a
 * guess that is right and with one that is wrong, and must get the same answer.
 */
export const oracles: Attack[] = [
  ask('the estimate for a title', title, g => `explain select from app.shows where title = ${q(g)}`),
  ask(
    'the estimate for a range of titles',
    title,
    g => `explain select from app.shows where title <= ${q(g)} and title >= ${q(g)}`,
  ),
  ask('the estimate for a fee', fee, g => `explain select from app.shows where fee_minor = ${g}`),
  ask('the estimate for an address', email, g => `explain select from app.users where email = ${q(g)}`),
  ask(
    'the estimate for an address, as it is indexed',
    email,
    g => `explain select from app.users where lower(email) = ${q(g)}`,
  ),
  ask('the estimate for a slug', slug, g => `explain select from app.organizations where slug = ${q(g)}`),
  ask(
    'the estimate for what is searched',
    title,
    g => `explain select from app.shows where title || ' ' || artist >= ${q(g)}`,
  ),
  // Whether a plan ever came to ask the policy tells whether a row met the condition before it.
  ask(
    'what is executed for a title',
    title,
    () => noIndex,
    g => `${explain} select from app.shows where title = any (array[${q(g)}])`,
  ),
  ask(
    'what is executed for a range of titles',
    title,
    () => noIndex,
    g =>
      `${explain} select from app.shows where title > any (array[${q(g.slice(0, 9))}]) and title < any (array[${q(`${g}~`)}])`,
  ),
  ask(
    'what is executed for a fee',
    fee,
    () => noIndex,
    g => `${explain} select from app.shows where fee_minor = any (array[${g}])`,
  ),
  ask(
    'what is executed for one row and its notes',
    k => ({ right: `Notes ${k.b.marker}`, wrong: `Notes ${k.b.marker.replace('zqv', 'zqz')}` }),
    () => noIndex,
    g =>
      Array.from(
        { length: 9 },
        (_, i) =>
          `${explain} select from app.shows where ctid = '(0,${i})' and notes < any (array[${q(`${g}~`)}])`,
      ).join(';'),
  ),
  ask(
    'what is executed for a title, where operators cost nothing',
    title,
    () => `set cpu_operator_cost = 0; ${noIndex}`,
    g => `${explain} select from app.shows where title = ${q(g)}`,
  ),
  ask(
    'what is executed for an address',
    email,
    () => noIndex,
    g => `${explain} select from app.users where email = any (array[${q(g)}])`,
  ),
  ask(
    'what is executed for a slug',
    slug,
    () => noIndex,
    g => `${explain} select from app.organizations where slug = any (array[${q(g)}])`,
  ),
  ask(
    'what is executed for a joined title',
    title,
    () => noIndex,
    g => `${explain} select from (values (${q(g)})) v(t), app.shows s where s.title = v.t`,
  ),
  ask(
    "what is executed for an invitation's address",
    k => ({ right: `invited.${k.b.marker}@example.com`, wrong: `invited.${k.b.marker}@example.org` }),
    () => noIndex,
    g => `${explain} select id from app.invitations where email = any (array[${q(g)}])`,
  ),
  // Rows that an index found and the policy removed are counted.
  ask(
    'what an index finds for an address',
    email,
    () => scans,
    g => `${explain} select from app.users where email = ${q(g)}`,
  ),
  ask(
    'what an index finds for an address, as it is indexed',
    email,
    () => scans,
    g => `${explain} select from app.users where lower(email) = ${q(g)}`,
  ),
  ask(
    'what an index finds for a slug',
    slug,
    () => scans,
    g => `${explain} select from app.organizations where slug >= ${q(g)} and slug <= ${q(g)}`,
  ),
  ask(
    'what an index finds for a title of the organization',
    title,
    () => scans,
    (g, k) =>
      `${explain} select from app.shows where organization_id >= ${q(k.b.organization)} and organization_id <= ${q(k.b.organization)} and title = ${q(g)}`,
  ),
  ask(
    'what an index finds for a show',
    show,
    () => scans,
    g => `${explain} select from app.shows where id = ${q(g)}`,
  ),
  ask(
    'what counters say of an address',
    email,
    () => scans,
    g => `select count(*) from app.users where email = ${q(g)}`,
    () => counters,
  ),
  ask(
    'what counters say of a title',
    title,
    g => `select count(*) from app.shows where title = any (array[${q(g)}])`,
    () => counters,
  ),
  ask(
    'the error for a venue',
    venue,
    g => `insert into app.shows (title, artist, show_on, venue_id) values ('x', 'x', '2027-01-01', ${q(g)})`,
  ),
  ask('the error for a show', show, g => `select app.read_show(${q(g)})`),
  ask('the error for deleting a show', show, g => `select app.delete_show(${q(g)}, '"7"')`),
  ask('the error for restoring a show', show, g => `select app.restore_show(${q(g)})`),
  ask('the error for a member', user, g => `select app.remove_member(${q(g)}, '"7"')`),
  ask('the error for an organization', organization, g => `select app.delete_organization(${q(g)}, '"7"')`),
  ask('the error for a token', organization, g => `select app.switch_organization(${q(g)})`),
  ask('the error at the entrance', organization, (g, k) => `select app.enter(${q(k.secret)}, ${q(g)})`),
  ask(
    'the error for restoring an organization',
    organization,
    g => `select app.restore_organization(${q(g)})`,
  ),
  ask('the answer for a slug', slug, g => `select app.read_organization(${q(g)})`),
  ask(
    'the answer for an address at sign-in',
    email,
    g => `select app.sign_in(${q(g)}, sha256('x'), sha256('s'), sha256('r'), '{}')`,
  ),
  {
    ...ask('the answer for a forgotten password', email, g => `select app.forget_password(${q(g)})`),
    mayChange: ['app_private.mails', 'app_private.email_tokens'],
  },
  {
    ...ask(
      'the plans of functions that know an address, and mail a secret to it',
      email,
      () =>
        'set client_min_messages = log; set debug_print_plan = on; set plan_cache_mode = force_custom_plan',
      g => `select app.forget_password(${q(g)})`,
      g => `select app.password_recipe(${q(g)}) is not null`,
      g => `select app.sign_in(${q(g)}, sha256('x'), sha256('s'), sha256('r'), '{}')`,
    ),
    mayChange: ['app_private.mails', 'app_private.email_tokens'],
  },
  ask(
    'the answer for an invited address',
    k => ({ right: `invited.${k.b.marker}@example.com`, wrong: `invited.${k.b.marker}@example.org` }),
    g => `select status from app.create_invitation(${q(g)}, 'viewer')`,
  ),
  ask('the search for a title', title, g => `select app.search_shows(${q(g)})`),
  ask(
    'the key of a request',
    k => ({ right: k.b.marker, wrong: 'x' }),
    g => `select * from app.claim_key(${q(g)}, sha256('x'))`,
  ),
  ask('a lock on a row', show, g => `select id from app.shows where id = ${q(g)} for update nowait`),
]
