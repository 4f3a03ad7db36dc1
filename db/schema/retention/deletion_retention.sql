-- How long deleted rows can be restored before they are purged (deletion_purge.sql).

create table if not exists app.deletion_retentions (
  organization_id uuid primary key default app.current_org() references app.organizations (id) on delete cascade,
  deleted_days integer not null constraint deletion_retentions_days_range check (deleted_days between 1 and 3650)
);
-- Without grants: app.set_retention writes and checks the permission.
select app_private.tenant_policies('app.deletion_retentions', reads => 'audit.read', inserts => 'retention.manage', updates => 'retention.manage',
  definer => 'insert, update');
grant select on app.deletion_retentions to callboard_api, callboard_definer;
grant insert (deleted_days), update (deleted_days) on app.deletion_retentions to callboard_definer;
comment on table app.deletion_retentions is 'The number of days an organization''s deleted rows are kept, if not 30.';

select app_private.log_changes('app.deletion_retentions', 'retention', '{"create": "set", "update": "set"}', 'organization_id');

create or replace function app_private.retention_of(organization uuid) returns json
language plpgsql stable
set search_path = ''
as $$
begin
  return json_build_object(
    'deleted_days', coalesce((select r.deleted_days from app.deletion_retentions r where r.organization_id = organization), 30),
    'is_held', app_private.is_held(organization));
end
$$;
comment on function app_private.retention_of(uuid) is 'An organization''s retention as the API returns it.';
alter function app_private.retention_of(uuid) owner to callboard_definer;

create or replace function app.read_retention() returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (null, app_private.retention_of(app.require('audit.read')), null, null)::app.answer;
end
$$;
comment on function app.read_retention() is
  'The number of days the organization''s deleted rows are kept, and whether a legal hold keeps them longer. PT403 without audit.read.';
alter function app.read_retention() owner to callboard_definer;
grant execute on function app.read_retention() to callboard_api;

create or replace function app.set_retention(days integer) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('retention.manage');
begin
  insert into app.deletion_retentions as r (deleted_days) values (days)
  on conflict (organization_id) do update set deleted_days = excluded.deleted_days;
  return (null, app_private.retention_of(organization), null, null)::app.answer;
end
$$;
comment on function app.set_retention(integer) is
  'Sets the number of days the organization''s deleted rows are kept, including those in the bin now. PT403 without retention.manage, deletion_retentions_days_range.';
alter function app.set_retention(integer) owner to callboard_definer;
grant execute on function app.set_retention(integer) to callboard_api;
