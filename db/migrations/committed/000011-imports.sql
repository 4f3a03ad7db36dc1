--! Previous: sha1:b8a0c5f3b7a67f5eb00f971ae7cd86c544992378
--! Hash: sha1:127c84c1d9d1997a76e36411619209711c3c2f02
--! Message: imports

alter table app.shows
  add column if not exists source text constraint shows_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  add column if not exists external_ref text constraint shows_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]');
alter table app.shows add constraint shows_external_ref_with_source check ((external_ref is null) = (source is null));
--! Included permissions.sql
-- Who may do what: permissions, the roles that every organization has, and which role holds which
-- permission. A member's role is in app.memberships; what an organization adds to it is in
-- custom_roles.sql and member_permissions.sql, where what a member holds is put together.

create table if not exists app.permissions (
  name text primary key constraint permissions_name_format check (name ~ '^[a-z_]+\.[a-z_]+$'),
  description text not null
);
create table if not exists app.roles (
  name text primary key,
  description text not null
);
create table if not exists app.role_permissions (
  role text not null references app.roles (name),
  permission text not null references app.permissions (name),
  primary key (role, permission)
);
comment on table app.permissions is 'Reference: everything that can be permitted, as <resource>.<verb>.';
comment on table app.roles is 'Reference: the built-in roles. An organization''s own are in app.custom_roles.';
comment on table app.role_permissions is 'Reference: the permissions that a built-in role holds.';

do $$
declare
  reference regclass;
begin
  foreach reference in array array['app.permissions', 'app.roles', 'app.role_permissions']::regclass[] loop
    execute format('alter table %s enable row level security', reference);
    execute format('alter table %s force row level security', reference);
    execute format('drop policy if exists select_all on %s', reference);
    execute format('create policy select_all on %s for select to callboard_api, callboard_definer using (true)', reference);
    execute format('drop policy if exists all_owner on %s', reference);
    execute format('create policy all_owner on %s for all to callboard_owner using (true)', reference);
    execute format('grant select on %s to callboard_api, callboard_definer', reference);
  end loop;
end
$$;

insert into app.permissions (name, description) values
  ('shows.read',          'See shows and venues'),
  ('shows.write',         'Enter and change shows and venues'),
  ('shows.delete',        'Delete and restore shows and venues'),
  ('finance.read',        'See income, expenses and settlements'),
  ('finance.write',       'Enter and change income, expenses and settlements'),
  ('finance.delete',      'Delete and restore income, expenses and settlements'),
  ('finance.close',       'Close the books of a month, and open them again'),
  ('imports.run',         'Import shows and finance records that one may write from files'),
  ('itineraries.read',    'See itineraries, as far as they are for everybody or for oneself'),
  ('itineraries.write',   'Enter, change and publish itineraries'),
  ('itineraries.delete',  'Delete and restore itineraries'),
  ('members.read',        'See who belongs to the organization'),
  ('members.manage',      'Invite, add and remove people and change their roles'),
  ('organization.read',   'See the organization'),
  ('organization.update', 'Change the organization''s name and settings'),
  ('organization.delete', 'Delete and restore the organization, hand it over'),
  ('audit.read',          'Read the event log and verify it'),
  ('audit.manage',        'Decide how long events are kept')
on conflict (name) do update set description = excluded.description;

insert into app.roles (name, description) values
  ('owner',   'Everything, including people and the organization itself'),
  ('admin',   'All daily work, including deleting'),
  ('manager', 'Enters and changes, does not delete'),
  ('viewer',  'Reads')
on conflict (name) do update set description = excluded.description;

insert into app.role_permissions (role, permission)
select r.role, p.permission
from (values
  ('owner',   array['organization.read', 'organization.update', 'organization.delete', 'members.read', 'members.manage', 'shows.read', 'shows.write', 'shows.delete', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'audit.read', 'audit.manage']),
  ('admin',   array['organization.read', 'organization.update', 'members.read', 'shows.read', 'shows.write', 'shows.delete', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'audit.read']),
  ('manager', array['organization.read', 'members.read', 'shows.read', 'shows.write', 'finance.read', 'finance.write', 'imports.run', 'itineraries.read', 'itineraries.write']),
  ('viewer',  array['organization.read', 'members.read', 'shows.read', 'finance.read', 'itineraries.read'])
) as r (role, held), unnest(r.held) as p (permission)
on conflict do nothing;
--! EndIncluded permissions.sql
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

  -- What was uploaded, with what was wrong with it.
  delete from app.imports i where i.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('imports', n);

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
--! Included shows.sql
-- Shows: one performance of one bill on one day at one venue.

create table if not exists app.show_status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
alter table app.show_status_transitions enable row level security;
alter table app.show_status_transitions force row level security;
drop policy if exists select_all on app.show_status_transitions;
create policy select_all on app.show_status_transitions for select to callboard_api, callboard_definer using (true);
drop policy if exists all_owner on app.show_status_transitions;
create policy all_owner on app.show_status_transitions for all to callboard_owner using (true);
grant select on app.show_status_transitions to callboard_api, callboard_definer;
comment on table app.show_status_transitions is 'Reference: from which status a show may go to which.';

insert into app.show_status_transitions (from_status, to_status) values
  ('inquiry', 'hold'), ('inquiry', 'offer'), ('inquiry', 'cancelled'),
  ('hold', 'inquiry'), ('hold', 'offer'), ('hold', 'confirmed'), ('hold', 'cancelled'),
  ('offer', 'hold'), ('offer', 'confirmed'), ('offer', 'cancelled'),
  ('confirmed', 'played'), ('confirmed', 'cancelled'), ('confirmed', 'postponed'),
  ('postponed', 'hold'), ('postponed', 'confirmed'), ('postponed', 'cancelled'),
  ('cancelled', 'inquiry'),
  ('played', 'settled')
on conflict do nothing;

create table if not exists app.shows (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  title text not null constraint shows_title_length check (length(title) between 1 and 200 and title !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(title) <> ''),
  artist text not null constraint shows_artist_length check (length(artist) between 1 and 200 and artist !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(artist) <> ''),
  venue_id uuid,
  show_on date not null constraint shows_show_on_range check (show_on between date '1900-01-01' and date '2199-12-31'),
  doors_time time(0),
  start_time time(0),
  curfew_time time(0),
  status text not null default 'inquiry' constraint shows_status_known check (
    status in ('inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed')),
  capacity integer constraint shows_capacity_positive check (capacity > 0),
  tickets_sold integer not null default 0 constraint shows_tickets_sold_positive check (tickets_sold >= 0),
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  fee_minor bigint constraint shows_fee_range check (fee_minor between 0 and 9007199254740991),
  currency char(3) constraint shows_currency_format check (currency ~ '^[A-Z]{3}$'),
  notes text constraint shows_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  source text constraint shows_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint shows_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  primary key (organization_id, id),
  constraint shows_external_ref_with_source check ((external_ref is null) = (source is null)),
  constraint shows_venue_exists foreign key (organization_id, venue_id) references app.venues (organization_id, id),
  constraint shows_doors_before_start check (doors_time <= start_time),
  constraint shows_tickets_within_capacity check (tickets_sold <= capacity),
  constraint shows_fee_with_currency check ((fee_minor is null) = (currency is null))
);
create index if not exists shows_organization_id_show_on_idx on app.shows (organization_id, show_on, id) where deleted_at is null;
create index if not exists shows_organization_id_created_at_idx on app.shows (organization_id, created_at, id) where deleted_at is null;
create index if not exists shows_organization_id_title_idx on app.shows (organization_id, title, id) where deleted_at is null;
create index if not exists shows_organization_id_venue_id_idx on app.shows (organization_id, venue_id, show_on) where deleted_at is null;
create index if not exists shows_search_idx on app.shows using gin (organization_id, (title || ' ' || artist) app_private.gin_trgm_ops);
alter index app.shows_search_idx alter column 2 set statistics 0;
alter table app.shows alter column title set statistics 0, alter column artist set statistics 0, alter column notes set statistics 0,
  alter column capacity set statistics 0, alter column tickets_sold set statistics 0, alter column fee_minor set statistics 0;
create unique index if not exists show_external_ref_taken on app.shows (organization_id, source, external_ref)
  where deleted_at is null and external_ref is not null;
alter table app.shows alter column source set statistics 0, alter column external_ref set statistics 0;
create index if not exists shows_deletion_id_idx on app.shows (organization_id, deletion_id) where deletion_id is not null;

alter table app.shows enable row level security;
alter table app.shows force row level security;

drop policy if exists select_member on app.shows;
create policy select_member on app.shows for select to callboard_api
  using (organization_id = (select app.org_if('shows.read')));
drop policy if exists insert_member on app.shows;
create policy insert_member on app.shows for insert to callboard_api
  with check (organization_id = (select app.org_if('shows.write')));
drop policy if exists update_member on app.shows;
create policy update_member on app.shows for update to callboard_api
  using (organization_id = (select app.org_if('shows.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.shows;
create policy delete_member on app.shows for delete to callboard_api
  using (organization_id = (select app.org_if('shows.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it searches,
-- because a text match under a filtering policy cannot use an index (it is not leakproof).
drop policy if exists select_definer on app.shows;
create policy select_definer on app.shows for select to callboard_definer using (true);
-- It imports, too, as the member that an import runs as.
drop policy if exists insert_definer on app.shows;
create policy insert_definer on app.shows for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.shows;
create policy update_definer on app.shows for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.shows to callboard_api, callboard_definer;
grant insert (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref),
  update (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref)
  on app.shows to callboard_api;
grant insert (organization_id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes,
    source, external_ref, created_by),
  update (deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;

comment on table app.shows is 'Performances, from the first inquiry to the settlement.';
comment on column app.shows.start_time is 'Local time at the venue; a curfew at or before the start is on the next day.';
comment on column app.shows.external_ref is 'What the show is called where it comes from (source); unique there.';
comment on column app.shows.fee_minor is 'What the artist is paid, in the smallest unit of the currency.';

select app_private.log_changes('app.shows', 'show');

create or replace function app_private.tg_shows__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from app.show_status_transitions t where t.from_status = old.status and t.to_status = new.status) then
    perform app.refuse(409, 'show_status_transition', format('A show cannot go from %s to %s.', old.status, new.status));
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__200_status() is 'PT409 show_status_transition for a change that app.show_status_transitions does not list.';
revoke execute on function app_private.tg_shows__200_status() from public;

drop trigger if exists _100_timestamps on app.shows;
create trigger _100_timestamps before update on app.shows
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_status on app.shows;
create trigger _200_status before update on app.shows
  for each row when (new.status is distinct from old.status) execute function app_private.tg_shows__200_status();

-- A show may not be booked into a venue that is deleted; locking the venue's row makes a
-- deletion at the same moment wait and then see the show.
create or replace function app_private.tg_shows__300_venue() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from app.venues v
  where v.organization_id = new.organization_id and v.id = new.venue_id and v.deleted_at is null for share;
  if not found then
    perform app.refuse(409, 'shows_venue_exists', 'There is no such venue.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__300_venue() is 'PT409 shows_venue_exists for a venue that is not there, is deleted or is another organization''s.';
alter function app_private.tg_shows__300_venue() owner to callboard_definer;
revoke execute on function app_private.tg_shows__300_venue() from public;

drop trigger if exists _300_venue_insert on app.shows;
create trigger _300_venue_insert before insert on app.shows
  for each row when (new.venue_id is not null) execute function app_private.tg_shows__300_venue();
drop trigger if exists _300_venue_change on app.shows;
create trigger _300_venue_change before update on app.shows
  for each row when (new.venue_id is not null and new.venue_id is distinct from old.venue_id)
  execute function app_private.tg_shows__300_venue();
--! EndIncluded shows.sql
--! Included show_commands.sql
-- What can be done with a show; the table is in shows.sql.

create or replace view app.show_list with (security_invoker = true) as
  select s.organization_id, s.id, s.title, s.artist, s.venue_id, s.show_on, s.status, s.created_at, s.version,
    json_build_object(
      'id', s.id, 'title', s.title, 'artist', s.artist,
      'venue_id', s.venue_id, 'venue_name', v.name, 'venue_city', v.city, 'time_zone', v.time_zone,
      'show_on', s.show_on,
      'doors_time', to_char(s.doors_time, 'HH24:MI'), 'start_time', to_char(s.start_time, 'HH24:MI'),
      'curfew_time', to_char(s.curfew_time, 'HH24:MI'),
      'starts_at', (s.show_on + s.start_time) at time zone v.time_zone,
      'status', s.status, 'capacity', s.capacity, 'tickets_sold', s.tickets_sold,
      'fee_minor', s.fee_minor, 'currency', s.currency, 'notes', s.notes, 'source', s.source, 'external_ref', s.external_ref,
      'created_by', s.created_by, 'created_at', s.created_at, 'updated_at', s.updated_at) as body,
    s.deleted_at, s.deleted_by, s.source, s.external_ref
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id;
comment on view app.show_list is 'The organization''s shows with their JSON, also those in the bin, which have deleted_at.';
grant select on app.show_list to callboard_api, callboard_definer;

create or replace function app.search_shows(q text) returns setof uuid
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  -- The organization is compared as a value, not through a policy: under one the index is no use.
  organization uuid := app.org_if('shows.read');
  pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
begin
  return query
    select s.id from app.shows s where s.organization_id = organization and (s.title || ' ' || s.artist) ilike pattern
    union
    select s.id from app.shows s join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
    where s.organization_id = organization and v.organization_id = organization and (v.name || ' ' || v.city) ilike pattern;
end
$$;
comment on function app.search_shows(text) is 'Ids of the organization''s shows whose title and artist, or venue and city, contain the text in any case.';
alter function app.search_shows(text) owner to callboard_definer;
revoke execute on function app.search_shows(text) from public;
grant execute on function app.search_shows(text) to callboard_api;

create or replace function app.read_show(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, s.body, app.etag(s.version), '/api/shows/' || s.id into answer from app.show_list s
  where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show(uuid) is 'A show. PT404.';
revoke execute on function app.read_show(uuid) from public;
grant execute on function app.read_show(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows := jsonb_populate_record(null::app.shows, body);
  answer app.answer;
begin
  insert into app.shows (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref)
  values (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
    n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes, n.source, n.external_ref)
  returning id into n.id;
  answer := app.read_show(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show(jsonb) is 'A new show. PT403 without shows.write, PT409 shows_venue_exists.';
revoke execute on function app.create_show(jsonb) from public;
grant execute on function app.create_show(jsonb) to callboard_api;

create or replace function app.write_show(show uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows;
begin
  select * into n from app.shows s where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('shows.write');
  -- Now that it may be locked, look again.
  select * into n from app.shows s
  where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.shows else n end, body);
  update app.shows s
  set (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref)
    = row (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
      n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes, n.source, n.external_ref)
  where s.organization_id = app.current_org() and s.id = show;
  return app.read_show(show);
end
$$;
comment on function app.write_show(uuid, jsonb, boolean, text) is
  'Changes a show: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409, PT412.';
revoke execute on function app.write_show(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_show(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_show(show uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.shows', show, if_match);
end
$$;
comment on function app.delete_show(uuid, text) is 'Deletes a show until it is restored. PT403, PT404, PT412.';
alter function app.delete_show(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_show(uuid, text) from public;
grant execute on function app.delete_show(uuid, text) to callboard_api;

create or replace function app.restore_show(show uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.shows', show);
  return app.read_show(show);
end
$$;
comment on function app.restore_show(uuid) is 'Brings a deleted show back. PT403, PT404, PT409 parent_deleted.';
alter function app.restore_show(uuid) owner to callboard_definer;
revoke execute on function app.restore_show(uuid) from public;
grant execute on function app.restore_show(uuid) to callboard_api;
--! EndIncluded show_commands.sql
--! Included finance_records.sql
-- Finance records: money that comes in or goes out, planned or real.

create table if not exists app.finance_record_status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
alter table app.finance_record_status_transitions enable row level security;
alter table app.finance_record_status_transitions force row level security;
drop policy if exists select_all on app.finance_record_status_transitions;
create policy select_all on app.finance_record_status_transitions for select to callboard_api, callboard_definer using (true);
drop policy if exists all_owner on app.finance_record_status_transitions;
create policy all_owner on app.finance_record_status_transitions for all to callboard_owner using (true);
grant select on app.finance_record_status_transitions to callboard_api, callboard_definer;
comment on table app.finance_record_status_transitions is 'Reference: from which status a finance record may go to which. What is void stays so.';

insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;

create or replace function app.base_currency() returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select o.currency::text from app.organizations o where o.id = app.current_org();
end;
comment on function app.base_currency() is 'The currency in which the organization of this transaction keeps its books.';
alter function app.base_currency() owner to callboard_definer;
revoke execute on function app.base_currency() from public;
grant execute on function app.base_currency() to callboard_api;

create table if not exists app.finance_records (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_records_kind_known check (kind in ('income', 'expense')),
  category_id uuid not null,
  show_id uuid,
  booked_on date not null constraint finance_records_booked_on_range check (booked_on between date '1900-01-01' and date '2199-12-31'),
  due_on date constraint finance_records_due_on_range check (due_on between date '1900-01-01' and date '2199-12-31'),
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  amount_minor bigint not null constraint finance_records_amount_range check (amount_minor between 0 and 9007199254740991),
  tax_minor bigint not null default 0,
  currency char(3) not null,
  exchange_rate numeric(20, 10) constraint finance_records_exchange_rate_needed check (exchange_rate is not null)
    constraint finance_records_exchange_rate_range check (exchange_rate > 0 and exchange_rate <= 1000000000),
  -- Of the day of booking: another currency of the organization's, later, changes no old record.
  base_currency char(3) not null default app.base_currency(),
  -- Null only without a rate, and then a constraint says so.
  base_amount_minor bigint generated always as
      (app.convert_minor(amount_minor, exchange_rate, currency::text, base_currency::text)) stored
    constraint finance_records_base_amount_range check (base_amount_minor between 0 and 9007199254740991),
  status text not null default 'planned' constraint finance_records_status_known check (status in ('planned', 'committed', 'actual', 'void')),
  payment_status text not null default 'unpaid' constraint finance_records_payment_status_known check (
    payment_status in ('unpaid', 'partly_paid', 'paid', 'refunded')),
  counterparty text constraint finance_records_counterparty_length check (length(counterparty) between 1 and 200 and counterparty !~ '[\u0001-\u001f\u007f-\u009f]'),
  note text constraint finance_records_note_length check (length(note) <= 10000),
  source text constraint finance_records_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint finance_records_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint finance_records_category_exists foreign key (organization_id, category_id, kind)
    references app.finance_categories (organization_id, id, kind),
  -- A record outlives its show: see the trigger on app.shows below.
  constraint finance_records_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint finance_records_currency_exists foreign key (currency) references app.currencies (code),
  constraint finance_records_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1),
  constraint finance_records_tax_within_amount check (tax_minor between 0 and amount_minor),
  constraint finance_records_external_ref_with_source check ((external_ref is null) = (source is null))
);
create index if not exists finance_records_organization_id_booked_on_idx on app.finance_records (organization_id, booked_on, id) where deleted_at is null;
create index if not exists finance_records_organization_id_show_id_idx on app.finance_records (organization_id, show_id, booked_on)
  where show_id is not null;
create index if not exists finance_records_organization_id_category_id_idx on app.finance_records (organization_id, category_id, booked_on);
create unique index if not exists finance_record_external_ref_taken on app.finance_records (organization_id, source, external_ref)
  where deleted_at is null and external_ref is not null;
create index if not exists finance_records_deletion_id_idx on app.finance_records (organization_id, deletion_id) where deletion_id is not null;
alter table app.finance_records
  alter column amount_minor set statistics 0, alter column tax_minor set statistics 0, alter column exchange_rate set statistics 0,
  alter column base_amount_minor set statistics 0, alter column counterparty set statistics 0, alter column note set statistics 0,
  alter column source set statistics 0, alter column external_ref set statistics 0;

alter table app.finance_records enable row level security;
alter table app.finance_records force row level security;

drop policy if exists select_member on app.finance_records;
create policy select_member on app.finance_records for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.finance_records;
create policy insert_member on app.finance_records for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.finance_records;
create policy update_member on app.finance_records for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.finance_records;
create policy delete_member on app.finance_records for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting, restoring and importing are the definer's, within the current organization.
drop policy if exists select_definer on app.finance_records;
create policy select_definer on app.finance_records for select to callboard_definer using (true);
drop policy if exists insert_definer on app.finance_records;
create policy insert_definer on app.finance_records for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.finance_records;
create policy update_definer on app.finance_records for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.finance_records to callboard_api, callboard_definer;
grant insert (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref)
  on app.finance_records to callboard_api;
grant insert (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, base_currency, status,
    payment_status, counterparty, note, source, external_ref, created_by),
  update (deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;

comment on table app.finance_records is 'Income and expenses of the organization, planned and real.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind says in which direction.';
comment on column app.finance_records.tax_minor is 'Tax that the amount includes.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, by the exchange rate.';
comment on column app.finance_records.external_ref is 'What the record is called where it comes from (source); unique there.';

drop trigger if exists _100_timestamps on app.finance_records;
create trigger _100_timestamps before update on app.finance_records
  for each row execute function app_private.tg__100_timestamps();

create or replace function app_private.tg_finance_records__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from app.finance_record_status_transitions t where t.from_status = old.status and t.to_status = new.status) then
    perform app.refuse(409, 'finance_record_status_transition', format('A finance record cannot go from %s to %s.', old.status, new.status));
  end if;
  return new;
end
$$;
comment on function app_private.tg_finance_records__200_status() is
  'PT409 finance_record_status_transition for a change that app.finance_record_status_transitions does not list.';
revoke execute on function app_private.tg_finance_records__200_status() from public;
drop trigger if exists _200_status on app.finance_records;
create trigger _200_status before update on app.finance_records
  for each row when (new.status is distinct from old.status) execute function app_private.tg_finance_records__200_status();

-- What a record refers to, and whether its month is open, is asked once for all rows of a statement.
create or replace function app_private.tg_finance_records__300_entered() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  closed date;
begin
  -- Whoever closes a month waits for this lock, and then sees these records.
  perform from app.organizations o where o.id in (select n.organization_id from after n) for share;
  select p.month into closed from after n
  join app.finance_periods p on p.organization_id = n.organization_id and p.month = date_trunc('month', n.booked_on)::date limit 1;
  if found then
    perform app.refuse(409, 'period_closed', format('The books of %s are closed.', to_char(closed, 'YYYY-MM')));
  end if;
  -- Locked, so that a deletion at the same moment waits and then sees the record.
  perform from app.finance_categories c
  where (c.organization_id, c.id) in (select n.organization_id, n.category_id from after n) and c.deleted_at is null for share;
  if exists (select from after n join app.finance_categories c on c.organization_id = n.organization_id and c.id = n.category_id
      where c.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_category_exists', 'There is no such category.');
  end if;
  perform from app.shows s
  where (s.organization_id, s.id) in (select n.organization_id, n.show_id from after n) and s.deleted_at is null for share;
  if exists (select from after n join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id where s.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_show_exists', 'There is no such show.');
  end if;
  return null;
end
$$;
comment on function app_private.tg_finance_records__300_entered() is
  'PT409 period_closed, finance_records_category_exists or finance_records_show_exists for new records in a closed month, or of a category or show that is deleted.';
alter function app_private.tg_finance_records__300_entered() owner to callboard_definer;
revoke execute on function app_private.tg_finance_records__300_entered() from public;
create or replace trigger _300_entered after insert on app.finance_records
  referencing new table as after for each statement execute function app_private.tg_finance_records__300_entered();

create or replace function app_private.tg_finance_records__300_changed() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  closed date;
begin
  perform from app.organizations o where o.id in (select n.organization_id from after n) for share;
  select p.month into closed from after n
  join before b on b.organization_id = n.organization_id and b.id = n.id
  -- The whole organization can be deleted and restored whatever is closed.
  join app.organizations o on o.id = n.organization_id and o.deleted_at is null
  join app.finance_periods p on p.organization_id = n.organization_id
    and p.month in (date_trunc('month', n.booked_on)::date, date_trunc('month', b.booked_on)::date)
  -- So can a show be purged, which takes itself out of its records.
  where not (b.show_id is not null and n.show_id is null
    and not exists (select from app.shows s where s.organization_id = b.organization_id and s.id = b.show_id))
  limit 1;
  if found then
    perform app.refuse(409, 'period_closed', format('The books of %s are closed.', to_char(closed, 'YYYY-MM')));
  end if;
  perform from app.finance_categories c
  where (c.organization_id, c.id) in (select n.organization_id, n.category_id from after n where n.deleted_at is null) and c.deleted_at is null for share;
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.finance_categories c on c.organization_id = n.organization_id and c.id = n.category_id
      where n.category_id <> b.category_id and c.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_category_exists', 'There is no such category.');
  end if;
  perform from app.shows s
  where (s.organization_id, s.id) in (select n.organization_id, n.show_id from after n where n.deleted_at is null) and s.deleted_at is null for share;
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id
      where n.show_id is distinct from b.show_id and s.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_show_exists', 'There is no such show.');
  end if;
  -- What is only planned does not come back without its show; one that comes back with it is still marked here.
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id
      where b.deleted_at is not null and n.deleted_at is null and n.status in ('planned', 'committed')
        and s.deleted_at is not null and s.deletion_id <> b.deletion_id) then
    perform app.refuse(409, 'parent_deleted', 'The show that it is planned for is deleted: restore that first.');
  end if;
  return null;
end
$$;
comment on function app_private.tg_finance_records__300_changed() is
  'The same for changed records: neither the month that a record is in nor the one that it was in may be closed.';
alter function app_private.tg_finance_records__300_changed() owner to callboard_definer;
revoke execute on function app_private.tg_finance_records__300_changed() from public;
create or replace trigger _300_changed after update on app.finance_records
  referencing old table as before new table as after for each statement execute function app_private.tg_finance_records__300_changed();

-- What was only planned for a show goes with it, and comes back with it. What was really paid stays.
create or replace function app_private.tg_shows__400_finance_records() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  update app.finance_records r set deleted_at = new.deleted_at, deleted_by = new.deleted_by, deletion_id = new.deletion_id
  where r.organization_id = new.organization_id and r.show_id = new.id and r.status in ('planned', 'committed') and r.deleted_at is null;
  return null;
end
$$;
comment on function app_private.tg_shows__400_finance_records() is 'Deletes with a show what is planned or committed for it, but nothing that is actual.';
alter function app_private.tg_shows__400_finance_records() owner to callboard_definer;
revoke execute on function app_private.tg_shows__400_finance_records() from public;
create or replace trigger _400_finance_records after update on app.shows
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function app_private.tg_shows__400_finance_records();

select app_private.log_changes('app.finance_records', 'finance_record');
--! EndIncluded finance_records.sql
--! Included imports.sql
-- Imports: a file of shows or finance records that a member uploads, is told about, and then has
-- entered. The worker does the work as that member: see import_checking.sql and import_running.sql.

create table if not exists app.imports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint imports_resource_known check (resource in ('shows', 'finance_records')),
  file_name text constraint imports_file_name_length check (length(file_name) between 1 and 200 and file_name !~ '[\u0001-\u001f\u007f-\u009f]'),
  bytes bigint not null,
  sha256 text not null,
  -- What the member says of the file, and once it is checked what was found in it.
  options jsonb not null default '{}',
  status text not null default 'uploaded' constraint imports_status_known check (
    status in ('uploaded', 'checking', 'checked', 'queued', 'running', 'done', 'failed', 'cancelled')),
  on_error text constraint imports_on_error_known check (on_error in ('abort', 'skip')),
  lines integer not null default 0,
  bad_lines integer not null default 0,
  existing integer not null default 0,
  created integer not null default 0,
  failure text,
  session_id uuid not null default app.current_session_id(),
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (organization_id, id)
);
create index if not exists imports_organization_id_created_at_idx on app.imports (organization_id, created_at, id);
alter table app.imports alter column resource set statistics 0, alter column file_name set statistics 0, alter column bytes set statistics 0,
  alter column sha256 set statistics 0, alter column options set statistics 0, alter column on_error set statistics 0,
  alter column lines set statistics 0, alter column bad_lines set statistics 0, alter column existing set statistics 0,
  alter column created set statistics 0, alter column failure set statistics 0;

-- Apart, because it moves while the import itself is locked by the transaction that enters its lines.
create table if not exists app.import_progress (
  organization_id uuid not null,
  import_id uuid not null,
  lines_done integer not null default 0,
  is_cancelled boolean not null default false,
  primary key (organization_id, import_id),
  constraint import_progress_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);
alter table app.import_progress alter column lines_done set statistics 0;

-- The file, in pieces, until it has been entered or given up.
create table if not exists app.import_chunks (
  organization_id uuid not null,
  import_id uuid not null,
  n integer not null,
  content bytea not null,
  primary key (organization_id, import_id, n),
  constraint import_chunks_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);

create table if not exists app.import_lines (
  organization_id uuid not null,
  import_id uuid not null,
  line integer not null,
  -- As the columns of its table, of a line that is good.
  record jsonb,
  -- [{"column", "reason"}] of one that is not.
  problems jsonb,
  primary key (organization_id, import_id, line),
  constraint import_lines_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);
create index if not exists import_lines_problems_idx on app.import_lines (organization_id, import_id, line) where problems is not null;
alter table app.import_lines alter column line set statistics 0, alter column record set statistics 0, alter column problems set statistics 0;
alter table app.import_chunks alter column n set statistics 0;

comment on table app.imports is 'Files of shows or finance records, and what became of them.';
comment on column app.imports.lines is 'Lines with data, counted when the file is checked.';
comment on column app.imports.existing is 'Lines whose reference (source and external_ref) is there already; they are left alone.';
comment on table app.import_progress is 'How far an import that is running has come, and whether it is to stop.';
comment on table app.import_chunks is 'The uploaded files of imports.';
comment on table app.import_lines is 'The lines of imports: what they say, or what is wrong with them.';

do $$
declare
  t regclass;
begin
  foreach t in array array['app.imports', 'app.import_progress', 'app.import_chunks', 'app.import_lines']::regclass[] loop
    execute format('alter table %s enable row level security', t);
    execute format('alter table %s force row level security', t);
    -- Nobody reads the file itself.
    if t <> 'app.import_chunks'::regclass then
      execute format('drop policy if exists select_member on %s', t);
      execute format('create policy select_member on %s for select to callboard_api using (organization_id = (select app.org_if(''imports.run'')))', t);
    end if;
    -- Also for the worker, who finds out by this whose import it is about to enter.
    execute format('drop policy if exists select_definer on %s', t);
    execute format('create policy select_definer on %s for select to callboard_definer using (true)', t);
    execute format('drop policy if exists insert_definer on %s', t);
    execute format('create policy insert_definer on %s for insert to callboard_definer with check (organization_id = (select app.current_org()))', t);
    execute format('drop policy if exists update_definer on %s', t);
    execute format('create policy update_definer on %s for update to callboard_definer using (organization_id = (select app.current_org()))', t);
    -- Those of the organization, or of nobody in particular when the worker clears away: see app.purge_expired.
    execute format('drop policy if exists delete_definer on %s', t);
    execute format('create policy delete_definer on %s for delete to callboard_definer using (organization_id = (select app.current_org()))', t);
    execute format('grant select, insert, update, delete on %s to callboard_definer', t);
  end loop;
end
$$;
-- Without grants, because these go through functions.
drop policy if exists insert_member on app.imports;
create policy insert_member on app.imports for insert to callboard_api with check (organization_id = (select app.org_if('imports.run')));
drop policy if exists update_member on app.imports;
create policy update_member on app.imports for update to callboard_api using (organization_id = (select app.org_if('imports.run')));
drop policy if exists purge_definer on app.imports;
create policy purge_definer on app.imports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');
grant select on app.imports, app.import_progress, app.import_lines to callboard_api;

select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}');

create or replace view app.import_list with (security_invoker = true) as
  select i.organization_id, i.id, i.status, i.resource, i.created_at,
    json_build_object('id', i.id, 'resource', i.resource, 'file_name', i.file_name, 'bytes', i.bytes, 'sha256', i.sha256,
      'delimiter', i.options ->> 'delimiter', 'decimal', i.options ->> 'decimal', 'encoding', i.options ->> 'encoding',
      'dates', i.options ->> 'dates', 'source', i.options ->> 'source',
      'status', i.status, 'on_error', i.on_error, 'lines', i.lines, 'bad_lines', i.bad_lines, 'existing', i.existing, 'created', i.created,
      'lines_done', coalesce(p.lines_done, 0), 'failure', i.failure,
      'created_by', i.created_by, 'created_at', i.created_at, 'finished_at', i.finished_at) as body
  from app.imports i
  left join app.import_progress p on p.organization_id = i.organization_id and p.import_id = i.id;
comment on view app.import_list is 'The organization''s imports, with their JSON.';
grant select on app.import_list to callboard_api, callboard_definer;

create or replace function app.read_import(import uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('imports.run');
  select 200, i.body, null::text, '/api/imports/' || i.id into answer from app.import_list i
  where i.organization_id = app.current_org() and i.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_import(uuid) is 'An import. PT403, PT404.';
revoke execute on function app.read_import(uuid) from public;
grant execute on function app.read_import(uuid) to callboard_api, callboard_definer;

create or replace function app.create_import(the_resource text, name text, file_bytes bigint, file_sha256 text, given jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  import uuid;
  answer app.answer;
begin
  perform app.require('imports.run');
  perform app.require(case the_resource when 'shows' then 'shows.write' else 'finance.write' end);
  if file_bytes = 0 then
    perform app.refuse(400, 'bad_request', 'There is no file in the body.');
  end if;
  insert into app.imports (resource, file_name, bytes, sha256, options)
  values (the_resource, name, file_bytes, file_sha256, jsonb_strip_nulls(given)) returning id into import;
  insert into app.import_progress (organization_id, import_id) values (app.current_org(), import);
  perform app_private.add_job('check_import', jsonb_build_object('import', import), 'import:' || import, 5);
  answer := app.read_import(import);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_import(text, text, bigint, text, jsonb) is
  'A new import, to be checked once the transaction has committed; its file follows with app.add_import_chunk. PT400 bad_request without a file, PT403 without imports.run, or without the permission to write what is imported.';
alter function app.create_import(text, text, bigint, text, jsonb) owner to callboard_definer;
revoke execute on function app.create_import(text, text, bigint, text, jsonb) from public;
grant execute on function app.create_import(text, text, bigint, text, jsonb) to callboard_api;

create or replace function app.add_import_chunk(import uuid, number integer, piece bytea) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Only in the transaction that has created it: nobody adds to a file that has been uploaded.
  if not exists (select from app.imports i where i.organization_id = app.current_org() and i.id = import
      and i.created_by = app.current_user_id() and i.created_at = now()) then
    perform app.refuse(404, 'not_found');
  end if;
  insert into app.import_chunks (organization_id, import_id, n, content) values (app.current_org(), import, number, piece);
end
$$;
comment on function app.add_import_chunk(uuid, integer, bytea) is 'A piece of the file of an import that this transaction has created. PT404.';
alter function app.add_import_chunk(uuid, integer, bytea) owner to callboard_definer;
revoke execute on function app.add_import_chunk(uuid, integer, bytea) from public;
grant execute on function app.add_import_chunk(uuid, integer, bytea) to callboard_api;

create or replace function app.run_import(import uuid, when_bad text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports;
begin
  perform app.require('imports.run');
  select * into i from app.imports x where x.organization_id = app.current_org() and x.id = import for update;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif i.status <> 'checked' then
    perform app.refuse(409, 'import_not_checked', format('It is %s: only an import that is checked can be run.', i.status));
  elsif when_bad = 'abort' and i.bad_lines > 0 then
    perform app.refuse(409, 'import_has_bad_lines', format('%s of its %s lines are bad: run it with on_error skip, or import a mended file.', i.bad_lines, i.lines));
  end if;
  perform app.require(case i.resource when 'shows' then 'shows.write' else 'finance.write' end);
  -- As whoever runs it, with what they may do.
  update app.imports x set status = 'queued', on_error = when_bad, created_by = app.current_user_id(), session_id = app.current_session_id()
  where x.organization_id = i.organization_id and x.id = i.id;
  perform app_private.add_job('run_import', jsonb_build_object('import', i.id), 'import:' || i.id, 5);
  return app.read_import(i.id);
end
$$;
comment on function app.run_import(uuid, text) is
  'Has the lines of a checked import entered: all of them (abort) or the good ones (skip). PT403, PT404, PT409 import_not_checked, import_has_bad_lines.';
alter function app.run_import(uuid, text) owner to callboard_definer;
revoke execute on function app.run_import(uuid, text) from public;
grant execute on function app.run_import(uuid, text) to callboard_api;

create or replace function app.cancel_import(import uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present text;
begin
  perform app.require('imports.run');
  select x.status into present from app.imports x where x.organization_id = app.current_org() and x.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif present in ('done', 'failed', 'cancelled') then
    perform app.refuse(409, 'import_ended', format('It is %s already.', present));
  end if;
  -- One that is running is locked, and looks here after every few lines.
  update app.import_progress p set is_cancelled = true where p.organization_id = app.current_org() and p.import_id = import;
  if present <> 'running' then
    perform from app.imports x where x.organization_id = app.current_org() and x.id = import for update;
    perform app_private.end_import(import, 'cancelled');
  end if;
  return app.read_import(import);
end
$$;
comment on function app.cancel_import(uuid) is 'Gives an import up; one that is running stops soon, and nothing of it is entered. PT403, PT404, PT409 import_ended.';
alter function app.cancel_import(uuid) owner to callboard_definer;
revoke execute on function app.cancel_import(uuid) from public;
grant execute on function app.cancel_import(uuid) to callboard_api;

create or replace function app_private.end_import(import uuid, with_status text, because text default null, entered integer default 0, there integer default null)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  update app.imports x
  set status = with_status, failure = because, finished_at = statement_timestamp(), created = entered, existing = coalesce(there, x.existing)
  where x.organization_id = app.current_org() and x.id = import and x.status not in ('done', 'failed', 'cancelled');
  -- What the lines said is in the records, or nobody wants it; what was wrong with them may still be read.
  delete from app.import_chunks c where c.organization_id = app.current_org() and c.import_id = import;
  delete from app.import_lines l where l.organization_id = app.current_org() and l.import_id = import and l.problems is null;
end
$$;
comment on function app_private.end_import(uuid, text, text, integer, integer) is 'Ends an import and clears away its file and its good lines.';
alter function app_private.end_import(uuid, text, text, integer, integer) owner to callboard_definer;
revoke execute on function app_private.end_import(uuid, text, text, integer, integer) from public;

create or replace function app.list_import_problems(import uuid, after_line integer, how_many integer) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.read_import(import);
  return (
    select (200, json_build_object('items', coalesce(json_agg(json_build_object('line', x.line, 'problems', x.problems) order by x.line)
        filter (where x.n <= how_many), '[]'),
      'next_cursor', (max(x.line) filter (where x.n = how_many and x.total > how_many))::text), null, null)::app.answer
    from (
      select l.line, l.problems, row_number() over (order by l.line) as n, count(*) over () as total
      from app.import_lines l
      where l.organization_id = app.current_org() and l.import_id = import and l.problems is not null and l.line > after_line
      order by l.line limit how_many + 1) as x);
end
$$;
comment on function app.list_import_problems(uuid, integer, integer) is
  'The bad lines of an import behind a line, and the last of them if there are more. PT404.';
revoke execute on function app.list_import_problems(uuid, integer, integer) from public;
grant execute on function app.list_import_problems(uuid, integer, integer) to callboard_api;
--! EndIncluded imports.sql
--! Included import_checking.sql
-- Checking the lines of an import: what each says, or what is wrong with it, in the words of the file.

create or replace function app_private.csv_number(value text, decimal_is text) returns numeric
language sql immutable parallel safe
set search_path = ''
return case
  -- A group of three is a group of three: 1,5 is no fifteen.
  when decimal_is = 'comma' and value ~ '^[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]{1,18})(,[0-9]{1,10})?$' then replace(replace(value, '.', ''), ',', '.')::numeric
  when decimal_is = 'point' and value ~ '^[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]{1,18})(\.[0-9]{1,10})?$' then replace(value, ',', '')::numeric
end;
comment on function app_private.csv_number(text, text) is 'The number that a text is, with comma or point as its decimal sign and the other one between thousands; NULL if it is none.';
alter function app_private.csv_number(text, text) owner to callboard_definer;
revoke execute on function app_private.csv_number(text, text) from public;

create or replace function app_private.csv_date(value text, order_is text) returns date
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  part text[];
  y integer;
  m integer;
  d integer;
  found date;
begin
  if value ~ '^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}$' then
    part := string_to_array(value, '-');
    y := part[1]; m := part[2]; d := part[3];
  elsif value ~ '^[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}$' then
    part := string_to_array(value, '.');
    y := part[3]; m := part[2]; d := part[1];
  elsif value ~ '^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}$' and order_is in ('dmy', 'mdy') then
    part := string_to_array(value, '/');
    y := part[3];
    m := part[case order_is when 'dmy' then 2 else 1 end]; d := part[case order_is when 'dmy' then 1 else 2 end];
  end if;
  if y is null or y not between 1 and 9999 or m not between 1 and 12 or d not between 1 and 31 then
    return null;
  end if;
  found := make_date(y, m, 1) + (d - 1);
  return case when extract(month from found) = m then found end;
end
$$;
comment on function app_private.csv_date(text, text) is
  'The day that a text is: 2027-03-14, 14.3.2027, or with slashes in the order dmy or mdy; NULL if it is none.';
alter function app_private.csv_date(text, text) owner to callboard_definer;
revoke execute on function app_private.csv_date(text, text) from public;

create or replace function app_private.csv_time(value text) returns time
language sql immutable parallel safe
set search_path = ''
return case when value ~ '^([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' then value::time(0) end;
comment on function app_private.csv_time(text) is 'The time of day that a text is, 19:30; NULL if it is none.';
alter function app_private.csv_time(text) owner to callboard_definer;
revoke execute on function app_private.csv_time(text) from public;

create or replace function app_private.csv_uuid(value text) returns uuid
language sql immutable parallel safe
set search_path = ''
return case when value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then value::uuid end;
comment on function app_private.csv_uuid(text) is 'The id that a text is; NULL if it is none.';
alter function app_private.csv_uuid(text) owner to callboard_definer;
revoke execute on function app_private.csv_uuid(text) from public;

create or replace function app_private.bad(is_bad boolean, in_column text, reason text) returns jsonb
language sql immutable parallel safe
return case when is_bad then jsonb_build_object('column', in_column, 'reason', reason) end;
comment on function app_private.bad(boolean, text, text) is 'A problem of a line, if it is one.';
alter function app_private.bad(boolean, text, text) owner to callboard_definer;
revoke execute on function app_private.bad(boolean, text, text) from public;

create or replace function app_private.is_line(value text, longest integer) returns boolean
language sql immutable parallel safe
return value is null or length(value) <= longest and value !~ '[\u0001-\u001f\u007f-\u009f]';
comment on function app_private.is_line(text, integer) is 'Whether a text is one line of at most so many characters, or nothing.';
alter function app_private.is_line(text, integer) owner to callboard_definer;
revoke execute on function app_private.is_line(text, integer) from public;

create or replace function app_private.check_finance_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language sql stable
set search_path = ''
as $$
  with given as materialized (
    select (x.value ->> 0)::integer as line, x.value -> 1 as v from jsonb_array_elements(lines) as x
  ),
  read as materialized (
    select g.line, g.v, o.currency as base,
      coalesce(upper(g.v ->> 'currency'), o.currency) as currency,
      coalesce(app_private.csv_number(g.v ->> 'amount', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'amount_minor', i.options ->> 'decimal')) as amount,
      coalesce(app_private.csv_number(g.v ->> 'tax', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'tax_minor', i.options ->> 'decimal')) as tax,
      app_private.csv_number(g.v ->> 'exchange_rate', i.options ->> 'decimal') as rate,
      app_private.csv_date(g.v ->> 'booked_on', i.options ->> 'dates') as booked_on,
      app_private.csv_date(g.v ->> 'due_on', i.options ->> 'dates') as due_on,
      app_private.csv_uuid(g.v ->> 'show_id') as show_id,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source
    from given g, app.organizations o where o.id = i.organization_id
  ),
  meant as materialized (
    select r.*, k.kind, c.id as category_id
    from read r
    -- Without a kind the sign says which it is, as in the statements of banks.
    cross join lateral (select coalesce(lower(r.v ->> 'kind'), case when r.amount < 0 then 'expense' else 'income' end) as kind) k
    left join app.finance_categories c on c.organization_id = i.organization_id and c.kind = k.kind
      and lower(c.name) = lower(r.v ->> 'category') and c.deleted_at is null
  )
  select m.line,
    case when p.problems is null then jsonb_build_object('kind', m.kind, 'category_id', m.category_id, 'show_id', m.show_id,
      'booked_on', m.booked_on, 'due_on', m.due_on, 'amount_minor', abs(m.amount)::bigint, 'tax_minor', coalesce(abs(m.tax)::bigint, 0),
      'currency', m.currency, 'exchange_rate', coalesce(m.rate, 1), 'base_currency', m.base,
      'status', coalesce(lower(m.v ->> 'status'), 'actual'), 'payment_status', coalesce(lower(m.v ->> 'payment_status'), 'unpaid'),
      'counterparty', m.v ->> 'counterparty', 'note', m.v ->> 'note',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    p.problems
  from meant m
  cross join lateral (
    select to_jsonb(nullif(array_remove(array[
      app_private.bad(m.v ? '', '', 'There are more cells than columns.'),
      app_private.bad(m.booked_on is null or m.booked_on not between date '1900-01-01' and date '2199-12-31', 'booked_on',
        case when m.v ->> 'booked_on' is null then 'There must be a day.' else 'It is no day between 1900 and 2199: write 2027-03-14.' end),
      app_private.bad(exists (select from app.finance_periods f where f.organization_id = i.organization_id and f.month = date_trunc('month', m.booked_on)::date),
        'booked_on', 'The books of this month are closed.'),
      app_private.bad(m.v ->> 'due_on' is not null and (m.due_on is null or m.due_on not between date '1900-01-01' and date '2199-12-31'), 'due_on',
        'It is no day between 1900 and 2199: write 2027-03-14.'),
      app_private.bad(m.kind not in ('income', 'expense'), 'kind', 'It is income or expense.'),
      app_private.bad(m.category_id is null and m.kind in ('income', 'expense'), 'category', case when m.v ->> 'category' is null then 'There must be a category.'
        else format('There is no category of this name for %s.', m.kind) end),
      app_private.bad(m.amount is null, 'amount', case when coalesce(m.v ->> 'amount', m.v ->> 'amount_minor') is null then 'There must be an amount.'
        else format('It is no number with a decimal %s.', i.options ->> 'decimal') end),
      app_private.bad(m.amount <> trunc(m.amount), 'amount', format('%s has %s decimals.', m.currency, app.minor_digits(m.currency))),
      app_private.bad(abs(m.amount) > 9007199254740991, 'amount', 'It is too large.'),
      app_private.bad(m.amount < 0 and m.v ->> 'kind' is not null, 'amount', 'It is negative: the kind says in which direction money goes.'),
      app_private.bad(coalesce(m.v ->> 'tax', m.v ->> 'tax_minor') is not null and (m.tax is null or m.tax <> trunc(m.tax) or abs(m.tax) > abs(m.amount)), 'tax',
        'It is no part of the amount.'),
      app_private.bad(not exists (select from app.currencies c where c.code = m.currency), 'currency', 'There is no such currency.'),
      app_private.bad(m.v ->> 'exchange_rate' is not null and coalesce(m.rate <= 0 or m.rate > 1000000000, true), 'exchange_rate', 'It is no positive number.'),
      app_private.bad(m.currency <> m.base and m.v ->> 'exchange_rate' is null, 'exchange_rate', format('An amount in %s needs its rate to %s.', m.currency, m.base)),
      app_private.bad(m.currency = m.base and m.rate <> 1, 'exchange_rate', 'The rate of a currency to itself is 1.'),
      app_private.bad(app.convert_minor(least(abs(m.amount), 9007199254740991)::bigint, m.rate, m.currency, m.base) > 9007199254740991, 'exchange_rate',
        format('The amount is too large in %s.', m.base)),
      app_private.bad(lower(m.v ->> 'status') not in ('planned', 'committed', 'actual', 'void'), 'status', 'It is planned, committed, actual or void.'),
      app_private.bad(lower(m.v ->> 'payment_status') not in ('unpaid', 'partly_paid', 'paid', 'refunded'), 'payment_status',
        'It is unpaid, partly_paid, paid or refunded.'),
      app_private.bad(m.v ->> 'show_id' is not null and not exists (select from app.shows s
        where s.organization_id = i.organization_id and s.id = m.show_id and s.deleted_at is null), 'show_id', 'There is no such show.'),
      app_private.bad(not app_private.is_line(m.v ->> 'counterparty', 200), 'counterparty', 'It is longer than 200 characters, or has control characters.'),
      app_private.bad(length(m.v ->> 'note') > 10000, 'note', 'It is longer than 10000 characters.'),
      app_private.bad(not app_private.is_line(m.source, 100), 'source', 'It is longer than 100 characters, or has control characters.'),
      app_private.bad(not app_private.is_line(m.v ->> 'external_ref', 200), 'external_ref', 'It is longer than 200 characters, or has control characters.')
    ], null), '{}')) as problems) p
$$;
comment on function app_private.check_finance_lines(app.imports, jsonb) is 'What lines [[line, {column: text}]] of finance records say, or what is wrong with them.';
alter function app_private.check_finance_lines(app.imports, jsonb) owner to callboard_definer;
revoke execute on function app_private.check_finance_lines(app.imports, jsonb) from public;

create or replace function app_private.check_show_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language sql stable
set search_path = ''
as $$
  with given as materialized (
    select (x.value ->> 0)::integer as line, x.value -> 1 as v from jsonb_array_elements(lines) as x
  ),
  read as materialized (
    select g.line, g.v,
      case when coalesce(g.v ->> 'fee', g.v ->> 'fee_minor') is not null then coalesce(upper(g.v ->> 'currency'), o.currency) end as currency,
      coalesce(app_private.csv_number(g.v ->> 'fee', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'fee_minor', i.options ->> 'decimal')) as fee,
      app_private.csv_date(g.v ->> 'show_on', i.options ->> 'dates') as show_on,
      app_private.csv_time(g.v ->> 'doors_time') as doors_time, app_private.csv_time(g.v ->> 'start_time') as start_time,
      app_private.csv_time(g.v ->> 'curfew_time') as curfew_time,
      app_private.csv_number(g.v ->> 'capacity', i.options ->> 'decimal') as capacity,
      app_private.csv_number(g.v ->> 'tickets_sold', i.options ->> 'decimal') as tickets_sold,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source,
      n.id as venue_id, n.found
    from given g
    cross join app.organizations o
    cross join lateral (
      select (array_agg(w.id))[1] as id, count(*) as found from app.venues w
      where w.organization_id = i.organization_id and w.deleted_at is null
        and case when g.v ->> 'venue_id' is not null then w.id = app_private.csv_uuid(g.v ->> 'venue_id')
          else lower(w.name) = lower(g.v ->> 'venue') and (g.v ->> 'city' is null or lower(w.city) = lower(g.v ->> 'city')) end) n
    where o.id = i.organization_id
  )
  select m.line,
    case when p.problems is null then jsonb_build_object('title', m.v ->> 'title', 'artist', m.v ->> 'artist', 'venue_id', m.venue_id, 'show_on', m.show_on,
      'doors_time', m.doors_time, 'start_time', m.start_time, 'curfew_time', m.curfew_time, 'status', coalesce(lower(m.v ->> 'status'), 'inquiry'),
      'capacity', m.capacity::integer, 'tickets_sold', coalesce(m.tickets_sold, 0)::integer, 'fee_minor', m.fee::bigint, 'currency', m.currency, 'notes', m.v ->> 'notes',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    p.problems
  from read m
  cross join lateral (
    select to_jsonb(nullif(array_remove(array[
      app_private.bad(m.v ? '', '', 'There are more cells than columns.'),
      app_private.bad(m.v ->> 'title' is null, 'title', 'There must be a title.'),
      app_private.bad(not app_private.is_line(m.v ->> 'title', 200), 'title', 'It is longer than 200 characters, or has control characters.'),
      app_private.bad(m.v ->> 'artist' is null, 'artist', 'There must be an artist.'),
      app_private.bad(not app_private.is_line(m.v ->> 'artist', 200), 'artist', 'It is longer than 200 characters, or has control characters.'),
      app_private.bad(coalesce(m.v ->> 'venue_id', m.v ->> 'venue') is not null and m.found = 0, 'venue', 'There is no such venue.'),
      app_private.bad(m.found > 1, 'venue', 'There are several venues of this name: add the column city.'),
      app_private.bad(m.show_on is null or m.show_on not between date '1900-01-01' and date '2199-12-31', 'show_on',
        case when m.v ->> 'show_on' is null then 'There must be a day.' else 'It is no day between 1900 and 2199: write 2027-03-14.' end),
      app_private.bad(m.v ->> 'doors_time' is not null and m.doors_time is null, 'doors_time', 'It is no time: write 19:30.'),
      app_private.bad(m.v ->> 'start_time' is not null and m.start_time is null, 'start_time', 'It is no time: write 19:30.'),
      app_private.bad(m.v ->> 'curfew_time' is not null and m.curfew_time is null, 'curfew_time', 'It is no time: write 19:30.'),
      app_private.bad(m.doors_time > m.start_time, 'doors_time', 'Doors cannot open after the start.'),
      app_private.bad(lower(m.v ->> 'status') not in ('inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed'), 'status',
        'It is inquiry, hold, offer, confirmed, played, settled, cancelled or postponed.'),
      app_private.bad(m.v ->> 'capacity' is not null and coalesce(m.capacity not between 1 and 2147483647 or m.capacity <> trunc(m.capacity), true), 'capacity',
        'It is no positive whole number.'),
      app_private.bad(m.v ->> 'tickets_sold' is not null and coalesce(m.tickets_sold not between 0 and 2147483647 or m.tickets_sold <> trunc(m.tickets_sold), true),
        'tickets_sold', 'It is no whole number.'),
      app_private.bad(m.tickets_sold > m.capacity, 'tickets_sold', 'More tickets are sold than there are places.'),
      app_private.bad(coalesce(m.v ->> 'fee', m.v ->> 'fee_minor') is not null and coalesce(m.fee not between 0 and 9007199254740991, true), 'fee',
        format('It is no number with a decimal %s that is not negative.', i.options ->> 'decimal')),
      app_private.bad(m.fee <> trunc(m.fee), 'fee', format('%s has %s decimals.', m.currency, app.minor_digits(m.currency))),
      app_private.bad(m.currency !~ '^[A-Z]{3}$', 'currency', 'It is no ISO 4217 code.'),
      app_private.bad(length(m.v ->> 'notes') > 10000, 'notes', 'It is longer than 10000 characters.'),
      app_private.bad(not app_private.is_line(m.source, 100), 'source', 'It is longer than 100 characters, or has control characters.'),
      app_private.bad(not app_private.is_line(m.v ->> 'external_ref', 200), 'external_ref', 'It is longer than 200 characters, or has control characters.')
    ], null), '{}')) as problems) p
$$;
comment on function app_private.check_show_lines(app.imports, jsonb) is 'What lines [[line, {column: text}]] of shows say, or what is wrong with them.';
alter function app_private.check_show_lines(app.imports, jsonb) owner to callboard_definer;
revoke execute on function app_private.check_show_lines(app.imports, jsonb) from public;
--! EndIncluded import_checking.sql
--! Included import_running.sql
-- What the worker does with an import (src/imports.ts): it stages the lines of the file, and once it is
-- told to, enters them in one transaction. Each function first stands where the member stands who
-- wants this, with what they may do at this moment.

create or replace function app_private.enter_import(import uuid) returns app.imports
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
  held text[];
begin
  select * into i from app.imports x where x.id = import;
  if not found then
    return null;
  end if;
  held := app.permissions_of(i.organization_id, i.created_by);
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id, null, held);
  -- Whoever else is at it is waited for, and then has done it.
  select * into i from app.imports x where x.organization_id = i.organization_id and x.id = import for update;
  return i;
end
$$;
comment on function app_private.enter_import(uuid) is 'Opens this transaction for the member whose import it is, and locks it; null if there is none.';
alter function app_private.enter_import(uuid) owner to callboard_definer;
revoke execute on function app_private.enter_import(uuid) from public;

create or replace function app_private.may_import(i app.imports) returns boolean
language sql stable
set search_path = ''
begin atomic
  select app.has_permission('imports.run') and app.has_permission(case i.resource when 'shows' then 'shows.write' else 'finance.write' end);
end;
comment on function app_private.may_import(app.imports) is 'Whether the member whose import it is may still do it.';
alter function app_private.may_import(app.imports) owner to callboard_definer;
revoke execute on function app_private.may_import(app.imports) from public;

create or replace function app.begin_import(import uuid, step text) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
begin
  if i.id is null or not i.status = any (case step when 'check' then array['uploaded', 'checking'] else array['queued', 'running'] end) then
    return null;
  elsif not app_private.may_import(i) then
    perform app_private.end_import(i.id, 'failed', 'Who wanted it may not do it any more.');
    return null;
  end if;
  if step = 'check' then
    -- What a worker that is gone had staged.
    delete from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id;
  end if;
  update app.import_progress p set lines_done = 0 where p.organization_id = i.organization_id and p.import_id = i.id;
  update app.imports x set status = case step when 'check' then 'checking' else 'running' end where x.organization_id = i.organization_id and x.id = i.id;
  return jsonb_build_object('resource', i.resource, 'options', i.options, 'lines', i.lines, 'chunks', (
    select count(*) from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id));
end
$$;
comment on function app.begin_import(uuid, text) is
  'Begins to check or to run an import, also again: its resource, options, lines and how many pieces its file has. NULL if there is nothing to do (any more).';
alter function app.begin_import(uuid, text) owner to callboard_definer;
revoke execute on function app.begin_import(uuid, text) from public;
grant execute on function app.begin_import(uuid, text) to callboard_worker;

create or replace function app.import_chunk(import uuid, number integer) returns bytea
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select c.content from app.import_chunks c join app.imports i on i.organization_id = c.organization_id and i.id = c.import_id
  where i.id = import and c.n = number;
end;
comment on function app.import_chunk(uuid, integer) is 'A piece of the file of an import, counted from 0.';
alter function app.import_chunk(uuid, integer) owner to callboard_definer;
revoke execute on function app.import_chunk(uuid, integer) from public;
grant execute on function app.import_chunk(uuid, integer) to callboard_worker;

create or replace function app.stage_import(import uuid, found_options jsonb, lines jsonb) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  staged integer;
begin
  if i.status is distinct from 'checking' then
    return false;
  end if;
  i.options := found_options;
  if i.resource = 'shows' then
    insert into app.import_lines (organization_id, import_id, line, record, problems)
    select i.organization_id, i.id, c.* from app_private.check_show_lines(i, lines) c;
  else
    insert into app.import_lines (organization_id, import_id, line, record, problems)
    select i.organization_id, i.id, c.* from app_private.check_finance_lines(i, lines) c;
  end if;
  get diagnostics staged = row_count;
  update app.import_progress p set lines_done = p.lines_done + staged where p.organization_id = i.organization_id and p.import_id = i.id;
  return true;
end
$$;
comment on function app.stage_import(uuid, jsonb, jsonb) is
  'Checks lines [[line, {column: text}]] of an import and keeps what they say. False if it has been cancelled.';
alter function app.stage_import(uuid, jsonb, jsonb) owner to callboard_definer;
revoke execute on function app.stage_import(uuid, jsonb, jsonb) from public;
grant execute on function app.stage_import(uuid, jsonb, jsonb) to callboard_worker;

create or replace function app.finish_check(import uuid, found_options jsonb, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
begin
  if i.status is distinct from 'checking' then
    return;
  end if;
  if because is not null then
    update app.imports x set options = found_options where x.organization_id = i.organization_id and x.id = i.id;
    perform app_private.end_import(i.id, 'failed', because);
    return;
  end if;
  -- A reference that the file has twice: the first line has it.
  update app.import_lines l
  set record = null, problems = jsonb_build_array(jsonb_build_object('column', 'external_ref', 'reason', format('Line %s has the same.', d.first_line)))
  from (
    select x.line, first_value(x.line) over (partition by x.record ->> 'source', x.record ->> 'external_ref' order by x.line) as first_line
    from app.import_lines x
    where x.organization_id = i.organization_id and x.import_id = i.id and x.record ->> 'external_ref' is not null) d
  where l.organization_id = i.organization_id and l.import_id = i.id and l.line = d.line and d.line <> d.first_line;
  update app.imports x
  set status = 'checked', options = found_options, lines = n.lines, bad_lines = n.bad_lines, existing = n.existing
  from (
    select count(*) as lines, count(l.problems) as bad_lines, count(coalesce(r.id, s.id)) as existing
    from app.import_lines l
    left join app.finance_records r on i.resource = 'finance_records' and r.organization_id = l.organization_id and r.deleted_at is null
      and r.source = l.record ->> 'source' and r.external_ref = l.record ->> 'external_ref'
    left join app.shows s on i.resource = 'shows' and s.organization_id = l.organization_id and s.deleted_at is null
      and s.source = l.record ->> 'source' and s.external_ref = l.record ->> 'external_ref'
    where l.organization_id = i.organization_id and l.import_id = i.id) n
  where x.organization_id = i.organization_id and x.id = i.id;
  -- The lines have all that is needed of it.
  delete from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id;
end
$$;
comment on function app.finish_check(uuid, jsonb, text) is 'All lines of an import are staged, or the file cannot be read because of something.';
alter function app.finish_check(uuid, jsonb, text) owner to callboard_definer;
revoke execute on function app.finish_check(uuid, jsonb, text) from public;
grant execute on function app.finish_check(uuid, jsonb, text) to callboard_worker;

create or replace function app.enter_lines(import uuid, after_line integer, how_many integer, out last_line integer, out entered integer, out there integer)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  good integer;
begin
  if not app_private.may_import(i) then
    perform app.refuse(403, 'permission_denied', 'Who wanted it may not do it any more.');
  elsif (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id) then
    perform app.refuse(409, 'import_ended', 'It was cancelled.');
  end if;
  select max(x.line), count(*) into last_line, good from (
    select l.line from app.import_lines l
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line
    order by l.line limit how_many) x;
  if i.resource = 'shows' then
    insert into app.shows (organization_id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold,
      fee_minor, currency, notes, source, external_ref, created_by)
    select i.organization_id, r.*, i.created_by
    from app.import_lines l
    cross join lateral jsonb_to_record(l.record) as r (title text, artist text, venue_id uuid, show_on date, doors_time time, start_time time,
      curfew_time time, status text, capacity integer, tickets_sold integer, fee_minor bigint, currency text, notes text, source text, external_ref text)
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
    order by l.line
    on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing;
  else
    insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate,
      base_currency, status, payment_status, counterparty, note, source, external_ref, created_by)
    select i.organization_id, r.*, i.created_by
    from app.import_lines l
    cross join lateral jsonb_to_record(l.record) as r (kind text, category_id uuid, show_id uuid, booked_on date, due_on date, amount_minor bigint,
      tax_minor bigint, currency text, exchange_rate numeric, base_currency text, status text, payment_status text, counterparty text, note text,
      source text, external_ref text)
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
    order by l.line
    on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing;
  end if;
  get diagnostics entered = row_count;
  there := good - entered;
end
$$;
comment on function app.enter_lines(uuid, integer, integer) is
  'Enters the next good lines of an import: the last of them (null: there were none), how many, and how many were there already. PT403 and PT409 when it is to stop, and what the table itself refuses.';
alter function app.enter_lines(uuid, integer, integer) owner to callboard_definer;
revoke execute on function app.enter_lines(uuid, integer, integer) from public;
grant execute on function app.enter_lines(uuid, integer, integer) to callboard_worker;

create or replace function app.note_import_progress(import uuid, lines integer) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports;
begin
  -- From beside the transaction that has the import locked, so this locks it not.
  select * into i from app.imports x where x.id = import;
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id);
  update app.import_progress p set lines_done = lines where p.organization_id = i.organization_id and p.import_id = i.id;
end
$$;
comment on function app.note_import_progress(uuid, integer) is 'How many lines of an import are behind the worker.';
alter function app.note_import_progress(uuid, integer) owner to callboard_definer;
revoke execute on function app.note_import_progress(uuid, integer) from public;
grant execute on function app.note_import_progress(uuid, integer) to callboard_worker;

create or replace function app.finish_import(import uuid, entered integer, there integer, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  is_cancelled boolean := (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id);
begin
  if i.status is distinct from 'running' then
    return;
  end if;
  perform app_private.end_import(i.id, case when because is null then 'done' when is_cancelled then 'cancelled' else 'failed' end,
    because, entered, there);
end
$$;
comment on function app.finish_import(uuid, integer, integer, text) is 'An import has been run: so many lines were entered, so many were there. Or it has failed because of something.';
alter function app.finish_import(uuid, integer, integer, text) owner to callboard_definer;
revoke execute on function app.finish_import(uuid, integer, integer, text) from public;
grant execute on function app.finish_import(uuid, integer, integer, text) to callboard_worker;
--! EndIncluded import_running.sql
