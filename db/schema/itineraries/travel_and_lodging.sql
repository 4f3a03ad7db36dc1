-- How a party travels and where it stays.

create table if not exists app.travel_segments (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  mode text not null constraint travel_segments_mode_known check (mode in ('air', 'rail', 'ground', 'sea')),
  carrier text collate app.people constraint travel_segments_carrier_length check (app.is_line(carrier, 200)),
  number text constraint travel_segments_number_length check (app.is_line(number, 200)),
  from_place text collate app.people not null constraint travel_segments_from_place_length check (app.is_line(from_place, 200)),
  departs_on date not null constraint travel_segments_departs_on_range check (app.is_day(departs_on)),
  departs_time time(0) not null,
  from_time_zone text not null constraint travel_segments_from_time_zone_exists check (app.is_time_zone(from_time_zone)),
  to_place text collate app.people not null constraint travel_segments_to_place_length check (app.is_line(to_place, 200)),
  arrives_on date not null constraint travel_segments_arrives_on_range check (app.is_day(arrives_on)),
  arrives_time time(0) not null,
  to_time_zone text not null constraint travel_segments_to_time_zone_exists check (app.is_time_zone(to_time_zone)),
  confirmation_number text constraint travel_segments_confirmation_number_length check (app.is_line(confirmation_number, 200)),
  is_confirmed boolean not null default false,
  passenger_ids uuid[] not null default '{}',
  group_ids uuid[] not null default '{}',
  notes text constraint travel_segments_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint travel_segments_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);
create index if not exists travel_segments_itinerary_id_idx on app.travel_segments (organization_id, itinerary_id, departs_on, id) where deleted_at is null;

create or replace view app.travel_segment_rows with (security_invoker = true) as
  select s.organization_id, s.version, s.deleted_at, s.deleted_by, app.body(s.as_json, row_to_json(j)) as body,
    s.id, s.itinerary_id, s.mode, s.from_place, s.departs_on, to_char(s.departs_time, 'HH24:MI') as departs_time, s.from_time_zone, s.to_place, s.arrives_on, to_char(s.arrives_time, 'HH24:MI') as arrives_time, s.to_time_zone, s.carrier, s.number, s.confirmation_number, s.is_confirmed, s.passenger_ids, s.group_ids, s.notes,
    s.created_by, s.created_at, s.updated_at, j.*
  from app.travel_segments s,
    lateral (select app.instant(s.departs_on + s.departs_time, s.from_time_zone) as departs_at,
      app.instant(s.arrives_on + s.arrives_time, s.to_time_zone) as arrives_at) t,
    lateral (select t.*, (extract(epoch from t.arrives_at - t.departs_at) / 60)::integer as duration_minutes) j;

select app_private.tenant_table('travel_segments', noun => 'travel_segment', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/travel-segments');
grant insert (itinerary_id, mode, carrier, number, from_place, departs_on, departs_time, from_time_zone, to_place, arrives_on, arrives_time, to_time_zone, confirmation_number, is_confirmed, passenger_ids, group_ids, notes), update (mode, carrier, number, from_place, departs_on, departs_time, from_time_zone, to_place, arrives_on, arrives_time, to_time_zone, confirmation_number, is_confirmed, passenger_ids, group_ids, notes) on app.travel_segments to callboard_api;

comment on table app.travel_segments is 'Flights, trains, drives and ships, with departure and arrival each in its own time zone.';

-- Not a check constraint, because the instant of a local time depends on the time zone database.
create or replace function app_private.tg_travel_segments__200_order() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if app.instant(new.arrives_on + new.arrives_time, new.to_time_zone) < app.instant(new.departs_on + new.departs_time, new.from_time_zone) then
    perform app.refuse(422, 'travel_segments_departure_before_arrival', 'It would arrive before it departs.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_travel_segments__200_order() is 'PT422 travel_segments_departure_before_arrival.';

create or replace trigger _200_order before insert or update of departs_on, departs_time, from_time_zone, arrives_on, arrives_time, to_time_zone on app.travel_segments
  for each row when (app.is_time_zone(new.from_time_zone) and app.is_time_zone(new.to_time_zone))
  execute function app_private.tg_travel_segments__200_order();
create or replace trigger _400_listed before insert or update of passenger_ids, group_ids on app.travel_segments
  for each row execute function app_private.tg__400_listed('passenger_ids', 'app.party_members', 'group_ids', 'app.party_groups');

create table if not exists app.lodgings (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text collate app.people not null constraint lodgings_name_length check (app.is_line(name, 200)),
  address text constraint lodgings_address_length check (length(address) <= 1000),
  check_in_on date not null constraint lodgings_check_in_on_range check (app.is_day(check_in_on)),
  check_out_on date not null constraint lodgings_check_out_on_range check (app.is_day(check_out_on)),
  confirmation_number text constraint lodgings_confirmation_number_length check (app.is_line(confirmation_number, 200)),
  group_ids uuid[] not null default '{}',
  notes text constraint lodgings_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint lodgings_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint lodgings_in_before_out check (check_in_on < check_out_on)
);
create index if not exists lodgings_itinerary_id_idx on app.lodgings (organization_id, itinerary_id, check_in_on, id) where deleted_at is null;

create or replace view app.lodging_rows with (security_invoker = true) as
  select l.organization_id, l.version, l.deleted_at, l.deleted_by, app.body(l.as_json) as body,
    l.id, l.itinerary_id, l.name, l.check_in_on, l.check_out_on, l.address, l.confirmation_number, l.group_ids, l.notes,
    l.created_by, l.created_at, l.updated_at
  from app.lodgings l;

select app_private.tenant_table('lodgings', noun => 'lodging', permission => 'itineraries', reads => 'itineraries.write', path => '/api/lodgings');
grant insert (itinerary_id, name, address, check_in_on, check_out_on, confirmation_number, group_ids, notes), update (name, address, check_in_on, check_out_on, confirmation_number, group_ids, notes) on app.lodgings to callboard_api;

comment on table app.lodgings is 'Where a party stays.';
create or replace trigger _400_listed before insert or update of group_ids on app.lodgings
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');

create table if not exists app.lodging_rooms (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  -- The lodging's, set by a trigger.
  itinerary_id uuid not null,
  lodging_id uuid not null,
  name text collate app.people not null constraint lodging_rooms_name_length check (app.is_line(name, 200)),
  occupant_ids uuid[] not null default '{}',
  confirmation_number text constraint lodging_rooms_confirmation_number_length check (app.is_line(confirmation_number, 200)),
  notes text constraint lodging_rooms_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint lodging_rooms_lodging_exists foreign key (organization_id, lodging_id)
    references app.lodgings (organization_id, id) on delete cascade
);
create index if not exists lodging_rooms_lodging_id_idx on app.lodging_rooms (organization_id, lodging_id, id) where deleted_at is null;

create or replace view app.lodging_room_rows with (security_invoker = true) as
  select r.organization_id, r.version, r.deleted_at, r.deleted_by, app.body(r.as_json) as body,
    r.id, r.lodging_id, r.name, r.occupant_ids, r.confirmation_number, r.notes, r.itinerary_id,
    r.created_by, r.created_at, r.updated_at
  from app.lodging_rooms r;

select app_private.tenant_table('lodging_rooms', noun => 'lodging_room', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/lodging-rooms');
grant insert (lodging_id, name, occupant_ids, confirmation_number, notes), update (name, occupant_ids, confirmation_number, notes) on app.lodging_rooms to callboard_api;

comment on table app.lodging_rooms is 'Rooms and their occupants, visible to everybody who may see the lodging.';

create or replace function app_private.tg_lodging_rooms__250_itinerary() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  new.itinerary_id := (select l.itinerary_id from app.lodgings l where l.organization_id = new.organization_id and l.id = new.lodging_id);
  return new;
end
$$;
comment on function app_private.tg_lodging_rooms__250_itinerary() is 'Sets a room''s itinerary.';
alter function app_private.tg_lodging_rooms__250_itinerary() owner to callboard_definer;

create or replace trigger _250_itinerary before insert on app.lodging_rooms
  for each row execute function app_private.tg_lodging_rooms__250_itinerary();
create or replace trigger _400_listed before insert or update of occupant_ids on app.lodging_rooms
  for each row execute function app_private.tg__400_listed('occupant_ids', 'app.party_members');
