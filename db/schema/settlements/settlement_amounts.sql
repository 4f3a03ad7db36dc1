-- The amounts of single lines of a settlement, each computed in one place: for the settlement, its sheet, and the books.

create or replace function app.apportion(amount numeric, part numeric, whole numeric) returns numeric
language sql immutable parallel safe
set search_path = ''
return sign(amount) * div(2 * abs(amount) * part + whole, 2 * whole);
comment on function app.apportion(numeric, numeric, numeric) is
  'amount x part / whole as a whole number, rounded half away from zero, for whole numbers of any size and a part that is not negative. Exact: a numeric quotient would first be rounded to a limited number of digits.';
grant execute on function app.apportion(numeric, numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.percent_of(amount numeric, percentage numeric) returns numeric
language sql immutable parallel safe
-- In millionths of a percent, so that it is a whole number.
return app.apportion(amount, 1000000 * percentage, 100000000);
comment on function app.percent_of(numeric, numeric) is 'A percentage with up to six decimals of an amount, rounded once, half away from zero.';
grant execute on function app.percent_of(numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.cost_amount(
  kind text, amount numeric, percentage numeric, cap numeric, sold numeric, comps numeric, gross numeric, net_receipts numeric
) returns numeric
language sql immutable parallel safe
return least(cap, case kind
  when 'fixed' then amount
  when 'per_ticket' then amount * sold
  when 'per_head' then amount * (sold + comps)
  when 'percent_of_gross' then greatest(amount, app.percent_of(gross, percentage))
  when 'percent_of_net_receipts' then greatest(amount, app.percent_of(net_receipts, percentage)) end);
comment on function app.cost_amount(text, numeric, numeric, numeric, numeric, numeric, numeric, numeric) is
  'What a cost of a show amounts to. A percentage costs at least the amount, and every kind at most the cap, if there is one.';
grant execute on function app.cost_amount(text, numeric, numeric, numeric, numeric, numeric, numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.bonus_amount(kind text, amount numeric, threshold numeric, sold numeric, comps numeric, allotted numeric) returns numeric
language sql immutable parallel safe
return case kind
  when 'tickets' then case when sold >= threshold then amount else 0 end
  when 'per_ticket' then amount * greatest(sold - threshold, 0)
  when 'sell_out' then case when allotted > 0 and sold + comps >= allotted then amount else 0 end end;
comment on function app.bonus_amount(text, numeric, numeric, numeric, numeric, numeric) is
  'What a bonus amounts to. A show is sold out if tickets sold and complimentary ones fill every allotment.';
grant execute on function app.bonus_amount(text, numeric, numeric, numeric, numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.withheld(amount numeric, percentage numeric, threshold numeric) returns numeric
language sql immutable parallel safe
return case when percentage is not null and amount > coalesce(threshold, 0) then app.percent_of(amount, percentage) else 0 end;
comment on function app.withheld(numeric, numeric, numeric) is
  'What is withheld of an amount: the percentage of all of it if it is more than the threshold, otherwise nothing.';
grant execute on function app.withheld(numeric, numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.merchandise_tax(sales numeric, tax_percentage numeric) returns numeric
language sql immutable parallel safe
return app.apportion(sales, 1000000 * coalesce(tax_percentage, 0), 100000000 + 1000000 * coalesce(tax_percentage, 0));
comment on function app.merchandise_tax(numeric, numeric) is 'The tax that is in the sales of merchandise.';
grant execute on function app.merchandise_tax(numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.hall_share(sales numeric, tax_percentage numeric, percentage numeric) returns numeric
language sql immutable parallel safe
return app.percent_of(sales - app.merchandise_tax(sales, tax_percentage), percentage);
comment on function app.hall_share(numeric, numeric, numeric) is 'What the hall keeps of the sales of merchandise: a percentage of them without their tax.';
grant execute on function app.hall_share(numeric, numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.adjustment_amount(kind text, amount numeric, percentage numeric, tax_percentage numeric, sold_by text) returns numeric
language sql immutable parallel safe
return case kind
  when 'deduction' then -amount
  -- Who has sold it has the money.
  when 'merchandise' then case sold_by when 'hall' then amount - app.merchandise_tax(amount, tax_percentage) else 0 end - app.hall_share(amount, tax_percentage, percentage)
  else amount end;
comment on function app.adjustment_amount(text, numeric, numeric, numeric, text) is
  'What an adjustment adds to what the artist is paid, or to the costs before the split; less than 0 if it takes off.';
grant execute on function app.adjustment_amount(text, numeric, numeric, numeric, text) to callboard_api, callboard_definer;
