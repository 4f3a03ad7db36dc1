-- What was expected, day by day: the only figures that cannot be computed later. The worker writes them in the first hour of
-- each organization's day. They are kept daily for 800 days, and after that the first of each month (retention/purge.sql).

create table if not exists app.pipeline_snapshots (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  taken_on date not null,
  month date not null,
  status text not null,
  currency text not null,
  shows bigint not null,
  capacity bigint not null,
  tickets_sold bigint not null,
  -- Numeric, as all sums of money: one that is absurd must not keep the others from being written.
  fee_minor numeric not null,
  expected_income_minor numeric not null,
  expected_expense_minor numeric not null,
  actual_income_minor numeric not null,
  actual_expense_minor numeric not null,
  primary key (organization_id, taken_on, month, status, currency)
);
select app_private.hide_statistics('app.pipeline_snapshots');
-- Written for many organizations at once, without a context, and read through analytics only; the definer purges.
select app_private.definer_table('app.pipeline_snapshots', 'select, delete');
select app_private.set_policy('app.pipeline_snapshots', 'select_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('app.pipeline_snapshots', 'insert_rollup', 'callboard_rollup', 'true');
grant select, insert on app.pipeline_snapshots to callboard_rollup;
comment on table app.pipeline_snapshots is 'What each organization expected of its months, as it was on a day.';
comment on column app.pipeline_snapshots.taken_on is 'The day, in the time zone of the organization, at whose beginning it was so.';
comment on column app.pipeline_snapshots.month is 'The first day of the month of the shows or, for money that belongs to no show, of booking.';
comment on column app.pipeline_snapshots.status is 'The status of the shows; none for money that belongs to no show.';
comment on column app.pipeline_snapshots.currency is 'That of fees and records; shows without a fee are in that of the books.';
comment on column app.pipeline_snapshots.expected_income_minor is 'Planned and committed records.';

create or replace function analytics_private.pipeline(organization uuid, since date)
returns table (month date, status text, currency text, shows bigint, capacity bigint, tickets_sold bigint, fee_minor numeric,
  expected_income_minor numeric, expected_expense_minor numeric, actual_income_minor numeric, actual_expense_minor numeric)
language plpgsql stable
set search_path = ''
as $$
begin
  return query
    with live as (
      select s.id, date_trunc('month', s.show_on::timestamp)::date as month, s.status, s.capacity, s.tickets_sold from app.shows s
      where s.organization_id = organization and s.deleted_at is null and s.show_on >= since
    ), records as (
      select l.month, l.status, r.currency::text as currency, r.kind, r.status = 'actual' as is_actual, r.amount_minor
      from live l join app.finance_records r on r.organization_id = organization and r.show_id = l.id and r.deleted_at is null and r.status <> 'void'
      union all
      select date_trunc('month', r.booked_on::timestamp)::date, 'none', r.currency::text, r.kind, r.status = 'actual', r.amount_minor
      from app.finance_records r
      where r.organization_id = organization and r.deleted_at is null and r.status <> 'void' and r.booked_on >= since
        and not exists (select from app.shows s where s.organization_id = organization and s.id = r.show_id and s.deleted_at is null)
    ), lines as (
      select l.month, l.status, coalesce(f.currency, o.currency)::text as currency, 1 as shows, l.capacity, l.tickets_sold, f.fee_minor,
        null::text as kind, null::boolean as is_actual, null::bigint as amount_minor
      from live l
      join app.organizations o on o.id = organization
      left join app.show_fees f on f.organization_id = organization and f.show_id = l.id
      union all
      select r.month, r.status, r.currency, 0, 0, 0, 0, r.kind, r.is_actual, r.amount_minor from records r
    )
    select l.month, l.status, l.currency, sum(l.shows), coalesce(sum(l.capacity), 0), coalesce(sum(l.tickets_sold), 0), coalesce(sum(l.fee_minor), 0),
      coalesce(sum(l.amount_minor) filter (where l.kind = 'income' and not l.is_actual), 0),
      coalesce(sum(l.amount_minor) filter (where l.kind = 'expense' and not l.is_actual), 0),
      coalesce(sum(l.amount_minor) filter (where l.kind = 'income' and l.is_actual), 0),
      coalesce(sum(l.amount_minor) filter (where l.kind = 'expense' and l.is_actual), 0)
    from lines l group by 1, 2, 3;
end
$$;
comment on function analytics_private.pipeline(uuid, date) is 'What an organization expects now of the months since a day, by status and currency.';
alter function analytics_private.pipeline(uuid, date) owner to callboard_rollup;

create or replace function app.take_pipeline_snapshots(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
set jit = off
as $$
declare
  began constant timestamptz := clock_timestamp();
  o record;
  last_seen uuid := coalesce(behind ->> 'organization', '00000000-0000-0000-0000-000000000000')::uuid;
  n bigint;
  taken integer := 0;
  rows bigint := 0;
  failed integer := 0;
  reasons jsonb := '[]';
begin
  loop
    select x.id, (now() at time zone x.time_zone)::date as today into o
    from app.organizations x where x.id > last_seen and x.deleted_at is null order by x.id limit 1;
    last_seen := o.id;
    exit when last_seen is null;
    if not exists (select from app.pipeline_snapshots p where p.organization_id = o.id and p.taken_on = o.today) then
      begin
        -- Also what is over, as long as it is still being settled.
        insert into app.pipeline_snapshots (organization_id, taken_on, month, status, currency, shows, capacity, tickets_sold, fee_minor,
          expected_income_minor, expected_expense_minor, actual_income_minor, actual_expense_minor)
        select o.id, o.today, p.* from analytics_private.pipeline(o.id, (date_trunc('month', o.today::timestamp) - interval '2 months')::date) p
        on conflict do nothing;
        get diagnostics n = row_count;
        taken := taken + (n > 0)::integer;
        rows := rows + n;
      exception when others then
        failed := failed + 1;
        reasons := reasons || jsonb_build_object('organization_id', o.id, 'failed_with', sqlerrm);
      end;
    end if;
    exit when clock_timestamp() > began + interval '1 second';
  end loop;
  return jsonb_build_object('taken', taken, 'rows', rows, 'failed', failed, 'because', reasons,
    'next', case when last_seen is not null then jsonb_build_object('organization', last_seen) end);
end
$$;
comment on function app.take_pipeline_snapshots(jsonb) is
  'Writes down what organizations expect of their months, once a day, whose day has begun since: of some of them. Returns how many, how many rows, and how many failed, and why. To continue, call it again with next, until that is null.';
alter function app.take_pipeline_snapshots(jsonb) owner to callboard_rollup;
grant execute on function app.take_pipeline_snapshots(jsonb) to callboard_worker;

create or replace view analytics.fact_pipeline with (security_barrier = true) as
  select p.taken_on, p.month, p.status, p.currency, p.shows, p.capacity, p.tickets_sold,
    p.fee_minor, round(p.fee_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as fee,
    p.expected_income_minor, round(p.expected_income_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as expected_income,
    p.expected_expense_minor, round(p.expected_expense_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as expected_expense,
    p.actual_income_minor, round(p.actual_income_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as actual_income,
    p.actual_expense_minor, round(p.actual_expense_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as actual_expense
  from app.pipeline_snapshots p
  join app.currencies c on c.code = p.currency
  where p.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null;
comment on view analytics.fact_pipeline is 'What was expected of a month, as it was on a day: one row for each day, month, status and currency. Needs finance.read and shows.read.';
comment on column analytics.fact_pipeline.taken_on is 'The day at whose beginning it was so, in the time zone of the organization: dim_calendar.day. Part of the key.';
comment on column analytics.fact_pipeline.month is 'The first day of the month of the shows or, for money that belongs to no show, of booking: dim_calendar.month. Part of the key.';
comment on column analytics.fact_pipeline.status is 'The status that the shows had; none for money that belongs to no show. Part of the key.';
comment on column analytics.fact_pipeline.currency is 'The currency of fees and records, for shows without a fee that of the books: dim_currencies. Part of the key.';
comment on column analytics.fact_pipeline.shows is 'How many shows; 0 in rows that have only money in another currency.';
comment on column analytics.fact_pipeline.capacity is 'The sum of their capacities.';
comment on column analytics.fact_pipeline.tickets_sold is 'How many tickets were sold.';
comment on column analytics.fact_pipeline.fee_minor is 'The fees of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.fee is 'The same in whole units.';
comment on column analytics.fact_pipeline.expected_income_minor is 'Planned and committed income of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.expected_income is 'The same in whole units.';
comment on column analytics.fact_pipeline.expected_expense_minor is 'Planned and committed expenses of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.expected_expense is 'The same in whole units.';
comment on column analytics.fact_pipeline.actual_income_minor is 'Actual income of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.actual_income is 'The same in whole units.';
comment on column analytics.fact_pipeline.actual_expense_minor is 'Actual expenses of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.actual_expense is 'The same in whole units.';
select analytics_private.publish('fact_pipeline');
