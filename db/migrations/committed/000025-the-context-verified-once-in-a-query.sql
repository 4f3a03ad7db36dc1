--! Previous: sha1:a6f848200cdf08e319aea937b5bff01da321a115
--! Hash: sha1:27d3785aa80e3715854afc080ba549ed4e416fb7
--! Message: the context verified once in a query

-- A query verifies the context once, and not for each place in its plan that compares with the organization.

--! Included venues.sql
-- Where shows happen. A venue gives its shows their time zone.

create table if not exists app.venues (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text not null constraint venues_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  city text not null constraint venues_city_length check (length(city) between 1 and 200 and city !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(city) <> ''),
  country char(2) not null constraint venues_country_format check (country ~ '^[A-Z]{2}$'),
  time_zone text not null constraint venues_time_zone_exists check (app.is_time_zone(time_zone)),
  capacity integer constraint venues_capacity_positive check (capacity > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id)
);
create index if not exists venues_organization_id_name_idx on app.venues (organization_id, name, id) where deleted_at is null;
create index if not exists venues_deletion_id_idx on app.venues (organization_id, deletion_id) where deletion_id is not null;
alter table app.venues alter column name set statistics 0, alter column city set statistics 0, alter column capacity set statistics 0;

alter table app.venues enable row level security;
alter table app.venues force row level security;

drop policy if exists select_member on app.venues;
create policy select_member on app.venues for select to callboard_api, callboard_exporter
  using (organization_id = (select app.org_if('shows.read')));
drop policy if exists insert_member on app.venues;
create policy insert_member on app.venues for insert to callboard_api
  with check (organization_id = (select app.org_if('shows.write')));
drop policy if exists update_member on app.venues;
create policy update_member on app.venues for update to callboard_api
  using (organization_id = (select app.org_if('shows.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.venues;
create policy delete_member on app.venues for delete to callboard_api
  using (organization_id = (select app.org_if('shows.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.venues;
create policy select_definer on app.venues for select to callboard_definer using (true);
drop policy if exists update_definer on app.venues;
create policy update_definer on app.venues for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.venues to callboard_api, callboard_definer, callboard_exporter;
grant insert (name, city, country, time_zone, capacity), update (name, city, country, time_zone, capacity) on app.venues to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.venues to callboard_definer;

comment on table app.venues is 'Places where shows happen, with the time zone that a show''s local times are in.';
comment on column app.venues.country is 'ISO 3166-1 alpha-2 code.';

drop trigger if exists _100_timestamps on app.venues;
create trigger _100_timestamps before update on app.venues
  for each row execute function app_private.tg__100_timestamps();

select app_private.log_changes('app.venues', 'venue');

create or replace view app.venue_list with (security_invoker = true) as
  select v.organization_id, v.id, v.name, v.city, v.country, v.created_at, v.version,
    json_build_object('id', v.id, 'name', v.name, 'city', v.city, 'country', v.country, 'time_zone', v.time_zone,
      'capacity', v.capacity, 'created_at', v.created_at, 'updated_at', v.updated_at) as body,
    v.deleted_at, v.deleted_by
  from app.venues v;
comment on view app.venue_list is 'The organization''s venues with their JSON, also those in the bin, which have deleted_at.';
grant select on app.venue_list to callboard_api, callboard_definer;

create or replace function app.read_venue(venue uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, v.body, app.etag(v.version), '/api/venues/' || v.id into answer from app.venue_list v
  where v.organization_id = (select app.current_org()) and v.id = venue and v.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_venue(uuid) is 'A venue. PT404.';
revoke execute on function app.read_venue(uuid) from public;
grant execute on function app.read_venue(uuid) to callboard_api, callboard_definer;

create or replace function app.create_venue(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  given app.venues := jsonb_populate_record(null::app.venues, body);
  answer app.answer;
begin
  insert into app.venues (name, city, country, time_zone, capacity)
  values (given.name, given.city, given.country, given.time_zone, given.capacity) returning id into given.id;
  answer := app.read_venue(given.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_venue(jsonb) is 'A new venue. PT403 without shows.write.';
revoke execute on function app.create_venue(jsonb) from public;
grant execute on function app.create_venue(jsonb) to callboard_api;

create or replace function app.write_venue(venue uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present app.venues;
begin
  select * into present from app.venues v
  where v.organization_id = (select app.current_org()) and v.id = venue and v.deleted_at is null;
  perform app.check_version(present.version, if_match);
  perform app.require('shows.write');
  -- Now that it may be locked, look again.
  select * into present from app.venues v
  where v.organization_id = (select app.current_org()) and v.id = venue and v.deleted_at is null for no key update;
  perform app.check_version(present.version, if_match);
  present := jsonb_populate_record(case when replaces then null::app.venues else present end, body);
  update app.venues v
  set (name, city, country, time_zone, capacity) = row (present.name, present.city, present.country, present.time_zone, present.capacity)
  where v.organization_id = (select app.current_org()) and v.id = venue;
  return app.read_venue(venue);
end
$$;
comment on function app.write_venue(uuid, jsonb, boolean, text) is
  'Changes a venue: the columns in the body or, with replaces, all of them (absent ones become null). PT403, PT404, PT412.';
revoke execute on function app.write_venue(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_venue(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_venue(venue uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.venues', venue, if_match);
end
$$;
comment on function app.delete_venue(uuid, text) is 'Deletes a venue that no show uses. PT403, PT404, PT409 shows_venue_exists, PT412.';
alter function app.delete_venue(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_venue(uuid, text) from public;
grant execute on function app.delete_venue(uuid, text) to callboard_api;

create or replace function app.restore_venue(venue uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.venues', venue);
  return app.read_venue(venue);
end
$$;
comment on function app.restore_venue(uuid) is 'Brings a deleted venue back. PT403, PT404.';
alter function app.restore_venue(uuid) owner to callboard_definer;
revoke execute on function app.restore_venue(uuid) from public;
grant execute on function app.restore_venue(uuid) to callboard_api;
--! EndIncluded venues.sql
--! Included show_commands.sql
-- What can be done with a show; the table is in shows.sql.

create or replace view app.show_list with (security_invoker = true) as
  select s.organization_id, s.id, s.title, s.artist, s.venue_id, s.show_on, s.status, s.created_at, s.version,
    json_build_object(
      'id', s.id, 'title', s.title, 'artist', s.artist,
      'venue_id', s.venue_id, 'venue_name', v.name, 'venue_city', v.city, 'time_zone', v.time_zone,
      'show_on', s.show_on,
      'doors_time', to_char(s.doors_time, 'HH24:MI'), 'start_time', to_char(s.start_time, 'HH24:MI'),
      'curfew_time', to_char(s.curfew_time, 'HH24:MI'),
      'starts_at', (s.show_on + s.start_time) at time zone v.time_zone,
      'status', s.status, 'capacity', s.capacity, 'tickets_sold', s.tickets_sold,
      'fee_minor', s.fee_minor, 'currency', s.currency, 'notes', s.notes, 'source', s.source, 'external_ref', s.external_ref,
      'created_by', s.created_by, 'created_at', s.created_at, 'updated_at', s.updated_at) as body,
    s.deleted_at, s.deleted_by, s.source, s.external_ref
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id;
comment on view app.show_list is 'The organization''s shows with their JSON, also those in the bin, which have deleted_at.';
grant select on app.show_list to callboard_api, callboard_definer;

-- Few rows are expected, so that a list looks these up instead of looking for them among all shows.
create or replace function app.search_shows(q text) returns setof uuid
language plpgsql stable rows 20 security definer
set search_path = ''
set client_min_messages = 'error'
-- How many rows a text finds is known only when the text is.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- The organization is compared as a value, not through a policy: under one the index is no use.
  organization uuid := app.org_if('shows.read');
  pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
begin
  return query
    select s.id from app.shows s where s.organization_id = organization and (s.title || ' ' || s.artist) ilike pattern
    union
    -- The venues first, as an array: joined, PostgreSQL would read all shows.
    select s.id from app.shows s
    where s.organization_id = organization and s.venue_id = any (array(
      select v.id from app.venues v where v.organization_id = organization and (v.name || ' ' || v.city) ilike pattern));
end
$$;
comment on function app.search_shows(text) is 'Ids of the organization''s shows whose title and artist, or venue and city, contain the text in any case.';
alter function app.search_shows(text) owner to callboard_definer;
revoke execute on function app.search_shows(text) from public;
grant execute on function app.search_shows(text) to callboard_api;

create or replace function app.read_show(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, s.body, app.etag(s.version), '/api/shows/' || s.id into answer from app.show_list s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show(uuid) is 'A show. PT404.';
revoke execute on function app.read_show(uuid) from public;
grant execute on function app.read_show(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows := jsonb_populate_record(null::app.shows, body);
  answer app.answer;
begin
  insert into app.shows (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref)
  values (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
    n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes, n.source, n.external_ref)
  returning id into n.id;
  answer := app.read_show(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show(jsonb) is 'A new show. PT403 without shows.write, PT409 shows_venue_exists.';
revoke execute on function app.create_show(jsonb) from public;
grant execute on function app.create_show(jsonb) to callboard_api;

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
  -- Now that it may be locked, look again.
  select * into n from app.shows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.shows else n end, body);
  update app.shows s
  set (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref)
    = row (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
      n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes, n.source, n.external_ref)
  where s.organization_id = (select app.current_org()) and s.id = show;
  return app.read_show(show);
end
$$;
comment on function app.write_show(uuid, jsonb, boolean, text) is
  'Changes a show: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409, PT412.';
revoke execute on function app.write_show(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_show(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_show(show uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.shows', show, if_match);
end
$$;
comment on function app.delete_show(uuid, text) is 'Deletes a show until it is restored. PT403, PT404, PT412.';
alter function app.delete_show(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_show(uuid, text) from public;
grant execute on function app.delete_show(uuid, text) to callboard_api;

create or replace function app.restore_show(show uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.shows', show);
  return app.read_show(show);
end
$$;
comment on function app.restore_show(uuid) is 'Brings a deleted show back. PT403, PT404, PT409 parent_deleted.';
alter function app.restore_show(uuid) owner to callboard_definer;
revoke execute on function app.restore_show(uuid) from public;
grant execute on function app.restore_show(uuid) to callboard_api;
--! EndIncluded show_commands.sql
--! Included deals.sql
-- Deals: what the artist of a show is paid, and of what. How that is worked out is in settlement_arithmetic.sql.

create table if not exists app.deals (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deals_kind_known check (kind in ('flat', 'door', 'plus', 'versus')),
  currency char(3) not null constraint deals_currency_exists references app.currencies (code),
  guarantee_minor bigint constraint deals_guarantee_range check (guarantee_minor between 0 and 9007199254740991),
  -- Rates are in basis points: 8500 is 85 %.
  percentage_bp integer constraint deals_percentage_range check (percentage_bp between 0 and 10000),
  base text constraint deals_base_known check (base in ('gross', 'net', 'net_after_promoter_profit')),
  tax_bp integer not null default 0 constraint deals_tax_range check (tax_bp between 0 and 10000),
  promoter_profit_bp integer not null default 0 constraint deals_promoter_profit_range check (promoter_profit_bp between 0 and 10000),
  guarantee_is_cost boolean not null,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deals_guarantee_by_kind check ((kind = 'door') = (guarantee_minor is null)),
  constraint deals_percentage_by_kind check ((kind = 'flat') = (percentage_bp is null) and (kind = 'flat') = (base is null)),
  constraint deals_promoter_profit_by_base check (promoter_profit_bp = 0 or base is not distinct from 'net_after_promoter_profit'),
  constraint deals_guarantee_is_cost_of_plus check (not guarantee_is_cost or kind = 'plus')
);
create unique index if not exists deals_one_per_show on app.deals (organization_id, show_id) where deleted_at is null;
create index if not exists deals_organization_id_show_id_idx on app.deals (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists deals_deletion_id_idx on app.deals (organization_id, deletion_id) where deletion_id is not null;
alter table app.deals alter column kind set statistics 0, alter column guarantee_minor set statistics 0, alter column percentage_bp set statistics 0,
  alter column base set statistics 0, alter column tax_bp set statistics 0, alter column promoter_profit_bp set statistics 0;

alter table app.deals enable row level security;
alter table app.deals force row level security;

drop policy if exists select_member on app.deals;
create policy select_member on app.deals for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.deals;
create policy insert_member on app.deals for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.deals;
create policy update_member on app.deals for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.deals;
create policy delete_member on app.deals for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.deals;
create policy select_definer on app.deals for select to callboard_definer using (true);
drop policy if exists update_definer on app.deals;
create policy update_definer on app.deals for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.deals to callboard_api, callboard_definer;
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost), update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost) on app.deals to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.deals to callboard_definer;

comment on table app.deals is 'What the artist of a show is paid: at most one that is not deleted for each show.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage is of: ticket sales as they were paid; what is left of them after fees, taxes and costs; or after the promoter''s profit, too.';
comment on column app.deals.tax_bp is 'The rate of the tax that the prices of the tickets contain.';
comment on column app.deals.promoter_profit_bp is 'The promoter''s profit before the percentage begins, as a share of the costs.';
comment on column app.deals.guarantee_is_cost is 'Of plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins when it has been earned back.';

select app_private.log_changes('app.deals', 'deal');

drop trigger if exists _100_timestamps on app.deals;
create trigger _100_timestamps before update on app.deals
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.deals;
create trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost on app.deals
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.deal_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'kind', x.kind, 'currency', x.currency, 'guarantee_minor', x.guarantee_minor, 'percentage_bp', x.percentage_bp,
      'base', x.base, 'tax_bp', x.tax_bp, 'promoter_profit_bp', x.promoter_profit_bp, 'guarantee_is_cost', x.guarantee_is_cost,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.deals x;
comment on view app.deal_list is 'The organization''s deals with their JSON, also those in the bin, which have deleted_at.';
grant select on app.deal_list to callboard_api, callboard_definer;

create or replace function app.read_deal(deal uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/deals/' || x.id into answer from app.deal_list x
  where x.organization_id = (select app.current_org()) and x.id = deal and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_deal(uuid) is 'A deal. PT403, PT404.';
revoke execute on function app.read_deal(uuid) from public;
grant execute on function app.read_deal(uuid) to callboard_api, callboard_definer;

create or replace function app.create_deal(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deals := jsonb_populate_record(null::app.deals, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.deals (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost)
  values (show, n.kind, n.currency, n.guarantee_minor, n.percentage_bp, n.base, coalesce(n.tax_bp, 0), coalesce(n.promoter_profit_bp, 0),
      coalesce(n.guarantee_is_cost, n.kind = 'plus')) returning id into n.id;
  answer := app.read_deal(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_deal(uuid, jsonb) is 'A new deal of a show. PT403 without finance.write, PT404, PT409 deals_one_per_show, settlement_final.';
revoke execute on function app.create_deal(uuid, jsonb) from public;
grant execute on function app.create_deal(uuid, jsonb) to callboard_api;

create or replace function app.write_deal(deal uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deals;
begin
  perform app.require('finance.read');
  select * into n from app.deals x where x.organization_id = (select app.current_org()) and x.id = deal and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.deals x
  where x.organization_id = (select app.current_org()) and x.id = deal and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.deals else n end, body);
  update app.deals x
  set (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost)
    = row (n.kind, n.currency, n.guarantee_minor, n.percentage_bp, n.base, coalesce(n.tax_bp, 0), coalesce(n.promoter_profit_bp, 0),
      coalesce(n.guarantee_is_cost, n.kind = 'plus'))
  where x.organization_id = (select app.current_org()) and x.id = deal;
  return app.read_deal(deal);
end
$$;
comment on function app.write_deal(uuid, jsonb, boolean, text) is
  'Changes a deal: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_deal(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_deal(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_deal(deal uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.deals', deal, if_match);
end
$$;
comment on function app.delete_deal(uuid, text) is 'Deletes a deal until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_deal(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_deal(uuid, text) from public;
grant execute on function app.delete_deal(uuid, text) to callboard_api;

create or replace function app.restore_deal(deal uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.deals', deal);
  return app.read_deal(deal);
end
$$;
comment on function app.restore_deal(uuid) is 'Brings a deleted deal back. PT403, PT404, PT409 deals_one_per_show, parent_deleted, settlement_final.';
alter function app.restore_deal(uuid) owner to callboard_definer;
revoke execute on function app.restore_deal(uuid) from public;
grant execute on function app.restore_deal(uuid) to callboard_api;
--! EndIncluded deals.sql
--! Included ticket_tiers.sql
-- Ticket tiers: the kinds of tickets of a show, what one costs, and how many were sold. In the currency of the show's deal.

create table if not exists app.ticket_tiers (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text not null constraint ticket_tiers_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  price_minor bigint not null constraint ticket_tiers_price_range check (price_minor between 0 and 9007199254740991),
  facility_fee_minor bigint not null default 0 constraint ticket_tiers_facility_fee_range check (facility_fee_minor between 0 and 9007199254740991),
  allotment integer not null constraint ticket_tiers_allotment_positive check (allotment > 0),
  sold integer not null default 0 constraint ticket_tiers_sold_positive check (sold >= 0),
  comps integer not null default 0 constraint ticket_tiers_comps_positive check (comps >= 0),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint ticket_tiers_fee_within_price check (facility_fee_minor <= price_minor),
  constraint ticket_tiers_within_allotment check (sold::bigint + comps <= allotment)
);
create index if not exists ticket_tiers_organization_id_show_id_idx on app.ticket_tiers (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists ticket_tiers_deletion_id_idx on app.ticket_tiers (organization_id, deletion_id) where deletion_id is not null;
alter table app.ticket_tiers alter column name set statistics 0, alter column price_minor set statistics 0, alter column facility_fee_minor set statistics 0,
  alter column allotment set statistics 0, alter column sold set statistics 0, alter column comps set statistics 0;

alter table app.ticket_tiers enable row level security;
alter table app.ticket_tiers force row level security;

drop policy if exists select_member on app.ticket_tiers;
create policy select_member on app.ticket_tiers for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.ticket_tiers;
create policy insert_member on app.ticket_tiers for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.ticket_tiers;
create policy update_member on app.ticket_tiers for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.ticket_tiers;
create policy delete_member on app.ticket_tiers for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.ticket_tiers;
create policy select_definer on app.ticket_tiers for select to callboard_definer using (true);
drop policy if exists update_definer on app.ticket_tiers;
create policy update_definer on app.ticket_tiers for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.ticket_tiers to callboard_api, callboard_definer;
grant insert (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps), update (name, price_minor, facility_fee_minor, allotment, sold, comps) on app.ticket_tiers to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.ticket_tiers to callboard_definer;

comment on table app.ticket_tiers is 'The kinds of tickets of a show, with how many were sold.';
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before anybody shares.';
comment on column app.ticket_tiers.comps is 'Tickets that were given away: they take a place, and bring and cost nothing.';

select app_private.log_changes('app.ticket_tiers', 'ticket_tier');

drop trigger if exists _100_timestamps on app.ticket_tiers;
create trigger _100_timestamps before update on app.ticket_tiers
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.ticket_tiers;
create trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps on app.ticket_tiers
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.ticket_tier_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.name, x.price_minor, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'name', x.name, 'price_minor', x.price_minor, 'facility_fee_minor', x.facility_fee_minor,
      'allotment', x.allotment, 'sold', x.sold, 'comps', x.comps,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.ticket_tiers x;
comment on view app.ticket_tier_list is 'The organization''s ticket tiers with their JSON, also those in the bin, which have deleted_at.';
grant select on app.ticket_tier_list to callboard_api, callboard_definer;

create or replace function app.read_ticket_tier(tier uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/ticket-tiers/' || x.id into answer from app.ticket_tier_list x
  where x.organization_id = (select app.current_org()) and x.id = tier and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_ticket_tier(uuid) is 'A ticket tier. PT403, PT404.';
revoke execute on function app.read_ticket_tier(uuid) from public;
grant execute on function app.read_ticket_tier(uuid) to callboard_api, callboard_definer;

create or replace function app.create_ticket_tier(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.ticket_tiers := jsonb_populate_record(null::app.ticket_tiers, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.ticket_tiers (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps)
  values (show, n.name, n.price_minor, coalesce(n.facility_fee_minor, 0), n.allotment, coalesce(n.sold, 0), coalesce(n.comps, 0)) returning id into n.id;
  answer := app.read_ticket_tier(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_ticket_tier(uuid, jsonb) is 'A new ticket tier of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
revoke execute on function app.create_ticket_tier(uuid, jsonb) from public;
grant execute on function app.create_ticket_tier(uuid, jsonb) to callboard_api;

create or replace function app.write_ticket_tier(tier uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.ticket_tiers;
begin
  perform app.require('finance.read');
  select * into n from app.ticket_tiers x where x.organization_id = (select app.current_org()) and x.id = tier and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.ticket_tiers x
  where x.organization_id = (select app.current_org()) and x.id = tier and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.ticket_tiers else n end, body);
  update app.ticket_tiers x
  set (name, price_minor, facility_fee_minor, allotment, sold, comps)
    = row (n.name, n.price_minor, coalesce(n.facility_fee_minor, 0), n.allotment, coalesce(n.sold, 0), coalesce(n.comps, 0))
  where x.organization_id = (select app.current_org()) and x.id = tier;
  return app.read_ticket_tier(tier);
end
$$;
comment on function app.write_ticket_tier(uuid, jsonb, boolean, text) is
  'Changes a ticket tier: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_ticket_tier(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_ticket_tier(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_ticket_tier(tier uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.ticket_tiers', tier, if_match);
end
$$;
comment on function app.delete_ticket_tier(uuid, text) is 'Deletes a ticket tier until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_ticket_tier(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_ticket_tier(uuid, text) from public;
grant execute on function app.delete_ticket_tier(uuid, text) to callboard_api;

create or replace function app.restore_ticket_tier(tier uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.ticket_tiers', tier);
  return app.read_ticket_tier(tier);
end
$$;
comment on function app.restore_ticket_tier(uuid) is 'Brings a deleted ticket tier back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_ticket_tier(uuid) owner to callboard_definer;
revoke execute on function app.restore_ticket_tier(uuid) from public;
grant execute on function app.restore_ticket_tier(uuid) to callboard_api;
--! EndIncluded ticket_tiers.sql
--! Included show_costs.sql
-- Costs of a show: what the promoter pays for it. In the currency of the show's deal.

create table if not exists app.show_costs (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text not null constraint show_costs_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  kind text not null constraint show_costs_kind_known check (kind in ('fixed', 'per_ticket')),
  amount_minor bigint not null constraint show_costs_amount_range check (amount_minor between 0 and 9007199254740991),
  is_estimate boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists show_costs_organization_id_show_id_idx on app.show_costs (organization_id, show_id, created_at, id) where deleted_at is null;
create index if not exists show_costs_deletion_id_idx on app.show_costs (organization_id, deletion_id) where deletion_id is not null;
alter table app.show_costs alter column name set statistics 0, alter column kind set statistics 0, alter column amount_minor set statistics 0;

alter table app.show_costs enable row level security;
alter table app.show_costs force row level security;

drop policy if exists select_member on app.show_costs;
create policy select_member on app.show_costs for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.show_costs;
create policy insert_member on app.show_costs for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.show_costs;
create policy update_member on app.show_costs for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.show_costs;
create policy delete_member on app.show_costs for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.show_costs;
create policy select_definer on app.show_costs for select to callboard_definer using (true);
drop policy if exists update_definer on app.show_costs;
create policy update_definer on app.show_costs for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.show_costs to callboard_api, callboard_definer;
grant insert (show_id, name, kind, amount_minor, is_estimate), update (name, kind, amount_minor, is_estimate) on app.show_costs to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.show_costs to callboard_definer;

comment on table app.show_costs is 'What the promoter pays for a show.';
comment on column app.show_costs.kind is 'fixed: the amount, once; per_ticket: the amount for each ticket sold.';
comment on column app.show_costs.is_estimate is 'Whether the invoice is still to come: a settlement with an estimate cannot be final.';

select app_private.log_changes('app.show_costs', 'show_cost');

drop trigger if exists _100_timestamps on app.show_costs;
create trigger _100_timestamps before update on app.show_costs
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.show_costs;
create trigger _200_unsettled before insert or update of name, kind, amount_minor, is_estimate on app.show_costs
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.show_cost_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.name, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'name', x.name, 'kind', x.kind, 'amount_minor', x.amount_minor, 'is_estimate', x.is_estimate,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.show_costs x;
comment on view app.show_cost_list is 'The organization''s costs of shows with their JSON, also those in the bin, which have deleted_at.';
grant select on app.show_cost_list to callboard_api, callboard_definer;

create or replace function app.read_show_cost(cost uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/costs/' || x.id into answer from app.show_cost_list x
  where x.organization_id = (select app.current_org()) and x.id = cost and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show_cost(uuid) is 'A cost. PT403, PT404.';
revoke execute on function app.read_show_cost(uuid) from public;
grant execute on function app.read_show_cost(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show_cost(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.show_costs := jsonb_populate_record(null::app.show_costs, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.show_costs (show_id, name, kind, amount_minor, is_estimate)
  values (show, n.name, n.kind, n.amount_minor, coalesce(n.is_estimate, false)) returning id into n.id;
  answer := app.read_show_cost(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show_cost(uuid, jsonb) is 'A new cost of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
revoke execute on function app.create_show_cost(uuid, jsonb) from public;
grant execute on function app.create_show_cost(uuid, jsonb) to callboard_api;

create or replace function app.write_show_cost(cost uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.show_costs;
begin
  perform app.require('finance.read');
  select * into n from app.show_costs x where x.organization_id = (select app.current_org()) and x.id = cost and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.show_costs x
  where x.organization_id = (select app.current_org()) and x.id = cost and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.show_costs else n end, body);
  update app.show_costs x
  set (name, kind, amount_minor, is_estimate)
    = row (n.name, n.kind, n.amount_minor, coalesce(n.is_estimate, false))
  where x.organization_id = (select app.current_org()) and x.id = cost;
  return app.read_show_cost(cost);
end
$$;
comment on function app.write_show_cost(uuid, jsonb, boolean, text) is
  'Changes a cost: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_show_cost(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_show_cost(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_show_cost(cost uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.show_costs', cost, if_match);
end
$$;
comment on function app.delete_show_cost(uuid, text) is 'Deletes a cost until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_show_cost(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_show_cost(uuid, text) from public;
grant execute on function app.delete_show_cost(uuid, text) to callboard_api;

create or replace function app.restore_show_cost(cost uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.show_costs', cost);
  return app.read_show_cost(cost);
end
$$;
comment on function app.restore_show_cost(uuid) is 'Brings a deleted cost back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_show_cost(uuid) owner to callboard_definer;
revoke execute on function app.restore_show_cost(uuid) from public;
grant execute on function app.restore_show_cost(uuid) to callboard_api;
--! EndIncluded show_costs.sql
--! Included deposits.sql
-- Deposits: what the artist has been paid ahead of the settlement. In the currency of the show's deal.

create table if not exists app.deposits (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  paid_on date not null constraint deposits_paid_on_range check (paid_on between date '1900-01-01' and date '2199-12-31'),
  amount_minor bigint not null constraint deposits_amount_range check (amount_minor between 1 and 9007199254740991),
  note text constraint deposits_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists deposits_organization_id_show_id_idx on app.deposits (organization_id, show_id, paid_on, id) where deleted_at is null;
create index if not exists deposits_deletion_id_idx on app.deposits (organization_id, deletion_id) where deletion_id is not null;
alter table app.deposits alter column amount_minor set statistics 0, alter column note set statistics 0;

alter table app.deposits enable row level security;
alter table app.deposits force row level security;

drop policy if exists select_member on app.deposits;
create policy select_member on app.deposits for select to callboard_api
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.deposits;
create policy insert_member on app.deposits for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.deposits;
create policy update_member on app.deposits for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.deposits;
create policy delete_member on app.deposits for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.deposits;
create policy select_definer on app.deposits for select to callboard_definer using (true);
drop policy if exists update_definer on app.deposits;
create policy update_definer on app.deposits for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.deposits to callboard_api, callboard_definer;
grant insert (show_id, paid_on, amount_minor, note), update (paid_on, amount_minor, note) on app.deposits to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.deposits to callboard_definer;

comment on table app.deposits is 'What artists have been paid ahead of the settlement of a show.';

select app_private.log_changes('app.deposits', 'deposit');

drop trigger if exists _100_timestamps on app.deposits;
create trigger _100_timestamps before update on app.deposits
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_unsettled on app.deposits;
create trigger _200_unsettled before insert or update of paid_on, amount_minor, note on app.deposits
  for each row execute function app_private.tg__200_unsettled();

create or replace view app.deposit_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.paid_on, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id,
      'paid_on', x.paid_on, 'amount_minor', x.amount_minor, 'note', x.note,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    x.deleted_at, x.deleted_by
  from app.deposits x;
comment on view app.deposit_list is 'The organization''s deposits with their JSON, also those in the bin, which have deleted_at.';
grant select on app.deposit_list to callboard_api, callboard_definer;

create or replace function app.read_deposit(deposit uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/deposits/' || x.id into answer from app.deposit_list x
  where x.organization_id = (select app.current_org()) and x.id = deposit and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_deposit(uuid) is 'A deposit. PT403, PT404.';
revoke execute on function app.read_deposit(uuid) from public;
grant execute on function app.read_deposit(uuid) to callboard_api, callboard_definer;

create or replace function app.create_deposit(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deposits := jsonb_populate_record(null::app.deposits, body);
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  insert into app.deposits (show_id, paid_on, amount_minor, note)
  values (show, n.paid_on, n.amount_minor, n.note) returning id into n.id;
  answer := app.read_deposit(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_deposit(uuid, jsonb) is 'A new deposit of a show. PT403 without finance.write, PT404, PT409 settlement_final.';
revoke execute on function app.create_deposit(uuid, jsonb) from public;
grant execute on function app.create_deposit(uuid, jsonb) to callboard_api;

create or replace function app.write_deposit(deposit uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.deposits;
begin
  perform app.require('finance.read');
  select * into n from app.deposits x where x.organization_id = (select app.current_org()) and x.id = deposit and x.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into n from app.deposits x
  where x.organization_id = (select app.current_org()) and x.id = deposit and x.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.deposits else n end, body);
  update app.deposits x
  set (paid_on, amount_minor, note)
    = row (n.paid_on, n.amount_minor, n.note)
  where x.organization_id = (select app.current_org()) and x.id = deposit;
  return app.read_deposit(deposit);
end
$$;
comment on function app.write_deposit(uuid, jsonb, boolean, text) is
  'Changes a deposit: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409 settlement_final, PT412.';
revoke execute on function app.write_deposit(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_deposit(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_deposit(deposit uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_part('app.deposits', deposit, if_match);
end
$$;
comment on function app.delete_deposit(uuid, text) is 'Deletes a deposit until it is restored. PT403, PT404, PT409 settlement_final, PT412.';
alter function app.delete_deposit(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_deposit(uuid, text) from public;
grant execute on function app.delete_deposit(uuid, text) to callboard_api;

create or replace function app.restore_deposit(deposit uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_part('app.deposits', deposit);
  return app.read_deposit(deposit);
end
$$;
comment on function app.restore_deposit(uuid) is 'Brings a deleted deposit back. PT403, PT404, PT409 parent_deleted, settlement_final.';
alter function app.restore_deposit(uuid) owner to callboard_definer;
revoke execute on function app.restore_deposit(uuid) from public;
grant execute on function app.restore_deposit(uuid) to callboard_api;
--! EndIncluded deposits.sql
--! Included settlement_commands.sql
-- What can be done with a settlement; the table is in settlements.sql.

create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'number', x.number, 'status', x.status, 'reason', x.reason,
      'inputs', x.inputs, 'result', x.result,
      'finalized_at', x.finalized_at, 'finalized_by', x.finalized_by,
      'reopened_at', x.reopened_at, 'reopened_by', x.reopened_by, 'reopen_reason', x.reopen_reason,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.settlements x
  where x.deleted_at is null;
comment on view app.settlement_list is 'The organization''s settlements that are not deleted, with their JSON.';
grant select on app.settlement_list to callboard_api, callboard_definer;

create or replace function app.read_settlement(settlement uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/settlements/' || x.id into answer from app.settlement_list x
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_settlement(uuid) is 'A revision of a settlement. PT403, PT404.';
revoke execute on function app.read_settlement(uuid) from public;
grant execute on function app.read_settlement(uuid) to callboard_api, callboard_definer;

create or replace function app_private.lock_show(show uuid) returns text
language plpgsql volatile
set search_path = ''
as $$
declare
  status text;
begin
  select s.status into status from app.shows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null for no key update;
  if status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return status;
end
$$;
comment on function app_private.lock_show(uuid) is
  'The status of a show, whose row is locked: what belongs to it is entered and changed before or after this transaction, not meanwhile. PT404.';
alter function app_private.lock_show(uuid) owner to callboard_definer;
revoke execute on function app_private.lock_show(uuid) from public;

create or replace function app.record_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  why constant text := nullif(btrim(body ->> 'reason'), '');
  present jsonb;
  settlement uuid;
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  perform app.require('finance.write');
  if app_private.lock_show(show) = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
  if why is null and exists (
    select from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.deleted_at is null)
  then
    perform app.refuse(422, 'settlement_reason_needed');
  end if;
  present := app.settlement_inputs(show);
  insert into app.settlements (show_id, number, reason, inputs, result)
  select show, coalesce(max(x.number), 0) + 1, why, present, app.settle(present)
  from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show
  returning id into settlement;
  answer := app.read_settlement(settlement);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.record_settlement(uuid, jsonb) is
  'Records what the settlement of a show is now, as its next revision. PT403, PT404, PT409 settlement_needs_deal, settlement_final, PT422 settlement_reason_needed, settlement_out_of_range.';
alter function app.record_settlement(uuid, jsonb) owner to callboard_definer;
revoke execute on function app.record_settlement(uuid, jsonb) from public;
grant execute on function app.record_settlement(uuid, jsonb) to callboard_api;

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
  -- Now that nobody else may finalize it, look again.
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.status = 'final' then
    perform app.refuse(409, 'settlement_final');
  elsif show_status <> 'played' then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif present.inputs is distinct from app.settlement_inputs(present.show_id) then
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
revoke execute on function app.finalize_settlement(uuid) from public;
grant execute on function app.finalize_settlement(uuid) to callboard_api;

create or replace function app.reopen_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require_show(show);
  perform app.require('finance.close');
  if app_private.lock_show(show) <> 'settled' then
    perform app.refuse(409, 'show_not_settled');
  end if;
  update app.settlements x set (reopened_at, reopened_by, reopen_reason) = row (statement_timestamp(), app.current_user_id(), body ->> 'reason')
  where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null;
  if not found then
    -- Somebody said that it is settled, without a deal: then only the log keeps the reason.
    perform app_private.log_event(app.current_org(), 'show.reopen', 'show', show, jsonb_build_object('new', jsonb_build_object('reason', body ->> 'reason')));
  end if;
  update app.shows s set status = 'played' where s.organization_id = (select app.current_org()) and s.id = show;
  return app.read_show(show);
end
$$;
comment on function app.reopen_settlement(uuid, jsonb) is
  'Takes a settled show back to played, for a reason, which stands in the settlement that was final. PT403 without finance.close, PT404, PT409 show_not_settled.';
alter function app.reopen_settlement(uuid, jsonb) owner to callboard_definer;
revoke execute on function app.reopen_settlement(uuid, jsonb) from public;
grant execute on function app.reopen_settlement(uuid, jsonb) to callboard_api;
--! EndIncluded settlement_commands.sql
--! Included finance_categories.sql
-- What income and expenses are for: a list of each organization's own, with which it begins.

create table if not exists app.finance_categories (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_categories_kind_known check (kind in ('income', 'expense')),
  name text not null constraint finance_categories_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  -- So that a record and its category are of one kind.
  constraint finance_categories_id_kind_key unique (organization_id, id, kind)
);
create unique index if not exists finance_category_name_taken on app.finance_categories (organization_id, kind, lower(name)) where deleted_at is null;
alter index app.finance_category_name_taken alter column 3 set statistics 0;
create index if not exists finance_categories_deletion_id_idx on app.finance_categories (organization_id, deletion_id) where deletion_id is not null;
alter table app.finance_categories alter column name set statistics 0;

alter table app.finance_categories enable row level security;
alter table app.finance_categories force row level security;

drop policy if exists select_member on app.finance_categories;
create policy select_member on app.finance_categories for select to callboard_api, callboard_exporter
  using (organization_id = (select app.org_if('finance.read')));
drop policy if exists insert_member on app.finance_categories;
create policy insert_member on app.finance_categories for insert to callboard_api
  with check (organization_id = (select app.org_if('finance.write')));
drop policy if exists update_member on app.finance_categories;
create policy update_member on app.finance_categories for update to callboard_api
  using (organization_id = (select app.org_if('finance.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.finance_categories;
create policy delete_member on app.finance_categories for delete to callboard_api
  using (organization_id = (select app.org_if('finance.delete')));

-- Founding an organization, deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.finance_categories;
create policy select_definer on app.finance_categories for select to callboard_definer using (true);
drop policy if exists insert_definer on app.finance_categories;
create policy insert_definer on app.finance_categories for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.finance_categories;
create policy update_definer on app.finance_categories for update to callboard_definer
  using (organization_id = (select app.current_org()));
-- Figures are computed of all organizations at once: see rollups.sql.
drop policy if exists select_rollup on app.finance_categories;
create policy select_rollup on app.finance_categories for select to callboard_rollup using (true);

grant select on app.finance_categories to callboard_api, callboard_definer, callboard_exporter, callboard_rollup;
grant insert (kind, name), update (name) on app.finance_categories to callboard_api;
grant insert (organization_id, kind, name), update (deleted_at, deleted_by, deletion_id) on app.finance_categories to callboard_definer;

comment on table app.finance_categories is 'What income and expenses of the organization are for.';

drop trigger if exists _100_timestamps on app.finance_categories;
create trigger _100_timestamps before update on app.finance_categories
  for each row execute function app_private.tg__100_timestamps();

select app_private.log_changes('app.finance_categories', 'finance_category');

create or replace function app_private.tg_organizations__500_finance_categories() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  insert into app.finance_categories (organization_id, kind, name)
  select new.id, c.kind, c.name
  from (values
    ('income', 'Ticket sales'), ('income', 'Guarantee'), ('income', 'Merchandise'), ('income', 'Sponsorship'), ('income', 'Other income'),
    ('expense', 'Artist fees'), ('expense', 'Venue hire'), ('expense', 'Production'), ('expense', 'Crew'), ('expense', 'Travel'),
    ('expense', 'Accommodation'), ('expense', 'Catering'), ('expense', 'Marketing'), ('expense', 'Insurance'),
    ('expense', 'Taxes and licences'), ('expense', 'Other expenses')) as c (kind, name);
  return null;
end
$$;
comment on function app_private.tg_organizations__500_finance_categories() is 'Gives a new organization the categories with which it begins.';
alter function app_private.tg_organizations__500_finance_categories() owner to callboard_definer;
revoke execute on function app_private.tg_organizations__500_finance_categories() from public;
create or replace trigger _500_finance_categories after insert on app.organizations
  for each row execute function app_private.tg_organizations__500_finance_categories();

create or replace view app.finance_category_list with (security_invoker = true) as
  select c.organization_id, c.id, c.kind, c.name, c.version,
    json_build_object('id', c.id, 'kind', c.kind, 'name', c.name, 'created_at', c.created_at, 'updated_at', c.updated_at) as body,
    c.deleted_at, c.deleted_by
  from app.finance_categories c;
comment on view app.finance_category_list is 'The organization''s categories with their JSON, also those in the bin, which have deleted_at.';
grant select on app.finance_category_list to callboard_api, callboard_definer;

create or replace function app.read_finance_category(category uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, c.body, app.etag(c.version), '/api/finance-categories/' || c.id into answer from app.finance_category_list c
  where c.organization_id = (select app.current_org()) and c.id = category and c.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_finance_category(uuid) is 'A category. PT404.';
revoke execute on function app.read_finance_category(uuid) from public;
grant execute on function app.read_finance_category(uuid) to callboard_api, callboard_definer;

create or replace function app.create_finance_category(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  category uuid;
  answer app.answer;
begin
  insert into app.finance_categories (kind, name) values (body ->> 'kind', body ->> 'name') returning id into category;
  answer := app.read_finance_category(category);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_finance_category(jsonb) is 'A new category: kind and name. PT403 without finance.write, PT409 finance_category_name_taken.';
revoke execute on function app.create_finance_category(jsonb) from public;
grant execute on function app.create_finance_category(jsonb) to callboard_api;

create or replace function app.rename_finance_category(category uuid, to_name text, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  select c.version into present from app.finance_categories c
  where c.organization_id = (select app.current_org()) and c.id = category and c.deleted_at is null;
  perform app.check_version(present, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select c.version into present from app.finance_categories c
  where c.organization_id = (select app.current_org()) and c.id = category and c.deleted_at is null for no key update;
  perform app.check_version(present, if_match);
  update app.finance_categories c set name = to_name where c.organization_id = (select app.current_org()) and c.id = category;
  return app.read_finance_category(category);
end
$$;
comment on function app.rename_finance_category(uuid, text, text) is 'Renames a category, in all records that have it. PT403, PT404, PT409 finance_category_name_taken, PT412.';
revoke execute on function app.rename_finance_category(uuid, text, text) from public;
grant execute on function app.rename_finance_category(uuid, text, text) to callboard_api;

create or replace function app.delete_finance_category(category uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.finance_categories', category, if_match);
end
$$;
comment on function app.delete_finance_category(uuid, text) is 'Deletes a category that no record has. PT403, PT404, PT409 finance_records_category_exists, PT412.';
alter function app.delete_finance_category(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_finance_category(uuid, text) from public;
grant execute on function app.delete_finance_category(uuid, text) to callboard_api;

create or replace function app.restore_finance_category(category uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.finance_categories', category);
  return app.read_finance_category(category);
end
$$;
comment on function app.restore_finance_category(uuid) is 'Brings a deleted category back. PT403, PT404, PT409 finance_category_name_taken.';
alter function app.restore_finance_category(uuid) owner to callboard_definer;
revoke execute on function app.restore_finance_category(uuid) from public;
grant execute on function app.restore_finance_category(uuid) to callboard_api;
--! EndIncluded finance_categories.sql
--! Included finance_record_commands.sql
-- What can be done with a finance record; the table is in finance_records.sql.

create or replace view app.finance_record_list with (security_invoker = true) as
  select r.organization_id, r.id, r.kind, r.category_id, r.show_id, r.booked_on, r.currency, r.status, r.payment_status, r.source, r.external_ref,
    r.version,
    json_build_object(
      'id', r.id, 'kind', r.kind, 'category_id', r.category_id, 'category_name', c.name, 'show_id', r.show_id,
      -- Also of a show that is deleted: what was paid for it is still to be read.
      'show_title', s.title,
      'booked_on', r.booked_on, 'due_on', r.due_on, 'amount_minor', r.amount_minor, 'tax_minor', r.tax_minor, 'currency', r.currency,
      'exchange_rate', trim_scale(r.exchange_rate), 'base_amount_minor', r.base_amount_minor, 'base_currency', r.base_currency,
      'status', r.status, 'payment_status', r.payment_status, 'counterparty', r.counterparty, 'note', r.note,
      'source', r.source, 'external_ref', r.external_ref,
      'created_by', r.created_by, 'created_at', r.created_at, 'updated_at', r.updated_at) as body,
    r.deleted_at, r.deleted_by
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id;
comment on view app.finance_record_list is 'The organization''s finance records with their JSON, also those in the bin, which have deleted_at.';
grant select on app.finance_record_list to callboard_api, callboard_definer;

create or replace function app.read_finance_record(record uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body, app.etag(r.version), '/api/finance-records/' || r.id into answer from app.finance_record_list r
  where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_finance_record(uuid) is 'A finance record. PT404.';
revoke execute on function app.read_finance_record(uuid) from public;
grant execute on function app.read_finance_record(uuid) to callboard_api, callboard_definer;

create or replace function app.create_finance_record(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.finance_records := jsonb_populate_record(null::app.finance_records, body);
  answer app.answer;
begin
  n.currency := coalesce(n.currency, app.base_currency());
  insert into app.finance_records (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status,
    payment_status, counterparty, note, source, external_ref)
  values (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency,
    coalesce(n.exchange_rate, case when n.currency = app.base_currency() then 1 end), coalesce(n.status, 'planned'),
    coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref)
  returning id into n.id;
  answer := app.read_finance_record(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_finance_record(jsonb) is
  'A new finance record; without a currency it is in the organization''s. PT403 without finance.write, PT409 period_closed, finance_record_external_ref_taken, and for a category or show that is not there.';
revoke execute on function app.create_finance_record(jsonb) from public;
grant execute on function app.create_finance_record(jsonb) to callboard_api;

create or replace function app.write_finance_record(record uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  old app.finance_records;
  n app.finance_records;
begin
  select * into old from app.finance_records r where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null;
  perform app.check_version(old.version, if_match);
  perform app.require('finance.write');
  -- Now that it may be locked, look again.
  select * into old from app.finance_records r
  where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null for no key update;
  perform app.check_version(old.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.finance_records else old end, body);
  n.currency := coalesce(n.currency, old.base_currency);
  -- The rate belongs to the currency: another one needs its own.
  if n.currency = old.base_currency then
    n.exchange_rate := coalesce((body ->> 'exchange_rate')::numeric, 1);
  elsif n.currency <> old.currency then
    n.exchange_rate := (body ->> 'exchange_rate')::numeric;
  end if;
  update app.finance_records r
  set (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
      counterparty, note, source, external_ref)
    = row (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency, n.exchange_rate,
      coalesce(n.status, 'planned'), coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref)
  where r.organization_id = (select app.current_org()) and r.id = record;
  return app.read_finance_record(record);
end
$$;
comment on function app.write_finance_record(uuid, jsonb, boolean, text) is
  'Changes a finance record: the columns in the body or, with replaces, all of them (absent ones get their default). Its base currency stays. PT403, PT404, PT409, PT412.';
revoke execute on function app.write_finance_record(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_finance_record(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_finance_record(record uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.finance_records', record, if_match);
end
$$;
comment on function app.delete_finance_record(uuid, text) is 'Deletes a finance record until it is restored. PT403, PT404, PT409 period_closed, PT412.';
alter function app.delete_finance_record(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_finance_record(uuid, text) from public;
grant execute on function app.delete_finance_record(uuid, text) to callboard_api;

create or replace function app.restore_finance_record(record uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.finance_records', record);
  return app.read_finance_record(record);
end
$$;
comment on function app.restore_finance_record(uuid) is
  'Brings a deleted finance record back, and what was deleted with it. PT403, PT404, PT409 parent_deleted, period_closed, finance_record_external_ref_taken.';
alter function app.restore_finance_record(uuid) owner to callboard_definer;
revoke execute on function app.restore_finance_record(uuid) from public;
grant execute on function app.restore_finance_record(uuid) to callboard_api;
--! EndIncluded finance_record_commands.sql
