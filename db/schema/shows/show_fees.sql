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
  before jsonb;
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
  before := case when not replaces then to_jsonb(f) end;
  f := jsonb_populate_record(case when replaces then null::app.show_fees else f end, body);
  insert into app.show_fees as x (show_id, fee_minor, currency) values (show, f.fee_minor, f.currency)
  on conflict (organization_id, show_id) do update set fee_minor = excluded.fee_minor, currency = excluded.currency
    where (x.fee_minor, x.currency) is distinct from (excluded.fee_minor, excluded.currency);
  perform app.keep_denomination('app.show_fees', before, body ->> 'currency', body);
end
$$;
comment on function app.write_show_fee(uuid, jsonb, boolean) is
  'The part of app.write_show that is about the fee. PT403 without finance.read and finance.write, unless the show is replaced without naming a fee: then it stays. PT422 currency_needs_amounts for another currency without the fee in it.';
grant execute on function app.write_show_fee(uuid, jsonb, boolean) to callboard_api;
