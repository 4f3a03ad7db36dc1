-- Categories of income and expenses: each organization has its own list and starts with a default one.

create table if not exists app.finance_categories (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_categories_kind_known check (kind in ('income', 'expense')),
  name text collate app.people not null constraint finance_categories_name_length check (app.is_line(name, 200)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  -- Ensures that a record and its category are of the same kind.
  constraint finance_categories_id_kind_key unique (organization_id, id, kind)
);
create unique index if not exists finance_category_name_taken on app.finance_categories (organization_id, kind, lower(name)) where deleted_at is null;
alter index app.finance_category_name_taken alter column 3 set statistics 0;

create or replace view app.finance_category_rows with (security_invoker = true) as
  select c.organization_id, c.version, c.deleted_at, c.deleted_by, app.body(c.as_json) as body,
    c.id, c.kind, c.name,
    c.created_at, c.updated_at
  from app.finance_categories c;

-- A definer trigger inserts an organization's default categories.
select app_private.tenant_table('finance_categories', noun => 'finance_category', permission => 'finance', path => '/api/finance-categories',
  definer => 'insert, update', is_exported => true, is_counted => true, known => '{kind}');
grant insert (kind, name), update (name) on app.finance_categories to callboard_api;
grant insert (organization_id, kind, name), update (deleted_at, deleted_by, deletion_id) on app.finance_categories to callboard_definer;

comment on table app.finance_categories is 'Categories of the organization''s income and expenses.';

create or replace function app_private.tg_organizations__500_finance_categories() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  insert into app.finance_categories (organization_id, kind, name)
  select new.id, c.kind, c.name
  from (values
    ('income', 'Ticket sales'), ('income', 'Guarantee'), ('income', 'Merchandise'), ('income', 'Sponsorship'), ('income', 'Other income'),
    ('expense', 'Artist fees'), ('expense', 'Venue hire'), ('expense', 'Production'), ('expense', 'Crew'), ('expense', 'Travel'),
    ('expense', 'Accommodation'), ('expense', 'Catering'), ('expense', 'Marketing'), ('expense', 'Insurance'),
    ('expense', 'Taxes and licences'), ('expense', 'Other expenses')) as c (kind, name);
  return null;
end
$$;
comment on function app_private.tg_organizations__500_finance_categories() is 'Gives a new organization its default categories.';
alter function app_private.tg_organizations__500_finance_categories() owner to callboard_definer;
create or replace trigger _500_finance_categories after insert on app.organizations
  for each row execute function app_private.tg_organizations__500_finance_categories();
