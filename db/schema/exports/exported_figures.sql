-- Figures as rows, for exports: src/analytics/exported-shapes.ts says which.

create or replace function app.figure_items(answer json, series text[], out n bigint, out series_name text, out item json) returns setof record
language sql immutable parallel safe
set search_path = ''
begin atomic
  select row_number() over (order by s.n, e.n), s.name, e.item
  from unnest(series) with ordinality s (name, n),
    lateral (select answer #> string_to_array(s.name, '.') as found) f,
    lateral json_array_elements(case json_typeof(f.found) when 'array' then f.found else json_build_array(f.found) end) with ordinality e (item, n);
end;
comment on function app.figure_items(json, text[]) is
  'The items at these paths of an answer, numbered in order: those of an array, or the object there. An empty path is the answer itself.';
grant execute on function app.figure_items(json, text[]) to callboard_api, callboard_exporter;

-- What the figures are read with. The views show the organization of the transaction, and only with its permissions.
grant usage on schema analytics to callboard_exporter;
grant select on analytics.finance_by_month, analytics.finance_by_category, analytics.finance_by_show, analytics.shows_by_month,
  analytics.shows_created_by_month, analytics.activity_by_day, analytics.client_events_by_day,
  analytics.api_use_by_day, analytics.integration_use_by_day to callboard_exporter;
grant execute on function app.finance_figures(text, date, date, text), app.category_figures(date, date, text), app.show_profits(date, date, text, integer),
  app.show_figures(text, date, date), app.activity_figures(date, date, uuid, text), app.use_figures(date, date, double precision),
  app.figures(text[], date, date, text, json), app.figures_at(timestamptz, boolean, date, date, text, text), app.figure_months(date, date), app.freshness(text[]), app.visible_org(text), app.today(), app.data_age(), app.share(numeric, numeric),
  app.profit_and_loss(numeric, numeric, numeric),
  app.finance_item(date, text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric),
  app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric), app.refuse(integer, text, text) to callboard_exporter;
