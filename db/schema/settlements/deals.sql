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
-- A migration has made it concurrently.
-- squawk-ignore require-concurrent-index-creation
create unique index if not exists deals_one_per_act on app.deals (organization_id, show_id, lower(coalesce(act, ''))) where deleted_at is null;
alter index app.deals_one_per_act alter column 3 set statistics 0;
create index if not exists deals_organization_id_show_id_idx on app.deals (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.deal_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.currency, x.guarantee_minor, x.percentage_bp, x.base, x.tax_bp, x.promoter_profit_bp, x.guarantee_is_cost,
    x.created_by, x.created_at, x.updated_at,
    trim_scale(x.percentage) as percentage, trim_scale(x.tax_percentage) as tax_percentage, trim_scale(x.promoter_profit_percentage) as promoter_profit_percentage,
    trim_scale(x.withholding_percentage) as withholding_percentage, x.withholding_threshold_minor, x.withholding_due_on,
    x.act, x.is_cost_of_main, x.cancellation_minor
  from app.deals x;

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

create or replace function app.agreed_rate(old_percentage numeric, old_bp integer, percentage numeric, bp integer, otherwise numeric) returns numeric
language plpgsql immutable
set search_path = ''
as $$
declare
  is_given constant boolean := percentage is not null and percentage is distinct from old_percentage;
  is_given_bp constant boolean := bp is not null and bp is distinct from old_bp;
begin
  if is_given and is_given_bp and percentage * 100 <> bp then
    perform app.refuse(422, 'deals_rates_agree');
  elsif is_given then
    return trim_scale(percentage);
  elsif is_given_bp then
    return trim_scale(bp / 100::numeric);
  end if;
  return trim_scale(coalesce(percentage, bp / 100::numeric, otherwise));
end
$$;
comment on function app.agreed_rate(numeric, integer, numeric, integer, numeric) is
  'A rate that may be given in percent or in basis points: the one that has changed, else the one there is, else otherwise. PT422 deals_rates_agree if both have changed and differ.';
grant execute on function app.agreed_rate(numeric, integer, numeric, integer, numeric) to callboard_api, callboard_definer;

create or replace function app.basis_points(percentage numeric) returns integer
language sql immutable
set search_path = ''
return case when abs(percentage) < 1000000 and percentage * 100 = trunc(percentage * 100) then (percentage * 100)::integer end;
comment on function app.basis_points(numeric) is 'A rate in percent as basis points; NULL if that is no whole number.';
grant execute on function app.basis_points(numeric) to callboard_api, callboard_definer;

create or replace function app_private.tg_deals__150_rates() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  o app.deals;
begin
  if tg_op = 'UPDATE' then
    o := old;
  end if;
  -- A flat deal has none, whichever of the two was removed.
  if new.kind = 'flat' and tg_op = 'UPDATE' and (new.percentage is null or new.percentage_bp is null)
    and (new.percentage is not distinct from o.percentage or new.percentage is null)
    and (new.percentage_bp is not distinct from o.percentage_bp or new.percentage_bp is null)
  then
    new.percentage := null;
  else
    new.percentage := app.agreed_rate(o.percentage, o.percentage_bp, new.percentage, new.percentage_bp, null);
  end if;
  new.tax_percentage := app.agreed_rate(o.tax_percentage, o.tax_bp, new.tax_percentage, new.tax_bp, 0);
  new.promoter_profit_percentage := app.agreed_rate(o.promoter_profit_percentage, o.promoter_profit_bp, new.promoter_profit_percentage, new.promoter_profit_bp, 0);
  new.percentage_bp := app.basis_points(new.percentage);
  new.tax_bp := app.basis_points(new.tax_percentage);
  new.promoter_profit_bp := app.basis_points(new.promoter_profit_percentage);
  return new;
end
$$;
comment on function app_private.tg_deals__150_rates() is 'Keeps the rates in percent and those in basis points equal. PT422 deals_rates_agree.';
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
  -- The show is locked (_100_show), and whoever enters an amount shares that lock.
  if new.act is null and exists (
    select from app.deals d where d.organization_id = new.organization_id and d.show_id = new.show_id and d.id <> new.id and d.deleted_at is null and d.act is null)
  then
    perform app.refuse(409, 'deals_one_per_show');
  end if;
  -- A second deal with another act is refused for that.
  select d.currency into present from app.deals d
  where d.organization_id = new.organization_id and d.show_id = new.show_id and d.id <> new.id and d.deleted_at is null
    and lower(d.act) is distinct from lower(new.act) and d.currency <> new.currency limit 1;
  if found then
    perform app.refuse(409, 'deals_same_currency', format('Another deal of the show is in %s.', present));
  end if;
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
  'PT409 deals_one_per_show for a second main deal; deals_same_currency if another deal of the show is in another currency; deals_currency_in_use if the deal of a show with prices or other amounts would have another currency than the one before it: by a change, a new deal, or one restored.';
alter function app_private.tg_deals__150_currency() owner to callboard_definer;
create or replace trigger _150_currency_insert before insert on app.deals
  for each row execute function app_private.tg_deals__150_currency();
create or replace trigger _150_currency before update on app.deals
  for each row when (new.currency is distinct from old.currency or new.deleted_at is null and old.deleted_at is not null)
  execute function app_private.tg_deals__150_currency();
