-- The representation of a show, and its commands, which are called too often to be planned on each call: delete and
-- restore are in foundation/rows.sql. The table is in shows.sql.

create or replace view app.show_rows with (security_invoker = true) as
  select s.organization_id, s.version, s.deleted_at, s.deleted_by,
    -- What other rows add comes as text that these rows keep: app.check_rows compares it with j. Fee and venue are looked up by
    -- their keys, since the planner would rather read all of the organization for a page: OFFSET keeps it from that, and it
    -- remembers the venues that it has looked up.
    app.body(s.as_json,
      coalesce((select x.show_json from app.show_fees x where x.organization_id = s.organization_id and x.show_id = s.id), ',"fee_minor":null,"currency":null')
      || case when (select app.org_if('finance.read')) is null then ',"fee_hidden":true' else ',"fee_hidden":false' end
      || coalesce(v.show_json, ',"venue_name":null,"venue_city":null,"time_zone":null')
      || ',"starts_at":' || coalesce(to_json(app.instant(s.show_on + s.start_time, v.time_zone))::text, 'null')) as body,
    s.id, s.title, s.artist, s.show_on, s.status, s.venue_id, to_char(s.doors_time, 'HH24:MI') as doors_time, to_char(s.start_time, 'HH24:MI') as start_time, to_char(s.curfew_time, 'HH24:MI') as curfew_time, s.capacity, s.tickets_sold, s.notes, s.source, s.external_ref,
    s.created_by, s.created_at, s.updated_at, j.*
  from app.shows s
  left join app.show_fees f on f.organization_id = s.organization_id and f.show_id = s.id
  left join lateral (select x.show_json, x.name, x.city, x.time_zone from app.venues x
    where x.organization_id = s.organization_id and x.id = s.venue_id offset 0) v on true
  cross join lateral (
    -- What hides a fee is the policy of its table; fee_hidden only says so.
    select f.fee_minor, f.currency, (select app.org_if('finance.read')) is null as fee_hidden,
      v.name as venue_name, v.city as venue_city, v.time_zone, app.instant(s.show_on + s.start_time, v.time_zone) as starts_at) j;
select app_private.publish_rows('app.shows');

-- Declared to return few rows, so that a list looks these up instead of scanning all shows for them.
create or replace function app.search_shows(q text) returns setof uuid
language plpgsql stable rows 20 security definer
set search_path = ''
set client_min_messages = 'error'
-- The planner can estimate how many rows match only if it knows the text.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- The organization is compared as a value, not through a policy, under which the index cannot be used.
  organization uuid := app.org_if('shows.read');
  pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
begin
  return query
    select s.id from app.shows s where s.organization_id = organization and (s.title || ' ' || s.artist) ilike pattern
    union
    -- Venues first, as an array: with a join PostgreSQL would read all shows.
    select s.id from app.shows s
    where s.organization_id = organization and s.venue_id = any (array(
      select v.id from app.venues v where v.organization_id = organization and (v.name || ' ' || v.city) ilike pattern));
end
$$;
comment on function app.search_shows(text) is 'Ids of the organization''s shows whose title and artist, or venue and city, contain the text in any case.';
alter function app.search_shows(text) owner to callboard_definer;
grant execute on function app.search_shows(text) to callboard_api;

create or replace function app.read_show(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body::json, app.etag(r.version), '/api/shows/' || r.id into answer
  from app.show_rows r where r.organization_id = (select app.current_org()) and r.id = show and r.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show(uuid) is 'A show. PT404.';
grant execute on function app.read_show(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows := jsonb_populate_record(null::app.shows, body);
  organization uuid;
  answer app.answer;
begin
  insert into app.shows (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
  values (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
    n.capacity, coalesce(n.tickets_sold, 0), n.notes, n.source, n.external_ref)
  returning id into n.id;
  if coalesce(body ->> 'fee_minor', body ->> 'currency') is not null then
    organization := app.require('finance.write');
    insert into app.show_fees (show_id, fee_minor, currency) values (n.id, (body ->> 'fee_minor')::bigint, body ->> 'currency');
  end if;
  answer := app.read_show(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show(jsonb) is 'Creates a show. PT403 without shows.write or, with a fee, finance.write; PT409 shows_venue_exists.';
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
  if app.is_visible(body ->> 'reason') is not true then
    perform app.refuse(422, 'show_status_reason_visible');
  end if;
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
  'Gives a show any status but settled, from any but settled, with a reason, which the log keeps: for what was entered by mistake. PT403 without shows.write and shows.delete, PT404, PT409 show_status_transition, PT422 show_status_reason_visible.';
alter function app.correct_show_status(uuid, jsonb) owner to callboard_definer;
grant execute on function app.correct_show_status(uuid, jsonb) to callboard_api;
