import type { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import type { Config } from '../config.ts'
import { isKey } from './names.ts'
import { type Storage, StorageFailure } from './storage.ts'

/** The part size: how much of a file is in memory. S3 takes 10,000 parts, and none smaller than 5 MiB. */
const partSize = 8 * 1024 * 1024

/** Objects in a bucket. The client library is large, so it is loaded on demand. */
export function openBucket(config: Config, bucket: string): Storage {
  let opened: Promise<{ s3: typeof import('@aws-sdk/client-s3'); client: S3Client }> | undefined
  const open = () =>
    (opened ??= import('@aws-sdk/client-s3').then(s3 => ({ s3, client: new s3.S3Client(optionsOf(config)) })))
  /** Unfinished uploads, if the server can list them: parts of a file that does not exist yet. */
  async function begun(Prefix?: string) {
    const { s3, client } = await open()
    const list = new s3.ListMultipartUploadsCommand({
      Bucket: bucket,
      ...(Prefix !== undefined && { Prefix }),
    })
    try {
      return (await client.send(list)).Uploads ?? []
    } catch (error) {
      if ([405, 501].includes((error as ServiceError).$metadata?.httpStatusCode ?? 0)) return []
      throw error
    }
  }
  const at = (key: string) => ({ Bucket: bucket, Key: key })
  return {
    put: async (key, content) => {
      const { client } = await open()
      const { Upload } = await import('@aws-sdk/lib-storage')
      const upload = new Upload({ client, params: { ...at(key), Body: content }, partSize, queueSize: 1 })
      await upload.done().catch((error: unknown) => {
        throw refusalOf(error) ?? error
      })
    },
    get: async (key, range) => {
      const { s3, client } = await open()
      const Range = range && `bytes=${range.join('-')}`
      const { Body } = await client.send(new s3.GetObjectCommand({ ...at(key), ...(Range && { Range }) }))
      return Body as Readable
    },
    remove: async key => {
      const { s3, client } = await open()
      await client.send(new s3.DeleteObjectCommand(at(key)))
      for (const { UploadId } of await begun(key))
        await client.send(new s3.AbortMultipartUploadCommand({ ...at(key), UploadId }))
    },
    keys: async function* () {
      const { s3, client } = await open()
      for await (const { Contents = [] } of s3.paginateListObjectsV2({ client }, { Bucket: bucket }))
        yield Contents.flatMap(({ Key }) => Key ?? []).filter(isKey)
      yield (await begun()).flatMap(({ Key }) => Key ?? []).filter(isKey)
    },
    close: async () => {
      if (opened) (await opened).client.destroy()
    },
  }
}

function optionsOf(config: Config) {
  const { EXPORT_S3_ENDPOINT: endpoint, EXPORT_S3_ACCESS_KEY_ID: accessKeyId } = config
  const secretAccessKey = config.EXPORT_S3_SECRET_ACCESS_KEY ?? ''
  return {
    region: config.EXPORT_S3_REGION,
    // Servers other than Amazon's address buckets by path, and not all of them support newer checksums.
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
    ...(accessKeyId !== undefined && { credentials: { accessKeyId, secretAccessKey } }),
    requestChecksumCalculation: 'WHEN_REQUIRED' as const,
    responseChecksumValidation: 'WHEN_REQUIRED' as const,
  }
}

interface ServiceError {
  name?: string
  $metadata?: { httpStatusCode?: number }
}

/** A permanent refusal; anything else may be temporary. */
function refusalOf(error: unknown): StorageFailure | undefined {
  const { name, $metadata } = error as ServiceError
  const status = $metadata?.httpStatusCode ?? 0
  if (status < 400 || status >= 500 || status === 408 || status === 429) return undefined
  return new StorageFailure(`The file storage refuses the file: ${name ?? status}.`, { cause: error })
}
