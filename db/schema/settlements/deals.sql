-- Deals: what the artist of a show is paid, and on what basis. The computation is in settlement_arithmetic.sql.

create table if not exists app.deals (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deals_kind_known check (kind in ('flat', 'door', 'plus', 'versus')),
  currency char(3) not null constraint deals_currency_exists references app.currencies (code),
  guarantee_minor bigint constraint deals_guarantee_range check (app.is_money(guarantee_minor)),
  -- Rates are in basis points: 8500 is 85 %.
  percentage_bp integer constraint deals_percentage_range check (app.is_rate(percentage_bp)),
  base text constraint deals_base_known check (base in ('gross', 'net', 'net_after_promoter_profit')),
  tax_bp integer not null default 0 constraint deals_tax_range check (app.is_rate(tax_bp)),
  promoter_profit_bp integer not null default 0 constraint deals_promoter_profit_range check (app.is_rate(promoter_profit_bp)),
  guarantee_is_cost boolean not null,
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
  constraint deals_guarantee_by_kind check ((kind = 'door') = (guarantee_minor is null)),
  constraint deals_percentage_by_kind check ((kind = 'flat') = (percentage_bp is null) and (kind = 'flat') = (base is null)),
  constraint deals_promoter_profit_by_base check (promoter_profit_bp = 0 or base is not distinct from 'net_after_promoter_profit'),
  constraint deals_guarantee_is_cost_of_plus check (not guarantee_is_cost or kind = 'plus')
);
create unique index if not exists deals_one_per_show on app.deals (organization_id, show_id) where deleted_at is null;
create index if not exists deals_organization_id_show_id_idx on app.deals (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.deal_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.currency, x.guarantee_minor, x.percentage_bp, x.base, x.tax_bp, x.promoter_profit_bp, x.guarantee_is_cost,
    x.created_by, x.created_at, x.updated_at
  from app.deals x;

select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost), update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost) on app.deals to callboard_api;

comment on table app.deals is 'What the artist of a show is paid: at most one undeleted deal per show.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage applies to: ticket sales as paid; what is left of them after fees, taxes and costs; or what is left after the promoter''s profit as well.';
comment on column app.deals.tax_bp is 'The rate of the tax included in ticket prices.';
comment on column app.deals.promoter_profit_bp is 'The promoter''s profit before the percentage begins, as a share of the costs.';
comment on column app.deals.guarantee_is_cost is 'For plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins only once it has been earned back.';

create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost on app.deals
  for each row execute function app_private.tg__200_unsettled();

create or replace function app_private.tg_deals__150_guarantee_is_cost() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.guarantee_is_cost := coalesce(new.guarantee_is_cost, new.kind = 'plus');
  return new;
end
$$;
comment on function app_private.tg_deals__150_guarantee_is_cost() is 'The default of guarantee_is_cost: true for plus deals, false for others.';
create or replace trigger _150_guarantee_is_cost before insert or update of guarantee_is_cost on app.deals
  for each row execute function app_private.tg_deals__150_guarantee_is_cost();
