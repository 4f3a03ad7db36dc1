-- What an operator wants to know before it hurts, for /metrics: what holds the database back, what fills its disk,
-- what has to be there in time. About the server, never about what an organization has.

create or replace function app.server_health()
returns table (
  oldest_transaction_seconds float8, event_partitions_ahead bigint, size_bytes float8, slots_kept_bytes float8,
  standbys bigint, replication_lag_bytes float8, replication_lag_seconds float8, bi_next_end_days float8
)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  -- Not every server lets db/roles.sql grant this. Without it there would seem to be no transactions and no standbys.
  sees constant boolean := pg_has_role(current_user, 'pg_read_all_stats', 'usage');
begin
  return query
    select
      (select coalesce(extract(epoch from max(clock_timestamp() - a.xact_start)), 0)::float8 from pg_catalog.pg_stat_activity a
        where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid() having sees),
      (select count(*) from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'app.event_log'::regclass and c.relname ~ '^event_log_\d{4}_\d\d$'
          and c.relname > 'event_log_' || to_char(now() at time zone 'UTC', 'YYYY_MM')),
      case when sees then pg_database_size(current_database())::float8 end,
      (select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)), 0)::float8 from pg_catalog.pg_replication_slots s),
      case when sees then r.standbys end, r.bytes, r.seconds,
      -- Of those that can still log in: what has ended is no longer news.
      (select extract(epoch from min(c.expires_at) - now())::float8 / 86400
        from app_private.bi_states s join app.bi_credentials c on c.organization_id = s.organization_id and c.id = s.credential_id
        where s.is_live)
    from (
      select count(*) as standbys, max(pg_wal_lsn_diff(pg_current_wal_lsn(), w.replay_lsn))::float8 as bytes,
        -- Null for one that has replayed all there was to replay.
        extract(epoch from max(coalesce(w.replay_lag, interval '0')))::float8 as seconds
      from pg_catalog.pg_stat_replication w
      -- Not a base backup and not an archiver: these replay nothing.
      where w.replay_lsn is not null) r;
end
$$;
comment on function app.server_health() is
  'How long the oldest transaction of this database has been open, how many monthly partitions the event log has beyond this month, how large the database is and how much write-ahead log a replication slot keeps, how many standbys are connected and how far the slowest is behind (null: none), and in how many days the next BI login ends (null: there is none). Null is also what callboard_definer may not see: without pg_read_all_stats the oldest transaction, the size and the standbys.';
alter function app.server_health() owner to callboard_definer;
grant execute on function app.server_health() to callboard_worker;
