--! Previous: sha1:89da7d246b0703747534353b83c48891e3b01b6a
--! Hash: sha1:e88cde179aa934606710a9957e9215ccfb781eae
--! Message: find bonuses by their deal

--! no-transaction
create index concurrently if not exists deal_bonuses_organization_id_deal_id_idx on app.deal_bonuses (organization_id, deal_id) where deal_id is not null;
