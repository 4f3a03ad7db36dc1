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
-- What shows are settled from: two in seven have deals, and so on. The currency of the books is the organization's.
insert into app.deals (organization_id, show_id, kind, currency, guarantee_minor, percentage, tax_percentage, promoter_profit_percentage, base, guarantee_is_cost, act)
select s.organization_id, s.id, 'versus', 'EUR', 50000, 80, 0, 0, 'net', false, case n when 2 then 'Support' end
from app.shows s, generate_series(1, 2) n where s.status in ('confirmed', 'played');
insert into app.ticket_tiers (organization_id, show_id, name, price_minor, allotment, sold)
select d.organization_id, d.show_id, 'Tier ' || n, 2000 * n, 300, 100 from app.deals d, generate_series(1, 3) n where d.act is null;
insert into app.show_costs (organization_id, show_id, name, kind, amount_minor)
select d.organization_id, d.show_id, 'Cost ' || n, 'fixed', 10000 from app.deals d, generate_series(1, 3) n where d.act is null;
insert into app.deposits (organization_id, show_id, deal_id, paid_on, amount_minor)
select d.organization_id, d.show_id, d.id, date '2026-01-01', 1000 from app.deals d;
insert into app.deal_bonuses (organization_id, show_id, deal_id, kind, amount_minor)
select d.organization_id, d.show_id, d.id, 'sell_out', 1000 from app.deals d;
insert into app.deal_adjustments (organization_id, show_id, deal_id, name, kind, amount_minor, stage)
select d.organization_id, d.show_id, d.id, 'Dinner', 'buyout', 1000, 'after_split' from app.deals d;
insert into app.settlement_templates (organization_id, name, currency) select c.id, 'Template ' || n, 'EUR' from companies c, generate_series(1, 5 + c.size / 10) n;
-- The money of tours.
insert into app.finance_categories (organization_id, id, name, kind) select id, venue, 'Costs', 'expense' from companies;
insert into app.budget_lines (organization_id, itinerary_id, category_id, amount_minor, currency, exchange_rate, base_currency)
select i.organization_id, i.id, c.venue, 100000, 'EUR', 1, 'EUR' from app.itineraries i join companies c on c.id = i.organization_id, generate_series(1, 5) n;
insert into app.finance_records (organization_id, kind, category_id, itinerary_id, booked_on, amount_minor, currency, exchange_rate, base_currency, status)
select i.organization_id, 'expense', c.venue, i.id, i.starts_on, 100, 'EUR', 1, 'EUR', 'planned'
from app.itineraries i join companies c on c.id = i.organization_id, generate_series(1, 5) n;
insert into app.expenses (organization_id, person, itinerary_id, category_id, spent_on, amount_minor, currency, purpose, status, created_by)
select i.organization_id, 'Ana', i.id, c.venue, i.starts_on, 100, 'EUR', 'Taxi', case n when 1 then 'submitted' else 'draft' end, m.user_id
from app.itineraries i join companies c on c.id = i.organization_id
join lateral (select user_id from app.memberships m where m.organization_id = i.organization_id limit 1) m on true, generate_series(1, 10) n;
insert into app.settlements (organization_id, show_id, number, status, inputs, result, finalized_at)
select s.organization_id, s.id, 1, 'final', '{"currency": "EUR"}', '{}', now() from app.shows s where s.status = 'settled';
