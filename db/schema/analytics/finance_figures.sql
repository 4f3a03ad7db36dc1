-- Money by period, as the API returns it.

create or replace function app.today() returns date
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select (now() at time zone o.time_zone)::date from app.organizations o where o.id = (select app.current_org()));
end
$$;
comment on function app.today() is 'The current day in the time zone of this transaction''s organization.';
alter function app.today() owner to callboard_definer;
grant execute on function app.today() to callboard_api;

create or replace function app.figure_months(from_on date, to_on date, out since date, out until date)
language plpgsql stable
set search_path = ''
as $$
begin
  -- This year's by default.
  since := date_trunc('month', coalesce(from_on, date_trunc('year', coalesce(to_on, app.today())::timestamp)::date)::timestamp);
  until := date_trunc('month', coalesce(to_on, (date_trunc('year', since::timestamp) + interval '11 months')::date)::timestamp);
  if until < since or until >= since + interval '10 years' then
    perform app.refuse(422, 'analytics_range', 'The last month must not be before the first, and must be less than ten years after it.');
  end if;
end
$$;
comment on function app.figure_months(date, date) is
  'The first days of the months from that of one day (default: January) to that of another (default: December of the same year). PT422 analytics_range.';
grant execute on function app.figure_months(date, date) to callboard_api;

create or replace function app.figures_at(as_of timestamptz, is_current boolean, since date, until date, period text, items text) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  last_on date := until + interval '1 month' - interval '1 day';
  head json := case when period is null
    then json_build_object('as_of', as_of, 'is_current', is_current, 'from', since, 'to', last_on)
    else json_build_object('as_of', as_of, 'is_current', is_current, 'period', period, 'from', since, 'to', last_on) end;
begin
  -- As texts: json_build_object would copy the items character by character.
  return (null, (left(head::text, -1) || ', "items" : ' || coalesce(items, '[]') || '}')::json, null, null)::app.answer;
end
$$;
comment on function app.figures_at(timestamptz, boolean, date, date, text, text) is
  'A response with figures of a moment: which months they cover (with period: grouped by what), and the text of a JSON array of them.';
grant execute on function app.figures_at(timestamptz, boolean, date, date, text, text) to callboard_api;

create or replace function app.figures(rollups text[], since date, until date, period text, items json) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  fresh record := app.freshness(variadic rollups);
begin
  return app.figures_at(fresh.as_of, fresh.is_current, since, until, period, items::text);
end
$$;
comment on function app.figures(text[], date, date, text, json) is
  'A response with figures of these materialized views: when they date from, which months they cover (with period: grouped by what), and the figures.';
grant execute on function app.figures(text[], date, date, text, json) to callboard_api;

create or replace function app.finance_figures(period text, from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- Assigned rather than performed: an expression costs a fraction of a statement.
  organization uuid := case when app.require('analytics.read') is not null then app.require('finance.read') end;
  months record := app.figure_months(from_on, to_on);
  ready record;
  items json;
begin
  if period = 'month' then
    ready := app.finance_months(months.since, months.until, in_currency);
    return app.figures_at(ready.as_of, ready.is_current, months.since, months.until, period, ready.items);
  end if;
  select json_agg(p.item order by p.period_on, p.currency) into items
  from (
    select m.period_on, m.currency, app.finance_item(m.period_on, m.currency,
      sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned'),
      sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed'),
      sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as item
    from (
      select date_trunc(period, f.month::timestamp)::date as period_on, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_month f
      where f.month between months.since and months.until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2) p;
  return app.figures('{finance_by_month}', months.since, months.until, period, items);
end
$$;
comment on function app.finance_figures(text, date, date, text) is
  'Income, expenses and profit by month, quarter or year, in one currency or, by default, all in the base currency; for whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
grant execute on function app.finance_figures(text, date, date, text) to callboard_api;

create or replace function app.category_figures(from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('category_id', c.category_id, 'category', c.category, 'kind', c.kind, 'currency', c.currency,
    'planned_minor', coalesce(c.planned, 0), 'committed_minor', coalesce(c.committed, 0), 'actual_minor', coalesce(c.actual, 0), 'records', c.records)
    order by c.kind, c.category, c.category_id, c.currency) into items
  from (
    select m.category_id, m.category, m.kind, m.currency, sum(m.records) as records, sum(m.amount) filter (where m.status = 'planned') as planned,
      sum(m.amount) filter (where m.status = 'committed') as committed, sum(m.amount) filter (where m.status = 'actual') as actual
    from (
      select f.category_id, f.category, f.kind, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_amount_minor else f.amount_minor end as amount
      from analytics.finance_by_category f
      where f.month between months.since and months.until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2, 3, 4) c;
  return app.figures('{finance_by_category}', months.since, months.until, null, items);
end
$$;
comment on function app.category_figures(date, date, text) is
  'Income and expenses by category, in one currency or, by default, all in the base currency; for whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
grant execute on function app.category_figures(date, date, text) to callboard_api;

create or replace function app.show_profits(from_on date default null, to_on date default null, in_currency text default null, at_most integer default 50) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read'), app.require('shows.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('show_id', p.show_id, 'show_on', p.show_on, 'title', p.title, 'artist', p.artist, 'status', p.show_status,
    'currency', p.currency, 'planned', p.planned, 'committed', p.committed, 'actual', p.actual) order by p.show_on desc, p.show_id, p.currency) into items
  from (
    select m.show_on, m.show_id, m.title, m.artist, m.show_status, m.currency,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned')) as planned,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed')) as committed,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as actual
    from (
      select f.show_on, f.show_id, f.title, f.artist, f.show_status, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_show f
      where f.show_on between months.since and (months.until + interval '1 month' - interval '1 day')::date
        and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2, 3, 4, 5, 6
    order by 1 desc, 2, 6 limit at_most) p;
  return app.figures('{finance_by_show}', months.since, months.until, null, items);
end
$$;
comment on function app.show_profits(date, date, text, integer) is
  'Profit and loss of shows, latest first, in one currency or, by default, all in the base currency; for shows in whole months. PT403 without analytics.read, finance.read and shows.read, PT422 analytics_range.';
grant execute on function app.show_profits(date, date, text, integer) to callboard_api;
