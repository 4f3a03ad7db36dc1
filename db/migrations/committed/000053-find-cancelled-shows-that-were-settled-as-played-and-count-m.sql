--! Previous: sha1:844f29af08e3f3d0666898c976720f3c28bd5b61
--! Hash: sha1:e9f1b5522f80566b828667c5d469cb7f34f796cf
--! Message: Find cancelled shows that were settled as played, and count merchandise

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
create or replace function app.inputs_of(deal app.deals, as_planned boolean default false) returns jsonb
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
  is_cancelled constant boolean := not as_planned and exists (
    select from app.shows s where s.organization_id = organization and s.id = show and s.status = 'cancelled');
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
      'act', d.act, 'is_cost_of_main', d.is_cost_of_main, 'cancellation_minor', d.cancellation_minor),
    'is_cancelled', is_cancelled,
    'enters_show', enters,
    'ticket_tiers', (
      select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'price_minor', t.price_minor,
        'facility_fee_minor', t.facility_fee_minor, 'excluded_minor', t.excluded_minor, 'allotment', t.allotment,
        -- What was sold for a show that is cancelled is given back.
        'sold', case when is_cancelled then 0 else t.sold end, 'comps', case when is_cancelled then 0 else t.comps end) order by t.id), '[]')
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
      from app.deal_bonuses b where not is_cancelled and b.organization_id = organization and b.show_id = show and b.deleted_at is null and (b.deal_id = d.id or enters and b.deal_id is null)),
    'adjustments', (
      select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name, 'kind', a.kind, 'amount_minor', a.amount_minor, 'stage', a.stage,
        'percentage', trim_scale(a.percentage), 'tax_percentage', trim_scale(a.tax_percentage), 'sold_by', a.sold_by) order by a.id), '[]')
      from app.deal_adjustments a where a.organization_id = organization and a.show_id = show and a.deleted_at is null and (a.deal_id = d.id or enters and a.deal_id is null)),
    -- What they are due, and nothing else of them: the rest may change after this settlement is final.
    'acts', (
      select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'act', e.act, 'kind', e.kind, 'guarantee_minor', e.guarantee_minor, 'base', e.base, 'guarantee_is_cost', e.guarantee_is_cost, 'cancellation_minor', case when is_cancelled then e.cancellation_minor end,
        'percentage', trim_scale(e.percentage), 'tax_percentage', trim_scale(e.tax_percentage), 'promoter_profit_percentage', trim_scale(e.promoter_profit_percentage),
        'bonuses', (
          select coalesce(jsonb_agg(jsonb_build_object('id', b.id, 'kind', b.kind, 'amount_minor', b.amount_minor, 'threshold', b.threshold) order by b.id), '[]')
          from app.deal_bonuses b where not is_cancelled and b.organization_id = organization and b.deal_id = e.id and b.deleted_at is null),
        'adjustments', (
          select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name, 'kind', a.kind, 'amount_minor', a.amount_minor, 'stage', a.stage,
        'percentage', trim_scale(a.percentage), 'tax_percentage', trim_scale(a.tax_percentage), 'sold_by', a.sold_by) order by a.id), '[]')
          from app.deal_adjustments a where a.organization_id = organization and a.deal_id = e.id and a.deleted_at is null and a.stage = 'before_split')) order by e.id), '[]')
      from app.deals e where is_main and e.organization_id = organization and e.show_id = show and e.deleted_at is null and e.act is not null and e.is_cost_of_main))
  into inputs
  from app.deals d where d.organization_id = organization and d.id = deal.id and d.deleted_at is null;
  return inputs;
end
$$;
comment on function app.inputs_of(app.deals, boolean) is 'The current inputs of the settlement of a deal, or those as if its show were not cancelled; NULL without one.';
grant execute on function app.inputs_of(app.deals, boolean) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_inputs.sql
-- Included settlements/settlement_books.sql
create or replace function app_private.booked_by_hand(s app.settlements) returns uuid[]
language plpgsql stable
set search_path = ''
as $$
begin
  return (select array_agg(r.id) from app.finance_records r
    join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
    join (
      select l.kind, lower(l.category) as category from app.settlement_lines(s.inputs, s.result) l
      union
      -- Which a cancelled show has to give back.
      select 'income', 'ticket sales' where s.inputs @> '{"is_cancelled": true, "enters_show": true}') l on l.kind = c.kind and l.category = lower(c.name)
    where r.organization_id = s.organization_id and r.show_id = s.show_id and r.status = 'actual' and r.deleted_at is null and r.settlement_id is null);
end
$$;
comment on function app_private.booked_by_hand(app.settlements) is 'The actual records of the show, entered by somebody, in the categories of the settlement''s lines: perhaps the same money. Of a cancelled show also ticket sales.';
alter function app_private.booked_by_hand(app.settlements) owner to callboard_definer;
-- EndIncluded settlements/settlement_books.sql
-- Included settlements/settlement_offers.sql
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
    percent_of_gross_costs_minor numeric, percent_of_net_receipts_costs_minor numeric, net_receipts_minor numeric, excluded_minor numeric, merchandise_minor numeric);
  -- With more receipts and lower costs an act is never due less; receipts, costs and bonuses are never less with more tickets.
  select coalesce(sum((c.figures ->> 'due_minor')::numeric + (c.figures ->> 'bonuses_minor')::numeric), 0) into acts_high
  from app.act_costs(app.inputs_costing(main, last, low.costs) || jsonb_build_object('acts', coalesce(main -> 'acts', '[]'))) c;
  due_low := app.settlement_figures(app.inputs_costing(main, first, high.costs + acts_high)) ->> 'due_minor';
  select -sum((app.settlement_figures(app.inputs_costing(s.item, first, high.costs)) ->> 'books_minor')::numeric) into paid_low
  from jsonb_array_elements(sheets) with ordinality as s (item, n) where s.n > 1;
  -- Of merchandise what the hall has sold is the promoter's, which is never more than all of it.
  return high.net_receipts_minor + high.excluded_minor + high.merchandise_minor - low.costs - low.internal_costs_minor - low.adjustment_costs_minor - low.adjustments_minor - low.bonuses_minor
    - due_low - paid_low;
end
$$;
comment on function app.most_left(jsonb, numeric, numeric) is
  'A bound: the promoter of a show with several deals is left with no more than this by any number of tickets from the first to the last. The settlement that enters the show comes first.';
grant execute on function app.most_left(jsonb, numeric, numeric) to callboard_api;
-- EndIncluded settlements/settlement_offers.sql
-- Included settlements/contradictions.sql
create or replace function app_private.contradictions_of(organization uuid)
returns table (show_id uuid, settlement_id uuid, what text, said text, otherwise text, expense_id uuid)
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
  select u.show_id, null::uuid, u.what, u.said, u.otherwise, null::uuid from app_private.unmatched_of(contradictions_of.organization) u
  -- A row that an earlier release did not make for a show without a fee says nothing else.
  where u.said <> u.otherwise
  union all
  -- Settled is a show of which every deal has a settlement in force; one that is cancelled stays so.
  select s.id, x.id, 'status', s.status, concat('settlement in force: ', coalesce(x.n, 0), case when d.n > 1 then ' of ' || d.n end), null
  from shows s
  left join (select y.show_id, count(*) as n, (array_agg(y.id order by y.id))[1] as id from settlements y where y.reopened_at is null group by y.show_id) x on x.show_id = s.id
  left join (select e.show_id, count(*) as n, count(*) filter (where y.id is null) as unsettled
    from app.deals e
    left join settlements y on y.show_id = e.show_id and y.reopened_at is null and y.deal_id is not distinct from case when e.act is not null then e.id end
    where e.organization_id = contradictions_of.organization and e.deleted_at is null group by e.show_id) d on d.show_id = s.id
  where s.status <> 'cancelled' and (s.status = 'settled') <> (x.n is not null and coalesce(d.unsettled, 0) = 0) and (x.n is not null or d.n is not null)
  union all
  -- A settlement in force is of a show that was played, or that is cancelled, as it says itself.
  select x.show_id, x.id, 'cancelled', s.status, case when c.is_cancelled then 'cancelled' else 'played or settled' end, null
  from settlements x
  join shows s on s.id = x.show_id
  cross join lateral (select coalesce((x.inputs ->> 'is_cancelled')::boolean, false) as is_cancelled) c
  where x.reopened_at is null and (c.is_cancelled and s.status <> 'cancelled' or not c.is_cancelled and s.status not in ('played', 'settled'))
  union all
  -- Tickets and costs are entered once, and what another act is paid is what its own settlement says.
  select x.show_id, null, 'entered', 'tickets and costs: ' || count(*), 'once', null
  from settlements x where x.reopened_at is null and x.inputs -> 'enters_show' is distinct from 'false'
  group by x.show_id having count(*) > 1
  union all
  select x.show_id, x.id, 'act', concat_ws(' ', c.act, c.paid), concat_ws(' ', c.act, p.paid), null
  from settlements x
  cross join lateral (select a.act_id, a.act, (a.figures ->> 'due_minor')::numeric + (a.figures ->> 'bonuses_minor')::numeric as paid from app.act_costs(x.inputs) a) c
  join settlements y on y.show_id = x.show_id and y.reopened_at is null and y.deal_id = c.act_id::uuid
  cross join lateral (select (y.result ->> 'due_minor')::numeric + (y.result ->> 'bonuses_minor')::numeric as paid) p
  where x.reopened_at is null and c.paid <> p.paid
  union all
  -- Without the lines of its sheet, whose words may change with a release.
  select x.show_id, x.id, 'result', (x.result - 'lines')::text, app.settlement_figures(x.inputs)::text, null from settlements x
  where not app.settlement_figures(x.inputs) @> (x.result - 'lines')
  union all
  -- Income less expenses is what the settlement says; what was recorded before has one deal, and is what the promoter is left with.
  select x.show_id, x.id, 'books', coalesce(b.amount, 0)::text, e.amount::text, null
  from settlements x
  left join booked b on b.settlement_id = x.id
  cross join lateral (select case when x.reopened_at is null and x.booked_at is not null then coalesce(x.result ->> 'books_minor', x.result ->> 'promoter_minor')::numeric else 0 end as amount) e
  where coalesce(b.amount, 0) <> e.amount
  union all
  -- Its category may be another: whoever keeps the books may correct that of the record.
  select null, null, 'expense', concat(e.amount_minor, ' ', e.currency), coalesce(r.amount_minor || ' ' || r.currency, ''), e.id
  from app.expenses e
  left join app.finance_records r on r.organization_id = e.organization_id and r.id = e.finance_record_id and r.expense_id = e.id
    and r.kind = 'expense' and r.status = 'actual' and r.deleted_at is null
  where e.organization_id = contradictions_of.organization and e.status = 'approved' and e.deleted_at is null
    and (r.amount_minor, r.currency) is distinct from (e.amount_minor, e.currency);
end;
comment on function app_private.contradictions_of(uuid) is
  'What an organization''s shows and approved expenses say in one place and otherwise in another: tickets and those of the tiers, the fee and what the deals guarantee, the status and the settlements in force, whether these are of a cancelled show, whether tickets and costs are entered once, what another act is paid and what its settlement says, a final result and that of its inputs, the books and what the settlement enters, an expense and the record that approving it has entered.';
alter function app_private.contradictions_of(uuid) owner to callboard_definer;
-- EndIncluded settlements/contradictions.sql
