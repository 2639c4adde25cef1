import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FeatureValue, Message } from '../domain/decision.js'
import { toVector, type Catalogue } from './catalogue.js'
import type { FileProblem } from './counters.js'
import { createCompiler, unknownFeature, type Compile } from './expression.js'
import { isTrue, refsOf, type Tree } from './logic.js'
import type { Rule, RuleSet } from './rules.js'
import { canonicalText, pathOf, readYaml, shapeErrors, shortHash, type YamlFile } from './yaml-file.js'

const strict = { additionalProperties: false }
const oneOf = <T extends string>(...values: T[]) => Type.Union(values.map((value) => Type.Literal(value)), { description: values.join(', ') })
const text = (description: string, pattern?: string) => Type.String({ minLength: 1, maxLength: 2_000, description, ...(pattern ? { pattern } : {}) })
const points = Type.Integer({ minimum: 1, maximum: 100, description: 'a whole number from 1 to 100' })
const examples = Type.Array(
  Type.Record(Type.String(), Type.Union([Type.Number(), Type.Boolean(), Type.String()], { description: 'a number, true, false or a text' })),
  { minItems: 1, description: 'at least one example (a map of feature: value)' },
)

const RuleText = Type.Object({
  id: text('an id like late-binding (small letters, digits, dashes)', '^[a-z][a-z0-9-]{1,63}$'),
  code: text('a reason code like LATE_BINDING', '^[A-Z][A-Z0-9_]{2,39}$'),
  message: Type.Object({ zh: text('the Chinese text'), en: text('the English text') }, { ...strict, description: 'a map of zh and en' }),
  mode: oneOf('live', 'shadow', 'off'),
  weight: Type.Optional(points),
  outcome: Type.Optional(oneOf('challenge', 'throttle', 'hold', 'deny')),
  basis: Type.Optional(oneOf('risk', 'identity', 'policy')),
  when: text('a CEL condition'),
  examples: Type.Object({ hit: examples, miss: examples }, { ...strict, description: 'a map of hit and miss' }),
}, { ...strict, description: 'a rule' })
type RuleText = Static<typeof RuleText>

const PackText = Type.Object({
  family: text('a family name like handoff', '^[a-z][a-z0-9_-]{1,39}$'),
  cap: points,
  rules: Type.Array(Type.Unknown(), { minItems: 1, description: 'a list of rules' }),
}, { ...strict, description: 'a map of family, cap and rules' })

/** Words no patient should read about themselves. */
const ACCUSING = /黄牛|号贩|倒卖|诈骗|scalp|fraud|cheat|illegal/i

/** A rule with the place it came from, for what can only be checked across packs. */
interface Placed { rule: Rule; message: Message; fault: (field: string, message: string) => FileProblem }

/**
 * Checks all packs together and returns every problem at once, each with file and line; a rule set only without problems.
 * `countersText` (rules/counters.yaml) only goes into the version: the same rules over other counters are another rule set.
 */
export function checkPacks(
  files: readonly { file: string; text: string }[], catalogue: Catalogue, countersText = '',
): { packs?: RuleSet; problems: FileProblem[] } {
  const compile = createCompiler(catalogue)
  const problems: FileProblem[] = []
  const placed: Placed[] = []
  const caps = new Map<string, number>()
  const meanings: string[] = []
  for (const { file, text: source } of files) {
    const yaml = readYaml(file, source)
    const pack = yaml.value
    const differs = (): FileProblem[] => shapeErrors(PackText, pack).map((e) => yaml.problem(pathOf(e.path), worded(e.path, e.message)))
    const shape = yaml.problems.length > 0 ? yaml.problems : differs()
    problems.push(...shape)
    if (shape.length > 0 || !Value.Check(PackText, pack)) continue
    if (caps.has(pack.family)) problems.push(yaml.problem(['family'], `family '${pack.family}' is already in another file`))
    caps.set(pack.family, pack.cap)
    meanings.push(canonicalText(pack))
    for (const [index, raw] of pack.rules.entries()) {
      const checked = checkRule(raw, index, pack.family, yaml, catalogue, compile)
      problems.push(...checked.problems)
      if (checked.placed) placed.push(checked.placed)
    }
  }
  problems.push(...clashes(placed))
  if (files.length === 0) problems.push({ file: 'rules/packs', line: 1, message: 'there is no rule pack' })
  if (problems.length > 0) return { problems }
  const rules = placed.map((p) => p.rule)
  const countersMeaning = canonicalText(readYaml('counters', countersText).value ?? null)
  const version = shortHash([...meanings.sort(), countersMeaning].join('\n'))
  const messages = new Map(placed.map((p) => [p.rule.code, p.message]))
  return { packs: { version, rules, active: rules.filter((r) => r.mode !== 'off'), caps, messages }, problems }
}

const worded = (path: string, message: string): string => path === '' ? message : `${pathOf(path).join('.')}: ${message}`

function checkRule(
  raw: unknown, index: number, family: string, yaml: YamlFile, catalogue: Catalogue, compile: Compile,
): { placed?: Placed; problems: FileProblem[] } {
  const named = typeof raw === 'object' && raw !== null && 'id' in raw && typeof raw.id === 'string'
  const name = named ? `rule '${String(raw.id).slice(0, 64)}'` : `rule ${index + 1}`
  const at = (path: readonly (string | number)[], message: string): FileProblem =>
    yaml.problem(['rules', index, ...path], `${name}: ${path.length === 0 ? '' : `${path.join('.')}: `}${message}`)
  const shape = shapeErrors(RuleText, raw).map((e) => at(pathOf(e.path), e.message))
  if (shape.length > 0 || !Value.Check(RuleText, raw)) return { problems: shape }

  const { tree, faults } = compile(raw.when)
  const problems = [
    ...faults.map((fault) => at(['when'], fault)),
    ...termFaults(raw).map(([field, message]) => at([field], message)),
    ...exampleFaults(raw, tree, catalogue, at),
  ]
  if (problems.length > 0 || !tree) return { problems }
  const { id, code, mode, weight, outcome, basis, when } = raw
  const gives = weight === undefined ? {} : { weight }
  const asks = outcome === undefined ? {} : { outcome, basis: basis ?? 'risk' }
  const lookedAt = new Set(refsOf(tree))
  const borrows = [...catalogue.values()].some(({ borrowed, index }) => borrowed === true && lookedAt.has(index)) ? { borrowed: true as const } : {}
  const rule: Rule = { id, family, code, mode, when, tree, ...gives, ...asks, ...borrows }
  return { placed: { rule, message: raw.message, fault: (field, message) => at([field], message) }, problems }
}

/** What the fields must agree on among themselves, as [field, words]. */
function termFaults(rule: RuleText): [string, string][] {
  const faults: [string, string][] = []
  const { weight, outcome, basis } = rule
  const bothOrNeither = (weight === undefined) === (outcome === undefined)
  if (bothOrNeither) faults.push([weight === undefined ? 'id' : 'outcome', 'needs a weight or an outcome, and not both'])
  if (basis !== undefined && outcome === undefined) faults.push(['basis', 'only a rule with an outcome has a basis'])
  // CONTRACT: deny is for an identity that cannot exist and for published limits; suspicion alone never denies.
  const mayDeny = basis === 'identity' || basis === 'policy'
  const denies = outcome === 'deny'
  if (outcome !== undefined && denies !== mayDeny) faults.push(['outcome', 'deny goes with basis identity or policy, and they with deny'])
  if ((basis === 'policy') !== rule.code.startsWith('LIMIT_')) faults.push(['code', 'LIMIT_ codes go with basis policy, and it with them'])
  for (const language of ['zh', 'en'] as const) {
    if (/\d/.test(rule.message[language])) faults.push(['message', `${language} shows a number: patients are told no thresholds`])
    if (ACCUSING.test(rule.message[language])) faults.push(['message', `${language} accuses the patient`])
  }
  if (!/\p{Script=Han}/u.test(rule.message.zh)) faults.push(['message', 'zh is not in Chinese'])
  return faults
}

function exampleFaults(
  rule: RuleText, tree: Tree | undefined, catalogue: Catalogue, at: (path: readonly (string | number)[], message: string) => FileProblem,
): FileProblem[] {
  return (['hit', 'miss'] as const).flatMap((kind) => rule.examples[kind].flatMap((example, i) => {
    const wrong = Object.entries(example).flatMap(([feature, value]) => {
      const fault = valueFault(feature, value, catalogue)
      return fault ? [at(['examples', kind, i, feature], fault)] : []
    })
    if (wrong.length > 0 || !tree) return wrong
    try {
      if (isTrue(tree, toVector(example, catalogue)) === (kind === 'hit')) return []
      return [at(['examples', kind, i], kind === 'hit' ? 'this example does not hit' : 'this example hits')]
    } catch (error) {
      return [at(['examples', kind, i], `cannot be evaluated: ${error instanceof Error ? error.message.split('\n')[0] ?? '' : String(error)}`)]
    }
  }))
}

function valueFault(feature: string, value: FeatureValue, catalogue: Catalogue): string | undefined {
  const spec = catalogue.get(feature)
  if (!spec) return unknownFeature(feature, catalogue)
  return (spec.type === 'bool' ? 'boolean' : spec.type) === typeof value ? undefined : `${feature} is a ${spec.type}`
}

/** Ids used twice, and reason codes whose rules tell patients different things. */
function clashes(placed: readonly Placed[]): FileProblem[] {
  const problems: FileProblem[] = []
  const [ids, messages] = [new Set<string>(), new Map<string, string>()]
  for (const { rule, message, fault } of placed) {
    if (ids.has(rule.id)) problems.push(fault('id', 'this id is used twice'))
    ids.add(rule.id)
    const said = messages.get(rule.code)
    const says = canonicalText(message)
    if (said !== undefined && said !== says) problems.push(fault('message', `another rule with code ${rule.code} says something else`))
    messages.set(rule.code, said ?? says)
  }
  return problems
}
