import type { Rule } from './rule.ts'

// With their functions a login leaves the database, reads files, or sees pages and statements of others.
const outward =
  "'dblink', 'postgres_fdw', 'file_fdw', 'adminpack', 'pageinspect', 'pg_walinspect', 'pg_buffercache', 'pg_cron', 'pg_net', 'http', 'lo', 'pg_surgery'"

/** What must be true of indexes, publications, extensions, passwords and how one logs in. */
export const rulesOfServers: Rule[] = [
  {
    id: 'fk-index',
    rule: 'a foreign key has an index of its own',
    class: 'to be reviewed',
    lets: 'Deleting one parent reads all rows of its organization, or of all.',
    offenders: `
      select format('%s on %s', c.conname, c.conrelid::regclass) as name
      from pg_constraint c join tables t on t.oid = c.conrelid
      where c.contype = 'f' and c.conparentid = 0 and not t.relispartition
        -- The organization comes first in every index, and is purged as a whole.
        and c.confrelid not in ('app.organizations'::regclass, 'app.users'::regclass) and c.confrelid not in (select oid from reference_tables)
        and not exists (select from pg_index i
          where i.indrelid = c.conrelid and i.indisvalid
            -- The organization and one more are enough to find few rows.
            and (i.indkey::int2[])[0:least(1, cardinality(c.conkey) - 1)] <@ c.conkey)`,
    broken: `drop index app.guests_organization_id_show_id_idx`,
  },
  {
    id: 'index-valid',
    rule: 'every index is valid, and every constraint is validated',
    class: 'to be reviewed',
    lets: 'What it should find or forbid is not found or forbidden for all rows.',
    offenders: `
      select i.indexrelid::regclass::text as name from pg_index i join tables t on t.oid = i.indrelid where not i.indisvalid
      union all
      select format('%s on %s', c.conname, c.conrelid::regclass) from pg_constraint c join tables t on t.oid = c.conrelid where not c.convalidated`,
    broken: `alter table app.shows add constraint shows_later check (title <> 'later') not valid`,
  },
  {
    id: 'publication-filter',
    rule: 'a publication filters the rows of an organization’s table',
    class: 'dangerous',
    lets: 'Whoever subscribes to it gets the rows of all organizations: row-level security does not apply.',
    offenders: `
      select format('%s: %I.%I', p.pubname, p.schemaname, p.tablename) as name from pg_publication_tables p
      where p.rowfilter is null and format('%I.%I', p.schemaname, p.tablename)::regclass in (select oid from tables where oid not in (select oid from reference_tables))`,
    broken: `create publication everything for table app.shows`,
  },
  {
    id: 'extension-function',
    rule: 'a login calls no function of an extension that connects elsewhere, reads files or pages, runs as its owner, or is written in an untrusted language',
    class: 'dangerous',
    lets: 'With it a login leaves the database and its policies: it connects as somebody else, reads files, or sees what others keep in memory.',
    offenders: `
      select format('%s of the extension %s', p.oid::regprocedure, e.extname) as name
      from pg_proc p
      join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
      join pg_extension e on e.oid = d.refobjid
      join pg_language l on l.oid = p.prolang
      where (e.extname in (${outward}) or p.prosecdef or not l.lanpltrusted and l.lanname not in ('internal', 'c', 'sql'))
        and p.prorettype not in ('index_am_handler'::regtype, 'language_handler'::regtype, 'fdw_handler'::regtype)
        and exists (select from logins where has_function_privilege(logins.oid, p.oid, 'execute') and has_schema_privilege(logins.oid, p.pronamespace, 'usage'))`,
    broken: `create extension dblink schema app`,
  },
  {
    id: 'extension-relation',
    rule: 'a login reads no table or view of an extension',
    class: 'dangerous',
    lets: 'What an extension keeps about all of the server, such as the statements of others, is read by logins.',
    offenders: `
      select format('%s of the extension %s', c.oid::regclass, e.extname) as name
      from pg_class c
      join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
      join pg_extension e on e.oid = d.refobjid
      where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and exists (select from logins where has_any_column_privilege(logins.oid, c.oid, 'select') and has_schema_privilege(logins.oid, c.relnamespace, 'usage'))`,
    broken: `create extension pg_stat_statements schema app`,
  },
  {
    id: 'bi-settings',
    rule: 'a BI login has the settings that app_private.make_bi_role gives it',
    class: 'to be reviewed',
    lets: 'Somebody with its password, or a DBA, has changed how it starts: it may write temporary tables, or run for as long as it likes.',
    offenders: `
      select format('%s: %s', r.rolname, v) as name
      from pg_db_role_setting s join pg_roles r on r.oid = s.setrole and r.rolname ~ '^bi_[0-9a-f]{24}$' cross join unnest(s.setconfig) v
      where v !~ '^(search_path=analytics|default_transaction_read_only=on|statement_timeout=\\d+s|idle_in_transaction_session_timeout=60s|lock_timeout=10s|work_mem=16MB|temp_file_limit=1GB)$'`,
    broken: `create role bi_0123456789abcdef01234567 login; alter role bi_0123456789abcdef01234567 set statement_timeout = 0`,
  },
  {
    id: 'password-scram',
    rule: 'a password is kept as SCRAM-SHA-256',
    class: 'to be reviewed',
    lets: 'Whoever sees the hash, in a backup for example, can log in with it, or guesses the password fast.',
    needs: 'superuser',
    offenders: `select rolname as name from pg_authid where rolname ~ '^(callboard_|bi_[0-9a-f]{24}$)' and rolpassword !~ '^SCRAM-SHA-256'`,
    broken: `set local password_encryption = 'md5'; alter role callboard_auditor password 'x'`,
  },
  {
    id: 'password-less',
    rule: 'a role that does not log in has no password',
    class: 'to be reviewed',
    lets: 'As soon as it may log in, somebody knows its password.',
    needs: 'superuser',
    offenders: `select rolname as name from pg_authid where rolname ~ '^callboard_' and not rolcanlogin and rolpassword is not null`,
    broken: `alter role callboard_exporter password 'x'`,
  },
]
