-- What the triggers would have logged for everything created and for changes of shows, using the application's own
-- functions. In parts, because several connections fill at once. Without those of fees, so that there are five for each show.

-- A show that was changed began as an inquiry.
create function bench_fill.as_entered(present jsonb) returns jsonb language sql immutable parallel safe
return case when present ->> 'version' = '2'
  then present || '{"status": "inquiry", "tickets_sold": 0}' else present end;

create function bench_fill.log_made(resource text, of_table regclass, id_column text, hidden text, actor text, part text) returns void
language plpgsql as $$
begin
  execute format($sql$
    insert into app.event_log (organization_id, id, occurred_at, actor_id, session_id, resource_id, salt, actor_kind, action, resource_type,
      request_id, ip, changes)
    select r.%1$I, bench_fill.event_id(r.created_at, row_number() over () + %7$L::bigint), r.created_at, %2$s, md5(r.%3$I::text || 'session')::uuid, r.%3$I,
      md5(r.%3$I::text || 'salt')::uuid, 'user', %4$L, %5$L, md5(r.%3$I::text || 'request')::uuid::text, '10.1.2.3',
      jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(%10$s, %6$L)))
    from %8$s r where %9$s$sql$,
    case resource when 'organization' then 'id' else 'organization_id' end, actor, id_column,
    resource || case resource when 'member' then '.add' else '.create' end, resource, hidden,
    hashtext(resource || part) & 16777215, of_table, part,
    case resource when 'show' then 'bench_fill.as_entered(to_jsonb(r))' else 'to_jsonb(r)' end);
end
$$;

create function bench_fill.log_changed() returns void
language sql
begin atomic
  insert into app.event_log (organization_id, id, occurred_at, actor_id, session_id, resource_id, salt, actor_kind, action, resource_type,
    request_id, ip, changes)
  select s.organization_id, bench_fill.event_id(s.updated_at, row_number() over ()), s.updated_at, s.created_by, md5(s.id::text || 'session')::uuid,
    s.id, md5(s.id::text || 'update')::uuid, 'user', 'show.update', 'show', md5(s.id::text || 'request')::uuid::text, '10.1.2.3',
    app_private.diff(app_private.loggable(bench_fill.as_entered(to_jsonb(s)), '{}'), app_private.loggable(to_jsonb(s), '{}'))
  from app.shows s where s.version = 2;
end;
