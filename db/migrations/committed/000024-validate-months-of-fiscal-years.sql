--! Previous: sha1:112b0f47d7bb89dfe1c526fcc578f154cf2cc24c
--! Hash: sha1:a40db01fd45b56e94941a88e216d2c13b9322213
--! Message: Validate months of fiscal years

alter table app.organizations validate constraint organizations_fiscal_year_starts_in_range;
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
-- Lock: share row exclusive on app.organizations: create or replace trigger _100_timestamps before update on app.organizations for each row execute fu
