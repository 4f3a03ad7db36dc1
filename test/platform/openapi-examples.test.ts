import { t } from '../support/tap.ts'
import { checkValue } from '../support/contract.ts'
import { register, signIn, startServer } from '../support/helper.ts'
import { kindsOf, make } from '../support/make.ts'
import { readDocument } from '../support/openapi.ts'

t.test('the OpenAPI document, taken literally,', async t => {
  const server = await startServer(t)
  const { app, call, db } = server
  const { document, operations, responsesOf, callExample } = await readDocument(server)

  await t.test('states for every operation in an organization which permission it needs', async t => {
    const rows = await db.admin<{ name: string }[]>`select name from app.permissions`
    const ana = await register(server, 'Ana')
    const feeds = ['listCalendarFeeds', 'createCalendarFeed', 'revokeCalendarFeed']
    for (const { operation, name } of operations) {
      const permission = operation['x-permission']
      if (permission !== undefined)
        t.ok(
          rows.some(row => row.name === permission),
          `${permission} is a permission`,
        )
      if (operation.security?.length === 0) continue
      // A new session each time, since some of the operations end it.
      const { token } = await signIn(server, ana.email)
      const nowhere = app.jwt.sign({ ...app.jwt.decode<object>(token), org: null } as never)
      const { body } = await callExample(name, operation, nowhere)
      // It has been deleted, so nobody can be in it.
      const needsOrganization =
        // explain needs no permission about oneself, and the calendar one of two.
        ['explainAccess', 'readCalendar', 'recordClientEvents', ...feeds].includes(operation.operationId) ||
        (permission !== undefined && operation.operationId !== 'restoreOrganization')
      t.equal(
        body.type === '/problems/no_organization',
        needsOrganization,
        `${name} runs in an organization, or not`,
      )
    }
  })

  await t.test('has examples that the server accepts', async t => {
    // An example cannot know what is secret, deleted or somebody else's; it still gets as far as this.
    const refused: Record<string, string> = {
      signIn: 'membership_revoked',
      refresh: 'invalid_refresh_token',
      resetPassword: 'invalid_token',
      verifyEmail: 'invalid_token',
      acceptInvitation: 'invalid_token',
      changePassword: 'wrong_password',
      revokeSession: 'not_found',
      switchOrganization: 'not_found',
      transferOwnership: 'not_found',
      // The example of register has claimed this address.
      addUser: 'address_unverified',
      changeUserRole: 'last_owner',
      removeUser: 'last_owner',
      assignRole: 'last_owner',
      // They have another one.
      unassignRole: 'not_found',
      clearUserPermission: 'not_found',
      explainAccess: 'not_found',
      createSupportToken: 'support_grant_needed',
      listAllOrganizations: 'support_grant_needed',
      setRateLimit: 'support_grant_needed',
      readInvitation: 'not_found',
      readEvent: 'not_found',
      readBiCredential: 'not_found',
      rotateBiCredential: 'not_found',
      revokeBiCredential: 'not_found',
      revokeInvitation: 'not_found',
      resendInvitation: 'not_found',
      createItineraryDay: 'itinerary_days_itinerary_exists',
      createScheduleItem: 'schedule_items_day_exists',
      createTravelSegment: 'travel_segments_itinerary_exists',
      createLodging: 'lodgings_itinerary_exists',
      createLodgingRoom: 'lodging_rooms_lodging_exists',
      createPartyMember: 'party_members_itinerary_exists',
      createPartyGroup: 'party_groups_itinerary_exists',
      readItineraryDay: 'not_found',
      updateItineraryDay: 'not_found',
      deleteItineraryDay: 'not_found',
      readScheduleItem: 'not_found',
      updateScheduleItem: 'not_found',
      deleteScheduleItem: 'not_found',
      readTravelSegment: 'not_found',
      updateTravelSegment: 'not_found',
      deleteTravelSegment: 'not_found',
      readLodging: 'not_found',
      updateLodging: 'not_found',
      deleteLodging: 'not_found',
      readLodgingRoom: 'not_found',
      updateLodgingRoom: 'not_found',
      deleteLodgingRoom: 'not_found',
      readPartyMember: 'not_found',
      updatePartyMember: 'not_found',
      deletePartyMember: 'not_found',
      readPartyGroup: 'not_found',
      updatePartyGroup: 'not_found',
      deletePartyGroup: 'not_found',
      readItineraryVersion: 'not_found',
      readDaySheet: 'not_found',
      revokeCalendarFeed: 'not_found',
      readCalendarFeed: 'not_found',
      // A file's example is not JSON, and is not sent.
      createImport: 'bad_request',
      readImport: 'not_found',
      listImportProblems: 'not_found',
      runImport: 'not_found',
      cancelImport: 'not_found',
      readExport: 'not_found',
      cancelExport: 'not_found',
      downloadExport: 'invalid_token',
      createDeal: 'deals_one_per_show',
      draftSettlement: 'not_found',
      readOffer: 'not_found',
      copySettlementTemplate: 'settlement_template_unknown',
      // The list was never closed, so its version is not the first.
      replaceGuestList: 'version_mismatch',
      // The show is on hold.
      finalizeSettlement: 'settlement_show_not_played',
      bookSettlement: 'settlement_not_in_force',
      reopenSettlement: 'show_not_settled',
      // The category of the example is one of income.
      createExpense: 'expenses_category_exists',
      // Nor is its person in the party.
      createPerDiem: 'per_diems_party_member_exists',
      updatePerDiem: 'per_diems_party_member_exists',
      ...Object.fromEntries(
        [
          ...['readExpense', 'updateExpense', 'deleteExpense', 'submitExpense', 'approveExpense'],
          ...['rejectExpense', 'putReceipt', 'downloadReceipt', 'deleteReceipt'],
        ].map(name => [name, 'not_found']),
      ),
      readLegalHold: 'not_found',
      releaseLegalHold: 'not_found',
    }
    const kinds = kindsOf(app)
    // Some of the others exist once per organization, or the examples of their commands need more.
    const isAlone = (kind: string) =>
      [
        ...['venues', 'shows', 'roles', 'itineraries', 'finance-categories', 'finance-records'],
        'settlement-templates',
      ].includes(kind)
    const kindOf = (name: string) => /\/api\/([\w-]+)\/\{id\}/.exec(name)?.[1] ?? ''
    for (const { operation, name } of operations) {
      const ben = await register(server, 'Ben')
      const ids: Record<string, string> = { users: ben.id, organizations: ben.organization }
      const fields = Object.keys(operation.requestBody?.content['application/json']?.example ?? {})
      for (const kind of [
        ...[
          'venues',
          'shows',
          ...(name.includes('/shows/{id}/') || kindOf(name) === 'settlements' ? ['deals'] : []),
        ],
        ...(fields.includes('category_id') ? ['finance-categories', 'itineraries'] : []),
        kindOf(name),
      ])
        if (['shows', 'itineraries'].includes(kinds.get(kind)?.parent ?? '') || isAlone(kind))
          ids[kind] ??= await make(server, ben, kind, { among: ids })
      if (operation.operationId === 'reopenFinancePeriod')
        await call('PUT /api/finance-periods/2027-03', { token: ben.token })
      const token = operation.security ? undefined : ben.token
      const { status, body, text } = await callExample(name, operation, token, ids)
      const problem = refused[operation.operationId] ?? (name.endsWith('/restore') ? 'not_found' : undefined)
      if (problem === undefined) t.ok(status < 300, `${name} accepts its example: ${text}`)
      else t.equal(body.type, `/problems/${problem}`, `${name} accepts its example as far as it can`)
    }
  })

  await t.test('has examples that agree with their schemas', async t => {
    for (const { operation, name } of operations) {
      for (const parameter of operation.parameters ?? []) {
        t.doesNotThrow(() => {
          checkValue(document, parameter.schema, parameter.example, `${name} ${parameter.name}`)
        })
      }
      const bodies = [operation.requestBody, ...responsesOf(operation).map(([, response]) => response)]
      for (const media of bodies.flatMap(body => Object.values(body?.content ?? {}))) {
        const shared = Object.values(media.examples ?? {}).map(
          ({ $ref }) => document.components.examples?.[$ref.replace('#/components/examples/', '')]?.value,
        )
        const examples = 'example' in media ? [media.example] : shared
        t.ok(examples.length > 0, `${name} has an example of everything`)
        for (const example of examples)
          t.doesNotThrow(() => {
            checkValue(document, media.schema, example, name)
          })
      }
    }
  })
})
