-- What shows earn and cost. Void and deleted records do not count, nor do those of deleted shows.
--
-- Statuses of money are columns, and names are looked up on reading: a concurrent refresh compares old
-- and new rows, which is faster with fewer and shorter ones.

create or replace view analytics_private.finance_by_show_definition as
  select r.organization_id, s.show_on, r.show_id, r.currency::text as currency, r.base_currency::text as base_currency,
    sum(r.amount_minor) filter (where r.status = 'planned' and r.kind = 'income') as planned_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'planned' and r.kind = 'income') as planned_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'planned' and r.kind = 'expense') as planned_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'planned' and r.kind = 'expense') as planned_base_expense_minor,
    sum(r.amount_minor) filter (where r.status = 'committed' and r.kind = 'income') as committed_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'committed' and r.kind = 'income') as committed_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'committed' and r.kind = 'expense') as committed_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'committed' and r.kind = 'expense') as committed_base_expense_minor,
    sum(r.amount_minor) filter (where r.status = 'actual' and r.kind = 'income') as actual_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'actual' and r.kind = 'income') as actual_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'actual' and r.kind = 'expense') as actual_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'actual' and r.kind = 'expense') as actual_base_expense_minor,
    count(*) filter (where r.status = 'planned') as planned_records,
    count(*) filter (where r.status = 'committed') as committed_records,
    count(*) filter (where r.status = 'actual') as actual_records
  from app.finance_records r
  join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  where r.deleted_at is null and r.status <> 'void' and s.deleted_at is null
  group by 1, 2, 3, 4, 5;
select analytics_private.register_rollup('finance_by_show', '{organization_id,show_on,show_id,currency,base_currency}', resources => '{finance_record,show}');

create or replace view analytics.finance_by_show with (security_barrier = true) as
  select m.show_id, m.show_on, s.title, s.artist, s.status as show_status, b.status,
    m.currency, coalesce(b.income, 0) as income_minor, coalesce(b.expense, 0) as expense_minor, coalesce(b.income, 0) - coalesce(b.expense, 0) as profit_minor,
    m.base_currency, coalesce(b.base_income, 0) as base_income_minor, coalesce(b.base_expense, 0) as base_expense_minor,
    coalesce(b.base_income, 0) - coalesce(b.base_expense, 0) as base_profit_minor,
    b.records, m.as_of
  from analytics_private.finance_by_show_now m
  join app.shows s on s.organization_id = m.organization_id and s.id = m.show_id,
  lateral (values
    ('planned', m.planned_records, m.planned_income_minor, m.planned_expense_minor, m.planned_base_income_minor, m.planned_base_expense_minor),
    ('committed', m.committed_records, m.committed_income_minor, m.committed_expense_minor, m.committed_base_income_minor, m.committed_base_expense_minor),
    ('actual', m.actual_records, m.actual_income_minor, m.actual_expense_minor, m.actual_base_income_minor, m.actual_base_expense_minor)) b (status, records, income, expense, base_income, base_expense)
  where m.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null and b.records > 0;
comment on view analytics.finance_by_show is 'Profit and loss by show, by status and by currency. Void and deleted records do not count, nor do those of deleted shows. Needs finance.read and shows.read.';
comment on column analytics.finance_by_show.show_id is 'The id of the show.';
comment on column analytics.finance_by_show.show_on is 'The day of the show, regardless of when the money is booked.';
comment on column analytics.finance_by_show.title is 'The title of the show.';
comment on column analytics.finance_by_show.artist is 'The artist of the show.';
comment on column analytics.finance_by_show.show_status is 'The status of the show.';
comment on column analytics.finance_by_show.status is 'The status of the records: planned, committed or actual.';
comment on column analytics.finance_by_show.currency is 'The currency of the records, ISO 4217.';
comment on column analytics.finance_by_show.income_minor is 'Income with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_show.expense_minor is 'Expenses with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_show.profit_minor is 'Income less expenses.';
comment on column analytics.finance_by_show.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_show.base_income_minor is 'The income in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_show.base_expense_minor is 'The expenses in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_show.base_profit_minor is 'Income less expenses in the base currency.';
comment on column analytics.finance_by_show.records is 'Number of records.';
comment on column analytics.finance_by_show.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('finance_by_show');
