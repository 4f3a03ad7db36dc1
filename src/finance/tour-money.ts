import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { Count, Currency, FinanceKind, Id, IdParams, Line, Strict, Sum } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const sums = {
  budget_minor: Sum('The budget lines', 300_000),
  expected_minor: Sum('What is planned or committed, and planned per diems', 120_000),
  actual_minor: Sum('What is actual', 150_000),
  difference_minor: Sum('What is expected and actual less the budget', -30_000),
}
const Sums = Strict(sums, { title: 'TourSums' })
const TourMoney = Strict(
  {
    itinerary_id: Id,
    currency: Type.String({ ...Currency, description: 'The organization’s own, in which all amounts are' }),
    categories: Type.Array(
      Strict(
        { category_id: Id, category_name: Line('Travel'), kind: FinanceKind, ...sums },
        { title: 'TourMoneyOfCategory' },
      ),
      { maxItems: 10_000 },
    ),
    totals: Strict({ income: Sums, expense: Sums, profit: Sums }, { title: 'TourMoneyTotals' }),
    records_in_other_base_currencies: Type.Integer({
      ...Count(0, 0),
      description: 'Entered while the books were kept in another currency; not included in these amounts',
    }),
  },
  { title: 'TourMoney' },
)

/** The money of a tour: the budget beside the books. */
export async function tourMoneyRoutes(app: App) {
  app.get(
    '/api/itineraries/:id/money',
    {
      schema: {
        tags: ['finance'],
        operationId: 'readTourMoney',
        summary: 'Compare the budget of a tour with its books',
        description:
          'By category. A record counts if it names this itinerary, or none and a show that is on a day of it, or of which something happens on one; each counts once. Void ones do not count. A planned per diem of the tour is expected; an approved one counts with its record. If a show is on two tours, its records count for both unless they name one.',
        'x-permission': 'finance.read',
        params: IdParams,
        response: { 200: answer('The money of the tour', TourMoney) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.read_tour_money(${request.params.id})`)
        .then(reply.json),
  )
}
