-- Whose rows a caller sees in `analytics`. The materialized views behind it hold those of all
-- organizations and cannot have policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A BI tool is identified by its login, whatever its settings say, and has no permissions of its own: creating
  -- the login granted it all of `analytics`. Any other login needs a member's context.
  if session_user like 'bi\_%' then
    return (select s.organization_id from app_private.bi_states s where s.login = session_user and s.is_live);
  end if;
  return case when permission is null or app.org_if(permission) is not null then app.org_if('analytics.read') end;
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures may be read: for a BI login its own, while the credential is neither revoked nor expired and the organization not deleted; otherwise that of the transaction''s member, if they hold analytics.read and the given permission. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
-- callboard_bi has no USAGE on the schema `app`, so it can call this only through the views.
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup, callboard_bi;
