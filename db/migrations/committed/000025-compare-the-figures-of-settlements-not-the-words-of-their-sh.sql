--! Previous: sha1:a40db01fd45b56e94941a88e216d2c13b9322213
--! Hash: sha1:71d93792bf8815963a6555876ec7146f04580c3e
--! Message: Compare the figures of settlements, not the words of their sheets

-- Included settlements/contradictions.sql
-- What is said in two places about a show must be the same in both. Triggers and commands keep it so; this looks
-- whether they did, also after rows were changed without them.

create or replace function app_private.contradictions_of(organization uuid)
returns table (show_id uuid, settlement_id uuid, what text, said text, otherwise text)
language sql stable
set search_path = ''
begin atomic
  with shows as (
    select s.id, s.status, s.tickets_sold, s.capacity from app.shows s where s.organization_id = contradictions_of.organization and s.deleted_at is null
  ), settlements as (
    select x.* from app.settlements x where x.organization_id = contradictions_of.organization and x.status = 'final' and x.deleted_at is null
  ), booked as (
    select r.settlement_id, sum(case r.kind when 'income' then r.amount_minor else -r.amount_minor end) as amount
    from app.finance_records r
    where r.organization_id = contradictions_of.organization and r.settlement_id is not null and r.status <> 'void' and r.deleted_at is null
    group by r.settlement_id
  )
  select s.id, null::uuid, 'tickets', concat_ws(' of ', s.tickets_sold, s.capacity), concat_ws(' of ', t.sold, t.allotment)
  from shows s
  join (select x.show_id, sum(x.sold) as sold, sum(x.allotment) as allotment from app.ticket_tiers x
    where x.organization_id = contradictions_of.organization and x.deleted_at is null group by x.show_id) t on t.show_id = s.id
  where (s.tickets_sold, s.capacity) is distinct from (least(t.sold, 2147483647), least(t.allotment, 2147483647))
  union all
  select s.id, null, 'fee', coalesce(concat_ws(' ', f.fee_minor, f.currency), ''), coalesce(d.guarantee_minor || ' ' || d.currency, '')
  from shows s
  join app.deals d on d.organization_id = contradictions_of.organization and d.show_id = s.id and d.deleted_at is null
  left join app.show_fees f on f.organization_id = d.organization_id and f.show_id = d.show_id
  where (f.fee_minor, f.currency) is distinct from (d.guarantee_minor, case when d.guarantee_minor is not null then d.currency end)
  union all
  select s.id, x.id, 'status', s.status, 'settlement in force: ' || count(x.id)
  from shows s
  left join settlements x on x.show_id = s.id and x.reopened_at is null
  group by s.id, s.status, x.id
  having (s.status = 'settled') <> (x.id is not null)
    and (x.id is not null or exists (select from app.deals d where d.organization_id = contradictions_of.organization and d.show_id = s.id and d.deleted_at is null))
  union all
  -- Without the lines of its sheet, whose words may change with a release.
  select x.show_id, x.id, 'result', (x.result - 'lines')::text, app.settlement_figures(x.inputs)::text from settlements x
  where not app.settlement_figures(x.inputs) @> (x.result - 'lines')
  union all
  -- Income less expenses is what the promoter is left with.
  select x.show_id, x.id, 'books', coalesce(b.amount, 0)::text, e.amount::text
  from settlements x
  left join booked b on b.settlement_id = x.id
  cross join lateral (select case when x.reopened_at is null and x.booked_at is not null then (x.result ->> 'promoter_minor')::numeric else 0 end as amount) e
  where coalesce(b.amount, 0) <> e.amount;
end;
comment on function app_private.contradictions_of(uuid) is
  'What an organization''s shows say in one place and otherwise in another: tickets and those of the tiers, the fee and what the deal guarantees, the status and the settlement in force, a final result and that of its inputs, the books and what the promoter is left with.';
alter function app_private.contradictions_of(uuid) owner to callboard_definer;
-- EndIncluded settlements/contradictions.sql
