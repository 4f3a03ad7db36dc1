-- What a tour was planned to bring and cost, and what it does: the budget beside the books, category by category.

create or replace function app_private.shows_of(itinerary uuid) returns table (show_id uuid)
language plpgsql stable
set search_path = ''
as $$
begin
  -- A day has one show; the items of a day may be about others, such as a matinee.
  return query
    select d.show_id from app.itinerary_days d
    where d.organization_id = app.current_org() and d.itinerary_id = itinerary and d.deleted_at is null and d.show_id is not null
    union
    select i.show_id from app.schedule_items i
    where i.organization_id = app.current_org() and i.itinerary_id = itinerary and i.deleted_at is null and i.show_id is not null;
end
$$;
comment on function app_private.shows_of(uuid) is 'The shows on a tour, as it is planned: those of its days and of what happens on them, each once.';
alter function app_private.shows_of(uuid) owner to callboard_definer;

create or replace function app_private.tour_records(itinerary uuid)
returns table (category_id uuid, is_actual boolean, base_currency text, base_amount_minor bigint)
language plpgsql stable
set search_path = ''
as $$
begin
  -- A record is in one of the two, and in that once, so each counts once.
  return query
    select r.category_id, r.status = 'actual', r.base_currency::text, r.base_amount_minor from app.finance_records r
    where r.organization_id = app.current_org() and r.itinerary_id = itinerary and r.deleted_at is null and r.status <> 'void'
    union all
    select r.category_id, r.status = 'actual', r.base_currency::text, r.base_amount_minor from app.finance_records r
    where r.organization_id = app.current_org() and r.show_id in (select s.show_id from app_private.shows_of(itinerary) s)
      and r.deleted_at is null and r.status <> 'void'
      and not exists (select from app.itineraries i where i.organization_id = r.organization_id and i.id = r.itinerary_id and i.deleted_at is null);
end
$$;
comment on function app_private.tour_records(uuid) is
  'The records that count for a tour: those that name it, and those that name none, or a deleted one, and are for a show on it. Without void ones.';
alter function app_private.tour_records(uuid) owner to callboard_definer;

create or replace function app_private.sees_tour(itinerary uuid) returns boolean
language sql stable
set search_path = ''
begin atomic
  -- As the policies of budget lines and per diems have it.
  select exists (select from app.itineraries i where i.organization_id = app.org_if_reading('itineraries.write') and i.id = itinerary)
    or exists (select from app.itinerary_versions v where v.organization_id = app.org_if('itineraries.read') and v.itinerary_id = itinerary);
end;
comment on function app_private.sees_tour(uuid) is 'Whether the member sees an itinerary, as a draft or published, deleted or not.';
alter function app_private.sees_tour(uuid) owner to callboard_definer;

create or replace function app.tour_money(itinerary uuid) returns json
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization constant uuid := app.require('finance.read');
  books constant text := (select o.currency from app.organizations o where o.id = organization);
begin
  if not app_private.sees_tour(itinerary) then
    perform app.refuse(404, 'not_found');
  end if;
  return (
    with records as materialized (select * from app_private.tour_records(itinerary)),
    lines as (
      select b.category_id, b.base_amount_minor::numeric as budget, 0::numeric as expected, 0::numeric as actual from app.budget_lines b
      where b.organization_id = organization and b.itinerary_id = itinerary and b.deleted_at is null
      union all
      select r.category_id, 0, case when not r.is_actual then r.base_amount_minor else 0 end, case when r.is_actual then r.base_amount_minor else 0 end
      from records r where r.base_currency = books
      union all
      -- Approved ones are among the records.
      select p.category_id, 0, p.base_amount_minor, 0 from app.per_diems p
      where p.organization_id = organization and p.itinerary_id = itinerary and p.status = 'planned' and p.deleted_at is null
    ),
    by_category as (
      select c.id, c.name, c.kind, sum(l.budget) as budget, sum(l.expected) as expected, sum(l.actual) as actual
      from lines l join app.finance_categories c on c.organization_id = organization and c.id = l.category_id
      group by c.id, c.name, c.kind
    ),
    totals as (
      select t.what, coalesce(sum(c.budget * t.sign), 0) as budget, coalesce(sum(c.expected * t.sign), 0) as expected, coalesce(sum(c.actual * t.sign), 0) as actual
      from (values ('income', 'income', 1), ('expense', 'expense', 1), ('profit', 'income', 1), ('profit', 'expense', -1)) as t (what, kind, sign)
      left join by_category c on c.kind = t.kind
      group by t.what
    )
    select json_build_object('itinerary_id', itinerary, 'currency', books,
      'categories', (select coalesce(json_agg(json_build_object('category_id', c.id, 'category_name', c.name, 'kind', c.kind,
          'budget_minor', c.budget, 'expected_minor', c.expected, 'actual_minor', c.actual, 'difference_minor', c.expected + c.actual - c.budget)
        order by c.kind desc, c.name, c.id), '[]') from by_category c),
      'totals', (select json_object_agg(t.what, json_build_object(
          'budget_minor', t.budget, 'expected_minor', t.expected, 'actual_minor', t.actual, 'difference_minor', t.expected + t.actual - t.budget)
        order by t.what) from totals t),
      'records_in_other_base_currencies', (select count(*) from records r where r.base_currency <> books)));
end
$$;
comment on function app.tour_money(uuid) is
  'The budget, the planned and committed, with planned per diems, and the actual money of a tour, by category and in total, in the currency of the books. PT403 without finance.read, PT404 if the member does not see the tour.';
alter function app.tour_money(uuid) owner to callboard_definer;
grant execute on function app.tour_money(uuid) to callboard_api;

create or replace function app.read_tour_money(itinerary uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.require('finance.read');
  -- Whoever sees the tour, as a draft or published.
  perform app.read_row('itineraries', itinerary);
  return (200, app.tour_money(itinerary), null, null)::app.answer;
end
$$;
comment on function app.read_tour_money(uuid) is 'The money of a tour that the member sees. PT403 without finance.read, PT404.';
grant execute on function app.read_tour_money(uuid) to callboard_api;
