-- How many places on a guest list a party may give away: the band, the promoter, a label. A guest can count against one.

create table if not exists app.guest_allotments (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint guest_allotments_name_length check (app.is_line(name, 200)),
  tickets integer not null constraint guest_allotments_tickets_range check (tickets between 0 and 10000),
  note text constraint guest_allotments_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  -- For app.guests: a guest counts only against an allotment of the same show.
  constraint guest_allotments_of_show unique (organization_id, id, show_id),
  constraint guest_allotments_show_exists foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create unique index if not exists guest_allotment_name_taken on app.guest_allotments (organization_id, show_id, lower(name)) where deleted_at is null;
alter index app.guest_allotment_name_taken alter column 3 set statistics 0;

create or replace view app.guest_allotment_rows with (security_invoker = true) as
  select a.organization_id, a.version, a.deleted_at, a.deleted_by, app.body(a.as_json) as body,
    a.id, a.show_id, a.name, a.tickets, a.note, a.created_by, a.created_at, a.updated_at
  from app.guest_allotments a;

select app_private.tenant_table('guest_allotments', noun => 'guest_allotment', permission => 'shows', path => '/api/guest-allotments', is_exported => true);
grant insert (show_id, name, tickets, note), update (name, tickets, note) on app.guest_allotments to callboard_api;

comment on table app.guest_allotments is 'How many places on a guest list a party, such as the band, may give away.';
comment on column app.guest_allotments.tickets is 'How many places confirmed guests may take in total.';

create or replace function app_private.require_places(organization uuid, allotment uuid, guest uuid, more integer, allowed integer) returns void
-- Volatile, so that it sees what was committed while its caller waited for the lock.
language plpgsql volatile
set search_path = ''
as $$
declare
  taken bigint := more + (
    select coalesce(sum(g.tickets), 0) from app.guests g
    where g.organization_id = organization and g.allotment_id = allotment and g.status = 'confirmed' and g.deleted_at is null
      and g.id is distinct from guest);
begin
  if taken > allowed then
    perform app.refuse(409, 'guest_allotment_exceeded', format('The allotment has %s places, and this would take %s.', allowed, taken));
  end if;
end
$$;
comment on function app_private.require_places(uuid, uuid, uuid, integer, integer) is
  'PT409 guest_allotment_exceeded if the confirmed guests of an allotment, without the given guest and with the given number of further places, take more than allowed. The caller must have locked the allotment.';
alter function app_private.require_places(uuid, uuid, uuid, integer, integer) owner to callboard_definer;

create or replace function app_private.tg_guest_allotments__500_places() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.require_places(new.organization_id, new.id, null, 0, new.tickets);
  return null;
end
$$;
comment on function app_private.tg_guest_allotments__500_places() is 'After an allotment is reduced, which locks its row: see app_private.require_places.';
alter function app_private.tg_guest_allotments__500_places() owner to callboard_definer;
create or replace trigger _500_places after update of tickets on app.guest_allotments
  for each row when (new.tickets < old.tickets) execute function app_private.tg_guest_allotments__500_places();
