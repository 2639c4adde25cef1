import { sameAsEver, type DataDir } from '../adapters/file/data-dir.js'
import type { Logger } from '../adapters/pino/log.js'
import { createAccessStore, createAuditLog } from '../adapters/postgres/access-store.js'
import { createEnforcementStore, type PostgresEnforcementStore } from '../adapters/postgres/enforcement-store.js'
import { createPolicyStore } from '../adapters/postgres/policy-store.js'
import { createMetrics, type Metrics } from '../adapters/prometheus/metrics.js'
import type { Config } from '../config.js'
import type { Engine } from '../pipeline/engine.js'
import { createEngine } from '../pipeline/process-event.js'
import { runStream } from '../pipeline/stream.js'
import type { AccessStore, AuditLog } from '../ports/access-store.js'
import type { PolicyStore } from '../ports/policy-store.js'
import type { Rulebook } from '../scoring/score.js'
import { createTokeniser } from '../scoring/tokenise.js'
import { openCounting } from './counting.js'
import { createMeters } from './metering.js'
import { startOutgoing } from './outgoing.js'
import { startRetiring } from './retiring.js'
import { listen } from './listening.js'
import { loadRulebook } from './rules.js'
import { openStores, type Stores } from './stores.js'

/** A process that decides: all stores open, state recovered, everything that follows from the journal under way. */
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
  /** Counts everything again and places live holds again; decisions stand. Resolves with the number of events. */
  rebuild(): Promise<number>
  /** What is not well, by part; empty when all is. */
  troubles(): Promise<Record<string, string>>
  stop(): Promise<void>
}

const DAY_MS = 86_400_000

export async function startRuntime(config: Config, data: DataDir, log: Logger, roles: { stream: boolean }): Promise<Runtime> {
  const stores = await openStores(config, data, log)
  try {
    return await start(stores, config, data, log, roles)
  } catch (fault) {
    await stores.close().catch(() => undefined)
    throw fault
  }
}

async function start(stores: Stores, config: Config, data: DataDir, log: Logger, roles: { stream: boolean }): Promise<Runtime> {
  const { journal, history, pool, eventLog } = stores
  const tokeniser = await createTokeniser(stores.tokenKey)
  // Under another key nobody would be recognised and every repeat would look like a conflict.
  if (!await sameAsEver(data.path('token-key.fingerprint'), tokeniser.bodyHash('token key'))) {
    throw new Error(`ZHENHAO_TOKEN_KEY is not the key that ${data.dir} was made with; set the old one again, or start with an empty data directory`)
  }
  const policyStore = createPolicyStore(pool)
  const enforcement = createEnforcementStore(pool, config.callback ? ['topic', 'callback', 'history'] : ['topic', 'history'])
  let rulebook = await loadRulebook(config.rulesDir, await policyStore.all())
  const counting = await openCounting(stores, rulebook, data, log)
  const metrics = createMetrics(async () => ({
    journalLastSeq: journal.lastSeq, journalDurableSeq: journal.durableSeq, enforcedSeq: outgoing.enforcer.appliedSeq(),
    historySeq: outgoing.historySeq(), publishedSeq: outgoing.publishedSeq(),
    velocityEntities: counting.velocity().size.entities, velocityBytes: counting.velocity().size.bytes, velocityIncomplete: counting.velocity().incomplete,
    streamLag: await listening?.lag().catch(() => undefined),
  }))
  const meters = createMeters(metrics, log)
  const outgoing = await startOutgoing(stores, enforcement, config, meters, log)
  const engine = createEngine({
    tokeniser, timeZone: config.timeZone, velocity: () => counting.velocity(), isPaused: () => counting.paused(),
    journal, enforcer: outgoing.enforcer, rulebook: () => rulebook, decidedAt: monotonicNow(), onProcessed: meters.engine,
    accepted: () => ({ notAfter: Date.now() + config.maxAheadMs, notBefore: Date.now() - config.repeatDays * DAY_MS }),
  })
  const listening = roles.stream ? listen(() => runStream({ eventLog, engine, group: 'zhenhao', log, now: Date.now, hooks: meters.stream }), log) : undefined
  let rebuilding = false
  const retiring = startRetiring({
    journal, log, repeatDays: config.repeatDays,
    neededFrom: () => (rebuilding ? 1 : 1 + Math.min(outgoing.enforcer.appliedSeq(), outgoing.publishedSeq(), outgoing.historySeq(), counting.snapshotSeq())),
  })

  return {
    engine, stores, enforcement, access: createAccessStore(pool), audit: createAuditLog(pool), policyStore, metrics,
    rulebook: () => rulebook,
    replaceRulebook: (next) => { rulebook = next },
    rebuild: async () => {
      rebuilding = true
      try {
        await outgoing.placeAgain()
        return await counting.rebuild()
      } finally {
        rebuilding = false
      }
    },
    troubles: async () => ({
      ...(journal.fault ? { journal: 'cannot be written; make room on the disk and restart' } : {}),
      ...await troublesOf({ postgres: () => enforcement.ping(), history: () => history.ping(), stream: async () => { await listening?.check(); await eventLog.ping() } }),
    }),
    async stop() {
      retiring.stop()
      await listening?.stop()
      await outgoing.stop()
      await counting.stop()
      await stores.close()
    },
  }
}

async function troublesOf(asked: Record<string, () => Promise<void>>): Promise<Record<string, string>> {
  const answers = await Promise.all(Object.entries(asked).map(async ([part, ask]) => [part, await ask().then(() => undefined, () => 'does not answer')] as const))
  return Object.fromEntries(answers.flatMap(([part, trouble]) => (trouble === undefined ? [] : [[part, trouble]])))
}

/** The wall clock, which may be set back; the order of decisions and cancellations must not be. Epoch ms. */
function monotonicNow(): () => number {
  let latest = 0
  return () => (latest = Math.max(latest, Date.now()))
}
