--! Previous: sha1:68b48b6b6d5387f89b9b8499888751c8e0238081
--! Hash: sha1:ba5be4f959944439578fbac90ed36b19f81d48e8
--! Message: settlement of shows

--! Included deletions.sql
-- Deleting is marking. A deletion has an id; it marks a row and, through the foreign keys that
-- say ON DELETE CASCADE, everything that belongs to it. Restoring clears exactly the marks with
-- that id. A foreign key that does not cascade protects its parent, as it would in PostgreSQL.
--
-- Both work on every table that has `deletion_id`, found in the catalogue: a new table takes
-- part by having the columns, its definer policies, and grants for the three columns.

create or replace view app_private.deletion_edges as
  select c.confrelid::regclass as parent, c.conrelid::regclass as child, c.conname as name, c.confdeltype = 'c' as cascades,
    (select string_agg(format('c.%I = p.%I', a.attname, b.attname), ' and ')
     from unnest(c.conkey, c.confkey) as k (child_column, parent_column)
     join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.child_column
     join pg_catalog.pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.parent_column) as condition
  from pg_catalog.pg_constraint c
  -- What is set to null does without its parent: it neither follows a deletion nor forbids one.
  where c.contype = 'f' and c.confdeltype <> 'n'
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attname = 'deletion_id' and not a.attisdropped)
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.confrelid and a.attname = 'deletion_id' and not a.attisdropped);
comment on view app_private.deletion_edges is 'Foreign keys between tables with soft delete: what a deletion follows, and what forbids it.';
grant select on app_private.deletion_edges to callboard_definer;

create or replace view app_private.deletion_tables as
  select c.oid::regclass as marked, case when c.oid = 'app.organizations'::regclass then 'id' else 'organization_id' end as organization_column
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where a.attname = 'deletion_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relispartition
  order by c.relname;
comment on view app_private.deletion_tables is 'The tables with soft delete, and their columns with the organization.';
grant select on app_private.deletion_tables to callboard_definer;

create or replace function app_private.spread_deletion(from_table regclass, deletion uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  edge record;
  marked bigint;
begin
  for edge in select * from app_private.deletion_edges e where e.parent = from_table order by e.child::text, e.name loop
    if edge.cascades then
      execute format(
        'update %s c set deleted_at = p.deleted_at, deleted_by = p.deleted_by, deletion_id = p.deletion_id
         from %s p where %s and p.deletion_id = $1 and c.deleted_at is null', edge.child, from_table, edge.condition)
      using deletion;
      get diagnostics marked = row_count;
      -- Only a table that got new marks is followed, so a cycle comes to an end.
      if marked > 0 then
        perform app_private.spread_deletion(edge.child, deletion);
      end if;
    end if;
  end loop;
end
$$;
comment on function app_private.spread_deletion(regclass, uuid) is 'Marks what belongs to the rows of a table that a deletion has marked.';
alter function app_private.spread_deletion(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.spread_deletion(regclass, uuid) from public;

create or replace function app_private.soft_delete(target regclass, condition text, id uuid) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid := app.uuid_v7();
  edge record;
  in_use boolean;
begin
  execute format('update %s set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = $2
                  where %s and deleted_at is null', target, condition) using id, deletion;
  for edge in select * from app_private.deletion_edges e where e.parent = target and not e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.deletion_id = $1 and c.deleted_at is null)',
      edge.child, target, edge.condition) into in_use using deletion;
    if in_use then
      perform app.refuse(409, edge.name, 'Something else still refers to it.');
    end if;
  end loop;
  perform app_private.spread_deletion(target, deletion);
  return deletion;
end
$$;
comment on function app_private.soft_delete(regclass, text, uuid) is
  'Marks the row of a table for which the condition on $1 (the id) holds, and what belongs to it. Returns the deletion''s id. PT409 with the name of a foreign key that protects the row.';
alter function app_private.soft_delete(regclass, text, uuid) owner to callboard_definer;
revoke execute on function app_private.soft_delete(regclass, text, uuid) from public;

create or replace function app_private.restore_deletion(deletion uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  t record;
begin
  for t in select * from app_private.deletion_tables loop
    execute format('update %s set deleted_at = null, deleted_by = null, deletion_id = null where deletion_id = $1 and %I = app.current_org()',
      t.marked, t.organization_column)
    using deletion;
  end loop;
end
$$;
comment on function app_private.restore_deletion(uuid) is 'Clears every mark of a deletion in the current organization.';
alter function app_private.restore_deletion(uuid) owner to callboard_definer;
revoke execute on function app_private.restore_deletion(uuid) from public;

create or replace function app_private.policy_permission(target regclass, command text) returns text
language sql stable
set search_path = ''
begin atomic
  select substring(pg_get_expr(coalesce(p.polqual, p.polwithcheck), p.polrelid) from 'org_if\(''([a-z_.]+)''')
  from pg_catalog.pg_policy p where p.polrelid = target and p.polname = command || '_member';
end;
comment on function app_private.policy_permission(regclass, text) is
  'The permission that a member needs for select, insert, update or delete on a table, as its policy says; NULL where no member may. A policy says so too where there is no grant, because the command goes through functions.';
alter function app_private.policy_permission(regclass, text) owner to callboard_definer;
revoke execute on function app_private.policy_permission(regclass, text) from public;

create or replace function app_private.delete_row(target regclass, id uuid, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  execute format('select version from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is null for no key update', target)
  into present using id, app_private.policy_permission(target, 'select');
  perform app.check_version(present, if_match);
  perform app.require(app_private.policy_permission(target, 'delete'));
  perform app_private.soft_delete(target, 'organization_id = app.current_org() and id = $1', id);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app_private.delete_row(regclass, uuid, text) is
  'The command behind every DELETE of one row of the current organization. PT404, PT403, PT412, PT409.';
alter function app_private.delete_row(regclass, uuid, text) owner to callboard_definer;
revoke execute on function app_private.delete_row(regclass, uuid, text) from public;

create or replace function app_private.restore_row(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  missing boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, app_private.policy_permission(target, 'select');
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(app_private.policy_permission(target, 'delete'));
  -- A row whose parent is deleted would come back to nowhere, or take its parent along, which is for
  -- those who may restore that. Locking the parent makes its deletion at the same moment wait and then see the row.
  for edge in select * from app_private.deletion_edges e where e.child = target loop
    execute format('select p.deleted_at is not null from %s c, %s p where %s and c.organization_id = app.current_org() and c.id = $1 for share of p',
      target, edge.parent, edge.condition) into missing using id;
    if missing then
      perform app.refuse(409, 'parent_deleted', 'What it belongs to is deleted: restore that first.');
    end if;
  end loop;
  perform app_private.restore_deletion(deletion);
end
$$;
comment on function app_private.restore_row(regclass, uuid) is
  'The command behind every restore: brings back all that was deleted together with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.restore_row(regclass, uuid) from public;
--! EndIncluded deletions.sql
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
  update (status, deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;

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
  -- There is no way out of settled but app.reopen_settlement, which asks for another permission and a reason.
  if current_user = 'callboard_definer' and old.status = 'settled' and new.status = 'played' then
    return new;
  end if;
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
--! Included show_parts.sql
-- What belongs to a show and counts in its settlement: its deal, ticket tiers, costs and deposits,
-- each in a file of its own. Once the settlement is final they are as they are.

create or replace function app.require_show(show uuid) returns uuid
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  if not exists (select from app.shows s where s.organization_id = app.org_if('shows.read') and s.id = show and s.deleted_at is null) then
    perform app.refuse(404, 'not_found');
  end if;
  return show;
end
$$;
comment on function app.require_show(uuid) is 'The id of a show that the member may see. PT404.';
revoke execute on function app.require_show(uuid) from public;
grant execute on function app.require_show(uuid) to callboard_api, callboard_definer;

create or replace function app_private.require_unsettled(organization uuid, show uuid, is_new boolean) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  present app.shows;
begin
  -- Finalizing and deleting change the show's row: this waits for them, and they for this.
  perform from app.shows s where s.organization_id = organization and s.id = show for share;
  select * into present from app.shows s where s.organization_id = organization and s.id = show;
  if present.id is null then
    perform app.refuse(404, 'not_found');
  elsif is_new and present.deleted_at is not null then
    perform app.refuse(409, 'parent_deleted', 'The show is deleted: restore that first.');
  elsif present.status = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
end
$$;
comment on function app_private.require_unsettled(uuid, uuid, boolean) is
  'PT404 if there is no such show, PT409 settlement_final if it is settled; for what is new PT409 parent_deleted if it is deleted.';
alter function app_private.require_unsettled(uuid, uuid, boolean) owner to callboard_definer;
revoke execute on function app_private.require_unsettled(uuid, uuid, boolean) from public;

create or replace function app_private.tg__200_unsettled() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform app_private.require_unsettled(new.organization_id, new.show_id, tg_op = 'INSERT');
  return new;
end
$$;
comment on function app_private.tg__200_unsettled() is
  'Before a row of a show is entered or changed: see app_private.require_unsettled. The marks of a deletion are not for it, because they come with those of the show.';
alter function app_private.tg__200_unsettled() owner to callboard_definer;
revoke execute on function app_private.tg__200_unsettled() from public;

create or replace function app_private.delete_part(target regclass, id uuid, if_match text) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  answer app.answer;
  show uuid;
begin
  perform app.require('finance.read');
  answer := app_private.delete_row(target, id, if_match);
  execute format('select show_id from %s where organization_id = app.current_org() and id = $1', target) into show using id;
  perform app_private.require_unsettled(app.current_org(), show, false);
  return answer;
end
$$;
comment on function app_private.delete_part(regclass, uuid, text) is
  'The command behind every DELETE of a row that counts in a settlement. PT404, PT403, PT412, PT409 settlement_final.';
alter function app_private.delete_part(regclass, uuid, text) owner to callboard_definer;
revoke execute on function app_private.delete_part(regclass, uuid, text) from public;

create or replace function app_private.restore_part(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  show uuid;
begin
  perform app.require('finance.read');
  perform app_private.restore_row(target, id);
  execute format('select show_id from %s where organization_id = app.current_org() and id = $1', target) into show using id;
  perform app_private.require_unsettled(app.current_org(), show, false);
end
$$;
comment on function app_private.restore_part(regclass, uuid) is
  'The command behind every restore of a row that counts in a settlement. PT404, PT403, PT409 parent_deleted, settlement_final.';
alter function app_private.restore_part(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.restore_part(regclass, uuid) from public;
--! EndIncluded show_parts.sql
--! Included deals.sql
-- Deals: what the artist of a show is paid, and of what. How that is worked out is in settlement_arithmetic.sql.

create table if not exists app.deals (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deals_kind_known check (kind in ('flat', 'door', 'plus', 'versus')),
  currency char(3) not null constraint deals_currency_exists references app.currencies (code),
  guarantee_minor bigint constraint deals_guarantee_range check (guarantee_minor between 0 and 9007199254740991),
  -- Rates are in basis points: 8500 is 85 %.
  percentage_bp integer constraint deals_percentage_range check (percentage_bp between 0 and 10000),
  base text constraint deals_base_known check (base in ('gross', 'net', 'net_after_promoter_profit')),
  tax_bp integer not null default 0 constraint deals_tax_range check (tax_bp between 0 and 10000),
  promoter_profit_bp integer not null default 0 constraint deals_promoter_profit_range check (promoter_profit_bp between 0 and 10000),
  guarantee_is_cost boolean not null,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deals_guarantee_by_kind check ((kind = 'door') = (guarantee_minor is null)),
  constraint deals_percentage_by_kind check ((kind = 'flat') = (percentage_bp is null) and (kind = 'flat') = (base is null)),
  constraint deals_promoter_profit_by_base check (promoter_profit_bp = 0 or base is not distinct from 'net_after_promoter_profit'),
  constraint deals_guarantee_is_cost_of_plus check (not guarantee_is_cost or kind = 'plus')
);
create unique index if not exists deals_one_per_show on app.deals (organization_id, show_id) where deleted_at is null;
create index if not exists deals_organization_id_show_id_idx on app.deals (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists deals_deletion_id_idx on app.deals (organization_id, deletion_id) where deletion_id is not null;
alter table app.deals alter column kind set statistics 0, alter column guarantee_minor set statistics 0, alter column percentage_bp set statistics 0,
  alter column base set statistics 0, alter column tax_bp set statistics 0, alter column promoter_profit_bp set statistics 0;

alter table app.deals enable row level security;
alter table app.deals force row level security;

drop policy if exists select_member on app.deals;
create policy select_member on app.deals for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.deals;
create policy insert_member on app.deals for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.deals;
create policy update_member on app.deals for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.deals;
create policy delete_member on app.deals for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.deals;
create policy select_definer on app.deals for select to callboard_definer using (true);
drop policy if exists update_definer on app.deals;
create policy update_definer on app.deals for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.deals to callboard_api, callboard_definer;
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost), update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost) on app.deals to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.deals to callboard_definer;

comment on table app.deals is 'What the artist of a show is paid: at most one that is not deleted for each show.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage is of: ticket sales as they were paid; what is left of them after fees, taxes and costs; or after the promoter''s profit, too.';
comment on column app.deals.tax_bp is 'The rate of the tax that the prices of the tickets contain.';
comment on column app.deals.promoter_profit_bp is 'The promoter''s profit before the percentage begins, as a share of the costs.';
comment on column app.deals.guarantee_is_cost is 'Of plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins when it has been earned back.';

select app_private.log_changes('app.deals', 'deal');

drop trigger if exists _100_timestamps on app.deals;
create trigger _100_timestamps before update on app.deals
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.deals;
create trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost on app.deals
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.deal_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'kind', x.kind, 'currency', x.currency, 'guarantee_minor', x.guarantee_minor, 'percentage_bp', x.percentage_bp,
      'base', x.base, 'tax_bp', x.tax_bp, 'promoter_profit_bp', x.promoter_profit_bp, 'guarantee_is_cost', x.guarantee_is_cost,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.deals x
  where x.deleted_at is null;
comment on view app.deal_list is 'The organization''s deals that are not deleted, with their JSON.';
grant select on app.deal_list to callboard_api, callboard_definer;

create or replace function app.read_deal(deal uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/deals/' || x.id into answer from app.deal_list x
  where x.organization_id = app.current_org() and x.id = deal;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_deal(uuid) is 'A deal. PT403, PT404.';
revoke execute on function app.read_deal(uuid) from public;
grant execute on function app.read_deal(uuid) to callboard_api, callboard_definer;

create or replace function app.create_deal(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deals := jsonb_populate_record(null::app.deals, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.deals (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost)
  values (show, n.kind, n.currency, n.guarantee_minor, n.percentage_bp, n.base, coalesce(n.tax_bp, 0), coalesce(n.promoter_profit_bp, 0),
      coalesce(n.guarantee_is_cost, n.kind = 'plus')) returning id into n.id;
  answer := app.read_deal(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_deal(uuid, jsonb) is 'A new deal of a show. PT403 without finance.write, PT404, PT409 deals_one_per_show, settlement_final.';
revoke execute on function app.create_deal(uuid, jsonb) from public;
grant execute on function app.create_deal(uuid, jsonb) to callboard_api;

create or replace function app.write_deal(deal uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deals;
begin
  perform app.require('finance.read');
  select * into n from app.deals x where x.organization_id = app.current_org() and x.id = deal and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.deals x
  where x.organization_id = app.current_org() and x.id = deal and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.deals else n end, body);
  update app.deals x
  set (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost)
    = row (n.kind, n.currency, n.guarantee_minor, n.percentage_bp, n.base, coalesce(n.tax_bp, 0), coalesce(n.promoter_profit_bp, 0),
      coalesce(n.guarantee_is_cost, n.kind = 'plus'))
  where x.organization_id = app.current_org() and x.id = deal;
  return app.read_deal(deal);
end
$$;
comment on function app.write_deal(uuid, jsonb, boolean, text) is
  'Changes a deal: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_deal(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_deal(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_deal(deal uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.deals', deal, if_match);
end
$$;
comment on function app.delete_deal(uuid, text) is 'Deletes a deal until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_deal(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_deal(uuid, text) from public;
grant execute on function app.delete_deal(uuid, text) to callboard_api;

create or replace function app.restore_deal(deal uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.deals', deal);
  return app.read_deal(deal);
end
$$;
comment on function app.restore_deal(uuid) is 'Brings a deleted deal back. PT403, PT404, PT409 deals_one_per_show, parent_deleted, settlement_final.';
alter function app.restore_deal(uuid) owner to callboard_definer;
revoke execute on function app.restore_deal(uuid) from public;
grant execute on function app.restore_deal(uuid) to callboard_api;
--! EndIncluded deals.sql
--! Included ticket_tiers.sql
-- Ticket tiers: the kinds of tickets of a show, what one costs, and how many were sold. In the currency of the show's deal.

create table if not exists app.ticket_tiers (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text not null constraint ticket_tiers_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  price_minor bigint not null constraint ticket_tiers_price_range check (price_minor between 0 and 9007199254740991),
  facility_fee_minor bigint not null default 0 constraint ticket_tiers_facility_fee_range check (facility_fee_minor between 0 and 9007199254740991),
  allotment integer not null constraint ticket_tiers_allotment_positive check (allotment > 0),
  sold integer not null default 0 constraint ticket_tiers_sold_positive check (sold >= 0),
  comps integer not null default 0 constraint ticket_tiers_comps_positive check (comps >= 0),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint ticket_tiers_fee_within_price check (facility_fee_minor <= price_minor),
  constraint ticket_tiers_within_allotment check (sold::bigint + comps <= allotment)
);
create index if not exists ticket_tiers_organization_id_show_id_idx on app.ticket_tiers (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists ticket_tiers_deletion_id_idx on app.ticket_tiers (organization_id, deletion_id) where deletion_id is not null;
alter table app.ticket_tiers alter column name set statistics 0, alter column price_minor set statistics 0, alter column facility_fee_minor set statistics 0,
  alter column allotment set statistics 0, alter column sold set statistics 0, alter column comps set statistics 0;

alter table app.ticket_tiers enable row level security;
alter table app.ticket_tiers force row level security;

drop policy if exists select_member on app.ticket_tiers;
create policy select_member on app.ticket_tiers for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.ticket_tiers;
create policy insert_member on app.ticket_tiers for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.ticket_tiers;
create policy update_member on app.ticket_tiers for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.ticket_tiers;
create policy delete_member on app.ticket_tiers for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.ticket_tiers;
create policy select_definer on app.ticket_tiers for select to callboard_definer using (true);
drop policy if exists update_definer on app.ticket_tiers;
create policy update_definer on app.ticket_tiers for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.ticket_tiers to callboard_api, callboard_definer;
grant insert (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps), update (name, price_minor, facility_fee_minor, allotment, sold, comps) on app.ticket_tiers to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.ticket_tiers to callboard_definer;

comment on table app.ticket_tiers is 'The kinds of tickets of a show, with how many were sold.';
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before anybody shares.';
comment on column app.ticket_tiers.comps is 'Tickets that were given away: they take a place, and bring and cost nothing.';

select app_private.log_changes('app.ticket_tiers', 'ticket_tier');

drop trigger if exists _100_timestamps on app.ticket_tiers;
create trigger _100_timestamps before update on app.ticket_tiers
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.ticket_tiers;
create trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps on app.ticket_tiers
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.ticket_tier_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.name, x.price_minor, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'name', x.name, 'price_minor', x.price_minor, 'facility_fee_minor', x.facility_fee_minor,
      'allotment', x.allotment, 'sold', x.sold, 'comps', x.comps,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.ticket_tiers x
  where x.deleted_at is null;
comment on view app.ticket_tier_list is 'The organization''s ticket tiers that are not deleted, with their JSON.';
grant select on app.ticket_tier_list to callboard_api, callboard_definer;

create or replace function app.read_ticket_tier(tier uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/ticket-tiers/' || x.id into answer from app.ticket_tier_list x
  where x.organization_id = app.current_org() and x.id = tier;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_ticket_tier(uuid) is 'A ticket tier. PT403, PT404.';
revoke execute on function app.read_ticket_tier(uuid) from public;
grant execute on function app.read_ticket_tier(uuid) to callboard_api, callboard_definer;

create or replace function app.create_ticket_tier(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.ticket_tiers := jsonb_populate_record(null::app.ticket_tiers, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.ticket_tiers (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps)
  values (show, n.name, n.price_minor, coalesce(n.facility_fee_minor, 0), n.allotment, coalesce(n.sold, 0), coalesce(n.comps, 0)) returning id into n.id;
  answer := app.read_ticket_tier(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_ticket_tier(uuid, jsonb) is 'A new ticket tier of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
revoke execute on function app.create_ticket_tier(uuid, jsonb) from public;
grant execute on function app.create_ticket_tier(uuid, jsonb) to callboard_api;

create or replace function app.write_ticket_tier(tier uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.ticket_tiers;
begin
  perform app.require('finance.read');
  select * into n from app.ticket_tiers x where x.organization_id = app.current_org() and x.id = tier and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.ticket_tiers x
  where x.organization_id = app.current_org() and x.id = tier and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.ticket_tiers else n end, body);
  update app.ticket_tiers x
  set (name, price_minor, facility_fee_minor, allotment, sold, comps)
    = row (n.name, n.price_minor, coalesce(n.facility_fee_minor, 0), n.allotment, coalesce(n.sold, 0), coalesce(n.comps, 0))
  where x.organization_id = app.current_org() and x.id = tier;
  return app.read_ticket_tier(tier);
end
$$;
comment on function app.write_ticket_tier(uuid, jsonb, boolean, text) is
  'Changes a ticket tier: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_ticket_tier(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_ticket_tier(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_ticket_tier(tier uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.ticket_tiers', tier, if_match);
end
$$;
comment on function app.delete_ticket_tier(uuid, text) is 'Deletes a ticket tier until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_ticket_tier(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_ticket_tier(uuid, text) from public;
grant execute on function app.delete_ticket_tier(uuid, text) to callboard_api;

create or replace function app.restore_ticket_tier(tier uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.ticket_tiers', tier);
  return app.read_ticket_tier(tier);
end
$$;
comment on function app.restore_ticket_tier(uuid) is 'Brings a deleted ticket tier back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_ticket_tier(uuid) owner to callboard_definer;
revoke execute on function app.restore_ticket_tier(uuid) from public;
grant execute on function app.restore_ticket_tier(uuid) to callboard_api;
--! EndIncluded ticket_tiers.sql
--! Included show_costs.sql
-- Costs of a show: what the promoter pays for it. In the currency of the show's deal.

create table if not exists app.show_costs (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text not null constraint show_costs_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  kind text not null constraint show_costs_kind_known check (kind in ('fixed', 'per_ticket')),
  amount_minor bigint not null constraint show_costs_amount_range check (amount_minor between 0 and 9007199254740991),
  is_estimate boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists show_costs_organization_id_show_id_idx on app.show_costs (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists show_costs_deletion_id_idx on app.show_costs (organization_id, deletion_id) where deletion_id is not null;
alter table app.show_costs alter column name set statistics 0, alter column kind set statistics 0, alter column amount_minor set statistics 0;

alter table app.show_costs enable row level security;
alter table app.show_costs force row level security;

drop policy if exists select_member on app.show_costs;
create policy select_member on app.show_costs for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.show_costs;
create policy insert_member on app.show_costs for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.show_costs;
create policy update_member on app.show_costs for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.show_costs;
create policy delete_member on app.show_costs for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.show_costs;
create policy select_definer on app.show_costs for select to callboard_definer using (true);
drop policy if exists update_definer on app.show_costs;
create policy update_definer on app.show_costs for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.show_costs to callboard_api, callboard_definer;
grant insert (show_id, name, kind, amount_minor, is_estimate), update (name, kind, amount_minor, is_estimate) on app.show_costs to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.show_costs to callboard_definer;

comment on table app.show_costs is 'What the promoter pays for a show.';
comment on column app.show_costs.kind is 'fixed: the amount, once; per_ticket: the amount for each ticket sold.';
comment on column app.show_costs.is_estimate is 'Whether the invoice is still to come: a settlement with an estimate cannot be final.';

select app_private.log_changes('app.show_costs', 'show_cost');

drop trigger if exists _100_timestamps on app.show_costs;
create trigger _100_timestamps before update on app.show_costs
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.show_costs;
create trigger _200_unsettled before insert or update of name, kind, amount_minor, is_estimate on app.show_costs
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.show_cost_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.name, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'name', x.name, 'kind', x.kind, 'amount_minor', x.amount_minor, 'is_estimate', x.is_estimate,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.show_costs x
  where x.deleted_at is null;
comment on view app.show_cost_list is 'The organization''s costs of shows that are not deleted, with their JSON.';
grant select on app.show_cost_list to callboard_api, callboard_definer;

create or replace function app.read_show_cost(cost uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/costs/' || x.id into answer from app.show_cost_list x
  where x.organization_id = app.current_org() and x.id = cost;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show_cost(uuid) is 'A cost. PT403, PT404.';
revoke execute on function app.read_show_cost(uuid) from public;
grant execute on function app.read_show_cost(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show_cost(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.show_costs := jsonb_populate_record(null::app.show_costs, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.show_costs (show_id, name, kind, amount_minor, is_estimate)
  values (show, n.name, n.kind, n.amount_minor, coalesce(n.is_estimate, false)) returning id into n.id;
  answer := app.read_show_cost(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show_cost(uuid, jsonb) is 'A new cost of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
revoke execute on function app.create_show_cost(uuid, jsonb) from public;
grant execute on function app.create_show_cost(uuid, jsonb) to callboard_api;

create or replace function app.write_show_cost(cost uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.show_costs;
begin
  perform app.require('finance.read');
  select * into n from app.show_costs x where x.organization_id = app.current_org() and x.id = cost and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.show_costs x
  where x.organization_id = app.current_org() and x.id = cost and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.show_costs else n end, body);
  update app.show_costs x
  set (name, kind, amount_minor, is_estimate)
    = row (n.name, n.kind, n.amount_minor, coalesce(n.is_estimate, false))
  where x.organization_id = app.current_org() and x.id = cost;
  return app.read_show_cost(cost);
end
$$;
comment on function app.write_show_cost(uuid, jsonb, boolean, text) is
  'Changes a cost: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_show_cost(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_show_cost(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_show_cost(cost uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.show_costs', cost, if_match);
end
$$;
comment on function app.delete_show_cost(uuid, text) is 'Deletes a cost until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_show_cost(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_show_cost(uuid, text) from public;
grant execute on function app.delete_show_cost(uuid, text) to callboard_api;

create or replace function app.restore_show_cost(cost uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.show_costs', cost);
  return app.read_show_cost(cost);
end
$$;
comment on function app.restore_show_cost(uuid) is 'Brings a deleted cost back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_show_cost(uuid) owner to callboard_definer;
revoke execute on function app.restore_show_cost(uuid) from public;
grant execute on function app.restore_show_cost(uuid) to callboard_api;
--! EndIncluded show_costs.sql
--! Included deposits.sql
-- Deposits: what the artist has been paid ahead of the settlement. In the currency of the show's deal.

create table if not exists app.deposits (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  paid_on date not null constraint deposits_paid_on_range check (paid_on between date '1900-01-01' and date '2199-12-31'),
  amount_minor bigint not null constraint deposits_amount_range check (amount_minor between 1 and 9007199254740991),
  note text constraint deposits_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists deposits_organization_id_show_id_idx on app.deposits (organization_id, show_id, paid_on, id) where deleted_at is null;
create index if not exists deposits_deletion_id_idx on app.deposits (organization_id, deletion_id) where deletion_id is not null;
alter table app.deposits alter column amount_minor set statistics 0, alter column note set statistics 0;

alter table app.deposits enable row level security;
alter table app.deposits force row level security;

drop policy if exists select_member on app.deposits;
create policy select_member on app.deposits for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.deposits;
create policy insert_member on app.deposits for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.deposits;
create policy update_member on app.deposits for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.deposits;
create policy delete_member on app.deposits for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.deposits;
create policy select_definer on app.deposits for select to callboard_definer using (true);
drop policy if exists update_definer on app.deposits;
create policy update_definer on app.deposits for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.deposits to callboard_api, callboard_definer;
grant insert (show_id, paid_on, amount_minor, note), update (paid_on, amount_minor, note) on app.deposits to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.deposits to callboard_definer;

comment on table app.deposits is 'What artists have been paid ahead of the settlement of a show.';

select app_private.log_changes('app.deposits', 'deposit');

drop trigger if exists _100_timestamps on app.deposits;
create trigger _100_timestamps before update on app.deposits
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.deposits;
create trigger _200_unsettled before insert or update of paid_on, amount_minor, note on app.deposits
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.deposit_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.paid_on, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'paid_on', x.paid_on, 'amount_minor', x.amount_minor, 'note', x.note,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.deposits x
  where x.deleted_at is null;
comment on view app.deposit_list is 'The organization''s deposits that are not deleted, with their JSON.';
grant select on app.deposit_list to callboard_api, callboard_definer;

create or replace function app.read_deposit(deposit uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/deposits/' || x.id into answer from app.deposit_list x
  where x.organization_id = app.current_org() and x.id = deposit;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_deposit(uuid) is 'A deposit. PT403, PT404.';
revoke execute on function app.read_deposit(uuid) from public;
grant execute on function app.read_deposit(uuid) to callboard_api, callboard_definer;

create or replace function app.create_deposit(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deposits := jsonb_populate_record(null::app.deposits, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.deposits (show_id, paid_on, amount_minor, note)
  values (show, n.paid_on, n.amount_minor, n.note) returning id into n.id;
  answer := app.read_deposit(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_deposit(uuid, jsonb) is 'A new deposit of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
revoke execute on function app.create_deposit(uuid, jsonb) from public;
grant execute on function app.create_deposit(uuid, jsonb) to callboard_api;

create or replace function app.write_deposit(deposit uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deposits;
begin
  perform app.require('finance.read');
  select * into n from app.deposits x where x.organization_id = app.current_org() and x.id = deposit and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.deposits x
  where x.organization_id = app.current_org() and x.id = deposit and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.deposits else n end, body);
  update app.deposits x
  set (paid_on, amount_minor, note)
    = row (n.paid_on, n.amount_minor, n.note)
  where x.organization_id = app.current_org() and x.id = deposit;
  return app.read_deposit(deposit);
end
$$;
comment on function app.write_deposit(uuid, jsonb, boolean, text) is
  'Changes a deposit: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_deposit(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_deposit(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_deposit(deposit uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.deposits', deposit, if_match);
end
$$;
comment on function app.delete_deposit(uuid, text) is 'Deletes a deposit until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_deposit(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_deposit(uuid, text) from public;
grant execute on function app.delete_deposit(uuid, text) to callboard_api;

create or replace function app.restore_deposit(deposit uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.deposits', deposit);
  return app.read_deposit(deposit);
end
$$;
comment on function app.restore_deposit(uuid) is 'Brings a deleted deposit back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_deposit(uuid) owner to callboard_definer;
revoke execute on function app.restore_deposit(uuid) from public;
grant execute on function app.restore_deposit(uuid) to callboard_api;
--! EndIncluded deposits.sql
--! Included settlement_arithmetic.sql
-- How a show is settled. The steps are those in which promoters and tour managers settle a "promoter
-- profit deal" (for example https://makingitwithchrisg.com/blog/deals); rules that are ours say so.
--
--    1. gross           = for each tier price x sold
--    2. facility fees   = for each tier fee x sold: the venue's, before anybody shares
--    3. tax             = (gross - fees) x rate / (1 + rate): the prices contain it, the fees are not taxed here
--    4. net receipts    = gross - fees - tax
--    5. costs           = fixed costs + costs per ticket x sold + for `plus`, if the deal says so, the guarantee,
--                         which is an expense of the promoter as any other
--    6. promoter profit = costs x its rate; of the costs, not of the receipts
--    7. split point     = what the net receipts must reach before the percentage begins:
--                         0 for `gross`, costs for `net`, costs + promoter profit for `net_after_promoter_profit`
--    8. share base      = gross for `gross`, otherwise net receipts - split point; never below 0 (ours: an
--                         artist does not pay for a loss)
--    9. share           = share base x percentage
--   10. due             = flat: guarantee; door: share; plus: guarantee + share; versus: the larger of the two
--   11. balance         = due - deposits; below 0 if the artist has to give back
--   12. promoter        = net receipts - fixed and per-ticket costs - due: what is left to the promoter, profit included
--
-- So fees + tax + fixed costs + costs per ticket + due + promoter is the gross, to the last unit.
--
-- Ours is also the rounding: half away from zero, to the minor unit of the currency, in steps 3, 6 and 9,
-- where a rate comes in, once in each; everything else is sums and products of whole numbers.
-- No step is done in floating point, and no amount may leave the integers that JSON has exactly.
--
-- 500 tickets at 30.00 with a fee of 2.00, 8 % tax, costs of 4,000 and 0.80 a ticket, 15 % promoter profit:
-- 15,000 gross, 1,000 fees, 1,037.04 tax, 12,962.96 net receipts.
-- Versus, 5,000 or 85 %: costs 4,400, profit 660, split point 5,060, share 85 % of 7,902.96 = 6,717.52: due.
-- Plus, with the 5,000 as a cost: costs 9,400, profit 1,410, split point 10,810, share 85 % of 2,152.96 = 1,830.02;
-- due 6,830.02. test/settlement.test.ts has both.

create or replace function app.apportion(amount numeric, part numeric, whole numeric) returns numeric
language sql immutable parallel safe
set search_path = ''
return sign(amount) * div(2 * abs(amount) * part + whole, 2 * whole);
comment on function app.apportion(numeric, numeric, numeric) is
  'amount x part / whole as a whole number, half away from zero, for whole numbers of any size and a part that is not negative. Exact: a numeric quotient would be rounded to some digits first.';
revoke execute on function app.apportion(numeric, numeric, numeric) from public;
grant execute on function app.apportion(numeric, numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.settle(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  deal constant jsonb := inputs -> 'deal';
  kind constant text := deal ->> 'kind';
  base constant text := deal ->> 'base';
  tax_bp constant numeric := (deal ->> 'tax_bp')::numeric;
  sold numeric;
  comps numeric;
  gross numeric;
  fees numeric;
  tax numeric;
  receipts numeric;
  fixed numeric;
  per_ticket numeric;
  guarantee constant numeric := coalesce((deal ->> 'guarantee_minor')::numeric, 0);
  guarantee_cost constant numeric := case when (deal ->> 'guarantee_is_cost')::boolean then guarantee else 0 end;
  costs numeric;
  profit numeric;
  split_point numeric;
  share_base numeric;
  share numeric;
  due numeric;
  deposits numeric;
  result jsonb;
begin
  select coalesce(sum(t.sold), 0), coalesce(sum(t.comps), 0), coalesce(sum(t.price_minor * t.sold), 0), coalesce(sum(t.facility_fee_minor * t.sold), 0)
  into sold, comps, gross, fees
  from jsonb_to_recordset(inputs -> 'ticket_tiers') as t (price_minor numeric, facility_fee_minor numeric, sold numeric, comps numeric);
  tax := app.apportion(gross - fees, tax_bp, 10000 + tax_bp);
  receipts := gross - fees - tax;

  select coalesce(sum(c.amount_minor) filter (where c.kind = 'fixed'), 0), coalesce(sum(c.amount_minor) filter (where c.kind = 'per_ticket'), 0) * sold
  into fixed, per_ticket
  from jsonb_to_recordset(inputs -> 'costs') as c (kind text, amount_minor numeric);
  costs := fixed + per_ticket + guarantee_cost;
  profit := app.apportion(costs, (deal ->> 'promoter_profit_bp')::numeric, 10000);

  split_point := case base when 'net' then costs when 'net_after_promoter_profit' then costs + profit else 0 end;
  share_base := case when base = 'gross' then gross when base is null then 0 else greatest(receipts - split_point, 0) end;
  share := app.apportion(share_base, coalesce((deal ->> 'percentage_bp')::numeric, 0), 10000);
  due := case kind when 'flat' then guarantee when 'door' then share when 'plus' then guarantee + share else greatest(guarantee, share) end;

  select coalesce(sum(p.amount_minor), 0) into deposits
  from jsonb_to_recordset(inputs -> 'deposits') as p (amount_minor numeric);

  result := jsonb_build_object(
    'tickets_sold', sold, 'tickets_comped', comps,
    'gross_minor', gross, 'facility_fees_minor', fees, 'tax_minor', tax, 'net_receipts_minor', receipts,
    'fixed_costs_minor', fixed, 'per_ticket_costs_minor', per_ticket, 'guarantee_cost_minor', guarantee_cost, 'costs_minor', costs,
    'net_minor', receipts - costs, 'promoter_profit_minor', profit, 'split_point_minor', split_point,
    'share_base_minor', share_base, 'share_minor', share, 'guarantee_minor', guarantee, 'due_minor', due,
    'deposits_minor', deposits, 'balance_minor', due - deposits, 'promoter_minor', receipts - fixed - per_ticket - due);
  if exists (select from jsonb_each(result) r where abs(r.value::numeric) > 9007199254740991) then
    perform app.refuse(422, 'settlement_out_of_range', 'An amount of the settlement is larger than 9007199254740991 minor units.');
  end if;
  return result;
end
$$;
comment on function app.settle(jsonb) is
  'The settlement of a deal, ticket tiers, costs and deposits, as app.settlement_inputs gives them: every line of it, in minor units. It reads nothing else, so what was recorded can be worked out again. PT422 settlement_out_of_range.';
revoke execute on function app.settle(jsonb) from public;
grant execute on function app.settle(jsonb) to callboard_api, callboard_definer;

create or replace function app.settlement_inputs(show uuid) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
  inputs jsonb;
begin
  -- One statement, so one moment. In the order of ids, so that equal inputs are equal JSON.
  select jsonb_build_object(
    'currency', d.currency,
    'deal', jsonb_build_object('id', d.id, 'kind', d.kind, 'guarantee_minor', d.guarantee_minor, 'percentage_bp', d.percentage_bp, 'base', d.base,
      'tax_bp', d.tax_bp, 'promoter_profit_bp', d.promoter_profit_bp, 'guarantee_is_cost', d.guarantee_is_cost),
    'ticket_tiers', (
      select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'price_minor', t.price_minor,
        'facility_fee_minor', t.facility_fee_minor, 'allotment', t.allotment, 'sold', t.sold, 'comps', t.comps) order by t.id), '[]')
      from app.ticket_tiers t where t.organization_id = organization and t.show_id = show and t.deleted_at is null),
    'costs', (
      select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'kind', c.kind, 'amount_minor', c.amount_minor,
        'is_estimate', c.is_estimate) order by c.id), '[]')
      from app.show_costs c where c.organization_id = organization and c.show_id = show and c.deleted_at is null),
    'deposits', (
      select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'paid_on', p.paid_on, 'amount_minor', p.amount_minor, 'note', p.note) order by p.id), '[]')
      from app.deposits p where p.organization_id = organization and p.show_id = show and p.deleted_at is null))
  into inputs
  from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null;
  if inputs is null then
    perform app.refuse(409, 'settlement_needs_deal');
  end if;
  return inputs;
end
$$;
comment on function app.settlement_inputs(uuid) is 'What a show is settled from, as it is now. PT409 settlement_needs_deal.';
revoke execute on function app.settlement_inputs(uuid) from public;
grant execute on function app.settlement_inputs(uuid) to callboard_api, callboard_definer;

create or replace function app.draft_settlement(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  inputs jsonb;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  inputs := app.settlement_inputs(show);
  return (200, json_build_object('show_id', show, 'inputs', inputs, 'result', app.settle(inputs)), null, null)::app.answer;
end
$$;
comment on function app.draft_settlement(uuid) is 'What a settlement of the show would be now; nothing is recorded. PT403, PT404, PT409 settlement_needs_deal, PT422 settlement_out_of_range.';
revoke execute on function app.draft_settlement(uuid) from public;
grant execute on function app.draft_settlement(uuid) to callboard_api;
--! EndIncluded settlement_arithmetic.sql
--! Included settlements.sql
-- Settlements: what was worked out for a show and when, revision by revision. Only the commands below
-- write here, and what they write comes from the tables, never from a request.

create table if not exists app.settlements (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  number integer not null,
  status text not null default 'draft' constraint settlements_status_known check (status in ('draft', 'final')),
  reason text constraint settlements_reason_length check (length(reason) <= 1000),
  inputs jsonb not null,
  result jsonb not null,
  finalized_at timestamptz,
  finalized_by uuid references app.users (id),
  reopened_at timestamptz,
  reopened_by uuid references app.users (id),
  reopen_reason text constraint settlements_reopen_reason_length check (length(reopen_reason) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint settlements_number_once unique (organization_id, show_id, number),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint settlements_final_with_time check ((status = 'final') = (finalized_at is not null)),
  constraint settlements_reopened_when_final check (reopened_at is null or status = 'final')
);
create unique index if not exists settlements_one_final on app.settlements (organization_id, show_id)
  where status = 'final' and reopened_at is null and deleted_at is null;
create index if not exists settlements_organization_id_show_id_idx on app.settlements (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists settlements_deletion_id_idx on app.settlements (organization_id, deletion_id) where deletion_id is not null;
alter table app.settlements alter column number set statistics 0, alter column reason set statistics 0, alter column inputs set statistics 0,
  alter column result set statistics 0, alter column reopen_reason set statistics 0;

alter table app.settlements enable row level security;
alter table app.settlements force row level security;

drop policy if exists select_member on app.settlements;
create policy select_member on app.settlements for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
-- Without grants, because the commands below do it; they ask for these permissions.
drop policy if exists insert_member on app.settlements;
create policy insert_member on app.settlements for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.settlements;
create policy update_member on app.settlements for update to callboard_api
  using (organization_id = (select app.org_if('finance.close')));

drop policy if exists select_definer on app.settlements;
create policy select_definer on app.settlements for select to callboard_definer using (true);
drop policy if exists insert_definer on app.settlements;
create policy insert_definer on app.settlements for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.settlements;
create policy update_definer on app.settlements for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.settlements to callboard_api, callboard_definer;
grant insert (show_id, number, reason, inputs, result) on app.settlements to callboard_definer;
grant update (status, finalized_at, finalized_by, reopened_at, reopened_by, reopen_reason, deleted_at, deleted_by, deletion_id)
  on app.settlements to callboard_definer;

comment on table app.settlements is 'Revisions of the settlements of shows. One that is final and was not reopened is what holds.';
comment on column app.settlements.inputs is 'Deal, ticket tiers, costs and deposits as they were: see app.settlement_inputs.';
comment on column app.settlements.result is 'What app.settle made of the inputs.';
comment on column app.settlements.reason is 'Why there is another revision.';

select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');

drop trigger if exists _100_timestamps on app.settlements;
create trigger _100_timestamps before update on app.settlements
  for each row execute function app_private.tg__100_timestamps();

create or replace function app_private.tg_settlements__200_unchanged() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.organization_id, new.id, new.show_id, new.number, new.reason, new.inputs, new.result, new.created_by, new.created_at)
      is distinct from (old.organization_id, old.id, old.show_id, old.number, old.reason, old.inputs, old.result, old.created_by, old.created_at)
    or old.status = 'final' and (new.status, new.finalized_at, new.finalized_by) is distinct from (old.status, old.finalized_at, old.finalized_by)
    or old.reopened_at is not null and (new.reopened_at, new.reopened_by, new.reopen_reason) is distinct from (old.reopened_at, old.reopened_by, old.reopen_reason)
  then
    perform app.refuse(409, 'settlement_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_settlements__200_unchanged() is
  'PT409 settlement_final, whoever asks: a revision is finalized once and reopened once, and nothing else of it ever changes.';
revoke execute on function app_private.tg_settlements__200_unchanged() from public;

drop trigger if exists _200_unchanged on app.settlements;
create trigger _200_unchanged before update on app.settlements
  for each row execute function app_private.tg_settlements__200_unchanged();

-- A show that has a deal is settled by a final settlement, and not by a word.
create or replace function app_private.tg_shows__400_settlement() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if exists (select from app.deals d where d.organization_id = new.organization_id and d.show_id = new.id and d.deleted_at is null)
    and not exists (select from app.settlements x where x.organization_id = new.organization_id and x.show_id = new.id
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null)
  then
    perform app.refuse(409, 'settlement_not_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__400_settlement() is 'PT409 settlement_not_final for a show with a deal that is to be settled without a final settlement.';
alter function app_private.tg_shows__400_settlement() owner to callboard_definer;
revoke execute on function app_private.tg_shows__400_settlement() from public;

drop trigger if exists _400_settlement on app.shows;
create trigger _400_settlement before update on app.shows
  for each row when (new.status = 'settled' and old.status <> 'settled') execute function app_private.tg_shows__400_settlement();
--! EndIncluded settlements.sql
--! Included settlement_commands.sql
-- What can be done with a settlement; the table is in settlements.sql.

create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'number', x.number, 'status', x.status, 'reason', x.reason,
      'inputs', x.inputs, 'result', x.result,
      'finalized_at', x.finalized_at, 'finalized_by', x.finalized_by,
      'reopened_at', x.reopened_at, 'reopened_by', x.reopened_by, 'reopen_reason', x.reopen_reason,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.settlements x
  where x.deleted_at is null;
comment on view app.settlement_list is 'The organization''s settlements that are not deleted, with their JSON.';
grant select on app.settlement_list to callboard_api, callboard_definer;

create or replace function app.read_settlement(settlement uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/settlements/' || x.id into answer from app.settlement_list x
  where x.organization_id = app.current_org() and x.id = settlement;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_settlement(uuid) is 'A revision of a settlement. PT403, PT404.';
revoke execute on function app.read_settlement(uuid) from public;
grant execute on function app.read_settlement(uuid) to callboard_api, callboard_definer;

create or replace function app_private.lock_show(show uuid) returns text
language plpgsql volatile
set search_path = ''
as $$
declare
  status text;
begin
  select s.status into status from app.shows s
  where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null for no key update;
  if status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return status;
end
$$;
comment on function app_private.lock_show(uuid) is
  'The status of a show, whose row is locked: what belongs to it is entered and changed before or after this transaction, not meanwhile. PT404.';
alter function app_private.lock_show(uuid) owner to callboard_definer;
revoke execute on function app_private.lock_show(uuid) from public;

create or replace function app.record_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  why constant text := nullif(btrim(body ->> 'reason'), '');
  present jsonb;
  settlement uuid;
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  perform app.require('finance.write');
  if app_private.lock_show(show) = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
  if why is null and exists (
    select from app.settlements x where x.organization_id = app.current_org() and x.show_id = show and x.status = 'final' and x.deleted_at is null)
  then
    perform app.refuse(422, 'settlement_reason_needed');
  end if;
  present := app.settlement_inputs(show);
  insert into app.settlements (show_id, number, reason, inputs, result)
  select show, coalesce(max(x.number), 0) + 1, why, present, app.settle(present)
  from app.settlements x where x.organization_id = app.current_org() and x.show_id = show
  returning id into settlement;
  answer := app.read_settlement(settlement);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.record_settlement(uuid, jsonb) is
  'Records what the settlement of a show is now, as its next revision. PT403, PT404, PT409 settlement_needs_deal, settlement_final, PT422 settlement_reason_needed, settlement_out_of_range.';
alter function app.record_settlement(uuid, jsonb) owner to callboard_definer;
revoke execute on function app.record_settlement(uuid, jsonb) from public;
grant execute on function app.record_settlement(uuid, jsonb) to callboard_api;

create or replace function app.finalize_settlement(settlement uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
  show_status text;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = app.current_org() and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  show_status := app_private.lock_show(present.show_id);
  -- Now that nobody else may finalize it, look again.
  select * into present from app.settlements x where x.organization_id = app.current_org() and x.id = settlement;
  if present.status = 'final' then
    perform app.refuse(409, 'settlement_final');
  elsif show_status <> 'played' then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif present.inputs is distinct from app.settlement_inputs(present.show_id) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  update app.settlements x set (status, finalized_at, finalized_by) = row ('final', statement_timestamp(), app.current_user_id())
  where x.organization_id = app.current_org() and x.id = settlement;
  update app.shows s set status = 'settled' where s.organization_id = app.current_org() and s.id = present.show_id;
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid) is
  'Makes a revision final and its show settled. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated.';
alter function app.finalize_settlement(uuid) owner to callboard_definer;
revoke execute on function app.finalize_settlement(uuid) from public;
grant execute on function app.finalize_settlement(uuid) to callboard_api;

create or replace function app.reopen_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require_show(show);
  perform app.require('finance.close');
  if app_private.lock_show(show) <> 'settled' then
    perform app.refuse(409, 'show_not_settled');
  end if;
  update app.settlements x set (reopened_at, reopened_by, reopen_reason) = row (statement_timestamp(), app.current_user_id(), body ->> 'reason')
  where x.organization_id = app.current_org() and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null;
  if not found then
    -- Somebody said that it is settled, without a deal: then only the log keeps the reason.
    perform app_private.log_event(app.current_org(), 'show.reopen', 'show', show, jsonb_build_object('new', jsonb_build_object('reason', body ->> 'reason')));
  end if;
  update app.shows s set status = 'played' where s.organization_id = app.current_org() and s.id = show;
  return app.read_show(show);
end
$$;
comment on function app.reopen_settlement(uuid, jsonb) is
  'Takes a settled show back to played, for a reason, which stands in the settlement that was final. PT403 without finance.close, PT404, PT409 show_not_settled.';
alter function app.reopen_settlement(uuid, jsonb) owner to callboard_definer;
revoke execute on function app.reopen_settlement(uuid, jsonb) from public;
grant execute on function app.reopen_settlement(uuid, jsonb) to callboard_api;
--! EndIncluded settlement_commands.sql
--! Included deletion_purge.sql
-- The end of what was deleted: a deletion that is older than its organization's retention is deleted
-- for good, all its rows at once or none. A deleted organization goes with everything that it has.
-- What stays of it is its event log with its seals and its retention, and its slugs, which must never
-- lead to another one.
--
-- The purge works in the context of one organization at a time, so the policies hold it there. Like
-- deletions.sql it takes every table that has `deletion_id`; this is the last file, so that what the
-- tables before it need for that is given to all of them.

do $$
declare
  t record;
begin
  for t in select d.marked, d.organization_column from app_private.deletion_tables d loop
    execute format('drop policy if exists purge_definer on %s', t.marked);
    -- No retention is shorter than a day.
    execute format(
      'create policy purge_definer on %s for delete to callboard_definer
       using (%I = (select app.current_org()) and deleted_at < now() - interval ''1 day'')', t.marked, t.organization_column);
    execute format('grant delete on %s to callboard_definer', t.marked);
  end loop;
end
$$;

create or replace function app_private.due_deletions(behind jsonb, at_most integer)
returns table (organization_id uuid, deletion_id uuid, deleted_at timestamptz, marked regclass[])
language plpgsql stable
set search_path = ''
as $$
begin
  return query execute (
    select format(
      'select m.organization_id, m.deletion_id, max(m.deleted_at), array_agg(distinct m.marked)
       from (%s) m left join app.deletion_retentions r on r.organization_id = m.organization_id
       where ($1 is null or m.organization_id >= ($1 ->> 0)::uuid)
         and m.organization_id not in (select h.organization_id from app.legal_holds h where h.released_at is null)
       group by m.organization_id, m.deletion_id, r.deleted_days
       having max(m.deleted_at) < now() - make_interval(days => coalesce(r.deleted_days, 30))
         and ($1 is null or (m.organization_id, max(m.deleted_at), m.deletion_id) > (($1 ->> 0)::uuid, ($1 ->> 1)::timestamptz, ($1 ->> 2)::uuid))
       order by 1, 3, 2 limit $2',
      string_agg(format('select t.%I as organization_id, t.deletion_id, t.deleted_at, %L::regclass as marked from %s t where t.deletion_id is not null',
        d.organization_column, d.marked, d.marked), ' union all '))
    from app_private.deletion_tables d)
  using behind, at_most;
end
$$;
comment on function app_private.due_deletions(jsonb, integer) is
  'The deletions whose time is over, by organization and age, behind [organization, time, deletion]; and which tables have rows of each. Not of an organization that is held.';
alter function app_private.due_deletions(jsonb, integer) owner to callboard_definer;
revoke execute on function app_private.due_deletions(jsonb, integer) from public;

create or replace function app_private.purge_deletion(organization uuid, deletion uuid, marked regclass[]) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  edge record;
  part regclass;
  is_needed boolean;
  gone bigint;
begin
  -- Until the end of the transaction nobody can place a hold: who does waits, and then finds it done.
  perform from app.organizations o where o.id = organization for share;
  if app_private.is_held(organization) then
    return 0;
  end if;
  if 'app.organizations'::regclass = any (marked) then
    perform from app.organizations o where o.id = organization and o.deletion_id = deletion for update nowait;
    -- Everything else goes along the foreign keys.
    delete from app.organizations o where o.id = organization and o.deletion_id = deletion;
    get diagnostics gone = row_count;
    return gone;
  end if;
  -- Who restores it at this moment has locked a row of it. Waiting with the others in hand could block both.
  foreach part in array marked loop
    execute format('select from %s t where t.organization_id = $1 and t.deletion_id = $2 for update nowait', part)
    using organization, deletion;
  end loop;
  -- Their parent would take them along. What refers to it otherwise, PostgreSQL itself protects.
  for edge in select * from app_private.deletion_edges e where e.parent = any (marked) and e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.organization_id = $1 and p.deletion_id = $2 and c.deletion_id is distinct from $2)',
      edge.child, edge.parent, edge.condition) into is_needed using organization, deletion;
    if is_needed then
      raise foreign_key_violation using message = 'Something that is not deleted with it belongs to it.', constraint = edge.name;
    end if;
  end loop;
  -- One statement, at whose end the foreign keys are checked: no order is needed, whatever refers to what.
  execute (
    select format('with %s select %s',
      string_agg(format('d%s as (delete from %s t where t.organization_id = $1 and t.deletion_id = $2 returning 1)', m.n, m.t), ', '),
      string_agg(format('(select count(*) from d%s)', m.n), ' + '))
    from unnest(marked) with ordinality m (t, n))
  into gone using organization, deletion;
  return gone;
end
$$;
comment on function app_private.purge_deletion(uuid, uuid, regclass[]) is
  'Deletes the rows of a deletion in these tables for good, in the organization''s context; says how many, for a whole organization one. Fails with foreign_key_violation if something else refers to them, and with lock_not_available if somebody is at work on them.';
alter function app_private.purge_deletion(uuid, uuid, regclass[]) owner to callboard_definer;
revoke execute on function app_private.purge_deletion(uuid, uuid, regclass[]) from public;

create or replace function app.purge_deleted(behind jsonb default null, at_most integer default 1000) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
  began timestamptz := clock_timestamp();
  due record;
  seen integer := 0;
  gone bigint;
  -- deletions, rows, organizations, busy, kept, failed
  n bigint[] := '{0,0,0,0,0,0}';
  violated text;
  because jsonb := '[]';
  next jsonb;
begin
  for due in select * from app_private.due_deletions(behind, at_most) loop
    seen := seen + 1;
    perform app_private.set_context(null, null, due.organization_id, 'purge');
    begin
      gone := app_private.purge_deletion(due.organization_id, due.deletion_id, due.marked);
      if 'app.organizations'::regclass = any (due.marked) then
        n[3] := n[3] + gone;
      elsif gone > 0 then
        n[1] := n[1] + 1;
        n[2] := n[2] + gone;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        n[4] := n[4] + 1;
      when foreign_key_violation then
        n[5] := n[5] + 1;
        get stacked diagnostics violated = constraint_name;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'deletion_id', due.deletion_id, 'kept_by', violated);
      when others then
        n[6] := n[6] + 1;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'deletion_id', due.deletion_id, 'failed_with', sqlerrm);
    end;
    -- The sealer of events waits for the end of this transaction.
    if seen = at_most or clock_timestamp() > began + interval '2 seconds' then
      next := jsonb_build_array(due.organization_id, due.deleted_at, due.deletion_id);
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('deletions', n[1], 'rows', n[2], 'organizations', n[3], 'busy', n[4], 'kept', n[5], 'failed', n[6],
    'because', because, 'next', next);
end
$$;
comment on function app.purge_deleted(jsonb, integer) is
  'Deletes for good what was deleted longer ago than its organization keeps it; a part of it, about two seconds long: to go on, call it with next, until that is null. Says how many deletions with how many rows and how many organizations are gone, how many were busy, were kept because something refers to them, or failed, and why.';
alter function app.purge_deleted(jsonb, integer) owner to callboard_definer;
revoke execute on function app.purge_deleted(jsonb, integer) from public;
grant execute on function app.purge_deleted(jsonb, integer) to callboard_worker;
--! EndIncluded deletion_purge.sql
