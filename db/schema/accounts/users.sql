-- People. A user exists once, however many organizations they work for, so this table has no
-- organization_id: members see themselves and their current colleagues.

create table if not exists app.users (
  id uuid primary key default app.uuid_v7(),
  email text not null constraint users_email_format check (
    email = lower(email) and length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:].]+$'),
  display_name text collate app.people not null constraint users_display_name_length check (app.is_line(display_name, 200)),
  email_verified_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1
);
-- On an expression, because comparing a plain column is leakproof: PostgreSQL would look up an
-- address in the index before applying the policy, and EXPLAIN ANALYZE would reveal the result.
create unique index if not exists email_taken on app.users (lower(email));
alter index app.email_taken alter column 1 set statistics 0;
select app_private.hide_statistics('app.users');

select app_private.force_rls('app.users');

drop policy if exists select_self on app.users;
create policy select_self on app.users for select to callboard_api
  using (id = (select app.current_user_id()));

-- Colleagues see each other too; that policy needs app.memberships and is in memberships.sql.

drop policy if exists update_self on app.users;
create policy update_self on app.users for update to callboard_api
  using (id = (select app.current_user_id()));

-- Sign-in and invitations look people up before there is a context.
select app_private.set_policy('app.users', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.users', 'insert_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.users', 'update_definer', 'callboard_definer', 'true');

grant select on app.users to callboard_api, callboard_definer;
grant update (display_name) on app.users to callboard_api;
grant insert (id, email, display_name, email_verified_at), update (email_verified_at, display_name) on app.users to callboard_definer;

create or replace trigger _100_timestamps before update on app.users
  for each row execute function app_private.tg__100_timestamps();

comment on table app.users is 'People who can sign in; shared by all organizations, seen by themselves and by colleagues.';
comment on column app.users.email is 'Lower-cased address, unique; it is the sign-in name.';

create or replace function app.read_me() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select null::integer, json_build_object(
      'id', u.id, 'email', u.email, 'display_name', u.display_name, 'email_verified_at', u.email_verified_at,
      'created_at', u.created_at, 'updated_at', u.updated_at),
    app.etag(u.version), null::text
  from app.users u
  where u.id = app.current_user_id();
end;
comment on function app.read_me() is 'The signed-in user''s own profile.';
grant execute on function app.read_me() to callboard_api;

create or replace function app.update_me(body jsonb, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  me uuid := app.current_user_id();
  present integer;
begin
  select u.version into present from app.users u where u.id = me for update;
  perform app.check_version(present, if_match);
  update app.users u set display_name = coalesce(body ->> 'display_name', u.display_name) where u.id = me;
  return app.read_me();
end
$$;
comment on function app.update_me(jsonb, text) is 'Changes the signed-in user''s own profile (display_name).';
grant execute on function app.update_me(jsonb, text) to callboard_api;
