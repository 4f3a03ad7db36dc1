-- Deposits: what the artist has been paid before the settlement, or is to be. In the currency of the show's deal.

create table if not exists app.deposits (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  paid_on date constraint deposits_paid_on_range check (app.is_day(paid_on)),
  amount_minor bigint not null constraint deposits_amount_range check (amount_minor > 0 and app.is_money(amount_minor)),
  note text constraint deposits_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  due_on date constraint deposits_due_on_range check (app.is_day(due_on)),
  deal_id uuid,
  deleted_in char(3),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deposits_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint deposits_paid_or_due check (paid_on is not null or due_on is not null)
);
create index if not exists deposits_organization_id_deal_id_idx on app.deposits (organization_id, deal_id) where deal_id is not null;
create index if not exists deposits_organization_id_show_id_idx on app.deposits (organization_id, show_id, paid_on, id) where deleted_at is null;

create or replace view app.deposit_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body, coalesce(x.paid_on, x.due_on) as day_on,
    x.id, x.show_id, x.due_on, x.paid_on, x.amount_minor, x.note,
    x.created_by, x.created_at, x.updated_at,
    x.deal_id
  from app.deposits x;

select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, paid_on, amount_minor, note, due_on, deal_id), update (paid_on, amount_minor, note, due_on, deal_id) on app.deposits to callboard_api;

comment on table app.deposits is 'What artists have been paid before the settlement of a show, or are to be.';
comment on column app.deposits.deleted_in is 'The currency of the show''s deal when it was deleted, in which alone it is restored; NULL: it had none, or was deleted by 0.3.0 or before.';
comment on column app.deposits.deal_id is 'The deal of the same show that it belongs to; NULL: the main deal.';
comment on column app.deposits.paid_on is 'NULL while it is open: then the settlement does not count it.';

create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note, due_on, deal_id on app.deposits
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _250_deal before insert or update of deal_id on app.deposits
  for each row when (new.deal_id is not null) execute function app_private.tg__250_deal();
create or replace trigger _400_finals after insert or update of paid_on, amount_minor, note, due_on, deal_id on app.deposits
  for each row execute function app_private.tg__400_finals();
create or replace trigger _350_denomination before update of deleted_at on app.deposits
  for each row when ((new.deleted_at is null) <> (old.deleted_at is null)) execute function app_private.tg__350_denomination();
