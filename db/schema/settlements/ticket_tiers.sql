-- Ticket tiers: a show's kinds of tickets, their price, and how many were sold. In the currency of the show's deal.

create table if not exists app.ticket_tiers (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint ticket_tiers_name_length check (app.is_line(name, 200)),
  price_minor bigint not null constraint ticket_tiers_price_range check (app.is_money(price_minor)),
  facility_fee_minor bigint not null default 0 constraint ticket_tiers_facility_fee_range check (app.is_money(facility_fee_minor)),
  allotment integer not null constraint ticket_tiers_allotment_positive check (allotment > 0),
  sold integer not null default 0 constraint ticket_tiers_sold_positive check (sold >= 0),
  comps integer not null default 0 constraint ticket_tiers_comps_positive check (comps >= 0),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  excluded_minor bigint not null default 0 constraint ticket_tiers_excluded_range check (app.is_money(excluded_minor)),
  deleted_in char(3),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint ticket_tiers_fee_within_price check (facility_fee_minor + excluded_minor <= price_minor),
  constraint ticket_tiers_within_allotment check (sold::bigint + comps <= allotment)
);
create index if not exists ticket_tiers_organization_id_show_id_idx on app.ticket_tiers (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.ticket_tier_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.price_minor, x.allotment, x.facility_fee_minor, x.sold, x.comps,
    x.created_by, x.created_at, x.updated_at,
    x.excluded_minor
  from app.ticket_tiers x;

select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor),
  update (name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor) on app.ticket_tiers to callboard_api;

comment on table app.ticket_tiers is 'A show''s kinds of tickets and how many of each were sold.';
comment on column app.ticket_tiers.deleted_in is 'The currency of the show''s deal when it was deleted, in which alone it is restored; NULL: it had none, or was deleted by 0.3.0 or before.';
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before the rest is shared.';
comment on column app.ticket_tiers.excluded_minor is 'What of the price of each ticket sold is not shared, such as a package: the promoter''s.';
comment on column app.ticket_tiers.comps is 'Tickets given away: they take a place but neither earn nor cost anything.';

create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor on app.ticket_tiers
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _400_finals after insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor on app.ticket_tiers
  for each row execute function app_private.tg__400_finals();

-- Where there are tiers, they are the tickets of the show: how many there are and how many are sold.
create or replace function app_private.match_tickets(organization uuid, show uuid) returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
  tiers record;
begin
  select count(*) as n, least(sum(x.sold), 2147483647)::integer as sold, least(sum(x.allotment), 2147483647)::integer as allotment into tiers
  from app.ticket_tiers x where x.organization_id = organization and x.show_id = show and x.deleted_at is null;
  update app.shows s set tickets_sold = tiers.sold, capacity = tiers.allotment
  where tiers.n > 0 and s.organization_id = organization and s.id = show and s.deleted_at is null
    and (s.tickets_sold, s.capacity) is distinct from (tiers.sold, tiers.allotment);
  return found;
end
$$;
comment on function app_private.match_tickets(uuid, uuid) is 'Gives a show the tickets and the capacity of its tiers, if it has any and they differ; returns whether they did.';
alter function app_private.match_tickets(uuid, uuid) owner to callboard_definer;

create or replace trigger _100_show before insert or update of sold, allotment, deleted_at on app.ticket_tiers
  for each row execute function app_private.tg__100_show();

create or replace function app_private.tg_ticket_tiers__400_tickets() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.match_tickets(new.organization_id, new.show_id);
  return null;
end
$$;
comment on function app_private.tg_ticket_tiers__400_tickets() is 'Keeps the tickets and the capacity of a show equal to those of its tiers.';
alter function app_private.tg_ticket_tiers__400_tickets() owner to callboard_definer;
create or replace trigger _400_tickets_insert after insert on app.ticket_tiers
  for each row execute function app_private.tg_ticket_tiers__400_tickets();
create or replace trigger _400_tickets after update on app.ticket_tiers
  for each row when ((new.sold, new.allotment, new.deleted_at) is distinct from (old.sold, old.allotment, old.deleted_at))
  execute function app_private.tg_ticket_tiers__400_tickets();

create or replace function app.has_tiers(show uuid) returns boolean
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return exists (select from app.ticket_tiers t where t.organization_id = app.current_org() and t.show_id = show and t.deleted_at is null);
end
$$;
comment on function app.has_tiers(uuid) is 'Whether a show has ticket tiers, which also members who see no money learn: its tickets and capacity are theirs.';
alter function app.has_tiers(uuid) owner to callboard_definer;
grant execute on function app.has_tiers(uuid) to callboard_api;

create or replace function app_private.tg_shows__200_tickets() returns trigger
language plpgsql volatile
set search_path = ''
as $$
begin
  if current_user <> 'callboard_definer' and app.has_tiers(new.id) then
    perform app.refuse(409, 'show_tickets_by_tier');
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__200_tickets() is 'PT409 show_tickets_by_tier for other tickets or another capacity than those of the show''s tiers.';
create or replace trigger _200_tickets before update on app.shows
  for each row when ((new.tickets_sold, new.capacity) is distinct from (old.tickets_sold, old.capacity))
  execute function app_private.tg_shows__200_tickets();
create or replace trigger _350_denomination before update of deleted_at on app.ticket_tiers
  for each row when ((new.deleted_at is null) <> (old.deleted_at is null)) execute function app_private.tg__350_denomination();
