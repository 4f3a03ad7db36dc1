-- REFRESH MATERIALIZED VIEW CONCURRENTLY makes a temporary table: db/database.sql says so to new databases.
do $$
begin
  execute format('grant temporary on database %I to callboard_rollup', current_database());
end
$$;
-- As in their own files, without the locks that those would take.
do $$
declare
  raw regclass;
begin
  foreach raw in array array['app.event_log', 'app.organizations', 'app.shows', 'app.finance_categories', 'app.finance_records']::regclass[] loop
    execute format('drop policy if exists select_rollup on %s', raw);
    execute format('create policy select_rollup on %s for select to callboard_rollup using (true)', raw);
    execute format('grant select on %s to callboard_rollup', raw);
  end loop;
end
$$;
--!include schemas.sql
--!include permissions.sql
--!include client_events.sql
--!include use.sql
--!include replicas.sql
--!include rollups.sql
--!include rollup_refreshing.sql
--!include finance_by_month.sql
--!include finance_by_category.sql
--!include finance_by_show.sql
--!include shows_by_month.sql
--!include dashboard.sql
--!include finance_figures.sql
--!include show_figures.sql
--!include imports.sql
--!include calendar_feeds.sql
--!include purge.sql
--!include activity.sql
--!include use_figures.sql
--!include report.sql
