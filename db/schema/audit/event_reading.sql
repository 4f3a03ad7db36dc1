-- How members read their organization's events; reading is itself an event.

-- Each permission is asked for once. A context that only reads counts permissions to write for what their holders see.
create or replace view app_private.hidden_nouns as
  select n.noun from app_private.event_nouns n
  where array[n.permission, n.besides] && array(
    select d.permission from (
      select distinct p.permission from app_private.event_nouns x cross join lateral (values (x.permission), (x.besides)) p (permission)
      where p.permission is not null offset 0) d
    where app.org_if_reading(d.permission) is null);
comment on view app_private.hidden_nouns is
  'The resource_types of events whose changes the member may not see, because they may not read the tables that these are about.';
grant select on app_private.hidden_nouns to callboard_reader;

-- Members have no grant on changes: a reader of the event log need not be one of everything that is logged. This view
-- reads them with the grant of callboard_reader, under the same policy as the members' own. The owner of the tables would
-- not do: it is a member of the definer, whose policies show all organizations. It is no security barrier, which would
-- sort all events for a page; nothing precedes the policy, and the changes are nowhere but in the CASE. OFFSET has
-- what is hidden asked once for a page, not once for each column.
create or replace view app.readable_events as
  select e.organization_id, e.id, e.occurred_at, e.actor_kind, e.actor_id, e.action, e.resource_type, e.resource_id,
    case when not h.is_hidden then e.changes end as changes, h.is_hidden and e.changes is not null as changes_hidden,
    e.request_id, e.ip, e.session_id, e.erased_at
  from app.event_log e
  cross join lateral (select e.resource_type = any (array(select n.noun from app_private.hidden_nouns n)) as is_hidden offset 0) h;
comment on view app.readable_events is
  'The organization''s events, each with its changes if the member may read what it is about. Reads as callboard_reader, for which event_log has the policy of members.';
alter view app.readable_events owner to callboard_reader;
grant select on app.readable_events to callboard_api, callboard_exporter;

create or replace view app.event_rows with (security_invoker = true) as
  select e.organization_id, row_to_json(j)::text as body, j.*
  from app.readable_events e
  left join app.users u on u.id = e.actor_id
  cross join lateral (
    select e.id, e.occurred_at, e.actor_kind, e.actor_id, u.display_name as actor_name, e.action, e.resource_type, e.resource_id, e.changes, e.changes_hidden,
      e.request_id, host(e.ip) as ip, e.session_id, e.erased_at) j;
comment on view app.event_rows is 'The organization''s events; the actor''s name only while they are a colleague.';
grant select on app.event_rows to callboard_api, callboard_exporter;

create or replace function app.read_event(event uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('audit.read');
  answer app.answer;
begin
  select null, l.body::json, null, null into answer from app.event_rows l
  where l.organization_id = organization and l.id = event
    -- The id contains the rounded time, so search a small range around it.
    and l.occurred_at between app.event_time(event) - interval '2 milliseconds' and app.event_time(event) + interval '2 milliseconds';
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_event(uuid) is 'An event. PT403 without audit.read, PT404.';
grant execute on function app.read_event(uuid) to callboard_api;

create or replace function app.verify_own_events(after_seq bigint, at_most bigint) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (null, app.verify_events(app.require('audit.read'), null, null, after_seq, at_most), null, null)::app.answer;
end
$$;
comment on function app.verify_own_events(bigint, bigint) is 'app.verify_events for the organization of the token. PT403 without audit.read.';
alter function app.verify_own_events(bigint, bigint) owner to callboard_definer;
grant execute on function app.verify_own_events(bigint, bigint) to callboard_api;

create or replace function app.log_reading(what text, of_event uuid default null, filters jsonb default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('audit.read');
  given jsonb := nullif(jsonb_strip_nulls(filters), '{}');
begin
  if what not in ('audit.read', 'audit.verify') or length(given::text) > 2000 then
    perform app.refuse(400, 'invalid_value', 'Not an action on the event log.');
  end if;
  perform app_private.log_event(organization, what, 'event', of_event,
    case when given is not null then jsonb_build_object('new', given) end);
end
$$;
comment on function app.log_reading(text, uuid, jsonb) is
  'Logs that somebody reads the event log (audit.read, with the filters) or verifies it (audit.verify). PT403 without audit.read.';
alter function app.log_reading(text, uuid, jsonb) owner to callboard_definer;
grant execute on function app.log_reading(text, uuid, jsonb) to callboard_api;
