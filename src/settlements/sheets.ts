// What is computed from a settlement for the table at which it is agreed: the sheet afterwards, and the offer before.
import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { IdParams } from '../http/schemas.ts'
import { type Answer, printable } from '../tenant/answer.ts'
import { renderSettlementSheet, settlementSheetPolicy } from './sheet-page.ts'
import { DealQuery } from './shapes.ts'
import { Offer, SettlementSheet } from './sheet-shapes.ts'

const tags = ['settlements']

/** The sheet of a recorded settlement, and the offer of a show. */
export async function sheetRoutes(app: App) {
  app.get(
    '/api/settlements/:id/sheet',
    {
      schema: {
        tags,
        operationId: 'readSettlementSheet',
        summary: 'Read the sheet of a recorded settlement',
        description:
          'For both sides: without internal costs and what remains for the promoter. With `Accept: text/html` it is a printable page with room for two signatures.',
        'x-permission': 'finance.read',
        params: IdParams,
        response: {
          200: {
            description: 'The sheet',
            headers: {},
            content: {
              'application/json': { schema: SettlementSheet },
              'text/html': {
                schema: Type.String({
                  maxLength: 10_000_000,
                  pattern: '^<!doctype html>[^\\u0000]*$',
                  description: 'A self-contained page without scripts',
                  examples: ['<!doctype html><title>Settlement: The Gaslights, 2027-03-14</title>'],
                }),
              },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const rows = await request.tenant(
        sql => sql<Answer[]>`select status, body from app.read_settlement_sheet(${request.params.id})`,
      )
      return printable(reply, rows, settlementSheetPolicy, renderSettlementSheet)
    },
  )

  app.get(
    '/api/shows/:id/offer',
    {
      schema: {
        tags,
        operationId: 'readOffer',
        summary: 'Calculate what a deal comes to before the show',
        description:
          'As a settlement of the main deal, or of the one named, with every ticket sold, and with how many tickets you break even after the deals of all acts. Nothing is recorded.',
        'x-problems': ['settlement_needs_deal', 'settlement_of_which_deal', 'settlement_out_of_range'],
        'x-permission': 'finance.read',
        params: IdParams,
        querystring: DealQuery,
        response: { 200: answer('The offer', Offer) },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body from app.read_offer(${request.params.id}, ${request.query.deal_id ?? null})`,
        )
        .then(reply.json),
  )
}
