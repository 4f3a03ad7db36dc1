-- What the triggers would have logged: of everything that was made, and of the changes of shows, with the words of
-- the application's own functions. In parts, because several connections fill at once.

create function bench_fill.log_made(resource text, of_table regclass, id_column text, hidden text, actor text, part text) returns void
language plpgsql as $$
begin
  execute format($sql$
    insert into app.event_log (organization_id, id, occurred_at, actor_id, session_id, resource_id, salt, actor_kind, action, resource_type,
      request_id, ip, changes)
    select r.%1$I, bench_fill.event_id(r.created_at, row_number() over () + %7$L::bigint), r.created_at, %2$s, md5(r.%3$I::text || 'session')::uuid, r.%3$I,
      md5(r.%3$I::text || 'salt')::uuid, 'user', %4$L, %5$L, md5(r.%3$I::text || 'request')::uuid::text, '10.1.2.3',
      jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(to_jsonb(r), %6$L)))
    from %8$s r where %9$s$sql$,
    case resource when 'organization' then 'id' else 'organization_id' end, actor, id_column,
    resource || case resource when 'member' then '.add' else '.create' end, resource, hidden,
    hashtext(resource || part) & 16777215, of_table, part);
end
$$;

create function bench_fill.log_changed() returns void
language sql
begin atomic
  insert into app.event_log (organization_id, id, occurred_at, actor_id, session_id, resource_id, salt, actor_kind, action, resource_type,
    request_id, ip, changes)
  select s.organization_id, bench_fill.event_id(s.updated_at, row_number() over ()), s.updated_at, s.created_by, md5(s.id::text || 'session')::uuid,
    s.id, md5(s.id::text || 'update')::uuid, 'user', 'show.update', 'show', md5(s.id::text || 'request')::uuid::text, '10.1.2.3',
    jsonb_build_object('old', jsonb_build_object('status', 'inquiry'), 'new', jsonb_build_object('status', s.status))
  from app.shows s where s.version = 2;
end;
