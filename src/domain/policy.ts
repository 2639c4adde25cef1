import type { ChallengeKind, OnExpiry } from './decision.js'

export type Enforcement = 'observe' | 'enforce'

/** What a hospital asks for. Resolved by inheritance (platform -> region -> hospital), see rules/policies. */
export interface Policy {
  enforcement: Enforcement
  /** Rule score (0-100) from which an outcome applies. */
  thresholds: { challenge: number; throttle: number; hold: number }
  challengeKind: ChallengeKind
  hold: { forMs: number; onExpiry: OnExpiry }
  /** Slow queue: the first wait, and the spacing between turns on one schedule. */
  throttle: { waitMs: number; spacingMs: number }
  /** What to do with a booking whose velocity could not be read. */
  degradedVelocity: 'allow' | 'challenge'
}

/** The fields a hospital may override; anything absent is inherited. */
export type PolicyPatch = {
  [K in keyof Policy]?: Policy[K] extends object ? Partial<Policy[K]> : Policy[K]
}

export interface StoredPolicy { hospitalId: string; patch: PolicyPatch; changedBy: string; changedAt: number; revision: number }
