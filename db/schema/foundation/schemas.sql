-- Two pairs of schemas. `app` is what the API works with, always under row-level security.
-- `app_private` holds keys, secrets and the helpers that need them; the API has no access to it.
-- `analytics` has views for the API and for BI tools, restricted to the caller's organization,
-- over the materialized views of `analytics_private`, which cannot have row-level security.

create schema if not exists app;
create schema if not exists app_private;
create schema if not exists analytics;
create schema if not exists analytics_private;

comment on schema app is 'What the API works with; every table is under row-level security.';
comment on schema app_private is 'Keys, secrets and helpers; never granted to a login.';
comment on schema analytics is 'Sums and counts of your organization, for the API and for BI tools.';
comment on schema analytics_private is 'Materialized views with the rows of all organizations; never granted to a login.';

-- By default everybody may execute a new function. Here nobody may until it is granted.
alter default privileges for role callboard_owner revoke execute on functions from public;
alter default privileges for role callboard_definer revoke execute on functions from public;
alter default privileges for role callboard_rollup revoke execute on functions from public;

-- A definer function that a login may call is silent (client_min_messages = 'error'): with
-- debug_print_plan the caller would receive the plans of its statements including their values,
-- such as the secret that it is about to mail. Those that only read the caller's own context are not.

grant usage on schema app to callboard_api, callboard_worker, callboard_auditor;
-- CREATE is what lets the owner hand a function over to the definer; the definer never logs in.
grant usage, create on schema app, app_private to callboard_definer;
grant usage on schema analytics to callboard_api, callboard_bi;
-- It owns the materialized views, which it creates and refreshes, and the views over them.
grant usage, create on schema analytics, analytics_private to callboard_rollup;
grant usage, create on schema app to callboard_rollup;
grant usage on schema app_private to callboard_rollup;
grant usage, create on schema app to callboard_reader;
-- It tells members how old the figures are.
grant usage on schema analytics_private to callboard_definer;

-- Sorts names, titles and places as people expect: apple, Äther, Banana, Zebra, and Hall 2 before Hall 10. It is
-- part of the column, so lists and their cursors, CSV, views and BI agree on every server, whatever its locale.
-- Deterministic: equality still compares bytes, so unique constraints keep their meaning, and any two different
-- texts have an order, which keyset pagination needs.
create collation if not exists app.people (provider = icu, locale = 'und-u-kn-true', deterministic = true);
comment on collation app.people is 'Sorts as people do: by letter before accent and case, and numbers by their value.';

-- Trigram search for show titles, with the organization in the same index.
create extension if not exists pg_trgm with schema app_private;
create extension if not exists btree_gin with schema app_private;
