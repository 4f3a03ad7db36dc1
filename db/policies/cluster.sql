-- What no schema file or migration defines, because it belongs to the server: what db/roles.sql and db/database.sql
-- make. Each row is one fact, as in database.sql. It can be read by any login, and runs on PostgreSQL 15 to 18.
--
-- The logins of BI tools are omitted: they come and go, and a rule of src/policies/ says what each may be.

with
ours as (select * from pg_roles where rolname ~ '^callboard_'),
bi as (select * from pg_roles where rolname ~ '^bi_[0-9a-f]{24}$'),
-- Whoever a privilege on an object of the server may be granted to: 0 is PUBLIC.
grantees (oid, name) as (select oid, rolname::text from ours union all select 0, 'public'),

-- A role's options are those of its memberships since PostgreSQL 16; before, they were the role's own.
memberships (roleid, member, option) as (
  select m.roleid, m.member, o.option
  from pg_auth_members m join pg_roles r on r.oid = m.member,
    lateral (select to_jsonb(m) as granted) j,
    -- Who may grant a role may grant it to themselves with the other options.
    lateral (values
      ('admin', m.admin_option),
      ('inherit', not m.admin_option and coalesce((j.granted ->> 'inherit_option')::boolean, r.rolinherit)),
      ('set', not m.admin_option and coalesce((j.granted ->> 'set_option')::boolean, true))) as o (option, is_on)
  where o.is_on and (m.roleid in (select oid from ours) or m.member in (select oid from ours))
    and m.member not in (select oid from bi)
    -- PostgreSQL 15 grants the administrator of the BI logins no membership in them, 16 does.
    and m.roleid not in (select oid from bi)
),

-- What db/database.sql takes from PUBLIC, by name and not by signature, which differs between versions.
hardenings (name, is_lost) as (
  select f.what || ' closed to public', exists (
    select from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ f.pattern and has_function_privilege('public', p.oid, 'execute'))
  from (values
    ('large objects', '^(lo_|lowrite|loread)'),
    ('advisory locks', '^pg_(try_)?advisory_'),
    ('signals to backends', '^pg_(cancel|terminate)_backend$'),
    ('messages in the write-ahead log', '^pg_logical_emit_message$'),
    ('names of prepared statements and cursors', '^pg_(prepared_statement|cursor)$'),
    ('who is connected', '^pg_stat_get_(activity|backend_idset|backend_pid|backend_userid)$')) as f (what, pattern)
  union all
  select c.relname || ' closed to public', has_table_privilege('public', c.oid, 'select')
  from pg_class c
  where c.relnamespace = 'pg_catalog'::regnamespace and c.relname in ('pg_prepared_statements', 'pg_cursors', 'pg_stat_activity')
  union all
  select 'schema public closed to public', has_schema_privilege('public', 'public', 'usage') or has_schema_privilege('public', 'public', 'create')
  where to_regnamespace('public') is not null
  union all
  select 'uuids compared before other conditions', (select procost > 0.001 from pg_proc where oid = 'pg_catalog.uuid_eq(uuid,uuid)'::regprocedure)
  union all
  select 'passwords of logins watched', not has_column_privilege(oid, 'pg_catalog.pg_authid', 'rolpassword', 'select') from ours where rolname = 'callboard_bi_admin'
),

facts (subject, value) as (
  select format('role %s attribute %s', r.rolname, a.name), 'on'
  from ours r, lateral (values
    ('superuser', r.rolsuper), ('bypassrls', r.rolbypassrls), ('createrole', r.rolcreaterole), ('createdb', r.rolcreatedb),
    ('replication', r.rolreplication), ('login', r.rolcanlogin), ('inherit', r.rolinherit)) as a (name, is_on)
  where a.is_on
  union all
  select format('role %s connection limit', rolname), rolconnlimit::text from ours where rolconnlimit <> -1
  union all
  select format('role %s valid until', rolname), rolvaliduntil::text from ours where rolvaliduntil <> 'infinity'
  union all
  select format('role %s member of %s', m.member::regrole, m.roleid::regrole), string_agg(distinct m.option, ', ' order by m.option)
  from memberships m group by m.member, m.roleid
  union all
  select format('role %s setting %s', coalesce(nullif(s.setrole, 0)::regrole::text, 'of every role'), split_part(v, '=', 1)), substr(v, strpos(v, '=') + 1)
  from pg_db_role_setting s cross join unnest(s.setconfig) v
  where s.setdatabase = 0 and (s.setrole = 0 or s.setrole in (select oid from ours))
  union all
  select format('parameter %s grants to %s', p.parname, g.name), string_agg(lower(a.privilege_type), ', ' order by a.privilege_type)
  from pg_parameter_acl p cross join aclexplode(p.paracl) a join grantees g on g.oid = a.grantee
  group by p.parname, g.name
  union all
  select 'this database owner', datdba::regrole::text from pg_database where datname = current_database()
  union all
  select format('%s grants to %s', case d.datname when current_database() then 'this database' else 'other database ' || d.datname end, g.name),
    string_agg(lower(a.privilege_type), ', ' order by a.privilege_type)
  from pg_database d cross join aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a join grantees g on g.oid = a.grantee
  where d.datallowconn and (d.datname <> current_database() or g.oid <> d.datdba)
  group by d.datname, g.name
  union all
  select 'hardening ' || name, case when is_lost then 'lost' else 'present' end from hardenings
)
select subject || ': ' || value as fact from facts
