-- The event log: one row for every create, update, delete, restore, sign-in and so on, written in
-- the transaction of the change. Only triggers and definer functions write here. No login can, not
-- even the API's, so injected SQL can neither forge an event nor change anything without one.
--
-- No foreign keys: the log outlives the people and organizations that it is about. And no CHECK:
-- PostgreSQL parses those again for each statement, which costs more than an index, and only one
-- function writes here, with known values.

-- A single expression without settings, so that PostgreSQL inlines it: the transaction's time to the
-- microsecond, the backend, and the microseconds since then. It is unique, and the events of a
-- transaction stay in order.
create or replace function app_private.event_id() returns uuid
language sql volatile parallel restricted
return encode(
  int8send((date_part('epoch', now()) * 1000000)::bigint / 1000 << 16 | 28672 | (date_part('epoch', now()) * 1000000)::bigint % 1000)
  || int8send(x'8000000000000000'::bigint | (pg_backend_pid()::bigint << 40) | (date_part('epoch', clock_timestamp() - now()) * 1000000)::bigint),
  'hex')::uuid;
comment on function app_private.event_id() is
  'A UUID version 7 with the event''s time, so that the id alone tells where to look: see app.event_time.';
alter function app_private.event_id() owner to callboard_definer;

create table if not exists app.event_log (
  organization_id uuid not null,
  id uuid not null default app_private.event_id(),
  occurred_at timestamptz not null default now(),
  actor_id uuid,
  session_id uuid,
  resource_id uuid,
  salt uuid default gen_random_uuid(),
  erased_at timestamptz,
  actor_kind text not null,
  action text not null,
  resource_type text not null,
  request_id text,
  ip inet,
  changes jsonb,
  primary key (organization_id, occurred_at, id)
) partition by range (occurred_at);
-- The only index: every filter scans it backwards in time, and another one would slow down every change.

select app_private.force_rls('app.event_log');

-- The reader owns app.readable_events, which alone shows members the changes.
select app_private.member_policy('app.event_log', 'select', 'audit.read', 'callboard_api, callboard_exporter, callboard_reader');
select app_private.set_policy('app.event_log', 'select_auditor', 'callboard_auditor', 'true');

-- Figures are computed for all organizations at once: see analytics/rollups.sql.
select app_private.set_policy('app.event_log', 'select_rollup', 'callboard_rollup', 'true');

-- The definer appends. Afterwards it can only erase personal details, and delete only what is older
-- than the shortest retention.
select app_private.set_policy('app.event_log', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.event_log', 'insert_definer', 'callboard_definer', 'true');
drop policy if exists update_definer on app.event_log;
create policy update_definer on app.event_log for update to callboard_definer
  using (erased_at is null)
  with check (erased_at is not null and changes is null and request_id is null and ip is null and salt is null);
drop policy if exists delete_definer on app.event_log;
create policy delete_definer on app.event_log for delete to callboard_definer
  using (occurred_at < now() - interval '90 days');

grant select (organization_id, id, occurred_at, actor_id, session_id, resource_id, erased_at, actor_kind, action, resource_type, request_id, ip)
  on app.event_log to callboard_api, callboard_exporter;
grant select on app.event_log to callboard_auditor, callboard_definer, callboard_rollup, callboard_reader;
grant insert (organization_id, id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes),
  update (erased_at, changes, request_id, ip, salt), delete on app.event_log to callboard_definer;

comment on table app.event_log is 'What happened, who did it, and what it changed; partitioned by month. Never changed: see event_seals.sql for the proof.';
comment on column app.event_log.organization_id is 'The nil UUID for events of no organization, such as a sign-in with an unknown address.';
comment on column app.event_log.occurred_at is 'When the transaction began; the id contains the same time.';
comment on column app.event_log.actor_id is 'The user who did it, if authenticated.';
comment on column app.event_log.actor_kind is 'user, anonymous (before or without signing in), support, or system (jobs, migrations, and a DBA''s SQL).';
comment on column app.event_log.changes is '{"old": {column: value}, "new": {column: value}} with the columns that changed; on create, only "new" with the columns that are set. Never a secret.';
comment on column app.event_log.salt is 'Part of the sealed hash of the details, so that erased details cannot be guessed from it.';
comment on column app.event_log.erased_at is 'When changes, request_id, ip and salt were erased: see app_private.erase_events.';

create or replace function app.event_time(event uuid) returns timestamptz
language sql immutable strict parallel safe
return to_timestamp(('x' || translate(left(event::text, 13), '-', ''))::bit(48)::bigint::numeric / 1000);
comment on function app.event_time(uuid) is 'The millisecond in which the event with this id occurred.';
grant execute on function app.event_time(uuid) to callboard_api, callboard_auditor, callboard_definer;

create or replace function app_private.nobody() returns uuid
language sql immutable parallel safe
return uuid '00000000-0000-0000-0000-000000000000';
comment on function app_private.nobody() is 'The nil UUID, which stands for no organization.';
alter function app_private.nobody() owner to callboard_definer;

create or replace function app_private.is_trusted() returns boolean
language sql stable
return session_user = 'callboard_worker' or pg_has_role(session_user, 'callboard_owner', 'member');
comment on function app_private.is_trusted() is 'Whether the login is the worker, the migrator or a superuser, who may change rows without a user.';
alter function app_private.is_trusted() owner to callboard_definer;

create or replace function app_private.log_event(
  of_organization uuid, what text, of_type text, of_id uuid, changes jsonb default null, by_user uuid default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
  who uuid := coalesce(by_user, c.user_id);
  kind text := 'user';
begin
  if session_user = 'callboard_support' then
    kind := 'support';
  elsif who is null then
    kind := case when app_private.is_trusted() then 'system' else 'anonymous' end;
  end if;
  insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
  values (coalesce(of_organization, app_private.nobody()), who,
    c.session_id, of_id, kind, what, of_type, c.request_id, c.ip, changes);
end
$$;
comment on function app_private.log_event(uuid, text, text, uuid, jsonb, uuid) is
  'Appends an event: organization (null for none), action, type and id of its subject, changes, and who did it, if not the signed-in user.';
alter function app_private.log_event(uuid, text, text, uuid, jsonb, uuid) owner to callboard_definer;
