-- Invitations by mail. The secret of the link is made when the mail is sent (accounts/mails.sql), so presenting
-- it proves access to the mailbox. It works once, unless it has expired, been revoked or been sent again, and as long as
-- who sent it could still give the role: nobody who was removed can come back through a friend.

create table if not exists app.invitations (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  email text not null constraint invitations_email_format check (
    email = lower(email) and length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:].]+$'),
  role text not null constraint invitations_role_exists references app.roles (name),
  mail_id uuid not null,
  invited_by uuid not null references app.users (id),
  -- When invited_by sent it: at the beginning, or again; null for one of an earlier release.
  invited_at timestamptz default now(),
  void_because text constraint invitations_void_because_known check (void_because in ('inviter_removed', 'inviter_lost_permission')),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id)
);
create index if not exists invitations_mail_id_idx on app.invitations (mail_id);
create unique index if not exists invitation_pending on app.invitations (organization_id, email)
  where accepted_at is null and deleted_at is null;

-- Without grants: the definer's functions write. Invitations are accepted before membership begins, so they read all organizations.
select app_private.tenant_policies('app.invitations', reads => 'members.manage', inserts => 'members.manage', updates => 'members.manage',
  deletes => 'members.manage', definer => 'insert, update', known => '{role}');
grant select (organization_id, id, email, role, invited_by, expires_at, accepted_at, accepted_by, created_at, updated_at, version, deleted_at, deleted_by, deletion_id)
  on app.invitations to callboard_api;
grant select, insert, update on app.invitations to callboard_definer;

comment on table app.invitations is 'Invitations to join an organization; deleted_at marks revoked ones.';
comment on column app.invitations.invited_by is 'Who sent it last. Without them, or when they may not give the role any more, it is void.';
comment on column app.invitations.void_because is 'Why it was refused to somebody who tried to accept it, which ended it; sending it again revives it.';
comment on column app.invitations.mail_id is 'The newest mail with its link: those of earlier mails no longer work.';

select app_private.log_changes('app.invitations', 'invitation',
  '{"delete": "revoke", "accepted_at": "accept", "expires_at": "resend", "void_because": "void"}', leave_out => '{mail_id}');

create or replace function app_private.invitation_fault(i app.invitations) returns text
language sql stable
set search_path = ''
return case
  when i.void_because is not null then i.void_because
  when not exists (
    select from app.memberships m
    where m.organization_id = i.organization_id and m.user_id = i.invited_by and m.created_at <= coalesce(i.invited_at, i.created_at)
      and m.deleted_at is null) then 'inviter_removed'
  -- As app_private.require_to_hold asks of whoever gives a role.
  when not (app.permissions_of(i.organization_id, i.invited_by, lasting => true) @> app_private.permissions_of_role(i.role)
    and 'members.manage' = any (app.permissions_of(i.organization_id, i.invited_by))) then 'inviter_lost_permission'
end;
comment on function app_private.invitation_fault(app.invitations) is
  'Why an invitation is worth nothing: inviter_removed (even if they are a member again) or inviter_lost_permission; null if who sent it could give the role now.';
alter function app_private.invitation_fault(app.invitations) owner to callboard_definer;

create or replace function app.invitation_fault(invitation uuid) returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select app_private.invitation_fault(i) from app.invitations i
  where i.organization_id = app.org_if_reading('members.manage') and i.id = invitation and i.accepted_at is null and i.expires_at > now();
end;
comment on function app.invitation_fault(uuid) is 'Why an open invitation of the organization is void, or null; for members with members.manage.';
alter function app.invitation_fault(uuid) owner to callboard_definer;
grant execute on function app.invitation_fault(uuid) to callboard_api, callboard_definer;

create or replace view app.invitation_list with (security_invoker = true) as
  select i.organization_id, i.id, i.email, i.version, i.created_at,
    json_build_object('id', i.id, 'email', i.email, 'role', i.role, 'invited_by', i.invited_by,
      'status', case when i.accepted_at is not null then 'accepted' when i.expires_at <= now() then 'expired'
        when f.fault is not null then 'void' else 'pending' end,
      'void_because', f.fault, 'expires_at', i.expires_at, 'accepted_at', i.accepted_at, 'created_at', i.created_at, 'updated_at', i.updated_at) as body
  from app.invitations i, lateral (select app.invitation_fault(i.id) as fault) f
  where i.deleted_at is null;
comment on view app.invitation_list is 'The organization''s invitations that have not been revoked.';
grant select on app.invitation_list to callboard_api, callboard_definer;
