import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FieldError } from '../domain/event.js'
import type { Policy, PolicyPatch, StoredPolicy } from '../domain/policy.js'
import { parseDuration, type FileProblem } from './counters.js'
import { canonicalText, pathOf, readYaml, shapeErrors, shortHash } from './yaml-file.js'

const oneOf = <T extends string>(...values: T[]) => Type.Union(values.map((value) => Type.Literal(value)), { description: values.join(' or ') })
const strict = { additionalProperties: false }

/** A threshold of 101 is never reached: it switches that outcome off. */
const threshold = Type.Integer({ minimum: 1, maximum: 101, description: 'a whole number of points, 1 to 101' })
/** Milliseconds within what a patient may be asked to wait. */
const wait = (minimum: number, maximum: number) => Type.Integer({ minimum, maximum, description: `milliseconds from ${minimum} to ${maximum}` })

const PolicySchema = Type.Object({
  enforcement: oneOf('observe', 'enforce'),
  thresholds: Type.Object({ challenge: threshold, throttle: threshold, hold: threshold }, strict),
  challengeKind: oneOf('face', 'sms', 'captcha', 'id_document'),
  hold: Type.Object({ forMs: wait(60_000, 7 * 86_400_000), onExpiry: oneOf('confirm', 'return_to_pool') }, strict),
  throttle: Type.Object({ waitMs: wait(1_000, 600_000), spacingMs: wait(0, 60_000) }, strict),
  degradedVelocity: oneOf('allow', 'challenge'),
}, strict)

/** What a hospital may override: body of `PUT /v1/policies/{hospital_id}`. Anything absent is inherited. */
export const policyPatchSchema = Type.Partial(Type.Object({
  ...PolicySchema.properties,
  thresholds: Type.Partial(PolicySchema.properties.thresholds, strict),
  hold: Type.Partial(PolicySchema.properties.hold, strict),
  throttle: Type.Partial(PolicySchema.properties.throttle, strict),
}), strict)

const hospitalIds = Type.Array(Type.String({ minLength: 1 }), { description: 'a list of hospital ids' })
const regionSchema = Type.Composite([Type.Object({ hospitals: hospitalIds }), policyPatchSchema], strict)
const FileSchema = Type.Object({
  platform: Type.Optional(PolicySchema),
  regions: Type.Optional(Type.Record(Type.String(), regionSchema)),
  hospitals: Type.Optional(Type.Record(Type.String(), policyPatchSchema)),
}, { ...strict, description: 'a map of platform, regions and hospitals' })
type Region = Static<typeof regionSchema>

/** What rules/policies says, all files together. */
export interface FilePolicies {
  platform: Policy
  /** The region's patch for each hospital that is in one. */
  regionOf: ReadonlyMap<string, PolicyPatch>
  hospitals: ReadonlyMap<string, PolicyPatch>
}

/** A hospital's policy in force, the short hash that decisions carry, and what people set for it, if anything. */
export interface ResolvedPolicy { policy: Policy; version: string; override?: StoredPolicy }

export interface PolicyBook {
  /** Hospitals with a policy of their own, and the platform's. */
  readonly count: number
  of(hospitalId: string): ResolvedPolicy
  /** The same files under these overrides, which are all there are. */
  withOverrides(all: readonly StoredPolicy[]): PolicyBook
  /** Checks an override as a person sent it: shape, ranges, and thresholds in order once inheritance is resolved. */
  check(hospitalId: string, raw: unknown): { patch?: PolicyPatch; errors: FieldError[] }
}

/** Checks all policy files together; policies only come back without problems. Exactly one file has `platform`. */
export function checkPolicies(files: readonly { file: string; text: string }[]): { policies?: FilePolicies; problems: FileProblem[] } {
  const problems: FileProblem[] = []
  const parts: { place: (path: string[], message: string) => FileProblem; content: Static<typeof FileSchema> }[] = []
  for (const { file, text } of files) {
    const yaml = readYaml(file, text)
    const content = withMilliseconds(yaml.value)
    const wrong = yaml.problems.length > 0 ? yaml.problems
      : shapeErrors(FileSchema, content).map((e) => yaml.problem(asWritten(e.path), `${asWritten(e.path).join('.')}: ${e.message}`))
    problems.push(...wrong)
    if (wrong.length === 0 && Value.Check(FileSchema, content)) parts.push({ place: yaml.problem, content })
  }
  const platforms = parts.flatMap(({ content }) => content.platform ?? [])
  const [platform] = platforms
  if (problems.length === 0 && platforms.length !== 1) {
    problems.push({ file: 'rules/policies', line: 1, message: `'platform' is needed in one file, found in ${platforms.length}` })
  }
  if (problems.length > 0 || !platform) return { problems }

  const [regionOf, hospitals] = [new Map<string, PolicyPatch>(), new Map<string, PolicyPatch>()]
  for (const { place, content } of parts) {
    for (const [name, region] of Object.entries(content.regions ?? {})) {
      problems.push(...joinRegion(region, regionOf).map((m) => place(['regions', name, 'hospitals'], `region '${name}': ${m}`)))
    }
    for (const [id, patch] of Object.entries(content.hospitals ?? {})) {
      if (hospitals.has(id)) problems.push(place(['hospitals', id], `hospital '${id}' is in two files`))
      hospitals.set(id, patch)
    }
  }
  const policies = { platform, regionOf, hospitals }
  const orderFault = (id: string): string | undefined => thresholdFault(resolve(policies, id))
  for (const { place, content } of parts) {
    const places = [...(content.platform ? [['platform']] : []), ...Object.keys(content.hospitals ?? {}).map((id) => ['hospitals', id])]
    const inRegions = Object.entries(content.regions ?? {}).map(([name, { hospitals: [first] }]) => ({ path: ['regions', name], id: first ?? '' }))
    for (const { path, id } of [...places.map((path) => ({ path, id: path[1] ?? '' })), ...inRegions]) {
      const fault = orderFault(id)
      if (fault) problems.push(place(path, `${path.join('.')}: ${fault}`))
    }
  }
  return problems.length > 0 ? { problems } : { policies, problems }
}

function joinRegion({ hospitals, ...patch }: Region, regionOf: Map<string, PolicyPatch>): string[] {
  const twice = hospitals.filter((id) => regionOf.has(id))
  for (const id of hospitals) regionOf.set(id, patch)
  return twice.map((id) => `hospital '${id}' is already in a region`)
}

/** Files say `for: 30m`, `wait: 15s`, `spacing: 2s`; everywhere else the unit is in the name. */
const WRITTEN: Readonly<Record<string, string>> = { forMs: 'for', waitMs: 'wait', spacingMs: 'spacing' }

function withMilliseconds(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value as Record<string, unknown>).map(([key, v]) => {
    const inMs = Object.keys(WRITTEN).find((name) => WRITTEN[name] === key)
    // A text that is no duration stays a text, and the schema says what is expected there.
    return inMs ? [inMs, typeof v === 'string' ? parseDuration(v) ?? v : v] : [key, withMilliseconds(v)]
  }))
}

const asWritten = (pointer: string): (string | number)[] => pathOf(pointer).map((part) => WRITTEN[part] ?? part)

/** The policies of all hospitals, resolved beforehand: looking one up is a map read. */
export function createPolicyBook(files: FilePolicies, overrides: readonly StoredPolicy[]): PolicyBook {
  const stored = new Map(overrides.map((o) => [o.hospitalId, o]))
  const versioned = (policy: Policy, override?: StoredPolicy): ResolvedPolicy => ({ policy, version: shortHash(canonicalText(policy)), ...(override ? { override } : {}) })
  const platform = versioned(files.platform)
  const ids = new Set([...files.regionOf.keys(), ...files.hospitals.keys(), ...stored.keys()])
  // Only hospitals with a policy of their own have an entry, so made-up ids in events cannot fill the memory.
  const resolved = new Map([...ids].map((id) => [id, versioned(resolve(files, id, stored.get(id)?.patch), stored.get(id))]))
  return {
    count: resolved.size + 1,
    of: (hospitalId) => resolved.get(hospitalId) ?? platform,
    withOverrides: (all) => createPolicyBook(files, all),
    check: (hospitalId, raw) => {
      const errors = shapeErrors(policyPatchSchema, raw)
      if (errors.length > 0 || !Value.Check(policyPatchSchema, raw)) return { errors }
      const fault = thresholdFault(resolve(files, hospitalId, raw))
      return fault ? { errors: [{ path: '/thresholds', message: fault }] } : { patch: raw, errors }
    },
  }
}

function resolve(files: FilePolicies, hospitalId: string, override: PolicyPatch = {}): Policy {
  const patches = [files.regionOf.get(hospitalId), files.hospitals.get(hospitalId), override]
  return patches.reduce<Policy>((policy, patch) => patched(policy, patch ?? {}), files.platform)
}

function patched(base: Policy, patch: PolicyPatch): Policy {
  return {
    ...base, ...patch,
    thresholds: { ...base.thresholds, ...patch.thresholds },
    hold: { ...base.hold, ...patch.hold },
    throttle: { ...base.throttle, ...patch.throttle },
  }
}

function thresholdFault({ thresholds: { challenge, throttle, hold } }: Policy): string | undefined {
  return challenge <= throttle && throttle <= hold ? undefined : `thresholds must rise: challenge ${challenge}, throttle ${throttle}, hold ${hold}`
}
