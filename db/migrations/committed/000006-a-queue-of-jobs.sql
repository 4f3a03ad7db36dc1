--! Previous: sha1:db79c80e19a13114753bb9b6498b8693eccec45e
--! Hash: sha1:74398af2653ef1c48c5f8dbb97d5f37fd08b7faf
--! Message: a queue of jobs

-- The queue of jobs takes the place of the mails' own retries.
drop function if exists app.take_mail();
drop function if exists app.settle_mail(uuid, text);
alter table app_private.mails drop column if exists attempts, drop column if exists next_attempt_at;
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
grant select, insert, update, delete on app.sessions to callboard_definer;

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
--! Included accounts.sql
-- Passwords and proofs. The API computes argon2id, the database compares, and a password's hash
-- never leaves it: `app.password_recipe` gives salt and cost, the API answers with the raw
-- argon2id output (the proof), and only its SHA-256 is stored. So even SQL injected as the
-- API's login can neither read something to crack nor sign in as somebody.

create table if not exists app_private.credentials (
  user_id uuid primary key references app.users (id) on delete cascade,
  recipe text not null,
  verifier bytea not null,
  changed_at timestamptz not null default now()
);
alter table app_private.credentials enable row level security;
alter table app_private.credentials force row level security;
drop policy if exists all_definer on app_private.credentials;
create policy all_definer on app_private.credentials for all to callboard_definer using (true);
grant select, insert, update on app_private.credentials to callboard_definer;
comment on table app_private.credentials is 'Of each password: how to derive its proof, and the SHA-256 of the proof.';

create table if not exists app_private.email_tokens (
  token_hash bytea primary key,
  user_id uuid not null references app.users (id) on delete cascade,
  purpose text not null constraint email_tokens_purpose_known check (purpose in ('verify_email', 'reset_password')),
  expires_at timestamptz not null,
  used_at timestamptz
);
create index if not exists email_tokens_user_id_idx on app_private.email_tokens (user_id);
alter table app_private.email_tokens enable row level security;
alter table app_private.email_tokens force row level security;
drop policy if exists all_definer on app_private.email_tokens;
create policy all_definer on app_private.email_tokens for all to callboard_definer using (true);
grant select, insert, update, delete on app_private.email_tokens to callboard_definer;
comment on table app_private.email_tokens is 'Hashes of the secrets in mailed links.';

create or replace function app_private.password_cost() returns text
language sql immutable parallel safe
set search_path = ''
return 'argon2id$m=19456,t=2,p=1$';
comment on function app_private.password_cost() is 'What a new password costs to derive: OWASP''s minimum for argon2id.';
alter function app_private.password_cost() owner to callboard_definer;
revoke execute on function app_private.password_cost() from public;

create or replace function app.password_recipe(address text default null) returns text
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- An unknown address gets a salt too, always the same one, so that it looks like a known one.
  return coalesce(
    (select c.recipe from app_private.credentials c join app.users u on u.id = c.user_id where lower(u.email) = lower(address)),
    -- All 128 bits from the same hash: the fixed bits of a UUID would tell the one from the other.
    app_private.password_cost() || encode(substring(app_private.keyed_hash(
      convert_to('salt:' || coalesce(lower(address), gen_random_uuid()::text), 'UTF8')) from 1 for 16), 'base64'));
end
$$;
comment on function app.password_recipe(text) is
  'How to derive the proof of a password: argon2id$m=<KiB>,t=<passes>,p=<lanes>$<salt, base64>. With null, a fresh recipe for a new password. The cost is that of app_private.password_cost.';
alter function app.password_recipe(text) owner to callboard_definer;
revoke execute on function app.password_recipe(text) from public;
grant execute on function app.password_recipe(text) to callboard_api;

create or replace function app_private.set_password(of_user uuid, recipe text, proof bytea) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if length(proof) is distinct from 32 or not starts_with(recipe, app_private.password_cost())
    or substr(recipe, length(app_private.password_cost()) + 1) !~ '^[A-Za-z0-9+/]{22}==$' then
    perform app.refuse(400, 'invalid_value', 'The proof of the password is malformed.');
  end if;
  insert into app_private.credentials as c (user_id, recipe, verifier) values (of_user, recipe, sha256(proof))
  on conflict (user_id) do update set recipe = excluded.recipe, verifier = excluded.verifier, changed_at = now();
  -- A link that was asked for before must not undo this.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = 'reset_password' and t.used_at is null;
end
$$;
comment on function app_private.set_password(uuid, text, bytea) is 'Stores what is kept of a password; open links for a new one end.';
alter function app_private.set_password(uuid, text, bytea) owner to callboard_definer;
revoke execute on function app_private.set_password(uuid, text, bytea) from public;

create or replace function app_private.is_password(of_user uuid, proof bytea) returns boolean
language sql stable
set search_path = ''
begin atomic
  select exists (select from app_private.credentials c where c.user_id = of_user and c.verifier = sha256(proof));
end;
comment on function app_private.is_password(uuid, bytea) is 'Whether this proves the user''s password. Comparing hashes of a secret leaks nothing by its timing.';
alter function app_private.is_password(uuid, bytea) owner to callboard_definer;
revoke execute on function app_private.is_password(uuid, bytea) from public;

create or replace function app_private.mail_token(of_user uuid, for_purpose text, lifetime interval) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  token text := app_private.random_token();
begin
  -- Only the newest link works.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = for_purpose and t.used_at is null;
  insert into app_private.email_tokens (token_hash, user_id, purpose, expires_at)
  values (app_private.digest(token), of_user, for_purpose, now() + lifetime);
  perform app_private.queue_mail(for_purpose, u.email, jsonb_build_object('token', token, 'display_name', u.display_name))
  from app.users u where u.id = of_user;
end
$$;
comment on function app_private.mail_token(uuid, text, interval) is 'Mails a link that proves the address belongs to the user.';
alter function app_private.mail_token(uuid, text, interval) owner to callboard_definer;
revoke execute on function app_private.mail_token(uuid, text, interval) from public;

create or replace function app_private.spend_token(token text, for_purpose text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  whose uuid;
begin
  update app_private.email_tokens t set used_at = now()
  where t.token_hash = app_private.digest(token) and t.purpose = for_purpose and t.used_at is null and t.expires_at > now()
  returning t.user_id into whose;
  if whose is null then
    perform app.refuse(400, 'invalid_token');
  end if;
  -- Whoever holds the link reads the mailbox.
  update app.users u set email_verified_at = now() where u.id = whose and u.email_verified_at is null;
  return whose;
end
$$;
comment on function app_private.spend_token(text, text) is 'The user of a mailed link, which works once. PT400 invalid_token.';
alter function app_private.spend_token(text, text) owner to callboard_definer;
revoke execute on function app_private.spend_token(text, text) from public;

create or replace function app.register(
  address text, display_name text, recipe text, proof bytea, organization_name text default null, invitation_token text default null
) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  new_user uuid := app.uuid_v7();
begin
  insert into app.users (id, email, display_name) values (new_user, lower(address), display_name);
  perform app_private.set_password(new_user, recipe, proof);
  if invitation_token is not null then
    perform app_private.accept_invitation(new_user, invitation_token);
  else
    perform app_private.found_organization(new_user, jsonb_build_object('name', organization_name));
    perform app_private.mail_token(new_user, 'verify_email', interval '3 days');
  end if;
  perform app_private.log_event(app.current_org(), 'auth.register', 'user', new_user,
    jsonb_build_object('new', jsonb_build_object('email', lower(address), 'display_name', display_name)));
end
$$;
comment on function app.register(text, text, text, bytea, text, text) is
  'Creates a user with a first organization, or as the member that an invitation says. email_taken, PT409 slug_reserved, PT400 invalid_token, PT403 invitation_for_another_address.';
alter function app.register(text, text, text, bytea, text, text) owner to callboard_definer;
revoke execute on function app.register(text, text, text, bytea, text, text) from public;
grant execute on function app.register(text, text, text, bytea, text, text) to callboard_api;

create or replace function app.sign_in(
  address text, proof bytea, session_hash bytea, refresh_hash bytea, client jsonb, organization uuid default null
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  who uuid;
begin
  select u.id into who from app.users u where lower(u.email) = lower(address);
  -- Refusals are returned, not raised, because raising would take their event back.
  if not app_private.is_password(who, proof) then
    perform app_private.log_failed_sign_in(address, who, 'invalid_credentials', organization);
    return app.refusal(401, 'invalid_credentials', 'The address or the password is wrong.');
  end if;
  if organization is not null and organization is distinct from app_private.usual_organization(who, organization) then
    perform app_private.log_failed_sign_in(address, who, 'membership_revoked', organization);
    return app.refusal(403, 'membership_revoked');
  end if;
  return (200, app_private.start_session(who, session_hash, refresh_hash, organization, client), null, null)::app.answer;
end
$$;
comment on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) is
  'Starts a session for whoever proves the password. Answers 401 invalid_credentials (also for an unknown address) and 403 membership_revoked.';
alter function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) owner to callboard_definer;
revoke execute on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) from public;
grant execute on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) to callboard_api;

create or replace function app.change_password(proof bytea, new_recipe text, new_proof bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
begin
  if not app_private.is_password(me, proof) then
    perform app.refuse(403, 'wrong_password', 'The current password is wrong.');
  end if;
  perform app_private.set_password(me, new_recipe, new_proof);
  perform app_private.end_sessions(me, 'password_changed', app.current_session_id());
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.change_password(bytea, text, bytea) is
  'Changes the signed-in user''s password and ends their other sessions. PT403 wrong_password.';
alter function app.change_password(bytea, text, bytea) owner to callboard_definer;
revoke execute on function app.change_password(bytea, text, bytea) from public;
grant execute on function app.change_password(bytea, text, bytea) to callboard_api;

create or replace function app.forget_password(address text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.mail_token(u.id, 'reset_password', interval '1 hour') from app.users u where lower(u.email) = lower(address);
  return (202, null, null, null)::app.answer;
end
$$;
comment on function app.forget_password(text) is 'Mails a link for a new password if the address is known; the answer does not say whether it is.';
alter function app.forget_password(text) owner to callboard_definer;
revoke execute on function app.forget_password(text) from public;
grant execute on function app.forget_password(text) to callboard_api;

create or replace function app.reset_password(token text, recipe text, proof bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  who uuid := app_private.spend_token(token, 'reset_password');
begin
  perform app_private.set_password(who, recipe, proof);
  perform app_private.end_sessions(who, 'password_reset');
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.reset_password(text, text, bytea) is 'Sets a new password by a mailed link and ends all sessions. PT400 invalid_token.';
alter function app.reset_password(text, text, bytea) owner to callboard_definer;
revoke execute on function app.reset_password(text, text, bytea) from public;
grant execute on function app.reset_password(text, text, bytea) to callboard_api;

create or replace function app.verify_email(token text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.spend_token(token, 'verify_email');
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.verify_email(text) is 'Marks an address as verified by a mailed link. PT400 invalid_token.';
alter function app.verify_email(text) owner to callboard_definer;
revoke execute on function app.verify_email(text) from public;
grant execute on function app.verify_email(text) to callboard_api;

create or replace function app.request_verification() returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.mail_token(u.id, 'verify_email', interval '3 days')
  from app.users u where u.id = app.current_user_id() and u.email_verified_at is null;
  return (202, null, null, null)::app.answer;
end
$$;
comment on function app.request_verification() is 'Mails the link that verifies the signed-in user''s address again, unless it is verified.';
alter function app.request_verification() owner to callboard_definer;
revoke execute on function app.request_verification() from public;
grant execute on function app.request_verification() to callboard_api;
--! EndIncluded accounts.sql
--! Included idempotency.sql
-- Answers to POST requests that carried an Idempotency-Key, kept for a day, so that a client
-- that lost the answer can ask again without doing the thing twice.

create table if not exists app.idempotency_keys (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  key text not null constraint idempotency_keys_length check (length(key) between 1 and 200),
  request_hash bytea not null,
  answer app.answer,
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id, key)
);
create index if not exists idempotency_keys_created_at_idx on app.idempotency_keys (created_at);

alter table app.idempotency_keys enable row level security;
alter table app.idempotency_keys force row level security;

-- The API has no grant: it goes through the two functions, which see one user's keys in one organization.
drop policy if exists all_definer on app.idempotency_keys;
create policy all_definer on app.idempotency_keys for all to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- The purge has no context, and sees only what is too old to be anybody's answer.
drop policy if exists purge_definer on app.idempotency_keys;
create policy purge_definer on app.idempotency_keys for all to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '24 hours');
grant select, insert, update, delete on app.idempotency_keys to callboard_definer;
comment on table app.idempotency_keys is 'What was answered to a POST with an Idempotency-Key.';

create or replace function app.claim_key(the_key text, hash bytea) returns setof app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  known app.idempotency_keys;
begin
  -- The policy shows this user's own; a key that is old is free, purged or not.
  delete from app.idempotency_keys k where k.created_at < now() - interval '24 hours';
  -- A request with the same key that is under way holds the row: this waits for its end.
  insert into app.idempotency_keys (key, request_hash) values (the_key, hash) on conflict do nothing;
  if found then
    return;
  end if;
  select * into known from app.idempotency_keys k where k.key = the_key;
  if known.request_hash is distinct from hash then
    perform app.refuse(409, 'idempotency_key_reused', 'This Idempotency-Key was used for another request.');
  end if;
  return next known.answer;
end
$$;
comment on function app.claim_key(text, bytea) is
  'Takes an Idempotency-Key for this transaction, or returns the answer it was used for. PT409 idempotency_key_reused when the request differs.';
alter function app.claim_key(text, bytea) owner to callboard_definer;
revoke execute on function app.claim_key(text, bytea) from public;
grant execute on function app.claim_key(text, bytea) to callboard_api;

create or replace function app.keep_answer(the_key text, status integer, body json, etag text, location text) returns void
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app.idempotency_keys k set answer = (status, body, etag, location)::app.answer where k.key = the_key and k.answer is null;
end;
comment on function app.keep_answer(text, integer, json, text, text) is 'Keeps the answer to the request that claimed the key, in the same transaction.';
alter function app.keep_answer(text, integer, json, text, text) owner to callboard_definer;
revoke execute on function app.keep_answer(text, integer, json, text, text) from public;
grant execute on function app.keep_answer(text, integer, json, text, text) to callboard_api;
--! EndIncluded idempotency.sql
--! Included jobs.sql
-- Jobs: what is done after the answer, by the worker. graphile-worker keeps them in a schema of its
-- own (see queue.sql); these functions are all that the rest of the database knows of it. They are
-- in plpgsql because that schema is not there when they are made.

create or replace function app_private.add_job(
  task text, payload jsonb, job_key text default null, max_attempts integer default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform graphile_worker.add_job(task, payload::json, job_key => add_job.job_key, max_attempts => add_job.max_attempts);
end
$$;
comment on function app_private.add_job(text, jsonb, text, integer) is
  'Has the worker do a task once this transaction has committed. No secret goes into the payload, which is kept as long as the job. A waiting job with the same key is replaced; a job that fails is tried again after growing pauses, max_attempts times (default 25).';
alter function app_private.add_job(text, jsonb, text, integer) owner to callboard_definer;
revoke execute on function app_private.add_job(text, jsonb, text, integer) from public;

create or replace function app.keep_jobs(workers text[]) returns integer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  released integer;
begin
  update graphile_worker._private_jobs j set locked_at = now() where j.locked_by = any (workers);
  update graphile_worker._private_job_queues q set locked_at = now() where q.locked_by = any (workers);

  update graphile_worker._private_jobs j
  set locked_at = null, locked_by = null, last_error = coalesce(j.last_error, 'its worker was gone')
  where j.locked_at < now() - interval '20 seconds';
  get diagnostics released = row_count;
  update graphile_worker._private_job_queues q set locked_at = null, locked_by = null
  where q.locked_at < now() - interval '20 seconds';
  return released;
end
$$;
comment on function app.keep_jobs(text[]) is
  'A worker''s sign of life, given every 5 seconds: its jobs stay its own, and those of a worker that has been silent for 20 are free again. Returns how many.';
alter function app.keep_jobs(text[]) owner to callboard_definer;
revoke execute on function app.keep_jobs(text[]) from public;
grant execute on function app.keep_jobs(text[]) to callboard_worker;

create or replace function app.job_health()
returns table (waiting bigint, failed bigint, oldest_waiting_seconds float8, sealer_lag_seconds float8)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select count(*) filter (where j.is_available), count(*) filter (where j.locked_at is null and not j.is_available),
      coalesce(extract(epoch from now() - min(j.run_at) filter (where j.is_available and j.run_at <= now())), 0)::float8,
      (select extract(epoch from now() - s.sealed_until)::float8 from app_private.sealing s where isfinite(s.sealed_until))
    from graphile_worker._private_jobs j;
end
$$;
comment on function app.job_health() is
  'How many jobs wait (some until a pause is over) and were given up, for how long the oldest has been due, and up to how long ago events are sealed (null: none ever).';
alter function app.job_health() owner to callboard_definer;
revoke execute on function app.job_health() from public;
grant execute on function app.job_health() to callboard_worker;
--! EndIncluded jobs.sql
--! Included mails.sql
-- The outbox. What must be mailed is written in the transaction that causes it, and so is the job
-- to send it, so a mail is neither lost nor sent for something that was rolled back; and the secret
-- in its link is made here, so that the API's login never holds it, nor does the job.

create table if not exists app_private.mails (
  id uuid primary key default app.uuid_v7(),
  kind text not null,
  to_address text not null,
  data jsonb not null,
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  failed_at timestamptz,
  last_error text
);
alter table app_private.mails enable row level security;
alter table app_private.mails force row level security;
drop policy if exists all_definer on app_private.mails;
create policy all_definer on app_private.mails for all to callboard_definer using (true);
grant select, insert, update, delete on app_private.mails to callboard_definer;
comment on table app_private.mails is 'Mails to send and sent; the secret leaves the row when the mail has left.';

create or replace function app_private.send_mail(mail uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.add_job('send_mail', jsonb_build_object('mail', mail), job_key => 'send_mail:' || mail, max_attempts => 12);
end
$$;
comment on function app_private.send_mail(uuid) is 'Has the worker send a mail of the outbox: 12 attempts within about 16 hours.';
alter function app_private.send_mail(uuid) owner to callboard_definer;
revoke execute on function app_private.send_mail(uuid) from public;

create or replace function app_private.queue_mail(kind text, to_address text, data jsonb) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := app.uuid_v7();
begin
  insert into app_private.mails (id, kind, to_address, data) values (mail, kind, to_address, data);
  perform app_private.send_mail(mail);
end
$$;
comment on function app_private.queue_mail(text, text, jsonb) is 'Puts a mail into the outbox; it leaves after commit.';
alter function app_private.queue_mail(text, text, jsonb) owner to callboard_definer;
revoke execute on function app_private.queue_mail(text, text, jsonb) from public;

create or replace function app.take_mail(mail uuid) returns table (kind text, to_address text, data jsonb)
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select m.kind, m.to_address, m.data from app_private.mails m
  where m.id = mail and m.sent_at is null and m.failed_at is null;
end;
comment on function app.take_mail(uuid) is 'A mail that is to be sent; nothing when it has been sent, given up or deleted.';
alter function app.take_mail(uuid) owner to callboard_definer;
revoke execute on function app.take_mail(uuid) from public;
grant execute on function app.take_mail(uuid) to callboard_worker;

create or replace function app.settle_mail(mail uuid, error text default null, is_last boolean default false) returns void
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app_private.mails m
  set sent_at = case when error is null then now() end,
      failed_at = case when error is not null and is_last then now() end,
      data = case when error is null or is_last then m.data - 'token' else m.data end,
      last_error = left(error, 1000)
  where m.id = mail and m.sent_at is null;
end;
comment on function app.settle_mail(uuid, text, boolean) is 'Marks a mail as sent or, with an error, as tried in vain; after the last attempt it is given up. Its secret leaves with either end.';
alter function app.settle_mail(uuid, text, boolean) owner to callboard_definer;
revoke execute on function app.settle_mail(uuid, text, boolean) from public;
grant execute on function app.settle_mail(uuid, text, boolean) to callboard_worker;
--! EndIncluded mails.sql
--! Included purge.sql
-- What goes, and when: the retention of what belongs to no organization's work. The worker calls
-- this every hour (src/jobs/schedule.ts).

create or replace function app.purge_expired() returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  gone jsonb := '{}';
  n bigint;
begin
  -- Refresh tokens that could renew nothing any more.
  delete from app_private.refresh_tokens t where t.used_at < now() - app_private.session_lifetime();
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('refresh_tokens', n);

  -- Ended sessions, with the refresh tokens that they still have.
  delete from app.sessions s where coalesce(s.revoked_at, s.expires_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('sessions', n);

  -- Links, used or not.
  delete from app_private.email_tokens t where t.expires_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('email_tokens', n);

  -- Answers to repeated requests: the policy purge_definer shows no others.
  delete from app.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('idempotency_keys', n);

  -- A mail whose job has ended, or is lost, without a word of the mail: nobody will send it.
  update app_private.mails m
  set failed_at = now(), data = m.data - 'token', last_error = coalesce(m.last_error, 'its job has ended')
  where m.sent_at is null and m.failed_at is null and not exists (
    select from graphile_worker._private_jobs j
    where j.key = 'send_mail:' || m.id and (j.is_available or j.locked_at is not null));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails_given_up', n);

  delete from app_private.mails m where coalesce(m.sent_at, m.failed_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails', n);

  -- Jobs that were given up.
  delete from graphile_worker._private_jobs j
  where not j.is_available and j.locked_at is null and j.run_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('jobs', n);

  -- Not the rows that organizations have deleted: they stay until they have a retention of their own.
  return gone;
end
$$;
comment on function app.purge_expired() is
  'Deletes ended sessions, old links, sent mails and failed jobs after 90 days, spent refresh tokens after 30, idempotency keys after one. Returns how many of each.';
alter function app.purge_expired() owner to callboard_definer;
revoke execute on function app.purge_expired() from public;
grant execute on function app.purge_expired() to callboard_worker;
--! EndIncluded purge.sql
-- Mails that wait have no job yet.
select app_private.send_mail(m.id) from app_private.mails m where m.sent_at is null and m.failed_at is null;
