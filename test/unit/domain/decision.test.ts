import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BASES, OUTCOMES, reviewText, ScoredReview, type FeatureValue, type Review, type RuleHit } from '../../../src/domain/decision.js'

const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', '请验证身份', '"quoted" \\ \n\t\u2028', '\ud83c\udfe5', '\ud800', '</script>'))
// Features are never NaN or infinite: what they are made of is counted, measured or checked at the door. -0, which only a
// caller's own `-0` could bring, reads 0 in both.
const number = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(-0, 0.1 + 0.2, -1.5, 1e21, 5e-324, 2 ** 53))
const value: fc.Arbitrary<FeatureValue> = fc.oneof(number, fc.boolean(), text)
/** Names of features are made of small letters, digits and underscores. */
const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z_]*[a-z0-9]$/), { maxLength: 8 })
const ruleHit: fc.Arbitrary<RuleHit> = fc.record({
  rule: text, family: text, code: text, mode: fc.constantFrom('live' as const, 'shadow' as const), weight: fc.nat(100),
  comparisons: fc.array(fc.record({ feature: text, value, operator: text, threshold: fc.oneof(value, fc.array(value, { maxLength: 2 })) }), { maxLength: 2 }),
})
const rest: fc.Arbitrary<Omit<Review, 'features'>> = fc.record({
  would_be: fc.record({ outcome: fc.constantFrom(...OUTCOMES), basis: fc.constantFrom(...BASES), reasons: fc.array(fc.record({ code: text, message: fc.record({ zh: text, en: text }) }), { maxLength: 2 }) }),
  enforcement: fc.constantFrom('observe' as const, 'enforce' as const), rule_score: fc.double({ min: 0, max: 100, noNaN: true }),
  rule_hits: fc.array(ruleHit, { maxLength: 2 }), shadow_hits: fc.array(ruleHit, { maxLength: 2 }), rule_errors: fc.array(text, { maxLength: 2 }), saturated: fc.array(text, { maxLength: 2 }),
})
/** A catalogue's names with a vector in which any of them, the first and the last too, may be missing. */
const scored = names.chain((all) => fc.record({ all: fc.constant(all), vector: fc.array(fc.option(value, { nil: undefined }), { minLength: all.length, maxLength: all.length }), rest }))

/** The same review as a plain value, its members in the order of `Review`. */
function plainOf({ all, vector, rest: { saturated, ...others } }: { all: string[]; vector: (FeatureValue | undefined)[]; rest: Omit<Review, 'features'> }): Review {
  const { would_be, enforcement, rule_score, rule_hits, shadow_hits, rule_errors } = others
  const features = Object.fromEntries(all.map((name, i) => [name, vector[i]] as const).filter((entry): entry is [string, FeatureValue] => entry[1] !== undefined))
  return { would_be, enforcement, rule_score, rule_hits, shadow_hits, rule_errors, features, saturated }
}

describe('the review of a booking just scored', () => {
  it('writes itself as JSON.stringify writes the same plain review, whatever is in it', () => {
    fc.assert(fc.property(scored, (given) => {
      const review = new ScoredReview(given.rest, given.vector, given.all)
      const expected = JSON.stringify(plainOf(given))
      expect(review.toString()).toBe(expected)
      expect(JSON.stringify(review)).toBe(expected)
      expect([reviewText(review), reviewText(plainOf(given))]).toEqual([expected, expected])
    }), { numRuns: 500 })
  })

  it('has its features by name, only those that are there, and is the same value as the plain one', () => {
    fc.assert(fc.property(scored, (given) => {
      const review = new ScoredReview(given.rest, given.vector, given.all)
      const plain = plainOf(given)
      expect(review.features).toStrictEqual(plain.features)
      expect(review.toJSON()).toStrictEqual(plain)
    }))
  })

  it('is written once, however many ask', () => {
    let asked = 0
    const vector = new Proxy<FeatureValue[]>([1], { get: (target, member) => { if (member === '0') asked++; return Reflect.get(target, member) as unknown } })
    const empty: Omit<Review, 'features'> = {
      would_be: { outcome: 'allow', basis: 'risk', reasons: [] }, enforcement: 'enforce', rule_score: 0, rule_hits: [], shadow_hits: [], rule_errors: [], saturated: [],
    }
    const review = new ScoredReview(empty, vector, ['age'])
    expect(asked).toBe(0)
    expect([reviewText(review), reviewText(review)].map((json) => (JSON.parse(json) as Review).features)).toEqual([{ age: 1 }, { age: 1 }])
    expect(asked).toBe(1)
  })
})
