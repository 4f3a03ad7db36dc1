-- How long events are kept, and how personal details are erased before that.

create table if not exists app.event_retentions (
  -- No foreign key: like the log, it outlives the organization.
  organization_id uuid primary key default app.current_org(),
  days integer not null constraint event_retentions_days_range check (days between 90 and 3650)
);
-- Without grants: app.set_event_retention writes and checks the permission.
select app_private.tenant_policies('app.event_retentions', reads => 'audit.read', inserts => 'audit.manage', updates => 'audit.manage',
  definer => 'insert, update');
grant select on app.event_retentions to callboard_api, callboard_definer;
grant insert (days), update (days) on app.event_retentions to callboard_definer;
comment on table app.event_retentions is 'The number of days an organization''s events are kept, if not 365.';

select app_private.log_changes('app.event_retentions', 'audit', '{"create": "set_retention", "update": "set_retention"}', 'organization_id');

create or replace function app.read_event_retention() returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('audit.read');
begin
  return (null, json_build_object('days', coalesce((select r.days from app.event_retentions r where r.organization_id = organization), 365)),
    null, null)::app.answer;
end
$$;
comment on function app.read_event_retention() is 'The number of days the organization''s events are kept. PT403 without audit.read.';
grant execute on function app.read_event_retention() to callboard_api, callboard_definer;

create or replace function app.set_event_retention(new_days integer) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('audit.manage');
  insert into app.event_retentions as r (days) values (new_days)
  on conflict (organization_id) do update set days = excluded.days;
  return app.read_event_retention();
end
$$;
comment on function app.set_event_retention(integer) is 'Sets the number of days the organization''s events are kept. PT403 without audit.manage.';
alter function app.set_event_retention(integer) owner to callboard_definer;
grant execute on function app.set_event_retention(integer) to callboard_api;

create or replace function app.purge_events() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid;
  before timestamptz;
  gone bigint;
  purged bigint := 0;
begin
  loop
    organization := app_private.next_logged(organization, '0001-01-01 00:00:00+00', now() - interval '90 days');
    exit when organization is null;
    continue when app_private.is_held(organization);
    before := now() - make_interval(days => coalesce((select r.days from app.event_retentions r where r.organization_id = organization), 365));
    -- Unsealed events stay: deleting them would leave no trace.
    delete from app.event_log l
    where l.organization_id = organization and l.occurred_at < before
      and exists (select from app.event_seals s where s.organization_id = organization and s.event_id = l.id);
    get diagnostics gone = row_count;
    if gone > 0 then
      perform app_private.log_event(organization, 'audit.purge', 'organization', organization,
        jsonb_build_object('new', jsonb_build_object('before', before, 'events', gone)));
      purged := purged + gone;
    end if;
  end loop;
  return purged;
end
$$;
comment on function app.purge_events() is
  'Deletes sealed events past their organization''s retention, unless a legal hold keeps them, and logs the cutoff (audit.purge); returns how many. Runs once a day, before app.maintain_event_partitions.';
alter function app.purge_events() owner to callboard_definer;
grant execute on function app.purge_events() to callboard_worker;

create or replace function app_private.erase_events(about uuid) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  erased bigint := 0;
  found_in record;
begin
  for found_in in
    with gone as (
      update app.event_log l set erased_at = now(), changes = null, request_id = null, ip = null, salt = null
      where (l.actor_id = about or l.resource_id = about) and l.erased_at is null and l.action not in ('audit.purge', 'audit.erase')
      returning l.organization_id
    )
    select g.organization_id, count(*) as events from gone g group by 1
  loop
    if app_private.is_held(found_in.organization_id) then
      perform app.refuse(409, 'legal_hold', format('Organization %s has a legal hold: none of its event details may be erased.', found_in.organization_id));
    end if;
    -- app.verify_events finds this event by its time and its subject.
    perform app_private.log_event(found_in.organization_id, 'audit.erase', 'details', about,
      jsonb_build_object('new', jsonb_build_object('events', found_in.events)));
    erased := erased + found_in.events;
  end loop;
  return erased;
end
$$;
comment on function app_private.erase_events(uuid) is
  'Erases the changes, request id and address of all events that a user caused, or that are about the user or object with this id; the rest stays verifiable. Logs audit.erase in each organization; returns how many. PT409 legal_hold if one of the organizations has one: then nothing is erased.';
alter function app_private.erase_events(uuid) owner to callboard_definer;
