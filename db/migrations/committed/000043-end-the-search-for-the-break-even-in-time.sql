--! Previous: sha1:6c6e012426a2f8e838c34a8c9c3af3f6ce4f606a
--! Hash: sha1:d67d93130b885ed86407322bcc888bc8d043e3ea
--! Message: end the search for the break-even in time

-- Included settlements/settlement_offers.sql
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
-- EndIncluded settlements/settlement_offers.sql
