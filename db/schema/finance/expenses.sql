-- Expenses that members have paid themselves: entered, submitted, and approved or rejected by somebody else. Approving enters
-- them in the books. Members see their own; holders of finance.read see all. Receipts are in expense_receipts.sql.

create table if not exists app.expenses (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  -- As they were called when they entered it.
  person text collate app.people not null,
  itinerary_id uuid,
  category_id uuid not null,
  spent_on date not null constraint expenses_spent_on_range check (app.is_day(spent_on)),
  amount_minor bigint not null constraint expenses_amount_range check (app.is_money(amount_minor)),
  currency char(3) not null default app.base_currency() constraint expenses_currency_exists references app.currencies (code),
  purpose text collate app.people not null constraint expenses_purpose_length check (app.is_line(purpose, 200)),
  status text not null default 'draft' constraint expenses_status_known check (status in ('draft', 'submitted', 'approved', 'rejected')),
  submitted_at timestamptz,
  decided_by uuid references app.users (id),
  decided_at timestamptz,
  reason text constraint expenses_reason_length check (length(reason) between 1 and 1000),
  finance_record_id uuid,
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  -- What somebody has paid outlives the tour it was for.
  constraint expenses_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete set null (itinerary_id),
  constraint expenses_category_exists foreign key (organization_id, category_id)
    references app.finance_categories (organization_id, id),
  constraint expenses_finance_record_exists foreign key (organization_id, finance_record_id)
    references app.finance_records (organization_id, id) on delete set null (finance_record_id),
  constraint expenses_rejected_with_reason check ((status = 'rejected') = (reason is not null))
);
create index if not exists expenses_organization_id_spent_on_idx on app.expenses (organization_id, spent_on, id) where deleted_at is null;
create index if not exists expenses_created_by_idx on app.expenses (organization_id, created_by, spent_on, id);
create index if not exists expenses_category_id_idx on app.expenses (organization_id, category_id);
create index if not exists expenses_itinerary_id_idx on app.expenses (organization_id, itinerary_id) where itinerary_id is not null;
create index if not exists expenses_finance_record_id_idx on app.expenses (organization_id, finance_record_id) where finance_record_id is not null;

-- Without write grants: the commands check whose it is, and how far. Members need no permission to see their own.
select app_private.tenant_policies('app.expenses', reads => 'finance.read', definer => 'insert, update');
select app_private.set_policy('app.expenses', 'select_self', 'callboard_api',
  '(organization_id = (select app.current_org())) and (created_by = (select app.current_user_id()))');
grant select on app.expenses to callboard_api, callboard_definer;
grant insert (person, itinerary_id, category_id, spent_on, amount_minor, currency, purpose),
  update (itinerary_id, category_id, spent_on, amount_minor, currency, purpose, status, submitted_at, decided_by, decided_at, reason, finance_record_id)
  on app.expenses to callboard_definer;
select app_private.check_parents('app.expenses');

comment on table app.expenses is 'What members have paid themselves, and what became of it.';
comment on column app.expenses.person is 'Who paid: their name when they entered it.';
comment on column app.expenses.status is 'draft, submitted, approved or rejected; only a draft and what was rejected can be changed.';
comment on column app.expenses.decided_by is 'Who has approved or rejected it.';
comment on column app.expenses.reason is 'Why it was rejected.';
comment on column app.expenses.finance_record_id is 'The record that approving it has entered.';

select app_private.log_changes('app.expenses', 'expense', '{"status": "change_status"}');

create or replace function app_private.tg_expenses__300_category() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- That it is not deleted is checked by _300_parents, and its kind never changes.
  if exists (select from app.finance_categories c
      where c.organization_id = new.organization_id and c.id = new.category_id and c.kind <> 'expense') then
    perform app.refuse(409, 'expenses_category_exists', 'There is no such category of expenses.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_expenses__300_category() is 'PT409 expenses_category_exists for a category of income.';
alter function app_private.tg_expenses__300_category() owner to callboard_definer;
create or replace trigger _300_category before insert or update of category_id on app.expenses
  for each row execute function app_private.tg_expenses__300_category();
