-- Once a night, or when a DBA asks, all figures are compared with what their definition says, and computed in full.
--
-- A difference is a defect: somebody has changed rows without triggers, or a figure depends on something that
-- is missing from its `resources`. It is reported, and mended by computing.

create or replace function analytics_private.check_figure(name text) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  began timestamptz := clock_timestamp();
  since timestamptz := (select coalesce(r.since, l.looked_until) from analytics_private.looking l, analytics_private.refreshing r where r.lane = 'look');
  looked timestamptz := (select l.looked_until from analytics_private.looking l);
  columns text := (
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute a
    where a.attrelid = format('analytics_private.%I', name || '_definition')::regclass and a.attnum > 0);
  compared text := format('
    select coalesce(jsonb_object_agg(x.organization_id, x.rows), ''{}'')
    from (
      select d.organization_id, count(*) as rows
      from ((select %1$s from analytics_private.%2$I where $1 is null or organization_id = $1
          except all select %1$s from analytics_private.%3$I where $1 is null or organization_id = $1)
        union all (select %1$s from analytics_private.%3$I where $1 is null or organization_id = $1
          except all select %1$s from analytics_private.%2$I where $1 is null or organization_id = $1)) d
      group by 1) x', columns, name || '_definition', name || '_now');
  organization uuid;
  own jsonb;
  differing jsonb := '{}';
begin
  begin
    execute compared into differing using null::uuid;
  exception when query_canceled or others then
    -- A row that cannot be computed keeps only its own organization from being checked.
    for organization in select o.id from app.organizations o loop
      begin
        execute compared into own using organization;
        differing := differing || own;
      exception when query_canceled or others then
        continue;
      end;
    end loop;
  end;
  -- Not those that have changed something that is still to be computed, or have been computed meanwhile.
  with odd as (
    select s.organization_id, s.rollup, (differing ->> s.organization_id::text)::bigint as rows
    from analytics_private.rollup_states s
    join analytics_private.rollups r on r.name = s.rollup
    where s.rollup = check_figure.name and differing ? s.organization_id::text and s.changed_at is null and s.computed_at < began
      and coalesce(s.valid_until > now(), true)
      and not exists (select from app.event_log l where l.organization_id = s.organization_id and l.occurred_at >= since
        and (l.resource_type = any (r.resources) or '*' = any (r.resources)))
      and not ('client_event' = any (r.resources)
        and exists (select from app.client_events c where c.organization_id = s.organization_id and c.received_at >= since))
    order by s.organization_id for update of s
  )
  update analytics_private.rollup_states s
  set differed_at = clock_timestamp(), differing_rows = odd.rows, changed_at = clock_timestamp(), marked_at = clock_timestamp(), as_of = looked
  from odd where odd.organization_id = s.organization_id and odd.rollup = s.rollup;
  update analytics_private.rollups r set checked_at = began where r.name = check_figure.name;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('rollup', s.rollup, 'organization', s.organization_id, 'differing_rows', s.differing_rows)), '[]')
    from analytics_private.rollup_states s where s.rollup = check_figure.name and s.differed_at >= began);
end
$$;
comment on function analytics_private.check_figure(text) is
  'Compares what all organizations see of a figure with its definition, and has those computed that differ although nothing has changed; returns them.';
alter function analytics_private.check_figure(text) owner to callboard_rollup;

create or replace function app.check_figures(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
set work_mem = '64MB'
as $$
declare
  checked text := behind ->> 'checked';
  next text := (select min(r.name) from analytics_private.rollups r where behind is null or r.name > behind #>> '{}');
  began timestamptz := clock_timestamp();
  differing jsonb;
  n bigint;
begin
  perform from analytics_private.refreshing r where r.lane = 'whole' for update skip locked;
  -- Before the first look there is nothing to compare.
  if not found or coalesce(checked, next) is null or (select l.looked_until is null from analytics_private.looking l) then
    return jsonb_build_object('failed', 0, 'next', null);
  end if;
  -- In a transaction of its own, because a look waits for its locks.
  if checked is null then
    differing := analytics_private.check_figure(next);
    return jsonb_build_object('checked', next, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'differing', differing,
      'failed', jsonb_array_length(differing), 'next', jsonb_build_object('checked', next));
  end if;
  n := analytics_private.compute_whole(checked);
  return jsonb_build_object('refreshed', checked, 'rows', n, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
    'failed_with', (select r.failed_with from analytics_private.rollups r where r.name = checked), 'failed', (n is null)::integer, 'next', checked);
end
$$;
comment on function app.check_figures(jsonb) is
  'Compares the first figure after another (null: of all) with its definition, for all organizations, and computes it in full. To continue, call it again with next, until that is null; a concurrent call does nothing. Returns the organizations whose figures differed although nothing had changed, which must be none.';
alter function app.check_figures(jsonb) owner to callboard_rollup;
grant execute on function app.check_figures(jsonb) to callboard_worker;
