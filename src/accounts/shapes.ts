// What a sign-in returns.
import { Type } from '@sinclair/typebox'
import { Id, Nullable, Permission, Strict } from '../http/schemas.ts'

// Both parts of a refresh token, and each of an access token, are base64url.
export const RefreshToken = {
  pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$',
  maxLength: 400,
  examples: ['hLkz7o0YyPvFvXqFj0a3o1bYFkI3pZ1mQ0oT2m5o3zY.Q1mQ0oT2m5o3zYhLkz7o0YyPvFvXqFj0a3o1bYFkI3p'],
}
export const Grant = Strict(
  {
    access_token: Type.String({
      maxLength: 4000,
      pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$',
      description: 'Send it as Authorization: Bearer …',
      examples: ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk4MGM1ZSJ9.Zk1mQ0oT2m5o3zYhLkz7o0YyPvFvXqFj0a3o1bYFkI3'],
    }),
    token_type: Type.Literal('Bearer'),
    expires_in: Type.Integer({
      minimum: 1,
      maximum: 86_400,
      format: 'int32',
      description: 'Seconds until access_token expires',
      examples: [900],
    }),
    refresh_token: Type.Optional(
      Type.String({ ...RefreshToken, description: 'Renews access_token once, at /api/auth/refresh' }),
    ),
    scope: Type.Optional(Type.Literal('superadmin')),
    user_id: Id,
    organization_id: Nullable(Id),
    role: Nullable(
      Type.String({
        enum: ['owner', 'admin', 'manager', 'viewer', 'superadmin'],
        description: 'null for members who have only custom roles; superadmin with that scope',
        examples: ['manager'],
      }),
    ),
    permissions: Type.Array(Permission, { maxItems: 500 }),
  },
  { title: 'Grant' },
)
