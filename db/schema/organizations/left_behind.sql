-- What a member has made that would outlive them. It is worth what they could still do (app_private.still_held), and what
-- is theirs alone ends for good with their membership. What the organization may miss is named when it ends with them.

create or replace function app_private.end_own(member uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
begin
  update app.calendar_feeds f set revoked_at = statement_timestamp()
  where f.organization_id = organization and f.user_id = member and f.revoked_at is null;
  update app.exports e
  set status = case when e.status = 'ready' then 'expired' else 'cancelled' end, finished_at = coalesce(e.finished_at, statement_timestamp())
  where e.organization_id = organization and e.created_by = member and e.status in ('queued', 'running', 'ready');
  if found then
    -- Deletes their files.
    perform app_private.add_job('sweep_exports', '{}', 'sweep_exports', 3);
  end if;
end
$$;
comment on function app_private.end_own(uuid) is 'Ends a member''s own calendar feeds and exports in the current organization for good.';
alter function app_private.end_own(uuid) owner to callboard_definer;

create or replace function app_private.left_behind(member uuid) returns jsonb
language sql stable
set search_path = ''
begin atomic
  with bi as (
    select jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'login', c.login,
      'status', case when c.revoked_at is null then 'suspended' else 'revoked' end) order by c.id) as list
    from app.bi_credentials c
    where c.organization_id = app.current_org() and app_private.bi_holder(c) = member and c.expires_at > statement_timestamp()
      and not app_private.is_bi_held(c)
      -- Those that this request has revoked.
      and (c.revoked_at is null or c.revoked_at = now())
  ), open as (
    select jsonb_agg(jsonb_build_object('id', i.id, 'email', i.email, 'role', i.role) order by i.id) as list
    from app.invitations i
    where i.organization_id = app.current_org() and i.invited_by = member and i.accepted_at is null and i.deleted_at is null and i.expires_at > now()
      and app_private.invitation_fault(i) is not null
  )
  select jsonb_build_object('bi_credentials', coalesce(bi.list, '[]'), 'invitations', coalesce(open.list, '[]'))
  from bi, open
  where bi.list is not null or open.list is not null;
end;
comment on function app_private.left_behind(uuid) is
  'What a member of the current organization has made and can no longer answer for: suspended BI logins and void invitations. NULL if there is nothing.';
alter function app_private.left_behind(uuid) owner to callboard_definer;

create or replace function app_private.note_left_behind(member uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  what jsonb := app_private.left_behind(member);
begin
  if what is not null then
    perform app_private.log_event(app.current_org(), 'member.leave_behind', 'member', member, jsonb_build_object('new', what));
  end if;
end
$$;
comment on function app_private.note_left_behind(uuid) is 'Logs member.leave_behind, with what app_private.left_behind returns, if there is anything.';
alter function app_private.note_left_behind(uuid) owner to callboard_definer;
