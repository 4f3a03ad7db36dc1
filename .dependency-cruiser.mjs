// The structure of src/: which part may import which. Arrows point one way, from the programs down to config:
// programs -> app, jobs -> subjects -> tenant -> http, database -> config.
const subjects =
  '^src/(accounts|organizations|shows|settlements|finance|analytics|imports|exports|itineraries|calendar|bi|audit)/'
/** What a subject offers to others: its shapes, and the names of its problems. */
const offered = '(shapes|problems)[.]ts$'

/**
 * Files that match `from` may import from src/ only what matches one of `to`.
 * @param {string} name
 * @param {string} comment
 * @param {string} from
 * @param {string[]} to
 * @param {string} [except]
 */
const only = (name, comment, from, to, except) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from, ...(except && { pathNot: except }) },
  to: { path: '^src/', pathNot: to },
})

export default {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'Move what both need into a file of its own.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    only('config-imports-nothing', 'It is the ground floor.', '^src/(config|version|root)[.]ts$', [
      '^src/(version|root)[.]ts$',
    ]),
    only('database-knows-no-http', 'It knows PostgreSQL and config.', '^src/database/', [
      '^src/database/',
      '^src/(config|root|version)[.]ts$',
    ]),
    only('policies-know-the-database', 'They audit it, for programs and the worker.', '^src/policies/', [
      '^src/(policies|database)/',
      '^src/(config|root)[.]ts$',
    ]),
    only(
      'http-knows-no-sql',
      'It knows HTTP and config; problem.ts also knows the errors of the database.',
      '^src/http/',
      ['^src/http/', '^src/config[.]ts$'],
      '^src/http/problem[.]ts$',
    ),
    only('problem-knows-database-errors', 'See http-knows-no-sql.', '^src/http/problem[.]ts$', [
      '^src/http/',
      '^src/database/errors[.]ts$',
    ]),
    only('tenant-joins-http-and-database', 'It knows no subject.', '^src/tenant/', [
      '^src/(tenant|http|database)/',
      '^src/config[.]ts$',
    ]),
    only(
      'subjects-share-only-shapes',
      'A subject imports what lies below it, and of another subject its shapes.',
      subjects,
      ['^src/$1/', '^src/(tenant|http|database)/', '^src/config[.]ts$', `${subjects}.*${offered}`],
    ),
    {
      name: 'subjects-reach-the-database-through-tenant',
      comment:
        'Types are fine, and what driver.ts knows of postgres.js; the exports that the worker makes have a pool of their own.',
      severity: 'error',
      from: { path: subjects, pathNot: '^src/exports/task[.]ts$' },
      to: {
        path: '^src/database/',
        pathNot: '^src/database/driver[.]ts$',
        dependencyTypesNot: ['type-only'],
      },
    },
    only('jobs-know-subjects', 'They know no program.', '^src/jobs/', [
      '^src/(jobs|monitoring|policies|http|database)/',
      subjects,
      '^src/config[.]ts$',
    ]),
    only('monitoring-stands-beside-jobs', 'It knows no program.', '^src/monitoring/', [
      '^src/(monitoring|policies|http|database)/',
      subjects,
      '^src/config[.]ts$',
    ]),
    {
      name: 'app-knows-routes',
      comment: 'All that app.ts knows of a subject is its routes.ts.',
      severity: 'error',
      from: { path: '^src/app[.]ts$' },
      to: {
        path: subjects,
        pathNot: ['/routes[.]ts$', '^src/analytics/use/use[.]ts$', '^src/exports/open[.]ts$'],
      },
    },
    {
      name: 'demo-stands-beside-the-programs',
      comment: 'Only server.ts loads it (and scripts do).',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/demo/', '^src/server[.]ts$'] },
      to: { path: '^src/demo/' },
    },
  ],
  options: {
    // Types count: what one must read to understand a file is a dependency.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    includeOnly: '^src/',
  },
}
