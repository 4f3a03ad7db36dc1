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

create or replace function app.read_finance_record(record uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body::json, app.etag(r.version), '/api/finance-records/' || r.id into answer
  from app.finance_record_rows r where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_finance_record(uuid) is 'A finance record. PT404.';
grant execute on function app.read_finance_record(uuid) to callboard_api, callboard_definer;

create or replace function app.create_finance_record(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.finance_records := jsonb_populate_record(null::app.finance_records, body);
  answer app.answer;
begin
  perform app.require('finance.write');
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
  if not replaces then
    perform app.keep_denomination('app.finance_records', to_jsonb(old), n.currency, body);
  end if;
  return app.read_finance_record(record);
end
$$;
comment on function app.write_finance_record(uuid, jsonb, boolean, text) is
  'Changes a finance record: the columns in the body or, with replaces, all of them (absent ones get their defaults). Its base currency stays. PT403, PT404, PT409, PT412, PT422 currency_needs_amounts.';
grant execute on function app.write_finance_record(uuid, jsonb, boolean, text) to callboard_api;
