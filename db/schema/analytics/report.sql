-- What the report prints: the responses of the endpoints for figures, combined.

create or replace function app.report_amounts(items json) returns json
language sql immutable
set search_path = ''
return (
  select coalesce(json_agg(json_build_object('period_on', i ->> 'period_on', 'currency', i ->> 'currency',
    'minor_digits', app.minor_digits(i ->> 'currency'), 'income_minor', i #>> '{actual,income_minor}',
    'expense_minor', i #>> '{actual,expense_minor}', 'profit_minor', i #>> '{actual,profit_minor}',
    'committed_profit_minor', i #>> '{committed,profit_minor}', 'planned_profit_minor', i #>> '{planned,profit_minor}')), '[]')
  from json_array_elements(items) i);
comment on function app.report_amounts(json) is
  'Items of app.finance_figures with their amounts as texts, since a sum may have more digits than a JavaScript number, and with their number of decimals.';
grant execute on function app.report_amounts(json) to callboard_api;

create or replace function app.report(from_on date default null, to_on date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  last_day date;
  money json;
  money_by_year json;
  shows json;
  activity json;
begin
  perform app.require('analytics.read');
  months := app.figure_months(from_on, to_on);
  last_day := months.until + interval '1 month' - interval '1 day';
  if app.has_permission('finance.read') then
    select a.body into money from app.finance_figures('month', months.since, months.until) a;
    select a.body into money_by_year from app.finance_figures('year', months.since, months.until) a;
  end if;
  select a.body into shows from app.show_figures('year', months.since, months.until) a;
  -- At most the last year, the maximum for these figures, and nothing is done in the future.
  last_day := greatest(months.since, least(last_day, app.today()));
  select a.body into activity from app.activity_figures(greatest(months.since, last_day - 366), last_day) a;
  return (null, json_build_object('data_age', app.data_age(), 'from', months.since, 'to', shows -> 'to',
    'organization', (select o.name from app.organizations o where o.id = app.current_org()),
    'money', case when money is not null then json_build_object('as_of', money -> 'as_of', 'is_current', money -> 'is_current',
      'by_month', app.report_amounts(money -> 'items'), 'by_year', app.report_amounts(money_by_year -> 'items')) end,
    'shows', json_build_object('as_of', shows -> 'as_of', 'is_current', shows -> 'is_current', 'by_year', shows -> 'items',
      'by_status', (select coalesce(json_object_agg(s.status, s.shows), '{}') from (
        select b.key as status, sum(b.value::numeric) as shows
        from json_array_elements(shows -> 'items') i, json_each_text(i -> 'by_status') b group by 1) s)),
    'activity', json_build_object('as_of', activity -> 'as_of', 'is_current', activity -> 'is_current', 'from', activity -> 'from',
      'to', activity -> 'to', 'totals', activity -> 'totals', 'by_day', activity -> 'by_day')), null, null)::app.answer;
end
$$;
comment on function app.report(date, date) is
  'Money by month and year, shows by status and activity by day, for whole months, as returned by app.finance_figures, app.show_figures and app.activity_figures; without finance.read, it has no money. PT403 without analytics.read, PT422 analytics_range.';
grant execute on function app.report(date, date) to callboard_api;
