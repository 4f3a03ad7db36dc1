-- Finance records: income and expenses, planned or actual.

create table if not exists app.finance_record_status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
select app_private.reference_table('app.finance_record_status_transitions');
comment on table app.finance_record_status_transitions is 'Reference: the status transitions that a finance record may make. Void is final.';

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
  -- As of entry: if the organization later changes its currency, old records keep theirs.
  base_currency char(3) not null default app.base_currency(),
  -- Null only without a rate, which a constraint then reports.
  base_amount_minor bigint generated always as
      (app.convert_minor(amount_minor, exchange_rate, currency::text, base_currency::text)) stored
    constraint finance_records_base_amount_range check (base_amount_minor between 0 and 9007199254740991),
  status text not null default 'planned' constraint finance_records_status_known check (status in ('planned', 'committed', 'actual', 'void')),
  payment_status text not null default 'unpaid' constraint finance_records_payment_status_known check (
    payment_status in ('unpaid', 'partly_paid', 'paid', 'refunded')),
  counterparty text collate app.people constraint finance_records_counterparty_length check (length(counterparty) between 1 and 200 and counterparty !~ '[\u0001-\u001f\u007f-\u009f]'
    and counterparty ~ '[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]'),
  note text constraint finance_records_note_length check (length(note) <= 10000),
  source text collate app.people constraint finance_records_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint finance_records_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  -- Written by settlements only: see settlements/settlement_books.sql. They outlive what is purged.
  settlement_id uuid,
  settlement_line text,
  -- The tour it is for; without one, that of its show. A column of later: see finance_record_rows.
  itinerary_id uuid,
  -- Written when an expense is approved: see expense_decisions.sql. It outlives what is purged.
  expense_id uuid,
  primary key (organization_id, id),
  constraint finance_records_category_exists foreign key (organization_id, category_id, kind)
    references app.finance_categories (organization_id, id, kind),
  -- A record outlives its show: see the trigger on app.shows below.
  constraint finance_records_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint finance_records_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete set null (itinerary_id),
  constraint finance_records_currency_exists foreign key (currency) references app.currencies (code),
  constraint finance_records_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1),
  constraint finance_records_tax_within_amount check (tax_minor between 0 and amount_minor),
  constraint finance_records_external_ref_with_source check ((external_ref is null) = (source is null))
);
create index if not exists finance_records_organization_id_booked_on_idx on app.finance_records (organization_id, booked_on, id) where deleted_at is null;
create index if not exists finance_records_organization_id_show_id_idx on app.finance_records (organization_id, show_id, booked_on)
  where show_id is not null;
create index if not exists finance_records_organization_id_itinerary_id_idx on app.finance_records (organization_id, itinerary_id, booked_on)
  where itinerary_id is not null;
create index if not exists finance_records_organization_id_category_id_idx on app.finance_records (organization_id, category_id, booked_on);
create unique index if not exists finance_record_external_ref_taken on app.finance_records (organization_id, source, external_ref)
  where deleted_at is null and external_ref is not null;
create unique index if not exists finance_records_settlement_line_once on app.finance_records (organization_id, settlement_id, settlement_line)
  where settlement_id is not null;

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
grant insert (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref, itinerary_id),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref, itinerary_id)
  on app.finance_records to callboard_api;
grant insert (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, base_currency, status,
    payment_status, counterparty, note, source, external_ref, created_by, settlement_id, settlement_line, itinerary_id, expense_id),
  update (status, deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;

comment on table app.finance_records is 'Income and expenses of the organization, planned and actual.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind gives the direction.';
comment on column app.finance_records.tax_minor is 'Tax included in the amount.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, at the exchange rate.';
comment on column app.finance_records.settlement_id is 'The settlement that has entered it; its amount, day and status are that one''s.';
comment on column app.finance_records.settlement_line is 'Which line of the settlement it is: see app.settlement_lines.';
comment on column app.finance_records.itinerary_id is 'The tour it is for; a record without one is for those that its show is on.';
comment on column app.finance_records.expense_id is 'The expense of a member that approving has entered.';
comment on column app.finance_records.external_ref is 'The record''s id in the system it comes from (source); unique there.';

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
create or replace trigger _200_status before update on app.finance_records
  for each row when (new.status is distinct from old.status) execute function app_private.tg_finance_records__200_status();

create or replace function app_private.tg_finance_records__200_of_settlement() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- The settlement itself, and the foreign key of a show that is purged.
  if current_user in ('callboard_definer', 'callboard_owner') then
    return new;
  elsif old.settlement_id is not null then
    perform app.refuse(409, 'finance_record_of_settlement');
  end if;
  perform app.refuse(409, 'finance_record_of_expense');
  return null;
end
$$;
comment on function app_private.tg_finance_records__200_of_settlement() is
  'PT409 finance_record_of_settlement or finance_record_of_expense for a change of what a settlement, or the approval of an expense, has entered; its category, whether it is paid and its notes can be changed.';
create or replace trigger _200_of_settlement before update on app.finance_records
  for each row when ((old.settlement_id is not null or old.expense_id is not null) and
    (new.kind, new.show_id, new.booked_on, new.amount_minor, new.tax_minor, new.currency, new.exchange_rate, new.status)
      is distinct from (old.kind, old.show_id, old.booked_on, old.amount_minor, old.tax_minor, old.currency, old.exchange_rate, old.status))
  execute function app_private.tg_finance_records__200_of_settlement();

-- Before anything else is looked at, so that a draft that is hidden from a member is no different from none.
create or replace function app_private.tg_finance_records__150_itinerary() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- Whoever imports it, or approves an expense, has been checked or need not see it.
  if current_user in ('callboard_definer', 'callboard_owner') or tg_op = 'UPDATE' and new.itinerary_id is not distinct from old.itinerary_id then
    return new;
  elsif not exists (select from app.itinerary_rows i
      where i.organization_id = new.organization_id and i.id = new.itinerary_id and i.deleted_at is null) then
    perform app.refuse(409, 'finance_records_itinerary_exists', 'There is no such itinerary.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_finance_records__150_itinerary() is 'PT409 finance_records_itinerary_exists for an itinerary that the member does not see.';
create or replace trigger _150_itinerary before insert or update of itinerary_id on app.finance_records
  for each row when (new.itinerary_id is not null) execute function app_private.tg_finance_records__150_itinerary();

-- A record's references, and whether its month is open, are checked once for all rows of a statement. FOR SHARE in EXISTS,
-- and OFFSET, also keep it from becoming a join: each row that is referred to is looked up by its key, however many others
-- there are. What could not be locked is looked up again, because a DBA has no context, and the definer locks nothing without.
create or replace function app_private.tg_finance_records__300_entered() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  closed date;
begin
  -- Closing a month waits for this lock and then sees these records.
  perform from (select distinct n.organization_id from after n) n
  where exists (select from app.organizations o where o.id = n.organization_id for share);
  select p.month into closed from (select distinct n.organization_id, date_trunc('month', n.booked_on)::date as month from after n) n
  cross join lateral (select p.month from app.finance_periods p where p.organization_id = n.organization_id and p.month = n.month limit 1) p limit 1;
  if found then
    perform app.refuse(409, 'period_closed', format('The books of %s are closed.', to_char(closed, 'YYYY-MM')));
  end if;
  -- Locked, so that a concurrent deletion waits and then sees the record.
  if exists (select from (select distinct n.organization_id, n.category_id from after n) n
      where not exists (select from app.finance_categories c
        where c.organization_id = n.organization_id and c.id = n.category_id and c.deleted_at is null for share)) then
    if exists (select from (select distinct n.organization_id, n.category_id from after n) n
        where not exists (select from app.finance_categories c
          where c.organization_id = n.organization_id and c.id = n.category_id and c.deleted_at is null offset 0)) then
      perform app.refuse(409, 'finance_records_category_exists', 'There is no such category.');
    end if;
  end if;
  if exists (select from (select distinct n.organization_id, n.show_id from after n where n.show_id is not null) n
      where not exists (select from app.shows s where s.organization_id = n.organization_id and s.id = n.show_id and s.deleted_at is null for share)) then
    if exists (select from (select distinct n.organization_id, n.show_id from after n where n.show_id is not null) n
        where not exists (select from app.shows s where s.organization_id = n.organization_id and s.id = n.show_id and s.deleted_at is null offset 0)) then
      perform app.refuse(409, 'finance_records_show_exists', 'There is no such show.');
    end if;
  end if;
  if exists (select from (select distinct n.organization_id, n.itinerary_id from after n where n.itinerary_id is not null) n
      where not exists (select from app.itineraries i
        where i.organization_id = n.organization_id and i.id = n.itinerary_id and i.deleted_at is null for share)) then
    if exists (select from (select distinct n.organization_id, n.itinerary_id from after n where n.itinerary_id is not null) n
        where not exists (select from app.itineraries i
          where i.organization_id = n.organization_id and i.id = n.itinerary_id and i.deleted_at is null offset 0)) then
      perform app.refuse(409, 'finance_records_itinerary_exists', 'There is no such itinerary.');
    end if;
  end if;
  return null;
end
$$;
comment on function app_private.tg_finance_records__300_entered() is
  'PT409 period_closed, finance_records_category_exists, finance_records_show_exists or finance_records_itinerary_exists for new records in a closed month, or with a deleted category, show or itinerary.';
alter function app_private.tg_finance_records__300_entered() owner to callboard_definer;
create or replace trigger _300_entered after insert on app.finance_records
  referencing new table as after for each statement execute function app_private.tg_finance_records__300_entered();

create or replace function app_private.tg_finance_records__300_changed() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  closed date;
begin
  perform from (select distinct n.organization_id from after n) n
  where exists (select from app.organizations o where o.id = n.organization_id for share);
  select p.month into closed from after n
  join before b on b.organization_id = n.organization_id and b.id = n.id
  -- An entire organization can be deleted and restored even if months are closed.
  join app.organizations o on o.id = n.organization_id and o.deleted_at is null
  join app.finance_periods p on p.organization_id = n.organization_id
    and p.month in (date_trunc('month', n.booked_on)::date, date_trunc('month', b.booked_on)::date)
  -- So can a show or an itinerary be purged, which clears the reference in its records.
  where not (b.show_id is not null and n.show_id is null
    and not exists (select from app.shows s where s.organization_id = b.organization_id and s.id = b.show_id))
    and not (b.itinerary_id is not null and n.itinerary_id is null
      and not exists (select from app.itineraries i where i.organization_id = b.organization_id and i.id = b.itinerary_id))
  limit 1;
  if found then
    perform app.refuse(409, 'period_closed', format('The books of %s are closed.', to_char(closed, 'YYYY-MM')));
  end if;
  perform from (select distinct n.organization_id, n.category_id from after n where n.deleted_at is null) n
  where exists (select from app.finance_categories c
    where c.organization_id = n.organization_id and c.id = n.category_id and c.deleted_at is null for share);
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.finance_categories c on c.organization_id = n.organization_id and c.id = n.category_id
      where n.category_id <> b.category_id and c.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_category_exists', 'There is no such category.');
  end if;
  perform from (select distinct n.organization_id, n.show_id from after n where n.show_id is not null and n.deleted_at is null) n
  where exists (select from app.shows s where s.organization_id = n.organization_id and s.id = n.show_id and s.deleted_at is null for share);
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id
      where n.show_id is distinct from b.show_id and s.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_show_exists', 'There is no such show.');
  end if;
  perform from (select distinct n.organization_id, n.itinerary_id from after n where n.itinerary_id is not null and n.deleted_at is null) n
  where exists (select from app.itineraries i where i.organization_id = n.organization_id and i.id = n.itinerary_id and i.deleted_at is null for share);
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.itineraries i on i.organization_id = n.organization_id and i.id = n.itinerary_id
      where n.itinerary_id is distinct from b.itinerary_id and i.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_itinerary_exists', 'There is no such itinerary.');
  end if;
  -- A planned record is not restored without its show or its itinerary; if both are being restored, that is still marked here.
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id
      where b.deleted_at is not null and n.deleted_at is null and n.status in ('planned', 'committed')
        and s.deleted_at is not null and s.deletion_id <> b.deletion_id) then
    perform app.refuse(409, 'parent_deleted', 'The show it is planned for is deleted: restore that first.');
  end if;
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.itineraries i on i.organization_id = n.organization_id and i.id = n.itinerary_id
      where b.deleted_at is not null and n.deleted_at is null and n.status in ('planned', 'committed')
        and i.deleted_at is not null and i.deletion_id <> b.deletion_id) then
    perform app.refuse(409, 'parent_deleted', 'The itinerary it is planned for is deleted: restore that first.');
  end if;
  return null;
end
$$;
comment on function app_private.tg_finance_records__300_changed() is
  'The same for changed records: neither a record''s month nor its previous month may be closed.';
alter function app_private.tg_finance_records__300_changed() owner to callboard_definer;
create or replace trigger _300_changed after update on app.finance_records
  referencing old table as before new table as after for each statement execute function app_private.tg_finance_records__300_changed();

-- Records planned for a show are deleted and restored with it. Actual ones stay.
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
comment on function app_private.tg_shows__400_finance_records() is 'Deletes the planned and committed records of a deleted show, but no actual ones.';
alter function app_private.tg_shows__400_finance_records() owner to callboard_definer;
create or replace trigger _400_finance_records after update on app.shows
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function app_private.tg_shows__400_finance_records();

-- And those of an itinerary with that.
create or replace function app_private.tg_itineraries__400_finance_records() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  update app.finance_records r set deleted_at = new.deleted_at, deleted_by = new.deleted_by, deletion_id = new.deletion_id
  where r.organization_id = new.organization_id and r.itinerary_id = new.id and r.status in ('planned', 'committed') and r.deleted_at is null;
  return null;
end
$$;
comment on function app_private.tg_itineraries__400_finance_records() is 'Deletes the planned and committed records of a deleted itinerary, but no actual ones.';
alter function app_private.tg_itineraries__400_finance_records() owner to callboard_definer;
create or replace trigger _400_finance_records after update on app.itineraries
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function app_private.tg_itineraries__400_finance_records();

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
create or replace trigger _400_books before update on app.organizations
  for each row when (new.currency is distinct from old.currency) execute function app_private.tg_organizations__400_books();
