import { hash } from 'node:crypto'
import type { Decision, Degraded, Outcome, Review } from '../domain/decision.js'
import type { BookingEvent, BookingRequest } from '../domain/event.js'
import type { Exchange } from '../domain/packed-log.js'
import type { Policy } from '../domain/policy.js'
import { decide, type Verdict } from './decide.js'
import { assembleFeatures } from './features.js'
import { observe, queueKeyOf, takeTurn, type Observed } from './observe.js'
import type { VelocityPlan } from './plan.js'
import type { PolicyBook } from './policy.js'
import { evaluate, type RuleSet } from './rules.js'

/** Everything a decision is made by, besides the event and its history. Replaced as a whole, never changed in place. */
export interface Rulebook {
  plan: VelocityPlan
  rules: RuleSet
  policies: PolicyBook
}

export interface Scored { decision: Decision; review: Review }

/** A check passed within this time vouches for the next requests of the account and of the patient it names (a kiosk has no account). */
const VERIFIED_FOR_S = 30 * 60

/**
 * The scored part of the route, in order: velocity, features, rules, model, decide, slow queue. Counts the request and
 * decides it in one conversation with the velocity store. `decidedAt` is epoch ms: the wall clock live, the event's own
 * time in replay; no outcome depends on it. `observeOnly` gives out `allow` whatever the policy enforces.
 */
export function* scoreRequest(rulebook: Rulebook, event: BookingRequest, decidedAt: number, degraded: readonly Degraded[], observeOnly = false): Exchange<Scored> {
  const observed = yield* observe(rulebook.plan, event)
  if (!observed) throw new Error('only booking.requested is scored')
  const features = assembleFeatures(event, observed)
  const evaluation = evaluate(rulebook.rules, features)
  const modelScore = null // no model yet: rules decide alone, and nothing pretends
  const { policy, version } = rulebook.policies.of(event.slot.hospitalId)
  const turnAt = observed.order.turnAt
  const { wouldBe, ...verdict } = decide({
    hits: evaluation.hits, ruleScore: evaluation.ruleScore, modelScore, features, policy, messages: rulebook.rules.messages,
    served: turnAt !== undefined && turnAt <= event.occurredAt, verified: isVerified(observed), degradedVelocity: degraded.includes('velocity'),
  })
  const enforcement = observeOnly ? 'observe' : policy.enforcement
  const enforced = enforcement === 'observe' ? ALLOWED : inTime(verdict, event)
  const retryAfterMs = enforced.outcome === 'throttle' ? yield* waitFor(event, policy, turnAt) : 0
  const decision: Decision = {
    decision_id: derivedId('d', event.eventId), event_id: event.eventId, order_id: event.orderId, decided_at: new Date(decidedAt).toISOString(),
    outcome: enforced.outcome, basis: enforced.basis, score: modelScore, reasons: enforced.reasons,
    ...detailsOf(enforced.outcome, event, policy, decidedAt, retryAfterMs),
    degraded: [...degraded], versions: { rules: rulebook.rules.version, model: null, policy: version },
  }
  const review: Review = {
    would_be: wouldBe, enforcement, rule_score: evaluation.ruleScore, rule_hits: evaluation.hits,
    shadow_hits: evaluation.shadowHits, rule_errors: evaluation.errors, features, saturated: observed.saturated,
  }
  return { decision, review }
}

/** Any other type: counted, not scored. */
export function* countEvent(rulebook: Rulebook, event: BookingEvent): Exchange<void> {
  yield* observe(rulebook.plan, event)
}

const ALLOWED: Verdict = { outcome: 'allow', basis: 'risk', reasons: [] }

const isVerified = ({ features }: Observed): boolean =>
  [features['account_verified_s'], features['patient_verified_s']].some((seconds) => typeof seconds === 'number' && seconds <= VERIFIED_FOR_S)

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

