--! Previous: sha1:71d93792bf8815963a6555876ec7146f04580c3e
--! Hash: sha1:a4be0009d0951984ece52353f3d9feb4cd21260a
--! Message: Let shows with deals be restored by who sees no money

-- Included settlements/deal_fees.sql
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
comment on function app_private.tg_deals__400_fee() is 'Keeps the fee of a show equal to what its deal guarantees.';
alter function app_private.tg_deals__400_fee() owner to callboard_definer;
-- EndIncluded settlements/deal_fees.sql
