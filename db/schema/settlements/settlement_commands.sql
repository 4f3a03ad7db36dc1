-- Commands on settlements; the table is in settlements.sql.

create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'deal_id', x.inputs #> '{deal,id}', 'act', x.inputs #> '{deal,act}', 'number', x.number, 'status', x.status, 'reason', x.reason,
      'inputs', app.complete_inputs(x.inputs), 'result', app.complete_result(x.inputs, x.result),
      'finalized_at', x.finalized_at, 'finalized_by', x.finalized_by,
      'reopened_at', x.reopened_at, 'reopened_by', x.reopened_by, 'reopen_reason', x.reopen_reason,
      'booked_at', x.booked_at, 'not_booked_because', x.not_booked_because,
      'bookings', (select coalesce(json_agg(json_build_object('finance_record_id', r.id, 'line', r.settlement_line, 'kind', r.kind, 'category_id', r.category_id,
          'amount_minor', r.amount_minor, 'currency', r.currency, 'booked_on', r.booked_on, 'status', r.status) order by r.id), '[]')
        from app.finance_records r where r.organization_id = x.organization_id and r.settlement_id = x.id and r.deleted_at is null),
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body,
    (x.inputs #>> '{deal,id}')::uuid as deal_id
  from app.settlements x
  where x.deleted_at is null;
comment on view app.settlement_list is 'The organization''s undeleted settlements, with their JSON.';
grant select on app.settlement_list to callboard_api, callboard_definer;

create or replace function app.read_settlement(settlement uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/settlements/' || x.id into answer from app.settlement_list x
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_settlement(uuid) is 'A revision of a settlement. PT403, PT404.';
grant execute on function app.read_settlement(uuid) to callboard_api, callboard_definer;

create or replace function app_private.lock_show(show uuid) returns text
language plpgsql volatile
set search_path = ''
as $$
declare
  status text;
begin
  select s.status into status from app.shows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null for no key update;
  if status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return status;
end
$$;
comment on function app_private.lock_show(uuid) is
  'Locks a show''s row and returns its status: the show''s parts are entered and changed before or after this transaction, not during it. PT404.';
alter function app_private.lock_show(uuid) owner to callboard_definer;

create or replace function app_private.final_settlement(show uuid, of_deal uuid) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  return (select x.id from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.deal_id is not distinct from of_deal
    and x.status = 'final' and x.reopened_at is null and x.deleted_at is null);
end
$$;
comment on function app_private.final_settlement(uuid, uuid) is 'The settlement in force of a deal, NULL for the main deal; NULL if there is none.';
alter function app_private.final_settlement(uuid, uuid) owner to callboard_definer;

create or replace function app_private.settle_show(show uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  update app.shows s set status = 'settled'
  where s.organization_id = (select app.current_org()) and s.id = show and s.status = 'played' and s.deleted_at is null
    and exists (select from app.settlements x where x.organization_id = s.organization_id and x.show_id = s.id
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null)
    and not app_private.has_unsettled_deal(s.organization_id, s.id);
end
$$;
comment on function app_private.settle_show(uuid) is 'Makes a show settled if each of its deals has a settlement in force.';
alter function app_private.settle_show(uuid) owner to callboard_definer;

create or replace function app.record_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  why constant text := case when app.is_visible(body ->> 'reason') then btrim(body ->> 'reason') end;
  deal app.deals;
  of_deal uuid;
  present jsonb;
  settlement uuid;
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  perform app.require('finance.write');
  if app_private.lock_show(show) = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
  deal := app.deal_of(show, (body ->> 'deal_id')::uuid);
  of_deal := case when deal.act is not null then deal.id end;
  if app_private.final_settlement(show, of_deal) is not null then
    perform app.refuse(409, 'settlement_final');
  elsif why is null and exists (
    select from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.deal_id is not distinct from of_deal
      and x.status = 'final' and x.deleted_at is null)
  then
    perform app.refuse(422, 'settlement_reason_needed');
  end if;
  present := app.inputs_of(deal);
  insert into app.settlements (show_id, deal_id, number, reason, inputs, result, show_as_recorded)
  select show, of_deal, coalesce(max(x.number), 0) + 1, why, present, app.settle(present), app.show_of_sheet(show)
  from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.deal_id is not distinct from of_deal
  returning id into settlement;
  answer := app.read_settlement(settlement);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.record_settlement(uuid, jsonb) is
  'Records the current settlement of a deal of a show, by default of the main deal, as its next revision. PT403, PT404, PT409 settlement_needs_deal, settlement_of_which_deal, settlement_final, PT422 settlement_reason_needed, settlement_out_of_range.';
alter function app.record_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.record_settlement(uuid, jsonb) to callboard_api;

create or replace function app.finalize_settlement(settlement uuid, rate numeric default null, existing text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
  show_status text;
  because text;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  show_status := app_private.lock_show(present.show_id);
  -- Check again under the lock: nobody else can finalize it now.
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.deleted_at is not null then
    perform app.refuse(404, 'not_found');
  elsif present.status = 'final' or show_status <> 'settled' and app_private.final_settlement(present.show_id, present.deal_id) is not null then
    perform app.refuse(409, 'settlement_final');
  elsif show_status not in ('played', 'cancelled') then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif app.is_outdated(present, app.deal_of(present.show_id, present.deal_id)) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  because := app_private.enter_settlement(present, rate, existing, false);
  update app.settlements x set (status, finalized_at, finalized_by, booked_at, not_booked_because)
    = row ('final', statement_timestamp(), app.current_user_id(), case when because is null then statement_timestamp() end, because)
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  perform app_private.settle_show(present.show_id);
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid, numeric, text) is
  'Makes a revision final, and its show settled if that was the last deal of it, unless it is cancelled, and enters its lines in the books as app.book_settlement does, unless that has to be told more: then not_booked_because says what. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated, period_closed, PT422 finance_records_exchange_rate_of_base.';
alter function app.finalize_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.finalize_settlement(uuid, numeric, text) to callboard_api;

create or replace function app.book_settlement(settlement uuid, rate numeric default null, existing text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  perform app_private.lock_show(present.show_id);
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.status <> 'final' or present.reopened_at is not null then
    perform app.refuse(409, 'settlement_not_in_force');
  elsif present.booked_at is null then
    perform app_private.enter_settlement(present, rate, existing, true);
    update app.settlements x set (booked_at, not_booked_because) = row (statement_timestamp(), null::text)
    where x.organization_id = (select app.current_org()) and x.id = settlement;
  end if;
  return app.read_settlement(settlement);
end
$$;
comment on function app.book_settlement(uuid, numeric, text) is
  'Enters the lines of a final settlement in the books, if they are not there: at an exchange rate, if the deal is in another currency; actual records that somebody has entered in the same categories are kept or made void (existing). PT403 without finance.close, PT404, PT409 settlement_not_in_force, settlement_booked_by_hand, period_closed, PT422 settlement_exchange_rate_needed, finance_records_exchange_rate_of_base.';
alter function app.book_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.book_settlement(uuid, numeric, text) to callboard_api;

create or replace function app.reopen_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  wanted constant uuid := body ->> 'deal_id';
  is_settled boolean;
  finals app.settlements[];
  final app.settlements;
begin
  perform app.require_show(show);
  perform app.require('finance.close');
  if app.is_visible(body ->> 'reason') is not true then
    perform app.refuse(422, 'settlements_reopen_reason_length', 'It shows nothing.');
  end if;
  -- Also where the status says otherwise, as nobody can who uses Callboard: this is the way out.
  is_settled := app_private.lock_show(show) = 'settled';
  select array_agg(x order by x.deal_id nulls first) into finals from app.settlements x
  where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null
    and (wanted is null or x.inputs #>> '{deal,id}' = wanted::text);
  -- As in app.deal_of: the main deal, or the only one.
  if wanted is null and finals[1].deal_id is not null then
    if exists (select from app.deals d where d.organization_id = (select app.current_org()) and d.show_id = show and d.deleted_at is null and d.act is null) then
      perform app.refuse(409, 'show_not_settled', 'The settlement of the main deal is not final: name the deal.');
    elsif cardinality(finals) > 1 then
      perform app.refuse(409, 'settlement_of_which_deal');
    end if;
  end if;
  if finals is null and (wanted is not null or not is_settled) then
    perform app.refuse(409, 'show_not_settled');
  end if;
  final := finals[1];
  if final.id is not null then
    update app.settlements x set (reopened_at, reopened_by, reopen_reason) = row (statement_timestamp(), app.current_user_id(), body ->> 'reason')
    where x.organization_id = final.organization_id and x.id = final.id;
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
  'Sets a settled show back to played, with a reason, which is recorded in the settlement that was final, that of the main deal unless it names another, and takes its lines out of the books. PT403 without finance.close, PT404, PT409 show_not_settled, settlement_of_which_deal, PT422 settlements_reopen_reason_length.';
alter function app.reopen_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.reopen_settlement(uuid, jsonb) to callboard_api;
