-- The cells of an import: numbers, dates, times and ids as people and programs write them.
-- The small functions have a standard SQL body and no settings of their own, so that they are inlined: they
-- are called dozens of times per line.

create or replace function app_private.csv_written_number(value text, decimal_is text) returns numeric
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  -- Blanks of all widths, apostrophes as in Switzerland, and a minus as typesetters have it.
  plain constant text := translate(btrim(value), E' \u00a0\u2007\u2008\u2009\u202f''\u2019\u2212', '________-');
  part constant text[] := regexp_match(plain,
    '^(\()?_*([+-])?_*(?:[A-Z]{3}|(?:US|CA|C|AU|A|NZ|HK|S|R)?[$]|€|£|¥|₹|₩|zł|Fr\.|kr\.?)?_*([+-])?_*([0-9](?:[0-9._,]*[0-9])?)_*(?:[A-Z]{3}|(?:US|CA|C|AU|A|NZ|HK|S|R)?[$]|€|£|¥|₹|₩|zł|Fr\.|kr\.?)?_*([+-])?_*(\))?$');
  -- Accountants set what is negative in brackets.
  is_in_brackets constant boolean := part[1] is not null and part[6] is not null;
  sign constant text := concat(part[2], part[3], part[5]);
  digits constant text := part[4];
begin
  if digits is null or (part[1] is null) <> (part[6] is null) or length(sign) > 1 or is_in_brackets and sign <> ''
    or digits like '%\_%' and digits !~ '^[0-9]{1,3}(_[0-9]{3})+([.,][0-9]{1,10})?$'
  then
    return null;
  end if;
  return app_private.csv_number(case when is_in_brackets then '-' else sign end || replace(digits, '_', ''), decimal_is);
end
$$;
comment on function app_private.csv_written_number(text, text) is
  'Parses a number as people write it: with a currency on either side, with blanks or apostrophes between thousands, in brackets or with the minus at its end if it is negative; NULL if it is not a number.';
alter function app_private.csv_written_number(text, text) owner to callboard_definer;

create or replace function app_private.csv_number(value text, decimal_is text) returns numeric
language sql immutable parallel safe
return case
  -- A group has exactly three digits: 1,5 is not fifteen.
  when decimal_is = 'comma' and value ~ '^[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]{1,18})(,[0-9]{1,10})?$' then replace(replace(value, '.', ''), ',', '.')::numeric
  when decimal_is = 'point' and value ~ '^[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]{1,18})(\.[0-9]{1,10})?$' then replace(value, ',', '')::numeric
  -- Few are, and this is slower.
  when value ~ '[^0-9.,+-]|[0-9]-$' then app_private.csv_written_number(value, decimal_is)
end;
comment on function app_private.csv_number(text, text) is 'Parses a number with comma or point as the decimal separator and the other one between thousands, or as app_private.csv_written_number does; NULL if it is not a number.';
alter function app_private.csv_number(text, text) owner to callboard_definer;

create or replace function app_private.names_other_currency(value text, currency text) returns boolean
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  mark constant text := (regexp_match(value, '[A-Z]{3}|[A-Z]{0,2}[$]|€|£|¥|₹|₩|zł|Fr\.|kr'))[1];
begin
  return case
    when mark ~ '^[A-Z]{3}$' then mark <> currency
    when mark = chr(36) then currency !~ '^(USD|CAD|AUD|NZD|HKD|SGD|TWD|MXN|ARS|CLP|COP|BBD|BMD|BSD|BZD|FJD|GYD|JMD|KYD|LRD|NAD|SBD|SRD|TTD|XCD)$'
    when right(mark, 1) = chr(36) then currency <> case left(mark, -1) when 'US' then 'USD' when 'C' then 'CAD' when 'CA' then 'CAD' when 'A' then 'AUD' when 'AU' then 'AUD'
      when 'NZ' then 'NZD' when 'HK' then 'HKD' when 'S' then 'SGD' when 'R' then 'BRL' else '' end
    when mark = '£' then currency !~ '^(GBP|GIP|FKP|SHP|EGP|LBP|SYP|SDG|SSP)$'
    when mark = '¥' then currency not in ('JPY', 'CNY')
    when mark = 'kr' then currency not in ('SEK', 'NOK', 'DKK', 'ISK')
    when mark = 'Fr.' then currency !~ '^(CHF|XAF|XOF|XPF)$'
    else currency <> case mark when '€' then 'EUR' when '₹' then 'INR' when '₩' then 'KRW' when 'zł' then 'PLN' end
  end is true;
end
$$;
comment on function app_private.names_other_currency(text, text) is 'Whether an amount is written with the sign or the code of another currency.';
alter function app_private.names_other_currency(text, text) owner to callboard_definer;

create or replace function app_private.csv_month(value text) returns integer
language sql immutable parallel safe
set search_path = ''
begin atomic
  select x.n::integer from unnest('{january,february,march,april,may,june,july,august,september,october,november,december}'::text[]) with ordinality as x (month, n)
  where length(value) >= 3 and starts_with(x.month, lower(value));
end;
comment on function app_private.csv_month(text) is 'Which month has this English name, or one that begins with it; NULL for none. Of other languages, some begin alike and mean another one.';
alter function app_private.csv_month(text) owner to callboard_definer;

create or replace function app_private.csv_date(value text, order_is text) returns date
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  -- 23:00 elsewhere may be another day here: then it is bad.
  day_only constant text := case when strpos(value, ':') > 0 then regexp_replace(value, '[T ]+([0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?[AaPp][Mm])?|0?0:00(:00([.,]0+)?)?(Z|[+-][0-9]{2}:?[0-9]{2}))$', '') else value end;
  part text[];
  y integer;
  m integer;
  d integer;
  found date;
begin
  -- Most are like this, and a reference back to a sign is slow.
  if day_only ~ '^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}$' then
    part := string_to_array(day_only, '-');
    y := part[1]; m := part[2]; d := part[3];
  elsif day_only ~ '^[0-9]{4}([/.])[0-9]{1,2}\1[0-9]{1,2}$' then
    part := regexp_split_to_array(day_only, '[/.]');
    y := part[1]; m := part[2]; d := part[3];
  elsif day_only ~ '^[0-9]{8}$' then
    y := left(day_only, 4); m := substr(day_only, 5, 2); d := right(day_only, 2);
  elsif day_only ~ '^[0-9]{1,2}\. ?[0-9]{1,2}\. ?[0-9]{4}$' then
    part := string_to_array(day_only, '.');
    y := part[3]; m := part[2]; d := part[1];
    -- Where months come first, they may here, too.
    if order_is = 'mdy' and d <= 12 and d <> m then
      return null;
    end if;
  elsif day_only ~ '^[0-9]{1,2}([/-])[0-9]{1,2}\1[0-9]{4}$' and order_is in ('dmy', 'mdy') then
    part := regexp_split_to_array(day_only, '[/-]');
    y := part[3];
    m := part[case order_is when 'dmy' then 2 else 1 end]; d := part[case order_is when 'dmy' then 1 else 2 end];
  elsif day_only ~* '^[0-9]{1,2}(st|nd|rd|th)?[ -]+[a-z]{3,9}\.?[ ,-]+[0-9]{4}$' then
    part := regexp_match(day_only, '^([0-9]+)[a-z]*[ -]+([a-z]+)\.?[ ,-]+([0-9]{4})$', 'i');
    d := part[1]; y := part[3];
    m := app_private.csv_month(part[2]);
  elsif day_only ~* '^[a-z]{3,9}\.? +[0-9]{1,2}(st|nd|rd|th)?,? +[0-9]{4}$' then
    part := regexp_match(day_only, '^([a-z]+)\.? +([0-9]+)[a-z]*,? +([0-9]{4})$', 'i');
    d := part[2]; y := part[3];
    m := app_private.csv_month(part[1]);
  end if;
  if y is null or m is null or y not between 1 and 9999 or m not between 1 and 12 or d not between 1 and 31 then
    return null;
  end if;
  found := make_date(y, m, 1) + (d - 1);
  return case when extract(month from found) = m then found end;
end
$$;
comment on function app_private.csv_date(text, text) is
  'Parses a date, also one with a time behind it: 2027-03-14, 20270314, 14.3.2027, 14 March 2027, March 14, 2027, or with slashes or dashes in the order dmy or mdy; NULL if it is not a date.';
alter function app_private.csv_date(text, text) owner to callboard_definer;

create or replace function app_private.csv_time(value text) returns time
language sql stable parallel safe
return case when value ~ '^([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' then value::time(0) end;
comment on function app_private.csv_time(text) is 'Parses a time of day such as 19:30; NULL if it is not one.';
alter function app_private.csv_time(text) owner to callboard_definer;

create or replace function app_private.csv_uuid(value text) returns uuid
language sql immutable parallel safe
return case when value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then value::uuid end;
comment on function app_private.csv_uuid(text) is 'Parses a UUID; NULL if it is not one.';
alter function app_private.csv_uuid(text) owner to callboard_definer;
