-- After a restore (`npm run restored`, as the migrator): nobody knows what has ended since the copy was made, so
-- everything ends that is valid without a password: what docs/explain/isolation.md lists as outliving a request.
--
-- These run with the rights of the migrator. The definer's policies change feeds, invitations and BI credentials only in
-- the context of their member, who would then be the one who did it in the event log.

select app_private.set_policy('app.calendar_feeds', 'update_owner', 'callboard_owner', 'true');
select app_private.set_policy('app.invitations', 'update_owner', 'callboard_owner', 'true');
select app_private.set_policy('app.bi_credentials', 'update_owner', 'callboard_owner', 'true');

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
  links as (
    delete from app_private.email_tokens e where e.used_at is null and e.expires_at > now() returning 1),
  invitations as (
    update app.invitations i set deleted_at = now(), deletion_id = app.uuid_v7()
    where i.accepted_at is null and i.deleted_at is null and i.expires_at > now() returning 1),
  feeds as (
    update app.calendar_feeds f set revoked_at = now() where f.revoked_at is null returning 1),
  -- Expired, not revoked: its owner may rotate it. Its role is left to app.reconcile_bi_logins.
  logins as (
    update app.bi_credentials c set expires_at = now() where c.revoked_at is null and c.expires_at > now() returning 1),
  grants as (
    select app_private.revoke_support(g.id) from app_private.support_grants g where g.revoked_at is null and g.expires_at > now()),
  -- Most have been sent since, and the links in them have ended.
  mails as (
    update app_private.mails m set failed_at = now(), last_error = 'The database was restored.'
    where m.sent_at is null and m.failed_at is null returning 1)
  select jsonb_build_object('sessions', (select count(*) from sessions), 'links', (select count(*) from links),
    'invitations', (select count(*) from invitations), 'calendar_feeds', (select count(*) from feeds),
    'bi_logins', (select count(*) from logins), 'superadmin_grants', (select count(*) from grants), 'mails', (select count(*) from mails))
  into ended;
  return ended;
end
$$;
comment on function app_private.end_access() is
  'Ends all sessions, mailed links, invitations, calendar feeds, BI logins and grants of superadmins, and abandons waiting mails. Returns how many of each.';

create or replace function app_private.settle_restore(has_lost boolean) returns jsonb
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
    ended := app_private.end_access();
  end if;
  perform app_private.accept_origin();
  return ended || jsonb_build_object('until', until);
end
$$;
comment on function app_private.settle_restore(boolean) is
  'Makes a copy of the past fit to be served. If it has lost anything, ends all access and notes the gap in every organization''s event log. Returns what ended, and the time of the last event before.';
