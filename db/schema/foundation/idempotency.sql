-- Responses to POST requests with an Idempotency-Key, kept for a day, so that a client
-- that lost the response can retry without repeating the action.

create table if not exists app.idempotency_keys (
  -- Null for requests outside any organization, such as the one that creates it.
  organization_id uuid default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  key text not null constraint idempotency_keys_length check (length(key) between 1 and 200),
  request_hash bytea not null,
  answer app.answer,
  seen_with text[],
  created_at timestamptz not null default now(),
  about_organization_id uuid,
  canonical_hash bytea
);
create unique index if not exists idempotency_keys_one_answer on app.idempotency_keys (organization_id, user_id, key) nulls not distinct;
create index if not exists idempotency_keys_created_at_idx on app.idempotency_keys (created_at);

select app_private.force_rls('app.idempotency_keys');

-- The API has no grant: it goes through the two functions, which see one user's keys, in one organization or in none.
drop policy if exists all_definer on app.idempotency_keys;
create policy all_definer on app.idempotency_keys for all to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- Also from the organization that the request has created or joined.
drop policy if exists account_definer on app.idempotency_keys;
create policy account_definer on app.idempotency_keys for all to callboard_definer
  using (organization_id is null and user_id = (select app.current_user_id()));
-- The purge has no context and sees only rows that are too old to be returned.
drop policy if exists purge_definer on app.idempotency_keys;
create policy purge_definer on app.idempotency_keys for all to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '24 hours');
grant select, insert, update, delete on app.idempotency_keys to callboard_definer;
comment on table app.idempotency_keys is 'Responses to POST requests with an Idempotency-Key.';
comment on column app.idempotency_keys.request_hash is 'SHA-256 of the request as it came, which programs up to 0.2.0 compare.';
comment on column app.idempotency_keys.canonical_hash is 'SHA-256 of the request with its fields in alphabetical order.';
comment on column app.idempotency_keys.seen_with is 'The permissions that its user held afterwards: without one of them, the response is not repeated.';
comment on column app.idempotency_keys.about_organization_id is 'Of a request outside any organization, the one that it created, restored or joined: the response is repeated to its members.';

create or replace function app.claim_key(the_key text, hash bytea, canonical bytea default null) returns setof app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.current_org();
  me uuid := app.current_user_id();
  held text[] := string_to_array(coalesce((app_private.context()).permissions, ''), ' ');
  known app.idempotency_keys;
begin
  -- An expired key is free, even before it is purged. A running request with the same key holds a lock on the row:
  -- this waits for it to end.
  insert into app.idempotency_keys as k (key, request_hash, canonical_hash) values (the_key, hash, canonical)
  on conflict (organization_id, user_id, key) do update
  set request_hash = hash, canonical_hash = canonical, answer = null, seen_with = null, about_organization_id = null, created_at = now()
  where k.created_at < now() - interval '24 hours';
  if found then
    return;
  end if;
  -- Two statements, because IS NOT DISTINCT FROM uses no index.
  if organization is null then
    select * into known from app.idempotency_keys k where k.organization_id is null and k.user_id = me and k.key = the_key;
  else
    select * into known from app.idempotency_keys k where k.organization_id = organization and k.user_id = me and k.key = the_key;
  end if;
  if known.request_hash is distinct from hash and (known.canonical_hash = canonical) is not true then
    perform app.refuse(409, 'idempotency_key_reused', 'This Idempotency-Key was used for another request.');
  end if;
  if not known.seen_with <@ held then
    perform app.refuse(403, 'permission_denied', 'It has been done. You have lost a permission since then, so the response is not repeated.');
  end if;
  if known.about_organization_id is not null
    and known.about_organization_id is distinct from app_private.usual_organization(me, known.about_organization_id) then
    perform app.refuse(403, 'membership_revoked', 'It has been done. You no longer belong to the organization, so the response is not repeated.');
  end if;
  return next known.answer;
end
$$;
comment on function app.claim_key(text, bytea, bytea) is
  'Claims an Idempotency-Key for this transaction, or returns the stored response. The hashes are of the request as it came, and of the request with its fields in alphabetical order. PT409 idempotency_key_reused when both differ, PT403 when the user has lost a permission that they held then, or the membership that it gave them.';
alter function app.claim_key(text, bytea, bytea) owner to callboard_definer;
grant execute on function app.claim_key(text, bytea, bytea) to callboard_api;

create or replace function app.keep_answer(the_key text, status integer, body json, etag text, location text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.current_org();
  me uuid := app.current_user_id();
  the_answer app.answer := (status, body, etag, location);
begin
  -- Only the claim of this transaction has no response yet. The request may have changed what its user holds.
  update app.idempotency_keys k set answer = the_answer, seen_with = app.permissions_of(organization, me)
  where k.organization_id = organization and k.user_id = me and k.key = the_key and k.answer is null;
  if not found then
    -- It may have led into an organization.
    update app.idempotency_keys k set answer = the_answer, seen_with = '{}', about_organization_id = organization
    where k.organization_id is null and k.user_id = me and k.key = the_key and k.answer is null;
  end if;
end
$$;
comment on function app.keep_answer(text, integer, json, text, text) is 'Stores the response to the request that claimed the key, in the same transaction.';
alter function app.keep_answer(text, integer, json, text, text) owner to callboard_definer;
grant execute on function app.keep_answer(text, integer, json, text, text) to callboard_api;
