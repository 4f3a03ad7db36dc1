-- The parts of a show that its settlement is computed from: its deal, ticket tiers, costs and deposits,
-- each in a file of its own. They are frozen once the settlement is final; where a show has several deals, those of which
-- a final one was computed are, and all once every deal has a final one.

create or replace function app.require_show(show uuid) returns uuid
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  if not exists (select from app.shows s where s.organization_id = app.org_if('shows.read') and s.id = show and s.deleted_at is null) then
    perform app.refuse(404, 'not_found');
  end if;
  return show;
end
$$;
comment on function app.require_show(uuid) is 'The id of a show that the member may see. PT404.';
grant execute on function app.require_show(uuid) to callboard_api, callboard_definer;

create or replace function app_private.require_unsettled(organization uuid, show uuid, is_new boolean) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  present app.shows;
begin
  -- Finalizing and deleting change the show's row: they and this wait for each other.
  perform from app.shows s where s.organization_id = organization and s.id = show for share;
  select * into present from app.shows s where s.organization_id = organization and s.id = show;
  if present.id is null then
    perform app.refuse(404, 'not_found');
  elsif is_new and present.deleted_at is not null then
    perform app.refuse(409, 'parent_deleted', 'The show is deleted: restore that first.');
  elsif present.status = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
end
$$;
comment on function app_private.require_unsettled(uuid, uuid, boolean) is
  'PT404 if there is no such show, PT409 settlement_final if it is settled; for a new part, PT409 parent_deleted if it is deleted.';
alter function app_private.require_unsettled(uuid, uuid, boolean) owner to callboard_definer;

create or replace function app_private.tg__200_unsettled() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform app_private.require_unsettled(new.organization_id, new.show_id, tg_op = 'INSERT');
  return new;
end
$$;
comment on function app_private.tg__200_unsettled() is
  'Before a part of a show is entered or changed: see app_private.require_unsettled. Not for deletion marks, which come with those of the show.';
alter function app_private.tg__200_unsettled() owner to callboard_definer;

create or replace function app_private.tg__100_show() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Before the weaker lock that all parts take, because the show is changed at the end.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for no key update;
  return new;
end
$$;
comment on function app_private.tg__100_show() is 'Locks the show, so that those who change what it takes from its parts, its tickets and its fee, wait for each other.';
alter function app_private.tg__100_show() owner to callboard_definer;

create or replace function app_private.require_finals_unchanged(organization uuid, show uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if exists (
    select from app.settlements x
    left join app.deals d on d.organization_id = x.organization_id and d.show_id = x.show_id and d.deleted_at is null
      and (d.id = x.deal_id or x.deal_id is null and d.act is null)
    where x.organization_id = require_finals_unchanged.organization and x.show_id = require_finals_unchanged.show
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null
      and app.complete_inputs(x.inputs) is distinct from app.inputs_of(d))
  then
    perform app.refuse(409, 'settlement_final', 'A settlement of the show is final, and it was computed from this: reopen it first.');
  end if;
end
$$;
comment on function app_private.require_finals_unchanged(uuid, uuid) is
  'PT409 settlement_final if a settlement in force of the show would be another now. Where another deal of the show is not settled, its own parts may change.';
alter function app_private.require_finals_unchanged(uuid, uuid) owner to callboard_definer;

create or replace function app_private.tg__400_finals() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.require_finals_unchanged(new.organization_id, new.show_id);
  return null;
end
$$;
comment on function app_private.tg__400_finals() is 'After a part of a show has been entered or changed: see app_private.require_finals_unchanged.';
alter function app_private.tg__400_finals() owner to callboard_definer;

create or replace function app_private.tg__250_deal() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  is_deleted boolean;
begin
  -- The show is locked (app_private.require_unsettled), and so against the deletion of its deals.
  select d.deleted_at is not null into is_deleted from app.deals d
  where d.organization_id = new.organization_id and d.show_id = new.show_id and d.id = new.deal_id;
  if is_deleted is null then
    perform app.refuse(409, 'deal_of_other_show');
  elsif is_deleted then
    perform app.refuse(409, 'parent_deleted', 'The deal is deleted: restore that first.');
  end if;
  return new;
end
$$;
comment on function app_private.tg__250_deal() is 'PT409 deal_of_other_show if a part names a deal that is none of its show, PT409 parent_deleted if that is deleted.';
alter function app_private.tg__250_deal() owner to callboard_definer;

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

create or replace function app_private.require_part_unsettled(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  show uuid;
begin
  execute format('select show_id from %s where organization_id = app.current_org() and id = $1', target) into show using id;
  perform app_private.require_unsettled(app.current_org(), show, false);
  perform app_private.require_finals_unchanged(app.current_org(), show);
end
$$;
comment on function app_private.require_part_unsettled(regclass, uuid) is 'The guard of the parts of a show: PT409 settlement_final once a settlement is final that was computed from them.';
alter function app_private.require_part_unsettled(regclass, uuid) owner to callboard_definer;

create or replace function app_private.require_deal_unsettled(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- Its settlements are deleted with it, but not one that is in force.
  if exists (select from app.settlements x where x.organization_id = app.current_org() and x.deal_id = require_deal_unsettled.id
    and x.status = 'final' and x.reopened_at is null)
  then
    perform app.refuse(409, 'settlement_final');
  end if;
  perform app_private.require_part_unsettled(target, id);
  -- It may have been the last one that was not settled.
  perform app_private.settle_show((select d.show_id from app.deals d where d.organization_id = app.current_org() and d.id = require_deal_unsettled.id));
  -- With it the show gets another fee.
  perform app.require('finance.read');
  perform app.require('finance.write');
end
$$;
comment on function app_private.require_deal_unsettled(regclass, uuid) is
  'The guard of deals: PT409 settlement_final once the settlement is final, PT403 without finance.read and finance.write.';
alter function app_private.require_deal_unsettled(regclass, uuid) owner to callboard_definer;
