-- Costs of a show: what the promoter pays for it. In the currency of the show's deal.

create table if not exists app.show_costs (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint show_costs_name_length check (app.is_line(name, 200)),
  kind text not null constraint show_costs_kind_known check (kind in ('fixed', 'per_ticket', 'per_head', 'percent_of_gross', 'percent_of_net_receipts')),
  amount_minor bigint not null constraint show_costs_amount_range check (app.is_money(amount_minor)),
  is_estimate boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  percentage numeric constraint show_costs_valid_percentage check (app.is_percentage(percentage)),
  cap_minor bigint constraint show_costs_cap_range check (app.is_money(cap_minor)),
  budget_minor bigint constraint show_costs_budget_range check (app.is_money(budget_minor)),
  is_internal boolean not null default false,
  deleted_in char(3),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint show_costs_percentage_by_kind check ((kind in ('percent_of_gross', 'percent_of_net_receipts')) = (percentage is not null)),
  constraint show_costs_cap_above_least check (cap_minor >= amount_minor or kind not in ('percent_of_gross', 'percent_of_net_receipts'))
);
create index if not exists show_costs_organization_id_show_id_idx on app.show_costs (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.show_cost_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.kind, x.amount_minor, x.is_estimate,
    x.created_by, x.created_at, x.updated_at,
    trim_scale(x.percentage) as percentage, x.cap_minor, x.budget_minor, x.is_internal
  from app.show_costs x;

select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, kind, amount_minor, is_estimate, percentage, cap_minor, budget_minor, is_internal),
  update (name, kind, amount_minor, is_estimate, percentage, cap_minor, budget_minor, is_internal) on app.show_costs to callboard_api;

comment on table app.show_costs is 'What the promoter pays for a show.';
comment on column app.show_costs.deleted_in is 'The currency of the show''s deal when it was deleted, in which alone it is restored; NULL: it had none, or was deleted by 0.3.0 or before.';
comment on column app.show_costs.kind is 'fixed: the amount, once; per_ticket: the amount for each ticket sold; per_head: for each ticket sold and each complimentary; percent_of_gross, percent_of_net_receipts: the percentage of them, and at least the amount.';
comment on column app.show_costs.percentage is 'Of the gross or of the net receipts, in percent, with up to six decimals.';
comment on column app.show_costs.cap_minor is 'The most that it costs.';
comment on column app.show_costs.budget_minor is 'What it was expected to cost: shown beside what it costs, and in no computation.';
comment on column app.show_costs.is_internal is 'Whether it is the promoter''s own: not on the sheet and not in the split, but in the books and in what the promoter is left with.';
comment on column app.show_costs.is_estimate is 'Whether the invoice has yet to arrive: a settlement with an estimate cannot be final.';

create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, is_estimate, percentage, cap_minor, budget_minor, is_internal on app.show_costs
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _400_finals after insert or update of name, kind, amount_minor, is_estimate, percentage, cap_minor, budget_minor, is_internal on app.show_costs
  for each row execute function app_private.tg__400_finals();
create or replace trigger _350_denomination before update of deleted_at on app.show_costs
  for each row when ((new.deleted_at is null) <> (old.deleted_at is null)) execute function app_private.tg__350_denomination();
