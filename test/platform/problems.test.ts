import { readdir, readFile } from 'node:fs/promises'
import { t } from '../support/tap.ts'
import { problems } from '../../src/http/problems.ts'
import { aShow, register, startServer } from '../support/helper.ts'

const source = new URL('../../src/', import.meta.url)

/** Named constraints that no request can violate, and why. */
const outOfReach: Record<string, string> = {
  guest_allotments_of_show: 'the id is in it',
  organizations_fiscal_year_starts_in_range: 'the body has the same limits',
  guest_lists_one_per_show: 'a second one changes the first',
  guest_lists_show_exists: 'the show is locked',
  finance_categories_id_kind_key: 'the id is in it',
  finance_periods_month_first: 'the path accepts only a month',
  finance_records_settlement_line_once: 'only settlements write there, each line once',
  settlements_not_booked_because_known: 'only commands write there',
  event_seals_event_once: 'only the sealer writes there',
  api_use_operation_format: 'it is the operationId of a route',
  client_events_kind_known: 'the body accepts no other',
  client_events_name_format: 'the body has the same limits',
  client_events_properties_flat: 'the body has tighter limits',
  integration_use_kind_known: 'the server sets it',
  integration_use_name_length: 'its source has the same limit',
  idempotency_keys_length: 'the header has the same limit',
  idempotency_keys_one_answer: 'a second one is repeated',
  invitations_void_because_known: 'the database sets it',
  itinerary_entries_kind_known: 'publishing writes them',
  itinerary_entries_version_exists: 'publishing writes them',
  itinerary_versions_itinerary_exists: 'the itinerary is locked',
  itinerary_versions_number_positive: 'publishing counts them',
  member_roles_member_exists: 'the member is locked',
  member_roles_role_exists: 'the role has been read, and is only ever marked',
  member_permissions_member_exists: 'the member is locked',
  member_permissions_permission_exists: 'an unknown one is not found',
  permissions_name_format: 'reference data of a migration',
  settlements_number_of_deal: 'the show is locked',
  settlements_one_final_of_deal: 'the show is locked, and a deal with one is settled',
  settlements_deal_exists: 'only commands write settlements',
  deposits_deal_exists: 'a trigger refuses deals of other shows',
  deal_bonuses_deal_exists: 'a trigger refuses deals of other shows',
  deal_adjustments_deal_exists: 'a trigger refuses deals of other shows',
  settlements_status_known: 'the database sets it',
  settlements_final_with_time: 'the database sets it',
  settlements_reopened_when_final: 'the database sets it',
  sessions_revoked_because_known: 'the database sets it',
  sessions_revoked_with_reason: 'the database sets it',
  sessions_secret_hash_unique: '256 random bits',
  sessions_user_agent_length: 'it is truncated to fit',
  imports_resource_known: 'the query accepts no other',
  imports_file_name_length: 'the query has the same limit',
  imports_status_known: 'the database sets it',
  imports_on_error_known: 'the body accepts no other',
  import_progress_import_exists: 'it is created with the import',
  import_chunks_import_exists: 'the import has been read',
  import_lines_import_exists: 'the import has been read',
  exports_resource_known: 'the body accepts no other',
  exports_format_known: 'the body accepts no other',
  exports_filters_size: 'what the lists accept is smaller',
  exports_status_known: 'the database sets it',
  exports_sha256_format: 'the worker writes it',
  exports_ready_with_file: 'the database sets it',
  export_progress_export_exists: 'it is created with the export',
  expenses_status_known: 'the database sets it',
  expenses_rejected_with_reason: 'the database sets it',
  expenses_finance_record_exists: 'approving enters it',
  expense_receipts_expense_exists: 'the expense is locked',
  per_diems_status_known: 'the database sets it',
  per_diems_approved_with_time: 'the database sets it',
  per_diems_finance_record_exists: 'approving enters it',
  per_diems_itinerary_needed: 'the path has it',
}

/** All matches of a pattern with a status and a name, as "404 not_found". */
const named = (text: string, ...patterns: RegExp[]) =>
  patterns.flatMap(pattern =>
    [...text.matchAll(pattern)].map(({ groups = {} }) => `${groups['status']} ${groups['name']}`),
  )

t.test('problems', async t => {
  const server = await startServer(t)
  const { call, db, app } = server

  const functions = await db.admin<{ name: string; text: string }[]>`
    select p.oid::regprocedure::text as name, pg_get_functiondef(p.oid) as text
    from pg_proc p where p.pronamespace in ('app'::regnamespace, 'app_private'::regnamespace) and p.prokind <> 'a'`
  const raisedBySql = new Set<string>()
  for (const { text } of functions) {
    for (const raised of named(
      text,
      // Raised, or returned where raising would undo what was written: see app.refusal.
      /\b(?:refuse|refusal)\((?<status>\d{3}), '(?<name>\w+)'/g,
      /errcode = 'PT(?<status>\d{3})', message = '(?<name>\w+)'/g,
    ))
      raisedBySql.add(raised)
  }
  const protecting = await db.admin<{ name: string }[]>`
    select name from app_private.deletion_edges where not cascades and name !~ '_fkey$'`
  for (const { name } of protecting) raisedBySql.add(`409 ${name}`)

  const constraints = await db.admin<{ name: string; type: string }[]>`
    select conname as name, contype as type from pg_constraint
    where connamespace = 'app'::regnamespace and contype in ('c', 'u', 'x', 'f') and conname !~ '_fkey$'
    union
    select relname, 'u' from pg_index i join pg_class c on c.oid = i.indexrelid
    where c.relnamespace = 'app'::regnamespace and i.indisunique and not i.indisprimary`

  const files = (await readdir(source, { recursive: true })).filter(file => file.endsWith('.ts'))
  const typescript = (await Promise.all(files.map(file => readFile(new URL(file, source), 'utf8')))).join(
    '\n',
  )
  const raisedByServer = new Set(
    named(
      typescript,
      /Problem\(\s*(?<status>\d{3}),\s*'(?<name>\w+)'/g,
      /super\((?<status>\d{3}), '(?<name>\w+)'/g,
      // The table of names of the framework's errors, by status.
      /^ {2}(?<status>\d{3}): '(?<name>\w+)',$/gm,
    ),
  )
  // What a constraint without its own name is called.
  for (const [, name = ''] of typescript.matchAll(/named\('(\w+)'/g))
    raisedByServer.add(`${problems[name]?.status ?? 'no status of'} ${name}`)

  await t.test('SQL refuses in forms that this test can parse', async t => {
    const unread = functions.filter(({ name, text }) => {
      const calls = text.match(/\brefuse\(|(?<!when sqlstate )'PT/g)?.length ?? 0
      const read = named(
        text,
        /refuse\((?<status>\d{3}), (?<name>'\w+'|edge\.name)/g,
        /'PT(?<status>\d{3})', message = (?<name>'\w+')/g,
      ).length
      // Its own name, and the code that it composes.
      return read + (name.startsWith('app.refuse(') ? 2 : 0) !== calls
    })
    t.strictSame(unread, [])
    t.ok(raisedBySql.size > 20)
  })

  await t.test('every problem that is raised is in the table, with its status', async t => {
    for (const raised of [...raisedBySql, ...raisedByServer].sort()) {
      const [status, name = ''] = raised.split(' ')
      t.equal(problems[name]?.status, Number(status), raised)
    }
  })

  await t.test('every named constraint that a request can violate is in the table', async t => {
    const statuses: Record<string, number[]> = { c: [422], u: [409], x: [409], f: [409, 422] }
    for (const { name, type } of constraints) {
      if (name in outOfReach) t.notOk(name in problems, `${name}: ${outOfReach[name] ?? ''}`)
      else t.ok(statuses[type]?.includes(problems[name]?.status ?? 0), name)
    }
    const names = constraints.map(({ name }) => name)
    t.strictSame(
      Object.keys(outOfReach).filter(name => !names.includes(name)),
      [],
      'and those out of reach exist',
    )
  })

  await t.test('the table has nothing that is never raised', async t => {
    const raised = new Set([
      ...[...raisedBySql, ...raisedByServer].map(name => name.split(' ')[1] ?? ''),
      ...constraints.map(({ name }) => name),
    ])
    t.strictSame(
      Object.keys(problems).filter(name => !raised.has(name)),
      [],
    )
  })

  await t.test('the type of every problem leads to its description', async t => {
    for (const [name, { status, title }] of Object.entries(problems)) {
      const answer = await call(`GET /problems/${name}`)
      t.strictSame([answer.status, answer.body], [200, { type: `/problems/${name}`, status, title }])
    }
    for (const name of ['unknown', 'constructor', '__proto__', 'x'.repeat(100)])
      t.equal((await call(`GET /problems/${name}`)).status, 404, name)
    t.equal((await call('GET /problems/Not-a-name')).status, 400)
  })

  await t.test('the instance of a problem is the id of the request', async t => {
    const answer = await call('GET /api/me', { headers: { 'x-request-id': 'chosen-by-client' } })
    t.equal(answer.body['instance'], 'chosen-by-client')
    t.equal(answer.headers['x-request-id'], 'chosen-by-client')
    const own = await call('GET /api/me', { headers: { 'x-request-id': 'no good: "\u0007"' } })
    t.match(own.body['instance'], /^[0-9a-f-]{36}$/)
    t.equal(own.headers['x-request-id'], own.body['instance'])
    t.equal(own.headers['content-type'], 'application/problem+json; charset=utf-8')
  })

  // From here on this file's database is broken on purpose.
  const { token } = await register(server, 'Ana')
  const { id } = (await call<{ id: string }>('POST /api/shows', { token, body: aShow })).body
  const accidents: [what: string, breaks: string, request: `${string} ${string}`, body?: object][] = [
    [
      'a function that is gone',
      'alter function app.read_show(uuid) rename to was_read_show',
      `GET /api/shows/${id}`,
    ],
    ['a grant that is missing', 'revoke select on app.venue_rows from callboard_api', 'GET /api/venues'],
    [
      'a function that nobody may call',
      'revoke execute on function app.read_me() from callboard_api',
      'GET /api/me',
    ],
    [
      'an unknown name',
      `create function app_private.tg_surprise() returns trigger language plpgsql as
         $$ begin raise exception 'select secret from app_private.context_keys'; end $$;
       create trigger surprise before insert on app.venues for each row execute function app_private.tg_surprise()`,
      'POST /api/venues',
      { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'Europe/Amsterdam' },
    ],
    [
      'a column of another name',
      'alter view app.member_list rename column role to was_role',
      'GET /api/users?role=owner',
    ],
  ]
  for (const [what, breaks, request, body] of accidents) {
    await t.test(`${what} is a 500 that says nothing`, async t => {
      await db.admin.unsafe(breaks)
      const answer = await call(request, { token, ...(body && { body }) })
      t.strictSame(answer.body, {
        type: '/problems/internal',
        title: problems['internal']?.title,
        status: 500,
        detail: 'The request failed and has been logged under its instance.',
        instance: answer.headers['x-request-id'],
      })
      for (const value of Object.values(answer.headers))
        t.notMatch(String(value), /postgres|fastify|read_|app_private|stack/i)
    })
  }

  await t.test('an unknown problem keeps its status and says no more', async t => {
    await db.admin.unsafe(`
      create function app_private.tg_unheard() returns trigger language plpgsql as
        $$ begin perform app.refuse(409, 'unheard_of'); end $$;
      create trigger unheard before insert on app.shows for each row execute function app_private.tg_unheard()`)
    const answer = await app.inject({
      method: 'POST',
      url: '/api/shows',
      headers: { authorization: `Bearer ${token}` },
      payload: aShow,
    })
    t.equal(answer.statusCode, 409)
    t.match(answer.json(), { type: '/problems/unheard_of', title: 'Conflict', status: 409 })
  })
})
