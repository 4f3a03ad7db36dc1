--! Previous: sha1:f702452a9ae2fdad754adc5ff7d1631692ab1d54
--! Hash: sha1:e3318317bbf170789388905923cb46fed6dd9da6
--! Message: validate what is new

alter table app.bi_credentials validate constraint bi_credentials_held_by_fkey;
alter table app.invitations validate constraint invitations_void_because_known;
-- Rows of before that break a rule stay as they are, and with them the constraint NOT VALID: it holds for all others.
-- The audit says so until somebody has changed them and runs the statement.
do $$
declare
  c record;
begin
  for c in select x.conrelid::regclass as on_table, x.conname from pg_catalog.pg_constraint x
    where x.conname in ('venues_country_exists', 'shows_currency_exists', 'organizations_currency_exists', 'shows_text_visible', 'finance_records_text_visible')
  loop
    begin
      execute format('alter table %s validate constraint %I', c.on_table, c.conname);
    exception when foreign_key_violation or check_violation then
      raise warning '% stays NOT VALID: %', c.conname, sqlerrm;
    end;
  end loop;
end
$$;
-- Included organizations/invitations.sql
-- Invitations by mail. The secret of the link is made when the mail is sent (accounts/mails.sql), so presenting
-- it proves access to the mailbox. It works once, unless it has expired, been revoked or been sent again, and as long as
-- who sent it could still give the role: nobody who was removed can come back through a friend.

create table if not exists app.invitations (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  email text not null constraint invitations_email_format check (
    email = lower(email) and length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:].]+$'),
  role text not null constraint invitations_role_exists references app.roles (name),
  mail_id uuid not null,
  invited_by uuid not null references app.users (id),
  -- When invited_by sent it: at the beginning, or again; null for one of an earlier release.
  invited_at timestamptz default now(),
  void_because text constraint invitations_void_because_known check (void_because in ('inviter_removed', 'inviter_lost_permission')),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id)
);
-- Without grants: the definer's functions write. Invitations are accepted before membership begins, so they read all organizations.
select app_private.tenant_policies('app.invitations', reads => 'members.manage', inserts => 'members.manage', updates => 'members.manage',
  deletes => 'members.manage', definer => 'insert, update', known => '{role}');
grant select (organization_id, id, email, role, invited_by, expires_at, accepted_at, accepted_by, created_at, updated_at, version, deleted_at, deleted_by, deletion_id)
  on app.invitations to callboard_api;
grant select, insert, update on app.invitations to callboard_definer;
comment on table app.invitations is 'Invitations to join an organization; deleted_at marks revoked ones.';
comment on column app.invitations.invited_by is 'Who sent it last. Without them, or when they may not give the role any more, it is void.';
comment on column app.invitations.void_because is 'Why it was refused to somebody who tried to accept it, which ended it; sending it again revives it.';
comment on column app.invitations.mail_id is 'The newest mail with its link: those of earlier mails no longer work.';
select app_private.log_changes('app.invitations', 'invitation',
  '{"delete": "revoke", "accepted_at": "accept", "expires_at": "resend", "void_because": "void"}', leave_out => '{mail_id}');
-- EndIncluded organizations/invitations.sql
-- Included bi/bi_credentials.sql
-- BI tools connect directly to PostgreSQL, each with its own login that belongs to one organization.
-- What it sees depends on the login (session_user), never on a setting. Members manage the credential;
-- the role itself is created and dropped in bi_commands.sql and db/database.sql. Credentials are never
-- deleted, so that the list shows who could once read what.

create table if not exists app.bi_credentials (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint bi_credentials_name_length check (app.is_line(name, 200)),
  login text not null,
  connection_limit integer not null constraint bi_credentials_connection_limit_range check (connection_limit between 1 and 10),
  statement_timeout_seconds integer not null constraint bi_credentials_statement_timeout_range check (statement_timeout_seconds between 1 and 3600),
  expires_at timestamptz not null,
  -- NULL for a DBA.
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  rotated_at timestamptz,
  revoked_by uuid references app.users (id),
  revoked_at timestamptz,
  -- Who answers for it, and since when, if that is not who created it; the operator for one that a DBA rotated.
  held_by uuid references app.users (id),
  held_since timestamptz,
  held_by_operator boolean not null default false,
  primary key (organization_id, id),
  constraint bi_credentials_expiry_range check (expires_at - coalesce(rotated_at, created_at) between interval '0' and interval '731 days')
);
-- Without grants: the functions of bi_commands.sql write and check the permission.
select app_private.tenant_policies('app.bi_credentials', reads => 'bi.manage', inserts => 'bi.manage', updates => 'bi.manage',
  definer => 'insert, update');
grant select on app.bi_credentials to callboard_api, callboard_definer;
grant insert (id, name, login, connection_limit, statement_timeout_seconds, expires_at),
  update (expires_at, rotated_at, revoked_at, revoked_by, held_by, held_since, held_by_operator) on app.bi_credentials to callboard_definer;
comment on table app.bi_credentials is 'Database logins of BI tools: each reads the views of `analytics` for its organization until it is revoked or expires.';
comment on column app.bi_credentials.login is 'The PostgreSQL role. Its password is stored nowhere; PostgreSQL stores only its verifier.';
comment on column app.bi_credentials.created_by is 'The member who created it; null for a DBA.';
comment on column app.bi_credentials.held_by is 'The member who gave it its password last, or to whom it was handed over; null for who created it. It is worth nothing without them.';
select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');
select app_private.definer_table('app_private.bi_logins');
-- EndIncluded bi/bi_credentials.sql
