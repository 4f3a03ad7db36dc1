-- Verifies the log against its seals. Anybody who may read both tables can run it; a head recorded
-- earlier and elsewhere also reveals whether the end was truncated or the whole log rewritten.

create or replace function app.verify_events(
  organization uuid, head_seq bigint default null, head_hash text default null, after_seq bigint default 0, at_most bigint default null
) returns json
language plpgsql stable
set search_path = ''
set jit = off
as $$
declare
  anchor bytea := coalesce((select s.hash from app.event_seals s where s.organization_id = organization and s.seq = after_seq), '');
  -- The purge logs this itself; no retention is shorter than 90 days.
  purged_before timestamptz := (
    select max((p.changes #>> '{new,before}')::timestamptz) from app.event_log p
    where p.organization_id = organization and p.resource_id = organization and p.action = 'audit.purge'
      and (p.changes #>> '{new,before}')::timestamptz <= p.occurred_at - interval '90 days');
  head app.event_seals;
  seen record;
  problem json;
  unsealed bigint;
begin
  select * into head from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1;
  with checked as (
    select s.seq, s.event_id, s.occurred_at, lag(s.seq, 1, after_seq) over chain as previous,
      case
        when s.seq <> lag(s.seq, 1, after_seq) over chain + 1 then 'seal_missing'
        when s.prev_hash <> lag(s.hash, 1, anchor) over chain
          or s.hash <> app.event_seal_hash(s.prev_hash, s.organization_id, s.seq, s.event_id, s.occurred_at, s.core_hash, s.details_hash)
          then 'seal_changed'
        when e.id is null then case when s.occurred_at < purged_before then null else 'missing' end
        when app.event_core_hash(e) <> s.core_hash then 'changed'
        when e.erased_at is null then case when app.event_details_hash(e) <> s.details_hash then 'changed' end
        -- Details erased: an event with the same timestamp must record that.
        when not exists (select from app.event_log x
          where x.organization_id = organization and x.occurred_at = e.erased_at and x.action = 'audit.erase'
            and x.resource_id in (e.actor_id, e.resource_id)) then 'erased'
      end as kind
    from app.event_seals s
    left join app.event_log e on e.organization_id = organization and e.occurred_at = s.occurred_at and e.id = s.event_id
    where s.organization_id = organization and s.seq > after_seq and (at_most is null or s.seq <= after_seq + at_most)
    window chain as (order by s.seq)
  )
  select count(*) as checked, max(c.seq) as last, (array_agg(to_jsonb(c) order by c.seq) filter (where c.kind is not null))[1] as bad
  into seen from checked c;

  if seen.bad is not null then
    problem := json_build_object(
      -- An event whose time was changed is not found at the time in its seal.
      'kind', case when seen.bad ->> 'kind' = 'missing' and exists (select from app.event_log e
        where e.organization_id = organization and e.id = (seen.bad ->> 'event_id')::uuid) then 'changed' else seen.bad ->> 'kind' end,
      'seq', case when seen.bad ->> 'kind' = 'seal_missing' then (seen.bad ->> 'previous')::bigint + 1 else (seen.bad ->> 'seq')::bigint end,
      'event_id', case when seen.bad ->> 'kind' <> 'seal_missing' then seen.bad ->> 'event_id' end,
      'occurred_at', case when seen.bad ->> 'kind' <> 'seal_missing' then (seen.bad ->> 'occurred_at')::timestamptz end);
  elsif head_seq is not null and not exists (select from app.event_seals s
    where s.organization_id = organization and s.seq = head_seq and encode(s.hash, 'hex') = lower(head_hash)) then
    problem := json_build_object(
      'kind', case when head.seq is null or head_seq > head.seq then 'cut_off' else 'rewritten' end,
      'seq', case when head.seq is null or head_seq > head.seq then coalesce(head.seq, 0) + 1 else head_seq end,
      'event_id', null, 'occurred_at', null);
  end if;
  select count(*) into unsealed from app.event_log e
  where e.organization_id = organization
    and not exists (select from app.event_seals s where s.organization_id = organization and s.event_id = e.id);
  return json_build_object('ok', problem is null, 'checked', seen.checked, 'unsealed', unsealed,
    'head', case when head.seq is not null then json_build_object('seq', head.seq, 'hash', encode(head.hash, 'hex'), 'sealed_at', head.sealed_at) end,
    'purged_before', purged_before,
    'next_after', case when seen.last < head.seq then seen.last end,
    'problem', problem);
end
$$;
comment on function app.verify_events(uuid, bigint, text, bigint, bigint) is
  'Checks an organization''s events against their seals, all of them or at_most that many after after_seq, and against a recorded head. problem is the first one found: changed, missing, erased (without a trace), seal_changed, seal_missing, cut_off or rewritten (the head differs from the recorded one).';
grant execute on function app.verify_events(uuid, bigint, text, bigint, bigint) to callboard_auditor, callboard_definer;

create or replace function app.audited_organizations(of_slug text default null) returns table (id uuid, slug text)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if of_slug is not null then
    return query select s.organization_id, s.slug from app_private.slugs s where s.slug = of_slug;
    return;
  end if;
  -- Skips from one organization to the next along the seals' key, including deleted organizations.
  return query
    with recursive sealed as (
      (select s.organization_id from app.event_seals s order by s.organization_id limit 1)
      union all
      select (select s.organization_id from app.event_seals s where s.organization_id > f.organization_id order by s.organization_id limit 1)
      from sealed f where f.organization_id is not null
    )
    select coalesce(f.organization_id, o.id), o.slug
    from (select * from sealed where sealed.organization_id is not null) f full join app.organizations o on o.id = f.organization_id
    order by o.slug nulls last, 1;
end
$$;
comment on function app.audited_organizations(text) is 'For auditors: the organization with a slug, or all with a chain of events, even if purged.';
alter function app.audited_organizations(text) owner to callboard_definer;
grant execute on function app.audited_organizations(text) to callboard_auditor;
