-- Sign-ins. A session is a pair of random secrets that only the client holds: one is part of
-- every access token, the other renews it and is thereby spent. Only their hashes are stored.

create table if not exists app.sessions (
  id uuid primary key default app.uuid_v7(),
  user_id uuid not null references app.users (id) on delete cascade,
  secret_hash bytea not null constraint sessions_secret_hash_unique unique,
  -- Where the user last worked; the next token is for that organization.
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
select app_private.hide_statistics('app.sessions');

select app_private.force_rls('app.sessions');

drop policy if exists select_self on app.sessions;
create policy select_self on app.sessions for select to callboard_api
  using (user_id = (select app.current_user_id()));
select app_private.set_policy('app.sessions', 'all_definer', 'callboard_definer', 'true');

grant select (id, user_id, organization_id, ip, user_agent, created_at, refreshed_at, expires_at, revoked_at, revoked_because)
  on app.sessions to callboard_api;
grant select, insert, update, delete on app.sessions to callboard_definer;

comment on table app.sessions is 'Sign-ins, live and ended; each user sees their own.';
comment on column app.sessions.secret_hash is 'SHA-256 of the secret in the access token; granted to no login.';

-- Every refresh token of a session, spent or not: one that comes back after its successor was used was stolen.
create table if not exists app_private.refresh_tokens (
  token_hash bytea primary key,
  session_id uuid not null references app.sessions (id) on delete cascade,
  created_at timestamptz not null default now(),
  used_at timestamptz,
  -- Null for the first of a session.
  parent_hash bytea
);
create index if not exists refresh_tokens_session_id_idx on app_private.refresh_tokens (session_id);
select app_private.definer_table('app_private.refresh_tokens');
comment on table app_private.refresh_tokens is 'Hashes of refresh tokens; a token is spent when its successor is used.';
comment on column app_private.refresh_tokens.parent_hash is 'The token that this one replaced.';

create or replace function app_private.session_lifetime() returns interval
language sql immutable parallel safe
return interval '30 days';
comment on function app_private.session_lifetime() is 'How long a session lives after its last refresh.';
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

-- The entrance. Every transaction of a signed-in user starts here, so it is a single statement: the
-- overhead of a statement exceeds the cost of the rows that it reads.
create or replace function app.enter(
  session_secret text, organization uuid default null, request_id text default null, ip inet default null
) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  f record;
  is_entered boolean;
begin
  select s.id, s.user_id, s.revoked_because is not null or s.expires_at <= now() as is_over, m.role, o.deleted_at,
    m.user_id is null or m.deleted_at is not null and m.deletion_id is distinct from o.deletion_id as is_not_member,
    -- A member with only a built-in role holds exactly its permissions, which are ready.
    case when exists (select from app.member_roles x where x.organization_id = organization and x.user_id = s.user_id)
        or exists (select from app.member_permissions x where x.organization_id = organization and x.user_id = s.user_id)
      then array_to_string(app_private.effective_permissions(organization, s.user_id, m.role), ' ')
      else r.held end as permissions
  into f
  from app.sessions s
  left join app.memberships m on m.organization_id = organization and m.user_id = s.user_id
  left join app.organizations o on o.id = m.organization_id
  left join app.roles r on r.name = m.role
  where s.secret_hash = app_private.digest(session_secret);
  if app_private.may_write_by_old_snapshot() then
    perform app_private.refuse_old_snapshot();
  end if;
  if f.is_over is distinct from false then
    -- Raises the reason. If the session has become valid in the meantime, live_session raises nothing: refuse anyway.
    perform app_private.live_session(session_secret);
    perform app.refuse(401, 'session_unknown');
  elsif organization is null then
    is_entered := app_private.set_context(f.user_id, f.id, null, null, '', request_id, ip);
    return;
  -- Only those who were members until the end learn that an organization has been deleted.
  elsif f.is_not_member then
    perform app.refuse(403, 'membership_revoked');
  elsif f.deleted_at is not null then
    perform app.refuse(403, 'organization_deleted');
  end if;
  -- Assigned rather than performed: an expression costs a fraction of a statement.
  is_entered := app_private.set_context(f.user_id, f.id, organization, f.role, f.permissions, request_id, ip);
end
$$;
comment on function app.enter(text, uuid, text, inet) is
  'Opens this transaction for the session with this secret, in one of its user''s organizations or, with null, in none; request and address are for the event log. PT401 session_unknown, session_revoked, session_expired; PT403 membership_revoked, organization_deleted.';
alter function app.enter(text, uuid, text, inet) owner to callboard_definer;
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
comment on function app_private.grant_of(uuid, uuid) is 'The claims of an access token about its user; the database never reads them.';
alter function app_private.grant_of(uuid, uuid) owner to callboard_definer;

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

-- Whoever lost an answer, or has two windows, sends the same token again; so does a thief, some time. They cannot be told
-- apart before one of them goes on: then the other holds a token whose successor was used.
create or replace function app_private.is_reused(t app_private.refresh_tokens) returns boolean
language sql stable
set search_path = ''
begin atomic
  select t.used_at is not null
    and abs(extract(epoch from statement_timestamp() - t.used_at)) > 10
    and not exists (
      select from app_private.refresh_tokens x
      where x.session_id = t.session_id and x.parent_hash = t.token_hash
        and (x.used_at is null or abs(extract(epoch from statement_timestamp() - x.used_at)) <= 10));
end;
comment on function app_private.is_reused(app_private.refresh_tokens) is
  'Whether a refresh token comes back although its successor has been used, more than 10 seconds ago. Requests that were under way together are no theft.';
alter function app_private.is_reused(app_private.refresh_tokens) owner to callboard_definer;

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
  next_secret text;
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
  elsif app_private.is_reused(t) then
    -- Two parties hold it and nobody can tell which is the thief, so both lose the session. The
    -- refusal is returned, not raised, because raising would undo the revocation.
    update app.sessions x set revoked_at = statement_timestamp(), revoked_because = 'refresh_token_reused' where x.id = s.id;
    return app.refusal(401, 'refresh_token_reused', 'This refresh token was used before; the session has been ended: sign in again.');
  end if;
  if preferred is not null and preferred is distinct from app_private.usual_organization(s.user_id, preferred) then
    perform app.refuse(403, 'membership_revoked');
  end if;
  update app_private.refresh_tokens x set used_at = coalesce(x.used_at, statement_timestamp()) where x.token_hash = t.token_hash;
  -- Tokens spent more than a lifetime ago could no longer renew anything.
  delete from app_private.refresh_tokens x where x.session_id = s.id and x.used_at < now() - app_private.session_lifetime();
  -- The same token always has the same successor, so all who send it go on together, without its being stored.
  if new_refresh_hash is null then
    next_secret := encode(app_private.keyed_hash(convert_to(concat_ws(' ', 'refresh', session_secret, refresh_secret), 'UTF8')), 'hex');
  end if;
  insert into app_private.refresh_tokens (token_hash, session_id, parent_hash)
  values (coalesce(new_refresh_hash, app_private.digest(next_secret)), s.id, t.token_hash) on conflict (token_hash) do nothing;
  update app.sessions x
  set refreshed_at = statement_timestamp(), expires_at = now() + app_private.session_lifetime(),
      organization_id = app_private.usual_organization(s.user_id, coalesce(preferred, s.organization_id))
  where x.id = s.id returning * into s;
  return (200, (app_private.grant_of(s.user_id, s.organization_id)::jsonb
    || jsonb_strip_nulls(jsonb_build_object('refresh_secret', next_secret)))::json, null, null)::app.answer;
end
$$;
comment on function app.refresh_session(text, text, bytea, uuid) is
  'Renews a session by its refresh token: the claims of the next access token and, unless the caller gave its SHA-256 as programs up to 0.2.0 do, the secret of the next refresh token, which is the same each time that this one comes. PT401 invalid_refresh_token, session_revoked, session_expired; a token whose successor was used more than 10 seconds ago ends the session (answer 401 refresh_token_reused).';
alter function app.refresh_session(text, text, bytea, uuid) owner to callboard_definer;
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
comment on function app.switch_organization(uuid) is 'The token claims for another of the user''s organizations. PT404.';
alter function app.switch_organization(uuid) owner to callboard_definer;
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
grant execute on function app.end_session(uuid, text) to callboard_api;

create or replace view app.session_list with (security_invoker = true) as
  select s.user_id, s.id, json_build_object('id', s.id, 'is_current', s.id = app.current_session_id(), 'ip', host(s.ip),
      'user_agent', s.user_agent, 'created_at', s.created_at, 'refreshed_at', s.refreshed_at, 'expires_at', s.expires_at) as body
  from app.sessions s
  where s.revoked_at is null and s.expires_at > now();
comment on view app.session_list is 'The live sessions of the signed-in user.';
grant select on app.session_list to callboard_api;
