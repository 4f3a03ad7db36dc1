-- What members did in the last 30 days: one row per organization, for the dashboard. The same as the totals of
-- app.activity_figures, which cannot add them up from days: a member who was active on two days is one.

create or replace view analytics_private.activity_totals_definition as
  with days as not materialized (
    select o.id as organization_id, o.time_zone, (now() at time zone o.time_zone)::date as until from app.organizations o where o.deleted_at is null
  )
  select d.organization_id, d.until - 29 as since, d.until, count(e.id) as events, count(e.id) filter (where e.action = 'auth.sign_in') as sign_ins,
    count(distinct e.actor_id) filter (where e.actor_kind = 'user') as active_users
  from days d
  left join app.event_log e on e.organization_id = d.organization_id
    -- For the index and the months; a day may have 25 hours.
    and e.occurred_at >= now() - interval '31 days'
    and (e.occurred_at at time zone d.time_zone)::date between d.until - 29 and d.until
  group by 1, 2, 3;
select analytics_private.register_rollup('activity_totals', '{organization_id}', resources => '{*}', has_today => true);
