-- Shows, in the order in which they were entered, so that those of one organization are scattered, as in reality.
-- `bench_fill.changed()` of them were changed once, from inquiry to what they are now.

insert into app.shows (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold,
  notes, created_by, created_at, updated_at, version)
select bench_fill.organization_id(o), bench_fill.show_id(n), artist || ' — ' || bench_fill.pick(n, 21, '{Winter Tour,Spring Tour,Summer Nights,Acoustic,Album Release,Farewell}'),
  artist, bench_fill.venue_id(o, venue), show_on, '19:00', case when n % 3 = 0 then time '20:30' else '20:00' end, case when n % 4 = 0 then time '00:30' else '23:00' end,
  status, capacity, case when status in ('inquiry', 'hold', 'offer') then 0 else floor(capacity * bench_fill.dice(n, 23))::integer end,
  case when n % 5 = 0 then 'Load-in from 14:00 at the rear gate. Backline by the house; four towels, no glass on stage.' end,
  bench_fill.user_id(o, 3 + n % 2), at, case when n <= bench_fill.changed() then at + interval '6 hours' else at end, case when n <= bench_fill.changed() then 2 else 1 end
from (
  select n, o, at, show_on, venue, bench_fill.capacity_of(o, venue) as capacity,
    bench_fill.pick(n, 19, '{The,Little,Paper,Silver,Low,Marta,New,Black,Electric,Northern}') || ' '
      || bench_fill.pick(n, 20, '{Gaslights,Lanterns,Union,Tide Choir,Veld Quartet,Rivers,Machines,Parade,Sisters,Weather,Foxes,Arcade}') as artist,
    case when n > bench_fill.changed() then 'inquiry'
      when show_on < bench_fill.day()::date then bench_fill.pick(n, 22, '{played,played,settled,settled,settled,settled,settled,cancelled}')
      else bench_fill.pick(n, 22, '{confirmed,confirmed,confirmed,offer,hold,postponed}') end as status
  from (
    select n, o, bench_fill.show_made(n) as at, bench_fill.show_day(n) as show_on, bench_fill.venue_of(n, o) as venue
    from (select n, bench_fill.organization_of(n) as o from generate_series(1, bench_fill.shows()) n offset 0) s offset 0) s offset 0) s;

-- Those that are more than an inquiry have a fee.
insert into app.show_fees (organization_id, show_id, fee_minor, currency)
select bench_fill.organization_id(o), bench_fill.show_id(n), 100000 + 2500 * floor(bench_fill.dice(n, 24) * 400)::bigint, bench_fill.currency_of(o)
from (select n, bench_fill.organization_of(n) as o from generate_series(1, bench_fill.changed()) n offset 0) s;
