const text = (description: string, pattern: string, maxLength: number, example: string) => ({
  description,
  schema: { type: 'string', pattern, maxLength },
  example,
})
const seconds = (description: string, maximum: number, example: number) => ({
  description,
  schema: { type: 'integer', format: 'int32', minimum: 0, maximum },
  example,
})

/** Every header that answers come with and a client has a use for, as components of the document. */
export const headers = {
  ETag: {
    ...text('Version of the resource, for If-Match', '^"[0-9]+"$', 40, '"3"'),
    required: true,
  },
  Location: {
    ...text('Path of what was created', '^/[!-~]+$', 200, '/api/shows/01980c5e-8c5e-7b4a-9d59-3f1de6a3c111'),
    required: true,
  },
  Link: text(
    'The next page, where there is one',
    '^<.+>; rel="next"$',
    2000,
    '</api/shows?cursor=WyJz>; rel="next"',
  ),
  'X-Request-Id': text(
    'Id of the request in the logs of the server; one that the request came with is kept',
    '^[0-9A-Za-z_-]+$',
    100,
    '1c7dd2d5-5c7b-4c0f-9d0c-3e2f4b6f7a10',
  ),
  'Data-Age': {
    description:
      'How many seconds at most the answer is behind what has been entered: 0, or what a read replica has yet to catch up with',
    schema: { type: 'number', minimum: 0 },
    example: 0,
  },
  'Access-Control-Allow-Origin': text(
    'The origin of the page that asks, if it may (CORS_ORIGINS)',
    '^[!-~]+$',
    300,
    'https://app.northlight.example',
  ),
  'RateLimit-Limit': seconds(
    'Requests in a window (60 seconds, unless agreed otherwise) that the organization has (before sign-in: the address, and where a secret can be guessed the account); absent if the request was refused before they were counted, or is a superadmin’s',
    2_147_483_647,
    100,
  ),
  'RateLimit-Remaining': seconds('How many of them are left', 2_147_483_647, 99),
  'RateLimit-Reset': seconds(
    'Seconds until all of them are back; of an organization that is blocked, until it is released',
    86_400,
    60,
  ),
  'Retry-After': { ...seconds('Seconds to wait before trying again', 86_400, 30), required: true },
  'WWW-Authenticate': { ...text('What to send', '^Bearer$', 6, 'Bearer'), required: true },
}
export type HeaderName = keyof typeof headers

/** The headers that come with an answer besides those of the operation itself. */
export function commonHeaders(status: string, isLimited: boolean): HeaderName[] {
  return [
    'X-Request-Id',
    'Access-Control-Allow-Origin',
    ...(isLimited ? (['RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset'] as const) : []),
    ...(status === '429' || status === '503' ? (['Retry-After'] as const) : []),
    ...(status === '401' ? (['WWW-Authenticate'] as const) : []),
  ]
}
