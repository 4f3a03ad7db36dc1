import { join } from 'node:path'
import type { Config } from '../config.ts'
import { openBucket } from './bucket.ts'
import { openFolder } from './folder.ts'
import type { Storage } from './storage.ts'

/** The configured folder or bucket. Nothing is opened until it is used. */
export function createStorage(config: Config): Storage {
  return config.EXPORT_S3_BUCKET === undefined
    ? openFolder(config.EXPORT_DIR ?? join(config.DATA_DIR, 'exports'))
    : openBucket(config, config.EXPORT_S3_BUCKET)
}
