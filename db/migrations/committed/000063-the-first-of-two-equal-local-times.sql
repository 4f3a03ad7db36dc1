--! Previous: sha1:4051c7566774bc1126c025c6bca2231cb082c838
--! Hash: sha1:ec23d62f3d0e050f0ce69a2869c881bf8a233a9a
--! Message: The first of two equal local times

-- Included foundation/helpers.sql
create or replace function app.instant(local_time timestamp, zone text) returns timestamptz
language sql stable parallel safe
return case
  -- By day nothing is there twice; of two PostgreSQL takes the second. Clocks go back by an hour, and by half of one on Lord Howe Island.
  when local_time::time between '04:00' and '21:59' then local_time at time zone zone
  when (local_time at time zone zone - interval '1 hour') at time zone zone = local_time then local_time at time zone zone - interval '1 hour'
  when (local_time at time zone zone - interval '30 minutes') at time zone zone = local_time then local_time at time zone zone - interval '30 minutes'
  else local_time at time zone zone end;
comment on function app.instant(timestamp, text) is 'The instant of a local time in a time zone: the first one of a time that is there twice, as in calendars (RFC 5545); one that is left out, as if clocks had not been put forward.';
grant execute on function app.instant(timestamp, text) to callboard_api, callboard_definer, callboard_exporter;
-- What a function behind a route returns; the API sends `body` unchanged.
do $$
begin
  if to_regtype('app.answer') is null then
    create type app.answer as (status integer, body json, etag text, location text);
  end if;
end
$$;
-- EndIncluded foundation/helpers.sql
-- Included shows/show_commands.sql
-- The representation of a show, and its commands, which are called too often to be planned on each call: delete and
-- restore are in foundation/rows.sql. The table is in shows.sql.

create or replace view app.show_rows with (security_invoker = true) as
  select s.organization_id, s.version, s.deleted_at, s.deleted_by,
    -- What other rows add comes as text that these rows keep: app.check_rows compares it with j. Fee and venue are looked up by
    -- their keys, since the planner would rather read all of the organization for a page: OFFSET keeps it from that, and it
    -- remembers the venues that it has looked up.
    app.body(s.as_json,
      coalesce((select x.show_json from app.show_fees x where x.organization_id = s.organization_id and x.show_id = s.id), ',"fee_minor":null,"currency":null')
      || case when (select app.org_if('finance.read')) is null then ',"fee_hidden":true' else ',"fee_hidden":false' end
      || coalesce(v.show_json, ',"venue_name":null,"venue_city":null,"time_zone":null')
      || ',"starts_at":' || coalesce(to_json(app.instant(s.show_on + s.start_time, v.time_zone))::text, 'null')) as body,
    s.id, s.title, s.artist, s.show_on, s.status, s.venue_id, to_char(s.doors_time, 'HH24:MI') as doors_time, to_char(s.start_time, 'HH24:MI') as start_time, to_char(s.curfew_time, 'HH24:MI') as curfew_time, s.capacity, s.tickets_sold, s.notes, s.source, s.external_ref,
    s.created_by, s.created_at, s.updated_at, j.*
  from app.shows s
  left join app.show_fees f on f.organization_id = s.organization_id and f.show_id = s.id
  left join lateral (select x.show_json, x.name, x.city, x.time_zone from app.venues x
    where x.organization_id = s.organization_id and x.id = s.venue_id offset 0) v on true
  cross join lateral (
    -- What hides a fee is the policy of its table; fee_hidden only says so.
    select f.fee_minor, f.currency, (select app.org_if('finance.read')) is null as fee_hidden,
      v.name as venue_name, v.city as venue_city, v.time_zone, app.instant(s.show_on + s.start_time, v.time_zone) as starts_at) j;
select app_private.publish_rows('app.shows');
-- EndIncluded shows/show_commands.sql
-- Included itineraries/schedule_items.sql
create or replace view app.schedule_item_rows with (security_invoker = true) as
  select i.organization_id, i.version, i.deleted_at, i.deleted_by, app.body(i.as_json, row_to_json(j)) as body,
    -- Items without a time come first on their day.
    app.instant(d.day_on + i.starts_next_day::integer + coalesce(i.start_time, '00:00'), d.time_zone) as sort_at,
    i.id, i.day_id, i.title, i.kind, i.certainty, to_char(i.start_time, 'HH24:MI') as start_time, i.starts_next_day, to_char(i.end_time, 'HH24:MI') as end_time, i.ends_next_day, i.is_confirmed, i.show_id, i.location, i.group_ids, i.notes,
    i.itinerary_id, i.created_by, i.created_at, i.updated_at, j.*
  from app.schedule_items i
  join app.itinerary_days d on d.organization_id = i.organization_id and d.id = i.day_id
  cross join lateral (
    select d.day_on, d.time_zone, app.instant(d.day_on + i.starts_next_day::integer + i.start_time, d.time_zone) as starts_at,
      app.instant(d.day_on + i.ends_next_day::integer + i.end_time, d.time_zone) as ends_at) j;
select app_private.tenant_table('schedule_items', noun => 'schedule_item', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/schedule-items');
-- EndIncluded itineraries/schedule_items.sql
-- Included itineraries/travel_and_lodging.sql
create or replace view app.travel_segment_rows with (security_invoker = true) as
  select s.organization_id, s.version, s.deleted_at, s.deleted_by, app.body(s.as_json, row_to_json(j)) as body,
    s.id, s.itinerary_id, s.mode, s.from_place, s.departs_on, to_char(s.departs_time, 'HH24:MI') as departs_time, s.from_time_zone, s.to_place, s.arrives_on, to_char(s.arrives_time, 'HH24:MI') as arrives_time, s.to_time_zone, s.carrier, s.number, s.confirmation_number, s.is_confirmed, s.passenger_ids, s.group_ids, s.notes,
    s.created_by, s.created_at, s.updated_at, j.*
  from app.travel_segments s,
    lateral (select app.instant(s.departs_on + s.departs_time, s.from_time_zone) as departs_at,
      app.instant(s.arrives_on + s.arrives_time, s.to_time_zone) as arrives_at) t,
    lateral (select t.*, (extract(epoch from t.arrives_at - t.departs_at) / 60)::integer as duration_minutes) j;
select app_private.tenant_table('travel_segments', noun => 'travel_segment', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/travel-segments');
-- Not a check constraint, because the instant of a local time depends on the time zone database.
create or replace function app_private.tg_travel_segments__200_order() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if app.instant(new.arrives_on + new.arrives_time, new.to_time_zone) < app.instant(new.departs_on + new.departs_time, new.from_time_zone) then
    perform app.refuse(422, 'travel_segments_departure_before_arrival', 'It would arrive before it departs.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_travel_segments__200_order() is 'PT422 travel_segments_departure_before_arrival.';
select app_private.tenant_table('lodgings', noun => 'lodging', permission => 'itineraries', reads => 'itineraries.write', path => '/api/lodgings');
select app_private.tenant_table('lodging_rooms', noun => 'lodging_room', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/lodging-rooms');
-- EndIncluded itineraries/travel_and_lodging.sql
-- Included itineraries/itinerary_publishing.sql
-- Itineraries as their readers see them: the draft, as it would be published now, and the published versions.

create or replace view app.itinerary_drafts with (security_invoker = true) as
  select d.organization_id, d.itinerary_id, d.id, 'day' as kind, d.day_on, d.day_on as first_on, d.day_on as last_on,
    coalesce(d.city, d.kind) as title, d.city as location, d.notes as detail,
    null::timestamp(0) as local_start, null::timestamp(0) as local_end, d.time_zone as start_zone, d.time_zone as end_zone,
    null::timestamptz as starts_at, null::timestamptz as ends_at, true as is_confirmed, '{}'::uuid[] as group_ids,
    jsonb_build_object('id', d.id, 'day_on', d.day_on, 'kind', d.kind, 'city', d.city, 'time_zone', d.time_zone,
      'show_id', d.show_id, 'notes', d.notes) as body, d.version, d.updated_at
  from app.itinerary_days d where d.deleted_at is null
  union all
  select i.organization_id, i.itinerary_id, i.id, 'item', d.day_on,
    d.day_on + coalesce(t.starts_next_day, false)::integer, d.day_on + greatest(t.starts_next_day, t.ends_next_day, false)::integer,
    i.title, i.location, i.notes,
    d.day_on + t.starts_next_day::integer + t.start_time, d.day_on + t.ends_next_day::integer + t.end_time, d.time_zone, d.time_zone,
    app.instant(d.day_on + t.starts_next_day::integer + t.start_time, d.time_zone),
    app.instant(d.day_on + t.ends_next_day::integer + t.end_time, d.time_zone), i.is_confirmed, i.group_ids,
    jsonb_build_object('id', i.id, 'day_id', i.day_id, 'day_on', d.day_on, 'kind', i.kind, 'title', i.title, 'certainty', i.certainty,
      'start_time', to_char(t.start_time, 'HH24:MI'), 'starts_next_day', coalesce(t.starts_next_day, false),
      'end_time', to_char(t.end_time, 'HH24:MI'), 'ends_next_day', coalesce(t.ends_next_day, false), 'time_zone', d.time_zone,
      'starts_at', app.instant(d.day_on + t.starts_next_day::integer + t.start_time, d.time_zone),
      'ends_at', app.instant(d.day_on + t.ends_next_day::integer + t.end_time, d.time_zone),
      'is_confirmed', i.is_confirmed, 'show_id', i.show_id, 'location', i.location, 'group_ids', i.group_ids, 'notes', i.notes),
    -- Moving a day moves its items.
    i.version + d.version - 1, greatest(i.updated_at, d.updated_at)
  from app.schedule_items i
  join app.itinerary_days d on d.organization_id = i.organization_id and d.id = i.day_id
  -- Readers never get a hidden time.
  left join lateral (select i.start_time, i.starts_next_day, i.end_time, i.ends_next_day where i.certainty <> 'hidden') t on true
  where i.deleted_at is null
  union all
  select s.organization_id, s.itinerary_id, s.id, 'segment', s.departs_on, s.departs_on, greatest(s.departs_on, s.arrives_on),
    s.from_place || ' → ' || s.to_place, s.from_place,
    nullif(concat_ws(E'\n', nullif(concat_ws(' ', s.carrier, s.number), ''), 'Confirmation ' || s.confirmation_number, s.notes), ''),
    s.departs_on + s.departs_time, s.arrives_on + s.arrives_time, s.from_time_zone, s.to_time_zone, t.departs_at, t.arrives_at,
    s.is_confirmed, s.group_ids,
    jsonb_build_object('id', s.id, 'mode', s.mode, 'carrier', s.carrier, 'number', s.number,
      'from_place', s.from_place, 'departs_on', s.departs_on, 'departs_time', to_char(s.departs_time, 'HH24:MI'),
      'from_time_zone', s.from_time_zone, 'departs_at', t.departs_at,
      'to_place', s.to_place, 'arrives_on', s.arrives_on, 'arrives_time', to_char(s.arrives_time, 'HH24:MI'),
      'to_time_zone', s.to_time_zone, 'arrives_at', t.arrives_at,
      'duration_minutes', (extract(epoch from t.arrives_at - t.departs_at) / 60)::integer,
      'confirmation_number', s.confirmation_number, 'is_confirmed', s.is_confirmed, 'group_ids', s.group_ids, 'notes', s.notes,
      'passengers', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name) order by m.name, m.id), '[]')
        from app.party_members m where m.organization_id = s.organization_id and m.id = any (s.passenger_ids) and m.deleted_at is null)),
    s.version, s.updated_at
  from app.travel_segments s,
    lateral (select app.instant(s.departs_on + s.departs_time, s.from_time_zone) as departs_at,
      app.instant(s.arrives_on + s.arrives_time, s.to_time_zone) as arrives_at) t
  where s.deleted_at is null
  union all
  select l.organization_id, l.itinerary_id, l.id, 'lodging', null, l.check_in_on, l.check_out_on - 1,
    l.name, l.address, nullif(concat_ws(E'\n', 'Confirmation ' || l.confirmation_number, l.notes), ''),
    null, null, null, null, null, null, true, l.group_ids,
    jsonb_build_object('id', l.id, 'name', l.name, 'address', l.address, 'check_in_on', l.check_in_on, 'check_out_on', l.check_out_on,
      'confirmation_number', l.confirmation_number, 'group_ids', l.group_ids, 'notes', l.notes,
      'rooms', (select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'name', r.name, 'confirmation_number', r.confirmation_number, 'notes', r.notes,
          'occupants', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name) order by m.name, m.id), '[]')
            from app.party_members m where m.organization_id = r.organization_id and m.id = any (r.occupant_ids) and m.deleted_at is null))
          order by r.name, r.id), '[]')
        from app.lodging_rooms r where r.organization_id = l.organization_id and r.lodging_id = l.id and r.deleted_at is null)),
    l.version, l.updated_at
  from app.lodgings l where l.deleted_at is null;
comment on view app.itinerary_drafts is 'Days, items, segments and lodgings of the organization''s itineraries as they would be published now. For planners.';
grant select on app.itinerary_drafts to callboard_api, callboard_definer;
select app_private.publish_rows('app.itineraries');
-- EndIncluded itineraries/itinerary_publishing.sql
-- Included calendar/calendar.sql
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
-- EndIncluded calendar/calendar.sql
-- Lock: access exclusive on app.show_rows: create or replace view app.show_rows with (security_invoker = true) as select s.organization_id, s.v
-- Lock: access exclusive on app.schedule_item_rows: create or replace view app.schedule_item_rows with (security_invoker = true) as select i.organizatio
-- Lock: access exclusive on app.travel_segment_rows: create or replace view app.travel_segment_rows with (security_invoker = true) as select s.organizati
-- Lock: access exclusive on app.itinerary_drafts: create or replace view app.itinerary_drafts with (security_invoker = true) as select d.organization_
-- Lock: access exclusive on app.calendar_entries: create or replace view app.calendar_entries with (security_invoker = true) as select s.organization_
