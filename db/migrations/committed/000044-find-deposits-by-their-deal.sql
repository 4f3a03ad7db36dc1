--! Previous: sha1:d67d93130b885ed86407322bcc888bc8d043e3ea
--! Hash: sha1:89da7d246b0703747534353b83c48891e3b01b6a
--! Message: find deposits by their deal

--! no-transaction
create index concurrently if not exists deposits_organization_id_deal_id_idx on app.deposits (organization_id, deal_id) where deal_id is not null;
