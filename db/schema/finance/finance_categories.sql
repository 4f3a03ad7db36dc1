-- What income and expenses are for: a list of each organization's own, with which it begins.

create table if not exists app.finance_categories (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_categories_kind_known check (kind in ('income', 'expense')),
  name text collate app.people not null constraint finance_categories_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  -- So that a record and its category are of one kind.
  constraint finance_categories_id_kind_key unique (organization_id, id, kind)
);
create unique index if not exists finance_category_name_taken on app.finance_categories (organization_id, kind, lower(name)) where deleted_at is null;
alter index app.finance_category_name_taken alter column 3 set statistics 0;

-- A trigger of the definer inserts the categories with which an organization begins.
select app_private.tenant_table('finance_categories', noun => 'finance_category', permission => 'finance', path => '/api/finance-categories',
  definer => 'insert, update', is_exported => true, is_counted => true, known => '{kind}');
grant insert (kind, name), update (name) on app.finance_categories to callboard_api;
grant insert (organization_id, kind, name), update (deleted_at, deleted_by, deletion_id) on app.finance_categories to callboard_definer;

comment on table app.finance_categories is 'What income and expenses of the organization are for.';

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
comment on function app_private.tg_organizations__500_finance_categories() is 'Gives a new organization the categories with which it begins.';
alter function app_private.tg_organizations__500_finance_categories() owner to callboard_definer;
create or replace trigger _500_finance_categories after insert on app.organizations
  for each row execute function app_private.tg_organizations__500_finance_categories();

create or replace view app.finance_category_list with (security_invoker = true) as
  select c.organization_id, c.id, c.kind, c.name, c.version,
    json_build_object('id', c.id, 'kind', c.kind, 'name', c.name, 'created_at', c.created_at, 'updated_at', c.updated_at) as body,
    c.deleted_at, c.deleted_by
  from app.finance_categories c;
comment on view app.finance_category_list is 'The organization''s categories with their JSON, also those in the bin, which have deleted_at.';
grant select on app.finance_category_list to callboard_api, callboard_definer;

create or replace function app.read_finance_category(category uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, c.body, app.etag(c.version), '/api/finance-categories/' || c.id into answer from app.finance_category_list c
  where c.organization_id = (select app.current_org()) and c.id = category and c.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_finance_category(uuid) is 'A category. PT404.';
grant execute on function app.read_finance_category(uuid) to callboard_api, callboard_definer;

create or replace function app.create_finance_category(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  category uuid;
  answer app.answer;
begin
  insert into app.finance_categories (kind, name) values (body ->> 'kind', body ->> 'name') returning id into category;
  answer := app.read_finance_category(category);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_finance_category(jsonb) is 'A new category: kind and name. PT403 without finance.write, PT409 finance_category_name_taken.';
grant execute on function app.create_finance_category(jsonb) to callboard_api;

create or replace function app.rename_finance_category(category uuid, to_name text, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  select c.version into present from app.finance_categories c
  where c.organization_id = (select app.current_org()) and c.id = category and c.deleted_at is null;
  perform app.check_version(present, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select c.version into present from app.finance_categories c
  where c.organization_id = (select app.current_org()) and c.id = category and c.deleted_at is null for no key update;
  perform app.check_version(present, if_match);
  update app.finance_categories c set name = to_name where c.organization_id = (select app.current_org()) and c.id = category;
  return app.read_finance_category(category);
end
$$;
comment on function app.rename_finance_category(uuid, text, text) is 'Renames a category, in all records that have it. PT403, PT404, PT409 finance_category_name_taken, PT412.';
grant execute on function app.rename_finance_category(uuid, text, text) to callboard_api;

create or replace function app.delete_finance_category(category uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.finance_categories', category, if_match);
end
$$;
comment on function app.delete_finance_category(uuid, text) is 'Deletes a category that no record has. PT403, PT404, PT409 finance_records_category_exists, PT412.';
alter function app.delete_finance_category(uuid, text) owner to callboard_definer;
grant execute on function app.delete_finance_category(uuid, text) to callboard_api;

create or replace function app.restore_finance_category(category uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.finance_categories', category);
  return app.read_finance_category(category);
end
$$;
comment on function app.restore_finance_category(uuid) is 'Brings a deleted category back. PT403, PT404, PT409 finance_category_name_taken.';
alter function app.restore_finance_category(uuid) owner to callboard_definer;
grant execute on function app.restore_finance_category(uuid) to callboard_api;
