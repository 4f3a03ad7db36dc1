-- What both ways to carry a context need: its fields, and the database's own key, which signs contexts (signed.sql),
-- the passes of a standby and the links to files.

do $$
begin
  if to_regtype('app_private.context') is null then
    create type app_private.context as (
      organization_id uuid, user_id uuid, session_id uuid, role text, permissions text, request_id text, ip inet);
  end if;
end
$$;
comment on type app_private.context is
  'Who is calling: permissions are names with a blank between them; a name after ~ is only worth what its holder sees.';

create table if not exists app_private.context_keys (
  id boolean primary key default true constraint context_keys_one_row check (id),
  inner_key bytea not null,
  outer_key bytea not null
);
select app_private.force_rls('app_private.context_keys');
select app_private.set_policy('app_private.context_keys', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.context_keys', 'insert_owner', 'callboard_owner', 'true');
grant select on app_private.context_keys to callboard_definer;
comment on table app_private.context_keys is 'The two random keys that sign a standby''s passes, links to files and, where they are signed, contexts. Replacing the row makes all of these void at once.';

insert into app_private.context_keys (inner_key, outer_key)
select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
       uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
on conflict do nothing;

-- Nested hashing with two keys, as in NMAC: a plain sha256(key || text) is open to length extension. A single
-- expression without settings, so that PostgreSQL can inline it.
create or replace function app_private.hash_with(key app_private.context_keys, message bytea) returns bytea
language sql immutable parallel safe
return sha256(key.outer_key || sha256(key.inner_key || message));
comment on function app_private.hash_with(app_private.context_keys, bytea) is 'A message authentication code under this pair of keys (32 bytes).';
alter function app_private.hash_with(app_private.context_keys, bytea) owner to callboard_definer;

create or replace function app_private.keyed_hash(message bytea) returns bytea
language plpgsql stable parallel safe security definer
set search_path = ''
as $$
begin
  return (select app_private.hash_with(k, message) from app_private.context_keys k);
end
$$;
comment on function app_private.keyed_hash(bytea) is 'A message authentication code under the database''s own key (32 bytes).';
alter function app_private.keyed_hash(bytea) owner to callboard_definer;
