--! Previous: sha1:d4fa48a7e175c4c02a43c440678d86164afbf1c5
--! Hash: sha1:77b499418e9a9bd7b9cbdd8eade60d8ecaf50967
--! Message: a bin

drop function if exists app.list_roles();
--! Included helpers.sql
-- Small functions that know nothing of tenants.

create or replace function app.uuid_v7() returns uuid
language sql volatile parallel safe
set search_path = ''
return encode(
  set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid())
      placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1),
  'hex')::uuid;
comment on function app.uuid_v7() is
  'A new UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. Keys made together lie together in the index.';
revoke execute on function app.uuid_v7() from public;
grant execute on function app.uuid_v7() to callboard_api, callboard_definer;

create or replace function app_private.random_token() returns text
language sql volatile parallel safe
set search_path = ''
return replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
comment on function app_private.random_token() is
  'A secret of 64 hexadecimal digits (244 random bits) for a link in a mail.';
revoke execute on function app_private.random_token() from public;
grant execute on function app_private.random_token() to callboard_definer;

create or replace function app_private.digest(secret text) returns bytea
language sql immutable strict parallel safe
set search_path = ''
return sha256(convert_to(secret, 'UTF8'));
comment on function app_private.digest(text) is
  'What is stored of a random secret: its SHA-256. Enough for 200 random bits; never used for passwords.';
revoke execute on function app_private.digest(text) from public;
grant execute on function app_private.digest(text) to callboard_definer;

create or replace function app.is_time_zone(name text) returns boolean
language plpgsql stable strict parallel safe
set search_path = ''
as $$
begin
  -- Only names of the time zone database: PostgreSQL itself would also take 'XYZ+3' and 'Any/Thing+3'.
  return name ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT([+-]?0|\+([1-9]|1[0-2])|-([1-9]|1[0-4])))$'
    and (now() at time zone name) is not null;
exception when invalid_parameter_value then
  return false;
end
$$;
comment on function app.is_time_zone(text) is 'True for a name of the IANA time zone database, such as Europe/Berlin.';
revoke execute on function app.is_time_zone(text) from public;
grant execute on function app.is_time_zone(text) to callboard_api, callboard_definer;

create or replace function app_private.tg__100_timestamps() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := statement_timestamp();
  new.version := old.version + 1;
  return new;
end
$$;
comment on function app_private.tg__100_timestamps() is
  'Before update: moves updated_at and counts version, which is the ETag.';
revoke execute on function app_private.tg__100_timestamps() from public;

create or replace function app.refuse(status integer, problem text, detail text default null) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'PT' || status, message = problem, detail = coalesce(detail, '');
end
$$;
comment on function app.refuse(integer, text, text) is
  'Raises a problem: HTTP status, its name (see src/problems.ts, which has a sentence for each) and what more there is to say in this case.';
revoke execute on function app.refuse(integer, text, text) from public;
grant execute on function app.refuse(integer, text, text) to callboard_api, callboard_definer;

-- What a function for a route returns; the API sends `body` as it is.
do $$
begin
  if to_regtype('app.answer') is null then
    create type app.answer as (status integer, body json, etag text, location text);
  end if;
end
$$;
comment on type app.answer is
  'An HTTP answer: status (null = 200), body, the row''s version as ETag, the path of what was created.';

create or replace function app.refusal(status integer, problem text, detail text default null) returns app.answer
language sql immutable
set search_path = ''
return (status, json_build_object('problem', problem, 'detail', coalesce(detail, '')), null, null)::app.answer;
comment on function app.refusal(integer, text, text) is
  'A refusal as an answer, for one that must be committed: raising it with app.refuse would undo what was written.';
revoke execute on function app.refusal(integer, text, text) from public;
grant execute on function app.refusal(integer, text, text) to callboard_definer;

create or replace function app.etag(version integer) returns text
language sql immutable parallel safe
set search_path = ''
return '"' || version || '"';
comment on function app.etag(integer) is 'The ETag of a row version (RFC 9110, strong).';
revoke execute on function app.etag(integer) from public;
grant execute on function app.etag(integer) to callboard_api, callboard_definer;

create or replace function app.matches(version integer, if_match text) returns boolean
language sql immutable parallel safe
set search_path = ''
return if_match is null or if_match = '*'
  or app.etag(version) = any (string_to_array(replace(if_match, ' ', ''), ','));
comment on function app.matches(integer, text) is 'Whether an If-Match header (a list of ETags, * or null) allows this version.';
revoke execute on function app.matches(integer, text) from public;
grant execute on function app.matches(integer, text) to callboard_api, callboard_definer;

create or replace function app.in_bin(body json, deleted_at timestamptz, deleted_by uuid) returns json
language sql immutable parallel safe
set search_path = ''
return case when deleted_at is null then body
  else (body::jsonb || jsonb_build_object('deleted_at', deleted_at, 'deleted_by', deleted_by))::json end;
comment on function app.in_bin(json, timestamptz, uuid) is 'The JSON of a row, and if it is in the bin also since when and who put it there.';
revoke execute on function app.in_bin(json, timestamptz, uuid) from public;
grant execute on function app.in_bin(json, timestamptz, uuid) to callboard_api, callboard_definer;

create or replace function app.check_version(version integer, if_match text) returns void
language plpgsql stable
set search_path = ''
as $$
begin
  if version is null then
    perform app.refuse(404, 'not_found');
  elsif not app.matches(version, if_match) then
    perform app.refuse(412, 'version_mismatch');
  end if;
end
$$;
comment on function app.check_version(integer, text) is
  'PT404 not_found if there is no version (the row is not visible), PT412 version_mismatch if If-Match does not allow it.';
revoke execute on function app.check_version(integer, text) from public;
grant execute on function app.check_version(integer, text) to callboard_api, callboard_definer;
--! EndIncluded helpers.sql
--! Included role_commands.sql
-- What can be done with the roles of an organization; the table is in custom_roles.sql.

create or replace view app.role_list with (security_invoker = true) as
  select null::uuid as organization_id, r.name as id, r.name, 0 as version,
    json_build_object('id', r.name, 'name', r.name, 'description', r.description, 'is_built_in', true,
      'permissions', (select coalesce(json_agg(rp.permission order by rp.permission), '[]') from app.role_permissions rp where rp.role = r.name),
      'created_at', null, 'updated_at', null) as body,
    null::timestamptz as deleted_at, null::uuid as deleted_by
  from app.roles r
  union all
  select r.organization_id, r.id::text, r.name, r.version,
    json_build_object('id', r.id, 'name', r.name, 'description', r.description, 'is_built_in', false,
      'permissions', to_json(r.permissions), 'created_at', r.created_at, 'updated_at', r.updated_at),
    r.deleted_at, r.deleted_by
  from app.custom_roles r;
comment on view app.role_list is 'The built-in roles, and the organization''s own, with their JSON; also those in the bin, which have deleted_at.';
grant select on app.role_list to callboard_api, callboard_definer;

create or replace function app.list_roles(in_bin boolean) returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(app.in_bin(r.body, r.deleted_at, r.deleted_by) order by r.organization_id nulls first, r.name, r.id), '[]'), 'next_cursor', null),
    null::text, null::text
  from app.role_list r
  -- Evaluated for its refusal.
  where (select app.require('members.read')) is not null
    and (r.organization_id is null or r.organization_id = app.current_org())
    and case when in_bin then r.deleted_at is not null and (select app.require('members.manage')) is not null else r.deleted_at is null end;
end;
comment on function app.list_roles(boolean) is 'All roles that a member can have, or those that were deleted. PT403.';
revoke execute on function app.list_roles(boolean) from public;
grant execute on function app.list_roles(boolean) to callboard_api;

create or replace function app.list_permissions() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', json_agg(json_build_object('name', p.name, 'description', p.description) order by p.name), 'next_cursor', null),
    null::text, null::text
  from app.permissions p
  where (select app.require('members.read')) is not null;
end;
comment on function app.list_permissions() is 'All that can be permitted. PT403.';
revoke execute on function app.list_permissions() from public;
grant execute on function app.list_permissions() to callboard_api;

create or replace function app.read_role(the_role text) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body, app.etag(r.version), '/api/roles/' || r.id into answer from app.role_list r
  where app.has_permission('members.read') and r.deleted_at is null and r.id = lower(the_role) and (r.organization_id is null or r.organization_id = app.current_org());
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_role(text) is 'A built-in role by its name, or one of the organization''s own by its id. PT404.';
revoke execute on function app.read_role(text) from public;
grant execute on function app.read_role(text) to callboard_api, callboard_definer;

create or replace function app_private.lock_role(the_role text, if_match text) returns app.custom_roles
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
  r app.custom_roles;
begin
  select x.version into present from app.role_list x
  where app.has_permission('members.read') and x.deleted_at is null and x.id = lower(the_role) and (x.organization_id is null or x.organization_id = app.current_org());
  perform app.check_version(present, if_match);
  perform app_private.administer();
  if exists (select from app.roles b where b.name = the_role) then
    perform app.refuse(409, 'role_built_in', 'The built-in roles are the same in every organization: make one of your own.');
  end if;
  select * into r from app.custom_roles x
  where x.organization_id = app.current_org() and x.id = the_role::uuid and x.deleted_at is null for no key update;
  perform app.check_version(r.version, if_match);
  perform app_private.require_to_hold(r.permissions);
  return r;
end
$$;
comment on function app_private.lock_role(text, text) is
  'One of the organization''s own roles that the member of this transaction may change, as locked. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, PT412.';
alter function app_private.lock_role(text, text) owner to callboard_definer;
revoke execute on function app_private.lock_role(text, text) from public;

create or replace function app.create_role(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  wanted app.custom_roles := jsonb_populate_record(null::app.custom_roles, body);
  answer app.answer;
begin
  perform app_private.administer();
  insert into app.custom_roles as r (name, description, permissions)
  values (wanted.name, coalesce(wanted.description, ''), wanted.permissions) returning r.* into wanted;
  -- Behind the insert, where an unknown permission has been found out.
  perform app_private.require_to_hold(wanted.permissions);
  answer := app.read_role(wanted.id::text);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_role(jsonb) is
  'A new role of the organization''s own: name, description, permissions. PT403 permission_denied, permission_not_held, PT409 custom_role_name_taken, PT422 permission_unknown.';
alter function app.create_role(jsonb) owner to callboard_definer;
revoke execute on function app.create_role(jsonb) from public;
grant execute on function app.create_role(jsonb) to callboard_api;

create or replace function app.update_role(the_role text, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  r app.custom_roles := app_private.lock_role(the_role, if_match);
begin
  r := jsonb_populate_record(r, body);
  -- Asked before it is changed: it may be a role of one's own.
  perform app_private.require_to_hold(r.permissions);
  update app.custom_roles x set name = r.name, description = r.description, permissions = r.permissions
  where x.organization_id = app.current_org() and x.id = r.id;
  return app.read_role(the_role);
end
$$;
comment on function app.update_role(text, jsonb, text) is
  'Changes one of the organization''s own roles; its members have it so from their next request on. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, custom_role_name_taken, PT412, PT422 permission_unknown.';
alter function app.update_role(text, jsonb, text) owner to callboard_definer;
revoke execute on function app.update_role(text, jsonb, text) from public;
grant execute on function app.update_role(text, jsonb, text) to callboard_api;

create or replace function app.delete_role(the_role text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  r app.custom_roles := app_private.lock_role(the_role, if_match);
begin
  return app_private.delete_row('app.custom_roles', r.id, if_match);
end
$$;
comment on function app.delete_role(text, text) is
  'Deletes one of the organization''s own roles until it is restored; nobody holds what it gave. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, PT412.';
alter function app.delete_role(text, text) owner to callboard_definer;
revoke execute on function app.delete_role(text, text) from public;
grant execute on function app.delete_role(text, text) to callboard_api;

create or replace function app.restore_role(the_role uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.administer();
  -- Asked before it is restored: it may be a role of one's own.
  perform app_private.require_to_hold(r.permissions) from app.custom_roles r
  where r.organization_id = app.current_org() and r.id = the_role and r.deleted_at is not null;
  perform app_private.restore_row('app.custom_roles', the_role);
  return app.read_role(the_role::text);
end
$$;
comment on function app.restore_role(uuid) is
  'Brings back a deleted role for those who had it. PT403 permission_denied, permission_not_held, PT404, PT409 custom_role_name_taken.';
alter function app.restore_role(uuid) owner to callboard_definer;
revoke execute on function app.restore_role(uuid) from public;
grant execute on function app.restore_role(uuid) to callboard_api;
--! EndIncluded role_commands.sql
--! Included venues.sql
-- Where shows happen. A venue gives its shows their time zone.

create table if not exists app.venues (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text not null constraint venues_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  city text not null constraint venues_city_length check (length(city) between 1 and 200 and city !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(city) <> ''),
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
alter table app.venues alter column name set statistics 0, alter column city set statistics 0, alter column capacity set statistics 0;

alter table app.venues enable row level security;
alter table app.venues force row level security;

drop policy if exists select_member on app.venues;
create policy select_member on app.venues for select to callboard_api
  using (organization_id = (select app.org_if('shows.read')));
drop policy if exists insert_member on app.venues;
create policy insert_member on app.venues for insert to callboard_api
  with check (organization_id = (select app.org_if('shows.write')));
drop policy if exists update_member on app.venues;
create policy update_member on app.venues for update to callboard_api
  using (organization_id = (select app.org_if('shows.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.venues;
create policy delete_member on app.venues for delete to callboard_api
  using (organization_id = (select app.org_if('shows.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.venues;
create policy select_definer on app.venues for select to callboard_definer using (true);
drop policy if exists update_definer on app.venues;
create policy update_definer on app.venues for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.venues to callboard_api, callboard_definer;
grant insert (name, city, country, time_zone, capacity), update (name, city, country, time_zone, capacity) on app.venues to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.venues to callboard_definer;

comment on table app.venues is 'Places where shows happen, with the time zone that a show''s local times are in.';
comment on column app.venues.country is 'ISO 3166-1 alpha-2 code.';

drop trigger if exists _100_timestamps on app.venues;
create trigger _100_timestamps before update on app.venues
  for each row execute function app_private.tg__100_timestamps();

select app_private.log_changes('app.venues', 'venue');

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
  where v.organization_id = app.current_org() and v.id = venue and v.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_venue(uuid) is 'A venue. PT404.';
revoke execute on function app.read_venue(uuid) from public;
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
revoke execute on function app.create_venue(jsonb) from public;
grant execute on function app.create_venue(jsonb) to callboard_api;

create or replace function app.write_venue(venue uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present app.venues;
begin
  select * into present from app.venues v
  where v.organization_id = app.current_org() and v.id = venue and v.deleted_at is null;
  perform app.check_version(present.version, if_match);
  perform app.require('shows.write');
  -- Now that it may be locked, look again.
  select * into present from app.venues v
  where v.organization_id = app.current_org() and v.id = venue and v.deleted_at is null for no key update;
  perform app.check_version(present.version, if_match);
  present := jsonb_populate_record(case when replaces then null::app.venues else present end, body);
  update app.venues v
  set (name, city, country, time_zone, capacity) = row (present.name, present.city, present.country, present.time_zone, present.capacity)
  where v.organization_id = app.current_org() and v.id = venue;
  return app.read_venue(venue);
end
$$;
comment on function app.write_venue(uuid, jsonb, boolean, text) is
  'Changes a venue: the columns in the body or, with replaces, all of them (absent ones become null). PT403, PT404, PT412.';
revoke execute on function app.write_venue(uuid, jsonb, boolean, text) from public;
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
revoke execute on function app.delete_venue(uuid, text) from public;
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
revoke execute on function app.restore_venue(uuid) from public;
grant execute on function app.restore_venue(uuid) to callboard_api;
--! EndIncluded venues.sql
--! Included show_commands.sql
-- What can be done with a show; the table is in shows.sql.

create or replace view app.show_list with (security_invoker = true) as
  select s.organization_id, s.id, s.title, s.artist, s.venue_id, s.show_on, s.status, s.created_at, s.version,
    json_build_object(
      'id', s.id, 'title', s.title, 'artist', s.artist,
      'venue_id', s.venue_id, 'venue_name', v.name, 'venue_city', v.city, 'time_zone', v.time_zone,
      'show_on', s.show_on,
      'doors_time', to_char(s.doors_time, 'HH24:MI'), 'start_time', to_char(s.start_time, 'HH24:MI'),
      'curfew_time', to_char(s.curfew_time, 'HH24:MI'),
      'starts_at', (s.show_on + s.start_time) at time zone v.time_zone,
      'status', s.status, 'capacity', s.capacity, 'tickets_sold', s.tickets_sold,
      'fee_minor', s.fee_minor, 'currency', s.currency, 'notes', s.notes,
      'created_by', s.created_by, 'created_at', s.created_at, 'updated_at', s.updated_at) as body,
    s.deleted_at, s.deleted_by
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id;
comment on view app.show_list is 'The organization''s shows with their JSON, also those in the bin, which have deleted_at.';
grant select on app.show_list to callboard_api, callboard_definer;

create or replace function app.search_shows(q text) returns setof uuid
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  -- The organization is compared as a value, not through a policy: under one the index is no use.
  organization uuid := app.org_if('shows.read');
  pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
begin
  return query
    select s.id from app.shows s where s.organization_id = organization and (s.title || ' ' || s.artist) ilike pattern
    union
    select s.id from app.shows s join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
    where s.organization_id = organization and v.organization_id = organization and (v.name || ' ' || v.city) ilike pattern;
end
$$;
comment on function app.search_shows(text) is 'Ids of the organization''s shows whose title and artist, or venue and city, contain the text in any case.';
alter function app.search_shows(text) owner to callboard_definer;
revoke execute on function app.search_shows(text) from public;
grant execute on function app.search_shows(text) to callboard_api;

create or replace function app.read_show(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, s.body, app.etag(s.version), '/api/shows/' || s.id into answer from app.show_list s
  where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show(uuid) is 'A show. PT404.';
revoke execute on function app.read_show(uuid) from public;
grant execute on function app.read_show(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows := jsonb_populate_record(null::app.shows, body);
  answer app.answer;
begin
  insert into app.shows (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes)
  values (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
    n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes)
  returning id into n.id;
  answer := app.read_show(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show(jsonb) is 'A new show. PT403 without shows.write, PT409 shows_venue_exists.';
revoke execute on function app.create_show(jsonb) from public;
grant execute on function app.create_show(jsonb) to callboard_api;

create or replace function app.write_show(show uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows;
begin
  select * into n from app.shows s where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('shows.write');
  -- Now that it may be locked, look again.
  select * into n from app.shows s
  where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.shows else n end, body);
  update app.shows s
  set (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes)
    = row (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
      n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes)
  where s.organization_id = app.current_org() and s.id = show;
  return app.read_show(show);
end
$$;
comment on function app.write_show(uuid, jsonb, boolean, text) is
  'Changes a show: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409, PT412.';
revoke execute on function app.write_show(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_show(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_show(show uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.shows', show, if_match);
end
$$;
comment on function app.delete_show(uuid, text) is 'Deletes a show until it is restored. PT403, PT404, PT412.';
alter function app.delete_show(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_show(uuid, text) from public;
grant execute on function app.delete_show(uuid, text) to callboard_api;

create or replace function app.restore_show(show uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.shows', show);
  return app.read_show(show);
end
$$;
comment on function app.restore_show(uuid) is 'Brings a deleted show back. PT403, PT404, PT409 parent_deleted.';
alter function app.restore_show(uuid) owner to callboard_definer;
revoke execute on function app.restore_show(uuid) from public;
grant execute on function app.restore_show(uuid) to callboard_api;
--! EndIncluded show_commands.sql
