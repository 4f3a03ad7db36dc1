-- Whose rows somebody sees in `analytics`. The materialized views behind it hold those of all
-- organizations and know no policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if permission is not null and app.org_if(permission) is null then
    return null;
  end if;
  return app.org_if('analytics.read');
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures this transaction may read: its member''s, if they hold analytics.read and the permission that is asked for besides. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
revoke execute on function app.visible_org(text) from public;
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup;
