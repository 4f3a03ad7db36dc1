-- Bonuses: what the artist is paid on top, by how many tickets are sold. In the currency of the show's deal.

create table if not exists app.deal_bonuses (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deal_bonuses_kind_known check (kind in ('tickets', 'sell_out', 'per_ticket')),
  amount_minor bigint not null constraint deal_bonuses_amount_range check (app.is_money(amount_minor)),
  threshold integer constraint deal_bonuses_threshold_positive check (threshold >= 0),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  deal_id uuid,
  deleted_in char(3),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deal_bonuses_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint deal_bonuses_threshold_by_kind check ((kind = 'sell_out') = (threshold is null))
);
create index if not exists deal_bonuses_organization_id_deal_id_idx on app.deal_bonuses (organization_id, deal_id) where deal_id is not null;
create index if not exists deal_bonuses_organization_id_show_id_idx on app.deal_bonuses (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.deal_bonus_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.amount_minor, x.threshold,
    x.created_by, x.created_at, x.updated_at,
    x.deal_id
  from app.deal_bonuses x;

select app_private.tenant_table('deal_bonuses', noun => 'deal_bonus', permission => 'finance', path => '/api/bonuses',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, amount_minor, threshold, deal_id), update (kind, amount_minor, threshold, deal_id) on app.deal_bonuses to callboard_api;

comment on table app.deal_bonuses is 'What artists are paid on top of a deal, by how many tickets are sold.';
comment on column app.deal_bonuses.deleted_in is 'The currency of the show''s deal when it was deleted, in which alone it is restored; NULL: it had none, or was deleted by 0.3.0 or before.';
comment on column app.deal_bonuses.deal_id is 'The deal of the same show that it belongs to; NULL: the main deal.';
comment on column app.deal_bonuses.kind is 'tickets: the amount, once, from that many tickets sold; sell_out: once, if tickets sold and complimentary ones fill every allotment; per_ticket: the amount for each ticket sold above the threshold.';

create or replace trigger _200_unsettled before insert or update of kind, amount_minor, threshold, deal_id on app.deal_bonuses
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _250_deal before insert or update of deal_id on app.deal_bonuses
  for each row when (new.deal_id is not null) execute function app_private.tg__250_deal();
create or replace trigger _400_finals after insert or update of kind, amount_minor, threshold, deal_id on app.deal_bonuses
  for each row execute function app_private.tg__400_finals();
create or replace trigger _350_denomination before update of deleted_at on app.deal_bonuses
  for each row when ((new.deleted_at is null) <> (old.deleted_at is null)) execute function app_private.tg__350_denomination();
