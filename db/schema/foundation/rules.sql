-- Rules that several tables share, for their CHECK constraints. NULL passes, as in any constraint. Each is a single expression
-- without settings, so that PostgreSQL can inline it. A role that inserts or updates rows needs EXECUTE.
-- PostgreSQL inlines again for each statement, which costs 5 microseconds per constraint: app.shows and app.finance_records,
-- which are written most often, spell out the conditions.

create or replace function app.is_line(value text, longest integer) returns boolean
language sql immutable parallel safe
return length(value) between 1 and longest and value !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(value) <> '';
comment on function app.is_line(text, integer) is 'Whether a text is a single line: not blank, not too long, and without control characters.';
grant execute on function app.is_line(text, integer) to callboard_api, callboard_definer;

create or replace function app.is_money(minor bigint) returns boolean
language sql immutable parallel safe
return minor between 0 and 9007199254740991;
comment on function app.is_money(bigint) is 'Whether an amount, in the smallest unit of its currency, is 0 to 2^53 - 1, the range in which JSON numbers are exact.';
grant execute on function app.is_money(bigint) to callboard_api, callboard_definer;

create or replace function app.is_day(day date) returns boolean
language sql immutable parallel safe
return day between date '1900-01-01' and date '2199-12-31';
comment on function app.is_day(date) is 'Whether a day lies in the years 1900 to 2199.';
grant execute on function app.is_day(date) to callboard_api, callboard_definer;

create or replace function app.is_rate(basis_points integer) returns boolean
language sql immutable parallel safe
return basis_points between 0 and 10000;
comment on function app.is_rate(integer) is 'Whether a rate in basis points is 0 to 100 %.';
grant execute on function app.is_rate(integer) to callboard_api, callboard_definer;
