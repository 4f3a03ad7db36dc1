--! Previous: sha1:12a1c606aa5230ee361aabe29b9b3a8f0a9fbcd4
--! Hash: sha1:112b0f47d7bb89dfe1c526fcc578f154cf2cc24c
--! Message: BI as a star

-- 1 (before the schema files): calendars of fiscal years, see db/schema/analytics/star/calendar.sql.
alter table app.organizations add column if not exists fiscal_year_starts_in smallint not null default 1;
alter table app.organizations drop constraint if exists organizations_fiscal_year_starts_in_range;
alter table app.organizations add constraint organizations_fiscal_year_starts_in_range check (fiscal_year_starts_in between 1 and 12) not valid;
-- Included organizations/organizations.sql
-- Companies: the tenants. The row's own id is the organization_id of everything else.

create table if not exists app.organizations (
  id uuid primary key default app.uuid_v7(),
  name text collate app.people not null constraint organizations_name_length check (app.is_line(name, 200)),
  slug text not null,
  currency char(3) not null default 'USD' constraint organizations_currency_format check (currency ~ '^[A-Z]{3}$')
    constraint organizations_currency_exists references app.currencies (code),
  time_zone text not null default 'UTC' constraint organizations_time_zone_exists check (app.is_time_zone(time_zone)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  fiscal_year_starts_in smallint not null default 1
    constraint organizations_fiscal_year_starts_in_range check (fiscal_year_starts_in between 1 and 12)
);
-- EXPLAIN shows everybody estimates from statistics over all organizations, so none are collected for
-- columns whose values only one organization should know. The other tables do the same.
select app_private.hide_statistics('app.organizations');
select app_private.force_rls('app.organizations');
select app_private.member_policy('app.organizations', 'select', 'organization.read', organization_column => 'id');
select app_private.member_policy('app.organizations', 'update', 'organization.update', organization_column => 'id');
-- Without a grant, because deletes are soft: app.delete_organization.
select app_private.member_policy('app.organizations', 'delete', 'organization.delete', organization_column => 'id');
-- app.enter and sign-in read organizations before there is a context.
select app_private.set_policy('app.organizations', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'insert_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'update_definer', 'callboard_definer', 'id = (select app.current_org())');
select app_private.set_policy('app.organizations', 'purge_definer', 'callboard_definer',
  $$(id = (select app.current_org())) and (deleted_at < (now() - '1 day'::interval))$$, 'delete');
-- Figures are computed for all organizations at once: see analytics/rollups.sql.
select app_private.set_policy('app.organizations', 'select_rollup', 'callboard_rollup', 'true');
grant select on app.organizations to callboard_api, callboard_definer, callboard_rollup;
grant update (name, currency, time_zone, fiscal_year_starts_in) on app.organizations to callboard_api;
grant insert (id, name, currency, time_zone), update (deleted_at, deleted_by, deletion_id), delete on app.organizations to callboard_definer;
comment on table app.organizations is 'Companies that put on shows; each is a tenant.';
comment on column app.organizations.slug is 'Derived from the name by the database; app_private.slugs keeps it and all earlier ones unique.';
comment on column app.organizations.fiscal_year_starts_in is 'The month in which its fiscal year begins.';
comment on column app.organizations.currency is 'ISO 4217 code of the currency in which the organization keeps its books.';
select app_private.definer_table('app_private.slugs', 'select, insert');
select app_private.log_changes('app.organizations', 'organization');
create or replace trigger _100_timestamps before update on app.organizations
  for each row execute function app_private.tg__100_timestamps();
create or replace trigger _200_slug_insert before insert on app.organizations
  for each row execute function app_private.tg_organizations__200_slug();
create or replace trigger _200_slug_rename before update on app.organizations
  for each row when (new.name is distinct from old.name) execute function app_private.tg_organizations__200_slug();
-- EndIncluded organizations/organizations.sql
-- Included organizations/organization_commands.sql
-- Commands on organizations; the table is in organizations.sql.

create or replace view app.organization_list with (security_invoker = true) as
  select o.id, o.slug, o.version,
    json_build_object('id', o.id, 'name', o.name, 'slug', o.slug, 'currency', o.currency, 'time_zone', o.time_zone,
      'fiscal_year_starts_in', o.fiscal_year_starts_in, 'created_at', o.created_at, 'updated_at', o.updated_at) as body
  from app.organizations o
  where o.deleted_at is null;
comment on view app.organization_list is 'The organization of this transaction.';
grant select on app.organization_list to callboard_api, callboard_definer;
select app_private.definer_table('app_private.foundings', 'select, insert, delete');
create or replace function app.replace_organization(organization uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  select o.version into present from app.organization_list o where o.id = organization;
  perform app.check_version(present, if_match);
  perform app.require('organization.update');
  select o.version into present from app.organizations o where o.id = organization for no key update;
  perform app.check_version(present, if_match);
  update app.organizations o
  set name = coalesce(body ->> 'name', o.name), currency = coalesce(body ->> 'currency', o.currency), time_zone = coalesce(body ->> 'time_zone', o.time_zone),
    fiscal_year_starts_in = coalesce((body ->> 'fiscal_year_starts_in')::smallint, o.fiscal_year_starts_in)
  where o.id = organization;
  return app.read_organization(organization::text);
end
$$;
comment on function app.replace_organization(uuid, jsonb, text) is 'Sets name, currency, time_zone and fiscal_year_starts_in as far as they are given; the slug follows the name. PT403, PT404, PT409 slug_reserved, organization_has_books, PT412.';
grant execute on function app.replace_organization(uuid, jsonb, text) to callboard_api;
-- EndIncluded organizations/organization_commands.sql
-- Included retention/purge.sql
-- Retention of technical data. The worker calls this every hour (src/jobs/schedule.ts). What
-- organizations have deleted is purged by deletion_purge.sql.

create or replace function app_private.expiries()
returns table (kind text, target regclass, condition text, change text, organization text, most integer)
language sql stable
set search_path = ''
begin atomic
  select x.kind, x.target::regclass, x.condition, coalesce(x.change, 'delete from'), coalesce(x.organization, 'null::uuid'), coalesce(x.most, 1000)
  from (values
    -- Refresh tokens that can no longer renew anything.
    ('refresh_tokens', 'app_private.refresh_tokens', $$t.used_at < now() - app_private.session_lifetime()$$, null, null, null::integer),
    -- Ended sessions with their remaining refresh tokens.
    ('sessions', 'app.sessions', $$coalesce(t.revoked_at, t.expires_at) < now() - interval '90 days'$$, null, null, null),
    -- Links, used or not.
    ('email_tokens', 'app_private.email_tokens', $$t.expires_at < now() - interval '90 days'$$, null, null, null),
    -- Stored responses: the policy purge_definer shows only expired ones.
    ('idempotency_keys', 'app.idempotency_keys', $$t.created_at < now() - interval '24 hours'$$, null, null, null),
    -- Mails whose job ended or was lost without settling them: nothing will send them.
    ('mails_given_up', 'app_private.mails',
      $$t.sent_at is null and t.failed_at is null and not exists (
        select from graphile_worker._private_jobs j where j.key = 'send_mail:' || t.id and (j.is_available or j.locked_at is not null))$$,
      $$set failed_at = now(), last_error = coalesce(t.last_error, 'its job has ended')$$, null, null),
    ('mails', 'app_private.mails', $$coalesce(t.sent_at, t.failed_at) < now() - interval '90 days'$$, null, null, null),
    -- Uploads with their errors: a million lines each, at most.
    ('imports', 'app.imports', $$t.created_at < now() - interval '30 days'$$, null, null, 5),
    -- Client events: the policy purge_definer shows only old ones. By organization, to use the index.
    ('client_events', 'app.client_events',
      $$t.organization_id = any (array(select o.id from app.organizations o where not app_private.is_held(o.id))) and t.received_at < now() - interval '90 days'$$,
      null, 't.organization_id', null),
    -- Usage counts are kept long enough to compare a year with the previous one.
    ('api_use', 'app.api_use',
      $$t.organization_id = any (array(select o.id from app.organizations o)) and t.day < (now() at time zone 'UTC')::date - 800$$, null, null, null),
    ('integration_use', 'app.integration_use',
      $$t.organization_id = any (array(select o.id from app.organizations o)) and t.day < (now() at time zone 'UTC')::date - 800$$, null, null, null),
    -- What was expected: each day long enough to compare a year with the previous one, then the first of each month.
    ('pipeline_snapshots', 'app.pipeline_snapshots',
      $$t.organization_id = any (array(select o.id from app.organizations o)) and t.taken_on < (now() at time zone 'UTC')::date - 800
        and extract(day from t.taken_on) <> 1$$, null, null, null),
    ('use_batches', 'app_private.use_batches', $$t.added_at < now() - interval '7 days'$$, null, null, null),
    -- Their files were removed long before.
    ('exports', 'app.exports', $$t.created_at < now() - interval '30 days'$$, null, null, null),
    -- Failed jobs.
    ('jobs', 'graphile_worker._private_jobs', $$not t.is_available and t.locked_at is null and t.run_at < now() - interval '90 days'$$, null, null, null)
  ) as x (kind, target, condition, change, organization, most);
end;
comment on function app_private.expiries() is
  'What expires, in this order: the rows t of a table that meet a condition, what is done with them, unless they are deleted, whose figures that changes, and how many at a time at most.';
alter function app_private.expiries() owner to callboard_definer;
create or replace function app.purge_expired(behind jsonb default null, at_most integer default 5000) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
as $$
declare
  -- So many rows that cannot be deleted are reported of a kind: then the next one's turn has come.
  hopeless constant integer := 100;
  began timestamptz := clock_timestamp();
  seen integer := 0;
  e record;
  due tid[];
  one tid;
  -- Of this kind, those that could not be deleted: they come again otherwise.
  failing tid[];
  gone jsonb := (select jsonb_object_agg(x.kind, 0) from app_private.expiries() x);
  n bigint;
  failed bigint := 0;
  busy bigint := 0;
  because jsonb := '[]';
  next jsonb;
begin
  <<kinds>>
  for e in select x.* from app_private.expiries() with ordinality x (kind, target, condition, change, organization, most, place)
    where behind is null or x.place >= (select y.place from app_private.expiries() with ordinality y (kind, t, c, ch, o, m, place) where y.kind = behind ->> 'kind')
    order by x.place
  loop
    failing := case when e.kind = behind ->> 'kind' then array(select x::tid from jsonb_array_elements_text(behind -> 'failing') x) else '{}' end;
    while cardinality(failing) < hopeless loop
      -- Those who wait for old transactions wait for this one, too.
      if seen >= at_most or clock_timestamp() > began + interval '2 seconds' then
        next := jsonb_build_object('kind', e.kind, 'failing', failing);
        exit kinds;
      end if;
      execute format('select array(select t.ctid from %s t where %s and t.ctid <> all ($1) limit $2)', e.target, e.condition)
      into due using failing, least(e.most, at_most - seen);
      exit when due = '{}';
      seen := seen + cardinality(due);
      begin
        n := app_private.expire_rows(e.target, e.change, e.organization, due);
      exception when others then
        -- One of them cannot be deleted, or not now: the others are.
        n := 0;
        foreach one in array due loop
          begin
            n := n + app_private.expire_rows(e.target, e.change, e.organization, array[one]);
          exception
            when lock_not_available or deadlock_detected then
              busy := busy + 1;
              failing := failing || one;
            when others then
              failed := failed + 1;
              failing := failing || one;
              because := because || jsonb_build_object('kind', e.kind, 'failed_with', sqlerrm);
          end;
          exit when cardinality(failing) >= hopeless or clock_timestamp() > began + interval '2 seconds';
        end loop;
      end;
      gone := gone || jsonb_build_object(e.kind, (gone ->> e.kind)::bigint + n);
    end loop;
  end loop;
  return gone || jsonb_build_object('busy', busy, 'failed', failed, 'because', because, 'next', next);
end
$$;
comment on function app.purge_expired(jsonb, integer) is
  'Deletes ended sessions, old links, client events, sent mails and failed jobs after 90 days, usage counts and snapshots of the pipeline after 800, spent refresh tokens after 30, idempotency keys after one, in batches of about two seconds: to continue, call it again with next, until that is null. Returns how many of each, and how many rows were busy or failed, and why.';
alter function app.purge_expired(jsonb, integer) owner to callboard_definer;
grant execute on function app.purge_expired(jsonb, integer) to callboard_worker;
-- EndIncluded retention/purge.sql
-- Included finance/finance_categories.sql
-- A definer trigger inserts an organization's default categories.
select app_private.tenant_table('finance_categories', noun => 'finance_category', permission => 'finance', path => '/api/finance-categories',
  definer => 'insert, update', is_exported => true, is_counted => true, known => '{kind}');
create or replace trigger _500_finance_categories after insert on app.organizations
  for each row execute function app_private.tg_organizations__500_finance_categories();
-- EndIncluded finance/finance_categories.sql
-- Included finance/finance_records.sql
select app_private.reference_table('app.finance_record_status_transitions');
insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;
-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', guard => 'app_private.require_not_of_settlement(regclass, uuid)', checks_parents => false);
create or replace trigger _400_books before update on app.organizations
  for each row when (new.currency is distinct from old.currency) execute function app_private.tg_organizations__400_books();
-- EndIncluded finance/finance_records.sql
-- Included bi/bi_credentials.sql
-- Without grants: the functions of bi_commands.sql write and check the permission.
select app_private.tenant_policies('app.bi_credentials', reads => 'bi.manage', inserts => 'bi.manage', updates => 'bi.manage',
  definer => 'insert, update');
select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');
select app_private.definer_table('app_private.bi_logins');
create or replace function app_private.bi_holds(c app.bi_credentials, permission text) returns boolean
language sql stable
set search_path = ''
return app_private.bi_holder(c) is null
  or permission = any (app_private.still_held(c.organization_id, app_private.bi_holder(c), coalesce(c.held_since, c.created_at)));
comment on function app_private.bi_holds(app.bi_credentials, text) is
  'Whether who answers for a credential, and has been a member since, holds a permission; the operator holds all.';
alter function app_private.bi_holds(app.bi_credentials, text) owner to callboard_definer;
create or replace function app_private.is_bi_held(c app.bi_credentials) returns boolean
language sql stable
set search_path = ''
return app_private.bi_holds(c, 'bi.manage');
comment on function app_private.is_bi_held(app.bi_credentials) is 'Whether somebody still answers for a credential: the operator, or a member who may manage BI logins and has been one since.';
alter function app_private.is_bi_held(app.bi_credentials) owner to callboard_definer;
-- EndIncluded bi/bi_credentials.sql
-- Included analytics/visible_org.sql
-- Whose rows a caller sees in `analytics`. The materialized views behind it hold those of all
-- organizations and cannot have policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A BI tool is identified by its login, whatever its settings say, and has no permissions of its own: it sees what the
  -- member who answers for it may see, so that nobody makes a login that shows more. Any other login needs a member's context.
  if session_user like 'bi\_%' then
    return (select s.organization_id from app_private.bi_states s
      join app.bi_credentials c on c.organization_id = s.organization_id and c.id = s.credential_id
      where s.login = session_user and s.is_live and (permission is null or app_private.bi_holds(c, permission)));
  end if;
  return case when permission is null or app.org_if(permission) is not null then app.org_if('analytics.read') end;
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures may be read: for a BI login its own, while the credential is neither revoked nor expired, the organization not deleted, and the member who answers for it holds the given permission; otherwise that of the transaction''s member, if they hold analytics.read and the given permission. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
-- callboard_bi has no USAGE on the schema `app`, so it can call this only through the views.
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup, callboard_bi;
-- EndIncluded analytics/visible_org.sql
-- Included analytics/finance_by_month.sql
select analytics_private.publish('finance_by_month');
-- EndIncluded analytics/finance_by_month.sql
-- Included analytics/finance_by_category.sql
select analytics_private.publish('finance_by_category');
-- EndIncluded analytics/finance_by_category.sql
-- Included analytics/finance_by_show.sql
select analytics_private.publish('finance_by_show');
-- EndIncluded analytics/finance_by_show.sql
-- Included analytics/shows_by_month.sql
select analytics_private.publish('shows_by_month');
select analytics_private.publish('shows_created_by_month');
-- EndIncluded analytics/shows_by_month.sql
-- Included analytics/dashboard.sql
select analytics_private.publish('dashboard');
-- EndIncluded analytics/dashboard.sql
-- Included analytics/activity.sql
select analytics_private.publish('activity_by_day'),
  analytics_private.publish('client_events_by_day');
-- EndIncluded analytics/activity.sql
-- Included analytics/star/sources.sql
-- What the star is made of: facts (fact_…, one row each) and what describes them (dim_…), for BI tools. They are views of
-- the tables themselves, so they are always current, except fact_settlement_lines, which is a figure.
--
-- callboard_rollup owns the views and sees these columns of all organizations; each view compares the organization of its
-- rows with app.visible_org(). No notes, no addresses and no names of guests are among them.

do $$
declare
  source record;
begin
  for source in
    select * from (values
      ('app.venues', 'organization_id, id, name, city, country, time_zone, capacity, deleted_at'),
      ('app.show_fees', 'organization_id, show_id, fee_minor, currency'),
      ('app.deals', 'organization_id, show_id, kind, currency, deleted_at'),
      ('app.ticket_tiers', 'organization_id, id, show_id, name, price_minor, facility_fee_minor, allotment, sold, comps, deleted_at'),
      ('app.settlements', 'organization_id, id, show_id, number, status, inputs, result, finalized_at, reopened_at, deleted_at, booked_at, not_booked_because'),
      ('app.guests', 'organization_id, id, show_id, allotment_id, tickets, status, checked_in, checked_in_at, created_at, deleted_at'),
      ('app.guest_allotments', 'organization_id, id, name'),
      ('app.itineraries', 'organization_id, id, name, artist, deleted_at'),
      ('app.party_members', 'organization_id, id, itinerary_id, name, role, user_id, deleted_at'),
      ('app.memberships', 'organization_id, user_id, role, created_at, deleted_at'),
      ('app.users', 'id, display_name'),
      ('app.currencies', 'code, name, minor_digits'),
      ('app.countries', 'code, name')) as s (target, columns)
  loop
    perform app_private.set_policy(source.target::regclass, 'select_rollup', 'callboard_rollup', 'true');
    execute format('grant select (%s) on %s to callboard_rollup', source.columns, source.target);
  end loop;
end
$$;
-- EndIncluded analytics/star/sources.sql
-- Included analytics/star/dimensions.sql
-- What facts are about: venues, artists, the organization, categories, currencies.

create or replace view analytics.dim_venues with (security_barrier = true) as
  select v.id as venue_id, v.name as venue, v.city, v.country::text as country, c.name as country_name, v.time_zone, v.capacity
  from app.venues v
  join app.countries c on c.code = v.country
  where v.organization_id = (select app.visible_org('shows.read')) and v.deleted_at is null;
comment on view analytics.dim_venues is 'Venues, one row each, without deleted ones. Needs shows.read.';
comment on column analytics.dim_venues.venue_id is 'The venue. The key; facts have it.';
comment on column analytics.dim_venues.venue is 'The name.';
comment on column analytics.dim_venues.city is 'The city.';
comment on column analytics.dim_venues.country is 'The country, ISO 3166-1.';
comment on column analytics.dim_venues.country_name is 'The country in English.';
comment on column analytics.dim_venues.time_zone is 'The time zone.';
comment on column analytics.dim_venues.capacity is 'How many people it holds; null if nobody knows.';
select analytics_private.publish('dim_venues');
create or replace view analytics.dim_artists with (security_barrier = true) as
  select s.artist, count(*) as shows, min(s.show_on) as first_on, max(s.show_on) as last_on
  from app.shows s
  where s.organization_id = (select app.visible_org('shows.read')) and s.deleted_at is null
  group by s.artist;
comment on view analytics.dim_artists is 'Artists, one row for each name that a show has. Needs shows.read.';
comment on column analytics.dim_artists.artist is 'The name. The key; facts have it.';
comment on column analytics.dim_artists.shows is 'How many shows they have.';
comment on column analytics.dim_artists.first_on is 'The day of the first: dim_calendar.day.';
comment on column analytics.dim_artists.last_on is 'The day of the last: dim_calendar.day.';
select analytics_private.publish('dim_artists');
create or replace view analytics.dim_organization with (security_barrier = true) as
  select o.organization_id, o.name, o.slug, o.currency, o.time_zone
  from (select x.id as organization_id, x.name, x.slug, x.currency::text as currency, x.time_zone from app.organizations x) o
  where o.organization_id = (select app.visible_org());
comment on view analytics.dim_organization is 'The organization, one row.';
comment on column analytics.dim_organization.organization_id is 'Its id, to tell it from others whose figures you have copied.';
comment on column analytics.dim_organization.name is 'The name.';
comment on column analytics.dim_organization.slug is 'The name in addresses.';
comment on column analytics.dim_organization.currency is 'The currency in which it keeps its books: dim_currencies.';
comment on column analytics.dim_organization.time_zone is 'The time zone of its days.';
select analytics_private.publish('dim_organization');
create or replace view analytics.dim_finance_categories with (security_barrier = true) as
  select c.id as category_id, c.kind, c.name as category, c.deleted_at is not null as is_deleted
  from app.finance_categories c
  where c.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.dim_finance_categories is 'Categories of income and expenses, one row each; deleted ones are among them, because records keep them. Needs finance.read.';
comment on column analytics.dim_finance_categories.category_id is 'The category. The key; fact_finance_records has it.';
comment on column analytics.dim_finance_categories.kind is 'income or expense.';
comment on column analytics.dim_finance_categories.category is 'The name.';
comment on column analytics.dim_finance_categories.is_deleted is 'Whether it is deleted.';
select analytics_private.publish('dim_finance_categories');
create or replace view analytics.dim_currencies with (security_barrier = true) as
  select c.code::text as currency, c.name, c.minor_digits, power(10, c.minor_digits)::integer as minor_units
  from (select x.id as organization_id from app.organizations x) o
  cross join app.currencies c
  where o.organization_id = (select app.visible_org());
comment on view analytics.dim_currencies is 'Currencies (ISO 4217), one row each.';
comment on column analytics.dim_currencies.currency is 'The code. The key; facts have it.';
comment on column analytics.dim_currencies.name is 'The name in English.';
comment on column analytics.dim_currencies.minor_digits is 'How many decimals it has: EUR 2, JPY 0, KWD 3.';
comment on column analytics.dim_currencies.minor_units is 'How many of its smallest units make a whole one: EUR 100, JPY 1, KWD 1000.';
select analytics_private.publish('dim_currencies');
-- EndIncluded analytics/star/dimensions.sql
-- Included analytics/star/people.sql
-- People by name: members, and who travels.

-- An index on memberships begins with the user, who may belong to other organizations, too. OFFSET 0 keeps what a query asks
-- of the view from reaching it: the members of the organization are found first.
create or replace view analytics_private.members as
  select m.organization_id, u.id as user_id, u.display_name, m.role, (m.created_at at time zone o.time_zone)::date as joined_on
  from app.memberships m
  join app.organizations o on o.id = m.organization_id
  join app.users u on u.id = m.user_id
  where m.organization_id = (select app.visible_org('members.read')) and m.deleted_at is null
  offset 0;
comment on view analytics_private.members is 'The members of the organization whose rows the caller sees.';
alter view analytics_private.members owner to callboard_rollup;
create or replace view analytics.dim_members with (security_barrier = true) as
  select m.user_id, m.display_name, m.role, m.joined_on
  from analytics_private.members m
  where m.organization_id = (select app.visible_org('members.read'));
comment on view analytics.dim_members is 'Members of the organization, one row each; not those who have left. Needs members.read.';
comment on column analytics.dim_members.user_id is 'The user. The key; activity_by_day and dim_party have it.';
comment on column analytics.dim_members.display_name is 'The name.';
comment on column analytics.dim_members.role is 'The built-in role; null for those who have only roles of the organization''s own.';
comment on column analytics.dim_members.joined_on is 'The day on which they joined, in the time zone of the organization: dim_calendar.day.';
select analytics_private.publish('dim_members');
create or replace view analytics.dim_party with (security_barrier = true) as
  select p.id as party_member_id, p.itinerary_id, i.name as itinerary, i.artist, p.name, p.role, p.user_id
  from app.party_members p
  join app.itineraries i on i.organization_id = p.organization_id and i.id = p.itinerary_id and i.deleted_at is null
  where p.organization_id = (select app.visible_org('itineraries.write')) and p.deleted_at is null;
comment on view analytics.dim_party is 'Who travels, one row for each person of an itinerary. Needs itineraries.write.';
comment on column analytics.dim_party.party_member_id is 'The person on this itinerary. The key.';
comment on column analytics.dim_party.itinerary_id is 'The itinerary.';
comment on column analytics.dim_party.itinerary is 'Its name.';
comment on column analytics.dim_party.artist is 'The artist of the itinerary: dim_artists, if a show has the same name.';
comment on column analytics.dim_party.name is 'The name of the person.';
comment on column analytics.dim_party.role is 'What they do there.';
comment on column analytics.dim_party.user_id is 'Their account: dim_members; null without one.';
select analytics_private.publish('dim_party');
-- EndIncluded analytics/star/people.sql
-- Included analytics/star/calendar.sql
-- Days: from the first year of which the organization knows something to the year after the last, so that every day of a show or
-- a booking is there.

create or replace view analytics.dim_calendar with (security_barrier = true) as
  select d.day, d.year, d.quarter, d.month_number, d.month, ('{January,February,March,April,May,June,July,August,September,October,November,December}'::text[])[d.month_number]
      collate app.people as month_name,
    d.iso_year, d.iso_week, (d.day - d.weekday + 1) as week_on, d.weekday,
    ('{Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday}'::text[])[d.weekday] collate app.people as weekday_name, d.weekday >= 6 as is_weekend,
    d.year - (d.month_number < d.starts_in)::integer as fiscal_year,
    (d.month_number - d.starts_in + 12) % 12 / 3 + 1 as fiscal_quarter
  from (
    select o.organization_id, o.starts_in, g.at::date as day, extract(year from g.at)::integer as year, extract(quarter from g.at)::integer as quarter,
      extract(month from g.at)::integer as month_number, date_trunc('month', g.at)::date as month,
      extract(isoyear from g.at)::integer as iso_year, extract(week from g.at)::integer as iso_week, extract(isodow from g.at)::integer as weekday
    from (
      select x.id as organization_id, x.fiscal_year_starts_in::integer as starts_in,
        least((x.created_at at time zone x.time_zone)::date, s.first_on, r.first_on) as first_on,
        greatest((now() at time zone x.time_zone)::date, s.last_on, r.last_on) as last_on
      from app.organizations x
      cross join lateral (select min(y.show_on) as first_on, max(y.show_on) as last_on from app.shows y
        where y.organization_id = (select app.visible_org('shows.read')) and y.deleted_at is null) s
      cross join lateral (select min(y.booked_on) as first_on, max(y.booked_on) as last_on from app.finance_records y
        where y.organization_id = (select app.visible_org('finance.read')) and y.deleted_at is null) r) o
    cross join lateral generate_series(date_trunc('year', o.first_on::timestamp), date_trunc('year', o.last_on::timestamp) + interval '2 years' - interval '1 day',
      interval '1 day') g (at)) d
  where d.organization_id = (select app.visible_org());
comment on view analytics.dim_calendar is 'Days, one row each, from the year of the first show, booking or sign-up to the year after the last.';
comment on column analytics.dim_calendar.day is 'The day. The key; facts have it as …_on.';
comment on column analytics.dim_calendar.year is 'The year.';
comment on column analytics.dim_calendar.quarter is '1 to 4.';
comment on column analytics.dim_calendar.month_number is '1 to 12.';
comment on column analytics.dim_calendar.month is 'The first day of the month: fact_pipeline.month, and month in the sums.';
comment on column analytics.dim_calendar.month_name is 'The month in English.';
comment on column analytics.dim_calendar.iso_year is 'The year of the week (ISO 8601).';
comment on column analytics.dim_calendar.iso_week is '1 to 53; with iso_year a week (ISO 8601).';
comment on column analytics.dim_calendar.week_on is 'The Monday of the week.';
comment on column analytics.dim_calendar.weekday is '1 (Monday) to 7.';
comment on column analytics.dim_calendar.weekday_name is 'The weekday in English.';
comment on column analytics.dim_calendar.is_weekend is 'Whether it is a Saturday or a Sunday.';
comment on column analytics.dim_calendar.fiscal_year is 'The fiscal year by the calendar year in which it begins; the organization says in which month.';
comment on column analytics.dim_calendar.fiscal_quarter is '1 to 4, of the fiscal year.';
select analytics_private.publish('dim_calendar');
-- EndIncluded analytics/star/calendar.sql
-- Included analytics/star/fact_shows.sql
-- What was sold: shows, their ticket tiers, and who was let in without a ticket.

create or replace view analytics.fact_shows with (security_barrier = true) as
  select s.id as show_id, s.show_on, s.venue_id, s.artist, s.title, s.status, s.capacity, s.tickets_sold,
    f.currency::text as currency, f.fee_minor, round(f.fee_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as fee,
    (s.created_at at time zone o.time_zone)::date as created_on, s.updated_at, s.source, s.external_ref
  from app.shows s
  join app.organizations o on o.id = s.organization_id
  left join app.show_fees f on f.organization_id = s.organization_id and f.show_id = s.id and (select app.visible_org('finance.read')) is not null
  left join app.currencies c on c.code = f.currency
  where s.organization_id = (select app.visible_org('shows.read')) and s.deleted_at is null;
comment on view analytics.fact_shows is 'Shows, one row each, without deleted ones. Needs shows.read, and finance.read for the fee.';
comment on column analytics.fact_shows.show_id is 'The show. The key; other facts have it, too.';
comment on column analytics.fact_shows.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_shows.venue_id is 'The venue: dim_venues; null until there is one.';
comment on column analytics.fact_shows.artist is 'The artist: dim_artists.';
comment on column analytics.fact_shows.title is 'The title.';
comment on column analytics.fact_shows.status is 'inquiry, hold, offer, confirmed, played, settled, cancelled or postponed.';
comment on column analytics.fact_shows.capacity is 'How many tickets there are: those of its tiers, if it has any; null if nobody knows.';
comment on column analytics.fact_shows.tickets_sold is 'How many of them were sold.';
comment on column analytics.fact_shows.currency is 'The currency of the fee: dim_currencies; null without a fee.';
comment on column analytics.fact_shows.fee_minor is 'The fee of the artist, in the smallest unit of the currency.';
comment on column analytics.fact_shows.fee is 'The fee in whole units of the currency, with its decimals.';
comment on column analytics.fact_shows.created_on is 'The day on which it was entered, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_shows.updated_at is 'When it was last changed.';
comment on column analytics.fact_shows.source is 'The system from which it was imported.';
comment on column analytics.fact_shows.external_ref is 'Its id there.';
select analytics_private.publish('fact_shows');
create or replace view analytics.fact_ticket_tiers with (security_barrier = true) as
  select t.id as ticket_tier_id, t.show_id, s.show_on, s.venue_id, s.artist, s.status as show_status, t.name as tier, d.currency::text as currency,
    t.price_minor, round(t.price_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as price,
    t.facility_fee_minor, round(t.facility_fee_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as facility_fee,
    t.allotment, t.sold, t.comps,
    t.price_minor::numeric * t.sold as gross_minor, round(t.price_minor * t.sold::numeric * power(10::numeric, -c.minor_digits), c.minor_digits) as gross
  from app.ticket_tiers t
  join app.shows s on s.organization_id = t.organization_id and s.id = t.show_id and s.deleted_at is null
  left join app.deals d on d.organization_id = t.organization_id and d.show_id = t.show_id and d.deleted_at is null
  left join app.currencies c on c.code = d.currency
  where t.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null and t.deleted_at is null;
comment on view analytics.fact_ticket_tiers is 'Ticket tiers of shows, one row each, without deleted ones. Needs finance.read and shows.read.';
comment on column analytics.fact_ticket_tiers.ticket_tier_id is 'The tier. The key.';
comment on column analytics.fact_ticket_tiers.show_id is 'The show: fact_shows.';
comment on column analytics.fact_ticket_tiers.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_ticket_tiers.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_ticket_tiers.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_ticket_tiers.show_status is 'The status of the show.';
comment on column analytics.fact_ticket_tiers.tier is 'The name of the tier.';
comment on column analytics.fact_ticket_tiers.currency is 'The currency of the show''s deal: dim_currencies; null without a deal, and then there are no amounts in whole units.';
comment on column analytics.fact_ticket_tiers.price_minor is 'The price of a ticket with tax, in the smallest unit of the currency.';
comment on column analytics.fact_ticket_tiers.price is 'The price in whole units.';
comment on column analytics.fact_ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, in the smallest unit.';
comment on column analytics.fact_ticket_tiers.facility_fee is 'The same in whole units.';
comment on column analytics.fact_ticket_tiers.allotment is 'How many tickets there are of this tier.';
comment on column analytics.fact_ticket_tiers.sold is 'How many were sold.';
comment on column analytics.fact_ticket_tiers.comps is 'How many were given away.';
comment on column analytics.fact_ticket_tiers.gross_minor is 'Price times sold, in the smallest unit.';
comment on column analytics.fact_ticket_tiers.gross is 'The same in whole units.';
select analytics_private.publish('fact_ticket_tiers');
create or replace view analytics.fact_guests with (security_barrier = true) as
  select g.id as guest_id, g.show_id, s.show_on, s.venue_id, s.artist, s.status as show_status, a.name as allotment, g.status, g.tickets, g.checked_in, g.checked_in_at,
    (g.created_at at time zone o.time_zone)::date as created_on
  from app.guests g
  join app.organizations o on o.id = g.organization_id
  join app.shows s on s.organization_id = g.organization_id and s.id = g.show_id and s.deleted_at is null
  left join app.guest_allotments a on a.organization_id = g.organization_id and a.id = g.allotment_id
  where g.organization_id = (select app.visible_org('shows.read')) and g.deleted_at is null;
comment on view analytics.fact_guests is 'Entries of guest lists, one row each, without deleted ones: numbers, no names. Needs shows.read.';
comment on column analytics.fact_guests.guest_id is 'The entry. The key.';
comment on column analytics.fact_guests.show_id is 'The show: fact_shows.';
comment on column analytics.fact_guests.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_guests.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_guests.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_guests.show_status is 'The status of the show.';
comment on column analytics.fact_guests.allotment is 'The name of the allotment whose places they take; null if they take none.';
comment on column analytics.fact_guests.status is 'requested, confirmed or declined.';
comment on column analytics.fact_guests.tickets is 'How many get in under this entry, the guest included.';
comment on column analytics.fact_guests.checked_in is 'How many of them have come.';
comment on column analytics.fact_guests.checked_in_at is 'When the last of them came; null if none has.';
comment on column analytics.fact_guests.created_on is 'The day on which it was entered, in the time zone of the organization: dim_calendar.day.';
select analytics_private.publish('fact_guests');
-- EndIncluded analytics/star/fact_shows.sql
-- Included analytics/star/fact_finance.sql
-- The books line by line. fact_finance_records is what the figures by month, category and show are sums of.

create or replace view analytics.fact_finance_records with (security_barrier = true) as
  select r.id as finance_record_id, r.booked_on, r.due_on, r.kind, r.category_id, r.status, r.payment_status,
    r.show_id, s.show_on, s.venue_id, s.artist, r.counterparty,
    r.currency::text as currency, r.amount_minor, round(r.amount_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as amount,
    r.tax_minor, round(r.tax_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as tax, r.exchange_rate,
    r.base_currency::text as base_currency, r.base_amount_minor, round(r.base_amount_minor * power(10::numeric, -b.minor_digits), b.minor_digits) as base_amount,
    r.settlement_id, r.settlement_line, (r.created_at at time zone o.time_zone)::date as created_on, r.updated_at, r.source, r.external_ref
  from app.finance_records r
  join app.organizations o on o.id = r.organization_id
  join app.currencies c on c.code = r.currency
  join app.currencies b on b.code = r.base_currency
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id and s.deleted_at is null
    and (select app.visible_org('shows.read')) is not null
  where r.organization_id = (select app.visible_org('finance.read')) and r.deleted_at is null;
comment on view analytics.fact_finance_records is 'Income and expenses, one row for each record, without deleted ones; void ones are among them. Needs finance.read, and shows.read for what is known of the show.';
comment on column analytics.fact_finance_records.finance_record_id is 'The record. The key.';
comment on column analytics.fact_finance_records.booked_on is 'The day of booking: dim_calendar.day.';
comment on column analytics.fact_finance_records.due_on is 'The day by which it is to be paid: dim_calendar.day; null if nobody knows.';
comment on column analytics.fact_finance_records.kind is 'income or expense.';
comment on column analytics.fact_finance_records.category_id is 'The category: dim_finance_categories.';
comment on column analytics.fact_finance_records.status is 'planned, committed, actual or void. Void ones count nowhere.';
comment on column analytics.fact_finance_records.payment_status is 'unpaid, partly_paid, paid or refunded.';
comment on column analytics.fact_finance_records.show_id is 'The show: fact_shows; null if it belongs to none. Actual records of a deleted show keep it.';
comment on column analytics.fact_finance_records.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_finance_records.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_finance_records.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_finance_records.counterparty is 'Who pays or is paid.';
comment on column analytics.fact_finance_records.currency is 'The currency of the record: dim_currencies.';
comment on column analytics.fact_finance_records.amount_minor is 'The amount with tax, in the smallest unit of the currency; never negative: kind says where it goes.';
comment on column analytics.fact_finance_records.amount is 'The amount in whole units.';
comment on column analytics.fact_finance_records.tax_minor is 'The tax in the amount, in the smallest unit.';
comment on column analytics.fact_finance_records.tax is 'The tax in whole units.';
comment on column analytics.fact_finance_records.exchange_rate is 'Units of the base currency for one unit of the currency.';
comment on column analytics.fact_finance_records.base_currency is 'The currency in which the books were kept when it was entered: dim_currencies.';
comment on column analytics.fact_finance_records.base_amount_minor is 'The amount in the base currency, in its smallest unit.';
comment on column analytics.fact_finance_records.base_amount is 'The amount in the base currency, in whole units.';
comment on column analytics.fact_finance_records.settlement_id is 'The settlement that has entered it: fact_settlements; null if somebody did.';
comment on column analytics.fact_finance_records.settlement_line is 'Which line of the settlement it is: with settlement_id the key of fact_settlement_lines.';
comment on column analytics.fact_finance_records.created_on is 'The day on which it was entered, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_finance_records.updated_at is 'When it was last changed.';
comment on column analytics.fact_finance_records.source is 'The system from which it was imported.';
comment on column analytics.fact_finance_records.external_ref is 'Its id there.';
select analytics_private.publish('fact_finance_records');
-- EndIncluded analytics/star/fact_finance.sql
-- Included analytics/star/fact_settlements.sql
-- Settlements in force: final, and not reopened.

create or replace view analytics.fact_settlements with (security_barrier = true) as
  select x.id as settlement_id, x.show_id, s.show_on, s.venue_id, s.artist, x.number, (x.finalized_at at time zone o.time_zone)::date as finalized_on,
    x.booked_at is not null as is_booked, x.not_booked_because, x.inputs ->> 'currency' as currency,
    (x.result ->> 'tickets_sold')::integer as tickets_sold, (x.result ->> 'tickets_comped')::integer as tickets_comped,
    (x.result ->> 'gross_minor')::bigint as gross_minor, round((x.result ->> 'gross_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as gross,
    (x.result ->> 'facility_fees_minor')::bigint as facility_fees_minor, round((x.result ->> 'facility_fees_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as facility_fees,
    (x.result ->> 'tax_minor')::bigint as tax_minor, round((x.result ->> 'tax_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as tax,
    (x.result ->> 'net_receipts_minor')::bigint as net_receipts_minor, round((x.result ->> 'net_receipts_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as net_receipts,
    (x.result ->> 'costs_minor')::bigint as costs_minor, round((x.result ->> 'costs_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as costs,
    (x.result ->> 'guarantee_minor')::bigint as guarantee_minor, round((x.result ->> 'guarantee_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as guarantee,
    (x.result ->> 'due_minor')::bigint as due_minor, round((x.result ->> 'due_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as due,
    coalesce((x.result ->> 'bonuses_minor')::bigint, 0) as bonuses_minor, round(coalesce((x.result ->> 'bonuses_minor')::bigint, 0) * power(10::numeric, -c.minor_digits), c.minor_digits) as bonuses,
    coalesce((x.result ->> 'withholding_minor')::bigint, 0) as withholding_minor, round(coalesce((x.result ->> 'withholding_minor')::bigint, 0) * power(10::numeric, -c.minor_digits), c.minor_digits) as withholding,
    (x.result ->> 'deposits_minor')::bigint as deposits_minor, round((x.result ->> 'deposits_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as deposits,
    (x.result ->> 'balance_minor')::bigint as balance_minor, round((x.result ->> 'balance_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as balance,
    coalesce((x.result ->> 'walk_out_minor')::bigint, (x.result ->> 'balance_minor')::bigint) as walk_out_minor, round(coalesce((x.result ->> 'walk_out_minor')::bigint, (x.result ->> 'balance_minor')::bigint) * power(10::numeric, -c.minor_digits), c.minor_digits) as walk_out,
    (x.result ->> 'promoter_minor')::bigint as promoter_minor, round((x.result ->> 'promoter_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as promoter
  from app.settlements x
  join app.organizations o on o.id = x.organization_id
  join app.shows s on s.organization_id = x.organization_id and s.id = x.show_id and s.deleted_at is null
  left join app.currencies c on c.code = x.inputs ->> 'currency'
  where x.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null
    and x.status = 'final' and x.reopened_at is null and x.deleted_at is null;
comment on view analytics.fact_settlements is 'Settlements in force, one row for each settled show: what was computed. Needs finance.read and shows.read.';
comment on column analytics.fact_settlements.settlement_id is 'The settlement. The key.';
comment on column analytics.fact_settlements.show_id is 'The show: fact_shows. No show has two.';
comment on column analytics.fact_settlements.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_settlements.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_settlements.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_settlements.number is 'Which revision of the show''s settlement it is.';
comment on column analytics.fact_settlements.finalized_on is 'The day on which it became final, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_settlements.is_booked is 'Whether its lines are in the books: fact_finance_records.';
comment on column analytics.fact_settlements.not_booked_because is 'Why they are not: booked_by_hand or exchange_rate_needed.';
comment on column analytics.fact_settlements.currency is 'The currency of the deal: dim_currencies.';
comment on column analytics.fact_settlements.tickets_sold is 'How many tickets were sold.';
comment on column analytics.fact_settlements.tickets_comped is 'How many were given away.';
comment on column analytics.fact_settlements.gross_minor is 'Price times tickets sold, over all tiers, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.gross is 'The same in whole units.';
comment on column analytics.fact_settlements.facility_fees_minor is 'What the venue keeps of the prices, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.facility_fees is 'The same in whole units.';
comment on column analytics.fact_settlements.tax_minor is 'The tax in the prices, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.tax is 'The same in whole units.';
comment on column analytics.fact_settlements.net_receipts_minor is 'The gross less fees and tax, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.net_receipts is 'The same in whole units.';
comment on column analytics.fact_settlements.costs_minor is 'The costs before the split, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.costs is 'The same in whole units.';
comment on column analytics.fact_settlements.guarantee_minor is 'The guarantee of the artist, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.guarantee is 'The same in whole units.';
comment on column analytics.fact_settlements.due_minor is 'What the artist is due, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.due is 'The same in whole units.';
comment on column analytics.fact_settlements.bonuses_minor is 'What the artist is paid on top, by tickets sold, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.bonuses is 'The same in whole units.';
comment on column analytics.fact_settlements.withholding_minor is 'What is withheld of what is due and the bonuses, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.withholding is 'The same in whole units.';
comment on column analytics.fact_settlements.deposits_minor is 'What was paid of that before, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.deposits is 'The same in whole units.';
comment on column analytics.fact_settlements.balance_minor is 'What is due, less what is withheld and deposits, in the smallest unit of the currency; below zero if they were more.';
comment on column analytics.fact_settlements.balance is 'The same in whole units.';
comment on column analytics.fact_settlements.walk_out_minor is 'What the artist leaves with: due and bonuses, less what is withheld, with adjustments after the split, less deposits; negative if they have to repay, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.walk_out is 'The same in whole units.';
comment on column analytics.fact_settlements.promoter_minor is 'What the promoter is left with, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.promoter is 'The same in whole units.';
select analytics_private.publish('fact_settlements');
-- EndIncluded analytics/star/fact_settlements.sql
-- Included analytics/star/fact_settlement_lines.sql
-- Settlements in force line by line, as they enter the books.

-- With the rights of the definer, which may call all that the arithmetic of settlements takes.
create or replace function app.lines_of_settlement(inputs jsonb, result jsonb)
returns table (settlement_line text, kind text, category text, amount_minor numeric, tax_minor numeric, booked_on date, is_paid boolean)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select l.line, l.kind, l.category, l.amount_minor::numeric, l.tax_minor::numeric, l.booked_on, l.is_paid from app.settlement_lines(inputs, result) l;
end
$$;
comment on function app.lines_of_settlement(jsonb, jsonb) is 'The lines of app.settlement_lines, for figures.';
alter function app.lines_of_settlement(jsonb, jsonb) owner to callboard_definer;
grant execute on function app.lines_of_settlement(jsonb, jsonb) to callboard_rollup;
-- A figure, because computing lines takes a tenth of a millisecond for each settlement, which never changes. Nothing of the
-- show is in it: shows change all the time.
create or replace view analytics_private.fact_settlement_lines_definition as
  select x.organization_id, x.id as settlement_id, l.settlement_line, x.show_id, l.kind, l.category collate app.people as category,
    x.inputs ->> 'currency' as currency, l.amount_minor, l.tax_minor, l.booked_on as for_on, l.is_paid
  from app.settlements x
  cross join lateral app.lines_of_settlement(x.inputs, x.result) l
  where x.status = 'final' and x.reopened_at is null and x.deleted_at is null;
select analytics_private.register_rollup('fact_settlement_lines', '{organization_id,settlement_id,settlement_line}', resources => '{settlement}');
create or replace view analytics.fact_settlement_lines with (security_barrier = true) as
  select m.settlement_id, m.settlement_line, m.show_id, s.show_on, s.venue_id, s.artist, m.kind, m.category, coalesce(m.for_on, s.show_on) as for_on, m.is_paid,
    m.currency, m.amount_minor, round(m.amount_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as amount,
    m.tax_minor, round(m.tax_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as tax,
    r.id as finance_record_id, r.category_id, r.booked_on, m.as_of
  from analytics_private.fact_settlement_lines_now m
  join app.shows s on s.organization_id = m.organization_id and s.id = m.show_id and s.deleted_at is null
  left join app.currencies c on c.code = m.currency
  left join app.finance_records r on r.organization_id = m.organization_id and r.settlement_id = m.settlement_id and r.settlement_line = m.settlement_line
    and r.deleted_at is null
  where m.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null;
comment on view analytics.fact_settlement_lines is 'Settlements in force, one row for each line that they enter in the books. Income less expenses is what the promoter is left with. Needs finance.read and shows.read.';
comment on column analytics.fact_settlement_lines.settlement_id is 'The settlement: fact_settlements. Part of the key.';
comment on column analytics.fact_settlement_lines.settlement_line is 'Which line it is, such as "tier …", "cost …" or "balance". With settlement_id the key.';
comment on column analytics.fact_settlement_lines.show_id is 'The show: fact_shows.';
comment on column analytics.fact_settlement_lines.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_settlement_lines.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_settlement_lines.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_settlement_lines.kind is 'income or expense.';
comment on column analytics.fact_settlement_lines.category is 'The category by its name, as the settlement names it; for a cost its own name.';
comment on column analytics.fact_settlement_lines.for_on is 'The day that it is for, that of the show or of the deposit: dim_calendar.day.';
comment on column analytics.fact_settlement_lines.is_paid is 'Whether it has been paid before, as deposits have.';
comment on column analytics.fact_settlement_lines.currency is 'The currency of the deal: dim_currencies.';
comment on column analytics.fact_settlement_lines.amount_minor is 'The amount with tax, in the smallest unit of the currency.';
comment on column analytics.fact_settlement_lines.amount is 'The amount in whole units.';
comment on column analytics.fact_settlement_lines.tax_minor is 'The tax in the amount, in the smallest unit.';
comment on column analytics.fact_settlement_lines.tax is 'The tax in whole units.';
comment on column analytics.fact_settlement_lines.finance_record_id is 'Its record in the books: fact_finance_records; null while it is not booked.';
comment on column analytics.fact_settlement_lines.category_id is 'The category of that record: dim_finance_categories.';
comment on column analytics.fact_settlement_lines.booked_on is 'The day of booking: for_on, or later if the books of its month were closed.';
comment on column analytics.fact_settlement_lines.as_of is 'The lines are complete up to this moment.';
select analytics_private.publish('fact_settlement_lines');
-- EndIncluded analytics/star/fact_settlement_lines.sql
-- Included analytics/star/pipeline.sql
-- What was expected, day by day: the only figures that cannot be computed later. The worker writes them in the first hour of
-- each organization's day. They are kept daily for 800 days, and after that the first of each month (retention/purge.sql).

create table if not exists app.pipeline_snapshots (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  taken_on date not null,
  month date not null,
  status text not null,
  currency text not null,
  shows bigint not null,
  capacity bigint not null,
  tickets_sold bigint not null,
  -- Numeric, as all sums of money: one that is absurd must not keep the others from being written.
  fee_minor numeric not null,
  expected_income_minor numeric not null,
  expected_expense_minor numeric not null,
  actual_income_minor numeric not null,
  actual_expense_minor numeric not null,
  primary key (organization_id, taken_on, month, status, currency)
);
select app_private.hide_statistics('app.pipeline_snapshots');
-- Written for many organizations at once, without a context, and read through analytics only; the definer purges.
select app_private.definer_table('app.pipeline_snapshots', 'select, delete');
select app_private.set_policy('app.pipeline_snapshots', 'select_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('app.pipeline_snapshots', 'insert_rollup', 'callboard_rollup', 'true');
grant select, insert on app.pipeline_snapshots to callboard_rollup;
comment on table app.pipeline_snapshots is 'What each organization expected of its months, as it was on a day.';
comment on column app.pipeline_snapshots.taken_on is 'The day, in the time zone of the organization, at whose beginning it was so.';
comment on column app.pipeline_snapshots.month is 'The first day of the month of the shows or, for money that belongs to no show, of booking.';
comment on column app.pipeline_snapshots.status is 'The status of the shows; none for money that belongs to no show.';
comment on column app.pipeline_snapshots.currency is 'That of fees and records; shows without a fee are in that of the books.';
comment on column app.pipeline_snapshots.expected_income_minor is 'Planned and committed records.';
create or replace function analytics_private.pipeline(organization uuid, since date)
returns table (month date, status text, currency text, shows bigint, capacity bigint, tickets_sold bigint, fee_minor numeric,
  expected_income_minor numeric, expected_expense_minor numeric, actual_income_minor numeric, actual_expense_minor numeric)
language plpgsql stable
set search_path = ''
as $$
begin
  return query
    with live as (
      select s.id, date_trunc('month', s.show_on::timestamp)::date as month, s.status, s.capacity, s.tickets_sold from app.shows s
      where s.organization_id = organization and s.deleted_at is null and s.show_on >= since
    ), records as (
      select l.month, l.status, r.currency::text as currency, r.kind, r.status = 'actual' as is_actual, r.amount_minor
      from live l join app.finance_records r on r.organization_id = organization and r.show_id = l.id and r.deleted_at is null and r.status <> 'void'
      union all
      select date_trunc('month', r.booked_on::timestamp)::date, 'none', r.currency::text, r.kind, r.status = 'actual', r.amount_minor
      from app.finance_records r
      where r.organization_id = organization and r.deleted_at is null and r.status <> 'void' and r.booked_on >= since
        and not exists (select from app.shows s where s.organization_id = organization and s.id = r.show_id and s.deleted_at is null)
    ), lines as (
      select l.month, l.status, coalesce(f.currency, o.currency)::text as currency, 1 as shows, l.capacity, l.tickets_sold, f.fee_minor,
        null::text as kind, null::boolean as is_actual, null::bigint as amount_minor
      from live l
      join app.organizations o on o.id = organization
      left join app.show_fees f on f.organization_id = organization and f.show_id = l.id
      union all
      select r.month, r.status, r.currency, 0, 0, 0, 0, r.kind, r.is_actual, r.amount_minor from records r
    )
    select l.month, l.status, l.currency, sum(l.shows), coalesce(sum(l.capacity), 0), coalesce(sum(l.tickets_sold), 0), coalesce(sum(l.fee_minor), 0),
      coalesce(sum(l.amount_minor) filter (where l.kind = 'income' and not l.is_actual), 0),
      coalesce(sum(l.amount_minor) filter (where l.kind = 'expense' and not l.is_actual), 0),
      coalesce(sum(l.amount_minor) filter (where l.kind = 'income' and l.is_actual), 0),
      coalesce(sum(l.amount_minor) filter (where l.kind = 'expense' and l.is_actual), 0)
    from lines l group by 1, 2, 3;
end
$$;
comment on function analytics_private.pipeline(uuid, date) is 'What an organization expects now of the months since a day, by status and currency.';
alter function analytics_private.pipeline(uuid, date) owner to callboard_rollup;
create or replace function app.take_pipeline_snapshots(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
set jit = off
as $$
declare
  began constant timestamptz := clock_timestamp();
  o record;
  last_seen uuid := coalesce(behind ->> 'organization', '00000000-0000-0000-0000-000000000000')::uuid;
  n bigint;
  taken integer := 0;
  rows bigint := 0;
  failed integer := 0;
  reasons jsonb := '[]';
begin
  loop
    select x.id, (now() at time zone x.time_zone)::date as today into o
    from app.organizations x where x.id > last_seen and x.deleted_at is null order by x.id limit 1;
    last_seen := o.id;
    exit when last_seen is null;
    if not exists (select from app.pipeline_snapshots p where p.organization_id = o.id and p.taken_on = o.today) then
      begin
        -- Also what is over, as long as it is still being settled.
        insert into app.pipeline_snapshots (organization_id, taken_on, month, status, currency, shows, capacity, tickets_sold, fee_minor,
          expected_income_minor, expected_expense_minor, actual_income_minor, actual_expense_minor)
        select o.id, o.today, p.* from analytics_private.pipeline(o.id, (date_trunc('month', o.today::timestamp) - interval '2 months')::date) p
        on conflict do nothing;
        get diagnostics n = row_count;
        taken := taken + (n > 0)::integer;
        rows := rows + n;
      exception when others then
        failed := failed + 1;
        reasons := reasons || jsonb_build_object('organization_id', o.id, 'failed_with', sqlerrm);
      end;
    end if;
    exit when clock_timestamp() > began + interval '1 second';
  end loop;
  return jsonb_build_object('taken', taken, 'rows', rows, 'failed', failed, 'because', reasons,
    'next', case when last_seen is not null then jsonb_build_object('organization', last_seen) end);
end
$$;
comment on function app.take_pipeline_snapshots(jsonb) is
  'Writes down what organizations expect of their months, once a day, whose day has begun since: of some of them. Returns how many, how many rows, and how many failed, and why. To continue, call it again with next, until that is null.';
alter function app.take_pipeline_snapshots(jsonb) owner to callboard_rollup;
grant execute on function app.take_pipeline_snapshots(jsonb) to callboard_worker;
create or replace view analytics.fact_pipeline with (security_barrier = true) as
  select p.taken_on, p.month, p.status, p.currency, p.shows, p.capacity, p.tickets_sold,
    p.fee_minor, round(p.fee_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as fee,
    p.expected_income_minor, round(p.expected_income_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as expected_income,
    p.expected_expense_minor, round(p.expected_expense_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as expected_expense,
    p.actual_income_minor, round(p.actual_income_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as actual_income,
    p.actual_expense_minor, round(p.actual_expense_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as actual_expense
  from app.pipeline_snapshots p
  join app.currencies c on c.code = p.currency
  where p.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null;
comment on view analytics.fact_pipeline is 'What was expected of a month, as it was on a day: one row for each day, month, status and currency. Needs finance.read and shows.read.';
comment on column analytics.fact_pipeline.taken_on is 'The day at whose beginning it was so, in the time zone of the organization: dim_calendar.day. Part of the key.';
comment on column analytics.fact_pipeline.month is 'The first day of the month of the shows or, for money that belongs to no show, of booking: dim_calendar.month. Part of the key.';
comment on column analytics.fact_pipeline.status is 'The status that the shows had; none for money that belongs to no show. Part of the key.';
comment on column analytics.fact_pipeline.currency is 'The currency of fees and records, for shows without a fee that of the books: dim_currencies. Part of the key.';
comment on column analytics.fact_pipeline.shows is 'How many shows; 0 in rows that have only money in another currency.';
comment on column analytics.fact_pipeline.capacity is 'The sum of their capacities.';
comment on column analytics.fact_pipeline.tickets_sold is 'How many tickets were sold.';
comment on column analytics.fact_pipeline.fee_minor is 'The fees of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.fee is 'The same in whole units.';
comment on column analytics.fact_pipeline.expected_income_minor is 'Planned and committed income of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.expected_income is 'The same in whole units.';
comment on column analytics.fact_pipeline.expected_expense_minor is 'Planned and committed expenses of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.expected_expense is 'The same in whole units.';
comment on column analytics.fact_pipeline.actual_income_minor is 'Actual income of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.actual_income is 'The same in whole units.';
comment on column analytics.fact_pipeline.actual_expense_minor is 'Actual expenses of these shows, in the smallest unit of the currency.';
comment on column analytics.fact_pipeline.actual_expense is 'The same in whole units.';
select analytics_private.publish('fact_pipeline');
-- EndIncluded analytics/star/pipeline.sql
-- Lock: access exclusive on app.organizations: alter table app.organizations add column if not exists fiscal_year_starts_in smallint not null defau
-- Lock: share row exclusive on app.organizations: create or replace trigger _100_timestamps before update on app.organizations for each row execute fu
-- Lock: access exclusive on app.organization_list: create or replace view app.organization_list with (security_invoker = true) as select o.id, o.slug, 
-- Lock: access exclusive on app.countries: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.currencies: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.deals: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.guest_allotments: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.guests: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.itineraries: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.memberships: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.party_members: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.settlements: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.show_fees: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.ticket_tiers: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.users: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
-- Lock: access exclusive on app.venues: do $$ declare source record; begin for source in select * from (values ('app.venues', 'organization_
