--! Previous: sha1:4e938e592fd4d592a503d16393283db43a8c0570
--! Hash: sha1:a7a1f8eadef5c26ea40711a328551fa7981f359e
--! Message: Find records by itinerary

--! no-transaction
create index concurrently if not exists finance_records_organization_id_itinerary_id_idx on app.finance_records (organization_id, itinerary_id, booked_on) where itinerary_id is not null;
