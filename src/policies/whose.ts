// Whose the rows of a table are. Every table is here, or has an organization_id: test/isolation/ says so otherwise.

/** Tables whose rows belong to nobody in particular: everybody may read some, nobody may change any. */
export const shared = [
  'app.permissions',
  'app.roles',
  'app.role_permissions',
  'app.show_status_transitions',
  'app.currencies',
  'app.countries',
  'app.finance_record_status_transitions',
  'app_private.context_keys',
  'app_private.origin',
  'app_private.table_permissions',
  'app_private.resources',
  'app_private.event_nouns',
  'app_private.sealing',
  'app_private.noted_drift',
  'app_private.login_passwords',
  'app_private.horizon_looks',
  'app_private.use_batches',
  'analytics_private.rollups',
  'analytics_private.refreshing',
  'analytics_private.looking',
]

// Nothing of those who were removed one by one belongs to the organization any more.
const people = `select m.user_id from app.memberships m join app.organizations o on o.id = m.organization_id
  where o.id = $1 and m.deletion_id is not distinct from o.deletion_id`
const mailsTo = `to_address in (select u.email from app.users u where u.id in (${people})
    union select i.email from app.invitations i where i.organization_id = $1)`
/** Where no organization_id says whose a table's rows are: the condition on $1, an organization. */
export const whose: Record<string, string> = {
  'app.organizations': 'id = $1',
  'app.users': `id in (${people})`,
  'app.sessions': `user_id in (${people})`,
  'app_private.foundings': `user_id in (${people})`,
  'app_private.credentials': `user_id in (${people})`,
  'app_private.email_tokens': `user_id in (${people})`,
  'app_private.refresh_tokens': `session_id in (select s.id from app.sessions s where s.user_id in (${people}))`,
  'app_private.mails': mailsTo,
  'app_private.mailed_secrets': `mail_id in (select m.id from app_private.mails m where m.${mailsTo})`,
}

/** Views of what is the same for everybody. */
export const sharedViews = ['analytics.freshness']
