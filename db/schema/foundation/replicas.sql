-- Reading on a standby. Its data lags behind, so a session, membership or permission that has just ended
-- may still exist there. The standby therefore does not authenticate: a request enters on the primary
-- (app.enter, as always) and receives a pass that states its permissions, signed with a key that both
-- servers have. The standby opens a transaction only with such a pass.

create or replace function app.issue_pass() returns text
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  c app_private.context := app_private.context();
  pass text;
begin
  if c.organization_id is null then
    return null;
  end if;
  -- A standby can have only what has been flushed, which includes every transaction whose commit was awaited.
  pass := array[c.organization_id::text, c.user_id::text, c.session_id::text, c.role, c.permissions, c.request_id, host(c.ip),
    extract(epoch from clock_timestamp())::text, pg_current_wal_flush_lsn()::text]::text;
  -- A context's message starts with a process id, and none is as large as these four letters.
  return encode(app_private.keyed_hash(convert_to('pass' || pass, 'UTF8')), 'hex') || pass;
end
$$;
comment on function app.issue_pass() is
  'The context of this transaction in the form that app.enter_by_pass takes on a standby, with the primary''s WAL position. NULL without a genuine context.';
alter function app.issue_pass() owner to callboard_definer;
grant execute on function app.issue_pass() to callboard_api;

create or replace function app_private.read_pass(pass text) returns text[]
language plpgsql stable parallel restricted
set search_path = ''
as $$
declare
  found text[];
begin
  if pass is null or left(pass, 64) is distinct from encode(app_private.keyed_hash(convert_to('pass' || substr(pass, 65), 'UTF8')), 'hex') then
    raise exception using message = 'replica_unusable', detail = 'pass_unknown';
  end if;
  found := substr(pass, 65)::text[];
  -- Each request gets a new pass; this stops the reuse of an old one.
  if abs(extract(epoch from clock_timestamp()) - found[8]::numeric) > 60 then
    raise exception using message = 'replica_unusable', detail = 'pass_expired';
  end if;
  return found;
end
$$;
comment on function app_private.read_pass(text) is
  'The contents of a pass, if this database issued it within the last minute; else the error replica_unusable.';
alter function app_private.read_pass(text) owner to callboard_definer;

create or replace function app_private.replay_age(primary_at numeric, primary_lsn pg_lsn, timeout interval) returns double precision
language plpgsql volatile
set search_path = ''
as $$
declare
  deadline timestamptz := clock_timestamp() + timeout;
  age numeric;
begin
  -- A standby is usually only milliseconds behind, so a short wait gives the same answer as the primary.
  loop
    if pg_last_wal_replay_lsn() >= primary_lsn then
      return 0;
    end if;
    exit when clock_timestamp() >= deadline;
    perform pg_sleep(0.002);
  end loop;
  -- Both times are from the primary's clock. After a period without commits the result exceeds the true
  -- age; it is never below it.
  age := primary_at - extract(epoch from pg_last_xact_replay_timestamp());
  return case when age < 0.001 then 0.001 else age end;
end
$$;
comment on function app_private.replay_age(numeric, pg_lsn, interval) is
  'The maximum number of seconds that this standby is behind what the primary had at primary_at (in seconds since 1970): 0 if it has all of it, NULL if unknown. Waits up to the timeout for 0.';
alter function app_private.replay_age(numeric, pg_lsn, interval) owner to callboard_definer;

create or replace function app.enter_by_pass(pass text, max_age interval, timeout interval default '50 milliseconds')
returns double precision
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  p text[] := app_private.read_pass(pass);
  age double precision;
begin
  -- On the primary a pass would outlive the permissions it states.
  if not pg_is_in_recovery() then
    raise exception using message = 'replica_unusable', detail = 'not_a_standby';
  end if;
  age := app_private.replay_age(p[8]::numeric, p[9]::pg_lsn, least(timeout, max_age));
  if age is null or age > extract(epoch from max_age) then
    raise exception using message = 'replica_unusable', detail = 'too_old';
  end if;
  perform app_private.set_context(p[2]::uuid, p[3]::uuid, p[1]::uuid, p[4], coalesce(p[5], ''), p[6], p[7]::inet);
  perform set_config('app.data_age', age::text, true);
  return age;
end
$$;
comment on function app.enter_by_pass(text, interval, interval) is
  'Opens this transaction on a standby for the holder of a pass from the primary; returns the maximum age of its data in seconds. Error replica_unusable: pass_unknown, pass_expired, not_a_standby, too_old.';
alter function app.enter_by_pass(text, interval, interval) owner to callboard_definer;
grant execute on function app.enter_by_pass(text, interval, interval) to callboard_api;

create or replace function app.data_age() returns double precision
language sql stable parallel safe
return coalesce(nullif(current_setting('app.data_age', true), '')::double precision, 0);
comment on function app.data_age() is
  'How many seconds this transaction''s data may be behind the primary: 0 there, and on a standby that has caught up. Anything that claims its data is current must check this.';
grant execute on function app.data_age() to callboard_api, callboard_definer;
