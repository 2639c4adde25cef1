import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../adapters/pino/log.js'
import type { PostgresEnforcementStore } from '../adapters/postgres/enforcement-store.js'
import { createCallback } from '../adapters/webhook/callback.js'
import type { Config } from '../config.js'
import { effectsOf } from '../pipeline/effects.js'
import { createEnforcer, type Enforcer } from '../pipeline/enforcer.js'
import { runHoldLifecycle } from '../pipeline/hold-lifecycle.js'
import { startProjection } from '../pipeline/projection.js'
import { TOPICS } from '../ports/event-log.js'
import type { Meters } from './metering.js'
import type { Stores } from './stores.js'

/** Everything that follows from the journal: holds, published decisions, history, ended holds. */
export interface Outgoing {
  enforcer: Enforcer
  publishedSeq(): number
  historySeq(): number
  /** Places again all holds of the journal that have not run out, and their cancellations: for a PostgreSQL that lost some. */
  placeAgain(): Promise<void>
  /** Delivers what can be delivered, then stops. */
  stop(): Promise<void>
}

/** More would hold the event loop for longer while rows become JSON. */
const HISTORY_BATCH = 2_000
const HISTORY_LINGER_MS = 500
const PUBLISH_BATCH = 1_000
/** Decisions wait at most this long for company on their way to the topic: each batch costs two position writes and a send. */
const PUBLISH_LINGER_MS = 20
const POSITION_EVERY_MS = 1_000
const HOUR_MS = 3_600_000
/** Ended holds stay this much longer than repeats are known: a hold that is applied again must still be found ended. */
const PURGE_SLACK_MS = 30 * 24 * HOUR_MS

const backOff = (attempt: number): Promise<void> => sleep(Math.min(5_000, 50 * 2 ** Math.min(attempt, 10)))

export async function startOutgoing(stores: Stores, enforcement: PostgresEnforcementStore, config: Config, meters: Meters, log: Logger): Promise<Outgoing> {
  const { journal, positions, history, eventLog } = stores
  const retried = (store: string): ReturnType<Meters['retried']> => meters.retried(store)
  const enforcer = createEnforcer({ store: enforcement, durableSeq: () => journal.durableSeq, backOff, onRetry: retried('enforcement'), onProgress: () => undefined })
  await enforceFrom(stores, enforcer, (await positions.load('enforcer')).done + 1, 0)

  const common = { journal, positions, upTo: () => enforcer.appliedSeq(), backOff, sleep: (ms: number) => sleep(ms) }
  const publisher = await startProjection({
    ...common, name: 'decisions', maxBatch: PUBLISH_BATCH, lingerMs: PUBLISH_LINGER_MS, onRetry: retried('decisions'),
    apply: (records) => eventLog.publish(TOPICS.decisions, records.flatMap((r) => (r.decision === undefined || r.backfilled ? [] : [{ key: r.event.orderId ?? null, value: r.decision }]))),
  })
  const historian = await startProjection({
    ...common, name: 'history', maxBatch: HISTORY_BATCH, lingerMs: HISTORY_LINGER_MS, onRetry: retried('history'),
    apply: (records, token) => history.insert(token, records),
  })
  const holds = runHoldLifecycle({
    store: enforcement, now: Date.now, random: Math.random, log, metrics: meters.holds,
    publishTopic: (messages) => eventLog.publish(TOPICS.holds, messages.map((m) => ({ key: m.orderId, value: m.body }))),
    recordHistory: (token, batch) => history.insertResolutions(token, batch),
    ...(config.callback ? { callback: createCallback({ ...config.callback, log }) } : {}),
  })
  const savePosition = (): Promise<void> => positions.save('enforcer', { done: enforcer.appliedSeq() }).catch((fault: unknown) => { retried('positions')(fault, 1) })
  const saving = setInterval(() => { void savePosition() }, POSITION_EVERY_MS)
  const purging = setInterval(() => {
    enforcement.purge(Date.now() - config.repeatDays * 24 * HOUR_MS - PURGE_SLACK_MS).catch((fault: unknown) => { retried('purge')(fault, 1) })
  }, HOUR_MS)

  return {
    enforcer,
    publishedSeq: () => publisher.done,
    historySeq: () => historian.done,
    placeAgain: () => enforceFrom(stores, enforcer, 1, Date.now()),
    async stop() {
      clearInterval(saving)
      clearInterval(purging)
      await enforcer.idle()
      await Promise.all([publisher.stop({ drain: true }), historian.stop({ drain: true }), holds.stop()])
      await savePosition()
    },
  }
}

/**
 * Submits the effects of recorded events again, from journal position `fromSeq`; a start does so for decisions that were
 * durable but perhaps not yet enforced. Holds that end before `aliveAt` are left out.
 */
async function enforceFrom({ journal }: Stores, enforcer: Enforcer, fromSeq: number, aliveAt: number): Promise<void> {
  for await (const records of journal.read(Math.max(fromSeq, journal.firstSeq))) {
    const submitted = records.flatMap((record) => {
      const effects = effectsOf(record)
      const holds = effects?.holds.filter((hold) => hold.expiresAt > aliveAt) ?? []
      return effects && (holds.length > 0 || effects.cancellations.length > 0)
        ? [enforcer.submit(record.seq, Promise.resolve(), { ...effects, holds })] : []
    })
    await Promise.all(submitted)
  }
}
