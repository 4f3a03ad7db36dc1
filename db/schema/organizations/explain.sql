-- Explains why a user can or cannot see or change a row: every step of a request, in order and in
-- words. It consults what really decides: the session, the membership, app.permissions_of, the policy.

create or replace function app_private.explain_permission(organization uuid, who uuid, wanted text) returns text
language sql stable
set search_path = ''
begin atomic
  select case
    when wanted = any (app.permissions_of(organization, who)) then
      format('They hold %s, by %s.', wanted, string_agg(
        case s.source when 'grant' then 'a grant' else 'the role ' || s.role_name end || coalesce(' until ' || s.expires_at, ''), ' and '))
    when bool_or(s.source = 'deny') then
      format('%s is denied to them%s.', wanted, max(' until ' || s.expires_at) filter (where s.source = 'deny'))
    else format('They do not hold %s. %s', wanted, (
      select coalesce('These roles do: ' || string_agg(r.name, ', ' order by r.is_own, r.name) || '.', 'No role does.') from (
        select rp.role, false from app.role_permissions rp where rp.permission = wanted
        union all
        select c.name, true from app.custom_roles c
        where c.organization_id = organization and c.deleted_at is null and wanted = any (c.permissions)) as r (name, is_own)))
    end
  from (select) as once
  left join app.memberships m on m.organization_id = organization and m.user_id = who
  left join lateral app_private.permission_sources(organization, who, m.role) s on s.permission = wanted;
end;
comment on function app_private.explain_permission(uuid, uuid, text) is 'Where a member''s permission comes from, or which roles hold it instead, in words.';
alter function app_private.explain_permission(uuid, uuid, text) owner to callboard_definer;

create or replace function app_private.explain_lock(target regclass, of_row jsonb)
returns table (step text, passes boolean, detail text)
language plpgsql stable
set search_path = ''
as $$
begin
  if target = 'app.finance_records'::regclass then
    return query
      select 'period', p.month is null, case when p.month is null then 'The books of its month are open.'
        else format('The books of %s are closed.', to_char(p.month, 'YYYY-MM')) end
      from (select) as once
      left join app.finance_periods p on p.organization_id = (of_row ->> 'organization_id')::uuid
        and p.month = date_trunc('month', (of_row ->> 'booked_on')::date)::date;
  elsif exists (select from pg_catalog.pg_trigger t where t.tgrelid = target and t.tgname = '_200_unsettled') then
    return query
      select 'settlement', s.status <> 'settled',
        case s.status when 'settled' then 'The show is settled: the inputs of its settlement cannot change.' else 'Its show is not settled.' end
      from app.shows s where s.organization_id = (of_row ->> 'organization_id')::uuid and s.id = (of_row ->> 'show_id')::uuid;
  end if;
end
$$;
comment on function app_private.explain_lock(regclass, jsonb) is 'Whether something else locks a row: a closed month or a final settlement.';
alter function app_private.explain_lock(regclass, jsonb) owner to callboard_definer;

create or replace function app_private.explain_row(target regclass, id uuid, command text, changes jsonb)
returns table (step text, passes boolean, detail text)
language plpgsql stable
set search_path = ''
as $$
declare
  found jsonb;
  status_table regclass := to_regclass(format('app.%s_status_transitions', regexp_replace(target::text, '^app\.|s$', '', 'g')));
  is_allowed boolean;
  others text;
  edge record;
  in_use boolean;
begin
  execute format('select to_jsonb(t) from %s t where %I = $1', target, app_private.row_key(target)) into found using id;
  if found ->> 'deleted_at' is not null then
    return query select 'row', false, format('It was deleted at %s by %s: it is in the bin.', found ->> 'deleted_at',
      coalesce((select u.email from app.users u where u.id::text = found ->> 'deleted_by'), 'somebody'));
    return;
  end if;
  return query select 'row', true, 'It exists.';
  if command in ('update', 'delete') then
    return query select * from app_private.explain_lock(target, found);
  end if;
  if command = 'update' and changes ? 'status' and status_table is not null and changes ->> 'status' <> found ->> 'status' then
    execute format('select coalesce(bool_or(to_status = $2), false), string_agg(to_status, '', '' order by to_status) from %s where from_status = $1', status_table)
    into is_allowed, others using found ->> 'status', changes ->> 'status';
    return query select 'status', is_allowed, format('From %s it can go to %s.', found ->> 'status', coalesce(others, 'no other status'));
  elsif command = 'delete' then
    for edge in select * from app_private.deletion_edges e where e.parent = target and not e.cascades loop
      execute format('select exists (select from %s c, %s p where %s and p.%I = $1 and c.deleted_at is null)',
        edge.child, target, edge.condition, app_private.row_key(target)) into in_use using id;
      return query select 'references', not in_use,
        format(case when in_use then 'Something in %s still refers to it.' else 'Nothing in %s refers to it.' end, edge.child);
    end loop;
  end if;
end
$$;
comment on function app_private.explain_row(regclass, uuid, text, jsonb) is 'Whether the row itself permits a command on it; the row must exist.';
alter function app_private.explain_row(regclass, uuid, text, jsonb) owner to callboard_definer;

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
