import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import type { Test } from 'tap'

/** A plan node in EXPLAIN's JSON. */
export interface PlanNode {
  'Node Type': string
  'Parent Relationship'?: string
  'Relation Name'?: string
  'Index Name'?: string
  'Index Cond'?: string
  'Actual Loops': number
  'Actual Rows': number
  'Rows Removed by Filter'?: number
  Filter?: string
  'Join Filter'?: string
  Output?: string[]
  Plans?: PlanNode[]
}
export interface Plan {
  'Query Text': string
  Plan: PlanNode
}

/**
 * A wiretap on PostgreSQL that records what auto_explain sends its client: `during` returns the plans of all
 * statements that ran meanwhile, including those in functions.
 */
export async function wiretap(t: Test, targetUrl: string) {
  const target = new URL(targetUrl)
  let heard: Plan[] = []
  const server = createServer(client => {
    const upstream = connect(Number(target.port), target.hostname)
    let rest = Buffer.alloc(0)
    client.on('data', data => upstream.write(data))
    upstream.on('data', data => {
      rest = Buffer.concat([rest, data])
      let at = 0
      for (let next; at + 5 <= rest.length; at = next) {
        next = at + 1 + rest.readUInt32BE(at + 1)
        if (next > rest.length) break
        const plan = rest[at] === 'N'.charCodeAt(0) && planIn(rest.toString('utf8', at + 5, next))
        if (plan) heard.push(plan)
      }
      rest = rest.subarray(at)
      client.write(data)
    })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.on('error', () => {}).on('close', () => other.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return {
    through: (url: string) =>
      Object.assign(new URL(url), { host: `127.0.0.1:${(server.address() as AddressInfo).port}` }).href,
    during: async (work: () => Promise<unknown>) => {
      heard = []
      await work()
      return heard
    },
  }
}

/** The plan in the fields of a NoticeResponse. */
function planIn(fields: string): Plan | undefined {
  const message = fields.split('\0').find(field => field.startsWith('Mduration:'))
  return message === undefined ? undefined : (JSON.parse(message.slice(message.indexOf('{'))) as Plan)
}

/** A plan's nodes, all levels. */
export function* nodesOf(node: PlanNode): Generator<PlanNode> {
  yield node
  for (const child of node.Plans ?? []) yield* nodesOf(child)
}
