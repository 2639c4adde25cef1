import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { CANCELLED_BY, CHANNEL_KINDS, EVENT_TYPES, RELATIONS } from '../domain/event.js'

/**
 * The booking event as it comes over the wire (CONTRACT section 1), for the check at the door and for OpenAPI.
 * What a type needs besides is in decode.ts. Unknown fields are ignored, so the schema leaves objects open.
 */

/** No control characters and no lone surrogates: PostgreSQL and UTF-8 cannot keep them. */
const PRINTABLE = '^[^\\p{Cc}\\p{Cs}]*$'

const id = (description: string) => Type.String({ minLength: 1, maxLength: 128, pattern: PRINTABLE, description })
const label = (description: string) => Type.String({ maxLength: 256, description })
const freeText = (description: string) => Type.String({ maxLength: 4000, description: `${description} Never stored.` })
const time = (description: string) => Type.String({ format: 'date-time', description: `${description} RFC 3339 with an offset.` })
const count = (description: string) => Type.Integer({ minimum: 0, maximum: 1_000_000_000, description })
const flag = (description: string) => Type.Boolean({ description })
const years = (description: string) => Type.Integer({ minimum: 0, maximum: 200, description: `${description} In whole years.` })
const oneOf = <T extends string>(values: readonly T[], description: string) => Type.Unsafe<T>({ type: 'string', enum: [...values], description })
const maybe = <T extends TSchema>(schema: T) => Type.Optional(schema)

const SEX = ['M', 'F'] as const

const Channel = Type.Object({
  id: maybe(id('The channel, such as a mini program or a phone line.')),
  kind: maybe(oneOf(CHANNEL_KINDS, 'What sort of channel it is.')),
}, { description: 'Where the event came in.' })

const Account = Type.Object({
  id: maybe(id('The account at the platform.')),
  registered_at: maybe(time('When the account was made.')),
})

const Patient = Type.Object({
  id_type: maybe(Type.String({ pattern: '^[0-9A-Za-z]{1,8}$', description: 'WS 364 CV02.01.101: 01 resident ID, 03 passport, ...' })),
  id_number: maybe(id('The ID number. Becomes a keyed token at the door.')),
  id_token: maybe(id('Instead of id_number: a token made by the caller. Hashed again; refused when it looks like an ID or phone number.')),
  name: maybe(Type.String({ minLength: 1, maxLength: 128, description: 'The name. Becomes a keyed token at the door.' })),
  phone: maybe(Type.String({ minLength: 1, maxLength: 64, description: 'The phone number. Becomes a keyed token at the door.' })),
  sex: maybe(oneOf(SEX, 'Sex as the caller knows it.')),
  birth_date: maybe(Type.String({ format: 'date', description: 'Birth date as the caller knows it, YYYY-MM-DD.' })),
  relation: maybe(Type.String({ maxLength: 64, description: `To the account: ${RELATIONS.join(', ')}. Unknown values read as other.` })),
  bound_at: maybe(time('When the patient joined the account.')),
})

const Slot = Type.Object({
  hospital_id: maybe(id('The hospital.')),
  department_id: maybe(id('The department.')),
  doctor_id: maybe(id('The doctor.')),
  clinic: maybe(oneOf(['ordinary', 'expert', 'special'] as const, 'The sort of clinic.')),
  schedule_id: maybe(id('One doctor\'s session.')),
  slot_id: maybe(id('One place in the session. Without it there are no custody features.')),
  visit_at: maybe(time('When the visit is.')),
  released_at: maybe(time('First public release of the slot.')),
  fee_fen: maybe(count('Price in fen.')),
  sex_limit: maybe(oneOf(['any', ...SEX] as const, 'Whom the slot takes.')),
  age_min: maybe(years('Youngest patient the slot takes.')),
  age_max: maybe(years('Oldest patient the slot takes.')),
})

const Device = Type.Object({
  id: maybe(id('The device.')),
  model: maybe(label('Its model.')),
  os: maybe(label('Its operating system.')),
  app_version: maybe(label('Version of the app.')),
  emulator: maybe(flag('It is an emulator.')),
  rooted: maybe(flag('It is rooted.')),
})

const Network = Type.Object({
  ip: maybe(Type.String({ format: 'ip', description: 'IPv4 or IPv6 address.' })),
  proxy: maybe(flag('A proxy or VPN.')),
  datacenter: maybe(flag('An address of a data centre.')),
})

const Session = Type.Object({
  id: maybe(id('The session.')),
  opened_at: maybe(time('When it was opened.')),
  page_views: maybe(count('Pages seen before this event.')),
  captcha_ms: maybe(Type.Number({ minimum: 0, maximum: 1_000_000_000, description: 'Milliseconds the captcha took.' })),
})

export const BookingEventSchema = Type.Object({
  event_id: id('Unique. The same id always gets the same answer.'),
  type: oneOf(EVENT_TYPES, 'What happened. Only booking.requested is scored.'),
  occurred_at: time('When it happened.'),
  order_id: maybe(id('The order. Needed by every booking.* type.')),
  channel: maybe(Channel),
  account: maybe(Account),
  patient: maybe(Patient),
  slot: maybe(Slot),
  device: maybe(Device),
  network: maybe(Network),
  session: maybe(Session),
  payer: maybe(Type.Object({ id: maybe(id('Who pays.')) })),
  operator: maybe(Type.Object({ id: maybe(id('The person at the desk.')), seat: maybe(id('Their seat.')) })),
  cancel: maybe(Type.Object({ by: maybe(oneOf(CANCELLED_BY, 'Who gave the slot back.')), reason: maybe(freeText('Why.')) })),
  verification: maybe(Type.Object({ kind: maybe(oneOf(['face', 'sms', 'captcha', 'id_document'] as const, 'What was checked.')) })),
  count: maybe(count('schedule.released: how many slots.')),
  re_release: maybe(flag('schedule.released: a returned slot comes back.')),
  reason: maybe(freeText('schedule.stopped: why.')),
  subject: maybe(Type.Unknown({ description: 'abuse.reported: whom it is about. Free form, never stored.' })),
  report: maybe(Type.Unknown({ description: 'abuse.reported: what was seen. Free form, never stored.' })),
}, { $id: 'BookingEvent', description: 'One event of the booking platform (CONTRACT section 1). Unknown fields are ignored.' })

/** A booking event that passed the door, still with its identities: it must go no further than tokenise.ts. */
export type BookingEventInput = Static<typeof BookingEventSchema>
