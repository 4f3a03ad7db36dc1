-- How a show is settled. The steps are those by which promoters and tour managers settle a "promoter
-- profit deal" (for example https://makingitwithchrisg.com/blog/deals); rules of our own are marked as ours.
--
--    1. gross           = for each tier price x sold
--    2. facility fees   = for each tier fee x sold: the venue's, before the rest is shared
--    3. tax             = (gross - fees) x rate / (1 + rate): the prices contain it, the fees are not taxed here
--    4. net receipts    = gross - fees - tax
--    5. costs           = fixed costs + costs per ticket x sold + for `plus`, if the deal says so, the guarantee,
--                         which is a promoter's expense like any other
--    6. promoter profit = costs x its rate; on the costs, not the receipts
--    7. split point     = what the net receipts must reach before the percentage begins:
--                         0 for `gross`, costs for `net`, costs + promoter profit for `net_after_promoter_profit`
--    8. share base      = gross for `gross`, otherwise net receipts - split point; never below 0 (ours: an
--                         artist does not pay for a loss)
--    9. share           = share base x percentage
--   10. due             = flat: guarantee; door: share; plus: guarantee + share; versus: the larger of the two
--   11. balance         = due - deposits; below 0 if the artist has to repay
--   12. promoter        = net receipts - fixed and per-ticket costs - due: what the promoter is left with, profit included
--
-- So fees + tax + fixed costs + costs per ticket + due + promoter equals the gross, to the last unit.
--
-- The rounding is also ours: half away from zero, to the minor unit of the currency, once in each of steps
-- 3, 6 and 9, which apply a rate; everything else is sums and products of whole numbers.
-- No step uses floating point, and no amount may exceed the integers that JSON represents exactly.
--
-- 500 tickets at 30.00 with a fee of 2.00, 8 % tax, costs of 4,000 and 0.80 a ticket, 15 % promoter profit:
-- 15,000 gross, 1,000 fees, 1,037.04 tax, 12,962.96 net receipts.
-- Versus, 5,000 or 85 %: costs 4,400, profit 660, split point 5,060, share 85 % of 7,902.96 = 6,717.52: due.
-- Plus, with the 5,000 as a cost: costs 9,400, profit 1,410, split point 10,810, share 85 % of 2,152.96 = 1,830.02;
-- due 6,830.02. test/settlements/settlement.test.ts has both.

create or replace function app.apportion(amount numeric, part numeric, whole numeric) returns numeric
language sql immutable parallel safe
set search_path = ''
return sign(amount) * div(2 * abs(amount) * part + whole, 2 * whole);
comment on function app.apportion(numeric, numeric, numeric) is
  'amount x part / whole as a whole number, rounded half away from zero, for whole numbers of any size and a part that is not negative. Exact: a numeric quotient would first be rounded to a limited number of digits.';
grant execute on function app.apportion(numeric, numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.settle(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  deal constant jsonb := inputs -> 'deal';
  kind constant text := deal ->> 'kind';
  base constant text := deal ->> 'base';
  tax_bp constant numeric := (deal ->> 'tax_bp')::numeric;
  sold numeric;
  comps numeric;
  gross numeric;
  fees numeric;
  tax numeric;
  receipts numeric;
  fixed numeric;
  per_ticket numeric;
  guarantee constant numeric := coalesce((deal ->> 'guarantee_minor')::numeric, 0);
  guarantee_cost constant numeric := case when (deal ->> 'guarantee_is_cost')::boolean then guarantee else 0 end;
  costs numeric;
  profit numeric;
  split_point numeric;
  share_base numeric;
  share numeric;
  due numeric;
  deposits numeric;
  result jsonb;
begin
  select coalesce(sum(t.sold), 0), coalesce(sum(t.comps), 0), coalesce(sum(t.price_minor * t.sold), 0), coalesce(sum(t.facility_fee_minor * t.sold), 0)
  into sold, comps, gross, fees
  from jsonb_to_recordset(inputs -> 'ticket_tiers') as t (price_minor numeric, facility_fee_minor numeric, sold numeric, comps numeric);
  tax := app.apportion(gross - fees, tax_bp, 10000 + tax_bp);
  receipts := gross - fees - tax;

  select coalesce(sum(c.amount_minor) filter (where c.kind = 'fixed'), 0), coalesce(sum(c.amount_minor) filter (where c.kind = 'per_ticket'), 0) * sold
  into fixed, per_ticket
  from jsonb_to_recordset(inputs -> 'costs') as c (kind text, amount_minor numeric);
  costs := fixed + per_ticket + guarantee_cost;
  profit := app.apportion(costs, (deal ->> 'promoter_profit_bp')::numeric, 10000);

  split_point := case base when 'net' then costs when 'net_after_promoter_profit' then costs + profit else 0 end;
  share_base := case when base = 'gross' then gross when base is null then 0 else greatest(receipts - split_point, 0) end;
  share := app.apportion(share_base, coalesce((deal ->> 'percentage_bp')::numeric, 0), 10000);
  due := case kind when 'flat' then guarantee when 'door' then share when 'plus' then guarantee + share else greatest(guarantee, share) end;

  select coalesce(sum(p.amount_minor), 0) into deposits
  from jsonb_to_recordset(inputs -> 'deposits') as p (amount_minor numeric);

  result := jsonb_build_object(
    'tickets_sold', sold, 'tickets_comped', comps,
    'gross_minor', gross, 'facility_fees_minor', fees, 'tax_minor', tax, 'net_receipts_minor', receipts,
    'fixed_costs_minor', fixed, 'per_ticket_costs_minor', per_ticket, 'guarantee_cost_minor', guarantee_cost, 'costs_minor', costs,
    'net_minor', receipts - costs, 'promoter_profit_minor', profit, 'split_point_minor', split_point,
    'share_base_minor', share_base, 'share_minor', share, 'guarantee_minor', guarantee, 'due_minor', due,
    'deposits_minor', deposits, 'balance_minor', due - deposits, 'promoter_minor', receipts - fixed - per_ticket - due);
  if exists (select from jsonb_each(result) r where abs(r.value::numeric) > 9007199254740991) then
    perform app.refuse(422, 'settlement_out_of_range', 'An amount of the settlement is larger than 9007199254740991 minor units.');
  end if;
  return result;
end
$$;
comment on function app.settle(jsonb) is
  'The settlement of a deal, ticket tiers, costs and deposits as returned by app.settlement_inputs: every line of it, in minor units. It reads nothing else, so recorded settlements can be recomputed. PT422 settlement_out_of_range.';
grant execute on function app.settle(jsonb) to callboard_api, callboard_definer;

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
      'tax_bp', d.tax_bp, 'promoter_profit_bp', d.promoter_profit_bp, 'guarantee_is_cost', d.guarantee_is_cost),
    'ticket_tiers', (
      select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'price_minor', t.price_minor,
        'facility_fee_minor', t.facility_fee_minor, 'allotment', t.allotment, 'sold', t.sold, 'comps', t.comps) order by t.id), '[]')
      from app.ticket_tiers t where t.organization_id = organization and t.show_id = show and t.deleted_at is null),
    'costs', (
      select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'kind', c.kind, 'amount_minor', c.amount_minor,
        'is_estimate', c.is_estimate) order by c.id), '[]')
      from app.show_costs c where c.organization_id = organization and c.show_id = show and c.deleted_at is null),
    'deposits', (
      select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'paid_on', p.paid_on, 'amount_minor', p.amount_minor, 'note', p.note) order by p.id), '[]')
      from app.deposits p where p.organization_id = organization and p.show_id = show and p.deleted_at is null))
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
