--! Previous: sha1:5e64efad78ae8c9ac62604f2576e361e502508c5
--! Hash: sha1:05ceddde76cb0d5a28c968b9246f596bfd4376a9
--! Message: superadmins

--! Included sessions.sql
-- Sign-ins. A session is a pair of random secrets that only the client holds: one travels in
-- every access token, the other renews it and is spent by that. Of both only a hash is kept.

create table if not exists app.sessions (
  id uuid primary key default app.uuid_v7(),
  user_id uuid not null references app.users (id) on delete cascade,
  secret_hash bytea not null constraint sessions_secret_hash_unique unique,
  -- Where the user last worked; the next token is for there.
  organization_id uuid references app.organizations (id) on delete set null,
  ip inet,
  user_agent text constraint sessions_user_agent_length check (length(user_agent) <= 400),
  created_at timestamptz not null default now(),
  refreshed_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_because text constraint sessions_revoked_because_known check (
    revoked_because in ('signed_out', 'revoked', 'password_changed', 'password_reset', 'refresh_token_reused')),
  constraint sessions_revoked_with_reason check ((revoked_at is null) = (revoked_because is null))
);
create index if not exists sessions_user_id_idx on app.sessions (user_id, id);
create index if not exists sessions_organization_id_idx on app.sessions (organization_id);
alter table app.sessions alter column ip set statistics 0, alter column user_agent set statistics 0;

alter table app.sessions enable row level security;
alter table app.sessions force row level security;

drop policy if exists select_self on app.sessions;
create policy select_self on app.sessions for select to callboard_api
  using (user_id = (select app.current_user_id()));
drop policy if exists all_definer on app.sessions;
create policy all_definer on app.sessions for all to callboard_definer using (true);

grant select (id, user_id, organization_id, ip, user_agent, created_at, refreshed_at, expires_at, revoked_at, revoked_because)
  on app.sessions to callboard_api;
grant select, insert, update on app.sessions to callboard_definer;

comment on table app.sessions is 'Sign-ins, live and ended; each user sees their own.';
comment on column app.sessions.secret_hash is 'SHA-256 of the secret in the access token; granted to no login.';

-- Every refresh token of a session, spent or not: a spent one that comes back was stolen.
create table if not exists app_private.refresh_tokens (
  token_hash bytea primary key,
  session_id uuid not null references app.sessions (id) on delete cascade,
  created_at timestamptz not null default now(),
  used_at timestamptz
);
create index if not exists refresh_tokens_session_id_idx on app_private.refresh_tokens (session_id);
alter table app_private.refresh_tokens enable row level security;
alter table app_private.refresh_tokens force row level security;
drop policy if exists all_definer on app_private.refresh_tokens;
create policy all_definer on app_private.refresh_tokens for all to callboard_definer using (true);
grant select, insert, update, delete on app_private.refresh_tokens to callboard_definer;
comment on table app_private.refresh_tokens is 'Hashes of refresh tokens; a token is spent by its first use.';

create or replace function app_private.session_lifetime() returns interval
language sql immutable parallel safe
set search_path = ''
return interval '30 days';
comment on function app_private.session_lifetime() is 'How long a session lives after its last refresh.';
revoke execute on function app_private.session_lifetime() from public;
grant execute on function app_private.session_lifetime() to callboard_definer;

create or replace function app_private.live_session(session_secret text) returns app.sessions
language plpgsql stable
set search_path = ''
as $$
declare
  s app.sessions;
begin
  select * into s from app.sessions x where x.secret_hash = app_private.digest(session_secret);
  if s.id is null then
    perform app.refuse(401, 'session_unknown');
  elsif s.revoked_because is not null then
    perform app.refuse(401, 'session_revoked');
  elsif s.expires_at <= now() then
    perform app.refuse(401, 'session_expired');
  end if;
  return s;
end
$$;
comment on function app_private.live_session(text) is 'The session with this secret. PT401 session_unknown, session_revoked, session_expired.';
alter function app_private.live_session(text) owner to callboard_definer;
revoke execute on function app_private.live_session(text) from public;

-- The door. Every transaction for a signed-in user starts here.
create or replace function app.enter(
  session_secret text, organization uuid default null, request_id text default null, ip inet default null
) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  o record;
begin
  if organization is null then
    perform app_private.set_context(s.user_id, s.id, null, null, '{}', request_id, ip);
    return;
  end if;

  select x.deleted_at, m.role, m.user_id, m.deleted_at is not null and m.deletion_id is distinct from x.deletion_id as has_left into o
  from app.organizations x left join app.memberships m on m.organization_id = x.id and m.user_id = s.user_id
  where x.id = organization;
  -- Somebody who did not belong to the end learns nothing about an organization, not even that it is gone.
  if o.user_id is null or o.has_left then
    perform app.refuse(403, 'membership_revoked');
  elsif o.deleted_at is not null then
    perform app.refuse(403, 'organization_deleted');
  end if;
  perform app_private.set_context(s.user_id, s.id, organization, o.role,
    app_private.effective_permissions(organization, s.user_id, o.role), request_id, ip);
end
$$;
comment on function app.enter(text, uuid, text, inet) is
  'Opens this transaction for the session with this secret, in one of its user''s organizations or, with null, in none; request and address are for the event log. PT401 session_unknown, session_revoked, session_expired; PT403 membership_revoked, organization_deleted.';
alter function app.enter(text, uuid, text, inet) owner to callboard_definer;
revoke execute on function app.enter(text, uuid, text, inet) from public;
grant execute on function app.enter(text, uuid, text, inet) to callboard_api;

create or replace function app_private.grant_of(of_user uuid, of_organization uuid) returns json
language sql stable
set search_path = ''
begin atomic
  select json_build_object('user_id', of_user, 'organization_id', m.organization_id, 'role', m.role,
    'permissions', to_json(app.permissions_of(m.organization_id, of_user)))
  from (select of_user as id) u
  left join app.memberships m on m.user_id = u.id and m.organization_id = of_organization and m.deleted_at is null;
end;
comment on function app_private.grant_of(uuid, uuid) is 'What an access token says of its user; the database never reads it back.';
alter function app_private.grant_of(uuid, uuid) owner to callboard_definer;
revoke execute on function app_private.grant_of(uuid, uuid) from public;

create or replace function app_private.usual_organization(of_user uuid, preferred uuid default null) returns uuid
language sql stable
set search_path = ''
begin atomic
  select m.organization_id from app.memberships m join app.organizations o on o.id = m.organization_id
  where m.user_id = of_user and m.deleted_at is null and o.deleted_at is null
  order by m.organization_id = preferred desc nulls last,
    (select max(s.refreshed_at) from app.sessions s where s.user_id = of_user and s.organization_id = m.organization_id) desc nulls last,
    m.created_at, m.organization_id
  limit 1;
end;
comment on function app_private.usual_organization(uuid, uuid) is 'The organization a user''s next token is for: the preferred one, else where they last worked, else their first.';
alter function app_private.usual_organization(uuid, uuid) owner to callboard_definer;
revoke execute on function app_private.usual_organization(uuid, uuid) from public;

create or replace function app_private.start_session(
  of_user uuid, session_hash bytea, refresh_hash bytea, preferred uuid, client jsonb
) returns json
language plpgsql volatile
set search_path = ''
as $$
declare
  session app.sessions;
begin
  insert into app.sessions (user_id, secret_hash, organization_id, ip, user_agent, expires_at)
  values (of_user, session_hash, app_private.usual_organization(of_user, preferred), (client ->> 'ip')::inet,
    left(client ->> 'user_agent', 400), now() + app_private.session_lifetime())
  returning * into session;
  insert into app_private.refresh_tokens (token_hash, session_id) values (refresh_hash, session.id);
  return app_private.grant_of(of_user, session.organization_id);
end
$$;
comment on function app_private.start_session(uuid, bytea, bytea, uuid, jsonb) is 'A new session for a user whose identity has been proved.';
alter function app_private.start_session(uuid, bytea, bytea, uuid, jsonb) owner to callboard_definer;
revoke execute on function app_private.start_session(uuid, bytea, bytea, uuid, jsonb) from public;

create or replace function app.refresh_session(
  session_secret text, refresh_secret text, new_refresh_hash bytea, preferred uuid default null
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  t app_private.refresh_tokens;
  s app.sessions;
begin
  select * into s from app.sessions x where x.secret_hash = app_private.digest(session_secret) for update;
  select * into t from app_private.refresh_tokens x
  where x.session_id = s.id and x.token_hash = app_private.digest(refresh_secret);
  if t.token_hash is null then
    perform app.refuse(401, 'invalid_refresh_token', 'This refresh token is not valid: sign in again.');
  elsif s.revoked_at is not null then
    perform app.refuse(401, 'session_revoked');
  elsif s.expires_at <= now() then
    perform app.refuse(401, 'session_expired');
  elsif t.used_at < statement_timestamp() - interval '10 seconds' then
    -- Two parties hold it, and nobody can tell which is the thief: both are out. The refusal is
    -- returned, not raised, because raising would undo the revocation.
    update app.sessions x set revoked_at = statement_timestamp(), revoked_because = 'refresh_token_reused' where x.id = s.id;
    return app.refusal(401, 'refresh_token_reused', 'This refresh token was used before; the session has been ended: sign in again.');
  end if;
  if preferred is not null and preferred is distinct from app_private.usual_organization(s.user_id, preferred) then
    perform app.refuse(403, 'membership_revoked');
  end if;
  update app_private.refresh_tokens x set used_at = coalesce(x.used_at, statement_timestamp()) where x.token_hash = t.token_hash;
  -- Those spent more than a lifetime ago could not renew anything any more.
  delete from app_private.refresh_tokens x where x.session_id = s.id and x.used_at < now() - app_private.session_lifetime();
  insert into app_private.refresh_tokens (token_hash, session_id) values (new_refresh_hash, s.id);
  update app.sessions x
  set refreshed_at = statement_timestamp(), expires_at = now() + app_private.session_lifetime(),
      organization_id = app_private.usual_organization(s.user_id, coalesce(preferred, s.organization_id))
  where x.id = s.id returning * into s;
  return (200, app_private.grant_of(s.user_id, s.organization_id), null, null)::app.answer;
end
$$;
comment on function app.refresh_session(text, text, bytea, uuid) is
  'Spends a refresh token and stores the next one. PT401 invalid_refresh_token, session_revoked, session_expired; a token spent more than 10 seconds ago ends the session (answer 401 refresh_token_reused).';
alter function app.refresh_session(text, text, bytea, uuid) owner to callboard_definer;
revoke execute on function app.refresh_session(text, text, bytea, uuid) from public;
grant execute on function app.refresh_session(text, text, bytea, uuid) to callboard_api;

create or replace function app.switch_organization(organization uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
begin
  if organization is distinct from app_private.usual_organization(me, organization) then
    perform app.refuse(404, 'not_found');
  end if;
  update app.sessions s set organization_id = organization where s.id = app.current_session_id();
  return (200, app_private.grant_of(me, organization), null, null)::app.answer;
end
$$;
comment on function app.switch_organization(uuid) is 'What the token for another of the user''s organizations says. PT404.';
alter function app.switch_organization(uuid) owner to callboard_definer;
revoke execute on function app.switch_organization(uuid) from public;
grant execute on function app.switch_organization(uuid) to callboard_api;

create or replace function app_private.end_sessions(of_user uuid, because text, except_session uuid default null) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.sessions s set revoked_at = statement_timestamp(), revoked_because = because
  where s.user_id = of_user and s.revoked_at is null and s.id is distinct from except_session;
end;
comment on function app_private.end_sessions(uuid, text, uuid) is 'Revokes all of a user''s sessions, or all but one.';
alter function app_private.end_sessions(uuid, text, uuid) owner to callboard_definer;
revoke execute on function app_private.end_sessions(uuid, text, uuid) from public;

create or replace function app.end_session(session uuid, because text default 'revoked') returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  update app.sessions s set revoked_at = statement_timestamp(), revoked_because = because
  where s.id = session and s.user_id = app.current_user_id() and s.revoked_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.end_session(uuid, text) is 'Revokes one of the signed-in user''s own sessions. PT404.';
alter function app.end_session(uuid, text) owner to callboard_definer;
revoke execute on function app.end_session(uuid, text) from public;
grant execute on function app.end_session(uuid, text) to callboard_api;

create or replace view app.session_list with (security_invoker = true) as
  select s.user_id, s.id, json_build_object('id', s.id, 'is_current', s.id = app.current_session_id(), 'ip', host(s.ip),
      'user_agent', s.user_agent, 'created_at', s.created_at, 'refreshed_at', s.refreshed_at, 'expires_at', s.expires_at) as body
  from app.sessions s
  where s.revoked_at is null and s.expires_at > now();
comment on view app.session_list is 'The live sessions of the signed-in user.';
grant select on app.session_list to callboard_api;
--! EndIncluded sessions.sql
--! Included support.sql
-- Superadmins: people who run the service and look into organizations that they do not belong to. That
-- is no flag and no permission but another login of the database, callboard_support, which has what the
-- API's login has and this door beside it. A grant, made by a DBA, says who, why, where and until when;
-- each use is an event of the organization's own log, committed before anything is read.

create table if not exists app_private.support_grants (
  id uuid primary key default app.uuid_v7(),
  user_id uuid not null references app.users (id),
  -- NULL for all organizations.
  organization_id uuid references app.organizations (id),
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
alter table app_private.support_grants enable row level security;
alter table app_private.support_grants force row level security;
drop policy if exists all_definer on app_private.support_grants;
create policy all_definer on app_private.support_grants for all to callboard_definer using (true);
grant select, insert, update on app_private.support_grants to callboard_definer;
comment on table app_private.support_grants is 'Who may look into an organization, or all, as a superadmin: why, until when, and whether they may write. Made by a DBA.';

create or replace function app_private.grant_support(
  address text, why text, until timestamptz, slug text default null, may_write boolean default false
) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  organization uuid := app_private.slug_organization(slug);
  id uuid;
begin
  if who is null then
    perform app.refuse(404, 'not_found', format('There is no account %s.', address));
  elsif slug is not null and organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', slug));
  end if;
  insert into app_private.support_grants as g (user_id, organization_id, reason, may_write, granted_by, expires_at)
  values (who, organization, why, grant_support.may_write, session_user, until) returning g.id into id;
  perform app_private.log_event(organization, 'auth.superadmin.granted', 'support_grant', id,
    jsonb_build_object('new', jsonb_build_object('user_id', who, 'reason', why, 'may_write', grant_support.may_write, 'expires_at', until)));
  return id;
end
$$;
comment on function app_private.grant_support(text, text, timestamptz, text, boolean) is
  'Lets somebody (by address) into an organization (by slug; all without one) as a superadmin, for a reason, until then. Returns the grant''s id. PT404, support_grants_reason_given, support_grants_expires_later.';
alter function app_private.grant_support(text, text, timestamptz, text, boolean) owner to callboard_definer;
revoke execute on function app_private.grant_support(text, text, timestamptz, text, boolean) from public;

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
comment on function app_private.revoke_support(uuid) is 'Ends a grant: the next request with it is refused. PT404.';
alter function app_private.revoke_support(uuid) owner to callboard_definer;
revoke execute on function app_private.revoke_support(uuid) from public;

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
    -- The same, whether there is such an organization or not.
    perform app.refuse(403, 'support_grant_needed');
  end if;
  return g;
end
$$;
comment on function app_private.live_support_grant(uuid, uuid) is
  'The grant by which a user may look into an organization, or with null, into all. PT403 support_grant_needed.';
alter function app_private.live_support_grant(uuid, uuid) owner to callboard_definer;
revoke execute on function app_private.live_support_grant(uuid, uuid) from public;

create or replace function app.use_support(session_secret text, organization uuid, what text, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  perform app_private.set_context(s.user_id, s.id, null, null, '{}', request_id, ip);
  perform app_private.log_event(organization, 'auth.superadmin.used', 'support_grant', g.id,
    jsonb_build_object('new', jsonb_build_object('request', left(what, 200), 'reason', g.reason, 'may_write', g.may_write)));
end
$$;
comment on function app.use_support(text, uuid, text, text, inet) is
  'Says in the log of an organization (or with null, in nobody''s) that a superadmin is about to do something. In a transaction of its own, committed before. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.use_support(text, uuid, text, text, inet) owner to callboard_definer;
revoke execute on function app.use_support(text, uuid, text, text, inet) from public;
grant execute on function app.use_support(text, uuid, text, text, inet) to callboard_support;

create or replace function app.enter_support(session_secret text, organization uuid, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  -- A transaction that only reads cannot be made to write any more, so in it they may all.
  perform app_private.set_context(s.user_id, s.id, organization, 'superadmin', array(
    select p.name from app.permissions p
    where g.may_write or p.name like '%.read' or current_setting('transaction_read_only')::boolean order by p.name), request_id, ip);
end
$$;
comment on function app.enter_support(text, uuid, text, inet) is
  'Opens this transaction for a superadmin: in an organization with all that there is to read, and to write if the grant says so. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.enter_support(text, uuid, text, inet) owner to callboard_definer;
revoke execute on function app.enter_support(text, uuid, text, inet) from public;
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
  return (200, json_build_object('user_id', s.user_id, 'organization_id', organization, 'role', null, 'permissions', array(
    select p.name from app.permissions p where g.may_write or p.name like '%.read' order by p.name)), null, null)::app.answer;
end
$$;
comment on function app.support_token(text, uuid) is 'What the access token of a superadmin says. PT401, PT403 support_grant_needed.';
alter function app.support_token(text, uuid) owner to callboard_definer;
revoke execute on function app.support_token(text, uuid) from public;
grant execute on function app.support_token(text, uuid) to callboard_support;

create or replace function app.support_organization(session_secret text, slug text) returns uuid
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  organization uuid := app_private.slug_organization(slug);
begin
  -- Without a grant one is not told whether there is such an organization.
  perform app_private.live_support_grant(s.user_id, coalesce(organization, app_private.nobody()));
  return organization;
end
$$;
comment on function app.support_organization(text, text) is 'The organization with a slug, for a superadmin who may look into it. PT401, PT403 support_grant_needed.';
alter function app.support_organization(text, text) owner to callboard_definer;
revoke execute on function app.support_organization(text, text) from public;
grant execute on function app.support_organization(text, text) to callboard_support;

create or replace function app.list_all_organizations(matching text, after text, how_many integer) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  last json := convert_from(decode(rpad(translate(after, '-_', '+/'), (length(after) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::json;
begin
  -- Only app.enter_support gives this role, and without an organization only for a grant for all.
  if app.current_user_id() is null or app.current_org() is not null or current_setting('app.role') <> 'superadmin' then
    perform app.refuse(403, 'support_grant_needed');
  elsif last ->> 1 is null and after is not null then
    perform app.refuse(400, 'invalid_cursor', 'Take the cursor from next_cursor of the page before.');
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
  perform app.refuse(400, 'invalid_cursor', 'Take the cursor from next_cursor of the page before.');
end
$$;
comment on function app.list_all_organizations(text, text, integer) is
  'For a superadmin with a grant for all organizations: a page of them by name, deleted ones too. PT400 invalid_cursor, PT403 support_grant_needed.';
alter function app.list_all_organizations(text, text, integer) owner to callboard_definer;
revoke execute on function app.list_all_organizations(text, text, integer) from public;
grant execute on function app.list_all_organizations(text, text, integer) to callboard_support;
--! EndIncluded support.sql
