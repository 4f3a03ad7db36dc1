-- After a restore (`npm run restored`, as the migrator): without a file that says what has ended since the copy was made
-- (restored_ended.sql), everything ends that is valid without a password: what docs/explain/isolation.md lists as
-- outliving a request.
--
-- These run with the rights of the migrator. The definer's policies change feeds, invitations and BI credentials only in
-- the context of their member, who would then be the one who did it in the event log.

select app_private.set_policy('app.calendar_feeds', 'update_owner', 'callboard_owner', 'true');
select app_private.set_policy('app.invitations', 'update_owner', 'callboard_owner', 'true');
select app_private.set_policy('app.bi_credentials', 'update_owner', 'callboard_owner', 'true');

create or replace function app_private.end_mailed() returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  ended jsonb;
begin
  with links as (
    delete from app_private.email_tokens e where e.used_at is null and e.expires_at > now() returning 1),
  -- Most have been sent since, and the links in them have ended.
  mails as (
    update app_private.mails m set failed_at = now(), last_error = 'The database was restored.'
    where m.sent_at is null and m.failed_at is null returning 1)
  select jsonb_build_object('links', (select count(*) from links), 'mails', (select count(*) from mails)) into ended;
  return ended;
end
$$;
comment on function app_private.end_mailed() is 'Ends the links in mails to users, and abandons waiting mails. Returns how many of each.';

create or replace function app_private.end_access() returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  ended jsonb;
begin
  -- Access tokens, refresh tokens and links to files end with their session.
  with sessions as (
    update app.sessions s set revoked_at = now(), revoked_because = 'revoked' where s.revoked_at is null and s.expires_at > now() returning 1),
  invitations as (
    update app.invitations i set deleted_at = now(), deletion_id = app.uuid_v7()
    where i.accepted_at is null and i.deleted_at is null and i.expires_at > now() returning 1),
  feeds as (
    update app.calendar_feeds f set revoked_at = now() where f.revoked_at is null returning 1),
  -- Expired, not revoked: its owner may rotate it. Its role is left to app.reconcile_bi_logins.
  logins as (
    update app.bi_credentials c set expires_at = now() where c.revoked_at is null and c.expires_at > now() returning 1),
  grants as (
    select app_private.revoke_support(g.id) from app_private.support_grants g where g.revoked_at is null and g.expires_at > now())
  select jsonb_build_object('sessions', (select count(*) from sessions),
    'invitations', (select count(*) from invitations), 'calendar_feeds', (select count(*) from feeds),
    'bi_logins', (select count(*) from logins), 'superadmin_grants', (select count(*) from grants))
  into ended;
  return ended || app_private.end_mailed();
end
$$;
comment on function app_private.end_access() is
  'Ends all sessions, mailed links, invitations, calendar feeds, BI logins and grants of superadmins, and abandons waiting mails. Returns how many of each.';

create or replace function app_private.settle_restore(has_lost boolean, recorded jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  until timestamptz;
  ended jsonb := '{}';
begin
  -- Where the copy is old, the log has no partition for today.
  perform app.maintain_event_partitions();
  until := (select max(e.occurred_at) from app.event_log e);
  if has_lost then
    -- Before anything else is logged: the last event before the gap is the one that precedes it.
    perform app_private.log_event(o.id, 'database.restore', 'database', null, jsonb_build_object('new', jsonb_build_object('restored_until', until)))
    from app.organizations o where o.deleted_at is null;
    if recorded is null then
      ended := app_private.end_access();
    else
      -- Members before their organization, which takes its members along and brings them back.
      ended := app_private.end_recorded(recorded) || app_private.end_mailed() || app_private.lower_members(recorded)
        || app_private.lower_roles(recorded) || app_private.purge_recorded(recorded) || app_private.erase_recorded(recorded);
    end if;
  end if;
  perform app_private.accept_origin();
  -- Roles are not in a dump: these are those of this server.
  perform app_private.accept_passwords();
  return ended || jsonb_build_object('until', until);
end
$$;
comment on function app_private.settle_restore(boolean, jsonb) is
  'Makes a copy of the past fit to be served. If it has lost anything, notes the gap in every organization''s event log and ends what is recorded as ended since or, without a record (NULL), all access. Returns what ended, and the time of the last event before.';
