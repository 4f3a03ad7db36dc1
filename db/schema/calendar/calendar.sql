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
    app.instant(s.show_on + s.start_time, z.name) as starts_at,
    case when s.start_time is not null then app.instant(s.show_on + (s.curfew_time <= s.start_time)::integer + s.curfew_time, z.name) end as ends_at,
    case s.status when 'cancelled' then 'cancelled' when 'confirmed' then 'confirmed' when 'played' then 'confirmed'
      when 'settled' then 'confirmed' else 'tentative' end as status,
    s.version, s.updated_at
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
  cross join lateral (select coalesce(v.time_zone, (select app.base_time_zone())) as name offset 0) z
  where s.deleted_at is null
  union all
  select e.organization_id, e.kind, e.id, e.itinerary_id, e.title, e.location, e.detail, e.first_on, e.last_on, e.local_start, e.local_end,
    e.start_zone, e.end_zone, e.starts_at, e.ends_at, case when e.is_confirmed then 'confirmed' else 'tentative' end, e.version, e.updated_at
  from app.itinerary_plan e
  where e.kind <> 'day';
comment on view app.calendar_entries is 'Shows, and items, segments and lodgings of itineraries, as the member sees them; without local_start, all day from first_on to last_on.';
grant select on app.calendar_entries to callboard_api, callboard_definer;

create or replace function app.read_calendar(first_day date default null, last_day date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := coalesce(app.org_if('itineraries.read'), app.require('shows.read'));
  most constant integer := 5000;
  from_on date := coalesce(first_day, last_day - 30, (now() at time zone 'UTC')::date);
  to_on date := coalesce(last_day, from_on + 30);
  items json;
begin
  if to_on < from_on or to_on - from_on > 366 then
    perform app.refuse(422, 'calendar_range', 'The range must have 1 to 367 days.');
  end if;
  select coalesce(json_agg(json_build_object(
      'kind', c.kind, 'id', c.id, 'itinerary_id', c.itinerary_id, 'title', c.title, 'location', c.location, 'status', c.status,
      'is_all_day', c.local_start is null, 'starts_on', c.first_on, 'start_time', to_char(c.local_start, 'HH24:MI'),
      'time_zone', c.start_zone, 'starts_at', c.starts_at,
      'ends_on', coalesce(c.local_end::date, c.last_on), 'end_time', to_char(c.local_end, 'HH24:MI'),
      'end_time_zone', c.end_zone, 'ends_at', c.ends_at)
    order by c.first_on, c.starts_at nulls first, c.title, c.id), '[]') into items
  from (
    select * from app.calendar_entries x
    where x.organization_id = organization and x.first_on <= to_on and x.last_on >= from_on
    limit most + 1) c;
  if json_array_length(items) > most then
    perform app.refuse(422, 'calendar_range', format('There are more than %s entries: ask for fewer days.', most));
  end if;
  return (200, json_build_object('items', items, 'next_cursor', null), null, null)::app.answer;
end
$$;
comment on function app.read_calendar(date, date) is
  'Everything that happens from one day (default: today) to another (default: 30 days later), inclusive, that the member may see. PT403 without both permissions, PT422 calendar_range.';
grant execute on function app.read_calendar(date, date) to callboard_api;
