import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

/** A password for a PostgreSQL login, and the verifier that the server gets instead. */
export interface DatabasePassword {
  password: string
  /** SCRAM-SHA-256 (RFC 5803), as PostgreSQL stores it. */
  verifier: string
}

const iterations = 4096

/** Generates a password that nobody has to remember. The verifier alone does not allow a login. */
export async function newDatabasePassword(): Promise<DatabasePassword> {
  // ASCII, so SASLprep would not change it; no character that needs escaping in a URL or an ODBC string.
  const password = randomBytes(32).toString('base64url')
  return { password, verifier: await verifierOf(password, randomBytes(16)) }
}

/** What PostgreSQL stores of an ASCII password, by RFC 5802: the password cannot be derived from either key. */
export async function verifierOf(password: string, salt: Buffer): Promise<string> {
  const salted = await promisify(pbkdf2)(password, salt, iterations, 32, 'sha256')
  const key = (name: string) => createHmac('sha256', salted).update(name).digest()
  const storedKey = createHash('sha256').update(key('Client Key')).digest('base64')
  const serverKey = key('Server Key').toString('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`
}

/** How `app.create_bi_credential` and the like identify a verifier in their answers, as `made_with`. */
export const madeWith = (verifier: string) => createHash('sha256').update(verifier).digest('hex')

/** How to connect, by tool. `url` is the address of the database; its user does not matter. */
export function connectionsOf(url: string, login: string, password: string) {
  const target = new URL(url)
  const host = target.hostname
  const bare = host.replace(/^\[|\]$/g, '')
  const port = Number(target.port || 5432)
  const database = decodeURIComponent(target.pathname.slice(1)) || 'postgres'
  // libpq's default, made explicit because psqlODBC has a different one.
  const sslmode = target.searchParams.get('sslmode') ?? 'prefer'
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
