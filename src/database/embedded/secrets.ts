import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { locked, replace } from './files.ts'
import { codeOf, EmbeddedError } from './run.ts'

/** Creates the data folder if it is missing and returns its real path. */
export function makeRoot(root: string): string {
  if (mkdirSync(root, { recursive: true }) !== undefined) {
    // If started as root, PostgreSQL runs as another user, who must pass through the folder but need not list it.
    chmodSync(root, process.getuid?.() === 0 ? 0o711 : 0o700)
  }
  return realpathSync(root)
}

/** The secret called `name` in `<root>/secrets.json`; created on the first call: 32 random bytes in base64url. */
export function secret(root: string, name: string): string {
  const file = join(makeRoot(root), 'secrets.json')
  const known = read(file)[name]
  if (known !== undefined) return known
  // Otherwise two processes adding a secret at the same time would lose one.
  return locked(file, () => {
    const secrets = read(file)
    const value = secrets[name] ?? randomBytes(32).toString('base64url')
    replace(file, JSON.stringify({ ...secrets, [name]: value }, null, 2) + '\n')
    return value
  })
}

function read(file: string): Record<string, string> {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return {}
    throw new EmbeddedError(
      `${file} cannot be read (${codeOf(error)}); start as the user who owns it, or set DATA_DIR to another folder`,
      { cause: error },
    )
  }
  try {
    return JSON.parse(text) as Record<string, string>
  } catch (error) {
    throw new EmbeddedError(`${file} is not valid JSON; repair it, or delete it to get new secrets`, {
      cause: error,
    })
  }
}
