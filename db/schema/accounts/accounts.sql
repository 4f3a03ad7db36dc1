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
select app_private.definer_table('app_private.credentials', 'select, insert, update');
comment on table app_private.credentials is 'For each password: how to derive its proof, and the SHA-256 of the proof.';

create table if not exists app_private.email_tokens (
  mail_id uuid primary key,
  user_id uuid not null references app.users (id) on delete cascade,
  purpose text not null constraint email_tokens_purpose_known check (purpose in ('verify_email', 'reset_password')),
  expires_at timestamptz not null,
  used_at timestamptz
);
create index if not exists email_tokens_user_id_idx on app_private.email_tokens (user_id);
select app_private.definer_table('app_private.email_tokens');
comment on table app_private.email_tokens is 'What the links in mails to users are for, and until when they work.';

create or replace function app_private.password_cost() returns text
language sql immutable parallel safe
set search_path = ''
return 'argon2id$m=19456,t=2,p=1$';
comment on function app_private.password_cost() is 'What a new password costs to derive: OWASP''s minimum for argon2id.';
alter function app_private.password_cost() owner to callboard_definer;

create or replace function app.password_recipe(address text default null) returns text
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  -- An unknown address gets a salt too, always the same one, so that it looks like a known one. It is made for every
  -- address, and all 128 bits come from the hash: the time, or the fixed bits of a UUID, would give the fake away.
  fake text := app_private.password_cost() || encode(substring(app_private.keyed_hash(
    convert_to('salt:' || coalesce(lower(address), gen_random_uuid()::text), 'UTF8')) from 1 for 16), 'base64');
begin
  return coalesce((select c.recipe from app_private.credentials c where c.user_id = coalesce(who, app_private.nobody())), fake);
end
$$;
comment on function app.password_recipe(text) is
  'How to derive the proof of a password: argon2id$m=<KiB>,t=<passes>,p=<lanes>$<salt, base64>. With null, a fresh recipe for a new password. The cost is that of app_private.password_cost.';
alter function app.password_recipe(text) owner to callboard_definer;
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
  -- A link requested earlier must not undo this.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = 'reset_password' and t.used_at is null;
end
$$;
comment on function app_private.set_password(uuid, text, bytea) is 'Stores the parameters and the hash of a password; open reset links expire.';
alter function app_private.set_password(uuid, text, bytea) owner to callboard_definer;

create or replace function app_private.is_password(of_user uuid, proof bytea) returns boolean
language sql stable
set search_path = ''
begin atomic
  select exists (select from app_private.credentials c where c.user_id = of_user and c.verifier = sha256(proof));
end;
comment on function app_private.is_password(uuid, bytea) is 'Whether this proves the user''s password. Comparing hashes of a secret leaks nothing through timing.';
alter function app_private.is_password(uuid, bytea) owner to callboard_definer;

create or replace function app_private.open_link(mail uuid, of_user uuid, for_purpose text, lifetime interval) returns void
language sql volatile
set search_path = ''
begin atomic
  -- Only the links of the newest mail work.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = for_purpose and t.used_at is null;
  insert into app_private.email_tokens (mail_id, user_id, purpose, expires_at) values (mail, of_user, for_purpose, now() + lifetime);
end;
comment on function app_private.open_link(uuid, uuid, text, interval) is 'What the link in a mail to a user is for; links of earlier mails for the same end.';
alter function app_private.open_link(uuid, uuid, text, interval) owner to callboard_definer;

create or replace function app_private.mail_token(of_user uuid, for_purpose text, lifetime interval) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := app.uuid_v7();
begin
  perform app_private.open_link(mail, of_user, for_purpose, lifetime);
  perform app_private.queue_mail(for_purpose, u.email, jsonb_build_object('display_name', u.display_name), mail)
  from app.users u where u.id = of_user;
end
$$;
comment on function app_private.mail_token(uuid, text, interval) is 'Mails a link that proves the address belongs to the user.';
alter function app_private.mail_token(uuid, text, interval) owner to callboard_definer;

create or replace function app_private.spend_token(token text, for_purpose text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  whose uuid;
begin
  update app_private.email_tokens t set used_at = now()
  where t.mail_id = app_private.mail_with(token) and t.purpose = for_purpose and t.used_at is null and t.expires_at > now()
  returning t.user_id into whose;
  if whose is null then
    perform app.refuse(400, 'invalid_token');
  end if;
  -- Holding the link proves access to the mailbox.
  update app.users u set email_verified_at = now() where u.id = whose and u.email_verified_at is null;
  return whose;
end
$$;
comment on function app_private.spend_token(text, text) is 'The user of a mailed link, which works only once. PT400 invalid_token.';
alter function app_private.spend_token(text, text) owner to callboard_definer;

create or replace function app_private.stand_in() returns uuid
language sql stable
set search_path = ''
begin atomic
  select u.id from app.users u order by u.id limit 1;
end;
comment on function app_private.stand_in() is 'The user about whom everything is looked up where an address is unknown, so that it takes as long.';
alter function app_private.stand_in() owner to callboard_definer;

create or replace function app.sign_in(
  address text, proof bytea, session_hash bytea, refresh_hash bytea, client jsonb, organization uuid default null
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  stand_in uuid := app_private.stand_in();
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  is_proved boolean := app_private.is_password(coalesce(who, stand_in), proof) and who is not null;
begin
  -- Refusals are returned, not raised, because raising would roll back their event.
  if not is_proved then
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
  'Starts a session for a user who proves the password. Answers 401 invalid_credentials (also for an unknown address) and 403 membership_revoked.';
alter function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) owner to callboard_definer;
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
grant execute on function app.change_password(bytea, text, bytea) to callboard_api;

create or replace function app.forget_password(address text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Whether somebody has this address is looked up when the mail is taken, not here: the time would tell.
  perform app_private.queue_mail('reset_password', lower(address), '{}', app.uuid_v7());
  return (202, null, null, null)::app.answer;
end
$$;
comment on function app.forget_password(text) is 'Mails a link for a new password if the address is known; neither the response nor the time that it takes reveals whether it is.';
alter function app.forget_password(text) owner to callboard_definer;
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
comment on function app.reset_password(text, text, bytea) is 'Sets a new password with the token of a mailed link and ends all sessions. PT400 invalid_token.';
alter function app.reset_password(text, text, bytea) owner to callboard_definer;
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
comment on function app.verify_email(text) is 'Marks an address as verified, with the token of a mailed link. PT400 invalid_token.';
alter function app.verify_email(text) owner to callboard_definer;
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
comment on function app.request_verification() is 'Mails the verification link again, unless the signed-in user''s address is already verified.';
alter function app.request_verification() owner to callboard_definer;
grant execute on function app.request_verification() to callboard_api;
