-- Days: from the first year of which the organization knows something to the year after the last, so that every day of a show or
-- a booking is there.

create or replace view analytics.dim_calendar with (security_barrier = true) as
  select d.day, d.year, d.quarter, d.month_number, d.month, ('{January,February,March,April,May,June,July,August,September,October,November,December}'::text[])[d.month_number]
      collate app.people as month_name,
    d.iso_year, d.iso_week, (d.day - d.weekday + 1) as week_on, d.weekday,
    ('{Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday}'::text[])[d.weekday] collate app.people as weekday_name, d.weekday >= 6 as is_weekend,
    d.year - (d.month_number < d.starts_in)::integer as fiscal_year,
    (d.month_number - d.starts_in + 12) % 12 / 3 + 1 as fiscal_quarter
  from (
    select o.organization_id, o.starts_in, g.at::date as day, extract(year from g.at)::integer as year, extract(quarter from g.at)::integer as quarter,
      extract(month from g.at)::integer as month_number, date_trunc('month', g.at)::date as month,
      extract(isoyear from g.at)::integer as iso_year, extract(week from g.at)::integer as iso_week, extract(isodow from g.at)::integer as weekday
    from (
      select x.id as organization_id, x.fiscal_year_starts_in::integer as starts_in,
        least((x.created_at at time zone x.time_zone)::date, s.first_on, r.first_on) as first_on,
        greatest((now() at time zone x.time_zone)::date, s.last_on, r.last_on) as last_on
      from app.organizations x
      cross join lateral (select min(y.show_on) as first_on, max(y.show_on) as last_on from app.shows y
        where y.organization_id = (select app.visible_org('shows.read')) and y.deleted_at is null) s
      cross join lateral (select least(min(y.booked_on), min(y.due_on)) as first_on, greatest(max(y.booked_on), max(y.due_on)) as last_on from app.finance_records y
        where y.organization_id = (select app.visible_org('finance.read')) and y.deleted_at is null) r) o
    cross join lateral generate_series(date_trunc('year', o.first_on::timestamp), date_trunc('year', o.last_on::timestamp) + interval '2 years' - interval '1 day',
      interval '1 day') g (at)) d
  where d.organization_id = (select app.visible_org());
comment on view analytics.dim_calendar is 'Days, one row each, from the year of the first show, booking or sign-up to the year after the last.';
comment on column analytics.dim_calendar.day is 'The day. The key; facts have it as …_on.';
comment on column analytics.dim_calendar.year is 'The year.';
comment on column analytics.dim_calendar.quarter is '1 to 4.';
comment on column analytics.dim_calendar.month_number is '1 to 12.';
comment on column analytics.dim_calendar.month is 'The first day of the month: fact_pipeline.month, and month in the sums.';
comment on column analytics.dim_calendar.month_name is 'The month in English.';
comment on column analytics.dim_calendar.iso_year is 'The year of the week (ISO 8601).';
comment on column analytics.dim_calendar.iso_week is '1 to 53; with iso_year a week (ISO 8601).';
comment on column analytics.dim_calendar.week_on is 'The Monday of the week.';
comment on column analytics.dim_calendar.weekday is '1 (Monday) to 7.';
comment on column analytics.dim_calendar.weekday_name is 'The weekday in English.';
comment on column analytics.dim_calendar.is_weekend is 'Whether it is a Saturday or a Sunday.';
comment on column analytics.dim_calendar.fiscal_year is 'The fiscal year by the calendar year in which it begins; the organization says in which month.';
comment on column analytics.dim_calendar.fiscal_quarter is '1 to 4, of the fiscal year.';
select analytics_private.publish('dim_calendar');
