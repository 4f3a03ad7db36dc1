-- Receipts of expenses: one file each, kept in the database. How much an organization may store is in imports/import_room.sql.

create table if not exists app.expense_receipts (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  expense_id uuid not null,
  content_type text not null constraint expense_receipts_type_known check (content_type in ('application/pdf', 'image/jpeg', 'image/png')),
  bytes integer not null constraint expense_receipts_size check (bytes between 1 and 5242880),
  sha256 text not null,
  content bytea not null,
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  primary key (organization_id, expense_id),
  constraint expense_receipts_expense_exists foreign key (organization_id, expense_id)
    references app.expenses (organization_id, id) on delete cascade
);

-- As the expense, whose person uploads it.
select app_private.tenant_policies('app.expense_receipts', reads => 'finance.read', definer => 'insert, update, delete');
select app_private.set_policy('app.expense_receipts', 'select_self', 'callboard_api',
  '(organization_id = (select app.current_org())) and (created_by = (select app.current_user_id()))');
grant select on app.expense_receipts to callboard_api, callboard_definer;
grant insert (expense_id, content_type, bytes, sha256, content), update (content_type, bytes, sha256, content, created_at), delete
  on app.expense_receipts to callboard_definer;

-- EXPLAIN would reveal what files begin with.
alter table app.expense_receipts alter column content set statistics 0;

comment on table app.expense_receipts is 'The receipts of expenses.';
comment on column app.expense_receipts.content_type is 'What the file is by its first bytes, whatever it is called.';

select app_private.log_changes('app.expense_receipts', 'expense_receipt', id_column => 'expense_id', leave_out => '{sha256}');

create or replace function app_private.type_of_file(content bytea) returns text
language sql immutable parallel safe
return case
  when substr(content, 1, 5) = '\x255044462d' then 'application/pdf'
  when substr(content, 1, 3) = '\xffd8ff' then 'image/jpeg'
  when substr(content, 1, 8) = '\x89504e470d0a1a0a' then 'image/png'
end;
comment on function app_private.type_of_file(bytea) is 'The media type of a PDF, JPEG or PNG by its first bytes; NULL for anything else.';
alter function app_private.type_of_file(bytea) owner to callboard_definer;

create or replace function app_private.receipt_bytes(organization uuid) returns bigint
language sql stable
set search_path = ''
begin atomic
  select coalesce(sum(r.bytes), 0) from app.expense_receipts r where r.organization_id = organization;
end;
comment on function app_private.receipt_bytes(uuid) is 'How much the receipts of an organization take.';
alter function app_private.receipt_bytes(uuid) owner to callboard_definer;

create or replace function app_private.tg_expense_receipts__900_room() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.lock_storing(new.organization_id);
  if app_private.receipt_bytes(new.organization_id) + app_private.import_bytes(new.organization_id) > 524288000 then
    perform app.refuse(409, 'receipt_storage_full');
  -- Anybody may enter expenses: one of them alone does not take the room that all have.
  elsif app.org_if('finance.write') is null and (
    select sum(r.bytes) from app.expense_receipts r where r.organization_id = new.organization_id and r.created_by = new.created_by) > 262144000
  then
    perform app.refuse(409, 'receipt_storage_full', 'Those of one person take at most half of what an organization may store, unless they hold finance.write.');
  end if;
  return null;
end
$$;
comment on function app_private.tg_expense_receipts__900_room() is
  'Asks for room when the transaction ends, one at a time, together with the files of imports; whoever does not hold finance.write has half of it. PT409 receipt_storage_full.';
alter function app_private.tg_expense_receipts__900_room() owner to callboard_definer;
do $$
begin
  if not exists (select from pg_trigger t where t.tgrelid = 'app.expense_receipts'::regclass and t.tgname = '_900_room') then
    create constraint trigger _900_room after insert or update on app.expense_receipts deferrable initially deferred
      for each row execute function app_private.tg_expense_receipts__900_room();
  end if;
end
$$;

create or replace function app.expense_category_name(category uuid) returns text
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select c.name from app.finance_categories c where c.organization_id = app.current_org() and c.id = category and c.kind = 'expense';
end;
comment on function app.expense_category_name(uuid) is 'The name of a category of expenses, for those who enter their own and do not see the books.';
alter function app.expense_category_name(uuid) owner to callboard_definer;
grant execute on function app.expense_category_name(uuid) to callboard_api, callboard_definer;

create or replace view app.expense_rows with (security_invoker = true) as
  select e.organization_id, e.version, e.deleted_at, e.deleted_by, row_to_json(j)::text as body, j.*
  from app.expenses e
  left join app.expense_receipts r on r.organization_id = e.organization_id and r.expense_id = e.id
  cross join lateral (
    select e.id, e.person, e.itinerary_id, e.category_id, app.expense_category_name(e.category_id) collate app.people as category_name, e.spent_on, e.amount_minor, e.currency::text as currency, e.purpose,
      e.status, e.submitted_at, e.decided_by, e.decided_at, e.status = 'approved' and e.decided_by = e.created_by as is_self_approved, e.reason,
      e.finance_record_id, case when r.bytes is not null then json_build_object('content_type', r.content_type, 'bytes', r.bytes, 'sha256', r.sha256) end as receipt,
      e.created_by, e.created_at, e.updated_at) j;
comment on view app.expense_rows is 'Expenses with the fields of a response, including those in the bin.';
grant select on app.expense_rows to callboard_api, callboard_definer;
