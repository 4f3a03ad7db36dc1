-- Money by month as the API returns it: an item for each month and currency, ready as JSON, because a request would
-- otherwise sum and format dozens of rows. Computed from the definition of finance_by_month, so that the two agree.

create or replace function app.profit_and_loss(income numeric, expense numeric, records numeric) returns json
language sql stable parallel safe
return json_build_object('income_minor', coalesce(income, 0), 'expense_minor', coalesce(expense, 0),
  'profit_minor', coalesce(income, 0) - coalesce(expense, 0), 'records', coalesce(records, 0));
comment on function app.profit_and_loss(numeric, numeric, numeric) is 'Income, expenses and profit as JSON; null counts as 0.';
grant execute on function app.profit_and_loss(numeric, numeric, numeric) to callboard_api, callboard_rollup;

create or replace function app.finance_item(
  period_on date, currency text, planned_income numeric, planned_expense numeric, planned_records numeric, committed_income numeric,
  committed_expense numeric, committed_records numeric, actual_income numeric, actual_expense numeric, actual_records numeric
) returns json
language sql stable parallel safe
return json_build_object('period_on', period_on, 'currency', currency,
  'planned', app.profit_and_loss(planned_income, planned_expense, planned_records),
  'committed', app.profit_and_loss(committed_income, committed_expense, committed_records),
  'actual', app.profit_and_loss(actual_income, actual_expense, actual_records));
comment on function app.finance_item(date, text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric) is
  'Money of a period in a currency as JSON: income, expenses and number of records by status.';
grant execute on function app.finance_item(date, text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric)
  to callboard_api, callboard_rollup;

-- The item is a text because json has no equality, by which figures are compared with their definition.
create or replace view analytics_private.finance_months_definition as
  select m.organization_id, v.in_base, m.month, v.currency,
    app.finance_item(m.month, v.currency,
      sum(v.income) filter (where m.status = 'planned'), sum(v.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned'),
      sum(v.income) filter (where m.status = 'committed'), sum(v.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed'),
      sum(v.income) filter (where m.status = 'actual'), sum(v.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual'))::text as item
  from analytics_private.finance_by_month_definition m, lateral (values
    (true, m.base_currency, m.base_income_minor, m.base_expense_minor),
    (false, m.currency, m.income_minor, m.expense_minor)) v (in_base, currency, income, expense)
  group by 1, 2, 3, 4;
select analytics_private.register_rollup('finance_months', '{organization_id,in_base,month,currency}', resources => '{finance_record}');

-- Not through finance_months_now, which takes as long as all else here, because app_private.freshness already says
-- where the rows are.
grant select on analytics_private.finance_months, analytics_private.finance_months_recent to callboard_definer;
select app_private.set_policy('analytics_private.finance_months_recent', 'select_definer', 'callboard_definer', 'true');
create or replace function app.finance_months(since date, until date, in_currency text, out as_of timestamptz, out is_current boolean, out items text)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  -- As app.visible_org('finance.read'), which also knows BI logins.
  organization uuid := case when app.has_permission('finance.read') then app.org_if('analytics.read') end;
  fresh record;
begin
  if organization is null then
    return;
  end if;
  fresh := app_private.freshness(organization, '{finance_months}');
  as_of := fresh.as_of;
  is_current := fresh.is_current;
  if fresh.recent is not null then
    items := (select string_agg(m.item, ', ' order by m.month, m.currency) from analytics_private.finance_months_recent m
      where m.organization_id = organization and m.in_base = (in_currency is null) and m.month between since and until
        and (in_currency is null or m.currency = in_currency));
  else
    items := (select string_agg(m.item, ', ' order by m.month, m.currency) from analytics_private.finance_months m
      where m.organization_id = organization and m.in_base = (in_currency is null) and m.month between since and until
        and (in_currency is null or m.currency = in_currency));
  end if;
  items := '[' || items || ']';
end
$$;
comment on function app.finance_months(date, date, text) is
  'Money from one month to another, in one currency or, with null, all in the base currency, as the text of a JSON array, and how fresh it is (app.freshness); nulls if there is none, and for callers who may not see money.';
alter function app.finance_months(date, date, text) owner to callboard_definer;
grant execute on function app.finance_months(date, date, text) to callboard_api, callboard_exporter;
