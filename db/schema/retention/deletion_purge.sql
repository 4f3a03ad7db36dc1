-- Purging: a deletion older than its organization's retention is removed permanently, all of its rows or
-- none. A deleted organization is purged with everything it has, except its event log with its seals and
-- retention, and its slugs, which must never lead to another organization.
--
-- The purge works in the context of one organization at a time, and its policies (purge_definer: see foundation/tables.sql) keep it there.

create or replace function app_private.due_deletions(behind jsonb, at_most integer)
returns table (organization_id uuid, deletion_id uuid, deleted_at timestamptz, marked regclass[])
language plpgsql stable
set search_path = ''
as $$
begin
  return query execute (
    select format(
      'select m.organization_id, m.deletion_id, max(m.deleted_at), array_agg(distinct m.marked)
       from (%s) m left join app.deletion_retentions r on r.organization_id = m.organization_id
       where ($1 is null or m.organization_id >= ($1 ->> 0)::uuid)
         and m.organization_id not in (select h.organization_id from app.legal_holds h where h.released_at is null)
       group by m.organization_id, m.deletion_id, r.deleted_days
       having max(m.deleted_at) < now() - make_interval(days => coalesce(r.deleted_days, 30))
         and ($1 is null or (m.organization_id, max(m.deleted_at), m.deletion_id) > (($1 ->> 0)::uuid, ($1 ->> 1)::timestamptz, ($1 ->> 2)::uuid))
       order by 1, 3, 2 limit $2',
      string_agg(format('select t.%I as organization_id, t.deletion_id, t.deleted_at, %L::regclass as marked from %s t where t.deletion_id is not null',
        d.organization_column, d.marked, d.marked), ' union all '))
    from app_private.deletion_tables d)
  using behind, at_most;
end
$$;
comment on function app_private.due_deletions(jsonb, integer) is
  'Deletions past their retention, by organization and age, after [organization, time, deletion], each with the tables that have rows of it. Skips organizations under a legal hold.';
alter function app_private.due_deletions(jsonb, integer) owner to callboard_definer;

create or replace function app_private.purge_deletion(organization uuid, deletion uuid, marked regclass[]) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  edge record;
  part regclass;
  is_needed boolean;
  gone bigint;
begin
  -- Nobody can place a hold until this transaction ends: an attempt waits for the purge.
  perform from app.organizations o where o.id = organization for share;
  if app_private.is_held(organization) then
    return 0;
  end if;
  if 'app.organizations'::regclass = any (marked) then
    perform from app.organizations o where o.id = organization and o.deletion_id = deletion for update nowait;
    -- Everything else follows through the foreign keys.
    delete from app.organizations o where o.id = organization and o.deletion_id = deletion;
    get diagnostics gone = row_count;
    return gone;
  end if;
  -- A concurrent restore may have locked one of the rows. Waiting while holding the others could deadlock.
  foreach part in array marked loop
    execute format('select from %s t where t.organization_id = $1 and t.deletion_id = $2 for update nowait', part)
    using organization, deletion;
  end loop;
  -- Rows that would be deleted by cascade. PostgreSQL itself protects against other references.
  for edge in select * from app_private.deletion_edges e where e.parent = any (marked) and e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.organization_id = $1 and p.deletion_id = $2 and c.deletion_id is distinct from $2)',
      edge.child, edge.parent, edge.condition) into is_needed using organization, deletion;
    if is_needed then
      raise foreign_key_violation using message = 'Something that belongs to it was not deleted with it.', constraint = edge.name;
    end if;
  end loop;
  -- A single statement: foreign keys are checked at its end, so the order of the tables does not matter.
  execute (
    select format('with %s select %s',
      string_agg(format('d%s as (delete from %s t where t.organization_id = $1 and t.deletion_id = $2 returning 1)', m.n, m.t), ', '),
      string_agg(format('(select count(*) from d%s)', m.n), ' + '))
    from unnest(marked) with ordinality m (t, n))
  into gone using organization, deletion;
  return gone;
end
$$;
comment on function app_private.purge_deletion(uuid, uuid, regclass[]) is
  'Permanently deletes the rows of a deletion in these tables, in the organization''s context; returns how many, or one for a whole organization. Fails with foreign_key_violation if something else references them, and with lock_not_available if they are locked.';
alter function app_private.purge_deletion(uuid, uuid, regclass[]) owner to callboard_definer;

create or replace function app.purge_deleted(behind jsonb default null, at_most integer default 1000) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
  began timestamptz := clock_timestamp();
  due record;
  seen integer := 0;
  gone bigint;
  -- deletions, rows, organizations, busy, kept, failed
  n bigint[] := '{0,0,0,0,0,0}';
  violated text;
  because jsonb := '[]';
  next jsonb;
begin
  for due in select * from app_private.due_deletions(behind, at_most) loop
    seen := seen + 1;
    perform app_private.set_context(null, null, due.organization_id, 'purge');
    begin
      gone := app_private.purge_deletion(due.organization_id, due.deletion_id, due.marked);
      if 'app.organizations'::regclass = any (due.marked) then
        n[3] := n[3] + gone;
      elsif gone > 0 then
        n[1] := n[1] + 1;
        n[2] := n[2] + gone;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        n[4] := n[4] + 1;
      when foreign_key_violation then
        n[5] := n[5] + 1;
        get stacked diagnostics violated = constraint_name;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'deletion_id', due.deletion_id, 'kept_by', violated);
      when others then
        n[6] := n[6] + 1;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'deletion_id', due.deletion_id, 'failed_with', sqlerrm);
    end;
    -- The event sealer waits for this transaction to end.
    if seen = at_most or clock_timestamp() > began + interval '2 seconds' then
      next := jsonb_build_array(due.organization_id, due.deleted_at, due.deletion_id);
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('deletions', n[1], 'rows', n[2], 'organizations', n[3], 'busy', n[4], 'kept', n[5], 'failed', n[6],
    'because', because, 'next', next);
end
$$;
comment on function app.purge_deleted(jsonb, integer) is
  'Permanently deletes what was deleted longer ago than its organization''s retention, in batches of about two seconds: to continue, call it again with next, until that is null. Returns how many deletions, rows and organizations are gone, and how many deletions were busy, were kept because something references them, or failed, and why.';
alter function app.purge_deleted(jsonb, integer) owner to callboard_definer;
grant execute on function app.purge_deleted(jsonb, integer) to callboard_worker;
