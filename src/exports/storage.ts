import type { Readable } from 'node:stream'

/** Where the files of exports are. A key is <organization>/<export>/<attempt>. */
export interface Storage {
  /** Keeps all that the stream brings; before it has ended, and when it fails, there is nothing under the key. */
  put: (key: string, content: Readable) => Promise<void>
  /** The file, or the bytes from the first to the last of a range. Rejects if it is not there. */
  get: (key: string, range?: readonly [number, number]) => Promise<Readable>
  remove: (key: string) => Promise<void>
  /** All keys, some at a time, also of what was begun and not ended. */
  keys: () => AsyncIterable<string[]>
  close: () => Promise<void>
}

/** The file cannot be kept, for a reason that trying again does not change. */
export class StorageFailure extends Error {
  override name = 'StorageFailure'
}
