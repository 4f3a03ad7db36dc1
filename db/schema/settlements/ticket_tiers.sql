-- Ticket tiers: the kinds of tickets of a show, what one costs, and how many were sold. In the currency of the show's deal.

create table if not exists app.ticket_tiers (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint ticket_tiers_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  price_minor bigint not null constraint ticket_tiers_price_range check (price_minor between 0 and 9007199254740991),
  facility_fee_minor bigint not null default 0 constraint ticket_tiers_facility_fee_range check (facility_fee_minor between 0 and 9007199254740991),
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
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint ticket_tiers_fee_within_price check (facility_fee_minor <= price_minor),
  constraint ticket_tiers_within_allotment check (sold::bigint + comps <= allotment)
);
create index if not exists ticket_tiers_organization_id_show_id_idx on app.ticket_tiers (organization_id, show_id, created_at, id) where deleted_at is null;

select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance');
grant insert (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps), update (name, price_minor, facility_fee_minor, allotment, sold, comps) on app.ticket_tiers to callboard_api;

comment on table app.ticket_tiers is 'The kinds of tickets of a show, with how many were sold.';
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before anybody shares.';
comment on column app.ticket_tiers.comps is 'Tickets that were given away: they take a place, and bring and cost nothing.';

create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps on app.ticket_tiers
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.ticket_tier_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.name, x.price_minor, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'name', x.name, 'price_minor', x.price_minor, 'facility_fee_minor', x.facility_fee_minor,
      'allotment', x.allotment, 'sold', x.sold, 'comps', x.comps,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.ticket_tiers x;
comment on view app.ticket_tier_list is 'The organization''s ticket tiers with their JSON, also those in the bin, which have deleted_at.';
grant select on app.ticket_tier_list to callboard_api, callboard_definer;

create or replace function app.read_ticket_tier(tier uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/ticket-tiers/' || x.id into answer from app.ticket_tier_list x
  where x.organization_id = (select app.current_org()) and x.id = tier and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_ticket_tier(uuid) is 'A ticket tier. PT403, PT404.';
grant execute on function app.read_ticket_tier(uuid) to callboard_api, callboard_definer;

create or replace function app.create_ticket_tier(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.ticket_tiers := jsonb_populate_record(null::app.ticket_tiers, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.ticket_tiers (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps)
  values (show, n.name, n.price_minor, coalesce(n.facility_fee_minor, 0), n.allotment, coalesce(n.sold, 0), coalesce(n.comps, 0)) returning id into n.id;
  answer := app.read_ticket_tier(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_ticket_tier(uuid, jsonb) is 'A new ticket tier of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
grant execute on function app.create_ticket_tier(uuid, jsonb) to callboard_api;

create or replace function app.write_ticket_tier(tier uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.ticket_tiers;
begin
  perform app.require('finance.read');
  select * into n from app.ticket_tiers x where x.organization_id = (select app.current_org()) and x.id = tier and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.ticket_tiers x
  where x.organization_id = (select app.current_org()) and x.id = tier and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.ticket_tiers else n end, body);
  update app.ticket_tiers x
  set (name, price_minor, facility_fee_minor, allotment, sold, comps)
    = row (n.name, n.price_minor, coalesce(n.facility_fee_minor, 0), n.allotment, coalesce(n.sold, 0), coalesce(n.comps, 0))
  where x.organization_id = (select app.current_org()) and x.id = tier;
  return app.read_ticket_tier(tier);
end
$$;
comment on function app.write_ticket_tier(uuid, jsonb, boolean, text) is
  'Changes a ticket tier: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
grant execute on function app.write_ticket_tier(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_ticket_tier(tier uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.ticket_tiers', tier, if_match);
end
$$;
comment on function app.delete_ticket_tier(uuid, text) is 'Deletes a ticket tier until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_ticket_tier(uuid, text) owner to callboard_definer;
grant execute on function app.delete_ticket_tier(uuid, text) to callboard_api;

create or replace function app.restore_ticket_tier(tier uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.ticket_tiers', tier);
  return app.read_ticket_tier(tier);
end
$$;
comment on function app.restore_ticket_tier(uuid) is 'Brings a deleted ticket tier back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_ticket_tier(uuid) owner to callboard_definer;
grant execute on function app.restore_ticket_tier(uuid) to callboard_api;
