--! Previous: sha1:e3318317bbf170789388905923cb46fed6dd9da6
--! Hash: sha1:0c1f4e793364837bb0313dde8c75ae06f6e29d03
--! Message: rates in percent, tickets of tiers, statuses corrected

alter table app.deals add column if not exists percentage numeric, add column if not exists tax_percentage numeric,
  add column if not exists promoter_profit_percentage numeric,
  alter column tax_bp drop default, alter column promoter_profit_bp drop default;
-- The programs of before pass the JSON of a deal on as it is, and write both.
-- squawk-ignore ban-drop-not-null
alter table app.deals alter column tax_bp drop not null;
-- squawk-ignore ban-drop-not-null
alter table app.deals alter column promoter_profit_bp drop not null;
-- Included foundation/rules.sql
create or replace function app.is_percentage(value numeric) returns boolean
language sql immutable parallel safe
return coalesce(value >= 0 and value <= 100 and scale(value) <= 6, true);
comment on function app.is_percentage(numeric) is 'Whether a rate in percent is 0 to 100, with up to six decimals; NULL is.';
grant execute on function app.is_percentage(numeric) to callboard_api, callboard_definer;
-- EndIncluded foundation/rules.sql
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
    -- A row whose JSON is made again keeps its version: what else its triggers fill in is no change by anybody.
    if changes is null or before -> 'version' = present -> 'version' then
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
select app_private.reference_table('app.show_status_transitions');
insert into app.show_status_transitions (from_status, to_status) values
  ('inquiry', 'hold'), ('inquiry', 'offer'), ('inquiry', 'cancelled'),
  ('hold', 'inquiry'), ('hold', 'offer'), ('hold', 'confirmed'), ('hold', 'cancelled'),
  ('offer', 'hold'), ('offer', 'confirmed'), ('offer', 'cancelled'),
  ('confirmed', 'played'), ('confirmed', 'cancelled'), ('confirmed', 'postponed'),
  ('postponed', 'hold'), ('postponed', 'confirmed'), ('postponed', 'cancelled'),
  ('cancelled', 'inquiry'),
  ('played', 'settled')
on conflict do nothing;
create table if not exists app.shows (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  title text collate app.people not null constraint shows_title_length check (length(title) between 1 and 200 and title !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(title) <> ''),
  artist text collate app.people not null constraint shows_artist_length check (length(artist) between 1 and 200 and artist !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(artist) <> ''),
  venue_id uuid,
  show_on date not null constraint shows_show_on_range check (show_on between date '1900-01-01' and date '2199-12-31'),
  doors_time time(0),
  start_time time(0),
  curfew_time time(0),
  status text not null default 'inquiry' constraint shows_status_known check (
    status in ('inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed')),
  capacity integer constraint shows_capacity_positive check (capacity > 0),
  tickets_sold integer not null default 0 constraint shows_tickets_sold_positive check (tickets_sold >= 0),
  notes text constraint shows_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  source text collate app.people constraint shows_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint shows_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  as_json text not null,
  primary key (organization_id, id),
  constraint shows_external_ref_with_source check ((external_ref is null) = (source is null)),
  constraint shows_venue_exists foreign key (organization_id, venue_id) references app.venues (organization_id, id),
  constraint shows_text_visible check (app.is_visible(title) and app.is_visible(artist)),
  constraint shows_doors_before_start check (doors_time <= start_time),
  constraint shows_tickets_within_capacity check (tickets_sold <= capacity)
);
-- The definer's functions search, because a text match under a filtering policy cannot use an index (it is not leakproof),
-- and import on behalf of the member who started the import.
select app_private.tenant_table('shows', noun => 'show', permission => 'shows', path => '/api/shows', definer => 'insert, update', is_exported => true, is_counted => true,
  checks_parents => false);
grant insert (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref),
  update (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
  on app.shows to callboard_api;
grant insert (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes,
    source, external_ref, created_by),
  update (status, capacity, tickets_sold, deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;
comment on table app.shows is 'Performances, from first inquiry to settlement.';
comment on column app.shows.tickets_sold is 'Where the show has ticket tiers, the sum of theirs; so is the capacity that of their allotments.';
comment on column app.shows.start_time is 'Local time at the venue; a curfew at or before the start is on the next day.';
comment on column app.shows.external_ref is 'The show''s id in the system it comes from (source); unique there.';
create or replace function app_private.tg_shows__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- app.reopen_settlement and app.correct_show_status, which require another permission and a reason.
  if current_user = 'callboard_definer' and new.status <> 'settled' then
    return new;
  end if;
  if not exists (select from app.show_status_transitions t where t.from_status = old.status and t.to_status = new.status) then
    perform app.refuse(409, 'show_status_transition', format('A show cannot go from %s to %s.', old.status, new.status));
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__200_status() is 'PT409 show_status_transition for a change that app.show_status_transitions does not list.';
-- EndIncluded shows/shows.sql
-- Included shows/show_fees.sql
select app_private.log_changes('app.show_fees', 'show_fee', id_column => 'show_id');
-- EndIncluded shows/show_fees.sql
-- Included shows/show_commands.sql
select app_private.publish_rows('app.shows');
create or replace function app.write_show(show uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows;
begin
  select * into n from app.shows s where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('shows.write');
  -- Check again under a lock, now that the caller may take one.
  select * into n from app.shows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  -- Where they are those of the tiers, whoever replaces a show need not name them.
  if replaces and not body ?& '{capacity,tickets_sold}' and app.has_tiers(show) then
    body := jsonb_build_object('capacity', n.capacity, 'tickets_sold', n.tickets_sold) || body;
  end if;
  n := jsonb_populate_record(case when replaces then null::app.shows else n end, body);
  update app.shows s
  set (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
    = row (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
      n.capacity, coalesce(n.tickets_sold, 0), n.notes, n.source, n.external_ref)
  where s.organization_id = (select app.current_org()) and s.id = show;
  -- After the show, whose version and lock are the fee's, too.
  if replaces or body ?| '{fee_minor,currency}' then
    perform app.write_show_fee(show, body, replaces);
  end if;
  return app.read_show(show);
end
$$;
comment on function app.write_show(uuid, jsonb, boolean, text) is
  'Changes a show: the columns in the body or, with replaces, all of them (absent ones get their defaults). PT403, PT404, PT409, PT412.';
grant execute on function app.write_show(uuid, jsonb, boolean, text) to callboard_api;
create or replace function app.correct_show_status(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.shows;
  correct constant text := body ->> 'status';
begin
  select * into present from app.shows s where s.organization_id = app.org_if('shows.read') and s.id = show and s.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('shows.write');
  perform app.require('shows.delete');
  select * into present from app.shows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null for no key update;
  perform app.check_version(present.version, null);
  if present.status = 'settled' or correct = 'settled' then
    perform app.refuse(409, 'show_status_transition', case present.status
      when 'settled' then 'The show is settled: reopen its settlement.' else 'A show is settled by its settlement, not by a correction.' end);
  elsif correct <> present.status then
    update app.shows s set status = correct where s.organization_id = (select app.current_org()) and s.id = show;
    perform app_private.log_event(app.current_org(), 'show.correct_status', 'show', show, jsonb_build_object(
      'old', jsonb_build_object('status', present.status), 'new', jsonb_build_object('status', correct, 'reason', btrim(body ->> 'reason'))));
  end if;
  return app.read_show(show);
end
$$;
comment on function app.correct_show_status(uuid, jsonb) is
  'Gives a show any status but settled, from any but settled, with a reason, which the log keeps: for what was entered by mistake. PT403 without shows.write and shows.delete, PT404, PT409 show_status_transition.';
alter function app.correct_show_status(uuid, jsonb) owner to callboard_definer;
grant execute on function app.correct_show_status(uuid, jsonb) to callboard_api;
-- EndIncluded shows/show_commands.sql
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
  is_exported => true, is_counted => true, known => '{kind}', checks_parents => false);
-- EndIncluded finance/finance_records.sql
-- Included settlements/deals.sql
-- Deals: what the artist of a show is paid, and on what basis. The computation is in settlement_arithmetic.sql.

create table if not exists app.deals (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deals_kind_known check (kind in ('flat', 'door', 'plus', 'versus')),
  currency char(3) not null constraint deals_currency_exists references app.currencies (code),
  guarantee_minor bigint constraint deals_guarantee_range check (app.is_money(guarantee_minor)),
  -- In basis points: 8500 is 85 %. The rates of up to 0.2.0, which a trigger keeps equal to those below.
  percentage_bp integer constraint deals_percentage_range check (app.is_rate(percentage_bp)),
  base text constraint deals_base_known check (base in ('gross', 'net_receipts', 'net', 'net_after_promoter_profit')),
  tax_bp integer constraint deals_tax_range check (app.is_rate(tax_bp)),
  promoter_profit_bp integer constraint deals_promoter_profit_range check (app.is_rate(promoter_profit_bp)),
  guarantee_is_cost boolean not null,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  -- In percent, exact.
  percentage numeric,
  tax_percentage numeric,
  promoter_profit_percentage numeric,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deals_guarantee_by_kind check ((kind = 'door') = (guarantee_minor is null)),
  -- Rows of before have their percentages only once their JSON has been made again.
  constraint deals_percentage_by_kind check ((kind = 'flat') = (coalesce(percentage, percentage_bp) is null) and (kind = 'flat') = (base is null)),
  constraint deals_promoter_profit_by_base check (coalesce(promoter_profit_percentage, promoter_profit_bp, 0) = 0 or base is not distinct from 'net_after_promoter_profit'),
  constraint deals_valid_rates check (app.is_percentage(percentage) and app.is_percentage(tax_percentage) and app.is_percentage(promoter_profit_percentage)),
  constraint deals_guarantee_is_cost_of_plus check (not guarantee_is_cost or kind = 'plus')
);
create or replace view app.deal_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.currency, x.guarantee_minor, x.percentage_bp, x.base, x.tax_bp, x.promoter_profit_bp, x.guarantee_is_cost,
    x.created_by, x.created_at, x.updated_at,
    trim_scale(x.percentage) as percentage, trim_scale(x.tax_percentage) as tax_percentage, trim_scale(x.promoter_profit_percentage) as promoter_profit_percentage
  from app.deals x;
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage),
  update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage) on app.deals to callboard_api;
comment on table app.deals is 'What the artist of a show is paid: at most one undeleted deal per show.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage applies to. gross: ticket sales as paid; net_receipts: what is left of them after fees and tax; net: after costs as well; net_after_promoter_profit: after the promoter''s profit as well.';
comment on column app.deals.percentage is 'The artist''s share of the base, in percent, with up to six decimals.';
comment on column app.deals.tax_percentage is 'The rate of the tax included in ticket prices, in percent, with up to six decimals.';
comment on column app.deals.promoter_profit_percentage is 'The promoter''s profit before the percentage begins, as a share of the costs, in percent, with up to six decimals.';
comment on column app.deals.percentage_bp is 'percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.tax_bp is 'tax_percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.promoter_profit_bp is 'promoter_profit_percentage in basis points; NULL if that is no whole number. Until the release after 0.3.0.';
comment on column app.deals.guarantee_is_cost is 'For plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins only once it has been earned back.';
create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost, percentage, tax_percentage, promoter_profit_percentage on app.deals
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _150_guarantee_is_cost before insert or update of guarantee_is_cost on app.deals
  for each row execute function app_private.tg_deals__150_guarantee_is_cost();
create or replace function app.agreed_rate(old_percentage numeric, old_bp integer, percentage numeric, bp integer, otherwise numeric) returns numeric
language plpgsql immutable
set search_path = ''
as $$
declare
  is_given constant boolean := percentage is not null and percentage is distinct from old_percentage;
  is_given_bp constant boolean := bp is not null and bp is distinct from old_bp;
begin
  if is_given and is_given_bp and percentage * 100 <> bp then
    perform app.refuse(422, 'deals_rates_agree');
  elsif is_given then
    return trim_scale(percentage);
  elsif is_given_bp then
    return trim_scale(bp / 100::numeric);
  end if;
  return trim_scale(coalesce(percentage, bp / 100::numeric, otherwise));
end
$$;
comment on function app.agreed_rate(numeric, integer, numeric, integer, numeric) is
  'A rate that may be given in percent or in basis points: the one that has changed, else the one there is, else otherwise. PT422 deals_rates_agree if both have changed and differ.';
grant execute on function app.agreed_rate(numeric, integer, numeric, integer, numeric) to callboard_api, callboard_definer;
create or replace function app.basis_points(percentage numeric) returns integer
language sql immutable
set search_path = ''
return case when abs(percentage) < 1000000 and percentage * 100 = trunc(percentage * 100) then (percentage * 100)::integer end;
comment on function app.basis_points(numeric) is 'A rate in percent as basis points; NULL if that is no whole number.';
grant execute on function app.basis_points(numeric) to callboard_api, callboard_definer;
create or replace function app_private.tg_deals__150_rates() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  o app.deals;
begin
  if tg_op = 'UPDATE' then
    o := old;
  end if;
  -- A flat deal has none, whichever of the two was removed.
  if new.kind = 'flat' and tg_op = 'UPDATE' and (new.percentage is null or new.percentage_bp is null)
    and (new.percentage is not distinct from o.percentage or new.percentage is null)
    and (new.percentage_bp is not distinct from o.percentage_bp or new.percentage_bp is null)
  then
    new.percentage := null;
  else
    new.percentage := app.agreed_rate(o.percentage, o.percentage_bp, new.percentage, new.percentage_bp, null);
  end if;
  new.tax_percentage := app.agreed_rate(o.tax_percentage, o.tax_bp, new.tax_percentage, new.tax_bp, 0);
  new.promoter_profit_percentage := app.agreed_rate(o.promoter_profit_percentage, o.promoter_profit_bp, new.promoter_profit_percentage, new.promoter_profit_bp, 0);
  new.percentage_bp := app.basis_points(new.percentage);
  new.tax_bp := app.basis_points(new.tax_percentage);
  new.promoter_profit_bp := app.basis_points(new.promoter_profit_percentage);
  return new;
end
$$;
comment on function app_private.tg_deals__150_rates() is 'Keeps the rates in percent and those in basis points equal. PT422 deals_rates_agree.';
create or replace trigger _150_rates before insert or update on app.deals
  for each row execute function app_private.tg_deals__150_rates();
-- The currency is that of the prices, costs and deposits of the show: with another one they would be other amounts.
create or replace function app_private.tg_deals__150_currency() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  present text;
begin
  -- Whoever enters an amount shares a lock on this row.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for no key update;
  select d.currency into present from app.deals d
  where d.organization_id = new.organization_id and d.show_id = new.show_id
  order by d.deleted_at desc nulls first limit 1;
  if present <> new.currency and (
    exists (select from app.ticket_tiers x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.show_costs x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.deposits x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null))
  then
    perform app.refuse(409, 'deals_currency_in_use', format('Prices, costs or deposits of the show are in %s.', present));
  end if;
  return new;
end
$$;
comment on function app_private.tg_deals__150_currency() is
  'PT409 deals_currency_in_use if the deal of a show with prices, costs or deposits would have another currency than the one before it: by a change, a new deal, or one restored.';
alter function app_private.tg_deals__150_currency() owner to callboard_definer;
create or replace trigger _150_currency_insert before insert on app.deals
  for each row execute function app_private.tg_deals__150_currency();
create or replace trigger _150_currency before update on app.deals
  for each row when (new.currency is distinct from old.currency or new.deleted_at is null and old.deleted_at is not null)
  execute function app_private.tg_deals__150_currency();
-- EndIncluded settlements/deals.sql
-- Included settlements/ticket_tiers.sql
select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- Where there are tiers, they are the tickets of the show: how many there are and how many are sold.
create or replace function app_private.match_tickets(organization uuid, show uuid) returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
  tiers record;
begin
  select count(*) as n, least(sum(x.sold), 2147483647)::integer as sold, least(sum(x.allotment), 2147483647)::integer as allotment into tiers
  from app.ticket_tiers x where x.organization_id = organization and x.show_id = show and x.deleted_at is null;
  update app.shows s set tickets_sold = tiers.sold, capacity = tiers.allotment
  where tiers.n > 0 and s.organization_id = organization and s.id = show and s.deleted_at is null
    and (s.tickets_sold, s.capacity) is distinct from (tiers.sold, tiers.allotment);
  return found;
end
$$;
comment on function app_private.match_tickets(uuid, uuid) is 'Gives a show the tickets and the capacity of its tiers, if it has any and they differ; returns whether they did.';
alter function app_private.match_tickets(uuid, uuid) owner to callboard_definer;
create or replace function app_private.tg_ticket_tiers__100_show() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Before the weaker lock that all parts take, because the show is changed at the end.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for no key update;
  return new;
end
$$;
comment on function app_private.tg_ticket_tiers__100_show() is 'Locks the show, so that those who change its tiers wait for each other.';
alter function app_private.tg_ticket_tiers__100_show() owner to callboard_definer;
create or replace trigger _100_show before insert or update of sold, allotment, deleted_at on app.ticket_tiers
  for each row execute function app_private.tg_ticket_tiers__100_show();
create or replace function app_private.tg_ticket_tiers__400_tickets() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.match_tickets(new.organization_id, new.show_id);
  return null;
end
$$;
comment on function app_private.tg_ticket_tiers__400_tickets() is 'Keeps the tickets and the capacity of a show equal to those of its tiers.';
alter function app_private.tg_ticket_tiers__400_tickets() owner to callboard_definer;
create or replace trigger _400_tickets_insert after insert on app.ticket_tiers
  for each row execute function app_private.tg_ticket_tiers__400_tickets();
create or replace trigger _400_tickets after update on app.ticket_tiers
  for each row when ((new.sold, new.allotment, new.deleted_at) is distinct from (old.sold, old.allotment, old.deleted_at))
  execute function app_private.tg_ticket_tiers__400_tickets();
create or replace function app.has_tiers(show uuid) returns boolean
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return exists (select from app.ticket_tiers t where t.organization_id = app.current_org() and t.show_id = show and t.deleted_at is null);
end
$$;
comment on function app.has_tiers(uuid) is 'Whether a show has ticket tiers, which also members who see no money learn: its tickets and capacity are theirs.';
alter function app.has_tiers(uuid) owner to callboard_definer;
grant execute on function app.has_tiers(uuid) to callboard_api;
create or replace function app_private.tg_shows__200_tickets() returns trigger
language plpgsql volatile
set search_path = ''
as $$
begin
  if current_user <> 'callboard_definer' and app.has_tiers(new.id) then
    perform app.refuse(409, 'show_tickets_by_tier');
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__200_tickets() is 'PT409 show_tickets_by_tier for other tickets or another capacity than those of the show''s tiers.';
create or replace trigger _200_tickets before update on app.shows
  for each row when ((new.tickets_sold, new.capacity) is distinct from (old.tickets_sold, old.capacity))
  execute function app_private.tg_shows__200_tickets();
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/show_costs.sql
select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/show_costs.sql
-- Included settlements/deposits.sql
select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deposits.sql
-- Included settlements/settlement_arithmetic.sql
create or replace function app.settle(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  deal constant jsonb := inputs -> 'deal';
  kind constant text := deal ->> 'kind';
  base constant text := deal ->> 'base';
  -- In millionths of a percent, so that they are whole numbers. What was recorded up to 0.2.0 has basis points only.
  percentage constant numeric := 1000000 * coalesce((deal ->> 'percentage')::numeric, (deal ->> 'percentage_bp')::numeric / 100, 0);
  tax_rate constant numeric := 1000000 * coalesce((deal ->> 'tax_percentage')::numeric, (deal ->> 'tax_bp')::numeric / 100, 0);
  profit_rate constant numeric := 1000000 * coalesce((deal ->> 'promoter_profit_percentage')::numeric, (deal ->> 'promoter_profit_bp')::numeric / 100, 0);
  whole constant numeric := 100000000;
  sold numeric;
  comps numeric;
  gross numeric;
  fees numeric;
  tax numeric;
  receipts numeric;
  fixed numeric;
  per_ticket numeric;
  guarantee constant numeric := coalesce((deal ->> 'guarantee_minor')::numeric, 0);
  guarantee_cost constant numeric := case when (deal ->> 'guarantee_is_cost')::boolean then guarantee else 0 end;
  costs numeric;
  profit numeric;
  split_point numeric;
  share_base numeric;
  share numeric;
  due numeric;
  deposits numeric;
  result jsonb;
begin
  select coalesce(sum(t.sold), 0), coalesce(sum(t.comps), 0), coalesce(sum(t.price_minor * t.sold), 0), coalesce(sum(t.facility_fee_minor * t.sold), 0)
  into sold, comps, gross, fees
  from jsonb_to_recordset(inputs -> 'ticket_tiers') as t (price_minor numeric, facility_fee_minor numeric, sold numeric, comps numeric);
  tax := app.apportion(gross - fees, tax_rate, whole + tax_rate);
  receipts := gross - fees - tax;

  select coalesce(sum(c.amount_minor) filter (where c.kind = 'fixed'), 0), coalesce(sum(c.amount_minor) filter (where c.kind = 'per_ticket'), 0) * sold
  into fixed, per_ticket
  from jsonb_to_recordset(inputs -> 'costs') as c (kind text, amount_minor numeric);
  costs := fixed + per_ticket + guarantee_cost;
  profit := app.apportion(costs, profit_rate, whole);

  split_point := case base when 'net' then costs when 'net_after_promoter_profit' then costs + profit else 0 end;
  share_base := case when base = 'gross' then gross when base is null then 0 else greatest(receipts - split_point, 0) end;
  share := app.apportion(share_base, percentage, whole);
  due := case kind when 'flat' then guarantee when 'door' then share when 'plus' then guarantee + share else greatest(guarantee, share) end;

  select coalesce(sum(p.amount_minor), 0) into deposits
  from jsonb_to_recordset(inputs -> 'deposits') as p (amount_minor numeric);

  result := jsonb_build_object(
    'tickets_sold', sold, 'tickets_comped', comps,
    'gross_minor', gross, 'facility_fees_minor', fees, 'tax_minor', tax, 'net_receipts_minor', receipts,
    'fixed_costs_minor', fixed, 'per_ticket_costs_minor', per_ticket, 'guarantee_cost_minor', guarantee_cost, 'costs_minor', costs,
    'net_minor', receipts - costs, 'promoter_profit_minor', profit, 'split_point_minor', split_point,
    'share_base_minor', share_base, 'share_minor', share, 'guarantee_minor', guarantee, 'due_minor', due,
    'deposits_minor', deposits, 'balance_minor', due - deposits, 'promoter_minor', receipts - fixed - per_ticket - due);
  if exists (select from jsonb_each(result) r where abs(r.value::numeric) > 9007199254740991) then
    perform app.refuse(422, 'settlement_out_of_range', 'An amount of the settlement is larger than 9007199254740991 minor units.');
  end if;
  return result;
end
$$;
comment on function app.settle(jsonb) is
  'The settlement of a deal, ticket tiers, costs and deposits as returned by app.settlement_inputs: every line of it, in minor units. It reads nothing else, so recorded settlements can be recomputed. PT422 settlement_out_of_range.';
grant execute on function app.settle(jsonb) to callboard_api, callboard_definer;
create or replace function app.settlement_inputs(show uuid) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
  inputs jsonb;
begin
  -- One statement, so one snapshot. Ordered by id, so that equal inputs give equal JSON.
  select jsonb_build_object(
    'currency', d.currency,
    'deal', jsonb_build_object('id', d.id, 'kind', d.kind, 'guarantee_minor', d.guarantee_minor, 'percentage_bp', d.percentage_bp, 'base', d.base,
      'tax_bp', d.tax_bp, 'promoter_profit_bp', d.promoter_profit_bp, 'guarantee_is_cost', d.guarantee_is_cost,
      'percentage', trim_scale(coalesce(d.percentage, d.percentage_bp / 100::numeric)), 'tax_percentage', trim_scale(coalesce(d.tax_percentage, d.tax_bp / 100::numeric)),
      'promoter_profit_percentage', trim_scale(coalesce(d.promoter_profit_percentage, d.promoter_profit_bp / 100::numeric))),
    'ticket_tiers', (
      select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'price_minor', t.price_minor,
        'facility_fee_minor', t.facility_fee_minor, 'allotment', t.allotment, 'sold', t.sold, 'comps', t.comps) order by t.id), '[]')
      from app.ticket_tiers t where t.organization_id = organization and t.show_id = show and t.deleted_at is null),
    'costs', (
      select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'kind', c.kind, 'amount_minor', c.amount_minor,
        'is_estimate', c.is_estimate) order by c.id), '[]')
      from app.show_costs c where c.organization_id = organization and c.show_id = show and c.deleted_at is null),
    'deposits', (
      select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'paid_on', p.paid_on, 'amount_minor', p.amount_minor, 'note', p.note) order by p.id), '[]')
      from app.deposits p where p.organization_id = organization and p.show_id = show and p.deleted_at is null))
  into inputs
  from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null;
  if inputs is null then
    perform app.refuse(409, 'settlement_needs_deal');
  end if;
  return inputs;
end
$$;
comment on function app.settlement_inputs(uuid) is 'The current inputs of a show''s settlement. PT409 settlement_needs_deal.';
grant execute on function app.settlement_inputs(uuid) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_arithmetic.sql
-- Included settlements/settlements.sql
select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');
-- EndIncluded settlements/settlements.sql
-- Included settlements/settlement_commands.sql
-- Commands on settlements; the table is in settlements.sql.

create or replace function app.inputs_in_percent(inputs jsonb) returns jsonb
language sql stable parallel safe
return case when inputs -> 'deal' ? 'percentage' then inputs
  else jsonb_set(inputs, '{deal}', inputs -> 'deal' || jsonb_build_object('percentage', trim_scale((inputs #>> '{deal,percentage_bp}')::numeric / 100),
    'tax_percentage', trim_scale((inputs #>> '{deal,tax_bp}')::numeric / 100),
    'promoter_profit_percentage', trim_scale((inputs #>> '{deal,promoter_profit_bp}')::numeric / 100))) end;
comment on function app.inputs_in_percent(jsonb) is 'The inputs of a settlement with rates in percent, which those recorded up to 0.2.0 have in basis points only.';
grant execute on function app.inputs_in_percent(jsonb) to callboard_api, callboard_definer;
create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'number', x.number, 'status', x.status, 'reason', x.reason,
      'inputs', app.inputs_in_percent(x.inputs), 'result', x.result,
      'finalized_at', x.finalized_at, 'finalized_by', x.finalized_by,
      'reopened_at', x.reopened_at, 'reopened_by', x.reopened_by, 'reopen_reason', x.reopen_reason,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.settlements x
  where x.deleted_at is null;
comment on view app.settlement_list is 'The organization''s undeleted settlements, with their JSON.';
grant select on app.settlement_list to callboard_api, callboard_definer;
create or replace function app.finalize_settlement(settlement uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
  show_status text;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  show_status := app_private.lock_show(present.show_id);
  -- Check again under the lock: nobody else can finalize it now.
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.status = 'final' then
    perform app.refuse(409, 'settlement_final');
  elsif show_status <> 'played' then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif app.inputs_in_percent(present.inputs) is distinct from app.settlement_inputs(present.show_id) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  update app.settlements x set (status, finalized_at, finalized_by) = row ('final', statement_timestamp(), app.current_user_id())
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  update app.shows s set status = 'settled' where s.organization_id = (select app.current_org()) and s.id = present.show_id;
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid) is
  'Makes a revision final and its show settled. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated.';
alter function app.finalize_settlement(uuid) owner to callboard_definer;
grant execute on function app.finalize_settlement(uuid) to callboard_api;
-- EndIncluded settlements/settlement_commands.sql
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
-- Lock: access exclusive on app.deals: alter table app.deals add column if not exists percentage numeric, add column if not exists tax_perc
-- Lock: access exclusive on app.deal_rows: create or replace view app.deal_rows with (security_invoker = true) as select x.organization_id, x.v
-- Lock: share row exclusive on app.deals: create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor,
-- Lock: share row exclusive on app.ticket_tiers: create or replace trigger _100_show before insert or update of sold, allotment, deleted_at on app.ti
-- Lock: share row exclusive on app.shows: create or replace trigger _200_tickets before update on app.shows for each row when ((new.tickets_so
-- Lock: access exclusive on app.settlement_list: create or replace view app.settlement_list with (security_invoker = true) as select x.organization_i
