-- What people do, by day in their organization's time zone: from the event log, as long as that is kept, and
-- from what clients report. Both have a row per member, so that people can be counted over any period.

create or replace view analytics_private.activity_by_day_definition as
  select e.organization_id, (e.occurred_at at time zone o.time_zone)::date as day,
    -- A key must not have nulls.
    coalesce(e.actor_id, uuid '00000000-0000-0000-0000-000000000000') as user_id, e.actor_kind, e.action, count(*) as events
  from app.event_log e
  join app.organizations o on o.id = e.organization_id
  group by 1, 2, 3, 4, 5;
select analytics_private.register_rollup('activity_by_day', '{organization_id,day,user_id,actor_kind,action}', resources => '{*}');

create or replace view analytics.activity_by_day with (security_barrier = true) as
  select m.day, nullif(m.user_id, uuid '00000000-0000-0000-0000-000000000000') as user_id, m.actor_kind, m.action, m.events,
    m.as_of
  from analytics_private.activity_by_day_now m
  where m.organization_id = (select app.visible_org());
comment on view analytics.activity_by_day is 'What was done by day, and how often, according to the event log: creating, changing, deleting, restoring, signing in and so on.';
comment on column analytics.activity_by_day.day is 'In the time zone of the organization.';
comment on column analytics.activity_by_day.user_id is 'Who did it; null if unknown.';
comment on column analytics.activity_by_day.actor_kind is 'user, anonymous, system or support.';
comment on column analytics.activity_by_day.action is '<resource>.<verb>, such as show.create; auth.sign_in is a sign-in.';
comment on column analytics.activity_by_day.events is 'Number of events.';
comment on column analytics.activity_by_day.as_of is 'The figures are complete up to this moment.';

create or replace view analytics_private.client_events_by_day_definition as
  select c.organization_id, (c.occurred_at at time zone o.time_zone)::date as day, c.user_id, c.kind, c.name, count(*) as events
  from app.client_events c
  join app.organizations o on o.id = c.organization_id
  group by 1, 2, 3, 4, 5;
select analytics_private.register_rollup('client_events_by_day', '{organization_id,day,user_id,kind,name}', resources => '{client_event,organization}');

create or replace view analytics.client_events_by_day with (security_barrier = true) as
  select m.day, m.user_id, m.kind, m.name, m.events,
    m.as_of
  from analytics_private.client_events_by_day_now m
  where m.organization_id = (select app.visible_org());
comment on view analytics.client_events_by_day is 'What clients reported about their users by day, for 90 days.';
comment on column analytics.client_events_by_day.day is 'In the time zone of the organization.';
comment on column analytics.client_events_by_day.user_id is 'The user whose client reported it.';
comment on column analytics.client_events_by_day.kind is 'page_view or action.';
comment on column analytics.client_events_by_day.name is 'The page or action.';
comment on column analytics.client_events_by_day.events is 'Number of events.';
comment on column analytics.client_events_by_day.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('activity_by_day'),
  analytics_private.publish('client_events_by_day');

create or replace function app.activity_figures(from_on date default null, to_on date default null, of_user uuid default null, of_action text default null)
returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  until date := least(coalesce(to_on, from_on + 29, app.today()), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  fresh record;
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'The range must have 1 to 367 days.');
  end if;
  select * into fresh from app.freshness('activity_by_day', 'client_events_by_day');
  with e as materialized (
    select a.day, case a.actor_kind when 'user' then a.user_id end as user_id, a.action, a.events, a.events * (a.action = 'auth.sign_in')::integer as sign_ins
    from analytics.activity_by_day a
    where a.day between since and until and (of_user is null or a.user_id = of_user) and (of_action is null or a.action = of_action)
  ), c as materialized (
    select x.day, x.user_id, x.kind, x.name, x.events from analytics.client_events_by_day x
    where x.day between since and until and (of_user is null or x.user_id = of_user)
  )
  select jsonb_build_object(
    'totals', (
      select jsonb_build_object('events', coalesce(sum(e.events), 0), 'sign_ins', coalesce(sum(e.sign_ins), 0), 'active_users', count(distinct e.user_id))
      from e),
    'by_day', (
      select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'events', d.events, 'sign_ins', d.sign_ins, 'active_users', d.users) order by d.day), '[]')
      from (select e.day, sum(e.events) as events, sum(e.sign_ins) as sign_ins, count(distinct e.user_id) as users from e group by 1) d),
    'by_week', (
      select coalesce(jsonb_agg(jsonb_build_object('week_on', w.week, 'events', w.events, 'sign_ins', w.sign_ins, 'active_users', w.users,
        'signed_in_users', w.signed_in) order by w.week), '[]')
      from (
        select date_trunc('week', e.day::timestamp)::date as week, sum(e.events) as events, sum(e.sign_ins) as sign_ins,
          count(distinct e.user_id) as users, count(distinct e.user_id) filter (where e.sign_ins > 0) as signed_in
        from e group by 1) w),
    'by_action', (
      select coalesce(jsonb_agg(jsonb_build_object('action', a.action, 'events', a.events) order by a.events desc, a.action), '[]')
      from (select e.action, sum(e.events) as events from e group by 1) a),
    'by_day_and_action', (
      select coalesce(jsonb_agg(jsonb_build_object('day', a.day, 'action', a.action, 'events', a.events) order by a.day, a.events desc, a.action), '[]')
      from (select e.day, e.action, sum(e.events) as events from e group by 1, 2) a),
    'by_user', (
      select coalesce(jsonb_agg(jsonb_build_object('user_id', p.user_id, 'display_name', u.display_name, 'events', p.events, 'sign_ins', p.sign_ins,
        'active_days', p.days, 'last_on', p.last_on) order by p.events desc, p.user_id), '[]')
      from (
        select e.user_id, sum(e.events) as events, sum(e.sign_ins) as sign_ins, count(distinct e.day) as days, max(e.day) as last_on
        from e where e.user_id is not null group by 1) p
      -- The name only while they are a colleague.
      left join app.users u on u.id = p.user_id),
    'client_events', jsonb_build_object(
      'by_day', (
        select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'page_views', d.page_views, 'actions', d.actions, 'users', d.users) order by d.day), '[]')
        from (
          select c.day, coalesce(sum(c.events) filter (where c.kind = 'page_view'), 0) as page_views,
            coalesce(sum(c.events) filter (where c.kind = 'action'), 0) as actions, count(distinct c.user_id) as users
          from c group by 1) d),
      'by_name', (
        select coalesce(jsonb_agg(jsonb_build_object('kind', n.kind, 'name', n.name, 'events', n.events, 'users', n.users)
          order by n.events desc, n.kind, n.name), '[]')
        from (
          select c.kind, c.name, sum(c.events) as events, count(distinct c.user_id) as users from c group by 1, 2
          order by 3 desc, 1, 2 limit 100) n))) into body;
  return (null, jsonb_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'from', since, 'to', until) || body, null, null)::app.answer;
end
$$;
comment on function app.activity_figures(date, date, uuid, text) is
  'What was done from one day to another (default: 30 days up to today; at most 367), by day, week, action, both day and action, and user, with sign-ins; and what clients reported, by day and by the 100 most frequent names. For one user and one action, if given. PT403 without analytics.read, PT422 analytics_range.';
grant execute on function app.activity_figures(date, date, uuid, text) to callboard_api;
