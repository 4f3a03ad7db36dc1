-- Legal holds: while an organization has an active one, nothing of it is purged: no deleted rows, no old
-- events, no event details, and not the organization itself. Deletion still works, because it only
-- marks rows. Holds are never deleted, so the table is their history.

create table if not exists app.legal_holds (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  reason text not null constraint legal_holds_reason_given check (length(btrim(reason)) between 1 and 500 and reason !~ '[\u0001-\u001f\u007f-\u009f]'),
  -- NULL for a DBA.
  placed_by uuid default app.current_user_id() references app.users (id),
  placed_at timestamptz not null default now(),
  released_by uuid references app.users (id),
  released_at timestamptz,
  primary key (organization_id, id)
);

-- Without grants: app.place_legal_hold and app.release_legal_hold write and check the permission.
select app_private.tenant_policies('app.legal_holds', reads => 'audit.read', inserts => 'retention.manage', updates => 'retention.manage',
  definer => 'insert, update');
grant select on app.legal_holds to callboard_api, callboard_definer;
grant insert (reason), update (released_at, released_by) on app.legal_holds to callboard_definer;
comment on table app.legal_holds is 'Reasons why nothing of an organization may be purged, and when each was released.';
comment on column app.legal_holds.placed_by is 'The member who placed it; null for a DBA, whose holds only a DBA can release.';

select app_private.log_changes('app.legal_holds', 'legal_hold', '{"create": "place", "released_at": "release"}');

create or replace function app_private.is_held(organization uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return exists (select from app.legal_holds h where h.organization_id = organization and h.released_at is null);
end
$$;
comment on function app_private.is_held(uuid) is 'Whether an organization has an active legal hold.';
alter function app_private.is_held(uuid) owner to callboard_definer;

create or replace view app.legal_hold_list with (security_invoker = true) as
  select h.organization_id, h.id, h.placed_at,
    json_build_object('id', h.id, 'reason', h.reason, 'placed_by', h.placed_by, 'placed_at', h.placed_at,
      'released_by', h.released_by, 'released_at', h.released_at) as body
  from app.legal_holds h;
comment on view app.legal_hold_list is 'The organization''s legal holds, including released ones, with their JSON.';
grant select on app.legal_hold_list to callboard_api, callboard_definer;

create or replace function app.read_legal_hold(hold uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('audit.read');
  answer app.answer;
begin
  select 200, h.body into answer.status, answer.body from app.legal_hold_list h where h.organization_id = organization and h.id = hold;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_legal_hold(uuid) is 'A legal hold, released or not. PT403 without audit.read, PT404.';
grant execute on function app.read_legal_hold(uuid) to callboard_api;

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

create or replace function app.place_legal_hold(why text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('retention.manage');
  hold uuid := app_private.hold_organization(organization, why);
begin
  return (201, h.body, null, '/api/legal-holds/' || h.id)::app.answer
    from app.legal_hold_list h where h.organization_id = organization and h.id = hold;
end
$$;
comment on function app.place_legal_hold(text) is
  'Prevents anything of the organization from being purged, with a reason. PT403 without retention.manage, legal_holds_reason_given.';
alter function app.place_legal_hold(text) owner to callboard_definer;
grant execute on function app.place_legal_hold(text) to callboard_api;

create or replace function app.release_legal_hold(hold uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('retention.manage');
  h app.legal_holds;
begin
  select * into h from app.legal_holds x where x.organization_id = organization and x.id = hold for no key update;
  if h.id is null then
    perform app.refuse(404, 'not_found');
  elsif h.released_at is not null then
    perform app.refuse(409, 'legal_hold_released');
  elsif h.placed_by is null then
    perform app.refuse(409, 'legal_hold_not_yours');
  end if;
  update app.legal_holds x set released_at = statement_timestamp(), released_by = app.current_user_id()
  where x.organization_id = organization and x.id = hold;
  return (200, l.body, null, null)::app.answer
    from app.legal_hold_list l where l.organization_id = organization and l.id = hold;
end
$$;
comment on function app.release_legal_hold(uuid) is
  'Releases a hold placed by a member. PT403 without retention.manage, PT404, PT409 legal_hold_released, legal_hold_not_yours.';
alter function app.release_legal_hold(uuid) owner to callboard_definer;
grant execute on function app.release_legal_hold(uuid) to callboard_api;

-- The same for DBAs, including for deleted organizations. It writes in the organization's context, like
-- everything else, and resets the context afterwards.
create or replace function app_private.place_legal_hold(of_slug text, why text) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.slug_organization(of_slug);
  hold uuid;
begin
  if organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', of_slug));
  end if;
  perform app_private.set_context(null, null, organization);
  hold := app_private.hold_organization(organization, why);
  perform app_private.set_context(null, null);
  return hold;
end
$$;
comment on function app_private.place_legal_hold(text, text) is
  'Prevents anything of an organization (by slug) from being purged until a DBA releases the hold, with a reason that its members can read. Returns the hold''s id. PT404, legal_holds_reason_given.';
alter function app_private.place_legal_hold(text, text) owner to callboard_definer;

create or replace function app_private.release_legal_hold(hold uuid) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := (select h.organization_id from app.legal_holds h where h.id = hold and h.released_at is null);
begin
  if organization is null then
    perform app.refuse(404, 'not_found', 'There is no such hold, or it has been released.');
  end if;
  perform app_private.set_context(null, null, organization);
  update app.legal_holds h set released_at = statement_timestamp() where h.organization_id = organization and h.id = hold;
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.release_legal_hold(uuid) is 'Releases a hold, regardless of who placed it. PT404.';
alter function app_private.release_legal_hold(uuid) owner to callboard_definer;
