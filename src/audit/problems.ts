import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  legal_hold: { status: 409, title: 'A legal hold prevents this' },
  legal_hold_released: {
    status: 409,
    title: 'The hold has already been released',
    detail: 'This hold has already been released.',
  },
  legal_hold_not_yours: {
    status: 409,
    title: 'You cannot release this hold',
    detail: 'This hold was placed by the operator: only the operator can release it.',
  },
  event_retentions_days_range: { status: 422, title: 'Events are kept for 90 to 3650 days' },
  deletion_retentions_days_range: { status: 422, title: 'Deleted items are kept for 1 to 3650 days' },
  legal_holds_reason_given: { status: 422, title: 'The reason is empty, too long or has control characters' },
}
