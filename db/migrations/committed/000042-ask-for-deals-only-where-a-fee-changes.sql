--! Previous: sha1:0d161b15412b87eb32ed80ab52d714f8683f29b5
--! Hash: sha1:6c6e012426a2f8e838c34a8c9c3af3f6ce4f606a
--! Message: ask for deals only where a fee changes

drop trigger if exists _200_fee_insert on app.show_fees;
-- Included finance/finance_records.sql
select app_private.reference_table('app.finance_record_status_transitions');
insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;
create table if not exists app.finance_records (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_records_kind_known check (kind in ('income', 'expense')),
  category_id uuid not null,
  show_id uuid,
  booked_on date not null constraint finance_records_booked_on_range check (booked_on between date '1900-01-01' and date '2199-12-31'),
  due_on date constraint finance_records_due_on_range check (due_on between date '1900-01-01' and date '2199-12-31'),
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  amount_minor bigint not null constraint finance_records_amount_range check (amount_minor between 0 and 9007199254740991),
  tax_minor bigint not null default 0,
  currency char(3) not null,
  exchange_rate numeric(20, 10) constraint finance_records_exchange_rate_needed check (exchange_rate is not null)
    constraint finance_records_exchange_rate_range check (exchange_rate > 0 and exchange_rate <= 1000000000),
  -- As of entry: if the organization later changes its currency, old records keep theirs.
  base_currency char(3) not null default app.base_currency(),
  -- Null only without a rate, which a constraint then reports.
  base_amount_minor bigint generated always as
      (app.convert_minor(amount_minor, exchange_rate, currency::text, base_currency::text)) stored
    constraint finance_records_base_amount_range check (base_amount_minor between 0 and 9007199254740991),
  status text not null default 'planned' constraint finance_records_status_known check (status in ('planned', 'committed', 'actual', 'void')),
  payment_status text not null default 'unpaid' constraint finance_records_payment_status_known check (
    payment_status in ('unpaid', 'partly_paid', 'paid', 'refunded')),
  counterparty text collate app.people constraint finance_records_counterparty_length check (length(counterparty) between 1 and 200 and counterparty !~ '[\u0001-\u001f\u007f-\u009f]'
    and counterparty ~ '[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]'),
  note text constraint finance_records_note_length check (length(note) <= 10000),
  source text collate app.people constraint finance_records_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint finance_records_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  -- Written by settlements only: see settlements/settlement_books.sql. They outlive what is purged.
  settlement_id uuid,
  settlement_line text,
  -- The tour it is for; without one, that of its show. A column of later: see finance_record_rows.
  itinerary_id uuid,
  -- Written when an expense is approved: see expense_decisions.sql. It outlives what is purged.
  expense_id uuid,
  primary key (organization_id, id),
  constraint finance_records_category_exists foreign key (organization_id, category_id, kind)
    references app.finance_categories (organization_id, id, kind),
  -- A record outlives its show: see the trigger on app.shows below.
  constraint finance_records_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint finance_records_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete set null (itinerary_id),
  constraint finance_records_currency_exists foreign key (currency) references app.currencies (code),
  constraint finance_records_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1),
  constraint finance_records_tax_within_amount check (tax_minor between 0 and amount_minor),
  constraint finance_records_external_ref_with_source check ((external_ref is null) = (source is null))
);
-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', guard => 'app_private.require_not_of_settlement(regclass, uuid)', checks_parents => false);
grant insert (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref, itinerary_id),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref, itinerary_id)
  on app.finance_records to callboard_api;
grant insert (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, base_currency, status,
    payment_status, counterparty, note, source, external_ref, created_by, settlement_id, settlement_line, itinerary_id, expense_id),
  update (status, deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;
comment on table app.finance_records is 'Income and expenses of the organization, planned and actual.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind gives the direction.';
comment on column app.finance_records.tax_minor is 'Tax included in the amount.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, at the exchange rate.';
comment on column app.finance_records.settlement_id is 'The settlement that has entered it; its amount, day and status are that one''s.';
comment on column app.finance_records.settlement_line is 'Which line of the settlement it is: see app.settlement_lines.';
comment on column app.finance_records.itinerary_id is 'The tour it is for; a record without one is for those that its show is on.';
comment on column app.finance_records.expense_id is 'The expense of a member that approving has entered.';
comment on column app.finance_records.external_ref is 'The record''s id in the system it comes from (source); unique there.';
-- EndIncluded finance/finance_records.sql
-- Included settlements/deal_fees.sql
-- Where a show has deals, its fee is what they guarantee together: one number, which the deals give.

create or replace function app_private.match_fee(organization uuid, show uuid) returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
  deals record;
  is_other boolean;
begin
  -- All deals of a show have one currency. A sum that is too much for a fee stays too much, whatever its type.
  select count(*) as n, case when sum(d.guarantee_minor) is not null then least(sum(d.guarantee_minor), 9007199254740992) end as guaranteed,
    case when sum(d.guarantee_minor) is not null then min(d.currency) end as currency into deals
  from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null;
  if deals.n = 0 then
    return false;
  end if;
  -- A door deal guarantees nothing: if all do, there is no fee, but a row all the same, so that nobody can insert one.
  select (f.fee_minor, f.currency) is distinct from (deals.guaranteed, deals.currency) into is_other
  from app.show_fees f where f.organization_id = organization and f.show_id = show;
  insert into app.show_fees as f (organization_id, show_id, fee_minor, currency) values (organization, show, deals.guaranteed, deals.currency)
  on conflict (organization_id, show_id) do update set fee_minor = excluded.fee_minor, currency = excluded.currency
    where (f.fee_minor, f.currency) is distinct from (excluded.fee_minor, excluded.currency);
  if not coalesce(is_other, deals.guaranteed is not null) then
    return false;
  end if;
  -- The version of a fee is that of its show.
  update app.shows s set tickets_sold = s.tickets_sold where s.organization_id = organization and s.id = show and s.deleted_at is null;
  return true;
end
$$;
comment on function app_private.match_fee(uuid, uuid) is 'Gives a show the sum of the guarantees of its deals, if it has any, as its fee; returns whether that was another.';
alter function app_private.match_fee(uuid, uuid) owner to callboard_definer;
create or replace function app_private.tg_show_fees__200_fee() returns trigger
language plpgsql volatile
set search_path = ''
as $$
begin
  if current_user <> 'callboard_definer' and app.has_deal(new.show_id) then
    perform app.refuse(409, 'show_fee_by_deal');
  end if;
  return new;
end
$$;
comment on function app_private.tg_show_fees__200_fee() is 'PT409 show_fee_by_deal for another fee than what the show''s deals guarantee.';
-- EndIncluded settlements/deal_fees.sql
-- Included settlements/contradictions.sql
-- What is said in two places about a show must be the same in both. Triggers and commands keep it so; this looks
-- whether they did, also after rows were changed without them.

create or replace function app_private.unmatched_of(organization uuid) returns table (show_id uuid, what text, said text, otherwise text)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.tickets_sold, s.capacity from app.shows s where s.organization_id = unmatched_of.organization and s.deleted_at is null
  )
  select s.id, 'tickets', concat_ws(' of ', s.tickets_sold, s.capacity), concat_ws(' of ', t.sold, t.allotment)
  from shows s
  join (select x.show_id, sum(x.sold) as sold, sum(x.allotment) as allotment from app.ticket_tiers x
    where x.organization_id = unmatched_of.organization and x.deleted_at is null group by x.show_id) t on t.show_id = s.id
  where (s.tickets_sold, s.capacity) is distinct from (least(t.sold, 2147483647), least(t.allotment, 2147483647))
  union all
  select s.id, 'fee', coalesce(concat_ws(' ', f.fee_minor, f.currency), ''), coalesce(d.guaranteed || ' ' || d.currency, '')
  from shows s
  join (select x.show_id, sum(x.guarantee_minor) as guaranteed, min(x.currency) as currency from app.deals x
    where x.organization_id = unmatched_of.organization and x.deleted_at is null group by x.show_id) d on d.show_id = s.id
  left join app.show_fees f on f.organization_id = unmatched_of.organization and f.show_id = d.show_id
  where f.show_id is null or (f.fee_minor, f.currency) is distinct from (d.guaranteed, case when d.guaranteed is not null then d.currency end);
end;
comment on function app_private.unmatched_of(uuid) is
  'The shows of an organization whose tickets are not those of their tiers, or whose fee is not what their deals guarantee, or has no row: what the show says, and what it is otherwise. Only in a context with finance.read.';
alter function app_private.unmatched_of(uuid) owner to callboard_definer;
create or replace function app_private.contradictions_of(organization uuid)
returns table (show_id uuid, settlement_id uuid, what text, said text, otherwise text)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.status from app.shows s where s.organization_id = contradictions_of.organization and s.deleted_at is null
  ), settlements as (
    select x.* from app.settlements x where x.organization_id = contradictions_of.organization and x.status = 'final' and x.deleted_at is null
  ), booked as (
    select r.settlement_id, sum(case r.kind when 'income' then r.amount_minor else -r.amount_minor end) as amount
    from app.finance_records r
    where r.organization_id = contradictions_of.organization and r.settlement_id is not null and r.status <> 'void' and r.deleted_at is null
    group by r.settlement_id
  )
  select u.show_id, null::uuid, u.what, u.said, u.otherwise from app_private.unmatched_of(contradictions_of.organization) u
  -- A row that an earlier release did not make for a show without a fee says nothing else.
  where u.said <> u.otherwise
  union all
  -- Settled is a show of which every deal has a settlement in force.
  select s.id, x.id, 'status', s.status, concat('settlement in force: ', coalesce(x.n, 0), case when d.n > 1 then ' of ' || d.n end)
  from shows s
  left join (select y.show_id, count(*) as n, (array_agg(y.id order by y.id))[1] as id from settlements y where y.reopened_at is null group by y.show_id) x on x.show_id = s.id
  left join (select e.show_id, count(*) as n, count(*) filter (where y.id is null) as unsettled
    from app.deals e
    left join settlements y on y.show_id = e.show_id and y.reopened_at is null and y.deal_id is not distinct from case when e.act is not null then e.id end
    where e.organization_id = contradictions_of.organization and e.deleted_at is null group by e.show_id) d on d.show_id = s.id
  where (s.status = 'settled') <> (x.n is not null and coalesce(d.unsettled, 0) = 0) and (x.n is not null or d.n is not null)
  union all
  -- Tickets and costs are entered once, and what another act is paid is what its own settlement says.
  select x.show_id, null, 'entered', 'tickets and costs: ' || count(*), 'once'
  from settlements x where x.reopened_at is null and x.inputs -> 'enters_show' is distinct from 'false'
  group by x.show_id having count(*) > 1
  union all
  select x.show_id, x.id, 'act', concat_ws(' ', c.act, c.paid), concat_ws(' ', c.act, p.paid)
  from settlements x
  cross join lateral (select a.act_id, a.act, (a.figures ->> 'due_minor')::numeric + (a.figures ->> 'bonuses_minor')::numeric as paid from app.act_costs(x.inputs) a) c
  join settlements y on y.show_id = x.show_id and y.reopened_at is null and y.deal_id = c.act_id::uuid
  cross join lateral (select (y.result ->> 'due_minor')::numeric + (y.result ->> 'bonuses_minor')::numeric as paid) p
  where x.reopened_at is null and c.paid <> p.paid
  union all
  -- Without the lines of its sheet, whose words may change with a release.
  select x.show_id, x.id, 'result', (x.result - 'lines')::text, app.settlement_figures(x.inputs)::text from settlements x
  where not app.settlement_figures(x.inputs) @> (x.result - 'lines')
  union all
  -- Income less expenses is what the settlement says; what was recorded before has one deal, and is what the promoter is left with.
  select x.show_id, x.id, 'books', coalesce(b.amount, 0)::text, e.amount::text
  from settlements x
  left join booked b on b.settlement_id = x.id
  cross join lateral (select case when x.reopened_at is null and x.booked_at is not null then coalesce(x.result ->> 'books_minor', x.result ->> 'promoter_minor')::numeric else 0 end as amount) e
  where coalesce(b.amount, 0) <> e.amount;
end;
comment on function app_private.contradictions_of(uuid) is
  'What an organization''s shows say in one place and otherwise in another: tickets and those of the tiers, the fee and what the deals guarantee, the status and the settlements in force, whether tickets and costs are entered once, what another act is paid and what its settlement says, a final result and that of its inputs, the books and what the settlement enters.';
alter function app_private.contradictions_of(uuid) owner to callboard_definer;
-- EndIncluded settlements/contradictions.sql
-- Lock: access exclusive on app.show_fees: drop trigger if exists _200_fee_insert on app.show_fees
