-- The guest list of a show: who gets in without a ticket, how many come along, and who invited them.

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
  name text collate app.people not null constraint guests_name_length check (app.is_line(name, 200)),
  tickets integer not null default 1 constraint guests_tickets_range check (tickets between 1 and 100),
  invited_by text collate app.people constraint guests_invited_by_length check (app.is_line(invited_by, 200)),
  note text constraint guests_note_length check (length(note) <= 1000),
  status text not null default 'confirmed' constraint guests_status_known check (status in ('requested', 'confirmed', 'declined')),
  sort_name text constraint guests_sort_name_length check (app.is_line(sort_name, 200)),
  door_name text collate app.people generated always as (coalesce(sort_name, app.last_name_first(name))) stored,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint guests_show_exists foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists guests_organization_id_show_id_idx on app.guests (organization_id, show_id, door_name, id) where deleted_at is null;

select app_private.tenant_table('guests', noun => 'guest', permission => 'shows', path => '/api/guests', is_exported => true);
grant insert (show_id, name, tickets, invited_by, note, status, sort_name), update (name, tickets, invited_by, note, status, sort_name)
  on app.guests to callboard_api;

comment on table app.guests is 'Who gets into a show without a ticket.';
comment on column app.guests.tickets is 'How many get in under this name, the guest included.';
comment on column app.guests.status is 'requested: asked for, not decided; confirmed: gets in; declined: does not.';
comment on column app.guests.door_name is 'What a door list is sorted by: sort_name, or the name with its last word first.';

create or replace trigger _300_parents before insert or update of show_id on app.guests
  for each row execute function app_private.tg__300_parents('show_id', 'app.shows', 'id', 'guests_show_exists');

create or replace view app.guest_rows with (security_invoker = true) as
  select g.organization_id, g.version, g.deleted_at, g.deleted_by,
    g.id, g.show_id, g.name, g.door_name, g.tickets, g.status, g.invited_by, g.note, g.sort_name, g.created_by, g.created_at, g.updated_at
  from app.guests g;
comment on view app.guest_rows is 'The organization''s guest lists, also guests in the bin, which have deleted_at.';
grant select on app.guest_rows to callboard_api, callboard_definer, callboard_exporter;
