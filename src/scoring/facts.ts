import { combine, hash64, tokenWords, type Words } from '../domain/hash.js'
import type { BookingEvent } from '../domain/event.js'
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

export const setKey = (keys: Keys, dimension: Dimension, words: Words | undefined): void => {
  if (!words) return
  const at = dimensionIndex(dimension) * 2
  keys[at] = words.hi
  keys[at + 1] = words.lo
}

export const keyAt = (keys: Keys, dimension: number): Words => ({ hi: keys[dimension * 2] ?? 0, lo: keys[dimension * 2 + 1] ?? 0 })

/** Ids are only unique within their hospital, so a doctor's or schedule's key is its own id within it. */
const within = (hospital: Words, id: string | undefined): Words | undefined => (id === undefined ? undefined : combine(hospital, hash64(id)))
const token = (value: { token?: string } | undefined): Words | undefined => (value?.token === undefined ? undefined : tokenWords(value.token))

export function factsOf(event: BookingEvent): Facts {
  const keys = new Uint32Array(DIMENSIONS.length * 2)
  const { patient, slot, network } = event
  const set = (dimension: Dimension, words: Words | undefined): void => { setKey(keys, dimension, words) }
  set('patient', token(patient))
  set('name', token(patient?.name))
  set('phone', token(patient?.phone))
  if (patient?.id) set('id_prefix', tokenWords(patient.id.prefixToken))
  set('account', token(event.account))
  set('device', token(event.device))
  set('payer', token(event.payer))
  if (network?.ipToken !== undefined) set('ip', tokenWords(network.ipToken))
  if (network?.prefixToken !== undefined) set('ip_prefix', tokenWords(network.prefixToken))
  const seat = event.operator?.seatToken ?? event.operator?.token
  if (seat) set('seat', tokenWords(seat))
  if (event.channel) set('channel', hash64(event.channel.id))
  let slotKey: Words | undefined
  if (slot) {
    const hospital = hash64(slot.hospitalId)
    set('hospital', hospital)
    set('department', within(hospital, slot.departmentId))
    set('doctor', within(hospital, slot.doctorId))
    set('schedule', within(hospital, slot.scheduleId))
    slotKey = within(hospital, slot.slotId === undefined ? undefined : `${slot.scheduleId}\n${slot.slotId}`)
  }
  const id = hash64(event.eventId)
  // The contract wants an order of a request; one without is an order of its own.
  const order = event.orderId !== undefined ? hash64(event.orderId) : event.type === 'booking.requested' ? id : undefined
  return { t: event.occurredAt, id, verb: verbIndex(event.type), flags: flagsOf(event), keys, feeFen: slot?.feeFen ?? 0, order, slot: slotKey }
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
