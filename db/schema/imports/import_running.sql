-- What the worker does with an import (src/imports/task.ts): it stages the lines of the file, and once it is
-- told to, enters them in one transaction. Each function first stands where the member stands who
-- wants this, with what they may do at this moment.

create or replace function app_private.enter_import(import uuid) returns app.imports
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
  held text[];
begin
  select * into i from app.imports x where x.id = import;
  if not found then
    return null;
  end if;
  held := app.permissions_of(i.organization_id, i.created_by);
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id, null, held);
  -- Whoever else is at it is waited for, and then has done it.
  select * into i from app.imports x where x.organization_id = i.organization_id and x.id = import for update;
  return i;
end
$$;
comment on function app_private.enter_import(uuid) is 'Opens this transaction for the member whose import it is, and locks it; null if there is none.';
alter function app_private.enter_import(uuid) owner to callboard_definer;

create or replace function app_private.may_import(i app.imports) returns boolean
language sql stable
set search_path = ''
begin atomic
  select app.has_permission('imports.run') and app.has_permission(case i.resource when 'shows' then 'shows.write' else 'finance.write' end);
end;
comment on function app_private.may_import(app.imports) is 'Whether the member whose import it is may still do it.';
alter function app_private.may_import(app.imports) owner to callboard_definer;

create or replace function app.begin_import(import uuid, step text) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
begin
  if i.id is null or not i.status = any (case step when 'check' then array['uploaded', 'checking'] else array['queued', 'running'] end) then
    return null;
  elsif not app_private.may_import(i) then
    perform app_private.end_import(i.id, 'failed', 'The member who requested it no longer has permission.');
    return null;
  end if;
  if step = 'check' then
    -- What a worker that is gone had staged.
    delete from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id;
  end if;
  update app.import_progress p set lines_done = 0 where p.organization_id = i.organization_id and p.import_id = i.id;
  update app.imports x set status = case step when 'check' then 'checking' else 'running' end where x.organization_id = i.organization_id and x.id = i.id;
  return jsonb_build_object('resource', i.resource, 'options', i.options, 'lines', i.lines, 'chunks', (
    select count(*) from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id));
end
$$;
comment on function app.begin_import(uuid, text) is
  'Begins to check or to run an import, also again: its resource, options, lines and how many pieces its file has. NULL if there is nothing to do (any more).';
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
comment on function app.import_chunk(uuid, integer) is 'A piece of the file of an import, counted from 0.';
alter function app.import_chunk(uuid, integer) owner to callboard_definer;
grant execute on function app.import_chunk(uuid, integer) to callboard_worker;

create or replace function app.stage_import(import uuid, found_options jsonb, lines jsonb) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  staged integer;
begin
  if i.status is distinct from 'checking' then
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
  update app.import_progress p set lines_done = p.lines_done + staged where p.organization_id = i.organization_id and p.import_id = i.id;
  return true;
end
$$;
comment on function app.stage_import(uuid, jsonb, jsonb) is
  'Checks lines [[line, {column: text}]] of an import and keeps what they say. False if it has been cancelled.';
alter function app.stage_import(uuid, jsonb, jsonb) owner to callboard_definer;
grant execute on function app.stage_import(uuid, jsonb, jsonb) to callboard_worker;

create or replace function app.finish_check(import uuid, found_options jsonb, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
begin
  if i.status is distinct from 'checking' then
    return;
  end if;
  if because is not null then
    update app.imports x set options = found_options where x.organization_id = i.organization_id and x.id = i.id;
    perform app_private.end_import(i.id, 'failed', because);
    return;
  end if;
  -- A reference that the file has twice: the first line has it.
  update app.import_lines l
  set record = null, problems = jsonb_build_array(jsonb_build_object('column', 'external_ref', 'reason', format('Line %s has the same.', d.first_line)))
  from (
    select x.line, first_value(x.line) over (partition by x.record ->> 'source', x.record ->> 'external_ref' order by x.line) as first_line
    from app.import_lines x
    where x.organization_id = i.organization_id and x.import_id = i.id and x.record ->> 'external_ref' is not null) d
  where l.organization_id = i.organization_id and l.import_id = i.id and l.line = d.line and d.line <> d.first_line;
  update app.imports x
  set status = 'checked', options = found_options, lines = n.lines, bad_lines = n.bad_lines, existing = n.existing
  from (
    select count(*) as lines, count(l.problems) as bad_lines, count(coalesce(r.id, s.id)) as existing
    from app.import_lines l
    left join app.finance_records r on i.resource = 'finance_records' and r.organization_id = l.organization_id and r.deleted_at is null
      and r.source = l.record ->> 'source' and r.external_ref = l.record ->> 'external_ref'
    left join app.shows s on i.resource = 'shows' and s.organization_id = l.organization_id and s.deleted_at is null
      and s.source = l.record ->> 'source' and s.external_ref = l.record ->> 'external_ref'
    where l.organization_id = i.organization_id and l.import_id = i.id) n
  where x.organization_id = i.organization_id and x.id = i.id;
  -- The lines have all that is needed of it.
  delete from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id;
end
$$;
comment on function app.finish_check(uuid, jsonb, text) is 'All lines of an import are staged, or the file cannot be read because of something.';
alter function app.finish_check(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.finish_check(uuid, jsonb, text) to callboard_worker;

create or replace function app.enter_lines(import uuid, after_line integer, how_many integer, out last_line integer, out entered integer, out there integer)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  good integer;
begin
  if not app_private.may_import(i) then
    perform app.refuse(403, 'permission_denied', 'The member who requested it no longer has permission.');
  elsif (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id) then
    perform app.refuse(409, 'import_ended', 'It was cancelled.');
  end if;
  select max(x.line), count(*) into last_line, good from (
    select l.line from app.import_lines l
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line
    order by l.line limit how_many) x;
  if i.resource = 'shows' then
    insert into app.shows (organization_id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold,
      fee_minor, currency, notes, source, external_ref, created_by)
    select i.organization_id, r.*, i.created_by
    from app.import_lines l
    cross join lateral jsonb_to_record(l.record) as r (title text, artist text, venue_id uuid, show_on date, doors_time time, start_time time,
      curfew_time time, status text, capacity integer, tickets_sold integer, fee_minor bigint, currency text, notes text, source text, external_ref text)
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
    order by l.line
    on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing;
  else
    insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate,
      base_currency, status, payment_status, counterparty, note, source, external_ref, created_by)
    select i.organization_id, r.*, i.created_by
    from app.import_lines l
    cross join lateral jsonb_to_record(l.record) as r (kind text, category_id uuid, show_id uuid, booked_on date, due_on date, amount_minor bigint,
      tax_minor bigint, currency text, exchange_rate numeric, base_currency text, status text, payment_status text, counterparty text, note text,
      source text, external_ref text)
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
    order by l.line
    on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing;
  end if;
  get diagnostics entered = row_count;
  there := good - entered;
end
$$;
comment on function app.enter_lines(uuid, integer, integer) is
  'Enters the next good lines of an import: the last of them (null: there were none), how many, and how many were there already. PT403 and PT409 when it is to stop, and what the table itself refuses.';
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
  -- From beside the transaction that has the import locked, so this locks it not.
  select * into i from app.imports x where x.id = import;
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id);
  update app.import_progress p set lines_done = lines where p.organization_id = i.organization_id and p.import_id = i.id;
end
$$;
comment on function app.note_import_progress(uuid, integer) is 'How many lines of an import are behind the worker.';
alter function app.note_import_progress(uuid, integer) owner to callboard_definer;
grant execute on function app.note_import_progress(uuid, integer) to callboard_worker;

create or replace function app.finish_import(import uuid, entered integer, there integer, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  is_cancelled boolean := (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id);
begin
  if i.status is distinct from 'running' then
    return;
  end if;
  perform app_private.end_import(i.id, case when because is null then 'done' when is_cancelled then 'cancelled' else 'failed' end,
    because, entered, there);
end
$$;
comment on function app.finish_import(uuid, integer, integer, text) is 'An import has been run: so many lines were entered, so many were there. Or it has failed because of something.';
alter function app.finish_import(uuid, integer, integer, text) owner to callboard_definer;
grant execute on function app.finish_import(uuid, integer, integer, text) to callboard_worker;
