--! Previous: sha1:c12766494f6b00873222f0c2e5979b97b746d2aa
--! Hash: sha1:750d917dd00a569d68a3c3ddc36fcde5d36245e6
--! Message: Restore amounts only in the currency they were deleted in

-- Enter migration here

alter table app.ticket_tiers add column if not exists deleted_in char(3);
alter table app.show_costs add column if not exists deleted_in char(3);
alter table app.deposits add column if not exists deleted_in char(3);
alter table app.deal_bonuses add column if not exists deleted_in char(3);
alter table app.deal_adjustments add column if not exists deleted_in char(3);
-- Included settlements/show_parts.sql
create or replace function app_private.tg__350_denomination() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  present text;
begin
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for share;
  -- All deals of a show have one currency; without one, that of the last is still that of its amounts.
  select d.currency into present from app.deals d
  where d.organization_id = new.organization_id and d.show_id = new.show_id
  order by d.deleted_at desc nulls first limit 1;
  if new.deleted_at is not null then
    new.deleted_in := present;
  elsif new.deleted_in <> present then
    perform app.refuse(409, 'deals_currency_in_use', format('It was deleted in %s, and the deal of the show is in %s now.', new.deleted_in, present));
  end if;
  return new;
end
$$;
comment on function app_private.tg__350_denomination() is
  'Remembers the currency in which a part of a show is deleted: PT409 deals_currency_in_use if it were restored in another one, in which its numbers would be other amounts.';
alter function app_private.tg__350_denomination() owner to callboard_definer;
-- EndIncluded settlements/show_parts.sql
-- Included settlements/ticket_tiers.sql
-- Ticket tiers: a show's kinds of tickets, their price, and how many were sold. In the currency of the show's deal.

create table if not exists app.ticket_tiers (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint ticket_tiers_name_length check (app.is_line(name, 200)),
  price_minor bigint not null constraint ticket_tiers_price_range check (app.is_money(price_minor)),
  facility_fee_minor bigint not null default 0 constraint ticket_tiers_facility_fee_range check (app.is_money(facility_fee_minor)),
  allotment integer not null constraint ticket_tiers_allotment_positive check (allotment > 0),
  sold integer not null default 0 constraint ticket_tiers_sold_positive check (sold >= 0),
  comps integer not null default 0 constraint ticket_tiers_comps_positive check (comps >= 0),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  excluded_minor bigint not null default 0 constraint ticket_tiers_excluded_range check (app.is_money(excluded_minor)),
  deleted_in char(3),
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint ticket_tiers_fee_within_price check (facility_fee_minor + excluded_minor <= price_minor),
  constraint ticket_tiers_within_allotment check (sold::bigint + comps <= allotment)
);
select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor),
  update (name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor) on app.ticket_tiers to callboard_api;
comment on table app.ticket_tiers is 'A show''s kinds of tickets and how many of each were sold.';
comment on column app.ticket_tiers.deleted_in is 'The currency of the show''s deal when it was deleted, in which alone it is restored; NULL: it had none, or was deleted by 0.3.0 or before.';
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before the rest is shared.';
comment on column app.ticket_tiers.excluded_minor is 'What of the price of each ticket sold is not shared, such as a package: the promoter''s.';
comment on column app.ticket_tiers.comps is 'Tickets given away: they take a place but neither earn nor cost anything.';
create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor on app.ticket_tiers
  for each row execute function app_private.tg__200_unsettled();
create or replace trigger _400_finals after insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps, excluded_minor on app.ticket_tiers
  for each row execute function app_private.tg__400_finals();
create or replace trigger _100_show before insert or update of sold, allotment, deleted_at on app.ticket_tiers
  for each row execute function app_private.tg__100_show();
create or replace trigger _400_tickets_insert after insert on app.ticket_tiers
  for each row execute function app_private.tg_ticket_tiers__400_tickets();
create or replace trigger _400_tickets after update on app.ticket_tiers
  for each row when ((new.sold, new.allotment, new.deleted_at) is distinct from (old.sold, old.allotment, old.deleted_at))
  execute function app_private.tg_ticket_tiers__400_tickets();
create or replace trigger _350_denomination before update of deleted_at on app.ticket_tiers
  for each row when ((new.deleted_at is null) <> (old.deleted_at is null)) execute function app_private.tg__350_denomination();
-- EndIncluded settlements/ticket_tiers.sql
-- Included settlements/show_costs.sql
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
-- EndIncluded settlements/show_costs.sql
-- Included settlements/deposits.sql
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
-- EndIncluded settlements/deposits.sql
-- Included settlements/deal_bonuses.sql
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
-- EndIncluded settlements/deal_bonuses.sql
-- Included settlements/deal_adjustments.sql
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
-- EndIncluded settlements/deal_adjustments.sql
-- Included settlements/deal_parts.sql
grant update (deal_id) on app.deposits, app.deal_bonuses, app.deal_adjustments to callboard_definer;
-- EndIncluded settlements/deal_parts.sql
-- Included imports/import_cells.sql
-- The cells of an import: numbers, dates, times and ids as people and programs write them.
-- The small functions have a standard SQL body and no settings of their own, so that they are inlined: they
-- are called dozens of times per line.

create or replace function app_private.csv_written_number(value text, decimal_is text) returns numeric
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  -- Blanks of all widths, apostrophes as in Switzerland, and a minus as typesetters have it.
  plain constant text := translate(btrim(value), E' \u00a0\u2007\u2008\u2009\u202f''\u2019\u2212', '________-');
  part constant text[] := regexp_match(plain,
    '^(\()?_*([+-])?_*(?:[A-Z]{3}|(?:US|CA|C|AU|A|NZ|HK|S|R)?[$]|€|£|¥|₹|₩|zł|Fr\.|kr\.?)?_*([+-])?_*([0-9](?:[0-9._,]*[0-9])?)_*(?:[A-Z]{3}|(?:US|CA|C|AU|A|NZ|HK|S|R)?[$]|€|£|¥|₹|₩|zł|Fr\.|kr\.?)?_*([+-])?_*(\))?$');
  -- Accountants set what is negative in brackets.
  is_in_brackets constant boolean := part[1] is not null and part[6] is not null;
  sign constant text := concat(part[2], part[3], part[5]);
  digits constant text := part[4];
begin
  if digits is null or (part[1] is null) <> (part[6] is null) or length(sign) > 1 or is_in_brackets and sign <> ''
    or digits like '%\_%' and digits !~ '^[0-9]{1,3}(_[0-9]{3})+([.,][0-9]{1,10})?$'
  then
    return null;
  end if;
  return app_private.csv_number(case when is_in_brackets then '-' else sign end || replace(digits, '_', ''), decimal_is);
end
$$;
comment on function app_private.csv_written_number(text, text) is
  'Parses a number as people write it: with a currency on either side, with blanks or apostrophes between thousands, in brackets or with the minus at its end if it is negative; NULL if it is not a number.';
alter function app_private.csv_written_number(text, text) owner to callboard_definer;
create or replace function app_private.csv_number(value text, decimal_is text) returns numeric
language sql immutable parallel safe
return case
  -- A group has exactly three digits: 1,5 is not fifteen.
  when decimal_is = 'comma' and value ~ '^[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]{1,18})(,[0-9]{1,10})?$' then replace(replace(value, '.', ''), ',', '.')::numeric
  when decimal_is = 'point' and value ~ '^[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]{1,18})(\.[0-9]{1,10})?$' then replace(value, ',', '')::numeric
  -- Few are, and this is slower.
  when value ~ '[^0-9.,+-]|[0-9]-$' then app_private.csv_written_number(value, decimal_is)
end;
comment on function app_private.csv_number(text, text) is 'Parses a number with comma or point as the decimal separator and the other one between thousands, or as app_private.csv_written_number does; NULL if it is not a number.';
alter function app_private.csv_number(text, text) owner to callboard_definer;
create or replace function app_private.names_other_currency(value text, currency text) returns boolean
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  mark constant text := (regexp_match(value, '[A-Z]{3}|[A-Z]{0,2}[$]|€|£|¥|₹|₩|zł|Fr\.|kr'))[1];
begin
  return case
    when mark ~ '^[A-Z]{3}$' then mark <> currency
    when mark = chr(36) then currency !~ '^(USD|CAD|AUD|NZD|HKD|SGD|TWD|MXN|ARS|CLP|COP|BBD|BMD|BSD|BZD|FJD|GYD|JMD|KYD|LRD|NAD|SBD|SRD|TTD|XCD)$'
    when right(mark, 1) = chr(36) then currency <> case left(mark, -1) when 'US' then 'USD' when 'C' then 'CAD' when 'CA' then 'CAD' when 'A' then 'AUD' when 'AU' then 'AUD'
      when 'NZ' then 'NZD' when 'HK' then 'HKD' when 'S' then 'SGD' when 'R' then 'BRL' else '' end
    when mark = '£' then currency !~ '^(GBP|GIP|FKP|SHP|EGP|LBP|SYP|SDG|SSP)$'
    when mark = '¥' then currency not in ('JPY', 'CNY')
    when mark = 'kr' then currency not in ('SEK', 'NOK', 'DKK', 'ISK')
    when mark = 'Fr.' then currency !~ '^(CHF|XAF|XOF|XPF)$'
    else currency <> case mark when '€' then 'EUR' when '₹' then 'INR' when '₩' then 'KRW' when 'zł' then 'PLN' end
  end is true;
end
$$;
comment on function app_private.names_other_currency(text, text) is 'Whether an amount is written with the sign or the code of another currency.';
alter function app_private.names_other_currency(text, text) owner to callboard_definer;
create or replace function app_private.csv_month(value text) returns integer
language sql immutable parallel safe
set search_path = ''
begin atomic
  select x.n::integer from unnest('{january,february,march,april,may,june,july,august,september,october,november,december}'::text[]) with ordinality as x (month, n)
  where length(value) >= 3 and starts_with(x.month, lower(value));
end;
comment on function app_private.csv_month(text) is 'Which month has this English name, or one that begins with it; NULL for none. Of other languages, some begin alike and mean another one.';
alter function app_private.csv_month(text) owner to callboard_definer;
create or replace function app_private.csv_date(value text, order_is text) returns date
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  -- 23:00 elsewhere may be another day here: then it is bad.
  day_only constant text := case when strpos(value, ':') > 0 then regexp_replace(value, '[T ]+([0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?[AaPp][Mm])?|0?0:00(:00([.,]0+)?)?(Z|[+-][0-9]{2}:?[0-9]{2}))$', '') else value end;
  part text[];
  y integer;
  m integer;
  d integer;
  found date;
begin
  -- Most are like this, and a reference back to a sign is slow.
  if day_only ~ '^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}$' then
    part := string_to_array(day_only, '-');
    y := part[1]; m := part[2]; d := part[3];
  elsif day_only ~ '^[0-9]{4}([/.])[0-9]{1,2}\1[0-9]{1,2}$' then
    part := regexp_split_to_array(day_only, '[/.]');
    y := part[1]; m := part[2]; d := part[3];
  elsif day_only ~ '^[0-9]{8}$' then
    y := left(day_only, 4); m := substr(day_only, 5, 2); d := right(day_only, 2);
  elsif day_only ~ '^[0-9]{1,2}\. ?[0-9]{1,2}\. ?[0-9]{4}$' then
    part := string_to_array(day_only, '.');
    y := part[3]; m := part[2]; d := part[1];
    -- Where months come first, they may here, too.
    if order_is = 'mdy' and d <= 12 and d <> m then
      return null;
    end if;
  elsif day_only ~ '^[0-9]{1,2}([/-])[0-9]{1,2}\1[0-9]{4}$' and order_is in ('dmy', 'mdy') then
    part := regexp_split_to_array(day_only, '[/-]');
    y := part[3];
    m := part[case order_is when 'dmy' then 2 else 1 end]; d := part[case order_is when 'dmy' then 1 else 2 end];
  elsif day_only ~* '^[0-9]{1,2}(st|nd|rd|th)?[ -]+[a-z]{3,9}\.?[ ,-]+[0-9]{4}$' then
    part := regexp_match(day_only, '^([0-9]+)[a-z]*[ -]+([a-z]+)\.?[ ,-]+([0-9]{4})$', 'i');
    d := part[1]; y := part[3];
    m := app_private.csv_month(part[2]);
  elsif day_only ~* '^[a-z]{3,9}\.? +[0-9]{1,2}(st|nd|rd|th)?,? +[0-9]{4}$' then
    part := regexp_match(day_only, '^([a-z]+)\.? +([0-9]+)[a-z]*,? +([0-9]{4})$', 'i');
    d := part[2]; y := part[3];
    m := app_private.csv_month(part[1]);
  end if;
  if y is null or m is null or y not between 1 and 9999 or m not between 1 and 12 or d not between 1 and 31 then
    return null;
  end if;
  found := make_date(y, m, 1) + (d - 1);
  return case when extract(month from found) = m then found end;
end
$$;
comment on function app_private.csv_date(text, text) is
  'Parses a date, also one with a time behind it: 2027-03-14, 20270314, 14.3.2027, 14 March 2027, March 14, 2027, or with slashes or dashes in the order dmy or mdy; NULL if it is not a date.';
alter function app_private.csv_date(text, text) owner to callboard_definer;
create or replace function app_private.csv_time(value text) returns time
language sql stable parallel safe
return case when value ~ '^([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' then value::time(0) end;
comment on function app_private.csv_time(text) is 'Parses a time of day such as 19:30; NULL if it is not one.';
alter function app_private.csv_time(text) owner to callboard_definer;
create or replace function app_private.csv_uuid(value text) returns uuid
language sql immutable parallel safe
return case when value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then value::uuid end;
comment on function app_private.csv_uuid(text) is 'Parses a UUID; NULL if it is not one.';
alter function app_private.csv_uuid(text) owner to callboard_definer;
-- EndIncluded imports/import_cells.sql
-- Lock: access exclusive on app.ticket_tiers: alter table app.ticket_tiers add column if not exists deleted_in char(3)
-- Lock: access exclusive on app.show_costs: alter table app.show_costs add column if not exists deleted_in char(3)
-- Lock: access exclusive on app.deposits: alter table app.deposits add column if not exists deleted_in char(3)
-- Lock: access exclusive on app.deal_bonuses: alter table app.deal_bonuses add column if not exists deleted_in char(3)
-- Lock: access exclusive on app.deal_adjustments: alter table app.deal_adjustments add column if not exists deleted_in char(3)
-- Lock: share row exclusive on app.ticket_tiers: create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_
-- Lock: share row exclusive on app.show_costs: create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, is_est
-- Lock: share row exclusive on app.deposits: create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note, due
-- Lock: share row exclusive on app.deal_bonuses: create or replace trigger _200_unsettled before insert or update of kind, amount_minor, threshold, d
-- Lock: share row exclusive on app.deal_adjustments: create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, stage,
