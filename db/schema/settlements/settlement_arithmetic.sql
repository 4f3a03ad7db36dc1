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

create or replace function app.act_costs(inputs jsonb) returns table (act_id text, act text, figures jsonb)
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return query
    select x.item ->> 'id', x.item ->> 'act', app.settlement_figures(jsonb_build_object('deal', x.item, 'ticket_tiers', inputs -> 'ticket_tiers', 'costs', inputs -> 'costs', 'is_cancelled', inputs -> 'is_cancelled',
      'bonuses', x.item -> 'bonuses', 'adjustments', x.item -> 'adjustments', 'deposits', '[]'::jsonb))
    from jsonb_array_elements(inputs -> 'acts') as x (item);
end
$$;
comment on function app.act_costs(jsonb) is
  'The other acts whose pay is a cost of a settlement, each with its figures: due and bonuses are the cost. From the same tickets and costs, without the other acts.';
grant execute on function app.act_costs(jsonb) to callboard_api, callboard_definer;

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
