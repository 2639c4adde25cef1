import { createBLAKE3 } from 'hash-wasm'
import {
  RELATIONS, type Account, type BookingEvent, type Channel, type Device, type Network, type Patient, type Relation, type ResidentId,
  type Session, type Slot, type Token,
} from '../domain/event.js'
import type { BookingEventInput } from './event-schema.js'
import { parseCivilDate, parseInstant, parseIp } from './formats.js'
import {
  ageOn, civilDateAt, holdsLongNumber, isMobile, isNameForm, isVirtualOperator, normaliseId, normaliseName, normalisePhone, readResidentId,
} from './identity.js'

/** The same text gets another token in each, so that no token can be looked up across them. */
export type TokenNamespace =
  | 'patient' | 'patient_token' | 'id_prefix' | 'name' | 'phone' | 'phone_prefix'
  | 'account' | 'device' | 'payer' | 'operator' | 'seat' | 'ip' | 'ip_prefix'

export interface Tokeniser {
  /** 128-bit keyed hash of `namespace \0 value`, 32 lower-case hex characters. The value must be normalised. */
  token: (namespace: TokenNamespace, value: string) => Token
  /** The same for a whole canonical event, in a namespace of its own. */
  bodyHash: (canonical: string) => string
}

/** Keyed BLAKE3 (docs/identity.md says why). Throws a RangeError unless the key has 32 bytes. */
export async function createTokeniser(key: Uint8Array): Promise<Tokeniser> {
  if (key.length !== 32) throw new RangeError('the token key must have 32 bytes')
  // One hasher for all: init, update and digest run without a pause in between, so no two tokens can mix.
  const hasher = await createBLAKE3(128, key)
  // And one buffer for what is hashed: a dozen small ones per event would cost as much as the hashing.
  const bytes = Buffer.alloc(16 * 1024)
  const hash = (namespace: TokenNamespace | 'body', value: string): string => {
    const text = `${namespace}\0${value}`
    // Three bytes per UTF-16 unit at most: where that might not fit, let the library take its own copy.
    const input = text.length * 3 <= bytes.length ? bytes.subarray(0, bytes.write(text)) : text
    return hasher.init().update(input).digest('hex')
  }
  return { token: hash, bodyHash: (canonical) => hash('body', canonical) }
}

/**
 * The event as it may live behind the door: identities become tokens, free text is dropped, times become epoch
 * milliseconds, absent stays absent. `zone` is the IANA time zone of calendar values.
 * A part without the ids that make it one (an account without id, a slot without schedule) is left out;
 * a device or network without one still tells what it is.
 */
export function toBookingEvent(input: BookingEventInput, tokeniser: Tokeniser, zone: string): BookingEvent {
  const occurredAt = instant(input.occurred_at)
  return present<BookingEvent>({
    eventId: input.event_id,
    type: input.type,
    occurredAt,
    orderId: input.order_id,
    channel: channelOf(input.channel),
    account: accountOf(input.account, tokeniser),
    patient: patientOf(input, occurredAt, tokeniser, zone),
    slot: slotOf(input.slot),
    device: input.device && nonEmpty(deviceOf(input.device, tokeniser)),
    network: input.network && nonEmpty(networkOf(input.network, tokeniser)),
    session: input.session && nonEmpty(sessionOf(input.session)),
    payer: input.payer?.id === undefined ? undefined : { token: tokeniser.token('payer', input.payer.id) },
    operator: input.operator && nonEmpty(operatorOf(input.operator, tokeniser)),
    cancel: input.cancel?.by && { by: input.cancel.by },
    verification: input.verification?.kind && { kind: input.verification.kind },
    count: input.count,
    reRelease: input.re_release,
  })
}

/** Every field of T must be listed, so that none is forgotten; optional ones may be undefined. */
type Listed<T> = { [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K> ? T[K] | undefined : T[K] }

/** Leaves out what is undefined: the event is written to a journal, and absent means absent. */
function present<T extends object>(fields: Listed<T>): T {
  const kept: Partial<Listed<T>> = {}
  for (const name in fields) if (fields[name] !== undefined) kept[name] = fields[name]
  return kept as T
}

const nonEmpty = <T extends object>(part: T): T | undefined => Object.keys(part).length > 0 ? part : undefined

/** The schema has let in only instants that can be read. */
function instant(text: string): number {
  const ms = parseInstant(text)
  if (ms === undefined) throw new TypeError('an instant that passed the schema cannot be read')
  return ms
}

const instantOf = (text: string | undefined): number | undefined => text === undefined ? undefined : instant(text)
const plain = (text: string | undefined): string | undefined => text === undefined || text === '' || holdsLongNumber(text) ? undefined : text

type Part<K extends keyof BookingEventInput> = BookingEventInput[K]
type Given<K extends keyof BookingEventInput> = NonNullable<BookingEventInput[K]>

const channelOf = (channel: Part<'channel'>): Channel | undefined =>
  channel?.id !== undefined && channel.kind !== undefined ? { id: channel.id, kind: channel.kind } : undefined

function accountOf(account: Part<'account'>, { token }: Tokeniser): Account | undefined {
  if (account?.id === undefined) return undefined
  return present<Account>({ token: token('account', account.id), registeredAt: instantOf(account.registered_at) })
}

function slotOf(slot: Part<'slot'>): Slot | undefined {
  if (slot?.hospital_id === undefined || slot.schedule_id === undefined) return undefined
  return present<Slot>({
    hospitalId: slot.hospital_id,
    scheduleId: slot.schedule_id,
    departmentId: slot.department_id,
    doctorId: slot.doctor_id,
    clinic: slot.clinic,
    slotId: slot.slot_id,
    visitAt: instantOf(slot.visit_at),
    releasedAt: instantOf(slot.released_at),
    feeFen: slot.fee_fen,
    sexLimit: slot.sex_limit,
    ageMin: slot.age_min,
    ageMax: slot.age_max,
  })
}

function deviceOf(device: Given<'device'>, { token }: Tokeniser): Device {
  return present<Device>({
    token: device.id === undefined ? undefined : token('device', device.id),
    model: plain(device.model),
    os: plain(device.os),
    appVersion: plain(device.app_version),
    emulator: device.emulator,
    rooted: device.rooted,
  })
}

function networkOf(network: Given<'network'>, { token }: Tokeniser): Network {
  const ip = network.ip === undefined ? undefined : parseIp(network.ip)
  return present<Network>({
    ipToken: ip && token('ip', ip.address),
    prefixToken: ip && token('ip_prefix', ip.network),
    proxy: network.proxy,
    datacenter: network.datacenter,
  })
}

const sessionOf = (session: Given<'session'>): Session => present<Session>({
  id: plain(session.id), openedAt: instantOf(session.opened_at), pageViews: session.page_views, captchaMs: session.captcha_ms,
})

function operatorOf({ id, seat }: Given<'operator'>, { token }: Tokeniser): NonNullable<BookingEvent['operator']> {
  return present<NonNullable<BookingEvent['operator']>>({
    token: id === undefined ? undefined : token('operator', id),
    seatToken: seat === undefined ? undefined : token('seat', seat),
  })
}

function patientOf({ patient, slot }: BookingEventInput, occurredAt: number, tokeniser: Tokeniser, zone: string): Patient | undefined {
  const id = patient?.id_number === undefined ? undefined : normaliseId(patient.id_number)
  if (!patient || (id === undefined && patient.id_token === undefined)) return undefined
  const reading = id !== undefined && patient.id_type === '01' ? readResidentId(id, civilDateAt(occurredAt, zone)) : undefined
  const statedBirth = patient.birth_date === undefined ? undefined : parseCivilDate(patient.birth_date)
  const birth = statedBirth ?? reading?.birth
  return present<Patient>({
    token: id !== undefined ? tokeniser.token('patient', id) : tokeniser.token('patient_token', patient.id_token ?? ''),
    // Only a request must name the type; an event that binds or verifies somebody may leave it out.
    idType: patient.id_type ?? '',
    id: id === undefined || !reading ? undefined : present<ResidentId>({
      possible: reading.possible,
      checksumValid: reading.checksumValid,
      prefixToken: tokeniser.token('id_prefix', id.slice(0, 14)),
      province: reading.province,
      sexAgrees: patient.sex === undefined || reading.sex === undefined ? undefined : patient.sex === reading.sex,
      birthDateAgrees: statedBirth === undefined || reading.birth === undefined ? undefined : statedBirth === reading.birth,
    }),
    name: nameOf(patient.name, tokeniser),
    phone: phoneOf(patient.phone, tokeniser),
    sex: patient.sex ?? reading?.sex,
    age: birth === undefined ? undefined : ageOn(civilDateAt(instantOf(slot?.visit_at) ?? occurredAt, zone), birth),
    relation: relationOf(patient.relation),
    boundAt: instantOf(patient.bound_at),
  })
}

function nameOf(text: string | undefined, { token }: Tokeniser): Patient['name'] {
  const name = text === undefined ? '' : normaliseName(text)
  return name === '' ? undefined : { token: token('name', name), valid: isNameForm(name) }
}

function phoneOf(text: string | undefined, { token }: Tokeniser): Patient['phone'] {
  const phone = text === undefined ? '' : normalisePhone(text)
  if (phone === '') return undefined
  return {
    token: token('phone', phone),
    prefixToken: token('phone_prefix', phone.slice(0, 7)),
    virtualOperator: isVirtualOperator(phone),
    valid: isMobile(phone),
  }
}

const relationOf = (text: string | undefined): Relation | undefined =>
  text === undefined ? undefined : RELATIONS.find((relation) => relation === text) ?? 'other'
