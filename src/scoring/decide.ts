import { severity, type Basis, type Message, type Outcome, type Reason, type RuleHit } from '../domain/decision.js'
import type { Policy } from '../domain/policy.js'

export interface DecideInput {
  /** Live hits only; what shadow rules found never comes here. */
  hits: readonly RuleHit[]
  /** 0-100. */
  ruleScore: number
  /** Calibrated probability, null when no model answered. */
  modelScore: number | null
  /** Of its order: a confirmation, or an end that no later request has overtaken. */
  settled: boolean
  policy: Policy
  /** RuleSet.messages. */
  messages: ReadonlyMap<string, Message>
  /** This order has waited its turn in the slow queue. */
  served: boolean
  /** A check passed for this account or patient recently, on a device that may vouch. */
  verified: boolean
  /** Counters could not be read. */
  degradedVelocity: boolean
  /** What a person decided about the subject, once sanctions exist. */
  sanction?: 'block' | 'pass'
}

export interface Verdict { outcome: Outcome; basis: Basis; reasons: Reason[] }

/** Reasons that come from no rule. */
const OWN_REASONS = {
  ACCOUNT_BLOCKED: {
    zh: '该账号经人工核实暂不能预约，可提出申诉。',
    en: 'After review by a person this account cannot book for now. You may appeal.',
  },
  UNUSUAL_PATTERN: {
    zh: '本次预约与平常的就诊预约有些不同，需要再确认一下。',
    en: 'This booking differs from what is usual, so we need to confirm it.',
  },
  CHECKS_UNAVAILABLE: {
    zh: '部分核对暂时无法完成，请先验证身份。',
    en: 'Some checks are not available right now. Please verify your identity.',
  },
} satisfies Record<string, Message>
const own = (code: keyof typeof OWN_REASONS): Reason => ({ code, message: OWN_REASONS[code] })

/** Who has the word, in this order. The first that answers wins; when none does, the booking is allowed. */
const PRECEDENCE: readonly ((input: DecideInput) => Verdict | undefined)[] = [
  blockedByPerson,
  passedByPerson,
  impossibleIdentity,
  publishedLimit,
  risk,
]

const ALLOW: Verdict = { outcome: 'allow', basis: 'risk', reasons: [] }

/**
 * What to do with a booking under `enforcement: enforce` (observing is the caller's). `wouldBe` differs only for an order
 * that is already confirmed or dead: the platform's fact wins, and the verdict is kept for a case.
 */
export function decide(input: DecideInput): Verdict & { wouldBe: Verdict } {
  const wouldBe = judge(input)
  return { ...(input.settled ? ALLOW : wouldBe), wouldBe }
}

function judge(input: DecideInput): Verdict {
  for (const step of PRECEDENCE) {
    const verdict = step(input)
    if (verdict) return verdict
  }
  return ALLOW
}

function blockedByPerson(input: DecideInput): Verdict | undefined {
  return input.sanction === 'block' ? { outcome: 'deny', basis: 'sanction', reasons: [own('ACCOUNT_BLOCKED')] } : undefined
}

function passedByPerson(input: DecideInput): Verdict | undefined {
  return input.sanction === 'pass' ? { outcome: 'allow', basis: 'sanction', reasons: [] } : undefined
}

function impossibleIdentity(input: DecideInput): Verdict | undefined {
  return denied(input, 'identity')
}

function publishedLimit(input: DecideInput): Verdict | undefined {
  return denied(input, 'policy')
}

function denied({ hits, messages }: DecideInput, basis: 'identity' | 'policy'): Verdict | undefined {
  const denying = hits.filter((hit) => hit.outcome === 'deny' && hit.basis === basis)
  return denying.length > 0 ? { outcome: 'deny', basis, reasons: reasonsFor(denying, messages) } : undefined
}

/** The more severe of what the points say and what single rules ask for, then lowered by turns waited and checks passed. */
function risk(input: DecideInput): Verdict | undefined {
  const { ruleScore, modelScore, policy, messages, degradedVelocity } = input
  const hits = input.hits.filter((hit) => hit.outcome === undefined || hit.basis === 'risk')
  const modelPoints = modelScore === null ? 0 : Math.round(100 * modelScore)
  const blind = degradedVelocity && policy.degradedVelocity === 'challenge'
  const scored = outcomeOf(Math.max(ruleScore, modelPoints), policy)
  const asked: Outcome[] = [...hits.flatMap((hit) => hit.outcome ?? []), ...(blind ? ['challenge' as const] : [])]
  const outcome = lowered(asked.reduce((worst, next) => severity(next) > severity(worst) ? next : worst, scored), input)
  if (outcome === 'allow') return undefined
  const reasons = reasonsFor(hits, messages, modelPoints > ruleScore ? modelPoints - ruleScore : undefined)
  if (blind) reasons.push(own('CHECKS_UNAVAILABLE'))
  return { outcome, basis: 'risk', reasons: reasons.length > 0 ? reasons : [own('UNUSUAL_PATTERN')] }
}

function outcomeOf(points: number, { thresholds }: Policy): Outcome {
  if (points >= thresholds.hold) return 'hold'
  if (points >= thresholds.throttle) return 'throttle'
  return points >= thresholds.challenge ? 'challenge' : 'allow'
}

/** A turn waited turns the slow queue into a check, a check passed clears a check. Neither lowers a hold. */
function lowered(outcome: Outcome, input: DecideInput): Outcome {
  switch (outcome) {
    case 'allow': return 'allow'
    case 'challenge': return input.verified ? 'allow' : 'challenge'
    case 'throttle': return input.served ? lowered('challenge', input) : 'throttle'
    case 'hold': return 'hold'
    case 'deny': return 'deny'
  }
}

/** Ordered by weight, then code; each code once. A rule with an outcome of its own outweighs any points. */
function reasonsFor(hits: readonly RuleHit[], messages: ReadonlyMap<string, Message>, modelWeight?: number): Reason[] {
  const weights = new Map<string, number>()
  const note = (code: string, weight: number): void => { weights.set(code, Math.max(weights.get(code) ?? 0, weight)) }
  for (const hit of hits) note(hit.code, hit.outcome === undefined ? hit.weight ?? 0 : 100 + severity(hit.outcome))
  if (modelWeight !== undefined) note('UNUSUAL_PATTERN', modelWeight)
  const ordered = [...weights].sort(([codeA, a], [codeB, b]) => b - a || (codeA < codeB ? -1 : 1))
  return ordered.map(([code]) => ({ code, message: messages.get(code) ?? OWN_REASONS.UNUSUAL_PATTERN }))
}
