/** A full disk, a transaction that may only read, a disk that fails. */
const unwritable = new Set(['53100', '25006', '58030'])
/** For how long one failure counts, in milliseconds: while a disk is full, some writes still find room. */
const memory = 10_000

/** Whether the database can be written, as the requests that tried have found out; so nothing is written to ask. */
export function watchWrites() {
  let isLastFailed = false
  let failedAt = -Infinity
  return {
    succeeded: () => {
      isLastFailed = false
    },
    failed: (error: unknown) => {
      if (!unwritable.has(String((error as { code?: unknown }).code))) return
      isLastFailed = true
      failedAt = performance.now()
    },
    isFailing: () => isLastFailed || performance.now() - failedAt < memory,
  }
}
