import { EVENT_TYPES, type FieldError } from '../domain/event.js'
import { isMobile, looksLikeIdentity, normaliseId, normalisePhone } from './identity.js'
import { isObject, type Json } from './json.js'

export interface Requirements {
  /** Only booking.requested will do; anything else is an error at /type. */
  requestOnly?: boolean
}

/**
 * What an event must satisfy besides its schema. Takes the known fields, well-formed or not: a value of a wrong type is
 * the schema's to name and passes here.
 */
export function unmetRequirements(fields: Json, requirements: Requirements): FieldError[] {
  return [...missing(fields), ...wrongIdentity(fields), ...wrongType(fields, requirements)]
}

/** A type that is no type at all is named by the schema already. */
function wrongType({ type }: Json, { requestOnly = false }: Requirements): FieldError[] {
  const isOther = requestOnly && type !== 'booking.requested' && (EVENT_TYPES as readonly unknown[]).includes(type)
  return isOther ? [{ path: '/type', message: 'booking.requested is expected' }] : []
}

/** Members that a type needs besides the common three: the outer one, and the one in it (CONTRACT section 1). */
type Member = readonly [outer: string, inner?: string]
const ORDER: Member = ['order_id']
const REQUEST: readonly Member[] = [
  ORDER, ['channel', 'id'], ['channel', 'kind'], ['patient', 'id_type'], ['slot', 'hospital_id'], ['slot', 'schedule_id'],
]
const REQUEST_WITH_ACCOUNT: readonly Member[] = [...REQUEST, ['account', 'id']]
/** Where people book through somebody else's hands, there is no account of their own. */
const KINDS_WITHOUT_ACCOUNT: readonly unknown[] = ['phone', 'kiosk', 'window']

/** What the schema cannot say: it depends on the type of the event and the kind of its channel. */
function missing(fields: Json): FieldError[] {
  const { type, channel, patient } = fields
  if (typeof type !== 'string' || !type.startsWith('booking.')) return []
  if (type !== 'booking.requested') return missingOf(fields, [ORDER])
  const isHandled = isObject(channel) && KINDS_WITHOUT_ACCOUNT.includes(channel['kind'])
  const errors = missingOf(fields, isHandled ? REQUEST : REQUEST_WITH_ACCOUNT)
  const isAnonymous = isObject(patient) && patient['id_number'] === undefined && patient['id_token'] === undefined
  return isAnonymous ? [...errors, { path: '/patient/id_number', message: 'id_number or id_token is missing' }] : errors
}

/** Names the outermost member that is missing, once: /patient rather than /patient/id_type. */
function missingOf(fields: Json, members: readonly Member[]): FieldError[] {
  const paths: string[] = []
  for (const [outer, inner] of members) {
    const value = fields[outer]
    if (value === undefined) paths.push(`/${outer}`)
    else if (inner !== undefined && isObject(value) && value[inner] === undefined) paths.push(`/${outer}/${inner}`)
  }
  return [...new Set(paths)].map((path) => ({ path, message: 'is missing; this type of event needs it' }))
}

/** Ids that the product keeps as they are: none of them may be made of the patient's ID number or phone. */
const PLAIN_IDS: readonly Member[] = [
  ['event_id'], ORDER, ['channel', 'id'],
  ['slot', 'hospital_id'], ['slot', 'department_id'], ['slot', 'doctor_id'], ['slot', 'schedule_id'], ['slot', 'slot_id'],
]
/** Shorter ones, and phones that are no mobile numbers (placeholders, dates), would be found in ids by chance. */
const MIN_IDENTITY_LENGTH = 9

/** Identities that stand where they must not. */
function wrongIdentity(fields: Json): FieldError[] {
  const { patient } = fields
  if (!isObject(patient)) return []
  const [idNumber, idToken, phone] = [patient['id_number'], patient['id_token'], patient['phone']]
  const id = typeof idNumber === 'string' ? normaliseId(idNumber) : undefined
  const mobile = typeof phone === 'string' ? normalisePhone(phone) : ''
  const errors: FieldError[] = []
  const refuse = (path: string, message: string): unknown => errors.push({ path, message })
  if (id === '') refuse('/patient/id_number', 'letters or digits are expected')
  if (idToken !== undefined && idNumber !== undefined) refuse('/patient/id_token', 'id_number or id_token is expected, not both')
  if (typeof idToken === 'string' && looksLikeIdentity(idToken)) refuse('/patient/id_token', 'a token is expected, not an ID or phone number')
  const secrets = [id ?? '', isMobile(mobile) ? mobile : ''].filter((secret) => secret.length >= MIN_IDENTITY_LENGTH)
  for (const [outer, inner] of PLAIN_IDS) {
    const value = fields[outer]
    const plain = inner === undefined ? value : isObject(value) ? value[inner] : undefined
    if (typeof plain !== 'string' || !holdsAny(plain, secrets)) continue
    refuse(inner === undefined ? `/${outer}` : `/${outer}/${inner}`, 'an id without the patient\'s ID number or phone is expected')
  }
  return errors
}

function holdsAny(plain: string, secrets: readonly string[]): boolean {
  if (plain.length < MIN_IDENTITY_LENGTH) return false
  const text = plain.toUpperCase()
  return secrets.some((secret) => text.includes(secret))
}
