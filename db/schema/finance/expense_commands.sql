-- What members do with their own expenses. Nobody else changes them; what somebody with finance.write decides is in
-- expense_decisions.sql.

create or replace function app_private.lock_expense(expense uuid, if_match text) returns app.expenses
language plpgsql volatile
set search_path = ''
as $$
declare
  e app.expenses;
begin
  select * into e from app.expenses x
  where x.organization_id = app.current_org() and x.id = expense and x.deleted_at is null
    and (x.created_by = app.current_user_id() or app.org_if_reading('finance.read') is not null)
  for no key update;
  perform app.check_version(e.version, if_match);
  return e;
end
$$;
comment on function app_private.lock_expense(uuid, text) is 'An expense that the member sees, locked. PT404, PT412.';
alter function app_private.lock_expense(uuid, text) owner to callboard_definer;

create or replace function app_private.own_expense(expense uuid, if_match text) returns app.expenses
language plpgsql volatile
set search_path = ''
as $$
declare
  e constant app.expenses := app_private.lock_expense(expense, if_match);
begin
  if e.created_by <> app.current_user_id() then
    perform app.refuse(403, 'permission_denied', 'Only who has entered it changes it.');
  end if;
  perform app.require('itineraries.read');
  return e;
end
$$;
comment on function app_private.own_expense(uuid, text) is 'One of the member''s own expenses, locked. PT403 for somebody else''s, PT404, PT412.';
alter function app_private.own_expense(uuid, text) owner to callboard_definer;

create or replace function app_private.open_expense(expense uuid, if_match text) returns app.expenses
language plpgsql volatile
set search_path = ''
as $$
declare
  e constant app.expenses := app_private.own_expense(expense, if_match);
begin
  if e.status not in ('draft', 'rejected') then
    perform app.refuse(409, 'expense_not_open', format('It is %s.', e.status));
  end if;
  return e;
end
$$;
comment on function app_private.open_expense(uuid, text) is 'The same, which can be changed: a draft, or rejected. PT409 expense_not_open.';
alter function app_private.open_expense(uuid, text) owner to callboard_definer;

create or replace function app.read_expense(expense uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, e.body::json, app.etag(e.version), '/api/expenses/' || e.id into answer
  from app.expense_rows e
  where e.organization_id = (select app.current_org()) and e.id = expense and e.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_expense(uuid) is 'An expense that the member sees. PT404.';
grant execute on function app.read_expense(uuid) to callboard_api, callboard_definer;

create or replace function app_private.require_tour(itinerary uuid) returns void
language plpgsql stable
set search_path = ''
as $$
begin
  if not app_private.sees_itinerary(itinerary) then
    perform app.refuse(409, 'expenses_itinerary_exists', 'It does not exist, or has been deleted.');
  end if;
end
$$;
comment on function app_private.require_tour(uuid) is 'PT409 expenses_itinerary_exists for a tour that the member does not see.';
alter function app_private.require_tour(uuid) owner to callboard_definer;

create or replace function app.create_expense(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  n app.expenses := jsonb_populate_record(null::app.expenses, body);
  answer app.answer;
begin
  perform app.require('itineraries.read');
  -- A superadmin is no member.
  if not exists (select from app.memberships m where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only members have expenses.');
  end if;
  if n.itinerary_id is not null then
    perform app_private.require_tour(n.itinerary_id);
  end if;
  insert into app.expenses (person, itinerary_id, category_id, spent_on, amount_minor, currency, purpose)
  select u.display_name, n.itinerary_id, n.category_id, n.spent_on, n.amount_minor, coalesce(n.currency, o.currency), n.purpose
  from app.users u, app.organizations o where u.id = app.current_user_id() and o.id = app.current_org()
  returning id into n.id;
  answer := app.read_expense(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_expense(jsonb) is 'Enters an expense of the member''s own, as a draft. PT403, PT409 for a category or itinerary that does not exist, PT422.';
alter function app.create_expense(jsonb) owner to callboard_definer;
grant execute on function app.create_expense(jsonb) to callboard_api;

create or replace function app.write_expense(expense uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present constant app.expenses := app_private.open_expense(expense, if_match);
  n constant app.expenses := jsonb_populate_record(present, body);
begin
  if n.itinerary_id is not null and n.itinerary_id is distinct from present.itinerary_id then
    perform app_private.require_tour(n.itinerary_id);
  end if;
  perform app.keep_denomination('app.expenses', to_jsonb(present), n.currency, body);
  update app.expenses e
  set (itinerary_id, category_id, spent_on, amount_minor, currency, purpose)
    = row (n.itinerary_id, n.category_id, n.spent_on, n.amount_minor, n.currency, n.purpose)
  where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.write_expense(uuid, jsonb, text) is 'Changes an expense of the member''s own: the columns in the body. PT403, PT404, PT409, PT412, PT422.';
alter function app.write_expense(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.write_expense(uuid, jsonb, text) to callboard_api;

create or replace function app.delete_expense(expense uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if (app_private.own_expense(expense, if_match)).status = 'approved' then
    perform app.refuse(409, 'expense_not_open', 'It is approved.');
  end if;
  perform app_private.soft_delete('app.expenses', 'organization_id = app.current_org() and id = $1', expense);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.delete_expense(uuid, text) is 'Deletes an expense of the member''s own that is not approved. PT403, PT404, PT409 expense_not_open, PT412.';
alter function app.delete_expense(uuid, text) owner to callboard_definer;
grant execute on function app.delete_expense(uuid, text) to callboard_api;

create or replace function app.restore_expense(expense uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.expenses;
begin
  select * into e from app.expenses x
  where x.organization_id = app.current_org() and x.id = expense and x.deleted_at is not null and x.created_by = app.current_user_id()
  for no key update;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('itineraries.read');
  if exists (select from app.finance_categories c where c.organization_id = e.organization_id and c.id = e.category_id and c.deleted_at is not null) then
    perform app.refuse(409, 'parent_deleted', 'Its category is deleted.');
  end if;
  perform app_private.restore_deletion(e.deletion_id);
  return app.read_expense(expense);
end
$$;
comment on function app.restore_expense(uuid) is 'Restores an expense of the member''s own, as it was. PT403, PT404, PT409 parent_deleted.';
alter function app.restore_expense(uuid) owner to callboard_definer;
grant execute on function app.restore_expense(uuid) to callboard_api;

create or replace function app.submit_expense(expense uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.open_expense(expense, if_match);
  update app.expenses e set status = 'submitted', submitted_at = statement_timestamp(), decided_by = null, decided_at = null, reason = null
  where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.submit_expense(uuid, text) is 'Asks for an expense of the member''s own to be paid back. PT403, PT404, PT409 expense_not_open, PT412.';
alter function app.submit_expense(uuid, text) owner to callboard_definer;
grant execute on function app.submit_expense(uuid, text) to callboard_api;

create or replace function app_private.require_not_held() returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if app_private.is_held(app.current_org()) then
    perform app.refuse(409, 'expense_receipt_held');
  end if;
end
$$;
comment on function app_private.require_not_held() is 'PT409 expense_receipt_held during a legal hold, in which nothing is removed for good, a receipt included.';
alter function app_private.require_not_held() owner to callboard_definer;

create or replace function app.put_receipt(expense uuid, content bytea, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.open_expense(expense, if_match);
  if app_private.type_of_file(content) is null then
    perform app.refuse(422, 'expense_receipts_type_known');
  elsif exists (select from app.expense_receipts r where r.organization_id = app.current_org() and r.expense_id = expense) then
    perform app_private.require_not_held();
  end if;
  insert into app.expense_receipts as r (expense_id, content_type, bytes, sha256, content)
  values (expense, app_private.type_of_file(content), length(content), encode(sha256(content), 'hex'), content)
  on conflict (organization_id, expense_id) do update
  set content_type = excluded.content_type, bytes = excluded.bytes, sha256 = excluded.sha256, content = excluded.content, created_at = now();
  -- Another receipt is another version, so that nobody approves one they have not seen.
  update app.expenses e set purpose = e.purpose where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.put_receipt(uuid, bytea, text) is 'Stores the receipt of an expense of the member''s own, in place of the one before. PT403, PT404, PT409 expense_not_open, PT412, PT422 expense_receipts_type_known.';
alter function app.put_receipt(uuid, bytea, text) owner to callboard_definer;
grant execute on function app.put_receipt(uuid, bytea, text) to callboard_api;

create or replace function app.delete_receipt(expense uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.open_expense(expense, if_match);
  perform app_private.require_not_held();
  delete from app.expense_receipts r where r.organization_id = app.current_org() and r.expense_id = expense;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  update app.expenses e set purpose = e.purpose where e.organization_id = app.current_org() and e.id = expense;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.delete_receipt(uuid, text) is 'Removes the receipt of an expense of the member''s own, for good. PT403, PT404, PT409 expense_not_open, PT412.';
alter function app.delete_receipt(uuid, text) owner to callboard_definer;
grant execute on function app.delete_receipt(uuid, text) to callboard_api;

create or replace function app.read_receipt(expense uuid, out content_type text, out content bytea)
language plpgsql stable
set search_path = ''
as $$
begin
  select r.content_type, r.content into content_type, content
  from app.expense_receipts r
  join app.expenses e on e.organization_id = r.organization_id and e.id = r.expense_id and e.deleted_at is null
  where r.organization_id = (select app.current_org()) and r.expense_id = expense;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
end
$$;
comment on function app.read_receipt(uuid) is 'The receipt of an expense that the member sees, and what it is. PT404.';
grant execute on function app.read_receipt(uuid) to callboard_api;

create or replace function app.list_expense_categories() returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization constant uuid := app.require('itineraries.read');
begin
  return (200, json_build_object('items', (
    select coalesce(json_agg(json_build_object('id', c.id, 'name', c.name) order by c.name, c.id), '[]') from app.finance_categories c
    where c.organization_id = organization and c.kind = 'expense' and c.deleted_at is null), 'next_cursor', null), null, null)::app.answer;
end
$$;
comment on function app.list_expense_categories() is 'The categories that an expense may have, by name, for those who enter their own and do not see the books. PT403.';
alter function app.list_expense_categories() owner to callboard_definer;
grant execute on function app.list_expense_categories() to callboard_api;
