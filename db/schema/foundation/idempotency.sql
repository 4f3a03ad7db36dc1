-- Responses to POST requests with an Idempotency-Key, kept for a day, so that a client
-- that lost the response can retry without repeating the action.

create table if not exists app.idempotency_keys (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  key text not null constraint idempotency_keys_length check (length(key) between 1 and 200),
  request_hash bytea not null,
  answer app.answer,
  seen_with text[],
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id, key)
);
create index if not exists idempotency_keys_created_at_idx on app.idempotency_keys (created_at);

select app_private.force_rls('app.idempotency_keys');

-- The API has no grant: it goes through the two functions, which see one user's keys in one organization.
drop policy if exists all_definer on app.idempotency_keys;
create policy all_definer on app.idempotency_keys for all to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- The purge has no context and sees only rows that are too old to be returned.
drop policy if exists purge_definer on app.idempotency_keys;
create policy purge_definer on app.idempotency_keys for all to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '24 hours');
grant select, insert, update, delete on app.idempotency_keys to callboard_definer;
comment on table app.idempotency_keys is 'Responses to POST requests with an Idempotency-Key.';
comment on column app.idempotency_keys.seen_with is 'The permissions to read that its user held: without one of them, the response is not repeated.';

-- What an answer shows depends on what its user could read: the tables that requests answer with, and names.
create or replace function app_private.reading_permissions() returns text[]
language sql stable
set search_path = ''
return array(
  select p from string_to_table(coalesce((app_private.context()).permissions, ''), ' ') p
  where p like '%.read' or p in (
    select t.permission from app_private.resources r
    join app_private.table_permissions t on t.on_table = to_regclass(format('app.%I', r.name)) and t.command = 'select'));
comment on function app_private.reading_permissions() is 'The permissions of the member of this transaction on which depends what a response shows them.';
alter function app_private.reading_permissions() owner to callboard_definer;

create or replace function app.claim_key(the_key text, hash bytea) returns setof app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  known app.idempotency_keys;
begin
  -- The policy shows only this user's keys; an expired key is free, even before it is purged.
  delete from app.idempotency_keys k where k.key = the_key and k.created_at < now() - interval '24 hours';
  -- A running request with the same key holds a lock on the row: this waits for it to end.
  insert into app.idempotency_keys (key, request_hash) values (the_key, hash) on conflict do nothing;
  if found then
    return;
  end if;
  select * into known from app.idempotency_keys k where k.key = the_key;
  if known.request_hash is distinct from hash then
    perform app.refuse(409, 'idempotency_key_reused', 'This Idempotency-Key was used for another request.');
  end if;
  if not known.seen_with <@ app_private.reading_permissions() then
    perform app.refuse(403, 'permission_denied', 'It has been done. You have lost a permission to read since then, so the response is not repeated.');
  end if;
  return next known.answer;
end
$$;
comment on function app.claim_key(text, bytea) is
  'Claims an Idempotency-Key for this transaction, or returns the stored response. PT409 idempotency_key_reused when the request differs, PT403 when the user has lost a permission to read with which the response was made.';
alter function app.claim_key(text, bytea) owner to callboard_definer;
grant execute on function app.claim_key(text, bytea) to callboard_api;

create or replace function app.keep_answer(the_key text, status integer, body json, etag text, location text) returns void
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app.idempotency_keys k set answer = (status, body, etag, location)::app.answer, seen_with = app_private.reading_permissions() where k.key = the_key and k.answer is null;
end;
comment on function app.keep_answer(text, integer, json, text, text) is 'Stores the response to the request that claimed the key, in the same transaction.';
alter function app.keep_answer(text, integer, json, text, text) owner to callboard_definer;
grant execute on function app.keep_answer(text, integer, json, text, text) to callboard_api;
