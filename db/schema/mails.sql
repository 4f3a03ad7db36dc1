-- The outbox. What must be mailed is written in the transaction that causes it and sent by the
-- worker afterwards, so a mail is neither lost nor sent for something that was rolled back; and
-- the secret in its link is made here, so that the API's login never holds it.

create table if not exists app_private.mails (
  id uuid primary key default app.uuid_v7(),
  kind text not null,
  to_address text not null,
  data jsonb not null,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  failed_at timestamptz,
  last_error text
);
create index if not exists mails_next_attempt_at_idx on app_private.mails (next_attempt_at)
  where sent_at is null and failed_at is null;
alter table app_private.mails enable row level security;
alter table app_private.mails force row level security;
drop policy if exists all_definer on app_private.mails;
create policy all_definer on app_private.mails for all to callboard_definer using (true);
grant select, insert, update on app_private.mails to callboard_definer;
comment on table app_private.mails is 'Mails to send and sent; the secret leaves the row when the mail has left.';

create or replace function app_private.queue_mail(kind text, to_address text, data jsonb) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  insert into app_private.mails (kind, to_address, data) values (kind, to_address, data);
  notify callboard_mails;
end
$$;
comment on function app_private.queue_mail(text, text, jsonb) is 'Puts a mail into the outbox; it leaves after commit.';
alter function app_private.queue_mail(text, text, jsonb) owner to callboard_definer;
revoke execute on function app_private.queue_mail(text, text, jsonb) from public;

create or replace function app.take_mail() returns table (id uuid, kind text, to_address text, data jsonb, attempts integer)
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app_private.mails m
  -- Until then it is this worker's alone; of a worker that dies another one takes it over.
  set attempts = m.attempts + 1, next_attempt_at = now() + interval '3 minutes'
  where m.id = (
    select x.id from app_private.mails x
    where x.sent_at is null and x.failed_at is null and x.next_attempt_at <= now()
    order by x.next_attempt_at limit 1 for update skip locked)
  returning m.id, m.kind, m.to_address, m.data, m.attempts;
end;
comment on function app.take_mail() is 'The next mail that is due, if any. It must be settled within three minutes, or it is offered again.';
alter function app.take_mail() owner to callboard_definer;
revoke execute on function app.take_mail() from public;
grant execute on function app.take_mail() to callboard_worker;

create or replace function app.settle_mail(mail uuid, error text default null) returns timestamptz
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app_private.mails m
  set sent_at = case when error is null then now() end,
      failed_at = case when error is not null and m.attempts >= 12 then now() end,
      next_attempt_at = now() + interval '15 seconds' * power(2, least(m.attempts - 1, 9)),
      data = case when error is null or m.attempts >= 12 then m.data - 'token' else m.data end,
      last_error = left(error, 1000)
  where m.id = mail
  returning m.failed_at;
end;
comment on function app.settle_mail(uuid, text) is 'Marks a mail as sent or, with an error, as to be tried again after a growing pause; after 12 attempts (about six hours) it has failed, and the time is returned.';
alter function app.settle_mail(uuid, text) owner to callboard_definer;
revoke execute on function app.settle_mail(uuid, text) from public;
grant execute on function app.settle_mail(uuid, text) to callboard_worker;
