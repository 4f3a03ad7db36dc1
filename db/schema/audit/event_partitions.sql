-- The monthly partitions of the event log. The worker creates them in advance; events without one go
-- to app.event_log_default, so that a missing partition never causes a change to be refused.

create table if not exists app.event_log_default partition of app.event_log default;
select app_private.force_rls('app.event_log_default');

select app_private.hide_statistics('app.event_log'), app_private.hide_statistics('app.event_log_default');

-- Only the owner can create and drop tables, so this one function runs as the owner. It takes no
-- arguments.
create or replace function app.maintain_event_partitions() returns table (partition text, done text)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
-- Requests queue behind a statement that waits for a lock.
set lock_timeout = '3s'
as $$
declare
  month timestamptz;
  has_rows boolean;
  name text;
begin
  -- Access through app.event_log is governed by the policies of that table.
  alter table app.event_log_default no force row level security;
  for month in
    select date_trunc('month', now()) + make_interval(months => n) from generate_series(0, 3) n
    union
    select date_trunc('month', e.occurred_at) from app.event_log_default e
    order by 1
  loop
    partition := 'event_log_' || to_char(month, 'YYYY_MM');
    continue when to_regclass('app.' || partition) is not null;
    execute format('create table app.%I (like app.event_log including defaults including constraints)', partition);
    perform app_private.hide_statistics(to_regclass('app.' || partition));
    execute format('with moved as (delete from app.event_log_default e where e.occurred_at >= %L and e.occurred_at < %L returning *)
      insert into app.%I select * from moved', month, month + interval '1 month', partition);
    execute format('alter table app.%I enable row level security', partition);
    execute format('alter table app.%I force row level security', partition);
    execute format('alter table app.event_log attach partition app.%I for values from (%L) to (%L)',
      partition, month, month + interval '1 month');
    done := 'made';
    return next;
  end loop;
  alter table app.event_log_default force row level security;

  for name in
    select c.relname from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'app.event_log'::regclass and c.relname ~ '^event_log_\d{4}_\d\d$'
      -- No organization may keep its events for less than 90 days.
      and to_timestamp(right(c.relname, 7), 'YYYY_MM') + interval '1 month' < now() - interval '90 days'
    order by 1
  loop
    execute format('alter table app.%I no force row level security', name);
    execute format('select exists (select from app.%I)', name) into has_rows;
    if has_rows then
      execute format('alter table app.%I force row level security', name);
    else
      execute format('drop table app.%I', name);
      partition := name;
      done := 'dropped';
      return next;
    end if;
  end loop;
end
$$;
comment on function app.maintain_event_partitions() is
  'Creates the event log''s partitions for the next three months, moves rows from app.event_log_default into them, and drops empty ones that ended 90 days ago. Returns what it did.';
grant execute on function app.maintain_event_partitions() to callboard_worker;

do $$
begin
  if to_regclass('app.event_log_' || to_char(now() at time zone 'UTC', 'YYYY_MM')) is null then
    perform app.maintain_event_partitions();
  end if;
end
$$;
