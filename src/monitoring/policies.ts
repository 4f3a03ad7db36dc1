import type { FastifyBaseLogger } from 'fastify'
import { Gauge, type Registry } from 'prom-client'
import { classes, type Finding } from '../policies/finding.ts'
import { liveDrift, type LiveDriftOptions, noteDrift } from '../policies/live-drift.ts'

/** Shows what a look at the database has found; nothing after a look that told nothing. */
export type ShowDrift = (findings: Finding[] | undefined) => void

/** The gauge of differences between the database and the committed facts. */
export function driftGauge(registry: Registry): ShowDrift {
  const gauge = new Gauge({
    name: 'callboard_policy_drift',
    help: 'Differences of the live database from what the migrations make, by class, as the worker saw them within the last hour; dangerous must be 0',
    labelNames: ['class'],
    registers: [registry],
  })
  return findings => {
    gauge.reset()
    if (findings === undefined) return
    for (const kind of classes)
      gauge.set({ class: kind }, findings.filter(finding => finding.class === kind).length)
  }
}

const hour = 3_600_000

/**
 * Looks once a minute has passed, and then each hour, until the returned function is called, which resolves when the
 * look that is under way has ended.
 */
export function watchPolicies(
  options: LiveDriftOptions,
  log: FastifyBaseLogger,
  show: ShowDrift,
  { first = 60_000, every = hour } = {},
): () => Promise<void> {
  let timer = setTimeout(next, first)
  let isStopped = false
  let underWay = Promise.resolve()
  async function look() {
    try {
      const findings = await liveDrift(options)
      show(findings)
      if (findings === undefined)
        log.info('another release migrated the database: its policies are not compared')
      for (const finding of (findings ?? []).filter(one => one.class !== 'safe').slice(0, 50))
        log.error({ finding: finding.id, class: finding.class }, finding.says)
      if (findings !== undefined)
        await noteDrift(options, findings).catch((error: unknown) => {
          log.warn({ err: error }, 'the event log does not have what has changed in the policies')
        })
    } catch (error) {
      show(undefined)
      log.warn({ err: error }, 'the policies of the database could not be compared')
    }
  }
  function next() {
    underWay = look().then(() => {
      if (!isStopped) timer = setTimeout(next, every).unref()
    })
  }
  timer.unref()
  return () => {
    isStopped = true
    clearTimeout(timer)
    return underWay
  }
}
