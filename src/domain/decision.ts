/** What the caller gets (CONTRACT section 2, wire names) and what a reviewer sees besides. */

export const OUTCOMES = ['allow', 'challenge', 'throttle', 'hold', 'deny'] as const
export type Outcome = (typeof OUTCOMES)[number]
/** Position in the order of severity; `allow` is 0. */
export const severity = (outcome: Outcome): number => OUTCOMES.indexOf(outcome)

export const BASES = ['risk', 'policy', 'identity', 'sanction'] as const
export type Basis = (typeof BASES)[number]

export const DEGRADED = ['velocity', 'model', 'history', 'lists'] as const
export type Degraded = (typeof DEGRADED)[number]

export interface Message { zh: string; en: string }
export interface Reason { code: string; message: Message }
export type ChallengeKind = 'face' | 'sms' | 'captcha' | 'id_document'
export type OnExpiry = 'confirm' | 'return_to_pool'

/** Serialised once with JSON.stringify; from then on only the bytes travel. */
export interface Decision {
  decision_id: string
  event_id: string
  order_id: string
  decided_at: string
  outcome: Outcome
  basis: Basis
  score: number | null
  reasons: Reason[]
  challenge?: { kind: ChallengeKind }
  throttle?: { retry_after_ms: number }
  hold?: { hold_id: string; expires_at: string; on_expiry: OnExpiry }
  degraded: Degraded[]
  versions: { rules: string; model: string | null; policy: string }
}

export type FeatureValue = number | boolean | string
/** Present features only: a missing one is not in here, and is never zero. */
export type Features = Readonly<Record<string, FeatureValue>>

/** One comparison of a rule that hit: what was seen, against what. */
export interface Comparison { feature: string; value: FeatureValue; operator: string; threshold: FeatureValue | FeatureValue[] }

export interface RuleHit {
  rule: string
  family: string
  code: string
  mode: 'live' | 'shadow'
  /** Points towards the rule score (0-100); absent for a rule with a hard outcome. */
  weight?: number
  outcome?: Outcome
  /** With an outcome: what it rests on. */
  basis?: Basis
  comparisons: Comparison[]
}

/** Kept for review and training, never given to the booking core. */
export interface Review {
  /** What would have been the outcome under `enforcement: enforce`. */
  would_be: { outcome: Outcome; basis: Basis; reasons: Reason[] }
  enforcement: 'observe' | 'enforce'
  /** Sum of rule weights after family caps, 0-100. */
  rule_score: number
  rule_hits: RuleHit[]
  shadow_hits: RuleHit[]
  /** Rules that could not be evaluated (faults, not missing features). */
  rule_errors: string[]
  features: Features
  /** Counters whose log was full: their value is a lower bound or an approximation. */
  saturated: string[]
}

const texts = new WeakMap<Review, string>()

/** A review as JSON, written once: the journal and history both want it, and it is the largest part of a record. */
export function reviewText(review: Review): string {
  let text = texts.get(review)
  if (text === undefined) texts.set(review, (text = JSON.stringify(review)))
  return text
}
