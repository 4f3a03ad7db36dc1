-- How members read their organization's events; reading is an event as well.

create or replace view app.event_list with (security_invoker = true) as
  select e.organization_id, e.id, e.occurred_at, e.actor_id, e.action, e.resource_type, e.resource_id,
    json_build_object('id', e.id, 'occurred_at', e.occurred_at, 'actor_kind', e.actor_kind, 'actor_id', e.actor_id, 'actor_name', u.display_name,
      'action', e.action, 'resource_type', e.resource_type, 'resource_id', e.resource_id, 'changes', e.changes,
      'request_id', e.request_id, 'ip', host(e.ip), 'session_id', e.session_id, 'erased_at', e.erased_at) as body
  from app.event_log e
  left join app.users u on u.id = e.actor_id;
comment on view app.event_list is 'The organization''s events, with their JSON; the actor''s name only while they are a colleague.';
grant select on app.event_list to callboard_api;

create or replace function app.read_event(event uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('audit.read');
  answer app.answer;
begin
  select null, l.body, null, null into answer from app.event_list l
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
    perform app.refuse(400, 'invalid_value', 'This is no reading of the event log.');
  end if;
  perform app_private.log_event(organization, what, 'event', of_event,
    case when given is not null then jsonb_build_object('new', given) end);
end
$$;
comment on function app.log_reading(text, uuid, jsonb) is
  'Logs that somebody reads the event log (audit.read, with the filters) or verifies it (audit.verify). PT403 without audit.read.';
alter function app.log_reading(text, uuid, jsonb) owner to callboard_definer;
grant execute on function app.log_reading(text, uuid, jsonb) to callboard_api;
