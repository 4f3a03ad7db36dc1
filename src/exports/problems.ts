import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  exports_busy: {
    status: 503,
    title: 'Too many exports are in progress',
    detail:
      'This server is sending as many exports as it can at a time: try again shortly, or request an export file (POST /api/analytics/export).',
  },
  export_ended: { status: 409, title: 'The export has ended' },
  too_many_exports: {
    status: 409,
    title: 'Five of your exports are queued or running',
    detail: 'Five of your exports are queued or running: wait for one of them, or cancel it.',
  },
  too_many_exports_of_all: {
    status: 409,
    title: 'Twenty exports of your organization are queued or running',
    detail:
      'Twenty exports of your organization are queued or running: try again when some of them have ended.',
  },
  export_storage_full: {
    status: 409,
    title: 'Your organization has 20 GiB of export files',
    detail:
      'Your organization has 20 GiB of export files: try again when some have expired, seven days after they were made.',
  },
  range_not_satisfiable: { status: 416, title: 'The range is outside the file' },
}
