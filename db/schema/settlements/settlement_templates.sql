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
