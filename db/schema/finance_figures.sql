-- Money by period, as the API answers it.

create or replace function app.today() returns date
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select (now() at time zone o.time_zone)::date from app.organizations o where o.id = app.current_org());
end
$$;
comment on function app.today() is 'What day it is where the organization of this transaction is.';
alter function app.today() owner to callboard_definer;
revoke execute on function app.today() from public;
grant execute on function app.today() to callboard_api;

create or replace function app.profit_and_loss(income numeric, expense numeric, records numeric) returns json
language sql immutable parallel safe
return json_build_object('income_minor', coalesce(income, 0), 'expense_minor', coalesce(expense, 0),
  'profit_minor', coalesce(income, 0) - coalesce(expense, 0), 'records', coalesce(records, 0));
comment on function app.profit_and_loss(numeric, numeric, numeric) is 'Income, expenses and what is left, as JSON; null counts as nothing.';
revoke execute on function app.profit_and_loss(numeric, numeric, numeric) from public;
grant execute on function app.profit_and_loss(numeric, numeric, numeric) to callboard_api;

create or replace function app.finance_figures(period text, from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- Whole months: this year's if nothing is said.
  since date := date_trunc('month', coalesce(from_on, date_trunc('year', coalesce(to_on, app.today())::timestamp)::date)::timestamp);
  until date := date_trunc('month', coalesce(to_on, date_trunc('year', since::timestamp) + interval '11 months')::timestamp);
  items json;
  fresh record;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  if until < since or until >= since + interval '10 years' then
    perform app.refuse(422, 'analytics_range', 'It ends at least when it begins, and less than ten years later.');
  end if;
  select coalesce(json_agg(json_build_object('period_on', p.period_on, 'currency', p.currency,
    'planned', p.planned, 'committed', p.committed, 'actual', p.actual) order by p.period_on, p.currency), '[]') into items
  from (
    select m.period_on, m.currency,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned')) as planned,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed')) as committed,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as actual
    from (
      select date_trunc(period, f.month::timestamp)::date as period_on, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_month f
      where f.month between since and until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2) p;
  select * into fresh from app.freshness('finance_by_month');
  return (null, json_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'period', period, 'from', since,
    'to', (until + interval '1 month' - interval '1 day')::date, 'items', items), null, null)::app.answer;
end
$$;
comment on function app.finance_figures(text, date, date, text) is
  'Income, expenses and profit by month, quarter or year, in one currency or, without it, all in the base currency; of whole months from that of from_on to that of to_on. PT403 without analytics.read and finance.read, PT422 analytics_range.';
revoke execute on function app.finance_figures(text, date, date, text) from public;
grant execute on function app.finance_figures(text, date, date, text) to callboard_api;
