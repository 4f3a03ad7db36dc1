-- Settlements in force: final, and not reopened.

create or replace view analytics.fact_settlements with (security_barrier = true) as
  select x.id as settlement_id, x.show_id, s.show_on, s.venue_id, s.artist, x.number, (x.finalized_at at time zone o.time_zone)::date as finalized_on,
    x.booked_at is not null as is_booked, x.not_booked_because, x.inputs ->> 'currency' as currency,
    (e.result ->> 'tickets_sold')::integer as tickets_sold, (e.result ->> 'tickets_comped')::integer as tickets_comped,
    (e.result ->> 'gross_minor')::bigint as gross_minor, round((e.result ->> 'gross_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as gross,
    (e.result ->> 'facility_fees_minor')::bigint as facility_fees_minor, round((e.result ->> 'facility_fees_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as facility_fees,
    (e.result ->> 'tax_minor')::bigint as tax_minor, round((e.result ->> 'tax_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as tax,
    (e.result ->> 'net_receipts_minor')::bigint as net_receipts_minor, round((e.result ->> 'net_receipts_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as net_receipts,
    (e.result ->> 'costs_minor')::bigint as costs_minor, round((e.result ->> 'costs_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as costs,
    (x.result ->> 'guarantee_minor')::bigint as guarantee_minor, round((x.result ->> 'guarantee_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as guarantee,
    (x.result ->> 'due_minor')::bigint as due_minor, round((x.result ->> 'due_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as due,
    coalesce((x.result ->> 'bonuses_minor')::bigint, 0) as bonuses_minor, round(coalesce((x.result ->> 'bonuses_minor')::bigint, 0) * power(10::numeric, -c.minor_digits), c.minor_digits) as bonuses,
    coalesce((x.result ->> 'withholding_minor')::bigint, 0) as withholding_minor, round(coalesce((x.result ->> 'withholding_minor')::bigint, 0) * power(10::numeric, -c.minor_digits), c.minor_digits) as withholding,
    (x.result ->> 'deposits_minor')::bigint as deposits_minor, round((x.result ->> 'deposits_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as deposits,
    (x.result ->> 'balance_minor')::bigint as balance_minor, round((x.result ->> 'balance_minor')::bigint * power(10::numeric, -c.minor_digits), c.minor_digits) as balance,
    coalesce((x.result ->> 'walk_out_minor')::bigint, (x.result ->> 'balance_minor')::bigint) as walk_out_minor, round(coalesce((x.result ->> 'walk_out_minor')::bigint, (x.result ->> 'balance_minor')::bigint) * power(10::numeric, -c.minor_digits), c.minor_digits) as walk_out,
    coalesce((x.result ->> 'books_minor')::bigint, (x.result ->> 'promoter_minor')::bigint) as promoter_minor, round(coalesce((x.result ->> 'books_minor')::bigint, (x.result ->> 'promoter_minor')::bigint) * power(10::numeric, -c.minor_digits), c.minor_digits) as promoter,
    (x.inputs #>> '{deal,id}')::uuid as deal_id, (x.inputs #>> '{deal,act}') collate app.people as act, e.result is not null as enters_show,
    coalesce((x.result ->> 'acts_minor')::bigint, 0) as acts_minor, round(coalesce((x.result ->> 'acts_minor')::bigint, 0) * power(10::numeric, -c.minor_digits), c.minor_digits) as acts
  from app.settlements x
  join app.organizations o on o.id = x.organization_id
  join app.shows s on s.organization_id = x.organization_id and s.id = x.show_id and s.deleted_at is null
  left join app.currencies c on c.code = x.inputs ->> 'currency'
  -- Tickets and costs of a show with several deals are those of one of its settlements, so that sums count them once.
  left join lateral (select x.result where x.inputs -> 'enters_show' is distinct from 'false') e on true
  where x.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null
    and x.status = 'final' and x.reopened_at is null and x.deleted_at is null;
comment on view analytics.fact_settlements is 'Settlements in force, one row for each settled deal, of which most shows have one: what was computed. Needs finance.read and shows.read.';
comment on column analytics.fact_settlements.settlement_id is 'The settlement. The key.';
comment on column analytics.fact_settlements.show_id is 'The show: fact_shows. It has one for each of its deals.';
comment on column analytics.fact_settlements.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_settlements.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_settlements.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_settlements.number is 'Which revision of the deal''s settlement it is.';
comment on column analytics.fact_settlements.finalized_on is 'The day on which it became final, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_settlements.is_booked is 'Whether its lines are in the books: fact_finance_records.';
comment on column analytics.fact_settlements.not_booked_because is 'Why they are not: booked_by_hand or exchange_rate_needed.';
comment on column analytics.fact_settlements.currency is 'The currency of the deal: dim_currencies.';
comment on column analytics.fact_settlements.tickets_sold is 'How many tickets were sold; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.tickets_comped is 'How many were given away; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.gross_minor is 'Price times tickets sold, over all tiers, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.gross is 'The same in whole units.';
comment on column analytics.fact_settlements.facility_fees_minor is 'What the venue keeps of the prices, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.facility_fees is 'The same in whole units.';
comment on column analytics.fact_settlements.tax_minor is 'The tax in the prices, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.tax is 'The same in whole units.';
comment on column analytics.fact_settlements.net_receipts_minor is 'The gross less fees and tax, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.net_receipts is 'The same in whole units.';
comment on column analytics.fact_settlements.costs_minor is 'The costs before the split, what other acts are paid (acts) among them, in the smallest unit of the currency; null where another settlement of the show has them (enters_show).';
comment on column analytics.fact_settlements.costs is 'The same in whole units.';
comment on column analytics.fact_settlements.guarantee_minor is 'The guarantee of the artist, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.guarantee is 'The same in whole units.';
comment on column analytics.fact_settlements.due_minor is 'What the artist is due, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.due is 'The same in whole units.';
comment on column analytics.fact_settlements.bonuses_minor is 'What the artist is paid on top, by tickets sold, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.bonuses is 'The same in whole units.';
comment on column analytics.fact_settlements.withholding_minor is 'What is withheld of what is due and the bonuses, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.withholding is 'The same in whole units.';
comment on column analytics.fact_settlements.deposits_minor is 'What was paid of that before, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.deposits is 'The same in whole units.';
comment on column analytics.fact_settlements.balance_minor is 'What is due, less what is withheld and deposits, in the smallest unit of the currency; below zero if they were more.';
comment on column analytics.fact_settlements.balance is 'The same in whole units.';
comment on column analytics.fact_settlements.walk_out_minor is 'What the artist leaves with: due and bonuses, less what is withheld, with adjustments after the split, less deposits; negative if they have to repay, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.walk_out is 'The same in whole units.';
comment on column analytics.fact_settlements.promoter_minor is 'What the promoter is left with, in the smallest unit of the currency: what this settlement enters in the books, so that those of a show add up.';
comment on column analytics.fact_settlements.promoter is 'The same in whole units.';
comment on column analytics.fact_settlements.deal_id is 'The deal that it settles: with show_id, no two settlements have the same.';
comment on column analytics.fact_settlements.act is 'The act that the deal is with; null: the artist of the show.';
comment on column analytics.fact_settlements.enters_show is 'Whether it enters the tickets and costs of the show in the books: one settlement of each show does.';
comment on column analytics.fact_settlements.acts_minor is 'What other acts are paid, as far as it is a cost of this settlement; their own settlements enter it in the books, in the smallest unit of the currency.';
comment on column analytics.fact_settlements.acts is 'The same in whole units.';
select analytics_private.publish('fact_settlements');
