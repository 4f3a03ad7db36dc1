--! Previous: sha1:7a09e4cc8fe7559e4572e69413e8d014f474cc50
--! Hash: sha1:e715ae1533737e725cd83c58027342c15dd9a6cd
--! Message: mend what was found in acts expenses and tours

-- Included finance/finance_records.sql
select app_private.reference_table('app.finance_record_status_transitions');
insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;
create or replace function app_private.require_not_of_settlement(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if exists (select from app.finance_records r where r.organization_id = app.current_org() and r.id = require_not_of_settlement.id and r.settlement_id is not null) then
    perform app.refuse(409, 'finance_record_of_settlement');
  elsif exists (select from app.finance_records r where r.organization_id = app.current_org() and r.id = require_not_of_settlement.id and r.expense_id is not null) then
    perform app.refuse(409, 'finance_record_of_expense');
  end if;
end
$$;
comment on function app_private.require_not_of_settlement(regclass, uuid) is
  'The guard of finance records: PT409 finance_record_of_settlement and finance_record_of_expense for those that a settlement has entered, or the approval of an expense.';
alter function app_private.require_not_of_settlement(regclass, uuid) owner to callboard_definer;
-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', guard => 'app_private.require_not_of_settlement(regclass, uuid)', checks_parents => false);
create or replace function app_private.tg_finance_records__200_of_settlement() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- The settlement itself, and the foreign key of a show that is purged.
  if current_user in ('callboard_definer', 'callboard_owner') then
    return new;
  elsif old.settlement_id is not null then
    perform app.refuse(409, 'finance_record_of_settlement');
  end if;
  perform app.refuse(409, 'finance_record_of_expense');
  return null;
end
$$;
comment on function app_private.tg_finance_records__200_of_settlement() is
  'PT409 finance_record_of_settlement or finance_record_of_expense for a change of what a settlement, or the approval of an expense, has entered; its category, whether it is paid and its notes can be changed.';
create or replace trigger _200_of_settlement before update on app.finance_records
  for each row when ((old.settlement_id is not null or old.expense_id is not null) and
    (new.kind, new.show_id, new.booked_on, new.amount_minor, new.tax_minor, new.currency, new.exchange_rate, new.status)
      is distinct from (old.kind, old.show_id, old.booked_on, old.amount_minor, old.tax_minor, old.currency, old.exchange_rate, old.status))
  execute function app_private.tg_finance_records__200_of_settlement();
-- EndIncluded finance/finance_records.sql
-- Included finance/budget_lines.sql
select app_private.tenant_table('budget_lines', noun => 'budget_line', permission => 'finance', path => '/api/budget-lines');
create or replace function app_private.tg_budget_lines__100_books() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Who changes the currency of the books waits for this, and then sees the line.
  perform from app.organizations o where o.id = new.organization_id for share;
  new.base_currency := coalesce((select o.currency from app.organizations o where o.id = new.organization_id), new.base_currency);
  return new;
end
$$;
comment on function app_private.tg_budget_lines__100_books() is 'Keeps the currency of the books as it is while a line is entered.';
alter function app_private.tg_budget_lines__100_books() owner to callboard_definer;
create or replace trigger _100_books before insert on app.budget_lines
  for each row execute function app_private.tg_budget_lines__100_books();
-- EndIncluded finance/budget_lines.sql
-- Included finance/tour_money.sql
create or replace function app_private.tour_records(itinerary uuid)
returns table (category_id uuid, is_actual boolean, base_currency text, base_amount_minor bigint)
language plpgsql stable
set search_path = ''
as $$
begin
  -- A record is in one of the two, and in that once, so each counts once.
  return query
    select r.category_id, r.status = 'actual', r.base_currency::text, r.base_amount_minor from app.finance_records r
    where r.organization_id = app.current_org() and r.itinerary_id = itinerary and r.deleted_at is null and r.status <> 'void'
    union all
    select r.category_id, r.status = 'actual', r.base_currency::text, r.base_amount_minor from app.finance_records r
    where r.organization_id = app.current_org() and r.show_id in (select s.show_id from app_private.shows_of(itinerary) s)
      and r.deleted_at is null and r.status <> 'void'
      and not exists (select from app.itineraries i where i.organization_id = r.organization_id and i.id = r.itinerary_id and i.deleted_at is null);
end
$$;
comment on function app_private.tour_records(uuid) is
  'The records that count for a tour: those that name it, and those that name none, or a deleted one, and are for a show on it. Without void ones.';
alter function app_private.tour_records(uuid) owner to callboard_definer;
-- EndIncluded finance/tour_money.sql
-- Included finance/expense_commands.sql
create or replace function app_private.require_not_held() returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if app_private.is_held(app.current_org()) then
    perform app.refuse(409, 'expense_receipt_held');
  end if;
end
$$;
comment on function app_private.require_not_held() is 'PT409 expense_receipt_held during a legal hold, in which nothing is removed for good, a receipt included.';
alter function app_private.require_not_held() owner to callboard_definer;
create or replace function app.put_receipt(expense uuid, content bytea, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.open_expense(expense, if_match);
  if app_private.type_of_file(content) is null then
    perform app.refuse(422, 'expense_receipts_type_known');
  elsif exists (select from app.expense_receipts r where r.organization_id = app.current_org() and r.expense_id = expense) then
    perform app_private.require_not_held();
  end if;
  insert into app.expense_receipts as r (expense_id, content_type, bytes, sha256, content)
  values (expense, app_private.type_of_file(content), length(content), encode(sha256(content), 'hex'), content)
  on conflict (organization_id, expense_id) do update
  set content_type = excluded.content_type, bytes = excluded.bytes, sha256 = excluded.sha256, content = excluded.content, created_at = now();
  -- Another receipt is another version, so that nobody approves one they have not seen.
  update app.expenses e set purpose = e.purpose where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.put_receipt(uuid, bytea, text) is 'Stores the receipt of an expense of the member''s own, in place of the one before. PT403, PT404, PT409 expense_not_open, PT412, PT422 expense_receipts_type_known.';
alter function app.put_receipt(uuid, bytea, text) owner to callboard_definer;
grant execute on function app.put_receipt(uuid, bytea, text) to callboard_api;
create or replace function app.delete_receipt(expense uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.open_expense(expense, if_match);
  perform app_private.require_not_held();
  delete from app.expense_receipts r where r.organization_id = app.current_org() and r.expense_id = expense;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  update app.expenses e set purpose = e.purpose where e.organization_id = app.current_org() and e.id = expense;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.delete_receipt(uuid, text) is 'Removes the receipt of an expense of the member''s own, for good. PT403, PT404, PT409 expense_not_open, PT412.';
alter function app.delete_receipt(uuid, text) owner to callboard_definer;
grant execute on function app.delete_receipt(uuid, text) to callboard_api;
-- EndIncluded finance/expense_commands.sql
-- Included finance/expense_decisions.sql
-- Approving and rejecting expenses. Nobody decides about their own, unless nobody else could.

create or replace function app_private.expense_to_decide(expense uuid, if_match text) returns app.expenses
language plpgsql volatile
set search_path = ''
as $$
declare
  e constant app.expenses := app_private.lock_expense(expense, if_match);
begin
  perform app.require('finance.write');
  if e.status <> 'submitted' then
    perform app.refuse(409, 'expense_not_submitted', format('It is %s.', e.status));
  end if;
  if e.created_by = app.current_user_id() and exists (select from app.memberships m
      where m.organization_id = e.organization_id and m.user_id <> e.created_by and m.deleted_at is null
        and app.permissions_of(m.organization_id, m.user_id) @> '{finance.read,finance.write}') then
    perform app.refuse(403, 'expense_is_own');
  end if;
  return e;
end
$$;
comment on function app_private.expense_to_decide(uuid, text) is
  'A submitted expense, locked, for somebody else who holds finance.read and finance.write or, if nobody else does, for whose it is. PT403, PT404, PT409 expense_not_submitted, PT412.';
alter function app_private.expense_to_decide(uuid, text) owner to callboard_definer;
-- EndIncluded finance/expense_decisions.sql
-- Included settlements/show_parts.sql
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
  -- With it the show gets another fee.
  perform app.require('finance.read');
  perform app.require('finance.write');
end
$$;
comment on function app_private.require_deal_unsettled(regclass, uuid) is
  'The guard of deals: PT409 settlement_final once the settlement is final, PT403 without finance.read and finance.write.';
alter function app_private.require_deal_unsettled(regclass, uuid) owner to callboard_definer;
-- EndIncluded settlements/show_parts.sql
-- Included settlements/deals.sql
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_deal_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deals.sql
-- Included settlements/ticket_tiers.sql
select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/show_costs.sql
select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/show_costs.sql
-- Included settlements/deposits.sql
select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deposits.sql
-- Included settlements/deal_bonuses.sql
select app_private.tenant_table('deal_bonuses', noun => 'deal_bonus', permission => 'finance', path => '/api/bonuses',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deal_bonuses.sql
-- Included settlements/deal_adjustments.sql
select app_private.tenant_table('deal_adjustments', noun => 'deal_adjustment', permission => 'finance', path => '/api/adjustments',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deal_adjustments.sql
-- Included settlements/settlement_inputs.sql
create or replace function app.inputs_of(deal app.deals) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := deal.organization_id;
  show constant uuid := deal.show_id;
  is_main constant boolean := deal.act is null;
  -- What names no deal is of this one, too.
  enters constant boolean := deal.id = (
    select f.id from app.deals f where f.organization_id = organization and f.show_id = show and f.deleted_at is null
    order by f.act is not null, f.created_at, f.id limit 1);
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
    'enters_show', enters,
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
      from app.deposits p where p.organization_id = organization and p.show_id = show and p.deleted_at is null and (p.deal_id = d.id or enters and p.deal_id is null)),
    'bonuses', (
      select coalesce(jsonb_agg(jsonb_build_object('id', b.id, 'kind', b.kind, 'amount_minor', b.amount_minor, 'threshold', b.threshold) order by b.id), '[]')
      from app.deal_bonuses b where b.organization_id = organization and b.show_id = show and b.deleted_at is null and (b.deal_id = d.id or enters and b.deal_id is null)),
    'adjustments', (
      select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name, 'kind', a.kind, 'amount_minor', a.amount_minor, 'stage', a.stage) order by a.id), '[]')
      from app.deal_adjustments a where a.organization_id = organization and a.show_id = show and a.deleted_at is null and (a.deal_id = d.id or enters and a.deal_id is null)),
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
-- EndIncluded settlements/settlement_inputs.sql
-- Included settlements/deal_parts.sql
-- Deposits, bonuses and adjustments that name no deal belong to the main deal, and without one to the deal that was entered
-- first. Which they were meant for is written down before there could be another.

create or replace function app_private.tg_deals__350_parts() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  others boolean;
begin
  -- With its show everything is deleted, and restored, as it is.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id and s.deleted_at is null;
  if not found then
    return new;
  end if;
  if (old.act is null) <> (new.act is null) and exists (select from app.settlements x
      where x.organization_id = new.organization_id and x.show_id = new.show_id and (x.deal_id = new.id or x.deal_id is null) and x.deleted_at is null)
  then
    perform app.refuse(409, 'deals_act_settled');
  end if;
  others := exists (select from app.deals d where d.organization_id = new.organization_id and d.show_id = new.show_id and d.id <> new.id and d.deleted_at is null);
  if old.act is null and others then
    -- What names no deal was meant for this one, and stays with it.
    update app.deposits p set deal_id = new.id where p.organization_id = new.organization_id and p.show_id = new.show_id and p.deal_id is null;
    update app.deal_bonuses b set deal_id = new.id where b.organization_id = new.organization_id and b.show_id = new.show_id and b.deal_id is null;
    update app.deal_adjustments a set deal_id = new.id where a.organization_id = new.organization_id and a.show_id = new.show_id and a.deal_id is null;
  end if;
  return new;
end
$$;
comment on function app_private.tg_deals__350_parts() is
  'Before a deal becomes or ceases to be the main one, or a main deal is deleted beside others: deposits, bonuses and adjustments that name no deal are given it. PT409 deals_act_settled once a settlement has been recorded.';
alter function app_private.tg_deals__350_parts() owner to callboard_definer;
create or replace trigger _350_parts before update on app.deals
  for each row when ((new.act is null) <> (old.act is null) or old.deleted_at is null and new.deleted_at is not null)
  execute function app_private.tg_deals__350_parts();
grant update (deal_id) on app.deposits, app.deal_bonuses, app.deal_adjustments to callboard_definer;
-- EndIncluded settlements/deal_parts.sql
-- Lock: share row exclusive on app.finance_records: create or replace trigger _200_of_settlement before update on app.finance_records for each row when 
-- Lock: share row exclusive on app.budget_lines: create or replace trigger _100_books before insert on app.budget_lines for each row execute function
-- Lock: share row exclusive on app.deals: create or replace trigger _350_parts before update on app.deals for each row when ((new.act is null)
