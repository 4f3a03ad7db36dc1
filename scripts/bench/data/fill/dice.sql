-- The generator's dice. Everything derives from a row's number, so the same size and day produce the same rows, ids
-- included, and a row can refer to another without looking it up. The size is in functions too, so that PostgreSQL
-- inlines all of them. (`offset 0` in the other files keeps it from computing the same thing twice.)

create schema bench_fill;
create function bench_fill.organizations() returns bigint language sql immutable parallel safe return :organizations;
create function bench_fill.shows() returns bigint language sql immutable parallel safe return :shows;
create function bench_fill.day() returns timestamptz language sql stable parallel safe return timestamptz ':day 00:00:00+00';

create function bench_fill.dice(n bigint, throw integer) returns float8 language sql immutable parallel safe
return (hashint8extended(n, throw) & 2147483647)::float8 / 2147483648;
comment on function bench_fill.dice(bigint, integer) is 'From 0 to 1, the same for the same row and throw.';

create function bench_fill.pick(n bigint, throw integer, list text[]) returns text language sql immutable parallel safe
return list[1 + floor(bench_fill.dice(n, throw) * cardinality(list))::integer];

create function bench_fill.id(at timestamptz, kind text, n bigint) returns uuid language sql stable parallel safe
return overlay(overlay(lpad(to_hex((date_part('epoch', at) * 1000)::bigint), 12, '0') || substr(md5(kind || n), 1, 20)
  placing '7' from 13) placing '8' from 17)::uuid;
comment on function bench_fill.id(timestamptz, text, bigint) is 'A UUID version 7, as app.uuid_v7 would have made it at that time.';

-- Organization 1 has a tenth of everything; the dice decide about the others.
create function bench_fill.organization_of(show bigint) returns bigint language sql stable parallel safe
return case when show % 10 = 0 then 1 else 2 + floor(bench_fill.dice(show, 1) * (bench_fill.organizations() - 1))::bigint end;
create function bench_fill.organization_made(n bigint) returns timestamptz language sql stable parallel safe
return bench_fill.day() - interval '380 days' + n * (interval '15 days' / bench_fill.organizations());
create function bench_fill.organization_id(n bigint) returns uuid language sql stable parallel safe
return bench_fill.id(bench_fill.organization_made(n), 'organization', n);
create function bench_fill.currency_of(organization bigint) returns text language sql immutable parallel safe
return (array['EUR', 'USD', 'GBP'])[1 + organization % 3];
create function bench_fill.time_zone_of(organization bigint) returns text language sql immutable parallel safe
return (array['Europe/Berlin', 'America/New_York', 'Europe/London'])[1 + organization % 3];

-- Eight people each: an owner, an admin, two managers, who enter everything, and four viewers.
create function bench_fill.user_id(organization bigint, k bigint) returns uuid language sql stable parallel safe
return bench_fill.id(bench_fill.organization_made(organization), 'user', organization * 8 + k);
create function bench_fill.session_id(organization bigint, k bigint) returns uuid language sql stable parallel safe
return bench_fill.id(bench_fill.day() - interval '1 day', 'session', organization * 8 + k);

create function bench_fill.venues_of(organization bigint) returns bigint language sql immutable parallel safe
return case when organization = 1 then 100 else 20 end;
create function bench_fill.venue_id(organization bigint, k bigint) returns uuid language sql stable parallel safe
return bench_fill.id(bench_fill.organization_made(organization) + interval '1 hour', 'venue', organization * 1000 + k);
create function bench_fill.venue_of(show bigint, organization bigint) returns bigint language sql immutable parallel safe
return floor(bench_fill.dice(show, 2) * bench_fill.venues_of(organization))::bigint;
create function bench_fill.capacity_of(organization bigint, venue bigint) returns integer language sql immutable parallel safe
return 200 + 50 * floor(bench_fill.dice(organization * 1000 + venue, 3) * 80)::integer;

-- A year's work, in the order in which it was entered.
create function bench_fill.show_made(show bigint) returns timestamptz language sql stable parallel safe
return bench_fill.day() - interval '360 days' + show * (interval '359 days' / bench_fill.shows());
create function bench_fill.show_id(show bigint) returns uuid language sql stable parallel safe
return bench_fill.id(bench_fill.show_made(show), 'show', show);
create function bench_fill.show_day(show bigint) returns date language sql stable parallel safe
return bench_fill.show_made(show)::date + 10 + floor(bench_fill.dice(show, 4) * 180)::integer;

create function bench_fill.changed() returns bigint language sql immutable parallel safe
return greatest(0, bench_fill.shows() - 45 * bench_fill.organizations());
comment on function bench_fill.changed() is 'How many shows were changed after they were entered: so many that there are five events for each show.';

create function bench_fill.event_id(at timestamptz, n bigint) returns uuid language sql stable parallel safe
return encode(
  int8send((date_part('epoch', at) * 1000000)::bigint / 1000 << 16 | 28672 | (date_part('epoch', at) * 1000000)::bigint % 1000)
  || int8send(x'8000000000000000'::bigint | n), 'hex')::uuid;
comment on function bench_fill.event_id(timestamptz, bigint) is 'As app_private.event_id would have made it at that time.';
