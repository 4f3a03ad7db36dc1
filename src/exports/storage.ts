import type { Readable } from 'node:stream'

/** Stores the files of exports. A key is <organization>/<export>/<attempt>. */
export interface Storage {
  /**
   * Stores the whole stream; until it has ended, and if it fails, there is nothing under the key. Rejects at once when
   * the signal aborts, also while the storage does not answer.
   */
  put: (key: string, content: Readable, signal: AbortSignal) => Promise<void>
  /** The file, or the bytes of a range, first to last. Rejects if it does not exist. */
  get: (key: string, range?: readonly [number, number]) => Promise<Readable>
  remove: (key: string) => Promise<void>
  /** All keys, in batches, including those of unfinished files. */
  keys: () => AsyncIterable<string[]>
  close: () => Promise<void>
}

/** The file cannot be stored, for a reason that a retry does not change. */
export class StorageFailure extends Error {
  override name = 'StorageFailure'
}
