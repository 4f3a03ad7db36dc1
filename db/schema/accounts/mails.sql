-- The outbox. A mail and the job that sends it are written in the transaction that causes them, so
-- no mail is lost or sent for something that was rolled back. The secret of its link is made only when
-- the worker takes it, and only its hash is stored: neither the outbox nor a dump of it can open anything.

create table if not exists app_private.mails (
  id uuid primary key default app.uuid_v7(),
  kind text not null,
  to_address text not null,
  data jsonb not null,
  has_link boolean not null default false,
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  failed_at timestamptz,
  last_error text
);
select app_private.definer_table('app_private.mails');
comment on table app_private.mails is 'Mails to send and mails sent, without the secrets of their links.';
comment on column app_private.mails.has_link is 'Whether it needs a secret for a link, which app.take_mail makes.';

-- An attempt that seems to have failed may have delivered its mail, and a program that shows only the first of several
-- mails with the same Message-ID then shows that one. So each attempt has a secret, and all of a mail's secrets work.
create table if not exists app_private.mailed_secrets (
  secret_hash bytea primary key,
  mail_id uuid not null references app_private.mails (id) on delete cascade
);
create index if not exists mailed_secrets_mail_id_idx on app_private.mailed_secrets (mail_id);
select app_private.definer_table('app_private.mailed_secrets', 'select, insert');
comment on table app_private.mailed_secrets is 'SHA-256 of the secrets in mailed links, one for each attempt to send a mail.';

create or replace function app_private.mail_with(secret text) returns uuid
language sql stable
set search_path = ''
begin atomic
  select s.mail_id from app_private.mailed_secrets s where s.secret_hash = app_private.digest(secret);
end;
comment on function app_private.mail_with(text) is 'The mail whose link has this secret; null if there is none.';
alter function app_private.mail_with(text) owner to callboard_definer;

create or replace function app_private.send_mail(mail uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c constant app_private.context := app_private.context();
begin
  -- Before signing in, its causer is a network address, as for the limits of requests: only a hash of it is stored.
  perform app_private.add_job('send_mail', jsonb_build_object('mail', mail), job_key => 'send_mail:' || mail, max_attempts => 12,
    kind => 'mail', causer => coalesce(c.organization_id::text,
      left(encode(app_private.digest(network(set_masklen(c.ip, case family(c.ip) when 6 then 64 else 32 end))::text), 'hex'), 32)));
end
$$;
comment on function app_private.send_mail(uuid) is
  'Has the worker send a mail from the outbox: 12 attempts within about 16 hours, and one at a time of those that an organization or, without one, a network address has caused.';
alter function app_private.send_mail(uuid) owner to callboard_definer;

create or replace function app_private.queue_mail(kind text, to_address text, data jsonb, with_link uuid default null) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := coalesce(with_link, app.uuid_v7());
begin
  insert into app_private.mails (id, kind, to_address, data, has_link) values (mail, kind, to_address, data, with_link is not null);
  perform app_private.send_mail(mail);
end
$$;
comment on function app_private.queue_mail(text, text, jsonb, uuid) is
  'Puts a mail into the outbox; it is sent after commit. One with a link gets the id by which app_private.mail_with finds it.';
alter function app_private.queue_mail(text, text, jsonb, uuid) owner to callboard_definer;

create or replace function app_private.address_reset(mail uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  asked app_private.mails;
  who app.users;
begin
  select * into asked from app_private.mails m
  where m.id = mail and m.kind = 'reset_password' and m.sent_at is null and m.failed_at is null
    and not exists (select from app_private.email_tokens t where t.mail_id = m.id)
  for update;
  if asked.id is null then
    return;
  end if;
  select * into who from app.users u where lower(u.email) = lower(asked.to_address);
  -- A link requested before a password was chosen must not undo that.
  if who.id is null or exists (select from app_private.credentials c where c.user_id = who.id and c.changed_at > asked.created_at) then
    delete from app_private.mails m where m.id = mail;
    return;
  end if;
  perform app_private.open_link(mail, who.id, 'reset_password', interval '1 hour');
  update app_private.mails m set data = jsonb_build_object('display_name', who.display_name) where m.id = mail;
end
$$;
comment on function app_private.address_reset(uuid) is
  'Looks up who has forgotten their password: app.forget_password queues a mail to every address. One that nobody has is dropped.';
alter function app_private.address_reset(uuid) owner to callboard_definer;

create or replace function app.take_mail(mail uuid) returns table (kind text, to_address text, data jsonb)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  secret text := app_private.random_token();
begin
  perform app_private.address_reset(mail);
  -- Committed before the worker has the secret, so no mail carries one that is not known here.
  insert into app_private.mailed_secrets (secret_hash, mail_id)
  select app_private.digest(secret), m.id from app_private.mails m
  where m.id = mail and m.has_link and m.sent_at is null and m.failed_at is null;
  return query
    select m.kind, m.to_address, case when m.has_link then m.data || jsonb_build_object('token', secret) else m.data end
    from app_private.mails m
    where m.id = mail and m.sent_at is null and m.failed_at is null;
end
$$;
comment on function app.take_mail(uuid) is
  'A mail to send, with a new secret for its link; nothing if it has been sent, abandoned or deleted. The links of earlier attempts still work.';
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
      last_error = left(error, 1000)
  where m.id = mail and m.sent_at is null;
end;
comment on function app.settle_mail(uuid, text, boolean) is 'Marks a mail as sent or, with an error, as failed; after the last attempt it is abandoned.';
alter function app.settle_mail(uuid, text, boolean) owner to callboard_definer;
grant execute on function app.settle_mail(uuid, text, boolean) to callboard_worker;
