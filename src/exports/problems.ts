import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  exports_busy: {
    status: 503,
    title: 'Too many exports are under way',
    detail:
      'As many exports are under way as this server sends at a time: try again shortly, or have a file made (POST /api/analytics/export).',
  },
  export_ended: { status: 409, title: 'The export has ended' },
  too_many_exports: {
    status: 409,
    title: 'Five of your exports wait or are being made',
    detail: 'Five of your exports wait or are being made: wait for one of them, or cancel it.',
  },
  range_not_satisfiable: { status: 416, title: 'The file has no such part' },
}
