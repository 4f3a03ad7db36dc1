-- Money by month. Void and deleted records do not count.
--
-- Sums are numeric: a bigint could overflow, and one organization's absurd amounts would then prevent
-- the figures of all others from being computed.

create or replace view analytics_private.finance_by_month_definition as
  select r.organization_id, date_trunc('month', r.booked_on::timestamp)::date as month, r.status, r.currency::text as currency, r.base_currency::text as base_currency,
    coalesce(sum(r.amount_minor) filter (where r.kind = 'income'), 0) as income_minor,
    coalesce(sum(r.amount_minor) filter (where r.kind = 'expense'), 0) as expense_minor,
    coalesce(sum(r.base_amount_minor) filter (where r.kind = 'income'), 0) as base_income_minor,
    coalesce(sum(r.base_amount_minor) filter (where r.kind = 'expense'), 0) as base_expense_minor,
    count(*) as records
  from app.finance_records r
  where r.deleted_at is null and r.status <> 'void'
  group by 1, 2, 3, 4, 5;
select analytics_private.register_rollup('finance_by_month', '{organization_id,month,status,currency,base_currency}', resources => '{finance_record}');

create or replace view analytics.finance_by_month with (security_barrier = true) as
  select m.month, m.status, m.currency, m.income_minor, m.expense_minor, m.income_minor - m.expense_minor as profit_minor,
    m.base_currency, m.base_income_minor, m.base_expense_minor, m.base_income_minor - m.base_expense_minor as base_profit_minor,
    m.records, m.as_of
  from analytics_private.finance_by_month_now m
  where m.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.finance_by_month is 'Income and expenses by month of booking, by status and by currency. Void and deleted records do not count. Needs finance.read.';
comment on column analytics.finance_by_month.month is 'The first day of the month.';
comment on column analytics.finance_by_month.status is 'planned, committed or actual.';
comment on column analytics.finance_by_month.currency is 'The currency of the records, ISO 4217.';
comment on column analytics.finance_by_month.income_minor is 'Income with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_month.expense_minor is 'Expenses with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_month.profit_minor is 'Income less expenses.';
comment on column analytics.finance_by_month.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_month.base_income_minor is 'The income in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_month.base_expense_minor is 'The expenses in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_month.base_profit_minor is 'Income less expenses in the base currency.';
comment on column analytics.finance_by_month.records is 'Number of records.';
comment on column analytics.finance_by_month.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('finance_by_month');
