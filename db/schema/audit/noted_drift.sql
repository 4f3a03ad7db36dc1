-- Differences of the live database from what the migrations make (docs/operate/audit.md) are events: the log then shows
-- since when somebody could see more than they should, and until when. The worker looks each hour and tells what it
-- finds; the table remembers it, so that the same difference is not an event each hour.

create table if not exists app_private.noted_drift (
  subject text not null,
  digest text not null,
  class text not null,
  noted_at timestamptz not null default now(),
  primary key (subject, digest)
);
select app_private.definer_table('app_private.noted_drift', 'select, insert, delete');
comment on table app_private.noted_drift is 'The differences that are there, as app.note_drift was told last.';
comment on column app_private.noted_drift.subject is 'The fact that differs, such as `policy select_member on app.shows`.';
comment on column app_private.noted_drift.digest is 'Of its value: another one is another difference. Not the value, which may be a secret, such as a setting.';

create or replace function app.note_drift(present jsonb) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  -- An event names no more than so many.
  most constant integer := 100;
  found jsonb;
  gone jsonb;
begin
  -- Workers that look at the same time: the second waits here for the first to end, and then has nothing to tell.
  with new as (
    insert into app_private.noted_drift (subject, digest, class)
    select left(d.subject, 200), left(d.digest, 64), left(d.class, 20)
    from jsonb_to_recordset(present) as d (subject text, digest text, class text)
    order by 1, 2
    on conflict do nothing
    returning noted_drift.subject)
  select jsonb_build_object('facts', to_jsonb((array_agg(distinct n.subject order by n.subject))[:most]), 'count', count(distinct n.subject))
  into found from new n having count(*) > 0;

  with old as (
    delete from app_private.noted_drift n
    where not exists (
      select from jsonb_to_recordset(present) as d (subject text, digest text)
      where left(d.subject, 200) = n.subject and left(d.digest, 64) = n.digest)
    returning n.subject)
  select jsonb_build_object('facts', to_jsonb((array_agg(distinct o.subject order by o.subject))[:most]), 'count', count(distinct o.subject))
  into gone from old o
  -- What differs otherwise than before has not gone.
  where not exists (select from jsonb_to_recordset(present) as d (subject text) where left(d.subject, 200) = o.subject)
  having count(*) > 0;

  if found is not null then
    perform app_private.log_event(null, 'drift.found', 'database', null, jsonb_build_object('new', found));
  end if;
  if gone is not null then
    perform app_private.log_event(null, 'drift.gone', 'database', null, jsonb_build_object('old', gone));
  end if;
end
$$;
comment on function app.note_drift(jsonb) is
  'Told by the worker what differs now ([{subject, digest, class}]), logs what is new as drift.found and what is gone as drift.gone, with the names of the facts, as events of no organization.';
alter function app.note_drift(jsonb) owner to callboard_definer;
grant execute on function app.note_drift(jsonb) to callboard_worker;

create or replace function app_private.log_migrations(release text, migrations text[]) returns void
language sql volatile
set search_path = ''
begin atomic
  select app_private.log_event(null, 'database.migrate', 'database', null,
    jsonb_build_object('new', jsonb_build_object('release', release, 'migrations', to_jsonb(migrations))));
end;
comment on function app_private.log_migrations(text, text[]) is 'Logs database.migrate, an event of no organization: the release and the migrations that it has run.';
alter function app_private.log_migrations(text, text[]) owner to callboard_definer;
