// `npm run audit:access -- --org <slug or id>` writes who has access to an organization, and from whom, for a review.
// It connects with AUDITOR_DATABASE_URL, as callboard_auditor.
import { writeFileSync } from 'node:fs'
import postgres from 'postgres'
import { misuse, readArguments } from '../../src/arguments.ts'
import { html, pageOf } from '../../src/http/html.ts'
import { plain } from './output/markdown.ts'
import { style } from './output/style.ts'

interface Grant {
  permission: string
  effect: 'grant' | 'deny'
  expires_at: string | null
  granted_by: string | null
  granted_at: string
}
interface Review {
  organization: { id: string; name: string }
  at: string
  members: {
    name: string
    email: string
    email_verified: boolean
    role: string | null
    custom_roles: string[]
    permissions: string[]
    grants: Grant[]
    member_since: string
    open_sessions: number
    last_seen_at: string | null
  }[]
  custom_roles: { name: string; permissions: string[] }[]
  doors: Record<
    'invitations' | 'bi_logins' | 'calendar_feeds' | 'superadmins',
    Record<string, string | boolean | null>[]
  >
  head: { seq: number; hash: string; occurred_at: string } | null
}
interface Table {
  title: string
  columns: string[]
  rows: string[][]
}

const usage = `Usage: npm run audit:access -- --org <slug or id> [options]

Writes who has access to an organization and from whom: members with their roles, permissions and grants; invitations,
BI logins, calendar feeds and superadmins' grants that still work; and the head of the event log, in which every change
of them is sealed. Keep the report: npm run audit:verify -- --head <head> later shows that this past is unaltered.

  --json, --markdown, --html <file>
                         writes the report; - is the standard output, instead of Markdown
  --help                 this`

/** An instant to the minute, in UTC. */
const minute = (at: unknown) => (typeof at === 'string' ? `${at.slice(0, 10)} ${at.slice(11, 16)}` : '–')
const word = (value: unknown) =>
  typeof value === 'boolean' ? (value ? 'yes' : 'no') : typeof value === 'string' ? value : '–'
const said = ({ permission, effect, expires_at, granted_by, granted_at }: Grant) =>
  `${effect === 'deny' ? 'not ' : ''}${permission}, by ${granted_by ?? 'nobody who is known'} on ${granted_at.slice(0, 10)}` +
  (expires_at === null ? '' : `, until ${minute(expires_at)}`)

/** The table of what opens the organization in one way: instants by their names. */
function doorsOf(title: string, rows: Record<string, string | boolean | null>[]): Table {
  const columns = Object.keys(rows[0] ?? {})
  return {
    title,
    columns,
    rows: rows.map(row => columns.map(name => (name.endsWith('_at') ? minute(row[name]) : word(row[name])))),
  }
}

export function tablesOf({ members, custom_roles, doors }: Review): Table[] {
  return [
    {
      title: 'Members',
      columns: ['name', 'email', 'roles', 'member since', 'last seen', 'open sessions'],
      rows: members.map(m => [
        m.name,
        m.email_verified ? m.email : `${m.email} (not verified)`,
        [m.role, ...m.custom_roles].filter(role => role !== null).join(', ') || '–',
        minute(m.member_since),
        minute(m.last_seen_at),
        String(m.open_sessions),
      ]),
    },
    {
      title: 'Permissions granted or denied to one member',
      columns: ['email', 'permission'],
      rows: members.flatMap(m => m.grants.map(grant => [m.email, said(grant)])),
    },
    {
      title: 'What each member holds',
      columns: ['email', 'permissions'],
      rows: members.map(m => [m.email, m.permissions.join(', ')]),
    },
    {
      title: 'Custom roles',
      columns: ['name', 'permissions'],
      rows: custom_roles.map(role => [role.name, role.permissions.join(', ')]),
    },
    doorsOf('Open invitations', doors.invitations),
    doorsOf('BI logins', doors.bi_logins),
    doorsOf('Calendar feeds', doors.calendar_feeds),
    doorsOf('Superadmins with a grant', doors.superadmins),
  ]
}

function sentencesOf({ organization, at, head }: Review): string[] {
  return [
    `Organization ${organization.name} (${organization.id}), as of ${minute(at)} UTC.`,
    head
      ? `Head of the event log: ${head.seq}:${head.hash}, of ${minute(head.occurred_at)} UTC.`
      : 'Nothing in its event log is sealed yet.',
  ]
}

function markdown(review: Review): string {
  const line = (cells: string[]) => `| ${cells.map(plain).join(' | ')} |`
  return `${[
    '# Who has access',
    ...sentencesOf(review).map(plain),
    ...tablesOf(review).flatMap(({ title, columns, rows }) => [
      `## ${title}`,
      rows.length === 0
        ? 'None.'
        : [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n'),
    ]),
  ].join('\n\n')}\n`
}

function page(review: Review): string {
  const table = ({ title, columns, rows }: Table) =>
    html`<h2>${title}</h2>
      ${
        rows.length === 0
          ? html`<p>None.</p>`
          : html`<div class="wide">
              <table>
                <thead>
                  <tr>
                    ${columns.map(name => html`<th scope="col">${name.replaceAll('_', ' ')}</th>`)}
                  </tr>
                </thead>
                <tbody>
                  ${rows.map(
                    cells =>
                      html`<tr>
                        ${cells.map(cell => html`<td>${cell}</td>`)}
                      </tr> `,
                  )}
                </tbody>
              </table>
            </div>`
      }`
  return pageOf(
    `Who has access: ${review.organization.name}`,
    style,
    html`<h1>Who has access</h1>
      ${sentencesOf(review).map(sentence => html`<p>${sentence}</p>`)} ${tablesOf(review).map(table)}`,
  )
}

async function read(url: string, org: string): Promise<Review> {
  const sql = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: 10,
    connection: { TimeZone: 'UTC' },
  })
  try {
    const isId = /^[0-9a-f-]{36}$/.test(org)
    const [found] = isId
      ? [{ id: org }]
      : await sql<{ id: string }[]>`select id from app.audited_organizations(${org})`
    const [row] = await sql<[{ review: Review | null }?]>`
      select app.review_access(${found?.id ?? null}) as review`
    if (!row?.review) throw new Error(`There is no organization ${org}.`)
    return row.review
  } finally {
    await sql.end({ timeout: 5 })
  }
}

async function main(): Promise<void> {
  const { values } = readArguments(usage, {
    org: { type: 'string' },
    json: { type: 'string' },
    markdown: { type: 'string' },
    html: { type: 'string' },
  })
  if (values.org === undefined) misuse(usage, 'Say which organization: --org <slug or id>')
  const url = process.env['AUDITOR_DATABASE_URL']
  if (!url) throw new Error('Set AUDITOR_DATABASE_URL to the connection of callboard_auditor.')
  const review = await read(url, values.org)
  const files = [
    [values.json, () => `${JSON.stringify(review, null, 1)}\n`],
    [
      values.markdown ?? (values.json === '-' || values.html === '-' ? undefined : '-'),
      () => markdown(review),
    ],
    [values.html, () => page(review)],
  ] as const
  for (const [file, make] of files) {
    if (file === '-') process.stdout.write(make())
    else if (file !== undefined) writeFileSync(file, make())
  }
}

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 2
})
