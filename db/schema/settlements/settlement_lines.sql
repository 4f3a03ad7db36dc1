-- The lines of a settlement's sheet: each with a key, a name, and a formula in words and numbers. An amount has the sign with
-- which it enters the total of its section. The order depends on what the lines say, not on when they were entered.

create or replace function app.money_text(minor numeric, digits integer) returns text
language sql stable parallel safe
return case when digits = 0 then to_char(minor, 'FM9,999,999,999,999,999,990')
  else to_char(minor * 10::numeric ^ (-digits), 'FM9,999,999,999,999,999,990.' || repeat('0', digits)) end;
comment on function app.money_text(numeric, integer) is 'An amount in minor units as people read it, with the decimals of its currency.';
grant execute on function app.money_text(numeric, integer) to callboard_api, callboard_definer;

create or replace function app.cost_formula(
  kind text, amount numeric, percentage numeric, cap numeric, sold numeric, comps numeric, gross numeric, net_receipts numeric, digits integer
) returns text
language sql stable parallel safe
return concat(case kind
    when 'fixed' then 'fixed'
    when 'per_ticket' then format('%s × %s', sold, app.money_text(amount, digits))
    when 'per_head' then format('(%s + %s complimentary) × %s', sold, comps, app.money_text(amount, digits))
    when 'percent_of_gross' then format('%s %% of the gross of %s', trim_scale(percentage), app.money_text(gross, digits))
    when 'percent_of_net_receipts' then format('%s %% of the net receipts of %s', trim_scale(percentage), app.money_text(net_receipts, digits)) end,
  case when percentage is not null and amount > 0 then ', at least ' || app.money_text(amount, digits) end,
  ', at most ' || app.money_text(cap, digits));
comment on function app.cost_formula(text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, integer) is 'How app.cost_amount comes to its result, in words and numbers.';
grant execute on function app.cost_formula(text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, integer) to callboard_api, callboard_definer;

create or replace function app.act_formula(deal jsonb, figures jsonb, digits integer, is_cancelled boolean) returns text
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  guarantee constant text := app.money_text((figures ->> 'guarantee_minor')::numeric, digits);
  share constant text := format('%s %% of %s', deal ->> 'percentage', app.money_text((figures ->> 'share_base_minor')::numeric, digits));
begin
  if is_cancelled then
    return 'agreed for a cancelled show';
  end if;
  return concat(case deal ->> 'kind' when 'flat' then 'guarantee of ' || guarantee when 'door' then share when 'plus' then guarantee || ' + ' || share
      else format('the larger of %s and %s', guarantee, share) end,
    case when (figures ->> 'bonuses_minor')::numeric > 0 then ' + bonuses of ' || app.money_text((figures ->> 'bonuses_minor')::numeric, digits) end);
end
$$;
comment on function app.act_formula(jsonb, jsonb, integer, boolean) is 'How what another act is paid comes about, in words and numbers.';
grant execute on function app.act_formula(jsonb, jsonb, integer, boolean) to callboard_api, callboard_definer;

create or replace function app.merchandise_formula(sales numeric, percentage numeric, tax_percentage numeric, sold_by text, digits integer) returns text
language sql stable parallel safe
return concat(app.money_text(sales, digits), case when tax_percentage > 0 then format(' less %s %% tax in it', trim_scale(tax_percentage)) end,
  case sold_by when 'hall' then format(', sold by the hall, which keeps %s %%', trim_scale(percentage)) else format(', sold by the artist: %s %% for the hall', trim_scale(percentage)) end);
comment on function app.merchandise_formula(numeric, numeric, numeric, text, integer) is 'How merchandise comes to its amount, in words and numbers.';
grant execute on function app.merchandise_formula(numeric, numeric, numeric, text, integer) to callboard_api, callboard_definer;

create or replace function app.sheet_lines(inputs jsonb, figures jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  digits constant integer := coalesce(app.minor_digits(inputs ->> 'currency'), 2);
  enters_show constant boolean := coalesce((inputs ->> 'enters_show')::boolean, true);
  is_cancelled constant boolean := coalesce((inputs ->> 'is_cancelled')::boolean, false);
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
        where enters_show or c.is_internal is not true
      union all select 8, -1, 'costs', 'act ' || x.act_id, x.act, app.act_formula(d.item, x.figures, digits, is_cancelled),
        (x.figures ->> 'due_minor')::numeric + (x.figures ->> 'bonuses_minor')::numeric, false, null, null
        from app.act_costs(inputs) x join jsonb_array_elements(inputs -> 'acts') as d (item) on d.item ->> 'id' = x.act_id
      union all select 8, 0, 'costs', 'guarantee_cost', 'Guarantee', 'as a cost', f.guarantee_cost_minor, false, null, null where f.guarantee_cost_minor > 0
      union all select case x.stage when 'before_split' then 9 else 14 end, 0, case x.stage when 'before_split' then 'costs' else 'payment' end, 'adjustment ' || x.id, x.name,
        case x.kind when 'merchandise' then app.merchandise_formula(x.amount_minor, x.percentage, x.tax_percentage, x.sold_by, digits)
          else x.kind || case x.stage when 'before_split' then ', before the split' else '' end end,
        app.adjustment_amount(x.kind, x.amount_minor, x.percentage, x.tax_percentage, x.sold_by), false, null, null
        from jsonb_to_recordset(inputs -> 'adjustments')
          as x (id text, name text, kind text, amount_minor numeric, stage text, percentage numeric, tax_percentage numeric, sold_by text)
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
          (6, 'due', 'Due to the artist', case when is_cancelled then 'agreed for a cancelled show' when deal.kind = 'flat' then 'the guarantee' when deal.kind = 'door' then 'the share'
            when deal.kind = 'plus' then 'the guarantee and the share'
            else 'the larger of the guarantee and the share' end, f.due_minor, true)) as x (n, key, name, formula, amount, applies)
        where x.applies and (not is_cancelled or x.key = 'due')

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
      union all select 19, 0, 'promoter', 'promoter', 'Left for the promoter', case when enters_show then 'after all costs, also internal ones' else 'without tickets and costs, which are on the sheet of another act' end, f.promoter_minor, true, null, null
    )
    select jsonb_agg(jsonb_build_object('key', l.key, 'section', l.section, 'name', l.name, 'formula', l.formula, 'amount_minor', l.amount, 'is_total', l.is_total,
      'budget_minor', l.budget, 'over_budget_minor', l.over) order by l.part, l.rank, l.name collate "C", l.amount desc, l.formula collate "C", l.key)
    from lines l);
end
$$;
comment on function app.sheet_lines(jsonb, jsonb) is
  'The lines of a settlement''s sheet, in order, from its inputs and its figures. Those of the section promoter are for the promoter only, and those of the section open are not counted.';
grant execute on function app.sheet_lines(jsonb, jsonb) to callboard_api, callboard_definer;
