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
        and app.permissions_of(m.organization_id, m.user_id) @> '{finance.read,finance.write}') then
    perform app.refuse(403, 'expense_is_own');
  end if;
  return e;
end
$$;
comment on function app_private.expense_to_decide(uuid, text) is
  'A submitted expense, locked, for somebody else who holds finance.read and finance.write or, if nobody else does, for whose it is. PT403, PT404, PT409 expense_not_submitted, PT412.';
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
    booked_on, e.amount_minor, 0, e.currency, coalesce(rate, case when e.currency = books then 1 end), books, 'actual', 'unpaid', e.person,
    e.purpose || case when booked_on <> e.spent_on then format(' (of %s, whose month is closed)', e.spent_on) else '' end, e.id, app.current_user_id()
  returning id into record;
  update app.expenses x set status = 'approved', decided_by = app.current_user_id(), decided_at = statement_timestamp(), finance_record_id = record
  where x.organization_id = e.organization_id and x.id = e.id;
  return app.read_expense(expense);
end
$$;
comment on function app.approve_expense(uuid, numeric, text) is
  'Approves a submitted expense and enters it in the books, on its day or the first one of the next month that is open. PT403 expense_is_own, PT404, PT409 expense_not_submitted, PT412, PT422 expense_exchange_rate_needed, finance_records_exchange_rate_of_base.';
alter function app.approve_expense(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.approve_expense(uuid, numeric, text) to callboard_api;

create or replace function app.reject_expense(expense uuid, because text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.expense_to_decide(expense, if_match);
  update app.expenses e set status = 'rejected', decided_by = app.current_user_id(), decided_at = statement_timestamp(),
    -- One that shows nothing is none.
    reason = case when app.is_visible(because) then because else '' end
  where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.reject_expense(uuid, text, text) is
  'Rejects a submitted expense, with a reason; whose it is may change it and submit it again. PT403 expense_is_own, PT404, PT409 expense_not_submitted, PT412, expenses_reason_length.';
alter function app.reject_expense(uuid, text, text) owner to callboard_definer;
grant execute on function app.reject_expense(uuid, text, text) to callboard_api;
