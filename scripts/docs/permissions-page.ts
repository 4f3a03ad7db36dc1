// docs/reference/permissions.md: which role may do what, and what each operation of the API needs.
import type { Permissions } from './catalogue.ts'
import { code, prose, table } from './markdown.ts'

interface Operation {
  operationId?: string
  summary?: string
  'x-permission'?: string
}
/** As much of an OpenAPI document as this page needs. */
export interface Document {
  paths?: Record<string, Record<string, Operation>>
}

/** The page, from the rows of app.permissions, app.roles and app.role_permissions and from the OpenAPI document. */
export function permissionsPage({ roles, permissions }: Permissions, document: Document): string {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { 'x-permission': permission }]) => permission !== undefined)
      .map(([method, { summary = '', 'x-permission': permission = '' }]) => ({
        request: `${method.toUpperCase()} ${path}`,
        path,
        summary,
        permission,
      })),
  )
  const known = new Set(permissions.map(({ name }) => name))
  const unknown = operations.filter(({ permission }) => !known.has(permission))
  if (unknown.length > 0)
    throw new Error(`No such permission: ${unknown.map(o => `${o.permission} (${o.request})`).join(', ')}`)
  const lines = [
    '# Permissions',
    '',
    'Generated from the database and the OpenAPI document by `npm run docs`: change `db/schema/organizations/permissions.sql` or `x-permission` of a route, not this page.',
    '',
    'Every organization has the same four roles. It can add its own roles, and grant or deny a permission to a single member; a denial overrides everything else. [Roles](roles.md) explains how they combine.',
    '',
    '- [Roles](#roles)',
    '- [Who holds what](#who-holds-what)',
    '- [What operations need](#what-operations-need)',
    '',
    '## Roles',
    '',
    ...table(
      ['Role', 'What it is for', 'Permissions'],
      roles.map(({ name, description }) => [
        code(name),
        prose(description),
        String(permissions.filter(permission => permission.roles.includes(name)).length),
      ]),
    ),
    '## Who holds what',
    '',
    ...table(
      ['Permission', ...roles.map(({ name }) => name), 'What it allows'],
      permissions.map(({ name, description, roles: holders }) => [
        code(name),
        ...roles.map(role => (holders.includes(role.name) ? '✓' : '–')),
        prose(description),
      ]),
    ),
    '## What operations need',
    '',
    'An operation may need more for some of its values; its description then says so. Operations without a permission, such as signing in or changing your own profile, are not listed.',
    '',
    ...permissions.flatMap(({ name, description }) => [
      `### ${name}`,
      '',
      `${prose(description)}. Held by ${holdersOf(name)}.`,
      '',
      ...operationsOf(name),
    ]),
  ]
  return `${lines.join('\n').trim()}\n`

  function holdersOf(permission: string) {
    const held = roles.filter(({ name }) =>
      permissions.some(other => other.name === permission && other.roles.includes(name)),
    )
    return held.map(({ name }) => name).join(', ') || 'no built-in role'
  }

  function operationsOf(permission: string) {
    const needing = operations
      .filter(operation => operation.permission === permission)
      .sort((a, b) => (a.path === b.path ? compare(a.request, b.request) : compare(a.path, b.path)))
    if (needing.length === 0) return ['No operation requires it by itself.', '']
    return table(
      ['Request', 'What it does'],
      needing.map(({ request, summary }) => [code(request), prose(summary)]),
    )
  }
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
