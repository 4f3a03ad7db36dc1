--! Previous: sha1:5fe401eed196bbc3ec1cd3d64fe3547f2ae33aa2
--! Hash: sha1:f762458fcd1c30a1d70cae97d1b6a2f16ce84dfd
--! Message: one final settlement for each deal

--! no-transaction
create unique index concurrently if not exists settlements_one_final_of_deal on app.settlements (organization_id, show_id, deal_id) nulls not distinct where status = 'final' and reopened_at is null and deleted_at is null;
