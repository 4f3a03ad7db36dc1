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
