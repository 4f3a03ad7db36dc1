--! Previous: sha1:968745d8fce311594e5108323c0b1a4ba547aba6
--! Hash: sha1:c84ca65399f8df0254144c382d6ca5ef0504a14e
--! Message: Say once what does not match, and lock shows in one place

create or replace function app_private.tg__100_show() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Before the weaker lock that all parts take, because the show is changed at the end.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for no key update;
  return new;
end
$$;
comment on function app_private.tg__100_show() is 'Locks the show, so that those who change what it takes from its parts, its tickets and its fee, wait for each other.';
alter function app_private.tg__100_show() owner to callboard_definer;
create or replace trigger _100_show before insert or update of sold, allotment, deleted_at on app.ticket_tiers
  for each row execute function app_private.tg__100_show();
create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at on app.deals
  for each row execute function app_private.tg__100_show();
drop function if exists app_private.tg_deals__100_show();
drop function if exists app_private.tg_ticket_tiers__100_show();
-- Included audit/event_seals.sql
select app_private.force_rls('app.event_seals');
select app_private.set_policy('app.event_seals', 'select_auditor', 'callboard_auditor', 'true');
-- The definer appends; nobody ever changes or deletes seals, which outlive their events.
select app_private.set_policy('app.event_seals', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.event_seals', 'insert_definer', 'callboard_definer', 'true');
select app_private.definer_table('app_private.sealing', 'select, update');
select app_private.set_policy('app_private.sealing', 'insert_owner', 'callboard_owner', 'true');
insert into app_private.sealing default values on conflict do nothing;
select app_private.definer_table('app_private.horizon_looks');
create or replace function app.seal_part(look_back interval, behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
as $$
declare
  began timestamptz;
  is_thorough constant boolean := look_back >= interval '1 hour';
  state app_private.sealing;
  horizon timestamptz := behind ->> 'horizon';
  until timestamptz := behind ->> 'until';
  since timestamptz := behind ->> 'since';
  future timestamptz;
  organization uuid := behind ->> 'organization';
  last_at timestamptz := behind ->> 'last_at';
  last_id uuid := behind ->> 'last_id';
  -- Who has more than a batch, and how far each has come, the one whose turn is next first.
  backlog jsonb := coalesce(behind -> 'backlog', '[]');
  -- Whether this pass began with nobody half done.
  is_whole constant boolean := coalesce((behind ->> 'is_whole')::boolean, behind is null);
  head_at timestamptz;
  batch record;
  sealed integer := 0;
  next jsonb;
begin
  -- Parts of others take their turns. What a part waits for them is not of its own time.
  select * into state from app_private.sealing for update;
  began := clock_timestamp();
  future := case when is_thorough then began + interval '5 minutes' else 'infinity' end;
  if until is null then
    -- Nobody's open transaction delays this for more than three seconds. What it writes is dated by its beginning: an event
    -- that is older than those already sealed, also because the clock was set back, is found within look_back and sealed after them.
    horizon := app_private.seal_horizon();
    until := greatest(horizon, began - interval '3 seconds');
    since := case
      when is_thorough then greatest(state.sealed_until, began - interval '1 day')
      else greatest(state.sealed_until, least(state.reached, began - interval '1 minute')) end;
    since := greatest(least(since, state.reached) - look_back, '0001-01-01 00:00:00+00');
  end if;
  loop
    if last_at is null then
      organization := app_private.next_logged(organization, since, case when is_thorough then 'infinity' else until end);
      exit when organization is null;
      -- Skips nearly all organizations, because this runs every second.
      continue when not is_thorough and (backlog @> jsonb_build_array(jsonb_build_object('organization', organization)) or not exists (select from app.event_log l
        where l.organization_id = organization and l.occurred_at >= since and l.occurred_at < until));
      if not is_thorough then
        head_at := (select s.occurred_at from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1);
      end if;
    end if;
    select * into batch
    from app_private.seal_batch(organization, coalesce(last_at, greatest(since, least(coalesce(head_at, since), until) - look_back)), last_id, until, future, 1000) b;
    sealed := sealed + batch.sealed;
    if is_thorough then
      last_at := batch.last_at;
      last_id := batch.last_id;
    elsif batch.last_at is not null then
      -- Nobody's events wait for the backlog of another: first each gets a batch.
      backlog := backlog || jsonb_build_object('organization', organization, 'last_at', batch.last_at, 'last_id', batch.last_id);
    end if;
    -- In parts, so that no transaction is long; a thorough one, which has often nothing to do, gives way to the quick ones.
    if sealed >= 10000 or clock_timestamp() > began + (case when is_thorough then interval '0.25 seconds' else interval '1 second' end) then
      next := jsonb_build_object('horizon', horizon, 'until', until, 'since', since, 'organization', organization, 'last_at', last_at, 'last_id', last_id,
        'backlog', backlog, 'is_whole', is_whole);
      exit;
    end if;
  end loop;
  while next is null and backlog <> '[]' loop
    organization := backlog #>> '{0,organization}';
    select * into batch
    from app_private.seal_batch(organization, (backlog #>> '{0,last_at}')::timestamptz, (backlog #>> '{0,last_id}')::uuid, until, future, 1000) b;
    backlog := backlog - 0;
    sealed := sealed + batch.sealed;
    if batch.last_at is not null then
      backlog := backlog || jsonb_build_object('organization', organization, 'last_at', batch.last_at, 'last_id', batch.last_id);
    end if;
    -- Then the others again.
    if sealed >= 10000 or clock_timestamp() > began + interval '1 second' then
      next := jsonb_build_object('backlog', backlog);
    end if;
  end loop;
  -- Behind where a backlog had come, events may have become visible: the next pass finds them.
  if next is null and is_whole then
    update app_private.sealing x set sealed_until = greatest(x.sealed_until, horizon), reached = greatest(x.reached, until);
  end if;
  return jsonb_build_object('sealed', sealed, 'failed', 0, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'next', next)
    || case when sealed = 0 and next is null then jsonb '{"is_idle": true}' else '{}' end;
end
$$;
comment on function app.seal_part(interval, jsonb) is
  'Seals at most 11,000 events: new ones, and any within the last look_back that were missed. To continue, call it again with next, until that is null; a concurrent call waits for its turn. Runs every second with ''10 seconds'', once a minute with ''1 hour'', and once a day with ''1000 years''.';
alter function app.seal_part(interval, jsonb) owner to callboard_definer;
grant execute on function app.seal_part(interval, jsonb) to callboard_worker;
-- EndIncluded audit/event_seals.sql
-- Included settlements/show_parts.sql
create or replace function app_private.tg__100_show() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Before the weaker lock that all parts take, because the show is changed at the end.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for no key update;
  return new;
end
$$;
comment on function app_private.tg__100_show() is 'Locks the show, so that those who change what it takes from its parts, its tickets and its fee, wait for each other.';
alter function app_private.tg__100_show() owner to callboard_definer;
-- EndIncluded settlements/show_parts.sql
-- Included settlements/deals.sql
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_deal_unsettled(regclass, uuid)', checks_parents => false);
-- The currency is that of the prices and the other amounts of the show: with another one they would be other amounts.
create or replace function app_private.tg_deals__150_currency() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  present text;
begin
  -- The show is locked (_100_show), and whoever enters an amount shares that lock.
  select d.currency into present from app.deals d
  where d.organization_id = new.organization_id and d.show_id = new.show_id
  order by d.deleted_at desc nulls first limit 1;
  if present <> new.currency and (
    exists (select from app.ticket_tiers x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.show_costs x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.deposits x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.deal_bonuses x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null)
    or exists (select from app.deal_adjustments x where x.organization_id = new.organization_id and x.show_id = new.show_id and x.deleted_at is null))
  then
    perform app.refuse(409, 'deals_currency_in_use', format('Prices, costs, deposits, bonuses or adjustments of the show are in %s.', present));
  end if;
  return new;
end
$$;
comment on function app_private.tg_deals__150_currency() is
  'PT409 deals_currency_in_use if the deal of a show with prices or other amounts would have another currency than the one before it: by a change, a new deal, or one restored.';
alter function app_private.tg_deals__150_currency() owner to callboard_definer;
-- EndIncluded settlements/deals.sql
-- Included settlements/deal_fees.sql
create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at on app.deals
  for each row execute function app_private.tg__100_show();
-- EndIncluded settlements/deal_fees.sql
-- Included settlements/ticket_tiers.sql
select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
create or replace trigger _100_show before insert or update of sold, allotment, deleted_at on app.ticket_tiers
  for each row execute function app_private.tg__100_show();
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/settlement_books.sql
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
-- EndIncluded settlements/settlement_books.sql
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
  select s.id, 'fee', coalesce(concat_ws(' ', f.fee_minor, f.currency), ''), coalesce(d.guarantee_minor || ' ' || d.currency, '')
  from shows s
  join app.deals d on d.organization_id = unmatched_of.organization and d.show_id = s.id and d.deleted_at is null
  left join app.show_fees f on f.organization_id = d.organization_id and f.show_id = d.show_id
  where (f.fee_minor, f.currency) is distinct from (d.guarantee_minor, case when d.guarantee_minor is not null then d.currency end);
end;
comment on function app_private.unmatched_of(uuid) is
  'The shows of an organization whose tickets are not those of their tiers, or whose fee is not the guarantee of their deal: what the show says, and what it is otherwise. Only in a context with finance.read.';
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
-- Lock: share row exclusive on app.ticket_tiers: create or replace trigger _100_show before insert or update of sold, allotment, deleted_at on app.ti
-- Lock: share row exclusive on app.deals: create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at
