import { randomUUID } from 'node:crypto'
import { type Answer, mailedToken, type Person, type TestServer } from './helper.ts'

export interface Invitation {
  id: string
  email: string
  role: string
  status: string
  expires_at: string
}

/** An address that is unique in the tests. */
export const newAddress = () => `${randomUUID()}@example.com`

/** Invites an address to a person's organization. */
export const invite = ({ call }: TestServer, by: Person, email: string, role = 'manager') =>
  call<Invitation>('POST /api/invitations', { token: by.token, body: { email, role } })

/** The secret in the newest invitation to an address. */
export const linkOf = (server: TestServer, email: string) => mailedToken(server, 'invitation', email)

/** Accepts an invitation with an existing account. */
export const accept = (
  { call }: TestServer,
  { token }: Person,
  link: string,
): Promise<Answer<{ id: string; role: string }>> =>
  call('POST /api/invitations/accept', { token, body: { token: link } })
