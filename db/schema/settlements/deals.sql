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

select app_private.tenant_table('deals', noun => 'deal', permission => 'finance');
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost), update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost) on app.deals to callboard_api;

comment on table app.deals is 'What the artist of a show is paid: at most one that is not deleted for each show.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage is of: ticket sales as they were paid; what is left of them after fees, taxes and costs; or after the promoter''s profit, too.';
comment on column app.deals.tax_bp is 'The rate of the tax that the prices of the tickets contain.';
comment on column app.deals.promoter_profit_bp is 'The promoter''s profit before the percentage begins, as a share of the costs.';
comment on column app.deals.guarantee_is_cost is 'Of plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins when it has been earned back.';

create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost on app.deals
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
  where x.organization_id = (select app.current_org()) and x.id = deal and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_deal(uuid) is 'A deal. PT403, PT404.';
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
grant execute on function app.create_deal(uuid, jsonb) to callboard_api;

create or replace function app.write_deal(deal uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deals;
begin
  perform app.require('finance.read');
  select * into n from app.deals x where x.organization_id = (select app.current_org()) and x.id = deal and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.deals x
  where x.organization_id = (select app.current_org()) and x.id = deal and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.deals else n end, body);
  update app.deals x
  set (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost)
    = row (n.kind, n.currency, n.guarantee_minor, n.percentage_bp, n.base, coalesce(n.tax_bp, 0), coalesce(n.promoter_profit_bp, 0),
      coalesce(n.guarantee_is_cost, n.kind = 'plus'))
  where x.organization_id = (select app.current_org()) and x.id = deal;
  return app.read_deal(deal);
end
$$;
comment on function app.write_deal(uuid, jsonb, boolean, text) is
  'Changes a deal: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
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
grant execute on function app.restore_deal(uuid) to callboard_api;
