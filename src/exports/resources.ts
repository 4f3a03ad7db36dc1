import { rowsOf, type Rows } from '../tenant/list.ts'
import { events } from '../audit/shapes.ts'
import { financeRecords } from '../finance/shapes.ts'
import { exportedGuests } from '../shows/guest-shapes.ts'
import { shows, venues } from '../shows/shapes.ts'

/**
 * What can be exported. To add a resource, add a line here and its permissions in
 * db/schema/exports/exports.sql. Its path and its operationId follow from its name.
 */
export const resources = {
  shows: rowsOf(shows),
  venues: rowsOf(venues),
  guests: rowsOf(exportedGuests),
  finance_records: rowsOf(financeRecords),
  events: rowsOf(events),
} satisfies Record<string, Rows>
export type Resource = keyof typeof resources
