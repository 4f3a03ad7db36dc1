--! Previous: sha1:ce4ab847780269eb8d57e71c6fe1fb2791796dd4
--! Hash: sha1:4051c7566774bc1126c025c6bca2231cb082c838
--! Message: Functions of the definer ask what their caller sees

-- Included foundation/tables.sql
select app_private.force_rls('app_private.table_permissions');
select app_private.set_policy('app_private.table_permissions', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.table_permissions', 'all_owner', 'callboard_owner', 'true');
select app_private.force_rls('app_private.resources');
select app_private.set_policy('app_private.resources', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.resources', 'all_owner', 'callboard_owner', 'true');
select app_private.set_policy('app_private.resources', 'update_definer', 'callboard_definer', 'true');
create or replace function app_private.row_key(target regclass) returns text
language sql stable
set search_path = ''
begin atomic
  -- The only primary key column besides the organization.
  select case when count(*) = 1 then min(a.attname)::text end
  from pg_catalog.pg_constraint c, unnest(c.conkey) as k (attnum)
  join pg_catalog.pg_attribute a on a.attnum = k.attnum
  where c.conrelid = target and c.contype = 'p' and a.attrelid = target and a.attname <> 'organization_id';
end;
comment on function app_private.row_key(regclass) is 'The column that identifies a row of a table within its organization; NULL if that takes more than one.';
alter function app_private.row_key(regclass) owner to callboard_definer;
-- The definer sees all rows, so it asks the members' own policies. It also sees all of the tables that these name: a
-- condition on another table has to say which permission that takes.
create or replace function app_private.member_sees(target regclass, id uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
declare
  policies constant text := (
    select string_agg(format('(%s)', pg_get_expr(p.polqual, p.polrelid)), ' or ') from pg_catalog.pg_policy p
    where p.polrelid = target and p.polcmd = 'r' and 'callboard_api'::regrole = any (p.polroles));
  is_seen boolean;
begin
  execute format('select exists (select from %s where %I = app.current_org() and %I = $1 and (%s))', target,
    case when target = 'app.organizations'::regclass then 'id' else 'organization_id' end, app_private.row_key(target), coalesce(policies, 'false'))
  into is_seen using id;
  return is_seen;
end
$$;
comment on function app_private.member_sees(regclass, uuid) is
  'Whether the policies let the member of this transaction see a row of their organization, deleted or not; for the definer, to whom policies show all.';
alter function app_private.member_sees(regclass, uuid) owner to callboard_definer;
-- EndIncluded foundation/tables.sql
-- Included foundation/rows.sql
create or replace function app.create_row(table_name text, body jsonb, parent text default null, parent_id uuid default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  r record := app.resource(table_name, 'insert');
  complete jsonb := case when parent is null then body else body || jsonb_build_object(parent, app.require_parent(table_name, parent, parent_id)) end;
  columns text := (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(complete) k);
  id uuid;
  answer app.answer;
begin
  perform app.require(r.permission);
  -- The answer shows the row, and refusals may tell of others: who does not see them learns nothing first.
  perform app.require((app.resource(table_name)).permission);
  if columns is null then
    perform app.refuse(400, 'invalid_value', 'The body is empty.');
  end if;
  -- Columns missing from the body get their defaults; PostgreSQL refuses those that are not granted.
  execute format('insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $1) returning id', r.target, columns) into id using complete;
  answer := app.read_row(table_name, id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_row(text, jsonb, text, uuid) is
  'Creates a row, under a parent if its column and id are given; columns missing from the body get their defaults. PT403, PT404, PT409, PT422.';
grant execute on function app.create_row(text, jsonb, text, uuid) to callboard_api;
create or replace function app_private.require_seen(target regclass, id uuid) returns regclass
language plpgsql stable
set search_path = ''
as $$
begin
  if not app_private.member_sees(target, id) then
    perform app.refuse(404, 'not_found');
  end if;
  return target;
end
$$;
comment on function app_private.require_seen(regclass, uuid) is
  'The table, for the definer''s parts of commands, which anybody may call who can run SQL. PT404 for a row that the member does not see.';
alter function app_private.require_seen(regclass, uuid) owner to callboard_definer;
create or replace function app.mark_row(table_name text, id uuid, if_match text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  target constant regclass := app_private.require_seen((app.resource(table_name)).target, id);
  answer app.answer := app_private.delete_row(target, id, if_match);
begin
  perform app_private.guard_row(table_name, id);
  return answer;
end
$$;
comment on function app.mark_row(text, uuid, text) is 'The definer''s part of app.delete_row: marks the row as deleted, with everything that belongs to it. PT403, PT404, PT409, PT412.';
alter function app.mark_row(text, uuid, text) owner to callboard_definer;
grant execute on function app.mark_row(text, uuid, text) to callboard_api;
create or replace function app.unmark_row(table_name text, id uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row(app_private.require_seen((app.resource(table_name)).target, id), id);
  perform app_private.guard_row(table_name, id);
end
$$;
comment on function app.unmark_row(text, uuid) is 'The definer''s part of app.restore_row: restores the row and everything that was deleted with it. PT403, PT404, PT409.';
alter function app.unmark_row(text, uuid) owner to callboard_definer;
grant execute on function app.unmark_row(text, uuid) to callboard_api;
-- EndIncluded foundation/rows.sql
-- Included organizations/explain.sql
create or replace function app_private.explain_sight(target regclass, id uuid, who uuid)
returns table (step text, passes boolean, detail text)
language plpgsql stable
set search_path = ''
as $$
declare
  found jsonb;
  held text[];
  is_seen boolean;
begin
  execute format('select to_jsonb(t) from %s t where %I = $1', target, app_private.row_key(target)) into found using id;
  if target in ('app.budget_lines'::regclass, 'app.per_diems'::regclass) then
    held := app.permissions_of((found ->> 'organization_id')::uuid, who);
    is_seen := found ->> 'itinerary_id' is null or 'itineraries.write' = any (held) or 'itineraries.read' = any (held)
      and exists (select from app.itinerary_versions v where v.organization_id = (found ->> 'organization_id')::uuid and v.itinerary_id = (found ->> 'itinerary_id')::uuid);
    return query select 'tour', is_seen, case when is_seen then 'They see its tour.' else 'They do not see its tour: it is a draft, or they do not hold itineraries.read.' end;
  elsif target = 'app.exports'::regclass then
    is_seen := found ->> 'created_by' = who::text;
    return query select 'owner', is_seen, case when is_seen then 'It is their own.' else 'It is somebody else''s: members see their own.' end;
  end if;
end
$$;
comment on function app_private.explain_sight(regclass, uuid, uuid) is 'What else than a permission decides who sees a row; no step where nothing does. The row must exist.';
alter function app_private.explain_sight(regclass, uuid, uuid) owner to callboard_definer;
create or replace function app_private.is_own_row(target regclass, id uuid, who uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
declare
  is_own boolean := false;
begin
  if id is not null and exists (select from pg_catalog.pg_policy p where p.polrelid = target and p.polname = 'select_self') then
    execute format('select exists (select from %s t where %I = $1 and created_by = $2)', target, app_private.row_key(target)) into is_own using id, who;
  end if;
  return is_own;
end
$$;
comment on function app_private.is_own_row(regclass, uuid, uuid) is 'Whether somebody sees a row because they have entered it themselves, whatever their permissions.';
alter function app_private.is_own_row(regclass, uuid, uuid) owner to callboard_definer;
create or replace function app.explain_access(
  who uuid, target regclass, row_id uuid, command text, organization uuid default null, changes jsonb default '{}'
) returns table (step text, passes boolean, detail text)
language plpgsql stable
set search_path = ''
as $$
declare
  is_organization boolean := target = 'app.organizations'::regclass;
  permission text := app_private.policy_permission(target, command);
  whose uuid;
  m record;
begin
  if command not in ('select', 'insert', 'update', 'delete') then
    perform app.refuse(422, 'explain_command_unknown', 'The command must be select, insert, update or delete.');
  elsif app_private.policy_permission(target, 'select') is null then
    perform app.refuse(422, 'explain_table_unknown', 'There is no table of this name with rows of an organization.');
  elsif row_id is not null and app_private.row_key(target) is null then
    perform app.refuse(422, 'explain_row_unnamed', 'A row of this table has no id of its own: leave it out.');
  elsif row_id is null and organization is null then
    perform app.refuse(422, 'explain_row_needed', 'Specify a row or the organization.');
  end if;
  if row_id is not null then
    execute format('select %I from %s where %I = $1 and ($2 is null or %1$I = $2)',
      case when is_organization then 'id' else 'organization_id' end, target, app_private.row_key(target))
    into whose using row_id, case when app_private.row_key(target) = 'user_id' then organization end;
  end if;
  organization := coalesce(organization, whose);

  return query select 'account', exists (select from app.users u where u.id = who),
    coalesce((select 'They are ' || u.email || '.' from app.users u where u.id = who), 'There is no such account.');
  return query
    select 'session', count(*) filter (where s.revoked_at is null and s.expires_at > now()) > 0,
      case
        when count(*) filter (where s.revoked_at is null and s.expires_at > now()) > 0 then 'They are signed in.'
        when count(*) = 0 then 'They have never signed in.'
        else 'All their sessions have ended; reason for the last one: ' || (array_agg(coalesce(s.revoked_because, 'expired') order by coalesce(s.revoked_at, s.expires_at) desc))[1] || '.'
      end
    from app.sessions s where s.user_id = who;
  select o.name, o.deleted_at is not null as is_deleted, x.user_id is not null as was_member, x.role,
    x.user_id is not null and (x.deleted_at is null or x.deletion_id = o.deletion_id) as is_member, x.deleted_at as left_at
  into m
  from app.organizations o left join app.memberships x on x.organization_id = o.id and x.user_id = who where o.id = explain_access.organization;
  return query select 'organization', m.name is not null and not m.is_deleted,
    case when m.name is null then 'There is no such organization, or the row belongs to none.'
      when m.is_deleted then m.name || ' has been deleted.' else 'It is ' || m.name || '.' end;
  return query select 'membership', coalesce(m.is_member, false),
    case when m.is_member then 'They belong to it' || coalesce(' as ' || m.role, ', without a built-in role') || '.'
      when m.was_member then 'They have not been a member since ' || m.left_at || '.'
      else 'They do not belong to it.' end;
  if permission is null then
    return query select 'permission', false, format('No member may %s rows of %s, whatever their permissions.', command, target);
  elsif command = 'select' and m.is_member and app_private.is_own_row(target, row_id, who) then
    return query select 'permission', true, 'It is their own, which takes no permission to see.';
  else
    return query select 'permission', permission = any (app.permissions_of(organization, who)),
      app_private.explain_permission(organization, who, permission);
  end if;
  if row_id is null or command = 'insert' then
    return;
  elsif whose is null then
    return query select 'row', false, 'There is no such row.';
  elsif whose <> organization then
    return query select 'row', false, format('It belongs to another organization, %s.', (select o.name from app.organizations o where o.id = whose));
  else
    return query select * from app_private.explain_sight(target, row_id, who);
    return query select * from app_private.explain_row(target, row_id, command, changes);
  end if;
end
$$;
comment on function app.explain_access(uuid, regclass, uuid, text, uuid, jsonb) is
  'Why a user may or may not select, insert, update or delete a row: every step, whether it passes, and why. The organization defaults to the row''s; changes are what an update would set. For DBAs: it reads all organizations. PT422 explain_command_unknown, explain_table_unknown, explain_row_unnamed, explain_row_needed.';
alter function app.explain_access(uuid, regclass, uuid, text, uuid, jsonb) owner to callboard_definer;
create or replace function app.explain_access(body jsonb) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  organization uuid := app.current_org();
  who uuid := coalesce((body ->> 'user_id')::uuid, me);
  target regclass := to_regclass('app.' || quote_ident(body ->> 'table'));
  row_id uuid := (body ->> 'id')::uuid;
  to_see text := app_private.policy_permission(target, 'select');
  is_known boolean;
begin
  if organization is null then
    perform app.refuse(401, 'session_unknown');
  elsif who is distinct from me then
    perform app.require_reading('members.manage');
    if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = who) then
      perform app.refuse(404, 'not_found');
    end if;
  end if;
  if to_see is null then
    perform app.refuse(422, 'explain_table_unknown');
  end if;
  if row_id is not null and app_private.row_key(target) is not null then
    -- To them, a row of another organization does not exist, nor does one of their own that they may not read.
    is_known := app_private.member_sees(target, row_id);
  end if;
  return (
    select (200, json_build_object(
        'is_allowed', bool_and(e.passes),
        'reason', coalesce((array_agg(e.detail order by e.n) filter (where not e.passes))[1], 'Nothing stands in the way.'),
        'steps', json_agg(json_build_object('step', e.step, 'passes', e.passes, 'detail', e.detail) order by e.n)), null, null)::app.answer
    from (
      select x.step, x.passes, x.detail, x.ordinality as n
      from app.explain_access(who, target, case when is_known or app_private.row_key(target) is null then row_id end, body ->> 'command', organization, coalesce(body -> 'changes', '{}'))
        with ordinality as x
      union all
      select 'row', false, 'There is no such row.', 100 where not is_known and body ->> 'command' <> 'insert') as e);
end
$$;
comment on function app.explain_access(jsonb) is
  'The same for members, within their organization: table, command, id, changes, user_id. About the caller or, with members.manage, about others. Another organization''s row does not exist. PT403, PT404, PT422.';
alter function app.explain_access(jsonb) owner to callboard_definer;
grant execute on function app.explain_access(jsonb) to callboard_api;
-- EndIncluded organizations/explain.sql
-- Included finance/budget_lines.sql
-- Those of a tour that the member sees: its draft or, for those who do not plan, a published version.
select app_private.tenant_table('budget_lines', noun => 'budget_line', permission => 'finance', path => '/api/budget-lines',
  besides => $$(exists (select from app.itineraries i where ((i.organization_id = (select app.org_if_reading('itineraries.write'))) and (i.id = budget_lines.itinerary_id))))
    or (exists (select from app.itinerary_versions v where ((v.organization_id = (select app.org_if('itineraries.read'))) and (v.itinerary_id = budget_lines.itinerary_id))))$$);
-- EndIncluded finance/budget_lines.sql
-- Included finance/per_diems.sql
-- Those of a tour that the member sees, as budget lines, and those of tours that are gone for good.
select app_private.tenant_table('per_diems', noun => 'per_diem', permission => 'finance', path => '/api/per-diems',
  guard => 'app_private.require_planned(regclass, uuid)', verbs => '{"status": "change_status"}',
  besides => $$(itinerary_id is null)
    or (exists (select from app.itineraries i where ((i.organization_id = (select app.org_if_reading('itineraries.write'))) and (i.id = per_diems.itinerary_id))))
    or (exists (select from app.itinerary_versions v where ((v.organization_id = (select app.org_if('itineraries.read'))) and (v.itinerary_id = per_diems.itinerary_id))))$$);
-- EndIncluded finance/per_diems.sql
-- Included finance/per_diem_approval.sql
-- Changing per diems, and approving them, which enters them in the books. Nobody approves what they have entered, unless nobody
-- else could. What approving has entered stays as it is.

create or replace function app_private.lock_per_diem(per_diem uuid, if_match text) returns app.per_diems
language plpgsql volatile
set search_path = ''
as $$
declare
  p app.per_diems;
begin
  select * into p from app.per_diems x where x.organization_id = app.org_if('finance.read') and x.id = per_diem and x.deleted_at is null;
  if not found or not app_private.member_sees('app.per_diems', per_diem) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.check_version(p.version, if_match);
  perform app.require('finance.write');
  -- Those of a deleted tour that are approved stay, and need no lock to be refused.
  perform app_private.require_planned('app.per_diems', per_diem);
  -- In the order in which others lock them: whoever deletes the tour waits for its per diems while holding its row.
  perform from app.organizations o where o.id = p.organization_id for share;
  perform from app.itineraries i where i.organization_id = p.organization_id and i.id = p.itinerary_id for no key update;
  select * into p from app.per_diems x where x.organization_id = app.current_org() and x.id = per_diem and x.deleted_at is null for no key update;
  perform app.check_version(p.version, if_match);
  perform app_private.require_planned('app.per_diems', per_diem);
  return p;
end
$$;
comment on function app_private.lock_per_diem(uuid, text) is
  'A planned per diem that the member sees and may change, locked, as is its tour. PT403, PT404, PT409 per_diem_not_planned, PT412.';
alter function app_private.lock_per_diem(uuid, text) owner to callboard_definer;
-- EndIncluded finance/per_diem_approval.sql
-- Included finance/tour_money.sql
create or replace function app_private.sees_tour(itinerary uuid) returns boolean
language sql stable
set search_path = ''
begin atomic
  -- As the policies of budget lines and per diems have it.
  select exists (select from app.itineraries i where i.organization_id = app.org_if_reading('itineraries.write') and i.id = itinerary)
    or exists (select from app.itinerary_versions v where v.organization_id = app.org_if('itineraries.read') and v.itinerary_id = itinerary);
end;
comment on function app_private.sees_tour(uuid) is 'Whether the member sees an itinerary, as a draft or published, deleted or not.';
alter function app_private.sees_tour(uuid) owner to callboard_definer;
create or replace function app.tour_money(itinerary uuid) returns json
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization constant uuid := app.require('finance.read');
  books constant text := (select o.currency from app.organizations o where o.id = organization);
begin
  if not app_private.sees_tour(itinerary) then
    perform app.refuse(404, 'not_found');
  end if;
  return (
    with records as materialized (select * from app_private.tour_records(itinerary)),
    lines as (
      select b.category_id, b.base_amount_minor::numeric as budget, 0::numeric as expected, 0::numeric as actual from app.budget_lines b
      where b.organization_id = organization and b.itinerary_id = itinerary and b.deleted_at is null
      union all
      select r.category_id, 0, case when not r.is_actual then r.base_amount_minor else 0 end, case when r.is_actual then r.base_amount_minor else 0 end
      from records r where r.base_currency = books
      union all
      -- Approved ones are among the records.
      select p.category_id, 0, p.base_amount_minor, 0 from app.per_diems p
      where p.organization_id = organization and p.itinerary_id = itinerary and p.status = 'planned' and p.deleted_at is null
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
  'The budget, the planned and committed, with planned per diems, and the actual money of a tour, by category and in total, in the currency of the books. PT403 without finance.read, PT404 if the member does not see the tour.';
alter function app.tour_money(uuid) owner to callboard_definer;
grant execute on function app.tour_money(uuid) to callboard_api;
-- EndIncluded finance/tour_money.sql
-- Included finance/expense_receipts.sql
-- As the expense, whose person uploads it.
select app_private.tenant_policies('app.expense_receipts', reads => 'finance.read', definer => 'insert, update, delete');
select app_private.set_policy('app.expense_receipts', 'select_self', 'callboard_api',
  '(organization_id = (select app.current_org())) and (created_by = (select app.current_user_id()))');
select app_private.log_changes('app.expense_receipts', 'expense_receipt', id_column => 'expense_id', leave_out => '{sha256}');
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
-- EndIncluded finance/expense_receipts.sql
-- Lock: access exclusive on app.budget_lines: select app_private.tenant_table('budget_lines', noun => 'budget_line', permission => 'finance', path
-- Lock: access exclusive on app.per_diems: select app_private.tenant_table('per_diems', noun => 'per_diem', permission => 'finance', path => '/
