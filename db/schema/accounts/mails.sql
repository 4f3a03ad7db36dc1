-- The outbox. A mail and the job that sends it are written in the transaction that causes them, so
-- no mail is lost or sent for something that was rolled back. The secret in its link is generated
-- here, so that neither the API's login nor the job ever holds it.

create table if not exists app_private.mails (
  id uuid primary key default app.uuid_v7(),
  kind text not null,
  to_address text not null,
  data jsonb not null,
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  failed_at timestamptz,
  last_error text
);
select app_private.definer_table('app_private.mails');
comment on table app_private.mails is 'Mails to send and mails sent; the secret is removed from the row once the mail has been sent or abandoned.';

create or replace function app_private.send_mail(mail uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.add_job('send_mail', jsonb_build_object('mail', mail), job_key => 'send_mail:' || mail, max_attempts => 12);
end
$$;
comment on function app_private.send_mail(uuid) is 'Has the worker send a mail from the outbox: 12 attempts within about 16 hours.';
alter function app_private.send_mail(uuid) owner to callboard_definer;

create or replace function app_private.queue_mail(kind text, to_address text, data jsonb) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := app.uuid_v7();
begin
  insert into app_private.mails (id, kind, to_address, data) values (mail, kind, to_address, data);
  perform app_private.send_mail(mail);
end
$$;
comment on function app_private.queue_mail(text, text, jsonb) is 'Puts a mail into the outbox; it is sent after commit.';
alter function app_private.queue_mail(text, text, jsonb) owner to callboard_definer;

create or replace function app.take_mail(mail uuid) returns table (kind text, to_address text, data jsonb)
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select m.kind, m.to_address, m.data from app_private.mails m
  where m.id = mail and m.sent_at is null and m.failed_at is null;
end;
comment on function app.take_mail(uuid) is 'A mail to send; nothing if it has been sent, abandoned or deleted.';
alter function app.take_mail(uuid) owner to callboard_definer;
grant execute on function app.take_mail(uuid) to callboard_worker;

create or replace function app.settle_mail(mail uuid, error text default null, is_last boolean default false) returns void
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app_private.mails m
  set sent_at = case when error is null then now() end,
      failed_at = case when error is not null and is_last then now() end,
      data = case when error is null or is_last then m.data - 'token' else m.data end,
      last_error = left(error, 1000)
  where m.id = mail and m.sent_at is null;
end;
comment on function app.settle_mail(uuid, text, boolean) is 'Marks a mail as sent or, with an error, as failed; after the last attempt it is abandoned. Either way its secret is removed at the end.';
alter function app.settle_mail(uuid, text, boolean) owner to callboard_definer;
grant execute on function app.settle_mail(uuid, text, boolean) to callboard_worker;
