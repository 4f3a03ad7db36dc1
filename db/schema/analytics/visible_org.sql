-- Whose rows a caller sees in `analytics`. The materialized views behind it hold those of all
-- organizations and cannot have policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A BI tool is identified by its login, whatever its settings say, and has no permissions of its own: it sees what the
  -- member who answers for it may see, so that nobody makes a login that shows more. Any other login needs a member's context.
  if session_user like 'bi\_%' then
    return (select s.organization_id from app_private.bi_states s
      join app.bi_credentials c on c.organization_id = s.organization_id and c.id = s.credential_id
      where s.login = session_user and s.is_live and app_private.bi_holds(c, 'analytics.read') and (permission is null or app_private.bi_holds(c, permission)));
  end if;
  return case when permission is null or app.org_if(permission) is not null then app.org_if('analytics.read') end;
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures may be read: for a BI login its own, while the credential is neither revoked nor expired, the organization not deleted, and the member who answers for it holds analytics.read and the given permission; otherwise that of the transaction''s member, if they do. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
-- callboard_bi has no USAGE on the schema `app`, so it can call this only through the views.
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup, callboard_bi;
