import type { Answer } from './helper.ts'

/** What a response says about the limit. */
export function limitOf({ status, headers }: Pick<Answer, 'status' | 'headers'>) {
  const number = (name: string) => (headers[name] === undefined ? undefined : Number(headers[name]))
  const text = (name: string) => (headers[name] === undefined ? undefined : String(headers[name]))
  return {
    status,
    limit: number('ratelimit-limit'),
    remaining: number('ratelimit-remaining'),
    reset: number('ratelimit-reset'),
    retryAfter: number('retry-after'),
    policy: text('ratelimit-policy'),
    left: text('ratelimit'),
  }
}

/** The median, and the 99th percentile. */
export function spread(values: number[]): { median: number; p99: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { median: at(0.5), p99: at(0.99) }
}
