-- Feeds that calendar programs subscribe to. Anybody with the secret of a feed can read the calendar of
-- the member who created it, as that member sees it now, and nothing else.

create table if not exists app.calendar_feeds (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  name text collate app.people not null constraint calendar_feeds_name_length check (app.is_line(name, 200)),
  secret_hash bytea not null,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  primary key (organization_id, id)
);
-- Not unique: a hash of 256 random bits needs no such protection, and a unique index would reveal that it exists.
create index if not exists calendar_feeds_secret_hash_idx on app.calendar_feeds (secret_hash) where revoked_at is null;
create index if not exists calendar_feeds_user_id_idx on app.calendar_feeds (organization_id, user_id, id) where revoked_at is null;
select app_private.hide_statistics('app.calendar_feeds');

select app_private.force_rls('app.calendar_feeds');

drop policy if exists select_self on app.calendar_feeds;
create policy select_self on app.calendar_feeds for select to callboard_api
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
select app_private.set_policy('app.calendar_feeds', 'select_definer', 'callboard_definer', 'true');
drop policy if exists insert_definer on app.calendar_feeds;
create policy insert_definer on app.calendar_feeds for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- Also those of a member who is removed.
select app_private.set_policy('app.calendar_feeds', 'update_definer', 'callboard_definer', 'organization_id = (select app.current_org())');

grant select (organization_id, id, user_id, name, created_at, revoked_at) on app.calendar_feeds to callboard_api;
grant select, insert (name, secret_hash), update (revoked_at) on app.calendar_feeds to callboard_definer;

comment on table app.calendar_feeds is 'Subscriptions of calendar programs; each member sees their own.';
comment on column app.calendar_feeds.secret_hash is 'SHA-256 of the secret in the feed''s address; granted to no login.';

select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}');

create or replace view app.calendar_feed_list with (security_invoker = true) as
  select f.organization_id, f.id, f.user_id, f.created_at,
    json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at) as body
  from app.calendar_feeds f
  where f.revoked_at is null;
comment on view app.calendar_feed_list is 'The live feeds of the signed-in user in the organization.';
grant select on app.calendar_feed_list to callboard_api;

create or replace function app.list_calendar_feeds() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(f.body order by f.id), '[]'), 'next_cursor', null), null::text, null::text
  from app.calendar_feed_list f
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id();
end;
comment on function app.list_calendar_feeds() is 'The caller''s own feeds in the organization.';
grant execute on function app.list_calendar_feeds() to callboard_api;

create or replace function app.create_calendar_feed(feed_name text, hash bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f app.calendar_feeds;
begin
  if app.current_org() is null then
    perform app.refuse(401, 'session_unknown');
  elsif app.org_if('itineraries.read') is null then
    perform app.require('shows.read');
  end if;
  -- A feed belongs to a member, and a superadmin is not one.
  if not exists (select from app.memberships m where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only members can have feeds.');
  end if;
  insert into app.calendar_feeds as x (name, secret_hash) values (feed_name, hash) returning x.* into f;
  -- made_with tells the server whether the secret it generated is in use, or the request was repeated.
  return (201, json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at, 'made_with', encode(sha256(f.secret_hash), 'hex')),
    null, '/api/calendar-feeds/' || f.id)::app.answer;
end
$$;
comment on function app.create_calendar_feed(text, bytea) is
  'Creates a feed of the member''s own calendar, for anybody with the secret whose SHA-256 this is. PT403 for members who may not see a calendar.';
alter function app.create_calendar_feed(text, bytea) owner to callboard_definer;
grant execute on function app.create_calendar_feed(text, bytea) to callboard_api;

create or replace function app.revoke_calendar_feed(feed uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  update app.calendar_feeds f set revoked_at = statement_timestamp()
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id() and f.id = feed and f.revoked_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_calendar_feed(uuid) is 'Permanently revokes one of the caller''s own feeds. PT404.';
alter function app.revoke_calendar_feed(uuid) owner to callboard_definer;
grant execute on function app.revoke_calendar_feed(uuid) to callboard_api;

-- A second entry point besides app.enter, and a narrower one.
create or replace function app.enter_calendar_feed(secret text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f record;
begin
  perform app_private.require_read_only('a calendar feed');
  select x.id, x.user_id, x.organization_id, m.role into f
  from app.calendar_feeds x
  -- Not one that began after the feed was made: removing a member ends it for good.
  join app.memberships m on m.organization_id = x.organization_id and m.user_id = x.user_id and m.deleted_at is null and m.created_at <= x.created_at
  join app.organizations o on o.id = x.organization_id and o.deleted_at is null
  where x.secret_hash = app_private.digest(secret) and x.revoked_at is null;
  if f.id is null then
    perform app.refuse(404, 'not_found', 'There is no such calendar feed, or it has been revoked.');
  end if;
  perform app_private.set_context(f.user_id, f.id, f.organization_id, f.role, app_private.for_reading(array(
    select p from unnest(app_private.effective_permissions(f.organization_id, f.user_id, f.role)) p
    where p in ('organization.read', 'shows.read', 'itineraries.read', 'itineraries.write'))));
end
$$;
comment on function app.enter_calendar_feed(text) is
  'Opens this read-only transaction for the member who created the feed with this secret, with only the permissions that the calendar and its name depend on. PT404 if the feed, the membership or the organization is gone.';
alter function app.enter_calendar_feed(text) owner to callboard_definer;
grant execute on function app.enter_calendar_feed(text) to callboard_api;

create or replace function app.read_calendar_feed(secret text) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 5000;
  today date := (now() at time zone 'UTC')::date;
  organization uuid;
  body json;
begin
  perform app.enter_calendar_feed(secret);
  organization := coalesce(app.org_if('itineraries.read'), app.require('shows.read'));
  select json_build_object(
    'name', (select o.name from app.organizations o where o.id = organization),
    'entries', coalesce(json_agg(json_build_object(
      'kind', c.kind, 'id', c.id, 'title', c.title, 'location', c.location, 'detail', c.detail, 'status', c.status,
      'first_on', c.first_on, 'last_on', c.last_on, 'local_start', c.local_start, 'local_end', c.local_end,
      'start_zone', c.start_zone, 'end_zone', c.end_zone, 'starts_at', c.starts_at, 'ends_at', c.ends_at,
      'version', c.version, 'updated_at', c.updated_at)
      order by c.first_on, c.starts_at nulls first, c.id), '[]')) into body
  from (
    select * from app.calendar_entries x
    where x.organization_id = organization and x.first_on <= today + 400 and x.last_on >= today - 100
    order by x.first_on, x.id
    limit most) c;
  -- Includes the organization for the API, which counts what it serves.
  return (200, json_build_object('organization_id', organization, 'calendar', body),
    '"' || ('x' || left(md5(body::text), 15))::bit(60)::bigint || '"', null)::app.answer;
end
$$;
comment on function app.read_calendar_feed(text) is
  'The calendar of the member who created the feed with this secret, from 100 days ago to 400 days from now and at most 5000 entries, with its organization and an ETag of its content. PT404, PT403 if the member may no longer see a calendar.';
grant execute on function app.read_calendar_feed(text) to callboard_api;
