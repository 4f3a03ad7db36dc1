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

/** Every response header that is of use to clients, as components of the document. */
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
    'The next page, if there is one',
    '^<.+>; rel="next"$',
    2000,
    '</api/shows?cursor=WyJz>; rel="next"',
  ),
  'X-Request-Id': text(
    'Id of the request in the server log; an id sent with the request is kept',
    '^[0-9A-Za-z_-]+$',
    100,
    '1c7dd2d5-5c7b-4c0f-9d0c-3e2f4b6f7a10',
  ),
  'Data-Age': {
    description:
      'Seconds by which the answer may lag behind the latest changes: 0, or the lag of a read replica',
    schema: { type: 'number', minimum: 0 },
    example: 0,
  },
  Deprecation: text(
    'Since when a field of the answer is deprecated (RFC 9745), in seconds since 1970: those marked deprecated',
    '^@[0-9]+$',
    20,
    '@1795996800',
  ),
  'Access-Control-Allow-Origin': text(
    'The origin of the requesting page, if it is allowed (CORS_ORIGINS)',
    '^[!-~]+$',
    300,
    'https://app.northlight.example',
  ),
  RateLimit: text(
    'What is left of each limit that the request was charged to, and in how many seconds all of it is (draft-ietf-httpapi-ratelimit-headers-10)',
    '^"[a-z_]+";r=[0-9]+;t=[0-9]+(, "[a-z_]+";r=[0-9]+;t=[0-9]+)*$',
    1000,
    '"person";r=59;t=60, "organization";r=99;t=60',
  ),
  'RateLimit-Policy': text(
    'Each of these limits: how many requests in how many seconds',
    '^"[a-z_]+";q=[0-9]+;w=[0-9]+(, "[a-z_]+";q=[0-9]+;w=[0-9]+)*$',
    1000,
    '"person";q=60;w=60, "organization";q=100;w=60',
  ),
  'RateLimit-Limit': seconds(
    'Requests per window of the limit that will be reached first; absent if the request was refused before it was counted',
    2_147_483_647,
    100,
  ),
  'RateLimit-Remaining': seconds('Requests left in the window', 2_147_483_647, 99),
  'RateLimit-Reset': seconds(
    'Seconds until the full limit is available again; for who is blocked, until the block ends',
    86_400,
    60,
  ),
  'Retry-After': { ...seconds('Seconds to wait before trying again', 86_400, 30), required: true },
  'WWW-Authenticate': { ...text('Authentication scheme to use', '^Bearer$', 6, 'Bearer'), required: true },
}
export type HeaderName = keyof typeof headers
const limitHeaders = [
  'RateLimit',
  'RateLimit-Policy',
  'RateLimit-Limit',
  'RateLimit-Remaining',
  'RateLimit-Reset',
] as const

/** The headers of an answer besides the operation's own. */
export function commonHeaders(status: string, isLimited: boolean): HeaderName[] {
  return [
    'X-Request-Id',
    'Access-Control-Allow-Origin',
    ...(isLimited ? limitHeaders : []),
    ...(status === '429' || status === '503' ? (['Retry-After'] as const) : []),
    ...(status === '401' ? (['WWW-Authenticate'] as const) : []),
  ]
}
