-- Published versions of itineraries. Planners work on the tables; everybody else reads the part of the
-- latest version that is for them: a version is frozen, but group membership is not.

create table if not exists app.itinerary_versions (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  itinerary_id uuid not null,
  number integer not null constraint itinerary_versions_number_positive check (number > 0),
  name text collate app.people not null,
  artist text collate app.people not null,
  starts_on date not null,
  created_at timestamptz not null,
  -- The itinerary itself, as JSON and with its version; the rest is in app.itinerary_entries.
  body jsonb not null,
  version integer not null,
  note text constraint itinerary_versions_note_length check (length(note) <= 1000),
  published_by uuid default app.current_user_id() references app.users (id),
  published_at timestamptz not null default now(),
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, itinerary_id, number),
  constraint itinerary_versions_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);

create table if not exists app.itinerary_entries (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  itinerary_id uuid not null,
  number integer not null,
  id uuid not null,
  kind text not null constraint itinerary_entries_kind_known check (kind in ('day', 'item', 'segment', 'lodging')),
  day_on date,
  first_on date not null,
  last_on date not null,
  title text collate app.people not null,
  location text collate app.people,
  detail text,
  local_start timestamp(0),
  local_end timestamp(0),
  start_zone text,
  end_zone text,
  starts_at timestamptz,
  ends_at timestamptz,
  is_confirmed boolean not null,
  group_ids uuid[] not null,
  body jsonb not null,
  version integer not null,
  updated_at timestamptz not null,
  primary key (organization_id, itinerary_id, number, id),
  constraint itinerary_entries_version_exists foreign key (organization_id, itinerary_id, number)
    references app.itinerary_versions (organization_id, itinerary_id, number) on delete cascade
);
-- Without grants: only app.publish_itinerary publishes.
select app_private.tenant_policies('app.itinerary_versions', reads => 'itineraries.read', inserts => 'itineraries.write',
  definer => 'insert, update', is_exported => true);
-- An entry without groups is for everybody, one with groups is for their members, and planners see all.
-- Each of the three is evaluated once per statement.
select app_private.tenant_policies('app.itinerary_entries', reads => 'itineraries.read', inserts => 'itineraries.write', definer => 'insert',
  besides => $$(group_ids = '{}'::uuid[]) or (group_ids && (select app.own_groups())) or ((select app.org_if_reading('itineraries.write')) is not null)$$);

grant select on app.itinerary_versions, app.itinerary_entries to callboard_api, callboard_definer;
grant select on app.itinerary_versions to callboard_exporter;
grant insert (itinerary_id, number, name, artist, starts_on, created_at, body, version, note) on app.itinerary_versions to callboard_definer;
grant insert (itinerary_id, number, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at) on app.itinerary_entries to callboard_definer;

comment on table app.itinerary_versions is 'Itineraries as they were published, numbered from 1; never changed.';
comment on table app.itinerary_entries is 'The contents of published versions, as their readers see them; never changed.';
comment on column app.itinerary_entries.group_ids is 'The groups it is for; empty for everybody who may read itineraries.';
comment on column app.itinerary_entries.first_on is 'First day in local time; last_on is the last. Without local_start it is all day.';

-- Also applies to the owner. Rows are deleted only together with their itinerary, or from the bin.
create or replace function app_private.tg__050_frozen() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  marks constant text[] := array['deleted_at', 'deleted_by', 'deletion_id'];
begin
  if tg_op = 'UPDATE' and to_jsonb(new) - marks = to_jsonb(old) - marks then
    return new;
  elsif tg_op = 'DELETE' and not exists (
    select from app.itinerary_versions v
    join app.itineraries i on i.organization_id = v.organization_id and i.id = v.itinerary_id
    join app.organizations o on o.id = v.organization_id
    where v.organization_id = old.organization_id and v.itinerary_id = old.itinerary_id and v.number = old.number
      and v.deleted_at is null) then
    return old;
  end if;
  raise exception 'a published itinerary cannot be changed';
end
$$;
comment on function app_private.tg__050_frozen() is 'Allows only deletion marks, and the removal of rows that have them or of an entire itinerary.';
alter function app_private.tg__050_frozen() owner to callboard_definer;

create or replace trigger _050_frozen before update or delete on app.itinerary_versions
  for each row execute function app_private.tg__050_frozen();
create or replace trigger _050_frozen before update or delete on app.itinerary_entries
  for each row execute function app_private.tg__050_frozen();

select app_private.log_changes('app.itinerary_versions', 'itinerary', '{"create": "publish"}', 'itinerary_id');
