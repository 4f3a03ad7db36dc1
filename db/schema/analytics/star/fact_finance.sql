-- The books line by line. fact_finance_records is what the figures by month, category and show are sums of.

create or replace view analytics.fact_finance_records with (security_barrier = true) as
  select r.id as finance_record_id, r.booked_on, r.due_on, r.kind, r.category_id, r.status, r.payment_status,
    r.show_id, s.show_on, s.venue_id, s.artist, r.counterparty,
    r.currency::text as currency, r.amount_minor, round(r.amount_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as amount,
    r.tax_minor, round(r.tax_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as tax, r.exchange_rate,
    r.base_currency::text as base_currency, r.base_amount_minor, round(r.base_amount_minor * power(10::numeric, -b.minor_digits), b.minor_digits) as base_amount,
    r.settlement_id, r.settlement_line, (r.created_at at time zone o.time_zone)::date as created_on, r.updated_at, r.source, r.external_ref, r.itinerary_id
  from app.finance_records r
  join app.organizations o on o.id = r.organization_id
  join app.currencies c on c.code = r.currency
  join app.currencies b on b.code = r.base_currency
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id and s.deleted_at is null
    and (select app.visible_org('shows.read')) is not null
  where r.organization_id = (select app.visible_org('finance.read')) and r.deleted_at is null;
comment on view analytics.fact_finance_records is 'Income and expenses, one row for each record, without deleted ones; void ones are among them. Needs finance.read, and shows.read for what is known of the show.';
comment on column analytics.fact_finance_records.finance_record_id is 'The record. The key.';
comment on column analytics.fact_finance_records.booked_on is 'The day of booking: dim_calendar.day.';
comment on column analytics.fact_finance_records.due_on is 'The day by which it is to be paid: dim_calendar.day; null if nobody knows.';
comment on column analytics.fact_finance_records.kind is 'income or expense.';
comment on column analytics.fact_finance_records.category_id is 'The category: dim_finance_categories.';
comment on column analytics.fact_finance_records.status is 'planned, committed, actual or void. Void ones count nowhere.';
comment on column analytics.fact_finance_records.payment_status is 'unpaid, partly_paid, paid or refunded.';
comment on column analytics.fact_finance_records.show_id is 'The show: fact_shows; null if it belongs to none. Actual records of a deleted show keep it.';
comment on column analytics.fact_finance_records.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_finance_records.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_finance_records.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_finance_records.counterparty is 'Who pays or is paid.';
comment on column analytics.fact_finance_records.currency is 'The currency of the record: dim_currencies.';
comment on column analytics.fact_finance_records.amount_minor is 'The amount with tax, in the smallest unit of the currency; never negative: kind says where it goes.';
comment on column analytics.fact_finance_records.amount is 'The amount in whole units.';
comment on column analytics.fact_finance_records.tax_minor is 'The tax in the amount, in the smallest unit.';
comment on column analytics.fact_finance_records.tax is 'The tax in whole units.';
comment on column analytics.fact_finance_records.exchange_rate is 'Units of the base currency for one unit of the currency.';
comment on column analytics.fact_finance_records.base_currency is 'The currency in which the books were kept when it was entered: dim_currencies.';
comment on column analytics.fact_finance_records.base_amount_minor is 'The amount in the base currency, in its smallest unit.';
comment on column analytics.fact_finance_records.base_amount is 'The amount in the base currency, in whole units.';
comment on column analytics.fact_finance_records.settlement_id is 'The settlement that has entered it: fact_settlements; null if somebody did.';
comment on column analytics.fact_finance_records.settlement_line is 'Which line of the settlement it is: with settlement_id the key of fact_settlement_lines.';
comment on column analytics.fact_finance_records.created_on is 'The day on which it was entered, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_finance_records.updated_at is 'When it was last changed.';
comment on column analytics.fact_finance_records.source is 'The system from which it was imported.';
comment on column analytics.fact_finance_records.external_ref is 'Its id there.';
comment on column analytics.fact_finance_records.itinerary_id is 'The tour that it names: dim_itineraries; null if it names none. Actual records of a deleted itinerary keep it.';
select analytics_private.publish('fact_finance_records');
