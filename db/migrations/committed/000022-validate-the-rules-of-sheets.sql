--! Previous: sha1:87cde285ea91e2aaca506c95d5a568a9faace86a
--! Hash: sha1:12a1c606aa5230ee361aabe29b9b3a8f0a9fbcd4
--! Message: Validate the rules of sheets

alter table app.show_costs validate constraint show_costs_kind_known;
alter table app.show_costs validate constraint show_costs_valid_percentage;
alter table app.show_costs validate constraint show_costs_cap_range;
alter table app.show_costs validate constraint show_costs_budget_range;
alter table app.show_costs validate constraint show_costs_percentage_by_kind;
alter table app.show_costs validate constraint show_costs_cap_above_least;
alter table app.ticket_tiers validate constraint ticket_tiers_fee_within_price;
alter table app.ticket_tiers validate constraint ticket_tiers_excluded_range;
alter table app.deals validate constraint deals_withholding_valid;
alter table app.deals validate constraint deals_withholding_threshold_range;
alter table app.deals validate constraint deals_withholding_due_on_range;
alter table app.deals validate constraint deals_withholding_has_rate;
alter table app.deposits validate constraint deposits_due_on_range;
alter table app.deposits validate constraint deposits_paid_or_due;
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
select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, paid_on, amount_minor, note, due_on), update (paid_on, amount_minor, note, due_on) on app.deposits to callboard_api;
comment on table app.deposits is 'What artists have been paid before the settlement of a show, or are to be.';
comment on column app.deposits.paid_on is 'NULL while it is open: then the settlement does not count it.';
create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note, due_on on app.deposits
  for each row execute function app_private.tg__200_unsettled();
-- EndIncluded settlements/deposits.sql
-- Lock: share row exclusive on app.deals: create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor,
-- Lock: share row exclusive on app.ticket_tiers: create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_
-- Lock: share row exclusive on app.show_costs: create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, is_est
-- Lock: share row exclusive on app.deposits: create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note, due
