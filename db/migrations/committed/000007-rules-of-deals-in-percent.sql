--! Previous: sha1:0c1f4e793364837bb0313dde8c75ae06f6e29d03
--! Hash: sha1:81f1bc962cecb4f6332f99da786280091cc870dc
--! Message: rules of deals in percent

-- Rows of before have their percentages only once their JSON has been made again, after all migrations.
alter table app.deals drop constraint if exists deals_valid_rates,
  add constraint deals_valid_rates check (app.is_percentage(percentage) and app.is_percentage(tax_percentage) and app.is_percentage(promoter_profit_percentage)) not valid,
  drop constraint if exists deals_base_known,
  add constraint deals_base_known check (base in ('gross', 'net_receipts', 'net', 'net_after_promoter_profit')) not valid,
  drop constraint if exists deals_percentage_by_kind,
  add constraint deals_percentage_by_kind check ((kind = 'flat') = (coalesce(percentage, percentage_bp) is null) and (kind = 'flat') = (base is null)) not valid,
  drop constraint if exists deals_promoter_profit_by_base,
  add constraint deals_promoter_profit_by_base check (coalesce(promoter_profit_percentage, promoter_profit_bp, 0) = 0 or base is not distinct from 'net_after_promoter_profit') not valid;
-- Included settlements/deals.sql
-- Deals: what the artist of a show is paid, and on what basis. The computation is in settlement_arithmetic.sql.

create table if not exists app.deals (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deals_kind_known check (kind in ('flat', 'door', 'plus', 'versus')),
  currency char(3) not null constraint deals_currency_exists references app.currencies (code),
  guarantee_minor bigint constraint deals_guarantee_range check (app.is_money(guarantee_minor)),
  -- In basis points: 8500 is 85 %. The rates of up to 0.2.0, which a trigger keeps equal to those below.
  percentage_bp integer constraint deals_percentage_range check (app.is_rate(percentage_bp)),
  base text constraint deals_base_known check (base in ('gross', 'net_receipts', 'net', 'net_after_promoter_profit')),
  tax_bp integer constraint deals_tax_range check (app.is_rate(tax_bp)),
  promoter_profit_bp integer constraint deals_promoter_profit_range check (app.is_rate(promoter_profit_bp)),
  guarantee_is_cost boolean not null,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  -- In percent, exact.
  percentage numeric,
  tax_percentage numeric,
  promoter_profit_percentage numeric,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deals_guarantee_by_kind check ((kind = 'door') = (guarantee_minor is null)),
  -- Rows of before have their percentages only once their JSON has been made again.
  constraint deals_percentage_by_kind check ((kind = 'flat') = (coalesce(percentage, percentage_bp) is null) and (kind = 'flat') = (base is null)),
  constraint deals_promoter_profit_by_base check (coalesce(promoter_profit_percentage, promoter_profit_bp, 0) = 0 or base is not distinct from 'net_after_promoter_profit'),
  constraint deals_valid_rates check (app.is_percentage(percentage) and app.is_percentage(tax_percentage) and app.is_percentage(promoter_profit_percentage)),
  constraint deals_guarantee_is_cost_of_plus check (not guarantee_is_cost or kind = 'plus')
);
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage),
  update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage) on app.deals to callboard_api;
comment on table app.deals is 'What the artist of a show is paid: at most one undeleted deal per show.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage applies to. gross: ticket sales as paid; net_receipts: what is left of them after fees and tax; net: after costs as well; net_after_promoter_profit: after the promoter''s profit as well.';
comment on column app.deals.percentage is 'The artist''s share of the base, in percent, with up to six decimals.';
comment on column app.deals.tax_percentage is 'The rate of the tax included in ticket prices, in percent, with up to six decimals.';
comment on column app.deals.promoter_profit_percentage is 'The promoter''s profit before the percentage begins, as a share of the costs, in percent, with up to six decimals.';
comment on column app.deals.percentage_bp is 'percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.tax_bp is 'tax_percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.promoter_profit_bp is 'promoter_profit_percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.guarantee_is_cost is 'For plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins only once it has been earned back.';
create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage on app.deals
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _150_guarantee_is_cost before insert or update of guarantee_is_cost on app.deals
  for each row execute function app_private.tg_deals__150_guarantee_is_cost();
create or replace trigger _150_rates before insert or update on app.deals
  for each row execute function app_private.tg_deals__150_rates();
create or replace trigger _150_currency_insert before insert on app.deals
  for each row execute function app_private.tg_deals__150_currency();
create or replace trigger _150_currency before update on app.deals
  for each row when (new.currency is distinct from old.currency or new.deleted_at is null and old.deleted_at is not null)
  execute function app_private.tg_deals__150_currency();
-- EndIncluded settlements/deals.sql
-- Lock: access exclusive on app.deals: alter table app.deals drop constraint if exists deals_valid_rates, add constraint deals_valid_rates 
-- Lock: share row exclusive on app.deals: create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor,
