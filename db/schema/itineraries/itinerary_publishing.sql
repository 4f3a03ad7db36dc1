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

create or replace view app.published_itineraries with (security_invoker = true) as
  select distinct on (v.organization_id, v.itinerary_id) v.organization_id, v.itinerary_id, v.number, v.name, v.artist, v.starts_on,
    v.created_at, v.version, v.body, v.published_at, v.deleted_at, v.deleted_by
  from app.itinerary_versions v
  order by v.organization_id, v.itinerary_id, v.number desc;
comment on view app.published_itineraries is 'The latest published version of each itinerary, including those in the bin, which have deleted_at.';
grant select on app.published_itineraries to callboard_api, callboard_definer, callboard_exporter;

create or replace view app.itinerary_rows with (security_invoker = true) as
  select i.organization_id, i.version, i.deleted_at, i.deleted_by, app.body(i.as_json, row_to_json(j)) as body,
    i.id, i.name, i.artist, i.starts_on, i.ends_on, i.notes, i.created_by, i.created_at, i.updated_at, j.*
  from app.itineraries i
  left join lateral (
    select v.number, v.published_at from app.itinerary_versions v
    where v.organization_id = i.organization_id and v.itinerary_id = i.id order by v.number desc limit 1) p on true
  cross join lateral (select p.number as published_number, p.published_at) j
  union all
  select p.organization_id, p.version, p.deleted_at, p.deleted_by, row_to_json(j)::text, j.*
  from app.published_itineraries p
  cross join lateral (
    select p.itinerary_id as id, p.name, p.artist, p.starts_on, (p.body ->> 'ends_on')::date as ends_on, p.body ->> 'notes' as notes,
      (p.body ->> 'created_by')::uuid as created_by, p.created_at, (p.body ->> 'updated_at')::timestamptz as updated_at,
      p.number as published_number, p.published_at) j
  where (select app.org_if_reading('itineraries.write')) is null;
select app_private.publish_rows('app.itineraries');

create or replace function app_private.sees_itinerary(itinerary uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return app.org_if_reading('itineraries.write') is not null and exists (
      select from app.itineraries i where i.organization_id = app.current_org() and i.id = itinerary and i.deleted_at is null)
    or app.org_if('itineraries.read') is not null and exists (
      select from app.itinerary_versions v where v.organization_id = app.current_org() and v.itinerary_id = itinerary and v.deleted_at is null);
end
$$;
comment on function app_private.sees_itinerary(uuid) is
  'Whether the member reads an itinerary, as app.itinerary_rows has it, which shows the definer all: there is no difference between a draft that is hidden from them and none.';
alter function app_private.sees_itinerary(uuid) owner to callboard_definer;

create or replace view app.itinerary_plan with (security_invoker = true) as
  select organization_id, itinerary_id, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at
  from app.itinerary_drafts
  union all
  select e.organization_id, e.itinerary_id, e.id, e.kind, e.day_on, e.first_on, e.last_on, e.title, e.location, e.detail, e.local_start, e.local_end, e.start_zone, e.end_zone, e.starts_at, e.ends_at, e.is_confirmed, e.group_ids, e.body, e.version, e.updated_at
  from app.itinerary_entries e
  join app.published_itineraries p on p.organization_id = e.organization_id and p.itinerary_id = e.itinerary_id and p.number = e.number
  where p.deleted_at is null and (select app.org_if_reading('itineraries.write')) is null;
comment on view app.itinerary_plan is 'The days, items, segments and lodgings that the member sees: drafts if they are a planner, else those for them in the latest published version.';
grant select on app.itinerary_plan to callboard_api, callboard_definer;

create or replace function app.publish_itinerary(itinerary uuid, remark text default null, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('itineraries.write');
  present integer;
  next_number integer;
  answer app.answer;
begin
  -- Concurrent publications get different numbers.
  select i.version into present from app.itineraries i
  where i.organization_id = organization and i.id = itinerary and i.deleted_at is null for no key update;
  perform app.check_version(present, if_match);
  select coalesce(max(v.number), 0) + 1 into next_number from app.itinerary_versions v
  where v.organization_id = organization and v.itinerary_id = itinerary;
  insert into app.itinerary_versions (itinerary_id, number, name, artist, starts_on, created_at, body, version, note)
  select i.id, next_number, i.name, i.artist, i.starts_on, i.created_at,
    jsonb_build_object('id', i.id, 'name', i.name, 'artist', i.artist, 'starts_on', i.starts_on, 'ends_on', i.ends_on, 'notes', i.notes,
      'created_by', i.created_by, 'created_at', i.created_at, 'updated_at', i.updated_at), i.version, remark
  from app.itineraries i where i.organization_id = organization and i.id = itinerary;
  insert into app.itinerary_entries (itinerary_id, number, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at)
  select d.itinerary_id, next_number, d.id, d.kind, d.day_on, d.first_on, d.last_on, d.title, d.location, d.detail, d.local_start, d.local_end, d.start_zone, d.end_zone, d.starts_at, d.ends_at, d.is_confirmed, d.group_ids, d.body, d.version, d.updated_at
  from app.itinerary_drafts d where d.organization_id = organization and d.itinerary_id = itinerary;
  answer := app.read_itinerary_version(itinerary, next_number);
  answer.status := 201;
  answer.location := '/api/itineraries/' || itinerary || '/versions/' || next_number;
  return answer;
end
$$;
comment on function app.publish_itinerary(uuid, text, text) is
  'Publishes an itinerary in its current state as its next version. PT403, PT404, PT412 for another version of the itinerary itself.';
alter function app.publish_itinerary(uuid, text, text) owner to callboard_definer;
grant execute on function app.publish_itinerary(uuid, text, text) to callboard_api;

create or replace function app.list_itinerary_versions(itinerary uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.read_row('itineraries', itinerary);
  return (
    select (200, json_build_object('items', coalesce(json_agg(json_build_object('number', v.number, 'note', v.note,
      'published_by', v.published_by, 'published_at', v.published_at) order by v.number desc), '[]'), 'next_cursor', null), null, null)::app.answer
    from app.itinerary_versions v
    where v.organization_id = app.current_org() and v.itinerary_id = itinerary and v.deleted_at is null);
end
$$;
comment on function app.list_itinerary_versions(uuid) is 'The versions of an itinerary, newest first. PT403, PT404.';
grant execute on function app.list_itinerary_versions(uuid) to callboard_api;

create or replace function app.read_itinerary_version(itinerary uuid, wanted integer default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  v app.itinerary_versions;
begin
  perform app.require('itineraries.read');
  select * into v from app.itinerary_versions x
  where x.organization_id = app.current_org() and x.itinerary_id = itinerary and x.number = coalesce(wanted, x.number) and x.deleted_at is null
  order by x.number desc limit 1;
  if v.number is null then
    perform app.refuse(404, 'not_found');
  end if;
  return (
    select (200, json_build_object('number', v.number, 'note', v.note, 'published_by', v.published_by, 'published_at', v.published_at,
      'itinerary', v.body,
      'days', coalesce(json_agg(e.body order by e.day_on) filter (where e.kind = 'day'), '[]'),
      'items', coalesce(json_agg(e.body order by e.day_on, e.starts_at nulls first, e.title, e.id) filter (where e.kind = 'item'), '[]'),
      'segments', coalesce(json_agg(e.body order by e.starts_at, e.id) filter (where e.kind = 'segment'), '[]'),
      'lodgings', coalesce(json_agg(e.body order by e.first_on, e.title, e.id) filter (where e.kind = 'lodging'), '[]')), null, null)::app.answer
    from app.itinerary_entries e
    where e.organization_id = v.organization_id and e.itinerary_id = v.itinerary_id and e.number = v.number);
end
$$;
comment on function app.read_itinerary_version(uuid, integer) is
  'A published version (the latest by default) with everything in it that is for the member. PT403, PT404.';
grant execute on function app.read_itinerary_version(uuid, integer) to callboard_api, callboard_definer;

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
