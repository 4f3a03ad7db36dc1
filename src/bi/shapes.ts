import { Type } from '@sinclair/typebox'
import { Count, Id, Line, Nullable, Strict, Timestamp } from '../http/schemas.ts'

const line = (description: string, example: string) =>
  Type.String({ maxLength: 1000, pattern: '^[ -~]+$', description, examples: [example] })
const login = 'bi_5f0c3b9e5f0c4b9e9f0c3b9e'
const secret = 'mZ2c3V4b6N8mQ1w5E7r9T0yU2iO4pA6sD8fG1hJ3kL5'
const at = (query: string) => `postgresql://${login}:${secret}@db.example.com:5432/callboard?sslmode=${query}`
const credential = {
  id: Id,
  name: Line('Metabase of the finance team'),
  login: Type.String({ pattern: '^bi_[0-9a-f]{24}$', maxLength: 27, examples: [login] }),
  status: Type.String({
    title: 'BiCredentialStatus',
    enum: ['active', 'expired', 'revoked', 'suspended'],
    description:
      'Only an active credential can connect. An expired one can be rotated, and so can one that is suspended because who held it has left or may no longer manage BI logins',
    examples: ['active'],
  }),
  connection_limit: Type.Integer({ ...Count(1, 5), maximum: 10 }),
  statement_timeout_seconds: Type.Integer({ ...Count(1, 300), maximum: 3600 }),
  created_by: Nullable(Type.String({ ...Id, description: 'Null if the operator created it' })),
  held_by: Nullable(
    Type.String({
      ...Id,
      description:
        'Who created it, rotated it last, or took it over with the ownership; null for the operator',
    }),
  ),
  created_at: Timestamp,
  expires_at: Timestamp,
  rotated_at: Nullable(Timestamp),
  last_seen_at: Nullable(
    Type.String({ ...Timestamp, description: 'When it was last connected, accurate to five minutes' }),
  ),
  revoked_by: Nullable(Id),
  revoked_at: Nullable(Timestamp),
}
/** A BI credential as members see it. */
export const BiCredential = Strict(credential, { title: 'BiCredential' })
const Connect = Strict(
  {
    uri: line('For everything based on libpq', at('require')),
    psql: line('A command', `psql '${at('require')}'`),
    sqlalchemy: line('For create_engine', at('require').replace('postgresql', 'postgresql+psycopg2')),
    jdbc: line(
      'For DBeaver and others',
      `jdbc:postgresql://db.example.com:5432/callboard?user=${login}&password=${secret}&sslmode=require`,
    ),
    odbc: line(
      'With the PostgreSQL driver',
      `Driver={PostgreSQL Unicode};Server=db.example.com;Port=5432;Database=callboard;Uid=${login};Pwd=${secret};SSLmode=require;`,
    ),
    metabase: Strict(
      {
        host: line('Host', 'db.example.com'),
        port: Type.Integer({ ...Count(1, 5432), maximum: 65_535 }),
        database_name: line('Database name', 'callboard'),
        username: line('Username', login),
        password: line('Password', secret),
        ssl: Type.Boolean({ examples: [true] }),
        schemas: line('Only these …', 'analytics'),
      },
      { description: 'The fields of the form' },
    ),
    power_bi: line(
      'For the advanced editor; login and password as “Database”',
      'PostgreSQL.Database("db.example.com:5432", "callboard")',
    ),
  },
  { title: 'BiConnect' },
)
/** A credential with what is shown only once. */
export const WithPassword = Strict(
  {
    ...credential,
    password: Nullable(line('Shown once, and stored nowhere; null if the request was repeated', secret)),
    connect: Nullable(Connect),
  },
  { title: 'MadeBiCredential' },
)
const expiry = (description: string) =>
  Type.Optional(Type.Integer({ ...Count(1, 90), maximum: 730, description }))
export const NewBiCredential = Strict(
  {
    name: credential.name,
    expires_in_days: expiry('90 by default'),
    connection_limit: Type.Optional(credential.connection_limit),
    statement_timeout_seconds: Type.Optional(credential.statement_timeout_seconds),
  },
  { title: 'NewBiCredential' },
)
export const Rotation = Strict(
  { expires_in_days: expiry('By default its end stays; 90 if it has expired') },
  { title: 'BiCredentialRotation' },
)
