import { Environment, serialize, type ASTNode } from '@marcbachmann/cel-js'
import type { FeatureValue, FeatureVector } from '../domain/decision.js'
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
      const tree = toTree(parsed.ast, { env, catalogue })
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

/** What names mean, and what runs an expression over them. */
interface Scope { env: Environment; catalogue: Catalogue }

/** Takes the logic apart down to comparisons, each compiled by itself, with negations pushed into them. */
function toTree(node: ASTNode, scope: Scope): Tree {
  if (node.op === '&&') return { kind: 'and', parts: node.args.map((part) => toTree(part, scope)) }
  if (node.op === '||') return { kind: 'or', parts: node.args.map((part) => toTree(part, scope)) }
  if (node.op === '!_') return negate(toTree(node.args, scope), opposite)
  if (node.op === 'value') return { kind: 'constant', value: node.args === true }
  if (node.op !== '?:') return toLeaf(node, scope)
  const [asked, yes, no] = node.args.map((part) => toTree(part, scope)) as [Tree, Tree, Tree]
  return { kind: 'or', parts: [{ kind: 'and', parts: [asked, yes] }, { kind: 'and', parts: [negate(asked, opposite), no] }] }
}

/** A comparison, a test of text, or a bare flag (`emulator` reads as `emulator == true`). */
function toLeaf(node: ASTNode, scope: Scope): Leaf {
  const [left, operator, right] = sides(node)
  const mirrored = MIRRORED[operator]
  const turned = mirrored !== undefined && right !== true && literalOf(left) !== undefined
  const [first, second, op] = turned ? [right, left, mirrored] : [left, right, operator]
  const literal = second === true ? true : literalOf(second)
  const simple = first.op === 'id' && literal !== undefined && (mirrored !== undefined || operator === 'in')
  const bound = simple ? { feature: indexOf(first.args, scope), literals: Array.isArray(literal) ? literal : [literal] } : undefined
  const plainly = bound && literal !== undefined ? plainTest(bound.feature, op, literal) : undefined
  const names = [...new Set(namesIn(node))]
  return {
    kind: 'leaf',
    left: toOperand(first, scope), operator: op,
    right: second === true ? { text: 'true', valueOf: () => true } : toOperand(second, scope),
    refs: names.map((name) => indexOf(name, scope)),
    test: plainly ?? knownFirst(names.map((name) => indexOf(name, scope)), interpreted(node, scope, (value) => value === true)),
    ...(bound ? { bound } : {}),
  }
}

const indexOf = (name: string, { catalogue }: Scope): number => catalogue.get(name)?.index ?? -1

/** What cel-js makes of an expression, given just the features it names. */
function interpreted<T>(node: ASTNode, scope: Scope, as: (value: unknown) => T): (features: FeatureVector) => T {
  const run = scope.env.parse(serialize(node))
  const named = [...new Set(namesIn(node))].map((name) => ({ name, index: indexOf(name, scope) }))
  return (features) => {
    const values: Record<string, FeatureValue> = {}
    for (const { name, index } of named) { const value = features[index]; if (value !== undefined) values[name] = value }
    return as(run(values))
  }
}

/**
 * `feature operator literal` without the interpreter, which takes ten times as long and does this for nearly every leaf.
 * Undefined where the two could differ: text is not ordered here.
 */
function plainTest(feature: number, operator: string, literal: FeatureValue | FeatureValue[]): Leaf['test'] | undefined {
  if (operator === 'in') return Array.isArray(literal) ? (features) => literal.some((one) => one === features[feature]) : undefined
  if (operator === '==') return (features) => features[feature] === literal
  if (operator === '!=') return (features) => { const value = features[feature]; return value !== undefined && value !== literal }
  if (typeof literal !== 'number') return undefined
  // One closure each, without a function in between: these run some two hundred times per booking.
  switch (operator) {
    case '<': return (features) => { const value = features[feature]; return typeof value === 'number' && value < literal }
    case '<=': return (features) => { const value = features[feature]; return typeof value === 'number' && value <= literal }
    case '>': return (features) => { const value = features[feature]; return typeof value === 'number' && value > literal }
    case '>=': return (features) => { const value = features[feature]; return typeof value === 'number' && value >= literal }
    default: return undefined
  }
}

/** The interpreter throws for what is missing, which costs 15 us a time: it is only asked when everything is there. */
function knownFirst(refs: readonly number[], test: Leaf['test']): Leaf['test'] {
  return (features) => {
    for (const ref of refs) if (features[ref] === undefined) return false
    return test(features)
  }
}

function sides(node: ASTNode): [ASTNode, string, ASTNode | true] {
  if (node.op === 'in' || node.op === '<' || node.op === '<=' || node.op === '>' || node.op === '>=' || node.op === '==' || node.op === '!=') {
    return [node.args[0], node.op, node.args[1]]
  }
  return node.op === 'rcall' ? [node.args[1], node.args[0], node.args[2][0] ?? true] : [node, '==', true]
}

function toOperand(node: ASTNode, scope: Scope): Operand {
  const text = serialize(node)
  const literal = literalOf(node)
  if (literal !== undefined) return { text, valueOf: () => literal }
  if (node.op !== 'id') return { text, valueOf: interpreted(node, scope, plain) }
  const index = indexOf(text, scope)
  return { text, valueOf: (features) => features[index] ?? '' }
}

/** Turns a leaf round. Text tests have no opposite of their own and read `not contains`. */
function opposite(leaf: Leaf): Leaf {
  const operator = OPPOSITE[leaf.operator] ?? (leaf.operator.startsWith('not ') ? leaf.operator.slice(4) : `not ${leaf.operator}`)
  return { ...leaf, operator, test: knownFirst(leaf.refs, (features: FeatureVector) => !leaf.test(features)) }
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
