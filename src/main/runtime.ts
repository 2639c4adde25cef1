import { setTimeout as sleep } from 'node:timers/promises'
import { loadSnapshot, saveSnapshot } from '../adapters/memory/snapshot-file.js'
import { MemoryVelocityStore } from '../adapters/memory/velocity-store.js'
import type { Logger } from '../adapters/pino/log.js'
import { createAccessStore, createAuditLog } from '../adapters/postgres/access-store.js'
import { createEnforcementStore, type PostgresEnforcementStore } from '../adapters/postgres/enforcement-store.js'
import { createPolicyStore } from '../adapters/postgres/policy-store.js'
import { createMetrics, type Metrics } from '../adapters/prometheus/metrics.js'
import { createCallback } from '../adapters/webhook/callback.js'
import type { DataDir } from '../adapters/file/data-dir.js'
import type { Config } from '../config.js'
import { effectsOf } from '../pipeline/effects.js'
import { createEnforcer, type Enforcer } from '../pipeline/enforcer.js'
import type { Engine } from '../pipeline/engine.js'
import { runHoldLifecycle } from '../pipeline/hold-lifecycle.js'
import { createEngine } from '../pipeline/process-event.js'
import { startProjection, type Projection } from '../pipeline/projection.js'
import { recoverVelocity } from '../pipeline/recover.js'
import { runStream } from '../pipeline/stream.js'
import type { AccessStore, AuditLog } from '../ports/access-store.js'
import { TOPICS, type Subscription } from '../ports/event-log.js'
import type { PolicyStore } from '../ports/policy-store.js'
import { layoutOf } from '../scoring/plan.js'
import type { Rulebook } from '../scoring/score.js'
import { createTokeniser } from '../scoring/tokenise.js'
import { loadRulebook } from './rules.js'
import { openStores, type Stores } from './stores.js'

/** A process that decides: all stores open, state recovered, projections and hold lifecycle running. */
export interface Runtime {
  engine: Engine
  stores: Stores
  enforcement: PostgresEnforcementStore
  access: AccessStore
  audit: AuditLog
  policyStore: PolicyStore
  metrics: Metrics
  rulebook(): Rulebook
  replaceRulebook(next: Rulebook): void
  /** Counts everything again from the journal and history; decisions stand. Resolves with the number of events. */
  rebuild(): Promise<number>
  /** What is not well, by part; empty when all is. */
  troubles(): Promise<Record<string, string>>
  stop(): Promise<void>
}

const DAY_MS = 86_400_000
/** A snapshot after this many events, looked for this often: a start then has less than that to count again. */
const SNAPSHOT_EVENTS = 200_000
const SNAPSHOT_EVERY_MS = 30_000
const HISTORY_BATCH = 5_000
const HISTORY_LINGER_MS = 500
const PUBLISH_BATCH = 1_000
/** Decisions wait at most this long for company on their way to the topic. */
const PUBLISH_LINGER_MS = 5
const POSITION_EVERY_MS = 1_000

const backOff = (attempt: number): Promise<void> => sleep(Math.min(5_000, 50 * 2 ** Math.min(attempt, 10)))

export async function startRuntime(config: Config, data: DataDir, log: Logger, roles: { stream: boolean }): Promise<Runtime> {
  const stores = await openStores(config, data, log)
  const { journal, history, positions, pool, eventLog } = stores
  try {
    const policyStore = createPolicyStore(pool)
    const enforcement = createEnforcementStore(pool, config.callback ? ['topic', 'callback', 'history'] : ['topic', 'history'])
    let rulebook = await loadRulebook(config.rulesDir, await policyStore.all())
    const tokeniser = await createTokeniser(stores.tokenKey)
    let velocity = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
    let paused = false
    const snapshotPath = data.path('velocity.snapshot')
    let snapshotSeq = await loadSnapshot(velocity, snapshotPath)
    const recovered = await recoverVelocity({ journal, history, velocity, rulebook, fromSeq: snapshotSeq + 1, onProgress: (seq) => { log.debug({ seq }, 'counting events again') } })
    log.info({ fromSnapshot: snapshotSeq, counted: recovered, entities: velocity.size.entities }, 'velocity and custody recovered')

    let publisher: Projection | undefined
    let historian: Projection | undefined
    let subscription: Subscription | undefined
    const metrics = createMetrics(async () => ({
      journalLastSeq: journal.lastSeq, journalDurableSeq: journal.durableSeq, enforcedSeq: enforcer.appliedSeq(), historySeq: historian?.done ?? 0,
      publishedSeq: publisher?.done ?? 0, velocityEntities: velocity.size.entities, velocityBytes: velocity.size.bytes, velocityIncomplete: velocity.incomplete,
      streamLag: await subscription?.lag().catch(() => undefined),
    }))
    const retried = (store: string) => (fault: unknown, attempt: number): void => {
      metrics.storeRetries.inc({ store })
      log.warn({ store, attempt, error: fault instanceof Error ? fault.message : 'unknown fault' }, 'a store did not take a write; it is tried again')
    }

    const enforcer = createEnforcer({ store: enforcement, durableSeq: () => journal.durableSeq, backOff, onRetry: retried('enforcement'), onProgress: () => undefined })
    await enforceTail(stores, enforcer)
    const savePosition = setInterval(() => { positions.save('enforcer', { done: enforcer.appliedSeq() }).catch((fault: unknown) => { retried('positions')(fault, 1) }) }, POSITION_EVERY_MS)

    const projection = { journal, positions, upTo: () => enforcer.appliedSeq(), backOff, sleep: (ms: number) => sleep(ms) }
    publisher = await startProjection({
      ...projection, name: 'decisions', maxBatch: PUBLISH_BATCH, lingerMs: PUBLISH_LINGER_MS, onRetry: retried('decisions'),
      apply: (records) => eventLog.publish(TOPICS.decisions, records.flatMap((r) => (r.decision === undefined || r.backfilled ? [] : [{ key: r.event.orderId ?? null, value: r.decision }]))),
    })
    historian = await startProjection({
      ...projection, name: 'history', maxBatch: HISTORY_BATCH, lingerMs: HISTORY_LINGER_MS, onRetry: retried('history'),
      apply: (records, token) => history.insert(token, records),
    })
    const holds = runHoldLifecycle({
      store: enforcement, now: Date.now, random: Math.random, log,
      publishTopic: (messages) => eventLog.publish(TOPICS.holds, messages.map((m) => ({ key: m.orderId, value: m.body }))),
      recordHistory: (token, batch) => history.insertResolutions(token, batch),
      ...(config.callback ? { callback: createCallback({ ...config.callback, log }) } : {}),
      metrics: {
        expired: (count) => { metrics.holdsExpired.inc(count) },
        delivered: (sink, count) => { metrics.holdsDelivered.inc({ sink }, count) },
        failed: (step) => { metrics.holdsFailed.inc({ step }) },
      },
    })

    const engine = createEngine({
      tokeniser, timeZone: config.timeZone, velocity: () => velocity, isPaused: () => paused, journal, enforcer, rulebook: () => rulebook,
      decidedAt: () => Date.now(),
      accepted: () => ({ notAfter: Date.now() + config.maxAheadMs, notBefore: Date.now() - config.repeatDays * DAY_MS }),
      onProcessed: (event, scored) => {
        metrics.events.inc({ type: event.type })
        if (!scored) return
        const { decision, review } = scored
        metrics.decisions.inc({ outcome: decision.outcome, basis: decision.basis, enforcement: review.enforcement })
        for (const hit of review.rule_hits) metrics.ruleHits.inc({ rule: hit.rule, mode: 'live' })
        for (const hit of review.shadow_hits) metrics.ruleHits.inc({ rule: hit.rule, mode: 'shadow' })
        for (const rule of review.rule_errors) metrics.ruleErrors.inc({ rule })
        for (const part of decision.degraded) metrics.degraded.inc({ part })
      },
    })
    if (roles.stream) {
      subscription = await runStream({
        eventLog, engine, group: 'zhenhao', log, now: Date.now,
        hooks: {
          onBatch: ({ tookMs }) => { metrics.streamBatches.observe(tookMs / 1000) },
          onDeadLetter: (status) => { metrics.deadLetters.inc({ status: String(status) }) },
          onRetry: (why) => { metrics.streamRetries.inc({ why }) },
        },
      })
    }

    let saving: Promise<void> | undefined
    const snapshot = (): Promise<void> => {
      const seq = journal.lastSeq
      saving ??= saveSnapshot(velocity, seq, snapshotPath, () => untilDurable(stores, seq))
        .then(() => { snapshotSeq = seq }, (fault: unknown) => { log.warn({ error: String(fault) }, 'the snapshot could not be written; a start will take longer') })
        .finally(() => { saving = undefined })
      return saving
    }
    const snapshotTimer = setInterval(() => { if (journal.lastSeq - snapshotSeq >= SNAPSHOT_EVENTS) void snapshot() }, SNAPSHOT_EVERY_MS)

    return {
      engine, stores, enforcement, access: createAccessStore(pool), audit: createAuditLog(pool), policyStore, metrics,
      rulebook: () => rulebook,
      replaceRulebook: (next) => { rulebook = next },
      async rebuild() {
        const fresh = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
        let counted = await recoverVelocity({ journal, history, velocity: fresh, rulebook, fromSeq: 1 })
        // The last few are taken over with the door shut for a moment; callers are told to come again.
        paused = true
        try {
          await untilDurable(stores, journal.lastSeq)
          counted += await recoverVelocity({ journal, history, velocity: fresh, rulebook, fromSeq: counted + 1 })
          velocity = fresh
        } finally {
          paused = false
        }
        return counted
      },
      troubles: async () => {
        const asked = { postgres: () => enforcement.ping(), history: () => history.ping(), stream: () => eventLog.ping() }
        const answers = await Promise.all(Object.entries(asked).map(async ([part, ask]) => [part, await ask().then(() => undefined, () => 'does not answer')] as const))
        return Object.fromEntries(answers.flatMap(([part, trouble]) => (trouble === undefined ? [] : [[part, trouble]])))
      },
      async stop() {
        clearInterval(snapshotTimer)
        clearInterval(savePosition)
        await subscription?.stop()
        await enforcer.idle()
        await Promise.all([publisher.stop({ drain: true }), historian.stop({ drain: true }), holds.stop()])
        if (journal.lastSeq > snapshotSeq) await snapshot()
        await positions.save('enforcer', { done: enforcer.appliedSeq() })
        await stores.close()
      },
    }
  } catch (fault) {
    await stores.close().catch(() => undefined)
    throw fault
  }
}

/** Holds of decisions that were durable but perhaps not yet enforced when the last process ended. */
async function enforceTail({ journal, positions }: Stores, enforcer: Enforcer): Promise<void> {
  const { done } = await positions.load('enforcer')
  for await (const records of journal.read(done + 1)) {
    const submitted = records.flatMap((record) => {
      const effects = effectsOf(record)
      return effects ? [enforcer.submit(record.seq, Promise.resolve(), effects)] : []
    })
    await Promise.all(submitted)
  }
}

async function untilDurable({ journal }: Stores, seq: number): Promise<void> {
  while (journal.durableSeq < seq) await sleep(5)
}
