--! Previous: sha1:e9f1b5522f80566b828667c5d469cb7f34f796cf
--! Hash: sha1:f54c33bc8fbf9487c8a8ab3c9517bc68d07c89a9
--! Message: Write what inputs have of bonuses and adjustments once

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
-- Included settlements/settlement_lines.sql
create or replace function app.sheet_lines(inputs jsonb, figures jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  digits constant integer := coalesce(app.minor_digits(inputs ->> 'currency'), 2);
  enters_show constant boolean := coalesce((inputs ->> 'enters_show')::boolean, true);
  is_cancelled constant boolean := coalesce((inputs ->> 'is_cancelled')::boolean, false);
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
      union all select 8, -1, 'costs', 'act ' || x.act_id, x.act, app.act_formula(d.item, x.figures, digits, is_cancelled),
        (x.figures ->> 'due_minor')::numeric + (x.figures ->> 'bonuses_minor')::numeric, false, null, null
        from app.act_costs(inputs) x join jsonb_array_elements(inputs -> 'acts') as d (item) on d.item ->> 'id' = x.act_id
      union all select 8, 0, 'costs', 'guarantee_cost', 'Guarantee', 'as a cost', f.guarantee_cost_minor, false, null, null where f.guarantee_cost_minor > 0
      union all select case x.stage when 'before_split' then 9 else 14 end, 0, case x.stage when 'before_split' then 'costs' else 'payment' end, 'adjustment ' || x.id, x.name,
        case x.kind when 'merchandise' then app.merchandise_formula(x.amount_minor, x.percentage, x.tax_percentage, x.sold_by, digits)
          else x.kind || case x.stage when 'before_split' then ', before the split' else '' end end,
        app.adjustment_amount(x.kind, x.amount_minor, x.percentage, x.tax_percentage, x.sold_by), false, null, null
        from jsonb_to_recordset(inputs -> 'adjustments')
          as x (id text, name text, kind text, amount_minor numeric, stage text, percentage numeric, tax_percentage numeric, sold_by text)
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
          (6, 'due', 'Due to the artist', case when is_cancelled then 'agreed for a cancelled show' when deal.kind = 'flat' then 'the guarantee' when deal.kind = 'door' then 'the share'
            when deal.kind = 'plus' then 'the guarantee and the share'
            else 'the larger of the guarantee and the share' end, f.due_minor, true)) as x (n, key, name, formula, amount, applies)
        where x.applies and (not is_cancelled or x.key = 'due')

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
--                         artist leaves with; below 0 if they have to repay. Of merchandise (app.adjustment_amount) the
--                         hall keeps its share of the sales without tax, whoever has sold it
--   14. balance         = due - withholding - deposits that are paid: what the books have to add to the deposits
--   15. books           = net receipts + excluded - all costs without the guarantee and other acts - adjustments - due -
--                         bonuses + merchandise without tax that the hall has sold: what is entered in the books. Without
--                         receipts and costs, if another settlement of the show enters them
--   16. promoter        = books - what other acts are paid: what the promoter is left with, profit included
--
-- So fees + tax + all costs without the guarantee + adjustments + due + bonuses + promoter equals the gross, to the last unit;
-- for the settlements of all deals of a show, with books instead of promoter, and fees, tax and costs once.
--
-- Of a cancelled show nothing was sold, since tickets are given back; there is no split and no bonus, and due is what the deal
-- says for that (cancellation_minor). Costs, adjustments and deposits count as ever, so what the artist was paid too much is repaid.
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
  is_cancelled constant boolean := coalesce((inputs ->> 'is_cancelled')::boolean, false);
  base constant text := case when not is_cancelled then deal ->> 'base' end;
  -- What was recorded up to 0.2.0 has basis points only.
  percentage constant numeric := coalesce((deal ->> 'percentage')::numeric, (deal ->> 'percentage_bp')::numeric / 100, 0);
  tax_rate constant numeric := 1000000 * coalesce((deal ->> 'tax_percentage')::numeric, (deal ->> 'tax_bp')::numeric / 100, 0);
  profit_rate constant numeric := case when is_cancelled then 0 else coalesce((deal ->> 'promoter_profit_percentage')::numeric, (deal ->> 'promoter_profit_bp')::numeric / 100, 0) end;
  guarantee constant numeric := coalesce((deal ->> 'guarantee_minor')::numeric, 0);
  guarantee_cost constant numeric := case when not is_cancelled and (deal ->> 'guarantee_is_cost')::boolean then guarantee else 0 end;
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
  if is_cancelled and deal ->> 'cancellation_minor' is null then
    perform app.refuse(409, 'settlement_needs_cancellation', format('Say in the deal%s what is paid although the show is cancelled (cancellation_minor), 0 if nothing.', ' with ' || (deal ->> 'act')));
  end if;
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
  select coalesce(sum(y.amount) filter (where y.stage = 'before_split'), 0) as before_split, coalesce(sum(y.amount) filter (where y.stage = 'after_split'), 0) as after_split,
    coalesce(sum(y.sales), 0) as sales, coalesce(sum(y.sales) filter (where y.sold_by = 'hall'), 0) as sales_of_hall, coalesce(sum(y.share), 0) as hall_share
  into a
  from (
    select x.stage, x.sold_by, app.adjustment_amount(x.kind, x.amount_minor, x.percentage, x.tax_percentage, x.sold_by) as amount,
      case when x.kind = 'merchandise' then x.amount_minor - app.merchandise_tax(x.amount_minor, x.tax_percentage) end as sales,
      case when x.kind = 'merchandise' then app.hall_share(x.amount_minor, x.tax_percentage, x.percentage) end as share
    from jsonb_to_recordset(inputs -> 'adjustments')
      as x (kind text, amount_minor numeric, stage text, percentage numeric, tax_percentage numeric, sold_by text)) y;
  if inputs -> 'acts' <> '[]' then
    select sum((x.figures ->> 'due_minor')::numeric + (x.figures ->> 'bonuses_minor')::numeric) into acts from app.act_costs(inputs) x;
  end if;
  costs := c.reported + a.before_split + acts + guarantee_cost;
  profit := app.percent_of(greatest(costs, 0), profit_rate);

  split_point := case base when 'net' then costs when 'net_after_promoter_profit' then costs + profit else 0 end;
  share_base := case when base = 'gross' then t.gross - t.excluded when base is null then 0 else greatest(receipts - split_point, 0) end;
  share := app.percent_of(share_base, percentage);
  due := case when is_cancelled then (deal ->> 'cancellation_minor')::numeric when kind = 'flat' then guarantee when kind = 'door' then share
    when kind = 'plus' then guarantee + share else greatest(guarantee, share) end;

  select coalesce(sum(app.bonus_amount(x.kind, x.amount_minor, x.threshold, t.sold, t.comps, t.allotted)), 0) into bonuses
  from jsonb_to_recordset(inputs -> 'bonuses') as x (kind text, amount_minor numeric, threshold numeric);
  withholding := app.withheld(due + bonuses, (deal ->> 'withholding_percentage')::numeric, (deal ->> 'withholding_threshold_minor')::numeric);
  -- One without either day is from before deposits could be due.
  select coalesce(sum(x.amount_minor) filter (where x.paid_on is not null or x.due_on is null), 0) as paid,
    coalesce(sum(x.amount_minor) filter (where x.paid_on is null and x.due_on is not null), 0) as open
  into p
  from jsonb_to_recordset(inputs -> 'deposits') as x (amount_minor numeric, paid_on date, due_on date);

  books := case when coalesce((inputs ->> 'enters_show')::boolean, true) then receipts + t.excluded - c.reported - c.internal else 0 end
    - a.before_split - a.after_split + a.sales_of_hall - due - bonuses;

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
    'merchandise_minor', a.sales, 'hall_share_minor', a.hall_share, 'acts_minor', acts, 'books_minor', books, 'promoter_minor', books - acts);
  if exists (select from jsonb_each_text(result) r where abs(r.value::numeric) > 9007199254740991) then
    perform app.refuse(422, 'settlement_out_of_range', 'An amount of the settlement is larger than 9007199254740991 minor units.');
  end if;
  return result;
end
$$;
comment on function app.settlement_figures(jsonb) is
  'The figures of the settlement of a deal, ticket tiers, costs, deposits, bonuses and adjustments as returned by app.settlement_inputs, in minor units. It reads nothing else. PT409 settlement_needs_cancellation, PT422 settlement_out_of_range.';
grant execute on function app.settlement_figures(jsonb) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_arithmetic.sql
-- Included settlements/settlement_inputs.sql
create or replace function app.bonus_input(b app.deal_bonuses) returns jsonb
language sql stable parallel safe
return jsonb_build_object('id', (b).id, 'kind', (b).kind, 'amount_minor', (b).amount_minor, 'threshold', (b).threshold);
comment on function app.bonus_input(app.deal_bonuses) is 'A bonus as the inputs of a settlement have it.';
grant execute on function app.bonus_input(app.deal_bonuses) to callboard_api, callboard_definer;
create or replace function app.adjustment_input(a app.deal_adjustments) returns jsonb
language sql stable parallel safe
return jsonb_build_object('id', (a).id, 'name', (a).name, 'kind', (a).kind, 'amount_minor', (a).amount_minor, 'stage', (a).stage,
  'percentage', trim_scale((a).percentage), 'tax_percentage', trim_scale((a).tax_percentage), 'sold_by', (a).sold_by);
comment on function app.adjustment_input(app.deal_adjustments) is 'An adjustment as the inputs of a settlement have it.';
grant execute on function app.adjustment_input(app.deal_adjustments) to callboard_api, callboard_definer;
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
      select coalesce(jsonb_agg(app.bonus_input(b) order by b.id), '[]')
      from app.deal_bonuses b where not is_cancelled and b.organization_id = organization and b.show_id = show and b.deleted_at is null and (b.deal_id = d.id or enters and b.deal_id is null)),
    'adjustments', (
      select coalesce(jsonb_agg(app.adjustment_input(a) order by a.id), '[]')
      from app.deal_adjustments a where a.organization_id = organization and a.show_id = show and a.deleted_at is null and (a.deal_id = d.id or enters and a.deal_id is null)),
    -- What they are due, and nothing else of them: the rest may change after this settlement is final.
    'acts', (
      select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'act', e.act, 'kind', e.kind, 'guarantee_minor', e.guarantee_minor, 'base', e.base, 'guarantee_is_cost', e.guarantee_is_cost, 'cancellation_minor', case when is_cancelled then e.cancellation_minor end,
        'percentage', trim_scale(e.percentage), 'tax_percentage', trim_scale(e.tax_percentage), 'promoter_profit_percentage', trim_scale(e.promoter_profit_percentage),
        'bonuses', (
          select coalesce(jsonb_agg(app.bonus_input(b) order by b.id), '[]')
          from app.deal_bonuses b where not is_cancelled and b.organization_id = organization and b.deal_id = e.id and b.deleted_at is null),
        'adjustments', (
          select coalesce(jsonb_agg(app.adjustment_input(a) order by a.id), '[]')
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
      select 5, 'adjustment ' || a.id, x.kind, case a.kind when 'merchandise' then 'Merchandise' else a.name end,
        case x.kind when 'income' then 'Other income' else 'Other expenses' end, abs(x.amount), 0, null, false, format('%s: %s', initcap(a.kind), a.name)
      from jsonb_to_recordset(inputs -> 'adjustments')
          as a (id uuid, name text, kind text, amount_minor numeric, percentage numeric, tax_percentage numeric, sold_by text),
        lateral (select y.amount, case when y.amount < 0 then 'income' else 'expense' end as kind
          from app.adjustment_amount(a.kind, a.amount_minor, a.percentage, a.tax_percentage, a.sold_by) as y (amount)) x
      union all
      -- What the hall has sold is its income; the rest of it, after its share, is the artist's.
      select 5, m.line || a.id, m.kind, m.category, m.otherwise, m.amount, m.tax, null, false, m.note || a.name
      from jsonb_to_recordset(inputs -> 'adjustments') as a (id uuid, name text, kind text, amount_minor numeric, tax_percentage numeric, sold_by text),
        lateral (select app.merchandise_tax(a.amount_minor, a.tax_percentage) as tax) t,
        lateral (values ('sales ', 'income', 'Merchandise', 'Other income', a.amount_minor, t.tax, 'Merchandise sold: '),
          ('sales_tax ', 'expense', 'Taxes and licences', 'Other expenses', t.tax, 0, 'Tax in the merchandise: ')) as m (line, kind, category, otherwise, amount, tax, note)
      where a.kind = 'merchandise' and a.sold_by = 'hall'
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
