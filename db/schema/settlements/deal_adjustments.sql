-- Adjustments: what is added to or taken off a settlement before or after the split. In the currency of the show's deal.

create table if not exists app.deal_adjustments (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint deal_adjustments_name_length check (app.is_line(name, 200)),
  kind text not null constraint deal_adjustments_kind_known check (kind in ('reimbursement', 'buyout', 'credit', 'deduction', 'merchandise')),
  amount_minor bigint not null constraint deal_adjustments_amount_range check (app.is_money(amount_minor)),
  stage text not null constraint deal_adjustments_stage_known check (stage in ('before_split', 'after_split')),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  deal_id uuid,
  percentage numeric,
  tax_percentage numeric,
  sold_by text constraint deal_adjustments_sold_by_known check (sold_by in ('artist', 'hall')),
  deleted_in char(3),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deal_adjustments_deal_exists foreign key (organization_id, deal_id) references app.deals (organization_id, id) on delete cascade,
  constraint deal_adjustments_valid_percentages check (app.is_percentage(percentage) and app.is_percentage(tax_percentage)),
  constraint deal_adjustments_percentage_by_kind check ((kind = 'merchandise') = (percentage is not null) and (kind = 'merchandise') = (sold_by is not null)
    and (kind = 'merchandise' or tax_percentage is null)),
  constraint deal_adjustments_merchandise_after_split check (kind <> 'merchandise' or stage = 'after_split')
);
create index if not exists deal_adjustments_organization_id_deal_id_idx on app.deal_adjustments (organization_id, deal_id) where deal_id is not null;
create index if not exists deal_adjustments_organization_id_show_id_idx on app.deal_adjustments (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.deal_adjustment_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.kind, x.amount_minor, x.stage,
    x.created_by, x.created_at, x.updated_at,
    x.deal_id, trim_scale(x.percentage) as percentage, trim_scale(x.tax_percentage) as tax_percentage, x.sold_by
  from app.deal_adjustments x;

select app_private.tenant_table('deal_adjustments', noun => 'deal_adjustment', permission => 'finance', path => '/api/adjustments',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, kind, amount_minor, stage, deal_id, percentage, tax_percentage, sold_by), update (name, kind, amount_minor, stage, deal_id, percentage, tax_percentage, sold_by) on app.deal_adjustments to callboard_api;

comment on table app.deal_adjustments is 'What is added to or taken off a settlement before or after the split.';
comment on column app.deal_adjustments.deleted_in is 'The currency of the show''s deal when it was deleted, in which alone it is restored; NULL: it had none, or was deleted by 0.3.0 or before.';
comment on column app.deal_adjustments.deal_id is 'The deal of the same show that it belongs to; NULL: the main deal.';
comment on column app.deal_adjustments.kind is 'reimbursement, buyout, credit: added; deduction: taken off; merchandise: what the hall keeps of what was sold is taken off if the artist has sold it, and the rest is added if the hall has.';
comment on column app.deal_adjustments.amount_minor is 'The amount; of merchandise, what was taken in, with tax.';
comment on column app.deal_adjustments.percentage is 'Of merchandise: what the hall keeps of the sales without tax, in percent, with up to six decimals.';
comment on column app.deal_adjustments.tax_percentage is 'Of merchandise: the rate of the tax that is in the sales, in percent, with up to six decimals; NULL: none.';
comment on column app.deal_adjustments.sold_by is 'Of merchandise: who has sold it, has the money, and pays the tax: the artist or the hall.';
comment on column app.deal_adjustments.stage is 'before_split: a cost, or less of one, before the percentage; after_split: a line of its own in what the artist leaves with.';

create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, stage, deal_id, percentage, tax_percentage, sold_by on app.deal_adjustments
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _250_deal before insert or update of deal_id on app.deal_adjustments
  for each row when (new.deal_id is not null) execute function app_private.tg__250_deal();
create or replace trigger _400_finals after insert or update of name, kind, amount_minor, stage, deal_id, percentage, tax_percentage, sold_by on app.deal_adjustments
  for each row execute function app_private.tg__400_finals();
create or replace trigger _350_denomination before update of deleted_at on app.deal_adjustments
  for each row when ((new.deleted_at is null) <> (old.deleted_at is null)) execute function app_private.tg__350_denomination();
