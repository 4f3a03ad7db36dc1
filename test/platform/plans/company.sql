-- Enough small companies, and one large one, whose id is the setting plans.organization, for plans to be
-- those of a full-size database: reading all users must cost far more than looking up colleagues, and the
-- event log goes back for months. Triggers and foreign keys are disabled meanwhile.
set local session_replication_role = replica;

create temp table companies on commit drop as
select i, case i when 0 then current_setting('plans.organization')::uuid else app.uuid_v7() end as id,
  case i when 0 then 10000 else 500 end as size, app.uuid_v7() as venue, app.uuid_v7() as category
from generate_series(0, 40) i;

insert into app.organizations (id, name, slug) select id, 'Company ' || i, 'company-' || i from companies where i > 0
union all select app.uuid_v7(), 'Company ' || i, 'company-' || i from generate_series(1001, 3000) i;
insert into app.users (email, display_name) select 'user' || i || '@plans.example', 'User ' || i from generate_series(1, 20000) i;
insert into app.memberships (organization_id, user_id, role)
select c.id, u.id, 'viewer' from companies c join app.users u on u.email like 'user' || c.i || '_@plans.example';
insert into app.sessions (user_id, secret_hash, expires_at)
select id, sha256(id::text::bytea), now() + interval '1 day' from app.users;
insert into app.venues (organization_id, id, name, city, country, time_zone)
select c.id, case n when 1 then c.venue else app.uuid_v7() end, 'Venue ' || n, 'Berlin', 'DE', 'Europe/Berlin'
from companies c, generate_series(1, greatest(c.size / 20, 5)) n;
insert into app.shows (organization_id, title, artist, venue_id, show_on, start_time, status, created_at)
select c.id, case n when 7 then 'Rarity' else 'Show ' || n end, 'Artist ' || n % 50, case n % 100 when 0 then c.venue end, date '2026-01-01' + n * 7919 % 1400, '20:00',
  (array['inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled'])[1 + n % 7], now() - n * interval '1 minute'
from companies c, generate_series(1, c.size) n;
insert into app.show_fees (organization_id, show_id, fee_minor, currency) select organization_id, id, 100000, 'EUR' from app.shows where status <> 'inquiry';
insert into app.finance_categories (organization_id, id, name, kind) select id, category, 'Fees', 'income' from companies;
insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, currency, exchange_rate, base_currency, status, source, external_ref)
select s.organization_id, 'income', c.category, s.id, s.show_on, 100, 'EUR', 1, 'EUR', 'actual', 'bank', s.title
from app.shows s join companies c on c.id = s.organization_id;
-- Each month of three years has its partition, whatever the date.
do $$
declare
  month timestamptz := date_trunc('month', now(), 'UTC');
begin
  for n in 1..36 loop
    -- That of the month before is there, if the database is as old.
    continue when to_regclass(format('app.event_log_%s', to_char((month - make_interval(months => n)) at time zone 'UTC', 'YYYY_MM'))) is not null;
    execute format('create table app.%I partition of app.event_log for values from (%L) to (%L)', 'event_log_past_' || n,
      month - make_interval(months => n), month - make_interval(months => n - 1));
  end loop;
end
$$;
insert into app.event_log (organization_id, actor_kind, action, resource_type, resource_id, occurred_at, id)
select s.organization_id, 'user', 'show.create', 'show', s.id, now() - row_number() over () * interval '1 second', app.uuid_v7() from app.shows s;
insert into app.itineraries (organization_id, name, artist, starts_on, ends_on)
select c.id, 'Tour ' || n, 'The Gaslights', date '2026-01-01' + n, date '2026-01-08' + n from companies c, generate_series(1, 1 + c.size / 40) n;
insert into app.itinerary_days (organization_id, itinerary_id, day_on, time_zone)
select i.organization_id, i.id, i.starts_on + n, 'UTC' from app.itineraries i, generate_series(0, 7) n;
insert into app.schedule_items (organization_id, day_id, itinerary_id, title, start_time)
select d.organization_id, d.id, d.itinerary_id, 'Load-in', '10:00' from app.itinerary_days d;
insert into app.idempotency_keys (organization_id, user_id, key, request_hash)
select m.organization_id, m.user_id, 'key-' || n, '' from app.memberships m, generate_series(1, 10) n;
