-- Soft delete. A deletion has an id; it marks a row and, through foreign keys with
-- ON DELETE CASCADE, everything that belongs to it. Restoring clears exactly the marks with
-- that id. A foreign key that does not cascade protects its parent, as it would in PostgreSQL:
--
--   delete cost A of show 1      cost A has the mark x
--   delete show 1                the show, its deal and cost B have the mark y; cost A keeps x
--   restore cost A               409 parent_deleted: restore the show first
--   restore show 1               the marks y are cleared; cost A is still deleted
--   delete the venue of show 1   409 shows_venue_exists: that foreign key does not cascade
--
-- Both work on every table that has `deletion_id`, found in the catalogue: a new table takes
-- part by having the three columns and calling app_private.tenant_table.

create or replace view app_private.deletion_references as
  select c.confrelid::regclass as parent, c.conrelid::regclass as child, c.conname as name, c.confdeltype as on_delete,
    (select string_agg(format('c.%I = p.%I', a.attname, b.attname), ' and ')
     from unnest(c.conkey, c.confkey) as k (child_column, parent_column)
     join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.child_column
     join pg_catalog.pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.parent_column) as condition
  from pg_catalog.pg_constraint c
  where c.contype = 'f'
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attname = 'deletion_id' and not a.attisdropped)
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.confrelid and a.attname = 'deletion_id' and not a.attisdropped);
comment on view app_private.deletion_references is 'Foreign keys between tables with soft delete.';
grant select on app_private.deletion_references to callboard_definer;

create or replace view app_private.deletion_edges as
  select r.parent, r.child, r.name, r.on_delete = 'c' as cascades, r.condition
  from app_private.deletion_references r
  -- A row whose reference is set to null can exist without its parent: it neither follows a deletion nor prevents one.
  where r.on_delete <> 'n';
comment on view app_private.deletion_edges is 'Foreign keys between tables with soft delete: those that a deletion follows, and those that prevent it.';
grant select on app_private.deletion_edges to callboard_definer;

create or replace view app_private.deletion_tables as
  select c.oid::regclass as marked, case when c.oid = 'app.organizations'::regclass then 'id' else 'organization_id' end as organization_column
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where a.attname = 'deletion_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relispartition
  order by c.relname;
comment on view app_private.deletion_tables is 'The tables with soft delete, and the column of each that holds the organization.';
grant select on app_private.deletion_tables to callboard_definer;

create or replace function app_private.spread_deletion(from_table regclass, deletion uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  edge record;
  marked bigint;
begin
  for edge in select * from app_private.deletion_edges e where e.parent = from_table order by e.child::text, e.name loop
    if edge.cascades then
      execute format(
        'update %s c set deleted_at = p.deleted_at, deleted_by = p.deleted_by, deletion_id = p.deletion_id
         from %s p where %s and p.deletion_id = $1 and c.deleted_at is null', edge.child, from_table, edge.condition)
      using deletion;
      get diagnostics marked = row_count;
      -- Only tables with new marks are followed, so a cycle terminates.
      if marked > 0 then
        perform app_private.spread_deletion(edge.child, deletion);
      end if;
    end if;
  end loop;
end
$$;
comment on function app_private.spread_deletion(regclass, uuid) is 'Marks everything that belongs to the rows of a table that a deletion has marked.';
alter function app_private.spread_deletion(regclass, uuid) owner to callboard_definer;

create or replace function app_private.soft_delete(target regclass, condition text, id uuid) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid := app.uuid_v7();
  edge record;
  in_use boolean;
begin
  execute format('update %s set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = $2
                  where %s and deleted_at is null', target, condition) using id, deletion;
  for edge in select * from app_private.deletion_edges e where e.parent = target and not e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.deletion_id = $1 and c.deleted_at is null)',
      edge.child, target, edge.condition) into in_use using deletion;
    if in_use then
      perform app.refuse(409, edge.name, 'Something else still references it.');
    end if;
  end loop;
  perform app_private.spread_deletion(target, deletion);
  return deletion;
end
$$;
comment on function app_private.soft_delete(regclass, text, uuid) is
  'Marks the row of a table for which the condition on $1 (the id) holds, and what belongs to it. Returns the deletion''s id. PT409 with the name of a foreign key that protects the row.';
alter function app_private.soft_delete(regclass, text, uuid) owner to callboard_definer;

create or replace function app_private.restore_deletion(deletion uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  t record;
begin
  for t in select * from app_private.deletion_tables loop
    execute format('update %s set deleted_at = null, deleted_by = null, deletion_id = null where deletion_id = $1 and %I = app.current_org()',
      t.marked, t.organization_column)
    using deletion;
  end loop;
end
$$;
comment on function app_private.restore_deletion(uuid) is 'Clears every mark of a deletion in the current organization.';
alter function app_private.restore_deletion(uuid) owner to callboard_definer;

create or replace function app_private.delete_row(target regclass, id uuid, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  execute format('select version from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is null for no key update', target)
  into present using id, app_private.policy_permission(target, 'select');
  perform app.check_version(present, if_match);
  perform app.require(app_private.policy_permission(target, 'delete'));
  perform app_private.soft_delete(target, 'organization_id = app.current_org() and id = $1', id);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app_private.delete_row(regclass, uuid, text) is
  'The command behind every DELETE of a row in the current organization. PT404, PT403, PT412, PT409.';
alter function app_private.delete_row(regclass, uuid, text) owner to callboard_definer;

create or replace function app_private.restore_row(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  parent_deleted boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, app_private.policy_permission(target, 'select');
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(app_private.policy_permission(target, 'delete'));
  -- A row cannot be restored while its parent is deleted, and restoring the parent needs its own
  -- permission. Locking the parent makes a concurrent deletion of it wait and then see this row; with the lock that
  -- triggers take who change the parent, because several that share a weaker one would wait for each other.
  -- A row that can exist without its parent is restored without it, unless a trigger has deleted it with that.
  -- The organization is locked less, because all its tables belong to it, and nobody who has locked it changes it.
  for edge in select * from app_private.deletion_references e where e.child = target order by e.parent::text, e.name loop
    execute format('select p.%s from %s c, %s p where %s and c.organization_id = app.current_org() and c.id = $1%s',
      case when edge.on_delete = 'n' then 'deletion_id is not distinct from c.deletion_id' else 'deleted_at is not null' end,
      target, edge.parent, edge.condition, case when edge.on_delete = 'n' then '' when edge.parent = 'app.organizations'::regclass then ' for share of p' else ' for no key update of p' end)
    into parent_deleted using id;
    if parent_deleted then
      perform app.refuse(409, 'parent_deleted', 'What it belongs to is deleted: restore that first.');
    end if;
  end loop;
  perform app_private.restore_deletion(deletion);
end
$$;
comment on function app_private.restore_row(regclass, uuid) is
  'The command behind every restore: restores everything that was deleted with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid) owner to callboard_definer;

-- What a row references must exist and not be deleted. Locking it makes a concurrent deletion wait and then see the row.
-- Four arguments per reference: column, referenced table, column there, and the name of the foreign key.
create or replace function app_private.tg__300_parents() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  present jsonb := to_jsonb(new);
  edge record;
  parent_exists boolean;
begin
  for edge in
    select present ->> tg_argv[4 * n] as id, tg_argv[4 * n + 1]::regclass as parent, tg_argv[4 * n + 2] as key, tg_argv[4 * n + 3] as name
    from generate_series(0, tg_nargs / 4 - 1) as n
    where tg_op = 'INSERT' or to_jsonb(old) -> tg_argv[4 * n] is distinct from present -> tg_argv[4 * n]
  loop
    if edge.id is not null then
      execute format('select true from %s p where p.organization_id = $1 and p.%I = $2 and p.deleted_at is null for share', edge.parent, edge.key)
      into parent_exists using new.organization_id, edge.id::uuid;
      if parent_exists is null then
        -- A DBA has no context, and the definer locks nothing without.
        execute format('select true from %s p where p.organization_id = $1 and p.%I = $2 and p.deleted_at is null', edge.parent, edge.key)
        into parent_exists using new.organization_id, edge.id::uuid;
      end if;
      if parent_exists is null then
        perform app.refuse(409, edge.name, 'It does not exist, or has been deleted.');
      end if;
    end if;
  end loop;
  return new;
end
$$;
comment on function app_private.tg__300_parents() is 'PT409 with the name of a foreign key whose row does not exist, is deleted or belongs to another organization.';
alter function app_private.tg__300_parents() owner to callboard_definer;
