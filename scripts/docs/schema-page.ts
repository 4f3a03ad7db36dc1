// docs/reference/schema.md: the schema as a DBA looks it up, subject by subject.
import type { Catalogue, Policy, Table } from './catalogue.ts'
import { diagram, short } from './diagram.ts'
import { anchor, code, prose, table } from './markdown.ts'
import type { Subjects } from './subjects.ts'

interface Titles {
  [name: string]: { title: string } | undefined
}

/** The page; `titles` says what a client is told when a constraint is violated. */
export function schemaPage(catalogue: Catalogue, subjects: Subjects, titles: Titles): string {
  const subjectOf = ({ name }: { name: string }) => subjects.origin(name).subject
  const sections = subjects.names
    .map(subject => ({
      subject,
      tables: catalogue.tables.filter(item => subjectOf(item) === subject),
      views: catalogue.views.filter(item => subjectOf(item) === subject),
      functions: catalogue.functions.filter(item => subjectOf(item) === subject),
    }))
    .filter(({ tables, views, functions }) => tables.length + views.length + functions.length > 0)
  const lines = [
    '# The schema',
    '',
    'Generated from the database by `npm run docs`: change `db/schema/`, not this page.',
    '',
    ...introduction,
    '## Contents',
    '',
    ...sections.map(({ subject, tables, views, functions }) =>
      [
        `- [${capital(subject)}](#${subject})`,
        tables.length > 0 && `: ${tables.map(({ name }) => `[${short(name)}](#${anchor(name)})`).join(', ')}`,
        views.length > 0 && `; [views](#views-of-${subject})`,
        functions.length > 0 && `; [functions](#functions-of-${subject})`,
      ]
        .filter(part => part !== false)
        .join('')
        .replace(/\); \[(views|functions)/, tables.length > 0 ? '); [$1' : '): [$1'),
    ),
    '',
    ...sections.flatMap(({ subject, tables, views, functions }) => [
      `## ${capital(subject)}`,
      '',
      ...(tables.length > 0
        ? diagram(catalogue.tables, name => subjects.origin(name).subject === subject)
        : []),
      ...tables.flatMap(item => tableSection(item, subjects.origin(item.name).file, titles)),
      ...(views.length > 0 ? [`### Views of ${subject}`, ''] : []),
      ...table(
        ['View', 'Readable by', 'What it shows'],
        views.map(({ name, grantees, comment }) => [code(name), roles(grantees), prose(comment ?? '')]),
      ),
      ...(functions.length > 0 ? [`### Functions of ${subject}`, ''] : []),
      ...table(
        ['Function', 'Returns', 'What it does'],
        functions.map(({ signature, result, comment }) => [
          code(signature),
          code(result),
          prose(comment ?? ''),
        ]),
      ),
    ]),
  ]
  return `${lines.join('\n').trim()}\n`
}

const introduction = [
  'Each subject below is a folder of `db/schema/`. Its diagram has the key columns of its tables and the relations to and from other subjects. Two relations of almost every table are not drawn: `organization_id` to `organizations`, and `…_by` to `users`.',
  '',
  'A policy decides which rows a role sees and changes. "Rows" names the organization of the request (`app.current_org()`) and, where there is one, the permission without which that organization is NULL and no row matches (`app.org_if(permission)`). [permissions.md](permissions.md) says which role holds a permission; [db/README.md](../../db/README.md) explains roles and policies.',
  '',
  'Functions are listed if `callboard_api` may execute them; the others are internal. `PT403`, `PT404` and so on are the SQLSTATEs that become HTTP statuses.',
  '',
]

function tableSection({ name, ...about }: Table, file: string, titles: Titles): string[] {
  const partitions = about.partitionedBy === null ? '' : ` Partitioned by ${code(about.partitionedBy)}.`
  return [
    `### ${name}`,
    '',
    `${prose(about.comment ?? '')}${partitions} [${file}](../../db/schema/${file})`.trim(),
    '',
    ...table(
      ['Column', 'Type', 'Null', 'Default', 'Meaning'],
      about.columns.map(column => [
        code(column.name),
        column.type,
        column.isNullable ? 'yes' : '',
        column.default === null ? '' : code(column.default),
        prose(column.comment ?? ''),
      ]),
    ),
    ...table(
      ['Constraint', 'Rule', 'Problem on violation'],
      about.constraints.map(({ name, definition, comment }) => [
        code(name),
        [code(definition), ...(comment === null ? [] : [prose(comment)])].join(' '),
        prose(titles[name]?.title ?? ''),
      ]),
    ),
    ...table(
      ['Index', 'On', 'For'],
      about.indexes.map(index => [
        code(index.name),
        `${index.isUnique ? 'unique, ' : ''}${code(index.definition)}`,
        prose(titles[index.name]?.title ?? index.comment ?? ''),
      ]),
    ),
    ...table(
      ['Trigger', 'When', 'Calls', 'What it does'],
      about.triggers.map(({ name, event, call, comment }) => [
        code(name),
        event,
        code(call),
        prose(comment ?? ''),
      ]),
    ),
    ...table(
      ['Policy', 'Command', 'Role', 'Permission', 'Rows'],
      about.policies.map(policy => [
        code(policy.name),
        policy.command,
        roles(policy.roles),
        permissionsOf(policy).map(code).join(', '),
        rows(policy),
      ]),
    ),
  ]
}

const permissionsOf = ({ using, check }: Policy) => [
  ...new Set(
    [...`${using ?? ''} ${check ?? ''}`.matchAll(/app\.org_if\('([a-z_.]+)'/g)].map(([, name = '']) => name),
  ),
]

function rows({ using, check }: Policy): string {
  if (check === null || using === null || check === using) return condition(using ?? check ?? '')
  return `${condition(using)}; written: ${condition(check)}`
}

// The shapes that all but a few policies have; the others are shown as they are.
function condition(expression: string): string {
  if (expression === 'true') return 'all'
  if (/^\(organization_id = \( SELECT app\.org_if\('[a-z_.]+'::text\) AS org_if\)\)$/.test(expression))
    return "the organization's"
  if (expression === '(organization_id = ( SELECT app.current_org() AS current_org))')
    return "the organization's"
  return code(
    expression.replace(/\( SELECT (app\.\w+\([^()]*\)) AS \w+\)/g, '$1').replace(/^\((.*)\)$/s, '$1'),
  )
}

const roles = (names: string[]) => names.map(name => name.replace(/^callboard_/, '')).join(', ')
const capital = (word: string) => (word === 'bi' ? 'BI' : word.charAt(0).toUpperCase() + word.slice(1))
