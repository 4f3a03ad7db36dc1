// What the artist of a show is paid: deal, tickets, costs, deposits, bonuses, adjustments, and the resulting settlement.
import type { App } from '../http/fastify.ts'
import { adjustmentRoutes } from './adjustments.ts'
import { bonusRoutes } from './bonuses.ts'
import { dealRoutes } from './deals.ts'
import { depositRoutes } from './deposits.ts'
import { settlementRoutes } from './settlements.ts'
import { sheetRoutes } from './sheets.ts'
import { showCostRoutes } from './show-costs.ts'
import { settlementTemplateRoutes } from './templates.ts'
import { ticketTierRoutes } from './ticket-tiers.ts'

export { problems } from './problems.ts'

export const tags = {
  settlements:
    'What the artist of a show is paid: deal, tickets, costs, deposits, bonuses, adjustments, and the resulting settlement',
}

export async function routes(app: App) {
  await app.register(dealRoutes)
  await app.register(ticketTierRoutes)
  await app.register(showCostRoutes)
  await app.register(depositRoutes)
  await app.register(bonusRoutes)
  await app.register(adjustmentRoutes)
  await app.register(settlementRoutes)
  await app.register(sheetRoutes)
  await app.register(settlementTemplateRoutes)
}
