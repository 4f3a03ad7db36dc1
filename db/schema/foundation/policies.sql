-- What tables have in common, each in a single idempotent call. A call changes only what differs from what it states:
-- CREATE POLICY, DROP POLICY and ENABLE ROW LEVEL SECURITY take an exclusive lock even if nothing changes.

create or replace function app_private.force_rls(target regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if not (select c.relrowsecurity and c.relforcerowsecurity from pg_catalog.pg_class c where c.oid = target) then
    execute format('alter table %s enable row level security, force row level security', target);
  end if;
end
$$;
comment on function app_private.force_rls(regclass) is 'Row-level security for everybody, including the table''s owner.';

-- Normalizes a condition: PostgreSQL adds to the text of a policy when it prints it.
create or replace function app_private.plain_condition(condition text) returns text
language sql immutable parallel safe
set search_path = ''
return lower(regexp_replace(condition, ' AS \w+|::text|\s', '', 'g'));
comment on function app_private.plain_condition(text) is 'A condition in lower case without blanks, casts to text and column aliases, to tell whether two are the same.';

create or replace function app_private.set_policy(target regclass, policy text, who text, condition text, command text default null) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  -- The name of a policy begins with its command.
  for_command text := coalesce(command, split_part(policy, '_', 1));
  present pg_catalog.pg_policy;
begin
  select * into present from pg_catalog.pg_policy p where p.polrelid = target and p.polname = policy;
  if present.polcmd = (case for_command when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' when 'delete' then 'd' else '*' end)::"char"
    and present.polpermissive
    and array(select unnest(present.polroles) order by 1) = array(select r::regrole::oid from regexp_split_to_table(who, ', *') r order by 1)
    and app_private.plain_condition(concat_ws(' and ', pg_get_expr(present.polqual, target), pg_get_expr(present.polwithcheck, target)))
      in (app_private.plain_condition(condition), app_private.plain_condition('(' || condition || ')')) then
    return;
  end if;
  if present.oid is not null then
    execute format('drop policy %I on %s', policy, target);
  end if;
  execute format('create policy %I on %s for %s to %s %s (%s)', policy, target, for_command, who,
    case for_command when 'insert' then 'with check' else 'using' end, condition);
end
$$;
comment on function app_private.set_policy(regclass, text, text, text, text) is
  'Creates a policy, named <command>_<who>, or changes it to match. A condition not written as PostgreSQL prints it merely causes the policy to be recreated.';

create or replace function app_private.set_trigger(target regclass, trigger_name text, definition text, is_always boolean default false) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  wanted text := format('create trigger %I %s', trigger_name, regexp_replace(definition, '\s+', ' ', 'g'));
  present pg_catalog.pg_trigger;
begin
  select * into present from pg_catalog.pg_trigger t where t.tgrelid = target and t.tgname = trigger_name;
  if present.oid is null or lower(pg_get_triggerdef(present.oid)) <> lower(wanted) then
    execute regexp_replace(wanted, '^create', 'create or replace');
  end if;
  if is_always and present.tgenabled is distinct from 'A' then
    execute format('alter table %s enable always trigger %I', target, trigger_name);
  end if;
end
$$;
comment on function app_private.set_trigger(regclass, text, text, boolean) is
  'Creates a trigger, or changes it to match its definition: what CREATE TRIGGER says after the name, as PostgreSQL prints it (`insert or delete or update`). is_always: also where other triggers rest, such as in a session that replays rows.';

create or replace function app_private.set_owner(relation regclass, owner regrole) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if (select c.relowner from pg_catalog.pg_class c where c.oid = relation) <> owner then
    execute format('alter table %s owner to %s', relation, owner);
  end if;
end
$$;
comment on function app_private.set_owner(regclass, regrole) is 'The owner of a table or view: changing it takes an exclusive lock even if nothing changes.';

create or replace function app_private.set_view(name text, query text) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  is_same boolean;
begin
  if to_regclass(name) is not null then
    execute format('create temporary view compared as %s', query);
    is_same := pg_get_viewdef('pg_temp.compared'::regclass) = pg_get_viewdef(name::regclass);
    drop view pg_temp.compared;
  end if;
  if is_same is not true then
    execute format('create or replace view %s as %s', name, query);
  end if;
end
$$;
comment on function app_private.set_view(text, text) is
  'Creates a view, for which CREATE OR REPLACE is a call, or changes it to match: replacing it takes an exclusive lock even if nothing changes.';

create or replace function app_private.reference_table(target regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.force_rls(target);
  perform app_private.set_policy(target, 'select_all', 'callboard_api, callboard_definer', 'true');
  perform app_private.set_policy(target, 'all_owner', 'callboard_owner', 'true');
  execute format('grant select on %s to callboard_api, callboard_definer', target);
end
$$;
comment on function app_private.reference_table(regclass) is 'A table whose rows belong to the schema and are the same for every organization: everybody reads it, and only a migration writes it.';

create or replace function app_private.definer_table(target regclass, commands text default 'select, insert, update, delete') returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.force_rls(target);
  perform app_private.set_policy(target, 'all_definer', 'callboard_definer', 'true');
  execute format('grant %s on %s to callboard_definer', commands, target);
end
$$;
comment on function app_private.definer_table(regclass, text) is 'A table for the definer''s functions, which see all of its rows and may run the given commands.';

create or replace function app_private.hide_statistics(target regclass, known text[] default '{}') returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  secret_column text;
begin
  for secret_column in
    select a.attname from pg_catalog.pg_attribute a
    where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attstattarget is distinct from 0
      and a.atttypid not in ('uuid'::regtype, 'boolean'::regtype, 'date'::regtype, 'time'::regtype, 'timestamptz'::regtype, 'bytea'::regtype)
      -- These have a few values that everybody knows.
      and a.attname not in ('status', 'country', 'currency', 'base_currency', 'payment_status', 'time_zone', 'version', 'revoked_because')
      and a.attname <> all (known)
  loop
    execute format('alter table %s alter column %I set statistics 0', target, secret_column);
  end loop;
end
$$;
comment on function app_private.hide_statistics(regclass, text[]) is
  'Keeps the planner from collecting statistics on texts and numbers that only one organization knows: EXPLAIN would reveal them to anybody. known: columns with a few values that everybody knows.';
