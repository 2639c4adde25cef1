import type { Basis, FeatureVector, Message, Outcome, RuleHit } from '../domain/decision.js'
import { comparisonsOf, isTrue, type Tree } from './logic.js'

/** One rule as it runs. It gives points (`weight`) or asks for an outcome of its own. */
export interface Rule {
  id: string
  family: string
  code: string
  mode: 'live' | 'shadow' | 'off'
  weight?: number
  outcome?: Outcome
  basis?: Basis
  /** The condition as written, for people. */
  when: string
  tree: Tree
  /** It looks at what others were suspected of. */
  borrowed?: true
}

export interface RuleSet {
  /** Short hash of what all packs and counters mean; comments and layout do not change it. */
  version: string
  /** All rules, those that are off included. */
  rules: readonly Rule[]
  /** Rules that run, live or shadow. */
  active: readonly Rule[]
  /** Most points a family may give. */
  caps: ReadonlyMap<string, number>
  /** Patients' words for each reason code. */
  messages: ReadonlyMap<string, Message>
}

/** `errors`: ids of rules that could not be evaluated (a fault; a missing feature is no fault, such a rule does not hit). */
export interface Evaluation {
  hits: RuleHit[]
  shadowHits: RuleHit[]
  errors: string[]
  /** 0-100; and what of it the booking has by itself, without rules that look at what others were suspected of. */
  ruleScore: number
  ownScore: number
}

/** Most points all families together may give. */
const MAX_SCORE = 100

/** Runs every rule over the features of one booking. Rules in shadow are reported apart and give no points. */
export function evaluate(ruleSet: RuleSet, features: FeatureVector): Evaluation {
  const [hits, own, shadowHits, errors]: [RuleHit[], RuleHit[], RuleHit[], string[]] = [[], [], [], []]
  for (const rule of ruleSet.active) {
    try {
      if (!isTrue(rule.tree, features)) continue
      const hit = toHit(rule, features)
      if (hit.mode === 'shadow') { shadowHits.push(hit); continue }
      hits.push(hit)
      if (rule.borrowed !== true) own.push(hit)
    } catch {
      // One broken rule must not stop the others; the caller counts and shows it.
      errors.push(rule.id)
    }
  }
  return { hits, shadowHits, errors, ruleScore: scoreOf(hits, ruleSet.caps), ownScore: scoreOf(own, ruleSet.caps) }
}

function toHit(rule: Rule, features: FeatureVector): RuleHit {
  return {
    rule: rule.id, family: rule.family, code: rule.code, mode: rule.mode === 'live' ? 'live' : 'shadow',
    ...(rule.weight === undefined ? {} : { weight: rule.weight }),
    ...(rule.outcome === undefined ? {} : { outcome: rule.outcome, basis: rule.basis ?? 'risk' }),
    comparisons: comparisonsOf(rule.tree, features),
  }
}

/** Points, 0-100. A family's rules see the same thing from several sides, so together they count no more than its cap. */
function scoreOf(hits: readonly RuleHit[], caps: ReadonlyMap<string, number>): number {
  if (hits.length === 0) return 0
  const families = new Map<string, number>()
  for (const { family, weight = 0 } of hits) families.set(family, (families.get(family) ?? 0) + weight)
  let score = 0
  for (const [family, points] of families) score += Math.min(points, caps.get(family) ?? 0)
  return Math.min(score, MAX_SCORE)
}
