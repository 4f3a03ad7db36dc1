--! Previous: sha1:e88cde179aa934606710a9957e9215ccfb781eae
--! Hash: sha1:6b53733e7ff16fea8933b48e7066e3468c261931
--! Message: find adjustments by their deal

--! no-transaction
create index concurrently if not exists deal_adjustments_organization_id_deal_id_idx on app.deal_adjustments (organization_id, deal_id) where deal_id is not null;
