-- What people do in a program that uses the API: pages they look at and things they click, as the
-- program tells (POST /api/events). What they change is in the event log, and not here a second time.
--
-- One table instead of one a month: it keeps 90 days, and an id that a program sends again is found
-- wherever it is.

create table if not exists app.client_events (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  user_id uuid not null references app.users (id) on delete cascade,
  -- Made by the program. In the key behind its member, so that it tells nobody else what exists.
  id uuid not null,
  kind text not null constraint client_events_kind_known check (kind in ('page_view', 'action')),
  name text not null constraint client_events_name_format check (name ~ '^[a-z0-9_]+([./-][a-z0-9_]+)*$' and length(name) <= 100),
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  properties jsonb not null default '{}',
  primary key (organization_id, user_id, id),
  constraint client_events_properties_flat check (
    jsonb_typeof(properties) = 'object' and not properties @? 'strict $.* ? (@.type() == "object" || @.type() == "array")'
    and length(properties::text) <= 10000)
);
create index if not exists client_events_organization_id_received_at_idx on app.client_events (organization_id, received_at);
select app_private.hide_statistics('app.client_events');

select app_private.force_rls('app.client_events');

-- Nobody reads single ones: analytics has their numbers.
select app_private.set_policy('app.client_events', 'select_rollup', 'callboard_rollup', 'true');
drop policy if exists insert_definer on app.client_events;
create policy insert_definer on app.client_events for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- It says how fresh the numbers are, and purges, which has no context and takes only what is old.
select app_private.set_policy('app.client_events', 'select_definer', 'callboard_definer', 'true');
drop policy if exists purge_definer on app.client_events;
create policy purge_definer on app.client_events for delete to callboard_definer
  using ((select app.current_org()) is null and received_at < now() - interval '90 days');

grant select on app.client_events to callboard_rollup;
grant select (organization_id, received_at), insert (organization_id, user_id, id, kind, name, occurred_at, properties), delete
  on app.client_events to callboard_definer;

comment on table app.client_events is 'Page views and actions that programs tell of their users.';
comment on column app.client_events.name is 'Of the page or action, such as shows/detail or calendar.print.';
comment on column app.client_events.occurred_at is 'By the program''s clock, but never later than it was received.';

create or replace function app.record_client_events(events jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.current_org();
  me uuid := app.current_user_id();
  -- Given, of these in time, of these new.
  n bigint[];
begin
  if organization is null then
    perform app.refuse(401, 'session_unknown');
  elsif current_setting('app.role') = 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'Client events are for members.');
  elsif jsonb_array_length(events) > 100 then
    perform app.refuse(400, 'invalid_value', 'There are more than 100 events.');
  end if;
  with e as (
    select x.id, x.kind, x.name, coalesce(x.occurred_at, now()) as occurred_at, coalesce(x.properties, '{}') as properties
    from jsonb_to_recordset(events) as x (id uuid, kind text, name text, occurred_at timestamptz, properties jsonb)
  ), t as (
    -- A clock may be a little fast.
    select * from e where e.occurred_at between now() - interval '7 days' and now() + interval '5 minutes'
  ), i as (
    insert into app.client_events (organization_id, user_id, id, kind, name, occurred_at, properties)
    select organization, me, t.id, t.kind, t.name, least(t.occurred_at, now()), t.properties from t
    on conflict do nothing
    returning 1
  )
  select array[(select count(*) from e), (select count(*) from t), (select count(*) from i)] into n;
  return (202, json_build_object('accepted', n[3], 'repeated', n[2] - n[3], 'out_of_time', n[1] - n[2]), null, null)::app.answer;
end
$$;
comment on function app.record_client_events(jsonb) is
  'Keeps up to 100 client events of the member: [{id, kind, name, occurred_at, properties}]. Says how many it has accepted, how many ids the member had sent before, and how many were older than 7 days or more than 5 minutes ahead, which are not kept. PT403 for superadmins.';
alter function app.record_client_events(jsonb) owner to callboard_definer;
grant execute on function app.record_client_events(jsonb) to callboard_api;
