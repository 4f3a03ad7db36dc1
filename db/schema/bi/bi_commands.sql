-- Commands on BI credentials; the tables are in bi_credentials.sql, the functions that create and drop
-- roles in db/database.sql. The caller generates the password and sends only its SCRAM-SHA-256 verifier,
-- with which nobody can log in.

create or replace function app_private.make_room_for_bi(besides uuid default null) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 10;
begin
  -- Serializes concurrent requests, so that each counts the others.
  perform from app.organizations o where o.id = app.current_org() for no key update;
  if (select count(*) from app.bi_credentials c
      where c.organization_id = app.current_org() and c.revoked_at is null and c.expires_at > now() and c.id is distinct from besides) >= most then
    perform app.refuse(409, 'bi_credential_limit', format('There are already %s BI credentials: revoke one first.', most));
  end if;
end
$$;
comment on function app_private.make_room_for_bi(uuid) is 'PT409 bi_credential_limit if the organization already has the maximum number of active credentials, not counting this one.';
alter function app_private.make_room_for_bi(uuid) owner to callboard_definer;

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
  -- Nobody can have locked or changed a role that is not there yet.
  role_name := app_private.make_bi_role(credential, verifier, connections, seconds, until);
  insert into app.bi_credentials (id, name, login, connection_limit, statement_timeout_seconds, expires_at)
  values (credential, body ->> 'name', role_name, connections, seconds, until);
  insert into app_private.bi_logins (login, organization_id, credential_id, verifier, settings)
  values (role_name, app.current_org(), credential, verifier, app_private.bi_settings(role_name));
  return credential;
end
$$;
comment on function app_private.add_bi_credential(jsonb, text) is
  'Creates a credential of the current organization and its role: name, expires_in_days (90), connection_limit (5), statement_timeout_seconds (300). PT409 bi_credential_limit.';
alter function app_private.add_bi_credential(jsonb, text) owner to callboard_definer;

create or replace function app_private.renew_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
  until timestamptz;
begin
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  perform app_private.make_room_for_bi(credential);
  until := case when body ->> 'expires_in_days' is null and c.expires_at > now() then c.expires_at
    else now() + make_interval(days => coalesce((body ->> 'expires_in_days')::integer, 90)) end;
  update app.bi_credentials x
  set rotated_at = now(), expires_at = until, held_by = app.current_user_id(), held_since = now(), held_by_operator = app.current_user_id() is null
  where x.organization_id = c.organization_id and x.id = credential;
  -- The role itself is left to app_private.settle_bi_login: it may be locked or changed by whoever has the old password.
  insert into app_private.bi_logins as l (login, organization_id, credential_id, verifier, must_end, is_set)
  values (c.login, c.organization_id, credential, renew_bi_credential.verifier, true, false)
  on conflict (login) do update set verifier = excluded.verifier, must_end = true, is_set = false;
end
$$;
comment on function app_private.renew_bi_credential(uuid, jsonb, text) is
  'Shuts a credential of the current organization out until app.settle_bi_login has given it a new password; it belongs to the caller from then on, and gets a new expiry if expires_in_days is given or it has expired (then 90 by default). PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.renew_bi_credential(uuid, jsonb, text) owner to callboard_definer;

create or replace function app_private.end_bi_credential(credential uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
begin
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  -- Nothing of the role's, which whoever has its password may have locked.
  update app.bi_credentials x set revoked_at = now(), revoked_by = app.current_user_id()
  where x.organization_id = c.organization_id and x.id = credential;
end
$$;
comment on function app_private.end_bi_credential(uuid) is 'Revokes a credential of the current organization. PT404, PT409 bi_credential_revoked.';
alter function app_private.end_bi_credential(uuid) owner to callboard_definer;

create or replace function app_private.bi_answer(status integer, credential uuid, verifier text) returns app.answer
language sql volatile
set search_path = ''
begin atomic
  -- Volatile, so that it sees what the same statement created. made_with tells the server whether the password it generated is in use, or the request was repeated.
  select status, (c.body::jsonb || jsonb_build_object('made_with', encode(app_private.digest(verifier), 'hex')))::json,
    null::text, '/api/bi-credentials/' || c.id
  from app.bi_credential_list c where c.organization_id = app.current_org() and c.id = credential;
end;
comment on function app_private.bi_answer(integer, uuid, text) is 'The response for a credential that has just been given a password.';
alter function app_private.bi_answer(integer, uuid, text) owner to callboard_definer;

create or replace function app_private.require_member(permission text) returns void
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  perform app.require(permission);
  if (app_private.context()).role = 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'A login would outlive a superadmin''s grant: a member must create it.');
  end if;
end
$$;
comment on function app_private.require_member(text) is 'As app.require, but PT403 permission_denied for superadmins, whatever their grant.';
alter function app_private.require_member(text) owner to callboard_definer;

create or replace function app.create_bi_credential(body jsonb, verifier text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.require_member('bi.manage');
  return app_private.bi_answer(201, app_private.add_bi_credential(body, verifier), verifier);
end
$$;
comment on function app.create_bi_credential(jsonb, text) is
  'Creates a login for a BI tool; its password has this SCRAM-SHA-256 verifier. PT403 without bi.manage, PT409 bi_credential_limit.';
alter function app.create_bi_credential(jsonb, text) owner to callboard_definer;
grant execute on function app.create_bi_credential(jsonb, text) to callboard_api;

create or replace function app.rotate_bi_credential(credential uuid, body jsonb, verifier text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.require_member('bi.manage');
  perform app_private.renew_bi_credential(credential, body, verifier);
  return app_private.bi_answer(200, credential, verifier);
end
$$;
comment on function app.rotate_bi_credential(uuid, jsonb, text) is
  'Takes a credential over: shuts it out until app.settle_bi_login, called until it returns true, has given it the new password; a new expiry as expires_in_days says, or in 90 days if it has expired. PT403, PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;
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
  'Revokes a credential permanently: it sees nothing from the next statement on. Afterwards app.settle_bi_login, called until it returns true, ends its connections. PT403, PT404, PT409 bi_credential_revoked.';
alter function app.revoke_bi_credential(uuid) owner to callboard_definer;
grant execute on function app.revoke_bi_credential(uuid) to callboard_api;
