-- What is said in two places about a show, an expense or a per diem must be the same in both. Triggers and commands keep it so; this looks
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
returns table (show_id uuid, settlement_id uuid, what text, said text, otherwise text, expense_id uuid, per_diem_id uuid)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.status from app.shows s where s.organization_id = contradictions_of.organization and s.deleted_at is null
  ), settlements as (
    select x.id, x.show_id, x.deal_id, x.reopened_at, x.booked_at, x.inputs, x.result
    from app.settlements x where x.organization_id = contradictions_of.organization and x.status = 'final' and x.deleted_at is null
  ), booked as (
    select r.settlement_id, sum(case r.kind when 'income' then r.amount_minor else -r.amount_minor end) as amount
    from app.finance_records r
    where r.organization_id = contradictions_of.organization and r.settlement_id is not null and r.status <> 'void' and r.deleted_at is null
    group by r.settlement_id
  )
  select u.show_id, null::uuid, u.what, u.said, u.otherwise, null::uuid, null::uuid from app_private.unmatched_of(contradictions_of.organization) u
  -- A row that an earlier release did not make for a show without a fee says nothing else.
  where u.said <> u.otherwise
  union all
  -- Settled is a show of which every deal has a settlement in force; one that is cancelled stays so.
  select s.id, x.id, 'status', s.status, concat('settlement in force: ', coalesce(x.n, 0), case when d.n > 1 then ' of ' || d.n end), null, null
  from shows s
  left join (select y.show_id, count(*) as n, (array_agg(y.id order by y.id))[1] as id from settlements y where y.reopened_at is null group by y.show_id) x on x.show_id = s.id
  left join (select e.show_id, count(*) as n, count(*) filter (where y.id is null) as unsettled
    from app.deals e
    left join settlements y on y.show_id = e.show_id and y.reopened_at is null and y.deal_id is not distinct from case when e.act is not null then e.id end
    where e.organization_id = contradictions_of.organization and e.deleted_at is null group by e.show_id) d on d.show_id = s.id
  where s.status <> 'cancelled' and (s.status = 'settled') <> (x.n is not null and coalesce(d.unsettled, 0) = 0) and (x.n is not null or d.n is not null)
  union all
  -- A settlement in force is of a show that was played, or that is cancelled, as it says itself.
  select x.show_id, x.id, 'cancelled', s.status, case when c.is_cancelled then 'cancelled' else 'played or settled' end, null, null
  from settlements x
  join shows s on s.id = x.show_id
  cross join lateral (select coalesce((x.inputs ->> 'is_cancelled')::boolean, false) as is_cancelled) c
  where x.reopened_at is null and (c.is_cancelled and s.status <> 'cancelled' or not c.is_cancelled and s.status not in ('played', 'settled'))
  union all
  -- Tickets and costs are entered once, and what another act is paid is what its own settlement says.
  select x.show_id, null, 'entered', 'tickets and costs: ' || count(*), 'once', null, null
  from settlements x where x.reopened_at is null and x.inputs -> 'enters_show' is distinct from 'false'
  group by x.show_id having count(*) > 1
  union all
  select x.show_id, x.id, 'act', concat_ws(' ', c.act, c.paid), concat_ws(' ', c.act, p.paid), null, null
  from settlements x
  cross join lateral (select a.act_id, a.act, (a.figures ->> 'due_minor')::numeric + (a.figures ->> 'bonuses_minor')::numeric as paid from app.act_costs(x.inputs) a) c
  join settlements y on y.show_id = x.show_id and y.reopened_at is null and y.deal_id = c.act_id::uuid
  cross join lateral (select (y.result ->> 'due_minor')::numeric + (y.result ->> 'bonuses_minor')::numeric as paid) p
  where x.reopened_at is null and c.paid <> p.paid
  union all
  -- Without the lines of its sheet, whose words may change with a release.
  select x.show_id, x.id, 'result', (x.result - 'lines')::text, app.settlement_figures(x.inputs)::text, null, null from settlements x
  where not app.settlement_figures(x.inputs) @> (x.result - 'lines')
  union all
  -- Income less expenses is what the settlement says; what was recorded before has one deal, and is what the promoter is left with.
  select x.show_id, x.id, 'books', coalesce(b.amount, 0)::text, e.amount::text, null, null
  from settlements x
  left join booked b on b.settlement_id = x.id
  cross join lateral (select case when x.reopened_at is null and x.booked_at is not null then coalesce(x.result ->> 'books_minor', x.result ->> 'promoter_minor')::numeric else 0 end as amount) e
  where coalesce(b.amount, 0) <> e.amount
  union all
  -- Its category may be another: whoever keeps the books may correct that of the record.
  select null, null, 'expense', concat(e.amount_minor, ' ', e.currency), coalesce(r.amount_minor || ' ' || r.currency, ''), e.id, null
  from app.expenses e
  left join app.finance_records r on r.organization_id = e.organization_id and r.id = e.finance_record_id and r.expense_id = e.id
    and r.kind = 'expense' and r.status = 'actual' and r.deleted_at is null
  where e.organization_id = contradictions_of.organization and e.status = 'approved' and e.deleted_at is null
    and (r.amount_minor, r.currency) is distinct from (e.amount_minor, e.currency)
  union all
  select null, null, 'per_diem', concat(p.amount_minor, ' ', p.currency), coalesce(r.amount_minor || ' ' || r.currency, ''), null, p.id
  from app.per_diems p
  left join app.finance_records r on r.organization_id = p.organization_id and r.id = p.finance_record_id
    and r.kind = 'expense' and r.status = 'actual' and r.deleted_at is null
  where p.organization_id = contradictions_of.organization and p.status = 'approved' and p.deleted_at is null
    and (r.amount_minor, r.currency) is distinct from (p.amount_minor, p.currency);
end;
comment on function app_private.contradictions_of(uuid) is
  'What an organization''s shows, approved expenses and approved per diems say in one place and otherwise in another: tickets and those of the tiers, the fee and what the deals guarantee, the status and the settlements in force, whether these are of a cancelled show, whether tickets and costs are entered once, what another act is paid and what its settlement says, a final result and that of its inputs, the books and what the settlement enters, an expense or a per diem and the record that approving it has entered.';
alter function app_private.contradictions_of(uuid) owner to callboard_definer;

create or replace function app.find_contradictions(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  began constant timestamptz := clock_timestamp();
  organization uuid := coalesce((behind ->> 'organization')::uuid, app_private.nobody());
  found_here jsonb;
  contradictions jsonb := '[]';
begin
  loop
    organization := (select o.id from app.organizations o where o.id > organization and o.deleted_at is null order by o.id limit 1);
    exit when organization is null;
    -- With what a member needs for it, because fees are kept from everybody else, the definer included.
    perform app_private.set_context(null, null, organization, null, 'finance.read');
    select coalesce(jsonb_agg(jsonb_build_object('organization_id', organization) || to_jsonb(c)), '[]') into found_here
    from (select * from app_private.contradictions_of(organization) limit 100) c;
    contradictions := contradictions || found_here;
    exit when clock_timestamp() > began + interval '1 second' or jsonb_array_length(contradictions) >= 100;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'failed', jsonb_array_length(contradictions),
    'contradictions', contradictions, 'next', case when organization is not null then jsonb_build_object('organization', organization) end);
end
$$;
comment on function app.find_contradictions(jsonb) is
  'What the shows, expenses and per diems of some organizations say in two places, and not the same: at most 100 of each, as app_private.contradictions_of has them. Returns how many as `failed`. To continue, call it again with next, until that is null. Runs every night.';
alter function app.find_contradictions(jsonb) owner to callboard_definer;
grant execute on function app.find_contradictions(jsonb) to callboard_worker;
