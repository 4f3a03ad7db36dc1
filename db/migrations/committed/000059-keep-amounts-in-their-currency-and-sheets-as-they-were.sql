--! Previous: sha1:c6e5295c9a9272a7ee80b74f6cea5e4ae3f1d13a
--! Hash: sha1:85c87ae7a54a9b738acfbe5b6aa666d839cc09e1
--! Message: Keep amounts in their currency, and sheets as they were

-- Enter migration here

alter table app.settlements add column if not exists show_as_recorded jsonb;
-- Included foundation/rows.sql
create or replace function app.keep_denomination(target regclass, present jsonb, currency text, body jsonb) returns void
language plpgsql stable
set search_path = ''
as $$
declare
  unsaid text;
begin
  if coalesce(currency = present ->> 'currency', true) then
    return;
  end if;
  select string_agg(a.attname, ', ' order by a.attnum) into unsaid
  from pg_catalog.pg_attribute a
  where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and not body ? a.attname
    and (a.attname ~ '_minor$' and (present -> a.attname) not in ('0', 'null')
      -- The parts of a template.
      or jsonb_path_exists(present -> a.attname, '$.** ? (@.type() == "object").keyvalue() ? (@.key like_regex "_minor$" && @.value != 0)'));
  if unsaid is not null then
    perform app.refuse(422, 'currency_needs_amounts', format('Say what %s is in %s; it is in %s now.', unsaid, currency, present ->> 'currency'));
  end if;
end
$$;
comment on function app.keep_denomination(regclass, jsonb, text, jsonb) is
  'PT422 currency_needs_amounts if a row of the table, as it is, would be given another currency by a body that leaves out amounts (columns that end in _minor, other than zero): the same number would be another amount.';
grant execute on function app.keep_denomination(regclass, jsonb, text, jsonb) to callboard_api, callboard_definer;
create or replace function app.write_row(table_name text, id uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  target regclass := app.check_row(table_name, id, 'update', if_match);
  present integer;
  before jsonb;
  changes text := (
    select string_agg(format(case when body ? c.name then '%1$I = b.%1$I' else '%1$I = default' end, c.name), ', ')
    from (
      select jsonb_object_keys(body) as name
      union
      select a.attname from pg_catalog.pg_attribute a
      where replaces and a.attrelid = target and a.attnum > 0 and not a.attisdropped and has_column_privilege(a.attrelid, a.attnum, 'update')) c);
begin
  if changes is null then
    perform app.refuse(400, 'invalid_value', 'The body is empty.');
  end if;
  -- Check again under a lock, now that the caller may take one.
  execute format('select t.version from %s t where t.organization_id = (select app.current_org()) and t.id = $1 and t.deleted_at is null for no key update', target)
  into present using id;
  perform app.check_version(present, if_match);
  if body ? 'currency' and not replaces then
    execute format('select to_jsonb(t) from %s t where t.organization_id = (select app.current_org()) and t.id = $1', target) into before using id;
  end if;
  execute format('update %1$s t set %2$s from jsonb_populate_record(null::%1$s, $1) b where t.organization_id = (select app.current_org()) and t.id = $2', target, changes)
  using body, id;
  -- Afterwards, since a currency that cannot be changed at all is refused for that.
  perform app.keep_denomination(target, before, body ->> 'currency', body);
  return app.read_row(table_name, id);
end
$$;
comment on function app.write_row(text, uuid, jsonb, boolean, text) is
  'Changes a row: the columns in the body or, with replaces, every writable column (those absent get their defaults). PT403, PT404, PT409, PT412, PT422, such as currency_needs_amounts.';
grant execute on function app.write_row(text, uuid, jsonb, boolean, text) to callboard_api;
-- EndIncluded foundation/rows.sql
-- Included shows/show_fees.sql
-- A fee has neither marks of deletion nor a version: a deleted show keeps it, a purged one takes it along, and the
-- version is the show's. The definer, as which shows are restored and imported, sees no more than the member.
select app_private.force_rls('app.show_fees');
select app_private.member_policy('app.show_fees', 'select', 'finance.read', 'callboard_api, callboard_definer, callboard_exporter');
select app_private.member_policy('app.show_fees', 'insert', 'finance.write', 'callboard_api, callboard_definer');
-- Nobody overwrites what they do not see.
select app_private.member_policy('app.show_fees', 'update', 'finance.write', 'callboard_api, callboard_definer',
  besides => 'organization_id = (select app.org_if(''finance.read''))');
select app_private.hide_statistics('app.show_fees');
select app_private.log_changes('app.show_fees', 'show_fee', id_column => 'show_id');
create or replace function app.write_show_fee(show uuid, body jsonb, replaces boolean) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  f app.show_fees;
  before jsonb;
  has_fee boolean := coalesce(body ->> 'fee_minor', body ->> 'currency') is not null;
begin
  -- Reading, too: nobody changes what they do not see.
  if not (app.has_permission('finance.read') and app.has_permission('finance.write')) then
    -- They were shown none, and so sent none.
    if replaces and not has_fee then
      return;
    end if;
    perform app.require('finance.write');
    perform app.require('finance.read');
  end if;
  select * into f from app.show_fees x where x.organization_id = (select app.current_org()) and x.show_id = show;
  -- Where it is that of the deal, whoever replaces a show need not name it.
  if not has_fee and (f.show_id is null or replaces and app.has_deal(show)) then
    return;
  end if;
  before := case when not replaces then to_jsonb(f) end;
  f := jsonb_populate_record(case when replaces then null::app.show_fees else f end, body);
  insert into app.show_fees as x (show_id, fee_minor, currency) values (show, f.fee_minor, f.currency)
  on conflict (organization_id, show_id) do update set fee_minor = excluded.fee_minor, currency = excluded.currency
    where (x.fee_minor, x.currency) is distinct from (excluded.fee_minor, excluded.currency);
  perform app.keep_denomination('app.show_fees', before, body ->> 'currency', body);
end
$$;
comment on function app.write_show_fee(uuid, jsonb, boolean) is
  'The part of app.write_show that is about the fee. PT403 without finance.read and finance.write, unless the show is replaced without naming a fee: then it stays. PT422 currency_needs_amounts for another currency without the fee in it.';
grant execute on function app.write_show_fee(uuid, jsonb, boolean) to callboard_api;
-- EndIncluded shows/show_fees.sql
-- Included finance/finance_record_commands.sql
select app_private.publish_rows('app.finance_records');
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
  if not replaces then
    perform app.keep_denomination('app.finance_records', to_jsonb(old), n.currency, body);
  end if;
  return app.read_finance_record(record);
end
$$;
comment on function app.write_finance_record(uuid, jsonb, boolean, text) is
  'Changes a finance record: the columns in the body or, with replaces, all of them (absent ones get their defaults). Its base currency stays. PT403, PT404, PT409, PT412, PT422 currency_needs_amounts.';
grant execute on function app.write_finance_record(uuid, jsonb, boolean, text) to callboard_api;
-- EndIncluded finance/finance_record_commands.sql
-- Included finance/expense_commands.sql
create or replace function app.write_expense(expense uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present constant app.expenses := app_private.open_expense(expense, if_match);
  n constant app.expenses := jsonb_populate_record(present, body);
begin
  if n.itinerary_id is not null and n.itinerary_id is distinct from present.itinerary_id then
    perform app_private.require_tour(n.itinerary_id);
  end if;
  perform app.keep_denomination('app.expenses', to_jsonb(present), n.currency, body);
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
-- EndIncluded finance/expense_commands.sql
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
  deal_id uuid,
  show_as_recorded jsonb,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint settlements_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint settlements_final_with_time check ((status = 'final') = (finalized_at is not null)),
  constraint settlements_reopened_when_final check (reopened_at is null or status = 'final')
);
-- Without grants: the commands below write and check these permissions.
select app_private.tenant_policies('app.settlements', reads => 'finance.read', inserts => 'finance.write', updates => 'finance.close',
  definer => 'insert, update');
grant select on app.settlements to callboard_api, callboard_definer;
grant insert (show_id, deal_id, number, reason, inputs, result, show_as_recorded) on app.settlements to callboard_definer;
grant update (status, finalized_at, finalized_by, reopened_at, reopened_by, reopen_reason, booked_at, not_booked_because, deleted_at, deleted_by, deletion_id)
  on app.settlements to callboard_definer;
comment on table app.settlements is 'Revisions of the settlements of shows. The one that is final and was not reopened is in force.';
comment on column app.settlements.deal_id is 'The deal; NULL: the main deal.';
comment on column app.settlements.inputs is 'Deal, ticket tiers, costs and deposits as they were: see app.settlement_inputs.';
comment on column app.settlements.result is 'What app.settle computed from the inputs.';
comment on column app.settlements.show_as_recorded is 'What the sheet says of the show, as it was: see app_private.show_of_sheet; NULL: recorded by 0.3.0 or before.';
comment on column app.settlements.booked_at is 'When its lines were entered in the books.';
comment on column app.settlements.not_booked_because is 'Why the lines of a final one are not in the books: see app.book_settlement.';
comment on column app.settlements.reason is 'Why there is another revision.';
select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');
create or replace function app_private.tg_settlements__200_unchanged() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.organization_id, new.id, new.show_id, new.deal_id, new.number, new.reason, new.inputs, new.result, new.show_as_recorded, new.created_by, new.created_at)
      is distinct from (old.organization_id, old.id, old.show_id, old.deal_id, old.number, old.reason, old.inputs, old.result, old.show_as_recorded, old.created_by, old.created_at)
    or old.status = 'final' and (new.status, new.finalized_at, new.finalized_by) is distinct from (old.status, old.finalized_at, old.finalized_by)
    or old.reopened_at is not null and (new.reopened_at, new.reopened_by, new.reopen_reason) is distinct from (old.reopened_at, old.reopened_by, old.reopen_reason)
  then
    perform app.refuse(409, 'settlement_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_settlements__200_unchanged() is
  'PT409 settlement_final for every role: a revision is finalized at most once and reopened at most once, and nothing else in it ever changes.';
create or replace trigger _200_unchanged before update on app.settlements
  for each row execute function app_private.tg_settlements__200_unchanged();
-- EndIncluded settlements/settlements.sql
-- Included settlements/settlement_books.sql
create or replace function app_private.book_settlement(s app.settlements, rate numeric) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- As whoever enters a record: nobody closes a month meanwhile.
  perform from app.organizations o where o.id = s.organization_id for share;
  insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, tax_minor, currency, exchange_rate, base_currency,
    status, payment_status, note, settlement_id, settlement_line, created_by)
  select s.organization_id, l.kind, app_private.category_named(s.organization_id, l.kind, l.category, l.otherwise), s.show_id,
    d.booked_on, l.amount_minor, l.tax_minor, s.inputs ->> 'currency', rate, o.currency,
    'actual', case when l.is_paid then 'paid' else 'unpaid' end,
    l.note || case when d.booked_on <> d.wanted then format(' (of %s, whose month is closed)', d.wanted) else '' end,
    s.id, l.line, app.current_user_id()
  from app.settlement_lines(s.inputs, s.result) l
  join app.shows x on x.organization_id = s.organization_id and x.id = s.show_id
  join app.organizations o on o.id = s.organization_id
  cross join lateral (select w.wanted, app_private.open_day(s.organization_id, w.wanted) as booked_on
    from (select coalesce(l.booked_on, (s.show_as_recorded ->> 'show_on')::date, x.show_on) as wanted) w) d;
end
$$;
comment on function app_private.book_settlement(app.settlements, numeric) is
  'Enters the lines of a settlement as actual records, on the day of the show, of the deposit or on which what is withheld is due, or in the next month that is open.';
alter function app_private.book_settlement(app.settlements, numeric) owner to callboard_definer;
-- EndIncluded settlements/settlement_books.sql
-- Included settlements/settlement_commands.sql
create or replace function app.record_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  why constant text := case when app.is_visible(body ->> 'reason') then btrim(body ->> 'reason') end;
  deal app.deals;
  of_deal uuid;
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
  deal := app.deal_of(show, (body ->> 'deal_id')::uuid);
  of_deal := case when deal.act is not null then deal.id end;
  if app_private.final_settlement(show, of_deal) is not null then
    perform app.refuse(409, 'settlement_final');
  elsif why is null and exists (
    select from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.deal_id is not distinct from of_deal
      and x.status = 'final' and x.deleted_at is null)
  then
    perform app.refuse(422, 'settlement_reason_needed');
  end if;
  present := app.inputs_of(deal);
  insert into app.settlements (show_id, deal_id, number, reason, inputs, result, show_as_recorded)
  select show, of_deal, coalesce(max(x.number), 0) + 1, why, present, app.settle(present), app.show_of_sheet(show)
  from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.deal_id is not distinct from of_deal
  returning id into settlement;
  answer := app.read_settlement(settlement);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.record_settlement(uuid, jsonb) is
  'Records the current settlement of a deal of a show, by default of the main deal, as its next revision. PT403, PT404, PT409 settlement_needs_deal, settlement_of_which_deal, settlement_final, PT422 settlement_reason_needed, settlement_out_of_range.';
alter function app.record_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.record_settlement(uuid, jsonb) to callboard_api;
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
  if present.deleted_at is not null then
    perform app.refuse(404, 'not_found');
  elsif present.status = 'final' or show_status <> 'settled' and app_private.final_settlement(present.show_id, present.deal_id) is not null then
    perform app.refuse(409, 'settlement_final');
  elsif show_status not in ('played', 'cancelled') then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif app.is_outdated(present, app.deal_of(present.show_id, present.deal_id)) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  because := app_private.enter_settlement(present, rate, existing, false);
  update app.settlements x set (status, finalized_at, finalized_by, booked_at, not_booked_because)
    = row ('final', statement_timestamp(), app.current_user_id(), case when because is null then statement_timestamp() end, because)
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  perform app_private.settle_show(present.show_id);
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid, numeric, text) is
  'Makes a revision final, and its show settled if that was the last deal of it, unless it is cancelled, and enters its lines in the books as app.book_settlement does, unless that has to be told more: then not_booked_because says what. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated, period_closed, PT422 finance_records_exchange_rate_of_base.';
alter function app.finalize_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.finalize_settlement(uuid, numeric, text) to callboard_api;
-- EndIncluded settlements/settlement_commands.sql
-- Included settlements/settlement_sheets.sql
-- The sheet of a recorded settlement, to be printed and signed: what the artist may see of it, with amounts as people read them.

create or replace function app.show_of_sheet(show uuid) returns jsonb
language plpgsql stable
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('id', s.id, 'title', s.title, 'artist', s.artist, 'show_on', s.show_on, 'venue_name', v.name, 'venue_city', v.city)
    from app.shows s left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
    where s.organization_id = app.org_if('shows.read') and s.id = show and s.deleted_at is null);
end
$$;
comment on function app.show_of_sheet(uuid) is 'What a sheet says of a show, as it is now; NULL for one that the member does not see.';
grant execute on function app.show_of_sheet(uuid) to callboard_api, callboard_definer;
create or replace function app.is_outdated(s app.settlements, deal app.deals) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return app.complete_inputs(s.inputs) is distinct from app.inputs_of(deal)
    or coalesce(s.show_as_recorded <> app.show_of_sheet(s.show_id), false);
end
$$;
comment on function app.is_outdated(app.settlements, app.deals) is
  'Whether a settlement would be recorded otherwise now, of this deal: with other inputs, or of a show with another title, artist, day or venue.';
grant execute on function app.is_outdated(app.settlements, app.deals) to callboard_api, callboard_definer;
create or replace function app.read_settlement_sheet(settlement uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
  recorded app.settlements;
  present jsonb;
  answer app.answer;
begin
  perform app.require('finance.read');
  select * into recorded from app.settlements x where x.organization_id = organization and x.id = settlement and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  present := app.show_of_sheet(recorded.show_id);
  select 200, json_build_object(
    'organization', (select o.name from app.organizations o where o.id = organization),
    -- As it was when both sides agreed, but only for those who see the show.
    'show', case when present is not null then coalesce(recorded.show_as_recorded, present) end,
    'settlement', json_build_object('id', recorded.id, 'number', recorded.number, 'status', recorded.status, 'reason', recorded.reason, 'act', recorded.inputs #> '{deal,act}',
      'is_cancelled', coalesce((recorded.inputs ->> 'is_cancelled')::boolean, false),
      'is_outdated', recorded.status = 'draft' and present is not null and app.is_outdated(recorded, (
        select d from app.deals d where d.organization_id = organization and d.id = (recorded.inputs #>> '{deal,id}')::uuid and d.deleted_at is null)),
      'finalized_at', recorded.finalized_at, 'reopened_at', recorded.reopened_at),
    'currency', recorded.inputs ->> 'currency', 'tickets_sold', r.result -> 'tickets_sold', 'tickets_comped', r.result -> 'tickets_comped',
    'tickets_allotted', r.result -> 'tickets_allotted',
    'lines', (
      select jsonb_agg(l.line || jsonb_build_object('amount', app.money_text((l.line ->> 'amount_minor')::numeric, d.digits),
        'budget', app.money_text((l.line ->> 'budget_minor')::numeric, d.digits),
        'over_budget', app.money_text((l.line ->> 'over_budget_minor')::numeric, d.digits)) order by l.n)
      from jsonb_array_elements(r.result -> 'lines') with ordinality as l (line, n)
      -- Internal costs, and what is left for the promoter, from which they could be computed.
      where l.line ->> 'section' <> 'promoter')), null, null
  into answer
  from (select app.complete_result(recorded.inputs, recorded.result) as result) r, (select app.minor_digits(recorded.inputs ->> 'currency') as digits) d;
  return answer;
end
$$;
comment on function app.read_settlement_sheet(uuid) is 'A revision of a settlement as a sheet for both sides: without what is the promoter''s only. PT403, PT404.';
grant execute on function app.read_settlement_sheet(uuid) to callboard_api;
-- EndIncluded settlements/settlement_sheets.sql
-- Included settlements/contradictions.sql
create or replace function app_private.contradictions_of(organization uuid)
returns table (show_id uuid, settlement_id uuid, what text, said text, otherwise text, expense_id uuid, per_diem_id uuid)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.status from app.shows s where s.organization_id = contradictions_of.organization and s.deleted_at is null
  ), settlements as (
    select x.id, x.show_id, x.deal_id, x.reopened_at, x.booked_at, x.inputs, x.result
    from app.settlements x where x.organization_id = contradictions_of.organization and x.status = 'final' and x.deleted_at is null
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
-- EndIncluded settlements/contradictions.sql
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
      ('app.settlements', 'organization_id, id, show_id, number, status, inputs, result, finalized_at, reopened_at, deleted_at, booked_at, not_booked_because, show_as_recorded'),
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
-- Included analytics/star/fact_settlement_lines.sql
select analytics_private.register_rollup('fact_settlement_lines', '{organization_id,settlement_id,settlement_line}', resources => '{settlement}');
create or replace view analytics.fact_settlement_lines with (security_barrier = true) as
  select m.settlement_id, m.settlement_line, m.show_id, s.show_on, s.venue_id, s.artist, m.kind, m.category, coalesce(m.for_on, (x.show_as_recorded ->> 'show_on')::date, s.show_on) as for_on, m.is_paid,
    m.currency, m.amount_minor, round(m.amount_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as amount,
    m.tax_minor, round(m.tax_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as tax,
    r.id as finance_record_id, r.category_id, r.booked_on, m.as_of, (x.inputs #>> '{deal,act}') collate app.people as act
  from analytics_private.fact_settlement_lines_now m
  join app.settlements x on x.organization_id = m.organization_id and x.id = m.settlement_id
  join app.shows s on s.organization_id = m.organization_id and s.id = m.show_id and s.deleted_at is null
  left join app.currencies c on c.code = m.currency
  left join app.finance_records r on r.organization_id = m.organization_id and r.settlement_id = m.settlement_id and r.settlement_line = m.settlement_line
    and r.deleted_at is null
  where m.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null;
comment on view analytics.fact_settlement_lines is 'Settlements in force, one row for each line that they enter in the books. Income less expenses is what the promoter is left with. Needs finance.read and shows.read.';
comment on column analytics.fact_settlement_lines.settlement_id is 'The settlement: fact_settlements. Part of the key.';
comment on column analytics.fact_settlement_lines.settlement_line is 'Which line it is, such as "tier …", "cost …" or "balance". With settlement_id the key.';
comment on column analytics.fact_settlement_lines.show_id is 'The show: fact_shows.';
comment on column analytics.fact_settlement_lines.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_settlement_lines.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_settlement_lines.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_settlement_lines.kind is 'income or expense.';
comment on column analytics.fact_settlement_lines.category is 'The category by its name, as the settlement names it; for a cost its own name.';
comment on column analytics.fact_settlement_lines.for_on is 'The day that it is for, that of the show, as it was when its settlement was recorded, or of the deposit: dim_calendar.day.';
comment on column analytics.fact_settlement_lines.is_paid is 'Whether it has been paid before, as deposits have.';
comment on column analytics.fact_settlement_lines.currency is 'The currency of the deal: dim_currencies.';
comment on column analytics.fact_settlement_lines.amount_minor is 'The amount with tax, in the smallest unit of the currency.';
comment on column analytics.fact_settlement_lines.amount is 'The amount in whole units.';
comment on column analytics.fact_settlement_lines.tax_minor is 'The tax in the amount, in the smallest unit.';
comment on column analytics.fact_settlement_lines.tax is 'The tax in whole units.';
comment on column analytics.fact_settlement_lines.finance_record_id is 'Its record in the books: fact_finance_records; null while it is not booked.';
comment on column analytics.fact_settlement_lines.category_id is 'The category of that record: dim_finance_categories.';
comment on column analytics.fact_settlement_lines.booked_on is 'The day of booking: for_on, or later if the books of its month were closed.';
comment on column analytics.fact_settlement_lines.as_of is 'The lines are complete up to this moment.';
comment on column analytics.fact_settlement_lines.act is 'The act that the deal is with; null: the artist of the show.';
select analytics_private.publish('fact_settlement_lines');
-- EndIncluded analytics/star/fact_settlement_lines.sql
-- Lock: access exclusive on app.settlements: alter table app.settlements add column if not exists show_as_recorded jsonb
-- Lock: share row exclusive on app.settlements: create or replace trigger _200_unchanged before update on app.settlements for each row execute funct
-- Lock: access exclusive on analytics.fact_settlement_lines: create or replace view analytics.fact_settlement_lines with (security_barrier = true) as select m.se
