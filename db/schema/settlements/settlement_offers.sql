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
  began constant timestamptz := clock_timestamp();
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
    -- Long before the statement times out, however many deals there are and however slow the machine is.
    if computed > 2000 or clock_timestamp() > began + interval '2 seconds' then
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
  'For the inputs of a settlement, or for an array of those of all deals of a show, the one that enters the show first: the smallest number of tickets sold with which the promoter is left with nothing or more, up to a number of tickets; NULL if there is none. Exact: whole ranges are left out only where no number in them can do; -1 if after 2,000 of them, or 2 seconds, it is not known, as where the promoter is left with a little less than nothing over thousands of tickets.';
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
  -- Also of a show that is cancelled, as it was planned.
  inputs := app.inputs_of(app.deal_of(show, deal), true);
  select jsonb_agg(app.inputs_of(d, true) order by d.act is not null, d.created_at, d.id) into sheets
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
