-- Companies: the tenants. The row's own id is the organization_id of everything else.

create table if not exists app.organizations (
  id uuid primary key default app.uuid_v7(),
  name text collate app.people not null constraint organizations_name_length check (app.is_line(name, 200)),
  slug text not null,
  currency char(3) not null default 'USD' constraint organizations_currency_format check (currency ~ '^[A-Z]{3}$')
    constraint organizations_currency_exists references app.currencies (code),
  time_zone text not null default 'UTC' constraint organizations_time_zone_exists check (app.is_time_zone(time_zone)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  fiscal_year_starts_in smallint not null default 1
    constraint organizations_fiscal_year_starts_in_range check (fiscal_year_starts_in between 1 and 12)
);

-- EXPLAIN shows everybody estimates from statistics over all organizations, so none are collected for
-- columns whose values only one organization should know. The other tables do the same.
select app_private.hide_statistics('app.organizations');

select app_private.force_rls('app.organizations');
select app_private.member_policy('app.organizations', 'select', 'organization.read', organization_column => 'id');
select app_private.member_policy('app.organizations', 'update', 'organization.update', organization_column => 'id');
-- Without a grant, because deletes are soft: app.delete_organization.
select app_private.member_policy('app.organizations', 'delete', 'organization.delete', organization_column => 'id');
-- app.enter and sign-in read organizations before there is a context.
select app_private.set_policy('app.organizations', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'insert_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'update_definer', 'callboard_definer', 'id = (select app.current_org())');
select app_private.set_policy('app.organizations', 'purge_definer', 'callboard_definer',
  $$(id = (select app.current_org())) and (deleted_at < (now() - '1 day'::interval))$$, 'delete');
-- Figures are computed for all organizations at once: see analytics/rollups.sql.
select app_private.set_policy('app.organizations', 'select_rollup', 'callboard_rollup', 'true');

grant select on app.organizations to callboard_api, callboard_definer, callboard_rollup;
grant update (name, currency, time_zone, fiscal_year_starts_in) on app.organizations to callboard_api;
grant insert (id, name, currency, time_zone), update (deleted_at, deleted_by, deletion_id), delete on app.organizations to callboard_definer;

comment on table app.organizations is 'Companies that put on shows; each is a tenant.';
comment on column app.organizations.slug is 'Derived from the name by the database; app_private.slugs keeps it and all earlier ones unique.';
comment on column app.organizations.fiscal_year_starts_in is 'The month in which its fiscal year begins.';
comment on column app.organizations.currency is 'ISO 4217 code of the currency in which the organization keeps its books.';

-- Every slug that was ever assigned, so that an old link keeps leading to its organization and never
-- to another one, even after a purge.
create table if not exists app_private.slugs (
  slug text primary key constraint slugs_format check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 80),
  -- No foreign key: it outlives the organization.
  organization_id uuid not null,
  created_at timestamptz not null default now()
);
create index if not exists slugs_organization_id_idx on app_private.slugs (organization_id);
select app_private.definer_table('app_private.slugs', 'select, insert');
comment on table app_private.slugs is 'Every slug ever assigned and the organization it leads to.';

create or replace function app_private.slug_base(name text) returns text
language sql immutable strict parallel safe
set search_path = ''
-- NFKD separates letters from their accents, which are then removed with everything else that is not
-- a-z or 0-9. Letters that do not decompose are listed explicitly, in both cases, because what lower()
-- does beyond ASCII depends on the database's locale.
return coalesce(nullif(btrim(left(regexp_replace(regexp_replace(
    replace(replace(replace(replace(translate(lower(normalize(name, NFKD)),
      'ẞØøŁłĐđÐðıÆŒÞ', 'ßoollddddiæœþ'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
    U&'[\0300-\036F''\2019]', '', 'g'), '[^a-z0-9]+', '-', 'g'), 60), '-'), ''), 'organization');
comment on function app_private.slug_base(text) is 'The slug of a name: ''Broadway Co.'' becomes broadway-co.';
alter function app_private.slug_base(text) owner to callboard_definer;

create or replace function app_private.tg_organizations__200_slug() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  base text := app_private.slug_base(new.name);
  candidate text := base;
  taken integer;
  free integer;
begin
  if base = any ('{admin,api,app,auth,billing,callboard,docs,help,livez,login,logout,me,metrics,new,openapi,problems,readyz,register,root,settings,sign-in,sign-out,status,support,system,www}') then
    perform app.refuse(409, 'slug_reserved', format('The name would give the address "%s", which is reserved.', base));
  end if;
  loop
    -- An organization can reuse a slug that it once had.
    exit when exists (select from app_private.slugs s where s.slug = candidate and s.organization_id = new.id);
    insert into app_private.slugs (slug, organization_id) values (candidate, new.id) on conflict (slug) do nothing;
    exit when found;
    select s.slug into candidate from app_private.slugs s
    where s.organization_id = new.id and s.slug ~ ('^' || base || '-[1-9][0-9]{0,8}$') order by length(s.slug), s.slug limit 1;
    continue when found;
    -- A free number after a taken one, in steps that double and then halve: a name that thousands have is as cheap.
    taken := 1;
    free := 2;
    while exists (select from app_private.slugs s where s.slug = base || '-' || free) loop
      taken := free;
      free := free * 2;
    end loop;
    while free - taken > 1 loop
      candidate := base || '-' || (taken + free) / 2;
      if exists (select from app_private.slugs s where s.slug = candidate) then
        taken := (taken + free) / 2;
      else
        free := (taken + free) / 2;
      end if;
    end loop;
    candidate := base || '-' || free;
  end loop;
  new.slug := candidate;
  return new;
end
$$;
comment on function app_private.tg_organizations__200_slug() is 'Gives an organization the slug of its name, with a number appended if it is taken.';
alter function app_private.tg_organizations__200_slug() owner to callboard_definer;

select app_private.log_changes('app.organizations', 'organization');

create or replace trigger _100_timestamps before update on app.organizations
  for each row execute function app_private.tg__100_timestamps();
create or replace trigger _200_slug_insert before insert on app.organizations
  for each row execute function app_private.tg_organizations__200_slug();
create or replace trigger _200_slug_rename before update on app.organizations
  for each row when (new.name is distinct from old.name) execute function app_private.tg_organizations__200_slug();
