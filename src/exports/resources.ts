import type { List } from '../page.ts'
import { events } from '../routes/audit.ts'
import { financeRecords } from '../routes/finance-records.ts'
import { shows } from '../routes/shows.ts'
import { venues } from '../routes/venues.ts'

/** What can be exported. A line here and its permissions in db/schema/exports.sql add to it. */
export const resources = {
  shows: { list: shows, path: 'shows', operationId: 'exportShows', tag: 'shows' },
  venues: { list: venues, path: 'venues', operationId: 'exportVenues', tag: 'venues' },
  finance_records: {
    list: financeRecords,
    path: 'finance-records',
    operationId: 'exportFinanceRecords',
    tag: 'finance',
  },
  events: { list: events, path: 'events', operationId: 'exportEvents', tag: 'audit' },
} as const satisfies Record<string, { list: List; path: string; operationId: string; tag: string }>
export type Resource = keyof typeof resources
