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
/** Present features by name: a missing one is not in here, and is never zero. */
export type Features = Readonly<Record<string, FeatureValue>>
/** The same while a booking is scored, by index in the catalogue (an object with a name for each is slow to fill); undefined: missing. */
export type FeatureVector = readonly (FeatureValue | undefined)[]

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

/** The review of a booking just scored: its features get their names only when somebody asks for them. */
export class ScoredReview implements Review {
  readonly would_be; readonly enforcement; readonly rule_score; readonly rule_hits; readonly shadow_hits; readonly rule_errors; readonly saturated
  private text: string | undefined

  /** `names`: of the whole catalogue, in its order. */
  constructor(rest: Omit<Review, 'features'>, private readonly vector: FeatureVector, private readonly names: readonly string[]) {
    this.would_be = rest.would_be
    this.enforcement = rest.enforcement
    this.rule_score = rest.rule_score
    this.rule_hits = rest.rule_hits
    this.shadow_hits = rest.shadow_hits
    this.rule_errors = rest.rule_errors
    this.saturated = rest.saturated
  }

  get features(): Features {
    return Object.fromEntries(this.names.flatMap((name, i) => { const value = this.vector[i]; return value === undefined ? [] : [[name, value]] }))
  }

  toJSON(): Review {
    const { would_be, enforcement, rule_score, rule_hits, shadow_hits, rule_errors, features, saturated } = this
    return { would_be, enforcement, rule_score, rule_hits, shadow_hits, rule_errors, features, saturated }
  }

  /** What JSON.stringify gives, without the object it would need, written once: the journal and history both want it. */
  toString(): string {
    return (this.text ??= this.write())
  }

  private write(): string {
    const { would_be, enforcement, rule_score, rule_hits, shadow_hits, rule_errors, saturated, names, vector } = this
    let features = ''
    for (let i = 0; i < names.length; i++) {
      const value = vector[i]
      // A number reads alike in text and in JSON unless it is no number at all, which no feature is.
      if (value !== undefined) features += `${features === '' ? '' : ','}"${names[i] ?? ''}":${typeof value === 'string' ? JSON.stringify(value) : String(value)}`
    }
    const before = JSON.stringify({ would_be, enforcement, rule_score, rule_hits, shadow_hits, rule_errors })
    return `${before.slice(0, -1)},"features":{${features}},"saturated":${JSON.stringify(saturated)}}`
  }
}

/** A review as JSON. */
export const reviewText = (review: Review): string => review instanceof ScoredReview ? review.toString() : JSON.stringify(review)
