-- A final settlement is in the books: each of its lines is a finance record, once, until it is reopened. The commands that
-- finalize and reopen are in settlement_commands.sql.

create or replace function app_private.open_day(organization uuid, wanted date) returns date
language plpgsql stable
set search_path = ''
as $$
declare
  first_day date := date_trunc('month', wanted::timestamp);
begin
  while exists (select from app.finance_periods p where p.organization_id = organization and p.month = first_day) loop
    first_day := first_day + interval '1 month';
  end loop;
  return greatest(wanted, first_day);
end
$$;
comment on function app_private.open_day(uuid, date) is 'The day, or the first one of the next month whose books are open.';
alter function app_private.open_day(uuid, date) owner to callboard_definer;

create or replace function app_private.category_named(organization uuid, of_kind text, wanted text, otherwise text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  found_id uuid;
begin
  select c.id into found_id from app.finance_categories c
  where c.organization_id = organization and c.kind = of_kind and c.deleted_at is null and lower(c.name) in (lower(wanted), lower(otherwise))
  order by lower(c.name) = lower(wanted) desc limit 1;
  if found_id is null then
    insert into app.finance_categories (organization_id, kind, name) values (organization, of_kind, otherwise) returning id into found_id;
  end if;
  return found_id;
end
$$;
comment on function app_private.category_named(uuid, text, text, text) is 'The category of that name, or else the other, which is entered if there is neither.';
alter function app_private.category_named(uuid, text, text, text) owner to callboard_definer;

create or replace function app_private.booked_by_hand(s app.settlements) returns uuid[]
language plpgsql stable
set search_path = ''
as $$
begin
  return (select array_agg(r.id) from app.finance_records r
    join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
    join (
      select l.kind, lower(l.category) as category from app.settlement_lines(s.inputs, s.result) l
      union
      -- Which a cancelled show has to give back.
      select 'income', 'ticket sales' where s.inputs @> '{"is_cancelled": true, "enters_show": true}') l on l.kind = c.kind and l.category = lower(c.name)
    where r.organization_id = s.organization_id and r.show_id = s.show_id and r.status = 'actual' and r.deleted_at is null and r.settlement_id is null);
end
$$;
comment on function app_private.booked_by_hand(app.settlements) is 'The actual records of the show, entered by somebody, in the categories of the settlement''s lines: perhaps the same money. Of a cancelled show also ticket sales.';
alter function app_private.booked_by_hand(app.settlements) owner to callboard_definer;

create or replace function app_private.book_settlement(s app.settlements, rate numeric) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- As whoever enters a record: nobody closes a month meanwhile.
  perform from app.organizations o where o.id = s.organization_id for share;
  insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, amount_minor, tax_minor, currency, exchange_rate, base_currency,
    status, payment_status, note, settlement_id, settlement_line, created_by)
  select s.organization_id, l.kind, app_private.category_named(s.organization_id, l.kind, l.category, l.otherwise), s.show_id,
    d.booked_on, l.amount_minor, l.tax_minor, s.inputs ->> 'currency', rate, o.currency,
    'actual', case when l.is_paid then 'paid' else 'unpaid' end,
    l.note || case when d.booked_on <> d.wanted then format(' (of %s, whose month is closed)', d.wanted) else '' end,
    s.id, l.line, app.current_user_id()
  from app.settlement_lines(s.inputs, s.result) l
  join app.shows x on x.organization_id = s.organization_id and x.id = s.show_id
  join app.organizations o on o.id = s.organization_id
  cross join lateral (select w.wanted, app_private.open_day(s.organization_id, w.wanted) as booked_on
    from (select coalesce(l.booked_on, (s.show_as_recorded ->> 'show_on')::date, x.show_on) as wanted) w) d;
end
$$;
comment on function app_private.book_settlement(app.settlements, numeric) is
  'Enters the lines of a settlement as actual records, on the day of the show, of the deposit or on which what is withheld is due, or in the next month that is open.';
alter function app_private.book_settlement(app.settlements, numeric) owner to callboard_definer;

create or replace function app_private.enter_settlement(s app.settlements, rate numeric, existing text, must boolean) returns text
language plpgsql volatile
set search_path = ''
as $$
declare
  books constant text := (select o.currency from app.organizations o where o.id = s.organization_id);
  entered constant uuid[] := app_private.booked_by_hand(s);
  is_foreign constant boolean := s.inputs ->> 'currency' <> books;
  because text;
begin
  -- Nothing is guessed: neither a rate, nor whether money that somebody has entered is the same.
  if not is_foreign and rate <> 1 then
    perform app.refuse(422, 'finance_records_exchange_rate_of_base', format('The books are kept in %s, and so is the deal.', books));
  elsif entered is not null and existing is null then
    because := 'booked_by_hand';
    if must then
      perform app.refuse(409, 'settlement_booked_by_hand', format('Actual finance records of the show in the same categories: %s. Say whether they are to be kept or made void.', cardinality(entered)));
    end if;
  elsif is_foreign and rate is null then
    because := 'exchange_rate_needed';
    if must then
      perform app.refuse(422, 'settlement_exchange_rate_needed', format('The books are kept in %s, and the deal is in %s.', books, s.inputs ->> 'currency'));
    end if;
  end if;
  if because is null then
    if existing = 'void' then
      update app.finance_records r set status = 'void' where r.organization_id = s.organization_id and r.id = any (entered);
    end if;
    perform app_private.book_settlement(s, case when is_foreign then rate else 1 end);
  end if;
  return because;
end
$$;
comment on function app_private.enter_settlement(app.settlements, numeric, text, boolean) is
  'Books a settlement, unless that takes an exchange rate, or a word on what somebody has entered: then it returns why not or, if it must, PT409 settlement_booked_by_hand, PT422 settlement_exchange_rate_needed. PT422 finance_records_exchange_rate_of_base for a rate where there is none.';
alter function app_private.enter_settlement(app.settlements, numeric, text, boolean) owner to callboard_definer;

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

create or replace function app.reconcile_shows(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
as $$
declare
  began constant timestamptz := clock_timestamp();
  organization uuid := coalesce((behind ->> 'organization')::uuid, app_private.nobody());
  x record;
  s app.settlements;
  because text;
  reasons jsonb := '[]';
  matched integer := 0;
  booked integer := 0;
  left_alone integer := 0;
  failed integer := 0;
begin
  loop
    organization := (select o.id from app.organizations o where o.id > organization and o.deleted_at is null order by o.id limit 1);
    exit when organization is null;
    -- With what a member needs for the two, because fees are kept from everybody else, the definer included.
    perform app_private.set_context(null, null, organization, null, 'finance.read finance.write');
    for x in
      select * from (select u.*, row_number() over (partition by u.what order by u.show_id) as n from app_private.unmatched_of(organization) u) u
      where u.n <= 1000 order by u.what, u.show_id
    loop
      begin
        perform from app.shows n where n.organization_id = organization and n.id = x.show_id for no key update;
        matched := matched + (case x.what when 'fee' then app_private.match_fee(organization, x.show_id)
          else app_private.match_tickets(organization, x.show_id) end)::integer;
      exception when others then
        failed := failed + 1;
        reasons := reasons || jsonb_build_object('organization_id', organization, 'show_id', x.show_id, 'failed_with', sqlerrm);
      end;
    end loop;
    -- Final ones of before they were booked: where somebody has entered the money, or it takes an exchange rate, they are left alone.
    for s in
      select y.* from app.settlements y
      where y.organization_id = organization and y.status = 'final' and y.reopened_at is null and y.deleted_at is null and y.booked_at is null and y.not_booked_because is null
      order by y.id limit 200
    loop
      begin
        perform from app.shows n where n.organization_id = organization and n.id = s.show_id for no key update;
        select * into s from app.settlements y where y.organization_id = organization and y.id = s.id;
        continue when s.reopened_at is not null or s.booked_at is not null;
        because := app_private.enter_settlement(s, null, null, false);
        update app.settlements y set booked_at = case when because is null then statement_timestamp() end, not_booked_because = because
        where y.organization_id = organization and y.id = s.id;
        booked := booked + (because is null)::integer;
        left_alone := left_alone + (because is not null)::integer;
      exception when others then
        failed := failed + 1;
        reasons := reasons || jsonb_build_object('organization_id', organization, 'settlement_id', s.id, 'failed_with', sqlerrm);
      end;
    end loop;
    if clock_timestamp() > began + interval '1 second' then
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('matched', matched, 'booked', booked, 'left_alone', left_alone, 'failed', failed, 'because', reasons,
    'next', case when organization is not null then jsonb_build_object('organization', organization) end);
end
$$;
comment on function app.reconcile_shows(jsonb) is
  'Gives shows the tickets of their tiers and the fee of their deal, and books final settlements, where an earlier release did not: of some organizations. Returns how many of each, how many settlements it left alone, and how many failed, and why. To continue, call it again with next, until that is null.';
alter function app.reconcile_shows(jsonb) owner to callboard_definer;
grant execute on function app.reconcile_shows(jsonb) to callboard_worker;
