--! Previous: sha1:ba2eb0624fbd6d879ddf60426c7eb1a9f32fea59
--! Hash: sha1:af9e0b21860ff42e92515518a7acd2363e3e07a9
--! Message: itineraries and calendars

--! Included deletions.sql
-- Deleting is marking. A deletion has an id; it marks a row and, through the foreign keys that
-- say ON DELETE CASCADE, everything that belongs to it. Restoring clears exactly the marks with
-- that id. A foreign key that does not cascade protects its parent, as it would in PostgreSQL.
--
-- Both work on every table that has `deletion_id`, found in the catalogue: a new table takes
-- part by having the columns, its definer policies, and grants for the three columns.

create or replace view app_private.deletion_edges as
  select c.confrelid::regclass as parent, c.conrelid::regclass as child, c.conname as name, c.confdeltype = 'c' as cascades,
    (select string_agg(format('c.%I = p.%I', a.attname, b.attname), ' and ')
     from unnest(c.conkey, c.confkey) as k (child_column, parent_column)
     join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.child_column
     join pg_catalog.pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.parent_column) as condition
  from pg_catalog.pg_constraint c
  -- What is set to null does without its parent: it neither follows a deletion nor forbids one.
  where c.contype = 'f' and c.confdeltype <> 'n'
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attname = 'deletion_id' and not a.attisdropped)
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.confrelid and a.attname = 'deletion_id' and not a.attisdropped);
comment on view app_private.deletion_edges is 'Foreign keys between tables with soft delete: what a deletion follows, and what forbids it.';
grant select on app_private.deletion_edges to callboard_definer;

create or replace view app_private.deletion_tables as
  select c.oid::regclass as marked, case when c.oid = 'app.organizations'::regclass then 'id' else 'organization_id' end as organization_column
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where a.attname = 'deletion_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relispartition
  order by c.relname;
comment on view app_private.deletion_tables is 'The tables with soft delete, and their columns with the organization.';
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
      -- Only a table that got new marks is followed, so a cycle comes to an end.
      if marked > 0 then
        perform app_private.spread_deletion(edge.child, deletion);
      end if;
    end if;
  end loop;
end
$$;
comment on function app_private.spread_deletion(regclass, uuid) is 'Marks what belongs to the rows of a table that a deletion has marked.';
alter function app_private.spread_deletion(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.spread_deletion(regclass, uuid) from public;

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
      perform app.refuse(409, edge.name, 'Something else still refers to it.');
    end if;
  end loop;
  perform app_private.spread_deletion(target, deletion);
  return deletion;
end
$$;
comment on function app_private.soft_delete(regclass, text, uuid) is
  'Marks the row of a table for which the condition on $1 (the id) holds, and what belongs to it. Returns the deletion''s id. PT409 with the name of a foreign key that protects the row.';
alter function app_private.soft_delete(regclass, text, uuid) owner to callboard_definer;
revoke execute on function app_private.soft_delete(regclass, text, uuid) from public;

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
revoke execute on function app_private.restore_deletion(uuid) from public;

create or replace function app_private.policy_permission(target regclass, command text) returns text
language sql stable
set search_path = ''
begin atomic
  select substring(pg_get_expr(coalesce(p.polqual, p.polwithcheck), p.polrelid) from 'org_if\(''([a-z_.]+)''')
  from pg_catalog.pg_policy p where p.polrelid = target and p.polname = command || '_member';
end;
comment on function app_private.policy_permission(regclass, text) is
  'The permission that a member needs for select, insert, update or delete on a table, as its policy says; NULL where no member may. A policy says so too where there is no grant, because the command goes through functions.';
alter function app_private.policy_permission(regclass, text) owner to callboard_definer;
revoke execute on function app_private.policy_permission(regclass, text) from public;

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
  'The command behind every DELETE of one row of the current organization. PT404, PT403, PT412, PT409.';
alter function app_private.delete_row(regclass, uuid, text) owner to callboard_definer;
revoke execute on function app_private.delete_row(regclass, uuid, text) from public;

create or replace function app_private.restore_row(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  missing boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, app_private.policy_permission(target, 'select');
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(app_private.policy_permission(target, 'delete'));
  -- A row whose parent is deleted would come back to nowhere, or take its parent along, which is for
  -- those who may restore that. Locking the parent makes its deletion at the same moment wait and then see the row.
  for edge in select * from app_private.deletion_edges e where e.child = target loop
    execute format('select p.deleted_at is not null from %s c, %s p where %s and c.organization_id = app.current_org() and c.id = $1 for share of p',
      target, edge.parent, edge.condition) into missing using id;
    if missing then
      perform app.refuse(409, 'parent_deleted', 'What it belongs to is deleted: restore that first.');
    end if;
  end loop;
  perform app_private.restore_deletion(deletion);
end
$$;
comment on function app_private.restore_row(regclass, uuid) is
  'The command behind every restore: brings back all that was deleted together with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.restore_row(regclass, uuid) from public;
--! EndIncluded deletions.sql
--! Included itineraries.sql
-- Itineraries: a tour with its days. What is here is the draft of those who plan (itineraries.write);
-- everybody else reads what has been published of it, see itinerary_versions.sql.

create table if not exists app.itineraries (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text not null constraint itineraries_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  artist text not null constraint itineraries_artist_length check (length(artist) between 1 and 200 and artist !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(artist) <> ''),
  starts_on date not null constraint itineraries_starts_on_range check (starts_on between date '1900-01-01' and date '2199-12-31'),
  ends_on date not null constraint itineraries_ends_on_range check (ends_on between date '1900-01-01' and date '2199-12-31'),
  notes text constraint itineraries_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint itineraries_start_before_end check (starts_on <= ends_on)
);
create index if not exists itineraries_organization_id_starts_on_idx on app.itineraries (organization_id, starts_on, id) where deleted_at is null;
create index if not exists itineraries_deletion_id_idx on app.itineraries (organization_id, deletion_id) where deletion_id is not null;
alter table app.itineraries alter column name set statistics 0, alter column artist set statistics 0, alter column notes set statistics 0;

alter table app.itineraries enable row level security;
alter table app.itineraries force row level security;

drop policy if exists select_member on app.itineraries;
create policy select_member on app.itineraries for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.itineraries;
create policy insert_member on app.itineraries for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists update_member on app.itineraries;
create policy update_member on app.itineraries for update to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.itineraries;
create policy delete_member on app.itineraries for delete to callboard_api
  using (organization_id = (select app.org_if('itineraries.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it publishes.
drop policy if exists select_definer on app.itineraries;
create policy select_definer on app.itineraries for select to callboard_definer using (true);
drop policy if exists update_definer on app.itineraries;
create policy update_definer on app.itineraries for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.itineraries to callboard_api, callboard_definer;
grant insert (name, artist, starts_on, ends_on, notes), update (name, artist, starts_on, ends_on, notes) on app.itineraries to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.itineraries to callboard_definer;

comment on table app.itineraries is 'Tours, as they are being planned.';
comment on column app.itineraries.starts_on is 'First day of the tour; a day of another kind, such as a rehearsal, may lie before it.';

drop trigger if exists _100_timestamps on app.itineraries;
create trigger _100_timestamps before update on app.itineraries
  for each row execute function app_private.tg__100_timestamps();

select app_private.log_changes('app.itineraries', 'itinerary');

-- What a row refers to must be there and not deleted; locking it makes a deletion at the same moment
-- wait and then see the row. Arguments: column, table, column there, and the constraint's name.
create or replace function app_private.tg__300_parents() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  present jsonb := to_jsonb(new);
  edge record;
  is_there boolean;
begin
  for edge in
    select present ->> tg_argv[4 * n] as id, tg_argv[4 * n + 1]::regclass as parent, tg_argv[4 * n + 2] as key, tg_argv[4 * n + 3] as name
    from generate_series(0, tg_nargs / 4 - 1) as n
    where tg_op = 'INSERT' or to_jsonb(old) -> tg_argv[4 * n] is distinct from present -> tg_argv[4 * n]
  loop
    if edge.id is not null then
      execute format('select true from %s p where p.organization_id = $1 and p.%I = $2 and p.deleted_at is null for share', edge.parent, edge.key)
      into is_there using new.organization_id, edge.id::uuid;
      if is_there is null then
        perform app.refuse(409, edge.name, 'It is not there, or has been deleted.');
      end if;
    end if;
  end loop;
  return new;
end
$$;
comment on function app_private.tg__300_parents() is 'PT409 with the name of a foreign key whose row is not there, is deleted or is another organization''s.';
alter function app_private.tg__300_parents() owner to callboard_definer;
revoke execute on function app_private.tg__300_parents() from public;

create table if not exists app.itinerary_days (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  day_on date not null constraint itinerary_days_day_on_range check (day_on between date '1900-01-01' and date '2199-12-31'),
  kind text not null default 'show' constraint itinerary_days_kind_known check (kind in ('show', 'travel', 'off', 'rehearsal', 'press')),
  -- The day stays when its show is deleted, and has it again when it is restored.
  show_id uuid,
  city text constraint itinerary_days_city_length check (length(city) between 1 and 200 and city !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(city) <> ''),
  time_zone text not null constraint itinerary_days_time_zone_exists check (app.is_time_zone(time_zone)),
  notes text constraint itinerary_days_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint itinerary_days_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint itinerary_days_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id)
);
create unique index if not exists itinerary_days_date_taken on app.itinerary_days (organization_id, itinerary_id, day_on) where deleted_at is null;
create index if not exists itinerary_days_show_id_idx on app.itinerary_days (organization_id, show_id) where show_id is not null;
create index if not exists itinerary_days_deletion_id_idx on app.itinerary_days (organization_id, deletion_id) where deletion_id is not null;
alter table app.itinerary_days alter column kind set statistics 0, alter column city set statistics 0, alter column notes set statistics 0;

alter table app.itinerary_days enable row level security;
alter table app.itinerary_days force row level security;

drop policy if exists select_member on app.itinerary_days;
create policy select_member on app.itinerary_days for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.itinerary_days;
create policy insert_member on app.itinerary_days for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists update_member on app.itinerary_days;
create policy update_member on app.itinerary_days for update to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.itinerary_days;
create policy delete_member on app.itinerary_days for delete to callboard_api
  using (organization_id = (select app.org_if('itineraries.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it publishes.
drop policy if exists select_definer on app.itinerary_days;
create policy select_definer on app.itinerary_days for select to callboard_definer using (true);
drop policy if exists update_definer on app.itinerary_days;
create policy update_definer on app.itinerary_days for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.itinerary_days to callboard_api, callboard_definer;
grant insert (itinerary_id, day_on, kind, show_id, city, time_zone, notes), update (day_on, kind, show_id, city, time_zone, notes) on app.itinerary_days to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.itinerary_days to callboard_definer;

comment on table app.itinerary_days is 'The days of itineraries.';
comment on column app.itinerary_days.time_zone is 'That of all local times of the day.';

drop trigger if exists _100_timestamps on app.itinerary_days;
create trigger _100_timestamps before update on app.itinerary_days
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _300_parents on app.itinerary_days;
create trigger _300_parents before insert or update of itinerary_id, show_id on app.itinerary_days
  for each row execute function app_private.tg__300_parents('itinerary_id', 'app.itineraries', 'id', 'itinerary_days_itinerary_exists', 'show_id', 'app.shows', 'id', 'itinerary_days_show_exists');

select app_private.log_changes('app.itinerary_days', 'itinerary_day');
--! EndIncluded itineraries.sql
--! Included itinerary_party.sql
-- The party of an itinerary: who travels, and the groups that decide who may see what.

create table if not exists app.party_groups (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text not null constraint party_groups_name_length check (length(name) between 1 and 100 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint party_groups_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);
create unique index if not exists party_groups_name_taken on app.party_groups (organization_id, itinerary_id, lower(name)) where deleted_at is null;
alter index app.party_groups_name_taken alter column 3 set statistics 0;
create index if not exists party_groups_deletion_id_idx on app.party_groups (organization_id, deletion_id) where deletion_id is not null;
alter table app.party_groups alter column name set statistics 0;

alter table app.party_groups enable row level security;
alter table app.party_groups force row level security;

drop policy if exists select_member on app.party_groups;
create policy select_member on app.party_groups for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.party_groups;
create policy insert_member on app.party_groups for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists update_member on app.party_groups;
create policy update_member on app.party_groups for update to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.party_groups;
create policy delete_member on app.party_groups for delete to callboard_api
  using (organization_id = (select app.org_if('itineraries.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it publishes.
drop policy if exists select_definer on app.party_groups;
create policy select_definer on app.party_groups for select to callboard_definer using (true);
drop policy if exists update_definer on app.party_groups;
create policy update_definer on app.party_groups for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.party_groups to callboard_api, callboard_definer;
grant insert (itinerary_id, name), update (name) on app.party_groups to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.party_groups to callboard_definer;

comment on table app.party_groups is 'Parts of a party, such as band and crew. What is for a deleted group is for nobody but those who plan.';

drop trigger if exists _100_timestamps on app.party_groups;
create trigger _100_timestamps before update on app.party_groups
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _300_parents on app.party_groups;
create trigger _300_parents before insert or update of itinerary_id on app.party_groups
  for each row execute function app_private.tg__300_parents('itinerary_id', 'app.itineraries', 'id', 'party_groups_itinerary_exists');

select app_private.log_changes('app.party_groups', 'party_group');

-- Lists of ids have no foreign keys. Arguments: column of the list, and the table that it is of.
-- What was in the list before may have been deleted since, and stays.
create or replace function app_private.tg__400_listed() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  present jsonb := to_jsonb(new);
  before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) else '{}' end;
  unknown text;
begin
  for n in 0 .. tg_nargs / 2 - 1 loop
    execute format(
      'select string_agg(coalesce(x.id, ''null''), '', '') from (
         select jsonb_array_elements_text($1) as id except select jsonb_array_elements_text($2)) x
       where not exists (select from %s p where p.organization_id = $3 and p.id = x.id::uuid and p.itinerary_id = $4 and p.deleted_at is null)',
      tg_argv[2 * n + 1])
    into unknown
    using present -> tg_argv[2 * n], coalesce(before -> tg_argv[2 * n], '[]'), new.organization_id, (present ->> 'itinerary_id')::uuid;
    if unknown is not null then
      perform app.refuse(409, 'party_unknown', format('Not of the party of this itinerary: %s.', unknown));
    end if;
  end loop;
  return new;
end
$$;
comment on function app_private.tg__400_listed() is 'PT409 party_unknown for an id in a list that is nobody and no group of the itinerary''s party.';
alter function app_private.tg__400_listed() owner to callboard_definer;
revoke execute on function app_private.tg__400_listed() from public;

create table if not exists app.party_members (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text not null constraint party_members_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  role text constraint party_members_role_length check (length(role) between 1 and 200 and role !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(role) <> ''),
  -- Whose account it is, if they have one: what this member sees of the itinerary follows from the groups.
  user_id uuid,
  group_ids uuid[] not null default '{}',
  notes text constraint party_members_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint party_members_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint party_members_user_exists foreign key (organization_id, user_id)
    references app.memberships (organization_id, user_id) on delete set null (user_id)
);
create unique index if not exists party_members_user_taken on app.party_members (organization_id, itinerary_id, user_id) where deleted_at is null;
create index if not exists party_members_user_id_idx on app.party_members (organization_id, user_id) where user_id is not null;
create index if not exists party_members_deletion_id_idx on app.party_members (organization_id, deletion_id) where deletion_id is not null;
alter table app.party_members alter column name set statistics 0, alter column role set statistics 0, alter column group_ids set statistics 0, alter column notes set statistics 0;

alter table app.party_members enable row level security;
alter table app.party_members force row level security;

drop policy if exists select_member on app.party_members;
create policy select_member on app.party_members for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.party_members;
create policy insert_member on app.party_members for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists update_member on app.party_members;
create policy update_member on app.party_members for update to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.party_members;
create policy delete_member on app.party_members for delete to callboard_api
  using (organization_id = (select app.org_if('itineraries.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it publishes.
drop policy if exists select_definer on app.party_members;
create policy select_definer on app.party_members for select to callboard_definer using (true);
drop policy if exists update_definer on app.party_members;
create policy update_definer on app.party_members for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.party_members to callboard_api, callboard_definer;
grant insert (itinerary_id, name, role, user_id, group_ids, notes), update (name, role, user_id, group_ids, notes) on app.party_members to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.party_members to callboard_definer;

comment on table app.party_members is 'Who travels with an itinerary.';

drop trigger if exists _100_timestamps on app.party_members;
create trigger _100_timestamps before update on app.party_members
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _300_parents on app.party_members;
create trigger _300_parents before insert or update of itinerary_id, user_id on app.party_members
  for each row execute function app_private.tg__300_parents('itinerary_id', 'app.itineraries', 'id', 'party_members_itinerary_exists', 'user_id', 'app.memberships', 'user_id', 'party_members_user_exists');
drop trigger if exists _400_listed on app.party_members;
create trigger _400_listed before insert or update of group_ids on app.party_members
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');

select app_private.log_changes('app.party_members', 'party_member');

create or replace function app.own_groups() returns uuid[]
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select coalesce(array_agg(g.id), '{}')
  from app.party_members m
  join app.party_groups g on g.organization_id = m.organization_id and g.id = any (m.group_ids) and g.deleted_at is null
  where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null;
end;
comment on function app.own_groups() is 'The groups that the user of this transaction is in, of all itineraries of the organization. For policies, which ask once.';
alter function app.own_groups() owner to callboard_definer;
revoke execute on function app.own_groups() from public;
grant execute on function app.own_groups() to callboard_api;
--! EndIncluded itinerary_party.sql
--! Included schedule_items.sql
-- What happens on the days of an itinerary, hour by hour.

create table if not exists app.schedule_items (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  -- The day's, put there by a trigger.
  itinerary_id uuid not null,
  day_id uuid not null,
  kind text not null default 'other' constraint schedule_items_kind_known check (
    kind in ('load_in', 'soundcheck', 'doors', 'performance', 'load_out', 'lobby_call', 'press', 'rehearsal', 'meal', 'meeting', 'other')),
  title text not null constraint schedule_items_title_length check (length(title) between 1 and 200 and title !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(title) <> ''),
  certainty text not null default 'exact' constraint schedule_items_certainty_known check (
    certainty in ('exact', 'approximate', 'to_be_determined', 'hidden')),
  start_time time(0),
  starts_next_day boolean not null default false,
  end_time time(0),
  ends_next_day boolean not null default false,
  is_confirmed boolean not null default false,
  show_id uuid,
  location text constraint schedule_items_location_length check (length(location) between 1 and 200 and location !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(location) <> ''),
  -- For whom it is; for everybody if there is none.
  group_ids uuid[] not null default '{}',
  notes text constraint schedule_items_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint schedule_items_day_exists foreign key (organization_id, day_id)
    references app.itinerary_days (organization_id, id) on delete cascade,
  constraint schedule_items_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint schedule_items_time_as_certain check ((certainty = 'to_be_determined') = (start_time is null)),
  constraint schedule_items_next_day_with_time check ((start_time is not null or not starts_next_day) and (end_time is not null or not ends_next_day)),
  constraint schedule_items_start_before_end check (
    end_time is null or start_time is not null and (starts_next_day, start_time) <= (ends_next_day, end_time))
);
create index if not exists schedule_items_day_id_idx on app.schedule_items (organization_id, day_id, start_time, id) where deleted_at is null;
create index if not exists schedule_items_itinerary_id_idx on app.schedule_items (organization_id, itinerary_id, id) where deleted_at is null;
create index if not exists schedule_items_show_id_idx on app.schedule_items (organization_id, show_id) where show_id is not null;
create index if not exists schedule_items_deletion_id_idx on app.schedule_items (organization_id, deletion_id) where deletion_id is not null;
alter table app.schedule_items alter column kind set statistics 0, alter column title set statistics 0, alter column certainty set statistics 0, alter column location set statistics 0, alter column group_ids set statistics 0, alter column notes set statistics 0;

alter table app.schedule_items enable row level security;
alter table app.schedule_items force row level security;

drop policy if exists select_member on app.schedule_items;
create policy select_member on app.schedule_items for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.schedule_items;
create policy insert_member on app.schedule_items for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists update_member on app.schedule_items;
create policy update_member on app.schedule_items for update to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.schedule_items;
create policy delete_member on app.schedule_items for delete to callboard_api
  using (organization_id = (select app.org_if('itineraries.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it publishes.
drop policy if exists select_definer on app.schedule_items;
create policy select_definer on app.schedule_items for select to callboard_definer using (true);
drop policy if exists update_definer on app.schedule_items;
create policy update_definer on app.schedule_items for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.schedule_items to callboard_api, callboard_definer;
grant insert (day_id, kind, title, certainty, start_time, starts_next_day, end_time, ends_next_day, is_confirmed, show_id, location, group_ids, notes), update (day_id, kind, title, certainty, start_time, starts_next_day, end_time, ends_next_day, is_confirmed, show_id, location, group_ids, notes) on app.schedule_items to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.schedule_items to callboard_definer;

comment on table app.schedule_items is 'What happens on a day: load-in, soundcheck, lobby call …';
comment on column app.schedule_items.starts_next_day is 'It belongs to this day and starts after midnight, like a load-out at 01:00.';
comment on column app.schedule_items.certainty is 'exact, approximate, to_be_determined (no time yet), or hidden (there is one, and only those who plan see it).';

create or replace function app_private.tg_schedule_items__250_itinerary() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  itinerary uuid := (select d.itinerary_id from app.itinerary_days d where d.organization_id = new.organization_id and d.id = new.day_id);
begin
  if tg_op = 'UPDATE' and itinerary is distinct from old.itinerary_id then
    perform app.refuse(409, 'schedule_items_day_exists', 'The itinerary has no such day.');
  end if;
  new.itinerary_id := itinerary;
  return new;
end
$$;
comment on function app_private.tg_schedule_items__250_itinerary() is 'Notes whose itinerary''s an item is. PT409 schedule_items_day_exists for a day of another one.';
alter function app_private.tg_schedule_items__250_itinerary() owner to callboard_definer;
revoke execute on function app_private.tg_schedule_items__250_itinerary() from public;

drop trigger if exists _100_timestamps on app.schedule_items;
create trigger _100_timestamps before update on app.schedule_items
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _250_itinerary on app.schedule_items;
create trigger _250_itinerary before insert or update of day_id on app.schedule_items
  for each row execute function app_private.tg_schedule_items__250_itinerary();
drop trigger if exists _300_parents on app.schedule_items;
create trigger _300_parents before insert or update of day_id, show_id on app.schedule_items
  for each row execute function app_private.tg__300_parents('day_id', 'app.itinerary_days', 'id', 'schedule_items_day_exists', 'show_id', 'app.shows', 'id', 'schedule_items_show_exists');
drop trigger if exists _400_listed on app.schedule_items;
create trigger _400_listed before insert or update of group_ids on app.schedule_items
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');

select app_private.log_changes('app.schedule_items', 'schedule_item');
--! EndIncluded schedule_items.sql
--! Included travel_and_lodging.sql
-- How a party travels, and where it sleeps.

create table if not exists app.travel_segments (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  mode text not null constraint travel_segments_mode_known check (mode in ('air', 'rail', 'ground', 'sea')),
  carrier text constraint travel_segments_carrier_length check (length(carrier) between 1 and 200 and carrier !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(carrier) <> ''),
  number text constraint travel_segments_number_length check (length(number) between 1 and 200 and number !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(number) <> ''),
  from_place text not null constraint travel_segments_from_place_length check (length(from_place) between 1 and 200 and from_place !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(from_place) <> ''),
  departs_on date not null constraint travel_segments_departs_on_range check (departs_on between date '1900-01-01' and date '2199-12-31'),
  departs_time time(0) not null,
  from_time_zone text not null constraint travel_segments_from_time_zone_exists check (app.is_time_zone(from_time_zone)),
  to_place text not null constraint travel_segments_to_place_length check (length(to_place) between 1 and 200 and to_place !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(to_place) <> ''),
  arrives_on date not null constraint travel_segments_arrives_on_range check (arrives_on between date '1900-01-01' and date '2199-12-31'),
  arrives_time time(0) not null,
  to_time_zone text not null constraint travel_segments_to_time_zone_exists check (app.is_time_zone(to_time_zone)),
  confirmation_number text constraint travel_segments_confirmation_number_length check (length(confirmation_number) between 1 and 200 and confirmation_number !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(confirmation_number) <> ''),
  is_confirmed boolean not null default false,
  passenger_ids uuid[] not null default '{}',
  group_ids uuid[] not null default '{}',
  notes text constraint travel_segments_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint travel_segments_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);
create index if not exists travel_segments_itinerary_id_idx on app.travel_segments (organization_id, itinerary_id, departs_on, id) where deleted_at is null;
create index if not exists travel_segments_deletion_id_idx on app.travel_segments (organization_id, deletion_id) where deletion_id is not null;
alter table app.travel_segments alter column mode set statistics 0, alter column carrier set statistics 0, alter column number set statistics 0, alter column from_place set statistics 0, alter column from_time_zone set statistics 0, alter column to_place set statistics 0, alter column to_time_zone set statistics 0, alter column confirmation_number set statistics 0, alter column passenger_ids set statistics 0, alter column group_ids set statistics 0, alter column notes set statistics 0;

alter table app.travel_segments enable row level security;
alter table app.travel_segments force row level security;

drop policy if exists select_member on app.travel_segments;
create policy select_member on app.travel_segments for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.travel_segments;
create policy insert_member on app.travel_segments for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists update_member on app.travel_segments;
create policy update_member on app.travel_segments for update to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.travel_segments;
create policy delete_member on app.travel_segments for delete to callboard_api
  using (organization_id = (select app.org_if('itineraries.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it publishes.
drop policy if exists select_definer on app.travel_segments;
create policy select_definer on app.travel_segments for select to callboard_definer using (true);
drop policy if exists update_definer on app.travel_segments;
create policy update_definer on app.travel_segments for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.travel_segments to callboard_api, callboard_definer;
grant insert (itinerary_id, mode, carrier, number, from_place, departs_on, departs_time, from_time_zone, to_place, arrives_on, arrives_time, to_time_zone, confirmation_number, is_confirmed, passenger_ids, group_ids, notes), update (mode, carrier, number, from_place, departs_on, departs_time, from_time_zone, to_place, arrives_on, arrives_time, to_time_zone, confirmation_number, is_confirmed, passenger_ids, group_ids, notes) on app.travel_segments to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.travel_segments to callboard_definer;

comment on table app.travel_segments is 'Flights, trains, drives and ships, each end in its own time zone.';

-- No check constraint, because what a local time is as an instant depends on the time zone database.
create or replace function app_private.tg_travel_segments__200_order() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.arrives_on + new.arrives_time) at time zone new.to_time_zone < (new.departs_on + new.departs_time) at time zone new.from_time_zone then
    perform app.refuse(422, 'travel_segments_departure_before_arrival', 'It would arrive before it departs.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_travel_segments__200_order() is 'PT422 travel_segments_departure_before_arrival.';
revoke execute on function app_private.tg_travel_segments__200_order() from public;

drop trigger if exists _100_timestamps on app.travel_segments;
create trigger _100_timestamps before update on app.travel_segments
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_order on app.travel_segments;
create trigger _200_order before insert or update of departs_on, departs_time, from_time_zone, arrives_on, arrives_time, to_time_zone on app.travel_segments
  for each row when (app.is_time_zone(new.from_time_zone) and app.is_time_zone(new.to_time_zone))
  execute function app_private.tg_travel_segments__200_order();
drop trigger if exists _300_parents on app.travel_segments;
create trigger _300_parents before insert or update of itinerary_id on app.travel_segments
  for each row execute function app_private.tg__300_parents('itinerary_id', 'app.itineraries', 'id', 'travel_segments_itinerary_exists');
drop trigger if exists _400_listed on app.travel_segments;
create trigger _400_listed before insert or update of passenger_ids, group_ids on app.travel_segments
  for each row execute function app_private.tg__400_listed('passenger_ids', 'app.party_members', 'group_ids', 'app.party_groups');

select app_private.log_changes('app.travel_segments', 'travel_segment');

create table if not exists app.lodgings (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text not null constraint lodgings_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  address text constraint lodgings_address_length check (length(address) <= 1000),
  check_in_on date not null constraint lodgings_check_in_on_range check (check_in_on between date '1900-01-01' and date '2199-12-31'),
  check_out_on date not null constraint lodgings_check_out_on_range check (check_out_on between date '1900-01-01' and date '2199-12-31'),
  confirmation_number text constraint lodgings_confirmation_number_length check (length(confirmation_number) between 1 and 200 and confirmation_number !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(confirmation_number) <> ''),
  group_ids uuid[] not null default '{}',
  notes text constraint lodgings_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint lodgings_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint lodgings_in_before_out check (check_in_on < check_out_on)
);
create index if not exists lodgings_itinerary_id_idx on app.lodgings (organization_id, itinerary_id, check_in_on, id) where deleted_at is null;
create index if not exists lodgings_deletion_id_idx on app.lodgings (organization_id, deletion_id) where deletion_id is not null;
alter table app.lodgings alter column name set statistics 0, alter column address set statistics 0, alter column confirmation_number set statistics 0, alter column group_ids set statistics 0, alter column notes set statistics 0;

alter table app.lodgings enable row level security;
alter table app.lodgings force row level security;

drop policy if exists select_member on app.lodgings;
create policy select_member on app.lodgings for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.lodgings;
create policy insert_member on app.lodgings for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists update_member on app.lodgings;
create policy update_member on app.lodgings for update to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.lodgings;
create policy delete_member on app.lodgings for delete to callboard_api
  using (organization_id = (select app.org_if('itineraries.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it publishes.
drop policy if exists select_definer on app.lodgings;
create policy select_definer on app.lodgings for select to callboard_definer using (true);
drop policy if exists update_definer on app.lodgings;
create policy update_definer on app.lodgings for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.lodgings to callboard_api, callboard_definer;
grant insert (itinerary_id, name, address, check_in_on, check_out_on, confirmation_number, group_ids, notes), update (name, address, check_in_on, check_out_on, confirmation_number, group_ids, notes) on app.lodgings to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.lodgings to callboard_definer;

comment on table app.lodgings is 'Where a party sleeps.';

drop trigger if exists _100_timestamps on app.lodgings;
create trigger _100_timestamps before update on app.lodgings
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _300_parents on app.lodgings;
create trigger _300_parents before insert or update of itinerary_id on app.lodgings
  for each row execute function app_private.tg__300_parents('itinerary_id', 'app.itineraries', 'id', 'lodgings_itinerary_exists');
drop trigger if exists _400_listed on app.lodgings;
create trigger _400_listed before insert or update of group_ids on app.lodgings
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');

select app_private.log_changes('app.lodgings', 'lodging');

create table if not exists app.lodging_rooms (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  -- The lodging's, put there by a trigger.
  itinerary_id uuid not null,
  lodging_id uuid not null,
  name text not null constraint lodging_rooms_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  occupant_ids uuid[] not null default '{}',
  confirmation_number text constraint lodging_rooms_confirmation_number_length check (length(confirmation_number) between 1 and 200 and confirmation_number !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(confirmation_number) <> ''),
  notes text constraint lodging_rooms_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint lodging_rooms_lodging_exists foreign key (organization_id, lodging_id)
    references app.lodgings (organization_id, id) on delete cascade
);
create index if not exists lodging_rooms_lodging_id_idx on app.lodging_rooms (organization_id, lodging_id, id) where deleted_at is null;
create index if not exists lodging_rooms_deletion_id_idx on app.lodging_rooms (organization_id, deletion_id) where deletion_id is not null;
alter table app.lodging_rooms alter column name set statistics 0, alter column occupant_ids set statistics 0, alter column confirmation_number set statistics 0, alter column notes set statistics 0;

alter table app.lodging_rooms enable row level security;
alter table app.lodging_rooms force row level security;

drop policy if exists select_member on app.lodging_rooms;
create policy select_member on app.lodging_rooms for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.lodging_rooms;
create policy insert_member on app.lodging_rooms for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists update_member on app.lodging_rooms;
create policy update_member on app.lodging_rooms for update to callboard_api
  using (organization_id = (select app.org_if('itineraries.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.lodging_rooms;
create policy delete_member on app.lodging_rooms for delete to callboard_api
  using (organization_id = (select app.org_if('itineraries.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it publishes.
drop policy if exists select_definer on app.lodging_rooms;
create policy select_definer on app.lodging_rooms for select to callboard_definer using (true);
drop policy if exists update_definer on app.lodging_rooms;
create policy update_definer on app.lodging_rooms for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.lodging_rooms to callboard_api, callboard_definer;
grant insert (lodging_id, name, occupant_ids, confirmation_number, notes), update (name, occupant_ids, confirmation_number, notes) on app.lodging_rooms to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.lodging_rooms to callboard_definer;

comment on table app.lodging_rooms is 'Rooms, and who sleeps in them. Whoever may see the lodging sees its rooms.';

create or replace function app_private.tg_lodging_rooms__250_itinerary() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  new.itinerary_id := (select l.itinerary_id from app.lodgings l where l.organization_id = new.organization_id and l.id = new.lodging_id);
  return new;
end
$$;
comment on function app_private.tg_lodging_rooms__250_itinerary() is 'Notes whose itinerary''s a room is.';
alter function app_private.tg_lodging_rooms__250_itinerary() owner to callboard_definer;
revoke execute on function app_private.tg_lodging_rooms__250_itinerary() from public;

drop trigger if exists _100_timestamps on app.lodging_rooms;
create trigger _100_timestamps before update on app.lodging_rooms
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _250_itinerary on app.lodging_rooms;
create trigger _250_itinerary before insert on app.lodging_rooms
  for each row execute function app_private.tg_lodging_rooms__250_itinerary();
drop trigger if exists _300_parents on app.lodging_rooms;
create trigger _300_parents before insert or update of lodging_id on app.lodging_rooms
  for each row execute function app_private.tg__300_parents('lodging_id', 'app.lodgings', 'id', 'lodging_rooms_lodging_exists');
drop trigger if exists _400_listed on app.lodging_rooms;
create trigger _400_listed before insert or update of occupant_ids on app.lodging_rooms
  for each row execute function app_private.tg__400_listed('occupant_ids', 'app.party_members');

select app_private.log_changes('app.lodging_rooms', 'lodging_room');
--! EndIncluded travel_and_lodging.sql
--! Included itinerary_lists.sql
-- What the parts of an itinerary look like to those who plan. The tables are in itineraries.sql,
-- itinerary_party.sql, schedule_items.sql and travel_and_lodging.sql.

create or replace view app.itinerary_day_list with (security_invoker = true) as
  select d.organization_id, d.id, d.itinerary_id, d.day_on, d.created_at, d.version,
    json_build_object('id', d.id, 'itinerary_id', d.itinerary_id, 'day_on', d.day_on, 'kind', d.kind, 'show_id', d.show_id,
      'city', d.city, 'time_zone', d.time_zone, 'notes', d.notes,
      'created_by', d.created_by, 'created_at', d.created_at, 'updated_at', d.updated_at) as body,
    d.deleted_at, d.deleted_by
  from app.itinerary_days d;
comment on view app.itinerary_day_list is 'Days of the organization''s itineraries with their JSON, also those in the bin, which have deleted_at.';
grant select on app.itinerary_day_list to callboard_api, callboard_definer;

create or replace view app.party_group_list with (security_invoker = true) as
  select g.organization_id, g.id, g.itinerary_id, g.name, g.created_at, g.version,
    json_build_object('id', g.id, 'itinerary_id', g.itinerary_id, 'name', g.name,
      'created_by', g.created_by, 'created_at', g.created_at, 'updated_at', g.updated_at) as body,
    g.deleted_at, g.deleted_by
  from app.party_groups g;
comment on view app.party_group_list is 'Groups of parties with their JSON, also those in the bin, which have deleted_at.';
grant select on app.party_group_list to callboard_api, callboard_definer;

create or replace view app.party_member_list with (security_invoker = true) as
  select m.organization_id, m.id, m.itinerary_id, m.name, m.created_at, m.version,
    json_build_object('id', m.id, 'itinerary_id', m.itinerary_id, 'name', m.name, 'role', m.role, 'user_id', m.user_id,
      'group_ids', m.group_ids, 'notes', m.notes,
      'created_by', m.created_by, 'created_at', m.created_at, 'updated_at', m.updated_at) as body,
    m.deleted_at, m.deleted_by
  from app.party_members m;
comment on view app.party_member_list is 'Who travels, with their JSON, also those in the bin, who have deleted_at.';
grant select on app.party_member_list to callboard_api, callboard_definer;

create or replace view app.schedule_item_list with (security_invoker = true) as
  select i.organization_id, i.id, i.itinerary_id, i.day_id, i.created_at, i.version,
    -- Those without a time come first on their day.
    (d.day_on + i.starts_next_day::integer + coalesce(i.start_time, '00:00')) at time zone d.time_zone as sort_at,
    json_build_object('id', i.id, 'itinerary_id', i.itinerary_id, 'day_id', i.day_id, 'day_on', d.day_on, 'time_zone', d.time_zone,
      'kind', i.kind, 'title', i.title, 'certainty', i.certainty,
      'start_time', to_char(i.start_time, 'HH24:MI'), 'starts_next_day', i.starts_next_day,
      'end_time', to_char(i.end_time, 'HH24:MI'), 'ends_next_day', i.ends_next_day,
      'starts_at', (d.day_on + i.starts_next_day::integer + i.start_time) at time zone d.time_zone,
      'ends_at', (d.day_on + i.ends_next_day::integer + i.end_time) at time zone d.time_zone,
      'is_confirmed', i.is_confirmed, 'show_id', i.show_id, 'location', i.location, 'group_ids', i.group_ids, 'notes', i.notes,
      'created_by', i.created_by, 'created_at', i.created_at, 'updated_at', i.updated_at) as body,
    i.deleted_at, i.deleted_by
  from app.schedule_items i
  join app.itinerary_days d on d.organization_id = i.organization_id and d.id = i.day_id;
comment on view app.schedule_item_list is 'Items of schedules with their JSON, also those in the bin, which have deleted_at.';
grant select on app.schedule_item_list to callboard_api, callboard_definer;

create or replace view app.travel_segment_list with (security_invoker = true) as
  select s.organization_id, s.id, s.itinerary_id, s.created_at, s.version, t.departs_at,
    json_build_object('id', s.id, 'itinerary_id', s.itinerary_id, 'mode', s.mode, 'carrier', s.carrier, 'number', s.number,
      'from_place', s.from_place, 'departs_on', s.departs_on, 'departs_time', to_char(s.departs_time, 'HH24:MI'),
      'from_time_zone', s.from_time_zone, 'departs_at', t.departs_at,
      'to_place', s.to_place, 'arrives_on', s.arrives_on, 'arrives_time', to_char(s.arrives_time, 'HH24:MI'),
      'to_time_zone', s.to_time_zone, 'arrives_at', t.arrives_at,
      'duration_minutes', (extract(epoch from t.arrives_at - t.departs_at) / 60)::integer,
      'confirmation_number', s.confirmation_number, 'is_confirmed', s.is_confirmed,
      'passenger_ids', s.passenger_ids, 'group_ids', s.group_ids, 'notes', s.notes,
      'created_by', s.created_by, 'created_at', s.created_at, 'updated_at', s.updated_at) as body,
    s.deleted_at, s.deleted_by
  from app.travel_segments s,
    lateral (select (s.departs_on + s.departs_time) at time zone s.from_time_zone as departs_at,
      (s.arrives_on + s.arrives_time) at time zone s.to_time_zone as arrives_at) t;
comment on view app.travel_segment_list is 'Travel segments with their JSON, also those in the bin, which have deleted_at.';
grant select on app.travel_segment_list to callboard_api, callboard_definer;

create or replace view app.lodging_list with (security_invoker = true) as
  select l.organization_id, l.id, l.itinerary_id, l.check_in_on, l.created_at, l.version,
    json_build_object('id', l.id, 'itinerary_id', l.itinerary_id, 'name', l.name, 'address', l.address,
      'check_in_on', l.check_in_on, 'check_out_on', l.check_out_on, 'confirmation_number', l.confirmation_number,
      'group_ids', l.group_ids, 'notes', l.notes,
      'created_by', l.created_by, 'created_at', l.created_at, 'updated_at', l.updated_at) as body,
    l.deleted_at, l.deleted_by
  from app.lodgings l;
comment on view app.lodging_list is 'Lodgings with their JSON, also those in the bin, which have deleted_at.';
grant select on app.lodging_list to callboard_api, callboard_definer;

create or replace view app.lodging_room_list with (security_invoker = true) as
  select r.organization_id, r.id, r.itinerary_id, r.lodging_id, r.name, r.created_at, r.version,
    json_build_object('id', r.id, 'itinerary_id', r.itinerary_id, 'lodging_id', r.lodging_id, 'name', r.name,
      'occupant_ids', r.occupant_ids, 'confirmation_number', r.confirmation_number, 'notes', r.notes,
      'created_by', r.created_by, 'created_at', r.created_at, 'updated_at', r.updated_at) as body,
    r.deleted_at, r.deleted_by
  from app.lodging_rooms r;
comment on view app.lodging_room_list is 'Rooms of lodgings with their JSON, also those in the bin, which have deleted_at.';
grant select on app.lodging_room_list to callboard_api, callboard_definer;
--! EndIncluded itinerary_lists.sql
--! Included itinerary_commands.sql
-- What can be done with itineraries and their parts. It is the same with all of them, so each command
-- is one function that is told the table; what is special about a table is in its triggers.

create or replace function app.itinerary_part(part text) returns table (list text, path text, reading text)
language plpgsql immutable
set search_path = ''
as $$
begin
  if part <> all (array['itineraries', 'itinerary_days', 'schedule_items', 'travel_segments', 'lodgings', 'lodging_rooms',
    'party_members', 'party_groups']) then
    raise exception 'there is no part of an itinerary called %', part;
  end if;
  return query select
    case part when 'itineraries' then 'itinerary_list' else left(part, -1) || '_list' end,
    '/api/' || replace(part, '_', '-') || '/',
    case part when 'itineraries' then 'itineraries.read' else 'itineraries.write' end;
end
$$;
comment on function app.itinerary_part(text) is
  'Of a table of itineraries: the view that has its JSON, the path of its routes, and the permission to read it. Fails for any other table.';
revoke execute on function app.itinerary_part(text) from public;
grant execute on function app.itinerary_part(text) to callboard_api, callboard_definer;

create or replace function app.read_itinerary_part(part text, id uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
  p record;
begin
  select * into p from app.itinerary_part(part);
  perform app.require(p.reading);
  execute format('select 200, body, app.etag(version), %L || id from app.%I where organization_id = app.current_org() and id = $1 and deleted_at is null',
    p.path, p.list) into answer using id;
  if answer.status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_itinerary_part(text, uuid) is 'A row of one of the tables of itineraries. PT403, PT404.';
revoke execute on function app.read_itinerary_part(text, uuid) from public;
grant execute on function app.read_itinerary_part(text, uuid) to callboard_api, callboard_definer;

create or replace function app.create_itinerary_part(part text, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  answer app.answer;
  columns text := (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(body) k);
  id uuid;
begin
  perform from app.itinerary_part(part);
  perform app.require('itineraries.write');
  -- What the body does not name gets its default; what is not granted, the policy or the grant refuses.
  execute format('insert into app.%1$I (%2$s) select %2$s from jsonb_populate_record(null::app.%1$I, $1) returning id', part, columns)
  into id using body;
  answer := app.read_itinerary_part(part, id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_itinerary_part(text, jsonb) is 'A new row of one of the tables of itineraries. PT403, PT409, PT422.';
revoke execute on function app.create_itinerary_part(text, jsonb) from public;
grant execute on function app.create_itinerary_part(text, jsonb) to callboard_api;

create or replace function app.write_itinerary_part(part text, id uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  columns text := (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(body) k);
  present integer;
begin
  perform from app.itinerary_part(part);
  perform app.require('itineraries.write');
  execute format('select version from app.%I t where t.organization_id = app.current_org() and t.id = $1 and t.deleted_at is null for no key update', part)
  into present using id;
  perform app.check_version(present, if_match);
  execute format('update app.%1$I t set (%2$s) = (select %2$s from jsonb_populate_record(null::app.%1$I, $1))
    where t.organization_id = app.current_org() and t.id = $2', part, columns) using body, id;
  return app.read_itinerary_part(part, id);
end
$$;
comment on function app.write_itinerary_part(text, uuid, jsonb, text) is
  'Changes the columns in the body of a row of one of the tables of itineraries. PT403, PT404, PT409, PT412, PT422.';
revoke execute on function app.write_itinerary_part(text, uuid, jsonb, text) from public;
grant execute on function app.write_itinerary_part(text, uuid, jsonb, text) to callboard_api;

create or replace function app.delete_itinerary_part(part text, id uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform from app.itinerary_part(part);
  perform app.require('itineraries.delete');
  return app_private.delete_row(('app.' || part)::regclass, id, if_match);
end
$$;
comment on function app.delete_itinerary_part(text, uuid, text) is
  'Deletes a row of one of the tables of itineraries, with what belongs to it, until it is restored. PT403, PT404, PT412.';
alter function app.delete_itinerary_part(text, uuid, text) owner to callboard_definer;
revoke execute on function app.delete_itinerary_part(text, uuid, text) from public;
grant execute on function app.delete_itinerary_part(text, uuid, text) to callboard_api;

create or replace function app.restore_itinerary_part(part text, id uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform from app.itinerary_part(part);
  perform app.require('itineraries.delete');
  perform app_private.restore_row(('app.' || part)::regclass, id);
  return app.read_itinerary_part(part, id);
end
$$;
comment on function app.restore_itinerary_part(text, uuid) is
  'Brings a row of one of the tables of itineraries back, with what was deleted together with it. PT403, PT404, PT409 parent_deleted and where something has taken its place.';
alter function app.restore_itinerary_part(text, uuid) owner to callboard_definer;
revoke execute on function app.restore_itinerary_part(text, uuid) from public;
grant execute on function app.restore_itinerary_part(text, uuid) to callboard_api;
--! EndIncluded itinerary_commands.sql
--! Included itinerary_versions.sql
-- What has been published of itineraries. Those who plan work on the tables; everybody else
-- reads what was published last, and of that what is for them: a version is frozen, who is in a group is not.

create table if not exists app.itinerary_versions (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  itinerary_id uuid not null,
  number integer not null constraint itinerary_versions_number_positive check (number > 0),
  name text not null,
  artist text not null,
  starts_on date not null,
  created_at timestamptz not null,
  -- The itinerary itself, as JSON and by its version; the rest is in app.itinerary_entries.
  body jsonb not null,
  version integer not null,
  note text constraint itinerary_versions_note_length check (length(note) <= 1000),
  published_by uuid default app.current_user_id() references app.users (id),
  published_at timestamptz not null default now(),
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, itinerary_id, number),
  constraint itinerary_versions_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);
create index if not exists itinerary_versions_deletion_id_idx on app.itinerary_versions (organization_id, deletion_id) where deletion_id is not null;
alter table app.itinerary_versions alter column number set statistics 0, alter column name set statistics 0, alter column artist set statistics 0, alter column body set statistics 0, alter column note set statistics 0;

create table if not exists app.itinerary_entries (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  itinerary_id uuid not null,
  number integer not null,
  id uuid not null,
  kind text not null constraint itinerary_entries_kind_known check (kind in ('day', 'item', 'segment', 'lodging')),
  day_on date,
  first_on date not null,
  last_on date not null,
  title text not null,
  location text,
  detail text,
  local_start timestamp(0),
  local_end timestamp(0),
  start_zone text,
  end_zone text,
  starts_at timestamptz,
  ends_at timestamptz,
  is_confirmed boolean not null,
  group_ids uuid[] not null,
  body jsonb not null,
  version integer not null,
  updated_at timestamptz not null,
  primary key (organization_id, itinerary_id, number, id),
  constraint itinerary_entries_version_exists foreign key (organization_id, itinerary_id, number)
    references app.itinerary_versions (organization_id, itinerary_id, number) on delete cascade
);
alter table app.itinerary_entries alter column number set statistics 0, alter column kind set statistics 0, alter column title set statistics 0, alter column location set statistics 0, alter column detail set statistics 0, alter column local_start set statistics 0, alter column local_end set statistics 0, alter column start_zone set statistics 0, alter column end_zone set statistics 0, alter column group_ids set statistics 0, alter column body set statistics 0;

alter table app.itinerary_versions enable row level security;
alter table app.itinerary_versions force row level security;
alter table app.itinerary_entries enable row level security;
alter table app.itinerary_entries force row level security;

drop policy if exists select_member on app.itinerary_versions;
create policy select_member on app.itinerary_versions for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.read')));
-- What is for nobody in particular is for everybody, what is for groups is for who is in one of them, and
-- who plans sees all. Each of the three is found once for the statement.
drop policy if exists select_member on app.itinerary_entries;
create policy select_member on app.itinerary_entries for select to callboard_api
  using (organization_id = (select app.org_if('itineraries.read'))
    and (group_ids = '{}' or group_ids && (select app.own_groups()) or (select app.has_permission('itineraries.write'))));
-- Without grants: only app.publish_itinerary publishes.
drop policy if exists insert_member on app.itinerary_versions;
create policy insert_member on app.itinerary_versions for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));
drop policy if exists insert_member on app.itinerary_entries;
create policy insert_member on app.itinerary_entries for insert to callboard_api
  with check (organization_id = (select app.org_if('itineraries.write')));

drop policy if exists select_definer on app.itinerary_versions;
create policy select_definer on app.itinerary_versions for select to callboard_definer using (true);
drop policy if exists select_definer on app.itinerary_entries;
create policy select_definer on app.itinerary_entries for select to callboard_definer using (true);
drop policy if exists insert_definer on app.itinerary_versions;
create policy insert_definer on app.itinerary_versions for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists insert_definer on app.itinerary_entries;
create policy insert_definer on app.itinerary_entries for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
-- The marks of a deletion, which go with those of the itinerary.
drop policy if exists update_definer on app.itinerary_versions;
create policy update_definer on app.itinerary_versions for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.itinerary_versions, app.itinerary_entries to callboard_api, callboard_definer;
grant insert (itinerary_id, number, name, artist, starts_on, created_at, body, version, note),
  update (deleted_at, deleted_by, deletion_id) on app.itinerary_versions to callboard_definer;
grant insert (itinerary_id, number, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at) on app.itinerary_entries to callboard_definer;

comment on table app.itinerary_versions is 'Itineraries as they were published, numbered from 1; never changed.';
comment on table app.itinerary_entries is 'What a published version consists of, as its readers see it; never changed.';
comment on column app.itinerary_entries.group_ids is 'For whom it is; empty for everybody who may read itineraries.';
comment on column app.itinerary_entries.first_on is 'First day in local time; last_on is the last. Without local_start it is all day.';

-- Also against whoever has the rights of the owner. What goes goes with its itinerary, or out of the bin.
create or replace function app_private.tg__050_frozen() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  marks constant text[] := array['deleted_at', 'deleted_by', 'deletion_id'];
begin
  if tg_op = 'UPDATE' and to_jsonb(new) - marks = to_jsonb(old) - marks then
    return new;
  elsif tg_op = 'DELETE' and not exists (
    select from app.itinerary_versions v
    join app.itineraries i on i.organization_id = v.organization_id and i.id = v.itinerary_id
    join app.organizations o on o.id = v.organization_id
    where v.organization_id = old.organization_id and v.itinerary_id = old.itinerary_id and v.number = old.number
      and v.deleted_at is null) then
    return old;
  end if;
  raise exception 'what has been published of an itinerary stays as it is';
end
$$;
comment on function app_private.tg__050_frozen() is 'Lets nothing through but the marks of a deletion, and the end of what has them or of the whole itinerary.';
alter function app_private.tg__050_frozen() owner to callboard_definer;
revoke execute on function app_private.tg__050_frozen() from public;

drop trigger if exists _050_frozen on app.itinerary_versions;
create trigger _050_frozen before update or delete on app.itinerary_versions
  for each row execute function app_private.tg__050_frozen();
drop trigger if exists _050_frozen on app.itinerary_entries;
create trigger _050_frozen before update or delete on app.itinerary_entries
  for each row execute function app_private.tg__050_frozen();

select app_private.log_changes('app.itinerary_versions', 'itinerary', '{"create": "publish"}', 'itinerary_id');
--! EndIncluded itinerary_versions.sql
--! Included itinerary_publishing.sql
-- Itineraries as their readers see them: the draft, as it would be published now, and what was published.

create or replace view app.itinerary_drafts with (security_invoker = true) as
  select d.organization_id, d.itinerary_id, d.id, 'day' as kind, d.day_on, d.day_on as first_on, d.day_on as last_on,
    coalesce(d.city, d.kind) as title, d.city as location, d.notes as detail,
    null::timestamp(0) as local_start, null::timestamp(0) as local_end, d.time_zone as start_zone, d.time_zone as end_zone,
    null::timestamptz as starts_at, null::timestamptz as ends_at, true as is_confirmed, '{}'::uuid[] as group_ids,
    jsonb_build_object('id', d.id, 'day_on', d.day_on, 'kind', d.kind, 'city', d.city, 'time_zone', d.time_zone,
      'show_id', d.show_id, 'notes', d.notes) as body, d.version, d.updated_at
  from app.itinerary_days d where d.deleted_at is null
  union all
  select i.organization_id, i.itinerary_id, i.id, 'item', d.day_on,
    d.day_on + coalesce(t.starts_next_day, false)::integer, d.day_on + greatest(t.starts_next_day, t.ends_next_day, false)::integer,
    i.title, i.location, i.notes,
    d.day_on + t.starts_next_day::integer + t.start_time, d.day_on + t.ends_next_day::integer + t.end_time, d.time_zone, d.time_zone,
    (d.day_on + t.starts_next_day::integer + t.start_time) at time zone d.time_zone,
    (d.day_on + t.ends_next_day::integer + t.end_time) at time zone d.time_zone, i.is_confirmed, i.group_ids,
    jsonb_build_object('id', i.id, 'day_id', i.day_id, 'day_on', d.day_on, 'kind', i.kind, 'title', i.title, 'certainty', i.certainty,
      'start_time', to_char(t.start_time, 'HH24:MI'), 'starts_next_day', coalesce(t.starts_next_day, false),
      'end_time', to_char(t.end_time, 'HH24:MI'), 'ends_next_day', coalesce(t.ends_next_day, false), 'time_zone', d.time_zone,
      'starts_at', (d.day_on + t.starts_next_day::integer + t.start_time) at time zone d.time_zone,
      'ends_at', (d.day_on + t.ends_next_day::integer + t.end_time) at time zone d.time_zone,
      'is_confirmed', i.is_confirmed, 'show_id', i.show_id, 'location', i.location, 'group_ids', i.group_ids, 'notes', i.notes),
    -- A day that is moved moves its items.
    i.version + d.version - 1, greatest(i.updated_at, d.updated_at)
  from app.schedule_items i
  join app.itinerary_days d on d.organization_id = i.organization_id and d.id = i.day_id
  -- A hidden time is not there for anybody who reads.
  left join lateral (select i.start_time, i.starts_next_day, i.end_time, i.ends_next_day where i.certainty <> 'hidden') t on true
  where i.deleted_at is null
  union all
  select s.organization_id, s.itinerary_id, s.id, 'segment', s.departs_on, s.departs_on, greatest(s.departs_on, s.arrives_on),
    s.from_place || ' → ' || s.to_place, s.from_place,
    nullif(concat_ws(E'\n', nullif(concat_ws(' ', s.carrier, s.number), ''), 'Confirmation ' || s.confirmation_number, s.notes), ''),
    s.departs_on + s.departs_time, s.arrives_on + s.arrives_time, s.from_time_zone, s.to_time_zone, t.departs_at, t.arrives_at,
    s.is_confirmed, s.group_ids,
    jsonb_build_object('id', s.id, 'mode', s.mode, 'carrier', s.carrier, 'number', s.number,
      'from_place', s.from_place, 'departs_on', s.departs_on, 'departs_time', to_char(s.departs_time, 'HH24:MI'),
      'from_time_zone', s.from_time_zone, 'departs_at', t.departs_at,
      'to_place', s.to_place, 'arrives_on', s.arrives_on, 'arrives_time', to_char(s.arrives_time, 'HH24:MI'),
      'to_time_zone', s.to_time_zone, 'arrives_at', t.arrives_at,
      'duration_minutes', (extract(epoch from t.arrives_at - t.departs_at) / 60)::integer,
      'confirmation_number', s.confirmation_number, 'is_confirmed', s.is_confirmed, 'group_ids', s.group_ids, 'notes', s.notes,
      'passengers', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name) order by m.name, m.id), '[]')
        from app.party_members m where m.organization_id = s.organization_id and m.id = any (s.passenger_ids) and m.deleted_at is null)),
    s.version, s.updated_at
  from app.travel_segments s,
    lateral (select (s.departs_on + s.departs_time) at time zone s.from_time_zone as departs_at,
      (s.arrives_on + s.arrives_time) at time zone s.to_time_zone as arrives_at) t
  where s.deleted_at is null
  union all
  select l.organization_id, l.itinerary_id, l.id, 'lodging', null, l.check_in_on, l.check_out_on - 1,
    l.name, l.address, nullif(concat_ws(E'\n', 'Confirmation ' || l.confirmation_number, l.notes), ''),
    null, null, null, null, null, null, true, l.group_ids,
    jsonb_build_object('id', l.id, 'name', l.name, 'address', l.address, 'check_in_on', l.check_in_on, 'check_out_on', l.check_out_on,
      'confirmation_number', l.confirmation_number, 'group_ids', l.group_ids, 'notes', l.notes,
      'rooms', (select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'name', r.name, 'confirmation_number', r.confirmation_number, 'notes', r.notes,
          'occupants', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name) order by m.name, m.id), '[]')
            from app.party_members m where m.organization_id = r.organization_id and m.id = any (r.occupant_ids) and m.deleted_at is null))
          order by r.name, r.id), '[]')
        from app.lodging_rooms r where r.organization_id = l.organization_id and r.lodging_id = l.id and r.deleted_at is null)),
    l.version, l.updated_at
  from app.lodgings l where l.deleted_at is null;
comment on view app.itinerary_drafts is 'Days, items, segments and lodgings of the organization''s itineraries as they would be published now. For those who plan.';
grant select on app.itinerary_drafts to callboard_api, callboard_definer;

create or replace view app.published_itineraries with (security_invoker = true) as
  select distinct on (v.organization_id, v.itinerary_id) v.organization_id, v.itinerary_id, v.number, v.name, v.artist, v.starts_on,
    v.created_at, v.version, v.body, v.published_at, v.deleted_at, v.deleted_by
  from app.itinerary_versions v
  order by v.organization_id, v.itinerary_id, v.number desc;
comment on view app.published_itineraries is 'Of each itinerary what was published last, also of those in the bin, which have deleted_at.';
grant select on app.published_itineraries to callboard_api, callboard_definer;

create or replace view app.itinerary_list with (security_invoker = true) as
  select i.organization_id, i.id, i.name, i.starts_on, i.created_at, i.version,
    json_build_object('id', i.id, 'name', i.name, 'artist', i.artist, 'starts_on', i.starts_on, 'ends_on', i.ends_on, 'notes', i.notes,
      'created_by', i.created_by, 'created_at', i.created_at, 'updated_at', i.updated_at,
      'published_number', p.number, 'published_at', p.published_at) as body,
    i.deleted_at, i.deleted_by
  from app.itineraries i
  left join lateral (
    select v.number, v.published_at from app.itinerary_versions v
    where v.organization_id = i.organization_id and v.itinerary_id = i.id order by v.number desc limit 1) p on true
  union all
  select p.organization_id, p.itinerary_id, p.name, p.starts_on, p.created_at, p.version,
    (p.body || jsonb_build_object('published_number', p.number, 'published_at', p.published_at))::json,
    p.deleted_at, p.deleted_by
  from app.published_itineraries p
  where not (select app.has_permission('itineraries.write'));
comment on view app.itinerary_list is 'Itineraries with their JSON, also those in the bin, which have deleted_at: the drafts for those who plan, for others what was published last.';
grant select on app.itinerary_list to callboard_api, callboard_definer;

create or replace view app.itinerary_plan with (security_invoker = true) as
  select organization_id, itinerary_id, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at
  from app.itinerary_drafts
  union all
  select e.organization_id, e.itinerary_id, e.id, e.kind, e.day_on, e.first_on, e.last_on, e.title, e.location, e.detail, e.local_start, e.local_end, e.start_zone, e.end_zone, e.starts_at, e.ends_at, e.is_confirmed, e.group_ids, e.body, e.version, e.updated_at
  from app.itinerary_entries e
  join app.published_itineraries p on p.organization_id = e.organization_id and p.itinerary_id = e.itinerary_id and p.number = e.number
  where p.deleted_at is null and not (select app.has_permission('itineraries.write'));
comment on view app.itinerary_plan is 'What the member sees of days, items, segments and lodgings: the drafts if they plan, else what was published last and is for them.';
grant select on app.itinerary_plan to callboard_api, callboard_definer;

create or replace function app.publish_itinerary(itinerary uuid, remark text default null, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('itineraries.write');
  present integer;
  next_number integer;
  answer app.answer;
begin
  -- Two who publish at once get two numbers.
  select i.version into present from app.itineraries i
  where i.organization_id = organization and i.id = itinerary and i.deleted_at is null for no key update;
  perform app.check_version(present, if_match);
  select coalesce(max(v.number), 0) + 1 into next_number from app.itinerary_versions v
  where v.organization_id = organization and v.itinerary_id = itinerary;
  insert into app.itinerary_versions (itinerary_id, number, name, artist, starts_on, created_at, body, version, note)
  select i.id, next_number, i.name, i.artist, i.starts_on, i.created_at,
    jsonb_build_object('id', i.id, 'name', i.name, 'artist', i.artist, 'starts_on', i.starts_on, 'ends_on', i.ends_on, 'notes', i.notes,
      'created_by', i.created_by, 'created_at', i.created_at, 'updated_at', i.updated_at), i.version, remark
  from app.itineraries i where i.organization_id = organization and i.id = itinerary;
  insert into app.itinerary_entries (itinerary_id, number, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at)
  select d.itinerary_id, next_number, d.id, d.kind, d.day_on, d.first_on, d.last_on, d.title, d.location, d.detail, d.local_start, d.local_end, d.start_zone, d.end_zone, d.starts_at, d.ends_at, d.is_confirmed, d.group_ids, d.body, d.version, d.updated_at
  from app.itinerary_drafts d where d.organization_id = organization and d.itinerary_id = itinerary;
  answer := app.read_itinerary_version(itinerary, next_number);
  answer.status := 201;
  answer.location := '/api/itineraries/' || itinerary || '/versions/' || next_number;
  return answer;
end
$$;
comment on function app.publish_itinerary(uuid, text, text) is
  'Publishes an itinerary as it is, as its next version. PT403, PT404, PT412 for another version of the itinerary itself.';
alter function app.publish_itinerary(uuid, text, text) owner to callboard_definer;
revoke execute on function app.publish_itinerary(uuid, text, text) from public;
grant execute on function app.publish_itinerary(uuid, text, text) to callboard_api;

create or replace function app.list_itinerary_versions(itinerary uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.read_itinerary_part('itineraries', itinerary);
  return (
    select (200, json_build_object('items', coalesce(json_agg(json_build_object('number', v.number, 'note', v.note,
      'published_by', v.published_by, 'published_at', v.published_at) order by v.number desc), '[]'), 'next_cursor', null), null, null)::app.answer
    from app.itinerary_versions v
    where v.organization_id = app.current_org() and v.itinerary_id = itinerary and v.deleted_at is null);
end
$$;
comment on function app.list_itinerary_versions(uuid) is 'The versions of an itinerary, newest first. PT403, PT404.';
revoke execute on function app.list_itinerary_versions(uuid) from public;
grant execute on function app.list_itinerary_versions(uuid) to callboard_api;

create or replace function app.read_itinerary_version(itinerary uuid, wanted integer default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  v app.itinerary_versions;
begin
  perform app.require('itineraries.read');
  select * into v from app.itinerary_versions x
  where x.organization_id = app.current_org() and x.itinerary_id = itinerary and x.number = coalesce(wanted, x.number) and x.deleted_at is null
  order by x.number desc limit 1;
  if v.number is null then
    perform app.refuse(404, 'not_found');
  end if;
  return (
    select (200, json_build_object('number', v.number, 'note', v.note, 'published_by', v.published_by, 'published_at', v.published_at,
      'itinerary', v.body,
      'days', coalesce(json_agg(e.body order by e.day_on) filter (where e.kind = 'day'), '[]'),
      'items', coalesce(json_agg(e.body order by e.day_on, e.starts_at nulls first, e.title, e.id) filter (where e.kind = 'item'), '[]'),
      'segments', coalesce(json_agg(e.body order by e.starts_at, e.id) filter (where e.kind = 'segment'), '[]'),
      'lodgings', coalesce(json_agg(e.body order by e.first_on, e.title, e.id) filter (where e.kind = 'lodging'), '[]')), null, null)::app.answer
    from app.itinerary_entries e
    where e.organization_id = v.organization_id and e.itinerary_id = v.itinerary_id and e.number = v.number);
end
$$;
comment on function app.read_itinerary_version(uuid, integer) is
  'A published version, or the last one, with all in it that is for the member. PT403, PT404.';
revoke execute on function app.read_itinerary_version(uuid, integer) from public;
grant execute on function app.read_itinerary_version(uuid, integer) to callboard_api, callboard_definer;

create or replace function app.read_day_sheet(itinerary uuid, sheet_on date) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  head app.answer := app.read_itinerary_part('itineraries', itinerary);
  answer app.answer;
begin
  select 200, json_build_object(
    'itinerary', head.body,
    'day', (select d.body || jsonb_build_object('show', (
        select json_build_object('id', s.id, 'title', s.title, 'status', s.status, 'venue_name', v.name, 'venue_city', v.city,
          'doors_time', to_char(s.doors_time, 'HH24:MI'), 'start_time', to_char(s.start_time, 'HH24:MI'), 'curfew_time', to_char(s.curfew_time, 'HH24:MI'))
        from app.shows s left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
        where s.organization_id = d.organization_id and s.id = (d.body ->> 'show_id')::uuid and s.deleted_at is null))),
    'items', coalesce((select json_agg(e.body order by e.starts_at nulls first, e.title, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'item' and e.day_on = sheet_on), '[]'),
    'segments', coalesce((select json_agg(e.body order by e.starts_at, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'segment' and sheet_on between e.first_on and e.last_on), '[]'),
    'lodgings', coalesce((select json_agg(e.body order by e.title, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'lodging' and sheet_on between e.first_on and e.last_on + 1), '[]')),
    null, null into answer
  from app.itinerary_plan d
  where d.organization_id = app.current_org() and d.itinerary_id = itinerary and d.kind = 'day' and d.day_on = sheet_on;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_day_sheet(uuid, date) is
  'All of one day that is for the member: the draft if they plan, else what was published last. The show is as it is now. PT403, PT404.';
revoke execute on function app.read_day_sheet(uuid, date) from public;
grant execute on function app.read_day_sheet(uuid, date) to callboard_api;
--! EndIncluded itinerary_publishing.sql
--! Included calendar.sql
-- The calendar: shows, and what is on itineraries, as far as the member sees each of them.

create or replace view app.calendar_entries with (security_invoker = true) as
  select s.organization_id, 'show' as kind, s.id, null::uuid as itinerary_id, s.title, nullif(concat_ws(', ', v.name, v.city), '') as location,
    s.artist as detail, s.show_on as first_on, s.show_on as last_on,
    case when v.id is not null then s.show_on + s.start_time end as local_start,
    -- A curfew at or before the start is on the next day.
    case when v.id is not null and s.start_time is not null then s.show_on + (s.curfew_time <= s.start_time)::integer + s.curfew_time end as local_end,
    v.time_zone as start_zone, v.time_zone as end_zone,
    (s.show_on + s.start_time) at time zone v.time_zone as starts_at,
    case when s.start_time is not null then (s.show_on + (s.curfew_time <= s.start_time)::integer + s.curfew_time) at time zone v.time_zone end as ends_at,
    case s.status when 'cancelled' then 'cancelled' when 'confirmed' then 'confirmed' when 'played' then 'confirmed'
      when 'settled' then 'confirmed' else 'tentative' end as status,
    s.version, s.updated_at
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
  where s.deleted_at is null
  union all
  select e.organization_id, e.kind, e.id, e.itinerary_id, e.title, e.location, e.detail, e.first_on, e.last_on, e.local_start, e.local_end,
    e.start_zone, e.end_zone, e.starts_at, e.ends_at, case when e.is_confirmed then 'confirmed' else 'tentative' end, e.version, e.updated_at
  from app.itinerary_plan e
  where e.kind <> 'day';
comment on view app.calendar_entries is 'Shows, and items, segments and lodgings of itineraries, as the member sees them; without local_start all day, from first_on to last_on.';
grant select on app.calendar_entries to callboard_api, callboard_definer;

create or replace function app.read_calendar(first_day date default null, last_day date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := coalesce(app.org_if('itineraries.read'), app.require('shows.read'));
  most constant integer := 5000;
  from_on date := coalesce(first_day, last_day - 30, (now() at time zone 'UTC')::date);
  to_on date := coalesce(last_day, from_on + 30);
  items json;
begin
  if to_on < from_on or to_on - from_on > 366 then
    perform app.refuse(422, 'calendar_range', 'A calendar has 1 to 367 days.');
  end if;
  select coalesce(json_agg(json_build_object(
      'kind', c.kind, 'id', c.id, 'itinerary_id', c.itinerary_id, 'title', c.title, 'location', c.location, 'status', c.status,
      'is_all_day', c.local_start is null, 'starts_on', c.first_on, 'start_time', to_char(c.local_start, 'HH24:MI'),
      'time_zone', c.start_zone, 'starts_at', c.starts_at,
      'ends_on', coalesce(c.local_end::date, c.last_on), 'end_time', to_char(c.local_end, 'HH24:MI'),
      'end_time_zone', c.end_zone, 'ends_at', c.ends_at)
    order by c.first_on, c.starts_at nulls first, c.title, c.id), '[]') into items
  from (
    select * from app.calendar_entries x
    where x.organization_id = organization and x.first_on <= to_on and x.last_on >= from_on
    limit most + 1) c;
  if json_array_length(items) > most then
    perform app.refuse(422, 'calendar_range', format('There are more than %s entries: ask for fewer days.', most));
  end if;
  return (200, json_build_object('items', items, 'next_cursor', null), null, null)::app.answer;
end
$$;
comment on function app.read_calendar(date, date) is
  'All that happens from one day (today) to another (30 days later), both included, and that the member may see. PT403 without both permissions, PT422 calendar_range.';
revoke execute on function app.read_calendar(date, date) from public;
grant execute on function app.read_calendar(date, date) to callboard_api;
--! EndIncluded calendar.sql
--! Included calendar_feeds.sql
-- Calendars that calendar programs subscribe to. Who has the secret of a feed reads the calendar of
-- the member who made it, as that member sees it now, and nothing else.

create table if not exists app.calendar_feeds (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  name text not null constraint calendar_feeds_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  secret_hash bytea not null,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  primary key (organization_id, id)
);
-- Not unique: a hash of 256 random bits needs no guard, and a unique one would tell who has it.
create index if not exists calendar_feeds_secret_hash_idx on app.calendar_feeds (secret_hash) where revoked_at is null;
create index if not exists calendar_feeds_user_id_idx on app.calendar_feeds (organization_id, user_id, id) where revoked_at is null;
alter table app.calendar_feeds alter column name set statistics 0;

alter table app.calendar_feeds enable row level security;
alter table app.calendar_feeds force row level security;

drop policy if exists select_self on app.calendar_feeds;
create policy select_self on app.calendar_feeds for select to callboard_api
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
drop policy if exists select_definer on app.calendar_feeds;
create policy select_definer on app.calendar_feeds for select to callboard_definer using (true);
drop policy if exists insert_definer on app.calendar_feeds;
create policy insert_definer on app.calendar_feeds for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
drop policy if exists update_definer on app.calendar_feeds;
create policy update_definer on app.calendar_feeds for update to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));

grant select (organization_id, id, user_id, name, created_at, revoked_at) on app.calendar_feeds to callboard_api;
grant select, insert (name, secret_hash), update (revoked_at) on app.calendar_feeds to callboard_definer;

comment on table app.calendar_feeds is 'Subscriptions of calendar programs; each member sees their own.';
comment on column app.calendar_feeds.secret_hash is 'SHA-256 of the secret in the feed''s address; granted to no login.';

select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}');

create or replace view app.calendar_feed_list with (security_invoker = true) as
  select f.organization_id, f.id, f.user_id, f.created_at,
    json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at) as body
  from app.calendar_feeds f
  where f.revoked_at is null;
comment on view app.calendar_feed_list is 'The live feeds of the signed-in user in the organization.';
grant select on app.calendar_feed_list to callboard_api;

create or replace function app.list_calendar_feeds() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(f.body order by f.id), '[]'), 'next_cursor', null), null::text, null::text
  from app.calendar_feed_list f
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id();
end;
comment on function app.list_calendar_feeds() is 'One''s own feeds in the organization.';
revoke execute on function app.list_calendar_feeds() from public;
grant execute on function app.list_calendar_feeds() to callboard_api;

create or replace function app.create_calendar_feed(feed_name text, hash bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f app.calendar_feeds;
begin
  if app.current_org() is null then
    perform app.refuse(401, 'session_unknown');
  elsif app.org_if('itineraries.read') is null then
    perform app.require('shows.read');
  end if;
  -- A superadmin is no member, and a feed is one's own.
  if not exists (select from app.memberships m where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Feeds are for members.');
  end if;
  insert into app.calendar_feeds as x (name, secret_hash) values (feed_name, hash) returning x.* into f;
  -- made_with tells the server whether the secret that it has made is the one that counts, or the request was repeated.
  return (201, json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at, 'made_with', encode(sha256(f.secret_hash), 'hex')),
    null, '/api/calendar-feeds/' || f.id)::app.answer;
end
$$;
comment on function app.create_calendar_feed(text, bytea) is
  'A feed of the member''s own calendar, for whoever has the secret of which this is the SHA-256. PT403 for who sees no calendar.';
alter function app.create_calendar_feed(text, bytea) owner to callboard_definer;
revoke execute on function app.create_calendar_feed(text, bytea) from public;
grant execute on function app.create_calendar_feed(text, bytea) to callboard_api;

create or replace function app.revoke_calendar_feed(feed uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  update app.calendar_feeds f set revoked_at = statement_timestamp()
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id() and f.id = feed and f.revoked_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_calendar_feed(uuid) is 'Ends one of one''s own feeds, for good. PT404.';
alter function app.revoke_calendar_feed(uuid) owner to callboard_definer;
revoke execute on function app.revoke_calendar_feed(uuid) from public;
grant execute on function app.revoke_calendar_feed(uuid) to callboard_api;

-- The second door besides app.enter, and a narrower one.
create or replace function app.enter_calendar_feed(secret text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f record;
begin
  -- PostgreSQL lets no transaction out of being read-only, so whatever runs in this one changes nothing.
  if not current_setting('transaction_read_only')::boolean then
    raise exception 'a calendar feed is read in a transaction that can only read';
  end if;
  select x.id, x.user_id, x.organization_id, m.role into f
  from app.calendar_feeds x
  join app.memberships m on m.organization_id = x.organization_id and m.user_id = x.user_id and m.deleted_at is null
  join app.organizations o on o.id = x.organization_id and o.deleted_at is null
  where x.secret_hash = app_private.digest(secret) and x.revoked_at is null;
  if f.id is null then
    perform app.refuse(404, 'not_found', 'There is no such calendar, or not any more.');
  end if;
  perform app_private.set_context(f.user_id, f.id, f.organization_id, f.role, array(
    select p from unnest(app_private.effective_permissions(f.organization_id, f.user_id, f.role)) p
    where p in ('organization.read', 'shows.read', 'itineraries.read', 'itineraries.write')));
end
$$;
comment on function app.enter_calendar_feed(text) is
  'Opens this transaction, which must be read-only, for the member who made the feed with this secret, with no permission but those that decide about the calendar and its name. PT404 if the feed, the membership or the organization is gone.';
alter function app.enter_calendar_feed(text) owner to callboard_definer;
revoke execute on function app.enter_calendar_feed(text) from public;
grant execute on function app.enter_calendar_feed(text) to callboard_api;

create or replace function app.read_calendar_feed(secret text) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 5000;
  today date := (now() at time zone 'UTC')::date;
  organization uuid;
  body json;
begin
  perform app.enter_calendar_feed(secret);
  organization := coalesce(app.org_if('itineraries.read'), app.require('shows.read'));
  select json_build_object(
    'name', (select o.name from app.organizations o where o.id = organization),
    'entries', coalesce(json_agg(json_build_object(
      'kind', c.kind, 'id', c.id, 'title', c.title, 'location', c.location, 'detail', c.detail, 'status', c.status,
      'first_on', c.first_on, 'last_on', c.last_on, 'local_start', c.local_start, 'local_end', c.local_end,
      'start_zone', c.start_zone, 'end_zone', c.end_zone, 'starts_at', c.starts_at, 'ends_at', c.ends_at,
      'version', c.version, 'updated_at', c.updated_at)
      order by c.first_on, c.starts_at nulls first, c.id), '[]')) into body
  from (
    select * from app.calendar_entries x
    where x.organization_id = organization and x.first_on <= today + 400 and x.last_on >= today - 100
    order by x.first_on, x.id
    limit most) c;
  return (200, body, '"' || ('x' || left(md5(body::text), 15))::bit(60)::bigint || '"', null)::app.answer;
end
$$;
comment on function app.read_calendar_feed(text) is
  'The calendar of the member who made the feed with this secret, from 100 days ago to 400 days from now and at most 5000 entries, and an ETag of its content. PT404, PT403 if the member sees no calendar any more.';
revoke execute on function app.read_calendar_feed(text) from public;
grant execute on function app.read_calendar_feed(text) to callboard_api;
--! EndIncluded calendar_feeds.sql
--! Included deletion_purge.sql
-- The end of what was deleted: a deletion that is older than its organization's retention is deleted
-- for good, all its rows at once or none. A deleted organization goes with everything that it has.
-- What stays of it is its event log with its seals and its retention, and its slugs, which must never
-- lead to another one.
--
-- The purge works in the context of one organization at a time, so the policies hold it there. Like
-- deletions.sql it takes every table that has `deletion_id`; this is the last file, so that what the
-- tables before it need for that is given to all of them.

do $$
declare
  t record;
begin
  for t in select d.marked, d.organization_column from app_private.deletion_tables d loop
    execute format('drop policy if exists purge_definer on %s', t.marked);
    -- No retention is shorter than a day.
    execute format(
      'create policy purge_definer on %s for delete to callboard_definer
       using (%I = (select app.current_org()) and deleted_at < now() - interval ''1 day'')', t.marked, t.organization_column);
    execute format('grant delete on %s to callboard_definer', t.marked);
  end loop;
end
$$;

create or replace function app_private.due_deletions(behind jsonb, at_most integer)
returns table (organization_id uuid, deletion_id uuid, deleted_at timestamptz, marked regclass[])
language plpgsql stable
set search_path = ''
as $$
begin
  return query execute (
    select format(
      'select m.organization_id, m.deletion_id, max(m.deleted_at), array_agg(distinct m.marked)
       from (%s) m left join app.deletion_retentions r on r.organization_id = m.organization_id
       where ($1 is null or m.organization_id >= ($1 ->> 0)::uuid)
         and m.organization_id not in (select h.organization_id from app.legal_holds h where h.released_at is null)
       group by m.organization_id, m.deletion_id, r.deleted_days
       having max(m.deleted_at) < now() - make_interval(days => coalesce(r.deleted_days, 30))
         and ($1 is null or (m.organization_id, max(m.deleted_at), m.deletion_id) > (($1 ->> 0)::uuid, ($1 ->> 1)::timestamptz, ($1 ->> 2)::uuid))
       order by 1, 3, 2 limit $2',
      string_agg(format('select t.%I as organization_id, t.deletion_id, t.deleted_at, %L::regclass as marked from %s t where t.deletion_id is not null',
        d.organization_column, d.marked, d.marked), ' union all '))
    from app_private.deletion_tables d)
  using behind, at_most;
end
$$;
comment on function app_private.due_deletions(jsonb, integer) is
  'The deletions whose time is over, by organization and age, behind [organization, time, deletion]; and which tables have rows of each. Not of an organization that is held.';
alter function app_private.due_deletions(jsonb, integer) owner to callboard_definer;
revoke execute on function app_private.due_deletions(jsonb, integer) from public;

create or replace function app_private.purge_deletion(organization uuid, deletion uuid, marked regclass[]) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  edge record;
  part regclass;
  is_needed boolean;
  gone bigint;
begin
  -- Until the end of the transaction nobody can place a hold: who does waits, and then finds it done.
  perform from app.organizations o where o.id = organization for share;
  if app_private.is_held(organization) then
    return 0;
  end if;
  if 'app.organizations'::regclass = any (marked) then
    perform from app.organizations o where o.id = organization and o.deletion_id = deletion for update nowait;
    -- Everything else goes along the foreign keys.
    delete from app.organizations o where o.id = organization and o.deletion_id = deletion;
    get diagnostics gone = row_count;
    return gone;
  end if;
  -- Who restores it at this moment has locked a row of it. Waiting with the others in hand could block both.
  foreach part in array marked loop
    execute format('select from %s t where t.organization_id = $1 and t.deletion_id = $2 for update nowait', part)
    using organization, deletion;
  end loop;
  -- Their parent would take them along. What refers to it otherwise, PostgreSQL itself protects.
  for edge in select * from app_private.deletion_edges e where e.parent = any (marked) and e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.organization_id = $1 and p.deletion_id = $2 and c.deletion_id is distinct from $2)',
      edge.child, edge.parent, edge.condition) into is_needed using organization, deletion;
    if is_needed then
      raise foreign_key_violation using message = 'Something that is not deleted with it belongs to it.', constraint = edge.name;
    end if;
  end loop;
  -- One statement, at whose end the foreign keys are checked: no order is needed, whatever refers to what.
  execute (
    select format('with %s select %s',
      string_agg(format('d%s as (delete from %s t where t.organization_id = $1 and t.deletion_id = $2 returning 1)', m.n, m.t), ', '),
      string_agg(format('(select count(*) from d%s)', m.n), ' + '))
    from unnest(marked) with ordinality m (t, n))
  into gone using organization, deletion;
  return gone;
end
$$;
comment on function app_private.purge_deletion(uuid, uuid, regclass[]) is
  'Deletes the rows of a deletion in these tables for good, in the organization''s context; says how many, for a whole organization one. Fails with foreign_key_violation if something else refers to them, and with lock_not_available if somebody is at work on them.';
alter function app_private.purge_deletion(uuid, uuid, regclass[]) owner to callboard_definer;
revoke execute on function app_private.purge_deletion(uuid, uuid, regclass[]) from public;

create or replace function app.purge_deleted(behind jsonb default null, at_most integer default 1000) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
  began timestamptz := clock_timestamp();
  due record;
  seen integer := 0;
  gone bigint;
  -- deletions, rows, organizations, busy, kept, failed
  n bigint[] := '{0,0,0,0,0,0}';
  violated text;
  because jsonb := '[]';
  next jsonb;
begin
  for due in select * from app_private.due_deletions(behind, at_most) loop
    seen := seen + 1;
    perform app_private.set_context(null, null, due.organization_id, 'purge');
    begin
      gone := app_private.purge_deletion(due.organization_id, due.deletion_id, due.marked);
      if 'app.organizations'::regclass = any (due.marked) then
        n[3] := n[3] + gone;
      elsif gone > 0 then
        n[1] := n[1] + 1;
        n[2] := n[2] + gone;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        n[4] := n[4] + 1;
      when foreign_key_violation then
        n[5] := n[5] + 1;
        get stacked diagnostics violated = constraint_name;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'deletion_id', due.deletion_id, 'kept_by', violated);
      when others then
        n[6] := n[6] + 1;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'deletion_id', due.deletion_id, 'failed_with', sqlerrm);
    end;
    -- The sealer of events waits for the end of this transaction.
    if seen = at_most or clock_timestamp() > began + interval '2 seconds' then
      next := jsonb_build_array(due.organization_id, due.deleted_at, due.deletion_id);
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('deletions', n[1], 'rows', n[2], 'organizations', n[3], 'busy', n[4], 'kept', n[5], 'failed', n[6],
    'because', because, 'next', next);
end
$$;
comment on function app.purge_deleted(jsonb, integer) is
  'Deletes for good what was deleted longer ago than its organization keeps it; a part of it, about two seconds long: to go on, call it with next, until that is null. Says how many deletions with how many rows and how many organizations are gone, how many were busy, were kept because something refers to them, or failed, and why.';
alter function app.purge_deleted(jsonb, integer) owner to callboard_definer;
revoke execute on function app.purge_deleted(jsonb, integer) from public;
grant execute on function app.purge_deleted(jsonb, integer) to callboard_worker;
--! EndIncluded deletion_purge.sql
