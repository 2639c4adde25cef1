import { hash } from 'node:crypto'
import { ScoredReview, type Decision, type Degraded, type FeatureVector, type Outcome, type Review } from '../domain/decision.js'
import type { BookingEvent, BookingRequest } from '../domain/event.js'
import type { Exchange } from '../domain/packed-log.js'
import type { Policy } from '../domain/policy.js'
import { decide, type Verdict } from './decide.js'
import type { Catalogue } from './catalogue.js'
import { assembleFeatures } from './features.js'
import { observe, queueKeyOf, suspect, takeTurn, unobserved, type Observed } from './observe.js'
import type { VelocityPlan } from './plan.js'
import type { PolicyBook } from './policy.js'
import { evaluate, type Evaluation, type RuleSet } from './rules.js'

/** Everything a decision is made by, besides the event and its history. Replaced as a whole, never changed in place. */
export interface Rulebook {
  catalogue: Catalogue
  /** Names of all features, in the order of the catalogue. */
  names: readonly string[]
  plan: VelocityPlan
  rules: RuleSet
  policies: PolicyBook
}

export interface Scored {
  decision: Decision
  review: Review
  /** It would have been slowed down or held for what it is by itself; what it shares with others has been marked. */
  suspected: boolean
}

/** A check passed within this time vouches for the next requests of the account and of the patient it names (a kiosk has no account). */
const VERIFIED_FOR_S = 30 * 60
/** A device on which more patients than this passed a check in 30 days no longer vouches for one (tactic T10). */
const MAX_VERIFIED_PATIENTS = 5

/** What a request is judged by, besides its history. `observeOnly` gives out `allow` whatever the policy enforces. */
export interface Circumstances { decidedAt: number; degraded: readonly Degraded[]; observeOnly?: boolean }

/**
 * The scored part of the route, in order: velocity, features, rules, model, decide, slow queue. Counts the request and
 * decides it in one conversation with the velocity store. `decidedAt` is epoch ms: the wall clock live, the event's own
 * time in replay; no outcome depends on it.
 */
export function* scoreRequest(rulebook: Rulebook, event: BookingRequest, circumstances: Circumstances): Exchange<Scored> {
  const observed = yield* observe(rulebook.plan, event)
  if (!observed) throw new Error('only booking.requested is scored')
  const judged = judge(rulebook, event, observed, circumstances)
  if (judged.suspected) yield* suspect(rulebook.plan, event)
  const turnAt = observed.order?.turnAt
  const retryAfterMs = judged.enforced.outcome === 'throttle' ? yield* waitFor(event, judged.policy, turnAt) : 0
  return scoredOf(rulebook, event, circumstances, judged, retryAfterMs)
}

/** The same when velocity cannot be asked: what it would tell is missing, never zero, and the decision says so. */
export function scoreBlind(rulebook: Rulebook, event: BookingRequest, circumstances: Circumstances): Scored {
  const degraded: Degraded[] = [...new Set<Degraded>([...circumstances.degraded, 'velocity'])]
  const judged = judge(rulebook, event, unobserved(rulebook.plan), { ...circumstances, degraded })
  return scoredOf(rulebook, event, { ...circumstances, degraded }, judged, judged.policy.throttle.waitMs)
}

interface Judged { policy: Policy; policyVersion: string; enforced: Verdict; wouldBe: Verdict; enforcement: Policy['enforcement']; evaluation: Evaluation; suspected: boolean; features: FeatureVector; saturated: string[] }

const MODEL_SCORE = null // no model yet: rules decide alone, and nothing pretends

function judge(rulebook: Rulebook, event: BookingRequest, observed: Observed, { degraded, observeOnly }: Circumstances): Judged {
  const { catalogue, rules, policies } = rulebook
  const features = assembleFeatures(event, observed)
  const evaluation = evaluate(rules, features)
  const { policy, version: policyVersion } = policies.of(event.slot.hospitalId)
  const { order, saturated } = observed
  const { wouldBe, ...verdict } = decide({
    hits: evaluation.hits, ruleScore: evaluation.ruleScore, modelScore: MODEL_SCORE, policy, messages: rules.messages,
    settled: order !== undefined && (order.confirmed || order.ended), served: order?.turnAt !== undefined && order.turnAt <= event.occurredAt,
    verified: isVerified(catalogue, features), degradedVelocity: degraded.includes('velocity'),
  })
  const enforcement = observeOnly === true ? 'observe' : policy.enforcement
  const enforced = enforcement === 'observe' ? ALLOWED : inTime(verdict, event)
  // Without counters too little is known to say anything of others.
  const suspected = !degraded.includes('velocity') && evaluation.ownScore >= policy.thresholds.throttle
  return { policy, policyVersion, enforced, wouldBe, enforcement, evaluation, suspected, features, saturated }
}

function scoredOf(rulebook: Rulebook, event: BookingRequest, { decidedAt, degraded }: Circumstances, judged: Judged, retryAfterMs: number): Scored {
  const { policy, policyVersion, enforced, wouldBe, enforcement, evaluation, features, saturated } = judged
  const decision: Decision = {
    decision_id: derivedId('d', event.eventId), event_id: event.eventId, order_id: event.orderId, decided_at: new Date(decidedAt).toISOString(),
    outcome: enforced.outcome, basis: enforced.basis, score: MODEL_SCORE, reasons: enforced.reasons,
    ...detailsOf(enforced.outcome, event, policy, decidedAt, retryAfterMs),
    degraded: [...degraded], versions: { rules: rulebook.rules.version, model: null, policy: policyVersion },
  }
  const review = new ScoredReview({
    would_be: wouldBe, enforcement, rule_score: evaluation.ruleScore, rule_hits: evaluation.hits,
    shadow_hits: evaluation.shadowHits, rule_errors: evaluation.errors, saturated,
  }, features, rulebook.names)
  return { decision, review, suspected: judged.suspected }
}

/** Counted, not scored: any other type, and on recovery a request that was `suspected`, or not, when it was decided. */
export function* countEvent(rulebook: Rulebook, event: BookingEvent, suspected = false): Exchange<void> {
  yield* observe(rulebook.plan, event)
  if (suspected) yield* suspect(rulebook.plan, event)
}

const ALLOWED: Verdict = { outcome: 'allow', basis: 'risk', reasons: [] }

function isVerified(catalogue: Catalogue, features: FeatureVector): boolean {
  const atMost = (name: string, most: number): boolean | undefined => {
    const value = features[catalogue.get(name)?.index ?? -1]
    return typeof value === 'number' ? value <= most : undefined
  }
  const recently = atMost('account_verified_s', VERIFIED_FOR_S) === true || atMost('patient_verified_s', VERIFIED_FOR_S) === true
  return recently && atMost('device_verified_patients_30d', MAX_VERIFIED_PATIENTS) !== false
}

/** A hold that could not end before the visit would only take the visit away: care comes first. By the event's own time: the road must not matter. */
const inTime = (verdict: Verdict, event: BookingRequest): Verdict =>
  verdict.outcome === 'hold' && event.slot.visitAt !== undefined && event.slot.visitAt <= event.occurredAt ? ALLOWED : verdict

/** Milliseconds until this order's turn: the one it has, else a new one at the end of its schedule's queue. */
function* waitFor(event: BookingRequest, policy: Policy, turnAt: number | undefined): Exchange<number> {
  if (turnAt !== undefined) return turnAt - event.occurredAt
  const key = queueKeyOf(event)
  if (!key) return policy.throttle.waitMs
  return (yield* takeTurn(key, event.occurredAt, policy.throttle.waitMs, policy.throttle.spacingMs)) - event.occurredAt
}

function detailsOf(outcome: Outcome, event: BookingRequest, policy: Policy, decidedAt: number, retryAfterMs: number): Partial<Decision> {
  switch (outcome) {
    case 'allow':
    case 'deny': return {}
    case 'challenge': return { challenge: { kind: policy.challengeKind } }
    case 'throttle': return { throttle: { retry_after_ms: Math.max(1, Math.round(retryAfterMs)) } }
    case 'hold': {
      const expiresAt = Math.min(decidedAt + policy.hold.forMs, event.slot.visitAt ?? Infinity)
      // An event that waited until its visit began is held for nobody to see: then it must not cost the patient the visit.
      const onExpiry = expiresAt > decidedAt ? policy.hold.onExpiry : 'confirm'
      return { hold: { hold_id: derivedId('h', event.eventId), expires_at: new Date(expiresAt).toISOString(), on_expiry: onExpiry } }
    }
  }
}

/** Ids that any road and any process derives alike. SHA-256 of the event id, which is no secret: 128 bits are unique enough. */
const derivedId = (prefix: string, eventId: string): string => `${prefix}-${hash('sha256', `${prefix}\0${eventId}`).slice(0, 32)}`

