-- Superadmins: operators who access organizations that they do not belong to. This is neither a flag nor a
-- permission but a separate database login, callboard_support, which can do what the API's login can and
-- also call these functions. A DBA grants access: to whom, why, where and until when. Each use is an event
-- in the organization's own log, committed before anything is read.

create table if not exists app_private.support_grants (
  id uuid primary key default app.uuid_v7(),
  user_id uuid not null references app.users (id),
  -- NULL for all organizations.
  organization_id uuid references app.organizations (id) on delete cascade,
  reason text not null constraint support_grants_reason_given check (length(btrim(reason)) between 1 and 500 and reason !~ '[\u0001-\u001f\u007f-\u009f]'),
  may_write boolean not null default false,
  granted_by text not null default session_user,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  constraint support_grants_expires_later check (expires_at > created_at)
);
create index if not exists support_grants_user_id_idx on app_private.support_grants (user_id);
create index if not exists support_grants_organization_id_idx on app_private.support_grants (organization_id);
select app_private.definer_table('app_private.support_grants', 'select, insert, update');
comment on table app_private.support_grants is 'Superadmin access to one organization or all: who, why, until when, and whether with write access. Granted by a DBA.';

create or replace function app_private.organization_named(name text) returns uuid
language sql stable
set search_path = ''
return coalesce(app_private.slug_organization(name),
  case when name ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then (select o.id from app.organizations o where o.id = organization_named.name::uuid) end);
comment on function app_private.organization_named(text) is 'The organization with this slug or id; null if there is none.';
alter function app_private.organization_named(text) owner to callboard_definer;

create or replace function app_private.grant_support(
  address text, why text, until timestamptz, slug text default null, may_write boolean default false
) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  organization uuid := app_private.organization_named(slug);
  id uuid;
begin
  if who is null then
    perform app.refuse(404, 'not_found', format('There is no account %s.', address));
  elsif slug is not null and organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', slug));
  end if;
  -- A reason that shows nothing is none.
  insert into app_private.support_grants as g (user_id, organization_id, reason, may_write, granted_by, expires_at)
  values (who, organization, case when app.is_visible(why) then why else '' end, grant_support.may_write, session_user, until) returning g.id into id;
  perform app_private.log_event(organization, 'auth.superadmin.granted', 'support_grant', id,
    jsonb_build_object('new', jsonb_build_object('user_id', who, 'reason', why, 'may_write', grant_support.may_write, 'expires_at', until)));
  return id;
end
$$;
comment on function app_private.grant_support(text, text, timestamptz, text, boolean) is
  'Grants a user (by address) superadmin access to an organization (by slug or id; null for all), with a reason, until a given time. Returns the grant''s id. PT404, support_grants_reason_given, support_grants_expires_later.';
alter function app_private.grant_support(text, text, timestamptz, text, boolean) owner to callboard_definer;

create or replace function app_private.revoke_support(the_grant uuid) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  g app_private.support_grants;
begin
  update app_private.support_grants x set revoked_at = now() where x.id = the_grant and x.revoked_at is null returning x.* into g;
  if g.id is null then
    perform app.refuse(404, 'not_found', 'There is no such grant, or it has been revoked.');
  end if;
  perform app_private.log_event(g.organization_id, 'auth.superadmin.revoked', 'support_grant', g.id);
end
$$;
comment on function app_private.revoke_support(uuid) is 'Revokes a grant: the next request that uses it is refused. PT404.';
alter function app_private.revoke_support(uuid) owner to callboard_definer;

create or replace function app_private.live_support_grant(of_user uuid, of_organization uuid) returns app_private.support_grants
language plpgsql stable
set search_path = ''
as $$
declare
  g app_private.support_grants;
begin
  select * into g from app_private.support_grants x
  where x.user_id = of_user and x.revoked_at is null and x.expires_at > now()
    and (x.organization_id is null or x.organization_id = of_organization)
  order by x.may_write desc, x.expires_at desc limit 1;
  if g.id is null or of_organization is not null and not exists (select from app.organizations o where o.id = of_organization) then
    -- The same error whether or not the organization exists.
    perform app.refuse(403, 'support_grant_needed');
  end if;
  return g;
end
$$;
comment on function app_private.live_support_grant(uuid, uuid) is
  'The active grant of a user for an organization or, with null, for all. PT403 support_grant_needed.';
alter function app_private.live_support_grant(uuid, uuid) owner to callboard_definer;

create or replace function app.use_support(session_secret text, organization uuid, what text, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  perform app_private.set_context(s.user_id, s.id, null, null, '', request_id, ip);
  perform app_private.log_event(organization, 'auth.superadmin.used', 'support_grant', g.id,
    jsonb_build_object('new', jsonb_build_object('request', left(what, 200), 'reason', g.reason, 'may_write', g.may_write)));
end
$$;
comment on function app.use_support(text, uuid, text, text, inet) is
  'Logs in an organization (with null, in none) that a superadmin is about to do something. Called in a transaction of its own that commits first. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.use_support(text, uuid, text, text, inet) owner to callboard_definer;
grant execute on function app.use_support(text, uuid, text, text, inet) to callboard_support;

create or replace function app_private.is_support_used(s app.sessions, organization uuid) returns boolean
language plpgsql volatile
set search_path = ''
as $$
begin
  -- One that has written might have logged the use itself, and roll it back.
  return pg_current_xact_id_if_assigned() is null and exists (
    select from app.event_log l
    where l.organization_id = coalesce(organization, app_private.nobody()) and l.occurred_at > clock_timestamp() - interval '15 seconds'
      and l.action = 'auth.superadmin.used' and l.actor_id = s.user_id and l.session_id = s.id);
end
$$;
comment on function app_private.is_support_used(app.sessions, uuid) is
  'Whether app.use_support has committed, within the last 15 seconds, that this session is about to do something in an organization (with null, in none).';
alter function app_private.is_support_used(app.sessions, uuid) owner to callboard_definer;

create or replace function app.enter_support(session_secret text, organization uuid, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
  is_used boolean := app_private.is_support_used(s, organization);
  everything text[] := array(select p.name from app.permissions p order by p.name);
begin
  if app_private.may_write_by_old_snapshot() then
    perform app_private.refuse_old_snapshot();
  elsif not is_used then
    perform app.refuse(403, 'support_grant_needed', 'Each use of a grant has to be logged, and committed, before anything is read.');
  end if;
  perform app_private.set_context(s.user_id, s.id, organization, 'superadmin',
    case when g.may_write then array_to_string(everything, ' ') else app_private.for_reading(everything) end, request_id, ip);
end
$$;
comment on function app.enter_support(text, uuid, text, inet) is
  'Opens this transaction for a superadmin: in an organization, with every permission or, if the grant does not allow writing, with what their holders see. Only as the first thing in a transaction, within 15 seconds of app.use_support. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.enter_support(text, uuid, text, inet) owner to callboard_definer;
grant execute on function app.enter_support(text, uuid, text, inet) to callboard_support;

create or replace function app.support_token(session_secret text, organization uuid) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  return (200, json_build_object('user_id', s.user_id, 'organization_id', organization, 'role', 'superadmin', 'permissions', array(
    select p.name from app.permissions p where g.may_write or p.name like '%.read' order by p.name)), null, null)::app.answer;
end
$$;
comment on function app.support_token(text, uuid) is 'The claims of a superadmin''s access token. PT401, PT403 support_grant_needed.';
alter function app.support_token(text, uuid) owner to callboard_definer;
grant execute on function app.support_token(text, uuid) to callboard_support;

create or replace function app.support_organization(session_secret text, slug text) returns uuid
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  organization uuid := app_private.organization_named(slug);
begin
  -- Without a grant the caller does not learn whether the organization exists.
  perform app_private.live_support_grant(s.user_id, coalesce(organization, app_private.nobody()));
  return organization;
end
$$;
comment on function app.support_organization(text, text) is 'The organization with a slug or id, for a superadmin with a grant for it. PT401, PT403 support_grant_needed.';
alter function app.support_organization(text, text) owner to callboard_definer;
grant execute on function app.support_organization(text, text) to callboard_support;

create or replace function app.list_all_organizations(matching text, after text, how_many integer) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  last json := convert_from(decode(rpad(translate(after, '-_', '+/'), (length(after) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::json;
begin
  -- Only app.enter_support sets this role; without an organization it needs a grant for all.
  if app.current_user_id() is null or app.current_org() is not null or (app_private.context()).role is distinct from 'superadmin' then
    perform app.refuse(403, 'support_grant_needed');
  elsif last ->> 1 is null and after is not null then
    perform app.refuse(400, 'invalid_cursor', 'Use next_cursor from the previous page.');
  end if;
  return (
    with found as (
      select o.id, o.name, row_number() over (order by o.name, o.id) as n, json_build_object('id', o.id, 'name', o.name, 'slug', o.slug,
        'members', (select count(*) from app.memberships m where m.organization_id = o.id and m.deleted_at is null),
        'created_at', o.created_at, 'deleted_at', o.deleted_at) as body
      from app.organizations o
      where (matching is null or o.name ilike '%' || regexp_replace(matching, '([\\%_])', '\\\1', 'g') || '%')
        and (last is null or (o.name, o.id) > (last ->> 0, (last ->> 1)::uuid))
      order by o.name, o.id limit how_many + 1)
    select (200, json_build_object('items', coalesce(json_agg(f.body order by f.n) filter (where f.n <= how_many), '[]'),
      'next_cursor', case when count(*) > how_many then translate(encode(convert_to(
        (json_agg(json_build_array(f.name, f.id)) filter (where f.n = how_many) -> 0)::text, 'UTF8'), 'base64'), E'+/=\n', '-_') end), null, null)::app.answer
    from found f);
exception when data_exception then
  perform app.refuse(400, 'invalid_cursor', 'Use next_cursor from the previous page.');
end
$$;
comment on function app.list_all_organizations(text, text, integer) is
  'For a superadmin with a grant for all organizations: a page of them by name, including deleted ones. PT400 invalid_cursor, PT403 support_grant_needed.';
alter function app.list_all_organizations(text, text, integer) owner to callboard_definer;
grant execute on function app.list_all_organizations(text, text, integer) to callboard_support;
