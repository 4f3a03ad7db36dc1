import type { Socket } from 'node:net'
import postgres from 'postgres'
import { connectOnce } from './driver.ts'
import { Deliberate } from './errors.ts'
import { openSocket, type Place, prepareSocket } from './socket.ts'

/** What postgres.js offers of one connection, used by one transaction at a time. */
export type Client = postgres.Sql

export interface ConnectionOptions {
  url: string
  /** How long anything may take, in milliseconds. */
  deadline: number
  /** How long one statement may take; by default a little less, see below. */
  statementTimeout?: number
  prepare: boolean
  applicationName: string
  /** Whether a statement outside a transaction may write. */
  autocommit?: boolean
}

export interface Connection {
  client: Client
  isClosed: () => boolean
  /** Whether an error means that the connection is gone, rather than that a statement is wrong. */
  isLost: (error: unknown) => boolean
  /** Closes the connection at once; pending work on it is rejected. */
  destroy: () => void
  /** Closes the connection cleanly. */
  end: () => Promise<void>
}

/**
 * A postgres.js client that connects once (see driver.ts). `onClose` is called when a connection that was open closes.
 */
export function openConnection(options: ConnectionOptions, onClose: () => void): Connection {
  const sslmode = new URL(options.url).searchParams.get('sslmode') ?? 'disable'
  let socket: Socket | undefined
  let isDestroyed = false

  async function open(place: Place): Promise<Socket> {
    socket = openSocket(place)
    socket = await prepareSocket(socket, place, sslmode)
    if (isDestroyed) socket.destroy()
    return socket
  }

  const client = postgres(options.url, {
    max: 1,
    prepare: options.prepare,
    connect_timeout: Math.max(1, options.deadline / 1000),
    idle_timeout: 0,
    max_lifetime: null,
    fetch_types: false,
    onnotice: () => {},
    onclose: () => {
      destroy()
      onClose()
    },
    // The types of postgres.js lack this option, which also takes care of encryption.
    ...({ socket: connectOnce(open, destroy) } as object),
    ssl: false,
    // PostgreSQL made the JSON: it is passed on unparsed.
    types: {
      json: { to: 114, from: [114], serialize: JSON.stringify, parse: (text: string) => text },
      jsonb: {
        to: 3802,
        from: [3802],
        serialize: JSON.stringify,
        parse: (text: string) => JSON.parse(text) as unknown,
      },
    },
    connection: {
      application_name: options.applicationName,
      TimeZone: 'UTC',
      // The server gives up a little before we do: a slow statement then costs no connection, and a
      // late one does not keep running for nobody.
      statement_timeout: Math.ceil(options.statementTimeout ?? options.deadline * 0.9),
      idle_in_transaction_session_timeout: options.deadline,
      // After DDL postgres.js may repeat a statement after its transaction is over (see driver.ts):
      // the repetition must not write.
      ...(options.autocommit !== true && { default_transaction_read_only: true }),
    },
  })

  function destroy() {
    if (isDestroyed) return
    isDestroyed = true
    socket?.destroy()
    // Rejects what postgres.js has queued.
    void client.end({ timeout: 0 }).catch(() => {})
  }
  const isClosed = () => isDestroyed || socket?.destroyed === true

  return {
    client,
    isClosed,
    isLost: error => {
      const { severity } = error as { severity?: string }
      if (severity !== undefined) return severity === 'FATAL' || severity === 'PANIC'
      return isClosed() && !(error instanceof Deliberate)
    },
    destroy,
    end: async () => {
      await client.end({ timeout: 1 })
      destroy()
    },
  }
}
