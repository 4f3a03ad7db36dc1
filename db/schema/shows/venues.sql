-- Where shows happen. A venue gives its shows their time zone.

create table if not exists app.venues (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint venues_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  city text collate app.people not null constraint venues_city_length check (length(city) between 1 and 200 and city !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(city) <> ''),
  country char(2) not null constraint venues_country_format check (country ~ '^[A-Z]{2}$'),
  time_zone text not null constraint venues_time_zone_exists check (app.is_time_zone(time_zone)),
  capacity integer constraint venues_capacity_positive check (capacity > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id)
);
create index if not exists venues_organization_id_name_idx on app.venues (organization_id, name, id) where deleted_at is null;

select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues', is_exported => true);
grant insert (name, city, country, time_zone, capacity), update (name, city, country, time_zone, capacity) on app.venues to callboard_api;

comment on table app.venues is 'Places where shows happen, with the time zone that a show''s local times are in.';
comment on column app.venues.country is 'ISO 3166-1 alpha-2 code.';

create or replace view app.venue_list with (security_invoker = true) as
  select v.organization_id, v.id, v.name, v.city, v.country, v.created_at, v.version,
    json_build_object('id', v.id, 'name', v.name, 'city', v.city, 'country', v.country, 'time_zone', v.time_zone,
      'capacity', v.capacity, 'created_at', v.created_at, 'updated_at', v.updated_at) as body,
    v.deleted_at, v.deleted_by
  from app.venues v;
comment on view app.venue_list is 'The organization''s venues with their JSON, also those in the bin, which have deleted_at.';
grant select on app.venue_list to callboard_api, callboard_definer;

create or replace function app.read_venue(venue uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, v.body, app.etag(v.version), '/api/venues/' || v.id into answer from app.venue_list v
  where v.organization_id = (select app.current_org()) and v.id = venue and v.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_venue(uuid) is 'A venue. PT404.';
grant execute on function app.read_venue(uuid) to callboard_api, callboard_definer;

create or replace function app.create_venue(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  given app.venues := jsonb_populate_record(null::app.venues, body);
  answer app.answer;
begin
  insert into app.venues (name, city, country, time_zone, capacity)
  values (given.name, given.city, given.country, given.time_zone, given.capacity) returning id into given.id;
  answer := app.read_venue(given.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_venue(jsonb) is 'A new venue. PT403 without shows.write.';
grant execute on function app.create_venue(jsonb) to callboard_api;

create or replace function app.write_venue(venue uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present app.venues;
begin
  select * into present from app.venues v
  where v.organization_id = (select app.current_org()) and v.id = venue and v.deleted_at is null;
  perform app.check_version(present.version, if_match);
  perform app.require('shows.write');
  -- Now that it may be locked, look again.
  select * into present from app.venues v
  where v.organization_id = (select app.current_org()) and v.id = venue and v.deleted_at is null for no key update;
  perform app.check_version(present.version, if_match);
  present := jsonb_populate_record(case when replaces then null::app.venues else present end, body);
  update app.venues v
  set (name, city, country, time_zone, capacity) = row (present.name, present.city, present.country, present.time_zone, present.capacity)
  where v.organization_id = (select app.current_org()) and v.id = venue;
  return app.read_venue(venue);
end
$$;
comment on function app.write_venue(uuid, jsonb, boolean, text) is
  'Changes a venue: the columns in the body or, with replaces, all of them (absent ones become null). PT403, PT404, PT412.';
grant execute on function app.write_venue(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_venue(venue uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.venues', venue, if_match);
end
$$;
comment on function app.delete_venue(uuid, text) is 'Deletes a venue that no show uses. PT403, PT404, PT409 shows_venue_exists, PT412.';
alter function app.delete_venue(uuid, text) owner to callboard_definer;
grant execute on function app.delete_venue(uuid, text) to callboard_api;

create or replace function app.restore_venue(venue uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.venues', venue);
  return app.read_venue(venue);
end
$$;
comment on function app.restore_venue(uuid) is 'Brings a deleted venue back. PT403, PT404.';
alter function app.restore_venue(uuid) owner to callboard_definer;
grant execute on function app.restore_venue(uuid) to callboard_api;
