-- The peers' own tables, with the same rows in the same order, as a team would design them that does not leave
-- authorization to the database. No trigger writes events, and nothing is signed.

drop schema if exists peers cascade;
create schema peers;

create table peers.users (id uuid primary key, email text not null unique, display_name text not null, password_hash text not null);
insert into peers.users select u.id, u.email, u.display_name, :hash from app.users u;

create table peers.memberships (organization_id uuid not null, user_id uuid not null, role text not null, primary key (organization_id, user_id));
insert into peers.memberships select m.organization_id, m.user_id, m.role from app.memberships m where m.deleted_at is null and m.role is not null;
create index on peers.memberships (user_id);

create table peers.sessions (
  id uuid primary key default gen_random_uuid(), user_id uuid not null references peers.users (id), refresh_hash bytea not null unique,
  created_at timestamptz not null default now(), expires_at timestamptz not null default now() + interval '30 days');

-- Their rows keep no JSON.
create table peers.venues (like app.venues including constraints including indexes);
alter table peers.venues drop column as_json, drop column show_json;
insert into peers.venues
select organization_id, id, name, city, country, time_zone, capacity, created_at, updated_at, version, deleted_at, deleted_by, deletion_id from app.venues;

-- Their fees are columns: nobody sees a show without its fee.
create table peers.shows (like app.shows including constraints, fee_minor bigint check (fee_minor between 0 and 9007199254740991),
  currency char(3) check (currency ~ '^[A-Z]{3}$'), check ((fee_minor is null) = (currency is null)));
alter table peers.shows drop column as_json;
alter table peers.shows alter id set default app.uuid_v7(), alter created_at set default now(), alter updated_at set default now(),
  alter version set default 1, alter tickets_sold set default 0, alter status set default 'inquiry';
insert into peers.shows
select s.organization_id, s.id, s.title, s.artist, s.venue_id, s.show_on, s.doors_time, s.start_time, s.curfew_time, s.status, s.capacity, s.tickets_sold, s.notes,
  s.created_by, s.created_at, s.updated_at, s.version, s.deleted_at, s.deleted_by, s.deletion_id, s.source, s.external_ref, f.fee_minor, f.currency
from app.shows s
left join app.show_fees f on f.organization_id = s.organization_id and f.show_id = s.id;
-- The indexes of app.shows; created after the rows, because that is faster.
alter table peers.shows add primary key (organization_id, id),
  add foreign key (organization_id, venue_id) references peers.venues (organization_id, id),
  add foreign key (created_by) references peers.users (id);
create index on peers.shows (organization_id, show_on, id) where deleted_at is null;
create index on peers.shows (organization_id, created_at, id) where deleted_at is null;
create index on peers.shows (organization_id, title, id) where deleted_at is null;
create index on peers.shows (organization_id, venue_id, show_on) where deleted_at is null;
create index on peers.shows using gin (organization_id, (title || ' ' || artist) app_private.gin_trgm_ops);
create unique index on peers.shows (organization_id, source, external_ref) where deleted_at is null and external_ref is not null;
create index on peers.shows (organization_id, deletion_id) where deletion_id is not null;

create table peers.event_log (
  id uuid primary key default app.uuid_v7(), organization_id uuid not null, occurred_at timestamptz not null default now(), actor_id uuid not null,
  action text not null, resource_type text not null, resource_id uuid not null, request_id text, ip inet, changes jsonb);
create index on peers.event_log (organization_id, occurred_at, id);

-- Computed in advance like Callboard's, so that the benchmark compares requests, not designs.
create table peers.finance_by_month as
  select r.organization_id, date_trunc('month', r.booked_on::timestamp)::date as month, r.status, r.currency::text,
    sum(r.amount_minor) filter (where r.kind = 'income')::bigint as income_minor,
    sum(r.amount_minor) filter (where r.kind = 'expense')::bigint as expense_minor,
    sum(r.base_amount_minor) filter (where r.kind = 'income')::bigint as base_income_minor,
    sum(r.base_amount_minor) filter (where r.kind = 'expense')::bigint as base_expense_minor, count(*) as records
  from app.finance_records r where r.deleted_at is null and r.status <> 'void' group by 1, 2, 3, 4;
alter table peers.finance_by_month add primary key (organization_id, month, status, currency);
