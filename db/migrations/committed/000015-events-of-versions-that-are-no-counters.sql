--! Previous: sha1:25031db5f3e3173dd1cda4a54c887135b031c0b4
--! Hash: sha1:f4288bc73c3af80c381e4c3bdbde540629fdc9c4
--! Message: events of versions that are no counters

-- Included audit/event_triggers.sql
select app_private.force_rls('app_private.event_nouns');
select app_private.set_policy('app_private.event_nouns', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.event_nouns', 'all_owner', 'callboard_owner', 'true');
-- Runs on every change, so it has few, small expressions: PostgreSQL prepares each one again in every transaction.
create or replace function app_private.tg__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  -- app_private.log_changes passes the arguments: resource, id column, organization column,
  -- verbs, columns to leave out.
  present jsonb := to_jsonb(coalesce(new, old));
  before jsonb;
  changes jsonb;
  verb text;
  c app_private.context;
begin
  if tg_op = 'UPDATE' then
    before := to_jsonb(old);
    changes := app_private.diff(app_private.loggable(before, tg_argv[4]), app_private.loggable(present, tg_argv[4]));
    -- A row whose JSON is made again keeps its version: what else its triggers fill in is no change by anybody. Tables
    -- without that JSON may have a version that is another thing.
    if changes is null or present ? 'as_json' and before -> 'version' = present -> 'version' then
      return null;
    elsif changes -> 'new' ? 'deleted_at' then
      verb := case when present ->> 'deleted_at' is null then 'restore' else 'delete' end;
    else
      verb := coalesce((select v.key from jsonb_each(tg_argv[3]::jsonb) v where changes -> 'new' ? v.key limit 1), 'update');
    end if;
  else
    -- A row marked as deleted is being purged, and its values must not be logged. Others are deleted without a mark.
    if present ->> 'deleted_at' is not null or (app_private.context()).role = 'purge' then
      verb := 'purge';
    else
      verb := 'delete';
      if not present ? 'deleted_at' then
        changes := jsonb_build_object('old', jsonb_strip_nulls(app_private.loggable(present, tg_argv[4])));
      end if;
    end if;
  end if;
  if tg_argv[3] <> '{}' then
    verb := coalesce(tg_argv[3]::jsonb ->> verb, verb);
  end if;
  -- A statement can change the context while it runs: a change that ends without its context is refused.
  c := app_private.context();
  if c.organization_id = (present ->> tg_argv[2])::uuid and c.user_id is not null then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    values (c.organization_id, c.user_id, c.session_id,
      (present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[0] || '.' || verb, tg_argv[0],
      c.request_id, c.ip, changes);
  elsif app_private.is_trusted() then
    perform app_private.log_event((present ->> tg_argv[2])::uuid, tg_argv[0] || '.' || verb, tg_argv[0], (present ->> tg_argv[1])::uuid, changes);
  else
    perform app.refuse(403, 'permission_denied', 'The context was lost during the transaction.');
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_event() is 'Logs the change or the deletion of a row. PT403 if the login no longer has a context in the row''s organization.';
alter function app_private.tg__900_event() owner to callboard_definer;
-- EndIncluded audit/event_triggers.sql
-- Included organizations/organizations.sql
select app_private.log_changes('app.organizations', 'organization');
-- EndIncluded organizations/organizations.sql
-- Included organizations/memberships.sql
select app_private.log_changes('app.memberships', 'member',
  '{"create": "add", "restore": "add", "delete": "remove", "role": "change_role"}', 'user_id');
-- EndIncluded organizations/memberships.sql
-- Included organizations/custom_roles.sql
-- Without grants, because the definer's functions write: a policy cannot ensure that nobody grants what they do not hold.
select app_private.tenant_table('custom_roles', noun => 'role', reads => 'members.read', writes => 'members.manage', deletes => 'members.manage',
  definer => 'insert, update');
select app_private.log_changes('app.member_roles', 'member', '{"create": "assign_role", "delete": "unassign_role"}', 'user_id');
-- EndIncluded organizations/custom_roles.sql
-- Included organizations/member_permissions.sql
select app_private.log_changes('app.member_permissions', 'member',
  '{"create": "set_permission", "update": "set_permission", "delete": "clear_permission"}', 'user_id');
-- EndIncluded organizations/member_permissions.sql
-- Included foundation/rate_limits.sql
select app_private.log_changes('app.rate_limits', 'rate_limit', '{}', 'organization_id');
-- EndIncluded foundation/rate_limits.sql
-- Included organizations/invitations.sql
select app_private.log_changes('app.invitations', 'invitation',
  '{"delete": "revoke", "accepted_at": "accept", "expires_at": "resend", "void_because": "void"}', leave_out => '{mail_id}');
-- EndIncluded organizations/invitations.sql
-- Included retention/legal_holds.sql
select app_private.log_changes('app.legal_holds', 'legal_hold', '{"create": "place", "released_at": "release"}');
-- EndIncluded retention/legal_holds.sql
-- Included retention/deletion_retention.sql
select app_private.log_changes('app.deletion_retentions', 'retention', '{"create": "set", "update": "set"}', 'organization_id');
-- EndIncluded retention/deletion_retention.sql
-- Included audit/event_retention.sql
select app_private.log_changes('app.event_retentions', 'audit', '{"create": "set_retention", "update": "set_retention"}', 'organization_id');
-- EndIncluded audit/event_retention.sql
-- Included shows/venues.sql
select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues', is_exported => true);
-- EndIncluded shows/venues.sql
-- Included shows/shows.sql
-- The definer's functions search, because a text match under a filtering policy cannot use an index (it is not leakproof),
-- and import on behalf of the member who started the import.
select app_private.tenant_table('shows', noun => 'show', permission => 'shows', path => '/api/shows', definer => 'insert, update', is_exported => true, is_counted => true,
  checks_parents => false);
-- EndIncluded shows/shows.sql
-- Included shows/show_fees.sql
select app_private.log_changes('app.show_fees', 'show_fee', id_column => 'show_id');
-- EndIncluded shows/show_fees.sql
-- Included shows/guest_allotments.sql
select app_private.tenant_table('guest_allotments', noun => 'guest_allotment', permission => 'shows', path => '/api/guest-allotments', is_exported => true);
-- EndIncluded shows/guest_allotments.sql
-- Included shows/guests.sql
select app_private.tenant_table('guests', noun => 'guest', permission => 'shows', path => '/api/guests', is_exported => true);
-- EndIncluded shows/guests.sql
-- Included shows/guest_lists.sql
-- No path: a list is written only by app.write_guest_list and deleted with its show.
select app_private.tenant_table('guest_lists', noun => 'guest_list', reads => 'shows.read', writes => 'guests.lock', definer => 'insert, update');
-- EndIncluded shows/guest_lists.sql
-- Included finance/finance_categories.sql
-- A definer trigger inserts an organization's default categories.
select app_private.tenant_table('finance_categories', noun => 'finance_category', permission => 'finance', path => '/api/finance-categories',
  definer => 'insert, update', is_exported => true, is_counted => true, known => '{kind}');
-- EndIncluded finance/finance_categories.sql
-- Included finance/finance_periods.sql
select app_private.log_changes('app.finance_periods', 'finance_period', '{"create": "close", "delete": "reopen"}');
-- EndIncluded finance/finance_periods.sql
-- Included finance/finance_records.sql
-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', guard => 'app_private.require_not_of_settlement(regclass, uuid)', checks_parents => false);
-- EndIncluded finance/finance_records.sql
-- Included settlements/deals.sql
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deals.sql
-- Included settlements/ticket_tiers.sql
select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/show_costs.sql
select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/show_costs.sql
-- Included settlements/deposits.sql
select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deposits.sql
-- Included settlements/settlements.sql
select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');
-- EndIncluded settlements/settlements.sql
-- Included imports/imports.sql
select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}', leave_out => '{sha256}');
-- EndIncluded imports/imports.sql
-- Included itineraries/itineraries.sql
select app_private.tenant_table('itineraries', noun => 'itinerary', permission => 'itineraries', reads => 'itineraries.write', path => '/api/itineraries', is_exported => true);
select app_private.tenant_table('itinerary_days', noun => 'itinerary_day', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/itinerary-days');
-- EndIncluded itineraries/itineraries.sql
-- Included itineraries/itinerary_party.sql
select app_private.tenant_table('party_groups', noun => 'party_group', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-groups');
select app_private.tenant_table('party_members', noun => 'party_member', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-members');
-- EndIncluded itineraries/itinerary_party.sql
-- Included itineraries/schedule_items.sql
select app_private.tenant_table('schedule_items', noun => 'schedule_item', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/schedule-items');
-- EndIncluded itineraries/schedule_items.sql
-- Included itineraries/travel_and_lodging.sql
select app_private.tenant_table('travel_segments', noun => 'travel_segment', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/travel-segments');
select app_private.tenant_table('lodgings', noun => 'lodging', permission => 'itineraries', reads => 'itineraries.write', path => '/api/lodgings');
select app_private.tenant_table('lodging_rooms', noun => 'lodging_room', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/lodging-rooms');
-- EndIncluded itineraries/travel_and_lodging.sql
-- Included itineraries/itinerary_versions.sql
select app_private.log_changes('app.itinerary_versions', 'itinerary', '{"create": "publish"}', 'itinerary_id');
-- EndIncluded itineraries/itinerary_versions.sql
-- Included calendar/calendar_feeds.sql
select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}');
-- EndIncluded calendar/calendar_feeds.sql
-- Included exports/exports.sql
-- Whoever may read all of a file but its amounts could find these from its digest.
select app_private.log_changes('app.exports', 'export', '{"status": "change_status"}', leave_out => '{sha256,held}');
-- EndIncluded exports/exports.sql
-- Included bi/bi_credentials.sql
select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');
-- EndIncluded bi/bi_credentials.sql
