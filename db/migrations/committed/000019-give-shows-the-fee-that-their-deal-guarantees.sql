--! Previous: sha1:7cc78fa0e6af9cb625440d3b38fe166d8d615e3b
--! Hash: sha1:32868218bc7fea1be6618399d4ee125ddb094cc8
--! Message: Give shows the fee that their deal guarantees

-- Included shows/show_fees.sql
-- Fees: what the artist of a show is paid. Apart from app.shows, because more members may see shows than money: here
-- the row-level security of fees is that of finance, and whoever may not read it has no row to join.

create table if not exists app.show_fees (
  organization_id uuid not null default app.current_org(),
  show_id uuid not null,
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  fee_minor bigint constraint shows_fee_range check (fee_minor between 0 and 9007199254740991),
  currency char(3) constraint shows_currency_format check (currency ~ '^[A-Z]{3}$')
    constraint shows_currency_exists references app.currencies (code),
  show_json text not null generated always as (
    ',"fee_minor":' || coalesce(fee_minor::text, 'null') || ',"currency":' || coalesce('"' || currency || '"', 'null')) stored,
  -- With the JSON, so that a list of shows reads only this index.
  primary key (organization_id, show_id) include (show_json),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint shows_fee_with_currency check ((fee_minor is null) = (currency is null))
);
-- A fee has neither marks of deletion nor a version: a deleted show keeps it, a purged one takes it along, and the
-- version is the show's. The definer, as which shows are restored and imported, sees no more than the member.
select app_private.force_rls('app.show_fees');
select app_private.member_policy('app.show_fees', 'select', 'finance.read', 'callboard_api, callboard_definer, callboard_exporter');
select app_private.member_policy('app.show_fees', 'insert', 'finance.write', 'callboard_api, callboard_definer');
-- Nobody overwrites what they do not see.
select app_private.member_policy('app.show_fees', 'update', 'finance.write', 'callboard_api, callboard_definer',
  besides => 'organization_id = (select app.org_if(''finance.read''))');
select app_private.hide_statistics('app.show_fees');
grant select on app.show_fees to callboard_api, callboard_definer, callboard_exporter;
grant insert (show_id, fee_minor, currency), update (fee_minor, currency) on app.show_fees to callboard_api;
grant insert (organization_id, show_id, fee_minor, currency), update (fee_minor, currency) on app.show_fees to callboard_definer;
select app_private.log_changes('app.show_fees', 'show_fee', id_column => 'show_id');
comment on table app.show_fees is 'The artist''s fee of each show that has, or had, one.';
comment on column app.show_fees.show_json is 'The fields of a show that are its fee, as app.show_rows adds them.';
comment on column app.show_fees.fee_minor is 'The artist''s fee, in the smallest unit of the currency; NULL once it has been removed.';
create or replace function app.write_show_fee(show uuid, body jsonb, replaces boolean) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  f app.show_fees;
  has_fee boolean := coalesce(body ->> 'fee_minor', body ->> 'currency') is not null;
begin
  -- Reading, too: nobody changes what they do not see.
  if not (app.has_permission('finance.read') and app.has_permission('finance.write')) then
    -- They were shown none, and so sent none.
    if replaces and not has_fee then
      return;
    end if;
    perform app.require('finance.write');
    perform app.require('finance.read');
  end if;
  select * into f from app.show_fees x where x.organization_id = (select app.current_org()) and x.show_id = show;
  -- Where it is that of the deal, whoever replaces a show need not name it.
  if not has_fee and (f.show_id is null or replaces and app.has_deal(show)) then
    return;
  end if;
  f := jsonb_populate_record(case when replaces then null::app.show_fees else f end, body);
  insert into app.show_fees as x (show_id, fee_minor, currency) values (show, f.fee_minor, f.currency)
  on conflict (organization_id, show_id) do update set fee_minor = excluded.fee_minor, currency = excluded.currency
    where (x.fee_minor, x.currency) is distinct from (excluded.fee_minor, excluded.currency);
end
$$;
comment on function app.write_show_fee(uuid, jsonb, boolean) is
  'The part of app.write_show that is about the fee. PT403 without finance.read and finance.write, unless the show is replaced without naming a fee: then it stays.';
grant execute on function app.write_show_fee(uuid, jsonb, boolean) to callboard_api;
-- EndIncluded shows/show_fees.sql
-- Included settlements/deal_fees.sql
-- Where a show has a deal, its fee is what that guarantees: one number, which the deal gives.

create or replace function app_private.match_fee(organization uuid, show uuid) returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
  deal app.deals;
begin
  select * into deal from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null;
  if deal.id is null then
    return false;
  end if;
  -- A door deal guarantees nothing: then there is no fee, nor a row for one, unless there was.
  if deal.guarantee_minor is null then
    update app.show_fees f set fee_minor = null, currency = null
    where f.organization_id = organization and f.show_id = show and f.fee_minor is not null;
  else
    insert into app.show_fees as f (organization_id, show_id, fee_minor, currency) values (organization, show, deal.guarantee_minor, deal.currency)
    on conflict (organization_id, show_id) do update set fee_minor = excluded.fee_minor, currency = excluded.currency
      where (f.fee_minor, f.currency) is distinct from (excluded.fee_minor, excluded.currency);
  end if;
  if not found then
    return false;
  end if;
  -- The version of a fee is that of its show.
  update app.shows s set tickets_sold = s.tickets_sold where s.organization_id = organization and s.id = show and s.deleted_at is null;
  return true;
end
$$;
comment on function app_private.match_fee(uuid, uuid) is 'Gives a show the guarantee of its deal, if it has one, as its fee; returns whether that was another.';
alter function app_private.match_fee(uuid, uuid) owner to callboard_definer;
create or replace function app_private.tg_deals__100_show() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Before the weaker lock that all parts take, because the show is changed at the end.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for no key update;
  return new;
end
$$;
comment on function app_private.tg_deals__100_show() is 'Locks the show, so that its fee and its deal are changed one after the other.';
alter function app_private.tg_deals__100_show() owner to callboard_definer;
create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at on app.deals
  for each row execute function app_private.tg_deals__100_show();
create or replace function app_private.tg_deals__400_fee() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.match_fee(new.organization_id, new.show_id);
  return null;
end
$$;
comment on function app_private.tg_deals__400_fee() is 'Keeps the fee of a show equal to what its deal guarantees.';
alter function app_private.tg_deals__400_fee() owner to callboard_definer;
create or replace trigger _400_fee_insert after insert on app.deals
  for each row execute function app_private.tg_deals__400_fee();
create or replace trigger _400_fee after update on app.deals
  for each row when ((new.guarantee_minor, new.currency, new.deleted_at) is distinct from (old.guarantee_minor, old.currency, old.deleted_at))
  execute function app_private.tg_deals__400_fee();
create or replace function app.has_deal(show uuid) returns boolean
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return exists (select from app.deals d where d.organization_id = app.org_if('finance.write') and d.show_id = show and d.deleted_at is null);
end
$$;
comment on function app.has_deal(uuid) is 'Whether a show has a deal, which whoever may write money learns: its fee is that of the deal.';
alter function app.has_deal(uuid) owner to callboard_definer;
grant execute on function app.has_deal(uuid) to callboard_api, callboard_definer;
create or replace function app_private.tg_show_fees__200_fee() returns trigger
language plpgsql volatile
set search_path = ''
as $$
begin
  -- An INSERT may be one that will find the row there, as it is.
  if current_user <> 'callboard_definer' and app.has_deal(new.show_id) and not exists (select from app.show_fees f
      where f.organization_id = new.organization_id and f.show_id = new.show_id and (f.fee_minor, f.currency) is not distinct from (new.fee_minor, new.currency)) then
    perform app.refuse(409, 'show_fee_by_deal');
  end if;
  return new;
end
$$;
comment on function app_private.tg_show_fees__200_fee() is 'PT409 show_fee_by_deal for another fee than the guarantee of the show''s deal.';
create or replace trigger _200_fee_insert before insert on app.show_fees
  for each row execute function app_private.tg_show_fees__200_fee();
create or replace trigger _200_fee before update on app.show_fees
  for each row when ((new.fee_minor, new.currency) is distinct from (old.fee_minor, old.currency))
  execute function app_private.tg_show_fees__200_fee();
-- EndIncluded settlements/deal_fees.sql
-- Included settlements/settlement_books.sql
create or replace function app.reconcile_shows(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
as $$
declare
  began constant timestamptz := clock_timestamp();
  organization uuid := coalesce((behind ->> 'organization')::uuid, app_private.nobody());
  x record;
  s app.settlements;
  because text;
  reasons jsonb := '[]';
  matched integer := 0;
  booked integer := 0;
  left_alone integer := 0;
  failed integer := 0;
begin
  loop
    organization := (select o.id from app.organizations o where o.id > organization and o.deleted_at is null order by o.id limit 1);
    exit when organization is null;
    -- With what a member needs for the two, because fees are kept from everybody else, the definer included.
    perform app_private.set_context(null, null, organization, null, 'finance.read finance.write');
    for x in
      select n.id from app.shows n
      join (select t.show_id, sum(t.sold) as sold, sum(t.allotment) as allotment from app.ticket_tiers t
        where t.organization_id = organization and t.deleted_at is null group by 1) t on t.show_id = n.id
      where n.organization_id = organization and n.deleted_at is null and (n.tickets_sold, n.capacity) is distinct from (t.sold, t.allotment)
      order by n.id limit 1000
    loop
      begin
        matched := matched + app_private.match_tickets(organization, x.id)::integer;
      exception when others then
        failed := failed + 1;
        reasons := reasons || jsonb_build_object('organization_id', organization, 'show_id', x.id, 'failed_with', sqlerrm);
      end;
    end loop;
    for x in
      select d.show_id from app.deals d
      join app.shows n on n.organization_id = d.organization_id and n.id = d.show_id and n.deleted_at is null
      left join app.show_fees f on f.organization_id = d.organization_id and f.show_id = d.show_id
      where d.organization_id = organization and d.deleted_at is null
        and (f.fee_minor, f.currency) is distinct from (d.guarantee_minor, case when d.guarantee_minor is not null then d.currency end)
      order by d.show_id limit 1000
    loop
      begin
        perform from app.shows n where n.organization_id = organization and n.id = x.show_id for no key update;
        matched := matched + app_private.match_fee(organization, x.show_id)::integer;
      exception when others then
        failed := failed + 1;
        reasons := reasons || jsonb_build_object('organization_id', organization, 'show_id', x.show_id, 'failed_with', sqlerrm);
      end;
    end loop;
    -- Final ones of before they were booked: where somebody has entered the money, or it takes an exchange rate, they are left alone.
    for s in
      select y.* from app.settlements y
      where y.organization_id = organization and y.status = 'final' and y.reopened_at is null and y.deleted_at is null and y.booked_at is null and y.not_booked_because is null
      order by y.id limit 200
    loop
      begin
        perform from app.shows n where n.organization_id = organization and n.id = s.show_id for no key update;
        select * into s from app.settlements y where y.organization_id = organization and y.id = s.id;
        continue when s.reopened_at is not null or s.booked_at is not null;
        because := app_private.enter_settlement(s, null, null, false);
        update app.settlements y set booked_at = case when because is null then statement_timestamp() end, not_booked_because = because
        where y.organization_id = organization and y.id = s.id;
        booked := booked + (because is null)::integer;
        left_alone := left_alone + (because is not null)::integer;
      exception when others then
        failed := failed + 1;
        reasons := reasons || jsonb_build_object('organization_id', organization, 'settlement_id', s.id, 'failed_with', sqlerrm);
      end;
    end loop;
    if clock_timestamp() > began + interval '1 second' then
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('matched', matched, 'booked', booked, 'left_alone', left_alone, 'failed', failed, 'because', reasons,
    'next', case when organization is not null then jsonb_build_object('organization', organization) end);
end
$$;
comment on function app.reconcile_shows(jsonb) is
  'Gives shows the tickets of their tiers and the fee of their deal, and books final settlements, where an earlier release did not: of some organizations. Returns how many of each, how many settlements it left alone, and how many failed, and why. To continue, call it again with next, until that is null.';
alter function app.reconcile_shows(jsonb) owner to callboard_definer;
grant execute on function app.reconcile_shows(jsonb) to callboard_worker;
-- EndIncluded settlements/settlement_books.sql
-- Lock: access exclusive on app.show_fees: select app_private.member_policy('app.show_fees', 'update', 'finance.write', 'callboard_api, callboa
-- Lock: share row exclusive on app.deals: create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at
-- Lock: share row exclusive on app.show_fees: create or replace trigger _200_fee_insert before insert on app.show_fees for each row execute functi
