import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { copyPrograms, findPrograms, type Programs, versionOf } from './programs.ts'
import { EmbeddedError, type OsUser } from './run.ts'
import { canEnter, osUser, ownerOf } from './user.ts'

/** Where the database is, which binaries run it, and as which user (undefined: the current one). */
export interface Place {
  programs: Programs
  major: string
  user: OsUser | undefined
  folder: string
  data: string
  log: string
  notes: string[]
}

/** Finds a folder and binaries that the user who will run PostgreSQL can access. */
export async function findPlace(root: string): Promise<Place> {
  const notes: string[] = []
  let user = await osUser('postgres', notes)
  let folder = root
  // Only root gets here with a user, so /var/lib is writable.
  const hash = createHash('sha256').update(root).digest('hex').slice(0, 12)
  const elsewhere = `/var/lib/callboard/${hash}`

  if (user !== undefined) {
    const isHere = existsSync(join(root, 'postgres/PG_VERSION'))
    const isThere = !isHere && existsSync(join(elsewhere, 'postgres/PG_VERSION'))
    if (isHere || isThere) user = ownerOf(join(isHere ? root : elsewhere, 'postgres'), user)
    const canReach = !isThere && (await canEnter(root, user))
    if (isHere && !canReach) {
      throw new EmbeddedError(
        `the database in ${root} belongs to the OS user ${user.name}, who cannot enter that folder; allow it (chmod o+x, also on each folder above), or set DATA_DIR to another folder`,
      )
    }
    if (!canReach) {
      folder = openFolder(elsewhere)
      notes.push(
        `The database is in ${folder}, because PostgreSQL does not run as root and the OS user ${user.name} could not enter ${root}`,
      )
    }
  }

  let programs = await findPrograms()
  let version = await versionOf(programs, user)
  if (version === undefined && user !== undefined) {
    programs = await copyPrograms(programs, openFolder(elsewhere))
    version = await versionOf(programs, user)
    notes.push(
      `The PostgreSQL programs run from a copy in ${elsewhere}, because the OS user ${user.name} cannot reach the original`,
    )
  }
  if (version === undefined) {
    throw new EmbeddedError(
      `${programs.postgres} is not executable; make it so (chmod +x), or set DATABASE_URL`,
    )
  }

  for (const path of [folder, programs.postgres]) {
    // pg_ctl passes these paths through a shell, inside double quotes.
    if (process.platform !== 'win32' && /["$`\\]/.test(path)) {
      throw new EmbeddedError(
        `the path ${path} contains one of " $ \` \\, which PostgreSQL's start program cannot handle; move it to another folder, or set DATABASE_URL`,
      )
    }
  }
  return {
    programs,
    major: version.replace(/.*\(PostgreSQL\) (\d+).*/s, '$1'),
    user,
    folder,
    data: join(folder, 'postgres'),
    log: join(folder, 'postgres.log'),
    notes,
  }
}

function openFolder(folder: string): string {
  mkdirSync(folder, { recursive: true })
  for (const path of [join(folder, '..'), folder]) chmodSync(path, 0o755)
  return folder
}
