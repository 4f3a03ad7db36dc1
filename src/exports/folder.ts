import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isKey } from './names.ts'
import { type Storage, StorageFailure } from './storage.ts'

const reasons: Record<string, string> = {
  ENOSPC: 'The file storage is full.',
  EDQUOT: 'The file storage is full.',
  EACCES: 'The folder for files is not writable.',
  EPERM: 'The folder for files is not writable.',
  EROFS: 'The folder for files is not writable.',
  ENOTDIR: 'The path of the folder for files is not a folder.',
  EEXIST: 'The path of the folder for files is not a folder.',
}

/** Files in a folder that only this program's user can read. */
export function openFolder(folder: string): Storage {
  const pathOf = (key: string) => {
    // The database generates keys; a forged one could lead outside the folder.
    if (!isKey(key)) throw new Error('not the key of an export')
    return join(folder, key)
  }
  return {
    put: async (key, content, signal) => {
      const path = pathOf(key)
      const part = `${path}.part`
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 })
        const file = await open(part, 'w', 0o600)
        try {
          await writeFile(file, content, { signal })
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(part, path)
      } catch (error) {
        await rm(part, { force: true }).catch(() => {})
        const reason = reasons[(error as NodeJS.ErrnoException).code ?? '']
        throw reason === undefined ? error : new StorageFailure(reason, { cause: error })
      }
    },
    get: async (key, range) => {
      const path = pathOf(key)
      await stat(path)
      return createReadStream(path, range && { start: range[0], end: range[1] })
    },
    remove: async key => {
      const path = pathOf(key)
      await Promise.all([rm(path, { force: true }), rm(`${path}.part`, { force: true })])
    },
    keys: async function* () {
      for (const organization of await readdir(folder).catch(() => [] as string[])) {
        const keys: string[] = []
        for (const entry of await readdir(join(folder, organization)).catch(() => [] as string[])) {
          const files = await readdir(join(folder, organization, entry)).catch(() => [] as string[])
          for (const file of files) keys.push(`${organization}/${entry}/${file.replace(/\.part$/, '')}`)
          // Removing it fails if a file is just being written into it.
          if (files.length === 0) await removeEmpty(join(folder, organization, entry))
        }
        if (keys.length > 0) yield keys.filter(isKey)
        else await removeEmpty(join(folder, organization))
      }
    },
    close: async () => {},
  }
}

async function removeEmpty(path: string): Promise<void> {
  await rmdir(path).catch(() => {})
}
