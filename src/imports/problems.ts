import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  import_not_checked: { status: 409, title: 'The import is not, or no longer, checked' },
  import_has_bad_lines: { status: 409, title: 'The import has bad lines' },
  import_ended: { status: 409, title: 'The import has ended' },
}
