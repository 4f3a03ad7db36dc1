--! Previous: sha1:f762458fcd1c30a1d70cae97d1b6a2f16ce84dfd
--! Hash: sha1:7675b42880b249fc4f3011729a3e8dd1be50ee5a
--! Message: settlements are numbered by deal

--! no-transaction
create unique index concurrently if not exists settlements_number_of_deal on app.settlements (organization_id, show_id, deal_id, number) nulls not distinct;
