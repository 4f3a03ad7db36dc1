-- Commands on settlements; the table is in settlements.sql.

create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'number', x.number, 'status', x.status, 'reason', x.reason,
      'inputs', app.complete_inputs(x.inputs), 'result', app.complete_result(x.inputs, x.result),
      'finalized_at', x.finalized_at, 'finalized_by', x.finalized_by,
      'reopened_at', x.reopened_at, 'reopened_by', x.reopened_by, 'reopen_reason', x.reopen_reason,
      'booked_at', x.booked_at, 'not_booked_because', x.not_booked_because,
      'bookings', (select coalesce(json_agg(json_build_object('finance_record_id', r.id, 'line', r.settlement_line, 'kind', r.kind, 'category_id', r.category_id,
          'amount_minor', r.amount_minor, 'currency', r.currency, 'booked_on', r.booked_on, 'status', r.status) order by r.id), '[]')
        from app.finance_records r where r.organization_id = x.organization_id and r.settlement_id = x.id and r.deleted_at is null),
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
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

create or replace function app.record_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  why constant text := case when app.is_visible(body ->> 'reason') then btrim(body ->> 'reason') end;
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
  if why is null and exists (
    select from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.deleted_at is null)
  then
    perform app.refuse(422, 'settlement_reason_needed');
  end if;
  present := app.settlement_inputs(show);
  insert into app.settlements (show_id, number, reason, inputs, result)
  select show, coalesce(max(x.number), 0) + 1, why, present, app.settle(present)
  from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show
  returning id into settlement;
  answer := app.read_settlement(settlement);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.record_settlement(uuid, jsonb) is
  'Records the current settlement of a show as its next revision. PT403, PT404, PT409 settlement_needs_deal, settlement_final, PT422 settlement_reason_needed, settlement_out_of_range.';
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
  if present.status = 'final' then
    perform app.refuse(409, 'settlement_final');
  elsif show_status <> 'played' then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif app.complete_inputs(present.inputs) is distinct from app.settlement_inputs(present.show_id) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  because := app_private.enter_settlement(present, rate, existing, false);
  update app.settlements x set (status, finalized_at, finalized_by, booked_at, not_booked_because)
    = row ('final', statement_timestamp(), app.current_user_id(), case when because is null then statement_timestamp() end, because)
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  update app.shows s set status = 'settled' where s.organization_id = (select app.current_org()) and s.id = present.show_id;
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid, numeric, text) is
  'Makes a revision final and its show settled, and enters its lines in the books as app.book_settlement does, unless that has to be told more: then not_booked_because says what. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated, period_closed.';
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
  'Enters the lines of a final settlement in the books, if they are not there: at an exchange rate, if the deal is in another currency; actual records that somebody has entered in the same categories are kept or made void (existing). PT403 without finance.close, PT404, PT409 settlement_not_in_force, settlement_booked_by_hand, period_closed, PT422 settlement_exchange_rate_needed.';
alter function app.book_settlement(uuid, numeric, text) owner to callboard_definer;
grant execute on function app.book_settlement(uuid, numeric, text) to callboard_api;

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
