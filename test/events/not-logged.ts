/** Tables whose changes are no events, and why. A new table has a trigger of the log or a line here. */
export const notLogged: Record<string, string> = {
  'app.event_log': 'it is the log',
  'app.event_seals': 'the chain over the log',
  'app.idempotency_keys': 'copies of answers to requests that are logged themselves',
  'app.itinerary_entries': 'copies of rows that are logged themselves; that they were published is an event',
  'app.permissions': 'reference rows, changed by migrations',
  'app.roles': 'reference rows, changed by migrations',
  'app.role_permissions': 'reference rows, changed by migrations',
  'app.show_status_transitions': 'reference rows, changed by migrations',
  'app_private.context_keys': 'a key that only a superuser replaces',
  'app_private.email_tokens': 'hashes of secrets; that one was used is logged by what it did',
  'app_private.mails': 'the outbox: what causes a mail is logged',
  'app_private.refresh_tokens': 'hashes of secrets; a spent one that comes back is logged with its session',
  'app_private.support_grants': 'each is logged by the function that makes or revokes it',
  'app_private.sealing': 'how far the sealer is',
  'app_private.slugs': "follows the organization's name, which is logged with its slug",
}
