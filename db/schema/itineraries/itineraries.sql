-- Itineraries: a tour with its days. These tables hold the planners' draft (itineraries.write);
-- everybody else reads the published versions, see itinerary_versions.sql.

create table if not exists app.itineraries (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint itineraries_name_length check (app.is_line(name, 200)),
  artist text collate app.people not null constraint itineraries_artist_length check (app.is_line(artist, 200)),
  starts_on date not null constraint itineraries_starts_on_range check (app.is_day(starts_on)),
  ends_on date not null constraint itineraries_ends_on_range check (app.is_day(ends_on)),
  notes text constraint itineraries_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint itineraries_start_before_end check (starts_on <= ends_on)
);
create index if not exists itineraries_organization_id_starts_on_idx on app.itineraries (organization_id, starts_on, id) where deleted_at is null;

select app_private.tenant_table('itineraries', noun => 'itinerary', permission => 'itineraries', reads => 'itineraries.write', path => '/api/itineraries', is_exported => true);
grant insert (name, artist, starts_on, ends_on, notes), update (name, artist, starts_on, ends_on, notes) on app.itineraries to callboard_api;

comment on table app.itineraries is 'Tours being planned.';
comment on column app.itineraries.starts_on is 'First day of the tour; other days, such as rehearsals, may come before it.';

create table if not exists app.itinerary_days (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  day_on date not null constraint itinerary_days_day_on_range check (app.is_day(day_on)),
  kind text not null default 'show' constraint itinerary_days_kind_known check (kind in ('show', 'travel', 'off', 'rehearsal', 'press')),
  -- The day stays when its show is deleted, and has it again when the show is restored.
  show_id uuid,
  city text collate app.people constraint itinerary_days_city_length check (app.is_line(city, 200)),
  time_zone text not null constraint itinerary_days_time_zone_exists check (app.is_time_zone(time_zone)),
  notes text constraint itinerary_days_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint itinerary_days_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint itinerary_days_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id)
);
create unique index if not exists itinerary_days_date_taken on app.itinerary_days (organization_id, itinerary_id, day_on) where deleted_at is null;
create index if not exists itinerary_days_show_id_idx on app.itinerary_days (organization_id, show_id) where show_id is not null;

create or replace view app.itinerary_day_rows with (security_invoker = true) as
  select d.organization_id, d.version, d.deleted_at, d.deleted_by, app.body(d.as_json) as body,
    d.id, d.itinerary_id, d.day_on, d.time_zone, d.kind, d.show_id, d.city, d.notes,
    d.created_by, d.created_at, d.updated_at
  from app.itinerary_days d;

select app_private.tenant_table('itinerary_days', noun => 'itinerary_day', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/itinerary-days');
grant insert (itinerary_id, day_on, kind, show_id, city, time_zone, notes), update (day_on, kind, show_id, city, time_zone, notes) on app.itinerary_days to callboard_api;

comment on table app.itinerary_days is 'The days of itineraries.';
comment on column app.itinerary_days.time_zone is 'The time zone of all local times of the day.';
