--! Previous: sha1:a12c7a6f8be74933feacc50416e78b20ec5fe6a8
--! Hash: sha1:cf8c7d83909b04bc5ef830bad1677fee168f9cef
--! Message: Expenses that members have paid

alter table app.finance_records add column if not exists expense_id uuid;
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
-- Included finance/finance_record_commands.sql
-- The representation of a finance record, and its commands except for those in foundation/rows.sql. The table is in finance_records.sql.

create or replace view app.finance_record_rows with (security_invoker = true) as
  select r.organization_id, r.version, r.deleted_at, r.deleted_by, app.body(r.as_json, row_to_json(j)) as body,
    r.id, r.kind, r.category_id, r.booked_on, r.amount_minor, r.status, r.show_id, r.due_on, r.tax_minor, r.currency, trim_scale(r.exchange_rate) as exchange_rate, r.payment_status, r.counterparty, r.note, r.source, r.external_ref,
    r.base_currency, r.created_by, r.created_at, r.updated_at, j.category_name, j.show_title, j.base_amount_minor, j.settlement_id, later.itinerary_id, later.expense_id
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  -- Including deleted shows: what was paid for them stays readable.
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  -- Not kept in as_json: adding them there would write every record again.
  cross join lateral (select r.itinerary_id, r.expense_id) later
  cross join lateral (select c.name as category_name, s.title as show_title, r.base_amount_minor, r.settlement_id, later.*) j;
select app_private.publish_rows('app.finance_records');
-- EndIncluded finance/finance_record_commands.sql
-- Included finance/expenses.sql
-- Expenses that members have paid themselves: entered, submitted, and approved or rejected by somebody else. Approving enters
-- them in the books. Members see their own; holders of finance.read see all. Receipts are in expense_receipts.sql.

create table if not exists app.expenses (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  -- As they were called when they entered it.
  person text collate app.people not null,
  itinerary_id uuid,
  category_id uuid not null,
  spent_on date not null constraint expenses_spent_on_range check (app.is_day(spent_on)),
  amount_minor bigint not null constraint expenses_amount_range check (app.is_money(amount_minor)),
  currency char(3) not null default app.base_currency() constraint expenses_currency_exists references app.currencies (code),
  purpose text collate app.people not null constraint expenses_purpose_length check (app.is_line(purpose, 200)),
  status text not null default 'draft' constraint expenses_status_known check (status in ('draft', 'submitted', 'approved', 'rejected')),
  submitted_at timestamptz,
  decided_by uuid references app.users (id),
  decided_at timestamptz,
  reason text constraint expenses_reason_length check (length(reason) between 1 and 1000),
  finance_record_id uuid,
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  -- What somebody has paid outlives the tour it was for.
  constraint expenses_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete set null (itinerary_id),
  constraint expenses_category_exists foreign key (organization_id, category_id)
    references app.finance_categories (organization_id, id),
  constraint expenses_finance_record_exists foreign key (organization_id, finance_record_id)
    references app.finance_records (organization_id, id) on delete set null (finance_record_id),
  constraint expenses_rejected_with_reason check ((status = 'rejected') = (reason is not null))
);
create index if not exists expenses_organization_id_spent_on_idx on app.expenses (organization_id, spent_on, id) where deleted_at is null;
create index if not exists expenses_created_by_idx on app.expenses (organization_id, created_by, spent_on, id);
create index if not exists expenses_category_id_idx on app.expenses (organization_id, category_id);
create index if not exists expenses_itinerary_id_idx on app.expenses (organization_id, itinerary_id) where itinerary_id is not null;
create index if not exists expenses_finance_record_id_idx on app.expenses (organization_id, finance_record_id) where finance_record_id is not null;
-- Without write grants: the commands check whose it is, and how far. Members need no permission to see their own.
select app_private.tenant_policies('app.expenses', reads => 'finance.read', definer => 'insert, update');
select app_private.set_policy('app.expenses', 'select_self', 'callboard_api',
  '(organization_id = (select app.current_org())) and (created_by = (select app.current_user_id()))');
grant select on app.expenses to callboard_api, callboard_definer;
grant insert (person, itinerary_id, category_id, spent_on, amount_minor, currency, purpose),
  update (itinerary_id, category_id, spent_on, amount_minor, currency, purpose, status, submitted_at, decided_by, decided_at, reason, finance_record_id)
  on app.expenses to callboard_definer;
select app_private.check_parents('app.expenses');
comment on table app.expenses is 'What members have paid themselves, and what became of it.';
comment on column app.expenses.person is 'Who paid: their name when they entered it.';
comment on column app.expenses.status is 'draft, submitted, approved or rejected; only a draft and what was rejected can be changed.';
comment on column app.expenses.decided_by is 'Who has approved or rejected it.';
comment on column app.expenses.reason is 'Why it was rejected.';
comment on column app.expenses.finance_record_id is 'The record that approving it has entered.';
select app_private.log_changes('app.expenses', 'expense', '{"status": "change_status"}');
create or replace function app_private.tg_expenses__300_category() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- That it is not deleted is checked by _300_parents, and its kind never changes.
  if exists (select from app.finance_categories c
      where c.organization_id = new.organization_id and c.id = new.category_id and c.kind <> 'expense') then
    perform app.refuse(409, 'expenses_category_exists', 'There is no such category of expenses.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_expenses__300_category() is 'PT409 expenses_category_exists for a category of income.';
alter function app_private.tg_expenses__300_category() owner to callboard_definer;
create or replace trigger _300_category before insert or update of category_id on app.expenses
  for each row execute function app_private.tg_expenses__300_category();
-- EndIncluded finance/expenses.sql
-- Included finance/expense_receipts.sql
-- Receipts of expenses: one file each, kept in the database. How much an organization may store is in imports/import_room.sql.

create table if not exists app.expense_receipts (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  expense_id uuid not null,
  content_type text not null constraint expense_receipts_type_known check (content_type in ('application/pdf', 'image/jpeg', 'image/png')),
  bytes integer not null constraint expense_receipts_size check (bytes between 1 and 5242880),
  sha256 text not null,
  content bytea not null,
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  primary key (organization_id, expense_id),
  constraint expense_receipts_expense_exists foreign key (organization_id, expense_id)
    references app.expenses (organization_id, id) on delete cascade
);
-- As the expense, whose person uploads it.
select app_private.tenant_policies('app.expense_receipts', reads => 'finance.read', definer => 'insert, update, delete');
select app_private.set_policy('app.expense_receipts', 'select_self', 'callboard_api',
  '(organization_id = (select app.current_org())) and (created_by = (select app.current_user_id()))');
grant select on app.expense_receipts to callboard_api, callboard_definer;
grant insert (expense_id, content_type, bytes, sha256, content), update (content_type, bytes, sha256, content, created_at), delete
  on app.expense_receipts to callboard_definer;
-- EXPLAIN would reveal what files begin with.
alter table app.expense_receipts alter column content set statistics 0;
comment on table app.expense_receipts is 'The receipts of expenses.';
comment on column app.expense_receipts.content_type is 'What the file is by its first bytes, whatever it is called.';
select app_private.log_changes('app.expense_receipts', 'expense_receipt', id_column => 'expense_id', leave_out => '{sha256}');
create or replace function app_private.type_of_file(content bytea) returns text
language sql immutable parallel safe
return case
  when substr(content, 1, 5) = '\x255044462d' then 'application/pdf'
  when substr(content, 1, 3) = '\xffd8ff' then 'image/jpeg'
  when substr(content, 1, 8) = '\x89504e470d0a1a0a' then 'image/png'
end;
comment on function app_private.type_of_file(bytea) is 'The media type of a PDF, JPEG or PNG by its first bytes; NULL for anything else.';
alter function app_private.type_of_file(bytea) owner to callboard_definer;
create or replace function app_private.receipt_bytes(organization uuid) returns bigint
language sql stable
set search_path = ''
begin atomic
  select coalesce(sum(r.bytes), 0) from app.expense_receipts r where r.organization_id = organization;
end;
comment on function app_private.receipt_bytes(uuid) is 'How much the receipts of an organization take.';
alter function app_private.receipt_bytes(uuid) owner to callboard_definer;
create or replace function app_private.tg_expense_receipts__900_room() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.lock_storing(new.organization_id);
  if app_private.receipt_bytes(new.organization_id) + app_private.import_bytes(new.organization_id) > 524288000 then
    perform app.refuse(409, 'receipt_storage_full');
  end if;
  return null;
end
$$;
comment on function app_private.tg_expense_receipts__900_room() is
  'Asks for room when the transaction ends, one at a time, together with the files of imports. PT409 receipt_storage_full.';
alter function app_private.tg_expense_receipts__900_room() owner to callboard_definer;
do $$
begin
  if not exists (select from pg_trigger t where t.tgrelid = 'app.expense_receipts'::regclass and t.tgname = '_900_room') then
    create constraint trigger _900_room after insert or update on app.expense_receipts deferrable initially deferred
      for each row execute function app_private.tg_expense_receipts__900_room();
  end if;
end
$$;
create or replace function app.expense_category_name(category uuid) returns text
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select c.name from app.finance_categories c where c.organization_id = app.current_org() and c.id = category and c.kind = 'expense';
end;
comment on function app.expense_category_name(uuid) is 'The name of a category of expenses, for those who enter their own and do not see the books.';
alter function app.expense_category_name(uuid) owner to callboard_definer;
grant execute on function app.expense_category_name(uuid) to callboard_api, callboard_definer;
create or replace view app.expense_rows with (security_invoker = true) as
  select e.organization_id, e.version, e.deleted_at, e.deleted_by, row_to_json(j)::text as body, j.*
  from app.expenses e
  left join app.expense_receipts r on r.organization_id = e.organization_id and r.expense_id = e.id
  cross join lateral (
    select e.id, e.person, e.itinerary_id, e.category_id, app.expense_category_name(e.category_id) collate app.people as category_name, e.spent_on, e.amount_minor, e.currency::text as currency, e.purpose,
      e.status, e.submitted_at, e.decided_by, e.decided_at, e.status = 'approved' and e.decided_by = e.created_by as is_self_approved, e.reason,
      e.finance_record_id, case when r.bytes is not null then json_build_object('content_type', r.content_type, 'bytes', r.bytes, 'sha256', r.sha256) end as receipt,
      e.created_by, e.created_at, e.updated_at) j;
comment on view app.expense_rows is 'Expenses with the fields of a response, including those in the bin.';
grant select on app.expense_rows to callboard_api, callboard_definer;
-- EndIncluded finance/expense_receipts.sql
-- Included finance/expense_commands.sql
-- What members do with their own expenses. Nobody else changes them; what somebody with finance.write decides is in
-- expense_decisions.sql.

create or replace function app_private.lock_expense(expense uuid, if_match text) returns app.expenses
language plpgsql volatile
set search_path = ''
as $$
declare
  e app.expenses;
begin
  select * into e from app.expenses x
  where x.organization_id = app.current_org() and x.id = expense and x.deleted_at is null
    and (x.created_by = app.current_user_id() or app.org_if_reading('finance.read') is not null)
  for no key update;
  perform app.check_version(e.version, if_match);
  return e;
end
$$;
comment on function app_private.lock_expense(uuid, text) is 'An expense that the member sees, locked. PT404, PT412.';
alter function app_private.lock_expense(uuid, text) owner to callboard_definer;
create or replace function app_private.own_expense(expense uuid, if_match text) returns app.expenses
language plpgsql volatile
set search_path = ''
as $$
declare
  e constant app.expenses := app_private.lock_expense(expense, if_match);
begin
  if e.created_by <> app.current_user_id() then
    perform app.refuse(403, 'permission_denied', 'Only who has entered it changes it.');
  end if;
  perform app.require('itineraries.read');
  return e;
end
$$;
comment on function app_private.own_expense(uuid, text) is 'One of the member''s own expenses, locked. PT403 for somebody else''s, PT404, PT412.';
alter function app_private.own_expense(uuid, text) owner to callboard_definer;
create or replace function app_private.open_expense(expense uuid, if_match text) returns app.expenses
language plpgsql volatile
set search_path = ''
as $$
declare
  e constant app.expenses := app_private.own_expense(expense, if_match);
begin
  if e.status not in ('draft', 'rejected') then
    perform app.refuse(409, 'expense_not_open', format('It is %s.', e.status));
  end if;
  return e;
end
$$;
comment on function app_private.open_expense(uuid, text) is 'The same, which can be changed: a draft, or rejected. PT409 expense_not_open.';
alter function app_private.open_expense(uuid, text) owner to callboard_definer;
create or replace function app.read_expense(expense uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, e.body::json, app.etag(e.version), '/api/expenses/' || e.id into answer
  from app.expense_rows e
  where e.organization_id = (select app.current_org()) and e.id = expense and e.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_expense(uuid) is 'An expense that the member sees. PT404.';
grant execute on function app.read_expense(uuid) to callboard_api, callboard_definer;
create or replace function app.create_expense(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  n app.expenses := jsonb_populate_record(null::app.expenses, body);
  answer app.answer;
begin
  perform app.require('itineraries.read');
  -- A superadmin is no member.
  if not exists (select from app.memberships m where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only members have expenses.');
  end if;
  insert into app.expenses (person, itinerary_id, category_id, spent_on, amount_minor, currency, purpose)
  select u.display_name, n.itinerary_id, n.category_id, n.spent_on, n.amount_minor, coalesce(n.currency, o.currency), n.purpose
  from app.users u, app.organizations o where u.id = app.current_user_id() and o.id = app.current_org()
  returning id into n.id;
  answer := app.read_expense(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_expense(jsonb) is 'Enters an expense of the member''s own, as a draft. PT403, PT409 for a category or itinerary that does not exist, PT422.';
alter function app.create_expense(jsonb) owner to callboard_definer;
grant execute on function app.create_expense(jsonb) to callboard_api;
create or replace function app.write_expense(expense uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  n constant app.expenses := jsonb_populate_record(app_private.open_expense(expense, if_match), body);
begin
  update app.expenses e
  set (itinerary_id, category_id, spent_on, amount_minor, currency, purpose)
    = row (n.itinerary_id, n.category_id, n.spent_on, n.amount_minor, n.currency, n.purpose)
  where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.write_expense(uuid, jsonb, text) is 'Changes an expense of the member''s own: the columns in the body. PT403, PT404, PT409, PT412, PT422.';
alter function app.write_expense(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.write_expense(uuid, jsonb, text) to callboard_api;
create or replace function app.delete_expense(expense uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if (app_private.own_expense(expense, if_match)).status = 'approved' then
    perform app.refuse(409, 'expense_not_open', 'It is approved.');
  end if;
  perform app_private.soft_delete('app.expenses', 'organization_id = app.current_org() and id = $1', expense);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.delete_expense(uuid, text) is 'Deletes an expense of the member''s own that is not approved. PT403, PT404, PT409 expense_not_open, PT412.';
alter function app.delete_expense(uuid, text) owner to callboard_definer;
grant execute on function app.delete_expense(uuid, text) to callboard_api;
create or replace function app.restore_expense(expense uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.expenses;
begin
  select * into e from app.expenses x
  where x.organization_id = app.current_org() and x.id = expense and x.deleted_at is not null and x.created_by = app.current_user_id()
  for no key update;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('itineraries.read');
  if exists (select from app.finance_categories c where c.organization_id = e.organization_id and c.id = e.category_id and c.deleted_at is not null) then
    perform app.refuse(409, 'parent_deleted', 'Its category is deleted.');
  end if;
  perform app_private.restore_deletion(e.deletion_id);
  return app.read_expense(expense);
end
$$;
comment on function app.restore_expense(uuid) is 'Restores an expense of the member''s own, as it was. PT403, PT404, PT409 parent_deleted.';
alter function app.restore_expense(uuid) owner to callboard_definer;
grant execute on function app.restore_expense(uuid) to callboard_api;
create or replace function app.submit_expense(expense uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.open_expense(expense, if_match);
  update app.expenses e set status = 'submitted', submitted_at = statement_timestamp(), decided_by = null, decided_at = null, reason = null
  where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.submit_expense(uuid, text) is 'Asks for an expense of the member''s own to be paid back. PT403, PT404, PT409 expense_not_open, PT412.';
alter function app.submit_expense(uuid, text) owner to callboard_definer;
grant execute on function app.submit_expense(uuid, text) to callboard_api;
create or replace function app.put_receipt(expense uuid, content bytea, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.open_expense(expense, if_match);
  if app_private.type_of_file(content) is null then
    perform app.refuse(422, 'expense_receipts_type_known');
  end if;
  insert into app.expense_receipts as r (expense_id, content_type, bytes, sha256, content)
  values (expense, app_private.type_of_file(content), length(content), encode(sha256(content), 'hex'), content)
  on conflict (organization_id, expense_id) do update
  set content_type = excluded.content_type, bytes = excluded.bytes, sha256 = excluded.sha256, content = excluded.content, created_at = now();
  -- Another receipt is another version, so that nobody approves one they have not seen.
  update app.expenses e set purpose = e.purpose where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.put_receipt(uuid, bytea, text) is 'Stores the receipt of an expense of the member''s own, in place of the one before. PT403, PT404, PT409 expense_not_open, PT412, PT422 expense_receipts_type_known.';
alter function app.put_receipt(uuid, bytea, text) owner to callboard_definer;
grant execute on function app.put_receipt(uuid, bytea, text) to callboard_api;
create or replace function app.delete_receipt(expense uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.open_expense(expense, if_match);
  delete from app.expense_receipts r where r.organization_id = app.current_org() and r.expense_id = expense;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  update app.expenses e set purpose = e.purpose where e.organization_id = app.current_org() and e.id = expense;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.delete_receipt(uuid, text) is 'Removes the receipt of an expense of the member''s own, for good. PT403, PT404, PT409 expense_not_open, PT412.';
alter function app.delete_receipt(uuid, text) owner to callboard_definer;
grant execute on function app.delete_receipt(uuid, text) to callboard_api;
create or replace function app.read_receipt(expense uuid, out content_type text, out content bytea)
language plpgsql stable
set search_path = ''
as $$
begin
  select r.content_type, r.content into content_type, content
  from app.expense_receipts r
  join app.expenses e on e.organization_id = r.organization_id and e.id = r.expense_id and e.deleted_at is null
  where r.organization_id = (select app.current_org()) and r.expense_id = expense;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
end
$$;
comment on function app.read_receipt(uuid) is 'The receipt of an expense that the member sees, and what it is. PT404.';
grant execute on function app.read_receipt(uuid) to callboard_api;
create or replace function app.list_expense_categories() returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization constant uuid := app.require('itineraries.read');
begin
  return (200, json_build_object('items', (
    select coalesce(json_agg(json_build_object('id', c.id, 'name', c.name) order by c.name, c.id), '[]') from app.finance_categories c
    where c.organization_id = organization and c.kind = 'expense' and c.deleted_at is null), 'next_cursor', null), null, null)::app.answer;
end
$$;
comment on function app.list_expense_categories() is 'The categories that an expense may have, by name, for those who enter their own and do not see the books. PT403.';
alter function app.list_expense_categories() owner to callboard_definer;
grant execute on function app.list_expense_categories() to callboard_api;
-- EndIncluded finance/expense_commands.sql
-- Included finance/expense_decisions.sql
-- Approving and rejecting expenses. Nobody decides about their own, unless nobody else could.

create or replace function app_private.expense_to_decide(expense uuid, if_match text) returns app.expenses
language plpgsql volatile
set search_path = ''
as $$
declare
  e constant app.expenses := app_private.lock_expense(expense, if_match);
begin
  perform app.require('finance.write');
  if e.status <> 'submitted' then
    perform app.refuse(409, 'expense_not_submitted', format('It is %s.', e.status));
  end if;
  if e.created_by = app.current_user_id() and exists (select from app.memberships m
      where m.organization_id = e.organization_id and m.user_id <> e.created_by and m.deleted_at is null
        and 'finance.write' = any (app.permissions_of(m.organization_id, m.user_id))) then
    perform app.refuse(403, 'expense_is_own');
  end if;
  return e;
end
$$;
comment on function app_private.expense_to_decide(uuid, text) is
  'A submitted expense, locked, for somebody else who holds finance.write or, if nobody else does, for whose it is. PT403, PT404, PT409 expense_not_submitted, PT412.';
alter function app_private.expense_to_decide(uuid, text) owner to callboard_definer;
create or replace function app.approve_expense(expense uuid, rate numeric default null, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e constant app.expenses := app_private.expense_to_decide(expense, if_match);
  books constant text := (select o.currency from app.organizations o where o.id = e.organization_id for share);
  booked_on constant date := app_private.open_day(e.organization_id, e.spent_on);
  record uuid;
begin
  if e.currency <> books and rate is null then
    perform app.refuse(422, 'expense_exchange_rate_needed', format('The books are kept in %s, and the expense is in %s.', books, e.currency));
  end if;
  insert into app.finance_records (organization_id, kind, category_id, itinerary_id, booked_on, amount_minor, tax_minor, currency, exchange_rate,
    base_currency, status, payment_status, counterparty, note, expense_id, created_by)
  select e.organization_id, 'expense', e.category_id,
    (select i.id from app.itineraries i where i.organization_id = e.organization_id and i.id = e.itinerary_id and i.deleted_at is null),
    booked_on, e.amount_minor, 0, e.currency, case when e.currency = books then 1 else rate end, books, 'actual', 'unpaid', e.person,
    e.purpose || case when booked_on <> e.spent_on then format(' (of %s, whose month is closed)', e.spent_on) else '' end, e.id, app.current_user_id()
  returning id into record;
  update app.expenses x set status = 'approved', decided_by = app.current_user_id(), decided_at = statement_timestamp(), finance_record_id = record
  where x.organization_id = e.organization_id and x.id = e.id;
  return app.read_expense(expense);
end
$$;
comment on function app.approve_expense(uuid, numeric, text) is
  'Approves a submitted expense and enters it in the books, on its day or the first one of the next month that is open. PT403 expense_is_own, PT404, PT409 expense_not_submitted, PT412, PT422 expense_exchange_rate_needed.';
alter function app.approve_expense(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.approve_expense(uuid, numeric, text) to callboard_api;
create or replace function app.reject_expense(expense uuid, because text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.expense_to_decide(expense, if_match);
  update app.expenses e set status = 'rejected', decided_by = app.current_user_id(), decided_at = statement_timestamp(), reason = because
  where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.reject_expense(uuid, text, text) is
  'Rejects a submitted expense, with a reason; whose it is may change it and submit it again. PT403 expense_is_own, PT404, PT409 expense_not_submitted, PT412.';
alter function app.reject_expense(uuid, text, text) owner to callboard_definer;
grant execute on function app.reject_expense(uuid, text, text) to callboard_api;
-- EndIncluded finance/expense_decisions.sql
-- Included imports/import_room.sql
select app_private.definer_table('app_private.storing', 'select, insert, update, delete');
create or replace function app_private.import_bytes(organization uuid) returns bigint
language sql stable
set search_path = ''
begin atomic
  -- Of one that has ended, its bad lines are left: about 300 bytes each.
  select coalesce(sum(case when i.status in ('done', 'failed', 'cancelled') then i.bad_lines * 300::bigint else i.bytes end), 0)
  from app.imports i where i.organization_id = organization;
end;
comment on function app_private.import_bytes(uuid) is 'How much the imports of an organization take.';
alter function app_private.import_bytes(uuid) owner to callboard_definer;
create or replace function app_private.require_room(organization uuid, import uuid, file_bytes bigint) returns void
language plpgsql stable
set search_path = ''
as $$
declare
  unfinished bigint;
  stored bigint;
begin
  select count(*) filter (where i.status not in ('done', 'failed', 'cancelled')),
    -- Of one that has ended, its bad lines are left: about 300 bytes each.
    coalesce(sum(case when i.status in ('done', 'failed', 'cancelled') then i.bad_lines * 300::bigint else i.bytes end), 0) into unfinished, stored
  from app.imports i where i.organization_id = organization and i.id <> import;
  stored := stored + app_private.receipt_bytes(organization);
  if unfinished >= 20 then
    perform app.refuse(409, 'too_many_imports');
  elsif unfinished > 0 and stored + file_bytes > 524288000 or stored > 524288000 then
    perform app.refuse(409, 'import_storage_full');
  end if;
end
$$;
comment on function app_private.require_room(uuid, uuid, bigint) is 'PT409 too_many_imports, import_storage_full, if the other imports of the organization, and its receipts, leave no room for this one.';
alter function app_private.require_room(uuid, uuid, bigint) owner to callboard_definer;
do $$
begin
  if not exists (select from pg_trigger t where t.tgrelid = 'app.imports'::regclass and t.tgname = '_900_room') then
    create constraint trigger _900_room after insert on app.imports deferrable initially deferred
      for each row execute function app_private.tg_imports__900_room();
  end if;
end
$$;
-- EndIncluded imports/import_room.sql
-- Lock: access exclusive on app.finance_records: alter table app.finance_records add column if not exists expense_id uuid
-- Lock: share row exclusive on app.finance_records: create or replace trigger _200_status before update on app.finance_records for each row when (new.st
-- Lock: access exclusive on app.finance_record_rows: create or replace view app.finance_record_rows with (security_invoker = true) as select r.organizati
-- Lock: share row exclusive on app.currencies: create table if not exists app.expenses ( organization_id uuid not null default app.current_org() re
-- Lock: share row exclusive on app.finance_categories: create table if not exists app.expenses ( organization_id uuid not null default app.current_org() re
-- Lock: share row exclusive on app.itineraries: create table if not exists app.expenses ( organization_id uuid not null default app.current_org() re
-- Lock: share row exclusive on app.organizations: create table if not exists app.expenses ( organization_id uuid not null default app.current_org() re
-- Lock: share row exclusive on app.users: create table if not exists app.expenses ( organization_id uuid not null default app.current_org() re
