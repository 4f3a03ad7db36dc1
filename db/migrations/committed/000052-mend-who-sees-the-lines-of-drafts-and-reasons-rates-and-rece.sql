--! Previous: sha1:e6a5b426bca8356f089b7809012ed72e4e060bdf
--! Hash: sha1:844f29af08e3f3d0666898c976720f3c28bd5b61
--! Message: Mend who sees the lines of drafts, and reasons, rates and receipts

drop function app_private.tenant_table(text, text, text, text, text, text, text, text, boolean, boolean, text[], jsonb, regprocedure, boolean);
-- Its rights are those of the caller.
drop function app.restore_row(text, uuid);
-- It also returns which expense it is.
drop function app_private.contradictions_of(uuid);
-- Included foundation/tables.sql
select app_private.force_rls('app_private.table_permissions');
select app_private.set_policy('app_private.table_permissions', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.table_permissions', 'all_owner', 'callboard_owner', 'true');
select app_private.force_rls('app_private.resources');
select app_private.set_policy('app_private.resources', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.resources', 'all_owner', 'callboard_owner', 'true');
select app_private.set_policy('app_private.resources', 'update_definer', 'callboard_definer', 'true');
create or replace function app_private.tenant_table(
  name text, noun text, permission text default null, path text default null, reads text default null, writes text default null, deletes text default null,
  definer text default 'update', is_exported boolean default false, is_counted boolean default false, known text[] default '{}', verbs jsonb default '{}',
  guard regprocedure default null, checks_parents boolean default true, besides text default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  target regclass := format('app.%I', name);
begin
  perform app_private.tenant_policies(target, coalesce(reads, permission || '.read'), coalesce(writes, permission || '.write'),
    coalesce(writes, permission || '.write'), coalesce(deletes, permission || '.delete'), definer, is_exported, is_counted, known, besides);
  execute format('grant select on %s to callboard_api, callboard_definer%s%s', target,
    case when is_exported then ', callboard_exporter' end, case when is_counted then ', callboard_rollup' end);
  perform app_private.log_changes(target, noun, verbs);
  if checks_parents then
    perform app_private.check_parents(target);
  end if;
  if path is null then
    delete from app_private.resources r where r.name = tenant_table.name;
  else
    insert into app_private.resources as r (name, noun, fields, path, guard)
    values (tenant_table.name, tenant_table.noun, tenant_table.noun || '_rows', tenant_table.path, tenant_table.guard)
    on conflict on constraint resources_pkey do update set noun = excluded.noun, fields = excluded.fields, path = excluded.path, guard = excluded.guard;
    if to_regclass(format('app.%I', tenant_table.noun || '_rows')) is not null then
      perform app_private.publish_rows(target);
    end if;
  end if;
end
$$;
comment on function app_private.tenant_table(text, text, text, text, text, text, text, text, boolean, boolean, text[], jsonb, regprocedure, boolean, text) is
  'Makes a table a tenant table: forced row-level security with policies for <permission>.read, .write and .delete (or for the permissions given) and a further condition on the rows that members see (besides), ETags, soft delete, the purge, no row under a deleted one (unless the table checks its parents in another way), events named <noun>.create and so on, and, with a path, the generic row commands. The table''s own file grants which columns can be written.';
-- EndIncluded foundation/tables.sql
-- Included audit/event_triggers.sql
select app_private.force_rls('app_private.event_nouns');
select app_private.set_policy('app_private.event_nouns', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.event_nouns', 'all_owner', 'callboard_owner', 'true');
-- New rows are logged by one INSERT for the whole statement, in the order of the rows. A trigger for each row would cost
-- an import twice as much.
create or replace function app_private.tg__900_events() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
begin
  -- app_private.log_changes passes the arguments: resource, id column, organization column, action, columns to leave out and,
  -- if there are any, the bytea columns as JSON of nulls. Bytes are not made JSON, which takes seconds for a file.
  -- A statement can change the context while it runs: a change that ends without its context is refused.
  -- OFFSET keeps PostgreSQL from making the JSON of a row again wherever it is mentioned.
  if c.user_id is not null then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    select case when (i.present ->> tg_argv[2])::uuid = c.organization_id then c.organization_id else app_private.refuse_lost_context(i.present ->> tg_argv[2]) end,
      c.user_id, c.session_id, (i.present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[3], tg_argv[0], c.request_id, c.ip, jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(i.present, tg_argv[4])))
    from (select case when tg_nargs > 5 then to_jsonb(jsonb_populate_record(a, tg_argv[5]::jsonb)) else to_jsonb(a) end as present from added a offset 0) i;
  else
    perform app_private.log_event(app_private.refuse_lost_context(i.present ->> tg_argv[2]), tg_argv[3], tg_argv[0], (i.present ->> tg_argv[1])::uuid,
      jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(i.present, tg_argv[4]))))
    from (select case when tg_nargs > 5 then to_jsonb(jsonb_populate_record(a, tg_argv[5]::jsonb)) else to_jsonb(a) end as present from added a offset 0) i;
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_events() is
  'Logs the rows that a statement has inserted. PT403 if the login no longer has a context in their organization.';
alter function app_private.tg__900_events() owner to callboard_definer;
-- Runs on every change, so it has few, small expressions: PostgreSQL prepares each one again in every transaction.
create or replace function app_private.tg__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  -- app_private.log_changes passes the arguments: resource, id column, organization column,
  -- verbs, columns to leave out and, if there are any, the bytea columns as JSON of nulls.
  present jsonb := case when tg_nargs > 5 then to_jsonb(jsonb_populate_record(coalesce(new, old), tg_argv[5]::jsonb)) else to_jsonb(coalesce(new, old)) end;
  before jsonb;
  changes jsonb;
  verb text;
  c app_private.context;
begin
  if tg_op = 'UPDATE' then
    before := case when tg_nargs > 5 then to_jsonb(jsonb_populate_record(old, tg_argv[5]::jsonb)) else to_jsonb(old) end;
    changes := app_private.diff(app_private.loggable(before, tg_argv[4]), app_private.loggable(present, tg_argv[4]));
    -- A row whose JSON is made again keeps its version: what else its triggers fill in is no change by anybody. Tables
    -- without that JSON may have a version that is another thing.
    if changes is null or present ? 'as_json' and before -> 'version' = present -> 'version' then
      return null;
    elsif changes -> 'new' ? 'deleted_at' then
      verb := case when present ->> 'deleted_at' is null then 'restore' else 'delete' end;
    else
      verb := coalesce((select v.key from jsonb_each(tg_argv[3]::jsonb) v where changes -> 'new' ? v.key limit 1), 'update');
    end if;
  else
    -- A row marked as deleted is being purged, and its values must not be logged. Others are deleted without a mark.
    if present ->> 'deleted_at' is not null or (app_private.context()).role = 'purge' then
      verb := 'purge';
    else
      verb := 'delete';
      if not present ? 'deleted_at' then
        changes := jsonb_build_object('old', jsonb_strip_nulls(app_private.loggable(present, tg_argv[4])));
      end if;
    end if;
  end if;
  if tg_argv[3] <> '{}' then
    verb := coalesce(tg_argv[3]::jsonb ->> verb, verb);
  end if;
  -- A statement can change the context while it runs: a change that ends without its context is refused.
  c := app_private.context();
  if c.organization_id = (present ->> tg_argv[2])::uuid and c.user_id is not null then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    values (c.organization_id, c.user_id, c.session_id,
      (present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[0] || '.' || verb, tg_argv[0],
      c.request_id, c.ip, changes);
  elsif app_private.is_trusted() then
    perform app_private.log_event((present ->> tg_argv[2])::uuid, tg_argv[0] || '.' || verb, tg_argv[0], (present ->> tg_argv[1])::uuid, changes);
  else
    perform app.refuse(403, 'permission_denied', 'The context was lost during the transaction.');
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_event() is 'Logs the change or the deletion of a row. PT403 if the login no longer has a context in the row''s organization.';
alter function app_private.tg__900_event() owner to callboard_definer;
create or replace function app_private.log_changes(
  on_table regclass, resource text, verbs jsonb default '{}', id_column text default 'id', leave_out name[] default '{}'
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  organization_column text := case when on_table = to_regclass('app.organizations') then 'id' else 'organization_id' end;
  -- bytea columns are hashes or keys.
  hidden text[] := array(
    select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = on_table and (a.atttypid = 'bytea'::regtype or a.attname = any (leave_out) or a.attname = id_column and id_column <> 'id') and not a.attisdropped
    order by a.attname);
  bytes jsonb := (
    select jsonb_object_agg(a.attname, null) from pg_catalog.pg_attribute a
    where a.attrelid = on_table and a.atttypid = 'bytea'::regtype and not a.attisdropped);
begin
  -- What is inserted into a partition by its own name fires no statement trigger of the partitioned table.
  if exists (select from pg_catalog.pg_class c where c.oid = on_table and (c.relkind <> 'r' or c.relispartition)) then
    raise exception '% is not an ordinary table: its new rows would not be logged', on_table;
  end if;
  insert into app_private.event_nouns as n (on_table, noun, permission)
  -- What each member sees only their own of is seen by those who manage all members.
  values (on_table, resource, coalesce(app_private.policy_permission(on_table, 'select'), 'members.manage'))
  on conflict on constraint event_nouns_pkey do update set noun = excluded.noun, permission = excluded.permission
    where (n.noun, n.permission) is distinct from (excluded.noun, excluded.permission);
  perform app_private.set_trigger(on_table, '_900_events', format('after insert on %s
    referencing new table as added for each statement execute function app_private.tg__900_events(%L, %L, %L, %L, %L%s)',
    on_table, resource, id_column, organization_column, resource || '.' || coalesce(verbs ->> 'create', 'create'), hidden, ', ' || quote_literal(bytes)));
  perform app_private.set_trigger(on_table, '_900_event', format('after delete or update on %s
    for each row execute function app_private.tg__900_event(%L, %L, %L, %L, %L%s)',
    on_table, resource, id_column, organization_column, verbs, hidden, ', ' || quote_literal(bytes)));
end
$$;
comment on function app_private.log_changes(regclass, text, jsonb, text, name[]) is
  'Logs every change of the table''s rows as <resource>.create, update, delete, restore or purge. After its policies, which say who sees the changes. verbs replaces these names, or names the change of a column: {"role": "change_role"}. leave_out names columns that events do not show, such as digests of what not everybody may read. Call it again when the table gets a bytea column.';
-- EndIncluded audit/event_triggers.sql
-- Included organizations/organizations.sql
select app_private.log_changes('app.organizations', 'organization');
-- EndIncluded organizations/organizations.sql
-- Included organizations/memberships.sql
select app_private.log_changes('app.memberships', 'member',
  '{"create": "add", "restore": "add", "delete": "remove", "role": "change_role"}', 'user_id');
-- EndIncluded organizations/memberships.sql
-- Included organizations/custom_roles.sql
-- Without grants, because the definer's functions write: a policy cannot ensure that nobody grants what they do not hold.
select app_private.tenant_table('custom_roles', noun => 'role', reads => 'members.read', writes => 'members.manage', deletes => 'members.manage',
  definer => 'insert, update');
select app_private.log_changes('app.member_roles', 'member', '{"create": "assign_role", "delete": "unassign_role"}', 'user_id');
-- EndIncluded organizations/custom_roles.sql
-- Included organizations/member_permissions.sql
select app_private.log_changes('app.member_permissions', 'member',
  '{"create": "set_permission", "update": "set_permission", "delete": "clear_permission"}', 'user_id');
-- EndIncluded organizations/member_permissions.sql
-- Included foundation/rate_limits.sql
select app_private.log_changes('app.rate_limits', 'rate_limit', '{}', 'organization_id');
-- EndIncluded foundation/rate_limits.sql
-- Included foundation/rows.sql
create or replace function app.unmark_row(table_name text, id uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row((app.resource(table_name)).target, id);
  perform app_private.guard_row(table_name, id);
end
$$;
comment on function app.unmark_row(text, uuid) is 'The definer''s part of app.restore_row: restores the row and everything that was deleted with it. PT403, PT404, PT409.';
alter function app.unmark_row(text, uuid) owner to callboard_definer;
grant execute on function app.unmark_row(text, uuid) to callboard_api;
create or replace function app.restore_row(table_name text, id uuid) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  r record := app.resource(table_name);
  is_seen boolean;
begin
  -- The definer sees more than the member does.
  execute format('select true from %s f where f.organization_id = (select app.current_org()) and f.id = $1 and f.deleted_at is not null', r.fields)
  into is_seen using id;
  if is_seen is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.unmark_row(table_name, id);
  return app.read_row(table_name, id);
end
$$;
comment on function app.restore_row(text, uuid) is 'Restores a deleted row and everything that was deleted with it. PT403, PT404, PT409.';
grant execute on function app.restore_row(text, uuid) to callboard_api;
-- EndIncluded foundation/rows.sql
-- Included organizations/invitations.sql
select app_private.log_changes('app.invitations', 'invitation',
  '{"delete": "revoke", "accepted_at": "accept", "expires_at": "resend", "void_because": "void"}', leave_out => '{mail_id}');
-- EndIncluded organizations/invitations.sql
-- Included retention/legal_holds.sql
-- Without grants: app.place_legal_hold and app.release_legal_hold write and check the permission.
select app_private.tenant_policies('app.legal_holds', reads => 'audit.read', inserts => 'retention.manage', updates => 'retention.manage',
  definer => 'insert, update');
select app_private.log_changes('app.legal_holds', 'legal_hold', '{"create": "place", "released_at": "release"}');
create or replace function app_private.hold_organization(organization uuid, why text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  hold uuid;
begin
  -- A running purge holds a lock on this row: it finishes before the hold starts, and the next one sees the hold.
  perform from app.organizations o where o.id = organization for no key update;
  -- A reason that shows nothing is none.
  insert into app.legal_holds (reason) values (case when app.is_visible(why) then why else '' end) returning id into hold;
  return hold;
end
$$;
comment on function app_private.hold_organization(uuid, text) is 'Places a hold on the organization of this transaction.';
alter function app_private.hold_organization(uuid, text) owner to callboard_definer;
-- EndIncluded retention/legal_holds.sql
-- Included retention/deletion_retention.sql
select app_private.log_changes('app.deletion_retentions', 'retention', '{"create": "set", "update": "set"}', 'organization_id');
-- EndIncluded retention/deletion_retention.sql
-- Included audit/event_retention.sql
select app_private.log_changes('app.event_retentions', 'audit', '{"create": "set_retention", "update": "set_retention"}', 'organization_id');
-- EndIncluded audit/event_retention.sql
-- Included support/support.sql
select app_private.definer_table('app_private.support_grants', 'select, insert, update');
create or replace function app_private.grant_support(
  address text, why text, until timestamptz, slug text default null, may_write boolean default false
) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  organization uuid := app_private.organization_named(slug);
  id uuid;
begin
  if who is null then
    perform app.refuse(404, 'not_found', format('There is no account %s.', address));
  elsif slug is not null and organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', slug));
  end if;
  -- A reason that shows nothing is none.
  insert into app_private.support_grants as g (user_id, organization_id, reason, may_write, granted_by, expires_at)
  values (who, organization, case when app.is_visible(why) then why else '' end, grant_support.may_write, session_user, until) returning g.id into id;
  perform app_private.log_event(organization, 'auth.superadmin.granted', 'support_grant', id,
    jsonb_build_object('new', jsonb_build_object('user_id', who, 'reason', why, 'may_write', grant_support.may_write, 'expires_at', until)));
  return id;
end
$$;
comment on function app_private.grant_support(text, text, timestamptz, text, boolean) is
  'Grants a user (by address) superadmin access to an organization (by slug or id; null for all), with a reason, until a given time. Returns the grant''s id. PT404, support_grants_reason_given, support_grants_expires_later.';
alter function app_private.grant_support(text, text, timestamptz, text, boolean) owner to callboard_definer;
-- EndIncluded support/support.sql
-- Included shows/venues.sql
select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues', is_exported => true);
-- EndIncluded shows/venues.sql
-- Included shows/shows.sql
-- The definer's functions search, because a text match under a filtering policy cannot use an index (it is not leakproof),
-- and import on behalf of the member who started the import.
select app_private.tenant_table('shows', noun => 'show', permission => 'shows', path => '/api/shows', definer => 'insert, update', is_exported => true, is_counted => true,
  checks_parents => false);
-- EndIncluded shows/shows.sql
-- Included shows/show_fees.sql
select app_private.log_changes('app.show_fees', 'show_fee', id_column => 'show_id');
-- EndIncluded shows/show_fees.sql
-- Included shows/show_commands.sql
select app_private.publish_rows('app.shows');
create or replace function app.correct_show_status(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.shows;
  correct constant text := body ->> 'status';
begin
  select * into present from app.shows s where s.organization_id = app.org_if('shows.read') and s.id = show and s.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('shows.write');
  perform app.require('shows.delete');
  if app.is_visible(body ->> 'reason') is not true then
    perform app.refuse(422, 'show_status_reason_visible');
  end if;
  select * into present from app.shows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null for no key update;
  perform app.check_version(present.version, null);
  if present.status = 'settled' or correct = 'settled' then
    perform app.refuse(409, 'show_status_transition', case present.status
      when 'settled' then 'The show is settled: reopen its settlement.' else 'A show is settled by its settlement, not by a correction.' end);
  elsif correct <> present.status then
    update app.shows s set status = correct where s.organization_id = (select app.current_org()) and s.id = show;
    perform app_private.log_event(app.current_org(), 'show.correct_status', 'show', show, jsonb_build_object(
      'old', jsonb_build_object('status', present.status), 'new', jsonb_build_object('status', correct, 'reason', btrim(body ->> 'reason'))));
  end if;
  return app.read_show(show);
end
$$;
comment on function app.correct_show_status(uuid, jsonb) is
  'Gives a show any status but settled, from any but settled, with a reason, which the log keeps: for what was entered by mistake. PT403 without shows.write and shows.delete, PT404, PT409 show_status_transition, PT422 show_status_reason_visible.';
alter function app.correct_show_status(uuid, jsonb) owner to callboard_definer;
grant execute on function app.correct_show_status(uuid, jsonb) to callboard_api;
-- EndIncluded shows/show_commands.sql
-- Included shows/guest_allotments.sql
select app_private.tenant_table('guest_allotments', noun => 'guest_allotment', permission => 'shows', path => '/api/guest-allotments', is_exported => true);
-- EndIncluded shows/guest_allotments.sql
-- Included shows/guests.sql
select app_private.tenant_table('guests', noun => 'guest', permission => 'shows', path => '/api/guests', is_exported => true);
-- EndIncluded shows/guests.sql
-- Included shows/guest_lists.sql
-- No path: a list is written only by app.write_guest_list and deleted with its show.
select app_private.tenant_table('guest_lists', noun => 'guest_list', reads => 'shows.read', writes => 'guests.lock', definer => 'insert, update');
-- EndIncluded shows/guest_lists.sql
-- Included itineraries/itineraries.sql
select app_private.tenant_table('itineraries', noun => 'itinerary', permission => 'itineraries', reads => 'itineraries.write', path => '/api/itineraries', is_exported => true);
select app_private.tenant_table('itinerary_days', noun => 'itinerary_day', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/itinerary-days');
-- EndIncluded itineraries/itineraries.sql
-- Included itineraries/itinerary_party.sql
select app_private.tenant_table('party_groups', noun => 'party_group', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-groups');
select app_private.tenant_table('party_members', noun => 'party_member', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-members');
-- EndIncluded itineraries/itinerary_party.sql
-- Included itineraries/schedule_items.sql
select app_private.tenant_table('schedule_items', noun => 'schedule_item', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/schedule-items');
-- EndIncluded itineraries/schedule_items.sql
-- Included itineraries/travel_and_lodging.sql
select app_private.tenant_table('travel_segments', noun => 'travel_segment', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/travel-segments');
select app_private.tenant_table('lodgings', noun => 'lodging', permission => 'itineraries', reads => 'itineraries.write', path => '/api/lodgings');
select app_private.tenant_table('lodging_rooms', noun => 'lodging_room', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/lodging-rooms');
-- EndIncluded itineraries/travel_and_lodging.sql
-- Included itineraries/itinerary_versions.sql
select app_private.log_changes('app.itinerary_versions', 'itinerary', '{"create": "publish"}', 'itinerary_id');
-- EndIncluded itineraries/itinerary_versions.sql
-- Included itineraries/itinerary_publishing.sql
select app_private.publish_rows('app.itineraries');
create or replace function app_private.sees_itinerary(itinerary uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return app.org_if_reading('itineraries.write') is not null and exists (
      select from app.itineraries i where i.organization_id = app.current_org() and i.id = itinerary and i.deleted_at is null)
    or app.org_if('itineraries.read') is not null and exists (
      select from app.itinerary_versions v where v.organization_id = app.current_org() and v.itinerary_id = itinerary and v.deleted_at is null);
end
$$;
comment on function app_private.sees_itinerary(uuid) is
  'Whether the member reads an itinerary, as app.itinerary_rows has it, which shows the definer all: there is no difference between a draft that is hidden from them and none.';
alter function app_private.sees_itinerary(uuid) owner to callboard_definer;
-- EndIncluded itineraries/itinerary_publishing.sql
-- Included finance/finance_categories.sql
-- A definer trigger inserts an organization's default categories.
select app_private.tenant_table('finance_categories', noun => 'finance_category', permission => 'finance', path => '/api/finance-categories',
  definer => 'insert, update', is_exported => true, is_counted => true, known => '{kind}');
-- EndIncluded finance/finance_categories.sql
-- Included finance/finance_periods.sql
select app_private.log_changes('app.finance_periods', 'finance_period', '{"create": "close", "delete": "reopen"}');
-- EndIncluded finance/finance_periods.sql
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
-- Before anything else is looked at, so that a draft that is hidden from a member is no different from none.
create or replace function app_private.tg_finance_records__150_itinerary() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- Whoever imports it, or approves an expense, has been checked or need not see it.
  if current_user in ('callboard_definer', 'callboard_owner') or tg_op = 'UPDATE' and new.itinerary_id is not distinct from old.itinerary_id then
    return new;
  elsif not exists (select from app.itinerary_rows i
      where i.organization_id = new.organization_id and i.id = new.itinerary_id and i.deleted_at is null) then
    perform app.refuse(409, 'finance_records_itinerary_exists', 'There is no such itinerary.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_finance_records__150_itinerary() is 'PT409 finance_records_itinerary_exists for an itinerary that the member does not see.';
create or replace trigger _150_itinerary before insert or update of itinerary_id on app.finance_records
  for each row when (new.itinerary_id is not null) execute function app_private.tg_finance_records__150_itinerary();
-- EndIncluded finance/finance_records.sql
-- Included finance/finance_record_commands.sql
select app_private.publish_rows('app.finance_records');
create or replace function app.create_finance_record(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.finance_records := jsonb_populate_record(null::app.finance_records, body);
  answer app.answer;
begin
  perform app.require('finance.write');
  n.currency := coalesce(n.currency, app.base_currency());
  insert into app.finance_records (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status,
    payment_status, counterparty, note, source, external_ref, itinerary_id)
  values (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency,
    coalesce(n.exchange_rate, case when n.currency = app.base_currency() then 1 end), coalesce(n.status, 'planned'),
    coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref, n.itinerary_id)
  returning id into n.id;
  answer := app.read_finance_record(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_finance_record(jsonb) is
  'Creates a finance record; its currency defaults to the organization''s. PT403 without finance.write, PT409 period_closed, finance_record_external_ref_taken, and for a category, show or itinerary that does not exist.';
grant execute on function app.create_finance_record(jsonb) to callboard_api;
-- EndIncluded finance/finance_record_commands.sql
-- Included finance/budget_lines.sql
-- Those of a tour that the member sees: its draft or, for those who do not plan, a published version.
select app_private.tenant_table('budget_lines', noun => 'budget_line', permission => 'finance', path => '/api/budget-lines',
  besides => $$(exists (select from app.itineraries i where ((i.organization_id = budget_lines.organization_id) and (i.id = budget_lines.itinerary_id))))
    or (exists (select from app.itinerary_versions v where ((v.organization_id = budget_lines.organization_id) and (v.itinerary_id = budget_lines.itinerary_id))))$$);
-- EndIncluded finance/budget_lines.sql
-- Included finance/expenses.sql
select app_private.log_changes('app.expenses', 'expense', '{"status": "change_status"}');
-- EndIncluded finance/expenses.sql
-- Included finance/expense_receipts.sql
select app_private.log_changes('app.expense_receipts', 'expense_receipt', id_column => 'expense_id', leave_out => '{sha256}');
-- EndIncluded finance/expense_receipts.sql
-- Included finance/expense_commands.sql
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
-- EndIncluded finance/expense_commands.sql
-- Included finance/expense_decisions.sql
create or replace function app.approve_expense(expense uuid, rate numeric default null, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e constant app.expenses := app_private.expense_to_decide(expense, if_match);
  books constant text := (select o.currency from app.organizations o where o.id = e.organization_id for share);
  booked_on constant date := app_private.open_day(e.organization_id, e.spent_on);
  record uuid;
begin
  if e.currency <> books and rate is null then
    perform app.refuse(422, 'expense_exchange_rate_needed', format('The books are kept in %s, and the expense is in %s.', books, e.currency));
  end if;
  insert into app.finance_records (organization_id, kind, category_id, itinerary_id, booked_on, amount_minor, tax_minor, currency, exchange_rate,
    base_currency, status, payment_status, counterparty, note, expense_id, created_by)
  select e.organization_id, 'expense', e.category_id,
    (select i.id from app.itineraries i where i.organization_id = e.organization_id and i.id = e.itinerary_id and i.deleted_at is null),
    booked_on, e.amount_minor, 0, e.currency, coalesce(rate, case when e.currency = books then 1 end), books, 'actual', 'unpaid', e.person,
    e.purpose || case when booked_on <> e.spent_on then format(' (of %s, whose month is closed)', e.spent_on) else '' end, e.id, app.current_user_id()
  returning id into record;
  update app.expenses x set status = 'approved', decided_by = app.current_user_id(), decided_at = statement_timestamp(), finance_record_id = record
  where x.organization_id = e.organization_id and x.id = e.id;
  return app.read_expense(expense);
end
$$;
comment on function app.approve_expense(uuid, numeric, text) is
  'Approves a submitted expense and enters it in the books, on its day or the first one of the next month that is open. PT403 expense_is_own, PT404, PT409 expense_not_submitted, PT412, PT422 expense_exchange_rate_needed, finance_records_exchange_rate_of_base.';
alter function app.approve_expense(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.approve_expense(uuid, numeric, text) to callboard_api;
create or replace function app.reject_expense(expense uuid, because text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.expense_to_decide(expense, if_match);
  update app.expenses e set status = 'rejected', decided_by = app.current_user_id(), decided_at = statement_timestamp(),
    -- One that shows nothing is none.
    reason = case when app.is_visible(because) then because else '' end
  where e.organization_id = app.current_org() and e.id = expense;
  return app.read_expense(expense);
end
$$;
comment on function app.reject_expense(uuid, text, text) is
  'Rejects a submitted expense, with a reason; whose it is may change it and submit it again. PT403 expense_is_own, PT404, PT409 expense_not_submitted, PT412, expenses_reason_length.';
alter function app.reject_expense(uuid, text, text) owner to callboard_definer;
grant execute on function app.reject_expense(uuid, text, text) to callboard_api;
-- EndIncluded finance/expense_decisions.sql
-- Included settlements/deals.sql
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_deal_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deals.sql
-- Included settlements/ticket_tiers.sql
select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/show_costs.sql
select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/show_costs.sql
-- Included settlements/deposits.sql
select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deposits.sql
-- Included settlements/deal_bonuses.sql
select app_private.tenant_table('deal_bonuses', noun => 'deal_bonus', permission => 'finance', path => '/api/bonuses',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deal_bonuses.sql
-- Included settlements/deal_adjustments.sql
select app_private.tenant_table('deal_adjustments', noun => 'deal_adjustment', permission => 'finance', path => '/api/adjustments',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deal_adjustments.sql
-- Included settlements/settlement_inputs.sql
create or replace function app.complete_adjustments(adjustments jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return (select coalesce(jsonb_agg('{"percentage": null, "tax_percentage": null, "sold_by": null}'::jsonb || x.item order by x.n), '[]')
    from jsonb_array_elements(adjustments) with ordinality as x (item, n));
end
$$;
comment on function app.complete_adjustments(jsonb) is 'Adjustments of a settlement with the fields that those recorded by earlier releases do not have.';
grant execute on function app.complete_adjustments(jsonb) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_inputs.sql
-- Included settlements/settlements.sql
select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');
-- EndIncluded settlements/settlements.sql
-- Included settlements/settlement_books.sql
create or replace function app_private.enter_settlement(s app.settlements, rate numeric, existing text, must boolean) returns text
language plpgsql volatile
set search_path = ''
as $$
declare
  books constant text := (select o.currency from app.organizations o where o.id = s.organization_id);
  entered constant uuid[] := app_private.booked_by_hand(s);
  is_foreign constant boolean := s.inputs ->> 'currency' <> books;
  because text;
begin
  -- Nothing is guessed: neither a rate, nor whether money that somebody has entered is the same.
  if not is_foreign and rate <> 1 then
    perform app.refuse(422, 'finance_records_exchange_rate_of_base', format('The books are kept in %s, and so is the deal.', books));
  elsif entered is not null and existing is null then
    because := 'booked_by_hand';
    if must then
      perform app.refuse(409, 'settlement_booked_by_hand', format('Actual finance records of the show in the same categories: %s. Say whether they are to be kept or made void.', cardinality(entered)));
    end if;
  elsif is_foreign and rate is null then
    because := 'exchange_rate_needed';
    if must then
      perform app.refuse(422, 'settlement_exchange_rate_needed', format('The books are kept in %s, and the deal is in %s.', books, s.inputs ->> 'currency'));
    end if;
  end if;
  if because is null then
    if existing = 'void' then
      update app.finance_records r set status = 'void' where r.organization_id = s.organization_id and r.id = any (entered);
    end if;
    perform app_private.book_settlement(s, case when is_foreign then rate else 1 end);
  end if;
  return because;
end
$$;
comment on function app_private.enter_settlement(app.settlements, numeric, text, boolean) is
  'Books a settlement, unless that takes an exchange rate, or a word on what somebody has entered: then it returns why not or, if it must, PT409 settlement_booked_by_hand, PT422 settlement_exchange_rate_needed. PT422 finance_records_exchange_rate_of_base for a rate where there is none.';
alter function app_private.enter_settlement(app.settlements, numeric, text, boolean) owner to callboard_definer;
-- EndIncluded settlements/settlement_books.sql
-- Included settlements/settlement_commands.sql
create or replace function app.finalize_settlement(settlement uuid, rate numeric default null, existing text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
  show_status text;
  because text;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  show_status := app_private.lock_show(present.show_id);
  -- Check again under the lock: nobody else can finalize it now.
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.deleted_at is not null then
    perform app.refuse(404, 'not_found');
  elsif present.status = 'final' or show_status <> 'settled' and app_private.final_settlement(present.show_id, present.deal_id) is not null then
    perform app.refuse(409, 'settlement_final');
  elsif show_status not in ('played', 'cancelled') then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif app.complete_inputs(present.inputs) is distinct from app.settlement_inputs(present.show_id, present.deal_id) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  because := app_private.enter_settlement(present, rate, existing, false);
  update app.settlements x set (status, finalized_at, finalized_by, booked_at, not_booked_because)
    = row ('final', statement_timestamp(), app.current_user_id(), case when because is null then statement_timestamp() end, because)
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  perform app_private.settle_show(present.show_id);
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid, numeric, text) is
  'Makes a revision final, and its show settled if that was the last deal of it, unless it is cancelled, and enters its lines in the books as app.book_settlement does, unless that has to be told more: then not_booked_because says what. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated, period_closed, PT422 finance_records_exchange_rate_of_base.';
alter function app.finalize_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.finalize_settlement(uuid, numeric, text) to callboard_api;
create or replace function app.book_settlement(settlement uuid, rate numeric default null, existing text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  perform app_private.lock_show(present.show_id);
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.status <> 'final' or present.reopened_at is not null then
    perform app.refuse(409, 'settlement_not_in_force');
  elsif present.booked_at is null then
    perform app_private.enter_settlement(present, rate, existing, true);
    update app.settlements x set (booked_at, not_booked_because) = row (statement_timestamp(), null::text)
    where x.organization_id = (select app.current_org()) and x.id = settlement;
  end if;
  return app.read_settlement(settlement);
end
$$;
comment on function app.book_settlement(uuid, numeric, text) is
  'Enters the lines of a final settlement in the books, if they are not there: at an exchange rate, if the deal is in another currency; actual records that somebody has entered in the same categories are kept or made void (existing). PT403 without finance.close, PT404, PT409 settlement_not_in_force, settlement_booked_by_hand, period_closed, PT422 settlement_exchange_rate_needed, finance_records_exchange_rate_of_base.';
alter function app.book_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.book_settlement(uuid, numeric, text) to callboard_api;
create or replace function app.reopen_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  wanted constant uuid := body ->> 'deal_id';
  is_settled boolean;
  finals app.settlements[];
  final app.settlements;
begin
  perform app.require_show(show);
  perform app.require('finance.close');
  if app.is_visible(body ->> 'reason') is not true then
    perform app.refuse(422, 'settlements_reopen_reason_length', 'It shows nothing.');
  end if;
  -- Also where the status says otherwise, as nobody can who uses Callboard: this is the way out.
  is_settled := app_private.lock_show(show) = 'settled';
  select array_agg(x order by x.deal_id nulls first) into finals from app.settlements x
  where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null
    and (wanted is null or x.inputs #>> '{deal,id}' = wanted::text);
  -- As in app.deal_of: the main deal, or the only one.
  if wanted is null and finals[1].deal_id is not null then
    if exists (select from app.deals d where d.organization_id = (select app.current_org()) and d.show_id = show and d.deleted_at is null and d.act is null) then
      perform app.refuse(409, 'show_not_settled', 'The settlement of the main deal is not final: name the deal.');
    elsif cardinality(finals) > 1 then
      perform app.refuse(409, 'settlement_of_which_deal');
    end if;
  end if;
  if finals is null and (wanted is not null or not is_settled) then
    perform app.refuse(409, 'show_not_settled');
  end if;
  final := finals[1];
  if final.id is not null then
    update app.settlements x set (reopened_at, reopened_by, reopen_reason) = row (statement_timestamp(), app.current_user_id(), body ->> 'reason')
    where x.organization_id = final.organization_id and x.id = final.id;
    perform app_private.unbook_settlement(final);
  else
    -- It was set to settled without a deal: then only the log keeps the reason.
    perform app_private.log_event(app.current_org(), 'show.reopen', 'show', show, jsonb_build_object('new', jsonb_build_object('reason', body ->> 'reason')));
  end if;
  update app.shows s set status = 'played' where s.organization_id = (select app.current_org()) and s.id = show and s.status = 'settled';
  return app.read_show(show);
end
$$;
comment on function app.reopen_settlement(uuid, jsonb) is
  'Sets a settled show back to played, with a reason, which is recorded in the settlement that was final, that of the main deal unless it names another, and takes its lines out of the books. PT403 without finance.close, PT404, PT409 show_not_settled, settlement_of_which_deal, PT422 settlements_reopen_reason_length.';
alter function app.reopen_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.reopen_settlement(uuid, jsonb) to callboard_api;
-- EndIncluded settlements/settlement_commands.sql
-- Included settlements/contradictions.sql
create or replace function app_private.contradictions_of(organization uuid)
returns table (show_id uuid, settlement_id uuid, what text, said text, otherwise text, expense_id uuid)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.status from app.shows s where s.organization_id = contradictions_of.organization and s.deleted_at is null
  ), settlements as (
    select x.* from app.settlements x where x.organization_id = contradictions_of.organization and x.status = 'final' and x.deleted_at is null
  ), booked as (
    select r.settlement_id, sum(case r.kind when 'income' then r.amount_minor else -r.amount_minor end) as amount
    from app.finance_records r
    where r.organization_id = contradictions_of.organization and r.settlement_id is not null and r.status <> 'void' and r.deleted_at is null
    group by r.settlement_id
  )
  select u.show_id, null::uuid, u.what, u.said, u.otherwise, null::uuid from app_private.unmatched_of(contradictions_of.organization) u
  -- A row that an earlier release did not make for a show without a fee says nothing else.
  where u.said <> u.otherwise
  union all
  -- Settled is a show of which every deal has a settlement in force; one that is cancelled stays so.
  select s.id, x.id, 'status', s.status, concat('settlement in force: ', coalesce(x.n, 0), case when d.n > 1 then ' of ' || d.n end), null
  from shows s
  left join (select y.show_id, count(*) as n, (array_agg(y.id order by y.id))[1] as id from settlements y where y.reopened_at is null group by y.show_id) x on x.show_id = s.id
  left join (select e.show_id, count(*) as n, count(*) filter (where y.id is null) as unsettled
    from app.deals e
    left join settlements y on y.show_id = e.show_id and y.reopened_at is null and y.deal_id is not distinct from case when e.act is not null then e.id end
    where e.organization_id = contradictions_of.organization and e.deleted_at is null group by e.show_id) d on d.show_id = s.id
  where s.status <> 'cancelled' and (s.status = 'settled') <> (x.n is not null and coalesce(d.unsettled, 0) = 0) and (x.n is not null or d.n is not null)
  union all
  -- Tickets and costs are entered once, and what another act is paid is what its own settlement says.
  select x.show_id, null, 'entered', 'tickets and costs: ' || count(*), 'once', null
  from settlements x where x.reopened_at is null and x.inputs -> 'enters_show' is distinct from 'false'
  group by x.show_id having count(*) > 1
  union all
  select x.show_id, x.id, 'act', concat_ws(' ', c.act, c.paid), concat_ws(' ', c.act, p.paid), null
  from settlements x
  cross join lateral (select a.act_id, a.act, (a.figures ->> 'due_minor')::numeric + (a.figures ->> 'bonuses_minor')::numeric as paid from app.act_costs(x.inputs) a) c
  join settlements y on y.show_id = x.show_id and y.reopened_at is null and y.deal_id = c.act_id::uuid
  cross join lateral (select (y.result ->> 'due_minor')::numeric + (y.result ->> 'bonuses_minor')::numeric as paid) p
  where x.reopened_at is null and c.paid <> p.paid
  union all
  -- Without the lines of its sheet, whose words may change with a release.
  select x.show_id, x.id, 'result', (x.result - 'lines')::text, app.settlement_figures(x.inputs)::text, null from settlements x
  where not app.settlement_figures(x.inputs) @> (x.result - 'lines')
  union all
  -- Income less expenses is what the settlement says; what was recorded before has one deal, and is what the promoter is left with.
  select x.show_id, x.id, 'books', coalesce(b.amount, 0)::text, e.amount::text, null
  from settlements x
  left join booked b on b.settlement_id = x.id
  cross join lateral (select case when x.reopened_at is null and x.booked_at is not null then coalesce(x.result ->> 'books_minor', x.result ->> 'promoter_minor')::numeric else 0 end as amount) e
  where coalesce(b.amount, 0) <> e.amount
  union all
  -- Its category may be another: whoever keeps the books may correct that of the record.
  select null, null, 'expense', concat(e.amount_minor, ' ', e.currency), coalesce(r.amount_minor || ' ' || r.currency, ''), e.id
  from app.expenses e
  left join app.finance_records r on r.organization_id = e.organization_id and r.id = e.finance_record_id and r.expense_id = e.id
    and r.kind = 'expense' and r.status = 'actual' and r.deleted_at is null
  where e.organization_id = contradictions_of.organization and e.status = 'approved' and e.deleted_at is null
    and (r.amount_minor, r.currency) is distinct from (e.amount_minor, e.currency);
end;
comment on function app_private.contradictions_of(uuid) is
  'What an organization''s shows and approved expenses say in one place and otherwise in another: tickets and those of the tiers, the fee and what the deals guarantee, the status and the settlements in force, whether tickets and costs are entered once, what another act is paid and what its settlement says, a final result and that of its inputs, the books and what the settlement enters, an expense and the record that approving it has entered.';
alter function app_private.contradictions_of(uuid) owner to callboard_definer;
create or replace function app.find_contradictions(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  began constant timestamptz := clock_timestamp();
  organization uuid := coalesce((behind ->> 'organization')::uuid, app_private.nobody());
  found_here jsonb;
  contradictions jsonb := '[]';
begin
  loop
    organization := (select o.id from app.organizations o where o.id > organization and o.deleted_at is null order by o.id limit 1);
    exit when organization is null;
    -- With what a member needs for it, because fees are kept from everybody else, the definer included.
    perform app_private.set_context(null, null, organization, null, 'finance.read');
    select coalesce(jsonb_agg(jsonb_build_object('organization_id', organization) || to_jsonb(c)), '[]') into found_here
    from (select * from app_private.contradictions_of(organization) limit 100) c;
    contradictions := contradictions || found_here;
    exit when clock_timestamp() > began + interval '1 second' or jsonb_array_length(contradictions) >= 100;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'failed', jsonb_array_length(contradictions),
    'contradictions', contradictions, 'next', case when organization is not null then jsonb_build_object('organization', organization) end);
end
$$;
comment on function app.find_contradictions(jsonb) is
  'What the shows and expenses of some organizations say in two places, and not the same: at most 100 of each, as app_private.contradictions_of has them. Returns how many as `failed`. To continue, call it again with next, until that is null. Runs every night.';
alter function app.find_contradictions(jsonb) owner to callboard_definer;
grant execute on function app.find_contradictions(jsonb) to callboard_worker;
-- EndIncluded settlements/contradictions.sql
-- Included imports/imports.sql
select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}', leave_out => '{sha256}');
-- EndIncluded imports/imports.sql
-- Included imports/import_checking.sql
create or replace function app_private.check_finance_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- In plpgsql, which plans this once for all batches of a connection.
  return query
  with given as materialized (
    select (x.value ->> 0)::integer as line, x.value -> 1 as v from jsonb_array_elements(lines) as x
  ),
  read as materialized (
    select g.line, g.v, o.currency as base,
      coalesce(upper(g.v ->> 'currency'), o.currency) as currency,
      coalesce(app_private.csv_number(g.v ->> 'amount', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'amount_minor', i.options ->> 'decimal')) as amount,
      coalesce(app_private.csv_number(g.v ->> 'tax', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'tax_minor', i.options ->> 'decimal')) as tax,
      app_private.csv_number(g.v ->> 'exchange_rate', i.options ->> 'decimal') as rate,
      app_private.csv_date(g.v ->> 'booked_on', i.options ->> 'dates') as booked_on,
      app_private.csv_date(g.v ->> 'due_on', i.options ->> 'dates') as due_on,
      app_private.csv_uuid(g.v ->> 'show_id') as show_id,
      app_private.csv_uuid(g.v ->> 'itinerary_id') as itinerary_id,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source
    from given g, app.organizations o where o.id = i.organization_id
  ),
  meant as materialized (
    select r.*, k.kind, c.id as category_id, s.has_show,
      r.itinerary_id is not null and app_private.sees_itinerary(r.itinerary_id) as has_itinerary
    from read r
    -- Without a kind the sign decides, as in bank statements.
    cross join lateral (select coalesce(lower(r.v ->> 'kind'), case when r.amount < 0 then 'expense' else 'income' end) as kind) k
    left join app.finance_categories c on c.organization_id = i.organization_id and c.kind = k.kind
      and lower(c.name) = lower((r.v ->> 'category') collate app.people) and c.deleted_at is null
    -- LIMIT makes PostgreSQL look up each show by its key, instead of reading all shows for every batch.
    left join lateral (select true as has_show from app.shows s
      where s.organization_id = i.organization_id and s.id = r.show_id and s.deleted_at is null limit 1) s on true
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad('', m.v ? '', 'The line has more cells than the header has columns.'),
      -- When.
      app_private.missing('booked_on', m.v ->> 'booked_on', 'A date is required.'),
      app_private.bad_day('booked_on', m.v ->> 'booked_on', m.booked_on),
      app_private.bad('booked_on', exists (select from app.finance_periods f where f.organization_id = i.organization_id
        and f.month = date_trunc('month', m.booked_on)::date), 'The books of this month are closed.'),
      app_private.bad_day('due_on', m.v ->> 'due_on', m.due_on),
      -- Category.
      app_private.bad_choice('kind', m.kind, '{income,expense}', 'Must be income or expense.'),
      app_private.bad('category', m.kind in ('income', 'expense') and m.v ->> 'category' is null, 'A category is required.'),
      app_private.bad('category', m.kind in ('income', 'expense') and m.v ->> 'category' is not null and m.category_id is null,
        format('There is no %s category of this name.', m.kind)),
      app_private.bad('show_id', m.v ->> 'show_id' is not null and m.has_show is null, 'There is no such show.'),
      app_private.bad('itinerary_id', m.v ->> 'itinerary_id' is not null and not m.has_itinerary, 'There is no such itinerary.'),
      -- Amount.
      app_private.missing('amount', coalesce(m.v ->> 'amount', m.v ->> 'amount_minor'), 'An amount is required.'),
      app_private.bad('amount', m.amount is null and coalesce(m.v ->> 'amount', m.v ->> 'amount_minor') is not null,
        format('Not a number (decimal %s expected).', i.options ->> 'decimal')),
      app_private.bad('amount', m.amount <> trunc(m.amount), format('%s has %s decimal places.', m.currency, app.minor_digits(m.currency))),
      app_private.bad('amount', abs(m.amount) > 9007199254740991, 'The amount is too large.'),
      app_private.bad('amount', m.amount < 0 and m.v ->> 'kind' is not null, 'An amount must not be negative if the column kind gives the direction.'),
      app_private.bad('tax', coalesce(m.v ->> 'tax', m.v ->> 'tax_minor') is not null
        and (m.tax is null or m.tax <> trunc(m.tax) or abs(m.tax) > abs(m.amount)), 'Not an amount of money between 0 and the amount.'),
      -- Currency.
      app_private.bad('currency', not exists (select from app.currencies c where c.code = m.currency), 'There is no such currency.'),
      app_private.bad('exchange_rate', m.v ->> 'exchange_rate' is not null and coalesce(m.rate <= 0 or m.rate > 1000000000, true), 'Not a positive number.'),
      app_private.bad('exchange_rate', m.currency <> m.base and m.v ->> 'exchange_rate' is null,
        format('An amount in %s needs its exchange rate to %s.', m.currency, m.base)),
      app_private.bad('exchange_rate', m.currency = m.base and m.rate <> 1, 'The exchange rate of a currency to itself is 1.'),
      app_private.bad('exchange_rate', app.convert_minor(least(abs(m.amount), 9007199254740991)::bigint, m.rate, m.currency, m.base) > 9007199254740991,
        format('The amount is too large in %s.', m.base)),
      -- Status.
      app_private.bad_choice('status', lower(m.v ->> 'status'), '{planned,committed,actual,void}', 'Must be planned, committed, actual or void.'),
      app_private.bad_choice('payment_status', lower(m.v ->> 'payment_status'), '{unpaid,partly_paid,paid,refunded}',
        'Must be unpaid, partly_paid, paid or refunded.'),
      -- Counterparty and source.
      app_private.bad_line('counterparty', m.v ->> 'counterparty', 200),
      app_private.bad_text('note', m.v ->> 'note', 10000),
      app_private.bad_line('source', m.source, 100),
      app_private.bad_line('external_ref', m.v ->> 'external_ref', 200)
    ], null), '{}')) as problems
    from meant m
  )
  select m.line,
    case when m.problems is null then jsonb_build_object('kind', m.kind, 'category_id', m.category_id, 'show_id', m.show_id, 'itinerary_id', m.itinerary_id,
      'booked_on', m.booked_on, 'due_on', m.due_on, 'amount_minor', abs(m.amount)::bigint, 'tax_minor', coalesce(abs(m.tax)::bigint, 0),
      'currency', m.currency, 'exchange_rate', coalesce(m.rate, 1), 'base_currency', m.base,
      'status', coalesce(lower(m.v ->> 'status'), 'actual'), 'payment_status', coalesce(lower(m.v ->> 'payment_status'), 'unpaid'),
      'counterparty', m.v ->> 'counterparty', 'note', m.v ->> 'note',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    m.problems
  from judged m;
end
$$;
comment on function app_private.check_finance_lines(app.imports, jsonb) is 'The data of lines [[line, {column: text}]] of finance records, or what is wrong with them.';
alter function app_private.check_finance_lines(app.imports, jsonb) owner to callboard_definer;
-- EndIncluded imports/import_checking.sql
-- Included imports/import_running.sql
-- What the worker does with an import (src/imports/task.ts): it stages the lines of the file and, once the
-- member says so, enters them in one transaction. Each function first assumes the context of the member
-- who requested it, with their current permissions.

create or replace function app_private.enter_import(import uuid, statuses text[]) returns app.imports
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
begin
  select * into i from app.imports x where x.id = import;
  -- Asks before it opens: no context unless there is something to do with this import.
  if not found or i.status <> all (statuses) then
    return null;
  end if;
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id, null, array_to_string(array(
    select p from unnest(app.permissions_of(i.organization_id, i.created_by)) p
    where p in ('imports.run', 'finance.write', case i.resource when 'shows' then 'shows.write' else 'finance.write' end)
      -- Records may name tours, if the member sees them.
      or i.resource = 'finance_records' and p in ('itineraries.read', 'itineraries.write')), ' '));
  -- Waits for another worker on the same import, and then sees what it has done.
  select * into i from app.imports x where x.organization_id = i.organization_id and x.id = import for update;
  if i.status <> all (statuses) then
    perform app_private.set_context(null, null);
    return null;
  end if;
  return i;
end
$$;
comment on function app_private.enter_import(uuid, text[]) is
  'Opens this transaction for the member whose import it is, with what entering its lines needs, and locks the import; null, without a context, if it does not exist or is in none of these states. Whoever calls it closes the transaction again.';
alter function app_private.enter_import(uuid, text[]) owner to callboard_definer;
-- EndIncluded imports/import_running.sql
-- Included calendar/calendar_feeds.sql
select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}');
-- EndIncluded calendar/calendar_feeds.sql
-- Included exports/exports.sql
-- Whoever may read all of a file but its amounts could find these from its digest.
select app_private.log_changes('app.exports', 'export', '{"status": "change_status"}', leave_out => '{sha256,held}');
-- EndIncluded exports/exports.sql
-- Included bi/bi_credentials.sql
select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');
-- EndIncluded bi/bi_credentials.sql
-- Lock: share row exclusive on app.finance_records: create or replace trigger _150_itinerary before insert or update of itinerary_id on app.finance_reco
-- Lock: access exclusive on app.budget_lines: select app_private.tenant_table('budget_lines', noun => 'budget_line', permission => 'finance', path
-- Lock: share row exclusive on app.expense_receipts: select app_private.log_changes('app.expense_receipts', 'expense_receipt', id_column => 'expense_id',
-- Lock: share row exclusive on app.calendar_feeds: select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}')
