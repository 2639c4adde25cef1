import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { MemoryVelocityStore } from '../../../src/adapters/memory/velocity-store.js'
import { BASES, OUTCOMES } from '../../../src/domain/decision.js'
import type { PolicyPatch } from '../../../src/domain/policy.js'
import type { Tree } from '../../../src/scoring/logic.js'
import { layoutOf } from '../../../src/scoring/plan.js'
import type { Rule } from '../../../src/scoring/rules.js'
import type { Rulebook } from '../../../src/scoring/score.js'
import { readAll } from '../../contract/suites/journal.js'
import { morning, MORNING_OVER_MS, type WireEvent } from '../../fixtures/morning.js'
import { decidedOf, liveEngine, runAll, shippedRulebook, type Live } from '../../support/engine.js'

const HOSPITAL = 'h-042'
const NOW = MORNING_OVER_MS
let rulebook: Rulebook
beforeAll(async () => { rulebook = await shippedRulebook() })

const withPolicy = (patch: PolicyPatch): Promise<Rulebook> => shippedRulebook([{ hospitalId: HOSPITAL, patch, changedBy: 'anna', changedAt: 0, revision: 1 }])
async function run(book: Rulebook, events: readonly WireEvent[] = morning(), nowMs = NOW): Promise<Live & { bytes: string[] }> {
  const live = await liveEngine(book, nowMs)
  return { ...live, bytes: decidedOf(await runAll(live.engine, events)).map((r) => r.bytes) }
}
const outcomesOf = (bytes: readonly string[]): string[] => bytes.map((b) => (JSON.parse(b) as { outcome: string }).outcome)

describe('a rule in shadow', () => {
  /** A comparison of any feature with anything; some are always true, and some break when they are looked at. */
  const conditions = (indexes: readonly number[]): fc.Arbitrary<Tree> => fc.oneof(
    fc.constant<Tree>({ kind: 'constant', value: true }),
    fc.record({ index: fc.constantFrom(...indexes), least: fc.integer({ min: -10, max: 100 }), breaks: fc.boolean() }).map(({ index, least, breaks }): Tree => ({
      kind: 'leaf', left: { text: rulebook.names[index] ?? '', valueOf: (f) => f[index] ?? '' }, operator: '>=', right: { text: String(least), valueOf: () => least }, refs: [index],
      test: (f) => { if (breaks) throw new Error('broken'); return Number(f[index]) >= least },
    })),
  )
  const rules = (indexes: readonly number[]): fc.Arbitrary<Rule> => fc.record({
    id: fc.uuid(), family: fc.constantFrom(...rulebook.rules.caps.keys(), 'unheard-of'), code: fc.constantFrom(...rulebook.rules.messages.keys(), 'UNHEARD_OF'),
    mode: fc.constant('shadow' as const), when: fc.constant('made up'), tree: conditions(indexes),
    asks: fc.oneof(fc.record({ weight: fc.integer({ min: 1, max: 100 }) }), fc.record({ outcome: fc.constantFrom(...OUTCOMES), basis: fc.constantFrom(...BASES) })),
  }).map(({ asks, ...rule }) => ({ ...rule, ...asks }))
  /** The version names the set of rules, so it is pinned: everything else must be the same to the byte. */
  const withRules = (more: readonly Rule[]): Rulebook => ({ ...rulebook, rules: { ...rulebook.rules, rules: [...more, ...rulebook.rules.rules], active: [...more, ...rulebook.rules.active] } })

  it('changes no byte of any decision and places no hold, whatever it asks for, and is seen in review only', async () => {
    const plain = await run(rulebook)
    const indexes = [...new Set((await readAll(plain.journal)).flatMap((r) => Object.keys(r.review?.features ?? {})))].map((name) => rulebook.names.indexOf(name))
    let hits = 0
    await fc.assert(fc.asyncProperty(fc.array(rules(indexes), { minLength: 1, maxLength: 12 }), async (shadows) => {
      const shadowed = await run(withRules(shadows))
      expect(shadowed.bytes).toEqual(plain.bytes)
      expect(shadowed.applied).toEqual(plain.applied)
      for (const { review } of await readAll(shadowed.journal)) hits += review?.shadow_hits.length ?? 0
    }), { numRuns: 25 })
    expect(hits).toBeGreaterThan(100)
  }, 60_000)

  it('would change every decision if it were live: the proof above is not empty', async () => {
    const denyAll: Rule = { id: 'deny-all', family: 'made-up', code: 'UNHEARD_OF', mode: 'live', when: 'true', tree: { kind: 'constant', value: true }, outcome: 'deny', basis: 'policy' }
    const early = morning().slice(0, 7)
    expect(new Set(outcomesOf((await run(withRules([denyAll]), early)).bytes))).toEqual(new Set(['deny']))
    expect((await run(withRules([{ ...denyAll, mode: 'shadow' }]), early)).bytes).toEqual((await run(rulebook, early)).bytes)
  })
})

describe('under observe', () => {
  it('everybody gets allow, nothing is held, and what would have been is kept', async () => {
    const enforced = await run(rulebook)
    const observed = await run(await withPolicy({ enforcement: 'observe' }))
    expect(new Set(outcomesOf(enforced.bytes)).size).toBeGreaterThan(2)
    expect(new Set(outcomesOf(observed.bytes))).toEqual(new Set(['allow']))
    for (const bytes of observed.bytes) expect(JSON.parse(bytes)).toMatchObject({ basis: 'risk', reasons: [] })
    expect(observed.applied.flatMap((e) => e.holds)).toEqual([])
    const reviewsOf = async (live: Live) => (await readAll(live.journal)).flatMap((r) => (r.review ? [r.review] : []))
    const would = (await reviewsOf(observed)).map((r) => r.would_be.outcome)
    expect(would.filter((o) => o === 'hold').length).toBeGreaterThan(0)
    expect(would[0]).toBe((await reviewsOf(enforced))[0]?.would_be.outcome)
    expect((await reviewsOf(observed)).every((r) => r.enforcement === 'observe')).toBe(true)
  })

  it('takes no turn in the slow queue: who is throttled next, once enforced, is first in it', async () => {
    const everybodyWaits = { thresholds: { challenge: 0, throttle: 0, hold: 101 }, throttle: { waitMs: 15_000, spacingMs: 2_000 } }
    const [first, second] = morning().filter((e) => e.event_id === 'mo-bot-1' || e.event_id === 'mo-bot-2')
    if (!first || !second) throw new Error('no bots')
    const waits = (bytes: readonly string[]): unknown[] => bytes.map((b) => (JSON.parse(b) as { throttle?: { retry_after_ms: number } }).throttle?.retry_after_ms)

    const both = await run(await withPolicy({ ...everybodyWaits, enforcement: 'enforce' }), [first, second])
    expect(waits(both.bytes)).toEqual([15_000, 15_000 + 2_000 - 31])

    let book = await withPolicy({ ...everybodyWaits, enforcement: 'observe' })
    const live = await liveEngine(book, NOW, { rulebook: () => book })
    const [observed] = decidedOf(await runAll(live.engine, [first]))
    book = await withPolicy({ ...everybodyWaits, enforcement: 'enforce' })
    const [enforced] = decidedOf(await runAll(live.engine, [second]))
    expect([observed?.decision.outcome, enforced?.decision.throttle?.retry_after_ms]).toEqual(['allow', 15_000])
  })
})

describe('a hold', () => {
  const HELD = 'mo-buyer-3'
  const VISIT = Date.parse('2026-12-02T14:00:00.000+08:00')
  const heldAt = async (nowMs: number, patch: PolicyPatch = {}, events = morning()) => {
    const { bytes } = await run(await withPolicy(patch), events, nowMs)
    const decision = bytes.map((b) => JSON.parse(b) as { event_id: string; outcome: string; decided_at: string; hold?: { expires_at: string; on_expiry: string } }).find((d) => d.event_id === HELD)
    if (!decision) throw new Error('not decided')
    return decision
  }

  it('lasts as long as the policy says, from when it was decided', async () => {
    const { decided_at, hold } = await heldAt(NOW, { hold: { forMs: 600_000, onExpiry: 'return_to_pool' } })
    expect([Date.parse(hold?.expires_at ?? '') - Date.parse(decided_at), hold?.on_expiry]).toEqual([600_000, 'return_to_pool'])
  })

  it('never lasts beyond the visit, and never costs the visit when its event waited until then', async () => {
    const giveBack: PolicyPatch = { hold: { onExpiry: 'return_to_pool' } }
    expect((await heldAt(VISIT - 60_000, giveBack)).hold).toMatchObject({ expires_at: new Date(VISIT).toISOString(), on_expiry: 'return_to_pool' })
    expect((await heldAt(VISIT, giveBack)).hold).toMatchObject({ expires_at: new Date(VISIT).toISOString(), on_expiry: 'confirm' })
  })

  it('is not placed by a request that comes when the visit has begun: it could only take the visit away', async () => {
    const visitAt = (at: string): WireEvent[] => morning().map((e) => (e.event_id === HELD ? { ...e, slot: { ...e['slot'] as object, visit_at: at } } : e))
    expect(await heldAt(NOW, {}, visitAt('2026-11-20T09:50:02.400+08:00'))).toMatchObject({ outcome: 'allow' })
    expect(await heldAt(NOW, {}, visitAt('2026-11-20T09:50:02.401+08:00'))).toMatchObject({ outcome: 'hold' })
  })
})

describe('the order of a slow queue', () => {
  it('gives an order that asks again early the turn it has, and lets it through once the turn has come', async () => {
    const [bot] = morning().filter((e) => e.event_id === 'mo-bot-1')
    if (!bot) throw new Error('no bot')
    const again = (ms: number): WireEvent => ({ ...bot, event_id: `again-${ms}`, occurred_at: new Date(Date.parse(bot.occurred_at) + ms).toISOString() })
    const book = await withPolicy({ thresholds: { challenge: 101, throttle: 0, hold: 101 }, throttle: { waitMs: 15_000, spacingMs: 2_000 } })
    const decisions = (await run(book, [bot, again(5_000), again(14_999), again(15_000)])).bytes.map((b) => JSON.parse(b) as { outcome: string; throttle?: { retry_after_ms: number } })
    expect(decisions.map((d) => d.throttle?.retry_after_ms)).toEqual([15_000, 10_000, 1, undefined])
    expect(decisions[3]?.outcome).not.toBe('throttle')
  })
})

describe('a check passed', () => {
  const [MINUTE, DAY] = [60_000, 86_400_000]
  const PASSED = 'booking of somebody who passed'
  const [somebody] = morning().filter((e) => e.event_id === 'mo-bot-1')
  if (!somebody) throw new Error('no bot')
  const earlier = (ms: number): string => new Date(Date.parse(somebody.occurred_at) - ms).toISOString()
  const passed = (name: string, agoMs: number, who: Record<string, unknown>): WireEvent =>
    ({ event_id: `passed-${name}`, type: 'verification.passed', occurred_at: earlier(agoMs), verification: { kind: 'face' }, ...who })
  /** Patients other than the one who books, each of whom passed a check on this device. */
  const others = (count: number, agoMs = 29 * DAY): WireEvent[] => Array.from({ length: count }, (_, n) =>
    passed(`other-${n}`, agoMs, { device: somebody['device'], patient: { id_type: '99', id_token: `other-${n}` } }))
  const { account, patient, device } = somebody
  const outcomeAfter = async (before: readonly WireEvent[], request: WireEvent = somebody): Promise<string | undefined> => {
    const book = await withPolicy({ thresholds: { challenge: 0, throttle: 101, hold: 101 } })
    return outcomesOf((await run(book, [...before, { ...request, event_id: PASSED }])).bytes).at(-1)
  }

  it('vouches for its account or its patient, and for nobody else', async () => {
    expect(await outcomeAfter([])).toBe('challenge')
    expect(await outcomeAfter([passed('account', MINUTE, { account })])).toBe('allow')
    expect(await outcomeAfter([passed('patient', MINUTE, { patient })])).toBe('allow')
    expect(await outcomeAfter([passed('device', MINUTE, { device })])).toBe('challenge')
    expect(await outcomeAfter([passed('another', MINUTE, { account: { id: 'somebody else' } })])).toBe('challenge')
  })

  it('vouches for half an hour', async () => {
    expect(await outcomeAfter([passed('just', 30 * MINUTE, { account })])).toBe('allow')
    expect(await outcomeAfter([passed('late', 30 * MINUTE + 1, { account })])).toBe('challenge')
  })

  it('is none on a device that vouched for more than five patients in 30 days', async () => {
    const here = passed('here', MINUTE, { account, patient, device })
    expect(await outcomeAfter([...others(4), here])).toBe('allow')
    expect(await outcomeAfter([...others(5), here])).toBe('challenge')
    expect(await outcomeAfter([...others(5, 30 * DAY), here])).toBe('allow')
  })

  it('needs no device: a window has none', async () => {
    const atWindow: WireEvent = { ...somebody, channel: { id: 'w', kind: 'window' } }
    delete atWindow['device']
    expect(await outcomeAfter([...others(9), passed('here', MINUTE, { account })], atWindow)).toBe('allow')
  })
})

describe('a decision', () => {
  it('has an id that is the same in every process and on every road, and different for every event', async () => {
    const ids = (bytes: readonly string[]) => bytes.map((b) => (JSON.parse(b) as { decision_id: string }).decision_id)
    const [first, second] = [await run(rulebook), await run(rulebook, morning(), NOW + 5)]
    expect(ids(first.bytes)).toEqual(ids(second.bytes))
    expect(new Set(ids(first.bytes)).size).toBe(first.bytes.length)
  })

  it('says when counters may be too low', async () => {
    const velocity = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
    Object.defineProperty(velocity, 'incomplete', { get: () => true })
    const { engine } = await liveEngine(rulebook, NOW, { velocity: () => velocity })
    const [decided] = decidedOf(await runAll(engine, morning().slice(1, 2)))
    expect(decided?.decision.degraded).toEqual(['velocity'])
  })
})
