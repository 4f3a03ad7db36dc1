import { code, prose, table } from './markdown.ts'

type Problems = Record<string, { status: number; title: string; detail?: string }>

const meanings: Record<number, string> = {
  400: 'The request cannot be understood, or a value cannot be stored',
  401: 'The caller is not authenticated',
  403: 'The caller is authenticated but may not do this',
  404: 'It does not exist, or the caller may not see it',
  405: 'The resource does not support this method',
  406: 'None of the accepted media types is available',
  408: 'The request took too long to arrive',
  409: 'It conflicts with the current state',
  412: 'The version is not the one in If-Match',
  413: 'Too large',
  415: 'The media type of the body is not supported',
  416: 'The file has no such range',
  422: 'The values break a rule',
  429: 'Too many requests',
  431: 'The headers are too large',
  500: 'A server error',
  503: 'The server cannot answer now; the same request may work later',
}

const head = ['Name', 'Title', 'Detail, unless a request has its own']

/** Every problem by its status, in alphabetical order. */
export function problemsPage(problems: Problems): string {
  const all = Object.entries(problems).sort(([a], [b]) => (a < b ? -1 : 1))
  const statuses = [...new Set(all.map(([, { status }]) => status))].sort((a, b) => a - b)
  const lines = statuses.flatMap(status => [
    `## ${[status, meanings[status]].filter(Boolean).join(': ')}`,
    '',
    ...table(
      head,
      all
        .filter(([, problem]) => problem.status === status)
        .map(([name, { title, detail = '' }]) => [code(name), prose(title), prose(detail)]),
    ),
  ])
  return [
    '# Problems',
    '',
    'Generated from the problems in the code by `npm run docs`: change those, not this page.',
    '',
    'Every error is `application/problem+json` (RFC 9457). Its `type` is `/problems/<name>`, with a name from this page; `GET /problems/<name>` returns the status and the title. A database constraint has the name of its problem. `detail` says what is wrong with this request, `errors` names the fields, and `instance` is the id of the request, which is also in the log. What to do about the common ones is in [troubleshooting](../operate/trouble.md#it-refuses-requests).',
    '',
    ...lines,
  ].join('\n')
}
