-- The dashboard as the API returns it: a few texts that are ready, put together.

grant select on analytics_private.dashboard_now, analytics_private.activity_totals_now, analytics_private.use_totals to callboard_definer;

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
  f record;
begin
  select d.today, d.shows, d.money, a.since, a.until, a.events, a.sign_ins, a.active_users, u.since as use_since, u.until as use_until,
    u.calls, u.errors, u.server_errors, u.imports, u.import_errors, u.import_rows, u.import_bytes, u.exports, u.export_errors, u.export_rows, u.export_bytes
  into f
  from analytics_private.use_totals u
  left join analytics_private.dashboard_now d on d.organization_id = organization
  left join analytics_private.activity_totals_now a on a.organization_id = organization
  where u.organization_id = organization;
  return (null, json_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'today', f.today, 'shows', f.shows::json,
    'money', case when app.has_permission('finance.read') then f.money::json end,
    'activity', case when f.until is not null then json_build_object('from', f.since, 'to', f.until, 'events', f.events, 'sign_ins', f.sign_ins,
      'active_users', f.active_users) end,
    'use', json_build_object('from', f.use_since, 'to', f.use_until,
      'api', json_build_object('calls', f.calls, 'errors', f.errors, 'server_errors', f.server_errors),
      'imports', json_build_object('calls', f.imports, 'errors', f.import_errors, 'rows', f.import_rows, 'bytes', f.import_bytes),
      'exports', json_build_object('calls', f.exports, 'errors', f.export_errors, 'rows', f.export_rows, 'bytes', f.export_bytes))), null, null)::app.answer;
end
$$;
comment on function app.read_dashboard() is
  'The dashboard: shows and money of this month and this year, activity and use of the last 30 days; without finance.read, it has no money. PT403 without analytics.read.';
alter function app.read_dashboard() owner to callboard_definer;
grant execute on function app.read_dashboard() to callboard_api, callboard_exporter;
