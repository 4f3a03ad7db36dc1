-- Whose rows somebody sees in `analytics`. The materialized views behind it hold those of all
-- organizations and know no policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A BI tool is who has logged in, whatever its settings say, and has no permissions of its own: who
  -- made it decided that it sees all of `analytics`. Any other login needs the context of a member.
  if session_user like 'bi\_%' then
    return (select s.organization_id from app_private.bi_states s where s.login = session_user and s.is_live);
  end if;
  -- The signature covers all permissions, so it is looked at once for both.
  return case when permission is null or app_private.is_claimed(permission) then app.org_if('analytics.read') end;
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures may be read: of a BI login its own, while the credential is neither revoked nor expired and the organization not deleted; else that of the transaction''s member, if they hold analytics.read and the permission that is asked for besides. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
-- callboard_bi may not use the schema `app`, so it calls this through the views only.
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup, callboard_bi;
