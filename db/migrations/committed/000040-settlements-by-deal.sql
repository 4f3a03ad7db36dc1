--! Previous: sha1:7675b42880b249fc4f3011729a3e8dd1be50ee5a
--! Hash: sha1:f3b7ed932c7471d0459885fb9e8955b45b70e6eb
--! Message: settlements by deal

-- Rules for what is new, which hold for all rows of before: they have neither an act nor a deal.
alter table app.deals add constraint deals_act_length check (app.is_line(act, 200)) not valid;
alter table app.deposits add constraint deposits_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade not valid;
alter table app.deal_bonuses add constraint deal_bonuses_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade not valid;
alter table app.deal_adjustments add constraint deal_adjustments_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade not valid;
alter table app.settlements add constraint settlements_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade not valid;
-- The indexes that take their places are there: they were committed concurrently.
-- squawk-ignore require-concurrent-index-deletion
drop index if exists app.deals_one_per_show;
-- squawk-ignore require-concurrent-index-deletion
drop index if exists app.settlements_one_final;
alter table app.settlements drop constraint if exists settlements_number_once;
-- Those that take a deal have another argument, with a default, so that servers of the release before may call them.
drop function if exists app.settlement_inputs(uuid);
drop function if exists app.draft_settlement(uuid);
drop function if exists app.read_offer(uuid);
-- Included settlements/show_parts.sql
create or replace function app_private.require_finals_unchanged(organization uuid, show uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if exists (
    select from app.settlements x
    left join app.deals d on d.organization_id = x.organization_id and d.show_id = x.show_id and d.deleted_at is null
      and (d.id = x.deal_id or x.deal_id is null and d.act is null)
    where x.organization_id = require_finals_unchanged.organization and x.show_id = require_finals_unchanged.show
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null
      and app.complete_inputs(x.inputs) is distinct from app.inputs_of(d))
  then
    perform app.refuse(409, 'settlement_final', 'A settlement of the show is final, and it was computed from this: reopen it first.');
  end if;
end
$$;
comment on function app_private.require_finals_unchanged(uuid, uuid) is
  'PT409 settlement_final if a settlement in force of the show would be another now. Where another deal of the show is not settled, its own parts may change.';
alter function app_private.require_finals_unchanged(uuid, uuid) owner to callboard_definer;
create or replace function app_private.tg__400_finals() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.require_finals_unchanged(new.organization_id, new.show_id);
  return null;
end
$$;
comment on function app_private.tg__400_finals() is 'After a part of a show has been entered or changed: see app_private.require_finals_unchanged.';
alter function app_private.tg__400_finals() owner to callboard_definer;
create or replace function app_private.tg__250_deal() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  is_deleted boolean;
begin
  -- The show is locked (app_private.require_unsettled), and so against the deletion of its deals.
  select d.deleted_at is not null into is_deleted from app.deals d
  where d.organization_id = new.organization_id and d.show_id = new.show_id and d.id = new.deal_id;
  if is_deleted is null then
    perform app.refuse(409, 'deal_of_other_show');
  elsif is_deleted then
    perform app.refuse(409, 'parent_deleted', 'The deal is deleted: restore that first.');
  end if;
  return new;
end
$$;
comment on function app_private.tg__250_deal() is 'PT409 deal_of_other_show if a part names a deal that is none of its show, PT409 parent_deleted if that is deleted.';
alter function app_private.tg__250_deal() owner to callboard_definer;
create or replace function app_private.require_part_unsettled(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  show uuid;
begin
  execute format('select show_id from %s where organization_id = app.current_org() and id = $1', target) into show using id;
  perform app_private.require_unsettled(app.current_org(), show, false);
  perform app_private.require_finals_unchanged(app.current_org(), show);
end
$$;
comment on function app_private.require_part_unsettled(regclass, uuid) is 'The guard of the parts of a show: PT409 settlement_final once a settlement is final that was computed from them.';
alter function app_private.require_part_unsettled(regclass, uuid) owner to callboard_definer;
create or replace function app_private.require_deal_unsettled(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- Its settlements are deleted with it, but not one that is in force.
  if exists (select from app.settlements x where x.organization_id = app.current_org() and x.deal_id = require_deal_unsettled.id
    and x.status = 'final' and x.reopened_at is null)
  then
    perform app.refuse(409, 'settlement_final');
  end if;
  perform app_private.require_part_unsettled(target, id);
  -- It may have been the last one that was not settled.
  perform app_private.settle_show((select d.show_id from app.deals d where d.organization_id = app.current_org() and d.id = require_deal_unsettled.id));
  -- A deal that is restored gives the show its fee.
  if exists (select from app.deals d where d.organization_id = app.current_org() and d.id = require_deal_unsettled.id and d.deleted_at is null) then
    perform app.require('finance.read');
    perform app.require('finance.write');
  end if;
end
$$;
comment on function app_private.require_deal_unsettled(regclass, uuid) is
  'The guard of deals: PT409 settlement_final once the settlement is final, PT403 for restoring one without finance.read and finance.write.';
alter function app_private.require_deal_unsettled(regclass, uuid) owner to callboard_definer;
-- EndIncluded settlements/show_parts.sql
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
create or replace view app.deal_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.currency, x.guarantee_minor, x.percentage_bp, x.base, x.tax_bp, x.promoter_profit_bp, x.guarantee_is_cost,
    x.created_by, x.created_at, x.updated_at,
    trim_scale(x.percentage) as percentage, trim_scale(x.tax_percentage) as tax_percentage, trim_scale(x.promoter_profit_percentage) as promoter_profit_percentage,
    trim_scale(x.withholding_percentage) as withholding_percentage, x.withholding_threshold_minor, x.withholding_due_on,
    x.act, x.is_cost_of_main
  from app.deals x;
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_deal_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on, act, is_cost_of_main),
  update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on, act, is_cost_of_main) on app.deals to callboard_api;
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
comment on column app.deals.guarantee_is_cost is 'For plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins only once it has been earned back.';
create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on, act, is_cost_of_main on app.deals
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _400_finals after insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage,
    withholding_percentage, withholding_threshold_minor, withholding_due_on, act, is_cost_of_main on app.deals
  for each row execute function app_private.tg__400_finals();
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
-- EndIncluded settlements/deals.sql
-- Included settlements/deal_fees.sql
-- Where a show has deals, its fee is what they guarantee together: one number, which the deals give.

create or replace function app_private.match_fee(organization uuid, show uuid) returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
  deals record;
begin
  -- All deals of a show have one currency. A sum that is too much for a fee stays too much, whatever its type.
  select count(*) as n, case when sum(d.guarantee_minor) is not null then least(sum(d.guarantee_minor), 9007199254740992) end as guaranteed, min(d.currency) as currency into deals
  from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null;
  if deals.n = 0 then
    return false;
  end if;
  -- A door deal guarantees nothing: if all do, there is no fee, nor a row for one, unless there was.
  if deals.guaranteed is null then
    update app.show_fees f set fee_minor = null, currency = null
    where f.organization_id = organization and f.show_id = show and f.fee_minor is not null;
  else
    insert into app.show_fees as f (organization_id, show_id, fee_minor, currency) values (organization, show, deals.guaranteed, deals.currency)
    on conflict (organization_id, show_id) do update set fee_minor = excluded.fee_minor, currency = excluded.currency
      where (f.fee_minor, f.currency) is distinct from (excluded.fee_minor, excluded.currency);
  end if;
  if not found then
    return false;
  end if;
  -- The version of a fee is that of its show.
  update app.shows s set tickets_sold = s.tickets_sold where s.organization_id = organization and s.id = show and s.deleted_at is null;
  return true;
end
$$;
comment on function app_private.match_fee(uuid, uuid) is 'Gives a show the sum of the guarantees of its deals, if it has any, as its fee; returns whether that was another.';
alter function app_private.match_fee(uuid, uuid) owner to callboard_definer;
create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at on app.deals
  for each row execute function app_private.tg__100_show();
create or replace function app_private.tg_deals__400_fee() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Whoever sees no money may still restore a show, with the deal that it was deleted with: nobody has changed its fee meanwhile.
  if tg_op = 'UPDATE' and (new.guarantee_minor, new.currency) is not distinct from (old.guarantee_minor, old.currency)
    and not (app.has_permission('finance.read') and app.has_permission('finance.write'))
  then
    return null;
  end if;
  perform app_private.match_fee(new.organization_id, new.show_id);
  return null;
end
$$;
comment on function app_private.tg_deals__400_fee() is 'Keeps the fee of a show equal to what its deals guarantee.';
alter function app_private.tg_deals__400_fee() owner to callboard_definer;
create or replace trigger _400_fee_insert after insert on app.deals
  for each row execute function app_private.tg_deals__400_fee();
create or replace trigger _400_fee after update on app.deals
  for each row when ((new.guarantee_minor, new.currency, new.deleted_at) is distinct from (old.guarantee_minor, old.currency, old.deleted_at))
  execute function app_private.tg_deals__400_fee();
create or replace function app.has_deal(show uuid) returns boolean
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return exists (select from app.deals d where d.organization_id = app.org_if('finance.write') and d.show_id = show and d.deleted_at is null);
end
$$;
comment on function app.has_deal(uuid) is 'Whether a show has a deal, which whoever may write money learns: its fee is that of its deals.';
alter function app.has_deal(uuid) owner to callboard_definer;
grant execute on function app.has_deal(uuid) to callboard_api, callboard_definer;
create or replace function app_private.tg_show_fees__200_fee() returns trigger
language plpgsql volatile
set search_path = ''
as $$
begin
  -- An INSERT may be one that will find the row there, as it is.
  if current_user <> 'callboard_definer' and app.has_deal(new.show_id) and not exists (select from app.show_fees f
      where f.organization_id = new.organization_id and f.show_id = new.show_id and (f.fee_minor, f.currency) is not distinct from (new.fee_minor, new.currency)) then
    perform app.refuse(409, 'show_fee_by_deal');
  end if;
  return new;
end
$$;
comment on function app_private.tg_show_fees__200_fee() is 'PT409 show_fee_by_deal for another fee than what the show''s deals guarantee.';
-- EndIncluded settlements/deal_fees.sql
-- Included settlements/ticket_tiers.sql
select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
create or replace trigger _400_finals after insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor on app.ticket_tiers
  for each row execute function app_private.tg__400_finals();
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/show_costs.sql
select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
create or replace trigger _400_finals after insert or update of name, kind, amount_minor, is_estimate, percentage, cap_minor, budget_minor, is_internal on app.show_costs
  for each row execute function app_private.tg__400_finals();
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
  deal_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deposits_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint deposits_paid_or_due check (paid_on is not null or due_on is not null)
);
create or replace view app.deposit_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body, coalesce(x.paid_on, x.due_on) as day_on,
    x.id, x.show_id, x.due_on, x.paid_on, x.amount_minor, x.note,
    x.created_by, x.created_at, x.updated_at,
    x.deal_id
  from app.deposits x;
select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, paid_on, amount_minor, note, due_on, deal_id), update (paid_on, amount_minor, note, due_on, deal_id) on app.deposits to callboard_api;
comment on table app.deposits is 'What artists have been paid before the settlement of a show, or are to be.';
comment on column app.deposits.deal_id is 'The deal of the same show that it belongs to; NULL: the main deal.';
comment on column app.deposits.paid_on is 'NULL while it is open: then the settlement does not count it.';
create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note, due_on, deal_id on app.deposits
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _250_deal before insert or update of deal_id on app.deposits
  for each row when (new.deal_id is not null) execute function app_private.tg__250_deal();
create or replace trigger _400_finals after insert or update of paid_on, amount_minor, note, due_on, deal_id on app.deposits
  for each row execute function app_private.tg__400_finals();
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
  deal_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deal_bonuses_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint deal_bonuses_threshold_by_kind check ((kind = 'sell_out') = (threshold is null))
);
create or replace view app.deal_bonus_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.amount_minor, x.threshold,
    x.created_by, x.created_at, x.updated_at,
    x.deal_id
  from app.deal_bonuses x;
select app_private.tenant_table('deal_bonuses', noun => 'deal_bonus', permission => 'finance', path => '/api/bonuses',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, amount_minor, threshold, deal_id), update (kind, amount_minor, threshold, deal_id) on app.deal_bonuses to callboard_api;
comment on table app.deal_bonuses is 'What artists are paid on top of a deal, by how many tickets are sold.';
comment on column app.deal_bonuses.deal_id is 'The deal of the same show that it belongs to; NULL: the main deal.';
comment on column app.deal_bonuses.kind is 'tickets: the amount, once, from that many tickets sold; sell_out: once, if tickets sold and complimentary ones fill every allotment; per_ticket: the amount for each ticket sold above the threshold.';
create or replace trigger _200_unsettled before insert or update of kind, amount_minor, threshold, deal_id on app.deal_bonuses
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _250_deal before insert or update of deal_id on app.deal_bonuses
  for each row when (new.deal_id is not null) execute function app_private.tg__250_deal();
create or replace trigger _400_finals after insert or update of kind, amount_minor, threshold, deal_id on app.deal_bonuses
  for each row execute function app_private.tg__400_finals();
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
  deal_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deal_adjustments_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade
);
create or replace view app.deal_adjustment_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.kind, x.amount_minor, x.stage,
    x.created_by, x.created_at, x.updated_at,
    x.deal_id
  from app.deal_adjustments x;
select app_private.tenant_table('deal_adjustments', noun => 'deal_adjustment', permission => 'finance', path => '/api/adjustments',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, kind, amount_minor, stage, deal_id), update (name, kind, amount_minor, stage, deal_id) on app.deal_adjustments to callboard_api;
comment on table app.deal_adjustments is 'What is added to or taken off a settlement before or after the split.';
comment on column app.deal_adjustments.deal_id is 'The deal of the same show that it belongs to; NULL: the main deal.';
comment on column app.deal_adjustments.kind is 'reimbursement, buyout, credit: added; deduction: taken off.';
comment on column app.deal_adjustments.stage is 'before_split: a cost, or less of one, before the percentage; after_split: a line of its own in what the artist leaves with.';
create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, stage, deal_id on app.deal_adjustments
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _250_deal before insert or update of deal_id on app.deal_adjustments
  for each row when (new.deal_id is not null) execute function app_private.tg__250_deal();
create or replace trigger _400_finals after insert or update of name, kind, amount_minor, stage, deal_id on app.deal_adjustments
  for each row execute function app_private.tg__400_finals();
-- EndIncluded settlements/deal_adjustments.sql
-- Included settlements/settlement_lines.sql
create or replace function app.act_formula(deal jsonb, figures jsonb, digits integer) returns text
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  guarantee constant text := app.money_text((figures ->> 'guarantee_minor')::numeric, digits);
  share constant text := format('%s %% of %s', deal ->> 'percentage', app.money_text((figures ->> 'share_base_minor')::numeric, digits));
begin
  return concat(case deal ->> 'kind' when 'flat' then 'guarantee of ' || guarantee when 'door' then share when 'plus' then guarantee || ' + ' || share
      else format('the larger of %s and %s', guarantee, share) end,
    case when (figures ->> 'bonuses_minor')::numeric > 0 then ' + bonuses of ' || app.money_text((figures ->> 'bonuses_minor')::numeric, digits) end);
end
$$;
comment on function app.act_formula(jsonb, jsonb, integer) is 'How what another act is paid comes about, in words and numbers.';
grant execute on function app.act_formula(jsonb, jsonb, integer) to callboard_api, callboard_definer;
create or replace function app.sheet_lines(inputs jsonb, figures jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  digits constant integer := coalesce(app.minor_digits(inputs ->> 'currency'), 2);
  enters_show constant boolean := coalesce((inputs ->> 'enters_show')::boolean, true);
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
        where enters_show or c.is_internal is not true
      union all select 8, -1, 'costs', 'act ' || x.act_id, x.act, app.act_formula(d.item, x.figures, digits),
        (x.figures ->> 'due_minor')::numeric + (x.figures ->> 'bonuses_minor')::numeric, false, null, null
        from app.act_costs(inputs) x join jsonb_array_elements(inputs -> 'acts') as d (item) on d.item ->> 'id' = x.act_id
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
      union all select 16, 0, 'payment', 'walk_out', case when f.walk_out_minor < 0 then 'To be repaid by the artist' else 'To be paid to the artist' end, concat(app.money_text(f.due_minor, digits) || ' due',
          case when f.bonuses_minor > 0 then ' + ' || app.money_text(f.bonuses_minor, digits) end, case when f.withholding_minor > 0 then ' − ' || app.money_text(f.withholding_minor, digits) end,
          case when f.adjustments_minor <> 0 then case when f.adjustments_minor > 0 then ' + ' else ' − ' end || app.money_text(abs(f.adjustments_minor), digits) end,
          case when f.deposits_minor > 0 then ' − ' || app.money_text(f.deposits_minor, digits) end), f.walk_out_minor, true, null, null
      union all select 19, 0, 'promoter', 'promoter', 'Left for the promoter', case when enters_show then 'after all costs, also internal ones' else 'without tickets and costs, which are on the sheet of another act' end, f.promoter_minor, true, null, null
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
--    5. costs           = the costs on the sheet (app.cost_amount) + adjustments before the split + what other acts are paid,
--                         for the main deal and those whose deals say so (app.act_costs) + for `plus`, if the deal says so,
--                         the guarantee, which is a promoter's expense like any other. Not internal costs
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
--   15. books           = net receipts + excluded - all costs without the guarantee and other acts - adjustments - due -
--                         bonuses: what is entered in the books. Without receipts and costs, if another settlement of the
--                         show enters them
--   16. promoter        = books - what other acts are paid: what the promoter is left with, profit included
--
-- So fees + tax + all costs without the guarantee + adjustments + due + bonuses + promoter equals the gross, to the last unit;
-- for the settlements of all deals of a show, with books instead of promoter, and fees, tax and costs once.
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
  acts numeric := 0;
  books numeric;
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
  if inputs -> 'acts' <> '[]' then
    select sum((x.figures ->> 'due_minor')::numeric + (x.figures ->> 'bonuses_minor')::numeric) into acts from app.act_costs(inputs) x;
  end if;
  costs := c.reported + a.before_split + acts + guarantee_cost;
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

  books := case when coalesce((inputs ->> 'enters_show')::boolean, true) then receipts + t.excluded - c.reported - c.internal else 0 end
    - a.before_split - a.after_split - due - bonuses;

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
    'acts_minor', acts, 'books_minor', books, 'promoter_minor', books - acts);
  if exists (select from jsonb_each_text(result) r where abs(r.value::numeric) > 9007199254740991) then
    perform app.refuse(422, 'settlement_out_of_range', 'An amount of the settlement is larger than 9007199254740991 minor units.');
  end if;
  return result;
end
$$;
comment on function app.settlement_figures(jsonb) is
  'The figures of the settlement of a deal, ticket tiers, costs, deposits, bonuses and adjustments as returned by app.settlement_inputs, in minor units. It reads nothing else. PT422 settlement_out_of_range.';
grant execute on function app.settlement_figures(jsonb) to callboard_api, callboard_definer;
create or replace function app.act_costs(inputs jsonb) returns table (act_id text, act text, figures jsonb)
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return query
    select x.item ->> 'id', x.item ->> 'act', app.settlement_figures(jsonb_build_object('deal', x.item, 'ticket_tiers', inputs -> 'ticket_tiers', 'costs', inputs -> 'costs',
      'bonuses', x.item -> 'bonuses', 'adjustments', x.item -> 'adjustments', 'deposits', '[]'::jsonb))
    from jsonb_array_elements(inputs -> 'acts') as x (item);
end
$$;
comment on function app.act_costs(jsonb) is
  'The other acts whose pay is a cost of a settlement, each with its figures: due and bonuses are the cost. From the same tickets and costs, without the other acts.';
grant execute on function app.act_costs(jsonb) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_arithmetic.sql
-- Included settlements/settlement_inputs.sql
-- What a settlement is computed from, as it is now and as it was recorded, and the draft that is computed from it.
--
-- Each deal of a show has its settlement, and all have the same tickets and costs. What another act is paid is a cost of the
-- main deal, if that deal says so; no other deal has such costs, so that there are no circles. One settlement enters tickets
-- and costs in the books: that of the main deal, and without one that of the deal that was entered first.

create or replace function app.deal_of(show uuid, wanted uuid default null) returns app.deals
language plpgsql stable
set search_path = ''
as $$
declare
  found_here app.deals[];
begin
  select array_agg(d order by d.act is not null, d.id) into found_here from app.deals d
  where d.organization_id = (select app.current_org()) and d.show_id = show and d.deleted_at is null and (wanted is null or d.id = wanted);
  if found_here is null then
    if wanted is not null then
      perform app.refuse(404, 'not_found');
    end if;
    perform app.refuse(409, 'settlement_needs_deal');
  elsif found_here[1].act is not null and cardinality(found_here) > 1 then
    perform app.refuse(409, 'settlement_of_which_deal');
  end if;
  return found_here[1];
end
$$;
comment on function app.deal_of(uuid, uuid) is
  'A deal of a show: the one that is wanted, else the main deal, else the only one. PT404 for one that is not the show''s, PT409 settlement_needs_deal, settlement_of_which_deal.';
grant execute on function app.deal_of(uuid, uuid) to callboard_api, callboard_definer;
create or replace function app.inputs_of(deal app.deals) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := deal.organization_id;
  show constant uuid := deal.show_id;
  is_main constant boolean := deal.act is null;
  inputs jsonb;
begin
  -- One statement, so one snapshot. Ordered by id, so that equal inputs give equal JSON.
  select jsonb_build_object(
    'currency', d.currency,
    'deal', jsonb_build_object('id', d.id, 'kind', d.kind, 'guarantee_minor', d.guarantee_minor, 'percentage_bp', d.percentage_bp, 'base', d.base,
      'tax_bp', d.tax_bp, 'promoter_profit_bp', d.promoter_profit_bp, 'guarantee_is_cost', d.guarantee_is_cost,
      'percentage', trim_scale(coalesce(d.percentage, d.percentage_bp / 100::numeric)), 'tax_percentage', trim_scale(coalesce(d.tax_percentage, d.tax_bp / 100::numeric)),
      'promoter_profit_percentage', trim_scale(coalesce(d.promoter_profit_percentage, d.promoter_profit_bp / 100::numeric)),
      'withholding_percentage', trim_scale(d.withholding_percentage), 'withholding_threshold_minor', d.withholding_threshold_minor, 'withholding_due_on', d.withholding_due_on,
      'act', d.act, 'is_cost_of_main', d.is_cost_of_main),
    'enters_show', d.id = (
      select f.id from app.deals f where f.organization_id = organization and f.show_id = show and f.deleted_at is null
      order by f.act is not null, f.created_at, f.id limit 1),
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
      from app.deposits p where p.organization_id = organization and p.show_id = show and p.deleted_at is null and (p.deal_id = d.id or is_main and p.deal_id is null)),
    'bonuses', (
      select coalesce(jsonb_agg(jsonb_build_object('id', b.id, 'kind', b.kind, 'amount_minor', b.amount_minor, 'threshold', b.threshold) order by b.id), '[]')
      from app.deal_bonuses b where b.organization_id = organization and b.show_id = show and b.deleted_at is null and (b.deal_id = d.id or is_main and b.deal_id is null)),
    'adjustments', (
      select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name, 'kind', a.kind, 'amount_minor', a.amount_minor, 'stage', a.stage) order by a.id), '[]')
      from app.deal_adjustments a where a.organization_id = organization and a.show_id = show and a.deleted_at is null and (a.deal_id = d.id or is_main and a.deal_id is null)),
    -- What they are due, and nothing else of them: the rest may change after this settlement is final.
    'acts', (
      select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'act', e.act, 'kind', e.kind, 'guarantee_minor', e.guarantee_minor, 'base', e.base, 'guarantee_is_cost', e.guarantee_is_cost,
        'percentage', trim_scale(e.percentage), 'tax_percentage', trim_scale(e.tax_percentage), 'promoter_profit_percentage', trim_scale(e.promoter_profit_percentage),
        'bonuses', (
          select coalesce(jsonb_agg(jsonb_build_object('id', b.id, 'kind', b.kind, 'amount_minor', b.amount_minor, 'threshold', b.threshold) order by b.id), '[]')
          from app.deal_bonuses b where b.organization_id = organization and b.deal_id = e.id and b.deleted_at is null),
        'adjustments', (
          select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name, 'kind', a.kind, 'amount_minor', a.amount_minor, 'stage', a.stage) order by a.id), '[]')
          from app.deal_adjustments a where a.organization_id = organization and a.deal_id = e.id and a.deleted_at is null and a.stage = 'before_split')) order by e.id), '[]')
      from app.deals e where is_main and e.organization_id = organization and e.show_id = show and e.deleted_at is null and e.act is not null and e.is_cost_of_main))
  into inputs
  from app.deals d where d.organization_id = organization and d.id = deal.id and d.deleted_at is null;
  return inputs;
end
$$;
comment on function app.inputs_of(app.deals) is 'The current inputs of the settlement of a deal; NULL without one.';
grant execute on function app.inputs_of(app.deals) to callboard_api, callboard_definer;
create or replace function app.settlement_inputs(show uuid, deal uuid default null) returns jsonb
language plpgsql stable
set search_path = ''
as $$
begin
  return app.inputs_of(app.deal_of(show, deal));
end
$$;
comment on function app.settlement_inputs(uuid, uuid) is 'The current inputs of the settlement of a show''s deal, by default the main deal. PT404, PT409 as app.deal_of.';
grant execute on function app.settlement_inputs(uuid, uuid) to callboard_api, callboard_definer;
create or replace function app.complete_inputs(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  given jsonb := app.inputs_in_percent(inputs);
begin
  -- From before there were other acts: of the main deal.
  if not given ? 'acts' then
    given := given || jsonb_build_object('acts', '[]'::jsonb, 'enters_show', true,
      'deal', '{"act": null, "is_cost_of_main": true}'::jsonb || (given -> 'deal'));
  end if;
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
return case when result ?& '{lines,books_minor}' then result
  when result ? 'lines' then jsonb_build_object('acts_minor', 0, 'books_minor', result -> 'promoter_minor') || result
  else app.settle(inputs) || result end;
comment on function app.complete_result(jsonb, jsonb) is 'The result of a settlement with the fields that those recorded by earlier releases do not have.';
grant execute on function app.complete_result(jsonb, jsonb) to callboard_api, callboard_definer;
create or replace function app.draft_settlement(show uuid, deal uuid default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  inputs jsonb;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  inputs := app.settlement_inputs(show, deal);
  return (200, json_build_object('show_id', show, 'deal_id', inputs #> '{deal,id}', 'act', inputs #> '{deal,act}', 'inputs', inputs, 'result', app.settle(inputs)), null, null)::app.answer;
end
$$;
comment on function app.draft_settlement(uuid, uuid) is 'What the settlement of a deal of the show would be now, by default of the main deal; records nothing. PT403, PT404, PT409 settlement_needs_deal, settlement_of_which_deal, PT422 settlement_out_of_range.';
grant execute on function app.draft_settlement(uuid, uuid) to callboard_api;
-- EndIncluded settlements/settlement_inputs.sql
-- Included settlements/settlements.sql
-- Settlements: what was computed for a show and when, revision by revision. Only the commands below
-- write here, and the figures come from the tables, never from a request.

create table if not exists app.settlements (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  number integer not null,
  status text not null default 'draft' constraint settlements_status_known check (status in ('draft', 'final')),
  reason text constraint settlements_reason_length check (length(reason) <= 1000),
  inputs jsonb not null,
  result jsonb not null,
  finalized_at timestamptz,
  finalized_by uuid references app.users (id),
  reopened_at timestamptz,
  reopened_by uuid references app.users (id),
  reopen_reason text constraint settlements_reopen_reason_length check (length(reopen_reason) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  booked_at timestamptz,
  not_booked_because text constraint settlements_not_booked_because_known check (not_booked_because in ('booked_by_hand', 'exchange_rate_needed')),
  deal_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint settlements_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint settlements_final_with_time check ((status = 'final') = (finalized_at is not null)),
  constraint settlements_reopened_when_final check (reopened_at is null or status = 'final')
);
-- Without grants: the commands below write and check these permissions.
select app_private.tenant_policies('app.settlements', reads => 'finance.read', inserts => 'finance.write', updates => 'finance.close',
  definer => 'insert, update');
grant select on app.settlements to callboard_api, callboard_definer;
grant insert (show_id, deal_id, number, reason, inputs, result) on app.settlements to callboard_definer;
grant update (status, finalized_at, finalized_by, reopened_at, reopened_by, reopen_reason, booked_at, not_booked_because, deleted_at, deleted_by, deletion_id)
  on app.settlements to callboard_definer;
comment on table app.settlements is 'Revisions of the settlements of shows. The one that is final and was not reopened is in force.';
comment on column app.settlements.deal_id is 'The deal; NULL: the main deal.';
comment on column app.settlements.inputs is 'Deal, ticket tiers, costs and deposits as they were: see app.settlement_inputs.';
comment on column app.settlements.result is 'What app.settle computed from the inputs.';
comment on column app.settlements.booked_at is 'When its lines were entered in the books.';
comment on column app.settlements.not_booked_because is 'Why the lines of a final one are not in the books: see app.book_settlement.';
comment on column app.settlements.reason is 'Why there is another revision.';
select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');
create or replace function app_private.tg_settlements__200_unchanged() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.organization_id, new.id, new.show_id, new.deal_id, new.number, new.reason, new.inputs, new.result, new.created_by, new.created_at)
      is distinct from (old.organization_id, old.id, old.show_id, old.deal_id, old.number, old.reason, old.inputs, old.result, old.created_by, old.created_at)
    or old.status = 'final' and (new.status, new.finalized_at, new.finalized_by) is distinct from (old.status, old.finalized_at, old.finalized_by)
    or old.reopened_at is not null and (new.reopened_at, new.reopened_by, new.reopen_reason) is distinct from (old.reopened_at, old.reopened_by, old.reopen_reason)
  then
    perform app.refuse(409, 'settlement_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_settlements__200_unchanged() is
  'PT409 settlement_final for every role: a revision is finalized at most once and reopened at most once, and nothing else in it ever changes.';
create or replace trigger _200_unchanged before update on app.settlements
  for each row execute function app_private.tg_settlements__200_unchanged();
create or replace function app_private.has_unsettled_deal(organization uuid, show uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return exists (select from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null
    and not exists (select from app.settlements x where x.organization_id = d.organization_id and x.show_id = d.show_id
      and x.deal_id is not distinct from case when d.act is not null then d.id end
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null));
end
$$;
comment on function app_private.has_unsettled_deal(uuid, uuid) is 'Whether a deal of a show has no settlement in force.';
alter function app_private.has_unsettled_deal(uuid, uuid) owner to callboard_definer;
-- A show with deals becomes settled only through final settlements of all, not by setting its status; and it stays played
-- while one is final.
create or replace function app_private.tg_shows__400_settlement() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if new.status <> 'settled' then
    if exists (select from app.settlements x where x.organization_id = new.organization_id and x.show_id = new.id
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null)
    then
      perform app.refuse(409, 'show_status_transition', 'A settlement of the show is final: reopen it first.');
    end if;
  elsif app_private.has_unsettled_deal(new.organization_id, new.id) then
    perform app.refuse(409, 'settlement_not_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__400_settlement() is 'PT409 settlement_not_final when a show would become settled while a deal of it has no final settlement, PT409 show_status_transition when one that is played would become anything else although one has.';
alter function app_private.tg_shows__400_settlement() owner to callboard_definer;
create or replace trigger _400_settlement before update on app.shows
  for each row when (new.status <> old.status and (new.status = 'settled' or old.status = 'played')) execute function app_private.tg_shows__400_settlement();
-- EndIncluded settlements/settlements.sql
-- Included settlements/settlement_book_lines.sql
-- What a final settlement enters in the books, line by line. Each line's amount is computed by the function that computes it for
-- the settlement itself: see settlement_amounts.sql. Entering them is in settlement_books.sql.

create or replace function app.settlement_lines(inputs jsonb, result jsonb)
returns table (line text, kind text, category text, otherwise text, amount_minor numeric, tax_minor numeric, booked_on date, is_paid boolean, note text)
language plpgsql stable
set search_path = ''
as $$
declare
  -- Tickets and costs of a show with several deals are entered once, and what an act is paid by its own settlement.
  enters_show constant boolean := coalesce((inputs ->> 'enters_show')::boolean, true);
  of_act constant text := ' (' || (inputs #>> '{deal,act}') || ')';
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
    select l.line, l.kind, l.category, l.otherwise, l.amount_minor, l.tax_minor, l.booked_on, l.is_paid, concat(l.note, case when l.part >= 5 then of_act end)
    from lines l where l.amount_minor > 0 and (enters_show or l.part >= 5) order by l.part, l.line;
end
$$;
comment on function app.settlement_lines(jsonb, jsonb) is
  'What a settlement enters in the books, from its inputs and its result: the name of each line, the category by its name (that of a cost or an adjustment is the one that is called like it) and the one if there is none of that name, the amount with the tax in it, and the day, if it is not that of the show. Income less expenses is books_minor.';
grant execute on function app.settlement_lines(jsonb, jsonb) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_book_lines.sql
-- Included settlements/settlement_commands.sql
-- Commands on settlements; the table is in settlements.sql.

create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'deal_id', x.inputs #> '{deal,id}', 'act', x.inputs #> '{deal,act}', 'number', x.number, 'status', x.status, 'reason', x.reason,
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
create or replace function app_private.final_settlement(show uuid, of_deal uuid) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  return (select x.id from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.deal_id is not distinct from of_deal
    and x.status = 'final' and x.reopened_at is null and x.deleted_at is null);
end
$$;
comment on function app_private.final_settlement(uuid, uuid) is 'The settlement in force of a deal, NULL for the main deal; NULL if there is none.';
alter function app_private.final_settlement(uuid, uuid) owner to callboard_definer;
create or replace function app_private.settle_show(show uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  update app.shows s set status = 'settled'
  where s.organization_id = (select app.current_org()) and s.id = show and s.status = 'played' and s.deleted_at is null
    and exists (select from app.settlements x where x.organization_id = s.organization_id and x.show_id = s.id
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null)
    and not app_private.has_unsettled_deal(s.organization_id, s.id);
end
$$;
comment on function app_private.settle_show(uuid) is 'Makes a show settled if each of its deals has a settlement in force.';
alter function app_private.settle_show(uuid) owner to callboard_definer;
create or replace function app.record_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  why constant text := case when app.is_visible(body ->> 'reason') then btrim(body ->> 'reason') end;
  deal app.deals;
  of_deal uuid;
  present jsonb;
  settlement uuid;
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  perform app.require('finance.write');
  if app_private.lock_show(show) = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
  deal := app.deal_of(show, (body ->> 'deal_id')::uuid);
  of_deal := case when deal.act is not null then deal.id end;
  if app_private.final_settlement(show, of_deal) is not null then
    perform app.refuse(409, 'settlement_final');
  elsif why is null and exists (
    select from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.deal_id is not distinct from of_deal
      and x.status = 'final' and x.deleted_at is null)
  then
    perform app.refuse(422, 'settlement_reason_needed');
  end if;
  present := app.inputs_of(deal);
  insert into app.settlements (show_id, deal_id, number, reason, inputs, result)
  select show, of_deal, coalesce(max(x.number), 0) + 1, why, present, app.settle(present)
  from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.deal_id is not distinct from of_deal
  returning id into settlement;
  answer := app.read_settlement(settlement);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.record_settlement(uuid, jsonb) is
  'Records the current settlement of a deal of a show, by default of the main deal, as its next revision. PT403, PT404, PT409 settlement_needs_deal, settlement_of_which_deal, settlement_final, PT422 settlement_reason_needed, settlement_out_of_range.';
alter function app.record_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.record_settlement(uuid, jsonb) to callboard_api;
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
  if present.deleted_at is not null then
    perform app.refuse(404, 'not_found');
  elsif present.status = 'final' or show_status = 'played' and app_private.final_settlement(present.show_id, present.deal_id) is not null then
    perform app.refuse(409, 'settlement_final');
  elsif show_status <> 'played' then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif app.complete_inputs(present.inputs) is distinct from app.settlement_inputs(present.show_id, present.deal_id) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  because := app_private.enter_settlement(present, rate, existing, false);
  update app.settlements x set (status, finalized_at, finalized_by, booked_at, not_booked_because)
    = row ('final', statement_timestamp(), app.current_user_id(), case when because is null then statement_timestamp() end, because)
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  perform app_private.settle_show(present.show_id);
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid, numeric, text) is
  'Makes a revision final, and its show settled if that was the last deal of it, and enters its lines in the books as app.book_settlement does, unless that has to be told more: then not_booked_because says what. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated, period_closed.';
alter function app.finalize_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.finalize_settlement(uuid, numeric, text) to callboard_api;
create or replace function app.reopen_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  wanted constant uuid := body ->> 'deal_id';
  is_settled boolean;
  finals app.settlements[];
  final app.settlements;
begin
  perform app.require_show(show);
  perform app.require('finance.close');
  -- Also where the status says otherwise, as nobody can who uses Callboard: this is the way out.
  is_settled := app_private.lock_show(show) = 'settled';
  select array_agg(x order by x.deal_id nulls first) into finals from app.settlements x
  where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null
    and (wanted is null or x.inputs #>> '{deal,id}' = wanted::text);
  -- As in app.deal_of: the main deal, or the only one.
  if wanted is null and finals[1].deal_id is not null then
    if exists (select from app.deals d where d.organization_id = (select app.current_org()) and d.show_id = show and d.deleted_at is null and d.act is null) then
      perform app.refuse(409, 'show_not_settled', 'The settlement of the main deal is not final: name the deal.');
    elsif cardinality(finals) > 1 then
      perform app.refuse(409, 'settlement_of_which_deal');
    end if;
  end if;
  if finals is null and (wanted is not null or not is_settled) then
    perform app.refuse(409, 'show_not_settled');
  end if;
  final := finals[1];
  if final.id is not null then
    update app.settlements x set (reopened_at, reopened_by, reopen_reason) = row (statement_timestamp(), app.current_user_id(), body ->> 'reason')
    where x.organization_id = final.organization_id and x.id = final.id;
    perform app_private.unbook_settlement(final);
  else
    -- It was set to settled without a deal: then only the log keeps the reason.
    perform app_private.log_event(app.current_org(), 'show.reopen', 'show', show, jsonb_build_object('new', jsonb_build_object('reason', body ->> 'reason')));
  end if;
  update app.shows s set status = 'played' where s.organization_id = (select app.current_org()) and s.id = show and s.status = 'settled';
  return app.read_show(show);
end
$$;
comment on function app.reopen_settlement(uuid, jsonb) is
  'Sets a settled show back to played, with a reason, which is recorded in the settlement that was final, that of the main deal unless it names another, and takes its lines out of the books. PT403 without finance.close, PT404, PT409 show_not_settled, settlement_of_which_deal.';
alter function app.reopen_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.reopen_settlement(uuid, jsonb) to callboard_api;
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
    'settlement', json_build_object('id', recorded.id, 'number', recorded.number, 'status', recorded.status, 'reason', recorded.reason, 'act', recorded.inputs #> '{deal,act}',
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
create or replace function app.inputs_costing(inputs jsonb, tickets numeric, costs numeric) returns jsonb
language sql stable parallel safe
return app.inputs_at(inputs, tickets) || jsonb_build_object('costs', jsonb_build_array(jsonb_build_object('kind', 'fixed', 'amount_minor', costs)), 'acts', '[]'::jsonb);
comment on function app.inputs_costing(jsonb, numeric, numeric) is
  'The inputs of a settlement with another number of tickets sold, and an amount instead of the costs of the show and other acts.';
grant execute on function app.inputs_costing(jsonb, numeric, numeric) to callboard_api;
create or replace function app.most_left(sheets jsonb, first numeric, last numeric) returns numeric
language plpgsql stable
set search_path = ''
as $$
declare
  main constant jsonb := sheets -> 0;
  low record;
  high record;
  acts_high numeric;
  due_low numeric;
  paid_low numeric;
begin
  select x.*, fixed_costs_minor + per_ticket_costs_minor + per_head_costs_minor + percent_of_gross_costs_minor + percent_of_net_receipts_costs_minor as costs into low
  from jsonb_to_record(app.settlement_figures(app.inputs_at(main, first))) as x (fixed_costs_minor numeric, per_ticket_costs_minor numeric, per_head_costs_minor numeric,
    percent_of_gross_costs_minor numeric, percent_of_net_receipts_costs_minor numeric, internal_costs_minor numeric, adjustment_costs_minor numeric, adjustments_minor numeric, bonuses_minor numeric);
  select x.*, fixed_costs_minor + per_ticket_costs_minor + per_head_costs_minor + percent_of_gross_costs_minor + percent_of_net_receipts_costs_minor as costs into high
  from jsonb_to_record(app.settlement_figures(app.inputs_at(main, last))) as x (fixed_costs_minor numeric, per_ticket_costs_minor numeric, per_head_costs_minor numeric,
    percent_of_gross_costs_minor numeric, percent_of_net_receipts_costs_minor numeric, net_receipts_minor numeric, excluded_minor numeric);
  -- With more receipts and lower costs an act is never due less; receipts, costs and bonuses are never less with more tickets.
  select coalesce(sum((c.figures ->> 'due_minor')::numeric + (c.figures ->> 'bonuses_minor')::numeric), 0) into acts_high
  from app.act_costs(app.inputs_costing(main, last, low.costs) || jsonb_build_object('acts', coalesce(main -> 'acts', '[]'))) c;
  due_low := app.settlement_figures(app.inputs_costing(main, first, high.costs + acts_high)) ->> 'due_minor';
  select -sum((app.settlement_figures(app.inputs_costing(s.item, first, high.costs)) ->> 'books_minor')::numeric) into paid_low
  from jsonb_array_elements(sheets) with ordinality as s (item, n) where s.n > 1;
  return high.net_receipts_minor + high.excluded_minor - low.costs - low.internal_costs_minor - low.adjustment_costs_minor - low.adjustments_minor - low.bonuses_minor
    - due_low - paid_low;
end
$$;
comment on function app.most_left(jsonb, numeric, numeric) is
  'A bound: the promoter of a show with several deals is left with no more than this by any number of tickets from the first to the last. The settlement that enters the show comes first.';
grant execute on function app.most_left(jsonb, numeric, numeric) to callboard_api;
create or replace function app.break_even(inputs jsonb, most bigint) returns bigint
language plpgsql stable
set search_path = ''
as $$
declare
  is_of_several constant boolean := jsonb_typeof(inputs) = 'array';
  is_of_gross constant boolean := inputs #>> '{deal,base}' is not distinct from 'gross';
  -- Ranges of numbers of tickets still to be looked at, the first one last.
  firsts bigint[] := array[0];
  lasts bigint[] := array[most];
  n integer := 1;
  computed integer := 0;
  a bigint;
  b bigint;
  at_first jsonb;
  at_last jsonb;
begin
  while n > 0 loop
    a := firsts[n];
    b := lasts[n];
    n := n - 1;
    computed := computed + 1;
    if computed > 2000 then
      return -1;
    end if;
    if is_of_several then
      if (select sum((app.settlement_figures(app.inputs_at(s, a)) ->> 'books_minor')::numeric) >= 0 from jsonb_array_elements(inputs) s) then
        return a;
      end if;
      continue when a = b;
      continue when app.most_left(inputs, a, b) < 0;
    else
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
    end if;
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
  'For the inputs of a settlement, or for an array of those of all deals of a show, the one that enters the show first: the smallest number of tickets sold with which the promoter is left with nothing or more, up to a number of tickets; NULL if there is none. Exact: whole ranges are left out only where no number in them can do; -1 if after 2,000 of them it is not known, as where the promoter is left with a little less than nothing over thousands of tickets.';
grant execute on function app.break_even(jsonb, bigint) to callboard_api;
create or replace function app.read_offer(show uuid, deal uuid default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  inputs jsonb;
  sheets jsonb;
  most bigint;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  inputs := app.settlement_inputs(show, deal);
  select jsonb_agg(app.inputs_of(d) order by d.act is not null, d.created_at, d.id) into sheets
  from app.deals d where d.organization_id = (select app.current_org()) and d.show_id = show and d.deleted_at is null;
  select coalesce(sum(t.allotment - t.comps), 0) into most from jsonb_to_recordset(inputs -> 'ticket_tiers') as t (allotment bigint, comps bigint);
  return (200, json_build_object('show_id', show, 'deal_id', inputs #> '{deal,id}', 'act', inputs #> '{deal,act}', 'tickets_for_sale', most, 'break_even_tickets', nullif(x.break_even, -1), 'is_break_even_known', x.break_even is distinct from -1,
    'inputs', inputs, 'at_full_house', app.settle(app.inputs_at(inputs, most))), null, null)::app.answer
    from (select app.break_even(case when jsonb_array_length(sheets) > 1 then sheets else inputs end, most) as break_even) x;
end
$$;
comment on function app.read_offer(uuid, uuid) is
  'What the settlement of a deal of the show, by default the main deal, would be if every ticket were sold, and with how many the promoter breaks even after all deals. PT403, PT404, PT409 settlement_needs_deal, settlement_of_which_deal, PT422 settlement_out_of_range.';
grant execute on function app.read_offer(uuid, uuid) to callboard_api;
-- EndIncluded settlements/settlement_offers.sql
-- Included settlements/contradictions.sql
-- What is said in two places about a show must be the same in both. Triggers and commands keep it so; this looks
-- whether they did, also after rows were changed without them.

create or replace function app_private.unmatched_of(organization uuid) returns table (show_id uuid, what text, said text, otherwise text)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.tickets_sold, s.capacity from app.shows s where s.organization_id = unmatched_of.organization and s.deleted_at is null
  )
  select s.id, 'tickets', concat_ws(' of ', s.tickets_sold, s.capacity), concat_ws(' of ', t.sold, t.allotment)
  from shows s
  join (select x.show_id, sum(x.sold) as sold, sum(x.allotment) as allotment from app.ticket_tiers x
    where x.organization_id = unmatched_of.organization and x.deleted_at is null group by x.show_id) t on t.show_id = s.id
  where (s.tickets_sold, s.capacity) is distinct from (least(t.sold, 2147483647), least(t.allotment, 2147483647))
  union all
  select s.id, 'fee', coalesce(concat_ws(' ', f.fee_minor, f.currency), ''), coalesce(d.guaranteed || ' ' || d.currency, '')
  from shows s
  join (select x.show_id, sum(x.guarantee_minor) as guaranteed, min(x.currency) as currency from app.deals x
    where x.organization_id = unmatched_of.organization and x.deleted_at is null group by x.show_id) d on d.show_id = s.id
  left join app.show_fees f on f.organization_id = unmatched_of.organization and f.show_id = d.show_id
  where (f.fee_minor, f.currency) is distinct from (d.guaranteed, case when d.guaranteed is not null then d.currency end);
end;
comment on function app_private.unmatched_of(uuid) is
  'The shows of an organization whose tickets are not those of their tiers, or whose fee is not what their deals guarantee: what the show says, and what it is otherwise. Only in a context with finance.read.';
alter function app_private.unmatched_of(uuid) owner to callboard_definer;
create or replace function app_private.contradictions_of(organization uuid)
returns table (show_id uuid, settlement_id uuid, what text, said text, otherwise text)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.status from app.shows s where s.organization_id = contradictions_of.organization and s.deleted_at is null
  ), settlements as (
    select x.* from app.settlements x where x.organization_id = contradictions_of.organization and x.status = 'final' and x.deleted_at is null
  ), booked as (
    select r.settlement_id, sum(case r.kind when 'income' then r.amount_minor else -r.amount_minor end) as amount
    from app.finance_records r
    where r.organization_id = contradictions_of.organization and r.settlement_id is not null and r.status <> 'void' and r.deleted_at is null
    group by r.settlement_id
  )
  select u.show_id, null::uuid, u.what, u.said, u.otherwise from app_private.unmatched_of(contradictions_of.organization) u
  union all
  -- Settled is a show of which every deal has a settlement in force.
  select s.id, x.id, 'status', s.status, concat('settlement in force: ', coalesce(x.n, 0), case when d.n > 1 then ' of ' || d.n end)
  from shows s
  left join (select y.show_id, count(*) as n, (array_agg(y.id order by y.id))[1] as id from settlements y where y.reopened_at is null group by y.show_id) x on x.show_id = s.id
  left join (select e.show_id, count(*) as n, count(*) filter (where y.id is null) as unsettled
    from app.deals e
    left join settlements y on y.show_id = e.show_id and y.reopened_at is null and y.deal_id is not distinct from case when e.act is not null then e.id end
    where e.organization_id = contradictions_of.organization and e.deleted_at is null group by e.show_id) d on d.show_id = s.id
  where (s.status = 'settled') <> (x.n is not null and coalesce(d.unsettled, 0) = 0) and (x.n is not null or d.n is not null)
  union all
  -- Tickets and costs are entered once, and what another act is paid is what its own settlement says.
  select x.show_id, null, 'entered', 'tickets and costs: ' || count(*), 'once'
  from settlements x where x.reopened_at is null and x.inputs -> 'enters_show' is distinct from 'false'
  group by x.show_id having count(*) > 1
  union all
  select x.show_id, x.id, 'act', concat_ws(' ', c.act, c.paid), concat_ws(' ', c.act, p.paid)
  from settlements x
  cross join lateral (select a.act_id, a.act, (a.figures ->> 'due_minor')::numeric + (a.figures ->> 'bonuses_minor')::numeric as paid from app.act_costs(x.inputs) a) c
  join settlements y on y.show_id = x.show_id and y.reopened_at is null and y.deal_id = c.act_id::uuid
  cross join lateral (select (y.result ->> 'due_minor')::numeric + (y.result ->> 'bonuses_minor')::numeric as paid) p
  where x.reopened_at is null and c.paid <> p.paid
  union all
  -- Without the lines of its sheet, whose words may change with a release.
  select x.show_id, x.id, 'result', (x.result - 'lines')::text, app.settlement_figures(x.inputs)::text from settlements x
  where not app.settlement_figures(x.inputs) @> (x.result - 'lines')
  union all
  -- Income less expenses is what the settlement says; what was recorded before has one deal, and is what the promoter is left with.
  select x.show_id, x.id, 'books', coalesce(b.amount, 0)::text, e.amount::text
  from settlements x
  left join booked b on b.settlement_id = x.id
  cross join lateral (select case when x.reopened_at is null and x.booked_at is not null then coalesce(x.result ->> 'books_minor', x.result ->> 'promoter_minor')::numeric else 0 end as amount) e
  where coalesce(b.amount, 0) <> e.amount;
end;
comment on function app_private.contradictions_of(uuid) is
  'What an organization''s shows say in one place and otherwise in another: tickets and those of the tiers, the fee and what the deals guarantee, the status and the settlements in force, whether tickets and costs are entered once, what another act is paid and what its settlement says, a final result and that of its inputs, the books and what the settlement enters.';
alter function app_private.contradictions_of(uuid) owner to callboard_definer;
-- EndIncluded settlements/contradictions.sql
-- Included analytics/star/fact_shows.sql
-- What was sold: shows, their ticket tiers, and who was let in without a ticket.

create or replace view analytics.fact_shows with (security_barrier = true) as
  select s.id as show_id, s.show_on, s.venue_id, s.artist, s.title, s.status, s.capacity, s.tickets_sold,
    f.currency::text as currency, f.fee_minor, round(f.fee_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as fee,
    (s.created_at at time zone o.time_zone)::date as created_on, s.updated_at, s.source, s.external_ref
  from app.shows s
  join app.organizations o on o.id = s.organization_id
  left join app.show_fees f on f.organization_id = s.organization_id and f.show_id = s.id and (select app.visible_org('finance.read')) is not null
  left join app.currencies c on c.code = f.currency
  where s.organization_id = (select app.visible_org('shows.read')) and s.deleted_at is null;
comment on view analytics.fact_shows is 'Shows, one row each, without deleted ones. Needs shows.read, and finance.read for the fee.';
comment on column analytics.fact_shows.show_id is 'The show. The key; other facts have it, too.';
comment on column analytics.fact_shows.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_shows.venue_id is 'The venue: dim_venues; null until there is one.';
comment on column analytics.fact_shows.artist is 'The artist: dim_artists.';
comment on column analytics.fact_shows.title is 'The title.';
comment on column analytics.fact_shows.status is 'inquiry, hold, offer, confirmed, played, settled, cancelled or postponed.';
comment on column analytics.fact_shows.capacity is 'How many tickets there are: those of its tiers, if it has any; null if nobody knows.';
comment on column analytics.fact_shows.tickets_sold is 'How many of them were sold.';
comment on column analytics.fact_shows.currency is 'The currency of the fee: dim_currencies; null without a fee.';
comment on column analytics.fact_shows.fee_minor is 'The fee of the artist and, if the show has several deals, of all acts together, in the smallest unit of the currency.';
comment on column analytics.fact_shows.fee is 'The fee in whole units of the currency, with its decimals.';
comment on column analytics.fact_shows.created_on is 'The day on which it was entered, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_shows.updated_at is 'When it was last changed.';
comment on column analytics.fact_shows.source is 'The system from which it was imported.';
comment on column analytics.fact_shows.external_ref is 'Its id there.';
select analytics_private.publish('fact_shows');
create or replace view analytics.fact_ticket_tiers with (security_barrier = true) as
  select t.id as ticket_tier_id, t.show_id, s.show_on, s.venue_id, s.artist, s.status as show_status, t.name as tier, d.currency::text as currency,
    t.price_minor, round(t.price_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as price,
    t.facility_fee_minor, round(t.facility_fee_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as facility_fee,
    t.allotment, t.sold, t.comps,
    t.price_minor::numeric * t.sold as gross_minor, round(t.price_minor * t.sold::numeric * power(10::numeric, -c.minor_digits), c.minor_digits) as gross
  from app.ticket_tiers t
  join app.shows s on s.organization_id = t.organization_id and s.id = t.show_id and s.deleted_at is null
  left join (select e.organization_id, e.show_id, min(e.currency) as currency from app.deals e where e.deleted_at is null group by e.organization_id, e.show_id) d
    on d.organization_id = t.organization_id and d.show_id = t.show_id
  left join app.currencies c on c.code = d.currency
  where t.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null and t.deleted_at is null;
comment on view analytics.fact_ticket_tiers is 'Ticket tiers of shows, one row each, without deleted ones. Needs finance.read and shows.read.';
comment on column analytics.fact_ticket_tiers.ticket_tier_id is 'The tier. The key.';
comment on column analytics.fact_ticket_tiers.show_id is 'The show: fact_shows.';
comment on column analytics.fact_ticket_tiers.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_ticket_tiers.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_ticket_tiers.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_ticket_tiers.show_status is 'The status of the show.';
comment on column analytics.fact_ticket_tiers.tier is 'The name of the tier.';
comment on column analytics.fact_ticket_tiers.currency is 'The currency of the show''s deals: dim_currencies; null without a deal, and then there are no amounts in whole units.';
comment on column analytics.fact_ticket_tiers.price_minor is 'The price of a ticket with tax, in the smallest unit of the currency.';
comment on column analytics.fact_ticket_tiers.price is 'The price in whole units.';
comment on column analytics.fact_ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, in the smallest unit.';
comment on column analytics.fact_ticket_tiers.facility_fee is 'The same in whole units.';
comment on column analytics.fact_ticket_tiers.allotment is 'How many tickets there are of this tier.';
comment on column analytics.fact_ticket_tiers.sold is 'How many were sold.';
comment on column analytics.fact_ticket_tiers.comps is 'How many were given away.';
comment on column analytics.fact_ticket_tiers.gross_minor is 'Price times sold, in the smallest unit.';
comment on column analytics.fact_ticket_tiers.gross is 'The same in whole units.';
select analytics_private.publish('fact_ticket_tiers');
select analytics_private.publish('fact_guests');
-- EndIncluded analytics/star/fact_shows.sql
-- Included analytics/star/fact_settlements.sql
-- Settlements in force: final, and not reopened.

create or replace view analytics.fact_settlements with (security_barrier = true) as
  select x.id as settlement_id, x.show_id, s.show_on, s.venue_id, s.artist, x.number, (x.finalized_at at time zone o.time_zone)::date as finalized_on,
    x.booked_at is not null as is_booked, x.not_booked_because, x.inputs ->> 'currency' as currency,
    (e.result ->> 'tickets_sold')::integer as tickets_sold, (e.result ->> 'tickets_comped')::integer as tickets_comped,
    (e.result ->> 'gross_minor')::bigint as gross_minor, round((e.result ->> 'gross_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as gross,
    (e.result ->> 'facility_fees_minor')::bigint as facility_fees_minor, round((e.result ->> 'facility_fees_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as facility_fees,
    (e.result ->> 'tax_minor')::bigint as tax_minor, round((e.result ->> 'tax_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as tax,
    (e.result ->> 'net_receipts_minor')::bigint as net_receipts_minor, round((e.result ->> 'net_receipts_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as net_receipts,
    (e.result ->> 'costs_minor')::bigint as costs_minor, round((e.result ->> 'costs_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as costs,
    (x.result ->> 'guarantee_minor')::bigint as guarantee_minor, round((x.result ->> 'guarantee_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as guarantee,
    (x.result ->> 'due_minor')::bigint as due_minor, round((x.result ->> 'due_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as due,
    coalesce((x.result ->> 'bonuses_minor')::bigint, 0) as bonuses_minor, round(coalesce((x.result ->> 'bonuses_minor')::bigint, 0) * power(10::numeric, -c.minor_digits), c.minor_digits) as bonuses,
    coalesce((x.result ->> 'withholding_minor')::bigint, 0) as withholding_minor, round(coalesce((x.result ->> 'withholding_minor')::bigint, 0) * power(10::numeric, -c.minor_digits), c.minor_digits) as withholding,
    (x.result ->> 'deposits_minor')::bigint as deposits_minor, round((x.result ->> 'deposits_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as deposits,
    (x.result ->> 'balance_minor')::bigint as balance_minor, round((x.result ->> 'balance_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as balance,
    coalesce((x.result ->> 'walk_out_minor')::bigint, (x.result ->> 'balance_minor')::bigint) as walk_out_minor, round(coalesce((x.result ->> 'walk_out_minor')::bigint, (x.result ->> 'balance_minor')::bigint) * power(10::numeric, -c.minor_digits), c.minor_digits) as walk_out,
    coalesce((x.result ->> 'books_minor')::bigint, (x.result ->> 'promoter_minor')::bigint) as promoter_minor, round(coalesce((x.result ->> 'books_minor')::bigint, (x.result ->> 'promoter_minor')::bigint) * power(10::numeric, -c.minor_digits), c.minor_digits) as promoter,
    (x.inputs #>> '{deal,id}')::uuid as deal_id, (x.inputs #>> '{deal,act}') collate app.people as act, e.result is not null as enters_show,
    coalesce((x.result ->> 'acts_minor')::bigint, 0) as acts_minor, round(coalesce((x.result ->> 'acts_minor')::bigint, 0) * power(10::numeric, -c.minor_digits), c.minor_digits) as acts
  from app.settlements x
  join app.organizations o on o.id = x.organization_id
  join app.shows s on s.organization_id = x.organization_id and s.id = x.show_id and s.deleted_at is null
  left join app.currencies c on c.code = x.inputs ->> 'currency'
  -- Tickets and costs of a show with several deals are those of one of its settlements, so that sums count them once.
  left join lateral (select x.result where x.inputs -> 'enters_show' is distinct from 'false') e on true
  where x.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null
    and x.status = 'final' and x.reopened_at is null and x.deleted_at is null;
comment on view analytics.fact_settlements is 'Settlements in force, one row for each settled deal, of which most shows have one: what was computed. Needs finance.read and shows.read.';
comment on column analytics.fact_settlements.settlement_id is 'The settlement. The key.';
comment on column analytics.fact_settlements.show_id is 'The show: fact_shows. It has one for each of its deals.';
comment on column analytics.fact_settlements.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_settlements.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_settlements.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_settlements.number is 'Which revision of the deal''s settlement it is.';
comment on column analytics.fact_settlements.finalized_on is 'The day on which it became final, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_settlements.is_booked is 'Whether its lines are in the books: fact_finance_records.';
comment on column analytics.fact_settlements.not_booked_because is 'Why they are not: booked_by_hand or exchange_rate_needed.';
comment on column analytics.fact_settlements.currency is 'The currency of the deal: dim_currencies.';
comment on column analytics.fact_settlements.tickets_sold is 'How many tickets were sold; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.tickets_comped is 'How many were given away; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.gross_minor is 'Price times tickets sold, over all tiers, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.gross is 'The same in whole units.';
comment on column analytics.fact_settlements.facility_fees_minor is 'What the venue keeps of the prices, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.facility_fees is 'The same in whole units.';
comment on column analytics.fact_settlements.tax_minor is 'The tax in the prices, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.tax is 'The same in whole units.';
comment on column analytics.fact_settlements.net_receipts_minor is 'The gross less fees and tax, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.net_receipts is 'The same in whole units.';
comment on column analytics.fact_settlements.costs_minor is 'The costs before the split, what other acts are paid (acts) among them, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.costs is 'The same in whole units.';
comment on column analytics.fact_settlements.guarantee_minor is 'The guarantee of the artist, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.guarantee is 'The same in whole units.';
comment on column analytics.fact_settlements.due_minor is 'What the artist is due, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.due is 'The same in whole units.';
comment on column analytics.fact_settlements.bonuses_minor is 'What the artist is paid on top, by tickets sold, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.bonuses is 'The same in whole units.';
comment on column analytics.fact_settlements.withholding_minor is 'What is withheld of what is due and the bonuses, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.withholding is 'The same in whole units.';
comment on column analytics.fact_settlements.deposits_minor is 'What was paid of that before, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.deposits is 'The same in whole units.';
comment on column analytics.fact_settlements.balance_minor is 'What is due, less what is withheld and deposits, in the smallest unit of the currency; below zero if they were more.';
comment on column analytics.fact_settlements.balance is 'The same in whole units.';
comment on column analytics.fact_settlements.walk_out_minor is 'What the artist leaves with: due and bonuses, less what is withheld, with adjustments after the split, less deposits; negative if they have to repay, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.walk_out is 'The same in whole units.';
comment on column analytics.fact_settlements.promoter_minor is 'What the promoter is left with, in the smallest unit of the currency: what this settlement enters in the books, so that those of a show add up.';
comment on column analytics.fact_settlements.promoter is 'The same in whole units.';
comment on column analytics.fact_settlements.deal_id is 'The deal that it settles: with show_id, no two settlements have the same.';
comment on column analytics.fact_settlements.act is 'The act that the deal is with; null: the artist of the show.';
comment on column analytics.fact_settlements.enters_show is 'Whether it enters the tickets and costs of the show in the books: one settlement of each show does.';
comment on column analytics.fact_settlements.acts_minor is 'What other acts are paid, as far as it is a cost of this settlement; their own settlements enter it in the books, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.acts is 'The same in whole units.';
select analytics_private.publish('fact_settlements');
-- EndIncluded analytics/star/fact_settlements.sql
-- Lock: access exclusive on app.deals: alter table app.deals add constraint deals_act_length check (app.is_line(act, 200)) not valid
-- Lock: share row exclusive on app.deals: alter table app.deposits add constraint deposits_deal_exists foreign key (organization_id, deal_id) 
-- Lock: share row exclusive on app.deposits: alter table app.deposits add constraint deposits_deal_exists foreign key (organization_id, deal_id) 
-- Lock: share row exclusive on app.deal_bonuses: alter table app.deal_bonuses add constraint deal_bonuses_deal_exists foreign key (organization_id, d
-- Lock: share row exclusive on app.deal_adjustments: alter table app.deal_adjustments add constraint deal_adjustments_deal_exists foreign key (organizati
-- Lock: share row exclusive on app.settlements: alter table app.settlements add constraint settlements_deal_exists foreign key (organization_id, dea
-- Lock: access exclusive on app.settlements: drop index if exists app.settlements_one_final
-- Lock: share on app.deals: create unique index if not exists deals_one_per_act on app.deals (organization_id, show_id, lower(co
-- Lock: access exclusive on app.deal_rows: create or replace view app.deal_rows with (security_invoker = true) as select x.organization_id, x.v
-- Lock: share row exclusive on app.ticket_tiers: create or replace trigger _400_finals after insert or update of name, price_minor, facility_fee_mino
-- Lock: share row exclusive on app.show_costs: create or replace trigger _400_finals after insert or update of name, kind, amount_minor, is_estimat
-- Lock: access exclusive on app.deposit_rows: create or replace view app.deposit_rows with (security_invoker = true) as select x.organization_id, 
-- Lock: access exclusive on app.deal_bonus_rows: create or replace view app.deal_bonus_rows with (security_invoker = true) as select x.organization_i
-- Lock: access exclusive on app.deal_adjustment_rows: create or replace view app.deal_adjustment_rows with (security_invoker = true) as select x.organizat
-- Lock: share row exclusive on app.shows: create or replace trigger _400_settlement before update on app.shows for each row when (new.status <
-- Lock: access exclusive on app.settlement_list: create or replace view app.settlement_list with (security_invoker = true) as select x.organization_i
-- Lock: access exclusive on analytics.fact_shows: create or replace view analytics.fact_shows with (security_barrier = true) as select s.id as show_id
-- Lock: access exclusive on analytics.fact_ticket_tiers: create or replace view analytics.fact_ticket_tiers with (security_barrier = true) as select t.id as 
-- Lock: access exclusive on analytics.fact_settlements: create or replace view analytics.fact_settlements with (security_barrier = true) as select x.id as s
