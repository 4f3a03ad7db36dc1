import { code, prose, table } from './markdown.ts'

type Problems = Record<string, { status: number; title: string; detail?: string }>

const meanings: Record<number, string> = {
  400: 'The request cannot be understood, or a value cannot be stored',
  401: 'It is not known who is asking',
  403: 'The caller is known and may not do this',
  404: 'There is no such thing, or none that the caller may see',
  405: 'The resource does not have this method',
  406: 'There is no such form of the answer',
  408: 'The request took too long to arrive',
  409: 'It contradicts what is there now',
  412: 'Another version than the one in If-Match',
  413: 'Too large',
  415: 'The body has a media type that is not read',
  416: 'The file has no such part',
  422: 'The values contradict a rule',
  429: 'Too many requests',
  431: 'The headers are too large',
  500: 'A fault of the server',
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
    'Made from the problems that the code knows by `npm run docs`: change those, not this page.',
    '',
    'Every error is `application/problem+json` (RFC 9457). Its `type` is `/problems/<name>`, with a name from this page; `GET /problems/<name>` answers with the status and the title. A constraint of the database has the name of its problem. `detail` says what is wrong with this request, `errors` names the fields, and `instance` is the id of the request, which the log has too. What to do about the common ones is in [trouble](../operate/trouble.md#it-refuses-requests).',
    '',
    ...lines,
  ].join('\n')
}
