-- The logins of the programs may change their own password, as every role of PostgreSQL may: whoever has one of them, or
-- injects SQL, keeps everybody else out and comes back. The database cannot forbid it, so the worker looks whether each
-- login still has the password that was accepted last. docs/operate/rotate.md says how a change is accepted.

create table if not exists app_private.login_passwords (
  login text primary key,
  salt bytea not null,
  -- Of the verifier that was accepted, and of another one that was found since.
  digest bytea not null,
  found bytea,
  told_at timestamptz
);
select app_private.definer_table('app_private.login_passwords', 'select, insert, update, delete');
comment on table app_private.login_passwords is 'The logins of the programs, each with a salted SHA-256 of the verifier of its password, with which nobody can log in.';
comment on column app_private.login_passwords.digest is 'Of the verifier that the first look found, or that app_private.accept_passwords accepted since.';
comment on column app_private.login_passwords.found is 'Of another verifier that nobody has accepted.';
comment on column app_private.login_passwords.told_at is 'When the worker was told of it last.';

create or replace function app_private.login_digests(salt bytea) returns table (login text, digest bytea)
language plpgsql volatile
set search_path = ''
as $$
begin
  -- db/database.sql has not run since an earlier release.
  if to_regprocedure('app_private.login_verifiers(bytea)') is not null then
    return query select v.login, v.digest from app_private.login_verifiers(login_digests.salt) v;
  end if;
end
$$;
comment on function app_private.login_digests(bytea) is 'The salted digests of what the logins have now; none where nobody can look: only a superuser can allow it.';
alter function app_private.login_digests(bytea) owner to callboard_definer;

create or replace function app.check_passwords(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  one record;
  changed text[] := '{}';
  told text[] := '{}';
begin
  -- What is there at first is accepted: a new database, a new login, a server on which nobody could look before.
  insert into app_private.login_passwords (login, salt, digest)
  select d.login, s.salt, d.digest from (select uuid_send(gen_random_uuid())) s (salt), app_private.login_digests(s.salt) d
  where not exists (select from app_private.login_passwords p where p.login = d.login)
  on conflict do nothing;
  -- Of workers that look at the same time, one. The lock also keeps a change that is accepted from committing between the two looks.
  for one in select p.* from app_private.login_passwords p order by p.login for update skip locked loop
    declare
      is_now bytea := (select d.digest from app_private.login_digests(one.salt) d where d.login = one.login);
    begin
      if is_now is null then
        delete from app_private.login_passwords p where p.login = one.login and not exists (select from pg_catalog.pg_roles r where r.rolname = one.login and r.rolcanlogin);
      elsif is_now = one.digest then
        update app_private.login_passwords p set found = null, told_at = null where p.login = one.login and p.found is not null;
      elsif is_now is distinct from one.found or one.told_at < now() - interval '1 hour' then
        update app_private.login_passwords p set found = is_now, told_at = now() where p.login = one.login;
        told := told || one.login;
        changed := case when is_now is distinct from one.found then changed || one.login else changed end;
      end if;
    end;
  end loop;
  if changed <> '{}' then
    perform app_private.log_event(null, 'login.change', 'database', null, jsonb_build_object('new', jsonb_build_object('logins', changed)));
  end if;
  return jsonb_build_object('failed', cardinality(told), 'logins', told, 'next', null);
end
$$;
comment on function app.check_passwords(jsonb) is
  'Compares the passwords of the programs'' logins with those that were accepted. Logs login.change once for each change, as an event of no organization, and returns in `failed` how many logins have another, at once and then each hour. Runs every 20 seconds.';
alter function app.check_passwords(jsonb) owner to callboard_definer;
grant execute on function app.check_passwords(jsonb) to callboard_worker;

create or replace function app_private.accept_passwords() returns text[]
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  accepted text[];
begin
  with changed as (
    update app_private.login_passwords p set digest = d.digest, found = null, told_at = null
    from app_private.login_passwords o, app_private.login_digests(o.salt) d
    where o.login = p.login and d.login = p.login and d.digest <> p.digest
    returning p.login)
  select coalesce(array_agg(c.login order by c.login), '{}') into accepted from changed c;
  if accepted <> '{}' then
    perform app_private.log_event(null, 'login.accept', 'database', null, jsonb_build_object('new', jsonb_build_object('logins', accepted)));
  end if;
  return accepted;
end
$$;
comment on function app_private.accept_passwords() is
  'Accepts the passwords that the programs'' logins have now, for the DBA who has changed them, in the same transaction or later. Logs login.accept, as an event of no organization, and returns whose password is another than before.';
alter function app_private.accept_passwords() owner to callboard_definer;
