--! Previous: sha1:6d6fb00b3c27bb54847071f84d148db520e1480f
--! Hash: sha1:c6e5295c9a9272a7ee80b74f6cea5e4ae3f1d13a
--! Message: reverse what was paid as paid

-- Included settlements/settlement_books.sql
create or replace function app_private.unbook_settlement(s app.settlements) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform from app.organizations o where o.id = s.organization_id for share;
  insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, tax_minor, currency, exchange_rate, base_currency,
    status, payment_status, note, settlement_id, settlement_line, created_by, itinerary_id)
  select r.organization_id, x.kind, app_private.category_named(r.organization_id, x.kind, x.category, x.category), r.show_id,
    app_private.open_day(r.organization_id, r.booked_on), r.amount_minor, r.tax_minor, r.currency, r.exchange_rate, r.base_currency,
    'actual', r.payment_status, 'Reversal: ' || r.note, r.settlement_id, 'reversal of ' || r.settlement_line, app.current_user_id(), i.id
  from app.finance_records r
  cross join lateral (select case r.kind when 'income' then 'expense' else 'income' end as kind, case r.kind when 'income' then 'Other expenses' else 'Other income' end as category) x
  left join app.itineraries i on i.organization_id = r.organization_id and i.id = r.itinerary_id and i.deleted_at is null
  where r.organization_id = s.organization_id and r.settlement_id = s.id and r.deleted_at is null and r.status <> 'void'
    and r.settlement_line not like 'reversal of %' and app_private.open_day(r.organization_id, r.booked_on) <> r.booked_on;
  update app.finance_records r set status = 'void'
  where r.organization_id = s.organization_id and r.settlement_id = s.id and r.deleted_at is null and r.status <> 'void'
    and r.settlement_line not like 'reversal of %' and app_private.open_day(r.organization_id, r.booked_on) = r.booked_on;
end
$$;
comment on function app_private.unbook_settlement(app.settlements) is
  'Makes the records of a settlement void; what is in a closed month stays, and the opposite is entered in the next one that is open.';
alter function app_private.unbook_settlement(app.settlements) owner to callboard_definer;
-- EndIncluded settlements/settlement_books.sql
