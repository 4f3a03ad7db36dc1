-- How much the API, imports and exports were used in the last 30 days, for the dashboard: summed when it is read, as in
-- app.use_figures, because calls of the API have no events that would have figures computed.

create or replace view analytics_private.use_totals as
  select o.id as organization_id, d.until - 29 as since, d.until, a.calls, a.errors, a.server_errors,
    i.imports, i.import_errors, i.import_rows, i.import_bytes, i.exports, i.export_errors, i.export_rows, i.export_bytes
  from app.organizations o,
    lateral (select (now() at time zone 'UTC')::date as until) d,
    lateral (
      select coalesce(sum(u.calls), 0) as calls, coalesce(sum(u.errors), 0) as errors, coalesce(sum(u.server_errors), 0) as server_errors
      from app.api_use u where u.organization_id = o.id and u.day between d.until - 29 and d.until) a,
    lateral (
      select coalesce(sum(u.calls) filter (where u.kind = 'import'), 0) as imports, coalesce(sum(u.errors) filter (where u.kind = 'import'), 0) as import_errors,
        coalesce(sum(u.rows) filter (where u.kind = 'import'), 0) as import_rows, coalesce(sum(u.bytes) filter (where u.kind = 'import'), 0) as import_bytes,
        coalesce(sum(u.calls) filter (where u.kind = 'export'), 0) as exports, coalesce(sum(u.errors) filter (where u.kind = 'export'), 0) as export_errors,
        coalesce(sum(u.rows) filter (where u.kind = 'export'), 0) as export_rows, coalesce(sum(u.bytes) filter (where u.kind = 'export'), 0) as export_bytes
      from app.integration_use u where u.organization_id = o.id and u.day between d.until - 29 and d.until) i;
comment on view analytics_private.use_totals is 'API calls, imports and exports of each organization from 29 UTC days ago to today.';
alter view analytics_private.use_totals owner to callboard_rollup;
