--! Previous: sha1:dab008f4e47553a48808464dba63f6311408c7b6
--! Hash: sha1:c992e8085bbb5baff7359414db35ef3e3807e6a5
--! Message: each line of a settlement is booked once

--! no-transaction
create unique index concurrently if not exists finance_records_settlement_line_once on app.finance_records (organization_id, settlement_id, settlement_line) where settlement_id is not null;
