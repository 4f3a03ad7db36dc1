-- Deposits, bonuses and adjustments that name no deal belong to the main deal, and without one to the deal that was entered
-- first. Which they were meant for is written down before there could be another.

create or replace function app_private.tg_deals__350_parts() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  others boolean;
begin
  -- With its show or its organization everything is deleted, and restored, as it is.
  perform from app.shows s join app.organizations o on o.id = s.organization_id
  where s.organization_id = new.organization_id and s.id = new.show_id and s.deleted_at is null and o.deleted_at is null;
  if not found then
    return new;
  end if;
  if (old.act is null) <> (new.act is null) and exists (select from app.settlements x
      where x.organization_id = new.organization_id and x.show_id = new.show_id and (x.deal_id = new.id or x.deal_id is null) and x.deleted_at is null)
  then
    perform app.refuse(409, 'deals_act_settled');
  end if;
  others := exists (select from app.deals d where d.organization_id = new.organization_id and d.show_id = new.show_id and d.id <> new.id and d.deleted_at is null);
  if old.act is null and others then
    -- What names no deal was meant for this one, and stays with it.
    update app.deposits p set deal_id = new.id where p.organization_id = new.organization_id and p.show_id = new.show_id and p.deal_id is null;
    update app.deal_bonuses b set deal_id = new.id where b.organization_id = new.organization_id and b.show_id = new.show_id and b.deal_id is null;
    update app.deal_adjustments a set deal_id = new.id where a.organization_id = new.organization_id and a.show_id = new.show_id and a.deal_id is null;
  end if;
  return new;
end
$$;
comment on function app_private.tg_deals__350_parts() is
  'Before a deal becomes or ceases to be the main one, or a main deal is deleted beside others: deposits, bonuses and adjustments that name no deal are given it. PT409 deals_act_settled once a settlement has been recorded.';
alter function app_private.tg_deals__350_parts() owner to callboard_definer;
create or replace trigger _350_parts before update on app.deals
  for each row when ((new.act is null) <> (old.act is null) or old.deleted_at is null and new.deleted_at is not null)
  execute function app_private.tg_deals__350_parts();
grant update (deal_id) on app.deposits, app.deal_bonuses, app.deal_adjustments to callboard_definer;
