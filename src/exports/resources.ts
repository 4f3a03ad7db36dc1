import { rowsOf, type Rows } from '../tenant/list.ts'
import {
  activityFigures,
  categoryFigures,
  dashboardFigures,
  financeFigures,
  integrationFigures,
  showFigures,
  showProfits,
} from '../analytics/exported-shapes.ts'
import { events } from '../audit/shapes.ts'
import { financeRecords } from '../finance/shapes.ts'
import { exportedItineraries } from '../itineraries/exported-shapes.ts'
import { exportedGuests } from '../shows/guest-shapes.ts'
import { shows, venues } from '../shows/shapes.ts'

/**
 * What can be exported: lists, and figures. To add a resource, add a line here and its permissions in
 * db/schema/exports/exports.sql. Its path and its operationId follow from its name.
 */
export const resources = {
  shows: rowsOf(shows),
  venues: rowsOf(venues),
  guests: rowsOf(exportedGuests),
  finance_records: rowsOf(financeRecords),
  itineraries: rowsOf(exportedItineraries),
  events: rowsOf(events),
  finance_figures: financeFigures,
  category_figures: categoryFigures,
  show_profits: showProfits,
  show_figures: showFigures,
  activity: activityFigures,
  integrations: integrationFigures,
  dashboard: dashboardFigures,
} satisfies Record<string, Rows>
export type Resource = keyof typeof resources
