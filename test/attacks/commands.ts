import { type Attack, each, q } from './attack.ts'

const proof = `sha256('wrong')`
const recipe = `'argon2id$m=1,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA=='`

/** The functions that the API calls, with somebody else's data. */
export const commands: Attack[] = [
  ...each({ error: 'PT404' }, [
    ['reading a show', k => `select app.read_show(${q(k.b.show)})`],
    ['changing a show', k => `select app.write_show(${q(k.b.show)}, '{"title": "x"}', false)`],
    [
      'replacing a show',
      k =>
        `select app.write_show(${q(k.b.show)}, '{"title": "x", "artist": "x", "show_on": "2027-01-01"}', true, '*')`,
    ],
    ['deleting a show', k => `select app.delete_row('shows', ${q(k.b.show)})`],
    ['restoring a show', k => `select app.restore_row('shows', ${q(k.b.show)})`],
    ['reading a venue', k => `select app.read_row('venues', ${q(k.b.venue)})`],
    ['changing a venue', k => `select app.write_row('venues', ${q(k.b.venue)}, '{"name": "x"}', false)`],
    ['deleting a venue', k => `select app.delete_row('venues', ${q(k.b.venue)})`],
    ['restoring a venue', k => `select app.restore_row('venues', ${q(k.b.venue)})`],
    ['reading a member', k => `select app.read_member(${q(k.b.owner.id)})`],
    ["changing a member's role", k => `select app.change_member_role(${q(k.b.owner.id)}, 'viewer')`],
    ['removing a member', k => `select app.remove_member(${q(k.b.owner.id)})`],
    [
      'handing one’s own organization over to them',
      k => `select app.transfer_ownership(${q(k.a.organization)}, ${q(k.b.owner.id)})`,
    ],
    [
      "taking over the victim's",
      k => `select app.transfer_ownership(${q(k.b.organization)}, ${q(k.a.owner.id)})`,
    ],
    ['reading the organization', k => `select app.read_organization(${q(k.b.organization)})`],
    ['reading the organization by its slug', k => `select app.read_organization(${q(k.slug)})`],
    [
      'changing the organization',
      k => `select app.replace_organization(${q(k.b.organization)}, '{"name": "x"}')`,
    ],
    ['deleting the organization', k => `select app.delete_organization(${q(k.b.organization)})`],
    ['restoring the organization', k => `select app.restore_organization(${q(k.b.organization)})`],
    ['a token for the organization', k => `select app.switch_organization(${q(k.b.organization)})`],
    ['ending a session', k => `select app.end_session(${q(k.session)})`],
    ['reading an invitation', k => `select app.read_invitation(${q(k.b.invitation)})`],
    ['sending an invitation again', k => `select app.resend_invitation(${q(k.b.invitation)})`],
    ['revoking an invitation', k => `select app.revoke_invitation(${q(k.b.invitation)})`],
  ]),
  // Each is logged where the victim can see it.
  ...each({ value: 401 }, [
    [
      'signing in with a wrong proof',
      k => `select status from app.sign_in(${q(k.b.owner.email)}, ${proof}, sha256('s'), sha256('r'), '{}')`,
    ],
    [
      'signing in without a proof',
      k => `select status from app.sign_in(${q(k.b.owner.email)}, null, sha256('s'), sha256('r'), '{}')`,
    ],
    [
      'signing in with what is stored',
      k =>
        `select status from app.sign_in(${q(k.b.owner.email)}, convert_to(app.password_recipe(${q(k.b.owner.email)}), 'UTF8'), sha256('s'), sha256('r'), '{}')`,
    ],
  ]).map(attack => ({ ...attack, mayChange: ['app.event_log'] })),
  ...each({ error: 'PT401' }, [
    ["renewing the victim's session", k => `select app.refresh_session(${q(k.session)}, 'x', sha256('r'))`],
    [
      'renewing one’s own session with an invented token',
      k => `select app.refresh_session(${q(k.secret)}, 'x', sha256('r'), ${q(k.b.organization)})`,
    ],
  ]),
  ...each({ error: 'PT403' }, [
    ['changing a password without knowing it', `select app.change_password(${proof}, ${recipe}, ${proof})`],
  ]),
  ...each({ error: 'PT400' }, [
    ['a link for a password that nobody sent', `select app.reset_password('x', ${recipe}, ${proof})`],
    ['a link for an address that nobody sent', `select app.verify_email('x')`],
    ['an invitation that nobody sent', `select app.accept_invitation('x')`],
    [
      'an account by an invitation that nobody sent',
      k => `select app.register(${q(`new.${k.a.marker}@example.org`)}, 'x', ${recipe}, ${proof}, null, 'x')`,
    ],
    [
      'the hash of an invitation in place of its secret',
      k => `select app.accept_invitation(encode(sha256(${q(k.b.invitation)}), 'hex'))`,
    ],
  ]),
  ...each({ error: '23505' }, [
    [
      "another account with the victim's address",
      k => `select app.register(${q(k.b.owner.email)}, 'x', ${recipe}, ${proof}, 'x')`,
    ],
    [
      'the same in capitals',
      k => `select app.register(upper(${q(k.b.owner.email)}), 'x', ${recipe}, ${proof}, 'x')`,
    ],
  ]),
  ...each('own', [
    [
      'a new organization, which leaves its context behind',
      `select app.create_organization('{"name": "Another"}')`,
      'select body from app.list_my_organizations()',
    ],
  ]),
  ...each({ error: '42501' }, [
    ['a mail of the worker', 'select app.take_mail(gen_random_uuid())'],
    ['a job', `select app_private.add_job('send_mail', '{}')`],
    ['a job through its own function', `select graphile_worker.add_job('send_mail')`],
    ['the jobs of a worker', `select app.keep_jobs('{}')`],
    ['a purge', 'select app.purge_expired()'],
    ['a mail settled', `select app.settle_mail(gen_random_uuid())`],
    ['a password set', k => `select app_private.set_password(${q(k.b.owner.id)}, ${recipe}, ${proof})`],
    [
      'a membership created',
      k => `select app_private.join_organization(${q(k.a.owner.id)}, ${q(k.b.organization)}, 'owner')`,
    ],
    ['a table deleted', `select app_private.soft_delete('app.organizations', 'true', null)`],
    [
      'a session started',
      k => `select app_private.start_session(${q(k.b.owner.id)}, sha256('s'), sha256('r'), null, '{}')`,
    ],
    ['a function of a trigger', 'select app_private.tg_organizations__200_slug()'],
  ]),
]
