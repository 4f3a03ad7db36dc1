-- What the star is made of: facts (fact_…, one row each) and what describes them (dim_…), for BI tools. They are views of
-- the tables themselves, so they are always current, except fact_settlement_lines, which is a figure.
--
-- callboard_rollup owns the views and sees these columns of all organizations; each view compares the organization of its
-- rows with app.visible_org(). No notes, no addresses and no names of guests are among them.

do $$
declare
  source record;
begin
  for source in
    select * from (values
      ('app.venues', 'organization_id, id, name, city, country, time_zone, capacity, deleted_at'),
      ('app.show_fees', 'organization_id, show_id, fee_minor, currency'),
      ('app.deals', 'organization_id, show_id, kind, currency, deleted_at'),
      ('app.ticket_tiers', 'organization_id, id, show_id, name, price_minor, facility_fee_minor, allotment, sold, comps, deleted_at'),
      ('app.settlements', 'organization_id, id, show_id, number, status, inputs, result, finalized_at, reopened_at, deleted_at, booked_at, not_booked_because, show_as_recorded'),
      ('app.guests', 'organization_id, id, show_id, allotment_id, tickets, status, checked_in, checked_in_at, created_at, deleted_at'),
      ('app.guest_allotments', 'organization_id, id, name'),
      ('app.itineraries', 'organization_id, id, name, artist, starts_on, ends_on, deleted_at'),
      ('app.party_members', 'organization_id, id, itinerary_id, name, role, user_id, deleted_at'),
      ('app.memberships', 'organization_id, user_id, role, created_at, deleted_at'),
      ('app.users', 'id, display_name'),
      ('app.currencies', 'code, name, minor_digits'),
      ('app.countries', 'code, name')) as s (target, columns)
  loop
    perform app_private.set_policy(source.target::regclass, 'select_rollup', 'callboard_rollup', 'true');
    execute format('grant select (%s) on %s to callboard_rollup', source.columns, source.target);
  end loop;
end
$$;
