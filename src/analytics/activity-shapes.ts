// The shape of figures about what members do.
import { Type } from '@sinclair/typebox'
import { fresh } from './shapes.ts'
import { DateOnly, Id, Line, Nullable, Strict } from '../http/schemas.ts'
import { Action } from '../audit/shapes.ts'
import { ClientEventKind, ClientEventName } from './client-event-shapes.ts'

/** A count of anything, which may be large. */
export const Tally = (description: string, example: number) =>
  Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    format: 'int64',
    description,
    examples: [example],
  })
export const List = (item: Parameters<typeof Type.Array>[0], description: string) =>
  Type.Array(item, { maxItems: 100_000, description })
export const Day = (description: string) =>
  Type.String({ ...DateOnly, description, examples: ['2026-11-23'] })

/** The days that figures are requested for. */
export const range = {
  from: Type.Optional(Day('First day; 29 days before `to` by default')),
  to: Type.Optional(Day('Last day; 29 days after `from`, or today, by default')),
}
export const days = { from: Day('First day'), to: Day('Last day') }

const done = { events: Tally('Number of events', 41), sign_ins: Tally('Sign-ins among them', 3) }
const people = { active_users: Tally('Members who did something', 4) }
export const totals = { ...done, ...people }
export const Activity = Strict(
  {
    ...fresh,
    ...days,
    totals: Strict(totals, { title: 'ActivityTotals' }),
    by_day: List(
      Strict(
        { day: Day('In the time zone of the organization'), ...done, ...people },
        { title: 'ActivityOfDay' },
      ),
      'Days without any are omitted',
    ),
    by_week: List(
      Strict(
        {
          week_on: Day('Monday of the week'),
          ...done,
          ...people,
          signed_in_users: Tally('Members who signed in', 3),
        },
        { title: 'ActivityOfWeek' },
      ),
      'The first and last week only with the days from `from` to `to`',
    ),
    by_action: List(
      Strict({ action: Action, events: done.events }, { title: 'ActivityOfAction' }),
      'Most frequent first',
    ),
    by_day_and_action: List(
      Strict(
        { day: Day('In the time zone of the organization'), action: Action, events: done.events },
        { title: 'ActivityOfDayAndAction' },
      ),
      'In the order of days, most frequent first; what did not happen is omitted',
    ),
    by_user: List(
      Strict(
        {
          user_id: Id,
          display_name: Nullable(
            Type.String({
              ...Line('Ana Lima'),
              description: 'While they are a colleague you may see',
            }),
          ),
          ...done,
          active_days: Tally('Days on which they did something', 9),
          last_on: Day('The last of these days'),
        },
        { title: 'ActivityOfUser' },
      ),
      'Busiest first; without events of anonymous callers, jobs and superadmins',
    ),
    client_events: Strict(
      {
        by_day: List(
          Strict(
            {
              day: Day('In the time zone of the organization'),
              page_views: Tally('Pages viewed', 120),
              actions: Tally('Actions performed', 37),
              users: Tally('Members whose clients reported any', 4),
            },
            { title: 'ClientEventsOfDay' },
          ),
          'Days without any are omitted',
        ),
        by_name: List(
          Strict(
            {
              kind: ClientEventKind,
              name: ClientEventName,
              events: Tally('How often', 64),
              users: Tally('Members whose clients reported any', 4),
            },
            { title: 'ClientEventsOfName' },
          ),
          'The 100 most frequent',
        ),
      },
      { title: 'ClientEventFigures', description: 'What clients reported with `POST /api/events`' },
    ),
  },
  { title: 'Activity' },
)
