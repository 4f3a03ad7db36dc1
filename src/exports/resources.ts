import type { List } from '../tenant/list.ts'
import { events } from '../audit/shapes.ts'
import { financeRecords } from '../finance/shapes.ts'
import { exportedGuests } from '../shows/guest-shapes.ts'
import { shows, venues } from '../shows/shapes.ts'

/**
 * What can be exported, and the most restrictive permission it needs. To add a resource, add a line here and
 * its permissions in db/schema/exports/exports.sql.
 */
export const resources = {
  shows: { list: shows, path: 'shows', operationId: 'exportShows', permission: 'exports.run' },
  venues: { list: venues, path: 'venues', operationId: 'exportVenues', permission: 'exports.run' },
  guests: { list: exportedGuests, path: 'guests', operationId: 'exportGuests', permission: 'exports.run' },
  finance_records: {
    list: financeRecords,
    path: 'finance-records',
    operationId: 'exportFinanceRecords',
    permission: 'exports.run',
  },
  events: { list: events, path: 'events', operationId: 'exportEvents', permission: 'audit.read' },
} as const satisfies Record<string, { list: List; path: string; operationId: string; permission: string }>
export type Resource = keyof typeof resources
