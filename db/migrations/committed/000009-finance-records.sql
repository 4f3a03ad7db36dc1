--! Previous: sha1:8e3e6b198fac9cd92a7b360575985b260afc6abf
--! Hash: sha1:d62f724f71de7ba813ea2aa3f9a0f4e8923c28a6
--! Message: finance records

--! Included currencies.sql
-- Currencies (ISO 4217): how many decimals an amount has is a property of its currency, and amounts
-- are kept in the smallest unit.

create or replace function app.minor_digits(currency text) returns integer
language sql immutable strict parallel safe
return case
  when currency in ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') then 0
  when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
  when currency in ('CLF', 'UYW') then 4
  else 2 end;
comment on function app.minor_digits(text) is 'Decimals of a currency by its ISO 4217 code: EUR 2, JPY 0, KWD 3. 2 for a code that is none.';
revoke execute on function app.minor_digits(text) from public;
grant execute on function app.minor_digits(text) to callboard_api, callboard_definer;

create table if not exists app.currencies (
  code char(3) primary key,
  name text not null,
  minor_digits integer not null
);
alter table app.currencies enable row level security;
alter table app.currencies force row level security;
drop policy if exists select_all on app.currencies;
create policy select_all on app.currencies for select to callboard_api, callboard_definer using (true);
drop policy if exists all_owner on app.currencies;
create policy all_owner on app.currencies for all to callboard_owner using (true);
grant select on app.currencies to callboard_api, callboard_definer;
comment on table app.currencies is 'Reference: the currencies of ISO 4217 that money is kept in.';

insert into app.currencies (code, name, minor_digits)
select c.code, c.name, app.minor_digits(c.code) from (values
  ('AED', 'UAE dirham'), ('AFN', 'Afghani'), ('ALL', 'Lek'), ('AMD', 'Armenian dram'), ('AOA', 'Kwanza'), ('ARS', 'Argentine peso'),
  ('AUD', 'Australian dollar'), ('AWG', 'Aruban florin'), ('AZN', 'Azerbaijan manat'), ('BAM', 'Convertible mark'), ('BBD', 'Barbados dollar'),
  ('BDT', 'Taka'), ('BGN', 'Bulgarian lev'), ('BHD', 'Bahraini dinar'), ('BIF', 'Burundi franc'), ('BMD', 'Bermudian dollar'),
  ('BND', 'Brunei dollar'), ('BOB', 'Boliviano'), ('BRL', 'Brazilian real'), ('BSD', 'Bahamian dollar'), ('BTN', 'Ngultrum'), ('BWP', 'Pula'),
  ('BYN', 'Belarusian ruble'), ('BZD', 'Belize dollar'), ('CAD', 'Canadian dollar'), ('CDF', 'Congolese franc'), ('CHF', 'Swiss franc'),
  ('CLF', 'Unidad de fomento'), ('CLP', 'Chilean peso'), ('CNY', 'Yuan renminbi'), ('COP', 'Colombian peso'), ('CRC', 'Costa Rican colon'),
  ('CUP', 'Cuban peso'), ('CVE', 'Cabo Verde escudo'), ('CZK', 'Czech koruna'), ('DJF', 'Djibouti franc'), ('DKK', 'Danish krone'),
  ('DOP', 'Dominican peso'), ('DZD', 'Algerian dinar'), ('EGP', 'Egyptian pound'), ('ERN', 'Nakfa'), ('ETB', 'Ethiopian birr'), ('EUR', 'Euro'),
  ('FJD', 'Fiji dollar'), ('FKP', 'Falkland Islands pound'), ('GBP', 'Pound sterling'), ('GEL', 'Lari'), ('GHS', 'Ghana cedi'),
  ('GIP', 'Gibraltar pound'), ('GMD', 'Dalasi'), ('GNF', 'Guinean franc'), ('GTQ', 'Quetzal'), ('GYD', 'Guyana dollar'), ('HKD', 'Hong Kong dollar'),
  ('HNL', 'Lempira'), ('HTG', 'Gourde'), ('HUF', 'Forint'), ('IDR', 'Rupiah'), ('ILS', 'New Israeli sheqel'), ('INR', 'Indian rupee'),
  ('IQD', 'Iraqi dinar'), ('IRR', 'Iranian rial'), ('ISK', 'Iceland krona'), ('JMD', 'Jamaican dollar'), ('JOD', 'Jordanian dinar'), ('JPY', 'Yen'),
  ('KES', 'Kenyan shilling'), ('KGS', 'Som'), ('KHR', 'Riel'), ('KMF', 'Comorian franc'), ('KPW', 'North Korean won'), ('KRW', 'Won'),
  ('KWD', 'Kuwaiti dinar'), ('KYD', 'Cayman Islands dollar'), ('KZT', 'Tenge'), ('LAK', 'Lao kip'), ('LBP', 'Lebanese pound'),
  ('LKR', 'Sri Lanka rupee'), ('LRD', 'Liberian dollar'), ('LSL', 'Loti'), ('LYD', 'Libyan dinar'), ('MAD', 'Moroccan dirham'),
  ('MDL', 'Moldovan leu'), ('MGA', 'Malagasy ariary'), ('MKD', 'Denar'), ('MMK', 'Kyat'), ('MNT', 'Tugrik'), ('MOP', 'Pataca'), ('MRU', 'Ouguiya'),
  ('MUR', 'Mauritius rupee'), ('MVR', 'Rufiyaa'), ('MWK', 'Malawi kwacha'), ('MXN', 'Mexican peso'), ('MYR', 'Malaysian ringgit'),
  ('MZN', 'Mozambique metical'), ('NAD', 'Namibia dollar'), ('NGN', 'Naira'), ('NIO', 'Cordoba oro'), ('NOK', 'Norwegian krone'),
  ('NPR', 'Nepalese rupee'), ('NZD', 'New Zealand dollar'), ('OMR', 'Rial omani'), ('PAB', 'Balboa'), ('PEN', 'Sol'), ('PGK', 'Kina'),
  ('PHP', 'Philippine peso'), ('PKR', 'Pakistan rupee'), ('PLN', 'Zloty'), ('PYG', 'Guarani'), ('QAR', 'Qatari rial'), ('RON', 'Romanian leu'),
  ('RSD', 'Serbian dinar'), ('RUB', 'Russian ruble'), ('RWF', 'Rwanda franc'), ('SAR', 'Saudi riyal'), ('SBD', 'Solomon Islands dollar'),
  ('SCR', 'Seychelles rupee'), ('SDG', 'Sudanese pound'), ('SEK', 'Swedish krona'), ('SGD', 'Singapore dollar'), ('SHP', 'Saint Helena pound'),
  ('SLE', 'Leone'), ('SOS', 'Somali shilling'), ('SRD', 'Surinam dollar'), ('SSP', 'South Sudanese pound'), ('STN', 'Dobra'), ('SVC', 'El Salvador colon'),
  ('SYP', 'Syrian pound'), ('SZL', 'Lilangeni'), ('THB', 'Baht'), ('TJS', 'Somoni'), ('TMT', 'Turkmenistan new manat'), ('TND', 'Tunisian dinar'),
  ('TOP', 'Pa''anga'), ('TRY', 'Turkish lira'), ('TTD', 'Trinidad and Tobago dollar'), ('TWD', 'New Taiwan dollar'), ('TZS', 'Tanzanian shilling'),
  ('UAH', 'Hryvnia'), ('UGX', 'Uganda shilling'), ('USD', 'US dollar'), ('UYI', 'Uruguay peso in indexed units'), ('UYU', 'Peso uruguayo'),
  ('UYW', 'Unidad previsional'), ('UZS', 'Uzbekistan sum'), ('VED', 'Bolivar digital'), ('VES', 'Bolivar soberano'), ('VND', 'Dong'), ('VUV', 'Vatu'),
  ('WST', 'Tala'), ('XAF', 'CFA franc BEAC'), ('XCD', 'East Caribbean dollar'), ('XCG', 'Caribbean guilder'), ('XOF', 'CFA franc BCEAO'),
  ('XPF', 'CFP franc'), ('YER', 'Yemeni rial'), ('ZAR', 'Rand'), ('ZMW', 'Zambian kwacha'), ('ZWG', 'Zimbabwe gold')) as c (code, name)
on conflict (code) do update set name = excluded.name, minor_digits = excluded.minor_digits;

create or replace function app.convert_minor(amount_minor bigint, exchange_rate numeric, currency text, base_currency text) returns bigint
language sql immutable parallel safe
return case when exchange_rate is null then null when currency = base_currency then amount_minor
  -- Beyond what a bigint holds it stays at its end, where a constraint names the problem.
  else least(round(amount_minor::numeric * exchange_rate
    * (10::numeric ^ (app.minor_digits(base_currency) - app.minor_digits(currency)))), 9223372036854775807)::bigint end;
comment on function app.convert_minor(bigint, numeric, text, text) is
  'An amount in another currency, both in minor units; the rate is units of the base currency for one unit of the currency. Half a unit is rounded away from zero.';
revoke execute on function app.convert_minor(bigint, numeric, text, text) from public;
grant execute on function app.convert_minor(bigint, numeric, text, text) to callboard_api, callboard_definer;

create or replace function app.list_currencies() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', json_agg(json_build_object('code', c.code, 'name', c.name, 'minor_digits', c.minor_digits) order by c.code),
    'next_cursor', null), null::text, null::text
  from app.currencies c where app.require('finance.read') is not null;
end;
comment on function app.list_currencies() is 'The currencies that finance records can have. PT403.';
revoke execute on function app.list_currencies() from public;
grant execute on function app.list_currencies() to callboard_api;
--! EndIncluded currencies.sql
--! Included deletions.sql
-- Deleting is marking. A deletion has an id; it marks a row and, through the foreign keys that
-- say ON DELETE CASCADE, everything that belongs to it. Restoring clears exactly the marks with
-- that id. A foreign key that does not cascade protects its parent, as it would in PostgreSQL.
--
-- Both work on every table that has `deletion_id`, found in the catalogue: a new table takes
-- part by having the columns, its definer policies, and grants for the three columns.

create or replace view app_private.deletion_edges as
  select c.confrelid::regclass as parent, c.conrelid::regclass as child, c.conname as name, c.confdeltype = 'c' as cascades,
    (select string_agg(format('c.%I = p.%I', a.attname, b.attname), ' and ')
     from unnest(c.conkey, c.confkey) as k (child_column, parent_column)
     join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.child_column
     join pg_catalog.pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.parent_column) as condition
  from pg_catalog.pg_constraint c
  -- What is set to null does without its parent: it neither follows a deletion nor forbids one.
  where c.contype = 'f' and c.confdeltype <> 'n'
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attname = 'deletion_id' and not a.attisdropped)
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.confrelid and a.attname = 'deletion_id' and not a.attisdropped);
comment on view app_private.deletion_edges is 'Foreign keys between tables with soft delete: what a deletion follows, and what forbids it.';
grant select on app_private.deletion_edges to callboard_definer;

create or replace function app_private.spread_deletion(from_table regclass, deletion uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  edge record;
  marked bigint;
begin
  for edge in select * from app_private.deletion_edges e where e.parent = from_table order by e.child::text, e.name loop
    if edge.cascades then
      execute format(
        'update %s c set deleted_at = p.deleted_at, deleted_by = p.deleted_by, deletion_id = p.deletion_id
         from %s p where %s and p.deletion_id = $1 and c.deleted_at is null', edge.child, from_table, edge.condition)
      using deletion;
      get diagnostics marked = row_count;
      -- Only a table that got new marks is followed, so a cycle comes to an end.
      if marked > 0 then
        perform app_private.spread_deletion(edge.child, deletion);
      end if;
    end if;
  end loop;
end
$$;
comment on function app_private.spread_deletion(regclass, uuid) is 'Marks what belongs to the rows of a table that a deletion has marked.';
alter function app_private.spread_deletion(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.spread_deletion(regclass, uuid) from public;

create or replace function app_private.soft_delete(target regclass, condition text, id uuid) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid := app.uuid_v7();
  edge record;
  in_use boolean;
begin
  execute format('update %s set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = $2
                  where %s and deleted_at is null', target, condition) using id, deletion;
  for edge in select * from app_private.deletion_edges e where e.parent = target and not e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.deletion_id = $1 and c.deleted_at is null)',
      edge.child, target, edge.condition) into in_use using deletion;
    if in_use then
      perform app.refuse(409, edge.name, 'Something else still refers to it.');
    end if;
  end loop;
  perform app_private.spread_deletion(target, deletion);
  return deletion;
end
$$;
comment on function app_private.soft_delete(regclass, text, uuid) is
  'Marks the row of a table for which the condition on $1 (the id) holds, and what belongs to it. Returns the deletion''s id. PT409 with the name of a foreign key that protects the row.';
alter function app_private.soft_delete(regclass, text, uuid) owner to callboard_definer;
revoke execute on function app_private.soft_delete(regclass, text, uuid) from public;

create or replace function app_private.restore_deletion(deletion uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  marked regclass;
begin
  for marked in
    select a.attrelid::regclass from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
    where a.attname = 'deletion_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname
  loop
    execute format('update %s set deleted_at = null, deleted_by = null, deletion_id = null where deletion_id = $1 and %s',
      marked, case when marked = 'app.organizations'::regclass then 'id' else 'organization_id' end || ' = app.current_org()')
    using deletion;
  end loop;
end
$$;
comment on function app_private.restore_deletion(uuid) is 'Clears every mark of a deletion in the current organization.';
alter function app_private.restore_deletion(uuid) owner to callboard_definer;
revoke execute on function app_private.restore_deletion(uuid) from public;

create or replace function app_private.policy_permission(target regclass, command text) returns text
language sql stable
set search_path = ''
begin atomic
  select substring(pg_get_expr(coalesce(p.polqual, p.polwithcheck), p.polrelid) from 'org_if\(''([a-z_.]+)''')
  from pg_catalog.pg_policy p where p.polrelid = target and p.polname = command || '_member';
end;
comment on function app_private.policy_permission(regclass, text) is
  'The permission that a member needs for select, insert, update or delete on a table, as its policy says; NULL where no member may. A policy says so too where there is no grant, because the command goes through functions.';
alter function app_private.policy_permission(regclass, text) owner to callboard_definer;
revoke execute on function app_private.policy_permission(regclass, text) from public;

create or replace function app_private.delete_row(target regclass, id uuid, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  execute format('select version from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is null for no key update', target)
  into present using id, app_private.policy_permission(target, 'select');
  perform app.check_version(present, if_match);
  perform app.require(app_private.policy_permission(target, 'delete'));
  perform app_private.soft_delete(target, 'organization_id = app.current_org() and id = $1', id);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app_private.delete_row(regclass, uuid, text) is
  'The command behind every DELETE of one row of the current organization. PT404, PT403, PT412, PT409.';
alter function app_private.delete_row(regclass, uuid, text) owner to callboard_definer;
revoke execute on function app_private.delete_row(regclass, uuid, text) from public;

create or replace function app_private.restore_row(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  missing boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, app_private.policy_permission(target, 'select');
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(app_private.policy_permission(target, 'delete'));
  perform app_private.restore_deletion(deletion);
  -- A row whose parent went in another deletion would come back to nowhere; locking the parent
  -- makes its deletion at the same moment wait and then see the row.
  for edge in select * from app_private.deletion_edges e where e.child = target loop
    execute format('select p.deleted_at is not null from %s c, %s p where %s and c.organization_id = app.current_org() and c.id = $1 for share of p',
      target, edge.parent, edge.condition) into missing using id;
    if missing then
      perform app.refuse(409, 'parent_deleted', 'What it belongs to is deleted: restore that first.');
    end if;
  end loop;
end
$$;
comment on function app_private.restore_row(regclass, uuid) is
  'The command behind every restore: brings back all that was deleted together with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.restore_row(regclass, uuid) from public;
--! EndIncluded deletions.sql
--! Included finance_categories.sql
-- What income and expenses are for: a list of each organization's own, with which it begins.

create table if not exists app.finance_categories (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_categories_kind_known check (kind in ('income', 'expense')),
  name text not null constraint finance_categories_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
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
create index if not exists finance_categories_deletion_id_idx on app.finance_categories (organization_id, deletion_id) where deletion_id is not null;
alter table app.finance_categories alter column name set statistics 0;

alter table app.finance_categories enable row level security;
alter table app.finance_categories force row level security;

drop policy if exists select_member on app.finance_categories;
create policy select_member on app.finance_categories for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.finance_categories;
create policy insert_member on app.finance_categories for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.finance_categories;
create policy update_member on app.finance_categories for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.finance_categories;
create policy delete_member on app.finance_categories for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Founding an organization, deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.finance_categories;
create policy select_definer on app.finance_categories for select to callboard_definer using (true);
drop policy if exists insert_definer on app.finance_categories;
create policy insert_definer on app.finance_categories for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.finance_categories;
create policy update_definer on app.finance_categories for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.finance_categories to callboard_api, callboard_definer;
grant insert (kind, name), update (name) on app.finance_categories to callboard_api;
grant insert (organization_id, kind, name), update (deleted_at, deleted_by, deletion_id) on app.finance_categories to callboard_definer;

comment on table app.finance_categories is 'What income and expenses of the organization are for.';

drop trigger if exists _100_timestamps on app.finance_categories;
create trigger _100_timestamps before update on app.finance_categories
  for each row execute function app_private.tg__100_timestamps();

select app_private.log_changes('app.finance_categories', 'finance_category');

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
revoke execute on function app_private.tg_organizations__500_finance_categories() from public;
create or replace trigger _500_finance_categories after insert on app.organizations
  for each row execute function app_private.tg_organizations__500_finance_categories();

create or replace view app.finance_category_list with (security_invoker = true) as
  select c.organization_id, c.id, c.kind, c.name, c.version,
    json_build_object('id', c.id, 'kind', c.kind, 'name', c.name, 'created_at', c.created_at, 'updated_at', c.updated_at) as body
  from app.finance_categories c
  where c.deleted_at is null;
comment on view app.finance_category_list is 'The organization''s categories that are not deleted, with their JSON.';
grant select on app.finance_category_list to callboard_api, callboard_definer;

create or replace function app.read_finance_category(category uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, c.body, app.etag(c.version), '/api/finance-categories/' || c.id into answer from app.finance_category_list c
  where c.organization_id = app.current_org() and c.id = category;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_finance_category(uuid) is 'A category. PT404.';
revoke execute on function app.read_finance_category(uuid) from public;
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
revoke execute on function app.create_finance_category(jsonb) from public;
grant execute on function app.create_finance_category(jsonb) to callboard_api;

create or replace function app.rename_finance_category(category uuid, to_name text, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  select c.version into present from app.finance_categories c
  where c.organization_id = app.current_org() and c.id = category and c.deleted_at is null;
  perform app.check_version(present, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select c.version into present from app.finance_categories c
  where c.organization_id = app.current_org() and c.id = category and c.deleted_at is null for no key update;
  perform app.check_version(present, if_match);
  update app.finance_categories c set name = to_name where c.organization_id = app.current_org() and c.id = category;
  return app.read_finance_category(category);
end
$$;
comment on function app.rename_finance_category(uuid, text, text) is 'Renames a category, in all records that have it. PT403, PT404, PT409 finance_category_name_taken, PT412.';
revoke execute on function app.rename_finance_category(uuid, text, text) from public;
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
revoke execute on function app.delete_finance_category(uuid, text) from public;
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
revoke execute on function app.restore_finance_category(uuid) from public;
grant execute on function app.restore_finance_category(uuid) to callboard_api;
--! EndIncluded finance_categories.sql
--! Included finance_periods.sql
-- Months whose books are closed. A row is a closed month; opening it again deletes the row, and the
-- event log knows who did either.

create table if not exists app.finance_periods (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  month date not null constraint finance_periods_month_first check (
    extract(day from month) = 1 and month between date '1900-01-01' and date '2199-12-01'),
  closed_by uuid default app.current_user_id() references app.users (id),
  closed_at timestamptz not null default now(),
  primary key (organization_id, month)
);
comment on table app.finance_periods is 'Months whose books are closed: no finance record of theirs is entered, changed, deleted or restored.';
comment on column app.finance_periods.month is 'Its first day.';

alter table app.finance_periods enable row level security;
alter table app.finance_periods force row level security;

drop policy if exists select_member on app.finance_periods;
create policy select_member on app.finance_periods for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
-- Without grants, because both go through functions, which wait for records that are being written.
drop policy if exists insert_member on app.finance_periods;
create policy insert_member on app.finance_periods for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.close')));
drop policy if exists delete_member on app.finance_periods;
create policy delete_member on app.finance_periods for delete to callboard_api
  using (organization_id = (select app.org_if('finance.close')));

drop policy if exists all_definer on app.finance_periods;
create policy all_definer on app.finance_periods for all to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.finance_periods to callboard_api, callboard_definer;
grant insert (month), delete on app.finance_periods to callboard_definer;

select app_private.log_changes('app.finance_periods', 'finance_period', '{"create": "close", "delete": "reopen"}');

create or replace view app.finance_period_list with (security_invoker = true) as
  select p.organization_id, p.id, p.month, json_build_object('month', to_char(p.month, 'YYYY-MM'), 'closed_at', p.closed_at, 'closed_by', p.closed_by) as body
  from app.finance_periods p;
comment on view app.finance_period_list is 'The organization''s closed months, with their JSON.';
grant select on app.finance_period_list to callboard_api, callboard_definer;

create or replace function app.month_of(name text) returns date
language sql immutable strict parallel safe
return make_date(left(name, 4)::integer, right(name, 2)::integer, 1);
comment on function app.month_of(text) is 'The first day of a month that is written YYYY-MM.';
revoke execute on function app.month_of(text) from public;
grant execute on function app.month_of(text) to callboard_api, callboard_definer;

create or replace function app.close_period(to_close date) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('finance.close');
  -- Whoever is writing a record shares this row's lock to the end: see finance_records.sql.
  perform from app.organizations o where o.id = app.current_org() for no key update;
  insert into app.finance_periods (month) values (to_close) on conflict (organization_id, month) do nothing;
  return (200, p.body, null, null)::app.answer from app.finance_period_list p
    where p.organization_id = app.current_org() and p.month = to_close;
end
$$;
comment on function app.close_period(date) is 'Closes the books of the month that begins on the day; it may be closed already. PT403 without finance.close.';
alter function app.close_period(date) owner to callboard_definer;
revoke execute on function app.close_period(date) from public;
grant execute on function app.close_period(date) to callboard_api;

create or replace function app.reopen_period(to_open date) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('finance.read');
  if not exists (select from app.finance_periods p where p.organization_id = app.current_org() and p.month = to_open) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('finance.close');
  delete from app.finance_periods p where p.organization_id = app.current_org() and p.month = to_open;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.reopen_period(date) is 'Opens the books of a month again. PT403 without finance.close, PT404 if they are not closed.';
alter function app.reopen_period(date) owner to callboard_definer;
revoke execute on function app.reopen_period(date) from public;
grant execute on function app.reopen_period(date) to callboard_api;
--! EndIncluded finance_periods.sql
--! Included finance_records.sql
-- Finance records: money that comes in or goes out, planned or real.

create table if not exists app.finance_record_status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
alter table app.finance_record_status_transitions enable row level security;
alter table app.finance_record_status_transitions force row level security;
drop policy if exists select_all on app.finance_record_status_transitions;
create policy select_all on app.finance_record_status_transitions for select to callboard_api, callboard_definer using (true);
drop policy if exists all_owner on app.finance_record_status_transitions;
create policy all_owner on app.finance_record_status_transitions for all to callboard_owner using (true);
grant select on app.finance_record_status_transitions to callboard_api, callboard_definer;
comment on table app.finance_record_status_transitions is 'Reference: from which status a finance record may go to which. What is void stays so.';

insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;

create or replace function app.base_currency() returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select o.currency::text from app.organizations o where o.id = app.current_org();
end;
comment on function app.base_currency() is 'The currency in which the organization of this transaction keeps its books.';
alter function app.base_currency() owner to callboard_definer;
revoke execute on function app.base_currency() from public;
grant execute on function app.base_currency() to callboard_api;

create table if not exists app.finance_records (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_records_kind_known check (kind in ('income', 'expense')),
  category_id uuid not null,
  show_id uuid,
  booked_on date not null constraint finance_records_booked_on_range check (booked_on between date '1900-01-01' and date '2199-12-31'),
  due_on date constraint finance_records_due_on_range check (due_on between date '1900-01-01' and date '2199-12-31'),
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  amount_minor bigint not null constraint finance_records_amount_range check (amount_minor between 0 and 9007199254740991),
  tax_minor bigint not null default 0,
  currency char(3) not null,
  exchange_rate numeric(20, 10) constraint finance_records_exchange_rate_needed check (exchange_rate is not null)
    constraint finance_records_exchange_rate_range check (exchange_rate > 0 and exchange_rate <= 1000000000),
  -- Of the day of booking: another currency of the organization's, later, changes no old record.
  base_currency char(3) not null default app.base_currency(),
  -- Null only without a rate, and then a constraint says so.
  base_amount_minor bigint generated always as
      (app.convert_minor(amount_minor, exchange_rate, currency::text, base_currency::text)) stored
    constraint finance_records_base_amount_range check (base_amount_minor between 0 and 9007199254740991),
  status text not null default 'planned' constraint finance_records_status_known check (status in ('planned', 'committed', 'actual', 'void')),
  payment_status text not null default 'unpaid' constraint finance_records_payment_status_known check (
    payment_status in ('unpaid', 'partly_paid', 'paid', 'refunded')),
  counterparty text constraint finance_records_counterparty_length check (length(counterparty) between 1 and 200 and counterparty !~ '[\u0001-\u001f\u007f-\u009f]'),
  note text constraint finance_records_note_length check (length(note) <= 10000),
  source text constraint finance_records_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint finance_records_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint finance_records_category_exists foreign key (organization_id, category_id, kind)
    references app.finance_categories (organization_id, id, kind),
  -- A record outlives its show: see the trigger on app.shows below.
  constraint finance_records_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint finance_records_currency_exists foreign key (currency) references app.currencies (code),
  constraint finance_records_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1),
  constraint finance_records_tax_within_amount check (tax_minor between 0 and amount_minor),
  constraint finance_records_external_ref_with_source check ((external_ref is null) = (source is null))
);
create index if not exists finance_records_organization_id_booked_on_idx on app.finance_records (organization_id, booked_on, id) where deleted_at is null;
create index if not exists finance_records_organization_id_show_id_idx on app.finance_records (organization_id, show_id, booked_on)
  where show_id is not null;
create index if not exists finance_records_organization_id_category_id_idx on app.finance_records (organization_id, category_id, booked_on);
create unique index if not exists finance_record_external_ref_taken on app.finance_records (organization_id, source, external_ref)
  where deleted_at is null and external_ref is not null;
create index if not exists finance_records_deletion_id_idx on app.finance_records (organization_id, deletion_id) where deletion_id is not null;
alter table app.finance_records
  alter column amount_minor set statistics 0, alter column tax_minor set statistics 0, alter column exchange_rate set statistics 0,
  alter column base_amount_minor set statistics 0, alter column counterparty set statistics 0, alter column note set statistics 0,
  alter column source set statistics 0, alter column external_ref set statistics 0;

alter table app.finance_records enable row level security;
alter table app.finance_records force row level security;

drop policy if exists select_member on app.finance_records;
create policy select_member on app.finance_records for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.finance_records;
create policy insert_member on app.finance_records for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.finance_records;
create policy update_member on app.finance_records for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.finance_records;
create policy delete_member on app.finance_records for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting, restoring and importing are the definer's, within the current organization.
drop policy if exists select_definer on app.finance_records;
create policy select_definer on app.finance_records for select to callboard_definer using (true);
drop policy if exists update_definer on app.finance_records;
create policy update_definer on app.finance_records for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.finance_records to callboard_api, callboard_definer;
grant insert (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref)
  on app.finance_records to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;

comment on table app.finance_records is 'Income and expenses of the organization, planned and real.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind says in which direction.';
comment on column app.finance_records.tax_minor is 'Tax that the amount includes.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, by the exchange rate.';
comment on column app.finance_records.external_ref is 'What the record is called where it comes from (source); unique there.';

drop trigger if exists _100_timestamps on app.finance_records;
create trigger _100_timestamps before update on app.finance_records
  for each row execute function app_private.tg__100_timestamps();

create or replace function app_private.tg_finance_records__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from app.finance_record_status_transitions t where t.from_status = old.status and t.to_status = new.status) then
    perform app.refuse(409, 'finance_record_status_transition', format('A finance record cannot go from %s to %s.', old.status, new.status));
  end if;
  return new;
end
$$;
comment on function app_private.tg_finance_records__200_status() is
  'PT409 finance_record_status_transition for a change that app.finance_record_status_transitions does not list.';
revoke execute on function app_private.tg_finance_records__200_status() from public;
drop trigger if exists _200_status on app.finance_records;
create trigger _200_status before update on app.finance_records
  for each row when (new.status is distinct from old.status) execute function app_private.tg_finance_records__200_status();

-- What a record refers to, and whether its month is open, is asked once for all rows of a statement.
create or replace function app_private.tg_finance_records__300_entered() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  closed date;
begin
  -- Whoever closes a month waits for this lock, and then sees these records.
  perform from app.organizations o where o.id in (select n.organization_id from after n) for share;
  select p.month into closed from after n
  join app.finance_periods p on p.organization_id = n.organization_id and p.month = date_trunc('month', n.booked_on)::date limit 1;
  if found then
    perform app.refuse(409, 'period_closed', format('The books of %s are closed.', to_char(closed, 'YYYY-MM')));
  end if;
  -- Locked, so that a deletion at the same moment waits and then sees the record.
  perform from app.finance_categories c
  where (c.organization_id, c.id) in (select n.organization_id, n.category_id from after n) and c.deleted_at is null for share;
  if exists (select from after n join app.finance_categories c on c.organization_id = n.organization_id and c.id = n.category_id
      where c.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_category_exists', 'There is no such category.');
  end if;
  perform from app.shows s
  where (s.organization_id, s.id) in (select n.organization_id, n.show_id from after n) and s.deleted_at is null for share;
  if exists (select from after n join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id where s.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_show_exists', 'There is no such show.');
  end if;
  return null;
end
$$;
comment on function app_private.tg_finance_records__300_entered() is
  'PT409 period_closed, finance_records_category_exists or finance_records_show_exists for new records in a closed month, or of a category or show that is deleted.';
alter function app_private.tg_finance_records__300_entered() owner to callboard_definer;
revoke execute on function app_private.tg_finance_records__300_entered() from public;
create or replace trigger _300_entered after insert on app.finance_records
  referencing new table as after for each statement execute function app_private.tg_finance_records__300_entered();

create or replace function app_private.tg_finance_records__300_changed() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  closed date;
begin
  perform from app.organizations o where o.id in (select n.organization_id from after n) for share;
  select p.month into closed from after n
  join before b on b.organization_id = n.organization_id and b.id = n.id
  -- The whole organization can be deleted and restored whatever is closed.
  join app.organizations o on o.id = n.organization_id and o.deleted_at is null
  join app.finance_periods p on p.organization_id = n.organization_id
    and p.month in (date_trunc('month', n.booked_on)::date, date_trunc('month', b.booked_on)::date)
  -- So can a show be purged, which takes itself out of its records.
  where not (b.show_id is not null and n.show_id is null
    and not exists (select from app.shows s where s.organization_id = b.organization_id and s.id = b.show_id))
  limit 1;
  if found then
    perform app.refuse(409, 'period_closed', format('The books of %s are closed.', to_char(closed, 'YYYY-MM')));
  end if;
  perform from app.finance_categories c
  where (c.organization_id, c.id) in (select n.organization_id, n.category_id from after n where n.deleted_at is null) and c.deleted_at is null for share;
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.finance_categories c on c.organization_id = n.organization_id and c.id = n.category_id
      where n.category_id <> b.category_id and c.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_category_exists', 'There is no such category.');
  end if;
  perform from app.shows s
  where (s.organization_id, s.id) in (select n.organization_id, n.show_id from after n where n.deleted_at is null) and s.deleted_at is null for share;
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id
      where n.show_id is distinct from b.show_id and s.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_show_exists', 'There is no such show.');
  end if;
  -- What is only planned does not come back without its show; one that comes back with it is still marked here.
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id
      where b.deleted_at is not null and n.deleted_at is null and n.status in ('planned', 'committed')
        and s.deleted_at is not null and s.deletion_id <> b.deletion_id) then
    perform app.refuse(409, 'parent_deleted', 'The show that it is planned for is deleted: restore that first.');
  end if;
  return null;
end
$$;
comment on function app_private.tg_finance_records__300_changed() is
  'The same for changed records: neither the month that a record is in nor the one that it was in may be closed.';
alter function app_private.tg_finance_records__300_changed() owner to callboard_definer;
revoke execute on function app_private.tg_finance_records__300_changed() from public;
create or replace trigger _300_changed after update on app.finance_records
  referencing old table as before new table as after for each statement execute function app_private.tg_finance_records__300_changed();

-- What was only planned for a show goes with it, and comes back with it. What was really paid stays.
create or replace function app_private.tg_shows__400_finance_records() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  update app.finance_records r set deleted_at = new.deleted_at, deleted_by = new.deleted_by, deletion_id = new.deletion_id
  where r.organization_id = new.organization_id and r.show_id = new.id and r.status in ('planned', 'committed') and r.deleted_at is null;
  return null;
end
$$;
comment on function app_private.tg_shows__400_finance_records() is 'Deletes with a show what is planned or committed for it, but nothing that is actual.';
alter function app_private.tg_shows__400_finance_records() owner to callboard_definer;
revoke execute on function app_private.tg_shows__400_finance_records() from public;
create or replace trigger _400_finance_records after update on app.shows
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function app_private.tg_shows__400_finance_records();

select app_private.log_changes('app.finance_records', 'finance_record');
--! EndIncluded finance_records.sql
--! Included finance_record_commands.sql
-- What can be done with a finance record; the table is in finance_records.sql.

create or replace view app.finance_record_list with (security_invoker = true) as
  select r.organization_id, r.id, r.kind, r.category_id, r.show_id, r.booked_on, r.currency, r.status, r.payment_status, r.source, r.external_ref,
    r.version,
    json_build_object(
      'id', r.id, 'kind', r.kind, 'category_id', r.category_id, 'category_name', c.name, 'show_id', r.show_id,
      -- Also of a show that is deleted: what was paid for it is still to be read.
      'show_title', s.title,
      'booked_on', r.booked_on, 'due_on', r.due_on, 'amount_minor', r.amount_minor, 'tax_minor', r.tax_minor, 'currency', r.currency,
      'exchange_rate', trim_scale(r.exchange_rate), 'base_amount_minor', r.base_amount_minor, 'base_currency', r.base_currency,
      'status', r.status, 'payment_status', r.payment_status, 'counterparty', r.counterparty, 'note', r.note,
      'source', r.source, 'external_ref', r.external_ref,
      'created_by', r.created_by, 'created_at', r.created_at, 'updated_at', r.updated_at) as body
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  where r.deleted_at is null;
comment on view app.finance_record_list is 'The organization''s finance records that are not deleted, with their JSON.';
grant select on app.finance_record_list to callboard_api, callboard_definer;

create or replace function app.read_finance_record(record uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body, app.etag(r.version), '/api/finance-records/' || r.id into answer from app.finance_record_list r
  where r.organization_id = app.current_org() and r.id = record;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_finance_record(uuid) is 'A finance record. PT404.';
revoke execute on function app.read_finance_record(uuid) from public;
grant execute on function app.read_finance_record(uuid) to callboard_api, callboard_definer;

create or replace function app.create_finance_record(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.finance_records := jsonb_populate_record(null::app.finance_records, body);
  answer app.answer;
begin
  n.currency := coalesce(n.currency, app.base_currency());
  insert into app.finance_records (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status,
    payment_status, counterparty, note, source, external_ref)
  values (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency,
    coalesce(n.exchange_rate, case when n.currency = app.base_currency() then 1 end), coalesce(n.status, 'planned'),
    coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref)
  returning id into n.id;
  answer := app.read_finance_record(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_finance_record(jsonb) is
  'A new finance record; without a currency it is in the organization''s. PT403 without finance.write, PT409 period_closed, finance_record_external_ref_taken, and for a category or show that is not there.';
revoke execute on function app.create_finance_record(jsonb) from public;
grant execute on function app.create_finance_record(jsonb) to callboard_api;

create or replace function app.write_finance_record(record uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  old app.finance_records;
  n app.finance_records;
begin
  select * into old from app.finance_records r where r.organization_id = app.current_org() and r.id = record and r.deleted_at is null;
  perform app.check_version(old.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into old from app.finance_records r
  where r.organization_id = app.current_org() and r.id = record and r.deleted_at is null for no key update;
  perform app.check_version(old.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.finance_records else old end, body);
  n.currency := coalesce(n.currency, old.base_currency);
  -- The rate belongs to the currency: another one needs its own.
  if n.currency = old.base_currency then
    n.exchange_rate := coalesce((body ->> 'exchange_rate')::numeric, 1);
  elsif n.currency <> old.currency then
    n.exchange_rate := (body ->> 'exchange_rate')::numeric;
  end if;
  update app.finance_records r
  set (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
      counterparty, note, source, external_ref)
    = row (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency, n.exchange_rate,
      coalesce(n.status, 'planned'), coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref)
  where r.organization_id = app.current_org() and r.id = record;
  return app.read_finance_record(record);
end
$$;
comment on function app.write_finance_record(uuid, jsonb, boolean, text) is
  'Changes a finance record: the columns in the body or, with replaces, all of them (absent ones get their default). Its base currency stays. PT403, PT404, PT409, PT412.';
revoke execute on function app.write_finance_record(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_finance_record(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_finance_record(record uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.finance_records', record, if_match);
end
$$;
comment on function app.delete_finance_record(uuid, text) is 'Deletes a finance record until it is restored. PT403, PT404, PT409 period_closed, PT412.';
alter function app.delete_finance_record(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_finance_record(uuid, text) from public;
grant execute on function app.delete_finance_record(uuid, text) to callboard_api;

create or replace function app.restore_finance_record(record uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.finance_records', record);
  return app.read_finance_record(record);
end
$$;
comment on function app.restore_finance_record(uuid) is
  'Brings a deleted finance record back, and what was deleted with it. PT403, PT404, PT409 parent_deleted, period_closed, finance_record_external_ref_taken.';
alter function app.restore_finance_record(uuid) owner to callboard_definer;
revoke execute on function app.restore_finance_record(uuid) from public;
grant execute on function app.restore_finance_record(uuid) to callboard_api;
--! EndIncluded finance_record_commands.sql
-- Organizations that are there already begin with the same categories as new ones. Without the force
-- of row-level security, the owner sees them all.
alter table app.organizations no force row level security;
alter table app.finance_categories no force row level security;
insert into app.finance_categories (organization_id, kind, name, deleted_at, deleted_by, deletion_id)
select o.id, c.kind, c.name, o.deleted_at, o.deleted_by, o.deletion_id
from app.organizations o, (values
  ('income', 'Ticket sales'), ('income', 'Guarantee'), ('income', 'Merchandise'), ('income', 'Sponsorship'), ('income', 'Other income'),
  ('expense', 'Artist fees'), ('expense', 'Venue hire'), ('expense', 'Production'), ('expense', 'Crew'), ('expense', 'Travel'),
  ('expense', 'Accommodation'), ('expense', 'Catering'), ('expense', 'Marketing'), ('expense', 'Insurance'),
  ('expense', 'Taxes and licences'), ('expense', 'Other expenses')) as c (kind, name)
where not exists (select from app.finance_categories x where x.organization_id = o.id);
alter table app.finance_categories force row level security;
alter table app.organizations force row level security;
