import { combine, hash64, tokenWords, type Words } from '../domain/hash.js'
import type { BookingEvent, Slot } from '../domain/event.js'
import { DIMENSIONS, type Dimension } from './counters.js'
import { dimensionIndex, flagBit, verbIndex } from './plan.js'

/** 64-bit keys of everything an event touches: two words per dimension, both 0 when the event did not say. */
export type Keys = Uint32Array

/** What velocity needs of an event: when, which, what, about whom. */
export interface Facts {
  t: number
  id: Words
  verb: number
  flags: number
  keys: Keys
  feeFen: number
  order: Words | undefined
  slot: Words | undefined
}

/** Within this of the first public release a request counts as `at_release`. */
const AT_RELEASE_MS = 5_000

export const keyAt = (keys: Keys, dimension: number): Words => ({ hi: keys[dimension * 2] ?? 0, lo: keys[dimension * 2 + 1] ?? 0 })

const AT = Object.fromEntries(DIMENSIONS.map((name) => [name, dimensionIndex(name) * 2])) as Readonly<Record<Dimension, number>>

function setKey(keys: Keys, at: number, { hi, lo }: Words): void {
  keys[at] = hi
  keys[at + 1] = lo
}

function setToken(keys: Keys, at: number, token: string | undefined): void {
  if (token !== undefined) setKey(keys, at, tokenWords(token))
}

export function factsOf(event: BookingEvent): Facts {
  const keys = new Uint32Array(DIMENSIONS.length * 2)
  const { patient, slot, network, operator } = event
  setToken(keys, AT.patient, patient?.token)
  setToken(keys, AT.name, patient?.name?.token)
  setToken(keys, AT.phone, patient?.phone?.token)
  setToken(keys, AT.id_prefix, patient?.id?.prefixToken)
  setToken(keys, AT.account, event.account?.token)
  setToken(keys, AT.device, event.device?.token)
  setToken(keys, AT.payer, event.payer?.token)
  setToken(keys, AT.ip, network?.ipToken)
  setToken(keys, AT.ip_prefix, network?.prefixToken)
  setToken(keys, AT.seat, operator?.seatToken ?? operator?.token)
  if (event.channel) setKey(keys, AT.channel, hash64(event.channel.id))
  const id = hash64(event.eventId)
  // The contract wants an order of a request; one without is an order of its own.
  const order = event.orderId !== undefined ? hash64(event.orderId) : event.type === 'booking.requested' ? id : undefined
  return {
    t: event.occurredAt, id, verb: verbIndex(event.type), flags: flagsOf(event), keys, feeFen: slot?.feeFen ?? 0,
    order, slot: slot && setSlotKeys(keys, slot),
  }
}

/** Ids are only unique within their hospital, so a doctor's or schedule's key is its own id within it. Returns the slot's own key. */
function setSlotKeys(keys: Keys, { hospitalId, departmentId, doctorId, scheduleId, slotId }: Slot): Words | undefined {
  const hospital = hash64(hospitalId)
  setKey(keys, AT.hospital, hospital)
  setKey(keys, AT.schedule, combine(hospital, hash64(scheduleId)))
  if (departmentId !== undefined) setKey(keys, AT.department, combine(hospital, hash64(departmentId)))
  if (doctorId !== undefined) setKey(keys, AT.doctor, combine(hospital, hash64(doctorId)))
  return slotId === undefined ? undefined : combine(hospital, hash64(`${scheduleId}\n${slotId}`))
}

const BY_PATIENT = flagBit('by_patient'), SCARCE = flagBit('scarce'), BEFORE_RELEASE = flagBit('before_release'), AT_RELEASE = flagBit('at_release')

function flagsOf(event: BookingEvent): number {
  let flags = 0
  const { slot } = event
  if (event.type === 'booking.cancelled' && (event.cancel?.by === 'patient' || event.cancel?.by === 'window')) flags |= BY_PATIENT
  if (slot?.clinic === 'expert' || slot?.clinic === 'special') flags |= SCARCE
  if (slot?.releasedAt !== undefined) {
    const since = event.occurredAt - slot.releasedAt
    if (since < 0) flags |= BEFORE_RELEASE
    else if (since <= AT_RELEASE_MS) flags |= AT_RELEASE
  }
  return flags
}
