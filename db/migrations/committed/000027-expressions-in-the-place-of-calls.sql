--! Previous: sha1:60db8024781f4f5400ca05b96467abed2456039a
--! Hash: sha1:c7ccdf642f7f8daaeedd7c3fa8466c4652ca0205
--! Message: expressions in the place of calls

-- What is one expression and makes JSON is put in the place of its call again.

--! Included helpers.sql
-- Small functions that know nothing of tenants.

create or replace function app.uuid_v7() returns uuid
language sql volatile parallel safe
return encode(
  set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid())
      placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1),
  'hex')::uuid;
comment on function app.uuid_v7() is
  'A new UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. Keys made together lie together in the index.';
revoke execute on function app.uuid_v7() from public;
grant execute on function app.uuid_v7() to callboard_api, callboard_definer;

create or replace function app_private.random_token() returns text
language sql volatile parallel safe
set search_path = ''
return replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
comment on function app_private.random_token() is
  'A secret of 64 hexadecimal digits (244 random bits) for a link in a mail.';
revoke execute on function app_private.random_token() from public;
grant execute on function app_private.random_token() to callboard_definer;

create or replace function app_private.digest(secret text) returns bytea
language sql stable strict parallel safe
return sha256(convert_to(secret, 'UTF8'));
comment on function app_private.digest(text) is
  'What is stored of a random secret: its SHA-256. Enough for 200 random bits; never used for passwords.';
revoke execute on function app_private.digest(text) from public;
grant execute on function app_private.digest(text) to callboard_definer;

create or replace function app.is_time_zone(name text) returns boolean
language plpgsql stable strict parallel safe
set search_path = ''
as $$
begin
  -- Only names of the time zone database: PostgreSQL itself would also take 'XYZ+3' and 'Any/Thing+3'.
  return name ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT([+-]?0|\+([1-9]|1[0-2])|-([1-9]|1[0-4])))$'
    and (now() at time zone name) is not null;
exception when invalid_parameter_value then
  return false;
end
$$;
comment on function app.is_time_zone(text) is 'True for a name of the IANA time zone database, such as Europe/Berlin.';
revoke execute on function app.is_time_zone(text) from public;
grant execute on function app.is_time_zone(text) to callboard_api, callboard_definer;

create or replace function app_private.tg__100_timestamps() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := statement_timestamp();
  new.version := old.version + 1;
  return new;
end
$$;
comment on function app_private.tg__100_timestamps() is
  'Before update: moves updated_at and counts version, which is the ETag.';
revoke execute on function app_private.tg__100_timestamps() from public;

create or replace function app.refuse(status integer, problem text, detail text default null) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'PT' || status, message = problem, detail = coalesce(detail, '');
end
$$;
comment on function app.refuse(integer, text, text) is
  'Raises a problem: HTTP status, its name (see src/problems.ts, which has a sentence for each) and what more there is to say in this case.';
revoke execute on function app.refuse(integer, text, text) from public;
grant execute on function app.refuse(integer, text, text) to callboard_api, callboard_definer;

-- What a function for a route returns; the API sends `body` as it is.
do $$
begin
  if to_regtype('app.answer') is null then
    create type app.answer as (status integer, body json, etag text, location text);
  end if;
end
$$;
comment on type app.answer is
  'An HTTP answer: status (null = 200), body, the row''s version as ETag, the path of what was created.';

create or replace function app.refusal(status integer, problem text, detail text default null) returns app.answer
language sql immutable
set search_path = ''
return (status, json_build_object('problem', problem, 'detail', coalesce(detail, '')), null, null)::app.answer;
comment on function app.refusal(integer, text, text) is
  'A refusal as an answer, for one that must be committed: raising it with app.refuse would undo what was written.';
revoke execute on function app.refusal(integer, text, text) from public;
grant execute on function app.refusal(integer, text, text) to callboard_definer;

create or replace function app.etag(version integer) returns text
language sql immutable parallel safe
return '"' || version::text || '"';
comment on function app.etag(integer) is 'The ETag of a row version (RFC 9110, strong).';
revoke execute on function app.etag(integer) from public;
grant execute on function app.etag(integer) to callboard_api, callboard_definer;

create or replace function app.matches(version integer, if_match text) returns boolean
language sql immutable parallel safe
return if_match is null or if_match = '*'
  or app.etag(version) = any (string_to_array(replace(if_match, ' ', ''), ','));
comment on function app.matches(integer, text) is 'Whether an If-Match header (a list of ETags, * or null) allows this version.';
revoke execute on function app.matches(integer, text) from public;
grant execute on function app.matches(integer, text) to callboard_api, callboard_definer;

create or replace function app.in_bin(body json, deleted_at timestamptz, deleted_by uuid) returns json
language sql stable parallel safe
return case when deleted_at is null then body
  else (body::jsonb || jsonb_build_object('deleted_at', deleted_at, 'deleted_by', deleted_by))::json end;
comment on function app.in_bin(json, timestamptz, uuid) is 'The JSON of a row, and if it is in the bin also since when and who put it there.';
revoke execute on function app.in_bin(json, timestamptz, uuid) from public;
grant execute on function app.in_bin(json, timestamptz, uuid) to callboard_api, callboard_definer;

create or replace function app.check_version(version integer, if_match text) returns void
language plpgsql stable
set search_path = ''
as $$
begin
  if version is null then
    perform app.refuse(404, 'not_found');
  elsif not app.matches(version, if_match) then
    perform app.refuse(412, 'version_mismatch');
  end if;
end
$$;
comment on function app.check_version(integer, text) is
  'PT404 not_found if there is no version (the row is not visible), PT412 version_mismatch if If-Match does not allow it.';
revoke execute on function app.check_version(integer, text) from public;
grant execute on function app.check_version(integer, text) to callboard_api, callboard_definer;
--! EndIncluded helpers.sql
--! Included event_triggers.sql
-- How changes of tables become events. A table takes part with one line,
--
--   select app_private.log_changes('app.shows', 'show');
--
-- and one that does not is named, with the reason, in test/events/not-logged.ts.

create or replace function app_private.loggable(of_row jsonb, hidden text) returns jsonb
language sql stable parallel safe
return case hidden when '{}' then of_row - '{organization_id,id,created_at,created_by,updated_at,version,deleted_by}'::text[]
  else of_row - '{organization_id,id,created_at,created_by,updated_at,version,deleted_by}'::text[] - hidden::text[] end;
comment on function app_private.loggable(jsonb, text) is 'A row without what its event says anyway, and without the columns of a list.';
alter function app_private.loggable(jsonb, text) owner to callboard_definer;
revoke execute on function app_private.loggable(jsonb, text) from public;

create or replace function app_private.diff(before jsonb, after jsonb) returns jsonb
language plpgsql immutable parallel safe
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('old', jsonb_object_agg(a.key, before -> a.key), 'new', jsonb_object_agg(a.key, a.value))
    from jsonb_each(after) a where a.value is distinct from before -> a.key
    having count(*) > 0);
end
$$;
comment on function app_private.diff(jsonb, jsonb) is 'The columns in which two versions of a row differ, old and new; NULL if there is none.';
alter function app_private.diff(jsonb, jsonb) owner to callboard_definer;
revoke execute on function app_private.diff(jsonb, jsonb) from public;

-- Runs with every change, so it has few and small expressions: PostgreSQL prepares each anew in every transaction.
create or replace function app_private.tg__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  -- The arguments are those that app_private.log_changes gives: resource, column of its id, column of
  -- its organization, verbs, columns to leave out.
  present jsonb := to_jsonb(coalesce(new, old));
  changes jsonb;
  verb text := 'create';
begin
  if tg_op = 'INSERT' then
    changes := jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(present, tg_argv[4])));
  elsif tg_op = 'UPDATE' then
    changes := app_private.diff(app_private.loggable(to_jsonb(old), tg_argv[4]), app_private.loggable(present, tg_argv[4]));
    if changes is null then
      return null;
    elsif changes -> 'new' ? 'deleted_at' then
      verb := case when present ->> 'deleted_at' is null then 'restore' else 'delete' end;
    else
      verb := coalesce((select v.key from jsonb_each(tg_argv[3]::jsonb) v where changes -> 'new' ? v.key limit 1), 'update');
    end if;
  else
    -- What was marked before is purged now, with what goes along, and its values are to be gone. What is never marked is taken back.
    if present ->> 'deleted_at' is not null or current_setting('app.role', true) = 'purge' and app_private.is_genuine() then
      verb := 'purge';
    else
      verb := 'delete';
      if not present ? 'deleted_at' then
        changes := jsonb_build_object('old', jsonb_strip_nulls(app_private.loggable(present, tg_argv[4])));
      end if;
    end if;
  end if;
  if tg_argv[3] <> '{}' then
    verb := coalesce(tg_argv[3]::jsonb ->> verb, verb);
  end if;
  -- A statement may change the context while it is at work: what has lost its own by the end is not done.
  if app_private.is_genuine() and current_setting('app.current_org') = present ->> tg_argv[2] and current_setting('app.user_id') <> '' then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    values ((present ->> tg_argv[2])::uuid, current_setting('app.user_id')::uuid, current_setting('app.session_id')::uuid,
      (present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[0] || '.' || verb, tg_argv[0],
      nullif(current_setting('app.request_id'), ''), nullif(current_setting('app.ip'), '')::inet, changes);
  elsif app_private.is_trusted() then
    perform app_private.log_event((present ->> tg_argv[2])::uuid, tg_argv[0] || '.' || verb, tg_argv[0], (present ->> tg_argv[1])::uuid, changes);
  else
    perform app.refuse(403, 'permission_denied', 'The context was lost on the way.');
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_event() is 'Writes what was done to a row into the event log. PT403 if a login has no context of the row''s organization any more.';
alter function app_private.tg__900_event() owner to callboard_definer;
revoke execute on function app_private.tg__900_event() from public;

create or replace function app_private.log_changes(on_table regclass, resource text, verbs jsonb default '{}', id_column text default 'id') returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  organization_column text := case when on_table = to_regclass('app.organizations') then 'id' else 'organization_id' end;
  -- What is bytes is a hash or a key.
  hidden text[] := array(
    select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = on_table and (a.atttypid = 'bytea'::regtype or a.attname = id_column and id_column <> 'id') and not a.attisdropped
    order by a.attname);
begin
  execute format('create or replace trigger _900_event after insert or update or delete on %s
    for each row execute function app_private.tg__900_event(%L, %L, %L, %L, %L)',
    on_table, resource, id_column, organization_column, verbs, hidden);
end
$$;
comment on function app_private.log_changes(regclass, text, jsonb, text) is
  'Has every change of the table''s rows logged as <resource>.create, update, delete, restore or purge. verbs gives others, by these names or by the column whose change it is: {"role": "change_role"}. To be called again when the table gets a column of bytes.';
revoke execute on function app_private.log_changes(regclass, text, jsonb, text) from public;
--! EndIncluded event_triggers.sql
--! Included finance_figures.sql
-- Money by period, as the API answers it.

create or replace function app.today() returns date
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select (now() at time zone o.time_zone)::date from app.organizations o where o.id = (select app.current_org()));
end
$$;
comment on function app.today() is 'What day it is where the organization of this transaction is.';
alter function app.today() owner to callboard_definer;
revoke execute on function app.today() from public;
grant execute on function app.today() to callboard_api;

create or replace function app.profit_and_loss(income numeric, expense numeric, records numeric) returns json
language sql stable parallel safe
return json_build_object('income_minor', coalesce(income, 0), 'expense_minor', coalesce(expense, 0),
  'profit_minor', coalesce(income, 0) - coalesce(expense, 0), 'records', coalesce(records, 0));
comment on function app.profit_and_loss(numeric, numeric, numeric) is 'Income, expenses and what is left, as JSON; null counts as nothing.';
revoke execute on function app.profit_and_loss(numeric, numeric, numeric) from public;
grant execute on function app.profit_and_loss(numeric, numeric, numeric) to callboard_api;

create or replace function app.profit(income numeric, expense numeric) returns json
language sql stable parallel safe
return json_build_object('income_minor', income, 'expense_minor', expense, 'profit_minor', income - expense);
comment on function app.profit(numeric, numeric) is 'Income, expenses and what is left, as JSON.';
revoke execute on function app.profit(numeric, numeric) from public;
grant execute on function app.profit(numeric, numeric) to callboard_api;

create or replace function app.figure_months(from_on date, to_on date, out since date, out until date)
language plpgsql stable
set search_path = ''
as $$
begin
  -- This year's if nothing is said.
  since := date_trunc('month', coalesce(from_on, date_trunc('year', coalesce(to_on, app.today())::timestamp)::date)::timestamp);
  until := date_trunc('month', coalesce(to_on, (date_trunc('year', since::timestamp) + interval '11 months')::date)::timestamp);
  if until < since or until >= since + interval '10 years' then
    perform app.refuse(422, 'analytics_range', 'The last month is not before the first, and less than ten years behind it.');
  end if;
end
$$;
comment on function app.figure_months(date, date) is
  'The first days of the months from that of one day (January) to that of another (December of the same year). PT422 analytics_range.';
revoke execute on function app.figure_months(date, date) from public;
grant execute on function app.figure_months(date, date) to callboard_api;

create or replace function app.figures(rollups text[], since date, until date, period text, items json) returns app.answer
language sql stable
set search_path = ''
return (
  select (null, case when period is null
      then json_build_object('as_of', f.as_of, 'is_current', f.is_current, 'from', since, 'to', m.last_on, 'items', coalesce(items, '[]'))
      else json_build_object('as_of', f.as_of, 'is_current', f.is_current, 'period', period, 'from', since, 'to', m.last_on, 'items', coalesce(items, '[]')) end,
    null, null)::app.answer
  from app.freshness(variadic rollups) f, lateral (select (until + interval '1 month' - interval '1 day')::date as last_on) m);
comment on function app.figures(text[], date, date, text, json) is
  'The answer with figures of these materialized views: of when they are, of which months (with period: by what), and the figures.';
revoke execute on function app.figures(text[], date, date, text, json) from public;
grant execute on function app.figures(text[], date, date, text, json) to callboard_api;

create or replace function app.finance_figures(period text, from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('period_on', p.period_on, 'currency', p.currency,
    'planned', p.planned, 'committed', p.committed, 'actual', p.actual) order by p.period_on, p.currency) into items
  from (
    select m.period_on, m.currency,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned')) as planned,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed')) as committed,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as actual
    from (
      select date_trunc(period, f.month::timestamp)::date as period_on, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_month f
      where f.month between months.since and months.until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2) p;
  return app.figures('{finance_by_month}', months.since, months.until, period, items);
end
$$;
comment on function app.finance_figures(text, date, date, text) is
  'Income, expenses and profit by month, quarter or year, in one currency or, without it, all in the base currency; of whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
revoke execute on function app.finance_figures(text, date, date, text) from public;
grant execute on function app.finance_figures(text, date, date, text) to callboard_api;

create or replace function app.category_figures(from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('category_id', c.category_id, 'category', c.category, 'kind', c.kind, 'currency', c.currency,
    'planned_minor', coalesce(c.planned, 0), 'committed_minor', coalesce(c.committed, 0), 'actual_minor', coalesce(c.actual, 0), 'records', c.records)
    order by c.kind, c.category, c.category_id, c.currency) into items
  from (
    select m.category_id, m.category, m.kind, m.currency, sum(m.records) as records, sum(m.amount) filter (where m.status = 'planned') as planned,
      sum(m.amount) filter (where m.status = 'committed') as committed, sum(m.amount) filter (where m.status = 'actual') as actual
    from (
      select f.category_id, f.category, f.kind, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_amount_minor else f.amount_minor end as amount
      from analytics.finance_by_category f
      where f.month between months.since and months.until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2, 3, 4) c;
  return app.figures('{finance_by_category}', months.since, months.until, null, items);
end
$$;
comment on function app.category_figures(date, date, text) is
  'What was booked by category, in one currency or, without it, all in the base currency; of whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
revoke execute on function app.category_figures(date, date, text) from public;
grant execute on function app.category_figures(date, date, text) to callboard_api;

create or replace function app.show_profits(from_on date default null, to_on date default null, in_currency text default null, at_most integer default 50) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read'), app.require('shows.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('show_id', p.show_id, 'show_on', p.show_on, 'title', p.title, 'artist', p.artist, 'status', p.show_status,
    'currency', p.currency, 'planned', p.planned, 'committed', p.committed, 'actual', p.actual) order by p.show_on desc, p.show_id, p.currency) into items
  from (
    select m.show_on, m.show_id, m.title, m.artist, m.show_status, m.currency,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned')) as planned,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed')) as committed,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as actual
    from (
      select f.show_on, f.show_id, f.title, f.artist, f.show_status, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_show f
      where f.show_on between months.since and (months.until + interval '1 month' - interval '1 day')::date
        and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2, 3, 4, 5, 6
    order by 1 desc, 2, 6 limit at_most) p;
  return app.figures('{finance_by_show}', months.since, months.until, null, items);
end
$$;
comment on function app.show_profits(date, date, text, integer) is
  'Profit and loss of shows, the latest first, in one currency or, without it, all in the base currency; of shows in whole months. PT403 without analytics.read, finance.read and shows.read, PT422 analytics_range.';
revoke execute on function app.show_profits(date, date, text, integer) from public;
grant execute on function app.show_profits(date, date, text, integer) to callboard_api;
--! EndIncluded finance_figures.sql
--! Included use_figures.sql
-- How the use of the API and of integrations is shown: from the sums themselves (use.sql), which need
-- no refreshing.

create or replace view analytics.api_use_by_day with (security_barrier = true) as
  select u.day, u.operation, u.calls, u.errors, u.server_errors, u.total_us, u.slowest_us, u.within_10_ms, u.within_100_ms, u.within_1_s,
    u.bytes_in, u.bytes_out, now() - interval '1 minute' as as_of
  from app.api_use u
  where u.organization_id = (select app.visible_org());
comment on view analytics.api_use_by_day is 'Calls of the API by day and operation, of members with a token; also those that were refused, but not those of superadmins.';
comment on column analytics.api_use_by_day.day is 'UTC.';
comment on column analytics.api_use_by_day.operation is 'operationId in the OpenAPI document.';
comment on column analytics.api_use_by_day.calls is 'How many calls.';
comment on column analytics.api_use_by_day.errors is 'How many were answered with a status from 400 on.';
comment on column analytics.api_use_by_day.server_errors is 'How many of them from 500 on.';
comment on column analytics.api_use_by_day.total_us is 'Microseconds that all of them took together.';
comment on column analytics.api_use_by_day.slowest_us is 'Microseconds that the slowest took.';
comment on column analytics.api_use_by_day.within_10_ms is 'How many took no longer than 10 ms.';
comment on column analytics.api_use_by_day.within_100_ms is 'How many took no longer than 100 ms.';
comment on column analytics.api_use_by_day.within_1_s is 'How many took no longer than a second.';
comment on column analytics.api_use_by_day.bytes_in is 'Bytes of the requests, with their headers.';
comment on column analytics.api_use_by_day.bytes_out is 'Bytes of the answers, with their headers.';
comment on column analytics.api_use_by_day.as_of is 'Calls after this moment may still be missing.';

create or replace view analytics.integration_use_by_day with (security_barrier = true) as
  select u.day, u.kind, u.name, u.calls, u.errors, u.rows, u.bytes, u.last_at, now() - interval '1 minute' as as_of
  from app.integration_use u
  where u.organization_id = (select app.visible_org());
comment on view analytics.integration_use_by_day is 'Integrations, such as imports and calendar feeds, by day.';
comment on column analytics.integration_use_by_day.day is 'UTC.';
comment on column analytics.integration_use_by_day.kind is 'import, export, calendar_feed, bi or webhook.';
comment on column analytics.integration_use_by_day.name is 'Which one, such as the source of an import.';
comment on column analytics.integration_use_by_day.calls is 'How often it was used.';
comment on column analytics.integration_use_by_day.errors is 'How often in vain.';
comment on column analytics.integration_use_by_day.rows is 'Rows that were entered or taken out.';
comment on column analytics.integration_use_by_day.bytes is 'Bytes of what was entered or taken out.';
comment on column analytics.integration_use_by_day.last_at is 'When it was used last on that day.';
comment on column analytics.integration_use_by_day.as_of is 'What happened after this moment may still be missing.';

do $$
declare
  shown text;
begin
  foreach shown in array array['api_use_by_day', 'integration_use_by_day'] loop
    execute format('alter view analytics.%I owner to callboard_rollup', shown);
    execute format('grant select on analytics.%I to callboard_api, callboard_bi', shown);
  end loop;
end
$$;

create or replace function app.calls_json(calls numeric, errors numeric, server_errors numeric, total_us numeric, slowest_us bigint, within_10_ms numeric,
  within_100_ms numeric, within_1_s numeric, bytes_in numeric, bytes_out numeric) returns jsonb
language sql stable parallel safe
return jsonb_build_object('calls', coalesce(calls, 0), 'errors', coalesce(errors, 0), 'server_errors', coalesce(server_errors, 0),
  'mean_us', round(total_us / nullif(calls, 0)), 'slowest_us', slowest_us, 'within_10_ms', coalesce(within_10_ms, 0),
  'within_100_ms', coalesce(within_100_ms, 0), 'within_1_s', coalesce(within_1_s, 0), 'bytes_in', coalesce(bytes_in, 0), 'bytes_out', coalesce(bytes_out, 0));
comment on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) is
  'Sums of calls as JSON, with the mean of how long they took; null counts as nothing.';
revoke execute on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) from public;
grant execute on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) to callboard_api;

create or replace function app.use_figures(from_on date, to_on date, delay_seconds double precision) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- What is counted is written down a little later.
  as_of timestamptz := now() - make_interval(secs => 2 * delay_seconds + app.data_age());
  until date := least(coalesce(to_on, from_on + 29, (now() at time zone 'UTC')::date), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'It ends at least when it begins, and no more than 367 days later.');
  end if;
  with a as materialized (
    select * from analytics.api_use_by_day u where u.day between since and until
  ), i as materialized (
    select * from analytics.integration_use_by_day u where u.day between since and until
  )
  select jsonb_build_object(
    'integrations', (
      select coalesce(jsonb_agg(jsonb_build_object('kind', x.kind, 'name', x.name, 'calls', x.calls, 'errors', x.errors, 'rows', x.rows,
        'bytes', x.bytes, 'last_at', x.last_at) order by x.kind, x.name), '[]')
      from (
        select i.kind, i.name, sum(i.calls) as calls, sum(i.errors) as errors, sum(i.rows) as rows, sum(i.bytes) as bytes, max(i.last_at) as last_at
        from i group by 1, 2) x),
    'integrations_by_day', (
      select coalesce(jsonb_agg(jsonb_build_object('day', x.day, 'kind', x.kind, 'calls', x.calls, 'errors', x.errors, 'rows', x.rows,
        'bytes', x.bytes) order by x.day, x.kind), '[]')
      from (
        select i.day, i.kind, sum(i.calls) as calls, sum(i.errors) as errors, sum(i.rows) as rows, sum(i.bytes) as bytes
        from i group by 1, 2) x),
    'api', jsonb_build_object(
      'totals', (
        select app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us), max(a.slowest_us), sum(a.within_10_ms),
          sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) from a),
      'by_day', (
        select coalesce(jsonb_agg(jsonb_build_object('day', x.day) || x.use order by x.day), '[]')
        from (
          select a.day, app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us), max(a.slowest_us), sum(a.within_10_ms),
            sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) as use
          from a group by 1) x),
      'by_operation', (
        select coalesce(jsonb_agg(jsonb_build_object('operation', x.operation) || x.use order by x.calls desc, x.operation), '[]')
        from (
          select a.operation, sum(a.calls) as calls, app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us),
            max(a.slowest_us), sum(a.within_10_ms), sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) as use
          from a group by 1) x))) into body;
  -- Days that are over are complete.
  return (null, jsonb_build_object('as_of', as_of, 'is_current', until < (as_of at time zone 'UTC')::date, 'from', since, 'to', until) || body,
    null, null)::app.answer;
end
$$;
comment on function app.use_figures(date, date, double precision) is
  'Integrations and calls of the API from one UTC day to another (30 days up to today, if nothing is said; at most 367), where counts are written so many seconds late. PT403 without analytics.read, PT422 analytics_range.';
revoke execute on function app.use_figures(date, date, double precision) from public;
grant execute on function app.use_figures(date, date, double precision) to callboard_api;
--! EndIncluded use_figures.sql
