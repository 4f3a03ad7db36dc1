-- Who has access to an organization, for the review that auditors ask for: members with what they hold and from whom,
-- what else opens a door, and what happened last. For auditors, who read events and nothing else.

create or replace function app_private.reviewed_members(organization uuid) returns json
language sql stable
set search_path = ''
begin atomic
  select coalesce(json_agg(json_build_object(
    'user_id', m.user_id, 'name', u.display_name, 'email', u.email, 'role', m.role,
    'custom_roles', (
      select coalesce(json_agg(r.name order by r.name), '[]')
      from app.member_roles x join app.custom_roles r on r.organization_id = x.organization_id and r.id = x.role_id
      where x.organization_id = m.organization_id and x.user_id = m.user_id and r.deleted_at is null),
    'permissions', to_json(app.permissions_of(m.organization_id, m.user_id)),
    'grants', (
      select coalesce(json_agg(json_build_object('permission', p.permission, 'effect', p.effect, 'expires_at', p.expires_at,
        'granted_by', g.email, 'granted_at', p.updated_at) order by p.permission), '[]')
      from app.member_permissions p left join app.users g on g.id = p.granted_by
      where p.organization_id = m.organization_id and p.user_id = m.user_id and (p.expires_at is null or p.expires_at > now())),
    'member_since', m.created_at, 'email_verified', u.email_verified_at is not null,
    'open_sessions', s.open, 'last_seen_at', s.seen) order by u.display_name, m.user_id), '[]')
  from app.memberships m
  join app.users u on u.id = m.user_id,
    lateral (
      select count(*) filter (where x.revoked_at is null and x.expires_at > now()) as open, max(x.refreshed_at) as seen
      from app.sessions x where x.user_id = m.user_id and x.organization_id = m.organization_id) s
  where m.organization_id = organization and m.deleted_at is null;
end;
comment on function app_private.reviewed_members(uuid) is
  'The members of an organization as a JSON list: their roles, the permissions these and their own grants come to, and their sessions in this organization, the last of which was refreshed at last_seen_at.';
alter function app_private.reviewed_members(uuid) owner to callboard_definer;

create or replace function app_private.reviewed_doors(organization uuid) returns json
language sql stable
set search_path = ''
begin atomic
  select json_build_object(
    'invitations', (
      select coalesce(json_agg(json_build_object('email', i.email, 'role', i.role, 'invited_by', u.email, 'expires_at', i.expires_at) order by i.email), '[]')
      from app.invitations i join app.users u on u.id = i.invited_by
      where i.organization_id = organization and i.accepted_at is null and i.deleted_at is null and i.expires_at > now()
        and app_private.invitation_fault(i) is null),
    'bi_logins', (
      select coalesce(json_agg(json_build_object('name', c.name, 'login', c.login, 'created_by', u.email, 'held_by', (select h.email from app.users h where h.id = app_private.bi_holder(c)), 'created_at', c.created_at,
        'rotated_at', c.rotated_at, 'expires_at', c.expires_at, 'last_seen_at', l.last_seen_at) order by c.name, c.id), '[]')
      from app.bi_credentials c
      left join app_private.bi_logins l on l.organization_id = c.organization_id and l.credential_id = c.id
      left join app.users u on u.id = c.created_by
      where c.organization_id = organization and c.revoked_at is null and c.expires_at > now() and app_private.is_bi_held(c)),
    'calendar_feeds', (
      select coalesce(json_agg(json_build_object('name', f.name, 'of', u.email, 'created_at', f.created_at) order by u.email, f.id), '[]')
      from app.calendar_feeds f join app.users u on u.id = f.user_id
      where f.organization_id = organization and f.revoked_at is null),
    'superadmins', (
      select coalesce(json_agg(json_build_object('email', u.email, 'everywhere', g.organization_id is null, 'may_write', g.may_write,
        'reason', g.reason, 'granted_by', g.granted_by, 'created_at', g.created_at, 'expires_at', g.expires_at) order by g.created_at, g.id), '[]')
      from app_private.support_grants g join app.users u on u.id = g.user_id
      where (g.organization_id = organization or g.organization_id is null) and g.revoked_at is null and g.expires_at > now()));
end;
comment on function app_private.reviewed_doors(uuid) is
  'What opens an organization besides a membership, as JSON: open invitations, BI logins, calendar feeds, and superadmins with a grant for it or for all. Only what still works.';
alter function app_private.reviewed_doors(uuid) owner to callboard_definer;

create or replace function app.review_access(organization uuid) returns json
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (
    select json_build_object(
      'organization', json_build_object('id', o.id, 'name', o.name), 'at', now(),
      'members', app_private.reviewed_members(o.id), 'doors', app_private.reviewed_doors(o.id),
      'custom_roles', (
        select coalesce(json_agg(json_build_object('name', r.name, 'permissions', r.permissions) order by r.name), '[]')
        from app.custom_roles r where r.organization_id = o.id and r.deleted_at is null),
      'head', (
        select json_build_object('seq', s.seq, 'hash', encode(s.hash, 'hex'), 'occurred_at', s.occurred_at)
        from app.event_seals s where s.organization_id = o.id order by s.seq desc limit 1))
    from app.organizations o where o.id = organization and o.deleted_at is null);
end
$$;
comment on function app.review_access(uuid) is
  'For auditors: who has access to an organization and from whom, as JSON, with the head of its event log, in which every change of it is sealed. Null if there is no such organization.';
alter function app.review_access(uuid) owner to callboard_definer;
grant execute on function app.review_access(uuid) to callboard_auditor;
