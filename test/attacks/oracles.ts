import { randomUUID } from 'node:crypto'
import { type Attack, type Knowledge, q } from './attack.ts'

type Guess = (k: Knowledge) => { right: string; wrong: string }

const text =
  (is: (k: Knowledge) => string, from: string, to: string): Guess =>
  k => ({ right: is(k), wrong: is(k).replace(from, to) })
const title = text(k => `Title ${k.b.marker}`, 'zqv', 'zqw')
/** How the victim's titles begin, and a beginning that no title has. */
const beginning = text(k => `Title ${k.b.marker.slice(0, 4)}`, 'zqv', 'zqw')
const notes = text(k => `Notes ${k.b.marker}`, 'zqv', 'zqw')
const email = text(k => k.b.owner.email, 'vera', 'wera')
const invited = text(k => `invited.${k.b.marker}@example.com`, 'invited', 'uninvit')
const slug = text(k => k.slug, 'company', 'kompany')
const fee: Guess = k => ({ right: String(k.b.fee), wrong: String(k.b.fee - 1) })
const id =
  (is: (k: Knowledge) => string): Guess =>
  k => ({ right: is(k), wrong: randomUUID() })
const show = id(k => k.b.show)
const venue = id(k => k.b.venue)
const organization = id(k => k.b.organization)
const user = id(k => k.b.owner.id)

const explain = 'explain (analyze, timing off, summary off, buffers off)'
const onlyScans = () =>
  'set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off'
const onlyIndexes = () => 'set enable_seqscan = off; set enable_bitmapscan = off'
const undo = () => 'rollback'
// Counters that are still unreported would be included, so have them reported first.
const freshCounters = [
  () => 'select pg_stat_force_next_flush()',
  undo,
  (_: string, k: Knowledge) => `begin; select app.enter(${q(k.secret)}, ${q(k.a.organization)})`,
]
const counters = () => `select relname, seq_tup_read, idx_scan, idx_tup_fetch from pg_stat_xact_all_tables
  where relname in ('shows', 'users', 'organizations', 'memberships') order by 1`

const ask = (name: string, guess: Guess, ...steps: ((guess: string, k: Knowledge) => string)[]): Attack => ({
  name,
  steps: (k, g) => steps.map(step => step(g, k)),
  expects: { guess },
})
const mails = ['app_private.mails', 'app_private.email_tokens']

/**
 * Questions answered without a row: by an estimate, a count, an error, a lock. Each is asked with a right guess
 * and a wrong one, and must get the same answer.
 */
export const oracles: Attack[] = [
  // The planner estimates from what ANALYZE saw in all organizations.
  ask('the estimate for a title', title, g => `explain select from app.shows where title = ${q(g)}`),
  ask(
    'the estimate for the beginning of a title',
    beginning,
    g => `explain select from app.shows where title > ${q(g)} and title < ${q(`${g}~`)}`,
  ),
  ask('the estimate for notes', notes, g => `explain select from app.shows where notes = ${q(g)}`),
  ask('the estimate for a fee', fee, g => `explain select from app.show_fees where fee_minor = ${g}`),
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
    g => `explain select from app.shows where title || ' ' || artist > ${q(g)}`,
  ),
  // Whether the policy was ever evaluated reveals whether any row met the condition before it.
  ask(
    'what is executed for a title',
    title,
    onlyScans,
    g => `${explain} select from app.shows where title = any (array[${q(g)}])`,
  ),
  ask(
    'what is executed for the beginning of a title',
    beginning,
    onlyScans,
    g =>
      `${explain} select from app.shows where title > any (array[${q(g)}]) and title < any (array[${q(`${g}~`)}])`,
  ),
  ask(
    'what is executed for a fee',
    fee,
    onlyScans,
    g => `${explain} select from app.show_fees where fee_minor = any (array[${g}])`,
  ),
  ask('what is executed for the notes of one row', notes, onlyScans, g =>
    Array.from(
      { length: 9 },
      (_, i) =>
        `${explain} select from app.shows where ctid = '(0,${i + 1})' and notes = any (array[${q(g)}])`,
    ).join(';'),
  ),
  ask(
    'what is executed for a title, if operators cost nothing',
    title,
    () => 'set cpu_operator_cost = 0',
    onlyScans,
    g => `${explain} select from app.shows where title = ${q(g)}`,
  ),
  ask(
    'what is executed for an address',
    email,
    onlyScans,
    g => `${explain} select from app.users where email = any (array[${q(g)}])`,
  ),
  ask(
    'what is executed for a slug',
    slug,
    onlyScans,
    g => `${explain} select from app.organizations where slug = any (array[${q(g)}])`,
  ),
  ask(
    'what is executed for a joined title',
    title,
    onlyScans,
    g => `${explain} select from (values (${q(g)})) v(t), app.shows s where s.title = v.t`,
  ),
  ask(
    'what is executed for an invited address',
    invited,
    onlyScans,
    g => `${explain} select id from app.invitations where email = any (array[${q(g)}])`,
  ),
  // EXPLAIN counts the rows that an index found and the policy removed.
  ask(
    'what an index finds for an address',
    email,
    onlyIndexes,
    g => `${explain} select from app.users where email = ${q(g)}`,
  ),
  ask(
    'what an index finds for an address, as it is indexed',
    email,
    onlyIndexes,
    g => `${explain} select from app.users where lower(email) = ${q(g)}`,
  ),
  ask(
    'what an index finds for a slug',
    slug,
    onlyIndexes,
    g => `${explain} select from app.organizations where slug >= ${q(g)} and slug <= ${q(g)}`,
  ),
  ask(
    'what an index finds for a title of the organization',
    title,
    onlyIndexes,
    (g, k) =>
      `${explain} select from app.shows where organization_id >= ${q(k.b.organization)} and organization_id <= ${q(k.b.organization)} and title = ${q(g)}`,
  ),
  ask(
    'what an index finds for a show',
    show,
    onlyIndexes,
    g => `${explain} select from app.shows where id = ${q(g)}`,
  ),
  ask(
    'what counters say of an address',
    email,
    ...freshCounters,
    onlyIndexes,
    g => `select count(*) from app.users where email = ${q(g)}`,
    counters,
    undo,
  ),
  ask(
    'what counters say of a title',
    title,
    ...freshCounters,
    g => `select count(*) from app.shows where title = any (array[${q(g)}])`,
    counters,
    undo,
  ),
  // Errors and answers.
  ask(
    'the error for a venue',
    venue,
    g => `insert into app.shows (title, artist, show_on, venue_id) values ('x', 'x', '2027-01-01', ${q(g)})`,
  ),
  ask('the error for a show', show, g => `select app.read_show(${q(g)})`),
  ask('the error for deleting a show', show, g => `select app.delete_row('shows', ${q(g)}, '"7"')`),
  ask('the error for restoring a show', show, g => `select app.restore_row('shows', ${q(g)})`),
  ask('the error for a member', user, g => `select app.remove_member(${q(g)}, '"7"')`),
  ask('the error for an organization', organization, g => `select app.delete_organization(${q(g)}, '"7"')`),
  ask('the error for a token', organization, g => `select app.switch_organization(${q(g)})`),
  ask('the error when entering', organization, (g, k) => `select app.enter(${q(k.secret)}, ${q(g)})`),
  ask(
    'the error for restoring an organization',
    organization,
    g => `select app.restore_organization(${q(g)})`,
  ),
  ask('the error for a slug', slug, g => `select app.read_organization(${q(g)})`),
  {
    ...ask(
      'the answer for an address at sign-in',
      email,
      g => `select app.sign_in(${q(g)}, sha256('x'), sha256('s'), sha256('r'), '{}')`,
    ),
    mayChange: ['app.event_log'],
  },
  ask(
    'the answer for an invited address',
    invited,
    g => `select status from app.create_invitation(${q(g)}, 'viewer')`,
    undo,
  ),
  ask('the answer to a search', title, g => `select app.search_shows(${q(g)})`),
  ask(
    'the answer for the key of a request',
    k => ({ right: k.b.key, wrong: k.b.key.replace('zqv', 'zqw') }),
    g => `select * from app.claim_key(${q(g)}, sha256('x'))`,
    undo,
  ),
  ask(
    'a lock on a row that is locked',
    show,
    g => `select id from app.shows where id = ${q(g)} for update nowait`,
  ),
  {
    ...ask('the answer for a forgotten password', email, g => `select app.forget_password(${q(g)})`),
    mayChange: mails,
  },
  {
    // The plans of its statements would contain the secret and the id of the address's owner.
    ...ask(
      'the plans of functions that know an address, and mail a secret to it',
      email,
      () =>
        // For this transaction: app.enter, which is not silent, would show them their own session's hash in the next.
        'set local client_min_messages = log; set local debug_print_plan = on; set local plan_cache_mode = force_custom_plan',
      g => `select app.forget_password(${q(g)})`,
      g => `select app.password_recipe(${q(g)}) is not null`,
      g => `select app.sign_in(${q(g)}, sha256('x'), sha256('s'), sha256('r'), '{}')`,
    ),
    mayChange: [...mails, 'app.event_log'],
  },
]
