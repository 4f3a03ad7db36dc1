-- The guest list of a show: who gets in without a ticket, with how many companions, and who invited them.

create or replace function app.last_name_first(name text) returns text
language sql immutable parallel safe
return regexp_replace(btrim(name), '^(.*\S)\s+(\S+)$', '\2, \1');
comment on function app.last_name_first(text) is
  'A name with its last word first, as a door list sorts it: Marta Veld is found under V.';
grant execute on function app.last_name_first(text) to callboard_api, callboard_definer;

create table if not exists app.guests (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  allotment_id uuid,
  name text collate app.people not null constraint guests_name_length check (app.is_line(name, 200)),
  tickets integer not null default 1 constraint guests_tickets_range check (tickets between 1 and 100),
  invited_by text collate app.people constraint guests_invited_by_length check (app.is_line(invited_by, 200)),
  note text constraint guests_note_length check (length(note) <= 1000),
  status text not null default 'confirmed' constraint guests_status_known check (status in ('requested', 'confirmed', 'declined')),
  sort_name text collate app.people constraint guests_sort_name_length check (app.is_line(sort_name, 200)),
  door_name text collate app.people generated always as (coalesce(sort_name, app.last_name_first(name))) stored,
  checked_in integer not null default 0 constraint guests_checked_in_within_tickets check (checked_in between 0 and tickets),
  checked_in_at timestamptz,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint guests_allotment_exists foreign key (organization_id, allotment_id, show_id)
    references app.guest_allotments (organization_id, id, show_id),
  constraint guests_show_exists foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint guests_checked_in_confirmed check (checked_in = 0 or status = 'confirmed')
);
create index if not exists guests_organization_id_show_id_idx on app.guests (organization_id, show_id, door_name, id) where deleted_at is null;
create index if not exists guests_organization_id_allotment_id_idx on app.guests (organization_id, allotment_id) where allotment_id is not null;

create or replace view app.guest_rows with (security_invoker = true) as
  select g.organization_id, g.version, g.deleted_at, g.deleted_by, app.body(g.as_json, row_to_json(j)) as body,
    g.id, g.show_id, g.name, g.allotment_id, g.tickets, g.invited_by, g.note, g.status, g.sort_name,
    g.checked_in, g.checked_in_at, g.created_by, g.created_at, g.updated_at, j.*
  from app.guests g
  left join app.guest_allotments a on a.organization_id = g.organization_id and a.id = g.allotment_id
  cross join lateral (select g.door_name, a.name as allotment_name) j;

select app_private.tenant_table('guests', noun => 'guest', permission => 'shows', path => '/api/guests', is_exported => true);
grant insert (show_id, allotment_id, name, tickets, invited_by, note, status, sort_name), update (allotment_id, name, tickets, invited_by, note, status, sort_name)
  on app.guests to callboard_api;
grant update (checked_in, checked_in_at) on app.guests to callboard_definer;

comment on table app.guests is 'Who gets into a show without a ticket.';
comment on column app.guests.tickets is 'How many get in under this name, including the guest.';
comment on column app.guests.allotment_id is 'The allotment whose places the guest takes once confirmed.';
comment on column app.guests.checked_in is 'How many of them are in.';
comment on column app.guests.status is 'requested: asked for, not decided; confirmed: gets in; declined: does not.';
comment on column app.guests.door_name is 'The sort key of door lists: sort_name, or the name with its last word first.';

create or replace function app_private.tg_guests__400_places() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  allotment app.guest_allotments;
begin
  -- Locked, so that guests are entered one after another and each sees the places already taken.
  select * into allotment from app.guest_allotments a
  where a.organization_id = new.organization_id and a.id = new.allotment_id for no key update;
  -- A DBA has no context, and the definer locks nothing without.
  if allotment.id is null then
    select * into allotment from app.guest_allotments a where a.organization_id = new.organization_id and a.id = new.allotment_id;
  end if;
  if allotment.id is null or allotment.deleted_at is not null or allotment.show_id <> new.show_id then
    perform app.refuse(409, 'guests_allotment_exists', 'The show has no such allotment.');
  elsif new.status = 'confirmed' then
    perform app_private.require_places(new.organization_id, new.allotment_id, new.id, new.tickets, allotment.tickets);
  end if;
  return new;
end
$$;
comment on function app_private.tg_guests__400_places() is
  'Before a guest of an allotment is entered, changed or restored: PT409 guests_allotment_exists if the show has no such allotment, PT409 guest_allotment_exceeded if it has too few places.';
alter function app_private.tg_guests__400_places() owner to callboard_definer;
create or replace trigger _400_places before insert or update of tickets, status, allotment_id, deletion_id on app.guests
  for each row when (new.allotment_id is not null and new.deletion_id is null) execute function app_private.tg_guests__400_places();
