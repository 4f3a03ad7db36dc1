-- What happens on the days of an itinerary, hour by hour.

create table if not exists app.schedule_items (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  -- The day's, set by a trigger.
  itinerary_id uuid not null,
  day_id uuid not null,
  kind text not null default 'other' constraint schedule_items_kind_known check (
    kind in ('load_in', 'soundcheck', 'doors', 'performance', 'load_out', 'lobby_call', 'press', 'rehearsal', 'meal', 'meeting', 'other')),
  title text collate app.people not null constraint schedule_items_title_length check (app.is_line(title, 200)),
  certainty text not null default 'exact' constraint schedule_items_certainty_known check (
    certainty in ('exact', 'approximate', 'to_be_determined', 'hidden')),
  start_time time(0),
  starts_next_day boolean not null default false,
  end_time time(0),
  ends_next_day boolean not null default false,
  is_confirmed boolean not null default false,
  show_id uuid,
  location text collate app.people constraint schedule_items_location_length check (app.is_line(location, 200)),
  -- The groups it is for; everybody if empty.
  group_ids uuid[] not null default '{}',
  notes text constraint schedule_items_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint schedule_items_day_exists foreign key (organization_id, day_id)
    references app.itinerary_days (organization_id, id) on delete cascade,
  constraint schedule_items_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint schedule_items_time_as_certain check ((certainty = 'to_be_determined') = (start_time is null)),
  constraint schedule_items_next_day_with_time check ((start_time is not null or not starts_next_day) and (end_time is not null or not ends_next_day)),
  constraint schedule_items_start_before_end check (
    end_time is null or start_time is not null and (starts_next_day, start_time) <= (ends_next_day, end_time))
);
create index if not exists schedule_items_day_id_idx on app.schedule_items (organization_id, day_id, start_time, id) where deleted_at is null;
create index if not exists schedule_items_itinerary_id_idx on app.schedule_items (organization_id, itinerary_id, id) where deleted_at is null;
create index if not exists schedule_items_show_id_idx on app.schedule_items (organization_id, show_id) where show_id is not null;

create or replace view app.schedule_item_rows with (security_invoker = true) as
  select i.organization_id, i.version, i.deleted_at, i.deleted_by, app.body(i.as_json, row_to_json(j)) as body,
    -- Items without a time come first on their day.
    app.instant(d.day_on + i.starts_next_day::integer + coalesce(i.start_time, '00:00'), d.time_zone) as sort_at,
    i.id, i.day_id, i.title, i.kind, i.certainty, to_char(i.start_time, 'HH24:MI') as start_time, i.starts_next_day, to_char(i.end_time, 'HH24:MI') as end_time, i.ends_next_day, i.is_confirmed, i.show_id, i.location, i.group_ids, i.notes,
    i.itinerary_id, i.created_by, i.created_at, i.updated_at, j.*
  from app.schedule_items i
  join app.itinerary_days d on d.organization_id = i.organization_id and d.id = i.day_id
  cross join lateral (
    select d.day_on, d.time_zone, app.instant(d.day_on + i.starts_next_day::integer + i.start_time, d.time_zone) as starts_at,
      app.instant(d.day_on + i.ends_next_day::integer + i.end_time, d.time_zone) as ends_at) j;

select app_private.tenant_table('schedule_items', noun => 'schedule_item', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/schedule-items');
grant insert (day_id, kind, title, certainty, start_time, starts_next_day, end_time, ends_next_day, is_confirmed, show_id, location, group_ids, notes), update (day_id, kind, title, certainty, start_time, starts_next_day, end_time, ends_next_day, is_confirmed, show_id, location, group_ids, notes) on app.schedule_items to callboard_api;

comment on table app.schedule_items is 'What happens on a day: load-in, soundcheck, lobby call …';
comment on column app.schedule_items.starts_next_day is 'It belongs to this day and starts after midnight, like a load-out at 01:00.';
comment on column app.schedule_items.certainty is 'exact, approximate, to_be_determined (no time yet), or hidden (there is one, but only planners see it).';

create or replace function app_private.tg_schedule_items__250_itinerary() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  itinerary uuid := (select d.itinerary_id from app.itinerary_days d where d.organization_id = new.organization_id and d.id = new.day_id);
begin
  if tg_op = 'UPDATE' and itinerary is distinct from old.itinerary_id then
    perform app.refuse(409, 'schedule_items_day_exists', 'The itinerary has no such day.');
  end if;
  new.itinerary_id := itinerary;
  return new;
end
$$;
comment on function app_private.tg_schedule_items__250_itinerary() is 'Sets an item''s itinerary. PT409 schedule_items_day_exists for a day of another itinerary.';
alter function app_private.tg_schedule_items__250_itinerary() owner to callboard_definer;

create or replace trigger _250_itinerary before insert or update of day_id on app.schedule_items
  for each row execute function app_private.tg_schedule_items__250_itinerary();
create or replace trigger _400_listed before insert or update of group_ids on app.schedule_items
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');
