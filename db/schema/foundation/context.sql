-- The caller's context: who is calling, in which organization, and with which permissions. app.enter and its like set
-- it, for the transaction, and policies ask app.current_org and app.org_if about it. Only the files in context/ know
-- how it is carried; this one has what is the same for both.

grant execute on function app.current_org(), app.current_user_id(), app.current_session_id(), app.org_if(text), app.org_if_reading(text),
  app.context_carrier() to callboard_api, callboard_definer;

-- A context that only reads, such as a calendar feed's, must not be able to write whatever else happens. But those who
-- may write see more: drafts, the bin. So it has their permissions under another name, which only
-- app.org_if_reading takes.
create or replace function app_private.for_reading(permissions text[]) returns text
language sql immutable parallel safe
set search_path = ''
return (select coalesce(string_agg(case when p like '%.read' then p else '~' || p end, ' ' order by p), '') from unnest(permissions) p);
comment on function app_private.for_reading(text[]) is
  'Permissions for app_private.set_context, of which those to write are only worth what their holders see.';
alter function app_private.for_reading(text[]) owner to callboard_definer;

-- Rules that count rows under a lock, such as the places of an allotment, would count those of before the lock.
create or replace function app_private.may_write_by_old_snapshot() returns boolean
language sql volatile
return case when current_setting('transaction_isolation') = 'repeatable read'
  -- What this fails in is a savepoint, whose end may take READ ONLY back: see app_private.require_read_only.
  then current_setting('transaction_read_only') = 'off' or pg_export_snapshot() is null else false end;
comment on function app_private.may_write_by_old_snapshot() is
  'Whether this transaction may write what it decides on a snapshot of its first statement. READ COMMITTED sees what was committed meanwhile, SERIALIZABLE notices.';
alter function app_private.may_write_by_old_snapshot() owner to callboard_definer;

create or replace function app_private.refuse_old_snapshot() returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'invalid_transaction_state', message = 'a transaction that may write cannot be REPEATABLE READ';
end
$$;
comment on function app_private.refuse_old_snapshot() is 'Error 25000, for those who open a transaction of which app_private.may_write_by_old_snapshot is true.';
alter function app_private.refuse_old_snapshot() owner to callboard_definer;

-- READ ONLY can be taken back: a savepoint may set it, and its end restores the mode of the transaction around it.
create or replace function app_private.require_read_only(what text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if not current_setting('transaction_read_only')::boolean then
    raise exception '% must be read in a read-only transaction', what;
  end if;
  -- Nothing else says whether there is a savepoint: this fails (25001) after one, and is cheap.
  perform pg_export_snapshot();
end
$$;
comment on function app_private.require_read_only(text) is
  'An error unless this transaction is READ ONLY, and stays so: not within a savepoint. For contexts of somebody other than the caller.';
alter function app_private.require_read_only(text) owner to callboard_definer;

create or replace function app_private.change_context(
  user_id uuid, session_id uuid, organization_id uuid, role text default null, permissions text default ''
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
begin
  perform app_private.set_context(user_id, session_id, organization_id, role, permissions, c.request_id, c.ip);
end
$$;
comment on function app_private.change_context(uuid, uuid, uuid, text, text) is
  'Like set_context, but in the middle of a request: its id and address stay. Only for definer functions that have authenticated the caller.';
alter function app_private.change_context(uuid, uuid, uuid, text, text) owner to callboard_definer;

create or replace function app.introduce(request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.set_context(null, null, null, null, '', request_id, ip);
end
$$;
comment on function app.introduce(text, inet) is
  'Opens this transaction for an anonymous request: records only its id and its address.';
alter function app.introduce(text, inet) owner to callboard_definer;
grant execute on function app.introduce(text, inet) to callboard_api;

create or replace function app.has_permission(permission text) returns boolean
language sql stable parallel restricted
return app.org_if(permission) is not null;
comment on function app.has_permission(text) is 'Whether the member of this transaction holds the permission.';
grant execute on function app.has_permission(text) to callboard_api, callboard_definer;

create or replace function app.deny(permission text) returns uuid
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  raise exception using errcode = 'PT403', message = 'permission_denied',
    detail = format('This needs the permission %s.', permission);
end
$$;
comment on function app.deny(text) is 'Raises PT403 permission_denied with the name of the permission.';
grant execute on function app.deny(text) to callboard_api, callboard_definer, callboard_exporter;

create or replace function app.require(permission text) returns uuid
language sql stable parallel restricted
return coalesce(app.org_if(permission), app.deny(permission));
comment on function app.require(text) is 'The organization of this transaction; PT403 permission_denied unless its member holds the permission.';
grant execute on function app.require(text) to callboard_api, callboard_definer;

create or replace function app.require_reading(permission text) returns uuid
language sql stable parallel restricted
return coalesce(app.org_if_reading(permission), app.deny(permission));
comment on function app.require_reading(text) is
  'Like app.require, also in a context that only reads. For what those see who hold a permission to write. PT403 permission_denied.';
grant execute on function app.require_reading(text) to callboard_api, callboard_definer;

create or replace function app.confirm_organization(organization text) returns void
language plpgsql stable parallel restricted
set search_path = ''
as $$
declare
  present uuid := app.current_org();
begin
  if present::text is distinct from organization then
    raise exception using message = 'isolation_breach',
      detail = case when present is null then 'no_context' else 'other_organization' end;
  end if;
end
$$;
comment on function app.confirm_organization(text) is
  'Raises isolation_breach if the transaction ends in a different organization than expected, which should never happen. The API calls it before each COMMIT.';
grant execute on function app.confirm_organization(text) to callboard_api;
