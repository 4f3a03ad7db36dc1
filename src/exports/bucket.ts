import { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import type { Config } from '../config.ts'
import { isKey } from './names.ts'
import { type Storage, StorageFailure } from './storage.ts'

/** The part size: how much of a file is in memory. S3 takes 10,000 parts, and none smaller than 5 MiB. */
const partSize = 8 * 1024 * 1024

/**
 * How long the server may be silent, and how long it may take for a request until it begins to answer, in milliseconds:
 * the client library itself would wait forever. A part of a file takes less, unless fewer than 14 kB arrive each second.
 */
const [silence, deadline] = [30_000, 600_000]

/** The server was silent for too long. */
class SilentStorage extends Error {
  override name = 'SilentStorage'
}

/** Objects in a bucket. The client library is large, so it is loaded on demand. */
export function openBucket(config: Config, bucket: string): Storage {
  let opened:
    Promise<{ s3: typeof import('@aws-sdk/client-s3'); client: S3Client; reader: S3Client }> | undefined
  const open = () =>
    (opened ??= import('@aws-sdk/client-s3').then(s3 => ({
      s3,
      client: impatient(
        new s3.S3Client(optionsOf(config, { requestTimeout: deadline, socketTimeout: silence })),
      ),
      // While it reads a file, its socket may be silent because whoever downloads it pauses: see `speaking`.
      reader: impatient(new s3.S3Client(optionsOf(config, { requestTimeout: silence }))),
    })))
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
    put: async (key, content, signal) => {
      const { client } = await open()
      const { Upload } = await import('@aws-sdk/lib-storage')
      const upload = new Upload({ client, params: { ...at(key), Body: content }, partSize, queueSize: 1 })
      const abort = () => void upload.abort()
      signal.addEventListener('abort', abort)
      if (signal.aborted) abort()
      try {
        await upload.done()
      } catch (error) {
        signal.throwIfAborted()
        throw refusalOf(error) ?? error
      } finally {
        signal.removeEventListener('abort', abort)
      }
    },
    get: async (key, range) => {
      const { s3, reader } = await open()
      const Range = range && `bytes=${range.join('-')}`
      const { Body } = await reader.send(new s3.GetObjectCommand({ ...at(key), ...(Range && { Range }) }))
      return speaking(Body as Readable)
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
      if (!opened) return
      const { client, reader } = await opened
      client.destroy()
      reader.destroy()
    },
  }
}

/** A middleware of the library. */
const notInTime =
  <In, Out>(next: (args: In) => Promise<Out>) =>
  async (args: In): Promise<Out> => {
    try {
      return await next(args)
    } catch (error) {
      if ((error as Error).name !== 'TimeoutError') throw error
      // Without its cause: the library also retries what was caused by a timeout.
      throw new SilentStorage(`the file storage does not answer: ${(error as Error).message}`)
    }
  }

/** The same client, which does not retry by itself what has taken too long. */
function impatient(client: S3Client): S3Client {
  client.middlewareStack.addRelativeTo(notInTime, {
    relation: 'after',
    toMiddleware: 'retryMiddleware',
    name: 'notInTime',
  })
  return client
}

/** The same bytes, unless the server is silent for too long: how long the reader pauses does not count. */
function speaking(body: Readable): Readable {
  const out = new Readable({
    read: () => {
      timer ??= setTimeout(() => {
        body.destroy(new SilentStorage('the file storage does not answer'))
      }, silence)
      body.resume()
    },
    destroy: (error, done) => {
      clearTimeout(timer)
      body.destroy()
      done(error)
    },
  })
  let timer: NodeJS.Timeout | undefined
  body
    .on('data', (chunk: Buffer) => {
      clearTimeout(timer)
      timer = undefined
      if (!out.push(chunk)) body.pause()
    })
    .on('end', () => out.push(null))
    .on('error', (error: Error) => out.destroy(error))
  return out
}

function optionsOf(config: Config, times: { requestTimeout: number; socketTimeout?: number }) {
  const { EXPORT_S3_ENDPOINT: endpoint, EXPORT_S3_ACCESS_KEY_ID: accessKeyId } = config
  const secretAccessKey = config.EXPORT_S3_SECRET_ACCESS_KEY ?? ''
  return {
    region: config.EXPORT_S3_REGION,
    requestHandler: { connectionTimeout: 10_000, throwOnRequestTimeout: true, ...times },
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
