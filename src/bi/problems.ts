import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  bi_credential_limit: { status: 409, title: 'The organization has the maximum number of BI credentials' },
  bi_credential_revoked: {
    status: 409,
    title: 'The BI credential has been revoked',
    detail: 'This BI credential has been revoked: create a new one.',
  },
  bi_credentials_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
  bi_credentials_connection_limit_range: { status: 422, title: 'The number of connections must be 1 to 10' },
  bi_credentials_statement_timeout_range: { status: 422, title: 'A statement may take 1 to 3600 seconds' },
  bi_credentials_expiry_range: { status: 422, title: 'A BI credential is valid for 1 to 730 days' },
}
