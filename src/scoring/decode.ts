import { isUtf8 } from 'node:buffer'
import { Ajv, type DefinedError, type ErrorObject } from 'ajv'
import type { FieldError } from '../domain/event.js'
import { BookingEventSchema, type BookingEventInput } from './event-schema.js'
import { parseCivilDate, parseInstant, parseIp } from './formats.js'
import { canonicalJson, isObject, keepKnown, nestsDeeperThan, type Json } from './json.js'
import { unmetRequirements, type Requirements } from './requirements.js'

/** One event, envelope included. */
export const MAX_EVENT_BYTES = 64 * 1024
const MAX_DEPTH = 32

export type Decoded =
  /** `canonical`: RFC 8785 of the known fields, unwrapped. It holds identities: hash it, never keep it. */
  | { ok: true; input: BookingEventInput; canonical: string }
  /** `eventId`: only when it is a valid one. No message quotes what was sent. */
  | { ok: false; eventId?: string; errors: FieldError[] }

/**
 * Reads one booking event: bytes, text, or a JSON value that somebody parsed before (never changed here).
 * Never throws. Unknown fields are left behind; every fault is named at once, each by a JSON pointer into what was sent.
 */
export function decode(body: Buffer | string | { json: unknown }, requirements: Requirements = {}): Decoded {
  const parsed = typeof body === 'object' && 'json' in body ? { json: body.json } : parse(body)
  if ('fault' in parsed) return { ok: false, errors: [parsed.fault] }
  if (nestsDeeperThan(MAX_DEPTH, parsed.json)) return refused('', `nesting of at most ${MAX_DEPTH} levels is expected`)
  const unwrapped = unwrap(parsed.json)
  if ('fault' in unwrapped) return { ok: false, errors: [unwrapped.fault] }
  const { json, at } = unwrapped
  if (!isObject(json)) return refused(at, 'an event object is expected')
  return check(keepKnownFields(json), at, requirements)
}

type Parsed = { json: unknown } | { fault: FieldError }

const refused = (path: string, message: string): Decoded => ({ ok: false, errors: [{ path, message }] })

function parse(body: Buffer | string, path = ''): Parsed {
  const bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  if (bytes > MAX_EVENT_BYTES) return { fault: { path, message: `at most ${MAX_EVENT_BYTES} bytes are expected` } }
  if (typeof body !== 'string' && !isUtf8(body)) return { fault: { path, message: 'UTF-8 text is expected' } }
  try {
    return { json: JSON.parse(body.toString()) as unknown }
  } catch {
    // The parser's own message quotes the text, and the text holds an identity.
    return { fault: { path, message: 'valid JSON is expected' } }
  }
}

/** Takes the event out of a CloudEvents 1.0 envelope, if it is in one. `at` is where it was. */
function unwrap(json: unknown): { json: unknown; at: string } | { fault: FieldError } {
  if (!isObject(json) || !Object.hasOwn(json, 'specversion')) return { json, at: '' }
  if (json['specversion'] !== '1.0') return { fault: { path: '/specversion', message: 'CloudEvents 1.0 is expected' } }
  const encoded = json['data_base64']
  if (encoded === undefined) return { json: json['data'], at: '/data' }
  if (typeof encoded !== 'string' || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(encoded)) {
    return { fault: { path: '/data_base64', message: 'base64 is expected' } }
  }
  const parsed = parse(Buffer.from(encoded, 'base64'), '/data_base64')
  if ('fault' in parsed) return parsed
  const isDeep = nestsDeeperThan(MAX_DEPTH, parsed.json)
  return isDeep ? { fault: { path: '/data_base64', message: `nesting of at most ${MAX_DEPTH} levels is expected` } } : { ...parsed, at: '/data' }
}

const keepKnownFields = keepKnown(BookingEventSchema)
const ajv = new Ajv({
  allErrors: true,
  formats: {
    'date-time': (text: string) => parseInstant(text) !== undefined,
    date: (text: string) => parseCivilDate(text) !== undefined,
    ip: (text: string) => parseIp(text) !== undefined,
  },
})
const isWellFormed = ajv.compile<BookingEventInput>(BookingEventSchema)

function check(fields: Json, at: string, requirements: Requirements): Decoded {
  const unmet = unmetRequirements(fields, requirements)
  if (isWellFormed(fields) && unmet.length === 0) return { ok: true, input: fields, canonical: canonical(fields) }
  const errors = [...(isWellFormed.errors ?? []).map(toFieldError), ...unmet]
  const eventId = errors.some((error) => error.path === '/event_id') ? undefined : fields['event_id']
  const located = errors.map(({ path, message }) => ({ path: at + path, message }))
  return { ok: false, ...(typeof eventId === 'string' && { eventId }), errors: located }
}

/** The copy has its names sorted already; only the free-form members, which are rare, need sorting now. */
function canonical(input: BookingEventInput): string {
  return input.subject === undefined && input.report === undefined ? JSON.stringify(input) : canonicalJson(input)
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'a string', boolean: 'true or false', integer: 'a whole number', number: 'a number', object: 'an object',
}
const FORMAT_NAMES: Readonly<Record<string, string>> = {
  'date-time': 'an RFC 3339 time with an offset, such as 2026-11-20T07:00:00.412+08:00,',
  date: 'a date that exists, YYYY-MM-DD,',
  ip: 'an IPv4 or IPv6 address',
}

/** Our own words for what the schema found: what is expected, never what was sent. */
function toFieldError(error: ErrorObject): FieldError {
  const defined = error as DefinedError
  if (defined.keyword === 'required') return { path: `${defined.instancePath}/${defined.params.missingProperty}`, message: 'is missing' }
  return { path: defined.instancePath, message: `${expected(defined)} is expected` }
}

function expected(error: DefinedError): string {
  if (error.keyword === 'type') return TYPE_NAMES[error.params.type] ?? 'another type'
  if (error.keyword === 'format') return FORMAT_NAMES[error.params.format] ?? 'another format'
  if (error.keyword === 'enum') return `one of ${error.params.allowedValues.join(', ')}`
  if (error.keyword === 'minLength') return `a length of at least ${error.params.limit}`
  if (error.keyword === 'maxLength') return `a length of at most ${error.params.limit}`
  if (error.keyword === 'minimum') return `a number of at least ${error.params.limit}`
  if (error.keyword === 'maximum') return `a number of at most ${error.params.limit}`
  return error.instancePath === '/patient/id_type' ? 'a code of 1 to 8 letters and digits' : 'text without control characters'
}
