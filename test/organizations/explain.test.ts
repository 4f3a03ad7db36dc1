import { t } from '../support/tap.ts'
import { aShow, join, joinAs, type Person, register, startServer } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

interface Explanation {
  is_allowed: boolean
  reason: string
  steps: { step: string; passes: boolean; detail: string }[]
}
const unknown = '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111'

t.test('why somebody may or may not', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana', 'Northlight')
  const eve = await register(server, 'Eve', 'Elsewhere')
  const ben = await join(server, ana, 'viewer', 'Ben')
  const make = async (by: Person, path: string, body: object) =>
    (await call<{ id: string }>(`POST ${path}`, { token: by.token, body })).body.id
  const show = await make(ana, '/api/shows', aShow)
  const theirs = await make(eve, '/api/shows', aShow)
  const ask = async (body: object, by: Person = ana) =>
    (await call<Explanation>('POST /api/access/explain', { token: by.token, body })).body
  const asDba = (
    who: string,
    table: string,
    id: string | null,
    command: string,
    organization: string | null = null,
  ) =>
    db.admin<{ step: string; passes: boolean; detail: string }[]>`
      select * from app.explain_access(${who}, ${table}::regclass, ${id}, ${command}, ${organization})`
  const firstRefusal = (steps: readonly { step: string; passes: boolean; detail: string }[]) => {
    const step = steps.find(({ passes }) => !passes)
    return step ? `${step.step}: ${step.detail}` : 'allowed'
  }

  await t.test('is answered for all four commands', async t => {
    t.match(await ask({ user_id: ben.id, table: 'shows', id: show, command: 'select' }), {
      is_allowed: true,
      reason: 'Nothing stands in the way.',
    })
    const missing: Record<string, string> = {
      insert: 'They do not hold shows.write. These roles do: admin, manager, owner.',
      update: 'They do not hold shows.write. These roles do: admin, manager, owner.',
      delete: 'They do not hold shows.delete. These roles do: admin, owner.',
    }
    for (const [command, reason] of Object.entries(missing)) {
      const id = command === 'insert' ? undefined : show
      t.match(await ask({ user_id: ben.id, table: 'shows', id, command }), { is_allowed: false, reason })
      t.match(await ask({ table: 'shows', id, command }), { is_allowed: true }, `the owner may ${command}`)
    }
  })

  await t.test('names a role of the organization’s own that would give the permission', async t => {
    await make(ana, '/api/roles', { name: 'Closers', permissions: ['shows.delete'] })
    t.equal(
      (await ask({ user_id: ben.id, table: 'shows', id: show, command: 'delete' })).reason,
      'They do not hold shows.delete. These roles do: admin, owner, Closers.',
    )
  })

  await t.test('says where a permission comes from, and that it is denied', async t => {
    const path = `/api/users/${ben.id}/permissions`
    const put = (permission: string, body: object) =>
      call(`PUT ${path}/${permission}`, { token: ana.token, body })
    await put('shows.write', { effect: 'grant', expires_at: '2999-01-01T00:00:00Z' })
    const granted = await ask({ user_id: ben.id, table: 'shows', id: show, command: 'update' })
    t.match(granted, { is_allowed: true })
    t.match(
      granted.steps.find(({ step }) => step === 'permission')?.detail,
      /^They hold shows\.write, by a grant until 2999-01-01/,
    )
    await put('shows.read', { effect: 'deny' })
    t.equal(
      (await ask({ user_id: ben.id, table: 'shows', id: show, command: 'select' })).reason,
      'shows.read is denied to them.',
    )
    for (const permission of ['shows.write', 'shows.read'])
      await call(`DELETE ${path}/${permission}`, { token: ana.token })
  })

  await t.test('tells a deleted row from one that is not there, and one of others is not there', async t => {
    const gone = await make(ana, '/api/shows', aShow)
    await call(`DELETE /api/shows/${gone}`, { token: ana.token })
    const deleted = await ask({ table: 'shows', id: gone, command: 'select' })
    t.match(deleted.reason, new RegExp(`^It was deleted at .+ by ${ana.email}: it is in the bin\\.$`))
    const [other, none] = await Promise.all(
      [theirs, unknown].map(id => ask({ table: 'shows', id, command: 'select' })),
    )
    t.strictSame(other, none, 'to the letter')
    t.equal(other?.reason, 'There is no such row.')
  })

  await t.test('says which status may follow, and what still refers to a row', async t => {
    const settled = await make(ana, '/api/shows', { ...aShow, status: 'settled' })
    const question = { table: 'shows', id: settled, command: 'update', changes: { status: 'offer' } }
    t.equal((await ask(question)).reason, 'From settled it can go to no other status.')
    const early = await ask({ ...question, id: show, changes: { status: 'played' } })
    t.equal(early.reason, 'From inquiry it can go to cancelled, hold, offer.')
    t.match(await ask({ ...question, id: show, changes: { status: 'hold' } }), { is_allowed: true })
    const venue = await make(ana, '/api/venues', {
      name: 'Vera',
      city: 'Groningen',
      country: 'NL',
      time_zone: 'Europe/Amsterdam',
    })
    const removal = { table: 'venues', id: venue, command: 'delete' }
    t.match(await ask(removal), { is_allowed: true })
    await make(ana, '/api/shows', { ...aShow, venue_id: venue })
    t.equal((await ask(removal)).reason, 'Something in app.shows still refers to it.')
    t.equal(
      outcome(await call(`DELETE /api/venues/${venue}`, { token: ana.token })),
      '409 shows_venue_exists',
    )
  })

  await t.test('says what else keeps a row as it is', async t => {
    const { body } = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
      token: ana.token,
    })
    const record = await make(ana, '/api/finance-records', {
      kind: 'income',
      category_id: body.items[0]?.id,
      booked_on: '2027-03-14',
      amount_minor: 1,
    })
    const booked = { table: 'finance_records', id: record, command: 'update' }
    t.match(await ask(booked), { is_allowed: true })
    await call('PUT /api/finance-periods/2027-03', { token: ana.token })
    t.match(await ask(booked), { is_allowed: false, reason: 'The books of 2027-03 are closed.' })
    t.match(await ask({ ...booked, command: 'delete' }), { is_allowed: false })
    t.match(await ask({ ...booked, command: 'select' }), { is_allowed: true })

    const played = await make(ana, '/api/shows', { ...aShow, status: 'played' })
    const deal = { kind: 'flat', currency: 'EUR', guarantee_minor: 1 }
    const question = {
      table: 'deals',
      id: await make(ana, `/api/shows/${played}/deals`, deal),
      command: 'update',
    }
    t.match(await ask(question), { is_allowed: true })
    const revision = await make(ana, `/api/shows/${played}/settlements`, { reason: null })
    await call(`POST /api/settlements/${revision}/finalize`, { token: ana.token })
    t.match(await ask(question), { is_allowed: false, reason: /^The show is settled/ })
  })

  await t.test('is answered about oneself to everybody, about others to those who manage people', async t => {
    t.match(await ask({ table: 'shows', id: show, command: 'delete' }, ben), { is_allowed: false })
    const about = (user_id: string, by: Person) =>
      call('POST /api/access/explain', {
        token: by.token,
        body: { user_id, table: 'shows', command: 'select' },
      }).then(outcome)
    t.equal(await about(ana.id, ben), '403 permission_denied')
    t.equal(await about(eve.id, ana), '404 not_found')
    t.equal(await about(unknown, ana), '404 not_found')
  })

  await t.test('tells nobody of rows that they may not read', async t => {
    const hr = await joinAs(server, ana, ['members.manage', 'members.read'])
    const [real, none] = await Promise.all(
      [show, unknown].map(id => ask({ user_id: ana.id, table: 'shows', id, command: 'select' }, hr)),
    )
    t.strictSame(real, none)
  })

  await t.test('refuses what is no question', async t => {
    const refusal = (body: object) =>
      call('POST /api/access/explain', { token: ana.token, body }).then(outcome)
    t.equal(await refusal({ table: 'mails', command: 'select' }), '422 explain_table_unknown')
    t.equal(await refusal({ table: 'riddles', command: 'select' }), '422 explain_table_unknown')
    t.equal(await refusal({ table: 'member_roles', id: show, command: 'select' }), '422 explain_row_unnamed')
    t.equal(await refusal({ table: 'shows', command: 'truncate' }), '400 validation')
  })

  await t.test('is told to a DBA of everybody and everything', async t => {
    t.equal(
      firstRefusal(await asDba(unknown, 'app.shows', show, 'select')),
      'account: There is no such account.',
    )
    t.equal(
      firstRefusal(await asDba(eve.id, 'app.shows', show, 'select')),
      'membership: They do not belong to it.',
    )
    t.equal(
      firstRefusal(await asDba(ana.id, 'app.shows', theirs, 'select', ana.organization)),
      'row: It belongs to another organization, Elsewhere.',
    )
    t.equal(
      firstRefusal(await asDba(ana.id, 'app.shows', unknown, 'select')),
      'organization: There is no such organization, or the row belongs to none.',
    )
    t.equal(firstRefusal(await asDba(ana.id, 'app.shows', show, 'delete')), 'allowed')
    t.equal(
      firstRefusal(await asDba(ana.id, 'app.memberships', ben.id, 'update', ana.organization)),
      'allowed',
    )
    const { id, token } = await join(server, ana, 'viewer', 'Cleo')
    await call('POST /api/auth/sign-out', { token })
    await db.admin`update app.sessions set revoked_at = now(), revoked_because = 'revoked' where user_id = ${id} and revoked_at is null`
    t.match(
      firstRefusal(await asDba(id, 'app.shows', show, 'select')),
      /^session: All their sessions have ended; reason for the last one: /,
    )
    await call(`DELETE /api/users/${id}`, { token: ana.token })
    t.match(
      (await asDba(id, 'app.shows', show, 'select')).find(({ step }) => step === 'membership')?.detail,
      /^They have not been a member since /,
    )
    const dan = await register(server, 'Dan', 'Doomed')
    const doomed = await make(dan, '/api/shows', aShow)
    await call(`DELETE /api/organizations/${dan.organization}`, { token: dan.token })
    t.equal(
      firstRefusal(await asDba(dan.id, 'app.shows', doomed, 'select')),
      'organization: Doomed has been deleted.',
    )
    await t.rejects(asDba(ana.id, 'app.shows', null, 'select'), { message: 'explain_row_needed' })
    await t.rejects(asDba(ana.id, 'app.shows', show, 'truncate'), { message: 'explain_command_unknown' })
    await t.rejects(asDba(ana.id, 'app.permissions', null, 'select', ana.organization), {
      message: 'explain_table_unknown',
    })
  })

  await t.test('is told to no login but through the API', async t => {
    for (const role of ['callboard_api', 'callboard_worker'])
      await t.rejects(
        db.as(role)`select * from app.explain_access(${ana.id}, 'app.shows'::regclass, ${show}, 'select')`,
        { code: '42501' },
        role,
      )
  })
})
