import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../adapters/pino/log.js'
import type { PostgresEnforcementStore } from '../adapters/postgres/enforcement-store.js'
import { createCallback } from '../adapters/webhook/callback.js'
import type { Config } from '../config.js'
import { runHoldLifecycle } from '../pipeline/hold-lifecycle.js'
import { startProjection } from '../pipeline/projection.js'
import { TOPICS, type EventLog } from '../ports/event-log.js'
import type { HistoryStore } from '../ports/history-store.js'
import type { Journal, PositionStore } from '../ports/journal.js'
import type { Meters } from './metering.js'

/** Everything that follows from the journal: published decisions, history, ended holds. */
export interface Outgoing {
  publishedSeq(): number
  historySeq(): number
  /** Stops; with `drain`, delivers what can be delivered first. */
  stop(options: { drain: boolean }): Promise<void>
}

export interface OutgoingDeps {
  journal: Pick<Journal, 'read' | 'firstSeq'>
  positions: PositionStore
  /** Only what is durable and enforced may go out. */
  upTo: () => number
  enforcement: PostgresEnforcementStore
  history: HistoryStore
  eventLog: EventLog
  config: Config
  meters: Meters
  log: Logger
}

/** An insert costs ClickHouse milliseconds whatever its rows, and a merge later: few and large ones are several times as cheap. */
const HISTORY_BATCH = 5_000
const HISTORY_LINGER_MS = 1_000
const PUBLISH_BATCH = 1_000
/** Decisions wait at most this long for company on their way to the topic: each batch costs two position writes and a send. */
const PUBLISH_LINGER_MS = 20
const HOUR_MS = 3_600_000
/** Ended holds stay this much longer than repeats are known: a hold that is applied again must still be found ended. */
const PURGE_SLACK_MS = 30 * 24 * HOUR_MS

/** Waits before try number `attempt` (from 1). */
export const backOff = (attempt: number): Promise<void> => sleep(Math.min(5_000, 50 * 2 ** Math.min(attempt, 10)))

export async function startOutgoing({ journal, positions, upTo, enforcement, history, eventLog, config, meters, log }: OutgoingDeps): Promise<Outgoing> {
  const common = { journal, positions, upTo, backOff, sleep: (ms: number) => sleep(ms) }
  const publisher = await startProjection({
    ...common, name: 'decisions', maxBatch: PUBLISH_BATCH, lingerMs: PUBLISH_LINGER_MS, onRetry: meters.retried('decisions'),
    apply: (records) => eventLog.publish(TOPICS.decisions, records.flatMap((r) => (r.decision === undefined || r.backfilled ? [] : [{ key: r.event.orderId ?? null, value: r.decision }]))),
  })
  const historian = await startProjection({
    ...common, name: 'history', maxBatch: HISTORY_BATCH, lingerMs: HISTORY_LINGER_MS, onRetry: meters.retried('history'),
    apply: (records, token) => history.insert(token, records),
  })
  const holds = runHoldLifecycle({
    store: enforcement, now: Date.now, random: Math.random, log, metrics: meters.holds,
    publishTopic: (messages) => eventLog.publish(TOPICS.holds, messages.map((m) => ({ key: m.orderId, value: m.body }))),
    recordHistory: (token, batch) => history.insertResolutions(token, batch),
    ...(config.callback ? { callback: createCallback({ ...config.callback, log }) } : {}),
  })
  const purging = setInterval(() => {
    enforcement.purge(Date.now() - config.repeatDays * 24 * HOUR_MS - PURGE_SLACK_MS).catch((fault: unknown) => { meters.retried('purge')(fault, 1) })
  }, HOUR_MS)

  return {
    publishedSeq: () => publisher.done,
    historySeq: () => historian.done,
    async stop({ drain }) {
      clearInterval(purging)
      await Promise.all([publisher.stop({ drain }), historian.stop({ drain }), holds.stop()])
    },
  }
}
