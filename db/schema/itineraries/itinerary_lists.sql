-- What the parts of an itinerary look like to those who plan. The tables are in itineraries.sql,
-- itinerary_party.sql, schedule_items.sql and travel_and_lodging.sql.

create or replace view app.itinerary_day_list with (security_invoker = true) as
  select d.organization_id, d.id, d.itinerary_id, d.day_on, d.created_at, d.version,
    json_build_object('id', d.id, 'itinerary_id', d.itinerary_id, 'day_on', d.day_on, 'kind', d.kind, 'show_id', d.show_id,
      'city', d.city, 'time_zone', d.time_zone, 'notes', d.notes,
      'created_by', d.created_by, 'created_at', d.created_at, 'updated_at', d.updated_at) as body,
    d.deleted_at, d.deleted_by
  from app.itinerary_days d;
comment on view app.itinerary_day_list is 'Days of the organization''s itineraries with their JSON, also those in the bin, which have deleted_at.';
grant select on app.itinerary_day_list to callboard_api, callboard_definer;

create or replace view app.party_group_list with (security_invoker = true) as
  select g.organization_id, g.id, g.itinerary_id, g.name, g.created_at, g.version,
    json_build_object('id', g.id, 'itinerary_id', g.itinerary_id, 'name', g.name,
      'created_by', g.created_by, 'created_at', g.created_at, 'updated_at', g.updated_at) as body,
    g.deleted_at, g.deleted_by
  from app.party_groups g;
comment on view app.party_group_list is 'Groups of parties with their JSON, also those in the bin, which have deleted_at.';
grant select on app.party_group_list to callboard_api, callboard_definer;

create or replace view app.party_member_list with (security_invoker = true) as
  select m.organization_id, m.id, m.itinerary_id, m.name, m.created_at, m.version,
    json_build_object('id', m.id, 'itinerary_id', m.itinerary_id, 'name', m.name, 'role', m.role, 'user_id', m.user_id,
      'group_ids', m.group_ids, 'notes', m.notes,
      'created_by', m.created_by, 'created_at', m.created_at, 'updated_at', m.updated_at) as body,
    m.deleted_at, m.deleted_by
  from app.party_members m;
comment on view app.party_member_list is 'Who travels, with their JSON, also those in the bin, who have deleted_at.';
grant select on app.party_member_list to callboard_api, callboard_definer;

create or replace view app.schedule_item_list with (security_invoker = true) as
  select i.organization_id, i.id, i.itinerary_id, i.day_id, i.created_at, i.version,
    -- Those without a time come first on their day.
    (d.day_on + i.starts_next_day::integer + coalesce(i.start_time, '00:00')) at time zone d.time_zone as sort_at,
    json_build_object('id', i.id, 'itinerary_id', i.itinerary_id, 'day_id', i.day_id, 'day_on', d.day_on, 'time_zone', d.time_zone,
      'kind', i.kind, 'title', i.title, 'certainty', i.certainty,
      'start_time', to_char(i.start_time, 'HH24:MI'), 'starts_next_day', i.starts_next_day,
      'end_time', to_char(i.end_time, 'HH24:MI'), 'ends_next_day', i.ends_next_day,
      'starts_at', (d.day_on + i.starts_next_day::integer + i.start_time) at time zone d.time_zone,
      'ends_at', (d.day_on + i.ends_next_day::integer + i.end_time) at time zone d.time_zone,
      'is_confirmed', i.is_confirmed, 'show_id', i.show_id, 'location', i.location, 'group_ids', i.group_ids, 'notes', i.notes,
      'created_by', i.created_by, 'created_at', i.created_at, 'updated_at', i.updated_at) as body,
    i.deleted_at, i.deleted_by
  from app.schedule_items i
  join app.itinerary_days d on d.organization_id = i.organization_id and d.id = i.day_id;
comment on view app.schedule_item_list is 'Items of schedules with their JSON, also those in the bin, which have deleted_at.';
grant select on app.schedule_item_list to callboard_api, callboard_definer;

create or replace view app.travel_segment_list with (security_invoker = true) as
  select s.organization_id, s.id, s.itinerary_id, s.created_at, s.version, t.departs_at,
    json_build_object('id', s.id, 'itinerary_id', s.itinerary_id, 'mode', s.mode, 'carrier', s.carrier, 'number', s.number,
      'from_place', s.from_place, 'departs_on', s.departs_on, 'departs_time', to_char(s.departs_time, 'HH24:MI'),
      'from_time_zone', s.from_time_zone, 'departs_at', t.departs_at,
      'to_place', s.to_place, 'arrives_on', s.arrives_on, 'arrives_time', to_char(s.arrives_time, 'HH24:MI'),
      'to_time_zone', s.to_time_zone, 'arrives_at', t.arrives_at,
      'duration_minutes', (extract(epoch from t.arrives_at - t.departs_at) / 60)::integer,
      'confirmation_number', s.confirmation_number, 'is_confirmed', s.is_confirmed,
      'passenger_ids', s.passenger_ids, 'group_ids', s.group_ids, 'notes', s.notes,
      'created_by', s.created_by, 'created_at', s.created_at, 'updated_at', s.updated_at) as body,
    s.deleted_at, s.deleted_by
  from app.travel_segments s,
    lateral (select (s.departs_on + s.departs_time) at time zone s.from_time_zone as departs_at,
      (s.arrives_on + s.arrives_time) at time zone s.to_time_zone as arrives_at) t;
comment on view app.travel_segment_list is 'Travel segments with their JSON, also those in the bin, which have deleted_at.';
grant select on app.travel_segment_list to callboard_api, callboard_definer;

create or replace view app.lodging_list with (security_invoker = true) as
  select l.organization_id, l.id, l.itinerary_id, l.check_in_on, l.created_at, l.version,
    json_build_object('id', l.id, 'itinerary_id', l.itinerary_id, 'name', l.name, 'address', l.address,
      'check_in_on', l.check_in_on, 'check_out_on', l.check_out_on, 'confirmation_number', l.confirmation_number,
      'group_ids', l.group_ids, 'notes', l.notes,
      'created_by', l.created_by, 'created_at', l.created_at, 'updated_at', l.updated_at) as body,
    l.deleted_at, l.deleted_by
  from app.lodgings l;
comment on view app.lodging_list is 'Lodgings with their JSON, also those in the bin, which have deleted_at.';
grant select on app.lodging_list to callboard_api, callboard_definer;

create or replace view app.lodging_room_list with (security_invoker = true) as
  select r.organization_id, r.id, r.itinerary_id, r.lodging_id, r.name, r.created_at, r.version,
    json_build_object('id', r.id, 'itinerary_id', r.itinerary_id, 'lodging_id', r.lodging_id, 'name', r.name,
      'occupant_ids', r.occupant_ids, 'confirmation_number', r.confirmation_number, 'notes', r.notes,
      'created_by', r.created_by, 'created_at', r.created_at, 'updated_at', r.updated_at) as body,
    r.deleted_at, r.deleted_by
  from app.lodging_rooms r;
comment on view app.lodging_room_list is 'Rooms of lodgings with their JSON, also those in the bin, which have deleted_at.';
grant select on app.lodging_room_list to callboard_api, callboard_definer;
