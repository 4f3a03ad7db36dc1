-- Small helper functions that do not depend on a tenant.

create or replace function app.uuid_v7() returns uuid
language sql volatile parallel safe
return encode(
  set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid())
      placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1),
  'hex')::uuid;
comment on function app.uuid_v7() is
  'A new UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. Keys created together are close together in the index.';
grant execute on function app.uuid_v7() to callboard_api, callboard_definer;

create or replace function app_private.random_token() returns text
language sql volatile parallel safe
set search_path = ''
return replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
comment on function app_private.random_token() is
  'A secret of 64 hexadecimal digits (244 random bits) for a link in a mail.';
grant execute on function app_private.random_token() to callboard_definer;

create or replace function app_private.digest(secret text) returns bytea
language sql stable strict parallel safe
return sha256(convert_to(secret, 'UTF8'));
comment on function app_private.digest(text) is
  'The SHA-256 of a random secret, which is stored instead of it. Sufficient for 200 random bits; never used for passwords.';
grant execute on function app_private.digest(text) to callboard_definer;

create or replace function app.instant(local_time timestamp, zone text) returns timestamptz
language sql stable parallel safe
return case
  -- By day nothing is there twice; of two PostgreSQL takes the second. Clocks go back by an hour, and by half of one on Lord Howe Island.
  when local_time::time between '04:00' and '21:59' then local_time at time zone zone
  when (local_time at time zone zone - interval '1 hour') at time zone zone = local_time then local_time at time zone zone - interval '1 hour'
  when (local_time at time zone zone - interval '30 minutes') at time zone zone = local_time then local_time at time zone zone - interval '30 minutes'
  else local_time at time zone zone end;
comment on function app.instant(timestamp, text) is 'The instant of a local time in a time zone: the first one of a time that is there twice, as in calendars (RFC 5545); one that is left out, as if clocks had not been put forward.';
grant execute on function app.instant(timestamp, text) to callboard_api, callboard_definer, callboard_exporter;

create or replace function app.is_time_zone(name text) returns boolean
language plpgsql stable strict parallel safe
set search_path = ''
as $$
begin
  -- Only names from the time zone database: PostgreSQL itself would also accept 'XYZ+3' and 'Any/Thing+3'.
  return name ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT([+-]?0|\+([1-9]|1[0-2])|-([1-9]|1[0-4])))$'
    and (now() at time zone name) is not null;
exception when invalid_parameter_value then
  return false;
end
$$;
comment on function app.is_time_zone(text) is 'True for a name from the IANA time zone database, such as Europe/Berlin.';
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
  'Before update: sets updated_at and increments version, which is the ETag.';

create or replace function app.refuse(status integer, problem text, detail text default null) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'PT' || status, message = problem, detail = coalesce(detail, '');
end
$$;
comment on function app.refuse(integer, text, text) is
  'Raises a problem: HTTP status, name (src/http/problems.ts has a title for each) and details of this case.';
grant execute on function app.refuse(integer, text, text) to callboard_api, callboard_definer;

-- What a function behind a route returns; the API sends `body` unchanged.
do $$
begin
  if to_regtype('app.answer') is null then
    create type app.answer as (status integer, body json, etag text, location text);
  end if;
end
$$;
comment on type app.answer is
  'An HTTP response: status (null = 200), body, the row''s version as ETag, the path of what was created.';

create or replace function app.refusal(status integer, problem text, detail text default null) returns app.answer
language sql immutable
set search_path = ''
return (status, json_build_object('problem', problem, 'detail', coalesce(detail, '')), null, null)::app.answer;
comment on function app.refusal(integer, text, text) is
  'A refusal as a response, for one that must be committed: raising it with app.refuse would roll back what was written.';
grant execute on function app.refusal(integer, text, text) to callboard_definer;

create or replace function app.etag(version integer) returns text
language sql immutable parallel safe
return '"' || version::text || '"';
comment on function app.etag(integer) is 'The ETag of a row version (RFC 9110, strong).';
grant execute on function app.etag(integer) to callboard_api, callboard_definer;

create or replace function app.matches(version integer, if_match text) returns boolean
language sql immutable parallel safe
-- The version is a row's, not a representation's: proxies that compress make "4" into W/"4" or "4-gzip", and mean the same.
return if_match is null or if_match = '*'
  or if_match ~ ('(^|,)[[:blank:]]*(W/)?"' || version::text || '(-[a-z]+)?"[[:blank:]]*(,|$)');
comment on function app.matches(integer, text) is 'Whether an If-Match header (a list of ETags, also as proxies change them, * or null) allows this version.';
grant execute on function app.matches(integer, text) to callboard_api, callboard_definer;

create or replace function app.in_bin(body text, deleted_at timestamptz, deleted_by uuid) returns text
language sql stable parallel safe
return case when deleted_at is null then body
  else concat(left(body, -1), ',"deleted_at":', to_json(deleted_at), ',"deleted_by":', coalesce(to_json(deleted_by)::text, 'null'), '}') end;
comment on function app.in_bin(text, timestamptz, uuid) is 'The JSON of a row; if it is in the bin, also when and by whom it was deleted.';
grant execute on function app.in_bin(text, timestamptz, uuid) to callboard_api, callboard_definer;

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
  'PT404 not_found if the version is null (the row is not visible), PT412 version_mismatch if If-Match does not allow it.';
grant execute on function app.check_version(integer, text) to callboard_api, callboard_definer;
