-- What facts are about: venues, artists, the organization, categories, currencies.

create or replace view analytics.dim_venues with (security_barrier = true) as
  select v.id as venue_id, v.name as venue, v.city, v.country::text as country, c.name as country_name, v.time_zone, v.capacity
  from app.venues v
  join app.countries c on c.code = v.country
  where v.organization_id = (select app.visible_org('shows.read')) and v.deleted_at is null;
comment on view analytics.dim_venues is 'Venues, one row each, without deleted ones. Needs shows.read.';
comment on column analytics.dim_venues.venue_id is 'The venue. The key; facts have it.';
comment on column analytics.dim_venues.venue is 'The name.';
comment on column analytics.dim_venues.city is 'The city.';
comment on column analytics.dim_venues.country is 'The country, ISO 3166-1.';
comment on column analytics.dim_venues.country_name is 'The country in English.';
comment on column analytics.dim_venues.time_zone is 'The time zone.';
comment on column analytics.dim_venues.capacity is 'How many people it holds; null if nobody knows.';
select analytics_private.publish('dim_venues');

create or replace view analytics.dim_artists with (security_barrier = true) as
  select s.artist, count(*) as shows, min(s.show_on) as first_on, max(s.show_on) as last_on
  from app.shows s
  where s.organization_id = (select app.visible_org('shows.read')) and s.deleted_at is null
  group by s.artist;
comment on view analytics.dim_artists is 'Artists, one row for each name that a show has. Needs shows.read.';
comment on column analytics.dim_artists.artist is 'The name. The key; facts have it.';
comment on column analytics.dim_artists.shows is 'How many shows they have.';
comment on column analytics.dim_artists.first_on is 'The day of the first: dim_calendar.day.';
comment on column analytics.dim_artists.last_on is 'The day of the last: dim_calendar.day.';
select analytics_private.publish('dim_artists');

create or replace view analytics.dim_itineraries with (security_barrier = true) as
  select i.id as itinerary_id, i.name as itinerary, i.artist, i.starts_on, i.ends_on
  from app.itineraries i
  where i.organization_id = (select app.visible_org('itineraries.write')) and i.deleted_at is null;
comment on view analytics.dim_itineraries is 'Tours, one row each, without deleted ones; those that are not published are among them. Needs itineraries.write.';
comment on column analytics.dim_itineraries.itinerary_id is 'The tour. The key; fact_finance_records and dim_party have it.';
comment on column analytics.dim_itineraries.itinerary is 'The name.';
comment on column analytics.dim_itineraries.artist is 'The artist: dim_artists, if a show has the same name.';
comment on column analytics.dim_itineraries.starts_on is 'The first day: dim_calendar.day.';
comment on column analytics.dim_itineraries.ends_on is 'The last day: dim_calendar.day.';
select analytics_private.publish('dim_itineraries');

create or replace view analytics.dim_organization with (security_barrier = true) as
  select o.organization_id, o.name, o.slug, o.currency, o.time_zone
  from (select x.id as organization_id, x.name, x.slug, x.currency::text as currency, x.time_zone from app.organizations x) o
  where o.organization_id = (select app.visible_org());
comment on view analytics.dim_organization is 'The organization, one row.';
comment on column analytics.dim_organization.organization_id is 'Its id, to tell it from others whose figures you have copied.';
comment on column analytics.dim_organization.name is 'The name.';
comment on column analytics.dim_organization.slug is 'The name in addresses.';
comment on column analytics.dim_organization.currency is 'The currency in which it keeps its books: dim_currencies.';
comment on column analytics.dim_organization.time_zone is 'The time zone of its days.';
select analytics_private.publish('dim_organization');

create or replace view analytics.dim_finance_categories with (security_barrier = true) as
  select c.id as category_id, c.kind, c.name as category, c.deleted_at is not null as is_deleted
  from app.finance_categories c
  where c.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.dim_finance_categories is 'Categories of income and expenses, one row each; deleted ones are among them, because records keep them. Needs finance.read.';
comment on column analytics.dim_finance_categories.category_id is 'The category. The key; fact_finance_records has it.';
comment on column analytics.dim_finance_categories.kind is 'income or expense.';
comment on column analytics.dim_finance_categories.category is 'The name.';
comment on column analytics.dim_finance_categories.is_deleted is 'Whether it is deleted.';
select analytics_private.publish('dim_finance_categories');

create or replace view analytics.dim_currencies with (security_barrier = true) as
  select c.code::text as currency, c.name, c.minor_digits, power(10, c.minor_digits)::integer as minor_units
  from (select x.id as organization_id from app.organizations x) o
  cross join app.currencies c
  where o.organization_id = (select app.visible_org());
comment on view analytics.dim_currencies is 'Currencies (ISO 4217), one row each.';
comment on column analytics.dim_currencies.currency is 'The code. The key; facts have it.';
comment on column analytics.dim_currencies.name is 'The name in English.';
comment on column analytics.dim_currencies.minor_digits is 'How many decimals it has: EUR 2, JPY 0, KWD 3.';
comment on column analytics.dim_currencies.minor_units is 'How many of its smallest units make a whole one: EUR 100, JPY 1, KWD 1000.';
select analytics_private.publish('dim_currencies');
