-- Checking the lines of an import: the data of each, or what is wrong with it, in terms of the file. What a cell says is
-- in import_cells.sql. The small functions are inlined, as there.

-- The rules. Each is a row: the column, whether its value is bad, and the reason; NULL where nothing is wrong.

create or replace function app_private.bad(in_column text, is_bad boolean, reason text) returns jsonb
language sql stable parallel safe
return case when is_bad then jsonb_build_object('column', in_column, 'reason', reason) end;
comment on function app_private.bad(text, boolean, text) is 'A problem {column, reason} of a line, or NULL if is_bad is not true.';
alter function app_private.bad(text, boolean, text) owner to callboard_definer;

create or replace function app_private.missing(in_column text, value text, reason text) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value is null, reason);
comment on function app_private.missing(text, text, text) is 'The problem of an empty required cell, or NULL.';
alter function app_private.missing(text, text, text) owner to callboard_definer;

create or replace function app_private.bad_line(in_column text, value text, longest integer) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, not app.is_line(value, longest), 'Shows nothing, is longer than ' || longest || ' characters, or contains control characters.');
comment on function app_private.bad_line(text, text, integer) is 'The problem of a text that is not a valid single line (app.is_line), or NULL.';
alter function app_private.bad_line(text, text, integer) owner to callboard_definer;

create or replace function app_private.bad_text(in_column text, value text, longest integer) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, length(value) > longest, 'Longer than ' || longest || ' characters.');
comment on function app_private.bad_text(text, text, integer) is 'The problem of a text that is too long, or NULL.';
alter function app_private.bad_text(text, text, integer) owner to callboard_definer;

create or replace function app_private.bad_day(in_column text, value text, day date, order_is text) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value is not null and not coalesce(app.is_day(day), false),
  case when order_is is null and value ~ '^[0-9]{1,2}[/-][0-9]{1,2}[/-][0-9]{4}' then 'Which is the day, and which the month? Upload the file again with dates=dmy or dates=mdy.'
    when order_is = 'mdy' and value ~ '^[0-9]{1,2}[.]' then 'Which is the day, and which the month? Write 2027-03-14.'
    else 'Not a date between 1900 and 2199: write 2027-03-14.' end);
comment on function app_private.bad_day(text, text, date, text) is 'The problem of a text that is not a valid day (app.is_day), or NULL; `day` is its parsed value, and the last argument the order of days and months in the file.';
alter function app_private.bad_day(text, text, date, text) owner to callboard_definer;

create or replace function app_private.bad_time(in_column text, value text, time_of_day time) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value is not null and time_of_day is null, 'Not a time: write 19:30.');
comment on function app_private.bad_time(text, text, time) is 'The problem of a text that is not a time of day, or NULL; the last argument is its parsed value.';
alter function app_private.bad_time(text, text, time) owner to callboard_definer;

create or replace function app_private.bad_count(in_column text, value text, count numeric, smallest integer, reason text) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value is not null and coalesce(count not between smallest and 2147483647 or count <> trunc(count), true), reason);
comment on function app_private.bad_count(text, text, numeric, integer, text) is 'The problem of a text that is not a whole number of at least `smallest`, or NULL; `count` is its parsed value.';
alter function app_private.bad_count(text, text, numeric, integer, text) owner to callboard_definer;

create or replace function app_private.bad_amount(in_column text, value text, units numeric, minor numeric, currency text, digits integer) returns jsonb
language sql stable parallel safe
return coalesce(
  -- Zeros, too: who writes three decimals of euros means thousands, or another currency.
  app_private.bad(in_column, scale(units) > digits or scale(minor) > 0, format('%s has %s decimal places.', currency, digits)),
  app_private.bad(in_column, case when value ~ '[^0-9.,+-]' then app_private.names_other_currency(value, currency) end, format('It is written with another currency than %s.', currency)));
comment on function app_private.bad_amount(text, text, numeric, numeric, text, integer) is
  'The problem of an amount with more decimals than its currency has, or with the sign of another one; units and minor are what was parsed, and digits the decimals of the currency.';
alter function app_private.bad_amount(text, text, numeric, numeric, text, integer) owner to callboard_definer;

create or replace function app_private.bad_choice(in_column text, value text, choices text[], reason text) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value <> all (choices), reason);
comment on function app_private.bad_choice(text, text, text[], text) is 'The problem of a text that is not one of the choices, or NULL.';
alter function app_private.bad_choice(text, text, text[], text) owner to callboard_definer;

create or replace function app_private.check_finance_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- In plpgsql, which plans this once for all batches of a connection.
  return query
  with given as materialized (
    select (x.value ->> 0)::integer as line, x.value -> 1 as v from jsonb_array_elements(lines) as x
  ),
  -- Once for each line, and not for every mention of them.
  numbers as materialized (
    select g.line, g.v, o.currency as base, coalesce(upper(g.v ->> 'currency'), o.currency) as currency,
      app_private.csv_number(g.v ->> 'amount', i.options ->> 'decimal') as amount_units, app_private.csv_number(g.v ->> 'amount_minor', i.options ->> 'decimal') as amount_minor,
      app_private.csv_number(g.v ->> 'tax', i.options ->> 'decimal') as tax_units, app_private.csv_number(g.v ->> 'tax_minor', i.options ->> 'decimal') as tax_minor
    from given g, app.organizations o where o.id = i.organization_id
  ),
  read as materialized (
    select g.*, c.digits,
      coalesce(g.amount_units * 10::numeric ^ c.digits, g.amount_minor) as amount,
      coalesce(g.tax_units * 10::numeric ^ c.digits, g.tax_minor) as tax,
      app_private.csv_number(g.v ->> 'exchange_rate', i.options ->> 'decimal') as rate,
      app_private.csv_date(g.v ->> 'booked_on', i.options ->> 'dates') as booked_on,
      app_private.csv_date(g.v ->> 'due_on', i.options ->> 'dates') as due_on,
      app_private.csv_uuid(g.v ->> 'show_id') as show_id,
      app_private.csv_uuid(g.v ->> 'itinerary_id') as itinerary_id,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source
    from numbers g
    cross join lateral (select app.minor_digits(g.currency) as digits offset 0) c
  ),
  meant as materialized (
    select r.*, k.kind, c.id as category_id, s.has_show,
      r.itinerary_id is not null and app_private.sees_itinerary(r.itinerary_id) as has_itinerary
    from read r
    -- Without a kind the sign decides, as in bank statements.
    cross join lateral (select coalesce(lower(r.v ->> 'kind'), case when r.amount < 0 then 'expense' else 'income' end) as kind) k
    left join app.finance_categories c on c.organization_id = i.organization_id and c.kind = k.kind
      and lower(c.name) = lower((r.v ->> 'category') collate app.people) and c.deleted_at is null
    -- LIMIT makes PostgreSQL look up each show by its key, instead of reading all shows for every batch.
    left join lateral (select true as has_show from app.shows s
      where s.organization_id = i.organization_id and s.id = r.show_id and s.deleted_at is null limit 1) s on true
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad('', m.v ? '', 'The line has more cells than the header has columns.'),
      -- When.
      app_private.missing('booked_on', m.v ->> 'booked_on', 'A date is required.'),
      app_private.bad_day('booked_on', m.v ->> 'booked_on', m.booked_on, i.options ->> 'dates'),
      app_private.bad('booked_on', exists (select from app.finance_periods f where f.organization_id = i.organization_id
        and f.month = date_trunc('month', m.booked_on)::date), 'The books of this month are closed.'),
      app_private.bad_day('due_on', m.v ->> 'due_on', m.due_on, i.options ->> 'dates'),
      -- Category.
      app_private.bad_choice('kind', m.kind, '{income,expense}', 'Must be income or expense.'),
      app_private.bad('category', m.kind in ('income', 'expense') and m.v ->> 'category' is null, 'A category is required.'),
      app_private.bad('category', m.kind in ('income', 'expense') and m.v ->> 'category' is not null and m.category_id is null,
        format('There is no %s category of this name.', m.kind)),
      app_private.bad('show_id', m.v ->> 'show_id' is not null and m.has_show is null, 'There is no such show.'),
      app_private.bad('itinerary_id', m.v ->> 'itinerary_id' is not null and not m.has_itinerary, 'There is no such itinerary.'),
      -- Amount.
      app_private.missing('amount', coalesce(m.v ->> 'amount', m.v ->> 'amount_minor'), 'An amount is required.'),
      app_private.bad('amount', m.v ? 'amount' and m.amount_units is null or m.v ? 'amount_minor' and m.amount_minor is null,
        format('Not a number (decimal %s expected).', i.options ->> 'decimal')),
      app_private.bad('amount', m.amount_minor <> m.amount, 'amount and amount_minor are not the same.'),
      app_private.bad_amount('amount', coalesce(m.v ->> 'amount', m.v ->> 'amount_minor'), m.amount_units, m.amount_minor, m.currency, m.digits),
      app_private.bad('amount', abs(m.amount) > 9007199254740991, 'The amount is too large.'),
      app_private.bad('amount', m.amount < 0 and m.v ->> 'kind' is not null, 'An amount must not be negative if the column kind gives the direction.'),
      app_private.bad('tax', coalesce(m.v ->> 'tax', m.v ->> 'tax_minor') is not null
        and (m.tax is null or m.v ? 'tax' and m.tax_units is null or m.tax <> trunc(m.tax) or abs(m.tax) > abs(m.amount) or m.tax < 0 and m.amount > 0),
        'Not an amount of money between 0 and the amount.'),
      app_private.bad('tax', m.tax_minor <> m.tax, 'tax and tax_minor are not the same.'),
      app_private.bad_amount('tax', coalesce(m.v ->> 'tax', m.v ->> 'tax_minor'), m.tax_units, m.tax_minor, m.currency, m.digits),
      -- Currency.
      app_private.bad('currency', not exists (select from app.currencies c where c.code = m.currency), 'There is no such currency.'),
      app_private.bad('exchange_rate', m.v ->> 'exchange_rate' is not null and coalesce(m.rate <= 0 or m.rate > 1000000000, true), 'Not a positive number.'),
      -- A file with 1.234,50 may have rates as banks write them: 1.085.
      app_private.bad('exchange_rate', m.v ->> 'exchange_rate' ~ case i.options ->> 'decimal' when 'comma' then '^[1-9][0-9]{0,2}[.][0-9]{3}$' else '^[1-9][0-9]{0,2},[0-9]{3}$' end,
        'It may be in thousands or have decimals: write it without a sign between thousands.'),
      app_private.bad('exchange_rate', m.currency <> m.base and m.v ->> 'exchange_rate' is null,
        format('An amount in %s needs its exchange rate to %s.', m.currency, m.base)),
      app_private.bad('exchange_rate', m.currency = m.base and m.rate <> 1, 'The exchange rate of a currency to itself is 1.'),
      app_private.bad('exchange_rate', app.convert_minor(least(abs(m.amount), 9007199254740991)::bigint, m.rate, m.currency, m.base) > 9007199254740991,
        format('The amount is too large in %s.', m.base)),
      -- Status.
      app_private.bad_choice('status', lower(m.v ->> 'status'), '{planned,committed,actual,void}', 'Must be planned, committed, actual or void.'),
      app_private.bad_choice('payment_status', lower(m.v ->> 'payment_status'), '{unpaid,partly_paid,paid,refunded}',
        'Must be unpaid, partly_paid, paid or refunded.'),
      -- Counterparty and source.
      app_private.bad_line('counterparty', m.v ->> 'counterparty', 200),
      app_private.bad_text('note', m.v ->> 'note', 10000),
      app_private.bad_line('source', m.source, 100),
      app_private.bad_line('external_ref', m.v ->> 'external_ref', 200)
    ], null), '{}')) as problems
    from meant m
  )
  select m.line,
    case when m.problems is null then jsonb_build_object('kind', m.kind, 'category_id', m.category_id, 'show_id', m.show_id, 'itinerary_id', m.itinerary_id,
      'booked_on', m.booked_on, 'due_on', m.due_on, 'amount_minor', abs(m.amount)::bigint, 'tax_minor', coalesce(abs(m.tax)::bigint, 0),
      'currency', m.currency, 'exchange_rate', coalesce(m.rate, 1), 'base_currency', m.base,
      'status', coalesce(lower(m.v ->> 'status'), 'actual'), 'payment_status', coalesce(lower(m.v ->> 'payment_status'), 'unpaid'),
      'counterparty', m.v ->> 'counterparty', 'note', m.v ->> 'note',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    m.problems
  from judged m;
end
$$;
comment on function app_private.check_finance_lines(app.imports, jsonb) is 'The data of lines [[line, {column: text}]] of finance records, or what is wrong with them.';
alter function app_private.check_finance_lines(app.imports, jsonb) owner to callboard_definer;

create or replace function app_private.check_show_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- In plpgsql, which plans this once for all batches of a connection.
  return query
  with given as materialized (
    select (x.value ->> 0)::integer as line, x.value -> 1 as v,
      jsonb_build_array(x.value #> '{1,venue_id}', x.value #> '{1,venue}', x.value #> '{1,city}') as venue_key
    from jsonb_array_elements(lines) as x
  ),
  -- A file names few venues, many times. Each way to name one has its own index, and two of a name are as many as a thousand.
  named as materialized (
    select d.venue_key, n.id, n.found
    from (select distinct g.venue_key from given g) d
    cross join lateral (
      select (array_agg(w.id))[1] as id, count(*) as found from (
        (select w.id from app.venues w
          where w.organization_id = i.organization_id and w.id = app_private.csv_uuid(d.venue_key ->> 0) and w.deleted_at is null)
        union all
        (select w.id from app.venues w
          where d.venue_key ->> 0 is null and d.venue_key ->> 2 is null
            and w.organization_id = i.organization_id and lower(w.name) = lower((d.venue_key ->> 1) collate app.people) and w.deleted_at is null limit 2)
        union all
        (select w.id from app.venues w
          where d.venue_key ->> 0 is null and w.organization_id = i.organization_id and lower(w.name) = lower((d.venue_key ->> 1) collate app.people)
            and lower(w.city) = lower((d.venue_key ->> 2) collate app.people) and w.deleted_at is null limit 2)) as w) n
  ),
  read as materialized (
    select g.line, g.v,
      case when coalesce(g.v ->> 'fee', g.v ->> 'fee_minor') is not null then coalesce(upper(g.v ->> 'currency'), o.currency) end as currency,
      coalesce(f.fee_units * 10::numeric ^ c.digits, f.fee_minor) as fee, f.fee_units, f.fee_minor, c.digits,
      app_private.csv_date(g.v ->> 'show_on', i.options ->> 'dates') as show_on,
      app_private.csv_time(g.v ->> 'doors_time') as doors_time, app_private.csv_time(g.v ->> 'start_time') as start_time,
      app_private.csv_time(g.v ->> 'curfew_time') as curfew_time,
      app_private.csv_number(g.v ->> 'capacity', i.options ->> 'decimal') as capacity,
      app_private.csv_number(g.v ->> 'tickets_sold', i.options ->> 'decimal') as tickets_sold,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source,
      n.id as venue_id, n.found, w.may_write_fees
    from given g
    cross join (select app.has_permission('finance.write') as may_write_fees offset 0) w
    cross join lateral (select app_private.csv_number(g.v ->> 'fee', i.options ->> 'decimal') as fee_units,
      app_private.csv_number(g.v ->> 'fee_minor', i.options ->> 'decimal') as fee_minor offset 0) f
    cross join app.organizations o
    cross join lateral (select app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)) as digits offset 0) c
    join named n on n.venue_key = g.venue_key
    where o.id = i.organization_id
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad('', m.v ? '', 'The line has more cells than the header has columns.'),
      -- What.
      app_private.missing('title', m.v ->> 'title', 'A title is required.'),
      app_private.bad_line('title', m.v ->> 'title', 200),
      app_private.missing('artist', m.v ->> 'artist', 'An artist is required.'),
      app_private.bad_line('artist', m.v ->> 'artist', 200),
      app_private.bad_choice('status', lower(m.v ->> 'status'), '{inquiry,hold,offer,confirmed,played,settled,cancelled,postponed}',
        'Must be inquiry, hold, offer, confirmed, played, settled, cancelled or postponed.'),
      app_private.bad_text('notes', m.v ->> 'notes', 10000),
      -- Where.
      app_private.bad('venue', coalesce(m.v ->> 'venue_id', m.v ->> 'venue') is not null and m.found = 0, 'There is no such venue.'),
      app_private.bad('venue', m.found > 1, 'Several venues have this name: add the column city.'),
      -- When.
      app_private.missing('show_on', m.v ->> 'show_on', 'A date is required.'),
      app_private.bad_day('show_on', m.v ->> 'show_on', m.show_on, i.options ->> 'dates'),
      app_private.bad_time('doors_time', m.v ->> 'doors_time', m.doors_time),
      app_private.bad_time('start_time', m.v ->> 'start_time', m.start_time),
      app_private.bad_time('curfew_time', m.v ->> 'curfew_time', m.curfew_time),
      app_private.bad('doors_time', m.doors_time > m.start_time, 'Doors cannot open after the start.'),
      -- Capacity.
      app_private.bad_count('capacity', m.v ->> 'capacity', m.capacity, 1, 'Not a positive whole number.'),
      app_private.bad_count('tickets_sold', m.v ->> 'tickets_sold', m.tickets_sold, 0, 'Not a whole number.'),
      app_private.bad('tickets_sold', m.tickets_sold > m.capacity, 'More tickets are sold than there are places.'),
      -- Fee.
      app_private.bad('fee', coalesce(m.v ->> 'fee', m.v ->> 'fee_minor') is not null and not m.may_write_fees,
        'Entering a fee needs the permission finance.write: leave the column out, or have somebody import it who holds them.'),
      app_private.bad('fee', m.fee_minor <> m.fee, 'fee and fee_minor are not the same.'),
      app_private.bad('fee', coalesce(m.v ->> 'fee', m.v ->> 'fee_minor') is not null
        and (coalesce(m.fee not between 0 and 9007199254740991, true) or m.v ? 'fee' and m.fee_units is null),
        format('Not a number of at least 0 (decimal %s expected).', i.options ->> 'decimal')),
      app_private.bad_amount('fee', coalesce(m.v ->> 'fee', m.v ->> 'fee_minor'), m.fee_units, m.fee_minor, m.currency, m.digits),
      app_private.bad('currency', m.currency is not null and not exists (select from app.currencies c where c.code = m.currency), 'There is no such currency.'),
      -- Source.
      app_private.bad_line('source', m.source, 100),
      app_private.bad_line('external_ref', m.v ->> 'external_ref', 200)
    ], null), '{}')) as problems
    from read m
  )
  select m.line,
    case when m.problems is null then jsonb_build_object('title', m.v ->> 'title', 'artist', m.v ->> 'artist', 'venue_id', m.venue_id, 'show_on', m.show_on,
      'doors_time', m.doors_time, 'start_time', m.start_time, 'curfew_time', m.curfew_time, 'status', coalesce(lower(m.v ->> 'status'), 'inquiry'),
      'capacity', m.capacity::integer, 'tickets_sold', coalesce(m.tickets_sold, 0)::integer, 'fee_minor', m.fee::bigint, 'currency', m.currency, 'notes', m.v ->> 'notes',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    m.problems
  from judged m;
end
$$;
comment on function app_private.check_show_lines(app.imports, jsonb) is 'The data of lines [[line, {column: text}]] of shows, or what is wrong with them.';
alter function app_private.check_show_lines(app.imports, jsonb) owner to callboard_definer;
