--! Previous: sha1:bcf3406b9dbb4a55d8c60395fecd1335ec9b9b62
--! Hash: sha1:6d6fb00b3c27bb54847071f84d148db520e1480f
--! Message: per diems of tours, and slugs found in few steps

-- It returns one column more.
drop function if exists app_private.contradictions_of(uuid);
alter table app_private.event_nouns add column if not exists besides text;
-- Included audit/event_triggers.sql
-- How changes to tables become events. A table takes part with one line,
--
--   select app_private.log_changes('app.shows', 'show');
--
-- and tables that do not are listed, with the reason, in test/audit/not-logged.ts.

create table if not exists app_private.event_nouns (
  on_table regclass primary key,
  noun text not null,
  permission text not null references app.permissions (name),
  besides text
);
select app_private.force_rls('app_private.event_nouns');
select app_private.set_policy('app_private.event_nouns', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.event_nouns', 'all_owner', 'callboard_owner', 'true');
grant select on app_private.event_nouns to callboard_definer;
comment on table app_private.event_nouns is
  'Reference: the resource_type of the events of each table, and the permission to read it, without which nobody sees their changes: see app.readable_events.';
comment on column app_private.event_nouns.besides is 'A further permission without which nobody sees them, because some rows, such as those of a draft, need it, and an event does not say which.';
create or replace function app_private.hide_changes(on_table regclass, besides text) returns void
language sql volatile
set search_path = ''
begin atomic
  update app_private.event_nouns n set besides = hide_changes.besides where n.on_table = hide_changes.on_table and n.besides is distinct from hide_changes.besides;
end;
comment on function app_private.hide_changes(regclass, text) is 'Shows the changes in the events of a table only to those who hold this permission, too. After app_private.log_changes.';
-- EndIncluded audit/event_triggers.sql
-- Included organizations/organizations.sql
-- EXPLAIN shows everybody estimates from statistics over all organizations, so none are collected for
-- columns whose values only one organization should know. The other tables do the same.
select app_private.hide_statistics('app.organizations');
select app_private.force_rls('app.organizations');
select app_private.member_policy('app.organizations', 'select', 'organization.read', organization_column => 'id');
select app_private.member_policy('app.organizations', 'update', 'organization.update', organization_column => 'id');
-- Without a grant, because deletes are soft: app.delete_organization.
select app_private.member_policy('app.organizations', 'delete', 'organization.delete', organization_column => 'id');
-- app.enter and sign-in read organizations before there is a context.
select app_private.set_policy('app.organizations', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'insert_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'update_definer', 'callboard_definer', 'id = (select app.current_org())');
select app_private.set_policy('app.organizations', 'purge_definer', 'callboard_definer',
  $$(id = (select app.current_org())) and (deleted_at < (now() - '1 day'::interval))$$, 'delete');
-- Figures are computed for all organizations at once: see analytics/rollups.sql.
select app_private.set_policy('app.organizations', 'select_rollup', 'callboard_rollup', 'true');
select app_private.definer_table('app_private.slugs', 'select, insert');
create or replace function app_private.tg_organizations__200_slug() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  base text := app_private.slug_base(new.name);
  candidate text := base;
  taken integer;
  free integer;
begin
  if base = any ('{admin,api,app,auth,billing,callboard,docs,help,livez,login,logout,me,metrics,new,openapi,problems,readyz,register,root,settings,sign-in,sign-out,status,support,system,www}') then
    perform app.refuse(409, 'slug_reserved', format('The name would give the address "%s", which is reserved.', base));
  end if;
  loop
    -- An organization can reuse a slug that it once had.
    exit when exists (select from app_private.slugs s where s.slug = candidate and s.organization_id = new.id);
    insert into app_private.slugs (slug, organization_id) values (candidate, new.id) on conflict (slug) do nothing;
    exit when found;
    select s.slug into candidate from app_private.slugs s
    where s.organization_id = new.id and s.slug ~ ('^' || base || '-[1-9][0-9]{0,8}$') order by length(s.slug), s.slug limit 1;
    continue when found;
    -- A free number after a taken one, in steps that double and then halve: a name that thousands have is as cheap.
    taken := 1;
    free := 2;
    while exists (select from app_private.slugs s where s.slug = base || '-' || free) loop
      taken := free;
      free := free * 2;
    end loop;
    while free - taken > 1 loop
      candidate := base || '-' || (taken + free) / 2;
      if exists (select from app_private.slugs s where s.slug = candidate) then
        taken := (taken + free) / 2;
      else
        free := (taken + free) / 2;
      end if;
    end loop;
    candidate := base || '-' || free;
  end loop;
  new.slug := candidate;
  return new;
end
$$;
comment on function app_private.tg_organizations__200_slug() is 'Gives an organization the slug of its name, with a number appended if it is taken.';
alter function app_private.tg_organizations__200_slug() owner to callboard_definer;
select app_private.log_changes('app.organizations', 'organization');
-- EndIncluded organizations/organizations.sql
-- Included foundation/deletions.sql
-- Soft delete. A deletion has an id; it marks a row and, through foreign keys with
-- ON DELETE CASCADE, everything that belongs to it. Restoring clears exactly the marks with
-- that id. A foreign key that does not cascade protects its parent, as it would in PostgreSQL:
--
--   delete cost A of show 1      cost A has the mark x
--   delete show 1                the show, its deal and cost B have the mark y; cost A keeps x
--   restore cost A               409 parent_deleted: restore the show first
--   restore show 1               the marks y are cleared; cost A is still deleted
--   delete the venue of show 1   409 shows_venue_exists: that foreign key does not cascade
--
-- Both work on every table that has `deletion_id`, found in the catalogue: a new table takes
-- part by having the three columns and calling app_private.tenant_table.

create or replace view app_private.deletion_references as
  select c.confrelid::regclass as parent, c.conrelid::regclass as child, c.conname as name, c.confdeltype as on_delete,
    (select string_agg(format('c.%I = p.%I', a.attname, b.attname), ' and ')
     from unnest(c.conkey, c.confkey) as k (child_column, parent_column)
     join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.child_column
     join pg_catalog.pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.parent_column) as condition
  from pg_catalog.pg_constraint c
  where c.contype = 'f'
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attname = 'deletion_id' and not a.attisdropped)
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.confrelid and a.attname = 'deletion_id' and not a.attisdropped);
comment on view app_private.deletion_references is 'Foreign keys between tables with soft delete.';
grant select on app_private.deletion_references to callboard_definer;
create or replace view app_private.deletion_edges as
  select r.parent, r.child, r.name, r.on_delete = 'c' as cascades, r.condition
  from app_private.deletion_references r
  -- A row whose reference is set to null can exist without its parent: it neither follows a deletion nor prevents one.
  where r.on_delete <> 'n';
comment on view app_private.deletion_edges is 'Foreign keys between tables with soft delete: those that a deletion follows, and those that prevent it.';
grant select on app_private.deletion_edges to callboard_definer;
create or replace function app_private.restore_row(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  parent_deleted boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, app_private.policy_permission(target, 'select');
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(app_private.policy_permission(target, 'delete'));
  -- A row cannot be restored while its parent is deleted, and restoring the parent needs its own
  -- permission. Locking the parent makes a concurrent deletion of it wait and then see this row; with the lock that
  -- triggers take who change the parent, because several that share a weaker one would wait for each other.
  -- A row that can exist without its parent is restored without it, unless a trigger has deleted it with that.
  -- The organization is locked less, because all its tables belong to it, and nobody who has locked it changes it.
  for edge in select * from app_private.deletion_references e where e.child = target order by e.parent::text, e.name loop
    execute format('select p.%s from %s c, %s p where %s and c.organization_id = app.current_org() and c.id = $1%s',
      case when edge.on_delete = 'n' then 'deletion_id is not distinct from c.deletion_id' else 'deleted_at is not null' end,
      target, edge.parent, edge.condition, case when edge.on_delete = 'n' then '' when edge.parent = 'app.organizations'::regclass then ' for share of p' else ' for no key update of p' end)
    into parent_deleted using id;
    if parent_deleted then
      perform app.refuse(409, 'parent_deleted', 'What it belongs to is deleted: restore that first.');
    end if;
  end loop;
  perform app_private.restore_deletion(deletion);
end
$$;
comment on function app_private.restore_row(regclass, uuid) is
  'The command behind every restore: restores everything that was deleted with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid) owner to callboard_definer;
-- EndIncluded foundation/deletions.sql
-- Included audit/event_reading.sql
-- How members read their organization's events; reading is itself an event.

-- Each permission is asked for once. A context that only reads counts permissions to write for what their holders see.
create or replace view app_private.hidden_nouns as
  select n.noun from app_private.event_nouns n
  where array[n.permission, n.besides] && array(
    select d.permission from (
      select distinct p.permission from app_private.event_nouns x cross join lateral (values (x.permission), (x.besides)) p (permission)
      where p.permission is not null offset 0) d
    where app.org_if_reading(d.permission) is null);
comment on view app_private.hidden_nouns is
  'The resource_types of events whose changes the member may not see, because they may not read the tables that these are about.';
grant select on app_private.hidden_nouns to callboard_reader;
-- EndIncluded audit/event_reading.sql
-- Included finance/finance_records.sql
select app_private.reference_table('app.finance_record_status_transitions');
insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;
create or replace function app_private.require_not_of_settlement(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if exists (select from app.finance_records r where r.organization_id = app.current_org() and r.id = require_not_of_settlement.id and r.settlement_id is not null) then
    perform app.refuse(409, 'finance_record_of_settlement');
  elsif exists (select from app.finance_records r where r.organization_id = app.current_org() and r.id = require_not_of_settlement.id and r.expense_id is not null) then
    perform app.refuse(409, 'finance_record_of_expense');
  end if;
  perform app_private.require_not_of_per_diem(id);
end
$$;
comment on function app_private.require_not_of_settlement(regclass, uuid) is
  'The guard of finance records: PT409 finance_record_of_settlement, finance_record_of_expense and finance_record_of_per_diem for those that a settlement has entered, or the approval of an expense or of a per diem.';
alter function app_private.require_not_of_settlement(regclass, uuid) owner to callboard_definer;
-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', guard => 'app_private.require_not_of_settlement(regclass, uuid)', checks_parents => false);
-- The figures of all that is booked are in it. Whoever is entering a record holds a lock on the organization's row.
create or replace function app_private.tg_organizations__400_books() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  if exists (select from app.finance_records r where r.organization_id = new.id)
    or exists (select from app.budget_lines b where b.organization_id = new.id)
    or exists (select from app.per_diems p where p.organization_id = new.id) then
    perform app.refuse(409, 'organization_has_books', format('The books are kept in %s: finance records, budgets or per diems have been entered.', old.currency));
  end if;
  return new;
end
$$;
comment on function app_private.tg_organizations__400_books() is 'PT409 organization_has_books for another currency of an organization that has finance records, budgets or per diems, also deleted ones.';
alter function app_private.tg_organizations__400_books() owner to callboard_definer;
-- EndIncluded finance/finance_records.sql
-- Included finance/budget_lines.sql
select app_private.hide_changes('app.budget_lines', 'itineraries.write');
-- EndIncluded finance/budget_lines.sql
-- Included finance/per_diems.sql
-- Per diems: what a tour pays somebody who travels for each day, in cash. Approving one, in per_diem_approval.sql, enters it in
-- the books.

create or replace function app.per_diem_minor(daily_minor bigint, starts_on date, ends_on date) returns bigint
language sql immutable parallel safe
-- Clamped to the bigint range, and null for days that make no sense: a constraint then names the problem.
return case when ends_on - starts_on between 0 and 365
  then least(daily_minor::numeric * (ends_on - starts_on + 1), 9223372036854775807)::bigint end;
comment on function app.per_diem_minor(bigint, date, date) is
  'What so much a day comes to from the first to the last day, both included, in the same unit; NULL unless these are 1 to 366 days.';
grant execute on function app.per_diem_minor(bigint, date, date) to callboard_api, callboard_definer;
create table if not exists app.per_diems (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid constraint per_diems_itinerary_needed check (itinerary_id is not null or status = 'approved' or deleted_at is not null),
  person text collate app.people not null constraint per_diems_person_length check (app.is_line(person, 200)),
  -- Who it is in the party. The per diem has a name of its own, and keeps it when they leave.
  party_member_id uuid,
  category_id uuid not null,
  starts_on date not null constraint per_diems_starts_on_range check (app.is_day(starts_on)),
  ends_on date not null constraint per_diems_ends_on_range check (app.is_day(ends_on)),
  daily_minor bigint not null constraint per_diems_daily_range check (daily_minor > 0 and app.is_money(daily_minor)),
  amount_minor bigint generated always as (app.per_diem_minor(daily_minor, starts_on, ends_on)) stored
    constraint per_diems_amount_range check (app.is_money(amount_minor)),
  -- Chosen when it is entered, as that of a budget line.
  currency char(3) not null default app.base_currency() constraint per_diems_currency_exists references app.currencies (code),
  exchange_rate numeric(20, 10) constraint per_diems_exchange_rate_needed check (exchange_rate is not null)
    constraint per_diems_exchange_rate_range check (exchange_rate > 0 and exchange_rate <= 1000000000),
  base_currency char(3) not null default app.base_currency(),
  base_amount_minor bigint generated always as
      (app.convert_minor(app.per_diem_minor(daily_minor, starts_on, ends_on), exchange_rate, currency::text, base_currency::text)) stored
    constraint per_diems_base_amount_range check (app.is_money(base_amount_minor)),
  note text constraint per_diems_note_length check (length(note) <= 1000),
  amount_by uuid default app.current_user_id() references app.users (id),
  status text not null default 'planned' constraint per_diems_status_known check (status in ('planned', 'approved')),
  decided_by uuid references app.users (id),
  decided_at timestamptz constraint per_diems_approved_with_time check ((status = 'approved') = (decided_at is not null)),
  finance_record_id uuid,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  -- An approved one outlives its tour: see the trigger on app.itineraries below.
  constraint per_diems_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete set null (itinerary_id),
  constraint per_diems_party_member_exists foreign key (organization_id, party_member_id)
    references app.party_members (organization_id, id) on delete set null (party_member_id),
  constraint per_diems_category_exists foreign key (organization_id, category_id)
    references app.finance_categories (organization_id, id),
  constraint per_diems_finance_record_exists foreign key (organization_id, finance_record_id)
    references app.finance_records (organization_id, id) on delete set null (finance_record_id),
  constraint per_diems_days_range check (ends_on - starts_on between 0 and 365),
  constraint per_diems_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1)
);
create index if not exists per_diems_organization_id_itinerary_id_idx on app.per_diems (organization_id, itinerary_id, starts_on, id);
create index if not exists per_diems_party_member_id_idx on app.per_diems (organization_id, party_member_id) where party_member_id is not null;
create index if not exists per_diems_category_id_idx on app.per_diems (organization_id, category_id);
create index if not exists per_diems_finance_record_id_idx on app.per_diems (organization_id, finance_record_id) where finance_record_id is not null;
create or replace view app.per_diem_rows with (security_invoker = true) as
  select p.organization_id, p.version, p.deleted_at, p.deleted_by, app.body(p.as_json, row_to_json(j)) as body,
    p.id, p.itinerary_id, p.person, p.party_member_id, p.category_id, p.starts_on, p.ends_on, p.daily_minor, p.currency,
    trim_scale(p.exchange_rate) as exchange_rate, p.note, p.base_currency, p.amount_by, p.status, p.decided_by, p.decided_at, p.finance_record_id,
    p.created_by, p.created_at, p.updated_at, j.*
  from app.per_diems p
  left join app.finance_categories c on c.organization_id = p.organization_id and c.id = p.category_id
  cross join lateral (select c.name as category_name, p.ends_on - p.starts_on + 1 as days, p.amount_minor, p.base_amount_minor,
    p.status = 'approved' and coalesce(p.decided_by in (p.created_by, p.amount_by), false) as is_self_approved) j;
create or replace function app_private.require_planned(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if exists (select from app.per_diems p where p.organization_id = app.current_org() and p.id = require_planned.id and p.status = 'approved') then
    perform app.refuse(409, 'per_diem_not_planned');
  end if;
end
$$;
comment on function app_private.require_planned(regclass, uuid) is 'The guard of per diems: PT409 per_diem_not_planned for one that is approved.';
alter function app_private.require_planned(regclass, uuid) owner to callboard_definer;
-- Those of a tour that the member sees, as budget lines, and those of tours that are gone for good.
select app_private.tenant_table('per_diems', noun => 'per_diem', permission => 'finance', path => '/api/per-diems',
  guard => 'app_private.require_planned(regclass, uuid)', verbs => '{"status": "change_status"}',
  besides => $$(itinerary_id is null)
    or (exists (select from app.itineraries i where ((i.organization_id = per_diems.organization_id) and (i.id = per_diems.itinerary_id))))
    or (exists (select from app.itinerary_versions v where ((v.organization_id = per_diems.organization_id) and (v.itinerary_id = per_diems.itinerary_id))))$$);
select app_private.hide_changes('app.per_diems', 'itineraries.write');
grant insert (itinerary_id, person, party_member_id, category_id, starts_on, ends_on, daily_minor, currency, exchange_rate, note),
  update (person, party_member_id, category_id, starts_on, ends_on, daily_minor, exchange_rate, note)
  on app.per_diems to callboard_api;
grant update (person, party_member_id, category_id, starts_on, ends_on, daily_minor, exchange_rate, note, status, decided_by, decided_at, finance_record_id)
  on app.per_diems to callboard_definer;
comment on table app.per_diems is 'What tours pay to those who travel, day by day.';
comment on column app.per_diems.party_member_id is 'Who it is in the party of the tour, if they are named there.';
comment on column app.per_diems.daily_minor is 'For each day, in the smallest unit of the currency.';
comment on column app.per_diems.exchange_rate is 'Units of the base currency for one unit of the currency, as it is planned with and, once it is approved, as it is booked.';
comment on column app.per_diems.amount_by is 'Who has entered it or last changed who is paid how much, and so does not approve it.';
comment on column app.per_diems.status is 'planned, or approved and in the books.';
comment on column app.per_diems.finance_record_id is 'The record that approving it has entered.';
create or replace trigger _100_books before insert on app.per_diems
  for each row execute function app_private.tg_budget_lines__100_books();
create or replace trigger _150_rate before insert or update on app.per_diems
  for each row when (new.exchange_rate is null and new.currency = new.base_currency) execute function app_private.tg_budget_lines__150_rate();
create or replace function app_private.tg_per_diems__150_planned() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- Its commands, which have looked, and the foreign key of somebody who is purged.
  if current_user not in ('callboard_definer', 'callboard_owner') then
    perform app.refuse(409, 'per_diem_not_planned');
  end if;
  return new;
end
$$;
comment on function app_private.tg_per_diems__150_planned() is 'PT409 per_diem_not_planned for a change of an approved one.';
create or replace trigger _150_planned before update of person, party_member_id, category_id, starts_on, ends_on, daily_minor, exchange_rate, note
  on app.per_diems for each row when (old.status = 'approved') execute function app_private.tg_per_diems__150_planned();
create or replace function app_private.tg_per_diems__150_amount_by() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.amount_by := coalesce(app.current_user_id(), new.amount_by);
  return new;
end
$$;
comment on function app_private.tg_per_diems__150_amount_by() is 'Notes who has changed who is paid how much.';
create or replace trigger _150_amount_by before update on app.per_diems
  for each row when (new.status = 'planned' and (new.person, new.starts_on, new.ends_on, new.daily_minor, new.exchange_rate)
    is distinct from (old.person, old.starts_on, old.ends_on, old.daily_minor, old.exchange_rate))
  execute function app_private.tg_per_diems__150_amount_by();
create or replace function app_private.tg_per_diems__200_days() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  tour app.itineraries;
  other app.per_diems;
begin
  -- Nor does the purge of somebody of the party change anything that this is about.
  if tg_op = 'UPDATE' and old.deletion_id is null and (
    (new.person, new.party_member_id, new.starts_on, new.ends_on) is not distinct from (old.person, old.party_member_id, old.starts_on, old.ends_on)
    or old.party_member_id is not null and new.party_member_id is null and not exists (select from app.party_members m
      where m.organization_id = old.organization_id and m.id = old.party_member_id))
  then
    return new;
  end if;
  -- Locked, so that those of a tour are entered one after another and each sees the days already taken; before the weaker
  -- lock that _300_parents takes, because two who share that would wait for each other.
  select * into tour from app.itineraries i where i.organization_id = new.organization_id and i.id = new.itinerary_id for no key update;
  -- If both are being restored, the tour is marked with the same deletion, or no longer.
  if tg_op = 'UPDATE' and old.deleted_at is not null and (new.itinerary_id is null or tour.deletion_id <> old.deletion_id) then
    perform app.refuse(409, 'parent_deleted', 'Its tour is deleted: restore that first.');
  elsif tg_op = 'UPDATE' and old.deletion_id is not null and exists (select from app.itineraries i
      where i.organization_id = new.organization_id and i.id = new.itinerary_id and i.xmin = pg_current_xact_id()::xid)
  then
    -- The tour is restored in this transaction, with all that it had, even if some have lost whom they named.
    return new;
  end if;
  select * into other from app.per_diems p
  where p.organization_id = new.organization_id and p.itinerary_id = new.itinerary_id and p.id <> new.id and p.deleted_at is null
    and p.starts_on <= new.ends_on and p.ends_on >= new.starts_on
    and case when p.party_member_id is not null and new.party_member_id is not null then p.party_member_id = new.party_member_id
      else lower(p.person) = lower(new.person) end
  limit 1;
  if found then
    perform app.refuse(409, 'per_diem_days_taken', format('%s has one from %s to %s.', other.person, other.starts_on, other.ends_on));
  end if;
  return new;
end
$$;
comment on function app_private.tg_per_diems__200_days() is
  'PT409 per_diem_days_taken if the person has another per diem of the same tour on one of the days: the same one of the party or, where either names none, of the same name. PT409 parent_deleted for one that is restored without its tour.';
alter function app_private.tg_per_diems__200_days() owner to callboard_definer;
create or replace trigger _200_days before insert or update of person, party_member_id, starts_on, ends_on, deletion_id on app.per_diems
  for each row when (new.deletion_id is null and new.status = 'planned') execute function app_private.tg_per_diems__200_days();
create or replace function app_private.tg_per_diems__400_refers() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- That neither is deleted is checked by _300_parents; the kind of one and the tour of the other never change.
  if exists (select from app.finance_categories c
      where c.organization_id = new.organization_id and c.id = new.category_id and c.kind <> 'expense') then
    perform app.refuse(409, 'per_diems_category_exists', 'There is no such category of expenses.');
  elsif exists (select from app.party_members m
      where m.organization_id = new.organization_id and m.id = new.party_member_id and m.itinerary_id <> new.itinerary_id) then
    -- As for one that is not there, which one of a hidden draft cannot be told from.
    perform app.refuse(409, 'per_diems_party_member_exists', 'It does not exist, or has been deleted.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_per_diems__400_refers() is
  'PT409 per_diems_category_exists for a category of income, PT409 per_diems_party_member_exists for somebody of another party.';
alter function app_private.tg_per_diems__400_refers() owner to callboard_definer;
create or replace trigger _400_refers before insert or update of category_id, party_member_id on app.per_diems
  for each row execute function app_private.tg_per_diems__400_refers();
-- Planned ones are deleted and restored with their tour. Approved ones stay.
create or replace function app_private.tg_itineraries__400_per_diems() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  update app.per_diems p set deleted_at = new.deleted_at, deleted_by = new.deleted_by, deletion_id = new.deletion_id
  where p.organization_id = new.organization_id and p.itinerary_id = new.id and p.status = 'planned' and p.deleted_at is null;
  return null;
end
$$;
comment on function app_private.tg_itineraries__400_per_diems() is 'Deletes the planned per diems of a deleted itinerary, but no approved ones.';
alter function app_private.tg_itineraries__400_per_diems() owner to callboard_definer;
create or replace trigger _400_per_diems after update on app.itineraries
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function app_private.tg_itineraries__400_per_diems();
-- EndIncluded finance/per_diems.sql
-- Included finance/per_diem_approval.sql
-- Changing per diems, and approving them, which enters them in the books. Nobody approves what they have entered, unless nobody
-- else could. What approving has entered stays as it is.

create or replace function app_private.lock_per_diem(per_diem uuid, if_match text) returns app.per_diems
language plpgsql volatile
set search_path = ''
as $$
declare
  p app.per_diems;
begin
  select * into p from app.per_diems x where x.organization_id = app.org_if('finance.read') and x.id = per_diem and x.deleted_at is null;
  -- As the policy has it, which shows the definer all.
  if not found or not (p.itinerary_id is null or app.org_if('itineraries.write') is not null or app.org_if('itineraries.read') is not null
      and exists (select from app.itinerary_versions v where v.organization_id = p.organization_id and v.itinerary_id = p.itinerary_id)) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.check_version(p.version, if_match);
  perform app.require('finance.write');
  -- Those of a deleted tour that are approved stay, and need no lock to be refused.
  perform app_private.require_planned('app.per_diems', per_diem);
  -- In the order in which others lock them: whoever deletes the tour waits for its per diems while holding its row.
  perform from app.organizations o where o.id = p.organization_id for share;
  perform from app.itineraries i where i.organization_id = p.organization_id and i.id = p.itinerary_id for no key update;
  select * into p from app.per_diems x where x.organization_id = app.current_org() and x.id = per_diem and x.deleted_at is null for no key update;
  perform app.check_version(p.version, if_match);
  perform app_private.require_planned('app.per_diems', per_diem);
  return p;
end
$$;
comment on function app_private.lock_per_diem(uuid, text) is
  'A planned per diem that the member sees and may change, locked, as is its tour. PT403, PT404, PT409 per_diem_not_planned, PT412.';
alter function app_private.lock_per_diem(uuid, text) owner to callboard_definer;
create or replace function app.write_per_diem(per_diem uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  n constant app.per_diems := jsonb_populate_record(app_private.lock_per_diem(per_diem, if_match), body);
begin
  update app.per_diems p set (person, party_member_id, category_id, starts_on, ends_on, daily_minor, exchange_rate, note)
    = row (n.person, n.party_member_id, n.category_id, n.starts_on, n.ends_on, n.daily_minor, n.exchange_rate, n.note)
  where p.organization_id = app.current_org() and p.id = per_diem;
  return app.read_row('per_diems', per_diem);
end
$$;
comment on function app.write_per_diem(uuid, jsonb, text) is
  'Changes a planned per diem: the columns in the body. PT403, PT404, PT409 per_diem_not_planned, per_diem_days_taken, and for a category or person that does not exist, PT412, PT422.';
alter function app.write_per_diem(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.write_per_diem(uuid, jsonb, text) to callboard_api;
create or replace function app_private.require_other_approver(p app.per_diems) returns void
language plpgsql stable
set search_path = ''
as $$
declare
  me constant uuid := app.current_user_id();
begin
  -- Where only those two are left, who has entered it approves it, because the other has changed it last.
  if me in (p.created_by, p.amount_by) and exists (select from app.memberships m
      where m.organization_id = p.organization_id and m.user_id <> me and m.user_id is distinct from p.amount_by and m.deleted_at is null
        and app.permissions_of(m.organization_id, m.user_id) @> '{finance.read,finance.write}'
        -- A draft is seen by those who plan it.
        and (p.itinerary_id is null or app.permissions_of(m.organization_id, m.user_id) @> '{itineraries.write}'
          or app.permissions_of(m.organization_id, m.user_id) @> '{itineraries.read}' and exists (select from app.itinerary_versions v
            where v.organization_id = p.organization_id and v.itinerary_id = p.itinerary_id))) then
    perform app.refuse(403, 'per_diem_is_own');
  end if;
end
$$;
comment on function app_private.require_other_approver(app.per_diems) is
  'PT403 per_diem_is_own for who has entered a per diem or last changed who is paid how much, while another member who holds finance.read and finance.write, and sees the tour, has not, or not last.';
alter function app_private.require_other_approver(app.per_diems) owner to callboard_definer;
create or replace function app.approve_per_diem(per_diem uuid, rate numeric default null, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  p constant app.per_diems := app_private.lock_per_diem(per_diem, if_match);
  booked_on constant date := app_private.open_day(p.organization_id, p.ends_on);
  record uuid;
begin
  perform app_private.require_other_approver(p);
  insert into app.finance_records (organization_id, kind, category_id, itinerary_id, booked_on, amount_minor, tax_minor, currency, exchange_rate,
    base_currency, status, payment_status, counterparty, note, created_by)
  values (p.organization_id, 'expense', p.category_id, p.itinerary_id, booked_on, p.amount_minor, 0, p.currency, coalesce(rate, p.exchange_rate),
    p.base_currency, 'actual', 'unpaid', p.person,
    format('Per diem, %s to %s', p.starts_on, p.ends_on) || coalesce(': ' || p.note, '')
      || case when booked_on <> p.ends_on then format(' (until %s, whose month is closed)', p.ends_on) else '' end,
    app.current_user_id())
  returning id into record;
  update app.per_diems x set status = 'approved', decided_by = app.current_user_id(), decided_at = statement_timestamp(), finance_record_id = record,
    exchange_rate = coalesce(rate, p.exchange_rate)
  where x.organization_id = p.organization_id and x.id = p.id;
  return app.read_row('per_diems', per_diem);
end
$$;
comment on function app.approve_per_diem(uuid, numeric, text) is
  'Approves a planned per diem and enters it in the books, on its last day or the first one of the next month that is open, at its exchange rate or the one given. PT403 per_diem_is_own, PT404, PT409 per_diem_not_planned, PT412, PT422 finance_records_exchange_rate_of_base.';
alter function app.approve_per_diem(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.approve_per_diem(uuid, numeric, text) to callboard_api;
create or replace function app_private.require_not_of_per_diem(record uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if exists (select from app.per_diems p where p.organization_id = app.current_org() and p.finance_record_id = record) then
    perform app.refuse(409, 'finance_record_of_per_diem');
  end if;
end
$$;
comment on function app_private.require_not_of_per_diem(uuid) is 'PT409 finance_record_of_per_diem for a record that the approval of a per diem has entered.';
alter function app_private.require_not_of_per_diem(uuid) owner to callboard_definer;
create or replace function app_private.tg_finance_records__200_of_per_diem() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.require_not_of_per_diem(old.id);
  return new;
end
$$;
comment on function app_private.tg_finance_records__200_of_per_diem() is
  'PT409 finance_record_of_per_diem for a change of what the approval of a per diem has entered; its category, whether it is paid and its notes can be changed.';
alter function app_private.tg_finance_records__200_of_per_diem() owner to callboard_definer;
create or replace trigger _200_of_per_diem before update on app.finance_records
  for each row when ((new.kind, new.show_id, new.booked_on, new.amount_minor, new.tax_minor, new.currency, new.exchange_rate, new.status)
    is distinct from (old.kind, old.show_id, old.booked_on, old.amount_minor, old.tax_minor, old.currency, old.exchange_rate, old.status))
  execute function app_private.tg_finance_records__200_of_per_diem();
-- EndIncluded finance/per_diem_approval.sql
-- Included finance/tour_money.sql
create or replace function app.tour_money(itinerary uuid) returns json
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization constant uuid := app.require('finance.read');
  books constant text := (select o.currency from app.organizations o where o.id = organization);
begin
  return (
    with records as materialized (select * from app_private.tour_records(itinerary)),
    lines as (
      select b.category_id, b.base_amount_minor::numeric as budget, 0::numeric as expected, 0::numeric as actual from app.budget_lines b
      where b.organization_id = organization and b.itinerary_id = itinerary and b.deleted_at is null
      union all
      select r.category_id, 0, case when not r.is_actual then r.base_amount_minor else 0 end, case when r.is_actual then r.base_amount_minor else 0 end
      from records r where r.base_currency = books
      union all
      -- Approved ones are among the records.
      select p.category_id, 0, p.base_amount_minor, 0 from app.per_diems p
      where p.organization_id = organization and p.itinerary_id = itinerary and p.status = 'planned' and p.deleted_at is null
    ),
    by_category as (
      select c.id, c.name, c.kind, sum(l.budget) as budget, sum(l.expected) as expected, sum(l.actual) as actual
      from lines l join app.finance_categories c on c.organization_id = organization and c.id = l.category_id
      group by c.id, c.name, c.kind
    ),
    totals as (
      select t.what, coalesce(sum(c.budget * t.sign), 0) as budget, coalesce(sum(c.expected * t.sign), 0) as expected, coalesce(sum(c.actual * t.sign), 0) as actual
      from (values ('income', 'income', 1), ('expense', 'expense', 1), ('profit', 'income', 1), ('profit', 'expense', -1)) as t (what, kind, sign)
      left join by_category c on c.kind = t.kind
      group by t.what
    )
    select json_build_object('itinerary_id', itinerary, 'currency', books,
      'categories', (select coalesce(json_agg(json_build_object('category_id', c.id, 'category_name', c.name, 'kind', c.kind,
          'budget_minor', c.budget, 'expected_minor', c.expected, 'actual_minor', c.actual, 'difference_minor', c.expected + c.actual - c.budget)
        order by c.kind desc, c.name, c.id), '[]') from by_category c),
      'totals', (select json_object_agg(t.what, json_build_object(
          'budget_minor', t.budget, 'expected_minor', t.expected, 'actual_minor', t.actual, 'difference_minor', t.expected + t.actual - t.budget)
        order by t.what) from totals t),
      'records_in_other_base_currencies', (select count(*) from records r where r.base_currency <> books)));
end
$$;
comment on function app.tour_money(uuid) is
  'The budget, the planned and committed, with planned per diems, and the actual money of a tour, by category and in total, in the currency of the books. PT403 without finance.read.';
alter function app.tour_money(uuid) owner to callboard_definer;
grant execute on function app.tour_money(uuid) to callboard_api;
-- EndIncluded finance/tour_money.sql
-- Included settlements/deal_parts.sql
-- Deposits, bonuses and adjustments that name no deal belong to the main deal, and without one to the deal that was entered
-- first. Which they were meant for is written down before there could be another.

create or replace function app_private.tg_deals__350_parts() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  others boolean;
begin
  -- With its show or its organization everything is deleted, and restored, as it is.
  perform from app.shows s join app.organizations o on o.id = s.organization_id
  where s.organization_id = new.organization_id and s.id = new.show_id and s.deleted_at is null and o.deleted_at is null;
  if not found then
    return new;
  end if;
  if (old.act is null) <> (new.act is null) and exists (select from app.settlements x
      where x.organization_id = new.organization_id and x.show_id = new.show_id and (x.deal_id = new.id or x.deal_id is null) and x.deleted_at is null)
  then
    perform app.refuse(409, 'deals_act_settled');
  end if;
  others := exists (select from app.deals d where d.organization_id = new.organization_id and d.show_id = new.show_id and d.id <> new.id and d.deleted_at is null);
  if old.act is null and others then
    -- What names no deal was meant for this one, and stays with it.
    update app.deposits p set deal_id = new.id where p.organization_id = new.organization_id and p.show_id = new.show_id and p.deal_id is null;
    update app.deal_bonuses b set deal_id = new.id where b.organization_id = new.organization_id and b.show_id = new.show_id and b.deal_id is null;
    update app.deal_adjustments a set deal_id = new.id where a.organization_id = new.organization_id and a.show_id = new.show_id and a.deal_id is null;
  end if;
  return new;
end
$$;
comment on function app_private.tg_deals__350_parts() is
  'Before a deal becomes or ceases to be the main one, or a main deal is deleted beside others: deposits, bonuses and adjustments that name no deal are given it. PT409 deals_act_settled once a settlement has been recorded.';
alter function app_private.tg_deals__350_parts() owner to callboard_definer;
-- EndIncluded settlements/deal_parts.sql
-- Included settlements/settlement_template_commands.sql
create or replace function app.copy_template(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  t app.settlement_templates;
  of_act constant text := body ->> 'act';
  d app.deals;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  select * into t from app.settlement_templates x
  where x.organization_id = (select app.current_org()) and x.id = (body ->> 'template_id')::uuid and x.deleted_at is null;
  if not found then
    perform app.refuse(409, 'settlement_template_unknown');
  end if;
  if t.deal is not null then
    perform app.create_row('deals', t.deal || jsonb_build_object('currency', t.currency, 'act', of_act), 'show_id', show);
  end if;
  select * into d from app.deals x
  where x.organization_id = (select app.current_org()) and x.show_id = show and lower(coalesce(x.act, '')) = lower(coalesce(of_act, '')) and x.deleted_at is null;
  if not found then
    perform app.refuse(409, 'settlement_needs_deal');
  elsif d.currency <> t.currency then
    perform app.refuse(409, 'deals_same_currency', format('The template is in %s, and the deal of the show in %s.', t.currency, d.currency));
  end if;
  return (201, json_build_object('deal_id', d.id,
    -- Of the show, and not of its other acts. Tickets first: they lock the show, whose others lock it less.
    'ticket_tiers', app.copy_parts('ticket_tiers', case when of_act is null then t.ticket_tiers else '[]' end, show, null),
    'costs', app.copy_parts('show_costs', case when of_act is null then t.costs else '[]' end, show, null),
    'bonuses', app.copy_parts('deal_bonuses', t.bonuses, show, case when of_act is not null then d.id end),
    'adjustments', app.copy_parts('deal_adjustments', t.adjustments, show, case when of_act is not null then d.id end)),
    null, '/api/deals/' || d.id)::app.answer;
end
$$;
comment on function app.copy_template(uuid, jsonb) is
  'Copies the template template_id to a show, for its own artist or for act, all of it or nothing: enters the deal, if the template has one, and the parts, for an act without tickets and costs; returns deal_id and how many of each. PT403, PT404, PT409 settlement_template_unknown, settlement_needs_deal, deals_same_currency, and what entering them refuses.';
grant execute on function app.copy_template(uuid, jsonb) to callboard_api;
-- EndIncluded settlements/settlement_template_commands.sql
-- Included settlements/contradictions.sql
create or replace function app_private.contradictions_of(organization uuid)
returns table (show_id uuid, settlement_id uuid, what text, said text, otherwise text, expense_id uuid, per_diem_id uuid)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.status from app.shows s where s.organization_id = contradictions_of.organization and s.deleted_at is null
  ), settlements as (
    select x.* from app.settlements x where x.organization_id = contradictions_of.organization and x.status = 'final' and x.deleted_at is null
  ), booked as (
    select r.settlement_id, sum(case r.kind when 'income' then r.amount_minor else -r.amount_minor end) as amount
    from app.finance_records r
    where r.organization_id = contradictions_of.organization and r.settlement_id is not null and r.status <> 'void' and r.deleted_at is null
    group by r.settlement_id
  )
  select u.show_id, null::uuid, u.what, u.said, u.otherwise, null::uuid, null::uuid from app_private.unmatched_of(contradictions_of.organization) u
  -- A row that an earlier release did not make for a show without a fee says nothing else.
  where u.said <> u.otherwise
  union all
  -- Settled is a show of which every deal has a settlement in force; one that is cancelled stays so.
  select s.id, x.id, 'status', s.status, concat('settlement in force: ', coalesce(x.n, 0), case when d.n > 1 then ' of ' || d.n end), null, null
  from shows s
  left join (select y.show_id, count(*) as n, (array_agg(y.id order by y.id))[1] as id from settlements y where y.reopened_at is null group by y.show_id) x on x.show_id = s.id
  left join (select e.show_id, count(*) as n, count(*) filter (where y.id is null) as unsettled
    from app.deals e
    left join settlements y on y.show_id = e.show_id and y.reopened_at is null and y.deal_id is not distinct from case when e.act is not null then e.id end
    where e.organization_id = contradictions_of.organization and e.deleted_at is null group by e.show_id) d on d.show_id = s.id
  where s.status <> 'cancelled' and (s.status = 'settled') <> (x.n is not null and coalesce(d.unsettled, 0) = 0) and (x.n is not null or d.n is not null)
  union all
  -- A settlement in force is of a show that was played, or that is cancelled, as it says itself.
  select x.show_id, x.id, 'cancelled', s.status, case when c.is_cancelled then 'cancelled' else 'played or settled' end, null, null
  from settlements x
  join shows s on s.id = x.show_id
  cross join lateral (select coalesce((x.inputs ->> 'is_cancelled')::boolean, false) as is_cancelled) c
  where x.reopened_at is null and (c.is_cancelled and s.status <> 'cancelled' or not c.is_cancelled and s.status not in ('played', 'settled'))
  union all
  -- Tickets and costs are entered once, and what another act is paid is what its own settlement says.
  select x.show_id, null, 'entered', 'tickets and costs: ' || count(*), 'once', null, null
  from settlements x where x.reopened_at is null and x.inputs -> 'enters_show' is distinct from 'false'
  group by x.show_id having count(*) > 1
  union all
  select x.show_id, x.id, 'act', concat_ws(' ', c.act, c.paid), concat_ws(' ', c.act, p.paid), null, null
  from settlements x
  cross join lateral (select a.act_id, a.act, (a.figures ->> 'due_minor')::numeric + (a.figures ->> 'bonuses_minor')::numeric as paid from app.act_costs(x.inputs) a) c
  join settlements y on y.show_id = x.show_id and y.reopened_at is null and y.deal_id = c.act_id::uuid
  cross join lateral (select (y.result ->> 'due_minor')::numeric + (y.result ->> 'bonuses_minor')::numeric as paid) p
  where x.reopened_at is null and c.paid <> p.paid
  union all
  -- Without the lines of its sheet, whose words may change with a release.
  select x.show_id, x.id, 'result', (x.result - 'lines')::text, app.settlement_figures(x.inputs)::text, null, null from settlements x
  where not app.settlement_figures(x.inputs) @> (x.result - 'lines')
  union all
  -- Income less expenses is what the settlement says; what was recorded before has one deal, and is what the promoter is left with.
  select x.show_id, x.id, 'books', coalesce(b.amount, 0)::text, e.amount::text, null, null
  from settlements x
  left join booked b on b.settlement_id = x.id
  cross join lateral (select case when x.reopened_at is null and x.booked_at is not null then coalesce(x.result ->> 'books_minor', x.result ->> 'promoter_minor')::numeric else 0 end as amount) e
  where coalesce(b.amount, 0) <> e.amount
  union all
  -- Its category may be another: whoever keeps the books may correct that of the record.
  select null, null, 'expense', concat(e.amount_minor, ' ', e.currency), coalesce(r.amount_minor || ' ' || r.currency, ''), e.id, null
  from app.expenses e
  left join app.finance_records r on r.organization_id = e.organization_id and r.id = e.finance_record_id and r.expense_id = e.id
    and r.kind = 'expense' and r.status = 'actual' and r.deleted_at is null
  where e.organization_id = contradictions_of.organization and e.status = 'approved' and e.deleted_at is null
    and (r.amount_minor, r.currency) is distinct from (e.amount_minor, e.currency)
  union all
  select null, null, 'per_diem', concat(p.amount_minor, ' ', p.currency), coalesce(r.amount_minor || ' ' || r.currency, ''), null, p.id
  from app.per_diems p
  left join app.finance_records r on r.organization_id = p.organization_id and r.id = p.finance_record_id
    and r.kind = 'expense' and r.status = 'actual' and r.deleted_at is null
  where p.organization_id = contradictions_of.organization and p.status = 'approved' and p.deleted_at is null
    and (r.amount_minor, r.currency) is distinct from (p.amount_minor, p.currency);
end;
comment on function app_private.contradictions_of(uuid) is
  'What an organization''s shows, approved expenses and approved per diems say in one place and otherwise in another: tickets and those of the tiers, the fee and what the deals guarantee, the status and the settlements in force, whether these are of a cancelled show, whether tickets and costs are entered once, what another act is paid and what its settlement says, a final result and that of its inputs, the books and what the settlement enters, an expense or a per diem and the record that approving it has entered.';
alter function app_private.contradictions_of(uuid) owner to callboard_definer;
create or replace function app.find_contradictions(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  began constant timestamptz := clock_timestamp();
  organization uuid := coalesce((behind ->> 'organization')::uuid, app_private.nobody());
  found_here jsonb;
  contradictions jsonb := '[]';
begin
  loop
    organization := (select o.id from app.organizations o where o.id > organization and o.deleted_at is null order by o.id limit 1);
    exit when organization is null;
    -- With what a member needs for it, because fees are kept from everybody else, the definer included.
    perform app_private.set_context(null, null, organization, null, 'finance.read');
    select coalesce(jsonb_agg(jsonb_build_object('organization_id', organization) || to_jsonb(c)), '[]') into found_here
    from (select * from app_private.contradictions_of(organization) limit 100) c;
    contradictions := contradictions || found_here;
    exit when clock_timestamp() > began + interval '1 second' or jsonb_array_length(contradictions) >= 100;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'failed', jsonb_array_length(contradictions),
    'contradictions', contradictions, 'next', case when organization is not null then jsonb_build_object('organization', organization) end);
end
$$;
comment on function app.find_contradictions(jsonb) is
  'What the shows, expenses and per diems of some organizations say in two places, and not the same: at most 100 of each, as app_private.contradictions_of has them. Returns how many as `failed`. To continue, call it again with next, until that is null. Runs every night.';
alter function app.find_contradictions(jsonb) owner to callboard_definer;
grant execute on function app.find_contradictions(jsonb) to callboard_worker;
-- EndIncluded settlements/contradictions.sql
-- Lock: access exclusive on app_private.event_nouns: alter table app_private.event_nouns add column if not exists besides text
-- Lock: access exclusive on app_private.deletion_edges: create or replace view app_private.deletion_edges as select r.parent, r.child, r.name, r.on_delete =
-- Lock: access exclusive on app_private.hidden_nouns: create or replace view app_private.hidden_nouns as select n.noun from app_private.event_nouns n wher
-- Lock: share row exclusive on app.currencies: create table if not exists app.per_diems ( organization_id uuid not null default app.current_org() r
-- Lock: share row exclusive on app.finance_categories: create table if not exists app.per_diems ( organization_id uuid not null default app.current_org() r
-- Lock: share row exclusive on app.finance_records: create table if not exists app.per_diems ( organization_id uuid not null default app.current_org() r
-- Lock: share row exclusive on app.itineraries: create table if not exists app.per_diems ( organization_id uuid not null default app.current_org() r
-- Lock: share row exclusive on app.organizations: create table if not exists app.per_diems ( organization_id uuid not null default app.current_org() r
-- Lock: share row exclusive on app.party_members: create table if not exists app.per_diems ( organization_id uuid not null default app.current_org() r
-- Lock: share row exclusive on app.users: create table if not exists app.per_diems ( organization_id uuid not null default app.current_org() r
