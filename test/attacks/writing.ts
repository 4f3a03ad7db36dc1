import { type Attack, each, q } from './attack.ts'

const newShow = `insert into app.shows (title, artist, show_on, venue_id)`

/** Changing somebody else's rows. Changes to the schema are in escalation.ts. */
export const writing: Attack[] = [
  ...each('nothing', [
    ['an UPDATE by id', k => `update app.shows set title = 'x' where id = ${q(k.b.show)}`],
    [
      'an UPDATE that returns',
      k => `update app.shows set notes = notes where organization_id = ${q(k.b.organization)} returning *`,
    ],
    [
      'an UPDATE of all but one’s own',
      k => `update app.venues set name = 'x' where organization_id <> ${q(k.a.organization)} returning *`,
    ],
    [
      'an UPDATE through a join',
      k =>
        `update app.shows s set title = v.name from app.venues v where s.organization_id = v.organization_id and v.id = ${q(k.b.venue)} returning *`,
    ],
    [
      "an UPDATE of the organization's name",
      k => `update app.organizations set name = 'x' where id = ${q(k.b.organization)}`,
    ],
    [
      "an UPDATE of somebody's name",
      k => `update app.users set display_name = 'x' where id = ${q(k.b.owner.id)}`,
    ],
    [
      'MERGE that updates',
      k =>
        `merge into app.shows s using (values (${q(k.b.show)}::uuid)) v(id) on s.id = v.id when matched then update set title = 'x'`,
    ],
    [
      'MERGE that reads no column',
      `merge into app.shows s using (select 1) x on true when matched and set_config('app.n', 'x', true) = '' then update set title = 'x'`,
    ],
    [
      'MERGE that does nothing where it finds nothing',
      k => `merge into app.venues t using (values (${q(k.b.venue)}::uuid)) v(id) on t.id = v.id
        when matched and t.name like '%' then update set name = 'x' when not matched then do nothing`,
    ],
    [
      'an UPDATE in a CTE',
      k =>
        `with loot as (update app.shows set title = title where id = ${q(k.b.show)} returning *) select * from loot`,
    ],
    [
      'an INSERT of what SELECT finds',
      k =>
        `${newShow} select title, artist, show_on, null from app.shows where organization_id = ${q(k.b.organization)} returning *`,
    ],
  ]),
  ...each({ error: '42501' }, [
    [
      'MERGE that reads no column, and changes what it finds',
      `merge into app.venues t using (select 1) x on true when matched then update set capacity = 3`,
    ],
  ]),
  ...each('own', [
    [
      'an INSERT that returns',
      k => `${newShow} values ('Own ' || ${q(k.a.marker)}, 'x', '2027-01-01', null) returning *`,
    ],
    [
      'ON CONFLICT that updates the existing row',
      k =>
        `${newShow} values ('Own ' || ${q(k.a.marker)}, 'x', '2027-01-01', null) on conflict (organization_id, id) do update set title = 'x' returning *`,
    ],
  ]),
  ...each({ error: '23503' }, [
    ["an INSERT with the victim's venue", k => `${newShow} values ('x', 'x', '2027-01-01', ${q(k.b.venue)})`],
    ["an UPDATE to the victim's venue", k => `update app.shows set venue_id = ${q(k.b.venue)}`],
    [
      "MERGE that inserts with the victim's venue",
      k => `merge into app.shows s using (values (${q(k.b.venue)}::uuid)) v(id) on s.id = v.id
        when not matched then insert (title, artist, show_on, venue_id) values ('x', 'x', '2027-01-01', v.id)`,
    ],
  ]),
  ...each({ error: '42501' }, [
    [
      'an INSERT for the victim',
      k =>
        `insert into app.shows (organization_id, title, artist, show_on) values (${q(k.b.organization)}, 'x', 'x', '2027-01-01')`,
    ],
    [
      "an INSERT with the victim's id",
      k =>
        `insert into app.shows (id, title, artist, show_on) values (${q(k.b.show)}, 'x', 'x', '2027-01-01') on conflict do nothing`,
    ],
    ['an INSERT through a view', `insert into app.venue_rows (name) values ('x')`],
    ['an UPDATE that gives a row away', k => `update app.shows set organization_id = ${q(k.b.organization)}`],
    ['an UPDATE of the author', k => `update app.shows set created_by = ${q(k.b.owner.id)}`],
    ['an UPDATE that deletes', 'update app.shows set deleted_at = now()'],
    ['an UPDATE through a view', `update app.venue_rows set name = 'x'`],
    ['a DELETE', k => `delete from app.shows where id = ${q(k.b.show)}`],
    [
      'MERGE that deletes',
      k =>
        `merge into app.shows s using (values (${q(k.b.show)}::uuid)) v(id) on s.id = v.id when matched then delete`,
    ],
    ['TRUNCATE', 'truncate app.shows cascade'],
    [
      'a membership for oneself',
      k =>
        `insert into app.memberships (organization_id, user_id, role) values (${q(k.b.organization)}, ${q(k.a.owner.id)}, 'owner')`,
    ],
    [
      "an UPDATE of somebody's role",
      k => `update app.memberships set role = 'viewer' where user_id = ${q(k.b.owner.id)}`,
    ],
    [
      'a role with more than one holds',
      k => `update app.memberships set role = 'owner' where user_id = ${q(k.a.viewer.id)}`,
    ],
    [
      'a grant for oneself',
      k =>
        `insert into app.member_permissions (organization_id, user_id, permission, effect) values (${q(k.b.organization)}, ${q(k.a.owner.id)}, 'shows.read', 'grant')`,
    ],
    ['what others may', k => `select app.permissions_of(${q(k.b.organization)}, ${q(k.b.owner.id)})`],
    [
      'why others may',
      k =>
        `select * from app.explain_access(${q(k.b.owner.id)}, 'app.shows'::regclass, ${q(k.b.show)}, 'select')`,
    ],
    [
      'a membership that changes its organization',
      k => `update app.memberships set organization_id = ${q(k.b.organization)}`,
    ],
    [
      'a session for somebody else',
      k =>
        `insert into app.sessions (user_id, secret_hash, expires_at) values (${q(k.b.owner.id)}, sha256('x'), now() + interval '1 day')`,
    ],
    ["somebody else's address", k => `update app.users set email = ${q(`x${k.a.owner.email}`)}`],
    ['a verified address', 'update app.users set email_verified_at = now()'],
    [
      'a password',
      k => `update app_private.credentials set verifier = sha256('x') where user_id = ${q(k.b.owner.id)}`,
    ],
    [
      'an invitation',
      k =>
        `insert into app.invitations (organization_id, email, role, mail_id, invited_by, expires_at) values (${q(k.b.organization)}, 'x@example.com', 'owner', gen_random_uuid(), ${q(k.a.owner.id)}, now())`,
    ],
    [
      'more permissions for a role',
      `insert into app.role_permissions values ('viewer', 'organization.delete')`,
    ],
    ['another meaning of a permission', `update app.permissions set name = 'shows.read'`],
    ['other transitions of a status', 'delete from app.show_status_transitions'],
    ['the slug of the victim', k => `update app.organizations set slug = ${q(k.slug)}`],
    ['other keys', `update app_private.context_keys set inner_key = 'x'`],
    ['COPY into a table', 'copy app.shows from stdin'],
  ]),
]
