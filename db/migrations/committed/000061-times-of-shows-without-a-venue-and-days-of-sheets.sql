--! Previous: sha1:df7823632e3675356b58ef351e194f9471f03a2d
--! Hash: sha1:ce4ab847780269eb8d57e71c6fe1fb2791796dd4
--! Message: Times of shows without a venue, and days of sheets

-- Included itineraries/itinerary_publishing.sql
select app_private.publish_rows('app.itineraries');
create or replace function app.read_day_sheet(itinerary uuid, sheet_on date) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  head app.answer := app.read_row('itineraries', itinerary);
  answer app.answer;
begin
  select 200, json_build_object(
    'itinerary', head.body,
    'day', (select d.body || jsonb_build_object('show', (
        select json_build_object('id', s.id, 'title', s.title, 'status', s.status, 'show_on', s.show_on, 'venue_name', v.name, 'venue_city', v.city,
          'doors_time', to_char(s.doors_time, 'HH24:MI'), 'start_time', to_char(s.start_time, 'HH24:MI'), 'curfew_time', to_char(s.curfew_time, 'HH24:MI'))
        from app.shows s left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
        where s.organization_id = d.organization_id and s.id = (d.body ->> 'show_id')::uuid and s.deleted_at is null))),
    'items', coalesce((select json_agg(e.body order by e.starts_at nulls first, e.title, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'item' and e.day_on = sheet_on), '[]'),
    'segments', coalesce((select json_agg(e.body order by e.starts_at, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'segment' and sheet_on between e.first_on and e.last_on), '[]'),
    'lodgings', coalesce((select json_agg(e.body order by e.title, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'lodging' and sheet_on between e.first_on and e.last_on + 1), '[]')),
    null, null into answer
  from app.itinerary_plan d
  where d.organization_id = app.current_org() and d.itinerary_id = itinerary and d.kind = 'day' and d.day_on = sheet_on;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_day_sheet(uuid, date) is
  'Everything on one day that is for the member: from the draft if they are a planner, else from the latest published version. The show is always current. PT403, PT404.';
grant execute on function app.read_day_sheet(uuid, date) to callboard_api;
-- EndIncluded itineraries/itinerary_publishing.sql
-- Included calendar/calendar.sql
-- The calendar: shows and itinerary entries, as far as the member may see each of them.

create or replace function app.base_time_zone() returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select o.time_zone from app.organizations o where o.id = app.current_org();
end;
comment on function app.base_time_zone() is 'The time zone of this transaction''s organization, in which what has no place of its own happens.';
alter function app.base_time_zone() owner to callboard_definer;
grant execute on function app.base_time_zone() to callboard_api, callboard_definer;
create or replace view app.calendar_entries with (security_invoker = true) as
  select s.organization_id, 'show' as kind, s.id, null::uuid as itinerary_id, s.title, nullif(concat_ws(', ', v.name, v.city), '') as location,
    s.artist as detail, s.show_on as first_on, s.show_on as last_on,
    s.show_on + s.start_time as local_start,
    -- A curfew at or before the start is on the next day.
    case when s.start_time is not null then s.show_on + (s.curfew_time <= s.start_time)::integer + s.curfew_time end as local_end,
    z.name as start_zone, z.name as end_zone,
    (s.show_on + s.start_time) at time zone z.name as starts_at,
    case when s.start_time is not null then (s.show_on + (s.curfew_time <= s.start_time)::integer + s.curfew_time) at time zone z.name end as ends_at,
    case s.status when 'cancelled' then 'cancelled' when 'confirmed' then 'confirmed' when 'played' then 'confirmed'
      when 'settled' then 'confirmed' else 'tentative' end as status,
    s.version, s.updated_at
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
  cross join lateral (select coalesce(v.time_zone, (select app.base_time_zone())) as name) z
  where s.deleted_at is null
  union all
  select e.organization_id, e.kind, e.id, e.itinerary_id, e.title, e.location, e.detail, e.first_on, e.last_on, e.local_start, e.local_end,
    e.start_zone, e.end_zone, e.starts_at, e.ends_at, case when e.is_confirmed then 'confirmed' else 'tentative' end, e.version, e.updated_at
  from app.itinerary_plan e
  where e.kind <> 'day';
comment on view app.calendar_entries is 'Shows, and items, segments and lodgings of itineraries, as the member sees them; without local_start, all day from first_on to last_on.';
grant select on app.calendar_entries to callboard_api, callboard_definer;
-- EndIncluded calendar/calendar.sql
-- Lock: access exclusive on app.calendar_entries: create or replace view app.calendar_entries with (security_invoker = true) as select s.organization_
