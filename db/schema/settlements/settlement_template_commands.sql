-- Making a template of a show, and copying one to a show. Both run as the caller: what they may do row by row.

create or replace function app.template_of(target regclass, part jsonb) returns jsonb
language plpgsql stable
set search_path = ''
as $$
begin
  return (select jsonb_object_agg(e.key, e.value) from jsonb_each(jsonb_strip_nulls(part)) e where e.key = any (app.template_fields(target)));
end
$$;
comment on function app.template_of(regclass, jsonb) is 'What a template has of a row.';
grant execute on function app.template_of(regclass, jsonb) to callboard_api;

create or replace function app.make_template(deal uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  d app.deals;
begin
  select * into d from app.deals x where x.organization_id = (select app.current_org()) and x.id = deal and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return app.create_row('settlement_templates', body || jsonb_build_object(
    'currency', d.currency,
    'deal', app.template_of('app.deals', to_jsonb(d)),
    -- Tickets and costs are of the show, and so of its main deal.
    'ticket_tiers', (select coalesce(jsonb_agg(app.template_of('app.ticket_tiers', to_jsonb(t)) order by t.created_at, t.id), '[]') from app.ticket_tiers t
      where t.organization_id = d.organization_id and t.show_id = d.show_id and t.deleted_at is null and d.act is null),
    -- Nobody knows yet what they will come to.
    'costs', (select coalesce(jsonb_agg(app.template_of('app.show_costs', to_jsonb(c)) || '{"is_estimate": true}' order by c.created_at, c.id), '[]') from app.show_costs c
      where c.organization_id = d.organization_id and c.show_id = d.show_id and c.deleted_at is null and d.act is null),
    'bonuses', (select coalesce(jsonb_agg(app.template_of('app.deal_bonuses', to_jsonb(b)) order by b.created_at, b.id), '[]') from app.deal_bonuses b
      where b.organization_id = d.organization_id and b.show_id = d.show_id and b.deleted_at is null and (b.deal_id = d.id or b.deal_id is null and d.act is null)),
    -- The same for what will be sold.
    'adjustments', (select coalesce(jsonb_agg(app.template_of('app.deal_adjustments', to_jsonb(a))
        || case when a.kind = 'merchandise' then '{"amount_minor": 0}' else '{}' end::jsonb order by a.created_at, a.id), '[]') from app.deal_adjustments a
      where a.organization_id = d.organization_id and a.show_id = d.show_id and a.deleted_at is null and (a.deal_id = d.id or a.deal_id is null and d.act is null))));
end
$$;
comment on function app.make_template(uuid, jsonb) is
  'Makes a template, with the name and the note in the body, of a deal with its bonuses and adjustments and, of a main deal, the tickets and costs of its show. Costs become estimates; nothing is sold yet. PT403, PT404, PT409 settlement_template_name_taken, PT422.';
grant execute on function app.make_template(uuid, jsonb) to callboard_api;

create or replace function app.copy_parts(table_name text, parts jsonb, show uuid, deal uuid) returns integer
language plpgsql volatile
set search_path = ''
as $$
declare
  part jsonb;
begin
  for part in select p.value from jsonb_array_elements(parts) with ordinality p order by p.ordinality loop
    perform app.create_row(table_name, case when deal is null then part else part || jsonb_build_object('deal_id', deal) end, 'show_id', show);
  end loop;
  return jsonb_array_length(parts);
end
$$;
comment on function app.copy_parts(text, jsonb, uuid, uuid) is 'Enters parts of a show, of this deal unless it is NULL, in their order, and returns how many. PT403, PT404, PT409, PT422.';
grant execute on function app.copy_parts(text, jsonb, uuid, uuid) to callboard_api;

create or replace function app.copy_template(show uuid, body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  t app.settlement_templates;
  of_act constant text := body ->> 'act';
  d app.deals;
begin
  perform app.require_show(show);
  perform app.require('finance.write');
  select * into t from app.settlement_templates x
  where x.organization_id = (select app.current_org()) and x.id = (body ->> 'template_id')::uuid and x.deleted_at is null;
  if not found then
    perform app.refuse(409, 'settlement_template_unknown');
  end if;
  if t.deal is not null then
    perform app.create_row('deals', t.deal || jsonb_build_object('currency', t.currency, 'act', of_act), 'show_id', show);
  end if;
  select * into d from app.deals x
  where x.organization_id = (select app.current_org()) and x.show_id = show and lower(coalesce(x.act, '')) = lower(coalesce(of_act, '')) and x.deleted_at is null;
  if not found then
    perform app.refuse(409, 'settlement_needs_deal');
  elsif d.currency <> t.currency then
    perform app.refuse(409, 'deals_same_currency', format('The template is in %s, and the deal of the show in %s.', t.currency, d.currency));
  end if;
  return (201, json_build_object('deal_id', d.id,
    -- Of the show, and not of its other acts. Tickets first: they lock the show, whose others lock it less.
    'ticket_tiers', app.copy_parts('ticket_tiers', case when of_act is null then t.ticket_tiers else '[]' end, show, null),
    'costs', app.copy_parts('show_costs', case when of_act is null then t.costs else '[]' end, show, null),
    'bonuses', app.copy_parts('deal_bonuses', t.bonuses, show, case when of_act is not null then d.id end),
    'adjustments', app.copy_parts('deal_adjustments', t.adjustments, show, case when of_act is not null then d.id end)),
    null, '/api/deals/' || d.id)::app.answer;
end
$$;
comment on function app.copy_template(uuid, jsonb) is
  'Copies the template template_id to a show, for its own artist or for act, all of it or nothing: enters the deal, if the template has one, and the parts, for an act without tickets and costs; returns deal_id and how many of each. PT403, PT404, PT409 settlement_template_unknown, settlement_needs_deal, deals_same_currency, and what entering them refuses.';
grant execute on function app.copy_template(uuid, jsonb) to callboard_api;
