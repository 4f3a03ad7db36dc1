-- Money by category and month. Void and deleted records do not count. Names are looked up on reading:
-- a concurrent refresh compares old and new rows, which is faster with fewer and shorter columns.

create or replace view analytics_private.finance_by_category_definition as
  select r.organization_id, date_trunc('month', r.booked_on::timestamp)::date as month, r.category_id, r.status,
    r.currency::text as currency, r.base_currency::text as base_currency,
    sum(r.amount_minor) as amount_minor, sum(r.base_amount_minor) as base_amount_minor, count(*) as records
  from app.finance_records r
  where r.deleted_at is null and r.status <> 'void'
  group by 1, 2, 3, 4, 5, 6;
select analytics_private.register_rollup('finance_by_category', '{organization_id,month,category_id,status,currency,base_currency}', resources => '{finance_record}');

create or replace view analytics.finance_by_category with (security_barrier = true) as
  select m.month, m.category_id, c.name as category, c.kind, m.status, m.currency, m.amount_minor, m.base_currency, m.base_amount_minor,
    m.records, m.as_of
  from analytics_private.finance_by_category_now m
  join app.finance_categories c on c.organization_id = m.organization_id and c.id = m.category_id
  where m.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.finance_by_category is 'Income and expenses by category and month of booking, by status and by currency. Void and deleted records do not count. Needs finance.read.';
comment on column analytics.finance_by_category.month is 'The first day of the month.';
comment on column analytics.finance_by_category.category_id is 'The id of the category.';
comment on column analytics.finance_by_category.category is 'The name of the category.';
comment on column analytics.finance_by_category.kind is 'income or expense.';
comment on column analytics.finance_by_category.status is 'planned, committed or actual.';
comment on column analytics.finance_by_category.currency is 'The currency of the records, ISO 4217.';
comment on column analytics.finance_by_category.amount_minor is 'The amount with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_category.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_category.base_amount_minor is 'The amount in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_category.records is 'Number of records.';
comment on column analytics.finance_by_category.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('finance_by_category');
