--! Previous: sha1:a7a1f8eadef5c26ea40711a328551fa7981f359e
--! Hash: sha1:dfffbd371da92b8c1136d85c2e6125f0f5b38d3f
--! Message: Tours of records: entered, imported, exported, in the star

alter table app.finance_records validate constraint finance_records_itinerary_exists;
-- Included foundation/row_json.sql
create or replace function app_private.keep_json(target regclass, fields regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  trigger_function text := format('app_private.tg_%s__990_json', (select c.relname from pg_catalog.pg_class c where c.oid = target));
begin
  -- An expression of one call, which PL/pgSQL evaluates without running a query: a third cheaper than row_to_json of a subquery.
  execute format('create or replace function %s() returns trigger language plpgsql set search_path = '''' set timezone = ''UTC'' as %L',
    trigger_function, (
      select format(E'begin\n  new.as_json := left(json_build_object(%s)::text, -1);\n  return new;\nend',
        string_agg(format('%L, %s', v.attname, format(case t.atttypid
          when 'time'::regtype then 'to_char(new.%I, ''HH24:MI'')'
          when 'numeric'::regtype then 'trim_scale(new.%I)'
          else 'new.%I' end, t.attname)), ', ' order by v.attnum))
      from pg_catalog.pg_attribute v
      -- Generated columns have no value yet when the trigger runs.
      join pg_catalog.pg_attribute t on t.attrelid = target and t.attname = v.attname and t.attnum > 0 and t.attgenerated = ''
      where v.attrelid = fields and v.attnum >= (select i.attnum from pg_catalog.pg_attribute i where i.attrelid = fields and i.attname = 'id')
        and position(format(E'    later.%I', v.attname) in pg_catalog.pg_get_viewdef(fields)) = 0));
  execute format('comment on function %s() is %L', trigger_function, format('Keeps as_json: the fields of %s that are columns of the row itself.', fields));
  -- The last of the triggers before a row is written: none may change it afterwards.
  perform app_private.set_trigger(target, '_990_json', format('before insert or update on %s for each row execute function %s()', target, trigger_function),
    is_always => true);
  execute format('grant update (as_json) on %s to callboard_definer', target);
end
$$;
comment on function app_private.keep_json(regclass, regclass) is
  'Has a table keep as_json: the fields of its view (from id on) that are columns of its own and not of a lateral named later, as a JSON object without its closing brace, to be completed by app.body. A time is HH:MM, a number has no trailing zeros.';
-- EndIncluded foundation/row_json.sql
-- Included organizations/custom_roles.sql
-- Without grants, because the definer's functions write: a policy cannot ensure that nobody grants what they do not hold.
select app_private.tenant_table('custom_roles', noun => 'role', reads => 'members.read', writes => 'members.manage', deletes => 'members.manage',
  definer => 'insert, update');
-- EndIncluded organizations/custom_roles.sql
-- Included shows/venues.sql
select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues', is_exported => true);
-- EndIncluded shows/venues.sql
-- Included shows/shows.sql
-- The definer's functions search, because a text match under a filtering policy cannot use an index (it is not leakproof),
-- and import on behalf of the member who started the import.
select app_private.tenant_table('shows', noun => 'show', permission => 'shows', path => '/api/shows', definer => 'insert, update', is_exported => true, is_counted => true,
  checks_parents => false);
-- EndIncluded shows/shows.sql
-- Included shows/show_commands.sql
select app_private.publish_rows('app.shows');
-- EndIncluded shows/show_commands.sql
-- Included shows/guest_allotments.sql
select app_private.tenant_table('guest_allotments', noun => 'guest_allotment', permission => 'shows', path => '/api/guest-allotments', is_exported => true);
-- EndIncluded shows/guest_allotments.sql
-- Included shows/guests.sql
select app_private.tenant_table('guests', noun => 'guest', permission => 'shows', path => '/api/guests', is_exported => true);
-- EndIncluded shows/guests.sql
-- Included shows/guest_lists.sql
-- No path: a list is written only by app.write_guest_list and deleted with its show.
select app_private.tenant_table('guest_lists', noun => 'guest_list', reads => 'shows.read', writes => 'guests.lock', definer => 'insert, update');
-- EndIncluded shows/guest_lists.sql
-- Included itineraries/itineraries.sql
select app_private.tenant_table('itineraries', noun => 'itinerary', permission => 'itineraries', reads => 'itineraries.write', path => '/api/itineraries', is_exported => true);
select app_private.tenant_table('itinerary_days', noun => 'itinerary_day', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/itinerary-days');
-- EndIncluded itineraries/itineraries.sql
-- Included itineraries/itinerary_party.sql
select app_private.tenant_table('party_groups', noun => 'party_group', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-groups');
select app_private.tenant_table('party_members', noun => 'party_member', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-members');
-- EndIncluded itineraries/itinerary_party.sql
-- Included itineraries/schedule_items.sql
select app_private.tenant_table('schedule_items', noun => 'schedule_item', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/schedule-items');
-- EndIncluded itineraries/schedule_items.sql
-- Included itineraries/travel_and_lodging.sql
select app_private.tenant_table('travel_segments', noun => 'travel_segment', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/travel-segments');
select app_private.tenant_table('lodgings', noun => 'lodging', permission => 'itineraries', reads => 'itineraries.write', path => '/api/lodgings');
select app_private.tenant_table('lodging_rooms', noun => 'lodging_room', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/lodging-rooms');
-- EndIncluded itineraries/travel_and_lodging.sql
-- Included itineraries/itinerary_publishing.sql
select app_private.publish_rows('app.itineraries');
-- EndIncluded itineraries/itinerary_publishing.sql
-- Included finance/finance_categories.sql
-- A definer trigger inserts an organization's default categories.
select app_private.tenant_table('finance_categories', noun => 'finance_category', permission => 'finance', path => '/api/finance-categories',
  definer => 'insert, update', is_exported => true, is_counted => true, known => '{kind}');
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
    counterparty, note, source, external_ref, itinerary_id),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref, itinerary_id)
  on app.finance_records to callboard_api;
grant insert (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, base_currency, status,
    payment_status, counterparty, note, source, external_ref, created_by, settlement_id, settlement_line, itinerary_id),
  update (status, deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;
comment on table app.finance_records is 'Income and expenses of the organization, planned and actual.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind gives the direction.';
comment on column app.finance_records.tax_minor is 'Tax included in the amount.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, at the exchange rate.';
comment on column app.finance_records.settlement_id is 'The settlement that has entered it; its amount, day and status are that one''s.';
comment on column app.finance_records.settlement_line is 'Which line of the settlement it is: see app.settlement_lines.';
comment on column app.finance_records.itinerary_id is 'The tour it is for; a record without one is for those that its show is on.';
comment on column app.finance_records.external_ref is 'The record''s id in the system it comes from (source); unique there.';
create or replace trigger _200_status before update on app.finance_records
  for each row when (new.status is distinct from old.status) execute function app_private.tg_finance_records__200_status();
create or replace trigger _200_of_settlement before update on app.finance_records
  for each row when (old.settlement_id is not null and
    (new.kind, new.show_id, new.booked_on, new.amount_minor, new.tax_minor, new.currency, new.exchange_rate, new.status)
      is distinct from (old.kind, old.show_id, old.booked_on, old.amount_minor, old.tax_minor, old.currency, old.exchange_rate, old.status))
  execute function app_private.tg_finance_records__200_of_settlement();
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
-- EndIncluded finance/finance_records.sql
-- Included finance/finance_record_commands.sql
-- The representation of a finance record, and its commands except for those in foundation/rows.sql. The table is in finance_records.sql.

create or replace view app.finance_record_rows with (security_invoker = true) as
  select r.organization_id, r.version, r.deleted_at, r.deleted_by, app.body(r.as_json, row_to_json(j)) as body,
    r.id, r.kind, r.category_id, r.booked_on, r.amount_minor, r.status, r.show_id, r.due_on, r.tax_minor, r.currency, trim_scale(r.exchange_rate) as exchange_rate, r.payment_status, r.counterparty, r.note, r.source, r.external_ref,
    r.base_currency, r.created_by, r.created_at, r.updated_at, j.category_name, j.show_title, j.base_amount_minor, j.settlement_id, later.itinerary_id
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  -- Including deleted shows: what was paid for them stays readable.
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  -- Not kept in as_json: adding it there would write every record again.
  cross join lateral (select r.itinerary_id) later
  cross join lateral (select c.name as category_name, s.title as show_title, r.base_amount_minor, r.settlement_id, later.*) j;
select app_private.publish_rows('app.finance_records');
create or replace function app.create_finance_record(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.finance_records := jsonb_populate_record(null::app.finance_records, body);
  answer app.answer;
begin
  n.currency := coalesce(n.currency, app.base_currency());
  insert into app.finance_records (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status,
    payment_status, counterparty, note, source, external_ref, itinerary_id)
  values (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency,
    coalesce(n.exchange_rate, case when n.currency = app.base_currency() then 1 end), coalesce(n.status, 'planned'),
    coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref, n.itinerary_id)
  returning id into n.id;
  answer := app.read_finance_record(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_finance_record(jsonb) is
  'Creates a finance record; its currency defaults to the organization''s. PT403 without finance.write, PT409 period_closed, finance_record_external_ref_taken, and for a category, show or itinerary that does not exist.';
grant execute on function app.create_finance_record(jsonb) to callboard_api;
create or replace function app.write_finance_record(record uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  old app.finance_records;
  n app.finance_records;
begin
  select * into old from app.finance_records r where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null;
  perform app.check_version(old.version, if_match);
  perform app.require('finance.write');
  -- Check again under a lock, now that the caller may take one.
  select * into old from app.finance_records r
  where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null for no key update;
  perform app.check_version(old.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.finance_records else old end, body);
  n.currency := coalesce(n.currency, old.base_currency);
  -- The rate belongs to the currency: another currency needs its own.
  if n.currency = old.base_currency then
    n.exchange_rate := coalesce((body ->> 'exchange_rate')::numeric, 1);
  elsif n.currency <> old.currency then
    n.exchange_rate := (body ->> 'exchange_rate')::numeric;
  end if;
  update app.finance_records r
  set (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
      counterparty, note, source, external_ref, itinerary_id)
    = row (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency, n.exchange_rate,
      coalesce(n.status, 'planned'), coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref, n.itinerary_id)
  where r.organization_id = (select app.current_org()) and r.id = record;
  return app.read_finance_record(record);
end
$$;
comment on function app.write_finance_record(uuid, jsonb, boolean, text) is
  'Changes a finance record: the columns in the body or, with replaces, all of them (absent ones get their defaults). Its base currency stays. PT403, PT404, PT409, PT412.';
grant execute on function app.write_finance_record(uuid, jsonb, boolean, text) to callboard_api;
-- EndIncluded finance/finance_record_commands.sql
-- Included settlements/deals.sql
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_deal_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deals.sql
-- Included settlements/ticket_tiers.sql
select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/show_costs.sql
select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/show_costs.sql
-- Included settlements/deposits.sql
select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deposits.sql
-- Included settlements/deal_bonuses.sql
select app_private.tenant_table('deal_bonuses', noun => 'deal_bonus', permission => 'finance', path => '/api/bonuses',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deal_bonuses.sql
-- Included settlements/deal_adjustments.sql
select app_private.tenant_table('deal_adjustments', noun => 'deal_adjustment', permission => 'finance', path => '/api/adjustments',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deal_adjustments.sql
-- Included settlements/settlement_books.sql
create or replace function app_private.unbook_settlement(s app.settlements) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform from app.organizations o where o.id = s.organization_id for share;
  insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, tax_minor, currency, exchange_rate, base_currency,
    status, payment_status, note, settlement_id, settlement_line, created_by, itinerary_id)
  select r.organization_id, x.kind, app_private.category_named(r.organization_id, x.kind, x.category, x.category), r.show_id,
    app_private.open_day(r.organization_id, r.booked_on), r.amount_minor, r.tax_minor, r.currency, r.exchange_rate, r.base_currency,
    'actual', 'unpaid', 'Reversal: ' || r.note, r.settlement_id, 'reversal of ' || r.settlement_line, app.current_user_id(), i.id
  from app.finance_records r
  cross join lateral (select case r.kind when 'income' then 'expense' else 'income' end as kind, case r.kind when 'income' then 'Other expenses' else 'Other income' end as category) x
  left join app.itineraries i on i.organization_id = r.organization_id and i.id = r.itinerary_id and i.deleted_at is null
  where r.organization_id = s.organization_id and r.settlement_id = s.id and r.deleted_at is null and r.status <> 'void'
    and r.settlement_line not like 'reversal of %' and app_private.open_day(r.organization_id, r.booked_on) <> r.booked_on;
  update app.finance_records r set status = 'void'
  where r.organization_id = s.organization_id and r.settlement_id = s.id and r.deleted_at is null and r.status <> 'void'
    and r.settlement_line not like 'reversal of %' and app_private.open_day(r.organization_id, r.booked_on) = r.booked_on;
end
$$;
comment on function app_private.unbook_settlement(app.settlements) is
  'Makes the records of a settlement void; what is in a closed month stays, and the opposite is entered in the next one that is open.';
alter function app_private.unbook_settlement(app.settlements) owner to callboard_definer;
-- EndIncluded settlements/settlement_books.sql
-- Included imports/import_checking.sql
create or replace function app_private.check_finance_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- In plpgsql, which plans this once for all batches of a connection.
  return query
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
      app_private.csv_uuid(g.v ->> 'itinerary_id') as itinerary_id,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source
    from given g, app.organizations o where o.id = i.organization_id
  ),
  meant as materialized (
    select r.*, k.kind, c.id as category_id, s.has_show, t.has_itinerary
    from read r
    -- Without a kind the sign decides, as in bank statements.
    cross join lateral (select coalesce(lower(r.v ->> 'kind'), case when r.amount < 0 then 'expense' else 'income' end) as kind) k
    left join app.finance_categories c on c.organization_id = i.organization_id and c.kind = k.kind
      and lower(c.name) = lower((r.v ->> 'category') collate app.people) and c.deleted_at is null
    -- LIMIT makes PostgreSQL look up each show by its key, instead of reading all shows for every batch.
    left join lateral (select true as has_show from app.shows s
      where s.organization_id = i.organization_id and s.id = r.show_id and s.deleted_at is null limit 1) s on true
    left join lateral (select true as has_itinerary from app.itineraries t
      where t.organization_id = i.organization_id and t.id = r.itinerary_id and t.deleted_at is null limit 1) t on true
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad('', m.v ? '', 'The line has more cells than the header has columns.'),
      -- When.
      app_private.missing('booked_on', m.v ->> 'booked_on', 'A date is required.'),
      app_private.bad_day('booked_on', m.v ->> 'booked_on', m.booked_on),
      app_private.bad('booked_on', exists (select from app.finance_periods f where f.organization_id = i.organization_id
        and f.month = date_trunc('month', m.booked_on)::date), 'The books of this month are closed.'),
      app_private.bad_day('due_on', m.v ->> 'due_on', m.due_on),
      -- Category.
      app_private.bad_choice('kind', m.kind, '{income,expense}', 'Must be income or expense.'),
      app_private.bad('category', m.kind in ('income', 'expense') and m.v ->> 'category' is null, 'A category is required.'),
      app_private.bad('category', m.kind in ('income', 'expense') and m.v ->> 'category' is not null and m.category_id is null,
        format('There is no %s category of this name.', m.kind)),
      app_private.bad('show_id', m.v ->> 'show_id' is not null and m.has_show is null, 'There is no such show.'),
      app_private.bad('itinerary_id', m.v ->> 'itinerary_id' is not null and m.has_itinerary is null, 'There is no such itinerary.'),
      -- Amount.
      app_private.missing('amount', coalesce(m.v ->> 'amount', m.v ->> 'amount_minor'), 'An amount is required.'),
      app_private.bad('amount', m.amount is null and coalesce(m.v ->> 'amount', m.v ->> 'amount_minor') is not null,
        format('Not a number (decimal %s expected).', i.options ->> 'decimal')),
      app_private.bad('amount', m.amount <> trunc(m.amount), format('%s has %s decimal places.', m.currency, app.minor_digits(m.currency))),
      app_private.bad('amount', abs(m.amount) > 9007199254740991, 'The amount is too large.'),
      app_private.bad('amount', m.amount < 0 and m.v ->> 'kind' is not null, 'An amount must not be negative if the column kind gives the direction.'),
      app_private.bad('tax', coalesce(m.v ->> 'tax', m.v ->> 'tax_minor') is not null
        and (m.tax is null or m.tax <> trunc(m.tax) or abs(m.tax) > abs(m.amount)), 'Not an amount of money between 0 and the amount.'),
      -- Currency.
      app_private.bad('currency', not exists (select from app.currencies c where c.code = m.currency), 'There is no such currency.'),
      app_private.bad('exchange_rate', m.v ->> 'exchange_rate' is not null and coalesce(m.rate <= 0 or m.rate > 1000000000, true), 'Not a positive number.'),
      app_private.bad('exchange_rate', m.currency <> m.base and m.v ->> 'exchange_rate' is null,
        format('An amount in %s needs its exchange rate to %s.', m.currency, m.base)),
      app_private.bad('exchange_rate', m.currency = m.base and m.rate <> 1, 'The exchange rate of a currency to itself is 1.'),
      app_private.bad('exchange_rate', app.convert_minor(least(abs(m.amount), 9007199254740991)::bigint, m.rate, m.currency, m.base) > 9007199254740991,
        format('The amount is too large in %s.', m.base)),
      -- Status.
      app_private.bad_choice('status', lower(m.v ->> 'status'), '{planned,committed,actual,void}', 'Must be planned, committed, actual or void.'),
      app_private.bad_choice('payment_status', lower(m.v ->> 'payment_status'), '{unpaid,partly_paid,paid,refunded}',
        'Must be unpaid, partly_paid, paid or refunded.'),
      -- Counterparty and source.
      app_private.bad_line('counterparty', m.v ->> 'counterparty', 200),
      app_private.bad_text('note', m.v ->> 'note', 10000),
      app_private.bad_line('source', m.source, 100),
      app_private.bad_line('external_ref', m.v ->> 'external_ref', 200)
    ], null), '{}')) as problems
    from meant m
  )
  select m.line,
    case when m.problems is null then jsonb_build_object('kind', m.kind, 'category_id', m.category_id, 'show_id', m.show_id, 'itinerary_id', m.itinerary_id,
      'booked_on', m.booked_on, 'due_on', m.due_on, 'amount_minor', abs(m.amount)::bigint, 'tax_minor', coalesce(abs(m.tax)::bigint, 0),
      'currency', m.currency, 'exchange_rate', coalesce(m.rate, 1), 'base_currency', m.base,
      'status', coalesce(lower(m.v ->> 'status'), 'actual'), 'payment_status', coalesce(lower(m.v ->> 'payment_status'), 'unpaid'),
      'counterparty', m.v ->> 'counterparty', 'note', m.v ->> 'note',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    m.problems
  from judged m;
end
$$;
comment on function app_private.check_finance_lines(app.imports, jsonb) is 'The data of lines [[line, {column: text}]] of finance records, or what is wrong with them.';
alter function app_private.check_finance_lines(app.imports, jsonb) owner to callboard_definer;
-- EndIncluded imports/import_checking.sql
-- Included imports/import_running.sql
create or replace function app.enter_lines(import uuid, after_line integer, how_many integer, out last_line integer, out entered integer, out there integer)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, '{running}');
  good integer;
begin
  if i.id is null then
    perform app.refuse(409, 'import_ended', 'It is not running.');
  end if;
  select max(x.line), count(*) into last_line, good from (
    select l.line from app.import_lines l
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line
    order by l.line limit how_many) x;
  if not app_private.may_import(i, after_line, last_line) then
    perform app.refuse(403, 'permission_denied', 'The member who requested it no longer has permission.');
  elsif (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id) then
    perform app.refuse(409, 'import_ended', 'It was cancelled.');
  end if;
  if i.resource = 'shows' then
    -- The ids are made here, because an INSERT does not say which line became which show.
    with good_lines as materialized (
      select app.uuid_v7() as id, r.*
      from app.import_lines l
      cross join lateral jsonb_to_record(l.record) as r (title text, artist text, venue_id uuid, show_on date, doors_time time, start_time time,
        curfew_time time, status text, capacity integer, tickets_sold integer, fee_minor bigint, currency text, notes text, source text, external_ref text)
      where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
      order by l.line
    ), new_shows as (
      insert into app.shows (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold,
        notes, source, external_ref, created_by)
      select i.organization_id, g.id, g.title, g.artist, g.venue_id, g.show_on, g.doors_time, g.start_time, g.curfew_time, g.status, g.capacity, g.tickets_sold,
        g.notes, g.source, g.external_ref, i.created_by
      from good_lines g
      on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing
      returning id
    ), new_fees as (
      insert into app.show_fees (organization_id, show_id, fee_minor, currency)
      select i.organization_id, n.id, g.fee_minor, g.currency from new_shows n join good_lines g on g.id = n.id where g.fee_minor is not null
    )
    select count(*) into entered from new_shows;
  else
    insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate,
      base_currency, status, payment_status, counterparty, note, source, external_ref, itinerary_id, created_by)
    select i.organization_id, r.*, i.created_by
    from app.import_lines l
    cross join lateral jsonb_to_record(l.record) as r (kind text, category_id uuid, show_id uuid, booked_on date, due_on date, amount_minor bigint,
      tax_minor bigint, currency text, exchange_rate numeric, base_currency text, status text, payment_status text, counterparty text, note text,
      source text, external_ref text, itinerary_id uuid)
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
    order by l.line
    on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing;
    get diagnostics entered = row_count;
  end if;
  there := good - entered;
  perform app_private.set_context(null, null);
end
$$;
comment on function app.enter_lines(uuid, integer, integer) is
  'Enters the next good lines of an import: returns the last of them (null: there were none), how many were entered, and how many existed already. PT403 and PT409 when it must stop, and any refusal of the table itself.';
alter function app.enter_lines(uuid, integer, integer) owner to callboard_definer;
grant execute on function app.enter_lines(uuid, integer, integer) to callboard_worker;
-- EndIncluded imports/import_running.sql
-- Included analytics/star/sources.sql
-- What the star is made of: facts (fact_…, one row each) and what describes them (dim_…), for BI tools. They are views of
-- the tables themselves, so they are always current, except fact_settlement_lines, which is a figure.
--
-- callboard_rollup owns the views and sees these columns of all organizations; each view compares the organization of its
-- rows with app.visible_org(). No notes, no addresses and no names of guests are among them.

do $$
declare
  source record;
begin
  for source in
    select * from (values
      ('app.venues', 'organization_id, id, name, city, country, time_zone, capacity, deleted_at'),
      ('app.show_fees', 'organization_id, show_id, fee_minor, currency'),
      ('app.deals', 'organization_id, show_id, kind, currency, deleted_at'),
      ('app.ticket_tiers', 'organization_id, id, show_id, name, price_minor, facility_fee_minor, allotment, sold, comps, deleted_at'),
      ('app.settlements', 'organization_id, id, show_id, number, status, inputs, result, finalized_at, reopened_at, deleted_at, booked_at, not_booked_because'),
      ('app.guests', 'organization_id, id, show_id, allotment_id, tickets, status, checked_in, checked_in_at, created_at, deleted_at'),
      ('app.guest_allotments', 'organization_id, id, name'),
      ('app.itineraries', 'organization_id, id, name, artist, starts_on, ends_on, deleted_at'),
      ('app.party_members', 'organization_id, id, itinerary_id, name, role, user_id, deleted_at'),
      ('app.memberships', 'organization_id, user_id, role, created_at, deleted_at'),
      ('app.users', 'id, display_name'),
      ('app.currencies', 'code, name, minor_digits'),
      ('app.countries', 'code, name')) as s (target, columns)
  loop
    perform app_private.set_policy(source.target::regclass, 'select_rollup', 'callboard_rollup', 'true');
    execute format('grant select (%s) on %s to callboard_rollup', source.columns, source.target);
  end loop;
end
$$;
-- EndIncluded analytics/star/sources.sql
-- Included analytics/star/dimensions.sql
select analytics_private.publish('dim_venues');
select analytics_private.publish('dim_artists');
create or replace view analytics.dim_itineraries with (security_barrier = true) as
  select i.id as itinerary_id, i.name as itinerary, i.artist, i.starts_on, i.ends_on
  from app.itineraries i
  where i.organization_id = (select app.visible_org('itineraries.write')) and i.deleted_at is null;
comment on view analytics.dim_itineraries is 'Tours, one row each, without deleted ones; those that are not published are among them. Needs itineraries.write.';
comment on column analytics.dim_itineraries.itinerary_id is 'The tour. The key; fact_finance_records and dim_party have it.';
comment on column analytics.dim_itineraries.itinerary is 'The name.';
comment on column analytics.dim_itineraries.artist is 'The artist: dim_artists, if a show has the same name.';
comment on column analytics.dim_itineraries.starts_on is 'The first day: dim_calendar.day.';
comment on column analytics.dim_itineraries.ends_on is 'The last day: dim_calendar.day.';
select analytics_private.publish('dim_itineraries');
select analytics_private.publish('dim_organization');
select analytics_private.publish('dim_finance_categories');
select analytics_private.publish('dim_currencies');
-- EndIncluded analytics/star/dimensions.sql
-- Included analytics/star/people.sql
select analytics_private.publish('dim_members');
create or replace view analytics.dim_party with (security_barrier = true) as
  select p.id as party_member_id, p.itinerary_id, i.name as itinerary, i.artist, p.name, p.role, p.user_id
  from app.party_members p
  join app.itineraries i on i.organization_id = p.organization_id and i.id = p.itinerary_id and i.deleted_at is null
  where p.organization_id = (select app.visible_org('itineraries.write')) and p.deleted_at is null;
comment on view analytics.dim_party is 'Who travels, one row for each person of an itinerary. Needs itineraries.write.';
comment on column analytics.dim_party.party_member_id is 'The person on this itinerary. The key.';
comment on column analytics.dim_party.itinerary_id is 'The itinerary: dim_itineraries.';
comment on column analytics.dim_party.itinerary is 'Its name.';
comment on column analytics.dim_party.artist is 'The artist of the itinerary: dim_artists, if a show has the same name.';
comment on column analytics.dim_party.name is 'The name of the person.';
comment on column analytics.dim_party.role is 'What they do there.';
comment on column analytics.dim_party.user_id is 'Their account: dim_members; null without one.';
select analytics_private.publish('dim_party');
-- EndIncluded analytics/star/people.sql
-- Included analytics/star/fact_finance.sql
-- The books line by line. fact_finance_records is what the figures by month, category and show are sums of.

create or replace view analytics.fact_finance_records with (security_barrier = true) as
  select r.id as finance_record_id, r.booked_on, r.due_on, r.kind, r.category_id, r.status, r.payment_status,
    r.show_id, s.show_on, s.venue_id, s.artist, r.counterparty,
    r.currency::text as currency, r.amount_minor, round(r.amount_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as amount,
    r.tax_minor, round(r.tax_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as tax, r.exchange_rate,
    r.base_currency::text as base_currency, r.base_amount_minor, round(r.base_amount_minor * power(10::numeric, -b.minor_digits), b.minor_digits) as base_amount,
    r.settlement_id, r.settlement_line, (r.created_at at time zone o.time_zone)::date as created_on, r.updated_at, r.source, r.external_ref, r.itinerary_id
  from app.finance_records r
  join app.organizations o on o.id = r.organization_id
  join app.currencies c on c.code = r.currency
  join app.currencies b on b.code = r.base_currency
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id and s.deleted_at is null
    and (select app.visible_org('shows.read')) is not null
  where r.organization_id = (select app.visible_org('finance.read')) and r.deleted_at is null;
comment on view analytics.fact_finance_records is 'Income and expenses, one row for each record, without deleted ones; void ones are among them. Needs finance.read, and shows.read for what is known of the show.';
comment on column analytics.fact_finance_records.finance_record_id is 'The record. The key.';
comment on column analytics.fact_finance_records.booked_on is 'The day of booking: dim_calendar.day.';
comment on column analytics.fact_finance_records.due_on is 'The day by which it is to be paid: dim_calendar.day; null if nobody knows.';
comment on column analytics.fact_finance_records.kind is 'income or expense.';
comment on column analytics.fact_finance_records.category_id is 'The category: dim_finance_categories.';
comment on column analytics.fact_finance_records.status is 'planned, committed, actual or void. Void ones count nowhere.';
comment on column analytics.fact_finance_records.payment_status is 'unpaid, partly_paid, paid or refunded.';
comment on column analytics.fact_finance_records.show_id is 'The show: fact_shows; null if it belongs to none. Actual records of a deleted show keep it.';
comment on column analytics.fact_finance_records.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_finance_records.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_finance_records.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_finance_records.counterparty is 'Who pays or is paid.';
comment on column analytics.fact_finance_records.currency is 'The currency of the record: dim_currencies.';
comment on column analytics.fact_finance_records.amount_minor is 'The amount with tax, in the smallest unit of the currency; never negative: kind says where it goes.';
comment on column analytics.fact_finance_records.amount is 'The amount in whole units.';
comment on column analytics.fact_finance_records.tax_minor is 'The tax in the amount, in the smallest unit.';
comment on column analytics.fact_finance_records.tax is 'The tax in whole units.';
comment on column analytics.fact_finance_records.exchange_rate is 'Units of the base currency for one unit of the currency.';
comment on column analytics.fact_finance_records.base_currency is 'The currency in which the books were kept when it was entered: dim_currencies.';
comment on column analytics.fact_finance_records.base_amount_minor is 'The amount in the base currency, in its smallest unit.';
comment on column analytics.fact_finance_records.base_amount is 'The amount in the base currency, in whole units.';
comment on column analytics.fact_finance_records.settlement_id is 'The settlement that has entered it: fact_settlements; null if somebody did.';
comment on column analytics.fact_finance_records.settlement_line is 'Which line of the settlement it is: with settlement_id the key of fact_settlement_lines.';
comment on column analytics.fact_finance_records.created_on is 'The day on which it was entered, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_finance_records.updated_at is 'When it was last changed.';
comment on column analytics.fact_finance_records.source is 'The system from which it was imported.';
comment on column analytics.fact_finance_records.external_ref is 'Its id there.';
comment on column analytics.fact_finance_records.itinerary_id is 'The tour that it names: dim_itineraries; null if it names none. Actual records of a deleted itinerary keep it.';
select analytics_private.publish('fact_finance_records');
-- EndIncluded analytics/star/fact_finance.sql
-- Lock: share row exclusive on app.finance_records: create or replace trigger _200_status before update on app.finance_records for each row when (new.st
-- Lock: share row exclusive on app.itineraries: create or replace trigger _400_finance_records after update on app.itineraries for each row when (ne
-- Lock: access exclusive on app.finance_record_rows: create or replace view app.finance_record_rows with (security_invoker = true) as select r.organizati
-- Lock: access exclusive on analytics.dim_party: create or replace view analytics.dim_party with (security_barrier = true) as select p.id as party_me
-- Lock: access exclusive on analytics.fact_finance_records: create or replace view analytics.fact_finance_records with (security_barrier = true) as select r.id
