import { type Static, Type } from '@sinclair/typebox'
import { Email, Id, Line, Nullable, Role, Strict, Timestamp } from '../http/schemas.ts'

export const Member = Strict(
  {
    id: Id,
    email: Email,
    display_name: Line('Ana Lima'),
    role: Nullable(Role),
    custom_roles: Type.Array(Strict({ id: Id, name: Line('Box office') }), { maxItems: 10_000 }),
    joined_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'Member' },
)
export type Member = Static<typeof Member>
/** What a member has made and can no longer answer for. */
export const LeftBehind = Strict(
  {
    bi_credentials: Type.Array(
      Strict({
        id: Id,
        name: Line('Metabase of the finance team'),
        login: Type.String({
          pattern: '^bi_[0-9a-f]{24}$',
          maxLength: 27,
          examples: ['bi_5f0c3b9e5f0c4b9e9f0c3b9e'],
        }),
        status: Type.String({
          enum: ['suspended', 'revoked'],
          description: 'A suspended one shows nothing until another member rotates it',
        }),
      }),
      { maxItems: 1000 },
    ),
    invitations: Type.Array(Strict({ id: Id, email: Email, role: Role }), {
      maxItems: 10_000,
      description: 'Void ones: somebody else may send them again',
    }),
  },
  {
    title: 'LeftBehind',
    description: 'What ends because who made it has left or may no longer make it; also in the event log',
  },
)
export type LeftBehind = Static<typeof LeftBehind>
export const ChangedMember = Strict(
  { ...Member.properties, left_behind: Nullable(LeftBehind) },
  { title: 'ChangedMember' },
)
