--! Previous: sha1:7f8ff6e266619ed5214cdff90e4fffd0803f1063
--! Hash: sha1:0b3e1ef0cb6050e273fa9f1b036e98d07efc541a
--! Message: a bin of what shows are settled from

--! Included deals.sql
-- Deals: what the artist of a show is paid, and of what. How that is worked out is in settlement_arithmetic.sql.

create table if not exists app.deals (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deals_kind_known check (kind in ('flat', 'door', 'plus', 'versus')),
  currency char(3) not null constraint deals_currency_exists references app.currencies (code),
  guarantee_minor bigint constraint deals_guarantee_range check (guarantee_minor between 0 and 9007199254740991),
  -- Rates are in basis points: 8500 is 85 %.
  percentage_bp integer constraint deals_percentage_range check (percentage_bp between 0 and 10000),
  base text constraint deals_base_known check (base in ('gross', 'net', 'net_after_promoter_profit')),
  tax_bp integer not null default 0 constraint deals_tax_range check (tax_bp between 0 and 10000),
  promoter_profit_bp integer not null default 0 constraint deals_promoter_profit_range check (promoter_profit_bp between 0 and 10000),
  guarantee_is_cost boolean not null,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deals_guarantee_by_kind check ((kind = 'door') = (guarantee_minor is null)),
  constraint deals_percentage_by_kind check ((kind = 'flat') = (percentage_bp is null) and (kind = 'flat') = (base is null)),
  constraint deals_promoter_profit_by_base check (promoter_profit_bp = 0 or base is not distinct from 'net_after_promoter_profit'),
  constraint deals_guarantee_is_cost_of_plus check (not guarantee_is_cost or kind = 'plus')
);
create unique index if not exists deals_one_per_show on app.deals (organization_id, show_id) where deleted_at is null;
create index if not exists deals_organization_id_show_id_idx on app.deals (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists deals_deletion_id_idx on app.deals (organization_id, deletion_id) where deletion_id is not null;
alter table app.deals alter column kind set statistics 0, alter column guarantee_minor set statistics 0, alter column percentage_bp set statistics 0,
  alter column base set statistics 0, alter column tax_bp set statistics 0, alter column promoter_profit_bp set statistics 0;

alter table app.deals enable row level security;
alter table app.deals force row level security;

drop policy if exists select_member on app.deals;
create policy select_member on app.deals for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.deals;
create policy insert_member on app.deals for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.deals;
create policy update_member on app.deals for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.deals;
create policy delete_member on app.deals for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.deals;
create policy select_definer on app.deals for select to callboard_definer using (true);
drop policy if exists update_definer on app.deals;
create policy update_definer on app.deals for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.deals to callboard_api, callboard_definer;
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost), update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost) on app.deals to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.deals to callboard_definer;

comment on table app.deals is 'What the artist of a show is paid: at most one that is not deleted for each show.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage is of: ticket sales as they were paid; what is left of them after fees, taxes and costs; or after the promoter''s profit, too.';
comment on column app.deals.tax_bp is 'The rate of the tax that the prices of the tickets contain.';
comment on column app.deals.promoter_profit_bp is 'The promoter''s profit before the percentage begins, as a share of the costs.';
comment on column app.deals.guarantee_is_cost is 'Of plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins when it has been earned back.';

select app_private.log_changes('app.deals', 'deal');

drop trigger if exists _100_timestamps on app.deals;
create trigger _100_timestamps before update on app.deals
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.deals;
create trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost on app.deals
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.deal_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'kind', x.kind, 'currency', x.currency, 'guarantee_minor', x.guarantee_minor, 'percentage_bp', x.percentage_bp,
      'base', x.base, 'tax_bp', x.tax_bp, 'promoter_profit_bp', x.promoter_profit_bp, 'guarantee_is_cost', x.guarantee_is_cost,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.deals x;
comment on view app.deal_list is 'The organization''s deals with their JSON, also those in the bin, which have deleted_at.';
grant select on app.deal_list to callboard_api, callboard_definer;

create or replace function app.read_deal(deal uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/deals/' || x.id into answer from app.deal_list x
  where x.organization_id = app.current_org() and x.id = deal and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_deal(uuid) is 'A deal. PT403, PT404.';
revoke execute on function app.read_deal(uuid) from public;
grant execute on function app.read_deal(uuid) to callboard_api, callboard_definer;

create or replace function app.create_deal(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deals := jsonb_populate_record(null::app.deals, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.deals (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost)
  values (show, n.kind, n.currency, n.guarantee_minor, n.percentage_bp, n.base, coalesce(n.tax_bp, 0), coalesce(n.promoter_profit_bp, 0),
      coalesce(n.guarantee_is_cost, n.kind = 'plus')) returning id into n.id;
  answer := app.read_deal(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_deal(uuid, jsonb) is 'A new deal of a show. PT403 without finance.write, PT404, PT409 deals_one_per_show, settlement_final.';
revoke execute on function app.create_deal(uuid, jsonb) from public;
grant execute on function app.create_deal(uuid, jsonb) to callboard_api;

create or replace function app.write_deal(deal uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deals;
begin
  perform app.require('finance.read');
  select * into n from app.deals x where x.organization_id = app.current_org() and x.id = deal and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.deals x
  where x.organization_id = app.current_org() and x.id = deal and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.deals else n end, body);
  update app.deals x
  set (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost)
    = row (n.kind, n.currency, n.guarantee_minor, n.percentage_bp, n.base, coalesce(n.tax_bp, 0), coalesce(n.promoter_profit_bp, 0),
      coalesce(n.guarantee_is_cost, n.kind = 'plus'))
  where x.organization_id = app.current_org() and x.id = deal;
  return app.read_deal(deal);
end
$$;
comment on function app.write_deal(uuid, jsonb, boolean, text) is
  'Changes a deal: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_deal(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_deal(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_deal(deal uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.deals', deal, if_match);
end
$$;
comment on function app.delete_deal(uuid, text) is 'Deletes a deal until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_deal(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_deal(uuid, text) from public;
grant execute on function app.delete_deal(uuid, text) to callboard_api;

create or replace function app.restore_deal(deal uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.deals', deal);
  return app.read_deal(deal);
end
$$;
comment on function app.restore_deal(uuid) is 'Brings a deleted deal back. PT403, PT404, PT409 deals_one_per_show, parent_deleted, settlement_final.';
alter function app.restore_deal(uuid) owner to callboard_definer;
revoke execute on function app.restore_deal(uuid) from public;
grant execute on function app.restore_deal(uuid) to callboard_api;
--! EndIncluded deals.sql
--! Included ticket_tiers.sql
-- Ticket tiers: the kinds of tickets of a show, what one costs, and how many were sold. In the currency of the show's deal.

create table if not exists app.ticket_tiers (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text not null constraint ticket_tiers_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
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
create index if not exists ticket_tiers_deletion_id_idx on app.ticket_tiers (organization_id, deletion_id) where deletion_id is not null;
alter table app.ticket_tiers alter column name set statistics 0, alter column price_minor set statistics 0, alter column facility_fee_minor set statistics 0,
  alter column allotment set statistics 0, alter column sold set statistics 0, alter column comps set statistics 0;

alter table app.ticket_tiers enable row level security;
alter table app.ticket_tiers force row level security;

drop policy if exists select_member on app.ticket_tiers;
create policy select_member on app.ticket_tiers for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.ticket_tiers;
create policy insert_member on app.ticket_tiers for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.ticket_tiers;
create policy update_member on app.ticket_tiers for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.ticket_tiers;
create policy delete_member on app.ticket_tiers for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.ticket_tiers;
create policy select_definer on app.ticket_tiers for select to callboard_definer using (true);
drop policy if exists update_definer on app.ticket_tiers;
create policy update_definer on app.ticket_tiers for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.ticket_tiers to callboard_api, callboard_definer;
grant insert (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps), update (name, price_minor, facility_fee_minor, allotment, sold, comps) on app.ticket_tiers to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.ticket_tiers to callboard_definer;

comment on table app.ticket_tiers is 'The kinds of tickets of a show, with how many were sold.';
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before anybody shares.';
comment on column app.ticket_tiers.comps is 'Tickets that were given away: they take a place, and bring and cost nothing.';

select app_private.log_changes('app.ticket_tiers', 'ticket_tier');

drop trigger if exists _100_timestamps on app.ticket_tiers;
create trigger _100_timestamps before update on app.ticket_tiers
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.ticket_tiers;
create trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps on app.ticket_tiers
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
  where x.organization_id = app.current_org() and x.id = tier and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_ticket_tier(uuid) is 'A ticket tier. PT403, PT404.';
revoke execute on function app.read_ticket_tier(uuid) from public;
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
revoke execute on function app.create_ticket_tier(uuid, jsonb) from public;
grant execute on function app.create_ticket_tier(uuid, jsonb) to callboard_api;

create or replace function app.write_ticket_tier(tier uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.ticket_tiers;
begin
  perform app.require('finance.read');
  select * into n from app.ticket_tiers x where x.organization_id = app.current_org() and x.id = tier and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.ticket_tiers x
  where x.organization_id = app.current_org() and x.id = tier and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.ticket_tiers else n end, body);
  update app.ticket_tiers x
  set (name, price_minor, facility_fee_minor, allotment, sold, comps)
    = row (n.name, n.price_minor, coalesce(n.facility_fee_minor, 0), n.allotment, coalesce(n.sold, 0), coalesce(n.comps, 0))
  where x.organization_id = app.current_org() and x.id = tier;
  return app.read_ticket_tier(tier);
end
$$;
comment on function app.write_ticket_tier(uuid, jsonb, boolean, text) is
  'Changes a ticket tier: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_ticket_tier(uuid, jsonb, boolean, text) from public;
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
revoke execute on function app.delete_ticket_tier(uuid, text) from public;
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
revoke execute on function app.restore_ticket_tier(uuid) from public;
grant execute on function app.restore_ticket_tier(uuid) to callboard_api;
--! EndIncluded ticket_tiers.sql
--! Included show_costs.sql
-- Costs of a show: what the promoter pays for it. In the currency of the show's deal.

create table if not exists app.show_costs (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text not null constraint show_costs_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  kind text not null constraint show_costs_kind_known check (kind in ('fixed', 'per_ticket')),
  amount_minor bigint not null constraint show_costs_amount_range check (amount_minor between 0 and 9007199254740991),
  is_estimate boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists show_costs_organization_id_show_id_idx on app.show_costs (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists show_costs_deletion_id_idx on app.show_costs (organization_id, deletion_id) where deletion_id is not null;
alter table app.show_costs alter column name set statistics 0, alter column kind set statistics 0, alter column amount_minor set statistics 0;

alter table app.show_costs enable row level security;
alter table app.show_costs force row level security;

drop policy if exists select_member on app.show_costs;
create policy select_member on app.show_costs for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.show_costs;
create policy insert_member on app.show_costs for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.show_costs;
create policy update_member on app.show_costs for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.show_costs;
create policy delete_member on app.show_costs for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.show_costs;
create policy select_definer on app.show_costs for select to callboard_definer using (true);
drop policy if exists update_definer on app.show_costs;
create policy update_definer on app.show_costs for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.show_costs to callboard_api, callboard_definer;
grant insert (show_id, name, kind, amount_minor, is_estimate), update (name, kind, amount_minor, is_estimate) on app.show_costs to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.show_costs to callboard_definer;

comment on table app.show_costs is 'What the promoter pays for a show.';
comment on column app.show_costs.kind is 'fixed: the amount, once; per_ticket: the amount for each ticket sold.';
comment on column app.show_costs.is_estimate is 'Whether the invoice is still to come: a settlement with an estimate cannot be final.';

select app_private.log_changes('app.show_costs', 'show_cost');

drop trigger if exists _100_timestamps on app.show_costs;
create trigger _100_timestamps before update on app.show_costs
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.show_costs;
create trigger _200_unsettled before insert or update of name, kind, amount_minor, is_estimate on app.show_costs
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.show_cost_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.name, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'name', x.name, 'kind', x.kind, 'amount_minor', x.amount_minor, 'is_estimate', x.is_estimate,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.show_costs x;
comment on view app.show_cost_list is 'The organization''s costs of shows with their JSON, also those in the bin, which have deleted_at.';
grant select on app.show_cost_list to callboard_api, callboard_definer;

create or replace function app.read_show_cost(cost uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/costs/' || x.id into answer from app.show_cost_list x
  where x.organization_id = app.current_org() and x.id = cost and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show_cost(uuid) is 'A cost. PT403, PT404.';
revoke execute on function app.read_show_cost(uuid) from public;
grant execute on function app.read_show_cost(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show_cost(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.show_costs := jsonb_populate_record(null::app.show_costs, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.show_costs (show_id, name, kind, amount_minor, is_estimate)
  values (show, n.name, n.kind, n.amount_minor, coalesce(n.is_estimate, false)) returning id into n.id;
  answer := app.read_show_cost(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show_cost(uuid, jsonb) is 'A new cost of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
revoke execute on function app.create_show_cost(uuid, jsonb) from public;
grant execute on function app.create_show_cost(uuid, jsonb) to callboard_api;

create or replace function app.write_show_cost(cost uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.show_costs;
begin
  perform app.require('finance.read');
  select * into n from app.show_costs x where x.organization_id = app.current_org() and x.id = cost and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.show_costs x
  where x.organization_id = app.current_org() and x.id = cost and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.show_costs else n end, body);
  update app.show_costs x
  set (name, kind, amount_minor, is_estimate)
    = row (n.name, n.kind, n.amount_minor, coalesce(n.is_estimate, false))
  where x.organization_id = app.current_org() and x.id = cost;
  return app.read_show_cost(cost);
end
$$;
comment on function app.write_show_cost(uuid, jsonb, boolean, text) is
  'Changes a cost: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_show_cost(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_show_cost(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_show_cost(cost uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.show_costs', cost, if_match);
end
$$;
comment on function app.delete_show_cost(uuid, text) is 'Deletes a cost until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_show_cost(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_show_cost(uuid, text) from public;
grant execute on function app.delete_show_cost(uuid, text) to callboard_api;

create or replace function app.restore_show_cost(cost uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.show_costs', cost);
  return app.read_show_cost(cost);
end
$$;
comment on function app.restore_show_cost(uuid) is 'Brings a deleted cost back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_show_cost(uuid) owner to callboard_definer;
revoke execute on function app.restore_show_cost(uuid) from public;
grant execute on function app.restore_show_cost(uuid) to callboard_api;
--! EndIncluded show_costs.sql
--! Included deposits.sql
-- Deposits: what the artist has been paid ahead of the settlement. In the currency of the show's deal.

create table if not exists app.deposits (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  paid_on date not null constraint deposits_paid_on_range check (paid_on between date '1900-01-01' and date '2199-12-31'),
  amount_minor bigint not null constraint deposits_amount_range check (amount_minor between 1 and 9007199254740991),
  note text constraint deposits_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists deposits_organization_id_show_id_idx on app.deposits (organization_id, show_id, paid_on, id) where deleted_at is null;
create index if not exists deposits_deletion_id_idx on app.deposits (organization_id, deletion_id) where deletion_id is not null;
alter table app.deposits alter column amount_minor set statistics 0, alter column note set statistics 0;

alter table app.deposits enable row level security;
alter table app.deposits force row level security;

drop policy if exists select_member on app.deposits;
create policy select_member on app.deposits for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.deposits;
create policy insert_member on app.deposits for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.deposits;
create policy update_member on app.deposits for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.deposits;
create policy delete_member on app.deposits for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.deposits;
create policy select_definer on app.deposits for select to callboard_definer using (true);
drop policy if exists update_definer on app.deposits;
create policy update_definer on app.deposits for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.deposits to callboard_api, callboard_definer;
grant insert (show_id, paid_on, amount_minor, note), update (paid_on, amount_minor, note) on app.deposits to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.deposits to callboard_definer;

comment on table app.deposits is 'What artists have been paid ahead of the settlement of a show.';

select app_private.log_changes('app.deposits', 'deposit');

drop trigger if exists _100_timestamps on app.deposits;
create trigger _100_timestamps before update on app.deposits
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.deposits;
create trigger _200_unsettled before insert or update of paid_on, amount_minor, note on app.deposits
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.deposit_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.paid_on, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'paid_on', x.paid_on, 'amount_minor', x.amount_minor, 'note', x.note,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.deposits x;
comment on view app.deposit_list is 'The organization''s deposits with their JSON, also those in the bin, which have deleted_at.';
grant select on app.deposit_list to callboard_api, callboard_definer;

create or replace function app.read_deposit(deposit uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/deposits/' || x.id into answer from app.deposit_list x
  where x.organization_id = app.current_org() and x.id = deposit and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_deposit(uuid) is 'A deposit. PT403, PT404.';
revoke execute on function app.read_deposit(uuid) from public;
grant execute on function app.read_deposit(uuid) to callboard_api, callboard_definer;

create or replace function app.create_deposit(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deposits := jsonb_populate_record(null::app.deposits, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.deposits (show_id, paid_on, amount_minor, note)
  values (show, n.paid_on, n.amount_minor, n.note) returning id into n.id;
  answer := app.read_deposit(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_deposit(uuid, jsonb) is 'A new deposit of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
revoke execute on function app.create_deposit(uuid, jsonb) from public;
grant execute on function app.create_deposit(uuid, jsonb) to callboard_api;

create or replace function app.write_deposit(deposit uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deposits;
begin
  perform app.require('finance.read');
  select * into n from app.deposits x where x.organization_id = app.current_org() and x.id = deposit and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.deposits x
  where x.organization_id = app.current_org() and x.id = deposit and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.deposits else n end, body);
  update app.deposits x
  set (paid_on, amount_minor, note)
    = row (n.paid_on, n.amount_minor, n.note)
  where x.organization_id = app.current_org() and x.id = deposit;
  return app.read_deposit(deposit);
end
$$;
comment on function app.write_deposit(uuid, jsonb, boolean, text) is
  'Changes a deposit: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_deposit(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_deposit(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_deposit(deposit uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.deposits', deposit, if_match);
end
$$;
comment on function app.delete_deposit(uuid, text) is 'Deletes a deposit until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_deposit(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_deposit(uuid, text) from public;
grant execute on function app.delete_deposit(uuid, text) to callboard_api;

create or replace function app.restore_deposit(deposit uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.deposits', deposit);
  return app.read_deposit(deposit);
end
$$;
comment on function app.restore_deposit(uuid) is 'Brings a deleted deposit back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_deposit(uuid) owner to callboard_definer;
revoke execute on function app.restore_deposit(uuid) from public;
grant execute on function app.restore_deposit(uuid) to callboard_api;
--! EndIncluded deposits.sql
