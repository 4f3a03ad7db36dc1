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
  'The smallest number of tickets sold with which the promoter is left with nothing or more, up to a number of tickets; NULL if there is none. Exact: whole ranges are left out only where no number in them can do; -1 if after 2,000 of them it is not known, as where the promoter is left with a little less than nothing over thousands of tickets.';
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
  return (200, json_build_object('show_id', show, 'tickets_for_sale', most, 'break_even_tickets', nullif(x.break_even, -1), 'is_break_even_known', x.break_even is distinct from -1,
    'inputs', inputs, 'at_full_house', app.settle(app.inputs_at(inputs, most))), null, null)::app.answer
    from (select app.break_even(inputs, most) as break_even) x;
end
$$;
comment on function app.read_offer(uuid) is
  'What the settlement of the show would be if every ticket were sold, and with how many the promoter breaks even. PT403, PT404, PT409 settlement_needs_deal, PT422 settlement_out_of_range.';
grant execute on function app.read_offer(uuid) to callboard_api;
