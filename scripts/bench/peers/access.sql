-- Three ways to access the peers' tables: a login whose queries filter by themselves, because it bypasses row-level
-- security (callboard_bench), one whose policies read a setting (callboard_bench_rls), and PostgREST, whose policies
-- read the token (callboard_bench_rest becomes callboard_bench_web).

grant usage on schema peers, app to callboard_bench, callboard_bench_rls, callboard_bench_web;
grant execute on function app.uuid_v7() to callboard_bench, callboard_bench_rls, callboard_bench_web;
grant execute on function app.is_time_zone(text), app.current_org(), app.current_user_id() to callboard_bench, callboard_bench_rls, callboard_bench_web;
grant select, insert on all tables in schema peers to callboard_bench, callboard_bench_rls, callboard_bench_web;
revoke all on peers.users, peers.sessions, peers.memberships from callboard_bench_web;

create or replace function peers.claim(name text) returns uuid language sql stable
return (nullif(current_setting('request.jwt.claims', true), '')::json ->> name)::uuid;

do $$
declare
  t text;
begin
  foreach t in array array['venues', 'shows', 'event_log', 'finance_by_month'] loop
    execute format('alter table peers.%I enable row level security', t);
    execute format('drop policy if exists rls on peers.%I', t);
    execute format('create policy rls on peers.%I to callboard_bench_rls
      using (organization_id = (select nullif(current_setting(''peers.organization_id'', true), '''')::uuid))', t);
    execute format('drop policy if exists web on peers.%I', t);
    execute format('create policy web on peers.%I to callboard_bench_web using (organization_id = (select peers.claim(''org'')))', t);
  end loop;
end
$$;

-- PostgREST inserts what it is sent; the database fills in the rest.
alter table peers.shows alter organization_id set default peers.claim('org'), alter created_by set default peers.claim('sub');
create or replace function peers.log_show() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into peers.event_log (organization_id, actor_id, action, resource_type, resource_id, changes)
  values (new.organization_id, new.created_by, 'show.create', 'show', new.id, jsonb_build_object('new', jsonb_strip_nulls(to_jsonb(new))));
  return null;
end
$$;
create or replace trigger log_show after insert on peers.shows
  for each row when (current_user = 'callboard_bench_web') execute function peers.log_show();
