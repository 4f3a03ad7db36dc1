// The books of an organization: income and expenses, their categories, and closed months.
import type { App } from '../http/fastify.ts'
import { financeCategoryRoutes } from './categories.ts'
import { financePeriodRoutes } from './periods.ts'
import { financeRecordRoutes } from './records.ts'

export { problems } from './problems.ts'

export const tags = {
  finance: 'Income and expenses, their categories, and closed months',
}

export async function routes(app: App) {
  await app.register(financeCategoryRoutes)
  await app.register(financeRecordRoutes)
  await app.register(financePeriodRoutes)
}
