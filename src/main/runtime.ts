import { sameAsEver, type DataDir } from '../adapters/file/data-dir.js'
import type { Logger } from '../adapters/pino/log.js'
import { createAccessStore, createAuditLog } from '../adapters/postgres/access-store.js'
import { createEnforcementStore, type PostgresEnforcementStore } from '../adapters/postgres/enforcement-store.js'
import { isTokenKey } from '../adapters/postgres/installation.js'
import { createPolicyStore } from '../adapters/postgres/policy-store.js'
import { startTracing } from '../adapters/otel/tracing.js'
import { createMetrics, type Metrics } from '../adapters/prometheus/metrics.js'
import type { Policies } from '../api/deps.js'
import { VERSION } from '../cli/version.js'
import type { Config } from '../config.js'
import type { Engine } from '../pipeline/engine.js'
import { createEngine } from '../pipeline/process-event.js'
import { runStream } from '../pipeline/stream.js'
import type { AccessStore, AuditLog } from '../ports/access-store.js'
import type { VelocityStore } from '../ports/velocity-store.js'
import { createTokeniser } from '../scoring/tokenise.js'
import { keepAlone } from './alone.js'
import { PartTrouble, type Keeping } from './keeping.js'
import { createMeters } from './metering.js'
import { listen } from './listening.js'
import { tracedEngine, tracedRecorder, tracedVelocity } from './traced.js'
import { sharePolicies } from './policies.js'
import { loadRulebook } from './rules.js'
import { keepShared } from './shared.js'
import { openStores, type Stores } from './stores.js'

/** A process that decides: all stores open, state recovered, everything that follows from the journal under way. */
export interface Runtime {
  engine: Engine
  keeping: Keeping
  /** Where other commands of this machine find the embedded PostgreSQL; undefined when it is a server. */
  embeddedDatabaseUrl: string | undefined
  enforcement: PostgresEnforcementStore
  access: AccessStore
  audit: AuditLog
  policies: Policies
  metrics: Metrics
  /** What is not well, by part (undefined: it is), of all parts that can be asked. */
  troubles(): Promise<Readonly<Record<string, string | undefined>>>
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
  const { history, pool, eventLog } = stores
  const tokeniser = await createTokeniser(stores.tokenKey)
  // Under another key nobody would be recognised and every repeat would look like a conflict.
  if (!await sameAsEver(data.path('token-key.fingerprint'), tokeniser.bodyHash('token key'))) {
    throw new Error(`ZHENHAO_TOKEN_KEY is not the key that ${data.dir} was made with; set the old one again, or start with an empty data directory`)
  }
  if (!await isTokenKey(pool, tokeniser.bodyHash('token key'))) {
    throw new Error('ZHENHAO_TOKEN_KEY is not the key that this PostgreSQL database was filled with; set that one again')
  }
  const policyStore = createPolicyStore(pool)
  const enforcement = createEnforcementStore(pool, config.callback ? ['topic', 'callback', 'history'] : ['topic', 'history'])
  let rulebook = await loadRulebook(config.rulesDir, await policyStore.all())
  const metrics = createMetrics(async () => ({ ...keeping.gauges(), streamLag: await listening?.lag().catch(() => undefined) }))
  const meters = createMeters(metrics, log)
  const keep = config.redisUrls ? keepShared : keepAlone
  const keeping = await keep({ stores, enforcement, rulebook: () => rulebook, config, data, meters, log })
  const policies = sharePolicies(policyStore, () => rulebook.policies, (next) => { rulebook = { ...rulebook, policies: next } }, log)
  const tracing = config.tracing && startTracing({ ...config.tracing, version: VERSION })
  const velocity = (): VelocityStore => tracing ? tracedVelocity(keeping.velocity(), tracing) : keeping.velocity()
  const plainEngine = createEngine({
    tokeniser, timeZone: config.timeZone, velocity, recorder: tracing ? tracedRecorder(keeping.recorder, tracing) : keeping.recorder, isPaused: () => keeping.paused(),
    rulebook: () => rulebook, decidedAt: monotonicNow(), onProcessed: meters.engine, onUncounted: (fault) => { keeping.doubt(fault) },
    accepted: () => ({ notAfter: Date.now() + config.maxAheadMs, notBefore: Date.now() - config.repeatDays * DAY_MS }),
  })
  const engine = tracing ? tracedEngine(plainEngine, tracing) : plainEngine
  const listening = roles.stream ? listen(() => runStream({ eventLog, engine, group: 'zhenhao', log, now: Date.now, hooks: meters.stream }), log) : undefined

  return {
    engine, keeping, embeddedDatabaseUrl: config.databaseUrl === undefined ? stores.databaseUrl : undefined, enforcement, access: createAccessStore(pool), audit: createAuditLog(pool), policies, metrics,
    troubles: () => troublesOf({
      ...keeping.checks, postgres: () => enforcement.ping(), history: () => history.ping(), stream: async () => { await listening?.check(); await eventLog.ping() },
    }),
    async stop() {
      policies.stop()
      await listening?.stop()
      await keeping.stop()
      await tracing?.stop()
      await stores.close()
    },
  }
}

async function troublesOf(asked: Readonly<Record<string, () => Promise<void>>>): Promise<Record<string, string | undefined>> {
  const wordsOf = (fault: unknown): string => fault instanceof PartTrouble ? fault.message : 'does not answer'
  return Object.fromEntries(await Promise.all(Object.entries(asked).map(async ([part, ask]) => [part, await ask().then(() => undefined, wordsOf)] as const)))
}

/** The wall clock, which may be set back; the order of decisions and cancellations must not be. Epoch ms. */
function monotonicNow(): () => number {
  let latest = 0
  return () => (latest = Math.max(latest, Date.now()))
}
