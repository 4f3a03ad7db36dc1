// The shape of figures about the use of the API and of integrations.
import { Type } from '@sinclair/typebox'
import { fresh } from './shapes.ts'
import { Line, Nullable, Strict, Timestamp } from '../http/schemas.ts'
import { Day, days, List, Tally } from './activity-shapes.ts'

/** How much something was used. */
export const used = {
  calls: Tally('How often it was used', 12),
  errors: Tally('How often it failed', 1),
  rows: Tally('Rows imported or exported', 340),
  bytes: Tally('Bytes imported or exported', 51_200),
}
const IntegrationKind = Type.String({
  title: 'IntegrationKind',
  enum: ['import', 'export', 'calendar_feed', 'bi', 'webhook'],
  examples: ['import'],
})
const calls = {
  calls: Tally('Number of calls', 840),
  errors: Tally('Answered with a status of 400 or above', 12),
  server_errors: Tally('Of these, 500 or above', 0),
  mean_us: Nullable(Tally('Average duration in microseconds', 4200)),
  slowest_us: Nullable(Tally('Longest duration in microseconds', 61_000)),
  within_10_ms: Tally('Calls that took at most 10 ms', 800),
  within_100_ms: Tally('Calls that took at most 100 ms', 840),
  within_1_s: Tally('Calls that took at most a second', 840),
  bytes_in: Tally('Bytes of the requests, including headers', 410_000),
  bytes_out: Tally('Bytes of the answers, including headers', 2_900_000),
}
export const Use = Strict(
  {
    ...fresh,
    ...days,
    integrations: List(
      Strict(
        {
          kind: IntegrationKind,
          name: Type.String({ ...Line('bank'), description: 'Which one, such as the source of an import' }),
          ...used,
          last_at: Timestamp,
        },
        { title: 'IntegrationUse' },
      ),
      'By kind and name',
    ),
    integrations_by_day: List(
      Strict({ day: Day('UTC'), kind: IntegrationKind, ...used }, { title: 'IntegrationUseOfDay' }),
      'Days without any are omitted',
    ),
    api: Strict(
      {
        totals: Strict(calls, { title: 'ApiUse' }),
        by_day: List(
          Strict({ day: Day('UTC'), ...calls }, { title: 'ApiUseOfDay' }),
          'Days without any are omitted',
        ),
        by_operation: List(
          Strict(
            {
              operation: Type.String({
                maxLength: 100,
                pattern: '^[A-Za-z][A-Za-z0-9]*$',
                description: 'operationId in this document',
                examples: ['listShows'],
              }),
              ...calls,
            },
            { title: 'ApiUseOfOperation' },
          ),
          'Most frequent first',
        ),
      },
      { title: 'ApiUseFigures', description: 'Calls by members with a token, not by superadmins' },
    ),
  },
  { title: 'Integrations' },
)
