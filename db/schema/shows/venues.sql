-- Where shows take place. A venue gives its shows their time zone.

create table if not exists app.venues (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint venues_name_length check (app.is_line(name, 200)),
  city text collate app.people not null constraint venues_city_length check (app.is_line(city, 200)),
  country char(2) not null constraint venues_country_format check (country ~ '^[A-Z]{2}$')
    constraint venues_country_exists references app.countries (code),
  time_zone text not null constraint venues_time_zone_exists check (app.is_time_zone(time_zone)),
  capacity integer constraint venues_capacity_positive check (capacity > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  show_json text not null generated always as (
    ',"venue_name":' || app.json_string(name) || ',"venue_city":' || app.json_string(city) || ',"time_zone":' || app.json_string(time_zone)) stored,
  primary key (organization_id, id)
);
create index if not exists venues_organization_id_name_idx on app.venues (organization_id, name, id) where deleted_at is null;
-- Imports find venues by name and city: see app_private.check_show_lines.
create index if not exists venues_organization_id_lower_name_idx on app.venues (organization_id, lower(name), lower(city)) where deleted_at is null;
alter index app.venues_organization_id_lower_name_idx alter column 2 set statistics 0, alter column 3 set statistics 0;

create or replace view app.venue_rows with (security_invoker = true) as
  select v.organization_id, v.version, v.deleted_at, v.deleted_by, app.body(v.as_json) as body,
    v.id, v.name, v.city, v.country, v.time_zone, v.capacity,
    v.created_at, v.updated_at
  from app.venues v;

select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues', is_exported => true);
grant insert (name, city, country, time_zone, capacity), update (name, city, country, time_zone, capacity) on app.venues to callboard_api;

comment on table app.venues is 'Where shows take place, with the time zone of their local times.';
comment on column app.venues.show_json is 'The fields of a show that come from its venue, as app.show_rows adds them.';
comment on column app.venues.country is 'ISO 3166-1 alpha-2 code.';
