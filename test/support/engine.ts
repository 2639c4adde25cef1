import { readRuleFiles } from '../../src/adapters/file/rule-files.js'
import { createMemoryJournal } from '../../src/adapters/memory/journal.js'
import { MemoryVelocityStore } from '../../src/adapters/memory/velocity-store.js'
import type { StoredPolicy } from '../../src/domain/policy.js'
import type { Engine, Processed } from '../../src/pipeline/engine.js'
import { createEnforcer, type Enforcer } from '../../src/pipeline/enforcer.js'
import { createEngine, type EngineDeps } from '../../src/pipeline/process-event.js'
import { createRecorder } from '../../src/pipeline/recorder.js'
import { buildRulebook } from '../../src/pipeline/rulebook.js'
import type { Journal } from '../../src/ports/journal.js'
import type { Effects } from '../../src/ports/recorder.js'
import { layoutOf } from '../../src/scoring/plan.js'
import type { Rulebook } from '../../src/scoring/score.js'
import { createTokeniser } from '../../src/scoring/tokenise.js'

export const TIME_ZONE = 'Asia/Shanghai'

/** The rules as shipped, with hospital overrides of a test. */
export async function shippedRulebook(overrides: readonly StoredPolicy[] = []): Promise<Rulebook> {
  const { rulebook, problems } = buildRulebook(await readRuleFiles('rules'), overrides)
  if (!rulebook) throw new Error(problems.map((p) => `${p.file}:${p.line}: ${p.message}`).join('\n'))
  return rulebook
}

/** The engine as `zhenhao replay` makes it. */
export async function replayEngine(rulebook: Rulebook, key = 1): Promise<Engine> {
  const velocity = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
  return createEngine({
    tokeniser: await createTokeniser(new Uint8Array(32).fill(key)), timeZone: TIME_ZONE, velocity: () => velocity, recorder: createRecorder(createMemoryJournal()),
    rulebook: () => rulebook, decidedAt: (event) => event.occurredAt,
  })
}

export interface Live { engine: Engine; journal: Journal; velocity: MemoryVelocityStore; enforcer: Enforcer; /** What reached the enforcement store, in order. */ applied: Effects[] }

/** What a test wants otherwise: parts of the engine, its journal, how effects are applied, the byte its token key is made of. */
export type Changes = Partial<EngineDeps> & { journal?: Journal; apply?: (effects: Effects) => Promise<void>; key?: number }

/** The engine as `zhenhao serve` makes it, with an enforcement store that takes everything down. `nowMs` ticks a millisecond per decision. */
export async function liveEngine(rulebook: Rulebook, nowMs: number, changes: Changes = {}): Promise<Live> {
  const velocity = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
  const journal = changes.journal ?? createMemoryJournal({ keep: true })
  const applied: Effects[] = []
  const take = (effects: Effects): Promise<void> => { applied.push(effects); return Promise.resolve() }
  const enforcer = createEnforcer({
    store: { apply: changes.apply ?? take }, durableSeq: () => journal.durableSeq,
    backOff: () => new Promise(setImmediate), onRetry: () => undefined,
  })
  let clock = nowMs
  const engine = createEngine({
    tokeniser: await createTokeniser(new Uint8Array(32).fill(changes.key ?? 2)), timeZone: TIME_ZONE, velocity: () => velocity, recorder: createRecorder(journal, enforcer),
    rulebook: () => rulebook, decidedAt: () => ++clock, accepted: () => ({ notAfter: clock + 300_000, notBefore: clock - 30 * 86_400_000 }), ...changes,
  })
  return { engine, journal, velocity, enforcer, applied }
}

export type Decided = Extract<Processed, { kind: 'decided' }>

/** Runs JSON values through an engine one after the other. */
export async function runAll(engine: Engine, events: readonly unknown[]): Promise<Processed[]> {
  const results: Processed[] = []
  for (const json of events) results.push(await engine.process({ body: { json } }))
  return results
}

export const decidedOf = (results: readonly Processed[]): Decided[] => results.filter((r): r is Decided => r.kind === 'decided')

/** What must not depend on the road. */
export const essence = (results: readonly Processed[]): unknown[] => decidedOf(results).filter((r) => !r.duplicate).map(({ decision: d }) => ({
  event_id: d.event_id, order_id: d.order_id, outcome: d.outcome, basis: d.basis, score: d.score, reasons: d.reasons, versions: d.versions, degraded: d.degraded,
  challenge: d.challenge, throttle: d.throttle, hold: d.hold?.hold_id,
}))
