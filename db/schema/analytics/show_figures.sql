-- Shows by period, and the dashboard, as the API returns them.

create or replace function app.share(part numeric, of_all numeric) returns numeric
language sql immutable parallel safe
return round(part / nullif(of_all, 0), 4);
comment on function app.share(numeric, numeric) is 'A part as a share of the whole, from 0 to 1; null if the whole is 0.';
grant execute on function app.share(numeric, numeric) to callboard_api;

create or replace function app.show_figures(period text, from_on date default null, to_on date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('period_on', p.period_on, 'created', p.created, 'shows', p.shows, 'by_status', p.by_status,
    'completed', p.completed, 'completion_rate', app.share(p.completed, p.completed + p.cancelled),
    'held', p.held, 'confirmed_from_hold', p.confirmed_from_hold, 'hold_conversion_rate', app.share(p.confirmed_from_hold, p.held),
    'capacity', p.capacity, 'tickets_sold', p.tickets_sold, 'sell_through', app.share(p.tickets_sold, p.capacity)) order by p.period_on) into items
  from (
    select m.period_on, sum(m.created) as created, sum(m.shows) as shows, sum(m.held) as held, sum(m.confirmed_from_hold) as confirmed_from_hold,
      coalesce(sum(m.shows) filter (where m.status in ('played', 'settled')), 0) as completed,
      coalesce(sum(m.shows) filter (where m.status = 'cancelled'), 0) as cancelled,
      coalesce(sum(m.capacity) filter (where m.status in ('confirmed', 'played', 'settled')), 0) as capacity,
      coalesce(sum(m.tickets_sold) filter (where m.status in ('confirmed', 'played', 'settled')), 0) as tickets_sold,
      (select json_object_agg(n.status, coalesce(n.shows, 0)) from (values
        ('inquiry', sum(m.shows) filter (where m.status = 'inquiry')), ('hold', sum(m.shows) filter (where m.status = 'hold')),
        ('offer', sum(m.shows) filter (where m.status = 'offer')), ('confirmed', sum(m.shows) filter (where m.status = 'confirmed')),
        ('played', sum(m.shows) filter (where m.status = 'played')), ('settled', sum(m.shows) filter (where m.status = 'settled')),
        ('cancelled', sum(m.shows) filter (where m.status = 'cancelled')), ('postponed', sum(m.shows) filter (where m.status = 'postponed'))) n (status, shows)) as by_status
    from (
      select date_trunc(period, f.month::timestamp)::date as period_on, f.status, 0 as created, f.shows, f.held, f.confirmed_from_hold, f.capacity, f.tickets_sold
      from analytics.shows_by_month f where f.month between months.since and months.until
      union all
      select date_trunc(period, f.month::timestamp)::date, null, f.created, 0, 0, 0, 0, 0
      from analytics.shows_created_by_month f where f.month between months.since and months.until) m
    group by 1) p;
  return app.figures(array['shows_by_month', 'shows_created_by_month'], months.since, months.until, period, items);
end
$$;
comment on function app.show_figures(text, date, date) is
  'Shows by month, quarter or year: entered, by status, completed, confirmed from hold, sold; for whole months. PT403 without analytics.read, PT422 analytics_range.';
grant execute on function app.show_figures(text, date, date) to callboard_api;

create or replace function app.read_dashboard() returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  d record;
  fresh record;
begin
  perform app.require('analytics.read');
  select * into fresh from app.freshness('dashboard');
  select * into d from analytics.dashboard;
  return (null, json_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'today', d.today,
    'shows', case when d.today is not null then json_build_object('coming', d.coming_shows, 'coming_confirmed', d.coming_confirmed_shows, 'coming_held', d.coming_held_shows,
      'in_30_days', d.shows_in_30_days, 'next_on', d.next_show_on, 'to_settle', d.shows_to_settle,
      'played_this_month', d.month_played_shows, 'played_this_year', d.year_played_shows) end,
    'money', case when d.may_see_money then json_build_object('currency', d.currency,
      'this_month', app.profit(d.month_income_minor, d.month_expense_minor), 'this_year', app.profit(d.year_income_minor, d.year_expense_minor),
      'open_this_year', app.profit(d.year_open_income_minor, d.year_open_expense_minor),
      'receivable_minor', d.receivable_minor, 'receivable_overdue_minor', d.receivable_overdue_minor,
      'payable_minor', d.payable_minor, 'payable_overdue_minor', d.payable_overdue_minor,
      'records_in_other_base_currencies', d.records_in_other_base_currencies) end), null, null)::app.answer;
end
$$;
comment on function app.read_dashboard() is 'The dashboard; without finance.read, it has no money. PT403 without analytics.read.';
grant execute on function app.read_dashboard() to callboard_api;
