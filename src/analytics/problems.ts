import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  analytics_range: { status: 422, title: 'The range is invalid or too long' },
}
