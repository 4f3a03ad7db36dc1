// The shape of the dashboard: a summary of what the other endpoints say in full.
import { Type } from '@sinclair/typebox'
import { days, Tally, totals } from './activity-shapes.ts'
import { used } from './integration-shapes.ts'
import { currency, fresh, outcome, Profit } from './shapes.ts'
import { Count, DateOnly, Nullable, Strict, Sum } from '../http/schemas.ts'

const open = (what: string) => Sum(`Committed and actual ${what} not paid in full`, 250_000)
const overdue = Sum('The part that was due before today', 50_000)
export const Dashboard = Strict(
  {
    ...fresh,
    today: Nullable(
      Type.String({ ...DateOnly, description: 'The day it is for, in the time zone of the organization' }),
    ),
    shows: Nullable(
      Strict({
        coming: Type.Integer({
          ...Count(0, 14),
          description: 'From today on, without cancelled and postponed shows',
        }),
        coming_confirmed: Count(0, 9),
        coming_held: Count(0, 2),
        in_30_days: Count(0, 3),
        next_on: Nullable(Type.String({ ...DateOnly, description: 'The next confirmed show' })),
        to_settle: Type.Integer({ ...Count(0, 2), description: 'Played but not settled' }),
        played_this_month: Count(0, 4),
        played_this_year: Count(0, 31),
        this_month: Strict(
          {
            created: Type.Integer({
              ...Count(0, 9),
              description: 'Shows entered in this month, whatever their date',
            }),
            ...outcome,
          },
          { title: 'ShowsOfMonth', description: 'All but `created` is about the shows of this month' },
        ),
      }),
    ),
    money: Nullable(
      Strict(
        {
          currency,
          this_month: Profit,
          this_year: Profit,
          open_this_year: Profit,
          receivable_minor: open('income'),
          receivable_overdue_minor: overdue,
          payable_minor: open('expenses'),
          payable_overdue_minor: overdue,
          records_in_other_base_currencies: Type.Integer({
            ...Count(0, 0),
            description:
              'Entered while the books were kept in another currency; not included in these amounts',
          }),
        },
        { description: 'In the base currency; null without finance.read' },
      ),
    ),
    activity: Nullable(
      Strict(
        { ...days, ...totals },
        {
          title: 'ActivityOf30Days',
          description: 'The last 30 days, including today, in the time zone of the organization',
        },
      ),
    ),
    use: Strict(
      {
        ...days,
        api: Strict(
          {
            calls: Tally('Number of calls', 840),
            errors: Tally('Answered with a status of 400 or above', 12),
            server_errors: Tally('Of these, 500 or above', 0),
          },
          { title: 'ApiUseOf30Days' },
        ),
        imports: Strict(used, { title: 'ImportsOf30Days' }),
        exports: Strict(used, { title: 'ExportsOf30Days' }),
      },
      {
        title: 'UseOf30Days',
        description: 'The last 30 UTC days, including today; counted with a few seconds’ delay',
      },
    ),
  },
  { title: 'Dashboard' },
)
