import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page } from '../tenant/list.ts'
import {
  Currency,
  Id,
  IdParams,
  Line,
  ListQuery,
  MinorUnits,
  Nullable,
  Page,
  sortBy,
  Strict,
  Text,
  Timestamp,
} from '../http/schemas.ts'
import type { ShowPart } from './show-part.ts'
import type { Answer } from '../tenant/answer.ts'
import { dealTerms } from './deals.ts'
import { depositFields } from './deposits.ts'
import { showCostFields } from './show-costs.ts'
import { Show } from '../shows/shapes.ts'
import { ticketTierFields } from './ticket-tiers.ts'

/** A line of a settlement, in minor units of the currency of the deal. */
const amount = (description: string, example: number) =>
  Type.Integer({ ...MinorUnits, description, examples: [example] })
const balance = (description: string, example: number) =>
  Type.Integer({ ...amount(description, example), minimum: -Number.MAX_SAFE_INTEGER })
const lines = ({ required, optional }: Pick<ShowPart, 'required' | 'optional'>, title: string) =>
  Strict({ id: Id, ...required, ...optional }, { title })
const many = (item: ReturnType<typeof lines>) => Type.Array(item, { maxItems: 100_000 })

const Inputs = Strict(
  {
    currency: Currency,
    deal: lines(dealTerms, 'SettledDeal'),
    ticket_tiers: many(lines(ticketTierFields, 'SettledTicketTier')),
    costs: many(lines(showCostFields, 'SettledCost')),
    deposits: many(lines(depositFields, 'SettledDeposit')),
  },
  { title: 'SettlementInputs', description: 'The figures it was calculated from, as they were' },
)
const Result = Strict(
  {
    tickets_sold: amount('Tickets sold, of all tiers', 500),
    tickets_comped: amount('Tickets given away', 12),
    gross_minor: amount('Price times tickets sold, of all tiers', 1_500_000),
    facility_fees_minor: amount('The share of the venue', 100_000),
    tax_minor: amount('The tax included in the rest', 103_704),
    net_receipts_minor: amount('The gross less facility fees and tax', 1_296_296),
    fixed_costs_minor: amount('Costs entered as fixed', 400_000),
    per_ticket_costs_minor: amount('Costs per ticket, times tickets sold', 40_000),
    guarantee_cost_minor: amount('The guarantee, if the deal counts it as a cost', 0),
    costs_minor: amount('All three costs together', 440_000),
    net_minor: balance('Net receipts less costs', 856_296),
    promoter_profit_minor: amount('The share of the costs that the promoter earns first', 66_000),
    split_point_minor: amount('The net receipts above which the percentage applies', 506_000),
    share_base_minor: amount('What the percentage is taken from; never below 0', 790_296),
    share_minor: amount('The percentage of it', 671_752),
    guarantee_minor: amount('The guarantee; 0 if there is none', 500_000),
    due_minor: amount('What the artist is paid, by the kind of deal', 671_752),
    deposits_minor: amount('What the artist has already been paid', 250_000),
    balance_minor: balance('What remains to be paid; below 0 the artist has been overpaid', 421_752),
    promoter_minor: balance('What remains for the promoter, including the promoter profit', 184_544),
  },
  { title: 'SettlementResult', description: 'Every line, in minor units of the currency' },
)
const Draft = Strict({ show_id: Id, inputs: Inputs, result: Result }, { title: 'SettlementDraft' })
const Settlement = Strict(
  {
    id: Id,
    show_id: Id,
    number: Type.Integer({
      minimum: 1,
      maximum: 2_147_483_647,
      format: 'int32',
      description: 'Number of the revision: 1, 2 … for each show',
      examples: [1],
    }),
    status: Type.String({ title: 'SettlementStatus', enum: ['draft', 'final'], examples: ['draft'] }),
    reason: Nullable(Text(1000, 'The invoice of the PA came in.')),
    inputs: Inputs,
    result: Result,
    finalized_at: Nullable(Timestamp),
    finalized_by: Nullable(Id),
    reopened_at: Nullable(
      Type.String({
        ...Timestamp,
        description: 'When it was reopened and ceased to be valid, although it was final',
      }),
    ),
    reopened_by: Nullable(Id),
    reopen_reason: Nullable(Text(1000, 'Twelve more tickets were sold at the door.')),
    created_by: Nullable(Id),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'Settlement' },
)
const NewSettlement = Strict(
  {
    reason: Nullable(
      Type.String({
        ...Text(1000, 'The invoice of the PA came in.'),
        description: 'Why there is a new revision; required once one was final',
      }),
    ),
  },
  { title: 'NewSettlement' },
)
const Reopening = Strict(
  {
    reason: Type.String({ ...Line('Twelve more tickets were sold at the door.'), maxLength: 1000 }),
  },
  { title: 'SettlementReopening' },
)
const sorts = { created_at: 'timestamptz' } as const
const SettlementQuery = Strict({ ...ListQuery, sort: Type.Optional(sortBy(sorts)) })
const tags = ['settlements']
const impossible = ['settlement_needs_deal', 'settlement_out_of_range']

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
          'From its deal, ticket tiers, costs and deposits, line by line. Nothing is recorded. docs/explain/settlement.md has the formula.',
        'x-problems': impossible,
        'x-permission': 'finance.read',
        params: IdParams,
        response: { 200: answer('The draft', Draft) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.draft_settlement(${request.params.id})`)
        .then(reply.json),
  )

  app.get(
    '/api/shows/:id/settlements',
    {
      schema: {
        tags,
        operationId: 'listSettlements',
        summary: 'List the recorded settlements of a show',
        description: 'In order of revision, unless `sort` says otherwise.',
        'x-permission': 'finance.read',
        params: IdParams,
        querystring: SettlementQuery,
        response: { 200: answer('The revisions', Page(Settlement), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, sort = 'created_at' } = request.query
      const { id } = request.params
      return request
        .tenant(sql => {
          const where = [sql`show_id = ${id}`]
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
          'As the next revision, a draft, with everything it was calculated from. It never changes; if the figures do, record a new one.',
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
          'The show must be played, and becomes settled. The revision must match the current figures and contain no estimate; after that the figures can no longer be changed.',
        'x-problems': [
          'settlement_needs_deal',
          'settlement_final',
          'settlement_show_not_played',
          'settlement_outdated',
          'settlement_estimated',
        ],
        'x-permission': 'finance.close',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('The final revision', Settlement, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body, etag from app.finalize_settlement(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/shows/:id/settlement/reopen',
    {
      schema: {
        tags,
        operationId: 'reopenSettlement',
        summary: 'Reopen the settlement of a show',
        description:
          'The only way to set a show back from settled to played, so that its figures can be changed again. The final revision is kept, with the reason. A new one can be recorded and finalized.',
        'x-problems': ['show_not_settled', ...constraintsOf('settlements')],
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
