import type { Comparison, FeatureValue, FeatureVector } from '../domain/decision.js'

/** One side of a comparison, as it reads in the rule and as it is in a booking. */
export interface Operand {
  text: string
  /** Throws on a fault in the expression. Only asked of leaves that are true, whose features are all there. */
  valueOf: (features: FeatureVector) => FeatureValue | FeatureValue[]
}

/** The smallest part of a condition that is true or false by itself. Negation is folded in: `!(a > 3)` is the leaf `a <= 3`. */
export interface Leaf {
  kind: 'leaf'
  left: Operand
  operator: string
  right: Operand
  /** Indexes of the features without which it is neither true nor false. */
  refs: readonly number[]
  /** True when it is known to be: without a feature it needs it is not. */
  test: (features: FeatureVector) => boolean
  /** Plain `feature operator literal`: what the search for contradictions understands. */
  bound?: { feature: number; literals: readonly FeatureValue[] }
}

/** A condition without negations: leaves joined by and, or. */
export type Tree = Leaf | { kind: 'constant'; value: boolean } | { kind: 'and' | 'or'; parts: readonly Tree[] }

/**
 * Whether a booking makes it true. CEL is three-valued where a feature is missing (`true || unknown` is true,
 * `true && unknown` is unknown); as there are no negations in a tree, unknown can be read as "does not hit" all the way up.
 * Nothing is thrown for what is missing: throwing costs 15 us a time.
 */
export function isTrue(tree: Tree, features: FeatureVector): boolean {
  switch (tree.kind) {
    case 'constant': return tree.value
    case 'leaf': return tree.test(features)
    case 'and':
      for (const part of tree.parts) if (!isTrue(part, features)) return false
      return true
    case 'or':
      for (const part of tree.parts) if (isTrue(part, features)) return true
      return false
  }
}

/** The comparisons that made a hit: of an `or`, only the parts that are true. Appends to `found`: a flatMap costs ten times as much. */
export function comparisonsOf(tree: Tree, features: FeatureVector, found: Comparison[] = []): Comparison[] {
  switch (tree.kind) {
    case 'constant': break
    case 'leaf': found.push(toComparison(tree, features)); break
    case 'and': for (const part of tree.parts) comparisonsOf(part, features, found); break
    case 'or': for (const part of tree.parts) if (isTrue(part, features)) comparisonsOf(part, features, found)
  }
  return found
}

function toComparison(leaf: Leaf, features: FeatureVector): Comparison {
  const value = leaf.left.valueOf(features)
  const seen = Array.isArray(value) ? value.join(', ') : value
  return { feature: leaf.left.text, value: seen, operator: leaf.operator, threshold: leaf.right.valueOf(features) }
}

export function refsOf(tree: Tree): readonly number[] {
  switch (tree.kind) {
    case 'constant': return []
    case 'leaf': return tree.refs
    case 'and': case 'or': return tree.parts.flatMap(refsOf)
  }
}

/** Ways through the `or`s that are tried before a condition is taken to be possible. */
const MAX_WAYS = 500

/**
 * Whether some booking can make it true, as far as bounds on single features tell: `x > 5 && x < 3` cannot.
 * Errs towards true.
 */
export function possible(tree: Tree): boolean {
  let ways = 0
  const search = (todo: readonly Tree[], taken: readonly Leaf[]): boolean => {
    const [next, ...rest] = todo
    if (next === undefined) return ++ways > MAX_WAYS || consistent(taken)
    switch (next.kind) {
      case 'constant': return next.value && search(rest, taken)
      case 'leaf': return search(rest, [...taken, next])
      case 'and': return search([...next.parts, ...rest], taken)
      case 'or': return next.parts.some((part) => search([part, ...rest], taken))
    }
  }
  return search([tree], [])
}

/** Every feature has a value that satisfies all its bounds. Tried are the literals, the gaps between them and what lies outside. */
function consistent(leaves: readonly Leaf[]): boolean {
  const features = new Set(leaves.flatMap((leaf) => leaf.bound?.feature ?? []))
  return [...features].every((feature) => {
    const bounds = leaves.filter((leaf) => leaf.bound?.feature === feature)
    const tried = candidates(bounds.flatMap((leaf) => leaf.bound?.literals ?? []))
    const only = (value: FeatureValue): FeatureVector => { const vector: FeatureValue[] = []; vector[feature] = value; return vector }
    return tried.some((value) => bounds.every((leaf) => leaf.test(only(value))))
  })
}

function candidates(literals: readonly FeatureValue[]): FeatureValue[] {
  const numbers = literals.filter((l) => typeof l === 'number').sort((a, b) => a - b)
  if (numbers.length > 0) return [-Infinity, Infinity, ...numbers, ...numbers.slice(1).map((n, i) => (n + (numbers[i] ?? n)) / 2)]
  if (literals.some((l) => typeof l === 'string')) return [...literals, 'none of the above']
  return [true, false]
}

/** The opposite condition. Leaves are turned round by `opposite`, which knows their language. */
export function negate(tree: Tree, opposite: (leaf: Leaf) => Leaf): Tree {
  switch (tree.kind) {
    case 'constant': return { kind: 'constant', value: !tree.value }
    case 'leaf': return opposite(tree)
    case 'and': return { kind: 'or', parts: tree.parts.map((part) => negate(part, opposite)) }
    case 'or': return { kind: 'and', parts: tree.parts.map((part) => negate(part, opposite)) }
  }
}
