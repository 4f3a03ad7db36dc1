-- BI tools connect directly to PostgreSQL, each with its own login that belongs to one organization.
-- What it sees depends on the login (session_user), never on a setting. Members manage the credential;
-- the role itself is created and dropped in bi_commands.sql and db/database.sql. Credentials are never
-- deleted, so that the list shows who could once read what.

create table if not exists app.bi_credentials (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint bi_credentials_name_length check (app.is_line(name, 200)),
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
  -- Who answers for it, and since when, if that is not who created it; the operator for one that a DBA rotated.
  held_by uuid references app.users (id),
  held_since timestamptz,
  held_by_operator boolean not null default false,
  primary key (organization_id, id),
  constraint bi_credentials_expiry_range check (expires_at - coalesce(rotated_at, created_at) between interval '0' and interval '731 days')
);

-- Without grants: the functions of bi_commands.sql write and check the permission.
select app_private.tenant_policies('app.bi_credentials', reads => 'bi.manage', inserts => 'bi.manage', updates => 'bi.manage',
  definer => 'insert, update');
grant select on app.bi_credentials to callboard_api, callboard_definer;
grant insert (id, name, login, connection_limit, statement_timeout_seconds, expires_at),
  update (expires_at, rotated_at, revoked_at, revoked_by, held_by, held_since, held_by_operator) on app.bi_credentials to callboard_definer;

comment on table app.bi_credentials is 'Database logins of BI tools: each reads the views of `analytics` for its organization until it is revoked or expires.';
comment on column app.bi_credentials.login is 'The PostgreSQL role. Its password is stored nowhere; PostgreSQL stores only its verifier.';
comment on column app.bi_credentials.created_by is 'The member who created it; null for a DBA.';
comment on column app.bi_credentials.held_by is 'The member who gave it its password last, or to whom it was handed over; null for who created it. It is worth nothing without them.';

select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');

-- Which organization a login belongs to, looked up before there is a context. Without foreign keys, because
-- the role outlives a purged organization until it is dropped.
create table if not exists app_private.bi_logins (
  login text primary key,
  organization_id uuid not null,
  credential_id uuid not null,
  must_end boolean not null default false,
  last_seen_at timestamptz,
  -- What the role has to be like; null for one of an earlier release. It can change both itself.
  verifier text,
  settings text[],
  is_set boolean not null default true,
  set_at timestamptz
);
select app_private.definer_table('app_private.bi_logins');
comment on table app_private.bi_logins is 'The organization that each BI login belongs to; a row is deleted when its role is dropped.';
comment on column app_private.bi_logins.must_end is 'Its role has been given a password, and it has yet to be seen that nobody has another.';
comment on column app_private.bi_logins.verifier is 'The SCRAM-SHA-256 verifier of its password, with which nobody can log in.';
comment on column app_private.bi_logins.settings is 'The settings that its role was given.';
comment on column app_private.bi_logins.set_at is 'When its role had its present password for certain: who had begun to sign in before may have done so with another.';
comment on column app_private.bi_logins.is_set is 'Whether its role has been given the verifier. Until then the login sees nothing.';
comment on column app_private.bi_logins.last_seen_at is 'When it was last connected, to within five minutes.';

-- A login is worth what the member who answers for it could still do: make one. It shows nothing without them, until
-- another member takes it over by giving it a new password, which those who have left do not know.
create or replace function app_private.bi_holder(c app.bi_credentials) returns uuid
language sql immutable
return case when not c.held_by_operator then coalesce(c.held_by, c.created_by) end;
comment on function app_private.bi_holder(app.bi_credentials) is 'The member without whom a credential is worth nothing; null for the operator''s.';
alter function app_private.bi_holder(app.bi_credentials) owner to callboard_definer;

create or replace function app_private.bi_holds(c app.bi_credentials, permission text) returns boolean
language sql stable
set search_path = ''
return app_private.bi_holder(c) is null
  or permission = any (app_private.still_held(c.organization_id, app_private.bi_holder(c), coalesce(c.held_since, c.created_at)));
comment on function app_private.bi_holds(app.bi_credentials, text) is
  'Whether who answers for a credential, and has been a member since, holds a permission; the operator holds all.';
alter function app_private.bi_holds(app.bi_credentials, text) owner to callboard_definer;

create or replace function app_private.is_bi_held(c app.bi_credentials) returns boolean
language sql stable
set search_path = ''
return app_private.bi_holds(c, 'bi.manage');
comment on function app_private.is_bi_held(app.bi_credentials) is 'Whether somebody still answers for a credential: the operator, or a member who may manage BI logins and has been one since.';
alter function app_private.is_bi_held(app.bi_credentials) owner to callboard_definer;

create or replace view app_private.bi_states with (security_invoker = true) as
  select l.organization_id, l.credential_id, l.login, l.must_end, l.last_seen_at, c.statement_timeout_seconds,
    c.id is null or c.revoked_at is not null as is_gone,
    c.revoked_at is null and c.expires_at <= statement_timestamp() as has_expired,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null and l.is_set and app_private.is_bi_held(c), false) as is_live,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null and not app_private.is_bi_held(c), false) as is_suspended,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null and not l.is_set and app_private.is_bi_held(c), false) as is_to_be_set
  from app_private.bi_logins l
  left join app.bi_credentials c on c.organization_id = l.organization_id and c.id = l.credential_id
  left join app.organizations o on o.id = l.organization_id;
comment on view app_private.bi_states is 'The desired state of each BI login.';
grant select on app_private.bi_states to callboard_definer;

create or replace function app.bi_last_seen(credential uuid) returns timestamptz
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select max(l.last_seen_at) from app_private.bi_logins l
    where l.organization_id = app.org_if_reading('bi.manage') and l.credential_id = credential);
end
$$;
comment on function app.bi_last_seen(uuid) is 'When the login of a credential of the organization was last connected, to within five minutes; for members with bi.manage.';
alter function app.bi_last_seen(uuid) owner to callboard_definer;
grant execute on function app.bi_last_seen(uuid) to callboard_api, callboard_definer;

create or replace function app.is_bi_suspended(credential uuid) returns boolean
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return exists (select from app.bi_credentials c
    where c.organization_id = app.org_if_reading('bi.manage') and c.id = credential and not app_private.is_bi_held(c));
end
$$;
comment on function app.is_bi_suspended(uuid) is 'Whether nobody answers for a credential of the organization any longer; for members with bi.manage.';
alter function app.is_bi_suspended(uuid) owner to callboard_definer;
grant execute on function app.is_bi_suspended(uuid) to callboard_api, callboard_definer;

create or replace view app.bi_credential_list with (security_invoker = true) as
  select c.organization_id, c.id, c.created_at,
    json_build_object('id', c.id, 'name', c.name, 'login', c.login,
      'status', case when c.revoked_at is not null then 'revoked' when c.expires_at <= statement_timestamp() then 'expired'
        when app.is_bi_suspended(c.id) then 'suspended' else 'active' end,
      'connection_limit', c.connection_limit, 'statement_timeout_seconds', c.statement_timeout_seconds,
      'created_by', c.created_by, 'held_by', case when not c.held_by_operator then coalesce(c.held_by, c.created_by) end, 'created_at', c.created_at, 'expires_at', c.expires_at, 'rotated_at', c.rotated_at,
      'last_seen_at', app.bi_last_seen(c.id), 'revoked_by', c.revoked_by, 'revoked_at', c.revoked_at) as body
  from app.bi_credentials c;
comment on view app.bi_credential_list is 'The organization''s BI credentials, including ended ones, with their JSON.';
grant select on app.bi_credential_list to callboard_api, callboard_definer;

create or replace function app.read_bi_credential(credential uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require_reading('bi.manage');
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
comment on function app.read_bi_credential(uuid) is 'A BI credential, whatever its state. PT403 without bi.manage, PT404.';
grant execute on function app.read_bi_credential(uuid) to callboard_api;
