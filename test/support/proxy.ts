import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A network between the API and PostgreSQL that can fail like a real one, and that counts. */
export interface Proxy {
  /** The same connection URL, through the proxy. */
  through: (url: string) => string
  /** The server is down: connections are cut and new ones refused. */
  stop: () => Promise<void>
  start: () => Promise<void>
  /** The server hangs: connections stay and are accepted, and no byte moves. */
  freeze: () => void
  thaw: () => void
  /** The first connection on which the client sends a match hangs from there on; resolves when it does. */
  hangAt: (said: string) => Promise<void>
  /** Delays what the server sends by so many milliseconds. */
  delay: (milliseconds: number) => void
  /** How many connections are open. */
  connections: () => number
  /** How many connections were ever accepted. */
  accepted: () => number
  /**
   * What goes over the wire during `work`: one element for every time the client waited for the
   * server, which is how many statements it had sent until then.
   */
  flights: (work: () => Promise<unknown>) => Promise<number[]>
}

/** How long a client must be silent to count as waiting. */
const silence = 50

export async function startProxy(t: Test, targetUrl: string): Promise<Proxy> {
  const target = new URL(targetUrl)
  const clients = new Set<Socket>()
  const frozen: (() => void)[] = []
  let server: Server | undefined
  let port = 0
  let accepted = 0
  let isFrozen = false
  let delay = 0
  let trap: { said: string; sprung: () => void } | undefined
  let watch: ((from: 'client' | 'server', data: Buffer, send: () => void) => void) | undefined

  function pipe(from: Socket, to: Socket, side: 'client' | 'server') {
    let isTrapped = false
    const pass = (action: () => void) => {
      if (isFrozen) frozen.push(action)
      else if (delay > 0 && side === 'server') setTimeout(action, delay)
      else action()
    }
    from.on('data', data => {
      if (trap && side === 'client' && data.includes(trap.said)) {
        isTrapped = true
        trap.sprung()
        trap = undefined
      }
      if (isTrapped) return
      const send = () => to.write(data)
      pass(() => {
        if (watch) watch(side, data, send)
        else send()
      })
    })
    from.on('error', () => {})
    from.on('close', () => {
      clients.delete(from)
      pass(() => to.destroy())
    })
  }

  const start = async () => {
    server = createServer(client => {
      accepted += 1
      clients.add(client)
      const upstream = connect(Number(target.port), target.hostname)
      pipe(client, upstream, 'client')
      pipe(upstream, client, 'server')
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  }
  const thaw = () => {
    isFrozen = false
    for (const action of frozen.splice(0)) action()
  }
  const stop = async () => {
    thaw()
    const closed = server && once(server, 'close')
    server?.close()
    for (const client of clients) client.destroy()
    await closed
    server = undefined
  }

  async function flights(work: () => Promise<unknown>): Promise<number[]> {
    const counts: number[] = []
    let statements = 0
    let held: (() => void)[] = []
    let timer: NodeJS.Timeout | undefined
    const release = () => {
      if (held.length === 0) return
      // An answer in two parts, with a long silence between them, is one wait.
      if (statements > 0) counts.push(statements)
      statements = 0
      for (const send of held.splice(0)) send()
    }
    watch = (from, data, send) => {
      if (from === 'client') {
        statements += statementsIn(data)
        send()
      } else held.push(send)
      clearTimeout(timer)
      timer = setTimeout(release, silence)
    }
    try {
      await work()
    } finally {
      clearTimeout(timer)
      watch = undefined
      for (const send of held) send()
      held = []
    }
    return counts
  }

  await start()
  t.teardown(() => (server ? stop() : undefined))
  return {
    through: url => {
      const changed = new URL(url)
      changed.hostname = '127.0.0.1'
      changed.port = String(port)
      return changed.href
    },
    start,
    stop,
    freeze: () => {
      isFrozen = true
    },
    thaw,
    hangAt: said =>
      new Promise(sprung => {
        trap = { said, sprung }
      }),
    delay: milliseconds => {
      delay = milliseconds
    },
    connections: () => clients.size,
    accepted: () => accepted,
    flights,
  }
}

/** The Sync and Query messages in a piece of the frontend protocol; each ends one statement. */
function statementsIn(data: Buffer): number {
  let count = 0
  for (let at = 0; at + 5 <= data.length; at += 1 + data.readUInt32BE(at + 1))
    if ('SQ'.includes(String.fromCharCode(data[at] ?? 0))) count += 1
  return count
}
