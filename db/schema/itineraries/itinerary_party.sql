-- The party of an itinerary: who travels, and the groups that decide who may see what.

create table if not exists app.party_groups (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text collate app.people not null constraint party_groups_name_length check (app.is_line(name, 100)),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint party_groups_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);
create unique index if not exists party_groups_name_taken on app.party_groups (organization_id, itinerary_id, lower(name)) where deleted_at is null;
alter index app.party_groups_name_taken alter column 3 set statistics 0;

create or replace view app.party_group_rows with (security_invoker = true) as
  select g.organization_id, g.version, g.deleted_at, g.deleted_by, app.body(g.as_json) as body,
    g.id, g.itinerary_id, g.name,
    g.created_by, g.created_at, g.updated_at
  from app.party_groups g;

select app_private.tenant_table('party_groups', noun => 'party_group', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-groups');
grant insert (itinerary_id, name), update (name) on app.party_groups to callboard_api;

comment on table app.party_groups is 'Parts of a party, such as band and crew. What is only for a deleted group is visible only to planners.';

-- Lists of ids have no foreign keys. Arguments: the list's column, and the table that it references.
-- Ids already in the list are allowed even if deleted since.
create or replace function app_private.tg__400_listed() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  present jsonb := to_jsonb(new);
  before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) else '{}' end;
  unknown text;
begin
  for n in 0 .. tg_nargs / 2 - 1 loop
    execute format(
      'select string_agg(coalesce(x.id, ''null''), '', '') from (
         select jsonb_array_elements_text($1) as id except select jsonb_array_elements_text($2)) x
       where not exists (select from %s p where p.organization_id = $3 and p.id = x.id::uuid and p.itinerary_id = $4 and p.deleted_at is null)',
      tg_argv[2 * n + 1])
    into unknown
    using present -> tg_argv[2 * n], coalesce(before -> tg_argv[2 * n], '[]'), new.organization_id, (present ->> 'itinerary_id')::uuid;
    if unknown is not null then
      perform app.refuse(409, 'party_unknown', format('Not in the party of this itinerary: %s.', unknown));
    end if;
  end loop;
  return new;
end
$$;
comment on function app_private.tg__400_listed() is 'PT409 party_unknown for an id in a list that is neither a person nor a group of the itinerary''s party.';
alter function app_private.tg__400_listed() owner to callboard_definer;

create table if not exists app.party_members (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text collate app.people not null constraint party_members_name_length check (app.is_line(name, 200)),
  role text collate app.people constraint party_members_role_length check (app.is_line(role, 200)),
  -- Their account, if they have one: the groups decide what this member sees of the itinerary.
  user_id uuid,
  group_ids uuid[] not null default '{}',
  notes text constraint party_members_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint party_members_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint party_members_user_exists foreign key (organization_id, user_id)
    references app.memberships (organization_id, user_id) on delete set null (user_id)
);
create unique index if not exists party_members_user_taken on app.party_members (organization_id, itinerary_id, user_id) where deleted_at is null;
create index if not exists party_members_user_id_idx on app.party_members (organization_id, user_id) where user_id is not null;

create or replace view app.party_member_rows with (security_invoker = true) as
  select m.organization_id, m.version, m.deleted_at, m.deleted_by, app.body(m.as_json) as body,
    m.id, m.itinerary_id, m.name, m.role, m.user_id, m.group_ids, m.notes,
    m.created_by, m.created_at, m.updated_at
  from app.party_members m;

select app_private.tenant_table('party_members', noun => 'party_member', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-members');
grant insert (itinerary_id, name, role, user_id, group_ids, notes), update (name, role, user_id, group_ids, notes) on app.party_members to callboard_api;

comment on table app.party_members is 'The people who travel on an itinerary.';
create or replace trigger _400_listed before insert or update of group_ids on app.party_members
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');

create or replace function app.own_groups() returns uuid[]
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select coalesce(array_agg(g.id), '{}')
  from app.party_members m
  join app.party_groups g on g.organization_id = m.organization_id and g.id = any (m.group_ids) and g.deleted_at is null
  where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null;
end;
comment on function app.own_groups() is 'The groups that the user of this transaction is in, across all itineraries of the organization. For policies, which evaluate it once per statement.';
alter function app.own_groups() owner to callboard_definer;
grant execute on function app.own_groups() to callboard_api;
