// The schemas of events, and their list.
import { Type } from '@sinclair/typebox'
import { Id, Line, Nullable, Strict, Timestamp } from '../http/schemas.ts'
import { instant, list } from '../tenant/list.ts'

const Values = (description: string, example: object) =>
  Type.Object({}, { additionalProperties: true, maxProperties: 200, description, examples: [example] })
export const Action = Type.String({
  maxLength: 100,
  pattern: '^[a-z_]+(\\.[a-z_]+)+$',
  description: '`<resource>.<verb>`',
  examples: ['show.update'],
})
const ResourceType = Type.String({ maxLength: 100, pattern: '^[a-z_]+$', examples: ['show'] })
export const Event = Strict(
  {
    id: Id,
    occurred_at: Timestamp,
    actor_kind: Type.String({ enum: ['user', 'anonymous', 'system', 'support'] }),
    actor_id: Nullable(Id),
    actor_name: Nullable(Line('Ana Lima')),
    action: Action,
    resource_type: ResourceType,
    resource_id: Nullable(Id),
    changes: Nullable(
      Strict({
        old: Type.Optional(Values('The changed columns before the change', { status: 'inquiry' })),
        new: Type.Optional(Values('The same columns after the change', { status: 'hold' })),
      }),
    ),
    changes_hidden: Type.Boolean({
      description:
        'Whether there are changes that you may not see, because you may not read what they are about',
      examples: [false],
    }),
    request_id: Nullable(
      Type.String({
        maxLength: 100,
        pattern: '^[\\w-]+$',
        examples: ['1c7dd2d5-5c7b-4c0f-9d0c-3e2f4b6f7a10'],
      }),
    ),
    ip: Nullable(Type.String({ maxLength: 45, pattern: '^[0-9a-fA-F.:]+$', examples: ['192.0.2.7'] })),
    session_id: Nullable(Id),
    erased_at: Nullable(Timestamp),
  },
  { title: 'Event' },
)

export const events = list({
  from: 'event_rows',
  permission: 'audit.read',
  item: Event,
  sorts: { occurred_at: instant },
  sort: '-occurred_at',
  filters: {
    actor_id: Id,
    action: Action,
    resource_type: ResourceType,
    resource_id: Id,
    from: Type.String({ ...Timestamp, description: 'Events at or after this moment' }),
    to: Type.String({ ...Timestamp, description: 'Events before this moment' }),
  },
  where: {
    from: (sql, from) => sql`occurred_at >= ${from}::text::timestamptz`,
    to: (sql, to) => sql`occurred_at < ${to}::text::timestamptz`,
  },
})
