--! Previous: sha1:a4be0009d0951984ece52353f3d9feb4cd21260a
--! Hash: sha1:968745d8fce311594e5108323c0b1a4ba547aba6
--! Message: Mend what was found in sheets, fees, offers and BI

-- Included foundation/deletions.sql
create or replace function app_private.restore_row(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  parent_deleted boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, app_private.policy_permission(target, 'select');
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(app_private.policy_permission(target, 'delete'));
  -- A row cannot be restored while its parent is deleted, and restoring the parent needs its own
  -- permission. Locking the parent makes a concurrent deletion of it wait and then see this row; with the lock that
  -- triggers take who change the parent, because several that share a weaker one would wait for each other.
  for edge in select * from app_private.deletion_edges e where e.child = target loop
    execute format('select p.deleted_at is not null from %s c, %s p where %s and c.organization_id = app.current_org() and c.id = $1 for no key update of p',
      target, edge.parent, edge.condition) into parent_deleted using id;
    if parent_deleted then
      perform app.refuse(409, 'parent_deleted', 'What it belongs to is deleted: restore that first.');
    end if;
  end loop;
  perform app_private.restore_deletion(deletion);
end
$$;
comment on function app_private.restore_row(regclass, uuid) is
  'The command behind every restore: restores everything that was deleted with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid) owner to callboard_definer;
-- EndIncluded foundation/deletions.sql
-- Included settlements/show_parts.sql
create or replace function app_private.require_deal_unsettled(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.require_part_unsettled(target, id);
  -- A deal that is restored gives the show its fee.
  if exists (select from app.deals d where d.organization_id = app.current_org() and d.id = require_deal_unsettled.id and d.deleted_at is null) then
    perform app.require('finance.read');
    perform app.require('finance.write');
  end if;
end
$$;
comment on function app_private.require_deal_unsettled(regclass, uuid) is
  'The guard of deals: PT409 settlement_final once the settlement is final, PT403 for restoring one without finance.read and finance.write.';
alter function app_private.require_deal_unsettled(regclass, uuid) owner to callboard_definer;
-- EndIncluded settlements/show_parts.sql
-- Included settlements/deals.sql
select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_deal_unsettled(regclass, uuid)', checks_parents => false);
-- EndIncluded settlements/deals.sql
-- Included settlements/settlement_lines.sql
create or replace function app.sheet_lines(inputs jsonb, figures jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  digits constant integer := coalesce(app.minor_digits(inputs ->> 'currency'), 2);
  deal record;
  f record;
begin
  select * into deal from jsonb_to_record(app.inputs_in_percent(inputs) -> 'deal') as d (kind text, base text, percentage numeric, tax_percentage numeric,
    promoter_profit_percentage numeric, withholding_percentage numeric, withholding_threshold_minor numeric, withholding_due_on date);
  select * into f from jsonb_to_record(figures) as x (tickets_sold numeric, tickets_comped numeric, tickets_allotted numeric, gross_minor numeric,
    facility_fees_minor numeric, excluded_minor numeric, tax_minor numeric, net_receipts_minor numeric, guarantee_cost_minor numeric, costs_minor numeric,
    internal_costs_minor numeric, budget_minor numeric, over_budget_minor numeric, promoter_profit_minor numeric, split_point_minor numeric, share_base_minor numeric,
    share_minor numeric, guarantee_minor numeric, due_minor numeric, bonuses_minor numeric, withholding_minor numeric, adjustments_minor numeric,
    deposits_minor numeric, walk_out_minor numeric, promoter_minor numeric);
  return (
    with tiers as (
      select x.id, x.name, x.price_minor as price, coalesce(x.facility_fee_minor, 0) as fee, coalesce(x.excluded_minor, 0) as excluded, x.sold
      from jsonb_to_recordset(inputs -> 'ticket_tiers')
        as x (id text, name text, price_minor numeric, facility_fee_minor numeric, excluded_minor numeric, sold numeric)
    ), lines (part, rank, section, key, name, formula, amount, is_total, budget, over) as (
      select 1, -t.price, 'receipts', 'tier ' || t.id, t.name, format('%s × %s', t.sold, app.money_text(t.price, digits)), t.price * t.sold, false, null::numeric, null::numeric from tiers t
      union all select 2, 0, 'receipts', 'gross', 'Gross', 'all tickets', f.gross_minor, true, null, null
      union all select 3, 0, 'receipts', 'facility_fees', 'Facility fees',
        (select string_agg(format('%s × %s', t.sold, app.money_text(t.fee, digits)), ' + ' order by t.price desc, t.fee desc, t.sold desc) from tiers t where t.fee * t.sold > 0),
        -f.facility_fees_minor, false, null, null where f.facility_fees_minor > 0
      union all select 4, 0, 'receipts', 'excluded', 'Not shared',
        (select string_agg(format('%s × %s', t.sold, app.money_text(t.excluded, digits)), ' + ' order by t.price desc, t.excluded desc, t.sold desc) from tiers t where t.excluded * t.sold > 0),
        -f.excluded_minor, false, null, null where f.excluded_minor > 0
      union all select 5, 0, 'receipts', 'tax', 'Tax in the prices',
        format('%s %% in the rest of %s', deal.tax_percentage, app.money_text(f.gross_minor - f.facility_fees_minor - f.excluded_minor, digits)), -f.tax_minor, false, null, null
        where deal.tax_percentage > 0
      union all select 6, 0, 'receipts', 'net_receipts', 'Net receipts', 'what is left', f.net_receipts_minor, true, null, null

      union all select case when c.is_internal then 18 else 7 end, 0, case when c.is_internal then 'promoter' else 'costs' end, 'cost ' || c.id, c.name,
        app.cost_formula(c.kind, c.amount_minor, c.percentage, c.cap_minor, f.tickets_sold, f.tickets_comped, f.gross_minor, f.net_receipts_minor, digits), a.amount, false,
        c.budget_minor, a.amount - c.budget_minor
        from jsonb_to_recordset(inputs -> 'costs') as c (id text, name text, kind text, amount_minor numeric, percentage numeric, cap_minor numeric, budget_minor numeric, is_internal boolean),
          lateral (select app.cost_amount(c.kind, c.amount_minor, c.percentage, c.cap_minor, f.tickets_sold, f.tickets_comped, f.gross_minor, f.net_receipts_minor) as amount) a
      union all select 8, 0, 'costs', 'guarantee_cost', 'Guarantee', 'as a cost', f.guarantee_cost_minor, false, null, null where f.guarantee_cost_minor > 0
      union all select case x.stage when 'before_split' then 9 else 14 end, 0, case x.stage when 'before_split' then 'costs' else 'payment' end, 'adjustment ' || x.id, x.name,
        x.kind || case x.stage when 'before_split' then ', before the split' else '' end, case x.kind when 'deduction' then -x.amount_minor else x.amount_minor end, false, null, null
        from jsonb_to_recordset(inputs -> 'adjustments') as x (id text, name text, kind text, amount_minor numeric, stage text)
      union all select 10, 0, 'costs', 'costs', 'Costs', 'all of them', f.costs_minor, true, f.budget_minor, f.over_budget_minor

      union all select 11, x.n, 'split', x.key, x.name, x.formula, x.amount, x.key = 'due', null, null
        from (values
          (1, 'promoter_profit', 'Promoter profit', format('%s %% of %s', deal.promoter_profit_percentage, app.money_text(greatest(f.costs_minor, 0), digits)), f.promoter_profit_minor,
            deal.base = 'net_after_promoter_profit'),
          (2, 'split_point', 'Split point', case deal.base when 'net' then 'the costs' else format('%s + %s', app.money_text(f.costs_minor, digits), app.money_text(f.promoter_profit_minor, digits)) end,
            f.split_point_minor, deal.base in ('net', 'net_after_promoter_profit')),
          (3, 'share_base', 'Shared', case deal.base
              when 'gross' then concat('the gross', case when f.excluded_minor > 0 then ' without what is not shared' end)
              when 'net_receipts' then 'the net receipts'
              else format('%s − %s%s', app.money_text(f.net_receipts_minor, digits), app.money_text(f.split_point_minor, digits),
                case when f.net_receipts_minor < f.split_point_minor then ', at least 0' end) end, f.share_base_minor, deal.base is not null),
          (4, 'share', 'Share of the artist', format('%s %% of %s', deal.percentage, app.money_text(f.share_base_minor, digits)), f.share_minor, deal.base is not null),
          (5, 'guarantee', 'Guarantee', 'as agreed', f.guarantee_minor, deal.kind <> 'door'),
          (6, 'due', 'Due to the artist', case deal.kind when 'flat' then 'the guarantee' when 'door' then 'the share' when 'plus' then 'the guarantee and the share'
            else 'the larger of the guarantee and the share' end, f.due_minor, true)) as x (n, key, name, formula, amount, applies)
        where x.applies

      union all select 12, 0, 'payment', 'bonus ' || b.id, 'Bonus', case b.kind
          when 'tickets' then format('from %s tickets; %s sold', b.threshold, f.tickets_sold)
          when 'per_ticket' then format('%s × %s, above %s tickets', greatest(f.tickets_sold - b.threshold, 0), app.money_text(b.amount_minor, digits), b.threshold)
          else format('if sold out; %s of %s', f.tickets_sold + f.tickets_comped, f.tickets_allotted) end,
        app.bonus_amount(b.kind, b.amount_minor, b.threshold, f.tickets_sold, f.tickets_comped, f.tickets_allotted), false, null, null
        from jsonb_to_recordset(inputs -> 'bonuses') as b (id text, kind text, amount_minor numeric, threshold numeric)
      union all select 13, 0, 'payment', 'withholding', 'Withholding', concat(
          case when f.withholding_minor = 0 then format('not above %s', app.money_text(coalesce(deal.withholding_threshold_minor, 0), digits))
            else format('%s %% of %s', deal.withholding_percentage, app.money_text(f.due_minor + f.bonuses_minor, digits)) end, ', due on ' || to_char(deal.withholding_due_on, 'YYYY-MM-DD')),
        -f.withholding_minor, false, null, null where deal.withholding_percentage is not null
      union all select case when p.paid_on is null and p.due_on is not null then 17 else 15 end, extract(epoch from coalesce(p.paid_on, p.due_on)),
        case when p.paid_on is null and p.due_on is not null then 'open' else 'payment' end, 'deposit ' || p.id, 'Deposit',
        concat_ws(', ', coalesce('paid on ' || to_char(p.paid_on, 'YYYY-MM-DD'), 'due on ' || to_char(p.due_on, 'YYYY-MM-DD') || ', not paid'), p.note),
        case when p.paid_on is null and p.due_on is not null then p.amount_minor else -p.amount_minor end, false, null, null
        from jsonb_to_recordset(inputs -> 'deposits') as p (id text, paid_on date, due_on date, amount_minor numeric, note text)
      union all select 16, 0, 'payment', 'walk_out', case when f.walk_out_minor < 0 then 'To be repaid by the artist' else 'To be paid to the artist' end, concat(app.money_text(f.due_minor, digits) || ' due',
          case when f.bonuses_minor > 0 then ' + ' || app.money_text(f.bonuses_minor, digits) end, case when f.withholding_minor > 0 then ' − ' || app.money_text(f.withholding_minor, digits) end,
          case when f.adjustments_minor <> 0 then case when f.adjustments_minor > 0 then ' + ' else ' − ' end || app.money_text(abs(f.adjustments_minor), digits) end,
          case when f.deposits_minor > 0 then ' − ' || app.money_text(f.deposits_minor, digits) end), f.walk_out_minor, true, null, null
      union all select 19, 0, 'promoter', 'promoter', 'Left for the promoter', 'after all costs, also internal ones', f.promoter_minor, true, null, null
    )
    select jsonb_agg(jsonb_build_object('key', l.key, 'section', l.section, 'name', l.name, 'formula', l.formula, 'amount_minor', l.amount, 'is_total', l.is_total,
      'budget_minor', l.budget, 'over_budget_minor', l.over) order by l.part, l.rank, l.name collate "C", l.amount desc, l.formula collate "C", l.key)
    from lines l);
end
$$;
comment on function app.sheet_lines(jsonb, jsonb) is
  'The lines of a settlement''s sheet, in order, from its inputs and its figures. Those of the section promoter are for the promoter only, and those of the section open are not counted.';
grant execute on function app.sheet_lines(jsonb, jsonb) to callboard_api, callboard_definer;
-- EndIncluded settlements/settlement_lines.sql
-- Included settlements/settlement_commands.sql
create or replace function app.reopen_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  final app.settlements;
begin
  perform app.require_show(show);
  perform app.require('finance.close');
  -- Also where the status says otherwise, as nobody can who uses Callboard: this is the way out.
  if app_private.lock_show(show) <> 'settled' and not exists (
    select from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null)
  then
    perform app.refuse(409, 'show_not_settled');
  end if;
  update app.settlements x set (reopened_at, reopened_by, reopen_reason) = row (statement_timestamp(), app.current_user_id(), body ->> 'reason')
  where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null
  returning * into final;
  if final.id is not null then
    perform app_private.unbook_settlement(final);
  else
    -- It was set to settled without a deal: then only the log keeps the reason.
    perform app_private.log_event(app.current_org(), 'show.reopen', 'show', show, jsonb_build_object('new', jsonb_build_object('reason', body ->> 'reason')));
  end if;
  update app.shows s set status = 'played' where s.organization_id = (select app.current_org()) and s.id = show and s.status = 'settled';
  return app.read_show(show);
end
$$;
comment on function app.reopen_settlement(uuid, jsonb) is
  'Sets a settled show back to played, with a reason, which is recorded in the settlement that was final, and takes its lines out of the books. PT403 without finance.close, PT404, PT409 show_not_settled.';
alter function app.reopen_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.reopen_settlement(uuid, jsonb) to callboard_api;
-- EndIncluded settlements/settlement_commands.sql
-- Included settlements/settlement_offers.sql
create or replace function app.break_even(inputs jsonb, most bigint) returns bigint
language plpgsql stable
set search_path = ''
as $$
declare
  is_of_gross constant boolean := inputs #>> '{deal,base}' is not distinct from 'gross';
  -- Ranges of numbers of tickets still to be looked at, the first one last.
  firsts bigint[] := array[0];
  lasts bigint[] := array[most];
  n integer := 1;
  computed integer := 0;
  a bigint;
  b bigint;
  at_first jsonb;
  at_last jsonb;
begin
  while n > 0 loop
    a := firsts[n];
    b := lasts[n];
    n := n - 1;
    computed := computed + 1;
    if computed > 2000 then
      return -1;
    end if;
    at_first := app.settlement_figures(app.inputs_at(inputs, a));
    if (at_first ->> 'promoter_minor')::numeric >= 0 then
      return a;
    end if;
    continue when a = b;
    -- With more tickets receipts, costs and bonuses are never less, and the artist never gets more than all of further
    -- receipts; so within the range nobody is left with more than at its end, plus what costs and bonuses are less before.
    -- Only a share of the gross may grow more than what is left of it.
    at_last := app.settlement_figures(app.inputs_at(inputs, b));
    continue when (at_last ->> 'promoter_minor')::numeric
      + (at_last ->> 'costs_minor')::numeric - (at_first ->> 'costs_minor')::numeric
      + (at_last ->> 'internal_costs_minor')::numeric - (at_first ->> 'internal_costs_minor')::numeric
      + (at_last ->> 'bonuses_minor')::numeric - (at_first ->> 'bonuses_minor')::numeric
      + case when is_of_gross then (at_last ->> 'due_minor')::numeric - (at_first ->> 'due_minor')::numeric else 0 end < 0;
    -- Those after the middle are looked at after those before it.
    firsts[n + 1] := (a + b) / 2 + 1;
    lasts[n + 1] := b;
    n := n + 1;
    if a + 1 <= (a + b) / 2 then
      firsts[n + 1] := a + 1;
      lasts[n + 1] := (a + b) / 2;
      n := n + 1;
    end if;
  end loop;
  return null;
end
$$;
comment on function app.break_even(jsonb, bigint) is
  'The smallest number of tickets sold with which the promoter is left with nothing or more, up to a number of tickets; NULL if there is none. Exact: whole ranges are left out only where no number in them can do; -1 if after 2,000 of them it is not known, as where the promoter is left with a little less than nothing over thousands of tickets.';
grant execute on function app.break_even(jsonb, bigint) to callboard_api;
create or replace function app.read_offer(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  inputs jsonb;
  most bigint;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  inputs := app.settlement_inputs(show);
  select coalesce(sum(t.allotment - t.comps), 0) into most from jsonb_to_recordset(inputs -> 'ticket_tiers') as t (allotment bigint, comps bigint);
  return (200, json_build_object('show_id', show, 'tickets_for_sale', most, 'break_even_tickets', nullif(x.break_even, -1), 'is_break_even_known', x.break_even is distinct from -1,
    'inputs', inputs, 'at_full_house', app.settle(app.inputs_at(inputs, most))), null, null)::app.answer
    from (select app.break_even(inputs, most) as break_even) x;
end
$$;
comment on function app.read_offer(uuid) is
  'What the settlement of the show would be if every ticket were sold, and with how many the promoter breaks even. PT403, PT404, PT409 settlement_needs_deal, PT422 settlement_out_of_range.';
grant execute on function app.read_offer(uuid) to callboard_api;
-- EndIncluded settlements/settlement_offers.sql
-- Included analytics/visible_org.sql
-- Whose rows a caller sees in `analytics`. The materialized views behind it hold those of all
-- organizations and cannot have policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A BI tool is identified by its login, whatever its settings say, and has no permissions of its own: it sees what the
  -- member who answers for it may see, so that nobody makes a login that shows more. Any other login needs a member's context.
  if session_user like 'bi\_%' then
    return (select s.organization_id from app_private.bi_states s
      join app.bi_credentials c on c.organization_id = s.organization_id and c.id = s.credential_id
      where s.login = session_user and s.is_live and app_private.bi_holds(c, 'analytics.read') and (permission is null or app_private.bi_holds(c, permission)));
  end if;
  return case when permission is null or app.org_if(permission) is not null then app.org_if('analytics.read') end;
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures may be read: for a BI login its own, while the credential is neither revoked nor expired, the organization not deleted, and the member who answers for it holds analytics.read and the given permission; otherwise that of the transaction''s member, if they do. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
-- callboard_bi has no USAGE on the schema `app`, so it can call this only through the views.
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup, callboard_bi;
-- EndIncluded analytics/visible_org.sql
-- Included analytics/finance_by_month.sql
select analytics_private.publish('finance_by_month');
-- EndIncluded analytics/finance_by_month.sql
-- Included analytics/finance_by_category.sql
select analytics_private.publish('finance_by_category');
-- EndIncluded analytics/finance_by_category.sql
-- Included analytics/finance_by_show.sql
select analytics_private.publish('finance_by_show');
-- EndIncluded analytics/finance_by_show.sql
-- Included analytics/shows_by_month.sql
select analytics_private.publish('shows_by_month');
select analytics_private.publish('shows_created_by_month');
-- EndIncluded analytics/shows_by_month.sql
-- Included analytics/dashboard.sql
select analytics_private.publish('dashboard');
-- EndIncluded analytics/dashboard.sql
-- Included analytics/activity.sql
select analytics_private.publish('activity_by_day'),
  analytics_private.publish('client_events_by_day');
-- EndIncluded analytics/activity.sql
-- Included analytics/star/dimensions.sql
select analytics_private.publish('dim_venues');
select analytics_private.publish('dim_artists');
select analytics_private.publish('dim_organization');
select analytics_private.publish('dim_finance_categories');
select analytics_private.publish('dim_currencies');
-- EndIncluded analytics/star/dimensions.sql
-- Included analytics/star/people.sql
select analytics_private.publish('dim_members');
select analytics_private.publish('dim_party');
-- EndIncluded analytics/star/people.sql
-- Included analytics/star/calendar.sql
-- Days: from the first year of which the organization knows something to the year after the last, so that every day of a show or
-- a booking is there.

create or replace view analytics.dim_calendar with (security_barrier = true) as
  select d.day, d.year, d.quarter, d.month_number, d.month, ('{January,February,March,April,May,June,July,August,September,October,November,December}'::text[])[d.month_number]
      collate app.people as month_name,
    d.iso_year, d.iso_week, (d.day - d.weekday + 1) as week_on, d.weekday,
    ('{Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday}'::text[])[d.weekday] collate app.people as weekday_name, d.weekday >= 6 as is_weekend,
    d.year - (d.month_number < d.starts_in)::integer as fiscal_year,
    (d.month_number - d.starts_in + 12) % 12 / 3 + 1 as fiscal_quarter
  from (
    select o.organization_id, o.starts_in, g.at::date as day, extract(year from g.at)::integer as year, extract(quarter from g.at)::integer as quarter,
      extract(month from g.at)::integer as month_number, date_trunc('month', g.at)::date as month,
      extract(isoyear from g.at)::integer as iso_year, extract(week from g.at)::integer as iso_week, extract(isodow from g.at)::integer as weekday
    from (
      select x.id as organization_id, x.fiscal_year_starts_in::integer as starts_in,
        least((x.created_at at time zone x.time_zone)::date, s.first_on, r.first_on) as first_on,
        greatest((now() at time zone x.time_zone)::date, s.last_on, r.last_on) as last_on
      from app.organizations x
      cross join lateral (select min(y.show_on) as first_on, max(y.show_on) as last_on from app.shows y
        where y.organization_id = (select app.visible_org('shows.read')) and y.deleted_at is null) s
      cross join lateral (select least(min(y.booked_on), min(y.due_on)) as first_on, greatest(max(y.booked_on), max(y.due_on)) as last_on from app.finance_records y
        where y.organization_id = (select app.visible_org('finance.read')) and y.deleted_at is null) r) o
    cross join lateral generate_series(date_trunc('year', o.first_on::timestamp), date_trunc('year', o.last_on::timestamp) + interval '2 years' - interval '1 day',
      interval '1 day') g (at)) d
  where d.organization_id = (select app.visible_org());
comment on view analytics.dim_calendar is 'Days, one row each, from the year of the first show, booking or sign-up to the year after the last.';
comment on column analytics.dim_calendar.day is 'The day. The key; facts have it as …_on.';
comment on column analytics.dim_calendar.year is 'The year.';
comment on column analytics.dim_calendar.quarter is '1 to 4.';
comment on column analytics.dim_calendar.month_number is '1 to 12.';
comment on column analytics.dim_calendar.month is 'The first day of the month: fact_pipeline.month, and month in the sums.';
comment on column analytics.dim_calendar.month_name is 'The month in English.';
comment on column analytics.dim_calendar.iso_year is 'The year of the week (ISO 8601).';
comment on column analytics.dim_calendar.iso_week is '1 to 53; with iso_year a week (ISO 8601).';
comment on column analytics.dim_calendar.week_on is 'The Monday of the week.';
comment on column analytics.dim_calendar.weekday is '1 (Monday) to 7.';
comment on column analytics.dim_calendar.weekday_name is 'The weekday in English.';
comment on column analytics.dim_calendar.is_weekend is 'Whether it is a Saturday or a Sunday.';
comment on column analytics.dim_calendar.fiscal_year is 'The fiscal year by the calendar year in which it begins; the organization says in which month.';
comment on column analytics.dim_calendar.fiscal_quarter is '1 to 4, of the fiscal year.';
select analytics_private.publish('dim_calendar');
-- EndIncluded analytics/star/calendar.sql
-- Included analytics/star/fact_shows.sql
select analytics_private.publish('fact_shows');
select analytics_private.publish('fact_ticket_tiers');
select analytics_private.publish('fact_guests');
-- EndIncluded analytics/star/fact_shows.sql
-- Included analytics/star/fact_finance.sql
select analytics_private.publish('fact_finance_records');
-- EndIncluded analytics/star/fact_finance.sql
-- Included analytics/star/fact_settlements.sql
select analytics_private.publish('fact_settlements');
-- EndIncluded analytics/star/fact_settlements.sql
-- Included analytics/star/fact_settlement_lines.sql
select analytics_private.publish('fact_settlement_lines');
-- EndIncluded analytics/star/fact_settlement_lines.sql
-- Included analytics/star/pipeline.sql
select analytics_private.publish('fact_pipeline');
-- EndIncluded analytics/star/pipeline.sql
-- Lock: access exclusive on analytics.dim_calendar: create or replace view analytics.dim_calendar with (security_barrier = true) as select d.day, d.year
