import { type Static, type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox'

/** A value or null. */
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** An object that refuses fields it does not know. */
export const Strict = <T extends TProperties>(properties: T, options: object = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options })

/** The same object with every field optional, for PATCH; an empty body is refused. */
export const Patch = <T extends TProperties>(schema: TObject<T>, title: string) =>
  Type.Partial(schema, { additionalProperties: false, minProperties: 1, title })

/** Properties that a body may omit. */
export const omittable = <T extends TProperties>(properties: T) =>
  Type.Partial(Type.Object(properties)).properties

/** A UUID, as a part of a pattern. */
export const uuid = '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}'
export const Id = Type.String({
  format: 'uuid',
  pattern: `^${uuid}$`,
  maxLength: 36,
  examples: ['01980c5e-8c5e-7b4a-9d59-3f1de6a3c111'],
})
export const Email = Type.String({
  format: 'email',
  minLength: 3,
  maxLength: 254,
  description: 'Not case-sensitive',
  examples: ['ana@northlight.example'],
})
export const Timestamp = Type.String({
  format: 'date-time',
  maxLength: 40,
  examples: ['2026-11-23T18:30:00.123456+00:00'],
})
export const DateOnly = Type.String({ format: 'date', maxLength: 10, examples: ['2027-03-14'] })
export const LocalTime = Type.String({
  pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$',
  maxLength: 5,
  description: 'HH:MM in the time zone of the venue',
  examples: ['19:30'],
})
export const Currency = Type.String({
  pattern: '^[A-Z]{3}$',
  maxLength: 3,
  description: 'ISO 4217',
  examples: ['EUR'],
})
export const TimeZone = Type.String({
  minLength: 1,
  maxLength: 60,
  pattern: '^[A-Za-z0-9_+/-]+$',
  description: 'Name in the IANA time zone database',
  examples: ['Europe/Berlin'],
})
/** Any single line of text. */
export const noControls = '^[^\\u0000-\\u001f\\u007f]*$'
// What app.is_visible says of the Basic Multilingual Plane, in which patterns mean the same to all programs.
const unseen =
  ' \\u0080-\\u00a0\\u00ad\\u034f\\u061c\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u2800\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb'
const controls = '\\u0000-\\u001f\\u007f'
/** A line of text: something visible, and no control characters. */
export const Line = (example: string) =>
  Type.String({
    minLength: 1,
    maxLength: 200,
    pattern: `^[${unseen}]*[^${controls}${unseen}][^${controls}]*$`,
    examples: [example],
  })
/** Text of any number of lines. */
export const Text = (maxLength: number, example: string) =>
  Type.String({
    maxLength,
    // PostgreSQL's text holds every character but this one.
    pattern: '^[^\\u0000]*$',
    examples: [example],
  })
export const Count = (minimum: number, example: number) =>
  Type.Integer({ minimum, maximum: 2_147_483_647, format: 'int32', examples: [example] })
export const MinorUnits = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  format: 'int64',
  description: 'Amount in the smallest unit of the currency: 1250 in EUR is 12.50 euros',
  examples: [1250000],
})
/** A sum of amounts, which may be larger than any of them. */
export const Sum = (description: string, example: number) =>
  Type.Number({ multipleOf: 1, description, examples: [example] })
/** A rate: 8500 is 85 %. */
export const BasisPoints = Type.Integer({ minimum: 0, maximum: 10_000, format: 'int32' })
export const FinanceKind = Type.String({
  title: 'FinanceKind',
  enum: ['income', 'expense'],
  description: 'Whether money comes in or goes out',
  examples: ['income'],
})
/** The system in which something was first entered, and its reference there: both, or neither. */
export const ExternalSource = Nullable(
  Type.String({ ...Line('bank'), maxLength: 100, description: 'The system it comes from' }),
)
export const ExternalRef = Nullable(
  Type.String({
    ...Line('INV-2027-0313'),
    description: 'Its reference in that system; unique within its source, and given with it or not at all',
  }),
)
export const Slug = Type.String({
  maxLength: 80,
  pattern: '^[a-z0-9]+(-[a-z0-9]+)*$',
  examples: ['northlight-touring'],
})
export const Role = Type.String({
  title: 'Role',
  enum: ['owner', 'admin', 'manager', 'viewer'],
  description: 'What a member may do, from everything to read-only',
  examples: ['manager'],
})
/** A built-in role by its name, or one of an organization's own by its id. */
export const RoleId = Type.String({
  maxLength: 36,
  pattern: `^(owner|admin|manager|viewer|${uuid})$`,
  description: 'Name of a built-in role, or id of one of the organization’s own',
  examples: ['viewer'],
})
export const Permission = Type.String({
  maxLength: 100,
  pattern: '^[a-z_]+\\.[a-z_]+$',
  examples: ['shows.read'],
})
export const Secret = (description: string) =>
  Type.String({
    minLength: 1,
    maxLength: 400,
    pattern: '^[A-Za-z0-9._-]+$',
    description,
    examples: ['5f0c3b9e5f0c4b9e9f0c3b9e5f0c4b9e9f0c3b9e5f0c4b9e9f0c3b9e5f0c4b9e'],
  })

export const IdParams = Strict({ id: Id })
export type IdParams = Static<typeof IdParams>

/** The longest cursor holds a title of 200 characters of four bytes each, in base64. */
const cursorLength = 1500

const cursor = 'WyJzaG93X29uIiwiMjAyNy0wMy0xNCJd'
export const ListQuery = {
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 200,
      format: 'int32',
      description: 'Maximum number of items; 50 by default',
      examples: [50],
    }),
  ),
  cursor: Type.Optional(
    Type.String({
      maxLength: cursorLength,
      pattern: '^[A-Za-z0-9_-]+$',
      description: 'next_cursor of the previous page',
      examples: [cursor],
    }),
  ),
}

/** `?deleted=only` of a list: what is in the bin instead. Requires the permission to delete. */
export const Deleted = Type.Optional(
  Type.Literal('only', {
    description: 'Only deleted items, which can be restored; requires the permission to delete',
    examples: ['only'],
  }),
)
/** The additional fields of items in the bin. */
export const inBin = {
  deleted_at: Type.Optional(
    Type.String({ ...Timestamp, description: 'Only in the bin: see `deleted` of the list' }),
  ),
  deleted_by: Type.Optional(Nullable(Type.String({ ...Id, description: 'Who deleted it; only in the bin' }))),
}

/** A row in answers: its own fields, and those that every row has. */
export const rowOf = <T extends TProperties>(title: string, fields: T) =>
  Strict(
    {
      id: Id,
      ...fields,
      created_by: Nullable(Id),
      created_at: Timestamp,
      updated_at: Timestamp,
      ...inBin,
    },
    { title },
  )

/** `?sort=` of a list: the names of its columns; a leading minus reverses the order. */
export const sortBy = (columns: object) => {
  const names = Object.keys(columns)
  return Type.String({
    enum: names.flatMap(name => [name, `-${name}`]),
    description: 'A leading minus reverses the order',
    examples: [`-${names[0]}`],
  })
}

/** A page of a list. */
export const Page = (item: TSchema) =>
  Strict(
    {
      items: Type.Array(item, { maxItems: 200 }),
      next_cursor: Nullable(
        Type.String({
          maxLength: cursorLength,
          pattern: '^[A-Za-z0-9_-]+$',
          description: 'cursor of the next page; null on the last',
          examples: [cursor],
        }),
      ),
    },
    { title: `${item.title}Page` },
  )

/** A list that is never long enough to need pages. */
export const ShortList = (item: TSchema) =>
  Strict(
    { items: Type.Array(item, { maxItems: 10_000 }), next_cursor: Type.Null() },
    { title: `${item.title}List` },
  )

/** RFC 9457. */
export const ProblemDetails = Strict(
  {
    type: Type.String({ format: 'uri-reference', maxLength: 200, examples: ['/problems/not_found'] }),
    title: Type.String({ maxLength: 200, pattern: '^[ -~]+$', examples: ['The resource does not exist'] }),
    status: Type.Integer({ minimum: 400, maximum: 599, format: 'int32', examples: [404] }),
    detail: Type.String({
      maxLength: 2000,
      pattern: noControls,
      description: 'What went wrong this time, in plain words',
      examples: ['The resource does not exist, or you are not allowed to see it.'],
    }),
    instance: Type.String({
      maxLength: 100,
      pattern: '^[0-9A-Za-z_-]*$',
      description: 'The id of the request, also in X-Request-Id',
      examples: ['1c7dd2d5-5c7b-4c0f-9d0c-3e2f4b6f7a10'],
    }),
    errors: Type.Optional(
      Type.Array(
        Strict({
          path: Type.String({ maxLength: 500, pattern: '^/[ -~]+$', examples: ['/body/title'] }),
          message: Type.String({ maxLength: 2000, pattern: noControls, examples: ['must be string'] }),
        }),
        {
          maxItems: 100,
          description: 'For a request that does not match its schema: what is wrong, and where',
        },
      ),
    ),
  },
  { title: 'Problem' },
)
