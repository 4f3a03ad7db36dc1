-- What ends, for a file outside the database (ENDED_FILE), which outlives it: after a restore, `npm run restored -- --ended`
-- ends the same in the copy (restored_ended.sql). Each worker reads it once a minute: src/jobs/ended.ts.
--
-- Only ids, instants, and the names of built-in roles and permissions: nothing that an organization has written, and no
-- secret. What has ended once and for all is taken from its event; what can be taken away and given back (a member's
-- access, a role's permissions, an organization) is written as it is now, whenever it has changed.

create or replace function app_private.log_reach() returns jsonb
language sql stable
set search_path = ''
set timezone = 'UTC'
begin atomic
  select jsonb_build_object('origin', o.facts || jsonb_build_object('since', o.since), 'until', s.sealed_until)
  from app_private.origin o, app_private.sealing s;
end;
comment on function app_private.log_reach() is
  'Which database this is, or was when it was copied, and the time up to which all its transactions had ended: a copy has all of them and may lack any later one.';
alter function app_private.log_reach() owner to callboard_definer;

create or replace function app_private.ended_in(of_organization uuid, since timestamptz) returns setof jsonb
language sql stable
set search_path = ''
begin atomic
  with e as materialized (
    select l.resource_id as id, l.occurred_at as at, l.action, l.resource_type as noun, l.changes,
      case
        when l.action in ('auth.sign_out', 'auth.session_revoked', 'auth.refresh_token_reused') then 'session'
        when l.action in ('auth.password_changed', 'auth.password_reset') then 'password'
        when l.action = 'auth.superadmin.revoked' then 'support_grant'
        -- Sending it again ends the earlier link.
        when l.action in ('invitation.revoke', 'invitation.accept', 'invitation.resend') then 'invitation'
        when l.action = 'calendar_feed.revoke' then 'calendar_feed'
        when l.action = 'bi.revoke' then 'bi_login'
        when l.action = 'bi.rotate' then 'bi_password'
        when l.action = 'audit.erase' then 'erasure'
        when l.action = 'audit.purge' then 'events'
        when l.action like '%.purge' then 'purge'
      end as what
    from app.event_log l
    where l.organization_id = of_organization and l.occurred_at >= since
  )
  select jsonb_strip_nulls(jsonb_build_object('what', e.what, 'organization', of_organization, 'id', e.id,
    'at', case when e.what = 'events' then (e.changes #>> '{new,before}')::timestamptz else e.at end,
    'noun', case when e.what = 'purge' then e.noun end))
  from e where e.what is not null
  union all
  select jsonb_build_object('what', 'member', 'organization', of_organization, 'id', c.id, 'at', statement_timestamp(), 'role', m.role,
    -- Members deleted together with their organization come back with it.
    'removed', m.user_id is null or m.deleted_at is not null and m.deletion_id is distinct from o.deletion_id,
    'roles', (select coalesce(jsonb_agg(r.role_id), '[]') from app.member_roles r where r.organization_id = of_organization and r.user_id = c.id),
    'permissions', (
      select coalesce(jsonb_agg(jsonb_build_object('permission', p.permission, 'effect', p.effect, 'expires_at', p.expires_at)), '[]')
      from app.member_permissions p where p.organization_id = of_organization and p.user_id = c.id))
  from (select distinct e.id from e where e.noun = 'member') c
  join app.organizations o on o.id = of_organization
  left join app.memberships m on m.organization_id = of_organization and m.user_id = c.id
  union all
  select jsonb_build_object('what', 'role', 'organization', of_organization, 'id', c.id, 'at', statement_timestamp(),
    'removed', r.deleted_at is not null and r.deletion_id is distinct from o.deletion_id, 'permissions', to_jsonb(r.permissions))
  from (select distinct e.id from e where e.noun = 'role') c
  join app.organizations o on o.id = of_organization
  join app.custom_roles r on r.organization_id = of_organization and r.id = c.id
  union all
  select jsonb_build_object('what', 'organization', 'organization', o.id, 'id', o.id, 'at', statement_timestamp(), 'removed', o.deleted_at is not null)
  from app.organizations o
  where o.id = of_organization and exists (select from e where e.action in ('organization.delete', 'organization.restore'));
end;
comment on function app_private.ended_in(uuid, timestamptz) is
  'What has ended in an organization since a time, and the present state of the members and roles that have changed.';
alter function app_private.ended_in(uuid, timestamptz) owner to callboard_definer;

create or replace function app.read_ended(behind jsonb default null) returns jsonb
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
set jit = off
as $$
declare
  reach constant jsonb := app_private.log_reach();
  present constant timestamptz := reach ->> 'until';
  previous constant timestamptz := coalesce(
    case when behind -> 'origin' = reach -> 'origin' and (behind ->> 'until')::timestamptz < now() + interval '5 minutes' then (behind ->> 'until')::timestamptz end,
    greatest((reach #>> '{origin,since}')::timestamptz, now() - interval '1 day'));
  -- An event can become visible late, if a clock was set back or a backend stalled.
  since constant timestamptz := previous - interval '1 minute';
  organization uuid;
  ended jsonb[] := '{}';
begin
  -- Until the sealer has run here.
  if present < previous then
    return null;
  end if;
  loop
    -- Also what is newer than it vouches for: the next line has it again.
    organization := app_private.next_logged(organization, since, 'infinity');
    exit when organization is null;
    ended := ended || array(select app_private.ended_in(organization, since));
  end loop;
  -- A refresh is no event. It spends a token, and a spent one that comes back was stolen.
  ended := ended || array(
    select jsonb_build_object('what', 'refresh', 'id', s.id, 'at', s.refreshed_at)
    from app.sessions s where s.refreshed_at >= since and s.refreshed_at > s.created_at and s.revoked_at is null);
  return jsonb_build_object('origin', reach -> 'origin', 'from', previous, 'until', present, 'ended', to_jsonb(ended));
end
$$;
comment on function app.read_ended(jsonb) is
  'A line for the file of what ends: which database, the times from and until which nothing that ended is missing, and what ended (sessions, members, grants, feeds, logins, passwords, what was purged and erased). behind is the line before; without one of this database, it begins a day ago. NULL if there is nothing to say yet.';
alter function app.read_ended(jsonb) owner to callboard_definer;
grant execute on function app.read_ended(jsonb) to callboard_worker;
