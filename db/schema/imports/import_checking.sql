-- Checking the lines of an import: what each says, or what is wrong with it, in the words of the file.
-- The small functions have a standard body and no settings of their own, so that they are inlined: they
-- are called dozens of times for every line.

create or replace function app_private.csv_number(value text, decimal_is text) returns numeric
language sql immutable parallel safe
return case
  -- A group of three is a group of three: 1,5 is no fifteen.
  when decimal_is = 'comma' and value ~ '^[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]{1,18})(,[0-9]{1,10})?$' then replace(replace(value, '.', ''), ',', '.')::numeric
  when decimal_is = 'point' and value ~ '^[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]{1,18})(\.[0-9]{1,10})?$' then replace(value, ',', '')::numeric
end;
comment on function app_private.csv_number(text, text) is 'The number that a text is, with comma or point as its decimal sign and the other one between thousands; NULL if it is none.';
alter function app_private.csv_number(text, text) owner to callboard_definer;

create or replace function app_private.csv_date(value text, order_is text) returns date
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  part text[];
  y integer;
  m integer;
  d integer;
  found date;
begin
  if value ~ '^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}$' then
    part := string_to_array(value, '-');
    y := part[1]; m := part[2]; d := part[3];
  elsif value ~ '^[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}$' then
    part := string_to_array(value, '.');
    y := part[3]; m := part[2]; d := part[1];
  elsif value ~ '^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}$' and order_is in ('dmy', 'mdy') then
    part := string_to_array(value, '/');
    y := part[3];
    m := part[case order_is when 'dmy' then 2 else 1 end]; d := part[case order_is when 'dmy' then 1 else 2 end];
  end if;
  if y is null or y not between 1 and 9999 or m not between 1 and 12 or d not between 1 and 31 then
    return null;
  end if;
  found := make_date(y, m, 1) + (d - 1);
  return case when extract(month from found) = m then found end;
end
$$;
comment on function app_private.csv_date(text, text) is
  'The day that a text is: 2027-03-14, 14.3.2027, or with slashes in the order dmy or mdy; NULL if it is none.';
alter function app_private.csv_date(text, text) owner to callboard_definer;

create or replace function app_private.csv_time(value text) returns time
language sql stable parallel safe
return case when value ~ '^([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' then value::time(0) end;
comment on function app_private.csv_time(text) is 'The time of day that a text is, 19:30; NULL if it is none.';
alter function app_private.csv_time(text) owner to callboard_definer;

create or replace function app_private.csv_uuid(value text) returns uuid
language sql immutable parallel safe
return case when value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then value::uuid end;
comment on function app_private.csv_uuid(text) is 'The id that a text is; NULL if it is none.';
alter function app_private.csv_uuid(text) owner to callboard_definer;

create or replace function app_private.bad(is_bad boolean, in_column text, reason text) returns jsonb
language sql stable parallel safe
return case when is_bad then jsonb_build_object('column', in_column, 'reason', reason) end;
comment on function app_private.bad(boolean, text, text) is 'A problem of a line, if it is one.';
alter function app_private.bad(boolean, text, text) owner to callboard_definer;

create or replace function app_private.is_line(value text, longest integer) returns boolean
language sql immutable parallel safe
return value is null or length(value) <= longest and value !~ '[\u0001-\u001f\u007f-\u009f]';
comment on function app_private.is_line(text, integer) is 'Whether a text is one line of at most so many characters, or nothing.';
alter function app_private.is_line(text, integer) owner to callboard_definer;

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
  read as materialized (
    select g.line, g.v, o.currency as base,
      coalesce(upper(g.v ->> 'currency'), o.currency) as currency,
      coalesce(app_private.csv_number(g.v ->> 'amount', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'amount_minor', i.options ->> 'decimal')) as amount,
      coalesce(app_private.csv_number(g.v ->> 'tax', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'tax_minor', i.options ->> 'decimal')) as tax,
      app_private.csv_number(g.v ->> 'exchange_rate', i.options ->> 'decimal') as rate,
      app_private.csv_date(g.v ->> 'booked_on', i.options ->> 'dates') as booked_on,
      app_private.csv_date(g.v ->> 'due_on', i.options ->> 'dates') as due_on,
      app_private.csv_uuid(g.v ->> 'show_id') as show_id,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source
    from given g, app.organizations o where o.id = i.organization_id
  ),
  meant as materialized (
    select r.*, k.kind, c.id as category_id
    from read r
    -- Without a kind the sign says which it is, as in the statements of banks.
    cross join lateral (select coalesce(lower(r.v ->> 'kind'), case when r.amount < 0 then 'expense' else 'income' end) as kind) k
    left join app.finance_categories c on c.organization_id = i.organization_id and c.kind = k.kind
      and lower(c.name) = lower((r.v ->> 'category') collate app.people) and c.deleted_at is null
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad(m.v ? '', '', 'There are more cells than columns.'),
      app_private.bad(m.booked_on is null or m.booked_on not between date '1900-01-01' and date '2199-12-31', 'booked_on',
        case when m.v ->> 'booked_on' is null then 'There must be a day.' else 'It is no day between 1900 and 2199: write 2027-03-14.' end),
      app_private.bad(exists (select from app.finance_periods f where f.organization_id = i.organization_id and f.month = date_trunc('month', m.booked_on)::date),
        'booked_on', 'The books of this month are closed.'),
      app_private.bad(m.v ->> 'due_on' is not null and (m.due_on is null or m.due_on not between date '1900-01-01' and date '2199-12-31'), 'due_on',
        'It is no day between 1900 and 2199: write 2027-03-14.'),
      app_private.bad(m.kind not in ('income', 'expense'), 'kind', 'It is income or expense.'),
      app_private.bad(m.category_id is null and m.kind in ('income', 'expense'), 'category', case when m.v ->> 'category' is null then 'There must be a category.'
        else format('There is no category of this name for %s.', m.kind) end),
      app_private.bad(m.amount is null, 'amount', case when coalesce(m.v ->> 'amount', m.v ->> 'amount_minor') is null then 'There must be an amount.'
        else format('It is no number with a decimal %s.', i.options ->> 'decimal') end),
      app_private.bad(m.amount <> trunc(m.amount), 'amount', format('%s has %s decimals.', m.currency, app.minor_digits(m.currency))),
      app_private.bad(abs(m.amount) > 9007199254740991, 'amount', 'It is too large.'),
      app_private.bad(m.amount < 0 and m.v ->> 'kind' is not null, 'amount', 'It is negative: the kind says in which direction money goes.'),
      app_private.bad(coalesce(m.v ->> 'tax', m.v ->> 'tax_minor') is not null and (m.tax is null or m.tax <> trunc(m.tax) or abs(m.tax) > abs(m.amount)), 'tax',
        'It is no part of the amount.'),
      app_private.bad(not exists (select from app.currencies c where c.code = m.currency), 'currency', 'There is no such currency.'),
      app_private.bad(m.v ->> 'exchange_rate' is not null and coalesce(m.rate <= 0 or m.rate > 1000000000, true), 'exchange_rate', 'It is no positive number.'),
      app_private.bad(m.currency <> m.base and m.v ->> 'exchange_rate' is null, 'exchange_rate', format('An amount in %s needs its rate to %s.', m.currency, m.base)),
      app_private.bad(m.currency = m.base and m.rate <> 1, 'exchange_rate', 'The rate of a currency to itself is 1.'),
      app_private.bad(app.convert_minor(least(abs(m.amount), 9007199254740991)::bigint, m.rate, m.currency, m.base) > 9007199254740991, 'exchange_rate',
        format('The amount is too large in %s.', m.base)),
      app_private.bad(lower(m.v ->> 'status') not in ('planned', 'committed', 'actual', 'void'), 'status', 'It is planned, committed, actual or void.'),
      app_private.bad(lower(m.v ->> 'payment_status') not in ('unpaid', 'partly_paid', 'paid', 'refunded'), 'payment_status',
        'It is unpaid, partly_paid, paid or refunded.'),
      app_private.bad(m.v ->> 'show_id' is not null and not exists (select from app.shows s
        where s.organization_id = i.organization_id and s.id = m.show_id and s.deleted_at is null), 'show_id', 'There is no such show.'),
      app_private.bad(not app_private.is_line(m.v ->> 'counterparty', 200), 'counterparty', 'It is longer than 200 characters, or has control characters.'),
      app_private.bad(length(m.v ->> 'note') > 10000, 'note', 'It is longer than 10000 characters.'),
      app_private.bad(not app_private.is_line(m.source, 100), 'source', 'It is longer than 100 characters, or has control characters.'),
      app_private.bad(not app_private.is_line(m.v ->> 'external_ref', 200), 'external_ref', 'It is longer than 200 characters, or has control characters.')
    ], null), '{}')) as problems
    from meant m
  )
  select m.line,
    case when m.problems is null then jsonb_build_object('kind', m.kind, 'category_id', m.category_id, 'show_id', m.show_id,
      'booked_on', m.booked_on, 'due_on', m.due_on, 'amount_minor', abs(m.amount)::bigint, 'tax_minor', coalesce(abs(m.tax)::bigint, 0),
      'currency', m.currency, 'exchange_rate', coalesce(m.rate, 1), 'base_currency', m.base,
      'status', coalesce(lower(m.v ->> 'status'), 'actual'), 'payment_status', coalesce(lower(m.v ->> 'payment_status'), 'unpaid'),
      'counterparty', m.v ->> 'counterparty', 'note', m.v ->> 'note',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    m.problems
  from judged m;
end
$$;
comment on function app_private.check_finance_lines(app.imports, jsonb) is 'What lines [[line, {column: text}]] of finance records say, or what is wrong with them.';
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
    select (x.value ->> 0)::integer as line, x.value -> 1 as v from jsonb_array_elements(lines) as x
  ),
  read as materialized (
    select g.line, g.v,
      case when coalesce(g.v ->> 'fee', g.v ->> 'fee_minor') is not null then coalesce(upper(g.v ->> 'currency'), o.currency) end as currency,
      coalesce(app_private.csv_number(g.v ->> 'fee', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'fee_minor', i.options ->> 'decimal')) as fee,
      app_private.csv_date(g.v ->> 'show_on', i.options ->> 'dates') as show_on,
      app_private.csv_time(g.v ->> 'doors_time') as doors_time, app_private.csv_time(g.v ->> 'start_time') as start_time,
      app_private.csv_time(g.v ->> 'curfew_time') as curfew_time,
      app_private.csv_number(g.v ->> 'capacity', i.options ->> 'decimal') as capacity,
      app_private.csv_number(g.v ->> 'tickets_sold', i.options ->> 'decimal') as tickets_sold,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source,
      n.id as venue_id, n.found
    from given g
    cross join app.organizations o
    cross join lateral (
      select (array_agg(w.id))[1] as id, count(*) as found from app.venues w
      where w.organization_id = i.organization_id and w.deleted_at is null
        and case when g.v ->> 'venue_id' is not null then w.id = app_private.csv_uuid(g.v ->> 'venue_id')
          else lower(w.name) = lower((g.v ->> 'venue') collate app.people) and (g.v ->> 'city' is null or lower(w.city) = lower((g.v ->> 'city') collate app.people)) end) n
    where o.id = i.organization_id
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad(m.v ? '', '', 'There are more cells than columns.'),
      app_private.bad(m.v ->> 'title' is null, 'title', 'There must be a title.'),
      app_private.bad(not app_private.is_line(m.v ->> 'title', 200), 'title', 'It is longer than 200 characters, or has control characters.'),
      app_private.bad(m.v ->> 'artist' is null, 'artist', 'There must be an artist.'),
      app_private.bad(not app_private.is_line(m.v ->> 'artist', 200), 'artist', 'It is longer than 200 characters, or has control characters.'),
      app_private.bad(coalesce(m.v ->> 'venue_id', m.v ->> 'venue') is not null and m.found = 0, 'venue', 'There is no such venue.'),
      app_private.bad(m.found > 1, 'venue', 'There are several venues of this name: add the column city.'),
      app_private.bad(m.show_on is null or m.show_on not between date '1900-01-01' and date '2199-12-31', 'show_on',
        case when m.v ->> 'show_on' is null then 'There must be a day.' else 'It is no day between 1900 and 2199: write 2027-03-14.' end),
      app_private.bad(m.v ->> 'doors_time' is not null and m.doors_time is null, 'doors_time', 'It is no time: write 19:30.'),
      app_private.bad(m.v ->> 'start_time' is not null and m.start_time is null, 'start_time', 'It is no time: write 19:30.'),
      app_private.bad(m.v ->> 'curfew_time' is not null and m.curfew_time is null, 'curfew_time', 'It is no time: write 19:30.'),
      app_private.bad(m.doors_time > m.start_time, 'doors_time', 'Doors cannot open after the start.'),
      app_private.bad(lower(m.v ->> 'status') not in ('inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed'), 'status',
        'It is inquiry, hold, offer, confirmed, played, settled, cancelled or postponed.'),
      app_private.bad(m.v ->> 'capacity' is not null and coalesce(m.capacity not between 1 and 2147483647 or m.capacity <> trunc(m.capacity), true), 'capacity',
        'It is no positive whole number.'),
      app_private.bad(m.v ->> 'tickets_sold' is not null and coalesce(m.tickets_sold not between 0 and 2147483647 or m.tickets_sold <> trunc(m.tickets_sold), true),
        'tickets_sold', 'It is no whole number.'),
      app_private.bad(m.tickets_sold > m.capacity, 'tickets_sold', 'More tickets are sold than there are places.'),
      app_private.bad(coalesce(m.v ->> 'fee', m.v ->> 'fee_minor') is not null and coalesce(m.fee not between 0 and 9007199254740991, true), 'fee',
        format('It is no number with a decimal %s that is not negative.', i.options ->> 'decimal')),
      app_private.bad(m.fee <> trunc(m.fee), 'fee', format('%s has %s decimals.', m.currency, app.minor_digits(m.currency))),
      app_private.bad(m.currency !~ '^[A-Z]{3}$', 'currency', 'It is no ISO 4217 code.'),
      app_private.bad(length(m.v ->> 'notes') > 10000, 'notes', 'It is longer than 10000 characters.'),
      app_private.bad(not app_private.is_line(m.source, 100), 'source', 'It is longer than 100 characters, or has control characters.'),
      app_private.bad(not app_private.is_line(m.v ->> 'external_ref', 200), 'external_ref', 'It is longer than 200 characters, or has control characters.')
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
comment on function app_private.check_show_lines(app.imports, jsonb) is 'What lines [[line, {column: text}]] of shows say, or what is wrong with them.';
alter function app_private.check_show_lines(app.imports, jsonb) owner to callboard_definer;
