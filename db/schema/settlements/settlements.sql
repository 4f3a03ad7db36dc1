-- Settlements: what was computed for a show and when, revision by revision. Only the commands below
-- write here, and the figures come from the tables, never from a request.

create table if not exists app.settlements (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  number integer not null,
  status text not null default 'draft' constraint settlements_status_known check (status in ('draft', 'final')),
  reason text constraint settlements_reason_length check (length(reason) <= 1000),
  inputs jsonb not null,
  result jsonb not null,
  finalized_at timestamptz,
  finalized_by uuid references app.users (id),
  reopened_at timestamptz,
  reopened_by uuid references app.users (id),
  reopen_reason text constraint settlements_reopen_reason_length check (length(reopen_reason) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  booked_at timestamptz,
  not_booked_because text constraint settlements_not_booked_because_known check (not_booked_because in ('booked_by_hand', 'exchange_rate_needed')),
  deal_id uuid,
  show_as_recorded jsonb,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint settlements_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint settlements_final_with_time check ((status = 'final') = (finalized_at is not null)),
  constraint settlements_reopened_when_final check (reopened_at is null or status = 'final')
);
create unique index if not exists settlements_number_of_deal on app.settlements (organization_id, show_id, deal_id, number) nulls not distinct;
create unique index if not exists settlements_one_final_of_deal on app.settlements (organization_id, show_id, deal_id) nulls not distinct
  where status = 'final' and reopened_at is null and deleted_at is null;
create index if not exists settlements_organization_id_deal_id_idx on app.settlements (organization_id, deal_id) where deal_id is not null;
create index if not exists settlements_organization_id_show_id_idx on app.settlements (organization_id, show_id, created_at, id) where deleted_at is null;

-- Without grants: the commands below write and check these permissions.
select app_private.tenant_policies('app.settlements', reads => 'finance.read', inserts => 'finance.write', updates => 'finance.close',
  definer => 'insert, update');
grant select on app.settlements to callboard_api, callboard_definer;
grant insert (show_id, deal_id, number, reason, inputs, result, show_as_recorded) on app.settlements to callboard_definer;
grant update (status, finalized_at, finalized_by, reopened_at, reopened_by, reopen_reason, booked_at, not_booked_because, deleted_at, deleted_by, deletion_id)
  on app.settlements to callboard_definer;

comment on table app.settlements is 'Revisions of the settlements of shows. The one that is final and was not reopened is in force.';
comment on column app.settlements.deal_id is 'The deal; NULL: the main deal.';
comment on column app.settlements.inputs is 'Deal, ticket tiers, costs and deposits as they were: see app.settlement_inputs.';
comment on column app.settlements.result is 'What app.settle computed from the inputs.';
comment on column app.settlements.show_as_recorded is 'What the sheet says of the show, as it was: see app_private.show_of_sheet; NULL: recorded by 0.3.0 or before.';
comment on column app.settlements.booked_at is 'When its lines were entered in the books.';
comment on column app.settlements.not_booked_because is 'Why the lines of a final one are not in the books: see app.book_settlement.';
comment on column app.settlements.reason is 'Why there is another revision.';

select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');

create or replace function app_private.tg_settlements__200_unchanged() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.organization_id, new.id, new.show_id, new.deal_id, new.number, new.reason, new.inputs, new.result, new.show_as_recorded, new.created_by, new.created_at)
      is distinct from (old.organization_id, old.id, old.show_id, old.deal_id, old.number, old.reason, old.inputs, old.result, old.show_as_recorded, old.created_by, old.created_at)
    or old.status = 'final' and (new.status, new.finalized_at, new.finalized_by) is distinct from (old.status, old.finalized_at, old.finalized_by)
    or old.reopened_at is not null and (new.reopened_at, new.reopened_by, new.reopen_reason) is distinct from (old.reopened_at, old.reopened_by, old.reopen_reason)
  then
    perform app.refuse(409, 'settlement_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_settlements__200_unchanged() is
  'PT409 settlement_final for every role: a revision is finalized at most once and reopened at most once, and nothing else in it ever changes.';

create or replace trigger _200_unchanged before update on app.settlements
  for each row execute function app_private.tg_settlements__200_unchanged();

create or replace function app_private.has_unsettled_deal(organization uuid, show uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return exists (select from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null
    and not exists (select from app.settlements x where x.organization_id = d.organization_id and x.show_id = d.show_id
      and x.deal_id is not distinct from case when d.act is not null then d.id end
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null));
end
$$;
comment on function app_private.has_unsettled_deal(uuid, uuid) is 'Whether a deal of a show has no settlement in force.';
alter function app_private.has_unsettled_deal(uuid, uuid) owner to callboard_definer;

-- A show with deals becomes settled only through final settlements of all, not by setting its status; and it stays played
-- while one is final.
create or replace function app_private.tg_shows__400_settlement() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if new.status <> 'settled' then
    if exists (select from app.settlements x where x.organization_id = new.organization_id and x.show_id = new.id
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null)
    then
      perform app.refuse(409, 'show_status_transition', 'A settlement of the show is final: reopen it first.');
    end if;
  elsif app_private.has_unsettled_deal(new.organization_id, new.id) then
    perform app.refuse(409, 'settlement_not_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__400_settlement() is 'PT409 settlement_not_final when a show would become settled while a deal of it has no final settlement, PT409 show_status_transition when one that is played or cancelled would become anything else although one has.';
alter function app_private.tg_shows__400_settlement() owner to callboard_definer;

create or replace trigger _400_settlement before update on app.shows
  for each row when (new.status <> old.status and (new.status = 'settled' or old.status in ('played', 'cancelled'))) execute function app_private.tg_shows__400_settlement();
