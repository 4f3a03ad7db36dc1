--! Previous: sha1:a41d8f1338ddf06a0fc4317b1ff96a63fdeda059
--! Hash: sha1:5fe401eed196bbc3ec1cd3d64fe3547f2ae33aa2
--! Message: one deal for each act

--! no-transaction
create unique index concurrently if not exists deals_one_per_act on app.deals (organization_id, show_id, lower(coalesce(act, ''))) where deleted_at is null;
