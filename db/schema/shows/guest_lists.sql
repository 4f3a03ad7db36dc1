-- When a guest list closes, what happens at the door, and the printed door list.

create table if not exists app.guest_lists (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  closes_at timestamptz,
  is_locked boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint guest_lists_one_per_show unique (organization_id, show_id),
  constraint guest_lists_show_exists foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
-- No path: a list is written only by app.write_guest_list and deleted with its show.
select app_private.tenant_table('guest_lists', noun => 'guest_list', reads => 'shows.read', writes => 'guests.lock', definer => 'insert, update');
grant insert (show_id, closes_at, is_locked), update (closes_at, is_locked) on app.guest_lists to callboard_definer;

comment on table app.guest_lists is 'When the guest lists of shows close. A show without a row has a list that stays open.';
comment on column app.guest_lists.closes_at is 'From then on only members with guests.lock may change the list; NULL: it stays open.';
comment on column app.guest_lists.is_locked is 'Closed manually, whatever the time.';

create or replace function app.is_guest_list_closed(organization uuid, show uuid) returns boolean
language sql stable
set search_path = ''
begin atomic
  select exists (
    select from app.guest_lists l
    where l.organization_id = organization and l.show_id = show and (l.is_locked or l.closes_at <= statement_timestamp()));
end;
comment on function app.is_guest_list_closed(uuid, uuid) is 'Whether the guest list of a show has been locked, or its cut-off has passed.';
grant execute on function app.is_guest_list_closed(uuid, uuid) to callboard_api, callboard_definer;

create or replace function app_private.tg__200_open_guest_list() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if app.has_permission('guests.lock') then
    return new;
  end if;
  -- This change and the closing of the list wait for each other.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for share;
  if app.is_guest_list_closed(new.organization_id, new.show_id)
    -- Being deleted or restored together with the show is not a change to the list.
    and not (tg_op = 'UPDATE' and exists (
      select from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id
        and s.deletion_id in (old.deletion_id, new.deletion_id))) then
    perform app.refuse(409, 'guest_list_closed');
  end if;
  return new;
end
$$;
comment on function app_private.tg__200_open_guest_list() is 'PT409 guest_list_closed once the list is closed, except for members with guests.lock.';
alter function app_private.tg__200_open_guest_list() owner to callboard_definer;
create or replace trigger _200_open_guest_list
  before insert or update of name, tickets, invited_by, note, status, sort_name, allotment_id, deletion_id on app.guests
  for each row execute function app_private.tg__200_open_guest_list();
create or replace trigger _200_open_guest_list before insert or update of name, tickets, note, deletion_id on app.guest_allotments
  for each row execute function app_private.tg__200_open_guest_list();

create or replace function app.read_guest_list(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200,
    json_build_object('show_id', s.id, 'closes_at', l.closes_at, 'is_locked', coalesce(l.is_locked, false),
      'is_closed', app.is_guest_list_closed(s.organization_id, s.id),
      'requested', g.requested, 'confirmed', g.confirmed, 'checked_in', g.checked_in,
      'allotments', coalesce((
        select json_agg(json_build_object('id', a.id, 'name', a.name, 'tickets', a.tickets, 'requested', u.requested, 'confirmed', u.confirmed)
          order by a.name, a.id)
        from app.guest_allotments a
        cross join lateral (
          select coalesce(sum(x.tickets) filter (where x.status = 'requested'), 0) as requested,
            coalesce(sum(x.tickets) filter (where x.status = 'confirmed'), 0) as confirmed
          from app.guests x where x.organization_id = a.organization_id and x.allotment_id = a.id and x.deleted_at is null) u
        where a.organization_id = s.organization_id and a.show_id = s.id and a.deleted_at is null), '[]')),
    app.etag(coalesce(l.version, 0)), '/api/shows/' || s.id || '/guest-list' into answer
  from app.shows s
  left join app.guest_lists l on l.organization_id = s.organization_id and l.show_id = s.id
  cross join lateral (
    select coalesce(sum(x.tickets) filter (where x.status = 'requested'), 0) as requested,
      coalesce(sum(x.tickets) filter (where x.status = 'confirmed'), 0) as confirmed, coalesce(sum(x.checked_in), 0) as checked_in
    from app.guests x where x.organization_id = s.organization_id and x.show_id = s.id and x.deleted_at is null) g
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null;
  if answer.status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_guest_list(uuid) is
  'Summary of a show''s guest list: when it closes, how many places are requested, confirmed and taken, and the same by allotment. PT404.';
grant execute on function app.read_guest_list(uuid) to callboard_api, callboard_definer;

create or replace function app.write_guest_list(show uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.org_if('shows.read');
begin
  -- This and concurrent changes to the list wait for each other.
  perform from app.shows s where s.organization_id = organization and s.id = show and s.deleted_at is null for no key update;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('guests.lock');
  perform app.check_version(coalesce((select l.version from app.guest_lists l where l.organization_id = organization and l.show_id = show), 0), if_match);
  insert into app.guest_lists as l (show_id, closes_at, is_locked)
  values (show, (body ->> 'closes_at')::timestamptz, coalesce((body ->> 'is_locked')::boolean, false))
  on conflict on constraint guest_lists_one_per_show do update set closes_at = excluded.closes_at, is_locked = excluded.is_locked;
  return app.read_guest_list(show);
end
$$;
comment on function app.write_guest_list(uuid, jsonb, text) is
  'Sets when the guest list of a show closes (closes_at) and whether it is closed manually (is_locked). PT403 without guests.lock, PT404, PT412.';
alter function app.write_guest_list(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.write_guest_list(uuid, jsonb, text) to callboard_api;

create or replace function app.check_in_guest(guest uuid, how_many integer, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.guests;
begin
  select * into present from app.guests g
  where g.organization_id = app.org_if('shows.read') and g.id = guest and g.deleted_at is null for no key update;
  perform app.check_version(present.version, if_match);
  perform app.require('shows.write');
  if present.status <> 'confirmed' then
    perform app.refuse(409, 'guest_not_confirmed');
  end if;
  update app.guests g
  set checked_in = coalesce(how_many, present.tickets), checked_in_at = case when how_many = 0 then null else statement_timestamp() end
  where g.organization_id = present.organization_id and g.id = guest;
  return app.read_row('guests', guest);
end
$$;
comment on function app.check_in_guest(uuid, integer, text) is
  'Records how many of a guest''s party are in: all of them if NULL, 0 to undo. Also works after the list is closed. PT403, PT404, PT409 guest_not_confirmed, PT412, PT422.';
alter function app.check_in_guest(uuid, integer, text) owner to callboard_definer;
grant execute on function app.check_in_guest(uuid, integer, text) to callboard_api;

create or replace function app.read_door_list(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200,
    json_build_object(
      'show', json_build_object('id', s.id, 'title', s.title, 'artist', s.artist, 'status', s.status, 'show_on', s.show_on,
        'doors_time', s.doors_time, 'start_time', s.start_time, 'venue_name', s.venue_name, 'venue_city', s.venue_city),
      'is_closed', app.is_guest_list_closed(s.organization_id, s.id),
      'places', (select coalesce(sum(g.tickets), 0) from app.guests g
        where g.organization_id = s.organization_id and g.show_id = s.id and g.status = 'confirmed' and g.deleted_at is null),
      'guests', coalesce((
        select json_agg(json_build_object('id', g.id, 'door_name', g.door_name, 'name', g.name, 'tickets', g.tickets, 'checked_in', g.checked_in,
          'invited_by', g.invited_by, 'allotment_name', g.allotment_name, 'note', g.note) order by g.door_name, g.id)
        from app.guest_rows g
        where g.organization_id = s.organization_id and g.show_id = s.id and g.status = 'confirmed' and g.deleted_at is null), '[]')),
    null, null into answer
  from app.show_rows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null;
  if answer.status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_door_list(uuid) is 'The confirmed guests of a show for the door, by last name. PT404.';
grant execute on function app.read_door_list(uuid) to callboard_api;
