-- Everything that docs/reference/schema.md says about a database, as one JSON value.
--
-- Run it with an empty search_path, so that every name is printed with its schema. Nothing here
-- may depend on an oid or on the version of PostgreSQL (15 to 18).

with
schemas as (
  select oid, nspname as name from pg_namespace
  where nspname !~ '^pg_' and nspname not in ('information_schema', 'graphile_migrate', 'graphile_worker', 'public')
),
-- A partition is its table's storage: it is described with the table.
relations as (
  select c.*, s.name || '.' || c.relname as full_name
  from pg_class c join schemas s on s.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
),
tables as (select * from relations where relkind in ('r', 'p')),

columns as (
  select a.attrelid, jsonb_agg(jsonb_build_object(
    'name', a.attname,
    'type', replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz'),
    'isNullable', not a.attnotnull,
    'default', case
      when a.attidentity <> '' then 'identity'
      when a.attgenerated <> '' then 'generated as ' || pg_get_expr(d.adbin, d.adrelid)
      else pg_get_expr(d.adbin, d.adrelid) end,
    'comment', col_description(a.attrelid, a.attnum)) order by a.attnum) as list
  from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attnum > 0 and not a.attisdropped
  group by a.attrelid
),
constraints as (
  select c.conrelid, jsonb_agg(jsonb_build_object(
    'name', c.conname,
    'type', c.contype,
    'definition', pg_get_constraintdef(c.oid, true),
    'columns', (select jsonb_agg(a.attname order by k.ordinality)
      from unnest(c.conkey) with ordinality k (attnum, ordinality)
      join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum),
    'target', t.full_name,
    'comment', obj_description(c.oid, 'pg_constraint'))
    order by array_position(array['p', 'u', 'x', 'f', 'c'], c.contype::text), c.conname) as list
  from pg_constraint c left join relations t on t.oid = c.confrelid
  where c.contype in ('p', 'u', 'x', 'f', 'c') and c.conparentid = 0
  group by c.conrelid
),
indexes as (
  select i.indrelid, jsonb_agg(jsonb_build_object(
    'name', c.relname,
    'isUnique', i.indisunique,
    'definition', regexp_replace(pg_get_indexdef(c.oid), '^CREATE (UNIQUE )?INDEX \S+ ON (ONLY )?\S+ USING ', ''),
    'comment', obj_description(c.oid, 'pg_class')) order by c.relname) as list
  from pg_index i join pg_class c on c.oid = i.indexrelid
  where not exists (select from pg_constraint k where k.conindid = c.oid and k.contype in ('p', 'u', 'x'))
  group by i.indrelid
),
triggers as (
  select t.tgrelid, jsonb_agg(jsonb_build_object(
    'name', t.tgname,
    'event', substring(pg_get_triggerdef(t.oid, true) from '^CREATE (?:CONSTRAINT )?TRIGGER \S+ (.*?) ON '),
    'call', substring(pg_get_triggerdef(t.oid, true) from 'EXECUTE FUNCTION (.*)$'),
    'comment', coalesce(obj_description(t.oid, 'pg_trigger'), obj_description(t.tgfoid, 'pg_proc'))) order by t.tgname) as list
  from pg_trigger t where not t.tgisinternal
  group by t.tgrelid
),
policies as (
  select p.polrelid, jsonb_agg(jsonb_build_object(
    'name', p.polname,
    'command', case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'all' end,
    'roles', (select jsonb_agg(role order by role collate "C")
      from (select case r when 0 then 'PUBLIC' else r::regrole::text end as role from unnest(p.polroles) r) roles),
    'using', pg_get_expr(p.polqual, p.polrelid),
    'check', pg_get_expr(p.polwithcheck, p.polrelid))
    order by array_position(array['r', 'a', 'w', 'd', '*'], p.polcmd::text), p.polname) as list
  from pg_policy p group by p.polrelid
),
grants (name, comment, grantees) as (
  select c.full_name, obj_description(c.oid, 'pg_class'),
    (select jsonb_agg(distinct a.grantee::regrole::text collate "C") from aclexplode(c.relacl) a
     where a.privilege_type = 'SELECT' and a.grantee not in (0, c.relowner))
  from relations c where c.relkind in ('v', 'm')
),
functions as (
  select p.oid, s.name || '.' || p.proname as name
  from pg_proc p join schemas s on s.oid = p.pronamespace
  where exists (select from aclexplode(p.proacl) a where a.grantee = 'callboard_api'::regrole)
)
select jsonb_build_object(
  'tables', (select jsonb_agg(jsonb_build_object(
      'name', t.full_name,
      'comment', obj_description(t.oid, 'pg_class'),
      'partitionedBy', pg_get_partkeydef(t.oid),
      'columns', c.list,
      'constraints', coalesce(k.list, '[]'),
      'indexes', coalesce(i.list, '[]'),
      'triggers', coalesce(g.list, '[]'),
      'policies', coalesce(p.list, '[]')) order by t.full_name collate "C")
    from tables t join columns c on c.attrelid = t.oid
    left join constraints k on k.conrelid = t.oid left join indexes i on i.indrelid = t.oid
    left join triggers g on g.tgrelid = t.oid left join policies p on p.polrelid = t.oid),
  'views', (select jsonb_agg(jsonb_build_object('name', name, 'comment', comment, 'grantees', coalesce(grantees, '[]'))
    order by name collate "C") from grants),
  'functions', (select jsonb_agg(jsonb_build_object(
      'name', f.name,
      'signature', f.name || '(' || pg_get_function_arguments(f.oid) || ')',
      'result', pg_get_function_result(f.oid),
      'comment', obj_description(f.oid, 'pg_proc')) order by f.name collate "C", f.oid::regprocedure::text collate "C")
    from functions f)) as catalogue
