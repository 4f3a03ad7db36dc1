-- Changing per diems, and approving them, which enters them in the books. Nobody approves what they have entered, unless nobody
-- else could. What approving has entered stays as it is.

create or replace function app_private.lock_per_diem(per_diem uuid, if_match text) returns app.per_diems
language plpgsql volatile
set search_path = ''
as $$
declare
  p app.per_diems;
begin
  select * into p from app.per_diems x where x.organization_id = app.org_if('finance.read') and x.id = per_diem and x.deleted_at is null;
  if not found or not app_private.member_sees('app.per_diems', per_diem) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.check_version(p.version, if_match);
  perform app.require('finance.write');
  -- Those of a deleted tour that are approved stay, and need no lock to be refused.
  perform app_private.require_planned('app.per_diems', per_diem);
  -- In the order in which others lock them: whoever deletes the tour waits for its per diems while holding its row.
  perform from app.organizations o where o.id = p.organization_id for share;
  perform from app.itineraries i where i.organization_id = p.organization_id and i.id = p.itinerary_id for no key update;
  select * into p from app.per_diems x where x.organization_id = app.current_org() and x.id = per_diem and x.deleted_at is null for no key update;
  perform app.check_version(p.version, if_match);
  perform app_private.require_planned('app.per_diems', per_diem);
  return p;
end
$$;
comment on function app_private.lock_per_diem(uuid, text) is
  'A planned per diem that the member sees and may change, locked, as is its tour. PT403, PT404, PT409 per_diem_not_planned, PT412.';
alter function app_private.lock_per_diem(uuid, text) owner to callboard_definer;

create or replace function app.write_per_diem(per_diem uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  n constant app.per_diems := jsonb_populate_record(app_private.lock_per_diem(per_diem, if_match), body);
begin
  update app.per_diems p set (person, party_member_id, category_id, starts_on, ends_on, daily_minor, exchange_rate, note)
    = row (n.person, n.party_member_id, n.category_id, n.starts_on, n.ends_on, n.daily_minor, n.exchange_rate, n.note)
  where p.organization_id = app.current_org() and p.id = per_diem;
  return app.read_row('per_diems', per_diem);
end
$$;
comment on function app.write_per_diem(uuid, jsonb, text) is
  'Changes a planned per diem: the columns in the body. PT403, PT404, PT409 per_diem_not_planned, per_diem_days_taken, and for a category or person that does not exist, PT412, PT422.';
alter function app.write_per_diem(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.write_per_diem(uuid, jsonb, text) to callboard_api;

create or replace function app_private.require_other_approver(p app.per_diems) returns void
language plpgsql stable
set search_path = ''
as $$
declare
  me constant uuid := app.current_user_id();
begin
  -- Where only those two are left, who has entered it approves it, because the other has changed it last.
  if me in (p.created_by, p.amount_by) and exists (select from app.memberships m
      where m.organization_id = p.organization_id and m.user_id <> me and m.user_id is distinct from p.amount_by and m.deleted_at is null
        and app.permissions_of(m.organization_id, m.user_id) @> '{finance.read,finance.write}'
        -- A draft is seen by those who plan it.
        and (p.itinerary_id is null or app.permissions_of(m.organization_id, m.user_id) @> '{itineraries.write}'
          or app.permissions_of(m.organization_id, m.user_id) @> '{itineraries.read}' and exists (select from app.itinerary_versions v
            where v.organization_id = p.organization_id and v.itinerary_id = p.itinerary_id))) then
    perform app.refuse(403, 'per_diem_is_own');
  end if;
end
$$;
comment on function app_private.require_other_approver(app.per_diems) is
  'PT403 per_diem_is_own for who has entered a per diem or last changed who is paid how much, while another member who holds finance.read and finance.write, and sees the tour, has not, or not last.';
alter function app_private.require_other_approver(app.per_diems) owner to callboard_definer;

create or replace function app.approve_per_diem(per_diem uuid, rate numeric default null, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  p constant app.per_diems := app_private.lock_per_diem(per_diem, if_match);
  booked_on constant date := app_private.open_day(p.organization_id, p.ends_on);
  record uuid;
begin
  perform app_private.require_other_approver(p);
  insert into app.finance_records (organization_id, kind, category_id, itinerary_id, booked_on, amount_minor, tax_minor, currency, exchange_rate,
    base_currency, status, payment_status, counterparty, note, created_by)
  values (p.organization_id, 'expense', p.category_id, p.itinerary_id, booked_on, p.amount_minor, 0, p.currency, coalesce(rate, p.exchange_rate),
    p.base_currency, 'actual', 'unpaid', p.person,
    format('Per diem, %s to %s', p.starts_on, p.ends_on) || coalesce(': ' || p.note, '')
      || case when booked_on <> p.ends_on then format(' (until %s, whose month is closed)', p.ends_on) else '' end,
    app.current_user_id())
  returning id into record;
  update app.per_diems x set status = 'approved', decided_by = app.current_user_id(), decided_at = statement_timestamp(), finance_record_id = record,
    exchange_rate = coalesce(rate, p.exchange_rate)
  where x.organization_id = p.organization_id and x.id = p.id;
  return app.read_row('per_diems', per_diem);
end
$$;
comment on function app.approve_per_diem(uuid, numeric, text) is
  'Approves a planned per diem and enters it in the books, on its last day or the first one of the next month that is open, at its exchange rate or the one given. PT403 per_diem_is_own, PT404, PT409 per_diem_not_planned, PT412, PT422 finance_records_exchange_rate_of_base.';
alter function app.approve_per_diem(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.approve_per_diem(uuid, numeric, text) to callboard_api;

create or replace function app_private.require_not_of_per_diem(record uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if exists (select from app.per_diems p where p.organization_id = app.current_org() and p.finance_record_id = record) then
    perform app.refuse(409, 'finance_record_of_per_diem');
  end if;
end
$$;
comment on function app_private.require_not_of_per_diem(uuid) is 'PT409 finance_record_of_per_diem for a record that the approval of a per diem has entered.';
alter function app_private.require_not_of_per_diem(uuid) owner to callboard_definer;

create or replace function app_private.tg_finance_records__200_of_per_diem() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.require_not_of_per_diem(old.id);
  return new;
end
$$;
comment on function app_private.tg_finance_records__200_of_per_diem() is
  'PT409 finance_record_of_per_diem for a change of what the approval of a per diem has entered; its category, whether it is paid and its notes can be changed.';
alter function app_private.tg_finance_records__200_of_per_diem() owner to callboard_definer;
create or replace trigger _200_of_per_diem before update on app.finance_records
  for each row when ((new.kind, new.show_id, new.booked_on, new.amount_minor, new.tax_minor, new.currency, new.exchange_rate, new.status)
    is distinct from (old.kind, old.show_id, old.booked_on, old.amount_minor, old.tax_minor, old.currency, old.exchange_rate, old.status))
  execute function app_private.tg_finance_records__200_of_per_diem();
