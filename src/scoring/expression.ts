import { Environment, serialize, type ASTNode } from '@marcbachmann/cel-js'
import type { Features, FeatureValue } from '../domain/decision.js'
import type { Catalogue, FeatureType } from './catalogue.js'
import { negate, possible, refsOf, type Leaf, type Operand, type Tree } from './logic.js'

/** Far above any rule a person can read, far below what could stall a check. */
const LIMITS = { maxAstNodes: 200, maxDepth: 20, maxListElements: 50, maxMapEntries: 0, maxCallArguments: 2 }
const MAX_LENGTH = 2_000

const CEL_TYPE: Readonly<Record<FeatureType, string>> = { number: 'double', bool: 'bool', string: 'string' }
const LITERALS: readonly string[] = ['string', 'number', 'bigint', 'boolean']
const FUNCTIONS: readonly string[] = ['size', 'double', 'int']
const METHODS: readonly string[] = ['startsWith', 'endsWith', 'contains', 'size']
const OPPOSITE: Readonly<Record<string, string>> = { '<': '>=', '<=': '>', '>': '<=', '>=': '<', '==': '!=', '!=': '==' }
/** The same comparison read from its other side. */
const MIRRORED: Readonly<Record<string, string>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=', '==': '==', '!=': '!=' }

/** Compiles one condition; every fault found in it comes back as words, and a tree only without faults. */
export type Compile = (source: string) => { tree?: Tree; faults: string[] }

/**
 * A compiler of CEL conditions over a catalogue. Allowed is only what ends in bounded time and needs no regular
 * expression: comparisons, logic, arithmetic, `?:`, `in` with a literal list, and a few functions on text and numbers.
 */
export function createCompiler(catalogue: Catalogue): Compile {
  const env = new Environment({ limits: LIMITS })
  for (const { name, type } of catalogue.values()) env.registerVariable(name, CEL_TYPE[type])
  // Every number is a double here; a person writes `== 3` all the same.
  env.registerOperator('double == int', (a: number, b: bigint) => a === Number(b))

  return (source) => {
    if (source.length > MAX_LENGTH) return { faults: [`is longer than ${MAX_LENGTH} characters`] }
    try {
      const parsed = env.parse(source)
      const faults = [...new Set(disallowed(parsed.ast, catalogue))]
      if (faults.length > 0) return { faults }
      const checked = parsed.check()
      if (checked.error) return { faults: [explained(checked.error.message)] }
      if (checked.type !== 'bool') return { faults: [`is ${checked.type ?? 'unknown'}, a condition must be bool`] }
      const tree = toTree(parsed.ast, env)
      return { tree, faults: senseless(tree) }
    } catch (error) {
      // cel-js throws for what it cannot parse, and a RangeError for what nests too deep: both are the author's to mend.
      return { faults: [explained(error instanceof Error ? error.message : String(error))] }
    }
  }
}

function explained(message: string): string {
  const first = message.split('\n')[0] ?? ''
  return /double.*int|int.*double/.test(first) ? `${first} (write whole numbers with a point here: 2.0)` : first
}

/** A condition that holds for every booking, or for none, is a mistake. */
function senseless(tree: Tree): string[] {
  if (refsOf(tree).length === 0) return ['is constant: it looks at no feature']
  if (!possible(tree)) return ['can never hit: its bounds contradict each other']
  return possible(negate(tree, opposite)) ? [] : ['always hits: no booking is spared']
}

/** Everything in the expression that is not on the list of what is allowed. */
function disallowed(node: ASTNode, catalogue: Catalogue): string[] {
  const rest = (): string[] => operands(node).flatMap((n) => disallowed(n, catalogue))
  switch (node.op) {
    case 'value': return LITERALS.includes(typeof node.args) ? [] : ['null, bytes and unsigned numbers are not allowed']
    case 'id': return catalogue.has(node.args) ? [] : [unknownFeature(node.args, catalogue)]
    case 'in': return Array.isArray(literalOf(node.args[1])) ? disallowed(node.args[0], catalogue) : [`'in' needs a list of literals on its right`]
    case 'call': return FUNCTIONS.includes(node.args[0]) ? rest() : [`function '${node.args[0]}' is not allowed`]
    case 'rcall': return METHODS.includes(node.args[0]) ? rest() : [`function '${node.args[0]}' is not allowed`]
    case 'list': case 'map': case '.': case '.?': case '[]': case '[?]': return ['lists, maps and members are not allowed']
    case '!_': case '-_': case '?:': case '||': case '&&': case '<': case '<=': case '>': case '>=': case '==': case '!=':
    case '+': case '-': case '*': case '/': case '%': return rest()
  }
}

/** The nodes directly below one, lists apart: they only hold literals. */
function operands(node: ASTNode): ASTNode[] {
  switch (node.op) {
    case 'value': case 'id': case 'list': case 'map': case '.': case '.?': case '[]': case '[?]': return []
    case 'call': return node.args[1]
    case 'rcall': return [node.args[1], ...node.args[2]]
    case '!_': case '-_': return [node.args]
    case '?:': case '||': case '&&': case '<': case '<=': case '>': case '>=': case '==': case '!=': case 'in':
    case '+': case '-': case '*': case '/': case '%': return [...node.args]
  }
}

const namesIn = (node: ASTNode): string[] => node.op === 'id' ? [node.args] : operands(node).flatMap(namesIn)

/** Words for a feature that is not in the catalogue, with the nearest one that is. */
export function unknownFeature(name: string, catalogue: Catalogue): string {
  const [near] = [...catalogue.keys()].map((known) => ({ known, edits: editDistance(name, known) })).sort((a, b) => a.edits - b.edits)
  return `unknown feature '${name.slice(0, 60)}'${near && near.edits <= Math.max(2, name.length / 3) ? `; did you mean '${near.known}'?` : ''}`
}

/** Levenshtein distance. Only names of up to 60 characters are compared. */
function editDistance(a: string, b: string): number {
  if (a.length > 60) return Infinity
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] ?? Infinity
}

/** Takes the logic apart down to comparisons, each compiled by itself, with negations pushed into them. */
function toTree(node: ASTNode, env: Environment): Tree {
  if (node.op === '&&') return { kind: 'and', parts: node.args.map((part) => toTree(part, env)) }
  if (node.op === '||') return { kind: 'or', parts: node.args.map((part) => toTree(part, env)) }
  if (node.op === '!_') return negate(toTree(node.args, env), opposite)
  if (node.op === 'value') return { kind: 'constant', value: node.args === true }
  if (node.op !== '?:') return toLeaf(node, env)
  const [asked, yes, no] = node.args.map((part) => toTree(part, env)) as [Tree, Tree, Tree]
  return { kind: 'or', parts: [{ kind: 'and', parts: [asked, yes] }, { kind: 'and', parts: [negate(asked, opposite), no] }] }
}

/** A comparison, a test of text, or a bare flag (`emulator` reads as `emulator == true`). */
function toLeaf(node: ASTNode, env: Environment): Leaf {
  const [left, operator, right] = sides(node)
  const mirrored = MIRRORED[operator]
  const turned = mirrored !== undefined && right !== true && literalOf(left) !== undefined
  const [first, second, op] = turned ? [right, left, mirrored] : [left, right, operator]
  const literal = second === true ? true : literalOf(second)
  const simple = first.op === 'id' && literal !== undefined && (mirrored !== undefined || operator === 'in')
  const plainly = simple ? plainTest(first.args, op, literal) : undefined
  const run = env.parse(serialize(node))
  return {
    kind: 'leaf',
    left: toOperand(first, env), operator: op,
    right: second === true ? { text: 'true', valueOf: () => true } : toOperand(second, env),
    refs: [...new Set(namesIn(node))],
    test: plainly ?? ((features) => run(features) === true),
    ...(simple ? { bound: { feature: first.args, literals: Array.isArray(literal) ? literal : [literal] } } : {}),
  }
}

/**
 * `feature operator literal` without the interpreter, which takes ten times as long and does this for nearly every leaf.
 * Undefined where the two could differ: text is not ordered here.
 */
function plainTest(feature: string, operator: string, literal: FeatureValue | FeatureValue[]): Leaf['test'] | undefined {
  const numeric = (holds: (value: number, bound: number) => boolean): Leaf['test'] | undefined =>
    typeof literal === 'number' ? (features) => holds(features[feature] as number, literal) : undefined
  switch (operator) {
    case 'in': return Array.isArray(literal) ? (features) => literal.some((one) => one === features[feature]) : undefined
    case '==': return (features) => features[feature] === literal
    case '!=': return (features) => features[feature] !== literal
    case '<': return numeric((value, bound) => value < bound)
    case '<=': return numeric((value, bound) => value <= bound)
    case '>': return numeric((value, bound) => value > bound)
    case '>=': return numeric((value, bound) => value >= bound)
    default: return undefined
  }
}

function sides(node: ASTNode): [ASTNode, string, ASTNode | true] {
  if (node.op === 'in' || node.op === '<' || node.op === '<=' || node.op === '>' || node.op === '>=' || node.op === '==' || node.op === '!=') {
    return [node.args[0], node.op, node.args[1]]
  }
  return node.op === 'rcall' ? [node.args[1], node.args[0], node.args[2][0] ?? true] : [node, '==', true]
}

function toOperand(node: ASTNode, env: Environment): Operand {
  const text = serialize(node)
  const literal = literalOf(node)
  if (literal !== undefined) return { text, valueOf: () => literal }
  if (node.op === 'id') return { text, valueOf: (features) => features[text] ?? '' }
  const run = env.parse(text)
  return { text, valueOf: (features) => plain(run(features)) }
}

/** Turns a leaf round. Text tests have no opposite of their own and read `not contains`. */
function opposite(leaf: Leaf): Leaf {
  const operator = OPPOSITE[leaf.operator] ?? (leaf.operator.startsWith('not ') ? leaf.operator.slice(4) : `not ${leaf.operator}`)
  return { ...leaf, operator, test: (features: Features) => !leaf.test(features) }
}

function literalOf(node: ASTNode | true): FeatureValue | FeatureValue[] | undefined {
  if (node === true) return true
  if (node.op === 'value') return plain(node.args)
  if (node.op === '-_') {
    const value = literalOf(node.args)
    return typeof value === 'number' ? -value : undefined
  }
  if (node.op !== 'list') return undefined
  const values = node.args.map(literalOf).filter((v): v is FeatureValue => v !== undefined && !Array.isArray(v))
  return values.length === node.args.length ? values : undefined
}

const plain = (value: unknown): FeatureValue => typeof value === 'bigint' ? Number(value) : value as FeatureValue
