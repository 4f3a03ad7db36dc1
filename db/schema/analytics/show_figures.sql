-- Shows by period, as the API returns them.

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
