-- Costs of a show: what the promoter pays for it. In the currency of the show's deal.

create table if not exists app.show_costs (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint show_costs_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  kind text not null constraint show_costs_kind_known check (kind in ('fixed', 'per_ticket')),
  amount_minor bigint not null constraint show_costs_amount_range check (amount_minor between 0 and 9007199254740991),
  is_estimate boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists show_costs_organization_id_show_id_idx on app.show_costs (organization_id, show_id, created_at, id) where deleted_at is null;

select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance');
grant insert (show_id, name, kind, amount_minor, is_estimate), update (name, kind, amount_minor, is_estimate) on app.show_costs to callboard_api;

comment on table app.show_costs is 'What the promoter pays for a show.';
comment on column app.show_costs.kind is 'fixed: the amount, once; per_ticket: the amount for each ticket sold.';
comment on column app.show_costs.is_estimate is 'Whether the invoice is still to come: a settlement with an estimate cannot be final.';

create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, is_estimate on app.show_costs
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.show_cost_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.name, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'name', x.name, 'kind', x.kind, 'amount_minor', x.amount_minor, 'is_estimate', x.is_estimate,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.show_costs x;
comment on view app.show_cost_list is 'The organization''s costs of shows with their JSON, also those in the bin, which have deleted_at.';
grant select on app.show_cost_list to callboard_api, callboard_definer;

create or replace function app.read_show_cost(cost uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/costs/' || x.id into answer from app.show_cost_list x
  where x.organization_id = (select app.current_org()) and x.id = cost and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show_cost(uuid) is 'A cost. PT403, PT404.';
grant execute on function app.read_show_cost(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show_cost(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.show_costs := jsonb_populate_record(null::app.show_costs, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.show_costs (show_id, name, kind, amount_minor, is_estimate)
  values (show, n.name, n.kind, n.amount_minor, coalesce(n.is_estimate, false)) returning id into n.id;
  answer := app.read_show_cost(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show_cost(uuid, jsonb) is 'A new cost of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
grant execute on function app.create_show_cost(uuid, jsonb) to callboard_api;

create or replace function app.write_show_cost(cost uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.show_costs;
begin
  perform app.require('finance.read');
  select * into n from app.show_costs x where x.organization_id = (select app.current_org()) and x.id = cost and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.show_costs x
  where x.organization_id = (select app.current_org()) and x.id = cost and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.show_costs else n end, body);
  update app.show_costs x
  set (name, kind, amount_minor, is_estimate)
    = row (n.name, n.kind, n.amount_minor, coalesce(n.is_estimate, false))
  where x.organization_id = (select app.current_org()) and x.id = cost;
  return app.read_show_cost(cost);
end
$$;
comment on function app.write_show_cost(uuid, jsonb, boolean, text) is
  'Changes a cost: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
grant execute on function app.write_show_cost(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_show_cost(cost uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.show_costs', cost, if_match);
end
$$;
comment on function app.delete_show_cost(uuid, text) is 'Deletes a cost until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_show_cost(uuid, text) owner to callboard_definer;
grant execute on function app.delete_show_cost(uuid, text) to callboard_api;

create or replace function app.restore_show_cost(cost uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.show_costs', cost);
  return app.read_show_cost(cost);
end
$$;
comment on function app.restore_show_cost(uuid) is 'Brings a deleted cost back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_show_cost(uuid) owner to callboard_definer;
grant execute on function app.restore_show_cost(uuid) to callboard_api;
