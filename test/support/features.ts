import type { FeatureValue, FeatureVector } from '../../src/domain/decision.js'
import type { Catalogue } from '../../src/scoring/catalogue.js'

/** The features that are there, by name. Throws for a value outside the catalogue: a vector of another one was given. */
export function named(vector: FeatureVector, catalogue: Catalogue): Record<string, FeatureValue> {
  const names = [...catalogue.keys()]
  const present: Record<string, FeatureValue> = {}
  for (const [index, value] of vector.entries()) {
    const name = names[index]
    if (name === undefined) throw new RangeError(`the catalogue has no feature ${index}`)
    if (value !== undefined) present[name] = value
  }
  return present
}
