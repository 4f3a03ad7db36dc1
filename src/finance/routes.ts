// The books of an organization: income and expenses, their categories, closed months, the money of tours with their per diems,
// and expenses of members.
import type { App } from '../http/fastify.ts'
import { budgetLineRoutes } from './budget-lines.ts'
import { expenseRoutes } from './expenses.ts'
import { financeCategoryRoutes } from './categories.ts'
import { perDiemRoutes } from './per-diems.ts'
import { financePeriodRoutes } from './periods.ts'
import { financeRecordRoutes } from './records.ts'
import { receiptRoutes } from './receipts.ts'
import { tourMoneyRoutes } from './tour-money.ts'

export { problems } from './problems.ts'

export const tags = {
  finance:
    'Income and expenses, their categories, closed months, the money of tours with their per diems, and expenses of members',
}

export async function routes(app: App) {
  await app.register(financeCategoryRoutes)
  await app.register(financeRecordRoutes)
  await app.register(financePeriodRoutes)
  await app.register(budgetLineRoutes)
  await app.register(perDiemRoutes)
  await app.register(tourMoneyRoutes)
  await app.register(expenseRoutes)
  await app.register(receiptRoutes)
}
