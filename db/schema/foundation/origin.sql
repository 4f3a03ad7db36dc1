-- Whether this database is the one that it was, or a copy of the past: restored from a dump, recovered to a point in
-- time, cloned. A copy obeys the past: sessions, feeds and BI logins that have ended since then are back. Therefore
-- neither the API nor the worker serves one before `npm run restored` (../retention/restored.sql) has ended them.
--
-- The origin is what no copy takes along: the identifier of the server, its timeline, which every recovery changes, and
-- the oids of the database and of this table. Only a copy of the data folder that starts without a recovery, such as an
-- old snapshot of a disk, has the same.

create table if not exists app_private.origin (
  id boolean primary key default true constraint origin_one_row check (id),
  facts jsonb not null,
  since timestamptz not null default now()
);
select app_private.definer_table('app_private.origin', 'select, update');
select app_private.set_policy('app_private.origin', 'insert_owner', 'callboard_owner', 'true');
comment on table app_private.origin is 'Where this database was when it was created, or when npm run restored last ran. If it is somewhere else now, it is a copy.';
comment on column app_private.origin.facts is 'What app_private.present_origin() returned.';

create or replace function app_private.present_origin() returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  server text;
  timeline text;
begin
  -- Open to PUBLIC, but a hosted PostgreSQL may close it. The rest still tells a dump from its source.
  begin
    server := (select s.system_identifier::text from pg_catalog.pg_control_system() s);
  exception when insufficient_privilege or feature_not_supported then
    server := null;
  end;
  -- Not that of the control file, which changes only with the first checkpoint after a recovery. A standby is on the
  -- timeline of its primary.
  if not pg_is_in_recovery() then
    timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
  end if;
  return jsonb_strip_nulls(jsonb_build_object('server', server, 'timeline', timeline, 'table', 'app_private.origin'::regclass::oid::text,
    'database', (select d.oid::text from pg_catalog.pg_database d where d.datname = current_database())));
end
$$;
comment on function app_private.present_origin() is 'Where this database is now, as far as the server says: see app_private.origin.';
alter function app_private.present_origin() owner to callboard_definer;

insert into app_private.origin (facts) select app_private.present_origin() on conflict do nothing;

create or replace function app.is_restored() returns boolean
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select not exists (
    select from app_private.origin o
    where not exists (
      select from jsonb_each_text(o.facts) was join jsonb_each_text(app_private.present_origin()) is_now using (key)
      where was.value <> is_now.value));
end;
comment on function app.is_restored() is
  'Whether this database is a copy of the past that npm run restored has not dealt with. The API and the worker ask on each new connection, and do not serve it.';
alter function app.is_restored() owner to callboard_definer;
grant execute on function app.is_restored() to callboard_api, callboard_worker;

create or replace function app_private.accept_origin() returns void
language sql volatile security definer
set search_path = ''
begin atomic
  update app_private.origin set facts = app_private.present_origin(), since = now();
end;
comment on function app_private.accept_origin() is 'Declares that this database may be served where it is now.';
alter function app_private.accept_origin() owner to callboard_definer;
