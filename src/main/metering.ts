import type { Logger } from '../adapters/pino/log.js'
import type { Metrics } from '../adapters/prometheus/metrics.js'
import type { HoldMetrics } from '../pipeline/hold-lifecycle.js'
import type { EngineDeps } from '../pipeline/process-event.js'
import type { StreamHooks } from '../pipeline/stream.js'

/** What each part reports, turned into metrics. */
export interface Meters {
  engine: NonNullable<EngineDeps['onProcessed']>
  stream: StreamHooks
  holds: HoldMetrics
  /** A write that is tried again, by store. */
  retried(store: string): (fault: unknown, attempt: number) => void
}

const SAY_EVERY_MS = 1_000

export function createMeters(metrics: Metrics, log: Logger): Meters {
  const lastSaid = new Map<string, number>()
  return {
    engine: (event, scored) => {
      metrics.events.inc({ type: event.type })
      if (!scored) return
      const { decision, review } = scored
      metrics.decisions.inc({ outcome: decision.outcome, basis: decision.basis, enforcement: review.enforcement })
      for (const hit of review.rule_hits) metrics.ruleHits.inc({ rule: hit.rule, mode: 'live' })
      for (const hit of review.shadow_hits) metrics.ruleHits.inc({ rule: hit.rule, mode: 'shadow' })
      for (const rule of review.rule_errors) metrics.ruleErrors.inc({ rule })
      for (const part of decision.degraded) metrics.degraded.inc({ part })
    },
    stream: {
      onBatch: ({ tookMs }) => { metrics.streamBatches.observe(tookMs / 1000) },
      onDeadLetter: (status) => { metrics.deadLetters.inc({ status: String(status) }) },
      onRetry: (why) => { metrics.streamRetries.inc({ why }) },
    },
    holds: {
      expired: (count) => { metrics.holdsExpired.inc(count) },
      delivered: (sink, count) => { metrics.holdsDelivered.inc({ sink }, count) },
      failed: (step) => { metrics.holdsFailed.inc({ step }) },
    },
    retried: (store) => (fault, attempt) => {
      metrics.storeRetries.inc({ store })
      // A store that is away fails thousands of calls a second, all for one reason.
      if (Date.now() - (lastSaid.get(store) ?? 0) < SAY_EVERY_MS) return
      lastSaid.set(store, Date.now())
      log.warn({ store, attempt, error: fault instanceof Error ? fault.message : 'unknown fault' }, 'a store did not take a write; it is tried again')
    },
  }
}
