-- What can be done with itineraries and their parts. It is the same with all of them, so each command
-- is one function that is told the table; what is special about a table is in its triggers.

create or replace function app.itinerary_part(part text) returns table (list text, path text, reading text)
language plpgsql immutable
set search_path = ''
as $$
begin
  if part <> all (array['itineraries', 'itinerary_days', 'schedule_items', 'travel_segments', 'lodgings', 'lodging_rooms',
    'party_members', 'party_groups']) then
    raise exception 'there is no part of an itinerary called %', part;
  end if;
  return query select
    case part when 'itineraries' then 'itinerary_list' else left(part, -1) || '_list' end,
    '/api/' || replace(part, '_', '-') || '/',
    case part when 'itineraries' then 'itineraries.read' else 'itineraries.write' end;
end
$$;
comment on function app.itinerary_part(text) is
  'Of a table of itineraries: the view that has its JSON, the path of its routes, and the permission to read it. Fails for any other table.';
grant execute on function app.itinerary_part(text) to callboard_api, callboard_definer;

create or replace function app.read_itinerary_part(part text, id uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
  p record;
begin
  select * into p from app.itinerary_part(part);
  perform app.require(p.reading);
  execute format('select 200, body, app.etag(version), %L || id from app.%I where organization_id = app.current_org() and id = $1 and deleted_at is null',
    p.path, p.list) into answer using id;
  if answer.status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_itinerary_part(text, uuid) is 'A row of one of the tables of itineraries. PT403, PT404.';
grant execute on function app.read_itinerary_part(text, uuid) to callboard_api, callboard_definer;

create or replace function app.create_itinerary_part(part text, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  answer app.answer;
  columns text := (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(body) k);
  id uuid;
begin
  perform from app.itinerary_part(part);
  perform app.require('itineraries.write');
  -- What the body does not name gets its default; what is not granted, the policy or the grant refuses.
  execute format('insert into app.%1$I (%2$s) select %2$s from jsonb_populate_record(null::app.%1$I, $1) returning id', part, columns)
  into id using body;
  answer := app.read_itinerary_part(part, id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_itinerary_part(text, jsonb) is 'A new row of one of the tables of itineraries. PT403, PT409, PT422.';
grant execute on function app.create_itinerary_part(text, jsonb) to callboard_api;

create or replace function app.write_itinerary_part(part text, id uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  columns text := (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(body) k);
  present integer;
begin
  perform from app.itinerary_part(part);
  perform app.require('itineraries.write');
  execute format('select version from app.%I t where t.organization_id = app.current_org() and t.id = $1 and t.deleted_at is null for no key update', part)
  into present using id;
  perform app.check_version(present, if_match);
  execute format('update app.%1$I t set (%2$s) = (select %2$s from jsonb_populate_record(null::app.%1$I, $1))
    where t.organization_id = app.current_org() and t.id = $2', part, columns) using body, id;
  return app.read_itinerary_part(part, id);
end
$$;
comment on function app.write_itinerary_part(text, uuid, jsonb, text) is
  'Changes the columns in the body of a row of one of the tables of itineraries. PT403, PT404, PT409, PT412, PT422.';
grant execute on function app.write_itinerary_part(text, uuid, jsonb, text) to callboard_api;

create or replace function app.delete_itinerary_part(part text, id uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform from app.itinerary_part(part);
  perform app.require('itineraries.delete');
  return app_private.delete_row(('app.' || part)::regclass, id, if_match);
end
$$;
comment on function app.delete_itinerary_part(text, uuid, text) is
  'Deletes a row of one of the tables of itineraries, with what belongs to it, until it is restored. PT403, PT404, PT412.';
alter function app.delete_itinerary_part(text, uuid, text) owner to callboard_definer;
grant execute on function app.delete_itinerary_part(text, uuid, text) to callboard_api;

create or replace function app.restore_itinerary_part(part text, id uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform from app.itinerary_part(part);
  perform app.require('itineraries.delete');
  perform app_private.restore_row(('app.' || part)::regclass, id);
  return app.read_itinerary_part(part, id);
end
$$;
comment on function app.restore_itinerary_part(text, uuid) is
  'Brings a row of one of the tables of itineraries back, with what was deleted together with it. PT403, PT404, PT409 parent_deleted and where something has taken its place.';
alter function app.restore_itinerary_part(text, uuid) owner to callboard_definer;
grant execute on function app.restore_itinerary_part(text, uuid) to callboard_api;
