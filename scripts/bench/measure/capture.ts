import { type AddressInfo, connect, createServer } from 'node:net'

/** A statement that a server sent, with the values of its parameters as text. */
export interface Statement {
  sql: string
  values: (string | null)[]
}

export interface Capture {
  /** The database's URL through this proxy. */
  url: string
  /** The statements captured since the last call. */
  take: () => Statement[]
  close: () => void
}

const startup = 196_608

/**
 * A proxy between a server and PostgreSQL that captures statements, so that the limit is measured with what Callboard
 * really sends, whatever its driver, rather than with assumptions.
 */
export async function startCapture(databaseUrl: string): Promise<Capture> {
  const { hostname, port } = new URL(databaseUrl)
  const seen: Statement[] = []
  const server = createServer({ noDelay: true }, client => {
    const upstream = connect({ host: hostname, port: Number(port || 5432), noDelay: true })
    const statements = new Map<string, string>()
    let rest = Buffer.alloc(0)
    let isStarted = false
    client.on('data', (chunk: Buffer) => {
      upstream.write(chunk)
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        // The first messages of a connection have no type byte.
        const head = isStarted ? 1 : 0
        if (rest.length < head + 4) return
        const length = rest.readInt32BE(head) + head
        if (rest.length < length) return
        const message = rest.subarray(0, length)
        rest = rest.subarray(length)
        if (isStarted) note(message, statements)
        else isStarted = message.readInt32BE(4) === startup
      }
    })
    upstream.on('data', (chunk: Buffer) => client.write(chunk))
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  function note(message: Buffer, statements: Map<string, string>) {
    let at = 5
    const text = () => {
      const end = message.indexOf(0, at)
      const found = message.toString('utf8', at, end)
      at = end + 1
      return found
    }
    const short = () => message.readInt16BE((at += 2) - 2)
    const value = () => {
      const length = message.readInt32BE((at += 4) - 4)
      return length < 0 ? null : message.toString('utf8', at, (at += length))
    }
    const kind = String.fromCharCode(message[0] ?? 0)
    // One chunk may contain several messages.
    if (kind === 'Q')
      seen.push(
        ...text()
          .split('; ')
          .map(sql => ({ sql, values: [] })),
      )
    else if (kind === 'P') statements.set(text(), text())
    else if (kind === 'B') {
      text()
      const sql = statements.get(text()) ?? ''
      const formats = Array.from({ length: short() }, short)
      if (formats.includes(1))
        throw new Error(`A parameter of this statement is binary and cannot be replayed: ${sql}`)
      seen.push({ sql, values: Array.from({ length: short() }, value) })
    }
  }
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const here = new URL(databaseUrl)
  here.hostname = '127.0.0.1'
  here.port = String((server.address() as AddressInfo).port)
  return {
    url: here.href,
    take: () => seen.splice(0),
    close: () => void server.close(),
  }
}
