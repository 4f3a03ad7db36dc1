--! Previous: sha1:d5f183d9d2d2c82ce25768cbb52abaac3abb8865
--! Hash: sha1:650a5dc1c11b5aecf65c5ae8c91925e79e588c9f
--! Message: one answer to a key also outside organizations

--! no-transaction
create unique index concurrently if not exists idempotency_keys_one_answer on app.idempotency_keys (organization_id, user_id, key) nulls not distinct;
