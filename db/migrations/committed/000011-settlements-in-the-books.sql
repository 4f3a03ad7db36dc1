--! Previous: sha1:c992e8085bbb5baff7359414db35ef3e3807e6a5
--! Hash: sha1:0e267ba6aded485f8b59cafdbe8cfc3983c6a094
--! Message: settlements in the books

alter table app.settlements add column if not exists booked_at timestamptz,
  add column if not exists not_booked_because text constraint settlements_not_booked_because_known check (not_booked_because in ('booked_by_hand', 'exchange_rate_needed'));
-- The programs of before call the new one with one argument.
drop function if exists app.finalize_settlement(uuid);
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
create or replace function app_private.require_not_of_settlement(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if exists (select from app.finance_records r where r.organization_id = app.current_org() and r.id = require_not_of_settlement.id and r.settlement_id is not null) then
    perform app.refuse(409, 'finance_record_of_settlement');
  end if;
end
$$;
comment on function app_private.require_not_of_settlement(regclass, uuid) is 'The guard of finance records: PT409 finance_record_of_settlement for those that a settlement has entered.';
alter function app_private.require_not_of_settlement(regclass, uuid) owner to callboard_definer;
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
create or replace function app_private.tg_finance_records__200_of_settlement() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- The settlement itself, and the foreign key of a show that is purged.
  if current_user not in ('callboard_definer', 'callboard_owner') then
    perform app.refuse(409, 'finance_record_of_settlement');
  end if;
  return new;
end
$$;
comment on function app_private.tg_finance_records__200_of_settlement() is
  'PT409 finance_record_of_settlement for a change of what a settlement has entered; its category, whether it is paid and its notes can be changed.';
create or replace trigger _200_of_settlement before update on app.finance_records
  for each row when (old.settlement_id is not null and
    (new.kind, new.show_id, new.booked_on, new.amount_minor, new.tax_minor, new.currency, new.exchange_rate, new.status)
      is distinct from (old.kind, old.show_id, old.booked_on, old.amount_minor, old.tax_minor, old.currency, old.exchange_rate, old.status))
  execute function app_private.tg_finance_records__200_of_settlement();
-- EndIncluded finance/finance_records.sql
-- Included finance/finance_record_commands.sql
-- The representation of a finance record, and its commands except for those in foundation/rows.sql. The table is in finance_records.sql.

create or replace view app.finance_record_rows with (security_invoker = true) as
  select r.organization_id, r.version, r.deleted_at, r.deleted_by, app.body(r.as_json, row_to_json(j)) as body,
    r.id, r.kind, r.category_id, r.booked_on, r.amount_minor, r.status, r.show_id, r.due_on, r.tax_minor, r.currency, trim_scale(r.exchange_rate) as exchange_rate, r.payment_status, r.counterparty, r.note, r.source, r.external_ref,
    r.base_currency, r.created_by, r.created_at, r.updated_at, j.*
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  -- Including deleted shows: what was paid for them stays readable.
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  cross join lateral (select c.name as category_name, s.title as show_title, r.base_amount_minor, r.settlement_id) j;
select app_private.publish_rows('app.finance_records');
-- EndIncluded finance/finance_record_commands.sql
-- Included settlements/settlements.sql
-- Settlements: what was computed for a show and when, revision by revision. Only the commands below
-- write here, and the figures come from the tables, never from a request.

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
  booked_at timestamptz,
  not_booked_because text constraint settlements_not_booked_because_known check (not_booked_because in ('booked_by_hand', 'exchange_rate_needed')),
  primary key (organization_id, id),
  constraint settlements_number_once unique (organization_id, show_id, number),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint settlements_final_with_time check ((status = 'final') = (finalized_at is not null)),
  constraint settlements_reopened_when_final check (reopened_at is null or status = 'final')
);
-- Without grants: the commands below write and check these permissions.
select app_private.tenant_policies('app.settlements', reads => 'finance.read', inserts => 'finance.write', updates => 'finance.close',
  definer => 'insert, update');
grant select on app.settlements to callboard_api, callboard_definer;
grant insert (show_id, number, reason, inputs, result) on app.settlements to callboard_definer;
grant update (status, finalized_at, finalized_by, reopened_at, reopened_by, reopen_reason, booked_at, not_booked_because, deleted_at, deleted_by, deletion_id)
  on app.settlements to callboard_definer;
comment on table app.settlements is 'Revisions of the settlements of shows. The one that is final and was not reopened is in force.';
comment on column app.settlements.inputs is 'Deal, ticket tiers, costs and deposits as they were: see app.settlement_inputs.';
comment on column app.settlements.result is 'What app.settle computed from the inputs.';
comment on column app.settlements.booked_at is 'When its lines were entered in the books.';
comment on column app.settlements.not_booked_because is 'Why the lines of a final one are not in the books: see app.book_settlement.';
comment on column app.settlements.reason is 'Why there is another revision.';
select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');
create or replace trigger _200_unchanged before update on app.settlements
  for each row execute function app_private.tg_settlements__200_unchanged();
-- EndIncluded settlements/settlements.sql
-- Included settlements/settlement_books.sql
-- A final settlement is in the books: each of its lines is a finance record, once, until it is reopened. The commands that
-- finalize and reopen are in settlement_commands.sql.

create or replace function app.settlement_lines(inputs jsonb, result jsonb)
returns table (line text, kind text, category text, otherwise text, amount_minor numeric, tax_minor numeric, booked_on date, is_paid boolean, note text)
language plpgsql stable
set search_path = ''
as $$
begin
  return query
    with tiers as (
      select t.id, t.name, t.sold, t.price_minor * t.sold as gross, (t.price_minor - t.facility_fee_minor) * t.sold as taxed,
        sum((t.price_minor - t.facility_fee_minor) * t.sold) over (order by t.id) as so_far, sum((t.price_minor - t.facility_fee_minor) * t.sold) over () as whole
      from jsonb_to_recordset(inputs -> 'ticket_tiers') as t (id uuid, name text, price_minor numeric, facility_fee_minor numeric, sold numeric)
    ), lines as (
      -- The shares of the tax add up to it: each is what the tax up to its tier is more than that up to the one before.
      select 1 as part, 'tier ' || t.id as line, 'income' as kind, 'Ticket sales' as category, 'Other income' as otherwise, t.gross as amount_minor,
        case when t.whole = 0 then 0 else app.apportion((result ->> 'tax_minor')::numeric, t.so_far, t.whole)
          - app.apportion((result ->> 'tax_minor')::numeric, t.so_far - t.taxed, t.whole) end as tax_minor,
        null::date as booked_on, false as is_paid, format('%s × %s', t.sold, t.name) as note
      from tiers t
      union all
      select 2, 'facility_fees', 'expense', 'Venue hire', 'Other expenses', (result ->> 'facility_fees_minor')::numeric, 0, null, false, 'Facility fees'
      union all
      select 3, 'tax', 'expense', 'Taxes and licences', 'Other expenses', (result ->> 'tax_minor')::numeric, 0, null, false, 'Tax in the ticket prices'
      union all
      select 4, 'cost ' || c.id, 'expense', c.name, 'Other expenses',
        case when c.kind = 'per_ticket' then c.amount_minor * (result ->> 'tickets_sold')::numeric else c.amount_minor end, 0, null, false, c.name
      from jsonb_to_recordset(inputs -> 'costs') as c (id uuid, name text, kind text, amount_minor numeric)
      union all
      select 5, 'deposit ' || p.id, 'expense', 'Artist fees', 'Other expenses', p.amount_minor, 0, p.paid_on, true, coalesce(p.note, 'Deposit')
      from jsonb_to_recordset(inputs -> 'deposits') as p (id uuid, paid_on date, amount_minor numeric, note text)
      union all
      select 6, 'balance', 'expense', 'Artist fees', 'Other expenses', greatest((result ->> 'balance_minor')::numeric, 0), 0, null, false, 'Balance of the settlement'
      union all
      select 7, 'repayment', 'income', 'Other income', 'Other income', greatest(-(result ->> 'balance_minor')::numeric, 0), 0, null, false, 'Repayment by the artist')
    select l.line, l.kind, l.category, l.otherwise, l.amount_minor, l.tax_minor, l.booked_on, l.is_paid, l.note
    from lines l where l.amount_minor > 0 order by l.part, l.line;
end
$$;
comment on function app.settlement_lines(jsonb, jsonb) is
  'What a settlement enters in the books, from its inputs and its result: the name of each line, the category by its name (a cost''s is the one that is called like it) and the one if there is none of that name, the amount with the tax in it, and the day, if it is not that of the show. Income less expenses is what the promoter is left with.';
grant execute on function app.settlement_lines(jsonb, jsonb) to callboard_api, callboard_definer;
create or replace function app_private.open_day(organization uuid, wanted date) returns date
language plpgsql stable
set search_path = ''
as $$
declare
  first_day date := date_trunc('month', wanted::timestamp);
begin
  while exists (select from app.finance_periods p where p.organization_id = organization and p.month = first_day) loop
    first_day := first_day + interval '1 month';
  end loop;
  return greatest(wanted, first_day);
end
$$;
comment on function app_private.open_day(uuid, date) is 'The day, or the first one of the next month whose books are open.';
alter function app_private.open_day(uuid, date) owner to callboard_definer;
create or replace function app_private.category_named(organization uuid, of_kind text, wanted text, otherwise text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  found_id uuid;
begin
  select c.id into found_id from app.finance_categories c
  where c.organization_id = organization and c.kind = of_kind and c.deleted_at is null and lower(c.name) in (lower(wanted), lower(otherwise))
  order by lower(c.name) = lower(wanted) desc limit 1;
  if found_id is null then
    insert into app.finance_categories (organization_id, kind, name) values (organization, of_kind, otherwise) returning id into found_id;
  end if;
  return found_id;
end
$$;
comment on function app_private.category_named(uuid, text, text, text) is 'The category of that name, or else the other, which is entered if there is neither.';
alter function app_private.category_named(uuid, text, text, text) owner to callboard_definer;
create or replace function app_private.booked_by_hand(s app.settlements) returns uuid[]
language plpgsql stable
set search_path = ''
as $$
begin
  return (select array_agg(r.id) from app.finance_records r
    join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
    where r.organization_id = (s).organization_id and r.show_id = (s).show_id and r.status = 'actual' and r.deleted_at is null and r.settlement_id is null
      and exists (select from app.settlement_lines((s).inputs, (s).result) l where l.kind = c.kind and lower(l.category) = lower(c.name)));
end
$$;
comment on function app_private.booked_by_hand(app.settlements) is 'The actual records of the show, entered by somebody, in the categories of the settlement''s lines: perhaps the same money.';
alter function app_private.booked_by_hand(app.settlements) owner to callboard_definer;
create or replace function app_private.book_settlement(s app.settlements, rate numeric) returns integer
language plpgsql volatile
set search_path = ''
as $$
declare
  booked integer;
begin
  perform from app.organizations o where o.id = (s).organization_id for share;
  insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, tax_minor, currency, exchange_rate, base_currency,
    status, payment_status, note, settlement_id, settlement_line, created_by)
  select (s).organization_id, l.kind, app_private.category_named((s).organization_id, l.kind, l.category, l.otherwise), x.id,
    app_private.open_day(x.organization_id, coalesce(l.booked_on, x.show_on)), l.amount_minor, l.tax_minor, (s).inputs ->> 'currency', rate, o.currency,
    'actual', case when l.is_paid then 'paid' else 'unpaid' end,
    l.note || case when app_private.open_day(x.organization_id, coalesce(l.booked_on, x.show_on)) <> coalesce(l.booked_on, x.show_on)
      then format(' (of %s, whose month is closed)', coalesce(l.booked_on, x.show_on)) else '' end,
    (s).id, l.line, app.current_user_id()
  from app.settlement_lines((s).inputs, (s).result) l
  join app.shows x on x.organization_id = (s).organization_id and x.id = (s).show_id
  join app.organizations o on o.id = x.organization_id;
  get diagnostics booked = row_count;
  return booked;
end
$$;
comment on function app_private.book_settlement(app.settlements, numeric) is
  'Enters the lines of a settlement as actual records, on the day of the show or of the deposit, or in the next month that is open; returns how many.';
alter function app_private.book_settlement(app.settlements, numeric) owner to callboard_definer;
create or replace function app_private.enter_settlement(s app.settlements, rate numeric, existing text, must boolean) returns text
language plpgsql volatile
set search_path = ''
as $$
declare
  books constant text := (select o.currency from app.organizations o where o.id = (s).organization_id);
  entered constant uuid[] := app_private.booked_by_hand(s);
  is_foreign constant boolean := (s).inputs ->> 'currency' <> books;
  because text;
begin
  -- Nothing is guessed: neither a rate, nor whether money that somebody has entered is the same.
  if entered is not null and existing is null then
    because := 'booked_by_hand';
    if must then
      perform app.refuse(409, 'settlement_booked_by_hand', format('Actual finance records of the show in the same categories: %s. Say whether they are to be kept or made void.', cardinality(entered)));
    end if;
  elsif is_foreign and rate is null then
    because := 'exchange_rate_needed';
    if must then
      perform app.refuse(422, 'settlement_exchange_rate_needed', format('The books are kept in %s, and the deal is in %s.', books, (s).inputs ->> 'currency'));
    end if;
  end if;
  if because is null then
    if existing = 'void' then
      update app.finance_records r set status = 'void' where r.organization_id = (s).organization_id and r.id = any (entered);
    end if;
    perform app_private.book_settlement(s, case when is_foreign then rate else 1 end);
  end if;
  return because;
end
$$;
comment on function app_private.enter_settlement(app.settlements, numeric, text, boolean) is
  'Books a settlement, unless that takes an exchange rate, or a word on what somebody has entered: then it returns why not or, if it must, PT409 settlement_booked_by_hand, PT422 settlement_exchange_rate_needed.';
alter function app_private.enter_settlement(app.settlements, numeric, text, boolean) owner to callboard_definer;
create or replace function app_private.unbook_settlement(s app.settlements) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform from app.organizations o where o.id = (s).organization_id for share;
  insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, tax_minor, currency, exchange_rate, base_currency,
    status, payment_status, note, settlement_id, settlement_line, created_by)
  select r.organization_id, x.kind, app_private.category_named(r.organization_id, x.kind, x.category, x.category), r.show_id,
    app_private.open_day(r.organization_id, r.booked_on), r.amount_minor, r.tax_minor, r.currency, r.exchange_rate, r.base_currency,
    'actual', 'unpaid', 'Reversal: ' || r.note, r.settlement_id, 'reversal of ' || r.settlement_line, app.current_user_id()
  from app.finance_records r
  cross join lateral (select case r.kind when 'income' then 'expense' else 'income' end as kind, case r.kind when 'income' then 'Other expenses' else 'Other income' end as category) x
  where r.organization_id = (s).organization_id and r.settlement_id = (s).id and r.deleted_at is null and r.status <> 'void'
    and r.settlement_line not like 'reversal of %' and app_private.open_day(r.organization_id, r.booked_on) <> r.booked_on;
  update app.finance_records r set status = 'void'
  where r.organization_id = (s).organization_id and r.settlement_id = (s).id and r.deleted_at is null and r.status <> 'void'
    and r.settlement_line not like 'reversal of %' and app_private.open_day(r.organization_id, r.booked_on) = r.booked_on;
end
$$;
comment on function app_private.unbook_settlement(app.settlements) is
  'Makes the records of a settlement void; what is in a closed month stays, and the opposite is entered in the next one that is open.';
alter function app_private.unbook_settlement(app.settlements) owner to callboard_definer;
create or replace function app.reconcile_shows(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
as $$
declare
  began constant timestamptz := clock_timestamp();
  organization uuid := coalesce((behind ->> 'organization')::uuid, app_private.nobody());
  x record;
  s app.settlements;
  because text;
  matched integer := 0;
  booked integer := 0;
  left_alone integer := 0;
  failed integer := 0;
begin
  loop
    organization := (select o.id from app.organizations o where o.id > organization and o.deleted_at is null order by o.id limit 1);
    exit when organization is null;
    perform app_private.set_context(null, null, organization);
    for x in
      select n.id from app.shows n
      join (select t.show_id, sum(t.sold) as sold, sum(t.allotment) as allotment from app.ticket_tiers t
        where t.organization_id = organization and t.deleted_at is null group by 1) t on t.show_id = n.id
      where n.organization_id = organization and n.deleted_at is null and (n.tickets_sold, n.capacity) is distinct from (t.sold, t.allotment)
      order by n.id limit 1000
    loop
      begin
        matched := matched + app_private.match_tickets(organization, x.id)::integer;
      exception when others then
        failed := failed + 1;
      end;
    end loop;
    -- Final ones of before they were booked: where somebody has entered the money, or it takes an exchange rate, they are left alone.
    for s in
      select y.* from app.settlements y
      where y.organization_id = organization and y.status = 'final' and y.reopened_at is null and y.deleted_at is null and y.booked_at is null and y.not_booked_because is null
      order by y.id limit 200
    loop
      begin
        perform from app.shows n where n.organization_id = organization and n.id = s.show_id for no key update;
        select * into s from app.settlements y where y.organization_id = organization and y.id = s.id;
        continue when s.reopened_at is not null or s.booked_at is not null;
        because := app_private.enter_settlement(s, null, null, false);
        update app.settlements y set booked_at = case when because is null then statement_timestamp() end, not_booked_because = because
        where y.organization_id = organization and y.id = s.id;
        booked := booked + (because is null)::integer;
        left_alone := left_alone + (because is not null)::integer;
      exception when others then
        failed := failed + 1;
      end;
    end loop;
    if clock_timestamp() > began + interval '1 second' then
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('matched', matched, 'booked', booked, 'left_alone', left_alone, 'failed', failed,
    'next', case when organization is not null then jsonb_build_object('organization', organization) end);
end
$$;
comment on function app.reconcile_shows(jsonb) is
  'Gives shows the tickets of their tiers and books final settlements, where an earlier release did not: of some organizations. To continue, call it again with next, until that is null.';
alter function app.reconcile_shows(jsonb) owner to callboard_definer;
grant execute on function app.reconcile_shows(jsonb) to callboard_worker;
-- EndIncluded settlements/settlement_books.sql
-- Included settlements/settlement_commands.sql
create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'number', x.number, 'status', x.status, 'reason', x.reason,
      'inputs', app.inputs_in_percent(x.inputs), 'result', x.result,
      'finalized_at', x.finalized_at, 'finalized_by', x.finalized_by,
      'reopened_at', x.reopened_at, 'reopened_by', x.reopened_by, 'reopen_reason', x.reopen_reason,
      'booked_at', x.booked_at, 'not_booked_because', x.not_booked_because,
      'bookings', (select coalesce(json_agg(json_build_object('finance_record_id', r.id, 'line', r.settlement_line, 'kind', r.kind, 'category_id', r.category_id,
          'amount_minor', r.amount_minor, 'currency', r.currency, 'booked_on', r.booked_on, 'status', r.status) order by r.id), '[]')
        from app.finance_records r where r.organization_id = x.organization_id and r.settlement_id = x.id and r.deleted_at is null),
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.settlements x
  where x.deleted_at is null;
comment on view app.settlement_list is 'The organization''s undeleted settlements, with their JSON.';
grant select on app.settlement_list to callboard_api, callboard_definer;
create or replace function app.finalize_settlement(settlement uuid, rate numeric default null, existing text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
  show_status text;
  because text;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  show_status := app_private.lock_show(present.show_id);
  -- Check again under the lock: nobody else can finalize it now.
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.status = 'final' then
    perform app.refuse(409, 'settlement_final');
  elsif show_status <> 'played' then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif app.inputs_in_percent(present.inputs) is distinct from app.settlement_inputs(present.show_id) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  because := app_private.enter_settlement(present, rate, existing, false);
  update app.settlements x set (status, finalized_at, finalized_by, booked_at, not_booked_because)
    = row ('final', statement_timestamp(), app.current_user_id(), case when because is null then statement_timestamp() end, because)
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  update app.shows s set status = 'settled' where s.organization_id = (select app.current_org()) and s.id = present.show_id;
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid, numeric, text) is
  'Makes a revision final and its show settled, and enters its lines in the books as app.book_settlement does, unless that has to be told more: then not_booked_because says what. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated, period_closed.';
alter function app.finalize_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.finalize_settlement(uuid, numeric, text) to callboard_api;
create or replace function app.book_settlement(settlement uuid, rate numeric default null, existing text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  perform app_private.lock_show(present.show_id);
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.status <> 'final' or present.reopened_at is not null then
    perform app.refuse(409, 'settlement_not_in_force');
  elsif present.booked_at is null then
    perform app_private.enter_settlement(present, rate, existing, true);
    update app.settlements x set (booked_at, not_booked_because) = row (statement_timestamp(), null::text)
    where x.organization_id = (select app.current_org()) and x.id = settlement;
  end if;
  return app.read_settlement(settlement);
end
$$;
comment on function app.book_settlement(uuid, numeric, text) is
  'Enters the lines of a final settlement in the books, if they are not there: at an exchange rate, if the deal is in another currency; actual records that somebody has entered in the same categories are kept or made void (existing). PT403 without finance.close, PT404, PT409 settlement_not_in_force, settlement_booked_by_hand, period_closed, PT422 settlement_exchange_rate_needed.';
alter function app.book_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.book_settlement(uuid, numeric, text) to callboard_api;
create or replace function app.reopen_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  final app.settlements;
begin
  perform app.require_show(show);
  perform app.require('finance.close');
  if app_private.lock_show(show) <> 'settled' then
    perform app.refuse(409, 'show_not_settled');
  end if;
  update app.settlements x set (reopened_at, reopened_by, reopen_reason) = row (statement_timestamp(), app.current_user_id(), body ->> 'reason')
  where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null
  returning * into final;
  if final.id is not null then
    perform app_private.unbook_settlement(final);
  else
    -- It was set to settled without a deal: then only the log keeps the reason.
    perform app_private.log_event(app.current_org(), 'show.reopen', 'show', show, jsonb_build_object('new', jsonb_build_object('reason', body ->> 'reason')));
  end if;
  update app.shows s set status = 'played' where s.organization_id = (select app.current_org()) and s.id = show;
  return app.read_show(show);
end
$$;
comment on function app.reopen_settlement(uuid, jsonb) is
  'Sets a settled show back to played, with a reason, which is recorded in the settlement that was final, and takes its lines out of the books. PT403 without finance.close, PT404, PT409 show_not_settled.';
alter function app.reopen_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.reopen_settlement(uuid, jsonb) to callboard_api;
-- EndIncluded settlements/settlement_commands.sql
-- Lock: access exclusive on app.settlements: alter table app.settlements add column if not exists booked_at timestamptz, add column if not exists
-- Lock: share row exclusive on app.finance_records: create or replace trigger _200_of_settlement before update on app.finance_records for each row when 
-- Lock: access exclusive on app.finance_record_rows: create or replace view app.finance_record_rows with (security_invoker = true) as select r.organizati
-- Lock: share row exclusive on app.settlements: create or replace trigger _200_unchanged before update on app.settlements for each row execute funct
-- Lock: access exclusive on app.settlement_list: create or replace view app.settlement_list with (security_invoker = true) as select x.organization_i
