-- What was sold: shows, their ticket tiers, and who was let in without a ticket.

create or replace view analytics.fact_shows with (security_barrier = true) as
  select s.id as show_id, s.show_on, s.venue_id, s.artist, s.title, s.status, s.capacity, s.tickets_sold,
    f.currency::text as currency, f.fee_minor, round(f.fee_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as fee,
    (s.created_at at time zone o.time_zone)::date as created_on, s.updated_at, s.source, s.external_ref
  from app.shows s
  join app.organizations o on o.id = s.organization_id
  left join app.show_fees f on f.organization_id = s.organization_id and f.show_id = s.id and (select app.visible_org('finance.read')) is not null
  left join app.currencies c on c.code = f.currency
  where s.organization_id = (select app.visible_org('shows.read')) and s.deleted_at is null;
comment on view analytics.fact_shows is 'Shows, one row each, without deleted ones. Needs shows.read, and finance.read for the fee.';
comment on column analytics.fact_shows.show_id is 'The show. The key; other facts have it, too.';
comment on column analytics.fact_shows.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_shows.venue_id is 'The venue: dim_venues; null until there is one.';
comment on column analytics.fact_shows.artist is 'The artist: dim_artists.';
comment on column analytics.fact_shows.title is 'The title.';
comment on column analytics.fact_shows.status is 'inquiry, hold, offer, confirmed, played, settled, cancelled or postponed.';
comment on column analytics.fact_shows.capacity is 'How many tickets there are: those of its tiers, if it has any; null if nobody knows.';
comment on column analytics.fact_shows.tickets_sold is 'How many of them were sold.';
comment on column analytics.fact_shows.currency is 'The currency of the fee: dim_currencies; null without a fee.';
comment on column analytics.fact_shows.fee_minor is 'The fee of the artist and, if the show has several deals, of all acts together, in the smallest unit of the currency.';
comment on column analytics.fact_shows.fee is 'The fee in whole units of the currency, with its decimals.';
comment on column analytics.fact_shows.created_on is 'The day on which it was entered, in the time zone of the organization: dim_calendar.day.';
comment on column analytics.fact_shows.updated_at is 'When it was last changed.';
comment on column analytics.fact_shows.source is 'The system from which it was imported.';
comment on column analytics.fact_shows.external_ref is 'Its id there.';
select analytics_private.publish('fact_shows');

create or replace view analytics.fact_ticket_tiers with (security_barrier = true) as
  select t.id as ticket_tier_id, t.show_id, s.show_on, s.venue_id, s.artist, s.status as show_status, t.name as tier, d.currency::text as currency,
    t.price_minor, round(t.price_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as price,
    t.facility_fee_minor, round(t.facility_fee_minor * power(10::numeric, -c.minor_digits), c.minor_digits) as facility_fee,
    t.allotment, t.sold, t.comps,
    t.price_minor::numeric * t.sold as gross_minor, round(t.price_minor * t.sold::numeric * power(10::numeric, -c.minor_digits), c.minor_digits) as gross
  from app.ticket_tiers t
  join app.shows s on s.organization_id = t.organization_id and s.id = t.show_id and s.deleted_at is null
  left join (select e.organization_id, e.show_id, min(e.currency) as currency from app.deals e where e.deleted_at is null group by e.organization_id, e.show_id) d
    on d.organization_id = t.organization_id and d.show_id = t.show_id
  left join app.currencies c on c.code = d.currency
  where t.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null and t.deleted_at is null;
comment on view analytics.fact_ticket_tiers is 'Ticket tiers of shows, one row each, without deleted ones. Needs finance.read and shows.read.';
comment on column analytics.fact_ticket_tiers.ticket_tier_id is 'The tier. The key.';
comment on column analytics.fact_ticket_tiers.show_id is 'The show: fact_shows.';
comment on column analytics.fact_ticket_tiers.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_ticket_tiers.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_ticket_tiers.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_ticket_tiers.show_status is 'The status of the show.';
comment on column analytics.fact_ticket_tiers.tier is 'The name of the tier.';
comment on column analytics.fact_ticket_tiers.currency is 'The currency of the show''s deals: dim_currencies; null without a deal, and then there are no amounts in whole units.';
comment on column analytics.fact_ticket_tiers.price_minor is 'The price of a ticket with tax, in the smallest unit of the currency.';
comment on column analytics.fact_ticket_tiers.price is 'The price in whole units.';
comment on column analytics.fact_ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, in the smallest unit.';
comment on column analytics.fact_ticket_tiers.facility_fee is 'The same in whole units.';
comment on column analytics.fact_ticket_tiers.allotment is 'How many tickets there are of this tier.';
comment on column analytics.fact_ticket_tiers.sold is 'How many were sold.';
comment on column analytics.fact_ticket_tiers.comps is 'How many were given away.';
comment on column analytics.fact_ticket_tiers.gross_minor is 'Price times sold, in the smallest unit.';
comment on column analytics.fact_ticket_tiers.gross is 'The same in whole units.';
select analytics_private.publish('fact_ticket_tiers');

create or replace view analytics.fact_guests with (security_barrier = true) as
  select g.id as guest_id, g.show_id, s.show_on, s.venue_id, s.artist, s.status as show_status, a.name as allotment, g.status, g.tickets, g.checked_in, g.checked_in_at,
    (g.created_at at time zone o.time_zone)::date as created_on
  from app.guests g
  join app.organizations o on o.id = g.organization_id
  join app.shows s on s.organization_id = g.organization_id and s.id = g.show_id and s.deleted_at is null
  left join app.guest_allotments a on a.organization_id = g.organization_id and a.id = g.allotment_id
  where g.organization_id = (select app.visible_org('shows.read')) and g.deleted_at is null;
comment on view analytics.fact_guests is 'Entries of guest lists, one row each, without deleted ones: numbers, no names. Needs shows.read.';
comment on column analytics.fact_guests.guest_id is 'The entry. The key.';
comment on column analytics.fact_guests.show_id is 'The show: fact_shows.';
comment on column analytics.fact_guests.show_on is 'The day of the show: dim_calendar.day.';
comment on column analytics.fact_guests.venue_id is 'The venue of the show: dim_venues.';
comment on column analytics.fact_guests.artist is 'The artist of the show: dim_artists.';
comment on column analytics.fact_guests.show_status is 'The status of the show.';
comment on column analytics.fact_guests.allotment is 'The name of the allotment whose places they take; null if they take none.';
comment on column analytics.fact_guests.status is 'requested, confirmed or declined.';
comment on column analytics.fact_guests.tickets is 'How many get in under this entry, the guest included.';
comment on column analytics.fact_guests.checked_in is 'How many of them have come.';
comment on column analytics.fact_guests.checked_in_at is 'When the last of them came; null if none has.';
comment on column analytics.fact_guests.created_on is 'The day on which it was entered, in the time zone of the organization: dim_calendar.day.';
select analytics_private.publish('fact_guests');
