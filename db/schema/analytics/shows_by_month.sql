-- Shows by the month in which they take place, and by the month in which they were entered. Deleted shows do not count.
--
-- Only a show's events tell whether it was ever on hold, as long as they are kept; without them a
-- show that is not on hold now counts as never having been.

create or replace view analytics_private.shows_by_month_definition as
  with steps as (
    select l.organization_id, l.resource_id, min(l.occurred_at) filter (where l.status = 'hold') as held_at,
      max(l.occurred_at) filter (where l.status = 'confirmed') as confirmed_at
    from (
      -- No offset 0, which would evaluate the JSON only once: the organization must reach the index through this.
      select e.organization_id, e.resource_id, e.occurred_at, e.changes #>> '{new,status}' as status from app.event_log e
      where e.resource_type = 'show' and e.changes #>> '{new,status}' in ('hold', 'confirmed')) l
    group by 1, 2
  )
  select s.organization_id, date_trunc('month', s.show_on::timestamp)::date as month, s.status, count(*) as shows,
    count(*) filter (where e.held_at is not null or s.status = 'hold') as held,
    count(*) filter (where e.confirmed_at > e.held_at) as confirmed_from_hold,
    coalesce(sum(s.capacity), 0)::bigint as capacity,
    coalesce(sum(s.tickets_sold) filter (where s.capacity is not null), 0)::bigint as tickets_sold
  from app.shows s
  left join steps e on e.organization_id = s.organization_id and e.resource_id = s.id
  where s.deleted_at is null
  group by 1, 2, 3;
-- Details of events can be erased, and old events are purged; both are events themselves.
select analytics_private.register_rollup('shows_by_month', '{organization_id,month,status}', resources => '{show,details,organization}');

create or replace view analytics.shows_by_month with (security_barrier = true) as
  select m.month, m.status, m.shows, m.held, m.confirmed_from_hold, m.capacity, m.tickets_sold,
    m.as_of
  from analytics_private.shows_by_month_now m
  where m.organization_id = (select app.visible_org());
comment on view analytics.shows_by_month is 'Shows by the month in which they take place, and by status. Deleted shows do not count.';
comment on column analytics.shows_by_month.month is 'The first day of the month.';
comment on column analytics.shows_by_month.status is 'The current status of the shows.';
comment on column analytics.shows_by_month.shows is 'Number of shows.';
comment on column analytics.shows_by_month.held is 'How many of them are or were on hold, as far back as events are kept.';
comment on column analytics.shows_by_month.confirmed_from_hold is 'How many of those were confirmed afterwards.';
comment on column analytics.shows_by_month.capacity is 'Total capacity of the shows whose capacity is known.';
comment on column analytics.shows_by_month.tickets_sold is 'Tickets sold for the shows whose capacity is known.';
comment on column analytics.shows_by_month.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('shows_by_month');

create or replace view analytics_private.shows_created_by_month_definition as
  select s.organization_id, date_trunc('month', s.created_at at time zone o.time_zone)::date as month, count(*) as created
  from app.shows s
  join app.organizations o on o.id = s.organization_id
  where s.deleted_at is null
  group by 1, 2;
select analytics_private.register_rollup('shows_created_by_month', '{organization_id,month}', resources => '{show,organization}');

create or replace view analytics.shows_created_by_month with (security_barrier = true) as
  select m.month, m.created, m.as_of
  from analytics_private.shows_created_by_month_now m
  where m.organization_id = (select app.visible_org());
comment on view analytics.shows_created_by_month is 'Shows by the month in which they were entered, in the time zone of the organization. Deleted shows do not count.';
comment on column analytics.shows_created_by_month.month is 'The first day of the month.';
comment on column analytics.shows_created_by_month.created is 'How many shows were entered.';
comment on column analytics.shows_created_by_month.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('shows_created_by_month');
