-- The dashboard as the API returns it: a few texts that are ready, put together.

-- Not through dashboard_now and activity_totals_now, which take as long as all else here: see finance_months.sql.
grant select on analytics_private.dashboard, analytics_private.dashboard_recent, analytics_private.activity_totals,
  analytics_private.activity_totals_recent, analytics_private.use_totals to callboard_definer;
select app_private.set_policy('analytics_private.dashboard_recent', 'select_definer', 'callboard_definer', 'true'),
  app_private.set_policy('analytics_private.activity_totals_recent', 'select_definer', 'callboard_definer', 'true');

create or replace function app.read_dashboard() returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  organization uuid := app.require('analytics.read');
  fresh record := app_private.freshness(organization, '{dashboard,activity_totals}');
  d record;
  a record;
  u record;
begin
  if 'dashboard' = any (fresh.recent) then
    select r.today, r.shows, r.money into d from analytics_private.dashboard_recent r where r.organization_id = organization;
  else
    select r.today, r.shows, r.money into d from analytics_private.dashboard r where r.organization_id = organization;
  end if;
  if 'activity_totals' = any (fresh.recent) then
    select r.since, r.until, r.events, r.sign_ins, r.active_users into a from analytics_private.activity_totals_recent r where r.organization_id = organization;
  else
    select r.since, r.until, r.events, r.sign_ins, r.active_users into a from analytics_private.activity_totals r where r.organization_id = organization;
  end if;
  select * into u from analytics_private.use_totals t where t.organization_id = organization;
  return (null, json_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'today', d.today, 'shows', d.shows::json,
    'money', case when app.has_permission('finance.read') then d.money::json end,
    'activity', case when a.until is not null then json_build_object('from', a.since, 'to', a.until, 'events', a.events, 'sign_ins', a.sign_ins,
      'active_users', a.active_users) end,
    'use', json_build_object('from', u.since, 'to', u.until,
      'api', json_build_object('calls', u.calls, 'errors', u.errors, 'server_errors', u.server_errors),
      'imports', json_build_object('calls', u.imports, 'errors', u.import_errors, 'rows', u.import_rows, 'bytes', u.import_bytes),
      'exports', json_build_object('calls', u.exports, 'errors', u.export_errors, 'rows', u.export_rows, 'bytes', u.export_bytes))), null, null)::app.answer;
end
$$;
comment on function app.read_dashboard() is
  'The dashboard: shows and money of this month and this year, activity and use of the last 30 days; without finance.read, it has no money. PT403 without analytics.read.';
alter function app.read_dashboard() owner to callboard_definer;
grant execute on function app.read_dashboard() to callboard_api, callboard_exporter;
