import { Type } from '@sinclair/typebox'
import { Count, Line, MinorUnits } from '../http/schemas.ts'
import { instant, text } from '../tenant/list.ts'
import { showPart } from './show-part.ts'

/** The fields of a ticket tier, which a settlement keeps as they were. */
export const ticketTierFields = {
  required: {
    name: Line('Stalls'),
    price_minor: Type.Integer({
      ...MinorUnits,
      description: 'What a ticket costs, including tax and facility fee',
      examples: [3000],
    }),
    allotment: Count(1, 600),
  },
  optional: {
    facility_fee_minor: Type.Integer({
      ...MinorUnits,
      description: 'What the venue keeps of the price of each ticket sold; 0 by default',
      examples: [200],
    }),
    excluded_minor: Type.Integer({
      ...MinorUnits,
      description:
        'What of the price of each ticket sold is not shared, such as a package: it stays with the promoter, and is not taxed here; 0 by default',
      examples: [0],
    }),
    sold: Count(0, 500),
    comps: Type.Integer({
      ...Count(0, 12),
      description: 'Given away: they take up capacity, without revenue or cost',
    }),
  },
}

/** Ticket tiers: the kinds of tickets of a show, and how many were sold. */
export const ticketTierRoutes = showPart({
  path: 'ticket-tiers',
  table: 'ticket_tiers',
  rows: 'ticket_tier_rows',
  title: 'TicketTier',
  word: 'ticket tier',
  ...ticketTierFields,
  sorts: {
    created_at: instant,
    name: text,
  },
  description: 'Amounts are in the currency of the deal.',
})
