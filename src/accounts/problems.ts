import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  invalid_credentials: { status: 401, title: 'The email address or the password is wrong' },
  invalid_refresh_token: { status: 401, title: 'The refresh token is not valid' },
  refresh_token_reused: { status: 401, title: 'The refresh token has been used before' },
  wrong_password: { status: 403, title: 'The current password is wrong' },
  email_taken: { status: 409, title: 'An account with this address already exists' },
  users_email_format: { status: 422, title: 'The email address is malformed' },
  users_display_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
}
