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

-- Those of a tour that the member sees: its draft or, for those who do not plan, a published version.
select app_private.tenant_table('budget_lines', noun => 'budget_line', permission => 'finance', path => '/api/budget-lines',
  besides => $$(exists (select from app.itineraries i where ((i.organization_id = (select app.org_if_reading('itineraries.write'))) and (i.id = budget_lines.itinerary_id))))
    or (exists (select from app.itinerary_versions v where ((v.organization_id = (select app.org_if('itineraries.read'))) and (v.itinerary_id = budget_lines.itinerary_id))))$$);
select app_private.hide_changes('app.budget_lines', 'itineraries.write');
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

create or replace function app_private.tg_budget_lines__100_books() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Who changes the currency of the books waits for this, and then sees the line.
  perform from app.organizations o where o.id = new.organization_id for share;
  new.base_currency := coalesce((select o.currency from app.organizations o where o.id = new.organization_id), new.base_currency);
  return new;
end
$$;
comment on function app_private.tg_budget_lines__100_books() is 'Keeps the currency of the books as it is while a line is entered.';
alter function app_private.tg_budget_lines__100_books() owner to callboard_definer;
create or replace trigger _100_books before insert on app.budget_lines
  for each row execute function app_private.tg_budget_lines__100_books();
