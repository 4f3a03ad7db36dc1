import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Script } from './limit.ts'
import type { Load, Measure } from './load.ts'
import { each, type Processes, usage } from './usage.ts'

/** A message of PostgreSQL's protocol: its type byte, its length, its parts. */
function message(letter: string, ...parts: (string | number | Buffer)[]): Buffer {
  const body = Buffer.concat(
    parts.map(part => {
      if (Buffer.isBuffer(part)) return part
      if (typeof part === 'string') return Buffer.from(`${part}\0`)
      const short = Buffer.alloc(2)
      short.writeInt16BE(part)
      return short
    }),
  )
  const head = Buffer.alloc(5)
  head.write(letter)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
const sized = (text: string) => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(text.length)
  return Buffer.concat([length, Buffer.from(text)])
}
const allRows = Buffer.alloc(4)
const sync = message('S')

/** Every transaction as one buffer, ready to be sent, and the messages that prepare its statements. */
function compile(scripts: Script[]) {
  const preparing: Buffer[] = []
  const transactions: Buffer[] = []
  for (const [i, { statements, variants }] of scripts.entries()) {
    const takesOne = statements.map(text => text.includes('[:k]'))
    for (const [n, text] of statements.entries())
      preparing.push(message('P', `s${i}_${n}`, text.replaceAll('[:k]', '[$1::integer]'), 0))
    for (let k = 1; k <= variants; k += 1) {
      const parts = takesOne.flatMap((takes, n) => [
        takes
          ? message('B', '', `s${i}_${n}`, 0, 1, sized(String(k)), 0)
          : message('B', '', `s${i}_${n}`, 0, 0, 0),
        message('E', '', allRows),
      ])
      transactions.push(Buffer.concat([...parts, sync]))
    }
  }
  return { preparing: Buffer.concat([...preparing, sync]), transactions }
}

/** Parses incoming messages, which may arrive in pieces: their type byte and, for errors, their text. */
function reader(on: (letter: string, text: () => string) => void) {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk: Buffer) => {
    const data = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    let at = 0
    while (data.length - at >= 5) {
      const end = at + 1 + data.readInt32BE(at + 1)
      if (end > data.length) break
      const [from, to] = [at + 5, end]
      on(String.fromCharCode(data[at] ?? 0), () => data.toString('utf8', from, to).replaceAll('\0', ' '))
      at = end
    }
    rest = data.subarray(at)
  }
}

/** PostgreSQL alone without pgbench: the same transactions, prepared in advance and sent one after another. */
export async function loop(
  url: string,
  scripts: Script[],
  { connections, seconds, warmUp }: Load,
  processes: Processes,
): Promise<Measure> {
  const { preparing, transactions } = compile(scripts)
  let done = 0
  let failed = 0
  let isOver = false
  let complaint = ''
  const clients = await Promise.all(
    Array.from({ length: connections }, async (_, i) => {
      // pg authenticates; after that we use the socket directly.
      const client = new pg.Client({ connectionString: url })
      // pg would report the disconnect that we have requested.
      client.on('error', () => {})
      await client.connect()
      const { stream } = (client as unknown as { connection: { stream: import('node:net').Socket } })
        .connection
      stream.removeAllListeners('data')
      let n = Math.floor((i * transactions.length) / connections)
      const hasEnded = new Promise<void>(resolve => {
        const next = () => {
          if (isOver) resolve()
          else stream.write(transactions[n++ % transactions.length] as Buffer)
        }
        stream.on(
          'data',
          reader((letter, text) => {
            if (letter === 'E') {
              failed += 1
              complaint ||= text()
            }
            if (letter !== 'Z') return
            done += 1
            next()
          }),
        )
      })
      stream.write(preparing)
      return { stream, hasEnded }
    }),
  )
  await sleep(warmUp * 1000)
  const [first, before, begun] = [done, usage(processes), performance.now()]
  await sleep(seconds * 1000)
  const [counted, took] = [done - first, (performance.now() - begun) / 1000]
  const cpu = each(before, usage(processes), counted)
  isOver = true
  await Promise.all(clients.map(({ hasEnded }) => hasEnded))
  for (const { stream } of clients) {
    stream.end(message('X'))
    if (!stream.closed) await once(stream, 'close')
  }
  if (complaint !== '') throw new Error(`PostgreSQL alone failed: ${complaint}`)
  return { rate: counted / took, cpu, done: counted, failed }
}
