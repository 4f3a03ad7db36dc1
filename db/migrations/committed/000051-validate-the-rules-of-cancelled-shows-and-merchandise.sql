--! Previous: sha1:4da2866dd68293e5e5b69783dc1c37bc27369d5b
--! Hash: sha1:e6a5b426bca8356f089b7809012ed72e4e060bdf
--! Message: Validate the rules of cancelled shows and merchandise

alter table app.deals validate constraint deals_cancellation_range;
alter table app.deal_adjustments validate constraint deal_adjustments_kind_known;
alter table app.deal_adjustments validate constraint deal_adjustments_sold_by_known;
alter table app.deal_adjustments validate constraint deal_adjustments_valid_percentages;
alter table app.deal_adjustments validate constraint deal_adjustments_percentage_by_kind;
alter table app.deal_adjustments validate constraint deal_adjustments_merchandise_after_split;
-- Included settlements/deals.sql
-- Deals: what an act of a show is paid, and on what basis. The main deal is with the show's own artist; other acts have
-- theirs. The computation is in settlement_arithmetic.sql.

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
  withholding_percentage numeric constraint deals_withholding_valid check (app.is_percentage(withholding_percentage)),
  withholding_threshold_minor bigint constraint deals_withholding_threshold_range check (app.is_money(withholding_threshold_minor)),
  withholding_due_on date constraint deals_withholding_due_on_range check (app.is_day(withholding_due_on)),
  act text collate app.people constraint deals_act_length check (app.is_line(act, 200)),
  is_cost_of_main boolean not null default true,
  cancellation_minor bigint constraint deals_cancellation_range check (app.is_money(cancellation_minor)),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deals_guarantee_by_kind check ((kind = 'door') = (guarantee_minor is null)),
  -- Rows of before have their percentages only once their JSON has been made again.
  constraint deals_percentage_by_kind check ((kind = 'flat') = (coalesce(percentage, percentage_bp) is null) and (kind = 'flat') = (base is null)),
  constraint deals_promoter_profit_by_base check (coalesce(promoter_profit_percentage, promoter_profit_bp, 0) = 0 or base is not distinct from 'net_after_promoter_profit'),
  constraint deals_valid_rates check (app.is_percentage(percentage) and app.is_percentage(tax_percentage) and app.is_percentage(promoter_profit_percentage)),
  constraint deals_withholding_has_rate check (withholding_percentage is not null or withholding_threshold_minor is null and withholding_due_on is null),
  constraint deals_guarantee_is_cost_of_plus check (not guarantee_is_cost or kind = 'plus')
);
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_deal_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on, act, is_cost_of_main, cancellation_minor),
  update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on, act, is_cost_of_main, cancellation_minor) on app.deals to callboard_api;
comment on table app.deals is 'What the acts of shows are paid: at most one undeleted deal per show and act.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage applies to. gross: ticket sales as paid; net_receipts: what is left of them after fees and tax; net: after costs as well; net_after_promoter_profit: after the promoter''s profit as well.';
comment on column app.deals.percentage is 'The artist''s share of the base, in percent, with up to six decimals.';
comment on column app.deals.tax_percentage is 'The rate of the tax included in ticket prices, in percent, with up to six decimals.';
comment on column app.deals.promoter_profit_percentage is 'The promoter''s profit before the percentage begins, as a share of the costs, in percent, with up to six decimals.';
comment on column app.deals.withholding_percentage is 'What the promoter withholds of what is due and the bonuses, and owes to an authority, in percent, with up to six decimals; NULL if nothing.';
comment on column app.deals.withholding_threshold_minor is 'Nothing is withheld unless what it is taken from is more.';
comment on column app.deals.withholding_due_on is 'When it is owed to the authority; NULL: on the day of the show.';
comment on column app.deals.percentage_bp is 'percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.tax_bp is 'tax_percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.promoter_profit_bp is 'promoter_profit_percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.act is 'The name of the artist it is with; NULL: the show''s own, whose deal is the main deal.';
comment on column app.deals.is_cost_of_main is 'Whether what another act is paid is a cost on the sheet of the main deal; of no meaning for that itself.';
comment on column app.deals.cancellation_minor is 'What the act is paid if the show is cancelled: the whole fee, a part (kill fee), or 0; NULL: not agreed yet.';
comment on column app.deals.guarantee_is_cost is 'For plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins only once it has been earned back.';
create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on, act, is_cost_of_main, cancellation_minor on app.deals
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _400_finals after insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on, act, is_cost_of_main, cancellation_minor on app.deals
  for each row execute function app_private.tg__400_finals();
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
-- Included settlements/deal_fees.sql
create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at on app.deals
  for each row execute function app_private.tg__100_show();
create or replace trigger _400_fee_insert after insert on app.deals
  for each row execute function app_private.tg_deals__400_fee();
create or replace trigger _400_fee after update on app.deals
  for each row when ((new.guarantee_minor, new.currency, new.deleted_at) is distinct from (old.guarantee_minor, old.currency, old.deleted_at))
  execute function app_private.tg_deals__400_fee();
-- EndIncluded settlements/deal_fees.sql
-- Included settlements/deal_adjustments.sql
-- Adjustments: what is added to or taken off a settlement before or after the split. In the currency of the show's deal.

create table if not exists app.deal_adjustments (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint deal_adjustments_name_length check (app.is_line(name, 200)),
  kind text not null constraint deal_adjustments_kind_known check (kind in ('reimbursement', 'buyout', 'credit', 'deduction', 'merchandise')),
  amount_minor bigint not null constraint deal_adjustments_amount_range check (app.is_money(amount_minor)),
  stage text not null constraint deal_adjustments_stage_known check (stage in ('before_split', 'after_split')),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  deal_id uuid,
  percentage numeric,
  tax_percentage numeric,
  sold_by text constraint deal_adjustments_sold_by_known check (sold_by in ('artist', 'hall')),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deal_adjustments_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint deal_adjustments_valid_percentages check (app.is_percentage(percentage) and app.is_percentage(tax_percentage)),
  constraint deal_adjustments_percentage_by_kind check ((kind = 'merchandise') = (percentage is not null) and (kind = 'merchandise') = (sold_by is not null)
    and (kind = 'merchandise' or tax_percentage is null)),
  constraint deal_adjustments_merchandise_after_split check (kind <> 'merchandise' or stage = 'after_split')
);
select app_private.tenant_table('deal_adjustments', noun => 'deal_adjustment', permission => 'finance', path => '/api/adjustments',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, kind, amount_minor, stage, deal_id, percentage, tax_percentage, sold_by), update (name, kind, amount_minor, stage, deal_id, percentage, tax_percentage, sold_by) on app.deal_adjustments to callboard_api;
comment on table app.deal_adjustments is 'What is added to or taken off a settlement before or after the split.';
comment on column app.deal_adjustments.deal_id is 'The deal of the same show that it belongs to; NULL: the main deal.';
comment on column app.deal_adjustments.kind is 'reimbursement, buyout, credit: added; deduction: taken off; merchandise: what the hall keeps of what was sold is taken off if the artist has sold it, and the rest is added if the hall has.';
comment on column app.deal_adjustments.amount_minor is 'The amount; of merchandise, what was taken in, with tax.';
comment on column app.deal_adjustments.percentage is 'Of merchandise: what the hall keeps of the sales without tax, in percent, with up to six decimals.';
comment on column app.deal_adjustments.tax_percentage is 'Of merchandise: the rate of the tax that is in the sales, in percent, with up to six decimals; NULL: none.';
comment on column app.deal_adjustments.sold_by is 'Of merchandise: who has sold it, has the money, and pays the tax: the artist or the hall.';
comment on column app.deal_adjustments.stage is 'before_split: a cost, or less of one, before the percentage; after_split: a line of its own in what the artist leaves with.';
create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, stage, deal_id, percentage, tax_percentage, sold_by on app.deal_adjustments
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _250_deal before insert or update of deal_id on app.deal_adjustments
  for each row when (new.deal_id is not null) execute function app_private.tg__250_deal();
create or replace trigger _400_finals after insert or update of name, kind, amount_minor, stage, deal_id, percentage, tax_percentage, sold_by on app.deal_adjustments
  for each row execute function app_private.tg__400_finals();
-- EndIncluded settlements/deal_adjustments.sql
-- Included settlements/deal_parts.sql
create or replace trigger _350_parts before update on app.deals
  for each row when ((new.act is null) <> (old.act is null) or old.deleted_at is null and new.deleted_at is not null)
  execute function app_private.tg_deals__350_parts();
grant update (deal_id) on app.deposits, app.deal_bonuses, app.deal_adjustments to callboard_definer;
-- EndIncluded settlements/deal_parts.sql
-- Lock: share row exclusive on app.deals: create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor,
-- Lock: share row exclusive on app.deal_adjustments: create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, stage,
