-- Settlements in force line by line, as they enter the books.

-- With the rights of the definer, which may call all that the arithmetic of settlements takes.
create or replace function app.lines_of_settlement(inputs jsonb, result jsonb)
returns table (settlement_line text, kind text, category text, amount_minor numeric, tax_minor numeric, booked_on date, is_paid boolean)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select l.line, l.kind, l.category, l.amount_minor::numeric, l.tax_minor::numeric, l.booked_on, l.is_paid from app.settlement_lines(inputs, result) l;
end
$$;
comment on function app.lines_of_settlement(jsonb, jsonb) is 'The lines of app.settlement_lines, for figures.';
alter function app.lines_of_settlement(jsonb, jsonb) owner to callboard_definer;
grant execute on function app.lines_of_settlement(jsonb, jsonb) to callboard_rollup;

-- A figure, because computing lines takes a tenth of a millisecond for each settlement, which never changes. Nothing of the
-- show is in it: shows change all the time.
create or replace view analytics_private.fact_settlement_lines_definition as
  select x.organization_id, x.id as settlement_id, l.settlement_line, x.show_id, l.kind, l.category collate app.people as category,
    x.inputs ->> 'currency' as currency, l.amount_minor, l.tax_minor, l.booked_on as for_on, l.is_paid
  from app.settlements x
  cross join lateral app.lines_of_settlement(x.inputs, x.result) l
  where x.status = 'final' and x.reopened_at is null and x.deleted_at is null;
select analytics_private.register_rollup('fact_settlement_lines', '{organization_id,settlement_id,settlement_line}', resources => '{settlement}');

create or replace view analytics.fact_settlement_lines with (security_barrier = true) as
  select m.settlement_id, m.settlement_line, m.show_id, s.show_on, s.venue_id, s.artist, m.kind, m.category, coalesce(m.for_on, (x.show_as_recorded ->> 'show_on')::date, s.show_on) as for_on, m.is_paid,
    m.currency, m.amount_minor, round(m.amount_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as amount,
    m.tax_minor, round(m.tax_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as tax,
    r.id as finance_record_id, r.category_id, r.booked_on, m.as_of, (x.inputs #>> '{deal,act}') collate app.people as act
  from analytics_private.fact_settlement_lines_now m
  join app.settlements x on x.organization_id = m.organization_id and x.id = m.settlement_id
  join app.shows s on s.organization_id = m.organization_id and s.id = m.show_id and s.deleted_at is null
  left join app.currencies c on c.code = m.currency
  left join app.finance_records r on r.organization_id = m.organization_id and r.settlement_id = m.settlement_id and r.settlement_line = m.settlement_line
    and r.deleted_at is null
  where m.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null;
comment on view analytics.fact_settlement_lines is 'Settlements in force, one row for each line that they enter in the books. Income less expenses is what the promoter is left with. Needs finance.read and shows.read.';
comment on column analytics.fact_settlement_lines.settlement_id is 'The settlement: fact_settlements. Part of the key.';
comment on column analytics.fact_settlement_lines.settlement_line is 'Which line it is, such as "tier …", "cost …" or "balance". With settlement_id the key.';
comment on column analytics.fact_settlement_lines.show_id is 'The show: fact_shows.';
comment on column analytics.fact_settlement_lines.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_settlement_lines.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_settlement_lines.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_settlement_lines.kind is 'income or expense.';
comment on column analytics.fact_settlement_lines.category is 'The category by its name, as the settlement names it; for a cost its own name.';
comment on column analytics.fact_settlement_lines.for_on is 'The day that it is for, that of the show, as it was when its settlement was recorded, or of the deposit: dim_calendar.day.';
comment on column analytics.fact_settlement_lines.is_paid is 'Whether it has been paid before, as deposits have.';
comment on column analytics.fact_settlement_lines.currency is 'The currency of the deal: dim_currencies.';
comment on column analytics.fact_settlement_lines.amount_minor is 'The amount with tax, in the smallest unit of the currency.';
comment on column analytics.fact_settlement_lines.amount is 'The amount in whole units.';
comment on column analytics.fact_settlement_lines.tax_minor is 'The tax in the amount, in the smallest unit.';
comment on column analytics.fact_settlement_lines.tax is 'The tax in whole units.';
comment on column analytics.fact_settlement_lines.finance_record_id is 'Its record in the books: fact_finance_records; null while it is not booked.';
comment on column analytics.fact_settlement_lines.category_id is 'The category of that record: dim_finance_categories.';
comment on column analytics.fact_settlement_lines.booked_on is 'The day of booking: for_on, or later if the books of its month were closed.';
comment on column analytics.fact_settlement_lines.as_of is 'The lines are complete up to this moment.';
comment on column analytics.fact_settlement_lines.act is 'The act that the deal is with; null: the artist of the show.';
select analytics_private.publish('fact_settlement_lines');
