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
    or (exists (select from app.itineraries i where ((i.organization_id = (select app.org_if_reading('itineraries.write'))) and (i.id = per_diems.itinerary_id))))
    or (exists (select from app.itinerary_versions v where ((v.organization_id = (select app.org_if('itineraries.read'))) and (v.itinerary_id = per_diems.itinerary_id))))$$);
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
