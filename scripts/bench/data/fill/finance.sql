-- Three finance records per show, for a range of numbers; one in ten belongs to no show. A fifth are in a currency other than that of the books.

insert into app.finance_records (organization_id, id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate,
  base_currency, status, payment_status, counterparty, note, created_by, created_at, updated_at)
select bench_fill.organization_id(o), bench_fill.id(at, 'finance', n), kind,
  bench_fill.id(bench_fill.organization_made(o), kind, o * 100 + floor(bench_fill.dice(n, 30) * bench_fill.categories_of(kind))::bigint),
  case when n % 10 <> 0 then bench_fill.show_id(show) end, booked_on, booked_on + 30, amount, amount / 11, currency,
  case when currency = base then 1 else 0.8 + round(bench_fill.dice(n, 31)::numeric * 0.4, 4) end, base,
  case when booked_on < bench_fill.day()::date then 'actual' when n % 2 = 0 then 'planned' else 'committed' end,
  case when booked_on < bench_fill.day()::date - 30 then 'paid' else 'unpaid' end,
  bench_fill.pick(n, 32, '{Ticketbird,House of Sound,Kranwerk,Hotel Central,Bus & Truck,City of Music,Printworks}'), case when n % 7 = 0 then 'Invoice ' || n end,
  bench_fill.user_id(o, 3 + n % 2), at, at
from (
  select n, show, o, bench_fill.show_made(show) + n % 3 * interval '1 minute' as at,
    case when n % 3 = 0 then 'income' else 'expense' end as kind,
    bench_fill.show_day(show) - 20 + floor(bench_fill.dice(n, 33) * 40)::integer as booked_on,
    1000 + 25 * floor(bench_fill.dice(n, 34) * 20000)::bigint as amount,
    bench_fill.currency_of(o) as base, bench_fill.currency_of(case when n % 5 = 0 then o + 1 else o end) as currency
  from (
    select n, show, bench_fill.organization_of(show) as o
    from (select n, 1 + (n - 1) / 3 as show from generate_series(:from, :to) n offset 0) f offset 0) f offset 0) f;
