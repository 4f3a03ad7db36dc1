// What the artist of a show is paid: deal, tickets, costs, deposits, and the resulting settlement.
import type { App } from '../http/fastify.ts'
import { dealRoutes } from './deals.ts'
import { depositRoutes } from './deposits.ts'
import { settlementRoutes } from './settlements.ts'
import { showCostRoutes } from './show-costs.ts'
import { ticketTierRoutes } from './ticket-tiers.ts'

export { problems } from './problems.ts'

export const tags = {
  settlements:
    'What the artist of a show is paid: deal, tickets, costs, deposits, and the resulting settlement',
}

export async function routes(app: App) {
  await app.register(dealRoutes)
  await app.register(ticketTierRoutes)
  await app.register(showCostRoutes)
  await app.register(depositRoutes)
  await app.register(settlementRoutes)
}
