--! Previous: sha1:39b4c95431999fb472819c9a941e13498d3d6ebc
--! Hash: sha1:58217857adbe869bd6e70e2bdb808becdc0255ea
--! Message: logins of bi tools

--! Included bi_credentials.sql
-- BI tools connect to PostgreSQL itself, each with a login of its own that belongs to one organization:
-- what it sees follows from who has logged in (session_user), never from a setting. The credential is
-- what members see of it; making and dropping the role itself is in bi_commands.sql and db/database.sql.
-- A credential is never deleted, so that the list says who once could read what.

create table if not exists app.bi_credentials (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text not null constraint bi_credentials_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  login text not null,
  connection_limit integer not null constraint bi_credentials_connection_limit_range check (connection_limit between 1 and 10),
  statement_timeout_seconds integer not null constraint bi_credentials_statement_timeout_range check (statement_timeout_seconds between 1 and 3600),
  expires_at timestamptz not null,
  -- NULL for a DBA.
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  rotated_at timestamptz,
  revoked_by uuid references app.users (id),
  revoked_at timestamptz,
  primary key (organization_id, id),
  constraint bi_credentials_expiry_range check (expires_at - coalesce(rotated_at, created_at) between interval '0' and interval '731 days')
);
alter table app.bi_credentials alter column name set statistics 0, alter column login set statistics 0,
  alter column connection_limit set statistics 0, alter column statement_timeout_seconds set statistics 0;

alter table app.bi_credentials enable row level security;
alter table app.bi_credentials force row level security;
drop policy if exists select_member on app.bi_credentials;
create policy select_member on app.bi_credentials for select to callboard_api
  using (organization_id = (select app.org_if('bi.manage')));
-- Without grants: the functions of bi_commands.sql write, and these say which permission they need.
drop policy if exists insert_member on app.bi_credentials;
create policy insert_member on app.bi_credentials for insert to callboard_api
  with check (organization_id = (select app.org_if('bi.manage')));
drop policy if exists update_member on app.bi_credentials;
create policy update_member on app.bi_credentials for update to callboard_api
  using (organization_id = (select app.org_if('bi.manage')));
drop policy if exists select_definer on app.bi_credentials;
create policy select_definer on app.bi_credentials for select to callboard_definer using (true);
drop policy if exists insert_definer on app.bi_credentials;
create policy insert_definer on app.bi_credentials for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.bi_credentials;
create policy update_definer on app.bi_credentials for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.bi_credentials to callboard_api, callboard_definer;
grant insert (id, name, login, connection_limit, statement_timeout_seconds, expires_at),
  update (expires_at, rotated_at, revoked_at, revoked_by) on app.bi_credentials to callboard_definer;

comment on table app.bi_credentials is 'Logins of BI tools to the database: each reads what `analytics` has of its organization until it is revoked or expires.';
comment on column app.bi_credentials.login is 'The role of PostgreSQL; its password is kept nowhere, only its verifier, by PostgreSQL.';
comment on column app.bi_credentials.created_by is 'The member who made it; null for a DBA. It stays when they leave.';

select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');

-- What is asked before there is an organization: whose a login is. Without foreign keys, because the role
-- outlives a purged organization until it is dropped.
create table if not exists app_private.bi_logins (
  login text primary key,
  organization_id uuid not null,
  credential_id uuid not null,
  must_end boolean not null default false,
  last_seen_at timestamptz
);
alter table app_private.bi_logins enable row level security;
alter table app_private.bi_logins force row level security;
drop policy if exists all_definer on app_private.bi_logins;
create policy all_definer on app_private.bi_logins for all to callboard_definer using (true);
grant select, insert, update, delete on app_private.bi_logins to callboard_definer;
comment on table app_private.bi_logins is 'Whose the roles are that BI tools log in as; a row goes when its role is dropped.';
comment on column app_private.bi_logins.must_end is 'It has got a new password: the connections that were made with the old one are yet to be ended.';
comment on column app_private.bi_logins.last_seen_at is 'When it was connected, to within five minutes.';

create or replace view app_private.bi_states with (security_invoker = true) as
  select l.organization_id, l.credential_id, l.login, l.must_end, l.last_seen_at, c.statement_timeout_seconds,
    c.id is null or c.revoked_at is not null as is_gone,
    c.revoked_at is null and c.expires_at <= statement_timestamp() as has_expired,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null, false) as is_live
  from app_private.bi_logins l
  left join app.bi_credentials c on c.organization_id = l.organization_id and c.id = l.credential_id
  left join app.organizations o on o.id = l.organization_id;
comment on view app_private.bi_states is 'What is to become of each login of a BI tool.';
grant select on app_private.bi_states to callboard_definer;

create or replace function app.bi_last_seen(credential uuid) returns timestamptz
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select max(l.last_seen_at) from app_private.bi_logins l
    where l.organization_id = app.org_if('bi.manage') and l.credential_id = credential);
end
$$;
comment on function app.bi_last_seen(uuid) is 'When the login of a credential of the organization was last connected, for who holds bi.manage; to within five minutes.';
alter function app.bi_last_seen(uuid) owner to callboard_definer;
revoke execute on function app.bi_last_seen(uuid) from public;
grant execute on function app.bi_last_seen(uuid) to callboard_api, callboard_definer;

create or replace view app.bi_credential_list with (security_invoker = true) as
  select c.organization_id, c.id, c.created_at,
    json_build_object('id', c.id, 'name', c.name, 'login', c.login,
      'status', case when c.revoked_at is not null then 'revoked' when c.expires_at <= statement_timestamp() then 'expired' else 'active' end,
      'connection_limit', c.connection_limit, 'statement_timeout_seconds', c.statement_timeout_seconds,
      'created_by', c.created_by, 'created_at', c.created_at, 'expires_at', c.expires_at, 'rotated_at', c.rotated_at,
      'last_seen_at', app.bi_last_seen(c.id), 'revoked_by', c.revoked_by, 'revoked_at', c.revoked_at) as body
  from app.bi_credentials c;
comment on view app.bi_credential_list is 'The organization''s BI credentials, those that have ended too, with their JSON.';
grant select on app.bi_credential_list to callboard_api, callboard_definer;

create or replace function app.read_bi_credential(credential uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('bi.manage');
  answer app.answer;
begin
  select 200, c.body into answer.status, answer.body
  from app.bi_credential_list c where c.organization_id = organization and c.id = credential;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_bi_credential(uuid) is 'A BI credential, whatever has become of it. PT403 without bi.manage, PT404.';
revoke execute on function app.read_bi_credential(uuid) from public;
grant execute on function app.read_bi_credential(uuid) to callboard_api;
--! EndIncluded bi_credentials.sql
--! Included bi_commands.sql
-- What can be done with BI credentials; the tables are in bi_credentials.sql, and the functions that make
-- and drop roles in db/database.sql. A password is made by whoever calls, and never comes here: only its
-- SCRAM-SHA-256 verifier, from which nobody can log in.

create or replace function app_private.make_room_for_bi(besides uuid default null) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 10;
begin
  -- Two at the same moment count one after the other.
  perform from app.organizations o where o.id = app.current_org() for no key update;
  if (select count(*) from app.bi_credentials c
      where c.organization_id = app.current_org() and c.revoked_at is null and c.expires_at > now() and c.id is distinct from besides) >= most then
    perform app.refuse(409, 'bi_credential_limit', format('There are %s BI credentials already: revoke one first.', most));
  end if;
end
$$;
comment on function app_private.make_room_for_bi(uuid) is 'PT409 bi_credential_limit if the organization has as many live credentials, besides this one, as it may.';
alter function app_private.make_room_for_bi(uuid) owner to callboard_definer;
revoke execute on function app_private.make_room_for_bi(uuid) from public;

create or replace function app_private.add_bi_credential(body jsonb, verifier text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  credential uuid := app.uuid_v7();
  connections integer := coalesce((body ->> 'connection_limit')::integer, 5);
  seconds integer := coalesce((body ->> 'statement_timeout_seconds')::integer, 300);
  until timestamptz := now() + make_interval(days => coalesce((body ->> 'expires_in_days')::integer, 90));
  role_name text;
begin
  perform app_private.make_room_for_bi();
  role_name := app_private.make_bi_role(credential, verifier, connections, seconds, until);
  insert into app.bi_credentials (id, name, login, connection_limit, statement_timeout_seconds, expires_at)
  values (credential, body ->> 'name', role_name, connections, seconds, until);
  insert into app_private.bi_logins (login, organization_id, credential_id) values (role_name, app.current_org(), credential);
  return credential;
end
$$;
comment on function app_private.add_bi_credential(jsonb, text) is
  'A credential of the organization of this transaction with its role: name, expires_in_days (90), connection_limit (5), statement_timeout_seconds (300). PT409 bi_credential_limit.';
alter function app_private.add_bi_credential(jsonb, text) owner to callboard_definer;
revoke execute on function app_private.add_bi_credential(jsonb, text) from public;

create or replace function app_private.renew_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
  until timestamptz := now() + make_interval(days => coalesce((body ->> 'expires_in_days')::integer, 90));
begin
  -- The worker's hands off the role until this is done.
  perform from app_private.bi_logins l where l.organization_id = app.current_org() and l.credential_id = credential for update;
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  perform app_private.make_room_for_bi(credential);
  perform app_private.make_bi_role(credential, verifier, c.connection_limit, c.statement_timeout_seconds, until);
  update app.bi_credentials x set rotated_at = now(), expires_at = until
  where x.organization_id = c.organization_id and x.id = credential;
  update app_private.bi_logins l set must_end = true where l.login = c.login;
end
$$;
comment on function app_private.renew_bi_credential(uuid, jsonb, text) is
  'Gives a credential of the organization of this transaction another password and another end; makes its role again if that is gone, as after a restore. PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.renew_bi_credential(uuid, jsonb, text) owner to callboard_definer;
revoke execute on function app_private.renew_bi_credential(uuid, jsonb, text) from public;

create or replace function app_private.end_bi_credential(credential uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
begin
  -- The worker's hands off the role until this is done.
  perform from app_private.bi_logins l where l.organization_id = app.current_org() and l.credential_id = credential for update;
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  update app.bi_credentials x set revoked_at = now(), revoked_by = app.current_user_id()
  where x.organization_id = c.organization_id and x.id = credential;
  perform app_private.let_bi_role(credential, false);
end
$$;
comment on function app_private.end_bi_credential(uuid) is 'Revokes a credential of the organization of this transaction. PT404, PT409 bi_credential_revoked.';
alter function app_private.end_bi_credential(uuid) owner to callboard_definer;
revoke execute on function app_private.end_bi_credential(uuid) from public;

create or replace function app_private.bi_answer(status integer, credential uuid, verifier text) returns app.answer
language sql volatile
set search_path = ''
begin atomic
  -- Volatile, so that it sees what the same statement has made. made_with tells the server whether the password that it has made is the one that counts, or the request was repeated.
  select status, (c.body::jsonb || jsonb_build_object('made_with', encode(app_private.digest(verifier), 'hex')))::json,
    null::text, '/api/bi-credentials/' || c.id
  from app.bi_credential_list c where c.organization_id = app.current_org() and c.id = credential;
end;
comment on function app_private.bi_answer(integer, uuid, text) is 'A credential that has just got a password.';
alter function app_private.bi_answer(integer, uuid, text) owner to callboard_definer;
revoke execute on function app_private.bi_answer(integer, uuid, text) from public;

create or replace function app.create_bi_credential(body jsonb, verifier text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('bi.manage');
  return app_private.bi_answer(201, app_private.add_bi_credential(body, verifier), verifier);
end
$$;
comment on function app.create_bi_credential(jsonb, text) is
  'A new login for a BI tool, whose password has this SCRAM-SHA-256 verifier. PT403 without bi.manage, PT409 bi_credential_limit.';
alter function app.create_bi_credential(jsonb, text) owner to callboard_definer;
revoke execute on function app.create_bi_credential(jsonb, text) from public;
grant execute on function app.create_bi_credential(jsonb, text) to callboard_api;

create or replace function app.rotate_bi_credential(credential uuid, body jsonb, verifier text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('bi.manage');
  perform app_private.renew_bi_credential(credential, body, verifier);
  return app_private.bi_answer(200, credential, verifier);
end
$$;
comment on function app.rotate_bi_credential(uuid, jsonb, text) is
  'Another password, and another end (expires_in_days). Then app.end_bi_connections ends what the old one has opened. PT403, PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;
revoke execute on function app.rotate_bi_credential(uuid, jsonb, text) from public;
grant execute on function app.rotate_bi_credential(uuid, jsonb, text) to callboard_api;

create or replace function app.revoke_bi_credential(credential uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('bi.manage');
  perform app_private.end_bi_credential(credential);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_bi_credential(uuid) is
  'Ends a credential for good: it sees nothing from the next statement on. Then app.end_bi_connections ends what it has open. PT403, PT404, PT409 bi_credential_revoked.';
alter function app.revoke_bi_credential(uuid) owner to callboard_definer;
revoke execute on function app.revoke_bi_credential(uuid) from public;
grant execute on function app.revoke_bi_credential(uuid) to callboard_api;

-- In a transaction of its own, after the one that ended them has committed: before, a tool that connects
-- again at once would get in once more. It ends only what has no right to be there, so anybody may call it.
create or replace function app.end_bi_connections() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  login record;
  ended bigint := 0;
begin
  for login in select * from app_private.bi_states s where s.must_end or not s.is_live loop
    ended := ended + app_private.end_bi_sessions(login.credential_id);
    update app_private.bi_logins l set must_end = false where l.login = login.login and l.must_end;
  end loop;
  return ended;
end
$$;
comment on function app.end_bi_connections() is
  'Ends the connections of BI logins that are revoked or have expired, whose organization is deleted, or that were made with an earlier password. Returns how many.';
alter function app.end_bi_connections() owner to callboard_definer;
revoke execute on function app.end_bi_connections() from public;
grant execute on function app.end_bi_connections() to callboard_api, callboard_worker;
--! EndIncluded bi_commands.sql
--! Included bi_keeping.sql
-- What is done about BI logins without being asked: roles follow what has become of their credentials, and
-- nobody holds up others with a transaction without end, which every login could ask for.

create or replace function app_private.keep_bi_login(s app_private.bi_states, can_log_in boolean, is_connected boolean) returns bigint
language plpgsql volatile
set search_path = ''
as $$
begin
  if s.is_gone and not is_connected then
    perform app_private.drop_bi_role(s.credential_id);
    delete from app_private.bi_logins l where l.login = s.login;
    return 1;
  elsif can_log_in is distinct from s.is_live and can_log_in is not null then
    perform app_private.let_bi_role(s.credential_id, s.is_live);
    if s.has_expired then
      perform app_private.log_event(s.organization_id, 'bi.expire', 'bi', s.credential_id);
    end if;
    return 1;
  end if;
  return 0;
exception when dependent_objects_still_exist then
  -- A DBA has granted it something. It cannot log in, and is dropped when that is gone.
  return 0;
end
$$;
comment on function app_private.keep_bi_login(app_private.bi_states, boolean, boolean) is
  'Lets a role log in or not, or drops it, as its credential says. Returns 1 if that was something to do.';
alter function app_private.keep_bi_login(app_private.bi_states, boolean, boolean) owner to callboard_definer;
revoke execute on function app_private.keep_bi_login(app_private.bi_states, boolean, boolean) from public;

create or replace function app.keep_bi_logins() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  found_one record;
  done bigint;
begin
  -- One worker at a time, and most of the time there is nothing to do.
  perform from app_private.bi_logins l for update skip locked;
  if not found then
    return 0;
  end if;
  done := app.end_bi_connections();
  for found_one in
    select s, r.rolcanlogin, a.backends > 0 as is_connected, a.late
    from app_private.bi_states s
    left join pg_catalog.pg_roles r on r.rolname = s.login,
      lateral (
        select count(*) as backends,
          -- Twice what a statement may take: it can change its own timeouts, and old transactions keep VACUUM waiting.
          array_agg(x.pid) filter (where x.xact_start < clock_timestamp() - make_interval(secs => 2 * s.statement_timeout_seconds)) as late
        from pg_catalog.pg_stat_activity x where x.usename = s.login and x.datname = current_database()) a
  loop
    done := done + app_private.keep_bi_login(found_one.s, found_one.rolcanlogin, found_one.is_connected);
    if found_one.is_connected then
      done := done + coalesce((select sum(app_private.end_bi_sessions((found_one.s).credential_id, p)) from unnest(found_one.late) p), 0);
      update app_private.bi_logins l set last_seen_at = now()
      where l.login = (found_one.s).login and coalesce(l.last_seen_at < now() - interval '5 minutes', true);
    end if;
  end loop;
  return done;
end
$$;
comment on function app.keep_bi_logins() is
  'Ends connections as app.end_bi_connections does, and transactions that last twice as long as a statement may; lets roles log in or not as their credentials say, drops those that are revoked, and notes who was connected. Every few seconds. Returns how much there was to do.';
alter function app.keep_bi_logins() owner to callboard_definer;
revoke execute on function app.keep_bi_logins() from public;
grant execute on function app.keep_bi_logins() to callboard_worker;

-- The same as in bi_commands.sql for a DBA (npm run bi), in the context of the organization and without it afterwards.
create or replace function app_private.create_bi_credential(of_slug text, body jsonb, verifier text) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.slug_organization(of_slug);
  credential uuid;
begin
  if organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', of_slug));
  end if;
  perform app_private.set_context(null, null, organization);
  credential := app_private.add_bi_credential(body, verifier);
  perform app_private.set_context(null, null);
  return credential;
end
$$;
comment on function app_private.create_bi_credential(text, jsonb, text) is 'A new login for a BI tool of an organization (by slug). Returns the credential''s id. PT404, PT409 bi_credential_limit.';
alter function app_private.create_bi_credential(text, jsonb, text) owner to callboard_definer;
revoke execute on function app_private.create_bi_credential(text, jsonb, text) from public;

create or replace function app_private.rotate_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.set_context(null, null, (select c.organization_id from app.bi_credentials c where c.id = credential));
  perform app_private.renew_bi_credential(credential, body, verifier);
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.rotate_bi_credential(uuid, jsonb, text) is 'Another password and another end for a BI credential, whoever has made it. PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;
revoke execute on function app_private.rotate_bi_credential(uuid, jsonb, text) from public;

create or replace function app_private.revoke_bi_credential(credential uuid) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.set_context(null, null, (select c.organization_id from app.bi_credentials c where c.id = credential));
  perform app_private.end_bi_credential(credential);
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.revoke_bi_credential(uuid) is 'Ends a BI credential, whoever has made it. PT404, PT409 bi_credential_revoked.';
alter function app_private.revoke_bi_credential(uuid) owner to callboard_definer;
revoke execute on function app_private.revoke_bi_credential(uuid) from public;
--! EndIncluded bi_keeping.sql
--! Included visible_org.sql
-- Whose rows somebody sees in `analytics`. The materialized views behind it hold those of all
-- organizations and know no policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A BI tool is who has logged in, whatever its settings say, and has no permissions of its own: who
  -- made it decided that it sees all of `analytics`. Any other login needs the context of a member.
  if session_user like 'bi\_%' then
    return (select s.organization_id from app_private.bi_states s where s.login = session_user and s.is_live);
  elsif permission is not null and app.org_if(permission) is null then
    return null;
  end if;
  return app.org_if('analytics.read');
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures may be read: of a BI login its own, while the credential is neither revoked nor expired and the organization not deleted; else that of the transaction''s member, if they hold analytics.read and the permission that is asked for besides. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
revoke execute on function app.visible_org(text) from public;
-- callboard_bi may not use the schema `app`, so it calls this through the views only.
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup, callboard_bi;
--! EndIncluded visible_org.sql
--! Included event_seals.sql
-- Proof that the event log is what it was. A worker seals the events of each organization in a
-- chain: every seal's hash covers the event's and that of the seal before. Whoever changes, takes
-- out or cuts off an event breaks the chain, or ends with another head than one that was noted
-- elsewhere. Of the personal details the chain holds only a salted hash, so they can be erased.

create table if not exists app.event_seals (
  organization_id uuid not null,
  seq bigint not null,
  event_id uuid not null,
  occurred_at timestamptz not null,
  core_hash bytea not null,
  details_hash bytea not null,
  prev_hash bytea not null,
  hash bytea not null,
  sealed_at timestamptz not null default now(),
  primary key (organization_id, seq),
  constraint event_seals_event_once unique (organization_id, event_id)
);
alter table app.event_seals enable row level security;
alter table app.event_seals force row level security;
drop policy if exists select_auditor on app.event_seals;
create policy select_auditor on app.event_seals for select to callboard_auditor using (true);
-- The definer adds to it, and nobody ever changes or deletes: seals outlive their events.
drop policy if exists select_definer on app.event_seals;
create policy select_definer on app.event_seals for select to callboard_definer using (true);
drop policy if exists insert_definer on app.event_seals;
create policy insert_definer on app.event_seals for insert to callboard_definer with check (true);
grant select on app.event_seals to callboard_auditor, callboard_definer;
grant insert on app.event_seals to callboard_definer;
alter table app.event_seals alter column seq set statistics 0, alter column core_hash set statistics 0,
  alter column details_hash set statistics 0, alter column prev_hash set statistics 0, alter column hash set statistics 0;
comment on table app.event_seals is 'The chain of each organization''s events.';
comment on column app.event_seals.core_hash is 'Of what stays of an event for ever: app.event_core_hash.';
comment on column app.event_seals.details_hash is 'Of what may be erased, with a salt that is erased too: app.event_details_hash.';
comment on column app.event_seals.hash is 'Of prev_hash and all before it: app.event_seal_hash. With seq it is the head of the chain up to here.';

-- How far the sealer is; whoever holds the row is the only one.
create table if not exists app_private.sealing (
  id boolean primary key default true constraint sealing_one_row check (id),
  sealed_until timestamptz not null default '-infinity'
);
alter table app_private.sealing enable row level security;
alter table app_private.sealing force row level security;
drop policy if exists all_definer on app_private.sealing;
create policy all_definer on app_private.sealing for all to callboard_definer using (true);
grant select, update on app_private.sealing to callboard_definer;
drop policy if exists insert_owner on app_private.sealing;
create policy insert_owner on app_private.sealing for insert to callboard_owner with check (true);
insert into app_private.sealing default values on conflict do nothing;
comment on table app_private.sealing is 'Until when all events are sealed; locked by the sealer, so that there is one at a time.';

-- Times as microseconds and everything as the text of an array, which quotes its elements: neither
-- depends on a setting, and no value can pose as two.
create or replace function app.event_core_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).organization_id::text, (e).id::text, (extract(epoch from (e).occurred_at) * 1000000)::bigint::text,
  (e).actor_id::text, (e).actor_kind, (e).session_id::text, (e).action, (e).resource_type, (e).resource_id::text]::text, 'UTF8'));
comment on function app.event_core_hash(app.event_log) is 'SHA-256 of an event without its details.';
revoke execute on function app.event_core_hash(app.event_log) from public;
grant execute on function app.event_core_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_details_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).salt::text, (e).changes::text, (e).request_id, host((e).ip)]::text, 'UTF8'));
comment on function app.event_details_hash(app.event_log) is 'Salted SHA-256 of the details of an event: changes, request_id, ip.';
revoke execute on function app.event_details_hash(app.event_log) from public;
grant execute on function app.event_details_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_seal_hash(prev_hash bytea, organization_id uuid, seq bigint, event_id uuid, occurred_at timestamptz, core_hash bytea, details_hash bytea) returns bytea
language sql immutable parallel safe
return sha256(prev_hash || uuid_send(organization_id) || int8send(seq) || uuid_send(event_id) || timestamptz_send(occurred_at) || core_hash || details_hash);
comment on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) is 'SHA-256 of a seal and the one before it; before the first there is the empty one.';
revoke execute on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) from public;
grant execute on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) to callboard_auditor, callboard_definer;

create or replace function app_private.seal_horizon() returns timestamptz
language plpgsql volatile
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
    raise exception 'callboard_definer cannot see the transactions of others: run db/roles.sql again, as a superuser';
  end if;
  -- An earlier look in this transaction would be repeated otherwise.
  perform pg_stat_clear_snapshot();
  return least(at,
    -- BI tools write no events, and may keep a transaction open for long.
    (select min(a.xact_start) from pg_catalog.pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type <> 'autovacuum worker'
      and not exists (select from app_private.bi_logins l where l.login = a.usename)),
    -- When a prepared transaction began is not known, only that it was before.
    (select min(p.prepared) - interval '1 hour' from pg_catalog.pg_prepared_xacts p where p.database = current_database()));
end
$$;
comment on function app_private.seal_horizon() is 'The moment before which every transaction that has begun has also ended.';
alter function app_private.seal_horizon() owner to callboard_definer;
revoke execute on function app_private.seal_horizon() from public;

create or replace function app_private.next_logged(behind uuid, since timestamptz, until timestamptz) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  -- Along the primary key from one organization to the next. Whole months, so that it needs no look at the events.
  if behind is null then
    return (select l.organization_id from app.event_log l
      where l.occurred_at >= date_trunc('month', since, 'UTC') and l.occurred_at < until order by l.organization_id limit 1);
  end if;
  return (select l.organization_id from app.event_log l
    where l.organization_id > behind and l.occurred_at >= date_trunc('month', since, 'UTC') and l.occurred_at < until
    order by l.organization_id limit 1);
end
$$;
comment on function app_private.next_logged(uuid, timestamptz, timestamptz) is
  'The organization behind another one (null: the first) that has events between two moments, and perhaps some that has them only nearby.';
alter function app_private.next_logged(uuid, timestamptz, timestamptz) owner to callboard_definer;
revoke execute on function app_private.next_logged(uuid, timestamptz, timestamptz) from public;

create or replace function app_private.seal_some(of_organization uuid, since timestamptz, until timestamptz, at_most integer) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  head app.event_seals;
  batch record;
  chain bytea[] := '{}';
  last_hash bytea;
begin
  -- Hashed after the limit, not before.
  select array_agg((e.l).id) as ids, array_agg((e.l).occurred_at) as times,
    array_agg(app.event_core_hash(e.l)) as cores, array_agg(app.event_details_hash(e.l)) as details into batch
  from (
    select l from app.event_log l
    where l.organization_id = of_organization and l.occurred_at >= since and l.occurred_at < until
      and not exists (select from app.event_seals s where s.organization_id = of_organization and s.event_id = l.id)
    order by l.occurred_at, l.id limit at_most) e;
  if batch.ids is null then
    return 0;
  end if;
  select * into head from app.event_seals s where s.organization_id = of_organization order by s.seq desc limit 1;
  head.seq := coalesce(head.seq, 0);
  head.hash := coalesce(head.hash, '');
  last_hash := head.hash;
  for n in 1 .. cardinality(batch.ids) loop
    last_hash := app.event_seal_hash(last_hash, of_organization, head.seq + n, batch.ids[n], batch.times[n], batch.cores[n], batch.details[n]);
    chain[n] := last_hash;
  end loop;
  insert into app.event_seals (organization_id, seq, event_id, occurred_at, core_hash, details_hash, prev_hash, hash)
  select of_organization, head.seq + e.n, e.id, e.occurred_at, e.core, e.details, lag(e.hash, 1, head.hash) over (order by e.n), e.hash
  from unnest(batch.ids, batch.times, batch.cores, batch.details, chain) with ordinality e (id, occurred_at, core, details, hash, n);
  return cardinality(batch.ids);
end
$$;
comment on function app_private.seal_some(uuid, timestamptz, timestamptz, integer) is 'Adds the unsealed events of an organization between two moments to its chain, in the order of time; says how many.';
alter function app_private.seal_some(uuid, timestamptz, timestamptz, integer) owner to callboard_definer;
revoke execute on function app_private.seal_some(uuid, timestamptz, timestamptz, integer) from public;

create or replace function app.seal_events(look_back interval default '1 hour') returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
as $$
declare
  state app_private.sealing;
  horizon timestamptz;
  since timestamptz;
  behind timestamptz;
  organization uuid;
  done bigint;
  sealed bigint := 0;
begin
  select * into state from app_private.sealing for update skip locked;
  if not found then
    return 0;
  end if;
  horizon := app_private.seal_horizon();
  -- A clock that was set back, or a backend that stopped between taking the time and showing it,
  -- leaves an event behind the others: it is found within look_back, and sealed behind them.
  since := greatest(state.sealed_until - look_back, '0001-01-01 00:00:00+00');
  loop
    organization := app_private.next_logged(organization, since, horizon);
    exit when organization is null;
    -- Nearly all of them, when it is asked every few seconds.
    continue when not exists (select from app.event_log l
      where l.organization_id = organization and l.occurred_at >= since and l.occurred_at < horizon);
    behind := since;
    loop
      -- As many as fit into the memory at a time.
      done := app_private.seal_some(organization, behind, horizon, 20000);
      sealed := sealed + done;
      exit when done < 20000;
      select s.occurred_at into behind from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1;
    end loop;
  end loop;
  update app_private.sealing set sealed_until = greatest(sealed_until, horizon);
  return sealed;
end
$$;
comment on function app.seal_events(interval) is
  'Seals the events of all transactions that can have no earlier ones any more, and those of the last look_back that were missed; says how many. Another call at the same time does nothing. Every 2 seconds with ''10 seconds'', once a minute, and once a day with ''10 years''.';
alter function app.seal_events(interval) owner to callboard_definer;
revoke execute on function app.seal_events(interval) from public;
grant execute on function app.seal_events(interval) to callboard_worker;
--! EndIncluded event_seals.sql
--! Included rollups.sql
-- How fresh the materialized views of `analytics_private` are: a row for each. How they are
-- refreshed is in rollup_refreshing.sql; each has a file of its own, which registers it here.

create table if not exists analytics_private.rollups (
  name text primary key,
  -- The tables that it is computed from, and the events of an organization (by resource_type) after
  -- which its figures may be others: '*' is any. client_event is what comes without events of the log.
  sources text[] not null,
  resources text[] not null,
  -- Whether it knows what day it is where an organization is, so that tomorrow it is another one.
  has_today boolean not null default false,
  -- Null until it has been filled for the first time.
  as_of timestamptz,
  refreshed_at timestamptz,
  took interval,
  row_count bigint,
  -- Of the sources, before it was refreshed: analytics_private.state_of.
  state jsonb
);
alter table analytics_private.rollups enable row level security;
alter table analytics_private.rollups force row level security;
drop policy if exists select_definer on analytics_private.rollups;
create policy select_definer on analytics_private.rollups for select to callboard_definer using (true);
drop policy if exists all_rollup on analytics_private.rollups;
create policy all_rollup on analytics_private.rollups for all to callboard_rollup using (true);
drop policy if exists all_owner on analytics_private.rollups;
create policy all_owner on analytics_private.rollups for all to callboard_owner using (true);
grant select on analytics_private.rollups to callboard_definer;
grant select, update on analytics_private.rollups to callboard_rollup;
comment on table analytics_private.rollups is 'The materialized views of this schema: what they are computed from, and when they were.';
comment on column analytics_private.rollups.as_of is 'Everything that began before this moment is in the figures, or has changed nothing.';
comment on column analytics_private.rollups.refreshed_at is 'When it was computed last. as_of moves on without that as long as nothing has happened.';

-- Whoever holds the row is the only one who refreshes anything.
create table if not exists analytics_private.refreshing (
  id boolean primary key default true constraint refreshing_one_row check (id)
);
alter table analytics_private.refreshing enable row level security;
alter table analytics_private.refreshing force row level security;
drop policy if exists all_rollup on analytics_private.refreshing;
create policy all_rollup on analytics_private.refreshing for all to callboard_rollup using (true);
-- Locking a row takes the right to change it.
grant select, update on analytics_private.refreshing to callboard_rollup;
drop policy if exists insert_owner on analytics_private.refreshing;
create policy insert_owner on analytics_private.refreshing for insert to callboard_owner with check (true);
insert into analytics_private.refreshing default values on conflict do nothing;
comment on table analytics_private.refreshing is 'Locked by whoever refreshes a materialized view, so that there is one at a time.';

create or replace function analytics_private.register_rollup(name text, sources text[], resources text[], has_today boolean default false) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  known name;
begin
  execute format('alter materialized view analytics_private.%I owner to callboard_rollup', register_rollup.name);
  execute format('alter view analytics.%I owner to callboard_rollup', register_rollup.name);
  execute format('grant select on analytics.%I to callboard_api, callboard_bi', register_rollup.name);
  -- EXPLAIN shows everybody what the planner makes of the values of all organizations: of what only one of
  -- them knows it is to know nothing.
  for known in
    select a.attname from pg_catalog.pg_attribute a
    where a.attrelid = format('analytics_private.%I', register_rollup.name)::regclass and a.attnum > 0 and not a.attisdropped
      and a.atttypid in ('text'::regtype, 'bpchar'::regtype, 'integer'::regtype, 'bigint'::regtype)
      and a.attname not in ('status', 'kind', 'currency', 'base_currency')
  loop
    execute format('alter materialized view analytics_private.%I alter column %I set statistics 0', register_rollup.name, known);
  end loop;
  insert into analytics_private.rollups as r (name, sources, resources, has_today)
  values (register_rollup.name, register_rollup.sources, register_rollup.resources, register_rollup.has_today)
  on conflict on constraint rollups_pkey do update
  set sources = excluded.sources, resources = excluded.resources, has_today = excluded.has_today,
    -- What is defined anew is computed anew.
    state = null;
end
$$;
comment on function analytics_private.register_rollup(text, text[], text[], boolean) is
  'Hands the materialized view analytics_private.<name> and the view analytics.<name> over to callboard_rollup, grants the latter to those who read figures, and has the former refreshed when the tables `sources` change or an event about one of `resources` happens, or with has_today when the day turns somewhere.';
revoke execute on function analytics_private.register_rollup(text, text[], text[], boolean) from public;

create or replace function app.freshness(variadic rollups text[], out as_of timestamptz, out is_current boolean)
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
-- Only the events since as_of, which are few, whatever the planner thinks: it does not know as_of.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  organization uuid := app.visible_org();
begin
  if organization is null then
    return;
  end if;
  -- Events are kept for 90 days at least.
  select case when bool_and(r.as_of is not null) then min(r.as_of) end,
    bool_and(coalesce(r.as_of > now() - interval '90 days', false)
      and not (r.has_today and exists (select from app.organizations o
        where o.id = organization and (r.refreshed_at at time zone o.time_zone)::date <> (now() at time zone o.time_zone)::date))
      and not exists (select from app.event_log l
        where l.organization_id = organization and l.occurred_at >= r.as_of and (l.resource_type = any (r.resources) or '*' = any (r.resources)))
      and not ('client_event' = any (r.resources) and exists (select from app.client_events c
        where c.organization_id = organization and c.received_at >= r.as_of)))
  into as_of, is_current
  from analytics_private.rollups r where r.name = any (rollups);
end
$$;
comment on function app.freshness(text[]) is
  'Of what moment the figures of these materialized views are, the oldest of them (null: never computed), and whether the organization has changed nothing since that they would show. Nulls for who sees none (app.visible_org).';
alter function app.freshness(text[]) owner to callboard_definer;
revoke execute on function app.freshness(text[]) from public;
grant execute on function app.freshness(text[]) to callboard_api;

-- Of BI tools, too: each answer of the API has it besides.
create or replace view analytics.freshness with (security_barrier = true) as
  select r.name as view_name, f.as_of, f.is_current
  from analytics_private.rollups r, lateral app.freshness(r.name) f
  where (select app.visible_org()) is not null;
comment on view analytics.freshness is 'How old the figures of each view are.';
comment on column analytics.freshness.view_name is 'The view in this schema.';
comment on column analytics.freshness.as_of is 'Its figures are complete up to this moment; null if there are none yet.';
comment on column analytics.freshness.is_current is 'Whether your organization has changed nothing since that they would show.';
alter view analytics.freshness owner to callboard_rollup;
grant select on analytics.freshness to callboard_api, callboard_bi;
grant execute on function app.freshness(text[]) to callboard_rollup, callboard_bi;

create or replace function app.read_freshness() returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.require('analytics.read');
  return (null, (select json_build_object('items', coalesce(json_agg(json_build_object(
      'name', f.view_name, 'as_of', f.as_of, 'is_current', f.is_current) order by f.view_name), '[]'), 'next_cursor', null)
    from analytics.freshness f), null, null)::app.answer;
end
$$;
comment on function app.read_freshness() is 'How old the figures are, by view. PT403 without analytics.read.';
revoke execute on function app.read_freshness() from public;
grant execute on function app.read_freshness() to callboard_api, callboard_definer;

create or replace function app.ask_for_refresh() returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('analytics.refresh');
  -- However many ask: as long as it waits, it is one job.
  perform app_private.add_job('refresh_rollups', '{}', 'refresh_rollups', 4);
  return (202, json_build_object('look_at', '/api/analytics/refresh'), null, null)::app.answer;
end
$$;
comment on function app.ask_for_refresh() is 'Has the worker refresh what has changed, now instead of within a minute. PT403 without analytics.refresh.';
alter function app.ask_for_refresh() owner to callboard_definer;
revoke execute on function app.ask_for_refresh() from public;
grant execute on function app.ask_for_refresh() to callboard_api;
--! EndIncluded rollups.sql
select analytics_private.register_rollup(r.name, r.sources, r.resources, r.has_today) from analytics_private.rollups r;
