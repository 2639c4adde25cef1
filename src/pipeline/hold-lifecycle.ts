import type { HoldResolved } from '../domain/hold.js'
import type { EnforcementStore, OutboxMessage, OutboxSink } from '../ports/enforcement-store.js'

/** Counters for the outside; each call is one round's result. */
export interface HoldMetrics {
  expired(count: number): void
  delivered(sink: OutboxSink, count: number): void
  failed(step: OutboxSink | 'expiry'): void
}

export interface HoldLifecycleOptions {
  store: EnforcementStore
  /** Resolves when all are acknowledged, keyed by orderId. */
  publishTopic: (messages: readonly OutboxMessage[]) => Promise<void>
  /** `HistoryStore.insertResolutions`. After a crash a message may come again in another batch: rows are distinct by hold_id. */
  recordHistory: (token: string, batch: readonly HoldResolved[]) => Promise<void>
  /** Returns the outbox ids that arrived. Absent when no callback is configured. */
  callback?: (messages: readonly OutboxMessage[]) => Promise<readonly string[]>
  now: () => number
  /** In [0, 1), spreads the retries of several processes. */
  random: () => number
  log: { warn(fields: object, message: string): void }
  metrics?: HoldMetrics
}

/** How a round went: `full` there is more at once, `some` work was done, `none` there was nothing to do. */
type Round = 'full' | 'some' | 'none'
const PAUSE_MS: Readonly<Record<Round, number>> = { full: 0, some: 250, none: 1_000 }

const BATCH = 100
/** Messages looked at in one round, those that wait for another try included. */
const WINDOW = 1_000
const RETRY_FIRST_MS = 250
/** A step that fails as a whole (a broker is down) is tried this often; a single message that is refused, less often. */
const RETRY_STEP_MS = 5_000
const RETRY_MESSAGE_MS = 30_000

/**
 * Ends holds whose time has come and brings every ended hold to each sink, for as long as it takes. Any number of processes may
 * run it: expiry is exclusive in the store, delivery is at least once.
 */
export function runHoldLifecycle(options: HoldLifecycleOptions): { stop(): Promise<void> } {
  const { store, now, random, log, metrics, callback } = options
  const ending = new AbortController()

  /** Capped exponential back-off, half of it random. */
  const backOffMs = (tries: number, maxMs: number): number => Math.min(RETRY_FIRST_MS * 2 ** Math.min(tries - 1, 20), maxMs) * (0.5 + random() / 2)

  const loop = async (step: OutboxSink | 'expiry', round: () => Promise<Round>): Promise<void> => {
    let failures = 0
    while (!ending.signal.aborted) {
      let pauseMs: number
      try {
        pauseMs = PAUSE_MS[await round()]
        failures = 0
      } catch (error) {
        failures += 1
        pauseMs = backOffMs(failures, RETRY_STEP_MS)
        metrics?.failed(step)
        log.warn({ step, failures, error: error instanceof Error ? error.message : 'unknown fault' }, 'holds: a step failed and will be tried again')
      }
      await pause(pauseMs, ending.signal)
    }
  }

  const expire = async (): Promise<Round> => {
    const count = await store.expireDue(now(), BATCH)
    if (count > 0) metrics?.expired(count)
    return count === BATCH ? 'full' : count > 0 ? 'some' : 'none'
  }

  /** `send` returns the ids that arrived, or rejects: then all come again with the step. A message that keeps failing alone waits alone. */
  const deliverTo = (sink: OutboxSink, send: (messages: readonly OutboxMessage[]) => Promise<readonly string[]>): (() => Promise<Round>) => {
    const retries = new Map<string, { tries: number; at: number }>()
    const postpone = (id: string): void => {
      const tries = (retries.get(id)?.tries ?? 0) + 1
      retries.set(id, { tries, at: now() + backOffMs(tries, RETRY_MESSAGE_MS) })
    }

    return async () => {
      const pending = await store.pending(sink, Math.min(BATCH + retries.size, WINDOW))
      const stillPending = new Set(pending.map((m) => m.outboxId))
      for (const id of retries.keys()) if (!stillPending.has(id)) retries.delete(id)
      const due = pending.filter((m) => (retries.get(m.outboxId)?.at ?? 0) <= now()).slice(0, BATCH)
      if (due.length === 0) return 'none'
      const arrived = new Set(await send(due))
      due.filter((m) => !arrived.has(m.outboxId)).forEach((m) => { postpone(m.outboxId) })
      if (arrived.size === 0) throw new Error(`none of ${due.length} messages arrived`)
      await store.delivered(sink, [...arrived])
      metrics?.delivered(sink, arrived.size)
      return due.length === BATCH ? 'full' : 'some'
    }
  }

  const ids = (messages: readonly OutboxMessage[]): string[] => messages.map((m) => m.outboxId)
  const loops = [
    loop('expiry', expire),
    loop('topic', deliverTo('topic', async (messages) => {
      await options.publishTopic(messages)
      return ids(messages)
    })),
    loop('history', deliverTo('history', async (messages) => {
      await options.recordHistory(`holds-${ids(messages).join(',')}`, messages.map((m) => m.resolved))
      return ids(messages)
    })),
    ...(callback === undefined ? [] : [loop('callback', deliverTo('callback', callback))]),
  ]

  return {
    /** Finishes the rounds in hand. What is still pending is delivered after the next start. */
    async stop() {
      ending.abort()
      await Promise.all(loops)
    },
  }
}

/** Ends early, without an error, when `signal` aborts. */
const pause = (ms: number, signal: AbortSignal): Promise<void> => new Promise((resolve) => {
  const done = (): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', done)
    resolve()
  }
  const timer = setTimeout(done, ms)
  signal.addEventListener('abort', done)
  if (signal.aborted) done()
})
