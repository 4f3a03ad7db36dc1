-- Sums and counts of all organizations, each stated once: the view analytics_private.<name>_definition. Registering it
-- creates what answers from it quickly, all with its columns:
--
--   <name>              a materialized view, computed in full once a night, for all organizations
--   <name>_recent       a table with the rows of organizations that have changed something since
--   <name>_now          a view that takes an organization's rows from the one or the other, with their as_of
--   analytics.<name>    what members and BI tools read, if it is published: <name>_now, limited by app.visible_org
--
-- What has changed is noticed in rollup_looking.sql and computed in rollup_refreshing.sql; rollup_checking.sql
-- compares with the definition. Each figure has its own file, which registers it here.

create table if not exists analytics_private.rollups (
  name text primary key,
  -- The events of an organization (by resource_type) that may change its figures: '*' is any. client_event
  -- stands for client events, which are not in the log.
  resources text[] not null,
  -- Whether it depends on the current day in an organization's time zone and so changes tomorrow.
  has_today boolean not null default false,
  -- Whether there is a view analytics.<name>. Without, it only serves answers of the API.
  is_published boolean not null default false,
  -- Null until the materialized view has been filled.
  refreshed_at timestamptz,
  took interval,
  row_count bigint,
  checked_at timestamptz,
  failed_at timestamptz,
  failed_with text
);
select app_private.force_rls('analytics_private.rollups');
select app_private.set_policy('analytics_private.rollups', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.rollups', 'all_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('analytics_private.rollups', 'all_owner', 'callboard_owner', 'true');
grant select on analytics_private.rollups to callboard_definer;
grant select, update on analytics_private.rollups to callboard_rollup;
comment on table analytics_private.rollups is 'The figures: what changes them, and when they were last computed for all organizations at once.';
comment on column analytics_private.rollups.refreshed_at is 'When the materialized view was last computed, which takes part of every check.';
comment on column analytics_private.rollups.checked_at is 'When all organizations'' figures were last compared with the definition.';
comment on column analytics_private.rollups.failed_with is 'Why the last attempt to compute the materialized view failed; null if it did not.';

create table if not exists analytics_private.rollup_states (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  rollup text not null references analytics_private.rollups (name) on delete cascade,
  is_recent boolean not null default false,
  -- Set if a change is not included yet: since when, and when the latest was noticed.
  changed_at timestamptz,
  marked_at timestamptz,
  as_of timestamptz,
  computed_at timestamptz,
  -- When its rows are no longer those of the current day, if they depend on that.
  valid_until timestamptz,
  took interval,
  row_count bigint,
  failed_at timestamptz,
  failed_with text,
  differed_at timestamptz,
  differing_rows bigint,
  primary key (organization_id, rollup)
);
select app_private.force_rls('analytics_private.rollup_states'), app_private.hide_statistics('analytics_private.rollup_states');
select app_private.set_policy('analytics_private.rollup_states', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.rollup_states', 'all_rollup', 'callboard_rollup', 'true');
grant select on analytics_private.rollup_states to callboard_definer;
grant select, insert, update on analytics_private.rollup_states to callboard_rollup;
comment on table analytics_private.rollup_states is 'How fresh the figures of each organization are: see app.figure_states.';
comment on column analytics_private.rollup_states.is_recent is 'Whether its rows are in the table <rollup>_recent instead of the materialized view.';
comment on column analytics_private.rollup_states.as_of is 'While changed_at is set: up to when the figures are complete. Otherwise they are up to looking.looked_until.';
comment on column analytics_private.rollup_states.differed_at is 'When a check last found that they were not what the definition says although nothing had changed.';

-- One row, read by every request for figures: keep it small.
create table if not exists analytics_private.looking (
  id boolean primary key default true constraint looking_one_row check (id),
  looked_until timestamptz
);
select app_private.force_rls('analytics_private.looking');
select app_private.set_policy('analytics_private.looking', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.looking', 'all_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('analytics_private.looking', 'insert_owner', 'callboard_owner', 'true');
grant select on analytics_private.looking to callboard_definer;
grant select, update on analytics_private.looking to callboard_rollup;
insert into analytics_private.looking default values on conflict do nothing;
comment on table analytics_private.looking is 'Up to when the worker knows of all changes that affect figures.';

-- Only the holder of a lock on its row does the work.
create table if not exists analytics_private.refreshing (
  lane text primary key,
  began_at timestamptz,
  counted jsonb,
  since timestamptz
);
select app_private.force_rls('analytics_private.refreshing');
select app_private.set_policy('analytics_private.refreshing', 'all_rollup', 'callboard_rollup', 'true');
-- Locking a row requires the privilege to update it.
grant select, update on analytics_private.refreshing to callboard_rollup;
select app_private.set_policy('analytics_private.refreshing', 'all_owner', 'callboard_owner', 'true');
insert into analytics_private.refreshing (lane) values ('look'), ('small'), ('large'), ('whole') on conflict do nothing;
comment on table analytics_private.refreshing is
  'Locked while somebody looks for changes, computes the figures of an organization (small: in less than a second; large: in more), or of all of them (whole), so that there is one of each at a time.';
comment on column analytics_private.refreshing.began_at is 'When somebody last looked.';
comment on column analytics_private.refreshing.counted is 'The events after `since` that the last look has seen: {organization: {resource: number}}.';
comment on column analytics_private.refreshing.since is 'The horizon of the last look: events dated before it have all appeared.';

create or replace view analytics_private.rollup_ages as
  select s.organization_id, s.rollup, s.is_recent, s.computed_at, s.changed_at,
    case when s.changed_at is null then l.looked_until else s.as_of end as as_of
  from analytics_private.rollup_states s, analytics_private.looking l;
comment on view analytics_private.rollup_ages is 'Where the figures of an organization are, and up to when they are complete.';
alter view analytics_private.rollup_ages owner to callboard_rollup;
grant select on analytics_private.rollup_ages to callboard_definer;

create or replace function analytics_private.day_end(time_zone text) returns timestamptz
language sql stable parallel safe
return ((now() at time zone time_zone)::date + 1)::timestamp at time zone time_zone;
comment on function analytics_private.day_end(text) is 'When the day in which this transaction began ends there.';
alter function analytics_private.day_end(text) owner to callboard_rollup;

create or replace function analytics_private.register_rollup(name text, key text[], resources text[], has_today boolean default false) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  definition text := register_rollup.name || '_definition';
  recent text := register_rollup.name || '_recent';
  keys text := (select string_agg(quote_ident(k), ', ' order by n) from unnest(register_rollup.key) with ordinality x (k, n));
  known_to_one name;
begin
  perform app_private.set_owner(format('analytics_private.%I', definition), 'callboard_rollup');
  execute format('create materialized view if not exists analytics_private.%I as select * from analytics_private.%I', name, definition);
  if to_regclass(format('analytics_private.%I', name || '_key')) is null then
    execute format('create unique index %I on analytics_private.%I (%s)', name || '_key', register_rollup.name, keys);
  end if;
  if to_regclass(format('analytics_private.%I', recent)) is null then
    execute format('create table analytics_private.%I (like analytics_private.%I, primary key (%s),
      foreign key (organization_id) references app.organizations (id) on delete cascade)', recent, definition, keys);
  end if;
  perform app_private.force_rls(format('analytics_private.%I', recent));
  perform app_private.set_policy(format('analytics_private.%I', recent), 'all_rollup', 'callboard_rollup', 'true');
  -- EXPLAIN shows estimates from statistics, which cover all organizations.
  perform app_private.hide_statistics(format('analytics_private.%I', recent));
  for known_to_one in
    select a.attname from pg_catalog.pg_attribute a
    where a.attrelid = format('analytics_private.%I', register_rollup.name)::regclass and a.attnum > 0
      and a.atttypid not in ('uuid'::regtype, 'date'::regtype) and a.attname not in ('status', 'currency', 'base_currency')
  loop
    execute format('alter materialized view analytics_private.%I alter column %I set statistics 0', register_rollup.name, known_to_one);
  end loop;
  perform app_private.set_owner(format('analytics_private.%I', register_rollup.name), 'callboard_rollup'),
    app_private.set_owner(format('analytics_private.%I', recent), 'callboard_rollup');
  -- The state is one row and is read first, for its organization: PostgreSQL then opens only one of the two.
  perform app_private.set_view(format('analytics_private.%I', register_rollup.name || '_now'), format('
    select s.organization_id, %3$s, s.as_of from analytics_private.rollup_ages s cross join lateral (
      select * from analytics_private.%1$I w where not s.is_recent and w.organization_id = s.organization_id
      union all
      select * from analytics_private.%2$I r where s.is_recent and r.organization_id = s.organization_id) m
    where s.rollup = %1$L', register_rollup.name, recent, (
      select string_agg(format('m.%I', a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute a
      where a.attrelid = format('analytics_private.%I', register_rollup.name)::regclass and a.attnum > 1)));
  perform app_private.set_owner(format('analytics_private.%I', register_rollup.name || '_now'), 'callboard_rollup');
  execute format('comment on view analytics_private.%I is %L', definition, format('The figures of %s, computed from scratch.', register_rollup.name));
  execute format('comment on materialized view analytics_private.%I is %L', register_rollup.name,
    format('%s of all organizations, as of the last night.', register_rollup.name));
  execute format('comment on table analytics_private.%I is %L', recent,
    format('%s of the organizations that have changed something since the last night.', register_rollup.name));
  execute format('comment on view analytics_private.%I is %L', register_rollup.name || '_now',
    format('%s of all organizations, each from where its rows are newer.', register_rollup.name));
  insert into analytics_private.rollups as r (name, resources, has_today)
  values (register_rollup.name, register_rollup.resources, register_rollup.has_today)
  on conflict on constraint rollups_pkey do update
  set resources = excluded.resources, has_today = excluded.has_today,
    -- A redefined view is recomputed.
    refreshed_at = null;
end
$$;
comment on function analytics_private.register_rollup(text, text[], text[], boolean) is
  'Makes figures of the view analytics_private.<name>_definition, whose rows have the given key: creates what holds them, to be read from <name>_now, and has them computed anew for an organization in which an event about one of `resources` occurs or, with has_today, a new day begins.';

create or replace function analytics_private.publish(name text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.set_owner(format('analytics.%I', name), 'callboard_rollup');
  execute format('grant select on analytics.%I to callboard_api, callboard_bi', name);
  update analytics_private.rollups r set is_published = true where r.name = publish.name and not r.is_published;
end
$$;
comment on function analytics_private.publish(text) is 'Lets members and BI tools read the view analytics.<name>, which must compare the organization of its rows with app.visible_org().';
