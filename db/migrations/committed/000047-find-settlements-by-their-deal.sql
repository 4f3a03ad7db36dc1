--! Previous: sha1:6b53733e7ff16fea8933b48e7066e3468c261931
--! Hash: sha1:7a09e4cc8fe7559e4572e69413e8d014f474cc50
--! Message: find settlements by their deal

--! no-transaction
create index concurrently if not exists settlements_organization_id_deal_id_idx on app.settlements (organization_id, deal_id) where deal_id is not null;
