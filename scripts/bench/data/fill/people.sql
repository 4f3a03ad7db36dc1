-- Organizations, their people and their sessions. `bench_fill.given` has what only the application can
-- provide: the recipe and proof of a password, and the categories that an organization starts with.

insert into app.organizations (id, name, slug, currency, time_zone, created_at, updated_at)
select bench_fill.organization_id(n), name, app_private.slug_base(name), bench_fill.currency_of(n), bench_fill.time_zone_of(n), at, at
from (
  select n, bench_fill.organization_made(n) as at,
    bench_fill.pick(n, 10, '{Northlight,Harbour,Silver,Old Mill,Lantern,Meridian,Foundry,Riverside,Copper,Paper Moon}') || ' '
    || bench_fill.pick(n, 11, '{Touring,Stage,Concerts,Presents,Live,Booking}') || ' ' || n as name
  from generate_series(1, bench_fill.organizations()) n) o;

insert into app_private.slugs (slug, organization_id, created_at)
select slug, id, created_at from app.organizations order by id;

insert into app.users (id, email, display_name, email_verified_at, created_at, updated_at)
select bench_fill.user_id(n, k), format('user%s@company%s.example', k, n),
  bench_fill.pick(n * 8 + k, 12, '{Ana,Ben,Chiara,Dov,Erin,Femi,Gro,Hana,Ines,Jon}') || ' '
    || bench_fill.pick(n * 8 + k, 13, '{Lima,Okafor,Conti,Levi,Walsh,Adeyemi,Haugen,Sato,Duarte,Berg}'),
  bench_fill.organization_made(n), bench_fill.organization_made(n), bench_fill.organization_made(n)
from generate_series(1, bench_fill.organizations()) n, generate_series(1, 8) k;

insert into app_private.credentials (user_id, recipe, verifier, changed_at)
select u.id, g.recipe, sha256(g.proof), u.created_at from app.users u, bench_fill.given g;

insert into app.memberships (organization_id, user_id, role, created_at, updated_at)
select bench_fill.organization_id(n), bench_fill.user_id(n, k), (array['owner', 'admin', 'manager', 'manager', 'viewer', 'viewer', 'viewer', 'viewer'])[k],
  bench_fill.organization_made(n), bench_fill.organization_made(n)
from generate_series(1, bench_fill.organizations()) n, generate_series(1, 8) k;
-- One person in forty works for two organizations.
insert into app.memberships (organization_id, user_id, role, created_at, updated_at)
select bench_fill.organization_id(n), bench_fill.user_id(n - 1, 5), 'viewer', bench_fill.organization_made(n), bench_fill.organization_made(n)
from generate_series(2, bench_fill.organizations(), 5) n;

-- One live session and one ended session for everybody.
insert into app.sessions (id, user_id, secret_hash, organization_id, ip, user_agent, created_at, refreshed_at, expires_at, revoked_at, revoked_because)
select case when has_ended then bench_fill.id(at, 'ended', n * 8 + k) else bench_fill.session_id(n, k) end, bench_fill.user_id(n, k),
  sha256(convert_to('session' || has_ended || n * 8 + k, 'UTF8')), bench_fill.organization_id(n), ('10.' || n / 250 % 250 || '.' || n % 250 || '.' || k)::inet,
  'Mozilla/5.0', at, at, at + app_private.session_lifetime(), case when has_ended then at + interval '1 hour' end, case when has_ended then 'signed_out' end
from (
  select n, k, has_ended, bench_fill.day() - case when has_ended then interval '20 days' else interval '1 day' end as at
  from generate_series(1, bench_fill.organizations()) n, generate_series(1, 8) k, unnest(array[false, true]) has_ended) s;
insert into app_private.refresh_tokens (token_hash, session_id, created_at)
select sha256(convert_to('refresh' || id, 'UTF8')), id, created_at from app.sessions;

insert into app.finance_categories (organization_id, id, kind, name, created_at, updated_at)
select bench_fill.organization_id(n), bench_fill.id(bench_fill.organization_made(n), c.kind, n * 100 + c.k), c.kind, c.name,
  bench_fill.organization_made(n), bench_fill.organization_made(n)
from generate_series(1, bench_fill.organizations()) n, bench_fill.categories c;

insert into app.venues (organization_id, id, name, city, country, time_zone, capacity, created_at, updated_at)
select bench_fill.organization_id(n), bench_fill.venue_id(n, k),
  bench_fill.pick(n * 1000 + k, 14, '{Kanalhalle,The Old Tannery,Teatro Miramar,Pier Nine,Foundry Hall,Canyon Bowl,Salle des Forges,Paradiso,Lido,Apollo}') || ' ' || k + 1,
  (array['Berlin', 'Leeds', 'Lisbon', 'Portland', 'Chicago', 'Denver', 'Lyon'])[1 + k % 7], (array['DE', 'GB', 'PT', 'US', 'US', 'US', 'FR'])[1 + k % 7],
  (array['Europe/Berlin', 'Europe/London', 'Europe/Lisbon', 'America/New_York', 'America/Chicago', 'America/Denver', 'Europe/Paris'])[1 + k % 7],
  bench_fill.capacity_of(n, k), bench_fill.organization_made(n) + interval '1 hour', bench_fill.organization_made(n) + interval '1 hour'
from generate_series(1, bench_fill.organizations()) n, generate_series(0, bench_fill.venues_of(n) - 1) k;
