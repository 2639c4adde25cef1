import { BASES, DEGRADED, OUTCOMES } from '../domain/decision.js'
import { HOLD_STATUSES } from '../domain/hold.js'
import { BookingEventSchema } from '../scoring/event-schema.js'
import { policyPatchSchema } from '../scoring/policy.js'
import { PROBLEM_JSON } from './present-error.js'

/** JSON Schemas of everything on the wire: Fastify checks request bodies with them, /openapi.json shows them, tests hold answers against them. */

type Schema = Readonly<Record<string, unknown>>
interface Content { content: Record<string, { schema: Schema }> }

export const ref = (name: string): { $ref: string } => ({ $ref: `${name}#` })

export const json = (schema: Schema, ...types: string[]): Content => ({ content: Object.fromEntries(types.map((type) => [type, { schema }])) })

const TITLES: Readonly<Record<number, string>> = {
  400: 'not valid: `errors` names the places', 401: 'no key, or not a known one', 403: 'not with this key', 404: 'no such thing', 409: 'conflict',
  410: 'too old to be told from a repeat', 413: 'body too large', 415: 'not a media type this call takes', 429: 'too many: see Retry-After', 503: 'overloaded or a store is away: see Retry-After',
}

/** The problem answers of a route, by status. */
export const errors = (...statuses: number[]): Record<number, Content & { description: string }> =>
  Object.fromEntries(statuses.map((status) => [status, { description: TITLES[status] ?? 'problem', ...json(ref('Problem'), PROBLEM_JSON) }]))

/** An id in a path or query, as the event schema lets it in. */
export const idText = { type: 'string', minLength: 1, maxLength: 128, pattern: '^[^\\p{Cc}\\p{Cs}]*$' } as const
export const params = (name: string): Schema => ({ type: 'object', required: [name], properties: { [name]: idText } })

const text = { type: 'string' } as const
const time = { type: 'string', format: 'date-time' } as const
const count = { type: 'integer', minimum: 0 } as const
const oneOf = (values: readonly string[]): Schema => ({ type: 'string', enum: values })
const list = (items: Schema): Schema => ({ type: 'array', items })
const object = (properties: Record<string, Schema>, optional: readonly string[] = [], more: Schema = {}): Schema =>
  ({ type: 'object', required: Object.keys(properties).filter((name) => !optional.includes(name)), properties, ...more })
const strict = { additionalProperties: false } as const

const message = object({ zh: text, en: text })
const reason = object({ code: text, message })
const onExpiry = oneOf(['confirm', 'return_to_pool'])
const fieldErrors = list(object({ path: { type: 'string', description: 'JSON pointer; empty: the whole' }, message: text }))
const scalar = { type: ['number', 'boolean', 'string'] } as const

const decision = {
  decision_id: text, event_id: text, order_id: text, decided_at: time,
  outcome: oneOf(OUTCOMES), basis: oneOf(BASES),
  score: { type: ['number', 'null'], minimum: 0, maximum: 1, description: 'calibrated probability; null when no model answered' },
  reasons: list(reason),
  challenge: object({ kind: oneOf(['face', 'sms', 'captcha', 'id_document']) }),
  throttle: object({ retry_after_ms: count }),
  hold: object({ hold_id: text, expires_at: time, on_expiry: onExpiry }),
  degraded: list(oneOf(DEGRADED)),
  versions: object({ rules: text, model: { type: ['string', 'null'] }, policy: text }),
}
const OPTIONAL_IN_DECISION = ['challenge', 'throttle', 'hold']

const ruleHit = object({
  rule: text, family: text, code: text, mode: oneOf(['live', 'shadow']), weight: { type: 'number' }, outcome: oneOf(OUTCOMES),
  comparisons: list(object({ feature: text, value: scalar, operator: text, threshold: { anyOf: [scalar, list(scalar)] } })),
}, ['weight', 'outcome'])

const review = object({
  would_be: object({ outcome: oneOf(OUTCOMES), basis: oneOf(BASES), reasons: list(reason) }),
  enforcement: oneOf(['observe', 'enforce']), rule_score: { type: 'number' },
  rule_hits: list(ruleHit), shadow_hits: list(ruleHit), rule_errors: list(text),
  features: { type: 'object', additionalProperties: scalar }, saturated: list(text),
})

const hold = {
  hold_id: text, event_id: text, order_id: text, status: oneOf(HOLD_STATUSES), placed_at: time, expires_at: time, on_expiry: onExpiry,
  resolved_at: time, action: oneOf(['confirm', 'return_to_pool', 'none']), hospital_id: text, schedule_id: text, resolved_by: text, reason: text,
}
const OPTIONAL_IN_HOLD = ['resolved_at', 'action', 'hospital_id', 'schedule_id', 'resolved_by', 'reason']

const { thresholds, hold: lease, throttle: queue } = policyPatchSchema.properties
const policy = {
  enforcement: oneOf(['observe', 'enforce']),
  thresholds,
  challenge_kind: oneOf(['face', 'sms', 'captcha', 'id_document']),
  hold: object({ for_ms: lease.properties.forMs, on_expiry: onExpiry }, ['for_ms', 'on_expiry'], strict),
  throttle: object({ wait_ms: queue.properties.waitMs, spacing_ms: queue.properties.spacingMs }, ['wait_ms', 'spacing_ms'], strict),
  degraded_velocity: oneOf(['allow', 'challenge']),
}
const POLICY_MEMBERS = Object.keys(policy)

/** Under `components/schemas` of /openapi.json. */
export const COMPONENTS: Readonly<Record<string, Schema>> = {
  BookingEvent: BookingEventSchema,
  Decision: object(decision, OPTIONAL_IN_DECISION),
  ReviewedDecision: object({ ...decision, review }, OPTIONAL_IN_DECISION),
  Problem: object({ type: text, title: text, status: { type: 'integer' }, detail: text, errors: fieldErrors, hold: ref('Hold') }, ['errors', 'hold']),
  EventsAnswer: object({
    accepted: count, duplicates: count,
    rejected: list(object({ index: count, event_id: { type: ['string', 'null'] }, status: { type: 'integer', enum: [400, 409, 410] }, errors: fieldErrors })),
  }),
  Hold: object(hold, OPTIONAL_IN_HOLD),
  HoldPage: object({ items: list(ref('Hold')), next_cursor: { type: ['string', 'null'] } }),
  Resolve: object({ reason: { type: 'string', minLength: 1, maxLength: 500, description: 'no ID or phone number' } }, [], strict),
  PolicyState: object({
    hospital_id: text, policy: object(policy), override: { anyOf: [object(policy, POLICY_MEMBERS), { type: 'null' }] },
    version: text, revision: { ...count, description: '0: nobody has set anything yet' }, changed_by: text, changed_at: time,
  }, ['changed_by', 'changed_at']),
  PolicyPut: object({ ...policy, expected_revision: count }, [...POLICY_MEMBERS, 'expected_revision'], strict),
  Health: object({ status: { type: 'string', enum: ['ok'] }, version: text }),
  Readiness: object({
    status: oneOf(['ready', 'not_ready']),
    checks: { type: 'object', additionalProperties: object({ ok: { type: 'boolean' }, detail: text }, ['detail']) },
  }),
}
