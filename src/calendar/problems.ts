import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  calendar_range: { status: 422, title: 'The period is too long for a calendar' },
  calendar_feeds_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
}
