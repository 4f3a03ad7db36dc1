--! Previous: sha1:1dd18af4ac6431d0cff46f3d60a3bb20fd667dfa
--! Hash: sha1:4e938e592fd4d592a503d16393283db43a8c0570
--! Message: Records may belong to an itinerary

alter table app.finance_records add column if not exists itinerary_id uuid;
alter table app.finance_records add constraint finance_records_itinerary_exists foreign key (organization_id, itinerary_id)
  references app.itineraries (organization_id, id) on delete set null (itinerary_id) not valid;
-- Included finance/finance_records.sql
select app_private.reference_table('app.finance_record_status_transitions');
insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;
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
  counterparty text collate app.people constraint finance_records_counterparty_length check (length(counterparty) between 1 and 200 and counterparty !~ '[\u0001-\u001f\u007f-\u009f]'),
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
  primary key (organization_id, id),
  constraint finance_records_category_exists foreign key (organization_id, category_id, kind)
    references app.finance_categories (organization_id, id, kind),
  -- A record outlives its show: see the trigger on app.shows below.
  constraint finance_records_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint finance_records_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete set null (itinerary_id),
  constraint finance_records_currency_exists foreign key (currency) references app.currencies (code),
  constraint finance_records_text_visible check (app.is_visible(counterparty)),
  constraint finance_records_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1),
  constraint finance_records_tax_within_amount check (tax_minor between 0 and amount_minor),
  constraint finance_records_external_ref_with_source check ((external_ref is null) = (source is null))
);
-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', guard => 'app_private.require_not_of_settlement(regclass, uuid)', checks_parents => false);
grant insert (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref)
  on app.finance_records to callboard_api;
grant insert (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, base_currency, status,
    payment_status, counterparty, note, source, external_ref, created_by, settlement_id, settlement_line),
  update (status, deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;
comment on table app.finance_records is 'Income and expenses of the organization, planned and actual.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind gives the direction.';
comment on column app.finance_records.tax_minor is 'Tax included in the amount.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, at the exchange rate.';
comment on column app.finance_records.settlement_id is 'The settlement that has entered it; its amount, day and status are that one''s.';
comment on column app.finance_records.settlement_line is 'Which line of the settlement it is: see app.settlement_lines.';
comment on column app.finance_records.external_ref is 'The record''s id in the system it comes from (source); unique there.';
create or replace trigger _200_status before update on app.finance_records
  for each row when (new.status is distinct from old.status) execute function app_private.tg_finance_records__200_status();
create or replace trigger _200_of_settlement before update on app.finance_records
  for each row when (old.settlement_id is not null and
    (new.kind, new.show_id, new.booked_on, new.amount_minor, new.tax_minor, new.currency, new.exchange_rate, new.status)
      is distinct from (old.kind, old.show_id, old.booked_on, old.amount_minor, old.tax_minor, old.currency, old.exchange_rate, old.status))
  execute function app_private.tg_finance_records__200_of_settlement();
create or replace trigger _300_entered after insert on app.finance_records
  referencing new table as after for each statement execute function app_private.tg_finance_records__300_entered();
create or replace trigger _300_changed after update on app.finance_records
  referencing old table as before new table as after for each statement execute function app_private.tg_finance_records__300_changed();
-- EndIncluded finance/finance_records.sql
-- Lock: access exclusive on app.finance_records: alter table app.finance_records add column if not exists itinerary_id uuid
-- Lock: share row exclusive on app.finance_records: alter table app.finance_records add constraint finance_records_itinerary_exists foreign key (organiz
-- Lock: share row exclusive on app.itineraries: alter table app.finance_records add constraint finance_records_itinerary_exists foreign key (organiz
