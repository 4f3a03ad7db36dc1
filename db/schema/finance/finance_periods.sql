-- Months whose books are closed. A row is a closed month; reopening deletes the row, and the
-- event log records who did either.

create table if not exists app.finance_periods (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  month date not null constraint finance_periods_month_first check (
    extract(day from month) = 1 and month between date '1900-01-01' and date '2199-12-01'),
  closed_by uuid default app.current_user_id() references app.users (id),
  closed_at timestamptz not null default now(),
  primary key (organization_id, month)
);
comment on table app.finance_periods is 'Months whose books are closed: their finance records cannot be entered, changed, deleted or restored.';
comment on column app.finance_periods.month is 'Its first day.';

select app_private.force_rls('app.finance_periods');
select app_private.member_policy('app.finance_periods', 'select', 'finance.read');
-- Without grants, because both go through functions, which wait for concurrent writes of records.
select app_private.member_policy('app.finance_periods', 'insert', 'finance.close');
select app_private.member_policy('app.finance_periods', 'delete', 'finance.close');
select app_private.set_policy('app.finance_periods', 'all_definer', 'callboard_definer', 'organization_id = (select app.current_org())');

grant select on app.finance_periods to callboard_api, callboard_definer;
grant insert (month), delete on app.finance_periods to callboard_definer;

select app_private.log_changes('app.finance_periods', 'finance_period', '{"create": "close", "delete": "reopen"}');

create or replace view app.finance_period_list with (security_invoker = true) as
  select p.organization_id, p.id, p.month, json_build_object('month', to_char(p.month, 'YYYY-MM'), 'closed_at', p.closed_at, 'closed_by', p.closed_by) as body
  from app.finance_periods p;
comment on view app.finance_period_list is 'The organization''s closed months, with their JSON.';
grant select on app.finance_period_list to callboard_api, callboard_definer;

create or replace function app.month_of(name text) returns date
language sql immutable strict parallel safe
return make_date(left(name, 4)::integer, right(name, 2)::integer, 1);
comment on function app.month_of(text) is 'The first day of a month given as YYYY-MM.';
grant execute on function app.month_of(text) to callboard_api, callboard_definer;

create or replace function app.close_period(to_close date) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('finance.close');
  -- Transactions that write records hold a shared lock on this row until they end: see finance_records.sql.
  perform from app.organizations o where o.id = app.current_org() for no key update;
  insert into app.finance_periods (month) values (to_close) on conflict (organization_id, month) do nothing;
  return (200, p.body, null, null)::app.answer from app.finance_period_list p
    where p.organization_id = app.current_org() and p.month = to_close;
end
$$;
comment on function app.close_period(date) is 'Closes the books of the month that begins on the given day; no error if already closed. PT403 without finance.close.';
alter function app.close_period(date) owner to callboard_definer;
grant execute on function app.close_period(date) to callboard_api;

create or replace function app.reopen_period(to_open date) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('finance.read');
  if not exists (select from app.finance_periods p where p.organization_id = app.current_org() and p.month = to_open) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('finance.close');
  delete from app.finance_periods p where p.organization_id = app.current_org() and p.month = to_open;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.reopen_period(date) is 'Reopens the books of a month. PT403 without finance.close, PT404 if they are not closed.';
alter function app.reopen_period(date) owner to callboard_definer;
grant execute on function app.reopen_period(date) to callboard_api;
