-- What is exported as columns instead of as JSON: the same rows as the lists, with the same words, but
-- four times as fast for PostgreSQL to write. test/exports/exports.test.ts compares each cell with the JSON.

create or replace view app.show_rows with (security_invoker = true) as
  select s.organization_id, s.id, s.title, s.artist, s.show_on, s.status, s.venue_id,
    to_char(s.doors_time, 'HH24:MI') as doors_time, to_char(s.start_time, 'HH24:MI') as start_time, to_char(s.curfew_time, 'HH24:MI') as curfew_time,
    s.capacity, s.tickets_sold, s.fee_minor, s.currency, s.notes, s.source, s.external_ref, v.name as venue_name, v.city as venue_city, v.time_zone,
    (s.show_on + s.start_time) at time zone v.time_zone as starts_at, s.created_by, s.created_at, s.updated_at, s.deleted_at, s.deleted_by
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id;
comment on view app.show_rows is 'The organization''s shows as columns, also those in the bin, which have deleted_at.';

create or replace view app.venue_rows with (security_invoker = true) as
  select v.organization_id, v.id, v.name, v.city, v.country, v.time_zone, v.capacity, v.created_at, v.updated_at, v.deleted_at, v.deleted_by
  from app.venues v;
comment on view app.venue_rows is 'The organization''s venues as columns, also those in the bin, which have deleted_at.';

create or replace view app.finance_record_rows with (security_invoker = true) as
  select r.organization_id, r.id, r.kind, r.category_id, r.booked_on, r.amount_minor, r.status, r.show_id, r.due_on, r.tax_minor, r.currency,
    trim_scale(r.exchange_rate) as exchange_rate, r.payment_status, r.counterparty, r.note, r.source, r.external_ref, c.name as category_name,
    s.title as show_title, r.base_amount_minor, r.base_currency, r.created_by, r.created_at, r.updated_at, r.deleted_at, r.deleted_by
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id;
comment on view app.finance_record_rows is 'The organization''s finance records as columns, also those in the bin, which have deleted_at.';

create or replace view app.event_rows with (security_invoker = true) as
  select e.organization_id, e.id, e.occurred_at, e.actor_kind, e.actor_id, u.display_name as actor_name, e.action, e.resource_type, e.resource_id, e.changes,
    e.request_id, host(e.ip) as ip, e.session_id, e.erased_at
  from app.event_log e
  left join app.users u on u.id = e.actor_id;
comment on view app.event_rows is 'The organization''s events as columns; the actor''s name only while they are a colleague.';

grant select on app.show_rows, app.venue_rows, app.finance_record_rows, app.event_rows to callboard_api, callboard_exporter;
grant select on app.show_list, app.venue_list, app.finance_record_list, app.event_list to callboard_exporter;
