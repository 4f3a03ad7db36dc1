import { carrier } from '../support/helper.ts'
import { type Attack, each, q } from './attack.ts'

const show = (k: { a: { marker: string } }) =>
  `insert into app.shows (title, artist, show_on) values ('Own ' || ${q(k.a.marker)}, 'x', '2027-01-01')`

/** Reading what others have done, and falsifying the event log. */
export const events: Attack[] = [
  ...each({ error: '42501' }, [
    [
      'an event made up',
      k =>
        `insert into app.event_log (organization_id, actor_id, actor_kind, action, resource_type) values (${q(k.a.organization)}, ${q(k.a.viewer.id)}, 'user', 'show.delete', 'show')`,
    ],
    [
      'an event made up in a month of its own',
      'insert into app.event_log_default select * from app.event_log',
    ],
    ['an event changed', `update app.event_log set changes = '{}'`],
    ['an event erased', 'update app.event_log set changes = null, erased_at = now()'],
    ['an event deleted', 'delete from app.event_log'],
    ['all events truncated', 'truncate app.event_log'],
    ['the default month truncated', 'truncate app.event_log_default'],
    ['a month read by its own name', 'select * from app.event_log_default'],
    ['a month detached', 'alter table app.event_log detach partition app.event_log_default'],
    ['the trigger off', 'alter table app.shows disable trigger _900_event'],
    ['the trigger for new rows off', 'alter table app.shows disable trigger _900_events'],
    ['all triggers off', 'set session_replication_role = replica'],
    ['the trigger dropped', 'drop trigger _900_event on app.shows'],
    ['the trigger for new rows dropped', 'drop trigger _900_events on app.shows'],
    ['the policy dropped', 'drop policy select_member on app.event_log'],
    ['the salts', 'select salt from app.event_log'],
    ['the seals', 'select * from app.event_seals'],
    ['a seal made up', `insert into app.event_seals (organization_id, seq) values (gen_random_uuid(), 1)`],
    ['a seal changed', `update app.event_seals set hash = ''`],
    ['a seal deleted', 'delete from app.event_seals'],
    ['all seals truncated', 'truncate app.event_seals'],
    ['the sealer set back', `update app_private.sealing set sealed_until = now()`],
    [
      'the function that writes events',
      k => `select app_private.log_event(${q(k.b.organization)}, 'show.delete', 'show', ${q(k.b.show)})`,
    ],
    ['the function that erases', k => `select app_private.erase_events(${q(k.b.owner.id)})`],
    ['the sealer', 'select app.seal_events()'],
    ['the purge', 'select app.purge_events()'],
    ['the function that creates months', 'select app.maintain_event_partitions()'],
    ["the verification of another's log", k => `select app.verify_events(${q(k.b.organization)})`],
    ['the list of audited organizations', 'select app.audited_organizations()'],
  ]),
  // The row may be written, but its event must say by whom: otherwise there is no row either. Of a guarded context it
  // says what is true, see events.test.ts.
  ...each(carrier === 'guarded' ? 'own' : { error: '42501' }, [
    [
      'a change under a request id of their own choice',
      `select set_config('app.request_id', 'somebody-elses', true)`,
      k => `${show(k)} returning title`,
    ],
    [
      'a change from an address of their own choice',
      `select set_config('app.ip', '192.0.2.99', true)`,
      k => `${show(k)} returning title`,
    ],
    [
      'a change as a colleague',
      k => `select set_config('app.user_id', ${q(k.a.viewer.id)}, true)`,
      k => `${show(k)} returning title`,
    ],
  ]),
  ...each(carrier === 'guarded' ? 'own' : { error: 'PT403' }, [
    [
      'a change that throws its context away before it is logged',
      k => `${show(k)} returning title, set_config('app.signature', '', true)`,
    ],
    [
      'a change that becomes a colleague before it is logged',
      k => `${show(k)} returning title, set_config('app.user_id', ${q(k.a.viewer.id)}, true)`,
    ],
  ]),
  ...each({ error: 'PT403' }, [
    [
      'many rows, the last of which throws their context away',
      k => `
        insert into app.shows (title, artist, show_on) select 'Own ' || ${q(k.a.marker)}, 'x', date '2027-01-01' + n from generate_series(1, 50) as n
        returning case when show_on = '2027-02-20' then app.introduce('some-request', '192.0.2.99')::text end`,
    ],
    [
      'a change that becomes nobody before it is logged',
      k => `${show(k)} returning app.introduce('some-request', '192.0.2.99')::text`,
    ],
    [
      'an UPDATE that leaves its organization before it is logged',
      k => `update app.venues set name = name || 'x' returning app.enter(${q(k.secret)})::text`,
    ],
  ]),
  ...each({ error: 'PT404' }, [["another's event by its id", k => `select app.read_event(${q(k.b.event)})`]]),
  ...each({ error: 'PT400' }, [
    ['something else logged as a read', `select app.log_reading('show.delete')`],
    [
      'a read with an oversized payload',
      `select app.log_reading('audit.read', null, jsonb_build_object('x', repeat('x', 3000)))`,
    ],
  ]),
  ...each('nothing', [
    ["another's events", k => `select id from app.event_log where organization_id = ${q(k.b.organization)}`],
    ["another's event in the list", k => `select * from app.event_rows where id = ${q(k.b.event)}`],
    [
      'events of nobody',
      `select id from app.event_log where organization_id = '00000000-0000-0000-0000-000000000000'`,
    ],
  ]),
  ...each('own', [['all events', 'select changes from app.readable_events']]),
  ...each({ error: '42501' }, [['changes past the view', 'select changes from app.event_log']]),
]
