import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  import_not_checked: { status: 409, title: 'The import is not, or no longer, checked' },
  import_has_bad_lines: { status: 409, title: 'The import has bad lines' },
  too_many_imports: {
    status: 409,
    title: 'Twenty imports have not ended',
    detail: 'Twenty imports of your organization have not ended: run or cancel some of them.',
  },
  import_storage_full: {
    status: 409,
    title: 'The imports of your organization are too large together',
    detail:
      'The files of imports that have not ended, and the bad lines of the others, take 500 MiB: run or cancel some imports. Those that have ended are removed after 30 days.',
  },
  import_ended: { status: 409, title: 'The import has ended' },
}
