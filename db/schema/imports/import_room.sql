-- How much an organization may store: files to import, and receipts of expenses. The limits are in docs/reference/limits.md.

create table if not exists app_private.storing (
  organization_id uuid primary key references app.organizations (id) on delete cascade
);
select app_private.definer_table('app_private.storing', 'select, insert, update, delete');
comment on table app_private.storing is 'Each row is what those wait for who store files of an organization, so that they count each other''s.';

create or replace function app_private.lock_storing(organization uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  insert into app_private.storing (organization_id) values (organization) on conflict do nothing;
  perform from app_private.storing x where x.organization_id = organization for update;
end
$$;
comment on function app_private.lock_storing(uuid) is 'Waits for others who are about to store a file of the organization, until they have committed: nobody holds it for longer than that takes.';
alter function app_private.lock_storing(uuid) owner to callboard_definer;

create or replace function app_private.import_bytes(organization uuid) returns bigint
language sql stable
set search_path = ''
begin atomic
  -- Of one that has ended, its bad lines are left: about 300 bytes each.
  select coalesce(sum(case when i.status in ('done', 'failed', 'cancelled') then i.bad_lines * 300::bigint else i.bytes end), 0)
  from app.imports i where i.organization_id = organization;
end;
comment on function app_private.import_bytes(uuid) is 'How much the imports of an organization take.';
alter function app_private.import_bytes(uuid) owner to callboard_definer;

create or replace function app_private.require_room(organization uuid, import uuid, file_bytes bigint) returns void
language plpgsql stable
set search_path = ''
as $$
declare
  unfinished bigint;
  stored bigint;
begin
  select count(*) filter (where i.status not in ('done', 'failed', 'cancelled')),
    -- Of one that has ended, its bad lines are left: about 300 bytes each.
    coalesce(sum(case when i.status in ('done', 'failed', 'cancelled') then i.bad_lines * 300::bigint else i.bytes end), 0) into unfinished, stored
  from app.imports i where i.organization_id = organization and i.id <> import;
  stored := stored + app_private.receipt_bytes(organization);
  if unfinished >= 20 then
    perform app.refuse(409, 'too_many_imports');
  elsif unfinished > 0 and stored + file_bytes > 524288000 or stored > 524288000 then
    perform app.refuse(409, 'import_storage_full');
  end if;
end
$$;
comment on function app_private.require_room(uuid, uuid, bigint) is 'PT409 too_many_imports, import_storage_full, if the other imports of the organization, and its receipts, leave no room for this one.';
alter function app_private.require_room(uuid, uuid, bigint) owner to callboard_definer;

create or replace function app_private.tg_imports__900_room() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.lock_storing(new.organization_id);
  perform app_private.require_room(new.organization_id, new.id, new.bytes);
  return null;
end
$$;
comment on function app_private.tg_imports__900_room() is
  'Asks again for room when the transaction ends, one at a time: while files are stored, imports do not see each other. PT409 too_many_imports, import_storage_full.';
alter function app_private.tg_imports__900_room() owner to callboard_definer;
do $$
begin
  if not exists (select from pg_trigger t where t.tgrelid = 'app.imports'::regclass and t.tgname = '_900_room') then
    create constraint trigger _900_room after insert on app.imports deferrable initially deferred
      for each row execute function app_private.tg_imports__900_room();
  end if;
end
$$;
