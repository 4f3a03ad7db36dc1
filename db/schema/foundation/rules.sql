-- Rules that several tables share, for their CHECK constraints. NULL passes, as in any constraint. Each is a single expression
-- without settings, so that PostgreSQL can inline it. A role that inserts or updates rows needs EXECUTE.
-- PostgreSQL inlines again for each statement, which costs 5 microseconds per constraint: app.shows and app.finance_records,
-- which are written most often, spell out the conditions.

-- Spaces, and what Unicode lets programs ignore: joiners, marks of direction, variation selectors, fillers, tags.
create or replace function app.is_visible(value text) returns boolean
language sql immutable parallel safe
return value ~ '[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]';
comment on function app.is_visible(text) is 'Whether a text shows anything: one of spaces, or of characters of no width, does not.';
grant execute on function app.is_visible(text) to callboard_api, callboard_definer;

-- Not BETWEEN: a dump prints it otherwise than it was parsed, which would look like a change.
create or replace function app.is_line(value text, longest integer) returns boolean
language sql immutable parallel safe
return length(value) >= 1 and length(value) <= longest and value !~ '[\u0001-\u001f\u007f-\u009f]' and app.is_visible(value);
comment on function app.is_line(text, integer) is 'Whether a text is a single line: visible, not too long, and without control characters.';
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

create or replace function app.is_percentage(value numeric) returns boolean
language sql immutable parallel safe
return coalesce(value >= 0 and value <= 100 and scale(value) <= 6, true);
comment on function app.is_percentage(numeric) is 'Whether a rate in percent is 0 to 100, with up to six decimals; NULL is.';
grant execute on function app.is_percentage(numeric) to callboard_api, callboard_definer;
