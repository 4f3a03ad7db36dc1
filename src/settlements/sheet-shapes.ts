// The schemas of sheets and offers.
import { Type } from '@sinclair/typebox'
import { Count, Currency, DateOnly, Id, Line, Nullable, Strict, Text, Timestamp } from '../http/schemas.ts'
import { Inputs, Result, settled, SettlementStatus, SheetLine } from './shapes.ts'

const money = (example: string) =>
  Type.String({ maxLength: 30, pattern: '^-?[0-9,]+(\\.[0-9]+)?$', examples: [example] })

export const SettlementSheet = Strict(
  {
    organization: Line('Northlight Touring'),
    show: Nullable(
      Strict({
        id: Id,
        title: Line('Club Night'),
        artist: Line('The Gaslights'),
        show_on: DateOnly,
        venue_name: Nullable(Line('Paradiso')),
        venue_city: Nullable(Line('Amsterdam')),
      }),
    ),
    settlement: Strict({
      id: Id,
      number: Count(1, 1),
      status: SettlementStatus,
      reason: Nullable(Text(1000, 'The invoice of the PA came in.')),
      act: settled.act,
      is_cancelled: Inputs.properties.is_cancelled,
      is_outdated: Type.Boolean({
        description:
          'Whether it is a draft that would be recorded otherwise now: what it was computed from has changed, or the show',
      }),
      finalized_at: Nullable(Timestamp),
      reopened_at: Nullable(Timestamp),
    }),
    currency: Currency,
    tickets_sold: Result.properties.tickets_sold,
    tickets_comped: Result.properties.tickets_comped,
    tickets_allotted: Result.properties.tickets_allotted,
    lines: Type.Array(
      Strict(
        {
          ...SheetLine.properties,
          amount: Type.String({ ...money('12,962.96'), description: 'With the decimals of the currency' }),
          budget: Nullable(money('3,800.00')),
          over_budget: Nullable(money('200.00')),
        },
        { title: 'SettlementSheetLine' },
      ),
      { maxItems: 100_000 },
    ),
  },
  { title: 'SettlementSheet' },
)

export const Offer = Strict(
  {
    show_id: Id,
    ...settled,
    tickets_for_sale: Type.Integer({
      ...Result.properties.tickets_allotted,
      description: 'All allotments without the complimentary tickets that are entered',
      examples: [588],
    }),
    break_even_tickets: Nullable(
      Type.Integer({
        ...Result.properties.tickets_allotted,
        description:
          'The smallest number of tickets sold, the cheapest first, with which you are left with nothing or more; null if there is none, or if that is not known',
        examples: [412],
      }),
    ),
    is_break_even_known: Type.Boolean({
      description:
        'False if it was not found in time, as where you are left with a little less than nothing over thousands of tickets',
    }),
    inputs: Inputs,
    at_full_house: Result,
  },
  { title: 'Offer' },
)
