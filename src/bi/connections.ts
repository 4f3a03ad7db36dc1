import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

/** A password for a login of PostgreSQL, and what the server is given instead of it. */
export interface DatabasePassword {
  password: string
  /** SCRAM-SHA-256 (RFC 5803), as PostgreSQL stores it. */
  verifier: string
}

const iterations = 4096

/** Makes a password that nobody has to remember. Whoever sees the verifier cannot log in with it. */
export async function newDatabasePassword(): Promise<DatabasePassword> {
  // ASCII, so SASLprep would leave it as it is; no character that a URL or an ODBC string minds.
  const password = randomBytes(32).toString('base64url')
  return { password, verifier: await verifierOf(password, randomBytes(16)) }
}

/** What PostgreSQL keeps of a password in ASCII, by RFC 5802: neither key leads back to it. */
export async function verifierOf(password: string, salt: Buffer): Promise<string> {
  const salted = await promisify(pbkdf2)(password, salt, iterations, 32, 'sha256')
  const key = (name: string) => createHmac('sha256', salted).update(name).digest()
  const storedKey = createHash('sha256').update(key('Client Key')).digest('base64')
  const serverKey = key('Server Key').toString('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`
}

/** What `app.create_bi_credential` and its like call a verifier in their answer, as `made_with`. */
export const madeWith = (verifier: string) => createHash('sha256').update(verifier).digest('hex')

/** How each tool is told to connect. `url` is where the database is; who may log in there does not matter. */
export function connectionsOf(url: string, login: string, password: string) {
  const place = new URL(url)
  const host = place.hostname
  const bare = host.replace(/^\[|\]$/g, '')
  const port = Number(place.port || 5432)
  const database = decodeURIComponent(place.pathname.slice(1)) || 'postgres'
  // libpq's default, said aloud, because psqlODBC has another one.
  const sslmode = place.searchParams.get('sslmode') ?? 'prefer'
  const authority = `${login}:${password}@${host}:${port}/${encodeURIComponent(database)}`
  const query = new URLSearchParams({ sslmode }).toString()
  return {
    uri: `postgresql://${authority}?${query}`,
    psql: `psql 'postgresql://${authority}?${query}'`,
    sqlalchemy: `postgresql+psycopg2://${authority}?${query}`,
    jdbc: `jdbc:postgresql://${host}:${port}/${encodeURIComponent(database)}?${new URLSearchParams({ user: login, password, sslmode }).toString()}`,
    odbc: `Driver={PostgreSQL Unicode};Server=${bare};Port=${port};Database=${database};Uid=${login};Pwd=${password};SSLmode=${sslmode};`,
    // The fields of its form.
    metabase: {
      host: bare,
      port,
      database_name: database,
      username: login,
      password,
      ssl: !['disable', 'allow', 'prefer'].includes(sslmode),
      schemas: 'analytics',
    },
    power_bi: `PostgreSQL.Database("${host}:${port}", "${database}")`,
  }
}
