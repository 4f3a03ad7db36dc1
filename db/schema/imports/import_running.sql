-- What the worker does with an import (src/imports/task.ts): it stages the lines of the file and, once the
-- member says so, enters them in one transaction. Each function first assumes the context of the member
-- who requested it, with their current permissions.

create or replace function app_private.enter_import(import uuid, statuses text[]) returns app.imports
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
begin
  select * into i from app.imports x where x.id = import;
  -- Asks before it opens: no context unless there is something to do with this import.
  if not found or i.status <> all (statuses) then
    return null;
  end if;
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id, null, array_to_string(array(
    select p from unnest(app.permissions_of(i.organization_id, i.created_by)) p
    where p in ('imports.run', 'finance.write', case i.resource when 'shows' then 'shows.write' else 'finance.write' end)
      -- Records may name tours, if the member sees them.
      or i.resource = 'finance_records' and p in ('itineraries.read', 'itineraries.write')), ' '));
  -- Waits for another worker on the same import, and then sees what it has done.
  select * into i from app.imports x where x.organization_id = i.organization_id and x.id = import for update;
  if i.status <> all (statuses) then
    perform app_private.set_context(null, null);
    return null;
  end if;
  return i;
end
$$;
comment on function app_private.enter_import(uuid, text[]) is
  'Opens this transaction for the member whose import it is, with what entering its lines needs, and locks the import; null, without a context, if it does not exist or is in none of these states. Whoever calls it closes the transaction again.';
alter function app_private.enter_import(uuid, text[]) owner to callboard_definer;

create or replace function app_private.may_import(i app.imports, after_line integer default 0, last_line integer default 2147483647) returns boolean
language sql stable
set search_path = ''
begin atomic
  select app.has_permission('imports.run') and app.has_permission(case i.resource when 'shows' then 'shows.write' else 'finance.write' end)
    and case when i.resource = 'shows' and not app.has_permission('finance.write') then
      not exists (select from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id and l.line > after_line and l.line <= last_line
        and l.record ->> 'fee_minor' is not null)
      else true end;
end;
comment on function app_private.may_import(app.imports, integer, integer) is 'Whether the member whose import it is may still run it: shows with fees, in these lines, only if they may write fees.';
alter function app_private.may_import(app.imports, integer, integer) owner to callboard_definer;

create or replace function app.begin_import(import uuid, step text) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, case step when 'check' then array['uploaded', 'checking'] else array['queued', 'running'] end);
begin
  if i.id is null then
    return null;
  elsif not app_private.may_import(i) then
    perform app_private.end_import(i.id, 'failed', 'The member who requested it no longer has permission.');
    perform app_private.set_context(null, null);
    return null;
  end if;
  if step = 'check' then
    -- Lines staged by a worker that died.
    delete from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id;
  end if;
  update app.import_progress p set lines_done = 0 where p.organization_id = i.organization_id and p.import_id = i.id;
  update app.imports x set status = case step when 'check' then 'checking' else 'running' end where x.organization_id = i.organization_id and x.id = i.id;
  perform app_private.set_context(null, null);
  return jsonb_build_object('resource', i.resource, 'options', i.options, 'lines', i.lines, 'chunks', (
    select count(*) from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id));
end
$$;
comment on function app.begin_import(uuid, text) is
  'Starts or restarts checking or running an import: returns its resource, options, lines and number of chunks. NULL if there is nothing (left) to do.';
alter function app.begin_import(uuid, text) owner to callboard_definer;
grant execute on function app.begin_import(uuid, text) to callboard_worker;

create or replace function app.import_chunk(import uuid, number integer) returns bytea
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select c.content from app.import_chunks c join app.imports i on i.organization_id = c.organization_id and i.id = c.import_id
  where i.id = import and c.n = number;
end;
comment on function app.import_chunk(uuid, integer) is 'A chunk of the file of an import, numbered from 0.';
alter function app.import_chunk(uuid, integer) owner to callboard_definer;
grant execute on function app.import_chunk(uuid, integer) to callboard_worker;

create or replace function app.stage_import(import uuid, found_options jsonb, lines jsonb) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, '{checking}');
  staged integer;
  all_lines integer;
begin
  if i.id is null then
    return false;
  elsif (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id) then
    perform app_private.end_import(i.id, 'cancelled');
    perform app_private.set_context(null, null);
    return false;
  end if;
  i.options := found_options;
  if i.resource = 'shows' then
    insert into app.import_lines (organization_id, import_id, line, record, problems)
    select i.organization_id, i.id, c.* from app_private.check_show_lines(i, lines) c;
  else
    insert into app.import_lines (organization_id, import_id, line, record, problems)
    select i.organization_id, i.id, c.* from app_private.check_finance_lines(i, lines) c;
  end if;
  get diagnostics staged = row_count;
  update app.import_progress p set lines_done = p.lines_done + staged where p.organization_id = i.organization_id and p.import_id = i.id
  returning p.lines_done into all_lines;
  if all_lines > 1000000 then
    update app.imports x set lines = all_lines where x.organization_id = i.organization_id and x.id = i.id;
    perform app_private.end_import(i.id, 'failed', 'The file has more than 1,000,000 lines: split it.');
    perform app_private.set_context(null, null);
    return false;
  end if;
  perform app_private.set_context(null, null);
  return true;
end
$$;
comment on function app.stage_import(uuid, jsonb, jsonb) is
  'Checks lines [[line, {column: text}]] of an import and stores the result. False if it was cancelled, or has too many lines.';
alter function app.stage_import(uuid, jsonb, jsonb) owner to callboard_definer;
grant execute on function app.stage_import(uuid, jsonb, jsonb) to callboard_worker;

-- The planner does not know lines that were just staged and expects one of them, so it would compare each with all the
-- others. Without nested loops it reads every table once, whatever it expects; and it plans now, not when there were few.
create or replace function app.finish_check(import uuid, found_options jsonb, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set enable_nestloop = off
set plan_cache_mode = 'force_custom_plan'
set jit = off
as $$
declare
  i app.imports := app_private.enter_import(import, '{checking}');
  present bigint;
begin
  if i.id is null then
    return;
  end if;
  if because is not null then
    update app.imports x set options = found_options where x.organization_id = i.organization_id and x.id = i.id;
    perform app_private.end_import(i.id, 'failed', because);
    perform app_private.set_context(null, null);
    return;
  end if;
  -- If a reference occurs more than once in the file, the first line keeps it.
  update app.import_lines l
  set record = null, problems = jsonb_build_array(jsonb_build_object('column', 'external_ref', 'reason', format('Line %s has the same one.', d.first_line)))
  from (
    select x.line, first_value(x.line) over (partition by x.record ->> 'source', x.record ->> 'external_ref' order by x.line) as first_line
    from app.import_lines x
    where x.organization_id = i.organization_id and x.import_id = i.id and x.record ->> 'external_ref' is not null) d
  where l.organization_id = i.organization_id and l.import_id = i.id and l.line = d.line and d.line <> d.first_line;
  -- Most files have no references: then nothing of the organization is read.
  if not exists (select from app.import_lines l
      where l.organization_id = i.organization_id and l.import_id = i.id and l.record ->> 'external_ref' is not null) then
    present := 0;
  elsif i.resource = 'shows' then
    select count(*) into present from app.import_lines l
    join app.shows s on s.organization_id = l.organization_id and s.deleted_at is null
      and s.source = l.record ->> 'source' and s.external_ref = l.record ->> 'external_ref'
    where l.organization_id = i.organization_id and l.import_id = i.id;
  else
    select count(*) into present from app.import_lines l
    join app.finance_records r on r.organization_id = l.organization_id and r.deleted_at is null
      and r.source = l.record ->> 'source' and r.external_ref = l.record ->> 'external_ref'
    where l.organization_id = i.organization_id and l.import_id = i.id;
  end if;
  -- Whoever cancels it now waits for its end.
  if (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id for update) then
    perform app_private.end_import(i.id, 'cancelled');
    perform app_private.set_context(null, null);
    return;
  end if;
  update app.imports x
  set status = 'checked', options = found_options, existing = present,
    (lines, bad_lines) = (select count(*), count(l.problems) from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id)
  where x.organization_id = i.organization_id and x.id = i.id;
  -- The staged lines contain everything needed from the file.
  delete from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id;
  perform app_private.set_context(null, null);
end
$$;
comment on function app.finish_check(uuid, jsonb, text) is 'Ends the check of an import: all its lines are staged or, with a reason, the file cannot be read.';
alter function app.finish_check(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.finish_check(uuid, jsonb, text) to callboard_worker;

create or replace function app.enter_lines(import uuid, after_line integer, how_many integer, out last_line integer, out entered integer, out there integer)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, '{running}');
  good integer;
begin
  if i.id is null then
    perform app.refuse(409, 'import_ended', 'It is not running.');
  end if;
  select max(x.line), count(*) into last_line, good from (
    select l.line from app.import_lines l
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line
    order by l.line limit how_many) x;
  if not app_private.may_import(i, after_line, last_line) then
    perform app.refuse(403, 'permission_denied', 'The member who requested it no longer has permission.');
  elsif (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id) then
    perform app.refuse(409, 'import_ended', 'It was cancelled.');
  end if;
  if i.resource = 'shows' then
    -- The ids are made here, because an INSERT does not say which line became which show.
    with good_lines as materialized (
      select app.uuid_v7() as id, r.*
      from app.import_lines l
      cross join lateral jsonb_to_record(l.record) as r (title text, artist text, venue_id uuid, show_on date, doors_time time, start_time time,
        curfew_time time, status text, capacity integer, tickets_sold integer, fee_minor bigint, currency text, notes text, source text, external_ref text)
      where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
      order by l.line
    ), new_shows as (
      insert into app.shows (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold,
        notes, source, external_ref, created_by)
      select i.organization_id, g.id, g.title, g.artist, g.venue_id, g.show_on, g.doors_time, g.start_time, g.curfew_time, g.status, g.capacity, g.tickets_sold,
        g.notes, g.source, g.external_ref, i.created_by
      from good_lines g
      on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing
      returning id
    ), new_fees as (
      insert into app.show_fees (organization_id, show_id, fee_minor, currency)
      select i.organization_id, n.id, g.fee_minor, g.currency from new_shows n join good_lines g on g.id = n.id where g.fee_minor is not null
    )
    select count(*) into entered from new_shows;
  else
    insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate,
      base_currency, status, payment_status, counterparty, note, source, external_ref, itinerary_id, created_by)
    select i.organization_id, r.*, i.created_by
    from app.import_lines l
    cross join lateral jsonb_to_record(l.record) as r (kind text, category_id uuid, show_id uuid, booked_on date, due_on date, amount_minor bigint,
      tax_minor bigint, currency text, exchange_rate numeric, base_currency text, status text, payment_status text, counterparty text, note text,
      source text, external_ref text, itinerary_id uuid)
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
    order by l.line
    on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing;
    get diagnostics entered = row_count;
  end if;
  there := good - entered;
  perform app_private.set_context(null, null);
end
$$;
comment on function app.enter_lines(uuid, integer, integer) is
  'Enters the next good lines of an import: returns the last of them (null: there were none), how many were entered, and how many existed already. PT403 and PT409 when it must stop, and any refusal of the table itself.';
alter function app.enter_lines(uuid, integer, integer) owner to callboard_definer;
grant execute on function app.enter_lines(uuid, integer, integer) to callboard_worker;

create or replace function app.note_import_progress(import uuid, lines integer) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports;
begin
  -- Runs in parallel with the transaction that holds the lock on the import, so it takes none.
  select * into i from app.imports x where x.id = import;
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id);
  update app.import_progress p set lines_done = lines where p.organization_id = i.organization_id and p.import_id = i.id;
  perform app_private.set_context(null, null);
end
$$;
comment on function app.note_import_progress(uuid, integer) is 'Records how many lines of an import the worker has processed.';
alter function app.note_import_progress(uuid, integer) owner to callboard_definer;
grant execute on function app.note_import_progress(uuid, integer) to callboard_worker;

create or replace function app.finish_import(import uuid, entered integer, there integer, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, '{running}');
  -- Whoever cancels it now waits for its end.
  is_cancelled boolean := (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id for update);
begin
  if i.id is null then
    return;
  elsif because is null and is_cancelled then
    perform app.refuse(409, 'import_ended', 'It was cancelled.');
  end if;
  perform app_private.end_import(i.id, case when because is null then 'done' when is_cancelled then 'cancelled' else 'failed' end,
    because, entered, there);
  perform app_private.set_context(null, null);
end
$$;
comment on function app.finish_import(uuid, integer, integer, text) is 'Ends a run of an import: how many lines were entered and how many existed already or, with a reason, that it failed.';
alter function app.finish_import(uuid, integer, integer, text) owner to callboard_definer;
grant execute on function app.finish_import(uuid, integer, integer, text) to callboard_worker;
