--! Previous: sha1:dfffbd371da92b8c1136d85c2e6125f0f5b38d3f
--! Hash: sha1:a12c7a6f8be74933feacc50416e78b20ec5fe6a8
--! Message: Budgets and money of tours

-- Included foundation/rows.sql
create or replace function app.require_parent(table_name text, parent text, id uuid) returns uuid
language plpgsql stable
set search_path = ''
as $$
declare
  r record := app.resource(table_name);
  parent_exists boolean;
begin
  execute (
    select format('select true from %s p where p.organization_id = (select app.current_org()) and p.id = $1 and p.deleted_at is null', c.confrelid::regclass)
    from pg_catalog.pg_constraint c
    where c.conrelid = r.target and c.contype = 'f'
      and c.conkey[2] = (select a.attnum from pg_catalog.pg_attribute a where a.attrelid = r.target and a.attname = parent))
  into parent_exists using id;
  -- Of an itinerary, those who do not plan it see what is published: that is in its view and not in its table.
  if parent_exists is null and parent = 'itinerary_id' then
    perform app.read_row('itineraries', id);
    parent_exists := true;
  end if;
  if parent_exists is null then
    perform app.refuse(404, 'not_found');
  end if;
  return id;
end
$$;
comment on function app.require_parent(text, text, uuid) is 'The id of a row''s parent, by the column that references it. PT404 if the member may not see it.';
grant execute on function app.require_parent(text, text, uuid) to callboard_api, callboard_definer;
-- EndIncluded foundation/rows.sql
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
-- The figures of all that is booked are in it. Whoever is entering a record holds a lock on the organization's row.
create or replace function app_private.tg_organizations__400_books() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  if exists (select from app.finance_records r where r.organization_id = new.id)
    or exists (select from app.budget_lines b where b.organization_id = new.id) then
    perform app.refuse(409, 'organization_has_books', format('The books are kept in %s: finance records or budgets have been entered.', old.currency));
  end if;
  return new;
end
$$;
comment on function app_private.tg_organizations__400_books() is 'PT409 organization_has_books for another currency of an organization that has finance records or budgets, also deleted ones.';
alter function app_private.tg_organizations__400_books() owner to callboard_definer;
-- EndIncluded finance/finance_records.sql
-- Included finance/budget_lines.sql
-- The budget of a tour: what is planned to come in and go out, category by category. What becomes of it is in tour_money.sql.

create table if not exists app.budget_lines (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  category_id uuid not null,
  amount_minor bigint not null constraint budget_lines_amount_range check (app.is_money(amount_minor)),
  -- Chosen when it is entered: another currency is another line.
  currency char(3) not null default app.base_currency() constraint budget_lines_currency_exists references app.currencies (code),
  exchange_rate numeric(20, 10) constraint budget_lines_exchange_rate_needed check (exchange_rate is not null)
    constraint budget_lines_exchange_rate_range check (exchange_rate > 0 and exchange_rate <= 1000000000),
  base_currency char(3) not null default app.base_currency(),
  -- Null only without a rate, which a constraint then reports.
  base_amount_minor bigint generated always as
      (app.convert_minor(amount_minor, exchange_rate, currency::text, base_currency::text)) stored
    constraint budget_lines_base_amount_range check (app.is_money(base_amount_minor)),
  note text constraint budget_lines_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint budget_lines_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint budget_lines_category_exists foreign key (organization_id, category_id)
    references app.finance_categories (organization_id, id),
  constraint budget_lines_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1)
);
create index if not exists budget_lines_organization_id_itinerary_id_idx on app.budget_lines (organization_id, itinerary_id, created_at, id)
  where deleted_at is null;
create index if not exists budget_lines_organization_id_category_id_idx on app.budget_lines (organization_id, category_id);
create or replace view app.budget_line_rows with (security_invoker = true) as
  select b.organization_id, b.version, b.deleted_at, b.deleted_by, app.body(b.as_json, row_to_json(j)) as body,
    b.id, b.itinerary_id, b.category_id, b.amount_minor, b.currency, trim_scale(b.exchange_rate) as exchange_rate, b.note, b.base_currency,
    b.created_by, b.created_at, b.updated_at, j.*
  from app.budget_lines b
  left join app.finance_categories c on c.organization_id = b.organization_id and c.id = b.category_id
  cross join lateral (select c.kind, c.name as category_name, b.base_amount_minor) j;
select app_private.tenant_table('budget_lines', noun => 'budget_line', permission => 'finance', path => '/api/budget-lines');
grant insert (itinerary_id, category_id, amount_minor, currency, exchange_rate, note), update (category_id, amount_minor, exchange_rate, note)
  on app.budget_lines to callboard_api;
comment on table app.budget_lines is 'What tours are planned to bring and to cost. Several lines of a category add up.';
comment on column app.budget_lines.category_id is 'Whether it is income or an expense follows from it.';
comment on column app.budget_lines.amount_minor is 'In the smallest unit of the currency.';
comment on column app.budget_lines.exchange_rate is 'Units of the base currency for one unit of the currency, as it is planned with.';
comment on column app.budget_lines.base_amount_minor is 'The amount in the base currency, at the exchange rate.';
create or replace function app_private.tg_budget_lines__150_rate() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.exchange_rate := 1;
  return new;
end
$$;
comment on function app_private.tg_budget_lines__150_rate() is 'The exchange rate of the base currency to itself.';
create or replace trigger _150_rate before insert or update on app.budget_lines
  for each row when (new.exchange_rate is null and new.currency = new.base_currency) execute function app_private.tg_budget_lines__150_rate();
-- EndIncluded finance/budget_lines.sql
-- Included finance/tour_money.sql
-- What a tour was planned to bring and cost, and what it does: the budget beside the books, category by category.

create or replace function app_private.shows_of(itinerary uuid) returns table (show_id uuid)
language plpgsql stable
set search_path = ''
as $$
begin
  -- A day has one show; the items of a day may be about others, such as a matinee.
  return query
    select d.show_id from app.itinerary_days d
    where d.organization_id = app.current_org() and d.itinerary_id = itinerary and d.deleted_at is null and d.show_id is not null
    union
    select i.show_id from app.schedule_items i
    where i.organization_id = app.current_org() and i.itinerary_id = itinerary and i.deleted_at is null and i.show_id is not null;
end
$$;
comment on function app_private.shows_of(uuid) is 'The shows on a tour, as it is planned: those of its days and of what happens on them, each once.';
alter function app_private.shows_of(uuid) owner to callboard_definer;
create or replace function app_private.tour_records(itinerary uuid)
returns table (category_id uuid, is_actual boolean, base_currency text, base_amount_minor bigint)
language plpgsql stable
set search_path = ''
as $$
begin
  -- A record is in one of the two, and in that once, so each counts once.
  return query
    select r.category_id, r.status = 'actual', r.base_currency::text, r.base_amount_minor from app.finance_records r
    where r.organization_id = app.current_org() and r.itinerary_id = itinerary and r.deleted_at is null and r.status <> 'void'
    union all
    select r.category_id, r.status = 'actual', r.base_currency::text, r.base_amount_minor from app.finance_records r
    where r.organization_id = app.current_org() and r.show_id in (select s.show_id from app_private.shows_of(itinerary) s)
      and r.itinerary_id is null and r.deleted_at is null and r.status <> 'void';
end
$$;
comment on function app_private.tour_records(uuid) is
  'The records that count for a tour: those that name it, and those that name none and are for a show on it. Without void ones.';
alter function app_private.tour_records(uuid) owner to callboard_definer;
create or replace function app.tour_money(itinerary uuid) returns json
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization constant uuid := app.require('finance.read');
  books constant text := (select o.currency from app.organizations o where o.id = organization);
begin
  return (
    with records as materialized (select * from app_private.tour_records(itinerary)),
    lines as (
      select b.category_id, b.base_amount_minor::numeric as budget, 0::numeric as expected, 0::numeric as actual from app.budget_lines b
      where b.organization_id = organization and b.itinerary_id = itinerary and b.deleted_at is null
      union all
      select r.category_id, 0, case when not r.is_actual then r.base_amount_minor else 0 end, case when r.is_actual then r.base_amount_minor else 0 end
      from records r where r.base_currency = books
    ),
    by_category as (
      select c.id, c.name, c.kind, sum(l.budget) as budget, sum(l.expected) as expected, sum(l.actual) as actual
      from lines l join app.finance_categories c on c.organization_id = organization and c.id = l.category_id
      group by c.id, c.name, c.kind
    ),
    totals as (
      select t.what, coalesce(sum(c.budget * t.sign), 0) as budget, coalesce(sum(c.expected * t.sign), 0) as expected, coalesce(sum(c.actual * t.sign), 0) as actual
      from (values ('income', 'income', 1), ('expense', 'expense', 1), ('profit', 'income', 1), ('profit', 'expense', -1)) as t (what, kind, sign)
      left join by_category c on c.kind = t.kind
      group by t.what
    )
    select json_build_object('itinerary_id', itinerary, 'currency', books,
      'categories', (select coalesce(json_agg(json_build_object('category_id', c.id, 'category_name', c.name, 'kind', c.kind,
          'budget_minor', c.budget, 'expected_minor', c.expected, 'actual_minor', c.actual, 'difference_minor', c.expected + c.actual - c.budget)
        order by c.kind desc, c.name, c.id), '[]') from by_category c),
      'totals', (select json_object_agg(t.what, json_build_object(
          'budget_minor', t.budget, 'expected_minor', t.expected, 'actual_minor', t.actual, 'difference_minor', t.expected + t.actual - t.budget)
        order by t.what) from totals t),
      'records_in_other_base_currencies', (select count(*) from records r where r.base_currency <> books)));
end
$$;
comment on function app.tour_money(uuid) is
  'The budget, the planned and committed, and the actual money of a tour, by category and in total, in the currency of the books. PT403 without finance.read.';
alter function app.tour_money(uuid) owner to callboard_definer;
grant execute on function app.tour_money(uuid) to callboard_api;
create or replace function app.read_tour_money(itinerary uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.require('finance.read');
  -- Whoever sees the tour, as a draft or published.
  perform app.read_row('itineraries', itinerary);
  return (200, app.tour_money(itinerary), null, null)::app.answer;
end
$$;
comment on function app.read_tour_money(uuid) is 'The money of a tour that the member sees. PT403 without finance.read, PT404.';
grant execute on function app.read_tour_money(uuid) to callboard_api;
-- EndIncluded finance/tour_money.sql
-- Lock: share row exclusive on app.currencies: create table if not exists app.budget_lines ( organization_id uuid not null default app.current_org(
-- Lock: share row exclusive on app.finance_categories: create table if not exists app.budget_lines ( organization_id uuid not null default app.current_org(
-- Lock: share row exclusive on app.itineraries: create table if not exists app.budget_lines ( organization_id uuid not null default app.current_org(
-- Lock: share row exclusive on app.organizations: create table if not exists app.budget_lines ( organization_id uuid not null default app.current_org(
-- Lock: share row exclusive on app.users: create table if not exists app.budget_lines ( organization_id uuid not null default app.current_org(
