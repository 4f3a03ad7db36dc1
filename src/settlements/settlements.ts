import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page } from '../tenant/list.ts'
import { Id, IdParams, ListQuery, Page, sortBy, Strict } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Show } from '../shows/shapes.ts'
import { BookQuery, DealQuery, Draft, NewSettlement, Reopening, Settlement } from './shapes.ts'

const sorts = { created_at: 'timestamptz' } as const
const SettlementQuery = Strict({
  ...ListQuery,
  deal_id: Type.Optional(Type.String({ ...Id, description: 'Only those of this deal' })),
  sort: Type.Optional(sortBy(sorts)),
})
const tags = ['settlements']
const impossible = [
  'settlement_needs_deal',
  'settlement_of_which_deal',
  'settlement_needs_cancellation',
  'settlement_out_of_range',
]

/** Settlements of shows: the result of deal, tickets, costs and deposits, recorded revision by revision. */
export async function settlementRoutes(app: App) {
  app.get(
    '/api/shows/:id/settlement',
    {
      schema: {
        tags,
        operationId: 'draftSettlement',
        summary: 'Calculate the settlement of a show as it is now',
        description:
          'From the main deal or the one named, ticket tiers, costs, deposits, bonuses and adjustments, line by line. Nothing is recorded. docs/explain/settlement.md has the formula.',
        'x-problems': impossible,
        'x-permission': 'finance.read',
        params: IdParams,
        querystring: DealQuery,
        response: { 200: answer('The draft', Draft) },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body from app.draft_settlement(${request.params.id}, ${request.query.deal_id ?? null})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/shows/:id/settlements',
    {
      schema: {
        tags,
        operationId: 'listSettlements',
        summary: 'List the recorded settlements of a show',
        description:
          'Of all its deals or of one (`deal_id`), in the order in which they were recorded, unless `sort` says otherwise.',
        'x-permission': 'finance.read',
        params: IdParams,
        querystring: SettlementQuery,
        response: { 200: answer('The revisions', Page(Settlement), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, sort = 'created_at', deal_id } = request.query
      const { id } = request.params
      return request
        .tenant(sql => {
          const where = [sql`show_id = ${id}`]
          if (deal_id !== undefined) where.push(sql`deal_id = ${deal_id}`)
          const of = sql`app.require_show(${id})`
          const list = { from: 'settlement_list', permission: 'finance.read', sorts, sort, limit, cursor }
          return page(sql, { ...list, where, of })
        })
        .then(reply.json)
    },
  )

  app.post(
    '/api/shows/:id/settlements',
    {
      schema: {
        tags,
        operationId: 'createSettlement',
        summary: 'Record the settlement of a show as it is now',
        description:
          'Of the main deal, or of the one named, as its next revision, a draft, with everything it was calculated from. It never changes; if the figures do, record a new one.',
        'x-problems': [
          ...impossible,
          ...constraintsOf('settlements'),
          'settlement_final',
          'settlement_reason_needed',
        ],
        'x-permission': 'finance.write',
        params: IdParams,
        headers: IdempotencyKey,
        body: NewSettlement,
        response: { 201: answer('Recorded', Settlement, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag, location from app.record_settlement(${request.params.id}, ${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/settlements/:id',
    {
      schema: {
        tags,
        operationId: 'readSettlement',
        summary: 'Read a recorded settlement',
        description: 'One revision, as it was recorded.',
        'x-permission': 'finance.read',
        params: IdParams,
        response: { 200: answer('The revision', Settlement, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body, etag from app.read_settlement(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/settlements/:id/finalize',
    {
      schema: {
        tags,
        operationId: 'finalizeSettlement',
        summary: 'Make a recorded settlement final',
        description:
          'The show must be played, and becomes settled with the last of its deals; one that is cancelled can be settled, too, and stays cancelled. The revision must match the current figures and contain no estimate; after that the figures can no longer be changed. Each line is entered in the books as a finance record, in the next month that is open if its own is closed; if that takes an exchange rate, or somebody has entered the money already, `not_booked_because` says so, and `/book` enters them.',
        'x-problems': [
          'settlement_needs_deal',
          'settlement_of_which_deal',
          'settlement_final',
          'settlement_show_not_played',
          'settlement_outdated',
          'settlement_estimated',
          'finance_records_exchange_rate_of_base',
          'period_closed',
        ],
        'x-permission': 'finance.close',
        params: IdParams,
        querystring: BookQuery,
        headers: IdempotencyKey,
        response: { 200: answer('The final revision', Settlement, 'ETag') },
      },
    },
    (request, reply) => {
      const { exchange_rate: rate = null, existing = null } = request.query
      return request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.finalize_settlement(${request.params.id}, ${rate}::numeric, ${existing})`,
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/settlements/:id/book',
    {
      schema: {
        tags,
        operationId: 'bookSettlement',
        summary: 'Enter a final settlement in the books',
        description:
          'For one that `not_booked_because` says is not there; of one that is there, nothing is entered again.',
        'x-problems': [
          'settlement_not_in_force',
          'settlement_booked_by_hand',
          'settlement_exchange_rate_needed',
          'finance_records_exchange_rate_of_base',
          'period_closed',
        ],
        'x-permission': 'finance.close',
        params: IdParams,
        querystring: BookQuery,
        headers: IdempotencyKey,
        response: { 200: answer('The settlement with its bookings', Settlement, 'ETag') },
      },
    },
    (request, reply) => {
      const { exchange_rate: rate = null, existing = null } = request.query
      return request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.book_settlement(${request.params.id}, ${rate}::numeric, ${existing})`,
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/shows/:id/settlement/reopen',
    {
      schema: {
        tags,
        operationId: 'reopenSettlement',
        summary: 'Reopen the settlement of a show',
        description:
          'The only way to set a show back from settled to played, so that its figures can be changed again, once none is final that was computed from them. The final revision of the main deal, or of the one named, is kept, with the reason, and its records in the books become void; those in closed months are reversed in the next one that is open. A new one can be recorded and finalized.',
        'x-problems': ['show_not_settled', 'settlement_of_which_deal', ...constraintsOf('settlements')],
        'x-permission': 'finance.close',
        params: IdParams,
        headers: IdempotencyKey,
        body: Reopening,
        response: { 200: answer('The show', Show, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.reopen_settlement(${request.params.id}, ${sql.json(request.body)})`,
        )
        .then(reply.json),
  )
}
