--! Previous: sha1:f54c33bc8fbf9487c8a8ab3c9517bc68d07c89a9
--! Hash: sha1:25172144848abe1a9bb9bfa8bf9caaa15f177581
--! Message: settlement templates

-- Included settlements/settlement_templates.sql
-- Templates of settlements: the terms of a deal, and the tickets, costs, bonuses and adjustments that shows have again and
-- again. They are copied: what becomes of a template changes no show, and the other way round.

create or replace function app.template_fields(target regclass) returns text[]
language plpgsql stable
set search_path = ''
as $$
begin
  -- What is of one show, or of one night: its currency is the template's own, its act is named when it is copied.
  return array(
    select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = target and a.attnum > 0 and not a.attisdropped and has_column_privilege('callboard_api', target, a.attnum, 'insert')
      and a.attname <> all ('{show_id,deal_id,currency,act,withholding_due_on,sold,comps,percentage_bp,tax_bp,promoter_profit_bp}')
    order by a.attnum);
end
$$;
comment on function app.template_fields(regclass) is 'The fields that a template has of a table of the parts of shows.';
grant execute on function app.template_fields(regclass) to callboard_api, callboard_definer;
create or replace function app.is_list(items jsonb, most integer) returns boolean
language sql immutable parallel safe
return case when jsonb_typeof(items) = 'array' then jsonb_array_length(items) <= most else false end;
comment on function app.is_list(jsonb, integer) is 'Whether it is a JSON array of at most so many items.';
grant execute on function app.is_list(jsonb, integer) to callboard_api, callboard_definer;
create table if not exists app.settlement_templates (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint settlement_templates_name_length check (app.is_line(name, 200)),
  note text constraint settlement_templates_note_length check (length(note) <= 1000),
  currency char(3) not null constraint settlement_templates_currency_exists references app.currencies (code),
  deal jsonb,
  ticket_tiers jsonb not null default '[]',
  costs jsonb not null default '[]',
  bonuses jsonb not null default '[]',
  adjustments jsonb not null default '[]',
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint settlement_templates_parts_count check (
    app.is_list(ticket_tiers, 100) and app.is_list(costs, 100) and app.is_list(bonuses, 100) and app.is_list(adjustments, 100))
);
create unique index if not exists settlement_template_name_taken on app.settlement_templates (organization_id, lower(name)) where deleted_at is null;
alter index app.settlement_template_name_taken alter column 2 set statistics 0;
create index if not exists settlement_templates_organization_id_name_idx on app.settlement_templates (organization_id, name, id) where deleted_at is null;
create or replace view app.settlement_template_rows with (security_invoker = true) as
  select t.organization_id, t.version, t.deleted_at, t.deleted_by, app.body(t.as_json) as body,
    t.id, t.name, t.note, t.currency, t.deal, t.ticket_tiers, t.costs, t.bonuses, t.adjustments,
    t.created_by, t.created_at, t.updated_at
  from app.settlement_templates t;
select app_private.tenant_table('settlement_templates', noun => 'settlement_template', permission => 'finance', path => '/api/settlement-templates');
grant insert (name, note, currency, deal, ticket_tiers, costs, bonuses, adjustments), update (name, note, currency, deal, ticket_tiers, costs, bonuses, adjustments)
  on app.settlement_templates to callboard_api;
comment on table app.settlement_templates is 'What is copied to shows: the terms of a deal, tickets, costs, bonuses and adjustments.';
comment on column app.settlement_templates.currency is 'Of all its amounts.';
comment on column app.settlement_templates.deal is 'The terms of a deal, with the fields of app.deals; NULL: it is copied to a show that has one.';
comment on column app.settlement_templates.ticket_tiers is 'A list of ticket tiers, with the fields of app.ticket_tiers but what was sold.';
comment on column app.settlement_templates.costs is 'A list of costs, with the fields of app.show_costs.';
comment on column app.settlement_templates.bonuses is 'A list of bonuses, with the fields of app.deal_bonuses.';
comment on column app.settlement_templates.adjustments is 'A list of adjustments, with the fields of app.deal_adjustments.';
create or replace function app_private.broken_rule(target regclass, body jsonb) returns text
language plpgsql stable
set search_path = ''
as $$
declare
  columns text;
  rules text;
  broken text;
begin
  select string_agg(case when d.adbin is null or c.may_differ is not true then format('x.%I', a.attname)
      else format('case when $1 ? %L then x.%I else %s end as %2$I', a.attname, a.attname, pg_get_expr(d.adbin, d.adrelid)) end, ', ' order by a.attnum)
  into columns
  from pg_catalog.pg_attribute a
  cross join lateral (select has_column_privilege('callboard_api', target, a.attnum, 'insert') as may_differ) c
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = target and a.attnum > 0 and not a.attisdropped;
  select string_agg(format('when not (%s) then %L', pg_get_expr(c.conbin, c.conrelid), c.conname), ' ' order by c.conname) into rules
  from pg_catalog.pg_constraint c where c.conrelid = target and c.contype = 'c';
  execute format('select case %s end from (select %s from jsonb_populate_record(null::%s, $1) x) v', rules, columns, target) into broken using body;
  return broken;
end
$$;
comment on function app_private.broken_rule(regclass, jsonb) is 'The CHECK constraint that a row with these values, and defaults for the others, would violate; NULL if none.';
alter function app_private.broken_rule(regclass, jsonb) owner to callboard_definer;
create or replace function app_private.template_part(target regclass, part jsonb, place text) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  unknown text;
  missing text;
  broken text;
begin
  if jsonb_typeof(part) is distinct from 'object' then
    perform app.refuse(422, 'settlement_templates_fields_known', format('%s is no object.', place));
  end if;
  select string_agg(k, ', ' order by k) into unknown from jsonb_object_keys(part) k where k <> all (app.template_fields(target));
  -- guarantee_is_cost follows from the kind of the deal.
  select string_agg(a.attname, ', ' order by a.attnum) into missing
  from pg_catalog.pg_attribute a
  where a.attrelid = target and a.attnum > 0 and a.attnotnull and not a.atthasdef and a.attname <> 'guarantee_is_cost'
    and a.attname = any (app.template_fields(target)) and part ->> a.attname is null;
  if unknown is not null then
    perform app.refuse(422, 'settlement_templates_fields_known', format('%s has %s, which templates do not have.', place, unknown));
  elsif missing is not null then
    perform app.refuse(422, 'settlement_templates_fields_known', format('%s lacks %s.', place, missing));
  end if;
  broken := app_private.broken_rule(target, part);
  if broken is not null then
    perform app.refuse(422, 'settlement_templates_parts_valid', format('%s: see /problems/%s.', place, broken));
  end if;
  return (select jsonb_object_agg(e.key, case when jsonb_typeof(e.value) = 'number' then to_jsonb(trim_scale((e.value #>> '{}')::numeric)) else e.value end)
    from jsonb_each(part) e);
end
$$;
comment on function app_private.template_part(regclass, jsonb, text) is
  'A part of a template as it is stored. PT422 settlement_templates_fields_known, and settlement_templates_parts_valid for a constraint that a row of the table would violate; place says where it is.';
alter function app_private.template_part(regclass, jsonb, text) owner to callboard_definer;
create or replace function app_private.template_parts(target regclass, parts jsonb, place text) returns jsonb
language plpgsql stable
set search_path = ''
as $$
begin
  if not app.is_list(parts, 100) then
    -- Its constraint says so.
    return parts;
  end if;
  return (select coalesce(jsonb_agg(app_private.template_part(target, p.value, format('%s[%s]', place, p.ordinality - 1)) order by p.ordinality), '[]')
    from jsonb_array_elements(parts) with ordinality p);
end
$$;
comment on function app_private.template_parts(regclass, jsonb, text) is 'The same of each item of a list.';
alter function app_private.template_parts(regclass, jsonb, text) owner to callboard_definer;
create or replace function app_private.tg_settlement_templates__300_parts() returns trigger
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if new.deal is not null then
    new.deal := app_private.template_part('app.deals', new.deal, 'deal');
  end if;
  new.ticket_tiers := app_private.template_parts('app.ticket_tiers', new.ticket_tiers, 'ticket_tiers');
  new.costs := app_private.template_parts('app.show_costs', new.costs, 'costs');
  new.bonuses := app_private.template_parts('app.deal_bonuses', new.bonuses, 'bonuses');
  new.adjustments := app_private.template_parts('app.deal_adjustments', new.adjustments, 'adjustments');
  return new;
end
$$;
comment on function app_private.tg_settlement_templates__300_parts() is
  'Refuses, when a template is written, what would be refused when it is copied: the rules are those of the tables themselves. PT422.';
alter function app_private.tg_settlement_templates__300_parts() owner to callboard_definer;
create or replace trigger _300_parts before insert or update of deal, ticket_tiers, costs, bonuses, adjustments on app.settlement_templates
  for each row execute function app_private.tg_settlement_templates__300_parts();
-- EndIncluded settlements/settlement_templates.sql
-- Included settlements/settlement_template_commands.sql
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
    -- Tickets first: they lock the show, whose others lock it less.
    'ticket_tiers', app.copy_parts('ticket_tiers', t.ticket_tiers, show, null),
    'costs', app.copy_parts('show_costs', t.costs, show, null),
    'bonuses', app.copy_parts('deal_bonuses', t.bonuses, show, case when of_act is not null then d.id end),
    'adjustments', app.copy_parts('deal_adjustments', t.adjustments, show, case when of_act is not null then d.id end)),
    null, '/api/deals/' || d.id)::app.answer;
end
$$;
comment on function app.copy_template(uuid, jsonb) is
  'Copies the template template_id to a show, for its own artist or for act, all of it or nothing: enters the deal, if the template has one, and the parts; returns deal_id and how many of each. PT403, PT404, PT409 settlement_template_unknown, settlement_needs_deal, deals_same_currency, and what entering them refuses.';
grant execute on function app.copy_template(uuid, jsonb) to callboard_api;
-- EndIncluded settlements/settlement_template_commands.sql
-- Lock: share row exclusive on app.currencies: create table if not exists app.settlement_templates ( organization_id uuid not null default app.curr
-- Lock: share row exclusive on app.organizations: create table if not exists app.settlement_templates ( organization_id uuid not null default app.curr
-- Lock: share row exclusive on app.users: create table if not exists app.settlement_templates ( organization_id uuid not null default app.curr
