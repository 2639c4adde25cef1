import { describe, expect, it } from 'vitest'
import type { Outcome, RuleHit } from '../../../src/domain/decision.js'
import type { Policy } from '../../../src/domain/policy.js'
import { decide, type DecideInput } from '../../../src/scoring/decide.js'

const policy: Policy = {
  enforcement: 'enforce', thresholds: { challenge: 30, throttle: 50, hold: 70 }, challengeKind: 'face', hold: { forMs: 1_800_000, onExpiry: 'confirm' },
  throttle: { waitMs: 15_000, spacingMs: 2_000 }, degradedVelocity: 'allow',
}
const hit = (code: string, more: Partial<RuleHit>): RuleHit => ({ rule: code.toLowerCase(), family: 'f', code, mode: 'live', comparisons: [], ...more })
const messages = new Map(['A', 'B', 'C', 'LIMIT_DAY', 'ID_IMPOSSIBLE'].map((code) => [code, { zh: `中${code}`, en: `en ${code}` }]))
const input = (more: Partial<DecideInput>): DecideInput =>
  ({ hits: [], ruleScore: 0, modelScore: null, settled: false, policy, messages, served: false, verified: false, degradedVelocity: false, ...more })
const scored = (points: number, more: Partial<DecideInput> = {}) => decide(input({ hits: [hit('A', { weight: points })], ruleScore: points, ...more }))
const identity = hit('ID_IMPOSSIBLE', { outcome: 'deny', basis: 'identity' })
const limit = hit('LIMIT_DAY', { outcome: 'deny', basis: 'policy' })

describe('points', () => {
  it.each<[number, Outcome]>([[0, 'allow'], [29, 'allow'], [30, 'challenge'], [49, 'challenge'], [50, 'throttle'], [69, 'throttle'], [70, 'hold'], [100, 'hold']])('%i give %s', (points, outcome) => {
    expect(scored(points)).toMatchObject({ outcome, basis: 'risk' })
  })

  it('of the model count when they are more than the rules\', and have a reason of their own', () => {
    expect(decide(input({ modelScore: 0.695 }))).toMatchObject({ outcome: 'hold', reasons: [{ code: 'UNUSUAL_PATTERN' }] })
    expect(decide(input({ modelScore: 0.694 })).outcome).toBe('throttle')
    expect(scored(55, { modelScore: 0.1 })).toMatchObject({ outcome: 'throttle', reasons: [{ code: 'A' }] })
    expect(scored(35, { modelScore: 0.6 }).reasons.map((r) => r.code)).toEqual(['A', 'UNUSUAL_PATTERN'])
    expect(decide(input({ modelScore: null })).outcome).toBe('allow')
  })

  it('follow the policy\'s thresholds', () => {
    expect(scored(60, { policy: { ...policy, thresholds: { challenge: 10, throttle: 20, hold: 60 } } }).outcome).toBe('hold')
    expect(scored(100, { policy: { ...policy, thresholds: { challenge: 30, throttle: 50, hold: 101 } } }).outcome).toBe('throttle')
  })
})

describe('precedence', () => {
  const everything = { hits: [identity, limit, hit('A', { weight: 90 })], ruleScore: 90 }
  it('gives a person\'s block the first word, then a person\'s pass', () => {
    expect(decide(input({ ...everything, sanction: 'block' }))).toMatchObject({ outcome: 'deny', basis: 'sanction', reasons: [{ code: 'ACCOUNT_BLOCKED' }] })
    expect(decide(input({ ...everything, sanction: 'pass' }))).toMatchObject({ outcome: 'allow', basis: 'sanction', reasons: [] })
  })
  it('then an identity that cannot exist, then a published limit, each with its own reasons only', () => {
    expect(decide(input(everything))).toMatchObject({ outcome: 'deny', basis: 'identity', reasons: [{ code: 'ID_IMPOSSIBLE' }] })
    expect(decide(input({ ...everything, hits: everything.hits.slice(1) }))).toMatchObject({ outcome: 'deny', basis: 'policy', reasons: [{ code: 'LIMIT_DAY' }] })
  })
  it('then the more severe of points and single rules', () => {
    const asks = (outcome: Outcome) => hit('B', { outcome, basis: 'risk' })
    expect(scored(55, { hits: [hit('A', { weight: 55 }), asks('challenge')] }).outcome).toBe('throttle')
    expect(scored(35, { hits: [hit('A', { weight: 35 }), asks('hold')] })).toMatchObject({ outcome: 'hold', reasons: [{ code: 'B' }, { code: 'A' }] })
  })
  it('and allows when nobody has a word', () => {
    expect(decide(input({}))).toEqual({ outcome: 'allow', basis: 'risk', reasons: [], wouldBe: { outcome: 'allow', basis: 'risk', reasons: [] } })
  })
})

describe('a turn waited and a check passed', () => {
  it('turn the slow queue into a check, and a check into a booking', () => {
    expect(scored(55, { served: true }).outcome).toBe('challenge')
    expect(scored(55, { served: true, verified: true }).outcome).toBe('allow')
    expect(scored(35, { verified: true })).toMatchObject({ outcome: 'allow', reasons: [] })
  })
  it('do not lower what is more: a passed check alone clears neither a turn nor a hold', () => {
    expect(scored(55, { verified: true }).outcome).toBe('throttle')
    expect(scored(75, { verified: true, served: true }).outcome).toBe('hold')
    expect(decide(input({ hits: [identity], verified: true, served: true })).outcome).toBe('deny')
  })
})

describe('an order already confirmed, or dead', () => {
  it.each([35, 55, 75])('is let be at %i points, and what would have been is kept', (points) => {
    const verdict = scored(points, { settled: true })
    expect(verdict).toMatchObject({ outcome: 'allow', reasons: [] })
    expect(verdict.wouldBe).toEqual(scored(points).wouldBe)
    expect(verdict.wouldBe.reasons).toHaveLength(1)
  })
})

describe('counters that could not be read', () => {
  it('cost a check only where the policy says so', () => {
    const careful = { ...policy, degradedVelocity: 'challenge' as const }
    expect(decide(input({ degradedVelocity: true })).outcome).toBe('allow')
    expect(decide(input({ degradedVelocity: true, policy: careful }))).toMatchObject({ outcome: 'challenge', reasons: [{ code: 'CHECKS_UNAVAILABLE' }] })
    expect(decide(input({ degradedVelocity: false, policy: careful })).outcome).toBe('allow')
    expect(scored(75, { degradedVelocity: true, policy: careful }).outcome).toBe('hold')
  })
})

describe('reasons', () => {
  it('are ordered by weight, then code, each code once, in the patient\'s words', () => {
    const hits = [hit('C', { weight: 20 }), hit('B', { weight: 20 }), hit('A', { weight: 5 }), hit('A', { weight: 30 })]
    expect(decide(input({ hits, ruleScore: 75 })).reasons).toEqual(['A', 'B', 'C'].map((code) => ({ code, message: { zh: `中${code}`, en: `en ${code}` } })))
  })
  it('are never missing above allow', () => {
    expect(decide(input({ ruleScore: 80 })).reasons.length).toBeGreaterThan(0)
  })
})
