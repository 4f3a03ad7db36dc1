-- Where a show has deals, its fee is what they guarantee together: one number, which the deals give.

create or replace function app_private.match_fee(organization uuid, show uuid) returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
  deals record;
  is_other boolean;
begin
  -- All deals of a show have one currency. A sum that is too much for a fee stays too much, whatever its type.
  select count(*) as n, case when sum(d.guarantee_minor) is not null then least(sum(d.guarantee_minor), 9007199254740992) end as guaranteed,
    case when sum(d.guarantee_minor) is not null then min(d.currency) end as currency into deals
  from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null;
  if deals.n = 0 then
    return false;
  end if;
  -- A door deal guarantees nothing: if all do, there is no fee, but a row all the same, so that nobody can insert one.
  select (f.fee_minor, f.currency) is distinct from (deals.guaranteed, deals.currency) into is_other
  from app.show_fees f where f.organization_id = organization and f.show_id = show;
  insert into app.show_fees as f (organization_id, show_id, fee_minor, currency) values (organization, show, deals.guaranteed, deals.currency)
  on conflict (organization_id, show_id) do update set fee_minor = excluded.fee_minor, currency = excluded.currency
    where (f.fee_minor, f.currency) is distinct from (excluded.fee_minor, excluded.currency);
  if not coalesce(is_other, deals.guaranteed is not null) then
    return false;
  end if;
  -- The version of a fee is that of its show.
  update app.shows s set tickets_sold = s.tickets_sold where s.organization_id = organization and s.id = show and s.deleted_at is null;
  return true;
end
$$;
comment on function app_private.match_fee(uuid, uuid) is 'Gives a show the sum of the guarantees of its deals, if it has any, as its fee; returns whether that was another.';
alter function app_private.match_fee(uuid, uuid) owner to callboard_definer;

create or replace trigger _100_show before insert or update of guarantee_minor, currency, deleted_at on app.deals
  for each row execute function app_private.tg__100_show();

create or replace function app_private.tg_deals__400_fee() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Whoever sees no money may still restore a show, with the deal that it was deleted with: nobody has changed its fee meanwhile.
  if tg_op = 'UPDATE' and (new.guarantee_minor, new.currency) is not distinct from (old.guarantee_minor, old.currency)
    and not (app.has_permission('finance.read') and app.has_permission('finance.write'))
  then
    return null;
  end if;
  perform app_private.match_fee(new.organization_id, new.show_id);
  return null;
end
$$;
comment on function app_private.tg_deals__400_fee() is 'Keeps the fee of a show equal to what its deals guarantee.';
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
comment on function app.has_deal(uuid) is 'Whether a show has a deal, which whoever may write money learns: its fee is that of its deals.';
alter function app.has_deal(uuid) owner to callboard_definer;
grant execute on function app.has_deal(uuid) to callboard_api, callboard_definer;

create or replace function app_private.tg_show_fees__200_fee() returns trigger
language plpgsql volatile
set search_path = ''
as $$
begin
  if current_user <> 'callboard_definer' and app.has_deal(new.show_id) then
    perform app.refuse(409, 'show_fee_by_deal');
  end if;
  return new;
end
$$;
comment on function app_private.tg_show_fees__200_fee() is 'PT409 show_fee_by_deal for another fee than what the show''s deals guarantee.';
-- Not before INSERT: a show with a deal has a row, and creating a show need not ask.
create or replace trigger _200_fee before update on app.show_fees
  for each row when ((new.fee_minor, new.currency) is distinct from (old.fee_minor, old.currency))
  execute function app_private.tg_show_fees__200_fee();
