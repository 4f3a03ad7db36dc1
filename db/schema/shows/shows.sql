-- Shows: a performance of one bill on one day at one venue. The fee is in show_fees.sql.

create table if not exists app.show_status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
select app_private.reference_table('app.show_status_transitions');
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
  title text collate app.people not null constraint shows_title_length check (length(title) between 1 and 200 and title !~ '[\u0001-\u001f\u007f-\u009f]'
    and title ~ '[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]'),
  artist text collate app.people not null constraint shows_artist_length check (length(artist) between 1 and 200 and artist !~ '[\u0001-\u001f\u007f-\u009f]'
    and artist ~ '[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]'),
  venue_id uuid,
  show_on date not null constraint shows_show_on_range check (show_on between date '1900-01-01' and date '2199-12-31'),
  doors_time time(0),
  start_time time(0),
  curfew_time time(0),
  status text not null default 'inquiry' constraint shows_status_known check (
    status in ('inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed')),
  capacity integer constraint shows_capacity_positive check (capacity > 0),
  tickets_sold integer not null default 0 constraint shows_tickets_sold_positive check (tickets_sold >= 0),
  notes text constraint shows_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  source text collate app.people constraint shows_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint shows_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  as_json text not null,
  primary key (organization_id, id),
  constraint shows_external_ref_with_source check ((external_ref is null) = (source is null)),
  constraint shows_venue_exists foreign key (organization_id, venue_id) references app.venues (organization_id, id),
  constraint shows_doors_before_start check (doors_time <= start_time),
  constraint shows_tickets_within_capacity check (tickets_sold <= capacity)
);
create index if not exists shows_organization_id_show_on_idx on app.shows (organization_id, show_on, id) where deleted_at is null;
create index if not exists shows_organization_id_created_at_idx on app.shows (organization_id, created_at, id) where deleted_at is null;
create index if not exists shows_organization_id_title_idx on app.shows (organization_id, title, id) where deleted_at is null;
-- Includes shows in the bin, which app.search_shows and the foreign key need as well.
create index if not exists shows_organization_id_venue_id_idx on app.shows (organization_id, venue_id, show_on);
create index if not exists shows_search_idx on app.shows using gin (organization_id, (title || ' ' || artist) app_private.gin_trgm_ops);
alter index app.shows_search_idx alter column 2 set statistics 0;
create unique index if not exists show_external_ref_taken on app.shows (organization_id, source, external_ref)
  where deleted_at is null and external_ref is not null;

-- The definer's functions search, because a text match under a filtering policy cannot use an index (it is not leakproof),
-- and import on behalf of the member who started the import.
select app_private.tenant_table('shows', noun => 'show', permission => 'shows', path => '/api/shows', definer => 'insert, update', is_exported => true, is_counted => true,
  checks_parents => false);
grant insert (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref),
  update (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
  on app.shows to callboard_api;
grant insert (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes,
    source, external_ref, created_by),
  update (status, capacity, tickets_sold, deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;

comment on table app.shows is 'Performances, from first inquiry to settlement.';
comment on column app.shows.tickets_sold is 'Where the show has ticket tiers, the sum of theirs; so is the capacity that of their allotments.';
comment on column app.shows.start_time is 'Local time at the venue; a curfew at or before the start is on the next day.';
comment on column app.shows.external_ref is 'The show''s id in the system it comes from (source); unique there.';

create or replace function app_private.tg_shows__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- app.reopen_settlement and app.correct_show_status, which require another permission and a reason.
  if current_user = 'callboard_definer' and new.status <> 'settled' then
    return new;
  end if;
  if not exists (select from app.show_status_transitions t where t.from_status = old.status and t.to_status = new.status) then
    perform app.refuse(409, 'show_status_transition', format('A show cannot go from %s to %s.', old.status, new.status));
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__200_status() is 'PT409 show_status_transition for a change that app.show_status_transitions does not list.';

create or replace trigger _200_status before update on app.shows
  for each row when (new.status is distinct from old.status) execute function app_private.tg_shows__200_status();

-- A show may not be booked into a deleted venue; locking the venue's row makes a concurrent deletion wait and then
-- see the show. New shows are checked once for all rows of a statement. The error is that of the foreign key, so
-- that nothing reveals whether a venue is deleted, another organization's, or does not exist.
create or replace function app_private.refuse_venue() returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'foreign_key_violation', constraint = 'shows_venue_exists', message = 'there is no such venue';
end
$$;
comment on function app_private.refuse_venue() is 'The error shows_venue_exists, as the foreign key raises it.';
alter function app_private.refuse_venue() owner to callboard_definer;

create or replace function app_private.tg_shows__300_entered() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Two questions, because the second one alone takes 40 µs to prepare, for a show that has no venue, too.
  if exists (select from added n where n.venue_id is not null) then
    if exists (
      select from (select distinct n.organization_id, n.venue_id from added n where n.venue_id is not null) n
      -- FOR SHARE also keeps this from becoming a join, so each venue is looked up by its key.
      where not exists (select from app.venues v where v.organization_id = n.organization_id and v.id = n.venue_id and v.deleted_at is null for share))
    then
      -- A DBA has no context, and the definer locks nothing without.
      if exists (
        select from (select distinct n.organization_id, n.venue_id from added n where n.venue_id is not null) n
        where not exists (select from app.venues v where v.organization_id = n.organization_id and v.id = n.venue_id and v.deleted_at is null offset 0))
      then
        perform app_private.refuse_venue();
      end if;
    end if;
  end if;
  return null;
end
$$;
comment on function app_private.tg_shows__300_entered() is 'shows_venue_exists for new shows at a deleted venue.';
alter function app_private.tg_shows__300_entered() owner to callboard_definer;

create or replace function app_private.tg_shows__300_venue() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from app.venues v
  where v.organization_id = new.organization_id and v.id = new.venue_id and v.deleted_at is null for share;
  if not found then
    perform app_private.refuse_venue();
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__300_venue() is 'shows_venue_exists for a change to a venue that does not exist, is deleted or belongs to another organization.';
alter function app_private.tg_shows__300_venue() owner to callboard_definer;

create or replace trigger _300_entered after insert on app.shows
  referencing new table as added for each statement execute function app_private.tg_shows__300_entered();
create or replace trigger _300_venue_change before update on app.shows
  for each row when (new.venue_id is not null and new.venue_id is distinct from old.venue_id)
  execute function app_private.tg_shows__300_venue();
