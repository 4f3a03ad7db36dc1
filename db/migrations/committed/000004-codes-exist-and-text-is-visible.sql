--! Previous: sha1:e52bf74e63827a60e5b03033ddbc58ca88c0021f
--! Hash: sha1:f702452a9ae2fdad754adc5ff7d1631692ab1d54
--! Message: codes exist and text is visible

-- NOT VALID: up to 0.2.0, any letters were taken. The next migration looks at the rows that exist.
alter table app.venues drop constraint if exists venues_country_exists,
  add constraint venues_country_exists foreign key (country) references app.countries (code) not valid;
alter table app.show_fees drop constraint if exists shows_currency_exists,
  add constraint shows_currency_exists foreign key (currency) references app.currencies (code) not valid;
alter table app.organizations drop constraint if exists organizations_currency_exists,
  add constraint organizations_currency_exists foreign key (currency) references app.currencies (code) not valid;
alter table app.shows drop constraint if exists shows_text_visible,
  add constraint shows_text_visible check (app.is_visible(title) and app.is_visible(artist)) not valid;
alter table app.finance_records drop constraint if exists finance_records_text_visible,
  add constraint finance_records_text_visible check (app.is_visible(counterparty)) not valid;
-- The functions that used it are those of the migration before.
drop function if exists app_private.reading_permissions();
-- Included organizations/organizations.sql
-- Companies: the tenants. The row's own id is the organization_id of everything else.

create table if not exists app.organizations (
  id uuid primary key default app.uuid_v7(),
  name text collate app.people not null constraint organizations_name_length check (app.is_line(name, 200)),
  slug text not null,
  currency char(3) not null default 'USD' constraint organizations_currency_format check (currency ~ '^[A-Z]{3}$')
    constraint organizations_currency_exists references app.currencies (code),
  time_zone text not null default 'UTC' constraint organizations_time_zone_exists check (app.is_time_zone(time_zone)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid
);
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
grant select on app.organizations to callboard_api, callboard_definer, callboard_rollup;
grant update (name, currency, time_zone) on app.organizations to callboard_api;
grant insert (id, name, currency, time_zone), update (deleted_at, deleted_by, deletion_id), delete on app.organizations to callboard_definer;
comment on table app.organizations is 'Companies that put on shows; each is a tenant.';
comment on column app.organizations.slug is 'Derived from the name by the database; app_private.slugs keeps it and all earlier ones unique.';
comment on column app.organizations.currency is 'ISO 4217 code of the currency in which the organization keeps its books.';
select app_private.definer_table('app_private.slugs', 'select, insert');
select app_private.log_changes('app.organizations', 'organization');
create or replace trigger _100_timestamps before update on app.organizations
  for each row execute function app_private.tg__100_timestamps();
create or replace trigger _200_slug_insert before insert on app.organizations
  for each row execute function app_private.tg_organizations__200_slug();
create or replace trigger _200_slug_rename before update on app.organizations
  for each row when (new.name is distinct from old.name) execute function app_private.tg_organizations__200_slug();
-- EndIncluded organizations/organizations.sql
-- Included shows/venues.sql
-- Where shows take place. A venue gives its shows their time zone.

create table if not exists app.venues (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint venues_name_length check (app.is_line(name, 200)),
  city text collate app.people not null constraint venues_city_length check (app.is_line(city, 200)),
  country char(2) not null constraint venues_country_format check (country ~ '^[A-Z]{2}$')
    constraint venues_country_exists references app.countries (code),
  time_zone text not null constraint venues_time_zone_exists check (app.is_time_zone(time_zone)),
  capacity integer constraint venues_capacity_positive check (capacity > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  show_json text not null generated always as (
    ',"venue_name":' || app.json_string(name) || ',"venue_city":' || app.json_string(city) || ',"time_zone":' || app.json_string(time_zone)) stored,
  primary key (organization_id, id)
);
select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues', is_exported => true);
grant insert (name, city, country, time_zone, capacity), update (name, city, country, time_zone, capacity) on app.venues to callboard_api;
comment on table app.venues is 'Where shows take place, with the time zone of their local times.';
comment on column app.venues.show_json is 'The fields of a show that come from its venue, as app.show_rows adds them.';
comment on column app.venues.country is 'ISO 3166-1 alpha-2 code.';
-- EndIncluded shows/venues.sql
-- Included shows/shows.sql
select app_private.reference_table('app.show_status_transitions');
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
  title text collate app.people not null constraint shows_title_length check (length(title) between 1 and 200 and title !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(title) <> ''),
  artist text collate app.people not null constraint shows_artist_length check (length(artist) between 1 and 200 and artist !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(artist) <> ''),
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
  constraint shows_text_visible check (app.is_visible(title) and app.is_visible(artist)),
  constraint shows_doors_before_start check (doors_time <= start_time),
  constraint shows_tickets_within_capacity check (tickets_sold <= capacity)
);
-- The definer's functions search, because a text match under a filtering policy cannot use an index (it is not leakproof),
-- and import on behalf of the member who started the import.
select app_private.tenant_table('shows', noun => 'show', permission => 'shows', path => '/api/shows', definer => 'insert, update', is_exported => true, is_counted => true,
  checks_parents => false);
grant insert (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref),
  update (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
  on app.shows to callboard_api;
grant insert (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes,
    source, external_ref, created_by),
  update (status, deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;
comment on table app.shows is 'Performances, from first inquiry to settlement.';
comment on column app.shows.start_time is 'Local time at the venue; a curfew at or before the start is on the next day.';
comment on column app.shows.external_ref is 'The show''s id in the system it comes from (source); unique there.';
create or replace trigger _200_status before update on app.shows
  for each row when (new.status is distinct from old.status) execute function app_private.tg_shows__200_status();
create or replace trigger _300_entered after insert on app.shows
  referencing new table as added for each statement execute function app_private.tg_shows__300_entered();
create or replace trigger _300_venue_change before update on app.shows
  for each row when (new.venue_id is not null and new.venue_id is distinct from old.venue_id)
  execute function app_private.tg_shows__300_venue();
-- EndIncluded shows/shows.sql
-- Included shows/show_fees.sql
-- Fees: what the artist of a show is paid. Apart from app.shows, because more members may see shows than money: here
-- the row-level security of fees is that of finance, and whoever may not read it has no row to join.

create table if not exists app.show_fees (
  organization_id uuid not null default app.current_org(),
  show_id uuid not null,
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  fee_minor bigint constraint shows_fee_range check (fee_minor between 0 and 9007199254740991),
  currency char(3) constraint shows_currency_format check (currency ~ '^[A-Z]{3}$')
    constraint shows_currency_exists references app.currencies (code),
  show_json text not null generated always as (
    ',"fee_minor":' || coalesce(fee_minor::text, 'null') || ',"currency":' || coalesce('"' || currency || '"', 'null')) stored,
  -- With the JSON, so that a list of shows reads only this index.
  primary key (organization_id, show_id) include (show_json),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint shows_fee_with_currency check ((fee_minor is null) = (currency is null))
);
-- A fee has neither marks of deletion nor a version: a deleted show keeps it, a purged one takes it along, and the
-- version is the show's. The definer, as which shows are restored and imported, sees no more than the member.
select app_private.force_rls('app.show_fees');
select app_private.member_policy('app.show_fees', 'select', 'finance.read', 'callboard_api, callboard_definer, callboard_exporter');
select app_private.member_policy('app.show_fees', 'insert', 'finance.write', 'callboard_api, callboard_definer');
-- Nobody overwrites what they do not see.
select app_private.member_policy('app.show_fees', 'update', 'finance.write', besides => 'organization_id = (select app.org_if(''finance.read''))');
select app_private.hide_statistics('app.show_fees');
grant select on app.show_fees to callboard_api, callboard_definer, callboard_exporter;
grant insert (show_id, fee_minor, currency), update (fee_minor, currency) on app.show_fees to callboard_api;
grant insert (organization_id, show_id, fee_minor, currency) on app.show_fees to callboard_definer;
select app_private.log_changes('app.show_fees', 'show_fee', id_column => 'show_id');
comment on table app.show_fees is 'The artist''s fee of each show that has, or had, one.';
comment on column app.show_fees.show_json is 'The fields of a show that are its fee, as app.show_rows adds them.';
comment on column app.show_fees.fee_minor is 'The artist''s fee, in the smallest unit of the currency; NULL once it has been removed.';
-- EndIncluded shows/show_fees.sql
-- Included finance/finance_categories.sql
-- A definer trigger inserts an organization's default categories.
select app_private.tenant_table('finance_categories', noun => 'finance_category', permission => 'finance', path => '/api/finance-categories',
  definer => 'insert, update', is_exported => true, is_counted => true, known => '{kind}');
create or replace trigger _500_finance_categories after insert on app.organizations
  for each row execute function app_private.tg_organizations__500_finance_categories();
-- EndIncluded finance/finance_categories.sql
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
  primary key (organization_id, id),
  constraint finance_records_category_exists foreign key (organization_id, category_id, kind)
    references app.finance_categories (organization_id, id, kind),
  -- A record outlives its show: see the trigger on app.shows below.
  constraint finance_records_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint finance_records_currency_exists foreign key (currency) references app.currencies (code),
  constraint finance_records_text_visible check (app.is_visible(counterparty)),
  constraint finance_records_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1),
  constraint finance_records_tax_within_amount check (tax_minor between 0 and amount_minor),
  constraint finance_records_external_ref_with_source check ((external_ref is null) = (source is null))
);
-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', checks_parents => false);
grant insert (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref)
  on app.finance_records to callboard_api;
grant insert (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, base_currency, status,
    payment_status, counterparty, note, source, external_ref, created_by),
  update (deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;
comment on table app.finance_records is 'Income and expenses of the organization, planned and actual.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind gives the direction.';
comment on column app.finance_records.tax_minor is 'Tax included in the amount.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, at the exchange rate.';
comment on column app.finance_records.external_ref is 'The record''s id in the system it comes from (source); unique there.';
create or replace trigger _200_status before update on app.finance_records
  for each row when (new.status is distinct from old.status) execute function app_private.tg_finance_records__200_status();
create or replace trigger _300_entered after insert on app.finance_records
  referencing new table as after for each statement execute function app_private.tg_finance_records__300_entered();
create or replace trigger _300_changed after update on app.finance_records
  referencing old table as before new table as after for each statement execute function app_private.tg_finance_records__300_changed();
create or replace trigger _400_finance_records after update on app.shows
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function app_private.tg_shows__400_finance_records();
create or replace trigger _400_books before update on app.organizations
  for each row when (new.currency is distinct from old.currency) execute function app_private.tg_organizations__400_books();
-- EndIncluded finance/finance_records.sql
-- Included settlements/settlements.sql
-- Without grants: the commands below write and check these permissions.
select app_private.tenant_policies('app.settlements', reads => 'finance.read', inserts => 'finance.write', updates => 'finance.close',
  definer => 'insert, update');
select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');
create or replace trigger _400_settlement before update on app.shows
  for each row when (new.status = 'settled' and old.status <> 'settled') execute function app_private.tg_shows__400_settlement();
-- EndIncluded settlements/settlements.sql
-- Lock: share row exclusive on app.countries: alter table app.venues drop constraint if exists venues_country_exists, add constraint venues_countr
-- Lock: access exclusive on app.venues: alter table app.venues drop constraint if exists venues_country_exists, add constraint venues_countr
-- Lock: share row exclusive on app.venues: alter table app.venues drop constraint if exists venues_country_exists, add constraint venues_countr
-- Lock: share row exclusive on app.currencies: alter table app.show_fees drop constraint if exists shows_currency_exists, add constraint shows_curr
-- Lock: access exclusive on app.show_fees: alter table app.show_fees drop constraint if exists shows_currency_exists, add constraint shows_curr
-- Lock: share row exclusive on app.show_fees: alter table app.show_fees drop constraint if exists shows_currency_exists, add constraint shows_curr
-- Lock: access exclusive on app.organizations: alter table app.organizations drop constraint if exists organizations_currency_exists, add constrain
-- Lock: share row exclusive on app.organizations: alter table app.organizations drop constraint if exists organizations_currency_exists, add constrain
-- Lock: access exclusive on app.shows: alter table app.shows drop constraint if exists shows_text_visible, add constraint shows_text_visibl
-- Lock: access exclusive on app.finance_records: alter table app.finance_records drop constraint if exists finance_records_text_visible, add constrai
-- Lock: share row exclusive on app.shows: create or replace trigger _200_status before update on app.shows for each row when (new.status is di
-- Lock: share row exclusive on app.finance_records: create or replace trigger _200_status before update on app.finance_records for each row when (new.st
