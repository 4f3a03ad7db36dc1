-- After a restore, with the file of what has ended since: what has been purged and erased goes again. As restored_ended.sql.

create or replace function app_private.mark_purged(the_organization uuid, deletion uuid, nouns text[], ids uuid[]) returns regclass[]
language plpgsql volatile
set search_path = ''
as $$
declare
  t record;
  has_rows boolean;
  marked regclass[] := '{}';
begin
  for t in
    select d.marked, array_agg(e.id) as ids,
      case when exists (select from pg_catalog.pg_attribute a where a.attrelid = d.marked and a.attname = 'id') then 'id' else 'user_id' end as id_column
    from unnest(nouns, ids) e (noun, id) join app_private.event_nouns n on n.noun = e.noun join app_private.deletion_tables d on d.marked = n.on_table
    group by d.marked
  loop
    -- As old as the policies of the purge demand.
    execute format('update %s x set deleted_at = now() - interval ''2 days'', deletion_id = $1 where x.%I = $2 and x.%I = any ($3)',
      t.marked, case when t.marked = 'app.organizations'::regclass then 'id' else 'organization_id' end, t.id_column)
    using deletion, the_organization, t.ids;
    if t.marked <> 'app.organizations'::regclass then
      perform app_private.spread_deletion(t.marked, deletion);
    end if;
  end loop;
  for t in select * from app_private.deletion_tables loop
    execute format('select exists (select from %s x where x.%I = $1 and x.deletion_id = $2)', t.marked, t.organization_column)
    into has_rows using the_organization, deletion;
    if has_rows then
      marked := marked || t.marked;
    end if;
  end loop;
  return marked;
end
$$;
comment on function app_private.mark_purged(uuid, uuid, text[], uuid[]) is
  'Marks the rows of an organization with these nouns and ids, and what belongs to them, as one deletion that is due. Returns the tables that have rows of it.';

create or replace function app_private.purge_recorded(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  x record;
  deletion uuid;
  marked regclass[];
  purged bigint := 0;
  kept jsonb := '[]';
begin
  -- What one transaction purged together, in the same order.
  for x in
    select e.organization, e.at, array_agg(e.noun) as nouns, array_agg(e.id) as ids
    from jsonb_to_recordset(ended) e (what text, organization uuid, id uuid, at timestamptz, noun text)
    join app.organizations o on o.id = e.organization
    where e.what = 'purge'
    group by e.organization, e.at order by e.at, e.organization
  loop
    begin
      perform app_private.set_context(null, null, x.organization, 'purge');
      if app_private.is_held(x.organization) then
        perform app.refuse(409, 'legal_hold');
      end if;
      deletion := app.uuid_v7();
      marked := app_private.mark_purged(x.organization, deletion, x.nouns, x.ids);
      if marked <> '{}' then
        purged := purged + app_private.purge_deletion(x.organization, deletion, marked);
      end if;
    exception when others then
      kept := kept || jsonb_build_object('organization', x.organization, 'purged_at', x.at, 'because', sqlerrm);
    end;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('purged_rows', purged, 'kept', kept);
end
$$;
comment on function app_private.purge_recorded(jsonb) is
  'Purges what has been purged. Returns how many rows, and what could not be: for example under a legal hold.';

create or replace function app_private.erase_recorded(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  x record;
  gone bigint;
  erased bigint := 0;
  purged bigint := 0;
  kept jsonb := '[]';
begin
  for x in select distinct e.id from jsonb_to_recordset(ended) e (what text, id uuid) where e.what = 'erasure' loop
    begin
      erased := erased + app_private.erase_events(x.id);
    exception when sqlstate 'PT409' then
      kept := kept || jsonb_build_object('erasure', x.id, 'because', sqlerrm);
    end;
  end loop;
  for x in
    select e.organization, max(e.at) as before from jsonb_to_recordset(ended) e (what text, organization uuid, at timestamptz)
    where e.what = 'events' and not app_private.is_held(e.organization)
    group by e.organization
  loop
    delete from app.event_log l
    where l.organization_id = x.organization and l.occurred_at < x.before
      and exists (select from app.event_seals s where s.organization_id = x.organization and s.event_id = l.id);
    get diagnostics gone = row_count;
    if gone > 0 then
      perform app_private.log_event(x.organization, 'audit.purge', 'organization', x.organization,
        jsonb_build_object('new', jsonb_build_object('before', x.before, 'events', gone)));
      purged := purged + gone;
    end if;
  end loop;
  return jsonb_build_object('erased_events', erased, 'purged_events', purged, 'not_erased', kept);
end
$$;
comment on function app_private.erase_recorded(jsonb) is
  'Erases the details of the events about whom they have been erased, and purges the events that have been purged. Returns how many, and what could not be.';
