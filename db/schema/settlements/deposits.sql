-- Deposits: what the artist has been paid ahead of the settlement. In the currency of the show's deal.

create table if not exists app.deposits (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  paid_on date not null constraint deposits_paid_on_range check (paid_on between date '1900-01-01' and date '2199-12-31'),
  amount_minor bigint not null constraint deposits_amount_range check (amount_minor between 1 and 9007199254740991),
  note text constraint deposits_note_length check (length(note) <= 1000),
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
create index if not exists deposits_organization_id_show_id_idx on app.deposits (organization_id, show_id, paid_on, id) where deleted_at is null;

select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance');
grant insert (show_id, paid_on, amount_minor, note), update (paid_on, amount_minor, note) on app.deposits to callboard_api;

comment on table app.deposits is 'What artists have been paid ahead of the settlement of a show.';

create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note on app.deposits
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.deposit_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.paid_on, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'paid_on', x.paid_on, 'amount_minor', x.amount_minor, 'note', x.note,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.deposits x;
comment on view app.deposit_list is 'The organization''s deposits with their JSON, also those in the bin, which have deleted_at.';
grant select on app.deposit_list to callboard_api, callboard_definer;

create or replace function app.read_deposit(deposit uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/deposits/' || x.id into answer from app.deposit_list x
  where x.organization_id = (select app.current_org()) and x.id = deposit and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_deposit(uuid) is 'A deposit. PT403, PT404.';
grant execute on function app.read_deposit(uuid) to callboard_api, callboard_definer;

create or replace function app.create_deposit(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deposits := jsonb_populate_record(null::app.deposits, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.deposits (show_id, paid_on, amount_minor, note)
  values (show, n.paid_on, n.amount_minor, n.note) returning id into n.id;
  answer := app.read_deposit(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_deposit(uuid, jsonb) is 'A new deposit of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
grant execute on function app.create_deposit(uuid, jsonb) to callboard_api;

create or replace function app.write_deposit(deposit uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deposits;
begin
  perform app.require('finance.read');
  select * into n from app.deposits x where x.organization_id = (select app.current_org()) and x.id = deposit and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.deposits x
  where x.organization_id = (select app.current_org()) and x.id = deposit and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.deposits else n end, body);
  update app.deposits x
  set (paid_on, amount_minor, note)
    = row (n.paid_on, n.amount_minor, n.note)
  where x.organization_id = (select app.current_org()) and x.id = deposit;
  return app.read_deposit(deposit);
end
$$;
comment on function app.write_deposit(uuid, jsonb, boolean, text) is
  'Changes a deposit: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
grant execute on function app.write_deposit(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_deposit(deposit uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.deposits', deposit, if_match);
end
$$;
comment on function app.delete_deposit(uuid, text) is 'Deletes a deposit until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_deposit(uuid, text) owner to callboard_definer;
grant execute on function app.delete_deposit(uuid, text) to callboard_api;

create or replace function app.restore_deposit(deposit uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.deposits', deposit);
  return app.read_deposit(deposit);
end
$$;
comment on function app.restore_deposit(uuid) is 'Brings a deleted deposit back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_deposit(uuid) owner to callboard_definer;
grant execute on function app.restore_deposit(uuid) to callboard_api;
