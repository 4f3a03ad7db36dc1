-- What people see first in the morning: one row per organization.
--
-- Money is in the organization's current base currency; records entered while the books were kept in
-- another one are only counted. Void and deleted records do not count.

create or replace function app.profit(income numeric, expense numeric) returns json
language sql stable parallel safe
return json_build_object('income_minor', income, 'expense_minor', expense, 'profit_minor', income - expense);
comment on function app.profit(numeric, numeric) is 'Income, expenses and profit as JSON.';
grant execute on function app.profit(numeric, numeric) to callboard_rollup;

create or replace function app.share(part numeric, of_all numeric) returns numeric
language sql immutable parallel safe
return round(part / nullif(of_all, 0), 4);
comment on function app.share(numeric, numeric) is 'A part as a share of the whole, from 0 to 1; null if the whole is 0.';
grant execute on function app.share(numeric, numeric) to callboard_api, callboard_rollup;

create or replace view analytics_private.dashboard_definition as
  -- Not materialized: the organization must reach the index of each table through this.
  with days as not materialized (
    select o.id as organization_id, o.currency, o.time_zone, d.today, date_trunc('month', d.today::timestamp)::date as month_on, date_trunc('year', d.today::timestamp)::date as year_on
    from app.organizations o, lateral (select (now() at time zone o.time_zone)::date as today) d
    where o.deleted_at is null
  ), money as (
    select r.organization_id,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status = 'actual' and r.booked_on >= d.month_on and r.booked_on < d.month_on + interval '1 month') as month_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status = 'actual' and r.booked_on >= d.month_on and r.booked_on < d.month_on + interval '1 month') as month_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status = 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status = 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_open_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_open_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid')) as receivable_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid') and r.due_on < d.today) as receivable_overdue_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid')) as payable_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid') and r.due_on < d.today) as payable_overdue_minor
    from app.finance_records r
    join days d on d.organization_id = r.organization_id and d.currency = r.base_currency
    where r.deleted_at is null and r.status <> 'void'
    group by 1
  ), others as (
    select r.organization_id, count(*) as records from app.finance_records r
    join days d on d.organization_id = r.organization_id and d.currency <> r.base_currency
    where r.deleted_at is null and r.status <> 'void'
    group by 1
  ), played as (
    select s.organization_id,
      count(*) filter (where s.show_on >= d.today and s.status not in ('cancelled', 'postponed')) as coming_shows,
      count(*) filter (where s.show_on >= d.today and s.status = 'confirmed') as coming_confirmed_shows,
      count(*) filter (where s.show_on >= d.today and s.status = 'hold') as coming_held_shows,
      count(*) filter (where s.show_on >= d.today and s.show_on < d.today + 30 and s.status not in ('cancelled', 'postponed')) as shows_in_30_days,
      min(s.show_on) filter (where s.show_on >= d.today and s.status = 'confirmed') as next_show_on,
      count(*) filter (where s.status = 'played') as shows_to_settle,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status in ('played', 'settled')) as month_played_shows,
      count(*) filter (where s.show_on >= d.year_on and s.show_on < d.year_on + interval '1 year' and s.status in ('played', 'settled')) as year_played_shows,
      count(*) filter (where date_trunc('month', s.created_at at time zone d.time_zone) = d.month_on) as month_created_shows,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month') as month_shows,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'inquiry') as month_shows_inquiry,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'hold') as month_shows_hold,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'offer') as month_shows_offer,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'confirmed') as month_shows_confirmed,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'played') as month_shows_played,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'settled') as month_shows_settled,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'cancelled') as month_shows_cancelled,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'postponed') as month_shows_postponed
    from app.shows s
    join days d on d.organization_id = s.organization_id
    where s.deleted_at is null
    group by 1
  ), figures as (
    select d.organization_id, d.today, d.currency::text as currency,
      coalesce(m.month_income_minor, 0) as month_income_minor, coalesce(m.month_expense_minor, 0) as month_expense_minor,
      coalesce(m.year_income_minor, 0) as year_income_minor, coalesce(m.year_expense_minor, 0) as year_expense_minor,
      coalesce(m.year_open_income_minor, 0) as year_open_income_minor, coalesce(m.year_open_expense_minor, 0) as year_open_expense_minor,
      coalesce(m.receivable_minor, 0) as receivable_minor, coalesce(m.receivable_overdue_minor, 0) as receivable_overdue_minor,
      coalesce(m.payable_minor, 0) as payable_minor, coalesce(m.payable_overdue_minor, 0) as payable_overdue_minor,
      coalesce(x.records, 0) as records_in_other_base_currencies,
      coalesce(p.coming_shows, 0) as coming_shows, coalesce(p.coming_confirmed_shows, 0) as coming_confirmed_shows, coalesce(p.coming_held_shows, 0) as coming_held_shows,
      coalesce(p.shows_in_30_days, 0) as shows_in_30_days, p.next_show_on, coalesce(p.shows_to_settle, 0) as shows_to_settle,
      coalesce(p.month_played_shows, 0) as month_played_shows, coalesce(p.year_played_shows, 0) as year_played_shows,
      coalesce(p.month_created_shows, 0) as month_created_shows, coalesce(p.month_shows, 0) as month_shows,
      coalesce(p.month_shows_inquiry, 0) as month_shows_inquiry, coalesce(p.month_shows_hold, 0) as month_shows_hold, coalesce(p.month_shows_offer, 0) as month_shows_offer,
      coalesce(p.month_shows_confirmed, 0) as month_shows_confirmed, coalesce(p.month_shows_played, 0) as month_shows_played, coalesce(p.month_shows_settled, 0) as month_shows_settled,
      coalesce(p.month_shows_cancelled, 0) as month_shows_cancelled, coalesce(p.month_shows_postponed, 0) as month_shows_postponed,
      app.share(p.month_played_shows, p.month_played_shows + p.month_shows_cancelled) as month_completion_rate
    from days d
    left join money m using (organization_id)
    left join others x using (organization_id)
    left join played p using (organization_id)
  )
  -- As the API returns them: an answer then only puts texts together.
  select f.*,
    json_build_object('coming', f.coming_shows, 'coming_confirmed', f.coming_confirmed_shows, 'coming_held', f.coming_held_shows,
      'in_30_days', f.shows_in_30_days, 'next_on', f.next_show_on, 'to_settle', f.shows_to_settle,
      'played_this_month', f.month_played_shows, 'played_this_year', f.year_played_shows,
      'this_month', json_build_object('created', f.month_created_shows, 'shows', f.month_shows,
        'by_status', json_build_object('inquiry', f.month_shows_inquiry, 'hold', f.month_shows_hold, 'offer', f.month_shows_offer, 'confirmed', f.month_shows_confirmed,
          'played', f.month_shows_played, 'settled', f.month_shows_settled, 'cancelled', f.month_shows_cancelled, 'postponed', f.month_shows_postponed),
        'completed', f.month_played_shows,
        'completion_rate', f.month_completion_rate))::text as shows,
    json_build_object('currency', f.currency,
      'this_month', app.profit(f.month_income_minor, f.month_expense_minor), 'this_year', app.profit(f.year_income_minor, f.year_expense_minor),
      'open_this_year', app.profit(f.year_open_income_minor, f.year_open_expense_minor),
      'receivable_minor', f.receivable_minor, 'receivable_overdue_minor', f.receivable_overdue_minor,
      'payable_minor', f.payable_minor, 'payable_overdue_minor', f.payable_overdue_minor,
      'records_in_other_base_currencies', f.records_in_other_base_currencies)::text as money
  from figures f;
select analytics_private.register_rollup('dashboard', '{organization_id}', resources => '{finance_record,show,organization}', has_today => true);

create or replace view analytics.dashboard with (security_barrier = true) as
  select d.today, f.may_see_money,
    case when f.may_see_money then d.currency end as currency,
    case when f.may_see_money then d.month_income_minor end as month_income_minor,
    case when f.may_see_money then d.month_expense_minor end as month_expense_minor,
    case when f.may_see_money then d.year_income_minor end as year_income_minor,
    case when f.may_see_money then d.year_expense_minor end as year_expense_minor,
    case when f.may_see_money then d.year_open_income_minor end as year_open_income_minor,
    case when f.may_see_money then d.year_open_expense_minor end as year_open_expense_minor,
    case when f.may_see_money then d.receivable_minor end as receivable_minor,
    case when f.may_see_money then d.receivable_overdue_minor end as receivable_overdue_minor,
    case when f.may_see_money then d.payable_minor end as payable_minor,
    case when f.may_see_money then d.payable_overdue_minor end as payable_overdue_minor,
    case when f.may_see_money then d.records_in_other_base_currencies end as records_in_other_base_currencies,
    d.coming_shows, d.coming_confirmed_shows, d.coming_held_shows, d.shows_in_30_days, d.next_show_on, d.shows_to_settle, d.month_played_shows, d.year_played_shows,
    d.month_created_shows, d.month_shows, d.month_shows_inquiry, d.month_shows_hold, d.month_shows_offer, d.month_shows_confirmed, d.month_shows_played,
    d.month_shows_settled, d.month_shows_cancelled, d.month_shows_postponed,
    d.month_completion_rate,
    a.events as events_in_30_days, a.sign_ins as sign_ins_in_30_days, a.active_users as active_users_in_30_days,
    u.calls as api_calls_in_30_days, u.errors as api_errors_in_30_days, u.server_errors as api_server_errors_in_30_days,
    u.imports as imports_in_30_days, u.import_errors as import_errors_in_30_days, u.import_rows as import_rows_in_30_days, u.import_bytes as import_bytes_in_30_days,
    u.exports as exports_in_30_days, u.export_errors as export_errors_in_30_days, u.export_rows as export_rows_in_30_days, u.export_bytes as export_bytes_in_30_days,
    least(d.as_of, a.as_of) as as_of
  -- `offset 0`: otherwise PostgreSQL inlines the call wherever its result is used, and evaluates it fourteen times.
  from analytics_private.dashboard_now d, lateral (select (select app.visible_org('finance.read')) is not null as may_see_money offset 0) f
  left join analytics_private.activity_totals_now a on a.organization_id = (select app.visible_org())
  left join analytics_private.use_totals u on u.organization_id = (select app.visible_org())
  where d.organization_id = (select app.visible_org());
comment on view analytics.dashboard is 'The most important figures in one row: shows and money of this month and this year, activity and use of the last 30 days. Money is in the base currency of the organization, and null without finance.read.';
comment on column analytics.dashboard.today is 'The day on which it was computed, in the time zone of the organization.';
comment on column analytics.dashboard.may_see_money is 'Whether you hold finance.read, without which the amounts are null.';
comment on column analytics.dashboard.currency is 'The base currency, ISO 4217.';
comment on column analytics.dashboard.month_income_minor is 'Actual income booked in this month, in the smallest unit of the currency.';
comment on column analytics.dashboard.month_expense_minor is 'Actual expenses booked in this month.';
comment on column analytics.dashboard.year_income_minor is 'Actual income booked in this year.';
comment on column analytics.dashboard.year_expense_minor is 'Actual expenses booked in this year.';
comment on column analytics.dashboard.year_open_income_minor is 'Planned and committed income of this year.';
comment on column analytics.dashboard.year_open_expense_minor is 'Planned and committed expenses of this year.';
comment on column analytics.dashboard.receivable_minor is 'Committed and actual income that is unpaid or partly paid, in full.';
comment on column analytics.dashboard.receivable_overdue_minor is 'The part of it that was due before today.';
comment on column analytics.dashboard.payable_minor is 'Committed and actual expenses that are unpaid or partly paid, in full.';
comment on column analytics.dashboard.payable_overdue_minor is 'The part of it that was due before today.';
comment on column analytics.dashboard.records_in_other_base_currencies is 'Records that were entered while the books were kept in another currency; not included in these amounts.';
comment on column analytics.dashboard.coming_shows is 'Shows from today on that are not cancelled or postponed.';
comment on column analytics.dashboard.coming_confirmed_shows is 'Those that are confirmed.';
comment on column analytics.dashboard.coming_held_shows is 'Those that are on hold.';
comment on column analytics.dashboard.shows_in_30_days is 'Those of the next 30 days, including today.';
comment on column analytics.dashboard.next_show_on is 'The day of the next confirmed show.';
comment on column analytics.dashboard.shows_to_settle is 'Shows that were played but are not settled.';
comment on column analytics.dashboard.month_played_shows is 'Shows of this month that were played.';
comment on column analytics.dashboard.year_played_shows is 'Shows of this year that were played.';
comment on column analytics.dashboard.month_created_shows is 'Shows that were entered in this month, whatever their date.';
comment on column analytics.dashboard.month_shows is 'Shows of this month.';
comment on column analytics.dashboard.month_shows_inquiry is 'Those of this month that are an inquiry.';
comment on column analytics.dashboard.month_shows_hold is 'Those of this month that are on hold.';
comment on column analytics.dashboard.month_shows_offer is 'Those of this month that have an offer.';
comment on column analytics.dashboard.month_shows_confirmed is 'Those of this month that are confirmed.';
comment on column analytics.dashboard.month_shows_played is 'Those of this month that were played but are not settled.';
comment on column analytics.dashboard.month_shows_settled is 'Those of this month that are settled.';
comment on column analytics.dashboard.month_shows_cancelled is 'Those of this month that were cancelled.';
comment on column analytics.dashboard.month_shows_postponed is 'Those of this month that were postponed.';
comment on column analytics.dashboard.month_completion_rate is 'Share of the played and settled shows of this month among those and the cancelled; null if there are none.';
comment on column analytics.dashboard.events_in_30_days is 'Events of the event log in the last 30 days, including today.';
comment on column analytics.dashboard.sign_ins_in_30_days is 'Sign-ins among them.';
comment on column analytics.dashboard.active_users_in_30_days is 'Members who did something in these days.';
comment on column analytics.dashboard.api_calls_in_30_days is 'API calls in the last 30 UTC days, including today; counted with a delay of up to a minute.';
comment on column analytics.dashboard.api_errors_in_30_days is 'How many of them had a response status of 400 or higher.';
comment on column analytics.dashboard.api_server_errors_in_30_days is 'How many of them had a response status of 500 or higher.';
comment on column analytics.dashboard.imports_in_30_days is 'Imports in the last 30 UTC days, including today.';
comment on column analytics.dashboard.import_errors_in_30_days is 'How many of them failed.';
comment on column analytics.dashboard.import_rows_in_30_days is 'Rows imported in these days.';
comment on column analytics.dashboard.import_bytes_in_30_days is 'Bytes imported in these days.';
comment on column analytics.dashboard.exports_in_30_days is 'Exports in the last 30 UTC days, including today.';
comment on column analytics.dashboard.export_errors_in_30_days is 'How many of them failed.';
comment on column analytics.dashboard.export_rows_in_30_days is 'Rows exported in these days.';
comment on column analytics.dashboard.export_bytes_in_30_days is 'Bytes exported in these days.';
comment on column analytics.dashboard.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('dashboard');
