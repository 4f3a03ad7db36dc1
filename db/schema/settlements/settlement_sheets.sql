-- The sheet of a recorded settlement, to be printed and signed: what the artist may see of it, with amounts as people read them.

create or replace function app.show_of_sheet(show uuid) returns jsonb
language plpgsql stable
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('id', s.id, 'title', s.title, 'artist', s.artist, 'show_on', s.show_on, 'venue_name', v.name, 'venue_city', v.city)
    from app.shows s left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
    where s.organization_id = app.org_if('shows.read') and s.id = show and s.deleted_at is null);
end
$$;
comment on function app.show_of_sheet(uuid) is 'What a sheet says of a show, as it is now; NULL for one that the member does not see.';
grant execute on function app.show_of_sheet(uuid) to callboard_api, callboard_definer;

create or replace function app.is_outdated(s app.settlements, deal app.deals) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return app.complete_inputs(s.inputs) is distinct from app.inputs_of(deal)
    or coalesce(s.show_as_recorded <> app.show_of_sheet(s.show_id), false);
end
$$;
comment on function app.is_outdated(app.settlements, app.deals) is
  'Whether a settlement would be recorded otherwise now, of this deal: with other inputs, or of a show with another title, artist, day or venue.';
grant execute on function app.is_outdated(app.settlements, app.deals) to callboard_api, callboard_definer;

create or replace function app.read_settlement_sheet(settlement uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
  recorded app.settlements;
  present jsonb;
  answer app.answer;
begin
  perform app.require('finance.read');
  select * into recorded from app.settlements x where x.organization_id = organization and x.id = settlement and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  present := app.show_of_sheet(recorded.show_id);
  select 200, json_build_object(
    'organization', (select o.name from app.organizations o where o.id = organization),
    -- As it was when both sides agreed, but only for those who see the show.
    'show', case when present is not null then coalesce(recorded.show_as_recorded, present) end,
    'settlement', json_build_object('id', recorded.id, 'number', recorded.number, 'status', recorded.status, 'reason', recorded.reason, 'act', recorded.inputs #> '{deal,act}',
      'is_cancelled', coalesce((recorded.inputs ->> 'is_cancelled')::boolean, false),
      'is_outdated', recorded.status = 'draft' and present is not null and app.is_outdated(recorded, (
        select d from app.deals d where d.organization_id = organization and d.id = (recorded.inputs #>> '{deal,id}')::uuid and d.deleted_at is null)),
      'finalized_at', recorded.finalized_at, 'reopened_at', recorded.reopened_at),
    'currency', recorded.inputs ->> 'currency', 'tickets_sold', r.result -> 'tickets_sold', 'tickets_comped', r.result -> 'tickets_comped',
    'tickets_allotted', r.result -> 'tickets_allotted',
    'lines', (
      select jsonb_agg(l.line || jsonb_build_object('amount', app.money_text((l.line ->> 'amount_minor')::numeric, d.digits),
        'budget', app.money_text((l.line ->> 'budget_minor')::numeric, d.digits),
        'over_budget', app.money_text((l.line ->> 'over_budget_minor')::numeric, d.digits)) order by l.n)
      from jsonb_array_elements(r.result -> 'lines') with ordinality as l (line, n)
      -- Internal costs, and what is left for the promoter, from which they could be computed.
      where l.line ->> 'section' <> 'promoter')), null, null
  into answer
  from (select app.complete_result(recorded.inputs, recorded.result) as result) r, (select app.minor_digits(recorded.inputs ->> 'currency') as digits) d;
  return answer;
end
$$;
comment on function app.read_settlement_sheet(uuid) is 'A revision of a settlement as a sheet for both sides: without what is the promoter''s only. PT403, PT404.';
grant execute on function app.read_settlement_sheet(uuid) to callboard_api;
