-- Rate limits of organizations that differ from the API's settings (RATE_LIMIT, RATE_LIMIT_WINDOW,
-- RATE_LIMIT_BLOCK). They are agreed with the operator, so a superadmin writes them and members cannot;
-- the API applies a change within a few seconds.

create table if not exists app.rate_limits (
  organization_id uuid primary key default app.current_org() references app.organizations (id) on delete cascade,
  -- Null means the setting's value.
  requests integer constraint rate_limits_requests_range check (requests between 1 and 1000000000),
  window_seconds integer constraint rate_limits_window_range check (window_seconds between 1 and 86400),
  block_seconds integer constraint rate_limits_block_range check (block_seconds between 0 and 86400)
);
alter table app.rate_limits
  alter column requests set statistics 0, alter column window_seconds set statistics 0, alter column block_seconds set statistics 0;

select app_private.force_rls('app.rate_limits');

-- Not org_if('organization.read'): the limit also applies to members who may not read it.
select app_private.set_policy('app.rate_limits', 'select_member', 'callboard_api', 'organization_id = (select app.current_org())');

-- A superadmin writes them, in the organization, with app.set_rate_limit.
select app_private.set_policy('app.rate_limits', 'all_definer', 'callboard_definer', 'organization_id = (select app.current_org())');

grant select on app.rate_limits to callboard_api, callboard_definer;
grant insert (requests, window_seconds, block_seconds), update (requests, window_seconds, block_seconds) on app.rate_limits to callboard_definer;

comment on table app.rate_limits is 'Rate limits of organizations that differ from the API''s settings.';
comment on column app.rate_limits.requests is 'Requests per window.';
comment on column app.rate_limits.window_seconds is 'Length of a window, which starts with its first request.';
comment on column app.rate_limits.block_seconds is 'How long all requests are refused after the limit is exceeded; 0 means until the window ends.';

select app_private.log_changes('app.rate_limits', 'rate_limit', '{}', 'organization_id');

create or replace function app.set_rate_limit(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  wanted app.rate_limits := jsonb_populate_record(null::app.rate_limits, body);
begin
  if app.require('organization.update') is null or (app_private.context()).role is distinct from 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'Only superadmins set rate limits.');
  end if;
  insert into app.rate_limits (requests, window_seconds, block_seconds)
  values (wanted.requests, wanted.window_seconds, wanted.block_seconds)
  on conflict (organization_id) do update
    set requests = excluded.requests, window_seconds = excluded.window_seconds, block_seconds = excluded.block_seconds;
  return (200, json_build_object('requests', wanted.requests, 'window_seconds', wanted.window_seconds, 'block_seconds', wanted.block_seconds),
    null, null)::app.answer;
end
$$;
comment on function app.set_rate_limit(jsonb) is
  'Sets the rate limit of the organization that a superadmin has entered with a grant that allows writing: requests, window_seconds, block_seconds; null means the API''s setting. PT403 permission_denied.';
alter function app.set_rate_limit(jsonb) owner to callboard_definer;
grant execute on function app.set_rate_limit(jsonb) to callboard_support;
