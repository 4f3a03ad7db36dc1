-- Commands on organizations; the table is in organizations.sql.

create or replace view app.organization_list with (security_invoker = true) as
  select o.id, o.slug, o.version,
    json_build_object('id', o.id, 'name', o.name, 'slug', o.slug, 'currency', o.currency, 'time_zone', o.time_zone,
      'fiscal_year_starts_in', o.fiscal_year_starts_in, 'created_at', o.created_at, 'updated_at', o.updated_at) as body
  from app.organizations o
  where o.deleted_at is null;
comment on view app.organization_list is 'The organization of this transaction.';
grant select on app.organization_list to callboard_api, callboard_definer;

-- Organizations are free to found, and what is counted for each of them would otherwise be free to multiply.
create table if not exists app_private.foundings (
  user_id uuid not null references app.users (id) on delete cascade,
  founded_at timestamptz not null default now()
);
create index if not exists foundings_user_id_idx on app_private.foundings (user_id);
select app_private.definer_table('app_private.foundings', 'select, insert, delete');
comment on table app_private.foundings is 'Who founded an organization within the last day, and when; older ones go with the next.';

create or replace function app_private.count_founding(founder uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- One at a time: many at once must not all find that there is room.
  perform from app.users u where u.id = founder for no key update;
  delete from app_private.foundings f where f.user_id = founder and f.founded_at < now() - interval '1 day';
  if (select count(*) from app_private.foundings f where f.user_id = founder) >= 5 then
    perform app.refuse(409, 'too_many_foundings');
  end if;
  insert into app_private.foundings (user_id) values (founder);
end
$$;
comment on function app_private.count_founding(uuid) is 'Notes that a user founds an organization: 5 within a day. PT409 too_many_foundings.';
alter function app_private.count_founding(uuid) owner to callboard_definer;

create or replace function app_private.found_organization(founder uuid, body jsonb) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  organization uuid := app.uuid_v7();
begin
  perform app_private.count_founding(founder);
  -- Nobody can add the first member, so these two rows are written in the founder's own context.
  perform app_private.change_context(founder, coalesce(app.current_session_id(), app.uuid_v7()), organization);
  insert into app.organizations (id, name, currency, time_zone)
  values (organization, body ->> 'name', coalesce(body ->> 'currency', 'USD'), coalesce(body ->> 'time_zone', 'UTC'));
  perform app_private.join_organization(founder, organization, 'owner');
  return organization;
end
$$;
comment on function app_private.found_organization(uuid, jsonb) is 'Creates an organization with its owner and leaves the transaction in its context, without permissions. PT409 too_many_foundings.';
alter function app_private.found_organization(uuid, jsonb) owner to callboard_definer;

create or replace function app.create_organization(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid;
begin
  if app.current_user_id() is null then
    perform app.refuse(401, 'session_unknown');
  end if;
  organization := app_private.found_organization(app.current_user_id(), body);
  return (201, o.body, app.etag(o.version), '/api/organizations/' || o.id)::app.answer
    from app.organization_list o where o.id = organization;
end
$$;
comment on function app.create_organization(jsonb) is 'Creates an organization owned by the signed-in user: name, currency, time_zone. PT409 slug_reserved, too_many_foundings.';
alter function app.create_organization(jsonb) owner to callboard_definer;
grant execute on function app.create_organization(jsonb) to callboard_api;

create or replace function app.list_my_organizations(only_deleted boolean default false) returns app.answer
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(json_build_object(
      'id', o.id, 'name', o.name, 'slug', o.slug, 'role', m.role, 'deleted_at', o.deleted_at) order by o.name, o.id), '[]'),
    'next_cursor', null), null::text, null::text
  from app.memberships m join app.organizations o on o.id = m.organization_id
  where m.user_id = app.current_user_id()
    and case when only_deleted
      -- The bin is only for members who may restore.
      then o.deleted_at is not null and m.deletion_id = o.deletion_id
        and 'organization.delete' = any (app.permissions_of(o.id, m.user_id))
      else o.deleted_at is null and m.deleted_at is null end;
end;
comment on function app.list_my_organizations(boolean) is 'The organizations that the signed-in user belongs to, or the deleted ones they may restore.';
alter function app.list_my_organizations(boolean) owner to callboard_definer;
grant execute on function app.list_my_organizations(boolean) to callboard_api;

create or replace function app_private.slug_organization(of_slug text) returns uuid
language sql stable security definer
set search_path = ''
begin atomic
  select o.id from app_private.slugs s join app.organizations o on o.id = s.organization_id where s.slug = of_slug;
end;
alter function app_private.slug_organization(text) owner to callboard_definer;
comment on function app_private.slug_organization(text) is 'The organization that a current or former slug leads to.';

create or replace function app.read_organization(id_or_slug text) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('organization.read');
  answer app.answer;
begin
  select 200, o.body, app.etag(o.version), '/api/organizations/' || o.id into answer
  from app.organization_list o
  where o.id = organization and (id_or_slug = o.id::text or app_private.slug_organization(id_or_slug) = o.id);
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_organization(text) is 'The organization of the token, by its id or any slug it ever had. PT404 for any other.';
alter function app.read_organization(text) owner to callboard_definer;
grant execute on function app.read_organization(text) to callboard_api;

create or replace function app.replace_organization(organization uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  select o.version into present from app.organization_list o where o.id = organization;
  perform app.check_version(present, if_match);
  perform app.require('organization.update');
  select o.version into present from app.organizations o where o.id = organization for no key update;
  perform app.check_version(present, if_match);
  update app.organizations o
  set name = coalesce(body ->> 'name', o.name), currency = coalesce(body ->> 'currency', o.currency), time_zone = coalesce(body ->> 'time_zone', o.time_zone),
    fiscal_year_starts_in = coalesce((body ->> 'fiscal_year_starts_in')::smallint, o.fiscal_year_starts_in)
  where o.id = organization;
  return app.read_organization(organization::text);
end
$$;
comment on function app.replace_organization(uuid, jsonb, text) is 'Sets name, currency, time_zone and fiscal_year_starts_in as far as they are given; the slug follows the name. PT403, PT404, PT409 slug_reserved, organization_has_books, PT412.';
grant execute on function app.replace_organization(uuid, jsonb, text) to callboard_api;

create or replace function app.delete_organization(organization uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present integer;
begin
  select o.version into present from app.organizations o
  where o.id = organization and o.id = app.org_if('organization.read') for no key update;
  perform app.check_version(present, if_match);
  perform app.require('organization.delete');
  perform app_private.soft_delete('app.organizations', 'id = $1', organization);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.delete_organization(uuid, text) is 'Soft-deletes the organization of the token with everything it has. PT403, PT404, PT412.';
alter function app.delete_organization(uuid, text) owner to callboard_definer;
grant execute on function app.delete_organization(uuid, text) to callboard_api;

create or replace function app.restore_organization(organization uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  bin record;
  held text[];
begin
  -- A deleted organization cannot be entered, so the rule is checked here: anybody who was a member
  -- when it was deleted, and could have deleted it, may restore it.
  select o.deletion_id, m.role into bin
  from app.organizations o join app.memberships m on m.organization_id = o.id
  where o.id = organization and m.user_id = me and m.deletion_id = o.deletion_id;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  held := app.permissions_of(organization, me);
  if not 'organization.delete' = any (held) then
    perform app.refuse(403, 'permission_denied', 'This needs the permission organization.delete.');
  end if;
  perform app_private.change_context(me, app.current_session_id(), organization, bin.role, array_to_string(held, ' '));
  -- Check again under a lock: somebody else may have restored it.
  perform from app.organizations o where o.id = organization and o.deletion_id = bin.deletion_id for no key update;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.restore_deletion(bin.deletion_id);
  return app.read_organization(organization::text);
end
$$;
comment on function app.restore_organization(uuid) is 'Restores a deleted organization with exactly what was deleted with it. PT403, PT404.';
alter function app.restore_organization(uuid) owner to callboard_definer;
grant execute on function app.restore_organization(uuid) to callboard_api;
