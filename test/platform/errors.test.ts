import { t } from '../support/tap.ts'
import { prove } from '../../src/accounts/password.ts'
import { Stale, Unavailable } from '../../src/database/errors.ts'
import { tls } from '../../src/database/node-postgres.ts'
import { Problem, toProblem } from '../../src/http/problem.ts'
import { addProblems } from '../../src/http/problems.ts'
import { problems } from '../../src/shows/problems.ts'

addProblems(problems)

/** An error as postgres.js passes it on. */
const fromPostgres = (code: string, more: object = {}) =>
  Object.assign(new Error('said by PostgreSQL'), { code, severity_local: 'ERROR', ...more })

t.test('an error of PostgreSQL becomes a problem', async t => {
  const cases: [what: string, error: Error, status: number, problem: string][] = [
    [
      'of our own, with its status in the code',
      Object.assign(fromPostgres('PT409'), { message: 'last_owner' }),
      409,
      'last_owner',
    ],
    [
      'refused by a policy',
      fromPostgres('42501', { routine: 'ExecWithCheckOptions' }),
      403,
      'permission_denied',
    ],
    [
      'for a missing grant, which is our mistake',
      fromPostgres('42501', { routine: 'aclcheck_error' }),
      500,
      'internal',
    ],
    [
      'of a constraint with a name',
      fromPostgres('23514', { constraint_name: 'shows_doors_before_start' }),
      422,
      'shows_doors_before_start',
    ],
    [
      'of a check nobody has named',
      fromPostgres('23514', { constraint_name: 'some_check' }),
      422,
      'unprocessable',
    ],
    ['of a missing value', fromPostgres('23502'), 422, 'unprocessable'],
    ['of a key nobody has named', fromPostgres('23505', { constraint_name: 'some_key' }), 409, 'conflict'],
    ['of a reference', fromPostgres('23503'), 409, 'conflict'],
    ['of an exclusion', fromPostgres('23P01'), 409, 'conflict'],
    ['of a value that is none of the column’s', fromPostgres('22008'), 400, 'invalid_value'],
    ['of a statement that took too long', fromPostgres('57014'), 503, 'database_unavailable'],
    ['of a lock that was not to be had', fromPostgres('55P03'), 503, 'database_unavailable'],
    ['of a database that only reads', fromPostgres('25006'), 503, 'database_unavailable'],
    ['of a full disk', fromPostgres('53100'), 503, 'database_unavailable'],
    ['of memory', fromPostgres('53200'), 503, 'database_unavailable'],
    ['of connections', fromPostgres('53300'), 503, 'database_unavailable'],
    ['of a serialization', fromPostgres('40001'), 503, 'database_unavailable'],
    ['of a deadlock', fromPostgres('40P01'), 503, 'database_unavailable'],
    ['of our SQL', fromPostgres('42601'), 500, 'internal'],
  ]
  for (const [what, error, status, problem] of cases) {
    const shaped = toProblem(error)
    t.match(shaped, { status, problem }, what)
    t.notMatch(shaped.message, /said by PostgreSQL/, `${what}: its text stays inside`)
  }
})

t.test('a database that gives no answer, or is being changed, becomes a problem', async t => {
  for (const error of [
    new Unavailable('busy'),
    new Unavailable('lost', new Error('ECONNRESET')),
    new Stale(),
  ])
    t.match(toProblem(error), { status: 503, problem: 'database_unavailable', message: error.message })
})

t.test('an error of anything else becomes a problem', async t => {
  const known = new Problem(404, 'not_found')
  t.equal(toProblem(known), known)
  t.match(toProblem(Object.assign(new Error('a teapot'), { statusCode: 418 })), {
    status: 418,
    problem: 'bad_request',
  })
  t.match(toProblem(Object.assign(new Error('too large'), { statusCode: 413 })), {
    status: 413,
    problem: 'payload_too_large',
  })
  t.match(toProblem(Object.assign(new Error('ours'), { statusCode: 502 })), {
    status: 500,
    problem: 'internal',
  })
  t.match(toProblem(new TypeError('a bug')), { status: 500, problem: 'internal' })
  t.equal(new Problem(404, 'not_found', 'In other words.').message, 'In other words.')
  t.match(new Problem(418, 'unheard_of').message, 'unheard_of')
})

t.test('a recipe that is not argon2id is not followed', async t => {
  await t.rejects(prove('a password', 'md5$abc'), /not for argon2id/)
})

t.test('two problems of one name would be told apart by nobody, so they are refused', async t => {
  addProblems(problems)
  t.throws(() => {
    addProblems({ ...problems, not_found: { status: 404, title: 'Another' } })
  }, /Two problems are named not_found/)
})

t.test('sslmode means to node-postgres what it means to libpq', async t => {
  const cases: [mode: string | undefined, plain: boolean, ssl: unknown][] = [
    [undefined, false, false],
    ['disable', false, false],
    ['prefer', false, { rejectUnauthorized: false }],
    ['prefer', true, false],
    ['require', false, { rejectUnauthorized: false }],
    ['verify-full', false, { rejectUnauthorized: true }],
  ]
  for (const [mode, plain, ssl] of cases) {
    const url = `postgres://callboard_worker@db.example/callboard${mode === undefined ? '' : `?sslmode=${mode}`}`
    t.match(tls(url, plain), { connectionString: /callboard$/, ssl }, mode ?? 'none')
  }
})
