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
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint ticket_tiers_fee_within_price check (facility_fee_minor <= price_minor),
  constraint ticket_tiers_within_allotment check (sold::bigint + comps <= allotment)
);
create index if not exists ticket_tiers_organization_id_show_id_idx on app.ticket_tiers (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.ticket_tier_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.price_minor, x.allotment, x.facility_fee_minor, x.sold, x.comps,
    x.created_by, x.created_at, x.updated_at
  from app.ticket_tiers x;

select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps), update (name, price_minor, facility_fee_minor, allotment, sold, comps) on app.ticket_tiers to callboard_api;

comment on table app.ticket_tiers is 'A show''s kinds of tickets and how many of each were sold.';
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before the rest is shared.';
comment on column app.ticket_tiers.comps is 'Tickets given away: they take a place but neither earn nor cost anything.';

create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps on app.ticket_tiers
  for each row execute function app_private.tg__200_unsettled();
