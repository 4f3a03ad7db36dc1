-- What a settlement is computed from, as it is now and as it was recorded, and the draft that is computed from it.
--
-- Each deal of a show has its settlement, and all have the same tickets and costs. What another act is paid is a cost of the
-- main deal, if that deal says so; no other deal has such costs, so that there are no circles. One settlement enters tickets
-- and costs in the books: that of the main deal, and without one that of the deal that was entered first.

create or replace function app.deal_of(show uuid, wanted uuid default null) returns app.deals
language plpgsql stable
set search_path = ''
as $$
declare
  found_here app.deals[];
begin
  select array_agg(d order by d.act is not null, d.id) into found_here from app.deals d
  where d.organization_id = (select app.current_org()) and d.show_id = show and d.deleted_at is null and (wanted is null or d.id = wanted);
  if found_here is null then
    if wanted is not null then
      perform app.refuse(404, 'not_found');
    end if;
    perform app.refuse(409, 'settlement_needs_deal');
  elsif found_here[1].act is not null and cardinality(found_here) > 1 then
    perform app.refuse(409, 'settlement_of_which_deal');
  end if;
  return found_here[1];
end
$$;
comment on function app.deal_of(uuid, uuid) is
  'A deal of a show: the one that is wanted, else the main deal, else the only one. PT404 for one that is not the show''s, PT409 settlement_needs_deal, settlement_of_which_deal.';
grant execute on function app.deal_of(uuid, uuid) to callboard_api, callboard_definer;

create or replace function app.bonus_input(b app.deal_bonuses) returns jsonb
language sql stable parallel safe
return jsonb_build_object('id', (b).id, 'kind', (b).kind, 'amount_minor', (b).amount_minor, 'threshold', (b).threshold);
comment on function app.bonus_input(app.deal_bonuses) is 'A bonus as the inputs of a settlement have it.';
grant execute on function app.bonus_input(app.deal_bonuses) to callboard_api, callboard_definer;

create or replace function app.adjustment_input(a app.deal_adjustments) returns jsonb
language sql stable parallel safe
return jsonb_build_object('id', (a).id, 'name', (a).name, 'kind', (a).kind, 'amount_minor', (a).amount_minor, 'stage', (a).stage,
  'percentage', trim_scale((a).percentage), 'tax_percentage', trim_scale((a).tax_percentage), 'sold_by', (a).sold_by);
comment on function app.adjustment_input(app.deal_adjustments) is 'An adjustment as the inputs of a settlement have it.';
grant execute on function app.adjustment_input(app.deal_adjustments) to callboard_api, callboard_definer;

create or replace function app.inputs_of(deal app.deals, as_planned boolean default false) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := deal.organization_id;
  show constant uuid := deal.show_id;
  is_main constant boolean := deal.act is null;
  -- What names no deal is of this one, too.
  enters constant boolean := deal.id = (
    select f.id from app.deals f where f.organization_id = organization and f.show_id = show and f.deleted_at is null
    order by f.act is not null, f.created_at, f.id limit 1);
  is_cancelled constant boolean := not as_planned and exists (
    select from app.shows s where s.organization_id = organization and s.id = show and s.status = 'cancelled');
  inputs jsonb;
begin
  -- One statement, so one snapshot. Ordered by id, so that equal inputs give equal JSON.
  select jsonb_build_object(
    'currency', d.currency,
    'deal', jsonb_build_object('id', d.id, 'kind', d.kind, 'guarantee_minor', d.guarantee_minor, 'percentage_bp', d.percentage_bp, 'base', d.base,
      'tax_bp', d.tax_bp, 'promoter_profit_bp', d.promoter_profit_bp, 'guarantee_is_cost', d.guarantee_is_cost,
      'percentage', trim_scale(coalesce(d.percentage, d.percentage_bp / 100::numeric)), 'tax_percentage', trim_scale(coalesce(d.tax_percentage, d.tax_bp / 100::numeric)),
      'promoter_profit_percentage', trim_scale(coalesce(d.promoter_profit_percentage, d.promoter_profit_bp / 100::numeric)),
      'withholding_percentage', trim_scale(d.withholding_percentage), 'withholding_threshold_minor', d.withholding_threshold_minor, 'withholding_due_on', d.withholding_due_on,
      'act', d.act, 'is_cost_of_main', d.is_cost_of_main, 'cancellation_minor', d.cancellation_minor),
    'is_cancelled', is_cancelled,
    'enters_show', enters,
    'ticket_tiers', (
      select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'price_minor', t.price_minor,
        'facility_fee_minor', t.facility_fee_minor, 'excluded_minor', t.excluded_minor, 'allotment', t.allotment,
        -- What was sold for a show that is cancelled is given back.
        'sold', case when is_cancelled then 0 else t.sold end, 'comps', case when is_cancelled then 0 else t.comps end) order by t.id), '[]')
      from app.ticket_tiers t where t.organization_id = organization and t.show_id = show and t.deleted_at is null),
    'costs', (
      select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'kind', c.kind, 'amount_minor', c.amount_minor,
        'is_estimate', c.is_estimate, 'percentage', trim_scale(c.percentage), 'cap_minor', c.cap_minor, 'budget_minor', c.budget_minor, 'is_internal', c.is_internal) order by c.id), '[]')
      from app.show_costs c where c.organization_id = organization and c.show_id = show and c.deleted_at is null),
    'deposits', (
      select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'due_on', p.due_on, 'paid_on', p.paid_on, 'amount_minor', p.amount_minor, 'note', p.note) order by p.id), '[]')
      from app.deposits p where p.organization_id = organization and p.show_id = show and p.deleted_at is null and (p.deal_id = d.id or enters and p.deal_id is null)),
    'bonuses', (
      select coalesce(jsonb_agg(app.bonus_input(b) order by b.id), '[]')
      from app.deal_bonuses b where not is_cancelled and b.organization_id = organization and b.show_id = show and b.deleted_at is null and (b.deal_id = d.id or enters and b.deal_id is null)),
    'adjustments', (
      select coalesce(jsonb_agg(app.adjustment_input(a) order by a.id), '[]')
      from app.deal_adjustments a where a.organization_id = organization and a.show_id = show and a.deleted_at is null and (a.deal_id = d.id or enters and a.deal_id is null)),
    -- What they are due, and nothing else of them: the rest may change after this settlement is final.
    'acts', (
      select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'act', e.act, 'kind', e.kind, 'guarantee_minor', e.guarantee_minor, 'base', e.base, 'guarantee_is_cost', e.guarantee_is_cost, 'cancellation_minor', case when is_cancelled then e.cancellation_minor end,
        'percentage', trim_scale(e.percentage), 'tax_percentage', trim_scale(e.tax_percentage), 'promoter_profit_percentage', trim_scale(e.promoter_profit_percentage),
        'bonuses', (
          select coalesce(jsonb_agg(app.bonus_input(b) order by b.id), '[]')
          from app.deal_bonuses b where not is_cancelled and b.organization_id = organization and b.deal_id = e.id and b.deleted_at is null),
        'adjustments', (
          select coalesce(jsonb_agg(app.adjustment_input(a) order by a.id), '[]')
          from app.deal_adjustments a where a.organization_id = organization and a.deal_id = e.id and a.deleted_at is null and a.stage = 'before_split')) order by e.id), '[]')
      from app.deals e where is_main and e.organization_id = organization and e.show_id = show and e.deleted_at is null and e.act is not null and e.is_cost_of_main))
  into inputs
  from app.deals d where d.organization_id = organization and d.id = deal.id and d.deleted_at is null;
  return inputs;
end
$$;
comment on function app.inputs_of(app.deals, boolean) is 'The current inputs of the settlement of a deal, or those as if its show were not cancelled; NULL without one.';
grant execute on function app.inputs_of(app.deals, boolean) to callboard_api, callboard_definer;

create or replace function app.settlement_inputs(show uuid, deal uuid default null) returns jsonb
language plpgsql stable
set search_path = ''
as $$
begin
  return app.inputs_of(app.deal_of(show, deal));
end
$$;
comment on function app.settlement_inputs(uuid, uuid) is 'The current inputs of the settlement of a show''s deal, by default the main deal. PT404, PT409 as app.deal_of.';
grant execute on function app.settlement_inputs(uuid, uuid) to callboard_api, callboard_definer;

create or replace function app.inputs_in_percent(inputs jsonb) returns jsonb
language sql stable parallel safe
return case when inputs -> 'deal' ? 'percentage' then inputs
  else jsonb_set(inputs, '{deal}', inputs -> 'deal' || jsonb_build_object('percentage', trim_scale((inputs #>> '{deal,percentage_bp}')::numeric / 100),
    'tax_percentage', trim_scale((inputs #>> '{deal,tax_bp}')::numeric / 100),
    'promoter_profit_percentage', trim_scale((inputs #>> '{deal,promoter_profit_bp}')::numeric / 100))) end;
comment on function app.inputs_in_percent(jsonb) is 'The inputs of a settlement with rates in percent, which those recorded up to 0.2.0 have in basis points only.';
grant execute on function app.inputs_in_percent(jsonb) to callboard_api, callboard_definer;

create or replace function app.complete_adjustments(adjustments jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return (select coalesce(jsonb_agg('{"percentage": null, "tax_percentage": null, "sold_by": null}'::jsonb || x.item order by x.n), '[]')
    from jsonb_array_elements(adjustments) with ordinality as x (item, n));
end
$$;
comment on function app.complete_adjustments(jsonb) is 'Adjustments of a settlement with the fields that those recorded by earlier releases do not have.';
grant execute on function app.complete_adjustments(jsonb) to callboard_api, callboard_definer;

create or replace function app.complete_inputs(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  given jsonb := app.inputs_in_percent(inputs);
begin
  -- From before there were other acts: of the main deal.
  if not given ? 'acts' then
    given := given || jsonb_build_object('acts', '[]'::jsonb, 'enters_show', true,
      'deal', '{"act": null, "is_cost_of_main": true}'::jsonb || (given -> 'deal'));
  end if;
  if not given ? 'bonuses' then
    given := given || jsonb_build_object('bonuses', '[]'::jsonb, 'adjustments', '[]'::jsonb,
      'deal', '{"withholding_percentage": null, "withholding_threshold_minor": null, "withholding_due_on": null}'::jsonb || (given -> 'deal'),
      'ticket_tiers', (select coalesce(jsonb_agg('{"excluded_minor": 0}'::jsonb || x.item order by x.n), '[]')
        from jsonb_array_elements(given -> 'ticket_tiers') with ordinality as x (item, n)),
      'costs', (select coalesce(jsonb_agg('{"percentage": null, "cap_minor": null, "budget_minor": null, "is_internal": false}'::jsonb || x.item order by x.n), '[]')
        from jsonb_array_elements(given -> 'costs') with ordinality as x (item, n)),
      'deposits', (select coalesce(jsonb_agg('{"due_on": null}'::jsonb || x.item order by x.n), '[]')
        from jsonb_array_elements(given -> 'deposits') with ordinality as x (item, n)));
  end if;
  -- From before a cancelled show could be settled, and merchandise be sold.
  if not given ? 'is_cancelled' then
    given := given || jsonb_build_object('is_cancelled', false, 'deal', '{"cancellation_minor": null}'::jsonb || (given -> 'deal'),
      'adjustments', app.complete_adjustments(given -> 'adjustments'),
      'acts', (select coalesce(jsonb_agg('{"cancellation_minor": null}'::jsonb || x.item || jsonb_build_object('adjustments', app.complete_adjustments(x.item -> 'adjustments')) order by x.n), '[]')
        from jsonb_array_elements(given -> 'acts') with ordinality as x (item, n)));
  end if;
  return given;
end
$$;
comment on function app.complete_inputs(jsonb) is 'The inputs of a settlement with the fields that those recorded by earlier releases do not have.';
grant execute on function app.complete_inputs(jsonb) to callboard_api, callboard_definer;

create or replace function app.complete_result(inputs jsonb, result jsonb) returns jsonb
language sql stable
return case when result ?& '{lines,merchandise_minor}' then result
  when result ? 'lines' then jsonb_build_object('acts_minor', 0, 'books_minor', result -> 'promoter_minor', 'merchandise_minor', 0, 'hall_share_minor', 0) || result
  else app.settle(inputs) || result end;
comment on function app.complete_result(jsonb, jsonb) is 'The result of a settlement with the fields that those recorded by earlier releases do not have.';
grant execute on function app.complete_result(jsonb, jsonb) to callboard_api, callboard_definer;

create or replace function app.draft_settlement(show uuid, deal uuid default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  inputs jsonb;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  inputs := app.settlement_inputs(show, deal);
  return (200, json_build_object('show_id', show, 'deal_id', inputs #> '{deal,id}', 'act', inputs #> '{deal,act}', 'inputs', inputs, 'result', app.settle(inputs)), null, null)::app.answer;
end
$$;
comment on function app.draft_settlement(uuid, uuid) is 'What the settlement of a deal of the show would be now, by default of the main deal; records nothing. PT403, PT404, PT409 settlement_needs_deal, settlement_of_which_deal, PT422 settlement_out_of_range.';
grant execute on function app.draft_settlement(uuid, uuid) to callboard_api;
