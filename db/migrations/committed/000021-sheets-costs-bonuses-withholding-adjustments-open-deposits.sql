--! Previous: sha1:008893303cc01e44c6a61ec8dcf5a2007bbedc54
--! Hash: sha1:87cde285ea91e2aaca506c95d5a568a9faace86a
--! Message: Sheets: costs, bonuses, withholding, adjustments, open deposits

alter table app.show_costs add column if not exists percentage numeric, add column if not exists cap_minor bigint,
  add column if not exists budget_minor bigint, add column if not exists is_internal boolean not null default false;
alter table app.ticket_tiers add column if not exists excluded_minor bigint not null default 0;
alter table app.deals add column if not exists withholding_percentage numeric, add column if not exists withholding_threshold_minor bigint,
  add column if not exists withholding_due_on date;
-- squawk-ignore ban-drop-not-null
alter table app.deposits alter column paid_on drop not null;
alter table app.deposits add column if not exists due_on date;
alter table app.show_costs drop constraint if exists show_costs_kind_known,
  add constraint show_costs_kind_known check (kind in ('fixed', 'per_ticket', 'per_head', 'percent_of_gross', 'percent_of_net_receipts')) not valid,
  add constraint show_costs_valid_percentage check (app.is_percentage(percentage)) not valid,
  add constraint show_costs_cap_range check (app.is_money(cap_minor)) not valid,
  add constraint show_costs_budget_range check (app.is_money(budget_minor)) not valid,
  add constraint show_costs_percentage_by_kind check ((kind in ('percent_of_gross', 'percent_of_net_receipts')) = (percentage is not null)) not valid,
  add constraint show_costs_cap_above_least check (cap_minor >= amount_minor or kind not in ('percent_of_gross', 'percent_of_net_receipts')) not valid;
alter table app.ticket_tiers drop constraint if exists ticket_tiers_fee_within_price,
  add constraint ticket_tiers_fee_within_price check (facility_fee_minor + excluded_minor <= price_minor) not valid,
  add constraint ticket_tiers_excluded_range check (app.is_money(excluded_minor)) not valid;
alter table app.deals
  add constraint deals_withholding_valid check (app.is_percentage(withholding_percentage)) not valid,
  add constraint deals_withholding_threshold_range check (app.is_money(withholding_threshold_minor)) not valid,
  add constraint deals_withholding_due_on_range check (app.is_day(withholding_due_on)) not valid,
  add constraint deals_withholding_has_rate check (withholding_percentage is not null or withholding_threshold_minor is null and withholding_due_on is null) not valid;
alter table app.deposits
  add constraint deposits_due_on_range check (app.is_day(due_on)) not valid,
  add constraint deposits_paid_or_due check (paid_on is not null or due_on is not null) not valid;
-- Its columns are in another order.
drop view if exists app.deposit_rows;
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
  withholding_percentage numeric constraint deals_withholding_valid check (app.is_percentage(withholding_percentage)),
  withholding_threshold_minor bigint constraint deals_withholding_threshold_range check (app.is_money(withholding_threshold_minor)),
  withholding_due_on date constraint deals_withholding_due_on_range check (app.is_day(withholding_due_on)),
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
create or replace view app.deal_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.currency, x.guarantee_minor, x.percentage_bp, x.base, x.tax_bp, x.promoter_profit_bp, x.guarantee_is_cost,
    x.created_by, x.created_at, x.updated_at,
    trim_scale(x.percentage) as percentage, trim_scale(x.tax_percentage) as tax_percentage, trim_scale(x.promoter_profit_percentage) as promoter_profit_percentage,
    trim_scale(x.withholding_percentage) as withholding_percentage, x.withholding_threshold_minor, x.withholding_due_on
  from app.deals x;
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on),
  update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on) on app.deals to callboard_api;
comment on table app.deals is 'What the artist of a show is paid: at most one undeleted deal per show.';
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
comment on column app.deals.guarantee_is_cost is 'For plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins only once it has been earned back.';
create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on on app.deals
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _150_guarantee_is_cost before insert or update of guarantee_is_cost on app.deals
  for each row execute function app_private.tg_deals__150_guarantee_is_cost();
create or replace trigger _150_rates before insert or update on app.deals
  for each row execute function app_private.tg_deals__150_rates();
-- The currency is that of the prices and the other amounts of the show: with another one they would be other amounts.
create or replace function app_private.tg_deals__150_currency() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  present text;
begin
  -- Whoever enters an amount shares a lock on this row.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for no key update;
  select d.currency into present from app.deals d
  where d.organization_id = new.organization_id and d.show_id = new.show_id
  order by d.deleted_at desc nulls first limit 1;
  if present <> new.currency and (
    exists (select from app.ticket_tiers x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.show_costs x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.deposits x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.deal_bonuses x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.deal_adjustments x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null))
  then
    perform app.refuse(409, 'deals_currency_in_use', format('Prices, costs, deposits, bonuses or adjustments of the show are in %s.', present));
  end if;
  return new;
end
$$;
comment on function app_private.tg_deals__150_currency() is
  'PT409 deals_currency_in_use if the deal of a show with prices or other amounts would have another currency than the one before it: by a change, a new deal, or one restored.';
alter function app_private.tg_deals__150_currency() owner to callboard_definer;
create or replace trigger _150_currency_insert before insert on app.deals
  for each row execute function app_private.tg_deals__150_currency();
create or replace trigger _150_currency before update on app.deals
  for each row when (new.currency is distinct from old.currency or new.deleted_at is null and old.deleted_at is not null)
  execute function app_private.tg_deals__150_currency();
-- EndIncluded settlements/deals.sql
-- Included settlements/deal_fees.sql
create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at on app.deals
  for each row execute function app_private.tg_deals__100_show();
create or replace trigger _400_fee_insert after insert on app.deals
  for each row execute function app_private.tg_deals__400_fee();
create or replace trigger _400_fee after update on app.deals
  for each row when ((new.guarantee_minor, new.currency, new.deleted_at) is distinct from (old.guarantee_minor, old.currency, old.deleted_at))
  execute function app_private.tg_deals__400_fee();
-- EndIncluded settlements/deal_fees.sql
-- Included settlements/ticket_tiers.sql
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
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint ticket_tiers_fee_within_price check (facility_fee_minor + excluded_minor <= price_minor),
  constraint ticket_tiers_within_allotment check (sold::bigint + comps <= allotment)
);
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
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before the rest is shared.';
comment on column app.ticket_tiers.excluded_minor is 'What of the price of each ticket sold is not shared, such as a package: the promoter''s.';
comment on column app.ticket_tiers.comps is 'Tickets given away: they take a place but neither earn nor cost anything.';
create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor on app.ticket_tiers
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _100_show before insert or update of sold, allotment, deleted_at on app.ticket_tiers
  for each row execute function app_private.tg_ticket_tiers__100_show();
create or replace trigger _400_tickets_insert after insert on app.ticket_tiers
  for each row execute function app_private.tg_ticket_tiers__400_tickets();
create or replace trigger _400_tickets after update on app.ticket_tiers
  for each row when ((new.sold, new.allotment, new.deleted_at) is distinct from (old.sold, old.allotment, old.deleted_at))
  execute function app_private.tg_ticket_tiers__400_tickets();
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/show_costs.sql
-- Costs of a show: what the promoter pays for it. In the currency of the show's deal.

create table if not exists app.show_costs (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint show_costs_name_length check (app.is_line(name, 200)),
  kind text not null constraint show_costs_kind_known check (kind in ('fixed', 'per_ticket', 'per_head', 'percent_of_gross', 'percent_of_net_receipts')),
  amount_minor bigint not null constraint show_costs_amount_range check (app.is_money(amount_minor)),
  is_estimate boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  percentage numeric constraint show_costs_valid_percentage check (app.is_percentage(percentage)),
  cap_minor bigint constraint show_costs_cap_range check (app.is_money(cap_minor)),
  budget_minor bigint constraint show_costs_budget_range check (app.is_money(budget_minor)),
  is_internal boolean not null default false,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint show_costs_percentage_by_kind check ((kind in ('percent_of_gross', 'percent_of_net_receipts')) = (percentage is not null)),
  constraint show_costs_cap_above_least check (cap_minor >= amount_minor or kind not in ('percent_of_gross', 'percent_of_net_receipts'))
);
create or replace view app.show_cost_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.kind, x.amount_minor, x.is_estimate,
    x.created_by, x.created_at, x.updated_at,
    trim_scale(x.percentage) as percentage, x.cap_minor, x.budget_minor, x.is_internal
  from app.show_costs x;
select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, kind, amount_minor, is_estimate, percentage, cap_minor, budget_minor, is_internal),
  update (name, kind, amount_minor, is_estimate, percentage, cap_minor, budget_minor, is_internal) on app.show_costs to callboard_api;
comment on table app.show_costs is 'What the promoter pays for a show.';
comment on column app.show_costs.kind is 'fixed: the amount, once; per_ticket: the amount for each ticket sold; per_head: for each ticket sold and each complimentary; percent_of_gross, percent_of_net_receipts: the percentage of them, and at least the amount.';
comment on column app.show_costs.percentage is 'Of the gross or of the net receipts, in percent, with up to six decimals.';
comment on column app.show_costs.cap_minor is 'The most that it costs.';
comment on column app.show_costs.budget_minor is 'What it was expected to cost: shown beside what it costs, and in no computation.';
comment on column app.show_costs.is_internal is 'Whether it is the promoter''s own: not on the sheet and not in the split, but in the books and in what the promoter is left with.';
comment on column app.show_costs.is_estimate is 'Whether the invoice has yet to arrive: a settlement with an estimate cannot be final.';
create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, is_estimate, percentage, cap_minor, budget_minor, is_internal on app.show_costs
  for each row execute function app_private.tg__200_unsettled();
-- EndIncluded settlements/show_costs.sql
-- Included settlements/deposits.sql
-- Deposits: what the artist has been paid before the settlement, or is to be. In the currency of the show's deal.

create table if not exists app.deposits (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  paid_on date constraint deposits_paid_on_range check (app.is_day(paid_on)),
  amount_minor bigint not null constraint deposits_amount_range check (amount_minor > 0 and app.is_money(amount_minor)),
  note text constraint deposits_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  due_on date constraint deposits_due_on_range check (app.is_day(due_on)),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deposits_paid_or_due check (paid_on is not null or due_on is not null)
);
create or replace view app.deposit_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body, coalesce(x.paid_on, x.due_on) as day_on,
    x.id, x.show_id, x.due_on, x.paid_on, x.amount_minor, x.note,
    x.created_by, x.created_at, x.updated_at
  from app.deposits x;
select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, paid_on, amount_minor, note, due_on), update (paid_on, amount_minor, note, due_on) on app.deposits to callboard_api;
comment on table app.deposits is 'What artists have been paid before the settlement of a show, or are to be.';
comment on column app.deposits.paid_on is 'NULL while it is open: then the settlement does not count it.';
create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note, due_on on app.deposits
  for each row execute function app_private.tg__200_unsettled();
-- EndIncluded settlements/deposits.sql
-- Included settlements/deal_bonuses.sql
-- Bonuses: what the artist is paid on top, by how many tickets are sold. In the currency of the show's deal.

create table if not exists app.deal_bonuses (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deal_bonuses_kind_known check (kind in ('tickets', 'sell_out', 'per_ticket')),
  amount_minor bigint not null constraint deal_bonuses_amount_range check (app.is_money(amount_minor)),
  threshold integer constraint deal_bonuses_threshold_positive check (threshold >= 0),
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
  constraint deal_bonuses_threshold_by_kind check ((kind = 'sell_out') = (threshold is null))
);
create index if not exists deal_bonuses_organization_id_show_id_idx on app.deal_bonuses (organization_id, show_id, created_at, id) where deleted_at is null;
create or replace view app.deal_bonus_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.amount_minor, x.threshold,
    x.created_by, x.created_at, x.updated_at
  from app.deal_bonuses x;
select app_private.tenant_table('deal_bonuses', noun => 'deal_bonus', permission => 'finance', path => '/api/bonuses',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, amount_minor, threshold), update (kind, amount_minor, threshold) on app.deal_bonuses to callboard_api;
comment on table app.deal_bonuses is 'What artists are paid on top of a deal, by how many tickets are sold.';
comment on column app.deal_bonuses.kind is 'tickets: the amount, once, from that many tickets sold; sell_out: once, if tickets sold and complimentary ones fill every allotment; per_ticket: the amount for each ticket sold above the threshold.';
create or replace trigger _200_unsettled before insert or update of kind, amount_minor, threshold on app.deal_bonuses
  for each row execute function app_private.tg__200_unsettled();
-- EndIncluded settlements/deal_bonuses.sql
-- Included settlements/deal_adjustments.sql
-- Adjustments: what is added to or taken off a settlement before or after the split. In the currency of the show's deal.

create table if not exists app.deal_adjustments (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint deal_adjustments_name_length check (app.is_line(name, 200)),
  kind text not null constraint deal_adjustments_kind_known check (kind in ('reimbursement', 'buyout', 'credit', 'deduction')),
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
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists deal_adjustments_organization_id_show_id_idx on app.deal_adjustments (organization_id, show_id, created_at, id) where deleted_at is null;
create or replace view app.deal_adjustment_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.kind, x.amount_minor, x.stage,
    x.created_by, x.created_at, x.updated_at
  from app.deal_adjustments x;
select app_private.tenant_table('deal_adjustments', noun => 'deal_adjustment', permission => 'finance', path => '/api/adjustments',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, kind, amount_minor, stage), update (name, kind, amount_minor, stage) on app.deal_adjustments to callboard_api;
comment on table app.deal_adjustments is 'What is added to or taken off a settlement before or after the split.';
comment on column app.deal_adjustments.kind is 'reimbursement, buyout, credit: added; deduction: taken off.';
comment on column app.deal_adjustments.stage is 'before_split: a cost, or less of one, before the percentage; after_split: a line of its own in what the artist leaves with.';
create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, stage on app.deal_adjustments
  for each row execute function app_private.tg__200_unsettled();
-- EndIncluded settlements/deal_adjustments.sql
-- Included settlements/settlement_amounts.sql
-- The amounts of single lines of a settlement, each computed in one place: for the settlement, its sheet, and the books.

create or replace function app.apportion(amount numeric, part numeric, whole numeric) returns numeric
language sql immutable parallel safe
set search_path = ''
return sign(amount) * div(2 * abs(amount) * part + whole, 2 * whole);
comment on function app.apportion(numeric, numeric, numeric) is
  'amount x part / whole as a whole number, rounded half away from zero, for whole numbers of any size and a part that is not negative. Exact: a numeric quotient would first be rounded to a limited number of digits.';
grant execute on function app.apportion(numeric, numeric, numeric) to callboard_api, callboard_definer;
create or replace function app.percent_of(amount numeric, percentage numeric) returns numeric
language sql immutable parallel safe
-- In millionths of a percent, so that it is a whole number.
return app.apportion(amount, 1000000 * percentage, 100000000);
comment on function app.percent_of(numeric, numeric) is 'A percentage with up to six decimals of an amount, rounded once, half away from zero.';
grant execute on function app.percent_of(numeric, numeric) to callboard_api, callboard_definer;
create or replace function app.cost_amount(
  kind text, amount numeric, percentage numeric, cap numeric, sold numeric, comps numeric, gross numeric, net_receipts numeric
) returns numeric
language sql immutable parallel safe
return least(cap, case kind
  when 'fixed' then amount
  when 'per_ticket' then amount * sold
  when 'per_head' then amount * (sold + comps)
  when 'percent_of_gross' then greatest(amount, app.percent_of(gross, percentage))
  when 'percent_of_net_receipts' then greatest(amount, app.percent_of(net_receipts, percentage)) end);
comment on function app.cost_amount(text, numeric, numeric, numeric, numeric, numeric, numeric, numeric) is
  'What a cost of a show amounts to. A percentage costs at least the amount, and every kind at most the cap, if there is one.';
grant execute on function app.cost_amount(text, numeric, numeric, numeric, numeric, numeric, numeric, numeric) to callboard_api, callboard_definer;
create or replace function app.bonus_amount(kind text, amount numeric, threshold numeric, sold numeric, comps numeric, allotted numeric) returns numeric
language sql immutable parallel safe
return case kind
  when 'tickets' then case when sold >= threshold then amount else 0 end
  when 'per_ticket' then amount * greatest(sold - threshold, 0)
  when 'sell_out' then case when allotted > 0 and sold + comps >= allotted then amount else 0 end end;
comment on function app.bonus_amount(text, numeric, numeric, numeric, numeric, numeric) is
  'What a bonus amounts to. A show is sold out if tickets sold and complimentary ones fill every allotment.';
grant execute on function app.bonus_amount(text, numeric, numeric, numeric, numeric, numeric) to callboard_api, callboard_definer;
create or replace function app.withheld(amount numeric, percentage numeric, threshold numeric) returns numeric
language sql immutable parallel safe
return case when percentage is not null and amount > coalesce(threshold, 0) then app.percent_of(amount, percentage) else 0 end;
comment on function app.withheld(numeric, numeric, numeric) is
  'What is withheld of an amount: the percentage of all of it if it is more than the threshold, otherwise nothing.';
grant execute on function app.withheld(numeric, numeric, numeric) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_amounts.sql
-- Included settlements/settlement_lines.sql
-- The lines of a settlement's sheet: each with a key, a name, and a formula in words and numbers. An amount has the sign with
-- which it enters the total of its section. The order depends on what the lines say, not on when they were entered.

create or replace function app.money_text(minor numeric, digits integer) returns text
language sql stable parallel safe
return case when digits = 0 then to_char(minor, 'FM9,999,999,999,999,999,990')
  else to_char(minor * 10::numeric ^ (-digits), 'FM9,999,999,999,999,999,990.' || repeat('0', digits)) end;
comment on function app.money_text(numeric, integer) is 'An amount in minor units as people read it, with the decimals of its currency.';
grant execute on function app.money_text(numeric, integer) to callboard_api, callboard_definer;
create or replace function app.cost_formula(
  kind text, amount numeric, percentage numeric, cap numeric, sold numeric, comps numeric, gross numeric, net_receipts numeric, digits integer
) returns text
language sql stable parallel safe
return concat(case kind
    when 'fixed' then 'fixed'
    when 'per_ticket' then format('%s × %s', sold, app.money_text(amount, digits))
    when 'per_head' then format('(%s + %s complimentary) × %s', sold, comps, app.money_text(amount, digits))
    when 'percent_of_gross' then format('%s %% of the gross of %s', trim_scale(percentage), app.money_text(gross, digits))
    when 'percent_of_net_receipts' then format('%s %% of the net receipts of %s', trim_scale(percentage), app.money_text(net_receipts, digits)) end,
  case when percentage is not null and amount > 0 then ', at least ' || app.money_text(amount, digits) end,
  ', at most ' || app.money_text(cap, digits));
comment on function app.cost_formula(text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, integer) is 'How app.cost_amount comes to its result, in words and numbers.';
grant execute on function app.cost_formula(text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, integer) to callboard_api, callboard_definer;
create or replace function app.sheet_lines(inputs jsonb, figures jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  digits constant integer := coalesce(app.minor_digits(inputs ->> 'currency'), 2);
  deal record;
  f record;
begin
  select * into deal from jsonb_to_record(app.inputs_in_percent(inputs) -> 'deal') as d (kind text, base text, percentage numeric, tax_percentage numeric,
    promoter_profit_percentage numeric, withholding_percentage numeric, withholding_threshold_minor numeric, withholding_due_on date);
  select * into f from jsonb_to_record(figures) as x (tickets_sold numeric, tickets_comped numeric, tickets_allotted numeric, gross_minor numeric,
    facility_fees_minor numeric, excluded_minor numeric, tax_minor numeric, net_receipts_minor numeric, guarantee_cost_minor numeric, costs_minor numeric,
    internal_costs_minor numeric, budget_minor numeric, over_budget_minor numeric, promoter_profit_minor numeric, split_point_minor numeric, share_base_minor numeric,
    share_minor numeric, guarantee_minor numeric, due_minor numeric, bonuses_minor numeric, withholding_minor numeric, adjustments_minor numeric,
    deposits_minor numeric, walk_out_minor numeric, promoter_minor numeric);
  return (
    with tiers as (
      select x.id, x.name, x.price_minor as price, coalesce(x.facility_fee_minor, 0) as fee, coalesce(x.excluded_minor, 0) as excluded, x.sold
      from jsonb_to_recordset(inputs -> 'ticket_tiers')
        as x (id text, name text, price_minor numeric, facility_fee_minor numeric, excluded_minor numeric, sold numeric)
    ), lines (part, rank, section, key, name, formula, amount, is_total, budget, over) as (
      select 1, -t.price, 'receipts', 'tier ' || t.id, t.name, format('%s × %s', t.sold, app.money_text(t.price, digits)), t.price * t.sold, false, null::numeric, null::numeric from tiers t
      union all select 2, 0, 'receipts', 'gross', 'Gross', 'all tickets', f.gross_minor, true, null, null
      union all select 3, 0, 'receipts', 'facility_fees', 'Facility fees',
        (select string_agg(format('%s × %s', t.sold, app.money_text(t.fee, digits)), ' + ' order by t.price desc, t.fee desc, t.sold desc) from tiers t where t.fee * t.sold > 0),
        -f.facility_fees_minor, false, null, null where f.facility_fees_minor > 0
      union all select 4, 0, 'receipts', 'excluded', 'Not shared',
        (select string_agg(format('%s × %s', t.sold, app.money_text(t.excluded, digits)), ' + ' order by t.price desc, t.excluded desc, t.sold desc) from tiers t where t.excluded * t.sold > 0),
        -f.excluded_minor, false, null, null where f.excluded_minor > 0
      union all select 5, 0, 'receipts', 'tax', 'Tax in the prices',
        format('%s %% in the rest of %s', deal.tax_percentage, app.money_text(f.gross_minor - f.facility_fees_minor - f.excluded_minor, digits)), -f.tax_minor, false, null, null
        where deal.tax_percentage > 0
      union all select 6, 0, 'receipts', 'net_receipts', 'Net receipts', 'what is left', f.net_receipts_minor, true, null, null

      union all select case when c.is_internal then 18 else 7 end, 0, case when c.is_internal then 'promoter' else 'costs' end, 'cost ' || c.id, c.name,
        app.cost_formula(c.kind, c.amount_minor, c.percentage, c.cap_minor, f.tickets_sold, f.tickets_comped, f.gross_minor, f.net_receipts_minor, digits), a.amount, false,
        c.budget_minor, a.amount - c.budget_minor
        from jsonb_to_recordset(inputs -> 'costs') as c (id text, name text, kind text, amount_minor numeric, percentage numeric, cap_minor numeric, budget_minor numeric, is_internal boolean),
          lateral (select app.cost_amount(c.kind, c.amount_minor, c.percentage, c.cap_minor, f.tickets_sold, f.tickets_comped, f.gross_minor, f.net_receipts_minor) as amount) a
      union all select 8, 0, 'costs', 'guarantee_cost', 'Guarantee', 'as a cost', f.guarantee_cost_minor, false, null, null where f.guarantee_cost_minor > 0
      union all select case x.stage when 'before_split' then 9 else 14 end, 0, case x.stage when 'before_split' then 'costs' else 'payment' end, 'adjustment ' || x.id, x.name,
        x.kind || case x.stage when 'before_split' then ', before the split' else '' end, case x.kind when 'deduction' then -x.amount_minor else x.amount_minor end, false, null, null
        from jsonb_to_recordset(inputs -> 'adjustments') as x (id text, name text, kind text, amount_minor numeric, stage text)
      union all select 10, 0, 'costs', 'costs', 'Costs', 'all of them', f.costs_minor, true, f.budget_minor, f.over_budget_minor

      union all select 11, x.n, 'split', x.key, x.name, x.formula, x.amount, x.key = 'due', null, null
        from (values
          (1, 'promoter_profit', 'Promoter profit', format('%s %% of %s', deal.promoter_profit_percentage, app.money_text(greatest(f.costs_minor, 0), digits)), f.promoter_profit_minor,
            deal.base = 'net_after_promoter_profit'),
          (2, 'split_point', 'Split point', case deal.base when 'net' then 'the costs' else format('%s + %s', app.money_text(f.costs_minor, digits), app.money_text(f.promoter_profit_minor, digits)) end,
            f.split_point_minor, deal.base in ('net', 'net_after_promoter_profit')),
          (3, 'share_base', 'Shared', case deal.base
              when 'gross' then concat('the gross', case when f.excluded_minor > 0 then ' without what is not shared' end)
              when 'net_receipts' then 'the net receipts'
              else format('%s − %s%s', app.money_text(f.net_receipts_minor, digits), app.money_text(f.split_point_minor, digits),
                case when f.net_receipts_minor < f.split_point_minor then ', at least 0' end) end, f.share_base_minor, deal.base is not null),
          (4, 'share', 'Share of the artist', format('%s %% of %s', deal.percentage, app.money_text(f.share_base_minor, digits)), f.share_minor, deal.base is not null),
          (5, 'guarantee', 'Guarantee', 'as agreed', f.guarantee_minor, deal.kind <> 'door'),
          (6, 'due', 'Due to the artist', case deal.kind when 'flat' then 'the guarantee' when 'door' then 'the share' when 'plus' then 'the guarantee and the share'
            else 'the larger of the guarantee and the share' end, f.due_minor, true)) as x (n, key, name, formula, amount, applies)
        where x.applies

      union all select 12, 0, 'payment', 'bonus ' || b.id, 'Bonus', case b.kind
          when 'tickets' then format('from %s tickets; %s sold', b.threshold, f.tickets_sold)
          when 'per_ticket' then format('%s × %s, above %s tickets', greatest(f.tickets_sold - b.threshold, 0), app.money_text(b.amount_minor, digits), b.threshold)
          else format('if sold out; %s of %s', f.tickets_sold + f.tickets_comped, f.tickets_allotted) end,
        app.bonus_amount(b.kind, b.amount_minor, b.threshold, f.tickets_sold, f.tickets_comped, f.tickets_allotted), false, null, null
        from jsonb_to_recordset(inputs -> 'bonuses') as b (id text, kind text, amount_minor numeric, threshold numeric)
      union all select 13, 0, 'payment', 'withholding', 'Withholding', concat(
          case when f.withholding_minor = 0 then format('not above %s', app.money_text(coalesce(deal.withholding_threshold_minor, 0), digits))
            else format('%s %% of %s', deal.withholding_percentage, app.money_text(f.due_minor + f.bonuses_minor, digits)) end, ', due on ' || to_char(deal.withholding_due_on, 'YYYY-MM-DD')),
        -f.withholding_minor, false, null, null where deal.withholding_percentage is not null
      union all select case when p.paid_on is null and p.due_on is not null then 17 else 15 end, extract(epoch from coalesce(p.paid_on, p.due_on)),
        case when p.paid_on is null and p.due_on is not null then 'open' else 'payment' end, 'deposit ' || p.id, 'Deposit',
        concat_ws(', ', coalesce('paid on ' || to_char(p.paid_on, 'YYYY-MM-DD'), 'due on ' || to_char(p.due_on, 'YYYY-MM-DD') || ', not paid'), p.note),
        case when p.paid_on is null and p.due_on is not null then p.amount_minor else -p.amount_minor end, false, null, null
        from jsonb_to_recordset(inputs -> 'deposits') as p (id text, paid_on date, due_on date, amount_minor numeric, note text)
      union all select 16, 0, 'payment', 'walk_out', 'To be paid to the artist', concat(app.money_text(f.due_minor, digits) || ' due',
          case when f.bonuses_minor > 0 then ' + ' || app.money_text(f.bonuses_minor, digits) end, case when f.withholding_minor > 0 then ' − ' || app.money_text(f.withholding_minor, digits) end,
          case when f.adjustments_minor <> 0 then case when f.adjustments_minor > 0 then ' + ' else ' − ' end || app.money_text(abs(f.adjustments_minor), digits) end,
          case when f.deposits_minor > 0 then ' − ' || app.money_text(f.deposits_minor, digits) end), f.walk_out_minor, true, null, null
      union all select 19, 0, 'promoter', 'promoter', 'Left for the promoter', 'after all costs, also internal ones', f.promoter_minor, true, null, null
    )
    select jsonb_agg(jsonb_build_object('key', l.key, 'section', l.section, 'name', l.name, 'formula', l.formula, 'amount_minor', l.amount, 'is_total', l.is_total,
      'budget_minor', l.budget, 'over_budget_minor', l.over) order by l.part, l.rank, l.name collate "C", l.amount desc, l.formula collate "C", l.key)
    from lines l);
end
$$;
comment on function app.sheet_lines(jsonb, jsonb) is
  'The lines of a settlement''s sheet, in order, from its inputs and its figures. Those of the section promoter are for the promoter only, and those of the section open are not counted.';
grant execute on function app.sheet_lines(jsonb, jsonb) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_lines.sql
-- Included settlements/settlement_arithmetic.sql
-- How a show is settled. The steps are those by which promoters and tour managers settle a "promoter
-- profit deal" (for example https://makingitwithchrisg.com/blog/deals); rules of our own are marked as ours.
--
--    1. gross           = for each tier price x sold
--    2. facility fees   = for each tier fee x sold: the venue's, before the rest is shared
--       excluded        = for each tier excluded x sold: what is not shared, such as a package; the promoter's
--    3. tax             = (gross - fees - excluded) x rate / (1 + rate): the prices contain it; the others are not taxed here
--    4. net receipts    = gross - fees - excluded - tax
--    5. costs           = the costs on the sheet (app.cost_amount) + adjustments before the split + for `plus`, if the deal
--                         says so, the guarantee, which is a promoter's expense like any other. Not internal costs
--    6. promoter profit = costs x its rate, if they are more than 0; on the costs, not the receipts
--    7. split point     = what the net receipts must reach before the percentage begins: 0 for `gross` and
--                         `net_receipts`, costs for `net`, costs + promoter profit for `net_after_promoter_profit`
--    8. share base      = gross - excluded for `gross`, otherwise net receipts - split point; never below 0 (ours: an
--                         artist does not pay for a loss)
--    9. share           = share base x percentage
--   10. due             = flat: guarantee; door: share; plus: guarantee + share; versus: the larger of the two
--   11. bonuses         = each by app.bonus_amount
--   12. withholding     = (due + bonuses) x its rate, if they are more than its threshold
--   13. walk-out        = due + bonuses - withholding + adjustments after the split - deposits that are paid: what the
--                         artist leaves with; below 0 if they have to repay
--   14. balance         = due - withholding - deposits that are paid: what the books have to add to the deposits
--   15. promoter        = net receipts + excluded - all costs without the guarantee - adjustments - due - bonuses: what
--                         the promoter is left with, profit included
--
-- So fees + tax + all costs without the guarantee + adjustments + due + bonuses + promoter equals the gross, to the last unit.
--
-- The rounding is also ours: half away from zero, to the minor unit of the currency, once for each cost that is a percentage
-- and in each of steps 3, 6, 9 and 12, which apply a rate; everything else is sums and products of whole numbers.
-- No step uses floating point, and no amount may exceed the integers that JSON represents exactly.
--
-- 500 tickets at 30.00 with a fee of 2.00, 8 % tax, costs of 4,000 and 0.80 a ticket, 15 % promoter profit:
-- 15,000 gross, 1,000 fees, 1,037.04 tax, 12,962.96 net receipts.
-- Versus, 5,000 or 85 %: costs 4,400, profit 660, split point 5,060, share 85 % of 7,902.96 = 6,717.52: due.
-- Plus, with the 5,000 as a cost: costs 9,400, profit 1,410, split point 10,810, share 85 % of 2,152.96 = 1,830.02;
-- due 6,830.02. test/settlements/settlement.test.ts has both, and test/settlements/sheet.test.ts a sheet with everything.

create or replace function app.settlement_figures(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  deal constant jsonb := inputs -> 'deal';
  kind constant text := deal ->> 'kind';
  base constant text := deal ->> 'base';
  -- What was recorded up to 0.2.0 has basis points only.
  percentage constant numeric := coalesce((deal ->> 'percentage')::numeric, (deal ->> 'percentage_bp')::numeric / 100, 0);
  tax_rate constant numeric := 1000000 * coalesce((deal ->> 'tax_percentage')::numeric, (deal ->> 'tax_bp')::numeric / 100, 0);
  profit_rate constant numeric := coalesce((deal ->> 'promoter_profit_percentage')::numeric, (deal ->> 'promoter_profit_bp')::numeric / 100, 0);
  guarantee constant numeric := coalesce((deal ->> 'guarantee_minor')::numeric, 0);
  guarantee_cost constant numeric := case when (deal ->> 'guarantee_is_cost')::boolean then guarantee else 0 end;
  t record;
  c record;
  a record;
  p record;
  tax numeric;
  receipts numeric;
  costs numeric;
  profit numeric;
  split_point numeric;
  share_base numeric;
  share numeric;
  due numeric;
  bonuses numeric;
  withholding numeric;
  result jsonb;
begin
  select coalesce(sum(x.sold), 0) as sold, coalesce(sum(x.comps), 0) as comps, coalesce(sum(x.allotment), 0) as allotted,
    coalesce(sum(x.price_minor * x.sold), 0) as gross, coalesce(sum(x.facility_fee_minor * x.sold), 0) as fees, coalesce(sum(x.excluded_minor * x.sold), 0) as excluded
  into t
  from jsonb_to_recordset(inputs -> 'ticket_tiers')
    as x (price_minor numeric, facility_fee_minor numeric, excluded_minor numeric, sold numeric, comps numeric, allotment numeric);
  tax := app.apportion(t.gross - t.fees - t.excluded, tax_rate, 100000000 + tax_rate);
  receipts := t.gross - t.fees - t.excluded - tax;

  select coalesce(sum(y.amount) filter (where y.kind = 'fixed'), 0) as fixed, coalesce(sum(y.amount) filter (where y.kind = 'per_ticket'), 0) as per_ticket,
    coalesce(sum(y.amount) filter (where y.kind = 'per_head'), 0) as per_head, coalesce(sum(y.amount) filter (where y.kind = 'percent_of_gross'), 0) as of_gross,
    coalesce(sum(y.amount) filter (where y.kind = 'percent_of_net_receipts'), 0) as of_receipts, coalesce(sum(y.amount) filter (where y.kind <> 'internal'), 0) as reported,
    coalesce(sum(y.amount) filter (where y.kind = 'internal'), 0) as internal, sum(y.budget_minor) filter (where y.kind <> 'internal') as budget,
    sum(y.amount - y.budget_minor) filter (where y.kind <> 'internal') as over_budget
  into c
  from (
    select case when x.is_internal then 'internal' else x.kind end as kind, x.budget_minor,
      app.cost_amount(x.kind, x.amount_minor, x.percentage, x.cap_minor, t.sold, t.comps, t.gross, receipts) as amount
    from jsonb_to_recordset(inputs -> 'costs')
      as x (kind text, amount_minor numeric, percentage numeric, cap_minor numeric, budget_minor numeric, is_internal boolean)) y;
  select coalesce(sum(y.amount) filter (where y.stage = 'before_split'), 0) as before_split, coalesce(sum(y.amount) filter (where y.stage = 'after_split'), 0) as after_split
  into a
  from (
    select x.stage, case x.kind when 'deduction' then -x.amount_minor else x.amount_minor end as amount
    from jsonb_to_recordset(inputs -> 'adjustments') as x (kind text, amount_minor numeric, stage text)) y;
  costs := c.reported + a.before_split + guarantee_cost;
  profit := app.percent_of(greatest(costs, 0), profit_rate);

  split_point := case base when 'net' then costs when 'net_after_promoter_profit' then costs + profit else 0 end;
  share_base := case when base = 'gross' then t.gross - t.excluded when base is null then 0 else greatest(receipts - split_point, 0) end;
  share := app.percent_of(share_base, percentage);
  due := case kind when 'flat' then guarantee when 'door' then share when 'plus' then guarantee + share else greatest(guarantee, share) end;

  select coalesce(sum(app.bonus_amount(x.kind, x.amount_minor, x.threshold, t.sold, t.comps, t.allotted)), 0) into bonuses
  from jsonb_to_recordset(inputs -> 'bonuses') as x (kind text, amount_minor numeric, threshold numeric);
  withholding := app.withheld(due + bonuses, (deal ->> 'withholding_percentage')::numeric, (deal ->> 'withholding_threshold_minor')::numeric);
  -- One without either day is from before deposits could be due.
  select coalesce(sum(x.amount_minor) filter (where x.paid_on is not null or x.due_on is null), 0) as paid,
    coalesce(sum(x.amount_minor) filter (where x.paid_on is null and x.due_on is not null), 0) as open
  into p
  from jsonb_to_recordset(inputs -> 'deposits') as x (amount_minor numeric, paid_on date, due_on date);

  result := jsonb_build_object(
    'tickets_sold', t.sold, 'tickets_comped', t.comps, 'tickets_allotted', t.allotted,
    'gross_minor', t.gross, 'facility_fees_minor', t.fees, 'excluded_minor', t.excluded, 'tax_minor', tax, 'net_receipts_minor', receipts,
    'fixed_costs_minor', c.fixed, 'per_ticket_costs_minor', c.per_ticket, 'per_head_costs_minor', c.per_head,
    'percent_of_gross_costs_minor', c.of_gross, 'percent_of_net_receipts_costs_minor', c.of_receipts, 'adjustment_costs_minor', a.before_split,
    'guarantee_cost_minor', guarantee_cost, 'costs_minor', costs, 'internal_costs_minor', c.internal,
    'budget_minor', c.budget, 'over_budget_minor', c.over_budget,
    'net_minor', receipts - costs, 'promoter_profit_minor', profit, 'split_point_minor', split_point,
    'share_base_minor', share_base, 'share_minor', share, 'guarantee_minor', guarantee, 'due_minor', due,
    'bonuses_minor', bonuses, 'withholding_minor', withholding, 'adjustments_minor', a.after_split,
    'deposits_minor', p.paid, 'open_deposits_minor', p.open, 'balance_minor', due - withholding - p.paid)
    || jsonb_build_object('walk_out_minor', due + bonuses - withholding + a.after_split - p.paid,
    'promoter_minor', receipts + t.excluded - c.reported - c.internal - a.before_split - a.after_split - due - bonuses);
  if exists (select from jsonb_each_text(result) r where abs(r.value::numeric) > 9007199254740991) then
    perform app.refuse(422, 'settlement_out_of_range', 'An amount of the settlement is larger than 9007199254740991 minor units.');
  end if;
  return result;
end
$$;
comment on function app.settlement_figures(jsonb) is
  'The figures of the settlement of a deal, ticket tiers, costs, deposits, bonuses and adjustments as returned by app.settlement_inputs, in minor units. It reads nothing else. PT422 settlement_out_of_range.';
grant execute on function app.settlement_figures(jsonb) to callboard_api, callboard_definer;
create or replace function app.settle(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  figures constant jsonb := app.settlement_figures(inputs);
begin
  return figures || jsonb_build_object('lines', app.sheet_lines(inputs, figures));
end
$$;
comment on function app.settle(jsonb) is
  'The settlement of what app.settlement_inputs returns: app.settlement_figures with the lines of the sheet. It reads nothing else, so recorded settlements can be recomputed. PT422 settlement_out_of_range.';
grant execute on function app.settle(jsonb) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_arithmetic.sql
-- Included settlements/settlement_inputs.sql
-- What a settlement is computed from, as it is now and as it was recorded, and the draft that is computed from it.

create or replace function app.settlement_inputs(show uuid) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
  inputs jsonb;
begin
  -- One statement, so one snapshot. Ordered by id, so that equal inputs give equal JSON.
  select jsonb_build_object(
    'currency', d.currency,
    'deal', jsonb_build_object('id', d.id, 'kind', d.kind, 'guarantee_minor', d.guarantee_minor, 'percentage_bp', d.percentage_bp, 'base', d.base,
      'tax_bp', d.tax_bp, 'promoter_profit_bp', d.promoter_profit_bp, 'guarantee_is_cost', d.guarantee_is_cost,
      'percentage', trim_scale(coalesce(d.percentage, d.percentage_bp / 100::numeric)), 'tax_percentage', trim_scale(coalesce(d.tax_percentage, d.tax_bp / 100::numeric)),
      'promoter_profit_percentage', trim_scale(coalesce(d.promoter_profit_percentage, d.promoter_profit_bp / 100::numeric)),
      'withholding_percentage', trim_scale(d.withholding_percentage), 'withholding_threshold_minor', d.withholding_threshold_minor, 'withholding_due_on', d.withholding_due_on),
    'ticket_tiers', (
      select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'price_minor', t.price_minor,
        'facility_fee_minor', t.facility_fee_minor, 'excluded_minor', t.excluded_minor, 'allotment', t.allotment, 'sold', t.sold, 'comps', t.comps) order by t.id), '[]')
      from app.ticket_tiers t where t.organization_id = organization and t.show_id = show and t.deleted_at is null),
    'costs', (
      select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'kind', c.kind, 'amount_minor', c.amount_minor,
        'is_estimate', c.is_estimate, 'percentage', trim_scale(c.percentage), 'cap_minor', c.cap_minor, 'budget_minor', c.budget_minor, 'is_internal', c.is_internal) order by c.id), '[]')
      from app.show_costs c where c.organization_id = organization and c.show_id = show and c.deleted_at is null),
    'deposits', (
      select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'due_on', p.due_on, 'paid_on', p.paid_on, 'amount_minor', p.amount_minor, 'note', p.note) order by p.id), '[]')
      from app.deposits p where p.organization_id = organization and p.show_id = show and p.deleted_at is null),
    'bonuses', (
      select coalesce(jsonb_agg(jsonb_build_object('id', b.id, 'kind', b.kind, 'amount_minor', b.amount_minor, 'threshold', b.threshold) order by b.id), '[]')
      from app.deal_bonuses b where b.organization_id = organization and b.show_id = show and b.deleted_at is null),
    'adjustments', (
      select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name, 'kind', a.kind, 'amount_minor', a.amount_minor, 'stage', a.stage) order by a.id), '[]')
      from app.deal_adjustments a where a.organization_id = organization and a.show_id = show and a.deleted_at is null))
  into inputs
  from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null;
  if inputs is null then
    perform app.refuse(409, 'settlement_needs_deal');
  end if;
  return inputs;
end
$$;
comment on function app.settlement_inputs(uuid) is 'The current inputs of a show''s settlement. PT409 settlement_needs_deal.';
grant execute on function app.settlement_inputs(uuid) to callboard_api, callboard_definer;
create or replace function app.inputs_in_percent(inputs jsonb) returns jsonb
language sql stable parallel safe
return case when inputs -> 'deal' ? 'percentage' then inputs
  else jsonb_set(inputs, '{deal}', inputs -> 'deal' || jsonb_build_object('percentage', trim_scale((inputs #>> '{deal,percentage_bp}')::numeric / 100),
    'tax_percentage', trim_scale((inputs #>> '{deal,tax_bp}')::numeric / 100),
    'promoter_profit_percentage', trim_scale((inputs #>> '{deal,promoter_profit_bp}')::numeric / 100))) end;
comment on function app.inputs_in_percent(jsonb) is 'The inputs of a settlement with rates in percent, which those recorded up to 0.2.0 have in basis points only.';
grant execute on function app.inputs_in_percent(jsonb) to callboard_api, callboard_definer;
create or replace function app.complete_inputs(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  given constant jsonb := app.inputs_in_percent(inputs);
begin
  if given ? 'bonuses' then
    return given;
  end if;
  return given || jsonb_build_object('bonuses', '[]'::jsonb, 'adjustments', '[]'::jsonb,
    'deal', '{"withholding_percentage": null, "withholding_threshold_minor": null, "withholding_due_on": null}'::jsonb || (given -> 'deal'),
    'ticket_tiers', (select coalesce(jsonb_agg('{"excluded_minor": 0}'::jsonb || x.item order by x.n), '[]')
      from jsonb_array_elements(given -> 'ticket_tiers') with ordinality as x (item, n)),
    'costs', (select coalesce(jsonb_agg('{"percentage": null, "cap_minor": null, "budget_minor": null, "is_internal": false}'::jsonb || x.item order by x.n), '[]')
      from jsonb_array_elements(given -> 'costs') with ordinality as x (item, n)),
    'deposits', (select coalesce(jsonb_agg('{"due_on": null}'::jsonb || x.item order by x.n), '[]')
      from jsonb_array_elements(given -> 'deposits') with ordinality as x (item, n)));
end
$$;
comment on function app.complete_inputs(jsonb) is 'The inputs of a settlement with the fields that those recorded by earlier releases do not have.';
grant execute on function app.complete_inputs(jsonb) to callboard_api, callboard_definer;
create or replace function app.complete_result(inputs jsonb, result jsonb) returns jsonb
language sql stable
return case when result ? 'lines' then result else app.settle(inputs) || result end;
comment on function app.complete_result(jsonb, jsonb) is 'The result of a settlement with the fields that those recorded by earlier releases do not have.';
grant execute on function app.complete_result(jsonb, jsonb) to callboard_api, callboard_definer;
create or replace function app.draft_settlement(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  inputs jsonb;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  inputs := app.settlement_inputs(show);
  return (200, json_build_object('show_id', show, 'inputs', inputs, 'result', app.settle(inputs)), null, null)::app.answer;
end
$$;
comment on function app.draft_settlement(uuid) is 'What the settlement of the show would be now; records nothing. PT403, PT404, PT409 settlement_needs_deal, PT422 settlement_out_of_range.';
grant execute on function app.draft_settlement(uuid) to callboard_api;
-- EndIncluded settlements/settlement_inputs.sql
-- Included settlements/settlement_book_lines.sql
-- What a final settlement enters in the books, line by line. Each line's amount is computed by the function that computes it for
-- the settlement itself: see settlement_amounts.sql. Entering them is in settlement_books.sql.

create or replace function app.settlement_lines(inputs jsonb, result jsonb)
returns table (line text, kind text, category text, otherwise text, amount_minor numeric, tax_minor numeric, booked_on date, is_paid boolean, note text)
language plpgsql stable
set search_path = ''
as $$
begin
  return query
    with tiers as (
      select t.id, t.name, t.sold, t.price_minor * t.sold as gross, x.taxed,
        sum(x.taxed) over (order by t.price_minor desc, t.name collate "C", x.taxed, t.id) as so_far, sum(x.taxed) over () as whole
      from jsonb_to_recordset(inputs -> 'ticket_tiers')
          as t (id uuid, name text, price_minor numeric, facility_fee_minor numeric, excluded_minor numeric, sold numeric),
        lateral (select (t.price_minor - t.facility_fee_minor - coalesce(t.excluded_minor, 0)) * t.sold as taxed) x
    ), lines as (
      -- The shares of the tax add up to it: each is what the tax up to its tier is more than that up to the one before.
      select 1 as part, 'tier ' || t.id as line, 'income' as kind, 'Ticket sales' as category, 'Other income' as otherwise, t.gross as amount_minor,
        case when t.whole = 0 then 0 else app.apportion((result ->> 'tax_minor')::numeric, t.so_far, t.whole)
          - app.apportion((result ->> 'tax_minor')::numeric, t.so_far - t.taxed, t.whole) end as tax_minor,
        null::date as booked_on, false as is_paid, format('%s × %s', t.sold, t.name) as note
      from tiers t
      union all
      select 2, 'facility_fees', 'expense', 'Venue hire', 'Other expenses', (result ->> 'facility_fees_minor')::numeric, 0, null, false, 'Facility fees'
      union all
      select 3, 'tax', 'expense', 'Taxes and licences', 'Other expenses', (result ->> 'tax_minor')::numeric, 0, null, false, 'Tax in the ticket prices'
      union all
      select 4, 'cost ' || c.id, 'expense', c.name, 'Other expenses',
        app.cost_amount(c.kind, c.amount_minor, c.percentage, c.cap_minor, (result ->> 'tickets_sold')::numeric, (result ->> 'tickets_comped')::numeric,
          (result ->> 'gross_minor')::numeric, (result ->> 'net_receipts_minor')::numeric), 0, null, false, c.name
      from jsonb_to_recordset(inputs -> 'costs') as c (id uuid, name text, kind text, amount_minor numeric, percentage numeric, cap_minor numeric)
      union all
      select 5, 'adjustment ' || a.id, case a.kind when 'deduction' then 'income' else 'expense' end, a.name,
        case a.kind when 'deduction' then 'Other income' else 'Other expenses' end, a.amount_minor, 0, null, false, format('%s: %s', initcap(a.kind), a.name)
      from jsonb_to_recordset(inputs -> 'adjustments') as a (id uuid, name text, kind text, amount_minor numeric)
      union all
      select 6, 'bonus ' || b.id, 'expense', 'Artist fees', 'Other expenses',
        app.bonus_amount(b.kind, b.amount_minor, b.threshold, (result ->> 'tickets_sold')::numeric, (result ->> 'tickets_comped')::numeric,
          (result ->> 'tickets_allotted')::numeric), 0, null, false, 'Bonus'
      from jsonb_to_recordset(inputs -> 'bonuses') as b (id uuid, kind text, amount_minor numeric, threshold numeric)
      union all
      select 7, 'withholding', 'expense', 'Taxes and licences', 'Other expenses', (result ->> 'withholding_minor')::numeric, 0,
        (inputs #>> '{deal,withholding_due_on}')::date, false, 'Withheld from the artist'
      union all
      select 8, 'deposit ' || p.id, 'expense', 'Artist fees', 'Other expenses', p.amount_minor, 0, p.paid_on, true, coalesce(p.note, 'Deposit')
      from jsonb_to_recordset(inputs -> 'deposits') as p (id uuid, paid_on date, amount_minor numeric, note text)
      where p.paid_on is not null
      union all
      select 9, 'balance', 'expense', 'Artist fees', 'Other expenses', greatest((result ->> 'balance_minor')::numeric, 0), 0, null, false, 'Balance of the settlement'
      union all
      select 10, 'repayment', 'income', 'Other income', 'Other income', greatest(-(result ->> 'balance_minor')::numeric, 0), 0, null, false, 'Repayment by the artist')
    select l.line, l.kind, l.category, l.otherwise, l.amount_minor, l.tax_minor, l.booked_on, l.is_paid, l.note
    from lines l where l.amount_minor > 0 order by l.part, l.line;
end
$$;
comment on function app.settlement_lines(jsonb, jsonb) is
  'What a settlement enters in the books, from its inputs and its result: the name of each line, the category by its name (that of a cost or an adjustment is the one that is called like it) and the one if there is none of that name, the amount with the tax in it, and the day, if it is not that of the show. Income less expenses is what the promoter is left with.';
grant execute on function app.settlement_lines(jsonb, jsonb) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_book_lines.sql
-- Included settlements/settlement_books.sql
create or replace function app_private.book_settlement(s app.settlements, rate numeric) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- As whoever enters a record: nobody closes a month meanwhile.
  perform from app.organizations o where o.id = s.organization_id for share;
  insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, tax_minor, currency, exchange_rate, base_currency,
    status, payment_status, note, settlement_id, settlement_line, created_by)
  select s.organization_id, l.kind, app_private.category_named(s.organization_id, l.kind, l.category, l.otherwise), s.show_id,
    d.booked_on, l.amount_minor, l.tax_minor, s.inputs ->> 'currency', rate, o.currency,
    'actual', case when l.is_paid then 'paid' else 'unpaid' end,
    l.note || case when d.booked_on <> d.wanted then format(' (of %s, whose month is closed)', d.wanted) else '' end,
    s.id, l.line, app.current_user_id()
  from app.settlement_lines(s.inputs, s.result) l
  join app.shows x on x.organization_id = s.organization_id and x.id = s.show_id
  join app.organizations o on o.id = s.organization_id
  cross join lateral (select w.wanted, app_private.open_day(s.organization_id, w.wanted) as booked_on
    from (select coalesce(l.booked_on, x.show_on) as wanted) w) d;
end
$$;
comment on function app_private.book_settlement(app.settlements, numeric) is
  'Enters the lines of a settlement as actual records, on the day of the show, of the deposit or on which what is withheld is due, or in the next month that is open.';
alter function app_private.book_settlement(app.settlements, numeric) owner to callboard_definer;
-- EndIncluded settlements/settlement_books.sql
-- Included settlements/settlement_commands.sql
-- Commands on settlements; the table is in settlements.sql.

create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'number', x.number, 'status', x.status, 'reason', x.reason,
      'inputs', app.complete_inputs(x.inputs), 'result', app.complete_result(x.inputs, x.result),
      'finalized_at', x.finalized_at, 'finalized_by', x.finalized_by,
      'reopened_at', x.reopened_at, 'reopened_by', x.reopened_by, 'reopen_reason', x.reopen_reason,
      'booked_at', x.booked_at, 'not_booked_because', x.not_booked_because,
      'bookings', (select coalesce(json_agg(json_build_object('finance_record_id', r.id, 'line', r.settlement_line, 'kind', r.kind, 'category_id', r.category_id,
          'amount_minor', r.amount_minor, 'currency', r.currency, 'booked_on', r.booked_on, 'status', r.status) order by r.id), '[]')
        from app.finance_records r where r.organization_id = x.organization_id and r.settlement_id = x.id and r.deleted_at is null),
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.settlements x
  where x.deleted_at is null;
comment on view app.settlement_list is 'The organization''s undeleted settlements, with their JSON.';
grant select on app.settlement_list to callboard_api, callboard_definer;
create or replace function app.finalize_settlement(settlement uuid, rate numeric default null, existing text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
  show_status text;
  because text;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  show_status := app_private.lock_show(present.show_id);
  -- Check again under the lock: nobody else can finalize it now.
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.status = 'final' then
    perform app.refuse(409, 'settlement_final');
  elsif show_status <> 'played' then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif app.complete_inputs(present.inputs) is distinct from app.settlement_inputs(present.show_id) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  because := app_private.enter_settlement(present, rate, existing, false);
  update app.settlements x set (status, finalized_at, finalized_by, booked_at, not_booked_because)
    = row ('final', statement_timestamp(), app.current_user_id(), case when because is null then statement_timestamp() end, because)
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  update app.shows s set status = 'settled' where s.organization_id = (select app.current_org()) and s.id = present.show_id;
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid, numeric, text) is
  'Makes a revision final and its show settled, and enters its lines in the books as app.book_settlement does, unless that has to be told more: then not_booked_because says what. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated, period_closed.';
alter function app.finalize_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.finalize_settlement(uuid, numeric, text) to callboard_api;
-- EndIncluded settlements/settlement_commands.sql
-- Included settlements/settlement_sheets.sql
-- The sheet of a recorded settlement, to be printed and signed: what the artist may see of it, with amounts as people read them.

create or replace function app.read_settlement_sheet(settlement uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
  recorded app.settlements;
  answer app.answer;
begin
  perform app.require('finance.read');
  select * into recorded from app.settlements x where x.organization_id = organization and x.id = settlement and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  select 200, json_build_object(
    'organization', (select o.name from app.organizations o where o.id = organization),
    'show', (
      select json_build_object('id', s.id, 'title', s.title, 'artist', s.artist, 'show_on', s.show_on, 'venue_name', v.name, 'venue_city', v.city)
      from app.shows s left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
      where s.organization_id = organization and s.id = recorded.show_id and s.deleted_at is null),
    'settlement', json_build_object('id', recorded.id, 'number', recorded.number, 'status', recorded.status, 'reason', recorded.reason,
      'finalized_at', recorded.finalized_at, 'reopened_at', recorded.reopened_at),
    'currency', recorded.inputs ->> 'currency', 'tickets_sold', r.result -> 'tickets_sold', 'tickets_comped', r.result -> 'tickets_comped',
    'tickets_allotted', r.result -> 'tickets_allotted',
    'lines', (
      select jsonb_agg(l.line || jsonb_build_object('amount', app.money_text((l.line ->> 'amount_minor')::numeric, d.digits),
        'budget', app.money_text((l.line ->> 'budget_minor')::numeric, d.digits),
        'over_budget', app.money_text((l.line ->> 'over_budget_minor')::numeric, d.digits)) order by l.n)
      from jsonb_array_elements(r.result -> 'lines') with ordinality as l (line, n)
      -- Internal costs, and what is left for the promoter, from which they could be computed.
      where l.line ->> 'section' <> 'promoter')), null, null
  into answer
  from (select app.complete_result(recorded.inputs, recorded.result) as result) r, (select app.minor_digits(recorded.inputs ->> 'currency') as digits) d;
  return answer;
end
$$;
comment on function app.read_settlement_sheet(uuid) is 'A revision of a settlement as a sheet for both sides: without what is the promoter''s only. PT403, PT404.';
grant execute on function app.read_settlement_sheet(uuid) to callboard_api;
-- EndIncluded settlements/settlement_sheets.sql
-- Included settlements/settlement_offers.sql
-- An offer: what the settlement of a show would be if it sold out, and how many tickets it takes until the promoter loses
-- nothing. It is computed by the same app.settlement_figures, with other numbers of tickets sold.

create or replace function app.inputs_at(inputs jsonb, tickets numeric) returns jsonb
language plpgsql immutable parallel safe
set search_path = ''
as $$
begin
  return jsonb_set(inputs, '{ticket_tiers}', (
    select coalesce(jsonb_agg(f.item || jsonb_build_object('sold', greatest(least(f.free, tickets - f.before), 0)) order by f.n), '[]')
    from (
      select t.item, t.n, x.free, coalesce(sum(x.free) over (order by (t.item ->> 'price_minor')::numeric, (t.item ->> 'facility_fee_minor')::numeric desc,
        (t.item ->> 'excluded_minor')::numeric, t.n rows between unbounded preceding and 1 preceding), 0) as before
      from jsonb_array_elements(inputs -> 'ticket_tiers') with ordinality as t (item, n)
      cross join lateral (select (t.item ->> 'allotment')::numeric - (t.item ->> 'comps')::numeric as free) x) f));
end
$$;
comment on function app.inputs_at(jsonb, numeric) is
  'The inputs of a settlement with another number of tickets sold: the cheapest first, each tier up to its allotment without complimentary tickets.';
grant execute on function app.inputs_at(jsonb, numeric) to callboard_api;
create or replace function app.break_even(inputs jsonb, most bigint) returns bigint
language plpgsql stable
set search_path = ''
as $$
declare
  is_of_gross constant boolean := inputs #>> '{deal,base}' is not distinct from 'gross';
  -- Ranges of numbers of tickets still to be looked at, the first one last.
  firsts bigint[] := array[0];
  lasts bigint[] := array[most];
  n integer := 1;
  a bigint;
  b bigint;
  at_first jsonb;
  at_last jsonb;
begin
  while n > 0 loop
    a := firsts[n];
    b := lasts[n];
    n := n - 1;
    at_first := app.settlement_figures(app.inputs_at(inputs, a));
    if (at_first ->> 'promoter_minor')::numeric >= 0 then
      return a;
    end if;
    continue when a = b;
    -- With more tickets receipts, costs and bonuses are never less, and the artist never gets more than all of further
    -- receipts; so within the range nobody is left with more than at its end, plus what costs and bonuses are less before.
    -- Only a share of the gross may grow more than what is left of it.
    at_last := app.settlement_figures(app.inputs_at(inputs, b));
    continue when (at_last ->> 'promoter_minor')::numeric
      + (at_last ->> 'costs_minor')::numeric - (at_first ->> 'costs_minor')::numeric
      + (at_last ->> 'internal_costs_minor')::numeric - (at_first ->> 'internal_costs_minor')::numeric
      + (at_last ->> 'bonuses_minor')::numeric - (at_first ->> 'bonuses_minor')::numeric
      + case when is_of_gross then (at_last ->> 'due_minor')::numeric - (at_first ->> 'due_minor')::numeric else 0 end < 0;
    -- Those after the middle are looked at after those before it.
    firsts[n + 1] := (a + b) / 2 + 1;
    lasts[n + 1] := b;
    n := n + 1;
    if a + 1 <= (a + b) / 2 then
      firsts[n + 1] := a + 1;
      lasts[n + 1] := (a + b) / 2;
      n := n + 1;
    end if;
  end loop;
  return null;
end
$$;
comment on function app.break_even(jsonb, bigint) is
  'The smallest number of tickets sold with which the promoter is left with nothing or more, up to a number of tickets; NULL if there is none. Exact: whole ranges are left out only where no number in them can do.';
grant execute on function app.break_even(jsonb, bigint) to callboard_api;
create or replace function app.read_offer(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  inputs jsonb;
  most bigint;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  inputs := app.settlement_inputs(show);
  select coalesce(sum(t.allotment - t.comps), 0) into most from jsonb_to_recordset(inputs -> 'ticket_tiers') as t (allotment bigint, comps bigint);
  return (200, json_build_object('show_id', show, 'tickets_for_sale', most, 'break_even_tickets', app.break_even(inputs, most),
    'inputs', inputs, 'at_full_house', app.settle(app.inputs_at(inputs, most))), null, null)::app.answer;
end
$$;
comment on function app.read_offer(uuid) is
  'What the settlement of the show would be if every ticket were sold, and with how many the promoter breaks even. PT403, PT404, PT409 settlement_needs_deal, PT422 settlement_out_of_range.';
grant execute on function app.read_offer(uuid) to callboard_api;
-- EndIncluded settlements/settlement_offers.sql
-- Lock: access exclusive on app.show_costs: alter table app.show_costs add column if not exists percentage numeric, add column if not exists cap
-- Lock: access exclusive on app.ticket_tiers: alter table app.ticket_tiers add column if not exists excluded_minor bigint not null default 0
-- Lock: access exclusive on app.deals: alter table app.deals add column if not exists withholding_percentage numeric, add column if not exi
-- Lock: access exclusive on app.deposits: alter table app.deposits alter column paid_on drop not null
-- Lock: access exclusive on app.deal_rows: create or replace view app.deal_rows with (security_invoker = true) as select x.organization_id, x.v
-- Lock: share row exclusive on app.deals: create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor,
-- Lock: access exclusive on app.ticket_tier_rows: create or replace view app.ticket_tier_rows with (security_invoker = true) as select x.organization_
-- Lock: share row exclusive on app.ticket_tiers: create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_
-- Lock: access exclusive on app.show_cost_rows: create or replace view app.show_cost_rows with (security_invoker = true) as select x.organization_id
-- Lock: share row exclusive on app.show_costs: create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, is_est
-- Lock: share row exclusive on app.deposits: create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note, due
-- Lock: share row exclusive on app.organizations: create table if not exists app.deal_bonuses ( organization_id uuid not null default app.current_org(
-- Lock: share row exclusive on app.shows: create table if not exists app.deal_bonuses ( organization_id uuid not null default app.current_org(
-- Lock: share row exclusive on app.users: create table if not exists app.deal_bonuses ( organization_id uuid not null default app.current_org(
-- Lock: access exclusive on app.settlement_list: create or replace view app.settlement_list with (security_invoker = true) as select x.organization_i
